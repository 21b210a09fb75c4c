"""Periods and cells by hand: bins, labels, what falls in no cell, and sums of tables."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from churnsurv.errors import (
    ArgumentError,
    BreaksError,
    CellMismatchError,
    EmptyDataError,
    FeatureError,
    UnknownKindError,
)
from churnsurv.tables.bins import Quantiles, code_sql, outside_sql
from churnsurv.tables.cells import CellTable
from churnsurv.tables.churn import Silence
from churnsurv.tables.features import NONE_YET, Count, Drop, Maximum, Mean, Recency, Rhythm, Value, feature_from_json
from churnsurv.tables.periods import PeriodTable
from churnsurv.tables.schema import CellSchema, PatternColumn, bin_labels, find_bin
from churnsurv.tables.spells import SpellTable
from churnsurv.tables.window import DAY_US, ObservationWindow

WINDOW = ObservationWindow("2024-01-01", "2024-03-01")
ORDERS = Silence(("order",), 20)
ENDING = Silence(("order",), 20, terminal=("close",))
ROWS = [
    ("a", "2024-01-11", "order", 10.0, "FR"),
    ("a", "2024-01-16", "order", 30.0, "FR"),
    ("a", "2024-02-05", "order", 20.0, None),
    ("b", "2024-01-21", "order", 50.0, "DE"),
    ("b", "2024-01-31", "close"),
    ("c", "2024-01-03", "order", 5.0, "FR"),
]


@pytest.fixture
def periods(make_log):
    """Person-periods of rows."""

    def build(rows=ROWS, *, churn=ORDERS, window=WINDOW, **settings):
        return PeriodTable.from_spells(SpellTable.from_events(make_log(rows), window, churn), **settings)

    return build


@pytest.fixture
def cells(periods):
    """Cells of rows."""

    def build(rows=ROWS, *, by=None, bins=None, **settings):
        return CellTable.from_periods(periods(rows, **settings), by=by, bins=bins)

    return build


# Periods ---------------------------------------------------------------------------------------------------


def test_periods_by_hand(periods):
    table = periods(breaks=[0, 5, 15, 100])
    frame = table.frame()
    assert list(frame.columns) == ["customer_id", "spell", "period", "start", "stop", "exposure", "event"]
    assert [tuple(row) for row in frame[frame["customer_id"] == "a"].itertuples(index=False)] == [
        ("a", 1, 0, 0.0, 5.0, 5.0, 1),
        ("a", 2, 0, 0.0, 5.0, 5.0, 0),
        ("a", 2, 1, 5.0, 15.0, 10.0, 0),
        ("a", 2, 2, 15.0, 20.0, 5.0, 1),
        ("a", 3, 0, 0.0, 5.0, 5.0, 0),
        ("a", 3, 1, 5.0, 15.0, 10.0, 0),
        ("a", 3, 2, 15.0, 25.0, 10.0, 0),
    ]
    assert table.unallocated == ()
    assert table.n_rows == len(frame)


def test_an_event_on_an_edge_belongs_to_the_period_that_it_ends(periods):
    frame = periods(ROWS[:2], breaks=[0, 5, 100]).frame()
    assert frame[["period", "event"]].iloc[0].tolist() == [0, 1]
    frame = periods(ROWS[:2], breaks=[0, 5 - 1 / DAY_US, 100]).frame()
    assert frame[["period", "event"]].iloc[:2].to_numpy().tolist() == [[0, 0], [1, 1]]


def test_what_lies_outside_the_breaks_is_unallocated_with_its_reason(periods):
    table = periods(breaks=[2, 10])
    before, beyond = table.unallocated
    # Five spells of 5, 20, 25, 40 and 58 days.
    assert (before.reason, before.n_spells, before.n_events) == ("before the first break (2 days)", 5, (0,))
    assert before.exposure == 10.0
    assert (beyond.reason, beyond.n_spells, beyond.n_events) == ("beyond the last break (10 days)", 0, (1,))
    assert beyond.exposure == 10 + 15 + 30 + 48


def test_default_breaks_reach_to_the_end_of_the_window_and_hold_the_definition(periods):
    table = periods()
    assert table.unallocated == ()
    assert 20.0 in table.breaks


@pytest.mark.parametrize(
    "breaks",
    [[0], [], [1, 0], [0, 30, 30], [-1, 30], [0, float("nan")], [0, float("inf")], ["a", "b"], 30, "30", [None, 1]],
)
def test_breaks_that_do_not_increase_are_refused(periods, refuses, breaks):
    with refuses(BreaksError, "breaks", "write breaks=[0, 30, 90]"):
        periods(breaks=breaks)


def test_breaks_closer_than_a_microsecond_are_refused(periods, refuses):
    with refuses(BreaksError, "breaks do not increase: 0 is followed by 1e-12."):
        periods(breaks=[0, 1e-12, 30])


def test_an_unknown_moment_is_refused(periods, refuses):
    with refuses(ArgumentError, "`as_of`='now' is unknown.", '"spell", "period"'):
        periods(as_of="now")


# Features that cannot be ---------------------------------------------------------------------------------------


def test_a_feature_of_a_kind_that_the_log_does_not_hold_is_refused(periods, refuses):
    with refuses(UnknownKindError, "count_review_9d: the log has no event of kind 'review'.", "'order', 'close'"):
        periods(features=[Count("review", days=9)])


@pytest.mark.parametrize("feature", [Mean("order", "price", days=9), Mean("order", "label", days=9)])
def test_a_feature_of_a_column_that_the_log_does_not_keep_is_refused(periods, refuses, feature):
    with refuses(
        FeatureError, f"{feature.name}: the log keeps no numeric column {feature.column!r}.", "it keeps 'value'",
        column=feature.column,
    ):  # fmt: skip
        periods(features=[feature])


def test_a_feature_without_look_back_must_be_of_the_activity_alone(periods, refuses):
    with refuses(
        FeatureError, "value_close_value looks back without limit at 'close'", "log starts somewhere", "days=90"
    ):
        periods(features=[Value("close", "value")])
    with refuses(FeatureError, "looks back without limit"):
        periods(features=[Value("order", "value")], churn=Silence(("order", "close"), 20))


@pytest.mark.parametrize("names", [("x", "x"), ("x", "X")])
def test_two_features_of_one_name_are_refused(periods, refuses, names):
    with refuses(FeatureError, "two features are called 'x'.", "another name="):
        periods(features=[Count("order", days=9 + k, name=name) for k, name in enumerate(names)])


@pytest.mark.parametrize("name", ["event", "Known", "KEY", "problem", "open", "origin", "silence", "upper", "exit_us"])
def test_a_feature_cannot_take_a_name_of_the_tables(periods, refuses, name):
    with refuses(FeatureError, f"a feature cannot be called {name!r}.", "column of their own"):
        periods(features=[Count("order", days=9, name=name)])


@pytest.mark.parametrize(
    "name", ["it's", 'a "b"', "w0", "c0", "k", "p", "e0", "Σ µ", "time", "day", "x" * 200, "%s {}"]
)
def test_any_other_name_will_do(cells, name):
    table = cells(features=[Count("order", days=9, name=name), Value("order", "label")])
    assert list(table.frame().columns[:2]) == [name, "value_order_label"]


@pytest.mark.parametrize("features", [["order"], [Count], [None]])
def test_what_is_no_declaration_is_refused(periods, refuses, features):
    with refuses(FeatureError, "is no feature declaration.", 'Count("order", days=180)'):
        periods(features=features)


@pytest.mark.parametrize("days", [0, -1, float("nan"), float("inf"), "30", None, True])
def test_a_look_back_is_a_positive_number_of_days(refuses, days):
    with refuses(ArgumentError, f"Count: days={days!r} is not a positive number of days.", "fixed look-back"):
        Count("order", days=days)


def test_names_say_what_a_feature_is():
    assert [
        Count("order", days=180).name, Rhythm("order", days=365).name, Mean("review", "rating", days=90).name,
        Drop("review", "rating", recent=30, before=90).name, Value("Order", "Net revenue").name,
        Recency("order", days=0.5).name, Maximum("ticket", "wait_hours", days=30).name,
    ] == [
        "count_order_180d", "rhythm_order_365d", "mean_review_rating_90d", "drop_review_rating_120d",
        "value_order_net_revenue", "recency_order_0_5d", "maximum_ticket_wait_hours_30d",
    ]  # fmt: skip


# Cells by hand --------------------------------------------------------------------------------------------------


def test_cells_by_hand(cells):
    table = cells(features=[Value("order", "label")], breaks=[0, 5, 100], churn=ENDING)
    frame = table.frame()
    assert list(frame.columns) == [
        "value_order_label", "period", "start", "stop", "n_spells", "n_at_stop", "n_events_return", "n_events_closure",
        "exposure",
    ]  # fmt: skip
    assert [tuple(row) for row in frame.itertuples(index=False)] == [
        ("DE", 0, 0.0, 5.0, 1, 1, 0, 0, 5.0),
        ("DE", 1, 5.0, 100.0, 0, 0, 0, 1, 5.0),
        ("FR", 0, 0.0, 5.0, 3, 3, 1, 0, 15.0),
        ("FR", 1, 5.0, 100.0, 0, 0, 1, 0, 15.0 + 53.0),
        (NONE_YET, 0, 0.0, 5.0, 1, 1, 0, 0, 5.0),
        (NONE_YET, 1, 5.0, 100.0, 0, 0, 0, 0, 20.0),
    ]
    assert table.schema.causes == ("return", "closure")
    assert table.total_events() == (2, 1)
    assert table.total_exposure_us() == (5 + 20 + 25 + 10 + 58) * DAY_US


def test_without_features_there_is_one_cell_a_period(cells):
    table = cells(breaks=[0, 10, 60])
    assert table.codes.shape == (2, 0)
    assert table.n_events.tolist() == [[1], [1]]


def test_a_bin_is_open_below_and_closed_above_and_the_first_one_closed_on_both_sides(cells):
    # Values 10, 30, 20, 50 and 5.
    table = cells(features=[Value("order", "value")], bins={"value_order_value": [5, 10, 20, 50]}, breaks=[0, 100])
    frame = table.frame()
    assert frame["value_order_value"].tolist() == ["5–10", "10–20", "20–50"]
    assert frame["n_spells"].tolist() == [2, 1, 2]


def test_a_value_outside_the_edges_is_unallocated_with_its_reason(cells):
    table = cells(features=[Value("order", "value")], bins={"value_order_value": [9, 20, 40]}, breaks=[0, 10, 100])
    (part,) = table.unallocated
    assert part.reason == "outside the bin edges of value_order_value"
    assert (part.n_spells, part.n_events, part.exposure) == (2, (0,), 40.0 + 58.0)
    assert table.total_exposure_us() == (5 + 20 + 25 + 40 + 58) * DAY_US


def test_a_gap_whose_look_back_reaches_before_the_window_is_unallocated_with_its_reason(cells):
    table = cells(features=[Count("order", days=10)], bins={"count_order_10d": [0, 1, 9]})
    (part,) = table.unallocated
    assert part.reason == "opened less than 10 days after the window's start: the look-back is not covered"
    assert (part.n_spells, part.n_events, part.exposure) == (1, (0,), 58.0)
    assert table.frame().groupby("count_order_10d")["n_spells"].sum().to_dict() == {"0–1": 3, "2–9": 1}


def test_a_look_back_that_begins_exactly_with_the_window_is_covered(cells):
    for days in (10, 10 + 1 / DAY_US):  # the look-back is open at its far end: one microsecond more still begins inside
        assert cells(ROWS[:1], features=[Count("order", days=days)]).unallocated == ()
    with pytest.raises(EmptyDataError):
        cells(ROWS[:1], features=[Count("order", days=10 + 2 / DAY_US)])


def test_a_look_back_longer_than_the_window_is_refused(cells, refuses):
    with refuses(EmptyDataError, "no spell has its look-back of 4000 days inside the window.", "longer window"):
        cells(features=[Count("order", days=4000)])


def test_nothing_known_yet_is_a_level_of_its_own(cells):
    table = cells(features=[Rhythm("order", days=9)], bins={"rhythm_order_9d": [0, 9]}, breaks=[0, 100])
    assert table.schema.columns[0].labels == ("0–9", NONE_YET)
    assert table.frame()[["rhythm_order_9d", "n_spells"]].to_numpy().tolist() == [["0–9", 1], [NONE_YET, 3]]


def test_where_everything_is_known_there_is_no_level_for_nothing(cells):
    assert cells(features=[Count("order", days=9)]).schema.columns[0].labels == ("1", "2")


def test_quantiles_cut_what_is_known_into_equal_parts_and_keep_their_edges(cells):
    rows = [(f"c{k:02d}", "2024-01-20", "order", float(k)) for k in range(1, 41)]
    table = cells(rows, features=[Value("order", "value")], bins={"value_order_value": Quantiles(4)}, breaks=[0, 100])
    column = table.schema.columns[0]
    assert column.edges == (1.0, 10.0, 20.0, 30.0, 40.0)
    assert table.n_spells.tolist() == [10, 10, 10, 10]
    assert (
        cells(rows, features=[Value("order", "value")], breaks=[0, 100]).schema == table.schema
    )  # Quantiles(4) unless told


def test_quantiles_of_tied_values_are_fewer_bins(cells):
    rows = [(f"c{k:02d}", "2024-01-20", "order", 8.0 if k < 38 else 7.0) for k in range(40)]
    column = cells(rows, features=[Value("order", "value")]).schema.columns[0]
    assert column.edges == (7.0, 8.0)


@pytest.mark.parametrize("lowest", [7.0, 1.0, 0.0, -3.5, 1e9])
def test_a_lowest_value_that_many_share_has_a_bin_of_its_own(cells, lowest):
    values = [lowest] * 20 + [lowest + k for k in range(1, 21)]
    rows = [(f"c{k:02d}", "2024-01-20", "order", value) for k, value in enumerate(values)]
    table = cells(rows, features=[Value("order", "value")], breaks=[0, 100])
    assert table.n_spells.tolist() == [20, 10, 10]
    assert table.schema.columns[0].labels[0] == {1e9: "1,000,000,000"}.get(lowest, f"{lowest:g}")
    rows = [(name, when, kind, lowest) for name, when, kind, _ in rows]
    table = cells(rows, features=[Value("order", "value")], breaks=[0, 100])
    assert table.labels("value_order_value").tolist() == [{1e9: "1,000,000,000"}.get(lowest, f"{lowest:g}")]
    assert table.n_spells.tolist() == [40]


def test_quantiles_where_nothing_is_known_are_one_bin(cells):
    column = cells(features=[Drop("order", "value", recent=0.25, before=0.25)]).schema.columns[0]
    assert column.labels == ("any", NONE_YET)
    assert column.edges == (-math.inf, math.inf)


def test_cells_by_some_of_the_features(cells):
    features = [Value("order", "label"), Count("order", days=9)]
    some = cells(features=features, by=["count_order_9d"])
    assert [column.name for column in some.schema.columns] == ["count_order_9d"]
    assert some.schema.features == (features[1],)
    # The look-back of the other feature counts all the same: the rows are those of the person-periods.
    assert [part.n_spells for part in some.unallocated] == [1]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"by": ["x"]}, "there is no feature 'x'."),
        ({"bins": {"x": [0, 1]}}, "bins: 'x' is no feature."),
        ({"by": ["count_order_9d"] * 2}, "named twice"),
        ({"bins": {"value_order_label": [0, 1]}}, "is text, and has no bins"),
    ],
)
def test_names_that_are_no_features_are_refused(cells, refuses, settings, words):
    with refuses(ArgumentError, words, "features are: value_order_label, count_order_9d."):
        cells(features=[Value("order", "label"), Count("order", days=9)], **settings)


@pytest.mark.parametrize(
    "edges", [[], [0], [1, 0], [0, 0], [0, math.nan], [0, math.inf, math.inf], [math.inf, 1], ["a", "b"], 3, "03", None]
)
def test_edges_that_do_not_increase_are_refused(cells, refuses, edges):
    with refuses(
        BreaksError, "bin edges of 'count_order_9d' are not at least two increasing numbers", column="count_order_9d"
    ):
        cells(features=[Count("order", days=9)], bins={"count_order_9d": edges})


@pytest.mark.parametrize("n", [1, 0, -1, 2.0, True, "4", None])
def test_quantiles_are_a_whole_number_of_bins(refuses, n):
    with refuses(ArgumentError, f"Quantiles(n={n!r}): n is a whole number of at least 2."):
        Quantiles(n)


@pytest.mark.parametrize(
    ("edges", "integer", "labels"),
    [
        ((0, 1, 3, math.inf), True, ("0–1", "2–3", "4 or more")),
        ((1, 2), True, ("1–2",)),
        ((1, math.inf), True, ("1 or more",)),
        ((-math.inf, 0, math.inf), False, ("up to 0", "over 0")),
        ((0, 0.5, 1), False, ("0–0.5", "0.5–1")),
        ((1.0000001, 1.0000002, 1.0000003), False, ("1.0000001–1.0000002", "1.0000002–1.0000003")),
        ((-math.inf, math.inf), False, ("any",)),
        ((0, 1234567, 1e20), False, ("0–1,234,567", "1,234,567–1e+20")),
        ((math.nextafter(1, 0), 1, 4), True, ("1", "2–4")),
    ],
)
def test_labels_are_what_a_person_would_write(edges, integer, labels):
    assert bin_labels(edges, integer=integer) == labels


def test_time_at_risk_in_cells_is_carried_exactly(cells):
    rows = [("a", 1_704_067_200_000_000 + 1), ("b", 1_704_067_200_000_000 + DAY_US - 1)]
    table = cells(rows, breaks=[0, 100])
    assert (table.exposure_days.tolist(), table.exposure_rest.tolist()) == ([119], [0])
    first = cells(rows[:1], breaks=[0, 100])
    both = first + first + first
    assert (first.exposure_days.tolist(), first.exposure_rest.tolist()) == ([59], [DAY_US - 1])
    assert (both.exposure_days.tolist(), both.exposure_rest.tolist()) == ([179], [DAY_US - 3])
    assert both.total_exposure_us() == 180 * DAY_US - 3


# Sums of tables ---------------------------------------------------------------------------------------------------


def test_levels_of_text_are_united(cells):
    settings = {"features": [Value("order", "label")], "breaks": [0, 100]}
    one = cells([("a", "2024-01-20", "order", 1.0, "FR"), ("a", "2024-01-25", "order", 1.0, None)], **settings)
    other = cells([("b", "2024-01-20", "order", 1.0, "DE"), ("c", "2024-01-20", "order", 1.0, "FR")], **settings)
    both = one + other
    assert both.schema.columns[0].labels == ("DE", "FR", NONE_YET)
    assert both.frame()[["value_order_label", "n_spells"]].to_numpy().tolist() == [["DE", 1], ["FR", 2], [NONE_YET, 1]]
    assert both.total_exposure_us() == one.total_exposure_us() + other.total_exposure_us()
    again = other + one
    assert again.schema == both.schema
    late = cells([("d", "2024-01-20", "order", 1.0, "zz")], **settings)
    assert (both + late).schema.columns[0].labels == ("DE", "FR", "zz", NONE_YET)
    np.testing.assert_array_equal(again.n_events, both.n_events)


def test_a_level_for_nothing_that_only_one_table_has_is_kept(cells):
    settings = {"features": [Rhythm("order", days=9)], "bins": {"rhythm_order_9d": [0, 3, 9]}, "breaks": [0, 100]}
    one = cells([("a", "2024-01-20"), ("a", "2024-01-24")], **settings)
    other = cells([("b", "2024-01-20")], **settings)
    assert (one + other).schema.columns[0].labels == ("0–3", "3–9", NONE_YET)
    assert (other + one).n_spells.sum() == 3


def test_what_is_unallocated_is_added_by_reason(cells):
    table = cells(breaks=[2, 10])
    doubled = table + table
    assert [part.reason for part in doubled.unallocated] == [part.reason for part in table.unallocated]
    assert [part.exposure_us for part in doubled.unallocated] == [2 * part.exposure_us for part in table.unallocated]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"breaks": [0, 11, 100]}, "different breaks: (0.0, 10.0, 100.0) and (0.0, 11.0, 100.0)"),
        ({"churn": Silence(("order",), 21)}, "different churn"),
        ({"features": [Count("order", days=8, name="n")]}, "different features"),
        ({"as_of": "period"}, "different as_of: spell and period"),
        ({"bins": {"n": [0, 2, 9]}}, "different columns or bin edges"),
    ],
)
def test_tables_that_answer_different_questions_are_not_added(cells, refuses, change, words):
    base = {"features": [Count("order", days=9, name="n")], "bins": {"n": [0, 1, 9]}, "breaks": [0, 10, 100]}
    with refuses(CellMismatchError, words, "would "):
        _ = cells(**base) + cells(**{**base, **change})


def test_tables_of_different_zones_are_not_added(make_log, refuses):
    tables = []
    for zone in ("UTC", "Europe/Paris"):
        log = make_log([("a", "2024-01-05")], timezone=zone)
        tables.append(
            CellTable.from_periods(PeriodTable.from_spells(SpellTable.from_events(log, WINDOW, ORDERS), breaks=[0, 9]))
        )
    with refuses(CellMismatchError, "different timezone: UTC and Europe/Paris"):
        _ = tables[0] + tables[1]


def test_a_table_is_not_added_to_a_number(cells):
    with pytest.raises(TypeError, match="unsupported operand"):
        _ = cells() + 1


# One cause --------------------------------------------------------------------------------------------------------------


def test_one_cause_censors_the_others_and_keeps_the_time_at_risk(cells):
    table = cells(churn=ENDING, breaks=[0, 7, 8])
    closure = table.with_cause("closure")
    assert closure.n_events.shape[1] == 1
    assert closure.total_events() == (1,)
    assert closure.total_exposure_us() == table.total_exposure_us()
    assert "n_events" in closure.frame()


def test_one_cause_is_taken_once_and_from_those_there_are(cells, refuses):
    table = cells(churn=ENDING)
    with refuses(ArgumentError, "there is no cause 'death'.", "causes are: return, closure"):
        table.with_cause("death")
    with refuses(ArgumentError, "these cells count the closure alone already."):
        table.with_cause("closure").with_cause("return")


def test_cells_of_different_causes_are_not_added(cells, refuses):
    table = cells(churn=ENDING)
    returns, closures = table.with_cause("return"), table.with_cause("closure")
    assert (closures + closures).total_events() == (2,)
    assert (closures + closures).cause == "closure"
    with refuses(CellMismatchError, "one table counts return, the other closure.", "added up as one"):
        _ = returns + closures
    with refuses(CellMismatchError, "one table counts closure, the other all causes."):
        _ = closures + table


def test_spells_of_one_cause_make_no_cells_in_which_it_would_have_the_name_of_another(make_log, refuses):
    spells = SpellTable.from_events(make_log(ROWS), WINDOW, ENDING).with_cause("closure")
    assert spells.n_events == (1,)
    assert "1 closure" in repr(spells)
    with refuses(ArgumentError, "these spells count the closure alone.", "cells.with_cause('closure')"):
        PeriodTable.from_spells(spells)
    with refuses(ArgumentError, "these spells count the closure alone already."):
        spells.with_cause("return")


# The schema ----------------------------------------------------------------------------------------------------------------


def test_a_schema_survives_json(cells):
    features = [
        Count("order", days=9), Rhythm("order", days=9), Recency("order", days=3.5), Mean("order", "value", days=9),
        Maximum("order", "value", days=9, name="most é"), Drop("order", "value", recent=3, before=5),
        Value("order", "label"), Value("order", "value", days=9),
    ]  # fmt: skip
    schema = cells(features=features, churn=ENDING, bins={"count_order_9d": [-math.inf, 0.1, math.inf]}).schema
    text = json.dumps(schema.to_json(), allow_nan=False)
    assert CellSchema.from_json(json.loads(text)) == schema


@pytest.mark.parametrize(
    "data",
    [{"type": "Oracle", "kind": "order"}, {"type": "Count", "kind": "order"}, {"kind": "order"},
     {"type": "Count", "kind": "order", "name": "x", "days": 3, "more": 1}],
)  # fmt: skip
def test_a_feature_that_no_version_knows_is_not_read(data):
    with pytest.raises(FeatureError, match="is not a known feature declaration"):
        feature_from_json(data)


def test_a_schema_of_another_definition_is_not_read(cells):
    data = cells().schema.to_json()
    with pytest.raises(ArgumentError, match="is unknown"):
        CellSchema.from_json({**data, "churn": {**data["churn"], "type": "Oracle"}})


def test_an_unknown_column_is_refused(cells, refuses):
    with refuses(ArgumentError, "the cells have no column 'x'.", "columns are: value_order_label"):
        cells(features=[Value("order", "label")]).labels("x")


numbers = st.floats(-1e9, 1e9, allow_nan=False) | st.sampled_from(
    [0.1, 0.30000000000000004, 1e-300, -0.0, 1 / 3, 2.5e-7]
)


@settings(max_examples=200, deadline=None)
@given(
    edges=st.sets(numbers, min_size=2, max_size=6).map(sorted),
    values=st.lists(numbers | st.none(), min_size=1, max_size=6),
    blank=st.booleans(),
    infinite=st.booleans(),
)
@example(edges=[0.1, 0.2, 0.3], values=[0.1 + 0.2, 0.3], blank=True, infinite=False)
def test_a_value_gets_the_same_code_in_sql_in_numpy_and_by_bisection(engine, edges, values, blank, infinite):
    cut = (-math.inf, *edges[1:-1], math.inf) if infinite else tuple(edges)
    labels = (*map(str, range(len(cut) - 1)), *([NONE_YET] if blank else []))
    column = PatternColumn("v", labels, cut)
    # Every edge, its neighbours on both sides, and whatever was drawn.
    near = [
        f(edge)
        for edge in edges
        for f in (lambda x: x, lambda x: np.nextafter(x, -np.inf), lambda x: np.nextafter(x, np.inf))
    ]
    tried = [None if value is None else float(value) for value in (*values, *near)]
    rows = engine.connection.execute(
        f"SELECT {code_sql(column, 'v')}, {outside_sql(column, 'v')} FROM (SELECT unnest($1::DOUBLE[]) AS v)", [tried]
    ).fetchall()
    array = np.array([math.nan if value is None else value for value in tried])
    assert [row[0] for row in rows] == column.code_values(array).tolist()
    assert [row[1] for row in rows] == column.outside(array).tolist()
    assert [find_bin(cut, value) for value in tried if value is not None] == [
        row[0] for row, value in zip(rows, tried, strict=True) if value is not None
    ]


def test_cells_are_counted_from_periods_and_from_nothing_else(make_log, refuses):
    spells = SpellTable.from_events(make_log(ROWS), WINDOW, ORDERS)
    with refuses(ArgumentError, "cells are counted from periods, and SpellTable was given"):
        CellTable.from_periods(spells)
