"""Area under the time-dependent ROC curve: those who left by each time against those who had not."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from churnsurv._typing import BoolArray, FloatArray, IntArray
from churnsurv._validate import as_floats, check_ci_prob
from churnsurv.errors import ArgumentError
from churnsurv.hazards.scoring.binary_outcomes import Controls, cases_and_controls, check_controls
from churnsurv.hazards.scoring.censoring_weights import GivenCensoring, Weighting, read_weighting
from churnsurv.hazards.scoring.outcomes import Outcomes, check_cause, read_outcomes
from churnsurv.hazards.scoring.share_intervals import jackknife_error, logit_bounds


@dataclass(frozen=True, eq=False)
class TimeDependentAuc:
    """Chance that a customer with the event by a time had a higher score than one without, at several times.

    Made by :func:`time_dependent_auc`. Arrays have shape (k,) unless said otherwise.

    Parameters
    ----------
    times : array
        Moments on the clock.
    auc : array
        In [0, 1]. NaN, never 0.5, without cases, without controls, and where a time is not supported.
    standard_error : array
        Of ``auc``, the estimation of the censoring weights included; NaN with fewer than two cases or controls.
    lower, upper : array
        Bounds symmetric in log(AUC / (1 - AUC)); NaN where AUC is 0, 1 or NaN or the standard error is 0 or NaN.
    ci_prob : float
        Probability that the bounds cover, each for itself.
    n_cases, n_controls : array
        Customers seen to have had the event by the time, and seen not to have had it, with their frequencies.
    supported : array of bool
        False where everybody at risk had been censored before: nothing is known there.
    controls : {"all", "event-free"}
        Who counts as control.
    influence : array of shape (n, k)
        Derivative of ``auc`` with respect to each customer's weight; 0 for customers not scored.
    """

    times: FloatArray
    auc: FloatArray
    standard_error: FloatArray
    lower: FloatArray
    upper: FloatArray
    ci_prob: float
    n_cases: FloatArray
    n_controls: FloatArray
    supported: BoolArray
    controls: Controls
    influence: FloatArray


def _shares_beaten(rank: IntArray, cases: FloatArray, controls: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Share of controls below each score and of cases above it; equal scores count one half."""
    n_ranks = int(rank.max()) + 1
    case, control = np.bincount(rank, cases, n_ranks), np.bincount(rank, controls, n_ranks)
    below = (np.cumsum(control) - 0.5 * control) / control.sum()
    above = (np.cumsum(case[::-1])[::-1] - 0.5 * case) / case.sum()
    return below[rank], above[rank]


def _enlarged(count: float) -> float:
    """What makes a sum of squares over ``count`` an unbiased variance; NaN for one or none."""
    return math.sqrt(count / (count - 1)) if count > 1 else math.nan


def _ranks(risk_score: object, outcomes: Outcomes) -> list[IntArray]:
    """Rank of each scored customer, by one score for all times or by one for each."""
    n, n_times = outcomes.n_given, len(outcomes.times)
    scores = as_floats(risk_score, "risk_score")
    if scores.shape not in ((n,), (n, n_times)):
        raise ArgumentError(
            f"`risk_score` has shape {scores.shape}; it needs ({n},) or ({n}, {n_times}): customers by times.",
            column="risk_score",
            hint="pass one score per customer, or one column per time.",
        )
    columns = scores.reshape(n, -1)[outcomes.kept].T
    return [np.unique(column, return_inverse=True)[1].astype(np.int64) for column in columns]


def _auc_at(
    outcomes: Outcomes, weighting: Weighting, position: int, case: BoolArray, control: BoolArray, rank: IntArray
) -> tuple[float, float, FloatArray]:
    """AUC at one time, its standard error, and its derivative with respect to each customer's weight."""
    weight, ipcw = outcomes.weight, weighting.at(position)
    cases, controls = weight * ipcw * case, weight * ipcw * control
    below, above = _shares_beaten(rank, cases, controls)
    auc = float(cases @ below / cases.sum())
    of_case = ipcw * case * (below - auc) / cases.sum()
    of_control = ipcw * control * (above - auc) / controls.sum()
    through = weighting.spread(position, weight * (of_case + of_control))
    enlarged = of_case * _enlarged(float(weight @ case)) + of_control * _enlarged(float(weight @ control)) + through
    return auc, jackknife_error(weight, enlarged), of_case + of_control + through


