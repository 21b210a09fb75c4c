"""Drivers of linear fits: by hand, by the ratios of predicted hazards, by the fits' own intervals, and a simulated truth."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import special, stats
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, PolynomialFeatures, StandardScaler

from churnsurv import CellTable, Episodes, OpenSpells, PeriodTable, Silence, SpellTable, Value, simulate_shop
from churnsurv.causes.drivers.contributions import contribution_draws, contributions
from churnsurv.causes.drivers.pieces import FrailtyPiece
from churnsurv.datasets import ReturnEffects
from churnsurv.errors import (
    ArgumentError,
)
from churnsurv.hazards.steps import normal_quantile
from churnsurv.models.cox import CoxModel
from churnsurv.models.discrete import DiscreteHazardModel
from churnsurv.models.hierarchical.model import HierarchicalModel
from churnsurv.models.weibull import WeibullModel
from tests.causes.driver_data import DATA, ROWS, cox_fit, logistic_fit, made_known, shop_periods, weibull_fit
from tests.models.cox_data import rows_of
from tests.models.hierarchical.known_fits import constant, fit_at
from tests.models.rows import episodes, open_rows
from tests.models.saved_data import BREAKS, COMPOSITIONS, FEATURES, made_up_fit, shop_spells


@pytest.fixture(name="cox", scope="module")
def _cox():
    return cox_fit()


@pytest.fixture(name="weibull", scope="module")
def _weibull():
    return weibull_fit()


@pytest.fixture(name="periods", scope="module")
def _periods():
    return shop_periods()


@pytest.fixture(name="logistic", scope="module")
def _logistic():
    return logistic_fit()


def summed(fit, customers, **settings):
    """Contributions by draw, summed over terms, shape (n_draws, n)."""
    return contribution_draws(fit, customers, n_draws=10_000, **settings).sum("term").to_numpy()


# By hand -----------------------------------------------------------------------------------------------------------


def test_a_number_and_a_level_by_hand():
    """Coefficient times distance from the mean; three of eight are annual, and the numbers' mean is 2."""
    table = episodes(
        np.arange(1.0, 9.0), [1, 1, 0, 1, 1, 1, 1, 1],
        {"x": [0, 4, 1, 3, 2, 2, 0, 4], "plan": np.array(list("aabbabbb"), dtype=object)},
    )  # fmt: skip
    with pytest.warns(match="events per term"):
        fit = CoxModel("x + plan").fit(table, draws=3)
    told = contributions(fit, table)
    slope, plan = fit.coef.to_numpy()  # plan[a] against b, which has more time at risk
    assert fit.design.terms == ("x", "plan[a]")
    x = np.array([0, 4, 1, 3, 2, 2, 0, 4.0])
    annual = np.array([1, 1, 0, 0, 1, 0, 0, 0.0])
    np.testing.assert_allclose(
        told.contribution, np.column_stack([slope * (x - 2), plan * (annual - 3 / 8)]), atol=1e-12
    )
    np.testing.assert_allclose(told.whole, slope * (x - 2) + plan * (annual - 3 / 8), atol=1e-12)
    covariance = fit.estimate.covariance
    d = np.column_stack([x - 2, annual - 3 / 8])
    for k in range(2):
        se = np.abs(d[:, k]) * math.sqrt(covariance[k, k])
        np.testing.assert_allclose(told.upper[:, k] - told.contribution[:, k], 1.6448536269514722 * se, atol=1e-12)
    se = np.sqrt([row @ covariance @ row for row in d])
    np.testing.assert_allclose(told.whole_upper - told.whole, 1.6448536269514722 * se, atol=1e-12)
    np.testing.assert_allclose(told.whole - told.whole_lower, 1.6448536269514722 * se, atol=1e-12)
    assert told.values[:3].tolist() == [["0", "a"], ["4", "a"], ["1", "b"]]


