"""The benchmark of inference as a page: ``docs/reports/inference.md``, and its numbers beside it."""

from __future__ import annotations

import datetime as dt
import json
import platform
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "docs" / "reports"
COMMAND = "uv run --group benchmarks python -m tests.benchmarks.inference --write"
LIBRARIES = ("churnsurv", "pymc", "pytensor", "nutpie", "numpyro", "jax", "bambi", "numba", "numpy")
LABELS = {
    "churnsurv": "**churnsurv**",
    "churnsurv laplace": '**churnsurv**, `method="laplace"` (approximate)',
    "pymc": '`pm.sample(nuts_sampler="pymc")`',
    "nutpie": '`pm.sample(nuts_sampler="nutpie")`',
    "numpyro": '`pm.sample(nuts_sampler="numpyro")`',
    "bambi": "bambi",
}
TITLES = {
    "rows": "Rows: a Weibull baseline, eight continuous covariates, twenty groups",
    "cells": "Cells: a piecewise baseline, eight binary covariates, twenty groups",
    "split": "The same spells, one row per spell and period",
}
HEAD = """# Effective draws a second

{date}, {machine}, Python {python}, {versions}. One run of {minutes:.0f} minutes, one sampler after the other:

```
{command}
```

Everyone draws from the **same posterior of the same simulated spells**: the same likelihood, the same priors
(`model.priors_for(table)`), right-censored spells with eight covariates and twenty groups of unequal size.
*Effective draws* is the smallest bulk effective sample size among all named parameters: intercept, eight effects,
shape or baseline, twenty group effects, standard deviations. They are divided by *all* seconds from arrays in memory
to draws (binding, mode, compilation, warm-up and draws), and once by those of warm-up and draws alone.

- Each sampler as it comes: churnsurv with four chains, the others with two on two cores, which is what `pm.sample()`
  takes there. That call takes nutpie where it is installed and PyMC's own sampler where it is not; both are below.
- Others' models are written to suit them: group effects centred, since with hundreds of events a group this is the
  better form; a closed form in place of `pm.Censored`; on cells, the same counts that churnsurv adds up.
- bambi has no random walk, and its Weibull regression is one of times: it gets a level of its own for each period, and
  effects that are those on the log hazard divided by minus the shape, with priors on that scale. Its default is not
  centred; `noncentered=False` suits it better here. On rows it is given half of its own steps, 500 of warm-up and 500
  draws, to keep the run short; that leaves effective draws a second about as they are.
- Every sampler first got ready for a thousand spells, so that what is compiled once per machine is there. What is
  compiled for each model anew is counted.
- *Apart* is the largest difference between posterior means and those of churnsurv, in Monte Carlo standard errors of
  both, over all parameters: up to {agree:g} is agreement. Where R-hat is above 1.01 a sampler has not drawn enough by
  itself for its own errors, and its effective draws, to be trusted to the digit.
- Memory is the peak of a process with its chains.
"""
WORKED_OUT = """
With a million spells others' draws are **worked out, not drawn** (marked ≈): the seconds to get ready and the seconds
of one gradient are measured on these data, on the function that the sampler itself calls; gradients a draw, warm-up
steps and effective draws are those of its run on {first} spells (numpyro does not tell its warm-up's gradients: they are
taken to be as many a step as later). This is kind to them: trees grow longer with more data, since common shifts of
intercept and groups are held by the prior alone while all else becomes narrow; and what a sampler spends between
gradients is left out.
"""


def write(found: dict[str, dict[str, dict[str, Any]]], seconds: float, *, agree: float, to_disk: bool) -> str:
    """Make the page; write it and its numbers where asked to.

    Parameters
    ----------
    found : dict
        By data and sampler.
    seconds : float
        Of the whole run.
    agree : float
        Monte Carlo standard errors that count as agreement.
    to_disk : bool
        Whether to write ``docs/reports/inference.json`` and ``.md``.
    """
    about = {
        "date": dt.datetime.now(tz=dt.UTC).date().isoformat(),
        "machine": "two shared cores",
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in LIBRARIES},
        "command": COMMAND,
        "seconds": round(seconds),
    }
    page = "\n".join(_page(found, about, agree)) + "\n"
    if to_disk:
        FOLDER.mkdir(exist_ok=True)
        numbers = {data: {name: _numbers(one) for name, one in samplers.items()} for data, samplers in found.items()}
        text = json.dumps({**about, "results": numbers}, indent=1, ensure_ascii=False)
        (FOLDER / "inference.json").write_text(text + "\n", encoding="utf-8")
        (FOLDER / "inference.md").write_text(page, encoding="utf-8")
    return page


def _numbers(one: dict[str, Any]) -> dict[str, Any]:
    """What is kept: four digits, and no parameters."""
    kept = {name: value for name, value in one.items() if name not in ("mean", "sd", "mcse")}
    return {name: float(f"{value:.4g}") if isinstance(value, float) else value for name, value in kept.items()}


def _page(found: dict[str, dict[str, dict[str, Any]]], about: dict[str, Any], agree: float) -> Iterator[str]:
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    yield HEAD.format(**{**about, "versions": versions, "minutes": about["seconds"] / 60, "agree": agree})
    first = next(iter(found)).split("-")[1]
    if any(one.get("worked_out") for samplers in found.values() for one in samplers.values()):
        yield WORKED_OUT.lstrip().format(first=_size(first))
    for data, samplers in found.items():
        kind, size = data.split("-")
        yield f"## {TITLES[kind]}: {_size(size)} spells\n"
        if kind == "split":
            yield "As one has them before anything is counted; draws are worked out: the posterior is that of the cells, so"
            yield "gradients and effective draws are too. The factor is against churnsurv on the cells.\n"
        yield "| | seconds | sampling | effective draws | a second | sampling alone | factor | R-hat | apart | memory |"
        yield "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
        base = found[f"cells-{size}" if kind == "split" else data].get("churnsurv", {})
        for name, one in samplers.items():
            yield _row(LABELS[name], one, base)
        yield ""
        yield from _laplace(samplers.get("churnsurv laplace", {}))


def _size(size: str) -> str:
    return {"20k": "20,000", "1m": "1,000,000"}[size]


def _row(label: str, one: dict[str, Any], base: dict[str, Any]) -> str:
    memory = f"{one['memory']:.2f} GiB" if one.get("memory") else "–"
    if "per_second" not in one:
        return f"| {label} | {one.get('failed', 'no draws at the smaller size')} | | | | | | | | {memory} |"
    about = "≈ " if one.get("worked_out") else ""
    ours = one is base or not base.get("per_second")
    factor = "" if ours else f"{about}{base['per_second'] / one['per_second']:.3g}"
    cells = [
        f"{about}{one['seconds']:,.3g}" if one["seconds"] < 1000 else f"{about}{one['seconds']:,.0f}",
        f"{about}{_short(one.get('sampling'))}",
        f"{one['ess']:,.0f}",
        f"{about}{one['per_second']:.3g}",
        f"{about}{_short(one.get('per_second_sampling'))}",
        factor,
        f"{one['rhat']:.3f}" if "rhat" in one else "",
        f"{one['apart']:.1f}" if one.get("apart") else "",
        memory,
    ]
    return f"| {label} | " + " | ".join(cells) + " |"


def _short(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _laplace(one: dict[str, Any]) -> Iterator[str]:
    if one.get("pareto_k") is not None:
        yield f"Pareto-k̂ of the approximation: {one['pareto_k']:.2f} (limit 0.7); status `{one['status']}`.\n"
