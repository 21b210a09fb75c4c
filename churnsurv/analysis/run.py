"""From a log, or from durations, to a fit, everyone's risk and a check against the past."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from churnsurv.analysis.covariates import RIDGE
from churnsurv.analysis.notes import noting
from churnsurv.analysis.settings import Analysis, check_seed, default_horizons
from churnsurv.errors import (
    ArgumentError,
    ChurnsurvError,
    DataWarning,
    DefinitionError,
    SeparationError,
    UnreachableHorizonError,
)
from churnsurv.tables.cells import CellTable
from churnsurv.tables.churn import ChurnDefinition, Silence
from churnsurv.tables.episodes import Episodes
from churnsurv.tables.events import EventLog
from churnsurv.tables.periods import PeriodTable
from churnsurv.tables.schema import CellSchema
from churnsurv.tables.spells import SpellTable
from churnsurv.tables.window import ObservationWindow

if TYPE_CHECKING:
    from churnsurv.models.base import SurvivalFit
    from churnsurv.risk.checks import AsOfCheck
    from churnsurv.risk.table import RiskTable

Progress = Callable[[str, float], None]
"""Called with the name of a step and how much of it is done, from 0 to 1."""

_UNCHECKED: Final = "An earlier fit was used as it is, so it was not checked against what happened since."
_NO_PAST: Final = "Durations carry no dates, so no earlier day could be replayed: nothing was checked against the past."

_ALONE: Final = (
    "One cause was asked for as if the others did not exist; in the past they did, so what happened cannot check it."
)


def steps(analysis: Analysis) -> tuple[str, ...]:
    """Names of the steps of :func:`analyse`, in order.

    Parameters
    ----------
    analysis : Analysis
        What is asked.

    Returns
    -------
    tuple of str
        Names as ``progress`` is told them.
    """
    counted, fitted = ("cells", "sampling") if analysis.model == "hierarchical" else ("rows", "fitting")
    if analysis.on_durations or analysis.churn is None:
        return ("features", counted, fitted, "risk")
    check = () if _is_alone(analysis, analysis.churn) else ("check",)
    return (_cutting(isinstance(analysis.churn, Silence)), "features", counted, fitted, "risk", *check)


def _is_alone(analysis: Analysis, churn: ChurnDefinition) -> bool:
    """Whether one of several causes was chosen."""
    return analysis.cause is not None and len(churn.causes) > 1


def score_steps(schema: CellSchema) -> tuple[str, ...]:
    """Names of the steps of :func:`score`, in order.

    Parameters
    ----------
    schema : CellSchema
        Of the fit.
    """
    stated = getattr(schema.churn, "origin", "") == "stated"
    return ("risk",) if stated else (_cutting(isinstance(schema.churn, Silence)), "risk")


def _cutting(silence: bool) -> str:
    return "gaps" if silence else "contracts"


def silent(_step: str, _done: float) -> None:
    """Take a report and say nothing."""


@dataclass(frozen=True, eq=False)
class AnalysisResult:
    """Everything that :func:`analyse` or :func:`score` made.

    Parameters
    ----------
    fit : SurvivalFit
        The fit; :class:`~churnsurv.models.competing.CompetingFits` where there are several causes.
    risk : RiskTable
        Chances of the customers who are at risk at the window's end.
    cells : CellTable or None
        What a hierarchical model was fitted on, every cause counted; ``None`` for the other models, and where an older
        fit was used.
    periods : PeriodTable or None
        Rows that the fit was made of, whatever the model; ``None`` where an older fit was used.
    check : AsOfCheck or None
        The same made earlier, against what happened since.
    check_note : str
        Why there is no check; empty if there is one.
    notes : tuple of str
        Warnings that were given on the way.
    """

    fit: SurvivalFit
    risk: RiskTable
    cells: CellTable | None
    periods: PeriodTable | None
    check: AsOfCheck | None
    check_note: str
    notes: tuple[str, ...]

    @property
    def is_new(self) -> bool:
        """Whether the fit was made here, and is not an older one."""
        return self.periods is not None


def analyse(source: EventLog | SpellTable, analysis: Analysis, *, progress: Progress | None = None) -> AnalysisResult:
    """Go the whole way to risk, and check it against the past.

    Parameters
    ----------
    source : EventLog or SpellTable
        What happened, with the analysis' columns among its values and labels; or durations
        (``SpellTable.from_durations``), with the columns as covariates.
    analysis : Analysis
        What is asked.
    progress : callable, optional
        Told the name of the step and how much of it is done; see :func:`steps`.

    Returns
    -------
    AnalysisResult
        Tables, fit, risk and check. A fit that failed its gate is used all the same, and every status
        says ``unreliable``.

    Raises
    ------
    ChurnsurvError
        If data and settings contradict each other, or there is too little to learn from.
    """
    tell = progress or silent
    with noting() as notes:
        spells = _spells(source, analysis, tell)
        tell("features", 0.0)
        periods = periods_of(spells, analysis)
        fit, cells = _fit(periods, analysis, tell)
        at_risk = spells.with_cause(str(analysis.cause)) if _is_alone(analysis, spells.churn) else spells
        risk = _risk(fit, at_risk, analysis.horizons, analysis.seed, tell)
    with noting():  # what the check's own, shorter log lacks is no news about this one
        check, why_not = _check(spells, fit, analysis, tell)
    return AnalysisResult(fit, risk, cells, periods, check, why_not, tuple(notes))


def score(
    fit: SurvivalFit,
    source: EventLog | SpellTable,
    window: ObservationWindow | None = None,
    *,
    cause: str | None = None,
    horizons: tuple[float, ...] = (),
    seed: int = 0,
    progress: Progress | None = None,
) -> AnalysisResult:
    """Tell the risk of newer customers from an older fit, without fitting again.

    Parameters
    ----------
    fit : SurvivalFit
        A fit of any model; its definition, zone, features and bins are used.
    source : EventLog or SpellTable
        What happened, with the columns that the fit's features read; or durations, for a fit of durations.
    window : ObservationWindow, optional
        Time in which the new log is complete; it should reach back further than the features do. Not for durations.
    cause : str, optional
        The one cause of several that the fit is of; the fit itself knows it.
    horizons : tuple of float
        Days ahead; the silence, what landmarks were followed, or 90 days in three steps by default.
    seed : int
        Seed of the predictive noise.
    progress : callable, optional
        As in :func:`analyse`; see :func:`score_steps`.

    Returns
    -------
    AnalysisResult
        With the risk; there are no cells and there is no check.

    Raises
    ------
    ChurnsurvError
        If the data do not fit the fit.
    """
    tell, churn = progress or silent, fit.schema.churn
    check_seed(seed)
    longest = churn.days if isinstance(churn, Silence) else fit.schema.reach or 90.0
    with noting() as notes:
        if isinstance(source, SpellTable):
            spells = source
        elif window is None:
            raise ArgumentError("a log needs a window.", hint='write ObservationWindow("2024-01-01", "2025-01-01").')
        else:
            tell(_cutting(isinstance(churn, Silence)), 0.0)
            spells = SpellTable.from_events(source, window, churn)
        alone = cause or (fit.info.cause if len(churn.causes) > 1 else "")
        at_risk = spells.with_cause(alone) if alone else spells
        risk = _risk(fit, at_risk, horizons or default_horizons(longest), seed, tell)
    return AnalysisResult(fit, risk, None, None, None, _UNCHECKED, tuple(notes))


def _spells(source: EventLog | SpellTable, analysis: Analysis, tell: Progress) -> SpellTable:
    if isinstance(source, SpellTable):
        if analysis.churn not in (None, source.churn) or analysis.on_durations != (source.window is None):
            raise DefinitionError(
                f"the analysis asks for {analysis.churn}, and the spells follow {source.churn}.",
                hint="give Analysis the churn and window of the spells; durations need neither.",
            )
        if analysis.cause not in (None, *source.churn.causes):
            raise ArgumentError(
                f"there is no cause {analysis.cause!r}.", hint=f"causes are: {', '.join(source.churn.causes)}."
            )
        return source
    if analysis.churn is None or analysis.window is None:
        raise DefinitionError(
            "a log needs a definition of churn and a window.", hint="write Analysis(churn=…, window=…)."
        )
    tell(_cutting(isinstance(analysis.churn, Silence)), 0.0)
    return SpellTable.from_events(source, analysis.window, analysis.churn)


def periods_of(spells: SpellTable, analysis: Analysis) -> PeriodTable:
    """Rows with the analysis' covariates: from landmarks where they move, else from the beginning of each spell.

    Parameters
    ----------
    spells : SpellTable
        Times at risk.
    analysis : Analysis
        What is asked.
    """
    features = analysis.features()
    if analysis.moving:
        return PeriodTable.from_landmarks(spells, horizon=analysis.horizons[-1], features=features)
    monthly = getattr(analysis.specification(), "calendar", False)
    return PeriodTable.from_spells(spells, features=features, calendar="month" if monthly else None)


def _fit(periods: PeriodTable, analysis: Analysis, tell: Progress) -> tuple[SurvivalFit, CellTable | None]:
    """One fit, or one of each cause put together."""
    table: CellTable | Episodes
    cells = None
    if analysis.model == "hierarchical":
        tell("cells", 0.0)
        table = cells = CellTable.from_periods(periods, customers=isinstance(analysis.churn, Silence))
    else:
        tell("rows", 0.0)
        table = Episodes.from_periods(periods, bins=getattr(analysis.specification(), "bins", {}))
    causes = table.schema.causes
    if len(causes) == 1:
        return _fit_one(table, analysis, tell, 0, 1), cells
    if analysis.cause is not None:
        return _fit_one(table.with_cause(analysis.cause), analysis, tell, 0, 1), cells
    from churnsurv.models.competing import CompetingFits

    fits = {cause: _fit_one(table.with_cause(cause), analysis, tell, k, len(causes)) for k, cause in enumerate(causes)}
    return CompetingFits(fits), cells


def _fit_one(table: CellTable | Episodes, analysis: Analysis, tell: Progress, k: int, n: int) -> SurvivalFit:
    """Fit the k-th of n causes."""
    step = "sampling" if analysis.model == "hierarchical" else "fitting"
    settings: dict[str, Any] = {"rng": analysis.seed, "draws": analysis.draws}
    settings["progress"] = lambda done, _: tell(step, (k + done) / n)
    model: Any = analysis.specification()
    try:
        fit: SurvivalFit = model.fit(table, **settings)
    except SeparationError as error:
        warnings.warn(
            f"{error.what} All effects are drawn towards zero, by about one hundredth where the data say much and by more"
            ' where they say little. Hint: model="hierarchical" lets thin groups lean on the others.',
            DataWarning,
            stacklevel=2,
        )
        fit = replace(model, penalizer=RIDGE).fit(table, **settings)
    if fit.info.status == "interrupted":
        # The sampler keeps what it has when Ctrl-C comes; whoever pressed it wants no report of that.
        raise KeyboardInterrupt
    return fit


def _risk(fit: SurvivalFit, spells: SpellTable, horizons: tuple[float, ...], seed: int, tell: Progress) -> RiskTable:
    from churnsurv.risk.predict import churn_risk

    tell("risk", 0.0)

    # A failed gate is told by status, banner and summary; refusing here would leave the user with nothing to look at.
    def told(ahead: tuple[float, ...]) -> RiskTable:
        return churn_risk(fit, spells, ahead, rng=seed, allow_unreliable=True, progress=lambda d, _: tell("risk", d))

    try:
        return told(horizons)
    except UnreachableHorizonError as error:
        warnings.warn(f"{error.what[0].upper()}{error.what[1:]} It is left out.", DataWarning, stacklevel=2)
        return told(error.within)


def _models(fit: SurvivalFit) -> list[Any]:
    """Specification of a fit, or of each cause's."""
    return list(fit.model.values()) if isinstance(fit.model, dict) else [fit.model]


def _check(spells: SpellTable, fit: SurvivalFit, analysis: Analysis, tell: Progress) -> tuple[AsOfCheck | None, str]:
    """Make the analysis again as of an earlier day; an earlier, thinner log may need the penalty as well."""
    from churnsurv.risk.checks import as_of_check

    if spells.log is None:
        return None, _NO_PAST
    if _is_alone(analysis, spells.churn):
        return None, _ALONE
    tell("check", 0.0)
    model: Any = analysis.specification()
    if any(getattr(one, "penalizer", 0.0) > 0 for one in _models(fit)):
        model = replace(model, penalizer=RIDGE)
    try:
        check = as_of_check(
            spells,
            model,
            features=analysis.features(),
            bins=getattr(model, "bins", None),
            horizon=None if isinstance(spells.churn, Silence) else analysis.horizons[-1],
            as_of="landmark" if analysis.moving else "spell",
            rng=analysis.seed,
            progress=lambda done, _: tell("check", done),
        )
    except ChurnsurvError as error:
        return None, f"The check could not be made: {error.what}"
    return check, ""
