"""Predicted curves of spells that a fit has not seen, beside what became of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from churnsurv._typing import FloatArray, IntArray, StrArray
from churnsurv._validate import check_horizons
from churnsurv.errors import EmptyDataError, ModelSupportError
from churnsurv.models.competing_rows import CauseRows
from churnsurv.tables.episodes import Episodes
from churnsurv.tables.open_spells import check_same_definition
from churnsurv.tables.periods import PeriodTable

if TYPE_CHECKING:
    from churnsurv.models.base import SurvivalFit
    from churnsurv.tables.spells import SpellTable

_NUMBERS_AT_ONCE = 20_000_000
"""Draws × customers × times that are held together: 160 MB."""
_MOST_TIMES = 4_000
"""Different moments of the clock at which curves are computed."""


@dataclass(frozen=True, eq=False)
class HeldOutCurves:
    """Predicted curves of spells beside what became of them, counted from when each came under observation; n spells.

    Parameters
    ----------
    customer_id : array of shape (n,)
        Ids.
    time : array of shape (n,)
        Days from the entry to the event or to censoring.
    event : array of int, shape (n,)
        1 event, of whatever cause; 0 censored.
    weight : array of shape (n,) or None
        Frequencies.
    times : array of shape (k,)
        Days from the entry.
    survival : array of shape (n, k)
        Probability of no event by each, given none by the entry; average over the draws.
    levels : mapping of str to array of shape (n,)
        Level of each column.
    n_refused : int
        Spells of which the fit can say nothing.
    """

    customer_id: StrArray
    time: FloatArray
    event: IntArray
    weight: FloatArray | None
    times: FloatArray
    survival: FloatArray
    levels: dict[str, StrArray]
    n_refused: int

    def at(self, time: FloatArray) -> FloatArray:
        """Predicted survival at each customer's own time, its hazard constant between the times of the curve, shape (n,)."""
        grid = np.concatenate([[0.0], self.times])
        with np.errstate(divide="ignore"):
            fallen = -np.log(np.concatenate([np.ones((len(self.time), 1)), self.survival], axis=1))
        right = np.clip(np.searchsorted(grid, time, side="left"), 1, len(grid) - 1)
        rows = np.arange(len(time))
        share = np.clip((time - grid[right - 1]) / (grid[right] - grid[right - 1]), 0.0, 1.0)
        low, high = fallen[rows, right - 1], fallen[rows, right]
        return np.asarray(np.exp(-(low + np.where(share > 0, share * (high - low), 0.0))))


def held_out_curves(fit: SurvivalFit, spells: SpellTable, times: Sequence[float] | FloatArray) -> HeldOutCurves:
    """Predict the curve of each spell from what was known when it opened, given that it reached its entry.

    Cost: draws × spells × times, in chunks of 160 MB.

    Parameters
    ----------
    fit : SurvivalFit
        Whose features stand still within a spell.
    spells : SpellTable
        Spells that the fit has not seen: of other customers, or other dates.
    times : sequence of float
        Days from the entry, increasing.

    Raises
    ------
    DefinitionError
        If the spells follow another definition than the fit.
    ModelSupportError
        If features move, or the fit follows landmarks.
    EmptyDataError
        If nothing can be said of any spell.
    """
    at = np.asarray(check_horizons(list(times), "times"))
    check_same_definition(spells, fit.schema)
    if fit.schema.as_of == "landmark":
        raise ModelSupportError(
            "the fit counts from landmarks, and spells from their beginning.",
            consequence="Its curve from a spell's beginning is none of its answers.",
            hint="backtest(log, …) holds it against what happened after each date.",
        )
    periods = PeriodTable.from_spells(spells, features=fit.schema.features)
    rows = Episodes.from_periods(periods)
    if len(rows.start) != rows.n_spells:
        raise ModelSupportError(
            f"{len(rows.start):,} rows for {rows.n_spells:,} spells: features move within them.",
            consequence="What a spell will learn later is not known when it opens.",
            hint="score a fit whose features are known at the spell's beginning.",
        )
    view = CauseRows.of(rows, fit.schema)
    told = ~np.asarray(fit.unseen(view), bool)
    if not told.any():
        raise EmptyDataError("the fit can say nothing of any spell.", hint="look at fit.unseen: levels it never saw.")
    kept = np.flatnonzero(told)
    survival = _curves(fit, view.take(kept), rows.start[kept], at)
    known = ~np.isnan(survival).any(axis=1)
    kept, survival = kept[known], survival[known]
    return HeldOutCurves(
        customer_id=rows.customer_id[kept],
        time=(rows.stop - rows.start)[kept],
        event=(rows.event[kept] > 0).astype(np.int64),
        weight=None if rows.weight is None else rows.weight[kept],
        times=at,
        survival=survival,
        levels={column.name: level[kept] for column, level in zip(fit.schema.columns, view.levels, strict=True)},
        n_refused=len(told) - len(kept),
    )


def _curves(fit: SurvivalFit, rows: CauseRows, entry: FloatArray, times: FloatArray) -> FloatArray:
    """Average over the draws of S(entry + t) / S(entry), shape (n, k): a ratio for each draw."""
    clock = np.concatenate([entry[:, None], entry[:, None] + times], axis=1)
    grid, place = np.unique(np.round(clock, 9), return_inverse=True)
    if len(grid) > _MOST_TIMES:
        raise ModelSupportError(
            f"{len(grid):,} different moments of the clock are asked about: entries and times together.",
            consequence="Curves of every spell at all of them would not fit into memory.",
            hint="fewer times, or entries in whole days or months.",
        )
    place = place.reshape(clock.shape)
    size = max(1, _NUMBERS_AT_ONCE // (fit.n_draws * len(grid)))
    found = np.empty((len(entry), len(times)))
    for first in range(0, len(entry), size):
        some = np.arange(first, min(first + size, len(entry)))
        draws = fit.predict_survival_function(rows.take(some), grid).values  # type: ignore[attr-defined]
        draws = draws.reshape(-1, len(some), len(grid))
        at = np.take_along_axis(draws, np.broadcast_to(place[some], (len(draws), *place[some].shape)), axis=2)
        with np.errstate(divide="ignore", invalid="ignore"):
            found[some] = np.mean(at[:, :, 1:] / at[:, :, :1], axis=0)
    return found
