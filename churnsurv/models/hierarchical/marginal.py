"""The marginal of standard deviations and correlations, by Laplace's approximation, and its mode.

The joint mode of a hierarchical model does not exist: as a standard deviation goes to zero with its effects,
the density grows without bound. With the effects integrated out by a normal approximation, it does.

What the marginal is a function of is called *outer* here: the logs of all standard deviations, then the free numbers
of the correlations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
from scipy import linalg, optimize

from churnsurv._typing import FloatArray
from churnsurv.errors import ConvergenceError
from churnsurv.models.hierarchical.correlation import lkj_log_density
from churnsurv.models.hierarchical.density import LogPosterior, covariances_of
from churnsurv.models.hierarchical.priors import Normal

_LOG_SD_LOWEST, _LOG_SD_HIGHEST = -6.0, 3.0
_FREE_LARGEST = 3.0
_NEWTON_STEPS = 100
_NEWTON_TOLERANCE = 1e-9
DIFFERENCE = 0.1
"""Largest step of the finite differences in what is outer; smaller where the data say much."""
_STEPS_TRIED = 8
_NOBODY = -30.0
"""Logit of a cured share that is none."""
_FAR_BELOW = 1e9
"""What a place without a density counts as lying below the start of the search."""
_LARGE_GAIN = 1e4
"""A search for the marginal's mode that has gained more is made again from where it ended."""


@dataclass(frozen=True, eq=False)
class Inner:
    """Mode and Hessian of fixed and random effects for given standard deviations.

    Parameters
    ----------
    effects : array of shape (n_fixed + n_random,)
        The mode.
    factor : array of shape (n_fixed + n_random, n_fixed + n_random)
        Lower Cholesky factor of minus the Hessian.
    value : float
        Laplace approximation of the log density of what is outer (eq. 9).
    """

    effects: FloatArray
    factor: FloatArray
    value: float


