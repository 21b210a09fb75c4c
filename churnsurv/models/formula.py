"""Effects by formula: a small grammar, checked before anything is evaluated, and indicator columns.

formulaic evaluates Python found in a formula. It therefore never sees what a user wrote: the text is read here,
and only operators and names of our own making are handed on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from scipy import linalg

from churnsurv._typing import BoolArray, FloatArray, IntArray, Json
from churnsurv.errors import FormulaError, SavedFitError
from churnsurv.tables.schema import UNSEEN, CellSchema

_TOKEN = re.compile(r"\s*(?:(?P<name>[^\W\d]\w*)|`(?P<quoted>[^`]+)`|(?P<number>\d+)|(?P<mark>[-+:*()]))")
_LONGEST = 10_000
_DEEPEST = 50
_GRAMMAR = (
    "a formula is made of column names (in backticks where they are not plain words), 1, +, :, * and parentheses."
)
_FACTOR = re.compile(r"c(\d+)\[(?:T\.)?L(\d+)\]")
_RANK_TOLERANCE = 1e-9


def tokens(formula: str) -> list[tuple[str, str]]:
    """Read a formula into (kind, text) pairs; kind is ``name``, ``one``, or the operator itself.

    Raises
    ------
    FormulaError
        At the first character that is not in the grammar.

    Examples
    --------
    >>> tokens("plan * `price band`")
    [('name', 'plan'), ('*', '*'), ('name', 'price band')]
    >>> tokens("plan + I(price)")
    Traceback (most recent call last):
        ...
    churnsurv.errors.FormulaError: formula 'plan + I(price)': "(" cannot follow "I".
    Hint: a formula is made of column names ...
    """
    if len(formula) > _LONGEST:
        raise FormulaError(f"the formula has {len(formula):,} characters.", hint=f"at most {_LONGEST:,} are read.")
    found: list[tuple[str, str]] = []
    text, at = formula.rstrip(), 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or match["number"] not in (None, "1") or match["mark"] == "-":
            raise FormulaError(f"formula {formula!r}: {text[at:].strip()[:20]!r} is not allowed.", hint=_GRAMMAR)
        name = match["name"] or match["quoted"]
        found.append(("name", name) if name else ("one", "1") if match["number"] else (match["mark"], match["mark"]))
        at = match.end()
    _check_order(found, formula)
    return found


def _check_order(found: Sequence[tuple[str, str]], formula: str) -> None:
    """Names and operators take turns, parentheses match: so nothing can be read as a call."""
    depth, previous, operand_next = 0, "", True
    for kind, text in found:
        starts = kind in ("name", "one", "(")
        if starts != operand_next:
            where = f'"{text}" cannot follow "{previous}"' if previous else f'it cannot begin with "{text}"'
            raise FormulaError(f"formula {formula!r}: {where}.", hint=_GRAMMAR)
        depth += (kind == "(") - (kind == ")")
        if depth < 0 or depth > _DEEPEST:
            raise FormulaError(f"formula {formula!r}: parentheses do not match.", hint=_GRAMMAR)
        operand_next = kind in ("+", ":", "*", "(")
        previous = text
    if depth or (found and operand_next):
        raise FormulaError(f"formula {formula!r} ends too early.", hint=_GRAMMAR)


def check_formula(formula: str, schema: CellSchema) -> tuple[str, ...]:
    """Columns of the schema that a formula names, in its order.

    Raises
    ------
    FormulaError
        If the formula is outside the grammar or names a column that the cells do not have.
    """
    known = [column.name for column in schema.columns]
    names = list(dict.fromkeys(text for kind, text in tokens(formula) if kind == "name"))
    unknown = [name for name in names if name not in known]
    if unknown:
        raise FormulaError(
            f"formula {formula!r}: {len(unknown)} of {len(names)} names are no column of the cells: {', '.join(unknown)}.",
            hint=f"columns are: {', '.join(known) or 'none'}.",
        )
    return tuple(names)


@dataclass(frozen=True)
class Term:
    """One indicator column: 1 where every factor has its level.

    Parameters
    ----------
    label : str
        As a person reads it: ``plan[annual]``.
    factors : tuple of (int, int)
        Column of the schema and code of the level.
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

    def matrix(self, codes: IntArray) -> FloatArray:
        """Indicator columns of patterns, shape (n, n_terms)."""
        columns = [np.ones(len(codes)) for _ in self.terms]
        for at, term in enumerate(self.terms):
            for k, level in term.factors:
                columns[at] *= codes[:, k] == level
        return np.column_stack(columns) if columns else np.zeros((len(codes), 0))

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
    def from_json(cls, data: Mapping[str, Json], schema: CellSchema) -> Effects:
        """Read the effects back from a manifest, and check that the schema has what they point at."""
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
            pairs = [pair for term in effects.terms for pair in term.factors] + list(effects.references.items())
            pairs += [(k, level) for k, levels in effects.known.items() for level in levels]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise SavedFitError("the saved fit's effects do not have the fields they should have.") from error
        if not all(0 <= k < len(schema.columns) and 0 <= v < len(schema.columns[k].labels) for k, v in pairs):
            raise SavedFitError("the saved fit's effects point at levels that its schema does not have.")
        return effects


