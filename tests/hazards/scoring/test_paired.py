"""Paired differences: by hand, two roads to one number, determinism, clusters, and coverage in simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from churnsurv.errors import ArgumentError, DataTypeError, EmptyDataError, MissingValueError
from churnsurv.hazards.scoring.concordance import concordance_index
from churnsurv.hazards.scoring.discrimination import time_dependent_auc
from churnsurv.hazards.scoring.paired import PairedDifference, paired_mean_difference, paired_score_difference
from churnsurv.hazards.scoring.paired_influence import paired_influence_difference


def two_models(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Squared errors of two models on the same customers: mostly shared, skewed."""
    rng = np.random.default_rng(seed)
    shared = rng.exponential(1.0, n)
    return shared + rng.exponential(0.3, n), shared + rng.exponential(0.3, n)


def test_the_mean_difference_and_its_standard_error() -> None:
    """The spread of resamples is the standard error of a mean of differences, in closed form; 4000 give 2 per cent."""
    first, second = two_models(400, 1)
    found = paired_mean_difference(first, second, n_resamples=4000, ci_prob=0.6827, ci_kind="percentile")
    assert found.estimate == pytest.approx(first.mean() - second.mean(), rel=1e-12)
    assert (found.upper - found.lower) / 2 == pytest.approx(np.std(first - second) / 20, rel=0.05)
    unpaired = math.sqrt(np.var(first) + np.var(second)) / 20
    assert (found.upper - found.lower) / 2 < unpaired / 2  # what both share cancels


def test_rows_of_one_customer_are_drawn_together() -> None:
    """Five identical rows each: the same interval as one row each, to the last digit, and not one half as wide."""
    first, second = two_models(80, 2)
    alone = paired_mean_difference(first, second, rng=3)
    customer = np.repeat([f"c{i:03d}" for i in range(80)], 5)
    together = paired_mean_difference(np.repeat(first, 5), np.repeat(second, 5), customer=customer, rng=3)
    assert (together.lower, together.upper) == pytest.approx((alone.lower, alone.upper), rel=1e-12)
    assert together.n_customers == 80
    apart = paired_mean_difference(np.repeat(first, 5), np.repeat(second, 5), rng=3)
    assert (apart.upper - apart.lower) < 0.6 * (alone.upper - alone.lower)
    weighted = paired_mean_difference(first, second, weight=np.full(80, 5.0), rng=3)
    assert weighted.estimate == pytest.approx(alone.estimate, rel=1e-12)


def test_bca_by_its_own_road() -> None:
    """Bounds anew from the same resamples, with the jackknife as acceleration (Efron 1987, eq. 6.6 and 3.10)."""
    from scipy.stats import norm

    first, second = two_models(60, 4)
    gap = first - second
    rng = np.random.default_rng(7)
    draws = np.array([gap[rng.integers(0, 60, 60)].mean() for _ in range(500)])
    shift = norm.ppf(np.mean(draws < gap.mean()))
    left_out = (gap.sum() - gap) / 59
    change = left_out.mean() - left_out
    skew = np.sum(change**3) / (6 * np.sum(change**2) ** 1.5)
    levels = [norm.cdf(shift + (shift + z) / (1 - skew * (shift + z))) for z in norm.ppf([0.05, 0.95])]
    found = paired_mean_difference(first, second, n_resamples=500, rng=7)
    assert (found.lower, found.upper) == pytest.approx(tuple(np.quantile(draws, levels)), rel=1e-9)


def test_deterministic_by_seed() -> None:
    first, second = two_models(50, 5)
    assert paired_mean_difference(first, second, rng=1) == paired_mean_difference(first, second, rng=1)
    assert paired_mean_difference(first, second, rng=1) != paired_mean_difference(first, second, rng=2)
    more = paired_mean_difference(first, second, rng=np.random.default_rng(1))
    assert more == paired_mean_difference(first, second, rng=1)
    mirrored = paired_mean_difference(second, first, rng=1, ci_kind="percentile")
    there = paired_mean_difference(first, second, rng=1, ci_kind="percentile")
    assert (mirrored.lower, mirrored.upper) == pytest.approx((-there.upper, -there.lower), rel=1e-9)
    assert mirrored.share_below == there.share_above