def test_the_mean_of_a_cox_fit_is_over_spells_however_they_are_cut():
    """A spell of three rows with x = 9, 9, 9 weighs as much as one with x = 1 in one row."""
    start, stop = [0, 1, 2, 0, 0, 0, 0, 0], [1, 2, 5, 4, 3, 6, 7, 8]
    table = episodes(
        stop, [0, 0, 1, 1, 1, 1, 1, 1], {"x": [9, 9, 9, 1, 2, 5, 3, 4.0]},
        start=start, customer=list("aaabcdef"), spell=[0] * 8,
    )  # fmt: skip
    fit = CoxModel("x").fit(table, draws=2)
    told = contributions(fit, table)
    np.testing.assert_allclose(told.contribution[:, 0], fit.coef.item() * (np.array([9, 9, 9, 1, 2, 5, 3, 4]) - 4.0))


def test_the_mean_of_cells_is_over_time_at_risk():
    """Days at risk in plan "plus", as the table of cells has them."""
    cells = CellTable.from_periods(PeriodTable.from_spells(shop_spells(60), breaks=BREAKS, features=FEATURES))
    fit = made_known(HierarchicalModel("plan"), cells)
    share = cells.exposure[cells.codes[:, 0] == 1].sum() / cells.exposure.sum()
    (place,) = range(len(fit.effects.terms))
    code = fit.effects.terms[place].factors[0][1]
    share = share if code == 1 else 1 - share
    (rows,) = OpenSpells.batches(shop_spells(60), fit.schema)
    coef = fit.posterior["posterior"]["coef"].to_numpy().mean()
    told = contributions(fit, rows)
    np.testing.assert_allclose(told.contribution[:, 0], coef * ((rows.codes[:, 0] == code) - share), atol=1e-12)


def test_the_mean_of_weighted_rows_is_over_weighted_time_at_risk():
    spells = weighted_durations()
    table = Episodes.from_spells(spells)
    fit = made_known(HierarchicalModel("age", baseline="weibull"), table)
    days = (table.stop - table.start) * table.weight
    mean = float(days @ table.values[0] / days.sum())
    told = contributions(fit, table)
    coef = fit.posterior["posterior"]["coef"].to_numpy().mean()
    np.testing.assert_allclose(told.contribution[:, 0], coef * (table.values[0] - mean), atol=1e-10)


def test_the_mean_of_person_periods_is_by_weight():
    """Frequencies, and parts of periods in which durations were censored."""
    periods = PeriodTable.from_spells(weighted_durations(), breaks=[0, 20, 40, 80, 300])
    fit = DiscreteHazardModel(LogisticRegression(C=100.0, max_iter=5000)).fit(periods)
    weight, told = fit.rows.weight, contributions(fit, fit.rows)
    assert np.ptp(weight) > 1
    assert weight @ told.contribution[:, 0] / weight.sum() == pytest.approx(0.0, abs=1e-9)
    assert abs(told.contribution[:, 0].mean()) > 1e-4


def weighted_durations(n=60):
    rng = np.random.default_rng(2)
    frame = pd.DataFrame(
        {
            "who": [f"{k:03}" for k in range(n)], "days": rng.exponential(40, n).round(2) + 1,
            "gone": (rng.random(n) < 0.7).astype(int), "age": rng.normal(40, 8, n).round(1),
            "times": rng.integers(1, 4, n),
        }
    )  # fmt: skip
    return SpellTable.from_durations(
        frame, duration="days", event="gone", unit="day", customer="who", values=["age"], weight="times"
    )


