"""Spells cut by hand: facts that arrive, months, landmarks; and what must be conserved whatever is cut."""

from __future__ import annotations

import datetime as dt
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from churnsurv.errors import ArgumentError, DataWarning, DefinitionError, FeatureError
from churnsurv.tables.cells import CellTable
from churnsurv.tables.churn import Silence
from churnsurv.tables.contracts import Cancellation
from churnsurv.tables.episodes import Episodes
from churnsurv.tables.features import NOT_YET, Arrival, Count, Recency, Value
from churnsurv.tables.leaks import leak_audit
from churnsurv.tables.open_spells import OpenSpells
from churnsurv.tables.periods import PeriodTable
from churnsurv.tables.schema import CellSchema
from churnsurv.tables.spells import SpellTable
from churnsurv.tables.window import DAY_US, ObservationWindow

WINDOW = ObservationWindow("2024-01-01", "2024-03-01")
ORDERS = Silence(("order",), 20)
QUIT = Cancellation(("quit",), origin="kind:signup")


@pytest.fixture
def spells(make_log):
    """Spells of rows."""

    def build(rows, churn=ORDERS, window=WINDOW, **named):
        return SpellTable.from_events(make_log(rows, **named), window, churn)

    return build


def told(frame, *names):
    """Rows as tuples of start, stop, event and columns."""
    columns = ["start", "stop", "event", *names]
    return [tuple(None if pd.isna(v) else v for v in row) for row in frame[columns].itertuples(index=False)]


# Facts that arrive ---------------------------------------------------------------------------------------------

SHOP = [
    ("a", "2024-01-11"), ("a", "2024-01-15", "delivery", 4.0, "late"), ("a", "2024-01-21"),
    ("a", "2024-01-24", "review", 5.0), ("a", "2024-02-01", "review", 1.0), ("b", "2024-01-02", "delivery", 9.0, "late"),
    ("b", "2024-01-05"),
]  # fmt: skip


def test_a_fact_splits_the_gap_at_the_moment_it_arrives(spells):
    table = PeriodTable.from_spells(spells(SHOP), breaks=[0, 8, 90], features=[Arrival("delivery", "value")])
    assert told(table.frame(), "arrival_delivery_value") == [
        (0, 4, 0, None), (4, 8, 0, 4.0), (8, 10, 1, 4.0),  # a, first gap
        (0, 8, 0, None), (8, 40, 0, None),  # a, second gap: that delivery was of the first
        (0, 8, 0, None), (8, 56, 0, None),  # b: what came before the gap is not its own
    ]  # fmt: skip
    cells = CellTable.from_periods(table, bins={"arrival_delivery_value": [0, 5, 99]})
    assert cells.schema.columns[0].labels == ("0–5", "5–99", NOT_YET)
    frame = cells.frame()
    waiting = frame[frame["arrival_delivery_value"] == NOT_YET]
    assert (waiting["exposure"].sum(), waiting["n_events"].sum()) == (4 + 40 + 56, 0)
    assert (frame["n_spells"].sum(), frame["n_events"].sum(), frame["exposure"].sum()) == (3, 1, 106)


def test_a_later_arrival_replaces_an_earlier_one_and_text_and_bare_arrivals_have_levels(spells):
    features = [Arrival("review", "value"), Arrival("delivery", "label"), Arrival("delivery", name="delivered")]
    rows = Episodes.from_periods(PeriodTable.from_spells(spells(SHOP), features=features))
    named = [[c.labels[k] for k in rows.codes[:, j]] for j, c in enumerate(rows.schema.columns)]
    stars = [None if np.isnan(v) else v for v in rows.values[0]]
    assert list(zip(rows.customer_id, rows.start, rows.stop, rows.event, stars, named[1], named[2], strict=True)) == [
        ("a", 0, 4, 0, None, NOT_YET, NOT_YET), ("a", 4, 10, 1, None, "late", "arrived"),
        ("a", 0, 3, 0, None, NOT_YET, NOT_YET), ("a", 3, 11, 0, 5.0, NOT_YET, NOT_YET),
        ("a", 11, 40, 0, 1.0, NOT_YET, NOT_YET), ("b", 0, 56, 0, None, NOT_YET, NOT_YET),
    ]  # fmt: skip
    assert (rows.n_spells, rows.values[1], rows.values[2]) == (3, None, None)


def test_prediction_carries_forward_what_has_arrived_by_now(spells):
    table = spells(SHOP)
    cells = CellTable.from_periods(PeriodTable.from_spells(table, features=[Arrival("review", "value")]), bins={})
    (now,) = OpenSpells.batches(table, cells.schema)
    assert list(now.customer_id) == ["a", "b"]
    assert now.values[0][0] == 1.0
    assert np.isnan(now.values[0][1])
    assert now.levels[0][1] == NOT_YET


