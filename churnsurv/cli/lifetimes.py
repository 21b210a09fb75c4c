"""What a definition without a risk leaves behind: curves of lifetimes, as a file, a chart and a few lines."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table

from churnsurv.plots.labels import clean_text
from churnsurv.plots.lifetimes import plot_lifetimes
from churnsurv.plots.rows import rows_of
from churnsurv.plots.svg import to_svg
from churnsurv.report.exports import write_csv, write_text
from churnsurv.report.sentences import count, number, quantity
from churnsurv.tables.contracts import Inactivity

if TYPE_CHECKING:
    from churnsurv.analysis import Lifetimes

_COLUMNS: Final = ("", "spells", "ended", "median, days", "mean of the first {} days")


def write_lifetimes(found: Lifetimes, folder: Path) -> dict[str, Path]:
    """Write the curves; each file whole or not at all.

    Parameters
    ----------
    found : Lifetimes
        The curves.
    folder : Path
        Where to; made if need be.

    Returns
    -------
    dict of str to Path
        Files by name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    frame = found.frame()
    chart = to_svg(plot_lifetimes(frame, clock=found.spells.churn.clock), name="survival")
    # In a report the page says which font to use; a file on its own must say so itself.
    chart = chart.replace("<svg ", '<svg font-family="Helvetica, Arial, sans-serif" ', 1)
    return {
        "survival.csv": write_csv(frame, folder / "survival.csv"),
        "survival.svg": write_text(chart, folder / "survival.svg"),
    }


def why_no_risk(churn: Inactivity) -> str:
    """Say why there is none, and what has one.

    Examples
    --------
    >>> print(why_no_risk(Inactivity(90, ("order",), origin="first")))
    No risk is told: the clock counts from a customer's beginning and does not know for how long they have been silent by now,
    which is most of what there is to know. For risk write --churn silence:90.
    """
    return (
        "No risk is told: the clock counts from a customer's beginning and does not know for how long they have been silent"
        f" by now, which is most of what there is to know. For risk write --churn silence:{churn.days:g}."
    )


def print_lifetimes(found: Lifetimes, files: dict[str, Path], notes: list[str]) -> None:
    """Print who lasts for how long, what limits it, and where the curves are.

    Parameters
    ----------
    found : Lifetimes
        The curves.
    files : dict of str to Path
        Files by name.
    notes : list of str
        Warnings that were given while reading.
    """
    console, spells = Console(highlight=False, soft_wrap=True), found.spells
    churn = spells.churn
    console.print(churn.describe(), markup=False)
    console.print(_tally(found), markup=False)
    console.print(_table(found))
    console.print(
        f"(medians and means of Kaplan–Meier curves, late entry counted; {_ci(found)} intervals of the mean)",
        markup=False,
    )
    if isinstance(churn, Inactivity):
        console.print(why_no_risk(churn), markup=False)
    cautions = [*notes, *found.notes, *found.left_out, *_repeated(found)]
    if cautions:
        console.print("\nRead with care:", markup=False)
        for text in cautions:
            kept = " ".join(line for line in text.splitlines() if not line.startswith("Hint: "))
            console.print(f"  - {clean_text(kept[:1].upper() + kept[1:], longest=800)}", markup=False)
    console.print("", markup=False)
    width = max(len(str(path)) for path in files.values())
    what = {"survival.csv": "the curves by day, for a spreadsheet", "survival.svg": "the curves, to look at"}
    for name, path in files.items():
        console.print(f"{path!s:<{width}}  {what[name]}", markup=False)


def _tally(found: Lifetimes) -> str:
    spells = found.spells
    ended, still = sum(spells.n_events), spells.n_open
    return (
        f"{quantity(spells.n_customers, 'customer')} with {quantity(spells.n_spells, 'spell')}: {count(ended)} ended,"
        f" {count(still)} still running at the end."
    )


def _ci(found: Lifetimes) -> str:
    return f"{next(iter(found.curves.values())).ci_prob:.0%}"


def _repeated(found: Lifetimes) -> list[str]:
    spells = found.spells
    if spells.n_spells == spells.n_customers:
        return []
    return [
        f"{count(spells.n_spells - spells.n_customers)} of {count(spells.n_spells)} spells are those of customers who came"
        " back: they count as spells of other customers, which makes the intervals too narrow."
    ]


def _table(found: Lifetimes) -> Table:
    table = Table(box=None, pad_edge=False, header_style="")
    for k, title in enumerate(_COLUMNS):
        table.add_column(title.format(f"{found.horizon:,.0f}"), justify="right" if k else "left", no_wrap=True)
    for row in rows_of(found.summary()):
        name = f"{row['by']}: {row['group']}" if row["by"] else str(row["group"])
        lower, upper = float(row["lower"]), float(row["upper"])
        spread = "" if math.isnan(lower) else f" ({number(lower)} to {number(upper)})"
        median = float(row["median"])
        table.add_row(
            clean_text(name, longest=40).replace("[", r"\["),
            count(float(row["n_spells"])),
            count(float(row["n_events"])),
            "not reached" if math.isnan(median) else number(median),
            f"{number(float(row['mean_days']))}{spread}",
        )
    return table
