"""What must not change the tables, and what must change them in a known way."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from churnsurv.errors import EmptyDataError, LeakError
from churnsurv.tables import features as declared
from churnsurv.tables import histories
from churnsurv.tables.bins import Quantiles
from churnsurv.tables.cells import CellTable
from churnsurv.tables.churn import Silence
from churnsurv.tables.events import EventLog
from churnsurv.tables.leaks import leak_audit
from churnsurv.tables.periods import PeriodTable
from churnsurv.tables.spells import SpellTable
from churnsurv.tables.window import ObservationWindow, moment_of
from tests.identities.oracle import DAY, History
from tests.identities.random_logs import LENGTH, START, Case, cases

relation = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
many = "abcdefgh"


def cells_of(case: Case, log: EventLog, *, bins: Any = None, window: ObservationWindow | None = None) -> CellTable:
    """Cells of a case on a log, with the case's edges; skipped where no look-back is covered."""
    spells = SpellTable.from_events(log, window or case.window, case.churn)
    periods = PeriodTable.from_spells(spells, breaks=case.breaks, features=case.features, as_of=case.as_of)
    try:
        return CellTable.from_periods(periods, bins=case.edges if bins is None else bins)
    except EmptyDataError:
        assume(False)
        raise


def content(cells: CellTable) -> dict[tuple[object, ...], list[int]]:
    """Numbers of each cell under its labels, and of each reason for being in none."""
    labels = [cells.labels(column.name) for column in cells.schema.columns]
    found: dict[tuple[object, ...], list[int]] = {}
    for k in range(cells.n_cells):
        exposure = int(cells.exposure_days[k]) * DAY + int(cells.exposure_rest[k])
        found[(*(column[k] for column in labels), int(cells.period[k]))] = [
            int(cells.n_spells[k]), int(cells.n_at_stop[k]), *map(int, cells.n_events[k]), exposure,
        ]  # fmt: skip
    for part in cells.unallocated:
        found[(part.reason,)] = [part.n_spells, *part.n_events, part.exposure_us]
    return found


def changed(case: Case, events: Any, **fields: Any) -> History:
    """History with other events."""
    return dataclasses.replace(case.history, events=tuple(events), **fields)


