"""Compiled sweeps over time that compare each customer's event with everyone who was still there.

A Fenwick tree holds weights by rank of the risk score, so that "how much weight lies below this score" costs
log(n) steps, and one sweep over all times n log(n). Times are numbers ``0 … `` in increasing order, shared by
entries and exits; ranks are numbers ``1 …``, equal for equal scores. Rows sorted by exit and by entry come as
positions. ``kind`` says how a row ends: 0 censored, 1 with the event asked about, 2 with another cause.

Importing this module loads numba; its functions are compiled on first use and kept on disk.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numba
import numpy as np

from churnsurv._typing import FloatArray, IntArray


def _compiled[Loop: Callable[..., Any]](loop: Loop) -> Loop:
    try:
        return cast(Loop, numba.njit(cache=True, nogil=True, error_model="numpy")(loop))
    except RuntimeError:  # no folder to keep compiled code in: compile in each process
        return cast(Loop, numba.njit(nogil=True, error_model="numpy")(loop))


def _inlined[Loop: Callable[..., Any]](loop: Loop) -> Loop:
    return cast(Loop, numba.njit(inline="always", error_model="numpy")(loop))


@_inlined
def _add(tree: FloatArray, rank: int, weight: float) -> None:
    k = rank
    while k < len(tree):
        tree[k] += weight
        k += k & -k


@_inlined
def _up_to(tree: FloatArray, rank: int) -> float:
    total = 0.0
    k = rank
    while k > 0:
        total += tree[k]
        k -= k & -k
    return total


@_compiled
def _fill(tree: FloatArray, rank: IntArray, kind: IntArray, weight: FloatArray) -> float:
    """Add all rows that another cause ends, and return their weight."""
    total = 0.0
    for i in range(len(rank)):
        if kind[i] == 2:
            _add(tree, rank[i], weight[i])
            total += weight[i]
    return total


@_compiled
def outlived_by(
    rank: IntArray,
    n_ranks: int,
    exit_at: IntArray,
    entry_at: IntArray,
    kind: IntArray,
    weight: FloatArray,
    ended_weight: FloatArray,
    by_exit: IntArray,
    by_entry: IntArray,
    first: int,
    last: int,
) -> FloatArray:
    """Weight of those who outlive each event at the times ``first <= k <= last``, backwards through time.

    Columns 0 to 2: weight with a lower score, with an equal one, and in all, of the rows at risk that do not
    have the event at that time. Columns 3 to 5: the same of the rows that ended before by another cause, counted
    with ``ended_weight``. Rows without such an event hold zeros.
    """
    n = len(rank)
    out = np.zeros((n, 6))
    alive, ended = np.zeros(n_ranks + 1), np.zeros(n_ranks + 1)
    alive_total, n_alive, n_ended = 0.0, 0, int(np.sum(kind == 2))
    ended_total = _fill(ended, rank, kind, ended_weight)
    late = n - 1
    head = n - 1
    while head >= 0 and exit_at[by_exit[head]] >= first:
        now = exit_at[by_exit[head]]
        while late >= 0 and len(entry_at) and entry_at[by_entry[late]] >= now:
            j = by_entry[late]
            _add(alive, rank[j], -weight[j])
            alive_total -= weight[j]
            n_alive -= 1
            late -= 1
        tail = head
        while tail >= 0 and exit_at[by_exit[tail]] == now:
            j = by_exit[tail]
            if kind[j] != 1:
                _add(alive, rank[j], weight[j])
                alive_total += weight[j]
                n_alive += 1
            if kind[j] == 2:
                _add(ended, rank[j], -ended_weight[j])
                ended_total -= ended_weight[j]
                n_ended -= 1
            tail -= 1
        for at in range(tail + 1, head + 1):
            i = by_exit[at]
            if kind[i] != 1 or now > last:
                continue
            # Subtracted weights leave a remainder; where nobody is left there must be exactly none.
            if n_alive > 0:
                out[i, 0] = _up_to(alive, rank[i] - 1)
                out[i, 1] = _up_to(alive, rank[i]) - out[i, 0]
                out[i, 2] = alive_total
            if n_ended > 0:
                out[i, 3] = _up_to(ended, rank[i] - 1)
                out[i, 4] = _up_to(ended, rank[i]) - out[i, 3]
                out[i, 5] = ended_total
        for at in range(tail + 1, head + 1):
            j = by_exit[at]
            if kind[j] == 1:
                _add(alive, rank[j], weight[j])
                alive_total += weight[j]
                n_alive += 1
        head = tail
    return out


@_inlined
def _query(tree: FloatArray, rank: int, total: float, sign: float, out: FloatArray, row: int, column: int) -> None:
    up_to = _up_to(tree, rank)
    out[row, column] += sign * (total - up_to)
    out[row, column + 1] += sign * (up_to - _up_to(tree, rank - 1))
    out[row, column + 2] += sign * total


@_compiled
def outlives(
    rank: IntArray,
    n_ranks: int,
    exit_at: IntArray,
    entry_at: IntArray,
    kind: IntArray,
    event_weight: FloatArray,
    event_weight_ended: FloatArray,
    by_exit: IntArray,
    by_entry: IntArray,
    first: int,
    last: int,
) -> FloatArray:
    """Weight of the events each row outlives, forwards through time: the mirror of :func:`outlived_by`.

    Columns 0 to 2: weight of the events at ``first <= k <= last`` while the row was at risk, with a higher score,
    with an equal one, and in all. Columns 3 to 5: the same, by ``event_weight_ended``, of the events after the
    row ended by another cause.
    """
    n = len(rank)
    out = np.zeros((n, 6))
    tree, tree_ended = np.zeros(n_ranks + 1), np.zeros(n_ranks + 1)
    total, total_ended = 0.0, 0.0
    head, late = 0, 0
    while head < n:
        now = exit_at[by_exit[head]]
        # Entries before this time compare with events after them only, all of which are still to come.
        while late < len(entry_at) and entry_at[by_entry[late]] < now:
            j = by_entry[late]
            _query(tree, rank[j], total, -1.0, out, j, 0)
            late += 1
        tail = head
        while tail < n and exit_at[by_exit[tail]] == now:
            j = by_exit[tail]
            if kind[j] == 1:
                _query(tree, rank[j], total, 1.0, out, j, 0)
            tail += 1
        if first <= now <= last:
            for at in range(head, tail):
                i = by_exit[at]
                if kind[i] == 1:
                    _add(tree, rank[i], event_weight[i])
                    total += event_weight[i]
                    _add(tree_ended, rank[i], event_weight_ended[i])
                    total_ended += event_weight_ended[i]
        for at in range(head, tail):
            j = by_exit[at]
            if kind[j] != 1:
                _query(tree, rank[j], total, 1.0, out, j, 0)
            if kind[j] == 2:
                _query(tree_ended, rank[j], total_ended, -1.0, out, j, 3)
        head = tail
    for j in range(n):
        if kind[j] == 2:
            _query(tree_ended, rank[j], total_ended, 1.0, out, j, 3)
    return out
