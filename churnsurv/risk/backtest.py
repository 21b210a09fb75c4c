"""Walking forward in calendar time: what every model would have said at each cutoff, against what followed."""

from __future__ import annotations

import datetime as dt
import itertools
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from churnsurv._typing import StrArray
from churnsurv.errors import ArgumentError, ChurnsurvError, ChurnsurvWarning, WindowError
from churnsurv.models.base import Progress
from churnsurv.models.kaplan_meier import KaplanMeierModel
from churnsurv.models.progress import reporter
from churnsurv.risk.forecasts import Forecast, key_of, read_forecast, write_forecast
from churnsurv.risk.outcomes import CutoffOutcomes
from churnsurv.risk.predict import churn_risk, read_horizons
from churnsurv.risk.recipes import Recipe
from churnsurv.tables.bins import Bins
from churnsurv.tables.churn import ChurnDefinition
from churnsurv.tables.events import EventLog
from churnsurv.tables.features import Feature
from churnsurv.tables.open_spells import OpenSpells
from churnsurv.tables.periods import PeriodTable
from churnsurv.tables.spells import SpellTable
from churnsurv.tables.window import DAY_US, ObservationWindow, moment_of, read_zone, resolve_moment

if TYPE_CHECKING:
    import pandas as pd

    from churnsurv.models.base import SurvivalModel

REFERENCE = "Kaplan–Meier"
"""Forecast that every skill is told against: it knows nothing of customers but the time that they have reached."""


@dataclass(frozen=True, eq=False)
class Cutoff:
    """A moment at which everybody was scored, and what followed.

    Parameters
    ----------
    date : str
        Moment of the prediction, in the log's zone.
    followed : float
        Days that the log goes on.
    outcomes : CutoffOutcomes
        What became of the customers.
    segments : mapping of str to array of shape (n,)
        Level of each customer at the cutoff, by column.
    """

    date: str
    followed: float
    outcomes: CutoffOutcomes
    segments: Mapping[str, StrArray]


@dataclass(frozen=True, eq=False)
class Backtest:
    """Forecasts of models at cutoffs, and what followed. Made by :func:`backtest`.

    Parameters
    ----------
    churn : ChurnDefinition
        Definition.
    horizons : tuple of float
        Days ahead.
    cutoffs : tuple of Cutoff
        In order of time.
    forecasts : mapping of (str, str) to Forecast
        By model and date.
    models : tuple of str
        Names, in the order in which they were given; :data:`REFERENCE` is the last.
    ci_prob : float
        Probability inside bounds.
    """

    churn: ChurnDefinition
    horizons: tuple[float, ...]
    cutoffs: tuple[Cutoff, ...]
    forecasts: Mapping[tuple[str, str], Forecast]
    models: tuple[str, ...]
    ci_prob: float

    def frame(self) -> pd.DataFrame:
        """One row per model, cutoff, customer and horizon, for customers who had not churned before.

        Returns
        -------
        DataFrame
            ``model, cutoff, horizon, customer_id, reached, churn_probability, lower, upper, status, churned`` (1, 0 or
            ``<NA>`` where the log ends first), on the gap clock ``no_return_probability`` and ``no_return``; then the
            segments.
        """
        import pandas as pd

        parts = [self._part(name, cutoff) for cutoff in self.cutoffs for name in self.models]
        return pd.concat(parts, ignore_index=True)

    def _part(self, name: str, cutoff: Cutoff) -> pd.DataFrame:
        import pandas as pd

        forecast, outcomes = self.forecasts[name, cutoff.date], cutoff.outcomes
        kept, k = np.flatnonzero(~outcomes.churned_before), len(self.horizons)
        horizons = np.asarray(self.horizons)

        def known(values: np.ndarray) -> Any:
            flat = values[kept].ravel()
            return pd.Series(flat > 0).astype("Int8").mask(flat < 0).array

        data: dict[str, Any] = {
            "model": name,
            "cutoff": cutoff.date,
            "horizon": np.tile(horizons, len(kept)),
            "customer_id": np.repeat(outcomes.customer_id[kept], k),
            "reached": np.repeat(outcomes.reached[kept], k),
            "churn_probability": forecast.churn.mean[kept].ravel(),
            "lower": forecast.churn.lower[kept].ravel(),
            "upper": forecast.churn.upper[kept].ravel(),
            "status": forecast.status[kept].ravel(),
            "churned": known(outcomes.churn(horizons)),
        }
        if outcomes.silence_us is not None:
            data |= {
                "no_return_probability": forecast.no_return.mean[kept].ravel(),
                "no_return": known(outcomes.no_return(horizons)),
            }
        data |= {column: np.repeat(level[kept], k) for column, level in cutoff.segments.items()}
        return pd.DataFrame(data)

    def failures(self) -> dict[tuple[str, str], str]:
        """Why there is no forecast, by model and date."""
        return {key: forecast.failure for key, forecast in self.forecasts.items() if forecast.failure}

    def __repr__(self) -> str:
        """Few lines: what was compared, on whom, and what failed."""
        n = [int(np.sum(~cutoff.outcomes.churned_before)) for cutoff in self.cutoffs]
        lines = [
            f"Backtest({len(self.models)} models at {len(self.cutoffs)} cutoffs, "
            f"{self.cutoffs[0].date} to {self.cutoffs[-1].date}; horizons {', '.join(f'{h:g}' for h in self.horizons)} days)",
            f"  customers at risk: {', '.join(f'{one:,}' for one in n)}",
            *(f"  failed: {name} at {date}: {why}" for (name, date), why in self.failures().items()),
        ]
        return "\n".join(lines)


