"""Residuals of Cox regression, right with ties, weights, strata and delayed entry; and the sandwich made of them.

Formulas: Therneau and Grambsch (2000), *Modeling Survival Data*, ch. 4 and 7, with Efron's steps throughout
(sections 3.3 and E.1.2): those who have the event at one time share each step's increment equally.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from churnsurv._typing import FloatArray, IntArray
from churnsurv.hazards.cox_baseline import Steps, walk
from churnsurv.hazards.cox_rows import CoxCovariates, CoxRows, arrange_covariates


def _received(rows: CoxRows, steps: Steps, increments: FloatArray, early: FloatArray) -> FloatArray:
    """Weighted risk of each sorted row times what accrued while it was at risk."""
    from churnsurv.hazards import cox_kernels as kernels

    head, rest = kernels.running_sums(np.ascontiguousarray(increments), steps.begins)
    return kernels.received(
        steps.eta, rows.weight, steps.risk, rows.leave, rows.row_bounds, rows.n_deaths, head, rest,
        np.ascontiguousarray(early), steps.shift, steps.begins,
    )  # fmt: skip


def martingale_residuals(
    rows: CoxRows, x: FloatArray | CoxCovariates, coef: FloatArray, *, ties: str = "efron"
) -> FloatArray:
    r"""Observed minus expected events of each row, :math:`\delta_i - \int Y_i e^{x_i \beta} d\hat H`.

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

    Returns
    -------
    array of shape (n_rows,)
        At most 1; not multiplied by the weights. Rows of one customer add up to the customer's.

    Examples
    --------
    Two rows at risk at the one event: each expects half of it.

    >>> from churnsurv.hazards.partial_likelihood import order_rows
    >>> rows = order_rows(None, np.array([1.0, 2.0]), [1, 0])
    >>> martingale_residuals(rows, np.zeros((2, 1)), np.zeros(1))
    array([ 0.5, -0.5])
    """
    steps = walk(rows, arrange_covariates(rows, x), coef, ties)
    expected = _received(rows, steps, steps.hazard[:, None], steps.early[:, None])[:, 0]
    return rows.event - rows.scatter(expected / rows.weight)


def deviance_residuals(rows: CoxRows, martingale: FloatArray) -> FloatArray:
    r"""Martingale residuals on a more symmetric scale.

    .. math:: \mathrm{sign}(M_i) \sqrt{-2 [M_i + \delta_i \log(\delta_i - M_i)]}

    Parameters
    ----------
    rows : CoxRows
        Sorted rows.
    martingale : array of shape (n_rows,)
        Martingale residuals.

    Returns
    -------
    array of shape (n_rows,)
        Their squares add up to the deviance of the Poisson model with the same expected events.
    """
    expected = np.where(rows.event, rows.event - martingale, 1.0)
    inside = martingale + rows.event * np.log(np.maximum(expected, np.finfo(np.float64).tiny))
    return np.sign(martingale) * np.sqrt(np.maximum(-2.0 * inside, 0.0))


def score_residuals(
    rows: CoxRows, x: FloatArray | CoxCovariates, coef: FloatArray, *, ties: str = "efron", weighted: bool = False
) -> FloatArray:
    r"""Each row's share of the score, :math:`\int (x_i - \bar x(t))\, dM_i(t)`.

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
    weighted : bool
        Multiply each row by its weight: then the rows add up to the score. A sandwich needs that.

    Returns
    -------
    array of shape (n_rows, p)
        Per unit of each covariate.
    """
    covariates = arrange_covariates(rows, x)
    steps = walk(rows, covariates, coef, ties)
    both = _received(
        rows, steps, np.column_stack([steps.hazard, steps.hazard_x]), np.column_stack([steps.early, steps.early_x])
    )
    residuals = both[:, 1:] - covariates.x * both[:, :1]
    dead, time = rows.deaths()
    residuals[dead] += rows.weight[dead, None] * (covariates.x[dead] - steps.mean_x[time])
    return rows.scatter(residuals if weighted else residuals / rows.weight[:, None])


@dataclass(frozen=True, eq=False)
class SchoenfeldResiduals:
    """One residual per event, by stratum, then time, then row.

    Parameters
    ----------
    row : array of shape (n_events,)
        Row of each event.
    time : array of shape (n_events,)
        When.
    residuals : array of shape (n_events, p)
        Covariates of the row minus their mean over the risk set.
    """

    row: IntArray
    time: FloatArray
    residuals: FloatArray

    def scaled(self, coef: FloatArray, covariance: FloatArray) -> FloatArray:
        """Residuals on the scale of the coefficients: their smooth over time is the coefficient over time.

        Parameters
        ----------
        coef : array of shape (p,)
            Coefficients of the fit.
        covariance : array of shape (p, p)
            Their model-based covariance.

        Returns
        -------
        array of shape (n_events, p)
            Number of events times the residuals times the covariance, plus the coefficients.

        References
        ----------
        .. [1] Grambsch, P. M. and Therneau, T. M. (1994). Proportional hazards tests and diagnostics based on
           weighted residuals. *Biometrika* 81, 515–526.
        """
        return np.asarray(len(self.row) * np.einsum("ij,jk->ik", self.residuals, covariance) + coef)


def schoenfeld_residuals(
    rows: CoxRows, x: FloatArray | CoxCovariates, coef: FloatArray, *, ties: str = "efron"
) -> SchoenfeldResiduals:
    """Covariates of each row with the event, minus their mean over who was at risk then.

    Parameters
    ----------
    rows : CoxRows
        Sorted rows.
    x : array of shape (n_rows, p) or CoxCovariates
        Covariates.
    coef : array of shape (p,)
        Coefficients.
    ties : {"efron", "breslow"}
        Handling of ties: with Efron's, the mean over the steps at one time.

    Returns
    -------
    SchoenfeldResiduals
        One row per event, not multiplied by the weights.
    """
    covariates = arrange_covariates(rows, x)
    steps = walk(rows, covariates, coef, ties)
    dead, time = rows.deaths()
    row = rows.position[dead]
    order = np.lexsort((row, rows.times[time], rows.row_stratum[row]))
    residuals = covariates.x[dead] - steps.mean_x[time]
    return SchoenfeldResiduals(row[order], rows.times[time][order], residuals[order])


def dfbeta(score_residuals: FloatArray, covariance: FloatArray) -> FloatArray:
    """Approximate change of the coefficients when a row is left out.

    Parameters
    ----------
    score_residuals : array of shape (n_rows, p)
        Score residuals; weighted ones give the change when a row with all its weight is left out.
    covariance : array of shape (p, p)
        Inverse information.

    Returns
    -------
    array of shape (n_rows, p)
        Coefficient with the row minus that without.
    """
    return np.asarray(np.einsum("ij,jk->ik", score_residuals, covariance))


def clustered_covariance(
    score_residuals: FloatArray, inverse_information: FloatArray, cluster: npt.ArrayLike | None = None
) -> FloatArray:
    r"""Sandwich covariance of the coefficients, robust to dependence within clusters.

    .. math:: I^{-1} \Bigl( \sum_g U_g U_g' \Bigr) I^{-1}, \qquad U_g = \sum_{i \in g} U_i

    Parameters
    ----------
    score_residuals : array of shape (n_rows, p)
        Weighted score residuals.
    inverse_information : array of shape (p, p)
        Model-based covariance.
    cluster : array of shape (n_rows,), optional
        Cluster of each row: the customer. Each row is its own if left out. Integers are sorted fastest.

    Returns
    -------
    array of shape (p, p)
        Covariance; as in R's survival, without a small-sample factor.

    References
    ----------
    .. [1] Lin, D. Y. and Wei, L. J. (1989). The robust inference for the Cox proportional hazards model.
       *JASA* 84, 1074–1078.
    """
    change = dfbeta(score_residuals, inverse_information)
    if cluster is not None:
        _, group = np.unique(np.asarray(cluster), return_inverse=True)
        change = np.column_stack([np.bincount(group, weights=column) for column in change.T])
    return np.asarray(np.einsum("ij,ik->jk", change, change))
