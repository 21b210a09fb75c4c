"""The closed-form density of every composition against SciPy, PyMC and finite differences."""

from dataclasses import replace

import numpy as np
import pytest

from churnsurv.models.hierarchical import unit_curvature
from churnsurv.models.hierarchical.density import Centring
from churnsurv.models.hierarchical.layout import walk_basis
from churnsurv.models.hierarchical.model import HierarchicalModel
from churnsurv.models.hierarchical.priors import Normal
from churnsurv.tables.cells import CellTable
from churnsurv.tables.periods import PeriodTable
from tests.models.conftest import shop_table
from tests.models.hierarchical.by_hand import Hazards
from tests.models.hierarchical.compositions import (
    COUNTED,
    COUNTRY,
    NAMES,
    PLAN,
    ROWED,
    TIMED,
    WATCHED,
    Case,
    bound,
    cached_case,
    spells_of,
    tenures,
)
from tests.models.hierarchical.stretches import cells_of, schema_of

BY_INTEGRALS = [name for name in (*WATCHED, *TIMED, *ROWED) if "frailty" in name or name == "all at once"]


@pytest.fixture(params=NAMES)
def case(request):
    return cached_case(request.param)


def natural_parts(density, position):
    """Arguments of the likelihood at a position."""
    natural = density.natural(position)
    return natural.fixed, natural.random, density.frailty_sd(natural.sd)


def differences(f, x, step=1e-5):
    return np.array([(f(x + h) - f(x - h)) / (2 * step) for h in step * np.eye(len(x))])


# By hand ---------------------------------------------------------------------------------------------------------


def test_value_is_the_one_by_hand_at_a_hundred_points(case):
    for position in case.positions(100):
        hand = case.parameters(position)
        value, _ = case.problem.density.value_and_gradient(position)
        assert value == pytest.approx(hand.log_prior + case.log_likelihood(hand.named), rel=1e-10, abs=1e-6)


def test_columns_that_the_model_does_not_use_move_the_constant_alone():
    """Cells are added up over them, which changes the Poisson's constant and nothing else."""
    table = shop_table()
    problem = bound(HierarchicalModel("price", groups=("country",)), table)
    hazards = Hazards(problem, table.schema, table.codes, table.period)
    case = Case("price alone", problem, table, hazards)
    apart = []
    for position in case.positions(5):
        hand = case.parameters(position)
        apart.append(problem.density.value_and_gradient(position)[0] - hand.log_prior - case.log_likelihood(hand.named))
    assert abs(apart[0]) > 1
    np.testing.assert_allclose(apart, apart[0], atol=1e-8)


@pytest.mark.parametrize("name", BY_INTEGRALS)
def test_value_is_an_integral_over_each_customers_frailty(name):
    case = cached_case(name)
    for position in case.positions(1, seed=7):
        hand = case.parameters(position)
        value, _ = case.problem.density.value_and_gradient(position)
        by_integrals = hand.log_prior + case.log_likelihood(hand.named, quadrature=True)
        assert value == pytest.approx(by_integrals, abs=1e-6)


def test_gradient_is_that_of_finite_differences(case):
    density = case.problem.density
    for position in case.positions(3, seed=1):
        _, gradient = density.value_and_gradient(position)
        numeric = differences(lambda x: density.value_and_gradient(x)[0], position)
        np.testing.assert_allclose(gradient, numeric, rtol=1e-5, atol=1e-5 * np.abs(gradient).max())


def test_information_is_that_of_finite_differences(case):
    density = case.problem.density
    fixed, random, frailty_sd = natural_parts(density, case.positions(1, seed=2)[0])

    def slope(effects):
        parts = np.split(effects, [len(fixed)])
        _, by_fixed, by_random, _ = density.likelihood.value_and_slope(*parts, frailty_sd)
        return np.concatenate([by_fixed, by_random])

    found = density.likelihood.information(fixed, random, frailty_sd)
    numeric = -differences(slope, np.concatenate([fixed, random]))
    np.testing.assert_allclose(found, numeric, rtol=1e-5, atol=1e-6 * np.abs(found).max())


@pytest.mark.parametrize("name", [*WATCHED, *(name for name in ROWED if "frailty" in name or "cure" in name)])
def test_information_is_the_same_through_sparse_matrices(name, monkeypatch):
    """The road of very many effects, beside that of few, which the test above takes."""
    case = cached_case(name)
    density = case.problem.density
    at = natural_parts(density, case.positions(1, seed=2)[0])
    dense = density.likelihood.information(*at)
    monkeypatch.setattr(unit_curvature, "_DENSE", 0)
    monkeypatch.setattr(unit_curvature, "_dense_hessian", None)
    sparse = density.likelihood.information(*at)
    np.testing.assert_allclose(sparse, dense, rtol=1e-10, atol=1e-11 * np.abs(dense).max())


def test_pointwise_adds_up_to_the_value(case):
    density = case.problem.density
    for position in case.positions(3, seed=3):
        at = natural_parts(density, position)
        value = density.likelihood.value_and_slope(*at)[0] + density.likelihood.constant
        assert density.likelihood.pointwise(*at).sum() == pytest.approx(value, rel=1e-10)


