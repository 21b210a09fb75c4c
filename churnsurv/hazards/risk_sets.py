"""Who was at risk, and what happened, at each distinct time: all that a nonparametric estimate needs.

A spell is at risk at time t when ``entry < t <= exit``. Where events and censorings share a time, the
events come first: who is censored at t was still at risk at t (Kalbfleisch and Prentice 2002, ch. 1).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from churnsurv._typing import FloatArray, IntArray
from churnsurv._validate import as_floats, plain_array, refuse, same_length
from churnsurv.errors import ArgumentError, DataTypeError, DataWarning, EmptyDataError, compose_message

TIE_TOLERANCE = float(np.sqrt(np.finfo(np.float64).eps))
"""Times closer than this share of the earlier one are one time: 1 - 0.9 and 0.1 are a tie.

R's survival uses the same number (``timefix``), but relative to the mean time. Here it is relative to
the time itself, so that neither the unit nor one outlier decides which times are equal.
"""

_UNIT_MIX = 1e15
"""Largest over smallest positive time: a microsecond against thirty years. More is two units in one column."""


@dataclass(frozen=True, eq=False)
class Spells:
    """Checked input: one row per spell at risk, ties already made exact.

    Parameters
    ----------
    entry : array of shape (n_spells,) or None
        Time at which observation begins; ``None`` when every spell is seen from its origin.
    exit : array of shape (n_spells,)
        Time of event or censoring.
    event : array of shape (n_spells,)
        0 censored, 1…K the cause; 1 where there is only one.
    weight : array of shape (n_spells,)
        Frequency: how many identical spells the row stands for.
    """

    entry: FloatArray | None
    exit: FloatArray
    event: IntArray
    weight: FloatArray


@dataclass(frozen=True, eq=False)
class RiskSets:
    """Counts at each distinct exit time, weighted where spells carry weights.

    Parameters
    ----------
    times : array of shape (n_times,)
        Distinct times of event or censoring, increasing.
    n_at_risk, n_events, n_censored : array of shape (n_times,)
        At risk just before each time, events of any cause and censorings at it.
    """

    times: FloatArray
    n_at_risk: FloatArray
    n_events: FloatArray
    n_censored: FloatArray


_MOST_CAUSES = 100
"""A larger code without names for the causes is a date or an id in the wrong column."""


def _event_codes(event: object, n_causes: int | None) -> IntArray:
    raw = plain_array(event, "event")
    if raw.dtype.kind in "USO":
        seen = sorted({str(value) for value in raw.ravel()})
        raise DataTypeError(
            f"`event` holds text or objects ({', '.join(seen[:5])}), not codes.",
            column="event",
            consequence="Which of them is the event cannot be guessed.",
            hint='say it: event = (status == "cancelled").astype(int).',
        )
    codes = as_floats(event, "event", ndim=1)
    if n_causes != 1:
        largest = _MOST_CAUSES if n_causes is None else n_causes
        refuse(
            ArgumentError,
            (codes != np.rint(codes)) | (codes < 0) | (codes > largest),
            f"are none of the codes 0 (censored) to {largest} (causes).",
            columns={"event": codes},
            consequence="Each code is one cause; a code without a cause would be lost from every incidence.",
            hint='causes=("cancelled", "payment_failed") names the codes 1 and 2.',
        )
        return codes.astype(np.int64)
    refuse(
        ArgumentError,
        (codes != 0) & (codes != 1),
        "are neither 0 (censored) nor 1 (event).",
        columns={"event": codes},
        consequence="Any other code would count as an event, or as a part of one.",
        hint="one cause at a time: event = (cause == 1).astype(int) censors the others.",
    )
    return codes.astype(np.int64)


def _weights(weight: object, n_spells: int) -> FloatArray:
    if weight is None:
        return np.ones(n_spells)
    numbers = as_floats(weight, "weight", ndim=1)
    same_length({"exit": np.empty(n_spells), "weight": numbers})
    if not numbers.any():
        raise ArgumentError(
            f"all {n_spells:,} values of `weight` are zero: their sum is 0.",
            column="weight",
            count=n_spells,
            total=n_spells,
            hint="weight counts how many identical spells a row stands for; leave it out for one each.",
        )
    refuse(
        ArgumentError,
        numbers <= 0,
        "are negative or zero.",
        columns={"weight": numbers},
        consequence="A spell with no or negative weight would shrink the risk set it belongs to.",
        hint="leave such rows out yourself: keep = weight > 0.",
    )
    return numbers


def tie_times(times: FloatArray) -> FloatArray:
    """Give times that differ only by rounding the value of the earliest of them.

    Parameters
    ----------
    times : array of any shape
        Times >= 0.

    Returns
    -------
    array of the same shape
        Same times; two that lie within :data:`TIE_TOLERANCE` of the earliest of their group are equal.

    Examples
    --------
    >>> len(set(tie_times(np.array([0.1, 1 - 0.9, 0.2]))))
    2
    """
    distinct, position = np.unique(times, return_inverse=True)
    limit = distinct * (1 + TIE_TOLERANCE)
    if not np.any(distinct[1:] <= limit[:-1]):
        return times
    # A group spans at most the tolerance from its earliest time, so that close times never chain into one.
    following = np.searchsorted(distinct, limit, side="right").tolist()
    anchor = np.zeros(len(distinct), dtype=np.bool_)
    at = 0
    while at < len(distinct):
        anchor[at] = True
        at = following[at]
    return distinct[anchor][np.cumsum(anchor) - 1][position].reshape(times.shape)


def _warn_unit_mix(exit_: FloatArray) -> None:
    positive = exit_[exit_ > 0]
    if len(positive) and positive.max() / positive.min() > _UNIT_MIX:
        warnings.warn(
            compose_message(
                f"`exit` runs from {positive.min():g} to {positive.max():g}: more than fifteen powers of ten.",
                rows=[],
                count=None,
                consequence="No one unit of time covers both; some rows are probably in another unit.",
                hint="convert every row to days first.",
            ),
            DataWarning,
            stacklevel=4,
        )


def _clock(values: object, name: str) -> FloatArray:
    times = as_floats(values, name, ndim=1)
    refuse(
        ArgumentError,
        times < 0,
        "are negative.",
        columns={name: times},
        consequence="Time on the clock starts at 0; a negative one is usually two swapped dates.",
        hint="compute exit = end - origin, with end after origin.",
    )
    return times


def _tied(entry: object, exit_: FloatArray) -> tuple[FloatArray | None, FloatArray]:
    if entry is None:
        return None, tie_times(exit_)
    start = _clock(entry, "entry")
    same_length({"exit": exit_, "entry": start})
    tied = tie_times(np.concatenate([start, exit_]))
    begin, end = tied[: len(exit_)], tied[len(exit_) :]
    refuse(
        ArgumentError,
        begin >= end,
        "are not before their exit.",
        columns={"entry": start, "exit": exit_},
        consequence="A spell is at risk in (entry, exit]; one of no or negative length is never at risk.",
        hint="leave such rows out, or pass entry=None when every spell is seen from its origin.",
    )
    return begin, end


def check_spells(
    exit: object, event: object, *, entry: object = None, weight: object = None, n_causes: int | None = 1
) -> Spells:
    """Check spells once and make near ties exact.

    Parameters
    ----------
    exit : array-like of shape (n_spells,)
        Time of event or censoring, >= 0; above ``entry`` where that is given.
    event : array-like of shape (n_spells,)
        1 or True where the event happened, 0 or False where the spell is censored; with several causes
        their codes 1…K.
    entry : array-like of shape (n_spells,), optional
        Time at which observation begins (left truncation), >= 0.
    weight : array-like of shape (n_spells,), optional
        Frequencies, > 0.
    n_causes : int or None
        Largest code allowed. ``None``: as many causes as the largest code says.

    Returns
    -------
    Spells
        What the estimators compute with.

    Raises
    ------
    DataTypeError, MissingValueError, NonFiniteError, ArgumentError, EmptyDataError
        Whatever is wrong, with its column, count and rows.

    Warns
    -----
    DataWarning
        If times span more than fifteen powers of ten.
    """
    end = _clock(exit, "exit")
    codes = _event_codes(event, n_causes)
    n_spells = same_length({"exit": end, "event": codes})
    weights = _weights(weight, n_spells)
    if n_spells == 1 and weights[0] <= 1:
        raise EmptyDataError(
            "there is only 1 spell.",
            count=1,
            total=1,
            consequence="A curve from one spell says nothing about any other, and has no standard error.",
            hint="pass at least two spells, or pool this group with others.",
        )
    _warn_unit_mix(end)
    start, end = _tied(entry, end)
    return Spells(entry=start, exit=end, event=codes, weight=weights)


def _per_time(position: npt.NDArray[np.intp], weight: FloatArray, n_bins: int) -> FloatArray:
    return np.bincount(position, weights=weight, minlength=n_bins).astype(np.float64)


def _sum_from(counts: FloatArray) -> FloatArray:
    return np.cumsum(counts[::-1])[::-1]


def risk_sets(spells: Spells) -> RiskSets:
    """Count who is at risk and what happens at each distinct exit time, in O(n log n).

    Parameters
    ----------
    spells : Spells
        Checked input.

    Returns
    -------
    RiskSets
        Counts per time. They do not depend on the order of the rows, to the last bit.

    Examples
    --------
    >>> sets = risk_sets(check_spells([2, 3, 3], [1, 1, 0], entry=[0, 0, 2]))
    >>> sets.times, sets.n_at_risk
    (array([2., 3.]), array([2., 2.]))
    """
    # Weights are added from the smallest up, whatever the order of the rows.
    order = np.argsort(spells.weight, kind="stable")
    weight, event = spells.weight[order], spells.event[order]
    times, position = np.unique(spells.exit[order], return_inverse=True)
    n_times = len(times)
    leaving = _per_time(position, weight, n_times)
    events = _per_time(position, weight * (event > 0), n_times)
    at_risk = _sum_from(leaving)
    if spells.entry is not None:
        # Who enters at or after a time is not yet at risk there.
        begun = np.searchsorted(times, spells.entry[order], side="right")
        late = _sum_from(_per_time(begun, weight, n_times + 1))[1:]
        late_heads = _sum_from(np.bincount(begun, minlength=n_times + 1).astype(np.float64))[1:]
        exit_heads = np.bincount(position, minlength=n_times).astype(np.float64)
        # Where all at risk leave, their number is known exactly; a difference of sums would leave a remainder.
        alone = _sum_from(exit_heads) - late_heads == exit_heads
        at_risk = np.where(alone, leaving, at_risk - late)
    return RiskSets(times=times, n_at_risk=at_risk, n_events=events, n_censored=leaving - events)


def events_by_cause(spells: Spells, times: FloatArray, n_causes: int) -> FloatArray:
    """Events of each cause at each distinct time.

    Parameters
    ----------
    spells : Spells
        Checked input.
    times : array of shape (n_times,)
        Distinct exit times of those spells.
    n_causes : int
        Number of causes.

    Returns
    -------
    array of shape (n_causes, n_times)
        Sums of weights; independent of the order of the rows, to the last bit.

    Examples
    --------
    >>> spells = check_spells([2, 3, 3], [1, 2, 0], n_causes=2)
    >>> events_by_cause(spells, np.array([2.0, 3.0]), 2).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    order = np.argsort(spells.weight, kind="stable")
    order = order[spells.event[order] > 0]
    place = (spells.event[order] - 1) * len(times) + np.searchsorted(times, spells.exit[order])
    return _per_time(place, spells.weight[order], n_causes * len(times)).reshape(n_causes, len(times))
