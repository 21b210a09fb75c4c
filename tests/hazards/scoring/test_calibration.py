"""Observed over expected, slope and intercept, D-calibration: by hand, published, and the truth in simulations."""

from __future__ import annotations

import numpy as np
import pytest

from churnsurv.errors import ArgumentError, HorizonError
from churnsurv.hazards import aalen_johansen, kaplan_meier
from churnsurv.hazards.scoring.calibration import calibration_slope_intercept
from churnsurv.hazards.scoring.d_calibration import d_calibration, null_covariance
from churnsurv.hazards.scoring.horizon_outcomes import horizon_outcomes, known_outcomes
from churnsurv.hazards.scoring.observed_expected import observed_expected, observed_expected_hazard
from tests.hazards.scoring.cancer import five_year_risks
from tests.hazards.scoring.simulated import customers


def within(count: int, prob: float) -> tuple[float, float]:
    """Shares of 200 simulations that a probability allows, four standard errors to each side."""
    width = 4 * (prob * (1 - prob) / count) ** 0.5
    return prob - width, prob + width


def test_outcomes_are_zeros_and_ones_where_all_is_known() -> None:
    """Censored exactly at the horizon is known; so is another cause."""
    found = horizon_outcomes([5, 30, 30, 12, 40], [1, 0, 1, 2, 1], 30, cause=1)
    assert found.known
    np.testing.assert_array_equal(found.value, [1, 0, 1, 0, 0])


def test_outcomes_stand_for_the_curve_of_those_at_the_start() -> None:
    rng = np.random.default_rng(0)
    time, event, entry = rng.integers(4, 40, 60), rng.integers(0, 3, 60), rng.integers(0, 4, 60)
    found = horizon_outcomes(time, event, 20, cause=2, entry=entry, start=2.0)
    kept = (entry <= 2) & (time > 2)
    curve = aalen_johansen(time[kept], event[kept], entry=np.full(kept.sum(), 2))
    np.testing.assert_array_equal(found.kept, np.flatnonzero(kept))
    assert found.observed == pytest.approx(curve.cumulative_incidence_at(20, "2"), rel=1e-8)
    by_group = horizon_outcomes(time, event, 20, groups=np.arange(60) % 2)
    even = horizon_outcomes(time[::2], event[::2], 20)
    np.testing.assert_allclose(by_group.value[::2], even.value, rtol=1e-12)


def test_a_horizon_beyond_the_data_is_refused_with_the_last_possible_one() -> None:
    with pytest.raises(HorizonError, match="ask for at most 3"):
        horizon_outcomes([1, 2, 3], [1, 0, 0], 5)


def test_observed_expected_by_hand() -> None:
    """Three events, two expected: exact Poisson bounds of 3 are 0.6187 and 8.7673 (Garwood 1936, 95%)."""
    found = observed_expected([0.25] * 8, known_outcomes([1, 1, 1, 0, 0, 0, 0, 0]), ci_prob=0.95)
    assert (found.observed, found.expected, found.ratio) == (3, 2, 1.5)
    assert (2 * found.lower, 2 * found.upper) == pytest.approx((0.61867, 8.76727), abs=1e-5)


def test_hazard_by_hand() -> None:
    """Weights 2 and 1; the other cause is no event of this one."""
    found = observed_expected_hazard([0.5, 1.0, 0.5], [1, 2, 0], cause=1, weight=[2, 1, 1])
    assert (found.observed, found.expected, found.ratio) == (2, 2.5, 0.8)
    nothing = observed_expected_hazard([0.0, 0.0], [1, 0])
    assert np.isnan(nothing.ratio)
    assert nothing.n_impossible == 1


