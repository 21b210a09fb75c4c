"""Linear predictors: what fixed and random effects add up to on each row, and the way back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from churnsurv._typing import FloatArray, IntArray
from churnsurv.models.hierarchical.products import Product


@dataclass(frozen=True, eq=False)
class RandomPart:
    """One block of random effects as rows meet it.

    Parameters
    ----------
    start : int
        First of its effects in the vector of all random effects; effect k of level g is at ``start + g * q + k``.
    size : int
        Number of its effects.
    level : array of int, shape (n,)
        Level of each row.
    value : array of shape (n, q) or None
        What the q effects of a level are multiplied with on each row; ``None`` for an intercept alone (q = 1).
    basis : array of shape (n_levels, size) or None
        Where a level's effect is a sum over the block's (a random walk over its steps); ``None`` where it is its own.
    """

    start: int
    size: int
    level: IntArray
    value: FloatArray | None = None
    basis: FloatArray | None = None

    @property
    def n_levels(self) -> int:
        """Number of levels."""
        if self.basis is not None:
            return len(self.basis)
        return self.size // (1 if self.value is None else self.value.shape[1])

    @property
    def some(self) -> slice:
        """Its place among the random effects."""
        return slice(self.start, self.start + self.size)

    def take(self, rows: IntArray) -> RandomPart:
        """Keep some rows."""
        value = None if self.value is None else self.value[rows]
        return RandomPart(self.start, self.size, self.level[rows], value, self.basis)

    def table(self, random: FloatArray) -> FloatArray:
        """Effects by level, shape (n_levels, q)."""
        own = random[self.some]
        return (own if self.basis is None else self.basis @ own).reshape(self.n_levels, -1)

    def dummies(self, n_rows: int) -> sparse.csr_array:
        """Indicators of the levels times the values, shape (n_rows, n_levels * q)."""
        value = np.ones((n_rows, 1)) if self.value is None else self.value
        q = value.shape[1]
        columns = (self.level[:, None] * q + np.arange(q)).ravel()
        pointers = np.arange(0, n_rows * q + 1, q)
        return sparse.csr_array((value.ravel(), columns, pointers), shape=(n_rows, self.n_levels * q))


@dataclass(frozen=True, eq=False)
class Linear:
    """A linear predictor of n rows.

    Parameters
    ----------
    x : array of shape (n, p)
        Columns that fixed effects multiply, C-contiguous.
    columns : array of int, shape (p,)
        Which of all fixed effects these are.
    parts : tuple of RandomPart
        Blocks of random effects.
    n_fixed, n_random : int
        Lengths of the whole vectors.

    Examples
    --------
    >>> part = RandomPart(0, 2, np.array([0, 1, 1]))
    >>> linear = Linear(np.ones((3, 1)), np.array([0]), (part,), 1, 2)
    >>> linear.eta(np.array([10.0]), np.array([1.0, 2.0]))
    array([11., 12., 12.])
    >>> linear.scatter(np.ones(3))
    (array([3.]), array([1., 2.]))
    """

    x: FloatArray
    columns: IntArray
    parts: tuple[RandomPart, ...]
    n_fixed: int
    n_random: int

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.x)

    def take(self, rows: IntArray) -> Linear:
        """Keep some rows."""
        parts = tuple(part.take(rows) for part in self.parts)
        return Linear(np.ascontiguousarray(self.x[rows]), self.columns, parts, self.n_fixed, self.n_random)

    @cached_property
    def dummies(self) -> sparse.csr_array:
        """Rows by all that they are multiplied with, shape (n, n_dummies)."""
        parts = [sparse.csr_array(self.x), *(part.dummies(self.n_rows) for part in self.parts)]
        return sparse.csr_array(sparse.hstack(parts, format="csr"))

    @cached_property
    def _rows(self) -> Product:
        return Product(self.dummies)

    @cached_property
    def transform(self) -> sparse.csr_array:
        """Matrix from all fixed and random effects to the dummies' coefficients, shape (n_dummies, n_fixed + n_random)."""
        p, total = len(self.columns), self.n_fixed + self.n_random
        blocks = [sparse.csr_array((np.ones(p), (np.arange(p), self.columns)), shape=(p, total))]
        for part in self.parts:
            own = sparse.eye_array(part.size) if part.basis is None else sparse.coo_array(part.basis)
            own = sparse.coo_array(own)
            at = self.n_fixed + part.start
            blocks.append(sparse.csr_array((own.data, (own.row, own.col + at)), shape=(own.shape[0], total)))
        return sparse.csr_array(sparse.vstack(blocks, format="csr"))

    @cached_property
    def _effects(self) -> Product:
        return Product(self.transform)

    @cached_property
    def by_effect(self) -> FloatArray:
        """Derivative of each row's predictor in all fixed and random effects, shape (n, n_fixed + n_random)."""
        return np.asarray((self.dummies @ self.transform).toarray())

    def eta(self, fixed: FloatArray, random: FloatArray) -> FloatArray:
        """Linear predictor of each row, shape (n,)."""
        return self._rows.times(self._effects.times(np.concatenate([fixed, random])))

    def scatter(self, score: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Carry a score of the rows back to fixed and random effects: the transpose of :meth:`eta`.

        Parameters
        ----------
        score : array of shape (n,)
            Derivative of a value in each row's predictor.
        """
        both = self._effects.back(self._rows.back(score))
        return both[: self.n_fixed], both[self.n_fixed :]

    def gram(self, weight: FloatArray) -> FloatArray:
        """Weighted cross-product of the dummies, shape (n_dummies, n_dummies)."""
        return np.asarray((self.dummies.T @ self.dummies.multiply(weight[:, None]).tocsr()).toarray())


def stacked_transform(linears: Sequence[Linear]) -> sparse.csr_array:
    """Transforms of several predictors of the same effects, one below the other."""
    return sparse.csr_array(sparse.vstack([linear.transform for linear in linears], format="csr"))
