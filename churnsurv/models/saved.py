"""Saved fits: ``fit.save(path)`` and ``churnsurv.load(path)``.

No object graph and no code: a manifest and arrays of numbers, from which the library builds its own objects. Of the
training data a fit keeps totals by period, term and group level, and no rows. Nothing named in the file is imported.
"""

from __future__ import annotations

import importlib.metadata
import math
import platform
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import numpy as np

from churnsurv._typing import FloatArray, IntArray, Json
from churnsurv.errors import ChurnsurvError, DataWarning, SavedFitError, compose_message
from churnsurv.models import container, sampling
from churnsurv.models.base import FitInfo, SurvivalFit
from churnsurv.models.formula import Effects, check_formula
from churnsurv.models.hierarchical import HierarchicalModel
from churnsurv.models.hierarchical_fit import Counts, HierarchicalFit
from churnsurv.models.kaplan_meier import KaplanMeierFit, KaplanMeierModel, Steps
from churnsurv.models.priors import prior_from_json
from churnsurv.tables.schema import UNSEEN, CellSchema

SCHEMA = 1
"""Number of the file's layout; a reader refuses a larger one and knows every smaller one."""

CANARY_TOLERANCE = 1e-9
_LIBRARIES = ("churnsurv", "numpy", "pymc", "arviz-stats", "scipy", "xarray")


def _versions() -> dict[str, Json]:
    found: dict[str, Json] = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


@dataclass(frozen=True, eq=False)
class _CanaryRows:
    """Made-up customers: every level of every column once, and one that was never seen."""

    schema: CellSchema
    codes: IntArray
    reached: FloatArray

    @property
    def customer_id(self) -> np.ndarray:
        return np.arange(len(self.codes)).astype(object)


def _canary_rows(schema: CellSchema) -> _CanaryRows:
    most = max((len(column.labels) for column in schema.columns), default=1)
    steps = np.arange(min(most, 64) + 1)
    codes = [np.append(steps[:-1] % len(column.labels), UNSEEN) for column in schema.columns]
    table = np.column_stack(codes) if codes else np.zeros((len(steps), 0), np.int64)
    return _CanaryRows(schema, table.astype(np.int64), np.linspace(0.0, 0.5 * schema.breaks[-1], len(steps)))


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
    fit : HierarchicalFit or KaplanMeierFit
        What to keep.
    path : str or Path
        A file; its folder is made. An older fit there is replaced in one step: a reader, or a crash at any
        moment, finds the old one or the new one.

    Raises
    ------
    SavedFitError
        If the path is a folder, or the fit is of a kind that cannot be saved.
    """
    if isinstance(fit, HierarchicalFit):
        kind, (body, arrays) = "hierarchical", _describe_hierarchical(fit)
    elif isinstance(fit, KaplanMeierFit):
        kind, (body, arrays) = "kaplan_meier", _describe_kaplan_meier(fit)
    else:
        raise SavedFitError(f"a {type(fit).__name__} cannot be saved.", hint=f"kinds are: {', '.join(_KINDS)}.")
    manifest: dict[str, Json] = {
        "format": "churnsurv fit",
        "schema": SCHEMA,
        "kind": kind,
        "versions": _versions(),
        "cells": cast(Json, fit.schema.to_json()),
        "info": fit.info.to_json(),
        "fit": body,
    }
    container.write_at_once(Path(path), container.pack(manifest, {**arrays, "canary": canary(fit)}))


def load(path: str | Path) -> HierarchicalFit | KaplanMeierFit:
    """Read a fit that ``fit.save(path)`` wrote.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    HierarchicalFit or KaplanMeierFit
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
        fit = _build(manifest, arrays)
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
    _warn_versions(manifest["versions"])
    return fit


