"""Test of the hazard being independent of a column given its causes: what a graph without that edge claims."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from churnsurv._typing import FloatArray, IntArray
from churnsurv._validate import as_floats, refuse, same_length
from churnsurv.causes.independence_tests import EXPECTED_ENOUGH, chi_square_tail, doubt
from churnsurv.errors import ArgumentError
from churnsurv.hazards.groups import Label, label_codes

if TYPE_CHECKING:
    import pandas as pd

_DEAD_DIRECTION = 1e-9
"""An eigenvalue of the correlation matrix of the scores below this is a difference no data speak about."""


@dataclass(frozen=True, eq=False, repr=False)
class HazardIndependenceResult:
    """Test of the hazard being the same for every level of a column, within strata.

    Made by :func:`hazard_independence_test`. Arrays have shape (n_levels,), in the order of ``levels``.

    Parameters
    ----------
    levels : tuple of labels
        Levels of the column, sorted.
    observed, expected : array
        Events, and events at the hazard of the stratum.
    exposure : array
        Time at risk, in the unit it was given in.
    covariance : array of shape (n_levels, n_levels)
        Of ``observed - expected`` if the claim is true.
    statistic : float
        Chi-square.
    dof : int
        Its degrees of freedom.
    p_value : float
        Probability of a larger statistic if the claim is true; NaN if the rows cannot test it.
    design_effect : float
        Mean of the generalised design effects, at least 1; 1 without ``customer``.
    n_rows, n_customers, n_strata : int
        Rows, customers (rows without ``customer``), strata.
    name : str
        The column.
    given : tuple of str
        What the strata are made of.
    note : str
        Why the p-value is rough or missing; empty if it is neither.
    """

    levels: tuple[Label, ...]
    observed: FloatArray
    expected: FloatArray
    exposure: FloatArray
    covariance: FloatArray
    statistic: float
    dof: int
    p_value: float
    design_effect: float
    n_rows: int
    n_customers: int
    n_strata: int
    name: str
    given: tuple[str, ...]
    note: str

    @property
    def claim(self) -> str:
        """What is tested, in words."""
        within = f" given {', '.join(self.given)}" if self.given else ""
        return f"the hazard is independent of {self.name}{within}"

    def __repr__(self) -> str:
        """Return the claim, the test, and what is wrong with it."""
        told = f"{self.claim}: chi2={self.statistic:.4g} on {self.dof} df, p={self.p_value:.3g}"
        return f"{told} ({self.note})" if self.note else told

    def frame(self) -> pd.DataFrame:
        """One row per level: ``level, exposure, observed, expected, ratio`` of observed to expected events."""
        import pandas as pd

        ratio = np.divide(self.observed, self.expected, out=np.full(len(self.levels), np.nan), where=self.expected > 0)
        return pd.DataFrame(
            {
                "level": np.array(self.levels, dtype=object),
                "exposure": self.exposure,
                "observed": self.observed,
                "expected": self.expected,
                "ratio": ratio,
            }
        )


@dataclass(frozen=True, eq=False)
class _Pieces:
    """Checked rows at risk."""

    x: IntArray
    stratum: IntArray
    events: FloatArray
    exposure: FloatArray
    shape: tuple[int, int]

    def by_stratum(self, values: FloatArray) -> FloatArray:
        """Sums per stratum."""
        return np.bincount(self.stratum, values, self.shape[0])

    def by_cell(self, values: FloatArray) -> FloatArray:
        """Sums per stratum and level, shape (n_strata, n_levels)."""
        cell = self.stratum * self.shape[1] + self.x
        return np.bincount(cell, values, self.shape[0] * self.shape[1]).reshape(self.shape)


def _check_pieces(x: object, stratum: object, events: object, exposure: object) -> tuple[_Pieces, tuple[Label, ...]]:
    levels, codes = label_codes(x, "x")
    strata, stratum_codes = label_codes(stratum, "stratum")
    d, time = as_floats(events, "events", ndim=1), as_floats(exposure, "exposure", ndim=1)
    same_length({"x": codes, "stratum": stratum_codes, "events": d, "exposure": time})
    bad_events = (d < 0) | (d != np.rint(d))
    hint = "events counts what happened in the row, 0 or 1 as a rule; exposure is the time at risk in it."
    refuse(ArgumentError, bad_events, "are not whole numbers >= 0.", columns={"events": d}, hint=hint)
    refuse(ArgumentError, time < 0, "are negative.", columns={"exposure": time}, hint=hint)
    refuse(
        ArgumentError,
        (d > 0) & (time == 0),
        "happened in no time at risk.",
        columns={"events": d, "exposure": time},
        consequence="No hazard explains an event without exposure.",
        hint=hint,
    )
    return _Pieces(codes, stratum_codes, d, time, (len(strata), len(levels))), levels


def _ratio(top: FloatArray, bottom: FloatArray) -> FloatArray:
    """Quotient, 0 where nothing was at risk."""
    return np.divide(top, bottom, out=np.zeros(np.broadcast_shapes(top.shape, bottom.shape)), where=bottom > 0)


def _clustered_covariance(rows: _Pieces, share: FloatArray, customer: IntArray) -> FloatArray:
    """Sum over customers of the outer products of what each adds to observed less expected."""
    n_customers, n_levels = int(customer.max()) + 1, rows.shape[1]
    at_risk = rows.by_stratum(rows.exposure)
    rest = rows.events - _ratio(rows.by_stratum(rows.events), at_risk)[rows.stratum] * rows.exposure
    pair, place = np.unique(customer * rows.shape[0] + rows.stratum, return_inverse=True)
    own = _ratio(np.bincount(place, rows.exposure, len(pair)), at_risk[pair % rows.shape[0]])
    # The stratum's hazard was fitted to the customers it is taken from; an equal share of 1/m each gives m / (m - 1).
    left = 1 - np.bincount(pair % rows.shape[0], own**2, rows.shape[0])
    rest = rest / np.sqrt(np.where(left > _DEAD_DIRECTION, left, 1.0))[rows.stratum]
    part = np.bincount(customer * n_levels + rows.x, rest, n_customers * n_levels).reshape(n_customers, n_levels)
    for level in range(n_levels):
        part[:, level] -= np.bincount(customer, share[rows.stratum, level] * rest, n_customers)
    return part.T @ part


def _standardised(covariance: FloatArray) -> FloatArray:
    """Directions in which data speak, as columns, scaled to variance 1."""
    scale = np.sqrt(np.diag(covariance))
    informed = np.flatnonzero(scale > 0)
    correlation = covariance[np.ix_(informed, informed)] / np.outer(scale[informed], scale[informed])
    values, directions = np.linalg.eigh(correlation)
    alive = values > _DEAD_DIRECTION * max(len(values), 1)
    basis = np.zeros((len(scale), int(alive.sum())))
    basis[informed] = directions[:, alive] / np.sqrt(values[alive]) / scale[informed, None]
    return basis


def hazard_independence_test(
    x: object,
    stratum: object,
    events: object,
    exposure: object,
    *,
    customer: object = None,
    name: str = "x",
    given: Sequence[str] = (),
) -> HazardIndependenceResult:
    r"""Test whether the hazard is the same for every level of a column, within strata.

    The stratified log-rank test in its Poisson form. With :math:`\lambda_s = d_s / E_s` the hazard of stratum s and
    :math:`q_{sk} = E_{sk} / E_s` the share of its exposure in level k,

    .. math:: Z_k = \sum_s (d_{sk} - \lambda_s E_{sk}), \qquad
              V = \sum_s d_s \{ \operatorname{diag}(q_s) - q_s q_s^\top \}

    and the statistic is :math:`Z^\top V^{-} Z`. Rows of one ``customer`` who leaves and returns share what is not
    seen; then the covariance is :math:`W = \sum_c r_c r_c^\top` with what customer c adds to Z,

    .. math:: r_{ck} = \sum_s f_s \{ (d_{csk} - \lambda_s E_{csk}) - q_{sk} (d_{cs} - \lambda_s E_{cs}) \}

    where the second part is the estimation of :math:`\lambda_s` and :math:`f_s^{-2} = 1 - \sum_c (E_{cs}/E_s)^2`
    repairs that it was fitted to the same customers. The eigenvalues of :math:`V^{-1/2} W V^{-1/2}`, the generalised
    design effects, count as at least 1: a level without an event would otherwise have almost no variance.

    Differences add up over strata. An effect that raises the hazard in some and lowers it in others may not show.

    Parameters
    ----------
    x : array-like of shape (n_rows,)
        Level of the column.
    stratum : array-like of shape (n_rows,)
        Label of what is held fixed: configuration of the hazard's causes and period.
    events : array-like of shape (n_rows,)
        Events, whole numbers >= 0.
    exposure : array-like of shape (n_rows,)
        Time at risk, >= 0, any one unit.
    customer : array-like of shape (n_rows,), optional
        Whose row it is; ``None``: rows are independent.
    name : str
        What the column is called.
    given : sequence of str
        What the strata are made of.

    Returns
    -------
    HazardIndependenceResult
        Statistic, degrees of freedom, p-value, observed and expected events per level. If no event happened while
        two levels were at risk, there are 0 degrees of freedom and the p-value is NaN: the claim was not tested.

    Raises
    ------
    ArgumentError
        If the arguments have different numbers of rows, events are not whole or exposure is negative, or an event
        has no exposure.
    EmptyDataError, MissingValueError, NonFiniteError, DataTypeError
        Whatever else is wrong with an argument.

    References
    ----------
    .. [1] Breslow, N. E. and Day, N. E. (1987). *Statistical Methods in Cancer Research*, vol. II, ch. 3. IARC.
    .. [2] Lin, D. Y. and Wei, L. J. (1989). The robust inference for the Cox proportional hazards model. *JASA*, 84,
       1074–1078.

    Examples
    --------
    Five events, all in one of two levels with equal exposure: expected 2.5 each, variance 5/4.

    >>> found = hazard_independence_test(["a", "b"], [1, 1], [5, 0], [100, 100])
    >>> round(found.statistic, 6), found.dof, found.expected
    (5.0, 1, array([2.5, 2.5]))
    """
    rows, levels = _check_pieces(x, stratum, events, exposure)
    share = _ratio(rows.by_cell(rows.exposure), rows.by_stratum(rows.exposure)[:, None])
    total = rows.by_stratum(rows.events)
    observed, expected = rows.by_cell(rows.events).sum(axis=0), total @ share
    independent = np.diag(expected) - (share * total[:, None]).T @ share
    basis = _standardised(independent)
    score, dof, n_customers = basis.T @ (observed - expected), basis.shape[1], len(rows.x)
    effects, turned = np.ones(dof), np.eye(dof)
    if customer is not None:
        number = label_codes(customer, "customer")[1]
        same_length({"x": rows.x, "customer": number})
        n_customers = int(number.max()) + 1
        effects, turned = np.linalg.eigh(basis.T @ _clustered_covariance(rows, share, number) @ basis)
        effects = np.maximum(effects, 1.0)
    root = independent @ basis @ turned
    statistic, p_value = chi_square_tail(float(np.sum((turned.T @ score) ** 2 / effects)), 1.0, dof)
    mean = float(np.mean(effects)) if dof else 1.0
    return HazardIndependenceResult(
        levels=levels,
        observed=observed,
        expected=expected,
        exposure=rows.by_cell(rows.exposure).sum(axis=0),
        covariance=(root * effects) @ root.T,
        statistic=statistic,
        dof=dof,
        p_value=p_value,
        design_effect=mean,
        n_rows=len(rows.x),
        n_customers=n_customers,
        n_strata=rows.shape[0],
        name=name,
        given=tuple(given),
        note=_hazard_doubt(expected / mean, dof, n_customers, corrected=customer is not None),
    )


def _hazard_doubt(expected: FloatArray, dof: int, n_customers: int, *, corrected: bool) -> str:
    few = int(np.sum((expected > 0) & (expected < EXPECTED_ENOUGH)))
    if not dof:
        return "no event happened while two levels were at risk: the claim was not tested"
    if few:
        return f"{few} of {len(expected)} levels expect fewer than 5 events: the p-value is rough"
    return doubt(0.0, n_customers, corrected=corrected)
