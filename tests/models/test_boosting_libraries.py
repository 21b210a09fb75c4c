"""XGBoost and LightGBM as hazard models: both learn, both stop on the latest rows, and the true effect is found."""

import functools

import numpy as np
import pytest

from churnsurv.analysis import Analysis, contenders
from churnsurv.models.discrete import DiscreteHazardModel
from churnsurv.models.person_period_classifier import training_frame
from churnsurv.risk.predict import churn_risk
from churnsurv.tables.churn import Silence
from churnsurv.tables.features import Value
from churnsurv.tables.open_spells import OpenSpells
from churnsurv.tables.periods import PeriodTable
from churnsurv.tables.person_periods import PersonPeriods
from churnsurv.tables.spells import SpellTable
from tests.models.test_discrete import BREAKS, WINDOW, shop

LIBRARIES = ("xgboost", "lightgbm")


def classifier(name, **settings):
    library = pytest.importorskip(name)
    kind = {"xgboost": "XGBClassifier", "lightgbm": "LGBMClassifier"}[name]
    quiet = {"verbose": -1} if name == "lightgbm" else {}
    return getattr(library, kind)(n_estimators=400, learning_rate=0.1, n_jobs=1, **quiet, **settings)


@pytest.fixture(scope="module")
def spells(make_log):
    return SpellTable.from_events(shop(make_log, n=600), WINDOW, Silence(("order",), 60))


@pytest.fixture(scope="module")
def periods(spells):
    return PeriodTable.from_spells(spells, breaks=BREAKS, features=[Value("order", "value"), Value("order", "label")])


@pytest.mark.parametrize("name", LIBRARIES)
def test_hazard_ratio_is_found(name, spells, periods):
    """Half of the customers come back exp(0.7) = 2 times as fast."""
    fit = DiscreteHazardModel(classifier(name), validation=0.15).fit(periods, rng=1)
    frame = churn_risk(fit, spells, [20, 60]).frame()
    told = frame[(frame["status"] != "already_churned") & (frame["horizon"] == 60)]
    assert told["churn_probability"].between(0, 1).all()
    (batch,) = OpenSpells.batches(spells, fit.schema)
    curves = fit.predict_survival_function(batch, np.array([20.0])).values[0, 0, :, 0]
    fast = batch.levels[-1] == "y"
    ratio = np.log(curves[fast].mean()) / np.log(curves[~fast].mean())
    assert 1.6 < ratio < 2.5


@pytest.mark.parametrize("name", LIBRARIES)
def test_it_stops_on_the_latest_rows(name, periods, monkeypatch):
    """Fewer trees than asked for, and the rows that it stops on begin after all others had ended."""
    rows = PersonPeriods.from_periods(periods)
    estimator, seen = classifier(name), {}
    fit = type(estimator).fit

    @functools.wraps(fit)
    def spy(self, X, y, **settings):
        seen.update(settings, n=len(X))
        return fit(self, X, y, **settings)

    monkeypatch.setattr(type(estimator), "fit", spy)
    found = DiscreteHazardModel(estimator, validation=0.25).fit(rows)
    frame, _ = training_frame(rows)
    begins, ends = (frame.index.get_level_values(one).to_numpy() for one in ("begins", "ends"))
    since = begins[begins >= np.quantile(begins, 0.75)].min()
    (held,) = seen["eval_X"] if "eval_X" in seen else [rows for rows, _ in seen["eval_set"]]
    assert (len(held), seen["n"]) == (np.sum(begins >= since), np.sum(ends <= since))
    learnt = found.classifier.estimator_
    stopped = learnt.best_iteration if name == "xgboost" else learnt.best_iteration_
    assert 0 < stopped < 399
    assert estimator.get_params().get("early_stopping_rounds") is None  # the caller's own is not touched


@pytest.mark.parametrize("name", LIBRARIES)
def test_by_name(name, periods):
    pytest.importorskip(name)
    model = contenders(Analysis(churn=Silence(("order",), 60), window=WINDOW), [name])[name].model
    assert model.fit(periods, rng=0).info.status == "ok"


@pytest.mark.parametrize("name", LIBRARIES)
def test_the_same_seed_gives_the_same_fit(name, spells, periods):
    model = DiscreteHazardModel(classifier(name, subsample=0.5), validation=0.15)
    one, two = (churn_risk(model.fit(periods, rng=4), spells, 60).frame()["churn_probability"] for _ in range(2))
    np.testing.assert_array_equal(one, two)
