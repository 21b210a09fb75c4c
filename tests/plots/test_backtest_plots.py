"""Charts of a backtest: the frames behind them, and that everything asked for is drawn."""

from __future__ import annotations

import numpy as np
import pytest

from churnsurv.models.cox import CoxModel
from churnsurv.models.kaplan_meier import KaplanMeierModel
from churnsurv.plots.calibration import calibration_data, plot_calibration
from churnsurv.plots.leaderboard import AVERAGE, ONE_DATE, leaderboard_data, plot_leaderboard
from churnsurv.plots.style import NARROW, WIDE
from churnsurv.plots.svg import to_svg
from churnsurv.risk.backtest import REFERENCE, backtest
from churnsurv.risk.calibration import calibration_table
from churnsurv.risk.leaderboard import leaderboard
from tests.risk.test_backtest import CHURN, CUTOFFS, FEATURES, HORIZONS, WINDOW, shop_rows


@pytest.fixture(scope="module")
def result(make_log):
    models = {"Cox": CoxModel("value_order_label"), "broken": CoxModel("price"), "flat": KaplanMeierModel()}
    return backtest(make_log(shop_rows(150)), WINDOW, CHURN, models, CUTOFFS, HORIZONS, features=FEATURES, n_draws=50)


@pytest.fixture(scope="module")
def board(result):
    return leaderboard(result, n_resamples=100)


def test_skill_by_date_and_on_average(board):
    data = leaderboard_data(board)
    assert set(data["model"]) == {"Cox", "flat", REFERENCE}
    assert data["horizon"].drop_duplicates().tolist() == ["within 30 days", "within 60 days"]
    for (_, _), part in data.groupby(["model", "horizon"]):
        dates = part[part["what"] == ONE_DATE]
        assert dates["cutoff"].tolist() == list(CUTOFFS)
        (average,) = part.loc[part["what"] == AVERAGE, "brier_skill"]
        assert dates["brier_skill"].min() - 0.05 <= average <= dates["brier_skill"].max() + 0.05
    scores = board.scores.groupby(["model", "horizon"])["brier"].mean()
    for (name, horizon), brier in scores.items():
        (told,) = data.loc[
            (data["model"] == name) & (data["horizon"] == f"within {horizon:g} days") & (data["what"] == AVERAGE),
            "brier_skill",
        ]
        assert told == pytest.approx(1 - brier / scores[REFERENCE, horizon])


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_the_leaderboard_draws_every_model_and_horizon(board, width):
    svg = to_svg(plot_leaderboard(board, width=width), name="board")
    for text in ("Cox", "flat", REFERENCE, "within 30 days", "within 60 days"):
        assert text in svg
    assert "broken" not in svg


def test_calibration_is_that_of_the_table(result):
    data = calibration_data(result, "Cox")
    bins = data[data["what"] == "bin"]
    table = calibration_table(result, models=["Cox"], n_bins=10).query("horizon == 60")
    np.testing.assert_array_equal(bins["observed"], table["observed"])
    short = calibration_data(result, "Cox", horizon=30)
    assert short.loc[short["what"] == "bin", "n"].sum() < bins["n"].sum()
    svg = to_svg(plot_calibration(result, ["Cox", REFERENCE]), name="calibration")
    for text in ("Cox", REFERENCE, "Predicted", "Observed"):
        assert text in svg
