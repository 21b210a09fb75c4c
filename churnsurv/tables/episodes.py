"""Rows (start, stop] with covariates that stand still in each: what models of rows are fitted on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from churnsurv._typing import FloatArray, IntArray, StrArray
from churnsurv.errors import EmptyDataError
from churnsurv.tables.bins import Bins, outside_sql
from churnsurv.tables.cells import Unallocated
from churnsurv.tables.chosen_cause import choose_cause
from churnsurv.tables.counting import check_bins, month_column, pattern_column
from churnsurv.tables.engines import quote
from churnsurv.tables.period_rows import PeriodRows
from churnsurv.tables.periods import PeriodTable, lookback_reason
from churnsurv.tables.schema import CellSchema, PatternColumn
from churnsurv.tables.spells import SpellTable
from churnsurv.tables.window import DAY_US


@dataclass(frozen=True, eq=False)
class Episodes:
    """One row per stretch of a spell in which nothing changes; arrays of shape (n,) unless said.

    Made by :meth:`from_periods` or :meth:`from_spells`. A spell whose features are frozen at its start is one row,
    whatever the period edges; a fact that arrives, a month or a moving feature makes it several. Rows come to
    Python: memory is about 8 bytes × n × (6 + 2 × columns).

    Parameters
    ----------
    schema : CellSchema
        Definition and columns. A number has the edges of its quarters, the outer ones the smallest and the largest
        value seen, or those that were asked for.
    customer_id : array of str
        Whose rows they are: the cluster.
    spell : array of int
        Number of the spell within the customer.
    start, stop : array
        Days on the clock, ``start < stop``.
    event : array of int
        0 censored or going on, 1…K the cause.
    codes : array of shape (n, n_columns)
        Position of each level in ``schema.columns[k].labels``.
    values : tuple of arrays or None
        The number behind each level, NaN where nothing is known yet; ``None`` for text.
    weight : array or None
        Frequencies > 0.
    n_spells : int
        Spells behind the rows.
    cause : str or None
        The one cause that counts, see :meth:`with_cause`.
    binned : frozenset of str
        Numbers that are to be used by their bins, because bins were asked for.
    unallocated : tuple of Unallocated
        What is in no row, and why.
    """

    schema: CellSchema
    customer_id: StrArray
    spell: IntArray
    start: FloatArray
    stop: FloatArray
    event: IntArray
    codes: IntArray
    values: tuple[FloatArray | None, ...]
    weight: FloatArray | None
    n_spells: int
    cause: str | None = None
    binned: frozenset[str] = frozenset()
    unallocated: tuple[Unallocated, ...] = ()

    @classmethod
    def from_periods(cls, periods: PeriodTable, *, bins: Bins | None = None) -> Episodes:
        """Take the rows of a table of periods, joined where only a period edge lies between them.

        Parameters
        ----------
        periods : PeriodTable
            Person-periods with features.
        bins : mapping of str to edges or Quantiles, optional
            Numbers to be used by their bins: there ``none yet`` is a level like any other.

        Returns
        -------
        Episodes
            Ordered by customer, spell and start; what has no look-back is ``unallocated``.

        Raises
        ------
        ArgumentError
            If ``bins`` names no numeric feature.
        EmptyDataError
            If no row is left.
        """
        given = dict(bins or {})
        check_bins(periods, given)
        columns = [pattern_column(periods, feature, given) for feature in periods.features]
        columns += [month_column(periods)] if periods.calendar else []
        schema = CellSchema(
            churn=periods.spells.churn,
            breaks=periods.breaks,
            columns=tuple(columns),
            features=periods.features,
            as_of=periods.as_of,
            timezone=periods.spells.timezone,
            reach=periods.reach,
            calendar=periods.calendar,
        )
        return _read(periods, schema, frozenset(given))

    @classmethod
    def from_spells(cls, spells: SpellTable, *, bins: Bins | None = None) -> Episodes:
        """Take spells as they are, with the columns that came with them if they are durations.

        Parameters
        ----------
        spells : SpellTable
            Spells; of one cause or all.
        bins : mapping, optional
            As in :meth:`from_periods`.
        """
        if spells.cause is not None and spells.whole is not None:
            return cls.from_spells(spells.whole, bins=bins).with_cause(spells.cause)
        return cls.from_periods(PeriodTable.from_spells(spells), bins=bins)

    def with_cause(self, cause: str) -> Episodes:
        """Rows in which one cause is the event and every other one censors; see :meth:`CellTable.with_cause`.

        Raises
        ------
        ArgumentError
            If there is no such cause, or one was chosen already.
        """
        event, kept = choose_cause(self.schema.causes, self.cause, cause, self.event, self.unallocated)
        return replace(self, event=event, cause=cause, unallocated=kept)

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.start)

    @property
    def exposure(self) -> FloatArray:
        """Days at risk of each row."""
        return self.stop - self.start

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.start)

    def __repr__(self) -> str:
        """One line: how many rows, spells and events."""
        return (
            f"Episodes({len(self):,} rows of {self.n_spells:,} spells: {int((self.event > 0).sum()):,} events, "
            f"{self.exposure.sum():,.0f} days at risk; columns: {', '.join(c.name for c in self.schema.columns) or 'none'})"
        )


def _read(periods: PeriodTable, schema: CellSchema, binned: frozenset[str]) -> Episodes:
    """Fetch the rows of a schema, and add up what is not known."""
    spells, engine = periods.spells, periods.spells.engine
    names = [column.name for column in schema.columns]
    where = _outside(schema, binned)
    columns = "".join(f", {quote(name)}" for name in names)
    weight = ", weight" if spells.weighted else ""
    rows = joined_sql(periods)
    known = f"known AND NOT ({where})"
    table = engine.arrow(
        f"SELECT id, customer_id, spell, start_us / {DAY_US}.0 AS start, stop_us / {DAY_US}.0 AS stop, event{columns}{weight}"
        f" FROM ({rows}) WHERE {known} ORDER BY customer_id, spell, start_us"
    )
    data = {name: table[name].to_numpy(zero_copy_only=False) for name in table.column_names}
    if not len(table):
        raise EmptyDataError(
            "no row has all its features known.", hint="use a longer window, or features that look back less far."
        )
    coded = [coded_column(column, data[column.name]) for column in schema.columns]
    return Episodes(
        schema=schema,
        customer_id=data["customer_id"].astype(object),
        spell=data["spell"].astype(np.int64),
        start=data["start"].astype(np.float64),
        stop=data["stop"].astype(np.float64),
        event=data["event"].astype(np.int64),
        codes=np.column_stack([codes for codes, _ in coded]) if coded else np.zeros((len(table), 0), np.int64),
        values=tuple(values for _, values in coded),
        weight=data["weight"].astype(np.float64) if spells.weighted else None,
        n_spells=len(np.unique(data["id"])),
        binned=binned,
        unallocated=_left_out(periods, schema, rows, known, where),
    )


def joined_sql(periods: PeriodTable) -> str:
    """SQL text of the rows with features; periods matter only where features are taken anew in each."""
    if periods.as_of == "period":
        return periods.sql
    rows = PeriodRows(periods.spells, periods.breaks, periods.parts, periods.landmarks)
    frozen = "".join(f", k.{quote(f.name)}" for f in periods.features if f.name not in periods.moving)
    weight = (
        f" JOIN (SELECT id, weight FROM {periods.spells.table}) w ON w.id = p.id" if periods.spells.weighted else ""
    )
    return (
        f"SELECT p.*, p.entry_us AS start_us, p.exit_us AS stop_us, k.known{frozen}{', w.weight' if weight else ''}"
        f" FROM {rows.source} p JOIN {quote(periods.known.name)} k ON k.key = {rows.key(periods.as_of, 'p')}{weight}"
    )


def _outside(schema: CellSchema, binned: frozenset[str]) -> str:
    tests = [outside_sql(column, quote(column.name)) for column in schema.columns if column.name in binned]
    return " OR ".join(tests) or "FALSE"


def coded_column(column: PatternColumn, raw: np.ndarray) -> tuple[IntArray, FloatArray | None]:
    """Position of each level, and the number behind it (``None`` for text)."""
    if column.edges is None:
        return column.code_levels(np.where(raw == None, column.blank, raw)), None  # noqa: E711 - elementwise
    values = raw.astype(np.float64)
    return column.code_values(values), values


def _left_out(periods: PeriodTable, schema: CellSchema, rows: str, known: str, outside: str) -> tuple[Unallocated, ...]:
    """What is in no row: nobody knows its features, a number lies outside the bins, or no landmark follows it."""
    total = periods.spells.engine.dialect.exact_sum
    events = "".join(f", count(*) FILTER (WHERE event = {k})" for k in range(1, len(schema.causes) + 1))
    found = []
    for reason, where in (
        (lookback_reason(periods.features), "NOT known"),
        ("outside the bin edges", f"known AND ({outside})"),
    ):
        lost, n, *lost_events = periods.spells.engine.rows(
            f"SELECT coalesce({total('stop_us - start_us')}, 0), count(DISTINCT id){events} FROM ({rows}) WHERE {where}"
        )[0]
        if lost:
            found.append(Unallocated(reason, int(n), tuple(int(k) for k in lost_events), int(lost)))
    apart = () if periods.as_of == "period" else tuple(p for p in periods.unallocated if p.reason.startswith("between"))
    return (*(periods.unallocated if periods.as_of == "period" else apart), *found)
