"""Sparse matrix times vector, without what a general library adds to each call: it is made a hundred thousand times."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, cast

import numpy as np
from numba import njit
from scipy import sparse

from churnsurv._typing import FloatArray

_DENSE = 40_000
"""Entries up to which a matrix is faster dense."""


def _compiled[Loop: Callable[..., Any]](loop: Loop) -> Loop:
    try:
        return cast(Loop, njit(cache=True, nogil=True, error_model="numpy")(loop))
    except RuntimeError:  # no folder to keep compiled code in: compile in each process
        return cast(Loop, njit(nogil=True, error_model="numpy")(loop))


@_compiled
def _times(indptr: np.ndarray, indices: np.ndarray, data: FloatArray, vector: FloatArray, out: FloatArray) -> None:
    for row in range(len(indptr) - 1):
        total = 0.0
        for k in range(indptr[row], indptr[row + 1]):
            total += data[k] * vector[indices[k]]
        out[row] = total


class Product:
    """A sparse matrix that multiplies vectors from both sides.

    Parameters
    ----------
    matrix : sparse array of shape (n, m)
        The matrix.

    Examples
    --------
    >>> two = Product(sparse.csr_array(np.array([[1.0, 0.0], [2.0, 3.0]])))
    >>> two.times(np.array([1.0, 1.0])), two.back(np.array([1.0, 1.0]))
    (array([1., 5.]), array([3., 3.]))
    """

    def __init__(self, matrix: sparse.csr_array) -> None:
        self.matrix = sparse.csr_array(matrix)
        self._small = matrix.shape[0] * matrix.shape[1] <= _DENSE

    @cached_property
    def _dense(self) -> tuple[FloatArray, FloatArray]:
        whole = np.ascontiguousarray(self.matrix.toarray())
        return whole, np.ascontiguousarray(whole.T)

    @cached_property
    def _transposed(self) -> sparse.csr_array:
        return sparse.csr_array(self.matrix.T)

    def times(self, vector: FloatArray) -> FloatArray:
        """Matrix times vector, shape (n,)."""
        return np.asarray(self._dense[0] @ vector) if self._small else _product(self.matrix, vector)

    def back(self, vector: FloatArray) -> FloatArray:
        """Transposed matrix times vector, shape (m,)."""
        return np.asarray(self._dense[1] @ vector) if self._small else _product(self._transposed, vector)


def _product(matrix: sparse.csr_array, vector: FloatArray) -> FloatArray:
    out = np.empty(matrix.shape[0])
    _times(matrix.indptr, matrix.indices, matrix.data, np.ascontiguousarray(vector), out)
    return out
