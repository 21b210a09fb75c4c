"""Which model to trust on a log: all of them at earlier dates, against what happened then."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from churnsurv.analysis.contenders import contenders
from churnsurv.analysis.notes import noting
from churnsurv.analysis.run import Progress, silent
from churnsurv.analysis.settings import Analysis
from churnsurv.errors import DefinitionError, EmptyDataError, WindowError
from churnsurv.tables.churn import Silence
from churnsurv.tables.events import EventLog
from churnsurv.tables.histories import longest_lookback
from churnsurv.tables.window import DAY_US, moment_of, read_zone

if TYPE_CHECKING:
    from churnsurv.risk.backtest import Backtest
    from churnsurv.risk.leaderboard import Leaderboard

COMPARE_STEPS: Final = ("comparing", "scores")
"""Names of the steps of :func:`compare`, in order."""

_DATES: Final = 4
_CLOCKS: Final = 0.1
"""Days by which two dates may be closer than a horizon only because clocks were changed between them."""
_LEARNT: Final = 1.25
"""Silences, or horizons, of known past that a first date has behind it: with one alone nobody was seen to complete it."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """Everything that :func:`compare` made.

    Parameters
    ----------
    result : Backtest
        Every forecast, and what followed.
    board : Leaderboard
        Models in order.
    spacing : float
        Days between two dates, NaN for one date.
    notes : tuple of str
        Warnings that were given on the way.
    """

    result: Backtest
    board: Leaderboard
    spacing: float
    notes: tuple[str, ...]

    @property
    def overlapping(self) -> bool:
        """Whether the longest horizon of a date reaches beyond the next one: part of what happened counts twice."""
        return self.spacing < self.result.horizons[-1] - _CLOCKS


def usual_cutoffs(
    analysis: Analysis, timezone: str, n: int = _DATES, *, look_back: float | None = None
) -> tuple[str, ...]:
    """Dates to go back to: the last one followed for the longest horizon, the others evenly before it.

    They are a horizon apart where the log is long enough, and closer where it is not: the first one must leave behind it
    the look-back of the features and a quarter more than the silence, or than the horizon under contract.

    Parameters
    ----------
    analysis : Analysis
        What is asked, of a log.
    timezone : str
        Zone of the log.
    n : int
        Dates; fewer where they would be less than a week apart.
    look_back : float, optional
        Days that features reach back; those of the analysis by default.

    Returns
    -------
    tuple of str
        ISO dates.

    Raises
    ------
    WindowError
        If there is no date.
    DefinitionError
        If the analysis is one of durations.

    Examples
    --------
    >>> from churnsurv import ObservationWindow
    >>> shop = Analysis(churn=Silence(("order",), 90), window=ObservationWindow("2010-12-01", "2011-12-10"))
    >>> usual_cutoffs(shop, "Europe/London")
    ('2011-06-22', '2011-07-19', '2011-08-15', '2011-09-11')
    """
    if analysis.window is None or analysis.churn is None:
        raise DefinitionError(
            "durations carry no dates, so there is no earlier day to go back to.",
            hint="compare models on a log of events; or hold out customers: churnsurv.risk.durations.score_durations.",
        )
    start, end = analysis.window.resolve(timezone)
    horizon = analysis.horizons[-1]
    length = (end - start) / DAY_US
    reach = analysis.churn.days if isinstance(analysis.churn, Silence) else horizon
    latest, earliest = (
        length - horizon,
        math.ceil((analysis.days_back if look_back is None else look_back) + _LEARNT * reach),
    )
    if latest < earliest:
        raise WindowError(
            f"the log has {length:.0f} days, and {earliest + horizon:.0f} are needed to go back to one date.",
            consequence=f"A date needs {earliest:.0f} days behind it to learn from and {horizon:g} ahead to be held against.",
            hint="a longer log, a shorter look-back, or shorter horizons.",
        )
    room = latest - earliest
    n = min(n, 1 + int(room // 7))
    step = min(horizon, math.floor(room / (n - 1))) if n > 1 else 0.0
    zone = read_zone(timezone)
    days = [latest - k * step for k in range(n - 1, -1, -1)]
    # The midnight before each moment: where clocks were changed on the way, a later one would be followed too briefly.
    return tuple(f"{moment_of(start + round(day * DAY_US)).astimezone(zone):%Y-%m-%d}" for day in days)


def compare(
    log: EventLog,
    analysis: Analysis,
    names: Sequence[str] = (),
    *,
    cutoffs: int | Sequence[str] = _DATES,
    cache: str | Path | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Fit models at earlier dates on what was known then, score everybody, and say who was closest to what happened.

    Parameters
    ----------
    log : EventLog
        What happened, with the analysis' columns among its values and labels.
    analysis : Analysis
        What is asked; its columns, habits, horizons, draws and seed are every model's.
    names : sequence of str
        Models by name, see :data:`~churnsurv.analysis.contenders.CONTENDERS`; the usual ones by default.
    cutoffs : int or sequence of str
        How many dates (see :func:`usual_cutoffs`), or which.
    cache : path, optional
        Folder of forecasts that were made before; see :func:`~churnsurv.risk.backtest.backtest`.
    progress : callable, optional
        Told the name of the step and how much of it is done; see :data:`COMPARE_STEPS`.

    Returns
    -------
    Comparison
        Forecasts, leaderboard and notes.

    Raises
    ------
    ChurnsurvError
        If data and settings contradict each other, or there is too little to learn from.
    """
    from churnsurv.risk.backtest import backtest

    tell = progress or silent
    recipes = contenders(analysis, names)
    if isinstance(cutoffs, int):
        back = max(longest_lookback(recipe.features) for recipe in recipes.values())
        dates = usual_cutoffs(analysis, log.timezone, cutoffs, look_back=back)
    else:
        dates = tuple(cutoffs)
    if analysis.window is None or analysis.churn is None:
        raise DefinitionError(
            "a log needs a definition of churn and a window.", hint="write Analysis(churn=…, window=…)."
        )
    with noting() as notes:
        result = backtest(
            log,
            analysis.window,
            analysis.churn,
            recipes,
            dates,
            analysis.horizons,
            rng=analysis.seed,
            cache=cache,
            progress=lambda done, _: tell("comparing", done),
        )
        tell("scores", 0.0)
        board = _board(result, analysis.seed)
    if isinstance(cutoffs, int) and len(dates) < cutoffs:
        notes.append(
            f"There are {len(dates)} dates in place of {cutoffs}: the log is too short for more, a week apart."
        )
    followed = [cutoff.followed for cutoff in result.cutoffs]
    spacing = min((a - b for a, b in itertools.pairwise(followed)), default=math.nan)
    return Comparison(result, board, spacing, tuple(notes))


def _board(result: Backtest, seed: int) -> Leaderboard:
    """Models in order; where no date is left that all share, why each of them failed."""
    from churnsurv.risk.leaderboard import leaderboard

    try:
        return leaderboard(result, rng=seed)
    except EmptyDataError as error:
        reasons = "; ".join(f"{name} at {date}: {why}" for (name, date), why in result.failures().items())
        failed = {name for name, _ in result.failures()}
        able = [name for name in result.models[:-1] if name not in failed]
        raise EmptyDataError(
            f"{error.what} {reasons}",
            consequence="Models scored at different dates cannot be put in an order.",
            hint=f"leave out who failed: --models {','.join(able)}." if able else "a longer log, or other columns.",
        ) from error
