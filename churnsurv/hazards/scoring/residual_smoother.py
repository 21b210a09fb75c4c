"""Local linear regression of outcome less prediction, on customers gathered into narrow cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from churnsurv._typing import BoolArray, FloatArray
from churnsurv.hazards.scoring.calibration import complementary_log_log
from churnsurv.hazards.scoring.horizon_outcomes import HorizonOutcomes

_WIDTH = 1.5
"""Bandwidth in standard deviations, times information to the power -1/5: that of a normal kernel for curves that
bend about as much as a straight line plus one hump. Predictions that are right have no bias with any bandwidth."""

_CELLS_PER_BANDWIDTH = 5
"""A normal kernel averaged over a fifth of its width is off by less than two in a thousand."""

_FLAT = 1e-8
"""Share of the squared bandwidth below which a window has no width, and no slope."""


@dataclass(frozen=True, eq=False)
class Cells:
    """Customers of nearly the same prediction together, the certain ones (0 or 1) in two cells of their own.

    Parameters
    ----------
    x : array of shape (n_cells,)
        Mean prediction on the complementary log-log scale; infinite where certain.
    risk : array
        Mean prediction.
    count : array
        Frequencies, weighted by the inverse probability of censoring where that is how it is dealt with.
    gap : array
        Sum of outcome less prediction.
    noise : array
        Variance of ``gap``.
    bandwidth : float
        On the complementary log-log scale; 0 where all predictions are equal.
    reach : float
        Share of the customers that a window holds within one bandwidth at least.
    """

    x: FloatArray
    risk: FloatArray
    count: FloatArray
    gap: FloatArray
    noise: FloatArray
    bandwidth: float
    reach: float

    @property
    def certain(self) -> BoolArray:
        """Which cells are of certain predictions."""
        found: BoolArray = np.isinf(self.x)
        return found


def _quantile(values: FloatArray, weight: FloatArray, prob: float) -> float:
    order = np.argsort(values, kind="stable")
    place = np.searchsorted(np.cumsum(weight[order]), prob * weight.sum())
    return float(values[order][min(int(place), len(values) - 1)])


def rule_of_thumb(x: FloatArray, weight: FloatArray, information: float) -> float:
    """Bandwidth 1.5 s m^(-1/5): s the smaller of standard deviation and interquartile range / 1.349.

    Parameters
    ----------
    x : array of shape (n,)
        Predictions on the scale of the smoother.
    weight : array of shape (n,)
        Frequencies.
    information : float
        Number m of customers with a risk of one half who would be as informative.
    """
    if not len(x):
        return 0.0
    mean = float(np.average(x, weights=weight))
    spread = float(np.sqrt(np.average((x - mean) ** 2, weights=weight)))
    middle = (_quantile(x, weight, 0.75) - _quantile(x, weight, 0.25)) / 1.349
    scale = min(spread, middle) if middle > 0 else spread
    return _WIDTH * scale * max(information, 1.0) ** -0.2 if scale > 1e-9 else 0.0


def information_of(risk: FloatArray, weight: FloatArray, known_share: float) -> float:
    """4 p (1 - p) summed over customers, times the share whose state is known."""
    return float(4 * known_share * np.sum(weight * risk * (1 - risk)))


def gather(risk: FloatArray, outcomes: HorizonOutcomes, bandwidth: float | None) -> Cells:
    """Cells of a fifth of a bandwidth.

    Parameters
    ----------
    risk : array of shape (n_scored,)
        Checked predictions.
    outcomes : HorizonOutcomes
        What happened.
    bandwidth : float, optional
        On the complementary log-log scale; the rule of thumb by default.

    Returns
    -------
    Cells
        Ordered by prediction.
    """
    x, mass = complementary_log_log(risk), outcomes.weight * outcomes.ipcw
    inner = np.isfinite(x)
    information = information_of(risk, outcomes.weight, outcomes.known_share)
    width = rule_of_thumb(x[inner], outcomes.weight[inner], information) if bandwidth is None else bandwidth
    number = np.zeros(len(x))
    if inner.any():
        low = x[inner].min()
        steps = np.floor((x[inner] - low) / (width / _CELLS_PER_BANDWIDTH)) if width > 0 else np.zeros(inner.sum())
        number[inner] = steps
        number[x == np.inf] = steps.max() + 1
    number[x == -np.inf] = -1
    _, cell = np.unique(number, return_inverse=True)
    count = np.bincount(cell, weights=mass)
    full = np.maximum(count, np.finfo(np.float64).tiny)
    residual = outcomes.value - risk
    middle = np.bincount(cell, weights=mass * np.where(inner, x, 0.0)) / full
    edge = np.bincount(cell, weights=np.where(inner, 0.0, np.sign(x)))
    empty = count <= 0  # only customers whose state is not known
    cells = Cells(
        x=np.where(edge != 0, np.copysign(np.inf, edge), middle)[~empty],
        risk=(np.bincount(cell, weights=mass * risk) / full)[~empty],
        count=count[~empty],
        gap=np.bincount(cell, weights=mass * residual)[~empty],
        noise=np.bincount(cell, weights=outcomes.weight * (outcomes.ipcw * residual) ** 2)[~empty],
        bandwidth=float(width),
        reach=0.5 * min(1.0, max(information, 1.0) ** -0.2),
    )
    return cells


def _windows(cells: Cells, at: FloatArray) -> FloatArray:
    """Bandwidth at each place: wide enough to hold the share of customers that it must."""
    x, count = cells.x[~cells.certain], cells.count[~cells.certain]
    distance = np.abs(at[:, None] - x[None, :])
    order = np.argsort(distance, axis=1, kind="stable")
    held = np.cumsum(count[order], axis=1)
    place = np.argmax(held >= cells.reach * count.sum() * (1 - 1e-12), axis=1)
    needed = np.take_along_axis(distance, np.take_along_axis(order, place[:, None], axis=1), axis=1)[:, 0]
    found: FloatArray = np.maximum(np.maximum(needed, cells.bandwidth), 1e-9)
    return found


def smoother(cells: Cells, at: FloatArray) -> FloatArray:
    """Matrix that turns the cells' gaps into smoothed differences of observed and predicted.

    Parameters
    ----------
    cells : Cells
        Where the customers are.
    at : array of shape (n_places,)
        Places on the complementary log-log scale; minus and plus infinity are the certain predictions, of which
        the mean is taken as it is.

    Returns
    -------
    array of shape (n_places, n_cells)
        Local linear regression with a normal kernel; local means where a window has no width.

    References
    ----------
    .. [1] Fan, J. and Gijbels, I. (1996). *Local Polynomial Modelling and Its Applications*, section 3.2.
    """
    found = np.where(at[:, None] == cells.x[None, :], 1.0 / cells.count, 0.0) * np.isinf(at)[:, None]
    inner, open_ = ~cells.certain, np.isfinite(at)
    if not inner.any() or not open_.any():
        return found
    x, count = cells.x[inner], cells.count[inner]
    scaled = (x[None, :] - at[open_, None]) / _windows(cells, at[open_])[:, None]
    kernel = np.exp(-0.5 * np.minimum(scaled**2, 1400.0))
    zero, one, two = (np.sum(count * kernel * scaled**power, axis=1)[:, None] for power in (0, 1, 2))
    spread = zero * two - one**2
    flat = spread <= _FLAT * zero**2
    line = kernel * (two - one * scaled) / np.where(flat, 1.0, spread)
    found[np.ix_(open_, inner)] = np.where(flat, kernel / zero, line)
    return found
