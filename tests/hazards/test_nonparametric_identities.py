"""Relations that hold for any spells, whatever the right number is.

Tolerance 1e-12 relative where sums are taken in another order, bit for bit where they are not.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from churnsurv.hazards import algebra, conversions, kaplan_meier, nelson_aalen
from churnsurv.hazards.risk_sets import check_spells, risk_sets, tie_times

relation = settings(max_examples=200, deadline=None)


@dataclass(frozen=True)
class Sample:
    """Spells on whole days with at least one event, at least two rows, and no risk set emptied early."""

    entry: np.ndarray
    exit: np.ndarray
    event: np.ndarray
    weight: np.ndarray

    def take(self, rows: Any) -> Sample:
        return Sample(*(getattr(self, field.name)[rows] for field in fields(self)))


def emptied_early(sample: Sample) -> bool:
    sets = risk_sets(check_spells(sample.exit, sample.event, entry=sample.entry))
    return bool(np.any(sets.n_events[:-1] == sets.n_at_risk[:-1]))


@st.composite
def samples(draw: st.DrawFn, *, delayed: bool = True) -> Sample:
    row = st.tuples(st.integers(0, 6 if delayed else 0), st.integers(1, 12), st.booleans(), st.integers(1, 4))
    rows = np.array(draw(st.lists(row, min_size=2, max_size=25)))
    sample = Sample(rows[:, 0], rows[:, 0] + rows[:, 1], rows[:, 2], rows[:, 3])
    assume(sample.event.any() and not emptied_early(sample))
    return sample


def both(sample: Sample, **changed: Any) -> tuple[Any, Any]:
    arguments = {"exit": sample.exit, "event": sample.event, "entry": sample.entry, "weight": sample.weight, **changed}
    return kaplan_meier(**arguments), nelson_aalen(**arguments)


def same(first: Any, second: Any, *, exact: bool = False, skip: tuple[str, ...] = ()) -> None:
    for field in fields(first):
        if field.name in skip:
            continue
        a, b = getattr(first, field.name), getattr(second, field.name)
        if exact or not isinstance(a, np.ndarray):
            assert np.array_equal(a, b, equal_nan=True) if isinstance(a, np.ndarray) else a == b, field.name
        else:
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-15, err_msg=field.name)


@relation
@given(sample=samples(), order=st.randoms(use_true_random=False), scale=st.floats(0.1, 3.0))
def test_row_order_changes_no_bit(sample: Sample, order: Any, scale: float) -> None:
    """Also with weights whose sums are rounded."""
    shuffled = list(range(len(sample.exit)))
    order.shuffle(shuffled)
    weight = sample.weight * scale / 3
    turned = sample.take(shuffled)
    for first, second in zip(both(sample, weight=weight), both(turned, weight=weight[shuffled]), strict=True):
        same(first, second, exact=True)


@relation
@given(sample=samples())
def test_weights_are_replication(sample: Sample) -> None:
    repeated = sample.take(np.repeat(np.arange(len(sample.exit)), sample.weight))
    for first, second in zip(both(sample), both(repeated, weight=None), strict=True):
        same(first, second)
    first = nelson_aalen(sample.exit, sample.event, entry=sample.entry, weight=sample.weight, variance="tie-corrected")
    second = nelson_aalen(repeated.exit, repeated.event, entry=repeated.entry, variance="tie-corrected")
    same(first, second)


@relation
@given(sample=samples(), factor=st.floats(1e-9, 1e9))
def test_unit_of_time_changes_only_the_times(sample: Sample, factor: float) -> None:
    for first, second in zip(
        both(sample), both(sample, entry=sample.entry * factor, exit=sample.exit * factor), strict=True
    ):
        np.testing.assert_allclose(second.times, first.times * factor, rtol=1e-7)
        same(first, second, exact=True, skip=("times", "start"))


@relation
@given(sample=samples(), cuts=st.lists(st.integers(1, 17), max_size=4))
def test_episode_splitting_changes_nothing(sample: Sample, cuts: list[int]) -> None:
    """(entry, exit] cut into pieces, the event on the last: the risk sets are the same at every event."""
    rows: list[tuple[float, float, int, int]] = []
    for entry, exit_, event, weight in zip(sample.entry, sample.exit, sample.event, sample.weight, strict=True):
        edges = [entry, *sorted({cut for cut in cuts if entry < cut < exit_}), exit_]
        rows += [(a, b, int(event and b == exit_), weight) for a, b in pairwise(edges)]
    split = Sample(*np.array(rows).T)
    for whole, pieces in zip(both(sample), both(split), strict=True):
        happened = whole.n_events > 0
        kept = np.isin(pieces.times, whole.times[happened])
        for name in ("n_at_risk", "n_events", "standard_error", "lower", "upper"):
            np.testing.assert_array_equal(getattr(pieces, name)[kept], getattr(whole, name)[happened], err_msg=name)
    np.testing.assert_array_equal(both(split)[0].survival_at(sample.exit), both(sample)[0].survival_at(sample.exit))


@relation
@given(sample=samples(delayed=False))
def test_entry_at_zero_is_no_delayed_entry(sample: Sample) -> None:
    for first, second in zip(both(sample), both(sample, entry=None), strict=True):
        same(first, second, exact=True)


@relation
@given(sample=samples(), later=st.lists(st.integers(1, 9), min_size=1, max_size=5))
def test_when_censored_after_the_last_event_does_not_matter(sample: Sample, later: list[int]) -> None:
    last = sample.exit[sample.event == 1].max()
    movable = (sample.event == 0) & (sample.exit > last)
    moved = np.where(movable, last + np.resize(later, len(sample.exit)), sample.exit)
    assume(np.all(moved > sample.entry))
    for first, second in zip(both(sample), both(sample, exit=moved), strict=True):
        for name in ("survival", "cumulative_hazard", "standard_error", "n_at_risk", "lower", "upper"):
            if hasattr(first, name):
                before, after = (getattr(r, name)[r.times <= last] for r in (first, second))
                np.testing.assert_array_equal(before, after, err_msg=name)


@relation
@given(sample=samples())
def test_survival_falls_within_the_unit_interval_and_the_hazard_rises(sample: Sample) -> None:
    curve, total = both(sample)
    steps = np.concatenate([[1.0], curve.survival])
    assert ((steps >= 0) & (steps <= 1)).all()
    assert (np.diff(steps) <= 0).all()
    assert (np.diff(np.concatenate([[0.0], total.cumulative_hazard])) >= 0).all()


@relation
@given(sample=samples())
def test_kaplan_meier_lies_below_the_exponential_of_nelson_aalen(sample: Sample) -> None:
    """1 - x <= exp(-x), term by term; and -log S >= H the other way round."""
    curve, total = both(sample)
    upper = conversions.cumulative_hazard_to_survival(total.cumulative_hazard)
    assert (curve.survival <= upper * (1 + 1e-12)).all()
    assert (conversions.survival_to_cumulative_hazard(curve.survival) >= total.cumulative_hazard * (1 - 1e-12)).all()


@relation
@given(sample=samples(), moments=st.tuples(st.floats(0, 18), st.floats(0, 18), st.floats(0, 18)))
def test_chain_rule_of_conditional_survival(sample: Sample, moments: tuple[float, float, float]) -> None:
    curve, _ = both(sample)
    a, b, c = np.sort(np.minimum(moments, curve.times[-1]))
    chained = curve.conditional_survival(a, b) * curve.conditional_survival(b, c)
    np.testing.assert_allclose(curve.conditional_survival(a, c), chained, rtol=1e-12)
    np.testing.assert_allclose(curve.conditional_survival(0.0, c), curve.survival_at(c), rtol=1e-12)


@relation
@given(sample=samples(), at=st.floats(0.01, 1.0))
def test_restricted_mean_is_the_sum_of_survival_on_a_fine_grid(sample: Sample, at: float) -> None:
    """A step function that jumps on whole days: exact sums over days, and additive over intervals."""
    curve, _ = both(sample)
    horizon = at * float(curve.times[-1])
    edges = np.append(np.arange(np.ceil(horizon)), horizon)
    expected = np.sum(np.diff(edges) * curve.survival_at(edges[:-1]))
    np.testing.assert_allclose(curve.restricted_mean_survival_time(horizon), expected, rtol=1e-12)


@relation
@given(sample=samples(delayed=False))
def test_nelson_aalen_is_events_over_exposure_where_each_interval_is_its_own_period(sample: Sample) -> None:
    """Between neighbouring exits nobody leaves; without entries there the hazard is d / (Y Δ), eq. 6."""
    _, total = both(sample)
    breaks = np.concatenate([[0.0], total.times])
    hazard = conversions.cumulative_hazard_to_hazard(np.append(0.0, total.cumulative_hazard), breaks=breaks)
    exposure = sample.weight @ algebra.exposure_by_period(sample.exit, breaks=breaks)
    np.testing.assert_allclose(hazard, total.n_events / exposure, rtol=1e-9)


@relation
@given(sample=samples(), jitter=st.lists(st.integers(-3, 3), min_size=25, max_size=25))
def test_rounding_of_times_makes_no_new_times(sample: Sample, jitter: list[int]) -> None:
    """A few units in the last place, as differences of floats have them, leave every tie a tie."""
    exit_ = sample.exit * (1 + np.array(jitter[: len(sample.exit)]) * np.finfo(float).eps)
    for first, second in zip(both(sample), both(sample, exit=exit_), strict=True):
        np.testing.assert_allclose(second.times, first.times, rtol=1e-14)
        same(first, second, exact=True, skip=("times", "start"))


@relation
@given(sample=samples(), count=st.integers(1, 4))
def test_counts_are_conserved(sample: Sample, count: int) -> None:
    sets = risk_sets(check_spells(sample.exit, sample.event, entry=sample.entry, weight=sample.weight * count))
    assert sets.n_events.sum() == (sample.weight * sample.event).sum() * count
    assert sets.n_censored.sum() == (sample.weight * (1 - sample.event)).sum() * count
    by_hand = [(sample.weight * count)[(sample.entry < t) & (t <= sample.exit)].sum() for t in sets.times]
    assert sets.n_at_risk.tolist() == by_hand


def test_close_times_never_chain_into_one() -> None:
    """A thousand times, each within the tolerance of the next, span far more than the tolerance."""
    times = 1.0 + 1e-8 * np.arange(1000)
    tied = tie_times(times)
    assert len(np.unique(tied)) == 500
    assert (np.abs(tied - times) <= 1.5e-8).all()
    assert np.array_equal(tie_times(tied), tied)


def test_times_well_apart_are_left_alone_whatever_the_unit() -> None:
    for scale in (1e-12, 1.0, 1e12):
        times = np.array([1.0, 1.000001, 2.0]) * scale
        assert tie_times(times) is times
