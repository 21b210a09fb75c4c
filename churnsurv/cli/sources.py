"""What is to be read: a log of events or a table of durations, never something in between."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from churnsurv.cli.options import ModelOptions, QuestionOptions, SourceOptions
from churnsurv.cli.parse import check_choice, name_list, observation_window, origin_column
from churnsurv.errors import ArgumentError, DataWarning
from churnsurv.tables.duration_columns import UNIT_US
from churnsurv.tables.events import EventLog
from churnsurv.tables.spells import SpellTable
from churnsurv.tables.window import DAY_US, ObservationWindow, read_zone

_LOG_ONLY: Final = (
    "time", "kind", "timezone", "time_format", "epoch_unit", "on_ambiguous", "start", "end", "drop_after_end", "origin",
    "reactivation", "activity", "look_back",
)  # fmt: skip
_DURATIONS_ONLY: Final = ("duration", "unit", "event", "churned", "entry", "follow_up")


@dataclass(frozen=True)
class LogSource:
    """A log of events, checked before the file is opened.

    Parameters
    ----------
    options : SourceOptions
        As given.
    origin : str or None
        Column of the moments at which contracts began.
    """

    options: SourceOptions
    origin: str | None = None

    def __post_init__(self) -> None:
        """Check what can be checked without the file."""
        read_zone(str(self.options.timezone))
        check_choice("--on-ambiguous", self.options.on_ambiguous, ("raise", "earlier", "later"))
        check_choice("--epoch-unit", self.options.epoch_unit, ("s", "ms", "us", "ns"))

    @property
    def window(self) -> ObservationWindow:
        """Where the log is complete."""
        return observation_window(str(self.options.start), str(self.options.end))

    def read(self, *, values: Sequence[str], labels: Sequence[str]) -> EventLog:
        """Read the log with these number and text columns.

        Raises
        ------
        ChurnsurvError
            If file, columns or rows are not what they were said to be.
        """
        o = self.options
        choices: dict[str, Any] = {
            "epoch_unit": o.epoch_unit,
            "on_bad": o.on_bad,
            "on_ambiguous": o.on_ambiguous or "raise",
        }
        log = EventLog.from_file(
            o.file, customer=str(o.customer), time=str(o.time), kind=o.kind, timezone=str(o.timezone), values=values,
            labels=labels, time_format=o.time_format, origin=self.origin, delimiter=delimiter_of(o), encoding=o.encoding,
            table=o.table, **choices,
        )  # fmt: skip
        if not o.drop_after_end:
            return log
        kept = log.before(str(o.end))
        if later := log.n_events - kept.n_events:
            text = f"{later:,} of {log.n_events:,} events at or after {o.end} were left out on purpose."
            warnings.warn(text, DataWarning, stacklevel=2)
        return kept


@dataclass(frozen=True)
class DurationSource:
    """A table of durations, checked before the file is opened.

    Parameters
    ----------
    options : SourceOptions
        As given.
    causes : tuple of str
        Names of the codes 1…K in the column of events.
    """

    options: SourceOptions
    causes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check what can be checked without the file."""
        o = self.options
        check_choice("--unit", o.unit, tuple(UNIT_US))
        if o.follow_up is not None and o.entry is not None:
            raise ArgumentError(
                "--follow-up and --entry are both given.",
                consequence="They say in two ways when the watching began.",
                hint="give --follow-up where everyone was watched for the same last stretch, else --entry alone.",
            )
        if o.follow_up is not None and not 0 < o.follow_up < float("inf"):
            raise ArgumentError(f"--follow-up {o.follow_up:g} is not positive.", hint="write --follow-up 1.")
        if o.churned is not None and o.event is None:
            raise ArgumentError(
                "--churned is a value of a column of events, and none is named.", hint="add --event COLUMN."
            )

    def read(self, *, values: Sequence[str], labels: Sequence[str]) -> SpellTable:
        """Read the durations with these number and text columns.

        Raises
        ------
        ChurnsurvError
            If file, columns or rows are not what they were said to be.
        """
        o = self.options
        choices: dict[str, Any] = {"unit": o.unit, "on_bad": o.on_bad, "causes": self.causes or None}
        return SpellTable.from_durations(
            o.file, duration=str(o.duration), event=o.event, churned=o.churned, customer=o.customer, entry=o.entry,
            follow_up=o.follow_up, values=tuple(values), labels=tuple(labels), delimiter=delimiter_of(o),
            encoding=o.encoding, table=o.table, **choices,
        )  # fmt: skip

    def rounding(self, spells: SpellTable) -> float | None:
        """Days by which events are recorded late: a unit, where all durations are whole weeks, months or years."""
        unit = UNIT_US[str(self.options.unit)]
        if unit <= DAY_US:
            return None
        uneven = spells.engine.rows(f"SELECT count(*) FROM {spells.table} WHERE exit_us % {unit} != 0")[0][0]
        return None if uneven else unit / DAY_US