def test_what_had_arrived_before_the_window_is_not_known(spells):
    rows = [
        ("a", "2023-12-22", "signup"),
        ("b", "2024-01-05", "signup"),
        ("b", "2024-01-09", "ticket"),
        ("b", "2024-01-11", "quit"),
    ]
    cells = CellTable.from_periods(PeriodTable.from_spells(spells(rows, QUIT), features=[Arrival("ticket")]))
    (lost,) = cells.unallocated
    assert (lost.reason, lost.exposure) == ("began before the window: what had arrived by then is not known", 60)
    assert dict(cells.frame().groupby("arrival_ticket")["exposure"].sum()) == {"arrived": 2, NOT_YET: 4}


def test_an_arrival_is_no_opening_no_landmark_feature_and_has_no_single_moment_to_audit(spells, refuses):
    table = spells(SHOP)
    with refuses(FeatureError, "'order' opens spells"):
        PeriodTable.from_spells(table, features=[Arrival("order")])
    with refuses(FeatureError, "the log keeps no column 'stars'"):
        PeriodTable.from_spells(table, features=[Arrival("review", "stars")])
    with refuses(FeatureError, "features at landmarks stand still"):
        PeriodTable.from_landmarks(table, horizon=20, features=[Arrival("review")])
    with refuses(ArgumentError, "has no single moment to audit"):
        leak_audit(table, [Arrival("review")])


# Months ------------------------------------------------------------------------------------------------------


def test_months_of_the_logs_zone_split_the_row(spells):
    rows = [("a", "2024-01-20", "order"), ("a", "2024-02-29 12:00", "order")]
    table = PeriodTable.from_spells(spells(rows, timezone="Europe/Paris"), breaks=[0, 5, 90], calendar="month")
    assert told(table.frame(), "calendar_month") == [
        (0, 5, 0, "2024-01"), (5, 12, 0, "2024-01"), (12, 40.5, 1, "2024-02"), (0, 0.5, 0, "2024-02"),
    ]  # fmt: skip
    cells = CellTable.from_periods(table)
    assert cells.schema.calendar == "month"
    assert CellSchema.from_json(cells.schema.to_json()) == cells.schema


def test_a_month_is_as_long_as_the_clocks_say(spells):
    window = ObservationWindow("2024-03-01", "2024-05-01")
    rows = [("a", "2024-03-01", "order"), ("b", "2024-04-01", "order")]
    table = PeriodTable.from_spells(spells(rows, window=window, timezone="Europe/Paris"), calendar="month")
    march = table.frame().groupby("calendar_month")["exposure"].sum()
    assert march["2024-03"] * 24 == pytest.approx(31 * 24 - 1, abs=1e-9)  # an hour was skipped on the 31st


def test_months_to_come_are_not_predicted(spells, refuses):
    table = spells(SHOP)
    cells = CellTable.from_periods(PeriodTable.from_spells(table, calendar="month"))
    with refuses(FeatureError, "the months ahead are not among them"):
        list(OpenSpells.batches(table, cells.schema))


# Landmarks ---------------------------------------------------------------------------------------------------

TWO = ["2024-01-21", "2024-02-10"]


def test_a_landmark_freezes_features_and_follows_for_the_horizon_or_to_the_event(spells):
    rows = [
        ("a", "2024-01-11"),
        ("a", "2024-01-31"),
        ("b", "2024-01-25"),
        ("b", "2024-01-20 23:59", "visit"),
        ("b", "2024-02-10", "visit"),
    ]
    table = PeriodTable.from_landmarks(
        spells(rows),
        horizon=15,
        landmarks=TWO,
        breaks=[0, 90],
        features=[Count("visit", days=12), Recency("visit", days=12)],
    )
    assert [(r.customer_id, r.start, r.stop, r.event, r.count_visit_12d) for r in table.frame().itertuples()] == [
        ("a", 10, 20, 1, 0),  # at risk on 21 January for ten days, until the next order
        ("a", 10, 25, 0, 0),  # its next gap on 10 February
        ("b", 16, 31, 0, 0),  # the visit of that very midnight is not known before it; that of 20 January is too old
    ]
    (lost,) = table.unallocated
    assert (lost.reason, lost.n_events) == ("between the landmarks' horizons", (0,))
    assert lost.exposure == (20 + 30 + 36) - (10 + 15 + 15)
    schema = CellTable.from_periods(table, bins={"count_visit_12d": [0, 9], "recency_visit_12d": [0, 99]}).schema
    assert (schema.as_of, schema.reach) == ("landmark", 15)
    assert CellSchema.from_json(schema.to_json()) == schema


