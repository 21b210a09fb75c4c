"""A shop whose truth is known: customers who order, wait for parcels, complain, rate, and come back or not."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from churnsurv._typing import FloatArray, IntArray
from churnsurv.datasets.arguments import check_count, check_date, check_hazards, check_levels, check_number, make_rng
from churnsurv.datasets.effects import ReturnEffects, ShopTruth
from churnsurv.datasets.experience import Experience, HiddenCause, check_do, draw_outcome, wait_band
from churnsurv.datasets.inversion import Curve, Spells, calendar, month_starts, season_cosine, wait
from churnsurv.datasets.rows import Columns, join
from churnsurv.datasets.shop_simulation import ShopSimulation
from churnsurv.errors import ArgumentError
from churnsurv.tables.window import DAY_US, ObservationWindow

_CHUNK = 1 << 16
_COUNTRIES = {"France": -0.15, "Germany": 0.0, "Spain": -0.3, "United Kingdom": 0.2}
_REVENUE_SPREAD = 0.8


def simulate_shop(
    n_customers: int,
    *,
    rng: int | np.random.Generator,
    start: str | dt.date = "2023-01-01",
    end: str | dt.date = "2025-01-01",
    timezone: str = "UTC",
    history_days: float = 365.0,
    future_days: float = 90.0,
    breaks: Sequence[float] = (0, 7, 14, 30, 60, 90, 180),
    hazards: Sequence[float] = (0.004, 0.012, 0.018, 0.015, 0.010, 0.006, 0.003),
    frailty_variance: float = 0.5,
    countries: Mapping[str, float] | None = None,
    effects: ReturnEffects | None = None,
    experience: Experience | None = None,
    season_amplitude: float = 0.3,
    season_peak: int = 11,
    closure_hazard: float = 0.0002,
    hidden: HiddenCause | None = None,
    do: Mapping[str, float] | None = None,
) -> ShopSimulation:
    r"""Simulate a shop's event log together with the truth behind it.

    Customer *i* orders for the first time at a uniform moment. Each order opens a gap, and *r* days
    into gap *k*, at calendar time *u*, the hazard of the next order is

    .. math:: h_{ik}(r) = Z_i\, h_0(r) \exp\{\beta_{country(i)} + \beta^\top x_{ik} + \gamma^\top w_{ik}(r)
              + a \cos(2\pi (month(u) - peak)/12)\}

    with a frailty :math:`Z_i` shared by all gaps of a customer, gamma with mean 1; :math:`x` what is
    known when the gap opens (the order, the experience with the *previous* order); and :math:`w(r)`
    what has arrived by *r* (this order's delivery, answer, review). The account is closed at a
    constant hazard, whatever else. Waiting times are drawn by inverting the cumulative hazard piece
    by piece, exactly. The experience with an order is a causal chain, late parcel → ticket → support
    wait → rating: see :class:`~churnsurv.datasets.Experience`.

    Parameters
    ----------
    n_customers : int
        Customers, > 0. Memory grows with the orders: 2.5 GB at the peak for a million customers and their frame.
    rng : int or numpy.random.Generator
        Seed. The same seed and arguments give the same shop.
    start, end : str or date
        Observation window; midnights in ``timezone``.
    timezone : str
        IANA zone in which months begin.
    history_days : float
        First orders are spread over ``[start − history_days, end)``, >= 0. What happens before ``start``
        is not in the log (it is truncated on the left, as real logs are) but in ``.gaps``.
    future_days : float
        Days simulated after ``end``, >= 0, for comparison with what was predicted.
    breaks : sequence of float
        Days on the gap clock at which the baseline hazard changes, increasing from 0.
    hazards : sequence of float
        Baseline returns a day from each break to the next (the last for ever), >= 0.
    frailty_variance : float
        Variance of the frailty, >= 0; 0 makes all customers alike.
    countries : mapping of str to float, optional
        Countries, equally likely, and their effect on the log hazard.
    effects : ReturnEffects, optional
        Effects of orders and experience. ``ReturnEffects.none()`` for a null shop.
    experience : Experience, optional
        Probabilities of the causal chain.
    season_amplitude : float
        Effect of the peak month on the log hazard; constant within each calendar month.
    season_peak : int
        Peak month 1…12.
    closure_hazard : float
        Account closures a day, >= 0.
    hidden : HiddenCause, optional
        A confounder that is not in the log; none by default.
    do : mapping of str to float, optional
        Nodes of the chain set by intervention for every order, e.g. ``{"wait_hours": 2}``; also
        ``late``, ``ticket`` (0 or 1) and ``rating`` (1…5).

    Returns
    -------
    ShopSimulation
        ``.log``, ``.window``, ``.truth``, ``.customers``, ``.gaps``, ``.future`` and true survival.

    Raises
    ------
    ArgumentError, BreaksError, TimeZoneError, WindowError
        If an argument has no meaning.

    Notes
    -----
    Orders are distinct moments: use ``Silence(kinds=("order",), …, merge=None, terminal=("closed",))``,
    under which the gaps of the log are the gaps of the truth. Merging by day joins the few gaps that
    are shorter than a day.

    Examples
    --------
    >>> shop = simulate_shop(200, rng=1)
    >>> shop.truth.marginal_survival(np.array([0.0, 30.0, 90.0])).round(3)
    array([1.   , 0.694, 0.403])
    >>> sorted(shop.frame().column("kind").unique().to_pylist())
    ['closed', 'delivery', 'order', 'review', 'ticket']
    """
    check_count(n_customers, "n_customers")
    truth = ShopTruth(
        breaks=tuple(map(float, breaks)),
        hazards=tuple(map(float, hazards)),
        frailty_variance=frailty_variance,
        countries=dict(_COUNTRIES if countries is None else countries),
        effects=effects or ReturnEffects(),
        experience=experience or Experience(),
        season_amplitude=season_amplitude,
        season_peak=season_peak,
        closure_hazard=closure_hazard,
        hidden=hidden,
        do=dict(do or {}),
    )
    _check(truth, start, end, history_days, future_days)
    window = ObservationWindow(start, end)
    shop = _Shop.of(truth, window, timezone, history_days, future_days)
    sizes = [min(_CHUNK, n_customers - low) for low in range(0, n_customers, _CHUNK)]
    streams = make_rng(rng).spawn(len(sizes))
    parts = [
        shop.simulate(size, k * _CHUNK, stream) for k, (size, stream) in enumerate(zip(sizes, streams, strict=True))
    ]
    customers, orders = (join([part[side] for part in parts]) for side in (0, 1))
    return ShopSimulation(window, timezone, truth, float(future_days), shop.curve, customers, orders)


def _check(truth: ShopTruth, start: str | dt.date, end: str | dt.date, history_days: float, future_days: float) -> None:
    check_date(start, "start")
    check_date(end, "end")
    check_number(history_days, "history_days", low=0, high=36_500, unit="days")
    check_number(future_days, "future_days", low=0, high=36_500, unit="days")
    check_hazards(truth.breaks, truth.hazards)
    check_number(truth.frailty_variance, "frailty_variance", low=0)
    check_levels(truth.countries, "countries")
    check_number(truth.season_amplitude, "season_amplitude")
    check_number(truth.season_peak, "season_peak", low=1, high=12, unit="month")
    check_number(truth.closure_hazard, "closure_hazard", low=0, unit="closures a day")
    check_do(truth.do)
    unknown = sorted(set(truth.experience.late_country) - set(truth.countries))
    if unknown:
        raise ArgumentError(
            f"late_country names {unknown[0]!r}, which is no country of this shop.",
            hint=f"countries are: {', '.join(truth.countries)}.",
        )


@dataclass(frozen=True, eq=False)
class _Shop:
    """The truth in the form the rounds need: times in microseconds, levels as positions."""

    truth: ShopTruth
    curve: Curve
    start: int
    end: int
    first: int
    stop: int
    months: IntArray
    late_season: FloatArray

    @classmethod
    def of(
        cls, truth: ShopTruth, window: ObservationWindow, timezone: str, history_days: float, future_days: float
    ) -> _Shop:
        start, end = window.resolve(timezone)
        first, stop = start - int(history_days * DAY_US), end + int(future_days * DAY_US)
        amplitude, peak = truth.season_amplitude, truth.season_peak
        months, factors = calendar(start, first, stop, timezone, amplitude, peak)
        curve = Curve(np.asarray(truth.breaks), np.asarray([truth.hazards]), months, factors)
        starts, numbers = month_starts(first, stop, timezone)
        season = truth.experience.late_season * season_cosine(numbers, peak)
        return cls(truth, curve, start, end, first, stop, starts, season)

    def simulate(self, n: int, offset: int, rng: np.random.Generator) -> tuple[Columns, Columns]:
        """Customers ``offset … offset + n`` and all their orders, order number by order number."""
        customers = self._customers(n, rng)
        opened, rows = customers["first_order"], np.arange(n)
        previous = np.zeros((3, n), np.int8)
        rounds: list[Columns] = []
        while rows.size:
            order = self._order(customers, rows, opened, previous, rng)
            order |= {"customer": rows + offset, "number": np.full(len(rows), len(rounds) + 1, np.int32)}
            rounds.append(order)
            again = order["event"] == 1
            rows, opened, previous = rows[again], (opened + order["duration"])[again], _experienced(order)[:, again]
        orders = join(rounds)
        by_customer = np.argsort(orders["customer"], kind="stable")
        return customers, {name: column[by_customer] for name, column in orders.items()}

    def _customers(self, n: int, rng: np.random.Generator) -> Columns:
        theta, hidden = self.truth.frailty_variance, self.truth.hidden
        return {
            "first_order": rng.integers(self.first, self.end, n),
            "frailty": rng.gamma(1 / theta, theta, n) if theta > 0 else np.ones(n),
            "country": rng.integers(0, len(self.truth.countries), n).astype(np.int16),
            "hidden": rng.random(n) < hidden.share if hidden else np.zeros(n, bool),
        }

    def _order(
        self,
        customers: Columns,
        rows: IntArray,
        opened: IntArray,
        previous: np.ndarray[Any, np.dtype[np.int8]],
        rng: np.random.Generator,
    ) -> Columns:
        """One order of each customer in ``rows``, what follows it, and the gap it opens."""
        truth, n, hidden = self.truth, len(rows), self.truth.hidden or HiddenCause(late=0, wait=0, effect=0)
        country, has = customers["country"][rows], customers["hidden"][rows]
        category = rng.integers(0, len(truth.effects.category), n).astype(np.int8)
        value = truth.effects.high_value_above * np.exp(_REVENUE_SPREAD * rng.standard_normal(n))
        revenue = np.maximum(np.round(value, 2), 0.01)
        by_country = np.array([truth.experience.late_country.get(name, 0.0) for name in truth.countries])
        season = self.late_season[np.searchsorted(self.months, opened, side="right") - 1]
        outcome = draw_outcome(
            truth.experience,
            truth.do,
            late_logit=by_country[country] + season + hidden.late * has,
            wait_shift=hidden.wait * has,
            rng=rng,
        )
        log_rate = np.array(list(truth.countries.values()))[country] + hidden.effect * has
        log_rate += truth.effects.at_opening(
            category=category, revenue=revenue, delivery=previous[0], wait=previous[1], rating=previous[2]
        )
        order: Columns = {
            "opened": opened,
            "category": category,
            "revenue": revenue,
            "previous_delivery": previous[0],
            "previous_wait": previous[1],
            "previous_rating": previous[2],
            "rate": np.exp(log_rate),
        }
        order |= {name: getattr(outcome, name) for name in outcome.__dataclass_fields__}
        spells = Spells((opened - self.start) / DAY_US, order["rate"][None], *truth.effects.within_gap(outcome))
        return order | self._gap(spells, opened, customers["frailty"][rows], rng)

    def _gap(self, spells: Spells, opened: IntArray, frailty: FloatArray, rng: np.random.Generator) -> Columns:
        n, closure = len(opened), self.truth.closure_hazard
        limit = (self.stop - opened) / DAY_US
        gap = wait(self.curve, spells, limit, target=rng.standard_exponential(n), frailty=frailty, floor=closure)
        duration = np.maximum(np.rint(gap.time * DAY_US).astype(np.int64), 1)
        happened = gap.happened & (duration < self.stop - opened)
        closed = rng.random(n) * (gap.hazard + closure) < closure
        event = np.where(happened, np.where(closed, 2, 1), 0).astype(np.int8)
        return {"duration": np.where(happened, duration, self.stop - opened), "event": event, "area": gap.area}


def _experienced(order: Columns) -> np.ndarray[Any, np.dtype[np.int8]]:
    """What is known of this order when the next one opens: positions of the three ``previous`` levels."""
    arrived = order["delivered"] < order["duration"]
    answered = order["answered"] < order["duration"]
    reviewed = order["reviewed"] < order["duration"]
    delivery = np.where(arrived, 1 + order["late"], 0)
    waited = np.where(answered, 1 + wait_band(order["wait_hours"]), 0)
    return np.stack([delivery, waited, np.where(reviewed, order["rating"], 0)]).astype(np.int8)
