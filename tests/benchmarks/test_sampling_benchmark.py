"""Effective draws a second on a million simulated spells: this library against PyMC's default on the same model.

Run with ``pytest tests/benchmarks/test_sampling_benchmark.py --benchmark-only -n 0 -s``.
"""

import time
import warnings

import numpy as np
import pytest

from churnsurv.models.hierarchical.model import HierarchicalModel
from churnsurv.tables.schema import PatternColumn
from tests.models.conftest import make_cells

N_SPELLS, N_GROUPS, N_PERIODS = 1_000_000, 20, 12
COLUMNS = (
    *(PatternColumn(f"x{k}", ("no", "yes")) for k in range(5)),
    PatternColumn("group", tuple(f"g{k:02d}" for k in range(N_GROUPS))),
)
BREAKS = tuple(30.0 * j for j in range(N_PERIODS + 1))
MODEL = HierarchicalModel("x0 + x1 + x2 + x3 + x4", groups=("group",))


def million_spells(rng):
    """Spells of each pattern thinned period by period: exact multinomial counts, no rows.

    Who leaves within a period is at risk for half of it on average.
    """
    grid = np.stack([axis.ravel() for axis in np.indices((2,) * 5 + (N_GROUPS,))], axis=1)
    log_hazard = grid[:, :5] @ np.array([0.3, -0.2, 0.15, 0.0, 0.4]) + rng.normal(0, 0.3, N_GROUPS)[grid[:, 5]] - 5.0
    alive = rng.multinomial(N_SPELLS, np.full(len(grid), 1 / len(grid)))
    events, exposure, codes, period = [], [], [], []
    for j in range(N_PERIODS):
        hazard = np.exp(log_hazard - 0.05 * j)
        left = rng.binomial(alive, 1 - np.exp(-30 * hazard))
        censored = rng.binomial(alive - left, 0.08)
        stay = alive - left - censored
        # Mean time to an event within the period, given one: closed form of the truncated exponential.
        mean_time = 1 / hazard - 30 * np.exp(-30 * hazard) / (1 - np.exp(-30 * hazard))
        events.append(left)
        exposure.append(np.round(30 * stay + left * mean_time + 30 * censored))
        codes.append(grid)
        period.append(np.full(len(grid), j))
        alive = stay
    return make_cells(
        np.concatenate(events), np.concatenate(exposure), np.concatenate(codes), np.concatenate(period),
        columns=COLUMNS, breaks=BREAKS,
    )  # fmt: skip


def smallest_ess(tree, names):
    import arviz_stats

    return min(float(values.min()) for values in arviz_stats.ess(tree, var_names=names).data_vars.values())


@pytest.fixture(scope="module")
def cells():
    return million_spells(np.random.default_rng(0))


def test_one_million_spells_to_a_posterior(benchmark, cells):
    assert cells.n_cells == 32 * N_GROUPS * N_PERIODS == 7_680
    fit = benchmark.pedantic(lambda: MODEL.fit(cells, rng=1), rounds=1)
    assert fit.info.status == "ok"
    names = ["intercept", "coef", "log_baseline", "walk_sd", "group_effect", "group_effect_sd"]
    ours = smallest_ess(fit.posterior, names) / fit.info.seconds
    theirs, compiled, text = pymc_default(cells, names)
    ratio, ratio_sampling = ours / theirs, ours / compiled
    benchmark.extra_info.update(ours=ours, pymc=theirs, pymc_without_compilation=compiled, ratio=ratio)
    print(
        f"\neffective draws a second: {ours:.1f} ({fit.info.seconds:.1f} s, mode included); PyMC default {theirs:.3f}"
    )
    print(f"{text}; ratio {ratio:.0f}, without PyMC's compilation {ratio_sampling:.0f}")
    assert ratio > 30


def pymc_default(cells, names):
    """The model as one would write it, with ``pm.sample()`` as it comes, two cores.

    Effects are centred: with a million spells the data are informative, and not centred it takes far longer.
    """
    import pymc as pm
    import pytensor.tensor as pt

    n_steps = N_PERIODS - 1
    basis = np.tril(np.ones((N_PERIODS, N_PERIODS)), -1)[:, :n_steps]
    basis -= basis.mean(axis=0)
    exposure, events = cells.exposure, cells.n_events[:, 0]
    some = exposure > 0
    began = time.perf_counter()
    with pm.Model():
        intercept = pm.Normal("intercept", float(np.log(events.sum() / exposure.sum())), 2.0)
        coef = pm.Normal("coef", 0.0, 1.0, shape=5)
        walk_sd, group_sd = pm.HalfNormal("walk_sd", 1.0), pm.HalfNormal("group_effect_sd", 0.5)
        spacing = np.diff(np.log(0.5 * (np.array(BREAKS[1:]) + np.array(BREAKS[:-1]))))
        step = pm.Normal("walk_step", 0.0, walk_sd * np.sqrt(spacing))
        effect = pm.Normal("group_effect", 0.0, group_sd, shape=N_GROUPS)
        baseline = pm.Deterministic("log_baseline", intercept + pt.dot(basis, step))
        eta = baseline[cells.period[some]] + pt.dot(cells.codes[some][:, :5].astype(float), coef)
        pm.Poisson("n_events", exposure[some] * pt.exp(eta + effect[cells.codes[some][:, 5]]), observed=events[some])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = pm.sample(random_seed=1, chains=4, cores=2, progressbar=False, nuts_sampler="pymc")
    total = time.perf_counter() - began
    sampling_time = float(tree["sample_stats"].attrs.get("sampling_time", total))
    found = smallest_ess(tree, names)
    return (
        found / total,
        found / sampling_time,
        f"PyMC: {found:.0f} effective in {total:.0f} s ({sampling_time:.0f} s sampling)",
    )
