"""Values, ids, names and structure of a log: items 1-5, 17, 19, 24-26, 31, 44-47 and 52-54 of the catalogue of bad inputs."""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from churnsurv.errors import (
    ArgumentError,
    ColumnError,
    DataTypeError,
    DataWarning,
    EmptyDataError,
    IdentifierError,
    MissingValueError,
    NonFiniteError,
)
from churnsurv.tables.events import EventLog

DAY = dt.date(2024, 1, 1)


@pytest.fixture
def read(engine):
    """Read a pandas frame of columns ``who``, ``when`` (the same day unless given) and the rest."""

    def build(columns: dict[str, Any], **settings: Any) -> EventLog:
        n = len(next(iter(columns.values())))
        given = {"who": ["a"] * n, "when": [DAY] * n} | columns
        frame = (
            pd.DataFrame(given) if all(not isinstance(v, pl.Series) for v in given.values()) else pl.DataFrame(given)
        )
        return EventLog.from_frame(
            frame, **{"customer": "who", "time": "when", "timezone": "UTC", "engine": engine, **settings}
        )

    return build


def values(log: EventLog) -> list[float | None]:
    """Column ``v`` in the order of time."""
    return [None if pd.isna(x) else x for x in log.frame().sort_values(["time", "v"])["v"]]


# Items 1 and 2: missing and infinite values ---------------------------------------------------------


@pytest.mark.parametrize("missing", [None, float("nan"), ""])
def test_a_missing_value_is_kept_as_missing_and_never_as_zero(read, missing):
    assert values(read({"v": [missing, "2.5" if missing == "" else 2.5]}, values=("v",))) == [2.5, None]


def test_nan_of_polars_is_missing_too(read):
    assert values(read({"v": pl.Series([float("nan"), 2.5])}, values=("v",))) == [2.5, None]


@pytest.mark.parametrize("blank", [[None, None], [np.nan, np.nan], ["", ""]])
def test_a_value_column_in_which_nothing_was_filled_in_is_all_missing(read, blank):
    assert values(read({"v": blank}, values=("v",))) == [None, None]


@pytest.mark.parametrize("infinite", [np.inf, -np.inf])
def test_an_infinite_value_is_refused(read, refuses, infinite):
    with refuses(
        NonFiniteError, "1 of 3 values in 'v' are not finite", f"row=1, who=a, when=2024-01-01, v={infinite}",
        "every mean infinite", 'on_bad="drop"', column="v", count=1, total=3,
    ):  # fmt: skip
        read({"v": [1.0, infinite, 2.0]}, values=("v",))


@pytest.mark.parametrize("word", ["nan", "inf", "-Infinity", "1e999"])
def test_a_text_that_spells_no_finite_number_is_refused(read, refuses, word):
    with refuses(NonFiniteError, "1 of 2 values in 'v' are not finite", f"v={word}", column="v"):
        read({"v": [word, "1"]}, values=("v",))


def test_drop_leaves_out_the_row_and_counts_it_with_its_place(read):
    log = read({"v": [1.0, np.inf, 2.0, -np.inf]}, values=("v",), on_bad="drop")
    assert values(log) == [1.0, 2.0]
    (fault,) = log.faults
    assert (fault.name, fault.count, fault.total) == ("v is infinite", 2, 4)
    assert [row["row"] for row in fault.rows] == [1, 3]
    assert str(fault) == 'v is infinite: 2 of 4 rows, left out because on_bad="drop"'


@pytest.mark.parametrize("missing", [None, ""])
def test_a_row_without_customer_is_refused(read, refuses, missing):
    with refuses(
        MissingValueError, "2 of 3 rows have no customer in 'who'.", "row=0", "row=2", "one very busy customer",
        column="who", count=2, total=3,
    ) as caught:  # fmt: skip
        read({"who": [missing, "a", missing]})
    assert [row["row"] for row in caught.value.rows] == [0, 2]


def test_a_customer_column_in_which_nothing_was_filled_in_is_missing_not_of_a_wrong_type(read, refuses):
    with refuses(MissingValueError, "2 of 2 rows have no customer in 'who'."):
        read({"who": [None, None]})


@pytest.mark.parametrize("word", ["nan", "None", "NULL", "<NA>"])
def test_a_missing_id_that_was_turned_into_text_is_pointed_out(read, word):
    with pytest.warns(DataWarning, match=f"2 of 3 events belong to the customer '{word}'.*turned into text"):
        assert read({"who": [word, word, "a"]}).n_customers() == 2


