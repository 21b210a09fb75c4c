"""What the sampler asks of data: a log-likelihood in fixed effects, random effects and the frailty's spread.

Two layers make every composition. *Rows* (cells, or stretches of a spell) turn effects into cumulative hazards;
*units* (customers) turn the cumulative hazards of their rows into probabilities. Without a customer's own frailty or a
cured share the second layer is a sum, and a faster form of the whole stands in for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from scipy import sparse

from churnsurv._typing import FloatArray


class Likelihood(Protocol):
    """A log-likelihood with its slope and its information.

    Attributes
    ----------
    n_fixed, n_random : int
        Lengths of the two vectors of effects.
    constant : float
        What no parameter moves, to be added to ``value``.
    """

    @property
    def n_fixed(self) -> int:
        """Number of fixed effects."""

    @property
    def n_random(self) -> int:
        """Number of random effects."""

    @property
    def constant(self) -> float:
        """What no parameter moves."""

    def value_and_slope(
        self, fixed: FloatArray, random: FloatArray, frailty_sd: float | None
    ) -> tuple[float, FloatArray, FloatArray, float]:
        """Log-likelihood up to its constant; slopes in fixed and random effects and in the log of ``frailty_sd``."""

    def information(self, fixed: FloatArray, random: FloatArray, frailty_sd: float | None) -> FloatArray:
        """Minus the Hessian in fixed and random effects, shape (n_fixed + n_random, n_fixed + n_random)."""

    def pointwise(self, fixed: FloatArray, random: FloatArray, frailty_sd: float | None) -> FloatArray:
        """Log-likelihood of each unit, constants included, shape (n_units,)."""

    def expected(self, fixed: FloatArray, random: FloatArray, frailty_sd: float | None) -> FloatArray:
        """Events to be expected in each row given what was at risk, and each customer's own rhythm, shape (n_rows,)."""

    def sample(self, n_units: int, rng: np.random.Generator) -> Likelihood:
        """Some of the units at random, weighted up to all of them; itself where there are no more than that."""


@dataclass(frozen=True, eq=False)
class Forward:
    """Rows at one set of effects.

    Parameters
    ----------
    cumulative : array of shape (n_rows,)
        Cumulative hazard of each row (a cell's is per day at risk).
    log_hazard : float
        Sum over events of the log hazard at the event.
    parts : Any
        What the way back needs.
    """

    cumulative: FloatArray
    log_hazard: float
    parts: Any = None


class RowHazards(Protocol):
    """Rows: from effects to cumulative hazards, and the way back.

    Attributes
    ----------
    transform : sparse array of shape (n_dummies, n_fixed + n_random)
        From effects to the coefficients of dummies, in which curvatures are sparse.
    """

    @property
    def n_rows(self) -> int:
        """Number of rows."""

    @property
    def n_fixed(self) -> int:
        """Number of fixed effects."""

    @property
    def n_random(self) -> int:
        """Number of random effects."""

    @property
    def transform(self) -> sparse.csr_array:
        """Effects to coefficients of dummies."""

    def forward(self, fixed: FloatArray, random: FloatArray) -> Forward:
        """Cumulative hazards, and the log hazards at events."""

    def backward(self, forward: Forward, score: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Slope of ``log_hazard + score @ cumulative`` in fixed and random effects, the score held still."""

    def log_rates(self, fixed: FloatArray, random: FloatArray) -> FloatArray:
        """Log hazard of each row at its end, where an event would be, shape (n_rows,)."""

    def with_events(self, events: FloatArray) -> RowHazards:
        """The same rows with other numbers of events, weights included, shape (n_rows,)."""

    def jacobian(self, forward: Forward) -> sparse.csr_array:
        """Derivative of each cumulative hazard in the dummies' coefficients, shape (n_rows, n_dummies)."""

    def curvature(self, forward: Forward, score: FloatArray) -> FloatArray:
        """Second derivative of ``log_hazard + score @ cumulative`` in the dummies' coefficients."""

    def jacobian_of_effects(self, forward: Forward) -> FloatArray:
        """:meth:`jacobian` in the effects, dense, shape (n_rows, n_fixed + n_random)."""

    def curvature_of_effects(self, forward: Forward, score: FloatArray) -> FloatArray:
        """:meth:`curvature` in the effects, dense."""
