"""What frailty and cure add for units of each kind: the passes over arrays behind ``frailty.unit_terms``."""

from __future__ import annotations

from math import factorial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from churnsurv._typing import FloatArray, IntArray

Counts = FloatArray | IntArray
"""Numbers of events: whole, of either type."""

Parts = dict[str, FloatArray]
"""Terms by the name of their field; those that are zero for all units are left out."""

PLAIN, OPEN, WITHIN = 0, 1, 2
"""Kinds of units: nothing ambiguous; an open last spell that may be of someone gone; an event within a window."""

SMALLEST_VARIANCE = 1e-100
"""Below it the frailty is one for everybody: what it changes is far below the last digit of any hazard."""

BLOCK = 8192
"""Units done at once: their arrays stay in the processor's cache, which halves the time of a million units."""

_SERIES_BELOW = 0.01
"""Where a series takes over from a difference of nearly equal numbers; with the terms below, both keep 13 digits."""

_LARGEST_LOG = 700.0
"""Its exponential is still a number."""

_Rows = slice | npt.NDArray[np.intp]


class _Laplace(NamedTuple):
    """log A(H; d) without its factor: value, first and second derivative in H, and derivative in log variance."""

    value: FloatArray
    slope: FloatArray
    bend: FloatArray
    tilt: FloatArray


class Given(NamedTuple):
    """Arguments of :func:`~churnsurv.hazards.frailty.unit_terms` that have a value for each unit."""

    certain: FloatArray
    ambiguous: FloatArray | None
    events: Counts
    kind: npt.NDArray[np.integer]
    logit: FloatArray | None
    alive: Counts | None
    entry: FloatArray | None

    def take(self, rows: _Rows) -> Given:
        """Some units."""
        certain, ambiguous, events, kind, logit, alive, entry = self
        return Given(
            certain[rows],
            None if ambiguous is None else ambiguous[rows],
            events[rows],
            kind[rows],
            logit if logit is None or logit.ndim == 0 else logit[rows],
            None if alive is None else alive[rows],
            None if entry is None else entry[rows],
        )


def block_parts(given: Given, theta: float | None, immune: bool, order: int) -> Parts:
    """Terms of units of all kinds."""
    n, parts = len(given.kind), Parts()
    if not given.kind.any():
        parts = _plain_parts(given.certain, given.events, theta, order)
    else:
        for code in (PLAIN, OPEN, WITHIN):
            rows = np.flatnonzero(given.kind == code)
            if len(rows) == n:
                parts = _kind_parts(code, given, theta, order)
            elif len(rows):
                place(parts, _kind_parts(code, given.take(rows), theta, order), rows, n)
    if given.logit is not None and given.alive is not None:
        _add(parts, _alive_parts(given.logit, given.alive, order))
    if given.entry is not None:
        _add(parts, _entry_parts(given.entry, theta, given.logit if immune else None, order))
    return parts


def _kind_parts(code: int, given: Given, theta: float | None, order: int) -> Parts:
    """Terms of units of one kind, without what they are known not to have been and without late entry."""
    certain, ambiguous, events, _, logit, _, _ = given
    if code == PLAIN or ambiguous is None:
        return _plain_parts(certain, events, theta, order)
    if code == WITHIN:
        return _within_parts(certain, ambiguous, events, theta, order)
    if logit is not None:
        return _open_parts(certain, ambiguous, events, theta, logit, order)
    parts = _plain_parts(certain + ambiguous, events, theta, order)
    parts["by_ambiguous"] = parts["by_certain"]
    if order == 2:
        parts["certain_ambiguous"] = parts["ambiguous_ambiguous"] = parts["certain_certain"]
    return parts


def place(parts: Parts, part: Parts, rows: _Rows, n: int) -> None:
    """Write the terms of some units where they belong; of all, without copying."""
    for name, term in part.items():
        if len(term) == n:
            parts[name] = term
            continue
        if name not in parts:
            parts[name] = np.zeros(n)
        parts[name][rows] = term


