"""Saved fits: ``fit.save(path)`` and ``churnsurv.load(path)``.

No object graph and no code: a manifest and arrays of numbers, from which the library builds its own objects. Of the
training data a fit keeps totals by period, term and group level, and no rows. Nothing named in the file is imported.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import platform
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import numpy as np

from churnsurv._typing import FloatArray, IntArray, Json
from churnsurv.errors import ChurnsurvError, DataWarning, SavedFitError, compose_message
from churnsurv.models import container
from churnsurv.models.base import FitInfo, SurvivalFit
from churnsurv.tables.schema import UNSEEN, CellSchema, PatternColumn

SCHEMA = 1
"""Number of the file's layout; a reader refuses a larger one and knows every smaller one."""

CANARY_TOLERANCE = 1e-9
_KINDS = {
    "competing": "churnsurv.models.competing_saved",
    "cox": "churnsurv.models.cox_saved",
    "hierarchical": "churnsurv.models.hierarchical.saved",
    "kaplan_meier": "churnsurv.models.kaplan_meier_saved",
    "weibull": "churnsurv.models.weibull_saved",
}
"""Module of each kind, imported when a file of the kind is met: ``describe(fit) -> (body, arrays)`` and
``build(body, arrays, schema, info) -> fit``. The kind of a ``KaplanMeierFit`` is ``kaplan_meier``."""

_LIBRARIES = ("churnsurv", "numpy", "scipy", "xarray")
_BENEATH = {"hierarchical": ("pymc", "arviz-stats"), "kaplan_meier": ("pymc", "arviz-stats")}
_ROW_MODELS = ("lifelines",)


def _versions(kind: str) -> dict[str, Json]:
    found: dict[str, Json] = {"python": platform.python_version()}
    for name in (*_LIBRARIES, *_BENEATH.get(kind, _ROW_MODELS)):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def _module(kind: object) -> ModuleType:
    if not isinstance(kind, str) or kind not in _KINDS:
        raise SavedFitError(f"a fit of kind {kind!r} is not known.", hint=f"kinds are: {', '.join(_KINDS)}.")
    return importlib.import_module(_KINDS[kind])


def kind_of(fit: SurvivalFit) -> str:
    """Kind of a fit, after its class: ``kaplan_meier`` for a ``KaplanMeierFit``.

    Raises
    ------
    SavedFitError
        If there is no such kind.
    """
    name = type(fit).__name__
    kind = re.sub(r"(?<!^)(?=[A-Z])", "_", re.sub(r"Fits?$", "", name)).lower()
    if kind not in _KINDS:
        raise SavedFitError(f"a {name} cannot be saved.", hint=f"kinds are: {', '.join(_KINDS)}.")
    return kind


def describe_fit(fit: SurvivalFit) -> tuple[dict[str, Json], dict[str, np.ndarray]]:
    """Return the part of a manifest that is about one fit, and its arrays; a fit made of fits has several.

    Returns
    -------
    part : dict
        ``kind``, ``cells`` (the schema), ``info`` and ``fit`` (the body of the kind).
    arrays : dict of str to array
        By member name.
    """
    kind = kind_of(fit)
    body, arrays = _module(kind).describe(fit)
    return {"kind": kind, "cells": cast(Json, fit.schema.to_json()), "info": fit.info.to_json(), "fit": body}, arrays


def build_fit(part: Mapping[str, Json], arrays: Mapping[str, np.ndarray]) -> Any:
    """Make a fit of what :func:`describe_fit` returned.

    Raises
    ------
    SavedFitError
        If the kind is not known, or the parts contradict each other.
    """
    module = _module(part["kind"])
    schema = CellSchema.from_json(cast(Mapping[str, Json], part["cells"]))
    breaks = np.asarray(schema.breaks)
    if len(breaks) < 2 or not np.all(np.isfinite(breaks)) or not np.all(np.diff(breaks) > 0):
        raise SavedFitError("the saved fit's breaks do not increase.")
    info = FitInfo.from_json(cast(Mapping[str, Json], part["info"]))
    return module.build(cast(Mapping[str, Json], part["fit"]), arrays, schema, info)


@dataclass(frozen=True, eq=False)
class _CanaryRows:
    """Made-up customers: every level of every column once, numbers from edge to edge, and one that was never seen."""

    schema: CellSchema
    codes: IntArray
    values: tuple[FloatArray | None, ...]
    reached: FloatArray

    @property
    def customer_id(self) -> np.ndarray:
        return np.arange(len(self.codes)).astype(object)


