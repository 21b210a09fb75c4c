"""A subscription business whose truth is known: sign-ups, two ways to leave, and customers who come back."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from churnsurv._typing import FloatArray, IntArray
from churnsurv.datasets.arguments import check_count, check_date, check_hazards, check_levels, check_number, make_rng
from churnsurv.datasets.inversion import Curve, Spells, calendar, no_facts, wait
from churnsurv.datasets.rows import Columns, join
from churnsurv.datasets.subscription_simulation import SubscriptionSimulation, SubscriptionTruth
from churnsurv.errors import ArgumentError
from churnsurv.tables.window import DAY_US, ObservationWindow

_CHUNK = 1 << 16
_HAZARDS = {"cancelled": (0.0040, 0.0025, 0.0015, 0.0008), "payment_failed": (0.0008, 0.0006, 0.0006, 0.0006)}
_COUNTRIES = {"France": 0.1, "Germany": -0.1, "Spain": 0.2, "United Kingdom": 0.0}
_PLANS = {"annual": {"cancelled": -0.8, "payment_failed": -0.3}, "monthly": {"cancelled": 0.0, "payment_failed": 0.0}}


def simulate_subscription(
    n_customers: int,
    *,
    rng: int | np.random.Generator,
    start: str | dt.date = "2023-01-01",
    end: str | dt.date = "2025-01-01",
    timezone: str = "UTC",
    history_days: float = 1095.0,
    future_days: float = 365.0,
    breaks: Sequence[float] = (0, 60, 180, 365),
    hazards: Mapping[str, Sequence[float]] | None = None,
    frailty_variance: float = 0.5,
    countries: Mapping[str, float] | None = None,
    plans: Mapping[str, Mapping[str, float]] | None = None,
    season_amplitude: float = 0.0,
    season_peak: int = 1,
    return_hazard: float = 0.0005,
) -> SubscriptionSimulation:
    r"""Simulate a contractual log: sign-up, then a cancellation or a failed payment, perhaps a new sign-up.

    Customer *i* signs up for the first time at a uniform moment. At tenure *t* of a spell, at calendar
    time *u*, the hazard of leaving by cause *c* is

    .. math:: h_{ic}(t) = Z_i\, h_{0c}(t) \exp\{\beta_{country(i)} + \beta_{plan, c}
              + a \cos(2\pi (month(u) - peak)/12)\}

    with a frailty :math:`Z_i` of mean 1 shared by the causes and by all spells of a customer. Whoever
    has left signs up again at a constant hazard, with tenure starting anew. Waiting times are drawn
    by inverting the cumulative hazard, exactly.

    Parameters
    ----------
    n_customers : int
        Customers, > 0.
    rng : int or numpy.random.Generator
        Seed. The same seed and arguments give the same business.
    start, end : str or date
        Observation window; midnights in ``timezone``.
    timezone : str
        IANA zone in which months begin.
    history_days : float
        First sign-ups are spread over ``[start − history_days, end)``, >= 0. Whoever has left before
        ``start`` is not in the log; whoever is still there is, with the date of the sign-up: a sample of
        survivors, whose spells enter late.
    future_days : float
        Days simulated after ``end``, >= 0.
    breaks : sequence of float
        Days of tenure at which the baseline hazards change, increasing from 0.
    hazards : mapping of str to sequence of float, optional
        For each cause its baseline events a day from each break to the next (the last for ever), >= 0.
        The names are the kinds of the log; by default ``cancelled`` and ``payment_failed``.
    frailty_variance : float
        Variance of the frailty, >= 0; 0 makes all customers alike.
    countries : mapping of str to float, optional
        Countries, equally likely, and their effect on every log hazard.
    plans : mapping of str to mapping of str to float, optional
        Plans, equally likely and chosen anew at each sign-up, and their effect on the log hazard of each
        cause.
    season_amplitude : float
        Effect of the peak month on every log hazard; constant within each calendar month.
    season_peak : int
        Peak month 1…12.
    return_hazard : float
        New sign-ups a day of those who left, >= 0.

    Returns
    -------
    SubscriptionSimulation
        ``.log``, ``.window``, ``.truth``, ``.customers``, ``.spells``, ``.future``, true survival and
        incidence.

    Raises
    ------
    ArgumentError, BreaksError, TimeZoneError, WindowError
        If an argument has no meaning.

    Examples
    --------
    >>> business = simulate_subscription(300, rng=1)
    >>> business.truth.causes
    ('cancelled', 'payment_failed')
    >>> business.true_incidence(90.0).shape[1]
    2
    """
    check_count(n_customers, "n_customers")
    hazards = _HAZARDS if hazards is None else hazards
    truth = SubscriptionTruth(
        breaks=tuple(map(float, breaks)),
        hazards={cause: tuple(map(float, values)) for cause, values in hazards.items()},
        frailty_variance=frailty_variance,
        countries=dict(_COUNTRIES if countries is None else countries),
        plans={plan: dict(effects) for plan, effects in (_plans(hazards) if plans is None else plans).items()},
        season_amplitude=season_amplitude,
        season_peak=season_peak,
        return_hazard=return_hazard,
    )
    _check(truth, start, end, history_days, future_days)
    window = ObservationWindow(start, end)
    business = _Business.of(truth, window, timezone, history_days, future_days)
    sizes = [min(_CHUNK, n_customers - low) for low in range(0, n_customers, _CHUNK)]
    streams = make_rng(rng).spawn(len(sizes))
    parts = [
        business.simulate(size, k * _CHUNK, stream) for k, (size, stream) in enumerate(zip(sizes, streams, strict=True))
    ]
    people, contracts = (join([part[side] for part in parts]) for side in (0, 1))
    return SubscriptionSimulation(window, timezone, truth, float(future_days), business.curve, people, contracts)


def _plans(hazards: Mapping[str, Sequence[float]]) -> dict[str, dict[str, float]]:
    return {plan: {cause: effects.get(cause, 0.0) for cause in hazards} for plan, effects in _PLANS.items()}


def _check(
    truth: SubscriptionTruth, start: str | dt.date, end: str | dt.date, history_days: float, future_days: float
) -> None:
    check_date(start, "start")
    check_date(end, "end")
    check_number(history_days, "history_days", low=0, high=36_500, unit="days")
    check_number(future_days, "future_days", low=0, high=36_500, unit="days")
    if not truth.hazards or "signup" in truth.hazards:
        raise ArgumentError(
            f"hazards={truth.hazards!r} must name at least one cause, none of them 'signup'.",
            hint='write hazards={"cancelled": (0.004, 0.002)} with two breaks.',
        )
    for cause, values in truth.hazards.items():
        check_hazards(truth.breaks, values, f"hazards[{cause!r}]")
    check_number(truth.frailty_variance, "frailty_variance", low=0)
    check_levels(truth.countries, "countries")
    check_number(truth.season_amplitude, "season_amplitude")
    check_number(truth.season_peak, "season_peak", low=1, high=12, unit="month")
    check_number(truth.return_hazard, "return_hazard", low=0, unit="sign-ups a day")
    for plan, effects in truth.plans.items():
        check_levels(effects, f"plans[{plan!r}]")
    if not truth.plans or any(set(effects) != set(truth.hazards) for effects in truth.plans.values()):
        raise ArgumentError(
            f"plans={truth.plans!r} must give each plan an effect on each cause.",
            hint=f"causes are: {', '.join(truth.hazards)}.",
        )


@dataclass(frozen=True, eq=False)
class _Business:
    """The truth in the form the rounds need: times in microseconds, levels as positions."""

    truth: SubscriptionTruth
    curve: Curve
    start: int
    end: int
    first: int
    stop: int

    @classmethod
    def of(
        cls,
        truth: SubscriptionTruth,
        window: ObservationWindow,
        timezone: str,
        history_days: float,
        future_days: float,
    ) -> _Business:
        start, end = window.resolve(timezone)
        first, stop = start - int(history_days * DAY_US), end + int(future_days * DAY_US)
        months, factors = calendar(start, first, stop, timezone, truth.season_amplitude, truth.season_peak)
        curve = Curve(np.asarray(truth.breaks), np.array(list(truth.hazards.values())), months, factors)
        return cls(truth, curve, start, end, first, stop)

    def simulate(self, n: int, offset: int, rng: np.random.Generator) -> tuple[Columns, Columns]:
        """Customers ``offset … offset + n`` and all their contracts, one round for each sign-up."""
        theta = self.truth.frailty_variance
        people: Columns = {
            "first_signup": rng.integers(self.first, self.end, n),
            "frailty": rng.gamma(1 / theta, theta, n) if theta > 0 else np.ones(n),
            "country": rng.integers(0, len(self.truth.countries), n).astype(np.int16),
        }
        opened, rows = people["first_signup"], np.arange(n)
        rounds: list[Columns] = []
        while rows.size:
            contract = self._contract(people, rows, opened, rng)
            contract |= {"customer": rows + offset, "number": np.full(len(rows), len(rounds) + 1, np.int32)}
            rounds.append(contract)
            left = np.flatnonzero(contract["event"] > 0)
            opened = (opened + contract["duration"])[left] + self._pause(len(left), rng)
            again = opened < self.stop
            rows, opened = rows[left][again], opened[again]
        contracts = join(rounds)
        by_customer = np.argsort(contracts["customer"], kind="stable")
        return people, {name: column[by_customer] for name, column in contracts.items()}

    def _pause(self, n: int, rng: np.random.Generator) -> IntArray:
        """Microseconds until whoever left signs up again; long enough for never."""
        days = rng.standard_exponential(n) / max(self.truth.return_hazard, 1e-12)
        return np.maximum(np.rint(np.minimum(days, 1e5) * DAY_US), 1).astype(np.int64)

    def _contract(self, people: Columns, rows: IntArray, opened: IntArray, rng: np.random.Generator) -> Columns:
        """One contract of each customer in ``rows``."""
        truth, n, causes = self.truth, len(rows), list(self.truth.hazards)
        plan = rng.integers(0, len(truth.plans), n).astype(np.int8)
        by_country = np.array(list(truth.countries.values()))[people["country"][rows]]
        by_plan = np.array([[effects[cause] for effects in truth.plans.values()] for cause in causes])
        rates = np.exp(by_country + by_plan[:, plan])
        spells = Spells((opened - self.start) / DAY_US, rates, *no_facts(n))
        limit = (self.stop - opened) / DAY_US
        spell = wait(self.curve, spells, limit, target=rng.standard_exponential(n), frailty=people["frailty"][rows])
        duration = np.maximum(np.rint(spell.time * DAY_US).astype(np.int64), 1)
        happened = spell.happened & (duration < self.stop - opened)
        cause = _choose(rates * self.curve.hazards[:, spell.period], rng)
        return {
            "opened": opened,
            "duration": np.where(happened, duration, self.stop - opened),
            "event": np.where(happened, cause, 0).astype(np.int8),
            "area": spell.area,
            "plan": plan,
            **{f"rate_{name}": rate for name, rate in zip(causes, rates, strict=True)},
        }


def _choose(hazard: FloatArray, rng: np.random.Generator) -> IntArray:
    """Cause 1…K with probability in proportion to its hazard, shape (n,)."""
    shares = np.cumsum(hazard, axis=0)
    passed: IntArray = (rng.random(hazard.shape[1]) * shares[-1] >= shares[:-1]).sum(axis=0)
    return passed + 1
