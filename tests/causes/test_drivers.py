"""Drivers as a table: which way is towards churn, who is told nothing, saved fits, and every refusal."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import PolynomialFeatures
from sklearn.tree import DecisionTreeClassifier

import churnsurv
from churnsurv import CellTable, Episodes, OpenSpells, PeriodTable, Silence, SpellTable
from churnsurv.causes.drivers.contributions import Contributions, contribution_draws, contributions
from churnsurv.causes.drivers.table import churn_sign
from churnsurv.errors import (
    ArgumentError,
    CellMismatchError,
    DataTypeError,
    DefinitionError,
    EmptyDataError,
    ModelSupportError,
    NonFiniteError,
)
from churnsurv.models.competing import CompetingFits
from churnsurv.models.cox import CoxModel
from churnsurv.models.discrete import DiscreteHazardModel
from churnsurv.models.hierarchical.model import HierarchicalModel
from churnsurv.models.kaplan_meier import KaplanMeierModel
from churnsurv.models.weibull import WeibullModel
from churnsurv.tables.contracts import Cancellation
from churnsurv.tables.person_periods import PersonPeriods
from tests.causes.driver_data import DATA, ROWS, cox_fit, logistic_fit, made_known, shop_periods, weibull_fit
from tests.models.cox_data import rows_of, simulated
from tests.models.rows import open_rows
from tests.models.saved_data import BREAKS, FEATURES, made_up_causes, made_up_fit, shop_spells


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


# Towards churn --------------------------------------------------------------------------------------------------------


def test_a_lower_return_raises_churn_and_a_lower_cancellation_does_not():
    contract = Cancellation(("cancelled",), origin="kind:signup")
    shop, service = ROWS, rows_of(DATA, churn=contract)
    for table, sign in ((shop, -1), (service, 1)):
        fit = CoxModel("a").fit(table, draws=2)
        told = contributions(fit, table)
        assert fit.coef.item() > 0.3
        above = DATA["a"] > DATA["a"].mean()
        assert told.churn_sign == sign
        np.testing.assert_array_equal(told.raises_churn[:, 0], above if sign == 1 else ~above)
        top = told.top(1)
        np.testing.assert_allclose(top["toward_churn"], sign * top["contribution"])
        assert (told.top(1, raising=True)["toward_churn"] > 0).all()
        assert len(told.top(1, raising=True)) == int(told.raises_churn.sum())


def test_closures_of_a_shop_are_churn():
    fits = made_up_causes()
    spells = shop_spells(100, closing=True)
    signs = {cause: contributions(fit, spells).churn_sign for cause, fit in fits.fits.items()}
    assert signs == {"return": -1, "closure": 1}
    assert churn_sign(fits.schema, "") == -1


# The table ------------------------------------------------------------------------------------------------------------


def test_the_frame_is_long_and_says_what_it_is(cox):
    told = contributions(cox, ROWS.take(np.arange(3)))
    frame = told.frame()
    assert list(frame.columns) == [
        "customer_id", "term", "value", "contribution", "lower", "upper", "hazard_ratio", "raises_churn", "label",
    ]  # fmt: skip
    assert frame["customer_id"].tolist() == ["c0"] * 4 + ["c1"] * 4 + ["c2"] * 4
    assert frame["term"].tolist() == ["a", "b", "plan", "b:plan"] * 3
    np.testing.assert_array_equal(frame["contribution"], told.contribution.ravel())
    np.testing.assert_array_equal(frame["hazard_ratio"], np.exp(told.contribution.ravel()))
    assert set(frame["label"]) == {"associational"}
    assert frame["raises_churn"].dtype == bool
    assert frame.attrs["ci_kind"] == "eti"
    assert frame.attrs["ci_prob"] == 0.9
    assert frame.attrs["baseline"] == "the mean of the training spells"
    total = told.total()
    assert list(total.columns) == [
        "customer_id", "contribution", "lower", "upper", "hazard_ratio", "raises_churn", "label",
    ]  # fmt: skip
    np.testing.assert_allclose(total["contribution"], told.contribution.sum(axis=1), atol=1e-12)
    assert repr(told) == (
        "Contributions(3 customers, 4 terms on the log hazard (return), against the mean of the training spells; "
        "90% intervals, associational)"
    )
    assert len(told) == 3
    lines = str(told).splitlines()
    sizes = [float(line.split(":")[-1].split()[0]) for line in lines[1:]]
    assert len(sizes) == 4
    assert sizes == sorted(sizes, reverse=True)


def test_the_strongest_terms_come_first(cox):
    told = contributions(cox, ROWS.take(np.arange(40)))
    top = told.top(2)
    assert (top.groupby("customer_id").size() == 2).all()
    assert top["rank"].tolist() == [1, 2] * 40
    sizes = np.sort(np.abs(told.contribution), axis=1)[:, ::-1][:, :2]
    np.testing.assert_array_equal(np.abs(top["contribution"]), sizes.ravel())
    assert len(told.top(99)) == 40 * 4
    assert top.attrs["event"] == "return"
    nothing = contributions(
        cox, ROWS.take(np.array([7])), baseline={"plan": str(DATA["plan"][7]), "b": float(DATA["b"][7])}
    )
    assert set(nothing.top(4)["term"]) == {"a"}  # terms at the baseline add nothing


def test_spells_and_open_rows_are_told_the_same(periods):
    own = periods.spells
    fit = CoxModel("country").fit(Episodes.from_periods(periods), draws=2)
    (rows,) = OpenSpells.batches(own, fit.schema)
    one, other = contributions(fit, own), contributions(fit, rows)
    np.testing.assert_array_equal(one.contribution, other.contribution)
    np.testing.assert_array_equal(one.customer_id, rows.customer_id)
    parts = [contributions(fit, rows.take(np.arange(k, k + 3))) for k in (0, 3)]
    joined = Contributions.joined(parts)
    np.testing.assert_allclose(joined.lower, one.lower[:6], atol=1e-14)
    assert joined.terms == one.terms


def test_who_has_no_prediction_is_told_nothing(cox):
    codes, values = ROWS.codes[:4].copy(), [None if v is None else v[:4].copy() for v in ROWS.values]
    codes[1, 2] = -1
    values[0][2] = np.nan
    rows = replace(open_rows(ROWS, 0.0, np.arange(4)), codes=codes, values=tuple(values))
    told = contributions(cox, rows)
    np.testing.assert_array_equal(np.isnan(told.contribution).all(axis=1), [False, True, True, False])
    np.testing.assert_array_equal(np.isnan(told.whole), cox.unseen(rows))
    assert not told.raises_churn[1:3].any()
    assert set(told.top(9)["customer_id"]) == {"c0", "c3"}
    assert told.values[2, 0] == "not known"
    assert any(line.startswith("2 of 4 customers have a level") for line in told.caveats)
    draws = contribution_draws(cox, rows).to_numpy()
    assert np.isnan(draws[:, 1:3]).all()
    assert np.isfinite(draws[:, [0, 3]]).all()


def test_unseen_levels_of_a_posterior_are_told_nothing():
    fit = made_up_fit("terms")
    (rows,) = OpenSpells.batches(shop_spells(100), fit.schema)
    codes = rows.codes.copy()
    codes[4, 0] = -1
    told = contributions(fit, replace(rows, codes=codes))
    assert np.isnan(told.contribution[4]).all()
    assert np.isfinite(np.delete(told.contribution, 4, axis=0)).all()


def test_a_classifier_goes_by_the_other_columns_where_a_level_is_new(logistic, periods):
    """The level's indicators are all 0, as in its predictions."""
    (rows,) = OpenSpells.batches(periods.spells, logistic.schema)
    rows = rows.take(np.flatnonzero(rows.reached < BREAKS[1])[:4])
    levels = (rows.levels[0], np.array(["Z", *rows.levels[1][1:]], dtype=object), rows.levels[2])
    codes = rows.codes.copy()
    codes[0, 1] = -1
    new = replace(rows, codes=codes, levels=levels)
    hazard = logistic.period_hazards(new)[:, 0]
    odds = np.log(hazard / (1 - hazard))
    told = contributions(logistic, new)
    np.testing.assert_allclose(told.whole - told.whole[1], odds - odds[1], atol=1e-9)
    assert told.values[0, 1] == "Z"


