"""Group columns bound to the rows a model learns from: their levels, and what varies by level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from churnsurv._typing import FloatArray, IntArray, Json
from churnsurv.errors import FormulaError, SavedFitError
from churnsurv.models.formula import Effects, expand, reference_first
from churnsurv.models.grammar import check_formula
from churnsurv.tables.schema import UNSEEN, CellSchema

RESERVED = frozenset(
    {"chain", "draw", "period", "term", "customer", "time", "walk", "month", "season", "frailty", "cure", "intercept"}
)
"""Names that the posterior uses itself."""


@dataclass(frozen=True, eq=False)
class Grouping:
    """One group: a column, or several together (``region:shop``), and the effects that vary by its levels.

    Parameters
    ----------
    name : str
        As written.
    columns : tuple of int
        Columns of the schema.
    codes : array of shape (n_levels, n_columns)
        Codes of each level that had exposure, in lexical order.
    labels : tuple of str
        Names of the levels.
    slopes : Effects
        Terms whose effects vary by level beside the intercept; none for an intercept alone.

    Examples
    --------
    >>> one = Grouping("country", (1,), np.array([[0], [2]]), ("DE", "UK"), Effects((), {}, {}))
    >>> one.positions(np.array([[9, 2], [9, 1]]))
    array([ 1, -1])
    """

    name: str
    columns: tuple[int, ...]
    codes: IntArray
    labels: tuple[str, ...]
    slopes: Effects

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the effects of each level."""
        return ("1", *(term.label for term in self.slopes.terms))

    @property
    def n_levels(self) -> int:
        """Number of levels."""
        return len(self.codes)

    def positions(self, codes: IntArray) -> IntArray:
        """Level of each row, ``UNSEEN`` where it had no exposure."""
        own = codes[:, list(self.columns)]
        sizes = np.maximum(self.codes.max(axis=0), own.max(axis=0, initial=0)) + 2
        keys = np.ravel_multi_index(tuple(np.asarray(self.codes).T + 1), tuple(sizes))
        wanted = np.ravel_multi_index(tuple(own.T + 1), tuple(sizes))
        where = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return np.where(keys[where] == wanted, where, UNSEEN).astype(np.int64)

    def values(self, codes: IntArray, numbers: Sequence[FloatArray | None] = ()) -> FloatArray | None:
        """What a level's effects are multiplied with on each row, shape (n, n_terms); ``None`` for an intercept alone."""
        if not self.slopes.terms:
            return None
        return np.column_stack([np.ones(len(codes)), self.slopes.matrix(codes, numbers)])

    def to_json(self) -> dict[str, Json]:
        """Return the group as a manifest holds it, but for its codes."""
        return {"name": self.name, "columns": list(self.columns), "slopes": self.slopes.to_json()}

    @classmethod
    def from_json(
        cls, data: Mapping[str, Json], codes: IntArray, schema: CellSchema, numbers: Sequence[int] = ()
    ) -> Grouping:
        """Read the group back, and check that the schema has what it points at.

        Raises
        ------
        SavedFitError
            If it does not.
        """
        columns = tuple(int(k) for k in cast(list[int], data["columns"]))
        known = [len(column.labels) for column in schema.columns]
        good = codes.ndim == 2 and len(codes) > 0 and codes.shape[1] == len(columns)
        good = good and all(0 <= k < len(known) for k in columns)
        if not good or np.any(codes < 0) or np.any(codes >= np.array([known[k] for k in columns])):
            raise SavedFitError("the saved fit's group levels are not those of its schema.")
        codes = codes.astype(np.int64)
        order = np.lexsort(codes.T[::-1])
        if np.any(order != np.arange(len(codes))) or len(np.unique(codes, axis=0)) != len(codes):
            raise SavedFitError("the saved fit's group levels are not in order.")
        slopes = Effects.from_json(cast(Mapping[str, Json], data["slopes"]), schema, numbers)
        return cls(str(data["name"]), columns, codes, level_names(schema, columns, codes), slopes)


def level_names(schema: CellSchema, columns: Sequence[int], codes: IntArray) -> tuple[str, ...]:
    """Names of levels: the labels of their columns, joined by a colon."""
    return tuple(":".join(schema.columns[k].labels[c] for k, c in zip(columns, row, strict=True)) for row in codes)


def columns_of(name: str, schema: CellSchema, *, table: str = "cells") -> tuple[int, ...]:
    """Columns that a group is made of; ``table`` is what a refusal calls them columns of.

    Raises
    ------
    FormulaError
        If one of them is not there.
    """
    names = [column.name for column in schema.columns]
    parts = [name] if name in names else [part.strip() for part in name.split(":")]
    unknown = [part for part in parts if part not in names]
    if unknown:
        raise FormulaError(
            f"groups: {len(unknown)} of {len(parts)} names are no column of the {table}: {', '.join(unknown)}.",
            hint=f"columns are: {', '.join(names) or 'none'}.",
        )
    return tuple(names.index(part) for part in parts)


def bind_group(
    name: str, slope: str, schema: CellSchema, codes: IntArray, exposure: FloatArray, effects: Effects, formula: str
) -> Grouping:
    """Bind a group to rows.

    Parameters
    ----------
    name : str
        Column, or columns joined by a colon.
    slope : str
        What varies by level: ``"1"``, ``"1 + recency"``.
    schema : CellSchema
        Columns.
    codes : array of shape (n, n_columns)
        Rows.
    exposure : array of shape (n,)
        Days at risk; levels without any are not known.
    effects : Effects
        Terms of the formula, with references.
    formula : str
        The formula they came from.

    Raises
    ------
    FormulaError
        If a slope's column is not in the formula: its average would be taken for none.
    """
    columns = columns_of(name, schema)
    seen = np.unique(codes[exposure > 0][:, list(columns)], axis=0)
    wanted, known = check_formula(slope, schema), check_formula(formula, schema)
    missing = [column for column in wanted if column not in known]
    if missing:
        raise FormulaError(
            f"groups={{{name!r}: {slope!r}}}: {', '.join(missing)} varies by {name} and is not in the formula.",
            consequence="Its average effect would be taken for none.",
            hint=f'HierarchicalModel("{formula} + {" + ".join(missing)}", groups={{{name!r}: {slope!r}}})',
        )
    labels = {column.name: k for k, column in enumerate(schema.columns)}
    used = [labels[column] for column in wanted]
    levels = {k: reference_first(effects.known[k], effects.references[k]) for k in used if k in effects.known}
    numbers = [k for k in used if k not in effects.known]
    slopes = Effects(
        expand(slope, schema, levels, numbers),
        {k: effects.references[k] for k in levels},
        {k: effects.known[k] for k in levels},
    )
    return Grouping(name, columns, seen.astype(np.int64), level_names(schema, columns, seen), slopes)
