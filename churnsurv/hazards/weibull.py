"""The Weibull distribution: hazard in closed form, and the likelihood of rows known exactly, partly or late.

A row is known to have had its event in ``(lower, upper]``: exactly where both are equal, not yet where ``upper`` is
infinite, before ``upper`` where ``lower`` is 0. It was under observation from ``entry`` on. Everything is written in
the log of scale and shape, both real numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from churnsurv._typing import BoolArray, FloatArray, IntArray

_Rows = slice | IntArray


def cumulative_hazard(times: FloatArray, *, log_scale: FloatArray, log_shape: FloatArray) -> FloatArray:
    r"""Cumulative hazard of a Weibull time.

    .. math:: H(t) = (t / \lambda)^{\rho}, \qquad S(t) = \exp\{-H(t)\}

    Parameters
    ----------
    times : array
        Times :math:`t`, >= 0.
    log_scale : array
        :math:`\log \lambda`, the time by which 63 in 100 have had the event; broadcasts against ``times``.
    log_shape : array
        :math:`\log \rho`; a shape above 1 is a rising hazard, 1 an exponential time.

    Returns
    -------
    array
        :math:`H`, >= 0.

    References
    ----------
    .. [1] Klein, J. P. and Moeschberger, M. L. (2003). *Survival Analysis*, 2nd ed., sections 2.5 and 12.2. Springer.

    Examples
    --------
    >>> one = np.zeros(1)
    >>> cumulative_hazard(np.array([0.0, 2.0]), log_scale=one, log_shape=np.log(np.array([3.0])))
    array([0., 8.])
    """
    with np.errstate(divide="ignore", over="ignore"):
        return np.asarray(np.exp(np.exp(log_shape) * (np.log(times) - log_scale)))


def cumulative_hazard_between(
    start: FloatArray, stop: FloatArray, *, log_scale: FloatArray, log_shape: FloatArray
) -> FloatArray:
    r"""Cumulative hazard from start to stop, without taking two large numbers from each other.

    .. math:: H(b) - H(a) = H(b) \{1 - (a / b)^{\rho}\}

    Parameters
    ----------
    start, stop : array
        Times :math:`0 \le a \le b`.
    log_scale, log_shape : array
        As in :func:`cumulative_hazard`.

    Returns
    -------
    array
        Minus the log of the conditional survival :math:`S(b) / S(a)`; 0 where ``stop`` is 0.

    Examples
    --------
    >>> zero = np.zeros(1)
    >>> cumulative_hazard_between(np.array([3.0]), np.array([5.0]), log_scale=zero, log_shape=zero)
    array([2.])
    """
    whole = cumulative_hazard(stop, log_scale=log_scale, log_shape=log_shape)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        share = -np.expm1(np.exp(log_shape) * np.log1p((start - stop) / stop))
        return np.asarray(np.where(whole > 0, whole * share, 0.0))


def restricted_mean(horizon: FloatArray, *, log_scale: FloatArray, log_shape: FloatArray) -> FloatArray:
    r"""Mean of the time up to a horizon.

    .. math:: \int_0^{\tau} S(t) \, dt = \frac{\lambda}{\rho} \, \gamma\!\left(\frac{1}{\rho}, H(\tau)\right)

    where :math:`\gamma` is the lower incomplete gamma function.

    Parameters
    ----------
    horizon : array
        :math:`\tau`, >= 0.
    log_scale, log_shape : array
        As in :func:`cumulative_hazard`.

    Returns
    -------
    array
        Time, in the unit of the scale.

    Examples
    --------
    An exponential time with mean 2: 2 (1 - exp(-1)).

    >>> restricted_mean(np.array([2.0]), log_scale=np.log([2.0]), log_shape=np.zeros(1)).round(4)
    array([1.2642])
    """
    from scipy import special

    inverse = np.exp(-log_shape)
    reached = cumulative_hazard(horizon, log_scale=log_scale, log_shape=log_shape)
    log_mean = log_scale + special.gammaln(1.0 + inverse)
    return np.asarray(np.exp(log_mean) * special.gammainc(inverse, reached))


@dataclass(frozen=True, eq=False)
class Terms:
    """Log-likelihood of each row and its derivatives; arrays of shape (n,).

    Parameters
    ----------
    value : array
        Log-likelihood.
    d_scale, d_shape : array
        First derivatives in the log scale and the log shape.
    d_scale_scale, d_scale_shape, d_shape_shape : array
        Second derivatives.
    """

    value: FloatArray
    d_scale: FloatArray
    d_shape: FloatArray
    d_scale_scale: FloatArray
    d_scale_shape: FloatArray
    d_shape_shape: FloatArray

    @classmethod
    def zeros(cls, n: int) -> Terms:
        """Nothing observed."""
        return cls(*(np.zeros(n) for _ in range(6)))

    @property
    def parts(self) -> tuple[FloatArray, ...]:
        """All six, in order."""
        return (
            self.value,
            self.d_scale,
            self.d_shape,
            self.d_scale_scale,
            self.d_scale_shape,
            self.d_shape_shape,
        )

    def add(self, rows: _Rows, other: Terms, sign: float = 1.0) -> None:
        """Add the terms of some rows, in place."""
        for mine, theirs in zip(self.parts, other.parts, strict=True):
            if sign > 0:
                mine[rows] += theirs
            else:
                mine[rows] -= theirs


def log_likelihood(
    log_scale: FloatArray, log_shape: FloatArray, *, lower: FloatArray, upper: FloatArray, entry: FloatArray
) -> Terms:
    r"""Log-likelihood of each row, with its gradient and Hessian in log scale and log shape.

    With :math:`u(t) = \rho (\log t - \log \lambda)` and :math:`H = e^u`:

    .. math::

        \text{event at } t:\quad & \log \rho + u(t) - \log t - H(t) + H(a) \\
        \text{no event by } l:\quad & -H(l) + H(a) \\
        \text{event in } (l, r]:\quad & -H(l) + \log\{1 - e^{-(H(r) - H(l))}\} + H(a)

    where :math:`a` is ``entry``. The last line with :math:`l = 0` is a row that was found with the event.

    Parameters
    ----------
    log_scale, log_shape : array of shape (n,)
        Of each row.
    lower, upper : array of shape (n,)
        The event lies in ``(lower, upper]``; equal for a time known exactly, ``upper`` infinite for a row censored
        at ``lower``. ``0 <= lower <= upper`` and ``upper > 0``.
    entry : array of shape (n,)
        Start of observation, ``0 <= entry <= lower`` (an event exactly at entry has no likelihood).

    Returns
    -------
    Terms
        Per row; sum them with weights. Rows whose likelihood underflows to nothing are ``-inf``.

    References
    ----------
    .. [1] Kalbfleisch, J. D. and Prentice, R. L. (2002). *The Statistical Analysis of Failure Time Data*, 2nd ed.,
       sections 2.2, 3.2 and 3.4. Wiley.
    .. [2] Klein, J. P. and Moeschberger, M. L. (2003). *Survival Analysis*, 2nd ed., section 3.5. Springer.

    Examples
    --------
    An exponential time with mean 2, known to be 2 exactly: log(1/2) - 1.

    >>> log_likelihood(np.log([2.0]), np.zeros(1), lower=np.array([2.0]), upper=np.array([2.0]),
    ...                entry=np.zeros(1)).value.round(4)
    array([-1.6931])
    """
    terms = Terms.zeros(len(log_scale))
    exact, censored = lower == upper, np.isinf(upper)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for at in _some(entry > 0):
            terms.add(at, _hazard_terms(entry[at], log_scale[at], log_shape[at]))
        for at in _some(lower > 0):
            terms.add(at, _hazard_terms(lower[at], log_scale[at], log_shape[at]), -1.0)
        for at in _some(exact):
            terms.add(at, _density_terms(upper[at], log_scale[at], log_shape[at]))
        for at in _some(~exact & ~censored):
            terms.add(at, _within_terms(lower[at], upper[at], log_scale[at], log_shape[at]))
    return terms


def _some(rows: BoolArray) -> tuple[_Rows, ...]:
    """Nothing, everything, or the positions of some rows: picking costs more than the formulas."""
    n = int(np.count_nonzero(rows))
    return () if n == 0 else (slice(None),) if n == len(rows) else (np.flatnonzero(rows),)


def _hazard_terms(times: FloatArray, log_scale: FloatArray, log_shape: FloatArray) -> Terms:
    """H at times > 0 and its derivatives: du/dlog scale is -shape, du/dlog shape is u."""
    shape = np.exp(log_shape)
    u = shape * (np.log(times) - log_scale)
    h = np.exp(u)
    uh = u * h
    return Terms(h, -shape * h, uh, shape**2 * h, -shape * (h + uh), (1.0 + u) * uh)


def _density_terms(times: FloatArray, log_scale: FloatArray, log_shape: FloatArray) -> Terms:
    """Log hazard at times > 0 and its derivatives."""
    shape, log_time = np.exp(log_shape), np.log(times)
    u = shape * (log_time - log_scale)
    return Terms(log_shape + u - log_time, -shape, 1.0 + u, np.zeros_like(u), -shape, u)


def _within_terms(lower: FloatArray, upper: FloatArray, log_scale: FloatArray, log_shape: FloatArray) -> Terms:
    """log(1 - exp(-D)) with D = H(upper) - H(lower), and its derivatives by the chain rule."""
    d = _hazard_terms(upper, log_scale, log_shape)
    for held in _some(lower > 0):
        d.add(held, _hazard_terms(lower[held], log_scale[held], log_shape[held]), -1.0)
    width = cumulative_hazard_between(lower, upper, log_scale=log_scale, log_shape=log_shape)
    slope = 1.0 / np.expm1(width)
    bend = -slope * (1.0 + slope)
    return Terms(
        np.log(-np.expm1(-width)),
        slope * d.d_scale,
        slope * d.d_shape,
        slope * d.d_scale_scale + bend * d.d_scale**2,
        slope * d.d_scale_shape + bend * d.d_scale * d.d_shape,
        slope * d.d_shape_shape + bend * d.d_shape**2,
    )
