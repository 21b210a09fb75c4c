"""Events to cells against pandas, in one run: the same answer, and what each costs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.events_to_cells import write_events

SCRIPT = Path(__file__).with_name("events_to_cells.py")


def run(engine: str, path: Path) -> dict[str, float]:
    out = subprocess.run(
        [sys.executable, str(SCRIPT), engine, str(path)], check=True, capture_output=True, text=True
    )  # a process of its own, so that peak memory is its own
    return json.loads(out.stdout.splitlines()[-1])


def compare(path: Path) -> dict[str, dict[str, float]]:
    runs = {engine: run(engine, path) for engine in ("churnsurv", "pandas")}
    for name in ("n_cells", "events", "exposure_us", "check"):
        assert runs["churnsurv"][name] == runs["pandas"][name]
    return runs


def test_both_roads_lead_to_the_same_cells(tmp_path):
    write_events(tmp_path / "events.parquet", 20_000)
    compare(tmp_path / "events.parquet")


@pytest.mark.parametrize("n_events", [1_000_000, pytest.param(10_000_000, marks=pytest.mark.slow)])
def test_events_to_cells(benchmark, tmp_path, n_events):
    path = tmp_path / "events.parquet"
    write_events(path, n_events)
    runs = benchmark.pedantic(compare, args=(path,), rounds=1)
    ours, theirs = runs["churnsurv"], runs["pandas"]
    benchmark.extra_info |= {
        "n_events": n_events,
        "churnsurv_seconds": ours["seconds"],
        "pandas_seconds": theirs["seconds"],
        "speed_ratio": theirs["seconds"] / ours["seconds"],
        "churnsurv_peak_gib": ours["peak_gib"],
        "pandas_peak_gib": theirs["peak_gib"],
    }
