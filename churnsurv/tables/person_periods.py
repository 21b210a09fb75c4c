"""Whole person-periods with whether the event fell in each: what classifiers learn hazards from."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from churnsurv._typing import BoolArray, FloatArray, IntArray, StrArray
from churnsurv.errors import ArgumentError, EmptyDataError, ModelSupportError
from churnsurv.tables.cells import Unallocated
from churnsurv.tables.chosen_cause import choose_cause
from churnsurv.tables.counting import pattern_column
from churnsurv.tables.engines import quote
from churnsurv.tables.episodes import coded_column, joined_sql
from churnsurv.tables.periods import PeriodTable, check_breaks, lookback_reason
from churnsurv.tables.schema import CellSchema
from churnsurv.tables.window import DAY_US

if TYPE_CHECKING:
    import pandas as pd

_FOREVER = np.iinfo(np.int64).max // 4


@dataclass(frozen=True, eq=False)
class PersonPeriods:
    """One row per spell and period that could be observed from beginning to end; arrays of shape (n,) unless said.

    A classifier that learns whether the event fell in a row has learnt a discrete hazard, if every row had the same chance
    to show the event. A period that the window's end cuts off had not: those rows are left out *whether or not* the event
    came before the cut, since keeping the ones with an event would raise the hazard. The same holds for a period that had
    begun before the spell came under observation. Both are known before the period begins, so leaving them out selects
    nobody by her outcome.

    Parameters
    ----------
    schema : CellSchema
        Definition and columns; ``breaks`` are edges on the clock of the definition.
    steps : tuple of float
        Edges of the periods in days: on the clock, or since the landmark.
    customer_id : array of str
        Whose rows they are.
    spell : array of int
        Number of the spell within the customer.
    period : array of int
        Period of each row, ``(steps[j], steps[j + 1]]``.
    reached : array
        Days on the clock where the row begins.
    event : array of int
        0 no event in the row, 1…K the cause that ended it.
    codes : array of shape (n, n_columns)
        Position of each level in ``schema.columns[k].labels``.
    values : tuple of arrays or None
        The number behind each level, NaN where nothing is known yet; ``None`` for text.
    weight : array or None
        Frequencies > 0; a row of durations that was censored within its period counts for the part that was seen.
    begins : array of int or None
        When each row begins, microseconds UTC; ``None`` for durations.
    n_spells : int
        Spells behind the rows.
    entries, exits : array of shape (n_stretches,)
        Days on the clock between which spells (or what followed their landmarks) were at risk, whole periods or not.
    cause : str or None
        The one cause that counts, see :meth:`with_cause`.
    unallocated : tuple of Unallocated
        What is in no row, and why.
    """

    schema: CellSchema
    steps: tuple[float, ...]
    customer_id: StrArray
    spell: IntArray
    period: IntArray
    reached: FloatArray
    event: IntArray
    codes: IntArray
    values: tuple[FloatArray | None, ...]
    weight: FloatArray | None
    begins: IntArray | None
    n_spells: int
    entries: FloatArray
    exits: FloatArray
    cause: str | None = None
    unallocated: tuple[Unallocated, ...] = ()

    @classmethod
    def from_periods(cls, periods: PeriodTable, *, steps: Sequence[float] | None = None) -> PersonPeriods:
        """Take the whole periods of a table.

        Cost: one query over the spells, and memory of about 8 bytes × n × (6 + 2 × columns) for n rows.

        Parameters
        ----------
        periods : PeriodTable
            With features that stand still in each spell (``as_of="spell"``) or from each landmark on.
        steps : sequence of float, optional
            Edges in days from 0 on. Of spells, on the clock: the table's breaks by default. Of landmarks, since the
            landmark: three equal parts of what it follows by default.

        Returns
        -------
        PersonPeriods
            Ordered by customer, spell and beginning.

        Raises
        ------
        ModelSupportError
            If rows are cut at months or where facts arrive, or features are taken anew in each period.
        ArgumentError
            If steps do not begin at 0, or go beyond what landmarks follow.
        EmptyDataError
            If no whole period with known features is left.
        """
        _check_whole(periods)
        edges = _steps(periods, steps)
        columns = tuple(pattern_column(periods, feature, {}) for feature in periods.features)
        schema = CellSchema(
            churn=periods.spells.churn,
            breaks=periods.breaks,
            columns=columns,
            features=periods.features,
            as_of=periods.as_of,
            timezone=periods.spells.timezone,
            reach=periods.reach,
        )
        stretches = _Stretches.read(periods, schema)
        return _cut(periods, schema, edges, stretches)

    def with_cause(self, cause: str) -> PersonPeriods:
        """Rows in which one cause is the event; another one ends the spell without it.

        Raises
        ------
        ArgumentError
            If there is no such cause, or one was chosen already.
        """
        event, kept = choose_cause(self.schema.causes, self.cause, cause, self.event, self.unallocated)
        return replace(self, event=event, cause=cause, unallocated=kept)

    @property
    def from_landmarks(self) -> bool:
        """Whether periods are counted from landmarks, not on the definition's clock."""
        return self.schema.as_of == "landmark"

    @property
    def n_periods(self) -> int:
        """Number of periods."""
        return len(self.steps) - 1

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.period)

    def take(self, index: IntArray | BoolArray) -> PersonPeriods:
        """Keep some rows."""
        names = ("customer_id", "spell", "period", "reached", "event", "codes", "weight", "begins")
        kept: dict[str, Any] = {n: None if (own := getattr(self, n)) is None else own[index] for n in names}
        return replace(self, values=tuple(None if v is None else v[index] for v in self.values), **kept)

    def frame(self) -> pd.DataFrame:
        """Rows as a pandas frame: ``customer_id, spell, period, start, stop, reached, event``, then the features."""
        import pandas as pd

        edges = np.asarray(self.steps)
        data: dict[str, object] = {
            "customer_id": self.customer_id,
            "spell": self.spell,
            "period": self.period,
            "start": edges[self.period],
            "stop": edges[self.period + 1],
            "reached": self.reached,
            "event": self.event,
        }
        for column, code, values in zip(self.schema.columns, self.codes.T, self.values, strict=True):
            data[column.name] = np.asarray(column.labels, dtype=object)[code] if values is None else values
        return pd.DataFrame(data)

    def __repr__(self) -> str:
        """One line: how many rows, spells and events."""
        return (
            f"PersonPeriods({len(self):,} whole periods of {self.n_spells:,} spells: {int((self.event > 0).sum()):,} events;"
            f" {self.n_periods} periods {'since landmarks' if self.from_landmarks else 'on the clock'};"
            f" columns: {', '.join(c.name for c in self.schema.columns) or 'none'})"
        )


