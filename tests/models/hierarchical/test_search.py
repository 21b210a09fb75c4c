"""The mode is looked for among some of the customers, and moved to where all of them put it."""

from dataclasses import replace

import numpy as np
import pytest

from churnsurv.datasets import load_telco
from churnsurv.errors import DataWarning
from churnsurv.models.hierarchical import mode as mode_module
from churnsurv.models.hierarchical.laplace import K_LIMIT, Approximation
from churnsurv.models.hierarchical.marginal import Laplace, hessian_covariance, marginal_mode
from churnsurv.models.hierarchical.mode import find_mode
from churnsurv.models.hierarchical.model import HierarchicalModel
from churnsurv.models.hierarchical.priors import Normal
from churnsurv.tables.cells import CellTable
from churnsurv.tables.periods import PeriodTable
from tests.models.saved_data import BREAKS, shop_spells, shop_table


@pytest.fixture(scope="module")
def cells():
    return shop_table("frailty", 400)


@pytest.fixture(scope="module")
def cells_of_all_gaps():
    """With breaks that reach the longest gap, as cure needs."""
    periods = PeriodTable.from_spells(shop_spells(400), breaks=[*BREAKS, 190])
    return CellTable.from_periods(periods, customers=True)


@pytest.mark.parametrize(
    "model",
    [
        HierarchicalModel("plan", frailty="gamma"),
        HierarchicalModel("plan", groups=("country",), frailty="gamma"),
        HierarchicalModel(frailty="gamma", cure=True),
    ],
    ids=["frailty", "groups", "cure"],
)
def test_a_search_among_a_third_ends_where_all_customers_put_it(model, cells, cells_of_all_gaps, monkeypatch):
    problem = model.bind(cells_of_all_gaps if model.cure else cells)
    whole = find_mode(problem.density, problem.start)
    monkeypatch.setattr(mode_module, "_SEARCH_UNITS", 130)
    found = find_mode(problem.density, problem.start)
    assert found.density.likelihood is problem.density.likelihood
    one, other = (mode.density.natural(mode.position) for mode in (whole, found))
    spread = np.sqrt(np.diag(whole.covariance))[: len(one.fixed)]
    # Standard deviations of a few levels are wide and skewed: the joint mode lies within them, not at their mean.
    assert np.all(np.abs(one.fixed - other.fixed) < 1.0 * spread)
    assert other.sd[-1] == pytest.approx(one.sd[-1], rel=0.15)


def test_an_approximation_from_a_search_among_some_is_as_good(cells, monkeypatch):
    model = HierarchicalModel("plan", frailty="gamma")
    whole = model.fit(cells, method="laplace", draws=500, rng=1)
    monkeypatch.setattr(mode_module, "_SEARCH_UNITS", 130)
    found = model.fit(cells, method="laplace", draws=500, rng=1)
    assert found.info.pareto_k <= K_LIMIT
    for name in ("intercept", "coef", "frailty_sd"):
        one, other = (fit.posterior["posterior"][name] for fit in (whole, found))
        spread = float(one.std())
        assert abs(float(one.mean() - other.mean())) < 0.15 * spread
        assert float(other.std()) == pytest.approx(spread, rel=0.15)


def test_the_search_ends_at_the_mode_however_many_customers_there_are(cells):
    """A tolerance relative to the log density, of some tens of millions here, once ended it far from there."""
    problem = HierarchicalModel("plan", groups=("country",), frailty="gamma").bind(cells)
    likelihood = problem.density.likelihood
    weight = 50_000.0
    many = replace(
        likelihood, rows=likelihood.rows.with_events(weight * likelihood.rows.events), scale=weight * likelihood.scale
    )
    search = Laplace(problem.density.with_likelihood(many))
    outer, inner = marginal_mode(search, problem.start)

    def value(at):
        return search.solve(at, inner.effects).value

    assert abs(inner.value) > 1e7
    curved = hessian_covariance(value, outer)
    for k, spread in enumerate(np.sqrt(np.diag(curved))):
        for side in (-1.0, 1.0):
            assert value(outer + side * spread * np.eye(len(outer))[k]) < value(outer)


@pytest.fixture(scope="module")
def telco():
    return load_telco()


def test_with_cure_the_higher_of_two_hills_is_climbed(telco):
    """On Telco contracts a share of e^-19 explains who stays as well as contracts do, locally; globally, far less."""
    model = HierarchicalModel("Contract", baseline="weibull", rounded=telco.grain)
    plain, cured = model.bind(telco), replace(model, cure=True).bind(telco)
    nested = find_mode(plain.density, plain.start).position
    found = find_mode(cured.density, cured.start)
    natural = found.density.natural(found.position)
    layout = cured.structure.layout
    at_nested = natural.fixed.copy()
    at_nested[: len(nested)] = nested
    density = cured.density
    best = density.value_and_gradient(density.position(natural))[0]
    for logit in (-25.0, -22.0, -20.0):
        at_nested[layout.place("cure_logit")] = logit
        assert density.value_and_gradient(density.position(replace(natural, fixed=at_nested)))[0] <= best + 1e-6
    assert natural.fixed[layout.place("coef")][-1] < -1.5


@pytest.mark.slow
def test_a_search_that_steps_too_far_finds_its_way_back(telco):
    model = HierarchicalModel("Contract", baseline="weibull", frailty="gamma", rounded=telco.grain)
    problem = model.bind(telco)
    found = find_mode(problem.density, problem.start)
    assert np.all(np.isfinite(found.position))
    assert np.all(np.isfinite(found.covariance))


def test_a_prior_that_the_data_contradict_is_named(cells):
    model = HierarchicalModel(priors={"intercept": Normal(3.0, 0.1)})
    with pytest.warns(DataWarning, match="contradict each other in 1 of 1 parameters: intercept is"):
        model.fit(cells, method="laplace", draws=400, rng=1)


def test_too_few_effective_draws_are_no_answer():
    assert Approximation(np.zeros((1, 1, 1)), 0.3, 126.0).messages(400) == (
        "the importance weights leave 126 effective draws (limit 400).",
    )
    assert Approximation(np.zeros((1, 1, 1)), 0.3, 400.0).messages(400) == ()
