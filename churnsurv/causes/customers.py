"""Customers at risk now, as states of the nodes: a million of them are a few thousand patterns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from churnsurv._typing import FloatArray, IntArray, StrArray
from churnsurv.errors import EmptyDataError
from churnsurv.tables.churn import Silence
from churnsurv.tables.open_spells import OpenSpells

if TYPE_CHECKING:
    from churnsurv.causes.fit import CauseFit
    from churnsurv.causes.rows import CauseRows
    from churnsurv.tables.spells import SpellTable

UNKNOWN = -1
"""Code of a state that is not known: a level never seen, or a look-back that the log does not cover."""


@dataclass(frozen=True, eq=False)
class CustomerStates:
    """Open spells by pattern; arrays of shape (n_customers,) unless said.

    Customers who are in the same states, and have reached the same whole day on the clock, have one answer.

    Parameters
    ----------
    customer_id : array of str
        Ids, in order.
    reached : array
        Days on the clock; 0 at landmarks, where the clock starts now.
    pattern : array of int
        Position of each customer's pattern.
    codes : array of shape (n_patterns, n_nodes)
        States; ``UNKNOWN`` where nobody can tell.
    days : array of shape (n_patterns,)
        Whole days reached.
    """

    customer_id: StrArray
    reached: FloatArray
    pattern: IntArray
    codes: IntArray
    days: FloatArray

    @classmethod
    def of(cls, fit: CauseFit, spells: SpellTable) -> CustomerStates:
        """Put the customers at risk into the states of a learnt network.

        Cost: the features in the engine once, then one sort of the rows. Under ``Silence`` only who is not declared
        churned yet is there.

        Parameters
        ----------
        fit : CauseFit
            A learnt network.
        spells : SpellTable
            Spells with the definition of the fit; the end of their window is now.

        Raises
        ------
        EmptyDataError
            If nobody is at risk.
        """
        batches = list(OpenSpells.batches(spells, fit.rows.schema))
        codes = (
            np.concatenate([_states(fit.rows, batch) for batch in batches]) if batches else np.zeros((0, 1), np.int64)
        )
        reached = np.concatenate([batch.reached for batch in batches]) if batches else np.zeros(0)
        ids = np.concatenate([batch.customer_id for batch in batches]) if batches else np.zeros(0, object)
        churn = fit.rows.schema.churn
        alive = reached < churn.days if isinstance(churn, Silence) else np.ones(len(reached), bool)
        if not alive.any():
            raise EmptyDataError(
                f"none of {len(reached):,} open spells belongs to a customer who is still at risk of churning.",
                hint="look at the window's end: everybody has been silent for longer than the definition says.",
            )
        reached = np.zeros(int(alive.sum())) if fit.rows.at_landmarks else reached[alive]
        whole = np.floor(reached)
        patterns, pattern = np.unique(
            np.column_stack([codes[alive], whole.astype(np.int64)]), axis=0, return_inverse=True
        )
        return cls(ids[alive], reached, pattern.ravel(), patterns[:, :-1], patterns[:, -1].astype(np.float64))

    @property
    def n_patterns(self) -> int:
        """Number of patterns."""
        return len(self.days)

    @property
    def counts(self) -> IntArray:
        """Customers of each pattern, shape (n_patterns,)."""
        return np.bincount(self.pattern, minlength=self.n_patterns)

    def __len__(self) -> int:
        """Number of customers."""
        return len(self.customer_id)

    def __repr__(self) -> str:
        """One line: customers and patterns."""
        return f"CustomerStates({len(self):,} customers in {self.n_patterns:,} patterns)"


def _states(rows: CauseRows, batch: OpenSpells) -> IntArray:
    """States of one batch in the order of the nodes."""
    columns = [column.name for column in batch.schema.columns]
    codes = np.full((len(batch), len(rows.nodes)), UNKNOWN, np.int64)
    for k, node in enumerate(rows.nodes):
        column = batch.schema.column(node.name)
        states, position = node.states_of(column)
        place = np.array([rows.states[k].index(states[one]) for one in position])
        raw = batch.codes[:, columns.index(node.name)]
        known = (raw >= 0) & ~(batch.unknown & (node.feature.lookback is not None))
        codes[known, k] = place[raw[known]]
    return codes
