"""Local time ↔ UTC inside SQL, with the hours that do not exist or exist twice found, not guessed.

A zone is turned into the list of its offset changes over the time that the data span, and that list
into one ``CASE`` expression: no join, and the same text on every engine.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Literal
from zoneinfo import ZoneInfo

from churnsurv.tables.window import DAY_US, microseconds, moment_of, read_zone

Ambiguous = Literal["raise", "earlier", "later"]

_EARLIEST = microseconds(dt.datetime(1900, 1, 1, tzinfo=dt.UTC))
_LATEST = microseconds(dt.datetime(2200, 1, 1, tzinfo=dt.UTC))


@dataclass(frozen=True)
class OffsetChange:
    """A moment from which a zone has another offset; times in microseconds."""

    at: int
    before: int
    after: int


def _offset(zone: ZoneInfo, time: int) -> int:
    offset = moment_of(time).astimezone(zone).utcoffset()
    assert offset is not None  # noqa: S101 - a ZoneInfo always has one
    return offset // dt.timedelta(microseconds=1)


def _bisect(zone: ZoneInfo, low: int, high: int) -> OffsetChange:
    before = _offset(zone, low)
    while high - low > 1_000_000:
        middle = (low + high) // 2 // 1_000_000 * 1_000_000
        low, high = (middle, high) if _offset(zone, middle) == before else (low, middle)
    return OffsetChange(high, before, _offset(zone, high))


def offset_changes(timezone: str, start: int, end: int) -> tuple[int, tuple[OffsetChange, ...]]:
    """Offset of a zone at the start of a stretch of time, and its changes within it.

    Parameters
    ----------
    timezone : str
        IANA name.
    start, end : int
        Microseconds UTC; clipped to the years 1900 to 2200.

    Returns
    -------
    tuple
        Offset at the start in microseconds, and the changes in order.

    Examples
    --------
    >>> offset_changes("UTC", 0, 10**15)
    (0, ())
    """
    zone = read_zone(timezone)
    start = min(max(start, _EARLIEST), _LATEST) // 1_000_000 * 1_000_000
    end = min(max(end, _EARLIEST), _LATEST)
    changes, time, first = [], start, _offset(zone, start)
    offset = first
    while time < end:
        following = time + DAY_US
        if _offset(zone, following) != offset:
            changes.append(_bisect(zone, time, following))
            offset = changes[-1].after
        time = following
    return first, tuple(changes)


@dataclass(frozen=True)
class ZoneSql:
    """SQL expressions for one zone over one stretch of time.

    Parameters
    ----------
    timezone : str
        IANA name.
    start, end : int
        Microseconds that the data span, UTC or local; a margin is added here.
    """

    timezone: str
    start: int
    end: int

    def _changes(self) -> tuple[int, tuple[OffsetChange, ...]]:
        return offset_changes(self.timezone, self.start - 2 * DAY_US, self.end + 2 * DAY_US)

    def offset_of_utc(self, time: str) -> str:
        """Offset in microseconds of a UTC time."""
        first, changes = self._changes()
        whens = "".join(f" WHEN {time} >= {change.at} THEN {change.after}" for change in reversed(changes))
        return f"(CASE{whens} ELSE {first} END)" if whens else str(first)

    def offset_of_local(self, local: str, ambiguous: Ambiguous) -> str:
        """Offset in microseconds of a local time; the first of two readings unless told otherwise."""
        first, changes = self._changes()
        whens = ""
        for change in reversed(changes):
            starts = change.at + (change.after if ambiguous == "later" else max(change.before, change.after))
            whens += f" WHEN {local} >= {starts} THEN {change.after}"
        return f"(CASE{whens} ELSE {first} END)" if whens else str(first)

    def is_nonexistent(self, local: str) -> str:
        """Tell whether a local time was skipped when clocks went forward."""
        gaps = [c for c in self._changes()[1] if c.after > c.before]
        return self._within(local, [(c.at + c.before, c.at + c.after) for c in gaps])

    def is_ambiguous(self, local: str) -> str:
        """Tell whether a local time occurred twice when clocks went back."""
        folds = [c for c in self._changes()[1] if c.after < c.before]
        return self._within(local, [(c.at + c.after, c.at + c.before) for c in folds])

    @staticmethod
    def _within(local: str, stretches: list[tuple[int, int]]) -> str:
        tests = [f"({local} >= {low} AND {local} < {high})" for low, high in stretches]
        return f"({' OR '.join(tests)})" if tests else "FALSE"
