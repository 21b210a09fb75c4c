"""Criticism of a fit: customers left out against exact answers, curves of those at risk, restricted means."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import integrate
from scipy.special import gammaln, logsumexp

from churnsurv.errors import ArgumentError, CellMismatchError, DefinitionError, HorizonError, ModelSupportError
from churnsurv.models.competing_rows import CauseRows
from churnsurv.models.hierarchical.checks import EARLIER_EVENTS
from churnsurv.models.hierarchical.comparison import (
    compare,
    customer_likelihood,
    natural_of,
    score_customers,
    stacking_weights,
)
from churnsurv.models.hierarchical.density import Natural
from churnsurv.models.hierarchical.in_turn import InTurn, cut_at, expected_events, thinned
from churnsurv.models.hierarchical.lifetimes import days_ahead
from churnsurv.models.hierarchical.model import HierarchicalModel
from churnsurv.models.hierarchical.prior_draws import draw_from_priors
from churnsurv.models.hierarchical.priors import HalfNormal, Normal
from churnsurv.tables.past import History
from tests.models.hierarchical.compositions import NAMES, cached_case
from tests.models.hierarchical.known_fits import constant, episodes_of, fit_at, frail_gaps
from tests.models.hierarchical.stretches import Stretch, cells_of, schema_of

RATE, VARIANCE = 0.03, 0.8
ONE = schema_of({"kind": "AB"}, (0, 400))
FEW = frail_gaps(14, RATE, 0.2, 150.0, seed=4)
MANY = frail_gaps(400, RATE, VARIANCE, 250.0, seed=5)
PRIORS = {"intercept": Normal(-3.5, 0.8)}
PLAIN = HierarchicalModel(priors=PRIORS)
FRAIL = HierarchicalModel(frailty="gamma", priors={**PRIORS, "frailty_sd": HalfNormal(1.0)})


def histories(stretches):
    """Events and days at risk of each customer."""
    owners = np.array([s.owner for s in stretches])
    events = np.bincount(owners, [s.event for s in stretches])
    return events, np.bincount(owners, [s.stop - s.start for s in stretches])


def log_marginal(events, days, log_rate, sd):
    """Log density of a customer's history at one rate and spread of the frailty, by the negative binomial integral."""
    if sd is None:
        return events * log_rate - days * np.exp(log_rate)
    a = sd**-2
    rise = gammaln(a + events) - gammaln(a) + a * np.log(a)
    return events * log_rate + rise - (a + events) * np.log(a + days * np.exp(log_rate))


def grid_of(stretches, frail, log_rate, sd):
    """Log posterior on a grid of both parameters, and each customer's part of it."""
    spread = sd[None] if frail else None
    prior = -0.5 * ((log_rate[:, None] + 3.5) / 0.8) ** 2 - (0.5 * spread**2 if frail else 0.0)
    parts = (log_marginal(d, t, log_rate[:, None], spread) for d, t in zip(*histories(stretches), strict=True))
    return prior, parts


def exact_leave_one_out(stretches, frail):
    """Log predictive density of each customer given all others."""
    prior, parts = grid_of(stretches, frail, np.linspace(-7.5, 0.0, 700), np.linspace(0.005, 6.0, 500))
    each = np.stack(list(parts))
    total = prior + each.sum(axis=0)
    return np.array([logsumexp(total) - logsumexp(total - one) for one in each])


def exact_fit(model, stretches, table, ranges, n_draws, seed=0):
    """A fit whose draws are independent, from the posterior on a fine grid."""
    log_rate, sd = (np.linspace(*ends, 400) for ends in ranges)
    prior, parts = grid_of(stretches, model.frailty, log_rate, sd)
    total = prior + sum(parts)
    weight = np.exp(total - total.max()).ravel()
    rng = np.random.default_rng(seed)
    row, column = np.unravel_index(rng.choice(len(weight), n_draws, p=weight / weight.sum()), total.shape)
    moved = [values[k] + rng.uniform(-0.5, 0.5, n_draws) * (values[1] - values[0])
             for values, k in ((log_rate, row), (sd, column))]  # fmt: skip
    spread = moved[1][:, None] if model.frailty else np.zeros((n_draws, 0))
    natural = Natural(moved[0][:, None], np.zeros((n_draws, 0)), spread, np.zeros((n_draws, 0)))
    return fit_at(model, table, natural)