@pytest.mark.parametrize(("extended", "ratio"), [(False, 1.02), (True, 1.00)])
def test_breast_cancer_as_published(extended: bool, ratio: float) -> None:
    """Observed over expected at five years, 02_predsurv.md, section 1.4.1, of the repository cited in ``cancer``."""
    time, event, risk = five_year_risks(extended)
    outcomes = horizon_outcomes(time, event, 5.0)
    found = observed_expected(risk, outcomes)
    assert found.ratio == pytest.approx(ratio, abs=0.005)
    assert found.observed == pytest.approx(len(time) * (1 - kaplan_meier(time, event).survival_at(5.0)), rel=1e-7)


@pytest.mark.parametrize("outcome", [0, 1])
def test_nobody_or_everybody_has_the_event(outcome: int) -> None:
    found = calibration_slope_intercept([0.1, 0.2, 0.3], known_outcomes([outcome] * 3))
    assert np.isnan([found.slope, found.in_the_large, found.p_value]).all()
    ratio = observed_expected([0.1, 0.2, 0.3], known_outcomes([outcome] * 3))
    assert np.isfinite([ratio.ratio, ratio.lower, ratio.upper]).all()
    censored = observed_expected([0.1, 0.2, 0.3], horizon_outcomes([1, 5, 5], [0, 0, 0], 3))
    assert censored.upper == pytest.approx(-np.log(0.05) / 0.6 / (2 / 3))


def test_slope_of_two_groups_is_solved_exactly() -> None:
    """Hazards 0.1 and 0.4 predicted, shares 0.2 and 0.6 observed: two equations, two unknowns."""
    risk = -np.expm1(-np.repeat([0.1, 0.4], 10))
    found = calibration_slope_intercept(risk, known_outcomes([1] * 2 + [0] * 8 + [1] * 6 + [0] * 4))
    low, high = np.log(-np.log(0.8)), np.log(-np.log(0.4))
    slope = (high - low) / np.log(4)
    assert found.slope == pytest.approx(slope, rel=1e-9)
    assert found.intercept == pytest.approx(low - slope * np.log(0.1), rel=1e-9)


def test_in_the_large_multiplies_the_cumulative_hazard() -> None:
    """With one risk for all: the log of the ratio of cumulative hazards; errors those of a share."""
    found = calibration_slope_intercept([0.2] * 50, known_outcomes([1] * 20 + [0] * 30))
    assert found.in_the_large == pytest.approx(np.log(np.log(0.6) / np.log(0.8)), rel=1e-9)
    error = np.sqrt(0.4 * 0.6 / 50) / (0.6 * -np.log(0.6))
    assert found.in_the_large_standard_error == pytest.approx(error, rel=1e-9)
    assert np.isnan(found.slope)


def test_certain_predictions_are_left_out_and_counted() -> None:
    rng = np.random.default_rng(1)
    risk = rng.uniform(0.05, 0.6, 300)
    outcome = rng.random(300) < risk
    alone = calibration_slope_intercept(risk, known_outcomes(outcome))
    more = calibration_slope_intercept(
        np.concatenate([risk, [0, 0, 1, 1, 1]]), known_outcomes(np.concatenate([outcome, [0, 1, 1, 0, 0]]))
    )
    assert (more.slope, more.in_the_large) == (alone.slope, alone.in_the_large)
    assert (more.n_certain, more.n_contradicted, more.n_used) == (5, 3, 300)
    # Of three whom 1 was predicted, one left, one stayed, one is not known.
    censored = calibration_slope_intercept([1, 1, 1, 0.5, 0.5], horizon_outcomes([1, 9, 2, 3, 9], [1, 0, 0, 1, 0], 5))
    assert (censored.n_certain, censored.n_contradicted) == (3, 1)
    whole = observed_expected(np.append(risk, 0), known_outcomes(np.append(outcome, 1)))
    assert whole.n_impossible == 1


