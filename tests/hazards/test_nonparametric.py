"""Kaplan–Meier and Nelson–Aalen by hand, against published tables and against lifelines.

Tolerances: 1e-12 against exact fractions; half a unit of the last printed digit against tables.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from churnsurv.errors import DataWarning, HorizonError
from churnsurv.hazards import kaplan_meier, nelson_aalen

# Acute myelogenous leukaemia, weeks of remission: Miller (1981), Survival Analysis, p. 49; `aml` in R's
# survival package. A plus marks a censored time.
MAINTAINED = "9 13 13+ 18 23 28+ 31 34 45+ 48 161+"
NONMAINTAINED = "5 5 8 8 12 16+ 23 27 30 33 43 45"
# Weeks of remission under 6-MP: Freireich et al. (1963), Blood 21, 699; Klein and Moeschberger (2003), section 1.2.
SIX_MP = "6 6 6 6+ 7 9+ 10 10+ 11+ 13 16 17+ 19+ 20+ 22 23 25+ 32+ 32+ 34+ 35+"


def spells(text: str) -> tuple[list[float], list[bool]]:
    """Exit and event of times written with a plus where censored."""
    words = text.split()
    return [float(word.rstrip("+")) for word in words], [not word.endswith("+") for word in words]


def at_events(result: Any, name: str) -> np.ndarray:
    """Column of a result at the times with events, as the tables print it."""
    return getattr(result, name)[result.n_events > 0]


def close(found: np.ndarray, printed: list[float], digits: int) -> None:
    np.testing.assert_allclose(found, printed, rtol=0, atol=0.5 * 10**-digits + 1e-12)


# By hand, in exact fractions ---------------------------------------------------------------------


def test_kaplan_meier_in_exact_fractions() -> None:
    """2, 3, 3+, 5+: at risk 4, 3, 1."""
    curve = kaplan_meier([2, 3, 3, 5], [1, 1, 0, 0])
    expected = [Fraction(3, 4), Fraction(3, 4) * Fraction(2, 3), Fraction(1, 2)]
    greenwood = [Fraction(1, 12), Fraction(1, 12) + Fraction(1, 6), Fraction(1, 4)]
    assert curve.times.tolist() == [2, 3, 5]
    assert curve.n_at_risk.tolist() == [4, 3, 1]
    assert curve.n_events.tolist() == [1, 1, 0]
    assert curve.n_censored.tolist() == [0, 1, 1]
    np.testing.assert_allclose(curve.survival, [float(s) for s in expected], rtol=1e-12)
    error = [float(s) * float(g) ** 0.5 for s, g in zip(expected, greenwood, strict=True)]
    np.testing.assert_allclose(curve.standard_error, error, rtol=1e-12)


def test_who_is_censored_at_a_time_is_at_risk_for_its_events() -> None:
    """Censored first would leave 1 at risk at time 3 and take survival to 0."""
    assert kaplan_meier([3, 3], [1, 0]).survival.tolist() == [0.5]


def test_delayed_entry_in_exact_fractions() -> None:
    """(0, 4], (0, 6], (2, 5+], (4, 7], (5, 8+]: who enters at 4 is not at risk at 4."""
    entry, exit_, event = [0, 0, 2, 4, 5], [4, 6, 5, 7, 8], [1, 1, 0, 1, 0]
    curve = kaplan_meier(exit_, event, entry=entry)
    assert curve.times.tolist() == [4, 5, 6, 7, 8]
    assert curve.n_at_risk.tolist() == [3, 3, 3, 2, 1]
    kept = [Fraction(2, 3), Fraction(2, 3), Fraction(4, 9), Fraction(2, 9), Fraction(2, 9)]
    np.testing.assert_allclose(curve.survival, [float(s) for s in kept], rtol=1e-12)
    greenwood = Fraction(1, 6) + Fraction(1, 6) + Fraction(1, 2)
    np.testing.assert_allclose(curve.standard_error[3], float(kept[3]) * float(greenwood) ** 0.5, rtol=1e-12)
    total = nelson_aalen(exit_, event, entry=entry)
    np.testing.assert_allclose(total.cumulative_hazard[-1], float(Fraction(1, 3) + Fraction(1, 3) + Fraction(1, 2)))
    assert curve.start == 0.0
    assert kaplan_meier(exit_[2:], event[2:], entry=entry[2:]).start == 2.0


def test_nelson_aalen_variances_in_exact_fractions() -> None:
    """Two tied events of five, then one of two: Σ d/Y² and Σ (Y-d)d/((Y-1)Y²)."""
    exit_, event = [1, 1, 2, 3, 4], [1, 1, 0, 1, 0]
    aalen, tied = nelson_aalen(exit_, event), nelson_aalen(exit_, event, variance="tie-corrected")
    np.testing.assert_allclose(at_events(aalen, "cumulative_hazard"), [2 / 5, 2 / 5 + 1 / 2], rtol=1e-12)
    np.testing.assert_allclose(
        at_events(aalen, "standard_error") ** 2, [2 / 25, float(Fraction(2, 25) + Fraction(1, 4))], rtol=1e-12
    )
    np.testing.assert_allclose(
        at_events(tied, "standard_error") ** 2,
        [float(Fraction(3 * 2, 4 * 25)), float(Fraction(6, 100) + Fraction(1, 4))],
        rtol=1e-12,
    )


def test_tie_corrected_variance_of_the_last_one_at_risk_is_finite() -> None:
    found = nelson_aalen([1, 2], [1, 1], variance="tie-corrected").standard_error
    np.testing.assert_allclose(found**2, [1 / 4, 5 / 4], rtol=1e-12)


def test_everybody_an_event_is_the_empirical_share() -> None:
    curve = kaplan_meier([4, 1, 3, 2], [1, 1, 1, 1])
    np.testing.assert_allclose(curve.survival, [0.75, 0.5, 0.25, 0.0], rtol=1e-12)
    binomial = np.sqrt(curve.survival[:3] * (1 - curve.survival[:3]) / 4)
    np.testing.assert_allclose(curve.standard_error[:3], binomial, rtol=1e-12)
    assert np.isnan(curve.standard_error[3])
    assert np.isnan(curve.lower[3])
    assert np.isnan(curve.upper[3])


def test_zero_time_counts_at_zero() -> None:
    curve = kaplan_meier([0, 0, 5], [1, 0, 1])
    assert curve.times.tolist() == [0, 5]
    np.testing.assert_allclose(curve.survival_at([0.0, 4.9]), [2 / 3, 2 / 3], rtol=1e-12)


# Published tables --------------------------------------------------------------------------------


def test_aml_maintained_as_in_r_survival() -> None:
    """`summary(survfit(Surv(time, status) ~ x, aml))`, tests/doaml.Rout.save of the survival package on CRAN."""
    curve = kaplan_meier(*spells(MAINTAINED), ci_prob=0.95, ci_kind="log")
    assert at_events(curve, "times").tolist() == [9, 13, 18, 23, 31, 34, 48]
    assert at_events(curve, "n_at_risk").tolist() == [11, 10, 8, 7, 5, 4, 2]
    close(at_events(curve, "survival"), [0.909, 0.818, 0.716, 0.614, 0.491, 0.368, 0.184], 3)
    close(at_events(curve, "standard_error"), [0.0867, 0.1163, 0.1397, 0.1526, 0.1642, 0.1627, 0.1535], 4)
    close(at_events(curve, "lower"), [0.7541, 0.6192, 0.4884, 0.3769, 0.2549, 0.1549, 0.0359], 4)
    close(at_events(curve, "upper"), [1.0, 1.0, 1.0, 0.999, 0.946, 0.875, 0.944], 3)
    assert curve.median() == 31


def test_aml_nonmaintained_as_in_r_survival() -> None:
    """Same source; survival ends at 0, where R prints no standard error either."""
    curve = kaplan_meier(*spells(NONMAINTAINED), ci_prob=0.95, ci_kind="log")
    assert at_events(curve, "times").tolist() == [5, 8, 12, 23, 27, 30, 33, 43, 45]
    close(
        at_events(curve, "survival"),
        [0.8333, 0.6667, 0.5833, 0.4861, 0.3889, 0.2917, 0.1944, 0.0972, 0.0],
        4,
    )
    close(
        at_events(curve, "standard_error")[:-1],
        [0.1076, 0.1361, 0.1423, 0.1481, 0.1470, 0.1387, 0.1219, 0.0919],
        4,
    )
    close(at_events(curve, "lower")[:-1], [0.6470, 0.4468, 0.3616, 0.2675, 0.1854, 0.1148, 0.0569, 0.0153], 4)
    close(at_events(curve, "upper")[:-1], [1.0, 0.995, 0.941, 0.883, 0.816, 0.741, 0.664, 0.620], 3)
    assert np.isnan(curve.standard_error[-1])
    assert curve.median() == 23


def test_weight_two_halves_the_variance_as_in_r_survival() -> None:
    """tests/doaml.Rout.save: equal case weights leave survival alone and halve its relative variance."""
    exit_, event = spells(f"{MAINTAINED} {NONMAINTAINED}")
    one, two = kaplan_meier(exit_, event), kaplan_meier(exit_, event, weight=np.full(23, 2.0))
    np.testing.assert_allclose(two.survival, one.survival, rtol=1e-12)
    np.testing.assert_allclose((one.standard_error / two.standard_error) ** 2, np.full(18, 2.0), rtol=1e-12)


def test_six_mp_as_in_klein_and_moeschberger() -> None:
    """Table 4.1 of the 2nd edition; bounds by its eq. 4.3.2, which is what Stata's `sts list` prints."""
    curve = kaplan_meier(*spells(SIX_MP), ci_prob=0.95)
    assert at_events(curve, "times").tolist() == [6, 7, 10, 13, 16, 22, 23]
    assert at_events(curve, "n_at_risk").tolist() == [21, 17, 15, 12, 11, 7, 6]
    close(at_events(curve, "survival"), [0.857, 0.807, 0.753, 0.690, 0.627, 0.538, 0.448], 3)
    close(at_events(curve, "standard_error"), [0.0764, 0.0869, 0.0963, 0.1068, 0.1141, 0.1282, 0.1346], 4)
    close(at_events(curve, "lower"), [0.6197, 0.5631, 0.5032, 0.4316, 0.3675, 0.2678, 0.1881], 4)
    close(at_events(curve, "upper"), [0.9516, 0.9228, 0.8894, 0.8491, 0.8049, 0.7468, 0.6801], 4)
    assert curve.median() == 23


