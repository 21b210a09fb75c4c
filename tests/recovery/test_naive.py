"""Four ways to be wrong, each on a shop whose truth is known: the naive way is off by X, this way is not.

The sizes are those of docs/explanation/mistakes.md.
"""

from __future__ import annotations

import datetime as dt
import itertools

import numpy as np
import pytest

from churnsurv import (
    CellTable,
    Count,
    EventLog,
    ObservationWindow,
    PeriodTable,
    Silence,
    SpellTable,
    Value,
    simulate_shop,
)
from churnsurv.datasets import Experience, ReturnEffects
from churnsurv.hazards.nonparametric import kaplan_meier
from churnsurv.tables.features import Arrival

GAPS = Silence(kinds=("order",), days=90, merge=None)
BREAKS = (0.0, 7.0, 14.0, 30.0, 60.0, 90.0, 180.0, 800.0)


def rate_ratio(exposed, period, events, exposure) -> tuple[float, float]:
    """Mantel-Haenszel rate ratio over periods and the standard error of its logarithm.

    Rothman, Greenland and Lash, Modern Epidemiology, 3rd ed., ch. 15: sum(a T0 / T) / sum(b T1 / T), variance of
    its logarithm by Greenland and Robins (1985).
    """
    top = bottom = spread = 0.0
    for j in np.unique(period):
        a, b = (events[(period == j) & (exposed == k)].sum() for k in (True, False))
        t1, t0 = (exposure[(period == j) & (exposed == k)].sum() for k in (True, False))
        if t1 + t0 == 0:
            continue
        top, bottom = top + a * t0 / (t1 + t0), bottom + b * t1 / (t1 + t0)
        spread += (a + b) * t1 * t0 / (t1 + t0) ** 2
    return top / bottom, float(np.sqrt(spread / (top * bottom)))


def split(exit_days, event, exposed):
    """Person-periods of gaps, by hand: a second road beside the tables."""
    parts = [
        (
            exposed,
            np.full(len(exit_days), j),
            event * (exit_days > low) * (exit_days <= high),
            np.clip(exit_days - low, 0, high - low),
        )
        for j, (low, high) in enumerate(itertools.pairwise(BREAKS))
    ]
    return [np.concatenate(column) for column in zip(*parts, strict=True)]


def cells_ratio(cells: CellTable, name: str, level: str) -> tuple[float, float]:
    return rate_ratio(cells.labels(name) == level, cells.period, cells.n_events[:, 0], cells.exposure)


@pytest.fixture(scope="module")
def null_shop():
    """Nothing has an effect, and all customers are alike."""
    return simulate_shop(
        6_000, rng=11, effects=ReturnEffects.none(), frailty_variance=0.0, countries={"here": 0.0}, season_amplitude=0.0,
        closure_hazard=0.0, history_days=365.0,
    )  # fmt: skip


@pytest.fixture(scope="module")
def null_spells(null_shop):
    return SpellTable.from_events(null_shop.log, null_shop.window, GAPS)


def test_immortal_time_an_orders_own_review_at_the_gaps_start():
    """Truth: the review has no effect, rate ratio 1. Whoever returns soon never gets to write one."""
    brisk = simulate_shop(1_500, rng=10, effects=ReturnEffects.none(), frailty_variance=0.0, countries={"here": 0.0},
                          season_amplitude=0.0, closure_hazard=0.0, hazards=(0.01, 0.05, 0.05, 0.04, 0.03, 0.02, 0.01),
                          experience=Experience(review=0.8, review_days=15.0))  # fmt: skip
    brisk_spells = SpellTable.from_events(brisk.log, brisk.window, GAPS)
    gaps = brisk_spells.frame()
    reviews = brisk.log.frame().query("kind == 'review'")[["customer_id", "time"]]
    pairs = gaps.merge(reviews, on="customer_id")
    pairs = pairs[(pairs["time"] > pairs["origin"]) & (pairs["time"] <= pairs["origin"] + pairs["exit"] * 86_400e6)]
    reviewed = gaps.set_index(["customer_id", "spell"]).index.isin(pairs.set_index(["customer_id", "spell"]).index)
    naive, _ = rate_ratio(*split(gaps["exit"].to_numpy(), gaps["event"].to_numpy(), reviewed))
    assert naive < 0.5

    features = [Value("review", "rating", days=180, name="last_rating")]
    periods = PeriodTable.from_spells(brisk_spells, breaks=BREAKS, features=features)
    cells = CellTable.from_periods(periods, bins={"last_rating": [0.5, 3.5, 5.5]})
    right, error = cells_ratio(cells, "last_rating", "none yet")
    assert abs(np.log(right)) < 3 * error
    assert error < 0.03

    arriving = PeriodTable.from_spells(brisk_spells, breaks=BREAKS, features=[Arrival("review")])
    split_ratio, error = cells_ratio(CellTable.from_periods(arriving), "arrival_review", "arrived")
    assert abs(np.log(split_ratio)) < 3 * error
    assert error < 0.06


