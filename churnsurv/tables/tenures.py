"""Spells on the tenure clock, as SQL text: contracts from sign-up to cancellation, and lives of activity.

A customer's life is a row of moments at which a contract opens, closes, or does both. Walking along it with the
state before each moment (inside a contract or not) says what each moment does: one sort per customer,
O(n log n) in the moments.
"""

from __future__ import annotations

import warnings

from churnsurv.errors import DataWarning, DefinitionError
from churnsurv.tables.contracts import Cancellation, Inactivity, Origin
from churnsurv.tables.engines import Relation, quote, sql_list
from churnsurv.tables.events import EventLog
from churnsurv.tables.faults import Fault
from churnsurv.tables.gaps import merged_activity
from churnsurv.tables.window import DAY_US

_PILE_DAYS = 30
_PILE_RATIO = 3.0
_PILE_LEAST = 30
_SILENT_SHARE = 0.02


def check_origin(log: EventLog, origin: Origin) -> None:
    """Refuse an origin that the log does not hold.

    Raises
    ------
    DefinitionError
        If there is no column of origins, or durations are asked of a log.
    """
    if origin.rule == "column" and not log.has_origin:
        raise DefinitionError(
            'origin="column", and the log holds no column of origins.',
            hint='name it when the log is made: EventLog.from_frame(…, origin="signed_up").',
        )
    if origin.rule == "stated":
        raise DefinitionError(
            'origin="stated" belongs to durations, and this is a log.',
            hint='say where tenure begins: origin="kind:signup", "column", "first" or "burn-in:90".',
        )


def birth_sql(log: EventLog, origin: Origin, start: int, end: int, kinds: tuple[str, ...] = ()) -> str:
    """SQL text of the moments at which a customer's tenure begins: ``customer_id, time``.

    Parameters
    ----------
    log : EventLog
        Events; for a kind or a column those before the window count too.
    origin : Origin
        The rule.
    start, end : int
        The window.
    kinds : tuple of str
        Kinds among which the first event is looked for; all of them if empty.
    """
    if origin.rule == "kind":
        return f"SELECT DISTINCT customer_id, time FROM {log.table} WHERE kind = {sql_list([origin.kind])[1:-1]}"
    if origin.rule == "column":
        return f"SELECT DISTINCT customer_id, origin AS time FROM {log.table} WHERE origin < {end}"
    late = f" HAVING min(time) >= {start + round(origin.days * DAY_US)}" if origin.rule == "burn-in" else ""
    among = f" WHERE kind IN {sql_list(kinds)}" if kinds else ""
    return f"SELECT customer_id, min(time) AS time FROM {log.table}{among} GROUP BY customer_id{late}"


def contract_lives_sql(log: EventLog, churn: Cancellation, start: int, end: int) -> str:
    """SQL text of the moments of each contract's life and what each of them does.

    Yields ``customer_id, time, code, starts, ends`` and the faults ``zero, lost, repeated``.
    """
    births = birth_sql(log, churn.begins, start, end)
    code = " ".join(f"WHEN kind = {sql_list([kind])[1:-1]} THEN {k}" for k, kind in enumerate(churn.kinds, 1))
    again = sql_list(churn.reactivation) if churn.reactivation else "(NULL)"
    endings = sql_list(churn.kinds)
    return f"""
WITH raw AS (
  SELECT customer_id, time, 1 AS born, 0 AS again, CAST(NULL AS INTEGER) AS code FROM ({births})
  UNION ALL SELECT customer_id, time, 0, 0, CASE {code} END FROM {log.table} WHERE kind IN {endings}
  UNION ALL SELECT customer_id, time, 0, 1, NULL FROM {log.table} WHERE kind IN {again}),
moments AS (
  SELECT customer_id, time, max(born) AS born, max(again) AS again, min(code) AS code FROM raw GROUP BY customer_id, time),
known AS (SELECT *, born = 1 OR again = 1 AND count(code) OVER (
    PARTITION BY customer_id ORDER BY time ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) > 0 AS opens FROM moments),
states AS (SELECT *, coalesce({
        log.engine.dialect.last_known(
            "CASE WHEN opens AND code IS NULL THEN 1 WHEN NOT opens AND code IS NOT NULL THEN 0 END"
        )
    } OVER (
    PARTITION BY customer_id ORDER BY time ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW), 0) AS inside FROM known
  WHERE opens OR code IS NOT NULL),
walk AS (SELECT *, coalesce(lag(inside) OVER (PARTITION BY customer_id ORDER BY time), 0) AS before FROM states)
SELECT customer_id, time, code,
  opens AND (code IS NULL AND before = 0 OR code IS NOT NULL AND before = 1) AS starts,
  code IS NOT NULL AND before = 1 AS ends,
  opens AND code IS NOT NULL AND before = 0 AS zero,
  NOT opens AND before = 0 AS lost,
  opens AND born = 1 AND code IS NULL AND before = 1 AS repeated
FROM walk"""


