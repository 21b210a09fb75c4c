"""Survival of censoring and its weights: by hand, as in R, identities, limits."""

from __future__ import annotations

import numpy as np
import pytest

from churnsurv.errors import ArgumentError, DataTypeError, EmptyDataError, HorizonError
from churnsurv.hazards import aalen_johansen, kaplan_meier
from churnsurv.hazards.scoring.censoring import censoring_survival, ipcw_weights

# tests/rttright.R of R's survival (Rout.save made with R-devel of 2024-02-06), the example of its vignette.
TIME = [1, 2, 2, 3, 4, 4, 5, 5, 8, 9]
STATUS = [1, 1, 0, 1, 0, 0, 1, 0, 1, 1]


def drawn(seed: int, n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(1, 12, n).astype(float), rng.integers(0, 3, n)


def test_events_leave_before_the_censorings_they_are_tied_with() -> None:
    """2, 2+, 2+, 3, 3+, 5+: at risk of censoring at 2 are 5, at 3 two."""
    curve = censoring_survival([2, 2, 2, 3, 3, 5], [1, 0, 0, 1, 0, 0])
    np.testing.assert_allclose(curve.n_at_risk, [5, 2, 1])
    np.testing.assert_allclose(curve.at([1, 2, 3, 5]), [1, 3 / 5, 3 / 10, 0])
    np.testing.assert_allclose(curve.before([1, 2, 3, 5]), [1, 1, 3 / 5, 3 / 10])
    assert curve.before(6.0) == 0


def test_nothing_is_known_beyond_a_last_event() -> None:
    curve = censoring_survival([1, 2, 3], [0, 1, 1])
    assert np.isnan(curve.at(4.0))
    assert curve.at(3.0) == pytest.approx(2 / 3)


def test_late_entry_joins_the_risk_set() -> None:
    """From 1 on: at 2 the rows with entry < 2 <= time are three, one of them censored."""
    curve = censoring_survival([2, 3, 4, 5], [0, 1, 0, 1], entry=[0, 1, 0, 3], start=1.0)
    np.testing.assert_allclose(curve.survival, [2 / 3, 2 / 3, 1 / 3, 1 / 3])


def test_weights_are_those_of_r_redistributed_to_the_right() -> None:
    found = ipcw_weights(TIME, STATUS, [2, 3, 4, 5, 6])
    expected = np.column_stack(
        [
            [7] * 10,
            [7, 7, 0, 8, 8, 8, 8, 8, 8, 8],
            [7, 7, 0, 8, 8, 8, 8, 8, 8, 8],
            [7, 7, 0, 8, 0, 0, 12, 12, 12, 12],
            [7, 7, 0, 8, 0, 0, 12, 0, 18, 18],
        ]
    )
    np.testing.assert_allclose(found.weights, expected / 7, rtol=1e-13)


@pytest.mark.parametrize("seed", range(5))
def test_weighted_events_are_kaplan_meier_and_aalen_johansen(seed: int) -> None:
    """Gerds and Schumacher (2006): with the tie rule the identity is exact, and the weights add up to n."""
    time, event = drawn(seed)
    at = np.array([2.0, 5, 8.5, 11])
    found = ipcw_weights(time, event, at)
    np.testing.assert_allclose(found.weights.sum(axis=0), 60, rtol=1e-12)
    np.testing.assert_allclose(found.mean_weight, 1, rtol=1e-12)
    early = time[:, None] <= at
    np.testing.assert_allclose(
        (found.weights * early * (event > 0)[:, None]).mean(axis=0),
        1 - kaplan_meier(time, event > 0).survival_at(at),
        rtol=1e-12,
    )
    np.testing.assert_allclose(
        (found.weights * early * (event == 2)[:, None]).mean(axis=0),
        aalen_johansen(time, event).cumulative_incidence_at(at, "2"),
        rtol=1e-12,
    )


def test_groups_have_their_own_censoring() -> None:
    time, event = drawn(7)
    group = np.repeat(["a", "b"], 30)
    found = ipcw_weights(time, event, [3, 6], groups=group)
    alone = ipcw_weights(time[30:], event[30:], [3, 6])
    np.testing.assert_allclose(found.weights[30:], alone.weights, rtol=1e-13)
    assert not np.allclose(found.weights, ipcw_weights(time, event, [3, 6]).weights)


def test_a_model_of_the_censoring_may_be_a_function_or_arrays() -> None:
    time, event = drawn(8)
    at = np.array([3.0, 6])
    curve = censoring_survival(time, event)
    own = ipcw_weights(time, event, at)
    pair = (curve.before(time), np.tile(curve.before(at), (60, 1)))
    np.testing.assert_allclose(ipcw_weights(time, event, at, censoring=pair).weights, own.weights, rtol=1e-13)
    called = ipcw_weights(time, event, at, censoring=curve.before)
    np.testing.assert_allclose(called.weights, own.weights, rtol=1e-13)


def test_who_is_followed_just_to_the_horizon_is_known_there() -> None:
    found = ipcw_weights([10, 30, 30, 30], [1, 0, 0, 1], [30])
    np.testing.assert_array_equal(found.weights[:, 0], np.ones(4))


def test_beyond_the_last_censoring_nothing_is_supported() -> None:
    found = ipcw_weights([1, 2, 3], [1, 1, 0], [2, 3, 4])
    assert found.supported.tolist() == [True, True, False]
    assert np.isnan(found.weights[:, 2]).all()
    assert np.isnan(found.largest[2])
    assert np.isfinite(found.weights[:, :2]).all()
    assert ipcw_weights([1, 2, 3], [1, 0, 1], [9]).supported.all()


def test_given_censoring_supports_only_what_was_followed() -> None:
    found = ipcw_weights([1, 2, 3], [1, 0, 0], [2, 4], censoring=lambda at: np.full(at.shape, 0.5))
    assert found.supported.tolist() == [True, False]


def test_start_scores_those_at_risk_there() -> None:
    """Landmark 2: the first has left, the last has not begun; of the other three one is censored at 3."""
    found = ipcw_weights([1, 3, 4, 6, 9], [1, 0, 1, 0, 1], [4], entry=[0, 0, 1, 2, 5], start=2.0)
    np.testing.assert_allclose(found.weights[:, 0], [0, 0, 1.5, 1.5, 0])
    assert found.n_scored == 3


def test_diagnostics() -> None:
    """Weights 1, 1.5, 1.5 of four: the largest, (4)² / 5.5, and 1.5 of 4 by the one that is a hundredth at least."""
    found = ipcw_weights([1, 2, 3, 4], [1, 0, 1, 0], [3])
    assert found.largest[0] == 1.5
    assert found.n_effective[0] == pytest.approx(16 / 5.5)
    assert found.top_share[0] == pytest.approx(1.5 / 4)
    many = ipcw_weights(np.arange(1, 301), np.ones(300), [400])
    assert many.top_share[0] == pytest.approx(0.01)


def test_a_weight_is_so_many_customers_and_order_does_not_matter() -> None:
    time, event = drawn(9)
    weight = np.random.default_rng(1).integers(1, 4, 60)
    once = ipcw_weights(time, event, [4, 8], weight=weight)
    rows = np.random.default_rng(2).permutation(np.repeat(np.arange(60), weight))
    many = ipcw_weights(time[rows], event[rows], [4, 8])
    np.testing.assert_allclose(once.weights[rows], many.weights, rtol=1e-12)
    for name in ("largest", "top_share", "n_effective", "mean_weight"):
        np.testing.assert_allclose(getattr(once, name), getattr(many, name), rtol=1e-12)


def test_times_that_differ_by_rounding_are_tied() -> None:
    found = ipcw_weights([1 - 0.9, 0.1, 0.3], [1, 0, 0], [0.1, 0.1 + 0.2])
    np.testing.assert_allclose(found.weights, [[1, 1], [1, 0], [1, 2]])


def test_refusals() -> None:
    with pytest.raises(HorizonError, match="do not increase"):
        ipcw_weights([1, 2], [1, 0], [2, 1])
    with pytest.raises(HorizonError, match="before the start"):
        ipcw_weights([1, 2], [1, 0], [0.5], start=1.0)
    with pytest.raises(EmptyDataError, match="none of 2 customers is at risk at the start"):
        ipcw_weights([1, 2], [1, 0], [5], start=4.0)
    with pytest.raises(ArgumentError, match="both given"):
        ipcw_weights([1, 2], [1, 0], [1], groups=[0, 1], censoring=lambda at: np.ones(at.shape))
    with pytest.raises(ArgumentError, match="0 just before an event"):
        ipcw_weights([1, 2], [1, 0], [1], censoring=([0, 1], [[1], [1]]))
    with pytest.raises(DataTypeError, match="neither a function"):
        ipcw_weights([1, 2], [1, 0], [1], censoring=[1, 2])  # type: ignore[arg-type]
