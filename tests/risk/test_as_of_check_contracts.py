"""The as-of check with causes, of contracts and closures: what happened is counted by hand, whatever the model."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from churnsurv import KaplanMeierModel, Silence, SpellTable, Value, as_of_check, simulate_shop
from churnsurv.datasets import ReturnEffects, simulate_subscription
from churnsurv.errors import ArgumentError, HorizonError
from churnsurv.models.cox import CoxModel
from churnsurv.tables.contracts import Cancellation


@pytest.fixture(scope="module")
def business():
    return simulate_subscription(3_000, rng=7, frailty_variance=0.0, countries={"here": 0.0})


@pytest.fixture(scope="module")
def spells(business):
    churn = Cancellation(business.truth.causes, origin="kind:signup")
    return SpellTable.from_events(business.log, business.window, churn)


@pytest.fixture(scope="module")
def check(spells):
    return as_of_check(spells, KaplanMeierModel(), rng=1)


def happened(business, days):
    """Contracts open ``days`` before the end: the tenure then, and the cause by which each ended until the end."""
    true = business.spells
    cutoff = pd.Timestamp(business.window.end, tz="UTC") - pd.to_timedelta(days, unit="D")
    closes = true["origin"] + pd.to_timedelta(true["observed_duration"], unit="D")
    known = true[(true["origin"] < cutoff) & true["in_log"]]
    open_then = known[closes[known.index] >= cutoff]
    seen = np.minimum(known["observed_duration"], (cutoff - known["origin"]) / pd.to_timedelta(1, unit="D"))
    told = seen[open_then.index] + days <= seen.max()  # a curve says nothing beyond the longest contract it has seen
    return open_then[told]["observed_event"].to_numpy()


def test_the_outcome_is_what_happened(business, check):
    event = happened(business, 90)
    assert check.cutoff == "2024-10-03"
    assert check.horizon == 90.0
    assert check.n_customers == len(event)
    assert check.observed == (event > 0).sum()
    assert [part.cause for part in check.causes] == list(business.truth.causes)
    assert [part.observed for part in check.causes] == [(event == k).sum() for k in (1, 2)]
    assert sum(part.expected for part in check.causes) == pytest.approx(check.expected)
    assert sum(part.observed for part in check.bins) == check.observed


def test_a_right_model_is_right(check):
    """All customers of one tenure are alike but for the plan: chance decides, four standard deviations."""
    for part in (check, *check.causes):
        assert abs(part.observed - part.expected) < 4 * np.sqrt(part.expected)
        assert part.lower < part.expected < part.upper
    assert check.reliable


@pytest.mark.parametrize("as_of", ["spell", "landmark"])
def test_row_models_and_their_columns(business, spells, as_of):
    features = [Value("signup", "plan", name="plan")]
    check = as_of_check(spells, CoxModel("plan"), features=features, horizon=60, as_of=as_of, rng=1)
    event = happened(business, 60)
    assert check.horizon == 60.0
    assert check.n_customers <= len(event)  # nobody is told beyond the data
    assert check.n_customers > 0.8 * len(event)
    assert abs(check.observed - check.expected) < 4 * np.sqrt(check.expected)
    assert check.bins[0].expected / check.bins[0].n < 0.7 * check.bins[-1].expected / check.bins[-1].n


def test_a_model_for_each_cause(spells):
    models = {"cancelled": KaplanMeierModel(), "payment_failed": KaplanMeierModel()}
    assert as_of_check(spells, models, horizon=30).horizon == 30.0
    with pytest.raises(ArgumentError, match="no model of 'payment_failed'"):
        as_of_check(spells, {"cancelled": KaplanMeierModel()}, horizon=30)


def test_what_cannot_be_checked(spells):
    with pytest.raises(ArgumentError, match="longer window, or check a shorter horizon"):
        as_of_check(spells, KaplanMeierModel(), horizon=400)
    with pytest.raises(HorizonError):
        as_of_check(spells, KaplanMeierModel(), horizon=-1)
    with pytest.raises(ArgumentError, match="decided by every cause"):
        as_of_check(spells.with_cause("cancelled"), KaplanMeierModel())
    frame = pd.DataFrame({"days": [2.0, 3.0, 12.0], "left": [1, 0, 0]})
    durations = SpellTable.from_durations(frame, duration="days", event="left", unit="day")
    with pytest.raises(ArgumentError, match="no date at which to look back"):
        as_of_check(durations, KaplanMeierModel())


def test_silence_and_closures():
    """Counted from the log: closed within the 60 days and before the silence was complete, or silent throughout."""
    shop = simulate_shop(
        1_500, rng=21, effects=ReturnEffects.none(), frailty_variance=0.0, countries={"here": 0.0}, season_amplitude=0.0,
        closure_hazard=0.004, start="2023-01-01", end="2024-01-01",
    )  # fmt: skip
    churn = Silence(("order",), 60, merge=None, terminal=("closed",))
    check = as_of_check(SpellTable.from_events(shop.log, shop.window, churn), KaplanMeierModel(), rng=1)
    rows = shop.log.frame().query("kind in ('order', 'closed')")
    cutoff, limit = shop.window.resolve("UTC")[1] - 60 * 86_400_000_000, 60 * 86_400_000_000
    last = rows[rows["time"] < cutoff].groupby("customer_id")[["time", "kind"]].last()
    active = last[(last["kind"] == "order") & (last["time"] > cutoff - limit)]["time"]
    later = rows[rows["time"] >= cutoff].groupby("customer_id")[["time", "kind"]].first().reindex(active.index)
    silent = later["time"].isna() | (later["time"] - active >= limit)
    closed = ~silent & (later["kind"] == "closed")
    assert check.n_customers == len(active)
    assert [(part.cause, part.observed) for part in check.causes] == [
        ("silence", silent.sum()),
        ("closure", closed.sum()),
    ]
    for part in (check, *check.causes):
        assert abs(part.observed - part.expected) < 4 * np.sqrt(part.expected)
