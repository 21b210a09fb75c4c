"""What churn means: the event that is modelled and the clock it is told on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol

from churnsurv._typing import Json
from churnsurv.errors import ArgumentError, HorizonError

_FIRST_BREAKS = (0.0, 3.0, 7.0, 14.0, 21.0, 30.0, 45.0, 60.0, 75.0, 90.0, 120.0, 150.0, 180.0, 240.0, 300.0, 365.0)


class ChurnDefinition(Protocol):
    """What every definition answers; see :class:`Silence` and ``Cancellation``."""

    @property
    def causes(self) -> tuple[str, ...]:
        """Names of the events 1…K on the clock."""
        ...

    @property
    def clock(self) -> str:
        """What the days on the clock count, in words."""
        ...

    @property
    def on_tenure(self) -> bool:
        """Whether the clock is the tenure since an origin; otherwise it is the gap since the last activity."""
        ...

    @property
    def opening(self) -> tuple[str, ...]:
        """Kinds of event that open a spell."""
        ...

    def describe(self) -> str:
        """Return one sentence for a person."""
        ...

    def check_horizon(self, horizon: float) -> None:
        """Refuse a horizon that the definition cannot answer."""
        ...

    def default_breaks(self, longest: float) -> tuple[float, ...]:
        """Period edges that suit the definition and reach ``longest`` days."""
        ...

    def to_json(self) -> dict[str, Json]:
        """Return the settings as a manifest holds them."""
        ...


@dataclass(frozen=True)
class Silence:
    """Non-contractual churn: a customer is declared churned after ``days`` without activity.

    The event that is modelled is the *return*. Every activity opens a gap; the gap ends with
    the next activity (event 1), with a terminal event such as an account closure (event 2), or is
    censored at the window's end. The clock is the time since the last activity, so recency is not a
    covariate: it is time itself.

    Parameters
    ----------
    kinds : tuple of str
        Kinds of event that count as activity. Returned goods and cancelled orders do not.
    days : float
        Silence after which a customer is declared churned, in days, > 0.
    merge : {"day", None}
        ``"day"`` joins activities of one local calendar day into one: the gap opens with the
        day's last activity and ends with the first one of a later day. ``None`` joins only
        activities at the same microsecond.
    terminal : tuple of str
        Kinds that close the account: the gap ends there with event 2, it is not censored.

    Raises
    ------
    ArgumentError
        If a kind is named twice or not text, or ``days`` is not positive and finite.

    Examples
    --------
    >>> Silence(kinds=("order",), days=90).causes
    ('return',)
    """

    kinds: tuple[str, ...]
    days: float
    merge: Literal["day"] | None = "day"
    terminal: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the settings once."""
        for name in ("kinds", "terminal"):
            given: object = getattr(self, name)
            if isinstance(given, str):
                raise ArgumentError(f"{name} is a tuple of names, not one text.", hint=f'write {name}=("{given}",).')
        object.__setattr__(self, "kinds", tuple(self.kinds))
        object.__setattr__(self, "terminal", tuple(self.terminal))
        named = [*self.kinds, *self.terminal]
        if not self.kinds or len(set(named)) != len(named) or not all(isinstance(kind, str) and kind for kind in named):
            raise ArgumentError(
                f"kinds={self.kinds!r} and terminal={self.terminal!r} must name at least one activity and no kind twice.",
                hint='write Silence(kinds=("order",), days=90).',
            )
        if not (isinstance(self.days, (int, float)) and math.isfinite(self.days) and self.days > 0):
            raise ArgumentError(
                f"days={self.days!r} is not a positive number of days.",
                hint='write Silence(kinds=("order",), days=90).',
            )
        if self.merge not in ("day", None):
            raise ArgumentError(f"merge={self.merge!r} is unknown.", hint='merge is "day" or None.')
        object.__setattr__(self, "days", float(self.days))

    @property
    def causes(self) -> tuple[str, ...]:
        """Names of the events on the gap clock: the return, then the closure if there is one."""
        return ("return", "closure") if self.terminal else ("return",)

    @property
    def clock(self) -> str:
        """What the days on the clock count."""
        return "days since last activity"

    @property
    def on_tenure(self) -> bool:
        """Whether the clock is the tenure."""
        return False

    @property
    def opening(self) -> tuple[str, ...]:
        """Kinds of event that open a gap."""
        return self.kinds

    def describe(self) -> str:
        """Return one sentence for a person."""
        merged = ", several on one local day counting once" if self.merge == "day" else ""
        closed = f", or when the account is closed ({', '.join(self.terminal)})" if self.terminal else ""
        return (
            f"A customer counts as churned after {self.days:g} days without activity "
            f"({', '.join(self.kinds)}{merged}){closed}."
        )

    def check_horizon(self, horizon: float) -> None:
        """Refuse a horizon that reaches beyond the definition.

        Raises
        ------
        HorizonError
            If ``horizon`` exceeds ``days``: whoever returns within it could fall silent again,
            and one gap says nothing about the next.
        """
        if not 0 < horizon <= self.days:
            raise HorizonError(
                f"a horizon of {horizon:g} days lies outside (0, {self.days:g}], the silence that defines churn.",
                consequence="Beyond it, a customer could return and fall silent once more: one gap does not answer that.",
                hint=f"ask for horizons of at most {self.days:g} days, or define Silence with more days.",
            )

    def default_breaks(self, longest: float) -> tuple[float, ...]:
        """Period edges on the gap clock that put ``days`` on an edge.

        Parameters
        ----------
        longest : float
            Longest gap that can be observed, in days.

        Returns
        -------
        tuple of float
            Increasing days from 0, the last at least ``longest``.
        """
        inner = sorted({edge for edge in (*_FIRST_BREAKS, self.days) if edge < longest})
        return (*inner, float(math.ceil(longest)) if longest > inner[-1] else inner[-1] + 1.0)

    def to_json(self) -> dict[str, Json]:
        """Return the settings as a manifest holds them."""
        return {
            "type": "Silence",
            "kinds": list(self.kinds),
            "days": self.days,
            "merge": self.merge,
            "terminal": list(self.terminal),
        }
