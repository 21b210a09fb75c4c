"""What taking one customer away changes in the incidence, for all customers at once.

The factor of each time at which the customer was at risk goes from ``1 - d/Y`` to ``1 - d/(Y - 1)``. Logarithms of
the ratio of the two are added up along the times once; where a customer's time at risk begins and ends then says
how much of that sum is the customer's. Differences are formed before anything is multiplied by n, so that no digits
are lost among a million.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from churnsurv._typing import BoolArray, FloatArray, IntArray
from churnsurv.hazards.risk_sets import RiskSets, Spells, risk_sets
from churnsurv.hazards.scoring.outcomes import Outcomes


@dataclass(frozen=True, eq=False)
class Steps:
    """Distinct times with what happens there, and running sums along them; index 0 is before the first.

    ``ratio`` sums the logarithms by which a time's factor changes when one customer at risk is taken away,
    ``first`` to ``third`` the parts of the change of the incidence while that customer is at risk.
    """

    times: FloatArray
    at_risk: FloatArray
    events: FloatArray
    own: FloatArray
    survival: FloatArray
    incidence: FloatArray
    ratio: FloatArray
    first: FloatArray
    second: FloatArray
    third: FloatArray
    closed: IntArray
    emptied: IntArray


def _running(terms: FloatArray) -> FloatArray:
    return np.concatenate([[0.0], np.cumsum(terms)])


def _next_true(flags: BoolArray) -> IntArray:
    """Position of the next flag at or after each position; the length where there is none."""
    n = len(flags)
    spots = np.where(flags, np.arange(n), n)
    return np.concatenate([np.minimum.accumulate(spots[::-1])[::-1], [n]]).astype(np.int64)


def _own_events(outcomes: Outcomes, cause: int | None, sets: RiskSets) -> FloatArray:
    """Events of the cause at each time; exactly those of any cause where there are no others."""
    if cause is None:
        return sets.n_events
    mine = outcomes.is_cause(cause)
    place = np.searchsorted(sets.times, outcomes.time[mine])
    own = np.bincount(place, weights=outcomes.weight[mine], minlength=len(sets.times)).astype(np.float64)
    return np.where(own >= sets.n_events * (1 - 1e-12), sets.n_events, own)


def find_steps(outcomes: Outcomes, cause: int | None, share: float) -> Steps:
    """Running sums along the times.

    Parameters
    ----------
    outcomes : Outcomes
        Customers at risk after the start.
    cause : int or None
        Cause, or any event.
    share : float
        How much of a customer is taken away.

    Returns
    -------
    Steps
        One entry per distinct time, and one before the first in the sums.
    """
    late = outcomes.entry.max() > outcomes.start
    spells = Spells(
        entry=outcomes.entry if late else None, exit=outcomes.time, event=outcomes.event, weight=outcomes.weight
    )
    sets = risk_sets(spells)
    at_risk, events = sets.n_at_risk, sets.n_events
    own = _own_events(outcomes, cause, sets)
    empty = events >= at_risk
    others = at_risk - share
    kept = np.divide(at_risk - events, at_risk, out=np.ones_like(at_risk), where=~empty)
    survival = np.concatenate([[1.0], np.cumprod(kept)])  # a time that empties the risk set is left out here
    shut = (others > 0) & (others - events <= 0) & ~empty
    whole = others * (at_risk - events)
    drop = np.divide(share * events, whole, out=np.zeros_like(whole), where=(whole > 0) & ~shut & ~empty)
    ratio = _running(np.log1p(-drop))
    there = others > 0
    flow = survival[:-1] * own
    thinner = np.divide(flow, others, out=np.zeros_like(flow), where=there)
    return Steps(
        times=sets.times,
        at_risk=at_risk,
        events=events,
        own=own,
        survival=survival,
        incidence=_running(flow / at_risk),
        ratio=ratio,
        first=_running(share * thinner / at_risk),
        second=_running(thinner * np.expm1(ratio[:-1])),
        third=_running(thinner),
        closed=_next_true(shut),
        emptied=_next_true(empty),
    )


@dataclass(frozen=True, eq=False)
class Places:
    """Where each customer's time at risk begins and ends among the distinct times, and where the sums run to."""

    begin: IntArray
    end: IntArray
    own: IntArray
    event: BoolArray
    mine: BoolArray
    alone: BoolArray


