"""Customers as clusters, and the exponential weights that make every count of theirs a posterior draw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from churnsurv._typing import FloatArray, IntArray
from churnsurv._validate import check_count, check_rng

if TYPE_CHECKING:
    from scipy.sparse import csr_array

MAX_CLUSTERS = 4_000
"""Clusters beyond which customers are put together at random: their spread then stands for that of customers."""


@dataclass(frozen=True, eq=False)
class Clusters:
    """The Bayesian bootstrap over customers: the same weights for every table of a network.

    In each draw a customer's rows count an exponential number of times, mean 1 (Rubin 1981). Counts of customers with
    one row each are then gamma, and their shares exactly Dirichlet; customers with many rows make the shares as uncertain
    as their number, not that of their rows, allows. One set of weights for all tables keeps what goes together together.

    Parameters
    ----------
    index : array of shape (n_rows,)
        Cluster of each row: the customer, or of more than 4,000 customers one of 4,000 random groups of them (Wolter
        2007, ch. 2: the spread of random groups estimates that of their members).
    weights : array of shape (n_draws, n_clusters)
        Exponential, mean 1.

    References
    ----------
    .. [1] Rubin, D. B. (1981). The Bayesian bootstrap. *Annals of Statistics*, 9, 130–134.
    .. [2] Wolter, K. M. (2007). *Introduction to Variance Estimation*, 2nd ed., ch. 2. Springer.
    """

    index: IntArray
    weights: FloatArray

    @classmethod
    def of(cls, customer: IntArray, *, n_draws: int, rng: int | np.random.Generator) -> Clusters:
        """Draw the weights.

        Parameters
        ----------
        customer : array of shape (n_rows,)
            Customers, numbered from 0.
        n_draws : int
            Draws, >= 2.
        rng : int or numpy.random.Generator
            Source of randomness.

        Examples
        --------
        >>> clusters = Clusters.of(np.array([0, 0, 1, 2]), n_draws=3, rng=0)
        >>> clusters.index.tolist(), clusters.weights.shape
        ([0, 0, 1, 2], (3, 3))
        """
        check_count(n_draws, "n_draws", minimum=2)
        generator = check_rng(rng)
        n_customers = int(customer.max()) + 1
        index = customer
        if n_customers > MAX_CLUSTERS:
            index = generator.permutation(n_customers)[customer] % MAX_CLUSTERS
        return cls(index, generator.standard_exponential((n_draws, min(n_customers, MAX_CLUSTERS))))

    @property
    def n_draws(self) -> int:
        """Number of draws."""
        return len(self.weights)

    def table(self, rows: IntArray, key: IntArray, values: FloatArray, n_keys: int) -> csr_array[Any]:
        """Sums per cluster and key, sparse, shape (n_clusters, n_keys).

        Parameters
        ----------
        rows, key, values : array of shape (n,)
            Positions of rows, and what each adds to which key.
        n_keys : int
            Number of keys.
        """
        from scipy.sparse import coo_array

        return coo_array((values, (self.index[rows], key)), shape=(self.weights.shape[1], n_keys)).tocsr()

    def weighted(self, rows: IntArray, key: IntArray, n_keys: int) -> FloatArray:
        """Weighted number of rows of each key in each draw, shape (n_draws, n_keys)."""
        table = self.table(rows, key, np.ones(len(rows)), n_keys)
        return np.ascontiguousarray((table.T @ self.weights.T).T)
