"""The commands: read options, call the library, tell what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final, cast

import typer

from churnsurv.analysis import (
    CAUSE_STEPS,
    COMPARE_STEPS,
    MODELS,
    Analysis,
    AnalysisResult,
    ModelName,
    analyse,
    contenders,
    lifetimes,
    noting,
    read_drawing,
    score_steps,
    steps,
    study_causes,
)
from churnsurv.analysis import compare as compare_models
from churnsurv.analysis import score as score_customers
from churnsurv.cli.agreement import check_agreement, check_fit, feature_columns
from churnsurv.cli.causes import print_causes, write_causes
from churnsurv.cli.comparison import FORECASTS, cutoffs_of, print_comparison, write_comparison
from churnsurv.cli.console import Narrator, refusing
from churnsurv.cli.lifetimes import print_lifetimes, write_lifetimes
from churnsurv.cli.options import (
    CauseOptions,
    ComparisonOptions,
    DemoOptions,
    FitOptions,
    ModelOptions,
    PlaceOptions,
    QuestionOptions,
    RunOptions,
    SourceOptions,
    taking,
)
from churnsurv.cli.parse import Rule, check_choice, check_folder, days_list, name_list, observation_window
from churnsurv.cli.sources import DurationSource, LogSource, check_activity_said, check_kinds_named, source_of
from churnsurv.cli.summary import print_summary
from churnsurv.errors import ArgumentError
from churnsurv.report.outputs import write_outputs
from churnsurv.tables.churn import ChurnDefinition, Silence
from churnsurv.tables.contracts import Cancellation, Inactivity
from churnsurv.tables.events import EventLog
from churnsurv.tables.spells import SpellTable

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

_LOG: Final = '--customer who --time at --time-format "%Y-%m-%d %H:%M" --timezone Europe/London'
_REPORT_EXAMPLES: Final = (
    "**A shop**, where customers simply stop coming:\n\n"
    "    churnsurv report orders.csv --customer CustomerID --time InvoiceDate "
    '--time-format "%Y-%m-%d %H:%M" --timezone Europe/London --value Revenue --group Country '
    "--start 2010-12-01 --end 2011-12-10 --churn silence:90 --horizon 30,60,90 --out out/\n\n"
    "**Contracts** in a log of events, two ways to leave:\n\n"
    f"    churnsurv report events.csv {_LOG} --kind what --group plan --start 2023-01-01 --end 2025-01-01 "
    "--churn cancel:cancelled,payment_failed --origin kind:signup --activity login,ticket --model cox --out out/\n\n"
    "**Durations** that exist already, one row per customer:\n\n"
    "    churnsurv report telco.csv --duration tenure --unit month --event Churn --churned Yes --follow-up 1 "
    "--customer customerID --group Contract --value MonthlyCharges --model weibull --out out/\n\n"
    "**Lifetimes** by a rule, without a risk:\n\n"
    f"    churnsurv report orders.csv {_LOG} --group Country --start 2023-01-01 --end 2025-01-01 "
    "--churn inactivity:90 --origin first --out out/"
)
_SCORE_EXAMPLES: Final = (
    "Example:\n\n"
    "    churnsurv score out/fit newer-orders.csv --customer CustomerID --time InvoiceDate "
    '--time-format "%Y-%m-%d %H:%M" --timezone Europe/London --start 2011-06-01 --end 2012-03-01 --out out2/\n\n'
    "With a fit of durations:\n\n"
    "    churnsurv score out/fit newer.csv --duration tenure --unit month --event Churn --churned Yes "
    "--customer customerID --out out2/"
)
_COMPARE_EXAMPLES: Final = (
    "Example:\n\n"
    "    churnsurv compare orders.csv --customer CustomerID --time InvoiceDate "
    '--time-format "%Y-%m-%d %H:%M" --timezone Europe/London --value Revenue --group Country '
    "--start 2010-12-01 --end 2011-12-10 --churn silence:90 --out compared/\n\n"
    "Forecasts are kept in the folder: a run that was stopped goes on where it was, and one more model costs only itself."
)
_CAUSES_EXAMPLES: Final = (
    "Example:\n\n"
    "    churnsurv causes orders.csv --network causes.toml --customer CustomerID --time InvoiceDate "
    '--time-format "%Y-%m-%d %H:%M" --timezone Europe/London --start 2010-12-01 --end 2011-12-10 '
    "--churn silence:90 --out causes/\n\n"
    'A drawing names what the business knows, such as `edges = ["late -> wait -> churn", "late -> churn"]`, and for each '
    'node what it is computed from: `[nodes.wait]`, `feature = "Maximum"`, `kind = "ticket"`, `column = "wait_hours"`, '
    "`days = 90`, `cuts = [4, 24]`."
)
_ROUNDED: Final[dict[ModelName, str]] = {
    "hierarchical": "whoever left is taken to have left in the middle of the last one.",
    "cox": "whoever left is taken to have left at some time of the last one.",
    "weibull": "whoever left is taken to have left at some time of the last one.",
}


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


def _writing_error(out: Path, error: OSError) -> ArgumentError:
    return ArgumentError(
        f"the results cannot be written to {str(out)!r}: {error.strerror or error}.",
        consequence="Files that were already written are whole; the others are those of an earlier run, or none.",
        hint="make room, or name another folder with --out.",
    )


def _deliver(result: AnalysisResult, out: Path, title: str | None) -> dict[str, Path]:
    try:
        return write_outputs(
            out,
            result.risk,
            cells=result.cells,
            keep_fit=result.is_new,
            check=result.check,
            check_note=result.check_note,
            title=title,
            notes=result.notes,
        )
    except OSError as error:
        raise _writing_error(out, error) from error


def _noted(result: AnalysisResult, notes: Sequence[str]) -> AnalysisResult:
    """Put what was noted while reading before what was noted later."""
    return replace(result, notes=tuple(dict.fromkeys((*notes, *result.notes))))


@app.command(epilog="Takes two or three minutes. Open churnsurv-demo/report.html afterwards.")
@taking(run=DemoOptions)
@refusing
def demo(run: DemoOptions) -> None:
    """Run the whole way on a real shop's log (UCI Online Retail, 541,909 invoice lines)."""
    from churnsurv.datasets import load_online_retail

    check_folder(run.out)
    analysis = Analysis(
        window=observation_window("2010-12-01", "2011-12-10"),
        churn=Silence(kinds=("order",), days=90),
        values=("revenue",),
        groups=("country",),
        draws=run.draws,
        seed=run.seed,
    )
    with Narrator(("reading", *steps(analysis), "report"), quiet=run.quiet) as tell:
        tell("reading", 0.0)
        with noting() as notes:
            log = load_online_retail()
        result = _noted(analyse(log, analysis, progress=tell), notes)
        tell("report", 0.0)
        files = _deliver(result, run.out, "Which customers of the Online Retail shop are about to leave")
    if not run.quiet:
        print_summary(result, files)


