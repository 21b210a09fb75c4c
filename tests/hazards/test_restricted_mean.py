"""Restricted mean survival time with its own variance: by hand, published, simulated."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churnsurv.errors import ArgumentError, HorizonError
from churnsurv.hazards import contrast_restricted_means, kaplan_meier
from tests.hazards.published import AML, SIX_MP, spells


def test_in_exact_fractions() -> None:
    """2, 3, 3+, 5+: at risk 4, 3, 1; areas from 2 and from 3 to 4.5 are 3/4 + 3/4 and 3/4."""
    found = kaplan_meier([2, 3, 3, 5], [1, 1, 0, 0]).restricted_mean(4.5)
    variance = Fraction(3, 2) ** 2 * Fraction(1, 12) + Fraction(3, 4) ** 2 * Fraction(1, 6)
    assert found.estimate == pytest.approx(3.5, rel=1e-12)
    assert found.standard_error**2 == pytest.approx(float(variance), rel=1e-12)
    half = 1.6448536269514722 * math.sqrt(variance)
    assert (found.lower, found.upper) == pytest.approx((3.5 - half, 3.5 + half), rel=1e-12)
    assert kaplan_meier([2, 3, 3, 5], [1, 1, 0, 0]).restricted_mean(4.5, ci_prob=0.99).upper == 4.5


def test_without_censoring_it_is_the_mean_of_the_smaller_of_time_and_horizon() -> None:
    time = np.array([1.0, 2.0, 2.0, 4.0, 7.0, 9.0])
    for horizon in (0.5, 2.0, 3.0, 8.0, 9.0, 50.0):
        found = kaplan_meier(time, np.ones(6)).restricted_mean(horizon)
        kept = np.minimum(time, horizon)
        assert found.estimate == pytest.approx(kept.mean(), rel=1e-12)
        assert found.standard_error == pytest.approx(np.std(kept) / np.sqrt(6), rel=1e-12, abs=1e-15)


def test_six_mp_as_in_klein_and_moeschberger() -> None:
    """Second edition, section 4.5, example 4.1 continued: 23.287 weeks of 35, standard error 2.827."""
    found = kaplan_meier(*spells(SIX_MP)).restricted_mean(35)
    assert found.estimate == pytest.approx(23.287, abs=0.0005)
    assert found.standard_error == pytest.approx(2.827, abs=0.0005)


@pytest.mark.parametrize(
    ("status", "estimate", "error", "digits"), [(0, 429, 32.2, 1), (1, 366, 22.4, 1), (2, 256, 30.0, 1)]
)
def test_lung_as_in_r_survival(status: int, estimate: float, error: float, digits: int) -> None:
    """`print(survfit(Surv(time, status) ~ ph.ecog, lung), rmean = 730)` in tests/Examples/survival-Ex.Rout.save."""
    datasets = pytest.importorskip("lifelines.datasets")
    lung = datasets.load_lung()
    rows = lung["ph.ecog"] == status
    found = kaplan_meier(lung["time"][rows], lung["status"][rows]).restricted_mean(730)
    assert found.estimate == pytest.approx(estimate, abs=0.5)
    assert found.standard_error == pytest.approx(error, abs=0.5 * 10**-digits)


def test_standard_error_is_the_spread_of_the_estimate() -> None:
    """Over 1000 samples of 100 within 8 per cent; the spread of one customer's time is ten times as large."""
    rng = np.random.default_rng(4)
    estimates, errors, covered = [], [], []
    truth = 1 - np.exp(-1.0)
    for _ in range(1000):
        time, limit = rng.exponential(1.0, 100), rng.uniform(0.5, 3.0, 100)
        curve = kaplan_meier(np.minimum(time, limit), time <= limit)
        found = curve.restricted_mean(1.0, ci_prob=0.90)
        estimates.append(found.estimate)
        errors.append(found.standard_error)
        covered.append(found.lower <= truth <= found.upper)
    assert np.mean(errors) == pytest.approx(np.std(estimates), rel=0.08)
    assert np.mean(covered) == pytest.approx(0.90, abs=4 * (0.09 / 1000) ** 0.5)


def test_variance_is_the_infinitesimal_jackknife() -> None:
    rng = np.random.default_rng(6)
    exit_, event, step = rng.integers(1, 15, 40), rng.random(40) < 0.6, 1e-4
    horizon = float(exit_.max()) - 1.5
    total = 0.0
    for i in range(40):
        up, down = np.ones(40), np.ones(40)
        up[i], down[i] = 1 + step, 1 - step
        above, below = (kaplan_meier(exit_, event, weight=w).restricted_mean(horizon).estimate for w in (up, down))
        total += ((above - below) / (2 * step)) ** 2
    found = kaplan_meier(exit_, event).restricted_mean(horizon)
    assert found.standard_error**2 == pytest.approx(total, rel=1e-6)


