"""What is behind the customers at risk: by hand, and equal to what the cells of the same window hold of them."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from churnsurv.errors import DataWarning, DefinitionError, EmptyDataError
from churnsurv.tables.cells import CellTable
from churnsurv.tables.features import Arrival, Count, Value
from churnsurv.tables.open_spells import OpenSpells
from churnsurv.tables.periods import PeriodTable
from churnsurv.tables.schema import UNSEEN
from churnsurv.tables.spells import SpellTable
from tests.tables.few_customers import CASES, CONTRACTS, ENDING, EVENTS, QUIT, ROWS, drawn_spells


def schema_of(spells, *features, bins=None, breaks=(0, 100)):
    """Schema of the cells of spells."""
    return CellTable.from_periods(PeriodTable.from_spells(spells, features=features, breaks=breaks), bins=bins).schema


def batch_of(spells, schema, **settings):
    """All customers at risk in one batch, with what is behind them."""
    (batch,) = OpenSpells.batches(spells, schema, history=True, **settings)
    return batch


def rows_of(history, *names):
    """Rows as tuples."""
    return list(zip(*(getattr(history, name).tolist() for name in names), strict=True))


def assert_same(one, other):
    """Equal in every array."""
    for field in dataclasses.fields(one):
        first, second = getattr(one, field.name), getattr(other, field.name)
        if field.name == "values":
            assert len(first) == len(second)
            for mine, theirs in zip(first, second, strict=True):
                np.testing.assert_array_equal(mine, theirs)
        else:
            np.testing.assert_array_equal(first, second, err_msg=field.name)


# By hand -------------------------------------------------------------------------------------------------------


def test_the_past_by_hand(spells):
    table = spells(churn=ENDING)
    schema = schema_of(table, Value("order", "label"), Value("order", "value"), bins={"value_order_value": [0, 15, 60]})
    batch = batch_of(table, schema)
    assert batch.customer_id.tolist() == ["a", "c"]  # b has closed her account
    assert rows_of(batch.history, "place", "start", "stop", "event", "current", "entry", "outside") == [
        (0, 0.0, 5.0, 1, False, 0.0, False), (0, 0.0, 20.0, 1, False, 0.0, False), (0, 0.0, 25.0, 0, True, 0.0, False),
        (1, 0.0, 58.0, 0, True, 0.0, False),
    ]  # fmt: skip
    assert batch.history.codes.tolist() == [[1, 0], [1, 1], [0, 1], [1, 0]]
    assert batch.history.values[0] is None
    assert batch.history.values[1].tolist() == [10.0, 30.0, 20.0, 5.0]
    assert len(batch.history) == 4
    assert next(OpenSpells.batches(table, schema)).history is None


def test_a_fact_splits_a_past_spell_as_it_splits_the_open_one(spells):
    rows = [
        ("a", "2024-01-11"), ("a", "2024-01-15", "delivery", 4.0, "late"), ("a", "2024-01-21"),
        ("a", "2024-01-24", "review", 5.0), ("b", "2024-01-05"),
    ]  # fmt: skip
    table = spells(rows)
    schema = schema_of(table, Arrival("delivery", "label"), Arrival("review", "value"))
    batch = batch_of(table, schema)
    assert rows_of(batch.history, "place", "start", "stop", "event", "current", "entry") == [
        (0, 0.0, 4.0, 0, False, 0.0), (0, 4.0, 10.0, 1, False, 0.0), (0, 0.0, 3.0, 0, True, 0.0),
        (0, 3.0, 40.0, 0, True, 0.0), (1, 0.0, 56.0, 0, True, 0.0),
    ]  # fmt: skip
    assert batch.history.codes[:, 0].tolist() == [1, 0, 1, 1, 1]
    np.testing.assert_array_equal(batch.history.values[1], [np.nan, np.nan, np.nan, 5.0, np.nan])
    assert batch.codes.tolist() == batch.history.codes[[3, 4]].tolist()


def test_who_came_late_says_when(spells):
    batch = batch_of(spells(CONTRACTS, QUIT), schema_of(spells(CONTRACTS, QUIT)))
    assert batch.customer_id.tolist() == ["a", "c"]
    assert rows_of(batch.history, "place", "start", "stop", "event", "current", "entry") == [
        (0, 20.0, 40.0, 1, False, 20.0), (0, 0.0, 29.0, 0, True, 0.0), (1, 60.0, 120.0, 0, True, 60.0),
    ]  # fmt: skip


def test_a_spell_whose_look_back_is_not_covered_is_left_out(spells):
    rows = [("a", "2024-01-03"), ("a", "2024-01-20"), ("b", "2024-01-04"), ("c", "2024-01-09")]
    batch = batch_of(spells(rows), schema_of(spells(rows), Count("order", days=8)))
    assert batch.unknown.tolist() == [False, True, False]
    assert rows_of(batch.history, "place", "stop", "current") == [(0, 41.0, True), (2, 52.0, True)]
    kept = batch.take(np.array([1])).history
    assert (len(kept), kept.codes.shape) == (0, (0, 1))


def test_what_the_fit_has_not_seen_is_unseen_and_what_lies_outside_is_flagged(spells):
    schema = schema_of(
        spells(ROWS[:1]), Value("order", "label"), Value("order", "value"), bins={"value_order_value": [0, 10, 20]}
    )
    rows = [
        ("a", "2024-01-11", "order", 5.0, "XX"),
        ("a", "2024-01-16", "order", 25.0, None),
        ("a", "2024-02-05", "order", None, "FR"),
    ]
    history = batch_of(spells(rows), schema).history
    assert history.codes.tolist() == [[UNSEEN, 0], [UNSEEN, 1], [0, UNSEEN]]
    np.testing.assert_array_equal(history.values[1], [5.0, 25.0, np.nan])
    assert history.outside.tolist() == [False, True, False]


def test_durations_have_a_past_in_stretches_and_half_a_unit_of_each_event_is_told_apart():
    frame = {
        "who": ["x", "x", "x", "y", "z"], "life": [1, 1, 2, 1, 1], "since": [2.0, 8.0, 0.0, 0.0, 3.0],
        "days": [5.0, 9.0, 4.0, 6.0, 7.0], "event": [0, 1, 0, 1, 0], "plan": ["m", "n", "n", "m", "m"],
    }  # fmt: skip
    table = SpellTable.from_durations(
        pa.table(frame), duration="days", event="event", unit="day", customer="who", entry="since", spell="life", labels=["plan"]
    )  # fmt: skip
    schema = CellTable.from_periods(PeriodTable.from_spells(table, breaks=[0, 50])).schema
    batch = batch_of(table, schema)
    assert batch.customer_id.tolist() == ["x", "z"]
    assert rows_of(batch.history, "place", "start", "stop", "event", "current", "entry") == [
        (0, 2.0, 5.0, 0, False, 2.0), (0, 8.0, 9.0, 1, False, 2.0), (0, 0.0, 4.0, 0, True, 0.0), (1, 3.0, 7.0, 0, True, 3.0),
    ]  # fmt: skip
    assert batch.history.codes.tolist() == [[0], [1], [1], [0]]
    assert batch.history.unlived.tolist() == [0.0, 0.5, 0.0, 0.0]
    assert batch.take(np.array([1, 0])).history.unlived.tolist() == [0.0, 0.0, 0.5, 0.0]


# Batches and choices ---------------------------------------------------------------------------------------------


def test_landmarks_leave_out_what_lies_between(spells, refuses):
    table = spells()
    schema = CellTable.from_periods(PeriodTable.from_landmarks(table, horizon=10, breaks=[0, 100])).schema
    with refuses(DefinitionError, "follow landmarks, and leave out what lies between", "PeriodTable.from_spells"):
        next(OpenSpells.batches(table, schema, history=True))
    assert len(next(OpenSpells.batches(table, schema))) == 3


def random_rows(seed=0, n=300):
    """Orders, closures and tickets of forty customers over two months."""
    rng = np.random.default_rng(seed)
    kinds = rng.choice(["order", "close", "ticket"], n, p=[0.6, 0.05, 0.35])
    start = 1_704_067_200_000_000
    return [
        (f"{rng.integers(40):02d}", start + int(rng.integers(60 * 86400)) * 10**6, str(kind), float(rng.integers(1, 9)), "FR")
        for kind in kinds
    ]  # fmt: skip


FEATURES = (Value("order", "value"), Count("ticket", days=10), Arrival("ticket", "value", name="told"))


def test_neither_batches_nor_the_choice_of_customers_change_a_past(spells):
    table = spells(random_rows(), ENDING)
    schema = schema_of(table, *FEATURES)
    whole = batch_of(table, schema)
    assert whole.history.place.max() > 20
    for size in (1, 7):
        done = 0
        for batch in OpenSpells.batches(table, schema, history=True, size=size):
            assert_same(batch.history, whole.history.take(np.arange(done, done + len(batch)), len(whole)))
            done += len(batch)
        assert done == len(whole)
    wanted = [whole.customer_id[k] for k in (3, 11)]
    assert_same(batch_of(table, schema, only=wanted).history, whole.take(np.array([3, 11])).history)
    plain = np.concatenate([batch.codes for batch in OpenSpells.batches(table, schema)])
    np.testing.assert_array_equal(whole.codes, plain)


def test_taking_customers_takes_their_rows_along_in_the_order_asked(spells):
    table = spells(ROWS)
    batch = batch_of(table, schema_of(table, Value("order", "value")))
    some = batch.take(np.array([2, 0, 2]))
    assert rows_of(some.history, "place", "stop", "current") == [
        (0, 58.0, True), (1, 5.0, False), (1, 20.0, False), (1, 25.0, True), (2, 58.0, True),
    ]  # fmt: skip
    assert some.history.values[0].tolist() == [5.0, 10.0, 30.0, 20.0, 5.0]
    assert_same(batch.take(np.array([True, False, False])).history, batch.history.take(np.array([0]), 3))


# The same as the cells --------------------------------------------------------------------------------------------


def into_cells(history, u, table):
    """Time at risk of one customer's rows in each cell, and her events per cause."""
    edges = np.asarray(table.schema.breaks)
    keys = {
        (*code, period): k for k, (code, period) in enumerate(zip(map(tuple, table.codes), table.period, strict=True))
    }
    exposure, events = np.zeros(table.n_cells), np.zeros(table.n_events.shape, int)
    for row in np.flatnonzero((history.place == u) & ~history.outside):
        start, stop = history.start[row], history.stop[row]
        for period in np.flatnonzero((edges[:-1] < stop) & (edges[1:] > start)):
            cell = keys[*history.codes[row], period]
            exposure[cell] += min(stop, edges[period + 1]) - max(start, edges[period])
            if history.event[row] and stop <= edges[period + 1]:
                events[cell, history.event[row] - 1] += 1
    return exposure, events


