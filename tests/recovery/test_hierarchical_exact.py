"""The sampled posterior against answers that are known exactly."""

import numpy as np
import pytest
from scipy import special

from churnsurv.models.hierarchical.model import HierarchicalModel
from churnsurv.models.hierarchical.priors import Normal
from churnsurv.tables.schema import PatternColumn
from tests.models.conftest import make_cells

PLAN = PatternColumn("plan", ("basic", "plus"))


def mcse(values):
    import arviz_stats

    return float(arviz_stats.mcse(values.to_dataset(name="x"), method="mean")["x"])


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_one_cell_is_the_conjugate_gamma(seed):
    """Flat on the log hazard, the posterior of a single hazard is Gamma(events, exposure).

    Gelman et al., Bayesian Data Analysis, 3rd ed., section 2.6.
    """
    events, days = 23, 410.0
    cells = make_cells([events], [days], np.zeros((1, 0)), [0], columns=(), breaks=(0, 30))
    fit = HierarchicalModel(priors={"intercept": Normal(-3, 100)}).fit(cells, rng=seed)
    hazard = np.exp(fit.posterior["posterior"]["intercept"])
    assert abs(float(hazard.mean()) - events / days) < 4 * mcse(hazard)
    second = hazard**2
    assert abs(float(second.mean()) - events * (events + 1) / days**2) < 4 * mcse(second)
    log = np.log(hazard)
    assert abs(float(log.mean()) - (special.digamma(events) - np.log(days))) < 4 * mcse(log)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_two_parameters_by_quadrature(seed):
    events, days = np.array([12, 30]), np.array([300.0, 420.0])
    cells = make_cells(events, days, [[0], [1]], [0, 0], columns=(PLAN,), breaks=(0, 30))
    priors = {"intercept": Normal(-3, 0.5), "coef": Normal(0, 0.4)}
    fit = HierarchicalModel("plan", priors=priors).fit(cells, rng=seed)
    a, b = np.meshgrid(np.linspace(-5.5, -0.5, 1501), np.linspace(-3, 3, 1501), indexing="ij")
    # The reference is the level with most exposure, "plus".
    log_p = -0.5 * ((a + 3) / 0.5) ** 2 - 0.5 * (b / 0.4) ** 2
    log_p += events[1] * a - days[1] * np.exp(a) + events[0] * (a + b) - days[0] * np.exp(a + b)
    weight = np.exp(log_p - log_p.max())
    weight /= weight.sum()
    posterior = fit.posterior["posterior"]
    found = {"a": posterior["intercept"], "b": posterior["coef"].isel(term=0)}
    for draws, grid in [(found["a"], a), (found["b"], b), (found["a"] * found["b"], a * b), (found["b"] ** 2, b**2)]:
        assert abs(float(draws.mean()) - np.sum(weight * grid)) < 4 * mcse(draws)


@pytest.mark.parametrize("seed", [1, 2])
def test_three_groups_by_quadrature(seed):
    """The standard deviation itself, where a wrong Jacobian or a broken funnel would show."""
    events, days = np.array([8, 20, 11]), np.array([200.0, 200.0, 200.0])
    country = PatternColumn("country", ("A", "B", "C"))
    cells = make_cells(events, days, [[0], [1], [2]], [0, 0, 0], columns=(country,), breaks=(0, 30))
    fit = HierarchicalModel(groups=("country",), priors={"intercept": Normal(-3, 0.5)}).fit(cells, rng=seed)
    # Given intercept and sd the groups are independent: a one-dimensional integral each.
    a, log_sd = np.linspace(-5.5, -0.8, 241), np.linspace(np.log(1e-3), np.log(4.0), 321)
    z, w = np.polynomial.hermite_e.hermegauss(60)
    sd = np.exp(log_sd)
    log_hazard = a[:, None, None] + sd[None, :, None] * z
    log_p = np.tile(-0.5 * ((a[:, None] + 3) / 0.5) ** 2, (1, len(sd))) - 0.5 * (sd / 0.5) ** 2 + log_sd
    for d, e in zip(events, days, strict=True):
        terms = d * log_hazard - e * np.exp(log_hazard) + np.log(w)
        log_p += special.logsumexp(terms, axis=-1)
    weight = np.exp(log_p - log_p.max())
    weight /= weight.sum()
    posterior = fit.posterior["posterior"]
    found, log_found = posterior["country_effect_sd"], np.log(posterior["country_effect_sd"])
    assert abs(float(found.mean()) - np.sum(weight * sd)) < 4 * mcse(found)
    assert (
        abs(float((found < 0.1).mean()) - np.sum(weight[:, sd < 0.1])) < 4 * mcse((found < 0.1).astype(float)) + 0.005
    )
    assert abs(float(log_found.mean()) - np.sum(weight * log_sd)) < 4 * mcse(log_found)
    assert abs(float(posterior["intercept"].mean()) - np.sum(weight * a[:, None])) < 4 * mcse(posterior["intercept"])
