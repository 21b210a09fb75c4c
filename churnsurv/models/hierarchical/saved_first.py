"""What a file of layout 1 held of a hierarchical fit, told as this version tells it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import numpy as np

from churnsurv._typing import Json
from churnsurv.models.formula import Effects


def upgrade(
    part: Mapping[str, Json], arrays: Mapping[str, np.ndarray], layout: int
) -> tuple[dict[str, Json], dict[str, np.ndarray]]:
    """Bring a fit of layout 1 to the present one: a piecewise baseline, terms, groups of one column with an intercept.

    Parameters
    ----------
    part : mapping
        The part of the manifest that is about the fit.
    arrays : mapping of str to array
        By member name.
    layout : int
        Layout of the file.

    Returns
    -------
    body, arrays : dict
        As :func:`churnsurv.models.hierarchical.saved.describe` makes them.
    """
    body = cast("Mapping[str, Json]", part["fit"])
    if layout > 1:
        return dict(body), dict(arrays)
    columns = cast("list[dict[str, Json]]", cast("Mapping[str, Json]", part["cells"])["columns"])
    groups = [str(name) for name in cast("list[str]", body["groups"])]
    names = [str(column["name"]) for column in columns]
    variables, changed = _variables(body, arrays)
    for k in range(len(groups)):
        changed[f"level_codes{k}"] = changed.pop(f"levels{k}").reshape(-1, 1)
    n_terms = len(arrays["term_events"])
    changed |= {"term_centre": np.zeros(n_terms), "term_scale": np.ones(n_terms)}
    alone = Effects((), {}, {}).to_json()
    new: dict[str, Json] = {
        "model": _model(body, groups),
        "priors": _listed(body["priors"]),
        "groups": [{"name": name, "columns": [names.index(name)], "slopes": alone} for name in groups],
        "numbers": [],
        "months": [],
        "time_scale": 1.0,
        "variables": [str(name) for name in variables],
    }
    return new | {name: body[name] for name in ("effects", "stats", "seed")}, changed


def _variables(
    body: Mapping[str, Json], arrays: Mapping[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Draws by name, and all arrays; the baseline of one period is its intercept, and was stored twice."""
    entries = cast("list[dict[str, Json]]", body["variables"])
    draws = {str(entry["name"]): arrays[f"p{k}"] for k, entry in enumerate(entries)}
    if "walk" not in draws:
        draws.pop("log_baseline", None)
    others = {name: array for name, array in arrays.items() if name not in {f"p{k}" for k in range(len(entries))}}
    return draws, others | {f"p{k}": array for k, array in enumerate(draws.values())}


def _model(body: Mapping[str, Json], groups: list[str]) -> dict[str, Json]:
    return {
        "formula": body["formula"],
        "groups": [[name, "1"] for name in groups],
        "shape_groups": [],
        "priors": _listed(body["overrides"]),
        "on_bad": body["on_bad"],
    }


def _listed(priors: Json) -> list[Json]:
    return [{"parameter": name, **prior} for name, prior in cast("Mapping[str, dict[str, Json]]", priors).items()]
