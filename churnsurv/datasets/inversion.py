r"""Exact waiting times for a hazard that is constant in pieces.

For spell *i* that opened at calendar time :math:`u_i`, at *t* days on its clock,

.. math:: A_i(t) = \int_0^t \sum_k r_{ik}\, h_k(s)\, c(u_i + s)\, f_i(s)\, ds
   \qquad \Lambda_i(t) = Z_i A_i(t) + \lambda t   \tag{1}

with baseline hazards :math:`h_k`, a calendar factor *c* constant within months, the factor
:math:`f_i` of facts that have arrived, the frailty :math:`Z_i` and a constant floor
:math:`\lambda`. The waiting time solves :math:`\Lambda_i(T) = E` with *E* standard exponential.
:math:`\Lambda` is linear between edges, so the solution is exact: no time step is involved.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from churnsurv._typing import BoolArray, FloatArray, IntArray
from churnsurv.tables.window import DAY_US, moment_of, read_zone, resolve_moment


@dataclass(frozen=True, eq=False)
class Curve:
    """What all spells share.

    Parameters
    ----------
    breaks : array of shape (n_periods,)
        Days on the clock at which periods start, the first 0; the last period has no end.
    hazards : array of shape (n_causes, n_periods)
        Baseline events a day.
    months : array of shape (n_months,)
        Starts of months on the calendar axis, in days since the window's start.
    factors : array of shape (n_months,)
        Calendar factor of each month; the last month has no end.
    """

    breaks: FloatArray
    hazards: FloatArray
    months: FloatArray
    factors: FloatArray


@dataclass(frozen=True, eq=False)
class Spells:
    """What differs from spell to spell.

    Parameters
    ----------
    opened : array of shape (n,)
        Opening on the calendar axis, days since the window's start.
    rates : array of shape (n_causes, n)
        Factor of each cause's baseline hazard, known at the opening.
    fact_times : array of shape (n, n_facts)
        Days on the clock at which facts arrive, increasing along a row; infinite for never.
    fact_factors : array of shape (n, n_facts)
        Factor of the hazard from that fact to the next.
    """

    opened: FloatArray
    rates: FloatArray
    fact_times: FloatArray
    fact_factors: FloatArray

    def take(self, rows: IntArray | BoolArray) -> Spells:
        """Some of the spells."""
        return Spells(self.opened[rows], self.rates[:, rows], self.fact_times[rows], self.fact_factors[rows])


class Waiting(NamedTuple):
    """Outcome of :func:`wait`, each of shape (n,).

    Attributes
    ----------
    time : days on the clock at which the event happened, or the limit.
    area : :math:`A_i(time)`, the cumulative hazard without frailty and floor.
    happened : whether the event came before the limit.
    hazard : :math:`Z_i dA_i/dt` at that moment; 0 where nothing happened.
    period : index of the baseline period at that moment.
    """

    time: FloatArray
    area: FloatArray
    happened: BoolArray
    hazard: FloatArray
    period: IntArray


def wait(
    curve: Curve, spells: Spells, limit: FloatArray, *, target: FloatArray, frailty: FloatArray, floor: float = 0.0
) -> Waiting:
    """Solve equation (1) for every spell at once, walking from edge to edge.

    Parameters
    ----------
    curve, spells : Curve, Spells
        The hazard.
    limit : array of shape (n,)
        Days on the clock at which to stop.
    target : array of shape (n,)
        Standard exponential draws; infinite to only evaluate :math:`A_i(limit)`.
    frailty : array of shape (n,)
        Factor of the area.
    floor : float
        Constant hazard that nothing multiplies, events a day.
    """
    n = len(limit)
    result = Waiting(limit.copy(), np.zeros(n), np.zeros(n, bool), np.zeros(n), np.zeros(n, np.int64))
    state = _State.at_opening(curve, spells, limit, target)
    ends = _Ends(np.append(curve.breaks[1:], np.inf), np.append(curve.months[1:], np.inf))
    while state.row.size:
        state = state.advance(curve, ends, spells, frailty, floor, result)
    return result


def area(curve: Curve, spells: Spells, until: FloatArray) -> FloatArray:
    """Cumulative hazard :math:`A_i(until)` without frailty and floor, shape (n,)."""
    nothing = np.full(len(until), np.inf)
    return wait(curve, spells, until, target=nothing, frailty=np.ones(len(until))).area


class _Ends(NamedTuple):
    breaks: FloatArray
    months: FloatArray


class _State(NamedTuple):
    row: IntArray
    opened: FloatArray
    limit: FloatArray
    time: FloatArray
    area: FloatArray
    left: FloatArray
    period: IntArray
    month: IntArray
    fact: IntArray

    @classmethod
    def at_opening(cls, curve: Curve, spells: Spells, limit: FloatArray, target: FloatArray) -> _State:
        row = np.flatnonzero(limit > 0)
        opened = spells.opened[row]
        month = np.maximum(np.searchsorted(curve.months, opened, side="right") - 1, 0)
        zero, none = np.zeros(len(row)), np.zeros(len(row), np.int64)
        return cls(row, opened, limit[row], zero, zero, target[row], none, month, none)

    def advance(
        self, curve: Curve, ends: _Ends, spells: Spells, frailty: FloatArray, floor: float, result: Waiting
    ) -> _State:
        """Spend one piece; what ends in it is written to the result, the rest is returned."""
        next_break, next_month = ends.breaks[self.period], ends.months[self.month] - self.opened
        next_fact, factor = self._facts(spells)
        stop = np.minimum(np.minimum(next_break, next_month), np.minimum(next_fact, self.limit))
        base = sum(
            rate[self.row] * hazard[self.period] for rate, hazard in zip(spells.rates, curve.hazards, strict=True)
        )
        slope = base * curve.factors[self.month] * factor
        own = slope * frailty[self.row]
        hazard = own + floor
        step = stop - self.time
        spent = hazard * step
        happened = spent >= self.left
        ended = happened | (stop >= self.limit)
        if ended.any():
            self._write(ended, happened, stop, slope, own, hazard, result)
        on = ~ended
        moved = (
            self.row, self.opened, self.limit, stop, self.area + slope * step, self.left - spent,
            self.period + (next_break <= stop), self.month + (next_month <= stop), self.fact + (next_fact <= stop),
        )  # fmt: skip
        return _State(*(column[on] for column in moved))

    def _facts(self, spells: Spells) -> tuple[FloatArray, FloatArray]:
        n_facts = spells.fact_times.shape[1]
        if n_facts == 0:
            return np.full(len(self.row), np.inf), np.ones(len(self.row))
        ahead = spells.fact_times[self.row, np.minimum(self.fact, n_facts - 1)]
        behind = spells.fact_factors[self.row, np.maximum(self.fact - 1, 0)]
        return np.where(self.fact < n_facts, ahead, np.inf), np.where(self.fact > 0, behind, 1.0)

    def _write(
        self,
        ended: BoolArray,
        happened: BoolArray,
        stop: FloatArray,
        slope: FloatArray,
        own: FloatArray,
        hazard: FloatArray,
        result: Waiting,
    ) -> None:
        row, came = self.row[ended], happened[ended]
        start, end = self.time[ended], stop[ended]
        inside = np.divide(self.left[ended], hazard[ended], out=end - start, where=came & (hazard[ended] > 0))
        # start + (end − start) can miss the end by a rounding.
        result.time[row] = np.where(came, np.minimum(start + inside, end), end)
        result.area[row] = self.area[ended] + slope[ended] * inside
        result.happened[row] = came
        result.hazard[row] = np.where(came, own[ended], 0.0)
        result.period[row] = self.period[ended]


def no_facts(n: int) -> tuple[FloatArray, FloatArray]:
    """Fact times and factors of spells in which nothing arrives."""
    return np.zeros((n, 0)), np.zeros((n, 0))


def season_cosine(month: IntArray | int, peak: int) -> FloatArray:
    """Cosine of the season: 1 in the peak month, −1 half a year from it.

    Parameters
    ----------
    month : array of int
        Calendar months 1…12.
    peak : int
        Peak month 1…12.

    Examples
    --------
    >>> season_cosine(np.array([11, 2, 5]), 11).round(6) + 0.0
    array([ 1.,  0., -1.])
    """
    return np.cos(2 * np.pi * (np.asarray(month) - peak) / 12)


def month_starts(first: int, last: int, timezone: str) -> tuple[IntArray, IntArray]:
    """Local month starts from the month of one moment to that of another.

    Parameters
    ----------
    first, last : int
        Microseconds since 1970-01-01 UTC.
    timezone : str
        IANA name.

    Returns
    -------
    starts : array of int
        Microseconds UTC at which months start, the first at or before ``first``.
    months : array of int
        Calendar months 1…12.
    """
    zone = read_zone(timezone)
    low, high = (moment_of(time).astimezone(zone) for time in (first, last))
    count = np.arange(low.year * 12 + low.month - 1, high.year * 12 + high.month)
    dates = [dt.date(int(number // 12), int(number % 12) + 1, 1) for number in count]
    starts = np.array([resolve_moment(date, timezone) for date in dates], np.int64)
    return starts, (count % 12 + 1).astype(np.int64)


def calendar(
    start: int, first: int, last: int, timezone: str, amplitude: float, peak: int
) -> tuple[FloatArray, FloatArray]:
    """Month starts in days since ``start``, and the factor of each month on the hazard."""
    starts, months = month_starts(first, last, timezone)
    return (starts - start) / DAY_US, np.exp(amplitude * season_cosine(months, peak))