def contract_sql(log: EventLog, lives: Relation, start: int, end: int) -> str:
    """SQL text of the contracts at risk in the window: each opening with the closing that follows it.

    Parameters
    ----------
    log : EventLog
        Events, for the last activity.
    lives : Relation
        Made of :func:`contract_lives_sql`.
    start, end : int
        The window.
    """
    return f"""
WITH contract AS (
  SELECT customer_id, starts, time AS origin, lead(time) OVER life AS closed, lead(code) OVER life AS code
  FROM {quote(lives.name)} WHERE starts OR ends WINDOW life AS (PARTITION BY customer_id ORDER BY time)),
kept AS (
  SELECT row_number() OVER () AS id, customer_id, row_number() OVER (PARTITION BY customer_id ORDER BY origin) AS spell,
    origin, coalesce(closed, {end}) AS until, coalesce(code, 0) AS code
  FROM contract WHERE starts AND coalesce(closed, {end}) > {start}),
busy AS (
  SELECT k.id, max(e.time) AS last_activity FROM kept k JOIN {log.table} e
    ON e.customer_id = k.customer_id AND e.time >= k.origin AND e.time <= k.until GROUP BY k.id)
SELECT k.id, k.customer_id, k.spell, k.origin, greatest({start} - k.origin, 0) AS entry_us, k.until - k.origin AS exit_us,
  CAST(k.code AS BIGINT) AS event, coalesce(b.last_activity, k.origin) AS last_activity, k.code = 0 AS open
FROM kept k LEFT JOIN busy b ON b.id = k.id"""


def inactivity_sql(log: EventLog, churn: Inactivity, start: int, end: int) -> str:
    """SQL text of lives of activity: islands of activities, each ended by ``days`` without any.

    Who began before the window enters ``days`` after its start, if active since: only then does the log know who was
    alive. Entering at the first activity seen would choose those who have just been active, whose risk is nought for
    ``days`` to come. Who was silent for longer by then had churned, and begins anew with the next activity.
    """
    silence = round(churn.days * DAY_US)
    inside = f"time >= {start} AND time < {end}"
    births = birth_sql(log, churn.begins, start, end, churn.kinds)
    activity = merged_activity(log, churn.kinds, churn.merge, inside)
    return f"""
WITH birth AS (SELECT customer_id, min(time) AS time FROM ({births}) GROUP BY customer_id),
acts AS (
  SELECT a.customer_id, greatest(a.first_time, b.time) AS first_time, a.last_time, b.time AS born
    FROM ({activity}) a JOIN birth b ON b.customer_id = a.customer_id AND a.last_time >= b.time
  UNION ALL SELECT customer_id, time, time, time FROM birth WHERE {inside}),
marked AS (SELECT *, first_time - max(last_time) OVER (
    PARTITION BY customer_id ORDER BY first_time, last_time ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS pause
  FROM acts),
islands AS (SELECT *, sum(CASE WHEN pause >= {silence} THEN 1 ELSE 0 END) OVER (
    PARTITION BY customer_id ORDER BY first_time, last_time) AS island FROM marked),
lives AS (SELECT customer_id, CAST(island + 1 AS BIGINT) AS spell, min(first_time) AS first, max(last_time) AS last,
    min(born) AS born FROM islands GROUP BY customer_id, island),
dated AS (SELECT *, CASE WHEN spell = 1 AND (born >= {start} OR first < {start + silence}) THEN born ELSE first END AS origin,
    last + {silence} <= {end} AS over FROM lives),
known AS (SELECT *, CASE WHEN origin < {start} THEN {start + silence} - origin ELSE 0 END AS entry_us,
    least(last + {silence}, {end}) - origin AS exit_us FROM dated)
SELECT row_number() OVER () AS id, customer_id, row_number() OVER (PARTITION BY customer_id ORDER BY origin) AS spell, origin,
  entry_us, exit_us, CAST(CASE WHEN over THEN 1 ELSE 0 END AS BIGINT) AS event, last AS last_activity, NOT over AS open
FROM known WHERE exit_us > entry_us"""


