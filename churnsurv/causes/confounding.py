r"""How strong a common cause that nobody measured would have to be to explain an effect away.

All numbers are risk ratios: of the outcome between the confounder's levels, :math:`RR_{UD}`, and of the confounder's
prevalence between the cause's levels, :math:`RR_{EU}`, both within levels of what was adjusted for. Feed them the
ratio of two churn probabilities at one horizon, not a hazard ratio: the two differ where churn is common.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from churnsurv._typing import FloatArray
from churnsurv._validate import as_floats, check_ci_prob, check_count, refuse
from churnsurv.errors import ArgumentError

if TYPE_CHECKING:
    import pandas as pd

_RATIO_HINT = "a risk ratio is one probability of churning divided by another."


@dataclass(frozen=True)
class EValue:
    """How strong a confounder would have to be, for an estimate and for its interval.

    Made by :func:`e_value` or :func:`e_value_of_draws`.

    Parameters
    ----------
    risk_ratio : float
        The estimate, > 0.
    lower, upper : float
        Bounds of its interval; NaN without one.
    estimate : float
        E-value of the estimate, >= 1: the ratio that a confounder needs with cause and with outcome, both at once, to
        move the estimate to 1.
    bound : float
        E-value of the bound nearer to 1; 1 if the interval holds 1, NaN without an interval.
    """

    risk_ratio: float
    lower: float
    upper: float
    estimate: float
    bound: float

    def __str__(self) -> str:
        """Return what it means."""
        if self.estimate == 1:
            return "The risk ratio is 1: there is no effect to explain away."
        where = "with the cause as without it" if self.risk_ratio > 1 else "without the cause as with it"
        told = (
            f"To explain a risk ratio of {self.risk_ratio:.2f} away, something unmeasured would have to be "
            f"{self.estimate:.1f} times as common {where} and make the outcome {self.estimate:.1f} times as likely, "
            "beyond what was adjusted for."
        )
        if math.isnan(self.bound):
            return told
        if self.bound == 1:
            return f"{told} The interval holds 1: nothing is needed to explain it."
        return f"{told} To move its interval to 1, {self.bound:.1f} times each would do."


def _ratios(values: object, name: str, *, least: float | None = None) -> FloatArray:
    """Positive ratios, not below ``least``."""
    ratios = as_floats(values, name)
    bad = ratios <= 0 if least is None else ratios < least
    told = "are not above 0." if least is None else f"are below {least:g}."
    hint = _RATIO_HINT if least is None else f"turn a ratio below 1 over: {name} = 1 / {name}."
    refuse(ArgumentError, bad, told, columns={name: ratios}, hint=hint)
    return ratios


def _e_values(ratios: FloatArray) -> FloatArray:
    away = np.maximum(ratios, 1 / ratios)
    return np.asarray(away + np.sqrt(away) * np.sqrt(away - 1))


def e_value(risk_ratio: float, lower: float | None = None, upper: float | None = None) -> EValue:
    r"""E-value of a risk ratio and of the bound of its interval that is nearer to 1.

    .. math:: E = RR + \sqrt{RR (RR - 1)}

    for :math:`RR \ge 1`; a ratio below 1 is turned over first. A confounder whose ratios with the cause and with the
    outcome are both E could explain all of it; a weaker pair could not.

    Parameters
    ----------
    risk_ratio : float
        Estimate, > 0.
    lower, upper : float, optional
        Bounds of its interval, > 0, on both sides of the estimate. One alone will do if it is the nearer to 1.

    Returns
    -------
    EValue
        E-values of the estimate and of the interval.

    Raises
    ------
    ArgumentError
        If a ratio is not above 0, or the bounds do not enclose the estimate.
    DataTypeError, MissingValueError, NonFiniteError
        If one is no finite number.

    See Also
    --------
    e_value_of_draws : The same from draws of the ratio.

    References
    ----------
    .. [1] VanderWeele, T. J. and Ding, P. (2017). Sensitivity analysis in observational research: introducing the
       E-value. *Annals of Internal Medicine*, 167, 268–274.

    Examples
    --------
    >>> found = e_value(3.9, 1.8, 8.7)
    >>> round(found.estimate, 2), round(found.bound, 2)
    (7.26, 3.0)
    """
    ratio = float(_ratios(as_floats(risk_ratio, "risk_ratio", ndim=0), "risk_ratio"))
    low = math.nan if lower is None else float(_ratios(as_floats(lower, "lower", ndim=0), "lower"))
    high = math.nan if upper is None else float(_ratios(as_floats(upper, "upper", ndim=0), "upper"))
    if low > ratio or high < ratio:
        raise ArgumentError(
            f"the interval from {low:g} to {high:g} does not enclose the risk ratio {ratio:g}.",
            column="lower",
            hint="write e_value(risk_ratio, lower, upper), all three on the ratio scale.",
        )
    return EValue(ratio, low, high, float(_e_values(np.array(ratio))), _bound(ratio, low, high))


def _bound(ratio: float, low: float, high: float) -> float:
    """E-value of the bound nearer to 1; NaN if it was not given."""
    nearer = low if ratio >= 1 else high
    if math.isnan(nearer):
        return math.nan
    crossed = nearer <= 1 if ratio >= 1 else nearer >= 1
    return 1.0 if crossed else float(_e_values(np.array(nearer)))


def e_value_draws(risk_ratio: object) -> FloatArray:
    """E-value of each draw of a risk ratio, 1 for draws on the other side of 1 than the median.

    A draw on the other side has nothing left to explain away. The quantiles are therefore the E-values of the
    quantiles of the ratio.

    Parameters
    ----------
    risk_ratio : array-like, any shape
        Draws, > 0.

    Returns
    -------
    array
        Same shape, >= 1.

    Raises
    ------
    ArgumentError
        If a draw is not above 0.
    DataTypeError, MissingValueError, NonFiniteError
        If one is no finite number.

    Examples
    --------
    >>> e_value_draws([0.9, 1.8, 2.0]).round(2)
    array([1.  , 3.  , 3.41])
    """
    ratios = _ratios(risk_ratio, "risk_ratio")
    side = 1.0 if not ratios.size or np.median(ratios) >= 1 else -1.0
    return np.where(side * np.log(ratios) > 0, _e_values(ratios), 1.0)


def e_value_of_draws(risk_ratio: object, *, ci_prob: float = 0.90) -> EValue:
    """E-value of the median of draws of a risk ratio, and of their equal-tailed interval.

    Parameters
    ----------
    risk_ratio : array-like, any shape
        Draws, > 0; at least one.
    ci_prob : float
        Probability of the interval.

    Returns
    -------
    EValue
        With the median as ``risk_ratio``.

    Raises
    ------
    ArgumentError
        If a draw is not above 0, or there is none.
    DataTypeError, MissingValueError, NonFiniteError
        If one is no finite number.

    Examples
    --------
    >>> found = e_value_of_draws([1.7, 1.8, 1.9])
    >>> found.risk_ratio, round(found.estimate, 6)
    (1.8, 3.0)
    """
    prob, ratios = check_ci_prob(ci_prob), _ratios(risk_ratio, "risk_ratio")
    if not ratios.size:
        raise ArgumentError("`risk_ratio` holds no draws.", column="risk_ratio", hint="pass at least one draw.")
    low, middle, high = np.quantile(ratios, [(1 - prob) / 2, 0.5, (1 + prob) / 2]).tolist()
    return e_value(middle, low, high)


def bias_factor(confounder_cause: object, confounder_outcome: object) -> FloatArray:
    r"""Largest factor by which a confounder can have moved a risk ratio.

    .. math:: B = \frac{RR_{EU} \, RR_{UD}}{RR_{EU} + RR_{UD} - 1}

    Parameters
    ----------
    confounder_cause : array-like
        :math:`RR_{EU} \ge 1`: how many times as common the confounder is with the cause as without it.
    confounder_outcome : array-like
        :math:`RR_{UD} \ge 1`: how many times as likely the outcome is with the confounder as without it.

    Returns
    -------
    array
        Factors >= 1, below the smaller of the two; the arguments broadcast.

    Raises
    ------
    ArgumentError
        If a ratio is below 1, or the shapes do not go together.
    DataTypeError, MissingValueError, NonFiniteError
        If one is no finite number.

    References
    ----------
    .. [1] Ding, P. and VanderWeele, T. J. (2016). Sensitivity analysis without assumptions. *Epidemiology*, 27,
       368–377.

    Examples
    --------
    >>> float(bias_factor(2.0, 3.0))
    1.5
    """
    cause = _ratios(confounder_cause, "confounder_cause", least=1.0)
    outcome = _ratios(confounder_outcome, "confounder_outcome", least=1.0)
    _check_shapes({"confounder_cause": cause, "confounder_outcome": outcome})
    # Divided before it is multiplied: the product of two huge ratios would overflow.
    return np.asarray(cause * (outcome / (cause + outcome - 1)))


def _check_shapes(columns: dict[str, FloatArray]) -> None:
    try:
        np.broadcast_shapes(*(values.shape for values in columns.values()))
    except ValueError as error:
        told = ", ".join(f"{name} has {values.shape}" for name, values in columns.items())
        raise ArgumentError(
            f"the shapes do not go together: {told}.", hint="pass single numbers, or arrays of one shape."
        ) from error


def adjusted_risk_ratio(risk_ratio: object, confounder_cause: object, confounder_outcome: object) -> FloatArray:
    """Bound of the true risk ratio if a confounder of this strength was left out.

    Parameters
    ----------
    risk_ratio : array-like
        Estimate, bound or draws, > 0.
    confounder_cause, confounder_outcome : array-like
        As in :func:`bias_factor`, >= 1.

    Returns
    -------
    array
        The ratio divided by the bias factor, or multiplied by it where it is below 1: moved towards 1 and, if the
        confounder is strong enough, beyond. The true ratio is at least that large; at most, where the ratio given is
        below 1. Arguments broadcast.

    Raises
    ------
    ArgumentError
        If a ratio is out of range, or the shapes do not go together.
    DataTypeError, MissingValueError, NonFiniteError
        If one is no finite number.

    References
    ----------
    .. [1] Ding, P. and VanderWeele, T. J. (2016). Sensitivity analysis without assumptions. *Epidemiology*, 27,
       368–377.

    Examples
    --------
    >>> adjusted_risk_ratio([3.0, 0.5], 2.0, 3.0)
    array([2.  , 0.75])
    """
    ratios, factor = _ratios(risk_ratio, "risk_ratio"), bias_factor(confounder_cause, confounder_outcome)
    _check_shapes({"risk_ratio": ratios, "the confounder": factor})
    return np.where(ratios >= 1, ratios / factor, ratios * factor)


@dataclass(frozen=True, eq=False, repr=False)
class TippingPointCurve:
    """Pairs of strengths at which a confounder just explains a risk ratio away.

    Made by :func:`tipping_point_curve`. Arrays have shape (n_points,).

    Parameters
    ----------
    risk_ratio : float
        What is explained away.
    confounder_cause, confounder_outcome : array
        Ratios of the confounder with the cause, rising, and with the outcome, falling. Pairs above and to the right
        of the curve would also do; pairs below it would not.
    """

    risk_ratio: float
    confounder_cause: FloatArray
    confounder_outcome: FloatArray

    def __repr__(self) -> str:
        """Return one line."""
        even = float(_e_values(np.array(self.risk_ratio)))
        return (
            f"TippingPointCurve(risk ratio {self.risk_ratio:.3g}: {len(self.confounder_cause)} pairs of ratios that "
            f"explain it away, {even:.3g} each where they are equal)"
        )

    def frame(self) -> pd.DataFrame:
        """One row per pair: ``confounder_cause, confounder_outcome``."""
        import pandas as pd

        return pd.DataFrame({"confounder_cause": self.confounder_cause, "confounder_outcome": self.confounder_outcome})


def tipping_point_curve(risk_ratio: float, *, n: int = 51, reach: float = 10.0) -> TippingPointCurve:
    r"""Draw the line between confounders that could explain a risk ratio away and those that could not.

    All pairs with a bias factor equal to the ratio (turned over if below 1). With :math:`c^2 = RR(RR - 1)` they are
    the branch :math:`(RR_{EU} - RR)(RR_{UD} - RR) = c^2` of a hyperbola, so that
    :math:`RR_{EU} = RR + c t` and :math:`RR_{UD} = RR + c / t` for every :math:`t > 0`; at t = 1 both are the E-value.

    Parameters
    ----------
    risk_ratio : float
        > 0 and not 1.
    n : int
        Points, at least 3; the middle one is the E-value if ``n`` is odd.
    reach : float
        Largest t, > 1; the smallest is 1 / ``reach``.

    Returns
    -------
    TippingPointCurve
        The pairs.

    Raises
    ------
    ArgumentError
        If the ratio is not above 0 or is 1, or another argument is out of range.
    DataTypeError, MissingValueError, NonFiniteError
        If one is no finite number.

    References
    ----------
    .. [1] Ding, P. and VanderWeele, T. J. (2016). Sensitivity analysis without assumptions. *Epidemiology*, 27,
       368–377.

    Examples
    --------
    >>> tipping_point_curve(1.8, n=3, reach=2).frame().round(6)
       confounder_cause  confounder_outcome
    0               2.4                 4.2
    1               3.0                 3.0
    2               4.2                 2.4
    """
    ratio = float(_ratios(as_floats(risk_ratio, "risk_ratio", ndim=0), "risk_ratio"))
    points, far = check_count(n, "n", minimum=3), float(as_floats(reach, "reach", ndim=0))
    if ratio == 1:
        raise ArgumentError(
            "`risk_ratio` is 1: there is no effect to explain away.", column="risk_ratio", hint=_RATIO_HINT
        )
    if far <= 1:
        raise ArgumentError(f"`reach`={far:g} is not above 1.", column="reach", hint="write reach=10.")
    away = max(ratio, 1 / ratio)
    t = np.exp(np.linspace(-math.log(far), math.log(far), points))
    c = math.sqrt(away) * math.sqrt(away - 1)
    return TippingPointCurve(ratio, away + c * t, away + c / t)