def _canary_rows(schema: CellSchema) -> _CanaryRows:
    most = max((len(column.labels) for column in schema.columns), default=1)
    steps = np.arange(min(most, 64) + 1)
    codes = [np.append(steps[:-1] % len(column.labels), UNSEEN) for column in schema.columns]
    table = np.column_stack(codes) if codes else np.zeros((len(steps), 0), np.int64)
    values = tuple(_canary_values(column, len(steps)) for column in schema.columns)
    return _CanaryRows(schema, table.astype(np.int64), values, np.linspace(0.0, 0.5 * schema.breaks[-1], len(steps)))


def _canary_values(column: PatternColumn, n: int) -> FloatArray | None:
    if column.edges is None:
        return None
    edges = [edge for edge in column.edges if np.isfinite(edge)] or [0.0]
    return np.append(np.linspace(edges[0], edges[-1], n - 1), np.nan)


def canary(fit: SurvivalFit) -> FloatArray:
    """Predictions for made-up customers, to be repeated when the fit is loaded.

    Parameters
    ----------
    fit : SurvivalFit
        Any fit.

    Returns
    -------
    array of shape (n_draws, n_rows, n_times)
        Conditional survival in at most 16 draws.
    """
    rows = _canary_rows(fit.schema)
    until = np.linspace(rows.reached, np.full(len(rows.reached), fit.schema.breaks[-1]), 5, axis=1)
    draws = np.unique(np.linspace(0, fit.n_draws - 1, 16).astype(np.int64))
    return fit.conditional_survival(rows, until, draws=draws)


def save(fit: SurvivalFit, path: str | Path) -> None:
    """Write a fit to one file, at once or not at all.

    Parameters
    ----------
    fit : SurvivalFit
        What to keep.
    path : str or Path
        A file; its folder is made. An older fit there is replaced in one step: a reader, or a crash at any
        moment, finds the old one or the new one.

    Raises
    ------
    SavedFitError
        If the path is a folder, or the fit is of a kind that cannot be saved.
    """
    part, arrays = describe_fit(fit)
    manifest: dict[str, Json] = {
        "format": "churnsurv fit",
        "schema": SCHEMA,
        "versions": _versions(str(part["kind"])),
        **part,
    }
    container.write_at_once(Path(path), container.pack(manifest, {**arrays, "canary": canary(fit)}))


def load(path: str | Path) -> Any:
    """Read a fit that ``fit.save(path)`` wrote.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    SurvivalFit
        Predicts what the saved one predicted: canaries stored in the file are computed again and compared.

    Raises
    ------
    SavedFitError
        If the file is missing, damaged, foreign (pickle, joblib, HDF5 …), built to do harm, or written by a newer
        version; or if its predictions are not repeated to 1e-9.

    Warns
    -----
    DataWarning
        If other library versions wrote it.

    Notes
    -----
    A hash tells damage, not authorship: load files from people you trust, as you would open their spreadsheets.
    """
    file = Path(path)
    manifest, arrays = container.unpack(file)
    if manifest.get("format") != "churnsurv fit" or not isinstance(manifest.get("schema"), int):
        raise SavedFitError(f"{file.name} is not a saved fit.", hint="fit.save(path) writes one.")
    if cast(int, manifest["schema"]) > SCHEMA:
        raise SavedFitError(
            f"{file.name} has layout {manifest['schema']}, this version reads up to {SCHEMA}.",
            hint="upgrade churnsurv, or fit again.",
        )
    try:
        fit = build_fit(manifest, arrays)
        repeated = canary(fit)
    except SavedFitError:
        raise
    except (ChurnsurvError, KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        raise SavedFitError(f"{file.name} does not hold what a fit is made of: {error}") from error
    stored = arrays["canary"]
    if stored.shape != repeated.shape or not np.allclose(
        stored, repeated, rtol=CANARY_TOLERANCE, atol=CANARY_TOLERANCE, equal_nan=True
    ):
        raise SavedFitError(
            f"{file.name} does not predict what it predicted when it was saved.",
            consequence="Numbers from it could not be compared with earlier ones.",
            hint="install the versions that wrote it, or fit again.",
        )
    _warn_versions(manifest["versions"], str(manifest["kind"]))
    return fit


def _warn_versions(saved: Json, kind: str) -> None:
    now = _versions(kind)
    written = saved if isinstance(saved, Mapping) else {}
    other = [f"{name} {written.get(name)} (here {now[name]})" for name in now if written.get(name) != now[name]]
    if other:
        text = compose_message(
            f"the fit was saved with other versions: {', '.join(other)}.",
            rows=[],
            count=None,
            consequence="Its predictions were repeated and agree.",
            hint="",
        )
        warnings.warn(text, DataWarning, stacklevel=3)
