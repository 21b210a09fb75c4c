"""Where sampling starts, and in which metric: the mode of the Laplace-marginal in the standard deviations.

The joint mode of a hierarchical model does not exist: as a standard deviation goes to zero with its effects,
the density grows without bound. With the effects integrated out by a normal approximation, it does.

What the marginal is a function of is called *outer* here: the logs of all standard deviations, then the free numbers
of the correlations.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy import linalg, optimize

from churnsurv._typing import FloatArray
from churnsurv.models.hierarchical.correlation import cholesky_factor, lkj_log_density
from churnsurv.models.hierarchical.density import Centring, LogPosterior, Natural, covariances_of
from churnsurv.models.hierarchical.vectors import VectorCentring

_LOG_SD_LOWEST, _LOG_SD_HIGHEST = -6.0, 3.0
_FREE_LARGEST = 3.0
_NEWTON_STEPS = 100
_NEWTON_TOLERANCE = 1e-9
_DIFFERENCE = 0.1
"""Largest step of the finite differences in what is outer; smaller where the data say much."""
_STEPS_TRIED = 8
_LARGE_GAIN = 1e4
"""A search for the marginal's mode that has gained more is made again from where it ended."""
_KNEES = np.geomspace(0.05, 20.0, 13)
"""Knees tried, in units of the standard deviation at the mode: from almost linear to almost log."""
_SEARCH_UNITS = 5_000
"""Customers among whom mode and metric are looked for; all of them move the mode to its place afterwards."""
_POLISH_STEPS = 100
_POLISHED = 0.02
"""Distance to the mode along each axis, in standard deviations, at which it is close enough to start from."""


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


@dataclass(frozen=True, eq=False)
class Mode:
    """What the sampler is given.

    Parameters
    ----------
    density : LogPosterior
        In the coordinates chosen here.
    position : array of shape (n_positions,)
        The mode.
    covariance : array of shape (n_positions, n_positions)
        Approximate covariance of the positions: the dense metric.
    """

    density: LogPosterior
    position: FloatArray
    covariance: FloatArray


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

    def solve(self, outer: FloatArray, start: FloatArray) -> Inner:
        """Newton's method with halved steps.

        Parameters
        ----------
        outer : array of shape (n_sd + n_free,)
            Log standard deviations and free correlations, held fixed.
        start : array of shape (n_fixed + n_random,)
            Where to start.
        """
        sd, free = self.split(outer)
        precision = self.prior_precision(sd, free)
        effects = start
        value, slope = self._value_and_slope(effects, sd, precision)
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


def _outer_bounds(density: LogPosterior) -> tuple[FloatArray, FloatArray]:
    layout = density.layout
    low = np.append(np.full(layout.n_sd, _LOG_SD_LOWEST), np.full(layout.n_free, -_FREE_LARGEST))
    return low, np.append(np.full(layout.n_sd, _LOG_SD_HIGHEST), np.full(layout.n_free, _FREE_LARGEST))


def _marginal_mode(laplace: Laplace, start: FloatArray) -> tuple[FloatArray, Inner]:
    layout = laplace.layout
    outer = np.append(np.full(layout.n_sd, -1.0), np.zeros(layout.n_free))
    inner = laplace.solve(outer, start)
    if not len(outer):
        return outer, inner
    gain = math.inf
    while gain > _LARGE_GAIN:
        # The search ends by what is left to gain, held against the value itself: it is taken from where it begins, or
        # with a million customers it would end there.
        latest, level = [inner.effects], inner.value

        def minus_value(at: FloatArray, latest: list[FloatArray] = latest, level: float = level) -> float:
            inner = laplace.solve(at, latest[0])
            latest[0] = inner.effects
            return level - inner.value

        found = optimize.minimize(
            minus_value,
            outer,
            method="L-BFGS-B",
            jac="3-point",
            bounds=list(zip(*_outer_bounds(laplace.density), strict=True)),
            options={"finite_diff_rel_step": 1e-3, "ftol": 1e-8, "maxiter": 50},
        )
        outer, inner, gain = found.x, laplace.solve(found.x, latest[0]), -float(found.fun)
    return outer, inner


