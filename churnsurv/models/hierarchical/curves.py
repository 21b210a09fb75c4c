"""Curves of patterns from time zero on the clock, with names to their axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from churnsurv._typing import FloatArray
from churnsurv.models.hierarchical.arguments import check_rows, read_times
from churnsurv.models.hierarchical.mixing import mean_ratio_of_survivors
from churnsurv.models.hierarchical.prospects import Fresh, values_of

if TYPE_CHECKING:
    import xarray as xr

    from churnsurv.models.base import PatternRows
    from churnsurv.models.hierarchical.fit import HierarchicalFit


def survival_curves(fit: HierarchicalFit, rows: PatternRows, times: FloatArray) -> xr.DataArray:
    """Probability of no event up to each time: ``predict_survival_function`` of a fit."""
    check_rows(fit, rows, "predict_survival_function(rows, [30, 90])")
    at, n = read_times(times), len(rows.codes)
    fresh = Fresh(rows.schema, rows.codes, np.full(n, fit.schema.breaks[0]), values_of(rows))
    survival = fit.conditional_survival(fresh, np.broadcast_to(at, (n, len(at))))
    return labelled(fit, survival, rows, at, "survival")


def hazard_curves(fit: HierarchicalFit, rows: PatternRows, times: FloatArray) -> xr.DataArray:
    """Events a day among those without one so far: ``predict_hazard`` of a fit."""
    check_rows(fit, rows, "predict_hazard(rows, [30, 90])")
    at, codes, unseen = read_times(times), rows.codes, fit.unseen(rows)
    draws, predictor = np.arange(fit.n_draws), fit._predictor
    ratio, sd = (part[:, :, None] for part in predictor.multipliers(codes, values_of(rows), draws))
    grid = np.broadcast_to(at, (len(codes), len(at)))
    start = np.full_like(grid, fit.schema.breaks[0])
    risk = ratio * predictor.between(codes, start, grid, draws)
    rate = ratio * predictor.rate(codes, grid, draws)
    hazard = rate * mean_ratio_of_survivors(risk, *fit._mixing(draws), sd)
    hazard[:, unseen] = np.nan
    return labelled(fit, hazard, rows, at, "hazard")


def labelled(fit: HierarchicalFit, values: FloatArray, rows: PatternRows, times: FloatArray, name: str) -> xr.DataArray:
    """Numbers of shape (n_draws, n, k) with dims ``(chain, draw, customer, time)``."""
    import xarray as xr

    sample = fit.posterior["posterior"].to_dataset().sizes
    shape = (sample["chain"], sample["draw"], *values.shape[1:])
    customers = getattr(rows, "customer_id", np.arange(len(rows.codes)))
    coords = {"chain": np.arange(shape[0]), "draw": np.arange(shape[1]), "customer": customers, "time": times}
    return xr.DataArray(values.reshape(shape), dims=("chain", "draw", "customer", "time"), coords=coords, name=name)