def test_weights_are_so_many_customers() -> None:
    rng = np.random.default_rng(2)
    risk, weight = rng.uniform(0.05, 0.6, 80), rng.integers(1, 4, 80)
    time, event = rng.integers(1, 30, 80), rng.integers(0, 2, 80)
    rows = np.repeat(np.arange(80), weight)
    once = horizon_outcomes(time, event, 15, weight=weight)
    many = horizon_outcomes(time[rows], event[rows], 15)
    for score in (observed_expected, calibration_slope_intercept):
        a, b = score(risk, once), score(risk[rows], many)
        np.testing.assert_allclose(
            [v for v in vars(a).values() if not isinstance(v, str)],
            [v for v in vars(b).values() if not isinstance(v, str)],
            rtol=1e-6,
        )


def test_d_calibration_by_hand() -> None:
    """Bins of a quarter; 0.1 and 0.6 events, 0.5 censored: half in each of the two below; an event over (0.4, 0.8)."""
    found = d_calibration([0.1, 0.6, 0.5, 0.4], [1, 1, 0, 1], survival_before_exit=[0.1, 0.6, 0.9, 0.8], n_bins=4)
    np.testing.assert_allclose(found.share, np.array([1.5, 0.75, 1.625, 0.125]) / 4, atol=1e-14)
    given = d_calibration([0.05, 0.3, 0.25], [1, 1, 0], survival_at_entry=[0.5, 0.5, 0.5], n_bins=4)
    plain = d_calibration([0.1, 0.6, 0.5], [1, 1, 0], n_bins=4)
    np.testing.assert_allclose(given.share, plain.share, atol=1e-14)


def test_d_calibration_without_censoring_is_pearsons_test() -> None:
    survival = np.random.default_rng(3).random(200)
    found = d_calibration(survival, np.ones(200))
    counts = np.histogram(survival, 10, (0, 1))[0]
    assert found.pearson == pytest.approx(np.sum((counts - 20) ** 2 / 20), rel=1e-12)
    assert (found.statistic, found.p_value) == pytest.approx((found.pearson, found.pearson_p_value), rel=1e-9)


def test_covariance_of_the_shares_is_what_simulation_finds() -> None:
    rng = np.random.default_rng(4)
    edges = np.linspace(0, 1, 5)
    event_at, censored_at = rng.random(100_000), rng.beta(2, 2, 100_000)
    seen, happened = np.maximum(event_at, censored_at), event_at > censored_at
    found = null_covariance(seen, happened, np.ones(len(seen)), edges)
    shares = np.array([d_calibration(seen[i : i + 1], happened[i : i + 1], n_bins=4).share for i in range(4000)])
    np.testing.assert_allclose(found, np.cov(shares.T), atol=0.012)
    np.testing.assert_allclose(found.sum(axis=1), 0, atol=1e-12)


def test_certain_survival_and_nobody_leaving() -> None:
    """Probability exactly 1 of staying, for all: nothing can be told from anything."""
    found = d_calibration([1.0, 1.0, 1.0], [0, 0, 0])
    np.testing.assert_allclose(found.share, 0.1)
    assert np.isnan(found.p_value)
    assert np.isfinite(d_calibration([0.0, 0.0, 1.0], [0, 1, 0]).share).all()


def test_d_calibration_refuses_what_cannot_be() -> None:
    with pytest.raises(ArgumentError, match="above the survival at the entry"):
        d_calibration([0.9, 0.2], [1, 0], survival_at_entry=[0.5, 0.5])
    with pytest.raises(ArgumentError, match="below the survival at the exit"):
        d_calibration([0.9, 0.2], [1, 0], survival_before_exit=[0.5, 0.5])
    with pytest.raises(ArgumentError, match=r"outside \(0, 1\]"):
        d_calibration([0.0, 0.2], [1, 0], survival_at_entry=[0.0, 0.5])


