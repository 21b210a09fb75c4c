"""Correlation matrices of a few effects as free numbers, and the LKJ density of them."""

from __future__ import annotations

import numpy as np
from scipy.special import betaln

from churnsurv._typing import FloatArray, IntArray


def n_pairs(size: int) -> int:
    """Number of free numbers in a correlation matrix.

    Examples
    --------
    >>> n_pairs(1), n_pairs(3)
    (0, 3)
    """
    return size * (size - 1) // 2


def pairs(size: int) -> tuple[IntArray, IntArray]:
    """Row and column of each free number, row by row below the diagonal."""
    rows, columns = np.tril_indices(size, -1)
    return rows.astype(np.int64), columns.astype(np.int64)


def cholesky_factor(free: FloatArray, size: int) -> FloatArray:
    r"""Lower Cholesky factor of the correlation matrix at free numbers.

    Each :math:`y = \tanh x` is a partial correlation, of variables i and j given all before j:

    .. math:: L_{ij} = y_{ij} \prod_{k<j} \sqrt{1 - y_{ik}^2}, \qquad L_{ii} = \prod_{k<i} \sqrt{1 - y_{ik}^2}

    Parameters
    ----------
    free : array of shape (..., n_pairs)
        Real numbers, row by row below the diagonal.
    size : int
        Number of variables.

    Returns
    -------
    array of shape (..., size, size)
        Rows have length one.

    References
    ----------
    .. [1] Lewandowski, D., Kurowicka, D. and Joe, H. (2009). Generating random correlation matrices based on vines
       and extended onion method. *Journal of Multivariate Analysis* 100, 1989–2001.

    Examples
    --------
    >>> factor = cholesky_factor(np.arctanh([0.5]), 2)
    >>> (factor @ factor.T).round(6)
    array([[1. , 0.5],
           [0.5, 1. ]])
    """
    factor = np.zeros((*free.shape[:-1], size, size))
    partial = np.tanh(free)
    left = np.ones((*free.shape[:-1], size))
    for y, i, j in zip(np.moveaxis(partial, -1, 0), *pairs(size), strict=True):
        factor[..., i, j] = y * np.sqrt(left[..., i])
        left[..., i] *= 1.0 - y**2
    index = np.arange(size)
    factor[..., index, index] = np.sqrt(left)
    return np.asarray(factor, np.float64)


def correlation_and_slopes(free: FloatArray, size: int) -> tuple[FloatArray, FloatArray]:
    """Correlation matrix and its derivative in each free number, shapes (size, size) and (n_pairs, size, size)."""
    factor, partial = cholesky_factor(free, size), np.tanh(free)
    slopes = np.zeros((len(free), size, size))
    for k, (i, j) in enumerate(zip(*pairs(size), strict=True)):
        y = partial[k]
        before = factor[i, j] / y if y != 0.0 else np.sqrt(1.0 - np.sum(factor[i, :j] ** 2))
        slopes[k, i, j] = (1.0 - y * y) * before
        slopes[k, i, j + 1 :] = -y * factor[i, j + 1 :]
    moved = slopes @ factor.T
    return np.asarray(factor @ factor.T), np.asarray(moved + np.swapaxes(moved, 1, 2))


def free_of(correlation: FloatArray) -> FloatArray:
    """Free numbers of a correlation matrix, shape (n_pairs,): the inverse of :func:`cholesky_factor`."""
    factor = np.linalg.cholesky(correlation)
    size, found = len(factor), []
    for i, j in zip(*pairs(size), strict=True):
        found.append(np.arctanh(factor[i, j] / np.sqrt(1.0 - np.sum(factor[i, :j] ** 2))))
    return np.array(found)


def _exponents(size: int, concentration: float) -> FloatArray:
    return np.asarray(concentration + 0.5 * (size - 2 - pairs(size)[1]), np.float64)


def lkj_log_density(free: FloatArray, size: int, concentration: float) -> tuple[float, FloatArray]:
    r"""Log of the LKJ density in the free numbers, Jacobian included, and its slope.

    .. math:: p(R) \propto |R|^{\eta - 1}

    makes the partial correlations independent, each a Beta on (−1, 1).

    Parameters
    ----------
    free : array of shape (n_pairs,)
        Free numbers.
    size : int
        Number of variables.
    concentration : float
        :math:`\eta > 0`; 1 is uniform over correlation matrices, more pulls towards none.

    Examples
    --------
    Two variables, uniform: the density of the correlation is one half, its Jacobian 1 − r².

    >>> value, slope = lkj_log_density(np.arctanh([0.6]), 2, 1.0)
    >>> round(float(np.exp(value)), 6), slope.round(6)
    (0.32, array([-1.2]))
    """
    beta = _exponents(size, concentration)
    constant = -np.sum(betaln(beta, beta) + (2.0 * beta - 1.0) * np.log(2.0))
    # log(1 − tanh²x) without cancellation.
    log_rest = 2.0 * (np.log(2.0) - np.abs(free) - np.log1p(np.exp(-2.0 * np.abs(free))))
    return float(constant + np.sum(beta * log_rest)), -2.0 * beta * np.tanh(free)


def draw_lkj(rng: np.random.Generator, size: int, concentration: float, n_draws: int) -> FloatArray:
    """Free numbers of independent LKJ correlation matrices, shape (n_draws, n_pairs)."""
    beta = _exponents(size, concentration)
    return np.arctanh(2.0 * rng.beta(beta, beta, (n_draws, len(beta))) - 1.0)
