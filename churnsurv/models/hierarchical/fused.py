"""Likelihood of rows that are independent given the effects: one compiled pass over them for value and slope."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, cached_property

import numpy as np
import numpy.typing as npt

from churnsurv._typing import BoolArray, FloatArray, IntArray
from churnsurv.models.hierarchical.cells import carried
from churnsurv.models.hierarchical.products import Product
from churnsurv.models.hierarchical.rows import ParametricRows, RowCurves, collapse

_BLOCK = 16_384
"""Rows whose sums are taken together, at least."""
_AT_ONCE = 65_536
"""Rows whose second derivatives are held at once."""
_MOST_BLOCKS = 64
_MOST_SUMS = 4_000_000
"""Sums held at once over all blocks: with very many effects there are fewer blocks."""


@dataclass(frozen=True, eq=False)
class Packed:
    """Rows as the compiled loop reads them; what is the same in all rows is taken out.

    Parameters
    ----------
    x : array of shape (p, n)
        Columns that differ between rows, of all predictors one after the other; each lies in one piece.
    x_at : array of shape (p,)
        Which of all dummies each column is.
    x_bounds : array of shape (n_predictors + 1,)
        First column of each predictor.
    level : array of int32, shape (n_levels, n)
        Levels of the groups, each column once.
    value : array of shape (n_values, n)
        What random slopes are multiplied with.
    entries : array of int64, shape (n_entries, 4)
        For each group effect: its column of ``level``; position of level 0 among the dummies and distance between
        levels; its column of ``value``, -1 for one.
    entry_bounds : array of shape (n_predictors + 1,)
        First entry of each predictor.
    base : array of shape (n_predictors, n_dummies)
        What columns that are the same everywhere add.
    """

    x: FloatArray
    x_at: IntArray
    x_bounds: IntArray
    level: npt.NDArray[np.int32]
    value: FloatArray
    entries: IntArray
    entry_bounds: IntArray
    base: FloatArray

    @classmethod
    def of(cls, rows: ParametricRows) -> Packed:
        """Pack rows."""
        packing = _Packing(rows)
        n = rows.n_rows
        return cls(
            np.array(packing.columns, dtype=np.float64).reshape(-1, n),
            np.array(packing.x_at, dtype=np.int64),
            np.array(packing.x_bounds, dtype=np.int64),
            np.array(packing.levels, dtype=np.int32).reshape(-1, n),
            np.array(packing.values, dtype=np.float64).reshape(-1, n),
            np.array(packing.entries, dtype=np.int64).reshape(-1, 4),
            np.array(packing.entry_bounds, dtype=np.int64),
            packing.base,
        )


class _Packing:
    """Columns and entries as they are found, predictor by predictor."""

    def __init__(self, rows: ParametricRows) -> None:
        self.columns: list[FloatArray] = []
        self.levels: list[IntArray] = []
        self.values: list[FloatArray] = []
        self.x_at: list[int] = []
        self.x_bounds, self.entry_bounds = [0], [0]
        self.entries: list[tuple[int, int, int, int]] = []
        self.base = np.zeros((len(rows.predictors), rows.transform.shape[0]))
        offset = 0
        for k, linear in enumerate(rows.predictors):
            for j, column in enumerate(linear.x.T):
                if (column == column[0]).all():
                    self.base[k, offset + j] = column[0]
                else:
                    self.columns.append(column)
                    self.x_at.append(offset + j)
            offset += linear.x.shape[1]
            for part in linear.parts:
                offset += self._part(part.level, part.value, part.n_levels, offset)
            self.x_bounds.append(len(self.columns))
            self.entry_bounds.append(len(self.entries))

    def _part(self, level: IntArray, value: FloatArray | None, n_levels: int, offset: int) -> int:
        at = next((k for k, seen in enumerate(self.levels) if seen is level), len(self.levels))
        if at == len(self.levels):
            self.levels.append(level)
        columns = [None] if value is None else list(value.T)
        for k, column in enumerate(columns):
            place = -1
            if column is not None and not (column == 1.0).all():
                place = len(self.values)
                self.values.append(column)
            self.entries.append((at, offset + k, len(columns), place))
        return n_levels * len(columns)


@dataclass(frozen=True, eq=False)
class FusedRows:
    r"""Likelihood of independent rows, with neither a frailty nor a cured share.

    .. math::

        \ell = \sum_i w_i \begin{cases} d_i \log h_i(b_i) - \Lambda_i & \text{known day, or none yet} \\
        \log(1 - e^{-\Lambda_i}) & \text{event within the window} \end{cases}

    where :math:`\Lambda_i` is the cumulative hazard over ``(start, stop]``: late entry is a start > 0, and an event found
    at the first look is a window from 0. The first evaluation compiles for some seconds, once per baseline and machine.

    Parameters
    ----------
    rows : ParametricRows
        Rows; equal ones are joined where that halves them.
    unit : array of int, shape (n,) or None
        Whose row it is, ``0 … n_units - 1``; ``None`` for a unit each.
    n_units : int or None
        Number of units.
    n_threads : int
        Threads; the result is the same for any number, bit for bit.

    References
    ----------
    .. [1] Kalbfleisch, J. D. and Prentice, R. L. (2002). *The Statistical Analysis of Failure Time Data*, 2nd ed.,
       sections 3.2 and 3.4. Wiley.
    """

    rows: ParametricRows
    unit: IntArray | None = None
    n_units: int | None = None
    n_threads: int = 1

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
        """What no parameter moves: hazards are per day, and the loop takes them per unit of log time."""
        events = self.rows.weighted_event
        return -float(np.sum(events[events > 0] * np.log(self.rows.stop[events > 0])))

    @cached_property
    def joined(self) -> ParametricRows:
        """Rows of the sum, equal ones joined."""
        return collapse(self.rows)

    @cached_property
    def _packed(self) -> Packed:
        return Packed.of(self.joined)

    @cached_property
    def _data(self) -> tuple[FloatArray, FloatArray, BoolArray]:
        rows = self.joined
        window = np.zeros(rows.n_rows, dtype=np.bool_) if rows.window is None else np.array(rows.window)
        return np.array(rows.times), np.array([rows.weighted_event, rows.weights]), window

    @cached_property
    def _bounds(self) -> IntArray:
        n, sums = self.joined.n_rows, self.rows.transform.shape[0]
        n_blocks = max(1, min(_MOST_BLOCKS, n // _BLOCK, _MOST_SUMS // max(sums, 1)))
        return np.linspace(0, n, n_blocks + 1).astype(np.int64)

    @cached_property
    def _transform(self) -> Product:
        return Product(self.rows.transform)

    def value_and_slope(
        self, fixed: FloatArray, random: FloatArray, frailty_sd: float | None
    ) -> tuple[float, FloatArray, FloatArray, float]:
        """Log-likelihood up to its constant, and its slopes; ``frailty_sd`` is not used.

        Parameters
        ----------
        fixed : array of shape (n_fixed,)
            Fixed effects.
        random : array of shape (n_random,)
            Random effects.
        frailty_sd : float or None
            Not used: rows are independent.
        """
        packed = self._packed
        coef = self._transform.times(np.concatenate([fixed, random]))
        sums = self._sums(coef)
        n, p = len(packed.x_bounds) - 1, len(packed.x_at)
        by_coef = sums[1 + n + p :] + sums[1 : 1 + n] @ packed.base
        by_coef[packed.x_at] += sums[1 + n : 1 + n + p]
        both = self._transform.back(by_coef)
        return float(sums[0]), both[: self.n_fixed], both[self.n_fixed :], 0.0

    def _sums(self, coef: FloatArray) -> FloatArray:
        from churnsurv.models.hierarchical.fused_kernels import fused_loop

        packed, bounds = self._packed, self._bounds
        n_blocks = len(bounds) - 1
        base = packed.base @ coef
        out = np.zeros((n_blocks, 1 + len(base) + len(packed.x_at) + len(coef)))
        loop = fused_loop(type(self.rows.baseline))

        def work(blocks: IntArray) -> None:
            loop(
                blocks,
                bounds,
                packed.x,
                packed.level,
                packed.value,
                *self._data,
                base,
                coef[packed.x_at],
                packed.x_bounds,
                coef,
                packed.entries,
                packed.entry_bounds,
                out,
            )

        n_threads = min(self.n_threads, n_blocks)
        parts = [np.arange(k, n_blocks, n_threads) for k in range(n_threads)]
        if n_threads == 1:
            work(parts[0])
        else:
            list(_pool(n_threads, os.getpid()).map(work, parts))
        return np.asarray(np.add.reduce(out, axis=0))

    def information(self, fixed: FloatArray, random: FloatArray, frailty_sd: float | None) -> FloatArray:
        """Minus the Hessian in fixed and random effects, some rows at a time."""
        rows = self.joined
        total = np.zeros((rows.transform.shape[0],) * 2)
        for first in range(0, rows.n_rows, _AT_ONCE):
            block = rows.block(slice(first, first + _AT_ONCE))
            total -= block.cross(_bend(block, block.curves(fixed, random)))
        return carried(rows.transform, total)

    def pointwise(self, fixed: FloatArray, random: FloatArray, frailty_sd: float | None) -> FloatArray:
        """Log-likelihood of each unit, weights and constants included, shape (n_units,)."""
        values = []
        for first in range(0, self.rows.n_rows, _AT_ONCE):
            block = self.rows.block(slice(first, first + _AT_ONCE))
            values.append(row_log_likelihood(block, block.curves(fixed, random)))
        rows = np.concatenate(values) * self.rows.weights
        return rows if self.unit is None else np.bincount(self.unit, rows, self._n_units)

    @property
    def _n_units(self) -> int:
        if self.n_units is not None:
            return self.n_units
        return self.rows.n_rows if self.unit is None else int(self.unit.max()) + 1

    def expected(self, fixed: FloatArray, random: FloatArray, frailty_sd: float | None) -> FloatArray:
        """Events to be expected in each row."""
        return np.asarray(self.rows.weights * self.rows.forward(fixed, random).cumulative)

    def sample(self, n_units: int, rng: np.random.Generator) -> FusedRows:
        """Some of the units at random with all their rows, weighted up; itself where there are no more than that."""
        if self._n_units <= n_units:
            return self
        chosen = np.sort(rng.choice(self._n_units, n_units, replace=False))
        number = np.full(self._n_units, -1)
        number[chosen] = np.arange(n_units)
        unit = np.arange(self.rows.n_rows) if self.unit is None else self.unit
        some = np.flatnonzero(number[unit] >= 0)
        rows = self.rows.take(some, np.full(len(some), self._n_units / n_units))
        return replace(self, rows=rows, unit=number[unit[some]], n_units=n_units)


@cache
def _pool(n_threads: int, process: int) -> ThreadPoolExecutor:
    """Threads of this process: a fork takes the object along, but not the threads."""
    return ThreadPoolExecutor(n_threads, thread_name_prefix=f"churnsurv-rows-{process}")


def row_log_likelihood(rows: ParametricRows, curves: RowCurves) -> FloatArray:
    """Log-likelihood of each row, not weighted, shape (n,)."""
    log = curves.log_cumulative.value
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        hazard = np.exp(log)
        exact = np.where(rows.event > 0, rows.event * curves.log_hazard.value, 0.0) - hazard
        if rows.window is None:
            return exact
        within = np.where(log < -36.0, log, np.log(-np.expm1(-hazard)))
    return np.where(rows.window, within, exact)


def _bend(rows: ParametricRows, curves: RowCurves) -> FloatArray:
    """Second derivative of each row's weighted log-likelihood in the predictors, shape (1 + q, 1 + q, n)."""
    log = curves.log_cumulative
    with np.errstate(over="ignore", invalid="ignore"):
        hazard = np.exp(log.value)
        slope = bend = -hazard
        if rows.window is not None:
            # With u = x / (e^x - 1), the slope in log x, that of u is u (1 - x - u).
            within = np.where(hazard > 1e-16, hazard / np.expm1(np.maximum(hazard, 1e-300)), 1.0)
            slope = np.where(rows.window, within, slope)
            bend = np.where(rows.window, within * (1.0 - hazard - within), bend)
    outer = log.first[:, None] * log.first
    return rows.weighted_event * curves.log_hazard.second + rows.weights * (slope * log.second + bend * outer)
