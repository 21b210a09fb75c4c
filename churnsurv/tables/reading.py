"""From raw columns to customer, time, kind and values: every interpretation stated, every refusal counted."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

from churnsurv.errors import (
    ArgumentError,
    DataWarning,
    IdentifierError,
    LocalTimeError,
    MissingValueError,
    TimeFormatError,
)
from churnsurv.tables.checks import (
    DROP,
    Check,
    OnBad,
    number_checks,
    number_expression,
    passing,
    run_checks,
    text_expression,
)
from churnsurv.tables.engines import Relation, literal, quote
from churnsurv.tables.faults import Fault
from churnsurv.tables.sources import Source
from churnsurv.tables.times import INTEGERS, TimeReading, examples, is_text, is_whole_day, time_expression
from churnsurv.tables.window import moment_of
from churnsurv.tables.zones import Ambiguous, ZoneSql

_PLAUSIBLE = ("1900-01-01", "2200-01-01")
_PLAUSIBLE_EPOCH = ("1990-01-01", "2100-01-01")
_CALENDAR = (-62_135_596_800_000_000, 253_402_300_799_999_999)
"""The years 1 to 9999 in microseconds since 1970."""

_MOJIBAKE = "[ÃÂ][\u0080-\u00bf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]|â€"


@dataclass(frozen=True)
class Columns:
    """Which column of the source means what.

    Parameters
    ----------
    customer, time : str
        Customer id and time of the event.
    kind : str or None
        Kind of event; ``None`` calls every row ``"activity"``.
    values : tuple of str
        Numeric columns to keep.
    labels : tuple of str
        Text columns to keep.
    origin : str or None
        Moment at which the customer's contract began, written on the row.
    """

    customer: str
    time: str
    kind: str | None
    values: tuple[str, ...]
    labels: tuple[str, ...]
    origin: str | None = None

    def all(self) -> list[str]:
        """Every column that is read."""
        named = [name for name in (self.kind, self.origin) if name]
        return [self.customer, self.time, *named, *self.values, *self.labels]


def customer_expression(source: Source, column: str) -> str:
    """SQL text of the customer id as text.

    Raises
    ------
    IdentifierError
        If ids are floats (digits may be lost), booleans or anything that is no id.
    """
    type_name = source.types[column]
    if is_text(type_name) or type_name in (*INTEGERS, "UUID"):
        return f"NULLIF(CAST({quote(column)} AS VARCHAR), '')"
    raise IdentifierError(
        f"customer ids in {column!r} are {type_name}, not text or whole numbers.",
        column=column,
        rows=examples(source, column),
        consequence="9007199254740993 becomes 9007199254740992 as a float: two customers become one.",
        hint=f"read {column!r} as text, for example pandas.read_csv(…, dtype={{{column!r}: str}}).",
    )


class Reader:
    """One reading of one source into the columns of an event log.

    Parameters
    ----------
    source : Source
        Raw rows.
    columns : Columns
        What means what.
    reading : TimeReading
        How times are read.
    on_bad : {"raise", "drop"}
        Whether offending rows are refused or left out and counted.
    """

    def __init__(self, source: Source, columns: Columns, reading: TimeReading, on_bad: OnBad) -> None:
        self.source, self.columns, self.reading, self.on_bad = source, columns, reading, on_bad
        self.engine, self.dialect = source.engine, source.engine.dialect
        self.customer = customer_expression(source, columns.customer)
        self.kind = text_expression(columns.kind) if columns.kind else literal("activity")
        self.raw_time, self.is_utc = time_expression(source, columns.time, reading, self.dialect)
        self.origin = self._origin_expression()
        type_name = source.types[columns.time]
        self.is_epoch = type_name in (*INTEGERS, "DOUBLE") or (is_text(type_name) and bool(reading.epoch_unit))
        self.is_whole_day = is_whole_day(quote(columns.time), type_name, reading.time_format)

    def _origin_expression(self) -> tuple[str, bool] | None:
        """SQL text of the origin in microseconds, and whether it is UTC already."""
        if self.columns.origin is None:
            return None
        return time_expression(self.source, self.columns.origin, self.reading, self.dialect)

    def _origin_checks(self, zone: ZoneSql) -> list[Check]:
        """Origins that cannot be read, or lie after the event that names them."""
        if self.origin is None or self.columns.origin is None:
            return []
        name, raw = self.columns.origin, self.origin[0]
        blank = f"{quote(name)} IS NULL"
        if is_text(self.source.types[name]):
            blank = f"NULLIF({quote(name)}, '') IS NULL"
        low, high = (f"epoch_us(TIMESTAMP {literal(text)})" for text in _PLAUSIBLE)
        return [
            Check("unreadable origin", f"NOT ({blank}) AND ({raw} IS NULL OR NOT ({raw} BETWEEN {low} AND {high}))",
                  TimeFormatError, name, f"origins in {name!r} cannot be read as stated, or lie outside 1900 to 2200",
                  "Their tenure would be unknown, or absurd.", f"check time_format or epoch_unit; {DROP}"),
            Check("origin after the event", f"{self._origin_utc(zone)} > {self._time_utc(zone)}", TimeFormatError, name,
                  f"origins in {name!r} lie after the event they stand beside",
                  "A customer would do something before the contract began.",
                  f"write on each row when the contract that was running then began; {DROP}"),
        ]  # fmt: skip

    def _origin_utc(self, zone: ZoneSql) -> str:
        raw, is_utc = self.origin or ("", True)
        return raw if is_utc else f"({raw} - {zone.offset_of_local(raw, 'earlier')})"

    def _time_utc(self, zone: ZoneSql) -> str:
        ambiguous: Ambiguous = "earlier" if self.reading.on_ambiguous == "raise" else self.reading.on_ambiguous
        return self.raw_time if self.is_utc else f"({self.raw_time} - {zone.offset_of_local(self.raw_time, ambiguous)})"

    def _span(self) -> tuple[int, int]:
        import duckdb

        first = f"least(min({self.raw_time}), min({self.origin[0]}))" if self.origin else f"min({self.raw_time})"
        try:
            low, high = self.engine.rows(f"SELECT {first}, max({self.raw_time}) FROM {quote(self.source.name)}")[0]
        except duckdb.Error as error:
            if self.reading.time_format is None:
                raise
            raise TimeFormatError(
                f"time_format={self.reading.time_format!r} is not a pattern that can be read.",
                column=self.columns.time,
                hint='write it with strptime codes, such as "%Y-%m-%d %H:%M".',
            ) from error
        return (0, 0) if low is None else (low, high)

    def _checks(self, zone: ZoneSql) -> list[Check]:
        time, column = self.raw_time, quote(self.columns.time)
        low, high = _PLAUSIBLE_EPOCH if self.is_epoch else _PLAUSIBLE
        bounds = [f"epoch_us(TIMESTAMP {literal(text)})" for text in (low, high)]
        # Only text is compared as text: the engine breaks down when it writes out a moment of the year -290308.
        blank = (
            f"NULLIF({column}, '') IS NULL" if is_text(self.source.types[self.columns.time]) else f"{column} IS NULL"
        )
        checks = [
            Check("missing customer", f"{self.customer} IS NULL", MissingValueError, self.columns.customer,
                  f"rows have no customer in {self.columns.customer!r}",
                  "All nameless rows together would look like one very busy customer.", DROP),
            Check("missing time", blank, MissingValueError,
                  self.columns.time, f"rows have no time in {self.columns.time!r}", "", DROP),
            Check("unreadable time", f"NOT ({blank}) AND {time} IS NULL",
                  TimeFormatError, self.columns.time, f"times in {self.columns.time!r} cannot be read as stated",
                  "They would silently leave the log.", f"check time_format or epoch_unit; {DROP}"),
            Check("implausible time", f"NOT ({time} BETWEEN {bounds[0]} AND {bounds[1]})", TimeFormatError,
                  self.columns.time, f"times in {self.columns.time!r} lie outside {low[:4]} to {high[:4]}",
                  "A wrong unit, or a placeholder such as 9999-12-31, is the usual reason.",
                  f"{'state the right epoch_unit' if self.is_epoch else 'a placeholder is no event'}; {DROP}"),
        ]  # fmt: skip
        if self.columns.kind:
            checks.append(Check("missing kind", f"{self.kind} IS NULL", MissingValueError, self.columns.kind,
                                 f"rows have no kind in {self.columns.kind!r}", "", DROP))  # fmt: skip
        if not self.is_utc:
            checks += self._local_checks(zone)
        checks += self._origin_checks(zone)
        return checks + [check for value in self.columns.values for check in number_checks(self.source, value)]

    def _local_checks(self, zone: ZoneSql) -> list[Check]:
        name, where = self.columns.time, self.reading.timezone
        checks = [
            # A date means the first moment of its day, also where the clocks are changed at midnight.
            Check("nonexistent local time", f"NOT {self.is_whole_day} AND {zone.is_nonexistent(self.raw_time)}",
                   LocalTimeError, name,
                  f"times in {name!r} do not exist in {where}: the clocks were put forward",
                  "The zone is probably not the one in which the log was written.",
                   f'state the zone of the log, for example timezone="UTC"; {DROP}'),
        ]  # fmt: skip
        if self.reading.on_ambiguous == "raise":
            checks.append(
                Check(
                    "ambiguous local time",
                    f"NOT {self.is_whole_day} AND {zone.is_ambiguous(self.raw_time)}",
                    LocalTimeError,
                    name,
                    f"times in {name!r} exist twice in {where}: the clocks were put back",
                    "They may be off by an hour, and out of order.",
                    f'on_ambiguous="earlier" or "later" takes one of the two; {DROP}',
                )
            )
        return checks

    def _row(self, check: Check) -> dict[str, str]:
        """Columns that an offending row is shown with."""
        names = dict.fromkeys([self.columns.customer, self.columns.time, check.column])
        return {name: self._shown(name) for name in names}

    def _shown(self, name: str) -> str:
        """SQL text of a value as an error shows it: a moment as text, one beyond all calendars in microseconds."""
        if name != self.columns.time or not self.source.types[name].startswith(("TIMESTAMP", "DATE")):
            return quote(name)
        inside = f"{self.raw_time} IS NULL OR {self.raw_time} BETWEEN {_CALENDAR[0]} AND {_CALENDAR[1]}"
        return f"CASE WHEN {inside} THEN CAST({quote(name)} AS VARCHAR) ELSE {self.raw_time} || ' µs' END"

    def read(self) -> tuple[Relation, tuple[Fault, ...]]:
        """Check everything, then build the table of events.

        Returns
        -------
        tuple
            The table ``customer_id, time, kind, values…, labels…`` and the faults that were left out.
        """
        zone = ZoneSql(self.reading.timezone, *self._span())
        checks = self._checks(zone)
        faults = run_checks(self.source, checks, self._row, self.on_bad)
        parts = [f"{self.customer} AS customer_id", f"{self._time_utc(zone)} AS time", f"{self.kind} AS kind"]
        parts += [f"{self._origin_utc(zone)} AS origin"] if self.origin else []
        parts += [f"{number_expression(self.source, name)} AS {quote(name)}" for name in self.columns.values]
        parts += [f"{text_expression(name)} AS {quote(name)}" for name in self.columns.labels]
        kept = passing(checks) if faults else "TRUE"
        table = self.engine.create("events", f"SELECT {', '.join(parts)} FROM {quote(self.source.name)} WHERE {kept}")
        self._warn(table)
        return table, faults

    def _warn(self, table: Relation) -> None:
        texts = ["kind", *(quote(name) for name in self.columns.labels)]
        garbled = " + ".join(f"count(*) FILTER (WHERE regexp_matches({text}, {literal(_MOJIBAKE)}))" for text in texts)
        n, floats, mojibake = self.engine.rows(
            f"SELECT count(*), count(*) FILTER (WHERE customer_id LIKE '%.0'), {garbled} FROM {quote(table.name)}"
        )[0]
        words = self.engine.rows(
            f"SELECT customer_id, count(*) FROM {quote(table.name)}"
            f" WHERE lower(customer_id) IN ('nan', 'none', 'null', '<na>', 'nat') GROUP BY 1 ORDER BY 1"
        )
        for word, count in words:
            warnings.warn(
                f"{count:,} of {n:,} events belong to the customer {word!r}: a missing id was probably turned into text."
                " All nameless events together would look like one very busy customer. Hint: leave ids missing, and"
                ' on_bad="drop" counts them.',
                DataWarning, stacklevel=5,
            )  # fmt: skip
        if n and floats == n:
            warnings.warn(
                f"all {n:,} customer ids end in '.0': they were probably written by a program that held them as floats."
                " Hint: read and write ids as text.",
                DataWarning, stacklevel=5,
            )  # fmt: skip
        if mojibake:
            warnings.warn(
                f"{mojibake:,} texts look like UTF-8 that was read in another encoding ('cafÃ©' for 'café')."
                " Hint: export the file as UTF-8 once more.",
                DataWarning, stacklevel=5,
            )  # fmt: skip


def check_names(columns: Columns) -> None:
    """Refuse column names that collide.

    Raises
    ------
    ArgumentError
        If a value or label column carries a reserved name or is named twice.
    """
    for name in columns.all():
        if not isinstance(name, str) or not name:
            raise ArgumentError(f"{name!r} is not the name of a column.", hint='write customer="…", time="…".')
    kept = [*columns.values, *columns.labels]
    taken = ("customer_id", "time", "kind", *(("origin",) if columns.origin else ()))
    reserved = [name for name in kept if name.lower() in taken]
    if reserved:
        raise ArgumentError(
            f"column {reserved[0]!r} cannot be a value or label column: the log uses that name.",
            hint="rename the column first.",
        )
    twice = [name for name in kept if kept.count(name) > 1]
    if twice:
        raise ArgumentError(f"column {twice[0]!r} is named twice.", hint="name it in values= or in labels=, once.")
    different = list(dict.fromkeys(columns.all()))
    folded = [name.lower() for name in different]
    alike = [name for name in different if folded.count(name.lower()) > 1]
    if alike:
        raise ArgumentError(
            f"columns {alike[0]!r} and {alike[1]!r} differ by upper and lower case only.",
            consequence="The engine takes them for one column, and would read one of them twice.",
            hint="rename one of them first.",
        )


def describe_span(low: int, high: int) -> str:
    """First and last moment in words, UTC."""
    return f"{moment_of(low):%Y-%m-%d %H:%M} to {moment_of(high):%Y-%m-%d %H:%M} UTC"