def contract_faults(log: EventLog, lives: Relation, spells: Relation, start: int) -> tuple[Fault, ...]:
    """Moments that opened or ended nothing, and events outside every contract.

    Warns
    -----
    DataWarning
        If contracts have no length: they are at risk for no time, so they would be lost.
    """
    zero, lost, repeated, opened, ended = log.engine.rows(
        "SELECT count(*) FILTER (WHERE zero), count(*) FILTER (WHERE lost AND time >= "
        f"{start}), count(*) FILTER (WHERE repeated), count(*) FILTER (WHERE starts OR zero OR repeated),"
        f" count(*) FILTER (WHERE code IS NOT NULL AND time >= {start}) FROM {quote(lives.name)}"
    )[0]
    before, outside = log.engine.rows(
        f"SELECT (SELECT count(*) FROM {quote(lives.name)} WHERE ends AND time <= {start}),"
        f" (SELECT count(*) FROM {log.table} e WHERE e.time >= {start} AND NOT EXISTS (SELECT 1 FROM {quote(spells.name)} s"
        " WHERE s.customer_id = e.customer_id AND e.time BETWEEN s.origin AND s.origin + s.exit_us))"
    )[0]
    found = (
        ("no time between beginning and end", zero, opened, "not used: never at risk"),
        ("end without a contract", lost, ended, "not used: it began at a moment nobody knows, or had ended"),
        ("beginning inside a contract", repeated, opened, "not used: the contract was running"),
        ("contract ended before the window", before, opened, "not used: it was never at risk inside"),
        (
            "event outside every contract",
            outside,
            log.n_events,
            "not used; reactivation=(kind, …) opens a new contract",
        ),
    )
    if zero:
        warnings.warn(
            f"{zero:,} of {opened:,} contracts end at the very moment they begin: they are never at risk and are left out."
            " The risk of the first days comes out too low. Hint: give times of day, or shift the ends of such contracts"
            " by half a day.",
            DataWarning,
            stacklevel=5,
        )
    return tuple(Fault(name, int(n), int(total), action) for name, n, total, action in found if n)


def unborn_fault(log: EventLog, origin: Origin, start: int, end: int, kinds: tuple[str, ...] = ()) -> tuple[Fault, ...]:
    """Customers whose beginning nobody knows."""
    known, total = log.engine.rows(
        f"SELECT (SELECT count(DISTINCT customer_id) FROM ({birth_sql(log, origin, start, end, kinds)}) WHERE time IS NOT NULL),"
        f" (SELECT count(DISTINCT customer_id) FROM {log.table})"
    )[0]
    if known == total:
        return ()
    why = f"there in the first {origin.days:g} days" if origin.rule == "burn-in" else "no beginning in the log"
    return (Fault("customer of unknown beginning", int(total - known), int(total), f"left out: {why}"),)


def warn_of_pile(relation: Relation, origin: Origin, start: int, end: int) -> None:
    """Warn when first events crowd at the window's start: most of them are no beginnings.

    Warns
    -----
    DataWarning
        If more than three times as many tenures begin in the first days as in an equal time later.
    """
    if origin.rule != "first":
        return
    width = min(_PILE_DAYS * DAY_US, (end - start) // 6)
    early, total = relation.engine.rows(
        f"SELECT count(*) FILTER (WHERE origin < {start + width}), count(*) FROM {quote(relation.name)} WHERE spell = 1"
    )[0]
    usual = (total - early) * width / (end - start - width)
    if early >= _PILE_LEAST and early > _PILE_RATIO * usual:
        warnings.warn(
            f"{early:,} of {total:,} customers have their first event in the first {width / DAY_US:.0f} days of the window,"
            f" where {usual:,.0f} would be usual: most of them were customers before, and their tenure is longer than the"
            " log shows. Survivors would look like beginners. Hint: origin=\"column\" or \"kind:signup\" tells when they"
            f' began; origin="burn-in:{2 * _PILE_DAYS}" leaves out whoever was there from the start.',
            DataWarning,
            stacklevel=5,
        )  # fmt: skip


def warn_of_short_burn_in(log: EventLog, origin: Origin, start: int) -> None:
    """Warn when customers are often silent for longer than the burn-in: it does not find all who were there.

    Warns
    -----
    DataWarning
        If more than one in fifty pauses between a customer's events is longer.
    """
    if origin.rule != "burn-in":
        return
    days = round(origin.days * DAY_US)
    longer, total = log.engine.rows(
        f"SELECT count(*) FILTER (WHERE pause > {days}), count(*) FROM (SELECT lead(time) OVER (PARTITION BY customer_id"
        f" ORDER BY time) - time AS pause FROM {log.table} WHERE time >= {start}) WHERE pause IS NOT NULL"
    )[0]
    if longer >= _PILE_LEAST and longer > _SILENT_SHARE * total:
        warnings.warn(
            f"{longer:,} of {total:,} pauses between a customer's events are longer than the burn-in of {origin.days:g} days:"
            " some who were there from the start are taken for new, and tenures come out too long-lived. Hint: a longer"
            ' burn-in, or origin="column" or "kind:signup", which tell when customers began.',
            DataWarning,
            stacklevel=5,
        )
