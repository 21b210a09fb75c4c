"""Baselines in continuous time: each likelihood against SciPy, each derivative against differences, and the seam."""

import math

import numpy as np
import pytest
from scipy import stats

from churnsurv.hazards import weibull
from churnsurv.models.hierarchical.baselines import BASELINES, POISSON, Baseline, Curve, LognormalBaseline
from churnsurv.models.hierarchical.fused import FusedRows
from churnsurv.models.hierarchical.linear import Linear
from churnsurv.models.hierarchical.priors import Normal
from churnsurv.models.hierarchical.rows import ParametricRows
from tests.models.hierarchical.rows_data import DAYS, KINDS, T0, N, X, plain_rows, scipy_log_likelihood

POINTS = np.random.default_rng(20260303).normal(0.0, 0.5, (100, 5))
ALL = {**BASELINES, "poisson": POISSON}
RNG = np.random.default_rng(20260304)
LOG_STOP, LOG_RATIO = RNG.normal(0, 2, 200), RNG.exponential(1.0, 200) * RNG.choice([1e-8, 1e-3, 0.1, 3.0], 200)
LOG_RATIO[::5] = np.inf


def shape_of(baseline, spread=0.7):
    return np.random.default_rng(1).normal(0, spread, (len(baseline.shapes), 200))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", BASELINES)
