r"""Probabilities moved to where they would have been right: along a line on the complementary log-log scale, or a monotone curve.

On that scale a probability is the log of a cumulative hazard :math:`\Lambda = -\log(1 - p)`; a line
:math:`\log \Lambda' = a + b \log \Lambda` multiplies hazards by :math:`e^a` and spreads them by b. Whatever is monotone keeps the
order of customers, and of horizons: survival stays survival.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from churnsurv._typing import FloatArray
from churnsurv._validate import check_choice
from churnsurv.errors import ArgumentError, NoEventsError
from churnsurv.hazards.scoring.calibration import calibration_slope_intercept
from churnsurv.hazards.scoring.horizon_outcomes import HorizonOutcomes

_FEW = 20
"""Events, and customers without one, below which nothing can be learnt about probabilities."""


@dataclass(frozen=True, eq=False)
class Recalibration:
    """A monotone map of cumulative hazards. Made by :func:`learn_recalibration`.

    Parameters
    ----------
    kind : {"line", "monotone"}
        How it was learnt.
    hazard, moved : array of shape (n_knots,)
        Cumulative hazards as predicted, increasing, and where they are moved, not decreasing; straight between them, and
        in proportion beyond. Empty for a line.
    intercept, slope : float
        Of a line on the complementary log-log scale; 0 and 1 change nothing.
    n_customers, n_events : float
        What it was learnt from.
    """

    kind: str
    hazard: FloatArray
    moved: FloatArray
    intercept: float
    slope: float
    n_customers: float
    n_events: float

    def survival(self, survival: FloatArray) -> FloatArray:
        """Survival over some stretch of time, moved; any shape, NaN kept."""
        with np.errstate(divide="ignore"):
            return np.exp(-self.cumulative(-np.log(survival)))

    def probability(self, probability: FloatArray) -> FloatArray:
        """Probability of the event, moved; any shape, NaN kept."""
        with np.errstate(divide="ignore"):
            return -np.expm1(-self.cumulative(-np.log1p(-probability)))

    def cumulative(self, hazard: FloatArray) -> FloatArray:
        """Cumulative hazard, moved; 0 and infinity stay."""
        hazard = np.asarray(hazard, np.float64)
        if self.kind == "line":
            with np.errstate(divide="ignore"):
                return np.exp(self.intercept + self.slope * np.log(hazard))
        found = np.interp(hazard, self.hazard, self.moved)
        low, high = self.hazard[0], self.hazard[-1]
        found = np.where(hazard < low, hazard * (self.moved[0] / low), found)
        return np.where(hazard > high, hazard * (self.moved[-1] / high), found)


def learn_recalibration(probability: object, outcomes: HorizonOutcomes, *, kind: str = "line") -> Recalibration:
    """Learn where probabilities would have been right.

    Parameters
    ----------
    probability : array-like of shape (n,)
        Predicted probability of the event by the horizon.
    outcomes : HorizonOutcomes
        What happened.
    kind : {"line", "monotone"}
        A line on the complementary log-log scale (two numbers: for some hundred customers), or the monotone curve that fits
        best (isotonic regression: for thousands).

    Returns
    -------
    Recalibration
        Of survival and of probabilities alike.

    Raises
    ------
    NoEventsError
        If fewer than 20 customers had the event, or had it not.
    ArgumentError
        If higher predictions went with fewer events: no monotone map could mend that.

    References
    ----------
    .. [1] van Houwelingen, H. C. (2000). Validation, calibration, revision and combination of prognostic survival models.
       *Statistics in Medicine* 19, 3401–3415.
    .. [2] Zadrozny, B. and Elkan, C. (2002). Transforming classifier scores into accurate multiclass probability estimates.
       *KDD*, 694–699.

    Examples
    --------
    >>> import numpy as np
    >>> from churnsurv.hazards.scoring.horizon_outcomes import known_outcomes
    >>> risk, happened = np.repeat([0.2, 0.6], 100), np.repeat([1, 0, 1, 0], [10, 90, 30, 70])
    >>> learn_recalibration(risk, known_outcomes(happened)).probability(np.array([0.2, 0.6])).round(3)
    array([0.1, 0.3])
    """
    check_choice(kind, "kind", ("line", "monotone"))
    risk = outcomes.predictions(probability)
    mass = outcomes.weight * outcomes.ipcw
    events = float(np.sum(mass * outcomes.value))
    if min(events, float(mass.sum()) - events) < _FEW:
        raise NoEventsError(
            f"{events:.0f} of {mass.sum():.0f} customers had the event.",
            consequence=f"With fewer than {_FEW} on either side a map of probabilities would be noise.",
            hint="use more or longer cutoffs.",
        )
    line = calibration_slope_intercept(probability, outcomes)
    if not line.slope > 0:
        raise ArgumentError(
            f"the calibration slope is {line.slope:.2g}: higher predictions went with fewer events.",
            consequence="No monotone map makes such predictions right.",
            hint="look for another model.",
        )
    nothing = np.zeros(0)
    if kind == "line":
        return Recalibration("line", nothing, nothing, line.intercept, line.slope, float(mass.sum()), events)
    hazard, moved = _monotone(risk, outcomes, mass)
    return Recalibration("monotone", hazard, moved, 0.0, 1.0, float(mass.sum()), events)


def _monotone(risk: FloatArray, outcomes: HorizonOutcomes, mass: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Isotonic regression by blocks; each block's share shrunk by one half event, so that no probability is 0 or 1."""
    from scipy.optimize import isotonic_regression

    open_ = (risk > 0) & (risk < 1) & (mass > 0)
    order = np.argsort(risk[open_], kind="stable")
    x, y, w = (values[open_][order] for values in (risk, outcomes.value, mass))
    fit = isotonic_regression(y, weights=w)
    starts = np.asarray(fit.blocks[:-1], np.int64)
    size = np.add.reduceat(w, starts)
    share = (np.add.reduceat(w * y, starts) + 0.5) / (size + 1.0)
    share = np.maximum.accumulate(np.clip(share, 0.5 / (size + 1.0), 1.0 - 0.5 / (size + 1.0)))
    middle = np.add.reduceat(w * x, starts) / size
    return -np.log1p(-middle), -np.log1p(-share)
