"""Person-periods as one SQL text: parts of spells joined with the periods they overlap, and what must be conserved."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from churnsurv.errors import ConservationError
from churnsurv.tables.cells import Unallocated
from churnsurv.tables.engines import Relation, quote
from churnsurv.tables.parts import whole_parts
from churnsurv.tables.schema import AsOf
from churnsurv.tables.spells import SpellTable
from churnsurv.tables.window import DAY_US


class PeriodRows:
    """The rows of one table of person-periods as SQL text.

    Parameters
    ----------
    spells : SpellTable
        Times at risk.
    breaks : sequence of float
        Period edges in days.
    parts : Relation or None
        Spells cut in parts.
    landmarks : sequence of int
        Moments, if rows are at landmarks.
    """

    def __init__(
        self, spells: SpellTable, breaks: Sequence[float], parts: Relation | None, landmarks: Sequence[int] = ()
    ) -> None:
        self.spells, self.breaks, self.landmarks = spells, breaks, landmarks
        self.source = f"({whole_parts(spells)})" if parts is None else quote(parts.name)
        self.cut = parts is not None

    @property
    def sql(self) -> str:
        """Query of the split; ``periods`` is a small table joined by overlap."""
        edges = [round(edge * DAY_US) for edge in self.breaks]
        rows = ", ".join(f"({j}, {low}, {high})" for j, (low, high) in enumerate(itertools.pairwise(edges)))
        return f"""
SELECT s.* EXCLUDE (entry_us, exit_us, event, begins, ends), b.period,
  greatest(s.entry_us, b.low) AS start_us, least(s.exit_us, b.high) AS stop_us,
  CASE WHEN s.exit_us <= b.high THEN s.event ELSE 0 END AS event,
  s.begins AND s.entry_us >= b.low AS first, s.exit_us >= b.high AS at_stop
FROM {self.source} s JOIN (VALUES {rows}) b(period, low, high) ON s.exit_us > b.low AND s.entry_us < b.high"""

    def key(self, as_of: AsOf, row: str) -> str:
        """SQL text of one integer per moment at which features are taken."""
        if as_of == "spell":
            return f"{row}.id"
        within, count = ("mark", len(self.landmarks)) if as_of == "landmark" else ("period", len(self.breaks))
        return f"({row}.id * {count} + {row}.{within})"

    def moments(self, as_of: AsOf) -> str:
        """SQL text of the last microsecond that is known at each moment: ``key, id, customer_id, moment``.

        At a spell's start that is the event which opened it, also where a landmark falls on it; at a late entry, a
        later period's start or a landmark everything strictly before.
        """
        key = self.key(as_of, "p")
        if as_of == "spell":
            return (
                "SELECT id AS key, id, customer_id, origin + entry_us - CASE WHEN entry_us > 0 THEN 1 ELSE 0 END AS moment"
                f" FROM {self.spells.table}"
            )
        if as_of == "landmark":
            rows = ", ".join(f"({mark}, {at})" for mark, at in enumerate(self.landmarks))
            return (
                f"SELECT {key} AS key, p.id, p.customer_id, greatest(l.moment - 1, p.origin) AS moment FROM {self.source} p"
                f" JOIN (VALUES {rows}) l(mark, moment) ON l.mark = p.mark WHERE p.begins"
            )
        return (
            f"SELECT {key} AS key, id, customer_id, min(origin + start_us - CASE WHEN start_us > 0 THEN 1 ELSE 0 END)"
            f" AS moment FROM ({self.sql}) p GROUP BY {key}, id, customer_id"
        )

    def conserve(self) -> tuple[int, tuple[Unallocated, ...]]:
        """Count what the periods hold, report the rest, and insist that nothing is lost."""
        engine, spells = self.spells.engine, self.spells
        n_rows, *held = engine.rows(f"SELECT count(*), {self._sums('stop_us - start_us', 'TRUE')} FROM ({self.sql})")[0]
        outside = self._outside_breaks()
        if self.landmarks:
            _, *covered = engine.rows(f"SELECT 0, {self._sums('exit_us - entry_us', 'TRUE')} FROM {self.source}")[0]
            lost = [a - b for a, b in zip((spells.exposure_us, *spells.n_events), map(int, covered), strict=True)]
            if any(lost):
                n_missed = engine.rows(
                    f"SELECT count(*) FROM {spells.table} s WHERE NOT EXISTS (SELECT 1 FROM {self.source} p WHERE p.id = s.id)"
                )[0][0]
                outside.append(
                    Unallocated("between the landmarks' horizons", int(n_missed), tuple(lost[1:]), int(lost[0]))
                )
        found = [
            int(total) + sum(([part.exposure_us, *part.n_events][k]) for part in outside)
            for k, total in enumerate(held)
        ]
        if found != [spells.exposure_us, *spells.n_events]:
            raise ConservationError(
                f"periods hold {found[1:]} events and {found[0]} µs,"
                f" spells {spells.n_events} and {spells.exposure_us} µs.",
                hint="this is a defect of the library; please report it.",
            )
        return int(n_rows), tuple(outside)

    def _sums(self, exposure: str, where: str) -> str:
        total = self.spells.engine.dialect.exact_sum
        causes = range(1, len(self.spells.churn.causes) + 1)
        events = "".join(f", count(*) FILTER (WHERE {where} AND event = {k})" for k in causes)
        return f"coalesce({total(exposure)}, 0){events}"

    def _outside_breaks(self) -> list[Unallocated]:
        low, high = round(self.breaks[0] * DAY_US), round(self.breaks[-1] * DAY_US)
        outside = []
        for reason, part_low, part_high in (
            (f"before the first break ({self.breaks[0]:g} days)", "entry_us", f"least(exit_us, {low})"),
            (f"beyond the last break ({self.breaks[-1]:g} days)", f"greatest(entry_us, {high})", "exit_us"),
        ):
            before = part_low == "entry_us"
            reaches = f"exit_us <= {low}" if before else f"exit_us > {high}"
            starts = f"begins AND entry_us {'<' if before else '>='} {low if before else high}"
            n_spells, lost, *events = self.spells.engine.rows(
                f"SELECT count(*) FILTER (WHERE {starts}), {self._sums(f'{part_high} - {part_low}', reaches)}"
                f" FROM {self.source} WHERE {part_high} > {part_low}"
            )[0]
            if lost:
                outside.append(Unallocated(reason, int(n_spells), tuple(int(n) for n in events), int(lost)))
        return outside
