"""Log posterior of the hierarchical model and its gradient, in closed form.

Equation numbers are those of ``docs/explanation/hierarchical.md``. The sampler moves in *positions*:

- ``level``: intercept and coefficients, measured from where they would lie given the random effects;
- ``soft``: standard deviations, of the walk first, then of each group column, on a scale between linear and log;
- ``z``: steps of the walk and effects of the groups, partially centred.

One flat vector holds them in this order.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from churnsurv._typing import FloatArray, IntArray
from churnsurv.hazards import poisson
from churnsurv.models.hierarchical.priors import Prior


@dataclass(frozen=True, eq=False)
class Design:
    """Cells as the model sees them: patterns that the formula and the groups can tell apart, by period.

    Parameters
    ----------
    events, exposure : array of shape (n_patterns, n_periods)
        Events and days at risk.
    x : array of shape (n_patterns, n_terms)
        Columns of the formula, without the intercept.
    groups : tuple of array of shape (n_patterns,)
        Level of each pattern in each group column.
    n_levels : tuple of int
        Number of levels of each group column.
    spacing : array of shape (n_periods - 1,)
        Distance of neighbouring periods on the log-time axis, > 0.
    """

    events: FloatArray
    exposure: FloatArray
    x: FloatArray
    groups: tuple[IntArray, ...]
    n_levels: tuple[int, ...]
    spacing: FloatArray

    @property
    def n_periods(self) -> int:
        """Number of periods."""
        return len(self.spacing) + 1

    @property
    def n_fixed(self) -> int:
        """Intercept and terms."""
        return 1 + int(self.x.shape[1])

    @property
    def blocks(self) -> tuple[int, ...]:
        """Number of random effects under each standard deviation: the walk's steps, then each group column."""
        walk = (self.n_periods - 1,) if self.n_periods > 1 else ()
        return walk + self.n_levels

    @property
    def sd_index(self) -> IntArray:
        """Standard deviation of each random effect, shape (n_random,)."""
        return np.repeat(np.arange(len(self.blocks)), self.blocks)

    @property
    def scale(self) -> FloatArray:
        """Prior standard deviation of each random effect in units of its ``sd``, shape (n_random,)."""
        walk = np.sqrt(self.spacing)
        return np.concatenate([walk, np.ones(sum(self.n_levels))])

    def walk_basis(self) -> FloatArray:
        """Matrix that turns steps into a walk that sums to zero (eq. 3), shape (n_periods, n_periods - 1)."""
        n = self.n_periods
        sums = np.tril(np.ones((n, n)), -1)[:, : n - 1]
        return sums - sums.mean(axis=0)


