"""Forecasts laid beside what happened: whom to score, with which probability, against which time and event."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from churnsurv._typing import BoolArray, FloatArray, IntArray, StrArray
from churnsurv._validate import check_choice
from churnsurv.errors import ArgumentError
from churnsurv.risk.backtest import REFERENCE, Backtest, Cutoff
from churnsurv.risk.forecasts import Forecast

if TYPE_CHECKING:
    import pandas as pd

Quantity = Literal["churn", "return"]
Among = Literal["undecided", "everyone"]

_MOMENT = 1e-9
"""Days after the cutoff at which an event on the cutoff itself counts: a log of dates has many, and all of them were to come."""
_BANDS = (0.25, 0.5, 0.75)
"""Quantiles of the days reached at which bands of tenure, or of silence, are cut."""


@dataclass(frozen=True, eq=False)
class Scored:
    """One model at one cutoff: n customers of whom it and all the others say something.

    Parameters
    ----------
    model, cutoff : str
        Name and date.
    horizons : array of shape (k,)
        Days ahead.
    place : array of int, shape (n,)
        Position of each customer in the cutoff's outcomes.
    customer_id : array of shape (n,)
        Ids.
    time : array of shape (n,)
        Days from the cutoff to the event, or to the last day that the log tells.
    event : array of int, shape (n,)
        1 where the event happened then.
    probability, reference : arrays of shape (n, k)
        Probability of the event within each horizon, by the model and by Kaplan and Meier's curve.
    lower, upper : arrays of shape (n, k)
        Bounds; NaN for a model without uncertainty.
    asked : array of bool, shape (n, k)
        Whether there is anything to predict: where the answer is certain, every model knows it.
    n_refused : int
        Customers at risk who are not scored, because some model says nothing of them.
    """

    model: str
    cutoff: str
    horizons: FloatArray
    place: IntArray
    customer_id: StrArray
    time: FloatArray
    event: IntArray
    probability: FloatArray
    reference: FloatArray
    lower: FloatArray
    upper: FloatArray
    asked: BoolArray
    n_refused: int

    def take(self, some: BoolArray) -> Scored:
        """Keep some customers."""
        names = ("place", "customer_id", "time", "event", "probability", "reference", "lower", "upper", "asked")
        kept = {name: getattr(self, name)[some] for name in names}
        return Scored(model=self.model, cutoff=self.cutoff, horizons=self.horizons, n_refused=self.n_refused, **kept)

    def known(self, k: int) -> bool:
        """Whether everybody's outcome at a horizon is known."""
        unknown = (self.event == 0) & (self.time < self.horizons[k])
        return not bool(unknown.any())

    def happened(self, k: int) -> BoolArray:
        """Whether the event happened within a horizon, shape (n,)."""
        return np.asarray((self.event > 0) & (self.time <= self.horizons[k]))


def scored(result: Backtest, quantity: Quantity = "churn", models: Sequence[str] | None = None) -> Iterator[Scored]:
    """Lay each model's forecasts beside the outcomes, cutoff after cutoff, for the customers that all models tell.

    Parameters
    ----------
    result : Backtest
        Forecasts and outcomes.
    quantity : {"churn", "return"}
        Churn by the definition, or on the gap clock the next activity.
    models : sequence of str, optional
        Names; all by default, the reference last.

    Yields
    ------
    Scored
        Models that failed at a cutoff are left out there.
    """
    check_choice(quantity, "quantity", ("churn", "return"))
    names = _chosen(result, models)
    for cutoff in result.cutoffs:
        there = {name: result.forecasts[name, cutoff.date] for name in {*names, REFERENCE}}
        whole = {name: one for name, one in there.items() if not one.failure}
        if REFERENCE not in whole:
            continue
        time, event = _times(cutoff, quantity)
        alive = ~cutoff.outcomes.churned_before
        told = np.all([~np.isnan(_chance(one, quantity)[0]).any(axis=1) for one in whole.values()], axis=0)
        place = np.flatnonzero(alive & told)
        asked = _asked(cutoff, np.asarray(result.horizons), quantity)
        for name in (one for one in names if one in whole):
            mean, lower, upper = (values[place] for values in _chance(whole[name], quantity))
            yield Scored(
                name, cutoff.date, np.asarray(result.horizons), place, cutoff.outcomes.customer_id[place],
                time[place], event[place], mean, _chance(whole[REFERENCE], quantity)[0][place], lower, upper,
                asked[place], int(np.sum(alive & ~told)),
            )  # fmt: skip


