"""The commands: read options, call the library, tell what came of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from churnsurv.analysis import SCORE_STEPS, STEPS, Analysis, AnalysisResult, analyse, noting
from churnsurv.analysis import score as score_log
from churnsurv.cli import options as o
from churnsurv.cli.console import Narrator, refusing
from churnsurv.cli.parse import (
    LogOptions,
    check_activity,
    check_agreement,
    check_fit,
    check_folder,
    days_list,
    feature_columns,
    name_list,
    observation_window,
    silence_days,
    silence_of,
)
from churnsurv.cli.summary import print_summary
from churnsurv.errors import ArgumentError
from churnsurv.report.outputs import write_outputs
from churnsurv.tables.churn import Silence

app = typer.Typer(
    name="churnsurv",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="Which customers are about to leave, how sure that is, and why: from a raw event log to a report.",
    epilog="Begin with `churnsurv demo`: it runs on a real shop's log that comes with the package.",
)

_REPORT_EXAMPLE = (
    "Example:\n\n"
    "    churnsurv report orders.csv --customer CustomerID --time InvoiceDate "
    '--time-format "%Y-%m-%d %H:%M" --timezone Europe/London --value Revenue --group Country '
    "--start 2010-12-01 --end 2011-12-10 --churn silence:90 --horizon 30,60,90 --out out/"
)
_SCORE_EXAMPLE = (
    "Example:\n\n"
    "    churnsurv score out/fit newer-orders.csv --customer CustomerID --time InvoiceDate "
    '--time-format "%Y-%m-%d %H:%M" --timezone Europe/London --start 2011-06-01 --end 2012-03-01 --out out2/'
)


def _show_version(value: bool) -> None:
    if value:
        from churnsurv.report.made import version

        typer.echo(f"churnsurv {version()}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Show the commands."""


def _deliver(result: AnalysisResult, out: Path, title: str | None, notes: list[str]) -> dict[str, Path]:
    try:
        return write_outputs(
            out,
            result.risk,
            cells=result.cells,
            check=result.check,
            check_note=result.check_note,
            title=title,
            notes=(*notes, *result.notes),
        )
    except OSError as error:
        raise ArgumentError(
            f"the results cannot be written to {str(out)!r}: {error.strerror or error}.",
            consequence="Files that were already written are whole; the others are those of an earlier run, or none.",
            hint="make room, or name another folder with --out.",
        ) from error


@app.command(epilog="Takes about a minute or two. Open churnsurv-demo/report.html afterwards.")
@refusing
def demo(out: o.Out = Path("churnsurv-demo"), seed: o.Seed = 0, draws: o.Draws = 1000, quiet: o.Quiet = False) -> None:
    """Run the whole way on a real shop's log (UCI Online Retail, 541,909 invoice lines)."""
    from churnsurv.datasets import load_online_retail

    check_folder(out)
    analysis = Analysis(
        window=observation_window("2010-12-01", "2011-12-10"),
        churn=Silence(kinds=("order",), days=90),
        value="revenue",
        groups=("country",),
        draws=draws,
        seed=seed,
    )
    with Narrator(("reading", *STEPS, "report"), quiet=quiet) as tell:
        tell("reading", 0.0)
        with noting() as notes:
            log = load_online_retail()
        result = analyse(log, analysis, progress=tell)
        tell("report", 0.0)
        files = _deliver(result, out, "Which customers of the Online Retail shop are about to leave", notes)
    if not quiet:
        print_summary(result, files)