@app.command(epilog=_REPORT_EXAMPLES)
@taking(source=SourceOptions, question=QuestionOptions, model=ModelOptions, run=RunOptions)
@refusing
def report(source: SourceOptions, question: QuestionOptions, model: ModelOptions, run: RunOptions) -> None:
    """Learn from a log of events, or from durations, and report who is about to leave."""
    check_folder(run.out)
    check_choice("--model", model.model, MODELS)
    reading = source_of(source, question, model)
    churn = _definition(reading, question)
    if isinstance(churn, Inactivity):
        _report_lifetimes(cast(LogSource, reading), churn, question, model, run)
        return
    analysis = Analysis(
        window=reading.window if isinstance(reading, LogSource) else None,
        churn=churn,
        model=cast(ModelName, model.model or "hierarchical"),
        cause=question.cause,
        values=tuple(source.value or ()),
        groups=tuple(source.group or ()),
        activity=name_list(question.activity) if isinstance(churn, Cancellation) else (),
        look_back=model.look_back,
        horizons=days_list(question.horizon),
        draws=model.draws,
        seed=run.seed,
    )  # refuses impossible settings before the file is read
    first = "reading" if isinstance(reading, LogSource) else "durations"
    with Narrator((first, *steps(analysis), "report"), quiet=run.quiet) as tell:
        tell(first, 0.0)
        with noting() as notes:
            found = reading.read(values=analysis.values, labels=analysis.groups)
        _check_log(reading, found, question)
        if (unit := _rounding(reading, found)) is not None:
            analysis = replace(analysis, rounded=unit, horizons=days_list(question.horizon))
            notes.append(f"All durations are whole {source.unit}s: {_ROUNDED[analysis.model]}")
        result = _noted(analyse(found, analysis, progress=tell), notes)
        tell("report", 0.0)
        files = _deliver(result, run.out, run.title)
    if not run.quiet:
        print_summary(result, files)


