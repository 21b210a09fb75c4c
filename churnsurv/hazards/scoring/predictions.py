"""Predicted probabilities together with the outcomes and weights that score them, one time after the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from churnsurv._typing import BoolArray, FloatArray
from churnsurv.errors import ArgumentError
from churnsurv.hazards.scoring.censoring_weights import GivenCensoring, Weighting, mean_with_influence, read_weighting
from churnsurv.hazards.scoring.outcomes import Outcomes, check_cause, read_outcomes, read_probabilities

Loss = Callable[[BoolArray, FloatArray], FloatArray]
"""Score of each customer from whether the event happened and the probability it was given."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """Probabilities of the event by each time, of those who are scored.

    Parameters
    ----------
    outcomes : Outcomes
        What happened.
    weighting : Weighting
        How those whose state is known stand for the others.
    risk : array of shape (n_scored, n_times)
        Probability of the event by each time.
    cause : int or None
        Cause asked about, ``None`` for any event.
    """

    outcomes: Outcomes
    weighting: Weighting
    risk: FloatArray
    cause: int | None


@dataclass(frozen=True, eq=False)
class TimeScores:
    """Mean loss at each time, NaN where not supported.

    Parameters
    ----------
    score, standard_error : array of shape (n_times,)
        Mean and standard error.
    combined : array of shape (n_scored,)
        Influence on the sum of scores times the weights asked for.
    """

    score: FloatArray
    standard_error: FloatArray
    combined: FloatArray


def read_risk(values: tuple[object, object], cause: int | None, outcomes: Outcomes) -> tuple[FloatArray, int | None]:
    """Probability of the event from survival or from incidence, whichever is given, and the cause it is about.

    Raises
    ------
    ArgumentError
        If both or none are given, or an incidence without its cause.
    """
    survival, incidence = values
    which = check_cause(cause)
    if (survival is None) == (incidence is None):
        raise ArgumentError(
            "exactly one of `survival` and `incidence` is needed.",
            column="survival",
            hint="survival= is the probability of no event, incidence= that of an event of one cause.",
        )
    if survival is not None:
        if which is not None:
            raise ArgumentError(
                f"`cause`={which} needs `incidence`: survival is about any event.",
                column="cause",
                consequence="One minus survival counts the other causes as well.",
                hint="pass incidence=fit.predict_cumulative_incidence(times, cause), or leave cause out.",
            )
        return 1.0 - read_probabilities(survival, "survival", outcomes), None
    if which is None:
        raise ArgumentError(
            "`incidence` is given without `cause`.", column="cause", hint="cause=1 scores the first cause."
        )
    return read_probabilities(incidence, "incidence", outcomes), which


def read_predictions(
    time: object,
    event: object,
    times: object,
    *,
    survival: object,
    incidence: object,
    cause: int | None,
    entry: object,
    weight: object,
    start: float,
    groups: object,
    censoring: GivenCensoring | None,
) -> Predictions:
    """Check outcomes and predictions; arguments as in :func:`~churnsurv.hazards.scoring.brier.brier_score`."""
    outcomes = read_outcomes(time, event, times, entry=entry, weight=weight, start=start)
    risk, which = read_risk((survival, incidence), cause, outcomes)
    return Predictions(outcomes, read_weighting(outcomes, groups, censoring), risk, which)


def squared_error(happened: BoolArray, risk: FloatArray) -> FloatArray:
    """Squared difference of outcome and probability."""
    error: FloatArray = (happened - risk) ** 2
    return error


def score_times(predictions: Predictions, loss: Loss, combine: FloatArray | None = None) -> TimeScores:
    """Mean loss at each time with its infinitesimal-jackknife standard error.

    Parameters
    ----------
    predictions : Predictions
        What is scored.
    loss : callable
        Score of each customer.
    combine : array of shape (n_times,), optional
        Weights of the times in the combined influence; those of times that are not supported are 0.

    Returns
    -------
    TimeScores
        One entry per time.
    """
    outcomes, supported = predictions.outcomes, predictions.weighting.supported
    n_times = len(outcomes.times)
    score, error = np.full(n_times, np.nan), np.full(n_times, np.nan)
    combined = np.zeros(len(outcomes.time))
    for j in np.flatnonzero(supported):
        residual = loss(outcomes.happened(outcomes.times[j], predictions.cause), predictions.risk[:, j])
        score[j], influence = mean_with_influence(outcomes, predictions.weighting, int(j), residual)
        error[j] = spread_of(outcomes, influence)
        if combine is not None and combine[j] != 0:
            combined += combine[j] * influence
    return TimeScores(score, error, combined)


def spread_of(outcomes: Outcomes, influence: FloatArray) -> float:
    """Standard error from influences."""
    return float(np.sqrt(np.sum(outcomes.weight * influence**2)))


def observed_risk(predictions: Predictions) -> FloatArray:
    """Observed probability of the event by each time: one minus Kaplan–Meier, or Aalen–Johansen, where supported.

    With weights of the customers themselves both are weighted means of outcomes; with a model of the censoring
    this mean is what its weights make of them, and with groups the mixture of the groups' curves.
    """
    outcomes, supported = predictions.outcomes, predictions.weighting.supported
    found = np.full(len(outcomes.times), np.nan)
    for j in np.flatnonzero(supported):
        mass = outcomes.weight * predictions.weighting.at(int(j))
        found[j] = mass[outcomes.happened(outcomes.times[j], predictions.cause)].sum() / mass.sum()
    return found
