"""Spells, features, periods and cells once more, written from the docstrings: plain loops over the events of a customer."""

from __future__ import annotations

import bisect
import datetime as dt
import itertools
from collections import defaultdict
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from churnsurv.tables.churn import Silence
from churnsurv.tables.features import Count, Drop, Feature, Maximum, Mean, Recency, Rhythm, Value

DAY = 86_400_000_000
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True)
class Event:
    """One event; ``time`` in microseconds UTC."""

    customer: str
    time: int
    kind: str
    value: float | None
    label: str | None


@dataclass(frozen=True)
class Spell:
    """One gap; times in microseconds."""

    customer: str
    number: int
    origin: int
    length: int
    event: int
    open: bool


@dataclass(frozen=True)
class History:
    """What there is to know: events from the window's start on, and the zone of local days."""

    events: tuple[Event, ...]
    start: int
    end: int
    zone: str

    def local_day(self, time: int) -> dt.date:
        """Calendar day in the zone."""
        return (EPOCH + dt.timedelta(microseconds=time)).astimezone(ZoneInfo(self.zone)).date()

    def of(self, customer: str, kinds: tuple[str, ...]) -> list[Event]:
        """Events of a customer inside the window, in the order of time."""
        found = [
            e for e in self.events if e.customer == customer and e.kind in kinds and self.start <= e.time < self.end
        ]
        return sorted(found, key=lambda e: e.time)

    def customers(self) -> list[str]:
        """Ids in order."""
        return sorted({e.customer for e in self.events})


def spells(history: History, churn: Silence) -> list[Spell]:
    """Gaps: each opens with the last activity of a local day and ends with the first one of a later day."""
    found = []
    for customer in history.customers():
        groups: list[tuple[int, int]] = []
        for _, same in itertools.groupby(
            history.of(customer, churn.kinds), lambda e: history.local_day(e.time) if churn.merge == "day" else e.time
        ):
            times = [e.time for e in same]
            groups.append((times[0], times[-1]))
        closures = [e.time for e in history.of(customer, churn.terminal)]
        for k, (_, opens) in enumerate(groups):
            following = groups[k + 1][0] if k + 1 < len(groups) else None
            closed = [c for c in closures if opens < c < (history.end if following is None else following)]
            end, event = (closed[0], 2) if closed else (following, 1) if following is not None else (history.end, 0)
            found.append(Spell(customer, k + 1, opens, end - opens, event, event == 0))
    return found


def feature(history: History, declared: Feature, customer: str, moment: int) -> float | str | None:  # noqa: PLR0911
    """Value of one declaration at a moment, up to which (included) everything is known."""
    all_of_kind = [e for e in history.of(customer, (declared.kind,)) if e.time <= moment]

    def within(low: float | None, high: float = 0.0) -> list[Event]:
        """Events in ``(moment - low, moment - high]``."""
        return [
            e
            for e in all_of_kind
            if (low is None or e.time > moment - round(low * DAY)) and e.time <= moment - round(high * DAY)
        ]

    def mean(events: list[Event]) -> float | None:
        numbers = [e.value for e in events if e.value is not None]
        return sum(numbers) / len(numbers) if numbers else None

    recent = within(declared.lookback)
    firsts: dict[dt.date, int] = {}
    for e in all_of_kind:
        firsts.setdefault(history.local_day(e.time), e.time)
    days = [e.time for e in recent if firsts[history.local_day(e.time)] == e.time]
    days = sorted(set(days))
    match declared:
        case Count():
            return float(len(days))
        case Rhythm():
            gaps = [later - earlier for earlier, later in itertools.pairwise(days)]
            return sum(gaps) / len(gaps) / DAY if gaps else None
        case Recency():
            return (moment - recent[-1].time) / DAY if recent else None
        case Mean():
            return mean(recent)
        case Maximum():
            return max((e.value for e in recent if e.value is not None), default=None)
        case Drop():
            now, before = mean(within(declared.recent)), mean(within(declared.lookback, declared.recent))
            return None if now is None or before is None else before - now
        case Value(column="label"):
            latest = [e.label for e in recent if e.time == recent[-1].time and e.label is not None]
            return max(latest, default=None)
        case Value():
            if not recent:
                return None
            today = [e for e in all_of_kind if history.local_day(e.time) == history.local_day(recent[-1].time)]
            numbers = [e.value for e in today if e.value is not None]
            return sum(numbers) if numbers else None
    raise TypeError(declared)


@dataclass(frozen=True)
class Row:
    """One spell in one period; times in microseconds on the clock."""

    spell: Spell
    period: int
    start: int
    stop: int
    event: int
    moment: int


def periods(history: History, churn: Silence, breaks: tuple[float, ...], as_of: str) -> list[Row]:
    """Every spell split at the breaks."""
    edges = [round(edge * DAY) for edge in breaks]
    rows = []
    for spell in spells(history, churn):
        for period, (low, high) in enumerate(itertools.pairwise(edges)):
            if spell.length <= low:
                continue
            event = spell.event if spell.length <= high else 0
            moment = spell.origin if as_of == "spell" or low == 0 else spell.origin + low - 1
            rows.append(Row(spell, period, low, min(spell.length, high), event, moment))
    return rows


def is_known(history: History, features: tuple[Feature, ...], moment: int) -> bool:
    """Whether every look-back, which ends at the moment, lies inside the window."""
    return all(
        declared.lookback is None or moment - round(declared.lookback * DAY) + 1 >= history.start
        for declared in features
    )


Totals = dict[tuple, list[int]]


def cells(
    history: History,
    churn: Silence,
    breaks: tuple[float, ...],
    as_of: str,
    features: tuple[Feature, ...],
    edges: dict[str, tuple[float, ...]],
) -> tuple[Totals, Totals]:
    """Spells that start, spells at the stop, events per cause and microseconds, per pattern and period; and the rest.

    A pattern is the bin of each number, or the level of a text, ``None`` where nothing is known yet.
    """
    inside: Totals = defaultdict(lambda: [0] * (3 + len(churn.causes)))
    outside: Totals = defaultdict(lambda: [0] * (2 + len(churn.causes)))
    for row in periods(history, churn, breaks, as_of):
        values = [feature(history, declared, row.spell.customer, row.moment) for declared in features]
        events = [int(row.event == k + 1) for k in range(len(churn.causes))]
        numbers = [int(row.start == 0), *events, row.stop - row.start]
        problem = None if is_known(history, features, row.moment) else "look-back"
        pattern: list[object] = []
        for declared, value in zip(features, values, strict=True):
            cut = edges.get(declared.name)
            if cut is None or value is None:
                pattern.append(value)
                continue
            if problem is None and not cut[0] <= value <= cut[-1]:
                problem = declared.name
            pattern.append(bisect.bisect_left(cut[1:-1], value))
        if problem is None:
            numbers.insert(1, int(row.spell.length >= round(breaks[row.period + 1] * DAY)))
            target = inside[(*pattern, row.period)]
        else:
            target = outside[(problem,)]
        for k, number in enumerate(numbers):
            target[k] += number
    for spell in spells(history, churn):
        low, high = round(breaks[0] * DAY), round(breaks[-1] * DAY)
        if low:
            target = outside[("before",)]
            target[0] += 1
            target[-1] += min(spell.length, low)
            if spell.event and spell.length <= low:
                target[spell.event] += 1
        if spell.length > high:
            target = outside[("beyond",)]
            target[-1] += spell.length - high
            if spell.event:
                target[spell.event] += 1
    return dict(inside), dict(outside)
