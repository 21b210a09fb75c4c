"""Spells divided into groups and strata: labels sorted, none missing, never numbers by accident."""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan
from typing import Any

import numpy as np
import numpy.typing as npt

from churnsurv._typing import IntArray
from churnsurv._validate import plain_array, refuse, same_length
from churnsurv.errors import ArgumentError, DataTypeError, MissingValueError
from churnsurv.hazards.risk_sets import Spells

Label = str | int | float | bool


@dataclass(frozen=True, eq=False)
class GroupedSpells:
    """Checked spells of at least two groups.

    Parameters
    ----------
    spells : Spells
        All of them.
    groups : tuple of labels
        The groups, sorted.
    group, stratum : array of shape (n_spells,)
        Position of each spell's group among ``groups``, and of its stratum.
    n_strata : int
        Number of strata; 1 without.
    """

    spells: Spells
    groups: tuple[Label, ...]
    group: IntArray
    stratum: IntArray
    n_strata: int

    def part(self, position: int) -> Spells:
        """Spells of one group, by its position."""
        rows, whole = self.group == position, self.spells
        entry = None if whole.entry is None else whole.entry[rows]
        return Spells(entry=entry, exit=whole.exit[rows], event=whole.event[rows], weight=whole.weight[rows])


def label_codes(labels: object, name: str) -> tuple[tuple[Label, ...], IntArray]:
    """Distinct labels in sorted order, and the position of each row's label among them.

    Parameters
    ----------
    labels : array-like of shape (n_spells,)
        Text, whole numbers, truth values or numbers; all of one type.
    name : str
        How errors call them.

    Returns
    -------
    tuple of labels, array of shape (n_spells,)
        Plain Python values, and codes 0, 1, …

    Raises
    ------
    MissingValueError
        If some are missing.
    DataTypeError
        If they are of several types, or of one that has no order.
    ArgumentError
        If there is more than one axis.

    Examples
    --------
    >>> label_codes(["b", "a", "b"], "group")
    (('a', 'b'), array([1, 0, 1]))
    """
    # A list goes in as objects: NumPy would turn ["a", nan] into "a" and "nan", and [1, "1"] into one label.
    raw = plain_array(labels if hasattr(labels, "__array__") else np.array(labels, dtype=object), name)
    if raw.ndim != 1:
        raise ArgumentError(
            f"`{name}` has {raw.ndim} axes (shape {raw.shape}); it needs 1.",
            column=name,
            hint=f"pass {name} with one label per spell.",
        )
    if raw.dtype.kind == "O":
        _refuse_mixed(raw, name)
    elif raw.dtype.kind not in "USbiuf":
        raise DataTypeError(
            f"`{name}` has type {raw.dtype}; labels are text or numbers.",
            column=name,
            hint=f"write {name} = {name}.astype(str).",
        )
    elif raw.dtype.kind == "f":
        refuse(MissingValueError, np.isnan(raw), "are NaN.", columns={name: raw}, hint=_missing_hint(name))
    distinct, codes = np.unique(raw, return_inverse=True)
    return tuple(distinct.tolist()), codes.astype(np.int64)


def group_spells(spells: Spells, group: object, strata: object = None) -> GroupedSpells:
    """Divide checked spells by their labels.

    Parameters
    ----------
    spells : Spells
        Checked input.
    group : array-like of shape (n_spells,)
        Label of each spell's group.
    strata : array-like of shape (n_spells,), optional
        Label of each spell's stratum.

    Returns
    -------
    GroupedSpells
        What comparisons compute with.

    Raises
    ------
    ArgumentError
        If there is one group only, or not one label per spell.
    MissingValueError, DataTypeError
        As :func:`label_codes`.
    """
    groups, codes = label_codes(group, "group")
    same_length({"exit": spells.exit, "group": codes})
    names, stratum = ((None,), np.zeros_like(codes)) if strata is None else label_codes(strata, "strata")
    same_length({"exit": spells.exit, "strata": stratum})
    if len(groups) < 2:
        raise ArgumentError(
            f"`group` holds one label only, {groups[0]!r}.",
            column="group",
            hint="a comparison needs at least two groups; kaplan_meier estimates one.",
        )
    return GroupedSpells(spells, groups, codes, stratum, len(names))


def _missing_hint(name: str) -> str:
    return f'leave those rows out, or give them a label of their own: {name} = {name}.fillna("unknown").'


def _refuse_mixed(raw: npt.NDArray[Any], name: str) -> None:
    missing = [
        value is None or type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, float) and isnan(value))
        for value in raw
    ]
    refuse(MissingValueError, np.array(missing, bool), "are missing.", columns={name: raw}, hint=_missing_hint(name))
    kinds = sorted({type(value).__name__ for value in raw})
    if len(kinds) > 1 or (len(raw) and not isinstance(raw[0], (str, bool, int, float, np.number, np.bool_))):
        raise DataTypeError(
            f"`{name}` holds labels of the types {', '.join(kinds)}.",
            column=name,
            consequence="1 and '1' would be two groups, or one, depending on who looks.",
            hint=f"write {name} = {name}.astype(str).",
        )
