"""What the terminal shows: each step as it goes, a summary at the end, a sentence when something is wrong."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Final

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from churnsurv.errors import ChurnsurvError
from churnsurv.plots.labels import clean_text

STEP_WORDS: Final = {
    "reading": "Reading the log",
    "durations": "Reading the durations",
    "gaps": "Finding the gaps between activities",
    "contracts": "Finding the contracts",
    "lifetimes": "Estimating the lifetimes",
    "features": "Looking up what was known when",
    "cells": "Counting events and exposure",
    "rows": "Laying out the rows",
    "sampling": "Sampling the posterior",
    "fitting": "Fitting the model",
    "risk": "Telling everyone's risk",
    "check": "Checking against the past",
    "comparing": "Comparing models at earlier dates",
    "scores": "Scoring what they said",
    "causes": "Learning the network of causes",
    "effects": "Asking what interventions would change",
    "attacks": "Trying to break the answers",
    "explaining": "Explaining customers one by one",
    "report": "Writing the report",
    "curves": "Writing the curves",
}
"""What each step is called; keys are those of :mod:`churnsurv.analysis`, with reading and report around them."""

# Hints are written for Python; these settings have an option of the same name.
_SETTING: Final = re.compile(
    r"\b(on_bad|on_ambiguous|time_format|timezone|epoch_unit|delimiter|encoding|table|start|end|origin|cause|churned|unit|model)"
    r"=([\"'])(.*?)\2"
)
_CALL: Final = re.compile(r"\w+\.\w+\([^)]*\) \(on the command line (--[\w-]+)\)")
_ASIDE: Final = re.compile(r"(?: \(|; )on the command line --[\w-]+\)?")
_SILENCE: Final = re.compile(r"churn=Silence\(kinds=\(.*?\), days=([\d.]+)\)")
_LANDMARKS: Final = re.compile(r"fit on PeriodTable\.from_landmarks\(…, horizon=([\d.]+)\)")
_CHURNED: Final = re.compile(r"(?:say what they mean|name every value): churned=\{.*?\}(?:, with 1 for churn)?")
_FRAME: Final = re.compile(r" Where zero means less than one unit, say half a unit: frame\[.*?\]\.replace\(0, 0\.5\)\.")
_ATTRIBUTE: Final = re.compile(r"; error\.rows holds the first \d+")
_WORDS: Final = {
    "check time_format or epoch_unit": "check --time-format or --epoch-unit",
    "name text columns in labels=": "name text columns with --group",
    "name it in values= or in labels=, once": "name each column once, with --value or with --group",
    "features that look back less far": "a shorter --look-back",
    "define Silence with more days": "a longer silence in --churn",
    "fit.save(path) writes a file that churnsurv.load(path) reads": "give the file 'fit' that churnsurv report wrote",
    "a longer window, or KaplanMeierModel for a flat curve": "a longer window: what is to be learnt never happened in it",
    'activity=("login",)': "--activity login",
    "leave cause= out": "leave --cause out",
    'name the codes 1…K, causes=("cancelled", "payment_failed")': "name the codes 1, 2, … with --churn cancel:NAMES",
    "fit.save(path) writes one": "churnsurv report writes one, the file 'fit' in its output folder",
}
"""Hints that name arguments of a call, and how the command line says the same."""
_NUMBER: Final = re.compile(r"\b(draws|seed)=(-?\d+)")
# Characters that a shell leaves alone outside quotes.
_PLAIN: Final = re.compile(r"[\w./:+…-]+")
_EXIT_REFUSED: Final = 2
_EXIT_STOPPED: Final = 130


class Narrator:
    """Tells each step: bars on a terminal, plain lines elsewhere, nothing when quiet.

    Parameters
    ----------
    steps : sequence of str
        Names of the steps to come, in order, keys of ``STEP_WORDS``.
    quiet : bool
        Whether to say nothing.
    """

    def __init__(self, steps: Sequence[str], *, quiet: bool) -> None:
        console = Console(stderr=True, highlight=False, quiet=quiet)
        self._steps = tuple(steps)
        self._console = console
        self._current = ""
        self._tasks: dict[str, TaskID] = {}
        self._bars = Progress(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            console=console,
            disable=quiet or not console.is_terminal,
        )

    def __enter__(self) -> Narrator:
        """Begin."""
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End; the last step is done unless something went wrong."""
        if kind is None:
            self._finish()
        self._bars.stop()

    def __call__(self, step: str, done: float) -> None:
        """Tell how much of a step is done, from 0 to 1."""
        if step != self._current:
            self._finish()
            self._begin(step)
        if done > 0:
            self._bars.update(self._tasks[step], total=1.0, completed=min(done, 1.0))

    def _begin(self, step: str) -> None:
        self._current = step
        words = STEP_WORDS[step]
        if self._bars.disable:
            self._console.print(f"[{self._steps.index(step) + 1}/{len(self._steps)}] {words}", markup=False)
        self._tasks[step] = self._bars.add_task(words, total=None)

    def _finish(self) -> None:
        if self._current:
            self._bars.update(self._tasks[self._current], total=1.0, completed=1.0)


def for_terminal(message: str) -> str:
    """Turn settings of a message into options, and drop what a terminal would obey.

    Parameters
    ----------
    message : str
        Message of a refusal.

    Returns
    -------
    str
        The same, lines kept.

    Examples
    --------
    >>> for_terminal('Hint: on_bad="drop" leaves it out.')
    'Hint: --on-bad drop leaves it out.'
    >>> for_terminal('leave them out: log.before("2024-06-01") (on the command line --drop-after-end).')
    'leave them out: --drop-after-end.'
    """
    message = _CHURNED.sub("name the value that means churn, such as --churned Yes", message)
    message = _ASIDE.sub("", _SETTING.sub(_option, _CALL.sub(r"\1", message)))
    message = _NUMBER.sub(r"--\1 \2", message)
    message = _FRAME.sub("", message)
    message = _SILENCE.sub(r"--churn silence:\1", _LANDMARKS.sub(r"make a new fit with --horizon \1", message))
    for words, said in _WORDS.items():
        message = message.replace(words, said)
    lines = _ATTRIBUTE.sub("", message).splitlines()
    return "\n".join(clean_text(line, longest=2000) for line in lines)


def _option(found: re.Match[str]) -> str:
    value = "tab" if found[3] in ("\t", "\\t") else found[3]
    value = value if _PLAIN.fullmatch(value) else f'"{value}"'
    return f"--{found[1].replace('_', '-')} {value}"


def refusing[**P](command: Callable[P, None]) -> Callable[P, None]:
    """Turn a refusal into a sentence and exit code 2, and Ctrl-C into one line and 130.

    Anything else is a defect and keeps its traceback.

    Parameters
    ----------
    command : callable
        A command of the command line.

    Returns
    -------
    callable
        The same, with its signature.
    """

    @functools.wraps(command)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        console = Console(stderr=True, highlight=False, soft_wrap=True)
        try:
            command(*args, **kwargs)
        except ChurnsurvError as error:
            console.print(Text.assemble(("Error: ", "bold red"), for_terminal(str(error))))
            raise typer.Exit(_EXIT_REFUSED) from None
        except KeyboardInterrupt:
            console.print("Stopped. No file was left half-written.")
            raise typer.Exit(_EXIT_STOPPED) from None

    return guarded
