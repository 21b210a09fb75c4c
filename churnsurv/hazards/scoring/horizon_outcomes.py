"""What happened by one horizon, in a form that calibration can be computed from, censored or not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from churnsurv._typing import FloatArray, IntArray
from churnsurv._validate import as_floats, plain_array, refuse, same_length
from churnsurv.errors import ArgumentError, HorizonError
from churnsurv.hazards.scoring.censoring_weights import GivenCensoring, read_weighting
from churnsurv.hazards.scoring.outcomes import Outcomes, check_cause, read_outcomes, read_weight
from churnsurv.hazards.scoring.pseudo_values import SMALL_SHARE, pseudo_columns


@dataclass(frozen=True, eq=False, repr=False)
class HorizonOutcomes:
    """Outcome of each scored customer at one horizon: 0 or 1, or what stands for it under censoring.

    Made by :func:`horizon_outcomes` or :func:`known_outcomes`. Arrays have shape (n_scored,).

    Parameters
    ----------
    value : array
        0 or 1 where everybody's state is known. Otherwise pseudo-values, whose mean given a customer's features
        is the probability; or, with a model of the censoring, 0 or 1 again.
    ipcw : array
        1; with a model of the censoring the weight by its inverse, 0 for those whose state is not known.
    weight : array
        Frequencies.
    kept : array of int
        Positions of the scored among the rows given.
    n_given : int
        Rows given.
    horizon : float
        Moment on the clock; NaN for outcomes given as such.
    known : bool
        Whether everybody's state is known.
    known_share : float
        Share of the customers whose state is known.
    source : Outcomes or None
        What it was made of; ``None`` for outcomes given as such.
    cause : int or None
        Cause asked about.
    """

    value: FloatArray
    ipcw: FloatArray
    weight: FloatArray
    kept: IntArray
    n_given: int
    horizon: float
    known: bool
    known_share: float
    source: Outcomes | None
    cause: int | None

    def __repr__(self) -> str:
        """Return one line."""
        state = "all known" if self.known else f"{self.known_share:.1%} known"
        return f"HorizonOutcomes({self.weight.sum():g} customers, {self.observed:.4g} observed, {state})"

    @property
    def observed(self) -> float:
        """Observed probability of the event by the horizon."""
        mass = self.weight * self.ipcw
        return float(np.sum(mass * self.value) / mass.sum())

    def predictions(self, probability: object) -> FloatArray:
        """Predicted probabilities of the scored, checked.

        Parameters
        ----------
        probability : array-like of shape (n_given,)
            Predicted probability of the event by the horizon, one per row given.
        """
        found = as_floats(probability, "probability", ndim=1)
        if len(found) != self.n_given:
            raise ArgumentError(
                f"`probability` has {len(found):,} values for {self.n_given:,} customers.",
                column="probability",
                consequence="Rows are matched by position.",
                hint="pass one probability per row of the outcomes, also for those who are not scored.",
            )
        refuse(
            ArgumentError,
            (found < 0) | (found > 1),
            "lie outside [0, 1].",
            columns={"probability": found},
            hint="pass probabilities; divide percentages by 100.",
        )
        return found[self.kept]


def known_outcomes(outcome: object, *, weight: object = None) -> HorizonOutcomes:
    """Outcomes that are known of everybody.

    Parameters
    ----------
    outcome : array-like of shape (n,)
        1 or True where the event happened by the horizon, 0 or False where it did not.
    weight : array-like of shape (n,), optional
        Frequencies > 0.

    Returns
    -------
    HorizonOutcomes
        For the functions of calibration.

    Raises
    ------
    ArgumentError, MissingValueError, NonFiniteError, DataTypeError, EmptyDataError
        If an outcome is neither 0 nor 1, or an argument is wrong.

    Examples
    --------
    >>> known_outcomes([0, 1, 1, 0])
    HorizonOutcomes(4 customers, 0.5 observed, all known)
    """
    value = as_floats(outcome, "outcome", ndim=1)
    n = same_length({"outcome": value})
    refuse(
        ArgumentError,
        (value != 0) & (value != 1),
        "are neither 0 nor 1.",
        columns={"outcome": value},
        consequence="Who was censored before the horizon has no outcome; a guess would bias everything after it.",
        hint="horizon_outcomes(time, event, horizon) knows what to do with the censored.",
    )
    return HorizonOutcomes(
        value, np.ones(n), read_weight(weight, n), np.arange(n), n, np.nan, True, 1.0, None, None
    )  # fmt: skip


def _pseudo(outcomes: Outcomes, cause: int | None) -> FloatArray:
    found = pseudo_columns(outcomes, cause, SMALL_SHARE)
    if not found.supported[0]:
        raise HorizonError(
            f"a horizon of {outcomes.times[0]:g} lies beyond the last observed time, {outcomes.time.max():g}.",
            column="horizon",
            consequence="The customers censored last hide what happens after; any number would be a guess.",
            hint=f"ask for at most {outcomes.time.max():g}.",
        )
    return found.values[:, 0]


def _pseudo_by_group(outcomes: Outcomes, cause: int | None, groups: object) -> FloatArray:
    if groups is None:
        return _pseudo(outcomes, cause)
    labels = plain_array(groups, "groups")
    same_length({"time": np.empty(outcomes.n_given), "groups": labels})
    number = np.unique(labels[outcomes.kept], return_inverse=True)[1]
    order = np.argsort(number, kind="stable")
    found = np.empty(len(order))
    for rows in np.split(order, np.flatnonzero(np.diff(number[order])) + 1):
        found[rows] = _pseudo(outcomes.part(rows), cause)
    return found


def horizon_outcomes(
    time: object,
    event: object,
    horizon: float,
    *,
    cause: int | None = None,
    entry: object = None,
    weight: object = None,
    start: float = 0.0,
    groups: object = None,
    censoring: GivenCensoring | None = None,
) -> HorizonOutcomes:
    """Outcomes at a horizon of customers at risk at the start, some of them censored before it.

    Where nobody is, these are zeros and ones. Otherwise infinitesimal-jackknife pseudo-values stand for them, of
    all customers together or group by group; or, with a model of the censoring, those whose state is known stand
    for the others, with weights.

    Parameters
    ----------
    time, event, entry, weight, start
        As in :func:`~churnsurv.hazards.scoring.brier.brier_score`.
    horizon : float
        Moment on the clock of ``time``, after ``start``.
    cause : int, optional
        Cause asked about; any event by default. Events of other causes are then known not to be of this one.
    groups, censoring
        Censoring that depends on customers, as in :func:`~churnsurv.hazards.scoring.censoring.ipcw_weights`.

    Returns
    -------
    HorizonOutcomes
        For the functions of calibration.

    Raises
    ------
    HorizonError
        If the horizon lies beyond what was observed, of any group.
    ArgumentError, MissingValueError, NonFiniteError, DataTypeError, EmptyDataError
        As ``brier_score``.

    Examples
    --------
    The one censored at 2 is half way:

    >>> horizon_outcomes([1, 2, 3, 4], [1, 0, 1, 0], 3).value.round(3)
    array([ 1.  ,  0.5 ,  1.25, -0.25])
    """
    which = check_cause(cause)
    outcomes = read_outcomes(time, event, [horizon], entry=entry, weight=weight, start=start)
    at = float(outcomes.times[0])
    state = outcomes.known(at)
    happened = outcomes.happened(at, which).astype(np.float64)
    ones = np.ones(len(state))
    if state.all():
        value, ipcw = happened, ones
    elif censoring is not None:
        value, ipcw = happened, _given_weights(outcomes, groups, censoring)
    else:
        value, ipcw = _pseudo_by_group(outcomes, which, groups), ones
    share = float(outcomes.weight[state].sum() / outcomes.total)
    return HorizonOutcomes(
        value, ipcw, outcomes.weight, outcomes.kept, outcomes.n_given, at, bool(state.all()), share, outcomes, which
    )


def _given_weights(outcomes: Outcomes, groups: object, censoring: GivenCensoring) -> FloatArray:
    weighting = read_weighting(outcomes, groups, censoring)
    if not weighting.supported[0]:
        raise HorizonError(
            f"at the horizon, {outcomes.times[0]:g}, somebody could not have been seen any more.",
            column="horizon",
            consequence="Nobody stands for such customers.",
            hint="ask for an earlier horizon, or leave them out and say so.",
        )
    return weighting.at(0)
