"""Logarithmic scores: by hand, impossible events, likelihood of constant hazards, the truth is best."""

from __future__ import annotations

import numpy as np
import pytest

from churnsurv.errors import ArgumentError, EmptyDataError
from churnsurv.hazards.scoring.likelihood_score import likelihood_score
from churnsurv.hazards.scoring.log_score import log_score


def test_by_hand_with_a_censoring_tied_to_an_event() -> None:
    """2, 2+, 3, 5+ at 3: weights 1, 0, 3/2, 3/2."""
    found = log_score([2, 2, 3, 5], [1, 0, 1, 0], [3], survival=[[0.9], [0.3], [0.5], [0.8]])
    assert found.score[0] == pytest.approx(-(np.log(0.1) + 1.5 * np.log(0.5) + 1.5 * np.log(0.8)) / 4, rel=1e-14)


def test_one_cause_of_several() -> None:
    found = log_score([1, 2, 3], [2, 1, 0], [3], incidence=[0.2, 0.3, 0.4], cause=1)
    assert found.score[0] == pytest.approx(-(np.log(0.8) + np.log(0.3) + np.log(0.6)) / 3, rel=1e-14)


def test_certain_and_right_costs_nothing_certain_and_wrong_everything() -> None:
    right = log_score([1, 2, 3], [1, 0, 0], [1], survival=[0.0, 1.0, 1.0])
    assert (right.score[0], right.n_impossible[0]) == (0, 0)
    wrong = log_score([1, 2, 3], [1, 0, 0], [1], survival=[1.0, 1.0, 0.0], weight=[3, 1, 1])
    assert wrong.score[0] == np.inf
    assert wrong.n_impossible[0] == 4
    assert np.isnan(wrong.standard_error[0])
    bounded = log_score([1, 2, 3], [1, 0, 0], [1], survival=[1.0, 1.0, 1.0], smallest=1e-3)
    assert bounded.score[0] == pytest.approx(-(np.log(1e-3) + 2 * np.log(1 - 1e-3)) / 3)
    assert bounded.n_impossible[0] == 1


def test_beyond_the_last_censoring_it_is_missing() -> None:
    found = log_score([1, 2, 3], [1, 1, 0], [3, 4], survival=np.full((3, 2), 0.5))
    assert np.isnan(found.score).tolist() == [False, True]


def test_likelihood_of_constant_hazards_is_the_closed_form() -> None:
    """Ties, late entry between grid times, exits on and beyond the grid: events x log rate - rate x exposure."""
    rng = np.random.default_rng(0)
    rate, entry = rng.uniform(0.01, 0.2, 30), rng.integers(0, 12, 30).astype(float)
    time, event = entry + rng.integers(1, 15, 30), rng.integers(0, 2, 30)
    at = np.array([3.0, 7, 8, 20])
    curves = np.exp(-rate[:, None] * np.maximum(at - entry[:, None], 0))
    found = likelihood_score(time, event, at, survival=curves, entry=entry)
    seen = entry < 20
    exposure = np.minimum(time, 20) - entry
    each = (rate * exposure - event * (time <= 20) * np.log(rate))[seen]
    assert found.score == pytest.approx(each.mean(), rel=1e-12)
    assert found.standard_error == pytest.approx(each.std() / np.sqrt(seen.sum()), rel=1e-12)


def test_two_hazards_by_hand() -> None:
    """0.1 until 10, 0.3 after: an event at 12 costs 1 + 0.6 - log 0.3."""
    curve = [np.exp(-1.0), np.exp(-4.0)]
    found = likelihood_score([12, 10], [1, 0], [10, 20], survival=[curve, curve])
    assert 2 * found.score == pytest.approx(1.6 - np.log(0.3) + 1, rel=1e-12)


def test_truth_scores_best_whatever_the_censoring() -> None:
    rng = np.random.default_rng(1)
    time, limit = rng.exponential(20.0, 20_000), rng.choice([3.3, 7.7, 30.0], 20_000)
    at = np.array([5.0, 10, 20, 30])
    seen, event = np.minimum(time, limit), time <= limit

    def scored(rate: float) -> float:
        return likelihood_score(seen, event, at, survival=np.tile(np.exp(-rate * at), (20_000, 1))).score

    assert scored(0.05) < min(scored(0.045), scored(0.055))


def test_what_a_curve_calls_impossible_is_counted() -> None:
    found = likelihood_score([1, 5, 5], [1, 0, 0], [2, 4], survival=[[1.0, 0.5], [0.5, 0.0], [0.9, 0.8]])
    assert (found.score, found.n_impossible) == (np.inf, 2)


def test_refusals() -> None:
    with pytest.raises(ArgumentError, match="rise somewhere"):
        likelihood_score([1, 2], [1, 0], [1, 2], survival=[[0.5, 0.6], [0.5, 0.4]])
    with pytest.raises(ArgumentError, match="fallen before the entry"):
        likelihood_score([3, 4], [1, 0], [1, 5], survival=[[0.9, 0.6], [0.5, 0.4]], entry=[2, 0])
    with pytest.raises(EmptyDataError, match="before the last time"):
        likelihood_score([3, 4], [1, 0], [1], survival=[[1.0], [1.0]], entry=[2, 2])
    with pytest.raises(ArgumentError, match="smallest"):
        log_score([1, 2], [1, 0], [1], survival=[0.5, 0.5], smallest=0.7)
