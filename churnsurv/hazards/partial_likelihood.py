r"""Partial likelihood of Cox regression, and where it is largest.

With risks :math:`r_i = w_i \exp(x_i \beta)`, the risk set :math:`R_k` of event time :math:`t_k` and the set
:math:`D_k` of its :math:`d_k` events, of mean weight :math:`\bar w_k`, Efron's log partial likelihood is

.. math::
    \ell(\beta) = \sum_k \Bigl[ \sum_{i \in D_k} w_i x_i \beta - \bar w_k \sum_{l=0}^{d_k - 1}
    \log\Bigl( \sum_{i \in R_k} r_i - \tfrac{l}{d_k} \sum_{i \in D_k} r_i \Bigr) \Bigr]

and Breslow's leaves the :math:`l / d_k` out. Everything here takes rows sorted by :func:`order_rows`.

References
----------
.. [1] Cox, D. R. (1972). Regression models and life-tables. *JRSS B* 34, 187–220.
.. [2] Efron, B. (1977). The efficiency of Cox's likelihood function for censored data. *JASA* 72, 557–565.
.. [3] Therneau, T. M. and Grambsch, P. M. (2000). *Modeling Survival Data*, ch. 3. Springer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from churnsurv._typing import BoolArray, FloatArray
from churnsurv.hazards.cox_rows import CoxCovariates, CoxRows, arrange_covariates, order_rows

__all__ = [
    "CoxCovariates",
    "CoxOptimum",
    "CoxRows",
    "Ties",
    "arrange_covariates",
    "inverse",
    "log_partial_likelihood",
    "maximise",
    "order_rows",
]

Ties = Literal["efron", "breslow"]
"""How events at one time are handled."""

_ERROR_AT_END = 1e-12
"""Squared length of a Newton step, in standard errors, below which it is the last one."""

_FLAT = 1e-6
"""Squared length of a Newton step, in standard errors, below which the log-likelihood has nothing left to gain."""

_REACH = 0.1
"""Change of some row's linear predictor in a step that, where the likelihood is flat, means infinity."""

_SINGULAR = float(np.finfo(np.float64).eps ** 0.75)
"""Share of a direction's information, diagonal scaled to 1, that is not told from none."""

_HALVINGS = 40


def log_partial_likelihood(
    rows: CoxRows,
    x: FloatArray | CoxCovariates,
    coef: FloatArray,
    *,
    ties: Ties = "efron",
    order: int = 2,
    time_weight: FloatArray | None = None,
) -> tuple[float, FloatArray, FloatArray]:
    """Log partial likelihood, its score and its information.

    One pass backwards in time, O(n_rows p²). The information is the covariance of x in the risk sets, summed
    over events; its first part, the sum of x x', is weighted with each row's expected events in one product.
    Linear predictors of any size are within range.

    Parameters
    ----------
    rows : CoxRows
        Sorted rows.
    x : array of shape (n_rows, p) or CoxCovariates
        Covariates in the order of the input; or arranged once by :func:`arrange_covariates`, for many calls.
    coef : array of shape (p,)
        Coefficients.
    ties : {"efron", "breslow"}
        Handling of ties.
    order : {2, 1, 0}
        Highest derivative wanted; those not wanted come back as zeros.
    time_weight : array of shape (n_times,), optional
        Factor of each event time's share of score and information, in the order of ``rows.times``; the
        log-likelihood itself is left as it is.

    Returns
    -------
    loglik : float
        Log partial likelihood.
    score : array of shape (p,)
        Its gradient.
    information : array of shape (p, p)
        Minus its second derivative.

    Examples
    --------
    Two rows, the first has the event: log(e / (e + 1)).

    >>> rows = order_rows(None, np.array([1.0, 2.0]), [1, 0])
    >>> round(log_partial_likelihood(rows, np.array([[1.0], [0.0]]), np.array([1.0]))[0], 6)
    -0.313262
    """
    from churnsurv.hazards import cox_kernels as kernels

    x = arrange_covariates(rows, x).x
    p = x.shape[1]
    eta = kernels.linear_predictor(x, np.array(coef, dtype=np.float64))
    used = x if order else np.empty((len(x), 0))
    total, total_x, shift, risk, begins = kernels.risk_sums(
        eta, used, rows.weight, rows.leave, rows.row_bounds, rows.leaving, rows.leaving_bounds
    )
    factor = np.ones(rows.n_times) if time_weight is None else np.array(time_weight, dtype=np.float64)
    loglik, score, means, hazard, early = kernels.likelihood_steps(
        total, total_x, shift, eta, used, rows.weight, risk, rows.row_bounds, rows.n_deaths, factor,
        ties == "efron", order,
    )  # fmt: skip
    if order < 2:
        return loglik, score if order else np.zeros(p), np.zeros((p, p))
    head, rest = kernels.running_sums(hazard[:, None], begins)
    expected = kernels.received(
        eta, rows.weight, risk, rows.leave, rows.row_bounds, rows.n_deaths, head, rest, early[:, None], shift, begins
    )[:, 0]
    squares = np.zeros((p, p))
    kernels.add_outer(x, expected, len(x), squares)
    upper = np.triu(squares - means)
    return loglik, score, upper + np.triu(upper, 1).T


