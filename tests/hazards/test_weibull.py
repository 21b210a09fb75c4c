"""The Weibull likelihood against SciPy's distribution, and its derivatives against differences of itself."""

import numpy as np
import pytest
from scipy import stats

from churnsurv.hazards.weibull import cumulative_hazard, cumulative_hazard_between, log_likelihood

RNG = np.random.default_rng(20260105)
N = 100
LOG_SCALE, LOG_SHAPE = RNG.normal(1.0, 1.0, N), RNG.normal(0.0, 0.5, N)
EARLY, LATE = np.sort(RNG.exponential(3.0, (2, N)), axis=0)
ENTRY = EARLY * RNG.uniform(0.0, 0.95, N)
INF, ZERO = np.full(N, np.inf), np.zeros(N)
ROWS = {
    "event": (EARLY, EARLY, ZERO),
    "right": (EARLY, INF, ZERO),
    "left": (ZERO, LATE, ZERO),
    "interval": (EARLY, LATE, ZERO),
    "event, truncated": (EARLY, EARLY, ENTRY),
    "right, truncated": (EARLY, INF, ENTRY),
    "interval, truncated": (EARLY, LATE, ENTRY),
    "interval from entry": (ENTRY, LATE, ENTRY),
}


def terms(kind, log_scale=LOG_SCALE, log_shape=LOG_SHAPE):
    lower, upper, entry = ROWS[kind]
    return log_likelihood(log_scale, log_shape, lower=lower, upper=upper, entry=entry)


@pytest.mark.parametrize("kind", ROWS)
def test_value_is_that_of_scipy_at_a_hundred_points(kind):
    lower, upper, entry = ROWS[kind]
    law = stats.weibull_min(np.exp(LOG_SHAPE), scale=np.exp(LOG_SCALE))
    if np.array_equal(lower, upper):
        expected = law.logpdf(upper)
    elif np.isinf(upper).all():
        expected = law.logsf(lower)
    else:
        expected = np.log(law.cdf(upper) - law.cdf(lower))
    np.testing.assert_allclose(terms(kind).value, expected - law.logsf(entry), rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", ROWS)
def test_derivatives_are_those_of_the_value(kind):
    step, here = 1e-5, terms(kind)
    for name, along in (("scale", (step, 0.0)), ("shape", (0.0, step))):
        up = terms(kind, LOG_SCALE + along[0], LOG_SHAPE + along[1])
        down = terms(kind, LOG_SCALE - along[0], LOG_SHAPE - along[1])
        pairs = {
            "scale": (("value", "d_scale"), ("d_scale", "d_scale_scale"), ("d_shape", "d_scale_shape")),
            "shape": (("value", "d_shape"), ("d_scale", "d_scale_shape"), ("d_shape", "d_shape_shape")),
        }[name]
        for of, derivative in pairs:
            slope = (getattr(up, of) - getattr(down, of)) / (2 * step)
            np.testing.assert_allclose(getattr(here, derivative), slope, rtol=2e-5, atol=2e-5)


def test_every_kind_in_one_call_is_each_kind_alone():
    together = log_likelihood(
        np.tile(LOG_SCALE, len(ROWS)),
        np.tile(LOG_SHAPE, len(ROWS)),
        **{
            name: np.concatenate([rows[k] for rows in ROWS.values()])
            for k, name in enumerate(("lower", "upper", "entry"))
        },
    )
    for part in range(6):
        alone = np.concatenate([terms(kind).parts[part] for kind in ROWS])
        np.testing.assert_array_equal(together.parts[part], alone)


def test_a_time_split_in_two_is_one_time():
    whole = terms("event")
    middle = np.maximum(ENTRY, 1e-3 * EARLY)
    first = log_likelihood(LOG_SCALE, LOG_SHAPE, lower=middle, upper=INF, entry=ZERO)
    second = log_likelihood(LOG_SCALE, LOG_SHAPE, lower=EARLY, upper=EARLY, entry=middle)
    for all_, one, two in zip(whole.parts, first.parts, second.parts, strict=True):
        np.testing.assert_allclose(all_, one + two, rtol=1e-10, atol=1e-10)


def test_a_narrow_interval_is_the_density_times_its_width():
    width = 1e-7
    narrow = log_likelihood(LOG_SCALE, LOG_SHAPE, lower=EARLY, upper=EARLY + width, entry=ZERO)
    np.testing.assert_allclose(narrow.value - np.log(width), terms("event").value, atol=1e-4)


def test_cumulative_hazard_by_hand():
    assert cumulative_hazard(
        np.array([4.0]), log_scale=np.log([2.0]), log_shape=np.log([3.0])
    ).tolist() == pytest.approx([8])
    between = cumulative_hazard_between(
        np.array([2.0, 0.0, 0.0]), np.array([4.0, 4.0, 0.0]), log_scale=np.log([2.0]), log_shape=np.log([3.0])
    )
    assert between.tolist() == pytest.approx([7.0, 8.0, 0.0])


def test_a_short_step_at_a_high_age_keeps_its_digits():
    """The difference of the two cumulative hazards, each about 1e12, would be 0 or 1e-4."""
    got = cumulative_hazard_between(
        np.array([1e6]), np.array([1e6 + 1e-6]), log_scale=np.zeros(1), log_shape=np.log([2.0])
    )
    step = (1e6 + 1e-6) - 1e6
    assert got[0] == pytest.approx(2e6 * step, rel=1e-9)