def test_six_mp_nelson_aalen_in_exact_fractions() -> None:
    """Klein and Moeschberger (2003), eq. 4.2.3 and 4.2.4 on Table 4.2."""
    found = nelson_aalen(*spells(SIX_MP))
    table = [(3, 21), (1, 17), (1, 15), (1, 12), (1, 11), (1, 7), (1, 6)]
    total = np.cumsum([float(Fraction(d, y)) for d, y in table])
    np.testing.assert_allclose(at_events(found, "cumulative_hazard"), total, rtol=1e-12)
    close(total, [0.1429, 0.2017, 0.2683, 0.3517, 0.4426, 0.5854, 0.7521], 4)
    variance = np.cumsum([float(Fraction(d, y * y)) for d, y in table])
    np.testing.assert_allclose(at_events(found, "standard_error") ** 2, variance, rtol=1e-12)


# Against lifelines -------------------------------------------------------------------------------

ENTRY = [0.0, 0.0, 1.0, 2.5, 2.5, 3.0, 4.0, 0.0, 1.5, 6.0]
EXIT = [3.0, 5.0, 5.0, 4.5, 9.0, 7.5, 8.0, 9.0, 2.0, 8.0]
EVENT = [1, 1, 0, 1, 0, 1, 1, 1, 0, 0]
# lifelines 0.30.3, KaplanMeierFitter().fit(EXIT, EVENT, entry=ENTRY) at the times 3, 4.5, 5, 7.5, 8, 9, and
# NelsonAalenFitter(nelson_aalen_smoothing=False) the same way.
LIFELINES_SURVIVAL = [0.833333333333, 0.714285714286, 0.595238095238, 0.47619047619, 0.357142857143, 0.178571428571]
LIFELINES_HAZARD = [0.166666666667, 0.309523809524, 0.47619047619, 0.67619047619, 0.92619047619, 1.42619047619]
MOMENTS = [3.0, 4.5, 5.0, 7.5, 8.0, 9.0]


