"""Pseudo-values: by hand, against one refit per customer, published identities, order of the approximation."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churnsurv.errors import ArgumentError
from churnsurv.hazards import aalen_johansen, kaplan_meier
from churnsurv.hazards.scoring.pseudo_values import pseudo_values
from tests.hazards.published import AML, spells


def incidence(rows: list[tuple[float, int, float]], cause: int | None, at: float) -> float:
    """Aalen–Johansen by its definition, one time after the other; times at which nobody is at risk are skipped."""
    alive, found = Fraction(1), Fraction(0)
    for t in sorted({time for time, event, _ in rows if event and time <= at}):
        at_risk = sum(entry < t <= time for time, _, entry in rows)
        events = sum(time == t and event > 0 for time, event, _ in rows)
        mine = sum(time == t and (event == cause if cause else event > 0) for time, event, _ in rows)
        found += alive * Fraction(mine, at_risk)
        alive *= 1 - Fraction(events, at_risk)
    return float(found)


def refitted(rows: list[tuple[float, int, float]], cause: int | None, at: float) -> list[float]:
    n, whole = len(rows), incidence(rows, cause, at)
    return [n * whole - (n - 1) * incidence(rows[:i] + rows[i + 1 :], cause, at) for i in range(n)]


def test_by_hand_with_a_censoring_tied_to_an_event() -> None:
    """2, 2+, 3, 5+: F(3) = 1 - 3/4 * 1/2 = 5/8; without each: 1/2, 1/3 + 2/3 * 1/2 = 2/3, 1/3, and all."""
    found = pseudo_values([2, 2, 3, 5], [1, 0, 1, 0], [3])
    without = [Fraction(1, 2), Fraction(2, 3), Fraction(1, 3), Fraction(1)]
    expected = [float(4 * Fraction(5, 8) - 3 * f) for f in without]
    assert found.incidence[0] == pytest.approx(0.625, rel=1e-14)
    np.testing.assert_allclose(found.values[:, 0], expected, rtol=1e-13)


def test_without_censoring_they_are_the_outcomes() -> None:
    time, event = np.array([1.0, 2, 2, 3, 7, 7]), np.array([1, 2, 1, 1, 2, 1])
    found = pseudo_values(time, event, [1.5, 2, 7], cause=1)
    expected = (time[:, None] <= found.times) & (event == 1)[:, None]
    np.testing.assert_allclose(found.values, expected, atol=1e-14)
    np.testing.assert_allclose(pseudo_values(time, event, [3]).values[:, 0], time <= 3, atol=1e-14)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(3, 14), st.booleans(), st.sampled_from([None, 1, 2]))
def test_they_equal_one_refit_per_customer(seed: int, n: int, late: bool, cause: int | None) -> None:
    """Whole times, so that ties, emptied risk sets and lone events are common."""
    rng = np.random.default_rng(seed)
    entry = rng.integers(0, 6, n) * late
    time = entry + rng.integers(1, 5, n)
    event = rng.choice([0, 0, 1, 2], n)
    at = np.arange(0.5, time.max() + 1, 0.5)
    found = pseudo_values(time, event, at, cause=cause, entry=entry)
    rows = [(float(t), int(e), float(b)) for t, e, b in zip(time, event, entry, strict=True)]
    for j in np.flatnonzero(found.supported):
        np.testing.assert_allclose(found.values[:, j], refitted(rows, cause, at[j]), rtol=1e-9, atol=1e-9)
    assert found.supported[at <= time.max()].all()


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 9), st.sampled_from([None, 1, 2]))
def test_a_weight_is_so_many_customers(seed: int, n: int, cause: int | None) -> None:
    rng = np.random.default_rng(seed)
    entry = rng.integers(0, 5, n) * rng.integers(0, 2)
    time, event, weight = entry + rng.integers(1, 4, n), rng.integers(0, 3, n), rng.integers(1, 4, n)
    rows, at = np.repeat(np.arange(n), weight), np.arange(1.0, 9.0)
    once = pseudo_values(time, event, at, cause=cause, entry=entry, weight=weight)
    many = pseudo_values(time[rows], event[rows], at, cause=cause, entry=entry[rows])
    np.testing.assert_allclose(once.values[rows], many.values, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(once.standard_error, many.standard_error, rtol=1e-9, atol=1e-12)


def test_estimates_are_those_of_the_curves() -> None:
    rng = np.random.default_rng(5)
    time, event, entry = rng.integers(3, 30, 80), rng.integers(0, 3, 80), rng.integers(0, 3, 80)
    at = np.array([5.0, 11, 20.5])
    curve = kaplan_meier(time, event > 0, entry=entry)
    np.testing.assert_allclose(pseudo_values(time, event, at, entry=entry).incidence, 1 - curve.survival_at(at))
    causes = aalen_johansen(time, event, entry=entry)
    found = pseudo_values(time, event, at, cause=2, entry=entry)
    np.testing.assert_allclose(found.incidence, causes.cumulative_incidence_at(at, "2"))


def test_infinitesimal_ones_carry_greenwoods_error_and_the_estimate_as_mean() -> None:
    """R's ``pseudo`` (survival 3.6-4, help page): their mean is the estimate, their spread the robust error.

    For Kaplan–Meier that error is Greenwood's (Efron 1981, section 3).
    """
    for text in AML.values():
        exit_, event = spells(text)
        curve = kaplan_meier(exit_, event)
        at = curve.times[:-2]
        found = pseudo_values(exit_, event, at, kind="infinitesimal")
        np.testing.assert_allclose(found.values.mean(axis=0), found.incidence, rtol=1e-8)
        np.testing.assert_allclose(found.standard_error, curve.standard_error[:-2], rtol=1e-7)


def test_the_two_kinds_differ_by_one_over_n() -> None:
    gaps = []
    for n in (200, 800, 3200):
        rng = np.random.default_rng(n)
        time, limit = rng.exponential(1.0, n), rng.uniform(0.5, 3.0, n)
        seen, event = np.minimum(time, limit), time <= limit
        jackknife = pseudo_values(seen, event, [0.5, 1.0]).values
        derivative = pseudo_values(seen, event, [0.5, 1.0], kind="infinitesimal").values
        gaps.append(n * np.abs(jackknife - derivative).max())
    assert max(gaps) < 4 * min(gaps)
    assert max(gaps) < 20


def test_start_counts_from_those_still_there() -> None:
    """From 2 on: 3 of 4 are left; who left before has no value."""
    found = pseudo_values([1, 3, 4, 6], [1, 1, 0, 1], [4], start=2.0)
    assert np.isnan(found.values[0, 0])
    np.testing.assert_allclose(found.values[1:, 0], refitted([(3, 1, 2), (4, 0, 2), (6, 1, 2)], None, 4), rtol=1e-13)


def test_nothing_is_known_beyond_the_last_censoring() -> None:
    found = pseudo_values([1, 2, 3], [1, 1, 0], [3, 4])
    assert found.supported.tolist() == [True, False]
    assert np.isnan(found.values[:, 1]).all()
    assert pseudo_values([1, 2, 3], [1, 0, 1], [9]).supported.all()


def test_nobody_or_everybody_has_the_event() -> None:
    np.testing.assert_array_equal(pseudo_values([1, 2, 3], [0, 0, 0], [1, 2, 3]).values, np.zeros((3, 3)))
    np.testing.assert_allclose(pseudo_values([1, 1, 1], [1, 1, 1], [1, 9]).values, np.ones((3, 2)), atol=1e-14)


def test_fractional_weights_have_no_single_customer() -> None:
    with pytest.raises(ArgumentError, match='kind="infinitesimal"'):
        pseudo_values([1, 2, 3], [1, 1, 0], [2], weight=[1, 0.5, 1])
    assert np.isfinite(pseudo_values([1, 2, 3], [1, 1, 0], [2], weight=[1, 0.5, 1], kind="infinitesimal").values).all()


def test_no_digits_are_lost_among_many() -> None:
    """A hundred thousand: some customers taken away one at a time, with exact sums of logarithms."""
    rng = np.random.default_rng(9)
    n = 100_000
    time, event = rng.integers(1, 400, n).astype(float), rng.integers(0, 2, n)
    found = pseudo_values(time, event, [200.0])
    for i in (0, 17, 99_999):
        keep = np.arange(n) != i
        others = 1 - kaplan_meier(time[keep], event[keep]).survival_at(200.0)
        assert found.values[i, 0] == pytest.approx(n * found.incidence[0] - (n - 1) * others, abs=1e-8)
