"""Precision, recall and their kin at one cutoff, weighted for censoring."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from churnsurv._typing import FloatArray
from churnsurv._validate import as_floats, check_ci_prob
from churnsurv.errors import ArgumentError
from churnsurv.hazards.scoring.binary_outcomes import Scored, flag_top, ratio, read_scored
from churnsurv.hazards.scoring.share_intervals import wilson_interval


@dataclass(frozen=True)
class Proportion:
    """A share with Wilson's interval.

    Parameters
    ----------
    estimate : float
        Share in [0, 1]; NaN where there is nobody to take it of.
    lower, upper : float
        Wilson's bounds.
    n_effective : float
        Number of customers, or of equally weighted ones that would be as informative.
    """

    estimate: float
    lower: float
    upper: float
    n_effective: float


@dataclass(frozen=True)
class ClassificationScores:
    """How well flagged customers are those who leave, at one cutoff.

    Made by :func:`classification_scores`. Shares that have no denominator are NaN, never 0.

    Parameters
    ----------
    cutoff : float
        Lowest score flagged.
    n_flagged : float
        Customers flagged, with their frequencies, known outcomes or not.
    true_positive, false_positive, true_negative, false_negative : float
        Customers in each cell, each counted with what it stands for.
    precision, recall, specificity, accuracy : Proportion
        Leavers among the flagged; flagged among the leavers; not flagged among the stayers; rightly treated.
    f1, balanced_accuracy, matthews : float
        2 TP / (2 TP + FP + FN); mean of recall and specificity; Matthews' correlation coefficient, in [-1, 1].
    ci_prob : float
        Probability that the bounds cover, each for itself.
    """

    cutoff: float
    n_flagged: float
    true_positive: float
    false_positive: float
    true_negative: float
    false_negative: float
    precision: Proportion
    recall: Proportion
    specificity: Proportion
    accuracy: Proportion
    f1: float
    balanced_accuracy: float
    matthews: float
    ci_prob: float


def _proportion(right: FloatArray, among: FloatArray, scored: Scored, ci_prob: float) -> Proportion:
    """Share of ``right`` in ``among``; both are parts of each customer in [0, 1]."""
    mass = scored.mass
    whole = float(mass @ among)
    share = min(ratio(float(mass @ right), whole), 1.0) if whole > 0 else math.nan
    effective = whole**2 / float(scored.weight @ (scored.ipcw * among) ** 2) if whole > 0 else 0.0
    return Proportion(share, *wilson_interval(share, effective, ci_prob), effective)


def _flags(scored: Scored, cutoff: object, top: object) -> FloatArray:
    if (cutoff is None) == (top is None):
        raise ArgumentError(
            "of `cutoff` and `top` one is needed, and only one.",
            column="cutoff",
            hint="cutoff=0.5 flags scores of at least 0.5, top=0.1 the highest tenth, top=500 the highest 500.",
        )
    if cutoff is None:
        return flag_top(scored.score, scored.weight, top)
    return (scored.score >= float(as_floats(cutoff, "cutoff", ndim=0))).astype(np.float64)


def classification_scores(
    outcome: object,
    risk_score: object,
    *,
    cutoff: float | None = None,
    top: float | None = None,
    weight: object = None,
    ipcw: object = None,
    ci_prob: float = 0.90,
) -> ClassificationScores:
    """Precision, recall, specificity, accuracy with intervals, F1, balanced accuracy and Matthews' coefficient.

    Parameters
    ----------
    outcome : array-like of shape (n,)
        1 where the event happened by the horizon, else 0; anything of both where it is unknown.
    risk_score : array-like of shape (n,)
        Higher means more likely; a probability, if ``cutoff`` is one.
    cutoff : float, optional
        Flag everyone with at least this score.
    top : int or float, optional
        Flag this many customers, or with a float this share of all. Where equal scores lie on the border, each of
        them is flagged in part: the expectation over drawing lots, whatever the order of the rows.
    weight : array-like of shape (n,), optional
        Frequencies > 0.
    ipcw : array-like of shape (n,), optional
        1 / G where the outcome is known, 0 where it is not
        (:func:`~churnsurv.hazards.scoring.binary_outcomes.outcomes_at`). ``None``: all are known.
    ci_prob : float
        Probability that the bounds cover.

    Returns
    -------
    ClassificationScores
        At this one cutoff.

    Raises
    ------
    ArgumentError, DataTypeError, MissingValueError, NonFiniteError, EmptyDataError
        Whatever is wrong with an argument; not exactly one of ``cutoff`` and ``top``.

    Notes
    -----
    Intervals are Wilson's with the effective number (Σ wv)² / Σ wv², frequencies w, weights v (Kish). They take the cutoff
    and the weights as known.

    Examples
    --------
    >>> found = classification_scores([1, 0, 1, 0], [0.9, 0.8, 0.3, 0.1], cutoff=0.5)
    >>> found.precision.estimate, found.recall.estimate, found.f1
    (0.5, 0.5, 0.5)
    """
    prob = check_ci_prob(ci_prob)
    scored = read_scored(outcome, risk_score, "risk_score", weight=weight, ipcw=ipcw)
    flags, left = _flags(scored, cutoff, top), scored.outcome
    stayed, unflagged = 1 - left, 1 - flags
    pairs = ((flags, left), (flags, stayed), (unflagged, stayed), (unflagged, left))
    tp, fp, tn, fn = (float(scored.mass @ (flagged * what)) for flagged, what in pairs)
    recall = _proportion(flags * left, left, scored, prob)
    specificity = _proportion(unflagged * stayed, stayed, scored, prob)
    margins = math.sqrt(tp + fp) * math.sqrt(tp + fn) * math.sqrt(tn + fp) * math.sqrt(tn + fn)
    return ClassificationScores(
        cutoff=float(np.min(scored.score[flags > 0], initial=math.inf)) if cutoff is None else float(cutoff),
        n_flagged=float(scored.weight @ flags),
        true_positive=tp,
        false_positive=fp,
        true_negative=tn,
        false_negative=fn,
        precision=_proportion(flags * left, flags, scored, prob),
        recall=recall,
        specificity=specificity,
        accuracy=_proportion(flags * left + unflagged * stayed, np.ones_like(flags), scored, prob),
        f1=ratio(2 * tp, 2 * tp + fp + fn),
        balanced_accuracy=(recall.estimate + specificity.estimate) / 2,
        matthews=ratio(tp * tn - fp * fn, margins) if margins > 0 else math.nan,
        ci_prob=prob,
    )