@dataclass(frozen=True, eq=False)
class Centring:
    """Coordinates in which the posterior is close to a normal.

    Parameters
    ----------
    shear : array of shape (n_fixed, n_random)
        ``level = fixed effects + shear @ random effects`` (eq. 7).
    rotation : array of shape (n_random, n_random)
        Orthogonal within each block (eq. 6): ``random effects = scale * (rotation @ (stretch * z))``. The prior of
        a block is the same in every direction; what the data say is not.
    information : array of shape (n_random,)
        What the data say along each direction, >= 0 (eq. 6): z is not centred where information times squared
        standard deviation is small, centred where it is large.
    knee : array of shape (n_blocks,)
        Standard deviation around which its scale turns from linear (above) to log (below) (eq. 5).
    """

    shear: FloatArray
    rotation: FloatArray
    information: FloatArray
    knee: FloatArray

    @classmethod
    def plain(cls, design: Design) -> Centring:
        """Coordinates without any choice: not centred, not sheared."""
        n_random = len(design.sd_index)
        return cls(
            np.zeros((design.n_fixed, n_random)), np.eye(n_random), np.zeros(n_random), np.ones(len(design.blocks))
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
    """One position in the model's own terms.

    Parameters
    ----------
    fixed : array of shape (n_fixed,)
        Intercept, then coefficients.
    random : array of shape (n_random,)
        Steps of the walk, then effects of each group column.
    sd : array of shape (n_blocks,)
        Standard deviations.
    """

    fixed: FloatArray
    random: FloatArray
    sd: FloatArray


@dataclass(frozen=True, eq=False)
class LogPosterior:
    """The density, as a function of one flat position.

    Parameters
    ----------
    design : Design
        Cells.
    centring : Centring
        Coordinates.
    intercept_prior : Prior
        Prior of the intercept.
    coef_prior : Prior or None
        Prior of every coefficient; ``None`` without terms.
    sd_priors : tuple of Prior
        Prior of each standard deviation, in the order of ``design.blocks``.
    """

    design: Design
    centring: Centring
    intercept_prior: Prior
    coef_prior: Prior | None
    sd_priors: tuple[Prior, ...]

    @cached_property
    def _offsets(self) -> tuple[int, ...]:
        return tuple(int(n) for n in np.cumsum((0, *self.design.blocks)))

    @cached_property
    def _basis(self) -> FloatArray:
        return self.design.walk_basis()

    @cached_property
    def _sd_index(self) -> IntArray:
        return self.design.sd_index

    @cached_property
    def _scale(self) -> FloatArray:
        return self.design.scale

    @cached_property
    def _constant(self) -> float:
        some = self.design.exposure > 0
        z_constant = 0.5 * np.log(2.0 * np.pi) * self._offsets[-1]
        return poisson.log_likelihood_constant(self.design.events[some], self.design.exposure[some]) - float(z_constant)

    @cached_property
    def _log_knee(self) -> float:
        return float(np.log(self.centring.knee).sum())

    @cached_property
    def _margins(self) -> dict[str, FloatArray]:
        events = self.design.events
        return {
            "exposure": np.ascontiguousarray(self.design.exposure),
            "events_by_pattern": events.sum(axis=1),
            "events_by_period": events.sum(axis=0),
        }

    @cached_property
    def _x_transposed(self) -> FloatArray:
        return np.ascontiguousarray(self.design.x.T)

    @property
    def n_positions(self) -> int:
        """Length of a position."""
        return self.design.n_fixed + len(self.design.blocks) + self._offsets[-1]

    def split(self, position: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Level, soft standard deviations and z of a position; leading axes pass through."""
        fixed = self.design.n_fixed
        random = fixed + len(self.design.blocks)
        return position[..., :fixed], position[..., fixed:random], position[..., random:]

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
        level, soft, z = self.split(position)
        sd = self.centring.sd(soft)
        own_sd = sd[..., self._sd_index]
        along = own_sd / np.sqrt(1.0 + self.centring.information * own_sd**2) * z
        random = self._scale * (along @ self.centring.rotation.T)
        return Natural(level - random @ self.centring.shear.T, random, sd)

    def position(self, natural: Natural) -> FloatArray:
        """Position of one set of parameters; the inverse of :meth:`natural`."""
        own_sd = natural.sd[self._sd_index]
        along = self.centring.rotation.T @ (natural.random / self._scale)
        z = along * np.sqrt(own_sd**-2 + self.centring.information)
        level = natural.fixed + self.centring.shear @ natural.random
        return np.concatenate([level, self.centring.soft(natural.sd), z])

    def log_parts(self, fixed: FloatArray, random: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Log baseline by period and log multiplier by pattern (eq. 2); their sum is a cell's log hazard."""
        design = self.design
        log_baseline = fixed[0] + self._basis @ random[: design.n_periods - 1]
        log_multiplier = design.x @ fixed[1:]
        first = len(design.blocks) - len(design.n_levels)
        for k, index in enumerate(design.groups, start=first):
            log_multiplier += random[self._offsets[k] : self._offsets[k + 1]][index]
        return log_baseline, log_multiplier

    def collect(self, by_pattern: FloatArray, by_period: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Carry scores back to fixed and random effects: the transpose of :meth:`log_parts`."""
        design = self.design
        fixed = np.empty(design.n_fixed)
        fixed[0] = by_period.sum()
        fixed[1:] = self._x_transposed @ by_pattern
        parts = [by_period @ self._basis]
        parts += [np.bincount(i, by_pattern, n) for i, n in zip(design.groups, design.n_levels, strict=True)]
        return fixed, np.concatenate(parts)

    def likelihood(self, fixed: FloatArray, random: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """Log-likelihood up to its constant, and its slope in fixed and random effects."""
        value, by_pattern, by_period = poisson.proportional_value_and_score(
            *self.log_parts(fixed, random), **self._margins
        )
        return value, *self.collect(by_pattern, by_period)

    def fixed_prior(self, fixed: FloatArray) -> tuple[float, FloatArray]:
        """Log prior of the fixed effects and its slope."""
        slope = np.empty(len(fixed))
        intercept = float(fixed[0])
        value = self.intercept_prior.log_density(intercept)
        slope[0] = self.intercept_prior.slope(intercept)
        if self.coef_prior is not None:
            value += self.coef_prior.log_density(fixed[1:]).sum()
            slope[1:] = self.coef_prior.slope(fixed[1:])
        return float(value), slope

    def sd_prior(self, sd: FloatArray) -> tuple[float, FloatArray]:
        """Log prior of the standard deviations, and its slope in their logs."""
        value, slope = 0.0, np.empty(len(sd))
        for k, prior in enumerate(self.sd_priors):
            one = float(sd[k])
            value += float(prior.log_density(one))
            slope[k] = one * prior.slope(one)
        return value, slope

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
        level, soft, z = self.split(position)
        shear, index, knee = self.centring.shear, self._sd_index, self.centring.knee
        sd = self.centring.sd(soft)
        own_sd = sd[index]
        centred = self.centring.information * own_sd * own_sd
        z_variance = 1.0 + centred
        stretch = own_sd / np.sqrt(z_variance)
        along = stretch * z
        random = self._scale * (self.centring.rotation @ along)
        fixed = level - shear @ random
        value, fixed_slope, random_slope = self.likelihood(fixed, random)
        prior, slope = self.fixed_prior(fixed)
        fixed_slope += slope
        random_slope -= fixed_slope @ shear
        along_slope = (self._scale * random_slope) @ self.centring.rotation
        z_precise = z / z_variance
        z_energy = z * z_precise
        sd_value, log_sd_slope = self.sd_prior(sd)
        by_effect = (along * along_slope + centred * (z_energy - 1.0)) / z_variance
        log_sd_slope += np.bincount(index, by_effect, len(sd))
        # sd = knee · log(1 + eˣ): d sd/dx = knee · exp(x − sd/knee), the Jacobian, whose own slope is 1 − exp(x − sd/knee).
        log_share = soft - sd / knee
        share = np.exp(log_share)
        value += prior + sd_value + self._constant + self._log_knee + float(log_share.sum())
        value -= 0.5 * float(z_energy.sum() + np.log(z_variance).sum())
        soft_slope = log_sd_slope * share * knee / sd + (1.0 - share)
        return value, np.concatenate([fixed_slope, soft_slope, stretch * along_slope - z_precise])
