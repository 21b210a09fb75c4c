"""Spells cut where something changes: at landmarks, when a fact arrives, when a month begins.

A part has the columns of a spell, so that whatever is done to spells can be done to parts: ``id, mark, piece,
customer_id, spell, origin, entry_us, exit_us, event, begins, ends`` and what moves. Only the last part of a
spell carries its event.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from churnsurv._typing import IntArray
from churnsurv.tables.engines import Relation, literal, quote
from churnsurv.tables.features import ARRIVED, Arrival
from churnsurv.tables.spells import SpellTable
from churnsurv.tables.window import DAY_US, moment_of, read_zone, resolve_moment

MONTH = "calendar_month"
"""Column of the month in which a part lies, such as ``2011-03``."""


def whole_parts(spells: SpellTable, where: str = "TRUE") -> str:
    """SQL text of spells as parts of one piece each."""
    return (
        "SELECT id, 0 AS mark, 1 AS piece, customer_id, spell, origin, entry_us, exit_us, event,"
        f" TRUE AS begins, TRUE AS ends, open FROM {spells.table} WHERE {where}"
    )


def landmark_parts(spells: SpellTable, landmarks: Sequence[int], reach: int) -> str:
    """SQL text of what each landmark follows: who is at risk there, from there, for at most ``reach`` microseconds.

    Parameters
    ----------
    spells : SpellTable
        Spells of a log.
    landmarks : sequence of int
        Moments in microseconds UTC, increasing.
    reach : int
        Microseconds ahead.
    """
    rows = ", ".join(f"({mark}, {at})" for mark, at in enumerate(landmarks))
    return f"""
SELECT s.id, l.mark, 1 AS piece, s.customer_id, s.spell, s.origin, l.moment - s.origin AS entry_us,
  least(s.exit_us, l.moment + {reach} - s.origin) AS exit_us,
  CASE WHEN s.exit_us <= l.moment + {reach} - s.origin THEN s.event ELSE 0 END AS event,
  TRUE AS begins, TRUE AS ends, s.open
FROM {spells.table} s JOIN (VALUES {rows}) l(mark, moment)
  ON s.origin + s.entry_us <= l.moment AND s.origin + s.exit_us > l.moment"""


def month_number(time: int, timezone: str) -> int:
    """Month in which a moment lies in a zone, counted from the year 0: March 2011 is 12 · 2011 + 2.

    Parameters
    ----------
    time : int
        Microseconds UTC.
    timezone : str
        IANA name.

    Examples
    --------
    >>> month_number(resolve_moment("2011-03-01", "Europe/Paris"), "Europe/Paris") - 12 * 2011
    2
    >>> month_number(resolve_moment("2011-03-01", "Europe/Paris"), "UTC") - 12 * 2011
    1
    """
    local = moment_of(time).astimezone(read_zone(timezone))
    return 12 * local.year + local.month - 1


def month_name(number: int) -> str:
    """Name of a month as in the column ``calendar_month``.

    Examples
    --------
    >>> month_name(12 * 2011 + 2)
    '2011-03'
    """
    return f"{number // 12:04}-{number % 12 + 1:02}"


@lru_cache(maxsize=64)
def month_moments(first: int, last: int, timezone: str) -> IntArray:
    """First moment of each local month from one to another, microseconds UTC, shape (last - first + 1,).

    Parameters
    ----------
    first, last : int
        Months counted from the year 0, the last one included.
    timezone : str
        IANA name.

    Examples
    --------
    >>> hours = np.diff(month_moments(12 * 2024 + 2, 12 * 2024 + 4, "Europe/Paris")) / 3_600_000_000
    >>> (hours - [31 * 24, 30 * 24]).tolist()  # an hour of March was skipped
    [-1.0, 0.0]
    """
    days = [dt.date(number // 12, number % 12 + 1, 1) for number in range(first, last + 1)]
    found = np.array([resolve_moment(day, timezone) for day in days], np.int64)
    found.flags.writeable = False
    return found


def month_starts(spells: SpellTable) -> list[tuple[str, int, int]]:
    """Name, first moment and end of every local calendar month that the window touches."""
    first, last = (month_number(time, spells.timezone) for time in (spells.start_us, spells.end_us - 1))
    edges = month_moments(first, last + 1, spells.timezone).tolist()
    return [(month_name(first + k), low, high) for k, (low, high) in enumerate(itertools.pairwise(edges))]


def cut_parts(spells: SpellTable, base: str, arrivals: Sequence[Arrival], *, months: bool) -> Relation:
    """Cut parts further where a fact arrives and, if asked, where a month begins.

    Cost: one look-up of each arriving event's spell and one sort of the cuts.

    Parameters
    ----------
    spells : SpellTable
        Spells of a log.
    base : str
        Query of parts, one piece each.
    arrivals : sequence of Arrival
        Facts; the state of each is null until it arrives.
    months : bool
        Whether parts are cut at month ends.

    Returns
    -------
    Relation
        Parts with one column per arrival and, if asked, ``calendar_month``.
    """
    calendar = month_starts(spells) if months else []
    rows = ", ".join(f"({literal(name)}, {low}, {high})" for name, low, high in calendar)
    points = [_start_points(spells, arrivals), *(_arrival_points(spells, arrivals, k) for k in range(len(arrivals)))]
    if calendar:
        blank = "".join(f", {_null(spells, other)}" for other in arrivals)
        points.append(
            f"SELECT b.id, b.mark, m.low - b.origin{blank} FROM base b JOIN (VALUES {rows}) m(name, low, high)"
            " ON m.low > b.origin + b.entry_us AND m.low < b.origin + b.exit_us"
        )
    last = "".join(
        f", {spells.engine.dialect.last_known(f'a{k}')} OVER (PARTITION BY id, mark ORDER BY cut"
        f" ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS a{k}"
        for k in range(len(arrivals))
    )
    most = "".join(f", max(a{k}) AS a{k}" for k in range(len(arrivals)))
    names = "".join(f", p.a{k} AS {quote(feature.name)}" for k, feature in enumerate(arrivals))
    month = f", m.name AS {MONTH}" if calendar else ""
    lies_in = (
        f" JOIN (VALUES {rows}) m(name, low, high) ON b.origin + p.cut >= m.low AND b.origin + p.cut < m.high"
        if calendar
        else ""
    )
    heads = "".join(f", a{k}" for k in range(len(arrivals)))
    return spells.engine.create(
        "parts",
        f"""
