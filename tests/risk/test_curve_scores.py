"""Whole curves of a backtest: against the scores of single horizons, and the true order of models."""

from dataclasses import replace

import numpy as np
import pytest

from churnsurv.errors import HorizonError
from churnsurv.risk.backtest import REFERENCE, backtest
from churnsurv.risk.curve_scores import score_curves
from churnsurv.risk.scores import score_backtest
from tests.risk.test_backtest import CHURN, CUTOFFS, FEATURES, MODELS, WINDOW, shop_rows


@pytest.fixture(scope="module")
def result(make_log):
    models = {name: MODELS[name] for name in ("Cox", "logistic")}
    log = make_log(shop_rows())
    return backtest(log, WINDOW, CHURN, models, CUTOFFS, (15.0, 30.0, 60.0), features=FEATURES, by=FEATURES, n_draws=50)


@pytest.mark.parametrize("quantity", ["churn", "return"])
def test_the_integral_is_that_of_the_single_scores(result, quantity):
    """Two roads: trapezoids over the Brier scores of everyone at 0, 15, 30 and 60 days."""
    found = score_curves(result, quantity=quantity)
    single = score_backtest(result, quantity=quantity, among="everyone", n_draws=20)
    for row in found.to_dict("records"):
        part = single[(single["model"] == row["model"]) & (single["cutoff"] == row["cutoff"])].sort_values("horizon")
        area = np.trapezoid([0.0, *part["brier"]], [0.0, *part["horizon"]])
        assert row["crps"] == pytest.approx(area, rel=1e-6)
        assert row["integrated_brier"] == pytest.approx(area / 60, rel=1e-6)
        assert row["n_events"] == part["n_events"].iloc[-1]
        if quantity == "return":
            assert row["harrell"] == pytest.approx(part["concordance"].iloc[-1])


def test_the_reference_saves_nothing_and_a_model_that_knows_saves_something(result):
    found = score_curves(result, quantity="return").set_index("model")
    np.testing.assert_allclose(found.loc[REFERENCE, "integrated_skill"], 0, atol=1e-12)
    assert (found.loc["Cox", "integrated_skill"] > 0.02).all()
    assert (found.loc["Cox", "likelihood"].to_numpy() < found.loc[REFERENCE, "likelihood"].to_numpy()).all()
    assert found["uno"].between(0, 1).all()


def test_levels_part_the_customers(result):
    whole, parts = score_curves(result), score_curves(result, by="value_order_label")
    assert (
        parts.groupby(["model", "cutoff"])["n"].sum().tolist() == whole.groupby(["model", "cutoff"])["n"].sum().tolist()
    )


def test_one_horizon_is_no_curve(result):
    with pytest.raises(HorizonError, match="one horizon"):
        score_curves(replace(result, horizons=(60.0,)))
