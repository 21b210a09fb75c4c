"""Draws of a Cox fit: centred on the estimate, as wide as theory says, and right as often as they promise."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest

from churnsurv.errors import DataWarning
from churnsurv.models.cox import CoxModel
from churnsurv.models.cox_baseline import MOST_BLOCKS, Baseline, Blocks, Draws, hazard_between
from churnsurv.models.support import Support
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
    fine, steps = fit.draws.blocks, fit.steps
    mean = fine.mean  # one block a step
    assert len(fine) == len(steps.times)
    coarse = Blocks.of(steps, mean, most=25)
    assert 20 <= len(coarse) <= 25
    draws = Draws.simulate(fit.estimate.coef, fit.estimate.covariance, coarse, N_DRAWS, 5)
    times = np.array([[40.0, 90.0, 200.0, 320.0]])
    stratum, start = np.zeros(1, np.int64), np.zeros((1, 1))
    ours = hazard_between(steps, draws, stratum, start, times)[:, 0]
    theirs = hazard_between(steps, fit.draws, stratum, start, times)[:, 0]
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


def weibull_strata(n_strata, n_rows, seed, shape=0.6, scale=200.0, last=2000.0):
    """Nelson and Aalen's steps of strata of Weibull times without covariates or ties, censored evenly up to ``last``."""
    stream = np.random.default_rng(seed)
    parts = []
    for _ in range(n_strata):
        time, censored = scale * stream.exponential(size=n_rows) ** (1 / shape), stream.uniform(0, last, n_rows)
        stop = np.minimum(time, censored)
        order = np.argsort(stop)
        event = (time <= censored)[order]
        parts.append((stop[order], event, n_rows - np.flatnonzero(event)))
    at_risk = np.concatenate([n for _, _, n in parts]).astype(float)
    return Baseline(
        labels=tuple(f"s{k}" for k in range(n_strata)),
        offsets=np.cumsum([0, *(event.sum() for _, event, _ in parts)]),
        times=np.concatenate([stop[event] for stop, event, _ in parts]),
        cumulative_hazard=np.concatenate([np.cumsum(1 / n) for _, _, n in parts]),
        variance=np.concatenate([np.cumsum(1 / n**2) for _, _, n in parts]),
        n_at_risk=at_risk,
        support=tuple(Support.of(np.zeros(n_rows), stop) for stop, _, _ in parts),
    )


def covered_late(n_sets, n_strata, n_rows, start, days, n_draws=150, most=MOST_BLOCKS):
    """How often 90 % intervals hold the true hazard of a stretch that begins late; and of stretches without an event."""
    hits, without = [], []
    truth = ((start + days) / 200.0) ** 0.6 - (start / 200.0) ** 0.6
    stratum, nothing = np.arange(n_strata), np.zeros(0)
    begin, end = np.full((n_strata, 1), start), np.full((n_strata, 1), start + days)
    for k in range(n_sets):
        steps = weibull_strata(n_strata, n_rows, seed=k)
        draws = Draws.simulate(
            nothing, np.zeros((0, 0)), Blocks.of(steps, np.zeros((len(steps.times), 0)), most), n_draws, k
        )
        told = hazard_between(steps, draws, stratum, begin, end, without_events=True)[:, :, 0]
        low, high = np.quantile(told, [0.05, 0.95], axis=0)
        inside = (low <= truth) & (truth <= high)
        none = steps.steps_taken(stratum, begin)[:, 0] == steps.steps_taken(stratum, end)[:, 0]
        hits += inside.tolist()
        without += (inside & (high > 0))[none].tolist()
    return np.mean(hits), without


def test_late_intervals_hold_the_truth():
    """20,000 customers, 15,000 steps: blocks of equally many events would be 100 days long there, and cover 0.5."""
    hits, _ = covered_late(60, 1, 20_000, 1500.0, 30.0, n_draws=100)
    assert abs(hits - 0.90) < 3 * np.sqrt(0.09 / 60)


def test_late_intervals_of_strata_hold_the_truth():
    """40 strata of 500, about 11 events in the stretch of each."""
    hits, _ = covered_late(10, 40, 500, 100.0, 30.0)
    assert abs(hits - 0.90) < 3 * np.sqrt(0.09 / 400) + 0.01


