r"""Gamma frailty and cure in closed form: what a customer with all her spells contributes to the likelihood.

The hazard of a customer is multiplied by her own frailty :math:`z`, gamma distributed with mean one and variance
:math:`\theta`; :math:`a = 1 / \theta`. Given the cumulative hazard :math:`H` of all her spells, of an average
customer, and the number :math:`d` of her events, the frailty integrates out:

.. math:: A(H; d) = \int_0^\infty z^d e^{-zH} \, \mathrm{Gamma}(z; a, a) \, dz
                  = \prod_{k<d} (1 + k\theta) \; (1 + \theta H)^{-(a + d)}

The product moves with :math:`\theta` alone and is kept apart (:func:`log_event_factor`). As :math:`\theta \to 0` what
is left is :math:`e^{-H}`, the likelihood without frailty. A *unit* is a customer; everything is in logs, and nothing
over- or underflows for hazards from 0 to 10,000.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, overload

import numpy as np
import numpy.typing as npt

from churnsurv._typing import FloatArray
from churnsurv.hazards.frailty_parts import BLOCK, SMALLEST_VARIANCE, Counts, Given, Parts, block_parts, place


@dataclass(frozen=True, eq=False)
class UnitTerms:
    r"""Log-likelihood of each unit and its first derivatives; arrays of shape (n,), not to be written to.

    Parameters
    ----------
    value : array
        Log-likelihood, without the log hazards at the events and without :func:`log_event_factor`.
    by_certain, by_ambiguous, by_entry : array
        Derivatives in the three cumulative hazards.
    by_logit : array
        Derivative in each unit's logit of the cured share; 0 without cure.
    by_log_variance : array
        Derivative in :math:`\log \theta`; 0 without frailty. In the log of the frailty's standard deviation it is
        twice as much.
    """

    value: FloatArray
    by_certain: FloatArray
    by_ambiguous: FloatArray
    by_entry: FloatArray
    by_logit: FloatArray
    by_log_variance: FloatArray


@dataclass(frozen=True, eq=False)
class CurvedUnitTerms(UnitTerms):
    """The same with second derivatives, named by the two arguments; those not named are zero.

    Parameters
    ----------
    value, by_certain, by_ambiguous, by_entry, by_logit, by_log_variance : array
        As in :class:`UnitTerms`.
    certain_certain, certain_ambiguous, ambiguous_ambiguous : array
        In the cumulative hazards.
    certain_logit, ambiguous_logit, logit_logit : array
        With the logit of the cured share.
    entry_entry, entry_logit : array
        Of the condition to have been there at entry.
    """

    certain_certain: FloatArray
    certain_ambiguous: FloatArray
    ambiguous_ambiguous: FloatArray
    certain_logit: FloatArray
    ambiguous_logit: FloatArray
    logit_logit: FloatArray
    entry_entry: FloatArray
    entry_logit: FloatArray


_NAMES = tuple(field.name for field in fields(UnitTerms))
_CURVED_NAMES = tuple(field.name for field in fields(CurvedUnitTerms))


def log_laplace(hazard: FloatArray, *, events: Counts, variance: FloatArray | float | None) -> FloatArray:
    r"""Log of A(H; d) without its factor.

    .. math:: -(1 / \theta + d) \log(1 + \theta H)

    Parameters
    ----------
    hazard : array
        Cumulative hazard H of all the customer's spells, >= 0.
    events : array
        Number d of her events.
    variance : array, float or None
        Variance of the frailty, >= 0; None or 0 for no frailty. All three broadcast.

    Returns
    -------
    array
        Log of a probability, apart from :func:`log_event_factor`.

    References
    ----------
    .. [1] Klein, J. P. and Moeschberger, M. L. (2003). *Survival Analysis*, 2nd ed., section 13.3. Springer.
    .. [2] Hougaard, P. (2000). *Analysis of Multivariate Survival Data*, chapter 7. Springer.

    Examples
    --------
    Half of the customers would be without an event at H = log 2 if all were alike; more are where they are not.

    >>> hazard = np.log(np.array([2.0]))
    >>> np.exp(log_laplace(hazard, events=np.zeros(1), variance=np.array([[0.0], [1.0]]))).ravel().round(4)
    array([0.5   , 0.5906])
    """
    return -log_decline(0.0, hazard, events=events, variance=variance)


def log_decline(
    past: FloatArray | float, further: FloatArray, *, events: Counts, variance: FloatArray | float | None
) -> FloatArray:
    r"""Minus the log of A(H + G; d) / A(H; d), without taking two large numbers from each other.

    .. math:: (1 / \theta + d) \log\Bigl\{1 + \frac{\theta G}{1 + \theta H}\Bigr\}

    Parameters
    ----------
    past, further : array
        Cumulative hazards H and G, >= 0.
    events, variance : array
        As in :func:`log_laplace`; all broadcast.

    Returns
    -------
    array
        The further hazard times the frailty expected of a customer with this past, or less; >= 0.

    Examples
    --------
    >>> log_decline(1.0, np.array([2.0]), events=np.zeros(1), variance=1.0).round(4)
    array([0.6931])
    """
    theta = np.asarray(0.0 if variance is None else variance, dtype=np.float64)
    theta = np.where(theta > SMALLEST_VARIANCE, theta, 0.0)
    further = np.asarray(further, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore"):
        rate, shape = 1.0 + theta * past, 1.0 + theta * events
        growth = theta * further / rate
        return np.asarray(np.where(growth > 0, shape / theta * np.log1p(growth), shape / rate * further))


def units_with_more_events(events: Counts, weight: FloatArray | None = None) -> FloatArray:
    """Number of units with more than 0, 1, 2 … events: all that :func:`log_event_factor` needs of them.

    Parameters
    ----------
    events : array of shape (n,)
        Events of each unit.
    weight : array of shape (n,), optional
        Units that each one stands for.

    Returns
    -------
    array of shape (max(events),)
        Counts, or sums of weights.

    Examples
    --------
    >>> units_with_more_events(np.array([0, 1, 3, 1]))
    array([3., 1., 1.])
    """
    counts = np.bincount(np.asarray(events, dtype=np.int64), weights=weight).astype(np.float64)
    return np.asarray(np.cumsum(counts[::-1])[::-1][1:])


def log_event_factor(with_more: FloatArray, variance: float | None) -> tuple[float, float]:
    r"""Log of the factor of A that moves with the variance alone, over all units.

    .. math:: \sum_u \sum_{k < d_u} \log(1 + k\theta) = \sum_k N_{d > k} \log(1 + k\theta)

    Parameters
    ----------
    with_more : array of shape (max(events),)
        Units with more than k events (:func:`units_with_more_events`).
    variance : float or None
        Variance of the frailty; None for no frailty.

    Returns
    -------
    value : float
        The sum.
    by_log_variance : float
        Its derivative in the log of the variance.

    Examples
    --------
    One customer with three events at variance 1: log(1 · 2 · 3).

    >>> value, slope = log_event_factor(np.ones(3), 1.0)
    >>> round(value, 4), round(slope, 4)
    (1.7918, 1.1667)
    """
    if variance is None:
        return 0.0, 0.0
    growth = variance * np.arange(len(with_more))
    return float(np.dot(with_more, np.log1p(growth))), float(np.dot(with_more, growth / (1.0 + growth)))


def log_event_factor_by_unit(events: Counts, variance: float | None) -> FloatArray:
    r"""Log of the factor of A of each unit, :math:`\sum_{k < d} \log(1 + k\theta)`.

    Parameters
    ----------
    events : array of shape (n,)
        Events of each unit.
    variance : float or None
        Variance of the frailty; None for no frailty.

    Returns
    -------
    array of shape (n,)
        Their sum is that of :func:`log_event_factor`. Added one by one: a difference of log-gamma functions has no
        digits left where the variance is small.

    Examples
    --------
    >>> log_event_factor_by_unit(np.array([0, 1, 3]), 1.0).round(4)
    array([0.    , 0.    , 1.7918])
    """
    positions = np.asarray(events, dtype=np.int64)
    most = int(positions.max(initial=0))
    table = np.zeros(most + 1)
    np.cumsum(np.log1p((variance or 0.0) * np.arange(most)), out=table[1:])
    return np.asarray(table[positions])


@overload
def unit_terms(
    certain: FloatArray,
    ambiguous: FloatArray | None,
    *,
    events: Counts,
    kind: npt.NDArray[np.integer],
    variance: float | None,
    logit_cured: FloatArray | float | None = ...,
    alive: Counts | None = ...,
    entry: FloatArray | None = ...,
    immune: bool = ...,
    order: Literal[2],
) -> CurvedUnitTerms: ...


@overload
def unit_terms(
    certain: FloatArray,
    ambiguous: FloatArray | None,
    *,
    events: Counts,
    kind: npt.NDArray[np.integer],
    variance: float | None,
    logit_cured: FloatArray | float | None = ...,
    alive: Counts | None = ...,
    entry: FloatArray | None = ...,
    immune: bool = ...,
    order: int = ...,
) -> UnitTerms: ...


def unit_terms(
    certain: FloatArray,
    ambiguous: FloatArray | None,
    *,
    events: Counts,
    kind: npt.NDArray[np.integer],
    variance: float | None,
    logit_cured: FloatArray | float | None = None,
    alive: Counts | None = None,
    entry: FloatArray | None = None,
    immune: bool = False,
    order: int = 1,
) -> UnitTerms:
    r"""Log-likelihood of each unit with frailty and cure integrated out, and its derivatives.

    With :math:`C` and :math:`D` the certain and the ambiguous cumulative hazard, :math:`\pi` the cured share and
    :math:`n` the times a customer is known not to have been cured:

    .. math::

        \text{plain:}\quad & \log A(C; d) + n \log(1 - \pi) \\
        \text{open:}\quad & \log\{\pi A(C; d) + (1 - \pi) A(C + D; d)\} + n \log(1 - \pi) \\
        \text{within:}\quad & \log\{A(C; d) - A(C + D; d)\} + n \log(1 - \pi) \\
        \text{entered late:}\quad & \dots - \log\{\pi_0 + (1 - \pi_0) A(H_0; 0)\}

    where :math:`\pi_0` is :math:`\pi` if the cured are immune from the start, else 0. The log hazards at the events
    and the factor of A are the caller's to add.

    Parameters
    ----------
    certain : array of shape (n,)
        Cumulative hazard of an average customer over the time at which the unit is known to have been at risk; of
        one who entered late, from before her entry on. >= 0.
    ambiguous : array of shape (n,)
        Further cumulative hazard: of the open last spell (kind 1), of the window in which an event fell (kind 2).
        Not looked at for kind 0; None where all units are plain.
    events : array of shape (n,)
        Events at known times; that of a window is not one of them.
    kind : array of int, shape (n,)
        0 plain, 1 open under cure, 2 an event within a window. Without ``logit_cured`` an open spell is survived.
    variance : float or None
        Variance of the frailty; None for no frailty.
    logit_cured : array of shape (n,) or float, optional
        Logit of the cured share; None for no cure.
    alive : array of shape (n,), optional
        How often the unit is known not to have been cured (an event within a window counts); default never.
    entry : array of shape (n,), optional
        Cumulative hazard before entry; default 0.
    immune : bool
        Whether the cured are so from the start, and their presence at entry is certain.
    order : {1, 2}
        2 for second derivatives as well.

    Returns
    -------
    UnitTerms
        :class:`CurvedUnitTerms` at order 2. An event within a window without hazard is ``-inf``.

    References
    ----------
    .. [1] Klein, J. P. and Moeschberger, M. L. (2003). *Survival Analysis*, 2nd ed., section 13.3. Springer.
    .. [2] Fader, P. S., Hardie, B. G. S. and Lee, K. L. (2005). "Counting your customers" the easy way: an alternative
       to the Pareto/NBD model. *Marketing Science* 24, 275–284. The gap clock with cure and a constant hazard.

    Examples
    --------
    A customer with two events and H = 3, variance 1/2: minus (2 + 2) log(1 + 3/2).

    >>> terms = unit_terms(np.array([3.0]), np.zeros(1), events=np.array([2]), kind=np.zeros(1, np.int8), variance=0.5)
    >>> terms.value.round(4), terms.by_certain.round(4)
    (array([-3.6652]), array([-0.8]))
    """
    theta = variance if variance is not None and variance > SMALLEST_VARIANCE else None
    logit = None if logit_cured is None else np.asarray(logit_cured, dtype=np.float64)
    given = Given(certain, ambiguous, events, kind, logit, alive, entry)
    n, parts = len(certain), Parts()
    with np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore"):
        for start in range(0, n, BLOCK):
            rows = slice(start, min(start + BLOCK, n))
            place(parts, block_parts(given if n <= BLOCK else given.take(rows), theta, immune, order), rows, n)
    zero = np.zeros(n)
    zero.flags.writeable = False
    whole, names = (CurvedUnitTerms, _CURVED_NAMES) if order == 2 else (UnitTerms, _NAMES)
    return whole(*(parts.get(name, zero) for name in names))
