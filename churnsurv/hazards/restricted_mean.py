"""Restricted mean survival time of a Kaplan–Meier curve, with its own variance, and two of them compared.

Equation numbers refer to the page of quantities (docs/explanation/quantities.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Literal, cast

import numpy as np

from churnsurv._validate import check_choice, check_ci_prob
from churnsurv.errors import ArgumentError
from churnsurv.hazards.intervals import greenwood_terms
from churnsurv.hazards.steps import normal_quantile

if TYPE_CHECKING:
    from churnsurv.hazards.curves import KaplanMeier

Contrast = Literal["difference", "ratio"]


@dataclass(frozen=True)
class RestrictedMean:
    """Expected time without the event within a horizon, with the spread of the *estimate*.

    Made by :meth:`KaplanMeier.restricted_mean`.

    Parameters
    ----------
    horizon : float
        Moment on the clock up to which time counts.
    estimate : float
        Area under the curve up to it, in the unit of time, eq. 25.
    standard_error : float
        Of ``estimate``, eq. 25; not that of one customer's time. 0 without an event before the horizon.
    lower, upper : float
        Bounds symmetric about the estimate, cut at 0 and at the horizon. NaN where the standard error
        is 0: nothing is known about the spread.
    ci_prob : float
        Probability that the bounds cover.
    """

    horizon: float
    estimate: float
    standard_error: float
    lower: float
    upper: float
    ci_prob: float


@dataclass(frozen=True)
class RestrictedMeanContrast:
    """Difference or ratio of two restricted mean survival times of separate groups.

    Made by :func:`contrast_restricted_means`.

    Parameters
    ----------
    contrast : {"difference", "ratio"}
        First minus second, or first over second.
    horizon : float
        Horizon of both.
    estimate : float
        Time, in its unit, for a difference; no unit for a ratio.
    standard_error : float
        Of the difference, or of the logarithm of the ratio, eq. 26.
    lower, upper : float
        Bounds symmetric about the difference, or about the log ratio. NaN where the standard error is 0.
    p_value : float
        Two-sided, for no difference. NaN where the standard error is 0.
    ci_prob : float
        Probability that the bounds cover.
    """

    contrast: Contrast
    horizon: float
    estimate: float
    standard_error: float
    lower: float
    upper: float
    p_value: float
    ci_prob: float


def restricted_mean(curve: KaplanMeier, horizon: float, *, ci_prob: float) -> RestrictedMean:
    r"""Area under a Kaplan–Meier curve and its variance, eq. 25.

    .. math:: \hat\mu(u) = \int_0^u \hat S(v)\,dv, \qquad
              \widehat{\operatorname{var}}\,\hat\mu(u) = \sum_{t_k \le u}
              \Bigl[\int_{t_k}^u \hat S(v)\,dv\Bigr]^2 \frac{d_k}{Y_k (Y_k - d_k)}

    Parameters
    ----------
    curve : KaplanMeier
        The curve.
    horizon : float
        Moment on the clock, > 0.
    ci_prob : float
        Probability that the interval covers.

    Returns
    -------
    RestrictedMean
        In the curve's unit of time.

    Raises
    ------
    HorizonError
        If the curve is not known up to the horizon.

    References
    ----------
    .. [1] Klein, J. P. and Moeschberger, M. L. (2003). *Survival Analysis*, 2nd ed., section 4.5. Springer.

    Examples
    --------
    Three events of three at 1, 2 and 3: the mean is 2, its variance that of the three over 3.

    >>> from churnsurv.hazards import kaplan_meier
    >>> found = kaplan_meier([1, 2, 3], [1, 1, 1]).restricted_mean(3)
    >>> round(found.estimate, 4), round(found.standard_error**2, 4)
    (2.0, 0.2222)
    """
    prob = check_ci_prob(ci_prob)
    estimate = curve.restricted_mean_survival_time(horizon)
    inner = curve.times < horizon
    edges = np.append(curve.times[inner], horizon)
    ahead = np.cumsum((np.diff(edges) * curve.survival[inner])[::-1])[::-1]
    terms = greenwood_terms(curve.n_events[inner], curve.n_at_risk[inner])
    # Where all at risk had the event, the term is infinite and the area ahead 0: nothing is left to vary.
    variance = float(np.sum(ahead**2 * np.where(np.isfinite(terms), terms, 0.0)))
    error = math.sqrt(variance)
    half = normal_quantile(prob) * error if error > 0 else math.nan
    lower, upper = (max(estimate - half, 0.0), min(estimate + half, horizon)) if error > 0 else (math.nan, math.nan)
    return RestrictedMean(float(horizon), estimate, error, lower, upper, prob)


def contrast_restricted_means(
    first: RestrictedMean,
    second: RestrictedMean,
    *,
    contrast: Contrast = "difference",
    ci_prob: float | None = None,
) -> RestrictedMeanContrast:
    """Compare the restricted mean survival times of two separate groups, eq. 26.

    Needs no proportional hazards: it is time kept within the horizon, in days.

    Parameters
    ----------
    first, second : RestrictedMean
        Of groups that share no customer, to the same horizon.
    contrast : {"difference", "ratio"}
        First minus second, or first over second with an interval symmetric on the log scale.
    ci_prob : float, optional
        Probability that the interval covers; that of ``first`` by default.

    Returns
    -------
    RestrictedMeanContrast
        Estimate, bounds and p-value.

    Raises
    ------
    ArgumentError
        If the horizons differ.

    References
    ----------
    .. [1] Royston, P. and Parmar, M. K. B. (2013). Restricted mean survival time: an alternative to the
       hazard ratio for the design and analysis of randomized trials with a time-to-event outcome.
       *BMC Medical Research Methodology*, 13, 152.

    Examples
    --------
    >>> from churnsurv.hazards import kaplan_meier
    >>> late, early = kaplan_meier([2, 3, 4], [1, 1, 1]), kaplan_meier([1, 2, 3], [1, 1, 1])
    >>> found = contrast_restricted_means(late.restricted_mean(3), early.restricted_mean(3))
    >>> round(found.estimate, 4), round(found.standard_error**2, 4)
    (0.6667, 0.2963)
    """
    kind = cast(Contrast, check_choice(contrast, "contrast", ("difference", "ratio")))
    prob = first.ci_prob if ci_prob is None else check_ci_prob(ci_prob)
    if first.horizon != second.horizon:
        raise ArgumentError(
            f"the horizons differ: {first.horizon:g} and {second.horizon:g}.",
            consequence="Time within a longer horizon is longer for that reason alone.",
            hint=f"ask both curves for .restricted_mean({min(first.horizon, second.horizon):g}).",
        )
    if kind == "difference":
        error = math.hypot(first.standard_error, second.standard_error)
        centre = first.estimate - second.estimate
    else:
        error = math.hypot(first.standard_error / first.estimate, second.standard_error / second.estimate)
        centre = math.log(first.estimate / second.estimate)
    known = error > 0
    half = normal_quantile(prob) * error if known else math.nan
    p_value = 2 * NormalDist().cdf(-abs(centre) / error) if known else math.nan
    bounds = (centre, centre - half, centre + half)
    estimate, lower, upper = bounds if kind == "difference" else map(math.exp, bounds)
    return RestrictedMeanContrast(kind, first.horizon, estimate, error, lower, upper, p_value, prob)
