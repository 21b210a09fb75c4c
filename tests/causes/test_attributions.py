"""Drivers of trees: a stump and sums of stumps in closed form, Shapley's definition by brute force, and the fits' hazards."""

import itertools
import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    AdaBoostClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, PolynomialFeatures
from sklearn.tree import DecisionTreeClassifier

from churnsurv import Episodes, OpenSpells, PeriodTable
from churnsurv.causes.drivers import attributions as module
from churnsurv.causes.drivers.attributions import Attributions, attributions
from churnsurv.causes.drivers.columns import PeriodRows, SeenColumns, training_columns
from churnsurv.errors import ArgumentError, ModelSupportError
from churnsurv.models.cox import CoxModel
from churnsurv.models.discrete import DiscreteHazardModel
from churnsurv.tables.features import Count
from tests.models.saved_data import BREAKS, FEATURES, made_up_causes, shop_spells


@pytest.fixture(scope="module")
def periods():
    features = [*FEATURES, Count("order", days=30, name="orders")]
    return PeriodTable.from_spells(shop_spells(100), breaks=BREAKS, features=features)


def now(fit):
    """Customers at risk, and the hazard of the period that each has reached, predicted."""
    (rows,) = OpenSpells.batches(shop_spells(100), fit.schema)
    period = np.searchsorted(np.asarray(fit.steps[1:]), rows.reached, side="right")
    inside = period < len(fit.steps) - 1
    hazard = fit.period_hazards(rows)[np.arange(len(rows)), np.minimum(period, len(fit.steps) - 2)]
    return rows, inside, hazard


def log_odds(hazard, inside):
    """Of the customers who have a period; hazards of the others are 0."""
    return np.log(hazard[inside]) - np.log1p(-hazard[inside])


def seen_by(fit, rows):
    """What the innermost estimator sees of rows, and the term of each column."""
    seen = SeenColumns.of(fit)
    return seen, np.asarray(seen.transform(PeriodRows.of(fit, rows).frame), float)


# By hand -----------------------------------------------------------------------------------------------------------


def test_a_stump_by_hand(periods):
    """One split: the feature gets the share of events on the customer's side less that of everybody, the others nothing."""
    columns = ColumnTransformer([("plan", OneHotEncoder(sparse_output=False), ["plan"])], remainder="drop")
    fit = DiscreteHazardModel(DecisionTreeClassifier(max_depth=1), preparation=columns).fit(periods, rng=0)
    (rows, inside, _), told = now(fit), attributions(fit, periods.spells)
    training = fit.rows
    place = [column.name for column in fit.schema.columns].index("plan")
    event = training.event > 0
    share = {code: event[training.codes[:, place] == code].mean() for code in (0, 1)}
    expected = np.array([share[code] for code in rows.codes[:, place]]) - event.mean()
    term = told.terms.index("plan")
    assert abs(share[1] - share[0]) > 0.02
    np.testing.assert_allclose(told.contribution[inside, term], expected[inside], atol=1e-12)
    np.testing.assert_array_equal(np.delete(told.contribution[inside], term, axis=1), 0.0)
    assert told.base == pytest.approx(event.mean(), abs=1e-12)
    assert told.terms == ("plan", "country", "orders", "period")


def test_sums_of_stumps_by_hand(periods):
    """Boosted stumps are additive: each gives its feature its value less its mean over the training rows."""
    fit = DiscreteHazardModel(GradientBoostingClassifier(max_depth=1, n_estimators=30, learning_rate=0.3)).fit(periods)
    (rows, inside, _), told = now(fit), attributions(fit, periods.spells)
    seen, columns = seen_by(fit, rows)
    expected, base = np.zeros((len(rows), len(seen.names))), 0.0
    learnt = np.asarray(seen.transform(training_columns(fit)), np.float32)
    for tree in fit.classifier.estimator_.estimators_.ravel():
        column = tree.tree_.feature[0]
        value = 0.3 * tree.predict(columns)
        mean = 0.3 * float(tree.predict(learnt).mean())
        expected[:, seen.term[column]] += value - mean
        base += mean
    np.testing.assert_allclose(told.contribution[inside], expected[inside], atol=1e-9)
    event = fit.rows.event > 0
    assert told.base == pytest.approx(base + math.log(event.mean() / (1 - event.mean())), abs=1e-9)
    assert (np.abs(expected).max(axis=0) > 0).sum() >= 3


