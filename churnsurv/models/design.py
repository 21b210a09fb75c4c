"""A formula on rows: numbers enter as numbers, texts and binned columns as levels against a reference."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import numpy as np

from churnsurv._typing import BoolArray, FloatArray, IntArray, Json
from churnsurv.errors import (
    ChurnsurvError,
    DataWarning,
    FormulaError,
    MissingValueError,
    ModelSupportError,
    NonFiniteError,
    SavedFitError,
    compose_message,
)
from churnsurv.models.formula import Effects, dependent_error, expand, levels_seen, reference_first
from churnsurv.models.grammar import check_formula
from churnsurv.models.rank import Triangle, dependent_columns, triangle
from churnsurv.tables.schema import CellSchema

if TYPE_CHECKING:
    from churnsurv.models.base import EpisodeRows

_BLOCK = 65_536
_MOST_TERMS = 1000
_ILL_CONDITIONED = 1e8
"""Condition number of the correlation matrix above which a warning is given; a Hessian has about the same."""


@dataclass(frozen=True)
class Design:
    """Columns of a formula, bound to the rows a model learns from.

    Parameters
    ----------
    formula : str
        As it was written.
    effects : Effects
        What each column is made of, levels and their references; the intercept is not among them.
    numbers : tuple of int
        Columns of the schema that enter as numbers.

    Notes
    -----
    A column of numbers enters as a number, in its own unit, unless bins were given for it; then, like a text, it
    enters as indicators of its levels, against the one with most exposure.

    Examples
    --------
    >>> Design.empty().matrix(np.zeros((2, 0), np.int64), ()).shape
    (2, 0)
    """

    formula: str
    effects: Effects
    numbers: tuple[int, ...] = ()

    @classmethod
    def empty(cls) -> Design:
        """Without a column."""
        return cls("1", Effects((), {}, {}))

    @property
    def terms(self) -> tuple[str, ...]:
        """Labels of the columns: ``plan[annual]``, ``revenue``, ``plan[annual]:revenue``."""
        return tuple(term.label for term in self.effects.terms)

    @property
    def left_out(self) -> tuple[str, ...]:
        """What was dropped because the data cannot tell it apart, in words."""
        return self.effects.left_out

    @classmethod
    def bind(cls, formula: str, episodes: EpisodeRows, drop: bool = False) -> Design:
        """Turn a formula into the columns it has on these rows.

        Parameters
        ----------
        formula : str
            Right-hand side on columns of the schema: names, 1, ``+``, ``:``, ``*``, parentheses; empty for none.
        episodes : Episodes
            Rows to learn from.
        drop : bool
            Leave out what cannot be told apart, and say so, instead of refusing.

        Returns
        -------
        Design
            Without the rows.

        Raises
        ------
        FormulaError
            If the formula is outside the grammar, or a term is constant or determined by others.
        MissingValueError
            If a number that is used is not known on some row.
        NonFiniteError
            If a number that is used is infinite.
        ModelSupportError
            If there would be more than a thousand terms.

        Warns
        -----
        DataWarning
            If terms were left out, or can hardly be told apart: correlation matrix with condition number over 1e8.
        """
        schema = episodes.schema
        names = check_formula(formula, schema, table="rows")
        used = [k for name in names for k, column in enumerate(schema.columns) if column.name == name]
        numbers = tuple(k for k in used if schema.columns[k].edges is not None and names and not _binned(episodes, k))
        _check_numbers(episodes, numbers)
        levels = [k for k in used if k not in numbers]
        exposure = (episodes.stop - episodes.start) * (1.0 if episodes.weight is None else episodes.weight)
        known, references = levels_seen(schema, levels, episodes.codes, exposure)
        constant = _constant(episodes, numbers, known)
        if constant and not drop:
            raise _constant_error(constant, schema, len(used))
        _check_size(max((len(some) for some in known.values()), default=0))
        terms = expand(formula, schema, {k: reference_first(known[k], references[k]) for k in levels}, numbers)
        _check_size(len(terms))
        left = tuple(f"{schema.columns[k].name} (always the same)" for k in constant)
        design = cls(formula.strip() or "1", Effects(terms, references, known, left), numbers)
        return design._told_apart(episodes, set(constant), drop=drop)

    def _told_apart(self, episodes: EpisodeRows, constant: set[int], *, drop: bool) -> Design:
        """Refuse or drop what others determine, warn of what nearly is."""
        found = triangle(len(episodes.codes), lambda rows: self._block(episodes.codes, episodes.values, rows))
        dependent = dependent_columns(found)
        if dependent and not drop:
            raise dependent_error(
                found,
                dependent,
                self.effects.terms,
                consequence="The data cannot tell their effects apart: every way to share one effect out fits equally.",
                hint='join bins, drop the column from the formula, or write on_bad="drop" in the model.',
            )
        kept = [k for k in range(len(self.terms)) if k not in dependent]
        alone = {term.label for term in self.effects.terms if {k for k, _ in term.factors} <= constant}
        words = tuple(f"{self.terms[k]} (determined by other terms)" for k in dependent if self.terms[k] not in alone)
        effects = replace(
            self.effects, terms=tuple(self.effects.terms[k] for k in kept), left_out=self.left_out + words
        )
        if effects.left_out:
            text = f"left out because the data cannot tell them apart: {', '.join(effects.left_out)}."
            warnings.warn(text, DataWarning, stacklevel=4)
        _warn_nearly(found.take(kept), [term.label for term in effects.terms])
        return replace(self, effects=effects)

    def _block(self, codes: IntArray, values: Sequence[FloatArray | None], rows: slice) -> FloatArray:
        return self.effects.matrix(codes[rows], [None if value is None else value[rows] for value in values])

    def matrix(self, codes: IntArray, values: Sequence[FloatArray | None]) -> FloatArray:
        """Columns of rows, in their own units and not centred.

        Parameters
        ----------
        codes : array of shape (n, n_columns)
            Position of each level in ``schema.columns[k].labels``.
        values : sequence of (array of shape (n,) or None)
            Number of each column, ``None`` for a text.

        Returns
        -------
        array of shape (n, n_terms)
            Contiguous; NaN where a number is not known. Rows with a level that was never seen look like the
            reference: ask :meth:`unseen`.
        """
        x = np.empty((len(codes), len(self.terms)))
        for start in range(0, len(codes), _BLOCK):
            rows = slice(start, start + _BLOCK)
            x[rows] = self._block(codes, values, rows)
        return x

    def unseen(self, codes: IntArray, values: Sequence[FloatArray | None]) -> BoolArray:
        """Rows with a level that had no exposure, or without a number that is needed, shape (n,)."""
        bad = self.effects.unseen(codes)
        for k in self.numbers:
            number = values[k]
            bad |= True if number is None else ~np.isfinite(number)
        return bad

    def to_json(self) -> dict[str, Json]:
        """Return the design as a manifest holds it."""
        return {"formula": self.formula, "numbers": list(self.numbers), **self.effects.to_json()}

    @classmethod
    def from_json(cls, data: Mapping[str, Json], schema: CellSchema) -> Design:
        """Read the design back from a manifest, and check that the schema has what it points at.

        Raises
        ------
        SavedFitError
            If it does not.
        """
        try:
            numbers = tuple(int(k) for k in cast(list[int], data["numbers"]))
            formula = str(data["formula"])
            good = all(0 <= k < len(schema.columns) and schema.columns[k].edges is not None for k in numbers)
            check_formula(formula, schema, table="rows")
        except (KeyError, TypeError, ValueError) as error:
            raise SavedFitError("the saved fit's formula is not one of its schema.") from error
        if not good:
            raise SavedFitError("the saved fit's numbers are no columns of numbers of its schema.")
        return cls(formula, Effects.from_json(data, schema, numbers), numbers)


def _binned(episodes: EpisodeRows, k: int) -> bool:
    return episodes.schema.columns[k].name in episodes.binned


def _number(episodes: EpisodeRows, k: int) -> FloatArray:
    return cast(FloatArray, episodes.values[k])


def _check_numbers(episodes: EpisodeRows, numbers: Sequence[int]) -> None:
    """Refuse numbers that are not there, all columns in one message."""
    for error, test, what in (
        (MissingValueError, np.isnan, "not known"),
        (NonFiniteError, np.isinf, "infinite"),
    ):
        bad = {k: np.flatnonzero(test(_number(episodes, k))) for k in numbers}
        bad = {k: rows for k, rows in bad.items() if len(rows)}
        if bad:
            raise _number_error(error, what, episodes, bad)


def _number_error(
    error: type[ChurnsurvError], what: str, episodes: EpisodeRows, bad: Mapping[int, IntArray]
) -> ChurnsurvError:
    total, names = len(episodes.codes), [column.name for column in episodes.schema.columns]
    counts = "; ".join(f"{names[k]} is {what} on {len(rows):,} of {total:,} rows" for k, rows in bad.items())
    first, rows = next(iter(bad.items()))
    name = names[first]
    return error(
        f"{counts}.",
        rows=[
            {
                "customer_id": episodes.customer_id[i],
                "start": round(float(episodes.start[i]), 3),
                "stop": round(float(episodes.stop[i]), 3),
                name: float(_number(episodes, first)[i]),
            }
            for i in rows[:5].tolist()
        ],
        consequence="A number in the formula needs a value on every row; a made-up one would bend its slope.",
        hint=f"give the column bins, so that not knowing is a level of its own: bins={{{name!r}: [...]}}; "
        "or use a look-back that is always known.",
        column=name,
        count=len(rows),
        total=total,
    )


def _constant(episodes: EpisodeRows, numbers: Sequence[int], known: Mapping[int, tuple[int, ...]]) -> dict[int, str]:
    """Columns that never change, and what they always are."""
    columns = episodes.schema.columns
    found = {k: columns[k].labels[levels[0]] for k, levels in known.items() if len(levels) == 1}
    for k in numbers:
        values = _number(episodes, k)
        if values.min() == values.max():
            found[k] = f"{values[0]:g}"
    return found


def _constant_error(constant: Mapping[int, str], schema: CellSchema, n_used: int) -> FormulaError:
    names = {k: schema.columns[k].name for k in constant}
    return FormulaError(
        f"{len(constant)} of {n_used} columns are constant: "
        f"{'; '.join(f'{names[k]} is always {value}' for k, value in constant.items())}.",
        consequence="A column that never changes has no effect that could be learnt.",
        hint='leave it out of the formula, or write on_bad="drop" in the model.',
        column=next(iter(names.values())),
    )


def _check_size(n_terms: int) -> None:
    if n_terms > _MOST_TERMS:
        raise ModelSupportError(
            f"the formula has {n_terms:,} terms; at most {_MOST_TERMS:,} are supported.",
            consequence="Each costs a number on every row, and their covariance the square of their number.",
            hint="leave out columns of ids, join rare levels, or make the column a group of HierarchicalModel.",
        )


def _warn_nearly(found: Triangle, labels: Sequence[str]) -> None:
    if found.condition <= _ILL_CONDITIONED:
        return
    weights = np.abs(np.linalg.svd(found.r)[2][-1])
    worst = [labels[k] for k in np.argsort(-weights, kind="stable") if weights[k] > 0.1 * weights.max()]
    text = compose_message(
        f"{len(worst)} of {len(labels)} terms can hardly be told apart: {', '.join(worst[:5])} "
        f"(condition number {found.condition:.1e}).",
        rows=[],
        count=None,
        consequence="Their effects have very wide intervals, and rounding moves the last digits.",
        hint="leave one of them out, or use one column in place of both.",
    )
    warnings.warn(text, DataWarning, stacklevel=5)
