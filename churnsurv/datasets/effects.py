"""True effects on the return hazard, and the truth of a simulated shop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from churnsurv._typing import FloatArray
from churnsurv.datasets.arguments import check_levels, check_number
from churnsurv.datasets.experience import Experience, HiddenCause, Outcome
from churnsurv.datasets.rows import Codes
from churnsurv.errors import ArgumentError
from churnsurv.tables.window import DAY_US

PREVIOUS_DELIVERY = ("none yet", "on time", "late")
"""Levels of the order column ``previous_delivery``."""

PREVIOUS_WAIT = ("no ticket", "under 4 h", "4 to 24 h", "over 24 h")
"""Levels of the order column ``previous_wait``."""

PREVIOUS_RATING = ("none yet", "1", "2", "3", "4", "5")
"""Levels of the order column ``previous_rating``."""

_DAYS = float(DAY_US)


@dataclass(frozen=True, kw_only=True)
class ReturnEffects:
    """Effects on the log hazard of the return; 0 is no effect.

    What is known when the gap opens holds for the whole gap. What arrives during the gap (this
    order's delivery, answer, review) acts from its arrival on, and not before.

    Parameters
    ----------
    category : mapping of str to float
        Category of the opening order and its effect; categories are equally likely.
    high_value : float
        Opening order worth more than ``high_value_above``.
    high_value_above : float
        Revenue that parts high from ordinary value; also the median revenue.
    previous_late : float
        The previous order came late.
    previous_wait : tuple of three floats
        The previous order had a ticket, answered within 4 hours, 4 to 24 hours, over 24 hours.
    previous_rating : float
        For each point above 3 of the previous order's rating (below 3: taken off).
    this_delivery, this_late, this_ticket : float
        This order has arrived; has arrived late; its ticket has been answered.
    this_rating : float
        For each point above 3 of this order's rating, once given.
    """

    category: Mapping[str, float] = field(default_factory=lambda: {"garden": -0.2, "gifts": 0.15, "kitchen": 0.0})
    high_value: float = 0.2
    high_value_above: float = 60.0
    previous_late: float = -0.1
    previous_wait: tuple[float, float, float] = (0.0, -0.15, -0.4)
    previous_rating: float = 0.2
    this_delivery: float = 0.0
    this_late: float = 0.0
    this_ticket: float = 0.0
    this_rating: float = 0.0

    def __post_init__(self) -> None:
        """Check the settings once."""
        check_levels(self.category, "category")
        check_number(self.high_value_above, "high_value_above", low=0.01, unit="money")
        names = ("high_value", "previous_late", "previous_rating", "this_delivery", "this_late", "this_ticket")
        for name in (*names, "this_rating"):
            check_number(getattr(self, name), name)
        if len(self.previous_wait) != 3:
            raise ArgumentError(f"previous_wait={self.previous_wait!r} must be three numbers, one per band of waiting.")
        for value in self.previous_wait:
            check_number(value, "previous_wait")

    @classmethod
    def none(cls) -> ReturnEffects:
        """No effect of anything: what the hazard looks like to a null model."""
        return cls(
            category={"garden": 0.0, "gifts": 0.0, "kitchen": 0.0},
            high_value=0.0,
            previous_late=0.0,
            previous_wait=(0.0, 0.0, 0.0),
            previous_rating=0.0,
        )

    def moves_within_gap(self) -> bool:
        """Whether anything that arrives during the gap has an effect."""
        return any((self.this_delivery, self.this_late, self.this_ticket, self.this_rating))

    def at_opening(
        self, *, category: Codes, revenue: FloatArray, delivery: Codes, wait: Codes, rating: Codes
    ) -> FloatArray:
        """Log hazard that the opening of a gap adds, shape (n,).

        Parameters
        ----------
        category, delivery, wait, rating : array of int
            Positions in ``category``, :data:`PREVIOUS_DELIVERY`, :data:`PREVIOUS_WAIT`, :data:`PREVIOUS_RATING`.
        revenue : array of float
            Worth of the opening order.
        """
        by_delivery = np.array([0.0, 0.0, self.previous_late])
        by_wait = np.array([0.0, *self.previous_wait])
        by_rating = np.array([0.0, *(self.previous_rating * (points - 3) for points in range(1, 6))])
        by_category = np.array(list(self.category.values()))
        value = self.high_value * (revenue > self.high_value_above)
        total: FloatArray = by_category[category] + value + by_delivery[delivery] + by_wait[wait] + by_rating[rating]
        return total

    def within_gap(self, outcome: Outcome) -> tuple[FloatArray, FloatArray]:
        """Times (days on the clock) and factors of the facts that arrive in each gap, shape (n, 0 or 3)."""
        n = len(outcome.late)
        if not self.moves_within_gap():
            return np.zeros((n, 0)), np.zeros((n, 0))
        arrived = outcome.delivered / _DAYS
        answered = np.where(outcome.ticket, outcome.answered / _DAYS, arrived)
        reviewed = np.where(outcome.review, outcome.reviewed / _DAYS, np.inf)
        steps = np.column_stack(
            [
                self.this_delivery + self.this_late * outcome.late,
                self.this_ticket * outcome.ticket,
                self.this_rating * (outcome.rating - 3.0) * outcome.review,
            ]
        )
        return np.column_stack([arrived, answered, reviewed]), np.exp(np.cumsum(steps, axis=1))


@dataclass(frozen=True, kw_only=True)
class ShopTruth:
    """Everything that made a simulated shop; see :func:`~churnsurv.datasets.simulate_shop` for each item."""

    breaks: tuple[float, ...]
    hazards: tuple[float, ...]
    frailty_variance: float
    countries: Mapping[str, float]
    effects: ReturnEffects
    experience: Experience
    season_amplitude: float
    season_peak: int
    closure_hazard: float
    hidden: HiddenCause | None
    do: Mapping[str, float]

    def cumulative_hazard(self, times: FloatArray) -> FloatArray:
        """Baseline cumulative hazard: frailty 1, every effect 0, season neutral.

        Parameters
        ----------
        times : array
            Days since the last order, >= 0.
        """
        edges, hazards = np.asarray(self.breaks, float), np.asarray(self.hazards, float)
        spent = np.clip(np.asarray(times, float)[..., None] - edges, 0, np.append(np.diff(edges), np.inf))
        return np.asarray((spent * hazards).sum(axis=-1))

    def marginal_survival(self, times: FloatArray) -> FloatArray:
        r"""Share of first gaps without a return, frailty integrated out, effects and season neutral.

        .. math:: S(t) = (1 + \theta H(t))^{-1/\theta}

        Parameters
        ----------
        times : array
            Days since the first order, >= 0.
        """
        hazard, theta = self.cumulative_hazard(times), self.frailty_variance
        return np.exp(-hazard) if theta == 0 else (1 + theta * hazard) ** (-1 / theta)
