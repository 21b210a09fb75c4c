"""Lognormal baseline: a hazard that rises to a peak and falls again."""

from __future__ import annotations

import math

from churnsurv._typing import FloatArray
from churnsurv.hazards import lognormal
from churnsurv.models.hierarchical.baselines.protocol import Baseline, Curve
from churnsurv.models.hierarchical.priors import Normal, Prior

_ROOT_HALF = math.sqrt(0.5)
_LOG_ROOT_TWO_PI = 0.5 * math.log(2.0 * math.pi)
_DENSITY_AT_ZERO = math.exp(-_LOG_ROOT_TWO_PI)
_FAR = 10.0
"""Beyond, erfc loses digits above, and log(1 - p) = -p below."""
_NEAR = 0.25
_NODES = tuple(float(node) for node in lognormal.NODES)
_WEIGHTS = tuple(float(weight) for weight in lognormal.NODE_WEIGHTS)


def _far_hazard(z: float) -> float:
    """Inverse Mills ratio for z >= 10, by Laplace's continued fraction."""
    tail = z
    for k in range(14, 0, -1):
        tail = z + k / tail
    return tail


def _scaled_hazard(z: float, centre: float) -> float:
    """Inverse Mills ratio times exp(centre² / 2); ``centre`` is 0, or close to z where that is negative."""
    if z < _FAR:
        density = _DENSITY_AT_ZERO * math.exp(0.5 * (centre - z) * (centre + z))
        return density / (0.5 * math.erfc(z * _ROOT_HALF))
    return _far_hazard(z)


def _point(z: float) -> tuple[float, float, float, float, float]:
    """Cumulative hazard (the log of one factor, and another), hazard over it, log hazard, hazard less z."""
    log_density = -0.5 * z * z - _LOG_ROOT_TWO_PI
    if z < -_FAR:
        mirrored = _far_hazard(-z)
        return log_density - math.log(mirrored), 1.0, mirrored, log_density, -z
    if z < _FAR:
        small = 0.5 * math.erfc(abs(z) * _ROOT_HALF)
        whole, tail = (-math.log1p(-small), 1.0 - small) if z < 0.0 else (-math.log(small), small)
        hazard = math.exp(log_density) / tail
        return 0.0, whole, hazard / whole, log_density + whole, hazard - z
    hazard = _far_hazard(z)
    log_hazard = math.log(hazard)
    whole = log_hazard - log_density
    return 0.0, whole, hazard / whole, log_hazard, hazard - z


def _subtracted(before: float, log: float, factor: float, z: float, relative: float, out: FloatArray) -> None:
    """H(z) less H(before), and the changes of hazard and of z times hazard relative to it."""
    log_part, part, relative_part, _, _ = _point(before)
    share = math.exp(log_part - log) * part / factor
    lost = share * relative_part
    out[0], out[1] = log, factor * (1.0 - share)
    out[2] = (relative - lost) / (1.0 - share)
    out[3] = (z * relative - before * lost) / (1.0 - share)


def _integrated(z: float, width: float, out: FloatArray) -> None:
    """The same over a narrow width."""
    centre = min(z, 0.0)
    out[0] = -0.5 * centre * centre
    down = math.exp(out[0])
    total = slope = spread = 0.0
    for i in range(5):
        at = z + (_NODES[i] - 0.5) * width
        scaled = _scaled_hazard(at, centre)
        excess = scaled * down - at
        total += _WEIGHTS[i] * scaled
        slope += _WEIGHTS[i] * scaled * excess
        spread += _WEIGHTS[i] * scaled * (1.0 + at * excess)
    out[1] = width * total
    out[2] = slope / total
    out[3] = spread / total


class LognormalBaseline(Baseline):
    r"""Cumulative hazard :math:`H_0(t) = -\log \Phi(-z)`, :math:`z = (\log t - m) / s`.

    ``location`` is :math:`m`, the log median at average effects, and ``log_spread`` :math:`\log s`. Effects multiply the
    hazard, as everywhere in the model; the location is the level, so there is no intercept.

    References
    ----------
    .. [1] Kalbfleisch, J. D. and Prentice, R. L. (2002). *The Statistical Analysis of Failure Time Data*, 2nd ed.,
       section 2.2. Wiley.

    Examples
    --------
    At the median the cumulative hazard is log 2.

    >>> import numpy as np
    >>> LognormalBaseline().cumulative(np.zeros(1), np.ones(1), np.zeros((2, 1))).value.round(4)
    array([0.6931])
    """

    name = "lognormal"
    has_intercept = False
    shapes = ("location", "log_spread")
    helpers = (_far_hazard, _scaled_hazard, _point, _subtracted, _integrated)

    def log_pace(self, log_time: FloatArray, shape: FloatArray) -> Curve:
        """Log of t h(t)."""
        return Curve(*lognormal.log_hazard(log_time, shape[0], shape[1]))

    def log_cumulative(self, log_stop: FloatArray, log_ratio: FloatArray, shape: FloatArray) -> Curve:
        """Log of the difference of two logs of normal tails."""
        return Curve(*lognormal.log_cumulative_hazard(log_stop, log_ratio, shape[0], shape[1]))

    @staticmethod
    def prepare(shape: FloatArray, ready: FloatArray) -> None:
        """One over the spread."""
        ready[1] = math.exp(-shape[1])

    @staticmethod
    def row(log_stop: float, log_ratio: float, shape: FloatArray, ready: FloatArray, out: FloatArray) -> None:
        """Both curves of one row."""
        per = ready[1]
        z = (log_stop - shape[0]) * per
        width = log_ratio * per
        log, factor, relative, log_hazard, excess = _point(z)
        if math.isinf(width):
            out[0], out[1], out[2], out[3] = log, factor, relative, z * relative
        elif width * max(1.0, width - z) < _NEAR:
            _integrated(z, width, out)
        else:
            _subtracted(z - width, log, factor, z, relative, out)
        out[2] *= -per
        out[3] *= -1.0
        out[4] = log_hazard - shape[1]
        out[5] = -per * excess
        out[6] = -1.0 - z * excess

    def default_priors(self) -> dict[str, Prior]:
        """Median within a factor of 27 of the events' mean log time, spread of log time between 0.44 and 2.3 (90 %)."""
        return {"location": Normal(0.0, 2.0), "log_spread": Normal(0.0, 0.5)}
