r"""Stretches of spells as rows: a parametric hazard over ``(start, stop]``, and the way back to effects.

A row's cumulative hazard is :math:`\Lambda = e^{\eta} [H_0(b; \psi) - H_0(a; \psi)]`. The linear predictor and every
shape parameter have a predictor of their own, so there are 1 + q predictors of the same effects; in what follows the
first of them is the linear predictor, in which the log of the cumulative hazard has slope one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from churnsurv._typing import BoolArray, FloatArray, IntArray
from churnsurv.errors import ArgumentError
from churnsurv.models.hierarchical.baselines import Baseline, Curve, log_times
from churnsurv.models.hierarchical.likelihood import Forward
from churnsurv.models.hierarchical.linear import Linear, stacked_transform


class RowCurves(NamedTuple):
    """Rows at one set of effects.

    Parameters
    ----------
    log_cumulative : Curve
        Log of the cumulative hazard, ``eta`` included, with its derivatives in the 1 + q predictors.
    log_hazard : Curve
        Log hazard per day at the stop, in the same way.
    """

    log_cumulative: Curve
    log_hazard: Curve


@dataclass(frozen=True, eq=False)
class ParametricRows:
    """Rows under a baseline in continuous time; arrays of shape (n,).

    Parameters
    ----------
    baseline : Baseline
        How the hazard runs with time.
    start, stop : array
        Days on the clock, ``0 <= start <= stop`` and ``stop > 0``.
    event : array
        Events at ``stop`` (0 or 1, or a count); 0 in a window.
    linear : Linear
        Log hazard ratio, with the intercept if the baseline has one.
    shapes : tuple of Linear
        Predictor of each shape parameter, in the order of ``baseline.shapes``.
    t0 : float
        Centring time in days, see :func:`centring_time`; 1 for the Poisson baseline.
    weight : array or None
        How often each row counts; ``None`` for once.
    window : array of bool or None
        Rows in which an event is known to have happened, no one knows when: ``(start, stop]`` is all there is to say.
        The time before, when there surely was none, is another row.

    Raises
    ------
    ArgumentError
        If rows are not in order, or the predictors are not those of the baseline.
    """

    baseline: Baseline
    start: FloatArray
    stop: FloatArray
    event: FloatArray
    linear: Linear
    shapes: tuple[Linear, ...]
    t0: float
    weight: FloatArray | None = None
    window: BoolArray | None = None

    def __post_init__(self) -> None:
        wrong = ~((self.start >= 0.0) & (self.start <= self.stop) & (self.stop > 0.0) & np.isfinite(self.stop))
        if self.window is not None:
            wrong |= self.window & ((self.start == self.stop) | (self.event != 0.0))
        if wrong.any():
            where = np.flatnonzero(wrong)
            shown = "; ".join(f"row {i}: ({self.start[i]:g}, {self.stop[i]:g}]" for i in where[:2])
            raise ArgumentError(
                f"{len(where)} of {len(wrong)} rows are no stretch of time with what is known of it: {shown}.",
                hint="give 0 <= start <= stop in days; a window has start < stop and event 0.",
            )
        if len(self.shapes) != len(self.baseline.shapes):
            raise ArgumentError(
                f"{len(self.shapes)} predictors of shape for {len(self.baseline.shapes)} parameters.",
                hint=f"the {self.baseline.name} baseline has: {', '.join(self.baseline.shapes) or 'none'}.",
            )

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.stop)

    @property
    def n_fixed(self) -> int:
        """Number of fixed effects."""
        return self.linear.n_fixed

    @property
    def n_random(self) -> int:
        """Number of random effects."""
        return self.linear.n_random

    @property
    def predictors(self) -> tuple[Linear, ...]:
        """Linear predictor, then that of each shape parameter."""
        return (self.linear, *self.shapes)

    @cached_property
    def transform(self) -> sparse.csr_array:
        """Effects to coefficients of dummies, those of the linear predictor first."""
        return stacked_transform(self.predictors)

    @cached_property
    def times(self) -> tuple[FloatArray, FloatArray]:
        """Log of the stop in centring times, and log of stop over start."""
        return log_times(self.start / self.t0, self.stop / self.t0)

    @cached_property
    def weights(self) -> FloatArray:
        """Weights, ones where none were given."""
        return np.ones(self.n_rows) if self.weight is None else self.weight

    @cached_property
    def weighted_event(self) -> FloatArray:
        """Events times weights."""
        return self.weights * self.event

    def curves(self, fixed: FloatArray, random: FloatArray) -> RowCurves:
        """Log cumulative hazard and log hazard of each row, with derivatives in the predictors."""
        eta = _predicted(self.linear, fixed, random)
        shape = np.array([_predicted(one, fixed, random) for one in self.shapes]).reshape(-1, self.n_rows)
        log_stop, log_ratio = self.times
        cumulative = self.baseline.log_cumulative(log_stop, log_ratio, shape)
        pace = self.baseline.log_pace(log_stop, shape)
        return RowCurves(_lifted(cumulative, eta), _lifted(pace, eta - np.log(self.stop)))

    def forward(self, fixed: FloatArray, random: FloatArray) -> Forward:
        """Cumulative hazards, and the log hazards at events."""
        curves = self.curves(fixed, random)
        with np.errstate(over="ignore"):
            cumulative = np.exp(curves.log_cumulative.value)
        return Forward(cumulative, float(self.weighted_event @ curves.log_hazard.value), curves)

    def backward(self, forward: Forward, score: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Slope of ``log_hazard + score @ cumulative`` in fixed and random effects, the score held still."""
        curves: RowCurves = forward.parts
        slopes = self.weighted_event * curves.log_hazard.first
        slopes += (score * forward.cumulative) * curves.log_cumulative.first
        fixed, random = np.zeros(self.n_fixed), np.zeros(self.n_random)
        for predictor, slope in zip(self.predictors, slopes, strict=True):
            by_fixed, by_random = predictor.scatter(slope)
            fixed += by_fixed
            random += by_random
        return fixed, random

    def log_rates(self, fixed: FloatArray, random: FloatArray) -> FloatArray:
        """Log hazard of each row at its stop, per day."""
        return self.curves(fixed, random).log_hazard.value

    def with_events(self, events: FloatArray) -> ParametricRows:
        """The same rows with other numbers of events, weights included; a cumulative hazard has no weight."""
        return replace(self, event=events, weight=None)

    def jacobian(self, forward: Forward) -> sparse.csr_array:
        """Derivative of each cumulative hazard in the dummies' coefficients."""
        first = forward.cumulative * forward.parts.log_cumulative.first
        parts = [one.dummies.multiply(slope[:, None]) for one, slope in zip(self.predictors, first, strict=True)]
        return sparse.csr_array(sparse.hstack(parts, format="csr"))

    def curvature(self, forward: Forward, score: FloatArray) -> FloatArray:
        """Second derivative of ``log_hazard + score @ cumulative`` in the dummies' coefficients."""
        return self.cross(self._bend(forward, score))

    def _bend(self, forward: Forward, score: FloatArray) -> FloatArray:
        curves: RowCurves = forward.parts
        log = curves.log_cumulative
        bend = (score * forward.cumulative) * (log.second + log.first[:, None] * log.first)
        return np.asarray(self.weighted_event * curves.log_hazard.second + bend)

    def jacobian_of_effects(self, forward: Forward) -> FloatArray:
        """:meth:`jacobian` in the effects, dense."""
        first = forward.cumulative * forward.parts.log_cumulative.first
        return np.asarray(
            sum(slope[:, None] * one.by_effect for one, slope in zip(self.predictors, first, strict=True))
        )

    def curvature_of_effects(self, forward: Forward, score: FloatArray) -> FloatArray:
        """:meth:`curvature` in the effects, dense."""
        bend, total = self._bend(forward, score), np.zeros((self.n_fixed + self.n_random,) * 2)
        for k, one in enumerate(self.predictors):
            for m, other in enumerate(self.predictors[: k + 1]):
                part = one.by_effect.T @ (bend[k, m][:, None] * other.by_effect)
                total += part if k == m else part + part.T
        return total

    def cross(self, weight: FloatArray) -> FloatArray:
        """Products of the predictors' dummies, weighted for each pair of predictors.

        Parameters
        ----------
        weight : array of shape (1 + q, 1 + q, n)
            Symmetric in the first two.

        Returns
        -------
        array of shape (n_dummies, n_dummies)
            Sum over rows.
        """
        bounds = np.cumsum([0, *(one.transform.shape[0] for one in self.predictors)])
        out = np.zeros((bounds[-1], bounds[-1]))
        levels = [_level_dummies(one) for one in self.predictors]
        for k, one in enumerate(self.predictors):
            mine = slice(bounds[k], bounds[k + 1])
            for m, other in enumerate(self.predictors[: k + 1]):
                theirs = slice(bounds[m], bounds[m + 1])
                out[mine, theirs] = _crossed((one.x, levels[k]), (other.x, levels[m]), weight[k, m])
                out[theirs, mine] = out[mine, theirs].T
        return out

    def take(self, rows: IntArray, weight: FloatArray) -> ParametricRows:
        """Keep some rows, each counted ``weight`` times as often as before."""
        return self._at(rows, weight=self.weights[rows] * weight)

    def block(self, rows: slice) -> ParametricRows:
        """Some rows that follow each other."""
        return self._at(np.arange(self.n_rows)[rows], weight=None if self.weight is None else self.weight[rows])

    def _at(self, rows: IntArray, weight: FloatArray | None) -> ParametricRows:
        return replace(
            self,
            start=self.start[rows],
            stop=self.stop[rows],
            event=self.event[rows],
            linear=self.linear.take(rows),
            shapes=tuple(one.take(rows) for one in self.shapes),
            weight=weight,
            window=None if self.window is None else self.window[rows],
        )


