"""The stretch of calendar time in which the log is complete."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from churnsurv.errors import ArgumentError, LocalTimeError, TimeZoneError, WindowError

DAY_US = 86_400_000_000
"""Microseconds in a day of elapsed time."""

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)
_LATEST = (dt.datetime(2200, 1, 1, tzinfo=dt.UTC) - _EPOCH) // _MICROSECOND


def read_zone(timezone: str) -> ZoneInfo:
    """Look a time zone up by its IANA name.

    Raises
    ------
    TimeZoneError
        If there is no such zone.
    """
    try:
        return ZoneInfo(timezone)
    except (KeyError, ValueError, OSError, TypeError) as error:
        raise TimeZoneError(
            f"there is no time zone {timezone!r}.",
            hint='write an IANA name such as timezone="Europe/London" or timezone="UTC".',
        ) from error


def microseconds(moment: dt.datetime) -> int:
    """Microseconds since 1970-01-01 UTC of an aware moment, exactly."""
    return (moment - _EPOCH) // _MICROSECOND


def moment_of(time: int) -> dt.datetime:
    """Aware UTC moment of microseconds since 1970-01-01 UTC."""
    return _EPOCH + dt.timedelta(microseconds=time)


def _parse(value: str | dt.date | dt.datetime, name: str) -> dt.date | dt.datetime:
    if isinstance(value, dt.date) and type(value).__name__ != "NaTType":  # a datetime is a date too, and so is NaT
        return value
    try:
        text = value if isinstance(value, str) else ""
        return dt.date.fromisoformat(text) if len(text) == len("2011-12-10") else dt.datetime.fromisoformat(text)
    except (ValueError, TypeError) as error:
        raise ArgumentError(
            f"{name}={value!r} is not a date or a moment.",
            hint=f'write {name}="2011-12-10" or {name}="2011-12-10T18:30".',
        ) from error


def resolve_moment(value: str | dt.date | dt.datetime, timezone: str, name: str = "moment") -> int:
    """Microseconds UTC of a date (its midnight) or moment in a time zone.

    Parameters
    ----------
    value : str, date or datetime
        ISO text, a date, or a datetime. Without an offset it is read in ``timezone``.
    timezone : str
        IANA name.
    name : str
        How an error calls the value.

    Returns
    -------
    int
        Microseconds since 1970-01-01 UTC.

    Examples
    --------
    >>> resolve_moment("1970-01-02", "UTC")
    86400000000
    """
    parsed = _parse(value, name)
    if not isinstance(parsed, dt.datetime):
        parsed = dt.datetime.combine(parsed, dt.time())
        parsed = parsed.replace(tzinfo=read_zone(timezone))  # the first moment of the day, whatever the clocks did
    elif parsed.tzinfo is None:
        parsed = _unique(parsed.replace(tzinfo=read_zone(timezone)), timezone, name)
    try:
        return microseconds(parsed.astimezone(dt.UTC))
    except OverflowError as error:
        raise ArgumentError(
            f"{name}={value!r} lies outside the calendar.", hint="state a moment that can be."
        ) from error


def _unique(moment: dt.datetime, timezone: str, name: str) -> dt.datetime:
    """Refuse a local time that the clocks skipped or showed twice."""
    if moment.replace(fold=0).utcoffset() == moment.replace(fold=1).utcoffset():
        return moment
    back = moment.astimezone(dt.UTC).astimezone(moment.tzinfo)
    word = "exists twice" if back.replace(tzinfo=None) == moment.replace(tzinfo=None) else "does not exist"
    raise LocalTimeError(
        f"{name}={moment:%Y-%m-%dT%H:%M} {word} in {timezone}: the clocks were changed.",
        hint=f'state the offset, for example {name}="{moment:%Y-%m-%dT%H:%M}+00:00".',
    )


@dataclass(frozen=True)
class ObservationWindow:
    """Calendar time in which the log is complete: half-open ``[start, end)``.

    There is no default end. Today is wrong when the export is old, and the last row is wrong
    when nothing happened on the last day; the two mistakes bias churn in opposite directions.

    Parameters
    ----------
    start : str, date or datetime
        First moment from which every event is in the log. A date means its midnight in the
        log's time zone.
    end : str, date or datetime
        First moment that is no longer covered. The state of every customer is told as of here.

    Raises
    ------
    WindowError
        If the end is not after the start.

    Examples
    --------
    >>> ObservationWindow("2010-12-01", "2011-12-10").days("Europe/London")
    374.0
    """

    start: str | dt.date | dt.datetime
    end: str | dt.date | dt.datetime

    def __post_init__(self) -> None:
        """Refuse a window without length, whatever the zone of its dates."""
        self.resolve("UTC")

    def resolve(self, timezone: str) -> tuple[int, int]:
        """Start and end in microseconds since 1970-01-01 UTC, dates read in ``timezone``."""
        start, end = resolve_moment(self.start, timezone, "start"), resolve_moment(self.end, timezone, "end")
        if end <= start:
            raise WindowError(
                f"the observation window ends ({self.end}) at or before its start ({self.start}).",
                hint='write ObservationWindow(start="2010-12-01", end="2011-12-10"), end after start.',
            )
        if end > _LATEST:
            raise WindowError(
                f"the observation window ends in {self.end}.",
                consequence="A placeholder is no end: everyone would look silent for centuries.",
                hint="state the moment up to which the log is complete.",
            )
        return start, end

    def days(self, timezone: str) -> float:
        """Length in days of elapsed time."""
        start, end = self.resolve(timezone)
        return (end - start) / DAY_US

    def ending(self, end: str | dt.date | dt.datetime) -> ObservationWindow:
        """Window with the same start that ends earlier or later."""
        return ObservationWindow(self.start, end)
