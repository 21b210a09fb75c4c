"""How simulated customers live: times to the event at a hazard, and one spell after another."""

import itertools
from dataclasses import dataclass

import numpy as np
from scipy import stats

from tests.models.hierarchical.stretches import Stretch, exact

CENTRE = 20.0
"""Centring time of baselines in continuous time, in days."""


@dataclass
class Waiting:
    """Days until the event at a hazard that is constant in each period; endless if it lies beyond the last break."""

    rates: np.ndarray
    breaks: tuple

    def __call__(self, hazard):
        """Invert the cumulative hazard."""
        for rate, (low, high) in zip(self.rates, itertools.pairwise(self.breaks), strict=True):
            if hazard < rate * (high - low):
                return low + hazard / rate
            hazard -= rate * (high - low)
        return np.inf

    def hazard(self, days):
        """Cumulative hazard."""
        return np.sum(self.rates * np.diff(np.minimum(self.breaks, days)))


@dataclass
class Ageing:
    """Days until the event at a hazard of SciPy's distribution, times a ratio."""

    baseline: str
    ratio: float
    named: dict
    of_country: float

    def __call__(self, hazard):
        return law(self.baseline, self.named, self.of_country).isf(np.exp(-hazard / self.ratio))

    def hazard(self, days):
        """Cumulative hazard."""
        return -self.ratio * law(self.baseline, self.named, self.of_country).logsf(days)


def law(baseline, named, of_country=0.0):
    """Distribution of the time to the event at average effects."""
    if baseline == "weibull":
        return stats.weibull_min(np.exp(named["log_shape"] + of_country), scale=CENTRE)
    return stats.lognorm(np.exp(named["log_spread"] + of_country), scale=CENTRE * np.exp(named["location"]))


def lives(owner, codes, wait, frailty, share, rng):
    """Activities of one customer over some days from her first on; after each she may leave for good."""
    z, now, days, found = frailty(), 0.0, 60.0, []
    while True:
        gap = np.inf if rng.random() < share else wait(rng.exponential() / z)
        seen = exact(min(gap, days - now))
        found.append(Stretch(owner, len(found) + 1, codes, 0.0, seen, now + gap < days))
        now += gap
        if now >= days - 1e-3:
            return found


def contracts(owner, codes, wait, frailty, share, rng):
    """A contract that was there at some tenure, and is watched from then on; others were gone and are not in the data."""
    entry = 14.0 * (owner % 3 == 1)
    while True:
        end = np.inf if rng.random() < share else wait(rng.exponential() / frailty())
        if end > entry:
            stop = exact(min(end, entry + 42.0))
            return [Stretch(owner, 1, codes, entry, stop, end <= entry + 42.0)]
