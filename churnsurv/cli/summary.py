"""The few lines that stand in the terminal when a run is over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console

from churnsurv.cli.console import for_terminal
from churnsurv.plots.labels import clean_text, note_words
from churnsurv.plots.rows import rows_of
from churnsurv.report.sentences import count_range, quantity
from churnsurv.tables.churn import Silence

if TYPE_CHECKING:
    from churnsurv.analysis import AnalysisResult
    from churnsurv.risk.table import RiskTable

_WHAT: Final = {
    "report.html": "open this in a browser",
    "risk.csv": "every customer, for a spreadsheet",
    "risk.parquet": "every customer, for a program",
    "cells.parquet": "the counts that the model saw",
    "fit": "the saved fit, for churnsurv score",
}


def summary_lines(result: AnalysisResult, files: Mapping[str, Path]) -> list[str]:
    """Say what was found, what limits it, and where it is.

    Parameters
    ----------
    result : AnalysisResult
        What was made.
    files : mapping of str to Path
        Files by name.

    Returns
    -------
    list of str
        Lines, without line ends.
    """
    schema = result.risk.fit.schema
    notes = [note_words(schema, note) for note in result.notes]
    return [*_failed(result), *_found(result), "", *_caveats([*result.risk.caveats, *notes]), "", *_files(files)]


def print_summary(result: AnalysisResult, files: Mapping[str, Path]) -> None:
    """Print :func:`summary_lines` to standard output.

    Parameters
    ----------
    result, files
        As there.
    """
    console = Console(highlight=False, soft_wrap=True)
    for line in summary_lines(result, files):
        console.print(line, markup=False)


def _failed(result: AnalysisResult) -> list[str]:
    """Say first of all what makes every number below worthless."""
    if result.fit.info.reliable:
        return []
    return ["The computation failed its checks: do not act on these numbers.", ""]


def _found(result: AnalysisResult) -> list[str]:
    risk = result.risk
    totals = risk.totals()
    alive = int(totals["n_customers"].iloc[0])
    lines = [_headline(risk, alive)]
    for row in rows_of(totals):
        words = count_range(float(row["lower"]), float(row["upper"]), most=alive)
        lines.append(f"  within {row['horizon']:g} days: {words}{_by_cause(risk, float(row['horizon']), alive)}")
    lines.append(f"  ({risk.ci_prob:.0%} predictive intervals)")
    if risk.question.clock == "silence":
        churned = quantity(risk.n_already_churned, "customer")
        lines.append(f"Already churned, not counted above: {churned} to win back.")
    refused = int(totals["n_refused"].iloc[0])
    if refused:
        lines.append(f"Risk could not be told, not counted above: {quantity(refused, 'customer')}.")
    if result.check is not None:
        lines.append(f"Check, made as of {result.check.cutoff}: {clean_text(result.check.verdict, longest=500)}")
    elif result.check_note:
        lines.append(clean_text(result.check_note, longest=500))
    return lines


def _headline(risk: RiskTable, alive: int) -> str:
    """Who is counted, and what is expected of them."""
    churn = risk.spells.churn
    if isinstance(churn, Silence):
        return f"Of {quantity(alive, 'customer')} still active, expected to fall silent for {churn.days:g} days:"
    ways = clean_text(" or ".join(risk.causes))
    still = "still there" if risk.spells.window is None else "under contract"
    return f"Of {quantity(alive, 'customer')} {still}, expected to leave ({ways}):"


def _by_cause(risk: RiskTable, horizon: float, alive: int) -> str:
    parts = []
    for cause in risk.cause_sums:
        row = next(row for row in rows_of(risk.totals(cause=cause)) if row["horizon"] == horizon)
        words = count_range(float(row["lower"]), float(row["upper"]), most=alive)
        parts.append(f"{clean_text(cause)} {words.removeprefix('about ')}")
    return f" ({', '.join(parts)})" if parts else ""


def _caveats(texts: Sequence[str]) -> list[str]:
    return ["Read with care:", *(f"  - {for_terminal(text)}" for text in texts)] if texts else []


def _files(files: Mapping[str, Path]) -> list[str]:
    width = max(len(str(path)) for path in files.values())
    return [f"{path!s:<{width}}  {_WHAT[name]}" for name, path in files.items()]
