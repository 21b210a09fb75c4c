"""Baseline hazards in continuous time, one file each."""

from __future__ import annotations

from churnsurv.models.hierarchical.baselines.lognormal import LognormalBaseline
from churnsurv.models.hierarchical.baselines.poisson import PoissonBaseline
from churnsurv.models.hierarchical.baselines.protocol import Baseline, Curve, log_times
from churnsurv.models.hierarchical.baselines.weibull import WeibullBaseline

BASELINES: dict[str, Baseline] = {one.name: one for one in (WeibullBaseline(), LognormalBaseline())}
"""Every baseline in continuous time by the name that a model uses."""

POISSON: Baseline = PoissonBaseline()
"""The piecewise model on rows: its level is a walk over periods in the linear predictor."""

__all__ = ["BASELINES", "POISSON", "Baseline", "Curve", "LognormalBaseline", "WeibullBaseline", "log_times"]
