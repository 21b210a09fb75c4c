"""Cells as rows: a hazard that is constant in each, and its likelihood where customers do not differ further."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from churnsurv._typing import FloatArray
from churnsurv.hazards import poisson
from churnsurv.models.hierarchical.likelihood import Forward
from churnsurv.models.hierarchical.linear import Linear


@dataclass(frozen=True, eq=False)
class CellRows:
    """Rows of cells: the cumulative hazard of one is per day at risk, so units multiply it with their days.

    Parameters
    ----------
    events : array of shape (n,)
        Events in each cell.
    linear : Linear
        Log hazard.
    """

    events: FloatArray
    linear: Linear

    @property
    def n_rows(self) -> int:
        """Number of cells."""
        return len(self.events)

    @property
    def n_fixed(self) -> int:
        """Number of fixed effects."""
        return self.linear.n_fixed

    @property
    def n_random(self) -> int:
        """Number of random effects."""
        return self.linear.n_random

    @property
    def transform(self) -> sparse.csr_array:
        """Effects to coefficients of dummies."""
        return self.linear.transform

    def forward(self, fixed: FloatArray, random: FloatArray) -> Forward:
        """Hazards of the cells, and the log hazards at events."""
        eta = self.linear.eta(fixed, random)
        with np.errstate(over="ignore"):
            return Forward(np.exp(eta), float(self.events @ eta))

    def hazards(self, effects: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Hazards at many sets of effects, shape (n_rows, n_sets), and their log hazards at events, shape (n_sets,).

        Parameters
        ----------
        effects : array of shape (n_sets, n_fixed + n_random)
            Fixed and random effects.
        """
        eta = self.linear.dummies @ (self.linear.transform @ np.ascontiguousarray(effects.T))
        return np.exp(eta), np.asarray(self.events @ eta)

    def backward(self, forward: Forward, score: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Slope of ``log_hazard + score @ cumulative``, the score held still."""
        return self.linear.scatter(self.events + score * forward.cumulative)

    def log_rates(self, fixed: FloatArray, random: FloatArray) -> FloatArray:
        """Log hazard of each cell."""
        return self.linear.eta(fixed, random)

    def with_events(self, events: FloatArray) -> CellRows:
        """The same cells with other numbers of events."""
        return CellRows(events, self.linear)

    def jacobian(self, forward: Forward) -> sparse.csr_array:
        """Derivative of each hazard in the dummies' coefficients."""
        return sparse.csr_array(self.linear.dummies.multiply(forward.cumulative[:, None]))

    def curvature(self, forward: Forward, score: FloatArray) -> FloatArray:
        """Second derivative of ``log_hazard + score @ cumulative`` in the dummies' coefficients."""
        return self.linear.gram(score * forward.cumulative)

    def jacobian_of_effects(self, forward: Forward) -> FloatArray:
        """:meth:`jacobian` in the effects, dense."""
        return forward.cumulative[:, None] * self.linear.by_effect

    def curvature_of_effects(self, forward: Forward, score: FloatArray) -> FloatArray:
        """:meth:`curvature` in the effects, dense."""
        x = self.linear.by_effect
        return x.T @ ((score * forward.cumulative)[:, None] * x)


@dataclass(frozen=True, eq=False)
class IndependentCells:
    """Likelihood of cells whose events are independent given the effects (eq. 1).

    Parameters
    ----------
    rows : CellRows
        Cells with time at risk.
    exposure : array of shape (n,)
        Days at risk, > 0.
    """

    rows: CellRows
    exposure: FloatArray

    @property
    def n_fixed(self) -> int:
        """Number of fixed effects."""
        return self.rows.n_fixed

    @property
    def n_random(self) -> int:
        """Number of random effects."""
        return self.rows.n_random

    @cached_property
    def constant(self) -> float:
        """What no parameter moves."""
        return poisson.log_likelihood_constant(self.rows.events, self.exposure)

    def value_and_slope(
        self, fixed: FloatArray, random: FloatArray, frailty_sd: float | None
    ) -> tuple[float, FloatArray, FloatArray, float]:
        """Log-likelihood up to its constant, and its slopes."""
        forward = self.rows.forward(fixed, random)
        value = forward.log_hazard - float(self.exposure @ forward.cumulative)
        return (value, *self.rows.backward(forward, -self.exposure), 0.0)

    def information(self, fixed: FloatArray, random: FloatArray, frailty_sd: float | None) -> FloatArray:
        """Minus the Hessian."""
        forward = self.rows.forward(fixed, random)
        return carried(self.rows.transform, -self.rows.curvature(forward, -self.exposure))

    def pointwise(self, fixed: FloatArray, random: FloatArray, frailty_sd: float | None) -> FloatArray:
        """Log-likelihood of each cell: without customers, cells are the units."""
        eta = self.rows.linear.eta(fixed, random)
        constant = poisson.log_likelihood_terms(self.rows.events, self.exposure)
        return np.asarray(self.rows.events * eta - self.exposure * np.exp(eta) + constant)

    def expected(self, fixed: FloatArray, random: FloatArray, frailty_sd: float | None) -> FloatArray:
        """Events to be expected in each cell."""
        return self.exposure * self.rows.forward(fixed, random).cumulative

    def sample(self, n_units: int, rng: np.random.Generator) -> IndependentCells:
        """Itself: cells are few."""
        return self


@dataclass(frozen=True, eq=False)
class SeparableCells:
    """The same number where pattern and period act apart: events by their margins, one small matrix product.

    Parameters
    ----------
    events, exposure : array of shape (n_patterns, n_periods)
        Events and days at risk, 0 where there is no cell.
    pattern : Linear
        Log hazard ratio of each pattern.
    period : Linear
        Log hazard of the reference in each period.
    """

    events: FloatArray
    exposure: FloatArray
    pattern: Linear
    period: Linear

    @property
    def n_fixed(self) -> int:
        """Number of fixed effects."""
        return self.pattern.n_fixed

    @property
    def n_random(self) -> int:
        """Number of random effects."""
        return self.pattern.n_random

    @cached_property
    def constant(self) -> float:
        """What no parameter moves."""
        some = self.exposure > 0
        return poisson.log_likelihood_constant(self.events[some], self.exposure[some])

    @cached_property
    def _margins(self) -> dict[str, FloatArray]:
        return {
            "exposure": np.ascontiguousarray(self.exposure),
            "events_by_pattern": self.events.sum(axis=1),
            "events_by_period": self.events.sum(axis=0),
        }

    def value_and_slope(
        self, fixed: FloatArray, random: FloatArray, frailty_sd: float | None
    ) -> tuple[float, FloatArray, FloatArray, float]:
        """Log-likelihood up to its constant, and its slopes."""
        log_multiplier, log_baseline = self.pattern.eta(fixed, random), self.period.eta(fixed, random)
        value, by_pattern, by_period = poisson.proportional_value_and_score(
            log_baseline, log_multiplier, **self._margins
        )
        (fixed_a, random_a), (fixed_b, random_b) = self.pattern.scatter(by_pattern), self.period.scatter(by_period)
        return value, fixed_a + fixed_b, random_a + random_b, 0.0

    def information(self, fixed: FloatArray, random: FloatArray, frailty_sd: float | None) -> FloatArray:
        """Minus the Hessian."""
        baseline, multiplier = np.exp(self.period.eta(fixed, random)), np.exp(self.pattern.eta(fixed, random))
        expected = self.exposure * baseline * multiplier[:, None]
        own = carried(self.pattern.transform, self.pattern.gram(expected.sum(axis=1)))
        own += carried(self.period.transform, self.period.gram(expected.sum(axis=0)))
        across = self.pattern.dummies.T @ (expected @ self.period.dummies)
        mixed = self.pattern.transform.T @ across @ self.period.transform
        return np.asarray(own + mixed + mixed.T)

    def pointwise(self, fixed: FloatArray, random: FloatArray, frailty_sd: float | None) -> FloatArray:
        """Log-likelihood of each cell: without customers, cells are the units."""
        some = self.exposure > 0
        eta = (self.pattern.eta(fixed, random)[:, None] + self.period.eta(fixed, random))[some]
        constant = poisson.log_likelihood_terms(self.events[some], self.exposure[some])
        return np.asarray(self.events[some] * eta - self.exposure[some] * np.exp(eta) + constant)

    def expected(self, fixed: FloatArray, random: FloatArray, frailty_sd: float | None) -> FloatArray:
        """Events to be expected of each pattern."""
        baseline, multiplier = np.exp(self.period.eta(fixed, random)), np.exp(self.pattern.eta(fixed, random))
        return np.asarray((self.exposure @ baseline) * multiplier)

    def sample(self, n_units: int, rng: np.random.Generator) -> SeparableCells:
        """Itself: cells are few."""
        return self


def carried(transform: sparse.csr_array, matrix: FloatArray) -> FloatArray:
    """A matrix over dummies, carried to fixed and random effects."""
    half = transform.T @ matrix
    return np.asarray((transform.T @ half.T).T)
