"""Argument checks shared by every layer: converted once at the door, trusted inside.

Each check returns the argument in the one type the library computes with, or refuses it with
a class of :mod:`churnsurv.errors` that says how many values offend, which, and what to write instead.
"""

from __future__ import annotations

import math
import numbers
import operator
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from churnsurv._typing import BoolArray, FloatArray, Row
from churnsurv.errors import (
    ArgumentError,
    BreaksError,
    ChurnsurvError,
    DataTypeError,
    EmptyDataError,
    HorizonError,
    MissingValueError,
    NonFiniteError,
)

ROWS_KEPT = 5
"""Offending rows an error carries."""


def refuse(
    error: type[ChurnsurvError],
    bad: BoolArray,
    what: str,
    *,
    columns: Mapping[str, npt.NDArray[Any]],
    consequence: str = "",
    hint: str = "",
) -> None:
    """Raise ``error`` if any value is bad, naming how many and showing the first five.

    Parameters
    ----------
    error : subclass of ChurnsurvError
        What to raise.
    bad : array of bool, any shape
        True where a value offends.
    what : str
        What is wrong, to follow "3 of 11 values of `exit` ".
    columns : mapping of str to array
        Values to show per offending row, all of the shape of ``bad``; the first one is named.
    consequence, hint : str
        As in :class:`~churnsurv.errors.ChurnsurvError`.

    Raises
    ------
    ChurnsurvError
        The class given, if any value is bad.
    """
    positions = np.flatnonzero(bad)
    if not len(positions):
        return
    column = next(iter(columns))
    flat = {key: np.asarray(values).ravel() for key, values in columns.items()}
    rows: list[Row] = [
        {
            "row": int(i),
            **{key: values[i].item() if hasattr(values[i], "item") else values[i] for key, values in flat.items()},
        }
        for i in positions[:ROWS_KEPT]
    ]
    raise error(
        f"{len(positions):,} of {bad.size:,} values of `{column}` {what}",
        rows=rows,
        consequence=consequence,
        hint=hint,
        column=column,
        count=len(positions),
        total=int(bad.size),
    )


def plain_array(values: object, name: str) -> npt.NDArray[Any]:
    """Array of whatever type the values have; masked values and ragged rows are refused."""
    if isinstance(values, np.ma.MaskedArray):
        hidden: BoolArray = np.ma.getmaskarray(values)
        refuse(
            MissingValueError,
            hidden,
            "are masked.",
            columns={name: np.full(values.shape, "masked")},
            hint=f"leave the rows out first: {name} = {name}.compressed(), and the same rows of every other argument.",
        )
        values = values.data
    try:
        return np.asarray(values)
    except (ValueError, TypeError) as error:
        raise DataTypeError(
            f"`{name}` is not a rectangular array of numbers: {error}.",
            column=name,
            hint=f"pass {name} as one sequence of numbers of one length.",
        ) from error


def _is_missing(value: object) -> bool:
    return value is None or type(value).__name__ in ("NAType", "NaTType")


def _refuse_object(values: npt.NDArray[Any], name: str) -> None:
    flat = values.ravel()
    refuse(
        MissingValueError,
        np.fromiter((_is_missing(value) for value in flat), dtype=np.bool_, count=len(flat)),
        "are missing.",
        columns={name: values},
        hint=f"leave out the rows where {name} is missing, and say how many there were.",
    )
    kinds = sorted({type(value).__name__ for value in flat})
    raise DataTypeError(
        f"`{name}` holds objects ({', '.join(kinds)}), not numbers.",
        column=name,
        hint=f"convert it where its meaning is known: {name} = np.asarray({name}, dtype=float); "
        "a sparse matrix needs .toarray().",
    )


