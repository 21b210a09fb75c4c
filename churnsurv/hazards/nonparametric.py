"""Kaplan–Meier and Nelson–Aalen with delayed entry, frequency weights and ties.

Equation numbers refer to the page of quantities (docs/explanation/quantities.md).
"""

from __future__ import annotations

import warnings
from typing import cast

import numpy as np

from churnsurv._typing import FloatArray
from churnsurv._validate import check_choice, check_ci_prob, refuse
from churnsurv.errors import ArgumentError, DataWarning, compose_message
from churnsurv.hazards.curves import HazardInterval, HazardVariance, KaplanMeier, NelsonAalen
from churnsurv.hazards.intervals import SurvivalInterval, greenwood_terms, survival_bounds
from churnsurv.hazards.risk_sets import RiskSets, Spells, check_spells, risk_sets
from churnsurv.hazards.steps import normal_quantile

__all__ = ["KaplanMeier", "NelsonAalen", "kaplan_meier", "nelson_aalen"]


def warn_all_censored(spells: Spells, what: str) -> None:
    """Warn the caller's caller if there is not one event; ``what`` follows from that."""
    if not spells.event.any():
        warnings.warn(
            compose_message(
                f"all {len(spells.event):,} spells are censored: there is not one event.",
                rows=[],
                count=None,
                consequence=f"{what}, and has no standard error.",
                hint="check the coding: event is 1 where the event happened.",
            ),
            DataWarning,
            stacklevel=3,
        )


def warn_emptied(sets: RiskSets) -> None:
    """Warn the caller's caller if late entries leave an early risk set in which everybody has the event."""
    early = np.flatnonzero(sets.n_events[:-1] == sets.n_at_risk[:-1])
    if len(early):
        time, at_risk = sets.times[early[-1]], sets.n_at_risk[early[-1]]
        warnings.warn(
            compose_message(
                f"at time {time:g} everybody at risk ({at_risk:g}) had the event, although spells are observed later.",
                rows=[],
                count=None,
                consequence="Late entries leave the early risk set tiny; a curve of 0 from there on means nothing.",
                hint=f"ask for survival given that time was reached: .conditional_survival({time:g}, times).",
            ),
            DataWarning,
            stacklevel=3,
        )


def first_entry(spells: Spells) -> float:
    """Earliest entry; 0 when every spell is seen from its origin."""
    return 0.0 if spells.entry is None else float(spells.entry.min())


def estimate_survival(spells: Spells, sets: RiskSets, ci_prob: float, ci_kind: SurvivalInterval) -> KaplanMeier:
    """Kaplan–Meier estimate, eq. 10 to 12, of checked spells.

    Parameters
    ----------
    spells : Spells
        Checked input.
    sets : RiskSets
        Their counts.
    ci_prob : float
        Probability that each interval covers.
    ci_kind : {"log-log", "log", "plain"}
        Scale on which the bounds are symmetric.

    Returns
    -------
    KaplanMeier
        One entry per distinct time.
    """
    survival = np.cumprod((sets.n_at_risk - sets.n_events) / sets.n_at_risk)
    relative_error = np.sqrt(np.cumsum(greenwood_terms(sets.n_events, sets.n_at_risk)))
    lower, upper = survival_bounds(survival, normal_quantile(ci_prob) * relative_error, ci_kind)
    return KaplanMeier(
        times=sets.times,
        n_at_risk=sets.n_at_risk,
        n_events=sets.n_events,
        n_censored=sets.n_censored,
        survival=survival,
        standard_error=np.where(survival > 0, survival * np.where(survival > 0, relative_error, 0.0), np.nan),
        lower=lower,
        upper=upper,
        ci_prob=ci_prob,
        ci_kind=ci_kind,
        start=first_entry(spells),
    )


