"""From the words of the command line to the library's own, refused with a sentence before any work."""

from __future__ import annotations

import re
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from churnsurv.errors import ArgumentError, DataWarning, DefinitionError, WindowError
from churnsurv.tables.churn import Silence
from churnsurv.tables.events import EventLog
from churnsurv.tables.schema import CellSchema
from churnsurv.tables.window import ObservationWindow, read_zone

_SILENCE: Final = re.compile(r"silence:(\d+(?:\.\d+)?)")
_ALL: Final = ("activity",)


def silence_days(rule: str) -> float:
    """Read ``silence:DAYS``.

    Parameters
    ----------
    rule : str
        As given on the command line.

    Returns
    -------
    float
        Days, > 0.

    Raises
    ------
    ArgumentError
        If it is anything else.

    Examples
    --------
    >>> silence_days("silence:90")
    90.0
    """
    found = _SILENCE.fullmatch(rule.strip())
    if not found or float(found[1]) <= 0:
        raise ArgumentError(
            f"--churn {rule!r} is not a churn definition that this version knows.",
            hint="it knows silence:DAYS, churned after so many days without activity: write --churn silence:90.",
        )
    return float(found[1])


def days_list(text: str | None) -> tuple[float, ...]:
    """Read days separated by commas; nothing gives an empty tuple.

    Examples
    --------
    >>> days_list("30,60, 90")
    (30.0, 60.0, 90.0)
    """
    if text is None:
        return ()
    try:
        days = tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise ArgumentError(f"--horizon {text!r} is not a list of days.", hint="write --horizon 30,60,90.") from error
    if not all(0 < day < float("inf") for day in days) or len(set(days)) != len(days):
        raise ArgumentError(
            f"--horizon {text!r} must name positive days, none twice.", hint="write --horizon 30,60,90."
        )
    return days


def name_list(text: str | None) -> tuple[str, ...]:
    """Read names separated by commas.

    Examples
    --------
    >>> name_list("order, login"), name_list(None)
    (('order', 'login'), ())
    """
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


def observation_window(start: str, end: str) -> ObservationWindow:
    """Read the window from two dates.

    Raises
    ------
    ArgumentError
        If a date cannot be read.
    WindowError
        If the end is not after the start.
    """
    try:
        return ObservationWindow(start, end)
    except WindowError as error:
        raise WindowError(
            f"--end {end} is not after --start {start}.",
            hint="--end is the first day that is no longer in the log, such as --start 2010-12-01 --end 2011-12-10.",
        ) from error


def check_choice(option: str, value: str | None, choices: Sequence[str]) -> None:
    """Refuse a word that is none of the choices.

    Raises
    ------
    ArgumentError
        Naming the option and its choices.
    """
    if value is not None and value not in choices:
        raise ArgumentError(f"{option} {value!r} is unknown.", hint=f"it is one of: {', '.join(choices)}.")


def check_folder(out: Path) -> None:
    """Refuse an output folder that could not be written in the end, before the work begins.

    Raises
    ------
    ArgumentError
        If it, or a folder above it, is a file or must not be written to.
    """
    there = next(path for path in (out, *out.absolute().parents) if path.exists())
    if not there.is_dir():
        raise ArgumentError(
            f"--out {str(out)!r} cannot be a folder: {str(there)!r} is a file.", hint="name another folder."
        )
    try:
        # Permission bits do not tell of read-only disks, and an administrator passes them all.
        with tempfile.TemporaryFile(dir=there):
            return
    except OSError as error:
        raise ArgumentError(
            f"--out {str(out)!r} cannot be written: {error.strerror or error} in {str(there)!r}.",
            hint="name another folder.",
        ) from error


def check_fit(fit: Path) -> None:
    """Refuse a place where no fit lies, and say where it is looked for.

    Parameters
    ----------
    fit : Path
        As given on the command line.

    Raises
    ------
    ArgumentError
        If it is a folder or nothing at all.
    """
    inside = fit / "fit"
    if fit.is_dir():
        hint = (
            f"write {str(inside)!r}." if inside.is_file() else "churnsurv report writes one, the file 'fit' in --out."
        )
        raise ArgumentError(f"the fit {str(fit)!r} is a folder, not a saved fit.", hint=hint)
    if not fit.exists():
        raise ArgumentError(
            f"there is no saved fit {str(fit)!r}.", hint="churnsurv report writes one, the file 'fit' in --out."
        )


