"""What rests on assumptions that no data can settle: how ranking, expected churners and the order of models move with them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from churnsurv._typing import FloatArray
from churnsurv._validate import check_horizons
from churnsurv.errors import ArgumentError, ChurnsurvError, ChurnsurvWarning, DefinitionError, EmptyDataError
from churnsurv.hazards.censored_hazard import censored_hazard_survival
from churnsurv.hazards.scoring.recalibration import Recalibration
from churnsurv.models.base import Progress
from churnsurv.models.progress import reporter
from churnsurv.risk.assumption_rows import Assumption, AssumptionRow, AssumptionSensitivity
from churnsurv.risk.backtest import REFERENCE, Backtest, backtest, read_moments, read_recipes
from churnsurv.risk.leaderboard import leaderboard
from churnsurv.risk.predict import churn_risk
from churnsurv.risk.recalibration import RecalibratedFit, recalibrated_forecast
from churnsurv.risk.sensitivity import compare_rankings
from churnsurv.tables.bins import Bins
from churnsurv.tables.churn import ChurnDefinition, Silence
from churnsurv.tables.events import EventLog
from churnsurv.tables.features import Feature
from churnsurv.tables.spells import SpellTable
from churnsurv.tables.window import ObservationWindow, moment_of

if TYPE_CHECKING:
    import datetime as dt

    import pandas as pd

    from churnsurv.models.base import SurvivalModel
    from churnsurv.risk.recipes import Recipe
    from churnsurv.risk.table import RiskTable


@dataclass(frozen=True, eq=False)
class _Setting:
    """One combination of assumptions that has fits of its own."""

    assumption: Assumption
    value: str
    churn: ChurnDefinition
    recipes: Mapping[str, Recipe]
    horizon: float


@dataclass(frozen=True, eq=False)
class _Answer:
    """What a setting gave: risk now, the backtest, and the models in order."""

    setting: _Setting
    spells: SpellTable
    risk: RiskTable | None
    result: Backtest
    board: pd.DataFrame | None


def assumption_sensitivity(
    log: EventLog,
    window: ObservationWindow,
    churn: ChurnDefinition,
    models: Mapping[str, SurvivalModel | Recipe] | Sequence[SurvivalModel | Recipe],
    *,
    days: Sequence[float] = (),
    deltas: Sequence[float] = (0.5, 2.0),
    landmarks: bool = True,
    cutoffs: int | Sequence[str | dt.date | dt.datetime] = 1,
    horizon: float | None = None,
    features: Sequence[Feature] = (),
    bins: Bins | None = None,
    breaks: Sequence[float] | None = None,
    n_draws: int = 500,
    rng: int = 0,
    cache: str | Path | None = None,
    progress: Progress = False,
) -> AssumptionSensitivity:
    r"""Ask the same question under other assumptions: who counts as churned, which clock runs, what became of the unwatched.

    The first row is what was asked. ``days`` changes the silence that defines churn, and everything is made anew of it.
    ``landmarks`` makes models count from landmarks, with what is known there, and not from when the spell opened.
    ``deltas`` leave the fits alone: whoever is at risk today is one whose watching ended, and that she goes on as those did
    who were watched for longer is an assumption. With δ her hazard (of the return on the gap clock, of leaving under contract)
    is δ times that, :math:`S \to S^\delta`: totals move and the order of customers at one horizon cannot. ``observed_expected``
    of the backtest says which δ the past would have asked for.

    Cost: a backtest and a fit for each setting but the deltas, which cost their scores. How many come back after N days, and
    how one fit's ranking moves with N, costs no further fit: :func:`~churnsurv.risk.sensitivity.definition_sensitivity`.

    Parameters
    ----------
    log, window, churn, models, cutoffs, features, bins, breaks, n_draws, rng, cache, progress
        As for :func:`~churnsurv.risk.backtest.backtest`. The first model is the one whose ranking and totals are told. Dates
        must be followed for the longest of all horizons.
    days : sequence of float
        Other silences.
    deltas : sequence of float
        Hazard ratios of those who are no longer watched, > 0.
    landmarks : bool
        Whether to try landmarks. Models with a customer's own frailty know no landmarks, and are told as failed there.
    horizon : float, optional
        Days ahead, under contract; 90 by default. Under silence it is each definition's own, by which everybody's present
        silence is decided.

    Returns
    -------
    AssumptionSensitivity
        One row for each assumption.

    Raises
    ------
    ArgumentError, DefinitionError, HorizonError, WindowError
        If there is nothing to compare, or ``days`` are asked of contracts.

    References
    ----------
    .. [1] Siannis, F., Copas, J. and Lu, G. (2005). Sensitivity analysis for informative censoring in parametric survival models.
       *Biostatistics* 6, 77–91.
    """
    recipes = read_recipes(models, features, bins, breaks)
    others = check_horizons(list(days), "days") if len(days) else []
    ratios = _check_deltas(deltas)
    settings = _settings(churn, recipes, others, horizon, landmarks=landmarks)
    full = SpellTable.from_events(log, window, churn)
    moments = [moment_of(one) for one in read_moments(full, cutoffs, (max(one.horizon for one in settings),))]
    notes: list[str] = []
    answers = []
    with reporter(progress) as report:
        for k, setting in enumerate(settings):
            share = k / len(settings)

            def told(done: float, text: str, share: float = share) -> None:
                report(share + done / len(settings), text)

            answers.append(_answer(log, window, setting, moments, n_draws, rng, cache, told, notes))
    base = answers[0]
    rows = [_row(base, base, 1.0)]
    rows += [_row(answer, base, 1.0) for answer in answers[1:]]
    if len(churn.causes) > 1:
        notes.append(
            "What became of the unwatched is not varied: with several causes each could have a hazard ratio of its own."
        )
    else:
        scaled = [_scaled(base, delta, n_draws, rng, notes) for delta in ratios]
        rows += [_row(answer, base, delta) for answer, delta in zip(scaled, ratios, strict=True)]
    return AssumptionSensitivity(tuple(rows), next(iter(recipes)), tuple(notes))


def _check_deltas(deltas: Sequence[float]) -> list[float]:
    bad = [one for one in deltas if not isinstance(one, (int, float)) or not 0 < one < math.inf or one == 1]
    if bad:
        raise ArgumentError(
            f"{bad[0]!r} is no hazard ratio to try.",
            column="deltas",
            hint="deltas=(0.5, 2.0); 1 is the first row itself.",
        )
    return [float(one) for one in deltas]


def _settings(
    churn: ChurnDefinition,
    recipes: Mapping[str, Recipe],
    days: Sequence[float],
    horizon: float | None,
    *,
    landmarks: bool,
) -> list[_Setting]:
    if not isinstance(churn, Silence):
        if days:
            raise DefinitionError(
                f"days={list(days)} of silence were asked of contracts, which end by cancellation.",
                hint="leave days= out.",
            )
        ahead = 90.0 if horizon is None else check_horizons(horizon)[0]
        churn.check_horizon(ahead)
        settings = [_Setting("none", "as asked", churn, recipes, ahead)]
    else:
        if horizon is not None:
            raise ArgumentError(
                "under silence each definition has its own horizon: its days, by which every present silence is decided.",
                hint="leave horizon= out.",
            )
        settings = [_Setting("none", f"silent {churn.days:g} days", churn, recipes, churn.days)]
        settings += [
            _Setting("definition", f"silent {n:g} days", replace(churn, days=n), recipes, n)
            for n in days
            if n != churn.days
        ]
    base = settings[0]
    if landmarks and any(one.as_of == "spell" for one in recipes.values()):
        moved = {name: replace(one, as_of="landmark") for name, one in recipes.items()}
        settings.append(_Setting("clock", "from landmarks", churn, moved, base.horizon))
    return settings


def _answer(
    log: EventLog,
    window: ObservationWindow,
    setting: _Setting,
    moments: Sequence[dt.datetime],
    n_draws: int,
    rng: int,
    cache: str | Path | None,
    progress: Any,
    notes: list[str],
) -> _Answer:
    """Risk now and backtest of one setting; what cannot be done is told and leaves a gap."""
    spells = SpellTable.from_events(log, window, setting.churn)
    name, first = next(iter(setting.recipes.items()))
    risk, result = None, None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ChurnsurvWarning)  # what they say is in the notes
            fit = first.fit(spells, horizon=setting.horizon, rng=rng)
            risk = churn_risk(fit, spells, setting.horizon, n_draws=n_draws, rng=rng, allow_unreliable=True)
        notes += [note for note in risk.caveats if note not in notes]
    except ChurnsurvError as error:
        notes.append(f"{setting.value}: {name} has no answer: {error.what}")
    models = {key: one for key, one in setting.recipes.items() if key != REFERENCE}
    result = backtest(
        log, window, setting.churn, models, moments, setting.horizon, n_draws=n_draws, rng=rng, cache=cache,
        progress=progress,
    )  # fmt: skip
    notes += [f"{setting.value}: {key} at {date}: {why}" for (key, date), why in result.failures().items()]
    return _answered(setting, spells, risk, result, notes)


def _answered(
    setting: _Setting, spells: SpellTable, risk: RiskTable | None, result: Backtest, notes: list[str]
) -> _Answer:
    """Put the models in order, where there is a date at which all of them were fitted."""
    board = None
    try:
        board = leaderboard(result, n_resamples=100).table
    except EmptyDataError as error:
        notes.append(f"{setting.value}: the models are in no order: {error.what}")
    return _Answer(setting, spells, risk, result, board)


def _scaled(base: _Answer, delta: float, n_draws: int, rng: int, notes: list[str]) -> _Answer:
    """The same with all hazards ahead multiplied."""
    line = Recalibration("line", np.zeros(0), np.zeros(0), math.log(delta), 1.0, math.nan, math.nan)
    silence, risk = isinstance(base.setting.churn, Silence), None
    if base.risk is not None:
        fit = RecalibratedFit(base.risk.fit, line)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ChurnsurvWarning)  # the first row has said it
            risk = churn_risk(fit, base.spells, base.setting.horizon, n_draws=n_draws, rng=rng, allow_unreliable=True)
    forecasts = {
        key: one if one.failure or key[0] == REFERENCE else recalibrated_forecast(one, one.model, line, silence=silence)
        for key, one in base.result.forecasts.items()
    }
    setting = replace(base.setting, assumption="censoring", value=f"hazard × {delta:g}")
    return _answered(setting, base.spells, risk, replace(base.result, forecasts=forecasts), notes)


def _row(one: _Answer, base: _Answer, delta: float) -> AssumptionRow:
    nan = math.nan
    expected, lower, upper, n_told = (nan, nan, nan, nan) if one.risk is None else _mass(one.risk)
    rank, top = (nan, nan) if one.risk is None or base.risk is None else _ranking(one.risk, base.risk)
    mine, theirs = _scores(one), _scores(base)
    name = next(iter(one.setting.recipes))
    arrays = one.spells.arrays()
    late = bool(np.any(arrays["entry"] > 0))
    happened = np.asarray(arrays["event"]) > 0
    survival = nan
    if not late:
        weight = arrays.get("weight")
        at = np.array([one.setting.horizon])
        survival = float(censored_hazard_survival(arrays["exit"], happened, at, delta=delta, weight=weight)[0])
    silent = np.asarray(arrays["exit"], float) >= (
        one.setting.churn.days if isinstance(one.setting.churn, Silence) else math.inf
    )
    n_churned = int(np.sum(silent & ~happened))
    return AssumptionRow(
        assumption=one.setting.assumption,
        value=one.setting.value,
        horizon=one.setting.horizon,
        n_active=one.spells.n_open - n_churned,
        n_churned=n_churned,
        survival=survival,
        expected=expected,
        lower=lower,
        upper=upper,
        share=expected / n_told if n_told else nan,
        rank_correlation=rank,
        top_overlap=top,
        best=next(iter(mine), ""),
        skill=mine[name][1] if name in mine else nan,
        order_correlation=_order(mine, theirs),
        observed_expected=mine[name][2] if name in mine else nan,
    )


def _mass(risk: RiskTable) -> tuple[float, float, float, float]:
    """Expected churners with their interval, and of how many customers."""
    total = risk.totals().iloc[0]
    n = float(total["n_customers"] - total["n_refused"])
    return float(total["expected"]), float(total["lower"]), float(total["upper"]), n


def _ranking(one: RiskTable, base: RiskTable) -> tuple[float, float]:
    """Of the customers active in both, by their probability of churning."""
    mine, theirs = (_probabilities(risk) for risk in (one, base))
    shared = [customer for customer in theirs if customer in mine]
    new, old = np.array([mine[c] for c in shared]), np.array([theirs[c] for c in shared])
    _, rank, top = compare_rankings(old, new)
    return rank, top


def _probabilities(risk: RiskTable) -> dict[str, float]:
    probability: FloatArray = risk.columns.churn[:, 0]
    kept = ~risk.columns.churned
    return dict(zip(risk.columns.customer_id[kept], probability[kept], strict=True))


def _scores(one: _Answer) -> dict[str, tuple[float, float, float]]:
    """Brier score, skill and churned over expected of every model that could be scored, best first."""
    if one.board is None:
        return {}
    told = one.board[one.board["brier"].notna()]
    columns = (told[name] for name in ("brier", "brier_skill", "observed_expected"))
    return dict(zip(told["model"], zip(*columns, strict=True), strict=True))


def _order(mine: Mapping[str, tuple[float, ...]], theirs: Mapping[str, tuple[float, ...]]) -> float:
    shared = [name for name in theirs if name in mine]
    if len(shared) < 3:
        return math.nan
    return compare_rankings(np.array([theirs[n][0] for n in shared]), np.array([mine[n][0] for n in shared]))[1]
