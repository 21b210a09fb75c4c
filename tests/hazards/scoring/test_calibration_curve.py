"""Calibration curve, its distance from the diagonal, bins: by hand, published, and the truth in simulations."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from churnsurv.errors import ArgumentError
from churnsurv.hazards import kaplan_meier
from churnsurv.hazards.scoring.calibration_bins import calibration_bins
from churnsurv.hazards.scoring.calibration_curve import calibration_curve
from churnsurv.hazards.scoring.calibration_error import calibration_error, ici_null
from churnsurv.hazards.scoring.horizon_outcomes import horizon_outcomes, known_outcomes
from tests.hazards.scoring.cancer import five_year_risks
from tests.hazards.scoring.simulated import customers


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Products of small matrices only wait for each other's threads."""
    with threadpool_limits(1):
        yield


def test_a_line_is_smoothed_into_itself() -> None:
    """Outcomes a straight line off on the scale of the smoother: the curve is exact, whatever the bandwidth."""
    rng = np.random.default_rng(0)
    risk = rng.uniform(0.1, 0.5, 400)
    x = np.log(-np.log1p(-risk))
    outcomes = known_outcomes(np.zeros(400))
    shifted = type(outcomes)(**{**vars(outcomes), "value": risk + 0.02 + 0.03 * x})
    for bandwidth in (0.1, 0.5, 5.0):
        found = calibration_curve(risk, shifted, grid=[0.15, 0.3, 0.45], bandwidth=bandwidth)
        expected = found.predicted + 0.02 + 0.03 * np.log(-np.log1p(-found.predicted))
        np.testing.assert_allclose(found.observed, expected, atol=1e-10)


def test_one_prediction_for_all_shows_their_mean() -> None:
    found = calibration_curve([0.2] * 10, known_outcomes([1] * 4 + [0] * 6), ci_prob=0.95)
    assert found.observed == pytest.approx([0.4])
    assert found.upper == pytest.approx([0.4 + 1.959964 * np.sqrt(0.4 * 0.6 / 10)], rel=1e-6)
    error = calibration_error([0.2] * 10, known_outcomes([1] * 4 + [0] * 6))
    assert (error.ici, error.e50, error.e90, error.emax) == pytest.approx((0.2, 0.2, 0.2, 0.2))


def test_errors_by_hand_over_three_certainties() -> None:
    """0 and 1 predicted: 1 of 6 and 3 of 4 happened; |1/6| six times and |3/4 - 1| four times."""
    found = calibration_error([0.0] * 6 + [1.0] * 4, known_outcomes([1] + [0] * 5 + [1] * 3 + [0]))
    assert found.ici == pytest.approx(0.2)
    assert (found.e50, found.e90, found.emax) == pytest.approx((1 / 6, 0.25, 0.25))
    assert found.null_quantile == 0
    curve = calibration_curve([0.0] * 6 + [1.0] * 4, known_outcomes([1] + [0] * 5 + [1] * 3 + [0]))
    np.testing.assert_allclose(curve.observed, [1 / 6, 3 / 4])


@pytest.mark.parametrize(("extended", "ici"), [(False, 0.03), (True, 0.02)])
def test_breast_cancer_as_published(extended: bool, ici: float) -> None:
    """ICI at five years, 02_predsurv.md, section 1.4.3, of the repository cited in ``cancer``.

    There the curve is a Cox model with a spline (Austin, Harrell and van Klaveren 2020), so only the two printed
    digits can agree.
    """
    time, event, risk = five_year_risks(extended)
    found = calibration_error(risk, horizon_outcomes(time, event, 5.0))
    assert found.ici == pytest.approx(ici, abs=0.005)
    assert found.ici < found.null_quantile


@pytest.mark.parametrize(("censored", "late"), [(False, False), (True, False), (True, True)])
def test_the_true_model_is_within_noise_in_200_simulations(censored: bool, late: bool) -> None:
    """Never far off, above the 95% quantile of its own noise in one of twenty, bands cover nine of ten.

    Were the whole curve one normal number, 200 of them would stay below four times their mean size.
    """
    rng = np.random.default_rng(1)
    found, above, covered, reaches = [], [], [], []
    for _ in range(200):
        c = customers(rng, 600, censored=censored, late=late)
        start = 5.0 if late else 0.0
        outcomes = horizon_outcomes(c.time, c.event, start + 30, entry=c.entry, start=start)
        risk = 1 - c.survival(start + 30, start)
        error = calibration_error(risk, outcomes, n_draws=200, rng=rng)
        curve = calibration_curve(risk, outcomes)
        found.append([error.ici, error.null_mean, error.emax])
        above.append(error.ici > error.null_quantile)
        reaches.append(error.ici_lower == 0)
        covered.append((curve.lower <= curve.predicted) & (curve.predicted <= curve.upper))
    ici, null_mean, emax = np.transpose(found)
    assert (ici / null_mean).max() < 4
    assert emax.max() < 0.5
    assert ici.mean() == pytest.approx(null_mean.mean(), rel=0.10)
    assert np.mean(above) <= 0.05 + 4 * (0.05 * 0.95 / 200) ** 0.5
    assert np.mean(above) > 0.005
    assert np.mean(np.concatenate(covered)) == pytest.approx(0.90, abs=0.05)
    assert np.mean(reaches) > 0.6


def test_a_wrong_model_is_far_above_its_noise() -> None:
    rng = np.random.default_rng(2)
    c = customers(rng, 4000)
    risk, doubled = 1 - c.survival(30), 1 - c.survival(30) ** 2
    found = calibration_error(doubled, horizon_outcomes(c.time, c.event, 30))
    truth = np.mean(doubled - risk)
    assert found.ici_lower < truth < found.ici_upper
    assert found.ici > 4 * found.null_quantile
    assert found.p_value < 0.002


