"""The counting behind customers' cells: rows are coded once in the engine, and clipped at the periods here."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from churnsurv._typing import IntArray
from churnsurv.errors import ArgumentError
from churnsurv.tables.cells import CellTable
from churnsurv.tables.customers import CellPositions, CustomerCells
from churnsurv.tables.engines import Relation, quote
from churnsurv.tables.periods import PeriodTable
from churnsurv.tables.window import DAY_US

_AT_ONCE = 100_000
"""Customers whose rows are in memory at a time."""


def check_customers(periods: PeriodTable) -> None:
    """Refuse periods in which a customer's whole time at risk cannot be told.

    Raises
    ------
    ArgumentError
        If rows are at landmarks, or the periods do not begin at 0.
    """
    if periods.as_of == "landmark":
        raise ArgumentError(
            "customers=True asks for each customer's whole time at risk, and rows at landmarks leave out what lies between.",
            consequence="Events between the landmarks would be missing from her rhythm.",
            hint="count customers on PeriodTable.from_spells(…), or leave customers= out.",
        )
    if periods.breaks[0] > 0:
        raise ArgumentError(
            f"the periods begin at {periods.breaks[0]:g} days: the hazard before the first break is not known.",
            consequence="Whoever is in the table got through that time, and how hard that was could not be said.",
            hint=f"write breaks={[0.0, *periods.breaks[:3]]} …, or leave customers= out.",
        )


class _Counting:
    """One counting of customers: rows are coded once in the engine, and fetched a few customers at a time.

    Parameters
    ----------
    periods : PeriodTable
        Person-periods.
    coded : str
        Query of rows that need not be cut at period edges: ``customer_id, spell, event, start_us, stop_us``, the columns
        ``c0, c1, …`` of the pattern, and ``problem``, below 0 where the row is in a cell.
    relation : Relation
        ``cell``, its pattern and ``problem``.
    cells : CellTable
        The same cells, in the order of their numbers.
    """

    def __init__(self, periods: PeriodTable, coded: str, relation: Relation, cells: CellTable) -> None:
        self.periods, self.cells, self.engine = periods, cells, periods.spells.engine
        self.edges = np.array([round(edge * DAY_US) for edge in periods.breaks], np.int64)
        self.grain = round((periods.spells.grain or 0.0) * DAY_US)
        spells, columns = periods.spells.table, [f"c{k}" for k in range(len(cells.schema.columns))]
        self.customers = self.engine.create(
            "customers",
            f"SELECT s.customer_id, CAST(row_number() OVER (ORDER BY s.customer_id) - 1 AS INTEGER) AS place, m.latest,"
            f" max(s.event) AS ended FROM {spells} s JOIN (SELECT customer_id, max(spell) AS latest FROM {spells}"
            " GROUP BY customer_id) m ON m.customer_id = s.customer_id AND m.latest = s.spell"
            " GROUP BY s.customer_id, m.latest",
        )
        same = " AND ".join(f"c.{name} = p.{name}" for name in columns) or "TRUE"
        patterns = (
            f"SELECT {', '.join([*columns, 'CAST(min(cell) AS INTEGER) AS pattern'])} FROM {quote(relation.name)}"
        )
        patterns += " WHERE problem < 0" + (f" GROUP BY {', '.join(columns)}" if columns else "")
        self.placed = self.engine.create(
            "placed",
            "SELECT o.place, c.pattern, p.spell, p.spell = o.latest AS latest, CAST(p.event AS INTEGER) AS event,"
            f" p.start_us, p.stop_us FROM ({coded}) p JOIN ({patterns}) c ON {same}"
            f" JOIN {quote(self.customers.name)} o ON o.customer_id = p.customer_id"
            f" WHERE p.problem < 0 AND p.start_us < {self.edges[-1]}",
        )

    def entries(self) -> list[dict[str, np.ndarray]]:
        """One row per customer and cell, in the order of both; sums are of whole microseconds, so they are exact."""
        cells, n_periods = self.cells, len(self.edges) - 1
        heads = np.flatnonzero(np.append(True, (np.diff(cells.codes, axis=0) != 0).any(axis=1)))[: cells.n_cells]
        where = np.full((cells.n_cells, n_periods), -1, np.int32)
        firsts = np.repeat(heads, np.diff(np.append(heads, cells.n_cells)))  # a pattern is named by its first cell
        where[firsts, cells.period] = np.arange(cells.n_cells)
        total = self.periods.spells.n_customers
        return [self._some(start, where) for start in range(0, total, _AT_ONCE)]

    def _some(self, start: int, where: CellPositions) -> dict[str, np.ndarray]:
        """Entries of the customers at some places: rows of one customer and pattern are summed period by period."""
        rows = self._arrays(
            f"SELECT place, pattern, latest, event, start_us, stop_us FROM {quote(self.placed.name)}"
            f" WHERE place >= {start} AND place < {start + _AT_ONCE} ORDER BY place, pattern"
        )
        place, pattern, event, begin, stop = (
            rows[name] for name in ("place", "pattern", "event", "start_us", "stop_us")
        )
        new = (np.diff(place, prepend=-1) != 0) | (np.diff(pattern, prepend=-1) != 0)
        heads, group = np.flatnonzero(new), np.cumsum(new) - 1
        n_periods, n_causes = where.shape[1], self.cells.n_events.shape[1]
        exposure = np.zeros((2, len(heads), n_periods), np.int64)
        for j, (low, high) in enumerate(itertools.pairwise(self.edges)) if len(heads) else ():
            piece = np.minimum(stop, high) - np.maximum(begin, low)
            here = (event > 0) & (stop > low) & (stop <= high)
            piece = np.where(here, piece - np.minimum(self.grain, piece) // 2, np.maximum(piece, 0))
            exposure[0, :, j] = np.add.reduceat(piece, heads)
            exposure[1, :, j] = np.add.reduceat(np.where(rows["latest"], piece, 0), heads)
        events = np.zeros((len(heads), n_periods, n_causes), np.int32)
        period = np.searchsorted(self.edges[1:], stop, side="left")
        counted = np.flatnonzero((event > 0) & (period < n_periods))
        np.add.at(events, (group[counted], period[counted], event[counted] - 1), 1)
        row, period = np.nonzero(exposure[0])
        return {
            "place": place[heads][row],
            "cell": where[pattern[heads][row], period],
            "exposure": exposure[0, row, period] / DAY_US,
            "latest": exposure[1, row, period] / DAY_US,
            "events": events[row, period],
        }

    def spells(self) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """One row per customer, and the time before entry of spells that enter late."""
        spelled = self.engine.create(
            "spelled",
            "SELECT place, spell, latest, min(start_us) AS entry, arg_min(pattern, start_us) AS pattern"
            f" FROM {quote(self.placed.name)} GROUP BY place, spell, latest",
        )
        name = quote(spelled.name)
        customers = self._arrays(
            "SELECT s.place, count(*) FILTER (WHERE NOT s.latest) AS n_followed,"
            f" max(CASE WHEN s.latest THEN o.ended ELSE -1 END) AS latest_event FROM {name} s"
            f" JOIN {quote(self.customers.name)} o ON o.place = s.place GROUP BY s.place ORDER BY s.place"
        )
        periods = ", ".join(f"({j}, {low}, {high})" for j, (low, high) in enumerate(itertools.pairwise(self.edges)))
        before = self._arrays(
            f"SELECT s.place, s.pattern, b.period, least(s.entry, b.high) - b.low AS exposure FROM {name} s"
            f" JOIN (VALUES {periods}) b(period, low, high) ON b.low < s.entry WHERE s.entry > 0"
            " ORDER BY s.place, s.spell, b.period"
        )
        return customers, before

    def _arrays(self, sql: str) -> dict[str, np.ndarray]:
        rows = self.engine.arrow(sql)
        return {name: rows[name].to_numpy(zero_copy_only=False) for name in rows.column_names}


def count_customers(periods: PeriodTable, coded: str, relation: Relation, cells: CellTable) -> CustomerCells:
    """Add up rows per customer and cell.

    Cost: each spell is coded and sorted once in the engine, and clipped at each period here; O(spells × periods), or rows
    where features are taken anew at each period. Memory is that of the result, ``20 + 4 n_causes`` bytes an entry, and of
    the spells of a hundred thousand customers.

    Parameters
    ----------
    periods : PeriodTable
        Person-periods, checked by :func:`check_customers`.
    coded : str
        Query of rows with the columns of the pattern; see :class:`_Counting`.
    relation : Relation
        The cells inside the engine.
    cells : CellTable
        The same cells, in the order of their numbers.
    """
    counting = _Counting(periods, coded, relation, cells)
    (customers, before), parts = counting.spells(), counting.entries()
    places = customers["place"]

    def entries(name: str) -> Any:
        return np.concatenate([part.pop(name) for part in parts])

    def pointers(owner: np.ndarray) -> IntArray:
        return np.append(np.searchsorted(owner, places), len(owner)).astype(np.int64)

    return CustomerCells(
        indptr=pointers(entries("place")),
        cell=entries("cell"),
        exposure=entries("exposure"),
        latest=entries("latest"),
        events=entries("events"),
        n_followed=customers["n_followed"].astype(np.int64),
        latest_event=customers["latest_event"].astype(np.int64),
        before_indptr=pointers(before["place"]),
        before_codes=cells.codes[before["pattern"].astype(np.int64)],
        before_period=before["period"].astype(np.int64),
        before_exposure=before["exposure"] / DAY_US,
    )
