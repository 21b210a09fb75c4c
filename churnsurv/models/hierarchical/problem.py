"""Cells bound to a model: what is sampled, and how its parameters are called."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from churnsurv._typing import FloatArray, IntArray
from churnsurv.errors import ConservationError, ModelSupportError
from churnsurv.models.base import FitInfo
from churnsurv.models.formula import Effects, bind_formula, group_levels, positions_of
from churnsurv.models.hierarchical.density import Centring, Design, LogPosterior, Natural
from churnsurv.models.hierarchical.priors import Prior

if TYPE_CHECKING:
    from churnsurv.models.hierarchical.model import HierarchicalModel
    from churnsurv.tables.cells import CellTable

_LARGEST = 2000
"""Parameters beyond which the dense metric is refused: its matrix is stored, and multiplied at every step."""


@dataclass(frozen=True, eq=False)
class Problem:
    """A density with names.

    Parameters
    ----------
    density : LogPosterior
        What is sampled.
    effects : Effects
        Terms of the formula.
    groups : mapping of str to tuple of str
        Level names with exposure, of each group column.
    levels : tuple of array
        Their codes, one array per group column.
    priors : mapping of str to Prior
        All of them, by parameter.
    """

    density: LogPosterior
    effects: Effects
    groups: Mapping[str, tuple[str, ...]]
    levels: tuple[IntArray, ...]
    priors: Mapping[str, Prior]

    @property
    def sd_names(self) -> tuple[str, ...]:
        """Names of the standard deviations, in the order of the density."""
        walk = ("walk_sd",) if self.density.design.n_periods > 1 else ()
        return (*walk, *(f"{group}_effect_sd" for group in self.groups))

    def coords(self) -> dict[str, np.ndarray]:
        """Labels of every dim."""
        labels = {"period": np.arange(self.density.design.n_periods)}
        if self.effects.terms:
            labels["term"] = np.array([term.label for term in self.effects.terms])
        return labels | {group: np.array(names) for group, names in self.groups.items()}

    def named(self, natural: Natural) -> tuple[dict[str, tuple[tuple[str, ...], np.ndarray]], dict[str, np.ndarray]]:
        """Give parameters their names and dims.

        Parameters
        ----------
        natural : Natural
            With leading axes ``(chain, draw)``.

        Returns
        -------
        variables : dict of str to (dims, array)
            ``intercept``, ``walk``, ``log_baseline``, ``coef``, ``walk_sd``, and per group column
            ``{group}_effect`` and ``{group}_effect_sd``.
        coords : dict of str to array
            Labels of each dim.
        """
        design = self.density.design
        steps = design.n_periods - 1
        intercept = natural.fixed[..., 0]
        walk = natural.random[..., :steps] @ design.walk_basis().T
        found: dict[str, tuple[tuple[str, ...], np.ndarray]] = {"intercept": ((), intercept)}
        if steps:
            found["walk"] = (("period",), walk)
        found["log_baseline"] = (("period",), intercept[..., None] + walk)
        if self.effects.terms:
            found["coef"] = (("term",), natural.fixed[..., 1:])
        at = steps
        for group, names in self.groups.items():
            found[f"{group}_effect"] = ((group,), natural.random[..., at : at + len(names)])
            at += len(names)
        found |= {name: ((), natural.sd[..., k]) for k, name in enumerate(self.sd_names)}
        return found, self.coords()


def log_spacing(breaks: tuple[float, ...]) -> FloatArray:
    """Distance between the middles of neighbouring periods on the log-time axis.

    The hazard of a return changes fast in the first days and slowly after months; on this axis periods of
    unequal width are compared as what they are.

    Examples
    --------
    >>> log_spacing((0.0, 2.0, 4.0, 8.0)).round(3)
    array([1.099, 0.693])
    """
    edges = np.asarray(breaks)
    return np.diff(np.log(0.5 * (edges[1:] + edges[:-1])))


def build_problem(model: HierarchicalModel, cells: CellTable, priors: Mapping[str, Prior]) -> Problem:
    """Bind a model to cells: patterns that it can tell apart, by period.

    Raises
    ------
    FormulaError
        If terms cannot be told apart.
    ModelSupportError
        If there are too many parameters for a dense metric.
    ConservationError
        If a cell has events and no time at risk.
    """
    exposure, events = cells.exposure, cells.n_events[:, 0].astype(np.float64)
    if np.any(events[exposure <= 0] > 0):
        raise ConservationError("a cell has events but no time at risk.", hint="please report this, with the cells.")
    effects = bind_formula(model.formula, cells.schema, cells.codes, exposure, drop=model.on_bad == "drop")
    levels = group_levels(cells.schema, model.groups, cells.codes, exposure)
    _check_size(len(effects.terms) + sum(len(some) for some in levels) + cells.schema.n_periods)
    names = [column.name for column in cells.schema.columns]
    columns = [names.index(group) for group in model.groups]
    groups = {
        group: tuple(cells.schema.columns[k].labels[code] for code in codes)
        for group, k, codes in zip(model.groups, columns, levels, strict=True)
    }
    design = _design(cells, exposure, events, effects, columns, levels)
    sd_names = [name for name, prior in priors.items() if prior.positive]
    density = LogPosterior(
        design,
        Centring.plain(design),
        priors["intercept"],
        priors["coef"] if effects.terms else None,
        tuple(priors[name] for name in sd_names),
    )
    return Problem(density, effects, groups, tuple(levels), priors)


def _check_size(n_parameters: int) -> None:
    if n_parameters > _LARGEST:
        raise ModelSupportError(
            f"the model would have {n_parameters:,} parameters; at most {_LARGEST:,} are supported.",
            consequence=f"Its dense metric alone would take {8 * n_parameters**2 / 2**30:,.1f} GiB and every step as many "
            "multiplications.",
            hint="join rare levels, or use fewer groups.",
        )


def _design(
    cells: CellTable,
    exposure: FloatArray,
    events: FloatArray,
    effects: Effects,
    columns: list[int],
    levels: list[IntArray],
) -> Design:
    """Add up the cells that the model cannot tell apart."""
    some = exposure > 0
    used = sorted({k for term in effects.terms for k, _ in term.factors} | set(columns))
    codes = np.zeros_like(cells.codes[some])
    codes[:, used] = cells.codes[some][:, used]
    patterns, where = np.unique(codes, axis=0, return_inverse=True) if used else (codes[:1], np.zeros(len(codes), int))
    shape = (len(patterns), cells.schema.n_periods)
    at = (where.ravel(), cells.period[some])
    totals = []
    for values in (events[some], exposure[some]):
        table = np.zeros(shape)
        np.add.at(table, at, values)
        totals.append(table)
    groups = tuple(positions_of(known, patterns[:, k]) for k, known in zip(columns, levels, strict=True))
    return Design(
        totals[0],
        totals[1],
        effects.matrix(patterns),
        groups,
        tuple(len(known) for known in levels),
        log_spacing(cells.schema.breaks),
    )


def table_info(cells: CellTable) -> FitInfo:
    """What a fit on cells has seen."""
    return FitInfo(
        status="ok",
        n_cells=cells.n_cells,
        n_spells=int(cells.n_spells.sum()),
        n_events=int(cells.n_events.sum()),
        exposure=float(cells.exposure.sum()),
        independent_gaps=True,
        fingerprint=fingerprint(cells),
        cause=cells.cause or "",
    )


def fingerprint(cells: CellTable) -> str:
    """SHA-256 over every count of the cells, in their order."""
    digest = hashlib.sha256(repr(cells.schema.to_json()).encode())
    for name in ("codes", "period", "n_spells", "n_at_stop", "n_events", "exposure_days", "exposure_rest"):
        digest.update(np.ascontiguousarray(getattr(cells, name)).tobytes())
    return digest.hexdigest()
