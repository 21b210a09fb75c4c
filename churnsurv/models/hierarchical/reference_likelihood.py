"""The likelihood of the hierarchical model in PyTensor: counts, stretches of spells, customers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import sparse

from churnsurv._typing import FloatArray, IntArray
from churnsurv.models.hierarchical.cells import CellRows, IndependentCells, SeparableCells
from churnsurv.models.hierarchical.fused import FusedRows
from churnsurv.models.hierarchical.likelihood import RowHazards
from churnsurv.models.hierarchical.linear import Linear
from churnsurv.models.hierarchical.rows import ParametricRows
from churnsurv.models.hierarchical.units import UnitLikelihood, Units

Predictor = Callable[[Linear], Any]
"""From what rows meet to their linear predictor, a tensor of shape (n_rows,)."""


def cells_part(cells: SeparableCells | IndependentCells, predictor: Predictor) -> None:
    """Events of cells are Poisson counts (eq. 1)."""
    import pymc as pm
    import pytensor.tensor as pt

    if isinstance(cells, SeparableCells):
        where = np.nonzero(cells.exposure > 0)
        log_hazard = (predictor(cells.pattern)[:, None] + predictor(cells.period)[None, :])[where]
        exposure, events = cells.exposure[where], cells.events[where]
    else:
        log_hazard, exposure, events = predictor(cells.rows.linear), cells.exposure, cells.rows.events
    pm.Poisson("n_events", exposure * pt.exp(log_hazard), observed=events.astype(np.int64))


def rows_part(rows: FusedRows, predictor: Predictor) -> None:
    """Stretches of spells that end with an event, without one, or with one somewhere within."""
    import pymc as pm
    import pytensor.tensor as pt

    own = rows.rows
    cumulative, log_hazard = _parametric(own, predictor)
    value = own.event * log_hazard - cumulative
    if own.window is not None:
        value = pt.where(own.window, pt.log(-pt.expm1(-cumulative)), value)
    pm.Potential("log_likelihood", pt.sum(own.weights * value))


def units_part(likelihood: UnitLikelihood, predictor: Predictor, frailty_sd: Any) -> None:
    """Customers with their frailty and cure integrated out in closed form (eq. 31 to 34)."""
    import pymc as pm
    import pytensor.tensor as pt

    units = likelihood.units
    cumulative, log_hazard = _hazards(likelihood.rows, predictor)
    certain = _times(units.certain, cumulative)
    doubtful = 0.0 if units.ambiguous is None else _times(units.ambiguous, cumulative)
    logit = None if likelihood.cured is None else predictor(likelihood.cured)
    value = _of_units(units, certain, doubtful, logit, frailty_sd)
    if units.before is not None:
        entry = -_decline(_times(units.before, cumulative), 0, frailty_sd)
        if logit is not None and units.immune:
            entry = pt.logaddexp(-pt.softplus(-logit), -pt.softplus(logit) + entry)
        value -= entry
    weight = likelihood.scale * (np.ones(len(units)) if units.weight is None else units.weight)
    pm.Potential("log_likelihood", log_hazard + pt.sum(weight * value))


def _of_units(units: Units, certain: Any, doubtful: Any, logit: Any, frailty_sd: Any) -> Any:
    """Log of what each customer's spells say, whenever she entered."""
    import pytensor.tensor as pt

    sure = -_decline(certain, units.events, frailty_sd)
    whole = -_decline(certain + doubtful, units.events, frailty_sd)
    value = pt.where(units.kind == 1, whole, sure) + _factor(units.events, frailty_sd)
    if np.any(units.kind == 2):
        share = pt.where(units.kind == 2, whole - sure, -1.0)
        value += pt.where(units.kind == 2, pt.log(-pt.expm1(share)), 0.0)
    if logit is None:
        return value
    mixed = pt.logaddexp(-pt.softplus(-logit) + sure, -pt.softplus(logit) + whole)
    return value + pt.where(units.kind == 1, mixed - whole, 0.0) - units.alive * pt.softplus(logit)


def _decline(hazard: Any, events: Any, frailty_sd: Any) -> Any:
    """Minus the log of A(H; d) without its factor: (1/θ + d) log(1 + θH), and H without a frailty."""
    import pytensor.tensor as pt

    if frailty_sd is None:
        return hazard
    variance = frailty_sd**2
    return (1.0 / variance + events) * pt.log1p(variance * hazard)


