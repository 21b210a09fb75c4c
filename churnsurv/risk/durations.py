"""A fit held against spells that it has not seen: durations without dates, late entry and censoring of any kind."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from churnsurv._typing import FloatArray, StrArray
from churnsurv._validate import check_count, check_horizons
from churnsurv.errors import ArgumentError, HorizonError
from churnsurv.hazards.scoring.brier import brier_score
from churnsurv.hazards.scoring.calibration import calibration_slope_intercept
from churnsurv.hazards.scoring.calibration_error import calibration_error
from churnsurv.hazards.scoring.concordance import Concordance, concordance_index
from churnsurv.hazards.scoring.d_calibration import DCalibration, d_calibration
from churnsurv.hazards.scoring.discrimination import time_dependent_auc
from churnsurv.hazards.scoring.horizon_outcomes import horizon_outcomes
from churnsurv.hazards.scoring.integrated_scores import IntegratedScore, crps, integrated_brier_score
from churnsurv.hazards.scoring.likelihood_score import LikelihoodScore, likelihood_score
from churnsurv.hazards.scoring.log_score import log_score
from churnsurv.hazards.scoring.observed_expected import observed_expected
from churnsurv.hazards.scoring.skill import brier_skill
from churnsurv.risk.held_out import HeldOutCurves, held_out_curves

if TYPE_CHECKING:
    import pandas as pd

    from churnsurv.models.base import SurvivalFit
    from churnsurv.tables.spells import SpellTable

_GRID = 60
"""Times at which curves are known beside the ones asked for."""
_BEGINNING = 1e-6
"""Days after the entry that stand for its moment."""
_NAMES = ("brier", "brier_se", "brier_skill", "log_score", "auc", "expected", "observed_expected", "slope", "in_the_large",
          "ici", "ici_null", "ici_p")  # fmt: skip
_FEW = 10
"""Spells with the event, and without it, below which no slope or calibration error is told."""


@dataclass(frozen=True, eq=False, repr=False)
class DurationScores:
    """How a fit did on spells that it had not seen. Made by :func:`score_durations`.

    Parameters
    ----------
    table : DataFrame
        One row per horizon; see :func:`score_durations`.
    integrated_brier, crps : IntegratedScore
        Over the time up to the last horizon; of one time alone the first has no meaning, and is NaN.
    integrated_skill : float
        Share of the integrated Brier score of these spells' own Kaplan–Meier curve that is saved.
    likelihood : LikelihoodScore
        Right-censored log score; its differences between models need no model of the censoring. Infinite where an event falls
        between two steps of a curve, as of Kaplan and Meier's.
    harrell, uno : Concordance
        Of the probability of an event within the last horizon; Uno's weights are those of all spells together, also with
        ``censoring_by``.
    d_calibration : DCalibration
        Whether predicted survival at the exits is uniform.
    curves : HeldOutCurves
        What was scored.
    """

    table: pd.DataFrame
    integrated_brier: IntegratedScore
    crps: IntegratedScore
    integrated_skill: float
    likelihood: LikelihoodScore
    harrell: Concordance
    uno: Concordance
    d_calibration: DCalibration
    curves: HeldOutCurves

    def __repr__(self) -> str:
        """Few lines."""
        shown = self.table[
            ["horizon", "n_events", "brier", "brier_skill", "auc", "ici", "ici_null", "observed_expected"]
        ]
        curves = self.curves
        refused = f", {curves.n_refused:,} more not told" if curves.n_refused else ""
        return "\n".join(
            [
                f"DurationScores({len(curves.time):,} spells{refused}; up to {curves.times[-1]:g} days after entry)",
                shown.round(4).to_string(index=False),
                f"integrated Brier {self.integrated_brier.score:.4f} (skill {self.integrated_skill:.1%}),"
                f" CRPS {self.crps.score:.2f} days, log score {self.likelihood.score:.4f}",
                f"concordance {self.harrell.estimate:.3f} (Harrell), {self.uno.estimate:.3f} (Uno);"
                f" D-calibration p = {self.d_calibration.p_value:.3g}",
            ]
        )


def score_durations(
    fit: SurvivalFit,
    spells: SpellTable,
    horizons: Sequence[float] | float,
    *,
    censoring_by: str | None = None,
    n_draws: int = 200,
    rng: int = 0,
) -> DurationScores:
    """Score a fit on spells that it has not seen, each from when it came under observation.

    Who was there before the watching began is asked about from her entry on, given that she was still there: predictions are
    S(entry + t) / S(entry), and nobody enters late any more. Censored spells are made up for by weights.

    Parameters
    ----------
    fit : SurvivalFit
        See :func:`held_out_curves`.
    spells : SpellTable
        Held-out spells.
    horizons : sequence of float
        Days from the entry; whole units where times are known to a unit only.
    censoring_by : str, optional
        Column of the fit by whose level censoring may differ: its weights are then estimated level by level.
    n_draws : int
        Simulated curves behind each calibration error.
    rng : int
        Seed of those.

    Returns
    -------
    DurationScores
        ``table`` has ``horizon, n, n_events, n_censored`` (before the horizon), ``brier, brier_se, brier_skill`` (against these
        spells' own Kaplan–Meier curve), ``log_score, auc, expected, observed_expected, slope, in_the_large, ici, ici_null,
        ici_p``. NaN at horizons that no spell was watched for.

    Raises
    ------
    ArgumentError
        If there is no such column.
    HorizonError
        If a horizon lies within a unit that times are known to.
    DefinitionError, ModelSupportError, EmptyDataError
        As :func:`held_out_curves`.

    Examples
    --------
    >>> from churnsurv import Cancellation, KaplanMeierModel, SpellTable
    >>> rows = [{"who": f"c{k}", "days": k % 40 + 1, "gone": k % 3 > 0} for k in range(200)]
    >>> def spells(part):
    ...     frame = pd.DataFrame(part)
    ...     return SpellTable.from_durations(frame, duration="days", unit="day", event="gone", customer="who")
    >>> import pandas as pd
    >>> found = score_durations(KaplanMeierModel().fit(spells(rows[:100])), spells(rows[100:]), [10, 20])
    >>> found.table[["horizon", "n", "n_events"]].to_numpy().tolist()
    [[10.0, 100.0, 13.0], [20.0, 100.0, 27.0]]
    """
    days = sorted(check_horizons(horizons))
    _check_units(days, spells.grain)
    check_count(n_draws, "n_draws", minimum=20)
    curves = held_out_curves(fit, spells, _grid(days, spells.grain))
    groups = None
    if censoring_by is not None:
        if censoring_by not in curves.levels:
            raise ArgumentError(
                f"there is no column {censoring_by!r} by which censoring could differ.",
                hint=f"columns of the fit are: {', '.join(curves.levels) or 'none'}.",
            )
        groups = curves.levels[censoring_by]
    given: dict[str, Any] = {"weight": curves.weight}
    time, event, at = curves.time, curves.event, curves.times
    risk = 1.0 - curves.survival[:, -1]
    whole, area, skill = _integrated(curves, groups)
    return DurationScores(
        table=_table(curves, days, groups, n_draws, rng),
        integrated_brier=whole,
        crps=area,
        integrated_skill=skill,
        likelihood=likelihood_score(time, event, at, survival=curves.survival, **given),
        harrell=concordance_index(time, event, risk, horizon=at[-1], **given),
        uno=concordance_index(time, event, risk, horizon=at[-1], weighting="uno", **given),
        d_calibration=_dated(curves),
        curves=curves,
    )


def _grid(days: list[float], grain: float | None) -> FloatArray:
    """The horizons, and evenly spaced times between them: whole units where no other is known."""
    last = max(days)
    units = _GRID if grain is None else math.floor(last / grain + 1e-9)
    unit = last / _GRID if grain is None else grain
    return np.unique(np.round(np.concatenate([days, unit * np.arange(1, units + 1)]), 9))


def _check_units(days: list[float], grain: float | None) -> None:
    """Refuse horizons within a unit: its events are recorded at its end, and would all be missing."""
    bad = (
        []
        if grain is None
        else [day for day in days if abs(day / grain - round(day / grain)) > 1e-6 or day < grain / 2]
    )
    if bad and grain is not None:
        whole = [f"{grain * max(1, round(day / grain)):g}" for day in bad]
        raise HorizonError(
            f"{len(bad)} of {len(days)} horizons are no whole units of {grain:g} days, to which times are known: "
            f"{', '.join(f'{day:g}' for day in bad[:2])}.",
            consequence="Events of the last, broken unit are recorded at its end and would be missing from what happened.",
            hint=f"horizons of whole units, such as [{', '.join(dict.fromkeys(whole))}].",
        )


def _dated(curves: HeldOutCurves) -> DCalibration:
    """D-calibration up to the last time; an event known to a unit is spread over its unit."""
    last = curves.times[-1]
    end, happened = np.minimum(curves.time, last), np.where(curves.time <= last, curves.event, 0)
    before = None if curves.grain is None else curves.at(np.maximum(end - curves.grain, 0.0))
    return d_calibration(curves.at(end), happened, survival_before_exit=before, weight=curves.weight)


def _integrated(curves: HeldOutCurves, groups: StrArray | None) -> tuple[IntegratedScore, IntegratedScore, float]:
    """Integrated Brier score, CRPS, and the skill of the first."""
    given: dict[str, Any] = {"survival": curves.survival, "groups": groups, "weight": curves.weight}
    score = crps(curves.time, curves.event, curves.times, **given)
    if len(curves.times) == 1:
        nothing = IntegratedScore(math.nan, math.nan, float(curves.times[0]), curves.times, np.zeros(1))
        return nothing, score, math.nan
    at = np.concatenate([[_BEGINNING], curves.times])  # every curve begins at one
    given["survival"] = np.concatenate([np.ones((len(curves.time), 1)), curves.survival], axis=1)
    skill = brier_skill(curves.time, curves.event, at, **given).integrated
    return integrated_brier_score(curves.time, curves.event, at, **given), score, float(skill)


def _table(curves: HeldOutCurves, days: list[float], groups: StrArray | None, n_draws: int, rng: int) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame([_row(curves, day, groups, n_draws, rng) for day in sorted(days)])


def _row(curves: HeldOutCurves, day: float, groups: StrArray | None, n_draws: int, rng: int) -> dict[str, float]:
    """Scores at one horizon."""
    k = int(np.argmin(np.abs(curves.times - day)))
    time, event, survival, nan = curves.time, curves.event, curves.survival[:, k], math.nan
    risk = 1.0 - survival
    given: dict[str, Any] = {"weight": curves.weight, "groups": groups}
    mass = np.ones(len(time)) if curves.weight is None else curves.weight
    row: dict[str, float] = {
        "horizon": day,
        "n": float(mass.sum()),
        "n_events": float(mass[(event > 0) & (time <= day)].sum()),
        "n_censored": float(mass[(event == 0) & (time < day)].sum()),
    }
    brier = brier_score(time, event, [day], survival=survival, **given)
    if np.isnan(brier.score[0]):
        return row | dict.fromkeys(_NAMES, nan)
    skill = brier_skill(time, event, [day], survival=survival, **given)
    row |= {
        "brier": float(brier.score[0]),
        "brier_se": float(brier.standard_error[0]),
        "brier_skill": float(skill.skill[0]),
        "log_score": float(log_score(time, event, [day], survival=survival, **given).score[0]),
        "auc": float(time_dependent_auc(time, event, risk, [day], **given).auc[0]),
    }
    outcomes = horizon_outcomes(time, event, day, **given)
    total = observed_expected(risk, outcomes)
    row |= {"expected": total.expected, "observed_expected": total.ratio}
    if min(row["n_events"], row["n"] - row["n_events"]) < _FEW or not np.ptp(risk) > 0:
        return row | dict.fromkeys(("slope", "in_the_large", "ici", "ici_null", "ici_p"), nan)
    line = calibration_slope_intercept(risk, outcomes)
    error = calibration_error(risk, outcomes, n_draws=n_draws, rng=rng)
    return row | {
        "slope": line.slope,
        "in_the_large": line.in_the_large,
        "ici": error.ici,
        "ici_null": error.null_mean,
        "ici_p": error.p_value,
    }
