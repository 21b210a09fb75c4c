"""What accrues at each event time once the coefficients are known: the baseline and its variance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from churnsurv._typing import BoolArray, FloatArray
from churnsurv.hazards.cox_rows import CoxCovariates, CoxRows, arrange_covariates


@dataclass(frozen=True, eq=False)
class CoxBaseline:
    r"""Baseline of one stratum: a step at each event time.

    The hazard of covariates x is ``exp((x - reference) @ coef)`` times these increments. Their derivative in the
    coefficients is :math:`-(\bar x - x_0)` times themselves, with ``mean_x`` :math:`\bar x` and ``reference``
    :math:`x_0`; the variance of a cumulative hazard is the sum of ``variances`` plus what that derivative carries
    over from the coefficients (Therneau and Grambsch 2000, ch. 10).

    Parameters
    ----------
    stratum : object
        Value of the strata.
    times : array of shape (n_times,)
        Distinct event times, increasing.
    increments : array of shape (n_times,)
        Increments of the cumulative hazard at ``reference``, > 0.
    variances : array of shape (n_times,)
        Their variances for known coefficients.
    mean_x : array of shape (n_times, p)
        Mean of x over the risk set; over Efron's steps, each counted with its share of the increment.
    n_at_risk, n_events : array of shape (n_times,)
        At risk just before, and events; weighted where rows carry weights.
    reference : array of shape (p,)
        Covariates whose hazard this is.
    """

    stratum: object
    times: FloatArray
    increments: FloatArray
    variances: FloatArray
    mean_x: FloatArray
    n_at_risk: FloatArray
    n_events: FloatArray
    reference: FloatArray


@dataclass(frozen=True, eq=False)
class Steps:
    """All that :func:`~churnsurv.hazards.cox_kernels.step_details` knows of each event time, in sorted order."""

    x: FloatArray
    eta: FloatArray
    risk: FloatArray
    shift: FloatArray
    begins: BoolArray
    hazard: FloatArray
    variance: FloatArray
    early: FloatArray
    hazard_x: FloatArray
    early_x: FloatArray
    mean_x: FloatArray


def walk(rows: CoxRows, covariates: CoxCovariates, coef: FloatArray, ties: str) -> Steps:
    """Walk through the event times once and keep what each of them says.

    Parameters
    ----------
    rows : CoxRows
        Sorted rows.
    covariates : CoxCovariates
        Arranged covariates.
    coef : array of shape (p,)
        Coefficients.
    ties : {"efron", "breslow"}
        Handling of ties.

    Returns
    -------
    Steps
        Backwards in time, for centred covariates.
    """
    from churnsurv.hazards import cox_kernels as kernels

    x = covariates.x
    eta = kernels.linear_predictor(x, np.array(coef, dtype=np.float64))
    total, total_x, shift, risk, begins = kernels.risk_sums(
        eta, x, rows.weight, rows.leave, rows.row_bounds, rows.leaving, rows.leaving_bounds
    )
    details = kernels.step_details(
        total, total_x, x, rows.weight, risk, rows.row_bounds, rows.n_deaths, ties == "efron"
    )
    return Steps(x, eta, risk, shift, begins, *details)


def _weights_by_time(rows: CoxRows) -> tuple[FloatArray, FloatArray]:
    """Weight at risk and weight of the events at each event time."""
    from churnsurv.hazards import cox_kernels as kernels

    nothing = np.zeros((len(rows.position), 0))
    at_risk = kernels.risk_sums(
        nothing.sum(axis=1), nothing, rows.weight, rows.leave, rows.row_bounds, rows.leaving, rows.leaving_bounds
    )[0]
    dead, time = rows.deaths()
    return at_risk, np.bincount(time, rows.weight[dead], rows.n_times).astype(np.float64)


def baseline(
    rows: CoxRows,
    x: FloatArray | CoxCovariates,
    coef: FloatArray,
    *,
    ties: str = "efron",
    reference: FloatArray | None = None,
) -> tuple[CoxBaseline, ...]:
    r"""Baseline hazard of each stratum at known coefficients, consistent with the handling of ties.

    .. math:: d\hat H(t_k) = \exp(x_0 \beta) \sum_l \bar w_k \Bigl/ \Bigl( \sum_{i \in R_k} r_i
       - \tfrac{l}{d_k} \sum_{i \in D_k} r_i \Bigr)

    Parameters
    ----------
    rows : CoxRows
        Sorted rows.
    x : array of shape (n_rows, p) or CoxCovariates
        Covariates.
    coef : array of shape (p,)
        Coefficients.
    ties : {"efron", "breslow"}
        Handling of ties; that of the fit.
    reference : array of shape (p,), optional
        Covariates :math:`x_0` whose hazard is wanted; 0 if left out. Take one amid the data where x is far from 0.

    Returns
    -------
    tuple of CoxBaseline
        One per value of the strata, in their order; without times where a stratum has no event.

    References
    ----------
    .. [1] Therneau, T. M. and Grambsch, P. M. (2000). *Modeling Survival Data*, ch. 10. Springer.

    Examples
    --------
    Two events at one time among three rows, Efron: 1/3 + 1/2.

    >>> from churnsurv.hazards.partial_likelihood import order_rows
    >>> rows = order_rows(None, np.array([1.0, 1.0, 2.0]), [1, 1, 0])
    >>> baseline(rows, np.zeros((3, 1)), np.zeros(1))[0].increments.round(4)
    array([0.8333])
    """
    covariates = arrange_covariates(rows, x)
    coef = np.asarray(coef, dtype=np.float64)
    origin = np.zeros(len(coef)) if reference is None else np.asarray(reference, dtype=np.float64)
    steps = walk(rows, covariates, coef, ties)
    at_risk, events = _weights_by_time(rows)
    found = []
    for s, stratum in enumerate(rows.strata.tolist()):
        part = slice(rows.time_bounds[s], rows.time_bounds[s + 1])
        scale = np.exp((origin - covariates.centre[s]) @ coef - steps.shift[part])
        forwards = slice(None, None, -1)
        found.append(
            CoxBaseline(
                stratum=stratum,
                times=rows.times[part][forwards],
                increments=(scale * steps.hazard[part])[forwards],
                variances=(scale**2 * steps.variance[part])[forwards],
                mean_x=(steps.hazard_x[part] / steps.hazard[part, None] + covariates.centre[s])[forwards],
                n_at_risk=at_risk[part][forwards],
                n_events=events[part][forwards],
                reference=origin,
            )
        )
    return tuple(found)