def time_dependent_auc(
    time: object,
    event: object,
    risk_score: object,
    times: object,
    *,
    entry: object = None,
    weight: object = None,
    start: float = 0.0,
    cause: int | None = None,
    controls: Controls = "all",
    groups: object = None,
    censoring: GivenCensoring | None = None,
    ci_prob: float = 0.90,
) -> TimeDependentAuc:
    r"""Cumulative/dynamic AUC at each time with its standard error, in O(n log n) per time.

    .. math:: \mathrm{AUC}(t) = \frac{\sum_i \sum_j W_i(t)\, D_i(t)\, W_j(t)\, (1 - D_j(t))
              \bigl[ 1(m_i > m_j) + \tfrac12 1(m_i = m_j) \bigr]}{\sum_i W_i(t) D_i(t) \sum_j W_j(t) (1 - D_j(t))}

    where :math:`D(t)` is 1 for cases, who had the event by t, and :math:`W` makes up for customers censored before
    t: 1/G(T-) for those with an event by t, 1/G(t-) for those known to have reached t without one, among them those
    censored at t itself. Where nobody is censored before t, this is the Mann–Whitney statistic.

    With several causes, a case had *this* cause by t. Controls are by default all others, customers lost to another
    cause among them: the question behind a cumulative incidence, "will it be this, by then?". With ``"event-free"``
    they are those still without any event. Blanche et al. [3]_ call the second definition (i), the first (ii).

    Parameters
    ----------
    time : array-like of shape (n,)
        Days to event or censoring.
    event : array-like of shape (n,)
        0 censored, 1…K the cause.
    risk_score : array-like of shape (n,) or (n, k)
        Higher means an earlier event; any scale. Column j belongs to ``times[j]``.
    times : array-like of shape (k,)
        Moments on the clock of ``time``, increasing, none before ``start``.
    entry : array-like of shape (n,), optional
        Days at which observation began.
    weight : array-like of shape (n,), optional
        Frequencies > 0.
    start : float
        Those with ``entry <= start < time`` are scored: the customers for whom a prediction was made.
    cause : int, optional
        Which cause is asked about; ``None``: any event.
    controls : {"all", "event-free"}
        Who counts as control; no difference without other causes.
    groups, censoring
        How censoring depends on the customer; as in
        :func:`~churnsurv.hazards.scoring.censoring.ipcw_weights`.
    ci_prob : float
        Probability that the bounds cover.

    Returns
    -------
    TimeDependentAuc
        One entry per time.

    Raises
    ------
    ArgumentError, MissingValueError, NonFiniteError, DataTypeError
        Whatever is wrong with an argument.
    HorizonError
        If times do not increase or lie before the start.
    EmptyDataError
        If there are fewer than two customers, or nobody is at risk at the start.

    Notes
    -----
    The standard error is that of the infinitesimal jackknife; the derivative is taken through the estimated
    weights too. The parts of cases and of controls are enlarged by :math:`m / (m - 1)` each, so that with all outcomes
    known it *is* the standard error of DeLong et al. [4]_.

    References
    ----------
    .. [1] Uno, H., Cai, T., Tian, L. and Wei, L. J. (2007). Evaluating prediction rules for t-year survivors with
       censored regression models. *JASA*, 102, 527–537.
    .. [2] Hung, H. and Chiang, C.-T. (2010). Estimation methods for time-dependent AUC models with survival data.
       *Canadian Journal of Statistics*, 38, 8–26.
    .. [3] Blanche, P., Dartigues, J.-F. and Jacqmin-Gadda, H. (2013). Estimating and comparing time-dependent areas
       under receiver operating characteristic curves for censored event times with competing risks. *Statistics in
       Medicine*, 32, 5381–5397.
    .. [4] DeLong, E. R., DeLong, D. M. and Clarke-Pearson, D. L. (1988). Comparing the areas under two or more
       correlated receiver operating characteristic curves. *Biometrics*, 44, 837–845.

    Examples
    --------
    By 2, two had the event; of four pairs three are in order and one has equal scores:

    >>> time_dependent_auc([1, 2, 3, 4], [1, 1, 1, 0], [0.9, 0.5, 0.5, 0.1], [2]).auc
    array([0.875])
    """
    prob, asked, who = check_ci_prob(ci_prob), check_cause(cause), check_controls(controls)
    outcomes = read_outcomes(time, event, times, entry=entry, weight=weight, start=start)
    weighting = read_weighting(outcomes, groups, censoring)
    n_times = len(outcomes.times)
    ranks = _ranks(risk_score, outcomes)
    auc, error = np.full((2, n_times), math.nan)
    n_cases, n_controls = np.zeros((2, n_times))
    influence = np.full((outcomes.n_given, n_times), math.nan)
    for j in range(n_times):
        case, control = cases_and_controls(outcomes, float(outcomes.times[j]), asked, who)
        n_cases[j], n_controls[j] = outcomes.weight @ case, outcomes.weight @ control
        if weighting.supported[j] and case.any() and control.any():
            auc[j], error[j], found = _auc_at(outcomes, weighting, j, case, control, ranks[min(j, len(ranks) - 1)])
            influence[:, j] = 0.0
            influence[outcomes.kept, j] = found
    lower, upper = logit_bounds(auc, error, prob)
    return TimeDependentAuc(
        times=outcomes.times,
        auc=auc,
        standard_error=error,
        lower=lower,
        upper=upper,
        ci_prob=prob,
        n_cases=n_cases,
        n_controls=n_controls,
        supported=weighting.supported,
        controls=who,
        influence=influence,
    )
