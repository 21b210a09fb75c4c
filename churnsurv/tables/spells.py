"""One row per time at risk: on the gap clock, every silence between two activities is a spell."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from churnsurv._typing import FloatArray, IntArray
from churnsurv.errors import ArgumentError, DataWarning, DefinitionError, EmptyDataError, UnknownKindError, WindowError
from churnsurv.tables.churn import Silence
from churnsurv.tables.engines import Relation, literal, quote
from churnsurv.tables.events import EventLog
from churnsurv.tables.faults import Fault
from churnsurv.tables.window import DAY_US, ObservationWindow, moment_of
from churnsurv.tables.zones import ZoneSql

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = (
    "customer_id, spell, origin, entry_us / {day}.0 AS entry, exit_us / {day}.0 AS exit, event, last_activity, open"
)


def sql_list(names: Sequence[str]) -> str:
    """Names as a list of SQL text literals."""
    return "(" + ", ".join(literal(name) for name in names) + ")"


@dataclass(frozen=True, eq=False)
class SpellTable:
    """One row per spell: ``customer_id, spell, origin, entry, exit, event, last_activity, open``.

    Under :class:`Silence` a spell is a gap: it opens with an activity and ends with the next one
    (event 1), with the closure of the account (event 2), or is censored at the window's end
    (event 0, ``open``). ``entry`` and ``exit`` are days on the definition's clock; ``origin`` and
    ``last_activity`` are microseconds UTC.

    Parameters
    ----------
    relation : Relation
        Table with the columns above; times at risk are whole microseconds inside.
    log : EventLog
        Where the spells came from; features are computed from it.
    window : ObservationWindow
        Where the log is complete.
    churn : Silence
        Definition and clock.
    faults : tuple of Fault
        Events that opened or ended nothing, by reason.
    n_spells, n_customers, n_open : int
        Sizes.
    n_events : tuple of int
        Events per cause.
    exposure_us : int
        Total time at risk in microseconds, exact.
    cause : str or None
        The one cause that counts, see :meth:`with_cause`; ``None`` for all of them.
    """

    relation: Relation
    log: EventLog
    window: ObservationWindow
    churn: Silence
    faults: tuple[Fault, ...]
    n_spells: int
    n_customers: int
    n_open: int
    n_events: tuple[int, ...]
    exposure_us: int
    cause: str | None = None

    @classmethod
    def from_events(cls, log: EventLog, window: ObservationWindow, churn: Silence) -> SpellTable:
        """Cut each customer's history into spells.

        One sort per customer in the engine: O(n log n) in the events of the kinds that matter.

        Parameters
        ----------
        log : EventLog
            What happened.
        window : ObservationWindow
            Where the log is complete. Events before it are not used, and counted; events at or after
            its end are refused.
        churn : Silence
            What counts as activity, and as churn.

        Returns
        -------
        SpellTable
            Every spell; conservation of activities is checked.

        Raises
        ------
        WindowError
            If the log holds events at or after the window's end.
        UnknownKindError
            If the definition names a kind that the log does not hold.
        EmptyDataError
            If there is no activity in the window.
        DefinitionError
            If the definition is no :class:`Silence`.
        """
        if not isinstance(churn, Silence):
            raise DefinitionError(
                f"{type(churn).__name__} is not a churn definition that this version cuts spells by.",
                hint='write Silence(kinds=("order",), days=90).',
            )
        start, end = window.resolve(log.timezone)
        _check_kinds(log, churn)
        _check_future(log, window, end)
        _warn_sparse_ends(log, start, end)
        sql = _gap_sql(log, churn, start, end)
        relation = log.engine.create("spells", sql)
        return cls._of(relation, log, window, churn)

    @classmethod
    def _of(cls, relation: Relation, log: EventLog, window: ObservationWindow, churn: Silence) -> SpellTable:
        causes = ", ".join(f"count(*) FILTER (WHERE event = {k + 1})" for k in range(len(churn.causes)))
        n, customers, n_open, exposure, shortest, *events = log.engine.rows(
            f"SELECT count(*), count(DISTINCT customer_id), count(*) FILTER (WHERE open),"
            f" {log.engine.dialect.exact_sum('exit_us - entry_us')}, min(exit_us - entry_us), {causes}"
            f" FROM {quote(relation.name)}"
        )[0]
        if not n:
            raise EmptyDataError(
                f"no {' or '.join(churn.kinds)} lies in the window {window.start} to {window.end}.",
                hint="check the window, the kinds, and the time zone.",
            )
        assert shortest > 0, "a spell without length"  # noqa: S101 - by construction
        faults = _spell_faults(log, window, churn, relation)
        return cls(relation, log, window, churn, faults, n, customers, n_open, tuple(events), int(exposure))

    @property
    def table(self) -> str:
        """Quoted name of the table inside the engine."""
        return quote(self.relation.name)

    @property
    def end_us(self) -> int:
        """The window's end in microseconds UTC."""
        return self.window.resolve(self.log.timezone)[1]

    @property
    def start_us(self) -> int:
        """The window's start in microseconds UTC."""
        return self.window.resolve(self.log.timezone)[0]

    @property
    def opening_kind(self) -> str | None:
        """The kind of event that opens every spell; ``None`` if several kinds do."""
        return self.churn.kinds[0] if len(self.churn.kinds) == 1 else None

    def frame(self) -> pd.DataFrame:
        """All spells as a pandas frame, ordered by customer and spell."""
        return self._frame("")

    def head(self, n: int = 5) -> pd.DataFrame:
        """First spells in the order of :meth:`frame`."""
        return self._frame(f" LIMIT {int(n)}")

    def _frame(self, tail: str) -> pd.DataFrame:
        columns = _COLUMNS.format(day=DAY_US)
        return self.log.engine.frame(f"SELECT {columns} FROM {self.table} ORDER BY customer_id, spell{tail}")

    def arrays(self) -> dict[str, FloatArray | IntArray]:
        """Return ``entry`` and ``exit`` in days and ``event``, one value per spell, ordered by customer and spell."""
        columns = _COLUMNS.format(day=DAY_US)
        table = self.log.engine.arrow(f"SELECT {columns} FROM {self.table} ORDER BY customer_id, spell")
        return {
            "entry": table["entry"].to_numpy(),
            "exit": table["exit"].to_numpy(),
            "event": table["event"].to_numpy().astype(np.int64),
        }

    def with_cause(self, cause: str) -> SpellTable:
        """Spells in which only one cause is an event, every other one censors; see :meth:`CellTable.with_cause`."""
        if cause not in self.churn.causes:
            raise ArgumentError(f"there is no cause {cause!r}.", hint=f"causes are: {', '.join(self.churn.causes)}.")
        if self.cause is not None:
            raise ArgumentError(
                f"these spells count the {self.cause} alone already.", hint="call with_cause on the whole table."
            )
        k = self.churn.causes.index(cause) + 1
        relation = self.log.engine.create(
            "spells", f"SELECT * REPLACE (CASE WHEN event = {k} THEN 1 ELSE 0 END AS event) FROM {self.table}"
        )
        return SpellTable(
            relation, self.log, self.window, self.churn, self.faults,
            self.n_spells, self.n_customers, self.n_open, (self.n_events[k - 1],), self.exposure_us, cause,
        )  # fmt: skip

    def __repr__(self) -> str:
        """One line: how many spells, events and open ones."""
        causes = self.churn.causes if self.cause is None else (self.cause,)
        events = ", ".join(f"{n:,} {cause}" for n, cause in zip(self.n_events, causes, strict=True))
        return (
            f"SpellTable({self.n_spells:,} spells of {self.n_customers:,} customers: {events}, {self.n_open:,} open; "
            f"{self.exposure_us / DAY_US:,.0f} days at risk)"
        )


