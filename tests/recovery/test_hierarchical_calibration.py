"""Simulation-based calibration: parameters drawn from the prior, data from them, ranks must be uniform.

Talts, S. et al. (2018). Validating Bayesian inference algorithms with simulation-based calibration.
arXiv:1804.06788. The joint log-likelihood is ranked too: Modrák, M. et al. (2023), Bayesian Analysis.
"""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from churnsurv.models.hierarchical import sampling
from churnsurv.models.hierarchical.density import Natural
from churnsurv.models.hierarchical.mode import find_mode
from churnsurv.models.hierarchical.model import HierarchicalModel
from churnsurv.models.hierarchical.priors import HalfNormal, Normal
from churnsurv.models.hierarchical.problem import build_problem
from churnsurv.tables.schema import PatternColumn
from tests.models.conftest import make_cells

PRIORS = {
    "intercept": Normal(-3.0, 0.4),
    "coef": Normal(0.0, 0.5),
    "walk_sd": HalfNormal(0.5),
    "country_effect_sd": HalfNormal(0.5),
}
MODEL = HierarchicalModel("plan", groups=("country",), priors=PRIORS)
N_RANKS = 100


def blank_cells():
    """Two plans, six countries of very different size, four periods."""
    columns = (PatternColumn("plan", ("basic", "plus")), PatternColumn("country", tuple("ABCDEF")))
    grid = np.stack([axis.ravel() for axis in np.indices((2, 6, 4))], axis=1)
    size = np.array([900.0, 120.0, 60.0, 40.0, 20.0, 10.0])
    days = size[grid[:, 1]] // (1 + grid[:, 2])
    events = np.zeros(len(days), int)
    events[0] = 1
    return make_cells(events, days, grid[:, :2], grid[:, 2], columns=columns, breaks=(0, 5, 10, 20, 50))


def quantities(density, natural, events):
    """What is ranked, leading axes passed through."""
    design = density.design
    walk = natural.random[..., :3] @ design.walk_basis().T
    log_hazard = (
        natural.fixed[..., 0, None, None]
        + walk[..., None, :]
        + (natural.fixed[..., 1:] @ design.x.T)[..., None]
        + natural.random[..., 3:][..., design.groups[0]][..., None]
    )
    mean = design.exposure * np.exp(log_hazard)
    parts = {
        "intercept": natural.fixed[..., 0],
        "coef": natural.fixed[..., 1],
        "walk_sd": natural.sd[..., 0],
        "country_effect_sd": natural.sd[..., 1],
        "walk first": walk[..., 0],
        "walk last": walk[..., -1],
        "largest country": natural.random[..., 3],
        "smallest country": natural.random[..., -1],
        "loglik": stats.poisson.logpmf(events, mean).sum(axis=(-2, -1)),
    }
    return parts


def replicate(base, rng, seed):
    density = base.density
    design = density.design
    sd = np.array([PRIORS[name].draw(rng, 1)[0] for name in base.sd_names])
    fixed = np.array([PRIORS["intercept"].draw(rng, 1)[0], PRIORS["coef"].draw(rng, 1)[0]])
    random = design.scale * sd[design.sd_index] * rng.normal(size=len(design.sd_index))
    truth = Natural(fixed, random, sd)
    log_baseline, log_multiplier = density.log_parts(fixed, random)
    events = rng.poisson(design.exposure * np.exp(log_baseline + log_multiplier[:, None])).astype(float)
    density = replace(density, design=replace(design, events=events))
    mode = find_mode(density)
    drawn = sampling.sample_nuts(
        mode, seed=seed, chains=1, draws=2 * N_RANKS, tune=120, target_accept=0.8, report=lambda *_: None
    )
    thinned = drawn.position[:, ::2].reshape(-1, drawn.position.shape[-1])[:N_RANKS]
    draws = quantities(density, mode.density.natural(thinned), events)
    true = quantities(density, truth, events)
    return {name: int(np.sum(draws[name] < true[name])) for name in true}, int(drawn.stats["diverging"].sum())


def calibrate(n, seed):
    cells = blank_cells()
    base = build_problem(MODEL, cells, MODEL.resolved_priors(cells))
    rng = np.random.default_rng(seed)
    ranks, divergences = [], 0
    for k in range(n):
        found, diverged = replicate(base, rng, k)
        ranks.append(found)
        divergences += diverged
    return {name: np.array([one[name] for one in ranks]) for name in ranks[0]}, divergences


def check_uniform(ranks, bins):
    """Chi-square over equal bins, p > 0.005 shared among the quantities."""
    limit = 0.005 / len(ranks)
    for name, values in ranks.items():
        counts = np.histogram(values, np.linspace(0, N_RANKS + 1, bins + 1))[0]
        assert stats.chisquare(counts).pvalue > limit, (name, counts)


def test_twenty_replicates_are_calibrated():
    ranks, divergences = calibrate(20, seed=11)
    check_uniform(ranks, bins=4)
    assert divergences <= 2


@pytest.mark.slow
def test_two_hundred_replicates_are_calibrated():
    ranks, divergences = calibrate(200, seed=5)
    check_uniform(ranks, bins=10)
    assert divergences <= 10
    for name, values in ranks.items():
        assert stats.kstest((values + 0.5) / (N_RANKS + 1), "uniform").pvalue > 0.005 / len(ranks), name
