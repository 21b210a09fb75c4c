"""The options, each described once; :func:`taking` gives a command those of some sets.

A field's description is its help text.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

_COLUMNS = "Columns of the file"
_TIME = "Time, for a log of events"
_DURATION = "Durations, in place of events"
_QUESTION = "The question"
_FILE = "The file"
_RUN = "The run"


def _option(name: str, help: str, panel: str, metavar: str | None = None) -> Any:
    return typer.Option(name, help=help, rich_help_panel=panel, metavar=metavar)


Out = Annotated[Path, _option("--out", "Where the results go; made if need be.", _RUN, "FOLDER")]
Seed = Annotated[int, _option("--seed", "Same seed, same results.", _RUN)]
Draws = Annotated[int, _option("--draws", "Posterior draws per chain, or draws of the coefficients.", _RUN)]
LookBack = Annotated[
    float | None,
    _option(
        "--look-back",
        "How far back a customer's habits are counted. By default the silence; 90 for contracts. A shop's hierarchical model "
        "counts none unless this is given: it knows each customer's own rhythm from all her gaps.",
        _QUESTION,
        "DAYS",
    ),
]
Quiet = Annotated[bool, _option("--quiet", "Print nothing but errors.", _RUN)]


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """What a first run may change."""

    out: Out = Path("churnsurv-demo")
    seed: Seed = 0
    draws: Draws = 1000
    quiet: Quiet = False


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """The fit to score with."""

    fit: Annotated[Path, typer.Argument(metavar="FIT", help="Saved fit: the file **fit** in an earlier output folder.")]


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """What is to be read, and how; ``None`` where nothing was said."""

    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="Events or durations: .csv, .tsv, .parquet, .ndjson (also .gz), .duckdb."),
    ]
    customer: Annotated[str | None, _option("--customer", "Who: customer ids.", _COLUMNS, "COLUMN")] = None
    time: Annotated[str | None, _option("--time", "When it happened.", _COLUMNS, "COLUMN")] = None
    kind: Annotated[
        str | None,
        _option(
            "--kind",
            "What happened. Without it every row is activity; with it, say which kinds are: --activity.",
            _COLUMNS,
            "COLUMN",
        ),
    ] = None
    value: Annotated[
        list[str] | None,
        _option("--value", "How much: a number, such as revenue. May be repeated.", _COLUMNS, "COLUMN"),
    ] = None
    group: Annotated[
        list[str] | None,
        _option("--group", "Where or what: a text, such as country. May be repeated.", _COLUMNS, "COLUMN"),
    ] = None
    timezone: Annotated[str | None, _option("--timezone", "Of the business, such as Europe/London.", _TIME, "ZONE")] = (
        None
    )
    time_format: Annotated[
        str | None,
        _option(
            "--time-format",
            'How text times are written, such as "%Y-%m-%d %H:%M", or iso. Never guessed.',
            _TIME,
            "PATTERN",
        ),
    ] = None
    epoch_unit: Annotated[
        str | None, _option("--epoch-unit", "Unit of numeric times: s, ms, us or ns.", _TIME, "UNIT")
    ] = None
    on_ambiguous: Annotated[
        str | None,
        _option("--on-ambiguous", "Local times that exist twice: raise (default), earlier or later.", _TIME, "CHOICE"),
    ] = None
    start: Annotated[str | None, _option("--start", "First day from which the log is complete.", _TIME, "DATE")] = None
    end: Annotated[
        str | None,
        _option("--end", "First day that is no longer in the log. Risk is told as of its midnight.", _TIME, "DATE"),
    ] = None
    drop_after_end: Annotated[
        bool,
        _option("--drop-after-end", "Leave out events at or after --end; otherwise they are refused.", _TIME),
    ] = False
    duration: Annotated[
        str | None,
        _option("--duration", "How long each customer has been there, one row per customer.", _DURATION, "COLUMN"),
    ] = None
    unit: Annotated[
        str | None, _option("--unit", "Of the durations: hour, day, week, month or year.", _DURATION, "UNIT")
    ] = None
    event: Annotated[str | None, _option("--event", "Whether, or why, the customer left.", _DURATION, "COLUMN")] = None
    churned: Annotated[
        str | None,
        _option(
            "--churned", "The value of --event that means so, such as Yes. Not for codes 0, 1, …", _DURATION, "VALUE"
        ),
    ] = None
    entry: Annotated[
        str | None,
        _option("--entry", "How long each had been there when you began to watch.", _DURATION, "COLUMN"),
    ] = None
    follow_up: Annotated[
        float | None,
        _option(
            "--follow-up",
            "For how long everybody was watched, such as 1 for a table of who left last month.",
            _DURATION,
            "NUMBER",
        ),
    ] = None
    on_bad: Annotated[
        str,
        _option(
            "--on-bad", "Rows that cannot be used: raise stops, drop leaves them out and counts them.", _FILE, "CHOICE"
        ),
    ] = "raise"
    delimiter: Annotated[str, _option("--delimiter", "Between the fields of a text file.", _FILE, "CHARACTER")] = ","
    encoding: Annotated[str, _option("--encoding", "Of a text file.", _FILE, "NAME")] = "utf-8"
    table: Annotated[str | None, _option("--table", "Table of a .duckdb file.", _FILE, "NAME")] = None


@dataclass(frozen=True, kw_only=True)
class QuestionOptions:
    """What is asked; checked against the fit where there is one."""

    churn: Annotated[
        str | None,
        _option(
            "--churn",
            "silence:DAYS, so many days without activity; cancel:KINDS, kinds of event that end a contract; "
            "inactivity:DAYS, for curves of lifetimes without a risk.",
            _QUESTION,
            "RULE",
        ),
    ] = None
    origin: Annotated[
        str | None,
        _option(
            "--origin",
            "Where a contract begins: kind:signup, column:signed_up, first (the first event is the beginning), or "
            "burn-in:90 (whoever has events in the first 90 days is left out).",
            _QUESTION,
            "RULE",
        ),
    ] = None
    reactivation: Annotated[
        str | None,
        _option("--reactivation", "Kinds that open a new contract after one has ended.", _QUESTION, "KINDS"),
    ] = None
    cause: Annotated[
        str | None,
        _option("--cause", "One of several causes, as if the others did not exist. All by default.", _QUESTION, "NAME"),
    ] = None
    activity: Annotated[
        str | None,
        _option(
            "--activity",
            "Kinds that count as activity, such as order,login. Returns of goods do not. For contracts: kinds whose "
            "habits count.",
            _QUESTION,
            "KINDS",
        ),
    ] = None
    horizon: Annotated[
        str | None,
        _option(
            "--horizon",
            "Days ahead, such as 30,60,90. By default a third, two thirds and all of the silence; 30,60,90 for contracts.",
            _QUESTION,
            "DAYS",
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """How it is learnt."""

    model: Annotated[
        str | None,
        _option(
            "--model",
            "hierarchical (default: groups lean on each other), cox or weibull (seconds; every group on its own).",
            _QUESTION,
            "NAME",
        ),
    ] = None
    look_back: LookBack = None
    draws: Draws = 1000


@dataclass(frozen=True, kw_only=True)
class ComparisonOptions:
    """What is compared, and when."""

    models: Annotated[
        str | None,
        _option(
            "--models",
            "Some of rule, classifier (both as most shops do today), logistic, tree, forest, boosting, xgboost, lightgbm, "
            "cox, weibull, hierarchical. For a shop, such as cox:landmark too: the same on what is known at intervals, and "
            "not when the silence began. By default rule, classifier, logistic, boosting, cox, weibull, hierarchical.",
            _QUESTION,
            "NAMES",
        ),
    ] = None
    cutoffs: Annotated[
        str,
        _option(
            "--cutoffs",
            "Earlier dates to go back to: how many, or which, such as 2011-06-01,2011-09-01.",
            _QUESTION,
            "DATES",
        ),
    ] = "4"
    look_back: LookBack = None
    draws: Draws = 1000


@dataclass(frozen=True, kw_only=True)
class CauseOptions:
    """What is drawn."""

    network: Annotated[
        Path,
        _option(
            "--network",
            "The drawing: a TOML file with nodes, arrows, causes that the data do not show, and questions.",
            _QUESTION,
            "FILE",
        ),
    ]
    draws: Draws = 1000


@dataclass(frozen=True, kw_only=True)
class PlaceOptions:
    """Where a comparison goes."""

    out: Out
    seed: Seed = 0
    quiet: Quiet = False


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Where the results go."""

    out: Out
    title: Annotated[str | None, _option("--title", "Title of the report.", _RUN, "TEXT")] = None
    seed: Seed = 0
    quiet: Quiet = False


def taking(**sets: type[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of some sets.

    Parameters
    ----------
    **sets : dataclass
        By the name of the command's argument that takes an instance.

    Returns
    -------
    callable
        Decorator: what it returns takes every field of every set by its name, as typer reads it.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def taken(**given: Any) -> None:
            command(
                **{name: one(**{field.name: given[field.name] for field in fields(one)}) for name, one in sets.items()}
            )

        parameters = [
            _parameter(field, hints) for one in sets.values() for hints in [_hints(one)] for field in fields(one)
        ]
        taken.__signature__ = inspect.Signature(parameters, return_annotation=None)  # type: ignore[attr-defined]
        taken.__annotations__ = {one.name: one.annotation for one in parameters}
        return taken

    return decorate


def _hints(options: type[Any]) -> dict[str, Any]:
    return get_type_hints(options, include_extras=True)


def _parameter(field: Any, hints: dict[str, Any]) -> inspect.Parameter:
    default = inspect.Parameter.empty if field.default is MISSING else field.default
    return inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hints[field.name])
