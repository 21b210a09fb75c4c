"""Simulated events gathered by kind and written as one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from churnsurv._typing import BoolArray, IntArray, StrArray
from churnsurv.errors import ArgumentError
from churnsurv.tables.window import ObservationWindow

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

Part = Literal["window", "future", "all"]
"""Which events: inside the window, after its end, or all of them."""

Levels = Mapping[str, tuple[str, ...]]
"""Text columns and the names of their codes."""

Codes = np.ndarray[Any, np.dtype[np.integer[Any]]]
"""Positions of levels, in as few bytes as they need."""

Column = np.ndarray[Any, np.dtype[Any]]
"""One column of a simulated table."""

Columns = dict[str, Column]
"""Columns of one length by name."""


def customer_names(customers: IntArray, n_customers: int) -> StrArray:
    """Ids such as ``c0042``, all of one length, so that they sort like the numbers.

    Parameters
    ----------
    customers : array of int
        Positions, 0-based.
    n_customers : int
        Customers in all.

    Examples
    --------
    >>> customer_names(np.array([0, 41]), 1000)
    array(['c0001', 'c0042'], dtype=object)
    """
    width = len(str(n_customers))
    return np.array([f"c{number + 1:0{width}d}" for number in np.asarray(customers).tolist()], dtype=object)


class Rows:
    """Events within ``[low, high)``, added kind by kind.

    Parameters
    ----------
    low, high : int
        Microseconds since 1970-01-01 UTC.
    """

    def __init__(self, low: int, high: int) -> None:
        self._low, self._high = low, high
        self._kinds: list[str] = []
        self._parts: list[tuple[IntArray, IntArray, dict[str, Column]]] = []

    def add(
        self, kind: str, customer: IntArray, time: IntArray, happens: BoolArray, columns: Mapping[str, Column]
    ) -> None:
        """Add events of one kind: those that happen, and happen within the span."""
        rows = np.flatnonzero(happens & (time >= self._low) & (time < self._high))
        self._kinds.append(kind)
        self._parts.append((customer[rows], time[rows], {name: column[rows] for name, column in columns.items()}))

    def join(self, other: Rows) -> Rows:
        """Both together."""
        both = Rows(self._low, self._high)
        both._kinds = self._kinds + other._kinds
        both._parts = self._parts + other._parts
        return both

    def table(self, n_customers: int, values: Sequence[str], levels: Levels) -> pa.Table:
        """All events ordered by time: ``customer_id, time, kind``, numbers, and text by its levels.

        Parameters
        ----------
        n_customers : int
            Customers in all.
        values : sequence of str
            Numeric columns, missing where a kind does not have them.
        levels : mapping
            Text columns, missing likewise.
        """
        import pyarrow as pa

        time = np.concatenate([part[1] for part in self._parts])
        order = np.argsort(time, kind="stable")
        sizes = [len(part[1]) for part in self._parts]
        customer = np.concatenate([part[0] for part in self._parts])[order].astype(np.int32)
        kind = np.repeat(np.arange(len(sizes), dtype=np.int8), sizes)[order]
        columns = {
            "customer_id": _text(customer, None, customer_names(np.arange(n_customers), n_customers)),
            "time": pa.array(time[order]).cast(pa.timestamp("us", "UTC")),
            "kind": _text(kind, None, self._kinds),
        }
        for name in values:
            numbers, missing = self._gather(name, order, np.dtype(np.float64))
            columns[name] = pa.array(numbers, mask=missing)
        for name, names in levels.items():
            codes, missing = self._gather(name, order, np.dtype(np.int16))
            columns[name] = _text(codes, missing, names)
        return pa.table(columns)

    def _gather(self, name: str, order: IntArray, dtype: np.dtype[Any]) -> tuple[Column, BoolArray]:
        filled = [part[2].get(name, np.zeros(len(part[1]), dtype)).astype(dtype) for part in self._parts]
        missing = [np.full(len(part[1]), name not in part[2]) for part in self._parts]
        return np.concatenate(filled)[order], np.concatenate(missing)[order]


def _text(codes: Column, missing: BoolArray | None, names: Sequence[str] | StrArray) -> pa.DictionaryArray:
    import pyarrow as pa

    return pa.DictionaryArray.from_arrays(pa.array(codes, mask=missing), pa.array(names, pa.string()))


def part_span(window: ObservationWindow, timezone: str, part: Part) -> tuple[int, int]:
    """Microseconds UTC from which and before which a part's events happen.

    Raises
    ------
    ArgumentError
        If there is no such part.
    """
    start, end = window.resolve(timezone)
    latest = int(np.iinfo(np.int64).max)
    spans = {"window": (start, end), "future": (end, latest), "all": (-latest, latest)}
    if part not in spans:
        raise ArgumentError(f"part={part!r} is unknown.", hint='part is "window", "future" or "all".')
    return spans[part]


def moments(times: IntArray) -> pd.DatetimeIndex:
    """Microseconds UTC as pandas shows them."""
    import pandas as pd

    return pd.to_datetime(times, unit="us", utc=True)


def categories(codes: Codes, names: Sequence[str]) -> pd.Categorical[str]:
    """Levels as pandas shows them."""
    import pandas as pd

    return pd.Categorical.from_codes(codes.astype(np.int64), pd.Index(list(names), dtype=str))


def join(parts: Sequence[Columns]) -> Columns:
    """Tables below each other."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
