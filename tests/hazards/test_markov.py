"""Uniformisation against the matrix exponential, closed forms and conservation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import expm

from churnsurv.hazards.markov import occupancy


def chain(rng, n, *, leak=True, scale=1.0):
    rates = rng.gamma(0.5, scale, (n, n))
    np.fill_diagonal(rates, 0.0)
    np.fill_diagonal(rates, -rates.sum(axis=1) - (rng.gamma(0.5, scale, n) if leak else 0.0))
    return rates


@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0])
def test_equals_the_matrix_exponential_and_its_integral(n, scale):
    rng = np.random.default_rng(n)
    rates, initial = chain(rng, n, scale=scale), rng.dirichlet(np.ones(n))
    final, time = occupancy(initial, rates, 17.0)
    # The integral by an augmented exponential (Van Loan 1978).
    block = np.block([[rates, np.eye(n)], [np.zeros((n, 2 * n))]])
    whole = expm(17.0 * block)
    np.testing.assert_allclose(final, initial @ whole[:n, :n], rtol=1e-9, atol=1e-13)
    np.testing.assert_allclose(time, initial @ whole[:n, n:], rtol=1e-9, atol=1e-12)


def test_two_states_in_a_row_have_a_closed_form():
    """Hypoexponential: 0.2 to the second state, from there 0.05 out."""
    rates = np.array([[-0.2, 0.2], [0.0, -0.05]])
    final, time = occupancy(np.array([1.0, 0.0]), rates, 12.0)
    a, b = np.exp(-0.2 * 12), np.exp(-0.05 * 12)
    np.testing.assert_allclose(final, [a, 0.2 * (b - a) / (0.2 - 0.05)], rtol=1e-12)
    np.testing.assert_allclose(final.sum() + 0.05 * time[1], 1.0, rtol=1e-12)


def test_who_cannot_leave_is_kept():
    rng = np.random.default_rng(3)
    rates = np.stack([chain(rng, 4, leak=False, scale=s) for s in (0.001, 1.0, 200.0)])
    final, time = occupancy(np.full(4, 0.25), rates, 365.0)
    np.testing.assert_allclose(final.sum(axis=-1), 1.0, rtol=1e-10)
    np.testing.assert_allclose(time.sum(axis=-1), 365.0, rtol=1e-10)


def test_two_stretches_are_one():
    rng = np.random.default_rng(4)
    rates, initial = chain(rng, 3), rng.dirichlet(np.ones(3), size=7)
    first, early = occupancy(initial, rates, 2.0)
    second, late = occupancy(first, rates, 3.5)
    whole, time = occupancy(initial, rates, 5.5)
    np.testing.assert_allclose(second, whole, rtol=1e-11)
    np.testing.assert_allclose(early + late, time, rtol=1e-11)


def test_nothing_happens_without_rates_or_days():
    initial = np.array([0.3, 0.7])
    for rates, days in ((np.zeros((2, 2)), 9.0), (np.array([[-1.0, 1.0], [0.0, 0.0]]), 0.0)):
        final, time = occupancy(initial, rates, days)
        np.testing.assert_array_equal(final, initial)
        np.testing.assert_array_equal(time, initial * days)
