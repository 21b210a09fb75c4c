"""Rows of one schema in the cells of another: every fit of a set has cells of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from churnsurv._typing import BoolArray, FloatArray, IntArray, StrArray
from churnsurv.errors import CellMismatchError
from churnsurv.models.base import PatternRows
from churnsurv.tables.past import History
from churnsurv.tables.schema import UNSEEN, CellSchema, PatternColumn

_NOBODYS = "\0"
"""A level that no column has: text from a log holds no null character."""


@dataclass(frozen=True, eq=False)
class CauseRows:
    """Rows in the cells of one fit; arrays of shape (n,) unless said.

    Parameters
    ----------
    schema : CellSchema
        The fit's.
    customer_id : array of str
        Customers.
    reached : array
        Days on the clock.
    codes : array of shape (n, n_columns)
        Positions of the levels.
    levels : tuple of arrays of str
        The levels themselves.
    values : tuple of (array or None)
        Numbers, ``None`` for a text.
    history : History or None
        What is behind the customers, in the same cells.
    origin : array of int or None
        Zero of each clock, microseconds UTC, where months matter.
    """

    schema: CellSchema
    customer_id: StrArray
    reached: FloatArray
    codes: IntArray
    levels: tuple[StrArray, ...]
    values: tuple[FloatArray | None, ...]
    history: History | None = None
    origin: IntArray | None = None

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.codes)

    def take(self, index: IntArray) -> CauseRows:
        """Keep some of the rows, by position."""
        return CauseRows(
            self.schema,
            self.customer_id[index],
            self.reached[index],
            self.codes[index],
            tuple(level[index] for level in self.levels),
            tuple(None if value is None else value[index] for value in self.values),
            None if self.history is None else self.history.take(index, len(self)),
            None if self.origin is None else self.origin[index],
        )

    @classmethod
    def of(cls, rows: PatternRows, schema: CellSchema) -> CauseRows:
        """Put rows into the cells of a schema whose columns they have.

        Parameters
        ----------
        rows : OpenSpells or anything with a pattern
            n rows. Without ``levels`` or ``values`` of their own they are made of the codes: a number is then the middle
            of its bin.
        schema : CellSchema
            Some of the columns of ``rows.schema``, perhaps with other bins.

        Raises
        ------
        CellMismatchError
            If the rows lack a column.
        """
        names = [column.name for column in rows.schema.columns]
        missing = [column.name for column in schema.columns if column.name not in names]
        if missing:
            raise CellMismatchError(
                f"the rows have no column {missing[0]!r}.", hint="OpenSpells.batches(spells, fits.schema)"
            )
        kept = [names.index(column.name) for column in schema.columns]
        n = len(rows.codes)
        levels, values = _levels(rows), _values(rows)
        codes = [_codes(rows, k, column, levels[k], values[k]) for k, column in zip(kept, schema.columns, strict=True)]
        return cls(
            schema=schema,
            customer_id=getattr(rows, "customer_id", np.arange(n).astype(object)),
            reached=np.asarray(getattr(rows, "reached", np.zeros(n)), float),
            codes=np.column_stack(codes) if codes else np.zeros((n, 0), np.int64),
            levels=tuple(levels[k] for k in kept),
            values=tuple(values[k] for k in kept),
            history=_history(rows, kept, schema),
            origin=getattr(rows, "origin", None),
        )


def _history(rows: PatternRows, kept: list[int], schema: CellSchema) -> History | None:
    past: History | None = getattr(rows, "history", None)
    if past is None:
        return None
    columns = [
        _recoded(rows.schema.columns[k], column, past.codes[:, k], past.values[k])
        for k, column in zip(kept, schema.columns, strict=True)
    ]
    codes = np.column_stack(columns) if columns else np.zeros((len(past), 0), np.int64)
    values = tuple(past.values[k] for k in kept)
    return replace(past, codes=codes, values=values, outside=_outside(past, rows.schema, schema, values))


def _outside(past: History, old: CellSchema, new: CellSchema, values: tuple[FloatArray | None, ...]) -> BoolArray:
    """Rows with a number outside the bins of this fit: those of all fits together are narrower."""
    if old.columns == new.columns:
        return past.outside
    found = np.zeros(len(past), bool)
    for column, value in zip(new.columns, values, strict=True):
        found |= False if value is None else column.outside(value)
    return found


def _recoded(old: PatternColumn, new: PatternColumn, codes: IntArray, values: FloatArray | None) -> IntArray:
    if old == new:
        return codes
    if values is not None:
        return new.code_values(values)
    return new.code_levels(np.asarray([*old.labels, _NOBODYS], dtype=object)[codes])


def _codes(rows: PatternRows, k: int, column: PatternColumn, levels: StrArray, values: FloatArray | None) -> IntArray:
    if rows.schema.columns[k] == column:
        return rows.codes[:, k]
    return column.code_levels(levels) if values is None else column.code_values(values)


def _levels(rows: PatternRows) -> tuple[StrArray, ...]:
    named: tuple[StrArray, ...] | None = getattr(rows, "levels", None)
    if named is not None:
        return named
    return tuple(
        np.asarray([*column.labels, _NOBODYS], dtype=object)[rows.codes[:, k]]  # UNSEEN, -1, is the last one
        for k, column in enumerate(rows.schema.columns)
    )


def _values(rows: PatternRows) -> tuple[FloatArray | None, ...]:
    known: tuple[FloatArray | None, ...] | None = getattr(rows, "values", None)
    if known is not None:
        return known
    return tuple(
        None if column.edges is None else _middles(column.edges)[_bins(column, rows.codes[:, k])]
        for k, column in enumerate(rows.schema.columns)
    )


def _bins(column: PatternColumn, codes: IntArray) -> IntArray:
    """Bin of each code, the place behind the last bin for what is not known."""
    last = len(column.edges or ()) - 1
    return np.where((codes == UNSEEN) | (codes >= last), last, codes)


def _middles(edges: tuple[float, ...]) -> FloatArray:
    """A number inside each bin, and NaN at the end."""
    low, high = np.asarray(edges[:-1]), np.asarray(edges[1:])
    low, high = np.where(np.isinf(low), high - 2.0, low), np.where(np.isinf(high), low + 2.0, high)
    middle = np.where(np.isfinite(low) & np.isfinite(high), (low + high) / 2.0, 0.0)
    return np.append(middle, np.nan)
