"""Right-continuous step functions: read off, inverted, integrated."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from churnsurv._typing import FloatArray, IntArray

_LEVEL_TOLERANCE = 1e-12
"""A curve that reaches 0.5 up to rounding has reached it."""


def steps_taken(times: FloatArray, at: FloatArray) -> IntArray:
    """How many steps lie at or before each moment; 0 before the first."""
    return np.searchsorted(times, at, side="right").astype(np.int64)


def value_at(times: FloatArray, values: FloatArray, at: FloatArray, *, before: float) -> FloatArray:
    """Value of a right-continuous step function, ``before`` ahead of the first step.

    Examples
    --------
    >>> value_at(np.array([1.0, 2.0]), np.array([0.5, 0.2]), np.array([0.5, 1.0, 3.0]), before=1.0)
    array([1. , 0.5, 0.2])
    """
    return np.concatenate([[before], values])[steps_taken(times, at)]


def first_time_below(times: FloatArray, values: FloatArray, level: float) -> float:
    """Earliest time at which a falling step function is at or below a level; NaN if it never is."""
    reached = np.flatnonzero(values <= level + _LEVEL_TOLERANCE)
    return float(times[reached[0]]) if len(reached) else float("nan")


def area_under(times: FloatArray, values: FloatArray, start: float, stop: float, *, before: float) -> float:
    """Integral of a right-continuous step function from ``start`` to ``stop``.

    Examples
    --------
    >>> area_under(np.array([1.0, 2.0]), np.array([0.5, 0.2]), 0.0, 3.0, before=1.0)
    1.7
    """
    inner = times[(times > start) & (times < stop)]
    edges = np.concatenate([[start], inner, [stop]])
    return float(np.sum(np.diff(edges) * value_at(times, values, edges[:-1], before=before)))


def normal_quantile(ci_prob: float) -> float:
    """Return the standard normal quantile of a two-sided interval, 1.96 for 0.95."""
    return NormalDist().inv_cdf(0.5 + ci_prob / 2)
