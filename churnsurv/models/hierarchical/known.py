"""What a fit knows of rows: which groups and levels it has met before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from churnsurv._typing import BoolArray, IntArray, StrArray
from churnsurv.errors import UnseenLevelError
from churnsurv.tables.schema import UNSEEN

if TYPE_CHECKING:
    from collections.abc import Sequence

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


def refuse_unseen(unseen: BoolArray, codes: IntArray) -> None:
    """Raise where a row has a level of a fixed effect that had no exposure.

    Raises
    ------
    UnseenLevelError
        With the first five rows.
    """
    bad = np.flatnonzero(unseen)
    if len(bad):
        raise UnseenLevelError(
            f"{len(bad):,} of {len(codes):,} rows have a level that the fit has never seen.",
            rows=[{"row": int(i), "codes": codes[i].tolist()} for i in bad[:5]],
            count=len(bad),
            total=len(codes),
            consequence="A fixed effect cannot be guessed.",
            hint="make the column a group, or leave these rows out.",
        )
