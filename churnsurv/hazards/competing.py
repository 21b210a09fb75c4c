"""Several ways to leave: Aalen–Johansen incidences and the Nelson–Aalen estimate of each cause.

Equation numbers refer to the page of quantities (docs/explanation/quantities.md).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

from churnsurv._typing import BoolArray, FloatArray, IntArray
from churnsurv._validate import check_choice, check_ci_prob
from churnsurv.errors import ArgumentError, DataTypeError
from churnsurv.hazards.curves import HazardInterval, HazardVariance, NelsonAalen, moments
from churnsurv.hazards.intervals import greenwood_terms, survival_bounds
from churnsurv.hazards.nonparametric import estimate_hazard, first_entry, warn_all_censored, warn_emptied
from churnsurv.hazards.risk_sets import RiskSets, Spells, check_spells, events_by_cause, risk_sets
from churnsurv.hazards.steps import normal_quantile, value_at

IncidenceInterval = Literal["log-log", "plain"]


@dataclass(frozen=True, eq=False, repr=False)
class AalenJohansen:
    """Incidence of each of several causes, one entry per distinct time of event or censoring.

    Made by :func:`aalen_johansen`.

    Parameters
    ----------
    causes : tuple of str
        Names of the event codes 1…K.
    times : array of shape (n_times,)
        Distinct times, increasing, in the unit of the input.
    n_at_risk, n_censored : array of shape (n_times,)
        At risk just before each time, censorings at it; sums of weights.
    n_events : array of shape (n_causes, n_times)
        Events of each cause at each time.
    survival : array of shape (n_times,)
        Probability of no event of any cause, eq. 10.
    cumulative_incidence : array of shape (n_causes, n_times)
        Probability of an event of that cause up to and including each time, eq. 22. With ``survival``
        they add up to one.
    standard_error : array of shape (n_causes, n_times)
        Of ``cumulative_incidence``, eq. 23. NaN where the incidence is 1.
    lower, upper : array of shape (n_causes, n_times)
        Pointwise bounds, eq. 24. NaN where the incidence is 0 or 1.
    ci_prob : float
        Probability that each pair of bounds covers.
    ci_kind : {"log-log", "plain"}
        Scale on which the bounds are symmetric.
    start : float
        Earliest entry; 0 when every spell is seen from its origin.
    """

    causes: tuple[str, ...]
    times: FloatArray
    n_at_risk: FloatArray
    n_censored: FloatArray
    n_events: FloatArray
    survival: FloatArray
    cumulative_incidence: FloatArray
    standard_error: FloatArray
    lower: FloatArray
    upper: FloatArray
    ci_prob: float
    ci_kind: IncidenceInterval
    start: float

    def __repr__(self) -> str:
        """Return one line."""
        last = zip(self.causes, self.cumulative_incidence[:, -1], strict=True)
        shares = ", ".join(f"{cause}={share:.4g}" for cause, share in last)
        return f"AalenJohansen({len(self.times)} times, {self.n_events.sum():g} events, {shares})"

    def cumulative_incidence_at(self, times: object, cause: str | None = None) -> FloatArray:
        """Incidence at any moment: right-continuous, 0 before the first event.

        Parameters
        ----------
        times : array-like of any shape
            Moments >= 0.
        cause : str, optional
            One cause; all of them by default.

        Returns
        -------
        array of the shape of ``times``, with the causes on a first axis of its own unless one is named
            Probabilities in [0, 1]; NaN beyond the last observed time unless nobody is left to leave.

        Raises
        ------
        ArgumentError
            If there is no such cause, or a moment is negative.
        """
        at = moments(times)
        wanted = self.causes if cause is None else (check_choice(cause, "cause", self.causes),)
        curves = [self.cumulative_incidence[self.causes.index(name)] for name in wanted]
        found = np.stack([value_at(self.times, curve, at, before=0.0) for curve in curves])
        known = (at <= self.times[-1]) | (self.survival[-1] == 0)
        found = np.where(known, found, np.nan)
        return found if cause is None else found[0]

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """Columns of a long table, one row per cause and time; ``pandas.DataFrame`` takes them as they are."""
        n_causes, n_times = self.n_events.shape
        return {
            "cause": np.repeat(np.array(self.causes, dtype=object), n_times),
            "time": np.tile(self.times, n_causes),
            "n_at_risk": np.tile(self.n_at_risk, n_causes),
            "n_events": self.n_events.ravel(),
            "cumulative_incidence": self.cumulative_incidence.ravel(),
            "standard_error": self.standard_error.ravel(),
            "lower": self.lower.ravel(),
            "upper": self.upper.ravel(),
        }


def _cause_names(causes: object) -> tuple[str, ...] | None:
    if causes is None:
        return None
    hint = 'write causes=("cancelled", "payment_failed"): names of the codes 1, 2, … in their order.'
    if isinstance(causes, str) or not isinstance(causes, Iterable):
        raise DataTypeError(f"`causes`={causes!r} is not a sequence of names.", column="causes", hint=hint)
    names = tuple(causes)
    if not names or not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise ArgumentError(f"`causes`={names!r} are not different names, at least one.", column="causes", hint=hint)
    return names


def _named(names: tuple[str, ...] | None, codes: IntArray) -> tuple[str, ...]:
    return names if names is not None else tuple(str(code) for code in range(1, max(int(codes.max()), 1) + 1))


def _incidence_variance(events: FloatArray, sets: RiskSets, survival: FloatArray) -> FloatArray:
    """Variance of each incidence, eq. 23, in one pass: with the covariance of incidence and survival.

    The sum of eq. 23 taken literally needs the incidence at its end in every term; multiplied out, it loses
    all digits where survival is small. Carried along, nothing large cancels.
    """
    at_risk = sets.n_at_risk
    before = np.concatenate([[1.0], survival[:-1]])
    share = events / at_risk
    terms = greenwood_terms(sets.n_events, at_risk)
    spread = _shifted_sum(np.where(np.isfinite(terms), terms, 0.0))
    covariance = before * _shifted_sum(before * share * (spread - 1 / at_risk))
    steps = 2 * share * covariance + share**2 * before**2 * spread + before**2 * share * (1 - share) / at_risk
    variance: FloatArray = np.maximum(np.cumsum(steps, axis=-1), 0.0)
    return variance


def _shifted_sum(terms: FloatArray) -> FloatArray:
    """Cumulative sum up to but not including each term."""
    total = np.cumsum(terms, axis=-1)
    return np.concatenate([np.zeros_like(total[..., :1]), total[..., :-1]], axis=-1)


def _certain(events: FloatArray, survival: FloatArray) -> BoolArray:
    """Where everybody has left, and by this cause alone: the incidence is 1, without rounding."""
    alive = np.concatenate([[True], survival[:-1] > 0])
    others = np.cumsum((events.sum(axis=0) - events) * alive, axis=1)
    certain: BoolArray = (survival == 0) & (others == 0)
    return certain


def aalen_johansen(
    exit: object,
    event: object,
    *,
    entry: object = None,
    weight: object = None,
    causes: Iterable[str] | None = None,
    ci_prob: float = 0.90,
    ci_kind: IncidenceInterval = "log-log",
) -> AalenJohansen:
    r"""Aalen–Johansen estimate of the incidence of each cause, eq. 22, with its standard error, eq. 23.

    .. math:: \hat F_k(t) = \sum_{t_i \le t} \hat S(t_{i-1}) \frac{d_{ki}}{Y_i}, \qquad
              \hat S(t) + \sum_k \hat F_k(t) = 1

    One minus the Kaplan–Meier curve of a cause, with the others censored, is larger: it is the incidence
    in a world in which nobody leaves for another reason. Ties need no care here: events of several causes
    at one time share its risk set, and nothing is moved.

    Parameters
    ----------
    exit : array-like of shape (n_spells,)
        Time of event or censoring, >= 0.
    event : array-like of shape (n_spells,)
        0 where the spell is censored, 1…K the cause of the event.
    entry : array-like of shape (n_spells,), optional
        Time at which observation begins (left truncation), below ``exit``. ``None``: seen from the origin.
    weight : array-like of shape (n_spells,), optional
        Frequencies > 0: a row of weight 3 is three identical rows, in the standard error too.
    causes : sequence of str, optional
        Names of the codes 1…K; also fixes K. ``None``: "1", "2", … up to the largest code.
    ci_prob : float
        Probability that each interval covers.
    ci_kind : {"log-log", "plain"}
        Interval symmetric in log(-log(1 - F)) or in F, eq. 24. With one cause they are those of one minus
        the Kaplan–Meier curve.

    Returns
    -------
    AalenJohansen
        One entry per cause and distinct time.

    Raises
    ------
    ArgumentError
        If times are negative, an entry is not before its exit, a code is none of 0…K, or weights are
        not > 0.
    MissingValueError, NonFiniteError, DataTypeError
        If a value is missing, infinite, or not a number.
    EmptyDataError
        If there are fewer than two spells.

    Warns
    -----
    DataWarning
        If all spells are censored, or late entries leave an early risk set in which everybody has the
        event: the incidences stay where they are from there on.

    See Also
    --------
    nelson_aalen_by_cause : Cumulative hazard of each cause.

    References
    ----------
    .. [1] Aalen, O. O. and Johansen, S. (1978). An empirical transition matrix for non-homogeneous Markov
       chains based on censored observations. *Scandinavian Journal of Statistics*, 5, 141–150.
    .. [2] Marubini, E. and Valsecchi, M. G. (1995). *Analysing Survival Data from Clinical Trials and
       Observational Studies*, section 10.3. Wiley.

    Examples
    --------
    Of four, one leaves at 2 by cause 1; of the other three, one at 3 by cause 2, 3/4 × 1/3:

    >>> curve = aalen_johansen([2, 3, 3, 5], [1, 2, 0, 0], causes=("cancelled", "failed"))
    >>> curve.cumulative_incidence
    array([[0.25, 0.25, 0.25], [0.  , 0.25, 0.25]])
    >>> curve.survival
    array([0.75, 0.5 , 0.5 ])
    """
    prob = check_ci_prob(ci_prob)
    kind = cast(IncidenceInterval, check_choice(ci_kind, "ci_kind", ("log-log", "plain")))
    names = _cause_names(causes)
    spells = check_spells(exit, event, entry=entry, weight=weight, n_causes=None if names is None else len(names))
    sets = risk_sets(spells)
    warn_all_censored(spells, "Every incidence stays at 0")
    warn_emptied(sets)
    return _incidences(spells, sets, _named(names, spells.event), prob, kind)


def _incidences(
    spells: Spells, sets: RiskSets, names: tuple[str, ...], ci_prob: float, ci_kind: IncidenceInterval
) -> AalenJohansen:
    events = events_by_cause(spells, sets.times, len(names))
    survival = np.cumprod((sets.n_at_risk - sets.n_events) / sets.n_at_risk)
    before = np.concatenate([[1.0], survival[:-1]])
    certain = _certain(events, survival)
    incidence = np.where(certain, 1.0, np.minimum(np.cumsum(before * events / sets.n_at_risk, axis=1), 1.0))
    error = np.where(certain, np.nan, np.sqrt(_incidence_variance(events, sets, survival)))
    kept = 1 - incidence
    width = normal_quantile(ci_prob) * np.divide(error, kept, out=np.zeros_like(error), where=kept > 0)
    # Without an event of the cause yet the incidence is 0, and survival_bounds knows no bounds.
    least, most = survival_bounds(kept, width, ci_kind)
    return AalenJohansen(
        causes=names,
        times=sets.times,
        n_at_risk=sets.n_at_risk,
        n_censored=sets.n_censored,
        n_events=events,
        survival=survival,
        cumulative_incidence=incidence,
        standard_error=error,
        lower=1 - most,
        upper=1 - least,
        ci_prob=ci_prob,
        ci_kind=ci_kind,
        start=first_entry(spells),
    )


def nelson_aalen_by_cause(
    exit: object,
    event: object,
    *,
    entry: object = None,
    weight: object = None,
    causes: Iterable[str] | None = None,
    ci_prob: float = 0.90,
    ci_kind: HazardInterval = "log",
    variance: HazardVariance = "aalen",
) -> dict[str, NelsonAalen]:
    """Nelson–Aalen estimate of the cumulative hazard of each cause, eq. 13 with its own events.

    A spell that ends in another cause leaves the risk set as a censored one does. That is right for a
    hazard, and only for a hazard: exp(-H) of one cause is not a probability of anything that happens; use
    :func:`aalen_johansen` for that.

    Parameters
    ----------
    exit, event, entry, weight, causes
        As in :func:`aalen_johansen`.
    ci_prob, ci_kind, variance
        As in :func:`nelson_aalen`.

    Returns
    -------
    dict of str to NelsonAalen
        One estimate per cause, all at the same times; ``n_censored`` counts the other causes as well.

    Raises
    ------
    ArgumentError, MissingValueError, NonFiniteError, DataTypeError, EmptyDataError
        As :func:`aalen_johansen`; also if weights are not whole numbers with the tie-corrected variance.

    Warns
    -----
    DataWarning
        If all spells are censored.

    References
    ----------
    .. [1] Kalbfleisch, J. D. and Prentice, R. L. (2002). *The Statistical Analysis of Failure Time Data*,
       2nd ed., section 8.2. Wiley.

    Examples
    --------
    >>> found = nelson_aalen_by_cause([2, 3, 3, 5], [1, 2, 0, 0])
    >>> found["2"].cumulative_hazard.round(4)
    array([0.    , 0.3333, 0.3333])
    """
    prob = check_ci_prob(ci_prob)
    kind = cast(HazardInterval, check_choice(ci_kind, "ci_kind", ("log", "plain")))
    form = cast(HazardVariance, check_choice(variance, "variance", ("aalen", "tie-corrected")))
    names = _cause_names(causes)
    spells = check_spells(exit, event, entry=entry, weight=weight, n_causes=None if names is None else len(names))
    sets = risk_sets(spells)
    warn_all_censored(spells, "Every cumulative hazard stays at 0")
    names = _named(names, spells.event)
    leaving = sets.n_events + sets.n_censored
    events = events_by_cause(spells, sets.times, len(names))
    own = [replace(sets, n_events=counts, n_censored=leaving - counts) for counts in events]
    return {name: estimate_hazard(spells, part, prob, kind, form) for name, part in zip(names, own, strict=True)}
