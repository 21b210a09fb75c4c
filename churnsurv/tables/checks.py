"""Checks of raw columns in the engine: what is wrong is counted and shown, then refused or left out on purpose."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from churnsurv.errors import ChurnsurvError, DataTypeError, NonFiniteError
from churnsurv.tables.engines import quote
from churnsurv.tables.faults import Fault
from churnsurv.tables.sources import Source
from churnsurv.tables.times import INTEGERS, examples, is_text

OnBad = Literal["raise", "drop"]

DROP = 'on_bad="drop" leaves such rows out and counts them.'


@dataclass(frozen=True)
class Check:
    """One thing that must not be.

    Parameters
    ----------
    name : str
        Name of the fault.
    condition : str
        SQL text that is true for an offending row.
    error : subclass of ChurnsurvError
        What to raise.
    column : str
        The column it is about.
    what : str
        To follow "3 of 11 ".
    consequence, hint : str
        As in :class:`~churnsurv.errors.ChurnsurvError`.
    """

    name: str
    condition: str
    error: type[ChurnsurvError]
    column: str
    what: str
    consequence: str
    hint: str


def run_checks(
    source: Source, checks: Sequence[Check], shown: Callable[[Check], Mapping[str, str]], on_bad: OnBad
) -> tuple[Fault, ...]:
    """Refuse the first check that fails, or count every one.

    Parameters
    ----------
    source : Source
        Raw rows.
    checks : sequence of Check
        In the order in which they are told.
    shown : callable
        SQL text of each value that an offending row is shown with, by column.
    on_bad : {"raise", "drop"}
        Whether to refuse.

    Returns
    -------
    tuple of Fault
        Those found, if they are to be left out.

    Raises
    ------
    ChurnsurvError
        Of the class that the check names.
    """
    counted = ", ".join(f"count(*) FILTER (WHERE {check.condition})" for check in checks)
    total, *counts = (int(n) for n in source.engine.rows(f"SELECT count(*), {counted} FROM {quote(source.name)}")[0])
    faults = []
    for check, count in zip(checks, counts, strict=True):
        if not count:
            continue
        rows = _offenders(source, check, shown(check))
        if on_bad == "raise":
            raise check.error(
                f"{count:,} of {total:,} {check.what}.", column=check.column, count=count, total=total,
                rows=rows, consequence=check.consequence, hint=check.hint,
            )  # fmt: skip
        faults.append(Fault(check.name, count, total, 'left out because on_bad="drop"', rows))
    return tuple(faults)


def passing(checks: Sequence[Check]) -> str:
    """SQL text that is true for a row without fault."""
    return " AND ".join(f"NOT coalesce({check.condition}, FALSE)" for check in checks) or "TRUE"


def _offenders(source: Source, check: Check, shown: Mapping[str, str]) -> tuple[dict[str, Any], ...]:
    values = ", ".join(f"{sql} AS {quote(name)}" for name, sql in shown.items())
    rows = source.engine.records(
        f"SELECT row_number() OVER () - 1 AS row, {values}, {check.condition} AS bad_ FROM {quote(source.name)}"
        " QUALIFY bad_ ORDER BY row LIMIT 5"
    )
    return tuple({name: value for name, value in row.items() if name != "bad_"} for row in rows)


def is_number(type_name: str) -> bool:
    """Tell whether an engine type is a number, or a truth value, which counts as 0 and 1."""
    return type_name in (*INTEGERS, "FLOAT", "DOUBLE", "BOOLEAN") or type_name.startswith("DECIMAL")


def number_expression(source: Source, column: str) -> str:
    """SQL text of a column as float64, null where it is missing.

    Raises
    ------
    DataTypeError
        If it holds neither numbers nor text that may be read as such.
    """
    type_name = source.types[column]
    if not (is_number(type_name) or is_text(type_name)):
        raise DataTypeError(
            f"value column {column!r} is {type_name}, not a number.",
            column=column,
            rows=examples(source, column),
            hint="leave it out, or convert it to numbers.",
        )
    cast = f"TRY_CAST({quote(column)} AS DOUBLE)"
    return cast if is_text(type_name) else f"(CASE WHEN isnan({cast}) THEN NULL ELSE {cast} END)"


def number_checks(source: Source, column: str) -> list[Check]:
    """Checks that a column's values are finite numbers where they are not missing."""
    name, value = quote(column), number_expression(source, column)
    checks = [
        Check(
            f"{column} is infinite",
            f"isinf({value}) OR isnan({value})",
            NonFiniteError,
            column,
            f"values in {column!r} are not finite",
            "One infinite value makes every mean infinite.",
            DROP,
        )
    ]
    if is_text(source.types[column]):
        checks.insert(
            0,
            Check(
                f"{column} is not a number",
                f"{name} != '' AND {value} IS NULL",
                DataTypeError,
                column,
                f"values in {column!r} are not numbers",
                "They would count as missing. A comma for the decimal point is the usual reason.",
                f"write numbers with a point (12.50), name text columns in labels=, or {DROP}",
            ),
        )
    return checks


def text_expression(column: str) -> str:
    """SQL text of a column as text, null where it is missing or empty."""
    return f"NULLIF(CAST({quote(column)} AS VARCHAR), '')"
