"""Calibration slope and intercept of probabilities at one horizon, on the complementary log-log scale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from churnsurv._typing import BoolArray, FloatArray
from churnsurv._validate import check_ci_prob
from churnsurv.hazards.scoring.horizon_outcomes import HorizonOutcomes
from churnsurv.hazards.steps import normal_quantile

_MOST_STEPS = 100
_TOLERANCE = 1e-10
_CERTAIN = 1e-12
"""A probability so close to 0 or 1 counts as certain."""
_LARGEST = 30.0
"""Beyond this the linear predictor says 0 or 1 to double precision; a search that goes there has no end."""


@dataclass(frozen=True, eq=False, repr=False)
class CalibrationSlope:
    """Regression of the outcome on the prediction, both on the complementary log-log scale.

    Made by :func:`calibration_slope_intercept`.

    Parameters
    ----------
    slope, intercept : float
        1 and 0 where predictions are right. A slope below 1: predictions too far apart, an overfitted model.
        NaN where there is nothing to fit: nobody or everybody has the event, or all predictions are equal.
    slope_standard_error, intercept_standard_error : float
        Robust (sandwich).
    slope_lower, slope_upper, intercept_lower, intercept_upper : float
        Intervals.
    in_the_large, in_the_large_standard_error, in_the_large_lower, in_the_large_upper : float
        Intercept with the slope fixed at 1: log of the factor by which the cumulative hazard is too low.
    p_value : float
        Of slope 1 and intercept 0 together (Wald).
    n_used : float
        Customers in the fit, with their frequencies.
    n_certain : float
        Left out: probability 0 or 1 to within 1e-12, which no slope moves.
    n_contradicted : float
        Of these, customers to whom the opposite happened.
    ci_prob : float
        Probability that each interval covers.
    """

    slope: float
    intercept: float
    slope_standard_error: float
    intercept_standard_error: float
    slope_lower: float
    slope_upper: float
    intercept_lower: float
    intercept_upper: float
    in_the_large: float
    in_the_large_standard_error: float
    in_the_large_lower: float
    in_the_large_upper: float
    p_value: float
    n_used: float
    n_certain: float
    n_contradicted: float
    ci_prob: float

    def __repr__(self) -> str:
        """Return one line."""
        return (
            f"CalibrationSlope(slope {self.slope:.3g} [{self.slope_lower:.3g}, {self.slope_upper:.3g}], "
            f"in the large {self.in_the_large:.3g}, p={self.p_value:.3g})"
        )


@dataclass(frozen=True, eq=False)
class _Fit:
    coef: FloatArray
    covariance: FloatArray


def complementary_log_log(risk: FloatArray) -> FloatArray:
    """log(-log(1 - p)), the log of the cumulative hazard; minus and plus infinity at 0 and 1."""
    with np.errstate(divide="ignore"):
        found: FloatArray = np.log(-np.log1p(-risk))
    return found


def _means(eta: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Mean of the model, score weight and information weight of a binomial with this link."""
    hazard = np.exp(np.clip(eta, -_LARGEST, 6.0))
    mean = -np.expm1(-hazard)
    return mean, hazard / mean, hazard**2 * (1 - mean) / mean


def _solve(x: FloatArray, offset: FloatArray, outcomes: _Response) -> _Fit | None:
    """Root of the quasi-score by Fisher's method with halved steps; ``None`` if there is none."""
    coef = np.zeros(x.shape[1])
    score, information = _score(x, offset, coef, outcomes)
    for _ in range(_MOST_STEPS):
        sizes = np.linalg.eigvalsh(information)
        if not sizes[0] > sizes[-1] * 1e-13 > 0:
            return None
        step = np.linalg.solve(information, score)
        for halving in range(30):
            trial = coef + step * 0.5**halving
            new_score, new_information = _score(x, offset, trial, outcomes)
            new_step = np.linalg.lstsq(information, new_score, rcond=None)[0]
            if step @ information @ step >= new_step @ information @ new_step:
                break
        coef, score, information = trial, new_score, new_information
        if np.abs(offset + x @ coef).max() > _LARGEST + np.abs(offset).max():
            return None
        if np.abs(step).max() * 0.5**halving < _TOLERANCE:
            return _Fit(coef, _sandwich(x, offset, coef, outcomes))
    return None


@dataclass(frozen=True, eq=False)
class _Response:
    value: FloatArray
    ipcw: FloatArray
    weight: FloatArray


def _score(x: FloatArray, offset: FloatArray, coef: FloatArray, response: _Response) -> tuple[FloatArray, FloatArray]:
    mean, pull, weigh = _means(offset + x @ coef)
    mass = response.weight * response.ipcw
    information: FloatArray = (x * (mass * weigh)[:, None]).T @ x
    return x.T @ (mass * pull * (response.value - mean)), information


def _sandwich(x: FloatArray, offset: FloatArray, coef: FloatArray, response: _Response) -> FloatArray:
    mean, pull, weigh = _means(offset + x @ coef)
    mass = response.weight * response.ipcw
    bread = np.linalg.inv((x * (mass * weigh)[:, None]).T @ x)
    each = x * (response.ipcw * pull * (response.value - mean))[:, None]
    found: FloatArray = bread @ ((each * response.weight[:, None]).T @ each) @ bread
    return found


def _interval(value: float, error: float, prob: float) -> tuple[float, float]:
    width = normal_quantile(prob) * error
    return value - width, value + width