def test_a_row_without_time_is_refused(read, refuses):
    with refuses(MissingValueError, "1 of 2 rows have no time in 'when'.", "row=1", column="when", count=1, total=2):
        read({"when": [pd.Timestamp("2024-01-01"), pd.NaT]})


def test_a_time_column_in_which_nothing_was_filled_in_is_missing(read, refuses):
    with refuses(MissingValueError, "2 of 2 rows have no time in 'when'."):
        read({"when": [None, None]})


def test_a_row_without_kind_is_refused(read, refuses):
    with refuses(MissingValueError, "1 of 2 rows have no kind in 'what'.", "row=1", column="what"):
        read({"what": ["order", None]}, kind="what")


def test_drop_counts_each_row_under_every_fault_it_has_and_keeps_the_good_ones(read):
    log = read({"who": ["", "a", "b"], "v": [np.inf, np.inf, 1.0]}, values=("v",), on_bad="drop")
    assert [(fault.name, fault.count) for fault in log.faults] == [("missing customer", 1), ("v is infinite", 2)]
    assert log.n_events == 1


def test_dropping_everything_is_refused_with_what_was_dropped(read, refuses):
    with refuses(EmptyDataError, "no event is left in the log.", "missing customer=2 of 2 rows, left out"):
        read({"who": ["", None]}, on_bad="drop")


# Items 17, 19, 31: no rows, index, order ---------------------------------------------------------------


def test_a_frame_without_rows_is_refused(read, refuses):
    with refuses(EmptyDataError, "the frame has no rows."):
        read({"who": []})


def test_a_duplicated_index_changes_nothing(read, engine):
    frame = pd.DataFrame({"who": ["a", "b"], "when": [DAY, DAY]}, index=[7, 7])
    log = EventLog.from_frame(frame, customer="who", time="when", timezone="UTC", engine=engine)
    pd.testing.assert_frame_equal(log.frame(), read({"who": ["a", "b"]}).frame())


def test_an_index_is_no_column(engine, refuses):
    frame = pd.DataFrame({"when": [DAY]}, index=pd.Index(["a"], name="who"))
    with refuses(ColumnError, "the frame has no column 'who'.", "Columns are: 'when'.", column="who"):
        EventLog.from_frame(frame, customer="who", time="when", timezone="UTC", engine=engine)


def test_unsorted_rows_make_the_same_log(read):
    rows = {"who": ["b", "a", "a"], "when": [DAY, dt.date(2024, 2, 1), DAY], "v": [3.0, 2.0, 1.0]}
    backwards = {name: column[::-1] for name, column in rows.items()}
    pd.testing.assert_frame_equal(read(rows, values=("v",)).frame(), read(backwards, values=("v",)).frame())


# Items 24 and 25: types ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "wanted"),
    [
        (np.array([True, False]), [0.0, 1.0]),
        (np.array([127, -128], np.int8), [-128.0, 127.0]),
        (np.array([200, 100], np.uint8), [100.0, 200.0]),
        (np.array([1.5, 65504.0], np.float16), [1.5, 65504.0]),
        (np.array([2**53, 1], np.int64), [1.0, 2.0**53]),
        ([decimal.Decimal("12.50"), decimal.Decimal("1.25")], [1.25, 12.5]),
        (pd.array([1, None], dtype="Int8"), [1.0, None]),
        (pd.Categorical(["2", "10"]), [2.0, 10.0]),
    ],
)
def test_numbers_of_every_width_become_float64_before_any_arithmetic(read, column, wanted):
    log = read({"v": column}, values=("v",))
    assert values(log) == wanted
    assert log.frame()["v"].dtype == np.float64


def test_uint8_does_not_wrap_around_in_a_sum(read):
    log = read({"v": np.full(10, 200, np.uint8)}, values=("v",))
    assert log.engine.rows(f"SELECT sum(v) FROM {log.table}") == [(2000.0,)]


@pytest.mark.parametrize(
    ("column", "named"),
    [
        ([1j, 2j], "complex128"),
        (pd.arrays.SparseArray([1.0, 0.0]), "Sparse"),
        ([object(), object()], "object"),
        ([1, "x"], "object"),
        (pd.period_range("2020", "2021", freq="Y"), "period"),
        (pd.interval_range(0, 2), "interval"),
    ],
)
def test_a_column_that_holds_no_plain_values_is_refused(read, refuses, column, named):
    with refuses(DataTypeError, "'v'", named, "neither number, text nor time", column="v"):
        read({"v": column}, values=("v",))


