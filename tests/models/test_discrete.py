"""Classifiers on person-periods: life tables, likelihoods by hand, simulated truth, scikit-learn's conventions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy import optimize, special
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from churnsurv.errors import ArgumentError, ModelSupportError, NoEventsError
from churnsurv.models.base import SurvivalFit
from churnsurv.models.competing import CompetingFits
from churnsurv.models.discrete import DiscreteHazardModel
from churnsurv.models.person_period_classifier import HazardClassifier, training_frame
from churnsurv.models.person_period_folds import CustomerTimeSplit, brier_score_skill, log_score_skill
from churnsurv.risk.predict import churn_risk
from churnsurv.tables.churn import Silence
from churnsurv.tables.contracts import Cancellation
from churnsurv.tables.features import Value
from churnsurv.tables.open_spells import OpenSpells
from churnsurv.tables.periods import PeriodTable
from churnsurv.tables.person_periods import PersonPeriods
from churnsurv.tables.spells import SpellTable
from churnsurv.tables.window import DAY_US, ObservationWindow

WINDOW = ObservationWindow("2024-01-01", "2024-07-19")  # 200 days
BREAKS = (0, 10, 20, 40, 60, 90)
FREE = LogisticRegression(C=np.inf, max_iter=5000, tol=1e-10)


def shop(make_log, n=240, seed=0, rate=0.03, effect=0.7, days=200.0):
    """Customers who come back at a constant rate, half of them ``exp(effect)`` times as fast; the log ends in mid-period."""
    rng, rows = np.random.default_rng(seed), []
    for k in range(n):
        fast = k % 2
        now = rng.uniform(0, 30)
        while now < days:
            rows.append((f"c{k:04}", round(now * DAY_US) + 1_704_067_200_000_000, "order", float(fast), "ny"[fast]))
            now += rng.exponential(1 / (rate * np.exp(effect * fast)))
    return make_log(rows)


@pytest.fixture(scope="module")
def spells(make_log):
    return SpellTable.from_events(shop(make_log), WINDOW, Silence(("order",), 60))


@pytest.fixture(scope="module")
def periods(spells):
    features = [Value("order", "value"), Value("order", "label")]
    return PeriodTable.from_spells(spells, breaks=BREAKS, features=features)


@pytest.fixture(scope="module")
def rows(periods):
    return PersonPeriods.from_periods(periods)


@pytest.fixture(scope="module")
def fit(periods):
    return DiscreteHazardModel(FREE).fit(periods)


@pytest.fixture(scope="module")
def now(spells, fit):
    return next(OpenSpells.batches(spells, fit.schema))


def by_hand(rows, frame):
    """Maximum of the discrete likelihood of whole spells, by SciPy: no rows, no classifier."""
    spells = frame.groupby(["customer_id", "spell"], sort=False)
    last, event = spells["period"].max().to_numpy(), spells["event"].max().to_numpy() > 0
    x = spells["value_order_value"].first().to_numpy()
    n_periods = int(rows.period.max()) + 1

    def minus(theta):
        hazard = special.expit(theta[:n_periods] + theta[-1] * x[:, None])
        stays = np.cumsum(np.log1p(-hazard), axis=1)
        take = np.arange(len(last))
        ahead = stays[take, last] - np.where(event, np.log1p(-hazard[take, last]) - np.log(hazard[take, last]), 0.0)
        return -np.sum(ahead)

    found = optimize.minimize(minus, np.full(n_periods + 1, -1.0), method="BFGS", options={"gtol": 1e-6})
    return special.expit(found.x[:n_periods]), found.x[-1]


def test_it_is_a_fit(fit):
    assert isinstance(fit, SurvivalFit)
    assert "LogisticRegression" in repr(fit)
    assert fit.info.cause == ""
    assert fit.n_draws == 1


# Numbers -----------------------------------------------------------------------------------------------------------


def test_without_columns_it_is_the_life_table(spells):
    """d / n of each period, and their product (Kaplan and Meier's estimate on whole periods)."""
    periods = PeriodTable.from_spells(spells, breaks=BREAKS)
    fit, rows = DiscreteHazardModel(FREE).fit(periods), PersonPeriods.from_periods(periods)
    n, d = np.bincount(rows.period), np.bincount(rows.period, rows.event)
    batch = next(OpenSpells.batches(spells, fit.schema))
    at_start = batch.take(np.flatnonzero(batch.reached < 10))
    np.testing.assert_allclose(fit.period_hazards(at_start), np.tile(d / n, (len(at_start), 1)), rtol=1e-5)
    curve = fit.predict_survival_function(at_start, np.array(BREAKS[1:], float))[0, 0, 0]
    np.testing.assert_allclose(curve, np.cumprod(1 - d / n), rtol=1e-5)
    np.testing.assert_allclose(fit.posterior["posterior"]["period_hazard"].to_numpy()[0, 0], d / n)


def test_logistic_regression_is_the_likelihood_of_spells_by_hand(spells, rows):
    periods = PeriodTable.from_spells(spells, breaks=BREAKS, features=[Value("order", "value")])
    fit = DiscreteHazardModel(FREE, preparation=None_time()).fit(periods)
    slow, effect = by_hand(rows, rows.frame())
    batch = next(OpenSpells.batches(spells, fit.schema))
    here = batch.take(np.flatnonzero(batch.reached < 10))
    x = here.values[0]
    expected = special.expit(special.logit(slow) + effect * x[:, None])
    np.testing.assert_allclose(fit.period_hazards(here), expected, rtol=2e-4)


def None_time():  # noqa: N802
    """Indicators of the periods and the number as it is."""
    from sklearn.compose import ColumnTransformer
    from sklearn.preprocessing import OneHotEncoder

    return ColumnTransformer([("period", OneHotEncoder(), ["period"]), ("x", "passthrough", ["value_order_value"])])


def test_survival_within_periods_is_that_of_a_constant_hazard(fit, now):
    """From the day reached, through part of a period, to part of another; by multiplication."""
    until = np.column_stack([now.reached, now.reached + 3.0, np.full(len(now), 55.0), np.full(len(now), 90.5)])
    found = fit.conditional_survival(now, until)[0]
    hazard, edges = fit.period_hazards(now), np.array(BREAKS, float)
    for i in range(0, len(now), 37):
        for k in (1, 2):
            left, t = 1.0, now.reached[i]
            for j in range(len(BREAKS) - 1):
                days = min(until[i, k], edges[j + 1]) - max(t, edges[j])
                left *= (1 - hazard[i, j]) ** (max(days, 0) / (edges[j + 1] - edges[j]))
            if now.reached[i] < until[i, k] <= 90:
                assert found[i, k] == pytest.approx(left, rel=1e-10)
    assert np.all(found[:, 0] == 1.0)
    assert np.isnan(found[now.reached < 90.5, 3]).all()


def test_chance_of_staying_is_true_and_biased_where_cut_periods_are_kept(make_log):
    """Constant rate 0.03 a day: 1 - exp(-0.3) in ten days. Keeping events of cut periods alone would raise it."""
    log = shop(make_log, n=3000, seed=3, effect=0.0, days=35.0)
    window = ObservationWindow("2024-01-01", "2024-02-05")
    spells = SpellTable.from_events(log, window, Silence(("order",), 20))
    periods = PeriodTable.from_spells(spells, breaks=(0, 10, 20))
    rows = PersonPeriods.from_periods(periods)
    n, d = np.bincount(rows.period), np.bincount(rows.period, rows.event)
    truth = 1 - np.exp(-0.3)
    assert np.all(np.abs(d / n - truth) < 4 * np.sqrt(truth * (1 - truth) / n))
    cut = np.array([sum(part.n_events) for part in rows.unallocated]).sum()
    naive = (d.sum() + cut) / (n.sum() + cut)
    assert naive - truth > 10 * np.sqrt(truth * (1 - truth) / n.sum())


def test_landmarks_follow_from_the_day_of_asking(make_log):
    """A memoryless shop: whatever the silence, 1 - exp(-rate * h) within h days of today."""
    spells = SpellTable.from_events(shop(make_log, n=2500, seed=5, effect=0.9), WINDOW, Silence(("order",), 60))
    periods = PeriodTable.from_landmarks(
        spells, horizon=60, spacing=60, breaks=BREAKS, features=[Value("order", "label", days=60)]
    )
    fit = DiscreteHazardModel(LogisticRegression(C=100.0, max_iter=2000)).fit(periods)
    batch = next(OpenSpells.batches(spells, fit.schema))
    some = batch.take(np.flatnonzero(batch.reached < 50))
    found = fit.conditional_survival(some, some.reached[:, None] + np.array([20.0, 60.0, 60.5]))[0]
    rate = 0.03 * np.exp(0.9 * (some.levels[0] == "y"))
    for label in "ny":
        who = some.levels[0] == label
        np.testing.assert_allclose(found[who, 0].mean(), np.exp(-20 * rate[who][0]), atol=0.03)
        np.testing.assert_allclose(found[who, 1].mean(), np.exp(-60 * rate[who][0]), atol=0.03)
    assert np.isnan(found[:, 2]).all()
    assert np.all(fit.n_at_risk(np.array([0.0, 5.0, 50.0])) == [
        np.sum((fit.rows.entries < t) & (fit.rows.exits >= t)) for t in (0.0, 5.0, 50.0)
    ])  # fmt: skip


@pytest.mark.parametrize("column", ["value", "label"])
def test_effects_are_standardised_hazard_ratios(column, spells):
    """The shop's fast half: 2.01 times the rate, so 2.01 times the cumulative hazard of a period."""
    periods = PeriodTable.from_spells(spells, breaks=BREAKS, features=[Value("order", column)])
    fit = DiscreteHazardModel(DecisionTreeClassifier()).fit(periods)
    (row,) = (one for one in fit.summary().to_dict("records") if one["level"] in ("n", "y", "0"))
    ratio = row["hazard_ratio"] if row["hazard_ratio"] > 1 else 1 / row["hazard_ratio"]
    events = np.array([row["n_events"], fit.info.n_events - row["n_events"]])
    assert abs(np.log(ratio) - 0.7) < 4 * np.sqrt(np.sum(1 / events))
    assert np.isnan(row["lower"])


# The whole way -----------------------------------------------------------------------------------------------------

CLASSIFIERS = [
    DecisionTreeClassifier(max_depth=4, min_samples_leaf=30),
    RandomForestClassifier(10, min_samples_leaf=20),
    HistGradientBoostingClassifier(max_iter=30),
    MLPClassifier((8,), max_iter=300),
    make_pipeline(SelectKBest(k=4), PCA(3), LogisticRegression()),
    GridSearchCV(LogisticRegression(), {"C": [0.01, 1.0]}, cv=CustomerTimeSplit(2), scoring=log_score_skill),
]


@pytest.mark.parametrize("estimator", CLASSIFIERS, ids=lambda one: type(one).__name__)
def test_risk_of_any_classifier(estimator, spells, periods):
    fit = DiscreteHazardModel(estimator).fit(periods, rng=3)
    frame = churn_risk(fit, spells, [20, 60]).frame()
    told = frame[frame["status"] != "already_churned"]
    assert told["churn_probability"].between(0, 1).all()
    assert told.loc[told["churn_probability"] > 0, "lower"].isna().all()
    fast = told[told["horizon"] == 60].merge(spells.log.frame().groupby("customer_id")["label"].last().reset_index())
    by_label = fast.groupby("label")["churn_probability"].mean()
    assert by_label["y"] < by_label["n"]


def test_the_same_seed_gives_the_same_fit_and_the_same_bytes_for_any_chunk(spells, periods):
    model = DiscreteHazardModel(RandomForestClassifier(5, min_samples_leaf=20))
    one, two, other = (model.fit(periods, rng=seed) for seed in (3, 3, 4))
    frame = churn_risk(one, spells, [20, 60]).frame()
    pd.testing.assert_frame_equal(frame, churn_risk(two, spells, [20, 60], chunk_size=1).frame())
    assert not frame["churn_probability"].equals(churn_risk(other, spells, [20, 60]).frame()["churn_probability"])


def test_competing_causes_add_up(make_log):
    rng, log = np.random.default_rng(0), []
    start = 1_704_067_200_000_000
    for k in range(300):
        begins, stays = rng.uniform(0, 190), rng.exponential(60)
        log.append((f"c{k:03}", round(begins * DAY_US) + start, "signup"))
        if begins + stays < 199:
            log.append((f"c{k:03}", round((begins + stays) * DAY_US) + start, "quit" if k % 3 else "unpaid"))
    churn = Cancellation(("quit", "unpaid"), origin="kind:signup")
    spells = SpellTable.from_events(make_log(log), WINDOW, churn)
    rows = PersonPeriods.from_periods(PeriodTable.from_spells(spells, breaks=(0, 20, 40, 80, 120)))
    fits = CompetingFits({cause: DiscreteHazardModel(FREE).fit(rows.with_cause(cause)) for cause in churn.causes})
    batch = next(OpenSpells.batches(spells, fits.schema))
    young = batch.take(np.flatnonzero(batch.reached < 40))
    until = young.reached[:, None] + np.array([30.0, 60.0])
    incidence, stays = fits.cumulative_incidence(young, until), fits.conditional_survival(young, until)
    np.testing.assert_allclose(incidence.sum(axis=-1) + stays, 1.0, atol=1e-12)
    share = incidence[..., 0] / incidence.sum(axis=-1)
    assert abs(share.mean() - 2 / 3) < 4 * np.sqrt(2 / 9 / fits.info.n_events)


def test_a_level_never_seen_is_flagged_and_goes_by_the_rest(make_log, fit):
    log = make_log([("a", "2024-07-15T00:00:00", "order", 1.0, "z"), ("b", "2024-07-15T00:00:00", "order", 1.0, "y")])
    other = SpellTable.from_events(log, WINDOW, Silence(("order",), 60))
    frame = churn_risk(fit, other, [60]).frame().set_index("customer_id")
    assert frame["new_group"].tolist() == [True, False]
    assert frame["churn_probability"].between(0.001, 0.999).all()
    batch = next(OpenSpells.batches(other, fit.schema))
    assert fit.new_group_name(batch).tolist() == ["z\n", ""]


# scikit-learn's conventions ----------------------------------------------------------------------------------------


def test_clone_and_settings():
    model = DiscreteHazardModel(LogisticRegression(C=3.0), steps=(0, 30), validation=None)
    twin = clone(model)
    assert twin is not model
    assert twin.estimator is not model.estimator
    assert twin.get_params()["estimator__C"] == 3.0
    assert twin.get_params(deep=False).keys() == {"estimator", "preparation", "steps", "validation"}
    assert clone(HazardClassifier(LogisticRegression(C=2.0))).get_params()["estimator__C"] == 2.0


def test_a_search_finds_the_setting_that_scores_best(rows):
    frame, y = training_frame(rows)
    grid = {"estimator__C": [1e-5, 1.0], "estimator__max_iter": [500]}
    search = GridSearchCV(
        HazardClassifier(LogisticRegression()), grid, cv=CustomerTimeSplit(3),
        scoring={"log": log_score_skill, "brier": brier_score_skill}, refit="log",
    )  # fmt: skip
    search.fit(frame, y)
    assert search.best_params_["estimator__C"] == 1.0
    weak, strong = search.cv_results_["mean_test_log"]
    assert search.best_score_ == strong > weak + 0.005
    fit = DiscreteHazardModel(search, preparation=None).fit(rows)
    assert fit.classifier.estimator_.best_params_["estimator__C"] == 1.0


def test_scorers_by_hand(rows):
    frame, y = training_frame(rows)

    class Half:
        classes_ = np.array([0, 1])

        def predict_proba(self, frame):
            return np.full((len(frame), 2), 0.5)

    share = (np.bincount(rows.period, rows.event) / np.bincount(rows.period))[frame["period"].cat.codes]
    loss = -np.mean(np.where(y == 1, np.log(share), np.log(1 - share)))
    assert log_score_skill(Half(), frame, y) == pytest.approx(1 - np.log(2) / loss)
    assert brier_score_skill(Half(), frame, y) == pytest.approx(1 - 0.25 / np.mean((share - y) ** 2))


def test_folds_learn_from_what_was_known_when_the_test_begins(rows):
    frame, _ = training_frame(rows)
    customer = frame.index.get_level_values("customer_id").to_numpy()
    begins, ends = (frame.index.get_level_values(name).to_numpy() for name in ("begins", "ends"))
    assert np.all(np.diff(begins) >= 0)
    last = -1
    for train, test in CustomerTimeSplit(3).split(frame):
        assert ends[train].max() <= begins[test].min()
        assert begins[test].min() > last
        last = begins[test].max()
    for train, test in CustomerTimeSplit(3, new_customers=True).split(frame):
        assert not set(customer[train]) & set(customer[test])
    with pytest.raises(ArgumentError, match="does not say whose its rows are"):
        next(CustomerTimeSplit().split(frame.reset_index(drop=True)))


def test_folds_of_durations_are_customers():
    rng = np.random.default_rng(1)
    frame = pa.table({"days": rng.exponential(40.0, 90).round() + 1, "left": rng.integers(0, 2, 90)})
    spells = SpellTable.from_durations(frame, duration="days", event="left", unit="day")
    table, _ = training_frame(PersonPeriods.from_periods(PeriodTable.from_spells(spells, breaks=(0, 10, 20, 40))))
    customer = table.index.get_level_values("customer_id").to_numpy()
    folds = list(CustomerTimeSplit(4).split(table))
    assert len(folds) == 4
    for train, test in folds:
        assert not set(customer[train]) & set(customer[test])
        assert len(train) + len(test) == len(table)


# Early stopping ----------------------------------------------------------------------------------------------------


def test_boosting_stops_on_the_latest_rows(rows, monkeypatch):
    seen = {}
    fit = HistGradientBoostingClassifier.fit

    def spy(self, X, y, **settings):
        seen.update(settings, n=len(X))
        return fit(self, X, y, **settings)

    monkeypatch.setattr(HistGradientBoostingClassifier, "fit", spy)
    DiscreteHazardModel(HistGradientBoostingClassifier(), validation=0.25).fit(rows)
    frame, _ = training_frame(rows)
    begins, ends = (frame.index.get_level_values(name).to_numpy() for name in ("begins", "ends"))
    since = begins[begins >= np.quantile(begins, 0.75)].min()
    assert len(seen["X_val"]) == np.sum(begins >= since)
    assert seen["n"] == np.sum(ends <= since)
    seen.clear()
    DiscreteHazardModel(HistGradientBoostingClassifier(), validation=0.0).fit(rows)
    assert set(seen) == {"n"}


@pytest.mark.parametrize(
    ("estimator", "part"),
    [(MLPClassifier(early_stopping=True), "early_stopping=True"),
     (make_pipeline(PCA(2), MLPClassifier(early_stopping=True)), "early_stopping=True"),
     (GridSearchCV(HistGradientBoostingClassifier(early_stopping=True), {"max_iter": [5]}), "early_stopping=True")],
    ids=["network", "pipeline", "search"],
)  # fmt: skip
def test_stopping_on_rows_drawn_at_random_is_refused(estimator, part, rows, refuses):
    with refuses(ArgumentError, part, "draws at random", "early_stopping=False"):
        DiscreteHazardModel(estimator).fit(rows)


# Bad inputs --------------------------------------------------------------------------------------------------------


def test_what_is_no_classifier_is_refused(refuses, rows, fit, tmp_path):
    with refuses(ArgumentError, "is no classifier", "it is a class"):
        DiscreteHazardModel(LogisticRegression)
    with refuses(ArgumentError, "is no classifier", "it has no predict_proba"):
        DiscreteHazardModel(LinearSVC())
    with refuses(ArgumentError, "is no classifier", "it has no fit"):
        DiscreteHazardModel("forest")
    with refuses(ArgumentError, "preparation='scale' is none"):
        DiscreteHazardModel(LogisticRegression(), preparation="scale")
    with refuses(ArgumentError, "no share of rows"):
        DiscreteHazardModel(LogisticRegression(), validation=1.5).fit(rows)
    with refuses(ArgumentError, "LogisticRegression cannot be told which rows to stop on"):
        DiscreteHazardModel(LogisticRegression(), validation=0.2).fit(rows)
    with refuses(ModelSupportError, "only as a pickle", "fit again"):
        fit.save(tmp_path / "fit")
    with refuses(ModelSupportError, "fits on periods, and was given int"):
        DiscreteHazardModel(LogisticRegression()).fit(3)


def test_no_events_and_weights_that_cannot_be_used_are_refused(rows, refuses):
    quiet = rows.take(rows.event == 0)
    with refuses(NoEventsError, "not one of", "whole periods has an event"):
        DiscreteHazardModel(LogisticRegression()).fit(quiet)
    frame = pa.table({"days": [25.0, 13.0, 40.0, 8.0], "left": [1, 0, 0, 1]})
    spells = SpellTable.from_durations(frame, duration="days", event="left", unit="day")
    parts = PersonPeriods.from_periods(PeriodTable.from_spells(spells, breaks=(0, 10, 20, 30, 40)))
    with refuses(ModelSupportError, "KNeighborsClassifier takes no weights", "sample_weight"):
        DiscreteHazardModel(KNeighborsClassifier(1)).fit(parts)
    assert DiscreteHazardModel(LogisticRegression()).fit(parts).info.n_events == 2