def _both(x: FloatArray, response: _Response) -> tuple[FloatArray, FloatArray, float]:
    """Slope and intercept, their errors, and the p-value of 1 and 0."""
    from scipy.special import chdtrc

    nothing = np.full(2, np.nan)
    if not len(x) or np.ptp(x) <= 1e-9 * max(1.0, float(np.abs(x).max())):
        return nothing, nothing, np.nan
    centre = float(np.average(x, weights=response.weight))
    design = np.column_stack([np.ones(len(x)), x - centre])
    # The model of slope 1 is the offset: what is fitted is the distance from it.
    fit = _solve(design, x, response)
    if fit is None:
        return nothing, nothing, np.nan
    turn = np.array([[0.0, 1.0], [1.0, -centre]])  # to (slope - 1, intercept)
    gap, covariance = turn @ fit.coef, turn @ fit.covariance @ turn.T
    errors = np.sqrt(np.diag(covariance))
    p_value = float(chdtrc(2, fit.coef @ np.linalg.solve(fit.covariance, fit.coef))) if errors.min() > 0 else np.nan
    return gap + np.array([1.0, 0.0]), errors, p_value


def _large(x: FloatArray, response: _Response) -> tuple[float, float]:
    if not len(x):
        return np.nan, np.nan
    fit = _solve(np.ones((len(x), 1)), x, response)
    return (np.nan, np.nan) if fit is None else (float(fit.coef[0]), float(np.sqrt(fit.covariance[0, 0])))


def _contradicted(outcomes: HorizonOutcomes, risk: FloatArray) -> float:
    if outcomes.source is None:
        happened, state = outcomes.value > 0, np.ones(len(risk), dtype=np.bool_)
    else:
        happened = outcomes.source.happened(outcomes.horizon, outcomes.cause)
        state = outcomes.source.known(outcomes.horizon)
    wrong: BoolArray = ((risk <= _CERTAIN) & happened) | ((risk >= 1 - _CERTAIN) & ~happened & state)
    return float(outcomes.weight[wrong].sum())


def calibration_slope_intercept(
    probability: object, outcomes: HorizonOutcomes, *, ci_prob: float = 0.90
) -> CalibrationSlope:
    r"""Slope and intercept of the outcome on the prediction, both on the complementary log-log scale.

    .. math:: \log\{-\log(1 - \operatorname{E} y_i)\} = \alpha + \beta \log\{-\log(1 - \hat p_i)\}

    On this scale a prediction is the log of a cumulative hazard: the intercept multiplies it, and under
    proportional hazards the slope multiplies the effects. The equations are those of a binomial model, solved with
    pseudo-values in place of outcomes where customers are censored [1]_; the errors are robust, which under
    censoring makes them slightly too large rather than too small [2]_.

    Customers with a probability of 0 or 1 (to within 1e-12) are left out and counted: no slope moves them, and one whose
    logarithm lies far away from all others would hold the slope in its hand.

    Parameters
    ----------
    probability : array-like of shape (n,)
        Predicted probability of the event by the horizon, one per row given to the outcomes.
    outcomes : HorizonOutcomes
        What happened.
    ci_prob : float
        Probability that each interval covers.

    Returns
    -------
    CalibrationSlope
        Slope, intercept, and the intercept with the slope at 1.

    Raises
    ------
    ArgumentError, MissingValueError, NonFiniteError, DataTypeError
        If a probability lies outside [0, 1], or an argument is wrong.

    References
    ----------
    .. [1] Andersen, P. K. and Pohar Perme, M. (2010). Pseudo-observations in survival analysis. *Statistical
       Methods in Medical Research*, 19, 71–99.
    .. [2] Jacobsen, M. and Martinussen, T. (2016). A note on the large sample properties of estimators based on
       generalized linear models for correlated pseudo-observations. *Scandinavian Journal of Statistics*, 43,
       845–862.
    .. [3] van Houwelingen, H. C. (2000). Validation, calibration, revision and combination of prognostic survival
       models. *Statistics in Medicine*, 19, 3401–3415.

    Examples
    --------
    Two groups, 2 of 10 and 6 of 10 leave, 1 - exp(-0.1) and 1 - exp(-0.4) were predicted. The slope is
    log(log 0.4 / log 0.8) / log 4:

    >>> from churnsurv.hazards.scoring.horizon_outcomes import known_outcomes
    >>> risk = -np.expm1(-np.repeat([0.1, 0.4], 10))
    >>> found = calibration_slope_intercept(risk, known_outcomes([1] * 2 + [0] * 8 + [1] * 6 + [0] * 4))
    >>> round(found.slope, 4), round(float(np.log(np.log(0.4) / np.log(0.8)) / np.log(4)), 4)
    (1.0189, 1.0189)
    """
    prob = check_ci_prob(ci_prob)
    risk = outcomes.predictions(probability)
    certain = (risk <= _CERTAIN) | (risk >= 1 - _CERTAIN)
    open_ = ~certain & (outcomes.ipcw > 0)
    response = _Response(outcomes.value[open_], outcomes.ipcw[open_], outcomes.weight[open_])
    x = complementary_log_log(risk[open_])
    both, errors, p_value = _both(x, response)
    large, large_error = _large(x, response)
    return CalibrationSlope(
        float(both[0]),
        float(both[1]),
        float(errors[0]),
        float(errors[1]),
        *_interval(float(both[0]), float(errors[0]), prob),
        *_interval(float(both[1]), float(errors[1]), prob),
        large,
        large_error,
        *_interval(large, large_error, prob),
        p_value,
        n_used=float(response.weight.sum()),
        n_certain=float(outcomes.weight[certain].sum()),
        n_contradicted=_contradicted(outcomes, risk),
        ci_prob=prob,
    )
