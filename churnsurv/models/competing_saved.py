"""What a file holds of competing fits: each fit as a file of its own would, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import numpy as np

from churnsurv._typing import Json
from churnsurv.errors import SavedFitError
from churnsurv.models.base import FitInfo
from churnsurv.models.competing import CompetingFits
from churnsurv.models.saved import build_fit, describe_fit, upgrade_fit
from churnsurv.tables.schema import CellSchema


def describe(fit: CompetingFits) -> tuple[dict[str, Json], dict[str, np.ndarray]]:
    """Return what a file holds of the fits: a body for the manifest, and arrays named after the cause's number."""
    parts: list[Json] = []
    arrays: dict[str, np.ndarray] = {}
    for k, (cause, one) in enumerate(fit.fits.items()):
        part, own = describe_fit(one)
        parts.append({"cause": cause, **part})
        arrays |= {f"c{k}.{name}": values for name, values in own.items()}
    return {"causes": parts}, arrays


def build(
    body: Mapping[str, Json], arrays: Mapping[str, np.ndarray], schema: CellSchema, info: FitInfo
) -> CompetingFits:
    """Make the fits of what a file holds.

    Raises
    ------
    SavedFitError
        If a part is itself made of parts, or the whole is not what its parts make.
    """
    parts = cast(list[Mapping[str, Json]], body["causes"])
    if any(part["kind"] == "competing" for part in parts):
        raise SavedFitError("a saved fit of one cause is itself made of several.")
    fits = CompetingFits({
        str(part["cause"]): build_fit(part, _own(arrays, f"c{k}.")) for k, part in enumerate(parts)
    })  # fmt: skip
    if len(fits.fits) != len(parts) or fits.schema != schema or fits.info.to_json() != info.to_json():
        raise SavedFitError("the saved fits are not those that the file says they are.")
    return fits


def upgrade(
    part: Mapping[str, Json], arrays: Mapping[str, np.ndarray], layout: int
) -> tuple[dict[str, Json], dict[str, np.ndarray]]:
    """Bring each fit of an older layout to the present one.

    Parameters
    ----------
    part : mapping
        The part of the manifest that is about the fits.
    arrays : mapping of str to array
        By member name.
    layout : int
        Layout of the file.

    Returns
    -------
    body, arrays : dict
        As :func:`describe` makes them.
    """
    body = cast(Mapping[str, Json], part["fit"])
    parts: list[Json] = []
    changed: dict[str, np.ndarray] = {}
    for k, one in enumerate(cast(list[Mapping[str, Json]], body["causes"])):
        if one["kind"] == "competing":
            raise SavedFitError("a saved fit of one cause is itself made of several.")
        new, own = upgrade_fit(one, _own(arrays, f"c{k}."), layout)
        parts.append(new)
        changed |= {f"c{k}.{name}": values for name, values in own.items()}
    return {**body, "causes": parts}, changed


def _own(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): values for name, values in arrays.items() if name.startswith(prefix)}
