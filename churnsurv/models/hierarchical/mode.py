"""Where sampling starts, and in which metric: the mode of the Laplace-marginal in the standard deviations.

What the marginal is a function of is called *outer* here: the logs of all standard deviations, then the free numbers
of the correlations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy import linalg, optimize

from churnsurv._typing import FloatArray
from churnsurv.models.hierarchical.correlation import cholesky_factor
from churnsurv.models.hierarchical.density import Centring, LogPosterior, Natural, covariances_of
from churnsurv.models.hierarchical.marginal import (
    DIFFERENCE,
    Inner,
    Laplace,
    hessian_covariance,
    marginal_mode,
    outer_bounds,
)
from churnsurv.models.hierarchical.vectors import VectorCentring

_KNEES = np.geomspace(0.05, 20.0, 13)
"""Knees tried, in units of the standard deviation at the mode: from almost linear to almost log."""
_SEARCH_UNITS = 5_000
"""Customers among whom mode and metric are looked for; all of them move the mode to its place afterwards."""
_POLISH_STEPS = 100
_POLISHED = 0.02
"""Distance to the mode along each axis, in standard deviations, at which it is close enough to start from."""


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
    low, high = outer_bounds(laplace.density)
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
        return laplace.solve(at, inner).value

    rough = hessian_covariance(value, outer)
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
    outer, inner = marginal_mode(laplace, start)
    if not len(outer):
        density = replace(density, centring=_centring(density, inner, outer, outer, outer))
        return (Mode(density, inner.effects, _inner_covariance(density, inner, outer, outer)), None)
    shape = _shape(laplace, inner, outer)
    n_sd = density.layout.n_sd
    sd = replace(density.centring, knee=shape.knee).sd(shape.mean[:n_sd])
    free = shape.mean[n_sd:]
    inner = laplace.solve(np.append(np.log(sd), free), inner)
    density = replace(density, centring=_centring(density, inner, sd, free, shape.knee))
    return _mode_at(laplace, density, inner, shape), shape


def _mode_at(laplace: Laplace, density: LogPosterior, inner: Inner, shape: _Shape) -> Mode:
    fixed, n_sd = density.layout.n_fixed, density.layout.n_sd

    def position_at(at: FloatArray) -> FloatArray:
        sd, free = density.centring.sd(at[:n_sd]), at[n_sd:]
        effects = laplace.solve(np.append(np.log(sd), free), inner).effects
        return density.position(Natural(effects[:fixed], effects[fixed:], sd, free))

    covariance = _inner_covariance(density, inner, density.centring.sd(shape.mean[:n_sd]), shape.mean[n_sd:])
    steps = np.minimum(DIFFERENCE, np.sqrt(np.diag(shape.covariance)))
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
