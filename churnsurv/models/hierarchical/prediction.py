"""From draws to survival: piecewise closed forms times a multiplier, and new groups integrated out.

Everything is elementwise over rows, so a row's numbers have the same bytes whatever it is computed with.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from churnsurv._typing import FloatArray, IntArray

N_NODES = 48
"""Gauss–Hermite nodes for a new group's effect."""


@lru_cache(maxsize=4)
def normal_nodes(n_nodes: int = N_NODES) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Nodes and weights that integrate against a standard normal.

    Examples
    --------
    >>> nodes, weights = normal_nodes(20)
    >>> round(sum(w * x**4 for x, w in zip(nodes, weights)), 9)
    3.0
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(n_nodes)
    return tuple(nodes.tolist()), tuple((weights / np.sqrt(2.0 * np.pi)).tolist())


def log_multiplier(coef: FloatArray, x: FloatArray) -> FloatArray:
    """Log hazard ratio of each pattern in each draw, summed term by term.

    Parameters
    ----------
    coef : array of shape (n_draws, n_terms)
        Coefficients.
    x : array of shape (n_patterns, n_terms)
        Indicators.

    Returns
    -------
    array of shape (n_draws, n_patterns)
        Not a matrix product: its order of summation would depend on the number of patterns.
    """
    total = np.zeros((len(coef), len(x)))
    for k in range(x.shape[1]):
        total += coef[:, k, None] * x[None, :, k]
    return total


def group_part(effect: FloatArray, position: IntArray) -> FloatArray:
    """Effect of each pattern's level, zero where the level is new; shape (n_draws, n_patterns)."""
    known = position >= 0
    return np.where(known, effect[:, np.where(known, position, 0)], 0.0)


def conditional_survival_of_new_group(reached: FloatArray, until: FloatArray, sd: FloatArray) -> FloatArray:
    r"""Ratio of integrals S(until) / S(reached) for a group never seen (eq. 11).

    .. math:: \frac{\int \exp(-e^{u} R_{until}) \, \mathrm{N}(u \mid 0, \tau^2) \, du}
                   {\int \exp(-e^{u} R_{reached}) \, \mathrm{N}(u \mid 0, \tau^2) \, du}

    Parameters
    ----------
    reached : array of shape (n_draws, n, 1)
        Cumulative hazard at effect zero at the time reached.
    until : array of shape (n_draws, n, k)
        The same at the times asked about.
    sd : array of shape (n_draws, n, 1)
        Standard deviation of the new groups' effects in each draw.

    Returns
    -------
    array of the common shape
        Probabilities. An average of ratios would forget what reaching a time tells of the group. Both integrals
        are scaled by the largest integrand of the denominator, so that they do not vanish together.
    """
    nodes, weights = normal_nodes()
    # The flattest integrand belongs to the lowest node.
    lowest = np.exp(nodes[0] * sd) * reached
    above, below = np.zeros(np.broadcast_shapes(reached.shape, until.shape)), np.zeros_like(reached)
    for node, weight in zip(nodes, weights, strict=True):
        ratio = np.exp(node * sd)
        below += weight * np.exp(lowest - ratio * reached)
        above += weight * np.exp(lowest - ratio * until)
    return np.asarray(above / below)


def survival_at_quantile(reached: FloatArray, until: FloatArray, sd: FloatArray, quantile: FloatArray) -> FloatArray:
    """S(until) / S(reached) at one quantile of a new group's effect, given that ``reached`` was reached.

    Customers of one new group share its effect. Taken at a quantile that they share, their futures move together,
    and averaged over uniform quantiles each of them keeps the probability of
    :func:`conditional_survival_of_new_group`.

    Parameters
    ----------
    reached, until, sd : arrays
        As in :func:`conditional_survival_of_new_group`.
    quantile : array of shape (n_draws, n, 1)
        In [0, 1).

    Returns
    -------
    array of the common shape
        Probabilities.
    """
    nodes, weights = normal_nodes()
    lowest = np.exp(nodes[0] * sd) * reached
    steps = [weight * np.exp(lowest - np.exp(node * sd) * reached) for node, weight in zip(nodes, weights, strict=True)]
    limit, below = quantile * np.sum(steps, axis=0), np.zeros_like(reached)
    ratio = np.exp(nodes[-1] * sd) * np.ones_like(reached)
    for node, step in zip(nodes, steps, strict=True):
        here = (below <= limit) & (limit < below + step)
        ratio = np.where(here, np.exp(node * sd), ratio)
        below = below + step
    return np.asarray(np.exp(-ratio * (until - reached)))


def mean_ratio_of_survivors(risk: FloatArray, sd: FloatArray) -> FloatArray:
    r"""Mean hazard ratio among those of new groups who are still without the event; 1 where ``sd`` is 0.

    .. math:: \frac{\int e^{u} \exp(-e^{u} R) \, \mathrm{N}(u \mid 0, \tau^2) \, du}
                   {\int \exp(-e^{u} R) \, \mathrm{N}(u \mid 0, \tau^2) \, du}

    Parameters
    ----------
    risk : array of shape (n_draws, n, k)
        Cumulative hazard R at effect zero.
    sd : array of shape (n_draws, n, 1)
        Standard deviation of the new groups' effects.

    Returns
    -------
    array of the shape of ``risk``
        The ratio of integrals.
    """
    above, below = np.zeros_like(risk), np.zeros_like(risk)
    nodes, weights = normal_nodes()
    lowest = np.exp(nodes[0] * sd) * risk
    for node, weight in zip(nodes, weights, strict=True):
        ratio = np.exp(node * sd)
        share = weight * np.exp(lowest - ratio * risk)
        above += ratio * share
        below += share
    return np.asarray(above / below)
