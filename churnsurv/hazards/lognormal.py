r"""The lognormal distribution as a baseline: hazard and cumulative hazard, accurate in both tails.

With :math:`z = (\log t - m) / s`, the hazard on the axis of :math:`z` is the inverse Mills ratio of the standard
normal, :math:`\lambda(z) = \varphi(z) / \Phi(-z)`, and :math:`H = -\log \Phi(-z)`. Everything here is written in
:math:`\lambda` and in its relative slope :math:`e(z) = \lambda'(z) / \lambda(z) = \lambda(z) - z`.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from churnsurv._typing import FloatArray

_LOG_ROOT_TWO_PI = 0.5 * np.log(2.0 * np.pi)
_FAR = -10.0
"""Below, :math:`-\\log(1 - p) = p` to the last digit: p is 1e-23."""
_NEAR = 0.25
"""Widths on the axis of z up to which the hazard is integrated, and not two cumulative hazards subtracted."""
NODES, NODE_WEIGHTS = (half / 2.0 for half in np.polynomial.legendre.leggauss(5))
"""Gauss–Legendre on (-1/2, 1/2): with poles of the hazard 2.8 from the real axis five nodes are exact to 1e-16."""

Terms = tuple[FloatArray, FloatArray, FloatArray]
"""A value, its first and its second derivatives in location and log spread: shapes (n,), (2, n), (2, 2, n)."""


def inverse_mills(z: FloatArray) -> FloatArray:
    r"""Hazard of the standard normal distribution.

    .. math:: \lambda(z) = \varphi(z) / \Phi(-z)

    Parameters
    ----------
    z : array
        Any real numbers.

    Returns
    -------
    array
        >= 0; close to z for large z.

    References
    ----------
    .. [1] Small, C. G. (2010). *Expansions and Asymptotics for Statistics*, section 2.4 (the Mills ratio).
       Chapman & Hall.

    Examples
    --------
    >>> inverse_mills(np.array([0.0, 100.0])).round(3)
    array([  0.798, 100.01 ])
    """
    with np.errstate(over="ignore", divide="ignore"):  # a sampler's step too far may end at infinity
        return np.asarray(np.sqrt(2.0 / np.pi) / special.erfcx(z / np.sqrt(2.0)))


def log_inverse_mills(z: FloatArray) -> FloatArray:
    """Log of :func:`inverse_mills`, also where that underflows."""
    low = np.minimum(z, 0.0)
    below = -0.5 * low**2 - _LOG_ROOT_TWO_PI - special.log_ndtr(-low)
    return np.where(z > 0.0, np.log(inverse_mills(np.maximum(z, 0.0))), below)


def _log_normal_cumulative(z: FloatArray) -> FloatArray:
    """Log of -log Phi(-z)."""
    inner = np.maximum(z, _FAR)
    return np.where(z < _FAR, special.log_ndtr(z), np.log(-special.log_ndtr(-inner)))


def _relative_hazard(z: FloatArray) -> FloatArray:
    """Inverse Mills ratio over the cumulative hazard."""
    inner = np.maximum(z, _FAR)
    return np.where(z < _FAR, inverse_mills(-z), inverse_mills(inner) / -special.log_ndtr(-inner))


def log_hazard(log_time: FloatArray, location: FloatArray, log_spread: FloatArray) -> Terms:
    r"""Log hazard per unit of *log* time, with its derivatives.

    .. math:: \log\{t\, h(t)\} = \log \lambda(z) - \log s, \qquad z = (\log t - m) / s

    Parameters
    ----------
    log_time : array of shape (n,)
        :math:`\log t`.
    location, log_spread : array
        :math:`m` and :math:`\log s`; broadcast against ``log_time``.

    Returns
    -------
    tuple
        Value, first and second derivatives in location and log spread; subtract ``log_time`` for the hazard per unit of
        time.

    Examples
    --------
    At the median the density is 1 / (t s root 2 pi) and survival one half.

    >>> value, _, _ = log_hazard(np.zeros(1), np.zeros(1), np.zeros(1))
    >>> np.exp(value).round(4)
    array([0.7979])
    """
    per = np.exp(-log_spread)
    z = (log_time - location) * per
    hazard = inverse_mills(z)
    excess = hazard - z
    bend = hazard * excess - 1.0
    across = excess + z * bend
    first = _stacked(-per * excess, -1.0 - z * excess)
    return log_inverse_mills(z) - log_spread, first, _square(per**2 * bend, per * across, z * across)


def log_cumulative_hazard(
    log_stop: FloatArray, log_ratio: FloatArray, location: FloatArray, log_spread: FloatArray
) -> Terms:
    r"""Log of the cumulative hazard between two times, with its derivatives.

    .. math:: \log\{H(b) - H(a)\}, \qquad H(t) = -\log \Phi(-z(t))

    Where a and b are close, the hazard is integrated by five Gauss–Legendre nodes: a difference of two cumulative
    hazards would lose the digits that the width has lost. Nothing underflows: for small z, H is the lower tail of
    the normal, whose log is known.

    Parameters
    ----------
    log_stop : array of shape (n,)
        :math:`\log b`.
    log_ratio : array of shape (n,)
        :math:`\log(b / a)`, >= 0; infinite for a start at 0. Where it is 0 the value is ``-inf``.
    location, log_spread : array
        As in :func:`log_hazard`.

    Returns
    -------
    tuple
        Value, first and second derivatives in location and log spread.

    Examples
    --------
    >>> value, _, _ = log_cumulative_hazard(np.zeros(1), np.array([np.inf]), np.zeros(1), np.zeros(1))
    >>> np.exp(value).round(4)  # -log(1/2)
    array([0.6931])
    """
    per = np.exp(-log_spread)
    z, width = np.broadcast_arrays((log_stop - location) * per, log_ratio * per)
    with np.errstate(invalid="ignore"):
        near = width * np.maximum(1.0, width - z) < _NEAR
    value, parts = np.empty(z.shape), np.empty((5, *z.shape))
    if near.any():
        value[near], parts[:, near] = _integrated(z[near], width[near])
    if not near.all():
        value[~near], parts[:, ~near] = _subtracted(z[~near], width[~near])
    location_, spread = -per * parts[0], -parts[1]
    first = _stacked(location_, spread)
    second = _square(per**2 * parts[2], per * parts[3], parts[4])
    return value, first, second - first[:, None] * first


def _subtracted(z: FloatArray, width: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Log cumulative hazard, and what its derivatives are made of relative to it, as values at b minus those at a."""
    begins = np.isinf(width)
    before = z - np.where(begins, 0.0, width)
    log_whole = _log_normal_cumulative(z)
    share = np.where(begins, 0.0, np.exp(_log_normal_cumulative(before) - log_whole))
    parts = _at(z) - share * _at(before)
    return log_whole + np.log1p(-share), parts / (1.0 - share)


