"""Cell log-likelihood against SciPy and finite differences."""

import numpy as np
import pytest
from scipy import stats

from churnsurv.hazards import poisson

RNG = np.random.default_rng(0)


def random_cells():
    exposure = RNG.uniform(0.5, 200.0, 12)
    log_hazard = RNG.normal(-3, 1, 12)
    return log_hazard, RNG.poisson(exposure * np.exp(log_hazard)).astype(float), exposure


@pytest.mark.parametrize("_", range(100))
def test_log_likelihood_equals_scipy(_):
    log_hazard, events, exposure = random_cells()
    found = poisson.log_likelihood(log_hazard, events=events, exposure=exposure)
    assert found == pytest.approx(stats.poisson.logpmf(events, exposure * np.exp(log_hazard)).sum(), abs=1e-6)


def test_score_equals_finite_differences():
    log_hazard, events, exposure = random_cells()
    _, score = poisson.value_and_score(log_hazard, events=events, exposure=exposure)

    def f(x):
        return poisson.log_likelihood(x, events=events, exposure=exposure)

    numeric = [(f(log_hazard + h) - f(log_hazard - h)) / 2e-5 for h in 1e-5 * np.eye(12)]
    np.testing.assert_allclose(score, numeric, rtol=1e-5, atol=1e-5)


def test_proportional_form_is_the_same_number():
    exposure, baseline, multiplier = RNG.uniform(1, 100, (5, 4)), RNG.normal(-3, 1, 4), RNG.normal(0, 1, 5)
    exposure[2, 1] = 0.0
    log_hazard = multiplier[:, None] + baseline
    events = RNG.poisson(exposure * np.exp(log_hazard)).astype(float)
    whole, score = poisson.value_and_score(log_hazard.ravel(), events=events.ravel(), exposure=exposure.ravel())
    value, by_pattern, by_period = poisson.proportional_value_and_score(
        baseline,
        multiplier,
        exposure=exposure,
        events_by_pattern=events.sum(axis=1),
        events_by_period=events.sum(axis=0),
    )
    assert value == pytest.approx(whole, abs=1e-9)
    np.testing.assert_allclose(by_pattern, score.reshape(5, 4).sum(axis=1), atol=1e-9)
    np.testing.assert_allclose(by_period, score.reshape(5, 4).sum(axis=0), atol=1e-9)
