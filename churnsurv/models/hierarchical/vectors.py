"""Random effects that come several to a level: an intercept and slopes, with their correlations (eq. 6b)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from churnsurv._typing import FloatArray
from churnsurv.models.hierarchical.correlation import cholesky_factor, correlation_and_slopes, lkj_log_density
from churnsurv.models.hierarchical.layout import Block


@dataclass(frozen=True, eq=False)
class VectorCentring:
    """Coordinates of a block of several terms.

    Parameters
    ----------
    rotation : array of shape (n_levels, n_levels)
        Orthogonal: the prior is the same for every level, so it is the same in every direction across levels.
    information : array of shape (n_levels, n_terms, n_terms)
        What the data say along each direction, positive semi-definite.
    """

    rotation: FloatArray
    information: FloatArray

    @classmethod
    def plain(cls, block: Block) -> VectorCentring:
        """Without any choice."""
        return cls(np.eye(block.n_levels), np.zeros((block.n_levels, block.n_terms, block.n_terms)))


@dataclass(frozen=True, eq=False)
class VectorFactor:
    r"""One block at given standard deviations and correlations.

    With prior covariance :math:`\Sigma` of a level and information :math:`I_i` along a direction,
    :math:`C_i C_i^\top = \Sigma^{-1} + I_i`, and :math:`u_i = C_i^{-\top} z_i`.

    Parameters
    ----------
    sd : array of shape (n_terms,)
        Standard deviations.
    inverse : array of shape (n_terms, n_terms)
        Inverse of the correlation matrix.
    slopes : array of shape (n_pairs, n_terms, n_terms)
        Derivative of the correlation matrix in each free number.
    precision : array of shape (n_terms, n_terms)
        Of a level.
    root_inverse : array of shape (n_levels, n_terms, n_terms)
        Inverse of each :math:`C_i`.
    log_root : float
        Sum of the logs of their determinants.
    """

    sd: FloatArray
    free: FloatArray
    inverse: FloatArray
    slopes: FloatArray
    precision: FloatArray
    root_inverse: FloatArray
    log_root: float

    def effects(self, z: FloatArray) -> FloatArray:
        """Effects along the directions, shape (n_levels, n_terms)."""
        return np.asarray(np.einsum("iba,ib->ia", self.root_inverse, z.reshape(self.root_inverse.shape[:2])))


@dataclass(frozen=True, eq=False)
class VectorPart:
    """A block of several terms and its places.

    Parameters
    ----------
    block : Block
        The block.
    random, sds, pairs : slice
        Where its effects, standard deviations and correlations lie.
    centring : VectorCentring
        Coordinates.
    """

    block: Block
    random: slice
    sds: slice
    pairs: slice
    centring: VectorCentring

    def factor(self, sd: FloatArray, free: FloatArray) -> VectorFactor:
        """Factor the precision of every direction."""
        correlation, slopes = correlation_and_slopes(free, self.block.n_terms)
        inverse = np.linalg.inv(correlation)
        precision = inverse / np.outer(sd, sd)
        root = np.linalg.cholesky(precision + self.centring.information)
        log_root = float(np.log(np.diagonal(root, axis1=1, axis2=2)).sum())
        return VectorFactor(sd, free, inverse, slopes, precision, np.linalg.inv(root), log_root)

    def rotate(self, directions: FloatArray) -> FloatArray:
        """Effects along directions to effects of levels, flat."""
        return np.asarray(self.centring.rotation @ directions).ravel()

    def _root(self, sd: FloatArray, free: FloatArray) -> FloatArray:
        factor = cholesky_factor(free, self.block.n_terms) * sd[..., :, None]
        precision = np.linalg.inv(factor @ np.swapaxes(factor, -1, -2))
        return np.linalg.cholesky(precision[..., None, :, :] + self.centring.information)

    def effects(self, sd: FloatArray, free: FloatArray, z: FloatArray) -> FloatArray:
        """Effects of levels at positions; leading axes pass through."""
        shape = (*z.shape[:-1], self.block.n_levels, self.block.n_terms)
        root = np.swapaxes(self._root(sd, free), -1, -2)
        along = np.linalg.solve(root, z.reshape(shape)[..., None])[..., 0]
        return np.asarray((self.centring.rotation @ along).reshape(z.shape))

    def coordinates(self, sd: FloatArray, free: FloatArray, effects: FloatArray) -> FloatArray:
        """Position of effects; the inverse of :meth:`effects`."""
        along = self.centring.rotation.T @ effects.reshape(self.block.n_levels, self.block.n_terms)
        return np.asarray(np.einsum("iba,ib->ia", self._root(sd, free), along)).ravel()


@dataclass(frozen=True, eq=False)
class VectorTerms:
    """What a block adds to the log density, and to its gradient."""

    value: float
    z: FloatArray
    log_sd: FloatArray
    free: FloatArray


def vector_terms(
    part: VectorPart, factor: VectorFactor, along: FloatArray, random_slope: FloatArray, concentration: float
) -> VectorTerms:
    r"""Log prior of a block's position, its Jacobian included, and the block's part of the gradient.

    Parameters
    ----------
    part : VectorPart
        The block.
    factor : VectorFactor
        At the standard deviations and correlations of the position.
    along : array of shape (n_levels, n_terms)
        Effects along the directions.
    random_slope : array of shape (size,)
        Slope of the log-likelihood in the effects.
    concentration : float
        Of the LKJ prior.

    Notes
    -----
    With :math:`v = C^{-1} h` and :math:`h` the slope in :math:`u`, a change of :math:`C` moves the value by
    :math:`-u v^\top - \operatorname{diag}(1/C)`; Murray (2016) carries it back through the factorisation.

    References
    ----------
    .. [1] Murray, I. (2016). Differentiation of the Cholesky decomposition. arXiv:1602.07527.
    """
    n, q = part.block.n_levels, part.block.n_terms
    slope = part.centring.rotation.T @ random_slope.reshape(n, q) - along @ factor.precision
    z_slope = np.einsum("iab,ib->ia", factor.root_inverse, slope)
    root_inverse = factor.root_inverse
    root = np.linalg.inv(root_inverse)
    by_root = -np.einsum("ia,ib->iab", along, z_slope)
    index = np.arange(q)
    by_root[:, index, index] -= 1.0 / root[:, index, index]
    inner = np.tril(np.einsum("iba,ibc->iac", root, by_root))
    inner[:, index, index] *= 0.5
    inner = inner + np.swapaxes(inner, 1, 2)
    back = 0.5 * np.einsum("iba,ibc,icd->ad", root_inverse, inner, root_inverse)
    covariance = np.linalg.inv(factor.precision)
    by_precision = back - 0.5 * along.T @ along + 0.5 * n * covariance
    log_sd = -2.0 * np.sum(by_precision * factor.precision, axis=1)
    by_inverse = by_precision / np.outer(factor.sd, factor.sd)
    by_correlation = -factor.inverse @ by_inverse @ factor.inverse
    lkj, lkj_slope = lkj_log_density(factor.free, q, concentration)
    free = np.einsum("kab,ab->k", factor.slopes, by_correlation) + lkj_slope
    value = lkj - 0.5 * float(np.sum((along @ factor.precision) * along)) - factor.log_root
    value += 0.5 * n * float(np.linalg.slogdet(factor.precision)[1])
    return VectorTerms(value, z_slope.ravel(), log_sd, free)
