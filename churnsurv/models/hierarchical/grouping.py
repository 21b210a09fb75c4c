"""Group columns bound to the rows a model learns from: their levels, and what varies by level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from churnsurv._typing import FloatArray, IntArray, Json
from churnsurv.errors import FormulaError, SavedFitError
from churnsurv.models.formula import NUMBER, Effects, expand, reference_first
from churnsurv.models.grammar import check_formula, nearest, quoted, tokens
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
        near = [nearest(part, names) or part for part in parts]
        meant = f"groups=({':'.join(near)!r},); " if set(near) <= set(names) else ""
        raise FormulaError(
            f"groups: {len(unknown)} of {len(parts)} names are no column of the {table}: {', '.join(unknown)}.",
            hint=f"{meant}columns are: {', '.join(names) or 'none'}.",
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
        If a slope's term is not in the formula: its average would be taken for none.
    """
    columns = columns_of(name, schema)
    seen = np.unique(codes[exposure > 0][:, list(columns)], axis=0)
    wanted = check_formula(slope, schema)
    if wanted:
        _check_terms(name, slope, formula, schema, effects)
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


def _check_terms(name: str, slope: str, formula: str, schema: CellSchema, effects: Effects) -> None:
    """Refuse what varies by level and is no term of the formula: compared as columns of the design, by their labels."""
    in_formula, terms = _labels(formula, schema, effects), _labels(slope, schema, effects)
    missing = [label for label in terms if label not in in_formula]
    if not missing:
        return
    names = check_formula(formula, schema)
    new = [column for column in check_formula(slope, schema) if column not in names]
    named = new or missing
    told = f"{', '.join(named[:5])} {'varies' if len(named) == 1 else 'vary'} by {name}"
    both = _hinted(slope, formula, schema, effects)
    raise FormulaError(
        f"groups={{{name!r}: {slope!r}}}: {told} and {'is' if len(named) == 1 else 'are'} not in the formula,"
        f" {len(missing)} of {len(terms)} terms.",
        consequence="Their average effect would be taken for none.",
        hint=f"HierarchicalModel({both[0]!r}, groups={{{name!r}: {both[1]!r}}})",
    )


def _labels(formula: str, schema: CellSchema, effects: Effects) -> tuple[str, ...]:
    """Columns of a design that a formula makes; a column the effects do not know is taken to enter as levels."""
    levels, numbers, used = {}, [], {k for term in effects.terms for k, level in term.factors if level == NUMBER}
    for k, column in enumerate(schema.columns):
        known = effects.known.get(k, tuple(range(len(column.labels))))
        if k in used:
            numbers.append(k)
        else:
            levels[k] = reference_first(known, effects.references.get(k, known[0] if known else 0))
    return tuple(term.label for term in expand(formula, schema, levels, numbers))


def _hinted(slope: str, formula: str, schema: CellSchema, effects: Effects) -> tuple[str, str]:
    """A formula and a slope near to what was written, such that every term of the slope is in the formula."""
    starred = _written(slope, star=True)
    longer = starred.removeprefix("1 + ") if formula.strip() in ("", "1") else None
    added = [
        longer or f"{formula.strip()} + {_written(slope, star=star).removeprefix('1 + ')}" for star in (False, True)
    ]
    found = [(formula.strip(), starred), (added[0], slope), (added[1], starred)]
    for one in found:
        if set(_labels(one[1], schema, effects)) <= set(_labels(one[0], schema, effects)):
            return one
    return found[-1]


def _written(formula: str, *, star: bool) -> str:
    """A formula with its names in backticks where they must be; with ``*`` in place of ``:`` where it is asked for."""
    parts = []
    for kind, text in tokens(formula):
        mark = "*" if star and kind == ":" else text
        parts.append(quoted(text) if kind == "name" else mark)
    return " ".join(parts)
