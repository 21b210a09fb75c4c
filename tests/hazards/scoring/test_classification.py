"""Scores of flagged customers, curves and their intervals: by hand, against scikit-learn, and weighted for censoring."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churnsurv.errors import ArgumentError, DataTypeError
from churnsurv.hazards.scoring.binary_outcomes import flag_top, outcomes_at
from churnsurv.hazards.scoring.classification import ClassificationScores, classification_scores
from churnsurv.hazards.scoring.share_intervals import wilson_interval
from churnsurv.hazards.scoring.threshold_curves import precision_recall_curve, roc_curve
from tests.hazards.scoring.pbc import patients

SHARES = ("precision", "recall", "specificity", "accuracy")


def rows(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Outcomes, scores with ties, and frequencies; both outcomes occur."""
    rng = np.random.default_rng(seed)
    outcome = rng.integers(0, 2, n)
    outcome[:2] = (0, 1)
    return outcome, rng.integers(0, 11, n) / 10, rng.integers(1, 4, n)


def test_by_hand() -> None:
    """Six customers, cutoff 0.5: two of three flagged leave, one leaver of three is missed, one of three stayers flagged."""
    found = classification_scores([1, 1, 0, 1, 0, 0], [0.9, 0.5, 0.7, 0.4, 0.4, 0.1], cutoff=0.5)
    cells = (found.true_positive, found.false_positive, found.true_negative, found.false_negative)
    assert cells == (2, 1, 2, 1)
    assert [getattr(found, name).estimate for name in SHARES] == [2 / 3] * 4
    assert (found.f1, found.balanced_accuracy) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert found.matthews == pytest.approx((4 - 1) / 9)
    assert (found.n_flagged, found.cutoff) == (3, 0.5)


def test_top_spreads_the_border_over_equal_scores() -> None:
    """Of three equal scores at the border two places are left: each counts two thirds, whatever the order."""
    outcome, score = np.array([1, 1, 0, 0, 0]), np.array([0.9, 0.5, 0.5, 0.5, 0.1])
    found = classification_scores(outcome, score, top=3)
    assert found.true_positive == pytest.approx(5 / 3)
    assert found.precision.estimate == pytest.approx(5 / 9)
    assert (found.n_flagged, found.cutoff) == (pytest.approx(3), 0.5)
    assert classification_scores(outcome[::-1], score[::-1], top=0.6).precision.estimate == pytest.approx(5 / 9)
    assert flag_top(score, np.array([1, 2, 1, 1, 1]), 2).tolist() == [1, 0.25, 0.25, 0.25, 0]
    # 0.55 * 100 is 55.00000000000001: no sliver of a fifty-sixth customer.
    assert flag_top(np.arange(100.0), np.ones(100), 0.55).tolist() == [0.0] * 45 + [1.0] * 55


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 10_000), st.booleans(), st.sampled_from([0.2, 0.45, 0.5, 0.8]))
def test_scikit_learn(seed: int, weighted: bool, cutoff: float) -> None:
    """To 1e-12 where scikit-learn has a value; where it writes 0 for a share of nobody, NaN."""
    metrics = pytest.importorskip("sklearn.metrics")
    outcome, score, frequency = rows(40, seed)
    weight = frequency if weighted else None
    flags = (score >= cutoff).astype(int)
    found = classification_scores(outcome, score, cutoff=cutoff, weight=weight)
    settings_ = {"sample_weight": weight}
    expected = {
        "recall": metrics.recall_score(outcome, flags, **settings_),
        "specificity": metrics.recall_score(outcome, flags, pos_label=0, **settings_),
        "accuracy": metrics.accuracy_score(outcome, flags, **settings_),
    }
    for name, value in expected.items():
        assert getattr(found, name).estimate == pytest.approx(value, rel=1e-12)
    assert found.f1 == pytest.approx(metrics.f1_score(outcome, flags, **settings_), rel=1e-12)
    assert found.balanced_accuracy == pytest.approx(
        metrics.balanced_accuracy_score(outcome, flags, **settings_), rel=1e-12
    )
    if 0 < flags.sum() < len(flags):
        assert found.precision.estimate == pytest.approx(
            metrics.precision_score(outcome, flags, **settings_), rel=1e-12
        )
        expected_matthews = metrics.matthews_corrcoef(outcome, flags, **settings_)
        assert found.matthews == pytest.approx(expected_matthews, rel=1e-12, abs=1e-14)
    curve = roc_curve(outcome, score, weight=weight)
    false_alarm, sensitivity, cutoffs = metrics.roc_curve(outcome, score, drop_intermediate=False, **settings_)
    assert curve.sensitivity == pytest.approx(sensitivity, abs=1e-12)
    assert curve.specificity == pytest.approx(1 - false_alarm, abs=1e-12)
    assert curve.cutoff.tolist() == cutoffs.tolist()
    assert curve.auc == pytest.approx(metrics.roc_auc_score(outcome, score, **settings_), rel=1e-12)
    both = precision_recall_curve(outcome, score, weight=weight)
    precision, recall, levels = metrics.precision_recall_curve(outcome, score, **settings_)
    assert both.precision == pytest.approx(precision[:-1][::-1], abs=1e-12)
    assert both.recall == pytest.approx(recall[:-1][::-1], abs=1e-12)
    assert both.cutoff.tolist() == levels[::-1].tolist()
    expected_mean = metrics.average_precision_score(outcome, score, **settings_)
    assert both.average_precision == pytest.approx(expected_mean, rel=1e-12)


