"""Closed forms by hand, their identities, and their refusals.

Tolerances: 1e-12 relative for closed forms in double precision, 1e-9 against quadrature.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from churnsurv.errors import (
    ArgumentError,
    BreaksError,
    ChurnsurvError,
    DataTypeError,
    HorizonError,
    MissingValueError,
    NonFiniteError,
)
from churnsurv.hazards import algebra, conversions, poisson

EXACT = {"rtol": 1e-12, "atol": 1e-14}
Grid = tuple[np.ndarray, np.ndarray]


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    """Hazard per period (some zero, some tiny) and breaks from zero."""
    lengths = draw(st.lists(st.floats(0.05, 40.0), min_size=1, max_size=7))
    rate = st.one_of(st.just(0.0), st.floats(1e-12, 1e-6), st.floats(1e-4, 0.5))
    hazard = draw(st.lists(rate, min_size=len(lengths), max_size=len(lengths)))
    return np.array(hazard), np.concatenate([[0.0], np.cumsum(lengths)])


def within(grid: Grid, *shares: float) -> list[float]:
    """Increasing moments inside the breaks."""
    return [float(grid[1][-1] * share) for share in sorted(shares)]


share = st.floats(0.0, 1.0)
relation = settings(max_examples=200, deadline=None)

# By hand -----------------------------------------------------------------------------------------

TWO = {"hazard": [0.10, 0.05], "breaks": [0.0, 6.0, 12.0]}


def test_cumulative_hazard_by_hand() -> None:
    # 0.1 a month for six months, 0.05 after: H(2) = 0.2, H(6) = 0.6, H(10) = 0.6 + 4 × 0.05.
    found = algebra.cumulative_hazard(**TWO, times=[0, 2, 6, 10, 12])
    np.testing.assert_allclose(found, [0, 0.2, 0.6, 0.8, 0.9], **EXACT)


def test_an_edge_belongs_to_the_period_it_ends() -> None:
    found = algebra.hazard_at(**TWO, times=[0.0, 6.0, np.nextafter(6.0, 7.0), 12.0])
    assert found.tolist() == [0.10, 0.10, 0.05, 0.05]


def test_density_is_minus_the_slope_of_survival() -> None:
    step = 1e-5
    low, high = (algebra.survival(**TWO, times=[t]) for t in (4.0 - step, 4.0 + step))
    np.testing.assert_allclose(algebra.density(**TWO, times=[4.0]), (low - high) / (2 * step), rtol=1e-8)


def test_conditional_survival_across_a_break_by_hand() -> None:
    # From 4 to 10: two months at 0.1 and four at 0.05.
    found = algebra.conditional_survival(**TWO, conditional_after=4, horizon=6)
    np.testing.assert_allclose(found, np.exp(-0.4), **EXACT)


def test_restricted_mean_by_hand() -> None:
    # ∫₀⁶ e^(-0.1 t) dt + e^(-0.6) ∫₀⁶ e^(-0.05 t) dt
    expected = (1 - np.exp(-0.6)) / 0.1 + np.exp(-0.6) * (1 - np.exp(-0.3)) / 0.05
    np.testing.assert_allclose(algebra.restricted_mean_survival_time(**TWO, horizon=12), expected, **EXACT)


def test_exposure_by_hand() -> None:
    found = algebra.exposure_by_period([8, 20, 5], breaks=[0, 6, 12], entry=[0, 9, 5])
    assert found.tolist() == [[6, 2], [0, 3], [0, 0]]


def test_leading_axes_and_times_keep_their_places() -> None:
    draws = np.linspace(0.01, 0.3, 12).reshape(2, 3, 2)
    found = algebra.survival(draws, breaks=[0, 6, 12], times=[[1, 7, 12], [2, 6, 11]])
    assert found.shape == (2, 3, 2, 3)
    alone = algebra.survival(draws[1, 2], breaks=[0, 6, 12], times=[11])
    assert found[1, 2, 1, 2] == alone[0]


# Stability ---------------------------------------------------------------------------------------


def test_survival_long_past_underflow_still_conditions_rightly() -> None:
    """S(1000) is 0 in double precision, so that a ratio of survivals would be 0/0."""
    breaks = [0.0, 500.0, 2000.0]
    assert algebra.survival([2.0, 1.0], breaks=breaks, times=[1000.0])[0] == 0.0
    found = algebra.conditional_survival([2.0, 1.0], breaks=breaks, conditional_after=[1000.0], horizon=0.001)
    np.testing.assert_allclose(found, np.exp(-0.001), rtol=1e-10)


@pytest.mark.parametrize("hazard", [0.0, 5e-324, 1e-300, 1e-18, 1e-9])
def test_restricted_mean_tends_to_the_horizon_as_the_hazard_vanishes(hazard: float) -> None:
    found = float(algebra.restricted_mean_survival_time([hazard], breaks=[0, 100], horizon=90))
    # 90 (1 - 90 h / 2 + …); (1 - exp(-90 h)) / h loses all digits below h = 1e-16.
    assert found == pytest.approx(90 * (1 - 45 * hazard), rel=1e-14)


def test_small_period_hazard_keeps_its_digits() -> None:
    found = conversions.hazard_to_period_hazard([1e-15], breaks=[0, 1])
    np.testing.assert_allclose(found, [1e-15], rtol=1e-12)
    np.testing.assert_allclose(conversions.period_hazard_to_hazard(found, breaks=[0, 1]), [1e-15], rtol=1e-12)


def test_rounding_at_the_last_break_is_not_extrapolation() -> None:
    assert 0.1 + 0.2 > 0.3
    found = algebra.conditional_survival([1.0], breaks=[0, 0.3], conditional_after=0.1, horizon=0.2)
    np.testing.assert_allclose(found, np.exp(-0.2), rtol=1e-12)


def test_same_bytes_for_any_chunk_of_customers() -> None:
    rng = np.random.default_rng(5)
    hazard = rng.gamma(2.0, 0.01, size=(4, 25, 6))
    breaks = np.array([0, 7, 14, 30, 60, 90, 180.0])
    reached = rng.uniform(0, 90, size=1003)
    whole = algebra.conditional_survival(hazard, breaks=breaks, conditional_after=reached, horizon=60.0)
    mean = algebra.restricted_mean_survival_time(hazard, breaks=breaks, conditional_after=reached, horizon=60.0)
    for size in (1, 7, 64, 1000):
        for first in range(0, 1003, size * 17):
            part = slice(first, first + size)
            again = algebra.conditional_survival(hazard, breaks=breaks, conditional_after=reached[part], horizon=60.0)
            assert np.array_equal(whole[..., part], again)
            again = algebra.restricted_mean_survival_time(
                hazard, breaks=breaks, conditional_after=reached[part], horizon=60.0
            )
            assert np.array_equal(mean[..., part], again)


# Identities --------------------------------------------------------------------------------------


@relation
@given(grid=grids(), first=share, second=share)
def test_survival_lies_in_the_unit_interval_and_never_rises(grid: Grid, first: float, second: float) -> None:
    hazard, breaks = grid
    early, late = algebra.survival(hazard, breaks=breaks, times=within(grid, first, second))
    assert 0 <= late <= early <= 1


@relation
@given(grid=grids(), shares=st.tuples(share, share, share))
def test_chain_rule_of_conditional_survival(grid: Grid, shares: tuple[float, float, float]) -> None:
    hazard, breaks = grid
    a, b, c = within(grid, *shares)

    def stay(start: float, stop: float) -> np.ndarray:
        return algebra.conditional_survival(hazard, breaks=breaks, conditional_after=start, horizon=stop - start)

    np.testing.assert_allclose(stay(a, c), stay(a, b) * stay(b, c), rtol=1e-10)


@relation
@given(grid=grids(), first=share, second=share)
def test_conditional_survival_is_the_ratio_of_survivals(grid: Grid, first: float, second: float) -> None:
    hazard, breaks = grid
    start, stop = within(grid, first, second)
    found = algebra.conditional_survival(hazard, breaks=breaks, conditional_after=start, horizon=stop - start)
    low, high = algebra.survival(hazard, breaks=breaks, times=[stop, start])
    np.testing.assert_allclose(found, low / high, rtol=1e-10)


@relation
@given(grid=grids())
def test_hazard_comes_back_from_survival_at_the_breaks(grid: Grid) -> None:
    hazard, breaks = grid
    kept = algebra.survival(hazard, breaks=breaks, times=breaks)
    total = conversions.survival_to_cumulative_hazard(kept)
    again = conversions.cumulative_hazard_to_hazard(np.maximum.accumulate(total), breaks=breaks)
    # S is rounded at 1e-16, so H is known to 1e-16 / S and h to that over the shortest period.
    np.testing.assert_allclose(again, hazard, rtol=1e-9, atol=1e-14 / kept[-1] / np.diff(breaks).min())


@relation
@given(grid=grids())
def test_period_hazards_multiply_to_survival_and_come_back(grid: Grid) -> None:
    hazard, breaks = grid
    chance = conversions.hazard_to_period_hazard(hazard, breaks=breaks)
    np.testing.assert_allclose(
        np.cumprod(1 - chance), algebra.survival(hazard, breaks=breaks, times=breaks[1:]), rtol=1e-7
    )
    np.testing.assert_allclose(conversions.period_hazard_to_hazard(chance, breaks=breaks), hazard, rtol=1e-7)


@relation
@given(grid=grids(), first=share, second=share)
def test_restricted_mean_equals_quadrature(grid: Grid, first: float, second: float) -> None:
    hazard, breaks = grid
    start, stop = within(grid, first, second)
    inner = [float(edge) for edge in breaks if start < edge < stop]
    expected = sum(
        quad(
            lambda t: float(np.exp(-algebra.cumulative_hazard_between(hazard, breaks=breaks, start=start, stop=t))),
            a,
            b,
        )[0]
        for a, b in zip([start, *inner], [*inner, stop], strict=True)
    )
    found = algebra.restricted_mean_survival_time(hazard, breaks=breaks, conditional_after=start, horizon=stop - start)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@relation
@given(grid=grids(), shares=st.tuples(share, share, share))
def test_restricted_means_add_up_over_consecutive_intervals(grid: Grid, shares: tuple[float, float, float]) -> None:
    hazard, breaks = grid
    a, b, c = within(grid, *shares)

    def mean(start: float, stop: float) -> np.ndarray:
        return algebra.restricted_mean_survival_time(
            hazard, breaks=breaks, conditional_after=start, horizon=stop - start
        )

    kept = algebra.conditional_survival(hazard, breaks=breaks, conditional_after=a, horizon=b - a)
    np.testing.assert_allclose(mean(a, c), mean(a, b) + kept * mean(b, c), rtol=1e-10, atol=1e-12)


@relation
@given(grid=grids(), first=share, second=share, factor=st.floats(0.01, 100.0))
def test_hazard_times_k_on_time_over_k_is_the_same_survival(
    grid: Grid, first: float, second: float, factor: float
) -> None:
    hazard, breaks = grid
    times = np.array(within(grid, first, second))
    found = algebra.survival(
        hazard * factor, breaks=breaks / factor, times=np.minimum(times / factor, breaks[-1] / factor)
    )
    np.testing.assert_allclose(found, algebra.survival(hazard, breaks=breaks, times=times), rtol=1e-9)


@relation
@given(grid=grids(), at=st.floats(0.001, 0.999), moment=share)
def test_an_extra_break_changes_nothing(grid: Grid, at: float, moment: float) -> None:
    hazard, breaks = grid
    edge = float(breaks[-1] * at)
    where = int(np.searchsorted(breaks, edge))
    if edge in breaks:
        return
    finer = np.insert(breaks, where, edge)
    times = within(grid, moment)
    found = algebra.survival(np.insert(hazard, where, hazard[where - 1]), breaks=finer, times=times)
    np.testing.assert_allclose(found, algebra.survival(hazard, breaks=breaks, times=times), rtol=1e-11)


@relation
@given(grid=grids(), spells=st.lists(st.tuples(share, share), min_size=1, max_size=20))
def test_exposure_is_conserved(grid: Grid, spells: list[tuple[float, float]]) -> None:
    _, breaks = grid
    entry, exit_ = np.array([within(grid, *pair) for pair in spells]).T
    found = algebra.exposure_by_period(exit_, breaks=breaks, entry=entry)
    np.testing.assert_allclose(found.sum(axis=1), exit_ - entry, rtol=1e-12, atol=1e-12 * breaks[-1])


@relation
@given(
    rates=st.lists(st.floats(1e-3, 0.5), min_size=3, max_size=3),
    spells=st.lists(st.tuples(share, st.floats(0.01, 1.0), st.booleans()), min_size=1, max_size=20),
)
def test_likelihood_of_rows_is_that_of_their_cells(rates: list[float], spells: list[tuple[float, float, bool]]) -> None:
    """Eq. 5 on spells against eq. 6 on cells: two roads to one number."""
    breaks = np.array([0.0, 5.0, 9.0, 30.0])
    hazard = np.array(rates)
    exit_ = np.array([30.0 * stop for _, stop, _ in spells])
    entry = np.array([30.0 * stop * start * 0.9 for start, stop, _ in spells])
    event = np.array([happened for *_, happened in spells])
    rows = np.sum(
        event * np.log(algebra.hazard_at(hazard, breaks=breaks, times=exit_))
        - algebra.cumulative_hazard_between(hazard, breaks=breaks, start=entry, stop=exit_)
    )
    exposure = algebra.exposure_by_period(exit_, breaks=breaks, entry=entry).sum(axis=0)
    period = np.searchsorted(breaks, exit_, side="left") - 1
    events = np.bincount(period, weights=event, minlength=3)
    cells, _ = poisson.value_and_score(np.log(hazard), events=events, exposure=exposure)
    np.testing.assert_allclose(rows, cells, rtol=1e-10, atol=1e-10)


# Refusals ----------------------------------------------------------------------------------------

LOOK = {**TWO, "conditional_after": [0.0, 8.0, 11.0], "horizon": 3.0}


def refused(error: type[ChurnsurvError], call: Any, **arguments: Any) -> str:
    with pytest.raises(error) as caught:
        call(**arguments)
    return str(caught.value)


def test_horizon_beyond_the_last_break_is_refused_not_flat() -> None:
    message = refused(HorizonError, algebra.conditional_survival, **LOOK)
    assert "1 of 3 values of `horizon` reach beyond the last break, 12" in message
    assert "row=2, horizon=3.0, conditional_after=11.0" in message
    assert "Hint: keep conditional_after + horizon <= 12" in message
    assert "reach beyond" in refused(HorizonError, algebra.restricted_mean_survival_time, **LOOK)


@pytest.mark.parametrize("function", [algebra.survival, algebra.cumulative_hazard, algebra.hazard_at, algebra.density])
def test_times_outside_the_breaks_are_refused(function: Any) -> None:
    message = refused(HorizonError, function, **TWO, times=[3.0, 12.5, 99.0])
    assert "2 of 3 values of `times` lie outside the breaks, 0 to 12" in message
    assert "row=1, times=12.5" in message
    assert "1 of 1 values" in refused(HorizonError, function, hazard=[0.1], breaks=[2, 5], times=1.0)


def test_negative_horizon_is_refused() -> None:
    message = refused(HorizonError, algebra.conditional_survival, **TWO, conditional_after=3, horizon=-1)
    assert "`horizon` are negative" in message


@pytest.mark.parametrize(
    ("hazard", "error", "told"),
    [
        ([0.1, -0.2], ArgumentError, "1 of 2 values of `hazard` are negative"),
        ([0.1, np.nan], MissingValueError, "1 of 2 values of `hazard` are NaN"),
        ([0.1, np.inf], NonFiniteError, "1 of 2 values of `hazard` are infinite"),
        ([0.1, 0.2, 0.3], ArgumentError, "`hazard` has shape (3,); 3 breaks need a last axis of length 2"),
        (0.1, ArgumentError, "`hazard` has shape ()"),
        ([0.1j, 0.2], DataTypeError, "`hazard` has type complex128"),
    ],
)
def test_impossible_hazards_are_refused(hazard: Any, error: type[ChurnsurvError], told: str) -> None:
    assert told in refused(error, algebra.survival, hazard=hazard, breaks=[0, 6, 12], times=[1])


@pytest.mark.parametrize(
    ("breaks", "told"),
    [
        ([0, 6, 6], "1 of 2 values of `breaks` are not followed by a larger one"),
        ([0, 6, 5], "row=1, breaks=6.0, next=5.0"),
        ([-1, 6, 12], "`breaks` starts at -1, before 0"),
        ([3], "`breaks` has 1 edges; one period needs two"),
    ],
)
def test_impossible_breaks_are_refused(breaks: list[float], told: str) -> None:
    assert told in refused(BreaksError, algebra.survival, hazard=[0.1, 0.2], breaks=breaks, times=[1])


def test_interval_that_ends_before_it_starts_is_refused() -> None:
    message = refused(ArgumentError, algebra.cumulative_hazard_between, **TWO, start=[1, 5], stop=[2, 4])
    assert "1 of 2 values of `start` lie after their stop" in message
    assert "row=1, start=5.0, stop=4.0" in message
    assert "lie after their exit" in refused(
        ArgumentError, algebra.exposure_by_period, exit=[3], entry=[4], breaks=[0, 9]
    )


@pytest.mark.parametrize(
    ("call", "arguments", "told"),
    [
        (
            conversions.survival_to_cumulative_hazard,
            {"survival": [0.5, 1.2]},
            "1 of 2 values of `survival` lie outside [0, 1]",
        ),
        (conversions.cumulative_hazard_to_survival, {"cumulative_hazard": -0.1}, "`cumulative_hazard` are negative"),
        (
            conversions.cumulative_hazard_to_hazard,
            {"cumulative_hazard": [0.0, 0.5, 0.4], "breaks": [0, 1, 2]},
            "1 of 2 values of `cumulative_hazard` are followed by a smaller one",
        ),
        (
            conversions.period_hazard_to_hazard,
            {"period_hazard": [0.5, 1.0], "breaks": [0, 1, 2]},
            "1 of 2 values of `period_hazard` are 1, which needs an infinite hazard",
        ),
        (
            conversions.hazard_to_period_hazard,
            {"hazard": [0.5], "breaks": [0, 1, 2]},
            "`hazard` has 1 periods on its last axis; 3 breaks make 2",
        ),
    ],
)
def test_impossible_conversions_are_refused(call: Any, arguments: dict[str, Any], told: str) -> None:
    assert told in refused(ArgumentError, call, **arguments)


def test_survival_of_zero_is_an_infinite_cumulative_hazard_without_a_warning() -> None:
    assert conversions.survival_to_cumulative_hazard([0.0])[0] == np.inf
    assert conversions.cumulative_hazard_to_survival([np.inf])[0] == 0.0
    assert not np.signbit(conversions.survival_to_cumulative_hazard([1.0])[0])
