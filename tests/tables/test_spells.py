"""Spells by hand: gaps of tiny logs with every number stated; items 27, 28, 32 and 42 of the catalogue of bad inputs."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from churnsurv.errors import (
    ArgumentError,
    DataWarning,
    DefinitionError,
    EmptyDataError,
    HorizonError,
    UnknownKindError,
    WindowError,
)
from churnsurv.tables.churn import Silence
from churnsurv.tables.spells import SpellTable
from churnsurv.tables.window import DAY_US, ObservationWindow

JANUARY = ObservationWindow("2024-01-01", "2024-01-31")
ORDERS = Silence(("order",), 10)
ENDING = Silence(("order",), 10, terminal=("close",))


@pytest.fixture
def gaps(make_log, utc):
    """Spells as tuples: customer, spell, moment it opens, days, event, open."""

    def build(rows, churn=ORDERS, window=JANUARY, **settings):
        spells = SpellTable.from_events(make_log(rows, **settings), window, churn)
        frame = spells.frame()
        assert list(frame.columns) == [
            "customer_id", "spell", "origin", "entry", "exit", "event", "last_activity", "open",
        ]  # fmt: skip
        assert (frame["entry"] == 0).all()
        assert (frame["origin"] == frame["last_activity"]).all()
        assert spells.exposure_us == round((frame["exit"] - frame["entry"]).sum() * DAY_US)
        assert spells.n_events == tuple((frame["event"] == k + 1).sum() for k in range(len(churn.causes)))
        assert (spells.n_spells, spells.n_open) == (len(frame), frame["open"].sum())
        plain = "timezone" not in settings and isinstance(rows[0][1], str)
        names = {utc(row[1]): row[1] for row in rows} if plain else {}
        return [
            (row.customer_id, row.spell, names.get(row.origin, row.origin), row.exit, row.event, row.open)
            for row in frame.itertuples()
        ]

    return build


# The gap clock ------------------------------------------------------------------------------------------


def test_every_activity_opens_a_gap_that_ends_with_the_next_or_at_the_windows_end(gaps):
    rows = [("a", "2024-01-02 12:00"), ("a", "2024-01-05 12:00"), ("b", "2024-01-30"), ("a", "2024-01-21")]
    assert gaps(rows) == [
        ("a", 1, "2024-01-02 12:00", 3.0, 1, False),
        ("a", 2, "2024-01-05 12:00", 15.5, 1, False),
        ("a", 3, "2024-01-21", 10.0, 0, True),
        ("b", 1, "2024-01-30", 1.0, 0, True),
    ]


def test_only_the_stated_kinds_are_activity(gaps):
    rows = [("a", "2024-01-02"), ("a", "2024-01-05", "return"), ("a", "2024-01-12", "login"), ("a", "2024-01-22")]
    assert gaps(rows) == [("a", 1, "2024-01-02", 20.0, 1, False), ("a", 2, "2024-01-22", 9.0, 0, True)]
    assert [row[3] for row in gaps(rows, Silence(("order", "login"), 10))] == [10.0, 10.0, 9.0]


def test_a_silence_longer_than_the_definition_is_still_ended_by_the_return_and_not_relabelled(gaps):
    # Reactivation: the gap lasts 25 days although 10 count as churn; it is one spell that ends with event 1.
    assert gaps([("a", "2024-01-02"), ("a", "2024-01-27")])[0] == ("a", 1, "2024-01-02", 25.0, 1, False)


def test_activities_of_one_day_are_one_that_opens_with_the_last_and_ends_with_the_first_of_a_later_day(gaps):
    rows = [("a", "2024-01-02 08:00"), ("a", "2024-01-02 20:00"), ("a", "2024-01-04 08:00"), ("a", "2024-01-04 14:00")]
    assert gaps(rows) == [
        ("a", 1, "2024-01-02 20:00", 1.5, 1, False),
        ("a", 2, "2024-01-04 14:00", 26 + 10 / 24, 0, True),
    ]


def test_without_merging_every_moment_is_an_activity_and_equal_moments_are_one(gaps):
    rows = [("a", "2024-01-02 08:00"), ("a", "2024-01-02 20:00"), ("a", "2024-01-02 20:00")]
    assert gaps(rows, Silence(("order",), 10, merge=None)) == [
        ("a", 1, "2024-01-02 08:00", 0.5, 1, False),
        ("a", 2, "2024-01-02 20:00", 28 + 4 / 24, 0, True),
    ]


def test_a_day_is_the_local_day_and_not_the_day_of_utc(gaps, utc):
    # 23:30 and 00:30 in Paris lie on two days, but on one day of UTC; 00:30 and 23:30 the other way round.
    rows = [("a", "2024-01-10 23:30"), ("a", "2024-01-11 00:30"), ("a", "2024-01-11 23:30")]
    assert [row[2:] for row in gaps(rows, timezone="Europe/Paris")] == [
        (utc("2024-01-10 22:30"), 1 / 24, 1, False),
        (utc("2024-01-11 22:30"), 19 + 0.5 / 24, 0, True),
    ]


def test_the_days_of_the_change_of_clocks_are_23_and_25_hours(gaps, utc):
    spring = ObservationWindow("2024-03-01", "2024-04-15")
    rows = [("a", "2024-03-30 12:00"), ("a", "2024-03-31 00:00"), ("a", "2024-03-31 23:59"), ("a", "2024-04-01 00:00")]
    assert [row[2:] for row in gaps(rows, window=spring, timezone="Europe/Paris")] == [
        (utc("2024-03-30 11:00"), 0.5, 1, False),
        (utc("2024-03-31 21:59"), 1 / 1440, 1, False),
        (utc("2024-03-31 22:00"), 14.0, 0, True),
    ]
    autumn = ObservationWindow("2024-10-01", "2024-11-15")
    rows = [("a", "2024-10-26 12:00"), ("a", "2024-10-27 00:30"), ("a", "2024-10-27 23:30"), ("a", "2024-10-28 12:00")]
    days = [row[3] for row in gaps(rows, window=autumn, timezone="Europe/Paris")]
    assert days == [0.5 + 0.5 / 24, 12.5 / 24, 17.5]


def test_a_leap_day_is_a_day(gaps):
    window = ObservationWindow("2024-02-01", "2024-04-01")
    assert gaps([("a", "2024-02-28"), ("a", "2024-03-01")], window=window)[0][3] == 2.0


def test_the_window_is_half_open(gaps, utc):
    first, last = utc("2024-01-01"), utc("2024-01-31") - 1
    assert [row[2:] for row in gaps([("a", first), ("a", last), ("b", last)])] == [
        (first, 30 - 1 / DAY_US, 1, False),
        (last, 1 / DAY_US, 0, True),
        (last, 1 / DAY_US, 0, True),
    ]


# Closures ---------------------------------------------------------------------------------------------------


def test_a_closure_ends_the_gap_as_event_2_and_leaves_nothing_open(gaps):
    rows = [("a", "2024-01-02"), ("a", "2024-01-06", "close")]
    assert gaps(rows, ENDING) == [("a", 1, "2024-01-02", 4.0, 2, False)]


def test_a_closure_later_on_the_day_of_the_last_activity_ends_a_gap_of_hours(gaps):
    rows = [("a", "2024-01-02 08:00"), ("a", "2024-01-02 14:00", "close")]
    assert gaps(rows, ENDING) == [("a", 1, "2024-01-02 08:00", 0.25, 2, False)]


@pytest.mark.parametrize("hour", ["07:00", "08:00", "10:00", "12:00"])
def test_a_closure_before_the_days_last_activity_closes_nothing_and_is_counted(gaps, make_log, hour):
    rows = [("a", "2024-01-02 08:00"), ("a", "2024-01-02 12:00"), ("a", f"2024-01-02 {hour}", "close")]
    assert gaps(rows, ENDING) == [("a", 1, "2024-01-02 12:00", 28.5, 0, True)]
    (fault,) = SpellTable.from_events(make_log(rows), JANUARY, ENDING).faults
    assert (fault.name, fault.count, fault.total) == ("closure without open gap", 1, 1)


def test_a_closure_before_any_activity_is_counted_and_closes_nothing(gaps, make_log):
    rows = [("a", "2024-01-02", "close"), ("a", "2024-01-05"), ("b", "2024-01-05", "close")]
    assert gaps(rows, ENDING) == [("a", 1, "2024-01-05", 26.0, 0, True)]
    (fault,) = SpellTable.from_events(make_log(rows), JANUARY, ENDING).faults
    assert (fault.name, fault.count, fault.total) == ("closure without open gap", 2, 2)
    assert fault.action == "not used: closed before, same day, or never active"


def test_the_first_of_two_closures_counts(gaps, make_log):
    rows = [("a", "2024-01-02"), ("a", "2024-01-05", "close"), ("a", "2024-01-09", "close")]
    assert gaps(rows, ENDING) == [("a", 1, "2024-01-02", 3.0, 2, False)]
    (fault,) = SpellTable.from_events(make_log(rows), JANUARY, ENDING).faults
    assert (fault.count, fault.total) == (1, 2)


def test_activity_after_a_closure_opens_a_new_spell(gaps):
    rows = [("a", "2024-01-02"), ("a", "2024-01-05", "close"), ("a", "2024-01-20"), ("a", "2024-01-25", "close")]
    assert gaps(rows, ENDING) == [("a", 1, "2024-01-02", 3.0, 2, False), ("a", 2, "2024-01-20", 5.0, 2, False)]


def test_any_of_several_terminal_kinds_closes(gaps):
    rows = [("a", "2024-01-02"), ("a", "2024-01-05", "ban"), ("b", "2024-01-02"), ("b", "2024-01-03", "close")]
    assert [row[3:] for row in gaps(rows, Silence(("order",), 10, terminal=("close", "ban")))] == [
        (3.0, 2, False),
        (1.0, 2, False),
    ]


def test_one_cause_censors_the_others(make_log):
    rows = [("a", "2024-01-02"), ("a", "2024-01-05"), ("a", "2024-01-09", "close")]
    spells = SpellTable.from_events(make_log(rows), JANUARY, ENDING)
    assert list(spells.with_cause("return").arrays()["event"]) == [1, 0]
    assert list(spells.with_cause("closure").arrays()["event"]) == [0, 1]


# What is refused, counted or pointed out ------------------------------------------------------------------------


def test_events_before_the_window_are_not_used_and_counted(gaps, make_log):
    rows = [("a", "2023-12-24"), ("a", "2024-01-05"), ("b", "2023-12-24")]
    assert gaps(rows) == [("a", 1, "2024-01-05", 26.0, 0, True)]
    (fault,) = SpellTable.from_events(make_log(rows), JANUARY, ORDERS).faults
    assert (fault.name, fault.count, fault.total) == ("before the window", 2, 3)
    assert fault.action == "not used: the log is not complete there"


def test_a_window_without_activity_is_refused(make_log, refuses):
    with refuses(EmptyDataError, "no order lies in the window 2024-01-01 to 2024-01-31.", "time zone"):
        SpellTable.from_events(make_log([("a", "2023-01-01"), ("a", "2024-01-02", "login")]), JANUARY, ORDERS)
    with refuses(WindowError, "no event lies in the window 2024-01-01 to 2024-01-31; the log's last is of 2023-01-01"):
        SpellTable.from_events(make_log([("a", "2023-01-01")]), JANUARY, ORDERS)


@pytest.mark.parametrize("churn", [Silence(("Order",), 10), Silence(("order",), 10, terminal=("Order",))])
def test_a_kind_that_the_log_does_not_hold_is_refused(make_log, refuses, churn):
    with refuses(
        UnknownKindError, "the log has no event of kind 'Order'.", "kinds in the log: 'order' (2), 'login' (1)"
    ):
        SpellTable.from_events(
            make_log([("a", "2024-01-02"), ("a", "2024-01-03"), ("a", "2024-01-04", "login")]), JANUARY, churn
        )


def test_what_is_no_definition_is_refused(make_log, refuses):
    with refuses(DefinitionError, "str is not a churn definition", "Silence("):
        SpellTable.from_events(make_log([("a", "2024-01-02")]), JANUARY, "order")


def test_an_unknown_cause_is_refused(make_log, refuses):
    with refuses(ArgumentError, "there is no cause 'closure'.", "causes are: return"):
        SpellTable.from_events(make_log([("a", "2024-01-02")]), JANUARY, ORDERS).with_cause("closure")


def daily(first, last):
    """An order on every other day of 2024 from the first to the last day."""
    return [("a", str(day)) for day in np.arange(np.datetime64(first), np.datetime64(last), np.timedelta64(2, "D"))]


def test_silence_at_the_end_of_the_window_is_pointed_out(make_log):
    log = make_log(daily("2024-01-01", "2024-04-01"))
    with pytest.warns(DataWarning, match="the last 30 days .* hold no event.* longest pause is 2 days.*arrive late"):
        SpellTable.from_events(log, ObservationWindow("2024-01-01", "2024-05-01"), ORDERS)


def test_silence_at_the_start_of_the_window_is_pointed_out(make_log):
    log = make_log(daily("2024-03-01", "2024-07-01"))
    with pytest.warns(DataWarning, match="the first 60 days .* hold no event.*starts later than the window"):
        SpellTable.from_events(log, ObservationWindow("2024-01-01", "2024-07-01"), ORDERS)


def test_a_pause_that_is_usual_in_the_log_is_not_pointed_out(make_log):
    log = make_log(daily("2024-01-01", "2024-04-01"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SpellTable.from_events(log, ObservationWindow("2024-01-01", "2024-04-06"), ORDERS)


# The definition --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("days", [0, -1, float("nan"), float("inf"), "90", None])
def test_days_must_be_a_positive_number(refuses, days):
    with refuses(ArgumentError, f"days={days!r} is not a positive number of days."):
        Silence(("order",), days)


@pytest.mark.parametrize(("kinds", "terminal"), [((), ()), (("a", "a"), ()), (("a",), ("a",)), ((1,), ()), (("",), ())])
def test_kinds_must_be_different_names(refuses, kinds, terminal):
    with refuses(ArgumentError, f"kinds={kinds!r} and terminal={terminal!r}", "no kind twice"):
        Silence(kinds, 90, terminal=terminal)


@pytest.mark.parametrize("name", ["kinds", "terminal"])
def test_one_text_in_place_of_several_names_is_refused(refuses, name):
    with refuses(ArgumentError, f"{name} is a tuple of names, not one text.", f'{name}=("order",)'):
        Silence(**{"kinds": ("a",), "days": 90, name: "order"})


def test_an_unknown_way_to_merge_is_refused(refuses):
    with refuses(ArgumentError, "merge='week' is unknown."):
        Silence(("order",), 90, merge="week")


@pytest.mark.parametrize("horizon", [0, -1, 90.001, float("nan")])
def test_a_horizon_beyond_the_definition_is_refused(refuses, horizon):
    with refuses(HorizonError, f"a horizon of {horizon:g} days lies outside (0, 90]", "fall silent once more"):
        Silence(("order",), 90).check_horizon(horizon)


@pytest.mark.parametrize("longest", [0.5, 1.0, 3.0, 90.0, 374.0, 1000.0])
def test_default_breaks_increase_hold_the_definition_and_reach_to_the_end(longest):
    breaks = Silence(("order",), 40).default_breaks(longest)
    assert breaks[0] == 0
    assert (np.diff(breaks) > 0).all()
    assert breaks[-1] >= longest
    assert 40.0 in breaks or longest < 40
