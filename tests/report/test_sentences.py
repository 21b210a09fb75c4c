import datetime as dt
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from churnsurv.plots.words import _CONTRACTS, _DURATIONS, _GAPS
from churnsurv.report.sentences import (
    count,
    count_range,
    date_words,
    headline_parts,
    listing,
    number,
    p_value,
    pace,
    percent,
    percent_range,
    period_words,
    quantity,
    ratio,
    round_range,
)

SILENCE = replace(_GAPS, churn="fall silent for 90 days")
ENDS = st.tuples(st.floats(0, 1e7), st.floats(0, 1e7)).map(sorted)


@given(ENDS)
def test_rounding_covers_and_is_at_most_a_fifth_too_wide_at_each_end(ends):
    lower, upper = ends
    low, high = round_range(lower, upper)
    assert low <= lower <= upper <= high
    step = max(1.0, (upper - lower) / 5)
    assert lower - low <= step
    assert high - upper <= step


@pytest.mark.parametrize(
    ("lower", "upper", "rounded"),
    [
        (0, 0, (0, 0)), (3, 7, (3, 7)), (10.2, 13.9, (10, 14)), (91, 104, (91, 104)), (100, 125, (100, 125)),
        (101, 127, (100, 130)), (412.3, 468.7, (410, 470)), (1005, 1074, (1000, 1080)), (10480, 11920, (10400, 12000)),
    ],
)  # fmt: skip
def test_round_range(lower, upper, rounded):
    assert round_range(lower, upper) == rounded


@pytest.mark.parametrize(
    ("lower", "upper", "words"),
    [
        (0, 0, "none"),
        (5, 5, "about 5"),
        (0, 2, "at most 2"),
        (math.nan, math.nan, "not known"),
        (0, math.inf, "not known"),
    ],
)
def test_count_range(lower, upper, words):
    assert count_range(lower, upper) == words


@given(ENDS)
def test_no_more_than_there_are(ends):
    lower, upper = ends
    most = math.ceil(upper)
    last = count_range(lower, upper, most=most).rsplit(" ", 1)[-1].replace(",", "")
    assert last == "none" or int(last) <= most


@given(st.floats(0, 1))
def test_percent_is_certain_only_where_it_is(share):
    assert (percent(share) == "0%") == (share == 0)
    assert (percent(share) == "100%") == (share == 1)


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (0.005, "under 1%"), (0.0051, "1%"), (0.994, "99%"), (0.995, "over 99%"), (0.9951, "over 99%"),
        (0.0049, "under 1%"), (math.nan, "not known"),
    ],
)  # fmt: skip
def test_percent(share, words):
    assert percent(share) == words


def test_percent_with_a_decimal():
    assert percent(0.99949, digits=1) == "99.9%"
    assert percent(0.9996, digits=1) == "over 99.9%"
    assert percent(0.0002, digits=1) == "under 0.1%"


@pytest.mark.parametrize(
    ("lower", "upper", "words"),
    [(0.1, 0.2, "10% to 20%"), (0.101, 0.104, "10%"), (0.0, 0.001, "under 1%"), (0.3, 0.999, "30% to over 99%")],
)
def test_percent_range(lower, upper, words):
    assert percent_range(lower, upper) == words


def test_percent_range_not_known():
    assert percent_range(math.nan, math.nan) == "not known"


@pytest.mark.parametrize(
    ("value", "words"),
    [(1.004, "1.00"), (0.996, "1.00"), (1.994, "1.99"), (2.04, "2.0"), (9.96, "10"), (math.nan, "not known")],
)
def test_ratio(value, words):
    assert ratio(value) == words


def test_p_values_are_never_zero():
    assert [p_value(p) for p in (0.0, 0.0004, 0.0013, 0.0496, 0.5, math.nan)] == [
        "below 0.001", "below 0.001", "0.0013", "0.05", "0.50", "not known",
    ]  # fmt: skip


def test_pace():
    assert pace(2.123, 1.9, 2.4) == "2.1 times as fast (1.90 to 2.4)"


@pytest.mark.parametrize(
    ("value", "words"), [(0, "0"), (0.00001234, "0.0000123"), (1e6, "1,000,000"), (math.inf, "inf")]
)
def test_number(value, words):
    assert number(value) == words


def test_count_and_quantity():
    assert count(0.4) == "0"
    assert quantity(1, "gap") == "1 gap"
    assert quantity(0, "gap") == "0 gaps"


def test_listing():
    assert listing(["a"]) == "a"
    assert listing(["a", "b", "c"], last="or") == "a, b or c"


def test_dates_do_not_depend_on_the_locale():
    assert date_words(dt.date(2024, 2, 29)) == "29 February 2024"
    assert date_words(dt.datetime(2024, 2, 29, 7, 5)) == "29 February 2024, 07:05"


def test_the_last_day_is_named_not_the_first_one_after_it():
    assert period_words(dt.datetime(2024, 1, 1), dt.datetime(2024, 3, 1)) == "1 January 2024 to 29 February 2024"
    assert period_words(dt.datetime(2024, 1, 1), dt.datetime(2024, 3, 1, 12)) == "1 January 2024 to 1 March 2024, 12:00"


def test_headline_of_nobody_and_of_one():
    assert " ".join(headline_parts(0, 0, 0, words=SILENCE, horizon=30)) == (
        "No customer is active at the end of the window: nobody is left to lose."
    )
    assert " ".join(headline_parts(1, 1, 1, words=SILENCE, horizon=30)) == (
        "Of 1 customer who is still active, about 1 is expected to fall silent for 90 days within the next 30 days."
    )
    assert " ".join(headline_parts(1, 0, 1, words=SILENCE, horizon=30)) == (
        "Of 1 customer who is still active, at most 1 is expected to fall silent for 90 days within the next 30 days."
    )


def test_headline_of_contracts_and_of_durations():
    assert " ".join(headline_parts(1203, 412.3, 468.7, words=_CONTRACTS, horizon=30)) == (
        "Of 1,203 customers who are under contract, about 410 to 470 are expected to leave within the next 30 days."
    )
    assert " ".join(headline_parts(5, 2, 2, words=_DURATIONS, horizon=30.5)) == (
        "Of 5 customers who were still there when last seen, about 2 are expected to leave within 30.5 days from then."
    )
