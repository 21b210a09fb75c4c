"""The closed-form density against PyMC, SciPy and finite differences."""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from scipy import stats

from churnsurv.models.hierarchical.density import Centring
from churnsurv.models.hierarchical.mode import find_mode
from churnsurv.models.hierarchical.model import HierarchicalModel
from churnsurv.models.hierarchical.priors import Exponential, HalfNormal, Normal, StudentT
from churnsurv.models.hierarchical.problem import build_problem
from churnsurv.models.hierarchical.reference import reference_model, reference_point
from tests.models.conftest import shop_table

MODEL = HierarchicalModel(
    "plan * price",
    groups=("country",),
    priors={"coef": StudentT(4, 0, 0.7), "country_effect_sd": Exponential(0.3), "walk_sd": HalfNormal(0.8)},
)


@lru_cache
def bound():
    """Problem in the coordinates of its mode, and the mode."""
    cells = shop_table()
    problem = build_problem(MODEL, cells, MODEL.resolved_priors(cells))
    mode = find_mode(problem.density)
    return replace(problem, density=mode.density), mode.position


@pytest.fixture
def problem():
    return bound()[0]


def positions(n, seed=0):
    start = bound()[1]
    return start + np.random.default_rng(seed).normal(0, 0.5, (n, len(start)))


def by_scipy(problem, position):
    """The log posterior written out with SciPy, cell by cell, in natural terms plus the Jacobian."""
    density, design = problem.density, problem.density.design
    level, soft, z = density.split(position)
    sd = density.centring.knee * np.log1p(np.exp(soft))
    jacobian = np.log(density.centring.knee) - np.log1p(np.exp(-soft))
    own = sd[design.sd_index]
    spread = np.sqrt(1 + density.centring.information * own**2)
    random = design.scale * (density.centring.rotation @ (own / spread * z))
    fixed = level - density.centring.shear @ random
    steps = design.n_periods - 1
    walk = np.concatenate([[0], np.cumsum(random[:steps])])
    walk -= walk.mean()
    total = stats.norm.logpdf(z, 0, spread).sum() + jacobian.sum()
    total += stats.norm.logpdf(fixed[0], density.intercept_prior.mean, density.intercept_prior.sd)
    total += stats.t.logpdf(fixed[1:], 4, 0, 0.7).sum()
    total += stats.halfnorm.logpdf(sd[0], 0, 0.8) + stats.expon.logpdf(sd[1], 0, 0.3)
    for p in range(len(design.x)):
        for j in range(design.n_periods):
            log_hazard = fixed[0] + walk[j] + design.x[p] @ fixed[1:] + random[steps + design.groups[0][p]]
            total += stats.poisson.logpmf(design.events[p, j], design.exposure[p, j] * np.exp(log_hazard))
    return total


def test_value_equals_scipy_at_100_points(problem):
    for position in positions(100):
        value, _ = problem.density.value_and_gradient(position)
        assert value == pytest.approx(by_scipy(problem, position), rel=1e-9, abs=1e-6)


def test_gradient_equals_finite_differences(problem):
    for position in positions(20, seed=1):
        _, gradient = problem.density.value_and_gradient(position)
        steps = 1e-5 * np.eye(len(position))
        f = lambda x: problem.density.value_and_gradient(x)[0]  # noqa: E731
        numeric = np.array([(f(position + h) - f(position - h)) / 2e-5 for h in steps])
        np.testing.assert_allclose(gradient, numeric, rtol=1e-5, atol=1e-4)


def test_value_and_gradient_equal_pymc_at_100_points(problem):
    model = reference_model(problem)
    value_of, slope_of = model.compile_logp(mode="FAST_COMPILE"), model.compile_dlogp(mode="FAST_COMPILE")
    names = [variable.name for variable in model.continuous_value_vars]
    for position in positions(100, seed=2):
        point = reference_point(problem, position)
        value, gradient = problem.density.value_and_gradient(position)
        assert value == pytest.approx(float(value_of(point)), rel=1e-9, abs=1e-6)
        theirs = slope_of(point)
        by_name = dict(zip(names, np.split(theirs, np.cumsum([point[n].size for n in names])[:-1]), strict=True))
        ours = reference_point(problem, gradient)
        for name in names:
            np.testing.assert_allclose(ours[name].ravel(), by_name[name], rtol=1e-6, atol=1e-6)


def test_position_and_natural_are_inverse(problem):
    for position in positions(5):
        np.testing.assert_allclose(problem.density.position(problem.density.natural(position)), position, atol=1e-9)


def test_coordinates_change_the_position_not_the_posterior(problem):
    """Two coordinates of the same parameters differ in log density by the log Jacobian only."""
    plain = replace(problem.density, centring=Centring.plain(problem.density.design))

    def jacobian(density, position):
        eps = 1e-6

        def flat(at):
            natural = density.natural(at)
            return np.concatenate([natural.fixed, natural.random, natural.sd])

        columns = [(flat(position + h) - flat(position - h)) / (2 * eps) for h in eps * np.eye(len(position))]
        return np.linalg.slogdet(np.column_stack(columns))[1]

    for position in positions(3):
        natural = problem.density.natural(position)
        other = plain.position(natural)
        mine = problem.density.value_and_gradient(position)[0] - jacobian(problem.density, position)
        theirs = plain.value_and_gradient(other)[0] - jacobian(plain, other)
        assert mine == pytest.approx(theirs, abs=1e-4)


def test_walk_sums_to_zero(problem):
    basis = problem.density.design.walk_basis()
    np.testing.assert_allclose(basis.sum(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(np.diff(basis, axis=0), np.eye(len(basis) - 1), atol=1e-12)


def test_defaults_are_scaled_by_the_rate_only(shop_cells):
    frame = HierarchicalModel("plan", groups=("country",)).priors_for(shop_cells).set_index("parameter")
    rate = np.log(shop_cells.n_events.sum() / shop_cells.exposure.sum())
    assert frame.loc["intercept", "prior"] == repr(Normal(round(float(rate), 6), 2.0))
    assert list(frame.index) == ["intercept", "coef", "walk_sd", "country_effect_sd"]
