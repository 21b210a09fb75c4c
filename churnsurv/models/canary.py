"""Predictions for made-up customers: stored with a fit, and repeated whenever it is loaded.

Who is made up here is part of the file's layout: ask about others, and no older file repeats its predictions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from churnsurv._typing import FloatArray, IntArray
from churnsurv.models.base import SurvivalFit, needs_history
from churnsurv.tables.past import History
from churnsurv.tables.schema import UNSEEN, CellSchema, PatternColumn
from churnsurv.tables.window import DAY_US

_MOST_ROWS = 64
_ROWS_WITH_A_PAST = 6
_MOST_DRAWS = 16


@dataclass(frozen=True, eq=False)
class _Rows:
    """Made-up customers: every level of every column once, numbers from edge to edge, and one that was never seen."""

    schema: CellSchema
    codes: IntArray
    values: tuple[FloatArray | None, ...]
    reached: FloatArray
    history: History | None
    origin: IntArray | None

    @property
    def customer_id(self) -> np.ndarray:
        return np.arange(len(self.codes)).astype(object)


def _rows(schema: CellSchema, *, past: bool) -> _Rows:
    most = max((len(column.labels) for column in schema.columns), default=1)
    most = max(most, _ROWS_WITH_A_PAST) if past else most
    steps = np.arange(min(most, _MOST_ROWS) + 1)
    codes = [np.append(steps[:-1] % len(column.labels), UNSEEN) for column in schema.columns]
    table = np.column_stack(codes) if codes else np.zeros((len(steps), 0), np.int64)
    table = table.astype(np.int64)
    values = tuple(_values(column, len(steps)) for column in schema.columns)
    reached = np.linspace(0.0, 0.5 * schema.breaks[-1], len(steps))
    origin = _origin(schema, len(steps))
    history = _history(schema, table, values, reached, origin) if past else None
    return _Rows(schema, table, values, reached, history, origin)


def _origin(schema: CellSchema, n: int) -> IntArray | None:
    """Zero of each clock, microseconds: the beginnings of the data's months in turn, where months count."""
    if schema.calendar is None:
        return None
    months = np.array(schema.columns[-1].labels, "datetime64[M]").astype("datetime64[us]").astype(np.int64)
    return months[np.arange(n) % len(months)]


def _values(column: PatternColumn, n: int) -> FloatArray | None:
    if column.edges is None:
        return None
    edges = [edge for edge in column.edges if np.isfinite(edge)] or [0.0]
    return np.append(np.linspace(edges[0], edges[-1], n - 1), np.nan)


def _history(
    schema: CellSchema,
    codes: IntArray,
    values: tuple[FloatArray | None, ...],
    reached: FloatArray,
    origin: IntArray | None,
) -> History:
    """No, one or two earlier spells of each customer, every second one entered late, with and without events."""
    n, last = len(codes), schema.breaks[-1]
    earlier = np.arange(n) % 3
    size = earlier + (reached > 0)
    place = np.repeat(np.arange(n), size)
    spell = np.arange(len(place)) - np.repeat(np.cumsum(size) - size, size)
    current = spell == earlier[place]
    like = np.where(current, place, (place + spell + 1) % (n - 1))
    stop = np.where(current, reached[place], 0.25 * last * (1 + spell))
    entry = np.where(current | (place % 2 == 0), 0.0, 0.4 * stop)
    return History(
        place=place,
        start=entry,
        stop=stop,
        event=np.where(current, 0, (place // 3 + spell + 1) % (len(schema.causes) + 1)),
        codes=codes[like],
        values=tuple(None if value is None else value[like] for value in values),
        outside=np.zeros(len(place), bool),
        current=current,
        entry=entry,
        origin=None if origin is None else origin[place] - np.where(current, 0, 30 * DAY_US * (2 - spell)),
    )


def canary(fit: SurvivalFit) -> FloatArray:
    """Predictions for made-up customers, to be repeated when the fit is loaded.

    Parameters
    ----------
    fit : SurvivalFit
        Any fit.

    Returns
    -------
    array of shape (n_draws, n_rows, n_times)
        Conditional survival in at most 16 draws; of customers with a past where the fit asks for one. Where months
        count, everyone is asked about twice: from a day on, and in an average month.
    """
    rows = _rows(fit.schema, past=needs_history(fit))
    until = np.linspace(rows.reached, np.full(len(rows.reached), fit.schema.breaks[-1]), 5, axis=1)
    draws = np.unique(np.linspace(0, fit.n_draws - 1, _MOST_DRAWS).astype(np.int64))
    found = fit.conditional_survival(rows, until, draws=draws)
    if rows.origin is None:
        return found
    return np.concatenate([found, fit.conditional_survival(_undated(rows), until, draws=draws)], axis=1)


def _undated(rows: _Rows) -> _Rows:
    """The same customers on no day, as in curves of a population."""
    past = None if rows.history is None else replace(rows.history, origin=None)
    return replace(rows, history=past, origin=None)
