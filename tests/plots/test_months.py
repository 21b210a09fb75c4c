"""Levels of the months: against the average month of the data, and the walk ahead."""

import json

import numpy as np
import pytest

from churnsurv.plots.months import KNOWN, TO_COME, months_data, plot_months
from tests.models.hierarchical.calendar_data import fit_of, schema_of

FIRST, N, DRAWS = 12 * 2020 + 10, 14, 4_000


@pytest.fixture(scope="module")
def fit():
    rng = np.random.default_rng(0)
    level = np.linspace(-0.6, 0.7, N)
    level -= level.mean()
    draws = {
        "month": level + 0.1 * rng.normal(size=(DRAWS, N)),
        "month_sd": np.full(DRAWS, 0.2),
        "log_baseline": np.full((DRAWS, 2), -4.0),
    }
    return fit_of(schema_of(FIRST, N), FIRST, N, draws)


def test_ratios_are_those_of_the_levels(fit):
    data = months_data(fit, ahead=2)
    assert data["month"].tolist()[:3] == ["2020-11", "2020-12", "2021-01"]
    assert data["when"].tolist() == [KNOWN] * N + [TO_COME] * 2
    month = fit.posterior["posterior"]["month"].values[0]
    np.testing.assert_allclose(data["hazard_ratio"][:N], np.median(np.exp(month), axis=0), rtol=1e-12)
    np.testing.assert_allclose(data["lower"][:N], np.quantile(np.exp(month), 0.05, axis=0), rtol=1e-12)


def test_months_to_come_spread_as_the_walk_does(fit):
    """The k-th month ahead has the variance of the last one and k steps (eq. of the walk)."""
    data = months_data(fit, ahead=6).iloc[N:]
    ahead = np.arange(1, 7)
    width = np.log(data["upper"] / data["lower"]) / (2 * 1.6448536)
    np.testing.assert_allclose(width, np.sqrt(0.1**2 + ahead * 0.2**2), rtol=0.05)
    np.testing.assert_allclose(np.log(data["hazard_ratio"]), np.linspace(-0.6, 0.7, N)[-1] - 0.05, atol=0.03)


def test_a_season_is_part_of_the_level_and_of_the_average():
    n = 24
    season = np.tile(np.log([1.5, *[1.0] * 11]), (50, 1))
    fit = fit_of(schema_of(12 * 2020, n), 12 * 2020, n, {"season": season, "log_baseline": np.full((50, 2), -4.0)})
    data = months_data(fit, ahead=1)
    average = np.exp(np.log(1.5) / 12)
    np.testing.assert_allclose(
        data["hazard_ratio"], [1.5 / average, *[1 / average] * 11] * 2 + [1.5 / average], rtol=1e-9
    )


def test_without_months_there_is_nothing_to_show(fit):
    one = fit_of(schema_of(FIRST, 1), FIRST, 1, {"log_baseline": np.full((9, 2), -4.0)})
    assert months_data(one).empty


def test_the_chart_holds_every_month_and_marks_those_to_come(fit):
    chart = plot_months(fit, paces="Comes back").to_dict()
    rows = next(iter(json.loads(json.dumps(chart["datasets"])).values()))
    assert len(rows) == N + 3
    assert [row["when"] for row in rows].count(TO_COME) == 3
    assert "Comes back, times the average month" in json.dumps(chart)
