"""Outcomes of 0 and 1 with their scores: who had the event by one moment, checked, ordered, and picked from the top."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np

from churnsurv._typing import BoolArray, FloatArray, IntArray
from churnsurv._validate import as_floats, check_choice, refuse, same_length
from churnsurv.errors import ArgumentError, DataTypeError
from churnsurv.hazards.scoring.censoring_weights import GivenCensoring, read_weighting
from churnsurv.hazards.scoring.outcomes import Outcomes, check_cause, read_outcomes, read_weight

Controls = Literal["all", "event-free"]

_WHOLE = 1e-12
"""A share of customers that is this close to a whole number of them, relatively, is that number: 0.1 of 30 is 3."""


@dataclass(frozen=True, eq=False)
class OutcomesAt:
    """Who had the event by one moment, as 0 and 1 with weights that make up for those censored before it.

    Made by :func:`outcomes_at`. Arrays have shape (n_scored,).

    Parameters
    ----------
    outcome : array of bool
        Whether the event happened by the moment; means nothing where ``ipcw`` is 0.
    ipcw : array
        1 / G where the outcome is known, 0 where it is not; all NaN if the moment is not supported.
    weight : array
        Frequencies.
    kept : array of int
        Positions of those at risk at the start among the rows given: pass ``risk_score[kept]``.
    supported : bool
        Whether anything is known at the moment.
    """

    outcome: BoolArray
    ipcw: FloatArray
    weight: FloatArray
    kept: IntArray
    supported: bool


def check_controls(controls: object) -> Controls:
    """Who counts as control: "all" or "event-free"."""
    return cast(Controls, check_choice(controls, "controls", ("all", "event-free")))


def cases_and_controls(
    outcomes: Outcomes, at: float, cause: int | None, controls: Controls
) -> tuple[BoolArray, BoolArray]:
    """Who is known to have had the event by a moment, and who is known not to."""
    case = outcomes.happened(at, cause)
    left = case if controls == "all" else outcomes.happened(at, None)
    return case, outcomes.known(at) & ~left


def outcomes_at(
    time: object,
    event: object,
    at: float,
    *,
    entry: object = None,
    weight: object = None,
    start: float = 0.0,
    cause: int | None = None,
    controls: Controls = "all",
    groups: object = None,
    censoring: GivenCensoring | None = None,
) -> OutcomesAt:
    """Outcomes at one moment, for scores of 0 and 1: lift, precision, recall, curves.

    Parameters
    ----------
    time, event, entry, weight, start, cause, controls, groups, censoring
        As in :func:`~churnsurv.hazards.scoring.discrimination.time_dependent_auc`. With
        ``controls="event-free"`` customers lost to another cause weigh 0.
    at : float
        Moment on the clock: start + horizon.

    Returns
    -------
    OutcomesAt
        Those at risk at the start.

    Raises
    ------
    ArgumentError, MissingValueError, NonFiniteError, DataTypeError, EmptyDataError, HorizonError
        As that function.

    Examples
    --------
    The customer censored at 2 is unknown at 3; the two still there then stand for it:

    >>> found = outcomes_at([1, 2, 3, 4], [1, 0, 0, 1], 3)
    >>> found.outcome.tolist(), found.ipcw.tolist()
    ([True, False, False, False], [1.0, 0.0, 1.5, 1.5])
    """
    asked, who = check_cause(cause), check_controls(controls)
    outcomes = read_outcomes(time, event, [at], entry=entry, weight=weight, start=start)
    weighting = read_weighting(outcomes, groups, censoring)
    case, control = cases_and_controls(outcomes, float(outcomes.times[0]), asked, who)
    supported = bool(weighting.supported[0])
    ipcw = weighting.at(0) * (case | control) if supported else np.full(len(case), math.nan)
    return OutcomesAt(case, ipcw, outcomes.weight, outcomes.kept, supported)


@dataclass(frozen=True, eq=False)
class Scored:
    """Checked outcomes with their scores.

    Parameters
    ----------
    outcome : array of shape (n,)
        1.0 where the event happened.
    score : array of shape (n,)
        Higher means more likely.
    weight : array of shape (n,)
        Frequencies.
    ipcw : array of shape (n,)
        What each customer stands for; 0 where the outcome is unknown.
    """

    outcome: FloatArray
    score: FloatArray
    weight: FloatArray
    ipcw: FloatArray

    @property
    def mass(self) -> FloatArray:
        """Frequency times ipcw: how much each outcome counts."""
        return self.weight * self.ipcw


def read_scored(outcome: object, score: object, name: str, *, weight: object, ipcw: object) -> Scored:
    """Check outcomes of 0 and 1, their scores and both kinds of weights.

    Parameters
    ----------
    outcome, score, weight, ipcw : array-like of shape (n,)
        As in :class:`Scored`; ``None`` for a weight: 1 each.
    name : str
        How errors call the score.

    Returns
    -------
    Scored
        The same, as float64.

    Raises
    ------
    ArgumentError, DataTypeError, MissingValueError, NonFiniteError, EmptyDataError
        Whatever is wrong, with its column, count and rows.
    """
    happened, scores = as_floats(outcome, "outcome", ndim=1), as_floats(score, name, ndim=1)
    counts = np.ones(len(happened)) if ipcw is None else as_floats(ipcw, "ipcw", ndim=1)
    n = same_length({"outcome": happened, name: scores, "ipcw": counts})
    refuse(
        ArgumentError,
        (happened != 0) & (happened != 1),
        "are neither 0 nor 1.",
        columns={"outcome": happened},
        hint="outcome is 1 where the event happened by the horizon: outcomes_at(time, event, at).outcome.",
    )
    refuse(
        ArgumentError,
        counts < 0,
        "are negative.",
        columns={"ipcw": counts},
        hint="ipcw is 1 / G where the outcome is known and 0 where it is not: outcomes_at(time, event, at).ipcw.",
    )
    return Scored(happened, scores, read_weight(weight, n), counts)


def ratio(part: float, whole: float) -> float:
    """Quotient, NaN where there is nothing to divide by."""
    return part / whole if whole > 0 else math.nan


def levels(scored: Scored, *amounts: FloatArray) -> tuple[FloatArray, list[FloatArray]]:
    """Distinct scores from the highest down, and each amount summed over the customers at or above them."""
    values, position = np.unique(-scored.score, return_inverse=True)
    return -values, [np.cumsum(np.bincount(position, amount, len(values))) for amount in amounts]


def flag_top(score: FloatArray, weight: FloatArray, top: object) -> FloatArray:
    """Share of each customer that is among the top: 1 above the border, 0 below, the rest spread evenly at it.

    Parameters
    ----------
    score, weight : array of shape (n,)
        Scores and frequencies.
    top : int or float
        An int is a number of customers, a float a share of them in (0, 1].

    Returns
    -------
    array of shape (n,)
        In [0, 1]; times ``weight`` it sums to the number asked for.

    Raises
    ------
    DataTypeError
        If ``top`` is not a number.
    ArgumentError
        If it is not a share in (0, 1] or not a number of customers from 1 to all of them.

    Examples
    --------
    Three customers share the second and third place:

    >>> flag_top(np.array([0.9, 0.5, 0.5, 0.5]), np.ones(4), 3).round(3)
    array([1.   , 0.667, 0.667, 0.667])
    """
    hint = "write top=0.1 for a tenth of the customers, or top=500 for five hundred."
    if isinstance(top, (bool, np.bool_)) or not isinstance(top, (int, float, np.integer, np.floating)):
        raise DataTypeError(f"`top`={top!r} is neither a share nor a number of customers.", column="top", hint=hint)
    total = float(weight.sum())
    wanted = float(top) if isinstance(top, (int, np.integer)) else float(top) * total
    if abs(wanted - round(wanted)) <= _WHOLE * wanted:
        wanted = float(round(wanted))
    if not 0 < wanted <= total * (1 + _WHOLE):
        raise ArgumentError(f"`top`={top!r} is not more than none and at most all {total:g}.", column="top", hint=hint)
    values, position = np.unique(-score, return_inverse=True)
    group = np.bincount(position, weight, len(values))
    above = np.concatenate([[0.0], np.cumsum(group)[:-1]])
    shares: FloatArray = np.clip((wanted - above) / group, 0.0, 1.0)
    return shares[position]
