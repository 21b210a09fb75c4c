"""What a formula may say: column names, ``1``, ``+``, ``:``, ``*`` and parentheses; read, never evaluated."""

from __future__ import annotations

import re
from collections.abc import Sequence

from churnsurv.errors import FormulaError
from churnsurv.tables.schema import CellSchema

_TOKEN = re.compile(r"\s*(?:(?P<name>[^\W\d]\w*)|`(?P<quoted>[^`]+)`|(?P<number>\d+)|(?P<mark>[-+:*()]))")
_LONGEST = 10_000
_DEEPEST = 50
_GRAMMAR = (
    "a formula is made of column names (in backticks where they are not plain words), 1, +, :, * and parentheses."
)


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
    if not isinstance(formula, str):
        raise FormulaError(f"formula={formula!r} is not text.", hint='write formula="plan + country".')
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


def check_formula(formula: str, schema: CellSchema, *, table: str = "cells") -> tuple[str, ...]:
    """Columns of the schema that a formula names, in its order.

    Raises
    ------
    FormulaError
        If the formula is outside the grammar or names a column that the table (cells, rows …) does not have.
    """
    known = [column.name for column in schema.columns]
    names = list(dict.fromkeys(text for kind, text in tokens(formula) if kind == "name"))
    unknown = [name for name in names if name not in known]
    if unknown:
        raise FormulaError(
            f"formula {formula!r}: {len(unknown)} of {len(names)} names are no column of the {table}: {', '.join(unknown)}.",
            hint=f"columns are: {', '.join(known) or 'none'}.",
        )
    return tuple(names)
