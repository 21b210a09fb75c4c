r"""What a customer's past tells of her future: posterior frailty, and survival as a ratio of integrals.

Everything is elementwise and broadcasts, so that a draw and a customer can each have an axis. Hazards are those of an
average customer, over all spells of the customer and since her origin, whatever was seen of them. With no frailty
(``variance`` None or 0) every formula is that of a known hazard.

Where customers of a *new group* are asked about, the group's effect :math:`u \sim N(0, \tau^2)` multiplies all of their
hazard, past and future, and each event of the past speaks for a large effect:

.. math:: \int e^{ud} A(e^u H; d) \, \mathrm{N}(u \mid 0, \tau^2) \, du

takes the place of :math:`A(H; d)`.

Frailty also bends what a population shows. If two groups have hazards in the ratio :math:`r` for like customers,
their populations have

.. math:: r \, \frac{1 + \theta H}{1 + \theta r H}

which falls from :math:`r` towards 1 as the hazard adds up: the frail of the group with the greater hazard leave first.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from churnsurv._typing import FloatArray
from churnsurv.hazards.frailty import log_decline, log_laplace
from churnsurv.hazards.frailty_parts import SMALLEST_VARIANCE, Counts

N_NODES = 48
"""Points of the trapezoidal rule over a new group's effect."""

_DROP = 38.0
"""The rule ends where the integrand is below its peak by this much in logs: beyond it lies less than rounding."""


class FrailtyPosterior(NamedTuple):
    """Gamma distribution of a customer's frailty given her past; infinite shape and rate without frailty."""

    shape: FloatArray
    rate: FloatArray
    mean: FloatArray


def posterior(past: FloatArray, *, events: Counts, variance: FloatArray | float | None) -> FrailtyPosterior:
    r"""Frailty of a customer with a known past.

    .. math:: z \mid \text{past} \sim \mathrm{Gamma}(1 / \theta + d, \; 1 / \theta + H)

    Parameters
    ----------
    past : array
        Cumulative hazard H of all her spells up to the time reached, >= 0.
    events : array
        Her events d.
    variance : array, float or None
        Variance of the frailty; None or 0 for no frailty. All broadcast.

    Returns
    -------
    FrailtyPosterior
        Shape, rate, and their ratio: how many times the average hazard hers is expected to be.

    References
    ----------
    .. [1] Klein, J. P. and Moeschberger, M. L. (2003). *Survival Analysis*, 2nd ed., section 13.3. Springer.

    Examples
    --------
    Four events where an average customer would have had one, at variance 1/2:

    >>> posterior(np.array([1.0]), events=np.array([4]), variance=0.5).mean
    array([2.])
    """
    theta = _variance(variance)
    with np.errstate(divide="ignore"):
        inverse = 1.0 / theta
    return FrailtyPosterior(inverse + events, inverse + past, (1.0 + theta * events) / (1.0 + theta * past))


def conditional_survival(
    past: FloatArray,
    until: FloatArray,
    *,
    events: Counts,
    variance: FloatArray | float | None,
    sd: FloatArray | float | None = None,
) -> FloatArray:
    r"""Probability of no event until a time, given the past.

    .. math:: \frac{A(H_{until}; d)}{A(H_{past}; d)}
              = \Bigl(\frac{1/\theta + H_{until}}{1/\theta + H_{past}}\Bigr)^{-(1/\theta + d)}

    Parameters
    ----------
    past : array
        Cumulative hazard of all the customer's spells up to the time reached.
    until : array
        The same with the further hazard added, >= ``past``.
    events, variance : array
        As in :func:`posterior`; all broadcast.
    sd : array or float, optional
        Standard deviation of the effect of a new group; None where all her groups are known.

    Returns
    -------
    array
        Probabilities: a ratio of integrals, and not the mean of a ratio. Never rises with ``until``.

    Examples
    --------
    Three events where three were expected, and then a silence that exp(-1) = 0.37 of average customers would keep:

    >>> conditional_survival(np.array([3.0]), np.array([4.0]), events=np.array([3]), variance=1.0).round(4)
    array([0.4096])
    """
    if sd is not None:
        return _conditional_survival_of_new_group(past, until, events, variance, sd)
    return np.asarray(np.exp(-log_decline(past, np.subtract(until, past), events=events, variance=variance)))


def population_survival(hazard: FloatArray, *, variance: FloatArray | float | None) -> FloatArray:
    r"""Survival of a population whose customers differ, of whom nothing is known yet.

    .. math:: (1 + \theta H)^{-1 / \theta}

    Parameters
    ----------
    hazard : array
        Cumulative hazard of an average customer.
    variance : array, float or None
        Variance of the frailty; None or 0 for no frailty.

    Returns
    -------
    array
        Probabilities. Retention flattens as time passes: those who stay are the ones with low hazards.

    Examples
    --------
    >>> population_survival(np.array([0.0, 1.0, 3.0]), variance=1.0)
    array([1.  , 0.5 , 0.25])
    """
    return np.asarray(np.exp(log_laplace(hazard, events=np.zeros(1), variance=variance)))