def _factor(events: FloatArray | IntArray, frailty_sd: Any) -> Any:
    """Factor of A(H; d) that moves with the variance alone: the sum over k below d of log(1 + kθ)."""
    import pytensor.tensor as pt

    if frailty_sd is None or not len(events):
        return 0.0
    k = np.arange(max(int(np.max(events)), 1))
    below = k[None, :] < np.asarray(events)[:, None]
    return pt.sum(below * pt.log1p(k * frailty_sd**2)[None, :], axis=1)


def _times(matrix: sparse.csr_array, vector: Any) -> Any:
    """Sparse matrix times vector."""
    import pytensor.sparse as ps

    return ps.structured_dot(ps.as_sparse_variable(sparse.csr_matrix(matrix)), vector[:, None])[:, 0]


def _hazards(rows: RowHazards, predictor: Predictor) -> tuple[Any, Any]:
    """Cumulative hazard of each row (a cell's is per day), and the sum of log hazards at events."""
    import pytensor.tensor as pt

    if isinstance(rows, CellRows):
        eta = predictor(rows.linear)
        return pt.exp(eta), pt.sum(rows.events * eta)
    if isinstance(rows, ParametricRows):
        cumulative, log_hazard = _parametric(rows, predictor)
        return cumulative, pt.sum(rows.weighted_event * log_hazard)
    raise TypeError(f"{type(rows).__name__} has no reference")


def _parametric(rows: ParametricRows, predictor: Predictor) -> tuple[Any, Any]:
    """Cumulative hazard of each row over ``(start, stop]``, and its log hazard per day at the stop."""
    import pytensor.tensor as pt

    eta, shape = predictor(rows.linear), [predictor(one) for one in rows.shapes]
    start, stop = rows.start / rows.t0, rows.stop / rows.t0
    # A logarithm of zero would leave NaN in gradients: rows from time zero have no part before them.
    late, safe = start > 0.0, np.where(start > 0.0, start, 1.0)
    cumulative, log_hazard = _CURVES[rows.baseline.name]
    before = pt.where(late, cumulative(safe, shape), 0.0)
    return pt.exp(eta) * (cumulative(stop, shape) - before), eta + log_hazard(stop, shape) - np.log(rows.t0)


def _weibull_cumulative(times: FloatArray, shape: list[Any]) -> Any:
    import pytensor.tensor as pt

    return pt.exp(pt.exp(shape[0]) * np.log(times))


def _weibull_log_hazard(times: FloatArray, shape: list[Any]) -> Any:
    import pytensor.tensor as pt

    return shape[0] + (pt.exp(shape[0]) - 1.0) * np.log(times)


def _lognormal_cumulative(times: FloatArray, shape: list[Any]) -> Any:
    return -_normal_log_survival(_standardised(times, shape))


def _lognormal_log_hazard(times: FloatArray, shape: list[Any]) -> Any:
    z = _standardised(times, shape)
    log_density = -0.5 * z**2 - 0.5 * np.log(2.0 * np.pi) - shape[1] - np.log(times)
    return log_density - _normal_log_survival(z)


def _normal_log_survival(z: Any) -> Any:
    """PyMC's ``normal_lccdf`` takes the root of two in single precision, and has no slope far below zero."""
    import pytensor.tensor as pt

    above, below = pt.maximum(z, 0.0) / np.sqrt(2.0), pt.maximum(-z, 0.0) / np.sqrt(2.0)
    return pt.switch(z > 0.0, pt.log(pt.erfcx(above)) - above**2 - np.log(2.0), pt.log1p(-0.5 * pt.erfc(below)))


def _standardised(times: FloatArray, shape: list[Any]) -> Any:
    import pytensor.tensor as pt

    return (np.log(times) - shape[0]) * pt.exp(-shape[1])


def _poisson_cumulative(times: FloatArray, shape: list[Any]) -> Any:
    return times


def _poisson_log_hazard(times: FloatArray, shape: list[Any]) -> Any:
    return np.zeros_like(times)


_CURVES: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "weibull": (_weibull_cumulative, _weibull_log_hazard),
    "lognormal": (_lognormal_cumulative, _lognormal_log_hazard),
    "poisson": (_poisson_cumulative, _poisson_log_hazard),
}
"""Cumulative hazard and log hazard of each baseline, at times in units of the centring time."""
