"""Words for what the tables call by short names, and text made safe to draw."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Final

from churnsurv.tables.features import (
    Arrival,
    Baseline,
    Count,
    Drop,
    Feature,
    Maximum,
    Mean,
    Recency,
    Rhythm,
    Value,
)
from churnsurv.tables.schema import CellSchema, PatternColumn, bin_labels

# Control characters cannot stand in XML, line separators end a line of JavaScript, surrogates cannot be
# written as UTF-8, and direction marks let one text look like another. None of them is part of a name.
_UNDRAWABLE: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]"
)
_LONGEST: Final = 120
_HUNDRED: Final = 100.0


def clean_text(text: str, *, longest: int = _LONGEST) -> str:
    r"""Text as it may be drawn or printed: no control characters, no endless names.

    Parameters
    ----------
    text : str
        Any text, such as an id or a country from somebody's log.
    longest : int
        Letters kept, > 1.

    Returns
    -------
    str
        The text with what cannot be drawn replaced by a visible mark.

    Examples
    --------
    >>> clean_text("Fran\x00ce\u202e")
    'Fran�ce�'
    """
    visible = _UNDRAWABLE.sub("\ufffd", text)
    return visible if len(visible) <= longest else visible[: longest - 1] + "…"


def plural(noun: str) -> str:
    """Plural of a kind of event, as far as a rule of thumb goes.

    Examples
    --------
    >>> plural("order"), plural("activity"), plural("purchases")
    ('orders', 'activities', 'purchases')
    """
    if noun.endswith("s"):
        return noun
    if noun.endswith("y") and noun[-2:-1] not in set("aeiou"):
        return noun[:-1] + "ies"
    return noun + "s"


def _days(feature: Feature) -> str:
    return f"{feature.lookback or 0:g} days"


def _count(feature: Feature) -> str:
    return f"{plural(feature.kind)} in the last {_days(feature)}"


def _rhythm(feature: Feature) -> str:
    return f"days between {plural(feature.kind)}, over the last {_days(feature)}"


def _mean(feature: Feature) -> str:
    return f"mean {feature.value_column} of {plural(feature.kind)} in the last {_days(feature)}"


def _maximum(feature: Feature) -> str:
    return f"largest {feature.value_column} of {plural(feature.kind)} in the last {_days(feature)}"


def _drop(feature: Feature) -> str:
    assert isinstance(feature, Drop)  # noqa: S101  (the table below pairs them)
    return f"fall of {feature.column} in the last {feature.recent:g} days, against the {feature.before:g} days before"


def _recency(feature: Feature) -> str:
    return f"days since the last {feature.kind}"


def _arrival(feature: Feature) -> str:
    return (
        f"{feature.value_column} of the {feature.kind}" if feature.value_column else f"whether the {feature.kind} came"
    )


def _baseline(feature: Feature) -> str:
    return feature.name


_WORDS: Final[dict[type[Feature], Callable[[Feature], str]]] = {
    Count: _count,
    Rhythm: _rhythm,
    Mean: _mean,
    Maximum: _maximum,
    Drop: _drop,
    Recency: _recency,
    Arrival: _arrival,
    Baseline: _baseline,
}


def column_label(schema: CellSchema, name: str) -> str:
    """Name of a covariate as a person would say it.

    Parameters
    ----------
    schema : CellSchema
        Schema of the cells, which knows the declarations.
    name : str
        Column name, or any other text, which is returned as it is.

    Returns
    -------
    str
        Words.

    Examples
    --------
    >>> from churnsurv.tables.churn import Silence
    >>> count = Count("order", days=90)
    >>> column_label(CellSchema(Silence(("order",), 90), (0.0, 90.0), (), (count,)), count.name)
    'orders in the last 90 days'
    """
    for feature in schema.features:
        if feature.name != name:
            continue
        if isinstance(feature, Value):
            numeric = any(column.name == name and column.edges is not None for column in schema.columns)
            return clean_text(f"{feature.column} of the last {feature.kind}" if numeric else feature.column)
        return clean_text(_WORDS[type(feature)](feature))
    return clean_text(name)


def level_label(schema: CellSchema, name: str, level: str) -> str:
    """Level of a covariate as a person would say it: bins between rounded edges, open at both ends.

    Parameters
    ----------
    schema : CellSchema
        Schema of the cells.
    name : str
        Column name; for any other text the level is returned as it is.
    level : str
        One of the column's labels.

    Returns
    -------
    str
        Words.

    Examples
    --------
    >>> from churnsurv.tables.churn import Silence
    >>> column = PatternColumn("gap", ("0.728–14.0371", "14.0371–89.9771", "none yet"), (0.728, 14.0371, 89.9771))
    >>> schema = CellSchema(Silence(("order",), 90), (0.0, 90.0), (column,))
    >>> [level_label(schema, "gap", level) for level in column.labels]
    ['up to 14', 'over 14', 'none yet']
    """
    for column in schema.columns:
        if column.name == name:
            return clean_text(_shown_levels(schema, column).get(level, level))
    return clean_text(level)


def note_words(schema: CellSchema, note: str) -> str:
    """Note about the data as a sentence: terms such as ``column[level]`` in words, and a capital in front.

    Parameters
    ----------
    schema : CellSchema
        Schema of the cells, which knows columns and levels.
    note : str
        Warning that was given on the way.

    Returns
    -------
    str
        Words.

    Examples
    --------
    >>> from churnsurv.tables.churn import Silence
    >>> column = PatternColumn("gap", ("0.728–14.0371", "14.0371–40.2", "40.2–89.9771"), (0.728, 14.0371, 40.2, 89.9771))
    >>> schema = CellSchema(Silence(("order",), 90), (0.0, 90.0), (column,))
    >>> note_words(schema, "left out: gap[40.2–89.9771] (determined by other terms).")
    'Left out: “gap: over 40” (determined by other terms).'
    """
    for column in schema.columns:
        title = column_label(schema, column.name)
        for level in column.labels:
            note = note.replace(f"{column.name}[{level}]", f"“{title}: {level_label(schema, column.name, level)}”")
        note = note.replace(f"{column.name} (always the same)", f"“{title}” (always the same)")
    # Hints are for whoever called the library; who reads the report or the summary cannot follow them.
    note = " ".join(line.strip() for line in note.splitlines() if not line.startswith("Hint: "))
    note = clean_text(note, longest=1000)
    return note[:1].upper() + note[1:]


def _shown_levels(schema: CellSchema, column: PatternColumn) -> dict[str, str]:
    if column.edges is None or len(column.edges) < 3:
        return {}
    integer = any(feature.name == column.name and feature.integer for feature in schema.features)
    inner = column.edges[1:-1] if integer else tuple(_rounded(edge) for edge in column.edges[1:-1])
    if len(set(inner)) != len(inner):
        return {}
    first = column.edges[0] if integer else -math.inf
    shown = bin_labels((first, *inner, math.inf), integer=integer)
    return dict(zip(column.labels, shown, strict=False))


def _rounded(edge: float) -> float:
    digits = 2 if abs(edge) < _HUNDRED else 3
    return float(f"{edge:.{digits}g}") if math.isfinite(edge) else edge
