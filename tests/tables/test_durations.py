"""Durations by hand; items 1 to 7, 17 to 19, 21 to 31, 40, 41 and 44 of the catalogue of bad inputs."""

from __future__ import annotations

import datetime as dt
import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from churnsurv.errors import (
    ArgumentError,
    ColumnError,
    DataTypeError,
    DataWarning,
    DefinitionError,
    EmptyDataError,
    FeatureError,
    IdentifierError,
    MissingValueError,
    NonFiniteError,
)
from churnsurv.tables.cells import CellTable
from churnsurv.tables.contracts import Cancellation
from churnsurv.tables.duration_columns import UNIT_US
from churnsurv.tables.episodes import Episodes
from churnsurv.tables.features import Baseline, Count
from churnsurv.tables.open_spells import OpenSpells
from churnsurv.tables.periods import PeriodTable
from churnsurv.tables.spells import SpellTable
from churnsurv.tables.window import DAY_US

THREE = {
    "months": [1.0, 3.0, 5.0],
    "left": [1, 0, 1],
    "plan": ["a", "b", "a"],
    "fee": [10, 20, 30],
    "who": ["x", "y", "z"],
}


@pytest.fixture
def read(engine):
    """Spells of columns; ``duration="months"``, ``event="left"`` and ``unit="day"`` unless said."""

    def build(columns=None, **settings):
        frame = settings.pop("frame", None)
        frame = pd.DataFrame({**THREE, **(columns or {})}) if frame is None else frame
        named = {"duration": "months", "event": "left", "unit": "day", "engine": engine}
        return SpellTable.from_durations(frame, **{**named, **settings})

    return build


def rows_of(spells):
    frame = spells.frame()
    return list(zip(*(frame[name] for name in ("customer_id", "spell", "entry", "exit", "event", "open")), strict=True))


# What a row means -----------------------------------------------------------------------------------------


def test_one_row_is_one_spell_from_its_own_beginning(read):
    spells = read(customer="who", values=["fee"], labels=["plan"])
    assert rows_of(spells) == [("x", 1, 0.0, 1.0, 1, False), ("y", 1, 0.0, 3.0, 0, True), ("z", 1, 0.0, 5.0, 1, False)]
    assert spells.churn == Cancellation(("churned",), origin="stated")
    assert (spells.log, spells.window, spells.timezone) == (None, None, "UTC")
    assert (spells.n_spells, spells.n_customers, spells.n_open, spells.n_events) == (3, 3, 1, (2,))
    assert spells.exposure_us == 9 * DAY_US
    assert spells.baseline == (Baseline("fee"), Baseline("plan"))
    frame = spells.frame()
    assert frame["origin"].isna().all()
    assert frame["last_activity"].isna().all()
    assert (frame["fee"].tolist(), frame["plan"].tolist()) == ([10.0, 20.0, 30.0], ["a", "b", "a"])
    with pytest.raises(DefinitionError, match="no log, and no calendar"):
        spells.observed()


@pytest.mark.parametrize(
    ("unit", "days"), [("hour", 1 / 24), ("day", 1.0), ("week", 7.0), ("month", 30.4375), ("year", 365.25)]
)
def test_units_are_stated_and_exact(read, unit, days):
    assert UNIT_US[unit] == days * DAY_US
    spells = read(unit=unit)
    assert spells.arrays()["exit"] == pytest.approx([days, 3 * days, 5 * days], rel=1e-15)
    assert spells.exposure_us == 9 * UNIT_US[unit]


def test_41_a_unit_is_never_guessed(read, refuses, engine):
    with pytest.raises(TypeError, match="unit"):
        SpellTable.from_durations(pd.DataFrame(THREE), duration="months", event="left", engine=engine)
    with refuses(ArgumentError, "`unit`='months' is unknown", '"month"'):
        read(unit="months")
    in_days = read({"months": [30.4375, 3 * 30.4375, 5 * 30.4375]}, unit="day")
    assert in_days.exposure_us == read(unit="month").exposure_us


def test_durations_in_whole_units_say_to_what_they_were_rounded(read):
    assert read(unit="month").grain == 30.4375
    assert read({"months": [1.0, 3.0, 5.5]}, unit="month").grain is None
    assert read().with_cause("churned").grain == 1.0


