"""Who is at risk now: one row per open spell, put into the cells of a schema."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from churnsurv._typing import BoolArray, FloatArray, IntArray, StrArray
from churnsurv._validate import check_count
from churnsurv.errors import DefinitionError, FeatureError
from churnsurv.tables.bins import outside_sql
from churnsurv.tables.covariates import arrivals_of, check_covariates, is_text, known_at
from churnsurv.tables.engines import Relation, literal, quote, sql_list
from churnsurv.tables.parts import MONTH, cut_parts, month_name, month_number, whole_parts
from churnsurv.tables.past import History, PastRows, check_history
from churnsurv.tables.schema import CellSchema
from churnsurv.tables.spells import SpellTable
from churnsurv.tables.window import DAY_US

_ENTRY = "origin + entry_us - CASE WHEN entry_us > 0 THEN 1 ELSE 0 END"
"""SQL text of the last microsecond that is known when a spell comes under observation."""


@dataclass(frozen=True, eq=False)
class OpenSpells:
    """Customers at risk at the window's end, ordered by id; arrays of shape (n,) unless said.

    Parameters
    ----------
    schema : CellSchema
        The cells they were put into.
    customer_id : array of str
        Ids.
    reached : array
        Days on the clock at the window's end; on the gap clock the silence so far.
    codes : array of shape (n, n_columns)
        Position of each level in ``schema.columns[k].labels``; ``UNSEEN`` for a level the schema lacks. The
        ``calendar_month`` is that of the window's end, for everybody.
    levels : tuple of arrays of str
        The levels themselves, one array per column; a new group keeps its own name.
    values : tuple of arrays or None
        The number behind each level, NaN where nothing is known yet; ``None`` for text.
    outside : array of bool
        Some number lies outside the stored bin edges.
    unknown : array of bool
        Some look-back reaches before the window's start.
    history : History or None
        Their spells up to now, where that was asked for.
    origin : array of int or None
        Zero of each clock, microseconds UTC, where the schema has a calendar: which months a spell goes through.
    """

    schema: CellSchema
    customer_id: StrArray
    reached: FloatArray
    codes: IntArray
    levels: tuple[StrArray, ...]
    values: tuple[FloatArray | None, ...]
    outside: BoolArray
    unknown: BoolArray
    history: History | None = None
    origin: IntArray | None = None

    def __len__(self) -> int:
        """Number of customers."""
        return len(self.customer_id)

    def take(self, index: IntArray) -> OpenSpells:
        """Keep some of the customers, by position."""
        return OpenSpells(
            self.schema,
            self.customer_id[index],
            self.reached[index],
            self.codes[index],
            tuple(level[index] for level in self.levels),
            tuple(None if value is None else value[index] for value in self.values),
            self.outside[index],
            self.unknown[index],
            None if self.history is None else self.history.take(index, len(self)),
            None if self.origin is None else self.origin[index],
        )

    @classmethod
    def batches(
        cls,
        spells: SpellTable,
        schema: CellSchema,
        *,
        size: int = 65_536,
        only: Sequence[str] | None = None,
        history: bool = False,
        months: bool = False,
    ) -> Iterator[OpenSpells]:
        """Yield the customers at risk in batches, ordered by id.

        Features are computed once in the engine; a batch costs memory of its own size only.

        Parameters
        ----------
        spells : SpellTable
            Spells of the log to be scored; its window's end is "now".
        schema : CellSchema
            Of the cells that a fit learnt from.
        size : int
            Customers a batch.
        only : sequence of str, optional
            Ids to keep; all customers by default.
        history : bool
            Tell their earlier spells too, and what was known in each: see :class:`~churnsurv.tables.past.History`.
            Features are then computed for every spell of theirs, not for the open one alone.
        months : bool
            Whether the fit carries the level of calendar months ahead by itself (``calendar=True``). No other fit whose
            rows were split on months can say anything about those to come.

        Yields
        ------
        OpenSpells
            At most ``size`` customers.

        Raises
        ------
        DefinitionError
            If the spells follow another definition or zone than the schema, or history is asked of landmarks.
        FeatureError
            If features move while the customer is at risk.
        """
        check_same_definition(spells, schema, months=months)
        check_covariates(spells, schema.features)
        _check_types(spells, schema)
        check_count(size, "size")
        if history:
            check_history(schema)
        ordered, past = _compute(spells, schema, only, history)
        total = spells.engine.rows(f"SELECT count(*) FROM {quote(ordered.name)}")[0][0]
        for start in range(0, total, size):
            rows = spells.engine.arrow(
                f"SELECT * FROM {quote(ordered.name)} WHERE place >= {start} AND place < {start + size} ORDER BY place"
            )
            arrays = {name: rows[name].to_numpy(zero_copy_only=False) for name in rows.column_names}
            batch = cls._of(schema, arrays)
            yield batch if past is None else replace(batch, history=past.fetch(start, start + size))

    @classmethod
    def _of(cls, schema: CellSchema, rows: dict[str, np.ndarray]) -> OpenSpells:
        codes, levels = [], []
        numbers: list[FloatArray | None] = []
        for column in schema.columns:
            values = rows[column.name]
            if column.edges is None:
                texts = np.where(values == None, column.blank, values).astype(object)  # noqa: E711 - elementwise
                codes.append(column.code_levels(texts))
                numbers.append(None)
            else:
                numbers.append(values.astype(float))
                codes.append(column.code_values(values.astype(float)))
                names = np.asarray(
                    [*column.labels, column.blank], dtype=object
                )  # UNSEEN, -1, is a number not known yet
                texts = names[codes[-1]]
            levels.append(texts)
        n = len(rows["customer_id"])
        return cls(
            schema=schema,
            customer_id=rows["customer_id"].astype(object),
            reached=rows["reached"].astype(float),
            codes=np.column_stack(codes) if codes else np.zeros((n, 0), np.int64),
            levels=tuple(levels),
            values=tuple(numbers),
            outside=rows["outside"].astype(bool),
            unknown=rows["unknown"].astype(bool),
            origin=rows["origin"].astype(np.int64) if schema.calendar else None,
        )


def _compute(
    spells: SpellTable, schema: CellSchema, only: Sequence[str] | None, history: bool
) -> tuple[Relation, PastRows | None]:
    """Open spells in the order of their customers with what is known of them and, if asked, what is behind them."""
    engine = spells.engine
    chosen = "open" if only is None else f"open AND customer_id IN {sql_list(only) if only else '(NULL)'}"
    told = f"customer_id IN (SELECT customer_id FROM {spells.table} WHERE {chosen})" if history else chosen
    moment = f"{spells.end_us} - 1" if schema.as_of == "landmark" else _ENTRY
    moments = f"SELECT id AS key, id, customer_id, {moment} AS moment FROM {spells.table} WHERE {told}"
    at = spells.opening_kind if schema.as_of == "spell" else None
    known = known_at(spells, schema.features, moments, at=at)
    arrivals = arrivals_of(schema.features)
    now = cut_parts(spells, whole_parts(spells, told), arrivals, months=False) if arrivals else None
    rows = spells.table if now is None else f"(SELECT * FROM {quote(now.name)} WHERE ends)"
    moving = {feature.name for feature in arrivals}
    placed = {c.name: f"{'s' if c.name in moving else 'k'}.{quote(c.name)}" for c in schema.columns}
    if schema.calendar:
        placed[MONTH] = literal(month_name(month_number(spells.end_us, spells.timezone)))
    origin = ", s.origin" if schema.calendar else ""
    outside = " OR ".join(outside_sql(column, placed[column.name]) for column in schema.columns) or "FALSE"
    names = "".join(f", {column} AS {quote(name)}" for name, column in placed.items())
    ordered = engine.create(
        "open",
        f"SELECT row_number() OVER (ORDER BY s.customer_id) - 1 AS place, s.customer_id, s.spell,"
        f" s.exit_us / {DAY_US}.0 AS reached, NOT known AS unknown, {outside} AS outside{origin}{names}"
        f" FROM {rows} s JOIN {quote(known.name)} k ON k.key = s.id WHERE {chosen}",
    )
    if not history:
        return ordered, None
    return ordered, PastRows(spells, schema, spells.table if now is None else quote(now.name), known, ordered, placed)


def _check_types(spells: SpellTable, schema: CellSchema) -> None:
    columns = schema.columns[:-1] if schema.calendar else schema.columns
    for column, feature in zip(columns, schema.features, strict=True):
        if is_text(spells, feature) != (column.edges is None):
            raise FeatureError(
                f"{column.name} was {'text' if column.edges is None else 'a number'} for the fit, and is not in this log.",
                column=feature.value_column,
                hint=f"read the log as the fit's was: {feature.value_column!r} in "
                f"{'labels' if column.edges is None else 'values'}=.",
            )


def check_same_definition(spells: SpellTable, schema: CellSchema, *, months: bool = False) -> None:
    """Refuse spells that answer another question than the one the schema was learnt on.

    Parameters
    ----------
    spells : SpellTable
        Spells to be scored.
    schema : CellSchema
        Of the cells that a fit learnt from.
    months : bool
        Whether the fit carries the level of calendar months ahead by itself.

    Raises
    ------
    DefinitionError
        If definition or time zone differ, or months are asked of spells without dates.
    FeatureError
        If the schema's features move while a customer is at risk, the month among them.
    """
    for name, mine, theirs in (
        ("churn definition", schema.churn, spells.churn),
        ("time zone", schema.timezone, spells.timezone),
    ):
        if mine != theirs:
            raise DefinitionError(
                f"the fit learnt from the {name} {mine}, the spells follow {theirs}.",
                consequence="The clock would mean something else; every probability would be wrong.",
                hint="build the spells with the definition of the fit: fit.schema.churn.",
            )
    if schema.calendar and not months:
        raise FeatureError(
            "the rows of this fit are split on calendar months, and the months ahead are not among them.",
            consequence="A month that has not been cannot have been learnt; taking the last one for it would be a guess.",
            hint="HierarchicalModel(…, calendar=True) carries the level of months ahead, with its uncertainty; or fit on a"
            " table without calendar= to predict; this fit explains.",
        )
    if schema.calendar:
        spells.observed()
    if schema.as_of == "period" and schema.features:
        raise FeatureError(
            "the features of this fit move while a customer is at risk (as_of='period').",
            consequence="Their future values are not known; holding them still would be a guess.",
            hint='fit on PeriodTable.from_spells(…, as_of="spell") to predict; this fit explains.',
        )
