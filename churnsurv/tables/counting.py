"""The aggregation behind the cells: one grouped query, then codes for the levels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from churnsurv._typing import IntArray
from churnsurv.errors import ArgumentError, ConservationError
from churnsurv.tables.bins import Bins, Quantiles, code_sql, number_column, outside_sql, text_column
from churnsurv.tables.cells import CellTable, Unallocated
from churnsurv.tables.engines import quote
from churnsurv.tables.features import NONE_YET, Feature
from churnsurv.tables.histories import is_text_feature
from churnsurv.tables.periods import PeriodTable, lookback_reason, period_key, period_sql
from churnsurv.tables.schema import CellSchema, PatternColumn
from churnsurv.tables.window import DAY_US


def count_cells(periods: PeriodTable, by: Sequence[str] | None, bins: Bins) -> CellTable:
    """Aggregate person-periods into cells; see :meth:`CellTable.from_periods`."""
    chosen = _chosen(periods, by, bins)
    log = periods.spells.log
    columns = tuple(_column(periods, feature, bins) for feature in chosen)
    schema = CellSchema(
        churn=periods.spells.churn,
        breaks=periods.breaks,
        columns=columns,
        features=tuple(chosen),
        as_of=periods.as_of,
        timezone=log.timezone,
    )
    rows = log.engine.arrow(_cell_sql(periods, columns))
    table = _assemble(schema, {name: rows[name].to_numpy(zero_copy_only=False) for name in rows.column_names}, periods)
    found = (table.total_events(), table.total_exposure_us())
    if found != (periods.spells.n_events, periods.spells.exposure_us):
        raise ConservationError(
            f"cells hold {found}, spells {(periods.spells.n_events, periods.spells.exposure_us)} (events, µs).",
            hint="this is a defect of the library; please report it.",
        )
    return table


def _chosen(periods: PeriodTable, by: Sequence[str] | None, bins: Mapping[str, object]) -> list[Feature]:
    named = {feature.name: feature for feature in periods.features}
    wanted = list(named) if by is None else list(by)
    unknown = [name for name in (*wanted, *bins) if name not in named]
    text = [name for name in bins if name in named and is_text_feature(periods.spells.log, named[name])]
    if unknown or text or len(set(wanted)) != len(wanted):
        what = f"there is no feature {unknown[0]!r}." if unknown else "a column is named twice, or text is given bins."
        raise ArgumentError(what, hint=f"features are: {', '.join(named) or '(none)'}.")
    return [named[name] for name in wanted]


def _column(periods: PeriodTable, feature: Feature, bins: Bins) -> PatternColumn:
    engine, table = periods.spells.log.engine, quote(periods.known.name)
    if is_text_feature(periods.spells.log, feature):
        return text_column(engine, table, feature)
    return number_column(engine, table, feature, bins.get(feature.name, Quantiles(4)))


def _cell_sql(periods: PeriodTable, columns: tuple[PatternColumn, ...]) -> str:
    """SQL text of the cells; a pattern is blank where ``problem`` says why it is in no cell."""
    problem = "CASE WHEN NOT known THEN 0" + "".join(
        f" WHEN {outside_sql(column, quote(column.name))} THEN {k + 1}" for k, column in enumerate(columns)
    )
    patterns = "".join(
        f", CASE WHEN problem < 0 THEN {_pattern_sql(column)} END AS {quote(f'c{k}')}"
        for k, column in enumerate(columns)
    )
    groups = "".join(f", {quote(f'c{k}')}" for k in range(len(columns)))
    key = "p.id" if periods.as_of == "spell" else period_key("p.id", "p.period", len(periods.breaks))
    engine = periods.spells.log.engine
    exposure = engine.dialect.exact_sum("p.stop_us - p.start_us")
    events = "".join(
        f", count(*) FILTER (WHERE p.event = {k + 1}) AS e{k}" for k in range(len(periods.spells.churn.causes))
    )
    return f"""
WITH judged AS (SELECT *, {problem} ELSE -1 END AS problem FROM {quote(periods.known.name)}),
coded AS (SELECT key, problem{patterns} FROM judged),
counted AS (
  SELECT p.period, k.problem{groups}, count(*) FILTER (WHERE p.first) AS n_spells,
    count(*) FILTER (WHERE p.at_stop) AS n_at_stop{events}, {exposure} AS exposure
  FROM ({period_sql(periods.spells, periods.breaks)}) p JOIN coded k ON k.key = {key}
  GROUP BY p.period, k.problem{groups})
SELECT * EXCLUDE (exposure), CAST({engine.dialect.idiv("exposure", DAY_US)} AS BIGINT) AS exposure_days,
  CAST(exposure % {DAY_US} AS BIGINT) AS exposure_rest
FROM counted ORDER BY problem{groups}, period"""


def _pattern_sql(column: PatternColumn) -> str:
    name = quote(column.name)
    return f"coalesce({name}, '{NONE_YET}')" if column.edges is None else code_sql(column, name)


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