def _build(manifest: Mapping[str, Json], arrays: Mapping[str, np.ndarray]) -> HierarchicalFit | KaplanMeierFit:
    kind = manifest["kind"]
    if kind not in _KINDS:
        raise SavedFitError(f"a fit of kind {kind!r} is not known.", hint=f"kinds are: {', '.join(_KINDS)}.")
    schema = CellSchema.from_json(cast(Mapping[str, Json], manifest["cells"]))
    breaks = np.asarray(schema.breaks)
    if len(breaks) < 2 or not np.all(np.isfinite(breaks)) or not np.all(np.diff(breaks) > 0):
        raise SavedFitError("the saved fit's breaks do not increase.")
    info = FitInfo.from_json(cast(Mapping[str, Json], manifest["info"]))
    return _KINDS[kind](cast(Mapping[str, Json], manifest["fit"]), arrays, schema, info)


def _warn_versions(saved: Json) -> None:
    now = _versions()
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


def _describe_hierarchical(fit: HierarchicalFit) -> tuple[dict[str, Json], dict[str, np.ndarray]]:
    dataset = fit.posterior["posterior"].to_dataset()
    arrays: dict[str, np.ndarray] = {f"p{k}": dataset[name].values for k, name in enumerate(dataset.data_vars)}
    stats: list[str] = []
    if "sample_stats" in fit.posterior:
        sampled = fit.posterior["sample_stats"].to_dataset()
        stats = [str(name) for name in sampled.data_vars]
        arrays |= {f"s{k}": sampled[name].values for k, name in enumerate(stats)}
    counts = fit.counts
    arrays |= {
        "at_stop": counts.at_stop,
        "term_events": counts.term_events,
        "term_exposure": counts.term_exposure,
    }
    for k, group in enumerate(fit.model.groups):
        arrays |= {f"levels{k}": fit.levels[k], f"level_events{k}": counts.level_events[group]}
        arrays |= {
            f"level_exposure{k}": counts.level_exposure[group],
            f"level_expected{k}": counts.level_expected[group],
        }
    body: dict[str, Json] = {
        "formula": fit.model.formula,
        "groups": list(fit.model.groups),
        "on_bad": fit.model.on_bad,
        "overrides": {name: prior.to_json() for name, prior in fit.model.priors.items()},
        "priors": {name: prior.to_json() for name, prior in fit.priors.items()},
        "effects": fit.effects.to_json(),
        "variables": [
            {"name": str(name), "dims": [str(d) for d in dataset[name].dims[2:]]} for name in dataset.data_vars
        ],
        "stats": cast(Json, stats),
        "seed": int(fit.seed),
    }
    return body, arrays


def _build_hierarchical(
    body: Mapping[str, Json], arrays: Mapping[str, np.ndarray], schema: CellSchema, info: FitInfo
) -> HierarchicalFit:
    formula, groups = str(body["formula"]), tuple(str(name) for name in cast(list[str], body["groups"]))
    check_formula(formula, schema)
    overrides = cast(Mapping[str, Mapping[str, Json]], body["overrides"])
    priors = cast(Mapping[str, Mapping[str, Json]], body["priors"])
    model = HierarchicalModel(
        formula,
        groups=groups,
        priors={name: prior_from_json(prior) for name, prior in overrides.items()},
        on_bad=cast(Literal["raise", "drop"], body["on_bad"]),
    )
    effects = Effects.from_json(cast(Mapping[str, Json], body["effects"]), schema)
    levels = tuple(_levels(arrays[f"levels{k}"], schema, group) for k, group in enumerate(groups))
    coords = {"period": np.arange(schema.n_periods), "term": np.array([term.label for term in effects.terms])}
    for group, codes in zip(groups, levels, strict=True):
        coords[group] = np.array([schema.column(group).labels[code] for code in codes])
    variables = {}
    for k, entry in enumerate(cast(list[dict[str, Json]], body["variables"])):
        dims = tuple(str(name) for name in cast(list[str], entry["dims"]))
        variables[str(entry["name"])] = (dims, _draws(arrays[f"p{k}"], tuple(len(coords[d]) for d in dims)))
    _check_variables(variables, model, schema, bool(effects.terms))
    stats = {name: arrays[f"s{k}"] for k, name in enumerate(cast(list[str], body["stats"]))}
    named = {
        name: {group: arrays[f"{name}{k}"] for k, group in enumerate(groups)}
        for name in ("level_events", "level_exposure", "level_expected")
    }
    counts = Counts(
        arrays["at_stop"].astype(np.int64),
        arrays["term_events"],
        arrays["term_exposure"],
        named["level_events"],
        named["level_exposure"],
        named["level_expected"],
    )
    return HierarchicalFit(
        model=model,
        schema=schema,
        posterior=sampling.posterior_tree(variables, coords, stats),
        info=info,
        effects=effects,
        levels=levels,
        priors={name: prior_from_json(prior) for name, prior in priors.items()},
        counts=counts,
        seed=int(cast(int, body["seed"])),
    )


