"""Aalen–Johansen and Nelson–Aalen by cause: by hand, published, by brute force, and relations that must hold.

Tolerances: 1e-12 against exact fractions and sums taken in another order; half a unit of the last printed
digit against published numbers.
"""

from __future__ import annotations

from dataclasses import fields
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from churnsurv.errors import ArgumentError, DataTypeError, DataWarning
from churnsurv.hazards import (
    AalenJohansen,
    aalen_johansen,
    kaplan_meier,
    nelson_aalen,
    nelson_aalen_by_cause,
)
from tests.hazards.published import CUMINC_BELOW, CUMINC_CAUSES, CUMINC_ESTIMATES, CUMINC_VARIANCES

relation = settings(max_examples=30, deadline=None)

# Twelve spells with every kind of tie: of causes with each other, and of events with censorings.
EXIT = [2, 2, 2, 3, 3, 5, 5, 5, 5, 7, 8, 8]
EVENT = [1, 2, 0, 1, 0, 1, 1, 2, 0, 0, 2, 0]
# d_1, d_2, Y at 2, 3, 5, 7, 8
COUNTS = [(1, 1, 12), (1, 0, 9), (2, 1, 7), (0, 0, 3), (0, 1, 2)]


def exact(counts: list[tuple[int, int, int]]) -> list[tuple[Fraction, Fraction, Fraction]]:
    """Survival and both incidences in exact fractions."""
    survival, first, second, rows = Fraction(1), Fraction(0), Fraction(0), []
    for d1, d2, y in counts:
        first, second = first + survival * Fraction(d1, y), second + survival * Fraction(d2, y)
        survival *= 1 - Fraction(d1 + d2, y)
        rows.append((survival, first, second))
    return rows


def exact_variance(counts: list[tuple[int, int, int]], cause: int, upto: int) -> Fraction:
    """Multinomial variance of the shares at each time, carried through their exact derivatives."""
    rows = exact(counts)
    end, total = rows[upto][1 + cause], Fraction(0)
    for i, row in enumerate(counts[: upto + 1]):
        y, shares = row[2], [Fraction(d, row[2]) for d in row[:2]]
        before = rows[i - 1][0] if i else Fraction(1)
        lost = (end - rows[i][1 + cause]) / (1 - sum(shares))
        slope = [before * (k == cause) - lost for k in range(2)]
        mean = sum(s * q for s, q in zip(slope, shares, strict=True))
        total += (sum(s * s * q for s, q in zip(slope, shares, strict=True)) - mean**2) / y
    return total


def brute_variance(curve: AalenJohansen, cause: int, upto: int, *, multinomial: bool) -> float:
    """The sum over times written out; without the squared mean it is the one of Gray's program for untied data."""
    survival = np.concatenate([[1.0], curve.survival])
    f, total = curve.cumulative_incidence[cause], 0.0
    for i in range(upto + 1):
        share = curve.n_events[:, i] / curve.n_at_risk[i]
        lost = 0.0 if share.sum() == 1 else (f[upto] - f[i]) / (1 - share.sum())
        slope = survival[i] * (np.arange(len(share)) == cause) - lost
        total += ((slope**2 @ share) - multinomial * (slope @ share) ** 2) / curve.n_at_risk[i]
    return total


# By hand and published --------------------------------------------------------------------------------------


def test_incidence_with_ties_in_exact_fractions() -> None:
    curve = aalen_johansen(EXIT, EVENT)
    expected = np.array([[float(value) for value in row] for row in exact(COUNTS)]).T
    assert curve.times.tolist() == [2, 3, 5, 7, 8]
    assert curve.n_at_risk.tolist() == [row[2] for row in COUNTS]
    assert curve.n_events.tolist() == [[row[0] for row in COUNTS], [row[1] for row in COUNTS]]
    assert curve.n_censored.tolist() == [1, 1, 1, 1, 1]
    assert curve.causes == ("1", "2")
    np.testing.assert_allclose(curve.survival, expected[0], rtol=1e-12)
    np.testing.assert_allclose(curve.cumulative_incidence, expected[1:], rtol=1e-12)


def test_variance_with_ties_in_exact_fractions() -> None:
    curve = aalen_johansen(EXIT, EVENT)
    expected = [[float(exact_variance(COUNTS, k, t)) for t in range(5)] for k in range(2)]
    np.testing.assert_allclose(curve.standard_error**2, expected, rtol=1e-12)


