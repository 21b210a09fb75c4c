"""Declarations by hand: what is inside a look-back and what is not, to the microsecond."""

from __future__ import annotations

import numpy as np
import pytest

from churnsurv.tables.churn import Silence
from churnsurv.tables.features import Count, Drop, Maximum, Mean, Recency, Rhythm, Value
from churnsurv.tables.periods import PeriodTable
from churnsurv.tables.spells import SpellTable
from churnsurv.tables.window import DAY_US, ObservationWindow

WINDOW = ObservationWindow("2024-01-01", "2024-03-01")
MOMENT = 1_704_067_200_000_000 + 20 * DAY_US  # 21 January 2024


@pytest.fixture
def known(make_log):
    """Value of one feature as of an order on 21 January, given other events by their distance to it in microseconds."""

    def build(feature, *others, as_of="spell", breaks=(0, 100), value=None, timezone="UTC"):
        rows = [("a", MOMENT, "order", value), ("b", MOMENT - 15 * DAY_US, "review", 77.0)]
        rows += [("a", MOMENT + distance, *rest) for distance, *rest in others]
        spells = SpellTable.from_events(make_log(rows, timezone=timezone), WINDOW, Silence(("order",), 9))
        frame = PeriodTable.from_spells(spells, features=[feature], as_of=as_of, breaks=list(breaks)).frame()
        frame = frame.merge(spells.frame()[["customer_id", "spell", "origin"]])
        found = frame.loc[frame["origin"] == MOMENT, feature.name].tolist()
        return found[0] if len(found) == 1 else found

    return build


LOOK_BACK = 9 * DAY_US


@pytest.mark.parametrize(("distance", "counts"), [(-LOOK_BACK, 0), (-LOOK_BACK + 1, 1), (-1, 1), (0, 1), (1, 0)])
def test_a_look_back_is_open_at_its_far_end_and_closed_at_the_moment(known, distance, counts):
    assert known(Count("review", days=9), (distance, "review")) == counts


@pytest.mark.parametrize(("distance", "counts"), [(-LOOK_BACK - 1, 0), (-LOOK_BACK, 1), (-1, 1), (0, 0)])
def test_as_of_a_later_period_everything_strictly_before_its_start_is_known(known, distance, counts):
    found = known(Count("review", days=9), (5 * DAY_US + distance, "review"), as_of="period", breaks=(0, 5, 100))
    assert found[1] == counts


def test_the_first_period_knows_the_activity_that_opened_the_gap(known):
    assert known(Count("order", days=9), as_of="period", breaks=(0, 5, 100)) == [1, 1]


def test_activities_of_one_day_are_one_dated_at_its_first(known):
    hour = DAY_US // 24
    two_days = [(-3 * DAY_US, "review"), (-3 * DAY_US + hour, "review"), (-DAY_US, "review")]
    assert known(Count("review", days=9), *two_days) == 2
    # The look-back begins between the two reviews of a day: the day is dated at its first, outside.
    assert known(Count("review", days=3 - 0.5 / 24), *two_days) == 1
    assert known(Rhythm("review", days=9), *two_days) == 2.0


