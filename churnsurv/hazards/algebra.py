"""Closed forms of a hazard that is constant within each period: h ↔ H ↔ S, conditional survival, RMST.

Equation numbers refer to the page of quantities (docs/explanation/quantities.md). Every function is
elementwise along times and leading axes: no matrix product is taken over customers, so a customer's
number has the same bytes whatever else is computed with it.
"""

from __future__ import annotations

import numpy as np

from churnsurv._typing import BoolArray, FloatArray, IntArray
from churnsurv._validate import as_floats, check_breaks, refuse
from churnsurv.errors import ArgumentError, HorizonError
from churnsurv.hazards.conversions import cumulative_hazard_to_survival

_EDGE_TOLERANCE = 1e-9
"""Relative overshoot of the last break that is rounding (0.1 + 0.2 > 0.3), not extrapolation."""


def _checked(hazard: object, breaks: object) -> tuple[FloatArray, FloatArray]:
    edges = check_breaks(breaks)
    rates = as_floats(hazard, "hazard")
    if rates.ndim == 0 or rates.shape[-1] != len(edges) - 1:
        raise ArgumentError(
            f"`hazard` has shape {rates.shape}; {len(edges)} breaks need a last axis of length {len(edges) - 1}.",
            column="hazard",
            hint="pass one hazard per period, posterior draws on the leading axes: (chain, draw, period).",
        )
    refuse(ArgumentError, rates < 0, "are negative.", columns={"hazard": rates}, hint="a hazard is >= 0.")
    return rates, edges


def _inside(times: FloatArray, edges: FloatArray, name: str) -> FloatArray:
    """Refuse times outside the breaks; pull rounding back onto the last one."""
    outside: BoolArray = (times < edges[0]) | (times > edges[-1] * (1 + _EDGE_TOLERANCE))
    refuse(
        HorizonError,
        np.atleast_1d(outside),
        f"lie outside the breaks, {edges[0]:g} to {edges[-1]:g}.",
        columns={name: np.atleast_1d(times)},
        consequence="The data say nothing there, and the last hazard is not extended.",
        hint=f"ask for at most {edges[-1]:g}, or fit with breaks that reach further.",
    )
    inside: FloatArray = np.minimum(times, edges[-1])
    return inside


def _period_of(times: FloatArray, edges: FloatArray) -> IntArray:
    # Periods are (start, stop]: an edge belongs to the period that it ends.
    found = np.searchsorted(edges, times, side="left") - 1
    return np.maximum(found, 0).astype(np.int64)


def _from_start(rates: FloatArray, edges: FloatArray) -> FloatArray:
    """H at every edge, shape (..., n_periods + 1)."""
    total = np.zeros((*rates.shape[:-1], len(edges)))
    np.cumsum(rates * np.diff(edges), axis=-1, out=total[..., 1:])
    return total


def hazard_at(hazard: object, *, breaks: object, times: object) -> FloatArray:
    """Hazard at each time, eq. 1.

    Parameters
    ----------
    hazard : array-like of shape (..., n_periods)
        Events per unit of time, >= 0. Leading axes pass through.
    breaks : array-like of shape (n_periods + 1,)
        Period edges, increasing, >= 0. Period ``j`` is ``(breaks[j], breaks[j + 1]]``.
    times : array-like of any shape
        Same unit, within the breaks. The first edge takes the first period's hazard.

    Returns
    -------
    array of shape (..., *times.shape)
        Events per unit of time.

    Raises
    ------
    HorizonError
        If a time lies outside the breaks.

    Examples
    --------
    >>> hazard_at([0.10, 0.05], breaks=[0, 6, 12], times=[0, 6, 6.5])
    array([0.1 , 0.1 , 0.05])
    """
    rates, edges = _checked(hazard, breaks)
    inside = _inside(as_floats(times, "times"), edges, "times")
    return np.take(rates, _period_of(inside, edges), axis=-1)


