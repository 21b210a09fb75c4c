"""Probabilities that a Brownian path stays between two boundaries: where simultaneous bands get their width.

The estimated curve, centred and scaled, behaves like a Brownian motion W on a clock of its own, the
variance of log survival. A band covers the whole curve when the path stays between its boundaries, and
both probabilities are sums over the modes in which a path confined to a strip dies out. They are computed
here; tables of them, where printed, are rounded or themselves approximations.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from churnsurv._typing import FloatArray
from churnsurv.hazards.steps import normal_quantile

_MODES = 4000
"""Modes of a bridge; the sum stops where they have died out, long before this unless the range is a point."""

_STATIONARY_MODES = 32
"""Modes of the stationary process. Those left out would add to the coverage: a band errs on the wide side."""

_FADED = 40.0
"""A mode that has decayed to exp(-40) is gone."""


def _cosine_transform(half_width: float, variance: float, frequencies: FloatArray) -> FloatArray:
    """Integral of the normal density times cos(w x) over the strip, for the w at which the cosine ends at 0.

    In terms of the Faddeeva function, which neither overflows nor cancels for large frequencies.
    """
    from scipy.special import wofz

    if variance == 0:
        return np.ones_like(frequencies)
    scale = np.sqrt(2 * variance)
    corner = wofz((1j * half_width - frequencies * variance) / scale) * np.exp(-1j * frequencies * half_width)
    whole = np.exp(-(frequencies**2) * variance / 2)
    return np.asarray(whole - np.exp(-((half_width / scale) ** 2)) * corner.real, dtype=np.float64)


def _even_frequencies(half_width: float, n_modes: int) -> FloatArray:
    """Frequencies of the even modes of a strip: cosines that vanish at its edges."""
    odd = 2 * np.arange(n_modes, dtype=np.float64) + 1
    return odd * (np.pi / (2 * half_width))


def bridge_stays_within(level: float, start: float, stop: float) -> float:
    """Probability that a Brownian bridge stays within a strip between two moments.

    Parameters
    ----------
    level : float
        Half the width of the strip, > 0.
    start, stop : float
        Moments on the bridge's clock, 0 <= start <= stop <= 1.

    Returns
    -------
    float
        Probability that abs(W(u) - u W(1)) <= level for all u in [start, stop].

    References
    ----------
    .. [1] Hall, W. J. and Wellner, J. A. (1980). Confidence bands for a survival curve from censored data.
       *Biometrika*, 67, 133–143.

    Examples
    --------
    Over all of [0, 1] it is Kolmogorov's distribution, 0.95 at 1.3581:

    >>> round(bridge_stays_within(1.3581, 0.0, 1.0), 4)
    0.95
    """
    w = _even_frequencies(level, _MODES)
    w = w[w**2 * (stop - start) / 2 < _FADED]
    ends = _cosine_transform(level, start, w) * _cosine_transform(level, 1 - stop, w)
    return float(np.sqrt(2 * np.pi) / level * np.sum(np.exp(-(w**2) * (stop - start) / 2) * ends))


def standardised_stays_within(level: float, log_ratio: float) -> float:
    """Probability that W(u) / sqrt(u) stays within a strip while u grows by a factor.

    On the logarithm of its clock it is a stationary process with drift -x/2: its modes are those of an
    oscillator in a box, found as eigenvectors in the basis of the box.

    Parameters
    ----------
    level : float
        Half the width of the strip, > 0.
    log_ratio : float
        Logarithm of that factor, >= 0.

    Returns
    -------
    float
        Probability that abs(W(u)) <= level * sqrt(u) throughout.

    References
    ----------
    .. [1] Nair, V. N. (1984). Confidence bands for survival functions with censored data: a comparative
       study. *Technometrics*, 26, 265–275.
    .. [2] DeLong, D. M. (1981). Crossing probabilities for a square root boundary by a Bessel process.
       *Communications in Statistics: Theory and Methods*, 10, 2197–2213.

    Examples
    --------
    One moment is a normal interval; the longer the range, the harder to stay within:

    >>> round(standardised_stays_within(1.96, 1e-6), 2), round(standardised_stays_within(1.96, 1.0), 2)
    (0.95, 0.8)
    """
    w = _even_frequencies(level, _STATIONARY_MODES)
    sums, differences = w[:, None] + w, w[:, None] - w
    square = (_square_transform(level, sums) + _square_transform(level, differences)) / (2 * level)
    rates, modes = np.linalg.eigh(np.diag(w**2 / 2 - 0.25) + square / 8)
    # The root of the standard normal density is a normal density of variance 2, but for a constant.
    overlap = modes.T @ ((8 * np.pi) ** 0.25 / np.sqrt(level) * _cosine_transform(level, 2.0, w))
    return float(np.sum(np.exp(-rates * log_ratio) * overlap**2))


def _square_transform(half_width: float, frequencies: FloatArray) -> FloatArray:
    """Integral of x² cos(f x) over the strip, for f a multiple of π over its half width."""
    f = np.where(frequencies == 0, 1.0, frequencies)
    moving = 4 * half_width / f**2 * np.cos(f * half_width)
    return np.where(np.abs(frequencies) * half_width < 1, 2 * half_width**3 / 3, moving)


@lru_cache(maxsize=256)
def hall_wellner_critical_value(prob: float, start: float, stop: float) -> float:
    """Level within which a Brownian bridge stays between two moments with a given probability.

    Parameters
    ----------
    prob : float
        Probability, strictly between 0 and 1.
    start, stop : float
        Moments on the bridge's clock, 0 <= start <= stop < 1, stop > 0.

    Returns
    -------
    float
        The level, > 0.

    Examples
    --------
    Klein and Moeschberger (2003), Table C.4:

    >>> round(hall_wellner_critical_value(0.95, 0.02, 0.6), 4)
    1.3211
    """
    from scipy.optimize import brentq

    widest = min(max(start, 0.5), stop)
    least = normal_quantile(prob) * np.sqrt(widest * (1 - widest))
    if start == stop:
        return float(least)
    return float(brentq(lambda level: bridge_stays_within(level, start, stop) - prob, 0.99 * least, 9.0))


@lru_cache(maxsize=256)
def equal_precision_critical_value(prob: float, log_ratio: float) -> float:
    """Level within which W(u) / sqrt(u) stays with a given probability while u grows by a factor.

    Parameters
    ----------
    prob : float
        Probability, strictly between 0 and 1.
    log_ratio : float
        Logarithm of that factor, >= 0.

    Returns
    -------
    float
        The level; the normal quantile where the range is one moment.

    Examples
    --------
    >>> round(equal_precision_critical_value(0.95, 0.0), 4)
    1.96
    """
    from scipy.optimize import brentq

    least = normal_quantile(prob)
    if log_ratio == 0:
        return least
    return float(brentq(lambda c: standardised_stays_within(c, log_ratio) - prob, 0.99 * least, least + 9.0))