def test_pbc_as_in_timeroc() -> None:
    """`SeSpPPVNPV(2.3, pbc$time, pbc$status == 2, pbc$bili, cause = 1, times = 365)` of timeROC 0.4, with all 418 patients.

    It prints 143 above the cutoff, Se 86.67, Sp 69.85 and PPV 18.18 per cent.
    """
    days, cause, bilirubin = patients()
    known = outcomes_at(days, cause == 2, 365)
    found = classification_scores(known.outcome, bilirubin, cutoff=2.35, ipcw=known.ipcw)
    assert found.n_flagged == 143
    shares = [100 * getattr(found, name).estimate for name in ("recall", "specificity", "precision")]
    assert np.round(shares, 2).tolist() == [86.67, 69.85, 18.18]


def cells(found: ClassificationScores) -> list[float]:
    return [found.true_positive, found.false_positive, found.true_negative, found.false_negative]


def test_weights_stand_for_those_lost() -> None:
    """Times 1, 2+, 3+, 4: at 3 the one lost at 2 is unknown and the two still there count 1.5 each."""
    known = outcomes_at([1, 2, 3, 4], [1, 0, 0, 1], 3)
    found = classification_scores(known.outcome, [0.9, 0.8, 0.7, 0.1], cutoff=0.5, ipcw=known.ipcw)
    assert cells(found) == [1, 1.5, 1.5, 0]
    assert found.n_flagged == 3
    assert found.precision.estimate == pytest.approx(1 / 2.5)
    assert found.precision.n_effective == pytest.approx(2.5**2 / (1 + 1.5**2))
    lost_differently = classification_scores(
        np.where(known.ipcw > 0, known.outcome, True), [0.9, 0.8, 0.7, 0.1], cutoff=0.5, ipcw=known.ipcw
    )
    assert cells(lost_differently) == cells(found)


