"""Columns of a linear predictor gathered into terms, and how far each customer lies from the baseline in them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from churnsurv._typing import BoolArray, FloatArray, IntArray, StrArray
from churnsurv.causes.drivers.rows import joined_texts, level_texts, number_texts, numbers_of
from churnsurv.models.base import PatternRows
from churnsurv.models.formula import Effects
from churnsurv.tables.schema import CellSchema


@dataclass(frozen=True, eq=False)
class Told:
    """What rows are told; arrays of shape (n, n_terms + 1), the last column is the sum of all terms.

    Parameters
    ----------
    value, lower, upper : array
        Contribution and its bounds on the scale of the linear predictor.
    """

    value: FloatArray
    lower: FloatArray
    upper: FloatArray

    def spread(self, good: BoolArray) -> Told:
        """Put rows back among those of which nothing is told: NaN there.

        Parameters
        ----------
        good : array of bool, shape (m,)
            Which rows these are.
        """
        parts = []
        for values in (self.value, self.lower, self.upper):
            whole = np.full((len(good), values.shape[1]), np.nan)
            whole[good] = values
            parts.append(whole)
        return Told(*parts)


class Drivers(Protocol):
    """A fit as a sum of terms, for one baseline.

    Attributes
    ----------
    names : tuple of str
        Terms.
    scale : str
        What contributions add up on.
    bounded : bool
        Whether there are bounds.
    baseline : str
        Whom customers are compared with, in words.
    caveats : tuple of str
        What must be read beside every number.
    """

    @property
    def names(self) -> tuple[str, ...]:
        """Terms."""

    @property
    def scale(self) -> str:
        """Scale."""

    @property
    def bounded(self) -> bool:
        """Whether there are bounds."""

    @property
    def baseline(self) -> str:
        """Baseline."""

    @property
    def caveats(self) -> tuple[str, ...]:
        """Sentences."""

    def told(self, rows: PatternRows, ci_prob: float) -> Told:
        """Contributions of n rows with bounds; NaN for rows without a prediction."""

    def texts(self, rows: PatternRows) -> StrArray:
        """Level or number of each row in each term, shape (n, n_terms)."""

    def draws(self, rows: PatternRows) -> FloatArray:
        """Contributions by draw, shape (n_draws, n, n_terms)."""


@dataclass(frozen=True, eq=False)
class DriverTerms:
    """Fixed effects by term: ``plan`` is one term however many levels it has, and so is ``plan:revenue``.

    Parameters
    ----------
    schema : CellSchema
        Columns.
    effects : Effects
        Columns of the design.
    numbers : frozenset of int
        Columns of the schema that enter as numbers.
    reference : array of shape (n_columns,)
        Columns of the design at the baseline.
    """

    schema: CellSchema
    effects: Effects
    numbers: frozenset[int]
    reference: FloatArray

    @cached_property
    def _places(self) -> dict[tuple[int, ...], list[int]]:
        """Columns of the design by the columns of the schema that they are made of."""
        found: dict[tuple[int, ...], list[int]] = {}
        for at, term in enumerate(self.effects.terms):
            found.setdefault(tuple(sorted({k for k, _ in term.factors})), []).append(at)
        return found

    @property
    def columns(self) -> frozenset[int]:
        """Columns of the schema that some term is made of."""
        return frozenset(k for columns in self._places for k in columns)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the terms, in the order of the formula."""
        return tuple(":".join(self.schema.columns[k].name for k in columns) for columns in self._places)

    @property
    def places(self) -> tuple[IntArray, ...]:
        """Columns of the design of each term."""
        return tuple(np.asarray(at, np.int64) for at in self._places.values())

    def difference(self, rows: PatternRows) -> FloatArray:
        """How far rows lie from the baseline, shape (n, n_columns) of the design."""
        return np.asarray(self.effects.matrix(rows.codes, numbers_of(rows)) - self.reference)

    def texts(self, rows: PatternRows) -> StrArray:
        """Level or number of each row in each term, shape (n, n_terms)."""
        values, n = numbers_of(rows), len(rows.codes)
        found = np.empty((n, len(self._places)), dtype=object)
        for place, columns in enumerate(self._places):
            parts = [
                level_texts(rows, k) if number is None or k not in self.numbers else number_texts(number)
                for k in columns
                for number in (values[k],)
            ]
            found[:, place] = joined_texts(parts)
        return found
