r"""A share of customers who are gone for good, or will never leave: what is known of those whose last spell is open.

On the gap clock a customer has left for good after an activity with probability :math:`\pi`, and her silence since
the last one is ambiguous. On the tenure clock a share :math:`\pi` is immune from the start, and all of the time of a
customer without the event is ambiguous (``certain`` is 0). :math:`C` is her certain and :math:`D` her ambiguous
cumulative hazard, as in :func:`~churnsurv.hazards.frailty.unit_terms`. That she is known not to have been gone at
earlier times, and was there at a late entry, cancels.
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from churnsurv._typing import FloatArray
from churnsurv.hazards.frailty import log_decline
from churnsurv.hazards.frailty_parts import Counts
from churnsurv.hazards.frailty_prediction import (
    conditional_survival,
    log_laplace_of_new_group,
    population_survival,
)


def probability_gone(
    certain: FloatArray,
    ambiguous: FloatArray,
    *,
    events: Counts,
    variance: FloatArray | float | None,
    logit_cured: FloatArray | float,
    sd: FloatArray | float | None = None,
) -> FloatArray:
    r"""Probability that a customer with an open last spell has left for good (or is immune).

    .. math:: \frac{\pi A(C; d)}{\pi A(C; d) + (1 - \pi) A(C + D; d)}

    Parameters
    ----------
    certain, ambiguous : array
        Cumulative hazards C and D, >= 0.
    events : array
        Events d at known times.
    variance : array, float or None
        Variance of the frailty; None or 0 for no frailty.
    logit_cured : array or float
        Logit of :math:`\pi`. All broadcast.
    sd : array or float, optional
        Standard deviation of the effect of a new group; None where all her groups are known.

    Returns
    -------
    array
        Probabilities: :math:`\pi` right after an activity, rising to 1 with the silence.

    References
    ----------
    .. [1] Fader, P. S., Hardie, B. G. S. and Lee, K. L. (2005). "Counting your customers" the easy way: an alternative
       to the Pareto/NBD model. *Marketing Science* 24, 275–284.
    .. [2] Farewell, V. T. (1982). The use of mixture models for the analysis of survival data with long-term survivors.
       *Biometrics* 38, 1041–1046.

    Examples
    --------
    One in ten leaves after each activity. After a silence that a customer keeps with probability exp(-3), it is 7 in 10.

    >>> probability_gone(np.zeros(1), np.array([3.0]), events=np.ones(1), variance=None,
    ...                  logit_cured=np.log(1 / 9)).round(4)
    array([0.6906])
    """
    return np.asarray(expit(_log_odds(certain, ambiguous, events, variance, logit_cured, sd)))


def conditional_survival_with_cure(
    certain: FloatArray,
    ambiguous: FloatArray,
    until: FloatArray,
    *,
    events: Counts,
    variance: FloatArray | float | None,
    logit_cured: FloatArray | float,
    sd: FloatArray | float | None = None,
) -> FloatArray:
    r"""Probability of no event until a time, given the past, where some have left for good or are immune.

    .. math:: \frac{\pi A(C; d) + (1 - \pi) A(H_{until}; d)}{\pi A(C; d) + (1 - \pi) A(C + D; d)}

    Parameters
    ----------
    certain, ambiguous : array
        Cumulative hazards C and D up to the time reached.
    until : array
        C + D with the further hazard added.
    events, variance, logit_cured, sd
        As in :func:`probability_gone`. All broadcast.

    Returns
    -------
    array
        Probabilities, never below :func:`probability_gone` at the time reached. Never rises with ``until``.

    Examples
    --------
    >>> conditional_survival_with_cure(np.zeros(1), np.array([3.0]), np.array([3.0, 5.0, np.inf]), events=np.ones(1),
    ...                                variance=None, logit_cured=np.log(1 / 9)).round(4)
    array([1.    , 0.7324, 0.6906])
    """
    gone = expit(_log_odds(certain, ambiguous, events, variance, logit_cured, sd))
    there = conditional_survival(np.add(certain, ambiguous), until, events=events, variance=variance, sd=sd)
    return np.asarray(there + gone * (1.0 - there))


def population_survival_with_cure(
    hazard: FloatArray, *, variance: FloatArray | float | None, logit_cured: FloatArray | float
) -> FloatArray:
    r"""Survival of a population of whom nothing is known yet, some of them gone or immune.

    .. math:: \pi + (1 - \pi) (1 + \theta H)^{-1 / \theta}

    Parameters
    ----------
    hazard : array
        Cumulative hazard of an average customer who is not cured.
    variance : array, float or None
        Variance of the frailty; None or 0 for no frailty.
    logit_cured : array or float
        Logit of :math:`\pi`.

    Returns
    -------
    array
        Probabilities.

    Examples
    --------
    >>> population_survival_with_cure(np.array([0.0, 3.0, np.inf]), variance=1.0, logit_cured=0.0)
    array([1.   , 0.625, 0.5  ])
    """
    there = population_survival(hazard, variance=variance)
    return np.asarray(there + expit(logit_cured) * (1.0 - there))


def _log_odds(
    certain: FloatArray,
    ambiguous: FloatArray,
    events: Counts,
    variance: FloatArray | float | None,
    logit_cured: FloatArray | float,
    sd: FloatArray | float | None,
) -> FloatArray:
    """Log odds of being gone."""
    if sd is None:
        return np.asarray(logit_cured + log_decline(certain, ambiguous, events=events, variance=variance))
    until_now = log_laplace_of_new_group(np.add(certain, ambiguous), events=events, variance=variance, sd=sd)
    before = log_laplace_of_new_group(certain, events=events, variance=variance, sd=sd)
    return np.asarray(logit_cured + before - until_now)
