"""From draws to survival: piecewise closed forms times a multiplier, and new groups integrated out.

Everything is elementwise over rows, so a row's numbers have the same bytes whatever it is computed with.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from churnsurv._typing import FloatArray, IntArray

N_NODES = 48
"""Gauss–Hermite nodes for a new group's effect."""


@lru_cache(maxsize=4)
def normal_nodes(n_nodes: int = N_NODES) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Nodes and weights that integrate against a standard normal.

    Examples
    --------
    >>> nodes, weights = normal_nodes(20)
    >>> round(sum(w * x**4 for x, w in zip(nodes, weights)), 9)
    3.0
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(n_nodes)
    return tuple(nodes.tolist()), tuple((weights / np.sqrt(2.0 * np.pi)).tolist())


def log_multiplier(coef: FloatArray, x: FloatArray) -> FloatArray:
    """Log hazard ratio of each pattern in each draw, summed term by term.

    Parameters
    ----------
    coef : array of shape (n_draws, n_terms)
        Coefficients.
    x : array of shape (n_patterns, n_terms)
        Indicators.

    Returns
    -------
    array of shape (n_draws, n_patterns)
        Not a matrix product: its order of summation would depend on the number of patterns.
    """
    total = np.zeros((len(coef), len(x)))
    for k in range(x.shape[1]):
        total += coef[:, k, None] * x[None, :, k]
    return total


def group_part(effect: FloatArray, position: IntArray) -> FloatArray:
    """Effect of each pattern's level, zero where the level is new; shape (n_draws, n_patterns)."""
    known = position >= 0
    return np.where(known, effect[:, np.where(known, position, 0)], 0.0)
