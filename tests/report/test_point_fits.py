"""Reports of fits without draws: classifiers, rules and recalibrated ones say what they are, and give no bounds."""

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

import churnsurv as cs
from churnsurv.datasets import simulate_shop
from churnsurv.models.usual import FixedHorizonModel, SilenceRule
from churnsurv.risk.recalibration import RecalibratedFit, Recalibration

FEATURES = (cs.Count("order", days=90), cs.Value("order", "country", name="country"))
LINE = Recalibration("line", np.zeros(0), np.zeros(0), 0.3, 0.9, np.nan, np.nan)


@pytest.fixture(scope="module")
def spells():
    shop = simulate_shop(150, rng=1)
    return cs.SpellTable.from_events(shop.log, shop.window, cs.Silence(("order",), days=90))


@pytest.fixture(scope="module")
def fits(spells):
    periods = cs.PeriodTable.from_spells(spells, features=FEATURES)
    logistic = cs.DiscreteHazardModel(LogisticRegression(max_iter=500)).fit(periods)
    return {
        "logistic": logistic,
        "forest": cs.DiscreteHazardModel(RandomForestClassifier(5, min_samples_leaf=50)).fit(periods),
        "rule": SilenceRule(45).fit(spells),
        "plain": FixedHorizonModel(LogisticRegression(max_iter=500), 90).fit(periods),
        "recalibrated": RecalibratedFit(logistic, LINE),
    }


@pytest.mark.parametrize("kind", ["logistic", "forest", "rule", "plain", "recalibrated"])
def test_a_report_can_be_made(kind, fits, spells, tmp_path):
    risk = cs.churn_risk(fits[kind], spells, horizon=[30, 60, 90])
    text = cs.report(fits[kind], risk, tmp_path / "report.html").read_text(encoding="utf-8")
    assert f"{risk.n_alive:,}" in text
    assert "nan" not in text.lower().replace("finance", "")
    assert "from an earlier log" not in text
    said = {"rule": "These are no probabilities", "plain": "A plain classifier made these"}
    assert said.get(kind, "") in text
