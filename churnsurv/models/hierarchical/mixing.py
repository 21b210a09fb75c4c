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
    elsewhere : Past or None
        The part of it all that was spent outside the new group in which she is now: the effect of that group says nothing
        about it. ``None`` for no such part.
    """

    certain: FloatArray
    ambiguous: FloatArray
    events: FloatArray
    curable: BoolArray
    elsewhere: Past | None = None

    @property
    def whole(self) -> FloatArray:
        """All hazard so far."""
        return self.certain + self.ambiguous

    def take(self, some: IntArray) -> Past:
        """Keep some customers."""
        rest = None if self.elsewhere is None else self.elsewhere.take(some)
        return Past(self.certain[:, some], self.ambiguous[:, some], self.events[some], self.curable[some], rest)

    def joined(self, elsewhere: Past) -> Past:
        """With what was spent elsewhere."""
        return Past(
            self.certain + elsewhere.certain,
            self.ambiguous + elsewhere.ambiguous,
            self.events + elsewhere.events,
            self.curable,
            elsewhere,
        )

    def all_in_doubt(self, curable: BoolArray) -> Past:
        """The same where an immune customer would have been so in all of her time."""
        rest = None if self.elsewhere is None else self.elsewhere.all_in_doubt(curable)
        return Past(np.zeros_like(self.certain), self.whole, self.events, curable, rest)

    def times(self, ratio: FloatArray) -> Past:
        """The same for customers whose hazard is this many times as high, elsewhere too."""
        rest = None if self.elsewhere is None else self.elsewhere.times(ratio)
        return Past(self.certain * ratio, self.ambiguous * ratio, self.events, self.curable, rest)


def in_new_group(
    past: Past, further: FloatArray, variance: Mixed, logit: Mixed
) -> tuple[Past, FloatArray, Mixed, Mixed]:
    r"""What a new group's effect multiplies, once what was spent elsewhere is taken into account.

    With :math:`K` the hazard and :math:`k` the events of elsewhere, the frailty is gamma again (eq. 35) with mean
    :math:`m = (1 + \theta k) / (1 + \theta K)`, and relative to its mean with variance :math:`\theta / (1 + \theta k)`:

    .. math:: A(K + e^u H; k + d) \propto A(K; k) \, m^d A'(e^u m H; d)

    Where the open spell itself began elsewhere, :math:`K` is smaller for who is gone than for who is not, and the ratio
    of the two goes to the odds of being gone.

    Parameters
    ----------
    past, further, variance, logit
        As in :func:`survival_given`.

    Returns
    -------
    past, further, variance, logit
        The same without elsewhere.
    """
    known = past.elsewhere
    if known is None:
        return past, further, variance, logit
    theta = 0.0 if variance is None else variance
    shape = 1.0 + theta * known.events
    gone, there = shape / (1.0 + theta * known.certain), shape / (1.0 + theta * known.whole)
    certain = gone * np.maximum(past.certain - known.certain, 0.0)
    whole = there * np.maximum(past.whole - known.whole, 0.0)
    events = past.events - known.events
    if logit is not None:
        logit = logit + events * (np.log(gone) - np.log(there))
        logit = logit + log_decline(known.certain, known.ambiguous, events=known.events, variance=variance)
    own = Past(certain, whole - certain, events, past.curable)
    return own, there * further, None if variance is None else theta / shape, logit


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
    if sd is not None:
        past, further, variance, logit = in_new_group(past, further, variance, logit)
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


def gone_given(past: Past, variance: Mixed, logit: FloatArray, sd: Mixed) -> FloatArray:
    """Probability of being gone (eq. 36), shape (n_draws, n); arguments as in :func:`survival_given`."""
    odds: Mixed = logit
    if sd is not None:
        past, _, variance, odds = in_new_group(past, np.zeros(()), variance, logit)
    assert odds is not None  # noqa: S101 - what came in is a logit
    gone = probability_gone(
        past.certain, past.ambiguous, events=past.events, variance=variance, logit_cured=odds, sd=sd
    )
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
    past, further, variance, logit = in_new_group(past, further, variance, logit)
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
