"""The content of the report as plain data: what the page shows, and any other format could."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from churnsurv.plots.labels import clean_text
from churnsurv.plots.words import words_of
from churnsurv.report.banners import banners_data, interval_note
from churnsurv.report.headline import headline_data
from churnsurv.report.health import health_data, moving_effects
from churnsurv.report.made import made_data
from churnsurv.report.monthly import months_section
from churnsurv.report.past import check_section, missing_check_section
from churnsurv.report.patterns import Counted, counted_of, fitted_on
from churnsurv.report.scope import left_out_data, window_data
from churnsurv.report.staying import staying_section
from churnsurv.report.who import distribution_section, group_sections, riskiest_section
from churnsurv.report.why import effects_section, survival_section

if TYPE_CHECKING:
    from churnsurv.risk.checks import AsOfCheck
    from churnsurv.risk.table import RiskTable
    from churnsurv.tables.cells import CellTable

_TITLES = {
    "definition": "What counts as churned, and over which time",
    "left_out": "What was wrong with the data, and what was left out",
    "survival": "",
    "effects": "",
    "months": "How the months differ",
    "distribution": "How the risk is spread",
    "riskiest": "Who is most at risk",
    "groups": "Where the risk is",
    "health": "Did the computation work?",
    "check": "Was it right last time?",
    "made": "How these numbers were made",
}


def report_data(
    risk: RiskTable,
    *,
    cells: CellTable | None = None,
    check: AsOfCheck | None = None,
    check_note: str = "",
    title: str | None = None,
    notes: Sequence[str] = (),
) -> dict[str, Any]:
    """Content of the report: sentences, numbers and tables, all of it JSON-able.

    Parameters
    ----------
    risk : RiskTable
        Chances of the customers who are active at the window's end; it knows its fit and its log.
    cells : CellTable, optional
        What a hierarchical model was fitted on; counted anew where it is not given.
    check : AsOfCheck, optional
        The same analysis made earlier, against what happened since.
    check_note : str
        Why there is no check.
    title : str, optional
        Title of the report.
    notes : sequence of str
        Warnings that were given on the way; they are shown with what was left out.

    Returns
    -------
    dict
        ``title``, ``sections`` (id, title, template, in reading order) and one entry per section.
    """
    return content(risk, counted_of(risk, cells), check, check_note, title, notes)


def content(
    risk: RiskTable,
    counted: Counted,
    check: AsOfCheck | None,
    check_note: str = "",
    title: str | None = None,
    notes: Sequence[str] = (),
) -> dict[str, Any]:
    """Do what :func:`report_data` promises, with tables that were counted already."""
    health = health_data(risk)
    on_tenure = risk.spells.churn.on_tenure
    data: dict[str, Any] = {
        "title": clean_text(title or "Which customers are about to leave", longest=200),
        "interval_note_text": interval_note(risk),
        "dagger": "\u00a0†" if interval_note(risk) else "",
        "headline": headline_data(risk),
        "banners": banners_data(risk, check, earlier=not fitted_on(risk, counted)),
        "window": window_data(risk),
        "left_out": left_out_data(risk, counted, tuple(notes)),
        "survival": _survival(risk, counted),
        "distribution": distribution_section(risk),
        "riskiest": riskiest_section(risk),
        "groups": group_sections(risk),
        "health": health,
        "check": missing_check_section(check_note) if check is None else check_section(check, on_tenure=on_tenure),
        "made": made_data(risk),
    }
    effects = effects_section(risk, moving_effects(health))
    if effects["effects"]:
        data["effects"] = effects
    months = months_section(risk)
    if months["parts"]:
        data["months"] = months
    return data | {"sections": _sections(data, risk)}


def _survival(risk: RiskTable, counted: Counted) -> dict[str, object]:
    if risk.spells.churn.on_tenure and counted.rows is not None:
        return staying_section(risk, counted.rows)
    return survival_section(risk, counted.table)


def _sections(data: dict[str, Any], risk: RiskTable) -> list[dict[str, str]]:
    words = words_of(risk.spells)
    own = {"survival": words.stay, "effects": words.sooner}
    kept = [{"id": "headline", "title": "", "template": "headline.html.j2"}]
    for name, title in _TITLES.items():
        if name == "definition" or data.get(name):
            shown = own.get(name, title)
            kept.append({"id": name.replace("_", "-"), "title": shown, "template": f"{name}.html.j2"})
    return kept
