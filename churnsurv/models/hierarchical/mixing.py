"""Survival given a past, where a frailty, a cured share or a new group's effect is integrated out within each draw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from churnsurv._typing import BoolArray, FloatArray, IntArray
from churnsurv.hazards.cure import conditional_survival_with_cure, probability_gone
from churnsurv.hazards.frailty import log_decline
from churnsurv.hazards.frailty_prediction import conditional_survival
from churnsurv.models.hierarchical.prediction import normal_nodes

Mixed = FloatArray | None
"""Variance of the frailty, logit of the cured share, or sd of new groups by draw; ``None`` for none."""


@dataclass(frozen=True, eq=False)
class Past:
    """What is behind customers, as hazard of an average customer.

    Parameters
    ----------
    certain, ambiguous : array of shape (n_draws, n, 1)
        Cumulative hazards: while surely within reach, and while perhaps gone.
    events : array of shape (n, 1)
        Events.
    curable : array of bool, shape (n, 1)
        Whether she may be gone (or immune).
    """

    certain: FloatArray
    ambiguous: FloatArray
    events: FloatArray
    curable: BoolArray

    @property
    def whole(self) -> FloatArray:
        """All hazard so far."""
        return self.certain + self.ambiguous

    def take(self, some: IntArray) -> Past:
        """Keep some customers."""
        return Past(self.certain[:, some], self.ambiguous[:, some], self.events[some], self.curable[some])

    def times(self, ratio: FloatArray) -> Past:
        """The same for customers whose hazard is this many times as high."""
        return Past(self.certain * ratio, self.ambiguous * ratio, self.events, self.curable)


def survival_given(past: Past, further: FloatArray, variance: Mixed, logit: Mixed, sd: Mixed) -> FloatArray:
    """Probability of no event over some further hazard (eq. 10, 11 and 35).

    Parameters
    ----------
    past : Past
        What is behind the customers.
    further : array of shape (n_draws, n, k)
        Cumulative hazard to come, at effect and frailty of an average customer.
    variance, logit, sd : array of shape (n_draws, 1, 1) or (n_draws, n, 1), or None
        Of the frailty, of the cured share, and of new groups' effects.
    """
    whole, events = past.whole, past.events
    if sd is None:
        stays = np.exp(-log_decline(whole, further, events=events, variance=variance))
    else:
        stays = conditional_survival(whole, whole + further, events=events, variance=variance, sd=sd)
    if logit is None:
        return np.asarray(stays)
    cured = conditional_survival_with_cure(
        past.certain, past.ambiguous, whole + further, events=events, variance=variance, logit_cured=logit, sd=sd
    )
    return np.where(past.curable, cured, stays)


def gone_given(past: Past, variance: Mixed, logit: FloatArray) -> FloatArray:
    """Probability of being gone, shape (n_draws, n)."""
    gone = probability_gone(past.certain, past.ambiguous, events=past.events, variance=variance, logit_cured=logit)
    return np.where(past.curable, gone, 0.0)[..., 0]


def survival_at_quantile(
    past: Past, further: FloatArray, variance: Mixed, logit: Mixed, sd: FloatArray, quantile: FloatArray
) -> FloatArray:
    """:func:`survival_given` at one quantile of a new group's effect, given the past.

    Customers of one new group share its effect. Taken at a quantile that they share, their futures move together, and
    averaged over uniform quantiles each of them keeps the probability of :func:`survival_given`.

    Parameters
    ----------
    past, further, variance, logit, sd
        As in :func:`survival_given`.
    quantile : array of shape (n_draws, n, 1)
        In [0, 1).
    """
    nodes, weights = normal_nodes()
    logs = []
    for node, weight in zip(nodes, weights, strict=True):
        there = -log_decline(0.0, np.exp(node * sd) * past.whole, events=past.events, variance=variance)
        if logit is not None:
            gone = -log_decline(0.0, np.exp(node * sd) * past.certain, events=past.events, variance=variance)
            both = np.logaddexp(np.log(expit(logit)) + gone, np.log(expit(-logit)) + there)
            there = np.where(past.curable, both, there)
        logs.append(np.log(weight) + past.events * node * sd + there)
    highest = np.max(logs, axis=0)
    steps = [np.exp(one - highest) for one in logs]
    limit, below = quantile * np.sum(steps, axis=0), np.zeros_like(highest)
    ratio = np.exp(nodes[-1] * sd) * np.ones_like(highest)
    for node, step in zip(nodes, steps, strict=True):
        here = (below <= limit) & (limit < below + step)
        ratio = np.where(here, np.exp(node * sd), ratio)
        below = below + step
    return survival_given(past.times(ratio), ratio * further, variance, logit, None)


def mean_ratio_of_survivors(risk: FloatArray, variance: Mixed, logit: Mixed, sd: FloatArray) -> FloatArray:
    r"""Mean hazard ratio among those still without the event, of a population of whom nothing is known.

    .. math:: \frac{(1 - \pi) \int e^{u} (1 + \theta e^{u} R)^{-1/\theta - 1} \, \mathrm{N}(u \mid 0, \tau^2) \, du}
                   {\pi + (1 - \pi) \int (1 + \theta e^{u} R)^{-1/\theta} \, \mathrm{N}(u \mid 0, \tau^2) \, du}

    Parameters
    ----------
    risk : array of shape (n_draws, n, k)
        Cumulative hazard R of an average customer.
    variance, logit, sd
        As in :func:`survival_given`.
    """
    nodes, weights = normal_nodes() if np.any(sd > 0) else ((0.0,), (1.0,))
    none = np.zeros(())
    lowest = log_decline(0.0, np.exp(nodes[0] * sd) * risk, events=none, variance=variance)
    theta = 0.0 if variance is None else variance
    above, below = np.zeros_like(risk), np.zeros_like(risk)
    for node, weight in zip(nodes, weights, strict=True):
        ratio = np.exp(node * sd)
        share = weight * np.exp(lowest - log_decline(0.0, ratio * risk, events=none, variance=variance))
        above += ratio / (1.0 + theta * ratio * risk) * share
        below += share
    if logit is None:
        return np.asarray(above / below)
    return np.asarray(above / (np.exp(logit + lowest) + below))
