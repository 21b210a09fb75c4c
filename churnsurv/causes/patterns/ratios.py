"""Ratio of the rate in a condition to the rate outside it, when customers count and their rows do not."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from churnsurv._typing import BoolArray, FloatArray, IntArray
from churnsurv.hazards.steps import normal_quantile

_FAR = 1e9
"""Factor beyond the crude ratio, or beyond 1, at which the search for a bound gives up: there is none."""

_HALVINGS = 80


@dataclass(frozen=True, eq=False)
class RateRatios:
    r"""Ratios of two rates each, with a score test and the interval that goes with it; arrays of shape (n,).

    Customer *i* has :math:`d_{1i}` events in :math:`e_{1i}` of exposure inside the condition, :math:`d_{0i}` in
    :math:`e_{0i}` outside; sums over customers go without *i*. At a ratio :math:`\theta` the pooled rate outside is
    :math:`\lambda = (d_0 + d_1) / (\theta e_1 + e_0)`, and each customer contributes to the score

    .. math:: w_i = \frac{d_{1i}}{e_1} - \theta \frac{d_{0i}}{e_0}
              - \theta \lambda \left( \frac{e_{1i}}{e_1} - \frac{e_{0i}}{e_0} \right),
              \qquad z(\theta) = \frac{\sum_i w_i}{\sqrt{\max(\sum_i w_i^2,\, v(\theta))}}

    with :math:`v = \theta\lambda(1 - \kappa\theta\lambda)/e_1 + \theta^2\lambda(1 - \kappa\lambda)/e_0`, the variance of
    events that are independent: Poisson with :math:`\kappa = 0` (exposure is time), binomial with :math:`\kappa = 1`
    (exposure is a number of trials). :math:`\sum w_i^2` is the sandwich: one customer's rows add up to one
    contribution, so that rows repeated change nothing, and few customers never make a large *z*. It is blind where no
    event was seen; there the larger :math:`v` counts. The p-value is one-sided, for a ratio above 1; a bound is the ratio
    that a test at its level would just not reject.

    Parameters
    ----------
    events, exposure : array
        Inside the condition.
    rest_events, rest_exposure : array
        Outside it.
    squares : array of shape (n, 6)
        Sums over customers of the squares and products of :math:`d_{1i}/e_1`, :math:`d_{0i}/e_0` and
        :math:`e_{1i}/e_1 - e_{0i}/e_0`: 11, 22, 33, 12, 13, 23.
    trials : bool
        Whether exposure is a number of trials.

    References
    ----------
    .. [1] Boos, D. D. (1992). On generalized score tests. *The American Statistician*, 46, 327–333.
    .. [2] Guo, X., Pan, W., Connett, J. E., Hannan, P. J. and French, S. A. (2005). Small-sample performance of the
       robust score test and its modifications in generalized estimating equations. *Statistics in Medicine*, 24,
       3479–3495.
    .. [3] Rothman, K. J., Greenland, S. and Lash, T. L. (2008). *Modern Epidemiology*, 3rd ed., ch. 3 and 14 (rate and
       risk ratios). Lippincott.
    """

    events: FloatArray
    exposure: FloatArray
    rest_events: FloatArray
    rest_exposure: FloatArray
    squares: FloatArray
    trials: bool

    @classmethod
    def stack(cls, ratios: list[FloatArray], *, trials: bool) -> RateRatios:
        """Put comparisons together; see :meth:`Customers.compare`."""
        rows = np.array(ratios, dtype=np.float64).reshape(-1, 10)
        return cls(rows[:, 0], rows[:, 1], rows[:, 2], rows[:, 3], rows[:, 4:], trials)

    @property
    def estimate(self) -> FloatArray:
        """Rate inside over rate outside; infinite where no event lies outside, NaN where there is no outside."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return (self.events / self.exposure) / (self.rest_events / self.rest_exposure)

    @property
    def p_value(self) -> FloatArray:
        """Probability of so large a score when the rates are equal, one-sided; 1 where there is no outside."""
        z = self._score(np.ones(len(self.events)))
        tail = np.array([0.5 * math.erfc(one / math.sqrt(2)) for one in z.tolist()])
        return np.where(self.rest_exposure > 0, tail, 1.0)

    def interval(self, ci_prob: float) -> tuple[FloatArray, FloatArray]:
        """Equal-tailed bounds of the ratios: 0 or infinite where too few customers had events to tell one.

        Parameters
        ----------
        ci_prob : float
            Probability that the bounds cover.
        """
        quantile, estimate = normal_quantile(ci_prob), self.estimate
        centre = np.log(np.clip(np.nan_to_num(estimate, nan=1.0), 1 / _FAR, _FAR))
        lower = self._crossing(np.full_like(centre, -math.log(_FAR)) + np.minimum(centre, 0.0), centre, quantile)
        upper = self._crossing(centre, np.full_like(centre, math.log(_FAR)) + np.maximum(centre, 0.0), -quantile)
        unbounded = np.isinf(estimate) | (self._score(np.exp(np.maximum(centre, 0.0)) * _FAR) > -quantile)
        unlimited = self._score(np.exp(np.minimum(centre, 0.0)) / _FAR) < quantile
        nowhere = self.rest_exposure <= 0
        low = np.where(nowhere, np.nan, np.where(unlimited, 0.0, np.exp(lower)))
        return low, np.where(nowhere, np.nan, np.where(unbounded, np.inf, np.exp(upper)))

    def _crossing(self, low: FloatArray, high: FloatArray, level: float) -> FloatArray:
        """Logarithm of the ratio at which the score, which falls with the ratio, passes a level."""
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            above = self._score(np.exp(middle)) > level
            low, high = np.where(above, middle, low), np.where(above, high, middle)
        return (low + high) / 2

    def _score(self, ratio: FloatArray) -> FloatArray:
        """Standardised score at each ratio."""
        with np.errstate(divide="ignore", invalid="ignore"):
            pooled = (self.events + self.rest_events) / (ratio * self.exposure + self.rest_exposure)
            inside = ratio * pooled
            aa, bb, cc, ab, ac, bc = self.squares.T
            sandwich = aa + ratio**2 * bb + inside**2 * cc - 2 * (ratio * ab + inside * (ac - ratio * bc))
            kappa = float(self.trials)
            independent = inside * np.maximum(1 - kappa * inside, 0) / self.exposure
            independent += ratio**2 * pooled * np.maximum(1 - kappa * pooled, 0) / self.rest_exposure
            score = self.events / self.exposure - ratio * self.rest_events / self.rest_exposure
            z = score / np.sqrt(np.maximum(sandwich, independent))
        return np.where(np.isfinite(z), z, 0.0)


