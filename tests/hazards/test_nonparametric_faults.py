"""Bad spells: each refused by name, with its count, its rows and what to write instead."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from churnsurv.errors import (
    ArgumentError,
    ChurnsurvError,
    DataTypeError,
    DataWarning,
    EmptyDataError,
    MissingValueError,
    NonFiniteError,
)
from churnsurv.hazards import kaplan_meier, nelson_aalen

GOOD = {"exit": [2.0, 3.0, 5.0, 7.0], "event": [1, 0, 1, 0]}


@pytest.fixture(params=[kaplan_meier, nelson_aalen], ids=["kaplan_meier", "nelson_aalen"])
def estimator(request: pytest.FixtureRequest) -> Any:
    return request.param


def refused(estimator: Any, error: type[ChurnsurvError], **changed: Any) -> ChurnsurvError:
    with pytest.raises(error) as caught:
        estimator(**{**GOOD, **changed})
    assert type(caught.value) is error
    return caught.value


@pytest.mark.parametrize(
    ("column", "missing"),
    [("exit", np.nan), ("event", np.nan), ("entry", np.nan), ("weight", np.nan), ("exit", None), ("entry", None)],
)
def test_missing_values(estimator: Any, column: str, missing: Any) -> None:
    """Numbers 1 and 3 of the catalogue."""
    error = refused(estimator, MissingValueError, **{column: [1.0, missing, 1.0, missing]})
    assert f"2 of 4 values of `{column}` are " in str(error)
    assert [row["row"] for row in error.rows] == [1, 3]
    assert (error.column, error.count, error.total) == (column, 2, 4)
    assert f"Hint: leave out the rows where {column} is missing" in str(error)


@pytest.mark.parametrize("column", ["exit", "entry", "weight"])
def test_infinite_values(estimator: Any, column: str) -> None:
    """Number 2: an end that is not known is a censoring, not infinity."""
    error = refused(estimator, NonFiniteError, **{column: [0.5, 1.0, np.inf, 2.0]})
    assert f"1 of 4 values of `{column}` are infinite.\n  row=2, {column}=inf" in str(error)
    assert "censoring, not infinity" in str(error)


def test_negative_duration(estimator: Any) -> None:
    """Number 4: accepted silently by lifelines."""
    error = refused(estimator, ArgumentError, exit=[2.0, -3.0, 5.0, 7.0])
    assert "1 of 4 values of `exit` are negative.\n  row=1, exit=-3.0" in str(error)
    assert "Hint: compute exit = end - origin" in str(error)
    assert "`entry` are negative" in str(refused(estimator, ArgumentError, entry=[-1, 0, 0, 0]))


def test_zero_duration_is_an_event_at_time_zero(estimator: Any) -> None:
    """Number 5: allowed at time 0, never moved by a silent epsilon."""
    result = estimator([0.0, 3.0, 5.0], [1, 0, 1])
    assert result.times[0] == 0.0
    assert result.n_events[0] == 1


@pytest.mark.parametrize("code", [2, 0.5, -1])
def test_event_codes_other_than_zero_and_one(estimator: Any, code: float) -> None:
    """Number 6: lifelines counts 2 and 0.5 as events."""
    error = refused(estimator, ArgumentError, event=[1, 0, code, 0])
    assert "1 of 4 values of `event` are neither 0 (censored) nor 1 (event)" in str(error)
    assert f"row=2, event={float(code)}" in str(error)
    assert "Hint: one cause at a time: event = (cause == 1).astype(int)" in str(error)


@pytest.mark.parametrize("event", [["yes", "no", "yes", "no"], np.array([1, None, 1, 0], dtype=object)])
def test_event_as_text_or_objects(estimator: Any, event: Any) -> None:
    """Number 7: the mapping is stated, never guessed."""
    error = refused(estimator, DataTypeError, event=event)
    assert "`event` holds text or objects" in str(error)
    assert 'Hint: say it: event = (status == "cancelled").astype(int).' in str(error)
    assert isinstance(error, TypeError)


def test_all_censored_is_flat_with_a_warning() -> None:
    """Number 8."""
    with pytest.warns(DataWarning, match="all 3 spells are censored: there is not one event") as caught:
        curve = kaplan_meier([1, 2, 3], [0, 0, 0])
    assert caught[0].filename == __file__
    assert curve.survival.tolist() == [1, 1, 1]
    assert curve.standard_error.tolist() == [0, 0, 0]
    assert np.isnan(curve.lower).all()
    assert np.isnan(curve.upper).all()
    with pytest.warns(DataWarning, match="The cumulative hazard stays at 0"):
        total = nelson_aalen([1, 2, 3], [0, 0, 0])
    assert total.cumulative_hazard.tolist() == [0, 0, 0]
    assert np.isnan(total.lower).all()


def test_no_rows(estimator: Any) -> None:
    """Number 17: lifelines divides by zero."""
    error = refused(estimator, EmptyDataError, exit=[], event=[])
    assert "there are no spells" in str(error)
    assert (error.count, error.total) == (0, 0)


def test_one_row(estimator: Any) -> None:
    """Number 18; a row that stands for several is not alone."""
    assert "there is only 1 spell" in str(refused(estimator, EmptyDataError, exit=[3.0], event=[1]))
    assert estimator([3.0], [1], weight=[2]).n_at_risk.tolist() == [2]


def test_duplicated_index_is_ignored() -> None:
    """Number 19: rows are matched by position."""
    frame = pd.DataFrame(GOOD, index=[7, 7, 0, 0])
    found = kaplan_meier(frame["exit"], frame["event"].sort_index(kind="stable").loc[[7, 0]])
    assert np.array_equal(found.survival, kaplan_meier(**GOOD).survival)


def test_times_that_differ_by_rounding_are_tied(estimator: Any) -> None:
    """Number 20: 1 - 0.9 is not 0.1 in binary."""
    assert 1 - 0.9 != 0.1
    result = estimator([0.1, 1 - 0.9, 0.5], [1, 1, 0])
    assert result.n_at_risk.tolist() == [3, 1]
    assert result.n_events.tolist() == [2, 0]


def test_entry_that_equals_a_time_up_to_rounding_is_not_at_risk_there(estimator: Any) -> None:
    """Number 20, for delayed entry."""
    result = estimator([0.1, 0.5, 0.4], [1, 0, 0], entry=[0.0, 1 - 0.9, 0.0])
    assert result.n_at_risk.tolist() == [2, 2, 1]


def test_mixed_units_of_time_warn(estimator: Any) -> None:
    """Number 21."""
    with pytest.warns(DataWarning, match="more than fifteen powers of ten") as caught:
        result = estimator([1e-12, 1.0, 1e12], [1, 1, 0])
    assert caught[0].filename == __file__
    assert result.times.tolist() == [1e-12, 1.0, 1e12]


@pytest.mark.parametrize("weight", [[1, 0, 1, 1], [1, -2, 1, 1]])
def test_weights_that_are_not_positive(estimator: Any, weight: list[float]) -> None:
    """Number 22."""
    error = refused(estimator, ArgumentError, weight=weight)
    assert f"1 of 4 values of `weight` are negative or zero.\n  row=1, weight={float(weight[1])}" in str(error)
    assert "Hint: leave such rows out yourself: keep = weight > 0." in str(error)


def test_weights_that_sum_to_zero(estimator: Any) -> None:
    """Number 22."""
    assert "all 4 values of `weight` are zero: their sum is 0" in str(refused(estimator, ArgumentError, weight=[0] * 4))


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int32, np.float32])
def test_narrow_numbers_do_not_wrap_around(estimator: Any, dtype: Any) -> None:
    """Number 24: 200 + 100 is 44 in uint8."""
    exit_, weight = np.array([50, 100, 120], dtype=dtype), np.array([100, 100, 100], dtype=dtype)
    result = estimator(exit_, np.array([True, False, True]), weight=weight)
    assert result.n_at_risk.tolist() == [300, 200, 100]
    assert result.times.dtype == np.float64


def test_types_that_are_not_numbers(estimator: Any) -> None:
    """Number 25."""
    assert "`exit` has type complex128" in str(refused(estimator, DataTypeError, exit=np.array([1j, 2, 3, 4])))
    error = refused(estimator, DataTypeError, exit=sparse.csr_array(np.ones((1, 4))))
    assert ".toarray()" in str(error)
    error = refused(estimator, DataTypeError, exit=np.array([1, "x", {}, 4], dtype=object))
    assert "`exit` holds objects (dict, int, str), not numbers" in str(error)
    error = refused(estimator, DataTypeError, exit=pd.to_timedelta([1, 2, 3, 4], unit="D"))
    assert "np.timedelta64(1, 'D')" in str(error)
    assert "not a rectangular array" in str(refused(estimator, DataTypeError, exit=[[1], [2, 3], 4, 5]))


def test_masked_values(estimator: Any) -> None:
    masked = np.ma.masked_array([2.0, 3.0, 5.0, 7.0], mask=[False, True, False, False])
    error = refused(estimator, MissingValueError, exit=masked)
    assert "1 of 4 values of `exit` are masked.\n  row=1" in str(error)


def test_entry_at_or_after_exit(estimator: Any) -> None:
    """Number 30."""
    error = refused(estimator, ArgumentError, entry=[0.0, 3.0, 6.0, 1.0])
    assert "2 of 4 values of `entry` are not before their exit." in str(error)
    assert "row=1, entry=3.0, exit=3.0" in str(error)
    assert "row=2, entry=6.0, exit=5.0" in str(error)
    assert "pass entry=None" in str(error)


def test_entry_and_exit_equal_up_to_rounding(estimator: Any) -> None:
    """Number 30: an interval without effective length, as R's survival refuses it."""
    error = refused(estimator, ArgumentError, exit=[0.1, 3, 5, 7], entry=[1 - 0.9, 0, 0, 0])
    assert "1 of 4 values of `entry` are not before their exit." in str(error)


