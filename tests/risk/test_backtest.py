"""Walking forward: nothing later is known, what was computed is kept, and scores are those of the frame by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from churnsurv.errors import ArgumentError, EmptyDataError, HorizonError, WindowError
from churnsurv.models.cox import CoxModel
from churnsurv.models.discrete import DiscreteHazardModel
from churnsurv.models.kaplan_meier import KaplanMeierModel
from churnsurv.risk.backtest import REFERENCE, backtest
from churnsurv.risk.calibration import calibration_curve, calibration_table
from churnsurv.risk.checks import as_of_check
from churnsurv.risk.coverage import interval_coverage, predicted_totals
from churnsurv.risk.leaderboard import leaderboard
from churnsurv.risk.recipes import Recipe
from churnsurv.risk.scored import scored
from churnsurv.risk.scores import score_backtest
from churnsurv.tables.churn import Silence
from churnsurv.tables.contracts import Cancellation
from churnsurv.tables.features import Value
from churnsurv.tables.spells import SpellTable
from churnsurv.tables.window import DAY_US, ObservationWindow

START = 1_704_067_200_000_000
WINDOW, CHURN = ObservationWindow("2024-01-01", "2024-10-27"), Silence(("order",), 60)  # 300 days
CUTOFFS, HORIZONS = ("2024-06-29", "2024-08-28"), (30.0, 60.0)  # days 180 and 240
FEATURES = (Value("order", "label"),)
MODELS = {
    "Cox": CoxModel("value_order_label"),
    "logistic": DiscreteHazardModel(LogisticRegression(max_iter=500)),
    "broken": CoxModel("price"),
}


def shop_rows(n=200, seed=2, days=300.0):
    """Customers who come back at a constant rate, half of them 2.5 times as fast; some leave for good."""
    rng, rows = np.random.default_rng(seed), []
    for k in range(n):
        fast, now = k % 2, rng.uniform(0, 60)
        while now < days:
            rows.append((f"c{k:03}", round(now * DAY_US) + START, "order", 1.0, "sf"[fast]))
            now += np.inf if rng.random() < 0.02 else rng.exponential(1 / (0.02 * 2.5**fast))
    return rows


@pytest.fixture(scope="module")
def log(make_log):
    return make_log(shop_rows())


@pytest.fixture(scope="module")
def result(log):
    return backtest(log, WINDOW, CHURN, MODELS, CUTOFFS, HORIZONS, features=FEATURES, by=FEATURES, n_draws=100)


@pytest.fixture(scope="module")
def frame(result):
    return result.frame()


def test_a_forecast_is_the_check_of_that_date(log, result, frame):
    """Two roads: one cutoff 60 days before the end of a shorter window."""
    spells = SpellTable.from_events(log.before("2024-08-28"), WINDOW.ending("2024-08-28"), CHURN)
    check = as_of_check(spells, MODELS["Cox"], features=FEATURES, horizon=60, n_bins=1)
    part = frame[(frame["model"] == "Cox") & (frame["cutoff"] == "2024-06-29") & (frame["horizon"] == 60)]
    assert check.cutoff == "2024-06-29"
    assert len(part) == check.n_customers
    assert int(part["churned"].sum()) == check.observed
    assert part["churn_probability"].sum() == pytest.approx(check.expected, rel=0.01)  # 100 draws in place of 1,000
    row = predicted_totals(result).query("model == 'Cox' and column == '' and horizon == 60").iloc[0]
    assert (row["n"], row["observed"]) == (check.n_customers, check.observed)


def test_what_comes_later_moves_no_forecast(make_log, result):
    cut = START + 240 * DAY_US
    later = [(f"x{who}", *rest) for who, *rest in shop_rows(seed=9)]
    other = make_log([row for row in shop_rows() if row[1] < cut] + [row for row in later if row[1] >= cut])
    again = backtest(other, WINDOW, CHURN, {"Cox": MODELS["Cox"]}, CUTOFFS[1], HORIZONS, features=FEATURES, n_draws=100)
    one, two = (found.forecasts["Cox", CUTOFFS[1]] for found in (result, again))
    assert one.customer_id.tolist() == two.customer_id.tolist()
    assert one.churn.mean.tobytes() == two.churn.mean.tobytes()


def test_a_model_that_cannot_be_fitted_is_told_and_stops_nobody(result):
    assert set(result.failures()) == {("broken", date) for date in CUTOFFS}
    assert "price" in result.failures()["broken", CUTOFFS[0]]
    assert "failed: broken at 2024-06-29" in repr(result)
    assert result.models == ("Cox", "logistic", "broken", REFERENCE)


def test_cutoffs_by_number_are_the_longest_horizon_apart(log):
    found = backtest(log, WINDOW, CHURN, [KaplanMeierModel()], 2, HORIZONS)
    assert [cutoff.date for cutoff in found.cutoffs] == list(CUTOFFS)
    assert [cutoff.followed for cutoff in found.cutoffs] == [120.0, 60.0]
    assert found.models == ("KaplanMeier", REFERENCE)


def test_horizons_that_the_log_does_not_reach_are_not_scored(log):
    found = backtest(log, WINDOW, CHURN, {"Cox": MODELS["Cox"]}, "2024-09-12", HORIZONS, features=FEATURES)
    told = score_backtest(found, n_draws=20).query("model == 'Cox'").set_index("horizon")
    assert np.isfinite(told.loc[30, "brier"])
    assert np.isnan(told.loc[60, "brier"])
    assert set(predicted_totals(found)["horizon"]) == {30.0}
    assert found.frame().query("horizon == 60")["churned"].isna().any()


# Files -------------------------------------------------------------------------------------------------------------


def test_what_was_computed_is_read_and_what_is_damaged_is_computed_again(log, result, tmp_path, monkeypatch):
    fits = []
    fit = CoxModel.fit
    monkeypatch.setattr(CoxModel, "fit", lambda self, *a, **k: fits.append(1) or fit(self, *a, **k))
    call = {"features": FEATURES, "n_draws": 100, "cache": tmp_path}
    one = backtest(log, WINDOW, CHURN, {"a": MODELS["Cox"]}, CUTOFFS, HORIZONS, **call)
    assert len(fits) == 2
    two = backtest(log, WINDOW, CHURN, {"b": MODELS["Cox"]}, CUTOFFS, HORIZONS, **call)
    assert len(fits) == 2
    assert two.models[0] == "b"
    for date in CUTOFFS:
        assert two.forecasts["b", date].churn.upper.tobytes() == one.forecasts["a", date].churn.upper.tobytes()
        assert two.forecasts["b", date].status.tolist() == one.forecasts["a", date].status.tolist()
    pd.testing.assert_frame_equal(
        predicted_totals(two).drop(columns="model"), predicted_totals(one).drop(columns="model")
    )
    for file in tmp_path.iterdir():
        file.write_bytes(file.read_bytes()[:-7])
    backtest(log, WINDOW, CHURN, {"a": MODELS["Cox"]}, CUTOFFS, HORIZONS, **call)
    assert len(fits) == 4
    backtest(log, WINDOW, CHURN, {"a": MODELS["Cox"]}, CUTOFFS, HORIZONS, **call, rng=1)
    assert len(fits) == 6


def test_a_run_that_was_stopped_goes_on_where_it_was(log, tmp_path, monkeypatch):
    call = {"features": FEATURES, "n_draws": 50, "cache": tmp_path}

    def stop(share, sentence):
        if sentence == f"Cox as of {CUTOFFS[1]}":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        backtest(log, WINDOW, CHURN, {"Cox": MODELS["Cox"]}, CUTOFFS, HORIZONS, progress=stop, **call)
    assert len(list(tmp_path.iterdir())) == 2
    backtest(log, WINDOW, CHURN, {"Cox": MODELS["Cox"]}, CUTOFFS, HORIZONS, **call)
    assert len(list(tmp_path.iterdir())) == 4


def test_a_log_with_one_more_row_is_another_log(make_log, tmp_path):
    call = {"models": [KaplanMeierModel()], "cutoffs": CUTOFFS[0], "horizons": HORIZONS, "cache": tmp_path}
    rows = shop_rows(40)
    backtest(make_log(rows), WINDOW, CHURN, **call)
    backtest(make_log(rows[::-1]), WINDOW, CHURN, **call)  # in another order it is the same
    assert len(list(tmp_path.iterdir())) == 1
    backtest(make_log([*rows, ("more", START + 100 * DAY_US)]), WINDOW, CHURN, **call)
    assert len(list(tmp_path.iterdir())) == 2


# Scores ------------------------------------------------------------------------------------------------------------


def test_scores_are_those_of_the_frame(result, frame):
    table = score_backtest(result, among="everyone", n_draws=20).set_index(["model", "cutoff", "horizon"]).sort_index()
    for (name, date, horizon), part in frame[frame["model"] != "broken"].groupby(["model", "cutoff", "horizon"]):
        row, p, y = table.loc[name, date, horizon], part["churn_probability"], part["churned"].astype(float)
        assert row["brier"] == pytest.approx(np.mean((p - y) ** 2), rel=1e-12)
        assert (row["n"], row["n_events"]) == (len(part), y.sum())
        assert row["expected"] == pytest.approx(p.sum(), rel=1e-12)
        assert row["observed_expected"] == pytest.approx(y.sum() / p.sum(), rel=1e-12)
        ranks = p.rank()
        mann_whitney = (ranks[y == 1].sum() - y.sum() * (y.sum() + 1) / 2) / (y.sum() * (1 - y).sum())
        assert row["auc"] == pytest.approx(mann_whitney, rel=1e-12)
    assert (table.loc[REFERENCE, "brier_skill"] == 0).all()
    assert table["concordance"].isna().all()  # the day of a complete silence follows from the last activity


def test_distances_have_bounds(result):
    told = score_backtest(result, n_draws=100).dropna(subset=["ici"])
    assert len(told)
    for name in ("ici", "e50", "e90"):
        assert (told[f"{name}_lower"] >= 0).all()
        assert (told[f"{name}_lower"] < told[f"{name}_upper"]).all()
    assert (told["e50"] <= told["e90"]).all()


def test_only_whose_churn_is_open_is_scored(result, frame):
    table = score_backtest(result, n_draws=20).query("model == 'Cox' and cutoff == '2024-06-29' and horizon == 30")
    part = frame.query("model == 'Cox' and cutoff == '2024-06-29' and horizon == 30")
    open_ = part[part["reached"] + 30 >= 60]
    assert table["n"].item() == len(open_) < len(part)
    assert (part.loc[part["reached"] + 30 < 60, "churn_probability"] == 0).all()
    assert table["brier"].item() == pytest.approx(
        np.mean((open_["churn_probability"] - open_["churned"].astype(float)) ** 2), rel=1e-12
    )


def test_scores_of_the_return(result, frame):
    table = score_backtest(result, quantity="return", n_draws=20).set_index(["model", "cutoff", "horizon"]).sort_index()
    part = frame.query("model == 'logistic' and cutoff == '2024-08-28' and horizon == 30")
    p, y = 1 - part["no_return_probability"], 1 - part["no_return"].astype(float)
    row = table.loc["logistic", "2024-08-28", 30.0]
    assert row["brier"] == pytest.approx(np.mean((p - y) ** 2), rel=1e-12)
    assert row["n_events"] == y.sum()
    assert 0.5 < row["concordance"] < 1


def test_segments_part_the_customers(result):
    whole = score_backtest(result, n_draws=20).query("model == 'Cox'").set_index(["cutoff", "horizon"])
    for by in ("value_order_label", "reached"):
        parts = score_backtest(result, by=by, n_draws=20).query("model == 'Cox'")
        assert parts[by].nunique() >= 2
        sums = parts.groupby(["cutoff", "horizon"])[["n", "n_events"]].sum()
        assert (sums == whole[["n", "n_events"]]).all(axis=None)
        weighted = (parts["brier"] * parts["n"]).groupby([parts["cutoff"], parts["horizon"]]).sum()
        np.testing.assert_allclose(weighted, whole["brier"] * whole["n"], rtol=1e-10)


def test_calibration_in_bins_and_as_a_curve(result, frame):
    bins = calibration_table(result, models=["Cox"], n_bins=4).query("horizon == 60")
    part = frame.query("model == 'Cox' and horizon == 60")
    assert bins["n"].sum() == len(part)
    assert (bins["observed"] * bins["n"]).sum() == pytest.approx(part["churned"].sum())
    assert (bins["predicted"] * bins["n"]).sum() == pytest.approx(part["churn_probability"].sum())
    curve = calibration_curve(result, models=["Cox"]).query("horizon == 60")
    assert ((curve["lower"] <= curve["observed"]) & (curve["observed"] <= curve["upper"])).all()
    assert curve["predicted"].is_monotonic_increasing
    by = calibration_table(result, models=["Cox"], n_bins=1, by="value_order_label").query("horizon == 60")
    assert by["n"].sum() == len(part)


def test_coverage_counts_the_intervals_that_held(result):
    totals = predicted_totals(result)
    assert set(totals["column"]) == {"", "value_order_label"}
    assert totals.query("model == 'logistic'")["held"].isna().all()
    cox = totals.query("model == 'Cox' and horizon == 60 and column == 'value_order_label'")
    assert len(cox) == 4
    assert cox["held"].tolist() == ((cox["lower"] <= cox["observed"]) & (cox["observed"] <= cox["upper"])).tolist()
    row = interval_coverage(result).query("horizon == 60 and column == 'value_order_label'")
    assert row["model"].tolist() == ["Cox"]
    assert row["covered"].item() == cox["held"].mean()
    both = totals.query("model == 'Cox' and horizon == 60").groupby(["cutoff", "column"])[["n", "observed"]].sum()
    assert (both.xs("", level="column") == both.xs("value_order_label", level="column")).all(axis=None)


def test_the_leaderboard_orders_and_says_which_differences_are_noise(result, frame):
    board = leaderboard(result, n_resamples=200)
    last = board.table.query("horizon == 60").set_index("model")
    assert board.best in ("Cox", "logistic")
    assert last.index[-1] == "broken"
    assert last.loc["broken", "status"] == "failed"
    assert last["brier"].dropna().is_monotonic_increasing
    errors = frame[(frame["horizon"] == 60) & (frame["model"] != "broken")]
    errors = errors.assign(loss=(errors["churn_probability"] - errors["churned"].astype(float)) ** 2)
    mean = errors.groupby("model")["loss"].mean()
    other = "logistic" if board.best == "Cox" else "Cox"
    for name in (other, REFERENCE):
        assert last.loc[name, "difference"] == pytest.approx(mean[name] - mean[board.best], rel=1e-10)
        assert last.loc[name, "difference_lower"] <= last.loc[name, "difference"] <= last.loc[name, "difference_upper"]
    assert last.loc[REFERENCE, "verdict"] == "worse"
    sentences = board.verdicts()
    assert sentences[0] == f"{board.best} has the lowest Brier score, {last['brier'].iloc[0]:.4f}."
    assert any(line.startswith(f"{REFERENCE} is worse than {board.best} by") for line in sentences)
    assert any(line.startswith("broken could not be fitted") for line in sentences)
    assert "Leaderboard(churn within 60 days)" in repr(board)


def test_contracts_are_scored_with_their_concordance(make_log):
    rng, rows = np.random.default_rng(0), []
    for k in range(250):
        begins, stays = rng.uniform(0, 200), rng.exponential(150 / (1 + 3 * (k % 2)))
        rows.append((f"c{k:03}", round(begins * DAY_US) + START, "signup", 1.0, "sf"[k % 2]))
        if begins + stays < 300:
            rows.append((f"c{k:03}", round((begins + stays) * DAY_US) + START, "quit", 1.0, "sf"[k % 2]))
    churn = Cancellation(("quit",), origin="kind:signup")
    recipe = Recipe(CoxModel("value_signup_label"), features=(Value("signup", "label"),))
    found = backtest(make_log(rows), WINDOW, churn, {"Cox": recipe}, CUTOFFS, HORIZONS)
    table = score_backtest(found, n_draws=20).query("model == 'Cox'")
    assert table["concordance"].between(0.55, 0.9).all()
    assert table["brier_skill"].mean() > 0
    assert "no_return" not in found.frame()
    with pytest.raises(ArgumentError, match="no return under contract"):
        score_backtest(found, quantity="return")


# Bad inputs --------------------------------------------------------------------------------------------------------


def test_what_cannot_be_asked_is_refused(log, result, refuses):
    with refuses(ArgumentError, "no models to compare"):
        backtest(log, WINDOW, CHURN, {}, CUTOFFS, HORIZONS)
    for bad in ("2024-10-20", "2023-06-01", 5):
        with refuses(WindowError, "lie outside the window, or less than 30 days"):
            backtest(log, WINDOW, CHURN, [KaplanMeierModel()], bad, HORIZONS)
    with refuses(ArgumentError, "cutoffs=0"):
        backtest(log, WINDOW, CHURN, [KaplanMeierModel()], 0, HORIZONS)
    with pytest.raises(HorizonError):
        backtest(log, WINDOW, CHURN, [KaplanMeierModel()], CUTOFFS, [90])
    with refuses(ArgumentError, "there is no column 'country'", "reached, value_order_label"):
        score_backtest(result, by="country")
    with refuses(ArgumentError, "'Weibull' is no model of this backtest"):
        calibration_table(result, models=["Weibull"])
    with refuses(ArgumentError, "as_of='period' cannot predict"):
        Recipe(KaplanMeierModel(), as_of="period")


def test_a_customer_of_whom_a_model_says_nothing_is_scored_for_none(result):
    """Told apart from the others by a forecast that is taken away."""
    forecast = result.forecasts["Cox", CUTOFFS[0]]
    hole = forecast.churn.mean.copy()
    alive = np.flatnonzero(~result.cutoffs[0].outcomes.churned_before)
    hole[alive[:7]] = np.nan
    forecasts = dict(result.forecasts)
    forecasts["Cox", CUTOFFS[0]] = replace(forecast, churn=replace(forecast.churn, mean=hole))
    other = replace(result, forecasts=forecasts)
    for before, after in zip(scored(result), scored(other), strict=True):
        lost = 7 if after.cutoff == CUTOFFS[0] else 0
        assert len(after.time) == len(before.time) - lost
        assert after.n_refused == lost


def test_what_falls_on_the_cutoff_itself_was_to_come(make_log):
    """A log of dates: orders at the midnight at which the forecast is made are outcomes, and nobody drops out of the scores."""
    rows = [(who, (when - START) // DAY_US * DAY_US + START, *rest) for who, when, *rest in shop_rows(120)]
    found = backtest(make_log(rows), WINDOW, CHURN, [KaplanMeierModel()], CUTOFFS[:1], HORIZONS)
    assert (found.cutoffs[0].outcomes.ahead == 0).any()
    table = score_backtest(found, quantity="return", n_draws=20).query("model == 'KaplanMeier'").set_index("horizon")
    part = found.frame().query("model == 'KaplanMeier' and horizon == 30")
    p, y = 1 - part["no_return_probability"], 1 - part["no_return"].astype(float)
    assert table.loc[30, "n_events"] == y.sum()
    assert table.loc[30, "brier"] == pytest.approx(np.mean((p - y) ** 2), rel=1e-12)


def test_models_are_put_in_order_at_the_same_dates(result, refuses):
    """One that failed at a date leaves it to nobody; where no date is left there is no order."""
    dates = [cutoff.date for cutoff in result.cutoffs]

    def without(*keys):
        failed = {key: replace(result.forecasts[key], failure="stopped") for key in keys}
        return replace(result, forecasts=dict(result.forecasts) | failed)

    board = leaderboard(without(("Cox", dates[0])), n_resamples=100)
    alone = leaderboard(replace(result, cutoffs=result.cutoffs[1:]), n_resamples=100)
    told = board.table.set_index(["model", "horizon"])["brier"]
    pd.testing.assert_series_equal(told, alone.table.set_index(["model", "horizon"])["brier"])
    assert set(board.table.loc[board.table["brier"].notna(), "n_cutoffs"]) == {1}
    with refuses(EmptyDataError, "at each of 2 cutoffs some model failed", "result.failures()"):
        leaderboard(without(("Cox", dates[0]), ("logistic", dates[1])))
