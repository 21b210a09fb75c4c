"""Outcomes that predictions are scored against: checked once, ties made exact, those at risk at the start picked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from churnsurv._typing import BoolArray, FloatArray, IntArray
from churnsurv._validate import as_floats, refuse, same_length
from churnsurv.errors import ArgumentError, EmptyDataError, HorizonError
from churnsurv.hazards.risk_sets import check_spells, tie_times


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Checked outcomes of the customers that are scored.

    Parameters
    ----------
    time : array of shape (n_scored,)
        Time of event or censoring.
    event : array of shape (n_scored,)
        0 censored, 1…K the cause.
    entry : array of shape (n_scored,)
        When observation began, not before ``start``.
    weight : array of shape (n_scored,)
        Frequencies.
    times : array of shape (n_times,)
        Moments asked about; tied with the customers' own times.
    start : float
        Time from which predictions run.
    kept : array of shape (n_scored,)
        Positions of these customers among the ``n_given`` rows.
    n_given : int
        Rows given.
    """

    time: FloatArray
    event: IntArray
    entry: FloatArray
    weight: FloatArray
    times: FloatArray
    start: float
    kept: IntArray
    n_given: int

    @property
    def total(self) -> float:
        """Sum of the weights."""
        return float(self.weight.sum())

    def part(self, rows: IntArray) -> Outcomes:
        """Outcomes of some of the customers."""
        return Outcomes(
            time=self.time[rows],
            event=self.event[rows],
            entry=self.entry[rows],
            weight=self.weight[rows],
            times=self.times,
            start=self.start,
            kept=self.kept[rows],
            n_given=self.n_given,
        )

    def is_cause(self, cause: int | None) -> BoolArray:
        """Which customers end in this cause; in any of them if ``None``."""
        return self.event > 0 if cause is None else self.event == cause

    def happened(self, at: float, cause: int | None) -> BoolArray:
        """Which customers had an event of this cause by a moment, that moment included."""
        found: BoolArray = (self.time <= at) & self.is_cause(cause)
        return found

    def known(self, at: float) -> BoolArray:
        """Whose state at a moment is known: an event before, or censored no earlier than it."""
        found: BoolArray = (self.event > 0) | (self.time >= at)
        return found


def check_cause(cause: int | None) -> int | None:
    """Cause asked about, a code 1…K, or ``None`` for any event."""
    if cause is not None and (isinstance(cause, bool) or not isinstance(cause, (int, np.integer)) or cause < 1):
        raise ArgumentError(f"`cause`={cause!r} is no code of a cause.", column="cause", hint="write cause=1, or None.")
    return None if cause is None else int(cause)


def _check_times(times: object, start: float) -> FloatArray:
    at = np.atleast_1d(as_floats(times, "times"))
    if at.ndim != 1 or not len(at):
        raise HorizonError(
            f"`times` has shape {at.shape}; it needs one axis and a value.",
            column="times",
            hint="write times=[30, 60].",
        )
    refuse(
        HorizonError,
        at < start,
        f"lie before the start, {start:g}.",
        columns={"times": at},
        consequence="Predictions run from the start; before it nothing was predicted.",
        hint="times are on the clock of `time`: pass start + horizon.",
    )
    refuse(
        HorizonError,
        np.concatenate([[False], np.diff(at) <= 0]),
        "do not increase.",
        columns={"times": at},
        hint="sort the times, and the columns of the predictions with them.",
    )
    return at