def test_at_prediction_the_landmark_is_now(spells):
    rows = [("a", "2024-01-11"), ("a", "2024-02-20", "visit"), ("a", "2024-02-29", "visit"), ("b", "2024-01-25")]
    table = spells(rows)
    periods = PeriodTable.from_landmarks(table, horizon=15, landmarks=TWO, features=[Count("visit", days=12)])
    (now,) = OpenSpells.batches(table, CellTable.from_periods(periods).schema)
    assert [*now.values[0]] == [2, 0]
    at_opening = CellTable.from_periods(PeriodTable.from_spells(table, features=[Count("visit", days=10)])).schema
    (then,) = OpenSpells.batches(table, at_opening)
    assert [*then.values[0]] == [0, 0]


def test_a_customer_who_began_inside_the_window_has_nothing_to_look_back_on(spells):
    rows = [
        ("a", "2024-01-03", "signup"),
        ("a", "2024-01-06", "ticket"),
        ("b", "2023-12-03", "signup"),
        ("c", "2024-01-02", "signup"),
        ("c", "2024-01-08", "quit"),
    ]
    table = PeriodTable.from_landmarks(
        spells(rows, QUIT), horizon=10, landmarks=["2024-01-10"], features=[Count("ticket", days=30)]
    )
    cells = CellTable.from_periods(table, bins={"count_ticket_30d": [0, 9]})
    assert cells.exposure.sum() == 10  # a; of b nobody knows the thirty days before
    assert [part.reason[:6] for part in cells.unallocated] == ["betwee", "opened"]


def test_who_signs_up_at_the_landmark_has_signed_up(spells):
    rows = [
        ("a", "2024-01-21", "signup", 9.0, "gold"),
        ("b", "2024-01-05", "signup", 5.0, "tin"),
        ("b", "2024-02-28", "quit"),
    ]
    table = PeriodTable.from_landmarks(
        spells(rows, QUIT), horizon=15, landmarks=["2024-01-21"], features=[Value("signup", "label", name="plan")]
    )
    assert told(table.frame(), "plan") == [(0, 15, 0, "gold"), (16, 30, 0, "tin"), (30, 31, 0, "tin")]


def test_who_came_back_has_a_past_that_the_log_does_not_show(spells):
    rows = [
        ("a", "2022-11-27", "signup"), ("a", "2023-12-27", "quit"), ("a", "2024-01-11", "signup"), ("a", "2024-01-12", "login"),
        ("b", "2024-01-11", "signup"),
    ]  # fmt: skip
    table = PeriodTable.from_landmarks(
        spells(rows, QUIT), horizon=10, landmarks=["2024-01-21"], features=[Count("login", days=90)]
    )
    cells = CellTable.from_periods(table, bins={"count_login_90d": [0, 9]})
    assert cells.exposure.sum() == 10  # b; of a nobody knows the logins of last year


def test_landmarks_lie_the_horizon_apart_unless_told_otherwise(spells, refuses):
    table = spells(SHOP)
    marks = PeriodTable.from_landmarks(table, horizon=15).landmarks  # the first of four would be the window's start
    assert [table.end_us - mark for mark in marks] == [45 * DAY_US, 30 * DAY_US, 15 * DAY_US]
    assert len(PeriodTable.from_landmarks(table, horizon=15, spacing=30).landmarks) == 1
    with refuses(ArgumentError, "1 of 2 landmarks are followed by another within the horizon of 25 days"):
        PeriodTable.from_landmarks(table, horizon=25, landmarks=TWO)
    with refuses(ArgumentError, "1 of 2 landmarks lie outside the window"):
        PeriodTable.from_landmarks(table, horizon=5, landmarks=["2024-01-10", "2024-03-01"])
    with refuses(ArgumentError, "lie outside the window, or there is none"):
        PeriodTable.from_landmarks(table, horizon=500)
    with refuses(ArgumentError, "horizon=-1 is not a positive number"):
        PeriodTable.from_landmarks(table, horizon=-1)
    with refuses(ArgumentError, "landmarks and spacing are both given"):
        PeriodTable.from_landmarks(table, horizon=5, spacing=9, landmarks=TWO)


# Conservation -------------------------------------------------------------------------------------------------