def find_places(outcomes: Outcomes, steps: Steps, cause: int | None, share: float) -> Places:
    """Where each customer lies among the times; arguments as in :func:`find_steps`."""
    own = np.searchsorted(steps.times, outcomes.time)
    event = outcomes.event > 0
    alone = event & (steps.at_risk[own] <= share)
    begin = np.searchsorted(steps.times, outcomes.entry, side="right")
    return Places(begin, own + ~event, own, event, event & outcomes.is_cause(cause), alone)


def removal(steps: Steps, places: Places, until: int, share: float) -> FloatArray:
    """How much the incidence falls when the share is taken away, per customer.

    Parameters
    ----------
    steps : Steps
        Running sums.
    places : Places
        Where customers lie among them.
    until : int
        Number of distinct times up to the moment asked about.
    share : float
        The same as for the sums.

    Returns
    -------
    array of shape (n,)
        Incidence of all less that without the share.
    """
    # Once a risk set is emptied nothing adds to the incidence any more.
    stop = min(until, int(steps.emptied[0]) + 1)
    begin = np.minimum(places.begin, stop)
    end = np.minimum(places.end, stop)
    shut = steps.closed[begin]
    closes = shut < end  # without this customer nobody outlives that time
    end = np.where(closes, shut + 1, end)
    shift = steps.ratio[begin]
    change = -(steps.first[end] - steps.first[begin])
    change -= np.exp(-shift) * (steps.second[end] - steps.second[begin])
    change -= np.expm1(-shift) * (steps.third[end] - steps.third[begin])
    rest = _after(steps, places, shift, (stop, until), share)
    return change + np.where(closes, steps.incidence[stop] - steps.incidence[np.minimum(end, stop)], rest)


def _after(steps: Steps, places: Places, shift: FloatArray, reach: tuple[int, int], share: float) -> FloatArray:
    """What the change at and after the customer's own last time adds."""
    stop, until = reach
    own, rows = places.own, places.event & (places.own < stop)
    at_risk, events = steps.at_risk[own], steps.events[own]
    log_change = np.where(places.own + ~places.event <= stop, steps.ratio[np.minimum(places.end, stop)] - shift, 0.0)
    others = at_risk - share
    taken = np.where(places.mine, share, 0.0)
    thin = rows & (others > 0)
    scale = np.divide(1.0, others, out=np.zeros_like(others), where=thin)
    counted = steps.own[own]
    here = (taken * at_risk - share * counted) * scale / at_risk - np.expm1(log_change) * (counted - taken) * scale
    here = np.where(places.alone, counted / at_risk, here)
    found = np.where(rows, steps.survival[own] * here, 0.0)
    past = np.minimum(own + 1, stop)
    step = np.divide(share, others, out=np.zeros_like(others), where=thin & (events < at_risk))
    total = np.where(rows, log_change + np.log1p(step), log_change)
    found -= np.where(places.own < stop, np.expm1(total) * (steps.incidence[stop] - steps.incidence[past]), 0.0)
    return _revived(found, steps, places, (stop, until), np.exp(log_change))


def _revived(found: FloatArray, steps: Steps, places: Places, reach: tuple[int, int], scale: FloatArray) -> FloatArray:
    """Undo the end of the curve for the one customer whose event emptied the first risk set."""
    stop, until = reach
    lone = np.flatnonzero(places.alone & (places.own == int(steps.emptied[0])) & (places.own < stop))
    if len(lone) and until > stop:
        last = min(until, int(steps.emptied[stop]) + 1)
        found[lone] -= scale[lone] * (steps.incidence[last] - steps.incidence[stop])
    return found
