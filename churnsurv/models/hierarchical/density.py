"""Log posterior of a hierarchical model and its gradient, in closed form.

Equation numbers are those of ``docs/explanation/hierarchical.md``. The sampler moves in *positions*:

- ``level``: fixed effects, measured from where they would lie given the random effects;
- ``soft``: standard deviations of the random effects and of the frailty, on a scale between linear and log;
- ``free``: correlations of the blocks that have several effects for each level;
- ``z``: random effects, partially centred.

One flat vector holds them in this order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from churnsurv._typing import FloatArray
from churnsurv.models.hierarchical.correlation import cholesky_factor
from churnsurv.models.hierarchical.layout import Layout
from churnsurv.models.hierarchical.likelihood import Likelihood
from churnsurv.models.hierarchical.priors import Prior
from churnsurv.models.hierarchical.vectors import VectorCentring, VectorPart, vector_terms


@dataclass(frozen=True, eq=False)
class Centring:
    """Coordinates in which the posterior is close to a normal.

    Parameters
    ----------
    shear : array of shape (n_fixed, n_random)
        ``level = fixed effects + shear @ random effects`` (eq. 7).
    rotation : array of shape (n_scalar, n_scalar)
        Orthogonal within each block (eq. 6): ``random effects = scale * (rotation @ (stretch * z))``. The prior of
        a block is the same in every direction; what the data say is not.
    information : array of shape (n_scalar,)
        What the data say along each direction, >= 0 (eq. 6): z is not centred where information times squared
        standard deviation is small, centred where it is large.
    knee : array of shape (n_sd,)
        Standard deviation around which its scale turns from linear (above) to log (below) (eq. 5).
    vectors : tuple of VectorCentring
        The same of each block of several terms.
    """

    shear: FloatArray
    rotation: FloatArray
    information: FloatArray
    knee: FloatArray
    vectors: tuple[VectorCentring, ...] = ()

    @classmethod
    def plain(cls, layout: Layout) -> Centring:
        """Coordinates without any choice: not centred, not sheared."""
        return cls(
            np.zeros((layout.n_fixed, layout.n_random)),
            np.eye(layout.n_scalar),
            np.zeros(layout.n_scalar),
            np.ones(layout.n_sd),
            tuple(VectorCentring.plain(block) for block in layout.vector_blocks),
        )

    def soft(self, sd: FloatArray) -> FloatArray:
        """Position of standard deviations: the inverse of :meth:`sd`."""
        ratio = sd / self.knee
        return ratio + np.log(-np.expm1(-ratio))

    def sd(self, soft: FloatArray) -> FloatArray:
        """Standard deviations of a position: the knee times log(1 + exp(soft))."""
        return self.knee * np.logaddexp(0.0, soft)


@dataclass(frozen=True)
class Natural:
    """One position in the model's own terms; leading axes are those of the position.

    Parameters
    ----------
    fixed : array of shape (..., n_fixed)
        Intercept, coefficients and whatever else has a prior of its own.
    random : array of shape (..., n_random)
        Random effects, block after block, level after level.
    sd : array of shape (..., n_sd)
        Standard deviations; the frailty's is the last.
    free : array of shape (..., n_free)
        Correlations, as free numbers.
    """

    fixed: FloatArray
    random: FloatArray
    sd: FloatArray
    free: FloatArray


@dataclass(frozen=True, eq=False)
class LogPosterior:
    """The density, as a function of one flat position.

    Parameters
    ----------
    likelihood : Likelihood
        Of the data.
    layout : Layout
        Where each parameter lies.
    centring : Centring
        Coordinates.
    fixed_priors : mapping of str to Prior
        Prior of each fixed parameter of the layout.
    sd_priors : tuple of Prior
        Prior of each standard deviation.
    concentrations : tuple of float
        Of the LKJ prior of each block of several terms.
    """

    likelihood: Likelihood
    layout: Layout
    centring: Centring
    fixed_priors: Mapping[str, Prior]
    sd_priors: tuple[Prior, ...]
    concentrations: tuple[float, ...] = ()

    @cached_property
    def _constant(self) -> float:
        return self.likelihood.constant - 0.5 * float(np.log(2.0 * np.pi)) * self.layout.n_random

    @cached_property
    def _log_knee(self) -> float:
        return float(np.log(self.centring.knee).sum())

    @cached_property
    def _vector_parts(self) -> tuple[VectorPart, ...]:
        blocks = zip(self.layout.vector_blocks, self.layout.vector_places, self.centring.vectors, strict=True)
        return tuple(VectorPart(block, *places, centring) for block, places, centring in blocks)

    @cached_property
    def _prior_slices(self) -> tuple[tuple[slice, Prior], ...]:
        return tuple((self.layout.place(name), prior) for name, prior in self.fixed_priors.items())

    @property
    def n_positions(self) -> int:
        """Length of a position."""
        return self.layout.n_positions

    def split(self, position: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Level, soft standard deviations, free correlations and z; leading axes pass through."""
        fixed = self.layout.n_fixed
        free = fixed + self.layout.n_sd
        random = free + self.layout.n_free
        return position[..., :fixed], position[..., fixed:free], position[..., free:random], position[..., random:]

    def frailty_sd(self, sd: FloatArray) -> float | None:
        """Standard deviation of the frailty among all standard deviations, ``None`` without."""
        return float(sd[-1]) if self.layout.frailty else None

    def natural(self, position: FloatArray) -> Natural:
        """Translate positions into fixed effects, random effects and standard deviations (eq. 5 to 7).

        Parameters
        ----------
        position : array of shape (..., n_positions)
            Positions.

        Returns
        -------
        Natural
            With the same leading axes.
        """
        level, soft, free, z = self.split(position)
        sd = self.centring.sd(soft)
        scalar = self.layout.n_scalar
        own_sd = sd[..., self.layout.sd_index]
        along = own_sd / np.sqrt(1.0 + self.centring.information * own_sd**2) * z[..., :scalar]
        random = np.empty_like(z)
        random[..., :scalar] = self.layout.scale * (along @ self.centring.rotation.T)
        for part in self._vector_parts:
            random[..., part.random] = part.effects(sd[..., part.sds], free[..., part.pairs], z[..., part.random])
        return Natural(level - random @ self.centring.shear.T, random, sd, free)

    def position(self, natural: Natural) -> FloatArray:
        """Position of one set of parameters; the inverse of :meth:`natural`."""
        scalar = self.layout.n_scalar
        own_sd = natural.sd[self.layout.sd_index]
        along = self.centring.rotation.T @ (natural.random[:scalar] / self.layout.scale)
        z = np.empty_like(natural.random)
        z[:scalar] = along * np.sqrt(own_sd**-2 + self.centring.information)
        for part in self._vector_parts:
            own = natural.random[part.random]
            z[part.random] = part.coordinates(natural.sd[part.sds], natural.free[part.pairs], own)
        level = natural.fixed + self.centring.shear @ natural.random
        return np.concatenate([level, self.centring.soft(natural.sd), natural.free, z])

    def fixed_prior(self, fixed: FloatArray) -> tuple[float, FloatArray]:
        """Log prior of the fixed effects and its slope."""
        value, slope = 0.0, np.empty(len(fixed))
        for some, prior in self._prior_slices:
            value += float(np.sum(prior.log_density(fixed[some])))
            slope[some] = prior.slope(fixed[some])
        return value, slope

    def fixed_curvature(self, fixed: FloatArray) -> FloatArray:
        """Precision of the fixed effects' prior for a Newton step."""
        precision = np.empty(len(fixed))
        for some, prior in self._prior_slices:
            precision[some] = prior.curvature(fixed[some])
        return precision

    def sd_prior(self, sd: FloatArray) -> tuple[float, FloatArray]:
        """Log prior of the standard deviations, and its slope in their logs."""
        value, slope = 0.0, np.empty(len(sd))
        for k, prior in enumerate(self.sd_priors):
            one = float(sd[k])
            value += float(prior.log_density(one))
            slope[k] = one * prior.slope(one)
        return value, slope

    def with_likelihood(self, likelihood: Likelihood) -> LogPosterior:
        """The same prior and coordinates on other data."""
        return replace(self, likelihood=likelihood)

    def log_densities(self, positions: FloatArray) -> FloatArray:
        """Log density of many positions, shape (n,): what :meth:`value_and_gradient` says of each, without its gradient.

        Parameters
        ----------
        positions : array of shape (n, n_positions)
            Where.
        """
        many = getattr(self.likelihood, "values", None)
        if many is None:
            return np.array([self.value_and_gradient(position)[0] for position in positions])
        natural, (_, soft, _, z) = self.natural(positions), self.split(positions)
        value = np.asarray(many(natural.fixed, natural.random, natural.sd[:, -1] if self.layout.frailty else None))
        for some, prior in self._prior_slices:
            value = value + np.sum(prior.log_density(natural.fixed[:, some]), axis=1)
        for k, prior in enumerate(self.sd_priors):
            value = value + prior.log_density(natural.sd[:, k])
        variance = 1.0 + self.centring.information * natural.sd[:, self.layout.sd_index] ** 2
        energy = z[:, : self.layout.n_scalar] ** 2 / variance
        value = value - 0.5 * np.sum(energy + np.log(variance), axis=1)
        value = value + self._constant + self._log_knee + np.sum(soft - natural.sd / self.centring.knee, axis=1)
        for part, concentration in zip(self._vector_parts, self.concentrations, strict=True):
            value = value + [self._vector_value(part, concentration, one) for one in positions]
        return np.asarray(value)

    def _vector_value(self, part: VectorPart, concentration: float, position: FloatArray) -> float:
        """Log prior of the effects of one block of several terms, Jacobian included."""
        _, soft, free, z = self.split(position)
        factor = part.factor(self.centring.sd(soft)[part.sds], free[part.pairs])
        still = np.zeros(part.block.size)
        return vector_terms(part, factor, factor.effects(z[part.random]), still, concentration).value

    def value_and_gradient(self, position: FloatArray) -> tuple[float, FloatArray]:
        """Log density of a position, constants and Jacobian included, and its gradient (eq. 8).

        Parameters
        ----------
        position : array of shape (n_positions,)
            Where.

        Returns
        -------
        value : float
            Log density.
        gradient : array of shape (n_positions,)
            Its derivative.
        """
        level, soft, free, z = self.split(position)
        centring, index, scalar = self.centring, self.layout.sd_index, self.layout.n_scalar
        sd = centring.sd(soft)
        own_sd = sd[index]
        centred = centring.information * own_sd * own_sd
        z_variance = 1.0 + centred
        stretch = own_sd / np.sqrt(z_variance)
        along = stretch * z[:scalar]
        random = np.empty_like(z)
        random[:scalar] = self.layout.scale * (centring.rotation @ along)
        factors = [part.factor(sd[part.sds], free[part.pairs]) for part in self._vector_parts]
        directions = [factor.effects(z[part.random]) for part, factor in zip(self._vector_parts, factors, strict=True)]
        for part, one in zip(self._vector_parts, directions, strict=True):
            random[part.random] = part.rotate(one)
        fixed = level - centring.shear @ random
        value, fixed_slope, random_slope, frailty_slope = self.likelihood.value_and_slope(
            fixed, random, self.frailty_sd(sd)
        )
        prior, slope = self.fixed_prior(fixed)
        fixed_slope = fixed_slope + slope
        random_slope = random_slope - fixed_slope @ centring.shear
        along_slope = (self.layout.scale * random_slope[:scalar]) @ centring.rotation
        z_precise = z[:scalar] / z_variance
        z_energy = z[:scalar] * z_precise
        sd_value, log_sd_slope = self.sd_prior(sd)
        by_effect = (along * along_slope + centred * (z_energy - 1.0)) / z_variance
        log_sd_slope += np.bincount(index, by_effect, len(sd))
        if self.layout.frailty:
            log_sd_slope[-1] += frailty_slope
        z_slope, free_slope = np.empty_like(z), np.zeros_like(free)
        z_slope[:scalar] = stretch * along_slope - z_precise
        for part, factor, one, concentration in zip(
            self._vector_parts, factors, directions, self.concentrations, strict=True
        ):
            terms = vector_terms(part, factor, one, random_slope[part.random], concentration)
            value += terms.value
            z_slope[part.random] = terms.z
            log_sd_slope[part.sds] += terms.log_sd
            free_slope[part.pairs] = terms.free
        # sd = knee · log(1 + eˣ): d sd/dx = knee · exp(x − sd/knee), the Jacobian, whose own slope is 1 − exp(x − sd/knee).
        log_share = soft - sd / centring.knee
        share = np.exp(log_share)
        value += prior + sd_value + self._constant + self._log_knee + float(log_share.sum())
        value -= 0.5 * float(z_energy.sum() + np.log(z_variance).sum())
        soft_slope = log_sd_slope * share * centring.knee / sd + (1.0 - share)
        return value, np.concatenate([fixed_slope, soft_slope, free_slope, z_slope])


def covariances_of(layout: Layout, sd: FloatArray, free: FloatArray) -> list[FloatArray]:
    """Covariance of the effects of a level, for each block of several terms; leading axes pass through."""
    found = []
    for block, (_, sds, pairs) in zip(layout.vector_blocks, layout.vector_places, strict=True):
        factor = cholesky_factor(free[..., pairs], block.n_terms) * sd[..., sds][..., :, None]
        found.append(factor @ np.swapaxes(factor, -1, -2))
    return found
