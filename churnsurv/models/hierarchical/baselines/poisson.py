"""A hazard that stands still within a row: rows of periods, with time at risk and covariates of their own."""

from __future__ import annotations

import math

import numpy as np

from churnsurv._typing import FloatArray
from churnsurv.models.hierarchical.baselines.protocol import Baseline, Curve
from churnsurv.models.hierarchical.priors import Prior


class PoissonBaseline(Baseline):
    r"""Cumulative hazard :math:`H_0(t) = t`: the piecewise model on rows, whose predictor holds the period's level.

    With a centring time of one day, :math:`e^{\eta}` is events per day. A row is ``(start, stop]``, or its days at risk
    with a start of 0.

    References
    ----------
    .. [1] Holford, T. R. (1980). The analysis of rates and of survivorship using log-linear models. *Biometrics* 36,
       299–305.

    Examples
    --------
    >>> PoissonBaseline().cumulative(np.array([3.0]), np.array([5.0]), np.zeros((0, 1))).value.round(12)
    array([2.])
    """

    name = "poisson"
    has_intercept = True
    shapes = ()

    def log_pace(self, log_time: FloatArray, shape: FloatArray) -> Curve:
        """Log of t h(t) = t."""
        return Curve(log_time, np.zeros((0, len(log_time))), np.zeros((0, 0, len(log_time))))

    def log_cumulative(self, log_stop: FloatArray, log_ratio: FloatArray, shape: FloatArray) -> Curve:
        """Log of b - a."""
        with np.errstate(divide="ignore"):
            return self.log_pace(log_stop + np.log(-np.expm1(-log_ratio)), shape)

    @staticmethod
    def prepare(shape: FloatArray, ready: FloatArray) -> None:
        """Nothing: there is no shape."""

    @staticmethod
    def row(log_stop: float, log_ratio: float, shape: FloatArray, ready: FloatArray, out: FloatArray) -> None:
        """Both curves of one row."""
        out[0] = out[2] = log_stop
        out[1] = -math.expm1(-log_ratio) if log_ratio < math.inf else 1.0

    def default_priors(self) -> dict[str, Prior]:
        """None: there is no shape."""
        return {}
