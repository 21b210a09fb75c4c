"""Effective draws a second of this library and of four others, on the same model and data, in one run.

``uv run --group benchmarks python -m tests.benchmarks.inference [--size 20k|1m] [--write]``
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.inference_data import SIZES, simulate
from tests.benchmarks.inference_jobs import Job, carry_out
from tests.benchmarks.inference_report import write
from tests.benchmarks.inference_rivals import RIVALS

OURS = ("churnsurv", "churnsurv laplace")
LIMIT = {"ours": 1500.0, "sample": 420.0, "gradient": 240.0, "warm": 300.0}
"""Seconds that a job may take."""
SHORT = {"rows bambi": {"tune": 500, "draws": 500}}
"""Half of a sampler's own steps where all of them would take longer than everything else together."""
FIRST = "20k"
"""The size at which everyone draws; at others the time of a rival's draws is worked out from it."""
AGREE = 4.0
"""Monte Carlo standard errors by which two means may differ."""


def plan(sizes: list[str], settings: dict[str, int]) -> list[Job]:
    """All jobs in their order: at 20,000 spells everyone draws, with a million the rivals' gradients are timed."""
    jobs = []
    for kind in ("rows", "cells"):
        for size in sizes:
            data = f"{kind}-{size}"
            jobs += [Job(data, one, "sample", LIMIT["ours"], settings) for one in OURS]
            what = "sample" if size == sizes[0] else "gradient"
            for one in RIVALS:
                own = {**SHORT.get(f"{kind} {one}", {}), **settings} if what == "sample" else {}
                jobs.append(Job(data, one, what, LIMIT[what], own))
    jobs += [Job(f"split-{sizes[0]}", one, "gradient", LIMIT["gradient"]) for one in RIVALS]
    return jobs


def finish(found: dict[str, dict[str, dict[str, Any]]], first: str) -> None:
    """Add effective draws a second, agreement with ours, and what was not drawn but worked out.

    A rival's draws from a larger table take as many gradients as from the first one, and each effective draw is worth
    as many of them: kind to the rival, for the more data there are, the narrower the posterior is in most directions
    beside those that the prior alone holds, and the longer its trees.
    """
    for data, samplers in found.items():
        drawn = found.get(f"{'cells' if data.startswith('split') else data.split('-')[0]}-{first}", {})
        for name, one in samplers.items():
            base = drawn.get(name, {})
            if "gradient" in one and "gradients" in base:
                sampling = one["gradient"] * base["gradients"]
                one |= {
                    "sampling": sampling,
                    "seconds": one["ready"] + sampling,
                    "ess": base["ess"],
                    "worked_out": True,
                }
            if "ess" in one:
                one["per_second"] = one["ess"] / one["seconds"]
                one["per_second_sampling"] = one["ess"] / one["sampling"] if one.get("sampling") else None
            if "mean" in one and "mean" in samplers.get("churnsurv", {}):
                one["apart"] = apart(one, samplers["churnsurv"])


def apart(one: dict[str, Any], other: dict[str, Any]) -> float:
    """Largest difference between two sets of posterior means, in Monte Carlo standard errors."""
    largest = 0.0
    for name in one["mean"].keys() & other["mean"].keys():
        difference = np.subtract(one["mean"][name], other["mean"][name])
        error = np.hypot(one["mcse"][name], other["mcse"][name])
        if one is not other:
            largest = max(largest, float(np.max(np.abs(difference) / error)))
    return largest


def prepare(folder: Path) -> None:
    """Let everyone work on a thousand spells: what is compiled once per machine is then on disk."""
    for kind in ("rows", "cells"):
        for name in ("churnsurv", *RIVALS):
            what, settings = ("sample", {"draws": 50}) if name == "churnsurv" else ("gradient", {"budget": 0})
            began = time.perf_counter()
            one = carry_out(Job(f"{kind}-warm", name, what, LIMIT["warm"], settings), folder)
            print(f"ready: {kind} {name}, {time.perf_counter() - began:.0f} s {one.get('failed', '')}", flush=True)


def measure(sizes: list[str], settings: dict[str, int], folder: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """Simulate the data, carry out all jobs one after the other, and say what each took."""
    for kind in ("rows", "cells"):
        for size in sizes:
            simulate(kind, SIZES[size]).save(folder / f"{kind}-{size}.npz")
        simulate(kind, 1_000).save(folder / f"{kind}-warm.npz")
    simulate("cells", SIZES[sizes[0]], split=True).save(folder / f"split-{sizes[0]}.npz")
    prepare(folder)
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for job in plan(sizes, settings):
        began = time.perf_counter()
        one = found.setdefault(job.data, {})[job.sampler] = carry_out(job, folder)
        said = one.get("failed") or ", ".join(f"{k} {v:.4g}" for k, v in one.items() if isinstance(v, float))
        print(f"{job.data:10} {job.sampler:18} {job.what:9} {time.perf_counter() - began:6.0f} s  {said}", flush=True)
    finish(found, sizes[0])
    return found


def main() -> None:
    """Measure, and write the page where asked to."""
    parser = argparse.ArgumentParser(description="Effective draws a second, against other samplers.")
    parser.add_argument("--size", choices=list(SIZES), help="20k alone; with 1m both, as without")
    parser.add_argument("--write", action="store_true", help="write docs/reports/inference.json and .md")
    parser.add_argument("--draws", type=int, help="draws of each chain, to try the benchmark itself out")
    parser.add_argument("--tune", type=int, help="warm-up steps of each chain, to try the benchmark itself out")
    given = parser.parse_args()
    settings = {name: value for name in ("draws", "tune") if (value := getattr(given, name)) is not None}
    if settings and given.write:
        parser.error("what is written comes from everyone's own settings: leave --draws and --tune out.")
    sizes = [FIRST] if given.size == FIRST else list(SIZES)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="inference-") as folder:
        found = measure(sizes, settings, Path(folder))
    page = write(found, time.perf_counter() - began, agree=AGREE, to_disk=given.write)
    print(page)
    wrong = [
        f"{data}: {name} {one['apart']:.1f}"
        for data, samplers in found.items()
        for name, one in samplers.items()
        if one.get("apart", 0.0) > AGREE
    ]
    if wrong:
        raise SystemExit(f"means differ by more than {AGREE:g} Monte Carlo standard errors: {'; '.join(wrong)}")


if __name__ == "__main__":
    main()
