import numpy as np

from churnsurv.hazards.nonparametric import kaplan_meier
from churnsurv.plots.survival import FITTED, OBSERVED, at_risk_data, mean_survival, plot_survival, survival_data
from churnsurv.plots.svg import to_svg
from churnsurv.tables.window import DAY_US


def shares_by_country(cells):
    faster = {"United Kingdom": 1.0, "France": 1.5, "Malta": 0.5, "Chad": 1.0}
    weight = {}
    for country, n in zip(cells.labels("country"), cells.n_spells, strict=True):
        weight[faster[country]] = weight.get(faster[country], 0) + n
    total = sum(weight.values())
    return {speed: n / total for speed, n in weight.items()}


def test_mean_survival_averages_patterns_within_each_draw(fit, cells):
    times = np.array([0.0, 10.0, 45.0])
    draws = mean_survival(fit, cells, times)
    expected = sum(
        share * np.exp(-np.outer([0.8, 1.0, 1.25], 0.015 * speed * times))
        for speed, share in shares_by_country(cells).items()
    )
    np.testing.assert_allclose(draws, expected, rtol=1e-12)


def test_survival_data_holds_mean_and_bounds_of_the_average(fit, cells):
    data = survival_data(fit, cells, ci_prob=0.90)
    draws = mean_survival(fit, cells, data["days"].to_numpy())
    np.testing.assert_allclose(data["survival"], draws.mean(axis=0))
    np.testing.assert_allclose(data["lower"], np.quantile(draws, 0.05, axis=0))
    np.testing.assert_allclose(data["upper"], np.quantile(draws, 0.95, axis=0))
    assert set(data["series"]) == {FITTED}
    assert (data["ci_kind"] == "eti").all()
    assert (data["ci_prob"] == 0.90).all()
    assert data["days"].iloc[0] == 0
    assert data["survival"].iloc[0] == 1


def test_the_model_curve_has_a_point_at_every_break(fit, cells):
    data = survival_data(fit, cells)
    breaks = [b for b in fit.schema.breaks if b <= data["days"].max()]
    assert set(breaks) <= set(data["days"])


def test_curves_end_where_fewer_than_ten_are_at_risk(fit, cells, spells):
    data = survival_data(fit, cells, spells)
    last = data["days"].max()
    assert fit.n_at_risk(np.array([last]))[0] >= 10
    observed = data[data["series"] == OBSERVED]
    assert observed["n_at_risk"].min() >= 10


def test_observed_steps_are_kaplan_meier_on_whole_days(fit, cells, spells):
    data = survival_data(fit, cells, spells)
    observed = data[data["series"] == OBSERVED]
    assert (observed["days"] == observed["days"].round()).all()
    assert observed["days"].is_unique
    gaps = spells.frame()
    gaps = gaps[gaps["origin"] >= spells.start_us + 90 * DAY_US]
    curve = kaplan_meier(gaps["exit"].to_numpy(), gaps["event"].to_numpy() > 0)
    inner = observed[observed["days"].between(1, 60)]
    np.testing.assert_allclose(inner["survival"], curve.survival_at(inner["days"].to_numpy()))
    assert observed["n_at_risk"].iloc[0] == len(gaps) < spells.n_spells


def test_at_risk_counts_under_ten_are_hidden(fit):
    breaks = np.asarray(fit.schema.breaks[1:])
    labels = at_risk_data(fit, breaks)["label"].tolist()
    for label, n in zip(labels, fit.n_at_risk(breaks), strict=True):
        assert label == (f"{n:,}" if n >= 10 else "<10")


def test_the_drawing_marks_the_churn_day(fit, cells, spells):
    svg = to_svg(plot_survival(fit, cells, spells), name="s")
    assert "churned after 90 days" in svg
    assert "At risk" in svg