def test_entry_is_time_on_the_clock_and_follow_up_a_last_stretch(read, refuses):
    entered = read({"since": [0.0, 1.0, 4.5]}, entry="since").arrays()
    assert entered["entry"].tolist() == [0.0, 1.0, 4.5]
    watched = read(follow_up=2, unit="month").arrays()
    assert watched["entry"].tolist() == [0.0, 30.4375, 3 * 30.4375]
    with refuses(ArgumentError, "follow_up= and entry= or spell= are both given"):
        read({"since": [0.0, 1.0, 4.5]}, entry="since", follow_up=1)
    for wrong in (0, -1, float("inf"), "1", True):
        with refuses(ArgumentError, "follow_up="):
            read(follow_up=wrong)


def test_without_ids_the_rows_number_is_the_customer(read):
    spells = read({name: np.resize(values, 12) for name, values in THREE.items()})
    assert spells.frame()["customer_id"].tolist() == [f"{k:02}" for k in range(12)]


def test_nobody_has_left_in_a_table_to_be_scored(read, refuses):
    spells = read(event=None)
    assert (spells.n_events, spells.n_open) == ((0,), 3)
    with refuses(ArgumentError, "event=None names none"):
        read(event=None, churned="Yes")


def test_a_column_may_say_who_is_still_a_customer(read, refuses):
    assert read({"left": [0, 0, 1], "here": [1, 0, 0]}, open="here").frame()["open"].tolist() == [True, False, False]
    assert read({"left": [0, 0, 1], "here": [True, False, False]}, open="here").n_open == 1
    with refuses(ArgumentError, "1 of 3 rows have an event and are open in 'here'"):
        read({"here": [1, 1, 0]}, open="here")
    with refuses(ArgumentError, "1 of 3 values in 'here' are neither 0 nor 1"):
        read({"here": [0, 2, 0]}, open="here")


def test_stretches_of_one_spell_and_spells_of_one_customer(read):
    columns = {
        "who": ["x", "y", "x", "x", "x"], "number": [1, 1, 2, 1, 1], "since": [3.0, 0.0, 0.0, 0.0, 1.0],
        "months": [4.0, 2.0, 9.0, 1.0, 2.0], "left": [1, 0, 0, 0, 0], "fee": [3, 9, 4, 1, 2], "plan": list("edcba"),
    }  # fmt: skip
    spells = read(frame=pd.DataFrame(columns), customer="who", spell="number", entry="since", values=["fee"])
    assert rows_of(spells) == [
        ("x", 1, 0.0, 1.0, 0, False), ("x", 1, 1.0, 2.0, 0, False), ("x", 1, 3.0, 4.0, 1, False),
        ("x", 2, 0.0, 9.0, 0, True), ("y", 1, 0.0, 2.0, 0, True),
    ]  # fmt: skip
    assert [(fault.name, fault.count) for fault in spells.faults] == [("pause inside a spell", 1)]  # item 29
    assert spells.frame()["fee"].tolist() == [1.0, 2.0, 3.0, 4.0, 9.0]
    assert (spells.n_customers, spells.n_open) == (2, 2)
    assert Episodes.from_spells(spells).customer_id.tolist() == ["x", "x", "x", "x", "y"]


# From there to the rest of the tables -------------------------------------------------------------------------


def test_durations_go_all_the_way_to_cells_episodes_and_open_spells(read):
    spells = read(customer="who", values=["fee"], labels=["plan"])
    periods = PeriodTable.from_spells(spells, breaks=[0, 2, 4, 6])
    assert periods.frame()[["customer_id", "start", "stop", "event", "fee", "plan"]].to_numpy().tolist() == [
        ["x", 0, 1, 1, 10, "a"], ["y", 0, 2, 0, 20, "b"], ["y", 2, 3, 0, 20, "b"],
        ["z", 0, 2, 0, 30, "a"], ["z", 2, 4, 0, 30, "a"], ["z", 4, 5, 1, 30, "a"],
    ]  # fmt: skip
    cells = CellTable.from_periods(periods, by=["plan"])
    assert cells.labels("plan").tolist() == ["a", "a", "a", "b", "b"]
    assert cells.n_events[:, 0].tolist() == [1, 0, 1, 0, 0]
    assert cells.exposure.tolist() == [2.5, 2.0, 0.5, 2.0, 1.0]  # half of the day in which somebody leaves is not lived
    episodes = Episodes.from_spells(spells)
    assert (episodes.start.tolist(), episodes.stop.tolist(), episodes.event.tolist()) == (
        [0, 0, 0],
        [1, 3, 5],
        [1, 0, 1],
    )
    assert episodes.values[0].tolist() == [10.0, 20.0, 30.0]
    assert episodes.weight is None
    (scored,) = OpenSpells.batches(spells, cells.schema)
    assert (scored.customer_id.tolist(), scored.reached.tolist(), scored.levels[0].tolist()) == (["y"], [3.0], ["b"])
    with pytest.raises(FeatureError, match="computed from events"):
        PeriodTable.from_spells(spells, features=[Count("order", days=9)])