def _levels(codes: np.ndarray, schema: CellSchema, group: str) -> IntArray:
    n_labels = len(schema.column(group).labels)
    if codes.ndim != 1 or len(codes) == 0 or codes.min() < 0 or codes.max() >= n_labels or np.any(np.diff(codes) <= 0):
        raise SavedFitError("the saved fit's group levels are not those of its schema.")
    return codes.astype(np.int64)


def _draws(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if values.ndim < 2 or values.shape[2:] != shape or values.dtype != np.float64 or not np.all(np.isfinite(values)):
        raise SavedFitError("the saved fit's draws do not have the shape they should have, or are not finite.")
    return values


def _check_variables(
    variables: Mapping[str, tuple[tuple[str, ...], np.ndarray]],
    model: HierarchicalModel,
    schema: CellSchema,
    terms: bool,
) -> None:
    needed = {"intercept": (), "log_baseline": ("period",)}
    needed |= {"coef": ("term",)} if terms else {}
    needed |= {"walk": ("period",), "walk_sd": ()} if schema.n_periods > 1 else {}
    for group in model.groups:
        needed |= {f"{group}_effect": (group,), f"{group}_effect_sd": ()}
    if {name: dims for name, (dims, _) in variables.items()} != needed:
        raise SavedFitError("the saved fit's variables are not those of its model.")
    if len({values.shape[:2] for _, values in variables.values()}) != 1:
        raise SavedFitError("the saved fit's variables have different numbers of draws.")
    walk = variables["walk"][1] if "walk" in variables else 0.0
    if not np.allclose(variables["log_baseline"][1], variables["intercept"][1][..., None] + walk, atol=1e-9):
        raise SavedFitError("the saved fit's baseline is not its intercept and its walk.")


def _describe_kaplan_meier(fit: KaplanMeierFit) -> tuple[dict[str, Json], dict[str, np.ndarray]]:
    steps = fit.steps
    return {}, {"times": steps.times, "survival": steps.survival, "n_at_risk": steps.n_at_risk}


def _build_kaplan_meier(
    body: Mapping[str, Json], arrays: Mapping[str, np.ndarray], schema: CellSchema, info: FitInfo
) -> KaplanMeierFit:
    times, survival, at_risk = arrays["times"], arrays["survival"], arrays["n_at_risk"]
    good = times.ndim == 1 and times.shape == survival.shape == at_risk.shape and len(times) > 0
    if not good or np.any(np.diff(times) <= 0) or np.any((survival < 0) | (survival > 1)) or math.isnan(times.sum()):
        raise SavedFitError("the saved curve is no curve.")
    return KaplanMeierFit(KaplanMeierModel(), schema, info, Steps(times, survival, at_risk.astype(np.int64)))


_Build = Callable[[Mapping[str, Json], Mapping[str, np.ndarray], CellSchema, FitInfo], HierarchicalFit | KaplanMeierFit]
_KINDS: dict[str, _Build] = {"hierarchical": _build_hierarchical, "kaplan_meier": _build_kaplan_meier}