def _between(rates: FloatArray, edges: FloatArray, start: FloatArray, stop: FloatArray) -> FloatArray:
    start, stop = np.broadcast_arrays(start, stop)
    first, last = _period_of(start, edges), _period_of(stop, edges)
    at_edge = _from_start(rates, edges)
    rate_first, rate_last = np.take(rates, first, axis=-1), np.take(rates, last, axis=-1)
    whole = np.take(at_edge, last, axis=-1) - np.take(at_edge, first + 1, axis=-1)
    across = rate_first * (edges[first + 1] - start) + whole + rate_last * (stop - edges[last])
    # Within one period the length is subtracted before the hazard is applied, so no digit is lost.
    return np.where(first == last, rate_first * (stop - start), across)


def cumulative_hazard_between(hazard: object, *, breaks: object, start: object, stop: object) -> FloatArray:
    """Hazard integrated from ``start`` to ``stop``, the difference of H in eq. 3.

    Parameters
    ----------
    hazard : array-like of shape (..., n_periods)
        Events per unit of time, >= 0. Leading axes pass through.
    breaks : array-like of shape (n_periods + 1,)
        Period edges, increasing, >= 0.
    start, stop : array-like
        Times that broadcast against each other, ``start <= stop``, within the breaks.

    Returns
    -------
    array of shape (..., *broadcast shape)
        No unit, >= 0.

    Raises
    ------
    HorizonError
        If a time lies outside the breaks.
    ArgumentError
        If a start lies after its stop.

    Examples
    --------
    >>> float(cumulative_hazard_between([0.10, 0.05], breaks=[0, 6, 12], start=4, stop=10).round(12))
    0.4
    """
    rates, edges = _checked(hazard, breaks)
    low, high = np.broadcast_arrays(as_floats(start, "start"), as_floats(stop, "stop"))
    refuse(
        ArgumentError,
        np.atleast_1d(low > high),
        "lie after their stop.",
        columns={"start": np.atleast_1d(low), "stop": np.atleast_1d(high)},
        hint="swap start and stop.",
    )
    return _between(rates, edges, _inside(low, edges, "start"), _inside(high, edges, "stop"))


def cumulative_hazard(hazard: object, *, breaks: object, times: object) -> FloatArray:
    """Hazard integrated from the first break to each time, eq. 2.

    Parameters
    ----------
    hazard : array-like of shape (..., n_periods)
        Events per unit of time, >= 0. Leading axes pass through.
    breaks : array-like of shape (n_periods + 1,)
        Period edges, increasing, >= 0.
    times : array-like of any shape
        Same unit, within the breaks.

    Returns
    -------
    array of shape (..., *times.shape)
        No unit, >= 0, never decreasing in time.

    Raises
    ------
    HorizonError
        If a time lies outside the breaks.

    Examples
    --------
    >>> cumulative_hazard([0.10, 0.05], breaks=[0, 6, 12], times=[3, 6, 12]).round(12)
    array([0.3, 0.6, 0.9])
    """
    rates, edges = _checked(hazard, breaks)
    inside = _inside(as_floats(times, "times"), edges, "times")
    period = _period_of(inside, edges)
    before = np.take(_from_start(rates, edges), period, axis=-1)
    return before + np.take(rates, period, axis=-1) * (inside - edges[period])


def survival(hazard: object, *, breaks: object, times: object) -> FloatArray:
    """Probability of no event up to each time, S = exp(-H), eq. 2.

    Parameters
    ----------
    hazard, breaks, times
        As in :func:`cumulative_hazard`.

    Returns
    -------
    array of shape (..., *times.shape)
        Probabilities in [0, 1], never increasing in time.

    Raises
    ------
    HorizonError
        If a time lies outside the breaks.

    Examples
    --------
    >>> survival([0.10, 0.05], breaks=[0, 6, 12], times=[0, 12]).round(3)
    array([1.   , 0.407])
    """
    return cumulative_hazard_to_survival(cumulative_hazard(hazard, breaks=breaks, times=times))