def source_of(
    options: SourceOptions, question: QuestionOptions, model: ModelOptions | None = None, *, scoring: bool = False
) -> LogSource | DurationSource:
    """Tell which of the two is meant, and refuse what does not go together or is missing.

    Parameters
    ----------
    options, question, model
        As given.
    scoring : bool
        Whether the definition comes with a fit.

    Raises
    ------
    ArgumentError
        Naming the options.
    """
    check_choice("--on-bad", options.on_bad, ("raise", "drop"))
    delimiter_of(options)
    given = {**vars(options), **vars(question), **(vars(model) if model else {})}
    durations = [name for name in _DURATIONS_ONLY if given[name] is not None]
    events = [name for name in _LOG_ONLY if given.get(name) not in (None, False)]
    if durations and events:
        raise ArgumentError(
            f"{_flag(durations[0])} and {_flag(events[0])} do not go together: the one is about a table of durations, the"
            " other about a log of events.",
            consequence="A duration has no date, and an event no length.",
            hint=f"one row per customer with a length: leave out {_flags(events)}. One row per event: leave out"
            f" {_flags(durations)}.",
        )
    if durations:
        _check_there(given, ("duration", "unit", *(() if scoring else ("event",))), "durations")
        return DurationSource(options, _causes(question))
    _check_there(given, ("customer", "time", "timezone", "start", "end", *(() if scoring else ("churn",))), "a log")
    return LogSource(options, origin_column(question.origin))


def _causes(question: QuestionOptions) -> tuple[str, ...]:
    """Names of causes: with durations, ``cancel:KINDS`` names the codes 1…K."""
    rule, _, rest = (question.churn or "").partition(":")
    if question.churn and rule != "cancel":
        raise ArgumentError(
            f"--churn {question.churn} is for a log: what happened to a duration is said by --event.",
            hint="leave --churn out; --churn cancel:left,moved names the codes 1, 2 of --event.",
        )
    return name_list(rest)


def _check_there(given: dict[str, Any], needed: Sequence[str], what: str) -> None:
    missing = [name for name in needed if given[name] is None]
    if not missing:
        return
    other = " Durations in place of events: --duration COLUMN --unit month --event COLUMN." if what == "a log" else ""
    raise ArgumentError(
        f"{_flags(missing)} {'is' if len(missing) == 1 else 'are'} missing, and {what} cannot be read without.",
        hint=f"churnsurv report --help shows an example of each use.{other}",
    )


def delimiter_of(options: SourceOptions) -> str:
    """One character.

    Raises
    ------
    ArgumentError
        If it is not.
    """
    delimiter = "\t" if options.delimiter in ("\\t", "tab") else options.delimiter
    if len(delimiter) != 1:
        raise ArgumentError(
            f"--delimiter {options.delimiter!r} is not one character.",
            hint='write --delimiter ";" or --delimiter tab.',
        )
    return delimiter


def check_kinds_named(kind: str | None, kinds: Sequence[str], option: str) -> None:
    """Refuse kinds of event without a column that holds them.

    Raises
    ------
    ArgumentError
        If kinds are named and ``--kind`` is not given.
    """
    if kinds and kind is None:
        raise ArgumentError(
            f"{option} names kinds, but no column of kinds was given.",
            hint="add --kind COLUMN, the column that says what happened."
            if option != "--activity"
            else "add --kind COLUMN, or leave --activity out: every row is then activity.",
        )


def check_activity_said(log: EventLog, kind: str | None, activity: Sequence[str]) -> None:
    """Refuse a log of several kinds of which none was said to be activity.

    Raises
    ------
    ArgumentError
        Listing the kinds.
    """
    if kind is None or activity:
        return
    kinds = ", ".join(f"{name} ({n:,})" for name, n in list(log.kinds().items())[:10])
    raise ArgumentError(
        f"which kinds of event count as activity? {kind!r} holds: {kinds}.",
        consequence="A cancelled order or a return of goods is no sign that a customer is coming back.",
        hint=f"write --activity {next(iter(log.kinds()))}, several separated by commas.",
    )


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _flags(names: Sequence[str]) -> str:
    shown = [_flag(name) for name in names]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
