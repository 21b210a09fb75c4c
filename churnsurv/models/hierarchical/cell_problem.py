"""Cells bound to a model: patterns that it can tell apart, by period, and where it asks for them, customers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from churnsurv._typing import BoolArray, FloatArray, IntArray
from churnsurv.errors import ConservationError
from churnsurv.models.hierarchical.binding import (
    Rows,
    bind_terms,
    default_priors,
    linear_of,
    posterior_of,
    structure_of,
)
from churnsurv.models.hierarchical.cells import CellRows, IndependentCells, SeparableCells
from churnsurv.models.hierarchical.likelihood import Likelihood
from churnsurv.models.hierarchical.linear import Linear
from churnsurv.models.hierarchical.pieces import HAZARD
from churnsurv.models.hierarchical.priors import resolve_priors
from churnsurv.models.hierarchical.problem import Problem, Structure, Totals
from churnsurv.models.hierarchical.units import UnitLikelihood, Units

if TYPE_CHECKING:
    from churnsurv.models.hierarchical.model import HierarchicalModel
    from churnsurv.tables.cells import CellTable
    from churnsurv.tables.customers import CustomerCells


@dataclass(frozen=True, eq=False)
class _Patterns:
    """Cells that the model cannot tell apart, added up.

    Parameters
    ----------
    codes : array of shape (n_patterns, n_columns)
        Levels; 0 in columns that the model does not use.
    events, exposure : array of shape (n_patterns, n_periods)
        Totals.
    of_cell : array of shape (n_cells,)
        Pattern of each cell of the table.
    """

    codes: IntArray
    events: FloatArray
    exposure: FloatArray
    of_cell: IntArray


def build_cell_problem(model: HierarchicalModel, cells: CellTable) -> Problem:
    """Bind a model to cells.

    Raises
    ------
    FormulaError
        If terms cannot be told apart.
    PriorError
        If a prior names no parameter.
    ModelSupportError
        If there are too many parameters for a dense metric.
    ConservationError
        If a cell has events and no time at risk.
    """
    exposure, events = cells.exposure, cells.n_events[:, 0].astype(np.float64)
    if np.any(events[exposure <= 0] > 0):
        raise ConservationError("a cell has events but no time at risk.", hint="please report this, with the cells.")
    rows = Rows(cells.schema, cells.codes, (), cells.period, exposure)
    terms = bind_terms(model, model.formula, rows)
    structure = structure_of(model, rows, terms)
    log_rate = float(np.log(events.sum() / exposure.sum()))
    priors = resolve_priors(default_priors(model, structure, log_rate), model.priors)
    patterns = _patterns(cells, structure, exposure, events)
    likelihood: Likelihood
    by_customer = None
    if model.needs_customers:
        likelihood, totals = _with_customers(cells, structure, patterns)
    else:
        likelihood, totals = _without_customers(cells, structure, patterns)
        by_customer = None if cells.customers is None else partial(_by_customer, cells, structure, patterns)
    start = np.zeros(structure.layout.n_fixed)
    start[0] = np.log((events.sum() + 0.5) / exposure.sum())
    return Problem(posterior_of(likelihood, structure, priors), structure, priors, start, totals, by_customer)


def _used(structure: Structure, cells: CellTable) -> list[int]:
    found = {k for term in structure.terms.effects.terms for k, _ in term.factors}
    for group in structure.groups.values():
        found |= set(group.columns)
    return sorted(found | ({len(cells.schema.columns) - 1} if structure.months else set()))


def _patterns(cells: CellTable, structure: Structure, exposure: FloatArray, events: FloatArray) -> _Patterns:
    used, codes = _used(structure, cells), np.zeros_like(cells.codes)
    codes[:, used] = cells.codes[:, used]
    some = exposure > 0
    seen, where = (
        np.unique(codes[some], axis=0, return_inverse=True) if used else (codes[:1], np.zeros(some.sum(), int))
    )
    of_cell = np.zeros(len(codes), np.int64)
    of_cell[some] = where.ravel()
    shape = (len(seen), cells.schema.n_periods)
    totals = [np.zeros(shape), np.zeros(shape)]
    for table, values in zip(totals, (events, exposure), strict=True):
        np.add.at(table, (of_cell[some], cells.period[some]), values[some])
    return _Patterns(seen, totals[0], totals[1], of_cell)


def _without_customers(
    cells: CellTable, structure: Structure, patterns: _Patterns
) -> tuple[SeparableCells | IndependentCells, Totals]:
    names = ["coef", *(piece.name for piece in structure.pieces)]
    schema, n_periods = cells.schema, cells.schema.n_periods
    if not any(piece.dims[-1] == "period" and piece.group for piece in structure.pieces):
        zero = np.zeros(len(patterns.codes), np.int64)
        by_pattern = Rows(schema, patterns.codes, (), zero, patterns.exposure.sum(axis=1))
        periods = np.arange(n_periods)
        by_period = Rows(schema, patterns.codes[:1].repeat(n_periods, axis=0), (), periods, periods.astype(float))
        pattern = linear_of(structure, by_pattern, HAZARD, intercept=None, names=[n for n in names if n != "walk"])
        period = linear_of(structure, by_period, HAZARD, intercept="intercept", names=["walk"])
        totals = Totals(patterns.codes, (), patterns.events.sum(axis=1), patterns.exposure.sum(axis=1))
        return SeparableCells(patterns.events, patterns.exposure, pattern, period), totals
    at = np.nonzero(patterns.exposure > 0)
    rows = Rows(schema, patterns.codes[at[0]], (), at[1], patterns.exposure[at])
    linear = linear_of(structure, rows, HAZARD, intercept="intercept", names=names)
    totals = Totals(rows.codes, (), patterns.events[at], rows.exposure)
    return IndependentCells(CellRows(patterns.events[at], linear), rows.exposure), totals


def _with_customers(cells: CellTable, structure: Structure, patterns: _Patterns) -> tuple[UnitLikelihood, Totals]:
    customers = cells.customers
    if customers is None:
        raise ValueError("the model was not checked against the cells")
    n_periods, n_patterns = cells.schema.n_periods, len(patterns.codes)
    before = np.zeros_like(customers.before_codes)
    used = _used(structure, cells)
    before[:, used] = customers.before_codes[:, used]
    codes, where = np.unique(np.concatenate([patterns.codes, before]), axis=0, return_inverse=True)
    where = where.ravel() if cells.schema.columns else np.zeros(n_patterns + len(before), np.int64)
    of_cell = where[patterns.of_cell] * n_periods + cells.period
    of_before = where[n_patterns:] * n_periods + customers.before_period
    met, place = np.unique(np.concatenate([of_cell, of_before]), return_inverse=True)
    row_of_cell, row_of_before = place[: len(of_cell)], place[len(of_cell) :]
    exposure = np.bincount(row_of_cell, cells.exposure, len(met))
    events = np.bincount(row_of_cell, cells.n_events[:, 0], len(met)).astype(np.float64)
    rows = Rows(cells.schema, codes[met // n_periods], (), met % n_periods, exposure)
    names = ["coef", *(piece.name for piece in structure.pieces)]
    linear = linear_of(structure, rows, HAZARD, intercept="intercept", names=names)
    immune = cells.schema.churn.on_tenure
    units = _units(customers, row_of_cell, row_of_before, len(met), cured=structure.cured, immune=immune)
    cured = shared_logit(structure, len(units)) if structure.cured else None
    return UnitLikelihood(CellRows(events, linear), units, cured), Totals(rows.codes, (), events, exposure)


def _by_customer(cells: CellTable, structure: Structure, patterns: _Patterns) -> UnitLikelihood:
    """The likelihood of cells once more, customer by customer."""
    return _with_customers(cells, structure, patterns)[0]


def _units(
    customers: CustomerCells, row_of_cell: IntArray, row_of_before: IntArray, n_rows: int, *, cured: bool, immune: bool
) -> Units:
    """Customers as units; an open last spell is ambiguous where some are cured."""
    shape = (customers.n_customers, n_rows)
    rows = row_of_cell[customers.cell]

    def matrix(values: FloatArray) -> sparse.csr_array:
        found = sparse.csr_array((values.copy(), rows.copy(), customers.indptr.copy()), shape=shape)
        found.sum_duplicates()
        return found

    n_events = customers.n_events[:, 0]
    whole = matrix(customers.exposure)
    before = None
    if len(row_of_before):
        parts = (customers.before_exposure.copy(), row_of_before, customers.before_indptr.copy())
        before = sparse.csr_array(parts, shape=shape)
        before.sum_duplicates()
        whole = sparse.csr_array(whole + before)
    own_events = matrix(customers.events[:, 0].astype(np.float64))
    if not cured:
        kind = np.zeros(len(n_events), np.int8)
        return Units(whole, None, before, kind, n_events, np.zeros_like(n_events), own_events)
    open_ = (n_events == 0) if immune else customers.has_last
    doubtful = _some_rows(whole, open_) if immune else matrix(customers.last)
    alive = np.minimum(n_events, 1) if immune else customers.n_alive
    certain = sparse.csr_array(whole - doubtful)
    certain.eliminate_zeros()
    doubtful.eliminate_zeros()
    return Units(certain, doubtful, before, open_.astype(np.int8), n_events, alive, own_events, immune)


def _some_rows(matrix: sparse.csr_array, some: BoolArray) -> sparse.csr_array:
    """The matrix with all other rows empty."""
    return sparse.csr_array(sparse.diags_array(some.astype(np.float64)) @ matrix)


def shared_logit(structure: Structure, n_units: int) -> Linear:
    """Logit of the cured share, the same for all units."""
    layout = structure.layout
    at = np.array([layout.place("cure_logit").start])
    return Linear(np.ones((n_units, 1)), at, (), layout.n_fixed, layout.n_random)
