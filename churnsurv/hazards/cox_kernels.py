"""Compiled loops of the partial likelihood: sums over risk sets, Efron steps, expected events.

Event times are counted *backwards*: time 0 is the last one of the first stratum. A row that arrives at time ``a``
is at risk at the times ``a <= k < leave``; rows are sorted by arrival, those with the event first. Sums over the
risk set are kept as a head and a rest (Knuth's two-sum), because rows that leave are subtracted; they are begun
anew when almost all of them has gone, or when a row arrives that dwarfs the others. The times between two such
moments are an *epoch*: they share the shift that keeps ``exp`` within range.

Importing this module loads numba; its functions are compiled on first use and kept on disk.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numba
import numpy as np

from churnsurv._typing import BoolArray, FloatArray, IntArray

_RISE = 30.0
"""Begin anew when a linear predictor lies this much above the shift: exp(30) is 1e13."""

_FALL = 2.0**-40
"""Begin anew when this share of the largest sum is left: head and rest carry 106 bits, so 66 are still right."""

_BLOCK = 64
"""Risk-set means gathered before their outer products are added."""


def _compiled[Loop: Callable[..., Any]](loop: Loop) -> Loop:
    try:
        return cast(Loop, numba.njit(cache=True, nogil=True, error_model="numpy")(loop))
    except RuntimeError:  # no folder to keep compiled code in: compile in each process
        return cast(Loop, numba.njit(nogil=True, error_model="numpy")(loop))


def _inlined[Loop: Callable[..., Any]](loop: Loop) -> Loop:
    return cast(Loop, numba.njit(inline="always", error_model="numpy")(loop))


@_compiled
def tie_sorted(ordered: FloatArray, tolerance: float) -> FloatArray:
    """:func:`~churnsurv.hazards.risk_sets.tie_times` of increasing times, in one pass."""
    out, limit = np.empty_like(ordered), -1.0
    for i in range(len(ordered)):
        if ordered[i] > limit:
            anchor = ordered[i]
            limit = anchor * (1 + tolerance)
        out[i] = anchor
    return out


@_compiled
def stable_order(number: IntArray, n_numbers: int) -> IntArray:
    """Positions that sort numbers in ``0 … n_numbers - 1``, equal ones as they came: a counting sort."""
    at = np.zeros(n_numbers + 1, dtype=np.int64)
    for i in range(len(number)):
        at[number[i] + 1] += 1
    for k in range(n_numbers):
        at[k + 1] += at[k]
    order = np.empty(len(number), dtype=np.int64)
    for i in range(len(number)):
        k = number[i]
        order[at[k]] = i
        at[k] += 1
    return order


@_compiled
def take_centred(
    x: FloatArray, position: IntArray, bounds: IntArray
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Rows of x in a new order, centred within ``bounds``; the centres, mean squares and reach of each column."""
    p, n_parts = x.shape[1], len(bounds) - 1
    out, centre = np.empty((len(position), p)), np.zeros((n_parts, p))
    square, reach = np.zeros(p), np.zeros(p)
    for s in range(n_parts):
        first, last = bounds[s], bounds[s + 1]
        if first == last:
            continue
        for i in range(first, last):
            for j in range(p):
                out[i, j] = x[position[i], j]
                centre[s, j] += out[i, j]
        low, high = out[first].copy(), out[first].copy()
        for j in range(p):
            centre[s, j] /= last - first
        for i in range(first, last):
            for j in range(p):
                low[j], high[j] = min(low[j], out[i, j]), max(high[j], out[i, j])
        for j in range(p):
            if low[j] == high[j]:  # the mean of a constant may be off by rounding
                centre[s, j] = low[j]
            reach[j] = max(reach[j], high[j] - low[j])
        for i in range(first, last):
            for j in range(p):
                out[i, j] -= centre[s, j]
                square[j] += out[i, j] * out[i, j]
    return out, centre, square / max(len(position), 1), reach


@_compiled
def linear_predictor(x: FloatArray, coef: FloatArray) -> FloatArray:
    """Row by row, so that the result does not depend on the number of threads."""
    eta = np.empty(len(x))
    for i in range(len(x)):
        total = 0.0
        for j in range(x.shape[1]):
            total += x[i, j] * coef[j]
        eta[i] = total
    return eta


@_inlined
def _add(head: FloatArray, rest: FloatArray, risk: float, x: FloatArray, i: int) -> None:
    """Add one row's risk (last place) and its risk times x (the others), keeping what rounding takes."""
    p = x.shape[1]
    s = head[p] + risk
    t = s - head[p]
    rest[p] += (head[p] - (s - t)) + (risk - t)
    head[p] = s
    for j in range(p):
        b = risk * x[i, j]
        s = head[j] + b
        t = s - head[j]
        rest[j] += (head[j] - (s - t)) + (b - t)
        head[j] = s


