"""The output folder: the report, the tables beside it, and the fit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from churnsurv.errors import ArgumentError
from churnsurv.report.exports import write_csv, write_parquet
from churnsurv.report.html import report

if TYPE_CHECKING:
    from churnsurv.risk.checks import AsOfCheck
    from churnsurv.risk.table import RiskTable
    from churnsurv.tables.cells import CellTable


def write_outputs(
    folder: Path,
    risk: RiskTable,
    *,
    cells: CellTable | None = None,
    keep_fit: bool = False,
    check: AsOfCheck | None = None,
    check_note: str = "",
    title: str | None = None,
    notes: Sequence[str] = (),
) -> dict[str, Path]:
    """Write everything a run leaves behind; each file whole or not at all.

    Parameters
    ----------
    folder : Path
        Where to; made if need be. Files of an earlier run are replaced.
    risk : RiskTable
        The risk.
    cells : CellTable, optional
        What the model was fitted on. With them the cells and the fit are written too.
    keep_fit : bool
        Whether the fit was made here, also where it was made of rows and not of cells; an older fit lies elsewhere.
    check : AsOfCheck, optional
        For the report.
    check_note : str
        Why there is none.
    title : str, optional
        Title of the report.
    notes : sequence of str
        Warnings for the report.

    Returns
    -------
    dict of str to Path
        Files by name: ``report.html``, ``risk.csv``, ``risk.parquet``, and ``cells.parquet`` and ``fit``.

    Raises
    ------
    ArgumentError
        If the folder is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise ArgumentError(f"{str(folder)!r} is a file, not a folder.", hint="name another folder.")
    folder.mkdir(parents=True, exist_ok=True)
    frame = risk.frame()
    files = {"report.html": folder / "report.html"}
    report(
        risk.fit, risk, files["report.html"], cells=cells, check=check, check_note=check_note, title=title, notes=notes
    )
    files["risk.csv"] = write_csv(frame, folder / "risk.csv")
    files["risk.parquet"] = write_parquet(frame, folder / "risk.parquet")
    if cells is not None:
        files["cells.parquet"] = write_parquet(cells.frame(), folder / "cells.parquet")
    if keep_fit or cells is not None:
        risk.fit.save(folder / "fit")
        files["fit"] = folder / "fit"
    return files
