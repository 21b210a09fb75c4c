"""Survival of censoring, and the weights by its inverse."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from churnsurv._typing import BoolArray, FloatArray
from churnsurv.hazards.curves import moments
from churnsurv.hazards.scoring.censoring_weights import (
    GivenCensoring,
    Weighting,
    read_weighting,
    reverse_factors,
)
from churnsurv.hazards.scoring.outcomes import Outcomes, read_outcomes
from churnsurv.hazards.steps import value_at


@dataclass(frozen=True, eq=False, repr=False)
class CensoringSurvival:
    """Survival of censoring G: the probability of not being censored yet, a step function.

    Made by :func:`censoring_survival`. Arrays have shape (n_times,).

    Parameters
    ----------
    times : array
        Distinct times of event or censoring after ``start``, increasing.
    survival : array
        G at and after each of them, until the next.
    n_at_risk, n_censored : array
        At risk of censoring at each, the events at it taken away, and those censored.
    start : float
        Time from which G runs; it is 1 there.
    """

    times: FloatArray
    survival: FloatArray
    n_at_risk: FloatArray
    n_censored: FloatArray
    start: float

    def __repr__(self) -> str:
        """Return one line."""
        return (
            f"CensoringSurvival({len(self.times)} times, {self.n_censored.sum():g} censored, G={self.survival[-1]:.4g})"
        )

    def at(self, times: object) -> FloatArray:
        """G at moments, right-continuous: not censored up to and including them.

        Parameters
        ----------
        times : array-like of any shape
            Moments >= 0.

        Returns
        -------
        array of the same shape
            Probabilities; NaN beyond the last time unless G reached 0.
        """
        at = moments(times)
        found = value_at(self.times, self.survival, at, before=1.0)
        return np.where((at <= self.times[-1]) | (found == 0), found, np.nan)

    def before(self, times: object) -> FloatArray:
        """G just before moments, the left limit: not censored until them.

        Parameters
        ----------
        times : array-like of any shape
            Moments >= 0.

        Returns
        -------
        array of the same shape
            Probabilities; NaN beyond the last time unless G reached 0.
        """
        at = moments(times)
        steps = np.searchsorted(self.times, at, side="left")
        found = np.concatenate([[1.0], self.survival])[steps]
        return np.where((at <= self.times[-1]) | (found == 0), found, np.nan)


def censoring_survival(
    time: object, event: object, *, entry: object = None, weight: object = None, start: float = 0.0
) -> CensoringSurvival:
    r"""Reverse Kaplan–Meier estimate of the survival of censoring.

    .. math:: \hat G(t) = \prod_{s < u \le t} \Bigl(1 - \frac{c(u)}{Y(u) - d(u)}\Bigr)

    with :math:`c` censorings and :math:`d` events among the :math:`Y` at risk at :math:`u`. Where both share a
    time the events leave first: they were not at risk of the censoring that followed. Swapping the two codes in
    an ordinary Kaplan–Meier curve gets this wrong, and with it every weight of data in whole days or months.

    Parameters
    ----------
    time : array-like of shape (n,)
        Time of event or censoring.
    event : array-like of shape (n,)
        0 censored, 1…K the cause; every cause ends the risk of being censored.
    entry : array-like of shape (n,), optional
        When observation began. Who enters late is at risk of censoring from then on.
    weight : array-like of shape (n,), optional
        Frequencies > 0.
    start : float
        Time s from which G runs, same clock.

    Returns
    -------
    CensoringSurvival
        Step function with both limits.

    Raises
    ------
    ArgumentError, MissingValueError, NonFiniteError, DataTypeError
        If an argument is wrong.
    EmptyDataError
        If there are fewer than two rows, or nobody is at risk after the start.

    References
    ----------
    .. [1] Graf, E., Schmoor, C., Sauerbrei, W. and Schumacher, M. (1999). Assessment and comparison of
       prognostic classification schemes for survival data. *Statistics in Medicine*, 18, 2529–2545.

    Examples
    --------
    At 2 one of four leaves by the event, then one of three is censored:

    >>> curve = censoring_survival([2, 2, 3, 5], [1, 0, 1, 0])
    >>> curve.before([2, 3]).round(3), curve.at(2.0).round(3)
    (array([1.   , 0.667]), np.float64(0.667))
    """
    found = read_outcomes(time, event, [start], entry=entry, weight=weight, start=start, late=True)
    entered = None if entry is None else found.entry
    factors = reverse_factors(entered, found.time, found.event > 0, found.weight)
    return CensoringSurvival(factors.times, factors.before[1:], factors.at_risk, factors.n_censored, found.start)


@dataclass(frozen=True, eq=False, repr=False)
class IpcwWeights:
    """Weights by the inverse probability of not being censored, and how far they can be trusted.

    Made by :func:`ipcw_weights`. Arrays have shape (n_times,) unless said otherwise.

    Parameters
    ----------
    times : array
        Moments asked about.
    weights : array of shape (n, n_times)
        One row per customer given; 0 for those censored before the time and those not scored.
    supported : array of bool
        Whether G is positive just before the time. Where it is not, all weights of that column are NaN.
    largest : array
        Largest weight.
    top_share : array
        Share of all weight that the largest hundredth of the weights (at least one) holds.
    n_effective : array
        Number of equally weighted customers that would be as informative, (Σw)² / Σw² (Kish).
    mean_weight : array
        Sum of weights over customers scored; 1 with G of the customers themselves, near 1 with a good model.
    n_scored : float
        Customers at risk at the start, counted with their frequencies.
    """

    times: FloatArray
    weights: FloatArray
    supported: BoolArray
    largest: FloatArray
    top_share: FloatArray
    n_effective: FloatArray
    mean_weight: FloatArray
    n_scored: float

    def __repr__(self) -> str:
        """Return one line."""
        known = f"{int(self.supported.sum())} of {len(self.times)} times supported"
        return f"IpcwWeights({self.n_scored:g} customers, {known}, largest={np.max(self.largest, initial=0.0):.3g})"


def _top_share(weights: FloatArray, frequency: FloatArray) -> float:
    order = np.argsort(-weights, kind="stable")
    mass, count = weights[order] * frequency[order], np.cumsum(frequency[order])
    limit = max(0.01 * count[-1], min(1.0, count[-1]))
    inside = np.clip(limit - (count - frequency[order]), 0.0, frequency[order])
    return float((weights[order] * inside).sum() / mass.sum())


def _diagnostics(weights: FloatArray, frequency: FloatArray) -> tuple[float, float, float, float]:
    positive = weights > 0
    if not positive.any():
        return np.nan, np.nan, np.nan, np.nan
    total = float((weights * frequency).sum())
    effective = total**2 / float((weights**2 * frequency).sum())
    return (
        float(weights.max()),
        _top_share(weights[positive], frequency[positive]),
        effective,
        total / float(frequency.sum()),
    )


def tabulated(outcomes: Outcomes, weighting: Weighting) -> IpcwWeights:
    """Weights of all rows given, with their diagnostics.

    Parameters
    ----------
    outcomes : Outcomes
        Those scored.
    weighting : Weighting
        Their weights.

    Returns
    -------
    IpcwWeights
        One column per time.
    """
    supported, n_times = weighting.supported, len(outcomes.times)
    weights = np.zeros((outcomes.n_given, n_times))
    told = np.full((4, n_times), np.nan)
    for j in range(n_times):
        if not supported[j]:
            weights[:, j] = np.nan
            continue
        column = weighting.at(j)
        weights[outcomes.kept, j] = column
        told[:, j] = _diagnostics(column, outcomes.weight)
    return IpcwWeights(outcomes.times, weights, supported, told[0], told[1], told[2], told[3], n_scored=outcomes.total)


def ipcw_weights(
    time: object,
    event: object,
    times: object,
    *,
    entry: object = None,
    weight: object = None,
    start: float = 0.0,
    groups: object = None,
    censoring: GivenCensoring | None = None,
) -> IpcwWeights:
    r"""Weights that let customers whose state at a time is known stand for all who were at risk at the start.

    .. math:: W_i(t) = \frac{1\{T_i \le t,\ \text{event}\}}{G(T_i-)} +
              \frac{1\{T_i > t\ \text{or censored at}\ t\}}{G(t-)}

    and 0 for who was censored before t. Who is censored *at* t was still there after the events of t, so the
    state at t is known; that is why the second term has the left limit too. Where nobody is censored at t it is
    the usual 1/G(t), as G does not jump. Scores of customers who were all followed up to a horizon, and not
    further, need this: G of the horizon itself is 0.

    Parameters
    ----------
    time, event, entry, weight
        As in :func:`censoring_survival`.
    times : array-like of shape (n_times,)
        Moments t on the same clock, increasing, >= ``start``.
    start : float
        Those with ``entry <= start < time`` are scored, and G is theirs.
    groups : array-like of shape (n,), optional
        Each group has its own G: right where censoring depends on the group.
    censoring : callable or pair of arrays, optional
        G of each customer from a model of the caller's, *just before* the moments: a function of moments (n, m)
        that returns (n, m), or arrays ``(before_time (n,), before_times (n, n_times))``. Given the start.

    Returns
    -------
    IpcwWeights
        Weights and diagnostics.

    Raises
    ------
    ArgumentError, MissingValueError, NonFiniteError, DataTypeError
        If an argument is wrong.
    HorizonError
        If times do not increase or lie before the start.
    EmptyDataError
        If nobody is at risk at the start.

    References
    ----------
    .. [1] Gerds, T. A. and Schumacher, M. (2006). Consistent estimation of the expected Brier score in general
       survival models with right-censored event times. *Biometrical Journal*, 48, 1029–1040.
    .. [2] Graf, E. et al. (1999). As in :func:`censoring_survival`, section 4.

    Examples
    --------
    The weight of the one censored at 2 goes to those who were still there:

    >>> found = ipcw_weights([1, 2, 3, 4], [1, 0, 1, 0], [2, 3])
    >>> found.weights
    array([[1. , 1. ],
           [1. , 0. ],
           [1. , 1.5],
           [1. , 1.5]])
    """
    outcomes = read_outcomes(time, event, times, entry=entry, weight=weight, start=start)
    return tabulated(outcomes, read_weighting(outcomes, groups, censoring))
