"""Priors against SciPy, and their way through a manifest."""

import numpy as np
import pytest
from scipy import stats

from churnsurv.errors import PriorError
from churnsurv.models.hierarchical.priors import Exponential, HalfNormal, Normal, StudentT, meaning, prior_from_json

PAIRS = [
    (Normal(0.3, 1.2), stats.norm(0.3, 1.2)),
    (StudentT(4, -0.2, 0.7), stats.t(4, -0.2, 0.7)),
    (HalfNormal(0.6), stats.halfnorm(0, 0.6)),
    (Exponential(0.4), stats.expon(0, 0.4)),
]


@pytest.mark.parametrize(("prior", "frozen"), PAIRS)
def test_density_slope_and_draws(prior, frozen):
    x = np.linspace(0.01, 3, 50)
    np.testing.assert_allclose(prior.log_density(x), frozen.logpdf(x), atol=1e-10)
    numeric = (prior.log_density(x + 1e-6) - prior.log_density(x - 1e-6)) / 2e-6
    np.testing.assert_allclose(prior.slope(x), numeric, rtol=1e-5, atol=1e-6)
    assert prior.log_density(0.5) == pytest.approx(frozen.logpdf(0.5))
    assert np.all(prior.curvature(x) >= 0)
    assert stats.kstest(prior.draw(np.random.default_rng(0), 2000), frozen.cdf).pvalue > 0.001
    np.testing.assert_allclose(prior.interval(0.9), frozen.interval(0.9))
    assert prior_from_json(prior.to_json()) == prior


@pytest.mark.parametrize(
    "data", [{"type": "Normal"}, {"type": "os.system", "sd": 1}, {"type": "HalfNormal", "sd": "1"}, {}]
)
def test_foreign_priors_are_refused(data):
    with pytest.raises(PriorError):
        prior_from_json(data)


@pytest.mark.parametrize("make", [lambda: Normal(0, 0), lambda: Normal(np.nan, 1), lambda: StudentT(0, 0, 1)])
def test_impossible_settings(make):
    with pytest.raises(PriorError):
        make()


def test_meanings():
    assert "hazard ratios" in meaning("coef", Normal(0, 1))
    assert "a day" in meaning("intercept", Normal(-4, 2))
    assert "doubling of time" in meaning("walk_sd", HalfNormal(1))