def test_without_censoring_incidence_is_a_share_with_its_binomial_error() -> None:
    event = np.array([1, 2, 3, 1, 1, 2, 1, 3])
    curve = aalen_johansen(np.arange(1, 9), event)
    share = np.array([[np.mean((event == k) & (np.arange(1, 9) <= t)) for t in range(1, 9)] for k in (1, 2, 3)])
    np.testing.assert_allclose(curve.cumulative_incidence, share, rtol=1e-12)
    np.testing.assert_allclose(curve.standard_error, np.sqrt(share * (1 - share) / 8), rtol=1e-12, atol=1e-15)
    assert curve.survival[-1] == 0.0


def test_delayed_entry_in_exact_fractions() -> None:
    """(0, 4] cause 1, (0, 6] cause 2, (2, 5+], (4, 7] cause 1, (5, 8+]: 3, 3, 3, 2, 1 at risk."""
    curve = aalen_johansen([4, 6, 5, 7, 8], [1, 2, 0, 1, 0], entry=[0, 0, 2, 4, 5])
    assert curve.n_at_risk.tolist() == [3, 3, 3, 2, 1]
    np.testing.assert_allclose(curve.cumulative_incidence[0], [1 / 3, 1 / 3, 1 / 3, 5 / 9, 5 / 9], rtol=1e-12)
    np.testing.assert_allclose(curve.cumulative_incidence[1], [0, 0, 2 / 9, 2 / 9, 2 / 9], rtol=1e-12)
    counts = [(1, 0, 3), (0, 0, 3), (0, 1, 3), (1, 0, 2), (0, 0, 1)]
    expected = [[float(exact_variance(counts, k, t)) for t in range(5)] for k in range(2)]
    np.testing.assert_allclose(curve.standard_error**2, expected, rtol=1e-12)


def test_incidence_and_variance_as_in_cmprsk() -> None:
    """Its variance counts events as Poisson; ours as multinomial: the same sum less the squared mean at each time."""
    causes = np.array(list(CUMINC_CAUSES), dtype=int)
    curve = aalen_johansen(np.arange(1, 101), causes)
    at = np.array(CUMINC_BELOW) - 1
    np.testing.assert_allclose(curve.cumulative_incidence[:, at], CUMINC_ESTIMATES, rtol=0, atol=0.5e-7)
    gray = [[brute_variance(curve, k, t, multinomial=False) for t in at] for k in range(2)]
    np.testing.assert_allclose(gray, CUMINC_VARIANCES, rtol=0, atol=0.5e-9)
    ours = [[brute_variance(curve, k, t, multinomial=True) for t in at] for k in range(2)]
    np.testing.assert_allclose(curve.standard_error[:, at] ** 2, ours, rtol=1e-10)


def test_variance_is_the_infinitesimal_jackknife() -> None:
    """Squared influence of each spell, summed: what R's survfit prints; equal without delayed entry."""
    rng = np.random.default_rng(5)
    exit_, event = rng.integers(1, 15, 60), rng.integers(0, 4, 60)
    step, total = 1e-4, 0.0
    for i in range(60):
        up, down = np.ones(60), np.ones(60)
        up[i], down[i] = 1 + step, 1 - step
        above, below = (aalen_johansen(exit_, event, weight=w).cumulative_incidence for w in (up, down))
        total = total + ((above - below) / (2 * step)) ** 2
    np.testing.assert_allclose(aalen_johansen(exit_, event).standard_error ** 2, total, rtol=1e-6)


def test_variance_keeps_its_digits_where_survival_is_small() -> None:
    """Multiplied out, the textbook sum is a difference of numbers a million times its size here."""
    exit_, event = np.arange(1, 4001), np.ones(4000, int)
    found = aalen_johansen(exit_, event).standard_error[0, :-1]
    share = exit_[:-1] / 4000
    np.testing.assert_allclose(found, np.sqrt(share * (1 - share) / 4000), rtol=1e-9)


def test_intervals_by_hand() -> None:
    """Of ten, three leave by cause 1 and two by cause 2; symmetric in log(-log(1 - F)) and in F."""
    event = [1, 2, 1, 1, 2, 0, 0, 0, 0, 0]
    loglog = aalen_johansen(np.arange(1, 11), event, ci_prob=0.95)
    error = np.sqrt(0.3 * 0.7 / 10)
    theta = np.exp(1.959963984540054 * error / (0.7 * np.log(0.7)))
    np.testing.assert_allclose(loglog.upper[0, 4], 1 - 0.7 ** (1 / theta), rtol=1e-12)
    np.testing.assert_allclose(loglog.lower[0, 4], 1 - 0.7**theta, rtol=1e-12)
    plain = aalen_johansen(np.arange(1, 11), event, ci_prob=0.95, ci_kind="plain")
    np.testing.assert_allclose(plain.upper[0, 4], 0.3 + 1.959963984540054 * error, rtol=1e-12)
    assert plain.lower[1, 4] == 0.0
    assert np.isnan(loglog.lower[1, 0])


