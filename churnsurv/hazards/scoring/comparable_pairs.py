"""Sums over comparable pairs of customers, and the share each customer has in them.

Two customers are comparable at the time of one's event when the other was at risk then and did not have the event
at that very time. :func:`~churnsurv.hazards.scoring.concordance.concordance_index` is what they are summed for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from churnsurv._typing import FloatArray, IntArray
from churnsurv.hazards.risk_sets import RiskSets, Spells, risk_sets

Weighting = Literal["harrell", "uno"]


@dataclass(frozen=True, eq=False)
class TimeOrder:
    """Rows of one stratum in the order of time, ready for the sweeps.

    Parameters
    ----------
    spells : Spells
        Checked input.
    kind : array of shape (n,)
        How each row ends: 0 censored, 1 with the event asked about, 2 with another cause.
    sets : RiskSets
        Counts at each distinct exit time.
    factor : array of shape (n_times,)
        1 / G(t-) at each exit time under Uno's weights, 1 under Harrell's.
    exit_at, entry_at : array of shape (n,)
        Number of each row's exit time, and of the last exit time at or before its entry (-1 where there is
        none); ``entry_at`` is empty where nobody enters late.
    by_exit, by_entry : array of shape (n,)
        Positions in increasing order of these.
    """

    spells: Spells
    kind: IntArray
    sets: RiskSets
    factor: FloatArray
    exit_at: IntArray
    entry_at: IntArray
    by_exit: IntArray
    by_entry: IntArray


@dataclass(frozen=True, eq=False)
class PairSums:
    """What one score says over one stretch of time in one stratum.

    Parameters
    ----------
    order : TimeOrder
        The rows.
    own_alive, own_ended : array of shape (n, 2)
        For each event: credit and number of pairs with rows at risk then, and with rows that another cause had
        ended before. Credit is 1 for a pair in order and one half for equal scores.
    other_alive, other_ended : array of shape (n, 2)
        The same pairs, added up at the row that outlives the event.
    counts : array of shape (3,)
        Pairs in order, with equal scores, and all, without Uno's weights.
    """

    order: TimeOrder
    own_alive: FloatArray
    own_ended: FloatArray
    other_alive: FloatArray
    other_ended: FloatArray
    counts: FloatArray

    def total(self) -> FloatArray:
        """Credit and number of pairs, with Uno's weights where there are any."""
        return self.order.spells.weight @ (self.own_alive + self.own_ended)


def time_order(spells: Spells, kind: IntArray, weighting: Weighting) -> TimeOrder:
    """Sort rows once for all scores; under Uno's weights also estimate 1 / G(t-), as n S(t-) / Y(t).

    Without late entries that *is* 1 / G(t-), digit for digit: Y(t) = n S(t-) G(t-) where events come before
    censorings at a shared time. With late entries it is one over the share of those without the event who are
    under observation, so that late entries are made up for like censorings.
    """
    sets = risk_sets(spells)
    exit_at = np.searchsorted(sets.times, spells.exit).astype(np.int64)
    entry_at = np.empty(0, dtype=np.int64)
    if spells.entry is not None:
        entry_at = np.searchsorted(sets.times, spells.entry, side="right").astype(np.int64) - 1
    factor = np.ones(len(sets.times))
    if weighting == "uno":
        before = np.concatenate([[1.0], np.cumprod(1 - sets.n_events / sets.n_at_risk)[:-1]])
        factor = spells.weight.sum() * before / sets.n_at_risk
    by_exit, by_entry = np.argsort(exit_at, kind="stable"), np.argsort(entry_at, kind="stable")
    return TimeOrder(spells, kind, sets, factor, exit_at, entry_at, by_exit, by_entry)


def _credit(columns: FloatArray) -> FloatArray:
    return np.stack([columns[:, 0] + 0.5 * columns[:, 1], columns[:, 2]], axis=1)


def pair_sums(order: TimeOrder, score: FloatArray, after: float, until: float) -> PairSums:
    """Compare every event with ``after < t <= until`` with everyone who outlives it, in O(n log n).

    Parameters
    ----------
    order : TimeOrder
        The rows.
    score : array of shape (n,)
        Higher means an earlier event.
    after, until : float
        Stretch of time.

    Returns
    -------
    PairSums
        Sums per row.
    """
    from churnsurv.hazards.scoring import concordance_kernels as kernels

    levels, position = np.unique(score, return_inverse=True)
    weight, factor = order.spells.weight, order.factor[order.exit_at]
    first, last = np.searchsorted(order.sets.times, [after, until], side="right")
    rows = (position.astype(np.int64) + 1, len(levels), order.exit_at, order.entry_at, order.kind)
    sweep = (order.by_exit, order.by_entry, int(first), int(last) - 1)
    own = kernels.outlived_by(*rows, weight, weight * factor, *sweep)
    other = kernels.outlives(*rows, weight * factor**2, weight * factor, *sweep)
    plain = own
    if np.any(order.kind == 2) and np.any(factor != 1):
        plain = kernels.outlived_by(*rows, weight, weight, *sweep)
    each, ended = factor[:, None], (order.kind == 2)[:, None]
    return PairSums(
        order=order,
        own_alive=_credit(own[:, :3]) * each**2,
        own_ended=_credit(own[:, 3:]) * each,
        other_alive=_credit(other[:, :3]),
        other_ended=_credit(other[:, 3:]) * np.where(ended, each, 0.0),
        counts=(weight @ (plain[:, :3] + plain[:, 3:])),
    )


def _through_weights(order: TimeOrder, worth: FloatArray) -> FloatArray:
    """Derivative through log 1/G with respect to each row's weight; a unit of it is worth ``worth`` at each exit time.

    log 1/G(t-) = log S(t-) - log Y(t) + constant, and both depend on who was at risk and had an event.
    """
    sets, spells = order.sets, order.spells
    later = np.concatenate([np.cumsum(worth[::-1])[::-1][1:], [0.0]])
    rest = sets.n_at_risk - sets.n_events
    step = np.divide(later, rest, out=np.zeros_like(later), where=rest > 0)
    grown = np.concatenate([[0.0], np.cumsum((sets.n_events * step - worth) / sets.n_at_risk)])
    begun = 0.0 if spells.entry is None else grown[order.entry_at + 1]
    return grown[order.exit_at + 1] - begun - np.where(spells.event > 0, step[order.exit_at], 0.0)


def pair_influence(sums: PairSums, estimate: float, n_pairs: float, weighting: Weighting) -> FloatArray:
    """Derivative of the concordance with respect to each row's weight (infinitesimal jackknife).

    Parameters
    ----------
    sums : PairSums
        One part of the sums.
    estimate, n_pairs : float
        Concordance and sum of pairs over all parts.
    weighting : {"harrell", "uno"}
        Under Uno's weights the derivative includes that of the estimated weights.

    Returns
    -------
    array of shape (n,)
        Influences; those of all parts add up.
    """
    weigh = np.array([1.0, -estimate]) / n_pairs
    alive, ended = sums.own_alive @ weigh, sums.own_ended @ weigh
    after = sums.other_ended @ weigh
    direct = alive + ended + sums.other_alive @ weigh + after
    if weighting == "harrell":
        return direct
    order = sums.order
    worth = order.spells.weight * (2 * alive + ended + after)
    return direct + _through_weights(order, np.bincount(order.exit_at, worth, minlength=len(order.sets.times)))
