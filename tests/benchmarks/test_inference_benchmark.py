"""Effective draws a second at 20,000 spells against PyMC's own sampler, a floor well below what was measured.

Run with ``pytest tests/benchmarks/test_inference_benchmark.py --benchmark-only -n 0 -s``; the whole comparison is
``python -m tests.benchmarks.inference``.
"""

import numpy as np
import pytest

from tests.benchmarks.inference import AGREE, finish
from tests.benchmarks.inference_data import BREAKS, N_COVARIATES, N_GROUPS, simulate
from tests.benchmarks.inference_jobs import Job, carry_out
from tests.benchmarks.inference_rivals import pymc_model, walk_basis


@pytest.mark.parametrize("kind", ["rows", "cells"])
def test_many_times_the_effective_draws_of_pymc(benchmark, kind, tmp_path):
    data = f"{kind}-20k"
    simulate(kind, 20_000).save(tmp_path / f"{data}.npz")
    ours = benchmark.pedantic(lambda: carry_out(Job(data, "churnsurv", "sample", 600.0), tmp_path), rounds=1)
    found = {data: {"churnsurv": ours, "pymc": carry_out(Job(data, "pymc", "sample", 600.0), tmp_path)}}
    finish(found, "20k")
    theirs = found[data]["pymc"]
    assert ours["status"] == "ok"
    assert theirs["apart"] < AGREE
    ratio = ours["per_second"] / theirs["per_second"]
    benchmark.extra_info.update(ours=ours["per_second"], pymc=theirs["per_second"], ratio=ratio)
    print(f"\n{kind}: {ours['per_second']:.1f} effective draws a second, PyMC {theirs['per_second']:.2f}: {ratio:.0f}")
    assert ratio > 5


@pytest.mark.parametrize("kind", ["rows", "cells"])
def test_everyone_draws_from_the_same_posterior(kind):
    """The model that others get has the log density of ours, up to one constant."""
    observed = simulate(kind, 1_000)
    problem, rng = observed.model.bind(observed.table()), np.random.default_rng(1)
    model = pymc_model(observed)
    log_density = model.compile_logp(jacobian=False, mode="FAST_COMPILE")
    apart = []
    for _ in range(3):
        values = {"intercept": rng.normal(-2.0, 0.3), "coef": rng.normal(0.0, 0.3, N_COVARIATES)}
        values["group_effect_sd"], values["group_effect"] = rng.uniform(0.1, 0.6), rng.normal(0.0, 0.3, N_GROUPS)
        if kind == "rows":
            values["log_shape"] = rng.normal(0.0, 0.2)
        else:
            values["walk_sd"], values["walk_step"] = rng.uniform(0.1, 1.0), rng.normal(0.0, 0.3, len(BREAKS) - 2)
        point = {(f"{k}_log__" if k.endswith("_sd") else k): v for k, v in values.items()}
        point |= {k: np.log(v) for k, v in point.items() if k.endswith("_log__")}
        apart.append(float(log_density(point)) - by_churnsurv(problem, values))
    np.testing.assert_allclose(apart, apart[0], atol=1e-6)


def by_churnsurv(problem, values):
    """The library's likelihood, its priors, and normal random effects."""
    fixed = np.concatenate([np.atleast_1d(values[name]) for name in problem.structure.layout.fixed])
    effects = [("group_effect", values["group_effect_sd"])]
    if "walk_step" in values:
        effects.insert(0, ("walk_step", values["walk_sd"] * np.sqrt(walk_basis()[1])))
    random = np.concatenate([values[name] for name, _ in effects])
    total = problem.density.likelihood.value_and_slope(fixed, random, None)[0]
    total += sum(float(np.sum(prior.log_density(np.asarray(values[name])))) for name, prior in problem.priors.items())
    for name, sd in effects:
        total -= float(np.sum(0.5 * (values[name] / sd) ** 2 + np.log(sd * np.ones(len(values[name])))))
    return total
