"""What happens after an order: delivery → support wait → rating, a causal chain with stated probabilities."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

import numpy as np

from churnsurv._typing import BoolArray, FloatArray, IntArray
from churnsurv.datasets.arguments import check_levels, check_number
from churnsurv.errors import ArgumentError
from churnsurv.tables.window import DAY_US

WAIT_EDGES = (4.0, 24.0)
"""Hours that part short, middling and long support waits."""

NEVER = np.iinfo(np.int64).max
"""Time of a fact that never arrives."""

_DO = ("late", "ticket", "wait_hours", "rating")


@dataclass(frozen=True, kw_only=True)
class Experience:
    r"""Probabilities of the chain that follows each order.

    1. The parcel is late with :math:`\mathrm{logit}\, p = \mathrm{logit}(late) + late\_country[g] +
       late\_season \cos(\cdot)`, the cosine being 1 in the peak month of the season.
    2. It arrives after a gamma time (shape 4, mean ``transit_days``), plus an exponential delay with
       mean ``late_days`` if late.
    3. A ticket is opened with probability ``ticket`` (``ticket_when_late`` if late), up to a day
       after arrival, and answered after a lognormal wait with median ``wait_hours``, standard
       deviation of the log ``wait_spread``, the log raised by ``wait_when_late`` if late.
    4. With probability ``review`` a rating from 1 to 5 follows, on average ``review_days`` later:
       one plus the number of ``rating_cuts`` below a logistic variable with mean
       ``rating_late`` (if late) + ``rating_wait`` (of the wait's band).

    Each happens only if the customer has not ordered again before: what is still on its way then
    travels with the new order, and the old one gets no row of its own any more.

    Parameters
    ----------
    late : float
        Probability of a late parcel, in (0, 1), where country and season are neutral.
    late_country : mapping of str to float
        Log-odds added by country.
    late_season : float
        Log-odds added in the peak month, taken off half a year from it.
    transit_days, late_days, review_days : float
        Means in days, > 0.
    ticket, ticket_when_late, review : float
        Probabilities in [0, 1].
    wait_hours : float
        Median hours until support answers, > 0.
    wait_spread : float
        Standard deviation of the logarithm of the hours, >= 0.
    wait_when_late : float
        Added to that logarithm after a late parcel.
    rating_cuts : tuple of four floats
        Increasing, on the logistic scale.
    rating_late : float
        Shift of the rating after a late parcel; negative is worse.
    rating_wait : tuple of three floats
        Shift after a wait under 4 hours, 4 to 24 hours, over 24 hours.
    longest_days : float
        Days after the order by which all has happened, > 0; whatever would come later comes then.
    """

    late: float = 0.2
    late_country: Mapping[str, float] = field(default_factory=dict)
    late_season: float = 0.5
    transit_days: float = 3.0
    late_days: float = 6.0
    ticket: float = 0.08
    ticket_when_late: float = 0.5
    wait_hours: float = 8.0
    wait_spread: float = 1.0
    wait_when_late: float = 0.7
    review: float = 0.6
    review_days: float = 3.0
    rating_cuts: tuple[float, float, float, float] = (-2.6, -1.8, -0.8, 0.4)
    rating_late: float = -1.0
    rating_wait: tuple[float, float, float] = (0.3, -0.7, -1.8)
    longest_days: float = 45.0

    def __post_init__(self) -> None:
        """Check the settings once."""
        check_number(self.late, "late", low=1e-9, high=1 - 1e-9, unit="probability")
        for name in ("ticket", "ticket_when_late", "review"):
            check_number(getattr(self, name), name, low=0, high=1, unit="probability")
        for name in ("transit_days", "late_days", "review_days", "longest_days"):
            check_number(getattr(self, name), name, low=1e-3, unit="days")
        check_number(self.wait_hours, "wait_hours", low=1e-3, unit="hours")
        check_number(self.wait_spread, "wait_spread", low=0)
        for name in ("late_season", "wait_when_late", "rating_late"):
            check_number(getattr(self, name), name)
        if self.late_country:
            check_levels(self.late_country, "late_country")
        cuts, shifts = tuple(self.rating_cuts), tuple(self.rating_wait)
        if len(cuts) != 4 or list(cuts) != sorted(set(cuts)) or len(shifts) != 3:
            raise ArgumentError(
                f"rating_cuts={cuts} must be four increasing numbers and rating_wait={shifts} three.",
                hint="leave them out for the defaults.",
            )


@dataclass(frozen=True, kw_only=True)
class HiddenCause:
    """A trait of the customer that the log does not show, and that moves cause and outcome alike.

    Parameters
    ----------
    share : float
        Share of customers who have it, in [0, 1].
    late : float
        Log-odds of a late parcel it adds.
    wait : float
        What it adds to the logarithm of the support wait.
    effect : float
        What it adds to the log hazard of returning.
    """

    share: float = 0.3
    late: float = 1.0
    wait: float = 0.5
    effect: float = -0.7

    def __post_init__(self) -> None:
        """Check the settings once."""
        check_number(self.share, "share", low=0, high=1, unit="probability")
        for item in fields(self)[1:]:
            check_number(getattr(self, item.name), item.name)


def check_do(do: Mapping[str, float]) -> None:
    """Refuse interventions on what the chain does not have.

    Raises
    ------
    ArgumentError
        Naming what can be set and to which values.
    """
    ranges = {"late": (0, 1), "ticket": (0, 1), "wait_hours": (1e-3, math.inf), "rating": (1, 5)}
    for name, value in do.items():
        if name not in ranges:
            raise ArgumentError(f"do={{{name!r}: …}} is unknown.", hint=f"one can set {', '.join(_DO)}.")
        check_number(value, f"do[{name!r}]", low=ranges[name][0], high=ranges[name][1])
        if name != "wait_hours" and value != int(value):
            raise ArgumentError(f"do[{name!r}]={value!r} must be a whole number.")


@dataclass(frozen=True, eq=False)
class Outcome:
    """What follows each order unless the customer orders before, each of shape (n,).

    Parameters
    ----------
    late, ticket, review : array of bool
        Whether it happens.
    delay_days : array of float
        Days by which the parcel is late; 0 on time.
    wait_hours : array of float
        Hours until support answers; only meant where there is a ticket.
    rating : array of int
        1…5; only meant where there is a review.
    delivered, answered, reviewed : array of int
        Microseconds after the order at which it becomes known, ``NEVER`` for never.
    """

    late: BoolArray
    ticket: BoolArray
    review: BoolArray
    delay_days: FloatArray
    wait_hours: FloatArray
    rating: IntArray
    delivered: IntArray
    answered: IntArray
    reviewed: IntArray


def wait_band(hours: FloatArray) -> IntArray:
    """Band of a support wait: 0 up to 4 hours, 1 up to 24, 2 beyond."""
    return np.searchsorted(np.asarray(WAIT_EDGES), hours, side="left").astype(np.int64)


def draw_outcome(
    experience: Experience,
    do: Mapping[str, float],
    *,
    late_logit: FloatArray,
    wait_shift: FloatArray,
    rng: np.random.Generator,
) -> Outcome:
    """Draw the chain for n orders at once.

    Parameters
    ----------
    experience : Experience
        Its probabilities.
    do : mapping
        Nodes that are set, not drawn.
    late_logit : array of shape (n,)
        Log-odds of lateness that country, season and hidden cause add.
    wait_shift : array of shape (n,)
        What the hidden cause adds to the log of the wait.
    rng : numpy.random.Generator
        Source of randomness.
    """
    n = len(late_logit)
    logit = math.log(experience.late / (1 - experience.late)) + late_logit
    late = _set(do, "late", rng.random(n) < 1 / (1 + np.exp(-logit)))
    delay = np.where(late, np.maximum(np.round(rng.exponential(experience.late_days, n), 2), 0.01), 0.0)
    delivered = rng.gamma(4.0, experience.transit_days / 4, n) + delay
    ticket = _set(do, "ticket", rng.random(n) < np.where(late, experience.ticket_when_late, experience.ticket))
    log_wait = math.log(experience.wait_hours) + experience.wait_when_late * late + wait_shift
    drawn = np.exp(log_wait + experience.wait_spread * rng.standard_normal(n))
    wait = np.full(n, float(do["wait_hours"])) if "wait_hours" in do else np.maximum(np.round(drawn, 2), 0.01)
    answered = delivered + rng.random(n) + wait / 24
    rating = _draw_rating(experience, do, late, ticket, wait, rng)
    review = rng.random(n) < experience.review
    reviewed = np.where(ticket, answered, delivered) + rng.exponential(experience.review_days, n)
    return Outcome(
        late, ticket, review, delay, wait, rating,
        _microseconds(delivered, experience, np.ones(n, bool), 0),
        _microseconds(answered, experience, ticket, 1),
        _microseconds(reviewed, experience, review, 2),
    )  # fmt: skip


def _draw_rating(
    experience: Experience,
    do: Mapping[str, float],
    late: BoolArray,
    ticket: BoolArray,
    wait: FloatArray,
    rng: np.random.Generator,
) -> IntArray:
    waited = np.where(ticket, np.asarray(experience.rating_wait, float)[wait_band(wait)], 0.0)
    latent = experience.rating_late * late + waited + rng.logistic(size=len(late))
    drawn = 1 + np.searchsorted(np.asarray(experience.rating_cuts, float), latent)
    return np.full(len(late), int(do["rating"])) if "rating" in do else drawn.astype(np.int64)


def _set(do: Mapping[str, float], name: str, drawn: BoolArray) -> BoolArray:
    return np.full(len(drawn), bool(do[name])) if name in do else drawn


def _microseconds(days: FloatArray, experience: Experience, happens: BoolArray, order: int) -> IntArray:
    # One microsecond apart at the cap, so that a delivery is known before its ticket's answer and its review.
    capped = np.rint(np.minimum(days, experience.longest_days) * DAY_US).astype(np.int64) + 1 + order
    return np.where(happens, capped, NEVER)
