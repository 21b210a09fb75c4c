"""Whom customers are compared with: the average of what a fit learnt from, or levels and numbers that are named."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from churnsurv._typing import FloatArray, IntArray
from churnsurv._validate import as_floats
from churnsurv.errors import ArgumentError
from churnsurv.models.formula import Effects
from churnsurv.tables.schema import UNSEEN, CellSchema

Baseline = str | Mapping[str, object]
"""``"mean"``, or a level or number by column."""

MEAN = "mean"


@dataclass(frozen=True, eq=False)
class DriverBaseline:
    """Levels and numbers that were named; all other columns stay at the average.

    Parameters
    ----------
    schema : CellSchema
        Of the fit.
    levels : mapping of int to int
        Code of the level of each column that was named and enters by its levels.
    numbers : mapping of int to float
        Number of each column that was named and enters as a number.
    """

    schema: CellSchema
    levels: Mapping[int, int]
    numbers: Mapping[int, float]

    @property
    def named(self) -> frozenset[int]:
        """Columns that were named."""
        return frozenset(self.levels) | frozenset(self.numbers)

    @property
    def codes(self) -> IntArray:
        """One row of levels, ``UNSEEN`` where none was named, shape (1, n_columns)."""
        codes = np.full((1, len(self.schema.columns)), UNSEEN, np.int64)
        for k, level in self.levels.items():
            codes[0, k] = level
        return codes

    @property
    def values(self) -> tuple[FloatArray | None, ...]:
        """One row of numbers, ``None`` where none was named."""
        return tuple(
            np.array([self.numbers[k]]) if k in self.numbers else None for k in range(len(self.schema.columns))
        )

    def describe(self, mean: str, columns: Iterable[int]) -> str:
        """Words for whom customers are compared with.

        Parameters
        ----------
        mean : str
            What the average is taken over.
        columns : iterable of int
            Columns that stay there unless they are named.
        """
        if not self.named:
            return mean
        parts = {k: self.schema.columns[k].labels[level] for k, level in self.levels.items()}
        parts |= {k: f"{value:g}" for k, value in self.numbers.items()}
        rest = f"; else {mean}" if set(columns) - self.named else ""
        return ", ".join(f"{self.schema.columns[k].name}={parts[k]}" for k in sorted(parts)) + rest

    def columns_of(self, effects: Effects, mean: Callable[[], FloatArray]) -> FloatArray:
        """Columns of the design at the baseline, shape (n_terms,).

        Parameters
        ----------
        effects : Effects
            Terms of the design.
        mean : callable
            Returns the average of the columns; called only if some column is to stay there.

        Raises
        ------
        ArgumentError
            If an interaction is named in part.
        """
        used = [{k for k, _ in term.factors} for term in effects.terms]
        for term, columns in zip(effects.terms, used, strict=True):
            self._check_whole(columns, term.label)
        at = np.array([bool(columns) and columns <= self.named for columns in used], bool)
        found = np.zeros(len(used))
        if not at.all():
            found[~at] = mean()[~at]
        named = Effects(tuple(term for term, here in zip(effects.terms, at, strict=True) if here), {}, {})
        found[at] = named.matrix(self.codes, self.values)[0]
        return found

    def _check_whole(self, columns: set[int], label: str) -> None:
        """Refuse an interaction of columns of which some are named and some are not."""
        missing = sorted(columns - self.named)
        if columns & self.named and missing:
            names = [self.schema.columns[k].name for k in missing]
            raise ArgumentError(
                f"`baseline` names some columns of {label}, and not {', '.join(names)}.",
                column="baseline",
                consequence="The average of a product is no product of averages: the baseline would be nobody.",
                hint=f"name {' and '.join(names)} in baseline= too.",
            )

    def is_whole(self, columns: Iterable[int], label: str) -> bool:
        """Whether all of some columns were named rather than none; a part of them is refused.

        Raises
        ------
        ArgumentError
            If some were named and some were not.
        """
        wanted = set(columns)
        self._check_whole(wanted, label)
        return wanted <= self.named


def read_baseline(
    baseline: Baseline, schema: CellSchema, numbers: Iterable[int], known: Mapping[int, Iterable[int]]
) -> DriverBaseline:
    """Check what customers are to be compared with.

    Parameters
    ----------
    baseline : "mean" or mapping of str to level or number
        As the caller wrote it.
    schema : CellSchema
        Of the fit.
    numbers : iterable of int
        Columns that enter as numbers.
    known : mapping of int to iterable of int
        Levels the fit has met, of every column that enters by its levels.

    Raises
    ------
    ArgumentError
        If it is neither, names a column that the fit does not use, or a level that the fit never met.
    DataTypeError, MissingValueError, NonFiniteError
        If a number is none.
    """
    if isinstance(baseline, str) or not isinstance(baseline, Mapping):
        if not isinstance(baseline, str) or baseline != MEAN:
            raise ArgumentError(
                f"`baseline`={baseline!r} is unknown.",
                column="baseline",
                hint='write baseline="mean", or a level or number by column: baseline={"plan": "basic"}.',
            )
        return DriverBaseline(schema, {}, {})
    places = {schema.columns[k].name: k for k in sorted({*numbers, *known})}
    unknown = [name for name in baseline if name not in places]
    if unknown:
        raise ArgumentError(
            f"`baseline` names {len(unknown)} of {len(baseline)} columns that the fit does not use: "
            f"{', '.join(map(str, unknown[:5]))}.",
            column="baseline",
            consequence="They would change nothing.",
            hint=f"columns are: {', '.join(places) or 'none'}.",
        )
    as_numbers = set(numbers)
    given = {places[name]: value for name, value in baseline.items()}
    return DriverBaseline(
        schema,
        {k: _level(schema, k, value, known[k]) for k, value in given.items() if k not in as_numbers},
        {k: _number(schema, k, value) for k, value in given.items() if k in as_numbers},
    )


def _number(schema: CellSchema, k: int, value: object) -> float:
    return float(as_floats([value], f"baseline[{schema.columns[k].name!r}]", ndim=1)[0])


def _level(schema: CellSchema, k: int, value: object, known: Iterable[int]) -> int:
    """Code of a level; of a column with bins also by a number that lies in one."""
    column, codes = schema.columns[k], sorted(known)
    by_number = column.edges is not None and isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if by_number:
        code = int(column.code_values(np.array([_number(schema, k, value)]))[0])
    else:
        code = column.labels.index(value) if isinstance(value, str) and value in column.labels else UNSEEN
    if code not in codes:
        raise ArgumentError(
            f"`baseline` has {column.name}={value!r}, a level that the fit has never met.",
            column="baseline",
            consequence="Nothing is known of such customers, so that nobody can be compared with them.",
            hint=f"levels are: {', '.join(column.labels[code] for code in codes)}.",
        )
    return code
