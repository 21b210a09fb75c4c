"""The as-of check: nothing later is known, the outcome is what happened, a wrong model is found out."""

from __future__ import annotations

import numpy as np
import pytest

from churnsurv import (
    Count,
    EventLog,
    HierarchicalModel,
    ObservationWindow,
    Silence,
    SpellTable,
    as_of_check,
    simulate_shop,
)
from churnsurv.datasets import ReturnEffects
from churnsurv.errors import ArgumentError

SILENCE = Silence(kinds=("order",), days=60, merge=None)


@pytest.fixture(scope="module")
def calm():
    """No season, no frailty: what was learnt in the past holds for the future."""
    return simulate_shop(
        4_000, rng=21, effects=ReturnEffects.none(), frailty_variance=0.0, countries={"here": 0.0}, season_amplitude=0.0,
        closure_hazard=0.0, start="2023-01-01", end="2024-01-01",
    )  # fmt: skip


@pytest.fixture(scope="module")
def check(calm):
    spells = SpellTable.from_events(calm.log, calm.window, SILENCE)
    return as_of_check(spells, HierarchicalModel("1"), rng=1)


def test_the_outcome_is_what_happened(calm, check):
    """Counted by hand from the log: active on 2 November, and no order for 60 days after the last one."""
    orders = calm.log.frame().query("kind == 'order'")
    end = calm.window.resolve("UTC")[1]
    cutoff = end - 60 * 86_400_000_000
    last = orders[orders["time"] < cutoff].groupby("customer_id")["time"].max()
    active = last[last > cutoff - 60 * 86_400_000_000]
    following = orders[orders["time"] >= cutoff].groupby("customer_id")["time"].min().reindex(active.index)
    silent = following.isna() | (following - active >= 60 * 86_400_000_000)
    assert check.cutoff == "2023-11-02"
    assert check.n_customers == len(active)
    assert check.observed == int(silent.sum())
    assert sum(part.n for part in check.bins) == check.n_customers
    assert sum(part.observed for part in check.bins) == check.observed
    assert sum(part.expected for part in check.bins) == pytest.approx(check.expected)


def test_a_right_model_is_right(check):
    """Chance alone decides: four standard deviations of the count."""
    spread = np.sqrt(sum(part.expected * (1 - part.expected / part.n) for part in check.bins))
    assert abs(check.observed - check.expected) < 4 * spread
    assert check.reliable
    for part in check.bins:
        assert abs(part.observed - part.expected) < 4.5 * np.sqrt(part.expected * (1 - part.expected / part.n) + 0.25)


def test_a_season_that_was_never_seen_is_found_out():
    """Few orders until autumn, many in November: the past says too many will fall silent, and the verdict says so."""
    shop = simulate_shop(
        4_000, rng=22, effects=ReturnEffects.none(), frailty_variance=0.0, countries={"here": 0.0}, season_amplitude=1.2,
        season_peak=12, closure_hazard=0.0, start="2023-03-01", end="2024-01-01", history_days=0.0,
    )  # fmt: skip
    spells = SpellTable.from_events(shop.log, shop.window, SILENCE)
    check = as_of_check(spells, HierarchicalModel("1"), rng=1)
    assert check.observed < check.lower
    assert "expected too many" in check.verdict


def test_what_is_later_changes_no_prediction(calm):
    """The same prediction when everything after the cutoff is another future."""
    features = [Count("order", days=60)]
    bins = {"count_order_60d": [0, 1, np.inf]}
    end = calm.window.resolve("UTC")[1]
    cutoff = end - 60 * 86_400_000_000
    frame = calm.log.frame()
    kept = frame[(frame["time"] < cutoff) | (frame["customer_id"].str[-1].isin(list("02468")))]
    other = EventLog.from_frame(kept, customer="customer_id", time="time", kind="kind", epoch_unit="us", timezone="UTC")
    answers = []
    for log in (calm.log, other):
        spells = SpellTable.from_events(log, calm.window, SILENCE)
        answers.append(as_of_check(spells, HierarchicalModel("count_order_60d"), features=features, bins=bins, rng=1))
    a, b = answers
    assert (a.n_customers, a.expected, a.lower, a.upper) == (b.n_customers, b.expected, b.lower, b.upper)
    assert a.observed < b.observed


def test_a_window_too_short_to_check(calm):
    window = ObservationWindow("2023-10-15", calm.window.end)
    spells = SpellTable.from_events(calm.log, window, SILENCE)
    with pytest.raises(ArgumentError, match="longer window"):
        as_of_check(spells, HierarchicalModel("1"))


def test_a_kind_that_had_not_happened_yet(calm):
    """The first ticket comes after the cutoff: until then nobody had one, and the check still runs."""
    frame = calm.log.frame()
    end = calm.window.resolve("UTC")[1]
    late = frame[(frame["kind"] != "ticket") | (frame["time"] > end - 30 * 86_400_000_000)]
    log = EventLog.from_frame(late, customer="customer_id", time="time", kind="kind", epoch_unit="us", timezone="UTC")
    spells = SpellTable.from_events(log, calm.window, SILENCE)
    features = [Count("order", days=60), Count("ticket", days=60)]
    bins = {"count_order_60d": [0, 1, np.inf], "count_ticket_60d": [0, 0.5, np.inf]}
    with pytest.warns(UserWarning, match="count_ticket_60d"):
        check = as_of_check(
            spells, HierarchicalModel("count_order_60d + count_ticket_60d", on_bad="drop"), features=features, bins=bins,
        )  # fmt: skip
    assert check.observed > 0
