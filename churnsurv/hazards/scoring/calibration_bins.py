"""Calibration in bins of equally many customers: predicted and observed, with intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from churnsurv._typing import FloatArray, IntArray
from churnsurv._validate import check_ci_prob, check_count
from churnsurv.hazards.intervals import survival_bounds
from churnsurv.hazards.scoring.horizon_outcomes import HorizonOutcomes
from churnsurv.hazards.scoring.pseudo_values import SMALL_SHARE, pseudo_columns
from churnsurv.hazards.scoring.share_intervals import wilson_interval
from churnsurv.hazards.steps import normal_quantile


@dataclass(frozen=True, eq=False, repr=False)
class CalibrationBins:
    """Predicted and observed probability per bin.

    Made by :func:`calibration_bins`. Arrays have shape (n_bins,).

    Parameters
    ----------
    lowest, highest : array
        Range of the predictions in each bin.
    predicted : array
        Their mean.
    observed : array
        Share with the event by the horizon; under censoring one minus Kaplan–Meier, or Aalen–Johansen, of the
        bin. NaN where the bin's customers were not followed so far.
    lower, upper : array
        Bounds.
    n_customers : array
        With their frequencies.
    ci_prob : float
        Probability that each pair of bounds covers.
    """

    lowest: FloatArray
    highest: FloatArray
    predicted: FloatArray
    observed: FloatArray
    lower: FloatArray
    upper: FloatArray
    n_customers: FloatArray
    ci_prob: float

    def __repr__(self) -> str:
        """Return one line."""
        gap = np.abs(self.observed - self.predicted)
        return f"CalibrationBins({len(self.predicted)} bins, largest difference {np.nanmax(gap, initial=0.0):.3g})"


def equal_bins(risk: FloatArray, weight: FloatArray, n_bins: int) -> list[IntArray]:
    """Positions of the customers in each bin of about equally many; equal predictions are never parted.

    Parameters
    ----------
    risk, weight : array of shape (n,)
        Predictions and frequencies.
    n_bins : int
        At most so many bins.

    Returns
    -------
    list of arrays of int
        Increasing in prediction; none is empty.

    Examples
    --------
    >>> [bin.tolist() for bin in equal_bins(np.array([0.3, 0.0, 0.0, 0.2]), np.ones(4), 2)]
    [[1, 2], [0, 3]]
    """
    distinct, place = np.unique(risk, return_inverse=True)
    held = np.bincount(place, weights=weight, minlength=len(distinct))
    middle = (np.cumsum(held) - held / 2) / held.sum()
    number = np.minimum((middle * n_bins).astype(np.int64), n_bins - 1)[place]
    order = np.argsort(number, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(number[order])) + 1)


def _observed(outcomes: HorizonOutcomes, rows: IntArray, prob: float) -> tuple[float, float, float]:
    """Observed probability of the customers of a bin, and its bounds."""
    mass = (outcomes.weight * outcomes.ipcw)[rows]
    if outcomes.source is None or outcomes.known:
        share = float(mass @ outcomes.value[rows] / mass.sum())
        return share, *wilson_interval(share, float(outcomes.weight[rows].sum()), prob)
    if (outcomes.ipcw != 1).any():
        if not mass.any():
            return np.nan, np.nan, np.nan
        share = float(mass @ outcomes.value[rows] / mass.sum())
        alike = mass.sum() ** 2 / float(np.sum(outcomes.weight[rows] * outcomes.ipcw[rows] ** 2))
        return share, *wilson_interval(share, alike, prob)
    part = outcomes.source.part(rows)
    found = pseudo_columns(part, outcomes.cause, SMALL_SHARE)
    if not found.supported[0]:
        return np.nan, np.nan, np.nan
    share, error = float(np.clip(found.incidence[0], 0.0, 1.0)), float(found.standard_error[0])
    if share <= 0 or share >= 1 or error <= 0:
        state = float(part.weight[part.known(outcomes.horizon)].sum())
        return share, *wilson_interval(share, max(state, 1.0), prob)
    kept = np.array([1 - share])
    least, most = survival_bounds(kept, normal_quantile(prob) * error / kept, "log-log")
    return share, float(1 - most[0]), float(1 - least[0])


def calibration_bins(
    probability: object, outcomes: HorizonOutcomes, *, n_bins: int = 10, ci_prob: float = 0.90
) -> CalibrationBins:
    """Predicted and observed probability in bins of equally many customers.

    Parameters
    ----------
    probability : array-like of shape (n,)
        Predicted probability of the event by the horizon, one per row given to the outcomes.
    outcomes : HorizonOutcomes
        What happened.
    n_bins : int
        Bins; fewer where many predictions are equal, as these stay together.
    ci_prob : float
        Probability that each pair of bounds covers.

    Returns
    -------
    CalibrationBins
        With Wilson's interval where everybody's state is known, or nobody or everybody had the event; symmetric
        in log(-log S) under censoring.

    Raises
    ------
    ArgumentError, MissingValueError, NonFiniteError, DataTypeError
        If a probability lies outside [0, 1], or an argument is wrong.

    Examples
    --------
    >>> from churnsurv.hazards.scoring.horizon_outcomes import known_outcomes
    >>> found = calibration_bins([0.1] * 10 + [0.5] * 10, known_outcomes([0] * 9 + [1] * 6 + [0] * 5), n_bins=2)
    >>> found.predicted, found.observed
    (array([0.1, 0.5]), array([0.1, 0.5]))
    """
    prob, count = check_ci_prob(ci_prob), check_count(n_bins, "n_bins")
    risk = outcomes.predictions(probability)
    bins = equal_bins(risk, outcomes.weight, count)
    seen = np.array([_observed(outcomes, rows, prob) for rows in bins])
    return CalibrationBins(
        np.array([risk[rows].min() for rows in bins]),
        np.array([risk[rows].max() for rows in bins]),
        np.array([np.average(risk[rows], weights=outcomes.weight[rows]) for rows in bins]),
        seen[:, 0],
        seen[:, 1],
        seen[:, 2],
        np.array([outcomes.weight[rows].sum() for rows in bins]),
        prob,
    )
