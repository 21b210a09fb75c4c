"""Intervals of shares: symmetric in the logit, Wilson's, and the standard error of a jackknife."""

from __future__ import annotations

import math

import numpy as np

from churnsurv._typing import FloatArray
from churnsurv.hazards.steps import normal_quantile

_ROUNDING = 1e-14
"""A smaller standard error of a share is what rounding leaves of 0: even a billion customers leave 1e-5."""


def logit_bounds(estimate: FloatArray, standard_error: FloatArray, ci_prob: float) -> tuple[FloatArray, FloatArray]:
    """Bounds symmetric in the logit of a probability; NaN where it is 0, 1 or NaN, or its standard error is 0.

    Examples
    --------
    >>> [bound.round(3).item() for bound in logit_bounds(np.array([0.8]), np.array([0.05]), 0.95)]
    [0.684, 0.881]
    """
    known = (estimate > 0) & (estimate < 1) & (standard_error > 0)
    inner = np.where(known, estimate, 0.5)
    width = normal_quantile(ci_prob) * np.where(known, standard_error, 0.0) / (inner * (1 - inner))
    odds = inner / (1 - inner)
    lower, upper = 1 / (1 + np.exp(width) / odds), 1 / (1 + np.exp(-width) / odds)
    return np.where(known, lower, np.nan), np.where(known, upper, np.nan)


def jackknife_error(weight: FloatArray, influence: FloatArray) -> float:
    """Square root of Σ w U²; exactly 0 where rounding is all there is, as for a constant score."""
    error = math.sqrt(weight @ influence**2)
    return 0.0 if error <= _ROUNDING else error


def wilson_interval(share: float, n: float, ci_prob: float) -> tuple[float, float]:
    """Wilson's score interval of a share of ``n``, which need not be whole; NaN without anybody.

    Parameters
    ----------
    share : float
        In [0, 1].
    n : float
        Number it was taken of.
    ci_prob : float
        Probability that the bounds cover.

    Returns
    -------
    lower, upper : float
        Within [0, 1].

    References
    ----------
    .. [1] Wilson, E. B. (1927). Probable inference, the law of succession, and statistical inference. *JASA*, 22,
       209–212.

    Examples
    --------
    81 of 263, Newcombe (1998), *Statistics in Medicine*, 17, 857–872, table I, method 3:

    >>> [round(bound, 4) for bound in wilson_interval(81 / 263, 263, 0.95)]
    [0.2553, 0.3662]
    """
    if not n > 0 or math.isnan(share):
        return math.nan, math.nan
    z2 = normal_quantile(ci_prob) ** 2
    centre = share + z2 / (2 * n)
    half = math.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n**2)))
    whole = 1 + z2 / n
    return max((centre - half) / whole, 0.0), min((centre + half) / whole, 1.0)