_ROW = st.tuples(
    st.sampled_from("abc"),
    st.integers(0, 59 * 24).map(lambda hour: f"{dt.datetime(2024, 1, 1) + dt.timedelta(hours=hour):%Y-%m-%d %H:%M}"),
    st.sampled_from(["order", "order", "review", "quit"]),
    st.sampled_from([1.0, 5.0, None]),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(_ROW, min_size=3, max_size=25),
    how=st.sampled_from(["arrivals", "months", "both", "landmarks", "landmarks by month"]),
    shop=st.booleans(),
)
def test_events_and_exposure_are_conserved_however_spells_are_cut(make_log, rows, how, shop):
    rows = [*rows, ("a", "2024-01-01", "order"), ("a", "2024-01-03", "quit"), ("z", "2024-01-02", "review", 1.0)]
    churn = Silence(("order",), 20, terminal=("quit",)) if shop else Cancellation(("quit",), origin="kind:order")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # contracts without length, said elsewhere
        table = SpellTable.from_events(make_log(rows), WINDOW, churn)
    month = "month" if "month" in how or how == "both" else None
    if "landmarks" in how:
        periods = PeriodTable.from_landmarks(table, horizon=13, breaks=[0, 7, 30], calendar=month)
        assume(periods.n_rows > 0)  # nobody at risk at any of them
    else:
        arrivals = [Arrival("review", "value")] if how in ("arrivals", "both") else []
        periods = PeriodTable.from_spells(table, breaks=[0, 7, 30], features=arrivals, calendar=month)
    cells = CellTable.from_periods(periods, bins={f.name: [0, 9] for f in periods.features})
    assert cells.total_events() == table.n_events
    assert cells.total_exposure_us() == table.exposure_us
    episodes = Episodes.from_periods(periods)
    lost = sum(part.exposure_us for part in episodes.unallocated)
    assert episodes.exposure.sum() == pytest.approx((table.exposure_us - lost) / DAY_US)
    found = [int((episodes.event == k + 1).sum()) for k in range(len(churn.causes))]
    assert found == [n - sum(p.n_events[k] for p in episodes.unallocated) for k, n in enumerate(table.n_events)]


# Episodes ----------------------------------------------------------------------------------------------------


def test_a_spell_is_one_row_whatever_the_period_edges(spells):
    table = spells(SHOP)
    features = [Value("order", "value"), Count("review", days=3)]
    rows = Episodes.from_periods(PeriodTable.from_spells(table, breaks=[0, 1, 5], features=features))
    arrays = table.arrays()
    assert rows.start.tolist() == arrays["entry"].tolist()
    assert rows.stop.tolist() == arrays["exit"].tolist()
    assert rows.event.tolist() == arrays["event"].tolist()
    assert repr(rows).startswith("Episodes(3 rows of 3 spells: 1 events, 106 days at risk")


def test_rows_as_of_periods_change_with_them(spells):
    features = [Count("review", days=4)]
    rows = Episodes.from_periods(
        PeriodTable.from_spells(spells(SHOP), breaks=[0, 6, 90], features=features, as_of="period")
    )
    assert list(zip(rows.customer_id, rows.start, rows.stop, rows.values[0], strict=True)) == [
        ("a", 0, 6, 0), ("a", 6, 10, 0), ("a", 0, 6, 0), ("a", 6, 40, 1), ("b", 0, 6, 0), ("b", 6, 56, 0),
    ]  # fmt: skip


def test_bins_that_are_asked_for_are_used_and_what_lies_outside_is_in_no_row(spells):
    periods = PeriodTable.from_spells(spells(SHOP), features=[Arrival("review", "value")])
    rows = Episodes.from_periods(periods, bins={"arrival_review_value": [2, 9]})
    assert rows.binned == {"arrival_review_value"}
    assert (rows.exposure.sum(), rows.unallocated[0].reason, rows.unallocated[0].exposure) == (
        77,
        "outside the bin edges",
        29,
    )


def test_one_cause_is_chosen_once(spells, refuses):
    rows = [
        ("a", "2024-01-02", "order"),
        ("a", "2024-01-05", "close"),
        ("b", "2024-01-02", "order"),
        ("b", "2024-01-04", "order"),
    ]
    table = spells(rows, Silence(("order",), 20, terminal=("close",)))
    episodes = Episodes.from_spells(table)
    assert episodes.event.tolist() == [2, 1, 0]
    alone = episodes.with_cause("closure")
    assert (alone.event.tolist(), alone.cause) == ([1, 0, 0], "closure")
    with refuses(ArgumentError, "there is no cause 'whim'"):
        episodes.with_cause("whim")
    with refuses(ArgumentError, "these rows count the closure alone"):
        alone.with_cause("return")
    assert Episodes.from_spells(table.with_cause("closure")).event.tolist() == alone.event.tolist()


def test_durations_know_no_calendar(spells, refuses):
    table = spells(SHOP)
    with refuses(DefinitionError, "there is no log, and no calendar"):
        SpellTable.of_relation(table.relation, table.churn).observed()
