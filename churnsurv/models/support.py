"""How many training spells stand behind an answer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from churnsurv._typing import FloatArray, IntArray

_GRID, _ENDS = 512, 64


@dataclass(frozen=True, eq=False)
class Support:
    """How many training spells were at risk, on a grid of times that is dense at both ends.

    Parameters
    ----------
    times : array of shape (n_times,)
        Days on the clock, increasing.
    n_at_risk : array of shape (n_times,)
        Spells at risk just before each time; with whole weights, what they stand for.
    """

    times: FloatArray
    n_at_risk: IntArray

    @classmethod
    def of(cls, start: FloatArray, stop: FloatArray, weight: FloatArray | None = None) -> Support:
        """Count on training rows.

        Parameters
        ----------
        start, stop : array of shape (n,)
            Days on the clock, ``(start, stop]``.
        weight : array of shape (n,), optional
            How many spells each row stands for.

        Examples
        --------
        >>> Support.of(np.array([0.0, 2.0]), np.array([5.0, 7.0])).at(np.array([1.0, 5.0, 7.0, 8.0])).tolist()
        [1, 2, 1, 0]
        """
        late, stops = np.sort(start[start > 0]), np.sort(stop)
        shares = np.linspace(0.0, 1.0, _GRID)
        parts = [stops[-_ENDS:], np.quantile(stops, shares, method="lower")]
        parts += [late[:_ENDS], np.quantile(late, shares, method="lower")] if len(late) else []
        times = np.unique(np.concatenate(parts))
        each = np.ones(len(stop)) if weight is None else weight
        count = _count_below(start, each, times) - _count_below(stop, each, times)
        return cls(times, np.round(count).astype(np.int64))

    def at(self, times: FloatArray) -> IntArray:
        """Spells at risk at each time; between two times of the grid the smaller number, 0 beyond the last."""
        after = np.searchsorted(self.times, np.asarray(times, float), side="left")
        known = np.append(self.n_at_risk, 0)
        here = np.append(self.times, np.inf)[after] == times
        return np.where(here, known[after], np.minimum(known[after], known[np.maximum(after - 1, 0)])).astype(np.int64)


def _count_below(values: FloatArray, weight: FloatArray, times: FloatArray) -> FloatArray:
    order = np.argsort(values, kind="stable")
    total = np.concatenate([[0.0], np.cumsum(weight[order])])
    return np.asarray(total[np.searchsorted(values[order], times, side="left")])