def test_different_lengths(estimator: Any) -> None:
    error = refused(estimator, ArgumentError, event=[1, 0, 1])
    assert "exit has 4, event has 3" in str(error)
    assert "exit has 4, weight has 2" in str(refused(estimator, ArgumentError, weight=[1, 1]))
    assert "exit has 4, entry has 1" in str(refused(estimator, ArgumentError, entry=[0]))
    assert "`exit` has 2 axes" in str(refused(estimator, ArgumentError, exit=np.ones((4, 1))))


def test_settings_that_have_no_meaning(estimator: Any) -> None:
    assert "write ci_prob=0.90 for 90 per cent" in str(refused(estimator, ArgumentError, ci_prob=90))
    assert 'ci_kind is one of "log' in str(refused(estimator, ArgumentError, ci_kind="normal"))


def test_tie_corrected_variance_needs_whole_weights() -> None:
    with pytest.raises(ArgumentError, match="1 of 4 values of `weight` are not whole numbers") as caught:
        nelson_aalen(**GOOD, weight=[1, 1, 1.5, 1], variance="tie-corrected")
    assert 'write variance="aalen"' in str(caught.value)


def test_reading_before_zero_or_backwards() -> None:
    curve = kaplan_meier(**GOOD)
    with pytest.raises(ArgumentError, match="1 of 2 values of `times` are negative"):
        curve.survival_at([1.0, -1.0])
    with pytest.raises(ArgumentError, match=r"pass conditional_after \+ horizon"):
        curve.conditional_survival(4.0, 3.0)
    with pytest.raises(ArgumentError, match=r"prob=0\.5 is the median"):
        curve.quantile(50)


def test_an_early_risk_set_that_dies_out_warns_with_its_time() -> None:
    """Klein and Moeschberger (2003), section 4.6: with left truncation survival may drop to 0 far too early."""
    with pytest.warns(DataWarning) as caught:
        curve = kaplan_meier([1.5, 6, 7, 8], [1, 1, 0, 0], entry=[1, 2, 2, 3])
    assert caught[0].filename == __file__
    assert "at time 1.5 everybody at risk (1) had the event, although spells are observed later" in str(
        caught[0].message
    )
    assert ".conditional_survival(1.5, times)" in str(caught[0].message)
    assert curve.survival[-1] == 0.0


def test_an_early_risk_set_of_fractional_weight_dies_out_exactly() -> None:
    """(0.1 + 1.2) - 1.2 is not 0.1 in binary: a difference of sums would leave a remainder at risk."""
    assert (0.1 + 1.2) - 1.2 != 0.1
    with pytest.warns(DataWarning, match="at time 1 everybody at risk"):
        curve = kaplan_meier([1, 4, 5], [1, 1, 0], entry=[0, 2, 2], weight=[0.1, 0.7, 0.5])
    assert curve.n_at_risk[0] == 0.1
    assert curve.survival.tolist() == [0.0, 0.0, 0.0]
