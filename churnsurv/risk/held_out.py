"""Predicted curves of spells that a fit has not seen, beside what became of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from churnsurv._typing import FloatArray, IntArray, StrArray
from churnsurv._validate import check_horizons
from churnsurv.errors import EmptyDataError, HorizonError, ModelSupportError
from churnsurv.models.base import needs_history
from churnsurv.models.competing_rows import CauseRows
from churnsurv.tables.episodes import Episodes
from churnsurv.tables.open_spells import check_same_definition
from churnsurv.tables.periods import PeriodTable

if TYPE_CHECKING:
    from churnsurv.models.base import SurvivalFit
    from churnsurv.tables.spells import SpellTable

_NUMBERS_AT_ONCE = 20_000_000
"""Draws × customers × times that are held together: 160 MB."""
_DRAWS = 500
"""Draws that a curve is averaged over: what is scored is a mean, not a tail."""


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
        1 event; 0 censored. Of whatever cause, but for a fit of one cause: there the others are censored.
    weight : array of shape (n,) or None
        Frequencies.
    times : array of shape (k,)
        Days from the entry.
    survival : array of shape (n, k)
        Probability of no event by each, given none by the entry; average over 500 draws.
    levels : mapping of str to array of shape (n,)
        Level of each column.
    n_refused : int
        Spells of which the fit can say nothing.
    grain : float or None
        Days of the unit that times are known to; ``None`` where they are exact.
    """

    customer_id: StrArray
    time: FloatArray
    event: IntArray
    weight: FloatArray | None
    times: FloatArray
    survival: FloatArray
    levels: dict[str, StrArray]
    n_refused: int
    grain: float | None = None

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

    Cost: 500 draws × spells × times, in chunks of 160 MB.

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
    HorizonError
        If times do not increase.
    EmptyDataError
        If nothing can be said of any spell.
    """
    at = np.asarray(check_horizons(times if isinstance(times, (int, float)) else list(times), "times"))
    if np.any(np.diff(at) <= 0):
        raise HorizonError(
            f"times {', '.join(f'{one:g}' for one in at[:3])} … do not increase.", hint="sort them: sorted(times)."
        )
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
    if not known.any():
        raise EmptyDataError(
            f"the fit tells no curve of {len(at)} times, up to {at[-1]:g} days after entry, for any of {len(kept):,} spells.",
            consequence="Beyond what it has learnt a fit says nothing.",
            hint="earlier times, or a fit of longer spells.",
        )
    kept, survival = kept[known], survival[known]
    return HeldOutCurves(
        customer_id=rows.customer_id[kept],
        time=(rows.stop - rows.start)[kept],
        event=_happened(fit, rows.event[kept]),
        weight=None if rows.weight is None else rows.weight[kept],
        times=at,
        survival=survival,
        levels={column.name: level[kept] for column, level in zip(fit.schema.columns, view.levels, strict=True)},
        n_refused=len(told) - len(kept),
        grain=spells.grain,
    )


def _happened(fit: SurvivalFit, event: IntArray) -> IntArray:
    """Events that the fit is about."""
    causes, cause = fit.schema.churn.causes, getattr(fit.info, "cause", "")
    if len(causes) > 1 and cause in causes:
        return np.asarray(event == causes.index(cause) + 1, np.int64)
    return np.asarray(event > 0, np.int64)


def _curves(fit: SurvivalFit, rows: CauseRows, entry: FloatArray, times: FloatArray) -> FloatArray:
    """Average over the draws of S(entry + t) / S(entry), shape (n, k): a ratio for each draw."""
    if needs_history(fit):
        return _curves_of_strangers(fit, rows, entry, times)
    rows, found = replace(rows, reached=entry), np.empty((len(entry), len(times)))
    index = np.unique(np.linspace(0, fit.n_draws - 1, min(_DRAWS, fit.n_draws)).round().astype(np.int64))
    size = max(1, _NUMBERS_AT_ONCE // (len(index) * len(times)))
    for first in range(0, len(entry), size):
        some = np.arange(first, min(first + size, len(entry)))
        found[some] = fit.conditional_survival(rows.take(some), entry[some, None] + times, draws=index).mean(axis=0)
    return found


def _curves_of_strangers(fit: SurvivalFit, rows: CauseRows, entry: FloatArray, times: FloatArray) -> FloatArray:
    """The same of a fit that goes by each customer's past, and is told none: curves of customers whom it has never seen."""
    if not hasattr(fit, "predict_survival_function"):
        raise ModelSupportError(
            f"a {type(fit).__name__} of fits with a frailty has no curve of customers without their past.",
            consequence="Held-out spells are those of strangers.",
            hint="score the fit itself, or that of each cause: held_out_curves(fits.fits[cause], …).",
        )
    clock = np.round(np.concatenate([entry[:, None], entry[:, None] + times], axis=1), 9)
    size = max(1, _NUMBERS_AT_ONCE // (fit.n_draws * clock.shape[1]))
    found = np.empty((len(entry), len(times)))
    for alike in _alike(rows):
        for first in range(0, len(alike), size):
            some = alike[first : first + size]
            grid, place = np.unique(clock[some], return_inverse=True)
            draws = fit.predict_survival_function(rows.take(some[:1]), grid).values.reshape(-1, len(grid))
            at = draws[:, place.reshape(len(some), -1)]
            with np.errstate(divide="ignore", invalid="ignore"):
                found[some] = np.mean(at[:, :, 1:] / at[:, :, :1], axis=0)
    return found


def _alike(rows: CauseRows) -> list[IntArray]:
    """Positions of rows with equal columns: they share one curve."""
    columns = [level.astype(str) for level in rows.levels]
    columns += [value.astype(str) for value in rows.values if value is not None]
    if not columns:
        return [np.arange(len(rows))]
    of = np.unique(np.column_stack(columns), axis=0, return_inverse=True)[1].ravel()
    order = np.argsort(of, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(of[order])) + 1)
