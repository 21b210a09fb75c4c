"""Brier score, skill, integrals: by hand, as riskRegression and scikit-survival, errors by differentiation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from churnsurv.errors import ArgumentError
from churnsurv.hazards import aalen_johansen, kaplan_meier
from churnsurv.hazards.scoring.brier import brier_contributions, brier_score
from churnsurv.hazards.scoring.integrated_scores import crps, integrated_brier_score
from churnsurv.hazards.scoring.skill import brier_skill
from tests.hazards.scoring.cancer import five_year_risks


def drawn(seed: int, n: int = 50) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(1, 12, n).astype(float), rng.integers(0, 3, n), np.sort(rng.random((n, 3)), axis=1)


def test_by_hand_with_a_censoring_tied_to_an_event() -> None:
    """2, 2+, 3, 5+ at 3: the one censored at 2 was at risk of the event at 2, so G(2-) = 1 and G(3-) = 2/3."""
    found = brier_score([2, 2, 3, 5], [1, 0, 1, 0], [3], survival=[[0.9], [0.3], [0.5], [0.8]])
    assert found.score[0] == pytest.approx((0.81 + 1.5 * 0.25 + 1.5 * 0.04) / 4, rel=1e-14)


def test_events_of_other_causes_are_known_not_to_be_of_this_one() -> None:
    """1 cause 2, 2+, 3 cause 1, 4+: weights 1, 0, 3/2, 3/2 at 3 (Schoop et al. 2011)."""
    risk = [[0.2], [0.3], [0.5], [0.4]]
    found = brier_score([1, 2, 3, 4], [2, 0, 1, 0], [3], incidence=risk, cause=1)
    assert found.score[0] == pytest.approx((0.04 + 1.5 * 0.25 + 1.5 * 0.16) / 4, rel=1e-14)


@pytest.mark.parametrize(
    ("extended", "brier", "skill"),
    [(False, (0.22, 0.21, 0.24), (0.10, 0.04, 0.16)), (True, (0.22, 0.20, 0.23), (0.13, 0.07, 0.19))],
)
def test_breast_cancer_as_in_riskregression(extended: bool, brier: tuple[float, ...], skill: tuple[float, ...]) -> None:
    """Score, scaled score and 95% intervals of riskRegression 2022.09.23 at 4.99 years.

    Printed in 02_predsurv.md, section 1.5, of danielegiardiello/Prediction_performance_survival, the code of
    McLernon, D. J. et al. (2023), Annals of Internal Medicine 176, 105-114; its intervals of the scaled score are
    by bootstrap.
    """
    time, event, risk = five_year_risks(extended)
    event, time = event * (time <= 5), np.minimum(time, 5)
    found = brier_score(time, event, [4.99], survival=1 - risk)
    shown = found.score[0] + np.array([0, -1.96, 1.96]) * found.standard_error[0]
    np.testing.assert_allclose(shown, brier, atol=0.005)
    saved = brier_skill(time, event, [4.99], survival=1 - risk)
    shown = saved.skill[0] + np.array([0, -1.96, 1.96]) * saved.standard_error[0]
    np.testing.assert_allclose(shown, skill, atol=0.005)


def test_as_scikit_survival_without_ties() -> None:
    """scikit-survival 0.28.0, sksurv.metrics.brier_score(y, y, S, times)[1] and integrated_brier_score."""
    i = np.arange(1, 101)
    time, event = ((i * 379) % 1009) / 10.0, (i * 7) % 3 > 0
    at = np.array([10.05, 25.05, 40.05, 60.05, 80.05])
    survival = np.exp(-np.outer(0.002 + 0.0004 * (i % 40), at))
    expected = [0.07917156543885918, 0.15633663792104796, 0.23239292568282274, 0.29660536180039937, 0.29223365759539965]
    np.testing.assert_allclose(brier_score(time, event, at, survival=survival).score, expected, rtol=1e-12)
    whole = integrated_brier_score(time, event, at, survival=survival)
    assert whole.score == pytest.approx(0.22657366172883636, rel=1e-12)


def test_the_left_limit_matters_where_months_are_tied() -> None:
    """Monthly renewals, censoring uniform over twelve months: the score is that of the uncensored customers."""
    rng = np.random.default_rng(0)
    n = 200_000
    risk = rng.uniform(0.05, 0.3, n)
    time, limit = rng.geometric(risk), rng.integers(1, 13, n)
    survival = (1 - risk) ** 6
    truth = np.mean(survival * (1 - survival))
    found = brier_score(np.minimum(time, limit), time <= limit, [6], survival=survival[:, None])
    assert found.score[0] == pytest.approx(truth, abs=4 * found.standard_error[0])
    assert found.standard_error[0] < 0.001


@pytest.mark.parametrize("options", [{}, {"groups": np.arange(50) % 2}, {"start": 2.0}])
@pytest.mark.parametrize("cause", [None, 1])
def test_influence_is_the_derivative_by_the_weight(options: dict[str, Any], cause: int | None) -> None:
    """Standard errors of score, skill and integral against differences of the frequencies."""
    time, event, risk = drawn(1)
    kept = time > options.get("start", 0.0)
    given = {"survival": 1 - risk} if cause is None else {"incidence": risk, "cause": cause}
    at, step = [3.0, 5.0, 8.0], 1e-5
    whole = brier_score(time, event, at, **given, **options)
    saved = brier_skill(time, event, at, **given, **options)
    integral = integrated_brier_score(time, event, at, **given, **options)
    slopes = []
    for i in np.flatnonzero(kept):
        ends = []
        for side in (1 + step, 1 - step):
            weight = np.ones(50)
            weight[i] = side
            ends.append(
                np.concatenate(
                    [
                        brier_score(time, event, at, weight=weight, **given, **options).score,
                        brier_skill(time, event, at, weight=weight, **given, **options).skill,
                        [integrated_brier_score(time, event, at, weight=weight, **given, **options).score],
                    ]
                )
            )
        slopes.append((ends[0] - ends[1]) / (2 * step))
    errors = np.sqrt(np.sum(np.square(slopes), axis=0))
    expected = np.concatenate([whole.standard_error, saved.standard_error, [integral.standard_error]])
    np.testing.assert_allclose(errors, expected, rtol=1e-6)


def test_standard_error_is_the_spread_of_the_score_and_the_truth_is_covered() -> None:
    """400 samples of tied, censored customers at a landmark, scored by the model that made them."""
    rng = np.random.default_rng(3)
    scores, errors = [], []
    rate = rng.exponential(0.02, 300)
    for _ in range(400):
        entry, time = rng.integers(0, 20, 300), np.ceil(rng.exponential(1 / rate))
        limit = rng.integers(15, 60, 300)
        seen = (time > entry) & (limit > entry)
        kept = np.minimum(time, limit)[seen], (time <= limit)[seen]
        survival = np.exp(-rate[seen, None] * 20)
        found = brier_score(*kept, [30], survival=survival, entry=entry[seen], start=10.0)
        scores.append(found.score[0])
        errors.append(found.standard_error[0])
    assert np.mean(errors) == pytest.approx(np.std(scores), rel=0.10)


def test_truth_scores_best_under_censoring() -> None:
    rng = np.random.default_rng(4)
    n = 20_000
    rate = np.exp(rng.normal(-3.5, 0.7, n))
    time, limit = np.ceil(rng.exponential(1 / rate)), rng.integers(1, 61, n)
    at = np.arange(2.0, 31, 4)
    seen, event = np.minimum(time, limit), time <= limit

    def scored(factor: float, shrink: float) -> float:
        wrong = factor * np.exp(-3.5 + shrink * (np.log(rate) + 3.5))
        return crps(seen, event, at, survival=np.exp(-np.outer(wrong, at))).score

    truth = scored(1.0, 1.0)
    assert truth < min(scored(0.7, 1.0), scored(1.4, 1.0), scored(1.0, 0.4), scored(1.0, 1.6))


def test_reference_is_the_curve_of_the_same_customers_and_has_no_skill() -> None:
    time, event, risk = drawn(5)
    at = [3.0, 5.0, 8.0]
    found = brier_skill(time, event, at, survival=1 - risk)
    curve = kaplan_meier(time, event > 0).survival_at(at)
    np.testing.assert_allclose(found.reference_risk, 1 - curve, rtol=1e-12)
    np.testing.assert_allclose(brier_skill(time, event, at, survival=np.tile(curve, (50, 1))).skill, 0, atol=1e-12)
    np.testing.assert_allclose(
        brier_skill(time, event, at, survival=1 - risk, reference=curve).skill, found.skill, rtol=1e-12
    )
    causes = aalen_johansen(time, event).cumulative_incidence_at(at, "2")
    competing = brier_skill(time, event, at, incidence=risk, cause=2)
    np.testing.assert_allclose(competing.reference_risk, causes, rtol=1e-12)
    np.testing.assert_allclose(competing.reference_score, causes * (1 - causes), rtol=1e-12)


def test_contributions_average_to_the_score() -> None:
    time, event, risk = drawn(6)
    each = brier_contributions(time, event, [3, 5, 8], survival=1 - risk, start=2.0)
    assert np.isnan(each[time <= 2]).all()
    found = brier_score(time, event, [3, 5, 8], survival=1 - risk, start=2.0)
    np.testing.assert_allclose(each[time > 2].mean(axis=0), found.score, rtol=1e-12)


def test_integrals_by_hand() -> None:
    """Brier 0.25 at every time; linear between them. By events all mass lies where somebody leaves."""
    given = {"survival": np.full((4, 3), 0.5)}
    time, event, at = [1, 2, 3, 4], [1, 0, 1, 1], [1.0, 2, 4]
    for measure in ("time", "events"):
        assert integrated_brier_score(time, event, at, measure=measure, **given).score == pytest.approx(0.25)
    found = integrated_brier_score(time, event, at, measure="events", **given)
    curve = kaplan_meier(time, event).survival_at(at)
    np.testing.assert_allclose(found.time_weights, [0, (curve[0] - curve[2]) / 2 / curve[0], 0.5], atol=1e-12)
    assert crps(time, event, at, **given).score == pytest.approx(0.125 + 0.75)


def test_crps_of_known_times_is_its_definition() -> None:
    """Gneiting and Raftery (2007), eq. 20: the integral of (F(t) - 1(T <= t))², on a fine grid."""
    rng = np.random.default_rng(7)
    time, rate = rng.exponential(10.0, 40), rng.uniform(0.05, 0.2, 40)
    at = np.linspace(0.005, 30, 6000)
    found = crps(time, np.ones(40), at, survival=np.exp(-np.outer(rate, at)))
    end = np.minimum(time, 30)
    below = end - 2 * (1 - np.exp(-rate * end)) / rate + (1 - np.exp(-2 * rate * end)) / (2 * rate)
    above = (np.exp(-2 * rate * end) - np.exp(-2 * rate * 30)) / (2 * rate)
    assert found.score == pytest.approx(np.mean(below + above), rel=1e-3)


def test_beyond_the_last_censoring_scores_are_missing_and_integrals_end() -> None:
    found = brier_score([1, 2, 3], [1, 1, 0], [2, 3, 4], survival=np.full((3, 3), 0.5))
    assert found.supported.tolist() == [True, True, False]
    assert np.isnan([found.score[2], found.standard_error[2]]).all()
    whole = integrated_brier_score([1, 2, 3], [1, 1, 0], [2, 3, 4], survival=np.full((3, 3), 0.5))
    assert (whole.score, whole.horizon) == (pytest.approx(0.25), 3.0)
    assert np.isnan(integrated_brier_score([1, 2, 3], [1, 1, 0], [4, 5], survival=np.full((3, 2), 0.5)).score)


@pytest.mark.parametrize("event", [0, 1])
def test_nobody_or_everybody_leaves(event: int) -> None:
    found = brier_score([2, 2, 3], [event] * 3, [1, 3], survival=[[1.0, 1.0 - event]] * 3)
    np.testing.assert_array_equal(found.score, [0, 0])
    assert np.isnan(brier_skill([2, 2, 3], [event] * 3, [3], survival=[0.5] * 3).skill).all()


def test_a_weight_is_so_many_customers() -> None:
    time, event, risk = drawn(8)
    weight = np.random.default_rng(1).integers(1, 4, 50)
    rows = np.repeat(np.arange(50), weight)
    once = brier_score(time, event, [3, 5, 8], survival=1 - risk, weight=weight)
    many = brier_score(time[rows], event[rows], [3, 5, 8], survival=1 - risk[rows])
    np.testing.assert_allclose(once.score, many.score, rtol=1e-12)
    np.testing.assert_allclose(once.standard_error, many.standard_error, rtol=1e-12)


def test_order_of_rows_and_an_entry_at_the_start_do_not_matter() -> None:
    time, event, risk = drawn(12)
    plain = brier_score(time, event, [3, 5, 8], survival=1 - risk)
    order = np.random.default_rng(0).permutation(50)
    mixed = brier_score(time[order], event[order], [3, 5, 8], survival=1 - risk[order], entry=np.zeros(50))
    np.testing.assert_allclose(mixed.score, plain.score, rtol=1e-13)
    np.testing.assert_allclose(mixed.standard_error, plain.standard_error, rtol=1e-12)
    late = brier_score(np.append(time, 9), np.append(event, 1), [3, 5, 8], survival=1 - np.vstack([risk, [1, 1, 1]]),
                       entry=np.append(np.zeros(50), 2))  # fmt: skip
    np.testing.assert_allclose(late.score, plain.score, rtol=1e-13)


def test_unit_of_time_does_not_matter() -> None:
    time, event, risk = drawn(9)
    days = brier_score(time, event, [3, 5, 8], survival=1 - risk)
    weeks = brier_score(time / 7, event, np.array([3, 5, 8]) / 7, survival=1 - risk)
    np.testing.assert_allclose(weeks.score, days.score, rtol=1e-12)


def test_censoring_that_depends_on_a_group_is_undone_by_the_group() -> None:
    """The risky half is censored early: weights from all together are off, those by group or given are not."""
    rng = np.random.default_rng(10)
    n = 60_000
    group = rng.integers(0, 2, n)
    rate, drop = np.array([0.01, 0.06])[group], np.array([0.005, 0.06])[group]
    time, limit = rng.exponential(1 / rate), rng.exponential(1 / drop)
    survival = np.full((n, 1), 0.6)
    truth = np.mean((np.exp(-30 * rate) * 0.16) + (1 - np.exp(-30 * rate)) * 0.36)
    seen = np.minimum(time, limit), time <= limit, [30.0]
    by_group = brier_score(*seen, survival=survival, groups=group)
    given = brier_score(*seen, survival=survival, censoring=lambda at: np.exp(-drop[:, None] * at))
    together = brier_score(*seen, survival=survival)
    assert by_group.score[0] == pytest.approx(truth, abs=4 * by_group.standard_error[0])
    assert given.score[0] == pytest.approx(truth, abs=4 * given.standard_error[0])
    assert abs(together.score[0] - truth) > 8 * together.standard_error[0]


def test_refusals() -> None:
    with pytest.raises(ArgumentError, match="exactly one"):
        brier_score([1, 2], [1, 0], [1])
    with pytest.raises(ArgumentError, match="without `cause`"):
        brier_score([1, 2], [1, 0], [1], incidence=[0.5, 0.5])
    with pytest.raises(ArgumentError, match="needs `incidence`"):
        brier_score([1, 2], [1, 0], [1], survival=[0.5, 0.5], cause=1)
    with pytest.raises(ArgumentError, match=r"1 of 2 values of `survival` lie outside \[0, 1\]"):
        brier_score([1, 2], [1, 0], [1], survival=[0.5, 50])
    with pytest.raises(ArgumentError, match=r"shape \(3, 1\)"):
        brier_score([1, 2], [1, 0], [1], survival=[[0.5]] * 3)
