"""The engine's tables against plain loops written from the docstrings; with it, conservation of events and time at risk."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given, settings

from churnsurv.tables.cells import CellTable
from churnsurv.tables.features import NONE_YET
from churnsurv.tables.periods import PeriodTable
from churnsurv.tables.spells import SpellTable
from tests.identities import oracle
from tests.identities.random_logs import Case, cases

relation = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@relation
@given(case=cases())
def test_tables_equal_their_docstrings_read_aloud(case: Case, log_of) -> None:
    spells = SpellTable.from_events(log_of(case.history), case.window, case.churn)
    check_spells(case, spells)
    periods = PeriodTable.from_spells(spells, breaks=case.breaks, features=case.features, as_of=case.as_of)
    check_periods(case, periods)
    later = case.breaks if case.as_of == "period" else (0.0, 1e-11)
    moments = [row.moment for row in oracle.periods(case.history, case.churn, later, case.as_of)]
    if any(oracle.is_known(case.history, case.features, moment) for moment in moments):  # else refused: test_cells.py
        check_cells(case, CellTable.from_periods(periods, bins=case.edges))


def check_spells(case: Case, table: SpellTable) -> None:
    """Each gap, in order, and the sums."""
    wanted = oracle.spells(case.history, case.churn)
    found = [
        oracle.Spell(row.customer_id, row.spell, row.origin, round(row.exit * oracle.DAY), row.event, row.open)
        for row in table.frame().itertuples()
    ]
    assert found == wanted
    assert table.exposure_us == sum(spell.length for spell in wanted)
    assert table.n_customers == len({spell.customer for spell in wanted})
    assert table.n_events == tuple(sum(s.event == k + 1 for s in wanted) for k in range(len(case.churn.causes)))


def check_periods(case: Case, table: PeriodTable) -> None:
    """Each row with its features, and conservation against the spells."""
    frame = table.frame()
    wanted = oracle.periods(case.history, case.churn, case.breaks, case.as_of)
    assert len(frame) == len(wanted) == table.n_rows
    for row, one in zip(frame.to_dict("records"), wanted, strict=True):
        assert (row["customer_id"], row["spell"], row["period"], row["event"]) == (
            one.spell.customer, one.spell.number, one.period, one.event,
        )  # fmt: skip
        assert (round(row["start"] * oracle.DAY), round(row["stop"] * oracle.DAY)) == (one.start, one.stop)
        assert round(row["exposure"] * oracle.DAY) == one.stop - one.start
        for declared in case.features:
            found, told = row[declared.name], oracle.feature(case.history, declared, one.spell.customer, one.moment)
            if told is None:
                assert found is None or np.isnan(found), (declared, row)
            elif isinstance(told, str):
                assert found == told, (declared, row)
            else:
                np.testing.assert_allclose(found, told, rtol=1e-11, atol=1e-11, err_msg=f"{declared} {row}")
    inside = sum(one.stop - one.start for one in wanted)
    assert inside + sum(part.exposure_us for part in table.unallocated) == table.spells.exposure_us


def check_cells(case: Case, table: CellTable) -> None:
    """Each cell, each reason for being in none, and conservation against the spells."""
    inside, outside = oracle.cells(case.history, case.churn, case.breaks, case.as_of, case.features, case.edges)
    found = {}
    for k in range(table.n_cells):
        pattern = [
            None if column.labels[code] == NONE_YET else column.labels[code] if column.edges is None else int(code)
            for column, code in zip(table.schema.columns, table.codes[k], strict=True)
        ]
        exposure = int(table.exposure_days[k]) * oracle.DAY + int(table.exposure_rest[k])
        key = (*pattern, int(table.period[k]))
        assert key not in found
        found[key] = [int(table.n_spells[k]), int(table.n_at_stop[k]), *map(int, table.n_events[k]), exposure]
    assert found == inside
    words = {"before the first": "before", "beyond the last": "beyond", "opened less than": "look-back"}
    left = {}
    for part in table.unallocated:
        reason = next((word for start, word in words.items() if part.reason.startswith(start)), part.reason.split()[-1])
        left[(reason,)] = [part.n_spells, *part.n_events, part.exposure_us]
    assert left == outside
    spells = oracle.spells(case.history, case.churn)
    assert table.total_exposure_us() == sum(spell.length for spell in spells)
    assert sum(table.total_events()) == sum(spell.event > 0 for spell in spells)
    assert table.n_spells.sum() + sum(part.n_spells for part in table.unallocated) == len(spells)
