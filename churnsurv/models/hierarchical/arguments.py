"""Arguments of a model and its fits that are not what they should be: each refused with the call to write."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from churnsurv._typing import FloatArray
from churnsurv.errors import ArgumentError, DataTypeError, HorizonError
from churnsurv.models.grammar import quoted
from churnsurv.models.hierarchical.priors import Prior

if TYPE_CHECKING:
    from churnsurv.models.hierarchical.fit import HierarchicalFit

_NAMED = {"real": "intercept", "positive": "walk_sd", "correlation": "country_effect_correlation"}
"""A parameter that a prior of each kind can be of."""


def read_formula(formula: object) -> str:
    """Return a formula; one without a name is ``"1"``.

    Raises
    ------
    DataTypeError
        If it is not text.

    Examples
    --------
    >>> read_formula(" ")
    '1'
    """
    if isinstance(formula, str):
        return formula if formula.strip() else "1"
    names = list(formula) if isinstance(formula, (list, tuple)) else []
    words = names and all(isinstance(name, str) for name in names)
    text = " + ".join(quoted(name) for name in names) if words else "1"
    raise DataTypeError(
        f"formula={formula!r} is {type(formula).__name__}, not text.",
        column="formula",
        consequence="" if words else "'1' stands for a model without effects by formula.",
        hint=f"HierarchicalModel({text!r})",
    )


def read_groups(groups: object, setting: str) -> tuple[str, ...] | dict[str, str]:
    """Return groups as names, or what varies by level of each.

    Parameters
    ----------
    groups : sequence of str, or mapping of str to str
        As given.
    setting : {"groups", "shape_groups"}
        A shape has nothing else that could vary by level: it takes names only.

    Raises
    ------
    ArgumentError
        If it is one text, or pairs.
    DataTypeError
        If something else than text stands for a column or for what varies.
    """
    if isinstance(groups, str):
        raise ArgumentError(f"{setting}={groups!r} is one text.", column=setting, hint=f"{setting}=({groups!r},)")
    if isinstance(groups, Mapping) and setting == "groups":
        bad = {name: slope for name, slope in groups.items() if not isinstance(name, str) or not isinstance(slope, str)}
        if bad:
            right = {str(name): slope if isinstance(slope, str) else "1" for name, slope in groups.items()}
            raise DataTypeError(
                f"groups: {len(bad)} of {len(groups)} entries are no texts: {bad!r}.",
                column=setting,
                consequence="A group is a column, and what varies by its levels a formula: '1' for their average alone.",
                hint=f"HierarchicalModel(groups={right!r})",
            )
        return dict(groups)
    if isinstance(groups, Mapping) or not isinstance(groups, Iterable):
        kept = tuple(str(name) for name in groups) if isinstance(groups, Mapping) else ()
        raise DataTypeError(
            f"{setting}={groups!r} is no sequence of column names.", column=setting, hint=f"{setting}={kept!r}"
        )
    return _names(list(groups), setting)


def _names(names: list[Any], setting: str) -> tuple[str, ...]:
    bad = [name for name in names if not isinstance(name, str)]
    if not bad:
        return tuple(names)
    pairs = [one for one in bad if isinstance(one, (tuple, list)) and len(one) == 2]
    slopes = {str(one[0]): str(one[1]) for one in pairs}
    whole = setting == "groups" and len(pairs) == len(names)
    hint: object = slopes if whole else tuple(str(one[0]) if one in pairs else str(one) for one in names)
    raise (ArgumentError if whole else DataTypeError)(
        f"{setting}: {len(bad)} of {len(names)} entries are no column names: {bad[0]!r}.",
        column=setting,
        consequence="Columns are named by text, as in the table.",
        hint=f"HierarchicalModel({setting}={hint!r})",
    )


def read_priors(priors: object) -> dict[str, Prior]:
    """Return priors by parameter.

    Raises
    ------
    DataTypeError
        If they have no names.
    """
    if isinstance(priors, Mapping) and all(isinstance(name, str) for name in priors):
        return dict(priors)
    if priors is None:
        return {}
    given = list(priors) if isinstance(priors, (list, tuple)) else [priors]
    first = next((one for one in given if isinstance(one, Prior)), None)
    example = f"{{{_NAMED[first.domain]!r}: {first!r}}}" if first else "{'intercept': Normal(-4.0, 2.0)}"
    raise DataTypeError(
        f"priors={priors!r} is no mapping of names to priors.",
        column="priors",
        consequence="Which parameter a prior is about cannot be guessed; model.priors_for(table) shows their names.",
        hint=f"HierarchicalModel(priors={example})",
    )


def check_progress(progress: object) -> None:
    """Refuse what is neither a truth value nor can be told anything.

    Raises
    ------
    DataTypeError
        With the call to write.
    """
    if not isinstance(progress, bool) and not callable(progress):
        raise DataTypeError(
            f"progress={progress!r} is neither True nor False, nor a function of the share done and a sentence.",
            column="progress",
            hint="model.fit(table, progress=True)",
        )


def check_rows(fit: HierarchicalFit, rows: object, call: str, *, reached: bool = False) -> None:
    """Refuse what is no rows of patterns, or of customers.

    Parameters
    ----------
    fit : HierarchicalFit
        Whose schema the rows must follow.
    rows : object
        As given.
    call : str
        What was asked, to be written in the hint after ``fit.``: ``"expected_remaining_lifetime(rows, 90)"``.
    reached : bool
        Whether rows must say how long each spell has lasted.

    Raises
    ------
    DataTypeError
        With the call that makes rows.
    """
    needed = ("schema", "codes", "reached") if reached else ("schema", "codes")
    if all(hasattr(rows, name) for name in needed):
        return
    how = "".join([", history=True"] * fit.uses_history + [", months=True"] * fit.carries_months)
    raise DataTypeError(
        f"rows are {type(rows).__name__}, which the fit cannot read: they must be put into its own levels and periods.",
        column="rows",
        hint=f"rows = next(OpenSpells.batches(spells, fit.schema{how})); fit.{call}",
    )


def read_times(times: object) -> FloatArray:
    """Days on the clock, one or more, finite and not before zero.

    Raises
    ------
    DataTypeError
        If they are no numbers.
    ArgumentError
        If they are no sequence, or an empty one.
    HorizonError
        If some lie before zero or are not finite.

    Examples
    --------
    >>> read_times([30, 90])
    array([30., 90.])
    """
    try:
        at = np.asarray(times)
    except ValueError:
        at = np.asarray("ragged")
    if at.dtype.kind not in "iuf" and at.size:
        raise DataTypeError(f"times={times!r} are no numbers of days.", column="times", hint="times=[30, 90, 365]")
    if at.ndim != 1 or not at.size:
        one = [at.item()] if at.ndim == 0 else [30, 90, 365]
        raise ArgumentError(
            f"times={times!r} must be days on the clock, in a sequence of one or more.",
            column="times",
            hint=f"times={one}",
        )
    good = np.isfinite(at) & (at >= 0)
    if not good.all():
        kept = at[good].tolist() or [30, 90, 365]
        raise HorizonError(
            f"{int(np.sum(~good))} of {at.size} times are no days from zero on: {at[~good][0]:g}.",
            column="times",
            count=int(np.sum(~good)),
            total=at.size,
            consequence="The clock begins at zero; there is no survival or hazard before it.",
            hint=f"times={kept}",
        )
    return at.astype(np.float64)