def known_output(tree, x, known, node=0):
    """Output of a tree of which some columns are known: training rows are averaged over at the splits of the others."""
    left, right, column = tree.children_left[node], tree.children_right[node], tree.feature[node]
    if left < 0:
        return float(tree.value[node, 0, 1])
    if column in known:
        return known_output(tree, x, known, left if np.float32(x[column]) <= tree.threshold[node] else right)
    weight = tree.weighted_n_node_samples
    sides = [weight[side] * known_output(tree, x, known, side) for side in (left, right)]
    return sum(sides) / weight[node]


def shapley(tree, x, n_columns):
    """Average effect of each column over all orders in which columns become known."""
    used = sorted({int(k) for k in tree.feature if k >= 0})
    found = np.zeros(n_columns)
    orders = list(itertools.permutations(used))
    for order in orders:
        for place, column in enumerate(order):
            before, after = set(order[:place]), set(order[: place + 1])
            found[column] += (known_output(tree, x, after) - known_output(tree, x, before)) / len(orders)
    return found


def test_a_tree_against_shapleys_definition(periods):
    """Every order of the columns of a tree with four leaves, for 20 customers; indicators of a feature are summed."""
    fit = DiscreteHazardModel(DecisionTreeClassifier(max_depth=3, max_leaf_nodes=6)).fit(periods, rng=1)
    (rows, inside, _), told = now(fit), attributions(fit, periods.spells)
    seen, columns = seen_by(fit, rows)
    tree = fit.classifier.estimator_.tree_
    assert len({int(seen.term[k]) for k in tree.feature if k >= 0}) >= 2
    for i in np.flatnonzero(inside)[:20].tolist():
        by_column = shapley(tree, columns[i], columns.shape[1])
        expected = [by_column[seen.term == k].sum() for k in range(len(seen.names))]
        np.testing.assert_allclose(told.contribution[i], expected, atol=1e-12)


# What they add up to ------------------------------------------------------------------------------------------------


def boosting(name):
    if name == "xgboost":
        return pytest.importorskip(name).XGBClassifier(n_estimators=80, n_jobs=1)
    return pytest.importorskip(name).LGBMClassifier(n_estimators=80, n_jobs=1, verbose=-1)


ODDS = {
    "boosting": lambda: GradientBoostingClassifier(n_estimators=15),
    "histogram": lambda: HistGradientBoostingClassifier(max_iter=15),
    "pipeline": lambda: make_pipeline("passthrough", HistGradientBoostingClassifier(max_iter=5)),
    "xgboost": lambda: boosting("xgboost"),
    "lightgbm": lambda: boosting("lightgbm"),
}
VOTES = {
    "tree": lambda: DecisionTreeClassifier(max_depth=4),
    "forest": lambda: RandomForestClassifier(12, max_depth=5),
    "extra": lambda: ExtraTreesClassifier(12, max_depth=5),
}


@pytest.mark.parametrize("name", [*ODDS, *VOTES])
def test_values_add_up_to_the_predicted_hazard(name, periods):
    """Base and terms are the log odds, or the probability, of the hazard that the fit predicts for her period."""
    fit = DiscreteHazardModel({**ODDS, **VOTES}[name]()).fit(periods, rng=2)
    (_, inside, hazard), told = now(fit), attributions(fit, periods.spells)
    wanted = log_odds(hazard, inside) if name in ODDS else hazard[inside]
    close = 2e-5 if name == "xgboost" else 1e-8  # probabilities of XGBoost have seven digits
    np.testing.assert_allclose(told.output[inside], wanted, atol=close)
    np.testing.assert_allclose(told.contribution.sum(axis=1)[inside], told.whole[inside], atol=1e-12)
    assert isinstance(told, Attributions)
    assert told.terms == ("plan", "country", "orders", "period")
    assert np.abs(told.contribution[inside]).max(axis=0).min() > 0
    frame = told.frame()
    assert frame[["lower", "upper"]].isna().all().all()
    assert math.isnan(frame.attrs["ci_prob"])
    if name in ODDS:
        assert told.scale == "log odds of the event in a period"
        np.testing.assert_allclose(frame["hazard_ratio"], np.exp(frame["contribution"]))
    else:
        assert told.scale == "probability of the event in a period"
        assert frame["hazard_ratio"].isna().all()
    period = frame[frame["term"] == "period"]["value"]
    assert set(period) <= {"0–5 days", "5–15 days", "15–40 days", "40–90 days"}


