"""One row per time at risk: a silence between two activities, a contract, or a duration as it was given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from churnsurv._typing import FloatArray, IntArray
from churnsurv.errors import ArgumentError, DefinitionError, EmptyDataError
from churnsurv.tables import gaps, tenures
from churnsurv.tables.churn import ChurnDefinition, Silence
from churnsurv.tables.contracts import Cancellation, Inactivity
from churnsurv.tables.engines import Engine, Relation, quote, sql_list
from churnsurv.tables.events import EventLog
from churnsurv.tables.faults import Fault
from churnsurv.tables.features import Feature
from churnsurv.tables.log_checks import check_future, check_kinds, check_overlap, warn_of_sparse_ends
from churnsurv.tables.window import DAY_US, ObservationWindow

if TYPE_CHECKING:
    import pandas as pd

    from churnsurv.tables.checks import OnBad
    from churnsurv.tables.duration_columns import Churned
    from churnsurv.tables.durations import Unit

_COLUMNS = (
    "customer_id, spell, origin, entry_us / {day}.0 AS entry, exit_us / {day}.0 AS exit, event, last_activity, open"
)


@dataclass(frozen=True, eq=False)
class SpellTable:
    """One row per spell: ``customer_id, spell, origin, entry, exit, event, last_activity, open``.

    Under :class:`Silence` a spell is a gap: it opens with an activity and ends with the next one
    (event 1), with the closure of the account (event 2), or is censored at the window's end
    (event 0, ``open``). Under ``Cancellation`` it is a contract: it opens at its origin, enters at the window's start
    if it began earlier, and ends with one of the causes 1…K. ``entry`` and ``exit`` are days on the definition's clock;
    ``origin`` and ``last_activity`` are microseconds UTC, null where durations came without a log.

    Parameters
    ----------
    relation : Relation
        Table with the columns above; times at risk are whole microseconds inside.
    log : EventLog or None
        Where the spells came from; features are computed from it. ``None`` for durations.
    window : ObservationWindow or None
        Where the log is complete. ``None`` for durations.
    churn : ChurnDefinition
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
    baseline : tuple of Feature
        Covariates that came with durations; the features that their periods have unless told otherwise.
    weighted : bool
        Whether the relation holds a column ``weight``.
    whole : SpellTable or None
        The table with all causes that this one was taken from by :meth:`with_cause`.
    grain : float or None
        Days of the unit where every duration is a whole number of units, so that events are known to a unit only;
        ``None`` otherwise. Between two multiples of it a curve made of steps stands still.
    """

    relation: Relation
    log: EventLog | None
    window: ObservationWindow | None
    churn: ChurnDefinition
    faults: tuple[Fault, ...]
    n_spells: int
    n_customers: int
    n_open: int
    n_events: tuple[int, ...]
    exposure_us: int
    cause: str | None = None
    baseline: tuple[Feature, ...] = ()
    weighted: bool = False
    grain: float | None = None
    whole: SpellTable | None = None

    @classmethod
    def from_events(cls, log: EventLog, window: ObservationWindow, churn: ChurnDefinition) -> SpellTable:
        """Cut each customer's history into spells.

        One sort per customer in the engine: O(n log n) in the events of the kinds that matter.

        Parameters
        ----------
        log : EventLog
            What happened.
        window : ObservationWindow
            Where the log is complete. Events before it are not used, and counted, except for the beginnings of contracts
            that were still running at its start; events at or after its end are refused.
        churn : Silence, Cancellation or Inactivity
            What counts as activity, and as churn.

        Returns
        -------
        SpellTable
            Every spell that was at risk inside the window; conservation of activities is checked.

        Raises
        ------
        WindowError
            If the log holds events at or after the window's end.
        UnknownKindError
            If the definition names a kind that the log does not hold.
        EmptyDataError
            If there is no activity in the window.
        DefinitionError
            If the definition is none of the three, or its origin is not in the log.

        Warns
        -----
        DataWarning
            If an end of the window is suspiciously silent; if first events crowd at its start although they are taken
            for beginnings; if contracts have no length.
        """
        if not isinstance(churn, Silence | Cancellation | Inactivity):
            raise DefinitionError(
                f"{type(churn).__name__} is not a churn definition that this version cuts spells by.",
                hint='write Silence(kinds=("order",), days=90) or Cancellation(("cancelled",), origin="kind:signup").',
            )
        if not isinstance(log, EventLog) or not isinstance(window, ObservationWindow):
            raise ArgumentError(
                f"from_events was given {type(log).__name__} and {type(window).__name__} for log and window.",
                hint='write SpellTable.from_events(log, ObservationWindow("2024-01-01", "2025-01-01"), churn).',
            )
        start, end = window.resolve(log.timezone)
        named = (*churn.terminal,) if isinstance(churn, Silence) else getattr(churn, "reactivation", ())
        check_kinds(log, tuple(dict.fromkeys((*churn.kinds, *churn.opening, *named))))
        check_future(log, window, end)
        check_overlap(log, window, start)
        warn_of_sparse_ends(log, start, end)
        relation, faults = _cut(log, churn, start, end)
        return cls.of_relation(
            relation, churn, log=log, window=window, faults=(*_window_faults(log, churn, start), *faults)
        )

    @classmethod
    def from_durations(
        cls,
        frame: Any,
        *,
        duration: str,
        event: str | None,
        unit: Unit,
        customer: str | None = None,
        spell: str | None = None,
        entry: str | None = None,
        follow_up: float | None = None,
        weight: str | None = None,
        open: str | None = None,
        values: Sequence[str] = (),
        labels: Sequence[str] = (),
        causes: Sequence[str] | None = None,
        churned: Churned | None = None,
        on_bad: OnBad = "raise",
        delimiter: str = ",",
        encoding: str = "utf-8",
        table: str | None = None,
        engine: Engine | None = None,
    ) -> SpellTable:
        """Make spells from durations that exist already: one row per customer, without dates.

        The clock is the time since each customer's own beginning. What a log would give is not here: no calendar, no
        features of events, no last activity. Columns named in ``values`` and ``labels`` are covariates, known when the
        spell is entered and constant while it lasts.

        Parameters
        ----------
        frame : data frame or path
            A pandas, polars, Arrow or other frame that narwhals knows, or a CSV, Parquet, NDJSON or DuckDB file.
        duration : str
            Column of durations from the beginning to the event, or to the last moment at which the customer was seen,
            > 0. With late entry too they count from the beginning.
        event : str or None
            Column that tells whether the duration ended with an event: truth values, 0 and 1, or 0…K with ``causes``;
            anything else needs ``churned``. ``None`` if nobody has left, as in a table of customers to be scored.
        unit : {"hour", "day", "week", "month", "year"}
            Of ``duration``, ``entry`` and ``follow_up``. A month is 30.4375 days, a year 365.25; inside all times are
            whole microseconds.
        customer : str, optional
            Column of ids: text or whole numbers (kept as text), each in one row unless ``spell`` is given. By default
            a row's number from 0, as text of equal length.
        spell : str, optional
            Column that counts a customer's spells from 1, each with a clock of its own. Rows of one customer and spell
            are stretches ``(entry, duration]`` of it, which may differ in their covariates, must not overlap, and of
            which the last alone may end with an event. Pauses between them are kept, and counted.
        entry : str, optional
            Column of the time on the clock at which watching began (left truncation), >= 0 and before ``duration``.
        follow_up : float, optional
            For a sample of everyone who was there within the last ``follow_up`` units: each row enters at
            ``max(duration − follow_up, 0)``. Whoever left earlier is not in such a sample.
        weight : str, optional
            Column of weights, > 0: whole ones are frequencies, others weigh. With ``CoxModel`` a weight of 2 is a row that
            occurs twice up to ties: under Efron's the two events of such a row are not taken apart, as in R. Row models
            use weights; cells refuse.
        open : str, optional
            Column of 0 and 1: who is still a customer now, and can be scored. By default everyone without an event.
        values, labels : sequence of str
            Columns of numbers and of texts to keep as covariates.
        causes : sequence of str, optional
            Names of the events 1…K; ``("churned",)`` by default.
        churned : str or mapping, optional
            The value of ``event`` that means churn, of two, or the code of every value: ``{"Yes": 1, "No": 0}``.
        on_bad : {"raise", "drop"}
            Refuse rows that cannot be used, or leave them out and count them in ``faults``.
        delimiter, encoding, table
            How a file is read, as in :meth:`EventLog.from_file`.
        engine : Engine, optional
            Where to compute; a shared embedded DuckDB by default.

        Returns
        -------
        SpellTable
            With ``log`` and ``window`` ``None`` and ``churn=Cancellation(causes, origin="stated")``.

        Raises
        ------
        ArgumentError
            If a duration is negative, zero or absurd, an entry does not lie before it, a weight is not positive, a code
            has no meaning, a customer is there twice, or stretches overlap.
        ColumnError, DataTypeError, EmptyDataError, FileFormatError, IdentifierError, MissingValueError, NonFiniteError
            As in :meth:`EventLog.from_frame`. Missing covariates are refused too.

        Warns
        -----
        DataWarning
            If durations seem to mix units, a number holds placeholders (999), or rises with the duration as a sum does.

        Examples
        --------
        >>> import pyarrow as pa
        >>> frame = pa.table({"months": [1, 3, 5], "left": ["yes", "no", "yes"], "plan": ["a", "b", "a"]})
        >>> SpellTable.from_durations(frame, duration="months", event="left", churned="yes", unit="month", labels=["plan"])
        SpellTable(3 spells of 3 customers: 2 churned, 1 open; 274 days at risk)
        """
        from churnsurv.tables.durations import read_durations

        return read_durations(
            frame, duration=duration, event=event, unit=unit, customer=customer, spell=spell, entry=entry,
            follow_up=follow_up, weight=weight, open=open, values=values, labels=labels, causes=causes, churned=churned,
            on_bad=on_bad, delimiter=delimiter, encoding=encoding, table=table, engine=engine,
        )  # fmt: skip

    @classmethod
    def of_relation(
        cls,
        relation: Relation,
        churn: ChurnDefinition,
        *,
        log: EventLog | None = None,
        window: ObservationWindow | None = None,
        faults: tuple[Fault, ...] = (),
        baseline: tuple[Feature, ...] = (),
        weighted: bool = False,
        grain: float | None = None,
    ) -> SpellTable:
        """Count what a relation of spells holds; every constructor ends here.

        Parameters
        ----------
        relation : Relation
            ``id, customer_id, spell, origin, entry_us, exit_us, event, last_activity, open`` and baseline columns.
        churn, log, window, faults, baseline, weighted, grain
            As the attributes.

        Raises
        ------
        EmptyDataError
            If there is no spell.
        """
        engine = relation.engine
        causes = ", ".join(f"count(*) FILTER (WHERE event = {k + 1})" for k in range(len(churn.causes)))
        n, customers, n_open, exposure, shortest, *events = engine.rows(
            f"SELECT count(*), count(DISTINCT customer_id), count(*) FILTER (WHERE open),"
            f" {engine.dialect.exact_sum('exit_us - entry_us')}, min(exit_us - entry_us), {causes}"
            f" FROM {quote(relation.name)}"
        )[0]
        if not n:
            kinds = " or ".join(churn.opening or ("event",))
            raise EmptyDataError(
                f"no {kinds} lies in the window {window.start} to {window.end}." if window else "no row is left.",
                rows=[{fault.name: f"{fault.count:,} of {fault.total:,}, {fault.action}"} for fault in faults[:5]],
                hint=f"check the {'window, the kinds, and the time zone' if window else 'columns, and their unit'}.",
            )
        assert shortest > 0, "a spell without length"  # noqa: S101 - by construction
        return cls(
            relation, log, window, churn, (*(log.faults if log else ()), *faults), n, customers, n_open, tuple(events),
            int(exposure), baseline=baseline, weighted=weighted, grain=grain,
        )  # fmt: skip

    @property
    def engine(self) -> Engine:
        """Where the rows are."""
        return self.relation.engine

    @property
    def timezone(self) -> str:
        """Zone of the log; durations have none, and say UTC."""
        return self.log.timezone if self.log else "UTC"

    @property
    def table(self) -> str:
        """Quoted name of the table inside the engine."""
        return quote(self.relation.name)

    @property
    def end_us(self) -> int:
        """The window's end in microseconds UTC."""
        return self.observed()[1].resolve(self.timezone)[1]

    @property
    def start_us(self) -> int:
        """The window's start in microseconds UTC."""
        return self.observed()[1].resolve(self.timezone)[0]

    def observed(self) -> tuple[EventLog, ObservationWindow]:
        """Log and window.

        Raises
        ------
        DefinitionError
            If the spells are durations, which have neither.
        """
        if self.log is None or self.window is None:
            raise DefinitionError(
                "these spells are durations: there is no log, and no calendar.",
                hint="make them from a log with SpellTable.from_events, or do without dates and features of events.",
            )
        return self.log, self.window

    def longest(self) -> float:
        """Longest time on the clock that could be seen, in days: the window on the gap clock, else the largest exit."""
        if self.window is not None and not self.churn.on_tenure:
            return self.window.days(self.timezone)
        return float(self.engine.rows(f"SELECT max(exit_us) FROM {self.table}")[0][0]) / DAY_US

    @property
    def opening_kind(self) -> str | None:
        """The kind of event that opens every spell at its moment; ``None`` if several kinds do, or spells enter late."""
        kinds = self.churn.opening
        return kinds[0] if len(kinds) == 1 and not self.churn.on_tenure else None

    def frame(self) -> pd.DataFrame:
        """All spells as a pandas frame, ordered by customer and spell."""
        return self._frame("")

    def head(self, n: int = 5) -> pd.DataFrame:
        """First spells in the order of :meth:`frame`."""
        return self._frame(f" LIMIT {int(n)}")

    def _frame(self, tail: str) -> pd.DataFrame:
        return self.engine.frame(
            f"SELECT {self._columns()} FROM {self.table} ORDER BY customer_id, spell, entry_us{tail}"
        )

    def _columns(self) -> str:
        extra = [quote(str(feature.value_column)) for feature in self.baseline] + (["weight"] if self.weighted else [])
        return ", ".join([_COLUMNS.format(day=DAY_US), *extra])

    def arrays(self) -> dict[str, FloatArray | IntArray]:
        """Return ``entry``, ``exit`` in days, ``event`` and, where there is one, ``weight``, ordered as :meth:`frame`."""
        table = self.engine.arrow(f"SELECT {self._columns()} FROM {self.table} ORDER BY customer_id, spell, entry_us")
        arrays: dict[str, FloatArray | IntArray] = {
            "entry": table["entry"].to_numpy(),
            "exit": table["exit"].to_numpy(),
            "event": table["event"].to_numpy().astype(np.int64),
        }
        return {**arrays, "weight": table["weight"].to_numpy()} if self.weighted else arrays

    def with_cause(self, cause: str) -> SpellTable:
        """Spells in which only one cause is an event, every other one censors; see :meth:`CellTable.with_cause`."""
        if cause not in self.churn.causes:
            raise ArgumentError(f"there is no cause {cause!r}.", hint=f"causes are: {', '.join(self.churn.causes)}.")
        if self.cause is not None:
            raise ArgumentError(
                f"these spells count the {self.cause} alone already.", hint="call with_cause on the whole table."
            )
        k = self.churn.causes.index(cause) + 1
        relation = self.engine.create(
            "spells", f"SELECT * REPLACE (CASE WHEN event = {k} THEN 1 ELSE 0 END AS event) FROM {self.table}"
        )
        return replace(self, relation=relation, n_events=(self.n_events[k - 1],), cause=cause, whole=self)

    def __repr__(self) -> str:
        """One line: how many spells, events and open ones."""
        causes = self.churn.causes if self.cause is None else (self.cause,)
        events = ", ".join(f"{n:,} {cause}" for n, cause in zip(self.n_events, causes, strict=True))
        return (
            f"SpellTable({self.n_spells:,} spells of {self.n_customers:,} customers: {events}, {self.n_open:,} open; "
            f"{self.exposure_us / DAY_US:,.0f} days at risk)"
        )


