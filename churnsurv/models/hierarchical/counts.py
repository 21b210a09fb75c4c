"""What the training data held, as totals: by period, term and group level. No rows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from churnsurv._typing import FloatArray, IntArray
from churnsurv.models.base import FitInfo

if TYPE_CHECKING:
    from churnsurv.models.hierarchical.density import Natural
    from churnsurv.models.hierarchical.problem import Problem
    from churnsurv.tables.cells import CellTable


@dataclass(frozen=True, eq=False)
class Counts:
    """What the training data held, by period, term and group level: totals only, no rows.

    Parameters
    ----------
    at_stop : array of shape (n_periods,)
        Spells at risk at each period's end.
    term_events, term_exposure : array of shape (n_terms,)
        Where the term's column is not 0.
    level_events, level_exposure, level_expected : mapping of str to array
        By group; expected is what the posterior mean without the group's own effect foresees.
    """

    at_stop: IntArray
    term_events: FloatArray
    term_exposure: FloatArray
    level_events: Mapping[str, FloatArray]
    level_exposure: Mapping[str, FloatArray]
    level_expected: Mapping[str, FloatArray]


def counts_of(problem: Problem, at_stop: IntArray, mean: Natural) -> Counts:
    """Add up what was seen.

    Parameters
    ----------
    problem : Problem
        With its rows.
    at_stop : array of shape (n_periods,)
        Spells at risk at each period's end.
    mean : Natural
        Posterior mean of every parameter.
    """
    rows, structure, density = problem.totals, problem.structure, problem.density
    used = structure.terms.effects.matrix(rows.codes, rows.values) != 0
    expected = density.likelihood.expected(mean.fixed, mean.random, density.frailty_sd(mean.sd))
    events: dict[str, FloatArray] = {}
    exposure: dict[str, FloatArray] = {}
    foreseen: dict[str, FloatArray] = {}
    for piece, some in zip(structure.pieces, structure.layout.random_places, strict=True):
        if piece.name != f"{piece.group}_effect":
            continue
        group = structure.groups[piece.group]
        level = group.positions(rows.codes)
        value = structure.group_values(group.name, rows.codes, rows.values, standard=True)
        own = piece.values(mean.random[some])
        effect = own[level] if value is None else np.sum(own[level] * value, axis=1)
        events[group.name] = np.bincount(level, rows.events, group.n_levels)
        exposure[group.name] = np.bincount(level, rows.exposure, group.n_levels)
        foreseen[group.name] = np.bincount(level, expected * np.exp(-effect), group.n_levels)
    return Counts(at_stop, used.T @ rows.events, used.T @ rows.exposure, events, exposure, foreseen)


def table_info(cells: CellTable, *, independent: bool) -> FitInfo:
    """What a fit on cells has seen."""
    return FitInfo(
        status="ok",
        n_cells=cells.n_cells,
        n_spells=int(cells.n_spells.sum()),
        n_events=int(cells.n_events.sum()),
        exposure=float(cells.exposure.sum()),
        independent_gaps=independent,
        fingerprint=fingerprint(cells),
        cause=cells.cause or "",
    )


def fingerprint(cells: CellTable) -> str:
    """SHA-256 over every count of the cells, in their order."""
    digest = hashlib.sha256(repr(cells.schema.to_json()).encode())
    for name in ("codes", "period", "n_spells", "n_at_stop", "n_events", "exposure_days", "exposure_rest"):
        digest.update(np.ascontiguousarray(getattr(cells, name)).tobytes())
    return digest.hexdigest()