def test_delayed_entry_as_in_lifelines() -> None:
    curve = kaplan_meier(EXIT, EVENT, entry=ENTRY)
    np.testing.assert_allclose(curve.survival_at(MOMENTS), LIFELINES_SURVIVAL, rtol=1e-9)
    total = nelson_aalen(EXIT, EVENT, entry=ENTRY)
    np.testing.assert_allclose(total.cumulative_hazard_at(MOMENTS), LIFELINES_HAZARD, rtol=1e-9)


def test_large_tied_truncated_data_as_in_lifelines() -> None:
    lifelines = pytest.importorskip("lifelines")
    rng = np.random.default_rng(11)
    entry = rng.integers(0, 20, size=2000).astype(float)
    exit_ = entry + rng.integers(1, 60, size=2000)
    event = rng.random(2000) < 0.6
    weight = rng.integers(1, 5, size=2000)
    oracle = lifelines.KaplanMeierFitter().fit(exit_, event, entry=entry, weights=weight)
    curve = kaplan_meier(exit_, event, entry=entry, weight=weight, ci_prob=0.95)
    expected = oracle.survival_function_.iloc[:, 0].reindex(curve.times).to_numpy()
    np.testing.assert_allclose(curve.survival, expected, rtol=1e-9, atol=1e-15)
    bounds = oracle.confidence_interval_.reindex(curve.times).to_numpy()
    known = (curve.survival > 0) & (curve.survival < 1)
    np.testing.assert_allclose(np.stack([curve.lower, curve.upper], axis=1)[known], bounds[known], rtol=1e-8)


