"""Adjusted p-values: the example of the paper, scipy, and what must hold for any of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from churnsurv.causes.discovery_rate import adjusted_p_values
from churnsurv.errors import ArgumentError, DataTypeError

THROMBOLYSIS = [
    0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0,
]  # fmt: skip
"""Benjamini and Hochberg (1995), section 3.2: fifteen claims about thrombolysis after a heart attack."""

SCIPY = {"benjamini-hochberg": "bh", "benjamini-yekutieli": "by"}
several = st.lists(st.floats(0, 1), min_size=1, max_size=30)


def test_published_example() -> None:
    """The paper rejects the first four at q = 0.05, where Bonferroni rejects three."""
    adjusted = adjusted_p_values(THROMBOLYSIS)
    assert (adjusted <= 0.05).tolist() == [True] * 4 + [False] * 11
    assert np.sum(np.array(THROMBOLYSIS) * 15 <= 0.05) == 3
    np.testing.assert_allclose(adjusted[:4], np.array([0.0001, 0.0004, 0.0019, 0.0095]) * 15 / np.arange(1, 5))


def test_by_hand_with_the_factor_for_any_dependence() -> None:
    found = adjusted_p_values([0.01, 0.02, 0.03], method="benjamini-yekutieli")
    np.testing.assert_allclose(found, [0.03 * (1 + 1 / 2 + 1 / 3)] * 3, rtol=1e-12)


@pytest.mark.parametrize("method", ["benjamini-hochberg", "benjamini-yekutieli"])
@settings(max_examples=50, deadline=None)
@given(p=several)
def test_like_scipy(method: str, p: list[float]) -> None:
    expected = false_discovery_control(p, method=SCIPY[method])
    np.testing.assert_allclose(adjusted_p_values(p, method=method), expected, rtol=1e-12, atol=0)


@settings(max_examples=50, deadline=None)
@given(p=several, seed=st.integers(0, 1000))
def test_order_and_undone_tests_do_not_matter(p: list[float], seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(p))
    plain = adjusted_p_values(p)
    np.testing.assert_array_equal(adjusted_p_values(np.array(p)[order]), plain[order])
    with_nan = adjusted_p_values([np.nan, *p, np.nan])
    assert np.isnan(with_nan[[0, -1]]).all()
    np.testing.assert_array_equal(with_nan[1:-1], plain)
    assert np.all(plain >= np.array(p) * (1 - 1e-12))


def test_false_alarms_stay_rare_among_alarms() -> None:
    """Twenty true claims, ten false ones: the mean share of false alarms is at most q · 20/30."""
    rng = np.random.default_rng(1)
    from scipy.stats import norm

    shares = []
    for _ in range(400):
        p = 2 * norm.sf(np.abs(rng.normal(np.repeat([0.0, 3.0], [20, 10]))))
        alarm = adjusted_p_values(p) <= 0.1
        shares.append(alarm[:20].sum() / max(alarm.sum(), 1))
    assert np.mean(shares) == pytest.approx(0.1 * 20 / 30, abs=0.015)


def test_nothing_to_adjust() -> None:
    assert adjusted_p_values([]).shape == (0,)
    assert np.isnan(adjusted_p_values([np.nan])).all()


def test_refusals() -> None:
    with pytest.raises(ArgumentError, match=r"1 of 3 values of `p_values` are no probabilities"):
        adjusted_p_values([0.1, 1.2, 0.3])
    with pytest.raises(ArgumentError, match=r"`p_values` has 2 axes"):
        adjusted_p_values([[0.1]])
    with pytest.raises(DataTypeError, match="must hold real numbers"):
        adjusted_p_values(["small"])
    with pytest.raises(ArgumentError, match="`method`='holm' is unknown"):
        adjusted_p_values([0.1], method="holm")  # type: ignore[arg-type]
