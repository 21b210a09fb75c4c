"""Differences of two models' scores on the same customers, with an interval, and whether they can be told apart."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal, cast

import numpy as np

from churnsurv._typing import FloatArray, IntArray
from churnsurv._validate import as_floats, check_choice, check_ci_prob, check_count, check_rng, same_length
from churnsurv.errors import EmptyDataError
from churnsurv.hazards.groups import label_codes
from churnsurv.hazards.scoring.outcomes import read_weight
from churnsurv.hazards.steps import normal_quantile

DifferenceInterval = Literal["bca", "percentile", "normal"]

PairedScore = Callable[[IntArray, FloatArray], tuple[float, float]]
"""Scores of both models from some rows and how often each of them was drawn."""


@dataclass(frozen=True)
class PairedDifference:
    """First score minus second, with an interval.

    Parameters
    ----------
    estimate : float
        Difference on the customers as they are.
    lower, upper : float
        Bounds of the interval; NaN if no resample has a score.
    share_below, share_above : float
        Share of resamples in which the first score is lower, and higher; the rest are equal. With
        ``ci_kind="normal"`` the probabilities of the normal distribution.
    n_customers : int
        Customers, the units that are drawn.
    n_resamples : int
        Resamples with a score; 0 with ``ci_kind="normal"``.
    n_undefined : int
        Resamples in which a score does not exist, left out of the others.
    ci_prob : float
        Probability that the bounds cover.
    ci_kind : {"bca", "percentile", "normal"}
        How the bounds are made.
    """

    estimate: float
    lower: float
    upper: float
    share_below: float
    share_above: float
    n_customers: int
    n_resamples: int
    n_undefined: int
    ci_prob: float
    ci_kind: DifferenceInterval

    @property
    def verdict(self) -> str:
        """Words: "first lower" or "first higher" if the interval lies on one side of 0, else "not distinguishable"."""
        if self.upper < 0:
            return "first lower"
        return "first higher" if self.lower > 0 else "not distinguishable"


def number_customers(customer: object, n_rows: int) -> tuple[IntArray, int]:
    """Number of each row's customer, and how many there are."""
    number = np.arange(n_rows)
    if customer is not None:
        number = label_codes(customer, "customer")[1]
        same_length({"first": np.empty(n_rows), "customer": number})
    n = int(number.max()) + 1
    if n < 2:
        raise EmptyDataError(
            f"there is only {n} customer in {n_rows:,} rows.",
            count=n,
            total=n_rows,
            consequence="One customer drawn again and again is always the same.",
            hint="pass rows of at least two customers.",
        )
    return number.astype(np.int64), n


def _bca_levels(draws: FloatArray, estimate: float, influence: FloatArray, ci_prob: float) -> FloatArray:
    """Shares of the resamples at which bias-corrected and accelerated bounds lie (Efron 1987, eq. 3.10)."""
    normal, z = NormalDist(), normal_quantile(ci_prob)
    below = float(np.mean(draws < estimate) + 0.5 * np.mean(draws == estimate))
    shift = normal.inv_cdf(min(max(below, 0.5 / len(draws)), 1 - 0.5 / len(draws)))
    spread = float(influence @ influence)
    skew = float(np.sum(influence**3)) / (6 * spread**1.5) if spread > 0 else 0.0
    moved = [shift + (shift + side * z) / (1 - skew * (shift + side * z)) for side in (-1, 1)]
    return np.array([normal.cdf(value) for value in moved])


def _percentile_levels(ci_prob: float) -> FloatArray:
    return np.array([(1 - ci_prob) / 2, (1 + ci_prob) / 2])


def _resampled(
    draws: FloatArray, estimate: float, at: FloatArray, n_customers: int, ci_prob: float, kind: DifferenceInterval
) -> PairedDifference:
    defined = draws[~np.isnan(draws)]
    n = len(defined)
    lower, upper = np.quantile(defined, at).tolist() if n else (math.nan, math.nan)
    return PairedDifference(
        estimate=estimate,
        lower=lower,
        upper=upper,
        share_below=float(np.mean(defined < 0)) if n else math.nan,
        share_above=float(np.mean(defined > 0)) if n else math.nan,
        n_customers=n_customers,
        n_resamples=n,
        n_undefined=len(draws) - n,
        ci_prob=ci_prob,
        ci_kind=kind,
    )