class Laplace:
    """The inner problem: everything but the standard deviations and correlations.

    Parameters
    ----------
    density : LogPosterior
        Its coordinates do not matter here.
    """

    def __init__(self, density: LogPosterior) -> None:
        self.density, self.layout = density, density.layout

    def split(self, outer: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Standard deviations and free correlations."""
        return np.exp(outer[: self.layout.n_sd]), outer[self.layout.n_sd :]

    def prior_precision(self, sd: FloatArray, free: FloatArray) -> FloatArray:
        """Precision of the random effects, shape (n_random, n_random)."""
        layout = self.layout
        precision = np.zeros((layout.n_random, layout.n_random))
        index = np.arange(layout.n_scalar)
        precision[index, index] = (layout.scale * sd[layout.sd_index]) ** -2
        places = zip(layout.vector_blocks, layout.vector_places, covariances_of(layout, sd, free), strict=True)
        for block, (some, _, _), covariance in places:
            precision[some, some] = np.kron(np.eye(block.n_levels), np.linalg.inv(covariance))
        return precision

    def _value_and_slope(self, effects: FloatArray, sd: FloatArray, precision: FloatArray) -> tuple[float, FloatArray]:
        density, fixed = self.density, self.layout.n_fixed
        with np.errstate(over="ignore", invalid="ignore"):
            value, fixed_slope, random_slope, _ = density.likelihood.value_and_slope(
                effects[:fixed], effects[fixed:], density.frailty_sd(sd)
            )
        prior, prior_slope = density.fixed_prior(effects[:fixed])
        pull = precision @ effects[fixed:]
        value += prior - 0.5 * float(effects[fixed:] @ pull)
        return value, np.concatenate([fixed_slope + prior_slope, random_slope - pull])

    def _curvature(self, effects: FloatArray, sd: FloatArray, precision: FloatArray) -> FloatArray:
        density, fixed = self.density, self.layout.n_fixed
        matrix = density.likelihood.information(effects[:fixed], effects[fixed:], density.frailty_sd(sd)).copy()
        matrix[fixed:, fixed:] += precision
        index = np.arange(fixed)
        matrix[index, index] += density.fixed_curvature(effects[:fixed])
        return 0.5 * (matrix + matrix.T)

    def solve(self, outer: FloatArray, start: FloatArray | Inner) -> Inner:
        """Newton's method with halved steps.

        Parameters
        ----------
        outer : array of shape (n_sd + n_free,)
            Log standard deviations and free correlations, held fixed.
        start : array of shape (n_fixed + n_random,), or Inner
            Where to start; from a mode close by, its Hessian leads most of the way, and a new one is taken at the end.
        """
        sd, free = self.split(outer)
        precision = self.prior_precision(sd, free)
        effects = start.effects if isinstance(start, Inner) else start
        value, slope = self._value_and_slope(effects, sd, precision)
        if isinstance(start, Inner):
            effects, value, slope = self._approach(effects, value, slope, start.factor, sd, precision)
        for _ in range(_NEWTON_STEPS):
            factor = _safe_cholesky(self._curvature(effects, sd, precision))
            step = linalg.cho_solve((factor, True), slope, check_finite=False)
            gain = float(slope @ step)
            if not gain > _NEWTON_TOLERANCE:
                break
            moved, new_value, new_slope = self._move(effects, step, value, gain, sd, precision)
            if not new_value > value:
                break
            effects, value, slope = moved, new_value, new_slope
        return Inner(effects, factor, value + self._outer_part(outer, precision) - float(np.log(np.diag(factor)).sum()))

    def _approach(
        self,
        effects: FloatArray,
        value: float,
        slope: FloatArray,
        factor: FloatArray,
        sd: FloatArray,
        precision: FloatArray,
    ) -> tuple[FloatArray, float, FloatArray]:
        """Steps with one Hessian, as long as each is much shorter than the one before."""
        last = np.inf
        for _ in range(_NEWTON_STEPS):
            step = linalg.cho_solve((factor, True), slope, check_finite=False)
            gain = float(slope @ step)
            if not _NEWTON_TOLERANCE < gain < 0.1 * last:
                break
            moved, new_value, new_slope = self._move(effects, step, value, gain, sd, precision)
            if not new_value > value:
                break
            effects, value, slope, last = moved, new_value, new_slope, gain
        return effects, value, slope

    def _outer_part(self, outer: FloatArray, precision: FloatArray) -> float:
        """Priors of what is outer, on its own scale, and the effects' normalising constant."""
        sd, free = self.split(outer)
        value = self.density.sd_prior(sd)[0] + float(outer[: self.layout.n_sd].sum())
        for block, (_, _, pairs), concentration in zip(
            self.layout.vector_blocks, self.layout.vector_places, self.density.concentrations, strict=True
        ):
            value += lkj_log_density(free[pairs], block.n_terms, concentration)[0]
        return value + 0.5 * float(np.linalg.slogdet(precision)[1]) if len(precision) else value

    def _move(
        self, effects: FloatArray, step: FloatArray, value: float, gain: float, sd: FloatArray, precision: FloatArray
    ) -> tuple[FloatArray, float, FloatArray]:
        size = 1.0
        while True:
            new = effects + size * step
            new_value, slope = self._value_and_slope(new, sd, precision)
            if new_value >= value + 1e-4 * size * gain or size < 1e-6:
                return new, new_value, slope
            size *= 0.5


def _safe_cholesky(matrix: FloatArray) -> FloatArray:
    """Cholesky factor of a matrix, its negative directions turned: a likelihood with cure is not concave everywhere."""
    try:
        return np.asarray(linalg.cholesky(matrix, lower=True, check_finite=False))
    except linalg.LinAlgError:
        values, vectors = linalg.eigh(matrix)
        least = 1e-6 * max(float(np.abs(values).max()), 1.0)
        turned = (vectors * np.maximum(np.abs(values), least)) @ vectors.T
        return np.asarray(linalg.cholesky(turned, lower=True, check_finite=False))


def outer_bounds(density: LogPosterior) -> tuple[FloatArray, FloatArray]:
    """Lowest and highest of what is outer that the search goes to."""
    layout = density.layout
    low = np.append(np.full(layout.n_sd, _LOG_SD_LOWEST), np.full(layout.n_free, -_FREE_LARGEST))
    return low, np.append(np.full(layout.n_sd, _LOG_SD_HIGHEST), np.full(layout.n_free, _FREE_LARGEST))


def marginal_mode(laplace: Laplace, start: FloatArray) -> tuple[FloatArray, Inner]:
    """Mode of the marginal in what is outer, and of the rest there.

    Parameters
    ----------
    laplace : Laplace
        The inner problem.
    start : array of shape (n_fixed,)
        Fixed effects to start from.

    Raises
    ------
    ConvergenceError
        If the density is not finite near the start.
    """
    layout = laplace.layout
    outer = np.append(np.full(layout.n_sd, -1.0), np.zeros(layout.n_free))
    inner = max((laplace.solve(outer, one) for one in _starts(laplace, outer, start)), key=_height)
    if not math.isfinite(inner.value):
        raise ConvergenceError(
            "the density of the model is not finite where the search for its mode begins.",
            consequence="No sampler could start.",
            hint="look for numbers far from the others among the columns, or give tighter priors.",
        )
    if not len(outer):
        return outer, inner
    gain = math.inf
    while gain > _LARGE_GAIN:
        # The search ends by what is left to gain, held against the value itself: it is taken from where it begins, or
        # with a million customers it would end there.
        latest, begin = [inner], inner

        def minus_value(at: FloatArray, latest: list[Inner] = latest, begin: Inner = begin) -> float:
            inner = _solved(laplace, at, (latest[0], begin.effects))
            if not math.isfinite(inner.value):
                return _FAR_BELOW
            latest[0] = inner
            return begin.value - inner.value

        found = optimize.minimize(
            minus_value,
            outer,
            method="L-BFGS-B",
            jac="3-point",
            bounds=list(zip(*outer_bounds(laplace.density), strict=True)),
            options={"finite_diff_rel_step": 1e-3, "ftol": 1e-8, "maxiter": 50},
        )
        inner, gain = _solved(laplace, found.x, (latest[0], begin.effects)), -float(found.fun)
        outer = found.x
    return outer, inner


def _height(inner: Inner) -> float:
    return inner.value if math.isfinite(inner.value) else -math.inf


def _solved(laplace: Laplace, outer: FloatArray, starts: Iterable[FloatArray | Inner]) -> Inner:
    """Inner mode from the first start that leads to one: a step too far must not spoil all that follow."""
    for start in starts:
        inner = laplace.solve(outer, start)
        if math.isfinite(inner.value):
            break
    return inner


def _starts(laplace: Laplace, outer: FloatArray, start: FloatArray) -> list[FloatArray]:
    """Where effects are looked for: with cure, also where the same model without it has them.

    A density with a cured share may have two hills, one on which the share explains what covariates do not, and one on
    which there is next to none; Newton's method climbs the one it begins on.
    """
    layout = laplace.layout
    first = np.append(start, np.zeros(layout.n_random))
    if "cure_logit" not in layout.fixed:
        return [first]
    priors = dict(laplace.density.fixed_priors) | {"cure_logit": Normal(_NOBODY, 0.01)}
    nested = Laplace(replace(laplace.density, fixed_priors=priors))
    low = first.copy()
    low[layout.place("cure_logit")] = _NOBODY
    return [first, nested.solve(outer, low).effects]


def hessian_covariance(value: Callable[[FloatArray], float], outer: FloatArray) -> FloatArray:
    """Inverse of minus the Hessian in what is outer, by central differences."""
    n, middle = len(outer), value(outer)
    steps = np.diag([_fitting_step(value, outer, one, middle) for one in np.eye(n)])
    hessian = np.empty((n, n))
    for i in range(n):
        for j in range(i + 1):
            corners = [value(outer + a * steps[i] + b * steps[j]) * a * b for a in (1, -1) for b in (1, -1)]
            hessian[i, j] = hessian[j, i] = -sum(corners) / (4.0 * steps[i, i] * steps[j, j])
    if not np.all(np.isfinite(hessian)):
        raise ConvergenceError(
            "the density of the model is not finite close to its mode.",
            consequence="No sampler could start.",
            hint="look for numbers far from the others among the columns, or give tighter priors.",
        )
    values, vectors = linalg.eigh(hessian)
    return np.asarray((vectors / np.clip(values, 0.1, None)) @ vectors.T)


def _fitting_step(
    value: Callable[[FloatArray], float], outer: FloatArray, direction: FloatArray, middle: float
) -> float:
    """Step to both sides by which the log density falls by about one half: a million customers know a thousandth.

    Differences over a hundred such steps would be of the tails, and spoil what is said of all other directions.
    """
    step = DIFFERENCE
    for _ in range(_STEPS_TRIED):
        fall = middle - 0.5 * (value(outer + step * direction) + value(outer - step * direction))
        if fall < 1.0:
            break
        step /= math.sqrt(2.0 * fall)
    return step
