"""Do the hazards stay proportional? A score test of coefficients that move with time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from churnsurv._typing import FloatArray, IntArray
from churnsurv.hazards.cox_rows import CoxCovariates, CoxRows, arrange_covariates
from churnsurv.hazards.partial_likelihood import Ties, log_partial_likelihood
from churnsurv.hazards.risk_sets import Spells, risk_sets

Transform = Literal["km", "identity", "rank", "log"]
"""Function of time that a coefficient may move with."""


@dataclass(frozen=True, eq=False)
class ProportionalHazardsTest:
    """Score tests of proportional hazards, per term and for all together.

    Parameters
    ----------
    statistic : array of shape (n_terms,)
        Chi-square of each term.
    degrees_of_freedom : array of shape (n_terms,)
        Columns of each term.
    p_value : array of shape (n_terms,)
        Probability of a larger one under proportional hazards.
    global_statistic : float
        Chi-square of all terms together, with as many degrees of freedom as columns.
    global_p_value : float
        Its probability.
    """

    statistic: FloatArray
    degrees_of_freedom: IntArray
    p_value: FloatArray
    global_statistic: float
    global_p_value: float


def _kaplan_meier_before(rows: CoxRows) -> FloatArray:
    each = np.ones(rows.n_rows)
    sets = risk_sets(Spells(entry=rows.start, exit=rows.stop, event=rows.event.astype(np.int64), weight=each))
    survival = np.concatenate([[1.0], np.cumprod(1.0 - sets.n_events / sets.n_at_risk)])
    return survival[np.searchsorted(sets.times, rows.times)]


def _mean_ranks(rows: CoxRows) -> FloatArray:
    ordered = np.sort(rows.stop)
    below, through = (np.searchsorted(ordered, rows.times, side=side) for side in ("left", "right"))
    return np.asarray(0.5 * (below + through + 1.0), dtype=np.float64)


def _transformed(rows: CoxRows, transform: Transform | Callable[[FloatArray], FloatArray]) -> FloatArray:
    if callable(transform):
        return _centred(rows, np.array(transform(rows.times), dtype=np.float64))
    match transform:
        case "km":
            moved = 1.0 - _kaplan_meier_before(rows)
        case "rank":
            moved = _mean_ranks(rows)
        case "log":
            moved = np.log(rows.times)
        case _:
            moved = rows.times
    return _centred(rows, moved)


def _centred(rows: CoxRows, moved: FloatArray) -> FloatArray:
    """Neither shift nor scale of g(t) changes the test; they do change its rounding."""
    moved = moved - np.average(moved, weights=rows.n_deaths)
    size = float(np.abs(moved).max())
    return moved / size if size > 0 else moved


def proportional_hazards_score_test(
    rows: CoxRows,
    x: FloatArray | CoxCovariates,
    coef: FloatArray,
    *,
    transform: Transform | Callable[[FloatArray], FloatArray] = "km",
    ties: Ties = "efron",
    terms: Sequence[Sequence[int]] | None = None,
    penalizer: FloatArray | None = None,
) -> ProportionalHazardsTest:
    r"""Test whether coefficients move with a function of time, without fitting them anew.

    The model is widened by :math:`x g(t)` with coefficients :math:`\theta`; the score test of
    :math:`\theta = 0` uses the information of :math:`(\beta, \theta)` with the covariance of x in each risk set,
    not its mean over time as the older approximation does. This is what ``cox.zph`` of R's survival computes
    since version 3.0. The transforms ``km`` and ``rank`` leave strata and weights aside, as there.

    Parameters
    ----------
    rows : CoxRows
        Sorted rows.
    x : array of shape (n_rows, p) or CoxCovariates
        Covariates.
    coef : array of shape (p,)
        Coefficients, at the maximum.
    transform : {"km", "identity", "rank", "log"} or callable
        g(t): one minus Kaplan–Meier just before t, t itself, mean rank among the rows' stops, log t; or any function
        of an array of times.
    ties : {"efron", "breslow"}
        Handling of ties; that of the fit.
    terms : sequence of sequence of int, optional
        Columns of each term, for a test with several degrees of freedom; each column alone if left out.
    penalizer : array of shape (p,), optional
        Second derivative of the penalty of the fit, added to the information of both halves.

    Returns
    -------
    ProportionalHazardsTest
        NaN where a term's information is singular, such as when all events happen at one time.

    References
    ----------
    .. [1] Grambsch, P. M. and Therneau, T. M. (1994). Proportional hazards tests and diagnostics based on weighted
       residuals. *Biometrika* 81, 515–526.
    .. [2] Therneau, T. M. *survival* (R package, version 3.8), ``cox.zph``.
    """
    from scipy.special import chdtrc

    arranged = arrange_covariates(rows, x)
    p = arranged.x.shape[1]
    g = _transformed(rows, transform)
    (_, plain), (score, cross), (_, squared) = (
        log_partial_likelihood(rows, arranged, coef, ties=ties, time_weight=factor)[1:]
        for factor in (np.ones_like(g), g, g * g)
    )
    ridge = np.diag(np.zeros(p) if penalizer is None else penalizer)
    information = np.block([[plain + ridge, cross], [cross, squared + ridge]])
    columns = [[j] for j in range(p)] if terms is None else [list(term) for term in terms]
    found = np.array([_score_statistic(score, information, part) for part in columns])
    degrees = np.array([len(part) for part in columns], dtype=np.int64)
    overall = _score_statistic(score, information, list(range(p)))
    p_value = np.asarray(chdtrc(degrees, found), dtype=np.float64)
    return ProportionalHazardsTest(found, degrees, p_value, overall, float(chdtrc(p, overall)))


def _score_statistic(score: FloatArray, information: FloatArray, columns: list[int]) -> float:
    p = len(score)
    kept = np.r_[np.arange(p), p + np.array(columns, dtype=np.int64)]
    slope = np.r_[np.zeros(p), score[columns]]
    part = information[np.ix_(kept, kept)]
    size = np.sqrt(np.diag(part))
    if not np.all(size > 0):
        return float("nan")
    try:
        return float(slope / size @ np.linalg.solve(part / np.outer(size, size), slope / size))
    except np.linalg.LinAlgError:
        return float("nan")