@pytest.mark.parametrize(("days", "censored", "late"), [(False, False, False), (True, True, False), (True, True, True)])
def test_the_true_model_is_calibrated_at_the_nominal_rate(days: bool, censored: bool, late: bool) -> None:
    """200 samples of 600: intervals of 90% cover, tests at 5% reject, as often as they should."""
    rng = np.random.default_rng(5)
    covered, rejected = [], []
    for _ in range(200):
        c = customers(rng, 600, days=days, censored=censored, late=late)
        start = 5.0 if late else 0.0
        outcomes = horizon_outcomes(c.time, c.event, start + 30, entry=c.entry, start=start)
        risk = 1 - c.survival(start + 30, start)
        slope = calibration_slope_intercept(risk, outcomes)
        ratio = observed_expected_hazard(c.expected(), c.event)
        large = observed_expected(risk, outcomes)
        even = d_calibration(
            c.survival(c.time, c.entry), c.event, survival_before_exit=c.before_exit()
        )  # survival is given the entry
        covered.append(
            [
                slope.slope_lower <= 1 <= slope.slope_upper,
                slope.intercept_lower <= 0 <= slope.intercept_upper,
                slope.in_the_large_lower <= 0 <= slope.in_the_large_upper,
                ratio.lower <= 1 <= ratio.upper,
                large.lower <= 1 <= large.upper,
            ]
        )
        rejected.append([slope.p_value < 0.05, even.p_value < 0.05])
    low, high = within(200, 0.90)
    rates = np.mean(covered, axis=0)
    assert (rates >= low).all()
    assert (rates[:3] <= high).all()  # Poisson bounds, of the last two, are too wide for zeros and ones by design
    assert (np.mean(rejected, axis=0) <= within(200, 0.05)[1]).all()


def test_a_wrong_model_is_found_out() -> None:
    """Hazards twice too high, or spread too far: every measure says so."""
    rng = np.random.default_rng(6)
    c = customers(rng, 4000)
    outcomes = horizon_outcomes(c.time, c.event, 30)
    doubled = 1 - c.survival(30) ** 2
    assert observed_expected(doubled, outcomes).upper < 0.8
    assert observed_expected_hazard(2 * c.expected(), c.event).upper < 0.6
    assert calibration_slope_intercept(doubled, outcomes).in_the_large == pytest.approx(-np.log(2), abs=0.2)
    assert d_calibration(c.survival(c.time) ** 2, c.event).p_value < 1e-6
    spread = 1 - np.exp(-0.3 * (c.rate / 0.01) ** 2)
    assert calibration_slope_intercept(spread, outcomes).slope == pytest.approx(0.5, abs=0.1)


def test_a_model_of_the_censoring_gives_weights_instead() -> None:
    rng = np.random.default_rng(7)
    c = customers(rng, 3000)
    # Censored uniformly between 10 and 60, known to whole days.
    outcomes = horizon_outcomes(c.time, c.event, 30, censoring=lambda at: np.clip((61 - np.ceil(at)) / 50, 0, 1))
    assert set(np.unique(outcomes.value)) <= {0.0, 1.0}
    risk = 1 - c.survival(30)
    found, slope = observed_expected(risk, outcomes), calibration_slope_intercept(risk, outcomes)
    assert found.ratio == pytest.approx(1, abs=4 * found.standard_error)
    assert slope.slope == pytest.approx(1, abs=4 * slope.slope_standard_error)


def test_a_prediction_next_to_zero_counts_as_zero():
    """1e-99 is -228 on the scale of the slope: it must neither move the slope nor make it fail."""
    rng = np.random.default_rng(4)
    risk = rng.uniform(0.05, 0.9, 500)
    outcome = rng.random(500) < risk
    plain = calibration_slope_intercept(risk, known_outcomes(outcome))
    found = calibration_slope_intercept([1e-99, 1e-44, *risk], known_outcomes([0, 1, *outcome]))
    assert (found.slope, found.in_the_large) == (plain.slope, plain.in_the_large)
    assert (found.n_certain, found.n_contradicted, found.n_used) == (2.0, 1.0, 500.0)