@pytest.mark.parametrize("name", ["xgboost", "lightgbm"])
def test_boosting_that_stopped_early_adds_up(name, periods):
    """Trees that were grown after the best one are in no prediction, and in no value."""
    estimator = boosting(name).set_params(n_estimators=300, learning_rate=0.5)
    fit = DiscreteHazardModel(estimator, validation=0.2).fit(periods, rng=2)
    if name == "xgboost":
        learnt = fit.classifier.estimator_
        assert learnt.get_booster().num_boosted_rounds() > learnt.best_iteration + 1
    (_, inside, hazard), told = now(fit), attributions(fit, periods.spells)
    np.testing.assert_allclose(told.output[inside], log_odds(hazard, inside), atol=2e-5)


@pytest.mark.parametrize("name", ["xgboost", "lightgbm"])
def test_categories_of_boosting_are_features_as_they_are(name, periods):
    more = {"enable_categorical": True} if name == "xgboost" else {}
    fit = DiscreteHazardModel(boosting(name).set_params(**more), preparation=None).fit(periods, rng=2)
    (_, inside, hazard), told = now(fit), attributions(fit, periods.spells)
    np.testing.assert_allclose(told.output[inside], log_odds(hazard, inside), atol=2e-5)
    assert told.terms == ("plan", "country", "orders", "period")


def test_a_direction_that_is_known_is_found():
    """Customers of plan "plus" come back sooner: the plan lowers their risk of churn, and raises that of the others."""
    periods = PeriodTable.from_spells(shop_spells(100), breaks=BREAKS, features=FEATURES)
    fit = DiscreteHazardModel(GradientBoostingClassifier(max_depth=1, n_estimators=40)).fit(periods)
    (rows, inside, _), told = now(fit), attributions(fit, periods.spells)
    place, plus = told.terms.index("plan"), rows.levels[0] == "plus"
    assert (told.contribution[inside & plus, place] > 0).all()
    assert (told.contribution[inside & ~plus, place] < 0).all()
    np.testing.assert_array_equal(told.raises_churn[inside, place], ~plus[inside])
    assert told.label == "associational"


def test_customers_beyond_the_last_period_are_told_nothing(periods):
    fit = DiscreteHazardModel(DecisionTreeClassifier(max_depth=2)).fit(periods)
    (rows, inside, _), told = now(fit), attributions(fit, periods.spells)
    assert 0 < (~inside).sum() < len(rows)
    np.testing.assert_array_equal(np.isnan(told.contribution).all(axis=1), ~inside)
    np.testing.assert_array_equal(np.isnan(told.output), ~inside)


def test_a_customer_at_an_edge_is_in_the_period_that_begins(periods):
    """At 15 days on the clock, the hazard of the next days is that of 15 to 40, as in predictions."""
    fit = DiscreteHazardModel(DecisionTreeClassifier(max_depth=4)).fit(periods)
    (rows,) = OpenSpells.batches(periods.spells, fit.schema)
    edge = replace(rows.take(np.arange(6)), reached=np.array([0.0, 5.0, 15.0, 39.0, 40.0, 4.0]))
    told = attributions(fit, edge)
    days = ["0–5 days", "5–15 days", "15–40 days", "15–40 days", "40–90 days", "0–5 days"]
    assert told.values[:, told.terms.index("period")].tolist() == days
    hazard = fit.period_hazards(edge)
    np.testing.assert_allclose(told.output, hazard[np.arange(6), [0, 1, 2, 2, 3, 0]], atol=1e-12)


