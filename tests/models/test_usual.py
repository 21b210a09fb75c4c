"""What shops do today, labelled as what it is: a rule by hand, and a classifier that takes the censored for stayers."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from churnsurv.errors import ArgumentError, DefinitionError, ModelSupportError, NoEventsError
from churnsurv.models.base import SurvivalFit
from churnsurv.models.discrete import DiscreteHazardModel
from churnsurv.models.usual import FixedHorizonModel, SilenceRule
from churnsurv.risk.backtest import backtest
from churnsurv.risk.predict import churn_risk
from churnsurv.risk.scores import score_backtest
from churnsurv.tables.churn import Silence
from churnsurv.tables.contracts import Cancellation
from churnsurv.tables.features import Value
from churnsurv.tables.open_spells import OpenSpells
from churnsurv.tables.periods import PeriodTable
from churnsurv.tables.spells import SpellTable
from churnsurv.tables.window import ObservationWindow
from tests.models.test_discrete import shop

WINDOW, CHURN = ObservationWindow("2024-01-01", "2024-07-19"), Silence(("order",), 60)


@pytest.fixture(scope="module")
def spells(make_log):
    return SpellTable.from_events(shop(make_log), WINDOW, CHURN)


def test_the_rule_says_yes_or_no(spells):
    fit = SilenceRule(30).fit(spells)
    assert isinstance(fit, SurvivalFit)
    risk = churn_risk(fit, spells, [20, 60])
    assert "These are no probabilities" in repr(risk)
    frame = risk.frame()
    told = frame[(frame["status"] != "already_churned") & (frame["horizon"] == 60)]
    assert told["churn_probability"].tolist() == (told["silence"] >= 30).astype(float).tolist()
    at_20 = frame[(frame["status"] != "already_churned") & (frame["horizon"] == 20)]
    possible = at_20["silence"] + 20 >= 60
    assert (at_20.loc[~possible, "churn_probability"] == 0).all()
    assert (at_20.loc[possible, "churn_probability"] == 1).all()


def test_the_rule_costs_what_a_coin_does_not(spells):
    """Its squared error is its share of errors; the curve of Kaplan and Meier, which knows no more, is better."""
    log, _ = spells.observed()
    result = backtest(log, WINDOW, CHURN, {"rule": SilenceRule(30)}, "2024-05-20", [60])
    row = score_backtest(result, n_draws=20).set_index("model").loc["rule"]
    part = result.frame().query("model == 'rule'")
    wrong = (part["churn_probability"] != part["churned"].astype(float)).mean()
    assert row["brier"] == pytest.approx(wrong)
    assert row["brier_skill"] < 0
    assert row["log_score"] == np.inf  # what it called impossible happened


def test_the_plain_classifier_takes_the_censored_for_stayers(make_log):
    """Constant rate 0.03: 1 - exp(-0.6) come back in 20 days; of a log of 25 days a good part is not seen to."""
    log = shop(make_log, n=1500, seed=4, effect=0.0, days=25.0)
    spells = SpellTable.from_events(log, ObservationWindow("2024-01-01", "2024-01-26"), Silence(("order",), 20))
    periods = PeriodTable.from_spells(spells, breaks=(0, 5, 10, 20))
    plain = FixedHorizonModel(LogisticRegression(), days=20).fit(periods)
    right = DiscreteHazardModel(LogisticRegression(C=np.inf)).fit(periods)
    rows = next(OpenSpells.batches(spells, plain.schema))
    some = rows.take(np.flatnonzero(rows.reached < 0.5)[:1])
    until = some.reached[:, None] + np.array([[10.0, 19.0]])
    truth = np.exp(-0.03 * np.array([10.0, 19.0]))
    seen = spells.frame()
    share = np.mean((seen["event"] == 1) & (seen["exit"] <= 20))
    found = plain.conditional_survival(some, until)[0, 0]
    np.testing.assert_allclose(found, (1 - share) ** (np.array([10.0, 19.0]) / 20), rtol=0.02)
    assert np.all(found - truth > 0.1)
    np.testing.assert_allclose(right.conditional_survival(some, until)[0, 0], truth, atol=0.05)


def test_the_plain_classifier_knows_no_time_reached(spells):
    fit = FixedHorizonModel(LogisticRegression(), days=30).fit(
        PeriodTable.from_spells(spells, features=[Value("order", "label")])
    )
    rows = next(OpenSpells.batches(spells, fit.schema))
    ahead = fit.conditional_survival(rows, rows.reached[:, None] + 30.0)[0, :, 0]
    for label in ("n", "y"):
        assert np.ptp(ahead[rows.levels[0] == label]) < 1e-12
    assert fit.n_at_risk(np.array([0.0]))[0] == len(fit.stops)
    assert fit.model.get_params()["estimator__C"] == 1.0


def test_what_they_cannot_do_is_refused(spells, make_log, refuses, tmp_path):
    with refuses(ArgumentError, "days=0 is no positive number"):
        SilenceRule(0)
    with refuses(ArgumentError, "is no classifier"):
        FixedHorizonModel(LogisticRegression, days=30)
    with refuses(NoEventsError, "have the event within 0.0001 days"):
        FixedHorizonModel(LogisticRegression(), days=0.0001).fit(spells)
    with refuses(ModelSupportError, "is not saved"):
        SilenceRule(30).fit(spells).save(tmp_path / "fit")
    log = make_log([("a", "2024-01-10T00:00:00", "signup"), ("b", "2024-01-10T00:00:00", "signup"),
                    ("b", "2024-02-11T00:00:00", "quit")])  # fmt: skip
    contracts = SpellTable.from_events(log, WINDOW, Cancellation(("quit",), origin="kind:signup"))
    with refuses(DefinitionError, "nobody is silent"):
        SilenceRule(30).fit(contracts)
