r"""What a fit would have said of each customer at each moment of her past, from what she had done by then.

The hazard of customer c at time t of a spell, given all that went before, is

.. math:: \lambda_c(t) = \mathrm{E}\left[z_c \mid d_c(t), H_c(t)\right] h(t \mid x_c)

with the events and the cumulative hazard of all her spells so far; a share who may have left for good is taken off in the
same way. Sums of it over whoever is at risk are what the model expects of them: events less this sum are a martingale [1]_,
however often a customer comes back and whatever decided how long she was watched. The survival of a new customer does not
answer for gaps, of which those who come often have many.

References
----------
.. [1] Andersen, P. K., Borgan, Ø., Gill, R. D. and Keiding, N. (1993). *Statistical Models Based on Counting Processes*,
   section IX.2. Springer.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from churnsurv._typing import BoolArray, FloatArray, IntArray
from churnsurv.models.competing_rows import CauseRows
from churnsurv.models.hierarchical.mixing import Past, survival_given
from churnsurv.models.hierarchical.pieces import months_of
from churnsurv.models.hierarchical.prospects import no_past
from churnsurv.tables.customers import gather

if TYPE_CHECKING:
    from churnsurv.models.hierarchical.fit import HierarchicalFit
    from churnsurv.tables.episodes import Episodes

_AT_ONCE = 2_000_000
"""Numbers of one batch: draws times pieces."""


@dataclass(frozen=True, eq=False)
class InTurn:
    """Rows of customers in the cells of a fit, with all that each of them did before.

    Parameters
    ----------
    fit : HierarchicalFit
        The fit.
    rows : Episodes
        All rows of some customers, ordered by customer, spell and start; with the columns of the fit.
    grain : float or None
        Days of the unit in which events are known, where half of it counts as time at risk, as in cells.
    """

    fit: HierarchicalFit
    rows: Episodes
    grain: float | None = None

    @cached_property
    def coded(self) -> CauseRows:
        """The rows in the cells of the fit."""
        return CauseRows.of(self.rows, self.fit.schema)

    @cached_property
    def known(self) -> BoolArray:
        """Rows of which the fit can say something, shape (n,)."""
        return ~self.fit.unseen(self.coded)

    @cached_property
    def events(self) -> BoolArray:
        """Rows that end with the fit's event, shape (n,)."""
        cause, causes = self.fit.info.cause, self.rows.schema.causes
        if cause and self.rows.cause is None and len(causes) > 1:
            return np.asarray(self.rows.event == causes.index(cause) + 1)
        return np.asarray(self.rows.event > 0)

    @cached_property
    def pointers(self) -> IntArray:
        """Where each customer's rows begin, shape (n_customers + 1,)."""
        ids = self.rows.customer_id
        return np.concatenate([[0], np.flatnonzero(ids[1:] != ids[:-1]) + 1, [len(ids)]]).astype(np.int64)

    @cached_property
    def owner(self) -> IntArray:
        """Customer of each row, shape (n,)."""
        return np.repeat(np.arange(len(self.pointers) - 1), np.diff(self.pointers))

    @cached_property
    def spell_start(self) -> IntArray:
        """First row of each row's spell, shape (n,)."""
        spell = self.rows.spell
        first = np.ones(len(spell), bool)
        first[1:] = (spell[1:] != spell[:-1]) | (self.owner[1:] != self.owner[:-1])
        return np.maximum.accumulate(np.where(first, np.arange(len(spell)), 0))

    @cached_property
    def earlier_events(self) -> IntArray:
        """Events of the same customer before each row, within the time that the fit has learnt of, shape (n,)."""
        counted = self.events & (self.rows.stop <= self._last) & self.known
        before = np.cumsum(counted) - counted
        return before - before[self.pointers[self.owner]]

    @property
    def _last(self) -> float:
        return self.fit.schema.breaks[-1] if self.fit.model.baseline == "piecewise" else np.inf

    def survival(self, row: IntArray, start: FloatArray, stop: FloatArray, draws: IntArray) -> FloatArray:
        """Probability of no event in pieces of rows, given that the piece was reached and all that went before.

        Parameters
        ----------
        row : array of int, shape (m,)
            Row of each piece; pieces of neighbouring rows next to each other make it fast.
        start, stop : array of shape (m,)
            Days on the clock, within the row.
        draws : array of int
            Positions of draws.

        Returns
        -------
        array of shape (n_draws, m)
            NaN where the row has an unseen level of a fixed effect, and beyond the last break.
        """
        found = np.empty((len(draws), len(row)))
        size = max(1, _AT_ONCE // len(draws))
        for first in range(0, len(row), size):
            some = slice(first, first + size)
            found[:, some] = self._survival(row[some], start[some], stop[some], draws)
        return found

    def _survival(self, row: IntArray, start: FloatArray, stop: FloatArray, draws: IntArray) -> FloatArray:
        fit, predictor = self.fit, self.fit._predictor
        codes = self.coded.codes[row]
        ratio, sd = self._multipliers(row, draws)
        further = (ratio * predictor.between(codes, start[:, None], stop[:, None], draws)[..., 0])[..., None]
        variance, logit = fit._mixing(draws)
        new = np.flatnonzero(np.any(sd > 0, axis=0))
        asked = self.fit.uses_history or len(new) > 0
        past = self._past(row, start, ratio, draws) if asked else no_past(len(row))
        left = survival_given(past, further, variance, logit, None)
        if len(new):
            left[:, new] = survival_given(past.take(new), further[:, new], variance, logit, sd[:, new, None])
        left[:, ~self.known[row]] = np.nan
        return left[..., 0]

    def _multipliers(self, row: IntArray, draws: IntArray) -> tuple[FloatArray, FloatArray]:
        """Hazard ratio of rows, their month's included, and the standard deviation of new groups' effects."""
        predictor = self.fit._predictor
        values = tuple(None if v is None else v[row] for v in self.coded.values)
        ratio, sd = predictor.multipliers(self.coded.codes[row], values, draws)
        months, schema = predictor.months, self.rows.schema
        if months is None or schema.calendar is None:
            return ratio, sd
        month = np.maximum(months_of(schema.columns[-1].labels)[self.rows.codes[row, -1]], months.first)
        return ratio * (months.ratios(month, draws) / months.average(draws)[..., 0]), sd

    def _past(self, row: IntArray, start: FloatArray, ratio: FloatArray, draws: IntArray) -> Past:
        """Hazard behind each piece: of her earlier rows, and of the row up to the piece."""
        events, yes = self.earlier_events[row][:, None].astype(np.float64), np.ones((len(row), 1), bool)
        begin = np.minimum(self._begin[row], self._last)[:, None]
        reached = np.minimum(np.maximum(start, begin[:, 0]), self._last)[:, None]
        within = ratio * self.fit._predictor.between(self.coded.codes[row], begin, reached, draws)[..., 0]
        of_spell, of_customer = self._earlier(row, draws)
        if not self.fit.uses_history:
            doubtful = (of_spell + within)[..., None]
            return Past(np.zeros_like(doubtful), doubtful, np.zeros_like(events), yes)
        if self.fit.schema.churn.on_tenure:
            # Immune customers never have an event: without one, all of her time may be an immune one's.
            doubtful = (of_customer + within)[..., None]
            return Past(np.zeros_like(doubtful), doubtful, events, events == 0)
        return Past((of_customer - of_spell)[..., None], (of_spell + within)[..., None], events, yes)

    @cached_property
    def _begin(self) -> FloatArray:
        """What a row has behind itself begins with the clock: a spell that entered late had been survived until then."""
        first = self.spell_start == np.arange(len(self.rows))
        return np.where(first, self.fit.schema.breaks[0], self.rows.start)

    @cached_property
    def _stop(self) -> FloatArray:
        """Where the time at risk of each row ends."""
        unlived = 0.0 if self.grain is None else 0.5 * np.minimum(self.grain, self.rows.exposure)
        return self.rows.stop - np.where(self.events, unlived, 0.0)

    def _earlier(self, row: IntArray, draws: IntArray) -> tuple[FloatArray, FloatArray]:
        """Cumulative hazard of the rows before, of the same spell and of all spells of the customer, (n_draws, m)."""
        owners, who = np.unique(self.owner[row], return_inverse=True)
        pointers, rows = gather(self.pointers, owners)
        codes = self.coded.codes[rows]
        begin, stop = np.minimum(self._begin[rows], self._last), np.minimum(self._stop[rows], self._last)
        ratio, _ = self._multipliers(rows, draws)
        risk = ratio * self.fit._predictor.between(codes, begin[:, None], stop[:, None], draws)[..., 0]
        risk[:, ~self.known[rows]] = 0.0
        before = np.concatenate([np.zeros((len(draws), 1)), np.cumsum(risk, axis=1)], axis=1)
        offset = pointers[who] - self.pointers[owners][who]
        here = before[:, row + offset]
        of_customer = here - before[:, pointers[who]]
        return np.maximum(here - before[:, self.spell_start[row] + offset], 0.0), np.maximum(of_customer, 0.0)


def cut_at(start: FloatArray, stop: FloatArray, times: FloatArray) -> tuple[IntArray, IntArray]:
    """Cut rows at times: row of each piece, and the stretch ``(times[k], times[k + 1]]`` in which it lies.

    What lies outside the times is in no piece.

    Examples
    --------
    >>> cut_at(np.array([0.0, 5.0]), np.array([12.0, 8.0]), np.array([0.0, 10.0, 20.0]))
    (array([0, 0, 1]), array([0, 1, 0]))
    """
    first = np.maximum(np.searchsorted(times, start, "right") - 1, 0)
    last = np.minimum(np.searchsorted(times, stop, "left"), len(times) - 1) - 1
    n = np.maximum(last - first + 1, 0)
    within = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n)
    return np.repeat(np.arange(len(start)), n), (np.repeat(first, n) + within).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Expected:
    """Events that a fit expects among those at risk, by stretch of time.

    Parameters
    ----------
    times : array of shape (n_times,)
        Days on the clock, increasing.
    events : array of shape (n_draws, n_times - 1)
        Expected events in ``(times[k], times[k + 1]]``.
    exposure : array of shape (n_times - 1,)
        Days at risk there.
    """

    times: FloatArray
    events: FloatArray
    exposure: FloatArray

    def cumulative(self, events: FloatArray | None = None) -> FloatArray:
        """Cumulative hazard of those at risk, shape (n_draws, n_times); of other events where they are given."""
        own = self.events if events is None else events
        width = np.diff(self.times)
        rate = np.divide(own, self.exposure, out=np.zeros_like(own, dtype=np.float64), where=self.exposure > 0)
        return np.concatenate([np.zeros((len(own), 1)), np.cumsum(rate * width, axis=1)], axis=1)


