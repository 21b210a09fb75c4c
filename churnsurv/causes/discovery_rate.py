"""p-values of many tests, adjusted so that the share of false alarms among the alarms stays small."""

from __future__ import annotations

from typing import Literal

import numpy as np

from churnsurv._typing import FloatArray
from churnsurv._validate import as_floats, check_choice, plain_array, refuse
from churnsurv.errors import ArgumentError

DiscoveryMethod = Literal["benjamini-hochberg", "benjamini-yekutieli"]


def adjusted_p_values(p_values: object, *, method: DiscoveryMethod = "benjamini-hochberg") -> FloatArray:
    r"""Smallest false discovery rate at which each test would be rejected.

    With the m p-values in increasing order, :math:`p_{(1)} \le \dots \le p_{(m)}`,

    .. math:: \tilde p_{(i)} = \min_{j \ge i} \min\Bigl(1, \frac{c_m \, m}{j} \, p_{(j)}\Bigr)

    with :math:`c_m = 1` (Benjamini and Hochberg) or :math:`c_m = \sum_{k \le m} 1/k` (Benjamini and Yekutieli).
    Rejecting where the adjusted value is at most q keeps the expected share of true claims among the rejected ones at
    q or below. The first holds for independent tests and for tests that are positively dependent in the sense of
    Benjamini and Yekutieli; the second for any dependence, at the cost of the factor :math:`c_m`.

    Parameters
    ----------
    p_values : array-like of shape (n_tests,)
        Between 0 and 1. NaN stands for a test that could not be done: it stays NaN and does not count among the m.
    method : {"benjamini-hochberg", "benjamini-yekutieli"}
        Which dependence between the tests is allowed for.

    Returns
    -------
    array of shape (n_tests,)
        Adjusted p-values between 0 and 1, in the order given.

    Raises
    ------
    ArgumentError
        If a p-value lies outside [0, 1], or there is not one axis.
    DataTypeError, MissingValueError
        If they are not numbers.

    References
    ----------
    .. [1] Benjamini, Y. and Hochberg, Y. (1995). Controlling the false discovery rate. *JRSS B*, 57, 289–300.
    .. [2] Benjamini, Y. and Yekutieli, D. (2001). The control of the false discovery rate in multiple testing under
       dependency. *Annals of Statistics*, 29, 1165–1188.

    Examples
    --------
    Three tests: 0.01 · 3/1, 0.02 · 3/2 and 0.9 · 3/3.

    >>> adjusted_p_values([0.9, 0.01, 0.02])
    array([0.9 , 0.03, 0.03])
    """
    kind = check_choice(method, "method", ("benjamini-hochberg", "benjamini-yekutieli"))
    raw = plain_array(p_values, "p_values")
    undone = np.isnan(raw) if raw.dtype.kind == "f" else np.zeros(raw.shape, np.bool_)
    values = as_floats(np.where(undone, 1.0, raw) if undone.any() else raw, "p_values", ndim=1)
    refuse(
        ArgumentError,
        (values < 0) | (values > 1),
        "are no probabilities.",
        columns={"p_values": values},
        hint="pass the .p_value of each test.",
    )
    done = np.flatnonzero(~undone)
    adjusted = np.full(len(values), np.nan)
    if not len(done):
        return adjusted
    places = np.arange(1, len(done) + 1)
    factor = float(np.sum(1 / places)) if kind == "benjamini-yekutieli" else 1.0
    order = done[np.argsort(values[done], kind="stable")]
    stepped = values[order] * len(done) / places * factor
    adjusted[order] = np.minimum(np.minimum.accumulate(stepped[::-1])[::-1], 1.0)
    return adjusted