def test_a_feature_may_bear_another_name_than_its_column(read):
    renamed = PeriodTable.from_spells(read(values=["fee"]), features=[Baseline("fee", name="price")], breaks=[0, 9])
    assert renamed.frame()["price"].tolist() == [10.0, 20.0, 30.0]


def test_22_weights_belong_to_rows_and_not_to_cells(read, refuses):
    spells = read({"times": [2, 1, 0.5]}, weight="times")
    assert spells.arrays()["weight"].tolist() == [2.0, 1.0, 0.5]
    assert Episodes.from_spells(spells).weight.tolist() == [2.0, 1.0, 0.5]
    with pytest.raises(ArgumentError, match="cells count whole customers"):
        CellTable.from_periods(PeriodTable.from_spells(spells))
    for wrong in (0.0, -1.0):
        with refuses(ArgumentError, "1 of 3 weights in 'times' are not above zero", count=1, column="times"):
            read({"times": [2, 1, wrong]}, weight="times")
    with refuses(MissingValueError, "1 of 3 rows have no value in 'times'"):
        read({"times": [2, 1, np.nan]}, weight="times")


# Events -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("left", [[1, 0, 1], [True, False, True], [1.0, 0.0, 1.0], ["1", "0", "1"]])
def test_6_zero_and_one_are_read_as_such(read, left):
    assert read({"left": left}).n_events == (2,)


@pytest.mark.parametrize("left", [[2, 0, 1], [0.5, 0.0, 1.0], [-1, 0, 1], ["2", "0", "1"]])
def test_6_other_codes_have_no_meaning(read, refuses, left):
    for on_bad in ("raise", "drop"):
        with refuses(ArgumentError, "1 of 3 events in 'left' are none of 0, 1", "causes=", count=1, total=3):
            read({"left": left}, on_bad=on_bad)


def test_several_causes_are_named(read, refuses):
    spells = read({"left": [2, 0, 1]}, causes=["cancelled", "payment_failed"])
    assert spells.churn.causes == ("cancelled", "payment_failed")
    assert (spells.n_events, spells.frame()["event"].tolist()) == ((1, 1), [2, 0, 1])
    assert spells.with_cause("payment_failed").frame()["event"].tolist() == [1, 0, 0]
    with refuses(ArgumentError, "causes is a list of names, not one text"):
        read(causes="cancelled")


def test_7_words_need_their_meaning(read, refuses):
    words = {"left": ["Yes", "No", "Yes"]}
    with refuses(
        DataTypeError, "events in 'left' are words: 'Yes' (2), 'No' (1)", 'churned={"Yes": 1, "No": 0}', count=3
    ):
        read(words)
    assert read(words, churned="Yes").n_events == (2,)
    assert read(words, churned={"Yes": 1, "No": 0}).n_events == (2,)
    assert read(
        {"left": ["gone", "here", "unpaid"]}, churned={"gone": 1, "here": 0, "unpaid": 2}, causes=["a", "b"]
    ).n_events == (1, 1)
    assert read({"left": [2, 1, 2]}, churned={2: 1, 1: 0}).n_events == (2,)
    assert read({"left": [2.0, 1.0, 2.0]}, churned={2: 1, 1: 0}).n_events == (2,)
    assert read({"left": [True, False, False]}, churned={True: 0, False: 1}).n_events == (2,)


@pytest.mark.parametrize("churned", ["yes", {"Yes": 1}, {"Yes": 2, "No": 0}, {"Yes": 0.5, "No": 0}, 1])
def test_7_a_value_that_was_not_named_is_not_censored_by_chance(read, refuses, churned):
    with refuses(ArgumentError, "churned="):
        read({"left": ["Yes", "No", "Yes"]}, churned=churned)
    with refuses(ArgumentError, "'Yes' (1), 'maybe' (1)"):
        read({"left": ["Yes", "No", "maybe"]}, churned="Yes")


def test_a_missing_event_is_refused_and_not_taken_for_none(read, refuses):
    for left in ([1, None, 0], ["Yes", None, "No"]):
        churned = "Yes" if "Yes" in left else None
        with refuses(MissingValueError, "1 of 3 rows have no value in 'left'", count=1):
            read({"left": left}, churned=churned)
        assert read({"left": left}, churned=churned, on_bad="drop").n_spells == 2