def expected_events(followed: InTurn, chosen: IntArray, times: FloatArray, draws: IntArray) -> Expected:
    """Events to be expected of some rows, and their time at risk.

    Parameters
    ----------
    followed : InTurn
        Rows with their past.
    chosen : array of int
        Rows that count, increasing.
    times : array of shape (n_times,)
        Increasing days on the clock.
    draws : array of int
        Positions of draws.
    """
    rows, chosen = followed.rows, chosen[followed.known[chosen]]
    row, part = cut_at(rows.start[chosen], rows.stop[chosen], times)
    row, n = chosen[row], len(times) - 1
    start, stop = np.maximum(rows.start[row], times[part]), np.minimum(rows.stop[row], times[part + 1])
    weight = np.ones(len(row)) if rows.weight is None else rows.weight[row]
    events, size = np.zeros((len(draws), n)), max(1, _AT_ONCE // len(draws))
    for first in range(0, len(row), size):
        some = slice(first, first + size)
        left = np.maximum(followed.survival(row[some], start[some], stop[some], draws), np.finfo(float).tiny)
        risk = -np.log(left) * weight[some]
        for k in range(len(draws)):
            events[k] += np.bincount(part[some], risk[k], n)
    return Expected(times, events, np.bincount(part, (stop - start) * weight, n))


def thinned(followed: InTurn, most: int) -> IntArray:
    """Rows of as many customers, evenly spaced, as have about ``most`` rows; all rows where there are no more."""
    n_customers, n_rows = len(followed.pointers) - 1, len(followed.rows)
    if n_rows <= most:
        return np.arange(n_rows)
    kept = np.unique(np.linspace(0, n_customers - 1, max(1, n_customers * most // n_rows)).astype(np.int64))
    return gather(followed.pointers, kept)[1]
