"""Sufficient statistics: events and exposure per covariate pattern and period."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import numpy as np

from churnsurv._typing import FloatArray, IntArray
from churnsurv.errors import ArgumentError, CellMismatchError
from churnsurv.tables.schema import CellSchema, PatternColumn
from churnsurv.tables.window import DAY_US

if TYPE_CHECKING:
    import pandas as pd

    from churnsurv.tables.bins import Bins
    from churnsurv.tables.customers import CustomerCells
    from churnsurv.tables.periods import PeriodTable


@dataclass(frozen=True)
class Unallocated:
    """What fell in no cell, and why.

    Parameters
    ----------
    reason : str
        In words.
    n_spells : int
        Spells that start there.
    n_events : tuple of int
        Events per cause.
    exposure_us : int
        Time at risk in microseconds, exact.
    """

    reason: str
    n_spells: int
    n_events: tuple[int, ...]
    exposure_us: int

    @property
    def exposure(self) -> float:
        """Time at risk in days."""
        return self.exposure_us / DAY_US


@dataclass(frozen=True, eq=False)
class CellTable:
    """One row per covariate pattern and period: all that a piecewise-constant hazard needs to know.

    Made by :meth:`from_periods`; added with ``+``. The likelihood of a hazard that is constant in each
    period depends on the data only through these counts, so a model's cost grows with cells, not with
    customers.

    Parameters
    ----------
    schema : CellSchema
        Definition, breaks, columns with their edges, features.
    codes : array of shape (n_cells, n_columns)
        Position of each pattern's level in ``schema.columns[k].labels``.
    period : array of shape (n_cells,)
        Period index, 0-based.
    n_spells : array of shape (n_cells,)
        Spells that start in the cell.
    n_at_stop : array of shape (n_cells,)
        Spells still at risk at the period's end; tells how far the data reach.
    n_events : array of shape (n_cells, n_causes)
        Events per cause.
    exposure_days, exposure_rest : array of shape (n_cells,)
        Time at risk: whole days, and the rest in microseconds below one day. Two integers because
        one of 64 bits overflows at 292 thousand customer-years, and a float would depend on the order
        of summation.
    unallocated : tuple of Unallocated
        What fell in no cell.
    cause : str or None
        The one cause that counts, see :meth:`with_cause`; ``None`` for all of them.
    customers : CustomerCells or None
        In which cells each customer was at risk and for how long, where that was asked for.
    """

    schema: CellSchema
    codes: IntArray
    period: IntArray
    n_spells: IntArray
    n_at_stop: IntArray
    n_events: IntArray
    exposure_days: IntArray
    exposure_rest: IntArray
    unallocated: tuple[Unallocated, ...] = ()
    cause: str | None = None
    customers: CustomerCells | None = None

    def __post_init__(self) -> None:
        """Insist that customers and cells hold the same."""
        if self.customers is not None:
            self.customers.check(self)

    @classmethod
    def from_periods(
        cls,
        periods: PeriodTable,
        *,
        by: Sequence[str] | None = None,
        bins: Bins | None = None,
        customers: bool = False,
    ) -> CellTable:
        """Add up events and exposure per pattern of features and period.

        One grouped aggregation in the engine; only the cells come back.

        Parameters
        ----------
        periods : PeriodTable
            Person-periods with features.
        by : sequence of str, optional
            Features that make the pattern; all of them by default.
        bins : mapping of str to edges or Quantiles, optional
            How numbers are cut: bin k is ``(edges[k], edges[k + 1]]``, the first closed on both sides;
            ``Quantiles(4)`` where nothing is said. The edges are stored and never move.
        customers : bool
            Keep each customer's cells too, in :attr:`customers`: what an effect shared by her spells needs to know.
            About 24 bytes for each cell that a customer was in; ids are not kept, and nothing names her.

        Returns
        -------
        CellTable
            Events and exposure are conserved: what falls in no cell is ``unallocated``, with its reason.

        Raises
        ------
        ArgumentError
            If ``by`` or ``bins`` names no feature, or bins are given for text; if spells carry weights; if
            ``customers`` is asked of rows at landmarks, or of periods that do not begin at 0.
        BreaksError
            If edges do not increase.
        """
        from churnsurv.tables.counting import count_cells
        from churnsurv.tables.periods import PeriodTable as Periods

        if not isinstance(periods, Periods):
            raise ArgumentError(
                f"cells are counted from periods, and {type(periods).__name__} was given.",
                hint="write CellTable.from_periods(PeriodTable.from_spells(spells)).",
            )
        return count_cells(periods, by, bins or {}, customers=customers)

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return len(self.period)

    @property
    def exposure(self) -> FloatArray:
        """Time at risk per cell in days."""
        return self.exposure_days + self.exposure_rest / DAY_US

    def total_events(self) -> tuple[int, ...]:
        """Events per cause, cells and unallocated together."""
        totals = [int(n) for n in self.n_events.sum(axis=0)]
        return tuple(n + sum(part.n_events[k] for part in self.unallocated) for k, n in enumerate(totals))

    def total_exposure_us(self) -> int:
        """Time at risk in microseconds, exact, cells and unallocated together."""
        cells = int(self.exposure_days.sum()) * DAY_US + int(self.exposure_rest.sum())
        return cells + sum(part.exposure_us for part in self.unallocated)

    def labels(self, name: str) -> np.ndarray:
        """Level of each cell in a column, as text, shape (n_cells,)."""
        column = self.schema.column(name)
        return np.asarray(column.labels, dtype=object)[self.codes[:, self.schema.columns.index(column)]]

    def with_cause(self, cause: str) -> CellTable:
        """Cells in which only one cause is an event and every other one censors.

        The hazard of that cause is estimated rightly so; one minus its survival is *not* the
        probability of the event when the others also happen.
        """
        causes = self.schema.causes
        if cause not in causes:
            raise ArgumentError(f"there is no cause {cause!r}.", hint=f"causes are: {', '.join(causes)}.")
        if self.cause is not None:
            raise ArgumentError(
                f"these cells count the {self.cause} alone already.", hint="call with_cause on the whole table."
            )
        k = causes.index(cause)
        kept = tuple(
            Unallocated(part.reason, part.n_spells, (part.n_events[k],), part.exposure_us) for part in self.unallocated
        )
        customers = None if self.customers is None else self.customers.with_cause(k)
        return replace(self, n_events=self.n_events[:, [k]], unallocated=kept, cause=cause, customers=customers)

    def frame(self) -> pd.DataFrame:
        """Cells as a pandas frame: pattern columns, ``period``, ``start``, ``stop``, counts, ``exposure``."""
        import pandas as pd

        breaks = np.asarray(self.schema.breaks)
        data: dict[str, object] = {column.name: self.labels(column.name) for column in self.schema.columns}
        data |= {"period": self.period, "start": breaks[self.period], "stop": breaks[self.period + 1]}
        data |= {"n_spells": self.n_spells, "n_at_stop": self.n_at_stop}
        causes = self.schema.causes if self.n_events.shape[1] == len(self.schema.causes) else ("event",)
        for k, cause in enumerate(causes):
            data["n_events" if len(causes) == 1 else f"n_events_{cause}"] = self.n_events[:, k]
        return pd.DataFrame({**data, "exposure": self.exposure})

    def __add__(self, other: Self) -> CellTable:
        """Cells of both tables: shop A and shop B, or two sets of customers.

        Two stretches of time of the same customers do not add up to the whole: a gap that is open when the second
        begins is in neither table after that moment.

        Raises
        ------
        CellMismatchError
            If definition, breaks, features or bin edges differ, or only one of them holds customers. Levels of text
            may differ. Customers are taken for different ones.
        """
        if not isinstance(other, CellTable):
            return NotImplemented
        _check_both_hold_customers(self, other)
        schema, recode = common_schema(self.schema, other.schema)
        codes = np.concatenate([_recode(self, recode[0]), _recode(other, recode[1])])
        period = np.concatenate([self.period, other.period])
        if self.cause != other.cause:
            raise CellMismatchError(
                f"one table counts {self.cause or 'all causes'}, the other {other.cause or 'all causes'}.",
                consequence="Different events would be added up as one.",
                hint="add the whole tables first, and choose the cause of the sum.",
            )
        keys = np.column_stack([codes, period])
        cells, where = np.unique(keys, axis=0, return_inverse=True)
        where = where.ravel()

        def total(name: str) -> IntArray:
            both = np.concatenate([getattr(self, name), getattr(other, name)])
            sums = np.zeros((len(cells), *both.shape[1:]), np.int64)
            np.add.at(sums, where, both)
            return sums

        customers = None
        if self.customers is not None and other.customers is not None:
            mine = self.customers.moved(where[: self.n_cells], recode[0])
            customers = mine.joined(other.customers.moved(where[self.n_cells :], recode[1]))
        rest = total("exposure_rest")
        return CellTable(
            schema=schema,
            codes=cells[:, :-1],
            period=cells[:, -1],
            n_spells=total("n_spells"),
            n_at_stop=total("n_at_stop"),
            n_events=total("n_events"),
            exposure_days=total("exposure_days") + rest // DAY_US,
            exposure_rest=rest % DAY_US,
            unallocated=_add_unallocated(self.unallocated + other.unallocated),
            cause=self.cause,
            customers=customers,
        )

    def __repr__(self) -> str:
        """One line: how many cells, events, days at risk, and what is in none of them."""
        outside = sum(part.exposure for part in self.unallocated)
        customers = "" if self.customers is None else f"; {self.customers.n_customers:,} customers"
        return (
            f"CellTable({self.n_cells:,} cells of {len(self.schema.columns)} columns and {self.schema.n_periods} periods: "
            f"{int(self.n_events.sum()):,} events, {self.exposure.sum():,.0f} days at risk; "
            f"{outside:,.0f} days unallocated{customers})"
        )


def _check_both_hold_customers(first: CellTable, second: CellTable) -> None:
    if (first.customers is None) != (second.customers is None):
        raise CellMismatchError(
            f"the {'first' if first.customers is None else 'second'} table holds no customers, the other one does.",
            consequence="Their sum would hold the customers of one of them only.",
            hint="count both with CellTable.from_periods(…, customers=True), or neither.",
        )


def common_schema(first: CellSchema, second: CellSchema) -> tuple[CellSchema, tuple[list[IntArray], list[IntArray]]]:
    """Schema of two tables together, and the new code of each level of either.

    Parameters
    ----------
    first, second : CellSchema
        Equal but for levels of text.

    Returns
    -------
    schema : CellSchema
        With the levels of both.
    recode : tuple of two lists of arrays
        Of each table, one array per column.

    Raises
    ------
    CellMismatchError
        If definition, breaks, features or bin edges differ.
    """
    for name in ("churn", "breaks", "features", "as_of", "timezone", "reach", "calendar"):
        if getattr(first, name) != getattr(second, name):
            raise CellMismatchError(
                f"the two cell tables have different {name}: {getattr(first, name)} and {getattr(second, name)}.",
                consequence="Their sums would mix different questions.",
                hint="build both with the same definition, breaks, features and bins.",
            )
    if [(c.name, c.edges, c.blank) for c in first.columns] != [(c.name, c.edges, c.blank) for c in second.columns]:
        raise CellMismatchError(
            f"the two cell tables have different columns or bin edges: {first.columns} and {second.columns}.",
            consequence="The same number would lie in different bins.",
            hint="build the second with bins={column.name: column.edges} of the first.",
        )
    columns = tuple(_common_column(a, b) for a, b in zip(first.columns, second.columns, strict=True))
    recode = tuple(
        [
            np.array([new.labels.index(label) for label in old.labels], np.int64)
            for new, old in zip(columns, olds, strict=True)
        ]
        for olds in (first.columns, second.columns)
    )
    return replace(first, columns=columns), (recode[0], recode[1])


def _common_column(first: PatternColumn, second: PatternColumn) -> PatternColumn:
    labels = list(dict.fromkeys([*first.labels, *second.labels]))
    if first.edges is None:
        labels.sort()
    labels.sort(key=lambda label: label == first.blank)  # stable: only moves it to the end
    return replace(first, labels=tuple(labels))


def _recode(cells: CellTable, recode: list[IntArray]) -> IntArray:
    if not recode:
        return cells.codes
    return np.column_stack([new[cells.codes[:, k]] for k, new in enumerate(recode)])


def _add_unallocated(parts: tuple[Unallocated, ...]) -> tuple[Unallocated, ...]:
    totals: dict[str, Unallocated] = {}
    for part in parts:
        old = totals.get(part.reason)
        totals[part.reason] = part if old is None else Unallocated(
            part.reason,
            old.n_spells + part.n_spells,
            tuple(a + b for a, b in zip(old.n_events, part.n_events, strict=True)),
            old.exposure_us + part.exposure_us,
        )  # fmt: skip
    return tuple(totals.values())