@app.command(epilog=_REPORT_EXAMPLE)
@refusing
def report(
    file: o.LogFile,
    customer: o.Customer,
    time: o.Time,
    timezone: o.Timezone,
    start: o.Start,
    end: o.End,
    churn: o.Churn,
    out: o.Out,
    time_format: o.TimeFormat = None,
    epoch_unit: o.EpochUnit = None,
    kind: o.Kind = None,
    activity: o.Activity = None,
    value: o.Value = None,
    group: o.Group = None,
    horizon: o.Horizon = None,
    look_back: o.LookBack = None,
    on_bad: o.OnBad = "raise",
    on_ambiguous: o.OnAmbiguous = "raise",
    drop_after_end: o.DropAfterEnd = False,
    delimiter: o.Delimiter = ",",
    encoding: o.Encoding = "utf-8",
    table: o.Table = None,
    title: o.Title = None,
    seed: o.Seed = 0,
    draws: o.Draws = 1000,
    quiet: o.Quiet = False,
) -> None:
    """Learn from an event log and report who is about to leave."""
    check_folder(out)
    window, days, groups = observation_window(start, end), silence_days(churn), tuple(group or ())
    kinds, horizons = name_list(activity), days_list(horizon)
    check_activity(kind, kinds)
    source = LogOptions(
        path=file, customer=customer, time=time, kind=kind, timezone=timezone, time_format=time_format,
        epoch_unit=epoch_unit, on_ambiguous=on_ambiguous, on_bad=on_bad, delimiter=delimiter, encoding=encoding,
        table=table, end=end, drop_after_end=drop_after_end,
    )  # fmt: skip

    def question(definition: Silence) -> Analysis:
        return Analysis(
            window=window, churn=definition, value=value, groups=groups, look_back=look_back, horizons=horizons,
            draws=draws, seed=seed,
        )  # fmt: skip

    question(Silence(kinds=kinds or ("activity",), days=days))  # refuses impossible settings before the file is read
    with Narrator(("reading", *STEPS, "report"), quiet=quiet) as tell:
        tell("reading", 0.0)
        with noting() as notes:
            log = source.read(values=(value,) if value else (), labels=groups)
        result = analyse(log, question(silence_of(days, log, kind, kinds)), progress=tell)
        tell("report", 0.0)
        files = _deliver(result, out, title, notes)
    if not quiet:
        print_summary(result, files)


@app.command(epilog=_SCORE_EXAMPLE)
@refusing
def score(
    fit: o.FitFolder,
    file: o.LogFile,
    customer: o.Customer,
    time: o.Time,
    timezone: o.Timezone,
    start: o.Start,
    end: o.End,
    out: o.Out,
    time_format: o.TimeFormat = None,
    epoch_unit: o.EpochUnit = None,
    kind: o.Kind = None,
    activity: o.Activity = None,
    value: o.Value = None,
    group: o.Group = None,
    churn: o.FitChurn = None,
    horizon: o.Horizon = None,
    on_bad: o.OnBad = "raise",
    on_ambiguous: o.OnAmbiguous = "raise",
    drop_after_end: o.DropAfterEnd = False,
    delimiter: o.Delimiter = ",",
    encoding: o.Encoding = "utf-8",
    table: o.Table = None,
    title: o.Title = None,
    seed: o.Seed = 0,
    quiet: o.Quiet = False,
) -> None:
    """Tell the risk of a newer log's customers from a saved fit, without fitting again."""
    import churnsurv

    check_folder(out)
    window, horizons = observation_window(start, end), days_list(horizon)
    source = LogOptions(
        path=file, customer=customer, time=time, kind=kind, timezone=timezone, time_format=time_format,
        epoch_unit=epoch_unit, on_ambiguous=on_ambiguous, on_bad=on_bad, delimiter=delimiter, encoding=encoding,
        table=table, end=end, drop_after_end=drop_after_end,
    )  # fmt: skip
    check_fit(fit)
    saved = churnsurv.load(fit)
    check_agreement(
        saved.schema, timezone=timezone, churn=churn, kind=kind, activity=name_list(activity), value=value,
        groups=tuple(group or ()),
    )  # fmt: skip
    values, labels = feature_columns(saved.schema)
    with Narrator(("reading", *SCORE_STEPS, "report"), quiet=quiet) as tell:
        tell("reading", 0.0)
        with noting() as notes:
            log = source.read(values=values, labels=labels)
        result = score_log(saved, log, window, horizons=horizons, seed=seed, progress=tell)
        tell("report", 0.0)
        files = _deliver(result, out, title, notes)
    if not quiet:
        print_summary(result, files)