def _hessian_covariance(value: Callable[[FloatArray], float], outer: FloatArray) -> FloatArray:
    """Inverse of minus the Hessian in what is outer, by central differences."""
    n, middle = len(outer), value(outer)
    steps = np.diag([_fitting_step(value, outer, one, middle) for one in np.eye(n)])
    hessian = np.empty((n, n))
    for i in range(n):
        for j in range(i + 1):
            corners = [value(outer + a * steps[i] + b * steps[j]) * a * b for a in (1, -1) for b in (1, -1)]
            hessian[i, j] = hessian[j, i] = -sum(corners) / (4.0 * steps[i, i] * steps[j, j])
    values, vectors = linalg.eigh(hessian)
    return np.asarray((vectors / np.clip(values, 0.1, None)) @ vectors.T)


def _fitting_step(
    value: Callable[[FloatArray], float], outer: FloatArray, direction: FloatArray, middle: float
) -> float:
    """Step to both sides by which the log density falls by about one half: a million customers know a thousandth.

    Differences over a hundred such steps would be of the tails, and spoil what is said of all other directions.
    """
    step = _DIFFERENCE
    for _ in range(_STEPS_TRIED):
        fall = middle - 0.5 * (value(outer + step * direction) + value(outer - step * direction))
        if fall < 1.0:
            break
        step /= math.sqrt(2.0 * fall)
    return step


@dataclass(frozen=True, eq=False)
class _Shape:
    """Marginal of what is outer: standard deviations on the soft scale that makes each most symmetric."""

    knee: FloatArray
    mean: FloatArray
    covariance: FloatArray


def _profile(
    laplace: Laplace, value: Callable[[FloatArray], float], outer: FloatArray, direction: FloatArray, spread: float
) -> tuple[FloatArray, FloatArray]:
    """Offsets along a direction and their share of the Laplace-marginal."""
    low, high = _outer_bounds(laplace.density)
    offsets = np.concatenate([-np.geomspace(8.0, 0.125, 14), np.linspace(0.0, 4.0, 13)]) * spread
    points = outer + offsets[:, None] * direction
    inside = np.all((points >= low - 3.0) & (points <= high), axis=1)
    offsets = offsets[inside]
    values = np.array([value(point) for point in points[inside]])
    share = np.exp(values - values.max()) * np.gradient(offsets)
    return offsets, share / share.sum()


def _moments(value: FloatArray, share: FloatArray) -> tuple[float, float, float]:
    """Mean, standard deviation and skewness of a tabulated marginal."""
    mean = float(share @ value)
    spread = float(np.sqrt(share @ (value - mean) ** 2))
    return mean, spread, float(share @ (value - mean) ** 3) / spread**3


def _shape(laplace: Laplace, inner: Inner, outer: FloatArray) -> _Shape:
    """Choose each knee so that the marginal is least skewed, and take the moments there."""

    def value(at: FloatArray) -> float:
        return laplace.solve(at, inner.effects).value

    rough = _hessian_covariance(value, outer)
    spreads = np.sqrt(np.diag(rough))
    knees, means, sds = [], [], []
    for k in range(len(outer)):
        offsets, share = _profile(laplace, value, outer, rough[:, k] / rough[k, k], spreads[k])
        if k >= laplace.layout.n_sd:
            mean, spread, _ = _moments(outer[k] + offsets, share)
        else:
            sd, choices = np.exp(outer[k] + offsets), np.exp(outer[k]) * _KNEES
            tried = [_moments(sd / knee + np.log(-np.expm1(-sd / knee)), share) for knee in choices]
            best = int(np.argmin([abs(skewness) for *_, skewness in tried]))
            knees.append(choices[best])
            mean, spread, _ = tried[best]
        means.append(mean)
        sds.append(spread)
    correlation = rough / np.outer(spreads, spreads)
    return _Shape(np.array(knees), np.array(means), correlation * np.outer(sds, sds))