@app.command(epilog=_SCORE_EXAMPLES)
@taking(saved=FitOptions, source=SourceOptions, question=QuestionOptions, run=RunOptions)
@refusing
def score(saved: FitOptions, source: SourceOptions, question: QuestionOptions, run: RunOptions) -> None:
    """Tell the risk of newer customers from a saved fit, without fitting again."""
    import churnsurv

    check_folder(run.out)
    reading, horizons = source_of(source, question, scoring=True), days_list(question.horizon)
    window = reading.window if isinstance(reading, LogSource) else None
    check_fit(saved.fit)
    fit = churnsurv.load(saved.fit)
    check_agreement(fit, reading, source, question)
    values, labels = feature_columns(fit.schema)
    first = "reading" if isinstance(reading, LogSource) else "durations"
    with Narrator((first, *score_steps(fit.schema), "report"), quiet=run.quiet) as tell:
        tell(first, 0.0)
        with noting() as notes:
            found = reading.read(values=values, labels=labels)
        told = score_customers(
            fit, found, window, cause=question.cause, horizons=horizons, seed=run.seed, progress=tell
        )
        result = _noted(told, notes)
        tell("report", 0.0)
        files = _deliver(result, run.out, run.title)
    if not run.quiet:
        print_summary(result, files)


@app.command(epilog=_COMPARE_EXAMPLES)
@taking(source=SourceOptions, question=QuestionOptions, chosen=ComparisonOptions, run=PlaceOptions)
@refusing
def compare(source: SourceOptions, question: QuestionOptions, chosen: ComparisonOptions, run: PlaceOptions) -> None:
    """Find out which model to trust: all of them at earlier dates, against what happened then."""
    check_folder(run.out)
    reading = source_of(source, question, ModelOptions(look_back=chosen.look_back))
    churn = _definition(reading, question)
    if not isinstance(reading, LogSource):
        raise ArgumentError(
            "durations carry no dates, so there is no earlier day to go back to.",
            hint="compare models on a log of events.",
        )
    if isinstance(churn, Inactivity):
        raise ArgumentError(
            f"--churn inactivity:{churn.days:g} gives curves of lifetimes, and no risk to be compared.",
            hint=f"write --churn silence:{churn.days:g}.",
        )
    if question.cause is not None:
        raise ArgumentError(
            f"--cause {question.cause} asks as if the other causes did not exist; in the past they did.",
            consequence="What happened could not be held against such a chance.",
            hint="leave --cause out: all causes are compared together.",
        )
    analysis = Analysis(
        window=reading.window,
        churn=churn,
        values=tuple(source.value or ()),
        groups=tuple(source.group or ()),
        activity=name_list(question.activity) if isinstance(churn, Cancellation) else (),
        look_back=chosen.look_back,
        horizons=days_list(question.horizon),
        draws=chosen.draws,
        seed=run.seed,
    )
    names, cutoffs = name_list(chosen.models), cutoffs_of(chosen.cutoffs)
    contenders(analysis, names)  # refuses unknown names before the file is read
    with Narrator(("reading", *COMPARE_STEPS, "report"), quiet=run.quiet) as tell:
        tell("reading", 0.0)
        with noting() as notes:
            log = reading.read(values=analysis.values, labels=analysis.groups)
        _check_log(reading, log, question)
        found = compare_models(log, analysis, names, cutoffs=cutoffs, cache=run.out / FORECASTS, progress=tell)
        tell("report", 0.0)
        try:
            files = write_comparison(found, run.out)
        except OSError as error:
            raise _writing_error(run.out, error) from error
    if not run.quiet:
        print_comparison(found, files, notes)


@app.command(epilog=_CAUSES_EXAMPLES)
@taking(source=SourceOptions, question=QuestionOptions, drawn=CauseOptions, run=PlaceOptions)
@refusing
def causes(source: SourceOptions, question: QuestionOptions, drawn: CauseOptions, run: PlaceOptions) -> None:
    """Ask why customers leave, and what interventions would change, along a drawing of causes."""
    check_folder(run.out)
    drawing = read_drawing(drawn.network, cause=question.cause)  # refuses what cannot be before the file is read
    reading = source_of(source, question, ModelOptions())
    churn, horizon = _causes_asked(question, _definition(reading, question))
    window = reading.window if isinstance(reading, LogSource) else None
    event = None if drawing.network.cause == "return" else drawing.network.cause
    # Refuses impossible settings before the file is read.
    Analysis(
        window=window, churn=churn, cause=event, horizons=days_list(question.horizon), draws=drawn.draws, seed=run.seed
    )
    values = tuple(dict.fromkeys((*(source.value or ()), *drawing.values)))
    labels = tuple(dict.fromkeys((*(source.group or ()), *drawing.labels)))
    first = "reading" if isinstance(reading, LogSource) else "durations"
    with Narrator((first, *CAUSE_STEPS, "report"), quiet=run.quiet) as tell:
        tell(first, 0.0)
        with noting() as notes:
            found = reading.read(values=values, labels=labels)
            _check_log(reading, found, question)
            spells = found
            if isinstance(found, EventLog):
                spells = SpellTable.from_events(found, cast(LogSource, reading).window, cast(ChurnDefinition, churn))
        study = study_causes(
            cast(SpellTable, spells), drawing, horizon=horizon, n_draws=drawn.draws, seed=run.seed, progress=tell
        )
        tell("report", 0.0)
        try:
            files = write_causes(study, run.out)
        except OSError as error:
            raise _writing_error(run.out, error) from error
    if not run.quiet:
        print_causes(study, files, notes)


