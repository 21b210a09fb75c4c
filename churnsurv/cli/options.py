"""The options, each described once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_COLUMNS = "Columns of the file"
_TIME = "Time"
_QUESTION = "The question"
_FILE = "The file"
_RUN = "The run"

LogFile = Annotated[
    Path, typer.Argument(metavar="FILE", help="Event log: .csv, .tsv, .parquet, .ndjson (also .gz), .duckdb.")
]
FitFolder = Annotated[
    Path, typer.Argument(metavar="FIT", help="Saved fit: the file **fit** in an earlier output folder.")
]

Customer = Annotated[
    str, typer.Option("--customer", metavar="COLUMN", help="Who: customer ids.", rich_help_panel=_COLUMNS)
]
Time = Annotated[str, typer.Option("--time", metavar="COLUMN", help="When it happened.", rich_help_panel=_COLUMNS)]
Kind = Annotated[
    str | None,
    typer.Option(
        "--kind",
        metavar="COLUMN",
        help="What happened. Without it every row is activity; with it, say which kinds are: --activity.",
        rich_help_panel=_COLUMNS,
    ),
]
Value = Annotated[
    str | None,
    typer.Option("--value", metavar="COLUMN", help="How much: a number, such as revenue.", rich_help_panel=_COLUMNS),
]
Group = Annotated[
    list[str] | None,
    typer.Option(
        "--group", metavar="COLUMN", help="Where: a text, such as country. May be repeated.", rich_help_panel=_COLUMNS
    ),
]

Timezone = Annotated[
    str, typer.Option("--timezone", metavar="ZONE", help="Of the shop, such as Europe/London.", rich_help_panel=_TIME)
]
TimeFormat = Annotated[
    str | None,
    typer.Option(
        "--time-format",
        metavar="PATTERN",
        help='How text times are written, such as "%Y-%m-%d %H:%M", or iso. Never guessed.',
        rich_help_panel=_TIME,
    ),
]
EpochUnit = Annotated[
    str | None,
    typer.Option("--epoch-unit", metavar="UNIT", help="Unit of numeric times: s, ms, us or ns.", rich_help_panel=_TIME),
]
OnAmbiguous = Annotated[
    str,
    typer.Option(
        "--on-ambiguous",
        metavar="CHOICE",
        help="Local times that exist twice: raise, earlier or later.",
        rich_help_panel=_TIME,
    ),
]
Start = Annotated[
    str,
    typer.Option("--start", metavar="DATE", help="First day from which the log is complete.", rich_help_panel=_TIME),
]
End = Annotated[
    str,
    typer.Option(
        "--end",
        metavar="DATE",
        help="First day that is no longer in the log. Risk is told as of its midnight.",
        rich_help_panel=_TIME,
    ),
]
DropAfterEnd = Annotated[
    bool,
    typer.Option(
        "--drop-after-end",
        help="Leave out events at or after --end; otherwise they are refused.",
        rich_help_panel=_TIME,
    ),
]

Churn = Annotated[
    str,
    typer.Option(
        "--churn",
        metavar="RULE",
        help="silence:DAYS. Churned after so many days without activity.",
        rich_help_panel=_QUESTION,
    ),
]
FitChurn = Annotated[
    str | None,
    typer.Option(
        "--churn", metavar="RULE", help="May be left out; checked against the fit.", rich_help_panel=_QUESTION
    ),
]
Activity = Annotated[
    str | None,
    typer.Option(
        "--activity",
        metavar="KINDS",
        help="Kinds that count as activity, such as order,login. Returns of goods do not.",
        rich_help_panel=_QUESTION,
    ),
]
Horizon = Annotated[
    str | None,
    typer.Option(
        "--horizon",
        metavar="DAYS",
        help="Days ahead, such as 30,60,90. By default a third, two thirds and all of the silence.",
        rich_help_panel=_QUESTION,
    ),
]
LookBack = Annotated[
    float | None,
    typer.Option(
        "--look-back",
        metavar="DAYS",
        help="How far back a customer's habits are counted. By default the silence.",
        rich_help_panel=_QUESTION,
    ),
]

OnBad = Annotated[
    str,
    typer.Option(
        "--on-bad",
        metavar="CHOICE",
        help="Rows that cannot be used: raise stops, drop leaves them out and counts them.",
        rich_help_panel=_FILE,
    ),
]
Delimiter = Annotated[
    str,
    typer.Option("--delimiter", metavar="CHARACTER", help="Between the fields of a text file.", rich_help_panel=_FILE),
]
Encoding = Annotated[str, typer.Option("--encoding", metavar="NAME", help="Of a text file.", rich_help_panel=_FILE)]
Table = Annotated[
    str | None, typer.Option("--table", metavar="NAME", help="Table of a .duckdb file.", rich_help_panel=_FILE)
]

Out = Annotated[
    Path, typer.Option("--out", metavar="FOLDER", help="Where the results go; made if need be.", rich_help_panel=_RUN)
]
Seed = Annotated[int, typer.Option("--seed", help="Same seed, same results.", rich_help_panel=_RUN)]
Draws = Annotated[int, typer.Option("--draws", help="Posterior draws per chain.", rich_help_panel=_RUN)]
Title = Annotated[
    str | None, typer.Option("--title", metavar="TEXT", help="Title of the report.", rich_help_panel=_RUN)
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.", rich_help_panel=_RUN)]
