"""Rows that are asked about: their numbers, and what is behind them as hazard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from churnsurv._typing import BoolArray, FloatArray, IntArray
from churnsurv.hazards.algebra import exposure_by_period
from churnsurv.models.base import PatternRows, ReachedRows
from churnsurv.models.hierarchical.mixing import Past
from churnsurv.models.hierarchical.predictor import Predictor
from churnsurv.tables.past import History
from churnsurv.tables.schema import CellSchema

__all__ = ["Fresh", "Past", "no_past", "origin_of", "past_of", "values_of"]


@dataclass(frozen=True, eq=False)
class Fresh:
    """Patterns at time zero, with nothing behind them."""

    schema: CellSchema
    codes: IntArray
    reached: FloatArray
    values: tuple[FloatArray | None, ...]

    @property
    def customer_id(self) -> np.ndarray:
        """Positions stand for customers."""
        return np.arange(len(self.codes)).astype(object)


def values_of(rows: PatternRows) -> tuple[FloatArray | None, ...]:
    """Numbers behind the levels, ``None`` in each place where the rows have none."""
    found: Any = getattr(rows, "values", None)
    return (None,) * len(rows.schema.columns) if found is None else tuple(found)


def origin_of(rows: PatternRows) -> IntArray | None:
    """Zero of each row's clock, microseconds UTC; ``None`` for rows that know no calendar."""
    found: IntArray | None = getattr(rows, "origin", None)
    return found


def no_past(n: int) -> Past:
    """Of n customers whose past is not asked about: with nothing to be integrated out it cancels."""
    zero = np.zeros((1, n, 1))
    return Past(zero, zero, np.zeros((n, 1)), np.ones((n, 1), bool))


def past_of(predictor: Predictor, rows: ReachedRows, draws: IntArray, cause: str, *, use: bool) -> Past:
    """Hazard behind each customer.

    Parameters
    ----------
    predictor : Predictor
        Draws.
    rows : OpenSpells
        n customers; their ``history`` is looked at where it is there.
    draws : array of int
        Positions of draws.
    cause : str
        The cause that counts as the event; empty for any.
    use : bool
        Whether what went before the open spell matters.
    """
    first, codes = predictor.schema.breaks[0], rows.codes
    reached = np.minimum(np.asarray(rows.reached, float), _last(predictor))[:, None]
    ratio, _ = predictor.multipliers(codes, values_of(rows), draws)
    start = np.minimum(np.full_like(reached, first), reached)
    now = ratio[:, :, None] * predictor.between(codes, start, reached, draws, origin_of(rows))
    n, history = len(codes), getattr(rows, "history", None)
    zero = np.zeros((n, 1))
    if not use or history is None or not len(history):
        return Past(np.zeros_like(now), now, zero, np.ones((n, 1), bool))
    return _with_history(predictor, history, now, draws, cause)


def _last(predictor: Predictor) -> float:
    """Last time that counts: what lies beyond the last break of a piecewise baseline was not learnt from."""
    return predictor.schema.breaks[-1] if predictor.baseline == "piecewise" else np.inf


def _with_history(predictor: Predictor, history: History, now: FloatArray, draws: IntArray, cause: str) -> Past:
    schema, last, n = predictor.schema, _last(predictor), now.shape[1]
    counted = history.event == schema.causes.index(cause) + 1 if cause else history.event > 0
    events = np.bincount(history.place, counted & (history.stop <= last), n)[:, None]
    current, earlier = (_summed(predictor, history, some, n, draws) for some in (history.current, ~history.current))
    seen = np.bincount(history.place, history.current, n) > 0
    current = np.where(seen[:, None], current, now)
    if not schema.churn.on_tenure:
        return Past(earlier, current, events, np.ones((n, 1), bool))
    # An immune customer never has an event: without one, all of her time is ambiguous; with one, none of it.
    return Past(np.zeros_like(now), earlier + current, events, events == 0)


def _summed(predictor: Predictor, history: History, some: BoolArray, n: int, draws: IntArray) -> FloatArray:
    """Cumulative hazard of some rows of a history by customer, shape (n_draws, n, 1)."""
    rows = np.flatnonzero(some)
    if not len(rows):
        return np.zeros((len(draws), n, 1))
    # A spell that entered late had been survived from its beginning on.
    begin = np.where(history.start == history.entry, predictor.schema.breaks[0], history.start)[rows]
    stop = np.minimum(history.stop[rows], _last(predictor))
    begin, place, codes = np.minimum(begin, stop), history.place[rows], history.codes[rows]
    origin = None if history.origin is None else history.origin[rows]
    entry = history.entry[rows]
    if predictor.baseline == "piecewise" and not predictor.structure.terms.numbers:
        if predictor.months is None or origin is None:
            return _summed_by_cell(predictor, codes, begin, stop, place, None, n, draws)
        pieces = predictor.months.pieces(begin, stop, origin, entry)
        of = pieces.of
        return _summed_by_cell(predictor, codes[of], pieces.start, pieces.stop, place[of], pieces.month, n, draws)
    values = tuple(None if value is None else value[rows] for value in history.values)
    ratio, _ = predictor.multipliers(codes, values, draws)
    hazard = ratio * predictor.between(codes, begin[:, None], stop[:, None], draws, origin, entry)[..., 0]
    total = np.zeros((len(draws), n))
    owners, starts = np.unique(place, return_index=True)
    total[:, owners] = np.add.reduceat(hazard, starts, axis=1)
    return total[..., None]


def _summed_by_cell(
    predictor: Predictor,
    codes: IntArray,
    begin: FloatArray,
    stop: FloatArray,
    place: IntArray,
    month: IntArray | None,
    n: int,
    draws: IntArray,
) -> FloatArray:
    """The same through days per pattern, month and period: one multiplication per cell, customer and draw."""
    edges = np.asarray(predictor.schema.breaks)
    days = exposure_by_period(stop, breaks=edges, entry=begin)
    told = codes if month is None else np.column_stack([codes, month])
    patterns, where = np.unique(told, axis=0, return_inverse=True)
    row, period = np.nonzero(days)
    cells, column = np.unique(where.ravel()[row] * (len(edges) - 1) + period, return_inverse=True)
    met = patterns[cells // (len(edges) - 1)]
    period = cells % (len(edges) - 1)
    if month is not None:
        met, month = met[:, :-1], met[:, -1]
    ratio, _ = predictor.multipliers(met, (), draws)
    rates = ratio * predictor.rate(met, edges[period + 1][:, None], draws, month)[..., 0]
    exposure = sparse.csr_array((days[np.nonzero(days)], (place[row], column)), shape=(n, len(cells)))
    return np.ascontiguousarray((exposure @ np.ascontiguousarray(rates.T)).T)[..., None]
