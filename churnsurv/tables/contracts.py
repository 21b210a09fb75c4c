"""Definitions on the tenure clock: a contract that is cancelled, and inactivity counted from the beginning."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

from churnsurv._typing import Json
from churnsurv.errors import ArgumentError, DefinitionError, HorizonError
from churnsurv.tables.churn import ChurnDefinition, Silence

_TENURE_BREAKS = (
    0.0, 30.0, 60.0, 90.0, 120.0, 150.0, 180.0, 240.0, 300.0, 365.0, 450.0, 545.0, 730.0, 910.0, 1095.0, 1460.0,
    1825.0, 2190.0, 2920.0, 3650.0, 5475.0, 7300.0,
)  # fmt: skip
_ORIGINS = '"kind:signup", "column", "first" or "burn-in:90"'

OriginRule = Literal["kind", "column", "first", "burn-in", "stated"]


@dataclass(frozen=True)
class Origin:
    """Where a customer's tenure begins, read from its text.

    Parameters
    ----------
    rule : {"kind", "column", "first", "burn-in", "stated"}
        A kind of event, the log's column of origins, the first event in the log, the first event where
        it comes after a burn-in, or durations that came without a log.
    kind : str
        The kind of event, for ``"kind"``.
    days : float
        Length of the burn-in in days, for ``"burn-in"``.
    """

    rule: OriginRule
    kind: str = ""
    days: float = 0.0

    @classmethod
    def read(cls, text: str) -> Origin:
        """Read ``kind:NAME``, ``column``, ``first``, ``burn-in:DAYS`` or ``stated``.

        Raises
        ------
        ArgumentError
            If it is anything else.

        Examples
        --------
        >>> Origin.read("kind:signup")
        Origin(rule='kind', kind='signup', days=0.0)
        """
        rule, _, rest = text.partition(":") if isinstance(text, str) else ("", "", "")
        if rule == "kind" and rest:
            return cls("kind", kind=rest)
        if rule in ("column", "first", "stated") and not rest:
            return cls(cast(OriginRule, rule))
        try:
            days = float(rest) if rule == "burn-in" else math.nan
        except ValueError:
            days = math.nan
        if not (math.isfinite(days) and days > 0):
            raise ArgumentError(
                f"origin={text!r} does not say where a customer's tenure begins.",
                consequence="The first event in a log is a birth only if it is said to be one.",
                hint=f"origin is {_ORIGINS}; the column itself is named when the log is made, EventLog.from_file(…, origin=…).",
            )
        return cls("burn-in", days=days)

    @property
    def words(self) -> str:
        """As a person reads it."""
        return {
            "kind": f"the {self.kind!r} that opened it",
            "column": "the sign-up written in the log",
            "first": "its first event in the log, taken for its beginning",
            "burn-in": f"its first event, where none came in the log's first {self.days:g} days",
            "stated": "its beginning, as the durations were given",
        }[self.rule]


def _names(given: object, name: str, example: str) -> tuple[str, ...]:
    if isinstance(given, str):
        raise ArgumentError(f"{name} is a tuple of names, not one text.", hint=f'write {name}=("{given}",).')
    try:
        names = tuple(cast(tuple[str, ...], given))
    except TypeError:
        names = (cast(str, None),)
    if not all(isinstance(kind, str) and kind for kind in names) or len(set(names)) != len(names):
        raise ArgumentError(f"{name}={given!r} must name kinds of event, each once.", hint=f"write {example}.")
    return names


def _tenure_breaks(longest: float) -> tuple[float, ...]:
    inner = [edge for edge in _TENURE_BREAKS if edge < longest]
    return (*inner, float(math.ceil(longest)) if longest > inner[-1] else inner[-1] + 1.0)


def _check_ahead(horizon: float) -> None:
    if not (math.isfinite(horizon) and horizon > 0):
        raise HorizonError(f"a horizon of {horizon:g} days is not ahead.", hint="write horizon=[30, 60, 90].")


@dataclass(frozen=True)
class Cancellation:
    """Contractual churn: the customer ends the contract, for one of several causes.

    The event that is modelled is the cancellation, and the clock is the tenure: the time since the contract's
    origin. Whoever began before the observation window enters late (left truncation): the contracts that had
    ended by then are not in the log, and counting the survivors' early days would make everyone look loyal.

    Parameters
    ----------
    kinds : tuple of str
        Kinds of event that end a contract. Several kinds are competing causes 1…K, in this order.
    origin : str
        Where tenure begins. ``"kind:signup"``: at each event of that kind; rows before the window are read, and say
        who was a customer at its start. ``"column"``: at the moment in the log's origin column
        (``EventLog.from_frame(…, origin="signed_up")``). ``"first"``: at the customer's first event in the log, which
        is then said to be the beginning. ``"burn-in:90"``: the same, but whoever has an event in the first
        90 days of the window is left out, since nobody knows for how long they had been there.
    reactivation : tuple of str
        Kinds of event that open a new contract after one has ended (spell 2, 3, …; the clock starts anew). A sign-up
        (``"kind:…"``), or a new moment in the column, does so without being named here.

    Raises
    ------
    ArgumentError
        If a kind is named twice or not text, or the origin is not one of those above.

    Examples
    --------
    >>> Cancellation(("cancelled", "payment_failed"), origin="kind:signup").causes
    ('cancelled', 'payment_failed')
    """

    kinds: tuple[str, ...]
    origin: str
    reactivation: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the settings once."""
        example = 'Cancellation(("cancelled",), origin="kind:signup")'
        object.__setattr__(self, "kinds", _names(self.kinds, "kinds", example))
        object.__setattr__(self, "reactivation", _names(self.reactivation, "reactivation", example))
        named = (*self.kinds, *self.reactivation, *self.opening)
        if not self.kinds or len(set(named)) != len(named):
            raise ArgumentError(
                f"kinds={self.kinds!r}, origin={self.origin!r} and reactivation={self.reactivation!r} must name at least "
                "one kind that ends a contract, and no kind twice.",
                hint=f"write {example}.",
            )

    @property
    def begins(self) -> Origin:
        """The origin, read."""
        return Origin.read(self.origin)

    @property
    def causes(self) -> tuple[str, ...]:
        """Names of the events 1…K."""
        return self.kinds

    @property
    def clock(self) -> str:
        """What the days on the clock count."""
        return "days since origin"

    @property
    def on_tenure(self) -> bool:
        """Whether the clock is the tenure."""
        return True

    @property
    def opening(self) -> tuple[str, ...]:
        """The kind of event that opens a contract, if one does."""
        return (self.begins.kind,) if self.begins.rule == "kind" else ()

    def describe(self) -> str:
        """Return one sentence for a person."""
        again = f" {' or '.join(self.reactivation)} after that begins a new one." if self.reactivation else ""
        return (
            f"A customer churns when the contract ends ({', '.join(self.kinds)}); tenure counts from "
            f"{self.begins.words}.{again}"
        )

    def check_horizon(self, horizon: float) -> None:
        """Refuse a horizon that is not ahead.

        Raises
        ------
        HorizonError
            If it is not positive and finite.
        """
        _check_ahead(horizon)

    def default_breaks(self, longest: float) -> tuple[float, ...]:
        """Period edges on the tenure clock.

        Parameters
        ----------
        longest : float
            Longest tenure reached, in days.

        Returns
        -------
        tuple of float
            Increasing days from 0, the last at least ``longest``.
        """
        return _tenure_breaks(longest)

    def to_json(self) -> dict[str, Json]:
        """Return the settings as a manifest holds them."""
        return {
            "type": "Cancellation",
            "kinds": list(self.kinds),
            "origin": self.origin,
            "reactivation": list(self.reactivation),
        }


