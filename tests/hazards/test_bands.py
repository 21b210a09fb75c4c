"""Simultaneous bands: critical values against printed tables and closed forms, bands by hand, coverage.

Tolerances: 0.6 of the last printed digit for Hall and Wellner's values, which the table rounds both ways. The printed
table for equal precision is an approximation, shown here to be one, and the distance from it is stated.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import hyp1f1, kolmogorov

from churnsurv.errors import ArgumentError, HorizonError
from churnsurv.hazards import kaplan_meier
from churnsurv.hazards.crossing import (
    bridge_stays_within,
    equal_precision_critical_value,
    hall_wellner_critical_value,
    standardised_stays_within,
)
from tests.hazards.published import TRANSPLANT, spells

# Klein and Moeschberger (2003), Table C.4, as in the data of R's km.ci 0.5-6: probability, a_L, a_U, value.
HALL_WELLNER = [
    (0.90, 0.00, 0.10, 0.5985),
    (0.90, 0.04, 0.10, 0.5979),
    (0.90, 0.08, 0.30, 0.9595),
    (0.90, 0.02, 1.00, 1.2239),
    (0.95, 0.00, 0.10, 0.6825),
    (0.95, 0.10, 0.12, 0.7191),
    (0.95, 0.02, 0.60, 1.3211),
    (0.95, 0.20, 0.60, 1.3191),
    (0.95, 0.40, 0.60, 1.2699),
    (0.95, 0.60, 1.00, 1.1976),
    (0.99, 0.10, 0.60, 1.5996),
    (0.99, 0.40, 0.60, 1.5629),
    (0.99, 0.60, 1.00, 1.4696),
]
# Table C.3, same source.
EQUAL_PRECISION = [
    (0.90, 0.02, 0.10, 2.4547),
    (0.90, 0.06, 0.30, 2.4915),
    (0.90, 0.12, 0.60, 2.5682),
    (0.90, 0.22, 0.60, 2.4503),
    (0.90, 0.12, 0.98, 2.8908),
    (0.95, 0.02, 0.30, 2.9333),
    (0.95, 0.12, 0.60, 2.8565),
    (0.95, 0.22, 0.98, 3.1072),
    (0.95, 0.60, 0.98, 2.9777),
]


def log_ratio(start: float, stop: float) -> float:
    return math.log(stop * (1 - start) / (start * (1 - stop)))


# Critical values ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("prob", "start", "stop", "value"), HALL_WELLNER)
def test_hall_wellner_as_in_klein_and_moeschberger(prob: float, start: float, stop: float, value: float) -> None:
    assert hall_wellner_critical_value(prob, start, stop) == pytest.approx(value, abs=0.6e-4)


@pytest.mark.parametrize(("prob", "start", "stop", "value"), EQUAL_PRECISION)
def test_equal_precision_near_klein_and_moeschberger(prob: float, start: float, stop: float, value: float) -> None:
    """The table solves 4 φ(c)/c + φ(c) (c - 1/c) log ratio = α, an approximation; it is within 0.015 of the truth."""
    ratio = log_ratio(start, stop)

    def approximate(c: float) -> float:
        return NormalDist().pdf(c) * (4 / c + (c - 1 / c) * ratio) - (1 - prob)

    assert brentq(approximate, 1.5, 6) == pytest.approx(value, abs=1e-4)
    assert equal_precision_critical_value(prob, ratio) == pytest.approx(value, abs=0.015)


@pytest.mark.parametrize("level", [0.6, 0.9, 1.2, 1.6])
def test_a_whole_bridge_is_kolmogorov(level: float) -> None:
    assert bridge_stays_within(level, 0.0, 1.0) == pytest.approx(1 - kolmogorov(level), abs=1e-12)


@pytest.mark.parametrize(("level", "stop"), [(0.6, 0.3), (0.9, 0.5), (1.2, 0.8)])
def test_a_bridge_from_its_start_by_reflections(level: float, stop: float) -> None:
    """Images in place of modes: the density at the end, by reflections, times the density of getting home."""

    def inside(x: float) -> float:
        free, home = NormalDist(0, math.sqrt(stop)), NormalDist(0, math.sqrt(1 - stop))
        return (
            sum((-1) ** j * free.pdf(x - 2 * j * level) for j in range(-9, 10)) * home.pdf(x) * math.sqrt(2 * math.pi)
        )

    expected = quad(inside, -level, level, epsabs=1e-12)[0]
    assert bridge_stays_within(level, 0.0, stop) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("level", "ratio"), [(1.8, 0.3), (2.4, 1.0), (2.9, 3.0), (3.4, 9.0)])
def test_standardised_motion_by_its_hypergeometric_modes(level: float, ratio: float) -> None:
    """The modes in closed form: 1F1(-λ; 1/2; x²/2), with λ the zeros of its value at the edge."""

    def at_edge(rate: float) -> float:
        return float(hyp1f1(-rate, 0.5, level**2 / 2))

    def normal(x: float) -> float:
        return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)

    grid = np.linspace(0.0, 60.0, 2001)
    signs = np.sign([at_edge(rate) for rate in grid])
    rates = [brentq(at_edge, grid[i], grid[i + 1]) for i in np.flatnonzero(np.diff(signs))]
    total = 0.0
    for rate in rates:
        overlap = quad(lambda x, r=rate: float(hyp1f1(-r, 0.5, x * x / 2)) * normal(x), -level, level)[0]
        square = quad(lambda x, r=rate: float(hyp1f1(-r, 0.5, x * x / 2)) ** 2 * normal(x), -level, level)[0]
        total += math.exp(-rate * ratio) * overlap**2 / square
    assert standardised_stays_within(level, ratio) == pytest.approx(total, abs=2e-6)


def test_one_moment_is_a_normal_interval() -> None:
    assert equal_precision_critical_value(0.9, 0.0) == pytest.approx(1.6448536269514722, rel=1e-12)
    assert 1.6449 < equal_precision_critical_value(0.9, 1e-9) < 1.656
    pointwise = 1.959963984540054 * math.sqrt(0.3 * 0.7)
    assert hall_wellner_critical_value(0.95, 0.3, 0.3) == pytest.approx(pointwise, rel=1e-12)
    assert hall_wellner_critical_value(0.95, 0.3, 0.3 + 1e-6) == pytest.approx(pointwise, abs=0.002)


@settings(max_examples=30, deadline=None)
@given(
    prob=st.floats(0.5, 0.999), start=st.floats(0.01, 0.6), length=st.floats(0.01, 0.38), more=st.floats(0.005, 0.0099)
)
def test_a_longer_range_and_a_higher_probability_need_more(
    prob: float, start: float, length: float, more: float
) -> None:
    stop = start + length
    assert (
        hall_wellner_critical_value(prob, start, stop + more) >= hall_wellner_critical_value(prob, start, stop) - 1e-9
    )
    assert (
        hall_wellner_critical_value(prob, start - more, stop) >= hall_wellner_critical_value(prob, start, stop) - 1e-9
    )
    ratio = log_ratio(start, stop)
    value = equal_precision_critical_value(prob, ratio)
    assert NormalDist().inv_cdf(0.5 + prob / 2) < value < equal_precision_critical_value(prob, ratio + more)
    assert standardised_stays_within(value, ratio) == pytest.approx(prob, abs=1e-9)
    assert value < equal_precision_critical_value(prob + 0.0005, ratio)


# Bands -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def leukaemia():
    return kaplan_meier(*spells(TRANSPLANT["ALL"]), ci_prob=0.95)


def test_curve_under_the_bands_as_in_klein_and_moeschberger(leukaemia) -> None:
    """Second edition, table 4.3: 0.3531 after 662 days; section 4.4 rounds the range 100 to 600 to 0.1 and 0.6."""
    assert leukaemia.survival[-1] == pytest.approx(0.3531, abs=0.00005)
    sigma = (leukaemia.standard_error / leukaemia.survival)[np.searchsorted(leukaemia.times, [100, 600], "right") - 1]
    moments = 38 * sigma**2 / (1 + 38 * sigma**2)
    np.testing.assert_allclose(moments, [0.1, 0.6], atol=0.015)
    assert hall_wellner_critical_value(0.95, 0.1, 0.6) == pytest.approx(1.3211, abs=0.5e-4)
    assert equal_precision_critical_value(0.95, log_ratio(0.1, 0.6)) == pytest.approx(2.8826, abs=0.006)
    assert leukaemia.band("hall-wellner", time_range=(100, 600)).critical_value == pytest.approx(1.3211, abs=0.003)
    assert leukaemia.band(time_range=(100, 600)).critical_value == pytest.approx(2.8826, abs=0.006)


@pytest.mark.parametrize("kind", ["equal-precision", "hall-wellner"])
def test_transforms_by_the_formulas_of_the_book(leukaemia, kind) -> None:
    """Klein and Moeschberger (2003), eqs. 4.4.1 to 4.4.6, written out at one time."""
    at = int(np.flatnonzero(leukaemia.times == 332)[0])
    s, sigma = leukaemia.survival[at], leukaemia.standard_error[at] / leukaemia.survival[at]
    bands = {t: leukaemia.band(kind, time_range=(100, 600), transform=t) for t in ("plain", "log-log", "arcsine")}
    c = bands["plain"].critical_value
    half = c * sigma if kind == "equal-precision" else c * (1 + 38 * sigma**2) / math.sqrt(38)
    theta = math.exp(half / math.log(s))
    middle, swing = math.asin(math.sqrt(s)), 0.5 * half * math.sqrt(s / (1 - s))
    expected = {
        "plain": (s - half * s, s + half * s),
        "log-log": (s ** (1 / theta), s**theta),
        "arcsine": (math.sin(middle - swing) ** 2, math.sin(middle + swing) ** 2),
    }
    for name, band in bands.items():
        place = int(np.flatnonzero(band.times == 332)[0])
        assert (band.lower[place], band.upper[place]) == pytest.approx(expected[name], rel=1e-12), name


def test_a_band_contains_the_pointwise_bounds(leukaemia) -> None:
    band = leukaemia.band(time_range=(100, 600))
    inside = np.isin(leukaemia.times, band.times)
    assert (band.lower[1:] < leukaemia.lower[inside]).all()
    assert (band.upper[1:] > leukaemia.upper[inside]).all()
    assert band.times[0] == 100.0
    assert band.survival[0] == leukaemia.survival_at(100.0)
    assert band.times[-1] == 530.0
    assert (band.time_range, band.ci_prob, band.kind) == ((100.0, 600.0), 0.95, "equal-precision")


def test_default_range_runs_from_the_first_event_to_the_last_before_zero() -> None:
    curve = kaplan_meier([1, 2, 3, 4, 5, 6], [0, 1, 1, 0, 1, 1])
    assert curve.band().time_range == (2.0, 5.0)
    assert curve.band("hall-wellner").time_range == (2.0, 5.0)
    single = kaplan_meier([1, 2, 3, 4], [0, 1, 0, 0]).band(ci_prob=0.9)
    assert single.critical_value == pytest.approx(1.6448536269514722)


def test_hall_wellner_may_begin_before_the_first_event(leukaemia) -> None:
    band = leukaemia.band("hall-wellner", time_range=(0, 600))
    assert band.times[0] == 0.0
    assert np.isnan(band.lower[0])
    start = 38 * (leukaemia.standard_error / leukaemia.survival)[leukaemia.times <= 600][-1] ** 2
    assert band.critical_value == hall_wellner_critical_value(0.95, 0.0, start / (1 + start))


@pytest.mark.parametrize("kind", ["equal-precision", "hall-wellner"])
def test_ninety_per_cent_bands_cover_ninety_per_cent_of_whole_curves(kind) -> None:
    """200 samples of 200 with censoring, from 0.1 to 1.2: within 4 standard errors; pointwise bounds cover far less."""
    rng = np.random.default_rng(21)
    whole, pointwise = [], []
    for _ in range(200):
        time, limit = rng.exponential(1.0, 200), rng.uniform(0.5, 4.0, 200)
        curve = kaplan_meier(np.minimum(time, limit), time <= limit, ci_prob=0.90)
        band = curve.band(kind, time_range=(0.1, 1.2))
        # The curve steps down: the true one leaves a flat piece of the band at its ends.
        ends = np.append(band.times[1:], 1.2)
        whole.append(np.all((band.lower <= np.exp(-ends)) & (np.exp(-band.times) <= band.upper)))
        inside = (curve.times >= 0.1) & (curve.times <= 1.2)
        truth = np.exp(-curve.times[inside])
        pointwise.append(np.all((curve.lower[inside] <= truth) & (truth <= curve.upper[inside])))
    assert np.mean(whole) == pytest.approx(0.90, abs=4 * (0.09 / 200) ** 0.5)
    assert np.mean(pointwise) < 0.65


def test_ranges_that_leave_what_is_known(leukaemia) -> None:
    with pytest.raises(HorizonError, match=r"the range \[100, 3000\] leaves \[0, 2081\]") as caught:
        leukaemia.band(time_range=(100, 3000))
    assert "Hint: write time_range=(1, 662)." in str(caught.value)
    with pytest.raises(HorizonError, match=r"begins at 0.5, before the first event at 1\.") as caught:
        leukaemia.band(time_range=(0.5, 600))
    assert 'time_range=(1, 600), or kind="hall-wellner"' in str(caught.value)
    with pytest.raises(HorizonError, match=r"leaves \[0, 2\]"):
        kaplan_meier([1, 2], [1, 1]).band(time_range=(1, 2))
    with pytest.raises(ArgumentError, match='kind is one of "equal-precision", "hall-wellner"'):
        leukaemia.band("nair")
    with pytest.raises(ArgumentError, match="transform is one of"):
        leukaemia.band(transform="logit")


@pytest.mark.filterwarnings("ignore:all 3 spells are censored")
def test_without_events_nothing_is_known() -> None:
    band = kaplan_meier([1, 2, 3], [0, 0, 0]).band()
    assert math.isnan(band.critical_value)
    assert np.isnan(band.lower).all()
    assert band.survival.tolist() == [1, 1, 1, 1]
    at_once = kaplan_meier([2, 2], [1, 1]).band("hall-wellner")
    assert (at_once.times.tolist(), at_once.survival.tolist()) == ([0], [1])
    assert np.isnan(at_once.upper).all()


@settings(max_examples=30, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(1, 15), st.booleans(), st.integers(1, 3)), min_size=3, max_size=20),
    factor=st.floats(1e-6, 1e6),
)
def test_weights_replicate_and_the_unit_changes_only_times(rows: list[tuple[int, bool, int]], factor: float) -> None:
    exit_, event, weight = (np.array(part) for part in zip(*rows, (1, True, 1), (16, False, 2), strict=True))
    for kind in ("equal-precision", "hall-wellner"):
        one = kaplan_meier(exit_, event, weight=weight).band(kind)
        two = kaplan_meier(np.repeat(exit_, weight), np.repeat(event, weight)).band(kind)
        other = kaplan_meier(exit_ * factor, event, weight=weight).band(kind)
        for part in ("survival", "lower", "upper"):
            np.testing.assert_allclose(getattr(two, part), getattr(one, part), rtol=1e-7, atol=1e-12)
            np.testing.assert_array_equal(getattr(other, part), getattr(one, part))
        np.testing.assert_allclose(other.times, one.times * factor, rtol=1e-7)


def test_prints_on_one_line_and_becomes_a_frame(leukaemia) -> None:
    band = leukaemia.band(time_range=(100, 600))
    assert repr(band) == "SurvivalBand(equal-precision, 0.95 on [100, 600], critical value 2.878)"
    assert pd.DataFrame(band.columns()).columns.tolist() == ["time", "survival", "lower", "upper"]
