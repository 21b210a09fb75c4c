"""A backtest read as a list of flagged customers: precision, recall and the rest at a cutoff of the risk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from churnsurv._validate import check_choice
from churnsurv.hazards.scoring.classification import classification_scores
from churnsurv.hazards.scoring.threshold_curves import precision_recall_curve, roc_curve
from churnsurv.risk.backtest import Backtest
from churnsurv.risk.scored import Among, Quantity, as_frame, scored, segments

if TYPE_CHECKING:
    import pandas as pd

_SCORES = ("precision", "recall", "specificity", "accuracy", "f1")


def classify_backtest(
    result: Backtest,
    *,
    threshold: float | None = None,
    top: float | None = None,
    models: Sequence[str] | None = None,
    quantity: Quantity = "churn",
    by: str | None = None,
    among: Among = "undecided",
    ci_prob: float = 0.90,
) -> pd.DataFrame:
    """Say of every model how many of those it would have flagged left, and how many of those who left it would have flagged.

    A list of flagged customers throws probabilities away: use it for a campaign that reaches so many customers, and
    :func:`~churnsurv.risk.scores.score_backtest` to choose a model.

    Parameters
    ----------
    result : Backtest
        Forecasts and outcomes.
    threshold : float, optional
        Flag whoever has at least this probability.
    top : float, optional
        Flag this share of the customers at highest risk instead; one of the two.
    models : sequence of str, optional
        Names; all by default.
    quantity, by, among
        As in :func:`~churnsurv.risk.scores.score_backtest`.
    ci_prob : float
        Probability of the bounds.

    Returns
    -------
    DataFrame
        One row per model, cutoff, horizon and level: ``n, n_events, n_flagged``, ``precision, recall, specificity, accuracy,
        f1`` (each but ``f1`` with Wilson bounds ``…_lower, …_upper``), ``auc`` of the ROC curve and ``average_precision``. NaN
        where nobody was flagged or left. Horizons that the log does not reach are left out.

    Raises
    ------
    ArgumentError
        If both or neither of ``threshold`` and ``top`` are given, or one of them is no share.
    """
    check_choice(among, "among", ("undecided", "everyone"))
    rows: list[dict[str, object]] = []
    for one in scored(result, quantity, models):
        for level, part in segments(result, one, by):
            for k, horizon in enumerate(result.horizons):
                some = part.take(part.asked[:, k]) if among == "undecided" else part
                if not len(some.time) or not some.known(k):
                    continue
                labels = {"model": one.model, "cutoff": one.cutoff, "horizon": horizon, **({by: level} if by else {})}
                happened, chance = some.happened(k), some.probability[:, k]
                found = classification_scores(happened, chance, cutoff=threshold, top=top, ci_prob=ci_prob)
                row: dict[str, object] = {
                    "n": len(happened),
                    "n_events": int(happened.sum()),
                    "n_flagged": found.n_flagged,
                }
                for name in _SCORES:
                    value = getattr(found, name)
                    row |= {name: value} if name == "f1" else {
                        name: value.estimate, f"{name}_lower": value.lower, f"{name}_upper": value.upper
                    }  # fmt: skip
                both = 0 < happened.sum() < len(happened)
                row["auc"] = roc_curve(happened, chance).auc if both else np.nan
                row["average_precision"] = (
                    precision_recall_curve(happened, chance).average_precision if happened.any() else np.nan
                )
                rows.append({**labels, **row})
    return as_frame(rows)