def as_floats(values: object, name: str, *, ndim: int | None = None, infinite: bool = False) -> FloatArray:
    """Numbers as float64, without missing values.

    Booleans and integers of every width are cast before any arithmetic, so that ``uint8`` cannot wrap
    around. Text, dates, complex numbers, objects and sparse matrices are refused, never guessed.

    Parameters
    ----------
    values : array-like
        What the caller gave.
    name : str
        How errors call it.
    ndim : int, optional
        Required number of axes.
    infinite : bool
        Whether plus and minus infinity are allowed.

    Returns
    -------
    array of float64
        Same shape. Shares memory with ``values`` when they already are float64.

    Raises
    ------
    DataTypeError
        If the values are not real numbers.
    MissingValueError
        If some are NaN, None or masked.
    NonFiniteError
        If some are infinite and ``infinite`` is false.
    ArgumentError
        If the number of axes is wrong.

    Examples
    --------
    >>> as_floats(np.array([200, 100], dtype=np.uint8), "exit").sum()
    np.float64(300.0)
    """
    array = plain_array(values, name)
    if array.dtype.kind == "O":
        _refuse_object(array, name)
    if array.dtype.kind not in "biuf":
        raise DataTypeError(
            f"`{name}` has type {array.dtype}; it must hold real numbers.",
            column=name,
            hint=f"convert it where its meaning is known, e.g. {name} = ({name} == 'yes').astype(int) for text "
            f"or {name} = {name} / np.timedelta64(1, 'D') for durations.",
        )
    numbers_ = array.astype(np.float64, copy=False)
    if ndim is not None and numbers_.ndim != ndim:
        raise ArgumentError(
            f"`{name}` has {numbers_.ndim} axes (shape {numbers_.shape}); it needs {ndim}.",
            column=name,
            hint=f"pass {name} with {ndim} {'axis' if ndim == 1 else 'axes'}.",
        )
    refuse(
        MissingValueError,
        np.isnan(numbers_),
        "are NaN.",
        columns={name: numbers_},
        hint=f"leave out the rows where {name} is missing, and say how many there were.",
    )
    if not infinite:
        refuse(
            NonFiniteError,
            np.isinf(numbers_),
            "are infinite.",
            columns={name: numbers_},
            hint=f"{name} must be finite; an end that is not known yet is a censoring, not infinity.",
        )
    return numbers_


def same_length(columns: Mapping[str, npt.NDArray[Any]]) -> int:
    """Count the rows that all columns share.

    Raises
    ------
    ArgumentError
        If the columns have different lengths.
    EmptyDataError
        If there are no rows.
    """
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} has {n:,}" for name, n in lengths.items())
        raise ArgumentError(
            f"the arguments have different numbers of rows: {told}.",
            consequence="Rows are matched by position; a shifted column gives a wrong answer without any sign.",
            hint="pass one value per spell in every argument.",
        )
    n_rows = next(iter(lengths.values()))
    if not n_rows:
        raise EmptyDataError(
            f"there are no spells: {', '.join(lengths)} are empty.",
            count=0,
            total=0,
            hint="check the filter or the observation window before this call.",
        )
    return n_rows


def check_breaks(breaks: object, name: str = "breaks", *, minimum: float | None = 0.0) -> FloatArray:
    """Edges as float64: at least two, finite, strictly increasing.

    Parameters
    ----------
    breaks : array-like of shape (n_periods + 1,)
        Edges.
    name : str
        How errors call them.
    minimum : float or None
        Smallest value allowed; time starts at 0. ``None`` for bins of a feature.

    Raises
    ------
    BreaksError
        If there are fewer than two, if they do not increase, or the first lies below ``minimum``.

    Examples
    --------
    >>> check_breaks([0, 30, 90])
    array([ 0., 30., 90.])
    """
    edges = as_floats(breaks, name, ndim=1)
    hint = f"write {name}=[0, 30, 60, 90]: increasing edges, one more than there are periods."
    if len(edges) < 2:
        raise BreaksError(f"`{name}` has {len(edges)} edges; one period needs two.", column=name, hint=hint)
    refuse(
        BreaksError,
        np.diff(edges) <= 0,
        "are not followed by a larger one.",
        columns={name: edges[:-1], "next": edges[1:]},
        consequence="A period without length has no exposure, and no hazard.",
        hint=hint,
    )
    if minimum is not None and edges[0] < minimum:
        raise BreaksError(f"`{name}` starts at {edges[0]:g}, before {minimum:g}.", column=name, hint=hint)
    return edges


def _real(value: object, name: str, hint: str) -> float:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (numbers.Real, np.integer, np.floating)):
        raise DataTypeError(f"`{name}`={value!r} is not a number.", column=name, hint=hint)
    return float(value)


