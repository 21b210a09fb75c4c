"""What happened: one row per event, checked once, never changed."""

from __future__ import annotations

import datetime as dt
import functools
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from churnsurv.errors import ArgumentError, EmptyDataError
from churnsurv.tables.checks import OnBad
from churnsurv.tables.engines import Engine, Relation, default_engine, quote
from churnsurv.tables.faults import Fault
from churnsurv.tables.reading import Columns, Reader, check_names, describe_span
from churnsurv.tables.sources import Source, file_source, frame_source
from churnsurv.tables.times import EpochUnit, TimeReading
from churnsurv.tables.window import moment_of, read_zone, resolve_moment
from churnsurv.tables.zones import Ambiguous

if TYPE_CHECKING:
    import pandas as pd

_DUPLICATE = "duplicate"


@dataclass(frozen=True, eq=False)
class EventLog:
    """One row per event: who, when (UTC, microseconds), what kind, and value columns.

    Made by :meth:`from_frame` or :meth:`from_file`, which state the time zone, the format of times
    and the meaning of each column: nothing is sniffed. Rows stay in the engine until asked for.

    Parameters
    ----------
    relation : Relation
        Table ``customer_id, time, kind`` and the value and label columns.
    timezone : str
        IANA zone of the business; local days are counted in it.
    values : tuple of str
        Numeric columns.
    labels : tuple of str
        Text columns.
    faults : tuple of Fault
        What was found wrong, and what was left out on request.
    n_events : int
        Number of events.
    span : tuple of int
        Time of the first and the last event.
    other_kinds : frozenset of str
        Kinds of the log that this one was taken from by :meth:`before`; they may be named though none has
        happened yet.

    Examples
    --------
    >>> import pyarrow as pa
    >>> rows = pa.table({"who": ["a", "a", "b"], "at": ["2024-01-05", "2024-02-01", "2024-01-20"]})
    >>> log = EventLog.from_frame(rows, customer="who", time="at", time_format="iso", timezone="Europe/Paris")
    >>> log
    EventLog(3 events of 2 customers, 2024-01-04 23:00 to 2024-01-31 23:00 UTC, kinds: activity 3)
    """

    relation: Relation
    timezone: str
    values: tuple[str, ...]
    labels: tuple[str, ...]
    faults: tuple[Fault, ...]
    n_events: int
    span: tuple[int, int]
    other_kinds: frozenset[str] = frozenset()

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        *,
        customer: str,
        time: str,
        timezone: str,
        kind: str | None = None,
        values: Sequence[str] = (),
        labels: Sequence[str] = (),
        time_format: str | None = None,
        epoch_unit: EpochUnit | None = None,
        origin: str | None = None,
        on_bad: OnBad = "raise",
        on_ambiguous: Ambiguous = "raise",
        engine: Engine | None = None,
    ) -> EventLog:
        """Make a log from a pandas, polars, Arrow or other frame that narwhals knows.

        Costs two passes over the asked-for columns, in the engine.

        Parameters
        ----------
        frame : data frame
            One row per event, in any order.
        customer : str
            Column of customer ids: text, or whole numbers (kept as text). Floats are refused.
        time : str
            Column of times: timestamps, dates (their midnight), text with ``time_format``, or numbers
            with ``epoch_unit``.
        timezone : str
            IANA zone. Times without an offset are read in it, and local days are counted in it.
        kind : str, optional
            Column with the kind of event; without it every row is ``"activity"``.
        values : sequence of str
            Numeric columns to keep (revenue, rating, waiting time). Missing values are allowed.
        labels : sequence of str
            Text columns to keep (country, category).
        time_format : str, optional
            ``strptime`` pattern of text times, or ``"iso"``.
        epoch_unit : {"s", "ms", "us", "ns"}, optional
            Unit of numeric times since 1970-01-01 UTC.
        origin : str, optional
            Column with the moment at which the customer's contract began, written like the time; for
            ``Cancellation(…, origin="column")``. Two moments of one customer are two contracts.
        on_bad : {"raise", "drop"}
            Refuse rows that cannot be used, or leave them out and count them in ``faults``.
        on_ambiguous : {"raise", "earlier", "later"}
            What to do with local times that exist twice when clocks go back.
        engine : Engine, optional
            Where to compute; a shared embedded DuckDB by default.

        Returns
        -------
        EventLog
            Checked; sorted by nothing.

        Raises
        ------
        ColumnError, DataTypeError, EmptyDataError, IdentifierError, MissingValueError, NonFiniteError, \
TimeFormatError, TimeZoneError, LocalTimeError
            With the number of offending rows and two of them.
        """
        columns = Columns(customer, time, kind, _names(values, "values"), _names(labels, "labels"), origin)
        reading = TimeReading(timezone, time_format, epoch_unit, on_ambiguous)
        _check_settings(columns, reading, on_bad)
        return cls._read(frame_source(engine or default_engine(), frame, columns.all()), columns, reading, on_bad)

    @classmethod
    def from_file(
        cls,
        path: str | os.PathLike[str],
        *,
        customer: str,
        time: str,
        timezone: str,
        kind: str | None = None,
        values: Sequence[str] = (),
        labels: Sequence[str] = (),
        time_format: str | None = None,
        epoch_unit: EpochUnit | None = None,
        origin: str | None = None,
        on_bad: OnBad = "raise",
        on_ambiguous: Ambiguous = "raise",
        delimiter: str = ",",
        encoding: str = "utf-8",
        table: str | None = None,
        engine: Engine | None = None,
    ) -> EventLog:
        """Make a log from a CSV, Parquet or NDJSON file or a table of a DuckDB file.

        The file is read by the engine, in parallel and within its memory limit. CSV and NDJSON are
        read as text: an id ``001`` stays ``001``, a country ``NA`` stays ``NA``.

        Parameters
        ----------
        path : path
            ``.csv``, ``.tsv``, ``.txt`` (also ``.gz``), ``.parquet``, ``.ndjson``, ``.duckdb``.
        customer, time, timezone, kind, values, labels, time_format, epoch_unit, origin, on_bad, on_ambiguous, \
engine
            As in :meth:`from_frame`.
        delimiter : str
            Between the fields of a text file.
        encoding : str
            Of a text file.
        table : str, optional
            Table of a DuckDB file.

        Returns
        -------
        EventLog
            Checked; sorted by nothing.

        Raises
        ------
        FileFormatError
            If the file is missing, damaged or of another kind; otherwise as :meth:`from_frame`.
        """
        columns = Columns(customer, time, kind, _names(values, "values"), _names(labels, "labels"), origin)
        reading = TimeReading(timezone, time_format, epoch_unit, on_ambiguous)
        _check_settings(columns, reading, on_bad)
        source = file_source(
            engine or default_engine(), Path(path), columns.all(), delimiter=delimiter, encoding=encoding, table=table
        )
        return cls._read(source, columns, reading, on_bad)

    @classmethod
    def _read(cls, source: Source, columns: Columns, reading: TimeReading, on_bad: OnBad) -> EventLog:
        relation, faults = Reader(source, columns, reading, on_bad).read()
        return cls._of(relation, reading.timezone, columns.values, columns.labels, (*faults, *_duplicates(relation)))

    @classmethod
    def _of(
        cls,
        relation: Relation,
        timezone: str,
        values: tuple[str, ...],
        labels: tuple[str, ...],
        faults: tuple[Fault, ...],
    ) -> EventLog:
        n, low, high = relation.engine.rows(f"SELECT count(*), min(time), max(time) FROM {quote(relation.name)}")[0]
        if not n:
            raise EmptyDataError(
                "no event is left in the log.",
                rows=[{fault.name: f"{fault.count:,} of {fault.total:,} rows, {fault.action}"} for fault in faults[:5]],
                hint="mend what is wrong with the rows, or choose a later moment for before(…).",
            )
        return cls(relation, timezone, values, labels, faults, int(n), (int(low), int(high)))

    @property
    def engine(self) -> Engine:
        """Where the rows are."""
        return self.relation.engine

    @property
    def table(self) -> str:
        """Quoted name of the table inside the engine."""
        return quote(self.relation.name)

    @functools.cached_property
    def has_origin(self) -> bool:
        """Whether each event says when the customer's contract began."""
        return "origin" in self.engine.columns(f"SELECT * FROM {self.table}")

    def kinds(self) -> dict[str, int]:
        """Number of events of each kind, most frequent first."""
        rows = self.engine.rows(f"SELECT kind, count(*) AS n FROM {self.table} GROUP BY kind ORDER BY n DESC, kind")
        return {kind: int(n) for kind, n in rows}

    def n_customers(self) -> int:
        """Number of different customers."""
        return int(self.engine.rows(f"SELECT count(DISTINCT customer_id) FROM {self.table}")[0][0])

    @functools.cached_property
    def has_ties(self) -> bool:
        """Whether two events of one customer and kind share a microsecond, as the lines of a basket do."""
        n = self.engine.rows(f"SELECT count(DISTINCT hash(customer_id, kind, time)) FROM {self.table}")[0][0]
        return bool(n < self.n_events)

    @functools.cached_property
    def fingerprint(self) -> str:
        """What tells this log from others: number of rows and sum of their hashes, whatever their order; one pass."""
        names = sorted(("customer_id", "time", "kind", *self.values, *self.labels, *(["origin"] * self.has_origin)))
        columns = ", ".join(quote(name) for name in names)
        n, total = self.engine.rows(f"SELECT count(*), sum(hash({columns})::HUGEINT) FROM {self.table}")[0]
        return f"{n} rows of {', '.join(names)} in {self.timezone}: {total}"

    def frame(self) -> pd.DataFrame:
        """All rows as a pandas frame, ordered by customer, time and kind; ``time`` in microseconds UTC."""
        return self._frame("")

    def head(self, n: int = 5) -> pd.DataFrame:
        """First rows in the order of :meth:`frame`."""
        return self._frame(f" LIMIT {int(n)}")

    def _frame(self, tail: str) -> pd.DataFrame:
        order = ", ".join(quote(name) for name in ("customer_id", "time", "kind", *self.values, *self.labels))
        return self.engine.frame(f"SELECT {order} FROM {self.table} ORDER BY {order}{tail}")

    def before(self, moment: str | dt.date | dt.datetime) -> EventLog:
        """Return the log as it was known at a moment: only events strictly before it.

        Where events say when the customer's contract began, contracts that had begun by then are kept in mind by an event
        of the kind ``"(began)"`` at that moment, if no earlier row names them: that they ran was known, whatever is
        known to have happened in them only later.

        Parameters
        ----------
        moment : str, date or datetime
            A date means its midnight in the log's zone.

        Raises
        ------
        EmptyDataError
            If nothing had happened yet.
        """
        time = resolve_moment(moment, self.timezone)
        relation = self.engine.create("events", f"SELECT * FROM {self.table} WHERE time < {time}{self._begun(time)}")
        kept = tuple(fault for fault in self.faults if fault.name != _DUPLICATE)
        faults = (*kept, *_duplicates(relation))
        earlier = EventLog._of(relation, self.timezone, self.values, self.labels, faults)
        return replace(earlier, other_kinds=self.other_kinds | frozenset(self.kinds()))

    def _begun(self, time: int) -> str:
        """SQL text of contracts that had begun by a moment and are named by later rows only."""
        if not self.has_origin:
            return ""
        key = "customer_id, origin"
        return (
            f" UNION ALL BY NAME SELECT DISTINCT {key}, origin AS time, '(began)' AS kind FROM {self.table}"
            f" WHERE time >= {time} AND origin < {time}"
            f" AND ({key}) NOT IN (SELECT ({key}) FROM {self.table} WHERE time < {time} AND origin IS NOT NULL)"
        )

    def concat(self, other: EventLog) -> EventLog:
        """Both logs together; zone, value and label columns must agree.

        Raises
        ------
        ArgumentError
            If they do not, or the logs are held by different engines.
        """
        mine, theirs = (self.timezone, self.values, self.labels), (other.timezone, other.values, other.labels)
        if (*mine, self.has_origin) != (*theirs, other.has_origin) or self.engine is not other.engine:
            raise ArgumentError(
                f"the two logs differ in zone, columns or engine: {mine} and {theirs}.",
                hint="read both with the same timezone, values, labels and engine.",
            )
        relation = self.engine.create(
            "events", f"SELECT * FROM {self.table} UNION ALL BY NAME SELECT * FROM {other.table}"
        )
        kept = [fault for fault in (*self.faults, *other.faults) if fault.name != _DUPLICATE]
        return EventLog._of(relation, *mine, (*kept, *_duplicates(relation)))

    def __repr__(self) -> str:
        """One line: how many events of how many customers, when, of which kinds."""
        kinds = ", ".join(f"{kind} {n:,}" for kind, n in list(self.kinds().items())[:5])
        return (
            f"EventLog({self.n_events:,} events of {self.n_customers():,} customers, "
            f"{describe_span(*self.span)}, kinds: {kinds})"
        )