WITH base AS ({base}),
point(id, mark, cut{heads}) AS ({" UNION ALL ".join(points)}),
bound AS (SELECT id, mark, cut{most} FROM point GROUP BY id, mark, cut),
pieces AS (SELECT id, mark, cut, lead(cut) OVER (PARTITION BY id, mark ORDER BY cut) AS next,
    row_number() OVER (PARTITION BY id, mark ORDER BY cut) AS piece{last} FROM bound)
SELECT b.id, b.mark, p.piece, b.customer_id, b.spell, b.origin, p.cut AS entry_us, coalesce(p.next, b.exit_us) AS exit_us,
  CASE WHEN p.next IS NULL THEN b.event ELSE 0 END AS event, b.begins AND p.piece = 1 AS begins,
  b.ends AND p.next IS NULL AS ends, b.open{names}{month}
FROM pieces p JOIN base b ON b.id = p.id AND b.mark = p.mark{lies_in}""",
    )


def _null(spells: SpellTable, feature: Arrival) -> str:
    text = feature.column is None or feature.column in spells.observed()[0].labels
    return f"CAST(NULL AS {'VARCHAR' if text else 'DOUBLE'})"


def _start_points(spells: SpellTable, arrivals: Sequence[Arrival]) -> str:
    blank = "".join(f", {_null(spells, other)}" for other in arrivals)
    return f"SELECT id, mark, entry_us{blank} FROM base"


def _arrival_points(spells: SpellTable, arrivals: Sequence[Arrival], k: int) -> str:
    """SQL text of the moments at which one fact arrives; each event belongs to the spell that was open at its time."""
    feature, log = arrivals[k], spells.observed()[0]
    value = literal(ARRIVED) if feature.column is None else f"e.{quote(feature.column)}"
    said = "" if feature.column is None else f" AND {quote(feature.column)} IS NOT NULL"
    columns = "".join(f", {value if j == k else _null(spells, other)}" for j, other in enumerate(arrivals))
    return (
        f"SELECT b.id, b.mark, greatest(e.time - b.origin, b.entry_us){columns}"
        f" FROM (SELECT * FROM {log.table} WHERE kind = {literal(feature.kind)}{said}) e ASOF JOIN base b"
        " ON e.customer_id = b.customer_id AND e.time >= b.origin"
        " WHERE e.time < b.origin + b.exit_us"
    )


def spaced_landmarks(spells: SpellTable, every: float) -> tuple[int, ...]:
    """Landmarks ``every`` so many days, counted back from the window's end so that the last one is followed in full.

    Examples of their use are in ``PeriodTable.from_landmarks``.
    """
    step, start, end = round(every * DAY_US), spells.start_us, spells.end_us
    count = (end - start) // step
    return tuple(end - k * step for k in range(count, 0, -1))
