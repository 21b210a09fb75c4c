"""Combinations of levels that are frequent before the event, found by FP-growth."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from churnsurv._typing import BoolArray, FloatArray
from churnsurv.causes.patterns.rows import PatternRows
from churnsurv.errors import ArgumentError, ModelSupportError

MAX_CANDIDATES = 50_000
"""Combinations that are counted at most: each is a pass over the rows that meet it."""

Condition = tuple[int, int]
"""Position of a column and of one of its levels."""

Combination = tuple[Condition, ...]
"""Conditions on different columns, in the order of the columns."""


@dataclass(frozen=True, eq=False)
class PatternCandidates:
    """Combinations to be counted, and the rows that meet each condition.

    Parameters
    ----------
    combinations : tuple of Combination
        Shorter ones first; every part of a combination is there too.
    n_of_size : tuple of int
        Combinations of one, two, … of the conditions that are common enough, frequent before the event or not: what
        could have been found. It does not depend on the events, so that tests adjusted by it stay honest.
    bits : mapping of Condition to array of uint8
        Rows that meet each condition, eight to a byte.
    n_rows : int
        Number of rows.
    """

    combinations: tuple[Combination, ...]
    n_of_size: tuple[int, ...]
    bits: dict[Condition, npt.NDArray[np.uint8]]
    n_rows: int

    @classmethod
    def of(cls, rows: PatternRows, *, max_conditions: int, min_events: int, min_share: float) -> PatternCandidates:
        """Find what is frequent among the rows with events.

        Cost: FP-growth builds a tree of the events, about 10 µs each; memory is one byte for each event and condition,
        and one bit for each row and condition.

        Parameters
        ----------
        rows : PatternRows
            Rows with events.
        max_conditions : int
            Conditions in a combination at most.
        min_events : int
            Events a combination has at least.
        min_share : float
            Share of all exposure that it has at least.

        Raises
        ------
        ModelSupportError
            If mlxtend is not installed.
        ArgumentError
            If there are more than 50,000.
        """
        fpgrowth = _fpgrowth()
        conditions = _common(rows, min_share)
        frequent = _frequent(fpgrowth, rows, conditions, max_conditions, min_events)
        if len(frequent) > MAX_CANDIDATES:
            raise ArgumentError(
                f"{len(frequent):,} combinations of {len(conditions)} conditions come before at least {min_events} events, "
                f"more than {MAX_CANDIDATES:,}.",
                consequence="Counting them would take hours, and so many tests find nothing.",
                hint="raise min_events or min_share, name fewer columns in by=, or cut numbers into fewer bins.",
            )
        bits = {(k, level): np.packbits(rows.codes[:, k] == level) for k, level in conditions}
        found = cls(frequent, _n_of_size(conditions, max_conditions), bits, len(rows.exposure))
        least = min_share * rows.exposure.sum()
        common = tuple(one for one in frequent if rows.exposure[found.rows(one)].sum() >= least)
        return replace(found, combinations=common)

    @property
    def n_examined(self) -> int:
        """Combinations of any length that could have been found."""
        return sum(self.n_of_size)

    def weights(self) -> FloatArray:
        """Weight of each combination's test, shape (n,): all those of one length together weigh as much as of another.

        There are thousands of long rules for each short one; counted alike they would drown it (Webb 2008). Over
        everything that could have been found the mean weight is 1, or less.
        """
        lengths = sum(n > 0 for n in self.n_of_size)
        each = [self.n_examined / (lengths * n) if n else 0.0 for n in self.n_of_size]
        return np.array([each[len(one) - 1] for one in self.combinations])

    def rows(self, combination: Combination) -> BoolArray:
        """Rows that meet all conditions, shape (n_rows,)."""
        met = self.bits[combination[0]]
        for condition in combination[1:]:
            met = met & self.bits[condition]
        return np.unpackbits(met, count=self.n_rows).view(np.bool_)


def _fpgrowth() -> Any:
    """FP-growth of mlxtend, and the filters of warnings as they were: importing it changes them for everybody."""
    with warnings.catch_warnings():
        try:
            from mlxtend.frequent_patterns import fpgrowth
        except ImportError as error:
            raise ModelSupportError(
                "patterns are found by FP-growth of mlxtend, which is not installed.",
                hint="pip install 'churnsurv[patterns]'",
            ) from error
    return fpgrowth


def _common(rows: PatternRows, min_share: float) -> list[Condition]:
    """Conditions that hold for a share of the exposure that is large enough, and not for all rows."""
    found, total = [], rows.exposure.sum()
    for k, column in enumerate(rows.columns):
        shares = np.bincount(rows.codes[:, k], rows.exposure, len(column.labels)) / total
        counts = np.bincount(rows.codes[:, k], minlength=len(column.labels))
        kept = (counts > 0) & (counts < len(rows.codes)) & (shares >= min_share)
        found += [(k, int(level)) for level in np.flatnonzero(kept)]
    return found


def _n_of_size(conditions: Sequence[Condition], most: int) -> tuple[int, ...]:
    """Combinations of one, two, … conditions on different columns.

    Examples
    --------
    >>> _n_of_size([(0, 0), (0, 1), (1, 0), (1, 1), (1, 2)], 3)
    (5, 6, 0)
    """
    of_size = [1, *[0] * most]
    for _, group in itertools.groupby(conditions, key=lambda condition: condition[0]):
        n_levels = len(list(group))
        for size in range(most, 0, -1):
            of_size[size] += n_levels * of_size[size - 1]
    return tuple(of_size[1:])


def _frequent(
    fpgrowth: Any, rows: PatternRows, conditions: Sequence[Condition], most: int, min_events: int
) -> tuple[Combination, ...]:
    """Combinations with enough events, shorter ones first."""
    import pandas as pd

    times = rows.events.astype(np.int64)
    n_events = int(times.sum())
    if n_events < min_events or not conditions:
        return ()
    before = rows.codes[np.repeat(np.flatnonzero(times), times[times > 0])]
    table = pd.DataFrame({place: before[:, k] == level for place, (k, level) in enumerate(conditions)})
    share = (min_events - 0.5) / n_events  # half an event less: the share of a whole number may round down
    sets = fpgrowth(table, min_support=share, max_len=most)["itemsets"]
    combinations = (tuple(conditions[place] for place in sorted(one)) for one in sets)
    return tuple(sorted(combinations, key=lambda one: (len(one), one)))


def parts_of(combination: Combination) -> list[Combination]:
    """Shorter combinations inside one, the longest first; each lies in all but one of the others.

    Examples
    --------
    >>> parts_of(((0, 1), (2, 0)))
    [((0, 1),), ((2, 0),)]
    """
    sizes = range(len(combination) - 1, 0, -1)
    return [part for size in sizes for part in itertools.combinations(combination, size)]
