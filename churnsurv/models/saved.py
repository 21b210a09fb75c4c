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
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import numpy as np

from churnsurv._typing import Json
from churnsurv.errors import ChurnsurvError, DataTypeError, DataWarning, SavedFitError, compose_message
from churnsurv.models import container
from churnsurv.models.base import FitInfo, SurvivalFit
from churnsurv.models.canary import canary
from churnsurv.tables.schema import CellSchema

SCHEMA = 2
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

_UPGRADES = {
    "competing": "churnsurv.models.competing_saved",
    "hierarchical": "churnsurv.models.hierarchical.saved_first",
}
"""Module of each kind that was stored in another way before, with ``upgrade(part, arrays, layout) -> (body, arrays)``."""

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


def upgrade_fit(
    part: Mapping[str, Json], arrays: Mapping[str, np.ndarray], layout: int
) -> tuple[dict[str, Json], dict[str, np.ndarray]]:
    """Bring what an older version wrote of a fit to what :func:`describe_fit` returns now.

    Parameters
    ----------
    part : mapping
        The part of the manifest that is about the fit.
    arrays : mapping of str to array
        By member name.
    layout : int
        Layout of the file, at most :data:`SCHEMA`.

    Returns
    -------
    part, arrays : dict
        Unchanged where the layout is the present one, or its change did not touch the kind.
    """
    kind = str(part["kind"])
    if layout >= SCHEMA or kind not in _UPGRADES:
        return dict(part), dict(arrays)
    body, changed = importlib.import_module(_UPGRADES[kind]).upgrade(part, arrays, layout)
    return {**part, "fit": body}, changed


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
    DataTypeError
        If the path is neither text nor a ``Path``.
    SavedFitError
        If the path is a folder, the fit is of a kind that cannot be saved, or what was to be written does not make the
        same fit again: the old file then stays.
    OSError
        If the disk is full or fails, or the folder cannot be written to: the old file then stays.
    """
    if not isinstance(path, (str, Path)):
        raise DataTypeError(f"path={path!r} is no path of a file.", column="path", hint='fit.save("fit")')
    part, arrays = describe_fit(fit)
    manifest: dict[str, Json] = {
        "format": "churnsurv fit",
        "schema": SCHEMA,
        "versions": _versions(str(part["kind"])),
        **part,
    }
    file = Path(path)
    data = container.pack(manifest, {**arrays, "canary": canary(fit)})
    _restored(file, *container.unpack_bytes(file, data))
    container.write_at_once(file, data)


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
    fit = _restored(file, manifest, arrays)
    _warn_versions(manifest["versions"], str(manifest["kind"]))
    return fit


def _restored(file: Path, manifest: Mapping[str, Json], arrays: Mapping[str, np.ndarray]) -> Any:
    """Make the fit of a file's parts, and insist that it predicts what it predicted."""
    layout = manifest.get("schema")
    if manifest.get("format") != "churnsurv fit" or type(layout) is not int or layout < 1:
        raise SavedFitError(f"{file.name} is not a saved fit.", hint="fit.save(path) writes one.")
    if layout > SCHEMA:
        raise SavedFitError(
            f"{file.name} has layout {layout}, this version reads up to {SCHEMA}.",
            hint="upgrade churnsurv, or fit again.",
        )
    try:
        stored = arrays["canary"]
        fit = build_fit(*upgrade_fit(manifest, arrays, layout))
        repeated = canary(fit)
    except SavedFitError:
        raise
    except (ChurnsurvError, KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        raise SavedFitError(f"{file.name} does not hold what a fit is made of: {error}") from error
    if stored.shape != repeated.shape or not np.allclose(
        stored, repeated, rtol=CANARY_TOLERANCE, atol=CANARY_TOLERANCE, equal_nan=True
    ):
        raise SavedFitError(
            f"{file.name} does not predict what it predicted when it was saved.",
            consequence="Numbers from it could not be compared with earlier ones.",
            hint="install the versions that wrote it, or fit again.",
        )
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
