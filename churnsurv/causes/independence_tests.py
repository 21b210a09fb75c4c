"""Tests of two discrete columns being independent given others, where a customer may own several rows.

A missing edge of a graph is a claim that data can contradict. Rows of one customer are alike, and a test that
takes them for independent rejects graphs that are true.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np

from churnsurv._typing import FloatArray, IntArray
from churnsurv._validate import check_choice, plain_array, same_length
from churnsurv.errors import ArgumentError
from churnsurv.hazards.groups import label_codes

Statistic = Literal["chi2", "g2"]
Correction = Literal["second-order", "first-order"]

EXPECTED_ENOUGH = 5.0
"""Below this an expected count makes the chi-square approximation rough (Cochran 1954)."""
_SPARSE_SHARE = 0.2
"""Share of cells that may lie below it (Cochran 1954)."""
_FEW_CUSTOMERS = 30
"""Below this many units their own variance is too poorly known to divide by."""
_CELLS_AT_ONCE = 256
"""Columns of the covariance of the cells that are held in memory together."""


@dataclass(frozen=True)
class IndependenceResult:
    """Test of two columns being independent given others.

    Made by :func:`independence_test`.

    Parameters
    ----------
    statistic : float
        The chi-square that ``p_value`` belongs to, corrected for rows of one customer if there was a ``customer``.
    dof : float
        Its degrees of freedom; not whole after a second-order correction.
    p_value : float
        Probability of a larger statistic if the claim is true; NaN if the rows cannot test it.
    design_effect : float
        How many times larger the uncorrected statistic is on average because rows of one customer are alike;
        1 without ``customer``.
    raw_statistic : float
        The statistic before any correction.
    raw_dof : int
        Its degrees of freedom.
    strength : float
        Cramér's V over the strata, 0 (nothing) to 1 (one column fixes the other): with many rows a small p-value
        may go with a dependence too weak to matter.
    share_sparse : float
        Share of cells that expect fewer than 5 rows, a row counted as 1 / ``design_effect`` of one.
    n_rows, n_customers, n_strata : int
        Rows, customers (rows without ``customer``), and configurations of what is given.
    n_used : int
        Rows in strata where both columns vary; the others say nothing.
    kind : {"chi2", "g2"}
        Pearson's statistic, or the likelihood ratio.
    names : tuple of two str
        The columns.
    given : tuple of str
        The columns they are tested within.
    note : str
        Why the p-value is rough or missing; empty if it is neither.
    """

    statistic: float
    dof: float
    p_value: float
    design_effect: float
    raw_statistic: float
    raw_dof: int
    strength: float
    share_sparse: float
    n_rows: int
    n_customers: int
    n_strata: int
    n_used: int
    kind: Statistic
    names: tuple[str, str]
    given: tuple[str, ...]
    note: str

    @property
    def claim(self) -> str:
        """What is tested, in words."""
        within = f" given {', '.join(self.given)}" if self.given else ""
        return f"{self.names[0]} is independent of {self.names[1]}{within}"

    def __str__(self) -> str:
        """Return the claim, the test, and what is wrong with it."""
        told = f"{self.claim}: {self.kind}={self.statistic:.4g} on {self.dof:.4g} df, p={self.p_value:.3g}"
        return f"{told} ({self.note})" if self.note else told


@dataclass(frozen=True, eq=False)
class _Counts:
    """Rows per stratum and pair of levels, with what independence expects: shape (n_strata, n_x, n_y)."""

    observed: FloatArray
    expected: FloatArray
    dof: IntArray
    row: FloatArray
    column: FloatArray

    @property
    def size(self) -> FloatArray:
        return self.row.sum(axis=1)


def _configurations(z: object, n_rows: int) -> tuple[IntArray, int]:
    """Number of each row's configuration of the columns of ``z``, and how many columns there are."""
    stratum = np.zeros(n_rows, np.int64)
    if z is None:
        return stratum, 0
    columns = plain_array(z, "z")
    if columns.ndim not in (1, 2):
        raise ArgumentError(
            f"`z` has {columns.ndim} axes (shape {columns.shape}); it needs 1 or 2.",
            column="z",
            hint="pass z=codes[:, [2, 4]]: one row per row, one column per node that is given.",
        )
    table = columns.reshape(len(columns), -1) if columns.size else columns.reshape(len(columns), 0)
    for j in range(table.shape[1]):
        codes = label_codes(table[:, j], f"z[:, {j}]")[1]
        same_length({"x": stratum, "z": codes})
        # Renumbered at each step, or the product of many numbers of levels would leave the integers.
        stratum = np.unique(stratum * (int(codes.max()) + 1) + codes, return_inverse=True)[1].astype(np.int64)
    return stratum, table.shape[1]