def test_landmarks_have_the_days_reached_as_a_term():
    spells = shop_spells(100)
    landmarks = PeriodTable.from_landmarks(spells, horizon=30, features=FEATURES)
    fit = DiscreteHazardModel(LogisticRegression(max_iter=3000)).fit(landmarks)
    told = contributions(fit, spells)
    assert told.terms == ("plan", "country", "reached")
    (rows,) = OpenSpells.batches(spells, fit.schema)
    hazard = fit.period_hazards(rows)[:, 0]
    odds = np.log(hazard / (1 - hazard))
    np.testing.assert_allclose(told.whole - told.whole[0], odds - odds[0], atol=1e-8)
    assert told.values[0, 2] == f"{rows.reached[0]:g}"


# Saved fits -----------------------------------------------------------------------------------------------------------


def test_loaded_fits_say_the_same_or_refuse(cox, weibull, tmp_path, refuses):
    rows = ROWS.take(np.arange(5))
    base = {"a": 0.0, "b": 0.5, "plan": "annual"}
    loaded = {}
    for name, fit in (("cox", cox), ("weibull", weibull)):
        fit.save(tmp_path / name)
        loaded[name] = churnsurv.load(tmp_path / name)
        one, other = (contributions(some, rows, baseline=base) for some in (fit, loaded[name]))
        np.testing.assert_array_equal(one.lower, other.lower)
    np.testing.assert_array_equal(contributions(cox, rows).upper, contributions(loaded["cox"], rows).upper)
    with refuses(ArgumentError, "does not hold the mean", "baseline={column"):
        contributions(loaded["weibull"], rows)