def read_outcomes(
    time: object,
    event: object,
    times: object,
    *,
    entry: object = None,
    weight: object = None,
    start: float = 0.0,
    late: bool = False,
) -> Outcomes:
    """Check outcomes and keep the customers that are scored.

    Parameters
    ----------
    time, event, entry, weight : array-like of shape (n,)
        As in :func:`~churnsurv.hazards.risk_sets.check_spells`, with several causes allowed.
    times : array-like of shape (n_times,)
        Moments asked about, increasing, none before ``start``.
    start : float
        Time from which predictions run, >= 0.
    late : bool
        Keep also who enters after the start.

    Returns
    -------
    Outcomes
        Of those with ``entry <= start < time``; with ``late`` of all with ``start < time``.

    Raises
    ------
    ArgumentError, MissingValueError, NonFiniteError, DataTypeError
        If an argument is wrong.
    HorizonError
        If times do not increase or lie before the start.
    EmptyDataError
        If nobody is at risk at the start.
    """
    begin = float(as_floats(start, "start", ndim=0))
    if begin < 0:
        raise ArgumentError(f"`start`={begin:g} is negative.", column="start", hint="time on the clock starts at 0.")
    at = _check_times(times, begin)
    spells = check_spells(time, event, entry=entry, weight=weight, n_causes=None)
    n = len(spells.exit)
    begun = np.zeros(n) if spells.entry is None else spells.entry
    tied = tie_times(np.concatenate([spells.exit, begun, at, [begin]]))
    exit_, begun, at, begin = tied[:n], tied[n : 2 * n], tied[2 * n : -1], float(tied[-1])
    kept = np.flatnonzero((exit_ > begin) & ((begun <= begin) | late))
    if not len(kept):
        raise EmptyDataError(
            f"none of {n:,} customers is at risk at the start, {begin:g}.",
            count=n,
            total=n,
            consequence="There is nobody to score.",
            hint="start is on the clock of `time`: those with entry <= start < time are scored.",
        )
    whole = Outcomes(exit_, spells.event, np.maximum(begun, begin), spells.weight, at, begin, np.arange(n), n)
    return whole if len(kept) == n else whole.part(kept)


def read_probabilities(values: object, name: str, outcomes: Outcomes, *, columns: bool = True) -> FloatArray:
    """Check predicted probabilities and keep the rows of those who are scored.

    Parameters
    ----------
    values : array-like of shape (n_given, n_times), or (n_given,) for one time
        Probabilities.
    name : str
        How errors call them.
    outcomes : Outcomes
        What they are scored against.
    columns : bool
        Whether they have one column per time.

    Returns
    -------
    array of shape (n_scored, n_times), or (n_scored,)
        The same probabilities.

    Raises
    ------
    ArgumentError
        If the shape is another, or a value lies outside [0, 1].
    """
    found = as_floats(values, name)
    if columns and found.ndim == 1 and len(outcomes.times) == 1:
        found = found[:, None]
    wanted = (outcomes.n_given, len(outcomes.times)) if columns else (outcomes.n_given,)
    if found.shape != wanted:
        raise ArgumentError(
            f"`{name}` has shape {found.shape}; it needs {wanted}: customers by times.",
            column=name,
            consequence="Rows and columns are matched by position.",
            hint=f"predict at these times: {name} = fit.predict(customers, times).",
        )
    refuse(
        ArgumentError,
        (found < 0) | (found > 1),
        "lie outside [0, 1].",
        columns={name: found},
        consequence="No probability lies there; a percentage would be a hundred times too large.",
        hint=f"pass probabilities; divide percentages by 100: {name} = {name} / 100.",
    )
    return found if len(outcomes.kept) == outcomes.n_given else found[outcomes.kept]


def read_weight(weight: object, n: int) -> FloatArray:
    """Frequencies as float64, 1 each if not given; negative or zero ones are refused.

    Raises
    ------
    ArgumentError
        If the number of rows is another, or a weight is not positive.
    """
    if weight is None:
        return np.ones(n)
    found = as_floats(weight, "weight", ndim=1)
    same_length({"outcome": np.empty(n), "weight": found})
    refuse(
        ArgumentError,
        found <= 0,
        "are negative or zero.",
        columns={"weight": found},
        hint="leave such rows out yourself: keep = weight > 0.",
    )
    return found
