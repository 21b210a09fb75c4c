"""Logarithmic score of predicted probabilities at given times."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from churnsurv._typing import BoolArray, FloatArray
from churnsurv.errors import ArgumentError
from churnsurv.hazards.scoring.censoring_weights import GivenCensoring
from churnsurv.hazards.scoring.predictions import read_predictions, score_times


@dataclass(frozen=True, eq=False, repr=False)
class LogScore:
    """Mean negative logarithm of the probability given to what happened, at each time.

    Made by :func:`log_score`. Arrays have shape (n_times,).

    Parameters
    ----------
    times : array
        Moments.
    score : array
        In nats, >= 0, lower is better; infinite where something happened that had probability 0, NaN where not
        supported.
    standard_error : array
        Of ``score``; NaN where that is infinite.
    n_impossible : array
        Customers, with their frequencies, to whom something happened that had probability 0.
    supported : array of bool
        Whether what happened by each time can be known for everybody.
    n_scored : float
        Customers at risk at the start.
    """

    times: FloatArray
    score: FloatArray
    standard_error: FloatArray
    n_impossible: FloatArray
    supported: BoolArray
    n_scored: float

    def __repr__(self) -> str:
        """Return one line."""
        told = ", ".join(f"{t:g}: {s:.4g}" for t, s in zip(self.times[:4], self.score[:4], strict=True))
        return f"LogScore({told}{', …' if len(self.times) > 4 else ''}; {self.n_impossible.max():g} impossible)"


def _surprise(happened: BoolArray, risk: FloatArray) -> FloatArray:
    """Negative log of the probability of what happened; 0 where that was certain and 0 where it was impossible."""
    given = np.where(happened, risk, 1.0 - risk)
    found: FloatArray = -np.log(np.where(given > 0, given, 1.0))
    return found


def _check_smallest(smallest: float) -> float:
    if not 0 <= smallest < 0.5:
        raise ArgumentError(
            f"`smallest`={smallest!r} is not in [0, 0.5).",
            column="smallest",
            hint="smallest=1e-6 keeps probabilities between one in a million and one minus that.",
        )
    return float(smallest)


def log_score(
    time: object,
    event: object,
    times: object,
    *,
    survival: object = None,
    incidence: object = None,
    cause: int | None = None,
    smallest: float = 0.0,
    entry: object = None,
    weight: object = None,
    start: float = 0.0,
    groups: object = None,
    censoring: GivenCensoring | None = None,
) -> LogScore:
    r"""Logarithmic score of a probability at each time, with weights by the inverse probability of censoring.

    .. math:: -\frac{1}{n} \sum_i W_i(t) \bigl[ y_i(t) \log \hat F_i(t)
              + \{1 - y_i(t)\} \log\{1 - \hat F_i(t)\} \bigr]

    A probability of exactly 0 of what then happens costs infinitely much, as it should: such a model has lost
    every bet it ever makes. How many did is said, and ``smallest`` bounds what one of them costs.

    Parameters
    ----------
    time, event, times, survival, incidence, cause, entry, weight, start, groups, censoring
        As in :func:`~churnsurv.hazards.scoring.brier.brier_score`.
    smallest : float
        Probabilities are kept at least this far from 0 and 1. 0: as they are.

    Returns
    -------
    LogScore
        Score and standard error per time.

    Raises
    ------
    ArgumentError, MissingValueError, NonFiniteError, DataTypeError, HorizonError, EmptyDataError
        As ``brier_score``.

    References
    ----------
    .. [1] Gneiting, T. and Raftery, A. E. (2007). Strictly proper scoring rules, prediction, and estimation.
       *JASA*, 102, 359–378, section 3.

    Examples
    --------
    >>> log_score([1, 2, 3, 4], [1, 0, 1, 0], [3], survival=[0.5] * 4).score.round(4)
    array([0.6931])
    """
    least = _check_smallest(smallest)
    given = read_predictions(
        time, event, times, survival=survival, incidence=incidence, cause=cause,
        entry=entry, weight=weight, start=start, groups=groups, censoring=censoring,
    )  # fmt: skip
    found = score_times(
        given, lambda happened, risk: _surprise(happened, np.clip(risk, least, 1.0 - least) if least else risk)
    )
    outcomes, supported = given.outcomes, given.weighting.supported
    impossible = np.zeros(len(outcomes.times))
    for j, at in enumerate(outcomes.times):
        chance = np.where(outcomes.happened(at, given.cause), given.risk[:, j], 1.0 - given.risk[:, j])
        impossible[j] = outcomes.weight[(chance <= 0) & outcomes.known(at)].sum()
    hopeless = (impossible > 0) & supported & (least == 0)
    return LogScore(
        outcomes.times,
        np.where(hopeless, np.inf, found.score),
        np.where(hopeless, np.nan, found.standard_error),
        impossible,
        supported,
        outcomes.total,
    )
