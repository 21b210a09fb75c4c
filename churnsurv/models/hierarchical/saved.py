"""What a file holds of a hierarchical fit: draws, levels and totals; no rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, cast

import numpy as np

from churnsurv._typing import IntArray, Json
from churnsurv.errors import SavedFitError
from churnsurv.models.base import FitInfo
from churnsurv.models.formula import Effects
from churnsurv.models.grammar import check_formula
from churnsurv.models.hierarchical import sampling
from churnsurv.models.hierarchical.fit import Counts, HierarchicalFit
from churnsurv.models.hierarchical.model import HierarchicalModel
from churnsurv.models.hierarchical.priors import prior_from_json
from churnsurv.tables.schema import CellSchema


def describe(fit: HierarchicalFit) -> tuple[dict[str, Json], dict[str, np.ndarray]]:
    """Return what a file holds of a fit: a body for the manifest, and arrays."""
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


def build(
    body: Mapping[str, Json], arrays: Mapping[str, np.ndarray], schema: CellSchema, info: FitInfo
) -> HierarchicalFit:
    """Make a fit of what a file holds.

    Raises
    ------
    SavedFitError
        If the parts contradict each other.
    """
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
