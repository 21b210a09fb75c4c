"""Customers as units: the rows of one customer share her frailty, and perhaps she will never churn, or never return."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from churnsurv._typing import BoolArray, FloatArray, IntArray
from churnsurv.hazards.frailty import (
    UnitTerms,
    log_event_factor,
    log_event_factor_by_unit,
    unit_terms,
    units_with_more_events,
)
from churnsurv.models.hierarchical.cells import CellRows
from churnsurv.models.hierarchical.likelihood import Forward, RowHazards
from churnsurv.models.hierarchical.linear import Linear
from churnsurv.models.hierarchical.products import Product
from churnsurv.models.hierarchical.unit_curvature import second_derivatives, unit_hessian

_UNITS_AT_ONCE = 8_192
_MOST_THREADS = 4
_MOST_UNITS = 20_000
"""Units whose second derivatives are taken: a metric need not be exact, and more cost seconds."""


@dataclass(frozen=True, eq=False)
class Units:
    """Which rows are whose.

    Parameters
    ----------
    certain : sparse array of shape (n_units, n_rows)
        What multiplies the cumulative hazard of each row: days of a cell, or ones; where the customer was surely at risk,
        the time before late entry included.
    ambiguous : sparse array or None
        The same for rows in which she may already have been out of reach (an open last spell, where some are cured), or
        for the window in which an event is known to have happened.
    before : sparse array or None
        The same for the time before late entry.
    kind : array of int8, shape (n_units,)
        0 plain, 1 open under cure, 2 event within a window.
    events : array of shape (n_units,)
        Exact events.
    alive : array of shape (n_units,)
        How often the customer is known not to have been cured.
    own_events : sparse array of shape (n_units, n_rows)
        Exact events of each unit in each row; only what each customer adds by herself needs it.
    immune : bool
        Whether cure is from birth (a customer who will never churn), not after each activity.
    weight : array or None
        How many customers each unit stands for.
    """

    certain: sparse.csr_array
    ambiguous: sparse.csr_array | None
    before: sparse.csr_array | None
    kind: npt.NDArray[np.int8]
    events: IntArray
    alive: IntArray
    own_events: sparse.csr_array
    immune: bool = False
    weight: FloatArray | None = None

    def __len__(self) -> int:
        """Number of units."""
        return len(self.events)

    def take(self, some: IntArray | BoolArray) -> Units:
        """Keep some units."""
        return Units(
            self.certain[some],
            None if self.ambiguous is None else self.ambiguous[some],
            None if self.before is None else self.before[some],
            self.kind[some],
            self.events[some],
            self.alive[some],
            self.own_events[some],
            self.immune,
            None if self.weight is None else self.weight[some],
        )


@dataclass(frozen=True, eq=False)
class UnitLikelihood:
    """Likelihood of customers: rows give hazards, units integrate out what is each customer's own (eq. 31 to 34).

    Parameters
    ----------
    rows : RowHazards
        Cells or stretches of spells.
    units : Units
        Which rows are whose.
    cured : Linear or None
        Logit of the cured share for each unit; ``None`` where nobody is.
    scale : float
        What the units' part is multiplied with, where they are a sample of all.
    """

    rows: RowHazards
    units: Units
    cured: Linear | None = None
    scale: float = 1.0

    constant = 0.0

    @property
    def n_fixed(self) -> int:
        """Number of fixed effects."""
        return self.rows.n_fixed

    @property
    def n_random(self) -> int:
        """Number of random effects."""
        return self.rows.n_random

    @cached_property
    def _products(self) -> dict[str, Product]:
        parts = {"certain": self.units.certain, "ambiguous": self.units.ambiguous, "before": self.units.before}
        return {name: Product(part) for name, part in parts.items() if part is not None}

    @cached_property
    def _with_more(self) -> FloatArray:
        return units_with_more_events(self.units.events, self.units.weight) * self.scale

    @cached_property
    def _nothing(self) -> FloatArray:
        return np.broadcast_to(np.zeros(()), (len(self.units),))

    def _inputs(
        self, forward: Forward, fixed: FloatArray, random: FloatArray, frailty_sd: float | None
    ) -> dict[str, Any]:
        units = self.units
        hazard = {name: product.times(forward.cumulative) for name, product in self._products.items()}
        return {
            "certain": hazard["certain"],
            "ambiguous": hazard.get("ambiguous", self._nothing),
            "events": units.events,
            "kind": units.kind,
            "variance": None if frailty_sd is None else frailty_sd**2,
            "logit_cured": None if self.cured is None else self.cured.eta(fixed, random),
            "alive": units.alive,
            "entry": hazard.get("before"),
            "immune": units.immune,
        }

    def _weighted(self, values: FloatArray) -> FloatArray:
        weight = self.units.weight
        return values * self.scale if weight is None else values * (weight * self.scale)

    def _score(self, terms: UnitTerms) -> FloatArray:
        """Slope in each row's cumulative hazard."""
        slopes = {"certain": terms.by_certain, "ambiguous": terms.by_ambiguous, "before": terms.by_entry}
        total = np.zeros(self.rows.n_rows)
        for name, product in self._products.items():
            total += product.back(self._weighted(slopes[name]))
        return total

    def value_and_slope(
        self, fixed: FloatArray, random: FloatArray, frailty_sd: float | None
    ) -> tuple[float, FloatArray, FloatArray, float]:
        """Log-likelihood, and its slopes in effects and in the log of the frailty's standard deviation."""
        forward = self.rows.forward(fixed, random)
        terms = unit_terms(**self._inputs(forward, fixed, random, frailty_sd), order=1)
        by_fixed, by_random = self.rows.backward(forward, self._score(terms))
        if self.cured is not None:
            more_fixed, more_random = self.cured.scatter(self._weighted(terms.by_logit))
            by_fixed, by_random = by_fixed + more_fixed, by_random + more_random
        factor, by_log_variance = log_event_factor(self._with_more, None if frailty_sd is None else frailty_sd**2)
        if frailty_sd is not None:
            by_log_variance += float(np.sum(self._weighted(terms.by_log_variance)))
        value = forward.log_hazard + factor + float(np.sum(self._weighted(terms.value)))
        return value, by_fixed, by_random, 2.0 * by_log_variance

    def values(self, fixed: FloatArray, random: FloatArray, frailty_sd: FloatArray | None) -> FloatArray:
        """Log-likelihood at many sets of parameters, shape (n_sets,): each customer's cells are read once for all sets.

        Parameters
        ----------
        fixed, random : array of shape (n_sets, n)
            Effects.
        frailty_sd : array of shape (n_sets,) or None
            Standard deviation of the frailty.
        """
        if not isinstance(self.rows, CellRows):
            sds = [None] * len(fixed) if frailty_sd is None else frailty_sd.tolist()
            return np.array([self.value_and_slope(*one)[0] for one in zip(fixed, random, sds, strict=True)])
        hazard, total = self.rows.hazards(np.concatenate([fixed, random], axis=1))
        variance = [None] * len(fixed) if frailty_sd is None else (frailty_sd**2).tolist()
        total += [log_event_factor(self._with_more, one)[0] for one in variance]
        logit = None if self.cured is None else self.cured.x[0, 0] * fixed[:, self.cured.columns[0]]
        parts = [slice(start, start + _UNITS_AT_ONCE) for start in range(0, len(self.units), _UNITS_AT_ONCE)]
        with ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1)) as threads:
            # Products and special functions let go of the interpreter; what they add is summed in order all the same.
            for one in threads.map(lambda some: self._some_values(some, hazard, variance, logit), parts):
                total += one
        return total

    def _some_values(
        self, some: slice, hazard: FloatArray, variance: list[float | None], logit: FloatArray | None
    ) -> FloatArray:
        """What some units add at many sets of parameters."""
        units = self.units.take(np.arange(*some.indices(len(self.units))))
        parts = {
            name: np.ascontiguousarray((matrix @ hazard).T)
            for name, matrix in (("certain", units.certain), ("ambiguous", units.ambiguous), ("entry", units.before))
            if matrix is not None
        }
        nothing = np.broadcast_to(np.zeros(()), (len(units),))
        weight = np.full(len(units), self.scale) if units.weight is None else units.weight * self.scale
        found = np.empty(len(variance))
        for k, one in enumerate(variance):
            own = {name: values[k] for name, values in parts.items()}
            terms = unit_terms(
                own["certain"],
                own.get("ambiguous", nothing),
                events=units.events,
                kind=units.kind,
                variance=one,
                logit_cured=None if logit is None else float(logit[k]),
                alive=units.alive,
                entry=own.get("entry"),
                immune=units.immune,
            )
            found[k] = weight @ terms.value
        return found

    def information(self, fixed: FloatArray, random: FloatArray, frailty_sd: float | None) -> FloatArray:
        """Minus the Hessian in the effects; of a sample of units where there are very many."""
        if len(self.units) > _MOST_UNITS:
            return self.sample(_MOST_UNITS, np.random.default_rng(0)).information(fixed, random, frailty_sd)
        forward = self.rows.forward(fixed, random)
        terms = unit_terms(**self._inputs(forward, fixed, random, frailty_sd), order=2)
        seconds = {pair: self._weighted(values) for pair, values in second_derivatives(terms).items()}
        matrices = {name: getattr(self.units, name) for name in self._products}
        return -unit_hessian(self.rows, matrices, self.cured, forward, self._score(terms), seconds)

    def pointwise(self, fixed: FloatArray, random: FloatArray, frailty_sd: float | None) -> FloatArray:
        """Log-likelihood of each unit, as often as it counts, shape (n_units,)."""
        forward = self.rows.forward(fixed, random)
        terms = unit_terms(**self._inputs(forward, fixed, random, frailty_sd), order=1)
        factor = log_event_factor_by_unit(self.units.events, None if frailty_sd is None else frailty_sd**2)
        return self._weighted(terms.value + factor + self.units.own_events @ self.rows.log_rates(fixed, random))

    def expected(self, fixed: FloatArray, random: FloatArray, frailty_sd: float | None) -> FloatArray:
        """Events to be expected in each row, each customer's own rhythm at its mean given all that she did."""
        forward = self.rows.forward(fixed, random)
        terms = unit_terms(**self._inputs(forward, fixed, random, frailty_sd), order=1)
        return np.asarray(-self._score(terms) * forward.cumulative)

    def sample(self, n_units: int, rng: np.random.Generator) -> UnitLikelihood:
        """Some of the units with their events, weighted up to all; itself where there are no more than that."""
        if len(self.units) <= n_units:
            return self
        some = np.sort(rng.choice(len(self.units), n_units, replace=False))
        units, scale = self.units.take(some), self.scale * len(self.units) / n_units
        weight = np.ones(n_units) if units.weight is None else units.weight
        events = scale * np.asarray(units.own_events.T @ weight)
        cured = None if self.cured is None else self.cured.take(some)
        return replace(self, rows=self.rows.with_events(events), units=units, cured=cured, scale=scale)
