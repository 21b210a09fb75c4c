"""The whole way of a shop's log in one call: settings in, tables, fit, risk and check out.

``churnsurv report`` and ``churnsurv demo`` call :func:`analyse`, ``churnsurv score`` calls
:func:`score`; both work the same from Python.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from churnsurv.errors import ArgumentError, ChurnsurvError, ChurnsurvWarning, DataWarning
from churnsurv.tables.cells import CellTable
from churnsurv.tables.churn import Silence
from churnsurv.tables.events import EventLog
from churnsurv.tables.features import Count, Feature, Rhythm, Value
from churnsurv.tables.periods import PeriodTable
from churnsurv.tables.spells import SpellTable
from churnsurv.tables.window import ObservationWindow

if TYPE_CHECKING:
    from churnsurv.models.base import SurvivalFit
    from churnsurv.models.hierarchical import HierarchicalModel
    from churnsurv.risk.checks import AsOfCheck
    from churnsurv.risk.table import RiskTable

Progress = Callable[[str, float], None]
"""Called with the name of a step and how much of it is done, from 0 to 1."""

STEPS: Final = ("gaps", "features", "cells", "sampling", "risk", "check")
"""Steps of :func:`analyse`, in order."""

SCORE_STEPS: Final = ("gaps", "risk")
"""Steps of :func:`score`, in order."""


def _silent(_step: str, _done: float) -> None:
    return None


def default_horizons(days: float) -> tuple[float, ...]:
    """Horizons worth asking for: a third, two thirds and the whole of the silence, in whole days.

    Parameters
    ----------
    days : float
        Silence that defines churn, in days, > 0.

    Returns
    -------
    tuple of float
        Increasing days.

    Examples
    --------
    >>> default_horizons(90), default_horizons(2)
    ((30.0, 60.0, 90.0), (1.0, 2.0))
    """
    return tuple(sorted({float(max(1, round(days * k / 3))) if k < 3 else float(days) for k in (1, 2, 3)}))


def _check_seed(seed: int) -> None:
    if seed < 0:
        raise ArgumentError(f"seed={seed} is negative.", hint="any whole number from 0 on will do, such as seed=1.")


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """What is asked of a log: churn, window, covariates and horizons.

    Parameters
    ----------
    window : ObservationWindow
        Time in which the log is complete.
    churn : Silence
        What counts as churned.
    value : str, optional
        Numeric column of the log, such as the revenue of an order: a covariate.
    groups : tuple of str
        Text columns of the log, such as the country: each gets a random effect by group.
    look_back : float, optional
        Days over which activity is counted before a gap; the silence unless given.
    horizons : tuple of float, optional
        Days ahead; see :func:`default_horizons`.
    draws : int
        Posterior draws per chain, > 0.
    seed : int
        Seed of everything random.

    Raises
    ------
    ArgumentError
        If a setting has no meaning.
    HorizonError
        If a horizon exceeds the silence.
    """

    window: ObservationWindow
    churn: Silence
    value: str | None = None
    groups: tuple[str, ...] = ()
    look_back: float | None = None
    horizons: tuple[float, ...] = ()
    draws: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        """Fill in what was left open, and check once."""
        object.__setattr__(self, "groups", tuple(self.groups))
        look_back = self.churn.days if self.look_back is None else float(self.look_back)
        object.__setattr__(self, "look_back", look_back)
        horizons = tuple(float(h) for h in self.horizons) or default_horizons(self.churn.days)
        object.__setattr__(self, "horizons", tuple(sorted(set(horizons))))
        for horizon in self.horizons:
            self.churn.check_horizon(horizon)
        if self.draws < 1:
            raise ArgumentError(f"draws={self.draws} is less than 1.", hint="a thousand draws per chain is usual.")
        _check_seed(self.seed)
        covered = self.window.days("UTC")
        if self.churn.days >= covered:
            raise ArgumentError(
                f"a silence of {self.churn.days:g} days does not fit into a window of {covered:.0f} days.",
                consequence="Nobody can be seen to complete it, so no chance of churn could be told.",
                hint="a shorter silence, or a longer log.",
            )
        if not 0 < look_back < math.inf:
            raise ArgumentError(
                f"a look-back of {look_back:g} days is not positive.",
                hint="count a customer's habits over the same time as the silence, or longer.",
            )

    def features(self) -> tuple[Feature, ...]:
        """Declare the covariates a shop has: how often, how regularly, how much, and where.

        Where several kinds count as activity, value and groups are read from the latest event of the
        first kind, within the look-back.
        """
        days = cast(float, self.look_back)
        kinds = self.churn.kinds
        habits: list[Feature] = [
            feature for kind in kinds for feature in (Count(kind, days=days), Rhythm(kind, days=days))
        ]
        within = None if len(kinds) == 1 else days
        columns = ([self.value] if self.value else []) + list(self.groups)
        return (*habits, *(Value(kinds[0], column, days=within, name=_name(column)) for column in columns))

    def model(self) -> HierarchicalModel:
        """Specify the model of these covariates."""
        from churnsurv.models.hierarchical import HierarchicalModel

        groups = tuple(_name(column) for column in self.groups)
        terms = [feature.name for feature in self.features() if feature.name not in groups]
        # A shop with one country, or one price, is no reason to refuse: what cannot be told apart is left out, and said.
        return HierarchicalModel(formula=" + ".join(terms), groups=groups, on_bad="drop")


@dataclass(frozen=True, eq=False)
class AnalysisResult:
    """Everything that :func:`analyse` or :func:`score` made.

    Parameters
    ----------
    fit : SurvivalFit
        The posterior.
    risk : RiskTable
        Chances of the customers who are active at the window's end.
    cells : CellTable or None
        What the model was fitted on; ``None`` where an older fit was used.
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
    check: AsOfCheck | None
    check_note: str
    notes: tuple[str, ...]


