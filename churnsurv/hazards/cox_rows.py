"""Rows in the order in which the partial likelihood reads them: backwards in time, stratum by stratum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from churnsurv._typing import BoolArray, FloatArray, IntArray
from churnsurv._validate import refuse
from churnsurv.errors import ArgumentError, NoEventsError
from churnsurv.hazards.risk_sets import TIE_TOLERANCE


@dataclass(frozen=True, eq=False)
class CoxRows:
    """Who is at risk at each event time, as positions: all that the partial likelihood knows of time.

    Event times are numbered backwards within each stratum, strata one after the other. Rows at risk at no
    event time say nothing and are left out of the sorted arrays; they keep their place in every result.

    Parameters
    ----------
    n_rows : int
        Rows handed in, those left out included.
    stop, start : array of shape (n_rows,), ``start`` or None
        Times as handed in, near ties made exact; ``start`` is ``None`` when every row is seen from 0.
    event : array of shape (n_rows,)
        True where the event happened.
    row_stratum : array of shape (n_rows,)
        Position in ``strata``.
    strata : array of shape (n_strata,)
        Distinct values of the strata, sorted; one empty text without strata.
    position : array of shape (n_sorted,)
        Row of each sorted row.
    weight : array of shape (n_sorted,)
        Weights of the sorted rows.
    leave : array of shape (n_sorted,)
        Number of the first event time (backwards) at which a row is not yet at risk.
    row_bounds : array of shape (n_times + 1,)
        Sorted rows ``row_bounds[k]:row_bounds[k + 1]`` arrive at time ``k``; those with the event come first.
    n_deaths : array of shape (n_times,)
        Rows with the event at each time.
    leaving, leaving_bounds : array of shape (n_leaving,) and (n_times + 1,)
        Sorted rows that were at risk at time ``k - 1`` and are not at ``k``.
    times : array of shape (n_times,)
        Distinct event times, decreasing within each stratum.
    time_bounds : array of shape (n_strata + 1,)
        Event times ``time_bounds[s]:time_bounds[s + 1]`` are those of stratum ``s``.
    """

    n_rows: int
    stop: FloatArray
    start: FloatArray | None
    event: BoolArray
    row_stratum: IntArray
    strata: npt.NDArray[Any]
    position: IntArray
    weight: FloatArray
    leave: IntArray
    row_bounds: IntArray
    n_deaths: IntArray
    leaving: IntArray
    leaving_bounds: IntArray
    times: FloatArray
    time_bounds: IntArray

    @property
    def n_times(self) -> int:
        """Number of distinct event times, all strata together."""
        return len(self.times)

    @property
    def n_events(self) -> int:
        """Number of rows with the event."""
        return int(self.n_deaths.sum())

    def deaths(self) -> tuple[IntArray, IntArray]:
        """Sorted rows with the event, and the number of the time of each.

        Returns
        -------
        row, time : array of shape (n_events,)
            Positions in the sorted rows and in ``times``.
        """
        time = np.repeat(np.arange(self.n_times), self.n_deaths)
        begin = np.cumsum(self.n_deaths) - self.n_deaths
        return self.row_bounds[time] + np.arange(len(time)) - begin[time], time

    def scatter(self, values: FloatArray) -> FloatArray:
        """Give each row of the input its value; rows at risk at no event time get 0.

        Parameters
        ----------
        values : array of shape (n_sorted, ...)
            Values of the sorted rows.

        Returns
        -------
        array of shape (n_rows, ...)
            The same in the order of the input.
        """
        out = np.zeros((self.n_rows, *values.shape[1:]))
        out[self.position] = values
        return out


@dataclass(frozen=True, eq=False)
class CoxCovariates:
    """Covariates in the order of the sorted rows, centred within each stratum.

    A shift of x within a stratum leaves the partial likelihood as it is, and centring keeps its digits.

    Parameters
    ----------
    x : array of shape (n_sorted, p)
        Centred covariates.
    centre : array of shape (n_strata, p)
        What was taken off.
    variance : array of shape (p,)
        Mean squares of the centred columns; exactly 0 for one that is constant within each stratum.
    reach : array of shape (p,)
        Largest difference of two values within a stratum.
    """

    x: FloatArray
    centre: FloatArray
    variance: FloatArray
    reach: FloatArray


def _moments(
    start: FloatArray | None, stop: FloatArray, stratum: IntArray, n_strata: int
) -> tuple[FloatArray, IntArray, IntArray]:
    """Distinct pairs of stratum and time, strata from the last to the first: their time, and the pair of each value.

    Values are all stops, then all starts.
    """
    from churnsurv.hazards import cox_kernels as kernels

    values = stop if start is None else np.concatenate([stop, start])
    order = np.argsort(values)
    ordered = kernels.tie_sorted(values[order], TIE_TOLERANCE)
    reverse = (n_strata - 1 - stratum)[order % len(stop)]
    if n_strata > 1:
        by_stratum = kernels.stable_order(reverse, n_strata)
        order, ordered, reverse = order[by_stratum], ordered[by_stratum], reverse[by_stratum]
    new = np.concatenate([[True], (ordered[1:] != ordered[:-1]) | (reverse[1:] != reverse[:-1])])
    pair = np.empty(len(order), dtype=np.int64)
    pair[order] = np.cumsum(new) - 1
    return ordered[new], reverse[new], pair


def _bounds(number: IntArray, n_numbers: int) -> IntArray:
    """Where each number begins among sorted ones, and the end of the last."""
    return np.concatenate([[0], np.cumsum(np.bincount(number, minlength=n_numbers))]).astype(np.int64)


def _check_lengths(start: FloatArray, stop: FloatArray, empty: BoolArray) -> None:
    refuse(
        ArgumentError,
        empty,
        "are not before their stop.",
        columns={"start": start, "stop": stop},
        consequence="A row is at risk in (start, stop]; one of no or negative length is never at risk.",
        hint="leave such rows out: keep = start < stop.",
    )


def _check_events(event: BoolArray) -> None:
    if not event.any():
        raise NoEventsError(
            f"none of the {len(event):,} rows has an event.",
            count=0,
            total=len(event),
            consequence="Without an event no coefficient can be learnt.",
            hint="look at the churn definition and the observation window, or at the cause that was chosen.",
        )


def _strata(strata: npt.ArrayLike | None, n_rows: int) -> tuple[npt.NDArray[Any], IntArray]:
    if strata is None:
        return np.array([""]), np.zeros(n_rows, dtype=np.int64)
    labels, stratum = np.unique(np.asarray(strata), return_inverse=True)
    return labels, stratum.astype(np.int64)


def order_rows(
    start: FloatArray | None,
    stop: FloatArray,
    event: npt.ArrayLike,
    *,
    strata: npt.ArrayLike | None = None,
    weight: FloatArray | None = None,
) -> CoxRows:
    """Sort rows ``(start, stop]`` once for every pass of the partial likelihood.

    A row is at risk at time t when ``start < t <= stop``. Times that differ by rounding only are one time
    (:data:`~churnsurv.hazards.risk_sets.TIE_TOLERANCE`), across ``start`` and ``stop`` alike.

    Parameters
    ----------
    start : array of shape (n_rows,) or None
        Time from which each row is observed, >= 0; ``None``: from 0.
    stop : array of shape (n_rows,)
        Time of event or censoring, > start.
    event : array of shape (n_rows,)
        1 or True where the event happened at ``stop``.
    strata : array of shape (n_rows,), optional
        Rows with different values have baselines of their own. Integers, or text.
    weight : array of shape (n_rows,), optional
        Frequencies or case weights, > 0; 1 each if left out.

    Returns
    -------
    CoxRows
        What every function of :mod:`~churnsurv.hazards.partial_likelihood` takes.

    Raises
    ------
    ArgumentError
        If a row does not start before it stops.
    NoEventsError
        If there is no event.

    Examples
    --------
    Five rows, events at 3 and 5; the third is at risk at neither:

    >>> rows = order_rows(None, np.array([5.0, 3.0, 1.0, 3.0, 4.0]), [1, 1, 0, 0, 0])
    >>> rows.times, rows.position
    (array([5., 3.]), array([0, 1, 3, 4]))
    """
    happened = np.asarray(event).astype(np.bool_)
    _check_events(happened)
    stop = np.asarray(stop, dtype=np.float64)
    start = None if start is None or not np.any(start) else np.asarray(start, dtype=np.float64)
    labels, stratum = _strata(strata, len(stop))
    moment, reverse, pair = _moments(start, stop, stratum, len(labels))
    ended, begun = pair[: len(stop)], pair[len(stop) :]
    if start is not None:
        _check_lengths(start, stop, begun >= ended)
    is_event = np.zeros(len(moment), dtype=np.bool_)
    is_event[ended[happened]] = True
    time_bounds = _bounds(len(labels) - 1 - reverse[is_event], len(labels))
    # Counted backwards, the event moments that lie after a moment come before it.
    later = (np.cumsum(is_event[::-1])[::-1] - is_event).astype(np.int64)
    return CoxRows(
        n_rows=len(stop),
        stop=moment[ended],
        start=None if start is None else moment[begun],
        event=happened,
        row_stratum=stratum,
        strata=labels,
        times=moment[is_event][::-1],
        time_bounds=time_bounds,
        **_sorted_arrays(
            later[ended], time_bounds[1:][stratum] if start is None else later[begun], happened, weight, time_bounds[-1]
        ),
    )


def _sorted_arrays(
    arrive: IntArray, leave: IntArray, event: BoolArray, weight: FloatArray | None, n_times: int
) -> dict[str, Any]:
    """Arrays of the sorted rows, from the event time at which each row arrives and the one at which it is gone."""
    from churnsurv.hazards import cox_kernels as kernels

    kept = np.flatnonzero(arrive < leave)
    position = kept[kernels.stable_order(2 * arrive[kept] + ~event[kept], 2 * n_times)]
    arrive, leave, event = arrive[position], leave[position], event[position]
    return {
        "position": position,
        "weight": np.ones(len(position)) if weight is None else np.asarray(weight, dtype=np.float64)[position],
        "leave": leave,
        "row_bounds": _bounds(arrive, n_times),
        "n_deaths": np.bincount(arrive[event], minlength=n_times).astype(np.int64),
        "leaving": kernels.stable_order(leave, n_times + 1),
        "leaving_bounds": _bounds(leave, n_times + 1)[: n_times + 1],
    }


def arrange_covariates(rows: CoxRows, x: FloatArray | CoxCovariates) -> CoxCovariates:
    """Bring covariates into the order of the sorted rows, once for many passes.

    Parameters
    ----------
    rows : CoxRows
        Sorted rows.
    x : array of shape (n_rows, p) or CoxCovariates
        Covariates, finite, in the order of the input; arranged ones are given back.

    Returns
    -------
    CoxCovariates
        What every function of :mod:`~churnsurv.hazards.partial_likelihood` takes in place of ``x``.
    """
    if isinstance(x, CoxCovariates):
        return x
    from churnsurv.hazards import cox_kernels as kernels

    # Every kind of array, read-only ones included, would be compiled for anew.
    plain = np.require(x, np.float64, ["C", "W"])
    return CoxCovariates(*kernels.take_centred(plain, rows.position, rows.row_bounds[rows.time_bounds]))