def test_likelihood_is_that_of_scipy_at_a_hundred_points(name, kind):
    rows = plain_rows(name, kind)
    fused = FusedRows(rows, unit=np.tile(np.arange(N), rows.n_rows // N))
    p = rows.linear.x.shape[1]
    for point in POINTS[:, : rows.n_fixed]:
        expected = scipy_log_likelihood(name, kind, rows.linear.eta(point, np.zeros(0))[:N], point[p:], DAYS)
        np.testing.assert_allclose(fused.pointwise(point, np.zeros(0), None), expected, rtol=1e-8, atol=1e-8)
        value = fused.value_and_slope(point, np.zeros(0), None)[0] + fused.constant
        assert value == pytest.approx(expected.sum(), rel=1e-8, abs=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_weibull_is_the_likelihood_that_the_weibull_model_has(kind):
    rows, point = plain_rows("weibull", kind), POINTS[0, :4]
    entry, early, late = DAYS
    what, held = kind.removesuffix(", late"), kind.endswith("late")
    lower = {"left": 0 * early}.get(what, early)
    upper = {"event": early, "right": np.full(N, np.inf)}.get(what, late)
    eta = rows.linear.eta(point, np.zeros(0))[:N]
    theirs = weibull.log_likelihood(
        np.log(T0) - eta * np.exp(-point[3]),
        np.full(N, point[3]),
        lower=lower,
        upper=upper,
        entry=entry if held else 0 * entry,
    )
    mine = FusedRows(rows, unit=np.tile(np.arange(N), rows.n_rows // N)).pointwise(point, np.zeros(0), None)
    np.testing.assert_allclose(mine, theirs.value, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ALL)
def test_derivatives_of_both_curves_are_those_of_their_values(name):
    baseline = ALL[name]
    shape = shape_of(baseline)
    for of in (lambda s: baseline.log_cumulative(LOG_STOP, LOG_RATIO, s), lambda s: baseline.log_pace(LOG_STOP, s)):
        here = of(shape)
        assert here.first.shape == (len(shape), 200)
        assert here.second.shape == (len(shape), len(shape), 200)
        for k in range(len(shape)):
            step = np.zeros_like(shape)
            step[k] = 1e-5
            up, down = of(shape + step), of(shape - step)
            np.testing.assert_allclose(here.first[k], (up.value - down.value) / 2e-5, rtol=1e-5, atol=1e-5)
            np.testing.assert_allclose(here.second[k], (up.first - down.first) / 2e-5, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ALL)
def test_one_row_in_plain_arithmetic_is_the_row_of_the_arrays(name):
    baseline = ALL[name]
    shape = shape_of(baseline, 1.0)
    q = len(shape)
    cumulative, pace = baseline.log_cumulative(LOG_STOP, LOG_RATIO, shape), baseline.log_pace(LOG_STOP, shape)
    ready, out = np.empty(q), np.empty(3 + 2 * q)
    for i in range(200):
        baseline.prepare(shape[:, i], ready)
        baseline.row(float(LOG_STOP[i]), float(LOG_RATIO[i]), shape[:, i], ready, out)
        expected = [cumulative.value[i], *cumulative.first[:, i], pace.value[i], *pace.first[:, i]]
        found = [out[0] + math.log(out[1]), *out[2:]]
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", ALL)
def test_cumulative_hazard_is_the_integral_of_the_hazard(name):
    baseline = ALL[name]
    shape = np.full((len(baseline.shapes), 1), 0.3)
    nodes, weights = np.polynomial.legendre.leggauss(60)
    start, stop = np.array([0.4]), np.array([2.5])
    times = 0.5 * (stop - start) * nodes + 0.5 * (stop + start)
    integral = 0.5 * (stop - start) * (weights @ np.exp(baseline.log_hazard(times, shape).value))
    whole = baseline.cumulative(start, stop, shape)
    np.testing.assert_allclose(whole.value, integral, rtol=1e-12)
    for k in range(len(shape)):
        step = np.zeros_like(shape)
        step[k] = 1e-5
        up, down = baseline.cumulative(start, stop, shape + step), baseline.cumulative(start, stop, shape - step)
        np.testing.assert_allclose(whole.first[k], (up.value - down.value) / 2e-5, rtol=1e-6)
        np.testing.assert_allclose(whole.second[k], (up.first - down.first) / 2e-5, rtol=1e-6)


@pytest.mark.parametrize("name", ALL)
def test_start_at_zero_tiny_and_huge_times_are_finite(name):
    baseline = ALL[name]
    stop = np.array([1e-9, 1e-4, 1.0, 1e5, 1e9, 1e9])
    start = np.array([0.0, 0.0, 1.0 - 1e-15, 0.0, 0.0, 1e9 - 1e-3])
    fixed = np.zeros(1 + len(baseline.shapes))
    linear = Linear(np.ones((6, 1)), np.array([0]), (), len(fixed), 0)
    shapes = tuple(Linear(np.ones((6, 1)), np.array([1 + k]), (), len(fixed), 0) for k in range(len(baseline.shapes)))
    for event, window in ((np.ones(6), None), (np.zeros(6), np.ones(6, dtype=bool))):
        fused = FusedRows(ParametricRows(baseline, start, stop, event, linear, shapes, 1.0, window=window))
        value, slope, _, _ = fused.value_and_slope(fixed, np.zeros(0), None)
        assert np.isfinite([value, fused.constant, *slope]).all()
        assert np.isfinite(fused.information(fixed, np.zeros(0), None)).all()
        assert fused.pointwise(fixed, np.zeros(0), None).sum() == pytest.approx(value + fused.constant, rel=1e-12)


@pytest.mark.parametrize("name", ALL)
def test_a_window_with_almost_no_hazard_has_its_log(name):
    # exp(-60) is lost beside 1, and its log is what is left of log(1 - exp(-x)).
    baseline = ALL[name]
    start, stop, inside = np.array([0.7, 1.0 - 1e-12]), np.ones(2), np.ones(2, dtype=bool)
    fixed = np.array([-60.0] + [0.1] * len(baseline.shapes))
    linear = Linear(np.ones((2, 1)), np.array([0]), (), len(fixed), 0)
    shapes = tuple(Linear(np.ones((2, 1)), np.array([k]), (), len(fixed), 0) for k in range(1, len(fixed)))
    rows = FusedRows(ParametricRows(baseline, start, stop, 0.0 * stop, linear, shapes, 1.0, window=inside))
    expected = -60.0 + np.log(baseline.cumulative(start, stop, fixed[1:, None]).value)
    np.testing.assert_allclose(rows.pointwise(fixed, np.zeros(0), None), expected, rtol=1e-13)
    assert rows.value_and_slope(fixed, np.zeros(0), None)[0] == pytest.approx(expected.sum(), rel=1e-13)
    assert rows.value_and_slope(fixed, np.zeros(0), None)[1][0] == pytest.approx(2.0, rel=1e-13)


@pytest.mark.parametrize("name", ALL)
def test_a_stretch_of_no_length_has_no_hazard(name):
    baseline = ALL[name]
    found = baseline.cumulative(np.array([2.0]), np.array([2.0]), np.zeros((len(baseline.shapes), 1)))
    for part in found:
        assert (part == 0.0).all()


def test_default_priors_are_those_of_the_shapes_and_say_little():
    for baseline in ALL.values():
        assert tuple(baseline.default_priors()) == baseline.shapes
    low, high = np.exp(BASELINES["weibull"].default_priors()["log_shape"].interval(0.9))
    assert low == pytest.approx(0.44, abs=0.005)
    assert high == pytest.approx(2.28, abs=0.005)


class GompertzBaseline(Baseline):
    """A baseline as someone else would write it: H(t) = expm1(g t) / g."""

    name = "gompertz"
    has_intercept = True
    shapes = ("log_growth",)

    def log_pace(self, log_time, shape):
        growth = np.exp(shape[0] + log_time)
        return Curve(log_time + growth, growth[None], growth[None, None])

    def log_cumulative(self, log_stop, log_ratio, shape):
        stop = np.exp(shape[0] + log_stop)
        start = stop * np.exp(-log_ratio)
        wide, kept = stop - start, -np.expm1(start - stop)
        bend = start + wide * (kept - wide * (1.0 - kept)) / kept**2
        return Curve(start + np.log(np.expm1(wide)) - shape[0], (start + wide / kept - 1.0)[None], bend[None, None])

    @staticmethod
    def prepare(shape, ready):
        ready[0] = math.exp(shape[0])

    @staticmethod
    def row(log_stop, log_ratio, shape, ready, out):
        growth, stop = ready[0], math.exp(log_stop)
        start = stop * math.exp(-log_ratio)
        out[0] = growth * start
        out[1] = math.expm1(growth * (stop - start)) / growth
        out[2] = growth * start + growth * (stop - start) / -math.expm1(-growth * (stop - start)) - 1.0
        out[3] = log_stop + growth * stop
        out[4] = growth * stop

    def default_priors(self):
        return {"log_growth": Normal(0.0, 1.0)}


def test_a_baseline_of_someone_elses_runs_through_the_compiled_loop():
    rows = plain_rows("weibull", "event, late")
    rows = ParametricRows(GompertzBaseline(), rows.start, rows.stop, rows.event, rows.linear, rows.shapes, 100.0)
    fused, point = FusedRows(rows), np.array([0.2, 0.3, -0.4, 0.1])
    growth = np.exp(point[3])
    law = stats.gompertz(1.0 / growth, scale=100.0 / growth)
    eta = point[0] + X @ point[1:3]
    value, slope, _, _ = fused.value_and_slope(point, np.zeros(0), None)
    entry, early, _ = DAYS
    expected = eta + law.logpdf(early) + np.expm1(eta) * law.logsf(early) - np.exp(eta) * law.logsf(entry)
    assert value + fused.constant == pytest.approx(expected.sum(), rel=1e-10)
    np.testing.assert_allclose(fused.pointwise(point, np.zeros(0), None), expected, rtol=1e-10, atol=1e-10)
    information = fused.information(point, np.zeros(0), None)
    for k in range(4):
        step = np.eye(4)[k] * 1e-5
        up, down = (fused.value_and_slope(point + sign * step, np.zeros(0), None) for sign in (1, -1))
        assert slope[k] == pytest.approx((up[0] - down[0]) / 2e-5, rel=1e-6, abs=1e-6)
        np.testing.assert_allclose(information[k], (down[1] - up[1]) / 2e-5, rtol=1e-6, atol=1e-6)


def test_lognormal_has_its_level_in_its_location():
    # Twice the times and a location up by log 2: nothing else is a level.
    baseline, shape = LognormalBaseline(), np.array([[0.3], [-0.2]])
    times = np.array([0.5, 3.0])
    one = baseline.cumulative(np.zeros(2), times, shape).value
    other = baseline.cumulative(np.zeros(2), 2.0 * times, shape + np.array([[math.log(2.0)], [0.0]])).value
    np.testing.assert_allclose(one, other, rtol=1e-14)
    assert not baseline.has_intercept
