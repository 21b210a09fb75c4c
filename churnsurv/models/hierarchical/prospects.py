"""Rows that are asked about: their numbers, and what is behind them as hazard."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from churnsurv._typing import BoolArray, FloatArray, IntArray
from churnsurv.errors import ArgumentError
from churnsurv.hazards.algebra import exposure_by_period
from churnsurv.models.base import PatternRows, ReachedRows
from churnsurv.models.hierarchical.mixing import Past
from churnsurv.models.hierarchical.predictor import Predictor
from churnsurv.tables.open_spells import OpenSpells
from churnsurv.tables.past import History
from churnsurv.tables.schema import UNSEEN, CellSchema

if TYPE_CHECKING:
    from churnsurv.models.hierarchical.problem import Structure

__all__ = ["Fresh", "Past", "no_past", "origin_of", "past_of", "unseen_in", "values_of"]


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

    def take(self, index: IntArray) -> Fresh:
        """Keep some of the patterns, by position."""
        values = tuple(None if value is None else value[index] for value in self.values)
        return Fresh(self.schema, self.codes[index], self.reached[index], values)


def values_of(rows: PatternRows) -> tuple[FloatArray | None, ...]:
    """Numbers behind the levels, ``None`` in each place where the rows have none."""
    found: Any = getattr(rows, "values", None)
    return (None,) * len(rows.schema.columns) if found is None else tuple(found)


def origin_of(rows: PatternRows) -> IntArray | None:
    """Zero of each row's clock, microseconds UTC; ``None`` for rows that know no calendar."""
    found: IntArray | None = getattr(rows, "origin", None)
    return found


def unseen_in(structure: Structure, codes: IntArray, values: tuple[FloatArray | None, ...]) -> BoolArray:
    """Rows with a level of a fixed effect that had no exposure, or without a number that the model takes, shape (n,)."""
    bad = structure.terms.effects.unseen(codes)
    for k in structure.terms.numbers:
        number = values[k]
        bad |= True if number is None else ~np.isfinite(number)
    return bad


def no_past(n: int) -> Past:
    """Of n customers whose past is not asked about: with nothing to be integrated out it cancels."""
    zero = np.zeros((1, n, 1))
    return Past(zero, zero, np.zeros((n, 1)), np.ones((n, 1), bool))


def past_of(
    predictor: Predictor,
    rows: ReachedRows,
    draws: IntArray,
    cause: str,
    *,
    use: bool,
    on_cells: bool = True,
    rounded: float | None = None,
) -> Past:
    """Hazard behind each customer.

    Parameters
    ----------
    predictor : Predictor
        Draws.
    rows : OpenSpells
        n customers; their ``history`` is looked at where it is there, up to ``reached`` in the open spell.
    draws : array of int
        Positions of draws.
    cause : str
        The cause that counts as the event; empty for any.
    use : bool
        Whether what went before the open spell matters.
    on_cells : bool
        Whether the fit learnt from cells, which count half of the unit that an event is known to.
    rounded : float, optional
        Days of the unit that the fit was told of; an event then counts as in its middle. What its window says of the
        frailty is no gamma; with a hazard of 0.6 in the window the mean of this one is 2 % off.

    Raises
    ------
    ArgumentError
        If the past matters and open spells were read without it.

    Notes
    -----
    Rows of the past of which the fit can say nothing are left out with their events, as they are from what it learnt
    from: levels of a fixed effect that it never saw, numbers outside its bins. Of the open spell only the former are: its
    time ahead is told by the nearest bin, so its time so far is too.
    """
    first, codes = predictor.schema.breaks[0], rows.codes
    reached = np.minimum(np.asarray(rows.reached, float), _last(predictor))[:, None]
    ratio, _ = predictor.multipliers(codes, values_of(rows), draws)
    start = np.minimum(np.full_like(reached, first), reached)
    now = ratio[:, :, None] * predictor.between(codes, start, reached, draws, origin_of(rows))
    n, history = len(codes), getattr(rows, "history", None)
    if use and history is None and isinstance(rows, OpenSpells):
        raise ArgumentError(
            f"the fit tells customers apart by what they did, and these {n} rows do not say what is behind them.",
            consequence="Every one of them would be taken for a new customer.",
            hint="OpenSpells.batches(spells, fit.schema, history=True)",
        )
    zero = np.zeros((n, 1))
    if not use or history is None or not len(history):
        return Past(np.zeros_like(now), now, zero, np.ones((n, 1), bool))
    return _with_history(_Behind(predictor, history, draws, cause, on_cells, rounded), rows, now)


