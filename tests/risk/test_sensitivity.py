"""What the number of days decides: a tiny log by hand, two roads to one number, and the shipped shop."""

from __future__ import annotations

import math

import numpy as np
import pytest

from churnsurv import ObservationWindow, Silence, SpellTable, load_online_retail
from churnsurv.errors import DefinitionError, HorizonError
from churnsurv.hazards.nonparametric import kaplan_meier
from churnsurv.models.base import FitInfo
from churnsurv.risk.sensitivity import definition_sensitivity
from churnsurv.tables.cells import CellTable
from churnsurv.tables.features import Value
from churnsurv.tables.periods import PeriodTable
from tests.risk.exact_fit import ExactFit

WINDOW = ObservationWindow("2024-01-01", "2024-04-10")  # 100 days
DAYS = {"a": (0, 10, 50), "b": (80,), "c": (5, 70), "d": (60,)}
"""Gaps: a 10 and 40, open 50; b open 20; c 65, open 30; d open 40."""


@pytest.fixture
def log(make_log):
    start = 1_704_067_200_000_000
    label = {"a": "quick", "b": "slow", "c": "slow", "d": "quick"}
    return make_log(
        [(who, start + day * 86_400_000_000, "order", None, label[who]) for who, days in DAYS.items() for day in days]
    )


@pytest.fixture
def fit(log):
    """Returns 0.02 a day, three times that for the quick; the definition says 60 days."""
    spells = SpellTable.from_events(log, WINDOW, Silence(("order",), 60))
    periods = PeriodTable.from_spells(spells, breaks=[0, 100], features=[Value("order", "label", name="pace")])
    schema = CellTable.from_periods(periods).schema
    assert schema.column("pace").labels == ("quick", "slow")
    return ExactFit(schema, np.array([[0.02]]), np.array([[3.0, 1.0]]), FitInfo(status="ok"))


def test_every_number_by_hand(log):
    found = definition_sensitivity(log, WINDOW, days=[45, 30, 90], within=20)
    thirty, forty_five, ninety = found.rows
    assert (thirty.days, thirty.n_customers, thirty.n_churned, thirty.share_churned) == (30.0, 4, 3, 0.75)
    assert (thirty.n_at_risk, thirty.n_came_back, thirty.share_came_back) == (4, 2, 0.5)
    assert thirty.survival == pytest.approx(6 / 7)
    assert thirty.return_probability == pytest.approx(
        1 / 4
    )  # of 4 gaps beyond 30 days one ends at 40, one is cut off there
    assert (forty_five.n_churned, forty_five.n_at_risk, forty_five.n_came_back) == (1, 2, 1)
    assert forty_five.survival == pytest.approx(6 / 7 * 3 / 4)
    assert forty_five.return_probability == 1.0  # 50 days are cut off, 65 ends
    assert (ninety.n_churned, ninety.n_at_risk, ninety.survival) == (0, 0, 0.0)
    assert all(math.isnan(value) for value in (ninety.share_came_back, ninety.return_probability, ninety.return_lower))
    assert thirty.survival_lower < thirty.survival < thirty.survival_upper
    assert all(row.n_ranked == 0 and math.isnan(row.rank_correlation) for row in found.rows)


def test_the_ranking_under_one_hazard_by_hand(log, fit):
    """Exponents f · 0.02 · (N − r): under 60 days b 0.8, c 0.6, d 1.2; under 42 days b 0.44, c 0.24, d 0.12."""
    found = definition_sensitivity(log, WINDOW, days=[42, 60, 25], fit=fit)
    short, middle, reference = found.rows
    assert (middle.n_ranked, middle.rank_correlation, middle.top_overlap) == (3, pytest.approx(-0.5), 0.0)
    assert (reference.n_ranked, reference.rank_correlation, reference.top_overlap) == (4, pytest.approx(1.0), 1.0)
    assert short.n_ranked == 1  # b alone is active under 25 days
    assert math.isnan(short.rank_correlation)
    assert found.reference == 60.0


def test_beyond_the_fit_there_is_no_ranking(log, fit):
    beyond = definition_sensitivity(log, WINDOW, days=[120], fit=fit).rows[0]
    assert beyond.n_ranked == 0
    assert math.isnan(beyond.top_overlap)
    assert beyond.n_churned == 0


def test_the_frame_and_the_text(log, fit):
    found = definition_sensitivity(log, WINDOW, days=[42, 60], fit=fit)
    assert found.frame()["days"].tolist() == [42.0, 60.0]
    lines = repr(found).splitlines()
    assert lines[0] == "after N days without order of 4 customers"
    assert lines[1].split("  ")[-1].strip() == "top tenth"
    assert [line.split()[0] for line in lines[2:4]] == ["42", "60"]
    assert lines[-1] == "Rankings are compared with N = 60, among customers active under both."
    assert "needs a fit" in repr(definition_sensitivity(log, WINDOW, days=[42]))


def test_refusals(log, fit, refuses):
    for days in ([], [0], [-5, 30], [30, 30], [math.inf]):
        with refuses(HorizonError, "`days`"):
            definition_sensitivity(log, WINDOW, days=days)
    with refuses(DefinitionError, "merge=None are asked for", "fit.schema.churn"):
        definition_sensitivity(log, WINDOW, merge=None, fit=fit)


@pytest.fixture(scope="module")
def shop():
    return load_online_retail(), ObservationWindow("2010-12-01", "2011-12-10")


def test_two_roads_to_a_return(shop):
    """From the gaps beyond N, or as a ratio of the one curve."""
    spells = SpellTable.from_events(*shop, Silence(("order",), 90)).arrays()
    curve = kaplan_meier(spells["exit"], spells["event"])
    for row in definition_sensitivity(*shop, days=[30, 90, 150], within=120).rows:
        assert row.survival == pytest.approx(curve.survival_at([row.days])[0], rel=1e-12)
        stays = curve.conditional_survival([row.days], [row.days + 120])[0]
        assert row.return_probability == pytest.approx(1 - stays, rel=1e-9)


def test_in_the_shipped_shop_most_of_the_churned_come_back(shop):
    """Held fast since the documentation shows them; the counts follow from the 16,763 gaps by plain counting."""
    found = definition_sensitivity(*shop)
    frame = found.frame()
    assert frame["n_churned"].tolist() == [2_710, 1_962, 1_449, 861]
    assert frame["n_at_risk"].tolist() == [8_578, 4_948, 3_220, 1_297]
    assert frame["n_came_back"].tolist() == [5_868, 2_986, 1_771, 436]
    assert frame["survival"].to_numpy() == pytest.approx([0.5850, 0.3785, 0.2801, 0.1520], abs=5e-5)
    assert frame["return_probability"].to_numpy() == pytest.approx([0.7736, 0.6896, 0.6211, 0.5635], abs=5e-5)
    assert (frame["n_at_risk"] - frame["n_came_back"] == frame["n_churned"]).all()  # whoever is not back is silent now
    assert (frame["return_probability"] > frame["share_came_back"]).all()