def _count(x: IntArray, y: IntArray, stratum: IntArray) -> _Counts:
    shape = (int(stratum.max()) + 1, int(x.max()) + 1, int(y.max()) + 1)
    cell = (stratum * shape[1] + x) * shape[2] + y
    observed = np.bincount(cell, minlength=int(np.prod(shape))).reshape(shape).astype(np.float64)
    row, column = observed.sum(axis=2), observed.sum(axis=1)
    expected = row[:, :, None] * column[:, None, :] / row.sum(axis=1)[:, None, None]
    dof = (np.count_nonzero(row, axis=1) - 1) * (np.count_nonzero(column, axis=1) - 1)
    return _Counts(observed, expected, dof.astype(np.int64), row, column)


def _statistic(counts: _Counts, kind: Statistic) -> float:
    """Pearson's chi-square or G² over the cells whose margins are not empty."""
    from scipy.special import xlogy

    there = counts.expected > 0
    observed, expected = counts.observed[there], counts.expected[there]
    if kind == "g2":
        return max(0.0, 2.0 * float(np.sum(xlogy(observed, observed / expected))))
    return float(np.sum((observed - expected) ** 2 / expected))


def _strength(counts: _Counts) -> float:
    fewest = np.minimum(np.count_nonzero(counts.row, axis=1), np.count_nonzero(counts.column, axis=1)) - 1
    largest = float(counts.size @ fewest)
    return min(1.0, float(np.sqrt(_statistic(counts, "chi2") / largest))) if largest > 0 else float("nan")


def _share_sparse(counts: _Counts, design_effect: float) -> float:
    """Share of the cells with a say that expect too few rows, a row counted as 1 / design effect; NaN if none has."""
    cells = counts.expected[(counts.expected > 0) & (counts.dof > 0)[:, None, None]]
    return float(np.mean(cells < EXPECTED_ENOUGH * max(design_effect, 1.0))) if cells.size else float("nan")


def _customer_parts(
    x: IntArray, y: IntArray, stratum: IntArray, customer: IntArray, counts: _Counts
) -> tuple[IntArray, IntArray, FloatArray]:
    """Customer, stratum and standardised residuals (n_pairs, n_x, n_y) of each pair of a customer and a stratum.

    Residuals add up to (observed - expected) / sqrt(expected): the customer's own counts, less what the two margins
    of the stratum make of them, so that the estimation of both margins is in them.
    """
    n_x, n_y = counts.row.shape[1], counts.column.shape[1]
    used = counts.dof[stratum] > 0
    pair, place = np.unique(customer[used] * len(counts.dof) + stratum[used], return_inverse=True)
    who, where = pair // len(counts.dof), pair % len(counts.dof)
    cell = (place * n_x + x[used]) * n_y + y[used]
    own = np.bincount(cell, minlength=len(pair) * n_x * n_y).astype(np.float64).reshape(len(pair), n_x, n_y)
    p_x = (counts.row / counts.size[:, None])[where]
    p_y = (counts.column / counts.size[:, None])[where]
    part = own - p_x[:, :, None] * own.sum(axis=1)[:, None, :] - p_y[:, None, :] * own.sum(axis=2)[:, :, None]
    part += own.sum(axis=(1, 2))[:, None, None] * p_x[:, :, None] * p_y[:, None, :]
    scale = np.sqrt(counts.expected)[where]
    part = np.divide(part, scale, out=np.zeros_like(part), where=scale > 0)
    customers = np.bincount(where, minlength=len(counts.dof))[where]
    # Without it strata of few customers look less variable than they are: their margins were fitted to them.
    part *= np.sqrt(customers / np.maximum(customers - 1, 1))[:, None, None]
    return who, where, part


