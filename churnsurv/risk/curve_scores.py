"""Scores of whole curves in a backtest: all horizons of a forecast together."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from churnsurv.errors import HorizonError
from churnsurv.hazards.scoring.concordance import concordance_index
from churnsurv.hazards.scoring.integrated_scores import crps, integrated_brier_score
from churnsurv.hazards.scoring.likelihood_score import likelihood_score
from churnsurv.risk.backtest import Backtest
from churnsurv.risk.scored import Quantity, Scored, as_frame, scored, segments

if TYPE_CHECKING:
    import pandas as pd


def score_curves(result: Backtest, *, quantity: Quantity = "churn", by: str | None = None) -> pd.DataFrame:
    """Score the curve that each forecast is: probabilities at all horizons, straight between them.

    Parameters
    ----------
    result : Backtest
        With two horizons at least.
    quantity : {"churn", "return"}
        Churn by the definition, or on the gap clock the next activity.
    by : str, optional
        Column by whose level to tell scores apart; ``"reached"`` for bands of silence or tenure.

    Returns
    -------
    DataFrame
        One row per model, cutoff and level: ``n, n_events`` (within the longest horizon), ``integrated_brier`` (its average over
        the time up to there) with ``integrated_skill`` against Kaplan and Meier's curve, ``crps`` (its area, in days),
        ``likelihood`` (right-censored log score, hazards constant between horizons; infinite where what was called impossible
        happened) and Harrell's and Uno's concordance up to the longest horizon, ``harrell, uno``. Everybody is scored. Dates that
        are not followed for the longest horizon are left out.

    Raises
    ------
    HorizonError
        If there is one horizon only.
    ArgumentError
        If there is no such column.
    """
    if len(result.horizons) < 2:
        raise HorizonError(
            f"the backtest has one horizon, {result.horizons[0]:g} days.",
            consequence="One probability is no curve.",
            hint="horizons=[30, 60, 90]; score_backtest(result) scores a single one.",
        )
    last = len(result.horizons) - 1
    rows: list[dict[str, object]] = []
    for one in scored(result, quantity):
        if not one.known(last):
            continue
        for level, part in segments(result, one, by):
            if len(part.time) >= 2:
                labels = {"model": one.model, "cutoff": one.cutoff, **({by: level} if by else {})}
                rows.append({**labels, **_scores(part)})
    return as_frame(rows)


def _scores(one: Scored) -> dict[str, float]:
    """Of one model's customers at one date."""
    at = np.concatenate([[1e-6], one.horizons])  # every curve begins at one
    start = np.ones((len(one.time), 1))
    mine, base = (
        np.minimum.accumulate(np.concatenate([start, 1.0 - chance], axis=1), axis=1)
        for chance in (one.probability, one.reference)
    )
    given: tuple[Any, ...] = (one.time, one.event, at)
    score, other = (integrated_brier_score(*given, survival=curve).score for curve in (mine, base))
    happened, longest = one.happened(len(one.horizons) - 1), float(one.horizons[-1])
    order = {"harrell": math.nan, "uno": math.nan}
    if happened.sum() > 0:
        for name in ("harrell", "uno"):
            risk = one.probability[:, -1]
            found = concordance_index(one.time, one.event, risk, horizon=longest, weighting=name)
            order[name] = found.estimate
    return {
        "n": len(one.time),
        "n_events": int(happened.sum()),
        "integrated_brier": score,
        "integrated_skill": 1.0 - score / other if other > 0 else math.nan,
        "crps": crps(*given, survival=mine).score,
        "likelihood": likelihood_score(one.time, one.event, one.horizons, survival=mine[:, 1:]).score,
        **order,
    }
