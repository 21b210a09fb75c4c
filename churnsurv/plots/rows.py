"""Rows of a frame as plain dictionaries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def rows_of(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of a frame, each a dictionary by column name.

    Parameters
    ----------
    frame : DataFrame
        Any frame whose column names are text.

    Returns
    -------
    list of dict
        One per row, in order.
    """
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict(orient="records")]
