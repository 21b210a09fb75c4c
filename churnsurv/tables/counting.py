"""The aggregation behind the cells: one grouped query, then codes for the levels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from churnsurv._typing import IntArray
from churnsurv.errors import ArgumentError, ConservationError
from churnsurv.tables.bins import Bins, Quantiles, code_sql, number_column, outside_sql, text_column
from churnsurv.tables.cells import CellTable, Unallocated
from churnsurv.tables.covariates import is_text
from churnsurv.tables.customer_counting import check_customers, count_customers
from churnsurv.tables.engines import literal, quote
from churnsurv.tables.features import NONE_YET, NOT_YET, Feature
from churnsurv.tables.parts import MONTH
from churnsurv.tables.period_rows import PeriodRows
from churnsurv.tables.periods import PeriodTable, lookback_reason
from churnsurv.tables.schema import CellSchema, PatternColumn
from churnsurv.tables.window import DAY_US


def count_cells(periods: PeriodTable, by: Sequence[str] | None, bins: Bins, *, customers: bool = False) -> CellTable:
    """Aggregate person-periods into cells; see :meth:`CellTable.from_periods`."""
    _check_weights(periods)
    if customers:
        check_customers(periods)
    chosen = _chosen(periods, by, bins)
    columns = tuple(pattern_column(periods, feature, bins) for feature in chosen)
    if periods.calendar:
        columns = (*columns, month_column(periods))
    schema = CellSchema(
        churn=periods.spells.churn,
        breaks=periods.breaks,
        columns=columns,
        features=tuple(chosen),
        as_of=periods.as_of,
        timezone=periods.spells.timezone,
        reach=periods.reach,
        calendar=periods.calendar,
    )
    counted = periods.spells.engine.create("cells", _cell_sql(periods, _coded_sql(periods, columns), len(columns)))
    rows = periods.spells.engine.arrow(f"SELECT * FROM {quote(counted.name)} ORDER BY cell")
    table = _assemble(schema, {name: rows[name].to_numpy(zero_copy_only=False) for name in rows.column_names}, periods)
    found = (table.total_events(), table.total_exposure_us())
    if found != (periods.spells.n_events, periods.spells.exposure_us):
        raise ConservationError(
            f"cells hold {found}, spells {(periods.spells.n_events, periods.spells.exposure_us)} (events, µs).",
            hint="this is a defect of the library; please report it.",
        )
    if not customers:
        return table
    return replace(table, customers=count_customers(periods, _uncut_sql(periods, columns), counted, table))


def _chosen(periods: PeriodTable, by: Sequence[str] | None, bins: Mapping[str, object]) -> list[Feature]:
    check_bins(periods, bins)
    named = {feature.name: feature for feature in periods.features}
    wanted = list(named) if by is None else list(by)
    unknown = [name for name in wanted if name not in named]
    if unknown or len(set(wanted)) != len(wanted):
        what = f"there is no feature {unknown[0]!r}." if unknown else "a column is named twice."
        raise ArgumentError(what, hint=f"features are: {', '.join(named) or '(none)'}.")
    return [named[name] for name in wanted]


def check_bins(periods: PeriodTable, bins: Mapping[str, object]) -> None:
    """Refuse bins of what is no numeric feature.

    Raises
    ------
    ArgumentError
        Naming it.
    """
    named = {feature.name: feature for feature in periods.features}
    for name in bins:
        if name not in named or is_text(periods.spells, named[name]):
            what = "is text, and has no bins" if name in named else "is no feature"
            raise ArgumentError(f"bins: {name!r} {what}.", hint=f"features are: {', '.join(named) or '(none)'}.")


def pattern_column(periods: PeriodTable, feature: Feature, bins: Bins) -> PatternColumn:
    """Levels of a text feature, or bins of a number, where it is known.

    Parameters
    ----------
    periods : PeriodTable
        Rows with the feature.
    feature : Feature
        One of the table's.
    bins : mapping
        How numbers are cut; ``Quantiles(4)`` where nothing is said.
    """
    engine, moving = periods.spells.engine, feature.name in periods.moving
    table, blank = (_moving_sql(periods), NOT_YET) if moving else (quote(periods.known.name), NONE_YET)
    if is_text(periods.spells, feature):
        return text_column(engine, table, feature, blank=blank)
    given = bins.get(feature.name, Quantiles(4))
    if not moving or not isinstance(given, Quantiles):
        return number_column(engine, table, feature, given, blank=blank)
    arrived = f"(SELECT * FROM {table} WHERE {quote(feature.name)} IS NOT NULL OR begins)"  # not each piece of the wait
    return number_column(engine, arrived, feature, given, blank=blank)


def _moving_sql(periods: PeriodTable) -> str:
    """SQL text of the parts with ``known``, for the levels of what moves."""
    parts = quote(periods.parts.name) if periods.parts else ""
    key = "p.id" if periods.as_of != "period" else None
    if key is None:
        return f"(SELECT p.*, TRUE AS known FROM {parts} p)"
    return f"(SELECT p.*, k.known FROM {parts} p JOIN {quote(periods.known.name)} k ON k.key = {key})"


def month_column(periods: PeriodTable) -> PatternColumn:
    """Months in which some row lies, as levels."""
    parts = quote(periods.parts.name) if periods.parts else ""
    levels = periods.spells.engine.rows(f"SELECT DISTINCT {MONTH} FROM {parts} ORDER BY 1")
    return PatternColumn(MONTH, tuple(level[0] for level in levels))


def _check_weights(periods: PeriodTable) -> None:
    if periods.spells.weighted:
        raise ArgumentError(
            "these durations carry weights, and cells count whole customers.",
            hint="CoxModel and WeibullModel fit on the table as it is; or repeat the rows instead of weighting them.",
        )


def _coded_sql(periods: PeriodTable, columns: tuple[PatternColumn, ...]) -> str:
    """SQL text of the rows with their pattern; ``problem`` is the reason why one is in no cell, -1 where it is."""
    unlived = _unlived_sql(periods)
    own = f"p.period, p.first, p.at_stop, p.event, {unlived} AS unlived, p.stop_us - p.start_us - {unlived} AS at_risk"
    return _pattern_sql(periods, columns, periods.rows_sql, own)


def _uncut_sql(periods: PeriodTable, columns: tuple[PatternColumn, ...]) -> str:
    """SQL text of the same rows before they are cut at period edges, where features do not change there."""
    rows = periods.rows_sql
    if periods.as_of != "period":
        source = PeriodRows(periods.spells, periods.breaks, periods.parts).source
        rows = f"SELECT *, entry_us AS start_us, exit_us AS stop_us FROM {source}"
    return _pattern_sql(periods, columns, rows, "p.customer_id, p.spell, p.event, p.start_us, p.stop_us")


def _pattern_sql(periods: PeriodTable, columns: tuple[PatternColumn, ...], rows: str, own: str) -> str:
    owner = ["p" if column.name in periods.moving else "k" for column in columns]
    problem = "CASE WHEN NOT k.known THEN 0" + "".join(
        f" WHEN {outside_sql(column, f'{owner[k]}.{quote(column.name)}')} THEN {k + 1}"
        for k, column in enumerate(columns)
    )
    patterns = "".join(f", {_level_sql(column, owner[k])} AS {quote(f'c{k}')}" for k, column in enumerate(columns))
    return (
        f"SELECT {own}, {problem} ELSE -1 END AS problem{patterns}"
        f" FROM ({rows}) p JOIN {quote(periods.known.name)} k ON k.key = {periods.key_sql}"
    )


def _cell_sql(periods: PeriodTable, coded: str, n_columns: int) -> str:
    """SQL text of the cells and their numbers; a pattern is blank where ``problem`` says why it is in no cell."""
    groups = "".join(f", {quote(f'c{k}')}" for k in range(n_columns))
    blanked = "".join(
        f", CASE WHEN problem < 0 THEN {quote(f'c{k}')} END AS {quote(f'c{k}')}" for k in range(n_columns)
    )
    total = periods.spells.engine.dialect.exact_sum
    events = "".join(
        f", count(*) FILTER (WHERE event = {k + 1}) AS e{k}" for k in range(len(periods.spells.churn.causes))
    )
    return f"""