def _last(predictor: Predictor) -> float:
    """Last time that counts: what lies beyond the last break of a piecewise baseline was not learnt from."""
    return predictor.schema.breaks[-1] if predictor.baseline == "piecewise" else np.inf


@dataclass(frozen=True, eq=False)
class _Behind:
    """Rows of a history, and how the fit counts such rows; the rest as in :func:`past_of`."""

    predictor: Predictor
    history: History
    draws: IntArray
    cause: str
    on_cells: bool
    rounded: float | None

    @cached_property
    def ended(self) -> BoolArray:
        """Rows that end with the fit's event."""
        event = self.history.event
        return event == self.predictor.schema.causes.index(self.cause) + 1 if self.cause else event > 0

    @cached_property
    def told(self) -> BoolArray:
        """Rows of which the fit can say something."""
        unseen = unseen_in(self.predictor.structure, self.history.codes, self.history.values)
        return ~unseen & (self.history.current | ~self._outside)

    @property
    def _outside(self) -> BoolArray:
        """Numbers outside the bins: of cells in any column, else in those that enter by their bins."""
        history, structure = self.history, self.predictor.structure
        if self.on_cells:
            return history.outside
        used = {k for group in structure.groups.values() for k in group.columns} | set(structure.terms.effects.known)
        outside = np.zeros(len(history), bool)
        for k in used - set(structure.terms.numbers):
            values = history.values[k]
            outside |= False if values is None else self.predictor.schema.columns[k].outside(values)
        return outside

    @cached_property
    def unlived(self) -> FloatArray:
        """Days before the stop at which an event counts."""
        history = self.history
        if self.rounded is not None:
            days = 0.5 * np.minimum(self.rounded, np.maximum(history.stop - history.start, 0.0))
            return np.where(self.ended, days, 0.0)
        unlived = history.unlived if self.on_cells else None
        return np.zeros(len(history)) if unlived is None else unlived

    def elsewhere(self, codes: IntArray) -> BoolArray:
        """Rows outside the new group in which the customer is now, given the codes of now, shape (m,).

        A level that was never seen has no name here: two of one group are taken for the same.
        """
        differs, new = np.zeros(len(self.history), bool), np.zeros(len(codes), bool)
        for group in self.predictor.structure.groups.values():
            here = group.positions(codes) == UNSEEN
            differs |= here[self.history.place] != (group.positions(self.history.codes) == UNSEEN)
            new |= here
        return differs & new[self.history.place]

    def events(self, some: BoolArray, n: int) -> FloatArray:
        """Events of some rows by customer, shape (n, 1)."""
        return np.bincount(self.history.place, some & self.ended, n).astype(float)[:, None]


def _with_history(behind: _Behind, rows: ReachedRows, now: FloatArray) -> Past:
    predictor, history, n = behind.predictor, behind.history, now.shape[1]
    stop = np.where(history.current, np.minimum(history.stop, np.asarray(rows.reached)[history.place]), history.stop)
    inside = behind.told & (stop <= _last(predictor))
    seen = np.bincount(history.place, history.current & behind.told, n)[:, None] > 0
    away = behind.elsewhere(rows.codes)

    def part(some: BoolArray) -> Past:
        earlier, current = (
            _summed(behind, stop, some & behind.told & which, n) for which in (~history.current, history.current)
        )
        return Past(earlier, current, behind.events(some & inside, n), np.ones((n, 1), bool))

    own = part(~away)
    own = replace(own, ambiguous=np.where(seen, own.ambiguous, now))
    found = own.joined(part(away)) if away.any() else own
    if not predictor.schema.churn.on_tenure:
        return found
    # An immune customer never has an event: without one, all of her time is ambiguous; with one, none of it.
    return found.all_in_doubt(behind.events(np.ones(len(history), bool), n) == 0)


def _summed(behind: _Behind, stop: FloatArray, some: BoolArray, n: int) -> FloatArray:
    """Cumulative hazard of some rows of a history up to their stops by customer, shape (n_draws, n, 1)."""
    predictor, history, draws = behind.predictor, behind.history, behind.draws
    rows = np.flatnonzero(some)
    if not len(rows):
        return np.zeros((len(draws), n, 1))
    # A spell that entered late had been survived from its beginning on.
    begin = np.where(history.start == history.entry, predictor.schema.breaks[0], history.start)[rows]
    stop = np.minimum((stop - behind.unlived)[rows], _last(predictor))
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
