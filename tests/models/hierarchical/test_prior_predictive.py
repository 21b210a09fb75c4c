"""Priors as curves: closed forms, quadrature, every composition."""

import numpy as np
import pytest
from scipy import integrate, stats

from churnsurv.errors import ArgumentError, HorizonError, PriorError
from churnsurv.models.hierarchical.model import HierarchicalModel
from churnsurv.models.hierarchical.prior_draws import draw_from_priors
from churnsurv.models.hierarchical.priors import LKJ, HalfNormal, Normal
from tests.models.hierarchical.compositions import COUNTED, NAMES, ROWED, TIMED, WATCHED, cached_case
from tests.models.hierarchical.known_fits import episodes_of, frail_gaps
from tests.models.hierarchical.stretches import cells_of, schema_of

MODELS = {name: model for name, (model, _) in (COUNTED | WATCHED | ROWED).items()} | TIMED
GAPS = frail_gaps(40, 0.02, 0.5, 200.0, seed=1, n_levels=4)
ONE = schema_of({}, (0, 400))
COUNTRIES = schema_of({"country": "ABCD"}, (0, 400))


def plain(stretches):
    return [type(s)(s.owner, s.spell, (), s.start, s.stop, s.event) for s in stretches]


@pytest.fixture(scope="module")
def one_period():
    return cells_of(plain(GAPS), ONE)


def test_quantiles_are_those_of_an_exponential_with_a_lognormal_rate(one_period):
    prior = Normal(-4.0, 0.8)
    found = HierarchicalModel(priors={"intercept": prior}).prior_predictive(one_period, n_draws=40_000, times=[10, 60])
    table = found.frame().set_index(["quantity", "days"])
    for days in (10, 60):
        for name, tail in (("lower", 0.95), ("median", 0.5), ("upper", 0.05)):
            truth = 100 * np.exp(-np.exp(stats.norm.ppf(tail, -4.0, 0.8)) * days)
            assert table.loc[("survival", days), name] == pytest.approx(truth, abs=0.6)
    event = table.loc[("event", 30.0)]
    assert event["median"] == pytest.approx(100 * (1 - np.exp(-np.exp(-4.0) * 30)), abs=0.6)
    assert found.horizons.tolist() == [30, 90, 365]


def test_frailty_is_integrated_out(one_period):
    """Mean survival against quadrature over both priors."""
    model = HierarchicalModel(frailty="gamma", priors={"intercept": Normal(-4.0, 0.5), "frailty_sd": HalfNormal(0.8)})
    found = model.prior_predictive(one_period, n_draws=20_000, times=[60.0])

    def density(sd, log_rate):
        survival = (1 + sd**2 * np.exp(log_rate) * 60) ** (-1 / sd**2)
        return survival * stats.norm.pdf(log_rate, -4.0, 0.5) * stats.halfnorm.pdf(sd, scale=0.8)

    truth = integrate.dblquad(density, -7, -1, 1e-6, 5, epsabs=1e-6)[0]
    draws = found.survival["reference"][:, 0]
    assert draws.mean() == pytest.approx(truth, abs=4 * draws.std() / np.sqrt(len(draws)))


def test_a_cured_share_never_returns(one_period):
    model = HierarchicalModel(cure=True, priors={"intercept": Normal(3.0, 0.1), "cure_logit": Normal(0.5, 0.6)})
    left = model.prior_predictive(one_period, n_draws=20_000, times=[300.0]).survival["reference"][:, 0]
    for q in (0.1, 0.5, 0.9):
        assert np.quantile(left, q) == pytest.approx(1 / (1 + np.exp(-stats.norm.ppf(q, 0.5, 0.6))), abs=0.01)


def test_weibull_in_days(one_period):
    rows = episodes_of(plain(GAPS), ONE)
    priors = {"intercept": Normal(0.0, 1e-6), "log_shape": Normal(np.log(0.7), 1e-6)}
    model = HierarchicalModel(baseline="weibull", priors=priors)
    scale = model.bind(rows).structure.time_scale
    found = model.prior_predictive(rows, n_draws=20, times=[5.0, 50.0]).survival["reference"][0, :2]
    np.testing.assert_allclose(found, np.exp(-((np.array([5.0, 50.0]) / scale) ** 0.7)), rtol=1e-4)
    told = HierarchicalModel(baseline="weibull", priors={"intercept": Normal(0.0, 1.0)}).priors_for(rows)["meaning"]
    low, high = np.exp(stats.norm.ppf([0.05, 0.95]))
    assert (
        told[0]
        == f"the reference's hazard until day {scale:.3g} adds up to between {low:.2g} and {high:.2g} with probability 90 %"
    )
    told = HierarchicalModel(baseline="lognormal", priors={"location": Normal(0.0, 1.0)}).priors_for(rows)["meaning"]
    assert told[0].startswith(f"the reference's median time lies between {low * scale:.2g} and {high * scale:.2g} days")
    assert "365 days" in model.prior_predictive(rows, n_draws=20).summary()


