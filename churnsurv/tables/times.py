"""What a column of times says: timestamps, dates, text in a stated format, numbers in a stated unit."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from churnsurv.errors import DataTypeError, TimeFormatError, TimeZoneError
from churnsurv.tables.engines import Dialect, literal, quote
from churnsurv.tables.sources import Source
from churnsurv.tables.zones import Ambiguous

EpochUnit = Literal["s", "ms", "us", "ns"]
_EPOCH_FACTOR = {"s": ("*", 1_000_000), "ms": ("*", 1_000), "us": ("*", 1), "ns": ("//", 1_000)}
INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")
_AWARE = ("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ_NS")
_OFFSET = r" ?([+-]\d{2}(:?\d{2})?|Z)"
_ISO = r"\d{4}-\d{1,2}-\d{1,2}([T ]\d{1,2}:\d{2}(:\d{2}(\.\d{1,9})?)?(" + _OFFSET + ")?)?"
_BLANK = '"NULL"'
"""What the engine calls the type of a column in which nothing was ever filled in."""


@dataclass(frozen=True)
class TimeReading:
    """How the time column is to be read.

    Parameters
    ----------
    timezone : str
        Zone of local times, and of the local day.
    time_format : str or None
        ``strptime`` pattern for text, or ``"iso"``.
    epoch_unit : str or None
        Unit of numeric times.
    on_ambiguous : {"raise", "earlier", "later"}
        Which of two readings to take in the hour that exists twice.
    """

    timezone: str
    time_format: str | None
    epoch_unit: EpochUnit | None
    on_ambiguous: Ambiguous


def is_text(type_name: str) -> bool:
    """Tell whether an engine type is text."""
    return type_name in ("VARCHAR", _BLANK) or type_name.startswith("ENUM")


def examples(source: Source, column: str) -> list[dict[str, Any]]:
    """Return two values of a column, for an error."""
    return source.engine.records(
        f"SELECT {quote(column)} FROM {quote(source.name)} WHERE {quote(column)} IS NOT NULL LIMIT 2"
    )


def _epoch_expression(source: Source, column: str, unit: EpochUnit | None) -> str:
    if unit not in _EPOCH_FACTOR:
        raise TimeFormatError(
            f"{column!r} holds numbers, and their unit is not stated."
            if unit is None
            else f"epoch_unit={unit!r} is unknown.",
            column=column,
            rows=examples(source, column),
            consequence="1,704,067,200 is January 2024 in seconds and January 1970 in milliseconds.",
            hint='state epoch_unit="s", "ms", "us" or "ns" (on the command line --epoch-unit).',
        )
    operator, factor = _EPOCH_FACTOR[unit]
    name, type_name = quote(column), source.types[column]
    if type_name == "FLOAT":
        raise DataTypeError(
            f"times in {column!r} are 32-bit floats.",
            column=column,
            rows=examples(source, column),
            consequence="They hold a moment of today to the nearest two minutes.",
            hint="read them as whole numbers or 64-bit floats.",
        )
    whole = f"TRY_CAST(TRY_CAST({name} AS HUGEINT) {operator} {factor} AS BIGINT)"
    broken = f"TRY_CAST(TRY_CAST({name} AS DOUBLE) {'/' if operator == '//' else operator} {factor} AS BIGINT)"
    if is_text(type_name):
        return f"(CASE WHEN regexp_full_match({name}, '-?[0-9]{{1,20}}') THEN {whole} ELSE {broken} END)"
    return whole if type_name in INTEGERS else broken


def _text_time(source: Source, column: str, pattern: str, dialect: Dialect) -> tuple[str, bool]:
    text = quote(column)
    if pattern != "iso":
        codes = set(re.findall("%-?([A-Za-z])", pattern.replace("%%", "")))
        if not codes & set("YyGcxDF"):
            raise TimeFormatError(
                f"time_format={pattern!r} states no year.",
                column=column,
                rows=examples(source, column),
                consequence="Every event would be dated 1900.",
                hint='name a column that holds the whole moment, such as "%Y-%m-%d %H:%M".',
            )
        return dialect.epoch_us(f"TRY_STRPTIME({text}, {literal(pattern)})"), bool(codes & {"z", "Z"})
    has_offset = f"regexp_full_match({text}, {literal(f'.*[T ][0-9]+:.*{_OFFSET}')})"
    aware, total, one, other = source.engine.rows(
        f"SELECT count(*) FILTER ({has_offset}), count(*), min({text}) FILTER ({has_offset}),"
        f" min({text}) FILTER (NOT {has_offset}) FROM {quote(source.name)} WHERE {text} != ''"
    )[0]
    if 0 < aware < total:
        raise TimeZoneError(
            f"{aware:,} of {total:,} times in {column!r} carry an offset, the others do not.",
            column=column,
            rows=[{column: one}, {column: other}],
            consequence="Part of the log would be shifted against the rest.",
            hint="write all of them with an offset, or none.",
        )
    # The engine's own cast is lenient: it drops a zone's name after a time, and knows words such as 'epoch'.
    shaped = f"CASE WHEN regexp_full_match({text}, {literal(_ISO)}) THEN {text} END"
    return dialect.epoch_us(f"TRY_CAST({shaped} AS {'TIMESTAMPTZ' if aware else 'TIMESTAMP'})"), bool(aware)


def time_expression(source: Source, column: str, reading: TimeReading, dialect: Dialect) -> tuple[str, bool]:
    """SQL text of the time in microseconds, and whether it is UTC already.

    Raises
    ------
    TimeFormatError
        If text comes without a format, or numbers without a unit.
    DataTypeError
        If the column cannot be a time.
    """
    type_name = source.types[column]
    if type_name == _BLANK:
        return "CAST(NULL AS BIGINT)", True
    if type_name in _AWARE:
        return dialect.epoch_us(f"CAST({quote(column)} AS TIMESTAMPTZ)"), True
    if type_name.startswith("TIMESTAMP") or type_name == "DATE":
        return dialect.epoch_us(f"TRY_CAST({quote(column)} AS TIMESTAMP)"), False
    if type_name in (*INTEGERS, "DOUBLE", "FLOAT") or (is_text(type_name) and reading.epoch_unit):
        return _epoch_expression(source, column, reading.epoch_unit), True
    if not is_text(type_name):
        raise DataTypeError(
            f"times in {column!r} are {type_name}, which is no moment.",
            column=column,
            rows=examples(source, column),
            hint="name the column that says when the event happened.",
        )
    if reading.time_format is None:
        raise TimeFormatError(
            f"times in {column!r} are text, and their format is not stated.",
            column=column,
            rows=examples(source, column),
            consequence="Guessing row by row turns 02/01 into 2 January and 13/02 into 13 February.",
            hint='state time_format="%Y-%m-%d %H:%M" (or time_format="iso"); on the command line --time-format.',
        )
    return _text_time(source, column, reading.time_format, dialect)


def is_whole_day(column: str, type_name: str, time_format: str | None) -> str:
    """SQL text that tells whether a time is a date without a time of day."""
    if not is_text(type_name):
        return "TRUE" if type_name == "DATE" else "FALSE"
    if time_format == "iso":
        return f"(length({column}) <= 10)"
    return "FALSE" if re.search("%-?[HIcXTRsfgnMSp]", time_format or "") else "TRUE"
