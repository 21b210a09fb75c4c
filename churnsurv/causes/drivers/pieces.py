"""Terms of a hierarchical posterior: draws of what each adds to the log hazard, given what of a row it depends on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from churnsurv._typing import FloatArray
from churnsurv.causes.drivers.rows import numbers_of
from churnsurv.models.base import PatternRows
from churnsurv.models.hierarchical.correlation import pairs
from churnsurv.models.hierarchical.grouping import Grouping


class Piece(Protocol):
    """One term."""

    def draws(self, keys: FloatArray) -> FloatArray:
        """What it adds by draw, shape (n_draws, m), to rows of which it must know ``keys``, shape (m, q)."""

    def mean(self, keys: FloatArray, drawn: FloatArray) -> FloatArray:
        """Posterior mean of what it adds, shape (m,), of the draws that were made of it."""


@dataclass(frozen=True, eq=False)
class FixedPiece:
    """A term of the formula.

    Parameters
    ----------
    coef : array of shape (n_draws, q)
        Coefficients of its columns.

    Examples
    --------
    >>> FixedPiece(np.array([[1.0, 2.0], [3.0, 4.0]])).draws(np.array([[0.5, 0.0], [0.0, 1.0]]))
    array([[0.5, 2. ],
           [1.5, 4. ]])
    """

    coef: FloatArray

    def draws(self, keys: FloatArray) -> FloatArray:
        """Coefficients times distances from the baseline, shape (n_draws, m)."""
        return np.asarray(self.coef @ keys.T)

    def mean(self, keys: FloatArray, drawn: FloatArray) -> FloatArray:
        """Mean over the draws, shape (m,)."""
        return np.asarray(drawn.mean(axis=0))


@dataclass(frozen=True, eq=False)
class GroupPiece:
    """What a level of a group adds, beside what the formula says of it.

    A level that was never seen has the distribution that levels are drawn from: mean 0, and in each draw the standard
    deviation of the draw.

    Parameters
    ----------
    grouping : Grouping
        Levels.
    centre : array of shape (n_terms,)
        What is taken off each term that varies by level.
    effect : array of shape (n_draws, n_levels, n_terms)
        Effects.
    sd : array of shape (n_draws, n_terms)
        Standard deviations over levels.
    correlation : array of shape (n_draws, n_pairs)
        Correlations of the terms, row by row below the diagonal.
    noise : array of shape (n_draws,)
        Standard normal: where among all levels a new one lies.
    reference : array of shape (n_draws,)
        What the level of the baseline adds; 0 for the average one.
    """

    grouping: Grouping
    centre: FloatArray
    effect: FloatArray
    sd: FloatArray
    correlation: FloatArray
    noise: FloatArray
    reference: FloatArray

    def keys(self, rows: PatternRows) -> FloatArray:
        """Position of each row's level, and what its effects are multiplied with, shape (n, 1 + n_terms)."""
        values = self.grouping.values(rows.codes, numbers_of(rows))
        values = np.ones((len(rows.codes), 1)) if values is None else values - self.centre
        return np.column_stack([self.grouping.positions(rows.codes), values])

    def draws(self, keys: FloatArray) -> FloatArray:
        """Effects of the levels less that of the baseline's, shape (n_draws, m)."""
        position, values = keys[:, 0].astype(np.int64), keys[:, 1:]
        known = position >= 0
        total = np.empty((len(self.effect), len(keys)))
        total[:, known] = np.einsum("dmk,mk->dm", self.effect[:, position[known]], values[known])
        if not known.all():
            total[:, ~known] = self._new_sd(values[~known]) * self.noise[:, None]
        return total - self.reference[:, None]

    def mean(self, keys: FloatArray, drawn: FloatArray) -> FloatArray:
        """Mean over the draws; of a new level exactly 0, less that of the baseline's, shape (m,)."""
        return np.where(keys[:, 0] >= 0, drawn.mean(axis=0), -self.reference.mean())

    def _new_sd(self, values: FloatArray) -> FloatArray:
        """Standard deviation of what a new level adds, shape (n_draws, m)."""
        spread = self.sd[:, None, :] * values[None]
        variance = np.sum(spread**2, axis=-1)
        for place, (i, j) in enumerate(zip(*pairs(values.shape[1]), strict=True)):
            variance += 2.0 * self.correlation[:, place, None] * spread[..., i] * spread[..., j]
        return np.sqrt(np.maximum(variance, 0.0))


@dataclass(frozen=True, eq=False)
class FrailtyPiece:
    r"""What a customer's own past says of her rhythm: the log of her frailty, whose prior mean is 1.

    Given the parameters of a draw, with :math:`\theta` the variance of the frailty, :math:`d` her events and :math:`H` the
    cumulative hazard that is behind her, the frailty is gamma distributed with shape :math:`1/\theta + d` and rate
    :math:`1/\theta + H` [1]_. The mean of its log is :math:`\psi(1/\theta + d) - \log(1/\theta + H)`.

    Parameters
    ----------
    expected : array of shape (n_draws, n)
        Mean of the log frailty in each draw.
    sampled : array of shape (n_draws, n)
        A log frailty drawn in each draw.

    References
    ----------
    .. [1] Klein, J. P. and Moeschberger, M. L. (2003). *Survival Analysis*, 2nd ed., section 13.3. Springer.
    """

    expected: FloatArray
    sampled: FloatArray

    @classmethod
    def drawn(
        cls, variance: FloatArray, hazard: FloatArray, events: FloatArray, rng: np.random.Generator
    ) -> FrailtyPiece:
        """Draw frailties.

        Parameters
        ----------
        variance : array of shape (n_draws, 1)
            Of the frailty.
        hazard : array of shape (n_draws, n)
            Cumulative hazard behind each customer.
        events : array of shape (n,)
            Events of each customer.
        rng : numpy.random.Generator
            Source of the draws.
        """
        from scipy.special import digamma

        shape, log_rate = 1.0 / variance + events, np.log(1.0 / variance + hazard)
        # A gamma variable of a shape near 0 underflows; its log does not, made of one of a shape larger by 1.
        noise = rng.standard_exponential((shape.shape[1], shape.shape[0], 1))[..., 0]
        larger = np.log(rng.standard_gamma((shape + 1.0).T))
        return cls(np.asarray(digamma(shape) - log_rate), (larger - noise / shape.T).T - log_rate)

    def draws(self, keys: FloatArray) -> FloatArray:
        """Log frailties, shape (n_draws, m); keys are positions of customers."""
        return self.sampled[:, keys[:, 0].astype(np.int64)]

    def mean(self, keys: FloatArray, drawn: FloatArray) -> FloatArray:
        """Mean of the log frailty, shape (m,)."""
        return np.asarray(self.expected[:, keys[:, 0].astype(np.int64)].mean(axis=0))
