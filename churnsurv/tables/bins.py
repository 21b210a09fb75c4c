"""Bins of numeric features: given edges, or quantiles of what the spells show."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from churnsurv.errors import ArgumentError, BreaksError, EmptyDataError
from churnsurv.tables.engines import Engine, quote
from churnsurv.tables.features import NONE_YET, Feature
from churnsurv.tables.schema import PatternColumn, bin_labels, read_edges


@dataclass(frozen=True)
class Quantiles:
    """Bins that hold about equally many spells each.

    Parameters
    ----------
    n : int
        Number of bins, >= 2; fewer where values are tied. A lowest value that many spells share has a
        bin of its own.
    """

    n: int = 4

    def __post_init__(self) -> None:
        """Check the number."""
        if isinstance(self.n, bool) or not isinstance(self.n, int) or self.n < 2:
            raise ArgumentError(
                f"Quantiles(n={self.n!r}): n is a whole number of at least 2.", hint="write Quantiles(4)."
            )


Bins = Mapping[str, Sequence[float] | Quantiles]


def check_edges(name: str, edges: Sequence[float]) -> tuple[float, ...]:
    """Refuse bin edges that do not increase; the outer two may be infinite.

    Raises
    ------
    BreaksError
        Naming the column.
    """
    kept = read_edges(edges)
    increasing = all(low < high for low, high in itertools.pairwise(kept))
    if len(kept) < 2 or not increasing or any(math.isnan(edge) for edge in kept) or any(map(math.isinf, kept[1:-1])):
        raise BreaksError(
            f"bin edges of {name!r} are not at least two increasing numbers: {edges!r}.",
            column=name,
            hint=f'write bins={{"{name}": [0, 1, 3, float("inf")]}}.',
        )
    return kept


def number_column(
    engine: Engine, table: str, feature: Feature, bins: Sequence[float] | Quantiles, *, blank: str = NONE_YET
) -> PatternColumn:
    """Bins of one numeric feature.

    Parameters
    ----------
    engine : Engine
        Where the features are.
    table : str
        Quoted name of the table of features; only moments whose look-back is covered count.
    feature : Feature
        Declaration.
    bins : sequence of float or Quantiles
        Edges, or how many bins.
    blank : str
        Level of what is not known.

    Returns
    -------
    PatternColumn
        With its edges; ``blank`` is a level only where it occurs.
    """
    name = quote(feature.name)
    low, high, n, n_blank = engine.rows(
        f"SELECT min({name}), max({name}), count({name}), count(*) - count({name}) FROM {table} WHERE known"
    )[0]
    if n == 0 and n_blank == 0:
        raise EmptyDataError(
            f"no spell has its look-back of {feature.lookback:g} days inside the window."
            if feature.lookback
            else "there is no spell.",
            hint="use a longer window, or features that look back less far.",
        )
    last = (blank,) if n_blank else ()
    if isinstance(bins, Quantiles) and n:
        cuts = ", ".join(f"quantile_disc({name}, {k / bins.n!r})" for k in range(1, bins.n))
        inner = engine.rows(f"SELECT {cuts} FROM {table} WHERE known")[0]
        edges = tuple(sorted({float(low), *(float(cut) for cut in inner), float(high)}))
        if low in inner:  # many spells at the lowest value, such as a first order: a bin of their own
            edges = (math.nextafter(edges[0], -math.inf), *edges)
    elif isinstance(bins, Quantiles):
        edges = (-math.inf, math.inf)
    else:
        edges = check_edges(feature.name, bins)
    return PatternColumn(feature.name, (*bin_labels(edges, integer=feature.integer), *last), edges, blank)


def text_column(engine: Engine, table: str, feature: Feature, *, blank: str = NONE_YET) -> PatternColumn:
    """Levels of one text feature, in alphabetical order, ``blank`` last."""
    name = quote(feature.name)
    levels = [row[0] for row in engine.rows(f"SELECT DISTINCT {name} FROM {table} WHERE known ORDER BY 1")]
    known = tuple(level for level in levels if level is not None and level != blank)
    return PatternColumn(feature.name, (*known, blank) if len(known) < len(levels) else known, None, blank)


def code_sql(column: PatternColumn, name: str) -> str:
    """SQL text of the position in ``labels``; the definition of :meth:`PatternColumn.code_values` in SQL."""
    none_yet = len(column.labels) - 1 if column.labels and column.labels[-1] == column.blank else -1
    if column.edges is None:
        raise ArgumentError(f"{column.name} is text.")
    whens = "".join(f" WHEN {name} <= {edge!r} THEN {k}" for k, edge in enumerate(column.edges[1:-1]))
    return f"CASE WHEN {name} IS NULL THEN {none_yet}{whens} ELSE {len(column.edges) - 2} END"


def outside_sql(column: PatternColumn, name: str) -> str:
    """SQL text that is true where a number lies outside the outermost edges."""
    if column.edges is None:
        return "FALSE"
    tests = []
    if math.isfinite(column.edges[0]):
        tests.append(f"{name} < {column.edges[0]!r}")
    if math.isfinite(column.edges[-1]):
        tests.append(f"{name} > {column.edges[-1]!r}")
    return f"coalesce({' OR '.join(tests)}, FALSE)" if tests else "FALSE"
