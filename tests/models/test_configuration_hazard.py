"""Hazards of configurations against exact posteriors by quadrature, and clusters against independent customers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.special import gammaln

from churnsurv.errors import ArgumentError, NoEventsError
from churnsurv.models.configuration_hazard import ConfigurationHazardModel, log_linear_design

N_DRAWS = 20_000


def customers(events, exposure, rng, *, copies=1):
    """One customer per event and as many without, sharing each cell's exposure exponentially; each ``copies`` times over."""
    rows, cols, happened, spent, n = [], [], [], [], 0
    for c, (d, total) in enumerate(zip(events, exposure, strict=True)):
        if total == 0:
            continue
        m = max(3 * d, 4)
        days = rng.exponential(size=m)
        days *= total / days.sum()
        rows += range(n, n + m)
        cols += [c] * m
        happened += [float(k < d) for k in range(m)]
        spent += list(days)
        n += m
    shape = (n, len(events))
    both = [csr_array((np.array(v) * copies, (rows, cols)), shape=shape) for v in (happened, spent)]
    return both[0], both[1]


def exact(events, exposure, *, mean, sd, scale):
    """Mean and standard deviation of each log hazard, level and spread integrated out on a grid."""
    d, spent = np.asarray(events, float)[:, None, None], np.asarray(exposure, float)[:, None, None]
    level, spread = (
        np.linspace(mean - 8 * 0.5, mean + 8 * 0.5, 401)[None, :, None],
        np.linspace(0.01, 3.0, 300)[None, None, :],
    )
    kappa, mu = spread**-2.0, np.exp(level)
    log_f = (
        gammaln(kappa + d)
        - gammaln(kappa)
        + d * np.log(spent * mu / kappa)
        - (kappa + d) * np.log1p(spent * mu / kappa)
    )
    weight = log_f.sum(axis=0) - 0.5 * ((level[0] - mean) / sd) ** 2 - 0.5 * (spread[0] / scale) ** 2
    weight = np.exp(weight - weight.max())
    weight /= weight.sum()
    from scipy.special import digamma, polygamma

    centre = digamma(kappa + d) - np.log(kappa / mu + spent)
    first = (weight * centre).sum(axis=(1, 2))
    second = (weight * (centre**2 + polygamma(1, kappa + d))).sum(axis=(1, 2))
    return first, np.sqrt(second - first**2)


def fit(events, exposure, *, copies=1, rng=1, n_draws=N_DRAWS, scale=0.5):
    generator = np.random.default_rng(rng)
    d, spent = customers(events, exposure, generator, copies=copies)
    design = np.ones((len(events), 1))
    mean = np.array([np.log(sum(events) / sum(exposure))])
    weights = generator.standard_exponential((n_draws, d.shape[0]))
    model = ConfigurationHazardModel(deviation_sd=scale)
    return model.fit(d, spent, design, mean=mean, sd=np.array([5.0]), weights=weights, rng=rng), mean[0]


def test_equals_the_hierarchical_posterior_where_customers_are_independent():
    """Thick and thin cells around one level, against quadrature over level and spread."""
    events, exposure = [120, 30, 8, 2, 0, 45], [6000.0, 2500.0, 300.0, 60.0, 50.0, 1800.0]
    found, level = fit(events, exposure)
    centre, spread = exact(events, exposure, mean=level, sd=5.0, scale=0.5)
    log_hazard = np.log(found.hazard)
    np.testing.assert_allclose(log_hazard.mean(axis=0), centre, atol=0.04)
    np.testing.assert_allclose(log_hazard.std(axis=0), spread, rtol=0.12)


def test_a_cell_nobody_was_in_says_what_the_model_says():
    found, level = fit([60, 55, 70, 0], [3000.0, 3000.0, 3000.0, 0.0])
    log_hazard = np.log(found.hazard)
    assert abs(log_hazard[:, 3].mean() - np.log(185 / 9000)) < 0.05
    assert log_hazard[:, 3].std() > log_hazard[:, 0].std()
    assert abs(level - np.log(185 / 9000)) < 1e-12