def _check_whole(periods: PeriodTable) -> None:
    if periods.moving:
        raise ModelSupportError(
            f"rows of these periods are cut where {periods.moving[0]} changes.",
            consequence="A part of a period has less time to show the event than a whole one, and a classifier does not know.",
            hint='leave out calendar= and write Recency("…", days=60) in place of Arrival("…").',
        )
    if periods.as_of == "period" and periods.features:
        raise ModelSupportError(
            "the features of these periods are taken anew in each (as_of='period').",
            consequence="Their future values are not known, so the hazard beyond the first period could not be predicted.",
            hint="PeriodTable.from_landmarks(spells, horizon=90, features=[…]) freezes features and predicts.",
        )


def _steps(periods: PeriodTable, steps: Sequence[float] | None) -> tuple[float, ...]:
    if steps is None:
        reach = periods.reach
        return periods.breaks if reach is None else tuple(reach * k / 3 for k in range(4))
    edges = check_breaks(steps)
    if edges[0] != 0.0:
        raise ArgumentError(
            f"steps={steps!r} do not begin at 0.",
            consequence="What happens before the first of them would count as impossible.",
            hint=f"write steps={[0.0, *edges]}.",
        )
    if periods.reach is not None and edges[-1] > periods.reach + 1e-9:
        raise ArgumentError(
            f"steps go to {edges[-1]:g} days, and landmarks are followed for {periods.reach:g}.",
            hint=f"steps up to {periods.reach:g}, or PeriodTable.from_landmarks(…, horizon={edges[-1]:g}).",
        )
    return edges


@dataclass(frozen=True, eq=False)
class _Stretches:
    """Spells, or what followed their landmarks, with features; times in microseconds on the clock."""

    data: dict[str, np.ndarray]
    known: BoolArray

    @classmethod
    def read(cls, periods: PeriodTable, schema: CellSchema) -> _Stretches:
        spells = periods.spells
        columns = "".join(f", {quote(column.name)}" for column in schema.columns)
        weight = ", weight" if spells.weighted else ""
        dated = "origin" if spells.log is not None else "NULL::BIGINT AS origin"
        table = spells.engine.arrow(
            f"SELECT id, customer_id, spell, {dated}, entry_us, exit_us, event, known{columns}{weight}"
            f" FROM ({joined_sql(periods)}) ORDER BY customer_id, spell, entry_us"
        )
        data = {name: table[name].to_numpy(zero_copy_only=False) for name in table.column_names}
        return cls(data, data["known"].astype(bool))

    def potential(self, periods: PeriodTable) -> IntArray:
        """Where on its clock each stretch would have been cut off, had no event come."""
        exit_ = self.data["exit_us"].astype(np.int64)
        if periods.spells.log is None:  # when a duration with an event would have been censored is not known
            return np.where(self.data["event"] > 0, _FOREVER, exit_)
        end = periods.spells.end_us - self.data["origin"].astype(np.int64)
        if periods.reach is None:
            return end
        return np.minimum(end, self.data["entry_us"].astype(np.int64) + round(periods.reach * DAY_US))