@_inlined
def _largest(values: FloatArray, first: int, last: int) -> float:
    top = values[first]
    for i in range(first + 1, last):
        top = max(top, values[i])
    return float(top)


@_compiled
def risk_sums(
    eta: FloatArray,
    x: FloatArray,
    weight: FloatArray,
    leave: IntArray,
    row_bounds: IntArray,
    leaving: IntArray,
    leaving_bounds: IntArray,
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, BoolArray]:
    """Sum of risks, and of risks times x, over who is at risk at each event time.

    Returns ``total (n_times,)``, ``total_x (n_times, p)``, the shift of each time, the risk of each row at the
    shift of its arrival, and whether a time begins an epoch.
    """
    n_times, p = len(row_bounds) - 1, x.shape[1]
    total, total_x, shifts = np.empty(n_times), np.empty((n_times, p)), np.empty(n_times)
    begins = np.zeros(n_times, dtype=np.bool_)
    risk = np.empty(len(eta))
    head, rest = np.zeros(p + 1), np.zeros(p + 1)
    shift = peak = 0.0
    at_risk = base = born = 0
    for k in range(n_times):
        first, last = row_bounds[k], row_bounds[k + 1]
        n_gone = leaving_bounds[k + 1] - leaving_bounds[k]
        empty = n_gone == at_risk
        if empty:
            base = first
        else:
            for q in range(leaving_bounds[k], leaving_bounds[k + 1]):
                i = leaving[q]
                _add(head, rest, -risk[i] if i >= born else -weight[i] * np.exp(eta[i] - shift), x, i)
        at_risk += last - first - n_gone
        top = _largest(eta, first, last)
        if empty or top - shift > _RISE or head[p] < _FALL * peak:
            shift, peak, born, begins[k] = top, 0.0, first, True
            for i in range(base, first):
                if leave[i] > k and eta[i] > shift:
                    shift = float(eta[i])
            head[:] = 0.0
            rest[:] = 0.0
            for i in range(base, first):
                if leave[i] > k:
                    _add(head, rest, weight[i] * np.exp(eta[i] - shift), x, i)
        for i in range(first, last):
            risk[i] = weight[i] * np.exp(eta[i] - shift)
            _add(head, rest, risk[i], x, i)
        if head[p] > peak:
            peak = float(head[p])
        shifts[k], total[k] = shift, head[p] + rest[p]
        for j in range(p):
            total_x[k, j] = head[j] + rest[j]
    return total, total_x, shifts, risk, begins


@_compiled
def add_outer(x: FloatArray, weight: FloatArray, n: int, out: FloatArray) -> None:
    """Add ``sum_i weight[i] x[i] x[i]'`` over the first n rows to the upper triangle of ``out``."""
    p = x.shape[1]
    whole = n - n % 4
    for i in range(0, whole, 4):
        for j in range(p):
            a, b = weight[i] * x[i, j], weight[i + 1] * x[i + 1, j]
            c, d = weight[i + 2] * x[i + 2, j], weight[i + 3] * x[i + 3, j]
            for k in range(j, p):
                out[j, k] += (a * x[i, k] + b * x[i + 1, k]) + (c * x[i + 2, k] + d * x[i + 3, k])
    for i in range(whole, n):
        for j in range(p):
            a = weight[i] * x[i, j]
            for k in range(j, p):
                out[j, k] += a * x[i, k]


@_compiled
def likelihood_steps(
    total: FloatArray,
    total_x: FloatArray,
    shift: FloatArray,
    eta: FloatArray,
    x: FloatArray,
    weight: FloatArray,
    risk: FloatArray,
    row_bounds: IntArray,
    n_deaths: IntArray,
    time_weight: FloatArray,
    efron: bool,
    order: int,
) -> tuple[float, FloatArray, FloatArray, FloatArray, FloatArray]:
    """Walk through the event times: log-likelihood, score, and what the information needs.

    Returns ``loglik``, ``score (p,)``, ``means (p, p)``: the sum of outer products of risk-set means, upper
    triangle; ``hazard (n_times,)``, the increments at the shift, and ``early (n_times,)``, the part of them that
    those who have the event are spared by Efron's steps. ``time_weight`` multiplies each time's share of the
    score and the information.
    """
    p = x.shape[1]
    loglik = 0.0
    score, means = np.zeros(p), np.zeros((p, p))
    hazard, early = np.zeros(len(total)), np.zeros(len(total))
    tied_x = np.zeros(p)
    block, block_weight, held = np.empty((_BLOCK, p)), np.empty(_BLOCK), 0
    for k in range(len(total)):
        first, d = row_bounds[k], n_deaths[k]
        tied = tied_weight = 0.0
        tied_x[:] = 0.0
        g = time_weight[k]
        for i in range(first, first + d):
            tied_weight += weight[i]
            loglik += weight[i] * (eta[i] - shift[k])
            tied += risk[i]
            for j in range(p):
                score[j] += g * weight[i] * x[i, j]
                tied_x[j] += risk[i] * x[i, j]
        n_steps = d if efron else 1
        mean_weight = tied_weight / n_steps
        for step in range(n_steps):
            share = step / n_steps
            denominator = total[k] - share * tied
            loglik -= mean_weight * np.log(denominator)
            if order == 0:
                continue
            increment = g * mean_weight / denominator
            hazard[k] += increment
            early[k] += share * increment
            inverse = 1.0 / denominator
            for j in range(p):
                mean = (total_x[k, j] - share * tied_x[j]) * inverse
                block[held, j] = mean
                score[j] -= g * mean_weight * mean
            if order == 2:
                block_weight[held] = g * mean_weight
                held += 1
                if held == _BLOCK:
                    add_outer(block, block_weight, held, means)
                    held = 0
    add_outer(block, block_weight, held, means)
    return loglik, score, means, hazard, early