def density(hazard: object, *, breaks: object, times: object) -> FloatArray:
    """Events per unit of time among all who started, f = h S.

    Parameters
    ----------
    hazard, breaks, times
        As in :func:`cumulative_hazard`.

    Returns
    -------
    array of shape (..., *times.shape)
        Per unit of time, >= 0. It jumps at the breaks, where it takes the value from the left.

    Raises
    ------
    HorizonError
        If a time lies outside the breaks.

    Examples
    --------
    >>> density([0.10], breaks=[0, 12], times=[0, 10]).round(4)
    array([0.1   , 0.0368])
    """
    return hazard_at(hazard, breaks=breaks, times=times) * survival(hazard, breaks=breaks, times=times)


def _look_ahead(horizon: object, conditional_after: object, edges: FloatArray) -> tuple[FloatArray, FloatArray]:
    ahead, after = np.broadcast_arrays(as_floats(horizon, "horizon"), as_floats(conditional_after, "conditional_after"))
    shown = {"horizon": np.atleast_1d(ahead), "conditional_after": np.atleast_1d(after)}
    refuse(HorizonError, shown["horizon"] < 0, "are negative.", columns=shown, hint="a horizon looks ahead: >= 0.")
    start = _inside(after, edges, "conditional_after")
    refuse(
        HorizonError,
        np.atleast_1d(start + ahead > edges[-1] * (1 + _EDGE_TOLERANCE)),
        f"reach beyond the last break, {edges[-1]:g}.",
        columns=shown,
        consequence="The data say nothing there, and the last hazard is not extended.",
        hint=f"keep conditional_after + horizon <= {edges[-1]:g}, or fit with breaks that reach further.",
    )
    return start, np.minimum(start + ahead, edges[-1])


def conditional_survival(hazard: object, *, breaks: object, conditional_after: object, horizon: object) -> FloatArray:
    r"""Probability of staying ``horizon`` longer, given the time already reached.

    .. math:: S(s + u \mid s) = \exp\{-[H(s + u) - H(s)]\}   \tag{3}

    where :math:`s` is ``conditional_after``, :math:`u` is ``horizon`` and :math:`H` integrates
    ``hazard``. The difference of :math:`H` is used rather than a ratio of two survival probabilities:
    the ratio loses all digits once both are tiny.

    Parameters
    ----------
    hazard : array-like of shape (..., n_periods)
        Events per unit of time, >= 0. Leading axes pass through; posterior draws usually sit there as
        ``(chain, draw)``.
    breaks : array-like of shape (n_periods + 1,)
        Period edges, increasing, same unit of time. Period ``j`` is ``(breaks[j], breaks[j + 1]]``.
    conditional_after : array-like
        Time each customer has reached, same unit, >= ``breaks[0]``.
    horizon : array-like
        Additional time, same unit, >= 0; broadcasts against ``conditional_after``.

    Returns
    -------
    array of shape (..., *broadcast shape)
        Probabilities in [0, 1]; exactly 1 where the horizon is 0.

    Raises
    ------
    HorizonError
        If some ``conditional_after + horizon`` lies beyond ``breaks[-1]``, or a horizon is negative.

    See Also
    --------
    restricted_mean_survival_time : Time kept within the horizon.

    References
    ----------
    .. [1] Klein, J. P. and Moeschberger, M. L. (2003). *Survival Analysis*, 2nd ed., ch. 2. Springer.

    Examples
    --------
    Ten per cent a month for six months, then five; three more months:

    >>> conditional_survival([0.10, 0.05], breaks=[0, 6, 12], conditional_after=[0, 6], horizon=3).round(3)
    array([0.741, 0.861])
    """
    rates, edges = _checked(hazard, breaks)
    start, stop = _look_ahead(horizon, conditional_after, edges)
    return cumulative_hazard_to_survival(_between(rates, edges, start, stop))


