"""What became of the customers who were at risk at a cutoff, as far as a later log tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from churnsurv._typing import BoolArray, FloatArray, IntArray, StrArray
from churnsurv.tables.churn import Silence
from churnsurv.tables.engines import quote
from churnsurv.tables.window import DAY_US

if TYPE_CHECKING:
    from churnsurv.tables.spells import SpellTable

UNKNOWN = -1
"""Outcome that the log does not tell: it ends before the horizon."""

_LATEST = np.iinfo(np.int64).max // 4


@dataclass(frozen=True, eq=False)
class CutoffOutcomes:
    """Customers at risk at a cutoff and what followed, ordered by id; arrays of shape (n,), times in whole microseconds.

    Parameters
    ----------
    customer_id : array of str
        Ids.
    reached_us : array of int
        On the clock at the cutoff; on the gap clock the silence so far.
    ahead_us : array of int
        From the cutoff to the end of the spell, or of the log.
    event : array of int
        0 where the spell was still going on when the log ended, else 1…K: on the gap clock 1 is the return.
    silence_us : int or None
        Silence that defines churn; ``None`` on the tenure clock.
    n_causes : int
        Events that there are.
    """

    customer_id: StrArray
    reached_us: IntArray
    ahead_us: IntArray
    event: IntArray
    silence_us: int | None
    n_causes: int

    @classmethod
    def between(cls, then: SpellTable, later: SpellTable) -> CutoffOutcomes:
        """Look up what became of each spell that was open at the end of a window, in a log that goes on.

        Cost: one join of the open spells with all spells.

        Parameters
        ----------
        then : SpellTable
            As things were known at the cutoff.
        later : SpellTable
            Spells of the same log and definition, known later.
        """
        table = later.engine.arrow(
            f"SELECT a.customer_id, a.exit_us AS reached, b.exit_us AS exit, b.event FROM {quote(then.relation.name)} a"
            f" JOIN {later.table} b USING (customer_id, spell) WHERE a.open ORDER BY a.customer_id"
        )
        data = {name: table[name].to_numpy(zero_copy_only=False) for name in table.column_names}
        reached = data["reached"].astype(np.int64)
        churn = later.churn
        return cls(
            customer_id=data["customer_id"].astype(object),
            reached_us=reached,
            ahead_us=data["exit"].astype(np.int64) - reached,
            event=data["event"].astype(np.int64),
            silence_us=round(churn.days * DAY_US) if isinstance(churn, Silence) else None,
            n_causes=len(churn.causes),
        )

    def __len__(self) -> int:
        """Number of customers."""
        return len(self.customer_id)

    @property
    def reached(self) -> FloatArray:
        """Days on the clock at the cutoff, shape (n,)."""
        return self.reached_us / DAY_US

    @property
    def ahead(self) -> FloatArray:
        """Days from the cutoff to the end of the spell, or of the log, shape (n,)."""
        return self.ahead_us / DAY_US

    @property
    def churned_before(self) -> BoolArray:
        """Customers whose silence had reached the definition already: there is nothing left to predict."""
        if self.silence_us is None:
            return np.zeros(len(self), bool)
        return self.reached_us >= self.silence_us

    @property
    def _churn(self) -> tuple[IntArray, IntArray, IntArray]:
        """When churn comes (never: far away), its cause (0 for not known), and until when the log tells, from the cutoff."""
        if self.silence_us is None:
            when = np.where(self.event > 0, self.ahead_us, _LATEST)
            return when, self.event, np.where(self.event > 0, _LATEST, self.ahead_us)
        left, total = self.silence_us - self.reached_us, self.reached_us + self.ahead_us
        silent = total >= self.silence_us  # whatever came on the day itself came too late
        closed = ~silent & (self.event == 2)
        when = np.where(silent, left, np.where(closed, self.ahead_us, _LATEST))
        cause = np.where(silent, 1, np.where(closed, 2, 0))
        told = np.where(silent | (self.event > 0), _LATEST, self.ahead_us)
        # Without a closure, nobody can have churned before the silence is complete.
        return when, cause, told if self.n_causes > 1 else np.maximum(told, np.minimum(left - 1, _LATEST))

    def times(self) -> tuple[FloatArray, IntArray]:
        """Days from the cutoff to churn or to the last day that the log tells, and the cause of churn, 0 for none.

        A customer who came back counts as one who will not churn within any horizon: her time is infinite.
        """
        when, cause, told = self._churn
        until = np.minimum(when, told)
        return np.where(until >= _LATEST, np.inf, until / DAY_US), np.where(when <= told, cause, 0).astype(np.int64)

    def churn(self, horizons: FloatArray) -> IntArray:
        """Whether each customer churned within each horizon, and by which cause, shape (n, k).

        Parameters
        ----------
        horizons : array of shape (k,)
            Days ahead.

        Returns
        -------
        array of int
            0 no, 1…K the cause, :data:`UNKNOWN` where the log ends first.
        """
        when, cause, told = (one[:, None] for one in self._churn)
        days = np.round(np.asarray(horizons, float) * DAY_US).astype(np.int64)
        return np.where(when <= days, cause, np.where(told >= days, 0, UNKNOWN)).astype(np.int64)

    def no_return(self, horizons: FloatArray) -> IntArray:
        """Whether each customer was without activity throughout each horizon, shape (n, k): 1, 0 or :data:`UNKNOWN`."""
        days = np.round(np.asarray(horizons, float) * DAY_US).astype(np.int64)
        ahead, came = self.ahead_us[:, None], (self.event == 1)[:, None]
        return np.where(ahead > days, 1, np.where(came, 0, np.where(ahead >= days, 1, UNKNOWN))).astype(np.int64)