# Numbers --------------------------------------------------------------------------------------------------------


def test_1_missing_covariates_are_refused_with_their_column(read, refuses):
    with refuses(MissingValueError, "2 of 3 rows have no value in 'fee'", "a level of its own", column="fee", count=2):
        read({"fee": [np.nan, 1.0, np.nan]}, values=["fee"])
    with refuses(MissingValueError, "1 of 3 rows have no value in 'plan'", column="plan"):
        read({"plan": ["a", "", "b"]}, labels=["plan"])
    spells = read({"plan": ["a", None, "b"]}, labels=["plan"], on_bad="drop")
    assert [(f.name, f.count, f.total) for f in spells.faults] == [("missing covariate plan", 1, 3)]
    assert spells.frame()["customer_id"].tolist() == ["0", "2"]


def test_54_na_is_a_country(read, tmp_path):
    path = tmp_path / "three.csv"
    path.write_text("months,left,plan\n1,1,NA\n2,0,nan\n", encoding="utf-8")
    assert read(frame=path, labels=["plan"]).frame()["plan"].tolist() == ["NA", "nan"]


@pytest.mark.parametrize("column", ["months", "fee", "since", "times"])
@pytest.mark.parametrize("infinity", [np.inf, -np.inf])
def test_2_infinities_are_refused(read, refuses, column, infinity):
    columns = {"since": [0.0, 0, 0], "times": [1.0, 1, 1], "fee": [1.0, 2, 3], "months": [1.0, 2, 3]}
    columns[column][1] = infinity
    with refuses(NonFiniteError, f"1 of 3 values in '{column}' are not finite", column=column):
        read(columns, values=["fee"], entry="since", weight="times")


def test_3_missing_durations_are_refused(read, refuses):
    with refuses(MissingValueError, "1 of 3 rows have no value in 'months'", rows=({"row": 1, "months": None},)):
        read({"months": pd.array([1.0, None, 3.0], dtype="Float64")})


def test_4_negative_durations_are_refused(read, refuses):
    with refuses(ArgumentError, "2 of 3 durations in 'months' are negative", "swapped", count=2) as caught:
        read({"months": [-1.0, 3.0, -1e-9]}, customer="who")
    assert caught.value.rows == ({"row": 0, "who": "x", "months": -1.0}, {"row": 2, "who": "z", "months": -1e-9})


def test_5_zero_durations_are_refused_or_counted_and_never_moved(read, refuses):
    with refuses(ArgumentError, "2 of 3 durations in 'months' are zero", "replace(0, 0.5)", count=2):
        read({"months": [0.0, 3.0, 1e-12]})
    spells = read({"months": [0.0, 3.0, 1e-12]}, on_bad="drop")
    assert [(f.name, f.count) for f in spells.faults] == [("no duration", 2)]
    assert spells.exposure_us == 3 * DAY_US


def test_numbers_that_are_text_are_read_only_if_they_are_numbers(read, refuses):
    assert read({"months": ["1", "3.0", "5"]}).exposure_us == 9 * DAY_US
    with refuses(DataTypeError, "1 of 3 values in 'months' are not numbers", "12.50", count=1):
        read({"months": ["1", "3,0", "5"]})
    spells = read({"months": ["1", "3,0", "5"]}, on_bad="drop")
    assert [(f.name, f.count) for f in spells.faults] == [("months is not a number", 1)]


def test_24_small_integers_do_not_wrap(read):
    columns = {
        "months": np.array([200, 100, 1], np.uint8),
        "left": np.array([1, 0, 1], np.int8),
        "fee": np.array([120, 1, 1], np.int8),
    }
    spells = read(columns, unit="year", values=["fee"], on_bad="drop")
    assert spells.exposure_us == 301 * UNIT_US["year"]
    assert spells.frame()["fee"].tolist() == [120.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("values", "part"),
    [
        (np.array([1 + 0j, 2, 3]), "mixes values"),
        ([1.0, "two", 3.0], "mixes values"),
        ([object(), 2, 3], "mixes values"),
        ([dt.timedelta(days=1)] * 3, "not a number"),
        (pd.date_range("2024-01-01", periods=3), "not a number"),
    ],
)
def test_25_what_is_no_number_is_refused_by_its_type(read, refuses, values, part):
    for column in ("months", "fee"):
        with refuses(DataTypeError, part, column=column):
            read({column: values}, values=["fee"])


