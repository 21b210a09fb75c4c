"""What a file holds of a Kaplan–Meier fit: its curve."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import cast

import numpy as np

from churnsurv._typing import Json
from churnsurv.errors import SavedFitError
from churnsurv.models.base import FitInfo
from churnsurv.models.kaplan_meier import KaplanMeierFit, KaplanMeierModel, Steps
from churnsurv.tables.schema import CellSchema


def describe(fit: KaplanMeierFit) -> tuple[dict[str, Json], dict[str, np.ndarray]]:
    """Return what a file holds of a fit: a body for the manifest, and arrays."""
    steps = fit.steps
    return {"rounded": fit.model.rounded}, {
        "times": steps.times,
        "survival": steps.survival,
        "n_at_risk": steps.n_at_risk,
    }


def build(
    body: Mapping[str, Json], arrays: Mapping[str, np.ndarray], schema: CellSchema, info: FitInfo
) -> KaplanMeierFit:
    """Make a fit of what a file holds.

    Raises
    ------
    SavedFitError
        If it is no curve.
    """
    times, survival, at_risk = arrays["times"], arrays["survival"], arrays["n_at_risk"]
    good = times.ndim == 1 and times.shape == survival.shape == at_risk.shape and len(times) > 0
    if not good or np.any(np.diff(times) <= 0) or np.any((survival < 0) | (survival > 1)) or math.isnan(times.sum()):
        raise SavedFitError("the saved curve is no curve.")
    model = KaplanMeierModel(cast(float | None, body.get("rounded")))
    return KaplanMeierFit(model, schema, info, Steps(times, survival, at_risk.astype(np.int64)))
