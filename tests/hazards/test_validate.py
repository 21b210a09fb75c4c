"""Checks of arguments: what they let in, in which type, and what they say when they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from churnsurv import _validate
from churnsurv.errors import ArgumentError, BreaksError, ChurnsurvError, DataTypeError, HorizonError, MissingValueError


def refused(error: type[ChurnsurvError], call: Any, *arguments: Any, **named: Any) -> str:
    with pytest.raises(error) as caught:
        call(*arguments, **named)
    assert type(caught.value) is error
    return str(caught.value)


@pytest.mark.parametrize(
    "values",
    [
        [1, 2],
        (True, 2),
        np.array([1, 2], dtype=np.uint8),
        np.array([1, 2], dtype=np.float16),
        pd.Series([1, 2], index=[5, 5]),
        np.ma.masked_array([1, 2], mask=False),
        range(1, 3),
    ],
)
def test_numbers_of_every_kind_become_float64(values: Any) -> None:
    found = _validate.as_floats(values, "x")
    assert type(found) is np.ndarray
    assert found.dtype == np.float64
    assert found.tolist() == [1.0, 2.0]


def test_missing_among_objects_is_counted() -> None:
    message = refused(MissingValueError, _validate.as_floats, [1, None, pd.NA, pd.NaT], "x")
    assert "3 of 4 values of `x` are missing." in message


def test_infinity_passes_only_where_it_has_a_meaning() -> None:
    assert _validate.as_floats([np.inf], "x", infinite=True)[0] == np.inf


def test_only_five_rows_are_kept_and_the_rest_counted() -> None:
    with pytest.raises(MissingValueError) as caught:
        _validate.as_floats([np.nan] * 40, "x")
    assert len(caught.value.rows) == 5
    assert caught.value.count == 40
    assert "38 more" in str(caught.value)


def test_bin_edges_may_be_negative_and_time_may_not() -> None:
    assert _validate.check_breaks([-1, 0], minimum=None).tolist() == [-1, 0]
    assert "`breaks` starts at -1, before 0" in refused(BreaksError, _validate.check_breaks, [-1, 0])
    assert "`edges` has 0 edges" in refused(BreaksError, _validate.check_breaks, [], "edges")


@pytest.mark.parametrize("prob", [0, 1, 90, -0.1, float("nan")])
def test_ci_prob_outside_the_open_unit_interval(prob: float) -> None:
    assert "Hint: write ci_prob=0.90" in refused(ArgumentError, _validate.check_ci_prob, prob)


def test_ci_prob_of_another_type() -> None:
    assert "`ci_prob`='0.9' is not a number" in refused(DataTypeError, _validate.check_ci_prob, "0.9")
    assert "is not a number" in refused(DataTypeError, _validate.check_ci_prob, True)
    assert _validate.check_ci_prob(np.float32(0.5)) == 0.5


def test_horizons_in_the_order_given() -> None:
    assert _validate.check_horizons([90, 30]) == [90.0, 30.0]
    assert _validate.check_horizons(np.array([30])) == [30.0]
    assert _validate.check_horizons(np.float64(30)) == [30.0]


@pytest.mark.parametrize(
    ("horizon", "told"),
    [
        ([], "`horizon` is empty"),
        ([30, 0], "1 of 2 values of `horizon` are not positive and finite: 0.0"),
        (-5, "1 of 1 values of `horizon` are not positive and finite: -5.0"),
        (float("inf"), "not positive and finite: inf"),
        ([30, 60, 30.0], "`horizon` names a value twice"),
    ],
)
def test_horizons_without_meaning(horizon: Any, told: str) -> None:
    message = refused(HorizonError, _validate.check_horizons, horizon)
    assert told in message
    assert "Hint: write horizon=30 or horizon=[30, 60, 90], in days." in message


@pytest.mark.parametrize("horizon", ["30", [30, "60"], None, True])
def test_horizons_of_another_type(horizon: Any) -> None:
    assert "is not a number" in refused(DataTypeError, _validate.check_horizons, horizon)


def test_rng_from_a_seed_repeats_and_a_generator_is_used() -> None:
    assert _validate.check_rng(7).integers(1 << 40) == _validate.check_rng(np.int64(7)).integers(1 << 40)
    generator = np.random.default_rng(1)
    assert _validate.check_rng(generator) is generator


@pytest.mark.parametrize("rng", [None, True, 1.0, "1", np.random.RandomState(1)])
def test_rng_that_nobody_can_repeat(rng: Any) -> None:
    assert "Hint: write rng=0" in refused(DataTypeError, _validate.check_rng, rng)


def test_negative_seed() -> None:
    assert "`rng`=-1 is negative" in refused(ArgumentError, _validate.check_rng, -1)


def test_counts() -> None:
    assert _validate.check_count(0, "tune", minimum=0) == 0
    assert "`draws`=0 is below 1" in refused(ArgumentError, _validate.check_count, 0, "draws")
    for value in (1.0, True, "3", None):
        assert "is not a whole number" in refused(DataTypeError, _validate.check_count, value, "draws")


def test_choices() -> None:
    assert _validate.check_choice("a", "kind", ("a", "b")) == "a"
    assert 'kind is one of "a", "b"' in refused(ArgumentError, _validate.check_choice, "c", "kind", ("a", "b"))
    assert "`kind`=1 is unknown" in refused(ArgumentError, _validate.check_choice, 1, "kind", ("a", "b"))
