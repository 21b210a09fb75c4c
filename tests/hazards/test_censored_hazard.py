"""Survival under another hazard of the censored: bounds by hand, Kaplan and Meier in the middle, dependent censoring undone."""

import numpy as np
import pytest

from churnsurv.errors import ArgumentError
from churnsurv.hazards.censored_hazard import censored_hazard_survival
from churnsurv.hazards.nonparametric import kaplan_meier

RNG = np.random.default_rng(4)
DURATION = RNG.integers(1, 30, 300).astype(float)  # many ties
EVENT = RNG.random(300) < 0.5


def test_at_one_it_is_kaplan_and_meier():
    """Efron (1967): the curve redistributes the censored to the right."""
    at = np.arange(1, 30.0)
    expected = kaplan_meier(DURATION, EVENT).survival_at(at)
    np.testing.assert_allclose(censored_hazard_survival(DURATION, EVENT, at, delta=1.0), expected, atol=1e-12)


def test_at_zero_the_censored_never_leave_and_at_infinity_they_leave_next():
    """Peterson's bounds, counted by hand."""
    at, time = np.array([0.0, 5, 10, 20]), DURATION
    never = [1 - np.sum(EVENT & (time <= t)) / 300 for t in at]
    np.testing.assert_allclose(censored_hazard_survival(time, EVENT, at, delta=0), never, atol=1e-12)
    events = np.unique(time[EVENT])
    waiting = [np.sum((~EVENT) & (time <= t) & (time >= events[events <= t].max(initial=0))) for t in at]
    soon = [((time > t).sum() + n) / 300 for t, n in zip(at, waiting, strict=True)]
    np.testing.assert_allclose(censored_hazard_survival(time, EVENT, at, delta=np.inf), soon, atol=1e-12)


def test_bounds_where_the_curve_reaches_zero():
    """One of three is censored, and the last one leaves: a third never does, or all have."""
    found = [censored_hazard_survival([1, 2, 3], [1, 0, 1], [3], delta=d)[0] for d in (0, 0.5, 1, np.inf)]
    np.testing.assert_allclose(found, [1 / 3, 0, 0, 0], atol=1e-12)


@pytest.mark.parametrize("delta", [0.3, 2.0, 5.0])
def test_it_falls_with_delta_and_lies_between(delta):
    at = np.arange(1, 30.0)
    low, mid, high = (censored_hazard_survival(DURATION, EVENT, at, delta=d) for d in (np.inf, delta, 0))
    assert np.all(low <= mid + 1e-12)
    assert np.all(mid <= high + 1e-12)


def test_weights_are_frequencies():
    weight = RNG.integers(1, 4, 300)
    at = np.arange(1, 29.0)
    many = np.repeat(np.arange(300), weight)
    np.testing.assert_allclose(
        censored_hazard_survival(DURATION, EVENT, at, delta=2.0, weight=weight),
        censored_hazard_survival(DURATION[many], EVENT[many], at, delta=2.0),
        atol=1e-12,
    )


@pytest.mark.parametrize("delta", [0.25, 4.0])
def test_dependent_censoring_of_known_strength_is_undone(delta):
    """Whoever is censored has another hazard from then on; the true curve comes back, Kaplan and Meier's does not."""
    rng, n = np.random.default_rng(8), 200_000
    first, gone = rng.exponential(10, n), rng.exponential(15, n)
    censored = gone < first
    time = np.where(censored, gone, first)
    truth = np.where(censored, gone + rng.exponential(10 / delta, n), first)
    at = np.array([5.0, 10, 15])
    expected = [np.mean(truth > t) for t in at]
    np.testing.assert_allclose(censored_hazard_survival(time, ~censored, at, delta=delta), expected, atol=0.005)
    assert np.max(np.abs(kaplan_meier(time, ~censored).survival_at(at) - expected)) > 0.05


def test_slud_and_rubinstein_between_to_one_in_n():
    """Biometrika 70 (1983) 643-649, equation of the estimator, on distinct times."""
    rng = np.random.default_rng(2)
    time, event, rho = np.sort(rng.exponential(10, 400)), rng.random(400) < 0.6, 2.5
    t = float(time[250]) + 1e-6
    n_risk = 400 - np.arange(400)
    deaths = np.flatnonzero(event & (time <= t))
    total = float(np.sum(time > t))
    for i in np.flatnonzero(~event & (time <= t)):
        later = deaths[time[deaths] > time[i]]
        total += np.prod((n_risk[later] - 1) / (n_risk[later] + rho - 1))
    assert censored_hazard_survival(time, event, [t], delta=rho)[0] == pytest.approx(total / 400, abs=2 / 400)


def test_nothing_is_told_beyond_the_last_censored():
    assert np.isnan(censored_hazard_survival([1, 2, 3], [1, 0, 0], [4], delta=2.0)[0])
    assert censored_hazard_survival([1, 2, 3], [1, 0, 1], [4], delta=2.0)[0] == 0.0


@pytest.mark.parametrize("delta", [-1, float("nan"), "2", True])
def test_what_is_no_hazard_ratio_is_refused(delta):
    with pytest.raises(ArgumentError, match="no hazard ratio"):
        censored_hazard_survival(DURATION, EVENT, [5], delta=delta)