def _design_effects(
    x: IntArray, y: IntArray, stratum: IntArray, customer: IntArray, counts: _Counts
) -> tuple[float, float]:
    """Mean of the generalised design effects, and 1 + the square of their coefficient of variation."""
    from scipy.sparse import csr_array

    dof = int(counts.dof.sum())
    who, where, part = _customer_parts(x, y, stratum, customer, counts)
    trace = float(np.sum(part**2))
    if trace == 0:
        return 0.0, 1.0
    n_cells = part.shape[1] * part.shape[2]
    column = where[:, None] * n_cells + np.arange(n_cells)
    row = np.repeat(who, n_cells)
    matrix = csr_array((part.ravel(), (row, column.ravel()))).tocsc()
    squares = 0.0
    for start in range(0, matrix.shape[1], _CELLS_AT_ONCE):
        squares += float(((matrix[:, start : start + _CELLS_AT_ONCE].T @ matrix) ** 2).sum())
    # A customer's product with itself is noise of the estimate, not spread of the design effects.
    own = np.bincount(who, np.sum(part**2, axis=(1, 2)))
    squares = max(squares - float(own @ own), 0.0)
    return trace / dof, max(1.0, dof * squares / trace**2)


def doubt(share_sparse: float, n_customers: int, *, corrected: bool) -> str:
    """Why a chi-square p-value is rough; empty if it is not.

    Parameters
    ----------
    share_sparse : float
        Share of cells that expect fewer than 5.
    n_customers : int
        Customers.
    corrected : bool
        Whether their own variance was estimated.

    Returns
    -------
    str
        Words.
    """
    if share_sparse > _SPARSE_SHARE:
        return f"{share_sparse:.0%} of the cells expect fewer than 5 rows: the p-value is rough"
    if corrected and n_customers < _FEW_CUSTOMERS:
        return f"only {n_customers} customers: the design effect, and so the p-value, is rough"
    return ""


def chi_square_tail(raw: float, divisor: float, dof: float) -> tuple[float, float]:
    """Corrected statistic and its p-value.

    Parameters
    ----------
    raw : float
        Chi-square before the correction.
    divisor : float
        Design effect, >= 0.
    dof : float
        Degrees of freedom, >= 0.

    Returns
    -------
    statistic, p_value : float
        0 and NaN without degrees of freedom: nothing was tested.
    """
    from scipy.stats import chi2

    if dof == 0:
        return 0.0, float("nan")
    # Divisor 0: no customer deviates in any cell, and what the statistic is made of adds up to 0.
    corrected = raw / divisor if divisor > 0 else 0.0
    return corrected, float(chi2.sf(corrected, dof))


def _given_names(given: Sequence[str] | None, n_given: int) -> tuple[str, ...]:
    names = tuple(f"z{j + 1}" for j in range(n_given)) if given is None else tuple(given)
    if len(names) != n_given:
        raise ArgumentError(
            f"`given` names {len(names)} columns, and `z` has {n_given}.",
            column="given",
            hint="write one name for each column of z.",
        )
    return names