def paired_mean_difference(
    first: object,
    second: object,
    *,
    weight: object = None,
    customer: object = None,
    n_resamples: int = 1000,
    ci_prob: float = 0.90,
    ci_kind: DifferenceInterval = "bca",
    rng: int | np.random.Generator = 0,
) -> PairedDifference:
    """Bootstrap the difference of two means of contributions: Brier, log score, absolute error.

    Customers are drawn with replacement, each with all rows, and both models are scored on the same draw: what is hard
    about a customer is hard for both and cancels. Two intervals of single scores that overlap say nothing.

    Bounds are bias-corrected and accelerated unless asked otherwise: contributions weighted for censoring are skewed,
    and for a mean the acceleration costs nothing. Memory does not grow with ``n_resamples``; one thousand resamples of
    fifty thousand customers take about a second.

    Parameters
    ----------
    first, second : array-like of shape (n,)
        Contribution of each row to each model's mean, weights for censoring included. These count as given: their
        own estimation is not repeated.
    weight : array-like of shape (n,), optional
        Frequencies > 0; the mean is Σ weight · contribution / Σ weight.
    customer : array-like of shape (n,), optional
        Whose row it is; ``None``: each row is a customer. Rows of one customer are drawn together.
    n_resamples : int
        Resamples, at least 100.
    ci_prob : float
        Probability that the bounds cover.
    ci_kind : {"bca", "percentile"}
        How the bounds are made.
    rng : int or numpy.random.Generator
        Seed; the same one gives the same answer.

    Returns
    -------
    PairedDifference
        Mean of ``first`` minus mean of ``second``.

    Raises
    ------
    ArgumentError, DataTypeError, MissingValueError, NonFiniteError, EmptyDataError
        Whatever is wrong with an argument; fewer than two customers.

    References
    ----------
    .. [1] Efron, B. (1987). Better bootstrap confidence intervals. *JASA*, 82, 171–185.

    Examples
    --------
    >>> found = paired_mean_difference([0.2, 0.1, 0.4, 0.3], [0.3, 0.3, 0.5, 0.4])
    >>> round(found.estimate, 3), found.share_below, found.verdict
    (-0.125, 1.0, 'first lower')
    """
    prob, n_draws = check_ci_prob(ci_prob), check_count(n_resamples, "n_resamples", minimum=100)
    kind = cast(DifferenceInterval, check_choice(ci_kind, "ci_kind", ("bca", "percentile")))
    generator = check_rng(rng)
    one, other = as_floats(first, "first", ndim=1), as_floats(second, "second", ndim=1)
    n_rows = same_length({"first": one, "second": other})
    counts = read_weight(weight, n_rows)
    number, n = number_customers(customer, n_rows)
    sums = np.stack([np.bincount(number, counts * (one - other), n), np.bincount(number, counts, n)], axis=1)
    estimate = float(sums[:, 0].sum() / sums[:, 1].sum())
    draws = np.empty(n_draws)
    for k in range(n_draws):
        drawn = np.bincount(generator.integers(0, n, n), minlength=n) @ sums
        draws[k] = drawn[0] / drawn[1]
    influence = sums[:, 0] - estimate * sums[:, 1]
    at = _percentile_levels(prob) if kind == "percentile" else _bca_levels(draws, estimate, influence, prob)
    return _resampled(draws, estimate, at, n, prob, kind)


def paired_score_difference(
    score: PairedScore,
    n_rows: int,
    *,
    customer: object = None,
    n_resamples: int = 1000,
    ci_prob: float = 0.90,
    rng: int | np.random.Generator = 0,
) -> PairedDifference:
    """Bootstrap the difference of two scores that are no means: concordance, AUC, lift, average precision.

    Both are computed anew on every draw, weights for censoring included if ``score`` estimates them. Bounds are
    percentiles: an acceleration would need as many computations again as there are customers. Where a score tells
    its influences, :func:`~churnsurv.hazards.scoring.paired_influence.paired_influence_difference` needs no resampling at all.

    Parameters
    ----------
    score : callable
        ``score(rows, count)``: positions of rows (n_drawn,), each once, and how often it was drawn (n_drawn,), to be used
        as ``weight``; returns the two scores, NaN where there is none.
    n_rows : int
        Rows to draw from.
    customer, n_resamples, ci_prob, rng
        As in :func:`paired_mean_difference`.

    Returns
    -------
    PairedDifference
        First score minus second.

    Raises
    ------
    ArgumentError, DataTypeError, EmptyDataError
        Whatever is wrong with an argument; fewer than two customers.

    Examples
    --------
    >>> from churnsurv.hazards.scoring.lift import lift_at
    >>> left, a, b = np.array([1, 0, 1, 0, 0]), np.array([5, 4, 3, 2, 1]), np.array([1, 2, 3, 4, 5])
    >>> found = paired_score_difference(
    ...     lambda rows, count: tuple(lift_at(left[rows], s[rows], 0.4, weight=count).lift for s in (a, b)), 5
    ... )
    >>> found.estimate, found.verdict
    (1.25, 'not distinguishable')
    """
    prob, n_draws = check_ci_prob(ci_prob), check_count(n_resamples, "n_resamples", minimum=100)
    generator = check_rng(rng)
    number, n = number_customers(customer, check_count(n_rows, "n_rows"))
    one, other = score(np.arange(n_rows), np.ones(n_rows))
    draws = np.empty(n_draws)
    for k in range(n_draws):
        count = np.bincount(generator.integers(0, n, n), minlength=n)[number]
        rows = np.flatnonzero(count)
        drawn = score(rows, count[rows].astype(np.float64))
        draws[k] = drawn[0] - drawn[1]
    return _resampled(draws, float(one - other), _percentile_levels(prob), n, prob, "percentile")
