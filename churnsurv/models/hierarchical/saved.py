"""What a file holds of a hierarchical fit: draws, levels and totals; no rows, and nothing of any one customer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, cast

import numpy as np

from churnsurv._typing import FloatArray, Json
from churnsurv.errors import SavedFitError
from churnsurv.models.base import FitInfo
from churnsurv.models.formula import Effects
from churnsurv.models.grammar import check_formula
from churnsurv.models.hierarchical import sampling
from churnsurv.models.hierarchical.binding import assemble_structure
from churnsurv.models.hierarchical.counts import Counts
from churnsurv.models.hierarchical.fit import HierarchicalFit
from churnsurv.models.hierarchical.grouping import Grouping, columns_of
from churnsurv.models.hierarchical.model import HierarchicalModel
from churnsurv.models.hierarchical.pieces import months_of
from churnsurv.models.hierarchical.priors import Prior, prior_from_json
from churnsurv.models.hierarchical.problem import Named, Structure, Terms
from churnsurv.tables.schema import CellSchema

_TOTALS = ("at_stop", "term_events", "term_exposure")
_LEVEL_TOTALS = ("level_events", "level_exposure", "level_expected")
_CLOSE = 1e-9

Arrays = Mapping[str, np.ndarray]
Body = Mapping[str, Json]


def describe(fit: HierarchicalFit) -> tuple[dict[str, Json], dict[str, np.ndarray]]:
    """Return what a file holds of a fit: a body for the manifest, and arrays."""
    structure = fit.structure
    dataset = fit.posterior["posterior"].to_dataset()
    stats = fit.posterior["sample_stats"].to_dataset() if "sample_stats" in fit.posterior else {}
    groups = list(structure.groups.values())
    arrays: dict[str, np.ndarray] = {f"p{k}": dataset[name].values for k, name in enumerate(dataset.data_vars)}
    arrays |= {f"s{k}": stats[name].values for k, name in enumerate(stats)}
    arrays |= {name: getattr(fit.counts, name) for name in _TOTALS}
    arrays |= {"term_centre": structure.terms.centre, "term_scale": structure.terms.scale}
    arrays |= {f"level_codes{k}": group.codes for k, group in enumerate(groups)}
    for k, name in enumerate(fit.model.slopes):
        arrays |= {f"{total}{k}": getattr(fit.counts, total)[name] for total in _LEVEL_TOTALS}
    body: dict[str, Json] = {
        "model": _model_to_json(fit.model),
        "priors": _priors_to_json(fit.priors),
        "effects": structure.terms.effects.to_json(),
        "numbers": list(structure.terms.numbers),
        "groups": [group.to_json() for group in groups],
        "months": list(structure.months),
        "time_scale": float(structure.time_scale),
        "variables": [str(name) for name in dataset.data_vars],
        "stats": [str(name) for name in stats],
        "seed": int(fit.seed),
    }
    return body, arrays


def build(body: Body, arrays: Arrays, schema: CellSchema, info: FitInfo) -> HierarchicalFit:
    """Make a fit of what a file holds.

    Raises
    ------
    SavedFitError
        If the parts contradict each other.
    """
    model = _model(cast(Body, body["model"]))
    check_formula(model.formula, schema)
    terms = _terms(body, arrays, schema)
    groups = _groups(body, arrays, schema, model, terms.numbers)
    months = _months(cast("list[int]", body["months"]), schema, model)
    time_scale = float(cast(float, body["time_scale"]))
    _check(np.isfinite(time_scale) and time_scale > 0, "time scale is no length of time")
    structure = assemble_structure(model, schema, terms, groups, months, time_scale)
    variables = _variables(body, arrays, structure)
    n_chains, n_draws = variables[next(iter(variables))][1].shape[:2]
    _check(info.n_draws == n_chains * n_draws, "draws are not as many as it says")
    stats = {str(name): arrays[f"s{k}"] for k, name in enumerate(cast("list[str]", body["stats"]))}
    _check(
        all(values.shape == (n_chains, n_draws) for values in stats.values()), "statistics are not those of its draws"
    )
    seed = int(cast(int, body["seed"]))
    return HierarchicalFit(
        model=model,
        schema=schema,
        posterior=sampling.posterior_tree(variables, structure.coords(), stats),
        info=info,
        structure=structure,
        priors=_priors(cast("list[Body]", body["priors"])),
        counts=_counts(arrays, structure, model),
        seed=seed,
    )


def _check(good: object, what: str) -> None:
    if not good:
        raise SavedFitError(f"the saved fit's {what}.")


def _priors_to_json(priors: Mapping[str, Prior]) -> list[Json]:
    """Priors in their order, which an object of a manifest does not keep."""
    return [{"parameter": name, **prior.to_json()} for name, prior in priors.items()]


def _priors(entries: Sequence[Body]) -> dict[str, Prior]:
    found = {}
    for entry in entries:
        settings = dict(entry)
        name = str(settings.pop("parameter"))
        found[name] = prior_from_json(settings)
    return found


def _model_to_json(model: HierarchicalModel) -> dict[str, Json]:
    settings = {one.name: getattr(model, one.name) for one in fields(model)}
    own: dict[str, Json] = {
        "groups": [[name, slope] for name, slope in model.slopes.items()],
        "shape_groups": list(model.shape_groups),
        "priors": _priors_to_json(model.priors),
    }
    return settings | own


def _model(body: Body) -> HierarchicalModel:
    settings: dict[str, Any] = dict(body)
    settings["groups"] = {str(name): str(slope) for name, slope in settings["groups"]}
    settings["shape_groups"] = tuple(str(name) for name in settings["shape_groups"])
    settings["priors"] = _priors(settings["priors"])
    return HierarchicalModel(str(settings.pop("formula")), **settings)


def _terms(body: Body, arrays: Arrays, schema: CellSchema) -> Terms:
    numbers = tuple(int(k) for k in cast("list[int]", body["numbers"]))
    known = all(0 <= k < len(schema.columns) and schema.columns[k].edges is not None for k in numbers)
    _check(known and len(set(numbers)) == len(numbers), "numbers are no columns of numbers")
    effects = Effects.from_json(cast(Body, body["effects"]), schema, numbers)
    centre, scale = arrays["term_centre"].astype(np.float64), arrays["term_scale"].astype(np.float64)
    n = (len(effects.terms),)
    good = centre.shape == n and scale.shape == n and np.all(np.isfinite(centre)) and np.all(np.isfinite(scale))
    _check(good and np.all(scale > 0), "terms have no units")
    return Terms(effects, numbers, centre, scale)


def _groups(
    body: Body, arrays: Arrays, schema: CellSchema, model: HierarchicalModel, numbers: tuple[int, ...]
) -> dict[str, Grouping]:
    found = {}
    for k, entry in enumerate(cast("list[Body]", body["groups"])):
        group = Grouping.from_json(entry, arrays[f"level_codes{k}"], schema, numbers)
        found[group.name] = group
    slopes = {name: model.slopes.get(name, "1") for name in (*model.slopes, *model.shape_groups)}
    _check(list(found) == list(slopes), "groups are not those of its model")
    for name, group in found.items():
        same = group.columns == columns_of(name, schema) and bool(group.slopes.terms) == _varies(
            group, slopes[name], schema
        )
        _check(same, "groups are not those of its model")
    return found


def _varies(group: Grouping, slope: str, schema: CellSchema) -> bool:
    """Whether a slope has terms: a column that enters as levels and is always the same makes none."""
    known = group.slopes.known
    positions = [[column.name for column in schema.columns].index(name) for name in check_formula(slope, schema)]
    return any(len(known.get(k, (0, 1))) > 1 for k in positions)


def _months(months: Sequence[int], schema: CellSchema, model: HierarchicalModel) -> tuple[int, ...]:
    _check(len(months) == 2 * model.calendar, "months are not those of its model")
    if not months:
        return ()
    _check(schema.calendar is not None, "months are not those of its schema")
    known = months_of(schema.columns[-1].labels)
    first, last = (int(month) for month in months)
    _check(known.min() <= first <= last <= known.max(), "months are not those of its schema")
    return first, last


def _variables(body: Body, arrays: Arrays, structure: Structure) -> Named:
    needed, coords = structure.variables(), structure.coords()
    stored = {str(name): arrays[f"p{k}"] for k, name in enumerate(cast("list[str]", body["variables"]))}
    _check(set(stored) == set(needed), "variables are not those of its model")
    found = {name: (dims, _draws(stored[name], [len(coords[d]) for d in dims])) for name, dims in needed.items()}
    _check(len({values.shape[:2] for _, values in found.values()}) == 1, "variables have different numbers of draws")
    for name, (_, values) in found.items():
        if name.endswith("_sd"):
            _check(np.all(values >= 0), "standard deviations are below 0")
        if name.endswith("_correlation"):
            _check(np.all(np.abs(values) <= 1.0 + _CLOSE), "correlations are beyond 1")
    if "log_baseline" in found:
        level = found["intercept"][1][..., None] + found["walk"][1]
        same = np.allclose(found["log_baseline"][1], level, rtol=_CLOSE, atol=_CLOSE)
        _check(same, "baseline is not its intercept and its walk")
    return found


def _draws(values: np.ndarray, shape: Sequence[int]) -> FloatArray:
    good = values.ndim >= 2 and values.size > 0 and values.shape[2:] == tuple(shape)
    _check(good and values.dtype == np.float64, "draws do not have the shape they should have")
    _check(np.all(np.isfinite(values)), "draws are not finite")
    return values


def _counts(arrays: Arrays, structure: Structure, model: HierarchicalModel) -> Counts:
    at_stop, terms, exposure = (arrays[name] for name in _TOTALS)
    n_terms = (len(structure.terms),)
    _check(at_stop.ndim == 1 and terms.shape == exposure.shape == n_terms, "totals are not those of its terms")
    by_level: list[dict[str, FloatArray]] = []
    for total in _LEVEL_TOTALS:
        found = {name: arrays[f"{total}{k}"].astype(np.float64) for k, name in enumerate(model.slopes)}
        same = all(values.shape == (structure.groups[name].n_levels,) for name, values in found.items())
        _check(same, "totals are not those of its groups")
        by_level.append(found)
    return Counts(at_stop.astype(np.int64), terms.astype(np.float64), exposure.astype(np.float64), *by_level)