def _gap_sql(log: EventLog, churn: Silence, start: int, end: int) -> str:
    """SQL text of the gaps: activities merged, closures placed, each activity opening one gap."""
    dialect = log.engine.dialect
    zone = ZoneSql(log.timezone, *log.span)
    day = dialect.day_number("time", zone.offset_of_utc("time")) if churn.merge == "day" else "time"
    inside = f"time >= {start} AND time < {end}"
    activity = f"""
SELECT customer_id, min(time) AS first_time, max(time) AS last_time, 1 AS code
  FROM {log.table} WHERE kind IN {sql_list(churn.kinds)} AND {inside} GROUP BY customer_id, {day}"""
    moment = f"({activity})" if not churn.terminal else f"({_placed_sql(log, churn, activity, inside)})"
    return f"""
WITH ordered AS (
  SELECT customer_id, code, last_time, lead(first_time) OVER life AS next_time, lead(code) OVER life AS next_code,
    count(CASE WHEN code = 1 THEN 1 END) OVER (life ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS spell
  FROM {moment} WINDOW life AS (PARTITION BY customer_id ORDER BY first_time, code))
SELECT row_number() OVER () AS id, customer_id, spell, last_time AS origin, CAST(0 AS BIGINT) AS entry_us,
  coalesce(next_time, {end}) - last_time AS exit_us, CAST(coalesce(next_code, 0) AS BIGINT) AS event,
  last_time AS last_activity, next_code IS NULL AS open
FROM ordered WHERE code = 1"""