@dataclass(frozen=True, eq=False)
class CoxOptimum:
    """Where the (penalised) partial likelihood is largest.

    Parameters
    ----------
    coef : array of shape (p,)
        Coefficients.
    loglik, loglik_null : float
        Log partial likelihood there and at zero, without the penalty.
    information : array of shape (p, p)
        Observed information there, without the penalty.
    penalizer : array of shape (p,)
        Penalty of each coefficient, 0 where there is none.
    iterations : int
        Newton steps taken.
    converged : bool
        Whether the last step was shorter than a millionth of a standard error. False too where some coefficient
        is infinite.
    monotone : array of shape (p,)
        True where a coefficient has no finite estimate: the likelihood still rises, ever less, towards infinity.
    """

    coef: FloatArray
    loglik: float
    loglik_null: float
    information: FloatArray
    penalizer: FloatArray
    iterations: int
    converged: bool
    monotone: BoolArray

    @property
    def covariance(self) -> FloatArray:
        """Inverse of the information, penalty included; shape (p, p), NaN where it cannot be inverted."""
        return inverse(self.information + np.diag(self.penalizer))


def _equilibrated(information: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Scale that gives the matrix a diagonal of 1, and eigenvalues and eigenvectors of the scaled one."""
    diagonal = np.diag(information)
    scale = 1.0 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    values, vectors = np.linalg.eigh(information * np.outer(scale, scale))
    return scale, values, vectors


def inverse(information: FloatArray) -> FloatArray:
    """Invert an information matrix, whatever the units of its covariates.

    Parameters
    ----------
    information : array of shape (p, p)
        Symmetric, not negative.

    Returns
    -------
    array of shape (p, p)
        Covariance; all NaN where some direction is not known, to the tolerance that R's ``coxph`` uses.
    """
    if not np.all(np.isfinite(information)):
        return np.full_like(information, np.nan)
    scale, values, vectors = _equilibrated(information)
    if np.any(values <= _SINGULAR):
        return np.full_like(information, np.nan)
    root = scale[:, None] * vectors / np.sqrt(values)
    return np.asarray(root @ root.T, dtype=np.float64)


def _newton_step(score: FloatArray, information: FloatArray) -> FloatArray:
    """Solve for the step; along directions about which nothing is known it is 0."""
    scale, values, vectors = _equilibrated(information)
    known = values > _SINGULAR
    along = vectors[:, known].T @ (scale * score)
    return np.asarray(scale * (vectors[:, known] @ (along / values[known])), dtype=np.float64)


def maximise(
    rows: CoxRows,
    x: FloatArray | CoxCovariates,
    *,
    penalizer: float | FloatArray = 0.0,
    ties: Ties = "efron",
    initial: FloatArray | None = None,
    max_iterations: int = 60,
) -> CoxOptimum:
    """Find the coefficients with the largest partial likelihood by Newton's method with step halving.

    The likelihood is concave, so a step that lowers it is halved until it does not. A likelihood that keeps
    rising along some direction has no maximum: steps then stay as long as they were while nothing is left to gain.

    Parameters
    ----------
    rows : CoxRows
        Sorted rows.
    x : array of shape (n_rows, p) or CoxCovariates
        Covariates.
    penalizer : float or array of shape (p,)
        Ridge penalty, >= 0: half of it times the squared coefficient is taken off the log-likelihood (of the whole
        data, not their mean) for covariates in the units of ``x``.
    ties : {"efron", "breslow"}
        Handling of ties.
    initial : array of shape (p,), optional
        Where to begin; 0 if left out.
    max_iterations : int
        Newton steps at most.

    Returns
    -------
    CoxOptimum
        Coefficients, and whether they can be trusted. A covariate that the data say nothing about (constant, or a
        combination of others) is not refused here: the information is then singular.

    Examples
    --------
    The first test data of Therneau and Grambsch (2000, appendix E), Breslow: log of (3 + √33) / 2.

    >>> rows = order_rows(None, np.array([9.0, 1, 1, 6, 6, 8]), [1, 1, 0, 1, 1, 0])
    >>> x = np.array([[0.0], [1], [1], [1], [0], [0]])
    >>> maximise(rows, x, ties="breslow").coef.round(6), np.log(1.5 + np.sqrt(33) / 2).round(6)
    (array([1.475285]), np.float64(1.475285))
    """
    arranged = arrange_covariates(rows, x)
    p = arranged.x.shape[1]
    ridge = np.broadcast_to(np.asarray(penalizer, dtype=np.float64), (p,)).copy()
    here = _Point.at(
        np.zeros(p) if initial is None else np.array(initial, dtype=np.float64), rows, arranged, ridge, ties
    )
    null = here.loglik if initial is None else _Point.at(np.zeros(p), rows, arranged, ridge, ties).loglik
    known = np.diag(here.information) > 0
    least = _SINGULAR * np.diag(here.information)
    monotone, previous, taken, converged = np.zeros(p, dtype=np.bool_), np.inf, 0, False
    while taken < max_iterations and not converged:
        step = _newton_step(here.slope, here.information + np.diag(ridge))
        length, change = float(here.slope @ step), np.abs(step) * arranged.reach
        longest = float(change.max(initial=0.0))
        endless = length < _FLAT and longest > max(_REACH, 0.5 * previous)
        monotone = (change > _REACH if endless else False) | known & (np.diag(here.information) + ridge <= least)
        if monotone.any():
            break
        there = _climb(here, step, rows, arranged, ridge, ties)
        if there is None:
            break
        here, previous, taken, converged = there, longest, taken + 1, length < _ERROR_AT_END
    return CoxOptimum(here.coef, here.loglik, null, here.information, ridge, taken, converged, monotone)


@dataclass(frozen=True, eq=False)
class _Point:
    """The likelihood at some coefficients; ``value`` and ``slope`` have the penalty taken off."""

    coef: FloatArray
    loglik: float
    information: FloatArray
    value: float
    slope: FloatArray

    @classmethod
    def at(cls, coef: FloatArray, rows: CoxRows, x: CoxCovariates, ridge: FloatArray, ties: Ties) -> _Point:
        loglik, score, information = log_partial_likelihood(rows, x, coef, ties=ties)
        return cls(coef, loglik, information, loglik - 0.5 * float(ridge @ coef**2), score - ridge * coef)

    @property
    def finite(self) -> bool:
        return bool(np.isfinite(self.value) and np.all(np.isfinite(self.information)))


def _climb(
    here: _Point, step: FloatArray, rows: CoxRows, x: CoxCovariates, ridge: FloatArray, ties: Ties
) -> _Point | None:
    """Take the step, or half of it, or a quarter …, so that the likelihood does not fall beyond rounding."""
    least = here.value - 1e-11 * (1.0 + abs(here.value))
    for _ in range(_HALVINGS):
        there = _Point.at(here.coef + step, rows, x, ridge, ties)
        if there.finite and there.value >= least:
            return there
        step = 0.5 * step
    return None
