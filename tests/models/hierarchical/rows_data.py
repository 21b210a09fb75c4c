"""Rows of every kind with predictors of every kind, for tests of baselines in continuous time."""

import numpy as np
from scipy import stats

from churnsurv.models.hierarchical.baselines import BASELINES
from churnsurv.models.hierarchical.linear import Linear, RandomPart
from churnsurv.models.hierarchical.rows import ParametricRows

T0 = 40.0
KINDS = ("event", "right", "left", "interval", "event, late", "right, late", "interval, late")
N = 30
_RNG = np.random.default_rng(20260302)
_EARLY, _LATE = np.sort(_RNG.exponential(60.0, (2, N)), axis=0)
_ENTRY = _EARLY * _RNG.uniform(0.05, 0.95, N)
_ZERO = np.zeros(N)
X = _RNG.normal(size=(N, 2))


def stretches(kind):
    """(start, stop, event, window) of the rows that say what is known; two per customer where the day is not known."""
    entry = _ENTRY if kind.endswith("late") else _ZERO
    what = kind.removesuffix(", late")
    if what in ("event", "right"):
        return [(entry, _EARLY, np.full(N, float(what == "event")), False)]
    lower = _ZERO if what == "left" else _EARLY
    window = (lower, _LATE, _ZERO, True)
    return [window] if what == "left" else [(entry, lower, _ZERO, False), window]


def plain_rows(name, kind, x=X):
    """Rows with an intercept if the baseline has one, two covariates and the same shape for all."""
    baseline = BASELINES[name]
    parts = stretches(kind)
    start, stop, event = (np.concatenate([part[k] for part in parts]) for k in range(3))
    n, q = len(stop), len(baseline.shapes)
    columns = np.column_stack([np.ones(n), np.tile(x, (len(parts), 1))])[:, not baseline.has_intercept :]
    p = columns.shape[1]
    linear = Linear(np.ascontiguousarray(columns), np.arange(p), (), p + q, 0)
    shapes = tuple(Linear(np.ones((n, 1)), np.array([p + k]), (), p + q, 0) for k in range(q))
    window = np.repeat([part[3] for part in parts], N)
    return ParametricRows(baseline, start, stop, event, linear, shapes, T0, window=window)


def law(name, shape):
    """SciPy's distribution of the baseline, in days."""
    if name == "weibull":
        return stats.weibull_min(np.exp(shape[0]), scale=T0)
    return stats.lognorm(np.exp(shape[1]), scale=T0 * np.exp(shape[0]))


def scipy_log_likelihood(name, kind, eta, shape, days):
    """Each customer's log-likelihood by SciPy: survival is the baseline's to the power of exp(eta)."""
    entry, early, late = days
    own, power = law(name, shape), np.exp(eta)
    before = power * own.logsf(entry) if kind.endswith("late") else 0.0
    what = kind.removesuffix(", late")
    if what == "right":
        return power * own.logsf(early) - before
    if what == "event":
        return eta + own.logpdf(early) + (power - 1.0) * own.logsf(early) - before
    if what == "left":
        return np.log(-np.expm1(power * own.logsf(late)))
    first, last = power * own.logsf(early), power * own.logsf(late)
    return first + np.log(-np.expm1(last - first)) - before


DAYS = (_ENTRY, _EARLY, _LATE)


def rich_rows(name, n=240, seed=5, window=True, late=True):
    """Rows with everything: weights, windows, late entry, slopes by group, a shape by group, a walk."""
    rng = np.random.default_rng(seed)
    baseline = BASELINES[name]
    q, p = len(baseline.shapes), 4
    n_fixed, n_random = p + q + 1, 8 + 4 * q + 5
    x = rng.normal(size=(n, p))
    x[:, 0] = 1.0
    group = rng.integers(0, 4, n)
    slopes = RandomPart(0, 8, group, np.column_stack([np.ones(n), rng.normal(size=n)]))
    basis = np.tril(np.ones((6, 6)), -1)[:, :5]
    walk = RandomPart(8 + 4 * q, 5, rng.integers(0, 6, n), None, basis - basis.mean(axis=0))
    linear = Linear(x, np.arange(p), (slopes, walk), n_fixed, n_random)
    shapes = []
    for k in range(q):
        own = RandomPart(8 + 4 * k, 4, group)
        columns, at = np.ones((n, 1)), np.array([p + k])
        if k == q - 1:  # the last shape has a covariate too
            columns, at = np.column_stack([columns, rng.normal(size=n)]), np.array([p + k, n_fixed - 1])
        shapes.append(Linear(columns, at, (own,), n_fixed, n_random))
    stop = rng.exponential(60.0, n) + 0.1
    inside = rng.random(n) < 0.3 if window else np.zeros(n, dtype=bool)
    event = np.where(inside, 0.0, (rng.random(n) < 0.5) * 1.0)
    start = np.where(rng.random(n) < 0.5, stop * rng.uniform(0, 0.99, n), 0.0) if late else np.zeros(n)
    return ParametricRows(
        baseline, start, stop, event, linear, tuple(shapes), T0, weight=rng.uniform(0.5, 3.0, n), window=inside
    )


def some_effects(rows, seed=0, scale=0.3):
    rng = np.random.default_rng(seed)
    return rng.normal(0, scale, rows.n_fixed), rng.normal(0, scale, rows.n_random)
