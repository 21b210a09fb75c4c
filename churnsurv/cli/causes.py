"""What a study of causes leaves behind: a picture, tables, the network, and a few lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import numpy as np
from rich.console import Console
from rich.table import Table

from churnsurv.causes.inference.bif import write_bif
from churnsurv.cli.comparison import write_svg
from churnsurv.plots.causes import plot_causes
from churnsurv.plots.labels import clean_text
from churnsurv.report.exports import write_csv, write_text

if TYPE_CHECKING:
    import pandas as pd

    from churnsurv.analysis.causes import CauseStudy
    from churnsurv.causes.effects import Effect

_WHAT: Final = {
    "causes.svg": "the network, and what each cause is worth",
    "effects.csv": "every effect with its interval and its label",
    "claims.csv": "what the drawing implies, tested on the data",
    "diagnosis.csv": "which causes are common among those who churned",
    "explanations.csv": "for each customer at risk, what is due to which cause",
    "network.bif": "the network at this horizon, for other programs",
}


def write_causes(study: CauseStudy, folder: Path) -> dict[str, Path]:
    """Write picture, tables and network; each file whole or not at all.

    Parameters
    ----------
    study : CauseStudy
        What was found.
    folder : Path
        Where to; made if need be.

    Returns
    -------
    dict of str to Path
        Files by name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = {"causes.svg": write_svg(plot_causes(study.fit.network, study.worth), folder / "causes.svg", "causes")}
    files["effects.csv"] = write_csv(_effects(study), folder / "effects.csv")
    files["claims.csv"] = write_csv(study.claims.frame(), folder / "claims.csv")
    files["diagnosis.csv"] = write_csv(study.diagnosis.frame(), folder / "diagnosis.csv")
    if study.explanation is not None:
        files["explanations.csv"] = write_csv(study.explanation.frame(), folder / "explanations.csv")
    if not study.fit.network.dag.latent:  # tables around a hidden cause are no joint distribution
        network = study.fit.at_horizon(study.horizon)
        files["network.bif"] = write_text(write_bif(network), folder / "network.bif")
    return files


def _effects(study: CauseStudy) -> pd.DataFrame:
    import pandas as pd

    def told(effect: Effect, what: str) -> pd.DataFrame:
        frame = effect.frame()
        head = {"what": what, "cause": effect.cause, "to": effect.to, "versus": effect.versus}
        adjusted = ", ".join(effect.identification.adjustment_set or ())
        tail = {"adjusted_for": adjusted, "reason": effect.identification.reason}
        return frame.assign(**head, horizon=effect.horizon, **tail)[[*head, "horizon", *frame.columns, *tail]]

    parts = [told(effect, "worth") for effect in study.worth.values()]
    parts += [told(effect, "question") for effect in study.answers]
    return pd.concat(parts, ignore_index=True)


def _worth(study: CauseStudy) -> Table:
    table = Table(box=None, pad_edge=False, header_style="")
    for title in ("cause", "all", "kept of 1,000", "label", "adjusted for, or why not"):
        table.add_column(
            title, justify="right" if "kept" in title else "left", no_wrap=title != "adjusted for, or why not"
        )
    for name, effect in study.worth.items():
        best = sorted(set(cast("Mapping[str, str]", effect.settings[0]).values()))[0]
        told, why = "–", effect.identification.reason
        if effect.identification.identified:
            low, high = np.quantile(effect.draws("avoided_per_thousand")[:, 0], [0.05, 0.95])
            told, why = f"{low:.0f} to {high:.0f}", ", ".join(effect.identification.adjustment_set or ()) or "nothing"
        cells = (name, best, told, effect.label, why)
        table.add_row(*(clean_text(cell, longest=120).replace("[", r"\[") for cell in cells))
    return table


def print_causes(study: CauseStudy, files: dict[str, Path], notes: Sequence[str]) -> None:
    """Print what each cause is worth, the answers, what speaks against them, and where the rest is.

    Parameters
    ----------
    study : CauseStudy
        What was found.
    files : dict of str to Path
        Files by name.
    notes : sequence of str
        Warnings that were given while reading.
    """
    console = Console(highlight=False, soft_wrap=True)

    def say(text: str, indent: str = "") -> None:
        console.print(f"{indent}{clean_text(text, longest=900)}", markup=False)

    fit = study.fit
    say(
        f"Learnt from {int(fit.rows.opens.sum()):,} spells of {fit.rows.n_customers:,} customers, seen from their opening."
    )
    say(f"Churn is here: {fit.outcome.format(study.horizon)}.")
    console.print("\nWhat each cause is worth, if it alone were as good as it can be:\n", markup=False)
    console.print(_worth(study))
    for effect in study.worth.values():
        for part in effect.positivity:
            if part.thin.any():
                say(part.sentence(), "  ")
    if study.answers:
        console.print("\nWhat was asked:", markup=False)
        for effect in study.answers:
            say(effect.sentence(), "  ")
    console.print("\nCan it be believed?", markup=False)
    say(f"The arrows are yours, not the data's: {study.claims.sentence()}", "  ")
    say(str(study.proposal), "  ")
    if study.attacks is not None:
        for attempt in study.attacks.attempts:
            say(f"{study.attacked}, {attempt.sentence()}", "  ")
    if study.robust is not None:
        say(f"{study.attacked}: {study.robust}", "  ")
    cautions = [*notes, *study.notes]
    if cautions:
        console.print("\nRead with care:", markup=False)
        for text in cautions:
            kept = " ".join(line for line in text.splitlines() if not line.startswith("Hint: "))
            say(kept[:1].upper() + kept[1:], "  - ")
    console.print("", markup=False)
    width = max(len(str(path)) for path in files.values())
    for name, path in files.items():
        console.print(f"{path!s:<{width}}  {_WHAT[name]}", markup=False)