def kaplan_meier(
    exit: object,
    event: object,
    *,
    entry: object = None,
    weight: object = None,
    ci_prob: float = 0.90,
    ci_kind: SurvivalInterval = "log-log",
) -> KaplanMeier:
    r"""Kaplan–Meier estimate of survival, eq. 10, with Greenwood's standard error, eq. 11.

    .. math:: \hat S(t) = \prod_{t_k \le t} \Bigl(1 - \frac{d_k}{Y_k}\Bigr), \qquad
              \widehat{\operatorname{var}} \hat S(t) = \hat S(t)^2 \sum_{t_k \le t} \frac{d_k}{Y_k (Y_k - d_k)}

    :math:`Y_k` counts the spells with ``entry < t_k <= exit``, :math:`d_k` the events at :math:`t_k`. At a
    shared time, events come before censorings. Times that differ only by rounding are one time
    (:data:`~churnsurv.hazards.risk_sets.TIE_TOLERANCE`).

    Parameters
    ----------
    exit : array-like of shape (n_spells,)
        Time of event or censoring, >= 0.
    event : array-like of shape (n_spells,)
        1 or True where the event happened, 0 or False where the spell is censored.
    entry : array-like of shape (n_spells,), optional
        Time at which observation begins (left truncation), below ``exit``. ``None``: seen from the origin.
    weight : array-like of shape (n_spells,), optional
        Frequencies > 0: a row of weight 3 is three identical rows, in the standard error too.
    ci_prob : float
        Probability that each interval covers.
    ci_kind : {"log-log", "log", "plain"}
        Interval symmetric in log(-log S), log S or S, eq. 12. The first stays inside (0, 1) by itself.

    Returns
    -------
    KaplanMeier
        One entry per distinct time.

    Raises
    ------
    ArgumentError
        If times are negative, an entry is not before its exit, codes are not 0 or 1, or weights are not > 0.
    MissingValueError, NonFiniteError, DataTypeError
        If a value is missing, infinite, or not a number.
    EmptyDataError
        If there are fewer than two spells.

    Warns
    -----
    DataWarning
        If all spells are censored, or late entries leave an early risk set in which everybody has the
        event: the curve is then 0 from there on.

    References
    ----------
    .. [1] Kaplan, E. L. and Meier, P. (1958). Nonparametric estimation from incomplete observations.
       *JASA*, 53, 457–481.
    .. [2] Klein, J. P. and Moeschberger, M. L. (2003). *Survival Analysis*, 2nd ed., sections 4.2–4.6. Springer.

    Examples
    --------
    >>> curve = kaplan_meier([2, 3, 3, 5], [1, 1, 0, 0])
    >>> curve.survival
    array([0.75, 0.5 , 0.5 ])
    >>> curve.n_at_risk
    array([4., 3., 1.])
    """
    prob = check_ci_prob(ci_prob)
    kind = cast(SurvivalInterval, check_choice(ci_kind, "ci_kind", ("log-log", "log", "plain")))
    spells = check_spells(exit, event, entry=entry, weight=weight)
    sets = risk_sets(spells)
    warn_all_censored(spells, "The curve stays at 1")
    warn_emptied(sets)
    return estimate_survival(spells, sets, prob, kind)


def _hazard_bounds(
    total: FloatArray, standard_error: FloatArray, ci_prob: float, ci_kind: HazardInterval
) -> tuple[FloatArray, FloatArray]:
    known = standard_error > 0
    inner = np.where(known, total, 1.0)
    width = normal_quantile(ci_prob) * standard_error
    if ci_kind == "log":
        lower, upper = inner * np.exp(-width / inner), inner * np.exp(width / inner)
    else:
        lower, upper = np.maximum(inner - width, 0.0), inner + width
    return np.where(known, lower, np.nan), np.where(known, upper, np.nan)


def _hazard_variance(sets: RiskSets, spells: Spells, variance: HazardVariance) -> FloatArray:
    at_risk, events = sets.n_at_risk, sets.n_events
    if variance == "aalen":
        return np.cumsum(events / at_risk**2)
    refuse(
        ArgumentError,
        spells.weight != np.rint(spells.weight),
        "are not whole numbers, which the tie-corrected variance needs.",
        columns={"weight": spells.weight},
        hint='write variance="aalen".',
    )
    # A single event is not tied; the correction is 1 there, also when it is the last one at risk.
    correction = np.divide(at_risk - events, at_risk - 1, out=np.ones_like(at_risk), where=events > 1)
    return np.cumsum(correction * events / at_risk**2)


