"""Calibration of a backtest's forecasts: observed against predicted probability, as a curve and in bins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from churnsurv._typing import FloatArray, IntArray
from churnsurv.hazards.scoring.calibration_bins import calibration_bins
from churnsurv.hazards.scoring.calibration_curve import calibration_curve as smooth_curve
from churnsurv.hazards.scoring.horizon_outcomes import HorizonOutcomes, horizon_outcomes
from churnsurv.risk.backtest import Backtest
from churnsurv.risk.scored import Quantity, Scored, as_frame, scored, segments

if TYPE_CHECKING:
    import pandas as pd


def calibration_curve(
    result: Backtest,
    *,
    models: Sequence[str] | None = None,
    quantity: Quantity = "churn",
    by: str | None = None,
    ci_prob: float = 0.90,
) -> pd.DataFrame:
    """Observed against predicted probability, smoothed, over all cutoffs together, with pointwise bands.

    Parameters
    ----------
    result : Backtest
        Forecasts and outcomes.
    models : sequence of str, optional
        Names; all by default.
    quantity : {"churn", "return"}
        Churn by the definition, or on the gap clock the next activity.
    by : str, optional
        Column by whose level to tell curves apart; ``"reached"`` for bands of silence or tenure.
    ci_prob : float
        Probability inside the bands.

    Returns
    -------
    DataFrame
        ``model, horizon``, the column, ``predicted, observed, lower, upper``; exactly calibrated probabilities lie on the
        diagonal.
    """
    rows: list[dict[str, object]] = []
    for labels, risk, outcomes in _pooled(result, models, quantity, by):
        curve = smooth_curve(risk, outcomes, ci_prob=ci_prob)
        points = zip(curve.predicted, curve.observed, curve.lower, curve.upper, strict=True)
        rows += [dict(labels, predicted=p, observed=o, lower=low, upper=high) for p, o, low, high in points]
    return as_frame(rows)


def calibration_table(
    result: Backtest,
    *,
    models: Sequence[str] | None = None,
    quantity: Quantity = "churn",
    by: str | None = None,
    n_bins: int = 10,
    ci_prob: float = 0.90,
) -> pd.DataFrame:
    """The same in bins of equally many customers: how many of each ten were expected to leave, and did.

    Parameters
    ----------
    result, models, quantity, by, ci_prob
        As in :func:`calibration_curve`.
    n_bins : int
        Bins.

    Returns
    -------
    DataFrame
        ``model, horizon``, the column, ``bin, n, predicted, observed, lower, upper``.
    """
    rows: list[dict[str, object]] = []
    for labels, risk, outcomes in _pooled(result, models, quantity, by):
        bins = calibration_bins(risk, outcomes, n_bins=n_bins, ci_prob=ci_prob)
        columns = zip(bins.n_customers, bins.predicted, bins.observed, bins.lower, bins.upper, strict=True)
        rows += [
            dict(labels, bin=k, n=n, predicted=p, observed=o, lower=low, upper=high)
            for k, (n, p, o, low, high) in enumerate(columns)
        ]
    return as_frame(rows)


def _pooled(
    result: Backtest, models: Sequence[str] | None, quantity: Quantity, by: str | None
) -> Iterator[tuple[dict[str, object], FloatArray, HorizonOutcomes]]:
    """Customers of all cutoffs whose outcome was open and is known, by model, level and horizon."""
    parts: dict[tuple[str, str], list[Scored]] = {}
    for one in scored(result, quantity, models):
        for level, part in segments(result, one, by):
            parts.setdefault((one.model, level), []).append(part)
    for (model, level), found in parts.items():
        for k, horizon in enumerate(result.horizons):
            risk, time, event = pooled_at(found, k)
            if len(risk):
                labels: dict[str, Any] = {"model": model, "horizon": horizon, **({by: level} if by else {})}
                yield labels, risk, horizon_outcomes(time, event, horizon)


def pooled_at(parts: Sequence[Scored], k: int) -> tuple[FloatArray, FloatArray, IntArray]:
    """Probability, time and event of the customers of several cutoffs at one horizon, where it was open and is known."""
    kept = [part.take(part.asked[:, k]) for part in parts if part.known(k)]
    if not kept:
        return np.zeros(0), np.zeros(0), np.zeros(0, np.int64)
    risk, time, event = (
        np.concatenate([getattr(part, name)[:, k] if name == "probability" else getattr(part, name) for part in kept])
        for name in ("probability", "time", "event")
    )
    return risk, time, event