@_compiled
def step_details(
    total: FloatArray,
    total_x: FloatArray,
    x: FloatArray,
    weight: FloatArray,
    risk: FloatArray,
    row_bounds: IntArray,
    n_deaths: IntArray,
    efron: bool,
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
    """Increments at each event time, at its shift, with the risk-set means that go with them.

    Returns ``hazard``, ``variance`` and ``early`` ``(n_times,)``; ``hazard_x`` and ``early_x`` ``(n_times, p)``, the
    same sums over Efron's steps, each step multiplied by its risk-set mean; ``mean_x (n_times, p)``, the plain mean
    of the steps' means.
    """
    n_times, p = total_x.shape
    hazard, variance, early = np.zeros(n_times), np.zeros(n_times), np.zeros(n_times)
    hazard_x, early_x, mean_x = np.zeros((n_times, p)), np.zeros((n_times, p)), np.zeros((n_times, p))
    tied_x = np.zeros(p)
    for k in range(n_times):
        first, d = row_bounds[k], n_deaths[k]
        tied = tied_weight = 0.0
        tied_x[:] = 0.0
        for i in range(first, first + d):
            tied_weight += weight[i]
            tied += risk[i]
            for j in range(p):
                tied_x[j] += risk[i] * x[i, j]
        n_steps = d if efron else 1
        for step in range(n_steps):
            share = step / n_steps
            denominator = total[k] - share * tied
            increment = tied_weight / n_steps / denominator
            hazard[k] += increment
            variance[k] += increment / denominator
            early[k] += share * increment
            for j in range(p):
                mean = (total_x[k, j] - share * tied_x[j]) / denominator
                mean_x[k, j] += mean / n_steps
                hazard_x[k, j] += increment * mean
                early_x[k, j] += share * increment * mean
    return hazard, variance, early, hazard_x, early_x, mean_x


@_compiled
def running_sums(increments: FloatArray, begins: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Sums from the beginning of each epoch through each time, per column, as head and rest."""
    head, rest = np.empty_like(increments), np.empty_like(increments)
    for k in range(increments.shape[0]):
        for j in range(increments.shape[1]):
            b = increments[k, j]
            a = 0.0 if begins[k] else head[k - 1, j]
            s = a + b
            t = s - a
            head[k, j] = s
            rest[k, j] = (0.0 if begins[k] else rest[k - 1, j]) + ((a - (s - t)) + (b - t))
    return head, rest


@_compiled
def received(
    eta: FloatArray,
    weight: FloatArray,
    risk: FloatArray,
    leave: IntArray,
    row_bounds: IntArray,
    n_deaths: IntArray,
    head: FloatArray,
    rest: FloatArray,
    early: FloatArray,
    shift: FloatArray,
    begins: BoolArray,
) -> FloatArray:
    """Risk of each row times what accrued while it was at risk: expected events, weighted, and the like.

    ``head`` and ``rest`` are :func:`running_sums` of increments ``(n_times, q)``; ``early`` ``(n_times, q)`` is what
    rows with the event are spared at their own time. Returns ``(n_rows, q)``.
    """
    n_times, q = head.shape
    until = np.empty(n_times, dtype=np.int64)
    until[n_times - 1] = n_times
    for k in range(n_times - 2, -1, -1):
        until[k] = k + 1 if begins[k + 1] else until[k + 1]
    out = np.zeros((len(eta), q))
    for k in range(n_times):
        for i in range(row_bounds[k], row_bounds[k + 1]):
            at, r = k, risk[i]
            while at < leave[i]:
                stop = min(leave[i], until[at])
                for j in range(q):
                    gain, small = head[stop - 1, j], rest[stop - 1, j]
                    if not begins[at]:
                        gain, small = gain - head[at - 1, j], small - rest[at - 1, j]
                    out[i, j] += r * (gain + small)
                at = stop
                if at < leave[i]:
                    r = weight[i] * np.exp(eta[i] - shift[at])
            if i < row_bounds[k] + n_deaths[k]:
                for j in range(q):
                    out[i, j] -= risk[i] * early[k, j]
    return out