@pytest.mark.parametrize("case", CASES)
@settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(events=EVENTS, breaks=st.sampled_from([[0, 5, 15, 100], [0, 7, 12]]))
def test_on_the_window_of_the_fit_the_past_is_what_the_cells_hold(make_log, case, events, breaks):
    churn, split, bins = CASES[case]
    spells = drawn_spells(make_log, events, churn)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        periods = PeriodTable.from_spells(spells, breaks=breaks, **split)
        try:
            table = CellTable.from_periods(periods, bins=bins, customers=True)
        except EmptyDataError:
            return
    engine, customers = spells.engine, table.customers
    numbers = "".join(  # who is in a cell, in the order of ids
        f" AND NOT coalesce({name} > {edges[-1]} OR {name} < {edges[0]}, FALSE)" for name, edges in bins.items()
    )
    ids = [
        row[0]
        for row in engine.rows(f"SELECT DISTINCT customer_id FROM ({periods.sql}) WHERE known{numbers} ORDER BY 1")
    ]
    assert len(ids) == customers.n_customers
    for batch in OpenSpells.batches(spells, table.schema, history=True):
        for u, name in enumerate(batch.customer_id):
            exposure, counts = into_cells(batch.history, u, table)
            if name not in ids:
                assert not exposure.any()
                continue
            place = ids.index(name)
            inside = slice(customers.indptr[place], customers.indptr[place + 1])
            cell = customers.cell[inside]
            np.testing.assert_allclose(exposure[cell], customers.exposure[inside], rtol=1e-9)
            assert exposure.sum() == pytest.approx(customers.exposure[inside].sum(), rel=1e-9)
            assert counts[cell].tolist() == customers.events[inside].tolist()
            mine = (batch.history.place == u) & ~batch.history.outside
            reached = np.minimum(batch.history.stop, breaks[-1]) - np.minimum(batch.history.start, breaks[-1])
            now = reached[mine & batch.history.current].sum()
            assert now == pytest.approx(customers.last[inside].sum(), rel=1e-9)