def centring_time(stop: FloatArray, event: FloatArray, weight: FloatArray | None = None) -> float:
    """Geometric mean of the events' times; of all times where there is no event whose day is known.

    Examples
    --------
    >>> centring_time(np.array([1.0, 4.0, 90.0]), np.array([1.0, 1.0, 0.0])).__round__(12)
    2.0
    """
    share = event if weight is None else event * weight
    if not share.any():
        share = np.ones(len(stop)) if weight is None else weight
    return float(np.exp(np.sum(share * np.log(stop)) / np.sum(share)))


def _predicted(linear: Linear, fixed: FloatArray, random: FloatArray) -> FloatArray:
    """:meth:`Linear.eta` without its matrix of dummies: blocks of rows are met once."""
    total = linear.x @ fixed[linear.columns]
    for part in linear.parts:
        effects = part.table(random)[part.level]
        total += effects[:, 0] if part.value is None else np.einsum("ij,ij->i", effects, part.value)
    return total


def _level_dummies(linear: Linear) -> sparse.csr_array:
    """Dummies of the groups alone, shape (n, n_dummies - p)."""
    nothing = sparse.csr_array((linear.n_rows, 0))
    return sparse.csr_array(sparse.hstack([nothing, *(p.dummies(linear.n_rows) for p in linear.parts)], format="csr"))


