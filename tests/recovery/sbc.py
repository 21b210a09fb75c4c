"""Simulation-based calibration: parameters drawn from the prior, data from them, ranks must be uniform.

``uv run python -m tests.recovery.sbc`` times a replicate of each composition; with ``--write`` it runs 200 of each on
two processes and writes ``docs/reports/sbc.json`` and ``sbc.md``, one composition after another. Names choose some.

Talts, S. et al. (2018). Validating Bayesian inference algorithms with simulation-based calibration. arXiv:1804.06788.
The joint log-likelihood is ranked too: Modrák, M. et al. (2023), Bayesian Analysis, doi:10.1214/23-BA1404.
"""

import argparse
import datetime as dt
import json
import multiprocessing
import platform
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from importlib.metadata import version

import numpy as np
from scipy import stats
from threadpoolctl import threadpool_limits

from churnsurv.models.hierarchical import sampling
from churnsurv.models.hierarchical.density import Natural
from churnsurv.models.hierarchical.mode import find_mode
from tests.recovery.code_run import ROOT, functions_run, hash_of, listed
from tests.recovery.sbc_compositions import SHOPS, survival_of_new_country

REPORT, PAGE = ROOT / "docs/reports/sbc.json", ROOT / "docs/reports/sbc.md"
COMMAND = "uv run python -m tests.recovery.sbc --write"
N_RANKS, THIN, TUNE = 100, 2, 150
TARGET_ACCEPT = 0.9
"""Where a fit would warn and try again, a replicate takes smaller steps from the beginning."""
REPLICATES, BINS = 200, 10
LEVEL = 0.005
"""Probability of a false alarm of each check, shared among a composition's quantities."""
DIVERGENT = 0.005
"""Largest share of divergent transitions."""


# One replicate ---------------------------------------------------------------------------------------------------


def replicate(name, seed):
    """Rank of each quantity's truth among its draws, and the number of divergent transitions."""
    shop, rng = SHOPS[name], np.random.default_rng([seed, *name.encode()])
    truth, table = shop.draw(rng)
    problem = shop.bind(table)
    _check_same_parameters(shop.template, problem)
    with threadpool_limits(1):
        with sampling.quiet():
            mode = find_mode(problem.density, problem.start)
        drawn = sampling.sample_nuts(
            mode,
            seed=seed,
            chains=1,
            draws=THIN * N_RANKS,
            tune=TUNE,
            target_accept=TARGET_ACCEPT,
            report=lambda *_: None,
        )
        draws = mode.density.natural(drawn.position[:, ::THIN])
        one = Natural(*(np.concatenate([np.zeros(0), *map(np.ravel, part)])[None, None] for part in _vectors(truth)))
        found, true = quantities(shop, problem, draws), quantities(shop, problem, one)
    for parameter, value in truth.named.items():
        np.testing.assert_allclose(true[parameter].ravel(), np.ravel(value), atol=1e-10, err_msg=parameter)
    ranks = {}
    for parameter, values in found.items():
        below = np.sum(values < true[parameter], axis=0)
        labels = [""] if below.ndim == 0 else [str(list(at)) for at in np.ndindex(below.shape)]
        ranks |= {f"{parameter}{label}": int(rank) for label, rank in zip(labels, below.ravel(), strict=True)}
    return ranks, int(drawn.stats["diverging"].sum())


def _vectors(truth):
    return truth.fixed, truth.random, truth.sd, truth.free


def _check_same_parameters(template, problem):
    one, other = template.structure.coords(), problem.structure.coords()
    if any(list(one[dim]) != list(other[dim]) for dim in one):
        raise AssertionError("other levels or references than the template's: parameters would mean something else")


def quantities(shop, problem, natural):
    """What is ranked: every parameter, the joint log-likelihood and a new country's survival; draws along the first axis."""
    named, _ = problem.structure.named(natural)
    found = {parameter: values[0] for parameter, (_, values) in named.items() if parameter != "log_baseline"}
    likelihood, frailty = problem.density.likelihood, problem.structure.layout.frailty
    rows = zip(natural.fixed[0], natural.random[0], natural.sd[0], strict=True)
    found["log-likelihood"] = np.array(
        [likelihood.value_and_slope(fixed, random, sd[-1] if frailty else None)[0] for fixed, random, sd in rows]
    )
    found["new country"] = survival_of_new_country(found, shop.breaks, shop.model)
    return found


# Many replicates ---------------------------------------------------------------------------------------------------


@dataclass
class Calibration:
    """Ranks of many replicates of one composition."""

    name: str
    ranks: dict = field(default_factory=dict)
    divergences: int = 0
    replicates: int = 0
    seconds: float = 0.0
    functions: dict = field(default_factory=dict)

    def add(self, ranks, divergences, seconds, functions):
        for quantity, rank in ranks.items():
            self.ranks.setdefault(quantity, []).append(rank)
        self.divergences += divergences
        self.replicates += 1
        self.seconds += seconds
        for file, names in functions.items():
            self.functions.setdefault(file, set()).update(names)

    def checks(self, bins):
        """Counts in equal bins, p-values of chi-square and of Kolmogorov's test on the ECDF, by quantity."""
        return {quantity: uniformity(np.array(values), bins) for quantity, values in self.ranks.items()}

    def faults(self, bins=BINS):
        """Sentences on what is not uniform."""
        checks = self.checks(bins)
        limit = LEVEL / len(checks)
        found = [
            f"{self.name}: ranks of {quantity} are not uniform ({test} p = {check[test]:.1e}, limit {limit:.1e}): {check['counts']}"
            for quantity, check in checks.items()
            for test in ("chi2", "ecdf")
            if check[test] < limit
        ]
        share = self.divergences / (self.replicates * THIN * N_RANKS)
        if share > DIVERGENT:
            found.append(f"{self.name}: {share:.1%} of transitions diverged (limit {DIVERGENT:.1%})")
        return found