def test_25_sparse_columns_are_refused(read, refuses):
    with refuses(DataTypeError, "column 'months' (Sparse[float64, 0.0])", column="months"):
        read({"months": pd.arrays.SparseArray([1.0, 0.0, 5.0], fill_value=0.0)})


def test_40_tenures_beyond_all_reason_are_refused(read, refuses):
    for months in (45_000.0, 1e300, 9.3e18):
        with refuses(ArgumentError, "1 of 3 durations in 'months' are longer than 200 years", "check unit=", count=1):
            read({"months": [1.0, months, 5.0]}, unit="month")
    spells = read({"months": [72_000.0] * 3, "left": [0, 0, 0]})
    assert spells.exposure_us == 3 * 72_000 * DAY_US  # more than 2**31 seconds


def test_21_one_unit_for_all(read):
    days = [*([30.0] * 40), 40_000.0]
    frame = pd.DataFrame({"months": days, "left": 0})
    with pytest.warns(
        DataWarning, match="longest duration is 40,000 days, the median 30: part of them is probably in another"
    ):
        read(frame=frame)


def test_23_placeholders_are_said_aloud(read):
    age = [*range(20, 60), 999]
    frame = pd.DataFrame({"months": np.arange(1.0, 42.0), "left": 0, "age": age[::-1], "spent": np.arange(41.0) % 7})
    with pytest.warns(DataWarning, match=r"1 of 41 values in 'age' are 999, far from all others"):
        read(frame=frame, values=["age", "spent"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read(frame=frame.assign(spent=np.linspace(900, 1000, 41)[::-1]), values=["spent"])


def test_43_what_is_added_up_while_the_customer_stays_is_said_aloud(read):
    months = np.arange(1.0, 61.0)
    frame = pd.DataFrame({"months": months, "left": 0, "total": months * 10 + (-1) ** months, "fee": months[::-1] % 13})
    with pytest.warns(DataWarning, match=r"'total' rises with the duration \(rank correlation 1.00\)"):
        read(frame=frame, values=["total", "fee"])


# Rows and ids -----------------------------------------------------------------------------------------------------


def test_17_no_rows(read, refuses, tmp_path):
    with refuses(EmptyDataError, "the frame has no rows"):
        read(frame=pd.DataFrame(THREE).iloc[:0])
    with refuses(EmptyDataError, "no row is left", "no duration=3 of 3"):
        read({"months": [0.0, 0.0, 0.0]}, on_bad="drop")
    (tmp_path / "none.csv").write_text("months,left\n", encoding="utf-8")
    with refuses(EmptyDataError, "a header and no rows"):
        read(frame=tmp_path / "none.csv")


def test_18_one_row_is_a_table_since_one_customer_may_be_scored(read):
    spells = read(frame=pd.DataFrame(THREE).iloc[[1]], values=["fee"], labels=["plan"])
    assert (spells.n_spells, spells.n_open) == (1, 1)
    assert Episodes.from_spells(spells).n_rows == 1


def test_19_the_index_of_a_frame_means_nothing(read):
    frame = pd.DataFrame(THREE, index=[7, 7, 7])
    assert rows_of(read(frame=frame)) == rows_of(read())


def test_26_a_customer_twice_is_refused_and_listed(read, refuses):
    with refuses(ArgumentError, "2 of 3 rows share their customer", "spell=", column="who", count=2, total=3) as caught:
        read({"who": ["x", "y", "x"]}, customer="who")
    assert caught.value.rows == ({"row": 0, "customer_id": "x", "spell": 1}, {"row": 2, "customer_id": "x", "spell": 1})


def test_27_overlapping_stretches_are_refused(read, refuses):
    columns = {"who": ["x", "x", "x"], "number": [1, 1, 1], "since": [0.0, 0.5, 3.0], "left": [0, 0, 1]}
    with refuses(ArgumentError, "1 of 3 rows begin before the customer's last one has ended", count=1) as caught:
        read(columns, customer="who", spell="number", entry="since")
    assert caught.value.rows[0]["row"] == 1
    with refuses(ArgumentError, "spell= counts the spells of a customer"):
        read(columns, spell="number")
    for wrong in (0, 1.5):
        with refuses(ArgumentError, "1 of 3 spells in 'number' are not counted 1, 2, 3"):
            read({**columns, "number": [1, 2, wrong]}, customer="who", spell="number")


def test_28_two_events_of_one_spell_are_refused(read, refuses):
    columns = {"who": ["x", "x", "y"], "number": [1, 1, 1], "since": [0.0, 1.0, 0.0], "left": [1, 1, 1]}
    with refuses(ArgumentError, "1 of 3 rows come after an event that ended their spell", count=1):
        read(columns, customer="who", spell="number", entry="since")
    assert read({**columns, "number": [1, 2, 1]}, customer="who", spell="number", entry="since").n_events == (3,)


def test_30_an_entry_lies_before_the_exit(read, refuses):
    with refuses(ArgumentError, "2 of 3 entries in 'since' do not lie before the duration's end", count=2) as caught:
        read({"since": [1.0, 4.0, 4.0]}, entry="since")
    assert caught.value.rows[0] == {"row": 0, "months": 1.0, "since": 1.0}
    with refuses(ArgumentError, "1 of 3 entries in 'since' are negative"):
        read({"since": [-1.0, 0.0, 0.0]}, entry="since")
    with refuses(MissingValueError, "1 of 3 rows have no value in 'since'"):
        read({"since": [None, 0.0, 0.0]}, entry="since")


def test_31_the_order_of_rows_and_columns_means_nothing(read):
    frame = pd.DataFrame(THREE)
    shuffled = frame.sample(frac=1.0, random_state=1)[list(THREE)[::-1]]
    named = {"customer": "who", "values": ["fee"], "labels": ["plan"]}
    assert read(frame=shuffled, **named).frame().equals(read(frame=frame, **named).frame())


def test_44_ids_stay_what_they_are(read, refuses, tmp_path):
    assert read({"who": ["001", "1", "01"]}, customer="who").frame()["customer_id"].tolist() == ["001", "01", "1"]
    assert read({"who": [2**53 + 1, 2**53, 1]}, customer="who").frame()["customer_id"].tolist()[1:] == [
        "9007199254740992", "9007199254740993",
    ]  # fmt: skip
    with refuses(IdentifierError, "customer ids in 'who' are DOUBLE", "9007199254740993"):
        read({"who": [1.0, 2.0, 3.0]}, customer="who")
    with refuses(MissingValueError, "1 of 3 rows have no value in 'who'"):
        read({"who": ["a", None, "b"]}, customer="who")
    (tmp_path / "ids.csv").write_text("who,months,left\n001,1,1\n1,3,0\n", encoding="utf-8")
    assert read(frame=tmp_path / "ids.csv", customer="who").frame()["customer_id"].tolist() == ["001", "1"]


# Columns ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["origin", "Event", "exit_us", "tenure", "weight", "period"])
def test_names_of_the_tables_own_columns_are_refused(read, refuses, name):
    with refuses(ArgumentError, f"a covariate cannot be called '{name}'", "rename the column first", column=name):
        read({name: [1, 2, 3]}, values=[name])


def test_a_column_has_one_role(read, refuses):
    with refuses(ArgumentError, "column 'months' is named twice, in duration= and in values=", "cannot explain"):
        read(values=["months"])
    with refuses(ArgumentError, "column 'fee' is named twice, in values= and in values="):
        read(values=["fee", "fee"])
    with refuses(ArgumentError, "column 'Fee' is named twice", "upper from lower"):
        read({"Fee": [1, 2, 3]}, values=["fee", "Fee"])
    with refuses(ArgumentError, "labels is a list of names, not one text"):
        read(labels="plan")
    with refuses(ColumnError, "the frame has no column 'month'", "did you mean 'months'?"):
        read(duration="month")


def test_files_frames_and_engines_say_the_same(read, tmp_path):
    frame = pd.DataFrame(THREE)
    named = {"customer": "who", "values": ["fee"], "labels": ["plan"]}
    expected = read(frame=frame, **named).frame()
    frame.to_csv(tmp_path / "three.csv", index=False)
    frame.to_csv(tmp_path / "german.csv", index=False, sep=";")
    frame.to_parquet(tmp_path / "three.parquet")
    assert read(frame=tmp_path / "three.csv", **named).frame().equals(expected)
    assert read(frame=str(tmp_path / "german.csv"), delimiter=";", **named).frame().equals(expected)
    assert read(frame=tmp_path / "three.parquet", **named).frame().equals(expected)
    assert read(frame=pa.Table.from_pandas(frame), **named).frame().equals(expected)
    polars = pytest.importorskip("polars")
    assert read(frame=polars.from_pandas(frame), **named).frame().equals(expected)
