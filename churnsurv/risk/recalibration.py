"""Forecasts moved to where earlier ones would have been right; and the same for a fit that is to predict.

What is moved is the cumulative hazard of the clock's own event: the cancellation under contract; on the gap clock the return, of
which churn is the survival. So a fit can be moved as its forecasts are, and whatever horizon is asked about, the answers agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import numpy as np

from churnsurv._typing import BoolArray, FloatArray, IntArray, StrArray
from churnsurv.errors import ArgumentError, ChurnsurvError, EmptyDataError, ModelSupportError
from churnsurv.hazards.scoring.horizon_outcomes import known_outcomes
from churnsurv.hazards.scoring.recalibration import Recalibration, learn_recalibration
from churnsurv.models.base import (
    FitInfo,
    NamedRows,
    PatternRows,
    ReachedRows,
    SurvivalFit,
    carries_months,
    needs_history,
)
from churnsurv.models.competing import CompetingFits
from churnsurv.risk.backtest import REFERENCE, Backtest
from churnsurv.risk.calibration import pooled_at
from churnsurv.risk.columns import Chance
from churnsurv.risk.forecasts import Forecast
from churnsurv.risk.scored import Scored, scored
from churnsurv.tables.churn import Silence

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from churnsurv.tables.schema import CellSchema

Kind = Literal["line", "monotone"]

SUFFIX = ", recalibrated"
"""What is added to a model's name."""


def with_recalibrated(result: Backtest, models: Sequence[str] | None = None, *, kind: Kind = "line") -> Backtest:
    """Add to a backtest what its models would have said, recalibrated on what was known by each cutoff.

    At each cutoff the map is learnt from the forecasts of earlier cutoffs whose longest horizon was over by then, and from
    nothing later. Where nothing was known yet, or too little, the recalibrated model is told as failed there.

    Parameters
    ----------
    result : Backtest
        Forecasts and outcomes, at cutoffs at least a horizon apart.
    models : sequence of str, optional
        Names; all but the reference by default.
    kind : {"line", "monotone"}
        See :func:`~churnsurv.hazards.scoring.recalibration.learn_recalibration`.

    Returns
    -------
    Backtest
        With one model more for each, named ``"…, recalibrated"``, so that scores show both side by side.
    """
    names = [name for name in (result.models if models is None else models) if name != REFERENCE]
    forecasts = dict(result.forecasts)
    for name in names:
        parts = list(scored(result, "churn", [name]))
        for cutoff in result.cutoffs:
            old = result.forecasts[name, cutoff.date]
            known = _known_by(result, parts, cutoff.date)
            forecasts[name + SUFFIX, cutoff.date] = _moved(old, name + SUFFIX, known, kind, silence=_on_gaps(result))
    added = tuple(name + SUFFIX for name in names)
    return replace(result, forecasts=forecasts, models=(*result.models[:-1], *added, result.models[-1]))


def _known_by(result: Backtest, parts: Sequence[Scored], date: str) -> list[Scored]:
    """Forecasts of earlier cutoffs whose longest horizon was over at a date."""
    left = {cutoff.date: cutoff.followed for cutoff in result.cutoffs}
    return [one for one in parts if left[one.cutoff] - left[date] >= result.horizons[-1] - 1e-9]


def _on_gaps(result: Backtest) -> bool:
    return isinstance(result.churn, Silence)


def _moved(old: Forecast, name: str, known: Sequence[Scored], kind: Kind, *, silence: bool) -> Forecast:
    if old.failure or not known:
        why = old.failure or "no earlier forecast was over by then"
        return Forecast.failed(name, old.cutoff, old.horizons, old.customer_id, why)
    try:
        found = _learn(known, kind, silence=silence)
    except ChurnsurvError as error:
        return Forecast.failed(name, old.cutoff, old.horizons, old.customer_id, error.what)
    return recalibrated_forecast(old, name, found, silence=silence)


def recalibrated_forecast(old: Forecast, name: str, found: Recalibration, *, silence: bool) -> Forecast:
    """What a model would have said with its cumulative hazards moved; totals are left out.

    Parameters
    ----------
    old : Forecast
        As it was.
    name : str
        Of the moved model.
    found : Recalibration
        The map.
    silence : bool
        Whether the hazard is that of the return, of which churn is the survival.
    """
    move = found.survival if silence else found.probability
    churn = Chance(*(move(getattr(old.churn, part)) for part in ("mean", "lower", "upper")))
    stays = Chance(*(found.survival(getattr(old.no_return, part)) for part in ("mean", "lower", "upper")))
    share = np.divide(churn.mean, old.churn.mean, out=np.ones_like(churn.mean), where=old.churn.mean > 0)
    return replace(
        old, model=name, churn=churn, no_return=stays, by_cause=old.by_cause * share[..., None], totals=(),
        level_codes=old.level_codes[:0],
    )  # fmt: skip


def _learn(parts: Sequence[Scored], kind: Kind, *, silence: bool) -> Recalibration:
    """From the longest horizon of some forecasts, all of whose outcomes are known."""
    last = len(parts[0].horizons) - 1
    risk, time, event = pooled_at(parts, last)
    happened = (event > 0) & (time <= parts[0].horizons[last])
    if silence:
        return learn_recalibration(1.0 - risk, known_outcomes(~happened), kind=kind)
    return learn_recalibration(risk, known_outcomes(happened), kind=kind)