@pytest.mark.parametrize("name", [*COUNTED, *WATCHED])
def test_expected_events_are_the_slope_in_the_level_of_each_row(name):
    """As many events more than expected as the value climbs when all hazards do."""
    case = cached_case(name)
    density = case.problem.density
    fixed, random, frailty_sd = natural_parts(density, case.positions(1, seed=4)[0])
    expected = density.likelihood.expected(fixed, random, frailty_sd)
    slope = density.likelihood.value_and_slope(fixed, random, frailty_sd)[1][0]
    assert slope == pytest.approx(case.table.n_events.sum() - expected.sum(), rel=1e-9)


# Coordinates -----------------------------------------------------------------------------------------------------


def test_position_and_natural_are_inverse(case):
    density = case.problem.density
    positions = case.positions(5, seed=5)
    for position in positions:
        np.testing.assert_allclose(density.position(density.natural(position)), position, atol=1e-8)
    together, alone = density.natural(positions), density.natural(positions[3])
    for part in ("fixed", "random", "sd", "free"):
        np.testing.assert_allclose(getattr(together, part)[3], getattr(alone, part), rtol=1e-12, atol=1e-14)


def test_parameters_have_the_names_and_values_of_those_by_hand(case):
    position = case.positions(1, seed=6)[0]
    named, coords = case.problem.structure.named(case.problem.density.natural(position[None, None]))
    hand = case.in_own_units(case.parameters(position).named)
    assert set(named) == set(hand) | ({"log_baseline"} if "walk" in hand else set())
    for name, value in hand.items():
        dims, found = named[name]
        assert found.shape == (1, 1, *(len(coords[dim]) for dim in dims))
        np.testing.assert_allclose(found.ravel(), np.ravel(value), rtol=1e-9, atol=1e-12)
    if "walk" in hand:
        np.testing.assert_allclose(named["log_baseline"][1].ravel(), hand["intercept"] + hand["walk"].ravel())


@pytest.mark.parametrize("name", ["plain", "three slopes", "all at once"])
def test_coordinates_change_the_position_not_the_posterior(name):
    """Two coordinates of the same parameters differ in log density by the log Jacobian only."""
    case = cached_case(name)
    mine = case.problem.density
    plain = replace(mine, centring=Centring.plain(mine.layout))

    def log_jacobian(density, position):
        def flat(at):
            natural = density.natural(at)
            return np.concatenate([natural.fixed, natural.random, natural.sd, natural.free])

        return np.linalg.slogdet(differences(flat, position, 1e-6))[1]

    for position in case.positions(2):
        other = plain.position(mine.natural(position))
        one = mine.value_and_gradient(position)[0] - log_jacobian(mine, position)
        two = plain.value_and_gradient(other)[0] - log_jacobian(plain, other)
        assert one == pytest.approx(two, abs=1e-4)


def test_walk_sums_to_zero():
    basis = walk_basis(5)
    np.testing.assert_allclose(basis.sum(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(np.diff(basis, axis=0), np.eye(4), atol=1e-12)


# What the tests themselves stand on --------------------------------------------------------------------------------


def test_cells_by_hand_are_those_that_the_tables_count():
    """Durations with late entry, counted by DuckDB and by the loop that these tests use."""
    stretches = tenures()
    labels = {"plan": PLAN, "country": COUNTRY}
    periods = PeriodTable.from_spells(spells_of(stretches), breaks=[0, 7, 20, 60, 90])
    theirs = CellTable.from_periods(periods, customers=True)
    ours = cells_of(stretches, schema_of(labels, (0, 7, 20, 60, 90), tenure=True))
    np.testing.assert_array_equal(ours.codes, theirs.codes)
    np.testing.assert_array_equal(ours.n_events, theirs.n_events)
    np.testing.assert_allclose(ours.exposure, theirs.exposure, rtol=1e-12)
    for name in theirs.customers.__dataclass_fields__:
        one, other = getattr(ours.customers, name), getattr(theirs.customers, name)
        np.testing.assert_allclose(one, other, rtol=1e-12, err_msg=name)


def test_the_compositions_hold_what_they_are_about():
    """Gaps beyond the last break, several gaps, late entries, months that repeat: none of it by luck."""
    customers = cached_case("cure").table.customers
    assert (customers.latest_event == 0).sum() > 5
    assert (customers.n_followed > customers.n_events[:, 0]).any()
    assert customers.n_events.max() > 2
    assert len(cached_case("immune, late").table.customers.before_period) > 15
    blocks = [block for name in COUNTED for block in cached_case(name).problem.structure.layout.blocks]
    assert {len(block.terms) for block in blocks} == {1, 2, 3}
    names = {piece.name for name in NAMES for piece in cached_case(name).problem.structure.pieces}
    assert names > {"walk", "month", "season", "country_walk", "country_effect", "region:shop_effect"}


def test_defaults_are_scaled_by_the_rate_only(shop_cells):
    frame = HierarchicalModel("plan", groups=("country",)).priors_for(shop_cells).set_index("parameter")
    rate = np.log(shop_cells.n_events.sum() / shop_cells.exposure.sum())
    assert frame.loc["intercept", "prior"] == repr(Normal(round(float(rate), 6), 2.0))
    assert list(frame.index) == ["intercept", "coef", "walk_sd", "country_effect_sd"]


def test_many_positions_at_once_have_the_densities_of_each(case):
    density = case.problem.density
    points = np.array(list(case.positions(7)))
    one_by_one = [density.value_and_gradient(point)[0] for point in points]
    np.testing.assert_allclose(density.log_densities(points), one_by_one, rtol=1e-11, atol=1e-8)