def test_look_ahead_orders_counted_as_of_today(null_shop, null_spells):
    """Truth: all customers are alike, rate ratio 1. Whoever returns soon has more orders in the end."""
    gaps = null_spells.frame()
    total = gaps.groupby("customer_id")["spell"].transform("max").to_numpy()
    naive, _ = rate_ratio(*split(gaps["exit"].to_numpy(), gaps["event"].to_numpy(), total > np.median(total)))
    assert naive > 1.4

    periods = PeriodTable.from_spells(null_spells, breaks=BREAKS, features=[Count("order", days=180)])
    cells = CellTable.from_periods(periods, bins={"count_order_180d": [0, 3, np.inf]})
    right, error = cells_ratio(cells, "count_order_180d", "4 or more")
    assert abs(np.log(right)) < 3 * error
    assert error < 0.03


def test_look_back_truncation_early_gaps_know_less():
    """Truth: the ratio on a log that reaches back before the window. Near its start, a short log takes the busy for new."""
    shop = simulate_shop(6_000, rng=12, frailty_variance=1.0, season_amplitude=0.0, closure_hazard=0.0, history_days=800.0,
                         effects=ReturnEffects.none(), countries={"here": 0.0}, start="2024-01-01", end="2025-01-01")  # fmt: skip
    declared, edges = [Count("order", days=180)], {"count_order_180d": [0, 1, np.inf]}

    def ratio(spells: SpellTable) -> tuple[float, float]:
        periods = PeriodTable.from_spells(spells, breaks=BREAKS, features=declared)
        return cells_ratio(CellTable.from_periods(periods, bins=edges), "count_order_180d", "2 or more")

    whole = EventLog.from_frame(shop.frame("all"), customer="customer_id", time="time", kind="kind", timezone="UTC")
    wide = SpellTable.from_events(whole.before(shop.window.end), ObservationWindow("2023-01-01", shop.window.end), GAPS)
    truth, _ = ratio(wide)
    spells = SpellTable.from_events(shop.log, shop.window, GAPS)
    right, error = ratio(spells)
    assert abs(np.log(right / truth)) < 3 * error

    gaps = spells.frame()
    times = gaps["origin"].to_numpy()
    earlier = np.array([
        ((times[group] > t - 180 * 86_400e6) & (times[group] <= t)).sum()
        for group in gaps.groupby("customer_id").indices.values() for t in times[group]
    ])  # fmt: skip
    naive, _ = rate_ratio(*split(gaps["exit"].to_numpy(), gaps["event"].to_numpy(), earlier >= 2))
    assert naive < 0.95 * right  # towards no effect
    periods = PeriodTable.from_spells(spells, breaks=BREAKS, features=declared)
    outside = CellTable.from_periods(periods, bins=edges).unallocated[0]
    assert "look-back" in outside.reason
    assert outside.exposure > 0


def test_a_guessed_end(null_shop):
    """Truth: survival of silence at 90 days. The export is analysed two months later, with today as its end."""
    truth = float(null_shop.truth.marginal_survival(np.array([90.0]))[0])

    def survival(window: ObservationWindow) -> tuple[float, float]:
        spells = SpellTable.from_events(null_shop.log, window, GAPS).arrays()
        curve = kaplan_meier(spells["exit"], spells["event"])
        k = np.searchsorted(curve.times, 90.0, side="right") - 1
        return float(curve.survival[k]), float(curve.standard_error[k])

    right, error = survival(null_shop.window)
    assert abs(right - truth) < 3 * error
    assert error < 0.01
    end = dt.date.fromisoformat(str(null_shop.window.end))
    with pytest.warns(UserWarning, match="last 60 days of the window hold no event"):
        today, _ = survival(null_shop.window.ending(end + dt.timedelta(days=60)))
    assert today > truth + 0.02


def test_the_last_row_is_no_end_either():
    """A quiet shop: nobody orders for the last weeks, which is what the wrong end leaves out."""
    shop = simulate_shop(40, rng=5, effects=ReturnEffects.none(), frailty_variance=0.0, countries={"here": 0.0},
                         season_amplitude=0.0, closure_hazard=0.0)  # fmt: skip
    window = shop.window.ending("2025-01-01")
    last = shop.log.span[1]
    at_end = SpellTable.from_events(shop.log, window, GAPS)
    guessed = SpellTable.from_events(
        shop.log, shop.window.ending(dt.datetime.fromtimestamp(last / 1e6, dt.UTC) + dt.timedelta(microseconds=1)), GAPS
    )
    assert guessed.n_events == at_end.n_events
    assert guessed.exposure_us < at_end.exposure_us
