"""Cumulative incidence of competing causes, from what each cause alone would leave.

Equation numbers refer to the page of quantities (docs/explanation/quantities.md).
"""

from __future__ import annotations

from functools import reduce

import numpy as np

from churnsurv._typing import FloatArray, IntArray

_LEAST = 1e-300
"""Below this a survival counts as nobody: its logarithm would be infinite, and two of them have no difference."""


def incidence_of_causes(survival: FloatArray) -> FloatArray:
    r"""Probability of each cause up to each time, when whatever happens first ends the spell.

    Between two neighbouring times the causes share those who leave in proportion to the rises of their own cumulative
    hazards:

    .. math:: F_c(t_m) = \sum_{i \le m} \frac{H_c(t_i) - H_c(t_{i-1})}{\sum_k H_k(t_i) - H_k(t_{i-1})}
              \{S(t_{i-1}) - S(t_i)\} , \qquad S = \prod_k S_k , \quad H_k = -\log S_k

    so that :math:`S + \sum_c F_c = 1` whatever the times are. Where the ratio of the hazards does not change between two
    times, as with hazards that are constant there, the sum is the integral :math:`\int h_c S`. Otherwise it is off by a
    share of about a twelfth of the change of that ratio times the rise of the total hazard between two times, and of half
    that rise at the very worst: where one cause always comes before the other. Not for events of several causes at one
    time: the product then leaves too many, see :func:`incidence_in_units`.

    Parameters
    ----------
    survival : array of shape (n_causes, ..., n_times)
        What each cause would leave if it were alone, at times that do not decrease; 1 at the first time. NaN where
        nothing is known.

    Returns
    -------
    array of shape (n_causes, ..., n_times)
        Probabilities; 0 at the first time, NaN from the first time on at which any cause is NaN.

    References
    ----------
    .. [1] Kalbfleisch, J. D. and Prentice, R. L. (2002). *The Statistical Analysis of Failure Time Data*, 2nd ed.,
       section 8.2. Wiley.
    .. [2] Putter, H., Fiocco, M. and Geskus, R. B. (2007). Tutorial in biostatistics: competing risks and multi-state
       models. *Statistics in Medicine*, 26, 2389–2430.

    Examples
    --------
    Hazards 0.01 and 0.03 for 25 days: a quarter and three quarters of 1 - exp(-1).

    >>> survival = np.exp(-np.outer([0.01, 0.03], [0.0, 25.0]))
    >>> incidence_of_causes(survival)[:, 1].round(3)
    array([0.158, 0.474])
    """
    rise = np.maximum(survival, _LEAST)
    np.log(rise, out=rise)
    rise = rise[..., :-1] - rise[..., 1:]
    np.maximum(rise, 0.0, out=rise)
    total, alive = rise[0].copy(), survival[0].copy()
    for k in range(1, len(survival)):
        total += rise[k]
        alive *= survival[k]
    leaving = alive[..., :-1] - alive[..., 1:]
    rise *= np.divide(leaving, total, out=np.zeros_like(total), where=total != 0)
    incidence = np.zeros_like(survival)
    np.cumsum(rise, axis=-1, out=incidence[..., 1:])
    return incidence


def incidence_in_units(edges: FloatArray, reached: FloatArray, until: FloatArray, unit: IntArray) -> FloatArray:
    r"""Probability of each cause up to each time, where events are known to whole units of time.

    All events of a unit stand at its end, and whoever leaves by another cause counts as exposed for all of it. What a
    cause alone takes in a unit is then the share :math:`q_c = 1 - S_c(b) / S_c(a)` of those at its begin, the other
    causes' leavers among them, and the shares add up, as in the estimator of Aalen and Johansen:

    .. math:: F_c(b) = F_c(a) + S(a) \, q_c , \qquad S(b) = S(a) \, \{1 - \sum_k q_k\} .

    The product of :func:`incidence_of_causes` would leave :math:`\prod_k (1 - q_k)`: of two causes, :math:`q_1 q_2` too
    many in every unit. The same holds at times within a unit, so that the incidences rise with the curves of the causes;
    and from a time within a unit on, :math:`\{F_c(t) - F_c(r)\} / S(r)`.

    Parameters
    ----------
    edges : array of shape (n_causes, ..., n_edges)
        What each cause would leave if it were alone, at the begin of each unit: 1 at the first edge, which begins the
        unit in which the time reached lies.
    reached : array of shape (n_causes, ..., 1)
        The same at the time reached.
    until : array of shape (n_causes, ..., n_times)
        The same at the times asked about, none before the time reached. NaN where nothing is known.
    unit : array of shape (..., n_times)
        Position of the last edge at or before each of these times.

    Returns
    -------
    array of shape (n_causes, ..., n_times)
        Probabilities, given that nothing has happened by the time reached. Causes that ask for more than there is left
        share it in proportion. NaN from the first time on at which any cause is NaN.

    References
    ----------
    .. [1] Aalen, O. O. and Johansen, S. (1978). An empirical transition matrix for non-homogeneous Markov chains based
       on censored observations. *Scandinavian Journal of Statistics*, 5, 141–150.
    .. [2] Kalbfleisch, J. D. and Prentice, R. L. (2002). *The Statistical Analysis of Failure Time Data*, 2nd ed.,
       section 8.2. Wiley.

    Examples
    --------
    In each of two units 0.3 and 0.2: half of them go, and a quarter; multiplied, 0.44 would.

    >>> edges = np.array([[1.0, 0.7, 0.49], [1.0, 0.8, 0.64]])
    >>> incidence_in_units(edges, edges[:, :1], edges[:, 1:], np.array([1, 2])).round(3)
    array([[0.3 , 0.45],
           [0.2 , 0.3 ]])
    """
    left = 1.0 - added(1.0 - reached)
    first = np.where(left > 0.0, left, reached)  # where all should be gone by now, each cause goes on by itself
    begin = np.concatenate([reached, edges[..., 1:]], axis=-1)
    there = np.concatenate([first, edges[..., 1:]], axis=-1)
    whole = _shares(begin[..., :-1], edges[..., 1:], there[..., :-1])
    alive = np.ones(begin.shape[1:])
    np.cumprod(np.maximum(1.0 - added(whole), 0.0), axis=-1, out=alive[..., 1:])
    gone = np.zeros(begin.shape)
    np.cumsum(alive[..., :-1] * whole, axis=-1, out=gone[..., 1:])
    place = np.broadcast_to(unit, until.shape)
    begin, there, gone = (np.take_along_axis(values, place, axis=-1) for values in (begin, there, gone))
    return np.asarray(gone + np.take_along_axis(alive, place[0], axis=-1) * _shares(begin, until, there))


def added(values: FloatArray) -> FloatArray:
    """Sum over the first axis, one cause after the other: the same bytes whatever the shape of the rest.

    Parameters
    ----------
    values : array of shape (n_causes, ...)
        At least one cause.
    """
    return np.asarray(reduce(np.add, values))


def _shares(begin: FloatArray, end: FloatArray, there: FloatArray) -> FloatArray:
    """Share of those there that each cause takes, at most all of them together."""
    lost = np.maximum(begin - end, 0.0)
    share = np.divide(lost, there, out=np.zeros_like(lost), where=there != 0.0)
    share /= np.maximum(added(share), 1.0)
    return np.asarray(share)
