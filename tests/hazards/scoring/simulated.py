"""Customers whose hazard is known, in continuous time or whole days, censored, seen late: truth to score against."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Customers:
    """Their true rates, and what was seen of them."""

    rate: Floats
    entry: Floats
    time: Floats
    event: npt.NDArray[np.bool_]
    days: bool

    def survival(self, at: object, since: object = 0.0) -> Floats:
        """True probability of no event by a time, given none before another."""
        return np.asarray(np.exp(-self.rate * np.maximum(np.asarray(at) - np.asarray(since), 0.0)))

    def before_exit(self) -> Floats:
        """The same, at the last moment before the exit."""
        return self.survival(np.maximum(self.time - self.days, self.entry), self.entry)

    def expected(self) -> Floats:
        """Compensator of the events: the hazard run, or the probabilities of the days."""
        length = self.time - self.entry
        return np.asarray(-np.expm1(-self.rate) * length if self.days else self.rate * length)


def customers(
    rng: np.random.Generator,
    n: int,
    *,
    days: bool = True,
    censored: bool = True,
    late: bool = False,
    base: float = 0.01,
) -> Customers:
    """Rates vary by a factor of e^0.8 in standard deviation; censoring is uniform between 10 and 60."""
    rate = base * np.exp(rng.normal(0, 0.8, n))
    time = rng.exponential(1 / rate)
    limit = rng.uniform(10, 60, n) if censored else np.full(n, np.inf)
    entry = rng.uniform(0, 25, n) * (rng.random(n) < 0.5) if late else np.zeros(n)
    if days:
        time, limit, entry = np.ceil(time), np.ceil(limit), np.floor(entry)
    kept = np.minimum(time, limit) > entry
    seen = np.minimum(time, limit)
    return Customers(rate[kept], entry[kept], seen[kept], (time <= limit)[kept], days)
