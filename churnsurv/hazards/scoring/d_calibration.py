"""D-calibration: whether predicted survival at the exits is spread evenly, as it is under the true model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from churnsurv._typing import BoolArray, FloatArray
from churnsurv._validate import as_floats, check_count, refuse, same_length
from churnsurv.errors import ArgumentError
from churnsurv.hazards.scoring.censoring_weights import reverse_factors
from churnsurv.hazards.scoring.outcomes import read_weight

_LEAST_EXPECTED = 1.0
"""Contrasts of bins in which fewer events than this are to be expected have no chi-square distribution."""


@dataclass(frozen=True, eq=False, repr=False)
class DCalibration:
    """How evenly predicted survival at the exits fills the bins of [0, 1].

    Made by :func:`d_calibration`. Arrays have shape (n_bins,).

    Parameters
    ----------
    edges : array of shape (n_bins + 1,)
        Edges of the bins of survival.
    share : array
        Share of the customers in each; 1 / n_bins is right. Too many at low survival: predictions too
        optimistic in time, events come later than predicted; too many at high survival: they come earlier.
    expected : float
        1 / n_bins.
    statistic, p_value : float
        Chi-square with the covariance that the shares have under this censoring if predictions are right; NaN
        where no bin can be told from another.
    n_free : int
        Its degrees of freedom, at most n_bins - 1; less where follow-up leaves bins out of reach.
    pearson, pearson_p_value : float
        The chi-square of the shares against evenness on n_bins - 1 degrees of freedom (Haider et al.). Under
        censoring it rejects too seldom: a customer spread over bins varies less than one in a bin.
    n_scored : float
        Customers, with their frequencies.
    """

    edges: FloatArray
    share: FloatArray
    expected: float
    statistic: float
    p_value: float
    n_free: int
    pearson: float
    pearson_p_value: float
    n_scored: float

    def __repr__(self) -> str:
        """Return one line."""
        return (
            f"DCalibration({len(self.share)} bins, shares {self.share.min():.3f} to {self.share.max():.3f}, "
            f"p={self.p_value:.3g})"
        )


def _within(survival: FloatArray, edges: FloatArray) -> FloatArray:
    """Part of [0, survival] that lies below each edge."""
    return np.minimum(survival[:, None], edges[None, :])


def spread_over_bins(low: FloatArray, high: FloatArray, edges: FloatArray) -> FloatArray:
    """Share of each interval [low, high] in each bin; an interval of no length lies in the bin above it.

    Parameters
    ----------
    low, high : array of shape (n,)
        Ends in [0, 1].
    edges : array of shape (n_bins + 1,)
        From 0 to 1.

    Returns
    -------
    array of shape (n, n_bins)
        Rows sum to 1.

    Examples
    --------
    >>> spread_over_bins(np.array([0.0, 0.7]), np.array([0.75, 0.7]), np.array([0.0, 0.5, 1.0])).round(4)
    array([[0.6667, 0.3333],
           [0.    , 1.    ]])
    """
    length = high - low
    wide = length > 0
    parts = np.diff(_within(high, edges) - _within(low, edges), axis=1)
    found: FloatArray = parts / np.where(wide, length, 1.0)[:, None]
    spot = np.clip(np.searchsorted(edges, low[~wide], side="right") - 1, 0, len(edges) - 2)
    found[~wide] = np.eye(len(edges) - 1)[spot]
    return found


def _conditional(values: object, name: str, at_entry: FloatArray | None, n: int) -> FloatArray:
    found = as_floats(values, name, ndim=1)
    same_length({"survival_at_exit": np.empty(n), name: found})
    refuse(
        ArgumentError,
        (found < 0) | (found > 1),
        "lie outside [0, 1].",
        columns={name: found},
        hint="pass predicted survival probabilities.",
    )
    if at_entry is None:
        return found
    refuse(
        ArgumentError,
        found > at_entry * (1 + 1e-9),
        "lie above the survival at the entry.",
        columns={name: found, "survival_at_entry": at_entry},
        consequence="A survival curve does not rise.",
        hint="exits come after entries: swap the two, or check the rows.",
    )
    return np.minimum(found / at_entry, 1.0)


def _at_entry(values: object) -> FloatArray | None:
    if values is None:
        return None
    found = as_floats(values, "survival_at_entry", ndim=1)
    refuse(
        ArgumentError,
        (found <= 0) | (found > 1),
        "lie outside (0, 1].",
        columns={"survival_at_entry": found},
        consequence="Who was seen to enter had not left; a survival of 0 says nobody does.",
        hint="leave such customers out and report them: the model calls them impossible.",
    )
    return found


def null_covariance(at_exit: FloatArray, happened: BoolArray, weight: FloatArray, edges: FloatArray) -> FloatArray:
    r"""Covariance of one customer's shares if the predictions are right, given how customers are censored.

    On the scale of survival the event lies at a uniform U and the censoring at some V, independent of it; what is
    seen is the larger one. The distribution of V is the reverse Kaplan–Meier estimate on that scale, and given V
    the covariance is known:

    .. math:: \int \bigl[ \operatorname{diag}(b_k \cap [v, 1]) + v \, s(v) s(v)^\top \bigr] dF_V(v) - \tfrac{1}{K^2}

    with s(v) the shares of a customer censored at v. Without censoring it is that of Pearson's statistic.

    Parameters
    ----------
    at_exit : array of shape (n,)
        Predicted survival at the exits.
    happened : array of bool, shape (n,)
        Who had the event.
    weight : array of shape (n,)
        Frequencies.
    edges : array of shape (n_bins + 1,)
        From 0 to 1.

    Returns
    -------
    array of shape (n_bins, n_bins)
        Rows sum to 0.
    """
    factors = reverse_factors(None, 1.0 - at_exit, happened, weight)
    chance = -np.diff(factors.before)
    there = chance > 0
    censored, chance = 1.0 - factors.times[there], chance[there]
    below = np.diff(_within(censored, edges), axis=1)
    inside = np.diff(edges)
    diagonal = float(factors.before[-1]) * inside + chance @ (inside - below)
    scale = np.divide(chance, censored, out=np.zeros_like(chance), where=censored > 0)
    found: FloatArray = np.diag(diagonal) + (below * scale[:, None]).T @ below - np.outer(inside, inside)
    return found


def _tested(share: FloatArray, covariance: FloatArray, n: float) -> tuple[float, float, int]:
    """Chi-square of the shares, its p-value and degrees of freedom."""
    from scipy.special import chdtrc

    gap = share - 1 / len(share)
    sizes, axes = np.linalg.eigh(covariance)
    kept = sizes * n > _LEAST_EXPECTED
    rank = int(kept.sum())
    if not rank:
        return np.nan, np.nan, 0
    statistic = float(n * np.sum((axes[:, kept].T @ gap) ** 2 / sizes[kept]))
    return statistic, float(chdtrc(rank, statistic)), rank


def d_calibration(
    survival_at_exit: object,
    event: object,
    *,
    survival_at_entry: object = None,
    survival_before_exit: object = None,
    weight: object = None,
    n_bins: int = 10,
) -> DCalibration:
    r"""Whether predicted survival at the exits is uniform, as it is under the true model.

    If :math:`S_i` is the true curve of customer i, :math:`S_i(T_i)` is uniform on [0, 1], and given entry so is
    :math:`S_i(T_i) / S_i(\text{entry}_i)`. An event counts in its bin; a censored customer, of whom only
    :math:`S_i(T_i) < S_i(C_i)` is known, is spread evenly over :math:`[0, S_i(C_i)]`.

    Spread customers vary less than those in one bin, so under censoring Pearson's chi-square, which is also given,
    is too small and hardly ever rejects. The test here divides by the covariance that the shares do have under the
    censoring seen, and holds its level; without censoring the two are the same. Time and memory grow with n times
    n_bins.

    Parameters
    ----------
    survival_at_exit : array-like of shape (n,)
        Predicted probability of no event by the customer's own exit.
    event : array-like of shape (n,)
        0 censored; any other code an event.
    survival_at_entry : array-like of shape (n,), optional
        The same at the entry, where observation began late; 1 by default.
    survival_before_exit : array-like of shape (n,), optional
        The same at the last moment before the exit at which there was no event yet: with times in whole days, of
        the day before. The event is then spread over the interval, which is what ties and curves with jumps
        need [3]_; a customer censored is not.
    weight : array-like of shape (n,), optional
        Frequencies > 0.
    n_bins : int
        Bins of equal width; at least 2.

    Returns
    -------
    DCalibration
        Shares and tests.

    Raises
    ------
    ArgumentError, MissingValueError, NonFiniteError, DataTypeError, EmptyDataError
        If a survival lies outside [0, 1] or rises, or an argument is wrong.

    References
    ----------
    .. [1] Haider, H., Hoehn, B., Davis, S. and Greiner, R. (2020). Effective ways to build and evaluate individual
       survival distributions. *Journal of Machine Learning Research*, 21(85), 1–63, section 3.5 and appendix B.
    .. [2] Andres, A. et al. (2018). A novel learning algorithm to predict individual survival after liver
       transplantation for primary sclerosing cholangitis. *PLoS ONE*, 13, e0193523.
    .. [3] Czado, C., Gneiting, T. and Held, L. (2009). Predictive model assessment for count data. *Biometrics*,
       65, 1254–1261, section 2.1.

    Examples
    --------
    Two events, and one censored at 0.5, which is all below:

    >>> d_calibration([0.9, 0.2, 0.5], [1, 1, 0], n_bins=2).share.round(4)
    array([0.6667, 0.3333])
    """
    from scipy.special import chdtrc

    count = check_count(n_bins, "n_bins", minimum=2)
    codes = as_floats(event, "event", ndim=1)
    at_entry = _at_entry(survival_at_entry)
    columns = {"event": codes} if at_entry is None else {"event": codes, "survival_at_entry": at_entry}
    n = same_length(columns)
    at_exit = _conditional(survival_at_exit, "survival_at_exit", at_entry, n)
    before = at_exit
    if survival_before_exit is not None:
        before = _conditional(survival_before_exit, "survival_before_exit", at_entry, n)
        _check_order(at_exit, before)
    frequency = read_weight(weight, n)
    happened = codes != 0
    edges = np.linspace(0.0, 1.0, count + 1)
    low, high = np.where(happened, at_exit, 0.0), np.where(happened, np.maximum(before, at_exit), at_exit)
    spread = spread_over_bins(low, high, edges)
    total = float(frequency.sum())
    share = frequency @ spread / total
    tested = _tested(share, null_covariance(at_exit, happened, frequency, edges), total)
    pearson = float(total * count * np.sum((share - 1 / count) ** 2))
    return DCalibration(edges, share, 1 / count, *tested, pearson, float(chdtrc(count - 1, pearson)), total)


def _check_order(at_exit: FloatArray, before: FloatArray) -> None:
    refuse(
        ArgumentError,
        before < at_exit - 1e-9,
        "lie below the survival at the exit.",
        columns={"survival_before_exit": before, "survival_at_exit": at_exit},
        consequence="A survival curve does not rise.",
        hint="survival_before_exit is of an earlier moment, so it is at least as large.",
    )