# Two roads to the same number ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["cox", "weibull"])
def test_terms_add_up_to_ratios_of_predicted_hazards_in_every_draw(kind, request):
    """exp(total) is the cumulative hazard of each row over that of the baseline's, at any time, draw by draw."""
    fit = request.getfixturevalue(kind)
    rows = open_rows(ROWS, 0.0, np.arange(25))
    base = {"a": float(DATA["a"][7]), "b": float(DATA["b"][7]), "plan": str(DATA["plan"][7])}
    hazard = fit.predict_cumulative_hazard(rows, [30.0, 120.0])[0].to_numpy()
    expected = np.log(hazard) - np.log(hazard[:, 7:8])
    found = summed(fit, rows, baseline=base)
    np.testing.assert_allclose(found, expected[:, :, 0], atol=1e-10)
    np.testing.assert_allclose(found, expected[:, :, 1], atol=1e-10)
    one = fit.with_draws(1)
    hazard = one.predict_cumulative_hazard(rows, [30.0])[0, 0, :, 0].to_numpy()
    told = contributions(fit, rows, baseline=base)
    np.testing.assert_allclose(np.exp(told.whole), hazard / hazard[7], rtol=1e-10)
    np.testing.assert_allclose(told.contribution.sum(axis=1), told.whole, atol=1e-10)
    assert told.terms == ("a", "b", "plan", "b:plan")
    assert told.values[7].tolist() == [
        f"{base['a']:g}",
        f"{base['b']:g}",
        base["plan"],
        f"{base['b']:g}:{base['plan']}",
    ]


@pytest.mark.parametrize("kind", ["cox", "weibull"])
def test_the_mean_row_is_the_baseline(kind, request):
    """Where every spell is one row, contributions of the training rows have mean zero in every term and draw."""
    fit = request.getfixturevalue(kind)
    found = contribution_draws(fit, ROWS).to_numpy()
    np.testing.assert_allclose(found.mean(axis=1), 0.0, atol=1e-12)
    assert np.abs(found).max() > 0.1


@pytest.mark.parametrize("name", [name for name in COMPOSITIONS if name != "shapes"])
def test_terms_of_hierarchical_fits_add_up_in_every_draw(name):
    """Against the hazard ratios that the fit predicts with, frailties apart; a customer is the baseline."""
    fit, spells = made_up_fit(name), shop_spells(100)
    (rows,) = OpenSpells.batches(spells, fit.schema, history=fit.uses_history, months=fit.carries_months)
    names = [column.name for column in fit.schema.columns]
    used = {k for term in fit.effects.terms for k, _ in term.factors}
    used |= {k for group in fit.structure.groups.values() for k in group.columns if name != "lognormal"}
    numbers = fit.structure.terms.numbers
    base = {names[k]: float(rows.values[k][3]) if k in numbers else str(rows.levels[k][3]) for k in used}
    ratio, sd = fit._predictor.multipliers(rows.codes, rows.values, np.arange(fit.n_draws))
    assert not sd.any()
    expected = np.log(ratio) - np.log(ratio[:, 3:4])
    found = contribution_draws(fit, rows, baseline=base)
    known = [term for term in found.term.values if "frailty" not in term]
    np.testing.assert_allclose(found.sel(term=known).sum("term"), expected, atol=1e-10)
    told = contributions(fit, rows, baseline=base)
    assert told.terms == tuple(found.term.values)
    parts = [k for k, term in enumerate(told.terms) if "frailty" not in term]
    np.testing.assert_allclose(told.contribution[:, parts].sum(axis=1), expected.mean(axis=0), atol=1e-10)
    np.testing.assert_allclose(told.contribution[:, parts], found.sel(term=known).mean("draw"), atol=1e-10)
    for k in parts:
        bounds = np.quantile(found[:, :, k], [0.05, 0.95], axis=0)
        np.testing.assert_allclose(np.stack([told.lower[:, k], told.upper[:, k]]), bounds, atol=1e-10)
    np.testing.assert_allclose(told.contribution.sum(axis=1), told.whole, atol=1e-12)
    whole = np.quantile(found.sum("term"), [0.05, 0.95], axis=0)
    if fit.model.frailty is None:
        np.testing.assert_allclose(np.stack([told.whole_lower, told.whole_upper]), whole, atol=1e-10)


