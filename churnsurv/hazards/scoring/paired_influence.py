"""Difference of two scores on the same customers from each customer's influence on them, without resampling."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from churnsurv._validate import as_floats, check_ci_prob, same_length
from churnsurv.errors import ArgumentError
from churnsurv.hazards.scoring.outcomes import read_weight
from churnsurv.hazards.scoring.paired import PairedDifference, number_customers
from churnsurv.hazards.steps import normal_quantile


def paired_influence_difference(
    first: tuple[float, object],
    second: tuple[float, object],
    *,
    weight: object = None,
    customer: object = None,
    ci_prob: float = 0.90,
) -> PairedDifference:
    r"""Difference of two scores that tell each customer's influence on them, without resampling.

    The influence on a difference is the difference of influences: a customer who raises one score by 0.03 and the
    other by 0.01 raises the difference by 0.02 [1]_. With influences U the variance is
    :math:`\sum_i w_i (U_{1i} - U_{2i})^2`; several rows of one customer are added up first.

    Parameters
    ----------
    first, second : tuple of float and array-like of shape (n,)
        Score and influences, e.g. ``(c.estimate, c.influence)`` of
        :func:`~churnsurv.hazards.scoring.concordance.concordance_index`.
    weight : array-like of shape (n,), optional
        Frequencies. Not together with ``customer``.
    customer : array-like of shape (n,), optional
        Whose row it is.
    ci_prob : float
        Probability that the bounds cover.

    Returns
    -------
    PairedDifference
        First score minus second, with normal bounds.

    Raises
    ------
    ArgumentError, DataTypeError, MissingValueError, NonFiniteError, EmptyDataError
        Whatever is wrong with an argument; fewer than two customers; both weights and customers.

    References
    ----------
    .. [1] Therneau, T. and Atkinson, E. (2024). *Concordance*. Vignette of the R package survival, section 5.

    Examples
    --------
    >>> found = paired_influence_difference((0.70, [0.03, -0.03]), (0.60, [0.01, -0.01]))
    >>> round(found.estimate, 3), round(found.lower, 3), found.verdict
    (0.1, 0.053, 'first higher')
    """
    prob = check_ci_prob(ci_prob)
    one, other = as_floats(first[1], "first", ndim=1), as_floats(second[1], "second", ndim=1)
    n_rows = same_length({"first": one, "second": other})
    if weight is not None and customer is not None:
        raise ArgumentError(
            "`weight` and `customer` are both given.",
            column="weight",
            consequence="A row of weight 3 is three customers; it cannot also be part of one.",
            hint="leave out one of them.",
        )
    number, n = number_customers(customer, n_rows)
    change = np.bincount(number, one - other, n)
    error = math.sqrt(read_weight(weight, n_rows) @ change**2 if customer is None else change @ change)
    estimate = float(first[0] - second[0])
    half = normal_quantile(prob) * error
    below = NormalDist().cdf(-estimate / error) if error > 0 else float(estimate < 0)
    return PairedDifference(
        estimate=estimate,
        lower=estimate - half,
        upper=estimate + half,
        share_below=below,
        share_above=1 - below if error > 0 else float(estimate > 0),
        n_customers=n,
        n_resamples=0,
        n_undefined=0,
        ci_prob=prob,
        ci_kind="normal",
    )
