"""One run of the chain events → gaps → periods → cells, by churnsurv or by plain pandas; run as a script.

``python events_to_cells.py ENGINE PARQUET`` prints one JSON line: seconds, peak memory and the cells' sums, so that
two runs can be compared in speed, in memory and, to the last event, in their answer.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

import numpy as np

DAY = 86_400_000_000
BREAKS = (0.0, 7.0, 14.0, 30.0, 60.0, 90.0, 180.0, 365.0, 800.0)
COUNT_EDGES = (0.0, 1.0, 2.0, 4.0, float("inf"))
START, END = "2022-01-01", "2024-01-01"
LOOK_BACK = 90


def write_events(path: Path, n_events: int, seed: int = 0) -> None:
    """Orders of customers with very different rhythms, spread over two years, one row each."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(seed)
    n_customers = n_events // 25
    weight = rng.gamma(1.0, 1.0, n_customers)
    customer = rng.choice(n_customers, size=n_events, p=weight / weight.sum())
    start = int(np.datetime64(START, "us").astype(np.int64))
    at = start + rng.integers(0, 730 * 86_400, n_events) * 1_000_000
    table = pa.table(
        {
            "customer": pa.array(customer).cast(pa.string()),
            "at": pa.array(at),
            "revenue": pa.array(np.round(rng.gamma(2.0, 25.0, n_events), 2)),
        }
    )
    pq.write_table(table, path, compression="zstd")


def by_churnsurv(path: str) -> dict[str, float]:
    from churnsurv import CellTable, Count, EventLog, ObservationWindow, PeriodTable, Silence, SpellTable, Value

    log = EventLog.from_file(path, customer="customer", time="at", epoch_unit="us", timezone="UTC", values=("revenue",))
    spells = SpellTable.from_events(log, ObservationWindow(START, END), Silence(("activity",), 90))
    features = (Count("activity", days=LOOK_BACK, name="orders"), Value("activity", "revenue", name="value"))
    periods = PeriodTable.from_spells(spells, breaks=BREAKS, features=features)
    cells = CellTable.from_periods(periods, bins={"orders": COUNT_EDGES})
    outside = sum(part.exposure_us for part in cells.unallocated)
    return {
        "n_cells": cells.n_cells,
        "events": int(cells.n_events.sum()),
        "exposure_us": int(cells.total_exposure_us() - outside),
        "check": int((cells.n_events[:, 0] * (1 + cells.period) * (1 + cells.codes[:, 0])).sum()),
    }


def by_pandas(path: str) -> dict[str, float]:
    import pandas as pd

    start, end = (int(np.datetime64(day, "us").astype(np.int64)) for day in (START, END))
    frame = pd.read_parquet(path)
    frame = frame[(frame["at"] >= start) & (frame["at"] < end)]
    frame["day"] = frame["at"] // DAY
    days = frame.groupby(["customer", "day"], sort=True).agg(
        first=("at", "min"), last=("at", "max"), value=("revenue", "sum")
    ).reset_index()  # fmt: skip
    code = days.groupby("customer", sort=False).ngroup().to_numpy()
    following = days.groupby("customer", sort=False)["first"].shift(-1)
    days["event"] = following.notna().astype(np.int64)
    days["exit"] = following.fillna(end).astype(np.int64) - days["last"]
    # orders of the last 90 days: positions in one sorted key of customer and time
    second = 1_000_000  # the events are whole seconds; microseconds would overflow the key
    shift = code * ((end - start) // second * 2) - start // second + LOOK_BACK * 86_400
    key, until = (shift + days[name].to_numpy() // second for name in ("first", "last"))
    days["orders"] = np.searchsorted(key, until, "right") - np.searchsorted(key, until - LOOK_BACK * 86_400, "right")
    days = days[days["last"] - LOOK_BACK * DAY >= start - 1]
    days["orders_bin"] = np.searchsorted(COUNT_EDGES[1:-1], days["orders"].to_numpy(), "left")
    cuts = np.quantile(days["value"], [0.25, 0.5, 0.75], method="inverted_cdf")
    days["value_bin"] = np.searchsorted(cuts, days["value"].to_numpy(), "left")
    edges = np.round(np.asarray(BREAKS) * DAY).astype(np.int64)
    n_periods = np.searchsorted(edges[1:], days["exit"].to_numpy(), "left") + 1
    row = np.repeat(np.arange(len(days)), n_periods)
    period = np.arange(len(row)) - np.repeat(np.cumsum(n_periods) - n_periods, n_periods)
    exits = days["exit"].to_numpy()[row]
    long = pd.DataFrame(
        {
            "orders_bin": days["orders_bin"].to_numpy()[row],
            "value_bin": days["value_bin"].to_numpy()[row],
            "period": period,
            "event": np.where(exits <= edges[period + 1], days["event"].to_numpy()[row], 0),
            "exposure": np.minimum(exits, edges[period + 1]) - edges[period],
        }
    )
    cells = long.groupby(["orders_bin", "value_bin", "period"]).agg(
        event=("event", "sum"), exposure=("exposure", "sum")
    )
    index = cells.index.to_frame()
    return {
        "n_cells": len(cells),
        "events": int(cells["event"].sum()),
        # Not .sum(): at ten million events the total passes 2**63 and pandas wraps around without a word.
        "exposure_us": sum(map(int, cells["exposure"])),
        "check": int((cells["event"] * (1 + index["period"]) * (1 + index["orders_bin"])).sum()),
    }


if __name__ == "__main__":
    engine, parquet = sys.argv[1:3]
    began = time.perf_counter()
    answer = {"churnsurv": by_churnsurv, "pandas": by_pandas}[engine](parquet)
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    sys.stdout.write(json.dumps({"engine": engine, "seconds": seconds, "peak_gib": peak, **answer}) + "\n")