# Reading a curve off -----------------------------------------------------------------------------


def test_survival_is_right_continuous_and_unknown_beyond_the_data() -> None:
    curve = kaplan_meier([2, 3, 3, 5], [1, 1, 0, 0])
    found = curve.survival_at([0, 1.999, 2, 2.5, 3, 5, 5.001])
    np.testing.assert_array_equal(found, [1, 1, 0.75, 0.75, 0.5, 0.5, np.nan])


def test_survival_that_reached_zero_stays_zero() -> None:
    curve = kaplan_meier([2, 3], [1, 1])
    assert curve.survival_at([3.0, 1e9]).tolist() == [0.0, 0.0]


def test_conditional_survival_by_hand() -> None:
    curve = kaplan_meier([1, 2, 3, 4, 5], [1, 1, 1, 1, 0])
    np.testing.assert_allclose(curve.conditional_survival(2.0, [2.0, 3.0, 4.5]), [1, 2 / 3, 1 / 3], rtol=1e-12)
    assert np.isnan(curve.conditional_survival([2.0, 5.0], [5.5, 6.0])).all()


def test_conditional_survival_outlives_an_early_empty_risk_set() -> None:
    """(0, 1] ends in an event while nobody else is there; the rest is known given that time 1 was reached."""
    entry, exit_, event = [0, 1, 1, 2], [1, 4, 6, 7], [1, 1, 0, 0]
    with pytest.warns(DataWarning, match="at time 1 everybody at risk"):
        curve = kaplan_meier(exit_, event, entry=entry)
    assert curve.survival.tolist() == [0.0, 0.0, 0.0, 0.0]
    np.testing.assert_allclose(curve.conditional_survival(1.0, [4.0, 6.5]), [2 / 3, 2 / 3], rtol=1e-12)
    assert curve.conditional_survival(0.0, 6.5) == 0.0