def independence_test(
    x: object,
    y: object,
    z: object = None,
    *,
    customer: object = None,
    statistic: Statistic = "chi2",
    correction: Correction = "second-order",
    names: tuple[str, str] = ("x", "y"),
    given: Sequence[str] | None = None,
) -> IndependenceResult:
    r"""Test whether two discrete columns are independent given others.

    Rows are divided into strata by the configuration of ``z``. Within stratum s independence expects
    :math:`e_{sxy} = n_{sx+} n_{s+y} / n_{s++}`, and the statistics are

    .. math:: X^2 = \sum_{sxy} \frac{(n_{sxy} - e_{sxy})^2}{e_{sxy}}, \qquad
              G^2 = 2 \sum_{sxy} n_{sxy} \log \frac{n_{sxy}}{e_{sxy}}

    with :math:`d = \sum_s (J_s - 1)(K_s - 1)` degrees of freedom, J and K the levels that the stratum has.

    Rows of one ``customer`` are not independent. Each customer c adds
    :math:`r_{csxy} = \sum_{i \in c, s} (1[x_i = x] - \hat p_{sx})(1[y_i = y] - \hat p_{sy})` to
    :math:`n_{sxy} - e_{sxy}`, exactly, and the customers are independent of each other. With
    :math:`\tilde r_{csxy} = r_{csxy} \sqrt{m_s / (m_s - 1) / e_{sxy}}`, where :math:`m_s` customers have rows in the
    stratum, and :math:`A = \sum_c \tilde r_c \tilde r_c^\top`, the mean generalised design effect is
    :math:`\bar\delta = \operatorname{tr}(A) / d`. First order: :math:`X^2 / \bar\delta` on d. Second order:
    :math:`X^2 / \{\bar\delta (1 + a^2)\}` on :math:`d / (1 + a^2)`, where
    :math:`1 + a^2 = d \operatorname{tr}(A^2) / \operatorname{tr}(A)^2`, at least 1, the products of a customer with
    itself left out of the trace of the square. The first order holds its level only where all design effects are
    alike, which they are not where a customer has rows in several strata.

    Parameters
    ----------
    x, y : array-like of shape (n_rows,)
        State of each row, numbers or text.
    z : array-like of shape (n_rows,) or (n_rows, n_given), optional
        States of what is given.
    customer : array-like of shape (n_rows,), optional
        Whose row it is; ``None``: rows are independent.
    statistic : {"chi2", "g2"}
        Pearson's or the likelihood ratio.
    correction : {"second-order", "first-order"}
        How rows of one customer are accounted for; unused without ``customer``.
    names : tuple of two str
        What the two columns are called.
    given : sequence of str, optional
        What the columns of ``z`` are called.

    Returns
    -------
    IndependenceResult
        Statistic, degrees of freedom, p-value and how far to trust it. If the columns do not both vary within any
        stratum, there are 0 degrees of freedom and the p-value is NaN: the claim was not tested.

    Raises
    ------
    ArgumentError
        If the arguments have different numbers of rows, or a name is missing or unknown.
    EmptyDataError
        If there are no rows.
    MissingValueError, DataTypeError
        If states or customers are missing or have no order.

    See Also
    --------
    churnsurv.causes.hazard_independence.hazard_independence_test : The same for the hazard.

    References
    ----------
    .. [1] Agresti, A. (2013). *Categorical Data Analysis*, 3rd ed., sections 3.2 and 9.2. Wiley.
    .. [2] Rao, J. N. K. and Scott, A. J. (1981). The analysis of categorical data from complex sample surveys.
       *JASA*, 76, 221–230.
    .. [3] Rao, J. N. K. and Scott, A. J. (1984). On chi-squared tests for multiway contingency tables with cell
       proportions estimated from survey data. *Annals of Statistics*, 12, 46–60.

    Examples
    --------
    Three and one against one and three: each cell expects 2, so that the statistic is 4 · 1/2.

    >>> found = independence_test([0, 0, 0, 0, 1, 1, 1, 1], [0, 0, 0, 1, 0, 1, 1, 1])
    >>> found.statistic, found.dof, round(found.p_value, 4)
    (2.0, 1.0, 0.1573)
    """
    kind = cast(Statistic, check_choice(statistic, "statistic", ("chi2", "g2")))
    order = check_choice(correction, "correction", ("second-order", "first-order"))
    one, other = label_codes(x, "x")[1], label_codes(y, "y")[1]
    n_rows = same_length({"x": one, "y": other})
    stratum, n_given = _configurations(z, n_rows)
    within = _given_names(given, n_given)
    counts = _count(one, other, stratum)
    dof, number, effect, spread = int(counts.dof.sum()), np.arange(n_rows), 1.0, 1.0
    if customer is not None:
        number = label_codes(customer, "customer")[1]
        same_length({"x": one, "customer": number})
        if dof:
            effect, spread = _design_effects(one, other, stratum, number, counts)
        spread = spread if order == "second-order" else 1.0
    n_customers = int(number.max()) + 1
    raw, sparse = _statistic(counts, kind), _share_sparse(counts, effect)
    corrected, p_value = chi_square_tail(raw, effect * spread, dof / spread)
    rough = doubt(sparse, n_customers, corrected=customer is not None)
    return IndependenceResult(
        statistic=corrected,
        dof=dof / spread,
        p_value=p_value,
        design_effect=effect,
        raw_statistic=raw,
        raw_dof=dof,
        strength=_strength(counts),
        share_sparse=sparse,
        n_rows=n_rows,
        n_customers=n_customers,
        n_strata=len(counts.dof),
        n_used=int(counts.size[counts.dof > 0].sum()),
        kind=kind,
        names=names,
        given=within,
        note=rough if dof else "the two columns do not both vary within any stratum: the claim was not tested",
    )