def _add(parts: Parts, more: Parts) -> None:
    for name, term in more.items():
        parts[name] = parts[name] + term if name in parts else term


def _laplace(hazard: FloatArray, events: Counts, theta: float | None, order: int) -> _Laplace:
    """Log of A(H; d) without its factor, by the shape and rate of the gamma frailty given the past."""
    if theta is None:
        zero = np.zeros_like(hazard)
        return _Laplace(-hazard, zero - 1.0, zero, zero)
    a = 1.0 / theta
    inverse = 1.0 / (hazard + a)
    shape = events + a
    ratio = hazard * theta
    log = _log1p(ratio)
    share = hazard * inverse
    tilt = _log1p_excess(ratio, log, share)
    tilt *= a
    tilt -= events * share
    slope = shape * inverse
    bend = slope * inverse if order == 2 else slope
    log *= shape
    return _Laplace(np.negative(log, out=log), np.negative(slope, out=slope if order == 1 else None), bend, tilt)


def _plain_parts(hazard: FloatArray, events: Counts, theta: float | None, order: int) -> Parts:
    value, slope, bend, tilt = _laplace(hazard, events, theta, order)
    parts: Parts = {"value": value, "by_certain": slope}
    if theta is not None:
        parts["by_log_variance"] = tilt
    if order == 2:
        parts["certain_certain"] = bend
    return parts


def _open_parts(
    certain: FloatArray, ambiguous: FloatArray, events: Counts, theta: float | None, logit: FloatArray, order: int
) -> Parts:
    """Log of the mixture of gone after the certain time and there until the end."""
    gone = _laplace(certain, events, theta, order)
    there = _laplace(certain + ambiguous, events, theta, order)
    log_odds = gone.value - there.value
    log_odds += logit
    odds_against = np.exp(-np.maximum(log_odds, -_LARGEST_LOG))
    cured = expit(logit)
    weight = 1.0 / (1.0 + odds_against)
    rest = odds_against * weight
    from_gone = weight * gone.slope
    by_ambiguous = rest * there.slope
    value = _log1p(odds_against)
    value -= np.minimum(log_odds + _LARGEST_LOG, 0.0)
    value += gone.value
    value -= np.logaddexp(0.0, -logit)
    parts: Parts = {
        "value": value,
        "by_certain": from_gone + by_ambiguous,
        "by_ambiguous": by_ambiguous,
        "by_logit": weight - cured,
    }
    if theta is not None:
        parts["by_log_variance"] = weight * gone.tilt + rest * there.tilt
    if order == 2:
        both, apart = weight * rest, gone.slope - there.slope
        parts["certain_certain"] = weight * gone.bend + rest * there.bend + both * apart**2
        parts["certain_ambiguous"] = rest * there.bend - both * apart * there.slope
        parts["ambiguous_ambiguous"] = rest * there.bend + both * there.slope**2
        parts["certain_logit"] = both * apart
        parts["ambiguous_logit"] = -both * there.slope
        parts["logit_logit"] = both - cured * (1.0 - cured)
    return parts


