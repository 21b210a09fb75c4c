"""Which model to trust on these data, and by how much: all cutoffs together, with paired differences in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from churnsurv._typing import FloatArray, StrArray
from churnsurv.errors import EmptyDataError
from churnsurv.hazards.scoring.brier import brier_contributions
from churnsurv.hazards.scoring.paired import PairedDifference, paired_mean_difference
from churnsurv.risk.backtest import REFERENCE, Backtest
from churnsurv.risk.coverage import predicted_totals
from churnsurv.risk.scored import Quantity, Scored, as_frame, scored
from churnsurv.risk.scores import score_backtest

if TYPE_CHECKING:
    import pandas as pd

_MEANS = ("brier", "log_score", "ici", "ici_null", "auc", "concordance", "lift", "slope")


_NOTHING = 1e-3
"""Share of the best score below which a difference is none, however sure."""


@dataclass(frozen=True, eq=False)
class Leaderboard:
    """Models in order, best first. Made by :func:`leaderboard`.

    Parameters
    ----------
    table : DataFrame
        One row per model and horizon; see :func:`leaderboard`.
    scores : DataFrame
        One row per model, cutoff and horizon, from :func:`score_backtest`.
    quantity : {"churn", "return"}
        What was predicted.
    ci_prob : float
        Probability inside the bounds of differences.
    """

    table: pd.DataFrame
    scores: pd.DataFrame
    quantity: Quantity
    ci_prob: float

    @property
    def best(self) -> str:
        """Name of the model with the lowest Brier score at the longest horizon."""
        last = self.table[self.table["horizon"] == self.table["horizon"].max()]
        return str(last.iloc[0]["model"])

    def verdicts(self) -> list[str]:
        """Sentences: how each model compares with the best one at the longest horizon."""
        last = self.table[self.table["horizon"] == self.table["horizon"].max()]
        return [_sentence(row, self.best) for row in last.to_dict("records")]

    def __repr__(self) -> str:
        """The longest horizon as text."""
        last = self.table[self.table["horizon"] == self.table["horizon"].max()]
        names = ["model", "brier", "brier_skill", "ici", "auc", "lift", "seconds", "status"]
        shown = last[[name for name in names if name in last]].round(3).to_string(index=False)
        return f"Leaderboard({self.quantity} within {last['horizon'].iloc[0]:g} days)\n{shown}"


def leaderboard(
    result: Backtest,
    *,
    quantity: Quantity = "churn",
    top: float = 0.1,
    n_resamples: int = 1000,
    ci_prob: float = 0.90,
    rng: int = 0,
) -> Leaderboard:
    """Put the models of a backtest in order, and say which differences are more than noise.

    Models are compared on the same customers, those of whom each of them says something, and at the same dates: a date at
    which one of them failed is left out for all, unless it failed at every date. A difference of Brier scores is
    bootstrapped by customer, all rows of a customer together; what is the same for all customers of a cutoff (a season,
    a crisis) counts once per cutoff, and with few cutoffs no bootstrap of customers can know it.

    Parameters
    ----------
    result : Backtest
        Forecasts and outcomes.
    quantity : {"churn", "return"}
        Churn by the definition, or on the gap clock the next activity.
    top : float
        Share of customers whose lift is told.
    n_resamples : int
        Resamples behind each difference.
    ci_prob : float
        Probability inside its bounds.
    rng : int
        Seed.

    Raises
    ------
    EmptyDataError
        If there is no date at which all models that can be fitted were.

    Returns
    -------
    Leaderboard
        ``table`` has ``model, horizon, n_cutoffs, n``; averages over the cutoffs of ``brier, log_score, ici, ici_null, auc,
        concordance, lift, slope``; ``brier_skill`` of the average scores; ``observed_expected`` of all cutoffs together;
        ``covered`` and ``n_intervals`` (predictive intervals of the total, one per cutoff, that held the number; missing without
        uncertainty); ``difference, difference_lower, difference_upper`` in Brier score from the best model and ``verdict``
        ("not distinguishable" also where the whole interval is below a thousandth of the best score); ``seconds`` of a fit with
        its prediction; ``status``. Ordered by horizon and Brier score.
    """
    kept = _shared(result)
    scores = score_backtest(kept, quantity=quantity, top=top, rng=rng)
    parts: dict[str, list[Scored]] = {}
    for one in scored(kept, quantity):
        parts.setdefault(one.model, []).append(one)
    totals = predicted_totals(kept) if quantity == "churn" else None
    rows: list[dict[str, Any]] = []
    for k, horizon in enumerate(result.horizons):
        at = scores[scores["horizon"] == horizon]
        base = float(at.loc[(at["model"] == REFERENCE) & at["brier"].notna(), "brier"].mean())
        found = [_row(result, name, horizon, at[at["model"] == name], totals, base) for name in result.models]
        found.sort(key=lambda row: np.nan_to_num(row["brier"], nan=np.inf))
        best = str(found[0]["model"])
        rows += [row | _difference(parts, row["model"], best, k, n_resamples, ci_prob, rng) for row in found]
    return Leaderboard(as_frame(rows), scores, quantity, ci_prob)


def _shared(result: Backtest) -> Backtest:
    """The dates at which every model has a forecast that has one at all: easy dates must not flatter who failed at hard ones."""
    failed = result.failures()
    able = [name for name in result.models if any((name, cutoff.date) not in failed for cutoff in result.cutoffs)]
    kept = tuple(one for one in result.cutoffs if not any((name, one.date) in failed for name in able))
    if not kept:
        raise EmptyDataError(
            f"at each of {len(result.cutoffs)} cutoffs some model failed: {', '.join(sorted({name for name, _ in failed}))}.",
            consequence="Models scored at different dates cannot be put in an order.",
            hint="look at result.failures(), and leave out who failed; score_backtest(result) tells each date by itself.",
        )
    return replace(result, cutoffs=kept)


def _row(
    result: Backtest, name: str, horizon: float, at: pd.DataFrame, totals: pd.DataFrame | None, base: float
) -> dict[str, Any]:
    """Averages of one model at one horizon; its skill is that of the averages, so that it has the order of the scores."""
    told = at[at["brier"].notna()]
    forecasts = [result.forecasts[name, cutoff.date] for cutoff in result.cutoffs]
    seconds = [sum(one.seconds) for one in forecasts if not one.failure]
    statuses = [str(one.info.get("status", "")) for one in forecasts]
    brier = float(told["brier"].mean()) if len(told) else np.nan
    expected = float(told["expected"].sum())
    return {
        "model": name,
        "horizon": horizon,
        "n_cutoffs": len(told),
        "n": int(told["n"].sum()),
        "brier": brier,
        "brier_skill": 1.0 - brier / base if base > 0 else np.nan,
        **{column: float(told[column].mean()) if len(told) else np.nan for column in _MEANS[1:]},
        "observed_expected": float(told["n_events"].sum()) / expected if expected else np.nan,
        **_covered(totals, name, horizon),
        "seconds": float(np.nanmean(seconds)) if seconds and not np.isnan(seconds).all() else np.nan,
        "status": _status(statuses),
    }


def _covered(totals: pd.DataFrame | None, name: str, horizon: float) -> dict[str, object]:
    if totals is None or not len(totals):
        return {"covered": None, "n_intervals": 0}
    some = totals[(totals["model"] == name) & (totals["horizon"] == horizon) & (totals["column"] == "")]
    held = [one for one in some["held"] if one is not None]
    return {"covered": sum(held) if held else None, "n_intervals": len(held)}


def _status(statuses: Sequence[str]) -> str:
    """The worst, and how often."""
    for bad in ("failed", "interrupted", "unreliable"):
        if bad in statuses:
            n = statuses.count(bad)
            return bad if n == len(statuses) else f"{bad} at {n} of {len(statuses)}"
    return "ok"


def _contributions(parts: Sequence[Scored], k: int) -> tuple[FloatArray, StrArray]:
    """Contribution of each customer to the Brier score, at all cutoffs whose outcome is known."""
    values, customers = [], []
    for part in parts:
        some = part.take(part.asked[:, k])
        if len(some.time) and some.known(k):
            survival = 1.0 - some.probability[:, [k]]
            values.append(brier_contributions(some.time, some.event, [some.horizons[k]], survival=survival)[:, 0])
            customers.append(some.customer_id)
    if not values:
        return np.zeros(0), np.zeros(0, dtype=object)
    return np.concatenate(values), np.concatenate(customers)


def _difference(
    parts: dict[str, list[Scored]], name: str, best: str, k: int, n_resamples: int, ci_prob: float, rng: int
) -> dict[str, object]:
    """Paired difference from the best model, on the cutoffs at which neither failed."""
    nothing = {"difference": np.nan, "difference_lower": np.nan, "difference_upper": np.nan, "verdict": ""}
    if name == best or name not in parts or best not in parts:
        return nothing | {"verdict": "best" if name == best else "failed"}
    shared = {one.cutoff for one in parts[name]} & {one.cutoff for one in parts[best]}
    mine, customer = _contributions([one for one in parts[name] if one.cutoff in shared], k)
    other, _ = _contributions([one for one in parts[best] if one.cutoff in shared], k)
    if len(set(customer)) < 2:
        return nothing
    found = paired_mean_difference(mine, other, customer=customer, n_resamples=n_resamples, ci_prob=ci_prob, rng=rng)
    return {
        "difference": found.estimate,
        "difference_lower": found.lower,
        "difference_upper": found.upper,
        "verdict": _verdict(found, float(np.mean(other))),
    }


def _verdict(found: PairedDifference, best: float) -> str:
    """In words; a difference that is sure, and smaller than a thousandth of the best score, is none that matters."""
    if max(abs(found.lower), abs(found.upper)) < _NOTHING * best:
        return "not distinguishable"
    return {"first higher": "worse", "first lower": "better"}.get(found.verdict, "not distinguishable")


def _digits(*values: Any) -> int:
    """Digits behind the point that show the smallest of some differences; four are enough for most."""
    smallest = min((abs(float(one)) for one in values if one), default=1.0)
    return max(4, 1 - int(np.floor(np.log10(smallest)))) if smallest > 0 else 4


def _sentence(row: dict[str, object], best: str) -> str:
    """How one model compares with the best."""
    name, verdict = row["model"], row["verdict"]
    if verdict == "best":
        return f"{name} has the lowest Brier score, {row['brier']:.4f}."
    if verdict == "failed":
        return f"{name} could not be fitted: {row['status']}."
    digits = _digits(row["difference"], row["difference_lower"], row["difference_upper"])
    names = ("difference", "difference_lower", "difference_upper")
    first, low, high = (f"{row[name]:+.{digits}f}" for name in names)
    bounds = f"{first} ({low} to {high})"
    if verdict == "not distinguishable":
        return f"{name} is not distinguishable from {best}: {bounds}."
    known = " It knows nothing but the time reached." if name == REFERENCE else ""
    return f"{name} is {verdict} than {best} by {bounds}.{known}"
