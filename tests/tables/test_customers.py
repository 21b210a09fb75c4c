"""In which cells each customer was at risk: by hand, row by row in pandas, and whatever the log."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from churnsurv.errors import ArgumentError, CellMismatchError, ConservationError, DataWarning, EmptyDataError
from churnsurv.tables.cells import CellTable
from churnsurv.tables.contracts import Inactivity
from churnsurv.tables.customers import gather
from churnsurv.tables.features import Count, Value
from churnsurv.tables.periods import PeriodTable
from churnsurv.tables.spells import SpellTable
from churnsurv.tables.window import DAY_US
from tests.tables.few_customers import CASES, CONTRACTS, ENDING, EVENTS, ORDERS, QUIT, ROWS, drawn_spells


@pytest.fixture
def cells(spells):
    """Cells of rows, with customers."""

    def build(rows=ROWS, churn=ORDERS, *, bins=None, customers=True, **split):
        return CellTable.from_periods(
            PeriodTable.from_spells(spells(rows, churn), **split), bins=bins, customers=customers
        )

    return build


def durations(frame, **named):
    """Spells of durations in days."""
    return SpellTable.from_durations(
        pa.table(frame), duration="days", event="event", unit="day", customer="who", **named
    )


def entries(customers, u):
    """Cells of one customer with their time at risk."""
    inside = slice(customers.indptr[u], customers.indptr[u + 1])
    return list(zip(customers.cell[inside].tolist(), customers.exposure[inside].tolist(), strict=True))


# By hand -------------------------------------------------------------------------------------------------------


def test_customers_by_hand(cells):
    table = cells(churn=ENDING, features=[Value("order", "label")], breaks=[0, 5, 100])
    # Cells: DE up to 5 days, DE beyond, FR up to 5, FR beyond. a has gaps of 5 (FR), 20 (FR) and 25 days (DE, open);
    # b one of 10 days that ends with the account; c one of 58 days, open.
    found = table.customers
    assert [entries(found, u) for u in range(3)] == [
        [(0, 5.0), (1, 20.0), (2, 10.0), (3, 15.0)], [(0, 5.0), (1, 5.0)], [(2, 5.0), (3, 53.0)],
    ]  # fmt: skip
    assert found.events.tolist() == [[0, 0], [0, 0], [1, 0], [1, 0], [0, 0], [0, 1], [0, 0], [0, 0]]
    assert found.n_events.tolist() == [[2, 0], [0, 1], [0, 0]]
    assert found.n_followed.tolist() == [2, 0, 0]
    assert found.latest_event.tolist() == [0, 2, 0]
    assert found.has_last.tolist() == [True, False, True]
    assert found.n_alive.tolist() == [2, 1, 0]
    assert found.last.tolist() == [5.0, 20.0, 0.0, 0.0, 0.0, 0.0, 5.0, 53.0]
    assert found.owner.tolist() == [0, 0, 0, 0, 1, 1, 2, 2]
    assert (found.before_indptr.tolist(), found.before_codes.shape) == ([0, 0, 0, 0], (0, 1))


def test_with_one_cause_a_last_spell_that_ended_by_another_is_censored(cells):
    table = cells(churn=ENDING, breaks=[0, 100])
    returns, closures = table.with_cause("return").customers, table.with_cause("closure").customers
    assert returns.n_events.tolist() == [[2], [0], [0]]
    assert closures.n_events.tolist() == [[0], [1], [0]]
    assert returns.has_last.tolist() == [True, True, True]
    assert returns.last.tolist() == [25.0, 10.0, 58.0]
    assert closures.has_last.tolist() == [True, False, True]
    assert closures.last.tolist() == [25.0, 0.0, 58.0]
    assert (returns.n_alive.tolist(), closures.n_alive.tolist()) == ([2, 0, 0], [2, 1, 0])


def test_a_spell_that_is_followed_by_one_in_no_cell_is_followed_all_the_same(cells):
    # The last gap of a is of a value outside the bins; c is in no cell at all, and does not appear.
    table = cells(features=[Value("order", "value")], bins={"value_order_value": [9, 15, 30]}, breaks=[0, 100])
    assert table.customers.n_customers == 1
    rows = [*ROWS[:2], ("a", "2024-02-05", "order", 99.0, "DE")]
    table = cells(rows, features=[Value("order", "value")], bins={"value_order_value": [9, 15, 30]}, breaks=[0, 100])
    assert entries(table.customers, 0) == [(0, 5.0), (1, 20.0)]
    assert table.customers.n_followed.tolist() == [2]
    assert table.customers.latest_event.tolist() == [-1]
    assert (table.customers.has_last.tolist(), table.customers.last.tolist()) == ([False], [0.0, 0.0])
    assert table.customers.n_alive.tolist() == [2]
    assert table.with_cause("return").customers.latest_event.tolist() == [-1]


def test_an_event_beyond_the_last_break_is_no_event_but_a_sign_of_life(cells):
    found = cells(churn=ENDING, breaks=[0, 8]).customers
    assert found.n_events.tolist() == [[1, 0], [0, 0], [0, 0]]
    assert found.n_followed.tolist() == [2, 0, 0]
    assert (found.latest_event.tolist(), found.last.tolist()) == ([0, 2, 0], [8.0, 0.0, 8.0])


def test_who_enters_late_has_spent_time_before(cells):
    table = cells(CONTRACTS, QUIT, breaks=[0, 15, 50, 100])
    found = table.customers
    # a: 40 days, entered at 20, quit, and one of 29 days since; b: 20 days; c: 120 days, entered at 60.
    assert [entries(found, u) for u in range(3)] == [[(0, 15.0), (1, 34.0)], [(0, 15.0), (1, 5.0)], [(2, 40.0)]]
    assert found.before_indptr.tolist() == [0, 2, 2, 5]
    assert found.before_period.tolist() == [0, 1, 0, 1, 2]
    assert found.before_exposure.tolist() == [15.0, 5.0, 15.0, 35.0, 10.0]
    assert found.n_followed.tolist() == [1, 0, 0]
    assert found.latest_event.tolist() == [0, 2, 0]
    assert table.with_cause("quit").customers.before_exposure.tolist() == found.before_exposure.tolist()


def test_the_time_before_entry_has_the_pattern_at_entry():
    frame = {
        "who": ["x", "y", "z"], "days": [30.0, 40.0, 9.0], "event": [0, 1, 1], "since": [20.0, 0.0, 4.5], "plan": ["b", "a", "b"],
    }  # fmt: skip
    late = durations(frame, entry="since", labels=["plan"])
    table = CellTable.from_periods(PeriodTable.from_spells(late, breaks=[0, 10, 50]), customers=True)
    assert table.labels("plan")[table.customers.cell].tolist() == ["b", "a", "a", "b"]
    assert table.customers.before_codes.tolist() == [[1], [1], [1]]
    assert table.customers.before_period.tolist() == [0, 1, 0]
    assert table.customers.before_exposure.tolist() == [10.0, 10.0, 4.5]


def test_who_was_there_before_what_is_known_of_her_is_in_no_cell_and_has_no_time_before(spells):
    # What the customers of CONTRACTS had done on the day before the window is not known: but for the later starters.
    periods = PeriodTable.from_spells(spells(CONTRACTS, QUIT), breaks=[0, 100], features=[Count("signup", days=1)])
    table = CellTable.from_periods(periods, customers=True)
    assert [entries(table.customers, u) for u in range(2)] == [[(0, 29.0)], [(0, 20.0)]]
    assert (table.customers.n_customers, len(table.customers.before_period)) == (2, 0)


def test_a_spell_in_stretches_is_one_spell_and_its_pause_is_no_time_before():
    frame = {
        "who": ["x", "x", "x", "y", "z", "z"], "life": [1, 1, 2, 1, 1, 1], "since": [2.0, 8.0, 0.0, 0.0, 1.0, 2.0],
        "days": [5.5, 9.0, 4.0, 6.0, 2.0, 3.0], "event": [0, 1, 0, 1, 0, 0], "plan": ["m", "n", "n", "m", "n", "m"],
    }  # fmt: skip
    periods = PeriodTable.from_spells(durations(frame, entry="since", spell="life", labels=["plan"]), breaks=[0, 3, 50])
    customers = CellTable.from_periods(periods, customers=True).customers
    # Cells: m up to 3 days, m beyond, n up to 3, n beyond.
    assert [entries(customers, u) for u in range(3)] == [
        [(0, 1.0), (1, 2.5), (2, 3.0), (3, 1.0 + 1.0)], [(0, 3.0), (1, 3.0)], [(0, 1.0), (2, 1.0)],
    ]  # fmt: skip
    assert customers.before_indptr.tolist() == [0, 1, 1, 2]
    assert customers.before_exposure.tolist() == [2.0, 1.0]
    assert customers.before_codes.tolist() == [[0], [1]]  # as at entry, not as later
    assert customers.n_followed.tolist() == [1, 0, 0]
    assert customers.last.tolist() == [0.0, 0.0, 3.0, 1.0, 0.0, 0.0, 1.0, 1.0]


def test_who_enters_beyond_the_last_break_is_in_no_cell():
    frame = {"who": ["x", "y"], "days": [30.0, 40.0], "event": [0, 1], "since": [0.0, 10.0]}
    table = CellTable.from_periods(
        PeriodTable.from_spells(durations(frame, entry="since"), breaks=[0, 10]), customers=True
    )
    assert (table.customers.n_customers, entries(table.customers, 0)) == (1, [(0, 10.0)])
    assert table.customers.before_indptr.tolist() == [0, 0]


def test_whole_units_in_which_events_lie_count_half_as_in_the_cells():
    frame = {"who": ["x", "y", "z"], "days": [3.0, 5.0, 2.0], "event": [1, 0, 1]}
    table = CellTable.from_periods(PeriodTable.from_spells(durations(frame), breaks=[0, 2, 9]), customers=True)
    assert [entries(table.customers, u) for u in range(3)] == [[(0, 2.0), (1, 0.5)], [(0, 2.0), (1, 3.0)], [(0, 1.5)]]


def test_no_customer_is_named_and_the_table_says_how_many_there_are(cells):
    table = cells(churn=ENDING)
    for field in dataclasses.fields(table.customers):
        assert getattr(table.customers, field.name).dtype.kind in "if"
    assert repr(table).endswith("0 days unallocated; 3 customers)")
    assert "customers" not in repr(cells(customers=False))
    assert cells(customers=False).customers is None


def test_where_no_row_is_in_a_cell_there_is_no_customer(cells):
    table = cells(features=[Value("order", "value")], bins={"value_order_value": [900, 1000]}, breaks=[0, 100])
    assert (table.n_cells, table.customers.n_customers) == (0, 0)
    assert table.customers.n_events.shape == (0, 1)
    assert table.customers.indptr.tolist() == [0]


def test_some_customers_are_taken_in_the_order_asked(cells):
    whole = cells(CONTRACTS, QUIT, breaks=[0, 15, 50, 100]).customers
    some = whole.take(np.array([2, 0, 0]))
    assert [entries(some, u) for u in range(3)] == [entries(whole, u) for u in (2, 0, 0)]
    assert some.before_indptr.tolist() == [0, 3, 5, 7]
    assert some.before_exposure.tolist() == [15.0, 35.0, 10.0, 15.0, 5.0, 15.0, 5.0]
    assert some.n_events.tolist() == whole.n_events[[2, 0, 0]].tolist()
    assert whole.take(np.array([False, True, False])).latest_event.tolist() == [2]
    assert whole.take(np.array([], int)).n_customers == 0
    assert gather(np.array([0, 3]), np.array([0, 0]))[1].tolist() == [0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize("size", [1, 2])
def test_how_many_customers_are_in_memory_at_a_time_changes_nothing(cells, monkeypatch, size):
    split = {"breaks": [0, 15, 50, 100]}
    whole = cells(CONTRACTS, QUIT, **split).customers
    monkeypatch.setattr("churnsurv.tables.customer_counting._AT_ONCE", size)
    parts = cells(CONTRACTS, QUIT, **split).customers
    for field in dataclasses.fields(whole):
        np.testing.assert_array_equal(getattr(parts, field.name), getattr(whole, field.name), err_msg=field.name)


# Refusals --------------------------------------------------------------------------------------------------------


def test_rows_at_landmarks_do_not_tell_a_customers_whole_time(spells, refuses):
    periods = PeriodTable.from_landmarks(spells(), horizon=10, breaks=[0, 100])
    with refuses(ArgumentError, "customers=True", "landmarks leave out what lies between", "PeriodTable.from_spells"):
        CellTable.from_periods(periods, customers=True)


def test_the_hazard_before_the_first_break_must_be_known(cells, refuses):
    with refuses(ArgumentError, "periods begin at 2 days", "is not known.", "breaks=[0.0, 2.0, 10.0"):
        cells(breaks=[2, 10, 50])


def test_weighted_durations_are_refused(refuses):
    spells = durations({"who": ["x", "y"], "days": [3.0, 5.0], "event": [1, 0], "w": [2.0, 1.0]}, weight="w")
    with refuses(ArgumentError, "carry weights, and cells count whole customers"):
        CellTable.from_periods(PeriodTable.from_spells(spells), customers=True)


def test_customers_of_other_cells_are_refused(cells, refuses):
    table = cells(churn=ENDING, breaks=[0, 5, 100])
    customers = table.customers
    wrong = [
        dataclasses.replace(customers, exposure=customers.exposure * (1 + 1e-8)),
        dataclasses.replace(customers, events=customers.events[::-1]),
        dataclasses.replace(customers, cell=1 - customers.cell),
        dataclasses.replace(customers, cell=customers.cell + 1),
        customers.take(np.array([0, 1])),
    ]
    for one in wrong:
        with refuses(ConservationError, "customers hold", "customers=True"):
            dataclasses.replace(table, customers=one)


# Sums ------------------------------------------------------------------------------------------------------------


def test_the_customers_of_two_shops_are_all_there(cells):
    split = {"breaks": [0, 15, 50, 100]}
    one = cells(CONTRACTS, QUIT, **split)
    other = cells([(who + "2", *rest) for who, *rest in CONTRACTS[::-1]], QUIT, **split)
    both = cells([*CONTRACTS, *((who + "2", *rest) for who, *rest in CONTRACTS)], QUIT, **split).customers
    added = (one + other).customers.take(np.array([0, 3, 1, 4, 2, 5]))
    for field in dataclasses.fields(both):
        np.testing.assert_array_equal(getattr(added, field.name), getattr(both, field.name), err_msg=field.name)


def test_cells_and_levels_are_numbered_anew_when_tables_are_added():
    def shop(who, plans):
        frame = {"who": who, "days": [12.5, 30.0], "event": [1, 0], "since": [0.0, 11.0], "plan": plans}
        periods = PeriodTable.from_spells(durations(frame, entry="since", labels=["plan"]), breaks=[0, 10, 50])
        return CellTable.from_periods(periods, customers=True)

    one, other = shop(["x", "y"], ["m", "z"]), shop(["u", "v"], ["z", "a"])
    both = other + one
    assert both.schema.columns[0].labels == ("a", "m", "z")
    assert both.labels("plan")[both.customers.cell].tolist() == ["z", "z", "a", "m", "m", "z"]
    assert both.customers.before_codes.tolist() == [[0], [0], [2], [2]]
    assert both.customers.n_events.tolist() == [[1], [0], [1], [0]]


def test_a_customers_cells_are_in_the_order_of_their_numbers_in_a_sum_too(cells):
    # Blank is the last level, and no last word: as text it lies before "zz".
    rows = [("a", "2024-01-11", "order", 1.0, "zz"), ("a", "2024-01-16"), ("a", "2024-01-26", "order", 1.0, "FR")]
    one = cells(rows, features=[Value("order", "label")], breaks=[0, 100])
    both = one + one
    assert both.labels("value_order_label")[both.customers.cell].tolist() == ["FR", "zz", "none yet"] * 2
    assert both.customers.cell.tolist() == [0, 1, 2, 0, 1, 2]
    assert both.customers.exposure.tolist() == [35.0, 5.0, 10.0] * 2
    assert both.customers.events.ravel().tolist() == [0, 1, 1] * 2


def test_customers_of_few_cells_stay_apart_among_many(cells):
    days = ["2024-01-11", "2024-01-16", "2024-01-26"]
    few = [(who, day, "order", 1.0, label) for who in "ab" for day, label in zip(days, ("zz", None, "A"), strict=True)]
    many = [("c", f"2024-01-{day}", "order", 1.0, f"B{day}") for day in range(10, 20)]
    split = {"features": [Value("order", "label")], "breaks": [0, 100]}
    found = (cells(few, **split) + cells(many, **split)).customers
    assert found.cell[:6].tolist() == [0, 11, 12] * 2
    assert found.exposure[:6].tolist() == [35.0, 5.0, 10.0] * 2


def test_a_sum_would_lose_the_customers_of_one_table(cells, refuses):
    whole, bare = cells(breaks=[0, 100]), cells(breaks=[0, 100], customers=False)
    for first, second, which in ((whole, bare, "second"), (bare, whole, "first")):
        with refuses(CellMismatchError, f"the {which} table holds no customers", "customers=True"):
            first + second


# Whatever the log --------------------------------------------------------------------------------------------------


def by_hand(periods, table):
    """Rows of the periods coded in pandas: the same customers by another road."""
    engine, spells = periods.spells.engine, periods.spells.frame()
    rows = engine.frame(f"SELECT * FROM ({periods.sql})").sort_values(["customer_id", "spell", "start_us"])
    kept = rows["known"].to_numpy(bool)
    codes = []
    for column in table.schema.columns:
        told = rows[column.name]
        if column.edges is None:
            codes.append(column.code_levels(told.where(told.notna(), column.blank).to_numpy(object)))
        else:
            kept &= ~column.outside(told.to_numpy(float))
            codes.append(column.code_values(told.to_numpy(float)))
    keys = {
        (*pattern, period): k
        for k, (pattern, period) in enumerate(zip(map(tuple, table.codes), table.period, strict=True))
    }
    rows["exposure"] = (rows["stop_us"] - rows["start_us"]) / DAY_US
    rows["cell"] = [keys.get(key, -1) for key in zip(*codes, rows["period"], strict=True)]
    rows = rows[kept].merge(spells.groupby("customer_id")["spell"].max().rename("latest"), on="customer_id")
    return rows, spells


def compare(table, rows, spells):
    """Everything that customers hold, against the rows."""
    found, n_causes = table.customers, table.n_events.shape[1]
    ids = sorted(rows["customer_id"].unique())
    assert found.n_customers == len(ids)
    for u, name in enumerate(ids):
        mine, inside = rows[rows["customer_id"] == name], slice(found.indptr[u], found.indptr[u + 1])
        sums = mine.groupby("cell")["exposure"].sum()
        assert sums.index.tolist() == found.cell[inside].tolist()
        np.testing.assert_allclose(found.exposure[inside], sums, rtol=1e-12)
        latest = mine[mine["spell"] == mine["latest"]]
        part = latest.groupby("cell")["exposure"].sum().reindex(sums.index, fill_value=0.0)
        np.testing.assert_allclose(found.latest[inside], part, rtol=1e-12)
        for k in range(n_causes):
            counts = mine[mine["event"] == k + 1].groupby("cell").size().reindex(sums.index, fill_value=0)
            assert found.events[inside, k].tolist() == counts.tolist()
        assert found.n_followed[u] == mine[mine["spell"] < mine["latest"]]["spell"].nunique()
        end = spells[(spells["customer_id"] == name) & (spells["spell"] == mine["latest"].iloc[0])]["event"].max()
        assert found.latest_event[u] == (end if len(latest) else -1)
        before = slice(found.before_indptr[u], found.before_indptr[u + 1])
        firsts = mine.groupby("spell")["start_us"].min() / DAY_US
        assert found.before_exposure[before].sum() == pytest.approx(firsts.sum())
        edges = np.asarray(table.schema.breaks)
        assert (found.before_exposure[before] <= np.diff(edges)[found.before_period[before]]).all()
        patterns = {tuple(table.codes[c]) for c in mine[mine["start_us"] > 0]["cell"]}
        assert {tuple(code) for code in found.before_codes[before]} <= patterns
    assert np.bincount(found.cell, found.exposure, table.n_cells) == pytest.approx(table.exposure, rel=1e-12)
    assert found.n_events.sum(axis=0).tolist() == table.n_events.sum(axis=0).tolist()


ALL = CASES | {
    "months": (ORDERS, {"features": [Count("ticket", days=5)], "calendar": "month"}, {"count_ticket_5d": [0, 1, 9]}),
    "periods": (ORDERS, {"features": [Count("ticket", days=5)], "as_of": "period"}, {"count_ticket_5d": [0, 1, 9]}),
    "lives": (Inactivity(8, ("order",), origin="kind:signup"), {}, {}),
}


@pytest.mark.parametrize("case", ALL)
@settings(
    max_examples=7, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(events=EVENTS, breaks=st.sampled_from([[0, 5, 15, 100], [0, 7, 12], [0, 200]]))
def test_customers_are_the_rows_whatever_the_log(make_log, case, events, breaks):
    churn, split, bins = ALL[case]
    spells = drawn_spells(make_log, events, churn)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        periods = PeriodTable.from_spells(spells, breaks=breaks, **split)
        try:
            table = CellTable.from_periods(periods, bins=bins, customers=True)
        except EmptyDataError:
            return
    compare(table, *by_hand(periods, table))
    for cause in table.schema.causes[1:]:
        alone, k = table.with_cause(cause).customers, table.schema.causes.index(cause)
        assert alone.n_events[:, 0].tolist() == table.customers.n_events[:, k].tolist()
        assert (alone.n_alive >= table.customers.n_followed).all()
        pd.testing.assert_series_equal(
            pd.Series(alone.has_last), pd.Series(~np.isin(table.customers.latest_event, [-1, k + 1]))
        )
