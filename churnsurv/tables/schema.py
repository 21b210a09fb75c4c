"""How a moment in a customer's life becomes a cell: stored with the cells and with every fit."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np

from churnsurv._typing import FloatArray, IntArray, Json, StrArray
from churnsurv.errors import ArgumentError
from churnsurv.tables.churn import Silence
from churnsurv.tables.features import NONE_YET, Feature, feature_from_json

UNSEEN = -1
"""Code of a level that the table does not have."""


@dataclass(frozen=True)
class PatternColumn:
    """One covariate of the cells: bins of a number, or the levels of a text.

    Parameters
    ----------
    name : str
        Column name.
    labels : tuple of str
        Levels in order; the last is ``none yet`` where it occurs.
    edges : tuple of float or None
        Bin edges, increasing; bin k is ``(edges[k], edges[k + 1]]``, the first one closed on both
        sides. ``None`` for text. Edges stay as given, they never move with new data.
    """

    name: str
    labels: tuple[str, ...]
    edges: tuple[float, ...] | None = None

    def code_values(self, values: FloatArray) -> IntArray:
        """Bin of each number.

        Parameters
        ----------
        values : array of shape (n,)
            Numbers; NaN means nothing is known yet.

        Returns
        -------
        array of shape (n,)
            Position in ``labels``; values outside the edges go to the nearest bin (see :meth:`outside`),
            NaN to ``none yet`` or to ``UNSEEN`` where that level was never seen.
        """
        if self.edges is None:
            raise ArgumentError(f"{self.name} is text; its levels have no edges.")
        codes = np.searchsorted(np.asarray(self.edges[1:-1]), values, side="left").astype(np.int64)
        codes[np.isnan(values)] = self.labels.index(NONE_YET) if NONE_YET in self.labels else UNSEEN
        return codes

    def code_levels(self, levels: StrArray) -> IntArray:
        """Position of each text in ``labels``; ``UNSEEN`` where the table has no such level."""
        where = {label: code for code, label in enumerate(self.labels)}
        return np.fromiter((where.get(level, UNSEEN) for level in levels), np.int64, len(levels))

    def outside(self, values: FloatArray) -> np.ndarray:
        """Tell which numbers lie outside the outermost edges: their bin is an extrapolation."""
        if self.edges is None:
            return np.zeros(len(values), bool)
        with np.errstate(invalid="ignore"):
            return (values < self.edges[0]) | (values > self.edges[-1])

    def to_json(self) -> dict[str, Json]:
        """Return the column as a manifest holds it (infinite edges as text)."""
        edges = None if self.edges is None else [edge if math.isfinite(edge) else str(edge) for edge in self.edges]
        return {"name": self.name, "labels": list(self.labels), "edges": edges}


@dataclass(frozen=True)
class CellSchema:
    """Everything that is needed to put a new log's customers into the cells of an old one.

    Parameters
    ----------
    churn : Silence
        Definition and clock.
    breaks : tuple of float
        Period edges in days on the clock; period j is ``(breaks[j], breaks[j + 1]]``.
    columns : tuple of PatternColumn
        Covariates of the cells.
    features : tuple of Feature
        Declarations that made them.
    as_of : {"spell", "period"}
        Moment at which the features were taken.
    timezone : str
        Zone in which days were merged.
    """

    churn: Silence
    breaks: tuple[float, ...]
    columns: tuple[PatternColumn, ...]
    features: tuple[Feature, ...] = ()
    as_of: Literal["spell", "period"] = "spell"
    timezone: str = "UTC"

    @property
    def n_periods(self) -> int:
        """Number of periods."""
        return len(self.breaks) - 1

    @property
    def causes(self) -> tuple[str, ...]:
        """Names of the events 1…K."""
        return self.churn.causes

    def column(self, name: str) -> PatternColumn:
        """Column by name."""
        for column in self.columns:
            if column.name == name:
                return column
        raise ArgumentError(
            f"the cells have no column {name!r}.", hint=f"columns are: {', '.join(c.name for c in self.columns)}."
        )

    def period_of(self, times: FloatArray) -> IntArray:
        """Period in which each time lies, ``n_periods`` beyond the last break.

        Examples
        --------
        >>> schema = CellSchema(Silence(("order",), 90), (0.0, 30.0, 90.0), ())
        >>> schema.period_of(np.array([0.0, 30.0, 30.5, 91.0]))
        array([0, 0, 1, 2])
        """
        return np.searchsorted(np.asarray(self.breaks[1:]), times, side="left").astype(np.int64)

    def to_json(self) -> dict[str, Json]:
        """Return the schema as a manifest holds it."""
        return {
            "churn": self.churn.to_json(),
            "breaks": list(self.breaks),
            "columns": [column.to_json() for column in self.columns],
            "features": [feature.to_json() for feature in self.features],
            "as_of": self.as_of,
            "timezone": self.timezone,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> CellSchema:
        """Read a schema back from a manifest."""
        raw = cast(dict[str, list[dict[str, Json]]], data)
        churn = dict(cast(dict[str, Json], data["churn"]))
        if churn.pop("type", None) != "Silence":
            raise ArgumentError(f"churn definition {data['churn']!r} is unknown.")
        return cls(
            churn=Silence(**churn),  # type: ignore[arg-type]
            breaks=tuple(float(cast(float, edge)) for edge in cast(list[Json], data["breaks"])),
            columns=tuple(_column_from_json(column) for column in raw["columns"]),
            features=tuple(feature_from_json(feature) for feature in raw["features"]),
            as_of=cast(Literal["spell", "period"], data["as_of"]),
            timezone=str(data["timezone"]),
        )


def read_edges(edges: object) -> tuple[float, ...]:
    """Edges as floats; nothing at all where they are no numbers, so that the caller's own check refuses them.

    Examples
    --------
    >>> read_edges([0, 30]), read_edges("30"), read_edges(["a", "b"])
    ((0.0, 30.0), (), ())
    """
    if isinstance(edges, str) or not isinstance(edges, Iterable):
        return ()
    try:
        return tuple(float(edge) for edge in edges)
    except (TypeError, ValueError):
        return ()


def _column_from_json(data: dict[str, Json]) -> PatternColumn:
    edges = cast(list[float | str] | None, data["edges"])
    labels = cast(list[str], data["labels"])
    return PatternColumn(
        str(data["name"]), tuple(labels), None if edges is None else tuple(float(edge) for edge in edges)
    )


def bin_labels(edges: tuple[float, ...], *, integer: bool) -> tuple[str, ...]:
    """Names of the bins between edges, as a person would write them.

    Parameters
    ----------
    edges : tuple of float
        Increasing, at least two; bin k is ``(edges[k], edges[k + 1]]``, the first closed on both sides.
    integer : bool
        Whether only whole numbers occur.

    Examples
    --------
    >>> bin_labels((1, 2, 5, float("inf")), integer=True)
    ('1–2', '3–5', '6 or more')
    >>> bin_labels((float("-inf"), 100, 250.5), integer=False)
    ('up to 100', '100–250.5')
    """
    for digits in (6, 9, 12, 15, 17):  # more only where six do not tell the edges apart
        names = [_bin_label(k, *pair, integer, digits) for k, pair in enumerate(itertools.pairwise(edges))]
        if len(set(names)) == len(names):
            break
    return tuple(names)


def _bin_label(place: int, low: float, high: float, integer: bool, digits: int) -> str:
    def text(number: float) -> str:
        short = f"{number:,.{digits}g}"
        return f"{number:,.0f}" if "e+" in short and abs(number) < 1e15 else short

    first = math.floor(low) + 1 if integer and place and math.isfinite(low) else low
    last = math.floor(high) if integer and math.isfinite(high) else high
    if low == -math.inf:
        return "any" if high == math.inf else f"up to {text(last)}"
    if high == math.inf:
        return f"{text(first)} or more" if integer else f"over {text(first)}"
    if high == math.nextafter(low, math.inf):
        return text(high)
    return text(first) if text(first) == text(last) else f"{text(first)}–{text(last)}"


def find_bin(edges: tuple[float, ...], value: float) -> int:
    """Bin of one number by bisection; the definition that :meth:`PatternColumn.code_values` vectorises."""
    return bisect.bisect_left(edges[1:-1], value)
