"""Maps of probabilities: by hand, on simulated truth, and that order and survival survive them."""

from __future__ import annotations

import numpy as np
import pytest

from churnsurv.errors import ArgumentError, NoEventsError
from churnsurv.hazards.scoring.calibration import calibration_slope_intercept
from churnsurv.hazards.scoring.horizon_outcomes import horizon_outcomes, known_outcomes
from churnsurv.hazards.scoring.recalibration import learn_recalibration

KINDS = ("line", "monotone")


def wrong(n, seed, factor=2.0, power=1.5):
    """True and predicted probabilities: hazards too high by a factor, and too far apart."""
    rng = np.random.default_rng(seed)
    hazard = rng.lognormal(-1.0, 0.7, n)
    predicted = factor * hazard**power
    return -np.expm1(-hazard), -np.expm1(-predicted), rng


def test_a_line_is_found_again():
    """log Λ' = a + b log Λ with b = 1 / 1.5 and a = -b log 2."""
    truth, risk, rng = wrong(40_000, 1)
    found = learn_recalibration(risk, known_outcomes(rng.random(len(truth)) < truth))
    assert found.slope == pytest.approx(1 / 1.5, abs=0.02)
    assert found.intercept == pytest.approx(-np.log(2.0) / 1.5, abs=0.03)
    np.testing.assert_allclose(found.probability(risk), truth, atol=0.02)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_learnt_makes_other_customers_right(kind):
    truth, risk, rng = wrong(20_000, 2)
    found = learn_recalibration(risk[:10_000], known_outcomes(rng.random(10_000) < truth[:10_000]), kind=kind)
    moved, outcomes = found.probability(risk[10_000:]), known_outcomes(rng.random(10_000) < truth[10_000:])
    before, after = (calibration_slope_intercept(one, outcomes) for one in (risk[10_000:], moved))
    assert before.p_value < 1e-10
    assert abs(after.slope - 1) < 4 * after.slope_standard_error + 0.05
    assert abs(after.in_the_large) < 4 * after.in_the_large_standard_error + 0.03
    assert np.mean(np.abs(moved - truth[10_000:])) < 0.02 < np.mean(np.abs(risk[10_000:] - truth[10_000:]))


@pytest.mark.parametrize("kind", KINDS)
def test_order_survival_and_ends_are_kept(kind):
    truth, risk, rng = wrong(2000, 3)
    found = learn_recalibration(risk, known_outcomes(rng.random(2000) < truth), kind=kind)
    grid = np.array([0.0, 1e-9, *np.linspace(0.001, 0.999, 500), 1 - 1e-12, 1.0])
    moved = found.probability(grid)
    assert (moved[0], moved[-1]) == (0.0, 1.0)
    assert np.all(np.diff(moved) >= 0)
    assert np.all((moved > 0) & (moved < 1) | np.isin(grid, (0.0, 1.0)) | (grid > 1 - 1e-9))
    np.testing.assert_allclose(found.survival(1 - grid[1:-2]), 1 - moved[1:-2], rtol=1e-9)
    assert np.isnan(found.probability(np.array([np.nan]))).all()


def test_isotonic_blocks_by_hand():
    """Shares 0.4, 0.2 of thirty each are one block, 0.3; then 0.8. Half an event is added to each side of a block."""
    risk = np.repeat([0.1, 0.2, 0.7], 30)
    happened = np.concatenate([[1] * 12 + [0] * 18, [1] * 6 + [0] * 24, [1] * 24 + [0] * 6])
    found = learn_recalibration(risk, known_outcomes(happened), kind="monotone")
    shares = -np.expm1(-found.moved)
    assert shares[-1] == pytest.approx(24.5 / 31)
    assert found.probability(np.array([0.7])) == pytest.approx([24.5 / 31])
    assert found.probability(np.array([0.15])) == pytest.approx([18.5 / 61])  # the middle of the two
    below, between = found.probability(np.array([0.1, 0.4]))
    assert below < 18.5 / 61 < between < 24.5 / 31


def test_the_censored_are_made_up_for():
    rng = np.random.default_rng(5)
    truth = rng.uniform(0.1, 0.8, 20_000)
    time = rng.exponential(-30 / np.log1p(-truth))
    lost = rng.exponential(60, 20_000)
    outcomes = horizon_outcomes(np.minimum(time, lost), (time <= lost).astype(int), 30.0)
    risk = -np.expm1(-0.5 * -np.log1p(-truth))
    found = learn_recalibration(risk, outcomes)
    assert found.slope == pytest.approx(1.0, abs=0.04)
    assert found.intercept == pytest.approx(np.log(2.0), abs=0.05)


def test_what_teaches_nothing_is_refused(refuses):
    with refuses(NoEventsError, "3 of 50 customers had the event", "longer cutoffs"):
        learn_recalibration(np.linspace(0.1, 0.9, 50), known_outcomes([1] * 3 + [0] * 47))
    with refuses(ArgumentError, "calibration slope is -", "another model"):
        learn_recalibration(np.repeat([0.2, 0.8], 50), known_outcomes([1] * 40 + [0] * 10 + [1] * 10 + [0] * 40))
    with refuses(ArgumentError, "kind"):
        learn_recalibration(np.repeat([0.2, 0.8], 50), known_outcomes([1, 0] * 50), kind="platt")
