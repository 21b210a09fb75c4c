"""Which parameters a model has, and where each of them lies in the vectors that are sampled."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from churnsurv._typing import FloatArray, IntArray
from churnsurv.models.hierarchical.correlation import n_pairs


@dataclass(frozen=True, eq=False)
class Block:
    """Random effects that share a standard deviation, or several and their correlations.

    Parameters
    ----------
    name : str
        Of the parameter in the posterior: ``walk``, ``country_effect``.
    scale : array of shape (n_levels,)
        Prior standard deviation of each level in units of ``sd`` (the walk's steps are of unequal length).
    terms : tuple of str
        Effects of each level: one alone, or an intercept and slopes that are correlated.

    Examples
    --------
    >>> Block("country_effect", np.ones(20), ("1", "recency[over 60]")).size
    40
    """

    name: str
    scale: FloatArray
    terms: tuple[str, ...] = ("1",)

    @property
    def n_levels(self) -> int:
        """Number of levels."""
        return len(self.scale)

    @property
    def n_terms(self) -> int:
        """Number of effects of each level."""
        return len(self.terms)

    @property
    def size(self) -> int:
        """Number of effects."""
        return self.n_levels * self.n_terms


@dataclass(frozen=True, eq=False)
class Layout:
    """Where each parameter lies.

    Parameters
    ----------
    fixed : mapping of str to int
        Length of each fixed parameter, in order: ``intercept``, ``coef``, …
    blocks : tuple of Block
        Random effects; blocks of one term stand before those of several.
    frailty : bool
        Whether customers differ by a frailty of their own: its standard deviation is the last of all.
    """

    fixed: Mapping[str, int]
    blocks: tuple[Block, ...]
    frailty: bool = False
    _fixed: Mapping[str, slice] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        ends = np.cumsum([0, *self.fixed.values()])
        places = {
            name: slice(int(a), int(b)) for name, (a, b) in zip(self.fixed, itertools.pairwise(ends), strict=True)
        }
        object.__setattr__(self, "_fixed", places)

    @property
    def n_fixed(self) -> int:
        """Number of fixed effects."""
        return sum(self.fixed.values())

    @property
    def n_random(self) -> int:
        """Number of random effects."""
        return sum(block.size for block in self.blocks)

    @property
    def n_sd(self) -> int:
        """Number of standard deviations, the frailty's among them."""
        return sum(block.n_terms for block in self.blocks) + self.frailty

    @property
    def n_free(self) -> int:
        """Free numbers of all correlations."""
        return sum(n_pairs(block.n_terms) for block in self.blocks)

    @property
    def n_positions(self) -> int:
        """Length of a position."""
        return self.n_fixed + self.n_sd + self.n_free + self.n_random

    def place(self, name: str) -> slice:
        """Where a fixed parameter lies."""
        return self._fixed[name]

    @cached_property
    def scalar_blocks(self) -> tuple[Block, ...]:
        """Blocks of one term."""
        return tuple(block for block in self.blocks if block.n_terms == 1)

    @cached_property
    def vector_blocks(self) -> tuple[Block, ...]:
        """Blocks of several terms."""
        return tuple(block for block in self.blocks if block.n_terms > 1)

    @property
    def n_scalar(self) -> int:
        """Number of random effects in blocks of one term."""
        return sum(block.size for block in self.scalar_blocks)

    @cached_property
    def sd_index(self) -> IntArray:
        """Standard deviation of each effect of the scalar blocks, shape (n_scalar,)."""
        return np.repeat(np.arange(len(self.scalar_blocks)), [block.size for block in self.scalar_blocks])

    @cached_property
    def scale(self) -> FloatArray:
        """Prior standard deviation of each effect of the scalar blocks in units of ``sd``."""
        return np.concatenate([np.zeros(0), *(block.scale for block in self.scalar_blocks)])

    @cached_property
    def random_places(self) -> tuple[slice, ...]:
        """Where each block's effects lie among the random effects."""
        ends = np.cumsum([0, *(block.size for block in self.blocks)])
        return tuple(slice(int(a), int(b)) for a, b in itertools.pairwise(ends))

    @cached_property
    def sd_places(self) -> tuple[slice, ...]:
        """Where each block's standard deviations lie."""
        ends = np.cumsum([0, *(block.n_terms for block in self.blocks)])
        return tuple(slice(int(a), int(b)) for a, b in itertools.pairwise(ends))

    @cached_property
    def free_places(self) -> tuple[slice, ...]:
        """Where each block's correlations lie."""
        ends = np.cumsum([0, *(n_pairs(block.n_terms) for block in self.blocks)])
        return tuple(slice(int(a), int(b)) for a, b in itertools.pairwise(ends))

    @cached_property
    def vector_places(self) -> tuple[tuple[slice, slice, slice], ...]:
        """Random effects, standard deviations and correlations of each block of several terms."""
        rows = zip(self.blocks, self.random_places, self.sd_places, self.free_places, strict=True)
        return tuple((random, sd, free) for block, random, sd, free in rows if block.n_terms > 1)


def walk_basis(n: int) -> FloatArray:
    """Matrix that turns steps into a walk that sums to zero (eq. 3), shape (n, n - 1).

    Examples
    --------
    >>> walk_basis(3).round(3)
    array([[-0.667, -0.333],
           [ 0.333, -0.333],
           [ 0.333,  0.667]])
    """
    sums = np.tril(np.ones((n, n)), -1)[:, : n - 1]
    return sums - sums.mean(axis=0)
