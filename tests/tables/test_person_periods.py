"""Whole periods by hand: which are kept, which left out, and that nothing is lost."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from churnsurv.errors import ArgumentError, EmptyDataError, ModelSupportError
from churnsurv.tables.churn import Silence
from churnsurv.tables.contracts import Cancellation
from churnsurv.tables.features import Arrival, Count, Value
from churnsurv.tables.periods import PeriodTable
from churnsurv.tables.person_periods import PersonPeriods
from churnsurv.tables.spells import SpellTable
from churnsurv.tables.window import DAY_US, ObservationWindow

WINDOW = ObservationWindow("2024-01-01", "2024-03-01")  # 60 days
ORDERS = Silence(("order",), 20)
QUIT = Cancellation(("quit", "unpaid"), origin="kind:signup")
BREAKS = (0, 10, 20, 30, 40)


def told(rows):
    return [
        (*row,)
        for row in zip(rows.customer_id, rows.spell.tolist(), rows.period.tolist(), rows.event.tolist(), strict=True)
    ]


def conserved(rows, periods):
    """Time in rows and out of them is all there was; so are the events."""
    days = np.minimum(np.diff(rows.steps)[rows.period], np.inf)
    held = 0
    for entry, row in zip(rows.reached, range(len(rows)), strict=True):
        ends = entry + days[row]
        stop = ends if not rows.event[row] else min(ends, _exit_of(periods, rows.customer_id[row], rows.spell[row]))
        held += round((stop - entry) * DAY_US)
    out = sum(part.exposure_us for part in rows.unallocated)
    return held + out, int(np.sum(rows.event > 0)) + sum(sum(part.n_events) for part in rows.unallocated)


def _exit_of(periods, customer, spell):
    frame = periods.spells.frame()
    row = frame[(frame["customer_id"] == customer) & (frame["spell"] == spell)]
    return float(row["exit"].iloc[0])


def test_periods_that_the_end_cuts_are_left_out_with_an_event_or_without(make_log):
    """Orders on days 0 and 25; 55: the gap of 30 days ends with an event in its third period; the last one is open."""
    log = make_log([("a", "2024-01-01T00:00:00"), ("a", "2024-01-26T00:00:00"), ("a", "2024-02-25T00:00:00"),
                    ("b", "2024-02-12T00:00:00"), ("b", "2024-02-27T00:00:00")])  # fmt: skip
    periods = PeriodTable.from_spells(SpellTable.from_events(log, WINDOW, ORDERS), breaks=BREAKS)
    rows = PersonPeriods.from_periods(periods)
    # a: 25 days, event in (20, 30]; 30 days, event in (20, 30]; open for 5 days of which no period is whole.
    # b: 15 days with an event in (10, 20], which the window's end on day 18 of this gap cuts off: left out all the same.
    assert told(rows) == [
        ("a", 1, 0, 0), ("a", 1, 1, 0), ("a", 1, 2, 1),
        ("a", 2, 0, 0), ("a", 2, 1, 0), ("a", 2, 2, 1),
        ("b", 1, 0, 0),
    ]  # fmt: skip
    assert rows.reached.tolist() == [0, 10, 20, 0, 10, 20, 0]
    (part,) = rows.unallocated
    assert part.n_events == (1,)
    assert part.exposure == pytest.approx(5 + 5 + 3)
    spells = periods.spells
    assert conserved(rows, periods) == (spells.exposure_us, sum(spells.n_events))


def test_an_event_on_the_edge_belongs_to_the_period_that_ends_there(make_log):
    log = make_log([("a", "2024-01-01T00:00:00"), ("a", "2024-01-11T00:00:00"), ("a", "2024-01-21T00:00:00.000001")])
    rows = PersonPeriods.from_periods(
        PeriodTable.from_spells(SpellTable.from_events(log, WINDOW, ORDERS), breaks=BREAKS)
    )
    assert told(rows)[:3] == [("a", 1, 0, 1), ("a", 2, 0, 0), ("a", 2, 1, 1)]


def test_who_enters_late_begins_with_the_next_whole_period(make_log):
    """Signed up 15 days before the window: the period (10, 20] had begun before anybody looked."""
    log = make_log([("a", "2023-12-17T00:00:00", "signup"), ("a", "2024-01-20T00:00:00", "quit"),
                    ("b", "2024-01-05T00:00:00", "signup"), ("b", "2024-01-30T00:00:00", "unpaid"),
                    ("c", "2024-02-25T00:00:00", "signup")])  # fmt: skip
    spells = SpellTable.from_events(log, WINDOW, QUIT)
    rows = PersonPeriods.from_periods(PeriodTable.from_spells(spells, breaks=BREAKS))
    assert told(rows) == [("a", 1, 2, 0), ("a", 1, 3, 1), ("b", 1, 0, 0), ("b", 1, 1, 0), ("b", 1, 2, 2)]
    assert rows.with_cause("quit").event.tolist() == [0, 1, 0, 0, 0]
    assert rows.with_cause("unpaid").event.tolist() == [0, 0, 0, 0, 1]
    with pytest.raises(ArgumentError, match="no cause 'moved'"):
        rows.with_cause("moved")
    assert sum(part.exposure_us for part in rows.unallocated) == (5 + 5) * DAY_US


def test_rows_of_landmarks_count_from_the_landmark(make_log):
    log = make_log([("a", "2024-01-01T00:00:00"), ("a", "2024-01-26T00:00:00"), ("b", "2024-01-10T00:00:00")])
    spells = SpellTable.from_events(log, WINDOW, Silence(("order",), 50))
    periods = PeriodTable.from_landmarks(spells, horizon=30, landmarks=["2024-01-11"], breaks=(0, 30, 60))
    rows = PersonPeriods.from_periods(periods)
    assert rows.steps == (0.0, 10.0, 20.0, 30.0)
    assert told(rows) == [("a", 1, 0, 0), ("a", 1, 1, 1), ("b", 1, 0, 0), ("b", 1, 1, 0), ("b", 1, 2, 0)]
    assert rows.reached.tolist() == [10, 20, 1, 11, 21]
    assert (np.diff(rows.begins[:2]) == 10 * DAY_US).all()
    other = PersonPeriods.from_periods(periods, steps=[0, 25])
    assert told(other) == [("a", 1, 0, 1), ("b", 1, 0, 0)]


def test_durations_count_the_part_of_a_period_that_was_seen():
    """When a duration with an event would have been censored is not known: life tables count half, here what was seen."""
    frame = pa.table({"days": [25.0, 13.0, 40.0, 8.0], "left": [1, 0, 0, 1]})
    spells = SpellTable.from_durations(frame, duration="days", event="left", unit="day")
    rows = PersonPeriods.from_periods(PeriodTable.from_spells(spells, breaks=BREAKS))
    assert [(row[2], row[3]) for row in told(rows)] == [
        (0, 0), (1, 0), (2, 1), (0, 0), (1, 0), (0, 0), (1, 0), (2, 0), (3, 0), (0, 1),
    ]  # fmt: skip
    assert rows.weight.tolist() == [1, 1, 1, 1, 0.3, 1, 1, 1, 1, 1]
    assert rows.begins is None


def test_features_stay_with_their_rows_and_unknown_ones_are_left_out(make_log):
    log = make_log([("a", "2024-01-05T00:00:00", "order", 7.0, "x"), ("a", "2024-01-26T00:00:00", "order", 9.0, "y"),
                    ("a", "2024-02-26T00:00:00", "order", 2.0, "x")])  # fmt: skip
    spells = SpellTable.from_events(log, WINDOW, ORDERS)
    features = [Value("order", "value"), Value("order", "label"), Count("order", days=10)]
    rows = PersonPeriods.from_periods(PeriodTable.from_spells(spells, breaks=BREAKS, features=features))
    frame = rows.frame()
    assert frame["spell"].tolist() == [2, 2, 2]
    assert frame["value_order_value"].tolist() == [9.0] * 3
    assert frame["value_order_label"].tolist() == ["y"] * 3
    reasons = [part.reason for part in rows.unallocated]
    assert reasons == [
        "opened less than 10 days after the window's start: the look-back is not covered",
        "in a period that was not observed from beginning to end",
    ]
    assert "PersonPeriods(3 whole periods of 1 spells: 0 events" in repr(rows)


def test_rows_that_are_no_whole_periods_are_refused(make_log, refuses):
    log = make_log([("a", "2024-01-05T00:00:00"), ("a", "2024-01-26T00:00:00"), ("a", "2024-01-28T00:00:00", "mail")])
    spells = SpellTable.from_events(log, WINDOW, ORDERS)
    with refuses(ModelSupportError, "cut where calendar_month changes", "leave out calendar="):
        PersonPeriods.from_periods(PeriodTable.from_spells(spells, breaks=BREAKS, calendar="month"))
    with refuses(ModelSupportError, "cut where", "Recency"):
        PersonPeriods.from_periods(PeriodTable.from_spells(spells, breaks=BREAKS, features=[Arrival("mail")]))
    moving = PeriodTable.from_spells(spells, breaks=BREAKS, features=[Count("order", days=5)], as_of="period")
    with refuses(ModelSupportError, "taken anew in each", "from_landmarks"):
        PersonPeriods.from_periods(moving)
    with refuses(EmptyDataError, "not one whole period", "shorter periods"):
        PersonPeriods.from_periods(PeriodTable.from_spells(spells, breaks=(0, 59)))
    periods = PeriodTable.from_landmarks(spells, horizon=20, landmarks=["2024-01-11"])
    with refuses(ArgumentError, "steps go to 30 days", "horizon=30"):
        PersonPeriods.from_periods(periods, steps=[0, 30])
    with refuses(ArgumentError, "do not begin at 0", "steps=[0.0, 5.0, 10.0]"):
        PersonPeriods.from_periods(periods, steps=[5, 10])
