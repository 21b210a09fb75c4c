"""What a backtest costs beside its fits, against the same protocol written by hand in pandas and lifelines.

Run with ``pytest tests/benchmarks/test_backtest_benchmark.py --benchmark-only -n 0 -s``. Both sides go back to the same dates,
make gaps and features of what lies before them, fit Cox, score everybody at risk and take the Brier score.
"""

import time

import numpy as np
import pandas as pd
import pytest

import churnsurv as cs
from churnsurv.datasets import simulate_shop
from churnsurv.risk.backtest import backtest
from churnsurv.risk.scores import score_backtest

DAYS, HORIZON, LOOK_BACK = 60, 60.0, 60.0
CUTOFFS = ("2024-07-01", "2024-09-01", "2024-11-01")
FEATURES = (cs.Count("order", days=LOOK_BACK),)
CHURN = cs.Silence(("order",), DAYS)


# pandas' rolling windows by time, under the numpy tested here
pytestmark = pytest.mark.filterwarnings("ignore:The 'generic' unit:DeprecationWarning")


def shop_of(n):
    return simulate_shop(n, rng=5, start="2024-01-01", end="2025-01-01", timezone="UTC")


def ours(shop):
    """Brier score at each date, and the seconds of fits with their predictions."""
    result = backtest(
        shop.log, shop.window, CHURN, {"Cox": cs.CoxModel("count_order_60d")}, CUTOFFS, HORIZON, features=FEATURES
    )
    scores = score_backtest(result, among="everyone", n_draws=20).query("model == 'Cox'")
    seconds = sum(sum(one.seconds) for one in result.forecasts.values())
    return scores["brier"].to_numpy(), scores["n"].to_numpy(), seconds


def by_hand(orders):
    """The same in pandas and lifelines: gaps from each day's first order, orders of the last days, one fit for each date."""
    return [_one_date(orders, pd.Timestamp(date, tz="UTC")) for date in CUTOFFS]


def gaps_before(orders, moment, start):
    """Gaps of what lies before a moment, with the number of order days in the look-back."""
    day = (
        orders.loc[orders["time"] < moment].drop_duplicates(["customer_id", "day"]).sort_values(["customer_id", "time"])
    )
    following = day.groupby("customer_id", observed=True)["time"].shift(-1)
    stop = (following.where(following.notna(), moment) - day["time"]).dt.total_seconds() / 86_400
    last = (
        day.set_index("time")
        .groupby("customer_id", observed=True)["one"]
        .rolling(f"{int(LOOK_BACK)}D", closed="both")
        .sum()
    )
    found = day.assign(stop=stop, event=following.notna().astype(int), count=last.to_numpy())
    known = found["time"] - pd.Timedelta(days=LOOK_BACK) >= start - pd.Timedelta(microseconds=1)
    return found, found[known & (found["stop"] > 0)]


def _one_date(orders, moment):
    from lifelines import CoxPHFitter

    start = pd.Timestamp("2024-01-01", tz="UTC")
    whole, known = gaps_before(orders, moment, start)
    fitter = CoxPHFitter().fit(known[["stop", "event", "count"]], "stop", "event")
    now = whole[(whole["event"] == 0) & (whole["stop"] < DAYS)]
    now = now[now["time"] - pd.Timedelta(days=LOOK_BACK) >= start - pd.Timedelta(microseconds=1)]
    until = np.maximum(now["stop"].to_numpy(), DAYS)
    steps = fitter.baseline_cumulative_hazard_.iloc[:, 0]
    at = np.searchsorted(steps.index.to_numpy(), np.column_stack([now["stop"], until]), side="right") - 1
    baseline = np.where(at < 0, 0.0, steps.to_numpy()[np.maximum(at, 0)])
    ratio = fitter.predict_partial_hazard(now[["count"]]).to_numpy()
    stays = np.exp(-(baseline[:, 1] - baseline[:, 0]) * ratio)
    later = orders[orders["time"] >= moment].groupby("customer_id", observed=True)["time"].min()
    following = now["customer_id"].map(later)
    silent = (following.isna() | ((following - now["time"]).dt.total_seconds() / 86_400 >= DAYS)).to_numpy()
    return float(np.mean((stays - silent) ** 2)), len(now)


def frame_of(shop):
    frame = shop.frame().to_pandas()
    orders = frame[frame["kind"] == "order"][["customer_id", "time"]].astype({"customer_id": str})
    return orders.assign(day=orders["time"].dt.floor("D"), one=1.0)


def test_both_roads_lead_to_the_same_scores():
    shop = shop_of(1_500)
    brier, n, _ = ours(shop)
    hand = by_hand(frame_of(shop))
    np.testing.assert_allclose(n, [count for _, count in hand], rtol=0.002)
    np.testing.assert_allclose(brier, [score for score, _ in hand], rtol=0.01)


@pytest.mark.parametrize("n_customers", [20_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_backtest(benchmark, n_customers):
    shop = shop_of(n_customers)
    ours(shop_of(500))
    brier, n, fitting = benchmark.pedantic(ours, args=(shop,), rounds=1)
    orders = frame_of(shop)
    began = time.perf_counter()
    told = by_hand(orders)
    hand = time.perf_counter() - began
    seconds = benchmark.stats.stats.min
    np.testing.assert_allclose(brier, [score for score, _ in told], rtol=0.01)
    assert seconds - fitting < seconds / 2  # a tenth was measured: the protocol costs less than what it scores
    benchmark.extra_info |= {
        "n_orders": len(orders),
        "forecasts": int(n.sum()),
        "seconds": seconds,
        "fitting": fitting,
        "by_hand": hand,
    }
    print(
        f"\n{len(orders):,} orders, {len(CUTOFFS)} dates, {n.sum():,} forecasts: {seconds:.1f} s, of which fits and predictions"
        f" {fitting:.1f} s (two models and 1,000 draws); by hand, one model without draws, {hand:.1f} s"
    )
