"""Residuals, baselines, the sandwich and the test of proportional hazards."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from churnsurv.hazards.cox_baseline import baseline
from churnsurv.hazards.cox_residuals import (
    clustered_covariance,
    deviance_residuals,
    dfbeta,
    martingale_residuals,
    schoenfeld_residuals,
    score_residuals,
)
from churnsurv.hazards.partial_likelihood import log_partial_likelihood, maximise, order_rows
from churnsurv.hazards.proportional_hazards import proportional_hazards_score_test
from tests.hazards.cox_by_hand import by_hand
from tests.hazards.cox_data import BOOK_1, BOOK_2, WEIGHTED, ovarian
from tests.hazards.test_partial_likelihood import TIES, ordered, rows_of, simulated

ZERO = np.zeros(1)


# By hand: Therneau and Grambsch (2000), appendix E ----------------------------------------------


def test_residuals_of_book_1_at_zero():
    """Fractions of section E.1; rows in the order 9, 1, 1, 6, 6, 8."""
    rows, x = ordered(BOOK_1), BOOK_1.x
    score = score_residuals(rows, x, ZERO, ties="breslow")[:, 0]
    assert score == pytest.approx([5 / 24, 5 / 12, -1 / 12, 7 / 24, -1 / 24, 5 / 24], abs=1e-15)
    efron = martingale_residuals(rows, x, ZERO)
    assert efron == pytest.approx([-3 / 4, 5 / 6, -1 / 6, 5 / 12, 5 / 12, -3 / 4], abs=1e-15)


def test_residuals_of_book_1_at_breslow_s_maximum():
    """Section E.1.1 in r = exp(coef): increments 1/(3r+3), 2/(r+3), 1 at the times 1, 6 and 9."""
    rows, x = ordered(BOOK_1), BOOK_1.x
    r = (3 + np.sqrt(33)) / 2
    first, second = 1 / (3 * r + 3), 2 / (r + 3)
    late = first + second
    martingale = martingale_residuals(rows, x, np.log([r]), ties="breslow")
    assert martingale == pytest.approx([-late, 1 - r * first, -r * first, 1 - r * late, 1 - late, -late], abs=1e-14)
    a, b = 3 * (r + 1) ** 2, (r + 3) ** 2
    late = r / a + 2 * r / b
    score = [late, (2 * r + 3) / a, -r / a, -r / a + 3 * (3 - r) / b, r / a - r * (r + 1) / b, late]
    assert score_residuals(rows, x, np.log([r]), ties="breslow")[:, 0] == pytest.approx(score, abs=1e-14)
    found = schoenfeld_residuals(rows, x, np.log([r]), ties="breslow")
    assert found.time.tolist() == [1, 6, 6, 9]
    assert found.row.tolist() == [1, 3, 4, 0]
    assert found.residuals[:, 0] == pytest.approx([1 / (r + 1), 3 / (r + 3), -r / (r + 3), 0], abs=1e-14)


# At Efron's maximum, as printed by R survival 3.8 (tests/book2.Rout.save, book4.Rout.save, book6.Rout.save).
PRINTED = {
    "book 1": (
        BOOK_1,
        [-0.3655434, 0.7191707, -0.2808293, -0.4383414, 0.7310869, -0.3655434],
        [0.2208584, 0.1132780, -0.0442340, -0.1029199, -0.4078409, 0.2208584],
        [0.157512, 0.421244, -0.578756, 0.0],
    ),
    "book 2": (
        BOOK_2,
        [0.50527611, 0.66432995, 0.79746211, 0.22435805, -0.55144018, 0.42933697, -0.01764508, -1.14132605, -0.45517594,
         -0.45517594],
        [0.2553039, -0.2183386, -0.4744295, -0.1101520, 0.1137126, 0.2491954, 0.1057078, -0.4119611, 0.2454808, 0.2454808],
        [0.5052761, -0.3286599, -0.5949242, 0.2539781, -0.7460219, 0.4551759, 0.4551759],
    ),
    "weighted": (
        WEIGHTED,
        None,
        [0.88116056, 0.02477248, 0.06057806, 0.06057806, -0.59724033, -0.16737066, 0.38040295, -0.13750290, 0.66631324],
        [1.0325955, 0.1621759, 0.1621759, -0.8378241, 0.1728229],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PRINTED)
def test_residuals_at_efron_s_maximum_as_r_prints_them(name):
    data, martingale, score, schoenfeld = PRINTED[name]
    rows = ordered(data)
    coef = maximise(rows, data.x).coef
    if martingale:
        assert martingale_residuals(rows, data.x, coef) == pytest.approx(martingale, abs=1e-7)
    # R stops iterating at a relative change of 1e-9, which leaves its eighth digit open.
    assert score_residuals(rows, data.x, coef)[:, 0] == pytest.approx(score, abs=2e-6)
    assert schoenfeld_residuals(rows, data.x, coef).residuals[:, 0] == pytest.approx(schoenfeld, abs=2e-6)


def test_ovarian_residuals_as_r_prints_them():
    """R survival 3.8, tests/ovarian.Rout.save: age + resid.ds + rx + ecog.ps, first eight rows or events."""
    data = ovarian()
    rows = ordered(data)
    coef = maximise(rows, data.x).coef
    martingale = martingale_residuals(rows, data.x, coef)
    assert martingale[:8] == pytest.approx(
        [0.84103277, 0.54424388, 0.59670824, -0.11281376, 0.75111588, -0.32609026, 0.59998927, 0.29570718], abs=2e-8
    )
    assert deviance_residuals(rows, martingale)[:8] == pytest.approx(
        [1.41281595, 0.69505907, 0.78916003, -0.47500266, 1.13106322, -0.80757694, 0.79532966, 0.33122166], abs=3e-8
    )
    score = [
        [2.26503249, 0.05686357, -0.10565379, -0.42661688], [3.02525428, 0.04641312, -0.08623662, -0.34821275],
        [-0.06851355, 0.07131430, -0.13250357, 0.06167527], [0.94597623, -0.02541510, -0.06423496, 0.05971729],
        [-5.41507168, 0.21605962, -0.32258092, -0.39333909], [1.48999552, 0.24899474, 0.14035143, -0.15380664],
        [-0.68612431, 0.13740891, 0.28392482, 0.29196506], [0.93116906, 0.08428957, 0.16040160, 0.18430641],
    ]  # fmt: skip
    np.testing.assert_allclose(score_residuals(rows, data.x, coef)[:8], score, atol=2e-7)
    schoenfeld = [
        [2.69315603, 0.06761160, -0.1256239, -0.5072536], [5.36390105, 0.08039116, -0.1493686, -0.6031318],
        [-0.89877512, 0.10683985, -0.1985108, 0.1984379], [6.95664326, 0.12857949, -0.2389036, 0.2388157],
        [-15.73656605, 0.28889883, -0.5367805, -0.4634169], [4.06104389, -0.70587654, 0.4535120, 0.5282024],
        [5.50035833, 0.25348264, 0.4796230, -0.4413864], [-8.06809505, 0.27490176, -0.4297023, -0.5248323],
    ]  # fmt: skip
    found = schoenfeld_residuals(rows, data.x, coef)
    np.testing.assert_allclose(found.residuals[:8], schoenfeld, atol=5e-7)
    assert found.time[:8].tolist() == [59, 115, 156, 268, 329, 353, 365, 431]


# Spelt out ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("seed", range(24))
def test_residuals_and_baseline_equal_the_sums_over_steps(seed, ties):
    rng = np.random.default_rng(2000 + seed)
    data = simulated(
        seed, n=int(rng.integers(3, 60)), p=2, entry=seed % 2 == 0, ties=seed % 3 > 0, n_strata=1 + seed % 4,
        weighted=seed % 5 < 2,
    )  # fmt: skip
    x, coef = data["x"], rng.normal(size=2) * (0.3, 2.0, 15.0)[seed % 3]
    rows = rows_of(data)
    wanted = by_hand(data["start"], data["stop"], data["event"], x - 5.0, coef, weight=data["weight"],
                     strata=data["strata"], ties=ties)  # fmt: skip
    close = {"rtol": 1e-10, "atol": 1e-11}
    np.testing.assert_allclose(martingale_residuals(rows, x, coef, ties=ties), wanted.martingale, **close)
    np.testing.assert_allclose(score_residuals(rows, x, coef, ties=ties), wanted.score_residuals, **close)
    schoenfeld = schoenfeld_residuals(rows, x, coef, ties=ties)
    np.testing.assert_allclose(schoenfeld.residuals[np.argsort(schoenfeld.row)], wanted.schoenfeld, **close)
    found = baseline(rows, x, coef, ties=ties, reference=np.full(2, 5.0))
    assert sum(len(one.times) for one in found) == len(wanted.baseline)
    for stratum, one in enumerate(found):
        assert one.stratum == ("" if data["strata"] is None else stratum)
        for k, time in enumerate(one.times):
            hazard, variance, hazard_x, at_risk, events = wanted.baseline[stratum, time]
            assert one.increments[k] == pytest.approx(hazard, rel=1e-11)
            assert one.variances[k] == pytest.approx(variance, rel=1e-11)
            assert one.mean_x[k] == pytest.approx(hazard_x / hazard + 5.0, rel=1e-11)
            assert (one.n_at_risk[k], one.n_events[k]) == pytest.approx((at_risk, events), rel=1e-14)


@pytest.mark.parametrize("ties", TIES)
def test_residuals_add_up(ties):
    data = simulated(9, n=200, p=3, entry=True, n_strata=3, weighted=True)
    rows, x = rows_of(data), data["x"]
    coef = np.array([0.6, -0.3, 0.1])
    martingale = martingale_residuals(rows, x, coef, ties=ties)
    for s in range(3):
        inside = data["strata"] == s
        assert data["weight"][inside] @ martingale[inside] == pytest.approx(0.0, abs=1e-10)
    assert np.all(martingale <= 1)
    score = log_partial_likelihood(rows, x, coef, ties=ties)[1]
    per_row = score_residuals(rows, x, coef, ties=ties, weighted=True)
    np.testing.assert_allclose(per_row.sum(axis=0), score, atol=1e-10)
    np.testing.assert_allclose(per_row, data["weight"][:, None] * score_residuals(rows, x, coef, ties=ties), atol=1e-12)
    np.testing.assert_allclose(np.abs(deviance_residuals(rows, martingale)) > 0, martingale != 0)


def test_rows_of_one_customer_add_up_to_the_customer():
    """Residuals of episodes add up to those of the whole, and so does the sandwich clustered by customer."""
    data = simulated(4, n=80, ties=False)
    cut = data["stop"] * 0.4
    twice = order_rows(np.r_[0 * cut, cut], np.r_[cut, data["stop"]], np.r_[0 * cut, data["event"]])
    rows, x, coef = rows_of(data), data["x"], np.array([0.4, 0.1])
    for residuals in (martingale_residuals, score_residuals):
        parts = residuals(twice, np.tile(x, (2, 1)), coef)
        np.testing.assert_allclose(parts[:80] + parts[80:], residuals(rows, x, coef), atol=1e-11)
    found = maximise(rows, x)
    customers = np.array([f"c{k:03d}" for k in range(80)])
    split = clustered_covariance(
        score_residuals(twice, np.tile(x, (2, 1)), found.coef), found.covariance, np.tile(customers, 2)
    )
    whole = clustered_covariance(score_residuals(rows, x, found.coef), found.covariance)
    np.testing.assert_allclose(split, whole, rtol=1e-9)


def test_dfbeta_is_nearly_what_leaving_a_row_out_does():
    data = simulated(4, n=400, ties=False)
    rows, x = rows_of(data), data["x"]
    found = maximise(rows, x)
    change = dfbeta(score_residuals(rows, x, found.coef), found.covariance)
    without = []
    for i in range(0, 400, 20):
        kept = np.arange(400) != i
        less = order_rows(None, data["stop"][kept], data["event"][kept])
        without.append(found.coef - maximise(less, x[kept]).coef)
    without = np.array(without)
    np.testing.assert_allclose(change[::20], without, atol=0.15 * np.abs(without).max())


def test_robust_errors_as_lifelines():
    """Without ties, where lifelines' score residuals are exact."""
    lifelines = pytest.importorskip("lifelines")
    pandas = pytest.importorskip("pandas")
    data = simulated(7, n=300, p=2, ties=False, weighted=True)
    cluster = np.arange(300) // 3
    frame = pandas.DataFrame(data["x"], columns=["a", "b"]).assign(
        stop=data["stop"], event=data["event"], weight=data["weight"], cluster=cluster
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas, of lifelines' use of it
        peer = lifelines.CoxPHFitter().fit(
            frame, "stop", "event", weights_col="weight", cluster_col="cluster", robust=True,
            fit_options={"precision": 1e-11},
        )  # fmt: skip
    rows = rows_of(data)
    found = maximise(rows, data["x"])
    score = score_residuals(rows, data["x"], found.coef, weighted=True)
    robust = clustered_covariance(score, found.covariance, cluster)
    np.testing.assert_allclose(np.sqrt(np.diag(robust)), peer.standard_errors_.to_numpy(), rtol=1e-6)


# Baseline ----------------------------------------------------------------------------------------


def hazard_variance(one, information, x):
    """Variance of the cumulative hazard at x: of the increments, and of the coefficients through them."""
    carried = np.cumsum((x - one.mean_x[:, 0]) * one.increments)
    return np.cumsum(one.variances) + carried**2 / information


def test_variance_of_book_1_s_baseline_at_zero():
    """Squared errors 7/180, 2/9, 11/9 at the times 1, 6, 9: R survival 3.8, tests/book1.R."""
    rows = ordered(BOOK_1)
    (one,) = baseline(rows, BOOK_1.x, ZERO, ties="breslow")
    information = log_partial_likelihood(rows, BOOK_1.x, ZERO, ties="breslow")[2][0, 0]
    assert one.times.tolist() == [1, 6, 9]
    assert one.increments == pytest.approx([1 / 6, 2 / 4, 1], abs=1e-15)
    assert hazard_variance(one, information, 0.0) == pytest.approx([7 / 180, 2 / 9, 11 / 9], abs=1e-14)
    assert one.n_at_risk.tolist() == [6, 4, 1]
    assert one.n_events.tolist() == [1, 2, 1]


def test_survival_of_book_2_as_r_prints_it():
    """R survival 3.8, tests/book4.Rout.save: x = 2; the printed error is that of the survival probability."""
    rows = ordered(BOOK_2)
    fit = maximise(rows, BOOK_2.x)
    (one,) = baseline(rows, BOOK_2.x, fit.coef, reference=np.array([2.0]))
    survival = np.exp(-np.cumsum(one.increments))
    assert survival == pytest.approx([0.616, 0.447, 0.368, 0.288, 0.226, 0.146], abs=6e-4)
    error = survival * np.sqrt(hazard_variance(one, fit.information[0, 0], 2.0))
    assert error == pytest.approx([0.465, 0.519, 0.504, 0.464, 0.418, 0.343], abs=6e-4)
    assert one.n_at_risk.tolist() == [2, 3, 5, 4, 4, 5]


def test_weighted_baseline_at_zero():
    """Increments 1/19, 5/24, 5/19, 5/14, 2/3 of Efron's steps: R survival 3.8, tests/book6.R."""
    (one,) = baseline(ordered(WEIGHTED), WEIGHTED.x, ZERO)
    assert one.increments == pytest.approx([1 / 19, 5 / 24 + 5 / 19 + 5 / 14, 2 / 3], abs=1e-14)
    assert one.n_at_risk.tolist() == [19, 16, 3]
    assert one.n_events.tolist() == [1, 10, 2]


def test_mean_x_is_the_slope_of_the_increments():
    data = simulated(9, n=60, p=2, entry=True, n_strata=2, weighted=True)
    rows, x, coef, h = rows_of(data), data["x"], np.array([0.5, -0.2]), 1e-6
    reference = np.array([5.0, 4.0])

    def increments(at):
        return np.concatenate([one.increments for one in baseline(rows, x, at, reference=reference)])

    found = baseline(rows, x, coef, reference=reference)
    for j, direction in enumerate(np.eye(2)):
        slope = (increments(coef + h * direction) - increments(coef - h * direction)) / (2 * h)
        wanted = np.concatenate([one.increments * (reference - one.mean_x)[:, j] for one in found])
        np.testing.assert_allclose(slope, wanted, rtol=1e-6, atol=1e-8)


def test_a_stratum_without_events_has_no_baseline():
    data = simulated(9, n=40, n_strata=3)
    data["event"] &= data["strata"] != 1
    found = baseline(rows_of(data), data["x"], np.array([0.5, -0.2]))
    assert [len(one.times) > 0 for one in found] == [True, False, True]
    assert found[1].mean_x.shape == (0, 2)


# Proportional hazards ----------------------------------------------------------------------------


def widened(score, information, g):
    """Score test of the widened model from each event's score and information; one covariate."""
    u = np.array([np.sum(score), np.sum(g * score)])
    cross = np.array([np.sum(information * g**k) for k in range(3)])
    return u @ np.linalg.solve([[cross[0], cross[1]], [cross[1], cross[2]]], u)


BOOK_TIMES = np.array([1.0, 6, 6, 9])


@pytest.mark.parametrize(("transform", "g"), [("identity", BOOK_TIMES), ("log", np.log(BOOK_TIMES))])
@pytest.mark.parametrize("ties", TIES)
def test_proportional_hazards_of_book_1(ties, transform, g):
    """Section E.1 in r: scores and information of each event, as R survival's tests/zph.R puts them together."""
    rows = ordered(BOOK_1)
    coef = maximise(rows, BOOK_1.x, ties=ties).coef
    r = np.exp(coef[0])
    second = (r + 3) if ties == "breslow" else (r + 5)
    score = np.array([1 / (r + 1), 3 / (r + 3), -r / second, 0.0])
    information = np.array([r / (r + 1) ** 2, 3 * r / (r + 3) ** 2, (second - r) * r / second**2, 0.0])
    found = proportional_hazards_score_test(rows, BOOK_1.x, coef, transform=transform, ties=ties)
    assert found.statistic[0] == pytest.approx(widened(score, information, g), rel=1e-9)
    assert found.global_statistic == pytest.approx(found.statistic[0], rel=1e-12)
    # In two strata of the same data the statistic doubles.
    twice = order_rows(None, np.tile(BOOK_1.stop, 2), np.tile(BOOK_1.event, 2), strata=np.repeat(["a", "b"], 6))
    doubled = proportional_hazards_score_test(twice, np.tile(BOOK_1.x, (2, 1)), coef, transform=transform, ties=ties)
    assert doubled.statistic[0] == pytest.approx(2 * found.statistic[0], rel=1e-9)


def test_ovarian_proportional_hazards_as_r_prints_it():
    """The example of ``cox.zph``'s help page, R survival since 3.0: 0.698, 2.371 and 3.633 on 2 degrees."""
    data = ovarian()
    rows, x = ordered(data), data.x[:, [0, 3]]
    found = proportional_hazards_score_test(rows, x, maximise(rows, x).coef)
    assert found.statistic == pytest.approx([0.698, 2.371], abs=6e-4)
    assert found.p_value == pytest.approx([0.40, 0.12], abs=6e-3)
    assert (found.global_statistic, found.global_p_value) == pytest.approx((3.633, 0.16), abs=6e-3)


@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("transform", ["km", "rank", "identity", "log", np.sqrt])
def test_proportional_hazards_equal_the_sums_over_steps(transform, ties):
    """Any data: scores and information of each step, widened by g(t), put together in full."""
    data = simulated(12, n=70, p=3, entry=True, n_strata=2)
    rows, x = rows_of(data), data["x"]
    coef = maximise(rows, x, ties=ties).coef
    by_step = by_hand(data["start"], data["stop"], data["event"], x - 5, coef, strata=data["strata"], ties=ties)
    times = np.array(by_step.step_time)
    if transform == "km":
        survival, left = 1.0, []
        grid = np.unique(data["stop"])
        for time in grid:
            left.append(1 - survival)
            at_risk = (data["start"] < time) & (data["stop"] >= time)
            survival *= 1 - np.sum(data["event"] & (data["stop"] == time)) / at_risk.sum()
        g = np.array(left)[np.searchsorted(grid, times)]
    elif transform == "rank":
        g = np.array([np.mean(np.flatnonzero(np.sort(data["stop"]) == time)) + 1 for time in times])
    else:
        g = {"identity": lambda t: t, "log": np.log}.get(transform, np.sqrt)(times)
    g = g - g.mean()
    score, information = np.array(by_step.step_score), np.array(by_step.step_information)
    cross = [np.einsum("k,kij->ij", g**power, information) for power in range(3)]
    whole = np.block([[cross[0], cross[1]], [cross[1], cross[2]]])
    slope = np.r_[np.zeros(3), g @ score]
    found = proportional_hazards_score_test(rows, x, coef, transform=transform, ties=ties, terms=[[0], [1, 2]])
    assert found.degrees_of_freedom.tolist() == [1, 2]
    for k, columns in enumerate(([3], [4, 5])):
        kept = np.r_[0:3, columns]
        wanted = slope[kept] @ np.linalg.solve(whole[np.ix_(kept, kept)], slope[kept])
        assert found.statistic[k] == pytest.approx(wanted, rel=1e-8)
    assert found.global_statistic == pytest.approx(slope @ np.linalg.solve(whole, slope), rel=1e-8)


def test_the_test_has_its_size_and_sees_a_reversed_effect():
    rng = np.random.default_rng(5)
    p_values = []
    for _ in range(200):
        x = rng.normal(size=(150, 1))
        rows = order_rows(None, rng.exponential(np.exp(-0.5 * x[:, 0])), rng.uniform(size=150) < 0.8)
        p_values.append(proportional_hazards_score_test(rows, x, maximise(rows, x).coef).p_value[0])
    assert 0.02 <= np.mean(np.array(p_values) < 0.05) <= 0.09
    x = np.repeat([0.0, 1.0], 300)
    early, late = rng.exponential(1 / np.where(x, 3.0, 1.0)), rng.exponential(1 / np.where(x, 0.3, 1.0))
    stop = np.where(early < 0.5, early, 0.5 + late)
    rows = order_rows(None, stop, np.ones(600))
    assert proportional_hazards_score_test(rows, x[:, None], maximise(rows, x[:, None]).coef).p_value[0] < 1e-6


def test_all_events_at_one_time_test_nothing():
    rows = order_rows(None, np.array([3.0, 3, 5, 5]), [1, 1, 0, 0])
    x = np.array([[1.0], [0], [0], [1]])
    assert np.isnan(proportional_hazards_score_test(rows, x, ZERO).statistic).all()


def test_scaled_schoenfeld_residuals_average_to_the_coefficients():
    data = simulated(12, n=200, p=3, n_strata=2)
    rows, x = rows_of(data), data["x"]
    found = maximise(rows, x)
    scaled = schoenfeld_residuals(rows, x, found.coef).scaled(found.coef, found.covariance)
    np.testing.assert_allclose(scaled.mean(axis=0), found.coef, atol=1e-10)
