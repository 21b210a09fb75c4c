"""Published retention projected beyond the years that were fitted, against likelihoods written out with SciPy.

Fader, P. S. and Hardie, B. G. S. (2007). How to project customer retention. *Journal of Interactive Marketing* 21(1), 76-90.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, stats
from scipy.special import betaln

from churnsurv.datasets.retention import SEGMENTS, load_retention, retention_spells
from churnsurv.models.hierarchical.model import HierarchicalModel
from churnsurv.models.hierarchical.priors import Normal
from churnsurv.models.weibull import WeibullModel
from churnsurv.risk.predict import churn_risk
from churnsurv.tables.episodes import Episodes

YEAR = 365.25
NEARLY_ONE = {"log_shape": Normal(0.0, 0.05)}
FRAILTY = HierarchicalModel(baseline="weibull", frailty="gamma", rounded=YEAR)
PARETO = HierarchicalModel(baseline="weibull", frailty="gamma", rounded=YEAR, priors=NEARLY_ONE)


def published(segment):
    """Per cent still there after 1 to 12 years."""
    table = load_retention()
    return table.loc[(table["segment"] == segment) & (table["year"] > 0), "percent"].to_numpy()


def counts(segment):
    """Customers who left in years 1 to 7, and those still there."""
    there = np.concatenate([[1000], np.round(10 * published(segment)[:7])])
    return np.append(-np.diff(there), there[-1])


def grouped(survival, segment):
    """Log-likelihood of the years in which customers left, for survival after 0 to 7 years."""
    return counts(segment)[:-1] @ np.log(-np.diff(survival)) + counts(segment)[-1] * np.log(survival[-1])


def burr(level, log_shape, sd, years, scale):
    """Survival under a Weibull hazard times a gamma frailty: Burr XII, and Pareto II where the shape is one."""
    hazard = np.exp(level) * (years * YEAR / scale) ** np.exp(log_shape)
    return (1.0 + sd**2 * hazard) ** (-1.0 / sd**2)


def largest(log_likelihood, start):
    """Maximum of a function of a few unbounded numbers."""
    settings = {"xatol": 1e-6, "fatol": 1e-8, "maxiter": 4000}
    found = optimize.minimize(lambda x: -log_likelihood(x), start, method="Nelder-Mead", options=settings)
    assert found.success
    return found.x, -found.fun


@pytest.fixture(scope="module")
def rows(engine):
    return {name: Episodes.from_spells(retention_spells(name, weighted=True, engine=engine)) for name in SEGMENTS}


@pytest.fixture(scope="module")
def fitted(rows):
    """Fits to seven years, each made once."""
    made = {}

    def fit(model, segment):
        key = (repr(model), segment)
        if key not in made:
            settings = {} if isinstance(model, WeibullModel) else {"method": "laplace", "draws": 200}
            made[key] = model.fit(rows[segment], rng=1, **settings)
            assert made[key].info.status == "ok"
        return made[key]

    return fit


@pytest.fixture(scope="module")
def curve(rows, fitted):
    """Draws of the per cent still there after 1 to 12 years, of a model fitted to seven."""

    def draws(model, segment):
        survival = fitted(model, segment).predict_survival_function(rows[segment], np.arange(1, 13) * YEAR)
        return 100 * survival.isel(customer=0).values.reshape(-1, 12)

    return draws


@pytest.mark.parametrize(
    ("segment", "alpha", "beta"), [("Regular", 0.704, 1.182), ("High End", 0.668, 3.806)], ids=SEGMENTS
)
def test_the_table_gives_the_estimates_that_the_paper_prints(segment, alpha, beta):
    """A shifted beta-geometric distribution of years, S(t) = B(alpha, beta + t) / B(alpha, beta)."""

    def survival(log_parameters):
        a, b = np.exp(log_parameters)
        return np.exp(betaln(a, b + np.arange(8)) - betaln(a, b))

    found, _ = largest(lambda x: grouped(survival(x), segment), [0.0, 0.0])
    assert np.exp(found) == pytest.approx([alpha, beta], abs=6e-4)


@pytest.mark.parametrize("segment", SEGMENTS)
def test_spells_hold_the_published_counts(segment, engine):
    arrays = retention_spells(segment, engine=engine).arrays()
    left = [np.sum((arrays["exit"] <= t * YEAR) & (arrays["event"] == 1)) for t in range(1, 8)]
    assert left == (1000 - np.round(10 * published(segment)[:7])).tolist()
    assert retention_spells(segment, years=12, engine=engine).n_open == 10 * published(segment)[-1]


def test_faults_are_named(refuses):
    from churnsurv.errors import ArgumentError

    with refuses(ArgumentError, "segment='Gold'", "Regular"):
        retention_spells("Gold")
    with refuses(ArgumentError, "years=13", "1 to 12"):
        retention_spells(years=13)


@pytest.mark.parametrize("segment", SEGMENTS)
def test_the_likelihood_is_that_of_grouped_burr_times(rows, engine, segment):
    """At random points, from eight weighted rows and from a thousand."""
    whole = Episodes.from_spells(retention_spells(segment, engine=engine))
    few, many = FRAILTY.bind(rows[segment]), FRAILTY.bind(whole)
    scale = few.structure.time_scale
    assert many.structure.time_scale == pytest.approx(scale, rel=1e-12)
    rng, empty = np.random.default_rng(5), np.zeros(0)
    for _ in range(20):
        level, log_shape, sd = rng.normal(-0.5, 0.7), rng.normal(0, 0.4), rng.uniform(0.1, 2.5)
        wanted = grouped(burr(level, log_shape, sd, np.arange(8), scale), segment)
        for problem in (few, many):
            likelihood = problem.density.likelihood
            value = likelihood.value_and_slope(np.array([level, log_shape]), empty, sd)[0]
            assert value + likelihood.constant == pytest.approx(wanted, abs=1e-6)


def exact(problem, segment, shape_prior):
    """Posterior means of the per cent still there after 1 to 12 years, by summing over a grid."""
    prior = problem.priors["intercept"]
    level, log_shape, sd = np.meshgrid(
        np.linspace(-2.5, 2.5, 64), np.linspace(-4, 4, 33) * shape_prior, np.linspace(0.05, 3.5, 50), indexing="ij"
    )
    years, scale = np.arange(13)[:, None, None, None], problem.structure.time_scale
    survival = burr(level, log_shape, sd, years, scale)
    value = grouped_on_grid(survival[:8], segment) + stats.norm.logpdf(level, prior.mean, prior.sd)
    value += stats.norm.logpdf(log_shape, 0, shape_prior) + stats.halfnorm.logpdf(sd)
    weight = np.exp(value - value.max())
    return 100 * (survival[1:] * weight).sum((1, 2, 3)) / weight.sum()


def grouped_on_grid(survival, segment):
    shares = np.maximum(np.concatenate([-np.diff(survival, axis=0), survival[-1:]]), 1e-300)
    return np.tensordot(counts(segment), np.log(shares), 1)


@pytest.mark.parametrize(
    ("model", "segment", "shape_prior"),
    [(PARETO, "Regular", 0.05), (PARETO, "High End", 0.05), (FRAILTY, "High End", 0.5)],
)
def test_the_projection_is_the_exact_posterior_mean(rows, curve, model, segment, shape_prior):
    draws = curve(model, segment)
    error = 4 * draws.std(axis=0) / np.sqrt(400)  # at least half of the 800 draws count as independent
    assert np.all(np.abs(draws.mean(axis=0) - exact(model.bind(rows[segment]), segment, shape_prior)) < error)


@pytest.mark.parametrize("segment", SEGMENTS)
def test_pareto_two_by_scipy_projects_the_same(curve, segment):
    """The grouped exponential-gamma likelihood at its maximum, two parameters, without any prior."""
    found, _ = largest(lambda x: grouped(burr(x[0], 0.0, np.exp(x[1]), np.arange(8), YEAR), segment), [0.0, 0.0])
    projected = 100 * burr(found[0], 0.0, np.exp(found[1]), np.arange(1, 13), YEAR)
    assert curve(PARETO, segment).mean(axis=0) == pytest.approx(projected, abs=0.5)


def test_a_frailty_projects_what_a_plain_weibull_misses(curve):
    """Mean absolute error in points over years 8 to 12, of a fit to years 1 to 7."""
    errors = {}
    for segment in SEGMENTS:
        for name, model in {"plain": WeibullModel(rounded=YEAR), "pareto": PARETO}.items():
            draws, truth = curve(model, segment)[:, 7:], published(segment)[7:]
            low, high = np.quantile(draws, [0.05, 0.95], axis=0)
            errors[segment, name] = np.abs(draws.mean(axis=0) - truth).mean(), np.sum((low <= truth) & (truth <= high))
    assert errors["Regular", "plain"][0] > 2.4
    assert errors["High End", "plain"][0] > 3.8
    assert errors["Regular", "pareto"][0] < 0.5
    assert errors["High End", "pareto"][0] < 1.6
    assert [errors[segment, "pareto"][1] for segment in SEGMENTS] == [5, 5]
    assert max(errors[segment, "plain"][1] for segment in SEGMENTS) <= 2
    truth = published("High End")[7:]
    assert np.abs(curve(FRAILTY, "High End")[:, 7:].mean(axis=0) - truth).mean() < 0.4


def test_those_still_there_are_counted_ahead(fitted, engine):
    """491 of the High End were left after seven years, 394 after twelve: 97 leave in five years."""
    risk = churn_risk(fitted(FRAILTY, "High End"), retention_spells("High End", engine=engine), horizon=5 * YEAR, rng=1)
    total = risk.totals().iloc[0]
    assert total["n_customers"] == 491
    assert total["expected"] == pytest.approx(97, abs=6)
    assert total["lower"] < 97 < total["upper"]
    assert set(risk.frame()["status"]) == {"extrapolated"}