def test_person_periods_and_episodes_stay_in_theirs(periods):
    fit = DiscreteHazardModel(DecisionTreeClassifier(max_depth=3)).fit(periods)
    some = fit.rows.take(np.arange(60))
    told = attributions(fit, some)
    hazard = fit.classifier.predict_proba(training_columns(fit, some))[:, 1]
    np.testing.assert_allclose(told.output, hazard, atol=1e-12)
    table = Episodes.from_periods(periods)
    rows = attributions(fit, table)
    assert len(rows) == len(table)
    first = fit.classifier.predict_proba(training_columns(fit, fit.rows.take(np.flatnonzero(fit.rows.period == 0))))[
        :, 1
    ]
    assert set(np.round(rows.output, 9)) <= set(np.round(first, 9))


def test_landmarks_have_the_days_reached_as_a_term():
    spells = shop_spells(100)
    fit = DiscreteHazardModel(HistGradientBoostingClassifier(max_iter=10)).fit(
        PeriodTable.from_landmarks(spells, horizon=30, features=FEATURES)
    )
    told = attributions(fit, spells)
    (rows,) = OpenSpells.batches(spells, fit.schema)
    hazard = fit.period_hazards(rows)[:, 0]
    np.testing.assert_allclose(told.output, np.log(hazard / (1 - hazard)), atol=1e-8)
    assert set(told.terms) == {"plan", "country", "period", "reached"}


# Refusals -----------------------------------------------------------------------------------------------------------


def test_fits_without_trees_are_refused(periods, refuses):
    spells = periods.spells
    cox = CoxModel("plan").fit(periods, draws=2)
    with refuses(ModelSupportError, "CoxFit is no fit of trees", "contributions(fit, customers) is exact"):
        attributions(cox, spells)
    for estimator in (LogisticRegression(max_iter=2000), AdaBoostClassifier(n_estimators=3)):
        fit = DiscreteHazardModel(estimator).fit(periods)
        with refuses(ModelSupportError, f"{type(estimator).__name__} is made of no trees", "random forests"):
            attributions(fit, spells)
    with refuses(ArgumentError, "2 causes", "attributions(fits.fits['return'], customers)"):
        attributions(made_up_causes(), spells)
    with refuses(ArgumentError, "DiscreteHazardModel is no fit"):
        attributions(DiscreteHazardModel(DecisionTreeClassifier()), spells)
    mixed = ColumnTransformer([("products", PolynomialFeatures(2), ["orders", "time"])])
    fit = DiscreteHazardModel(DecisionTreeClassifier(), preparation=mixed).fit(periods)
    with refuses(ModelSupportError, "made of several features: orders and period"):
        attributions(fit, spells)


def test_without_the_library_the_call_that_installs_it_is_told(periods, refuses, monkeypatch):
    fit = DiscreteHazardModel(DecisionTreeClassifier(max_depth=2)).fit(periods)
    monkeypatch.setitem(sys.modules, "shap", None)
    with refuses(ModelSupportError, "shap", 'pip install "churnsurv[explain]"'):
        attributions(fit, periods.spells)


def test_values_that_do_not_add_up_are_refused(periods, refuses):
    """What if the explainer told of other trees: 1e-5 too much is noticed."""
    fit = DiscreteHazardModel(DecisionTreeClassifier(max_depth=2)).fit(periods)
    trees = module._Trees.of(fit)
    (rows,) = OpenSpells.batches(periods.spells, fit.schema)
    at = PeriodRows.of(fit, rows)
    assert np.isfinite(trees.values(at)).all()
    with refuses(ModelSupportError, f"{len(rows)} of {len(rows)} customers do not add up", "1e-05 away"):
        replace(trees, base=trees.base + 1e-5).values(at)


def test_the_library_is_loaded_by_nothing_else():
    code = "import sys, churnsurv.causes.drivers.attributions, churnsurv.causes.drivers.contributions; print('shap' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert out.stdout.strip() == "False"