def test_the_mean_of_a_hierarchical_fit_is_that_of_its_log_hazards():
    """Without groups the linear predictor at the mean columns is the mean linear predictor over time at risk."""
    fit = made_up_fit("terms")
    totals, draws = fit.problem.totals, np.arange(fit.n_draws)
    eta = np.log(fit._predictor.multipliers(totals.codes, totals.values, draws)[0])
    mean = eta @ totals.exposure / totals.exposure.sum()
    (rows,) = OpenSpells.batches(shop_spells(100), fit.schema)
    own = np.log(fit._predictor.multipliers(rows.codes, rows.values, draws)[0])
    np.testing.assert_allclose(summed(fit, rows), own - mean[:, None], atol=1e-10)
    assert contributions(fit, rows).terms == ("plan", "country", "plan:country")


def test_terms_of_a_logistic_regression_add_up_to_log_odds(logistic, periods):
    """Customers of one period: the difference of their log odds, predicted; and the mean by hand."""
    (rows,) = OpenSpells.batches(periods.spells, logistic.schema)
    rows = rows.take(np.flatnonzero(rows.reached < BREAKS[1]))
    hazard = logistic.period_hazards(rows)[:, 0]
    odds = np.log(hazard / (1 - hazard))
    base = {"plan": str(rows.levels[0][2]), "country": str(rows.levels[1][2]), "orders": float(rows.values[2][2])}
    told = contributions(logistic, rows, baseline=base)
    assert told.terms == ("plan", "country", "orders")
    np.testing.assert_allclose(told.whole, odds - odds[2], atol=1e-9)
    np.testing.assert_allclose(told.contribution.sum(axis=1), told.whole, atol=1e-12)
    np.testing.assert_allclose(summed(logistic, rows, baseline=base)[0], told.whole, atol=1e-12)
    assert np.isnan(told.lower).all()
    assert np.isnan(told.upper).all()
    assert np.isnan(told.whole_lower).all()
    assert math.isnan(told.ci_prob)
    assert "no bounds" in told.caveats[0]
    assert told.scale == "log odds of the event in a period"
    # Against the mean: contributions of the training rows have mean zero in every term.
    training = contributions(logistic, logistic.rows)
    np.testing.assert_allclose(training.contribution.mean(axis=0), 0.0, atol=1e-9)
    assert np.abs(training.contribution).max() > 0.05


def test_an_own_preparation_and_a_search_add_up_too(periods):
    """Columns are told apart by what moves them, whatever the preparation is called."""
    scaled = make_pipeline(StandardScaler(), PolynomialFeatures(2, include_bias=True))
    prepare = ColumnTransformer(
        [("numbers", scaled, ["orders"]), ("texts", OneHotEncoder(sparse_output=False), ["country", "period"])]
    )
    search = GridSearchCV(make_pipeline(LogisticRegression(max_iter=2000)), {"logisticregression__C": [0.5, 2.0]}, cv=2)
    fit = DiscreteHazardModel(search, preparation=prepare).fit(periods)
    (rows,) = OpenSpells.batches(periods.spells, fit.schema)
    rows = rows.take(np.flatnonzero(rows.reached < BREAKS[1]))
    base = {"country": str(rows.levels[1][2]), "orders": float(rows.values[2][2]), "plan": str(rows.levels[0][2])}
    hazard = fit.period_hazards(rows)[:, 0]
    odds = np.log(hazard / (1 - hazard))
    told = contributions(fit, rows, baseline=base)
    np.testing.assert_allclose(told.whole, odds - odds[2], atol=1e-9)
    assert not told.contribution[:, told.terms.index("plan")].any()  # nothing is made of it
    assert np.ptp(told.contribution[:, told.terms.index("orders")]) > 0.01