def test_ninety_per_cent_bounds_cover_ninety_per_cent() -> None:
    """500 samples of 80 with two causes and censoring, within 4 standard errors."""
    rng = np.random.default_rng(8)
    truth, covered = 0.4 * (1 - np.exp(-0.8)), []
    for _ in range(500):
        time, limit = rng.exponential(1.0, 80), rng.uniform(0.3, 3.0, 80)
        cause = np.where(time <= limit, 1 + (rng.random(80) < 0.6), 0)
        curve = aalen_johansen(np.minimum(time, limit), cause, causes=("a", "b"))
        at = np.searchsorted(curve.times, 0.8, side="right") - 1
        covered.append(curve.lower[0, at] <= truth <= curve.upper[0, at])
    assert np.mean(covered) == pytest.approx(0.90, abs=4 * (0.9 * 0.1 / 500) ** 0.5)


def test_one_minus_kaplan_meier_of_a_cause_is_too_large() -> None:
    """Two causes of equal hazard, all leave: one half by each; the naive curve says that all leave by the first."""
    rng = np.random.default_rng(2)
    exit_, event = rng.exponential(1.0, 4000), rng.integers(1, 3, 4000)
    right = aalen_johansen(exit_, event).cumulative_incidence_at(3.0, cause="1")
    naive = 1 - kaplan_meier(exit_, event == 1).survival_at(3.0)
    assert right == pytest.approx((1 - np.exp(-3)) / 2, abs=0.025)
    assert naive == pytest.approx(1 - np.exp(-1.5), abs=0.025)
    assert naive - right > 0.25


# Nelson–Aalen by cause ------------------------------------------------------------------------------------


def test_nelson_aalen_by_cause_by_hand() -> None:
    found = nelson_aalen_by_cause(EXIT, EVENT, causes=("moved", "failed"))
    assert list(found) == ["moved", "failed"]
    np.testing.assert_allclose(found["moved"].cumulative_hazard, np.cumsum([1 / 12, 1 / 9, 2 / 7, 0, 0]), rtol=1e-12)
    np.testing.assert_allclose(
        found["failed"].standard_error ** 2, np.cumsum([1 / 144, 0, 1 / 49, 0, 1 / 4]), rtol=1e-12
    )


@pytest.mark.parametrize("variance", ["aalen", "tie-corrected"])
def test_nelson_aalen_of_a_cause_censors_the_others(variance: Any) -> None:
    exit_, event = np.array(EXIT), np.array(EVENT)
    for cause, found in nelson_aalen_by_cause(exit_, event, variance=variance).items():
        alone = nelson_aalen(exit_, event == int(cause), variance=variance)
        for field in fields(found):
            a, b = getattr(found, field.name), getattr(alone, field.name)
            assert np.array_equal(a, b, equal_nan=True) if isinstance(a, np.ndarray) else a == b, field.name


# Relations --------------------------------------------------------------------------------------------------


@st.composite
def samples(draw: st.DrawFn, *, delayed: bool = True) -> dict[str, np.ndarray]:
    row = st.tuples(st.integers(0, 6 if delayed else 0), st.integers(1, 12), st.integers(0, 3), st.integers(1, 4))
    rows = np.array(draw(st.lists(row, min_size=2, max_size=25)))
    assume(rows[:, 2].any())
    sample = {"entry": rows[:, 0], "exit": rows[:, 0] + rows[:, 1], "event": rows[:, 2], "weight": rows[:, 3]}
    alive = [(sample["entry"] < t) & (sample["exit"] >= t) for t in np.unique(sample["exit"])[:-1]]
    times = np.unique(sample["exit"])[:-1]
    gone = [np.all((sample["exit"] == t)[at] & (sample["event"] > 0)[at]) for t, at in zip(times, alive, strict=True)]
    assume(not any(gone))
    return sample


