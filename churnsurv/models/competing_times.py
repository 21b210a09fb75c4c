"""Times at which competing fits are asked for their survival: parts of stretches, or units that events are known to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from churnsurv._typing import FloatArray, IntArray
from churnsurv.hazards.incidence import incidence_in_units, incidence_of_causes
from churnsurv.models.base import SurvivalFit

_FEWEST_PARTS, _MOST_PARTS, _PART_DAYS = 3, 64, 15.0
"""Parts of each stretch between two times asked about, and their length, where hazards change within periods."""

_FEWEST_POINTS, _MOST_POINTS, _POINT_DAYS = 6, 64, 10.0
"""Parts of each period, and their length on the average, where hazards fall because customers differ."""

_ON_AN_EDGE = 1e-6
"""Share of a unit by which a time may miss an edge through rounding alone."""


def common_unit(fits: Iterable[SurvivalFit]) -> float | None:
    """Days that all fits were told their events are rounded by; ``None`` where one differs, or was told nothing.

    Parameters
    ----------
    fits : iterable of SurvivalFit
        One or more.
    """
    found = {getattr(fit.model, "rounded", None) for fit in fits}
    return found.pop() if len(found) == 1 else None


@dataclass(frozen=True, eq=False)
class PartTimes:
    """Times to ask about for n rows, where leavers are shared in short stretches.

    Parameters
    ----------
    start : array of shape (n,)
        Days reached on the clock.
    times : array of shape (n, m)
        Times from ``start`` on in order. What a row does not need lies at its start, where nothing happens: its numbers
        do not depend on the rows beside it.
    place : array of shape (n, k)
        Where the times asked about stand among them.
    """

    start: FloatArray
    times: FloatArray
    place: IntArray

    @classmethod
    def of(cls, reached: FloatArray, until: FloatArray, parts: IntArray, breaks: FloatArray) -> Self:
        """Breaks, and so many parts of each stretch.

        Parameters
        ----------
        reached : array of shape (n,)
            Days on the clock.
        until : array of shape (n, k)
            The same, none before ``reached``.
        parts : array of shape (n, k)
            Parts of each stretch.
        breaks : array
            Times at which hazards jump, or between which they may be taken to share alike.
        """
        start, last = reached[:, None], until.max(axis=1, keepdims=True)
        inside = (breaks > start) & (breaks < last)
        used = inside.any(axis=0)
        columns = [start, until, np.where(inside, breaks, start)[:, used], _points(start, until, parts)]
        times = np.concatenate(columns, axis=1)
        order = np.argsort(times, axis=1, kind="stable")
        rank = np.empty_like(order)
        np.put_along_axis(rank, order, np.arange(times.shape[1])[None], axis=1)
        return cls(reached, np.take_along_axis(times, order, axis=1), rank[:, 1 : 1 + until.shape[1]])

    def incidence(self, survival: FloatArray) -> FloatArray:
        """Probability of each cause up to each time asked about, shape (n_causes, n_draws, n, k).

        Parameters
        ----------
        survival : array of shape (n_causes, n_draws, n, m)
            What each cause alone leaves at :attr:`times`, of those who are there at :attr:`start`.
        """
        return np.take_along_axis(incidence_of_causes(survival), self.place[None, None], axis=-1)


def n_parts(reached: FloatArray, until: FloatArray) -> IntArray:
    """Parts of each stretch from one time asked about to the next, shape (n, k).

    Parameters
    ----------
    reached : array of shape (n,)
        Days on the clock.
    until : array of shape (n, k)
        The same.
    """
    length = _stretches(reached[:, None], until)[1]
    return np.clip(np.ceil(length / _PART_DAYS), _FEWEST_PARTS, _MOST_PARTS).astype(np.int64)


def points_within(breaks: Sequence[float]) -> FloatArray:
    r"""Breaks, and points between them that lie closer the nearer a period's beginning is.

    Where customers differ, the hazard of those still there falls from :math:`h` to :math:`h / (1 + \theta h u)` within u
    days: fast at first, and slowly where much hazard lies behind them.

    Parameters
    ----------
    breaks : sequence of float
        Increasing days on the clock.

    Examples
    --------
    >>> points_within((0.0, 36.0, 72.0)).round(1).tolist()
    [0.0, 1.0, 4.0, 9.0, 16.0, 25.0, 36.0, 37.0, 40.0, 45.0, 52.0, 61.0, 72.0]
    """
    edges = np.asarray(breaks, np.float64)
    parts = np.clip(np.ceil(np.diff(edges) / _POINT_DAYS), _FEWEST_POINTS, _MOST_POINTS).astype(np.int64)
    found = [
        low + (high - low) * (np.arange(n) / n) ** 2 for low, high, n in zip(edges[:-1], edges[1:], parts, strict=True)
    ]
    return np.concatenate([*found, edges[-1:]])


def _stretches(start: FloatArray, until: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Stretches from one time asked about to the next: where each begins, and its length."""
    stops = np.sort(until, axis=1)
    begins = np.concatenate([start, stops[:, :-1]], axis=1)
    return begins, stops - begins


