"""Tests of equal hazards between groups: the log-rank family, stratified, with delayed entry.

Equation numbers refer to the page of quantities (docs/explanation/quantities.md).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

from churnsurv._typing import FloatArray, IntArray
from churnsurv._validate import as_floats, check_choice, refuse
from churnsurv.errors import ArgumentError, EmptyDataError
from churnsurv.hazards.groups import GroupedSpells, Label, group_spells
from churnsurv.hazards.risk_sets import check_spells

Weighting = Literal["log-rank", "gehan", "tarone-ware", "peto", "fleming-harrington"]
WEIGHTINGS: tuple[Weighting, ...] = ("log-rank", "gehan", "tarone-ware", "peto", "fleming-harrington")

_DEAD_DIRECTION = 1e-9
"""An eigenvalue of the correlation matrix of the scores below this is a difference no data speak about."""


@dataclass(frozen=True, eq=False, repr=False)
class LogRankTest:
    """Test of equal hazards in several groups.

    Made by :func:`log_rank_test`. Arrays have shape (n_groups,), in the order of ``groups``.

    Parameters
    ----------
    groups : tuple of labels
        The groups, sorted.
    n_spells : array
        Spells per group; sums of weights.
    observed : array
        Events per group.
    expected : array
        Events the group would have had at everybody's hazard, sum of Y_g d / Y over the times of eq. 27.
    score : array
        Weighted sum of observed minus expected, eq. 27; adds up to 0.
    covariance : array of shape (n_groups, n_groups)
        Of ``score`` when the hazards are equal, eq. 28.
    statistic : float
        Chi-square, eq. 28.
    df : int
        Its degrees of freedom: groups less one, fewer where groups were never at risk together.
    p_value : float
        Probability of a larger statistic when the hazards are equal.
    weighting : str
        Which member of the family.
    rho, gamma : float
        Exponents of the Fleming–Harrington weights; NaN for the others.
    n_strata : int
        Strata compared within; 1 without strata.
    """

    groups: tuple[Label, ...]
    n_spells: FloatArray
    observed: FloatArray
    expected: FloatArray
    score: FloatArray
    covariance: FloatArray
    statistic: float
    df: int
    p_value: float
    weighting: Weighting
    rho: float
    gamma: float
    n_strata: int

    def __repr__(self) -> str:
        """Return one line."""
        return (
            f"LogRankTest({self.weighting}, {len(self.groups)} groups, chi-square={self.statistic:.4g} "
            f"on {self.df} df, p={self.p_value:.3g})"
        )

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """Columns of a table, one row per group; ``pandas.DataFrame`` takes them as they are."""
        return {
            "group": np.array(self.groups, dtype=object),
            "n_spells": self.n_spells,
            "observed": self.observed,
            "expected": self.expected,
            "score": self.score,
        }

    def trend(self, scores: Sequence[float] | None = None) -> LogRankTrend:
        """Test against hazards that rise or fall with the order of the groups.

        Parameters
        ----------
        scores : sequence of float, optional
            One number per group in the order of ``groups``; 1, 2, … by default.

        Returns
        -------
        LogRankTrend
            Standard normal when the hazards are equal; positive where they rise with the scores.

        Raises
        ------
        ArgumentError
            If there is not one score per group, or they do not differ.

        References
        ----------
        .. [1] Klein, J. P. and Moeschberger, M. L. (2003). *Survival Analysis*, 2nd ed., section 7.4. Springer.
        """
        chosen = np.arange(1.0, len(self.groups) + 1) if scores is None else as_floats(scores, "scores", ndim=1)
        if len(chosen) != len(self.groups) or len(set(chosen.tolist())) < 2:
            raise ArgumentError(
                f"`scores` are {chosen.tolist()} for {len(self.groups)} groups.",
                column="scores",
                hint=f"write one number for each of {self.groups}, not all the same.",
            )
        statistic = float(chosen @ self.score / math.sqrt(float(chosen @ self.covariance @ chosen)))
        return LogRankTrend(tuple(chosen.tolist()), statistic, 2 * NormalDist().cdf(-abs(statistic)))


@dataclass(frozen=True)
class LogRankTrend:
    """Test for a trend over ordered groups.

    Parameters
    ----------
    scores : tuple of float
        Place of each group on the scale of the trend.
    statistic : float
        Standard normal when the hazards are equal; positive where they rise with the scores.
    p_value : float
        Two-sided.
    """

    scores: tuple[float, ...]
    statistic: float
    p_value: float


@dataclass(frozen=True, eq=False)
class _EventTimes:
    """Counts at each distinct time of an event within a stratum: columns; strata one after the other."""

    at_risk: FloatArray
    events: FloatArray
    stratum: IntArray


def _event_times(grouped: GroupedSpells) -> _EventTimes:
    """Count by group in O(n log n): a spell is at risk on one run of its stratum's event times."""
    spells, group, n_groups = grouped.spells, grouped.group, len(grouped.groups)
    times, rank = np.unique(spells.exit, return_inverse=True)
    begun = np.zeros(len(rank), np.int64)
    if spells.entry is not None:
        begun = np.searchsorted(times, spells.entry, side="right")
    block = grouped.stratum * (len(times) + 1)
    happened = spells.event > 0
    moments = np.unique((block + rank)[happened])
    n = len(moments) + 1
    start = group * n + np.searchsorted(moments, block + begun, side="left")
    stop = group * n + np.searchsorted(moments, block + rank, side="right")
    change = np.bincount(start, spells.weight, n_groups * n) - np.bincount(stop, spells.weight, n_groups * n)
    at_risk = np.cumsum(change.reshape(n_groups, n), axis=1)[:, :-1]
    place = group[happened] * n + np.searchsorted(moments, (block + rank)[happened])
    events = np.bincount(place, spells.weight[happened], n_groups * n).reshape(n_groups, n)[:, :-1]
    return _EventTimes(at_risk, events, (moments // (len(times) + 1)).astype(np.int64))


def _survival_within(kept: FloatArray, stratum: IntArray, *, before: bool) -> FloatArray:
    """Product of the factors up to each time within its stratum, or up to but not including it."""
    edges = np.flatnonzero(np.diff(stratum)) + 1
    parts = [np.cumprod(part) for part in np.split(kept, edges)]
    if before:
        parts = [np.concatenate([[1.0], part[:-1]]) for part in parts]
    return np.concatenate(parts)


def _weights_of(weighting: Weighting, rho: float, gamma: float, counts: _EventTimes) -> FloatArray:
    """Weight of each event time, eq. 27; strata have their own."""
    total, events = counts.at_risk.sum(axis=0), counts.events.sum(axis=0)
    if weighting == "gehan":
        return total
    if weighting == "tarone-ware":
        return np.sqrt(total)
    if weighting == "peto":
        return _survival_within(1 - events / (total + 1), counts.stratum, before=False)
    if weighting == "fleming-harrington":
        survival = _survival_within(1 - events / total, counts.stratum, before=True)
        return survival**rho * (1 - survival) ** gamma
    return np.ones_like(total)


def fleming_harrington(weighting: Weighting, rho: float | None, gamma: float | None) -> tuple[float, float]:
    """Exponents of the weights; NaN where the weighting has none, refused where they make no sense."""
    given = rho is not None or gamma is not None
    hint = 'write weighting="fleming-harrington", rho=0, gamma=1: late differences count more.'
    if weighting != "fleming-harrington":
        if given:
            raise ArgumentError(f'`rho` and `gamma` mean nothing to weighting="{weighting}".', column="rho", hint=hint)
        return math.nan, math.nan
    exponents = float(0.0 if rho is None else rho), float(0.0 if gamma is None else gamma)
    if not given or not all(math.isfinite(value) and value >= 0 for value in exponents):
        raise ArgumentError(
            f"`rho`={rho!r} and `gamma`={gamma!r} are not exponents >= 0, at least one given.", column="rho", hint=hint
        )
    return exponents


def _chi_square(score: FloatArray, covariance: FloatArray) -> tuple[float, int, float]:
    """Statistic, degrees of freedom and p-value, with directions no data speak about left out."""
    from scipy.special import chdtrc

    scale = np.sqrt(np.diag(covariance))
    informed = scale > 0
    unit = score[informed] / scale[informed]
    correlation = covariance[np.ix_(informed, informed)] / np.outer(scale[informed], scale[informed])
    values, directions = np.linalg.eigh(correlation)
    alive = values > _DEAD_DIRECTION * max(len(values), 1)
    df = int(alive.sum())
    if df == 0:
        raise EmptyDataError(
            "there is not one event of positive weight at which two groups were at risk.",
            consequence="Nothing tells their hazards apart, and nothing says that they are equal.",
            hint="look at the groups' times: .n_at_risk of kaplan_meier for each.",
        )
    statistic = float(np.sum((directions[:, alive].T @ unit) ** 2 / values[alive]))
    return statistic, df, float(chdtrc(df, statistic))


def log_rank_test(
    exit: object,
    event: object,
    group: object,
    *,
    entry: object = None,
    weight: object = None,
    strata: object = None,
    weighting: Weighting = "log-rank",
    rho: float | None = None,
    gamma: float | None = None,
) -> LogRankTest:
    r"""Test whether groups share one hazard, eq. 27 and 28.

    .. math:: Z_g = \sum_i w_i \Bigl( d_{gi} - Y_{gi} \frac{d_i}{Y_i} \Bigr)

    over the times with events, within strata and summed over them; the statistic is
    :math:`Z^\top V^{-} Z` with V the hypergeometric covariance.

    Parameters
    ----------
    exit : array-like of shape (n_spells,)
        Time of event or censoring, >= 0.
    event : array-like of shape (n_spells,)
        1 or True where the event happened, 0 or False where the spell is censored.
    group : array-like of shape (n_spells,)
        Label of each spell's group; at least two differ.
    entry : array-like of shape (n_spells,), optional
        Time at which observation begins (left truncation), below ``exit``.
    weight : array-like of shape (n_spells,), optional
        Frequencies, whole numbers > 0.
    strata : array-like of shape (n_spells,), optional
        Labels; groups are compared only within a stratum.
    weighting : {"log-rank", "gehan", "tarone-ware", "peto", "fleming-harrington"}
        Weight of a time with Y at risk: 1; Y (Gehan's generalised Wilcoxon); its root; Peto and Prentice's
        :math:`\tilde S(t) = \prod (1 - d/(Y+1))`; or :math:`\hat S(t-)^\rho (1 - \hat S(t-))^\gamma`. Choose
        before looking: the best of several is not a test.
    rho, gamma : float, optional
        Exponents >= 0 of the last one. ``rho=1, gamma=0`` is the ``rho=1`` of R's ``survdiff``.

    Returns
    -------
    LogRankTest
        Statistic, degrees of freedom, p-value, observed and expected events per group.

    Raises
    ------
    ArgumentError
        If there is one group only, weights are not whole numbers, or as :func:`kaplan_meier`.
    EmptyDataError
        If no event happened while two groups were at risk, or there are fewer than two spells.
    MissingValueError, NonFiniteError, DataTypeError
        If a value is missing, infinite, or of the wrong type.

    References
    ----------
    .. [1] Klein, J. P. and Moeschberger, M. L. (2003). *Survival Analysis*, 2nd ed., sections 7.3–7.5. Springer.
    .. [2] Fleming, T. R. and Harrington, D. P. (1991). *Counting Processes and Survival Analysis*, ch. 7. Wiley.

    Examples
    --------
    Events at 1 (a, of two a and two b) and 2 (b, of one a and two b): expected in a 1/2 + 1/3.

    >>> log_rank_test([1, 2, 3, 3], [1, 1, 0, 0], ["a", "b", "a", "b"]).expected.round(4)
    array([0.8333, 1.1667])
    """
    kind = cast(Weighting, check_choice(weighting, "weighting", WEIGHTINGS))
    exponents = fleming_harrington(kind, rho, gamma)
    spells = check_spells(exit, event, entry=entry, weight=weight)
    return compare_hazards(group_spells(spells, group, strata), kind, exponents)


def compare_hazards(grouped: GroupedSpells, weighting: Weighting, exponents: tuple[float, float]) -> LogRankTest:
    """Test of checked spells, eq. 27 and 28; see :func:`log_rank_test`.

    Parameters
    ----------
    grouped : GroupedSpells
        Checked input.
    weighting : str
        Which member of the family.
    exponents : tuple of two floats
        Fleming and Harrington's rho and gamma.

    Returns
    -------
    LogRankTest
        The test.
    """
    weight = grouped.spells.weight
    refuse(
        ArgumentError,
        weight != np.rint(weight),
        "are not whole numbers.",
        columns={"weight": weight},
        consequence="The variance counts spells; a fraction of one has none.",
        hint="weight counts how many identical spells a row stands for.",
    )
    counts = _event_times(grouped)
    total, events = counts.at_risk.sum(axis=0), counts.events.sum(axis=0)
    share = counts.at_risk / total
    surprise = counts.events - share * events
    # A lone spell at risk is no comparison; its variance is 0 / 0 and means 0.
    spread = np.divide(events * (total - events), total - 1, out=np.zeros_like(total), where=total > 1)
    weights = _weights_of(weighting, *exponents, counts) if len(total) else total
    weighted = share * (weights**2 * spread)
    score, covariance = surprise @ weights, np.diag(weighted.sum(axis=1)) - weighted @ share.T
    statistic, df, p_value = _chi_square(score, covariance)
    return LogRankTest(
        groups=grouped.groups,
        n_spells=np.bincount(grouped.group, weight, len(grouped.groups)),
        observed=counts.events.sum(axis=1),
        expected=(share * events).sum(axis=1),
        score=score,
        covariance=covariance,
        statistic=statistic,
        df=df,
        p_value=p_value,
        weighting=weighting,
        rho=exponents[0],
        gamma=exponents[1],
        n_strata=grouped.n_strata,
    )