@pytest.mark.parametrize("column", [[[1], [2]], pd.to_datetime(["2024-01-01", "2024-01-02"]), [{"x": 1}, {"x": 2}]])
def test_a_value_column_that_is_no_number_is_refused(read, refuses, column):
    with refuses(DataTypeError, "value column 'v' is ", ", not a number.", column="v"):
        read({"v": column}, values=("v",))


def test_a_decimal_comma_is_named_as_the_usual_reason(read, refuses):
    with refuses(
        DataTypeError, "1 of 2 values in 'v' are not numbers.", "v=12,50", "comma for the decimal point",
        column="v", count=1, total=2,
    ):  # fmt: skip
        read({"v": ["12,50", "12.50"]}, values=("v",))


def test_a_type_that_the_engine_cannot_read_is_refused(engine, refuses):
    wide = pa.array([decimal.Decimal("1.5")], pa.decimal256(50, 2))
    frame = pa.table({"who": ["a"], "when": [DAY], "v": wide})
    with refuses(DataTypeError, "column 'v' (decimal256(50, 2)) has a type that the engine cannot read.", column="v"):
        EventLog.from_frame(frame, customer="who", time="when", values=("v",), timezone="UTC", engine=engine)


# Item 26: duplicates ------------------------------------------------------------------------------------------


def test_duplicate_rows_are_kept_counted_and_shown(read):
    log = read({"who": ["a", "a", "a", "b", "c", "c"], "v": [1.0, 1.0, 1.0, None, None, None]}, values=("v",))
    assert log.n_events == 6
    (fault,) = log.faults
    assert (fault.name, fault.count, fault.total) == ("duplicate", 3, 6)
    assert fault.action == "kept (equal in every column that was read)"
    assert fault.rows == (
        {"customer_id": "a", "time": "2024-01-01 00:00:00 UTC", "kind": "activity", "times": 3},
        {"customer_id": "c", "time": "2024-01-01 00:00:00 UTC", "kind": "activity", "times": 2},
    )


def test_rows_that_differ_in_one_column_are_no_duplicates(read):
    assert read({"v": [1.0, None, 2.0]}, values=("v",)).faults == ()


def test_columns_may_have_any_name_that_the_checks_use_themselves(read):
    odd = ("h", "times", "row", "bad_", "twin", "day", "key", "known", "n", 'a "b" c', "it's")
    log = read({name: [1.0, 1.0, 2.0] for name in odd}, values=odd)
    assert [fault.count for fault in log.faults] == [1]
    assert list(log.frame().columns) == ["customer_id", "time", "kind", *odd]


def test_rows_that_occur_in_both_logs_are_counted_when_logs_are_joined(read):
    log = read({"who": ["a", "b"]})
    both = log.concat(read({"who": ["b", "c"]}))
    assert both.n_events == 4
    assert [(fault.name, fault.count, fault.total) for fault in both.faults] == [("duplicate", 1, 4)]


# Item 44: ids ---------------------------------------------------------------------------------------------------


def test_ids_are_text_from_end_to_end(read):
    assert set(read({"who": ["001", "1", "01"]}).frame()["customer_id"]) == {"001", "1", "01"}


@pytest.mark.parametrize("ids", [[2**53, 2**53 + 1], np.array([2**64 - 1, 0], np.uint64), [-5, 5]])
def test_whole_numbers_keep_every_digit(read, ids):
    assert set(read({"who": ids}).frame()["customer_id"]) == {str(int(number)) for number in ids}


def test_uuids_and_categories_are_ids_too(read):
    one, other = uuid.UUID(int=1), uuid.UUID(int=2)
    assert set(read({"who": [one, other]}).frame()["customer_id"]) == {str(one), str(other)}
    assert set(read({"who": pd.Categorical(["x", "y"])}).frame()["customer_id"]) == {"x", "y"}


@pytest.mark.parametrize(
    ("ids", "named"),
    [
        ([9007199254740993.0, 1.0], "DOUBLE"),
        ([1.0, None], "DOUBLE"),
        ([True, False], "BOOLEAN"),
        ([b"x", b"y"], "BLOB"),
        ([decimal.Decimal("1"), decimal.Decimal("2")], "DECIMAL"),
        ([DAY, DAY], "DATE"),
    ],
)
def test_ids_that_are_no_text_or_whole_numbers_are_refused(read, refuses, ids, named):
    with refuses(
        IdentifierError, f"customer ids in 'who' are {named}", "not text or whole numbers", "two customers become one",
        "dtype={'who': str}", column="who",
    ):  # fmt: skip
        read({"who": ids})


