"""Which covariate patterns a log's gaps start with, counted anew where the cells are not at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from churnsurv.tables.cells import CellTable
from churnsurv.tables.periods import PeriodTable

if TYPE_CHECKING:
    from churnsurv.risk.table import RiskTable


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
    periods = PeriodTable.from_spells(risk.spells, breaks=schema.breaks, features=schema.features, as_of=schema.as_of)
    edges = {column.name: column.edges for column in schema.columns if column.edges is not None}
    return CellTable.from_periods(periods, by=[column.name for column in schema.columns], bins=edges)
