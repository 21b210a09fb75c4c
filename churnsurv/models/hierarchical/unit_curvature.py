"""Second derivatives of customers' likelihood, from their own to those in effects: dense where that is small, or sparse."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import sparse

from churnsurv._typing import FloatArray
from churnsurv.hazards.frailty import CurvedUnitTerms
from churnsurv.models.hierarchical.cells import carried
from churnsurv.models.hierarchical.likelihood import Forward, RowHazards
from churnsurv.models.hierarchical.linear import Linear

_DENSE = 2_000_000
"""Entries of a matrix of units or rows by effects up to which it is made: 16 MB, and a quarter of the sparse one's time."""

Seconds = Mapping[tuple[str, str], FloatArray]
"""Second derivative of each unit's value in two of its inputs."""


def unit_hessian(
    rows: RowHazards,
    matrices: Mapping[str, sparse.csr_array],
    cured: Linear | None,
    forward: Forward,
    score: FloatArray,
    seconds: Seconds,
) -> FloatArray:
    """Second derivative in the effects, shape (n_effects, n_effects).

    Parameters
    ----------
    rows : RowHazards
        Cells or stretches of spells.
    matrices : mapping of str to sparse array of shape (n_units, n_rows)
        What multiplies cumulative hazards, by input of the units.
    cured : Linear or None
        Logit of the cured share, the input ``logit``.
    forward : Forward
        Rows at the effects.
    score : array of shape (n_rows,)
        Slope in each row's cumulative hazard.
    seconds : mapping
        By pair of inputs, weights included, arrays of shape (n_units,).
    """
    n_units = next(iter(matrices.values())).shape[0]
    if max(n_units, rows.n_rows) * (rows.n_fixed + rows.n_random) <= _DENSE:
        return _dense_hessian(rows, matrices, cured, forward, score, seconds)
    return _sparse_hessian(rows, matrices, cured, forward, score, seconds)


def _dense_hessian(
    rows: RowHazards,
    matrices: Mapping[str, sparse.csr_array],
    cured: Linear | None,
    forward: Forward,
    score: FloatArray,
    seconds: Seconds,
) -> FloatArray:
    by_row = rows.jacobian_of_effects(forward)
    paths = {name: np.asarray(matrix @ by_row) for name, matrix in matrices.items()}
    if cured is not None:
        paths["logit"] = cured.by_effect
    hessian = rows.curvature_of_effects(forward, score)
    for (a, b), second in seconds.items():
        if a in paths and b in paths:
            whole = paths[a].T @ (second[:, None] * paths[b])
            hessian += whole if a == b else whole + whole.T
    return hessian


def _sparse_hessian(
    rows: RowHazards,
    matrices: Mapping[str, sparse.csr_array],
    cured: Linear | None,
    forward: Forward,
    score: FloatArray,
    seconds: Seconds,
) -> FloatArray:
    jacobian = rows.jacobian(forward)
    paths = {name: (sparse.csr_array(matrix @ jacobian), rows.transform) for name, matrix in matrices.items()}
    if cured is not None:
        paths["logit"] = (cured.dummies, cured.transform)
    hessian = carried(rows.transform, rows.curvature(forward, score))
    for (a, b), second in seconds.items():
        if a in paths and b in paths:
            (one, of_one), (other, of_other) = paths[a], paths[b]
            middle = (one.T @ other.multiply(second[:, None]).tocsr()).toarray()
            half = of_one.T @ middle
            whole = np.asarray((of_other.T @ half.T).T)
            hessian += whole if a == b else whole + whole.T
    return hessian


def second_derivatives(terms: CurvedUnitTerms) -> dict[tuple[str, str], FloatArray]:
    """Second derivatives by what they are taken in."""
    return {
        ("certain", "certain"): terms.certain_certain,
        ("certain", "ambiguous"): terms.certain_ambiguous,
        ("ambiguous", "ambiguous"): terms.ambiguous_ambiguous,
        ("certain", "logit"): terms.certain_logit,
        ("ambiguous", "logit"): terms.ambiguous_logit,
        ("logit", "logit"): terms.logit_logit,
        ("before", "before"): terms.entry_entry,
        ("before", "logit"): terms.entry_logit,
    }
