"""The waiting times against a scalar reading of the same hazard, written once more without NumPy tricks."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churnsurv.datasets.inversion import Curve, Spells, area, calendar, month_starts, no_facts, wait


@st.composite
def hazards(draw):
    n_periods, n_causes, n_facts = draw(st.integers(1, 4)), draw(st.integers(1, 3)), draw(st.integers(0, 3))
    positive = st.floats(0.01, 3.0)
    breaks = np.concatenate(
        [[0.0], np.cumsum(draw(st.lists(positive, min_size=n_periods - 1, max_size=n_periods - 1)))]
    )
    rows = st.lists(st.one_of(st.just(0.0), positive), min_size=n_periods, max_size=n_periods)
    baseline = np.array([draw(rows) for _ in range(n_causes)])
    months = -2.0 + np.concatenate([[0.0], np.cumsum(draw(st.lists(st.floats(0.1, 2.0), min_size=3, max_size=3)))])
    factors = np.array(draw(st.lists(positive, min_size=4, max_size=4)))
    times = np.cumsum(draw(st.lists(st.floats(0.0, 2.0), min_size=n_facts, max_size=n_facts)))
    facts = np.array(draw(st.lists(positive, min_size=n_facts, max_size=n_facts)))
    spells = Spells(
        np.array([draw(st.floats(-1.9, 3.0))]),
        np.array([[draw(positive)] for _ in range(n_causes)]),
        times[None],
        facts[None],
    )
    return Curve(breaks, baseline, months, factors), spells


def _hazard(curve, spells, t):
    """Hazard at one moment by its definition, causes together."""
    period = max(j for j, edge in enumerate(curve.breaks) if edge <= t)
    month = max(m for m, edge in enumerate(curve.months) if edge <= spells.opened[0] + t)
    arrived = [k for k, time in enumerate(spells.fact_times[0]) if time <= t]
    factor = spells.fact_factors[0][max(arrived)] if arrived else 1.0
    base = sum(rate[0] * row[period] for rate, row in zip(spells.rates, curve.hazards, strict=True))
    return base * curve.factors[month] * factor


def _area(curve, spells, until):
    """Integral between sorted edges, the hazard taken at midpoints."""
    edges = {0.0, until, *curve.breaks, *(curve.months - spells.opened[0]), *spells.fact_times[0]}
    inside = sorted(edge for edge in edges if 0 <= edge <= until)
    pieces = itertools.pairwise(inside)
    return math.fsum(_hazard(curve, spells, (a + b) / 2) * (b - a) for a, b in pieces)


@settings(max_examples=200, deadline=None)
@given(hazards(), st.floats(0.0, 12.0))
def test_area_is_the_integral(case, until):
    curve, spells = case
    assert area(curve, spells, np.array([until]))[0] == pytest.approx(_area(curve, spells, until), rel=1e-9, abs=1e-9)


@settings(max_examples=200, deadline=None)
@given(hazards(), st.floats(0.0, 5.0), st.floats(0.1, 3.0), st.floats(0.0, 1.0), st.floats(0.5, 12.0))
def test_waiting_time_spends_the_target(case, target, frailty, floor, limit):
    curve, spells = case
    got = wait(curve, spells, np.array([limit]), target=np.array([target]), frailty=np.array([frailty]), floor=floor)
    spent = frailty * _area(curve, spells, got.time[0]) + floor * got.time[0]
    if got.happened[0]:
        assert 0 <= got.time[0] <= limit
        assert spent == pytest.approx(target, rel=1e-9, abs=1e-9)
    else:
        assert got.time[0] == limit
        assert spent <= target + 1e-9
    assert got.area[0] == pytest.approx(_area(curve, spells, got.time[0]), rel=1e-9, abs=1e-9)


def test_by_hand():
    # 0.1 a day for 10 days uses up 1; the factor 2 from day 15 on makes 0.05 into 0.1:
    # 1 + 5 × 0.05 = 1.25 at day 15, the missing 0.75 takes 7.5 days.
    curve = Curve(np.array([0.0, 10.0]), np.array([[0.1, 0.05]]), np.array([-50.0]), np.array([1.0]))
    spells = Spells(np.zeros(1), np.ones((1, 1)), np.array([[15.0]]), np.array([[2.0]]))
    got = wait(curve, spells, np.array([100.0]), target=np.array([2.0]), frailty=np.ones(1))
    assert got.time[0] == pytest.approx(22.5)
    assert got.hazard[0] == pytest.approx(0.1)
    assert got.period[0] == 1


def test_one_spell_at_a_time_is_the_same_as_all_at_once():
    rng = np.random.default_rng(1)
    n = 300
    curve = Curve(np.array([0.0, 5.0, 9.0]), rng.random((2, 3)) / 5, np.arange(-40, 40, 10.0), rng.random(8) + 0.5)
    spells = Spells(rng.uniform(-30, 30, n), rng.random((2, n)) + 0.1, *no_facts(n))
    target, limit, frailty = rng.exponential(size=n), rng.uniform(1, 40, n), rng.gamma(2, 0.5, n)
    together = wait(curve, spells, limit, target=target, frailty=frailty)
    for i in range(0, n, 17):
        one = np.array([i])
        alone = wait(curve, spells.take(one), limit[one], target=target[one], frailty=frailty[one])
        assert all(a[0] == b[i] for a, b in zip(alone, together, strict=True))


def test_months_begin_at_local_midnight():
    summer = 1_688_169_600_000_000  # 2023-07-01 00:00 UTC
    starts, numbers = month_starts(summer, summer + 40 * 86_400_000_000, "Europe/Paris")
    assert starts[0] == summer - 2 * 3_600_000_000
    assert numbers.tolist() == [7, 8]
    days, factors = calendar(summer, summer, summer, "UTC", 0.5, 7)
    assert days.tolist() == [0.0]
    assert factors[0] == pytest.approx(math.exp(0.5))