@pytest.mark.slow
@pytest.mark.parametrize(("n_strata", "n_rows", "start"), [(1, 20_000, 1500.0), (1, 40_000, 1800.0), (40, 1000, 100.0)])
def test_late_intervals_hold_the_truth_in_many_sets(n_strata, n_rows, start):
    hits, _ = covered_late(200 // n_strata, n_strata, n_rows, start, 30.0)
    assert abs(hits - 0.90) < 3 * np.sqrt(0.09 / 200)


def test_a_stretch_without_an_event_is_not_certain():
    """About 30 at risk a stratum, 7 days, where 0.4 events are due: an interval from 0 to 0 holds the truth never."""
    hits, without = covered_late(8, 60, 300, 600.0, 7.0)
    assert len(without) > 200
    assert np.mean(without) > 0.85
    assert hits > 0.85


def test_blocks_are_fine_where_events_are_thin():
    """With 60,000 customers, 30 late days have 40 blocks though they have few of the events."""
    steps = weibull_strata(1, 60_000, seed=1)
    blocks = Blocks.of(steps, np.zeros((len(steps.times), 0)))
    assert 0.7 * MOST_BLOCKS < len(blocks) <= MOST_BLOCKS < len(steps.times)
    begins = steps.times[blocks.offsets[:-1]]
    events = np.sum((steps.times > 1800) & (steps.times <= 1830))
    assert np.sum((begins > 1800) & (begins <= 1830)) > min(events, 50) * 0.7
    mixed = weibull_strata(3, 400, seed=2)
    cut = Blocks.of(mixed, np.zeros((len(mixed.times), 0)), most=500)
    assert len(cut) <= 500
    np.testing.assert_array_equal(cut.offsets[cut.first], mixed.offsets)


def between(start, stop, *, until, reached, weight=None, rounded=None, event=None, n_draws=N_DRAWS):
    rows = episodes(stop, event, start=start, weight=weight)
    lone = pytest.warns(DataWarning, match="there is one event") if np.sum(event) == 1 else nullcontext()
    with lone:
        fit = CoxModel(rounded=rounded).fit(rows, draws=n_draws)
    told = fit.conditional_survival(open_rows(rows, reached, [0]), np.atleast_2d(until))
    return -np.log(told[:, 0])


MEDIAN = np.log(2.0) ** 2 / 2  # of E^2 / 2


def test_between_events_the_next_one_is_spread():
    """400 at risk, no event from day 0 to 100, where ten end at once: one of them (of Efron's mean) by the share h/w."""
    stop, event = np.append(np.full(10, 100.0), np.full(390, 200.0)), np.append(np.ones(10, int), np.zeros(390, int))
    told = between(None, stop, event=event, reached=0.0, until=[50.0, 99.999, 100.0])
    lone = np.mean(1 / (400 - np.arange(10)))
    assert np.quantile(told[:, 0], 0.95) == pytest.approx(0.5 * np.log(20.0) ** 2 / 2 * lone, rel=0.08)
    assert told[:, 0].mean() == pytest.approx(0.5 * lone, rel=0.08)
    assert np.median(told[:, 1]) == pytest.approx(MEDIAN * lone, rel=0.08)
    assert told[:, 2].mean() == pytest.approx(10 * lone, rel=0.05)
    assert np.all(np.diff(told, axis=1) >= 0)
    assert told.min() > 0
    point = between(None, stop, event=event, reached=0.0, until=[50.0, 99.999, 100.0], n_draws=1)
    np.testing.assert_allclose(point[0], [0.5 * lone, lone, 10 * lone], rtol=1e-4)


def test_a_lone_event_between_is_drawn_once():
    """By the share of the gap E^2 / 2, and E at its end, whatever E is."""
    stop, event = np.append(50.0, np.full(99, 80.0)), np.arange(100) == 0
    told = 100 * between(None, stop, event=event, reached=0.0, until=[5.0, 49.0, 50.0])
    np.testing.assert_allclose(told[:, 0], np.minimum(0.1 * told[:, 2] ** 2 / 2, told[:, 2]), rtol=1e-6)
    np.testing.assert_allclose(told[:, 1], np.minimum(0.98 * told[:, 2] ** 2 / 2, told[:, 2]), rtol=1e-6)


def test_after_the_last_event_fewer_are_at_risk():
    """One event among 100, then 60 leave on day 50 and 39 on day 110: one event over the 39 at the end."""
    stop = np.concatenate([[10.0], np.full(60, 50.0), np.full(39, 110.0)])
    told = between(None, stop, event=np.arange(100) == 0, reached=60.0, until=[85.0, 110.0, 111.0])
    np.testing.assert_allclose(np.median(told[:, :2], axis=0) / MEDIAN, [0.25 / 39, 0.5 / 39], rtol=0.08)
    assert np.isnan(told[:, 2]).all()


def test_before_the_first_event_somebody_must_be_watched():
    """All enter on day 40, the first event is on day 50: the gap is ten days long."""
    stop, event = np.append(50.0, np.full(99, 80.0)), np.arange(100) == 0
    told = between(np.full(100, 40.0), stop, event=event, reached=42.0, until=[47.0])
    assert np.median(told) / MEDIAN == pytest.approx(0.5 / 100, rel=0.08)


def test_rises_over_several_days_go_on_from_the_gap():
    """An event on day 50 that lies in (40, 50]: the share of the gap counts, or the share of the rise if larger."""
    stop, event = np.append(50.0, np.full(99, 80.0)), np.arange(100) == 0
    told = 100 * between(None, stop, event=event, reached=10.0, until=[20.0, 40.0, 42.0, 48.0, 50.0], rounded=10.0)
    whole = told[:, 4]
    for k, (gap, rise) in enumerate([(0.2, 0.0), (0.6, 0.0), (0.64, 0.2), (0.76, 0.8), (0.8, 1.0)]):
        expected = np.maximum(np.minimum(gap * whole**2 / 2, whole), rise * whole)
        np.testing.assert_allclose(told[:, k], expected, rtol=1e-6)
    assert np.all(np.diff(told, axis=1) >= 0)
    closed = 100 * between(None, stop, event=event, reached=10.0, until=[20.0, 50.0], rounded=50.0)
    np.testing.assert_allclose(closed[:, 0], closed[:, 1] / 4, rtol=1e-9)  # spread from end to end: nothing is added


def test_noise_does_not_know_the_unit_of_weights():
    """Sum w² / S² over the squared hazard: of equal weights, whatever they are, that of none; by hand for others."""
    stop, event = np.arange(1.0, 41.0), np.arange(40) % 2 == 0
    stream = np.random.default_rng(0)
    for weight in (np.full(40, 10.5), np.full(40, 0.05), stream.uniform(0.1, 4.0, 40)):
        rows = episodes(stop, event, weight=weight)
        fit = CoxModel().fit(rows, draws=N_DRAWS)
        total = np.cumsum(weight[::-1])[::-1]
        variance = np.sum((weight / total)[event & (stop <= 20)] ** 2)
        drawn = fit.predict_cumulative_hazard(open_rows(rows, 0.0, [0]), [20.0]).values.ravel()
        assert drawn.mean() == pytest.approx(np.sum((weight / total)[event & (stop <= 20)]), rel=0.02)
        assert drawn.std() == pytest.approx(np.sqrt(variance), rel=0.04)


def test_memory_and_files_are_bounded(tmp_path):
    """64 kB a draw in memory, and none of it in the file, which knows the seed."""
    rows = rows_of(simulated(30_000, seed=9), columns=("a",))
    fit = CoxModel("a").fit(rows, draws=40)
    assert len(fit.steps.times) > 2 * MOST_BLOCKS
    assert fit.draws.path.nbytes <= 40 * 8 * (MOST_BLOCKS + 1)
    sizes = []
    for draws in (20, 40):
        fit.with_draws(draws).save(tmp_path / f"{draws}")
        sizes.append((tmp_path / f"{draws}").stat().st_size)
    assert sizes[1] - sizes[0] < 20 * 8 * 20
