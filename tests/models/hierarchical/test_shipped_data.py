"""The data that the package ships: sampled fits pass the gate without a word (a minute; warnings are errors in all tests)."""

from __future__ import annotations

import pytest

import churnsurv as cs
from churnsurv.datasets import load_online_retail, load_telco
from churnsurv.tables.features import Baseline

pytestmark = pytest.mark.slow
TELCO = (Baseline("Contract"), Baseline("InternetService"), Baseline("MonthlyCharges"))


def reliable(fit) -> None:
    assert fit.info.status == "ok", fit.info.messages
    assert fit.info.divergences == 0
    assert fit.info.rhat_max < 1.01


def test_telco_by_cells():
    cells = cs.CellTable.from_periods(cs.PeriodTable.from_spells(load_telco(), features=TELCO))
    reliable(cs.HierarchicalModel("Contract + MonthlyCharges", groups=("InternetService",)).fit(cells, rng=1))


def test_telco_by_spells_in_whole_months():
    rows = cs.Episodes.from_periods(cs.PeriodTable.from_spells(load_telco(), features=TELCO))
    model = cs.HierarchicalModel("Contract", groups=("InternetService",), baseline="weibull", rounded=365.25 / 12)
    reliable(model.fit(rows, rng=1))


def test_online_retail_with_a_rhythm_of_each_customer_and_months():
    log = load_online_retail()
    window = cs.ObservationWindow("2010-12-01", "2011-12-10")
    spells = cs.SpellTable.from_events(log, window, cs.Silence(("order",), 90))
    features = [cs.Value("order", "revenue"), cs.Value("order", "country", name="country")]
    cells = cs.CellTable.from_periods(
        cs.PeriodTable.from_spells(spells, features=features, calendar="month"), customers=True
    )
    model = cs.HierarchicalModel("value_order_revenue", groups=("country",), frailty="gamma", calendar=True)
    reliable(model.fit(cells, rng=0))
