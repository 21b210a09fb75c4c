"""Rows and their compiled likelihood: slopes, curvatures, blocks, threads, weights, joined rows, samples."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from churnsurv.errors import ArgumentError
from churnsurv.models.hierarchical import fused as fused_module
from churnsurv.models.hierarchical.baselines import BASELINES, POISSON
from churnsurv.models.hierarchical.cells import CellRows, IndependentCells, carried
from churnsurv.models.hierarchical.fused import FusedRows
from churnsurv.models.hierarchical.linear import Linear, RandomPart
from churnsurv.models.hierarchical.rows import ParametricRows, centring_time, collapse
from tests.models.hierarchical.rows_data import plain_rows, rich_rows, some_effects

STEP = 1e-5


def whole(of, effects):
    """Value and slopes in all effects as one vector."""
    value, by_fixed, by_random, by_frailty = of.value_and_slope(*effects, None)
    assert by_frailty == 0.0
    return value, np.concatenate([by_fixed, by_random])


def moved(effects, k, by):
    both = np.concatenate(effects)
    both[k] += by
    return both[: len(effects[0])], both[len(effects[0]) :]


@pytest.mark.parametrize("name", BASELINES)
def test_slope_and_information_are_those_of_the_value(name):
    rows = rich_rows(name)
    fused, effects = FusedRows(rows), some_effects(rows)
    _, slope = whole(fused, effects)
    information = fused.information(*effects, None)
    for k in range(len(slope)):
        (up, up_slope), (down, down_slope) = (whole(fused, moved(effects, k, sign * STEP)) for sign in (1, -1))
        assert slope[k] == pytest.approx((up - down) / (2 * STEP), rel=1e-5, abs=1e-5)
        np.testing.assert_allclose(information[k], (down_slope - up_slope) / (2 * STEP), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", BASELINES)
def test_rows_in_arrays_are_the_compiled_rows(name):
    rows = rich_rows(name, window=False)
    effects = some_effects(rows)
    forward = rows.forward(*effects)
    fused = FusedRows(rows)
    value, slope = whole(fused, effects)
    assert forward.log_hazard - rows.weight @ forward.cumulative == pytest.approx(value + fused.constant, rel=1e-12)
    np.testing.assert_allclose(np.concatenate(rows.backward(forward, -rows.weight)), slope, rtol=1e-10, atol=1e-10)
    assert rows.weighted_event @ rows.log_rates(*effects) == pytest.approx(forward.log_hazard, rel=1e-14)


@pytest.mark.parametrize("name", BASELINES)
def test_jacobian_and_curvature_are_those_of_the_cumulative_hazards(name):
    rows = rich_rows(name, n=60)
    effects, score = some_effects(rows), np.random.default_rng(3).normal(size=60)
    forward = rows.forward(*effects)
    jacobian = rows.jacobian(forward) @ rows.transform
    curvature = carried(rows.transform, rows.curvature(forward, score))
    for k in range(rows.n_fixed + rows.n_random):
        up, down = (rows.forward(*moved(effects, k, sign * STEP)) for sign in (1, -1))
        slopes = (up.cumulative - down.cumulative) / (2 * STEP)
        np.testing.assert_allclose(jacobian[:, [k]].toarray()[:, 0], slopes, rtol=1e-5, atol=1e-5)
        ahead, behind = (np.concatenate(rows.backward(one, score)) for one in (up, down))
        np.testing.assert_allclose(curvature[k], (ahead - behind) / (2 * STEP), rtol=1e-5, atol=1e-5)


def test_poisson_rows_are_cells():
    rng, n = np.random.default_rng(4), 50
    basis = np.tril(np.ones((6, 6)), -1)[:, :5]
    period = RandomPart(0, 5, rng.integers(0, 6, n), None, basis)
    linear = Linear(np.column_stack([np.ones(n), rng.normal(size=n)]), np.arange(2), (period,), 2, 5)
    days, events = rng.exponential(30.0, n), rng.poisson(2.0, n).astype(float)
    rows = FusedRows(ParametricRows(POISSON, np.zeros(n), days, events, linear, (), 1.0))
    cells = IndependentCells(CellRows(events, linear), days)
    effects = some_effects(rows)
    (value, slope), (expected, expected_slope) = whole(rows, effects), whole(cells, effects)
    assert value + rows.constant == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(slope, expected_slope, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(rows.information(*effects, None), cells.information(*effects, None), rtol=1e-11)


@pytest.mark.parametrize("name", BASELINES)
def test_a_stretch_cut_in_many_is_one_stretch(name):
    rows = plain_rows(name, "event")
    n, cuts = rows.n_rows, np.array([0.0, 1e-9, 0.2, 0.21, 0.9, 1.0])
    pieces = [
        replace(rows, start=rows.stop * a, stop=rows.stop * b, event=rows.event * (b == 1.0)) for a, b in pairwise(cuts)
    ]
    linear = rows.linear.take(np.tile(np.arange(n), len(pieces)))
    shapes = tuple(one.take(np.tile(np.arange(n), len(pieces))) for one in rows.shapes)
    start, stop, event = (np.concatenate([getattr(p, f) for p in pieces]) for f in ("start", "stop", "event"))
    cut = FusedRows(
        ParametricRows(rows.baseline, start, stop, event, linear, shapes, rows.t0), unit=np.tile(np.arange(n), 5)
    )
    one, effects = FusedRows(rows), some_effects(rows)
    assert cut.constant == pytest.approx(one.constant, rel=1e-14)
    np.testing.assert_allclose(whole(cut, effects)[0], whole(one, effects)[0], rtol=1e-11)
    np.testing.assert_allclose(whole(cut, effects)[1], whole(one, effects)[1], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(cut.pointwise(*effects, None), one.pointwise(*effects, None), rtol=1e-10)
    np.testing.assert_allclose(cut.information(*effects, None), one.information(*effects, None), rtol=1e-8, atol=1e-8)


def test_a_weight_is_a_repetition():
    rows = replace(rich_rows("weibull", n=60), weight=np.tile([1.0, 2.0, 3.0], 20))
    again = np.repeat(np.arange(60), rows.weight.astype(int))
    weighted, repeated = FusedRows(rows), FusedRows(replace(rows.take(again, np.ones(120)), weight=None))
    effects = some_effects(rows)
    assert weighted.constant == pytest.approx(repeated.constant, rel=1e-14)
    assert whole(weighted, effects)[0] == pytest.approx(whole(repeated, effects)[0], rel=1e-13)
    np.testing.assert_allclose(whole(weighted, effects)[1], whole(repeated, effects)[1], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(
        weighted.information(*effects, None), repeated.information(*effects, None), rtol=1e-11, atol=1e-11
    )


@pytest.fixture(scope="module")
def many():
    return rich_rows("weibull", n=70_001, seed=6)


def test_threads_change_no_bit(many):
    effects = some_effects(many)
    one, two, five = (whole(FusedRows(many, n_threads=k), effects) for k in (1, 2, 5))
    assert one[0] == two[0] == five[0]
    np.testing.assert_array_equal(one[1], two[1])
    np.testing.assert_array_equal(one[1], five[1])


def test_blocks_add_up_to_all_rows(many, monkeypatch):
    effects = some_effects(many)
    fused = FusedRows(many)
    assert len(fused._bounds) > 2
    found, information = whole(fused, effects), fused.information(*effects, None)
    monkeypatch.setattr(fused_module, "_BLOCK", 100_000)
    monkeypatch.setattr(fused_module, "_AT_ONCE", 100_000)
    alone = FusedRows(many)
    assert len(alone._bounds) == 2
    assert found[0] == pytest.approx(whole(alone, effects)[0], rel=1e-13)
    np.testing.assert_allclose(found[1], whole(alone, effects)[1], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(information, alone.information(*effects, None), rtol=1e-10, atol=1e-8)
    assert fused.pointwise(*effects, None).sum() == pytest.approx(found[0] + fused.constant, rel=1e-12)


def test_equal_rows_are_joined_and_nothing_changes():
    rows = rich_rows("lognormal", n=50)
    drawn = np.random.default_rng(7).integers(0, 50, 400)
    many = rows.take(drawn, np.random.default_rng(8).uniform(0.5, 2.0, 400))
    joined = collapse(many)
    assert joined.n_rows == len(np.unique(drawn))
    assert joined.weights.sum() == pytest.approx(many.weights.sum(), rel=1e-14)
    effects, fused = some_effects(rows), FusedRows(many)
    assert fused.joined.n_rows == joined.n_rows
    forward = many.forward(*effects)
    inside = many.window
    within = np.log(-np.expm1(-forward.cumulative[inside]))
    expected = forward.log_hazard - many.weights[~inside] @ forward.cumulative[~inside] + many.weights[inside] @ within
    assert whole(fused, effects)[0] + fused.constant == pytest.approx(expected, rel=1e-12)
    assert fused.pointwise(*effects, None).shape == (400,)


@pytest.mark.parametrize("field", ["start", "stop", "event", "window", "x", "level", "value", "shape"])
def test_rows_that_differ_in_anything_stay_apart(field):
    rows = rich_rows("weibull", n=10, window=False)
    twice = rows.take(np.repeat(np.arange(10), 4), np.ones(40))
    assert collapse(twice).n_rows == 10
    odd = np.arange(40) == 3
    part = twice.linear.parts[0]
    x = twice.linear.x + 1e-12 * odd[:, None]
    changes = {
        "start": {"start": twice.start * (1 - 1e-12 * odd) + 1e-9 * odd},
        "stop": {"stop": twice.stop * (1 + 1e-12 * odd)},
        "event": {"event": np.where(odd, 1.0 - twice.event, twice.event)},
        "window": {"event": np.where(odd, 0.0, twice.event), "window": odd},
        "x": {"linear": replace(twice.linear, x=x)},
        "level": {
            "linear": replace(twice.linear, parts=(replace(part, level=part.level ^ odd), *twice.linear.parts[1:]))
        },
        "value": {
            "linear": replace(
                twice.linear, parts=(replace(part, value=part.value + 1e-12 * odd[:, None]), *twice.linear.parts[1:])
            )
        },
        "shape": {"shapes": (replace(twice.shapes[0], x=twice.shapes[0].x + 1e-12 * odd[:, None]),)},
    }
    assert collapse(replace(twice, **changes[field])).n_rows == 11


def test_few_equal_rows_are_left_alone():
    rows = rich_rows("weibull", n=50)
    assert collapse(rows) is rows
    most = rows.take(np.concatenate([np.arange(50), np.arange(40)]), np.ones(90))
    assert collapse(most) is most


def test_a_sample_is_right_on_average():
    rows = rich_rows("weibull", n=300)
    unit = np.random.default_rng(9).integers(0, 100, 300)
    fused, effects = FusedRows(rows, unit=unit, n_units=100), some_effects(rows)
    assert fused.sample(100, np.random.default_rng(0)) is fused
    parts = [fused.sample(50, np.random.default_rng(seed)) for seed in range(400)]
    values = [whole(part, effects)[0] + part.constant for part in parts]
    expected = whole(fused, effects)[0] + fused.constant
    assert abs(np.mean(values) - expected) < 4 * np.std(values) / 20
    assert parts[0].pointwise(*effects, None).shape == (50,)
    assert parts[0].rows.n_rows < 300


def test_units_are_sums_of_their_rows():
    rows = rich_rows("lognormal", n=30)
    unit = np.repeat(np.arange(10), 3)
    effects = some_effects(rows)
    each = FusedRows(rows).pointwise(*effects, None)
    np.testing.assert_allclose(
        FusedRows(rows, unit, 12).pointwise(*effects, None), [*each.reshape(10, 3).sum(axis=1), 0.0, 0.0], rtol=1e-14
    )


def test_centring_time_is_the_geometric_mean_of_events():
    stop, event = np.array([1.0, 9.0, 50.0]), np.array([1.0, 1.0, 0.0])
    assert centring_time(stop, event) == pytest.approx(3.0)
    assert centring_time(stop, event, np.array([1.0, 3.0, 1.0])) == pytest.approx(9.0**0.75)
    assert centring_time(stop[:2], np.zeros(2)) == pytest.approx(3.0)


def test_rows_out_of_order_are_refused():
    rows = rich_rows("weibull", n=4, window=False)
    with pytest.raises(ArgumentError, match=r"1 of 4 rows are no stretch of time .*row 1: \(") as caught:
        replace(rows, start=np.where(np.arange(4) == 1, rows.stop + 1.0, 0.0))
    assert "0 <= start <= stop" in str(caught.value)
    with pytest.raises(ArgumentError, match="4 of 4"):
        replace(rows, event=np.ones(4), window=np.ones(4, dtype=bool))
    with pytest.raises(ArgumentError, match="0 predictors of shape for 1"):
        replace(rows, shapes=())
