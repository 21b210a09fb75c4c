"""One million simulated spells, from the raw event log to the posterior: end to end, by the clock of one run.

Run with ``pytest tests/benchmarks/test_end_to_end_benchmark.py --benchmark-only -n 0 -m slow -s``.
"""

from __future__ import annotations

import time
import warnings

import numpy as np
import pytest

from churnsurv import (
    CellTable,
    Count,
    HierarchicalModel,
    PeriodTable,
    Silence,
    SpellTable,
    Value,
    churn_risk,
    simulate_shop,
)


@pytest.mark.slow
def test_a_million_spells_from_the_log_to_the_posterior(benchmark):
    shop = simulate_shop(200_000, rng=0)
    log = shop.log  # the export itself is the simulator's cost, not the library's
    seconds: dict[str, float] = {}

    def lap(name, began):
        seconds[name] = time.perf_counter() - began
        return time.perf_counter()

    def run():
        now = time.perf_counter()
        spells = SpellTable.from_events(log, shop.window, Silence(("order",), 90))
        now = lap("spells", now)
        features = [Count("order", days=180), Value("order", "revenue"), Value("order", "country", name="country")]
        periods = PeriodTable.from_spells(spells, features=features)
        cells = CellTable.from_periods(periods, bins={"count_order_180d": [0, 1, 3, np.inf]})
        now = lap("cells", now)
        fit = HierarchicalModel("count_order_180d + value_order_revenue", groups=("country",)).fit(cells, rng=1)
        now = lap("fit", now)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            risk = churn_risk(fit, spells, [30, 60, 90], n_draws=500)
        lap("risk", now)
        return spells, cells, fit, risk

    spells, cells, fit, risk = benchmark.pedantic(run, rounds=1)
    assert spells.n_spells > 1_000_000
    assert fit.info.reliable
    assert risk.n_customers == spells.n_open
    benchmark.extra_info |= {"n_events": log.n_events, "n_spells": spells.n_spells, "n_cells": cells.n_cells, **seconds}
    print({name: round(value, 1) for name, value in seconds.items()}, log.n_events, spells, cells)