def _pairs(raw: object) -> tuple[tuple[int, int], ...]:
    return tuple((int(k), int(level)) for k, level in cast(list[list[int]], raw))


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
    weight = {k: np.bincount(codes[:, k], exposure, len(schema.columns[k].labels)) for k in used}
    known = {k: tuple(int(level) for level in np.flatnonzero(weight[k] > 0)) for k in used}
    references = {k: int(np.argmax(weight[k])) for k in used}
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
    terms = _materialise(formula, positions, known, references, seen, schema) if names else ()
    left = [f"{schema.columns[k].name} (always the same)" for k in constant]
    return _drop_dependent(Effects(terms, references, known, tuple(left)), seen, drop=drop)


def _materialise(
    formula: str,
    positions: Mapping[str, int],
    known: Mapping[int, tuple[int, ...]],
    references: Mapping[int, int],
    seen: IntArray,
    schema: CellSchema,
) -> tuple[Term, ...]:
    """Let formulaic expand the formula over safe names; read the terms back from its column names."""
    import formulaic
    import pandas as pd

    safe = " ".join(f"c{positions[text]}" if kind == "name" else text for kind, text in tokens(formula))
    frame = {}
    for k, levels in known.items():
        order = [references[k], *(level for level in levels if level != references[k])]
        frame[f"c{k}"] = pd.Categorical([f"L{level}" for level in seen[:, k]], [f"L{level}" for level in order])
    columns = formulaic.model_matrix(f"1 + {safe}", pd.DataFrame(frame)).columns
    terms = []
    for column in columns:
        if column != "Intercept":
            factors = tuple((int(k), int(level)) for k, level in _FACTOR.findall(str(column)))
            names = [f"{schema.columns[k].name}[{schema.columns[k].labels[level]}]" for k, level in factors]
            terms.append(Term(":".join(names), factors))
    return tuple(terms)


def _drop_dependent(effects: Effects, seen: IntArray, *, drop: bool) -> Effects:
    """Find the columns that others determine, by pivoted QR."""
    x = np.column_stack([np.ones(len(seen)), effects.matrix(seen)])
    dependent = _dependent_columns(x)
    if not dependent:
        return effects
    labels = [effects.terms[k - 1].label for k in dependent]
    if not drop:
        sets = "; ".join(_explain(x, k, dependent, effects) for k in dependent[:5])
        raise FormulaError(
            f"{len(dependent)} of {len(effects.terms)} terms are determined by the others: {sets}.",
            consequence="The data cannot tell their effects apart; the prior alone would divide them.",
            hint=f"leave {' and '.join(labels[:5])} out: join bins, drop the column from the formula, "
            'or write HierarchicalModel(..., on_bad="drop").',
            rows=[{"term": label} for label in labels[:5]],
            count=len(labels),
        )
    kept = tuple(term for k, term in enumerate(effects.terms, start=1) if k not in dependent)
    words = tuple(f"{label} (determined by other terms)" for label in labels)
    return Effects(kept, effects.references, effects.known, effects.left_out + words)


def _dependent_columns(x: FloatArray) -> list[int]:
    """Columns to drop: later ones first, the intercept never."""
    r = np.abs(np.diag(linalg.qr(x, mode="r", pivoting=True)[0]))
    if len(r) == x.shape[1] and np.all(r > _RANK_TOLERANCE * r[0]):
        return []
    kept: list[int] = []
    dependent: list[int] = []
    for k in range(x.shape[1]):
        part = x[:, [*kept, k]]
        size = np.abs(np.diag(linalg.qr(part, mode="r", pivoting=True)[0]))
        full = len(size) == part.shape[1] and size[-1] > _RANK_TOLERANCE * max(size[0], 1.0)
        (kept if full else dependent).append(k)
    return dependent


def _explain(x: FloatArray, k: int, dependent: Sequence[int], effects: Effects) -> str:
    label = effects.terms[k - 1].label
    if not x[:, k].any():
        return f"{label} has no exposure"
    others = [j for j in range(x.shape[1]) if j not in dependent]
    weights = np.linalg.lstsq(x[:, others], x[:, k], rcond=None)[0]
    names = [
        "1" if j == 0 else effects.terms[j - 1].label for j, w in zip(others, weights, strict=True) if abs(w) > 1e-6
    ]
    return f"{label} from {', '.join(names)}"


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