@pytest.fixture(scope="module")
def few():
    return cells_of(FEW, ONE)


@pytest.mark.parametrize("model", [PLAIN, FRAIL], ids=["plain", "frailty"])
def test_leaving_customers_out_is_exact(few, model):
    fit = exact_fit(model, FEW, few, ((-5.5, -2.0), (0.01, 4.0)), 4000)
    scores = score_customers(fit, most_draws=4000)
    exact = exact_leave_one_out(FEW, model.frailty)
    assert scores.khat.max() < 0.7
    np.testing.assert_allclose(scores.elpd, exact, atol=0.06)
    assert scores.elpd.sum() == pytest.approx(exact.sum(), abs=0.1)
    # Customers left in foretell themselves better than all others do, by about a unit for each parameter.
    assert 0.3 < scores.p_loo.sum() < 5


def test_the_units_of_cells_are_customers_and_add_up(few):
    fit = fit_at(PLAIN, few, constant(3, [np.log(RATE)]))
    likelihood = customer_likelihood(fit, "plain")
    each = likelihood.pointwise(np.array([np.log(RATE)]), np.zeros(0), None)
    events, days = histories(FEW)
    np.testing.assert_allclose(each, log_marginal(events, days, np.log(RATE), None), rtol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_named_draws_are_carried_back(name):
    """The parameters that the likelihood takes, from the names of the posterior; customers add up to the whole."""
    problem = cached_case(name).problem
    natural = draw_from_priors(problem.density, 5, np.random.default_rng(2))
    flat = {key: values for key, (_, values) in problem.structure.named(natural)[0].items()}
    found = natural_of(SimpleNamespace(structure=problem.structure, _flat=flat), np.arange(5))
    for part in ("fixed", "random", "sd"):
        np.testing.assert_allclose(getattr(found, part), getattr(natural, part), rtol=1e-9, atol=1e-10)


@pytest.fixture(scope="module")
def many():
    return cells_of(MANY, ONE)


@pytest.fixture(scope="module")
def fits(many):
    ranges = ((-4.2, -2.8), (0.4, 1.6))
    models = {"plain": PLAIN, "frailty": FRAIL}
    return {name: exact_fit(model, MANY, many, ranges, 500) for name, model in models.items()}


def test_frailty_beats_none_where_customers_differ(fits):
    found = compare(fits)
    table = found.frame().set_index("name")
    assert list(table.index) == ["frailty", "plain"]
    assert table.loc["plain", "difference"] < -2 * table.loc["plain", "difference_se"] < 0
    assert table.loc["plain", "verdict"].startswith("worse")
    assert table["weight"].sum() == pytest.approx(1)
    assert table.loc["frailty", "weight"] > 0.8
    assert "400 customers left out" in str(found)
    # One rate for all customers has about as many effective parameters as their histories are overdispersed.
    assert 0.5 < table.loc["frailty", "p_loo"] < 6


def test_equal_fits_are_not_distinguishable(fits):
    found = compare({"one": fits["plain"], "other": fits["plain"]}).frame()
    assert found["difference"].tolist() == [0, 0]
    assert found["verdict"].tolist()[1].startswith("not distinguishable")
    np.testing.assert_allclose(found["weight"], 0.5)


def test_some_customers_stand_for_all(fits):
    whole = compare(fits).frame().set_index("name")
    some = compare(fits, most_customers=200).frame().set_index("name")
    assert abs(some.loc["plain", "elpd_loo"] - whole.loc["plain", "elpd_loo"]) < 4 * some.loc["plain", "se"]
    assert some.loc["plain", "se"] > whole.loc["plain", "se"]


def test_stacking_is_the_best_mixture():
    elpd = np.random.default_rng(0).normal(size=(3, 50)) - np.array([1000.0, 1000.2, 1001.0])[:, None]
    weights = stacking_weights(elpd)
    best = logsumexp(elpd + np.log(weights)[:, None], axis=0).sum()
    for other in np.random.default_rng(1).dirichlet(np.ones(3), 200):
        assert logsumexp(elpd + np.log(other)[:, None], axis=0).sum() <= best + 1e-9


def test_what_cannot_be_compared_is_refused(fits, few, many):
    plain = fits["plain"]
    with pytest.raises(ArgumentError, match="two fits or more"):
        compare({"plain": plain})
    with pytest.raises(ArgumentError, match="saved: a loaded fit holds no data"):
        compare({"plain": plain, "saved": replace(plain, problem=None)})
    with pytest.raises(CellMismatchError, match="plain and other were not made on the same table"):
        compare({"plain": plain, "other": fit_at(PLAIN, few, constant(3, [-3.5]))})
    nobody = fit_at(PLAIN, replace(many, customers=None), constant(3, [-3.5]))
    with pytest.raises(ModelSupportError, match=r"nobody: [\s\S]*customers=True"):
        compare({"plain": plain, "nobody": nobody})
    short = schema_of({"kind": "AB"}, (0, 40))
    rows = episodes_of(MANY, short)
    walk = fit_at(PLAIN, rows, constant(3, [-3.5]))
    curve = fit_at(HierarchicalModel(baseline="weibull"), rows, constant(3, [-3.5, 0.0]))
    with pytest.raises(CellMismatchError, match="beyond the last break"):
        compare({"walk": walk, "curve": curve})
    weighted = fit_at(PLAIN, replace(rows, weight=np.full(len(rows), 2.0)), constant(3, [-3.5]))
    with pytest.raises(ModelSupportError, match="weights"):
        compare({"one": weighted, "two": weighted})


# What a fit would have said in turn -----------------------------------------------------------------------------------

STORY = [
    Stretch(0, 1, (0,), 0.0, 20.0, True),
    Stretch(0, 2, (1,), 0.0, 5.0, True),
    Stretch(0, 3, (0,), 0.0, 60.0, False),
    Stretch(1, 1, (0,), 0.0, 100.0, False),
]


def test_a_customer_in_turn_by_hand():
    """Third gap of a customer who came back after 20 and 5 days, from day 10 to 30 of it."""
    sd = 0.7
    model = HierarchicalModel("kind", frailty="gamma")
    fit = fit_at(model, cells_of(STORY, ONE), constant(2, [np.log(RATE), 0.5], [sd]))
    found = InTurn(fit, episodes_of(STORY, ONE)).survival(
        np.array([2, 3]), np.array([10.0, 50.0]), np.array([30.0, 60.0]), np.array([0, 1])
    )
    a, slow, fast = sd**-2, RATE, RATE * np.exp(0.5)
    if fit.effects.references[0] == 1:
        slow, fast = RATE * np.exp(0.5), RATE
    past = 20 * slow + 5 * fast + 10 * slow
    expected = ((a + past) / (a + past + 20 * slow)) ** (a + 2)
    other = ((a + 50 * slow) / (a + 60 * slow)) ** a
    np.testing.assert_allclose(found, [[expected, other]] * 2, rtol=1e-12)


@pytest.mark.parametrize("tenure", [False, True])
def test_in_turn_is_the_conditional_survival_given_the_history(tenure):
    """Two roads to one number, with frailty and a cured share."""
    schema = schema_of({"kind": "AB"}, (0, 30, 400), tenure=tenure)
    story = [Stretch(0, 1, (0,), 4.0 * tenure, 20.0, not tenure), *([] if tenure else STORY[1:3]), STORY[3]]
    model = HierarchicalModel("kind", frailty="gamma", cure=True)
    table = cells_of([*story, Stretch(2, 1, (1,), 0.0, 9.0, True)], schema)
    natural = constant(1, [np.log(RATE), 0.4, -0.5], [0.3, 0.8], n_random=1)
    fit = fit_at(model, table, natural)
    rows = episodes_of(story, schema)
    last = len(story) - 2
    now = InTurn(fit, rows).survival(np.array([last]), np.array([15.0]), np.array([19.0]), np.array([0]))
    history = History(
        place=np.zeros(last + 1, int),
        start=rows.start[: last + 1],
        stop=np.append(rows.stop[:last], 15.0),
        event=np.append(rows.event[:last], 0),
        codes=rows.codes[: last + 1],
        values=(None,),
        outside=np.zeros(last + 1, bool),
        current=np.arange(last + 1) == last,
        entry=rows.start[: last + 1],
    )
    asked = replace(CauseRows.of(rows, schema).take(np.array([last])), reached=np.array([15.0]), history=history)
    np.testing.assert_allclose(fit.conditional_survival(asked, np.array([[19.0]]))[0], now, rtol=1e-12)


def test_cut_at_leaves_nothing_out():
    rng = np.random.default_rng(3)
    start = rng.uniform(0, 50, 40)
    stop, times = start + rng.exponential(30, 40), np.array([0.0, 3.0, 20.0, 21.0, 60.0])
    row, part = cut_at(start, stop, times)
    days = np.minimum(stop[row], times[part + 1]) - np.maximum(start[row], times[part])
    assert days.min() > 0
    inside = np.minimum(stop, 60.0) - np.minimum(start, 60.0)
    np.testing.assert_allclose(np.bincount(row, days, 40), inside, atol=1e-12)


def test_events_less_their_expectation_are_a_martingale():
    """Over many logs of the true model the mean excess is nothing, in every stretch of time and group."""
    excess, expected = [], []
    times = np.array([0.0, 5.0, 20.0, 60.0, 250.0])
    for seed in range(12):
        stretches = frail_gaps(120, RATE, VARIANCE, 250.0, seed=100 + seed)
        rows = episodes_of(stretches, ONE)
        fit = fit_at(FRAIL, cells_of(stretches, ONE), constant(1, [np.log(RATE)], [np.sqrt(VARIANCE)]))
        told = expected_events(InTurn(fit, rows), np.arange(len(rows)), times, np.array([0]))
        seen = np.histogram(rows.stop[rows.event > 0], times)[0]
        excess.append(seen - told.events[0])
        expected.append(told.events[0])
    total, variance = np.sum(excess, axis=0), np.sum(expected, axis=0)
    assert np.all(np.abs(total) < 3.5 * np.sqrt(variance))
    # Not so for the average customer's survival: it would expect far fewer.
    assert variance[0] > 1.3 * 12 * 120 * RATE * 5


def test_thinning_keeps_whole_customers(many):
    followed = InTurn(fit_at(PLAIN, many, constant(1, [-3.5])), episodes_of(MANY, ONE))
    kept = thinned(followed, 500)
    assert 400 < len(kept) < 700
    owners = np.unique(followed.owner[kept])
    assert len(kept) == np.isin(followed.owner, owners).sum()


def test_a_check_finds_what_is_wrong_and_nothing_else(fits):
    rows = episodes_of(MANY, ONE)
    times = [5, 10, 20, 40, 60, 80, 100, 150]
    good = fits["frailty"].check_survival(rows, EARLIER_EVENTS, times=times)
    bad = fits["plain"].check_survival(rows, EARLIER_EVENTS, times=times)
    assert good["outside"].mean() < 0.3
    assert bad["outside"].mean() > 0.6
    assert (good["n_at_risk"] >= 10).all()
    everyone = fits["frailty"].check_survival(rows, times=times)
    assert everyone["group"].unique().tolist() == ["everyone"]
    assert everyone["outside"].sum() <= 2
    assert ((everyone["lower"] <= everyone["median"]) & (everyone["median"] <= everyone["upper"])).all()
    assert everyone["observed"].is_monotonic_decreasing
    assert fits["plain"].check_survival(rows, "kind", times=[20])["group"].tolist() == ["A"]


def test_a_check_of_what_is_not_there_is_refused(fits):
    with pytest.raises(ArgumentError, match=r"by='plan' is no column[\s\S]*kind, 'earlier events'"):
        fits["plain"].check_survival(episodes_of(MANY, ONE), "plan")
    spells = SimpleNamespace(churn="other", timezone="UTC", cause=None)
    with pytest.raises(DefinitionError, match="the spells follow other"):
        fits["plain"].check_survival(spells)


# Restricted means -----------------------------------------------------------------------------------------------------


def asked(fit, reached, history=None):
    n, schema = len(reached), fit.schema
    names = np.array([f"c{k}" for k in range(n)], dtype=object)
    codes = np.zeros((n, len(schema.columns)), int)
    levels = tuple(np.array([c.labels[0]] * n, dtype=object) for c in schema.columns)
    return CauseRows(schema, names, np.array(reached), codes, levels, (None,) * len(levels), history)


def test_the_remaining_lifetime_of_an_exponential(few):
    fit = fit_at(PLAIN, few, constant(3, [np.log(RATE)]))
    found = fit.expected_remaining_lifetime(asked(fit, [0.0, 33.0, 320.0]), 100.0)
    assert found.dims == ("chain", "draw", "customer")
    truth = (1 - np.exp(-RATE * 100)) / RATE
    np.testing.assert_allclose(found.values[0, :, :2], truth, rtol=1e-10)
    assert np.isnan(found.values[..., 2]).all()
    rmst = fit.predict_restricted_mean_survival_time(asked(fit, [0.0]), 100.0)
    np.testing.assert_allclose(rmst.values, truth, rtol=1e-10)


def test_the_remaining_lifetime_under_frailty_is_lomax(few):
    """A customer with two returns after 20 and 5 days, silent for 30 days now."""
    sd = 0.7
    fit = fit_at(FRAIL, few, constant(2, [np.log(RATE)], [sd]))
    one = np.zeros(3, int)
    history = History(
        place=one, start=np.zeros(3), stop=np.array([20.0, 5.0, 30.0]), event=np.array([1, 1, 0]),
        codes=one[:, None], values=(None,), outside=np.zeros(3, bool), current=np.array([False, False, True]),
        entry=np.zeros(3),
    )  # fmt: skip
    found = fit.expected_remaining_lifetime(asked(fit, [30.0], history), 200.0)
    shape, scale = sd**-2 + 2, (sd**-2 + 55 * RATE) / RATE
    truth = scale / (shape - 1) * (1 - (1 + 200.0 / scale) ** (1 - shape))
    np.testing.assert_allclose(found.values, truth, rtol=1e-6)
    with pytest.raises(HorizonError, match="no number of days"):
        fit.expected_remaining_lifetime(asked(fit, [30.0]), 0.0)


@pytest.mark.parametrize("shape", [0.4, 1.6])
def test_the_remaining_lifetime_of_a_weibull(shape):
    rows = episodes_of(FEW, ONE)
    model = HierarchicalModel(baseline="weibull")
    fit = fit_at(model, rows, constant(1, [0.2, np.log(shape)]))
    scale = fit.structure.time_scale * np.exp(-0.2 / shape)
    for reached in (0.0, 10.0):
        truth = integrate.quad(
            lambda u, r=reached: np.exp((r / scale) ** shape - ((r + u) / scale) ** shape), 0, 500, limit=400
        )[0]
        found = days_ahead(fit, asked(fit, [reached]), 500.0)
        np.testing.assert_allclose(found, truth, rtol=2e-5)
