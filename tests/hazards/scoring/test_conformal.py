"""Conformal lower bounds: by hand, order statistics, ties, and coverage in simulation with a wrong model."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churnsurv.errors import ArgumentError, DataWarning, HorizonError
from churnsurv.hazards.scoring.conformal import ConformalBound, conformal_lower_bound

GRID = np.arange(1.0, 21.0)
STRAIGHT = 1 - GRID / 20
"""Survival that falls by 0.05 a day: the predicted probability of an event by t is t / 20."""


def bound(time: object, event: object, **settings: object) -> ConformalBound:
    """Bound for one new customer, all curves equal."""
    curves = np.tile(STRAIGHT, (len(time), 1))  # type: ignore[arg-type]
    return conformal_lower_bound(time, event, curves, STRAIGHT[None, :], GRID, **settings)  # type: ignore[arg-type]


def test_by_hand_without_censoring() -> None:
    """Nine events; of nine and the new one 0.3 are three: two of the nine lie below the third event."""
    found = bound([3, 1, 2, 5, 4, 6, 7, 8, 9], [1] * 9, coverage=0.7)
    assert found.level == pytest.approx(3 / 20, rel=1e-12)
    assert found.lower == pytest.approx([3.0], rel=1e-8)
    assert found.lower[0] <= 3.0
    assert (found.cutoff, found.n_calibration, found.method) == (9.0, 9.0, "ipcw")


def test_by_hand_with_weights_for_censoring() -> None:
    """One of eight is lost at 1 before any event: each event weighs 8/7, and 8 weights and a new one are 64/7.

    Half of that is 32/7: the new one and three events reach it exactly, so that the fourth, at 5, is the level.
    """
    found = bound([1, 2, 3, 4, 5, 6, 7, 8], [0, 1, 1, 1, 1, 1, 1, 0], coverage=0.5, cutoff=8)
    assert found.level == pytest.approx(5 / 20, rel=1e-12)
    earlier = bound([1, 2, 3, 4, 5, 6, 7, 8], [0, 1, 1, 1, 1, 1, 1, 0], coverage=0.5001, cutoff=8)
    assert earlier.level == pytest.approx(4 / 20, rel=1e-12)


def test_by_hand_with_known_censoring_times() -> None:
    """Cutoff 6: those whose follow-up could not reach it are left out, also the event at 1 among them.

    Four are left, events at 2 and 4 and two who reach 6; of five 0.4 are two: the new one and the event at 2.
    """
    time, event, until = [1, 3, 2, 4, 8, 6], [1, 0, 1, 1, 0, 1], [5, 3, 9, 6, 8, 7]
    found = bound(time, event, censoring_time=until, cutoff=6, coverage=0.6)
    assert (found.level, found.n_calibration) == (pytest.approx(4 / 20), 4)
    assert found.method == "known censoring times"
    held = bound(time, event, censoring_time=until, cutoff=6, coverage=0.3)
    assert (held.share_at_cutoff, held.lower[0]) == (1.0, pytest.approx(6.0))


@settings(max_examples=100, deadline=None)
@given(st.integers(10, 60), st.integers(0, 10_000), st.floats(0.5, 0.9))
def test_without_censoring_it_is_an_order_statistic(n: int, seed: int, coverage: float) -> None:
    """Level: the k-th smallest predicted probability at the event, k = floor((1 - coverage) (n + 1)), ties included."""
    rng = np.random.default_rng(seed)
    time, rate = rng.integers(1, 20, n).astype(float), rng.uniform(0.02, 0.2, n)
    curves = np.exp(-rate[:, None] * GRID)
    found = conformal_lower_bound(time, np.ones(n), curves, curves, GRID, coverage=coverage, cutoff=time.max())
    scores = np.sort((1 - np.exp(-rate * time))[time < time.max()])
    k = math.floor((1 - coverage) * (n + 1) + 1e-9)
    expected = scores[k - 1] if k <= len(scores) else 1.0
    assert found.level == pytest.approx(expected, rel=1e-9)
    reached = np.interp(found.lower, np.append(0, GRID), np.append(0, 1 - np.exp(-0.1 * GRID)))
    assert ((found.lower > 0) & (reached <= 1)).all()
    inside = found.lower < found.cutoff * (1 - 1e-6)
    whole = np.hstack([np.zeros((n, 1)), 1 - curves])
    at_bound = [np.interp(b, np.append(0, GRID), row) for b, row in zip(found.lower, whole, strict=True)]
    assert np.array(at_bound)[inside] == pytest.approx(found.level, rel=1e-6)


def test_equal_customers_on_whole_days_are_not_lost_to_rounding() -> None:
    """All curves equal, times in days: the bound is a day that happens, and whoever leaves on it is covered."""
    time = np.repeat([0.1, 0.3, 0.7, 1.9], 25) * 10
    found = bound(time, np.ones(100), coverage=0.7)
    assert found.lower == pytest.approx([3.0], rel=1e-8)
    assert np.mean(time >= found.lower[0]) == 0.75


def test_weights_are_replication_and_the_unit_of_time_does_not_matter() -> None:
    rng = np.random.default_rng(2)
    time, event = rng.integers(1, 19, 50).astype(float), rng.integers(0, 2, 50)
    weight, rate = rng.integers(1, 4, 50), rng.uniform(0.02, 0.2, 50)
    curves = np.exp(-rate[:, None] * GRID)
    found = conformal_lower_bound(time, event, curves, curves[:5], GRID, weight=weight, coverage=0.8)
    many = [np.repeat(column, weight, axis=0) for column in (time, event, curves)]
    assert conformal_lower_bound(*many, curves[:5], GRID, coverage=0.8).lower == pytest.approx(found.lower, rel=1e-12)
    hours = conformal_lower_bound(24 * time, event, curves, curves[:5], 24 * GRID, weight=weight, coverage=0.8)
    assert hours.lower == pytest.approx(24 * found.lower, rel=1e-12)
    order = rng.permutation(50)
    shuffled = conformal_lower_bound(
        time[order], event[order], curves[order], curves[:5], GRID, weight=weight[order], coverage=0.8
    )
    assert shuffled.lower == pytest.approx(found.lower, rel=1e-12)


def test_only_those_at_risk_at_the_start_are_calibrated_on() -> None:
    rng = np.random.default_rng(3)
    time, event = rng.integers(1, 19, 80).astype(float), rng.integers(0, 2, 80)
    entry = np.where(rng.random(80) < 0.3, 0.6 * time, 0.0)
    curves, there = np.tile(1 - (GRID[4:] - 5) / 20, (80, 1)), (entry <= 4) & (time > 4)
    found = conformal_lower_bound(time, event, curves, curves[:1], GRID[4:], entry=entry, start=4.0, coverage=0.7)
    alone = conformal_lower_bound(
        time[there], event[there], curves[there], curves[:1], GRID[4:], start=4.0, coverage=0.7
    )
    assert found.lower == pytest.approx(alone.lower, rel=1e-12)
    assert found.n_calibration == there.sum()
    assert found.lower[0] > 4


@pytest.mark.parametrize("known", [True, False], ids=["known censoring times", "ipcw"])
@pytest.mark.parametrize("whole_days", [False, True])
def test_coverage_with_a_wrong_model(known: bool, whole_days: bool) -> None:
    """200 samples of 300 calibration customers, a third censored, and a model whose rates are off by half and flattened.

    Coverage of 90 per cent, computed exactly for 300 new customers. With known censoring times it is at least nominal
    in expectation and at most 1 / (n + 1) above it, n being those who could reach the cutoff. Weights add up to
    their largest over n. Ties in whole days only add.
    """
    rng, covered, grid = np.random.default_rng(5), [], np.arange(5.0, 405.0, 5.0)
    for _ in range(200):
        x = rng.normal(size=600)
        rate = np.exp(0.8 * x) / 300
        time, until = rng.exponential(1 / rate), rng.uniform(40, 900, 600)
        if whole_days:
            time, until = np.ceil(time), np.ceil(until)
        curves = np.exp(-(np.exp(0.4 * x) / 200)[:, None] * grid)
        old, new = slice(0, 300), slice(300, 600)
        found = conformal_lower_bound(
            np.minimum(time, until)[old],
            (time <= until)[old],
            curves[old],
            curves[new],
            grid,
            cutoff=120.0,
            censoring_time=until[old] if known else None,
        )
        # In whole days T is the ceiling of an exponential time: P(T >= L) = P(exponential > ceil(L) - 1).
        reach = np.ceil(found.lower) - 1 if whole_days else found.lower
        covered.append(np.exp(-rate[new] * reach).mean())
    error = np.std(covered) / math.sqrt(200)
    slack = 2 / 300 if not whole_days else 4 / 300
    assert 0.90 - 3 * error <= np.mean(covered) <= 0.90 + slack + 3 * error
    assert error < 0.002


def test_groups_repair_censoring_that_depends_on_the_customer() -> None:
    """Risky customers are lost early: one curve for all misses events and covers too few, one for each does not."""
    rng, covered = np.random.default_rng(7), {True: [], False: []}
    for _ in range(200):
        risky = rng.random(400) < 0.5
        rate = np.where(risky, 1 / 60, 1 / 600)
        time, until = rng.exponential(1 / rate), np.where(risky, rng.exponential(20, 400), 1000.0)
        for grouped, shares in covered.items():
            found = conformal_lower_bound(
                np.minimum(time, until),
                time <= until,
                np.tile(np.exp(-GRID / 100), (400, 1)),
                np.exp(-GRID / 100)[None, :],
                GRID,
                coverage=0.9,
                cutoff=20.0,
                groups=risky if grouped else None,
            )
            low = found.lower[0]
            shares.append(0.5 * math.exp(-low / 60) + 0.5 * math.exp(-low / 600))
    assert 0.90 - 3 * np.std(covered[True]) / math.sqrt(200) <= np.mean(covered[True]) <= 0.915
    assert np.mean(covered[False]) < 0.89


def test_too_few_customers_promise_nothing() -> None:
    with pytest.warns(DataWarning, match="8 calibration customers are too few") as caught:
        found = bound(range(1, 9), [1] * 8, coverage=0.9)
    assert "at least 9 customers" in str(caught[0].message)
    assert (found.level, found.lower.tolist()) == (0.0, [0.0])


def test_no_events_put_every_bound_at_the_cutoff() -> None:
    found = bound([5.0] * 30, [0] * 30, cutoff=5)
    assert (found.lower[0], found.share_at_cutoff) == (pytest.approx(5.0), 1.0)


def test_refusals() -> None:
    time, event, curves = [2, 4, 6], [1, 0, 1], np.tile(STRAIGHT, (3, 1))
    new = STRAIGHT[None, :]
    with pytest.raises(HorizonError, match="not after the start 0 and at most 6"):
        conformal_lower_bound(time, event, curves, new, GRID, cutoff=7)
    with pytest.raises(HorizonError, match="begins at the start"):
        conformal_lower_bound(time, event, curves, new, np.arange(20.0))
    with pytest.raises(ArgumentError, match="are followed by a larger one"):
        conformal_lower_bound(time, event, curves[:, ::-1], new, GRID)
    with pytest.raises(ArgumentError, match="lie outside"):
        conformal_lower_bound(time, event, curves, 100 * new, GRID)
    with pytest.raises(ArgumentError, match=r"has shape \(20,\); it needs \(m, 20\)"):
        conformal_lower_bound(time, event, curves, STRAIGHT, GRID)
    with pytest.raises(ArgumentError, match="contradict the time"):
        conformal_lower_bound(time, event, curves, new, GRID, censoring_time=[9, 9, 9])
    with pytest.raises(ArgumentError, match="together with"):
        conformal_lower_bound(time, event, curves, new, GRID, censoring_time=[9, 4, 9], groups=[1, 2, 1])
    with pytest.raises(HorizonError, match="everybody was censored before the cutoff"):
        conformal_lower_bound(time, event, curves, new, GRID, groups=["a", "b", "a"])