def _centring(density: LogPosterior, inner: Inner, sd: FloatArray, free: FloatArray, knee: FloatArray) -> Centring:
    """Choose coordinates from the curvature at the mode (eq. 6 and 7)."""
    layout, fixed = density.layout, density.layout.n_fixed
    curvature = inner.factor @ inner.factor.T
    shear = linalg.solve(curvature[:fixed, :fixed], curvature[:fixed, fixed:], assume_a="pos")
    whole = linalg.cho_solve((inner.factor, True), np.eye(len(inner.factor)))[fixed:, fixed:]
    scalar = layout.n_scalar
    covariance = whole[:scalar, :scalar] / np.outer(layout.scale, layout.scale)
    rotation, information = np.zeros_like(covariance), np.zeros(scalar)
    ends = np.cumsum([0, *(block.size for block in layout.scalar_blocks)])
    for k in range(len(layout.scalar_blocks)):
        some = slice(ends[k], ends[k + 1])
        values, vectors = linalg.eigh(covariance[some, some])
        rotation[some, some] = vectors
        information[some] = np.clip(1.0 / values - sd[k] ** -2, 0.0, None)
    vectors_of = [
        _vector_centring(whole[some, some], block.n_terms, prior)
        for block, (some, _, _), prior in zip(
            layout.vector_blocks, layout.vector_places, covariances_of(layout, sd, free), strict=True
        )
    ]
    return Centring(shear, rotation, information, knee, tuple(vectors_of))


def _vector_centring(covariance: FloatArray, n_terms: int, prior: FloatArray) -> VectorCentring:
    """Rotate across levels as the intercepts ask, and see what the data say along each direction."""
    n_levels = len(covariance) // n_terms
    by_term = covariance.reshape(n_levels, n_terms, n_levels, n_terms)
    _, rotation = linalg.eigh(by_term[:, 0, :, 0])
    turned = np.einsum("ga,gihj,ha->aij", rotation, by_term, rotation)
    values, vectors = np.linalg.eigh(np.linalg.inv(turned) - np.linalg.inv(prior))
    information = (vectors * np.clip(values, 0.0, None)[:, None, :]) @ np.swapaxes(vectors, 1, 2)
    return VectorCentring(rotation, information)


def find_mode(density: LogPosterior, start: FloatArray) -> Mode:
    """Mode of the Laplace-marginal, coordinates and a dense metric for all positions.

    Parameters
    ----------
    density : LogPosterior
        In any coordinates.
    start : array of shape (n_fixed,)
        Fixed effects to start from.

    Returns
    -------
    Mode
        With a density in coordinates chosen from how much the data say about each effect (eq. 6), so that
        forty groups about which nothing is known sample as cleanly as twenty well-known ones.

    References
    ----------
    .. [1] Tierney, L. and Kadane, J. B. (1986). Accurate approximations for posterior moments and marginal
       densities. *JASA* 81, 82–86.
    .. [2] Papaspiliopoulos, O., Roberts, G. O. and Sköld, M. (2007). A general framework for the
       parametrization of hierarchical models. *Statistical Science* 22, 59–73.
    """
    few = density.likelihood.sample(_SEARCH_UNITS, np.random.default_rng(0))
    if few is density.likelihood:
        return _found(density, start)[0]
    found, shape = _found(density.with_likelihood(few), start)
    if shape is None:
        return _polished(replace(found, density=found.density.with_likelihood(density.likelihood)))
    theirs = _polished(found)
    return _rebased(
        theirs, _polished(replace(theirs, density=found.density.with_likelihood(density.likelihood))), shape
    )


def _rebased(few: Mode, everyone: Mode, shape: _Shape) -> Mode:
    """Choose coordinates and metric anew where the mode of all customers lies: that of the few lay elsewhere.

    What is outer has its marginal's mean, which is not the joint mode: it is moved as far as the joint mode moved from the
    few to all. How well it is known is taken from the few, whose likelihood counts as much as that of all.
    """
    density, n_sd = everyone.density, everyone.density.layout.n_sd
    before, now = (np.concatenate(mode.density.split(mode.position)[1:3]) for mode in (few, everyone))
    moved = replace(shape, mean=shape.mean + now - before)
    natural, laplace = density.natural(everyone.position), Laplace(density)
    sd, free = density.centring.sd(moved.mean[:n_sd]), moved.mean[n_sd:]
    inner = laplace.solve(np.append(np.log(sd), free), np.concatenate([natural.fixed, natural.random]))
    density = replace(density, centring=_centring(density, inner, sd, free, shape.knee))
    return _mode_at(laplace, density, inner, moved)