def test_a_loaded_posterior_of_cells_has_its_mean(tmp_path, refuses):
    spells = shop_spells(60)
    cells = CellTable.from_periods(PeriodTable.from_spells(spells, breaks=BREAKS, features=FEATURES))
    fit = made_known(HierarchicalModel("plan", groups=("country",)), cells)
    fit.save(tmp_path / "cells")
    again = churnsurv.load(tmp_path / "cells")
    one, other = contributions(fit, spells), contributions(again, spells)
    np.testing.assert_allclose(one.contribution, other.contribution, atol=1e-12)
    np.testing.assert_allclose(one.upper, other.upper, atol=1e-12)
    rows = made_up_fit("weibull")
    rows.save(tmp_path / "rows")
    loaded = churnsurv.load(tmp_path / "rows")
    with refuses(ArgumentError, "does not hold the mean of its training rows"):
        contributions(loaded, shop_spells(100))
    base = {"plan": "basic", "orders": 1.0}
    one, other = (contributions(some, shop_spells(100), baseline=base) for some in (rows, loaded))
    np.testing.assert_allclose(one.lower, other.lower, atol=1e-12)


# Properties -----------------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(st.floats(-50, 50), st.floats(-50, 50), st.sampled_from(["annual", "monthly"])),
    st.tuples(st.floats(-50, 50), st.floats(-50, 50), st.sampled_from(["annual", "monthly"])),
)
def test_totals_do_not_depend_on_the_way_to_the_baseline(cached, one, other):
    """c(i | A) - c(i | B) is the same for every customer, and the total of A against B is minus that of B against A."""
    fit, rows = cached
    bases = [dict(zip(("a", "b", "plan"), values, strict=True)) for values in (one, other)]
    told = [contributions(fit, rows, baseline=base).whole for base in bases]
    apart = told[0] - told[1]
    np.testing.assert_allclose(apart, apart[0], atol=1e-9)


@pytest.fixture(scope="module")
def cached(cox):
    return cox, ROWS.take(np.arange(6))


# Refusals -------------------------------------------------------------------------------------------------------------


def test_baselines_without_a_meaning_are_refused(cox, refuses):
    rows = ROWS.take(np.arange(3))
    with refuses(ArgumentError, "`baseline`='median' is unknown", 'baseline="mean"'):
        contributions(cox, rows, baseline="median")
    with refuses(ArgumentError, "`baseline`=3 is unknown"):
        contributions(cox, rows, baseline=3)
    with refuses(ArgumentError, "names 1 of 2 columns that the fit does not use: colour", "columns are: a, b, plan"):
        contributions(cox, rows, baseline={"colour": "red", "a": 0.0})
    with refuses(ArgumentError, "plan='weekly', a level that the fit has never met", "levels are: annual, monthly"):
        contributions(cox, rows, baseline={"plan": "weekly", "b": 0.0})
    with refuses(ArgumentError, "names some columns of", "and not plan", "name plan in baseline= too"):
        contributions(cox, rows, baseline={"b": 0.0})
    with refuses(DataTypeError, "baseline['a']"):
        contributions(cox, rows, baseline={"a": "many"})
    with refuses(NonFiniteError, "infinite"):
        contributions(cox, rows, baseline={"a": np.inf})
    told = contributions(cox, rows, baseline={"a": 0})
    assert told.baseline == "a=0; else the mean of the training spells"
    whole = contributions(cox, rows, baseline={"a": 1.5, "b": 0, "plan": "annual"})
    assert whole.baseline == "a=1.5, b=0, plan=annual"