@dataclass(frozen=True, kw_only=True)
class LogOptions:
    """How a log is to be read, checked before the file is opened.

    Parameters
    ----------
    path : Path
        The file.
    customer, time, kind : str
        Columns; ``kind`` may be ``None``.
    timezone, time_format, epoch_unit, on_ambiguous, on_bad, delimiter, encoding, table
        As :meth:`EventLog.from_file` takes them.
    end : str
        End of the window.
    drop_after_end : bool
        Whether later events are left out.
    """

    path: Path
    customer: str
    time: str
    kind: str | None
    timezone: str
    time_format: str | None
    epoch_unit: str | None
    on_ambiguous: str
    on_bad: str
    delimiter: str
    encoding: str
    table: str | None
    end: str
    drop_after_end: bool

    def __post_init__(self) -> None:
        """Check what can be checked without the file."""
        read_zone(self.timezone)
        check_choice("--on-bad", self.on_bad, ("raise", "drop"))
        check_choice("--on-ambiguous", self.on_ambiguous, ("raise", "earlier", "later"))
        check_choice("--epoch-unit", self.epoch_unit, ("s", "ms", "us", "ns"))
        delimiter = "\t" if self.delimiter in ("\\t", "tab") else self.delimiter
        if len(delimiter) != 1:
            raise ArgumentError(
                f"--delimiter {self.delimiter!r} is not one character.",
                hint='write --delimiter ";" or --delimiter tab.',
            )
        object.__setattr__(self, "delimiter", delimiter)

    def read(self, *, values: tuple[str, ...], labels: tuple[str, ...]) -> EventLog:
        """Read the log with these number and text columns.

        Raises
        ------
        ChurnsurvError
            If file, columns or rows are not what they were said to be.
        """
        choices: dict[str, Any] = {
            "epoch_unit": self.epoch_unit,
            "on_bad": self.on_bad,
            "on_ambiguous": self.on_ambiguous,
        }
        log = EventLog.from_file(
            self.path,
            customer=self.customer,
            time=self.time,
            kind=self.kind,
            timezone=self.timezone,
            values=values,
            labels=labels,
            time_format=self.time_format,
            delimiter=self.delimiter,
            encoding=self.encoding,
            table=self.table,
            **choices,
        )
        if not self.drop_after_end:
            return log
        kept = log.before(self.end)
        if later := log.n_events - kept.n_events:
            text = f"{later:,} of {log.n_events:,} events at or after {self.end} were left out on purpose."
            warnings.warn(text, DataWarning, stacklevel=2)
        return kept


def check_activity(kind: str | None, activity: tuple[str, ...]) -> None:
    """Refuse kinds of activity without a column that holds kinds.

    Raises
    ------
    ArgumentError
        If ``--activity`` is given without ``--kind``.
    """
    if activity and kind is None:
        raise ArgumentError(
            "--activity names kinds, but no column of kinds was given.",
            hint="add --kind COLUMN, or leave --activity out: every row is then activity.",
        )


def silence_of(rule_days: float, log: EventLog, kind: str | None, activity: tuple[str, ...]) -> Silence:
    """Make the churn definition from days and kinds.

    Raises
    ------
    ArgumentError
        If the log has kinds and none was said to be activity; the kinds are listed.
    """
    if kind is not None and not activity:
        kinds = ", ".join(f"{name} ({n:,})" for name, n in list(log.kinds().items())[:10])
        raise ArgumentError(
            f"which kinds of event count as activity? {kind!r} holds: {kinds}.",
            consequence="A cancelled order or a return of goods is no sign that a customer is coming back.",
            hint=f"write --activity {next(iter(log.kinds()))}, several separated by commas.",
        )
    return Silence(kinds=activity or _ALL, days=rule_days)


def feature_columns(schema: CellSchema) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Columns of the log that a fit's features read.

    Parameters
    ----------
    schema : CellSchema
        Of the fit.

    Returns
    -------
    tuple of tuple of str
        Number columns and text columns.
    """
    text = {column.name for column in schema.columns if column.edges is None}
    read = [(feature.value_column, feature.name in text) for feature in schema.features if feature.value_column]
    values = dict.fromkeys(str(column) for column, is_text in read if not is_text)
    labels = dict.fromkeys(str(column) for column, is_text in read if is_text)
    return tuple(values), tuple(labels)


def check_agreement(
    schema: CellSchema,
    *,
    timezone: str,
    churn: str | None,
    kind: str | None,
    activity: tuple[str, ...],
    value: str | None,
    groups: tuple[str, ...],
) -> None:
    """Refuse options that contradict the fit that is to be used.

    Raises
    ------
    DefinitionError
        Naming the first option that does, and what the fit has.
    """
    values, labels = feature_columns(schema)
    rule, kinds = schema.churn, schema.churn.kinds
    for option, given, has in (
        ("--timezone", timezone, schema.timezone),
        ("--churn", churn and f"silence:{silence_days(churn):g}", f"silence:{rule.days:g}"),
        ("--activity", set(activity), set(kinds)),
        ("--value", value and {value}, set(values)),
        ("--group", set(groups), set(labels)),
    ):
        if given and given != has:
            shown, said = (", ".join(sorted(x)) or "none" if isinstance(x, set) else x for x in (has, given))
            instead = "give what the fit has" if option == "--timezone" else f"leave {option} out"
            raise DefinitionError(
                f"{option} {said} contradicts the fit, which has {shown}.",
                consequence="The numbers would answer another question than the one the fit was made for.",
                hint=f"{instead}, or make a new fit with churnsurv report.",
            )
    if kind is None and kinds != _ALL:
        raise DefinitionError(
            f"the fit knows the kinds {', '.join(kinds)}, but no column of kinds was given.", hint="add --kind COLUMN."
        )