def _cut(
    log: EventLog, churn: Silence | Cancellation | Inactivity, start: int, end: int
) -> tuple[Relation, tuple[Fault, ...]]:
    """Spells of a definition, and what opened or ended none."""
    if isinstance(churn, Silence):
        relation = log.engine.create("spells", gaps.gap_sql(log, churn, start, end))
        return relation, gaps.gap_faults(log, churn, start, relation.name)
    tenures.check_origin(log, churn.begins)
    if isinstance(churn, Cancellation):
        lives = log.engine.create("lives", tenures.contract_lives_sql(log, churn, start, end))
        relation = log.engine.create("spells", tenures.contract_sql(log, lives, start, end))
        faults = tenures.contract_faults(log, lives, relation, start)
        kinds: Sequence[str] = ()
    else:
        relation = log.engine.create("spells", tenures.inactivity_sql(log, churn, start, end))
        faults, kinds = (), churn.kinds
    tenures.warn_of_pile(relation, churn.begins, start, end)
    tenures.warn_of_short_burn_in(log, churn.begins, start)
    return relation, (*tenures.unborn_fault(log, churn.begins, start, end, tuple(kinds)), *faults)


def _window_faults(log: EventLog, churn: ChurnDefinition, start: int) -> tuple[Fault, ...]:
    """Events before the window; those that began a contract are read, and are no fault."""
    known = f" AND kind NOT IN {sql_list(churn.opening)}" if churn.on_tenure and churn.opening else ""
    before = int(log.engine.rows(f"SELECT count(*) FROM {log.table} WHERE time < {start}{known}")[0][0])
    if not before:
        return ()
    return (Fault("before the window", before, log.n_events, "not used: the log is not complete there"),)