def recalibrate(fit: SurvivalFit, result: Backtest, model: str, *, kind: Kind = "line") -> RecalibratedFit:
    """Move what a fit says by what a backtest of its model has shown.

    Parameters
    ----------
    fit : SurvivalFit
        To predict with, usually made of the whole log.
    result : Backtest
        Of earlier cutoffs.
    model : str
        Name of the fit's model in it.
    kind : {"line", "monotone"}
        How: see :func:`~churnsurv.hazards.scoring.recalibration.learn_recalibration`.

    Returns
    -------
    RecalibratedFit
        A fit like the other, for ``churn_risk`` and the report. Hold it against the first by
        ``leaderboard(with_recalibrated(result))``, where each cutoff learns from earlier ones only.

    Raises
    ------
    ArgumentError
        If there is no such model.
    ModelSupportError
        If the fit is of several causes.
    EmptyDataError, NoEventsError
        If the backtest has no outcomes, or too few events.
    """
    if isinstance(fit, CompetingFits):
        raise ModelSupportError(
            "fits of several causes cannot be recalibrated together.",
            consequence="Which cause takes more and which less is not in the calibration of their sum.",
            hint="leaderboard(with_recalibrated(result)) shows what it would bring to all together.",
        )
    if model not in result.models:
        raise ArgumentError(f"{model!r} is no model of this backtest.", hint=f"models are: {', '.join(result.models)}.")
    if len(result.churn.causes) > 1:
        raise ModelSupportError(
            "the backtest is of several causes, and the fit of one.",
            consequence="What it taught about all ways to leave together would be taken for one of them.",
            hint="backtest a definition with that cause alone.",
        )
    parts = [one for one in scored(result, "churn", [model]) if one.known(len(one.horizons) - 1)]
    if not parts:
        raise EmptyDataError(
            f"{model!r} has no forecast whose longest horizon, {result.horizons[-1]:g} days, the log reaches.",
            consequence="There is nothing to learn from.",
            hint="backtest earlier cutoffs, or shorter horizons.",
        )
    return RecalibratedFit(fit, _learn(parts, kind, silence=_on_gaps(result)))


@dataclass(frozen=True, eq=False)
class RecalibratedFit:
    """A fit whose hazards over any stretch ahead are moved by a map learnt from earlier forecasts.

    Parameters
    ----------
    fit : SurvivalFit
        The fit.
    recalibration : Recalibration
        The map.
    """

    fit: SurvivalFit
    recalibration: Recalibration

    @property
    def model(self) -> Any:
        """Specification of the fit."""
        return self.fit.model

    @property
    def info(self) -> FitInfo:
        """That of the fit."""
        return self.fit.info

    @property
    def schema(self) -> CellSchema:
        """That of the fit."""
        return self.fit.schema

    @property
    def posterior(self) -> xr.DataTree:
        """Draws of the fit, as they were before recalibration."""
        return self.fit.posterior

    @property
    def n_draws(self) -> int:
        """Draws of all chains together."""
        return self.fit.n_draws

    @property
    def uses_history(self) -> bool:
        """Whether a customer's own past moves her risk."""
        return needs_history(self.fit)

    @property
    def whole_periods(self) -> bool:
        """Whether the fit's time at risk is that of whole periods alone."""
        return bool(getattr(self.fit, "whole_periods", False))

    @property
    def carries_months(self) -> bool:
        """Whether the fit says by itself what the months ahead may be."""
        return carries_months(self.fit)

    def conditional_survival(
        self, rows: ReachedRows, until: FloatArray, *, draws: IntArray | None = None
    ) -> FloatArray:
        """S(until) / S(reached) of the fit, moved; shape (n_draws, n, k)."""
        return self.recalibration.survival(self.fit.conditional_survival(rows, until, draws=draws))

    def joint_survival(
        self, rows: ReachedRows, until: FloatArray, quantile: FloatArray, *, draws: IntArray | None = None
    ) -> FloatArray:
        """The same at a quantile of a new group's effect."""
        return self.recalibration.survival(self.fit.joint_survival(rows, until, quantile, draws=draws))

    def n_at_risk(self, times: FloatArray, rows: PatternRows | None = None) -> IntArray:
        """Training spells at risk at each time."""
        return self.fit.n_at_risk(times, rows)

    def new_group(self, rows: PatternRows) -> BoolArray:
        """Rows whose group the fit has never seen."""
        return self.fit.new_group(rows)

    def new_group_name(self, rows: NamedRows) -> StrArray:
        """Name of the new group of each row."""
        return self.fit.new_group_name(rows)

    def unseen(self, rows: PatternRows) -> BoolArray:
        """Rows of which the fit can say nothing."""
        return self.fit.unseen(rows)

    def summary(self, ci_prob: float = 0.90) -> pd.DataFrame:
        """Effects of the fit, before recalibration; a line of slope b raises each hazard ratio to the power of b."""
        return self.fit.summary(ci_prob)

    def save(self, path: str | Path) -> NoReturn:
        """Refuse: what is saved is the fit itself.

        Raises
        ------
        ModelSupportError
            Always.
        """
        raise ModelSupportError(
            "a recalibrated fit is not saved.",
            consequence="What it was learnt from, earlier forecasts and outcomes, belongs to a backtest.",
            hint="save the fit, and recalibrate it again: recalibrate(churnsurv.load(path), result, name).",
        )
