"""A Cox model on the tables of a shop: from spells or periods to risks."""

from __future__ import annotations

import numpy as np
import pytest

import churnsurv
from churnsurv import Count, PeriodTable, Silence, SpellTable, Value, churn_risk, simulate_shop
from churnsurv.errors import ApproximationWarning
from churnsurv.models.cox import CoxModel
from churnsurv.tables.bins import Quantiles
from churnsurv.tables.episodes import Episodes

MODEL = CoxModel("count_order_180d + value_order_country")


@pytest.fixture(scope="module")
def spells():
    shop = simulate_shop(300, rng=1)
    return SpellTable.from_events(shop.log, shop.window, Silence(kinds=("order",), days=90))


@pytest.fixture(scope="module")
def periods(spells):
    return PeriodTable.from_spells(spells, features=[Count("order", days=180), Value("order", "country")])


@pytest.fixture(scope="module")
def fit(periods):
    return MODEL.fit(periods, draws=100)


def test_periods_are_read_as_episodes(periods, fit):
    rows = MODEL.fit(Episodes.from_periods(periods), draws=100)
    assert rows.info.to_json() == fit.info.to_json()
    assert rows.summary().equals(fit.summary())
    assert fit.robust_covariance is not None  # customers return many times
    assert fit.info.independent_gaps


def test_spells_without_columns_have_a_baseline(spells):
    fit = CoxModel().fit(spells, draws=10)
    assert fit.info.n_events == int(np.sum(spells.arrays()["event"]))
    assert fit.baseline["cumulative_hazard"].is_monotonic_increasing


def test_moving_features_are_rows(spells):
    moving = PeriodTable.from_spells(spells, features=[Count("order", days=180)], as_of="period")
    still = PeriodTable.from_spells(spells, features=[Count("order", days=180)])
    one, other = (CoxModel("count_order_180d").fit(table, draws=1) for table in (moving, still))
    assert len(one.rows) > 2 * len(other.rows)
    assert one.info.n_events > 0
    assert one.coef.item() != other.coef.item()


def test_bins_by_quantiles_are_saved_as_edges(periods, tmp_path):
    model = CoxModel("count_order_180d", bins={"count_order_180d": Quantiles(3)}, strata=("value_order_country",))
    fit = model.fit(periods, draws=4)
    fit.save(tmp_path / "fit")
    loaded = churnsurv.load(tmp_path / "fit")
    assert loaded.model.bins["count_order_180d"] == fit.schema.column("count_order_180d").edges
    assert loaded.summary().equals(fit.summary())


def test_risks_have_intervals_and_survive_a_file(spells, fit, tmp_path):
    fit.save(tmp_path / "fit")
    frames = []
    for one in (fit, churnsurv.load(tmp_path / "fit")):
        with pytest.warns(ApproximationWarning):
            frames.append(churn_risk(one, spells, [30, 90]).frame())
    assert frames[0].equals(frames[1])
    told = frames[0].query("status == 'supported' and horizon == 90")
    assert len(told) > 100
    assert np.all(told["lower"] < told["churn_probability"])
    assert np.all(told["churn_probability"] < told["upper"])