def _names(names: Sequence[str], argument: Literal["values", "labels"]) -> tuple[str, ...]:
    if isinstance(names, str):
        raise ArgumentError(
            f"{argument}={names!r} is one text, not several names.", hint=f'write {argument}=("{names}",).'
        )
    return tuple(names)


def _check_settings(columns: Columns, reading: TimeReading, on_bad: str) -> None:
    read_zone(reading.timezone)
    check_names(columns)
    if on_bad not in ("raise", "drop"):
        raise ArgumentError(f"on_bad={on_bad!r} is unknown.", hint='on_bad is "raise" or "drop".')
    if reading.on_ambiguous not in ("raise", "earlier", "later"):
        raise ArgumentError(
            f"on_ambiguous={reading.on_ambiguous!r} is unknown.", hint='on_ambiguous is "raise", "earlier" or "later".'
        )


def _duplicates(relation: Relation) -> tuple[Fault, ...]:
    """Count rows that repeat another in every kept column; they are kept: two equal lines may both be true."""
    engine, table = relation.engine, quote(relation.name)
    row = "hash(" + ", ".join(f"e.{quote(name)}" for name in engine.columns(f"SELECT * FROM {table}")) + ")"
    total, different = engine.rows(f"SELECT count(*), count(DISTINCT {row}) FROM {table} e")[0]
    if total == different:
        return ()
    rows = engine.records(
        f"WITH hashed AS (SELECT e.customer_id, e.time, e.kind, {row} AS twin FROM {table} e),"
        " twins AS (SELECT twin, count(*) AS times FROM hashed GROUP BY twin HAVING count(*) > 1)"
        " SELECT DISTINCT h.customer_id, h.time, h.kind, t.times FROM hashed h JOIN twins t USING (twin)"
        " ORDER BY h.customer_id, h.time, h.kind LIMIT 5"
    )
    rows = [{**found, "time": f"{moment_of(found['time']):%Y-%m-%d %H:%M:%S} UTC"} for found in rows]
    return (
        Fault(
            _DUPLICATE, int(total - different), int(total), "kept (equal in every column that was read)", tuple(rows)
        ),
    )
