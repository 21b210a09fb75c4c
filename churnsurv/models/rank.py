"""Which columns of a design others determine: pivoted QR of a small triangle, however many rows there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import linalg

from churnsurv._typing import FloatArray

_BLOCK = 65_536
_RANK_TOLERANCE = 1e-11
"""Share of a column's length that must be its own, beside what the others explain."""

_CONSTANT_TOLERANCE = 1e-13


@dataclass(frozen=True, eq=False)
class Triangle:
    """What is left of n rows once they are centred, scaled and rotated.

    Parameters
    ----------
    mean : array of shape (n_columns,)
        Of each column as it was given.
    length : array of shape (n_columns,)
        Euclidean length of each centred column, as it was given; 0 for one that never changes.
    r : array of shape (n_columns, n_columns)
        Triangular factor of the centred columns at unit length.
    """

    mean: FloatArray
    length: FloatArray
    r: FloatArray

    @property
    def condition(self) -> float:
        """Condition number of the correlation matrix; infinite where columns are dependent."""
        if not self.r.size:
            return 1.0
        size = np.linalg.svd(self.r, compute_uv=False)
        return float((size[0] / size[-1]) ** 2) if size[-1] > 0 else float("inf")

    def take(self, kept: Sequence[int]) -> Triangle:
        """Keep some columns."""
        at = np.asarray(kept, np.int64)
        return Triangle(self.mean[at], self.length[at], self.r[:, at])


def triangle(n_rows: int, block: Callable[[slice], FloatArray]) -> Triangle:
    """Reduce a design to its triangle, a block of rows at a time.

    Centring makes every column orthogonal to the intercept, and unit length makes the tolerance mean the same
    for revenues and for rates. The rows of a block are stacked under the triangle of those before, which loses no
    digits: the squared condition number of a cross product never appears.

    Parameters
    ----------
    n_rows : int
        At least one.
    block : callable
        Takes a slice of rows and returns their columns, shape (rows, n_columns).

    Returns
    -------
    Triangle
        Of shape (n_columns, n_columns), whatever ``n_rows``.

    References
    ----------
    .. [1] Golub, G. H. and Van Loan, C. F. (2013). *Matrix Computations*, 4th ed., sections 5.2 and 5.4.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    first = block(slice(0, 0)).shape[1]
    top, total = np.zeros(first), np.zeros(first)
    for rows in _blocks(n_rows):
        x = block(rows)
        top = np.maximum(top, np.abs(x).max(axis=0, initial=0.0))
        total += x.sum(axis=0)
    scale, mean = np.where(top > 0, top, 1.0), total / n_rows
    r = np.zeros((0, first))
    with threadpool_limits(1):  # narrow blocks: threads would wait for each other, and move the last digits
        for rows in _blocks(n_rows):
            r = np.linalg.qr(np.vstack([r, (block(rows) - mean) / scale]), mode="r")
    length = np.sqrt(np.sum(r**2, axis=0))
    length = np.where(length > _CONSTANT_TOLERANCE * np.sqrt(n_rows), length, 0.0)
    unit = np.where(length > 0, r / np.where(length > 0, length, 1.0), 0.0)
    return Triangle(mean, length * scale, unit)


def _blocks(n_rows: int) -> Iterator[slice]:
    return (slice(start, min(start + _BLOCK, n_rows)) for start in range(0, n_rows, _BLOCK))


def dependent_columns(triangle: Triangle) -> list[int]:
    """Columns that the intercept and the columns before them determine: later ones first, the intercept never.

    Examples
    --------
    >>> x = np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0], [0.0, 0.0, 0.0], [1.0, 1.0, 2.0]])
    >>> from churnsurv.models import rank
    >>> rank.dependent_columns(rank.triangle(4, lambda rows: x[rows]))
    [2]
    """
    r = triangle.r
    if r.shape[1] == 0 or _full_rank(r):
        return []
    kept: list[int] = []
    dependent: list[int] = []
    for k in range(r.shape[1]):
        (kept if _full_rank(r[:, [*kept, k]]) else dependent).append(k)
    return dependent


def _full_rank(r: FloatArray) -> bool:
    size = np.abs(np.diag(linalg.qr(r, mode="r", pivoting=True)[0]))
    return len(size) == r.shape[1] and bool(size[-1] > _RANK_TOLERANCE)


def explain(triangle: Triangle, k: int, dependent: Sequence[int], labels: Sequence[str]) -> str:
    """Say which columns determine column ``k``: ``tier[y] from plan[plus]``."""
    if triangle.length[k] == 0.0:
        return f"{labels[k]} has no exposure" if triangle.mean[k] == 0.0 else f"{labels[k]} from 1"
    others = [j for j in range(len(labels)) if j not in dependent]
    weights = np.linalg.lstsq(triangle.r[:, others], triangle.r[:, k], rcond=None)[0]
    slopes = weights * triangle.length[k] / triangle.length[others]
    rest = triangle.mean[k] - slopes @ triangle.mean[others]
    size = np.abs(triangle.mean[k]) + np.abs(slopes) @ np.abs(triangle.mean[others])
    names = ["1"] if abs(rest) > 1e-6 * size else []
    return f"{labels[k]} from {', '.join(names + [labels[j] for j, w in zip(others, weights, strict=True) if abs(w) > 1e-6])}"
