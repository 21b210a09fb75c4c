"""Faults in the data, by name: found, counted, shown with rows, never silently repaired."""

from __future__ import annotations

from dataclasses import dataclass

from churnsurv._typing import Row


@dataclass(frozen=True)
class Fault:
    """One kind of fault and what was done about it.

    Parameters
    ----------
    name : str
        For example ``"missing customer"``.
    count, total : int
        How many rows, out of how many.
    action : str
        What was done: kept, or left out because the user said so.
    rows : tuple of mapping
        Up to five offending rows.
    """

    name: str
    count: int
    total: int
    action: str
    rows: tuple[Row, ...] = ()

    def __str__(self) -> str:
        """One line for a person."""
        return f"{self.name}: {self.count:,} of {self.total:,} rows, {self.action}"
