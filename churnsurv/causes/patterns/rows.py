"""What patterns are counted on: exposure and events per customer and combination of levels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np

from churnsurv._typing import FloatArray, IntArray
from churnsurv._validate import check_choice
from churnsurv.errors import ArgumentError, EmptyDataError, ModelSupportError, NoEventsError
from churnsurv.tables.bins import Bins, Quantiles, code_sql, outside_sql
from churnsurv.tables.churn import Silence
from churnsurv.tables.counting import check_bins, month_column, pattern_column
from churnsurv.tables.covariates import is_text
from churnsurv.tables.engines import literal, quote
from churnsurv.tables.features import Feature
from churnsurv.tables.parts import MONTH
from churnsurv.tables.periods import PeriodTable, lookback_reason
from churnsurv.tables.schema import PatternColumn, bin_labels
from churnsurv.tables.window import DAY_US

Outcome = Literal["churn", "return"]
Unit = Literal["day", "spell"]

PERIOD = "period"
"""Column of the time on the clock; a condition where it is asked for."""


@dataclass(frozen=True)
class LeftOut:
    """Time at risk, or spells, that no pattern was counted on.

    Parameters
    ----------
    reason : str
        In words.
    exposure : float
        Days at risk, or spells.
    n_events : int
        Events in it.
    """

    reason: str
    exposure: float
    n_events: int


@dataclass(frozen=True, eq=False)
class PatternRows:
    """One row per customer and combination of levels; arrays of shape (n,) unless said.

    Memory is 8 bytes × n × (3 + columns), for n at most the person-periods.

    Parameters
    ----------
    columns : tuple of PatternColumn
        Columns whose levels are conditions.
    codes : array of shape (n, n_columns)
        Position of each level in ``columns[k].labels``.
    customer : array of int
        Number of the customer; rows of a customer are neighbours.
    exposure : array
        Days at risk, or spells, > 0.
    events : array
        Events in it.
    event_name : str
        What the event is, in a sentence.
    unit : {"day", "spell"}
        Of ``exposure``.
    left_out : tuple of LeftOut
        What is in no row.
    """

    columns: tuple[PatternColumn, ...]
    codes: IntArray
    customer: IntArray
    exposure: FloatArray
    events: FloatArray
    event_name: str = "churn"
    unit: Unit = "day"
    left_out: tuple[LeftOut, ...] = ()

    @classmethod
    def read(
        cls,
        periods: PeriodTable,
        *,
        by: Sequence[str] | None,
        bins: Bins | Quantiles | None,
        outcome: Outcome,
        cause: str | Sequence[str],
        after: float,
    ) -> PatternRows:
        """Count person-periods by customer and levels; see :func:`~churnsurv.causes.patterns.rules.find_patterns`.

        Cost: one grouped query over the person-periods.

        Raises
        ------
        ArgumentError, BreaksError, EmptyDataError, ModelSupportError, NoEventsError
            As there.
        """
        if not isinstance(periods, PeriodTable):
            raise ArgumentError(
                f"patterns are found in a PeriodTable, and {type(periods).__name__} was given.",
                hint="write find_patterns(PeriodTable.from_spells(spells, features=[…])).",
            )
        question = _Question.of(periods, outcome, cause, after)
        columns = _columns(periods, by, bins)
        rows, left_out = _counted(periods, columns, question)
        if not len(rows["exposure"]):
            raise EmptyDataError(
                f"no {question.unit} is left of which all conditions are known.",
                rows=[{part.reason: f"{part.exposure:,.0f} {question.unit}s"} for part in left_out[:5]],
                hint="use a longer window, or features that look back less far.",
            )
        changes = rows["customer_id"][1:] != rows["customer_id"][:-1]
        found = cls(
            columns=columns,
            codes=np.column_stack([_codes(column, rows[f"c{k}"]) for k, column in enumerate(columns)]),
            customer=np.concatenate([[0], np.cumsum(changes)]).astype(np.int64),
            exposure=rows["exposure"] / (DAY_US if question.unit == "day" else 1),
            events=rows["events"].astype(np.float64),
            event_name=question.event_name,
            unit=question.unit,
            left_out=left_out,
        )
        if not found.events.any():
            raise NoEventsError(
                f"there is not one {found.event_name} in {found.exposure.sum():,.0f} {found.unit}s.",
                consequence="Nothing precedes what never happens.",
                hint="use a longer window, another cause, or features that look back less far.",
            )
        return found


@dataclass(frozen=True)
class _Question:
    """Which codes of ``event`` count, and on which rows."""

    codes: tuple[int, ...]
    event_name: str
    unit: Unit
    after_us: int = 0

    @classmethod
    def of(cls, periods: PeriodTable, outcome: str, cause: str | Sequence[str], after: float) -> _Question:
        churn, spells = periods.spells.churn, periods.spells
        check_choice(outcome, "outcome", ("churn", "return"))
        if spells.weighted:
            raise ModelSupportError(
                "these durations carry weights, and patterns count whole customers.",
                hint="repeat the rows instead of weighting them.",
            )
        if isinstance(churn, Silence) and outcome == "churn":
            names: tuple[str, ...] = ("silence", "closure") if churn.terminal else ("silence",)
            codes, name = _causes(names, cause, "churn")
            return cls(codes, name, "spell", _check_after(periods, churn, after))
        if after != 0:
            raise ArgumentError(
                f"after={after!r} asks for conditions as they are within a silence, and the outcome is no silence.",
                column="after",
                hint="leave after out: conditions are those at the beginning of each stretch at risk.",
            )
        if outcome == "churn":
            return cls(*_causes(churn.causes, cause, "churn"), unit="day")
        if not isinstance(churn, Silence):
            raise ArgumentError(
                f"{type(churn).__name__} models the end of a contract, not a return.",
                column="outcome",
                hint='leave outcome out, or cut spells by Silence(kinds=("order",), days=90).',
            )
        return cls(*_causes(("return",), cause, "return"), unit="day")


def _causes(names: Sequence[str], cause: str | Sequence[str], noun: str) -> tuple[tuple[int, ...], str]:
    """Codes of the causes that count, and what they are called."""
    if cause == "any":
        return tuple(range(1, len(names) + 1)), noun
    wanted = (cause,) if isinstance(cause, str) else tuple(cause)
    unknown = [one for one in wanted if one not in names]
    if unknown or not wanted:
        raise ArgumentError(
            f"there is no cause {unknown[0]!r}." if unknown else "`cause` is empty.",
            column="cause",
            hint=f'causes are: {", ".join(names)}; cause="any" takes them all.',
        )
    return tuple(sorted(names.index(one) + 1 for one in set(wanted))), " or ".join(wanted)


def _check_after(periods: PeriodTable, churn: Silence, after: object) -> int:
    """Microseconds of silence after which conditions are read."""
    if periods.as_of == "landmark":
        raise ModelSupportError(
            "rows at landmarks meet a silence in the middle, each at another day of it.",
            consequence="The longest silences would be the strongest pattern, and they are churn already.",
            hint='use PeriodTable.from_spells(spells, features=[…]), or outcome="return".',
        )
    low, high = periods.breaks[0], min(churn.days, periods.breaks[-1])
    number = isinstance(after, (int, float)) and not isinstance(after, bool)
    if not number or not low <= cast(float, after) < high:
        raise ArgumentError(
            f"`after`={after!r} is no day of silence from {low:g} to before {high:g}.",
            column="after",
            hint="after=0 takes what is known when the silence begins.",
        )
    return round(cast(float, after) * DAY_US)


def _columns(
    periods: PeriodTable, by: Sequence[str] | None, bins: Bins | Quantiles | None
) -> tuple[PatternColumn, ...]:
    """Columns whose levels are conditions."""
    named = {feature.name: feature for feature in periods.features}
    numbers = [name for name, feature in named.items() if not is_text(periods.spells, feature)]
    given = dict.fromkeys(numbers, bins) if isinstance(bins, Quantiles) else dict(bins or {})
    check_bins(periods, given)
    known = [*named, *([MONTH] if periods.calendar else []), PERIOD]
    wanted = known[:-1] if by is None else [by] if isinstance(by, str) else list(by)
    unknown = [name for name in wanted if name not in known]
    if unknown or not wanted or len(set(wanted)) != len(wanted):
        said = f"there is no column {unknown[0]!r}." if unknown else "a column is named twice."
        raise ArgumentError(
            said if wanted else "there is no column to make conditions of.",
            column="by",
            hint=f'columns are: {", ".join(known)}; "{PERIOD}" is the time on the clock.',
        )
    bare = [name for name in wanted if name in numbers and name not in given]
    if bare:
        raise ArgumentError(
            f"{len(bare)} of {len(wanted)} columns are numbers without bins: {bare[0]!r}.",
            column=bare[0],
            consequence="A condition is a range of a number, and where it begins decides what is found.",
            hint=f'write bins={{"{bare[0]}": [0, 1, 3, float("inf")]}}, or bins=Quantiles(4) for every number.',
        )
    return tuple(_column(periods, named.get(name), name, given) for name in wanted)


def _column(periods: PeriodTable, feature: Feature | None, name: str, bins: Bins) -> PatternColumn:
    if feature is not None:
        return pattern_column(periods, feature, bins)
    if name == MONTH:
        return month_column(periods)
    return PatternColumn(PERIOD, bin_labels(periods.breaks, integer=False), periods.breaks)


def _counted(
    periods: PeriodTable, columns: tuple[PatternColumn, ...], question: _Question
) -> tuple[dict[str, Any], tuple[LeftOut, ...]]:
    """Rows by customer and levels, and what is in none."""
    engine, total = periods.spells.engine, periods.spells.engine.dialect.exact_sum
    levels = "".join(f", c{k}" for k in range(len(columns)))
    coded = _coded_sql(periods, columns, question)
    happened = f"event IN ({', '.join(map(str, question.codes))})"
    sums = f"CAST({total('at_risk')} AS BIGINT) AS exposure, count(*) FILTER (WHERE {happened}) AS events"
    table = engine.arrow(
        f"SELECT customer_id{levels}, {sums} FROM ({coded}) WHERE problem < 0"
        f" GROUP BY customer_id{levels} ORDER BY customer_id{levels}"
    )
    rows = {name: table[name].to_numpy(zero_copy_only=False) for name in table.column_names}
    return rows, _left_out(periods, columns, question, (coded, happened))


def _left_out(
    periods: PeriodTable, columns: tuple[PatternColumn, ...], question: _Question, sql: tuple[str, str]
) -> tuple[LeftOut, ...]:
    """What is in no row: with the rows it adds up to all spells, or all time at risk."""
    (coded, happened), total = sql, periods.spells.engine.dialect.exact_sum
    lost = periods.spells.engine.rows(
        f"SELECT problem, {total('at_risk')}, {total('unlived')}, count(*) FILTER (WHERE {happened}) FROM ({coded})"
        " GROUP BY problem ORDER BY problem"
    )
    reasons = [lookback_reason(periods.features), *(f"outside the bin edges of {column.name}" for column in columns)]
    reasons += [f"began too late to be followed for {getattr(periods.spells.churn, 'days', 0):g} days"]
    per = DAY_US if question.unit == "day" else 1
    left_out = [LeftOut(reasons[problem], int(amount) / per, int(n)) for problem, amount, _, n in lost if problem >= 0]
    unlived = sum(int(half) for _, _, half, _ in lost)
    if unlived:
        left_out.append(
            LeftOut("half of the whole units in which events lie: when in them is not known", unlived / per, 0)
        )
    if question.unit == "day":
        left_out += [
            LeftOut(part.reason, part.exposure, sum(part.n_events[code - 1] for code in question.codes))
            for part in periods.unallocated
        ]
    return tuple(left_out)


def _coded_sql(periods: PeriodTable, columns: tuple[PatternColumn, ...], question: _Question) -> str:
    """SQL text of rows with their levels; ``problem`` is the reason why one does not count, -1 where it does."""
    levels = "".join(f", {_level_sql(column)} AS c{k}" for k, column in enumerate(columns))
    outside = "".join(f" WHEN {outside_sql(column, quote(column.name))} THEN {k + 1}" for k, column in _ranged(columns))
    if question.unit == "day":
        grain = round((periods.spells.grain or 0.0) * DAY_US)
        half = periods.spells.engine.dialect.idiv(f"least({grain}, stop_us - start_us)", 2)
        unlived = f"CASE WHEN event > 0 THEN {half} ELSE 0 END" if grain else "0"  # as in cells: when in the unit?
        return (
            f"SELECT customer_id, event, stop_us - start_us - {unlived} AS at_risk, {unlived} AS unlived,"
            f" CASE WHEN NOT known THEN 0{outside} ELSE -1 END AS problem{levels} FROM ({periods.sql})"
        )
    days, after = round(cast(Silence, periods.spells.churn).days * DAY_US), question.after_us
    late = f"origin + {days} > {periods.spells.end_us}"
    return (
        f"SELECT customer_id, ended AS event, 1 AS at_risk, 0 AS unlived, CASE WHEN {late} THEN {len(columns) + 1}"
        f" WHEN NOT known THEN 0{outside} ELSE -1 END AS problem{levels}"
        f" FROM (SELECT p.*, CASE WHEN s.exit_us >= {days} THEN 1 WHEN s.event = 2 THEN 2 ELSE 0 END AS ended"
        f" FROM ({periods.sql}) p JOIN {periods.spells.table} s ON s.id = p.id"
        f" WHERE p.start_us <= {after} AND p.stop_us > {after})"
    )


def _ranged(columns: Sequence[PatternColumn]) -> list[tuple[int, PatternColumn]]:
    """Columns that a row can lie outside of; a period never is."""
    return [(k, c) for k, c in enumerate(columns) if c.edges is not None and c.name != PERIOD]


def _level_sql(column: PatternColumn) -> str:
    name = quote(column.name)
    if column.name == PERIOD:
        return name
    return f"coalesce({name}, {literal(column.blank)})" if column.edges is None else code_sql(column, name)


def _codes(column: PatternColumn, levels: Any) -> IntArray:
    return column.code_levels(levels) if column.edges is None else np.asarray(levels, np.int64)
