"""The content of the report as plain data: what the page shows, and any other format could."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from churnsurv.plots.labels import clean_text
from churnsurv.report.headline import banners_data, headline_data, interval_note
from churnsurv.report.health import health_data
from churnsurv.report.made import made_data
from churnsurv.report.past import check_section, missing_check_section
from churnsurv.report.patterns import cells_of
from churnsurv.report.scope import fitted_on, left_out_data, window_data
from churnsurv.report.who import distribution_section, group_sections, riskiest_section
from churnsurv.report.why import effects_section, survival_section

if TYPE_CHECKING:
    from churnsurv.risk.checks import AsOfCheck
    from churnsurv.risk.table import RiskTable
    from churnsurv.tables.cells import CellTable

_TITLES = {
    "definition": "What counts as churned, and over which time",
    "left_out": "What was wrong with the data, and what was left out",
    "survival": "How long customers stay silent",
    "effects": "Who comes back sooner",
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
        What the model was fitted on; counted anew where it is not given.
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
    counted = cells_of(risk) if cells is None else cells
    data: dict[str, Any] = {
        "title": clean_text(title or "Which customers are about to leave", longest=200),
        "interval_note_text": interval_note(risk),
        "dagger": "\u00a0†" if interval_note(risk) else "",
        "headline": headline_data(risk),
        "banners": banners_data(risk, check, earlier=not fitted_on(risk, counted)),
        "window": window_data(risk),
        "left_out": left_out_data(risk, counted, tuple(notes)),
        "survival": survival_section(risk, counted),
        "distribution": distribution_section(risk),
        "riskiest": riskiest_section(risk),
        "groups": group_sections(risk),
        "health": health_data(risk.fit.info),
        "check": missing_check_section(check_note) if check is None else check_section(check),
        "made": made_data(risk),
    }
    effects = effects_section(risk)
    if effects["effects"]:
        data["effects"] = effects
    return data | {"sections": _sections(data)}


def _sections(data: dict[str, Any]) -> list[dict[str, str]]:
    kept = [{"id": "headline", "title": "", "template": "headline.html.j2"}]
    for name, title in _TITLES.items():
        if name == "definition" or data.get(name):
            kept.append({"id": name.replace("_", "-"), "title": title, "template": f"{name}.html.j2"})
    return kept