# Intervals ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("repeated", [False, True])
def test_one_step_has_the_interval_of_the_summary(repeated):
    """Where x is one more than the baseline's, bounds are those of the hazard ratio; robust where customers repeat."""
    customer = [f"c{k // 4}" for k in range(400)] if repeated else None
    table = rows_of(DATA, columns=("a",), customer=customer, spell=np.arange(400) % 4 if repeated else None)
    row = table.take(np.array([5]))
    base = {"a": float(DATA["a"][5]) - 1.0}
    cox, weibull = CoxModel("a").fit(table, draws=2), WeibullModel("a").fit(table, draws=2)
    assert (cox.estimate.robust is not None) == repeated
    for fit, lower, upper in ((cox, "lower", "upper"), (weibull, "hazard_ratio_lower", "hazard_ratio_upper")):
        told, summary = contributions(fit, row, baseline=base, ci_prob=0.8), fit.summary(0.8).iloc[0]
        frame = told.frame().iloc[0]
        assert frame["hazard_ratio"] == pytest.approx(summary["hazard_ratio"], rel=1e-12)
        assert math.exp(frame["lower"]) == pytest.approx(summary[lower], rel=1e-10)
        assert math.exp(frame["upper"]) == pytest.approx(summary[upper], rel=1e-10)
        assert told.total()["lower"].item() == pytest.approx(frame["lower"], abs=1e-12)


def test_levels_of_a_weibull_fit_have_the_sign_of_the_hazard():
    """A time ratio above 1 is a hazard ratio below 1."""
    fit = WeibullModel("plan").fit(ROWS, draws=2)
    told = contributions(fit, ROWS, baseline={"plan": "monthly"})
    annual = DATA["plan"] == "annual"
    ratio = fit.hazard_ratios(0.9).iloc[0]
    np.testing.assert_allclose(told.contribution[annual, 0], ratio["log_hazard_ratio"], rtol=1e-10)
    np.testing.assert_allclose(told.contribution[~annual, 0], 0.0, atol=0)
    np.testing.assert_allclose(np.exp(told.upper[annual, 0]), ratio["upper"], rtol=1e-10)
    assert np.sign(told.contribution[annual, 0][0]) == -np.sign(fit.coef.item())


def test_closed_bounds_are_those_of_many_draws(weibull):
    """Quantiles of 20,000 draws of the normal approximation: within the error of the delta method and of chance."""
    rows = ROWS.take(np.arange(12))
    told = contributions(weibull, rows)
    drawn = contribution_draws(weibull.with_draws(20_000, rng=3), rows).to_numpy()
    for bound, share in ((told.lower, 0.05), (told.upper, 0.95)):
        np.testing.assert_allclose(bound, np.quantile(drawn, share, axis=0), atol=0.02)
    np.testing.assert_allclose(told.whole_upper, np.quantile(drawn.sum(axis=-1), 0.95, axis=0), atol=0.02)


def test_bounds_of_a_level_are_those_of_the_summary_of_a_posterior():
    fit = made_up_fit("terms", draws=400)
    cells = fit.problem.totals
    assert len(cells.codes) > 5
    (rows,) = OpenSpells.batches(shop_spells(100), fit.schema)
    labels = {column.name: column.labels for column in fit.schema.columns}
    reference = {
        fit.schema.columns[k].name: fit.schema.columns[k].labels[code] for k, code in fit.effects.references.items()
    }
    told = contributions(fit, rows, baseline=reference).frame()
    plan = next(level for level in labels["plan"] if level != reference["plan"])
    here = told[(told["term"] == "plan") & (told["value"] == plan)].iloc[0]
    summary = fit.summary(0.9)
    row = summary[(summary["column"] == "plan") & (summary["level"] == plan)].iloc[0]
    assert math.exp(here["lower"]) == pytest.approx(row["lower"], rel=2e-3)  # quantiles between draws, of logs
    assert math.exp(here["upper"]) == pytest.approx(row["upper"], rel=2e-3)
    assert here["lower"] < here["contribution"] < here["upper"]


# Groups and frailties -------------------------------------------------------------------------------------------------


