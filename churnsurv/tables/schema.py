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
from churnsurv.tables.churn import ChurnDefinition
from churnsurv.tables.contracts import definition_from_json
from churnsurv.tables.features import NONE_YET, Feature, feature_from_json

AsOf = Literal["spell", "period", "landmark"]

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
        Levels in order; the last is ``blank`` where it occurs.
    edges : tuple of float or None
        Bin edges, increasing; bin k is ``(edges[k], edges[k + 1]]``, the first one closed on both
        sides. ``None`` for text. Edges stay as given, they never move with new data.
    blank : str
        Level of what is not known yet: ``none yet``, or ``not yet`` for an arrival.
    """

    name: str
    labels: tuple[str, ...]
    edges: tuple[float, ...] | None = None
    blank: str = NONE_YET

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
            NaN to ``blank`` or to ``UNSEEN`` where that level was never seen.
        """
        if self.edges is None:
            raise ArgumentError(f"{self.name} is text; its levels have no edges.")
        codes = np.searchsorted(np.asarray(self.edges[1:-1]), values, side="left").astype(np.int64)
        codes[np.isnan(values)] = self.labels.index(self.blank) if self.blank in self.labels else UNSEEN
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
        blank: dict[str, Json] = {} if self.blank == NONE_YET else {"blank": self.blank}
        return {"name": self.name, "labels": list(self.labels), "edges": edges, **blank}


@dataclass(frozen=True)
class CellSchema:
    """Everything that is needed to put a new log's customers into the cells of an old one.

    Parameters
    ----------
    churn : ChurnDefinition
        Definition and clock.
    breaks : tuple of float
        Period edges in days on the clock; period j is ``(breaks[j], breaks[j + 1]]``.
    columns : tuple of PatternColumn
        Covariates of the cells.
    features : tuple of Feature
        Declarations that made them.
    as_of : {"spell", "period", "landmark"}
        Moment at which the features were taken.
    timezone : str
        Zone in which days were merged.
    reach : float or None
        Days that rows were followed from their landmark; no risk is told further ahead.
    calendar : {"month", None}
        Whether rows were split on calendar months: the last column is then ``calendar_month``.
    """

    churn: ChurnDefinition
    breaks: tuple[float, ...]
    columns: tuple[PatternColumn, ...]
    features: tuple[Feature, ...] = ()
    as_of: AsOf = "spell"
    timezone: str = "UTC"
    reach: float | None = None
    calendar: Literal["month"] | None = None

    @property
    def n_periods(self) -> int:
        """Number of periods."""
        return len(self.breaks) - 1

    @property
    def covariates(self) -> tuple[PatternColumn, ...]:
        """Columns that tell customers apart: all but the calendar month, which is the same for everyone at a moment."""
        return self.columns[:-1] if self.calendar else self.columns

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
        >>> from churnsurv.tables.churn import Silence
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
            **({} if self.reach is None else {"reach": self.reach}),
            **({} if self.calendar is None else {"calendar": self.calendar}),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> CellSchema:
        """Read a schema back from a manifest."""
        raw = cast(dict[str, list[dict[str, Json]]], data)
        return cls(
            churn=definition_from_json(cast(dict[str, Json], data["churn"])),
            breaks=tuple(float(cast(float, edge)) for edge in cast(list[Json], data["breaks"])),
            columns=tuple(_column_from_json(column) for column in raw["columns"]),
            features=tuple(feature_from_json(feature) for feature in raw["features"]),
            as_of=cast(AsOf, data["as_of"]),
            timezone=str(data["timezone"]),
            reach=None if data.get("reach") is None else float(cast(float, data["reach"])),
            calendar=cast(Literal["month"] | None, data.get("calendar")),
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
        str(data["name"]),
        tuple(labels),
        None if edges is None else tuple(float(edge) for edge in edges),
        str(data.get("blank", NONE_YET)),
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
