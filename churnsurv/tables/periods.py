"""One row per spell and period: where it was at risk, for how long, and what was known."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from churnsurv.errors import ArgumentError, BreaksError, ConservationError
from churnsurv.tables.cells import Unallocated
from churnsurv.tables.engines import Relation, quote
from churnsurv.tables.features import Feature
from churnsurv.tables.histories import check_features, features_at, longest_lookback
from churnsurv.tables.schema import read_edges
from churnsurv.tables.spells import SpellTable
from churnsurv.tables.window import DAY_US

if TYPE_CHECKING:
    import pandas as pd

AsOf = Literal["spell", "period"]


@dataclass(frozen=True, eq=False)
class PeriodTable:
    """One row per spell and period: ``customer_id, spell, period, start, stop, exposure, event``, then features.

    Intervals are ``(start, stop]`` in days on the clock. Features are as of the spell's start (up to and
    including the activity that opened it) or as of each period's start, as ``as_of`` says; null where
    nothing is known yet. The rows are a query over the spells: they are not stored.

    Parameters
    ----------
    spells : SpellTable
        Where the periods came from.
    breaks : tuple of float
        Period edges in days; period j is ``(breaks[j], breaks[j + 1]]``.
    features : tuple of Feature
        Declarations.
    as_of : {"spell", "period"}
        Moment at which features are taken.
    known : Relation
        One row per moment: ``key``, ``known`` and the features.
    unallocated : tuple of Unallocated
        Time at risk and events that fall in no period.
    n_rows : int
        Number of person-periods.
    """

    spells: SpellTable
    breaks: tuple[float, ...]
    features: tuple[Feature, ...]
    as_of: AsOf
    known: Relation
    unallocated: tuple[Unallocated, ...]
    n_rows: int

    @classmethod
    def from_spells(
        cls,
        spells: SpellTable,
        *,
        breaks: Sequence[float] | None = None,
        features: Sequence[Feature] = (),
        as_of: AsOf = "spell",
    ) -> PeriodTable:
        """Split spells at period edges and attach what was known.

        Parameters
        ----------
        spells : SpellTable
            Times at risk.
        breaks : sequence of float, optional
            Period edges in days, increasing from 0; a microsecond is the smallest unit. By default
            edges that suit the definition, reaching to the window's length.
        features : sequence of Feature
            Declarations; nothing else can put a covariate on a row.
        as_of : {"spell", "period"}
            Take features when the spell opens, or anew at each period's start. The second explains;
            it does not predict beyond one period.

        Returns
        -------
        PeriodTable
            Events and exposure are conserved; what lies outside the breaks is ``unallocated``.

        Raises
        ------
        BreaksError
            If breaks are not finite, increasing and >= 0.
        FeatureError, UnknownKindError
            If a feature asks for what the log does not hold.
        ArgumentError
            If the spells count a single cause.
        """
        if as_of not in ("spell", "period"):
            raise ArgumentError(f"as_of={as_of!r} is unknown.", hint='as_of is "spell" or "period".')
        if spells.cause is not None:
            raise ArgumentError(
                f"these spells count the {spells.cause} alone.",
                hint=f"keep every cause here, and choose one later: cells.with_cause({spells.cause!r}).",
            )
        longest = spells.window.days(spells.log.timezone)
        edges = check_breaks(spells.churn.default_breaks(longest) if breaks is None else breaks)
        declared = (features,) if isinstance(features, Feature) else tuple(features)
        check_features(spells.log, declared, spells.churn.kinds)
        rows = period_sql(spells, edges)
        moments = _moments(spells, rows, as_of)
        known = features_at(
            spells.log, declared, moments, spells.start_us, at=spells.opening_kind if as_of == "spell" else None
        )
        n_rows, unallocated = _conserve(spells, rows, edges)
        return cls(spells, edges, declared, as_of, known, unallocated, n_rows)

    @property
    def sql(self) -> str:
        """Query of the rows: ``id, period, start_us, stop_us, event, first, at_stop, known`` and the features."""
        key = "p.id" if self.as_of == "spell" else period_key("p.id", "p.period", len(self.breaks))
        names = "".join(f", k.{quote(feature.name)}" for feature in self.features)
        return (
            f"SELECT p.*, k.known{names} FROM ({period_sql(self.spells, self.breaks)}) p"
            f" JOIN {quote(self.known.name)} k ON k.key = {key}"
        )

    def frame(self) -> pd.DataFrame:
        """All rows as a pandas frame, ordered by customer, spell and period."""
        return self._frame("")

    def head(self, n: int = 5) -> pd.DataFrame:
        """First rows in the order of :meth:`frame`."""
        return self._frame(f" LIMIT {int(n)}")

    def _frame(self, tail: str) -> pd.DataFrame:
        names = "".join(f", {quote(feature.name)}" for feature in self.features)
        return self.spells.log.engine.frame(
            f"SELECT customer_id, spell, period, start_us / {DAY_US}.0 AS start, stop_us / {DAY_US}.0 AS stop,"
            f" (stop_us - start_us) / {DAY_US}.0 AS exposure, event{names} FROM ({self.sql})"
            f" ORDER BY customer_id, spell, period{tail}"
        )

    def __repr__(self) -> str:
        """One line: how many rows, which periods and features."""
        names = ", ".join(feature.name for feature in self.features) or "none"
        return f"PeriodTable({self.n_rows:,} person-periods in {len(self.breaks) - 1} periods; features: {names})"


def check_breaks(breaks: Sequence[float]) -> tuple[float, ...]:
    """Refuse period edges that are no increasing finite numbers from 0 upwards.

    Raises
    ------
    BreaksError
        Naming the first pair out of order.

    Examples
    --------
    >>> check_breaks([0, 30, 90])
    (0.0, 30.0, 90.0)
    """
    edges = read_edges(breaks)
    if len(edges) < 2 or edges[0] < 0 or not all(math.isfinite(edge) for edge in edges):
        raise BreaksError(
            f"breaks={breaks!r} are not at least two finite numbers >= 0.", hint="write breaks=[0, 30, 90]."
        )
    for low, high in itertools.pairwise(edges):
        if round(high * DAY_US) <= round(low * DAY_US):
            raise BreaksError(
                f"breaks do not increase: {low:g} is followed by {high:g}.", hint="write breaks=[0, 30, 90]."
            )
    return edges


def period_key(spell: str, period: str, n_breaks: int) -> str:
    """SQL text of one integer per spell and period."""
    return f"({spell} * {n_breaks} + {period})"


def period_sql(spells: SpellTable, breaks: Sequence[float]) -> str:
    """SQL text of the split; ``periods`` is a small table joined by overlap."""
    edges = [round(edge * DAY_US) for edge in breaks]
    rows = ", ".join(f"({j}, {low}, {high})" for j, (low, high) in enumerate(itertools.pairwise(edges)))
    return f"""
