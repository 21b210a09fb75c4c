"""What a formula may say: column names, ``1``, ``+``, ``:``, ``*`` and parentheses; read, never evaluated."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence

from churnsurv.errors import FormulaError
from churnsurv.tables.schema import CellSchema

_TOKEN = re.compile(r"\s*(?:(?P<name>[^\W\d]\w*)|`(?P<quoted>[^`]+)`|(?P<number>\d+)|(?P<mark>[-+:*()]))")
_LONGEST = 10_000
_DEEPEST = 50
_GRAMMAR = (
    "a formula is made of column names (in backticks where they are not plain words), 1, +, :, * and parentheses."
)
_BY_LEVEL = re.compile(r"\(([^()|]*)\|{1,2}\s*([^()|]+?)\s*\)")
"""What other packages write for effects by group: ``(1 | country)``."""
_NO_INTERCEPT = re.compile(r"(?:(?<![\w`])0\s*\+|\+\s*0(?![\w`])|-\s*1(?![\w`]))")


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that a misspelt one is closest to, ``None`` where none is close.

    Examples
    --------
    >>> nearest("contry", ["plan", "country"])
    'country'
    """
    names = {one.lower(): one for one in known}
    found = difflib.get_close_matches(name.strip().lower(), list(names), n=1, cutoff=0.6)
    return names[found[0]] if found else None


def quoted(name: str) -> str:
    """Return a name as a formula holds it: in backticks where it is not a plain word.

    Examples
    --------
    >>> quoted("plan"), quoted("price band")
    ('plan', '`price band`')
    """
    return name if re.fullmatch(r"[^\W\d]\w*", name) else f"`{name}`"


def renamed(formula: str, names: dict[str, str]) -> str:
    """Write a formula with other names in it.

    Examples
    --------
    >>> renamed("plann + plann:price", {"plann": "plan"})
    'plan + plan:price'
    """
    for old, new in names.items():
        formula = re.sub(rf"`{re.escape(old)}`|(?<!\w){re.escape(old)}(?!\w)", lambda _, n=new: quoted(n), formula)  # type: ignore[misc]
    return formula


def _stray(formula: str, rest: str) -> FormulaError:
    """Error at what is not in the grammar; what other packages would read there is told in this one's words."""
    groups = _BY_LEVEL.findall(formula)
    if groups:
        left = _joined(_BY_LEVEL.sub("", formula))
        slopes = {name.strip().replace("/", ":"): _slope(inner) for inner, name in groups}
        plain = set(slopes.values()) == {"1"}
        return FormulaError(
            f"formula {formula!r}: {len(groups)} of its terms are effects by level of a group, which stand apart from it.",
            hint=f"HierarchicalModel({left!r}, groups={tuple(slopes) if plain else slopes!r})",
        )
    if _NO_INTERCEPT.search(formula):
        left = _joined(_NO_INTERCEPT.sub("+", formula))
        return FormulaError(
            f"formula {formula!r} leaves the intercept out, and the level of the hazard is part of every model.",
            hint=f"formula={left!r}",
        )
    return FormulaError(f"formula {formula!r}: {rest.split(maxsplit=1)[0]!r} is not allowed.", hint=_GRAMMAR)


def _joined(formula: str) -> str:
    """Terms between pluses that are left, ``"1"`` for none."""
    return " + ".join(part.strip() for part in formula.split("+") if part.strip()) or "1"


def _slope(inner: str) -> str:
    terms = [part.strip() for part in inner.split("+") if part.strip() not in ("", "0", "1")]
    return " + ".join(["1", *terms])


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
            raise _stray(formula, text[at:])
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
        near = {name: close for name in unknown if (close := nearest(name, known)) is not None}
        meant = f"formula={renamed(formula, near)!r}; " if len(near) == len(unknown) else ""
        raise FormulaError(
            f"formula {formula!r}: {len(unknown)} of {len(names)} names are no column of the {table}: {', '.join(unknown)}.",
            hint=f"{meant}columns are: {', '.join(known) or 'none'}.",
        )
    return tuple(names)