def estimate_hazard(
    spells: Spells, sets: RiskSets, ci_prob: float, ci_kind: HazardInterval, variance: HazardVariance
) -> NelsonAalen:
    """Nelson–Aalen estimate, eq. 13 to 16, of checked spells.

    Parameters
    ----------
    spells : Spells
        Checked input.
    sets : RiskSets
        Their counts; only the events that count.
    ci_prob : float
        Probability that each interval covers.
    ci_kind : {"log", "plain"}
        Scale on which the bounds are symmetric.
    variance : {"aalen", "tie-corrected"}
        Which standard error.

    Returns
    -------
    NelsonAalen
        One entry per distinct time.
    """
    total = np.cumsum(sets.n_events / sets.n_at_risk)
    standard_error = np.sqrt(_hazard_variance(sets, spells, variance))
    lower, upper = _hazard_bounds(total, standard_error, ci_prob, ci_kind)
    return NelsonAalen(
        times=sets.times,
        n_at_risk=sets.n_at_risk,
        n_events=sets.n_events,
        n_censored=sets.n_censored,
        cumulative_hazard=total,
        standard_error=standard_error,
        lower=lower,
        upper=upper,
        ci_prob=ci_prob,
        ci_kind=ci_kind,
        variance=variance,
        start=first_entry(spells),
    )


def nelson_aalen(
    exit: object,
    event: object,
    *,
    entry: object = None,
    weight: object = None,
    ci_prob: float = 0.90,
    ci_kind: HazardInterval = "log",
    variance: HazardVariance = "aalen",
) -> NelsonAalen:
    r"""Nelson–Aalen estimate of the cumulative hazard, eq. 13.

    .. math:: \hat H(t) = \sum_{t_k \le t} \frac{d_k}{Y_k}, \qquad
              \widehat{\operatorname{var}} \hat H(t) = \sum_{t_k \le t} \frac{d_k}{Y_k^2}
              \quad\text{or}\quad \sum_{t_k \le t} \frac{(Y_k - d_k)\, d_k}{(Y_k - 1)\, Y_k^2}

    Parameters
    ----------
    exit, event, entry, weight
        As in :func:`kaplan_meier`.
    ci_prob : float
        Probability that each interval covers.
    ci_kind : {"log", "plain"}
        Interval symmetric in log H or in H, eq. 16.
    variance : {"aalen", "tie-corrected"}
        Aalen's, eq. 14, or the one that counts tied events as draws without replacement, eq. 15; they are
        equal where no events are tied.

    Returns
    -------
    NelsonAalen
        One entry per distinct time.

    Raises
    ------
    ArgumentError
        As :func:`kaplan_meier`; also if weights are not whole numbers with the tie-corrected variance.
    MissingValueError, NonFiniteError, DataTypeError, EmptyDataError
        As :func:`kaplan_meier`.

    Warns
    -----
    DataWarning
        If all spells are censored.

    References
    ----------
    .. [1] Klein, J. P. and Moeschberger, M. L. (2003). *Survival Analysis*, 2nd ed., section 4.2. Springer.
    .. [2] Klein, J. P. (1991). Small sample moments of some estimators of the variance of the Kaplan–Meier
       and Nelson–Aalen estimators. *Scandinavian Journal of Statistics*, 18, 333–340.

    Examples
    --------
    1/4, then 1/4 + 1/3:

    >>> nelson_aalen([2, 3, 3, 5], [1, 1, 0, 0]).cumulative_hazard.round(4)
    array([0.25  , 0.5833, 0.5833])
    """
    prob = check_ci_prob(ci_prob)
    kind = cast(HazardInterval, check_choice(ci_kind, "ci_kind", ("log", "plain")))
    form = cast(HazardVariance, check_choice(variance, "variance", ("aalen", "tie-corrected")))
    spells = check_spells(exit, event, entry=entry, weight=weight)
    sets = risk_sets(spells)
    warn_all_censored(spells, "The cumulative hazard stays at 0")
    return estimate_hazard(spells, sets, prob, kind, form)