def _placed_sql(log: EventLog, churn: Silence, activity: str, inside: str) -> str:
    """SQL text of activities and closures; a closure before the last activity of its own day is none."""
    return f"""
SELECT customer_id, first_time, last_time, code FROM (
  SELECT *, max(CASE WHEN code = 1 THEN last_time END) OVER (
    PARTITION BY customer_id ORDER BY first_time, code ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS busy_until
  FROM ({activity} UNION ALL SELECT DISTINCT customer_id, time, time, 2 FROM {log.table}
    WHERE kind IN {sql_list(churn.terminal)} AND {inside}))
WHERE code = 1 OR first_time > busy_until"""


def _check_kinds(log: EventLog, churn: Silence) -> None:
    present = log.kinds()
    unknown = [kind for kind in (*churn.kinds, *churn.terminal) if kind not in present and kind not in log.other_kinds]
    if unknown:
        raise UnknownKindError(
            f"the log has no event of kind {', '.join(map(repr, unknown))}.",
            hint=f"kinds in the log: {', '.join(f'{kind!r} ({n:,})' for kind, n in list(present.items())[:10])}.",
        )


def _check_future(log: EventLog, window: ObservationWindow, end: int) -> None:
    if log.span[1] < end:
        return
    rows = log.engine.records(
        f"SELECT customer_id, kind, time FROM {log.table} WHERE time >= {end} ORDER BY time, customer_id LIMIT 5"
    )
    count = int(log.engine.rows(f"SELECT count(*) FROM {log.table} WHERE time >= {end}")[0][0])
    shown = [{**row, "time": f"{moment_of(row['time']):%Y-%m-%d %H:%M} UTC"} for row in rows]
    raise WindowError(
        f"{count:,} of {log.n_events:,} events lie at or after the window's end {window.end}.",
        count=count, total=log.n_events, rows=shown, column="time",
        consequence="Customers would be judged by what was not yet known at the end, or the end is wrong.",
        hint=f'state a later end, or leave them out on purpose: log.before("{window.end}") (on the command line --drop-after-end).',
    )  # fmt: skip


def _warn_sparse_ends(log: EventLog, start: int, end: int) -> None:
    """Warn when the log is silent at one end of the window for longer than it ever is inside."""
    time = log.engine.dialect.day_number("time")
    row = log.engine.rows(
        f"WITH days AS (SELECT DISTINCT {time} AS day FROM {log.table} WHERE time >= {start} AND time < {end}),"
        " gaps AS (SELECT day, lead(day) OVER (ORDER BY day) - day AS gap FROM days)"
        " SELECT min(day), max(day), max(gap), count(*) FROM gaps"
    )[0]
    if row[2] is None or row[3] < 30:
        return
    longest = max(int(row[2]), 2)
    first, last = row[0] - start / DAY_US, end / DAY_US - row[1] - 1
    for silence, word, consequence in (
        (last, "last", "Rows that arrive late are probably missing; everyone would look more silent than they are."),
        (first, "first", "The log probably starts later than the window; early history would be missing."),
    ):
        if silence > 3 * longest:
            warnings.warn(
                f"the {word} {silence:.0f} days of the window hold no event of any customer; inside it the longest"
                f" pause is {longest} days. {consequence} Hint: state the window in which the log is complete.",
                DataWarning, stacklevel=4,
            )  # fmt: skip


def _spell_faults(log: EventLog, window: ObservationWindow, churn: Silence, relation: Relation) -> tuple[Fault, ...]:
    start, _ = window.resolve(log.timezone)
    faults = []
    before = int(log.engine.rows(f"SELECT count(*) FROM {log.table} WHERE time < {start}")[0][0])
    if before:
        faults.append(Fault("before the window", before, log.n_events, "not used: the log is not complete there"))
    if churn.terminal:
        total, useless = log.engine.rows(
            f"WITH closure AS (SELECT DISTINCT customer_id, time FROM {log.table}"
            f" WHERE kind IN {sql_list(churn.terminal)} AND time >= {start})"
            f" SELECT count(*), count(*) FILTER (WHERE s.id IS NULL) FROM closure c LEFT JOIN {quote(relation.name)} s"
            " ON s.customer_id = c.customer_id AND s.event = 2 AND s.origin + s.exit_us = c.time"
        )[0]
        if useless:
            faults.append(
                Fault(
                    "closure without open gap",
                    int(useless),
                    int(total),
                    "not used: closed before, same day, or never active",
                )
            )
    return (*log.faults, *faults)
