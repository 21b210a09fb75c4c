"""What a survival curve would be if those whose watching ended had another hazard afterwards than those still watched."""

from __future__ import annotations

import math

import numpy as np

from churnsurv._typing import FloatArray
from churnsurv._validate import as_floats
from churnsurv.errors import ArgumentError
from churnsurv.hazards.risk_sets import RiskSets, check_spells, risk_sets


def censored_hazard_survival(
    time: object, event: object, times: object, *, delta: float, weight: object | None = None
) -> FloatArray:
    r"""S(t) if the hazard of whoever was censored is, from then on, ``delta`` times that of whoever is still watched.

    Kaplan and Meier's curve takes both for equal (``delta=1``), which no data can show. With :math:`\hat S` their curve and
    n(t) the number who are still watched after t without the event,

    .. math:: S_\delta(t) = \frac1n \Bigl\{ n(t) + \sum_{c_i \le t,\ \text{censored}}
              \bigl( \hat S(t) / \hat S(c_i) \bigr)^{\delta} \Bigr\} .

    At 0 whoever was censored never has the event, at infinity she has it at the next event time; between these bounds lies
    every answer that the data allow, however censoring came about [1]_. This is the estimator of Slud and Rubinstein [2]_
    with the power of a survival ratio where theirs has :math:`(n_i - 1) / (n_i + \delta - 1)` at each event: equal at 0, 1
    and infinity, and to 1/n between; ties and weights need no rule of their own. Cost: one sort of n.

    Parameters
    ----------
    time : array-like of shape (n,)
        Days to the event or to censoring, > 0. Nobody enters late.
    event : array-like of shape (n,)
        0 censored, 1 event. Who is censored at an event time was at risk there.
    times : array-like of shape (k,)
        Days at which the curve is asked for, >= 0.
    delta : float
        Hazard ratio of the censored, >= 0; infinity is allowed.
    weight : array-like of shape (n,), optional
        Frequencies, > 0.

    Returns
    -------
    array of shape (k,)
        Survival; NaN beyond the last time where someone was censored there, for nothing is known of what follows.

    Raises
    ------
    ArgumentError
        If ``delta`` is negative or no number.

    References
    ----------
    .. [1] Peterson, A. V. (1976). Bounds for a joint distribution function with fixed sub-distribution functions. *PNAS* 73,
       11–13.
    .. [2] Slud, E. V. and Rubinstein, L. V. (1983). Dependent competing risks and summary survival curves. *Biometrika* 70,
       643–649.

    Examples
    --------
    >>> time, event = [1, 2, 3, 4], [1, 0, 1, 0]
    >>> [censored_hazard_survival(time, event, [3], delta=one).round(3).item() for one in (0, 1, np.inf)]
    [0.5, 0.375, 0.25]
    """
    if not isinstance(delta, (int, float)) or isinstance(delta, bool) or math.isnan(delta) or delta < 0:
        raise ArgumentError(
            f"delta={delta!r} is no hazard ratio.",
            hint="delta=2.0 for twice the hazard; 1 is what Kaplan and Meier take.",
        )
    sets = risk_sets(check_spells(time, event, weight=weight))
    asked = as_floats(times, "times", ndim=1)
    place = np.searchsorted(sets.times, asked, side="right") - 1
    found = np.array([_survival(sets, int(k), float(delta)) for k in place])
    return np.where((asked > sets.times[-1]) & (sets.n_censored[-1] > 0), np.nan, found)


def _survival(sets: RiskSets, k: int, delta: float) -> float:
    """After the k-th distinct time."""
    if k < 0:
        return 1.0
    watched = sets.n_at_risk[k] - sets.n_events[k] - sets.n_censored[k]
    with np.errstate(divide="ignore"):
        steps = np.log1p(-sets.n_events[: k + 1] / sets.n_at_risk[: k + 1])
    since = np.concatenate([np.cumsum(steps[:0:-1])[::-1], [0.0]])  # log S(t) / S(c): events after each censoring time
    left = np.exp(np.multiply(delta, since, where=(since < 0) & (delta > 0), out=np.zeros(k + 1)))
    return float((watched + np.sum(sets.n_censored[: k + 1] * left)) / sets.n_at_risk[0])