def _crossed(
    one: tuple[FloatArray, sparse.csr_array], other: tuple[FloatArray, sparse.csr_array], weight: FloatArray
) -> FloatArray:
    """Weighted product of dense columns and dummies with others: dense parts cost a fifth of sparse ones."""
    (x, levels), (y, others) = one, other
    scaled = others.copy()
    scaled.data *= np.repeat(weight, np.diff(others.indptr))
    right = weight[:, None] * y
    return np.block(
        [
            [x.T @ right, (others.T @ (weight[:, None] * x)).T],
            [levels.T @ right, (sparse.csr_array(levels.T) @ scaled).toarray()],
        ]
    )


def _lifted(curve: Curve, eta: FloatArray) -> Curve:
    """A curve in the shape parameters plus a linear predictor, as one in all predictors."""
    q, n = curve.first.shape
    first, second = np.ones((1 + q, n)), np.zeros((1 + q, 1 + q, n))
    first[1:], second[1:, 1:] = curve.first, curve.second
    return Curve(curve.value + eta, first, second)


def collapse(rows: ParametricRows) -> ParametricRows:
    """Join rows that are equal in everything but their weight, exactly; itself where less than half would go.

    Parameters
    ----------
    rows : ParametricRows
        Rows.

    Returns
    -------
    ParametricRows
        The first of each set of equal rows, in their order, with the sum of the weights.
    """
    columns = _columns(rows)
    number = np.zeros(rows.n_rows, dtype=np.uint64)
    for column in columns:
        number ^= column
        number *= np.uint64(0x9E3779B97F4A7C15)
        number ^= number >> np.uint64(29)
    _, first, inverse = np.unique(number, return_index=True, return_inverse=True)
    if 2 * len(first) > rows.n_rows:
        return rows
    for column in columns:
        if not np.array_equal(column, column[first][inverse]):  # two different rows share a number
            return rows
    order = np.argsort(first, kind="stable")
    weight = np.bincount(inverse, rows.weights, len(first))[order]
    return rows.take(first[order], weight / rows.weights[first[order]])


def _columns(rows: ParametricRows) -> list[np.ndarray[Any, np.dtype[np.uint64]]]:
    """All that is known of rows, as numbers of 64 bits."""
    values: list[Any] = [rows.start, rows.stop, rows.event]
    values += [] if rows.window is None else [rows.window]
    for one in rows.predictors:
        values += list(one.x.T)
        for part in one.parts:
            values += [part.level]
            values += [] if part.value is None else list(part.value.T)
    # Adding 0.0 makes -0.0 and 0.0 the same bits.
    return [(np.asarray(value, dtype=np.float64) + 0.0).view(np.uint64) for value in values]
