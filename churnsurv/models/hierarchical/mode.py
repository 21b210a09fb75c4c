"""Where sampling starts, and in which metric: the mode of the Laplace-marginal in the standard deviations.

The joint mode of a hierarchical model does not exist: as a standard deviation goes to zero with its effects,
the density grows without bound. With the effects integrated out by a normal approximation, it does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy import linalg, optimize, sparse

from churnsurv._typing import FloatArray
from churnsurv.models.hierarchical.density import Centring, LogPosterior, Natural

_LOG_SD_LOWEST, _LOG_SD_HIGHEST = -6.0, 3.0
_NEWTON_STEPS = 100
_NEWTON_TOLERANCE = 1e-9
_DIFFERENCE = 0.1
"""Step of the finite differences in the standard deviations."""
_KNEES = np.geomspace(0.05, 20.0, 13)
"""Knees tried, in units of the standard deviation at the mode: from almost linear to almost log."""


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
        Laplace approximation of the log density of the log standard deviations (eq. 9).
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
    """The inner problem: everything but the standard deviations.

    Parameters
    ----------
    density : LogPosterior
        Its coordinates do not matter here.
    """

    def __init__(self, density: LogPosterior) -> None:
        self.density = density
        design = density.design
        n, rows = len(design.x), np.arange(len(design.x))
        dummies = [sparse.csr_matrix(design.x)]
        for index, size in zip(design.groups, design.n_levels, strict=True):
            dummies.append(sparse.csr_matrix((np.ones(n), (rows, index)), shape=(n, size)))
        self._patterns = sparse.csr_matrix(sparse.hstack(dummies))
        self._transform = self._effects_to_dummies()

    def _effects_to_dummies(self) -> FloatArray:
        design = self.density.design
        terms, periods, groups = design.x.shape[1], design.n_periods, sum(design.n_levels)
        matrix = np.zeros((terms + groups + periods, design.n_fixed + periods - 1 + groups))
        matrix[:terms, 1 : 1 + terms] = np.eye(terms)
        matrix[terms : terms + groups, terms + periods :] = np.eye(groups)
        matrix[terms + groups :, 0] = 1.0
        matrix[terms + groups :, 1 + terms : terms + periods] = design.walk_basis()
        return matrix

    def information(self, effects: FloatArray) -> FloatArray:
        """Expected information of the data about all effects, at given effects."""
        design, fixed = self.density.design, self.density.design.n_fixed
        log_baseline, log_multiplier = self.density.log_parts(effects[:fixed], effects[fixed:])
        expected = design.exposure * np.exp(log_baseline) * np.exp(log_multiplier)[:, None]
        own = (self._patterns.T @ self._patterns.multiply(expected.sum(axis=1)[:, None])).toarray()
        across = self._patterns.T @ expected
        gram = np.block([[own, across], [across.T, np.diag(expected.sum(axis=0))]])
        return np.asarray(self._transform.T @ gram @ self._transform)

    def _precision(self, effects: FloatArray, log_sd: FloatArray) -> FloatArray:
        density, fixed = self.density, self.density.design.n_fixed
        precision = np.empty(len(effects))
        precision[:1] = density.intercept_prior.curvature(effects[:1])
        if density.coef_prior is not None:
            precision[1:fixed] = density.coef_prior.curvature(effects[1:fixed])
        precision[fixed:] = (density.design.scale * np.exp(log_sd[density.design.sd_index])) ** -2
        return precision

    def _value_and_slope(self, effects: FloatArray, log_sd: FloatArray) -> tuple[float, FloatArray]:
        density, design, fixed = self.density, self.density.design, self.density.design.n_fixed
        with np.errstate(over="ignore"):
            value, fixed_slope, random_slope = density.likelihood(effects[:fixed], effects[fixed:])
        prior, prior_slope = density.fixed_prior(effects[:fixed])
        sd = design.scale * np.exp(log_sd[design.sd_index])
        value += prior - float(np.sum(0.5 * (effects[fixed:] / sd) ** 2 + np.log(sd)))
        return value, np.concatenate([fixed_slope + prior_slope, random_slope - effects[fixed:] / sd**2])

    def solve(self, log_sd: FloatArray, start: FloatArray) -> Inner:
        """Newton's method with halved steps; the log density is concave under normal priors.

        Parameters
        ----------
        log_sd : array of shape (n_blocks,)
            Log standard deviations, held fixed.
        start : array of shape (n_fixed + n_random,)
            Where to start.
        """
        effects = start
        value, slope = self._value_and_slope(effects, log_sd)
        for _ in range(_NEWTON_STEPS):
            information = self.information(effects)
            factor = linalg.cholesky(
                information + np.diag(self._precision(effects, log_sd)), lower=True, check_finite=False
            )
            step = linalg.cho_solve((factor, True), slope, check_finite=False)
            gain = float(slope @ step)
            if gain < _NEWTON_TOLERANCE:
                break
            effects, value, slope = self._move(effects, step, value, gain, log_sd)
        prior, _ = self.density.sd_prior(np.exp(log_sd))
        prior += float(log_sd.sum())
        return Inner(effects, factor, value + prior - float(np.log(np.diag(factor)).sum()))

    def _move(
        self, effects: FloatArray, step: FloatArray, value: float, gain: float, log_sd: FloatArray
    ) -> tuple[FloatArray, float, FloatArray]:
        size = 1.0
        while True:
            new = effects + size * step
            new_value, slope = self._value_and_slope(new, log_sd)
            if new_value >= value + 1e-4 * size * gain or size < 1e-6:
                return new, new_value, slope
            size *= 0.5


def _start_effects(density: LogPosterior) -> FloatArray:
    design = density.design
    effects = np.zeros(design.n_fixed + len(design.sd_index))
    effects[0] = np.log((design.events.sum() + 0.5) / design.exposure.sum())
    return effects


def _marginal_mode(laplace: Laplace) -> tuple[FloatArray, Inner]:
    inner = laplace.solve(np.zeros(len(laplace.density.design.blocks)) - 1.0, _start_effects(laplace.density))
    if not laplace.density.design.blocks:
        return np.zeros(0), inner
    latest = [inner.effects]

    def minus_value(log_sd: FloatArray) -> float:
        inner = laplace.solve(log_sd, latest[0])
        latest[0] = inner.effects
        return -inner.value

    n_blocks = len(laplace.density.design.blocks)
    found = optimize.minimize(
        minus_value,
        np.full(n_blocks, -1.0),
        method="L-BFGS-B",
        jac="3-point",
        bounds=[(_LOG_SD_LOWEST, _LOG_SD_HIGHEST)] * n_blocks,
        options={"finite_diff_rel_step": 1e-3, "ftol": 1e-8, "maxiter": 50},
    )
    return found.x, laplace.solve(found.x, latest[0])


def _hessian_covariance(value: Callable[[FloatArray], float], log_sd: FloatArray) -> FloatArray:
    """Inverse of minus the Hessian in the log standard deviations, by central differences."""
    n = len(log_sd)
    eye = _DIFFERENCE * np.eye(n)
    hessian = np.empty((n, n))
    for i in range(n):
        for j in range(i + 1):
            corners = [value(log_sd + a * eye[i] + b * eye[j]) * a * b for a in (1, -1) for b in (1, -1)]
            hessian[i, j] = hessian[j, i] = -sum(corners) / (4.0 * _DIFFERENCE**2)
    values, vectors = linalg.eigh(hessian)
    return np.asarray((vectors / np.clip(values, 0.1, None)) @ vectors.T)


@dataclass(frozen=True, eq=False)
class _SdShape:
    """Marginal of the standard deviations on the soft scale that makes each most symmetric."""

    knee: FloatArray
    mean: FloatArray
    covariance: FloatArray


def _profile(
    value: Callable[[FloatArray], float], log_sd: FloatArray, direction: FloatArray, spread: float
) -> tuple[FloatArray, FloatArray]:
    """Offsets along a direction and their share of the Laplace-marginal."""
    offsets = np.concatenate([-np.geomspace(8.0, 0.125, 14), np.linspace(0.0, 4.0, 13)]) * max(spread, 0.1)
    inside = [
        np.all((log_sd + t * direction >= _LOG_SD_LOWEST - 3.0) & (log_sd + t * direction <= _LOG_SD_HIGHEST))
        for t in offsets
    ]
    offsets = offsets[np.asarray(inside)]
    values = np.array([value(log_sd + t * direction) for t in offsets])
    share = np.exp(values - values.max()) * np.gradient(offsets)
    return offsets, share / share.sum()


def _soft_moments(sd: FloatArray, share: FloatArray, knee: float) -> tuple[float, float, float]:
    """Mean, standard deviation and skewness of a marginal on the soft scale."""
    soft = sd / knee + np.log(-np.expm1(-sd / knee))
    mean = float(share @ soft)
    spread = float(np.sqrt(share @ (soft - mean) ** 2))
    return mean, spread, float(share @ (soft - mean) ** 3) / spread**3


def _sd_shape(laplace: Laplace, inner: Inner, log_sd: FloatArray) -> _SdShape:
    """Choose each knee so that the marginal is least skewed, and take the moments there."""

    def value(at: FloatArray) -> float:
        return laplace.solve(at, inner.effects).value

    rough = _hessian_covariance(value, log_sd)
    spreads = np.sqrt(np.diag(rough))
    knees, means, sds = [], [], []
    for k in range(len(log_sd)):
        offsets, share = _profile(value, log_sd, rough[:, k] / rough[k, k], spreads[k])
        sd = np.exp(log_sd[k] + offsets)
        choices = np.exp(log_sd[k]) * _KNEES
        moments = [_soft_moments(sd, share, knee) for knee in choices]
        best = int(np.argmin([abs(skewness) for *_, skewness in moments]))
        knees.append(choices[best])
        means.append(moments[best][0])
        sds.append(moments[best][1])
    correlation = rough / np.outer(spreads, spreads)
    return _SdShape(np.array(knees), np.array(means), correlation * np.outer(sds, sds))


def _centring(density: LogPosterior, inner: Inner, log_sd: FloatArray, knee: FloatArray) -> Centring:
    """Choose coordinates from the curvature at the mode (eq. 6 and 7)."""
    design, fixed = density.design, density.design.n_fixed
    curvature = inner.factor @ inner.factor.T
    shear = linalg.solve(curvature[:fixed, :fixed], curvature[:fixed, fixed:], assume_a="pos")
    covariance = linalg.cho_solve((inner.factor, True), np.eye(len(inner.factor)))[fixed:, fixed:]
    covariance = covariance / np.outer(design.scale, design.scale)
    rotation, information = np.zeros_like(covariance), np.zeros(len(covariance))
    ends = np.cumsum((0, *design.blocks))
    for k, size in enumerate(design.blocks):
        some = slice(ends[k], ends[k] + size)
        values, vectors = linalg.eigh(covariance[some, some])
        rotation[some, some] = vectors
        information[some] = np.clip(1.0 / values - np.exp(-2.0 * log_sd[k]), 0.0, None)
    return Centring(shear, rotation, information, knee)


def find_mode(density: LogPosterior) -> Mode:
    """Mode of the Laplace-marginal, coordinates and a dense metric for all positions.

    Parameters
    ----------
    density : LogPosterior
        In any coordinates.

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
    laplace = Laplace(density)
    log_sd, inner = _marginal_mode(laplace)
    if not len(log_sd):
        density = replace(density, centring=_centring(density, inner, log_sd, log_sd))
        return Mode(density, inner.effects, _inner_covariance(density, inner, log_sd))
    shape = _sd_shape(laplace, inner, log_sd)
    log_sd = np.log(replace(density.centring, knee=shape.knee).sd(shape.mean))
    inner = laplace.solve(log_sd, inner.effects)
    density = replace(density, centring=_centring(density, inner, log_sd, shape.knee))
    return _mode_at(laplace, density, inner, shape)


