"""Effects by formula: the terms it expands into, and indicator columns.

formulaic evaluates Python found in a formula. It therefore never sees what a user wrote: the text is read by
:mod:`churnsurv.models.grammar`, and only operators and names of our own making are handed on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from churnsurv._typing import BoolArray, FloatArray, IntArray, Json
from churnsurv.errors import FormulaError, SavedFitError
from churnsurv.models.grammar import check_formula, tokens
from churnsurv.models.rank import Triangle, dependent_columns, explain, triangle
from churnsurv.tables.schema import UNSEEN, CellSchema

_FACTOR = re.compile(r"c(\d+)(?:\[(?:T\.)?L(\d+)\])?")

NUMBER = -2
"""In place of a level: the column enters as a number."""


@dataclass(frozen=True)
class Term:
    """One column of a design: the product of its factors.

    Parameters
    ----------
    label : str
        As a person reads it: ``plan[annual]``, ``revenue``, ``plan[annual]:revenue``.
    factors : tuple of (int, int)
        Column of the schema, and code of the level (the factor is 1 where the row has it) or ``NUMBER``.
    """

    label: str
    factors: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Effects:
    """Fixed effects of a formula, bound to a schema.

    Parameters
    ----------
    terms : tuple of Term
        Columns without the intercept.
    references : mapping of int to int
        Reference level of each column used.
    known : mapping of int to tuple of int
        Levels with exposure, of each column used.
    left_out : tuple of str
        What was dropped because it cannot be told apart, in words.
    """

    terms: tuple[Term, ...]
    references: Mapping[int, int]
    known: Mapping[int, tuple[int, ...]]
    left_out: tuple[str, ...] = ()

    def matrix(self, codes: IntArray, values: Sequence[FloatArray | None] = ()) -> FloatArray:
        """Columns of the design, shape (n, n_terms): indicators of patterns, and numbers where there are any.

        Parameters
        ----------
        codes : array of shape (n, n_columns)
            Level of each column.
        values : sequence of (array of shape (n,) or None)
            Number of each column; needed where a term has the factor ``NUMBER``.
        """
        x = np.ones((len(codes), len(self.terms)))
        for at, term in enumerate(self.terms):
            for k, level in term.factors:
                x[:, at] *= cast(FloatArray, values[k]) if level == NUMBER else codes[:, k] == level
        return x

    def unseen(self, codes: IntArray) -> BoolArray:
        """Rows with a level that had no exposure."""
        bad = np.zeros(len(codes), bool)
        for k, levels in self.known.items():
            bad |= ~np.isin(codes[:, k], levels)
        return bad

    def to_json(self) -> dict[str, Json]:
        """Return the effects as a manifest holds them."""
        return {
            "terms": [{"label": term.label, "factors": [list(pair) for pair in term.factors]} for term in self.terms],
            "references": {str(k): level for k, level in self.references.items()},
            "known": {str(k): list(levels) for k, levels in self.known.items()},
            "left_out": list(self.left_out),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Json], schema: CellSchema, numbers: Sequence[int] = ()) -> Effects:
        """Read the effects back from a manifest, and check that the schema has what they point at.

        Parameters
        ----------
        data : mapping
            What :meth:`to_json` made.
        schema : CellSchema
            Columns and their levels.
        numbers : sequence of int
            Columns that may enter as numbers.
        """
        try:
            terms = cast(list[dict[str, object]], data["terms"])
            effects = cls(
                tuple(Term(str(t["label"]), _pairs(t["factors"])) for t in terms),
                {int(k): int(v) for k, v in cast(dict[str, int], data["references"]).items()},
                {
                    int(k): tuple(int(v) for v in levels)
                    for k, levels in cast(dict[str, list[int]], data["known"]).items()
                },
                tuple(str(line) for line in cast(list[str], data["left_out"])),
            )
            pairs = [
                pair for term in effects.terms for pair in term.factors if pair[1] != NUMBER or pair[0] not in numbers
            ]
            pairs += [*effects.references.items(), *((k, level) for k, some in effects.known.items() for level in some)]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise SavedFitError("the saved fit's effects do not have the fields they should have.") from error
        if not all(0 <= k < len(schema.columns) and 0 <= v < len(schema.columns[k].labels) for k, v in pairs):
            raise SavedFitError("the saved fit's effects point at levels that its schema does not have.")
        return effects


def _pairs(raw: object) -> tuple[tuple[int, int], ...]:
    return tuple((int(k), int(level)) for k, level in cast(list[list[int]], raw))


def levels_seen(
    schema: CellSchema, columns: Sequence[int], codes: IntArray, exposure: FloatArray
) -> tuple[dict[int, tuple[int, ...]], dict[int, int]]:
    """Levels with exposure of some columns, and the one with most of it (the first of equals).

    Parameters
    ----------
    schema : CellSchema
        Columns and their levels.
    columns : sequence of int
        Which columns.
    codes : array of shape (n, n_columns)
        Level of each row.
    exposure : array of shape (n,)
        Days at risk.

    Returns
    -------
    known : dict of int to tuple of int
        Codes with exposure.
    references : dict of int to int
        Codes with most exposure.
    """
    weight = {k: np.bincount(codes[:, k], exposure, len(schema.columns[k].labels)) for k in columns}
    known = {k: tuple(int(level) for level in np.flatnonzero(weight[k] > 0)) for k in columns}
    return known, {k: int(np.argmax(weight[k])) for k in columns}


def bind_formula(
    formula: str, schema: CellSchema, codes: IntArray, exposure: FloatArray, *, drop: bool = False
) -> Effects:
    """Turn a formula into indicator columns with treatment coding.

    Parameters
    ----------
    formula : str
        Right-hand side on columns of the cells.
    schema : CellSchema
        Columns and their levels.
    codes : array of shape (n_cells, n_columns)
        Pattern of each cell.
    exposure : array of shape (n_cells,)
        Days at risk; the reference of a column is the level with most of it, the first of equals.
    drop : bool
        Leave out what cannot be told apart, and say so, instead of refusing.

    Raises
    ------
    FormulaError
        If the formula is outside the grammar, or a column is constant or determined by the others.
    """
    names = check_formula(formula, schema)
    positions = {name: k for k, name in enumerate(column.name for column in schema.columns)}
    used = [positions[name] for name in names]
    known, references = levels_seen(schema, used, codes, exposure)
    constant = [k for k in used if len(known[k]) < 2]
    if constant and not drop:
        levels = "; ".join(
            f"{schema.columns[k].name} is always {schema.columns[k].labels[references[k]]}" for k in constant
        )
        raise FormulaError(
            f"{len(constant)} of {len(used)} columns are constant: {levels}.",
            consequence="A column that never changes has no effect that could be learnt.",
            hint="leave it out of the formula, or choose finer bins.",
            column=schema.columns[constant[0]].name,
        )
    seen = np.unique(codes[exposure > 0], axis=0)
    terms = expand(formula, schema, {k: reference_first(known[k], references[k]) for k in used})
    left = [f"{schema.columns[k].name} (always the same)" for k in constant]
    return _drop_dependent(Effects(terms, references, known, tuple(left)), seen, drop=drop)


def expand(
    formula: str, schema: CellSchema, levels: Mapping[int, tuple[int, ...]], numbers: Sequence[int] = ()
) -> tuple[Term, ...]:
    """Expand a formula into terms with treatment coding, of full rank by its structure.

    Parameters
    ----------
    formula : str
        Checked by :func:`check_formula`.
    schema : CellSchema
        Columns and their levels.
    levels : mapping of int to tuple of int
        Codes of each column that enters as levels, its reference first.
    numbers : sequence of int
        Columns that enter as numbers.

    Returns
    -------
    tuple of Term
        Without the intercept.

    Notes
    -----
    The operators are expanded by formulaic over names of our own making, on one made-up row: which columns there
    are depends on the formula and the levels only.
    """
    import formulaic
    import pandas as pd

    positions = {column.name: k for k, column in enumerate(schema.columns)}
    read = tokens(formula)
    if not any(kind == "name" for kind, _ in read):
        return ()
    safe = " ".join(f"c{positions[text]}" if kind == "name" else text for kind, text in read)
    frame: dict[str, object] = {f"c{k}": [1.0] for k in numbers}
    for k, codes in levels.items():
        frame[f"c{k}"] = pd.Categorical([f"L{codes[0]}"], [f"L{code}" for code in codes])
    columns = formulaic.model_matrix(f"1 + {safe}", pd.DataFrame(frame)).columns
    return tuple(_term(str(column), schema) for column in columns if column != "Intercept")


def _term(column: str, schema: CellSchema) -> Term:
    """Read a term back from the name of its column: ``c0[T.L1]:c2``."""
    factors = tuple((int(k), int(level) if level else NUMBER) for k, level in _FACTOR.findall(column))
    names = [
        schema.columns[k].name if level == NUMBER else f"{schema.columns[k].name}[{schema.columns[k].labels[level]}]"
        for k, level in factors
    ]
    return Term(":".join(names), factors)


def reference_first(known: tuple[int, ...], reference: int) -> tuple[int, ...]:
    """Order of a column's levels in treatment coding."""
    return (reference, *(level for level in known if level != reference))


