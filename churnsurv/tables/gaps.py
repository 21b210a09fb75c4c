"""Spells on the gap clock: every silence between two activities, as SQL text."""

from __future__ import annotations

from churnsurv.tables.churn import Silence
from churnsurv.tables.engines import quote, sql_list
from churnsurv.tables.events import EventLog
from churnsurv.tables.faults import Fault
from churnsurv.tables.zones import ZoneSql


def merged_activity(log: EventLog, kinds: tuple[str, ...], merge: str | None, inside: str) -> str:
    """SQL text of activities: ``customer_id, first_time, last_time, code`` = 1, those of one local day joined.

    Parameters
    ----------
    log : EventLog
        Events.
    kinds : tuple of str
        Kinds that count.
    merge : {"day", None}
        Whether activities of one local day are one.
    inside : str
        Condition on ``time``.
    """
    zone = ZoneSql(log.timezone, *log.span)
    day = log.engine.dialect.day_number("time", zone.offset_of_utc("time")) if merge == "day" else "time"
    return f"""
SELECT customer_id, min(time) AS first_time, max(time) AS last_time, 1 AS code
  FROM {log.table} WHERE kind IN {sql_list(kinds)} AND {inside} GROUP BY customer_id, {day}"""


def gap_sql(log: EventLog, churn: Silence, start: int, end: int) -> str:
    """SQL text of the gaps: activities merged, closures placed, each activity opening one gap."""
    inside = f"time >= {start} AND time < {end}"
    activity = merged_activity(log, churn.kinds, churn.merge, inside)
    moment = f"({activity})" if not churn.terminal else f"({_placed_sql(log, churn, activity, inside)})"
    return f"""
WITH ordered AS (
  SELECT customer_id, code, last_time, lead(first_time) OVER life AS next_time, lead(code) OVER life AS next_code,
    count(CASE WHEN code = 1 THEN 1 END) OVER (life ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS spell
  FROM {moment} WINDOW life AS (PARTITION BY customer_id ORDER BY first_time, code))
SELECT row_number() OVER () AS id, customer_id, spell, last_time AS origin, CAST(0 AS BIGINT) AS entry_us,
  coalesce(next_time, {end}) - last_time AS exit_us, CAST(coalesce(next_code, 0) AS BIGINT) AS event,
  last_time AS last_activity, next_code IS NULL AS open
FROM ordered WHERE code = 1"""


def _placed_sql(log: EventLog, churn: Silence, activity: str, inside: str) -> str:
    """SQL text of activities and closures; a closure before the last activity of its own day is none."""
    return f"""
SELECT customer_id, first_time, last_time, code FROM (
  SELECT *, max(CASE WHEN code = 1 THEN last_time END) OVER (
    PARTITION BY customer_id ORDER BY first_time, code ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS busy_until
  FROM ({activity} UNION ALL SELECT DISTINCT customer_id, time, time, 2 FROM {log.table}
    WHERE kind IN {sql_list(churn.terminal)} AND {inside}))
WHERE code = 1 OR first_time > busy_until"""


def gap_faults(log: EventLog, churn: Silence, start: int, table: str) -> tuple[Fault, ...]:
    """Closures that ended no gap.

    Parameters
    ----------
    log : EventLog
        Events.
    churn : Silence
        Definition.
    start : int
        Start of the window.
    table : str
        Name of the table of gaps.
    """
    if not churn.terminal:
        return ()
    total, useless = log.engine.rows(
        f"WITH closure AS (SELECT DISTINCT customer_id, time FROM {log.table}"
        f" WHERE kind IN {sql_list(churn.terminal)} AND time >= {start})"
        f" SELECT count(*), count(*) FILTER (WHERE s.id IS NULL) FROM closure c LEFT JOIN {quote(table)} s"
        " ON s.customer_id = c.customer_id AND s.event = 2 AND s.origin + s.exit_us = c.time"
    )[0]
    if not useless:
        return ()
    action = "not used: closed before, same day, or never active"
    return (Fault("closure without open gap", int(useless), int(total), action),)
