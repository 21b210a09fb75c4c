"""Draws of a Cox fit: centred on the estimate, as wide as theory says, and right as often as they promise."""

from __future__ import annotations

import numpy as np
import pytest

from churnsurv.models.cox import CoxModel
from churnsurv.models.cox_baseline import Blocks, Draws, hazard_between
from tests.models.cox_data import rows_of, simulated
from tests.models.rows import episodes, open_rows

N_DRAWS = 8000


def variance_of_cumulative_hazard(start, stop, event, x, coef, covariance, at, new):
    r"""Tsiatis (1981); Therneau and Grambsch (2000), section 10.2, without ties, one row at a time:
    ``exp(2 x b) [ sum 1 / S0^2 + q' V q ]`` with ``q = sum (x - xbar) / S0``."""
    risk, total, first, q = np.exp(x @ coef), 0.0, 0.0, np.zeros(len(coef))
    for i in np.flatnonzero((event == 1) & (stop <= at)):
        here = (start < stop[i]) & (stop[i] <= stop)
        s0 = risk[here].sum()
        mean = (risk[here, None] * x[here]).sum(axis=0) / s0
        total, first, q = total + 1 / s0, first + 1 / s0**2, q + (new - mean) / s0
    ratio = np.exp(new @ coef)
    return ratio * total, ratio**2 * (first + q @ covariance @ q)


@pytest.fixture(scope="module")
def data():
    return simulated(400, seed=12, late=0.3)


@pytest.fixture(scope="module")
def fit(data):
    return CoxModel("a + b").fit(rows_of(data), draws=N_DRAWS)


@pytest.mark.parametrize("at", [20.0, 90.0, 250.0])
@pytest.mark.parametrize("row", [0, 7, 60])
def test_they_are_as_wide_as_the_formula(data, fit, at, row):
    x = np.column_stack([data["a"], data["b"]])
    mean, variance = variance_of_cumulative_hazard(
        data["entry"], data["stop"], data["event"], x, fit.estimate.coef, fit.estimate.covariance, at, x[row]
    )
    drawn = fit.predict_cumulative_hazard(open_rows(rows_of(data), 0.0, [row]), [at]).values.ravel()
    sd = np.sqrt(variance)
    error = 4 * sd / np.sqrt(N_DRAWS)
    assert -error < drawn.mean() - mean < error + 0.5 * variance / mean  # of a log-normal, at most half its variance
    # log-normal draws are wider than the first order says, by half the squared coefficient of variation
    assert drawn.std() / sd == pytest.approx(1.0, abs=4 / np.sqrt(2 * N_DRAWS) + (variance / mean**2))


def test_their_coefficients_have_the_covariance(fit):
    drawn = fit.draws.coef
    se = np.sqrt(np.diag(fit.covariance))
    assert np.all(np.abs(drawn.mean(axis=0) - fit.coef) < 4 * se / np.sqrt(N_DRAWS))
    np.testing.assert_allclose(np.cov(drawn.T) / np.outer(se, se), fit.covariance / np.outer(se, se), atol=0.06)


def test_they_use_the_robust_covariance_where_there_is_one(data):
    customer = np.array([f"c{i // 10}" for i in range(400)], dtype=object)
    rows = rows_of(data, customer=customer, spell=np.arange(400) % 10)
    fit = CoxModel("a + b").fit(rows, draws=N_DRAWS)
    np.testing.assert_allclose(fit.draws.coef.std(axis=0), np.sqrt(np.diag(fit.robust_covariance)), rtol=0.04)


def test_coarse_blocks_are_as_wide_as_fine_ones(data, fit):
    """Noise shared by neighbours changes no variance over whole blocks, and little within."""
    fine, steps = fit.blocks, fit.steps
    mean = fine.mean  # one block a step
    assert len(fine) == len(steps.times)
    coarse = Blocks.of(steps, mean, most=25)
    assert len(coarse) == 25
    draws = Draws.simulate(fit.estimate.coef, fit.estimate.covariance, coarse, N_DRAWS, 5)
    times = np.array([[40.0, 90.0, 200.0, 320.0]])
    stratum, start = np.zeros(1, np.int64), np.zeros((1, 1))
    ours = hazard_between(steps, coarse, draws, stratum, start, times)[:, 0]
    theirs = hazard_between(steps, fine, fit.draws, stratum, start, times)[:, 0]
    np.testing.assert_allclose(ours.std(axis=0), theirs.std(axis=0), rtol=0.07)
    np.testing.assert_allclose(ours.mean(axis=0), theirs.mean(axis=0), rtol=0.01)


def test_a_single_tied_step_by_hand():
    """Ten events at one time without covariates: Efron's increment sum 1/(20 - l), variance sum 1/(20 - l)^2."""
    rows = episodes([5.0] * 10 + [6.0] * 10, [1] * 10 + [0] * 10)
    drawn = (
        CoxModel().fit(rows, draws=N_DRAWS).predict_cumulative_hazard(open_rows(rows, 0.0, [0]), [5.0]).values.ravel()
    )
    left = 20.0 - np.arange(10)
    assert drawn.mean() == pytest.approx(np.sum(1 / left), rel=4 * 0.32 / np.sqrt(N_DRAWS))
    assert drawn.std() == pytest.approx(np.sqrt(np.sum(1 / left**2)), rel=0.04)
    assert np.all(drawn > 0)


def covered(n_sets, n_rows, seed):
    """How often 90 % intervals hold the true conditional survival and the true coefficients, of simulated customers."""
    hits, coefs = [], []
    for k in range(n_sets):
        data = simulated(n_rows, seed=seed + k, late=0.3)
        rows = rows_of(data)
        fit = CoxModel("a + b + plan").fit(rows, draws=400, rng=k)
        new = open_rows(rows, [30.0, 90.0, 150.0], [0, 1, 2])
        until = new.reached + 60.0
        ratio = np.exp(data["eta"][:3])
        truth = np.exp(-ratio * ((until / 200.0) ** 1.3 - (new.reached / 200.0) ** 1.3))
        low, high = np.quantile(fit.conditional_survival(new, until[:, None])[:, :, 0], [0.05, 0.95], axis=0)
        hits.append((low <= truth) & (truth <= high))
        frame = fit.summary(0.90)
        coefs.append(bool(frame.loc["a", "lower"] <= np.exp(0.7) <= frame.loc["a", "upper"]))
    return np.mean(hits), np.mean(coefs)


def test_intervals_hold_the_truth_as_often_as_they_promise():
    """3 customers in each of 80 sets; within a set they share an estimate, so 80 counts for the error."""
    risk, coef = covered(80, 250, seed=100)
    assert abs(risk - 0.90) < 3 * np.sqrt(0.09 / 80)
    assert abs(coef - 0.90) < 3 * np.sqrt(0.09 / 80)


@pytest.mark.slow
def test_intervals_hold_the_truth_in_many_sets():
    """Measured: 0.878 and 0.894 with 180 events, 0.897 for the risk with 700."""
    risk, coef = covered(1000, 250, seed=10_000)
    assert 0.86 < risk < 0.94
    assert 0.86 < coef < 0.94