def analyse(log: EventLog, analysis: Analysis, *, progress: Progress | None = None) -> AnalysisResult:
    """Go the whole way from a log to risk, and check it against the past.

    Parameters
    ----------
    log : EventLog
        What happened; ``analysis.value`` is among its values, ``analysis.groups`` among its labels.
    analysis : Analysis
        What is asked.
    progress : callable, optional
        Told the name of the step and how much of it is done.

    Returns
    -------
    AnalysisResult
        Tables, fit, risk and check. A fit that failed its gate is used all the same, and every status
        says ``unreliable``.

    Raises
    ------
    ChurnsurvError
        If log and settings contradict each other, or there is too little to learn from.
    """
    tell = progress or _silent
    with noting() as notes:
        tell("gaps", 0.0)
        spells = SpellTable.from_events(log, analysis.window, analysis.churn)
        tell("features", 0.0)
        periods = PeriodTable.from_spells(spells, features=analysis.features())
        tell("cells", 0.0)
        cells = CellTable.from_periods(periods)
        model = analysis.model()
        fit = model.fit(cells, rng=analysis.seed, draws=analysis.draws, progress=_step(tell, "sampling"))
        if fit.info.status == "interrupted":
            # The sampler keeps what it has when Ctrl-C comes; whoever pressed it wants no report of that.
            raise KeyboardInterrupt
        risk = _risk(fit, spells, analysis.horizons, analysis.seed, tell)
    with noting():  # what the check's own, shorter log lacks is no news about this one
        check, why_not = _check(spells, analysis, _step(tell, "check"))
    return AnalysisResult(fit, risk, cells, check, why_not, tuple(notes))


def score(
    fit: SurvivalFit,
    log: EventLog,
    window: ObservationWindow,
    *,
    horizons: tuple[float, ...] = (),
    seed: int = 0,
    progress: Progress | None = None,
) -> AnalysisResult:
    """Tell the risk of a newer log's customers from an older fit, without fitting again.

    Parameters
    ----------
    fit : SurvivalFit
        A fit; its definition, zone, features and bins are used.
    log : EventLog
        What happened, with the columns that the fit's features read.
    window : ObservationWindow
        Time in which the new log is complete; it should reach back further than the features do.
    horizons : tuple of float
        Days ahead; see :func:`default_horizons`.
    seed : int
        Seed of the predictive noise.
    progress : callable, optional
        As in :func:`analyse`.

    Returns
    -------
    AnalysisResult
        With the risk; there are no cells and there is no check.

    Raises
    ------
    ChurnsurvError
        If the log does not fit the fit.
    """
    tell = progress or _silent
    _check_seed(seed)
    with noting() as notes:
        tell("gaps", 0.0)
        spells = SpellTable.from_events(log, window, fit.schema.churn)
        risk = _risk(fit, spells, horizons or default_horizons(fit.schema.churn.days), seed, tell)
    why_not = "An earlier fit was used as it is, so it was not checked against what happened since."
    return AnalysisResult(fit, risk, None, None, why_not, tuple(notes))


def _risk(fit: SurvivalFit, spells: SpellTable, horizons: tuple[float, ...], seed: int, tell: Progress) -> RiskTable:
    from churnsurv.risk.predict import churn_risk

    tell("risk", 0.0)
    # A failed gate is told by status, banner and summary; refusing here would leave the user with nothing to look at.
    return churn_risk(fit, spells, horizons, rng=seed, allow_unreliable=True, progress=_step(tell, "risk"))


def _check(
    spells: SpellTable, analysis: Analysis, progress: Callable[[float, str], None]
) -> tuple[AsOfCheck | None, str]:
    from churnsurv.risk.checks import as_of_check

    progress(0.0, "")
    try:
        check = as_of_check(
            spells,
            analysis.model(),
            features=analysis.features(),
            rng=analysis.seed,
            progress=progress,
        )
    except ChurnsurvError as error:
        return None, f"The check could not be made: {error.what}"
    return check, ""


def _step(tell: Progress, step: str) -> Callable[[float, str], None]:
    return lambda done, _detail: tell(step, done)


@contextmanager
def noting() -> Iterator[list[str]]:
    """Collect the library's warnings, so that they reach the report and not a terminal's scrollback.

    Yields
    ------
    list of str
        Filled on leaving: each warning about the data once. What the report states on its own, such as
        that intervals are too narrow, is left out. Warnings of other libraries pass through.
    """
    notes: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ChurnsurvWarning)
        yield notes
    for one in caught:
        if issubclass(one.category, DataWarning):
            notes += [str(one.message)] if str(one.message) not in notes else []
        elif not issubclass(one.category, ChurnsurvWarning):
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)


def _name(column: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in column).strip("_").lower() or "x"