def test_noise_shrinks_with_customers() -> None:
    few = ici_null([0.1, 0.3] * 100, known_outcomes([0, 1] * 100))
    many = ici_null([0.1, 0.3] * 2500, known_outcomes([0, 1] * 2500))
    assert few.mean / many.mean == pytest.approx(5, rel=0.15)
    assert few.mean < few.quantile == np.quantile(few.draws, 0.95)


def test_the_same_seed_gives_the_same_numbers_in_any_order_of_rows() -> None:
    rng = np.random.default_rng(3)
    c = customers(rng, 300)
    risk, order = 1 - c.survival(30), rng.permutation(len(c.time))
    one = calibration_error(risk, horizon_outcomes(c.time, c.event, 30), rng=4)
    two = calibration_error(risk[order], horizon_outcomes(c.time[order], c.event[order], 30), rng=4)
    np.testing.assert_allclose(list(vars(one).values()), list(vars(two).values()), rtol=1e-6)


def test_many_exact_zeros_do_not_bend_the_rest() -> None:
    """Under a shop's definition half of the customers cannot churn within the horizon."""
    rng = np.random.default_rng(4)
    risk = rng.uniform(0.05, 0.5, 500)
    outcome = rng.random(500) < risk
    alone = calibration_curve(risk, known_outcomes(outcome), grid=[0.1, 0.3])
    both = calibration_curve(
        np.concatenate([risk, np.zeros(500)]),
        known_outcomes(np.concatenate([outcome, np.zeros(500)])),
        grid=[0.0, 0.1, 0.3],
    )
    np.testing.assert_allclose(both.observed, [0, *alone.observed], atol=1e-12)
    assert calibration_error([0.0] * 5, known_outcomes([0] * 5)).ici == 0


@pytest.mark.parametrize("outcome", [0, 1])
def test_nobody_or_everybody_has_the_event(outcome: int) -> None:
    risk = np.linspace(0.05, 0.5, 40)
    found = calibration_error(risk, known_outcomes([outcome] * 40))
    assert found.ici == pytest.approx(np.mean(np.abs(outcome - risk)), abs=0.01)
    assert np.isfinite(list(vars(found).values())).all()


def test_beyond_the_predictions_there_is_no_curve() -> None:
    risk = np.linspace(0.1, 0.4, 100)
    found = calibration_curve(risk, known_outcomes(np.arange(100) % 4 == 0), grid=[0.0, 0.05, 0.2, 0.6, 1.0])
    assert np.isnan(found.observed).tolist() == [True, True, False, True, True]
    assert np.isnan(found.lower).tolist() == np.isnan(found.upper).tolist() == [True, True, False, True, True]


def test_bins_by_hand() -> None:
    """Equal predictions stay together; Wilson (1927) for 1 of 10 at 95%: 0.0179 to 0.4042."""
    found = calibration_bins(
        [0.1] * 10 + [0.5] * 10, known_outcomes([0] * 9 + [1] * 6 + [0] * 5), n_bins=4, ci_prob=0.95
    )
    np.testing.assert_allclose(found.observed, [0.1, 0.5])
    assert (found.lower[0], found.upper[0]) == pytest.approx((0.0179, 0.4042), abs=5e-5)


def test_bins_of_censored_customers_are_their_curves() -> None:
    rng = np.random.default_rng(5)
    c = customers(rng, 400)
    risk = 1 - c.survival(30)
    found = calibration_bins(risk, horizon_outcomes(c.time, c.event, 30), n_bins=5)
    for i in range(5):
        rows = (risk >= found.lowest[i]) & (risk <= found.highest[i])
        curve = kaplan_meier(c.time[rows], c.event[rows])
        at = np.searchsorted(curve.times, 30, side="right") - 1
        expected = 1 - curve.survival[at], 1 - curve.upper[at], 1 - curve.lower[at]
        np.testing.assert_allclose((found.observed[i], found.lower[i], found.upper[i]), expected, rtol=1e-6)
    np.testing.assert_allclose(found.n_customers, 80, atol=1)


def test_bins_without_events_have_an_upper_bound() -> None:
    found = calibration_bins([0.1, 0.1, 0.1, 0.1], horizon_outcomes([1, 5, 5, 6], [0, 0, 0, 1], 3))
    assert found.observed[0] == 0
    assert 0.3 < found.upper[0] < 0.6


@pytest.mark.slow
def test_a_million_customers_a_third_of_them_certain() -> None:
    """Seconds and half a gigabyte; the truth is within its noise."""
    rng = np.random.default_rng(6)
    c = customers(rng, 1_000_000)
    risk = np.where(rng.random(len(c.rate)) < 0.3, 0.0, 1 - c.survival(30))
    time, event = np.where(risk > 0, c.time, 60.0), c.event & (risk > 0)
    outcomes = horizon_outcomes(time, event, 30, groups=risk > 0)
    found = calibration_error(risk, outcomes)
    assert found.ici < 0.005
    assert found.p_value > 0.001
    assert len(calibration_bins(risk, outcomes).predicted) >= 7


def test_refusals() -> None:
    with pytest.raises(ArgumentError, match="not positive"):
        calibration_curve([0.5, 0.5], known_outcomes([0, 1]), bandwidth=0.0)
    with pytest.raises(ArgumentError, match="3 values for 2 customers"):
        calibration_curve([0.5, 0.5, 0.5], known_outcomes([0, 1]))
    with pytest.raises(ArgumentError, match="neither 0 nor 1"):
        known_outcomes([0, 0.5])