def log_laplace_of_new_group(
    hazard: FloatArray, *, events: Counts, variance: FloatArray | float | None, sd: FloatArray | float
) -> FloatArray:
    r"""Log of A(H; d), without its factor, integrated over the effect of a group never seen.

    Parameters
    ----------
    hazard : array
        Cumulative hazard at effect zero, >= 0.
    events, variance : array
        As in :func:`posterior`.
    sd : array or float
        Standard deviation of the effect, >= 0. All broadcast.

    Returns
    -------
    array
        By the trapezoidal rule around the integrand's peak, which converges geometrically: absolute error below
        1e-10 for ``sd`` up to 2, however many events there were.

    Examples
    --------
    With no hazard and one event it is the mean of a log-normal.

    >>> log_laplace_of_new_group(np.zeros(1), events=np.ones(1), variance=None, sd=0.5).round(6)
    array([0.125])
    """
    _, log_weights, width = _effect_nodes(hazard, events, variance, sd)
    peak = np.max(log_weights, axis=0)
    total = np.sum(np.exp(log_weights - peak), axis=0)
    return np.asarray(peak + np.log(total * width / np.sqrt(2.0 * np.pi)))


def _conditional_survival_of_new_group(
    past: FloatArray,
    until: FloatArray,
    events: Counts,
    variance: FloatArray | float | None,
    sd: FloatArray | float,
) -> FloatArray:
    """Mean of the conditional survival over the posterior of the group's effect given the past."""
    effects, log_weights, _ = _effect_nodes(past, events, variance, sd)
    weights = np.exp(log_weights - np.max(log_weights, axis=0))
    further = np.subtract(until, past)
    above, below = np.zeros(np.broadcast_shapes(further.shape, weights.shape[1:])), np.zeros(weights.shape[1:])
    # Both sums in one order: where nothing is further, the ratio is exactly one.
    for effect, weight in zip(effects, weights, strict=True):
        ratio = np.exp(effect)
        above += weight * np.exp(-log_decline(ratio * past, ratio * further, events=events, variance=variance))
        below += weight
    return np.asarray(above / below)


def _effect_nodes(
    hazard: FloatArray, events: Counts, variance: FloatArray | float | None, sd: FloatArray | float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Effects, log integrand there on the scale of standard deviations, and distance of the nodes on that scale."""
    arrays = np.broadcast_arrays(hazard, events, _variance(variance), sd)
    hazard, n_events, theta, sd = (np.asarray(array, dtype=np.float64) for array in arrays)

    def log_integrand(v: FloatArray) -> FloatArray:
        effect = sd * v
        risk = log_laplace(np.exp(effect) * hazard, events=n_events, variance=theta)
        return np.asarray(n_events * effect + risk - 0.5 * v**2)

    peak = _peak(hazard, n_events, theta, sd)
    floor = log_integrand(peak) - _DROP
    ends = []
    for sign in (-1.0, 1.0):
        # The integrand falls at least as fast as the prior, so this is far enough.
        inner, outer = np.zeros_like(peak), np.full_like(peak, np.sqrt(2.0 * _DROP))
        for _ in range(8):
            middle = 0.5 * (inner + outer)
            inside = log_integrand(peak + sign * middle) > floor
            inner, outer = np.where(inside, middle, inner), np.where(inside, outer, middle)
        ends.append(peak + sign * outer)
    width = (ends[1] - ends[0]) / (N_NODES - 1)
    nodes = np.stack([ends[0] + k * width for k in range(N_NODES)])
    return sd * nodes, np.stack([log_integrand(v) for v in nodes]), width


def _peak(hazard: FloatArray, events: FloatArray, theta: FloatArray, sd: FloatArray) -> FloatArray:
    """Where the log-concave integrand is largest, in standard deviations, near enough to put nodes around it."""
    variance = sd**2
    start = np.log((1.0 + variance * events) / (1.0 + variance * hazard))
    v = np.where(sd > 0, start / np.where(sd > 0, sd, 1.0), 0.0)
    for _ in range(8):
        risk = np.exp(sd * v) * hazard
        expected = (1.0 + theta * events) * risk / (1.0 + theta * risk)
        slope = sd * (events - expected) - v
        v = v + np.clip(slope / (1.0 + variance * expected / (1.0 + theta * risk)), -1.0, 1.0)
    return v


def _variance(variance: FloatArray | float | None) -> FloatArray:
    theta = np.asarray(0.0 if variance is None else variance, dtype=np.float64)
    return np.where(theta > SMALLEST_VARIANCE, theta, 0.0)