def test_a_group_at_random_is_as_wide_as_its_prior_says():
    table = cells_of(GAPS, COUNTRIES)
    priors = {"intercept": Normal(-4.0, 0.3), "country_effect_sd": HalfNormal(0.6)}
    found = HierarchicalModel(groups=("country",), priors=priors).prior_predictive(table, n_draws=20_000, times=[50.0])
    log_risk = {name: np.log(-np.log(draws[:, 0])) for name, draws in found.survival.items()}
    assert log_risk["reference"].std() == pytest.approx(0.3, rel=0.03)
    assert log_risk["random group"].std() == pytest.approx(np.hypot(0.3, 0.6), rel=0.03)
    assert set(found.survival) == {"reference", "random group"}


def test_parameters_are_drawn_from_their_priors():
    problem = cached_case("three slopes").problem
    layout, n = problem.density.layout, 20_000
    natural = draw_from_priors(problem.density, n, np.random.default_rng(0))
    named = {name: values for name, (_, values) in problem.structure.named(natural)[0].items()}
    correlation = named["country_effect_correlation"]
    # Any one correlation of three under LKJ(eta) is a Beta(eta + 1/2) on (-1, 1).
    for k in range(3):
        assert stats.kstest((correlation[:, k] + 1) / 2, stats.beta(2.0, 2.0).cdf).pvalue > 1e-3
    assert problem.priors["country_effect_correlation"] == LKJ(1.5)
    sd, effects = named["country_effect_sd"], named["country_effect"]
    np.testing.assert_allclose((effects / sd[:, None]).std(axis=0), 1.0, rtol=0.03)
    pair = (effects[:, 2, 0] / sd[:, 0]) * (effects[:, 2, 1] / sd[:, 1]) - correlation[:, 0]
    assert abs(pair.mean()) < 4 * pair.std() / np.sqrt(n)
    steps = natural.random[:, : layout.n_scalar] / (natural.sd[:, layout.sd_index] * layout.scale)
    assert stats.kstest(steps[:, 0], "norm").pvalue > 1e-3
    np.testing.assert_allclose(named["walk"].sum(axis=1), 0, atol=1e-8)


@pytest.mark.parametrize("name", NAMES)
def test_every_composition_says_something(name):
    case = cached_case(name)
    model = MODELS[name]
    found = model.prior_predictive(case.table, n_draws=60, rng=3)
    for draws in found.survival.values():
        assert draws.shape == (60, len(found.times) + len(found.horizons))
        assert np.all((draws >= 0) & (draws <= 1))
        assert np.all(draws[:, 0] == 1)
        assert np.all(np.diff(draws[:, : len(found.times)], axis=1) <= 1e-12)
    table = found.frame()
    assert ((table["lower"] <= table["median"]) & (table["median"] <= table["upper"])).all()
    again = model.prior_predictive(case.table, n_draws=60, rng=3)
    np.testing.assert_array_equal(again.survival["reference"], found.survival["reference"])
    assert list(model.priors_for(case.table)["parameter"]) == list(case.problem.priors)
    assert model.priors_for(case.table)["meaning"].str.len().min() > 20


def test_words_tell_return_or_churn_and_what_is_not_told(one_period):
    text = str(HierarchicalModel().prior_predictive(one_period))
    assert "have come back" in text
    assert "within 90 days" in text
    assert text.count("all others count as churned") == 1
    late = cached_case("frailty, late")
    text = str(MODELS["frailty, late"].prior_predictive(late.table))
    assert "have churned" in text
    assert "Nothing is said of 365 days: the last break of the periods is 90." in text


def test_refusals(one_period):
    with pytest.raises(ArgumentError, match=r"times reach 500 days, the last break of the periods is 400"):
        HierarchicalModel().prior_predictive(one_period, times=[500])
    with pytest.raises(HorizonError, match="no days from zero on"):
        HierarchicalModel().prior_predictive(one_period, times=[-1.0])
    with pytest.raises(PriorError, match=r"name no parameter of the model: slope[\s\S]*parameters are: intercept"):
        HierarchicalModel(priors={"slope": Normal(0, 1)}).prior_predictive(one_period)