def _points(start: FloatArray, until: FloatArray, parts: IntArray) -> FloatArray:
    """Points between the parts of every stretch, shape (n, k × most parts), the start where there are fewer."""
    begins, length = _stretches(start, until)
    step = np.arange(1, max(int(parts.max(initial=0)), 1))
    share = step / np.maximum(parts, 1)[:, :, None]
    points = np.where(step < parts[:, :, None], begins[:, :, None] + length[:, :, None] * share, start[:, :, None])
    return points.reshape(len(points), -1)


@dataclass(frozen=True, eq=False)
class UnitTimes:
    """Times to ask about for n rows; what each cause leaves there becomes incidences.

    Parameters
    ----------
    start : array of shape (n,)
        Begin of the unit in which each row stands, on the clock: survivals are asked given that nothing has happened by
        then.
    times : array of shape (n, n_edges + 1 + k)
        Edges of the units from ``start`` on, none beyond the last time asked about; the time reached; the times asked
        about.
    unit : array of shape (n, k)
        Position of the last edge at or before each time asked about.
    """

    start: FloatArray
    times: FloatArray
    unit: IntArray

    @classmethod
    def of(cls, reached: FloatArray, until: FloatArray, days: float) -> Self:
        """Units of so many days, counted from zero on the clock.

        Parameters
        ----------
        reached : array of shape (n,)
            Days on the clock.
        until : array of shape (n, k)
            The same, none before ``reached``.
        days : float
            Length of a unit.
        """
        first = np.floor(reached / days + _ON_AN_EDGE)
        start = np.minimum(first * days, reached)
        count = int(units_ahead(reached, until, days).max(initial=0))
        edges = (first[:, None] + np.arange(1, count + 1)) * days
        unit = (until[:, :, None] >= edges[:, None, :]).sum(axis=-1)
        edges = np.minimum(edges, until.max(axis=1, keepdims=True, initial=0.0))
        return cls(start, np.concatenate([start[:, None], edges, reached[:, None], until], axis=1), unit)

    def incidence(self, survival: FloatArray) -> FloatArray:
        """Probability of each cause up to each time asked about, shape (n_causes, n_draws, n, k).

        Parameters
        ----------
        survival : array of shape (n_causes, n_draws, n, n_edges + 1 + k)
            What each cause alone leaves at :attr:`times`, of those who are there at :attr:`start`.
        """
        k = self.unit.shape[1]
        here = survival.shape[-1] - k - 1
        edges, reached, until = np.split(survival, [here, here + 1], axis=-1)
        return incidence_in_units(edges, reached, until, self.unit)


def units_ahead(reached: FloatArray, until: FloatArray, days: float) -> IntArray:
    """Edges between the time reached and the last time asked about, shape (n,); one too many at times.

    Parameters
    ----------
    reached : array of shape (n,)
        Days on the clock.
    until : array of shape (n, k)
        The same.
    days : float
        Length of a unit.
    """
    last = np.floor(until.max(axis=1, initial=0.0) / days + _ON_AN_EDGE)
    first = np.floor(reached / days + _ON_AN_EDGE)
    return np.asarray(np.maximum(last - first, 0), dtype=np.int64)
