"""How often each state of a node occurs, by configuration of its parents: Dirichlet posteriors clustered by customer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from churnsurv._typing import FloatArray, IntArray
from churnsurv.causes.clusters import Clusters
from churnsurv.causes.rows import CauseRows

FEW = 5
"""Customers in a configuration below which their weights say too little of its spread."""


@dataclass(frozen=True, eq=False)
class StateTable:
    """Posterior of a node's conditional probabilities.

    Parameters
    ----------
    node : str
        Name.
    parents : tuple of str
        Nodes on which it depends.
    cpt : array of shape (n_draws, *parents' numbers of states, n_states)
        Probabilities; the last axis sums to 1.
    count : array of shape (*parents' numbers of states, n_states)
        Spells counted at their opening.
    """

    node: str
    parents: tuple[str, ...]
    cpt: FloatArray
    count: FloatArray


def learn_states(
    rows: CauseRows,
    clusters: Clusters,
    node: str,
    parents: Sequence[str],
    *,
    concentration: float,
    rng: np.random.Generator,
) -> StateTable:
    r"""Learn a node's probabilities from one count per spell, at its opening.

    Without repeated customers the draws are :math:`\text{Dirichlet}(\alpha + n_1, …, \alpha + n_K)` exactly: weighted
    counts are :math:`\text{Gamma}(n_k, 1)`, to which a :math:`\text{Gamma}(\alpha, 1)` of the prior is added. Cost: one
    pass over the rows. A configuration that fewer than five customers were in has its spells weighed one by one: the weight of
    a single customer would cancel, and leave no uncertainty at all.

    Parameters
    ----------
    rows : CauseRows
        Stretches at risk; those that open a spell count.
    clusters : Clusters
        Weights of their customers.
    node : str
        Name.
    parents : sequence of str
        Nodes on which it depends.
    concentration : float
        Prior count :math:`\alpha` of each state in each configuration, > 0; 0.5 is Jeffreys'.
    rng : numpy.random.Generator
        Source of randomness.
    """
    names = [*parents, node]
    shape = tuple(int(rows.cards[rows.position(name)]) for name in names)
    n_keys = int(np.prod(shape, dtype=np.int64))
    opening = np.flatnonzero(rows.opens)
    key = rows.configuration(names, opening)
    drawn = clusters.weighted(opening, key, n_keys)
    _weigh_each(drawn, key, rows.customer[opening], shape[-1], rng)
    drawn += rng.standard_gamma(concentration, drawn.shape)
    np.maximum(drawn, np.finfo(np.float64).tiny, out=drawn)
    table = drawn.reshape(-1, *shape)
    table /= table.sum(axis=-1, keepdims=True)
    return StateTable(node, tuple(parents), table, np.bincount(key, minlength=n_keys).reshape(shape).astype(np.float64))


def _weigh_each(drawn: FloatArray, key: IntArray, customer: IntArray, n_states: int, rng: np.random.Generator) -> None:
    """Weigh the spells of configurations with few customers one by one, in place."""
    configuration = key // n_states
    pairs = np.unique(np.column_stack([configuration, customer]), axis=0)
    n_customers = np.bincount(pairs[:, 0], minlength=drawn.shape[1] // n_states)
    few = np.repeat((n_customers > 0) & (n_customers < FEW), n_states)
    count = np.bincount(key, minlength=drawn.shape[1])[few].astype(np.float64)
    drawn[:, few] = rng.standard_gamma(np.broadcast_to(count, (len(drawn), len(count))))