def _cut(periods: PeriodTable, schema: CellSchema, steps: tuple[float, ...], stretches: _Stretches) -> PersonPeriods:
    """Cut stretches into their whole periods."""
    data, potential = stretches.data, stretches.potential(periods)
    entry, exit_ = data["entry_us"].astype(np.int64), data["exit_us"].astype(np.int64)
    zero = entry if periods.reach is not None else np.zeros_like(entry)
    edges = np.array([round(step * DAY_US) for step in steps], np.int64)
    first = np.searchsorted(
        edges, entry - zero, side="left"
    )  # the first period that begins no earlier than the stretch
    met = np.minimum(np.searchsorted(edges, exit_ - zero, side="left"), len(steps) - 1)  # periods begun before its end
    durations = periods.spells.log is None
    whole = met if durations else np.minimum(met, np.searchsorted(edges, potential - zero, side="right") - 1)
    n = np.where(stretches.known, np.maximum(whole - first, 0), 0)
    of = np.repeat(np.arange(len(entry)), n)
    period = first[of] + np.arange(len(of)) - np.repeat(np.cumsum(n) - n, n)
    if not len(of):
        raise EmptyDataError(
            "not one whole period with known features is left.",
            consequence="Periods that the window's end cuts off are left out, with an event or without.",
            hint="use a longer window, shorter periods (breaks=…), or features that look back less far.",
        )
    begin, end = zero[of] + edges[period], zero[of] + edges[period + 1]
    last = exit_[of] <= end
    codes = [coded_column(column, data[column.name]) for column in schema.columns]
    seen = np.where(durations & last & (data["event"][of] == 0), (exit_[of] - begin) / (end - begin), 1.0)
    weight = data["weight"].astype(np.float64)[of] if periods.spells.weighted else None
    if np.any(seen < 1.0):
        weight = seen if weight is None else seen * weight
    kept = np.flatnonzero(stretches.known)
    return PersonPeriods(
        schema=schema,
        steps=steps,
        customer_id=data["customer_id"].astype(object)[of],
        spell=data["spell"].astype(np.int64)[of],
        period=period.astype(np.int64),
        reached=begin / DAY_US,
        event=np.where(last, data["event"][of], 0).astype(np.int64),
        codes=np.column_stack([code[of] for code, _ in codes]) if codes else np.zeros((len(of), 0), np.int64),
        values=tuple(None if values is None else values[of] for _, values in codes),
        weight=weight,
        begins=None if durations else data["origin"].astype(np.int64)[of] + begin,
        n_spells=len(np.unique(data["id"][of])),
        entries=entry[kept] / DAY_US,
        exits=exit_[kept] / DAY_US,
        unallocated=_left_out(periods, schema, stretches, (of, begin, np.minimum(exit_[of], end), last)),
    )


def _left_out(
    periods: PeriodTable,
    schema: CellSchema,
    stretches: _Stretches,
    rows: tuple[IntArray, IntArray, IntArray, BoolArray],
) -> tuple[Unallocated, ...]:
    """What is in no row: unknown features; and of the others, time outside whole periods."""
    of, begin, stop, last = rows
    data, causes = stretches.data, range(1, len(schema.causes) + 1)
    exposure, event = data["exit_us"].astype(np.int64) - data["entry_us"].astype(np.int64), data["event"]
    used, ended = np.zeros(len(event), np.int64), np.zeros(len(event), bool)
    np.add.at(used, of, stop - begin)
    ended[of[last]] = True
    unknown, cut = ~stretches.known, stretches.known & (used < exposure)
    reasons = (
        (lookback_reason(periods.features), unknown, unknown),
        ("in a period that was not observed from beginning to end", cut, stretches.known & ~ended),
    )
    found = [
        Unallocated(
            reason,
            len(np.unique(data["id"][where])),
            tuple(int(np.sum(lost & (event == k))) for k in causes),
            int(np.sum((exposure - used)[where])),
        )
        for reason, where, lost in reasons
        if where.any()
    ]
    between = tuple(part for part in periods.unallocated if part.reason.startswith("between"))
    return (*between, *found)


def period_days(steps: Sequence[float]) -> FloatArray:
    """Length of each period, shape (n_periods,).

    Examples
    --------
    >>> period_days((0.0, 30.0, 90.0))
    array([30., 60.])
    """
    return np.array([high - low for low, high in itertools.pairwise(steps)])
