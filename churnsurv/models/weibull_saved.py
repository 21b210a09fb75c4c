"""What a file holds of a Weibull fit: parameters, covariances, draws; no training rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, cast

import numpy as np

from churnsurv._typing import FloatArray, Json
from churnsurv.errors import SavedFitError
from churnsurv.models.base import FitInfo
from churnsurv.models.design import Design
from churnsurv.models.support import Support
from churnsurv.models.weibull import WeibullModel
from churnsurv.models.weibull_fit import WeibullFit
from churnsurv.models.weibull_maximum import Estimate
from churnsurv.tables.schema import CellSchema


def describe(fit: WeibullFit) -> tuple[dict[str, Json], dict[str, np.ndarray]]:
    """Return what a file holds of a fit: a body for the manifest, and arrays."""
    model, estimate = fit.model, fit.estimate
    arrays = {
        "parameters": estimate.parameters,
        "covariance": estimate.covariance,
        "support_times": fit.support.times,
        "support_count": fit.support.n_at_risk,
        "draws": fit.draws,
    }
    if estimate.robust is not None:
        arrays["robust"] = estimate.robust
    body: dict[str, Json] = {
        "formula": model.formula,
        "shape": model.shape,
        "bins": {name: [_edge(edge) for edge in fit.schema.column(name).edges or ()] for name in model.bins},
        "penalizer": model.penalizer,
        "rounded": model.rounded,
        "robust": model.robust,
        "on_bad": model.on_bad,
        "design": fit.design.to_json(),
        "shape_design": fit.shape_design.to_json(),
        "log_likelihood": estimate.log_likelihood,
        "converged": estimate.converged,
        "steps": estimate.steps,
        "seed": int(fit.seed),
    }
    return body, arrays


def _edge(edge: float) -> Json:
    return float(edge) if math.isfinite(edge) else str(float(edge))


def build(body: Mapping[str, Json], arrays: Mapping[str, np.ndarray], schema: CellSchema, info: FitInfo) -> WeibullFit:
    """Make a fit of what a file holds.

    Raises
    ------
    SavedFitError
        If its parts contradict each other.
    """
    design, shape_design = (
        Design.from_json(cast(Mapping[str, Json], body[name]), schema) for name in ("design", "shape_design")
    )
    n_scale = len(design.terms) + 1
    n = n_scale + len(shape_design.terms) + 1
    shapes = {"parameters": (n,), "covariance": (n, n), "draws": (info.n_draws, n)}
    shapes |= {"robust": (n, n)} if "robust" in arrays else {}
    for name, shape in shapes.items():
        _check(
            arrays[name].shape == shape and bool(np.all(np.isfinite(arrays[name]))),
            f"{name} are not those of its terms",
        )
    _check(info.n_draws > 0, "draws are none")
    estimate = Estimate(
        _floats(arrays["parameters"]),
        _floats(arrays["covariance"]),
        _floats(arrays["robust"]) if "robust" in arrays else None,
        float(cast(float, body["log_likelihood"])),
        n_scale,
        converged=bool(body["converged"]),
        steps=int(cast(int, body["steps"])),
    )
    times, count = arrays["support_times"], arrays["support_count"]
    good = times.ndim == 1 and times.shape == count.shape and len(times) > 0 and bool(np.all(np.isfinite(times)))
    _check(good and bool(np.all(np.diff(times) > 0)) and bool(np.all(count >= 0)), "support is no count by time")
    return WeibullFit(
        model=_model(body),
        schema=schema,
        info=info,
        design=design,
        shape_design=shape_design,
        estimate=estimate,
        support=Support(_floats(times), count.astype(np.int64)),
        draws=_floats(arrays["draws"]),
        seed=int(cast(int, body["seed"])),
    )


def _model(body: Mapping[str, Json]) -> WeibullModel:
    bins = cast(Mapping[str, list[float | str]], body["bins"])
    return WeibullModel(
        str(body["formula"]),
        shape=str(body["shape"]),
        bins={name: tuple(float(edge) for edge in edges) for name, edges in bins.items()},
        penalizer=cast(float, body["penalizer"]),
        rounded=cast(float | None, body["rounded"]),
        robust=cast(bool | None, body["robust"]),
        on_bad=cast(Literal["raise", "drop"], body["on_bad"]),
    )


def _check(good: bool, what: str) -> None:
    if not good:
        raise SavedFitError(f"the saved fit's {what}.")


def _floats(values: np.ndarray) -> FloatArray:
    return values.astype(np.float64)