def dependent_error(
    found: Triangle, dependent: Sequence[int], terms: Sequence[Term], *, consequence: str, hint: str
) -> FormulaError:
    """Error that names the terms which others determine, and those others."""
    every = [term.label for term in terms]
    labels = [every[k] for k in dependent]
    sets = "; ".join(explain(found, k, dependent, every) for k in dependent[:5])
    return FormulaError(
        f"{len(dependent)} of {len(terms)} terms are determined by the others: {sets}.",
        consequence=consequence,
        hint=f"leave {' and '.join(labels[:5])} out: {hint}",
        rows=[{"term": label} for label in labels[:5]],
        count=len(labels),
    )


def _drop_dependent(effects: Effects, seen: IntArray, *, drop: bool) -> Effects:
    """Find the terms that others determine among the patterns seen, by pivoted QR."""
    x = effects.matrix(seen)
    found = triangle(len(x), lambda rows: x[rows])
    dependent = dependent_columns(found)
    if not dependent:
        return effects
    if not drop:
        raise dependent_error(
            found,
            dependent,
            effects.terms,
            consequence="The data cannot tell their effects apart; the prior alone would divide them.",
            hint='join bins, drop the column from the formula, or write HierarchicalModel(..., on_bad="drop").',
        )
    kept = tuple(term for k, term in enumerate(effects.terms) if k not in dependent)
    words = tuple(f"{effects.terms[k].label} (determined by other terms)" for k in dependent)
    return Effects(kept, effects.references, effects.known, effects.left_out + words)


def group_levels(schema: CellSchema, groups: Sequence[str], codes: IntArray, exposure: FloatArray) -> list[IntArray]:
    """Codes of the levels with exposure, of each group column."""
    found = []
    for name in groups:
        k = [column.name for column in schema.columns].index(name)
        weight = np.bincount(codes[:, k], exposure, len(schema.columns[k].labels))
        found.append(np.flatnonzero(weight > 0).astype(np.int64))
    return found


def positions_of(levels: IntArray, codes: IntArray) -> IntArray:
    """Position of each code among the levels, ``UNSEEN`` where it is not among them."""
    where = np.searchsorted(levels, codes)
    where = np.minimum(where, len(levels) - 1)
    return np.where(levels[where] == codes, where, UNSEEN).astype(np.int64)
