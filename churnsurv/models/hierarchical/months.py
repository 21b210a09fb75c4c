"""The level of each calendar month: learnt as far as the data go, and beyond them one path ahead in each draw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from churnsurv._typing import FloatArray, IntArray
from churnsurv.models.hierarchical.problem import Structure
from churnsurv.tables.parts import month_moments, month_number
from churnsurv.tables.window import DAY_US

_PATHS = 0x6D6F6E7468
"""Tells the random numbers of the paths from others that are made of the same seed."""
_MOST_AHEAD = 1200
"""Months after the last of the data up to which a path moves; later it stands still."""
_MOST_DAYS = 1e6


@dataclass(frozen=True, eq=False)
class MonthPieces:
    """Stretches of time cut where a month begins; arrays of shape (m,), in the order of stretch and time.

    Parameters
    ----------
    of : array of int
        Stretch of each piece.
    turn : array of int
        Number of each piece within its stretch, from 0.
    start, stop : array
        Days on the clock.
    month : array of int
        Months since the year 0 whose level counts.
    """

    of: IntArray
    turn: IntArray
    start: FloatArray
    stop: FloatArray
    month: IntArray


class Months:
    r"""Log level of every calendar month in each draw.

    Up to the last month of the data, levels are parameters. After it, the walk goes on as it has gone so far: draw *d*
    has one path

    .. math:: m_{d, M + k} = m_{d, M} + \sigma_d \sum_{i \le k} \epsilon_{d i}, \qquad \epsilon_{d i} \sim N(0, 1)

    which all customers share. Time before the first month counts to the first month. The numbers :math:`\epsilon` depend
    on the seed of the fit, the draw's position and the month ahead, and on nothing else: which draws, rows and horizons
    are asked about together does not matter.

    Parameters
    ----------
    structure : Structure
        With its months.
    timezone : str
        IANA name of the zone in which months begin.
    flat : mapping of str to array of shape (n_draws, ...)
        Draws by parameter, chains one after another.
    seed : int
        Of the fit.

    References
    ----------
    .. [1] Salmon, J. K. et al. (2011). Parallel random numbers: as easy as 1, 2, 3. *SC '11*. (Philox, a counter-based
       generator.)
    """

    def __init__(self, structure: Structure, timezone: str, flat: Mapping[str, FloatArray], seed: int) -> None:
        self.first, self.last = structure.months
        self.timezone, self.flat, self.seed = timezone, flat, seed
        self._normals: list[FloatArray] = []

    def ratios(self, month: IntArray, draws: IntArray) -> FloatArray:
        """Hazard ratio of each month against the level of the walk's average.

        Parameters
        ----------
        month : array of shape (n,)
            Months since the year 0, from the first of the data on.
        draws : array of int
            Positions of draws.

        Returns
        -------
        array of shape (n_draws, n), or (n_draws, 1) where all of them are one month
        """
        if not len(month):
            return np.ones((len(draws), 0))
        low, high = int(month.min()), int(month.max())
        level = self._walk(high, draws)[:, low - self.first : high + 1 - self.first]
        if "season" in self.flat:
            level = level + self.flat["season"][draws][:, np.arange(low, high + 1) % 12]
        ratio = np.exp(level)
        return ratio if low == high else np.ascontiguousarray(ratio[:, month - low])

    def average(self, draws: IntArray) -> FloatArray:
        """Hazard ratio of the data's average month, on the log scale, shape (n_draws, 1, 1)."""
        total = np.zeros(len(draws))
        if "season" in self.flat:
            count = np.bincount(np.arange(self.first, self.last + 1) % 12, minlength=12)
            for k in range(12):
                total += self.flat["season"][draws, k] * (count[k] / count.sum())
        return np.exp(total)[:, None, None]

    def _walk(self, until: int, draws: IntArray) -> FloatArray:
        """Log levels from the first month to ``until`` or the last of the data, shape (n_draws, n_months)."""
        if "month" not in self.flat:  # one month has no drift
            return np.zeros((len(draws), max(until, self.last) - self.first + 1))
        known, ahead = self.flat["month"][draws], until - self.last
        if ahead <= 0:
            return known
        steps = self.flat["month_sd"][draws, None] * self._steps(ahead)[draws]
        return np.concatenate([known, known[:, -1:] + np.cumsum(steps, axis=1)], axis=1)

    def _steps(self, ahead: int) -> FloatArray:
        """Standard normal step of each draw and month ahead, shape (all draws, ahead)."""
        n = len(self.flat["month_sd"])
        key = np.random.SeedSequence((self.seed, _PATHS)).generate_state(2, np.uint64)
        for k in range(len(self._normals), ahead):
            raw = np.random.Philox(key=key, counter=k << 64).random_raw(n)
            self._normals.append(ndtri(((raw >> np.uint64(11)) + 0.5) * 2.0**-53))
        return np.stack(self._normals[:ahead], axis=1)

    def pieces(
        self, start: FloatArray, stop: FloatArray, origin: IntArray, since: FloatArray | None = None
    ) -> MonthPieces:
        """Cut stretches at the local months' beginnings.

        Parameters
        ----------
        start, stop : array of shape (n,)
            Days on the clock.
        origin : array of shape (n,)
            Zero of each clock, microseconds UTC.
        since : array of shape (n,), optional
            Days on the clock before which the level is that of the month at this time: a spell that entered late had
            survived until then, and cells count that time with the month of its entry.
        """
        begin, end = (_moments(origin, days) for days in (start, stop))
        last = self.last if not len(end) else max(self.last, month_number(int(end.max()), self.timezone))
        edges = month_moments(self.first, min(last, self.last + _MOST_AHEAD), self.timezone)
        low = np.maximum(np.searchsorted(edges, begin, side="right") - 1, 0)
        high = np.maximum(np.searchsorted(edges, end, side="left") - 1, low)
        count = high - low + 1
        of = np.repeat(np.arange(len(count)), count)
        turn = np.arange(len(of)) - np.repeat(np.cumsum(count) - count, count)
        place = low[of] + turn
        begins = (edges[place] - origin[of]) / DAY_US
        ends = (edges[np.minimum(place + 1, len(edges) - 1)] - origin[of]) / DAY_US
        if since is not None:
            entry = np.searchsorted(edges, _moments(origin, since), side="right") - 1
            place = np.maximum(place, entry[of])
        return MonthPieces(
            of,
            turn,
            np.where(turn == 0, start[of], begins),
            np.where(turn == count[of] - 1, stop[of], ends),
            place + self.first,
        )


def _moments(origin: IntArray, days: FloatArray) -> IntArray:
    """Microseconds UTC of times on clocks."""
    return origin + np.round(np.minimum(days, _MOST_DAYS) * DAY_US).astype(np.int64)
