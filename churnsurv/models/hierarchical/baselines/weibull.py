"""Weibull baseline: a hazard that rises or falls as a power of time."""

from __future__ import annotations

import math

import numpy as np

from churnsurv._typing import FloatArray
from churnsurv.models.hierarchical.baselines.protocol import Baseline, Curve
from churnsurv.models.hierarchical.priors import Normal, Prior


class WeibullBaseline(Baseline):
    r"""Cumulative hazard :math:`H_0(t) = t^k` with :math:`k = e^{\kappa}`, ``log_shape`` being :math:`\kappa`.

    The intercept is the log cumulative hazard at the centring time: near the events' mean log time it is almost
    uncorrelated with the shape.

    References
    ----------
    .. [1] Klein, J. P. and Moeschberger, M. L. (2003). *Survival Analysis*, 2nd ed., sections 2.5 and 12.2. Springer.

    Examples
    --------
    >>> WeibullBaseline().cumulative(np.array([0.0, 1.0]), np.array([2.0, 2.0]), np.log([[3.0]])).value
    array([8., 7.])
    """

    name = "weibull"
    has_intercept = True
    shapes = ("log_shape",)

    def log_pace(self, log_time: FloatArray, shape: FloatArray) -> Curve:
        """Log of t h(t): kappa + k log t."""
        power = np.exp(shape[0]) * log_time
        return Curve(shape[0] + power, 1.0 + power[None], power[None, None])

    def log_cumulative(self, log_stop: FloatArray, log_ratio: FloatArray, shape: FloatArray) -> Curve:
        """Log of b^k - a^k = k log b + log(1 - (a/b)^k)."""
        k = np.exp(shape[0])
        power = k * log_stop
        if np.isinf(log_ratio).all():
            return Curve(power, power[None], power[None, None])
        fall = k * log_ratio
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            share = np.where(fall > 0.0, np.where(np.isinf(fall), 0.0, fall / np.expm1(fall)), 1.0)
            bend = np.where((fall > 0.0) & np.isfinite(fall), share * (1.0 + fall / np.expm1(-fall)), 0.0)
            value = power + np.log(-np.expm1(-fall))
        return Curve(value, (power + share)[None], (power + bend)[None, None])

    @staticmethod
    def prepare(shape: FloatArray, ready: FloatArray) -> None:
        """Power of time."""
        ready[0] = math.exp(shape[0])

    @staticmethod
    def row(log_stop: float, log_ratio: float, shape: FloatArray, ready: FloatArray, out: FloatArray) -> None:
        """Both curves of one row."""
        power = ready[0] * log_stop
        out[0] = out[2] = power
        out[1] = 1.0
        out[3] = shape[0] + power
        out[4] = 1.0 + power
        if log_ratio < math.inf:
            fall = ready[0] * log_ratio
            out[1] = -math.expm1(-fall)
            out[2] += fall * (1.0 - out[1]) / out[1] if fall > 0.0 else 1.0

    def default_priors(self) -> dict[str, Prior]:
        """Nine shapes in ten between 0.44 and 2.3: from a hazard that falls fast to one that rises fast."""
        return {"log_shape": Normal(0.0, 0.5)}
