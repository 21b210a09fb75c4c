"""Brier scores over a range of time: their average, and the continuous ranked probability score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

import numpy as np

from churnsurv._typing import BoolArray, FloatArray
from churnsurv._validate import check_choice
from churnsurv.hazards.scoring.censoring_weights import GivenCensoring
from churnsurv.hazards.scoring.predictions import (
    Predictions,
    observed_risk,
    read_predictions,
    score_times,
    spread_of,
    squared_error,
)

IntegralMeasure = Literal["time", "events"]


@dataclass(frozen=True, eq=False, repr=False)
class IntegratedScore:
    """A score averaged over the times up to a horizon, or its integral.

    Parameters
    ----------
    score, standard_error : float
        The integral; NaN with fewer than two supported times.
    horizon : float
        Last supported time: the integral ends there, also where later ones were asked for.
    times : array of shape (n_times,)
        Moments given.
    time_weights : array of shape (n_times,)
        Weight of the score at each; 0 where not supported.
    """

    score: float
    standard_error: float
    horizon: float
    times: FloatArray
    time_weights: FloatArray

    def __repr__(self) -> str:
        """Return one line."""
        return f"IntegratedScore({self.score:.4g} ± {self.standard_error:.2g}, up to {self.horizon:g})"


def trapezoid_weights(measure: FloatArray, supported: BoolArray) -> FloatArray:
    """Weights that integrate what is linear between the supported times in ``measure``, exactly.

    Parameters
    ----------
    measure : array of shape (n_times,)
        Time itself, or another quantity that does not decrease.
    supported : array of bool, shape (n_times,)
        Where there is a value; support ends once and for all.

    Returns
    -------
    array of shape (n_times,)
        Weights whose sum is the rise of the measure over the supported times.

    Examples
    --------
    >>> trapezoid_weights(np.array([0.0, 1.0, 3.0]), np.array([True, True, True]))
    array([0.5, 1.5, 1. ])
    """
    found, last = np.zeros(len(measure)), int(supported.sum())
    if last < 2:
        return found
    half = np.diff(measure[:last]) / 2
    found[: last - 1] += half
    found[1:last] += half
    return found


def integrate(predictions: Predictions, time_weights: FloatArray) -> IntegratedScore:
    """Weighted sum over the times of the Brier score, with its standard error.

    Parameters
    ----------
    predictions : Predictions
        What is scored.
    time_weights : array of shape (n_times,)
        Weight of each time, 0 where not supported.

    Returns
    -------
    IntegratedScore
        NaN if all weights are 0.
    """
    outcomes, supported = predictions.outcomes, predictions.weighting.supported
    found = score_times(predictions, squared_error, time_weights)
    used = time_weights != 0
    if not used.any():
        value, error = np.nan, np.nan
    else:
        value = float(np.sum(time_weights[used] * found.score[used]))
        error = spread_of(outcomes, found.combined)
    horizon = float(outcomes.times[supported][-1]) if supported.any() else np.nan
    return IntegratedScore(value, error, horizon, outcomes.times, time_weights)


def integrated_brier_score(
    time: object,
    event: object,
    times: object,
    *,
    survival: object = None,
    incidence: object = None,
    cause: int | None = None,
    measure: IntegralMeasure = "time",
    entry: object = None,
    weight: object = None,
    start: float = 0.0,
    groups: object = None,
    censoring: GivenCensoring | None = None,
) -> IntegratedScore:
    r"""Brier score averaged over the times given.

    .. math:: \frac{1}{M(t_k) - M(t_1)} \int_{t_1}^{t_k} \hat B(t) \, dM(t)

    with M the time itself, or (``"events"``, Graf's second choice) the observed probability of the event by t,
    which weighs each time by how many events happen there. The score is taken as linear in M between the times;
    for that the integral is exact, and it ends at the last supported one. To begin at the start give it as the
    first time, with a survival of 1.

    Parameters
    ----------
    time, event, times, survival, incidence, cause, entry, weight, start, groups, censoring
        As in :func:`~churnsurv.hazards.scoring.brier.brier_score`; at least two times.
    measure : {"time", "events"}
        What the score is averaged over. The weights by events are taken as known in the standard error.

    Returns
    -------
    IntegratedScore
        In [0, 1], lower is better.

    Raises
    ------
    ArgumentError, MissingValueError, NonFiniteError, DataTypeError, HorizonError, EmptyDataError
        As ``brier_score``.

    References
    ----------
    .. [1] Graf, E., Schmoor, C., Sauerbrei, W. and Schumacher, M. (1999). Assessment and comparison of
       prognostic classification schemes for survival data. *Statistics in Medicine*, 18, 2529–2545, section 4.

    Examples
    --------
    Scores 0.25 at both times:

    >>> integrated_brier_score([1, 2, 3, 4], [1, 0, 1, 0], [2, 3], survival=[[0.5, 0.5]] * 4).score
    0.25
    """
    over = cast(IntegralMeasure, check_choice(measure, "measure", ("time", "events")))
    given = read_predictions(
        time, event, times, survival=survival, incidence=incidence, cause=cause,
        entry=entry, weight=weight, start=start, groups=groups, censoring=censoring,
    )  # fmt: skip
    along = given.outcomes.times if over == "time" else observed_risk(given)
    steps = trapezoid_weights(along, given.weighting.supported)
    rise = steps.sum()
    return integrate(given, steps / rise if rise > 0 else np.zeros_like(steps))


def crps(
    time: object,
    event: object,
    times: object,
    *,
    survival: object = None,
    incidence: object = None,
    cause: int | None = None,
    entry: object = None,
    weight: object = None,
    start: float = 0.0,
    groups: object = None,
    censoring: GivenCensoring | None = None,
) -> IntegratedScore:
    r"""Continuous ranked probability score of predicted curves, up to the last time.

    .. math:: \int_s^{\tau} \hat B(t) \, dt, \qquad
              \operatorname{E} \int_s^{\tau} \{1(T \le t) - F(t)\}^2 dt \text{ in expectation}

    It is proper where the censoring weights are right: no prediction then scores better on average than the
    truth, because the Brier score is proper at every single time. Where censoring depends on what the predictions
    depend on, weights from all customers together are not right; say so by ``groups`` or ``censoring`` [3]_. The
    "survival CRPS" of Avati et al. [2]_, which integrates
    :math:`F^2` up to the censoring time and stops there, is *not*: a censored customer only ever punishes
    predictions of an early event, so curves that stay too high score better than the truth, the more the earlier
    customers are censored. It is not offered.

    Parameters
    ----------
    time, event, times, survival, incidence, cause, entry, weight, start, groups, censoring
        As in :func:`~churnsurv.hazards.scoring.brier.brier_score`. The score is 0 at the start, and taken as
        linear between the times: give them as densely as the curves bend.

    Returns
    -------
    IntegratedScore
        In the unit of time, between 0 and ``horizon - start``; lower is better. It grows with the horizon:
        compare only where that is the same.

    Raises
    ------
    ArgumentError, MissingValueError, NonFiniteError, DataTypeError, HorizonError, EmptyDataError
        As ``brier_score``.

    References
    ----------
    .. [1] Gneiting, T. and Raftery, A. E. (2007). Strictly proper scoring rules, prediction, and estimation.
       *JASA*, 102, 359–378, section 4.2.
    .. [2] Avati, A. et al. (2020). Countdown regression: sharp and calibrated survival predictions. *UAI 2019*,
       PMLR 115, 145–155.
    .. [3] Rindt, D., Hu, R., Steinsaltz, D. and Sejdinovic, D. (2022). Survival regression with proper scoring
       rules and monotonic neural networks. *AISTATS*, PMLR 151, 1190–1205.

    Examples
    --------
    Brier scores 0, 0.25, 0.25 at 0, 1, 2: a triangle and a rectangle.

    >>> crps([1, 2, 3, 4], [1, 0, 1, 0], [1, 2], survival=[[0.5, 0.5]] * 4).score
    0.375
    """
    given = read_predictions(
        time, event, times, survival=survival, incidence=incidence, cause=cause,
        entry=entry, weight=weight, start=start, groups=groups, censoring=censoring,
    )  # fmt: skip
    along = np.concatenate([[given.outcomes.start], given.outcomes.times])
    steps = trapezoid_weights(along, np.concatenate([[True], given.weighting.supported]))
    return integrate(given, steps[1:])