WITH allowed AS (SELECT period, first, at_stop, event, at_risk, unlived, problem{blanked} FROM ({coded})),
counted AS (
  SELECT period, problem{groups}, count(*) FILTER (WHERE first) AS n_spells,
    count(*) FILTER (WHERE at_stop) AS n_at_stop{events}, {total("at_risk")} AS exposure, {total("unlived")} AS unlived
  FROM allowed GROUP BY period, problem{groups})
SELECT * EXCLUDE (exposure, unlived), {_whole_days(periods, "exposure")}, {_whole_days(periods, "unlived")},
  row_number() OVER (ORDER BY problem{groups}, period) - 1 AS cell
FROM counted"""


def _whole_days(periods: PeriodTable, name: str) -> str:
    """SQL text of microseconds as whole days and a rest, each of 64 bits."""
    days = periods.spells.engine.dialect.idiv(name, DAY_US)
    return f"CAST({days} AS BIGINT) AS {name}_days, CAST({name} % {DAY_US} AS BIGINT) AS {name}_rest"


def _unlived_sql(periods: PeriodTable) -> str:
    """SQL text of the time at risk that a row ``p`` with an event counts too much, in microseconds.

    Durations in whole units end at a unit's end, and the event lies somewhere in it. A hazard is events per time at
    risk: with the whole unit it would come out too small, the more so the larger it is. Life tables have always counted
    half (Klein and Moeschberger 2003, section 5.4).
    """
    if not periods.spells.grain:
        return "0"
    last = f"least({round(periods.spells.grain * DAY_US)}, p.stop_us - p.start_us)"
    return f"CASE WHEN p.event > 0 THEN {periods.spells.engine.dialect.idiv(last, 2)} ELSE 0 END"


def _level_sql(column: PatternColumn, owner: str) -> str:
    name = f"{owner}.{quote(column.name)}"
    return f"coalesce({name}, {literal(column.blank)})" if column.edges is None else code_sql(column, name)


def _assemble(schema: CellSchema, rows: dict[str, Any], periods: PeriodTable) -> CellTable:
    allocated = rows["problem"] < 0
    codes = [_codes(column, rows[f"c{k}"][allocated]) for k, column in enumerate(schema.columns)]
    events = np.column_stack([rows[f"e{k}"] for k in range(len(schema.causes))]).astype(np.int64)

    def part(name: str) -> IntArray:
        return np.asarray(rows[name][allocated], np.int64)

    reasons = [lookback_reason(periods.features), *(f"outside the bin edges of {c.name}" for c in schema.columns)]
    outside = []
    for k, reason in enumerate(reasons):
        here = rows["problem"] == k
        if here.any():
            exposure = int(rows["exposure_days"][here].sum()) * DAY_US + int(rows["exposure_rest"][here].sum())
            lost = tuple(int(n) for n in events[here].sum(axis=0))
            outside.append(Unallocated(reason, int(rows["n_spells"][here].sum()), lost, exposure))
    unlived = int(rows["unlived_days"].sum()) * DAY_US + int(rows["unlived_rest"].sum())
    if unlived:
        half = "half of the whole units in which events lie: when in them is not known"
        outside.append(Unallocated(half, 0, (0,) * len(schema.causes), unlived))
    return CellTable(
        schema=schema,
        codes=np.column_stack(codes) if codes else np.zeros((int(allocated.sum()), 0), np.int64),
        period=part("period"),
        n_spells=part("n_spells"),
        n_at_stop=part("n_at_stop"),
        n_events=events[allocated],
        exposure_days=part("exposure_days"),
        exposure_rest=part("exposure_rest"),
        unallocated=(*periods.unallocated, *outside),
    )


def _codes(column: PatternColumn, values: Any) -> IntArray:
    if column.edges is None:
        return column.code_levels(values)
    return np.asarray(values, np.int64)
