"""E-values and bounds of confounding: published numbers, confounded worlds written out, and identities."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churnsurv.causes.confounding import (
    adjusted_risk_ratio,
    bias_factor,
    e_value,
    e_value_draws,
    e_value_of_draws,
    tipping_point_curve,
)
from churnsurv.errors import ArgumentError, DataTypeError, NonFiniteError

ratio = st.floats(0.01, 100)
above_one = st.floats(1.0, 100)
share = st.floats(0.01, 0.99)
quick = settings(max_examples=60, deadline=None)

PUBLISHED = [
    (3.9, 1.8, 8.7, 7.26, 3.00),  # VanderWeele and Ding (2017): respiratory death and breast-feeding
    (10.73, 8.02, 14.36, 20.94777, 15.52336),  # R's EValue, vignette: lung cancer and smoking
]


@pytest.mark.parametrize(("estimate", "lower", "upper", "point", "bound"), PUBLISHED)
def test_published(estimate: float, lower: float, upper: float, point: float, bound: float) -> None:
    found = e_value(estimate, lower, upper)
    digits = len(str(point).split(".")[1])
    assert round(found.estimate, digits) == point
    assert round(found.bound, digits) == bound


def test_by_hand() -> None:
    """2 + sqrt(2 · 1); the same for one half; nothing for 1."""
    assert e_value(2.0).estimate == pytest.approx(2 + math.sqrt(2), rel=1e-12)
    assert e_value(0.5).estimate == pytest.approx(2 + math.sqrt(2), rel=1e-12)
    assert e_value(1.0).estimate == 1.0
    assert math.isnan(e_value(2.0).bound)


def test_bounds_of_the_interval() -> None:
    assert e_value(0.8, 0.71, 0.91).bound == pytest.approx(e_value(0.91).estimate, rel=1e-12)
    assert e_value(1.2, 0.9, 1.6).bound == 1.0
    assert e_value(0.9, 0.7, 1.1).bound == 1.0
    assert e_value(2.0, lower=1.5).bound == pytest.approx(e_value(1.5).estimate, rel=1e-12)
    assert math.isnan(e_value(2.0, upper=3.0).bound)
    assert math.isnan(e_value(0.5, lower=0.2).bound)


@quick
@given(value=ratio)
def test_a_ratio_turned_over_needs_the_same(value: float) -> None:
    assert e_value(value).estimate == pytest.approx(e_value(1 / value).estimate, rel=1e-9)


@quick
@given(value=ratio)
def test_a_confounder_of_the_e_value_just_explains_it(value: float) -> None:
    needed = e_value(value).estimate
    assert bias_factor(needed, needed) == pytest.approx(max(value, 1 / value), rel=1e-9)
    assert adjusted_risk_ratio(value, needed, needed) == pytest.approx(1.0, rel=1e-9)


def confounded(p_with: float, p_without: float, risks: tuple[float, float]) -> tuple[float, float, float]:
    """A cause without effect and a binary confounder: observed ratio, confounder–cause and –outcome ratios."""
    low, high = min(risks), max(risks)
    seen = [p * high + (1 - p) * low for p in (p_with, p_without)]
    # The ratio of prevalences is the larger over the confounder's two states.
    cause = max(p_with / p_without, (1 - p_with) / (1 - p_without))
    return seen[0] / seen[1], cause, high / low


@quick
@given(p=st.tuples(share, share), risks=st.tuples(share, share))
def test_no_confounder_moves_a_null_effect_farther_than_the_bound(
    p: tuple[float, float], risks: tuple[float, float]
) -> None:
    observed, cause, outcome = confounded(max(p), min(p), risks)
    assert observed <= bias_factor(cause, outcome) * (1 + 1e-12)
    assert adjusted_risk_ratio(observed, cause, outcome) <= 1 + 1e-12


def test_the_bound_is_reached() -> None:
    """Ding and VanderWeele (2016): everybody with the cause has the confounder, 1 / RR_EU without it."""
    observed, cause, outcome = confounded(1.0 - 1e-12, 0.25, (0.01, 0.05))
    assert (cause, outcome) == (pytest.approx(4.0), pytest.approx(5.0))
    assert observed == pytest.approx(float(bias_factor(4.0, 5.0)), rel=1e-9)


@quick
@given(cause=above_one, outcome=above_one)
def test_the_factor_is_below_both_ratios(cause: float, outcome: float) -> None:
    factor = float(bias_factor(cause, outcome))
    assert 1 - 1e-12 <= factor <= min(cause, outcome) * (1 + 1e-12)
    assert factor == pytest.approx(float(bias_factor(outcome, cause)), rel=1e-12)
    assert factor == pytest.approx(cause * outcome / (cause + outcome - 1), rel=1e-12)


def test_broadcasts_and_does_not_overflow() -> None:
    assert bias_factor([1.0, 2.0], [[1.0], [3.0], [5.0]]).shape == (3, 2)
    assert bias_factor(1e200, 1e200) == pytest.approx(5e199)
    assert e_value(1e200).estimate == pytest.approx(2e200)


@quick
@given(value=ratio.filter(lambda v: abs(v - 1) > 1e-3), n=st.integers(1, 20))
def test_every_pair_of_the_curve_explains_it_and_no_weaker_one(value: float, n: int) -> None:
    curve = tipping_point_curve(value, n=2 * n + 1)
    left = adjusted_risk_ratio(value, curve.confounder_cause, curve.confounder_outcome)
    np.testing.assert_allclose(left, 1.0, rtol=1e-9)
    assert curve.confounder_cause[n] == pytest.approx(e_value(value).estimate, rel=1e-9)
    assert np.all(np.diff(curve.confounder_cause) > 0)
    np.testing.assert_allclose(curve.confounder_cause, curve.confounder_outcome[::-1], rtol=1e-9)
    weaker = bias_factor(curve.confounder_cause, np.maximum(curve.confounder_outcome * 0.99, 1))
    assert np.all(weaker < max(value, 1 / value))


def test_frame_and_words_of_the_curve() -> None:
    curve = tipping_point_curve(0.5, n=5)
    assert curve.frame().shape == (5, 2)
    assert repr(curve) == (
        "TippingPointCurve(risk ratio 0.5: 5 pairs of ratios that explain it away, 3.41 each where they are equal)"
    )


@quick
@given(seed=st.integers(0, 1000), centre=st.floats(-1, 1))
def test_quantiles_of_the_draws_are_e_values_of_the_quantiles(seed: int, centre: float) -> None:
    draws = np.exp(np.random.default_rng(seed).normal(centre, 0.5, 101))
    found = e_value_of_draws(draws, ci_prob=0.9)
    values = e_value_draws(draws)
    low, middle, high = np.quantile(draws, [0.05, 0.5, 0.95])
    assert (found.lower, found.risk_ratio, found.upper) == pytest.approx((low, middle, high), rel=1e-12)
    assert found.estimate == pytest.approx(np.quantile(values, 0.5), rel=1e-9)
    assert found.bound == pytest.approx(np.quantile(values, 0.05), rel=1e-6)
    assert values.min() >= 1


def test_draws_on_the_other_side_need_nothing() -> None:
    np.testing.assert_allclose(e_value_draws([0.5, 0.5, 3.0]), [2 + math.sqrt(2)] * 2 + [1.0])
    assert e_value_draws(np.full((2, 3), 2.0)).shape == (2, 3)
    assert e_value_draws([]).shape == (0,)


def test_words() -> None:
    assert str(e_value(3.9, 1.8, 8.7)) == (
        "To explain a risk ratio of 3.90 away, something unmeasured would have to be 7.3 times as common with the "
        "cause as without it and make the outcome 7.3 times as likely, beyond what was adjusted for. To move its "
        "interval to 1, 3.0 times each would do."
    )
    assert "without the cause as with it" in str(e_value(0.5))
    assert str(e_value(1.2, 0.9, 1.6)).endswith("The interval holds 1: nothing is needed to explain it.")
    assert str(e_value(1.0)) == "The risk ratio is 1: there is no effect to explain away."


def test_refusals() -> None:
    with pytest.raises(ArgumentError, match="`risk_ratio` are not above 0"):
        e_value(0.0)
    with pytest.raises(ArgumentError, match=r"interval from 2 to 3 does not enclose the risk ratio 1.5"):
        e_value(1.5, 2.0, 3.0)
    with pytest.raises(ArgumentError, match=r"interval from nan to 1.2 does not enclose"):
        e_value(1.5, upper=1.2)
    with pytest.raises(NonFiniteError):
        e_value(math.inf)
    with pytest.raises(DataTypeError):
        e_value("2")  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="1 of 2 values of `confounder_cause` are below 1"):
        bias_factor([0.5, 2.0], 2.0)
    with pytest.raises(ArgumentError, match=r"confounder_cause has \(2,\), confounder_outcome has \(3,\)"):
        bias_factor([2.0, 2.0], [2.0, 2.0, 2.0])
    with pytest.raises(ArgumentError, match=r"risk_ratio has \(3,\), the confounder has \(2,\)"):
        adjusted_risk_ratio([2.0, 2.0, 2.0], [2.0, 2.0], 2.0)
    with pytest.raises(ArgumentError, match="there is no effect to explain away"):
        tipping_point_curve(1.0)
    with pytest.raises(ArgumentError, match="`reach`=1 is not above 1"):
        tipping_point_curve(2.0, reach=1.0)
    with pytest.raises(ArgumentError, match="`n`=2 is below 3"):
        tipping_point_curve(2.0, n=2)
    with pytest.raises(ArgumentError, match="holds no draws"):
        e_value_of_draws([])