def _at(z: FloatArray) -> FloatArray:
    """Hazard, z times it, its slope, slope of z times it and z times that: each over the cumulative hazard."""
    excess = inverse_mills(z) - z
    across = 1.0 + z * excess
    return _relative_hazard(z) * np.stack([np.ones_like(z), z, excess, across, z * across])


def _integrated(z: FloatArray, width: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The same as integrals over a narrow width."""
    top = log_inverse_mills(z)
    total, parts = np.zeros_like(z), np.zeros((5, *z.shape))
    for node, weight in zip(NODES, NODE_WEIGHTS, strict=True):
        at = z + (node - 0.5) * width
        hazard = inverse_mills(at)
        excess = hazard - at
        curve = excess**2 + hazard * excess - 1.0
        slope, bend = at * excess, at * curve
        share = weight * np.exp(log_inverse_mills(at) - top)
        total += share
        parts += share * np.stack(
            [excess, 1.0 + slope, curve, 2.0 * excess + bend, 1.0 + 3.0 * slope + at * bend],
        )
    with np.errstate(divide="ignore"):
        return top + np.log(width) + np.log(total), parts / total


def _stacked(location: FloatArray, spread: FloatArray) -> FloatArray:
    return np.stack(np.broadcast_arrays(location, spread))


def _square(location: FloatArray, across: FloatArray, spread: FloatArray) -> FloatArray:
    a, b, c = np.broadcast_arrays(location, across, spread)
    return np.stack([np.stack([a, b]), np.stack([b, c])])
