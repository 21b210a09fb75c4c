"""Simulated truth is found again, and hard shapes of groups pass the gate."""

import numpy as np
import pytest

from churnsurv.models.hierarchical.model import HierarchicalModel
from churnsurv.tables.schema import PatternColumn
from tests.models.conftest import grid_cells

BREAKS = (0.0, 7.0, 14.0, 30.0, 60.0, 90.0)
BASELINE = np.array([-3.2, -3.5, -3.9, -4.2, -4.6])
PLAN = PatternColumn("plan", ("basic", "plus", "pro"))
CHANNEL = PatternColumn("channel", ("web", "app"))


def simulate(share, effect, days, seed=0, sparse=0.0):
    rng = np.random.default_rng(seed)
    country = PatternColumn("country", tuple(f"g{k:02d}" for k in range(len(share))))
    here = rng.random((3, 2, len(share), 5)) >= sparse * (np.arange(len(share)) > 0)[:, None]

    def log_hazard(codes, period):
        plan = np.array([0.0, 0.35, -0.25])[codes[:, 0]]
        return BASELINE[period] + plan + 0.2 * codes[:, 1] + effect[codes[:, 2]]

    def exposure(codes, period):
        whole = days * share[codes[:, 2]] * 0.7**period * (1 + 0.2 * (codes[:, 0] == 0) + 0.1 * (codes[:, 1] == 0))
        return whole * here[codes[:, 0], codes[:, 1], codes[:, 2], period]

    return grid_cells(log_hazard, exposure, rng, columns=(PLAN, CHANNEL, country), breaks=BREAKS)


MODEL = HierarchicalModel("plan + channel", groups=("country",))


def test_truth_of_twenty_groups_is_found():
    effect = np.random.default_rng(5).normal(0, 0.4, 20)
    fit = MODEL.fit(simulate(np.full(20, 0.05), effect, 60_000.0), rng=1, draws=500, tune=200)
    assert fit.info.status == "ok"
    posterior = fit.posterior["posterior"].to_dataset()

    def standardised(draws, truth):
        return (draws.mean(("chain", "draw")).values - truth) / draws.std(("chain", "draw")).values

    scores = np.concatenate(
        [
            standardised(posterior["coef"], np.array([0.35, -0.25, 0.2])),
            standardised(
                posterior["country_effect"] - posterior["country_effect"].mean("country"), effect - effect.mean()
            ),
            standardised(posterior["walk"], BASELINE - BASELINE.mean()),
        ]
    )
    assert np.abs(scores).max() < 4
    assert 0.5 < np.sqrt(np.mean(scores**2)) < 1.5
    assert 0.25 < float(posterior["country_effect_sd"].mean()) < 0.6


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (2, 3))])
def test_forty_null_groups_pass_the_gate(seed):
    cells = simulate(np.full(40, 1 / 40), np.zeros(40), 5_000.0, seed=seed)
    fit = MODEL.fit(cells, rng=seed)
    assert fit.info.status == "ok", fit.info
    assert fit.info.divergences == 0
    assert float(fit.posterior["posterior"]["country_effect_sd"].mean()) < 0.25


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (2, 3))])
def test_one_dominant_and_37_thin_groups_pass_the_gate(seed):
    rng = np.random.default_rng(seed)
    share = np.concatenate([[0.91], 0.09 * rng.dirichlet(np.full(37, 0.5))])
    cells = simulate(share, rng.normal(0, 0.3, 38), 100_000.0, seed=seed, sparse=0.8)
    fit = MODEL.fit(cells, rng=seed)
    assert fit.info.status == "ok", fit.info
    assert fit.info.divergences == 0


def test_two_group_columns_pass_the_gate():
    rng = np.random.default_rng(0)
    region, shop = PatternColumn("region", tuple("abcdef")), PatternColumn("shop", tuple("uvwxyz"))
    by_region, by_shop = rng.normal(0, 0.5, 6), rng.normal(0, 0.1, 6)
    cells = grid_cells(
        lambda codes, period: BASELINE[period] + by_region[codes[:, 0]] + by_shop[codes[:, 1]],
        lambda codes, period: 3_000.0 * 0.7**period,
        rng,
        columns=(region, shop),
        breaks=BREAKS,
    )
    fit = HierarchicalModel(groups=("region", "shop")).fit(cells, rng=1, draws=500, tune=200)
    posterior = fit.posterior["posterior"]
    assert fit.info.status == "ok", fit.info
    assert float(posterior["region_effect_sd"].mean()) > float(posterior["shop_effect_sd"].mean())