def uniformity(ranks, bins):
    """Chi-square over equal bins of the 101 ranks, and Kolmogorov's distance of their distribution from the uniform one."""
    counts, _ = np.histogram(ranks, np.linspace(0, N_RANKS + 1, bins + 1))
    edges = np.ceil(np.linspace(0, N_RANKS + 1, bins + 1))
    expected = np.diff(edges) / (N_RANKS + 1) * len(ranks)
    return {
        "counts": [int(count) for count in counts],
        "chi2": float(stats.chisquare(counts, expected).pvalue),
        "ecdf": float(stats.kstest((ranks + 0.5) / (N_RANKS + 1), "uniform").pvalue),
    }


def timed_replicate(task):
    """A replicate, how long it took, and which functions it ran."""
    began = time.perf_counter()
    with functions_run() as functions:
        ranks, divergences = replicate(*task)
    return ranks, divergences, time.perf_counter() - began, functions


def calibrate(name, n, mapping=map):
    """Replicates 0 to n - 1 of one composition."""
    found = Calibration(name)
    for one in mapping(timed_replicate, [(name, seed) for seed in range(n)]):
        found.add(*one)
    return found


# The report --------------------------------------------------------------------------------------------------------


def read_report():
    return json.loads(REPORT.read_text(encoding="utf-8")) if REPORT.exists() else {"compositions": {}}


def is_current(name):
    """Whether the report holds this composition as the code now is."""
    entry = read_report()["compositions"].get(name)
    return entry is not None and entry["hash"] == hash_of(entry["functions"])


def entry_of(found):
    faults, functions = found.faults(), listed(found.functions)
    return {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "hash": hash_of(functions),
        "functions": functions,
        "replicates": found.replicates,
        "seconds_per_replicate": round(found.seconds / found.replicates, 2),
        "divergences": found.divergences,
        "faults": faults,
        "quantities": found.checks(BINS),
    }


def write_report(entries):
    """Put entries in place of older ones, in both files."""
    report = read_report()
    report["compositions"] |= entries
    report["settings"] = {"ranks": N_RANKS, "thin": THIN, "tune": TUNE, "level": LEVEL, "command": COMMAND}
    report["versions"] = {"python": platform.python_version()} | {n: version(n) for n in ("numpy", "scipy", "pymc")}
    report["compositions"] = {name: report["compositions"][name] for name in SHOPS if name in report["compositions"]}
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    PAGE.write_text(page_of(report), encoding="utf-8")


def page_of(report):
    """The report for people."""
    lines = [
        "# Simulation-based calibration of the hierarchical model",
        "",
        "Parameters are drawn from their priors, a shop is simulated from them by code that shares nothing with the model",
        f"but names, and the model is fitted to it. If the posterior is right, the rank of the truth among {N_RANKS} draws is",
        "uniform: for every parameter, for the joint log-likelihood, and for the survival of a customer of a new country.",
        "Chi-square over ten bins and Kolmogorov's test of the ECDF, each at 0.005 shared among a composition's quantities",
        "(Bonferroni). The hash is of the code that the composition runs, comments and layout apart; a test holds it against",
        f"the code as it is. Made by `{COMMAND}` with "
        + ", ".join(f"{name} {number}" for name, number in report["versions"].items())
        + ".",
        "",
        "| composition | date | replicates | ranked | least p, χ² | least p, ECDF | at | divergent | seconds | code | verdict |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, entry in report["compositions"].items():
        checks = entry["quantities"]
        worst = min(checks, key=lambda one: min(checks[one]["chi2"], checks[one]["ecdf"]))
        share = entry["divergences"] / (entry["replicates"] * THIN * N_RANKS)
        least = [min(check[test] for check in checks.values()) for test in ("chi2", "ecdf")]
        lines.append(
            f"| {name} | {entry['date']} | {entry['replicates']} | {len(checks)} | {least[0]:.2g} | {least[1]:.2g} | {worst} |"
            f" {share:.2%} | {entry['seconds_per_replicate']} | {entry['hash'][:12]} | {'FAULT' if entry['faults'] else 'ok'} |"
        )
    faults = [fault for entry in report["compositions"].values() for fault in entry["faults"]]
    return "\n".join([*lines, *[""] * bool(faults), *(f"- {fault}" for fault in faults), ""])


def main():
    parser = argparse.ArgumentParser(description="Simulation-based calibration of the hierarchical model.")
    parser.add_argument("names", nargs="*", help=f"compositions, all by default: {', '.join(SHOPS)}")
    parser.add_argument("--write", action="store_true", help="write the report")
    parser.add_argument("--stale", action="store_true", help="only what has changed since the report")
    parser.add_argument("--replicates", type=int, default=None)
    parser.add_argument("--processes", type=int, default=2)
    chosen = parser.parse_args()
    n = chosen.replicates or (REPLICATES if chosen.write else 4)
    names = [name for name in chosen.names or SHOPS if not (chosen.stale and is_current(name))]
    context = multiprocessing.get_context("spawn")
    for name in names:  # processes of its own: what another has cached would not run again, and not be seen
        with ProcessPoolExecutor(chosen.processes, mp_context=context) as pool:
            found = calibrate(name, n, pool.map)
        if chosen.write:
            write_report({name: entry_of(found)})
        print(f"{name}: {found.seconds / n:.2f} s a replicate, {found.divergences} divergent", flush=True)
        for fault in found.faults() if n >= REPLICATES else []:
            print(f"  {fault}", flush=True)


if __name__ == "__main__":
    main()
