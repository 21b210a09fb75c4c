"""Feature declarations as one SQL text: what was known at each moment, and nothing later.

Events and moments are put on one timeline per customer and sorted once; every feature is a window
frame that ends at its moment. Cost: O((events + moments) log(events + moments)), whatever the
number of features or the length of a history. (A join of events to moments would be quadratic in a
customer's history.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from churnsurv.errors import FeatureError, UnknownKindError
from churnsurv.tables.engines import Dialect, Relation, literal, quote
from churnsurv.tables.events import EventLog
from churnsurv.tables.features import Arrival, Count, Drop, Feature, Maximum, Mean, Recency, Rhythm, Value
from churnsurv.tables.window import DAY_US
from churnsurv.tables.zones import ZoneSql


def check_features(log: EventLog, features: Sequence[Feature], activity: tuple[str, ...]) -> None:
    """Refuse declarations that the log cannot carry.

    Parameters
    ----------
    log : EventLog
        The log.
    features : sequence of Feature
        Declarations.
    activity : tuple of str
        Kinds that open a spell.

    Raises
    ------
    UnknownKindError
        If a kind is not in the log.
    FeatureError
        If a column is missing or of the wrong type, two features share a name, or a look-back is needed.
    """
    kinds = [*log.kinds(), *log.other_kinds]
    for feature in features:
        if not isinstance(feature, Feature):
            raise FeatureError(
                f"{feature!r} is no feature declaration.", hint='write features=[Count("order", days=180)].'
            )
        if feature.kind not in kinds:
            raise UnknownKindError(
                f"{feature.name}: the log has no event of kind {feature.kind!r}.",
                hint=f"kinds in the log: {', '.join(map(repr, kinds[:10]))}.",
            )
        column = feature.value_column
        allowed = (*log.values, *log.labels) if isinstance(feature, Value | Arrival) else log.values
        if column is not None and column not in allowed:
            raise FeatureError(
                f"{feature.name}: the log keeps no {'' if isinstance(feature, Value | Arrival) else 'numeric '}column {column!r}.",
                column=column,
                hint=f'name it when the log is made, values=("{column}",); it keeps {", ".join(map(repr, allowed)) or "none"}.',
            )
        if feature.lookback is None and activity != (feature.kind,) and not isinstance(feature, Arrival):
            raise FeatureError(
                f"{feature.name} looks back without limit at {feature.kind!r}, which is not what opens a spell.",
                consequence="Early gaps would know less of the past than late ones, only because the log starts somewhere.",
                hint=f"write {type(feature).__name__}({feature.kind!r}, …, days=90).",
            )
    names = [feature.name.lower() for feature in features]
    twice = [feature.name for feature in features if names.count(feature.name.lower()) > 1]
    reserved = [feature.name for feature in features if feature.name.lower() in RESERVED]
    if twice or reserved:
        raise FeatureError(
            f"two features are called {twice[0]!r}." if twice else f"a feature cannot be called {reserved[0]!r}.",
            consequence="" if twice else "The tables use that name for a column of their own.",
            hint="give one of them another name=." if twice else "give it another name=.",
        )


RESERVED = (
    "id", "key", "moment", "known", "customer_id", "spell", "period", "start", "stop", "exposure", "event", "first",
    "start_us", "stop_us", "entry_us", "exit_us", "origin", "open", "last_activity", "at_stop", "problem", "place",
    "reached", "unknown", "outside", "n_spells", "n_events", "n_at_stop", "churn_probability", "horizon", "cause",
    "status", "silence", "lower", "upper", "new_group", "no_return_probability", "no_return_lower", "no_return_upper",
    "no_return_status", "n_customers", "expected", "n_already_churned", "n_refused", "mark", "piece", "begins", "ends",
    "landmark", "calendar_month", "tenure", "weight", "p_gone", "p_gone_lower", "p_gone_upper", "p_gone_status",
)  # fmt: skip
"""Columns of the tables, in lower case: the engine does not tell upper from lower."""


def is_text_feature(log: EventLog, feature: Feature) -> bool:
    """Tell whether a feature yields text."""
    return isinstance(feature, Value) and feature.column in log.labels


def longest_lookback(features: Sequence[Feature]) -> float:
    """Days that the features together reach back."""
    return max((feature.lookback or 0.0 for feature in features), default=0.0)


class _Timeline:
    """Builds the SQL text for one log, its features and a query of moments.

    Parameters
    ----------
    log : EventLog
        Events.
    features : sequence of Feature
        Declarations.
    start : int
        Start of the window.
    at : str or None
        Kind of event of which every moment is one. The moments are then found among the events, instead
        of being sorted in between them: half the rows for every window.
    earlier : bool
        Whether events before the window are read: a contract's beginning may lie there.
    """

    def __init__(self, log: EventLog, features: Sequence[Feature], start: int, at: str | None, earlier: bool) -> None:
        self.log, self.features, self.start, self.at, self.earlier = log, features, start, at, earlier
        self.dialect: Dialect = log.engine.dialect
        self._windows: dict[str, str] = {}

    def _kinds(self) -> str:
        kinds = dict.fromkeys([*(feature.kind for feature in self.features), *([self.at] if self.at else [])])
        return "(" + ", ".join(literal(kind) for kind in kinds) + ")"

    def _columns(self) -> tuple[list[str], list[str]]:
        used = dict.fromkeys(f.value_column for f in self.features if f.value_column)
        return [c for c in used if c in self.log.values], [c for c in used if c in self.log.labels]

    def events(self) -> str:
        """One row per customer, kind and microsecond: equal times have no order, so they are joined first."""
        numbers, texts = self._columns()
        ties = self.log.has_ties
        parts = []
        for column in numbers:
            name = quote(column)
            total, n, most = f"sum({name} ORDER BY {name})", f"count({name})", f"max({name})"
            if not ties:
                total, n, most = name, f"CASE WHEN {name} IS NULL THEN 0 ELSE 1 END", name
            parts += [f"{total} AS {quote(f'{column}/sum')}", f"{n} AS {quote(f'{column}/n')}"]
            parts += [f"{most} AS {quote(f'{column}/max')}"]
        for column in texts:
            parts.append(f"{f'max({quote(column)})' if ties else quote(column)} AS {quote(f'{column}/text')}")
        zone = ZoneSql(self.log.timezone, *self.log.span)
        day = self.dialect.day_number("time", zone.offset_of_utc("time"))
        extra = "".join(f", {part}" for part in parts)
        return (
            f"SELECT customer_id, kind, time, {day} AS day{extra} FROM {self.log.table}"
            f" WHERE kind IN {self._kinds()}"
            + ("" if self.earlier else f" AND time >= {self.start}")
            + (" GROUP BY customer_id, kind, time" if ties else "")
        )

    def marked(self) -> str:
        """Events with their place in the local day: the first of it, and the day's total so far."""
        totals = [f.column for f in self.features if isinstance(f, Value) and f.column in self.log.values]
        running = "".join(
            f", {self.dialect.steady(f'sum({quote(column + "/sum")}) OVER day_so_far')} AS {quote(f'{column}/day')}"
            for column in dict.fromkeys(totals)
        )
        return (
            "SELECT *, CASE WHEN row_number() OVER day_so_far = 1 THEN 1 END AS opens_day" + running + " FROM event"
            " WINDOW day_so_far AS (PARTITION BY customer_id, kind, day ORDER BY time)"
        )

    def timeline(self, moments: str) -> str:
        """Events and moments of each customer in one table; a moment carries its key."""
        if self.at:
            return (
                f"SELECT e.*, m.key FROM marked e LEFT JOIN ({moments}) m"
                f" ON m.customer_id = e.customer_id AND m.moment = e.time AND e.kind = {literal(self.at)}"
            )
        names = list(self.log.engine.columns(f"WITH event AS ({self.events()}) {self.marked()}"))
        carried = [name for name in names if name not in ("customer_id", "time", "kind", "opens_day", "day")]
        blank = "".join(f", NULL AS {quote(name)}" for name in carried)
        kept = "".join(f", {quote(name)}" for name in carried)
        return (
            f"SELECT customer_id, time, kind, opens_day, CAST(NULL AS BIGINT) AS key{kept} FROM marked"
            f" UNION ALL SELECT customer_id, moment, NULL, NULL, key{blank} FROM ({moments})"
        )

    def over(self, aggregate: str, low: float | None, high: float = 0.0) -> str:
        """Name of a window aggregate over the days in ``(moment - low, moment - high]``; equal ones are shared."""
        floor = "UNBOUNDED" if low is None else str(_us(low) - 1)
        ceiling = f"{_us(high)} PRECEDING" if high else "CURRENT ROW"
        window = (
            f"{aggregate} OVER (PARTITION BY customer_id ORDER BY time RANGE BETWEEN {floor} PRECEDING AND {ceiling})"
        )
        return self._windows.setdefault(window, f"w{len(self._windows)}")

    def expression(self, feature: Feature) -> str:  # noqa: PLR0911 - one return per declaration
        """SQL text of one feature, in terms of window aggregates."""
        of_kind, days = f"CASE WHEN kind = {literal(feature.kind)} THEN", feature.lookback
        day_time = f"{of_kind} CASE WHEN opens_day = 1 THEN time END END"
        match feature:
            case Count():
                return f"CAST({self.over(f'count({day_time})', days)} AS DOUBLE)"
            case Rhythm():
                n, last, first = (self.over(f"{name}({day_time})", days) for name in ("count", "max", "min"))
                return f"CASE WHEN {n} >= 2 THEN ({last} - {first}) / {DAY_US}.0 / ({n} - 1) END"
            case Recency():
                return f"(time - {self.over(f'max({of_kind} time END)', days)}) / {DAY_US}.0"
            case Value():
                return self._value(feature, of_kind)
            case Mean():
                return self._mean(feature.column, of_kind, days)
            case Maximum():
                return self.over(f"max({of_kind} {quote(f'{feature.column}/max')} END)", days)
            case Drop():
                before = self._mean(feature.column, of_kind, feature.lookback, feature.recent)
                return f"{before} - {self._mean(feature.column, of_kind, feature.recent)}"
        raise FeatureError(f"{type(feature).__name__} has no SQL text.")

    def _value(self, feature: Value, of_kind: str) -> str:
        suffix = "day" if feature.column in self.log.values else "text"
        value, days = quote(f"{feature.column}/{suffix}"), feature.lookback
        if self.at == feature.kind:
            return value  # the moment is itself the latest activity of that kind
        latest = self.over(f"max({of_kind} time END)", days)
        valued = self.over(f"max({of_kind} CASE WHEN {value} IS NOT NULL THEN time END END)", days)
        last = self.over(self.dialect.last_known(f"{of_kind} {value} END"), days)
        # The latest activity's own value: an older one would be told as if it were the latest.
        return f"CASE WHEN {latest} = {valued} THEN {last} END"

    def _mean(self, column: str, of_kind: str, low: float | None, high: float = 0.0) -> str:
        total, n = (self.over(f"sum({of_kind} {quote(f'{column}/{part}')} END)", low, high) for part in ("sum", "n"))
        return self.dialect.steady(f"({total} / nullif({n}, 0))")

    def query(self, moments: str) -> str:
        """SQL text that yields ``key, known`` and one column per feature."""
        needed = _us(longest_lookback(self.features))
        features = "".join(f", {self.expression(feature)} AS {quote(feature.name)}" for feature in self.features)
        windows = "".join(f", {window} AS {name}" for window, name in self._windows.items())
        return f"""
WITH event AS ({self.events()}),
marked AS ({self.marked()}),
timeline AS ({self.timeline(moments)}),
framed AS (SELECT *{windows} FROM timeline)
SELECT key, time - {needed} >= {self.start} - 1 AS known{features} FROM framed WHERE key IS NOT NULL"""


def _us(days: float) -> int:
    return math.floor(days * DAY_US + 0.5)


def features_at(
    log: EventLog,
    features: Sequence[Feature],
    moments: str,
    start: int,
    *,
    at: str | None = None,
    earlier: bool = False,
) -> Relation:
    """Compute features as of moments.

    Parameters
    ----------
    log : EventLog
        Events; those before ``start`` are not used, since the log is not complete there.
    features : sequence of Feature
        Declarations, checked by :func:`check_features`.
    moments : str
        Query that yields ``key, customer_id, moment``; an event at ``moment`` itself is known, a later
        one is not.
    start : int
        Start of the window, microseconds UTC.
    at : str, optional
        Kind of event of which every moment is one; a short cut, the numbers are the same.
    earlier : bool
        Whether events before the window may be told, for features without a look-back.

    Returns
    -------
    Relation
        ``key``, ``known`` (whether every look-back lies inside the window) and one column per feature,
        null where nothing is known yet.
    """
    if not features:
        return log.engine.create("features", f"SELECT key, TRUE AS known FROM ({moments})")
    return log.engine.create("features", _Timeline(log, features, start, at, earlier).query(moments))
