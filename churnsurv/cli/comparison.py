"""What a comparison of models leaves behind: tables, charts and a few lines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.table import Table

from churnsurv.errors import ArgumentError
from churnsurv.plots.calibration import plot_calibration
from churnsurv.plots.labels import clean_text
from churnsurv.plots.leaderboard import plot_leaderboard
from churnsurv.plots.rows import rows_of
from churnsurv.plots.svg import to_svg
from churnsurv.report.exports import write_csv, write_parquet, write_text
from churnsurv.report.sentences import count, quantity

if TYPE_CHECKING:
    from churnsurv.analysis import Comparison

FORECASTS: Final = "forecasts"
"""Folder, inside the output folder, in which forecasts are kept so that nothing is computed twice."""

_WHAT: Final = {
    "leaderboard.svg": "who was closer to what happened than a curve for everyone",
    "calibration.svg": "what the best model said, against what happened",
    "leaderboard.csv": "all models and horizons, for a spreadsheet",
    "scores.csv": "the same for every date",
    "forecasts.parquet": "every forecast beside what happened, for a program",
}
_TITLES: Final = ("", "saved", "off by", "chance", "AUC", "lift", "held", "seconds")


def cutoffs_of(text: str) -> int | tuple[str, ...]:
    """Read a number of dates, or dates.

    Raises
    ------
    ArgumentError
        If it is neither.

    Examples
    --------
    >>> cutoffs_of("4"), cutoffs_of("2011-06-01, 2011-09-01")
    (4, ('2011-06-01', '2011-09-01'))
    """
    parts = tuple(part.strip() for part in text.split(",") if part.strip())
    if len(parts) == 1 and parts[0].isdecimal() and int(parts[0]) > 0:
        return int(parts[0])
    if not parts or any(part.lstrip("-").isdecimal() for part in parts):
        raise ArgumentError(
            f"--cutoffs {text!r} is neither a number of dates nor dates.",
            hint="write --cutoffs 4, or --cutoffs 2011-06-01,2011-09-01.",
        )
    return parts


def write_comparison(found: Comparison, folder: Path) -> dict[str, Path]:
    """Write tables and charts; each file whole or not at all.

    Parameters
    ----------
    found : Comparison
        What was compared.
    folder : Path
        Where to; made if need be.

    Returns
    -------
    dict of str to Path
        Files by name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    board = found.board
    charts: dict[str, Any] = {"leaderboard": plot_leaderboard(board)}
    if board.best in found.result.models:
        charts["calibration"] = plot_calibration(found.result, board.best)
    files = {f"{name}.svg": write_svg(chart, folder / f"{name}.svg", name) for name, chart in charts.items()}
    files["leaderboard.csv"] = write_csv(board.table, folder / "leaderboard.csv")
    files["scores.csv"] = write_csv(board.scores, folder / "scores.csv")
    files["forecasts.parquet"] = write_parquet(found.result.frame(), folder / "forecasts.parquet")
    return files


def write_svg(chart: Any, path: Path, name: str) -> Path:
    """Write a chart as a picture of its own.

    Parameters
    ----------
    chart : Altair chart
        The chart.
    path : Path
        Where to.
    name : str
        Prefix of its identifiers.
    """
    # In a report the page says which font to use; a file on its own must say so itself.
    text = to_svg(chart, name=name).replace("<svg ", '<svg font-family="Helvetica, Arial, sans-serif" ', 1)
    return write_text(text, path)