def test_ids_of_mixed_type_are_refused(read, refuses):
    with refuses(DataTypeError, "column 'who' (object) mixes values", "ids as text", column="who"):
        read({"who": ["001", 1]})


def test_whole_numbers_too_large_for_any_type_are_refused(read, refuses):
    with refuses(DataTypeError, "column 'who' (object)", column="who"):
        read({"who": [2**70, 1]})


def test_text_that_was_written_from_floats_is_pointed_out(read):
    with pytest.warns(DataWarning, match=r"all 2 customer ids end in '\.0'"):
        read({"who": ["12345.0", "12346.0"]})


# Items 46, 52-54: names and categories -----------------------------------------------------------------------------


def test_na_stays_text(read):
    log = read({"who": ["NA", "NA"], "land": ["NA", "N/A"]}, labels=("land",))
    assert list(log.frame()["customer_id"]) == ["NA", "NA"]
    assert list(log.frame()["land"]) == ["N/A", "NA"]


@pytest.mark.parametrize("missing", [None, ""])
def test_a_missing_label_is_missing(read, missing):
    assert list(read({"land": [missing, "FR"]}, labels=("land",)).frame()["land"]) == ["FR", None]


def test_a_missing_column_is_refused_with_a_guess_what_was_meant(read, refuses):
    with refuses(
        ColumnError, "the frame has no column 'Revenu'.", "did you mean 'revenue'?", "'who', 'when', 'revenue'"
    ):
        read({"revenue": [1.0]}, values=("Revenu",))


def test_a_frame_with_a_name_twice_is_refused(engine, refuses):
    frame = pd.DataFrame([["a", DAY, DAY]], columns=["who", "when", "when"])
    with refuses(ColumnError, "the frame has a column name twice", "'when' 2 times"):
        EventLog.from_frame(frame, customer="who", time="when", timezone="UTC", engine=engine)


@pytest.mark.parametrize("name", ["kind", "Kind", "TIME", "Customer_ID"])
def test_a_value_column_cannot_take_a_name_of_the_log(read, refuses, name):
    with refuses(ArgumentError, f"column {name!r} cannot be a value or label column", "rename"):
        read({name: [1.0]}, values=(name,))


def test_columns_that_differ_by_case_only_are_refused(read, refuses):
    with refuses(ArgumentError, "columns 'v' and 'V' differ by upper and lower case only."):
        read({"v": [1.0], "V": [2.0]}, values=("v", "V"))


def test_a_column_named_twice_is_refused(read, refuses):
    with refuses(ArgumentError, "column 'v' is named twice."):
        read({"v": [1.0]}, values=("v",), labels=("v",))


def test_one_name_in_place_of_several_is_refused(read, refuses):
    with refuses(ArgumentError, "values='v' is one text, not several names.", 'values=("v",)'):
        read({"v": [1.0]}, values="v")


@pytest.mark.parametrize("name", [None, "", 3])
def test_a_column_name_that_is_no_text_is_refused(read, refuses, name):
    with pytest.raises(ArgumentError, match="is not the name of a column"):
        read({"v": [1.0]}, customer=name)


@pytest.mark.parametrize("setting", [{"on_bad": "ignore"}, {"on_ambiguous": "both"}])
def test_unknown_settings_are_refused(read, refuses, setting):
    (name,) = setting
    with refuses(ArgumentError, f"{name}={setting[name]!r} is unknown.", f"{name} is "):
        read({"v": [1.0]}, **setting)


@pytest.mark.parametrize("frame", [{"who": ["a"]}, None, [1, 2], "orders.csv"])
def test_what_is_no_frame_is_refused(engine, refuses, frame):
    with refuses(DataTypeError, f"{type(frame).__name__} is not a data frame.", "EventLog.from_file"):
        EventLog.from_frame(frame, customer="who", time="when", timezone="UTC", engine=engine)


def test_only_the_asked_for_columns_are_handed_over(engine):
    frame = pa.table({"who": ["a"], "when": [DAY], "secret": ["x"]})
    log = EventLog.from_frame(frame, customer="who", time="when", timezone="UTC", engine=engine)
    assert list(log.frame().columns) == ["customer_id", "time", "kind"]