@pytest.mark.parametrize("ci_kind", ["bca", "percentile"])
def test_coverage_of_the_interval_of_a_mean(ci_kind: str) -> None:
    """200 samples of 100 customers with one to four rows each; a 95 per cent interval of the true difference, 0.

    Between 0.91 and 0.98: nominal less and more 2.6 and 1.9 standard errors of 200 runs (0.0154).
    """
    rng, covered = np.random.default_rng(11), 0
    for run in range(200):
        customer = np.repeat(np.arange(100), rng.integers(1, 5, 100))
        own = rng.normal(size=100)[customer]
        first = np.exp(0.5 * rng.normal(size=len(customer))) + own
        second = np.exp(0.5 * rng.normal(size=len(customer))) + 0.5 * own
        found = paired_mean_difference(
            first,
            second,
            customer=customer,
            n_resamples=500,
            ci_prob=0.95,
            ci_kind=ci_kind,
            rng=run,  # type: ignore[arg-type]
        )
        covered += found.lower <= 0 <= found.upper
    assert 0.91 <= covered / 200 <= 0.98


def test_verdict_is_wrong_no_more_often_than_promised() -> None:
    """Two equally good models, 200 samples: told apart in 10 per cent, within 3 standard errors (0.064)."""
    told = [
        paired_mean_difference(*two_models(150, seed), n_resamples=400, rng=seed).verdict != "not distinguishable"
        for seed in range(200)
    ]
    assert 0.036 <= np.mean(told) <= 0.164
    first, second = two_models(150, 1)
    assert paired_mean_difference(first, second + 1).verdict == "first lower"
    assert paired_mean_difference(first + 1, second).verdict == "first higher"


def test_equal_models_are_not_distinguishable() -> None:
    first, _ = two_models(30, 6)
    found = paired_mean_difference(first, first)
    assert (found.estimate, found.lower, found.upper) == (0, 0, 0)
    assert (found.share_below, found.share_above, found.verdict) == (0, 0, "not distinguishable")
    assert paired_mean_difference([1, 1, 1], [0, 0, 0]).verdict == "first higher"


