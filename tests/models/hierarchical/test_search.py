"""The mode is looked for among some of the customers, and moved to where all of them put it."""

from dataclasses import replace

import numpy as np
import pytest

from churnsurv.models.hierarchical import mode as mode_module
from churnsurv.models.hierarchical.laplace import K_LIMIT
from churnsurv.models.hierarchical.mode import Laplace, find_mode
from churnsurv.models.hierarchical.model import HierarchicalModel
from tests.models.saved_data import shop_table


@pytest.fixture(scope="module")
def cells():
    return shop_table("frailty", 400)


@pytest.mark.parametrize(
    "model",
    [
        HierarchicalModel("plan", frailty="gamma"),
        HierarchicalModel("plan", groups=("country",), frailty="gamma"),
        HierarchicalModel(frailty="gamma", cure=True),
    ],
    ids=["frailty", "groups", "cure"],
)
def test_a_search_among_a_third_ends_where_all_customers_put_it(model, cells, monkeypatch):
    problem = model.bind(cells)
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
    outer, inner = mode_module._marginal_mode(
        search, np.append(problem.start, np.zeros(problem.structure.layout.n_random))
    )

    def value(at):
        return search.solve(at, inner.effects).value

    assert abs(inner.value) > 1e7
    curved = mode_module._hessian_covariance(value, outer)
    for k, spread in enumerate(np.sqrt(np.diag(curved))):
        for side in (-1.0, 1.0):
            assert value(outer + side * spread * np.eye(len(outer))[k]) < value(outer)