@dataclass(frozen=True, eq=False)
class Customers:
    """Rows of which some are compared with the others, and the customers they belong to; arrays of shape (n,).

    Parameters
    ----------
    number : array of int
        Customer of each row, numbered from 0; rows of one customer are neighbours.
    exposure, events : array
        Of each row.
    all_exposure, all_events : array of shape (n_customers,)
        Sums per customer.
    """

    number: IntArray
    exposure: FloatArray
    events: FloatArray
    all_exposure: FloatArray
    all_events: FloatArray

    @classmethod
    def of(cls, customer: IntArray, exposure: FloatArray, events: FloatArray) -> Customers:
        """Number the customers of some rows from 0 and add up what is theirs.

        Examples
        --------
        >>> rows = Customers.of(np.array([4, 4, 7]), np.array([10.0, 5.0, 20.0]), np.array([0.0, 1.0, 1.0]))
        >>> rows.number.tolist(), rows.all_exposure.tolist(), rows.all_events.tolist()
        ([0, 0, 1], [15.0, 20.0], [1.0, 1.0])
        """
        number = np.concatenate([[0], np.cumsum(customer[1:] != customer[:-1])]).astype(np.int64)[: len(customer)]
        return cls(number, exposure, events, np.bincount(number, exposure), np.bincount(number, events))

    def compare(self, inside: BoolArray) -> FloatArray:
        """Sums that a ratio is made of: events and exposure inside and outside, and six squares, shape (10,).

        Cost: O(rows inside + customers).

        Parameters
        ----------
        inside : array of bool, shape (n,)
            Rows that meet the condition, at least one.

        Examples
        --------
        >>> rows = Customers.of(np.arange(4), np.array([10.0, 10.0, 20.0, 20.0]), np.array([1.0, 1.0, 1.0, 0.0]))
        >>> ratio = RateRatios.stack([rows.compare(np.array([True, True, False, False]))], trials=False)
        >>> ratio.estimate.round(6).tolist(), ratio.p_value.round(4).tolist()
        ([4.0], [0.1103])
        """
        where, n = np.flatnonzero(inside), len(self.all_events)
        exposure = np.bincount(self.number[where], self.exposure[where], n)
        events = np.bincount(self.number[where], self.events[where], n)
        elsewhere, happened = self.all_exposure - exposure, self.all_events - events
        sums = [float(part.sum()) for part in (events, exposure, happened, elsewhere)]
        if len(where) == len(inside):
            return np.array([*sums[:2], 0.0, 0.0, *[0.0] * 6])
        a, b, c = events / sums[1], happened / sums[3], exposure / sums[1] - elsewhere / sums[3]
        return np.array([*sums, a @ a, b @ b, c @ c, a @ b, a @ c, b @ c])