def check_ci_prob(ci_prob: object) -> float:
    """Probability that an interval covers, strictly between 0 and 1.

    Raises
    ------
    ArgumentError
        If it lies outside.
    DataTypeError
        If it is not a number.
    """
    hint = "write ci_prob=0.90 for 90 per cent."
    prob = _real(ci_prob, "ci_prob", hint)
    if not 0 < prob < 1:
        raise ArgumentError(f"`ci_prob`={ci_prob!r} is not strictly between 0 and 1.", column="ci_prob", hint=hint)
    return prob


def check_horizons(horizon: object, name: str = "horizon") -> list[float]:
    """One horizon or several as a list of positive, finite, different numbers, in the order given.

    Raises
    ------
    HorizonError
        If there is none, one is not positive and finite, or one is given twice.
    DataTypeError
        If one is not a number.

    Examples
    --------
    >>> check_horizons(30), check_horizons([30, 60])
    ([30.0], [30.0, 60.0])
    """
    hint = f"write {name}=30 or {name}=[30, 60, 90], in days."
    several = isinstance(horizon, Iterable) and not isinstance(horizon, (str, bytes)) and np.ndim(horizon) > 0  # type: ignore[arg-type]
    values = [_real(value, name, hint) for value in horizon] if several else [_real(horizon, name, hint)]  # type: ignore[attr-defined]
    if not values:
        raise HorizonError(f"`{name}` is empty.", column=name, hint=hint)
    bad = [value for value in values if not (math.isfinite(value) and value > 0)]
    if bad:
        raise HorizonError(
            f"{len(bad)} of {len(values)} values of `{name}` are not positive and finite: {bad[0]!r}.",
            column=name,
            count=len(bad),
            total=len(values),
            hint=hint,
        )
    if len(set(values)) < len(values):
        raise HorizonError(f"`{name}` names a value twice: {values}.", column=name, hint=hint)
    return values


def check_rng(rng: object) -> np.random.Generator:
    """Return a generator of random numbers, from a seed or as given.

    ``None`` is refused: a number that nobody can reproduce cannot be checked. Functions of the library
    have a seed as their default.

    Parameters
    ----------
    rng : int or numpy.random.Generator
        Seed >= 0, or a generator, which is used and advanced.

    Raises
    ------
    DataTypeError
        If it is neither.
    ArgumentError
        If the seed is negative.
    """
    hint = "write rng=0, or rng=np.random.default_rng(0)."
    if isinstance(rng, np.random.Generator):
        return rng
    if isinstance(rng, (bool, np.bool_)) or not isinstance(rng, (int, np.integer)):
        raise DataTypeError(
            f"`rng`={rng!r} is neither a seed nor a numpy.random.Generator.",
            column="rng",
            consequence="Without a seed the same call gives another answer each time.",
            hint=hint,
        )
    if rng < 0:
        raise ArgumentError(f"`rng`={rng!r} is negative; a seed is not.", column="rng", hint=hint)
    return np.random.default_rng(int(rng))


def check_count(value: object, name: str, *, minimum: int = 1) -> int:
    """Whole number of at least ``minimum``.

    Raises
    ------
    DataTypeError
        If it is not a whole number by type; 1000.0 is not.
    ArgumentError
        If it is too small.

    Examples
    --------
    >>> check_count(np.int64(4), "n_draws")
    4
    """
    hint = f"write {name}={max(minimum, 1)} or more, as a whole number."
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise DataTypeError(f"`{name}`={value!r} is not a whole number.", column=name, hint=hint)
    count = operator.index(value)
    if count < minimum:
        raise ArgumentError(f"`{name}`={count} is below {minimum}.", column=name, hint=hint)
    return count


def check_choice(value: object, name: str, options: Iterable[str]) -> str:
    """One of a few words.

    Raises
    ------
    ArgumentError
        If it is none of them.
    """
    known = tuple(options)
    if isinstance(value, str) and value in known:
        return value
    listed = ", ".join(f'"{option}"' for option in known)
    raise ArgumentError(f"`{name}`={value!r} is unknown.", column=name, hint=f"{name} is one of {listed}.")
