"""What a fit was made on, counted anew where the tables are not at hand."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from churnsurv.plots.counted import episodes_of, learns_from_cells, periods_of
from churnsurv.tables.cells import CellTable, Unallocated
from churnsurv.tables.episodes import Episodes
from churnsurv.tables.window import DAY_US

if TYPE_CHECKING:
    from churnsurv.risk.table import RiskTable


@dataclass(frozen=True, eq=False)
class Counted:
    """Time at risk of the log or the durations that the risk was told from, as the fit takes it.

    Parameters
    ----------
    table : CellTable or Episodes
        What a fit of its kind is made on.
    rows : Episodes or None
        Rows with every cause, where the curves are made of them: on the tenure clock, and for models of rows.
    """

    table: CellTable | Episodes
    rows: Episodes | None

    @property
    def unallocated(self) -> tuple[Unallocated, ...]:
        """Time at risk that the fit cannot use, by reason."""
        return tuple(part for part in self.table.unallocated if part.exposure_us or part.n_spells)

    @property
    def used(self) -> float:
        """Days at risk that it can use, by weight where rows have one."""
        weight = getattr(self.table, "weight", None)
        return float(np.sum(self.table.exposure * (1.0 if weight is None else weight)))

    @property
    def left_out(self) -> float:
        """Days at risk that it cannot use."""
        return sum(part.exposure_us for part in self.unallocated) / DAY_US

    @property
    def share_left_out(self) -> float:
        """Their share in all days at risk."""
        return self.left_out / (float(np.sum(self.table.exposure)) + self.left_out)


def counted_of(risk: RiskTable, cells: CellTable | None = None) -> Counted:
    """Count what the fit was made on, or what a newer log holds of the same kind.

    Parameters
    ----------
    risk : RiskTable
        The risk.
    cells : CellTable, optional
        Where they are at hand.

    Returns
    -------
    Counted
        Tables.
    """
    in_cells = cells is not None or learns_from_cells(risk.fit)
    rows = episodes_of(risk) if risk.spells.churn.on_tenure or not in_cells else None
    if not in_cells:
        assert rows is not None  # noqa: S101 - the line above
        return Counted(rows, rows)
    return Counted(cells_of(risk) if cells is None else cells, rows)


def cells_of(risk: RiskTable) -> CellTable:
    """Count the cells of the log that the risk was told from, with the edges of its fit.

    For the log that the fit learnt from these are the cells it was fitted on; for a newer one they say
    what the fit has not seen.

    Parameters
    ----------
    risk : RiskTable
        The risk.

    Returns
    -------
    CellTable
        Cells; levels of text are those of this log.
    """
    schema = risk.fit.schema
    edges = {column.name: column.edges for column in schema.covariates if column.edges is not None}
    return CellTable.from_periods(periods_of(risk), by=[column.name for column in schema.covariates], bins=edges)


def fitted_on(risk: RiskTable, counted: Counted) -> bool:
    """Tell whether the model learnt from this log, or from an earlier one.

    Parameters
    ----------
    risk : RiskTable
        The risk.
    counted : Counted
        Time at risk of the log that the risk was told from.

    Returns
    -------
    bool
        Whether the time at risk is that of the fit, with or without what the fit cannot use; also where the
        fit does not tell: it has followed customers from landmarks, which may lie elsewhere, or has learnt from whole
        periods, and the rest of its time at risk is not in its count (such fits are not saved, so none is from another day).
    """
    known = risk.fit.info.exposure
    if not known or risk.fit.schema.as_of == "landmark" or getattr(risk.fit, "whole_periods", False):
        return True
    totals = (counted.used, counted.used + counted.left_out)
    return any(math.isclose(known, total, rel_tol=1e-9) for total in totals)