def print_comparison(found: Comparison, files: dict[str, Path], notes: Sequence[str]) -> None:
    """Print who was closest, by how much, what limits it, and where the rest is.

    Parameters
    ----------
    found : Comparison
        What was compared.
    files : dict of str to Path
        Files by name.
    notes : sequence of str
        Warnings that were given while reading.
    """
    console = Console(highlight=False, soft_wrap=True)
    console.print(_how(found), markup=False)
    console.print(_table(found))
    console.print(
        "(saved: share of the squared error of one curve for everyone; off by: average distance between what was said and what"
        " happened; chance: the same of a model that is exactly right; lift: leavers in the tenth at highest risk, as a multiple"
        " of those in all; held: dates at which the interval of the total held the number)\n",
        markup=False,
    )
    for sentence in found.board.verdicts():
        console.print(clean_text(sentence, longest=500), markup=False)
    cautions = [*notes, *found.notes, *_left_out(found), *_failures(found), *_overlap(found)]
    if cautions:
        console.print("\nRead with care:", markup=False)
        for text in cautions:
            kept = " ".join(line for line in text.splitlines() if not line.startswith("Hint: "))
            console.print(f"  - {clean_text(kept[:1].upper() + kept[1:], longest=800)}", markup=False)
    console.print("", markup=False)
    width = max(len(str(path)) for path in files.values())
    for name, path in files.items():
        console.print(f"{path!s:<{width}}  {_WHAT[name]}", markup=False)


def _how(found: Comparison) -> str:
    """What was done, on whom."""
    kept, last = _compared_at(found), found.board.table
    n = int(last[last["horizon"] == last["horizon"].max()]["n"].max())
    dates = kept[0] if len(kept) == 1 else f"{kept[0]} to {kept[-1]}"
    return (
        f"At {quantity(len(kept), 'date')} ({dates}) each model learnt from what was known then, and was held against the"
        f" {found.result.horizons[-1]:g} days that followed: {count(n)} forecasts whose answer was open."
    )


def _table(found: Comparison) -> Table:
    table = Table(box=None, pad_edge=False, header_style="")
    for k, title in enumerate(_TITLES):
        table.add_column(title, justify="right" if k else "left", no_wrap=True)
    board = found.board.table
    for row in rows_of(board[board["horizon"] == board["horizon"].max()]):
        held = f"{row['covered']:g} of {row['n_intervals']:g}" if row["n_intervals"] else "–"
        table.add_row(
            clean_text(str(row["model"]), longest=40).replace("[", r"\["),
            _share(row["brier_skill"]),
            _share(row["ici"]),
            _share(row["ici_null"]),
            _number(row["auc"], 2),
            _number(row["lift"], 1),
            held,
            _number(row["seconds"], 1),
        )
    return table


def _share(value: Any) -> str:
    return "–" if math.isnan(float(value)) else f"{float(value):.1%}"


def _number(value: Any, digits: int) -> str:
    return "–" if math.isnan(float(value)) else f"{float(value):.{digits}f}"


def _compared_at(found: Comparison) -> list[str]:
    """Dates at which all models that can be fitted were."""
    return sorted(set(found.board.scores["cutoff"]))


def _left_out(found: Comparison) -> list[str]:
    """Dates that are lost to all models because one of them failed there."""
    lost = [cutoff.date for cutoff in found.result.cutoffs if cutoff.date not in _compared_at(found)]
    failed = sorted({name for name, date in found.result.failures() if date in lost})
    if not lost:
        return []
    return [
        f"{', '.join(lost)} {'is' if len(lost) == 1 else 'are'} left out for all models, because {', '.join(failed)} failed"
        " there: models are compared at the same dates. Without it in --models the others have them."
    ]


def _failures(found: Comparison) -> list[str]:
    """Who has no forecast, and whose computation failed its checks."""
    told = [f"{name} at {date}: {why}" for (name, date), why in found.result.failures().items()]
    table = found.board.table
    last = table[(table["horizon"] == table["horizon"].max()) & table["status"].str.startswith("unreliable")]
    for row in rows_of(last):
        when = f"{row['status']} dates" if " at " in str(row["status"]) else f"{row['status']} at every date"
        told.append(f"{row['model']}: {when}, its computation failed its checks; more --draws may mend it.")
    return told


def _overlap(found: Comparison) -> list[str]:
    if not found.overlapping:
        return []
    return [
        f"the dates are {found.spacing:.0f} days apart and each is followed for {found.result.horizons[-1]:g}: the same"
        " days are part of what happened more than once, so the dates agree more than separate ones would."
    ]