@relation
@given(case=cases(customers=many), data=st.data())
def test_the_order_of_rows_changes_nothing_not_even_a_bit(case: Case, data: st.DataObject, log_of) -> None:
    shuffled = changed(case, data.draw(st.permutations(case.history.events)))
    quantiles = dict.fromkeys(case.edges, Quantiles(3))
    one, other = (cells_of(case, log_of(history), bins=quantiles) for history in (case.history, shuffled))
    assert one.schema == other.schema
    assert one.unallocated == other.unallocated
    for name in ("codes", "period", "n_spells", "n_at_stop", "n_events", "exposure_days", "exposure_rest"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    frames = [
        PeriodTable.from_spells(
            SpellTable.from_events(log_of(history), case.window, case.churn), features=case.features, as_of=case.as_of
        ).frame()
        for history in (case.history, shuffled)
    ]
    pd.testing.assert_frame_equal(*frames, check_exact=True)


@relation
@given(case=cases(customers=many))
def test_names_of_customers_change_nothing(case: Case, log_of) -> None:
    names = {name: f"{(ord(name) * 7919) % 101:03d}" for name in (*many, "z")}
    renamed = changed(case, (dataclasses.replace(e, customer=names[e.customer]) for e in case.history.events))
    assert content(cells_of(case, log_of(case.history))) == content(cells_of(case, log_of(renamed)))


@relation
@given(case=cases(customers=many), members=st.sets(st.sampled_from(many)))
def test_cells_of_two_halves_of_the_customers_add_up_to_the_cells_of_all(case: Case, members: set[str], log_of) -> None:
    kinds = [e for e in case.history.events if e.customer == "z"]
    first = [e for e in case.history.events if e.customer in members]
    second = [e for e in case.history.events if e.customer not in members and e.customer != "z"]
    twice = [dataclasses.replace(e, customer="y") for e in kinds]  # each half must hold every kind
    whole = cells_of(case, log_of(changed(case, [*first, *second, *kinds, *twice])))
    halves = [cells_of(case, log_of(changed(case, part))) for part in ([*first, *kinds], [*second, *twice])]
    assert content(halves[0] + halves[1]) == content(whole)
    assert content(halves[1] + halves[0]) == content(whole)


@relation
@given(case=cases(customers=many, zones=("UTC",)), days=st.integers(-400, 4000))
def test_a_shift_by_whole_days_changes_nothing(case: Case, days: int, log_of) -> None:
    later = changed(
        case,
        (dataclasses.replace(e, time=e.time + days * DAY) for e in case.history.events),
        start=case.history.start + days * DAY,
        end=case.history.end + days * DAY,
    )
    window = ObservationWindow(moment_of(later.start), moment_of(later.end))
    assert content(cells_of(case, log_of(case.history))) == content(cells_of(case, log_of(later), window=window))


@relation
@given(case=cases(customers=many), unit=st.sampled_from(["s", "ms", "us", "ns"]))
def test_the_unit_of_time_changes_nothing(case: Case, unit: str, log_of, engine) -> None:
    whole = changed(case, (dataclasses.replace(e, time=e.time // 10**6 * 10**6) for e in case.history.events))
    frame = pd.DataFrame([dataclasses.asdict(e) for e in whole.events])
    frame["time"] = frame["time"].map(
        lambda t: t * 1000 if unit == "ns" else t // {"s": 10**6, "ms": 10**3, "us": 1}[unit]
    )
    frame["value"] = frame["value"].astype(float)
    log = EventLog.from_frame(
        frame, customer="customer", time="time", kind="kind", values=("value",), labels=("label",), epoch_unit=unit,
        timezone=whole.zone, engine=engine,
    )  # fmt: skip
    assert content(cells_of(case, log)) == content(cells_of(case, log_of(whole)))


@relation
@given(case=cases(customers=many, zones=("UTC",)), day=st.integers(1, LENGTH))
def test_features_of_what_opened_before_a_cutoff_are_the_same_when_the_log_ends_there(
    case: Case, day: int, log_of
) -> None:
    assume(not case.churn.terminal)  # a log that ends early may not hold a closure yet
    cutoff = moment_of(START["UTC"] + day * DAY)
    log = log_of(case.history)
    kinds = {"order", *(feature.kind for feature in case.features)}
    assume(kinds <= set(log.before(cutoff).kinds()))
    frames = []
    for known, window in ((log, case.window), (log.before(cutoff), case.window.ending(cutoff))):
        spells = SpellTable.from_events(known, window, case.churn)
        frame = PeriodTable.from_spells(spells, breaks=(0, 1000), features=case.features).frame()
        frame = frame.merge(spells.frame()[["customer_id", "spell", "origin"]])
        names = ["customer_id", "spell", "origin", *(feature.name for feature in case.features)]
        frames.append(frame.loc[frame["origin"] < START["UTC"] + day * DAY, names].reset_index(drop=True))
    pd.testing.assert_frame_equal(*frames, check_exact=True, check_dtype=False)


@relation
@given(case=cases(customers=many), n_cutoffs=st.integers(1, 5))
def test_the_leak_audit_passes_on_every_declaration(case: Case, n_cutoffs: int, log_of) -> None:
    spells = SpellTable.from_events(log_of(case.history), case.window, case.churn)
    audit = leak_audit(spells, case.features, n_cutoffs=n_cutoffs)
    assert audit.check() is audit
    assert len(audit.table) == n_cutoffs * len(case.features)
    assert (audit.table["n_different"] == 0).all()


@pytest.mark.parametrize("name", ["Count", "Rhythm", "Recency", "Mean", "Maximum", "Drop", "Value"])
def test_the_leak_audit_fails_when_a_feature_knows_the_next_day(name: str, make_log, monkeypatch, refuses) -> None:
    feature = {
        "Count": lambda: declared.Count("review", days=9),
        "Rhythm": lambda: declared.Rhythm("review", days=9),
        "Recency": lambda: declared.Recency("review", days=9),
        "Mean": lambda: declared.Mean("review", "value", days=9),
        "Maximum": lambda: declared.Maximum("review", "value", days=9),
        "Drop": lambda: declared.Drop("review", "value", recent=4, before=4),
        "Value": lambda: declared.Value("review", "value", days=9),
    }[name]()
    start = START["UTC"]
    rows: list[tuple[Any, ...]] = [("a", start + day * DAY, "order", 1.0) for day in range(0, 40, 2)]
    rows += [("a", start + day * DAY + DAY // 2, "review", float(day)) for day in range(40) if day % 7 not in (2, 5)]
    log = make_log(rows)
    # One cutoff a little before the end of day 19, when the order of day 18 is two days old: reviews follow on either side.
    spells = SpellTable.from_events(
        log, ObservationWindow("2024-03-11", "2024-04-19T12:00:00.5"), Silence(("order",), 10)
    )
    assert leak_audit(spells, [feature], n_cutoffs=1).passed
    real = histories._Timeline.over

    def knows_more(self: Any, aggregate: str, low: float | None, high: float = 0.0) -> str:
        shown = real(self, aggregate, low, high)
        leaky = {text.replace("CURRENT ROW", f"{3 * DAY} FOLLOWING"): name for text, name in self._windows.items()}
        self._windows.clear()
        self._windows.update(leaky)
        return shown

    monkeypatch.setattr(histories._Timeline, "over", knows_more)
    audit = leak_audit(spells, [feature], n_cutoffs=1)
    assert not audit.passed
    with refuses(
        LeakError, f"feature values change when later events are removed: {feature.name}.", "customer_id=a",
        f"feature={feature.name}", "known_then=", "told_now=", "will not have when it is used",
    ):  # fmt: skip
        audit.check()