@pytest.mark.parametrize(
    ("count", "of", "lower", "upper"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_as_in_newcombe(count: int, of: int, lower: float, upper: float) -> None:
    """Newcombe (1998), *Statistics in Medicine*, 17, 857–872, table I, method 3, 95 per cent."""
    assert wilson_interval(count / of, of, 0.95) == pytest.approx((lower, upper), abs=0.00005)
    found = classification_scores([1] * count + [0] * (of - count), np.ones(of), cutoff=0.5, ci_prob=0.95)
    assert (found.precision.lower, found.precision.upper) == pytest.approx((lower, upper), abs=0.00005)


def test_frequencies_are_replication_in_the_intervals_too() -> None:
    outcome, score, frequency = rows(30, 3)
    ipcw = np.random.default_rng(3).uniform(1, 3, 30)
    found = classification_scores(outcome, score, top=0.3, weight=frequency, ipcw=ipcw)
    many = [np.repeat(column, frequency) for column in (outcome, score, ipcw)]
    repeated = classification_scores(many[0], many[1], top=0.3, ipcw=many[2])
    for name in SHARES:
        one, other = getattr(found, name), getattr(repeated, name)
        assert (one.estimate, one.lower, one.n_effective) == pytest.approx(
            (other.estimate, other.lower, other.n_effective)
        )
    assert found.matthews == pytest.approx(repeated.matthews)


def test_a_share_of_nobody_is_nan() -> None:
    nobody = classification_scores([1, 0, 1], [0.1, 0.2, 0.3], cutoff=0.5)
    assert math.isnan(nobody.precision.estimate)
    assert math.isnan(nobody.precision.lower)
    assert math.isnan(nobody.matthews)
    assert (nobody.recall.estimate, nobody.specificity.estimate, nobody.f1) == (0, 1, 0)
    stayed = classification_scores([0, 0], [0.9, 0.1], cutoff=0.5)
    assert math.isnan(stayed.recall.estimate)
    assert math.isnan(stayed.balanced_accuracy)
    assert math.isnan(roc_curve([0, 0], [1, 2]).auc)
    assert math.isnan(precision_recall_curve([0, 0], [1, 2]).average_precision)
    unknown = classification_scores([1, 0], [0.9, 0.1], cutoff=0.5, ipcw=[0, 0])
    assert all(math.isnan(getattr(unknown, name).estimate) for name in SHARES)


def test_nothing_is_known_where_everybody_was_lost() -> None:
    known = outcomes_at([1, 2, 3], [1, 0, 0], 4)
    assert not known.supported
    assert np.isnan(known.ipcw).all()
    late = outcomes_at([1, 4, 6, 9], [1, 0, 1, 0], 6, entry=[0, 0, 3, 0], start=2)
    assert late.kept.tolist() == [1, 3]


def test_a_weighted_cutoff_finds_the_truth_under_censoring() -> None:
    """200 samples of 500 with a third lost before the horizon: precision and recall are unbiased.

    Wilson's intervals for precision hold at 90 per cent within 3 standard errors; leaving the lost out is off.
    """
    node = np.linspace(-6, 6, 4801)
    density = np.exp(-(node**2) / 2)
    chance = -np.expm1(-np.exp(node) * 0.5)
    top = node > 1
    truth = (float((density * chance)[top].sum() / density[top].sum()), float((density * chance)[top].sum()))
    truth = (truth[0], truth[1] / float((density * chance).sum()))
    rng, found, covered, naive = np.random.default_rng(9), [], 0, []
    for _ in range(200):
        x = rng.normal(size=500)
        time, lost = rng.exponential(np.exp(-x)), rng.exponential(1.2, 500)
        known = outcomes_at(np.minimum(time, lost), time <= lost, 0.5)
        scores = classification_scores(known.outcome, x, cutoff=1.0, ipcw=known.ipcw)
        found.append((scores.precision.estimate, scores.recall.estimate))
        covered += scores.precision.lower <= truth[0] <= scores.precision.upper
        seen = known.ipcw > 0
        naive.append(classification_scores(known.outcome[seen], x[seen], cutoff=1.0).precision.estimate)
    error = np.std(found, axis=0) / math.sqrt(200)
    assert (np.abs(np.mean(found, axis=0) - truth) < 3 * error).all()
    assert 0.836 <= covered / 200 <= 0.964
    assert abs(np.mean(naive) - truth[0]) > 5 * error[0]


def test_refusals() -> None:
    with pytest.raises(ArgumentError, match="one is needed, and only one"):
        classification_scores([1, 0], [0.5, 0.1])
    with pytest.raises(ArgumentError, match="one is needed, and only one"):
        classification_scores([1, 0], [0.5, 0.1], cutoff=0.5, top=1)
    with pytest.raises(ArgumentError, match="are neither 0 nor 1"):
        classification_scores([2, 0], [0.5, 0.1], cutoff=0.5)
    with pytest.raises(ArgumentError, match="are negative"):
        classification_scores([1, 0], [0.5, 0.1], cutoff=0.5, ipcw=[1, -1])
    with pytest.raises(ArgumentError, match="not more than none and at most all 2"):
        classification_scores([1, 0], [0.5, 0.1], top=3)
    with pytest.raises(DataTypeError, match="neither a share nor a number"):
        classification_scores([1, 0], [0.5, 0.1], top=True)