SELECT s.id, s.customer_id, s.spell, s.origin, b.period,
  greatest(s.entry_us, b.low) AS start_us, least(s.exit_us, b.high) AS stop_us,
  CASE WHEN s.exit_us <= b.high THEN s.event ELSE 0 END AS event,
  s.entry_us >= b.low AS first, s.exit_us >= b.high AS at_stop
FROM {spells.table} s JOIN (VALUES {rows}) b(period, low, high) ON s.exit_us > b.low AND s.entry_us < b.high"""


def _moments(spells: SpellTable, rows: str, as_of: AsOf) -> str:
    """SQL text of the last microsecond that is known at each moment.

    At a gap's start that is the activity which opened it; at a later period's start everything strictly before.
    """
    if as_of == "spell":
        return f"SELECT id AS key, customer_id, origin AS moment FROM {spells.table}"
    n_breaks = rows.count("), (") + 2
    return (
        f"SELECT {period_key('id', 'period', n_breaks)} AS key, customer_id,"
        f" origin + start_us - CASE WHEN start_us > 0 THEN 1 ELSE 0 END AS moment FROM ({rows})"
    )


def _conserve(spells: SpellTable, rows: str, breaks: Sequence[float]) -> tuple[int, tuple[Unallocated, ...]]:
    """Count what the periods hold, report the rest, and insist that nothing is lost."""
    engine, causes = spells.log.engine, range(1, len(spells.churn.causes) + 1)
    low, high = round(breaks[0] * DAY_US), round(breaks[-1] * DAY_US)
    per_cause = ", ".join(f"count(*) FILTER (WHERE event = {k})" for k in causes)
    total = engine.dialect.exact_sum
    n_rows, exposure, *events = engine.rows(
        f"SELECT count(*), coalesce({total('stop_us - start_us')}, 0), {per_cause} FROM ({rows})"
    )[0]
    outside = []
    for reason, part_low, part_high in (
        (f"before the first break ({breaks[0]:g} days)", "entry_us", f"least(exit_us, {low})"),
        (f"beyond the last break ({breaks[-1]:g} days)", f"greatest(entry_us, {high})", "exit_us"),
    ):
        reaches = "exit_us <= " + str(low) if part_low == "entry_us" else f"exit_us > {high}"
        starts = f"entry_us < {low}" if part_low == "entry_us" else f"entry_us >= {high}"
        part_events = ", ".join(f"count(*) FILTER (WHERE {reaches} AND event = {k})" for k in causes)
        lost, n_spells, *lost_events = engine.rows(
            f"SELECT coalesce({total(f'{part_high} - {part_low}')}, 0), count(*) FILTER (WHERE {starts}), {part_events}"
            f" FROM {spells.table} WHERE {part_high} > {part_low}"
        )[0]
        if lost:
            outside.append(Unallocated(reason, int(n_spells), tuple(lost_events), int(lost)))
    found = tuple(n + sum(part.n_events[k] for part in outside) for k, n in enumerate(events))
    found_exposure = int(exposure) + sum(part.exposure_us for part in outside)
    if found != spells.n_events or found_exposure != spells.exposure_us:
        raise ConservationError(
            f"periods hold {found} events and {found_exposure} µs, spells {spells.n_events} and {spells.exposure_us} µs.",
            hint="this is a defect of the library; please report it.",
        )
    return int(n_rows), tuple(outside)


def lookback_reason(features: Sequence[Feature]) -> str:
    """Why a spell near the window's start has no features."""
    return (
        f"opened less than {longest_lookback(features):g} days after the window's start: the look-back is not covered"
    )