def _causes_asked(
    question: QuestionOptions, churn: ChurnDefinition | None
) -> tuple[ChurnDefinition | None, float | None]:
    """Definition of churn and one horizon, which a shop may leave to its silence."""
    if isinstance(churn, Inactivity):
        raise ArgumentError(
            f"--churn inactivity:{churn.days:g} gives curves of lifetimes, and no hazard to explain.",
            hint=f"write --churn silence:{churn.days:g}.",
        )
    if question.activity is not None and isinstance(churn, Cancellation):
        raise ArgumentError(
            "--activity names kinds whose habits count, and of causes the drawing says what counts.",
            hint='leave --activity out, and draw a node with feature = "Count".',
        )
    horizons = days_list(question.horizon)
    if len(horizons) > 1:
        raise ArgumentError(
            f"--horizon {question.horizon} names {len(horizons)} horizons.", hint="write one: --horizon 90."
        )
    if not horizons and not isinstance(churn, Silence):
        raise ArgumentError(
            "--horizon is missing: within how many days is churn asked about?",
            consequence="A shop has its silence; a contract has no such number.",
            hint="write --horizon 90.",
        )
    return churn, horizons[0] if horizons else None


def _definition(reading: LogSource | DurationSource, question: QuestionOptions) -> ChurnDefinition | None:
    """Definition of a log; that of durations comes with them, unless the causes were named."""
    if isinstance(reading, DurationSource):
        return Cancellation(reading.causes, "stated") if reading.causes else None
    rule, activity, kind = Rule.read(str(question.churn)), name_list(question.activity), reading.options.kind
    check_kinds_named(kind, rule.kinds, "--churn cancel")
    check_kinds_named(kind, activity, "--activity")
    again = name_list(question.reactivation)
    return rule.definition(activity=activity, origin=question.origin, reactivation=again)


def _check_log(reading: LogSource | DurationSource, found: EventLog | SpellTable, question: QuestionOptions) -> None:
    """Refuse a log of several kinds of which none was said to be activity."""
    if isinstance(found, EventLog) and Rule.read(str(question.churn)).name != "cancel":
        check_activity_said(found, reading.options.kind, name_list(question.activity))


def _rounding(reading: LogSource | DurationSource, found: EventLog | SpellTable) -> float | None:
    """Days of the unit, where all durations are whole numbers of it."""
    if isinstance(reading, DurationSource) and isinstance(found, SpellTable):
        return reading.rounding(found)
    return None


def _report_lifetimes(
    reading: LogSource, churn: Inactivity, question: QuestionOptions, model: ModelOptions, run: RunOptions
) -> None:
    """Curves of lifetimes, and why there is no risk."""
    for option, given in (
        ("--horizon", question.horizon),
        ("--cause", question.cause),
        ("--model", model.model),
        ("--value", reading.options.value),
    ):
        if given is not None:
            raise ArgumentError(
                f"{option} is about risk, and --churn inactivity:{churn.days:g} has none: it gives curves of lifetimes.",
                hint=f"leave {option} out, or write --churn silence:{churn.days:g}.",
            )
    groups, window = tuple(reading.options.group or ()), reading.window
    with Narrator(("reading", "lifetimes", "curves"), quiet=run.quiet) as tell:
        tell("reading", 0.0)
        with noting() as notes:
            log = reading.read(values=(), labels=groups)
        _check_log(reading, log, question)
        tell("lifetimes", 0.0)
        found = lifetimes(log, window, churn, groups=groups, look_back=model.look_back or churn.days)
        tell("curves", 0.0)
        try:
            files = write_lifetimes(found, run.out)
        except OSError as error:
            raise _writing_error(run.out, error) from error
    if not run.quiet:
        print_lifetimes(found, files, notes)