def _mode_at(laplace: Laplace, density: LogPosterior, inner: Inner, shape: _SdShape) -> Mode:
    fixed = density.design.n_fixed

    def position_at(soft: FloatArray) -> FloatArray:
        sd = density.centring.sd(soft)
        effects = laplace.solve(np.log(sd), inner.effects).effects
        return density.position(Natural(effects[:fixed], effects[fixed:], sd))

    covariance = _inner_covariance(density, inner, np.log(density.centring.sd(shape.mean)))
    steps = _DIFFERENCE * np.eye(len(shape.mean))
    slopes = [(position_at(shape.mean + h) - position_at(shape.mean - h)) / (2.0 * _DIFFERENCE) for h in steps]
    jacobian = np.column_stack(slopes)
    return Mode(density, position_at(shape.mean), covariance + jacobian @ shape.covariance @ jacobian.T)


def _inner_covariance(density: LogPosterior, inner: Inner, log_sd: FloatArray) -> FloatArray:
    """Covariance of the positions for given standard deviations; those of ``soft`` are zero."""
    design = density.design
    fixed, sds, random = design.n_fixed, len(design.blocks), len(design.sd_index)
    own_sd = np.exp(log_sd[design.sd_index])
    shrink = np.sqrt(own_sd**-2 + density.centring.information)
    transform = np.zeros((density.n_positions, fixed + random))
    transform[:fixed, :fixed] = np.eye(fixed)
    transform[:fixed, fixed:] = density.centring.shear
    transform[fixed + sds :, fixed:] = shrink[:, None] * density.centring.rotation.T / design.scale
    half = linalg.solve_triangular(inner.factor, transform.T, lower=True)
    return np.asarray(half.T @ half)