def test_thin_cells_are_held_and_thick_ones_speak():
    found, _ = fit([500, 500, 2], [50_000.0, 50_000.0, 10.0], n_draws=4000)
    raw, level = 2 / 10, 1000 / 100_000
    assert found.hazard[:, 2].mean() < (raw + level) / 2
    assert abs(found.hazard[:, 0].mean() / level - 1) < 0.02
    assert abs(np.log(found.hazard[:, 0]).std() - 500**-0.5) < 0.01


def test_customers_who_repeat_themselves_do_not_make_it_surer():
    """Every customer four times over: the spread is that of the customers, not half of it."""
    events, exposure = [100, 80, 120], [5000.0, 5000.0, 5000.0]
    once, _ = fit(events, exposure)
    fourfold, _ = fit(events, exposure, copies=4)
    ratio = np.log(fourfold.hazard).std(axis=0) / np.log(once.hazard).std(axis=0)
    np.testing.assert_allclose(ratio, 1.0, atol=0.12)


def test_a_level_shared_by_cells_varies_together_with_its_customers():
    """Frailty: the same customers in both cells, so that the two hazards go up and down together."""
    rng = np.random.default_rng(5)
    frailty = rng.gamma(2.0, 0.5, 300)
    d, spent = rng.poisson(frailty[:, None] * 3.0, (300, 2)).astype(float), np.full((300, 2), 300.0)
    weights = rng.standard_exponential((4000, 300))
    mean, sd = np.array([np.log(0.01)]), np.array([5.0])
    found = ConfigurationHazardModel().fit(
        csr_array(d), csr_array(spent), np.ones((2, 1)), mean=mean, sd=sd, weights=weights, rng=1
    )
    log_hazard = np.log(found.hazard)
    expected = np.cov((d / 3.0).T) / 300  # variance of a mean over customers, as a share of the level squared
    np.testing.assert_allclose(np.cov(log_hazard.T), expected, rtol=0.2)
    assert log_hazard[:, 0].std() > 1.25 * d[:, 0].sum() ** -0.5


def test_effects_of_levels_are_recovered():
    rng = np.random.default_rng(2)
    codes = np.array([[a, j] for a in range(3) for j in range(4)])
    truth = np.array([0.0, 0.4, -0.3])[codes[:, 0]] + np.array([0.5, 0.0, -0.5, 0.2])[codes[:, 1]] - 4.0
    exposure = np.full(12, 4000.0)
    events = rng.poisson(exposure * np.exp(truth))
    d, spent = customers(events, exposure, rng)
    design = log_linear_design(codes, np.array([3, 4]))
    mean, sd = np.r_[-4.0, np.zeros(7)], np.r_[5.0, np.ones(7)]
    weights = rng.standard_exponential((2000, d.shape[0]))
    found = ConfigurationHazardModel().fit(d, spent, design, mean=mean, sd=sd, weights=weights)
    z = (np.log(found.hazard).mean(axis=0) - truth) / np.log(found.hazard).std(axis=0)
    assert np.abs(z).max() < 3.5
    contrast = found.coefficients[:, 2] - found.coefficients[:, 1]
    assert abs(contrast.mean() - 0.4) < 3 * contrast.std()


def test_the_same_seed_gives_the_same_draws():
    np.testing.assert_array_equal(
        fit([9, 4], [90.0, 80.0], n_draws=50)[0].hazard, fit([9, 4], [90.0, 80.0], n_draws=50)[0].hazard
    )


def test_refuses_what_cannot_be():
    with pytest.raises(ArgumentError, match="deviation_sd"):
        ConfigurationHazardModel(deviation_sd=0.0)
    with pytest.raises(NoEventsError, match="no event"):
        ConfigurationHazardModel().fit(
            csr_array(np.zeros((2, 1))), csr_array(np.ones((2, 1))), np.ones((1, 1)),
            mean=np.zeros(1), sd=np.ones(1), weights=np.ones((3, 2)),
        )  # fmt: skip