def _chosen(result: Backtest, models: Sequence[str] | None) -> list[str]:
    names = list(result.models if models is None else models)
    unknown = [name for name in names if name not in result.models]
    if unknown or isinstance(models, str):
        raise ArgumentError(
            f"{unknown[0]!r} is no model of this backtest.", hint=f"models are: {', '.join(result.models)}."
        )
    return names


def _chance(forecast: Forecast, quantity: Quantity) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Probability of the event and its bounds."""
    if quantity == "churn":
        return forecast.churn.mean, forecast.churn.lower, forecast.churn.upper
    stays = forecast.no_return
    return 1.0 - stays.mean, 1.0 - stays.upper, 1.0 - stays.lower


def _times(cutoff: Cutoff, quantity: Quantity) -> tuple[FloatArray, IntArray]:
    """Time and event; who will never have it is followed beyond every horizon."""
    outcomes = cutoff.outcomes
    if quantity == "return":
        if outcomes.silence_us is None:
            raise ArgumentError(
                "there is no return under contract: the event is the cancellation.", hint='quantity="churn".'
            )
        return np.maximum(outcomes.ahead, _MOMENT), (outcomes.event == 1).astype(np.int64)
    time, cause = outcomes.times()
    time = np.where(np.isinf(time), cutoff.followed + 1e6, np.maximum(time, _MOMENT))
    return time, (cause > 0).astype(np.int64)


def _asked(cutoff: Cutoff, horizons: FloatArray, quantity: Quantity) -> BoolArray:
    """Where the answer is open: a silence that cannot be complete by then is certain not to be."""
    outcomes = cutoff.outcomes
    open_ = np.ones((len(outcomes), len(horizons)), bool)
    if quantity == "return" or outcomes.silence_us is None or outcomes.n_causes > 1:
        return open_
    days = np.round(horizons * 86_400_000_000).astype(np.int64)
    return np.asarray(outcomes.reached_us[:, None] + days >= outcomes.silence_us)


def segments(result: Backtest, one: Scored, by: str | None) -> Iterator[tuple[str, Scored]]:
    """Part customers by their level at the cutoff, or by how long the clock had run.

    Parameters
    ----------
    result : Backtest
        With segments.
    one : Scored
        Customers.
    by : str or None
        Column; ``"reached"`` for bands of the days reached, with equally many customers; ``None`` for everyone.

    Yields
    ------
    str, Scored
        Level and its customers.

    Raises
    ------
    ArgumentError
        If there is no such column.
    """
    if by is None:
        yield "all", one
        return
    (cutoff,) = (place for place in result.cutoffs if place.date == one.cutoff)
    if by == "reached":
        yield from _bands(cutoff.outcomes.reached[one.place], one)
        return
    if by not in cutoff.segments:
        raise ArgumentError(
            f"there is no column {by!r} to tell customers apart.",
            hint=f"columns are: {', '.join(('reached', *cutoff.segments))}; backtest(…, by=[Value(…)]) adds some.",
        )
    level = cutoff.segments[by][one.place]
    for name in sorted(set(level)):
        yield str(name), one.take(level == name)


def _bands(reached: FloatArray, one: Scored) -> Iterator[tuple[str, Scored]]:
    edges = np.unique(np.round(np.quantile(reached, _BANDS))) if len(reached) else np.zeros(0)
    band = np.searchsorted(edges, reached, side="left")
    for k in range(len(edges) + 1):
        low = f"{edges[k - 1]:g}" if k else "0"
        name = f"over {low} days" if k == len(edges) else f"{low} to {edges[k]:g} days"
        yield name, one.take(band == k)


def as_frame(rows: list[dict[str, object]]) -> pd.DataFrame:
    """Rows as a frame, whole numbers where they are."""
    import pandas as pd

    return pd.DataFrame(rows)
