"""Right-censored log likelihood of predicted survival curves, as a score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from churnsurv._typing import FloatArray
from churnsurv._validate import refuse
from churnsurv.errors import ArgumentError, EmptyDataError
from churnsurv.hazards.scoring.outcomes import Outcomes, read_outcomes, read_probabilities

_RISE = 1e-9
"""A curve may rise by this much through rounding."""


@dataclass(frozen=True, eq=False, repr=False)
class LikelihoodScore:
    """Mean negative log likelihood of what was seen, under predicted survival curves.

    Made by :func:`likelihood_score`.

    Parameters
    ----------
    score : float
        Nats per customer; infinite where something impossible was seen. It shifts with the unit of time, so
        only differences on the same customers and grid mean anything.
    standard_error : float
        Of ``score``.
    n_impossible : float
        Customers, with their frequencies, who left or stayed where the curve says nobody does.
    n_scored : float
        Customers with time at risk on the grid.
    """

    score: float
    standard_error: float
    n_impossible: float
    n_scored: float

    def __repr__(self) -> str:
        """Return one line."""
        return f"LikelihoodScore({self.score:.5g} ± {self.standard_error:.2g}; {self.n_scored:g} customers)"


def _check_curves(outcomes: Outcomes, curves: FloatArray) -> None:
    refuse(
        ArgumentError,
        (np.diff(curves, axis=1, prepend=1.0) > _RISE).any(axis=1),
        "rise somewhere.",
        columns={"survival": curves[:, 0]},
        consequence="A hazard below 0 has no logarithm.",
        hint="rows are customers and columns times, both in the order given.",
    )
    early = outcomes.times <= outcomes.entry[:, None]
    refuse(
        ArgumentError,
        (early & (curves < 1 - _RISE)).any(axis=1),
        "have fallen before the entry.",
        columns={"survival": curves[:, 0], "entry": outcomes.entry},
        consequence="Who enters late was not at risk of being seen to leave before.",
        hint="divide by the survival at the entry: S(t) / S(entry), and 1 before it.",
    )


def _log_likelihood(outcomes: Outcomes, survival: FloatArray) -> FloatArray:
    """Log density of an event or log survival of a censoring, hazards constant between the times.

    Who enters within a period has all of its fall after the entry; who is seen beyond the last time is counted up
    to it.
    """
    rows = np.arange(len(outcomes.time))
    edges = np.concatenate([[outcomes.start], outcomes.times])
    curve = np.concatenate([np.ones((len(rows), 1)), survival], axis=1)
    end = np.minimum(outcomes.time, edges[-1])
    period = np.clip(np.searchsorted(edges, end, side="left") - 1, 0, len(edges) - 2)
    begin = np.maximum(edges[period], outcomes.entry)
    length, until = edges[period + 1] - begin, end - begin
    before, after = curve[rows, period], curve[rows, period + 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        log_before = np.log(before)
        rate = (log_before - np.log(after)) / length
        kept = log_before - np.where(until > 0, rate * until, 0.0)
        left = np.where(outcomes.event > 0, np.log(rate), 0.0)
        found = np.where(outcomes.time <= edges[-1], kept + left, log_before - rate * length)
    return np.where(np.isnan(found) | np.isposinf(found), -np.inf, found)


def likelihood_score(
    time: object,
    event: object,
    times: object,
    *,
    survival: object,
    entry: object = None,
    weight: object = None,
    start: float = 0.0,
) -> LikelihoodScore:
    r"""Right-censored log score of predicted survival curves: log density of events, log survival of the rest.

    .. math:: -\frac{1}{n} \sum_i \bigl[ \delta_i \log \hat h_i(T_i) + \log \hat S_i(T_i) \bigr], \qquad
              \hat h = \frac{\log S(t_{j-1}) - \log S(t_j)}{t_j - t_{j-1}} \text{ within a period}

    Proper among curves whose hazards are constant between the times, without any model of the censoring, as long
    as censoring does not depend on what would have happened. Who enters late counts from the entry on, so there
    is no landmark: everyone observed after the start is scored. Each event has a density, never the probability
    of its period: censoring within periods would bias that.

    Parameters
    ----------
    time, event : array-like of shape (n,)
        As in :func:`~churnsurv.hazards.scoring.brier.brier_score`; every cause is an event.
    times : array-like of shape (n_times,)
        Grid of the curves, increasing, the first after ``start``. What happens beyond the last is not scored.
    survival : array-like of shape (n, n_times)
        Probability of no event by each time, given none by ``max(entry, start)``: 1 until the entry.
    entry, weight : array-like of shape (n,), optional
        When observation began; frequencies.
    start : float
        Where all curves are 1.

    Returns
    -------
    LikelihoodScore
        Mean and standard error.

    Raises
    ------
    ArgumentError
        Also if a curve rises, or has fallen before the entry.
    MissingValueError, NonFiniteError, DataTypeError, HorizonError, EmptyDataError
        As ``brier_score``.

    References
    ----------
    .. [1] Dawid, A. P. and Musio, M. (2014). Theory and applications of proper scoring rules. *Metron*, 72,
       169–183, section 2.
    .. [2] Rindt, D. et al. (2022). Survival regression with proper scoring rules and monotonic neural networks.
       *AISTATS*, PMLR 151, 1190–1205.

    Examples
    --------
    Hazard 0.1 a day: an event at 5 costs 0.5 - log 0.1, staying for 10 days costs 1.

    >>> found = likelihood_score([5, 10], [1, 0], [10], survival=[np.exp(-1.0)] * 2)
    >>> round(2 * found.score, 4), round(0.5 - float(np.log(0.1)) + 1, 4)
    (3.8026, 3.8026)
    """
    outcomes = read_outcomes(time, event, times, entry=entry, weight=weight, start=start, late=True)
    curves = read_probabilities(survival, "survival", outcomes)
    _check_curves(outcomes, curves)
    seen = np.flatnonzero(outcomes.entry < outcomes.times[-1])
    if not len(seen):
        raise EmptyDataError(
            f"none of {outcomes.n_given:,} customers is at risk before the last time, {outcomes.times[-1]:g}.",
            count=outcomes.n_given,
            total=outcomes.n_given,
            hint="the times are on the clock of `time`: pass a grid that reaches beyond the first entries.",
        )
    outcomes, curves = outcomes.part(seen), curves[seen]
    loss = -_log_likelihood(outcomes, curves)
    impossible = float(outcomes.weight[np.isinf(loss)].sum())
    if impossible:
        return LikelihoodScore(np.inf, np.nan, impossible, outcomes.total)
    mean = float(np.sum(outcomes.weight * loss) / outcomes.total)
    error = float(np.sqrt(np.sum(outcomes.weight * (loss - mean) ** 2)) / outcomes.total)
    return LikelihoodScore(mean, error, 0.0, outcomes.total)