def backtest(
    log: EventLog,
    window: ObservationWindow,
    churn: ChurnDefinition,
    models: Mapping[str, SurvivalModel | Recipe] | Sequence[SurvivalModel | Recipe],
    cutoffs: int | Sequence[str | dt.date | dt.datetime] = 4,
    horizons: Sequence[float] | float = (30, 60, 90),
    *,
    features: Sequence[Feature] = (),
    bins: Bins | None = None,
    breaks: Sequence[float] | None = None,
    by: Sequence[Feature] = (),
    ci_prob: float = 0.90,
    n_draws: int = 500,
    rng: int = 0,
    cache: str | Path | None = None,
    progress: Progress = False,
) -> Backtest:
    """Score everybody at risk at each cutoff with each model, fitted on nothing but what was known there.

    At each cutoff the log is truncated: definition, features, bins and models are made anew of what lies before it.
    Everybody at risk is scored, and the days that follow are the truth. No customer is shuffled across time. A forecast
    of Kaplan and Meier's curve is added for comparison.

    Cost: one fit and one scoring per model and cutoff; memory: about 10 numbers per model, cutoff, customer and horizon.

    Parameters
    ----------
    log, window, churn
        As for :meth:`SpellTable.from_events`: the whole log.
    models : mapping of str to (SurvivalModel or Recipe), or sequence
        What to compare, by name; without names by class. A model learns from the features, bins and breaks given here; a
        :class:`Recipe` brings its own.
    cutoffs : int, or sequence of str, date or datetime
        Moments of prediction; a number asks for so many, the longest horizon apart, the last one of them followed in full.
    horizons : sequence of float
        Days ahead. Where the log ends before a horizon, its outcomes are unknown there, and not scored.
    features, bins, breaks
        As for :class:`PeriodTable` and :class:`CellTable`.
    by : sequence of Feature
        Texts by whose level at the cutoff scores are to be told apart: ``[Value("order", "country")]``.
    ci_prob : float
        Probability inside bounds.
    n_draws : int
        Posterior draws used for predictions.
    rng : int
        Seed.
    cache : path, optional
        Folder in which forecasts are kept: what was computed there before, of the same log, model and settings, is read
        instead. A run that was stopped goes on where it was.
    progress : bool or callable
        Show a bar, or a function of the share done and a sentence.

    Returns
    -------
    Backtest
        Forecasts and outcomes. A model that cannot be fitted at a cutoff is told as failed there, with its reason.

    Raises
    ------
    ArgumentError, HorizonError, WindowError
        If there is nothing to compare, or a cutoff lies outside the window or too late for every horizon.
    """
    full = SpellTable.from_events(log, window, churn)
    days = read_horizons(full, horizons)
    recipes = read_recipes(models, features, bins, breaks)
    moments = read_moments(full, cutoffs, days)
    folder = None if cache is None else Path(cache)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    settings = (repr(churn), days, ci_prob, n_draws, rng)
    forecasts: dict[tuple[str, str], Forecast] = {}
    places = []
    with reporter(progress) as report:
        for k, moment in enumerate(moments):
            then = SpellTable.from_events(log.before(moment_of(moment)), window.ending(moment_of(moment)), churn)
            place = _cutoff(full, then, moment, by)
            places.append(place)
            known = f"{then.observed()[0].fingerprint} from {then.start_us}" if folder else ""
            for m, (name, recipe) in enumerate(recipes.items()):
                done = (k * len(recipes) + m) / (len(moments) * len(recipes))
                report(done, f"{name} as of {place.date}")
                file = folder / f"{key_of((known, moment, recipe.description, *settings))}.forecast" if folder else None
                forecast = None if file is None else read_forecast(file, place.outcomes.customer_id)
                if forecast is None:
                    forecast = _forecast(name, recipe, then, place, days, ci_prob, n_draws, rng)
                    if file is not None and not forecast.failure:
                        write_forecast(file, forecast)
                forecasts[name, place.date] = replace(forecast, model=name)
    return Backtest(churn, days, tuple(places), forecasts, tuple(recipes), ci_prob)