def _mean_share(risk: FloatArray) -> FloatArray:
    """(1 - exp(-x)) / x, which is 1 at x = 0: mean survival over a stretch that holds hazard x."""
    share = np.ones_like(risk)
    return np.divide(-np.expm1(-risk), risk, out=share, where=risk > 0)


def restricted_mean_survival_time(
    hazard: object, *, breaks: object, horizon: object, conditional_after: object = 0.0
) -> FloatArray:
    r"""Time without the event to be expected within the next ``horizon``, eq. 4.

    .. math:: \mu(u \mid s) = \int_0^u S(s + v \mid s) \, dv
              = \sum_j S(a_j \mid s) \, \ell_j \, \frac{1 - e^{-h_j \ell_j}}{h_j \ell_j}

    where :math:`\ell_j` is the part of :math:`(s, s + u]` in period j and :math:`a_j` where it begins.
    A hazard of zero needs no special case: the fraction tends to 1.

    Parameters
    ----------
    hazard : array-like of shape (..., n_periods)
        Events per unit of time, >= 0. Leading axes pass through.
    breaks : array-like of shape (n_periods + 1,)
        Period edges, increasing, same unit of time.
    horizon : array-like
        Additional time, same unit, >= 0.
    conditional_after : array-like
        Time already reached; broadcasts against ``horizon``.

    Returns
    -------
    array of shape (..., *broadcast shape)
        Same unit of time, between 0 and ``horizon``.

    Raises
    ------
    HorizonError
        If some ``conditional_after + horizon`` lies beyond ``breaks[-1]``, or a horizon is negative.

    References
    ----------
    .. [1] Royston, P. and Parmar, M. K. B. (2013). Restricted mean survival time. *BMC Medical Research
       Methodology*, 13, 152.

    Examples
    --------
    (1 - exp(-1)) / 0.1 with a constant hazard:

    >>> float(restricted_mean_survival_time([0.10], breaks=[0, 12], horizon=10).round(3))
    6.321
    """
    rates, edges = _checked(hazard, breaks)
    start, stop = _look_ahead(horizon, conditional_after, edges)
    lead = (..., *(np.newaxis,) * start.ndim)
    total = np.zeros(rates.shape[:-1] + start.shape)
    spent = np.zeros_like(total)
    for j in range(len(edges) - 1):
        length = np.maximum(np.minimum(stop, edges[j + 1]) - np.maximum(start, edges[j]), 0.0)
        risk = rates[..., j][lead] * length
        total += np.exp(-spent) * length * _mean_share(risk)
        spent += risk
    return total


def exposure_by_period(exit: object, *, breaks: object, entry: object = 0.0) -> FloatArray:
    """Time at risk of each spell in each period, eq. 5.

    Parameters
    ----------
    exit : array-like of shape (n_spells,)
        Time of event or censoring.
    breaks : array-like of shape (n_periods + 1,)
        Period edges, increasing, same unit of time.
    entry : array-like of shape (n_spells,) or scalar
        Time at which observation of the spell begins.

    Returns
    -------
    array of shape (n_spells, n_periods)
        Same unit of time. A row sums to ``exit - entry`` where the spell lies within the breaks.

    Raises
    ------
    ArgumentError
        If an entry lies after its exit.

    Examples
    --------
    >>> exposure_by_period([8, 20], breaks=[0, 6, 12], entry=[0, 9])
    array([[6., 2.],
           [0., 3.]])
    """
    edges = check_breaks(breaks)
    last, first = np.broadcast_arrays(as_floats(exit, "exit", ndim=1), as_floats(entry, "entry"))
    refuse(ArgumentError, first > last, "lie after their exit.", columns={"entry": first, "exit": last})
    overlap = np.minimum(last[:, np.newaxis], edges[1:]) - np.maximum(first[:, np.newaxis], edges[:-1])
    exposure: FloatArray = np.maximum(overlap, 0.0)
    return exposure
