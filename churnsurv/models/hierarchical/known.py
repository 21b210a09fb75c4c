"""What a fit knows of rows: which groups and levels it has met before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from churnsurv._typing import BoolArray, FloatArray, IntArray, StrArray
from churnsurv.errors import UnseenLevelError
from churnsurv.tables.schema import UNSEEN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from churnsurv.models.base import PatternRows
    from churnsurv.models.hierarchical.problem import Structure


def new_group(structure: Structure, codes: IntArray) -> BoolArray:
    """Rows with a group level that had no exposure, shape (n,)."""
    new = np.zeros(len(codes), bool)
    for group in structure.groups.values():
        new |= group.positions(codes) == UNSEEN
    return new


def new_group_name(structure: Structure, codes: IntArray, levels: Sequence[StrArray]) -> StrArray:
    """Level that makes the group of each row new, of several columns together; empty for a known group."""
    names = np.full(len(codes), "", dtype=object)
    for group in structure.groups.values():
        own = sum((levels[k] + "\n" for k in group.columns[1:]), levels[group.columns[0]] + "\n")
        names = names + np.where(group.positions(codes) == UNSEEN, own, "")
    return names


def refuse_unseen(structure: Structure, rows: PatternRows, unseen: BoolArray) -> None:
    """Raise where a row has a level of a fixed effect that had no exposure, or lacks a number.

    Parameters
    ----------
    structure : Structure
        Of the fit.
    rows : OpenSpells or anything with a pattern
        n rows.
    unseen : array of bool, shape (n,)
        Which of them have no prediction.

    Raises
    ------
    UnseenLevelError
        With the first five rows, and the columns that are at fault.
    """
    bad = np.flatnonzero(unseen)
    if not len(bad):
        return
    names = [column.name for column in rows.schema.columns]
    faults = {
        names[k]: bad[~np.isin(rows.codes[bad, k], levels)] for k, levels in structure.terms.effects.known.items()
    }
    faults |= {names[k]: bad[~np.isfinite(_numbers(rows, k)[bad])] for k in structure.terms.numbers}
    at_fault = [name for name, where in faults.items() if len(where)]
    raise UnseenLevelError(
        f"{len(bad):,} of {len(rows.codes):,} rows have a level that the fit has never seen, or no number:"
        f" column{'s' * (len(at_fault) > 1)} {', '.join(map(repr, at_fault))}.",
        rows=[_shown(rows, int(i), [name for name in at_fault if i in faults[name]]) for i in bad[:5]],
        count=len(bad),
        total=len(rows.codes),
        column=at_fault[0],
        consequence="A fixed effect cannot be guessed.",
        hint=f"fit with groups=({at_fault[0]!r},), whose new levels are integrated out, or leave these rows out:"
        " rows.take(np.flatnonzero(~fit.unseen(rows)))",
    )


def _numbers(rows: PatternRows, k: int) -> FloatArray:
    values = getattr(rows, "values", None)
    return np.full(len(rows.codes), np.nan) if values is None or values[k] is None else values[k]


def _shown(rows: PatternRows, i: int, columns: Sequence[str]) -> dict[str, object]:
    """A row by its customer and the levels at fault."""
    customer, levels = getattr(rows, "customer_id", None), getattr(rows, "levels", None)
    found: dict[str, object] = {"row": i} if customer is None else {"customer_id": str(customer[i])}
    for k, column in enumerate(rows.schema.columns):
        if column.name in columns:
            code = int(rows.codes[i, k])
            known = column.labels[code] if code != UNSEEN else "a level not in the fit's data"
            found[column.name] = known if levels is None else str(levels[k][i])
    return found
