"""Compiled loop over rows: linear predictors, baseline, likelihood and its slopes in one pass.

Every row is read once. Rows are cut into blocks that do not depend on the number of threads; each block has sums of its
own, which are added in order, so that the result is the same for any number of threads, to the last bit.
"""

from __future__ import annotations

import hashlib
import inspect
import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np

from churnsurv._typing import BoolArray, FloatArray, IntArray
from churnsurv.models.hierarchical.baselines import Baseline

Loop = Callable[..., None]
_TILE = 256
"""Rows that go through each step together: what they need stays in the fastest cache."""
_FAST = {"reassoc", "contract"}
"""Sums may be taken in any order, so that several rows go through at once."""
_TINY = -36.0
"""Log of a cumulative hazard below which log(1 - exp(-x)) is log x to the last digit."""


@cache
def fused_loop(baseline: type[Baseline]) -> Loop:
    """Compile the loop for a baseline's class, or find it on disk.

    The baseline's arithmetic is plain Python that numba inlines. What is kept on disk is known by the text of this file
    and of the baseline's, so that code compiled from an older text is never used.
    """
    import numba

    for function in (_predict, _collect, _look_up, _spread, _within, *baseline.helpers, baseline.prepare, baseline.row):
        _let_compile(function)
    text = _text(baseline)
    loop = _loop(baseline.prepare, baseline.row, text)
    settings = {"nogil": True, "error_model": "numpy", "fastmath": _FAST}
    try:
        return cast(Loop, numba.njit(cache=len(text) > 0, **settings)(loop))
    except RuntimeError:  # no folder to keep compiled code in: compile in each process
        return cast(Loop, numba.njit(**settings)(loop))


@cache
def _let_compile(function: Callable[..., Any]) -> None:
    from numba.extending import register_jitable

    register_jitable(error_model="numpy", fastmath=_FAST)(function)


def _text(baseline: type[Baseline]) -> str:
    """What compiled code is known by; empty for a class that was typed at a prompt, whose text nobody can read again."""
    try:
        files = (__file__, inspect.getfile(baseline))
    except (TypeError, OSError):
        return ""
    return hashlib.sha256(b"".join(Path(file).read_bytes() for file in files)).hexdigest()


def _predict(x: FloatArray, beta: FloatArray, first: int, last: int, start: int, out: FloatArray) -> None:
    """Add the products of some columns to a tile; columns lie one after another, so that rows go through together."""
    for j in range(first, last):
        b, column = beta[j], x[j, start : start + len(out)]
        for i in range(len(out)):
            out[i] += b * column[i]


def _collect(x: FloatArray, score: FloatArray, first: int, last: int, start: int, out: FloatArray) -> None:
    """The way back of :func:`_predict`: add a tile's scores times some columns."""
    for j in range(first, last):
        total, column = 0.0, x[j, start : start + len(score)]
        for i in range(len(score)):
            total += score[i] * column[i]
        out[j] += total


def _look_up(
    level: IntArray, value: FloatArray, entry: IntArray, coef: FloatArray, start: int, out: FloatArray
) -> None:
    """Add one effect of a group to a tile."""
    column, shift, stride, by = entry
    levels = level[column, start : start + len(out)]
    if by < 0:
        for i in range(len(out)):
            out[i] += coef[shift + stride * levels[i]]
    else:
        values = value[by, start : start + len(out)]
        for i in range(len(out)):
            out[i] += coef[shift + stride * levels[i]] * values[i]


def _spread(
    level: IntArray, value: FloatArray, entry: IntArray, score: FloatArray, start: int, out: FloatArray
) -> None:
    """The way back of :func:`_look_up`: add a tile's scores to the effects."""
    column, shift, stride, by = entry
    levels = level[column, start : start + len(score)]
    if by < 0:
        for i in range(len(score)):
            out[shift + stride * levels[i]] += score[i]
    else:
        values = value[by, start : start + len(score)]
        for i in range(len(score)):
            out[shift + stride * levels[i]] += score[i] * values[i]


def _within(log_hazard: float, hazard: float, out: FloatArray) -> float:
    """Log of 1 - exp(-x), and (first of ``out``) its slope in log x."""
    if log_hazard < _TINY:
        out[0] = 1.0
        return log_hazard
    out[0] = hazard / math.expm1(hazard)
    return math.log(-math.expm1(-hazard))


def _loop(prepare: Callable[..., None], row: Callable[..., None], text: str) -> Loop:
    def loop(
        blocks: IntArray,
        bounds: IntArray,
        x: FloatArray,
        level: IntArray,
        value: FloatArray,
        times: FloatArray,
        weight: FloatArray,
        window: BoolArray,
        base: FloatArray,
        beta: FloatArray,
        x_bounds: IntArray,
        coef: FloatArray,
        entries: IntArray,
        entry_bounds: IntArray,
        out: FloatArray,
    ) -> None:
        known = len(text) * 0  # what the compiled code is known by has to be used
        m = len(base)
        tiles, curve, slope = np.empty((m, _TILE)), np.empty(1 + 2 * m), np.empty(1)
        shape, ready = base[1:].copy(), np.empty(m - 1)
        still = x_bounds[1] == x_bounds[m] and entry_bounds[1] == entry_bounds[m]
        prepare(shape, ready)
        for block in blocks:
            sums, by_x, by_coef = (
                out[block, : 1 + m],
                out[block, 1 + m : 1 + m + len(beta)],
                out[block, 1 + m + len(beta) :],
            )
            total = float(known)
            for start in range(bounds[block], bounds[block + 1], _TILE):
                n = min(_TILE, bounds[block + 1] - start)
                for k in range(m):
                    tile = tiles[k, :n]
                    tile[:] = base[k]
                    _predict(x, beta, x_bounds[k], x_bounds[k + 1], start, tile)
                    for e in range(entry_bounds[k], entry_bounds[k + 1]):
                        _look_up(level, value, entries[e], coef, start, tile)
                log_stop, log_ratio = times[0, start : start + n], times[1, start : start + n]
                of_event, of_row = weight[0, start : start + n], weight[1, start : start + n]
                in_window = window[start : start + n]
                for i in range(n):
                    if not still:
                        for k in range(1, m):
                            shape[k - 1] = tiles[k, i]
                        prepare(shape, ready)
                    row(log_stop[i], log_ratio[i], shape, ready, curve)
                    log_hazard = tiles[0, i] + curve[0]
                    hazard = math.exp(log_hazard) * curve[1]
                    events, count = of_event[i], of_row[i]
                    if in_window[i]:
                        total += count * _within(log_hazard + math.log(curve[1]), hazard, slope)
                        by_log = count * slope[0]
                    else:
                        by_log = -count * hazard
                        total += events * (tiles[0, i] + curve[1 + m]) + by_log
                    tiles[0, i] = by_log + events
                    for k in range(1, m):
                        tiles[k, i] = by_log * curve[1 + k] + events * curve[1 + m + k]
                for k in range(m):
                    tile = tiles[k, :n]
                    sums[1 + k] += tile.sum()
                    _collect(x, tile, x_bounds[k], x_bounds[k + 1], start, by_x)
                    for e in range(entry_bounds[k], entry_bounds[k + 1]):
                        _spread(level, value, entries[e], tile, start, by_coef)
            sums[0] = total

    return loop