def same(first: AalenJohansen, second: AalenJohansen, *, exact: bool = False, skip: tuple[str, ...] = ()) -> None:
    for field in fields(first):
        if field.name in skip:
            continue
        a, b = getattr(first, field.name), getattr(second, field.name)
        if exact or not isinstance(a, np.ndarray):
            assert np.array_equal(a, b, equal_nan=True) if isinstance(a, np.ndarray) else a == b, field.name
        else:
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12, err_msg=field.name)


NAMES = ("a", "b", "c")


@relation
@given(sample=samples())
def test_incidences_and_survival_add_up_to_one(sample: dict[str, np.ndarray]) -> None:
    curve = aalen_johansen(**sample)
    np.testing.assert_allclose(curve.survival + curve.cumulative_incidence.sum(axis=0), 1.0, rtol=0, atol=1e-14)
    assert (np.diff(curve.cumulative_incidence, axis=1) >= 0).all()
    assert np.array_equal(curve.survival, kaplan_meier(**{**sample, "event": sample["event"] > 0}).survival)


@relation
@given(sample=samples())
def test_one_cause_is_one_minus_kaplan_meier(sample: dict[str, np.ndarray]) -> None:
    sample["event"] = (sample["event"] > 0).astype(int)
    for kind in ("log-log", "plain"):
        curve, other = aalen_johansen(**sample, ci_kind=kind), kaplan_meier(**sample, ci_kind=kind)
        np.testing.assert_allclose(curve.cumulative_incidence[0], 1 - other.survival, rtol=0, atol=1e-14)
        np.testing.assert_allclose(curve.standard_error[0], other.standard_error, rtol=1e-7, atol=1e-12)
        np.testing.assert_allclose(1 - curve.upper[0], other.lower, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(1 - curve.lower[0], other.upper, rtol=1e-6, atol=1e-9)


@relation
@given(sample=samples())
def test_variance_is_the_sum_written_out(sample: dict[str, np.ndarray]) -> None:
    curve = aalen_johansen(**sample, causes=NAMES)
    for cause in range(3):
        for upto in range(len(curve.times)):
            if curve.cumulative_incidence[cause, upto] < 1:
                expected = brute_variance(curve, cause, upto, multinomial=True)
                assert curve.standard_error[cause, upto] ** 2 == pytest.approx(expected, rel=1e-8, abs=1e-14)


@relation
@given(sample=samples(), order=st.randoms(use_true_random=False))
def test_row_order_changes_no_bit(sample: dict[str, np.ndarray], order: Any) -> None:
    rows = list(range(len(sample["exit"])))
    order.shuffle(rows)
    sample["weight"] = sample["weight"] / 3
    turned = {name: values[rows] for name, values in sample.items()}
    same(aalen_johansen(**sample), aalen_johansen(**turned), exact=True)


@relation
@given(sample=samples())
def test_weights_are_replication(sample: dict[str, np.ndarray]) -> None:
    repeated = {name: np.repeat(values, sample["weight"]) for name, values in sample.items() if name != "weight"}
    same(aalen_johansen(**sample), aalen_johansen(**repeated))


@relation
@given(sample=samples(delayed=False), factor=st.floats(1e-9, 1e9))
def test_entry_at_zero_and_the_unit_of_time_change_nothing(sample: dict[str, np.ndarray], factor: float) -> None:
    whole = aalen_johansen(**sample)
    same(whole, aalen_johansen(**{**sample, "entry": None}), exact=True)
    scaled = aalen_johansen(**{**sample, "exit": sample["exit"] * factor})
    same(whole, scaled, exact=True, skip=("times",))


@relation
@given(sample=samples(), turn=st.permutations([1, 2, 3]))
def test_names_of_causes_change_nothing(sample: dict[str, np.ndarray], turn: list[int]) -> None:
    first = aalen_johansen(**sample, causes=NAMES)
    codes = np.array([0, *turn])[sample["event"]]
    renamed = aalen_johansen(**{**sample, "event": codes}, causes=[NAMES[turn.index(k)] for k in (1, 2, 3)])
    for name in NAMES:
        a, b = first.causes.index(name), renamed.causes.index(name)
        for part in ("cumulative_incidence", "standard_error", "lower", "upper"):
            np.testing.assert_array_equal(getattr(first, part)[a], getattr(renamed, part)[b])


@relation
@given(sample=samples())
def test_two_causes_taken_together_add_up(sample: dict[str, np.ndarray]) -> None:
    apart = aalen_johansen(**sample, causes=NAMES)
    pooled = aalen_johansen(**{**sample, "event": np.minimum(sample["event"], 2)}, causes=("a", "bc"))
    together = apart.cumulative_incidence[1] + apart.cumulative_incidence[2]
    np.testing.assert_allclose(pooled.cumulative_incidence[1], together, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(pooled.standard_error[0], apart.standard_error[0], rtol=1e-9, atol=1e-12)


@relation
@given(sample=samples())
def test_hazards_by_cause_add_up_to_the_hazard(sample: dict[str, np.ndarray]) -> None:
    parts = nelson_aalen_by_cause(**sample, causes=NAMES)
    whole = nelson_aalen(**{**sample, "event": sample["event"] > 0})
    total = sum(part.cumulative_hazard for part in parts.values())
    np.testing.assert_allclose(total, whole.cumulative_hazard, rtol=1e-12)
    curve = aalen_johansen(**sample, causes=NAMES)
    assert (curve.cumulative_incidence[0] <= parts["a"].cumulative_hazard + 1e-12).all()


# Reading off and refusing ---------------------------------------------------------------------------------------


def test_incidence_at_any_moment() -> None:
    curve = aalen_johansen([2, 3, 3, 5], [1, 2, 0, 0], causes=("cancelled", "failed"))
    np.testing.assert_array_equal(curve.cumulative_incidence_at([0, 2, 4, 6], "failed"), [0, 0, 0.25, np.nan])
    assert curve.cumulative_incidence_at([[0, 2], [4, 5]]).shape == (2, 2, 2)
    assert aalen_johansen([2, 3], [1, 2]).cumulative_incidence_at(9.0).tolist() == [0.5, 0.5]
    with pytest.raises(ArgumentError, match='cause is one of "cancelled", "failed"'):
        curve.cumulative_incidence_at(1.0, "fraud")
    with pytest.raises(ArgumentError, match="1 of 1 values of `times` are negative"):
        curve.cumulative_incidence_at(-1.0)


def test_prints_on_one_line_and_becomes_a_frame() -> None:
    curve = aalen_johansen([2, 3, 3, 5], [1, 2, 0, 0], causes=("cancelled", "failed"))
    assert repr(curve) == "AalenJohansen(3 times, 2 events, cancelled=0.25, failed=0.25)"
    frame = pd.DataFrame(curve.columns())
    assert frame.loc[frame["cause"] == "failed", "cumulative_incidence"].tolist() == [0, 0.25, 0.25]
    assert len(frame) == 6


@pytest.mark.parametrize("estimator", [aalen_johansen, nelson_aalen_by_cause])
@pytest.mark.parametrize(("code", "causes"), [(1.5, None), (-1, None), (101, None), (3, ("a", "b"))])
def test_codes_that_are_no_cause(estimator: Any, code: float, causes: Any) -> None:
    with pytest.raises(ArgumentError, match="1 of 3 values of `event` are none of the codes 0") as caught:
        estimator([1, 2, 3], [0, code, 1], causes=causes)
    assert caught.value.rows[0]["row"] == 1


@pytest.mark.parametrize("causes", [(), ("a", "a"), (1, 2)])
def test_causes_that_are_no_names(causes: Any) -> None:
    with pytest.raises(ArgumentError, match="are not different names"):
        aalen_johansen([1, 2], [1, 0], causes=causes)
    with pytest.raises(DataTypeError, match="is not a sequence of names"):
        aalen_johansen([1, 2], [1, 0], causes="cancelled")


def test_one_named_cause_takes_truth_values() -> None:
    curve = aalen_johansen([1, 2, 3], [True, False, True], causes=("left",))
    assert curve.cumulative_incidence.shape == (1, 3)


def test_all_censored_is_flat_with_a_warning() -> None:
    with pytest.warns(DataWarning, match="Every incidence stays at 0") as caught:
        curve = aalen_johansen([1, 2, 3], [0, 0, 0], causes=("a", "b"))
    assert caught[0].filename == __file__
    assert curve.cumulative_incidence.tolist() == [[0, 0, 0], [0, 0, 0]]
    assert np.isnan(curve.lower).all()


def test_early_risk_set_that_dies_out_warns() -> None:
    with pytest.warns(DataWarning, match=r"at time 1.5 everybody at risk \(1\) had the event") as caught:
        curve = aalen_johansen([1.5, 6, 7, 8], [1, 2, 0, 0], entry=[1, 2, 2, 3])
    assert caught[0].filename == __file__
    assert curve.cumulative_incidence.tolist() == [[1, 1, 1, 1], [0, 0, 0, 0]]
    assert np.isnan(curve.standard_error[0]).all()
    assert curve.survival.tolist() == [0, 0, 0, 0]
