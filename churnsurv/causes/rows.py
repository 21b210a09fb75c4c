"""What a network is learnt from: stretches at risk with the states of their nodes, and who they belong to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from churnsurv._typing import BoolArray, FloatArray, IntArray
from churnsurv.causes.nodes import Node
from churnsurv.errors import BreaksError, CellMismatchError, EmptyDataError, ModelSupportError
from churnsurv.tables.cells import Unallocated, common_schema
from churnsurv.tables.episodes import Episodes
from churnsurv.tables.periods import PeriodTable
from churnsurv.tables.schema import CellSchema
from churnsurv.tables.spells import SpellTable

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class CauseRows:
    """One row per stretch of a spell in which no node changes; arrays of shape (n,) unless said.

    Memory is about 40 bytes a row and 2 a node. Rows of different customers add up with ``+``.

    Parameters
    ----------
    schema : CellSchema
        Definition, period edges and features.
    nodes : tuple of Node
        Declarations.
    states : tuple of tuple of str
        States of each node.
    codes : array of shape (n, n_nodes), int16
        Positions in ``states``.
    customer : array of int
        Number of the customer, from 0 on; rows of a customer are neighbours.
    opens : array of bool
        The row with which the time at risk begins, seen from its beginning: what counts for the nodes' own tables. A
        spell that came under observation late does not: that it lasted until then has chosen its states.
    start, stop : array
        Days on the clock; since the landmark, of rows at landmarks.
    event : array of int
        0 none or going on, 1…K the cause.
    unallocated : tuple of Unallocated
        What is in no row, and why.
    """

    schema: CellSchema
    nodes: tuple[Node, ...]
    states: tuple[tuple[str, ...], ...]
    codes: np.ndarray[tuple[int, int], np.dtype[np.int16]]
    customer: IntArray
    opens: BoolArray
    start: FloatArray
    stop: FloatArray
    event: IntArray
    unallocated: tuple[Unallocated, ...] = ()

    @classmethod
    def from_spells(
        cls, spells: SpellTable, nodes: Sequence[Node], *, breaks: Sequence[float] | None = None
    ) -> CauseRows:
        """Take spells with the nodes' features as of their opening; see :meth:`from_periods`."""
        features = [node.feature for node in nodes]
        return cls.from_periods(PeriodTable.from_spells(spells, breaks=breaks, features=features), nodes)

    @classmethod
    def from_periods(cls, periods: PeriodTable, nodes: Sequence[Node]) -> CauseRows:
        """Take the rows of a table whose features are the nodes'.

        Cost: one query, and memory of the rows.

        Parameters
        ----------
        periods : PeriodTable
            With the features of the nodes, under their names, as of each spell's opening or of landmarks.
        nodes : sequence of Node
            Declarations.

        Raises
        ------
        ModelSupportError
            If features move from period to period, rows are cut at months, spells carry weights, or a node is missing.
        EmptyDataError
            If no spell was seen from its opening on.
        """
        _check_table(periods, nodes)
        if periods.breaks[0] > 0:
            raise BreaksError(
                f"breaks begin at {periods.breaks[0]:g} days: what happens before is in no period.",
                consequence="An intervention starts at the opening; without the first days there is no curve from there on.",
                hint=f"write breaks=[0, {periods.breaks[0]:g}, …].",
            )
        episodes = Episodes.from_periods(periods, bins={node.name: node.edges for node in nodes if node.cuts})
        found = [node.states_of(episodes.schema.column(node.name)) for node in nodes]
        codes = np.empty((len(episodes), len(nodes)), np.int16)
        for k, (node, (_, position)) in enumerate(zip(nodes, found, strict=True)):
            where = [column.name for column in episodes.schema.columns].index(node.name)
            codes[:, k] = np.asarray(position, np.int16)[episodes.codes[:, where]]
        changes = episodes.customer_id[1:] != episodes.customer_id[:-1]
        customer = np.concatenate([[0], np.cumsum(changes)]).astype(np.int64)
        landmark = periods.as_of == "landmark"
        start = np.zeros(len(episodes)) if landmark else episodes.start
        rows = cls(
            schema=episodes.schema,
            nodes=tuple(nodes),
            states=tuple(states for states, _ in found),
            codes=codes,
            customer=customer,
            opens=start == 0,
            start=start,
            stop=episodes.stop - episodes.start if landmark else episodes.stop,
            event=episodes.event,
            unallocated=episodes.unallocated,
        )
        if not rows.opens.any():
            raise EmptyDataError(
                f"none of {episodes.n_spells:,} spells was seen from its opening: all came under observation later.",
                consequence="How often a state occurs among those who open a spell cannot be told from those who lasted.",
                hint="use PeriodTable.from_landmarks(spells, horizon=90, features=[…]): the question then starts at landmarks.",
            )
        return rows

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the nodes."""
        return tuple(node.name for node in self.nodes)

    @property
    def cards(self) -> IntArray:
        """Number of states of each node."""
        return np.array([len(states) for states in self.states], np.int64)

    @property
    def n_customers(self) -> int:
        """Number of customers."""
        return int(self.customer[-1]) + 1

    @property
    def begins(self) -> BoolArray:
        """First row of each stretch at risk, seen from the opening or not."""
        goes_on = (self.customer[1:] == self.customer[:-1]) & ~self.opens[1:] & (self.start[1:] == self.stop[:-1])
        return np.concatenate([[True], ~goes_on])

    @property
    def ends(self) -> BoolArray:
        """Last row of each stretch at risk."""
        return np.append(self.begins[1:], True)

    @property
    def causes(self) -> tuple[str, ...]:
        """Names of the events 1…K."""
        return self.schema.causes

    @property
    def at_landmarks(self) -> bool:
        """Whether the clock counts from landmarks."""
        return self.schema.as_of == "landmark"

    def take(self, index: IntArray | BoolArray) -> CauseRows:
        """Keep some rows; customers are numbered anew."""
        customer = self.customer[index]
        changes = np.concatenate([[0], np.cumsum(customer[1:] != customer[:-1])]).astype(np.int64)
        return replace(
            self, codes=self.codes[index], customer=changes[: len(customer)], opens=self.opens[index],
            start=self.start[index], stop=self.stop[index], event=self.event[index],
        )  # fmt: skip

    def position(self, name: str) -> int:
        """Column of a node."""
        return self.names.index(name)

    def configuration(self, names: Sequence[str], rows: IntArray | BoolArray | slice = slice(None)) -> IntArray:
        """Joint state of some nodes as one number, the last node fastest, shape (n,)."""
        index = np.zeros(len(self.start[rows]), np.int64)
        for name in names:
            k = self.position(name)
            index = index * int(self.cards[k]) + self.codes[rows, k]
        return index

    def frame(self) -> pd.DataFrame:
        """Rows as a pandas frame: ``customer, opens, start, stop, event`` and the state of each node."""
        import pandas as pd

        shown = {name: np.asarray(self.states[k], object)[self.codes[:, k]] for k, name in enumerate(self.names)}
        head = {name: getattr(self, name) for name in ("customer", "opens", "start", "stop", "event")}
        return pd.DataFrame({**head, **shown})

    def __add__(self, other: CauseRows) -> CauseRows:
        """Rows of both; their customers are taken for different ones.

        Raises
        ------
        CellMismatchError
            If definition, breaks, or nodes differ.
        """
        if not isinstance(other, CauseRows):
            return NotImplemented
        if self.nodes != other.nodes:
            raise CellMismatchError(
                f"the two tables have different nodes: {', '.join(self.names)} and {', '.join(other.names)}.",
                hint="build both with the same nodes.",
            )
        schema = common_schema(self.schema, other.schema)[0]
        states = tuple(_union(node, a, b) for node, a, b in zip(self.nodes, self.states, other.states, strict=True))
        both = [_recoded(rows, states) for rows in (self, other)]
        return replace(
            self,
            schema=schema,
            states=states,
            codes=np.concatenate(both),
            customer=np.concatenate([self.customer, other.customer + self.n_customers]),
            opens=np.concatenate([self.opens, other.opens]),
            start=np.concatenate([self.start, other.start]),
            stop=np.concatenate([self.stop, other.stop]),
            event=np.concatenate([self.event, other.event]),
            unallocated=self.unallocated + other.unallocated,
        )

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.start)

    def __repr__(self) -> str:
        """One line: rows, customers, events."""
        return (
            f"CauseRows({len(self):,} rows of {self.n_customers:,} customers, {int(self.opens.sum()):,} seen from their "
            f"opening: {int((self.event > 0).sum()):,} events, {(self.stop - self.start).sum():,.0f} days at risk)"
        )


def _check_table(periods: PeriodTable, nodes: Sequence[Node]) -> None:
    if periods.as_of == "period":
        raise ModelSupportError(
            "the features of this table are taken anew in each period: nodes would move while the customer is at risk.",
            consequence="A cause that moves with time, and is moved by what it explains, needs the g-formula.",
            hint='use as_of="spell", landmarks, or an Arrival for a fact that becomes known within the spell.',
        )
    if periods.calendar or periods.spells.weighted:
        what = "rows are cut at calendar months" if periods.calendar else "spells carry weights"
        raise ModelSupportError(
            f"{what}, which a network of causes does not know.", hint="leave calendar= or weights out."
        )
    missing = [node.name for node in nodes if node.feature not in periods.features]
    if missing:
        raise ModelSupportError(
            f"{len(missing)} of {len(nodes)} nodes are no feature of the table: {missing[0]!r}.",
            hint="write PeriodTable.from_spells(spells, features=[node.feature for node in nodes]).",
        )


def _union(node: Node, first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    """States of both, what is not known yet last."""
    states = list(dict.fromkeys([*first, *second]))
    if not node.labels and not node.levels:
        blank = [state for state in states if state in (node.missing, "none yet", "not yet")]
        states = sorted(state for state in states if state not in blank) + blank
    else:
        order = [*node.labels, *node.levels, "other"]
        states.sort(key=lambda state: order.index(state) if state in order else len(order))
    return tuple(states)


def _recoded(rows: CauseRows, states: tuple[tuple[str, ...], ...]) -> np.ndarray[tuple[int, int], np.dtype[np.int16]]:
    codes = rows.codes.copy()
    for k, (new, old) in enumerate(zip(states, rows.states, strict=True)):
        codes[:, k] = np.array([new.index(state) for state in old], np.int16)[rows.codes[:, k]]
    return codes