def _within_parts(certain: FloatArray, window: FloatArray, events: Counts, theta: float | None, order: int) -> Parts:
    """Log of the difference of two survivals, A(C; d) (1 - exp(-decline)), and its derivatives.

    Differences that vanish with the window are written so that they keep their digits.
    """
    before = _laplace(certain, events, theta, order)
    if theta is None:
        happened = -np.expm1(-window)
        odds = np.exp(-window) / happened
        parts: Parts = {
            "value": before.value + np.log(happened),
            "by_certain": before.slope,
            "by_ambiguous": odds,
        }
        if order == 2:
            parts["ambiguous_ambiguous"] = -odds * (1.0 + odds)
        return parts
    a = 1.0 / theta
    shape, rate = events + a, certain + a
    growth = window / rate
    log = _log1p(growth)
    decline = shape * log
    happened = -np.expm1(-decline)
    odds = np.exp(-decline) / happened
    after = 1.0 / (rate + window)
    mean_after = shape * after
    fall = mean_after * growth  # of the expected frailty, from before the window to after it
    share = window * after
    step = _log1p_excess(growth, log, share) + share * (certain - events) / rate
    parts = {
        "value": before.value + np.log(happened),
        "by_certain": before.slope - odds * fall,
        "by_ambiguous": odds * mean_after,
        "by_log_variance": before.tilt - odds * a * step,
    }
    if order == 2:
        bends_apart = mean_after * after * growth * (2.0 + growth)
        excess = (shape * _minus_log1p(growth) + _plus_expm1(decline)) / happened
        parts["certain_certain"] = before.bend + odds * (bends_apart - (1.0 + odds) * fall**2)
        parts["certain_ambiguous"] = odds * mean_after * after * excess
        parts["ambiguous_ambiguous"] = -odds * mean_after * (after + (1.0 + odds) * mean_after)
    return parts


def _alive_parts(logit: FloatArray, alive: Counts, order: int) -> Parts:
    """Known not to have been cured, so many times."""
    cured = expit(logit)
    parts: Parts = {"value": np.multiply(alive, -np.logaddexp(0.0, logit)), "by_logit": np.multiply(alive, -cured)}
    if order == 2:
        parts["logit_logit"] = parts["by_logit"] * (1.0 - cured)
    return parts


def _entry_parts(entry: FloatArray, theta: float | None, logit: FloatArray | None, order: int) -> Parts:
    """Minus the log of the probability to be there at entry: that of an open spell before it."""
    nobody = np.zeros_like(entry)
    if logit is None:
        chance = _plain_parts(entry, nobody, theta, order)
        names = {"value": "value", "by_certain": "by_entry", "by_log_variance": "by_log_variance"}
        names |= {"certain_certain": "entry_entry"}
    else:
        chance = _open_parts(nobody, entry, nobody, theta, logit, order)
        names = {name: name for name in ("value", "by_logit", "by_log_variance", "logit_logit")}
        names |= {"by_ambiguous": "by_entry", "ambiguous_ambiguous": "entry_entry", "ambiguous_logit": "entry_logit"}
    return {names[name]: -term for name, term in chance.items() if name in names}


def _log1p(x: FloatArray) -> FloatArray:
    """Log of 1 + x for x >= 0, twice as fast as NumPy's: what 1 + x rounds off is put back to first order."""
    one_more = 1.0 + x
    lost = one_more - 1.0
    lost -= x
    lost /= one_more
    np.log(one_more, out=one_more)
    one_more -= lost
    return one_more


def _log1p_excess(x: FloatArray, log: FloatArray, share: FloatArray) -> FloatArray:
    """What log(1 + x) exceeds x / (1 + x) by, given both."""
    excess = log - share
    small = np.flatnonzero(x < _SERIES_BELOW)
    if len(small):
        y = share[small]
        excess[small] = y * y * _polynomial(y, [1.0 / k for k in range(2, 9)])
    return excess


def _minus_log1p(x: FloatArray) -> FloatArray:
    """What x exceeds log(1 + x) by."""
    series = x * x * _polynomial(x, [(-1.0) ** k / k for k in range(2, 10)])
    return np.where(x < _SERIES_BELOW, series, x - np.log1p(x))


def _plus_expm1(x: FloatArray) -> FloatArray:
    """What exp(-x) exceeds 1 - x by."""
    series = x * x * _polynomial(x, [(-1.0) ** k / factorial(k) for k in range(2, 9)])
    return np.where(x < _SERIES_BELOW, series, x + np.expm1(-x))


def _polynomial(x: FloatArray, coefficients: list[float]) -> FloatArray:
    """Constant term first."""
    total = np.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        total *= x
        total += coefficient
    return total
