"""One sampler on one data set, in a process of its own: ``python -m tests.benchmarks.inference_run JOB.json``.

A process for each, so that no compilation helps another, and so that its peak of memory is its own.
"""

from __future__ import annotations

import json
import logging
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks import inference_rivals as rivals
from tests.benchmarks.inference_data import PARAMETERS, Observed


def ours(observed: Observed, method: str, settings: dict[str, int]) -> tuple[Any, dict[str, Any]]:
    """Fit with churnsurv; binding, mode and the first compilation included."""
    import pymc  # noqa: F401 - no side's clock runs while libraries are imported

    table, marks = observed.table(), []
    began = time.perf_counter()

    def told(share: float, what: str) -> None:
        marks.append((time.perf_counter() - began, share, what))

    fit = observed.model.fit(table, rng=1, method=method, progress=told, **settings)
    seconds, info = time.perf_counter() - began, fit.info
    drawing = [at for at, _, what in marks if what.startswith("drawing")]
    found: dict[str, Any] = {"seconds": seconds, "status": info.status, "messages": list(info.messages)}
    found["pareto_k"] = None if np.isnan(info.pareto_k) else info.pareto_k
    if drawing:  # told after each stretch of steps: the first one took about as long as the second
        found["sampling"] = drawing[-1] - drawing[0] + drawing[1] - drawing[0]
        found["retried"] = any(what.startswith("trying again") for _, _, what in marks)
    return fit.posterior["posterior"].to_dataset(), found


def summaries(draws: Any, names: tuple[str, ...], *, chains: bool) -> dict[str, Any]:
    """Mean, its Monte Carlo error, standard deviation, effective draws and R-hat of each named number.

    Parameters
    ----------
    draws : Dataset
        With dims ``chain`` and ``draw``.
    names : tuple of str
        Parameters; one that the sampler does not have is left out.
    chains : bool
        Whether draws are a sample of chains; else they are independent.
    """
    import arviz_stats

    some = draws[[name for name in names if name in draws]]
    out: dict[str, Any] = {"mean": {}, "mcse": {}, "sd": {}}
    worst: dict[str, float] = {}
    for name in some.data_vars:
        out["mean"][name] = some[name].mean(("chain", "draw")).values.ravel().tolist()
        sd = some[name].std(("chain", "draw")).values.ravel()
        ess = arviz_stats.ess(some[[name]], method="mean")[name].values.ravel()
        out["sd"][name], out["mcse"][name] = sd.tolist(), (sd / np.sqrt(ess)).tolist()
        worst[name] = float(arviz_stats.ess(some[[name]], method="bulk")[name].values.min())
    out["ess"] = min(worst.values())
    out["slowest"] = min(worst, key=worst.__getitem__)
    if chains:
        out["rhat"] = max(float(value.values.max()) for value in arviz_stats.rhat(some).data_vars.values())
    return out


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Carry out one job.

    Parameters
    ----------
    job : dict
        ``data`` (path), ``sampler``, ``what`` (``"sample"`` or ``"gradient"``) and ``settings``.
    """
    observed = Observed.load(Path(job["data"]))
    sampler, names = job["sampler"], PARAMETERS[observed.kind]
    if job["what"] == "gradient":
        return rivals.gradient_seconds(sampler, observed, **job["settings"])
    if sampler.startswith("churnsurv"):
        draws, found = ours(observed, "laplace" if sampler.endswith("laplace") else "nuts", job["settings"])
    else:
        draws, found = rivals.sample(sampler, observed, job["settings"])
    return {**found, **summaries(draws, names, chains=not sampler.endswith("laplace"))}


def main(path: str) -> None:
    """Read a job, carry it out, write what was found beside it."""
    warnings.simplefilter("ignore")
    logging.getLogger("pymc").setLevel(logging.ERROR)
    job = json.loads(Path(path).read_text(encoding="utf-8"))
    Path(job["out"]).write_text(json.dumps(run(job)), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