def test_a_day_is_the_local_day(known):
    hour = DAY_US // 24
    late = [
        (-2 * DAY_US + 22 * hour, "review"),
        (-2 * DAY_US + 23 * hour + hour // 2, "review"),
    ]  # 23:00 and 00:30 in Paris
    assert known(Count("review", days=9), *late) == 1
    assert known(Count("review", days=9), *late, timezone="Europe/Paris") == 2


def test_rhythm_is_the_mean_distance_and_needs_two_days(known):
    assert known(Rhythm("review", days=9), (-8 * DAY_US, "review"), (-2 * DAY_US, "review"), (-DAY_US, "review")) == 3.5
    assert np.isnan(known(Rhythm("review", days=9), (-2 * DAY_US, "review")))
    assert np.isnan(known(Rhythm("review", days=9)))


def test_recency_is_the_time_since_the_latest(known):
    assert known(Recency("review", days=9), (-8 * DAY_US, "review"), (-2 * DAY_US, "review"), (1, "review")) == 2.0
    assert known(Recency("review", days=9), (0, "review")) == 0.0
    assert np.isnan(known(Recency("review", days=9), (-LOOK_BACK, "review")))


def test_mean_and_maximum_leave_out_what_is_missing(known):
    events = [
        (-8 * DAY_US, "review", 1.0),
        (-2 * DAY_US, "review", 4.0),
        (-DAY_US, "review", None),
        (1, "review", 99.0),
    ]
    assert known(Mean("review", "value", days=9), *events) == 2.5
    assert known(Maximum("review", "value", days=9), *events) == 4.0
    assert known(Maximum("review", "value", days=9), (-DAY_US, "review", -3.0)) == -3.0
    assert np.isnan(known(Mean("review", "value", days=9), (-DAY_US, "review", None)))


def test_a_drop_is_positive_when_things_get_worse_and_needs_both_stretches(known):
    before, recent = (-5 * DAY_US, "review", 5.0), (-DAY_US, "review", 2.0)
    assert known(Drop("review", "value", recent=3, before=6), before, recent) == 3.0
    assert np.isnan(known(Drop("review", "value", recent=3, before=6), recent))
    assert np.isnan(known(Drop("review", "value", recent=3, before=6), before))


@pytest.mark.parametrize(("distance", "wanted"), [(-3 * DAY_US, 1.0), (-3 * DAY_US + 1, 0.0)])
def test_the_two_stretches_of_a_drop_meet_without_overlap(known, distance, wanted):
    events = [(-5 * DAY_US, "review", 5.0), (-DAY_US, "review", 5.0), (distance, "review", 7.0)]
    assert known(Drop("review", "value", recent=3, before=6), *events) == pytest.approx(wanted if wanted else -1.0)


def test_a_value_is_the_days_total_so_far(known):
    hour = DAY_US // 24
    # The order at midnight is the first of its day; the gap opens with the day's last order, here the first.
    assert known(Value("order", "value"), value=10.0) == 10.0
    events = [
        (-2 * DAY_US, "review", 1.0),
        (-2 * DAY_US + hour, "review", 2.0),
        (-2 * DAY_US + 2 * hour, "review", None),
    ]
    assert known(Value("review", "value", days=9), *events) == 3.0
    assert np.isnan(known(Value("review", "value", days=9), *events, (-DAY_US, "review", None)))


def test_a_value_of_several_lines_of_one_moment_is_their_sum(known):
    assert known(Value("order", "value"), (0, "order", 5.0), (0, "order", None), value=10.0) == 15.0


def test_a_label_is_that_of_the_latest_event(known):
    feature = Value("review", "label", days=9)
    assert known(feature, (-5 * DAY_US, "review", 1.0, "old"), (-DAY_US, "review", 1.0, "new")) == "new"
    assert known(feature, (-5 * DAY_US, "review", 1.0, "old"), (-DAY_US, "review", 1.0, None)) is None
    assert known(feature, (-10 * DAY_US, "review", 1.0, "old")) is None


def test_what_happened_before_the_window_is_not_used(make_log):
    rows = [
        ("a", "2023-12-31"),
        ("a", "2023-12-30", "review", 5.0),
        ("a", "2024-01-02"),
        ("b", "2024-01-01", "review", 1.0),
    ]
    spells = SpellTable.from_events(make_log(rows), WINDOW, Silence(("order",), 9))
    features = [Count("order", days=9), Mean("review", "value", days=9)]
    frame = PeriodTable.from_spells(spells, features=features, breaks=[0, 100]).frame()
    assert frame["count_order_9d"].tolist() == [1.0]
    assert frame["mean_review_value_9d"].isna().all()
