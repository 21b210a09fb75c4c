"""Spells from durations that exist already: one row per customer, or several that do not overlap."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from churnsurv._validate import check_choice
from churnsurv.errors import ArgumentError, MissingValueError
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
from churnsurv.tables.contracts import Cancellation
from churnsurv.tables.duration_columns import UNIT_US, Churned, DurationColumns, event_expression
from churnsurv.tables.duration_warnings import warn_of_placeholder, warn_of_sum, warn_of_units
from churnsurv.tables.engines import Engine, Relation, default_engine, quote
from churnsurv.tables.faults import Fault
from churnsurv.tables.features import Baseline
from churnsurv.tables.reading import customer_expression
from churnsurv.tables.sources import Source, file_source, frame_source
from churnsurv.tables.spells import SpellTable
from churnsurv.tables.times import is_text
from churnsurv.tables.window import DAY_US

Unit = Literal["hour", "day", "week", "month", "year"]

_LONGEST_YEARS = 200
"""A tenure beyond is a wrong unit; below, every microsecond is exact in a float."""

_PLACE, _POSITION = quote("/place"), quote("/position")
"""Number of a row, and the same as text; no column is called so by accident."""


def read_durations(
    frame: Any,
    *,
    duration: str,
    event: str | None,
    unit: Unit,
    customer: str | None = None,
    spell: str | None = None,
    entry: str | None = None,
    follow_up: float | None = None,
    weight: str | None = None,
    open: str | None = None,
    values: Sequence[str] = (),
    labels: Sequence[str] = (),
    causes: Sequence[str] | None = None,
    churned: Churned | None = None,
    on_bad: OnBad = "raise",
    delimiter: str = ",",
    encoding: str = "utf-8",
    table: str | None = None,
    engine: Engine | None = None,
) -> SpellTable:
    """Read durations into spells; see :meth:`SpellTable.from_durations`, which documents every argument.

    Returns
    -------
    SpellTable
        Without log and window; its ``churn`` is ``Cancellation(causes, origin="stated")``.
    """
    columns = DurationColumns(
        duration, event, customer, spell, entry, weight, open, _names(values, "values"), _names(labels, "labels")
    )
    columns.check()
    check_choice(unit, "unit", UNIT_US)
    check_choice(on_bad, "on_bad", ("raise", "drop"))
    _check_follow_up(columns, follow_up)
    churn = Cancellation(("churned",) if causes is None else _names(causes, "causes"), origin="stated")
    where = engine or default_engine()
    if isinstance(frame, (str, os.PathLike)):
        source = file_source(
            where, Path(frame), columns.all(), delimiter=delimiter, encoding=encoding, table=table
        )  # fmt: skip
    else:
        source = frame_source(where, frame, columns.all())
    code = event_expression(source, event, churned, len(churn.causes))
    relation, faults = _Reader(source, columns, UNIT_US[unit], follow_up, code).read(on_bad)
    warn_of_units(relation, unit)
    for column in columns.values:
        warn_of_placeholder(relation, column)
        warn_of_sum(relation, column)
    return SpellTable.of_relation(
        relation,
        churn,
        faults=faults,
        baseline=tuple(Baseline(name) for name in (*columns.values, *columns.labels)),
        weighted=weight is not None,
        grain=_grain(relation, UNIT_US[unit]),
    )


def _grain(rows: Relation, unit: int) -> float | None:
    """Days of the unit, if every duration is a whole number of units."""
    between = rows.engine.rows(f"SELECT count(*) FROM {quote(rows.name)} WHERE exit_us % {unit} != 0")[0][0]
    return None if between else unit / DAY_US


def _names(given: Sequence[str], name: str) -> tuple[str, ...]:
    if isinstance(given, str):
        raise ArgumentError(f"{name} is a list of names, not one text.", hint=f'write {name}=("{given}",).')
    return tuple(given)


def _check_follow_up(columns: DurationColumns, follow_up: float | None) -> None:
    if columns.spell is not None and columns.customer is None:
        raise ArgumentError(
            "spell= counts the spells of a customer, and customer= names none.", hint='write customer="…".'
        )
    if follow_up is None:
        return
    if columns.entry is not None or columns.spell is not None:
        raise ArgumentError(
            "follow_up= and entry= or spell= are both given.",
            consequence="They say in two ways when the watching began.",
            hint="follow_up is for tables in which everyone was watched for the same last stretch; else name entry= alone.",
        )
    if isinstance(follow_up, bool) or not isinstance(follow_up, (int, float)) or not 0 < follow_up < math.inf:
        raise ArgumentError(
            f"follow_up={follow_up!r} is not a positive length.", hint="write follow_up=1, in the unit."
        )


class _Reader:
    """One reading of one source.

    Parameters
    ----------
    source : Source
        Raw rows.
    columns : DurationColumns
        What means what.
    unit : int
        Microseconds of the unit.
    follow_up : float or None
        Length of the last stretch in which everyone was watched.
    code : str
        SQL text of the event's code.
    """

    def __init__(self, source: Source, columns: DurationColumns, unit: int, follow_up: float | None, code: str) -> None:
        self.source, self.columns, self.unit, self.code = source, columns, unit, code
        self.duration = self._number(columns.duration)
        self.exit = f"round({self.duration} * {unit})"
        if columns.entry is not None:
            self.entry = f"round({self._number(columns.entry)} * {unit})"
        elif follow_up is not None:
            self.entry = f"greatest({self.exit} - {round(follow_up * unit)}, 0)"
        else:
            self.entry = "0"
        self.customer = customer_expression(source, columns.customer) if columns.customer else _POSITION
        self.spell = self._number(columns.spell) if columns.spell else "1"
        self.weight = self._number(columns.weight) if columns.weight else "NULL"
        self.open = self._number(columns.open) if columns.open else f"({code} = 0)"

    def _number(self, column: str) -> str:
        return number_expression(self.source, column)

    def checks(self) -> list[Check]:
        """Everything that a row can be refused for."""
        named = self.columns
        checks = self._missing("customer", named.customer, self.customer) if named.customer else []
        checks += self._of_number(named.duration, self.duration)
        checks += self._of_duration()
        checks += self._missing("event", named.event, self.code) if named.event else []
        checks += self._of_entry() + self._of_others()
        for column in named.values:
            checks += self._of_number(column, self._number(column), "covariate")
        for column in named.labels:
            checks += self._missing("covariate", column, text_expression(column))
        return checks

    def _missing(self, role: str, column: str, value: str) -> list[Check]:
        hint = f"give what is missing a level of its own, or {DROP}" if role == "covariate" else DROP
        return [
            Check(f"missing {role} {column}", f"{value} IS NULL", MissingValueError, column,
                  f"rows have no value in {column!r}", "They would silently leave every comparison.", hint)
        ]  # fmt: skip

    def _of_number(self, column: str, value: str, role: str = "number") -> list[Check]:
        empty = text_expression(column) if is_text(self.source.types[column]) else value
        return [*number_checks(self.source, column), *self._missing(role, column, empty)]

    def _of_duration(self) -> list[Check]:
        name, limit = self.columns.duration, _LONGEST_YEARS * UNIT_US["year"]
        return [
            Check("negative duration", f"{self.duration} < 0", ArgumentError, name, f"durations in {name!r} are negative",
                  "Nobody can leave before they came; the two dates behind them are probably swapped.", DROP),
            Check("no duration", f"{self.exit} = 0 AND {self.duration} >= 0", ArgumentError, name,
                  f"durations in {name!r} are zero", "Whoever has no time at risk can be part of no hazard.",
                  f"{DROP} Where zero means less than one unit, say half a unit: frame[{name!r}].replace(0, 0.5)."),
            Check("absurd duration", f"{self.exit} > {limit}", ArgumentError, name,
                  f"durations in {name!r} are longer than {_LONGEST_YEARS} years",
                  "A wrong unit, or a placeholder for a date that is not known, is the usual reason.",
                  f"check unit=; {DROP}"),
        ]  # fmt: skip

    def _of_entry(self) -> list[Check]:
        name = self.columns.entry
        if name is None:
            return []
        return [
            *self._of_number(name, self._number(name)),
            Check("negative entry", f"{self._number(name)} < 0", ArgumentError, name, f"entries in {name!r} are negative",
                  "The clock starts at 0, when the customer began.", DROP),
            Check("entry at or after exit", f"{self.entry} >= {self.exit}", ArgumentError, name,
                  f"entries in {name!r} do not lie before the duration's end", "There would be no time at risk.",
                  f"duration counts from the beginning, not from the entry; {DROP}"),
        ]  # fmt: skip

    def _of_others(self) -> list[Check]:
        """Checks of spell numbers, weights and of who is still there."""
        named, checks = self.columns, list[Check]()
        if named.spell is not None:
            checks += self._of_number(named.spell, self.spell)
            checks.append(
                Check("no spell number", f"{self.spell} < 1 OR {self.spell} != floor({self.spell})", ArgumentError,
                      named.spell, f"spells in {named.spell!r} are not counted 1, 2, 3", "", DROP)
            )  # fmt: skip
        if named.weight is not None:
            checks += self._of_number(named.weight, self.weight)
            checks.append(
                Check("no weight", f"{self.weight} <= 0", ArgumentError, named.weight,
                      f"weights in {named.weight!r} are not above zero", "A row that counts nothing is no row.", DROP)
            )  # fmt: skip
        if named.open is not None:
            checks += self._of_number(named.open, self.open)
            hint = f"open is 1 for whoever is still a customer, and 0 for everyone else; {DROP}"
            checks += [
                Check("open is unclear", f"{self.open} NOT IN (0, 1)", ArgumentError, named.open,
                      f"values in {named.open!r} are neither 0 nor 1", "", hint),
                Check("open after an event", f"{self.open} = 1 AND {self.code} > 0", ArgumentError, named.open,
                      f"rows have an event and are open in {named.open!r}", "Whoever has left is not at risk.", hint),
            ]  # fmt: skip
        return checks

    def shown(self, check: Check) -> dict[str, str]:
        """Columns that an offending row is shown with."""
        roles = (self.columns.customer, self.columns.duration, self.columns.entry, check.column)
        return {name: quote(name) for name in roles if name is not None}

    def read(self, on_bad: OnBad) -> tuple[Relation, tuple[Fault, ...]]:
        """Check everything, then build the table of spells."""
        checks = self.checks()
        faults = run_checks(self.source, checks, self.shown, on_bad)
        covariates = [f"{self._number(name)} AS {quote(name)}" for name in self.columns.values]
        covariates += [f"{text_expression(name)} AS {quote(name)}" for name in self.columns.labels]
        covariates += [f"{self.weight} AS weight"] if self.columns.weight else []
        extra = "".join(f", {part}" for part in covariates)
        rows = self.source.engine.create(
            "durations",
            f"SELECT {_PLACE} AS id, {self.customer} AS customer_id, CAST({self.spell} AS BIGINT) AS spell,"
            f" CAST(NULL AS BIGINT) AS origin, CAST({self.entry} AS BIGINT) AS entry_us, CAST({self.exit} AS BIGINT) AS exit_us,"
            f" {self.code} AS event, CAST(NULL AS BIGINT) AS last_activity, CAST({self.open} AS BOOLEAN) AS open{extra}"
            f" FROM ({self._numbered()}) WHERE {passing(checks) if faults else 'TRUE'}",
        )
        if self.columns.customer is None:
            return rows, faults
        pauses = self._check_repeats(rows)
        return self._joined(rows), (*faults, *pauses)

    def _numbered(self) -> str:
        """SQL text of the raw rows with their place, as a number and as text of equal length."""
        name = quote(self.source.name)
        width = f"CAST(length(CAST((SELECT count(*) - 1 FROM {name}) AS VARCHAR)) AS INTEGER)"
        return (
            f"SELECT *, lpad(CAST({_PLACE} AS VARCHAR), {width}, '0') AS {_POSITION}"
            f" FROM (SELECT *, row_number() OVER () - 1 AS {_PLACE} FROM {name})"
        )

    def _check_repeats(self, rows: Relation) -> tuple[Fault, ...]:
        """Refuse customers whose rows cannot all be true; count the pauses between those that can."""
        if self.columns.spell is None:
            self._refuse_rows(
                rows, "count(*) OVER (PARTITION BY customer_id) > 1", "rows share their customer with another row",
                "Each would count as a customer of its own.",
                "one row per customer, or name the column that counts a customer's spells: spell=.",
            )  # fmt: skip
            return ()
        life = "PARTITION BY customer_id, spell ORDER BY entry_us, exit_us"
        self._refuse_rows(
            rows, f"entry_us < lag(exit_us) OVER ({life})", "rows begin before the customer's last one has ended",
            "The same days at risk would count twice.",
            "rows of one customer and spell are stretches (entry, duration] that do not overlap; a new contract has a new"
            " number in spell=.",
        )  # fmt: skip
        self._refuse_rows(
            rows, f"lag(event) OVER ({life}) > 0", "rows come after an event that ended their spell",
            "Nobody can leave twice without coming back.", "count what comes after as a new spell, with a new number in spell=.",
        )  # fmt: skip
        pauses, total = rows.engine.rows(
            f"SELECT count(*) FILTER (WHERE pause), count(*) FROM (SELECT entry_us > lag(exit_us) OVER ({life}) AS pause"
            f" FROM {quote(rows.name)})"
        )[0]
        return (
            (Fault("pause inside a spell", int(pauses), int(total), "kept: not at risk meanwhile"),) if pauses else ()
        )

    def _refuse_rows(self, rows: Relation, condition: str, what: str, consequence: str, hint: str) -> None:
        bad = f"SELECT id AS row, customer_id, spell, {condition} AS bad FROM {quote(rows.name)}"
        found = rows.engine.records(f"SELECT * EXCLUDE (bad) FROM ({bad}) WHERE bad ORDER BY customer_id, row")
        if found:
            total = int(rows.engine.rows(f"SELECT count(*) FROM {quote(rows.name)}")[0][0])
            raise ArgumentError(
                f"{len(found):,} of {total:,} {what}.", column=self.columns.customer, count=len(found), total=total,
                rows=found[:5], consequence=consequence, hint=hint,
            )  # fmt: skip

    def _joined(self, rows: Relation) -> Relation:
        """Close every row but a customer's last: what is followed by another is not at risk now."""
        if self.columns.spell is None:
            return rows
        last = "lead(id) OVER (PARTITION BY customer_id ORDER BY spell, entry_us) IS NULL"
        return rows.engine.create("spells", f"SELECT * REPLACE (open AND {last} AS open) FROM {quote(rows.name)}")
