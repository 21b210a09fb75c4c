"""From the words of the command line to the library's own, refused with a sentence before any work."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, cast

from churnsurv.errors import ArgumentError, WindowError
from churnsurv.tables.churn import ChurnDefinition, Silence
from churnsurv.tables.contracts import Cancellation, Inactivity, Origin
from churnsurv.tables.window import ObservationWindow

ALL_ACTIVITY: Final = ("activity",)
"""Kinds of a log without a column of kinds."""

RuleName = Literal["silence", "cancel", "inactivity"]
_RULES: Final = (
    "silence:DAYS, such as --churn silence:90, for customers who simply stop coming; cancel:KINDS, such as"
    " --churn cancel:cancelled, for contracts; inactivity:DAYS for curves of lifetimes"
)


@dataclass(frozen=True)
class Rule:
    """What ``--churn`` says.

    Parameters
    ----------
    name : {"silence", "cancel", "inactivity"}
        Which definition.
    days : float
        Of silence or inactivity.
    kinds : tuple of str
        Kinds that end a contract.
    """

    name: RuleName
    days: float = 0.0
    kinds: tuple[str, ...] = ()

    @classmethod
    def read(cls, text: str) -> Rule:
        """Read ``silence:DAYS``, ``cancel:KINDS`` or ``inactivity:DAYS``.

        Raises
        ------
        ArgumentError
            If it is anything else.

        Examples
        --------
        >>> Rule.read("silence:90").days, Rule.read("cancel:cancelled, payment_failed").kinds
        (90.0, ('cancelled', 'payment_failed'))
        """
        name, _, rest = text.strip().partition(":")
        if name == "cancel" and name_list(rest):
            return cls("cancel", kinds=name_list(rest))
        if name in ("silence", "inactivity"):
            try:
                days = float(rest)
            except ValueError:
                days = math.nan
            if math.isfinite(days) and days > 0:
                return cls(cast(RuleName, name), days=days)
        raise ArgumentError(
            f"--churn {text!r} is not a churn definition that this version knows.", hint=f"it knows {_RULES}."
        )

    def definition(
        self, *, activity: tuple[str, ...], origin: str | None, reactivation: tuple[str, ...]
    ) -> ChurnDefinition:
        """Make the definition.

        Parameters
        ----------
        activity : tuple of str
            Kinds that count as activity.
        origin : str or None
            What ``--origin`` says.
        reactivation : tuple of str
            Kinds that open a new contract.

        Raises
        ------
        ArgumentError
            If the origin is missing, or something was said that the definition has no use for.
        """
        if reactivation and self.name != "cancel":
            raise ArgumentError(
                f"--reactivation is for contracts, and --churn {self.name}:{self.days:g} knows of none.",
                hint="leave --reactivation out, or write --churn cancel:KINDS.",
            )
        if self.name == "silence":
            if origin is not None:
                raise ArgumentError(
                    f"--origin says where tenure begins, and --churn silence:{self.days:g} counts from the last activity.",
                    hint="leave --origin out, or write --churn cancel:KINDS.",
                )
            return Silence(kinds=activity or ALL_ACTIVITY, days=self.days)
        begins = origin_of(origin)
        if self.name == "inactivity":
            return Inactivity(self.days, activity or ALL_ACTIVITY, origin=begins)
        return Cancellation(self.kinds, origin=begins, reactivation=reactivation)


def origin_of(text: str | None) -> str:
    """Origin as the library writes it: a column's name belongs to the file, not to the definition.

    Raises
    ------
    ArgumentError
        If it is missing or not one of the four.

    Examples
    --------
    >>> origin_of("column:signed_up"), origin_of("burn-in:90")
    ('column', 'burn-in:90')
    """
    four = (
        "write --origin kind:signup if an event opens a contract, --origin column:signed_up if a column says when it began,"
        " --origin first if the first event of each customer is the beginning, or --origin burn-in:90 if only newcomers count"
    )
    if text is None:
        raise ArgumentError(
            "--origin is missing: where does a customer's tenure begin?",
            consequence="The first event in a log is a beginning only if it is said to be one.",
            hint=f"{four}.",
        )
    if origin_column(text):
        return "column"
    try:
        if Origin.read(text).rule in ("kind", "first", "burn-in"):
            return text
    except ArgumentError:
        pass
    raise ArgumentError(f"--origin {text!r} does not say where a customer's tenure begins.", hint=f"{four}.")


def origin_column(text: str | None) -> str | None:
    """Column that ``--origin column:NAME`` names."""
    rule, _, name = (text or "").partition(":")
    return name if rule == "column" and name else None


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
