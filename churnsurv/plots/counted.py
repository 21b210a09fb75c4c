"""Rows of a log or of durations as a fit takes them: counted where the tables it was fitted on are not at hand."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from churnsurv.models.competing import CompetingFits
from churnsurv.tables.contracts import Cancellation
from churnsurv.tables.episodes import Episodes
from churnsurv.tables.periods import PeriodTable
from churnsurv.tables.spells import SpellTable

if TYPE_CHECKING:
    from churnsurv.models.base import SurvivalFit
    from churnsurv.risk.table import RiskTable


def fits_of(fit: SurvivalFit) -> dict[str | None, SurvivalFit]:
    """Each fit by its cause; one fit of one cause stands under ``None``.

    Parameters
    ----------
    fit : SurvivalFit
        One, or one of each cause.
    """
    if not isinstance(fit, CompetingFits):
        return {None: fit}
    found: dict[str | None, SurvivalFit] = {}
    found.update(fit.fits)
    return found


def learns_from_cells(fit: SurvivalFit) -> bool:
    """Whether all that the fit has seen are counts by cell, and not rows.

    Parameters
    ----------
    fit : SurvivalFit
        Any fit.
    """
    return all(getattr(one.model, "fits_on", "cells") == "cells" for one in fits_of(fit).values())


def periods_of(risk: RiskTable) -> PeriodTable:
    """Rows of the log that the risk was told from, with features and edges of its fit.

    Landmarks lie as far apart as each is followed, which is how they lie unless somebody asked for others.

    Parameters
    ----------
    risk : RiskTable
        The risk.
    """
    schema, spells = risk.fit.schema, _of_one_cause(risk.spells)
    settings: dict[str, Any] = {"breaks": schema.breaks, "features": schema.features}
    if schema.as_of == "landmark" and schema.reach is not None:
        return PeriodTable.from_landmarks(spells, horizon=schema.reach, **settings)
    return PeriodTable.from_spells(spells, as_of=schema.as_of, **settings)


def episodes_of(risk: RiskTable) -> Episodes:
    """Rows ``(start, stop]`` of the log that the risk was told from, every cause of it, with the edges of its fit.

    Parameters
    ----------
    risk : RiskTable
        The risk.
    """
    columns = risk.fit.schema.columns
    # Quarters of a number that enters as a number have nothing outside: what was never seen is no reason to leave a row out.
    binned = _binned(risk.fit)
    edges = {column.name: column.edges for column in columns if column.edges is not None and column.name in binned}
    return Episodes.from_periods(periods_of(risk), bins=edges)


def _binned(fit: SurvivalFit) -> set[str]:
    """Numbers that some fit uses by their bins."""
    names: set[str] = set()
    for one in fits_of(fit).values():
        structure = getattr(one, "structure", None)
        design = getattr(one, "design", None) if structure is None else structure.terms
        numbers = [] if design is None else [one.schema.columns[k].name for k in design.numbers]
        names |= {column.name for column in one.schema.columns if column.edges and column.name not in numbers}
    return names


def _of_one_cause(spells: SpellTable) -> SpellTable:
    """Spells that count one cause alone, as those of a definition that knows no other."""
    if spells.cause is None or not isinstance(spells.churn, Cancellation):
        return spells
    return replace(spells, churn=replace(spells.churn, kinds=(spells.cause,)), cause=None)