@dataclass(frozen=True)
class Inactivity:
    """A rule some insist on: N days without activity, on the tenure clock.

    The event is dated ``last activity + days``, the moment at which it becomes known; who is undecided at the window's
    end is censored there. Good for cohort curves and lifetimes. It predicts nothing: tenure does not know how long
    a customer has been silent by now, and that is most of what there is to know; ask :class:`Silence` for risk.

    Parameters
    ----------
    days : float
        Days without activity, > 0.
    kinds : tuple of str
        Kinds of event that count as activity.
    origin : str
        Where tenure begins, as in :class:`Cancellation`. Activity after the event opens a new spell, whose clock starts
        with that activity.
    merge : {"day", None}
        ``"day"`` joins activities of one local calendar day into one, as in :class:`Silence`.

    Raises
    ------
    ArgumentError
        If a setting has no meaning.

    Examples
    --------
    >>> Inactivity(90, ("order",), origin="first").causes
    ('inactive',)
    """

    days: float
    kinds: tuple[str, ...]
    origin: str
    merge: Literal["day"] | None = "day"

    def __post_init__(self) -> None:
        """Check the settings once."""
        example = 'Inactivity(90, ("order",), origin="first")'
        object.__setattr__(self, "kinds", _names(self.kinds, "kinds", example))
        if not self.kinds:
            raise ArgumentError("kinds=() names no activity.", hint=f"write {example}.")
        if isinstance(self.days, bool) or not isinstance(self.days, (int, float)) or not 0 < self.days < math.inf:
            raise ArgumentError(f"days={self.days!r} is not a positive number of days.", hint=f"write {example}.")
        if self.merge not in ("day", None):
            raise ArgumentError(f"merge={self.merge!r} is unknown.", hint='merge is "day" or None.')
        if self.begins.rule == "stated":
            raise ArgumentError('origin="stated" belongs to durations, not to a log.', hint=f"origin is {_ORIGINS}.")
        object.__setattr__(self, "days", float(self.days))

    @property
    def begins(self) -> Origin:
        """The origin, read."""
        return Origin.read(self.origin)

    @property
    def causes(self) -> tuple[str, ...]:
        """The one event."""
        return ("inactive",)

    @property
    def clock(self) -> str:
        """What the days on the clock count."""
        return "days since origin"

    @property
    def on_tenure(self) -> bool:
        """Whether the clock is the tenure."""
        return True

    @property
    def opening(self) -> tuple[str, ...]:
        """The kind of event that opens a spell, if one does."""
        return (self.begins.kind,) if self.begins.rule == "kind" else self.kinds

    def describe(self) -> str:
        """Return one sentence for a person."""
        return (
            f"A customer counts as churned when {self.days:g} days without activity ({', '.join(self.kinds)}) are over; "
            f"tenure counts from {self.begins.words}."
        )

    def check_horizon(self, horizon: float) -> None:
        """Refuse every horizon: this definition describes, it does not predict.

        Raises
        ------
        DefinitionError
            Always, with the definition that predicts.
        """
        raise DefinitionError(
            f"Inactivity({self.days:g}) has no risk within {horizon:g} days: its clock is the tenure.",
            consequence="Two customers of equal tenure, one silent since yesterday and one for months, would get one risk.",
            hint=f"use churn=Silence(kinds={self.kinds!r}, days={self.days:g}): its clock is the silence so far.",
        )

    def default_breaks(self, longest: float) -> tuple[float, ...]:
        """Period edges on the tenure clock; see :meth:`Cancellation.default_breaks`."""
        return _tenure_breaks(longest)

    def to_json(self) -> dict[str, Json]:
        """Return the settings as a manifest holds them."""
        return {
            "type": "Inactivity",
            "days": self.days,
            "kinds": list(self.kinds),
            "origin": self.origin,
            "merge": self.merge,
        }


_DEFINITIONS: dict[str, type[Silence | Cancellation | Inactivity]] = {
    "Silence": Silence,
    "Cancellation": Cancellation,
    "Inactivity": Inactivity,
}


def definition_from_json(data: Mapping[str, Json]) -> ChurnDefinition:
    """Read a definition back from a manifest.

    Raises
    ------
    ArgumentError
        If it is of no kind that this version knows, or its settings are not.

    Examples
    --------
    >>> definition_from_json(Silence(("order",), 90).to_json())
    Silence(kinds=('order',), days=90.0, merge='day', terminal=())
    """
    settings = dict(data)
    kind = _DEFINITIONS.get(str(settings.pop("type", None)))
    if kind is None or set(settings) != set(kind.__dataclass_fields__):
        raise ArgumentError(f"churn definition {dict(data)!r} is unknown.")
    return kind(**settings)  # type: ignore[arg-type]  # checked by the definition itself