def read_recipes(
    models: Mapping[str, Any] | Sequence[Any],
    features: Sequence[Feature],
    bins: Bins | None,
    breaks: Sequence[float] | None,
) -> dict[str, Recipe]:
    """What to compare, by name, the reference last.

    Raises
    ------
    ArgumentError
        If there is nothing.
    """
    named = dict(models) if isinstance(models, Mapping) else _named(list(models))
    if not named:
        raise ArgumentError("there are no models to compare.", hint='models={"Cox": CoxModel("plan")}.')
    edges = None if breaks is None else tuple(breaks)
    recipes = {
        name: one if isinstance(one, Recipe) else Recipe(one, tuple(features), bins, edges)
        for name, one in named.items()
    }
    return recipes | {REFERENCE: Recipe(KaplanMeierModel())}


def _named(models: list[Any]) -> dict[str, Any]:
    """Names of models by their class, or that of their estimator, numbered where there are several."""
    found: dict[str, Any] = {}
    for one in models:
        model = one.model if isinstance(one, Recipe) else one
        name = type(getattr(model, "estimator", model)).__name__.removesuffix("Model")
        again = sum(known.split(" ")[0] == name for known in found)
        found[f"{name} {again + 1}" if again else name] = one
    return found


def read_moments(full: SpellTable, cutoffs: int | Sequence[Any], days: tuple[float, ...]) -> list[int]:
    """Moments of prediction in microseconds UTC, in order.

    Raises
    ------
    ArgumentError
        If there is none, or one twice.
    WindowError
        If one lies outside the window, or too late for the shortest horizon.
    """
    if isinstance(cutoffs, int):
        if cutoffs < 1:
            raise ArgumentError(f"cutoffs={cutoffs} is no number of cutoffs.", hint="cutoffs=4.")
        step = round(days[-1] * DAY_US)
        moments = [full.end_us - k * step for k in range(cutoffs, 0, -1)]
    else:
        given = [cutoffs] if isinstance(cutoffs, (str, dt.date)) else list(cutoffs)
        moments = sorted(resolve_moment(one, full.timezone, "cutoff") for one in given)
    twice = [one for one, following in itertools.pairwise(moments) if one == following]
    if twice:
        raise ArgumentError(
            f"{len(twice)} of {len(moments)} cutoffs are named twice: "
            f"{moment_of(twice[0]).astimezone(read_zone(full.timezone)):%Y-%m-%d}.",
            column="cutoffs",
            hint="name each date once.",
        )
    early = [one for one in moments if one <= full.start_us]
    late = [one for one in moments if one + round(days[0] * DAY_US) > full.end_us]
    if early or late or not moments:
        which = moment_of((early or late or [full.end_us])[0]).astimezone(read_zone(full.timezone))
        raise WindowError(
            f"{len(early) + len(late)} of {len(moments)} cutoffs lie outside the window, or less than {days[0]:g} days"
            f" before its end: {which:%Y-%m-%d}.",
            consequence="There would be nothing to learn from, or no outcome to hold a forecast against.",
            hint="use fewer or other cutoffs, shorter horizons or a longer log.",
        )
    return moments


def _cutoff(full: SpellTable, then: SpellTable, moment: int, by: Sequence[Feature]) -> Cutoff:
    outcomes = CutoffOutcomes.between(then, full)
    local = moment_of(moment).astimezone(read_zone(full.timezone))
    date = f"{local:%Y-%m-%d}" if local.time() == dt.time() else f"{local:%Y-%m-%dT%H:%M}"
    return Cutoff(date, (full.end_us - moment) / DAY_US, outcomes, _segments(then, by))


def _segments(then: SpellTable, by: Sequence[Feature]) -> dict[str, StrArray]:
    """Level of each customer at the cutoff."""
    if not by:
        return {}
    from churnsurv.tables.cells import CellTable

    schema = CellTable.from_periods(PeriodTable.from_spells(then, features=by)).schema
    batches = list(OpenSpells.batches(then, schema))
    return {
        column.name: np.concatenate([batch.levels[k] for batch in batches]) for k, column in enumerate(schema.columns)
    }


def _forecast(
    name: str,
    recipe: Recipe,
    then: SpellTable,
    place: Cutoff,
    days: tuple[float, ...],
    ci_prob: float,
    n_draws: int,
    rng: int,
) -> Forecast:
    """Fit and score; what cannot be done is told and does not stop the others."""
    began = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ChurnsurvWarning)  # status and messages of each fit are kept beside it
            fit = recipe.fit(then, horizon=days[-1], rng=rng)
            fitted = time.perf_counter()
            risk = churn_risk(fit, then, days, ci_prob=ci_prob, n_draws=n_draws, rng=rng, allow_unreliable=True)
    except (ChurnsurvError, ArithmeticError, ValueError) as error:
        why = error.what if isinstance(error, ChurnsurvError) else f"{type(error).__name__}: {error}"
        return Forecast.failed(name, place.date, days, place.outcomes.customer_id, why)
    return Forecast.of_risk(name, place.date, risk, (fitted - began, time.perf_counter() - fitted))
