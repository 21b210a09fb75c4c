"""What a file holds of a Cox fit: coefficients, step functions, draws; no training rows."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Literal, cast

import numpy as np

from churnsurv._typing import FloatArray, IntArray, Json
from churnsurv.errors import SavedFitError
from churnsurv.models.base import FitInfo
from churnsurv.models.cox import CoxModel
from churnsurv.models.cox_baseline import Baseline, Blocks, Draws
from churnsurv.models.cox_fit import CoxFit, Estimate
from churnsurv.models.cox_rows import Strata
from churnsurv.models.design import Design
from churnsurv.models.support import Support
from churnsurv.tables.schema import CellSchema


def describe(fit: CoxFit) -> tuple[dict[str, Json], dict[str, np.ndarray]]:
    """Return what a file holds of a fit: a body for the manifest, and arrays."""
    model, estimate, steps, blocks = fit.model, fit.estimate, fit.steps, fit.draws.blocks
    arrays = {
        "centre": fit.centre,
        "coef": estimate.coef,
        "covariance": estimate.covariance,
        "stratum_levels": _levels(fit.strata),
        "offsets": steps.offsets,
        "times": steps.times,
        "cumulative_hazard": steps.cumulative_hazard,
        "variance": steps.variance,
        "n_at_risk": steps.n_at_risk,
        "support_offsets": np.cumsum([0, *(len(one.times) for one in steps.support)]).astype(np.int64),
        "support_times": np.concatenate([one.times for one in steps.support]),
        "support_n": np.concatenate([one.n_at_risk for one in steps.support]),
        "block_offsets": blocks.offsets,
        "block_first": blocks.first,
        "block_variance": blocks.variance,
        "block_mean": blocks.mean,
        "draws_coef": fit.draws.coef,
    }
    if estimate.robust is not None:
        arrays["robust"] = estimate.robust
    body: dict[str, Json] = {
        "formula": model.formula,
        "strata": list(model.strata),
        "bins": {name: [_edge(edge) for edge in fit.schema.column(name).edges or ()] for name in model.bins},
        "penalizer": model.penalizer,
        "l1_ratio": model.l1_ratio,
        "robust": model.robust,
        "ties": model.ties,
        "rounded": model.rounded,
        "on_bad": model.on_bad,
        "design": fit.design.to_json(),
        "stratum_columns": list(fit.strata.columns),
        "log_likelihood": [estimate.log_likelihood, estimate.null_log_likelihood],
        "seed": int(fit.seed),
    }
    return body, arrays


def _levels(strata: Strata) -> IntArray:
    return np.asarray(strata.levels, np.int64).reshape(len(strata.levels), len(strata.columns))


def _edge(edge: float) -> Json:
    return float(edge) if np.isfinite(edge) else str(float(edge))


def build(body: Mapping[str, Json], arrays: Mapping[str, np.ndarray], schema: CellSchema, info: FitInfo) -> CoxFit:
    """Make a fit of what a file holds.

    Raises
    ------
    SavedFitError
        If its parts contradict each other.
    """
    model = _model(body)
    design = Design.from_json(cast(Mapping[str, Json], body["design"]), schema)
    strata = _strata(body, arrays["stratum_levels"], schema)
    n_terms = len(design.terms)
    shapes = {"centre": (n_terms,), "coef": (n_terms,), "covariance": (n_terms, n_terms)}
    shapes |= {"robust": (n_terms, n_terms)} if "robust" in arrays else {}
    for name, shape in shapes.items():
        _check(
            arrays[name].shape == shape and bool(np.all(np.isfinite(arrays[name]))), f"{name} is not one of its terms"
        )
    loglik = [float(value) for value in cast(list[float], body["log_likelihood"])]
    estimate = Estimate(
        _floats(arrays["coef"]),
        _floats(arrays["covariance"]),
        _floats(arrays["robust"]) if "robust" in arrays else None,
        *loglik,
    )
    steps = _baseline(arrays, strata.labels(schema), model.rounded or 0.0)
    blocks = _blocks(arrays, steps, n_terms)
    seed = int(cast(int, body["seed"]))
    draws = Draws(_floats(arrays["draws_coef"]), estimate.coef, blocks, seed)
    fits = draws.coef.shape == (info.n_draws, n_terms) and bool(np.all(np.isfinite(draws.coef)))
    _check(fits and info.n_draws > 0 and seed >= 0, "draws are not those of its coefficients")
    return CoxFit(
        model=model,
        schema=schema,
        info=info,
        design=design,
        strata=strata,
        centre=_floats(arrays["centre"]),
        estimate=estimate,
        steps=steps,
        draws=draws,
        seed=seed,
    )


def _check(good: bool, what: str) -> None:
    if not good:
        raise SavedFitError(f"the saved fit's {what}.")


def _floats(values: np.ndarray) -> FloatArray:
    return values.astype(np.float64)


def _model(body: Mapping[str, Json]) -> CoxModel:
    bins = cast(Mapping[str, list[float | str]], body["bins"])
    return CoxModel(
        str(body["formula"]),
        strata=tuple(str(name) for name in cast(list[str], body["strata"])),
        bins={name: tuple(float(edge) for edge in edges) for name, edges in bins.items()},
        penalizer=float(cast(float, body["penalizer"])),
        l1_ratio=float(cast(float, body["l1_ratio"])),
        robust=cast(bool | None, body["robust"]),
        ties=cast(Literal["efron", "breslow"], body["ties"]),
        rounded=cast(float | None, body["rounded"]),
        on_bad=cast(Literal["raise", "drop"], body["on_bad"]),
    )


def _strata(body: Mapping[str, Json], levels: np.ndarray, schema: CellSchema) -> Strata:
    columns = tuple(int(k) for k in cast(list[int], body["stratum_columns"]))
    known = all(0 <= k < len(schema.columns) for k in columns)
    _check(known and levels.ndim == 2 and levels.shape[1] == len(columns) and len(levels) > 0, "strata have no columns")
    for at, k in enumerate(columns):
        inside = (levels[:, at] >= 0) & (levels[:, at] < len(schema.columns[k].labels))
        _check(bool(np.all(inside)), "strata are not levels of its schema")
    return Strata(columns, tuple(tuple(int(code) for code in row) for row in levels))


def _baseline(arrays: Mapping[str, np.ndarray], labels: tuple[str, ...], rounded: float) -> Baseline:
    steps = Baseline(
        labels=labels,
        offsets=arrays["offsets"].astype(np.int64),
        times=_floats(arrays["times"]),
        cumulative_hazard=_floats(arrays["cumulative_hazard"]),
        variance=_floats(arrays["variance"]),
        n_at_risk=_floats(arrays["n_at_risk"]),
        support=_support(arrays, len(labels)),
        rounded=rounded,
    )
    n = len(steps.times)
    _check_offsets(steps.offsets, len(labels), n)
    along = (steps.cumulative_hazard, steps.variance, steps.n_at_risk)
    _check(all(array.shape == (n,) for array in along), "baselines have arrays of unequal length")
    _check(all(_rises(a, steps.offsets) for a in (steps.times, steps.cumulative_hazard)), "baselines do not rise")
    _check(bool(np.all(steps.increments > 0) and np.all(np.isfinite(steps.variance))), "baselines do not rise")
    _check(bool(np.all(steps.last >= steps.times[steps.offsets[1:] - 1])), "baselines go on beyond their last time")
    return steps


def _support(arrays: Mapping[str, np.ndarray], n_strata: int) -> tuple[Support, ...]:
    offsets, times = arrays["support_offsets"].astype(np.int64), _floats(arrays["support_times"])
    counts = arrays["support_n"].astype(np.int64)
    _check_offsets(offsets, n_strata, len(times))
    _check(counts.shape == times.shape and _rises(times, offsets), "times at risk do not rise")
    parts = [slice(start, stop) for start, stop in itertools.pairwise(offsets.tolist())]
    return tuple(Support(times[part], counts[part]) for part in parts)


def _rises(values: FloatArray, offsets: IntArray) -> bool:
    """Whether values are finite, and increase within each part."""
    rises = np.diff(values, prepend=-np.inf)
    rises[offsets[:-1]] = 1.0
    return bool(np.all(np.isfinite(values)) and np.all(rises > 0))


def _check_offsets(offsets: np.ndarray, n_parts: int, n: int) -> None:
    good = (
        offsets.shape == (n_parts + 1,) and offsets[0] == 0 and offsets[-1] == n and bool(np.all(np.diff(offsets) > 0))
    )
    _check(good, "parts do not follow one another")


def _blocks(arrays: Mapping[str, np.ndarray], steps: Baseline, n_terms: int) -> Blocks:
    offsets, first = arrays["block_offsets"].astype(np.int64), arrays["block_first"].astype(np.int64)
    variance, mean = _floats(arrays["block_variance"]), _floats(arrays["block_mean"])
    _check_offsets(first, steps.n_strata, len(variance))
    _check_offsets(offsets, len(variance), len(steps.times))
    _check(bool(np.array_equal(offsets[first], steps.offsets)), "blocks are not those of its strata")
    _check(mean.shape == (len(variance), n_terms) and bool(np.all(np.isfinite(mean))), "blocks have no means")
    _check(bool(np.all(np.isfinite(variance) & (variance > 0))), "blocks have no variance")
    return Blocks(offsets, first, np.add.reduceat(steps.increments, offsets[:-1]), variance, mean)
