"""Curves over all cutoffs: receiver operating characteristic, precision and recall; weighted for censoring."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from churnsurv._typing import FloatArray
from churnsurv.hazards.scoring.binary_outcomes import Scored, levels, read_scored


@dataclass(frozen=True, eq=False)
class RocCurve:
    """Sensitivity and specificity at every cutoff; straight between them, where scores are equal.

    Made by :func:`roc_curve`. Arrays have shape (n_levels + 1,).

    Parameters
    ----------
    cutoff : array
        Lowest score flagged, falling from infinity (nobody flagged).
    sensitivity, specificity : array
        Flagged among the leavers, not flagged among the stayers; NaN where there are none.
    auc : float
        Area under sensitivity against 1 - specificity.
    """

    cutoff: FloatArray
    sensitivity: FloatArray
    specificity: FloatArray
    auc: float


@dataclass(frozen=True, eq=False)
class PrecisionRecallCurve:
    """Precision and recall at every cutoff.

    Made by :func:`precision_recall_curve`. Arrays have shape (n_levels,).

    Parameters
    ----------
    cutoff : array
        Lowest score flagged, falling.
    precision, recall : array
        Leavers among the flagged, flagged among the leavers.
    average_precision : float
        Mean of precision, weighted by the steps of recall; not a trapezoid, which would flatter.
    """

    cutoff: FloatArray
    precision: FloatArray
    recall: FloatArray
    average_precision: float


def _reached(scored: Scored) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Distinct scores from the highest down, and the mass of leavers and of stayers at or above each."""
    cutoff, (left, stayed) = levels(scored, scored.mass * scored.outcome, scored.mass * (1 - scored.outcome))
    return cutoff, left, stayed


def _share_of_last(amounts: FloatArray) -> FloatArray:
    return amounts / amounts[-1] if amounts[-1] > 0 else np.full_like(amounts, math.nan)


def roc_curve(outcome: object, risk_score: object, *, weight: object = None, ipcw: object = None) -> RocCurve:
    """Receiver operating characteristic with its area, in O(n log n).

    Parameters
    ----------
    outcome, risk_score, weight, ipcw
        As in :func:`~churnsurv.hazards.scoring.classification.classification_scores`. With the outcomes and weights of one moment
        (:func:`~churnsurv.hazards.scoring.binary_outcomes.outcomes_at`) it is the time-dependent curve, and
        its area the time-dependent AUC.

    Returns
    -------
    RocCurve
        Starts with nobody flagged and ends with everyone.

    Raises
    ------
    ArgumentError, DataTypeError, MissingValueError, NonFiniteError, EmptyDataError
        Whatever is wrong with an argument.

    Examples
    --------
    >>> curve = roc_curve([1, 0, 1, 0], [0.9, 0.5, 0.5, 0.1])
    >>> curve.sensitivity, curve.specificity, curve.auc
    (array([0. , 0.5, 1. , 1. ]), array([1. , 1. , 0.5, 0. ]), 0.875)
    """
    scored = read_scored(outcome, risk_score, "risk_score", weight=weight, ipcw=ipcw)
    cutoff, left, stayed = _reached(scored)
    sensitivity = np.concatenate([[0.0], _share_of_last(left)])
    false_alarm = np.concatenate([[0.0], _share_of_last(stayed)])
    area = float(np.trapezoid(sensitivity, false_alarm))
    return RocCurve(np.concatenate([[math.inf], cutoff]), sensitivity, 1 - false_alarm, area)


def precision_recall_curve(
    outcome: object, risk_score: object, *, weight: object = None, ipcw: object = None
) -> PrecisionRecallCurve:
    """Precision and recall at every cutoff with average precision, in O(n log n).

    Parameters
    ----------
    outcome, risk_score, weight, ipcw
        As in :func:`roc_curve`.

    Returns
    -------
    PrecisionRecallCurve
        Ends with everyone flagged: precision is the base rate, recall 1.

    Raises
    ------
    ArgumentError, DataTypeError, MissingValueError, NonFiniteError, EmptyDataError
        Whatever is wrong with an argument.

    Examples
    --------
    >>> curve = precision_recall_curve([1, 0, 1, 0], [0.9, 0.8, 0.3, 0.1])
    >>> curve.precision.round(3), round(curve.average_precision, 3)
    (array([1.   , 0.5  , 0.667, 0.5  ]), 0.833)
    """
    scored = read_scored(outcome, risk_score, "risk_score", weight=weight, ipcw=ipcw)
    cutoff, left, stayed = _reached(scored)
    flagged = left + stayed
    precision = np.divide(left, flagged, out=np.full_like(left, math.nan), where=flagged > 0)
    recall = _share_of_last(left)
    steps = np.diff(recall, prepend=0.0)
    average = float(np.sum(np.where(steps > 0, steps * precision, 0.0))) if left[-1] > 0 else math.nan
    return PrecisionRecallCurve(cutoff, precision, recall, average)