def test_a_column_with_bins_is_named_by_a_level_or_a_number():
    table = rows_of(DATA, columns=("a", "plan"), bins={"a": [-9, 0, 1, 9]})
    fit = CoxModel("a + plan", bins={"a": [-9, 0, 1, 9]}).fit(table, draws=2)
    by_number, by_level = (contributions(fit, table, baseline={"a": value}) for value in (0.5, "bin1"))
    np.testing.assert_array_equal(by_number.contribution, by_level.contribution)
    assert not by_number.contribution[(DATA["a"] > 0) & (DATA["a"] <= 1), 0].any()
    assert by_number.baseline == "a=bin1; else the mean of the training spells"


def test_fits_without_terms_are_refused(refuses, periods, logistic):
    with refuses(ModelSupportError, "the CoxFit has no terms", 'CoxModel("plan + revenue")'):
        contributions(CoxModel().fit(ROWS, draws=2), ROWS)
    spells = shop_spells(60)
    with refuses(ModelSupportError, "KaplanMeierFit is no sum of terms"):
        contributions(KaplanMeierModel().fit(spells), spells)
    with refuses(ModelSupportError, "the shape has 1 terms", 'shape=""'):
        contributions(WeibullModel("a", shape="plan").fit(ROWS, draws=2), ROWS)
    with refuses(ArgumentError, "CoxModel is no fit"):
        contributions(CoxModel("a"), ROWS)
    fits = made_up_causes()
    assert isinstance(fits, CompetingFits)
    with refuses(ArgumentError, "2 causes", "contributions(fits.fits['return'], customers)"):
        contributions(fits, spells)


class Bent(LogisticRegression):
    """Has coefficients, and probabilities that are not made of them alone."""

    def predict_proba(self, X):
        p = super().predict_proba(X)[:, 1] ** 2
        return np.column_stack([1 - p, p])


def test_classifiers_that_do_not_add_up_are_refused(refuses, periods):
    tree = DiscreteHazardModel(DecisionTreeClassifier(max_depth=2)).fit(periods)
    with refuses(ModelSupportError, "DecisionTreeClassifier is not linear", "attributions(fit, customers)"):
        contributions(tree, periods.spells)
    bent = DiscreteHazardModel(Bent(max_iter=2000)).fit(periods)
    with refuses(ModelSupportError, "Bent is not linear"):
        contributions(bent, periods.spells)
    mixed = ColumnTransformer([("products", PolynomialFeatures(2), ["orders", "time"])])
    fit = DiscreteHazardModel(LogisticRegression(max_iter=5000), preparation=mixed).fit(periods)
    with refuses(ModelSupportError, "made of several features: orders and period", 'preparation="auto"'):
        contributions(fit, periods.spells)


def test_customers_without_a_meaning_are_refused(cox, refuses, periods):
    with refuses(ArgumentError, "`customers` is list", "SpellTable"):
        contributions(cox, ["c1"])
    with refuses(EmptyDataError, "not one customer"):
        contributions(cox, ROWS.take(np.arange(0)))
    with refuses(DefinitionError):
        contributions(cox, SpellTable.from_events(periods.spells.log, periods.spells.window, Silence(("order",), 30)))
    with refuses(CellMismatchError, "other cells"):
        contributions(cox, rows_of(simulated(30, seed=9)))
    with refuses(ArgumentError, "ci_prob"):
        contributions(cox, ROWS, ci_prob=1.0)
    with refuses(ArgumentError, "n_draws"):
        contributions(cox, ROWS, n_draws=0)
    with refuses(DataTypeError, "rng"):
        contributions(cox, ROWS, rng=None)
    with refuses(ArgumentError, "k"):
        contributions(cox, ROWS).top(0)


def test_caveats_say_what_is_in_no_term():
    fit = CoxModel("a", strata=("plan",)).fit(ROWS, draws=2)
    assert any("within their stratum (plan)" in line for line in contributions(fit, ROWS).caveats)
    spells = shop_spells(100)
    words = {
        "shapes": "how the baseline of country differs over time",
        "calendar": "the calendar month is the same for everyone",
        "cure": "still within reach",
        "terms": "treated as independent",
    }
    for name, part in words.items():
        assert any(part in line for line in contributions(made_up_fit(name), spells).caveats), name


def test_person_periods_are_rows_too(logistic):
    assert isinstance(logistic.rows, PersonPeriods)
    some = logistic.rows.take(np.arange(7))
    assert len(contributions(logistic, some)) == 7
