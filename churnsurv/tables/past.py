"""What is behind the customers at risk now: their spells up to now, in the columns of a fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from churnsurv._typing import BoolArray, FloatArray, IntArray
from churnsurv.errors import DefinitionError
from churnsurv.tables.bins import outside_sql
from churnsurv.tables.customers import gather
from churnsurv.tables.engines import Relation, quote
from churnsurv.tables.schema import CellSchema, PatternColumn
from churnsurv.tables.spells import SpellTable
from churnsurv.tables.window import DAY_US

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, eq=False)
class History:
    """Spells inside the window of the customers of one batch, the open ones among them; arrays of shape (m,) unless said.

    Rows are ordered by place, spell and start. A spell is one row, or several where a fact arrived meanwhile or its
    covariates changed; each row has its features as they were known then. Spells whose look-back reaches before the
    window are left out, as they are from the cells: a customer can be without rows. Rows are not cut at period edges.

    Parameters
    ----------
    place : array of int
        Row of the batch to which the customer belongs, increasing.
    start, stop : array
        Days on the clock; the open spell's last row stops at ``reached``.
    event : array of int
        0 none, 1…K the cause, at ``stop``.
    codes : array of shape (m, n_columns)
        Position of each level in ``schema.columns[k].labels``; ``UNSEEN`` for a level the schema lacks.
    values : tuple of arrays or None
        The number behind each level, NaN where nothing was known yet; ``None`` for text.
    outside : array of bool
        Some number lies outside the stored bin edges: its bin is the nearest one. Cells leave such rows out.
    current : array of bool
        The row belongs to the spell that is open now.
    entry : array
        Days on the clock at which the row's spell came under observation, > 0 where it entered late.
    origin : array of int or None
        Zero of the clock of the row's spell, microseconds UTC, where the schema has a calendar. Rows are not cut at
        months, and their ``calendar_month`` is that of the window's end.
    unlived : array or None
        Days by which a row that ends with an event has less exposure in cells than from ``start`` to ``stop``: half the unit
        of time that events are known to. Zero elsewhere; ``None`` where times are exact.
    """

    place: IntArray
    start: FloatArray
    stop: FloatArray
    event: IntArray
    codes: IntArray
    values: tuple[FloatArray | None, ...]
    outside: BoolArray
    current: BoolArray
    entry: FloatArray
    origin: IntArray | None = None
    unlived: FloatArray | None = None

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.place)

    def take(self, index: IntArray, n: int) -> History:
        """Keep the rows of some customers, and number those anew.

        Parameters
        ----------
        index : array of int
            Rows of the batch, in the order in which they are wanted; one that is named twice is there twice.
        n : int
            Customers in the batch.
        """
        index = np.arange(n)[index]
        pointers, rows = gather(np.searchsorted(self.place, np.arange(n + 1)), index)
        return History(
            place=np.repeat(np.arange(len(index)), np.diff(pointers)),
            start=self.start[rows],
            stop=self.stop[rows],
            event=self.event[rows],
            codes=self.codes[rows],
            values=tuple(None if value is None else value[rows] for value in self.values),
            outside=self.outside[rows],
            current=self.current[rows],
            entry=self.entry[rows],
            origin=None if self.origin is None else self.origin[rows],
            unlived=None if self.unlived is None else self.unlived[rows],
        )


def check_history(schema: CellSchema) -> None:
    """Refuse a fit whose rows leave out a part of each customer's time.

    Raises
    ------
    DefinitionError
        If its rows were at landmarks.
    """
    if schema.as_of == "landmark":
        raise DefinitionError(
            "the rows of this fit follow landmarks, and leave out what lies between them.",
            consequence="A customer's whole history is nothing that it has learnt from.",
            hint="fit on PeriodTable.from_spells(…) where each customer's own rhythm is to count.",
        )


class PastRows:
    """Histories of all customers at risk, computed once in the engine and fetched by batch.

    Cost: one join of the spells of customers at risk with what was known of them, and one sort per customer and spell;
    a fetch costs one scan of the places and the memory of its own rows.

    Parameters
    ----------
    spells : SpellTable
        Spells of the log to be scored.
    schema : CellSchema
        Of the cells that a fit learnt from.
    rows : str
        SQL text of a source of parts: ``id, customer_id, spell, entry_us, exit_us, event`` and what moves.
    known : Relation
        What was known when each spell came under observation: ``key, known`` and features.
    ordered : Relation
        Customers at risk: ``place, customer_id, spell``.
    placed : mapping of str to str
        SQL text of each column of the schema, of a row ``s`` and what was known ``k``.
    """

    def __init__(
        self, spells: SpellTable, schema: CellSchema, rows: str, known: Relation, ordered: Relation,
        placed: Mapping[str, str],
    ) -> None:  # fmt: skip
        self.schema, self.engine, self.grain = schema, spells.engine, spells.grain
        outside = " OR ".join(outside_sql(column, placed[column.name]) for column in schema.columns) or "FALSE"
        columns = "".join(f", {placed[column.name]} AS c{k}" for k, column in enumerate(schema.columns))
        unlived, origin = "0", ", s.origin" if schema.calendar else ""
        if spells.grain:
            last = f"least({round(spells.grain * DAY_US)}, s.exit_us - s.entry_us)"
            unlived = f"CASE WHEN s.event > 0 THEN {self.engine.dialect.idiv(last, 2)} ELSE 0 END"
        self.relation = self.engine.create(
            "past",
            f"SELECT o.place, s.spell, s.entry_us, s.exit_us AS stop_us, {unlived} AS unlived_us, s.event,"
            f" s.spell = o.spell AS current, min(s.entry_us) OVER (PARTITION BY o.place, s.spell) AS first_us,"
            f" {outside} AS outside{origin}{columns}"
            f" FROM {rows} s JOIN {quote(ordered.name)} o ON o.customer_id = s.customer_id"
            f" JOIN {quote(known.name)} k ON k.key = s.id WHERE k.known",
        )

    def fetch(self, start: int, stop: int) -> History:
        """Histories of the customers at places ``start`` to ``stop``, numbered from 0."""
        rows = self.engine.arrow(
            f"SELECT * FROM {quote(self.relation.name)} WHERE place >= {start} AND place < {stop}"
            " ORDER BY place, spell, entry_us"
        )

        def array(name: str) -> np.ndarray:
            return np.asarray(rows[name].to_numpy(zero_copy_only=False))

        coded = [_code(column, rows[f"c{k}"]) for k, column in enumerate(self.schema.columns)]
        return History(
            place=array("place").astype(np.int64) - start,
            start=array("entry_us") / DAY_US,
            stop=array("stop_us") / DAY_US,
            event=array("event").astype(np.int64),
            codes=np.column_stack([codes for codes, _ in coded]) if coded else np.zeros((len(rows), 0), np.int64),
            values=tuple(values for _, values in coded),
            outside=array("outside").astype(bool),
            current=array("current").astype(bool),
            entry=array("first_us") / DAY_US,
            origin=array("origin").astype(np.int64) if self.schema.calendar else None,
            unlived=array("unlived_us") / DAY_US if self.grain else None,
        )


def _code(column: PatternColumn, told: Any) -> tuple[IntArray, FloatArray | None]:
    """Codes of one column of an Arrow table, and its numbers; each text is looked up once."""
    if column.edges is not None:
        values = np.asarray(told.to_numpy(zero_copy_only=False), float)
        return column.code_values(values), values
    words = told.combine_chunks().fill_null(column.blank).dictionary_encode()
    codes = column.code_levels(np.asarray(words.dictionary.to_pylist(), dtype=object))
    return codes[words.indices.to_numpy(zero_copy_only=False)], None
