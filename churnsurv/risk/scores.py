"""Scores of a backtest: how right, how well calibrated, how well ordered, by model, cutoff, horizon and segment."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from churnsurv._typing import BoolArray, FloatArray, IntArray
from churnsurv._validate import check_choice
from churnsurv.hazards.scoring.brier import brier_score
from churnsurv.hazards.scoring.calibration import calibration_slope_intercept
from churnsurv.hazards.scoring.calibration_error import calibration_error
from churnsurv.hazards.scoring.concordance import concordance_index
from churnsurv.hazards.scoring.discrimination import time_dependent_auc
from churnsurv.hazards.scoring.horizon_outcomes import horizon_outcomes
from churnsurv.hazards.scoring.lift import lift_at
from churnsurv.hazards.scoring.log_score import log_score
from churnsurv.hazards.scoring.observed_expected import observed_expected
from churnsurv.risk.backtest import Backtest
from churnsurv.risk.scored import Among, Quantity, Scored, as_frame, scored, segments
from churnsurv.tables.churn import Silence

if TYPE_CHECKING:
    import pandas as pd

_FEW = 10
"""Customers with the event, and without it, below which no slope or calibration error is told: noise would be all."""


def score_backtest(
    result: Backtest,
    *,
    quantity: Quantity = "churn",
    by: str | None = None,
    among: Among = "undecided",
    top: float = 0.1,
    n_draws: int = 200,
    rng: int = 0,
) -> pd.DataFrame:
    """Score every model at every cutoff and horizon, on the customers of whom all models say something.

    Parameters
    ----------
    result : Backtest
        Forecasts and outcomes.
    quantity : {"churn", "return"}
        Churn by the definition, or on the gap clock the next activity.
    by : str, optional
        Column by whose level to tell scores apart; ``"reached"`` for bands of silence or tenure.
    among : {"undecided", "everyone"}
        Whom to score. Who was active too recently to be silent for long enough by the horizon is certain not to churn:
        every model knows it, and counting them flatters all.
    top : float
        Share of customers whose lift is told.
    n_draws : int
        Simulated curves behind each calibration error.
    rng : int
        Seed of those.

    Returns
    -------
    DataFrame
        One row per model, cutoff, horizon and level: ``n`` customers, ``n_events``, ``n_refused``; ``brier``,
        ``brier_se``, ``brier_skill`` (against Kaplan and Meier's curve of the time reached), ``log_score``; ``auc``,
        ``auc_se``, ``concordance`` (up to the horizon; not of silence, whose day follows from the last activity), ``lift``,
        ``gain``; ``expected``, ``observed_expected`` with its 90 %
        bounds, ``in_the_large`` and ``slope`` (both on the complementary log-log scale, 0 and 1 if right) with bounds,
        ``ici``, ``e50``, ``e90`` (mean, median and ninth decile of the distance between predicted and observed) with bounds,
        ``ici_null`` (what an exactly right model would have on average here), ``ici_p``;
        ``sharpness`` (standard deviation of the predictions). NaN where there is too little to tell.
    """
    check_choice(among, "among", ("undecided", "everyone"))
    timed = quantity == "return" or not isinstance(result.churn, Silence)
    rows: list[dict[str, object]] = []
    for one in scored(result, quantity):
        for level, part in segments(result, one, by):
            for k, horizon in enumerate(result.horizons):
                some = part.asked[:, k] if among == "undecided" else np.ones(len(part.time), bool)
                labels = {"model": one.model, "cutoff": one.cutoff, "horizon": horizon, **({by: level} if by else {})}
                rows.append({**labels, **_scores(part, some, k, top, timed, n_draws, rng)})
    return as_frame(rows)


def _scores(one: Scored, some: BoolArray, k: int, top: float, timed: bool, n_draws: int, rng: int) -> dict[str, object]:
    """All scores at one horizon."""
    time, event, horizon = one.time[some], one.event[some], float(one.horizons[k])
    risk, reference = one.probability[some, k], one.reference[some, k]
    n = len(time)
    found: dict[str, object] = {
        "n": n,
        "n_events": int(np.sum((event > 0) & (time <= horizon))),
        "n_refused": one.n_refused,
    }
    if not n or np.any((event == 0) & (time < horizon)):  # the log ends first, for all whose outcome is still open
        return found | dict.fromkeys(_NAMES, math.nan)
    at: dict[str, Any] = {"time": time, "event": event, "times": [horizon]}
    brier = brier_score(**at, survival=1.0 - risk[:, None])
    base = float(brier_score(**at, survival=1.0 - reference[:, None]).score[0])
    score = float(brier.score[0])
    found |= {
        "brier": score,
        "brier_se": float(brier.standard_error[0]),
        "brier_skill": 1.0 - score / base if base > 0 else math.nan,
        "log_score": float(log_score(**at, survival=1.0 - risk[:, None]).score[0]),
        "sharpness": float(np.std(risk)),
    }
    return found | _order(one, some, k, top, timed) | _calibration(risk, time, event, horizon, n_draws, rng)


_NAMES = (
    "brier", "brier_se", "brier_skill", "log_score", "sharpness", "auc", "auc_se", "concordance", "lift", "gain", "expected",
    "observed_expected", "observed_expected_lower", "observed_expected_upper", "in_the_large", "in_the_large_lower",
    "in_the_large_upper", "slope", "slope_lower", "slope_upper", "ici", "ici_lower", "ici_upper", "ici_null", "ici_p",
    "e50", "e50_lower", "e50_upper", "e90", "e90_lower", "e90_upper",
)  # fmt: skip


_DISTANCES = (
    "ici", "ici_lower", "ici_upper", "e50", "e50_lower", "e50_upper", "e90", "e90_lower", "e90_upper",
)  # fmt: skip


def _order(one: Scored, some: BoolArray, k: int, top: float, timed: bool) -> dict[str, object]:
    """How well customers are ordered by their risk."""
    time, event, horizon, risk = one.time[some], one.event[some], float(one.horizons[k]), one.probability[some, k]
    happened = (event > 0) & (time <= horizon)
    found: dict[str, object] = dict.fromkeys(("auc", "auc_se", "concordance", "lift", "gain"), math.nan)
    if not 0 < happened.sum() < len(happened):
        return found
    auc = time_dependent_auc(time, event, risk, [horizon])
    found |= {"auc": float(auc.auc[0]), "auc_se": float(auc.standard_error[0])}
    if timed:
        found["concordance"] = concordance_index(time, event, risk, horizon=horizon).estimate
    lift = lift_at(happened, risk, top)
    return found | {"lift": lift.lift, "gain": lift.gain}


def _calibration(
    risk: FloatArray, time: FloatArray, event: IntArray, horizon: float, n_draws: int, rng: int
) -> dict[str, object]:
    """Whether probabilities are as high as what happened."""
    outcomes = horizon_outcomes(time, event, horizon)
    ratio = observed_expected(risk, outcomes)
    found: dict[str, object] = dict.fromkeys(
        ("in_the_large", "in_the_large_lower", "in_the_large_upper", "slope", "slope_lower", "slope_upper",
         *_DISTANCES, "ici_null", "ici_p"), math.nan,
    )  # fmt: skip
    found |= {
        "expected": ratio.expected,
        "observed_expected": ratio.ratio,
        "observed_expected_lower": ratio.lower,
        "observed_expected_upper": ratio.upper,
    }
    happened = float(np.sum((event > 0) & (time <= horizon)))
    if min(happened, len(time) - happened) < _FEW:
        return found
    if np.ptp(risk) > 0:
        line = calibration_slope_intercept(risk, outcomes)
        found |= {
            "in_the_large": line.in_the_large,
            "in_the_large_lower": line.in_the_large_lower,
            "in_the_large_upper": line.in_the_large_upper,
            "slope": line.slope,
            "slope_lower": line.slope_lower,
            "slope_upper": line.slope_upper,
        }
    error = calibration_error(risk, outcomes, n_draws=n_draws, rng=rng)
    return (
        found
        | {name: getattr(error, name) for name in _DISTANCES}
        | {
            "ici_null": error.null_mean,
            "ici_p": error.p_value,
        }
    )
