"""Lift and gains: by hand, ties, identities with precision and AUC, and weighted for censoring."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churnsurv.errors import ArgumentError
from churnsurv.hazards.scoring.binary_outcomes import outcomes_at
from churnsurv.hazards.scoring.classification import classification_scores
from churnsurv.hazards.scoring.lift import gains_curve, lift_at


def rows(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    outcome = rng.integers(0, 2, n)
    outcome[:2] = (0, 1)
    return outcome, rng.integers(0, 8, n).astype(float), rng.integers(1, 4, n)


def test_by_hand_with_a_tie_at_the_border() -> None:
    """Ten customers, three leave. The top three: 9, and two of three with 7, one of whom leaves: 1 + 2/3 leavers.

    Gain 5/9, share 3/10, lift 50/27; the rate among them 5/9 and among all 3/10.
    """
    outcome, score = [1, 0, 1, 0, 0, 0, 1, 0, 0, 0], [9, 7, 7, 7, 5, 4, 3, 2, 1, 0]
    found = lift_at(outcome, score, 0.3)
    assert (found.gain, found.lift, found.rate) == pytest.approx((5 / 9, 50 / 27, 5 / 9), rel=1e-12)
    assert (found.n_flagged, found.share, found.base_rate) == pytest.approx((3, 0.3, 0.3))
    assert lift_at(outcome, score, 3) == found
    assert lift_at(outcome[::-1], score[::-1], 3).lift == pytest.approx(found.lift)
    curve = gains_curve(outcome, score)
    assert curve.gain_at(0.3) == pytest.approx(5 / 9)
    assert curve.lift()[1:3].tolist() == pytest.approx([10 / 3, (2 / 3) / 0.4])
    assert math.isnan(curve.lift()[0])


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.1, 0.25, 0.5, 7, 20]))
def test_identities(seed: int, top: float) -> None:
    """Lift is precision over base rate, gain is recall and a point of the curve; Gini is the ratio of two areas."""
    outcome, score, weight = rows(30, seed)
    found = lift_at(outcome, score, top, weight=weight)
    scores = classification_scores(outcome, score, top=top, weight=weight)
    assert found.gain == pytest.approx(scores.recall.estimate, rel=1e-12)
    assert found.rate == pytest.approx(scores.precision.estimate, rel=1e-12)
    assert found.lift == pytest.approx(found.rate / found.base_rate, rel=1e-12)
    curve = gains_curve(outcome, score, weight=weight)
    assert curve.gain_at(found.share) == pytest.approx(found.gain, rel=1e-12)
    area = float(np.trapezoid(curve.gain, curve.share)) - 0.5
    assert curve.gini == pytest.approx(area / (0.5 - curve.base_rate / 2), rel=1e-10, abs=1e-12)
    many = [np.repeat(column, weight) for column in (outcome, score)]
    assert gains_curve(*many).gain == pytest.approx(curve.gain, rel=1e-12)
    assert lift_at(outcome, np.exp(score), top, weight=weight).lift == pytest.approx(found.lift, rel=1e-12)


def test_constant_perfect_and_all() -> None:
    outcome = [1, 1, 0, 0, 0, 0, 0, 0, 0, 0]
    assert lift_at(outcome, np.zeros(10)).lift == pytest.approx(1, rel=1e-12)
    assert gains_curve(outcome, np.zeros(10)).gini == pytest.approx(0, abs=1e-12)
    assert lift_at(outcome, outcome, 0.2).lift == pytest.approx(5)
    assert gains_curve(outcome, outcome).gini == pytest.approx(1)
    assert lift_at(outcome, range(10), 1.0).lift == pytest.approx(1)
    nobody = lift_at([0, 0], [1, 2], 1)
    assert math.isnan(nobody.gain)
    assert math.isnan(nobody.lift)
    assert nobody.base_rate == 0
    assert np.isnan(gains_curve([0, 0], [1, 2]).gain[1:]).all()


def test_lost_customers_count_as_contacted_and_are_stood_for() -> None:
    """Times 1, 2+, 3+, 4 at 3: two of four contacted, one leaver; 1 + 1.5 + 1.5 in all, so that a quarter leaves."""
    known = outcomes_at([1, 2, 3, 4], [1, 0, 0, 1], 3)
    found = lift_at(known.outcome, [0.9, 0.8, 0.7, 0.1], 2, ipcw=known.ipcw)
    assert (found.share, found.gain, found.lift, found.base_rate) == (0.5, 1.0, 2.0, 0.25)


def test_top_decile_lift_is_unbiased_under_censoring() -> None:
    """200 samples of 1000 with a third lost: the mean is the truth, by integration, within 3 standard errors."""
    node = np.linspace(-6, 6, 9601)
    density = np.exp(-(node**2) / 2)
    left = density * -np.expm1(-0.5 * np.exp(node))
    reached = np.cumsum(left[::-1]) / left.sum()
    truth = float(np.interp(0.1, np.cumsum(density[::-1]) / density.sum(), reached)) / 0.1
    rng, found = np.random.default_rng(4), []
    for _ in range(200):
        x = rng.normal(size=1000)
        time, lost = rng.exponential(np.exp(-x)), rng.exponential(1.2, 1000)
        known = outcomes_at(np.minimum(time, lost), time <= lost, 0.5)
        found.append(lift_at(known.outcome, x, ipcw=known.ipcw).lift)
    assert np.mean(found) == pytest.approx(truth, abs=3 * np.std(found) / math.sqrt(200))
    assert np.std(found) / math.sqrt(200) < 0.02


def test_refusals() -> None:
    with pytest.raises(ArgumentError, match="not more than none and at most all 3"):
        lift_at([1, 0, 0], [1, 2, 3], 0)
    with pytest.raises(ArgumentError, match="different numbers of rows"):
        lift_at([1, 0, 0], [1, 2], 1)