def test_a_new_group_has_mean_zero_and_the_spread_of_levels():
    spells = shop_spells(60)
    table = CellTable.from_periods(PeriodTable.from_spells(spells, breaks=BREAKS, features=FEATURES))
    model = HierarchicalModel("plan", groups=("country",))
    fit = with_sd(made_known(model, table, n_draws=4000), 0.5)
    (rows,) = OpenSpells.batches(spells, fit.schema)
    codes = rows.codes.copy()
    codes[:5, 1] = -1
    levels = (rows.levels[0], np.where(codes[:, 1] < 0, "Narnia", rows.levels[1]))
    new = replace(rows, codes=codes, levels=levels)
    assert fit.new_group(new)[:5].all()
    told = contributions(fit, new, n_draws=4000)
    place = told.terms.index("country (group)")
    assert told.values[0, place] == "Narnia"
    np.testing.assert_array_equal(told.contribution[:5, place], 0.0)
    np.testing.assert_allclose(told.upper[:5, place], 0.5 * normal_quantile(0.9), atol=0.04)
    np.testing.assert_allclose(told.lower[:5, place], -0.5 * normal_quantile(0.9), atol=0.04)
    effect = fit.posterior["posterior"]["country_effect"].to_numpy().reshape(4000, -1)
    known = np.flatnonzero(codes[:, 1] >= 0)
    np.testing.assert_allclose(told.contribution[known, place], effect.mean(axis=0)[codes[known, 1]], atol=1e-12)
    # Against a level that is named, the new one is further away by as much.
    named = contributions(fit, new, baseline={"country": "B"}, n_draws=4000)
    at = fit.schema.columns[1].labels.index("B")
    np.testing.assert_allclose(named.contribution[:5, place], -effect[:, at].mean(), atol=1e-12)
    assert not named.contribution[codes[:, 1] == at, place].any()
    again = contributions(fit, new, n_draws=4000, rng=0)
    np.testing.assert_array_equal(told.upper, again.upper)
    assert np.any(contributions(fit, new, n_draws=4000, rng=1).upper != told.upper)


def with_sd(fit, sd):
    """The same fit with one standard deviation between levels in all draws."""
    dataset = fit.posterior["posterior"].to_dataset().copy(deep=True)
    dataset["country_effect_sd"] = dataset["country_effect_sd"] * 0 + sd
    return replace(fit, posterior=xr.DataTree.from_dict({"posterior": dataset}))


def test_a_new_level_with_slopes_spreads_as_predictions_say():
    """Standard deviations of a new level's whole effect, correlations included, against those of the predictor."""
    fit = made_up_fit("weibull", draws=50)
    (rows,) = OpenSpells.batches(shop_spells(100), fit.schema)
    codes = rows.codes.copy()
    codes[:, 1] = -1
    new = replace(rows, codes=codes)
    _, sd = fit._predictor.multipliers(codes, rows.values, np.arange(fit.n_draws))
    drawn = contribution_draws(fit, new, rng=np.random.default_rng(8)).sel(term="country (group)").to_numpy()
    noise = np.random.default_rng(8).standard_normal(fit.n_draws)
    np.testing.assert_allclose(drawn, sd * noise[:, None], rtol=1e-10)
    assert np.ptp(sd) > 0.05


RATE, VARIANCE = 0.04, 0.6


@pytest.fixture(scope="module")
def frail():
    """Constant hazard of 0.04 a day, frailties of variance 0.6, in all of 3,000 draws."""
    spells = shop_spells(40)
    cells = CellTable.from_periods(
        PeriodTable.from_spells(spells, breaks=[*BREAKS, 190], features=FEATURES), customers=True
    )
    model = HierarchicalModel("plan", frailty="gamma")
    layout = model.bind(cells).structure.layout
    sd = np.full(layout.n_sd, 0.1)
    sd[-1] = math.sqrt(VARIANCE)
    return fit_at(model, cells, constant(3000, [math.log(RATE), 0.0], sd, n_random=layout.n_random))


