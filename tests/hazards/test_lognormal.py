"""The lognormal hazard against SciPy's distribution and quadrature, in the middle and in both tails."""

import numpy as np
import pytest
from scipy import integrate, stats

from churnsurv.hazards import lognormal

RNG = np.random.default_rng(20260301)
N = 100
LOCATION, LOG_SPREAD = RNG.normal(0.5, 1.0, N), RNG.normal(0.0, 0.5, N)
LOG_TIME, LOG_RATIO = RNG.normal(0.5, 1.5, N), RNG.exponential(1.0, N)
LAW = stats.lognorm(np.exp(LOG_SPREAD), scale=np.exp(LOCATION))
FROM_ZERO = np.full(N, np.inf)
RATIOS = {
    "from 0": FROM_ZERO,
    "far": LOG_RATIO,
    "near": 0.1 * LOG_RATIO,
    "very near": 1e-7 * LOG_RATIO,
}


def cumulative(ratio, location=LOCATION, log_spread=LOG_SPREAD):
    return lognormal.log_cumulative_hazard(LOG_TIME, ratio, location, log_spread)


def test_log_hazard_is_that_of_scipy_at_a_hundred_points():
    times = np.exp(LOG_TIME)
    value = lognormal.log_hazard(LOG_TIME, LOCATION, LOG_SPREAD)[0] - LOG_TIME
    np.testing.assert_allclose(value, LAW.logpdf(times) - LAW.logsf(times), rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", ["from 0", "far"])
def test_cumulative_hazard_is_that_of_scipy_at_a_hundred_points(kind):
    ratio = RATIOS[kind]
    expected = LAW.logsf(np.exp(LOG_TIME - ratio)) - LAW.logsf(np.exp(LOG_TIME))
    np.testing.assert_allclose(np.exp(cumulative(ratio)[0]), expected, rtol=1e-9, atol=0)


def hazard(share, end, width):
    return np.exp(stats.norm.logpdf(end - share * width) - stats.norm.logsf(end - share * width))


def test_two_times_however_close_keep_their_digits():
    for width in (1e-12, 1e-6, 1e-2, 0.2):
        z = np.linspace(-6.0, 30.0, 37)
        value = lognormal.log_cumulative_hazard(z, np.full(37, width), np.zeros(37), np.zeros(37))[0]
        for end, found in zip(z, value, strict=True):
            # On (0, 1), so that the width is exact; the Mills ratio is SciPy's density over its tail.
            expected = integrate.quad(hazard, 0.0, 1.0, (end, width), epsabs=0, epsrel=1e-12)[0] * width
            assert np.exp(found) == pytest.approx(expected, rel=1e-11)


def test_both_ways_to_the_cumulative_hazard_agree_where_they_meet():
    z, width = np.linspace(-12.0, 8.0, 200), 0.2 / np.maximum(1.0, -np.linspace(-12.0, 8.0, 200))
    one, other = lognormal._integrated(z, width), lognormal._subtracted(z, width)
    np.testing.assert_allclose(one[0], other[0], rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(one[1], other[1], rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("kind", [*RATIOS, "hazard"])
def test_derivatives_are_those_of_the_value(kind):
    def terms(location, log_spread):
        if kind == "hazard":
            return lognormal.log_hazard(LOG_TIME, location, log_spread)
        return cumulative(RATIOS[kind], location, log_spread)

    _, first, second = terms(LOCATION, LOG_SPREAD)
    for k, (a, b) in enumerate(((1e-5, 0.0), (0.0, 1e-5))):
        up, down = terms(LOCATION + a, LOG_SPREAD + b), terms(LOCATION - a, LOG_SPREAD - b)
        np.testing.assert_allclose(first[k], (up[0] - down[0]) / 2e-5, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(second[k], (up[1] - down[1]) / 2e-5, rtol=1e-5, atol=1e-5)


def test_tails_have_logs_where_the_numbers_themselves_are_gone():
    zero = np.zeros(3)
    z = np.array([-50.0, -300.0, 100.0])
    value = lognormal.log_cumulative_hazard(z, zero + np.inf, zero, zero)[0]
    np.testing.assert_allclose(value[:2], stats.norm.logcdf(z[:2]), rtol=1e-14)
    assert value[2] == pytest.approx(np.log(-stats.norm.logsf(100.0)), rel=1e-14)
    np.testing.assert_allclose(lognormal.log_inverse_mills(z[:2]), stats.norm.logpdf(z[:2]), rtol=1e-14)


@pytest.mark.parametrize("z", [-1e6, -400.0, -37.0, 0.0, 25.0, 1e4, 1e8])
@pytest.mark.parametrize("ratio", [np.inf, 10.0, 0.3, 1e-10])
def test_everything_is_finite_at_tiny_and_huge_times(z, ratio):
    one = np.ones(1)
    for part in (
        *lognormal.log_cumulative_hazard(z * one, ratio * one, 0 * one, 0 * one),
        *lognormal.log_hazard(z * one, 0 * one, 0 * one),
    ):
        assert np.isfinite(part).all()


def test_the_inverse_mills_ratio_lies_between_its_bounds():
    # Sampford (1953) below, Birnbaum (1942) above, for z > 0.
    z = np.linspace(0.01, 40.0, 400)
    found, rounding = lognormal.inverse_mills(z), 1e-15
    assert (found >= (3 * z + np.sqrt(z * z + 8)) / 4 * (1 - rounding)).all()
    assert (found <= (z + np.sqrt(z * z + 4)) / 2 * (1 + rounding)).all()


def test_far_out_the_inverse_mills_ratio_is_endless_and_says_nothing():
    assert lognormal.inverse_mills(np.array([np.inf, -np.inf])).tolist() == [np.inf, 0.0]
    assert lognormal.log_inverse_mills(np.array([np.inf, -np.inf])).tolist() == [np.inf, -np.inf]
