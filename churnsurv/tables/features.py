"""Features as declarations: what is known about a customer at a moment, and nothing later.

A declaration computes nothing. It is turned into one SQL text by ``histories`` and says how far
it looks back, so that the tables can tell where the log is too short to know it.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import ClassVar

from churnsurv._typing import Json
from churnsurv.errors import ArgumentError, FeatureError

NONE_YET = "none yet"
"""Level of a feature for which nothing has happened within its look-back."""

NOT_YET = "not yet"
"""Level of an arrival that has not come since the spell opened."""

ARRIVED = "arrived"
"""Level of an arrival that has come and carries no value."""


def _slug(text: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in text).strip("_").lower() or "x"


def _check_days(value: object, name: str, feature: str) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value <= 0:
        raise ArgumentError(
            f"{feature}: {name}={value!r} is not a positive number of days.",
            consequence="Without a fixed look-back, a long-known customer would look busier than a new one.",
            hint=f'write {feature}("order", …, {name}=90).',
        )


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One declared covariate. Use a subclass.

    Attributes
    ----------
    kind : str
        Kind of event it is computed from.
    name : str
        Column name; made from the declaration unless given.
    """

    kind: str
    name: str = ""

    integer: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Check the settings and name the column."""
        if not isinstance(self.kind, str) or not self.kind:
            raise ArgumentError(f"{type(self).__name__}: kind={self.kind!r} is not the name of a kind of event.")
        for field in fields(self):
            if field.name in ("days", "recent", "before"):
                value = getattr(self, field.name)
                if value is not None or field.default is not None:
                    _check_days(value, field.name, type(self).__name__)
        object.__setattr__(self, "name", self.name or self._default_name())

    def _default_name(self) -> str:
        parts = [type(self).__name__.lower(), _slug(self.kind)]
        column, days = getattr(self, "column", None), self.lookback
        parts += [_slug(column)] if column else []
        parts += [f"{days:g}d".replace(".", "_")] if days else []
        return "_".join(parts)

    @property
    def lookback(self) -> float | None:
        """Days it looks back from its moment; ``None`` if it needs only the opening activity."""
        return getattr(self, "days", None)

    @property
    def value_column(self) -> str | None:
        """Value column of the log it reads, if any."""
        return getattr(self, "column", None)

    def to_json(self) -> dict[str, Json]:
        """Return the declaration as a manifest holds it."""
        return {"type": type(self).__name__, **asdict(self)}


@dataclass(frozen=True, kw_only=True)
class _Lookback(Feature):
    days: float


@dataclass(frozen=True, kw_only=True)
class _ColumnLookback(Feature):
    column: str
    days: float


@dataclass(frozen=True, init=False)
class Count(_Lookback):
    """Number of activities of a kind within the look-back; those of one local day are one, dated at its first.

    Parameters
    ----------
    kind : str
        Kind of event.
    days : float
        Look-back in days, > 0.
    name : str, optional
        Column name.
    """

    integer: ClassVar[bool] = True

    def __init__(self, kind: str, *, days: float, name: str = "") -> None:
        super().__init__(kind=kind, days=days, name=name)


@dataclass(frozen=True, init=False)
class Rhythm(_Lookback):
    """Mean number of days between a customer's activities of a kind within the look-back.

    Activities of one local day are one, dated at its first. ``none yet`` with fewer than two there.

    Parameters
    ----------
    kind : str
        Kind of event.
    days : float
        Look-back in days, > 0.
    name : str, optional
        Column name.
    """

    def __init__(self, kind: str, *, days: float, name: str = "") -> None:
        super().__init__(kind=kind, days=days, name=name)


@dataclass(frozen=True, init=False)
class Value(Feature):
    """Value column of the latest activity of a kind: the day's total so far, or the last level of text.

    Parameters
    ----------
    kind : str
        Kind of event.
    column : str
        Value column of the log; numbers are summed over the activity's local day up to the moment.
    days : float, optional
        Look-back in days. May be left out only for an activity of the churn definition, where the
        latest one is the one that opened the gap.
    name : str, optional
        Column name.
    """

    column: str
    days: float | None = None

    def __init__(self, kind: str, column: str, *, days: float | None = None, name: str = "") -> None:
        object.__setattr__(self, "column", column)
        object.__setattr__(self, "days", days)
        super().__init__(kind=kind, name=name)


@dataclass(frozen=True, init=False)
class Mean(_ColumnLookback):
    """Mean of a numeric value column over the events of a kind within the look-back.

    Parameters
    ----------
    kind, column : str
        Kind of event and its value column.
    days : float
        Look-back in days, > 0.
    name : str, optional
        Column name.
    """

    def __init__(self, kind: str, column: str, *, days: float, name: str = "") -> None:
        super().__init__(kind=kind, column=column, days=days, name=name)


@dataclass(frozen=True, init=False)
class Maximum(_ColumnLookback):
    """Largest value of a numeric column over the events of a kind within the look-back.

    Parameters
    ----------
    kind, column : str
        Kind of event and its value column.
    days : float
        Look-back in days, > 0.
    name : str, optional
        Column name.
    """

    def __init__(self, kind: str, column: str, *, days: float, name: str = "") -> None:
        super().__init__(kind=kind, column=column, days=days, name=name)


@dataclass(frozen=True, init=False)
class Drop(Feature):
    """How far the mean of a value has fallen: earlier mean minus recent mean, positive = worse.

    The recent stretch is the last ``recent`` days before the moment, the earlier one the
    ``before`` days before those. ``none yet`` unless both hold a value.

    Parameters
    ----------
    kind, column : str
        Kind of event and its value column.
    recent, before : float
        Lengths of the two stretches in days, > 0.
    name : str, optional
        Column name.
    """

    column: str
    recent: float
    before: float

    def __init__(self, kind: str, column: str, *, recent: float, before: float, name: str = "") -> None:
        object.__setattr__(self, "column", column)
        object.__setattr__(self, "recent", recent)
        object.__setattr__(self, "before", before)
        super().__init__(kind=kind, name=name)

    @property
    def lookback(self) -> float:
        """Days of both stretches together."""
        return self.recent + self.before


@dataclass(frozen=True, init=False)
class Recency(_Lookback):
    """Days since the latest event of a kind, ``none yet`` if there was none within the look-back.

    Parameters
    ----------
    kind : str
        Kind of event.
    days : float
        Look-back in days, > 0.
    name : str, optional
        Column name.
    """

    def __init__(self, kind: str, *, days: float, name: str = "") -> None:
        super().__init__(kind=kind, days=days, name=name)


@dataclass(frozen=True, init=False)
class Arrival(Feature):
    """A fact that arrives while the customer is at risk: ``not yet`` until then, afterwards what it said.

    The delivery of the order that opened the gap, its review, a ticket: putting such a fact at the gap's start is
    immortal time, since only who stayed long enough could have it. It splits the spell at the moment it is known;
    a later event of the kind splits it again. Prediction carries forward what has arrived by now.

    Parameters
    ----------
    kind : str
        Kind of event that arrives.
    column : str, optional
        Its value column, numbers or text; events without a value do not count as arrivals. Without a column only
        ``not yet`` and ``arrived`` are told apart.
    name : str, optional
        Column name.
    """

    column: str | None = None

    def __init__(self, kind: str, column: str | None = None, *, name: str = "") -> None:
        object.__setattr__(self, "column", column)
        super().__init__(kind=kind, name=name)


@dataclass(frozen=True, init=False)
class Baseline(Feature):
    """A column that came with durations: known when the spell enters, constant while it lasts.

    Parameters
    ----------
    column : str
        Column of the durations' frame, named there in ``values=`` or ``labels=``.
    name : str, optional
        Column name; the column's own by default.
    """

    column: str

    def __init__(self, column: str, *, name: str = "", kind: str = "spell") -> None:
        object.__setattr__(self, "column", column)
        super().__init__(kind=kind, name=name or column)


FEATURES: dict[str, type[Feature]] = {
    feature.__name__: feature for feature in (Count, Rhythm, Value, Mean, Maximum, Drop, Recency, Arrival, Baseline)
}
"""Every declaration by the name that a manifest uses."""


def feature_from_json(data: dict[str, Json]) -> Feature:
    """Read a declaration back from a manifest.

    Raises
    ------
    FeatureError
        If the type is unknown or its settings are.
    """
    settings = dict(data)
    type_name = settings.pop("type", None)
    feature = FEATURES.get(str(type_name))
    names = {field.name for field in fields(feature)} if feature else set()
    if feature is None or set(settings) != names:
        raise FeatureError(f"{type_name!r} with settings {sorted(settings)} is not a known feature declaration.")
    return feature(**settings)  # type: ignore[arg-type]  # checked by the declaration itself