def test_what_a_past_says_is_the_gamma_posterior_of_the_frailty(frail):
    """d events in H = rate × days at risk: gamma with shape 1/θ + d and rate 1/θ + H, by hand from the spells."""
    spells = shop_spells(40)
    told = contributions(frail, spells, n_draws=3000)
    place = told.terms.index("customer (frailty)")
    frame = spells.frame()
    for i in (0, 7, 20):
        own = frame[frame["customer_id"] == told.customer_id[i]]
        events, hazard = int(own["event"].sum()), RATE * float((own["exit"] - own["entry"]).sum())
        shape, rate = 1 / VARIANCE + events, 1 / VARIANCE + hazard
        expected = special.digamma(shape) - math.log(rate)
        assert told.contribution[i, place] == pytest.approx(expected, abs=1e-6)
        bounds = np.log(stats.gamma.ppf([0.05, 0.95], shape) / rate)
        spread = float(np.diff(bounds)[0])
        assert told.lower[i, place] == pytest.approx(bounds[0], abs=0.05 * spread)
        assert told.upper[i, place] == pytest.approx(bounds[1], abs=0.05 * spread)
        assert told.values[i, place] == f"{events} earlier event{'' if events == 1 else 's'}"
    # With a coefficient of zero, all that tells customers apart is their past.
    np.testing.assert_allclose(told.contribution[:, 0], 0.0, atol=1e-12)
    np.testing.assert_allclose(told.whole, told.contribution[:, place], atol=1e-12)


def test_log_frailties_of_small_shapes_do_not_underflow():
    """Shape 1/200: a gamma variable is 0 in floating point more often than not, its log is about -200."""
    piece = FrailtyPiece.drawn(
        np.full((4000, 1), 200.0), np.full((4000, 1), 0.1), np.zeros(1), np.random.default_rng(0)
    )
    assert np.isfinite(piece.sampled).all()
    mean = special.digamma(1 / 200) - math.log(1 / 200 + 0.1)
    assert piece.expected[0, 0] == pytest.approx(mean)
    assert piece.sampled.mean() == pytest.approx(mean, abs=4 * 200 / math.sqrt(4000))


def test_frailties_need_the_past(frail, refuses):
    (rows,) = OpenSpells.batches(shop_spells(40), frail.schema)
    with refuses(ArgumentError, "what is behind them", "history=True"):
        contributions(frail, rows)
    with refuses(ArgumentError, "Patterns do not say what is behind them"):
        contributions(frail, Patterns(frail.schema, rows.codes[:4]))


class Patterns:
    """Rows with nothing but a pattern."""

    def __init__(self, schema, codes):
        self.schema, self.codes = schema, codes


# Simulated truth ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def true_shop():
    plain = {"high_value": 0.0, "previous_late": 0.0, "previous_wait": (0.0, 0.0, 0.0), "previous_rating": 0.0}
    effects = ReturnEffects(**plain)  # what a model leaves out would draw the effects of what it knows towards zero
    shop = simulate_shop(1500, rng=3, frailty_variance=0.0, season_amplitude=0.0, effects=effects)
    churn = Silence(("order",), 90, merge=None, terminal=("closed",))
    spells = SpellTable.from_events(shop.log, shop.window, churn)
    features = [Value("order", "country", name="country"), Value("order", "category", name="category")]
    return shop.truth, spells, PeriodTable.from_spells(spells, features=features)


def test_simulated_truth_lies_within_the_bounds(true_shop):
    """Log rates of countries and categories are known; 99 % bounds of six contrasts, of one fit of a fixed seed."""
    truth, spells, periods = true_shop
    base = {"country": "Germany", "category": "kitchen"}
    effects = {"country": dict(truth.countries), "category": dict(truth.effects.category)}
    table = Episodes.from_periods(periods).with_cause("return")
    for model in (CoxModel("country + category"), WeibullModel("country + category")):
        told = contributions(model.fit(table, draws=2), spells.with_cause("return"), baseline=base, ci_prob=0.99)
        frame = told.frame().drop_duplicates(["term", "value"])
        assert len(frame) == 7
        for row in frame.itertuples():
            expected = effects[row.term][row.value] - effects[row.term][base[row.term]]
            assert row.lower - 1e-12 <= expected <= row.upper + 1e-12, row
            # Germans and kitchens are the baseline itself; of the others, who returns less is likelier to churn.
            assert row.raises_churn == (row.contribution < 0)
        assert told.event == "return"
        assert told.churn_sign == -1
