"""Rows whose drivers are asked for: who they are, and what they say in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from churnsurv._typing import FloatArray, StrArray
from churnsurv.errors import ArgumentError, EmptyDataError
from churnsurv.models.base import PatternRows, carries_months, needs_history
from churnsurv.tables.open_spells import OpenSpells
from churnsurv.tables.spells import SpellTable

if TYPE_CHECKING:
    from churnsurv.models.base import SurvivalFit

NOT_SEEN = "not seen"
"""Text of a level that the fit has no name for."""

NOT_KNOWN = "not known"
"""Text of a number of which nothing is known yet."""


def driver_rows(fit: SurvivalFit, customers: Any) -> Iterator[PatternRows]:
    """Yield rows in the columns of a fit, in batches where they come from a table of spells.

    Parameters
    ----------
    fit : SurvivalFit
        The fit.
    customers : SpellTable, OpenSpells, Episodes or anything with a pattern
        Of a table of spells the customers at risk at its window's end.

    Yields
    ------
    PatternRows
        At least one row.

    Raises
    ------
    ArgumentError
        If ``customers`` are no rows.
    EmptyDataError
        If there is nobody.
    DefinitionError, FeatureError
        If the spells follow another definition than the fit, or its features move while customers are at risk.
    """
    if isinstance(customers, SpellTable):
        found = False
        history, months = needs_history(fit), carries_months(fit)
        for batch in OpenSpells.batches(customers, fit.schema, history=history, months=months):
            found = True
            yield batch
        if not found:
            raise EmptyDataError("nobody is at risk at the window's end.", hint="check the window and the definition.")
        return
    if not hasattr(customers, "codes") or not hasattr(customers, "schema"):
        raise ArgumentError(
            f"`customers` is {type(customers).__name__}, which has no rows with covariates.",
            column="customers",
            hint="pass the SpellTable, or the rows of OpenSpells.batches(spells, fit.schema).",
        )
    if not len(customers.codes):
        raise EmptyDataError("there is not one customer.", hint="check the filter before this call.")
    yield customers


def customer_ids(rows: PatternRows) -> StrArray:
    """Whose rows they are, shape (n,); their positions as text where they do not say."""
    found = getattr(rows, "customer_id", None)
    ids = np.arange(len(rows.codes)).astype(str) if found is None else np.asarray(found)
    return np.asarray(ids, dtype=object)


def numbers_of(rows: PatternRows) -> tuple[FloatArray | None, ...]:
    """Number of each column, ``None`` for a text; NaN where rows do not say."""
    found: Any = getattr(rows, "values", None)
    if found is not None:
        return tuple(found)
    unknown = np.full(len(rows.codes), np.nan)
    return tuple(None if column.edges is None else unknown for column in rows.schema.columns)


def level_texts(rows: PatternRows, column: int) -> StrArray:
    """Level of each row in one column, shape (n,)."""
    named: Any = getattr(rows, "levels", None)
    if named is not None:
        return np.asarray(named[column], dtype=object)
    labels = np.asarray([*rows.schema.columns[column].labels, NOT_SEEN], dtype=object)
    found: StrArray = labels[rows.codes[:, column]]  # UNSEEN, -1, is the last one
    return found


def number_texts(values: FloatArray) -> StrArray:
    """Numbers as a person writes them, shape (n,).

    Examples
    --------
    >>> number_texts(np.array([12.0, 0.25, np.nan])).tolist()
    ['12', '0.25', 'not known']
    """
    seen, where = np.unique(values, return_inverse=True)
    texts = np.asarray([NOT_KNOWN if np.isnan(value) else f"{value:g}" for value in seen], dtype=object)
    found: StrArray = texts[where.ravel()]
    return found


def joined_texts(parts: list[StrArray]) -> StrArray:
    """Texts of several columns joined by a colon, as names of terms are, shape (n,)."""
    total = parts[0]
    for part in parts[1:]:
        total = total + ":" + part
    return np.asarray(total, dtype=object)