def survival_rows(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x, z = rng.normal(size=(2, n))
    time, lost = np.ceil(rng.exponential(100 * np.exp(-x - 0.5 * z))), np.ceil(rng.exponential(150, n))
    return np.minimum(time, lost), (time <= lost).astype(int), x, z


def test_resampled_concordance_agrees_with_its_influences() -> None:
    """Two roads to one interval: 400 recomputations, and the infinitesimal jackknife; within a tenth of its width."""
    time, event, x, z = survival_rows(400, 1)

    def score(rows: np.ndarray, count: np.ndarray) -> tuple[float, float]:
        one, other = (
            concordance_index(time[rows], event[rows], s[rows], weight=count, weighting="uno", horizon=150.0).estimate
            for s in (x, x + 0.3 * z)
        )
        return one, other

    drawn = paired_score_difference(score, 400, n_resamples=400)
    one, other = (concordance_index(time, event, s, weighting="uno", horizon=150.0) for s in (x, x + 0.3 * z))
    direct = paired_influence_difference((one.estimate, one.influence), (other.estimate, other.influence))
    assert drawn.estimate == pytest.approx(direct.estimate, rel=1e-12)
    width = direct.upper - direct.lower
    assert (drawn.lower, drawn.upper) == pytest.approx((direct.lower, direct.upper), abs=0.1 * width)
    assert drawn.n_resamples == 400
    assert direct.verdict == drawn.verdict == "first lower"
    assert drawn.share_below == pytest.approx(direct.share_below, abs=0.02)


def test_influence_intervals_cover_a_difference_of_aucs() -> None:
    """200 samples of 300: two scores that are equally informative; 90 per cent, within 3 standard errors (0.064)."""
    covered = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        x, one, other = rng.normal(size=(3, 300))
        time, lost = rng.exponential(100 * np.exp(-x)), rng.exponential(200, 300)
        args = (np.minimum(time, lost), time <= lost)
        first, second = (time_dependent_auc(*args, x + noise, [80]) for noise in (one, other))
        found = paired_influence_difference(
            (float(first.auc[0]), first.influence[:, 0]), (float(second.auc[0]), second.influence[:, 0])
        )
        covered += found.lower <= 0 <= found.upper
    assert 0.836 <= covered / 200 <= 0.964


def test_resamples_without_a_score_are_counted() -> None:
    """Ten customers, one event: a resample without it has no comparable pair (chance 0.9 to the tenth, 0.35)."""
    time, event, x = np.arange(1.0, 11), np.eye(10)[2], np.arange(10.0)

    def score(rows: np.ndarray, count: np.ndarray) -> tuple[float, float]:
        if len(rows) < 2:
            return math.nan, math.nan
        found = [concordance_index(time[rows], event[rows], s[rows], weight=count).estimate for s in (x, -x)]
        return found[0], found[1]

    found = paired_score_difference(score, 10, n_resamples=300)
    assert found.n_resamples + found.n_undefined == 300
    assert found.n_undefined / 300 == pytest.approx(0.349, abs=0.083)  # 3 standard errors
    assert (found.estimate, found.lower, found.upper) == (-1, -1, -1)
    never = paired_score_difference(lambda rows, count: (math.nan, math.nan), 10, n_resamples=100)
    assert math.isnan(never.lower)
    assert never.verdict == "not distinguishable"


def test_clusters_in_recomputed_scores_and_influences() -> None:
    """Each customer three times: the spread is that of customers, in both."""
    time, event, x, z = survival_rows(100, 3)
    many, customer = np.tile(np.arange(100), 3), np.tile(np.arange(100), 3)

    def difference(rows: np.ndarray, count: np.ndarray) -> tuple[float, float]:
        return float(count @ x[many[rows]] / count.sum()), float(count @ z[many[rows]] / count.sum())

    once = paired_mean_difference(x, z, ci_kind="percentile", n_resamples=200)
    found = paired_score_difference(difference, 300, customer=customer, n_resamples=200)
    assert (found.lower, found.upper) == pytest.approx((once.lower, once.upper), rel=1e-9)
    one = concordance_index(time, event, x)
    three = concordance_index(time[many], event[many], x[many])
    alone = paired_influence_difference((one.estimate, one.influence), (0.5, np.zeros(100)))
    grouped = paired_influence_difference((three.estimate, three.influence), (0.5, np.zeros(300)), customer=customer)
    assert grouped.upper - grouped.lower == pytest.approx(alone.upper - alone.lower, rel=1e-9)


def test_refusals() -> None:
    with pytest.raises(EmptyDataError, match="only 1 customer in 3 rows"):
        paired_mean_difference([1, 2, 3], [1, 2, 3], customer=["a", "a", "a"])
    with pytest.raises(MissingValueError, match="`customer`"):
        paired_mean_difference([1, 2, 3], [1, 2, 3], customer=["a", None, "b"])
    with pytest.raises(ArgumentError, match="`n_resamples`=10 is below 100"):
        paired_mean_difference([1, 2], [1, 2], n_resamples=10)
    with pytest.raises(ArgumentError, match="different numbers of rows"):
        paired_mean_difference([1, 2], [1, 2, 3])
    with pytest.raises(DataTypeError, match="neither a seed nor"):
        paired_mean_difference([1, 2], [1, 2], rng=None)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="are both given"):
        paired_influence_difference((0.5, [1, 2]), (0.5, [1, 2]), weight=[1, 1], customer=[1, 2])


def test_result_is_plain() -> None:
    found = paired_influence_difference((0.5, [0.1, -0.1]), (0.5, [0.1, -0.1]))
    assert found == PairedDifference(0.0, 0.0, 0.0, 0.0, 0.0, 2, 0, 0, 0.9, "normal")
