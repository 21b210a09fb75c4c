"""How long customers last: curves and their means, for definitions that describe and do not predict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from churnsurv._typing import FloatArray, StrArray
from churnsurv.analysis.covariates import name_of
from churnsurv.analysis.notes import noting
from churnsurv.errors import HorizonError
from churnsurv.hazards.curves import KaplanMeier
from churnsurv.hazards.nonparametric import kaplan_meier
from churnsurv.tables.churn import ChurnDefinition
from churnsurv.tables.episodes import Episodes
from churnsurv.tables.events import EventLog
from churnsurv.tables.features import Value
from churnsurv.tables.periods import PeriodTable
from churnsurv.tables.spells import SpellTable
from churnsurv.tables.window import ObservationWindow

if TYPE_CHECKING:
    import pandas as pd

EVERYONE: Final = "everyone"
"""What the curve of all customers together is called."""

_SMALL: Final = 10
"""Spells at risk below which a curve is not shown: a step would be one customer's."""

_MOST_GROUPS: Final = 8
"""Curves of one column, those of its largest groups."""

_LONGEST: Final = 365.0


@dataclass(frozen=True, eq=False)
class Lifetimes:
    """Kaplan–Meier curves on the tenure clock, of everyone and by group.

    Parameters
    ----------
    spells : SpellTable
        What they were estimated on.
    curves : dict of (str, str) to KaplanMeier
        By column and group; ``("", "everyone")`` comes first.
    n_spells : dict of (str, str) to int
        Spells of each.
    horizon : float
        Days to which the restricted means reach: a year, or less where some curve ends earlier.
    left_out : tuple of str
        Groups without a curve, and why, in words.
    notes : tuple of str
        Warnings that were given on the way.
    """

    spells: SpellTable
    curves: dict[tuple[str, str], KaplanMeier]
    n_spells: dict[tuple[str, str], int]
    horizon: float
    left_out: tuple[str, ...]
    notes: tuple[str, ...]

    def frame(self) -> pd.DataFrame:
        """Curves as rows by whole day, as far as ten spells are at risk.

        Returns
        -------
        pandas.DataFrame
            ``by, group, days, survival, lower, upper, n_at_risk, ci_kind, ci_prob``: the share without the event up to
            and including the day, with pointwise bounds (NaN before the first event).
        """
        import pandas as pd

        parts = [_steps(curve).assign(by=by, group=group) for (by, group), curve in self.curves.items()]
        rows = pd.concat(parts, ignore_index=True)
        curve = next(iter(self.curves.values()))
        columns = ["by", "group", "days", "survival", "lower", "upper", "n_at_risk"]
        return rows[columns].assign(ci_kind=curve.ci_kind, ci_prob=curve.ci_prob)

    def summary(self) -> pd.DataFrame:
        """One row per curve.

        Returns
        -------
        pandas.DataFrame
            ``by, group, n_spells, n_events, median`` (days; NaN where half are never lost), ``mean_days`` (expected days
            without the event up to :attr:`horizon`) with ``lower, upper``.
        """
        import pandas as pd

        rows = []
        for (by, group), curve in self.curves.items():
            mean = curve.restricted_mean(self.horizon)
            rows.append(
                {
                    "by": by,
                    "group": group,
                    "n_spells": self.n_spells[by, group],
                    "n_events": round(curve.n_events.sum()),
                    "median": curve.median(),
                    "mean_days": mean.estimate,
                    "lower": mean.lower,
                    "upper": mean.upper,
                }
            )
        return pd.DataFrame(rows)


def lifetimes(
    log: EventLog,
    window: ObservationWindow,
    churn: ChurnDefinition,
    *,
    groups: Sequence[str] = (),
    look_back: float = 90.0,
    ci_prob: float = 0.90,
) -> Lifetimes:
    """Estimate how long customers last, with late entry where they began before the window.

    Parameters
    ----------
    log : EventLog
        What happened, with ``groups`` among its labels.
    window : ObservationWindow
        Time in which the log is complete.
    churn : Inactivity or Cancellation
        Definition on the tenure clock; several causes count as one.
    groups : sequence of str
        Text columns: a curve for each of their largest groups, as read from the event that opens a spell. Where several
        kinds open one, from the latest of the first kind within ``look_back`` days.
    look_back : float
        Days.
    ci_prob : float
        Probability of the bounds.

    Returns
    -------
    Lifetimes
        Curves.

    Raises
    ------
    ChurnsurvError
        If log and definition contradict each other.
    """
    with noting() as notes:
        spells = SpellTable.from_events(log, window, churn)
        kind, days = churn.opening[0] if churn.opening else "", None if len(churn.opening) == 1 else look_back
        features = [Value(kind, column, days=days, name=name_of(column)) for column in groups]
        rows = Episodes.from_periods(PeriodTable.from_spells(spells, features=features))
        found, left_out = _groups(rows, groups)
        curves = {
            key: kaplan_meier(rows.stop[inside], rows.event[inside] > 0, entry=rows.start[inside], ci_prob=ci_prob)
            for key, inside in found.items()
        }
    known = {key: curve for key, curve in curves.items() if _reach(curve) > 0}
    horizon = min([_LONGEST, *(_reach(curve) for curve in known.values())])
    sizes = {key: int(inside.sum()) for key, inside in found.items()}
    return Lifetimes(spells, known or curves, sizes, horizon, left_out, tuple(notes))


def _groups(rows: Episodes, columns: Sequence[str]) -> tuple[dict[tuple[str, str], np.ndarray], tuple[str, ...]]:
    """Rows of everyone and of the largest groups, and what is left out."""
    found = {("", EVERYONE): np.ones(len(rows), bool)}
    left_out = []
    for k, column in enumerate(columns):
        levels: StrArray = np.asarray(rows.schema.columns[k].labels, dtype=object)[rows.codes[:, k]]
        names, counts = np.unique(levels.astype(str), return_counts=True)
        order = np.lexsort((names, -counts))
        kept = [n for n in order[:_MOST_GROUPS] if counts[n] >= _SMALL]
        found |= {(column, str(names[n])): levels == names[n] for n in kept}
        if len(kept) < len(names):
            left_out.append(
                f"{len(names) - len(kept)} of {len(names)} groups of {column} have no curve of their own: shown are at most"
                f" {_MOST_GROUPS}, of {_SMALL} spells or more."
            )
    return found, tuple(left_out)


def _reach(curve: KaplanMeier) -> float:
    """Last time at which the curve rests on enough spells."""
    enough = np.flatnonzero(curve.n_at_risk >= _SMALL)
    if not len(enough):
        return 0.0
    last = float(curve.times[enough[-1]])
    try:
        curve.restricted_mean_survival_time(last)
    except HorizonError:
        return 0.0
    return last


def _steps(curve: KaplanMeier) -> pd.DataFrame:
    """Rows by whole day: a step at its exact time would tell one customer's date."""
    import pandas as pd

    shown = curve.n_at_risk >= _SMALL
    steps = pd.DataFrame(
        {
            "days": np.ceil(curve.times[shown]),
            "survival": curve.survival[shown],
            "lower": curve.lower[shown],
            "upper": curve.upper[shown],
            "n_at_risk": np.round(curve.n_at_risk[shown]).astype(np.int64),
        }
    )
    steps = steps.groupby("days", as_index=False, sort=True).last()
    first: FloatArray = curve.n_at_risk[shown][:1]
    start = pd.DataFrame({"days": [0.0], "survival": [1.0], "n_at_risk": np.round(first).astype(np.int64)})
    return pd.concat([start, steps[steps["days"] > 0]], ignore_index=True)