def _polished(mode: Mode) -> Mode:
    """Move the mode of a few customers to that of all; the metric of the few is where L-BFGS begins."""
    root = np.linalg.cholesky(mode.covariance)

    def minus(steps: FloatArray) -> tuple[float, FloatArray]:
        value, slope = mode.density.value_and_gradient(mode.position + root @ steps)
        return (-value, -root.T @ slope) if np.isfinite(value) else (np.inf, np.zeros_like(steps))

    found = optimize.minimize(
        minus,
        np.zeros(len(mode.position)),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": _POLISH_STEPS, "maxcor": 30, "ftol": 0.0, "gtol": _POLISHED},
    )
    return replace(mode, position=mode.position + root @ found.x)


def _found(density: LogPosterior, start: FloatArray) -> tuple[Mode, _Shape | None]:
    laplace = Laplace(density)
    outer, inner = _marginal_mode(laplace, np.append(start, np.zeros(density.layout.n_random)))
    if not len(outer):
        density = replace(density, centring=_centring(density, inner, outer, outer, outer))
        return (Mode(density, inner.effects, _inner_covariance(density, inner, outer, outer)), None)
    shape = _shape(laplace, inner, outer)
    n_sd = density.layout.n_sd
    sd = replace(density.centring, knee=shape.knee).sd(shape.mean[:n_sd])
    free = shape.mean[n_sd:]
    inner = laplace.solve(np.append(np.log(sd), free), inner.effects)
    density = replace(density, centring=_centring(density, inner, sd, free, shape.knee))
    return _mode_at(laplace, density, inner, shape), shape


def _mode_at(laplace: Laplace, density: LogPosterior, inner: Inner, shape: _Shape) -> Mode:
    fixed, n_sd = density.layout.n_fixed, density.layout.n_sd

    def position_at(at: FloatArray) -> FloatArray:
        sd, free = density.centring.sd(at[:n_sd]), at[n_sd:]
        effects = laplace.solve(np.append(np.log(sd), free), inner.effects).effects
        return density.position(Natural(effects[:fixed], effects[fixed:], sd, free))

    covariance = _inner_covariance(density, inner, density.centring.sd(shape.mean[:n_sd]), shape.mean[n_sd:])
    steps = np.minimum(_DIFFERENCE, np.sqrt(np.diag(shape.covariance)))
    slopes = [(position_at(shape.mean + h) - position_at(shape.mean - h)) / (2.0 * h.sum()) for h in np.diag(steps)]
    jacobian = np.column_stack(slopes)
    return Mode(density, position_at(shape.mean), covariance + jacobian @ shape.covariance @ jacobian.T)


def _inner_covariance(density: LogPosterior, inner: Inner, sd: FloatArray, free: FloatArray) -> FloatArray:
    """Covariance of the positions for given standard deviations and correlations; those of both are zero."""
    layout = density.layout
    fixed, scalar, random = layout.n_fixed, layout.n_scalar, layout.n_random
    shrink = np.sqrt(sd[layout.sd_index] ** -2 + density.centring.information)
    to_z = np.zeros((random, random))
    to_z[:scalar, :scalar] = shrink[:, None] * density.centring.rotation.T / layout.scale
    for block, (some, sds, pairs), centring in zip(
        layout.vector_blocks, layout.vector_places, density.centring.vectors, strict=True
    ):
        factor = cholesky_factor(free[pairs], block.n_terms) * sd[sds][:, None]
        root = np.linalg.cholesky(np.linalg.inv(factor @ factor.T) + centring.information)
        turned = np.einsum("iba,gi->iagb", root, centring.rotation)
        to_z[some, some] = turned.reshape(block.size, block.size)
    transform = np.zeros((density.n_positions, fixed + random))
    transform[:fixed, :fixed] = np.eye(fixed)
    transform[:fixed, fixed:] = density.centring.shear
    transform[-random or density.n_positions :, fixed:] = to_z
    half = linalg.solve_triangular(inner.factor, transform.T, lower=True)
    return np.asarray(half.T @ half)
