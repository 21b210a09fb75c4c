"""A backtest as a list of flagged customers, and as bounds that hold as often as promised."""

import numpy as np
import pytest

from churnsurv.errors import ArgumentError
from churnsurv.models.cox import CoxModel
from churnsurv.risk.backtest import backtest
from churnsurv.risk.bounds import conformal_bounds
from churnsurv.risk.flagged import classify_backtest
from churnsurv.risk.predict import churn_risk
from churnsurv.risk.recipes import Recipe
from churnsurv.tables.spells import SpellTable
from tests.risk.test_backtest import CHURN, CUTOFFS, FEATURES, HORIZONS, MODELS, WINDOW, shop_rows

pytestmark = pytest.mark.filterwarnings("ignore::churnsurv.errors.ApproximationWarning")


@pytest.fixture(scope="module")
def log(make_log):
    return make_log(shop_rows())


@pytest.fixture(scope="module")
def result(log):
    models = {"Cox": MODELS["Cox"], "logistic": MODELS["logistic"]}
    return backtest(log, WINDOW, CHURN, models, CUTOFFS, HORIZONS, features=FEATURES, by=FEATURES, n_draws=100)


def test_flags_are_those_of_the_frame(result):
    found = classify_backtest(result, threshold=0.5, among="everyone")
    frame = result.frame()
    for row in found.to_dict("records"):
        part = frame[
            (frame["model"] == row["model"]) & (frame["cutoff"] == row["cutoff"]) & (frame["horizon"] == row["horizon"])
        ]
        flagged, left = part["churn_probability"].to_numpy() >= 0.5, part["churned"].to_numpy(bool)
        assert (row["n"], row["n_events"], row["n_flagged"]) == (len(part), left.sum(), flagged.sum())
        if flagged.any():
            assert row["precision"] == pytest.approx(left[flagged].mean())
        assert row["recall"] == pytest.approx(flagged[left].mean())
        assert row["accuracy"] == pytest.approx((flagged == left).mean())
        assert row["accuracy_lower"] < row["accuracy"] < row["accuracy_upper"]


def test_the_top_tenth_is_a_tenth_in_every_segment(result):
    found = classify_backtest(result, top=0.1, by="value_order_label", models=["Cox"])
    assert set(found["value_order_label"]) == {"s", "f"}
    np.testing.assert_allclose(found["n_flagged"], 0.1 * found["n"], atol=1.0)


@pytest.mark.parametrize("settings", [{}, {"threshold": 0.5, "top": 0.1}])
def test_one_rule_is_needed(result, settings):
    with pytest.raises(ArgumentError, match="one is needed"):
        classify_backtest(result, **settings)


def test_bounds_hold_as_often_as_promised(make_log):
    """Two dozen shops that do not change: calibrated at one date, held against what followed the next."""
    held = []
    for seed in range(24):
        log = make_log(shop_rows(150, seed=100 + seed))
        models = {"Cox": Recipe(CoxModel("value_order_label"), FEATURES)}
        result = backtest(log, WINDOW, CHURN, models, CUTOFFS[:1], HORIZONS, n_draws=20)
        window = WINDOW.ending(CUTOFFS[1])
        then = SpellTable.from_events(log.before(CUTOFFS[1]), window, CHURN)
        fit = models["Cox"].fit(then, horizon=60.0)
        bounds = conformal_bounds(result, "Cox", churn_risk(fit, then, HORIZONS, n_draws=20), coverage=0.9)
        later = backtest(log, WINDOW, CHURN, models, CUTOFFS[1:], HORIZONS, n_draws=20).cutoffs[0].outcomes
        time, cause = later.times()
        left = dict(zip(later.customer_id, np.where(cause > 0, time, np.inf), strict=True))
        held += [
            left[who] >= days * (1 - 1e-9) for who, days in zip(bounds["customer_id"], bounds["lower"], strict=True)
        ]
        assert (bounds["lower"] >= 0).all()
        assert (bounds["lower"] <= 60).all()
    assert 0.88 < np.mean(held) < 0.93  # 0.899 of 2,621; shops differ by about 0.04


def test_bounds_need_the_same_question(log, result):
    spells = SpellTable.from_events(log, WINDOW, CHURN)
    fit = Recipe(MODELS["Cox"], FEATURES).fit(spells, horizon=60.0)
    with pytest.raises(ArgumentError, match="horizons of 30 days"):
        conformal_bounds(result, "Cox", churn_risk(fit, spells, 30, n_draws=20))
    with pytest.raises(ArgumentError, match="no model"):
        conformal_bounds(result, "Coxx", churn_risk(fit, spells, HORIZONS, n_draws=20))