def test_a_horizon_before_the_first_event_has_no_spread() -> None:
    found = kaplan_meier([2, 3, 3, 5], [1, 1, 0, 0]).restricted_mean(1.5)
    assert (found.estimate, found.standard_error) == (1.5, 0.0)
    assert math.isnan(found.lower)
    assert math.isnan(found.upper)


def test_a_horizon_beyond_the_data_is_refused() -> None:
    with pytest.raises(HorizonError, match=r"a horizon of 6 lies outside \(0, 5\]"):
        kaplan_meier([2, 3, 3, 5], [1, 1, 0, 0]).restricted_mean(6)
    with pytest.raises(ArgumentError, match="ci_prob"):
        kaplan_meier([2, 3, 3, 5], [1, 1, 0, 0]).restricted_mean(3, ci_prob=90)


@settings(max_examples=30, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(1, 12), st.booleans(), st.integers(1, 4)), min_size=2, max_size=20),
    factor=st.floats(1e-6, 1e6),
)
def test_weights_replicate_and_the_unit_scales(rows: list[tuple[int, bool, int]], factor: float) -> None:
    rows = [*rows, (13, False, 1), (1, True, 1)]
    exit_, event, weight = (np.array(column) for column in zip(*rows, strict=True))
    one = kaplan_meier(exit_, event, weight=weight).restricted_mean(11.5)
    two = kaplan_meier(np.repeat(exit_, weight), np.repeat(event, weight)).restricted_mean(11.5)
    other = kaplan_meier(exit_ * factor, event, weight=weight).restricted_mean(11.5 * factor)
    for name in ("estimate", "standard_error", "lower", "upper"):
        assert getattr(two, name) == pytest.approx(getattr(one, name), rel=1e-9)
        assert getattr(other, name) == pytest.approx(getattr(one, name) * factor, rel=1e-9)


def test_difference_and_ratio_by_hand() -> None:
    first, second = (kaplan_meier(*spells(text)).restricted_mean(44) for text in AML.values())
    found = contrast_restricted_means(first, second, ci_prob=0.95)
    error = math.sqrt(first.standard_error**2 + second.standard_error**2)
    assert found.estimate == first.estimate - second.estimate
    assert found.standard_error == pytest.approx(error, rel=1e-12)
    assert found.upper - found.lower == pytest.approx(2 * 1.959963984540054 * error, rel=1e-12)
    assert found.p_value == pytest.approx(math.erfc(found.estimate / error / math.sqrt(2)), rel=1e-9)
    ratio = contrast_restricted_means(first, second, contrast="ratio", ci_prob=0.95)
    log_error = math.hypot(first.standard_error / first.estimate, second.standard_error / second.estimate)
    assert ratio.estimate == pytest.approx(first.estimate / second.estimate, rel=1e-12)
    assert math.log(ratio.upper / ratio.estimate) == pytest.approx(1.959963984540054 * log_error, rel=1e-9)
    turned = contrast_restricted_means(second, first, contrast="ratio", ci_prob=0.95)
    assert (turned.lower, turned.upper) == pytest.approx((1 / ratio.upper, 1 / ratio.lower), rel=1e-12)
    assert turned.p_value == pytest.approx(ratio.p_value, rel=1e-12)


def test_it_is_not_the_variance_of_time_within_the_horizon() -> None:
    """E min(T, 44)² less the squared mean: what lifelines 0.30 calls the variance, of one customer, not of the mean."""
    curve = kaplan_meier(*spells(AML["maintained"]))
    found = curve.restricted_mean(44)
    edges = np.array([0.0, *curve.times[curve.times < 44], 44.0])
    second_moment = np.sum(np.diff(edges**2) * curve.survival_at(edges[:-1]))
    of_one = second_moment - found.estimate**2
    assert 7 < of_one / found.standard_error**2 < 12


def test_contrasts_that_mean_nothing() -> None:
    curve = kaplan_meier([2, 3, 3, 5], [1, 1, 0, 0])
    with pytest.raises(ArgumentError, match="the horizons differ: 4 and 3") as caught:
        contrast_restricted_means(curve.restricted_mean(4), curve.restricted_mean(3))
    assert "Hint: ask both curves for .restricted_mean(3)." in str(caught.value)
    with pytest.raises(ArgumentError, match='contrast is one of "difference", "ratio"'):
        contrast_restricted_means(curve.restricted_mean(4), curve.restricted_mean(4), contrast="odds")  # type: ignore[arg-type]
    nothing = contrast_restricted_means(curve.restricted_mean(1), curve.restricted_mean(1))
    assert nothing.estimate == 0.0
    assert math.isnan(nothing.p_value)
