"""Smooth calibration curve: what was observed of customers with each prediction, with pointwise bands."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from churnsurv._typing import FloatArray
from churnsurv._validate import as_floats, check_ci_prob, refuse
from churnsurv.errors import ArgumentError
from churnsurv.hazards.scoring.calibration import complementary_log_log
from churnsurv.hazards.scoring.horizon_outcomes import HorizonOutcomes
from churnsurv.hazards.scoring.residual_smoother import Cells, gather, smoother
from churnsurv.hazards.steps import normal_quantile

_GRID = 50


@dataclass(frozen=True, eq=False, repr=False)
class CalibrationCurve:
    """Observed against predicted probability of the event by a horizon.

    Made by :func:`calibration_curve`. Arrays have shape (n_grid,).

    Parameters
    ----------
    predicted : array
        Predicted probabilities, increasing.
    observed : array
        Smoothed observed probability of customers with such a prediction, in [0, 1].
    lower, upper : array
        Pointwise bounds.
    bandwidth : float
        On the complementary log-log scale of the prediction; 0 where all predictions are equal.
    n_scored : float
        Customers, with their frequencies.
    ci_prob : float
        Probability that each pair of bounds covers.
    """

    predicted: FloatArray
    observed: FloatArray
    lower: FloatArray
    upper: FloatArray
    bandwidth: float
    n_scored: float
    ci_prob: float

    def __repr__(self) -> str:
        """Return one line."""
        return (
            f"CalibrationCurve({self.n_scored:g} customers, predicted {self.predicted[0]:.3g} to "
            f"{self.predicted[-1]:.3g}, bandwidth {self.bandwidth:.3g})"
        )


def check_bandwidth(bandwidth: float | None) -> float | None:
    """Positive finite number, or ``None`` for the rule of thumb."""
    if bandwidth is None:
        return None
    width = float(as_floats(bandwidth, "bandwidth", ndim=0))
    if width <= 0:
        raise ArgumentError(
            f"`bandwidth`={width:g} is not positive.",
            column="bandwidth",
            hint="leave it out for the rule of thumb; it is in units of log(-log(1 - p)).",
        )
    return width


def settled(cells: Cells, known: bool) -> Cells:
    """Cells whose noise is that about the curve, and no less than that of right predictions.

    Under right predictions of few events a stretch without any would look certain.
    """
    curve = smoother(cells, cells.x) @ cells.gap
    about = cells.noise - curve * (2 * cells.gap - cells.count * curve) if known else cells.noise
    return replace(cells, noise=np.maximum(about, cells.count * cells.risk * (1 - cells.risk)))


def _default_grid(risk: FloatArray) -> FloatArray:
    ordered = np.sort(risk)
    places = np.linspace(0, len(ordered) - 1, _GRID).round().astype(np.int64)
    found: FloatArray = np.unique(ordered[places])
    return found


def _check_grid(grid: object) -> FloatArray:
    found = np.unique(as_floats(grid, "grid", ndim=1))
    refuse(
        ArgumentError,
        (found < 0) | (found > 1),
        "lie outside [0, 1].",
        columns={"grid": found},
        hint="the grid is of predicted probabilities.",
    )
    return found


def calibration_curve(
    probability: object,
    outcomes: HorizonOutcomes,
    *,
    grid: object = None,
    bandwidth: float | None = None,
    ci_prob: float = 0.90,
) -> CalibrationCurve:
    r"""Observed probability as a smooth function of the predicted one.

    .. math:: \hat o(p) = p + \hat m(\log\{-\log(1 - p)\}), \qquad
              \hat m \text{ the local linear fit to } y_i - \hat p_i

    What is smoothed is the *difference* between outcome and prediction, not the outcome: a model that is right
    shows the diagonal plus noise whatever the bandwidth, where a smoother of outcomes would bend away from it
    wherever probabilities are curved. Under censoring y is a pseudo-value.

    Customers with a probability of exactly 0 or 1 are apart: the curve there is their own mean. The others are gathered
    into cells a fifth of a bandwidth wide, a few hundred of them; beyond one sort of n nothing costs more than the
    square of that number.

    Parameters
    ----------
    probability : array-like of shape (n,)
        Predicted probability of the event by the horizon, one per row given to the outcomes.
    outcomes : HorizonOutcomes
        What happened.
    grid : array-like of shape (n_grid,), optional
        Predicted probabilities to show; 50 quantiles of those given by default. Beyond the range of the predictions,
        and at exactly 0 or 1 where nobody has that, the curve is NaN.
    bandwidth : float, optional
        Standard deviation of the normal kernel in units of log(-log(1 - p)). By default 1.5 s m^(-1/5), with s the
        robust standard deviation of the predictions on that scale and m the number of customers of risk one half
        that would be as informative, 4 Σ p (1 - p). It widens where fewer than m^(-1/5) / 2 of the customers are
        within it.
    ci_prob : float
        Probability that each pair of bounds covers.

    Returns
    -------
    CalibrationCurve
        One entry per grid point.

    Raises
    ------
    ArgumentError, MissingValueError, NonFiniteError, DataTypeError
        If a probability lies outside [0, 1], or an argument is wrong.

    References
    ----------
    .. [1] Austin, P. C., Harrell, F. E. and van Klaveren, D. (2020). Graphical calibration curves and the integrated
       calibration index (ICI) for survival models. *Statistics in Medicine*, 39, 2714–2742.
    .. [2] Fan, J. and Gijbels, I. (1996). *Local Polynomial Modelling and Its Applications*, chapter 3.

    Examples
    --------
    Four in ten leave where two in ten were predicted:

    >>> from churnsurv.hazards.scoring.horizon_outcomes import known_outcomes
    >>> calibration_curve([0.2] * 10, known_outcomes([1] * 4 + [0] * 6)).observed
    array([0.4])
    """
    prob, width = check_ci_prob(ci_prob), check_bandwidth(bandwidth)
    risk = outcomes.predictions(probability)
    cells = settled(gather(risk, outcomes, width), outcomes.known)
    shown = _default_grid(risk) if grid is None else _check_grid(grid)
    matrix = smoother(cells, complementary_log_log(shown))
    covered = (np.abs(matrix).sum(axis=1) > 0) & (shown >= risk.min()) & (shown <= risk.max())
    centre = shown + matrix @ cells.gap
    half = normal_quantile(prob) * np.sqrt(matrix**2 @ cells.noise)
    observed, lower, upper = (
        np.where(covered, np.clip(value, 0.0, 1.0), np.nan) for value in (centre, centre - half, centre + half)
    )
    return CalibrationCurve(shown, observed, lower, upper, cells.bandwidth, float(outcomes.weight.sum()), prob)
