"""Customers of a country that no fit has seen, with the real model: integrated, flagged, and joint in the totals."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from churnsurv import (
    CellTable,
    EventLog,
    HierarchicalModel,
    PeriodTable,
    Silence,
    SpellTable,
    Value,
    churn_risk,
    simulate_shop,
)
from churnsurv.datasets import ReturnEffects
from churnsurv.errors import ApproximationWarning

SILENCE = Silence(("order",), 60, merge=None)
COUNTRIES = {f"c{k}": effect for k, effect in enumerate((-1.2, -0.8, -0.4, -0.1, 0.1, 0.4, 0.8, 1.2))}


@pytest.fixture(scope="module")
def risks():
    """The risk table of everyone, c7 unknown to the fit."""
    shop = simulate_shop(2_500, rng=4, countries=COUNTRIES, effects=ReturnEffects.none(), frailty_variance=0.0,
                         season_amplitude=0.0, closure_hazard=0.0, start="2024-01-01", end="2024-12-01")  # fmt: skip
    frame = shop.log.frame().query("kind == 'order'")
    country = frame.groupby("customer_id")["country"].first()
    known = set(country[country != "c7"].index)

    def spells_of(rows):
        log = EventLog.from_frame(rows, customer="customer_id", time="time", kind="kind", epoch_unit="us", timezone="UTC",
                                  labels=("country",))  # fmt: skip
        return SpellTable.from_events(log, shop.window, SILENCE)

    features = [Value("order", "country", name="country")]
    learnt = spells_of(frame[frame["customer_id"].isin(known)])
    fit = HierarchicalModel("1", groups=("country",)).fit(
        CellTable.from_periods(PeriodTable.from_spells(learnt, features=features)), rng=1
    )
    assert fit.info.reliable
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ApproximationWarning)
        return [churn_risk(fit, spells_of(frame), [30, 60], rng=2, chunk_size=size) for size in (1, 100_000)]


def test_a_new_group_is_flagged_and_integrated(risks):
    frame = risks[0].frame().query("horizon == 60 and status == 'supported'")
    new, old = frame[frame["country"] == "c7"], frame[frame["country"] == "c0"]
    assert new["new_group"].all()
    assert not old["new_group"].any()
    width = (frame["upper"] - frame["lower"]).groupby(frame["country"]).mean()
    assert width["c7"] > width.drop("c7").max()


def test_the_total_of_a_new_group_moves_together(risks):
    """One unknown effect for all of them: far wider than chance, and not narrower than any one of them allows."""
    risk = risks[0]
    total = risk.totals("country").query("horizon == 60").set_index("country")
    frame = risk.frame().query("horizon == 60 and country == 'c7' and status == 'supported'")
    p = frame["churn_probability"]
    chance = np.sqrt((p * (1 - p)).sum())
    spread = (total.loc["c7", "upper"] - total.loc["c7", "lower"]) / 3.29
    assert spread > 2.5 * chance
    assert total.loc["c7", "expected"] == pytest.approx(p.sum())
    counts = risk.sums["country"].counts[:, list(total.index).index("c7"), 1]
    assert counts.mean() == pytest.approx(p.sum(), abs=4 * counts.std() / np.sqrt(len(counts)))


def test_a_known_group_is_uncertain_by_chance_mostly(risks):
    total = risks[0].totals("country").query("horizon == 60").set_index("country")
    frame = risks[0].frame().query("horizon == 60 and country == 'c3' and status == 'supported'")
    p = frame["churn_probability"]
    spread = (total.loc["c3", "upper"] - total.loc["c3", "lower"]) / 3.29
    assert spread < 1.6 * np.sqrt((p * (1 - p)).sum())


def test_batches_change_nothing(risks):
    one, all_at_once = risks
    assert one.frame().equals(all_at_once.frame())
    assert one.totals("country").equals(all_at_once.totals("country"))
