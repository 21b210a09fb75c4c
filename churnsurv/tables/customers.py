"""In which cells each customer was at risk, and for how long: what an effect shared by her spells needs to know."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from churnsurv._typing import BoolArray, FloatArray, IntArray
from churnsurv.errors import ConservationError

if TYPE_CHECKING:
    from churnsurv.tables.cells import CellTable

CellPositions = npt.NDArray[np.int32]

_CLOSE = 1e-9


@dataclass(frozen=True, eq=False)
class CustomerCells:
    """Events and time at risk per customer and cell, as compressed rows; no customer is named.

    Row u is one customer, and holds the entries ``indptr[u]`` to ``indptr[u + 1]``. Customers are in the order of their
    ids, which are not kept. Only what lies in cells is here: of a customer who is unallocated for a part of her time the
    rest, and whoever is never in a cell does not appear. What does not lie in cells is no survival either: it says
    nothing about her.

    Parameters
    ----------
    indptr : array of shape (n_customers + 1,)
        Where each customer's entries begin; none is empty.
    cell : array of shape (nnz,), int32
        Position in the rows of the :class:`CellTable`, increasing for each customer.
    exposure : array of shape (nnz,)
        Days at risk, > 0; a whole unit in which an event lies counts half where the cells count it so.
    latest : array of shape (nnz,)
        The part of ``exposure`` that belongs to her last spell, whichever way it ended.
    events : array of shape (nnz, n_causes), int32
        Events per cause.
    n_followed : array of shape (n_customers,)
        Her spells in cells that a later spell of hers followed, whatever cell that lies in, if any: when each of
        them ended she had not left for good.
    latest_event : array of shape (n_customers,)
        How her last spell ended: 0 censored, 1…K a cause that counts; -1 where that spell is in no cell.
    before_indptr : array of shape (n_customers + 1,)
        Where each customer's rows of time before entry begin.
    before_codes : array of shape (m, n_columns)
        Pattern at entry; the time before it was spent, as far as anyone knows, with the same.
    before_period : array of shape (m,)
        Period.
    before_exposure : array of shape (m,)
        Days that a spell had spent in the period before its first row in a cell. She is in the table because she got
        through them, so they choose, and are no exposure. Pauses inside a spell of durations are not among them.
    """

    indptr: IntArray
    cell: CellPositions
    exposure: FloatArray
    latest: FloatArray
    events: npt.NDArray[np.int32]
    n_followed: IntArray
    latest_event: IntArray
    before_indptr: IntArray
    before_codes: IntArray
    before_period: IntArray
    before_exposure: FloatArray

    @property
    def n_customers(self) -> int:
        """Number of customers in some cell."""
        return len(self.n_followed)

    @property
    def owner(self) -> IntArray:
        """Customer of each entry, shape (nnz,)."""
        return np.repeat(np.arange(self.n_customers), np.diff(self.indptr))

    @cached_property
    def n_events(self) -> IntArray:
        """Events per customer and cause, shape (n_customers, n_causes)."""
        if not self.n_customers:
            return np.zeros((0, self.events.shape[1]), np.int64)
        return np.add.reduceat(self.events, self.indptr[:-1], axis=0, dtype=np.int64)

    @property
    def has_last(self) -> BoolArray:
        """Whether her last spell is in cells and censored, shape (n_customers,): she may have left for good in it."""
        return np.equal(self.latest_event, 0)

    @property
    def last(self) -> FloatArray:
        """The part of ``exposure`` in which she may have left for good already, shape (nnz,); see :attr:`has_last`."""
        return np.where(np.repeat(self.has_last, np.diff(self.indptr)), self.latest, 0.0)

    @property
    def n_alive(self) -> IntArray:
        """Spells in cells that ended with a sign of life, shape (n_customers,): followed, or ended by a cause that counts."""
        return self.n_followed + (self.latest_event > 0)

    def with_cause(self, k: int) -> CustomerCells:
        """Keep one cause, by position; a last spell that ended by another one is censored."""
        ended = np.where(self.latest_event == k + 1, 1, np.minimum(self.latest_event, 0))
        return replace(self, events=self.events[:, [k]], latest_event=ended)

    def take(self, index: IntArray) -> CustomerCells:
        """Keep some of the customers, by position and in that order; the cells they lie in stay numbered as they are."""
        index = np.arange(self.n_customers)[index]
        indptr, inside = gather(self.indptr, index)
        before_indptr, before = gather(self.before_indptr, index)
        return CustomerCells(
            indptr, self.cell[inside], self.exposure[inside], self.latest[inside], self.events[inside],
            self.n_followed[index], self.latest_event[index],
            before_indptr, self.before_codes[before], self.before_period[before], self.before_exposure[before],
        )  # fmt: skip

    def moved(self, cells: IntArray, recode: list[IntArray]) -> CustomerCells:
        """Entries after the cells were numbered anew.

        Parameters
        ----------
        cells : array of shape (n_cells,)
            New position of each cell.
        recode : list of arrays
            New code of each level, one array per column.
        """
        cell = cells[self.cell].astype(np.int32)
        order: IntArray | slice = slice(None)
        if (np.diff(cell) < 0)[np.diff(self.owner) == 0].any():
            order = np.argsort(self.owner * (int(cells.max()) + 1) + cell, kind="stable")
        codes = self.before_codes
        if recode:
            codes = np.column_stack([new[codes[:, k]] for k, new in enumerate(recode)])
        return replace(
            self,
            cell=cell[order],
            exposure=self.exposure[order],
            latest=self.latest[order],
            events=self.events[order],
            before_codes=codes,
        )

    def joined(self, other: CustomerCells) -> CustomerCells:
        """Customers of both, the other's after one's own; both are numbered by the same cells."""

        def both(name: str) -> Any:
            return np.concatenate([getattr(self, name), getattr(other, name)])

        def pointers(first: IntArray, second: IntArray) -> IntArray:
            return np.concatenate([first, first[-1] + second[1:]])

        return CustomerCells(
            indptr=pointers(self.indptr, other.indptr),
            before_indptr=pointers(self.before_indptr, other.before_indptr),
            **{name: both(name) for name in self.__dataclass_fields__ if not name.endswith("indptr")},
        )

    def check(self, cells: CellTable) -> None:
        """Insist that customers and cells hold the same events and time at risk, cell by cell.

        Raises
        ------
        ConservationError
            If they do not.
        """
        held = np.bincount(self.cell, self.exposure, cells.n_cells)
        same = len(held) == cells.n_cells and np.allclose(held, cells.exposure, rtol=_CLOSE, atol=0.0)
        for k in range(cells.n_events.shape[1]):
            same = same and np.array_equal(
                np.bincount(self.cell, self.events[:, k], cells.n_cells), cells.n_events[:, k]
            )
        if not same:
            raise ConservationError(
                f"customers hold {int(self.events.sum()):,} events and {self.exposure.sum():,.3f} days,"
                f" cells {int(cells.n_events.sum()):,} and {cells.exposure.sum():,.3f}, or they lie in other cells.",
                hint="customers belong to the table they were counted with; CellTable.from_periods(…, customers=True).",
            )


def gather(indptr: IntArray, index: IntArray) -> tuple[IntArray, IntArray]:
    """Pointers and entries of some rows of compressed rows, in the order asked.

    Parameters
    ----------
    indptr : array of shape (n_rows + 1,)
        Where each row's entries begin.
    index : array of shape (n,)
        Rows, >= 0.

    Examples
    --------
    >>> pointers, entries = gather(np.array([0, 2, 2, 5]), np.array([2, 0, 1]))
    >>> pointers.tolist(), entries.tolist()
    ([0, 3, 5, 5], [2, 3, 4, 0, 1])
    """
    sizes = np.diff(indptr)[index]
    pointers = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return pointers, np.arange(pointers[-1]) + np.repeat(indptr[index] - pointers[:-1], sizes)
