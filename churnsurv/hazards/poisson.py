"""Poisson likelihood of cells: events and exposure under a hazard that is constant in each cell."""

from __future__ import annotations

import numpy as np
from scipy.special import gammaln

from churnsurv._typing import FloatArray


def log_likelihood_constant(events: FloatArray, exposure: FloatArray) -> float:
    r"""Part of the log-likelihood that no parameter moves.

    .. math:: \sum_c d_c \log e_c - \log d_c!

    Parameters
    ----------
    events : array of shape (n_cells,)
        Events :math:`d_c`, whole numbers >= 0.
    exposure : array of shape (n_cells,)
        Time at risk :math:`e_c`, > 0.

    Returns
    -------
    float
        The sum.
    """
    return float(np.sum(log_likelihood_terms(events, exposure)))


def log_likelihood_terms(events: FloatArray, exposure: FloatArray) -> FloatArray:
    """Part of each cell's log-likelihood that no parameter moves, shape (n_cells,); see :func:`log_likelihood_constant`."""
    return np.asarray(events * np.log(exposure) - gammaln(events + 1.0))


def value_and_score(log_hazard: FloatArray, *, events: FloatArray, exposure: FloatArray) -> tuple[float, FloatArray]:
    r"""Log-likelihood up to its constant, and its derivative in the log hazard of each cell.

    .. math::
        \ell = \sum_c d_c \eta_c - e_c \exp(\eta_c), \qquad
        \frac{\partial \ell}{\partial \eta_c} = d_c - e_c \exp(\eta_c)

    The kernel of a piecewise-constant hazard is that of a Poisson count with mean exposure times hazard.

    Parameters
    ----------
    log_hazard : array of shape (n_cells,)
        Log hazard :math:`\eta_c`, log events per unit of exposure.
    events, exposure : array of shape (n_cells,)
        Events and time at risk.

    Returns
    -------
    value : float
        :math:`\ell`; add :func:`log_likelihood_constant` for the full one.
    score : array of shape (n_cells,)
        Observed minus expected events.

    References
    ----------
    .. [1] Holford, T. R. (1980). The analysis of rates and of survivorship using log-linear models.
       *Biometrics* 36, 299–305.
    .. [2] Laird, N. and Olivier, D. (1981). Covariance analysis of censored survival data using log-linear
       analysis techniques. *JASA* 76, 231–240.
    """
    expected = exposure * np.exp(log_hazard)
    return float(np.dot(events, log_hazard) - expected.sum()), events - expected


def proportional_value_and_score(
    log_baseline: FloatArray,
    log_multiplier: FloatArray,
    *,
    exposure: FloatArray,
    events_by_pattern: FloatArray,
    events_by_period: FloatArray,
) -> tuple[float, FloatArray, FloatArray]:
    r"""Log-likelihood of cells in which pattern and period act apart, up to its constant, and its score.

    .. math::
        \eta_{pj} = b_j + m_p, \qquad
        \ell = \sum_j d_{\cdot j} b_j + \sum_p d_{p \cdot} m_p - \sum_{pj} e_{pj} \exp(b_j) \exp(m_p)

    The same number as :func:`value_and_score` on all cells, but events enter by their margins only and the
    expected events are one matrix product: no exponential per cell.

    Parameters
    ----------
    log_baseline : array of shape (n_periods,)
        Log hazard :math:`b_j` of the reference pattern.
    log_multiplier : array of shape (n_patterns,)
        Log hazard ratio :math:`m_p`.
    exposure : array of shape (n_patterns, n_periods)
        Time at risk :math:`e_{pj}`, >= 0.
    events_by_pattern, events_by_period : array
        Margins of the events.

    Returns
    -------
    value : float
        :math:`\ell`.
    by_pattern, by_period : array
        Observed minus expected events of each pattern and of each period: the derivatives in
        :math:`m_p` and :math:`b_j`.
    """
    baseline, multiplier = np.exp(log_baseline), np.exp(log_multiplier)
    expected_by_pattern = multiplier * (exposure @ baseline)
    expected_by_period = baseline * (multiplier @ exposure)
    value = np.dot(events_by_period, log_baseline) + np.dot(events_by_pattern, log_multiplier)
    value -= expected_by_pattern.sum()
    return float(value), events_by_pattern - expected_by_pattern, events_by_period - expected_by_period


def log_likelihood(log_hazard: FloatArray, *, events: FloatArray, exposure: FloatArray) -> float:
    r"""Log-likelihood of cells under a hazard that is constant within each.

    .. math:: \sum_c \log \mathrm{Poisson}(d_c \mid e_c \exp(\eta_c))

    Parameters
    ----------
    log_hazard : array of shape (n_cells,)
        Log hazard of each cell.
    events, exposure : array of shape (n_cells,)
        Events and time at risk (> 0).

    Returns
    -------
    float
        The full log-likelihood, constant included.

    Examples
    --------
    Two events in ten days at 0.2 a day: Poisson with mean 2, log(2² e⁻² / 2!).

    >>> value = log_likelihood(np.log([0.2]), events=np.array([2.0]), exposure=np.array([10.0]))
    >>> round(value, 6) == round(float(np.log(2 * np.exp(-2))), 6)
    True
    """
    value, _ = value_and_score(log_hazard, events=events, exposure=exposure)
    return value + log_likelihood_constant(events, exposure)