def test_restricted_mean_by_hand() -> None:
    """2 + 1 × 3/4 + 1.5 × 1/2."""
    curve = kaplan_meier([2, 3, 3, 5], [1, 1, 0, 0])
    assert curve.restricted_mean_survival_time(4.5) == pytest.approx(2 + 0.75 + 0.75, rel=1e-12)
    with pytest.raises(HorizonError, match=r"a horizon of 5.5 lies outside \(0, 5\]"):
        curve.restricted_mean_survival_time(5.5)
    whole = kaplan_meier([4, 1, 3, 2], [1, 1, 1, 1])
    assert whole.restricted_mean_survival_time(100.0) == pytest.approx(2.5, rel=1e-12)


def test_quantiles_and_a_median_that_is_never_reached() -> None:
    curve = kaplan_meier([4, 1, 3, 2], [1, 1, 1, 1])
    assert (curve.quantile(0.25), curve.median(), curve.quantile(0.51)) == (1, 2, 3)
    assert np.isnan(kaplan_meier([1, 2, 3], [1, 0, 0]).median())


def test_a_median_reached_up_to_rounding_is_reached() -> None:
    """Ten of twenty, one by one: the product of (n-1)/n need not be exactly one half."""
    for n in range(4, 400, 2):
        assert kaplan_meier(np.arange(1, n + 1), np.ones(n)).median() == n / 2


def test_cumulative_hazard_is_unknown_beyond_the_data() -> None:
    found = nelson_aalen([2, 3, 3, 5], [1, 1, 0, 0]).cumulative_hazard_at([0, 2, 5, 6])
    np.testing.assert_array_equal(found, [0, 0.25, 0.25 + 1 / 3, np.nan])


# Intervals ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["log-log", "log", "plain"])
def test_bounds_bracket_the_curve_inside_the_unit_interval(kind: Any) -> None:
    curve = kaplan_meier(*spells(SIX_MP), ci_prob=0.99, ci_kind=kind)
    known = curve.survival < 1
    assert ((curve.lower >= 0) & (curve.lower < curve.survival))[known].all()
    assert ((curve.survival < curve.upper) & (curve.upper <= 1))[known].all()
    assert (curve.ci_kind, curve.ci_prob) == (kind, 0.99)


def test_plain_bounds_are_the_normal_ones() -> None:
    curve = kaplan_meier(*spells(SIX_MP), ci_prob=0.90, ci_kind="plain")
    width = (curve.upper - curve.lower)[-1] / 2
    assert width / curve.standard_error[-1] == pytest.approx(1.6448536269514722, rel=1e-12)


def test_log_bounds_of_the_cumulative_hazard_are_symmetric_in_the_logarithm() -> None:
    total = nelson_aalen(*spells(SIX_MP), ci_prob=0.90)
    known = total.standard_error > 0
    product = total.lower[known] * total.upper[known]
    np.testing.assert_allclose(product, total.cumulative_hazard[known] ** 2, rtol=1e-12)
    ratio = np.log(total.upper / total.cumulative_hazard)[known]
    expected = 1.6448536269514722 * total.standard_error[known] / total.cumulative_hazard[known]
    np.testing.assert_allclose(ratio, expected, rtol=1e-12)


def test_ninety_per_cent_bounds_cover_ninety_per_cent() -> None:
    """2000 exponential samples of 60 with censoring at the median: coverage within 4 standard errors."""
    rng = np.random.default_rng(3)
    covered = []
    for _ in range(2000):
        time, limit = rng.exponential(1.0, 60), rng.uniform(0.3, 2.5, 60)
        curve = kaplan_meier(np.minimum(time, limit), time <= limit, ci_prob=0.90)
        at = np.searchsorted(curve.times, 0.7, side="right") - 1
        covered.append(curve.lower[at] <= np.exp(-0.7) <= curve.upper[at])
    assert np.mean(covered) == pytest.approx(0.90, abs=4 * (0.9 * 0.1 / 2000) ** 0.5)


def test_results_print_on_one_line() -> None:
    exit_, event = spells(SIX_MP)
    assert repr(kaplan_meier(exit_, event)) == "KaplanMeier(16 times, 9 events, median=23)"
    assert repr(nelson_aalen(exit_, event)) == "NelsonAalen(16 times, 9 events, H=0.7521)"
