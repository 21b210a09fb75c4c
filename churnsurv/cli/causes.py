"""What a study of causes leaves behind: a picture, tables, the network, and a few lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from churnsurv.causes.inference.bif import write_bif
from churnsurv.cli.comparison import write_svg
from churnsurv.errors import ArgumentError
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

_WHY: Final = "adjusted for, or why not"
_COLUMNS: Final = (
    "what", "cause", "to", "versus", "horizon", "segment", "measure", "mean", "lower", "upper", "probability_positive",
    "label", "adjusted_for", "reason",
)  # fmt: skip


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
    frames = {"effects": _effects(study), "claims": study.claims.frame()}
    frames |= {"diagnosis": study.diagnosis.frame()} if study.diagnosis is not None else {}
    frames |= {"explanations": study.explanation.frame()} if study.explanation is not None else {}
    files |= {f"{name}.csv": write_csv(frame, folder / f"{name}.csv") for name, frame in frames.items()}
    if (network := _bif(study)) is not None:
        files["network.bif"] = write_text(network, folder / "network.bif")
    for name in _WHAT.keys() - files:
        # What an earlier drawing left here would be taken for an answer of this one.
        (folder / name).unlink(missing_ok=True)
    return files


def _bif(study: CauseStudy) -> str | None:
    """Text of the network, where there is one: tables around a hidden cause are no joint distribution."""
    if study.fit.network.dag.latent:
        return None
    try:
        return write_bif(study.fit.at_horizon(study.horizon))
    except ArgumentError:
        return None


def _effects(study: CauseStudy) -> pd.DataFrame:
    import pandas as pd

    def told(effect: Effect, what: str) -> pd.DataFrame:
        frame = effect.frame()
        head = {"what": what, "cause": effect.cause, "to": effect.to, "versus": effect.versus}
        adjusted = ", ".join(effect.identification.adjustment_set or ())
        tail = {"adjusted_for": adjusted, "reason": effect.identification.reason}
        return frame.assign(**head, horizon=effect.horizon, **tail)[list(_COLUMNS)]

    parts = [told(effect, "worth") for effect in study.worth.values()]
    parts += [told(effect, "question") for effect in study.answers]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(_COLUMNS))


def _worth(study: CauseStudy) -> Table:
    table = Table(box=None, pad_edge=False, header_style="")
    kept = f"fewer leave by {study.fit.alone}, of 1,000" if study.fit.alone else "kept of 1,000"
    for title in ("cause", "all", kept, "label", _WHY):
        table.add_column(clean_text(title), justify="right" if title == kept else "left", no_wrap=title != _WHY)
    for name, effect in study.worth.items():
        best = sorted(set(cast("Mapping[str, str]", effect.settings[0]).values()))[0]
        told, why = "–", effect.identification.reason
        if effect.identification.identified:
            bounds = np.quantile(effect.draws("avoided_per_thousand")[:, 0], [0.05, 0.95])
            told = " to ".join(f"{round(float(bound))}" for bound in bounds)
            why = ", ".join(effect.identification.adjustment_set or ()) or "nothing"
        table.add_row(*(Text(clean_text(" ".join(cell.split()))) for cell in (name, best, told, effect.label, why)))
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
    n = int(fit.rows.opens.sum())
    say(f"Learnt from {fit.rows.n_customers:,} customers; {n:,} of their spells were seen from the opening.")
    say(f"Churn is here: {fit.outcome.format(study.horizon)}.")
    if study.worth:
        console.print("\nWhat each cause is worth, if it alone were as good as it can be:\n", markup=False)
        console.print(_worth(study))
    else:
        console.print(
            "\nNo cause that leads to churn has two states that an action could choose between.", markup=False
        )
    thin = [part.sentence() for effect in study.worth.values() for part in effect.positivity if part.thin.any()]
    for sentence in thin:
        say(sentence, "  ")
    if study.answers:
        console.print("\nWhat was asked:", markup=False)
    for effect in study.answers:
        say(effect.sentence(), "  ")
    console.print("\nCan it be believed?", markup=False)
    for sentence in _doubts(study):
        say(sentence, "  ")
    if cautions := [*notes, *study.notes, *_unwritten(study, files)]:
        console.print("\nRead with care:", markup=False)
    for text in cautions:
        kept = " ".join(line for line in text.splitlines() if not line.startswith("Hint: "))
        say(kept[:1].upper() + kept[1:], "  - ")
    console.print("", markup=False)
    width = max(len(str(path)) for path in files.values())
    for name, path in files.items():
        console.print(f"{path!s:<{width}}  {_WHAT[name]}", markup=False)


def _doubts(study: CauseStudy) -> list[str]:
    """What the data say of the drawing, and what became of the attacks."""
    found = [f"The arrows are yours, not the data's: {study.claims.sentence()}"]
    found += [str(study.proposal)] if study.proposal is not None else []
    found += [f"{study.attacked}, {one.sentence()}" for one in (study.attacks.attempts if study.attacks else ())]
    return found + ([f"{study.attacked}: {study.robust}"] if study.robust is not None else [])


def _unwritten(study: CauseStudy, files: Mapping[str, Path]) -> list[str]:
    if "network.bif" in files or study.fit.network.dag.latent:
        return []
    return ["network.bif is not written: a name holds a quotation mark or the end of a line."]
