"""The report's content as one self-contained HTML file."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from churnsurv.errors import ArgumentError
from churnsurv.plots.counted import fits_of
from churnsurv.plots.labels import clean_text
from churnsurv.report.charts import draw_charts
from churnsurv.report.exports import write_text
from churnsurv.report.patterns import counted_of
from churnsurv.report.sections import content

if TYPE_CHECKING:
    from jinja2 import Environment

    from churnsurv.models.base import SurvivalFit
    from churnsurv.risk.checks import AsOfCheck
    from churnsurv.risk.table import RiskTable
    from churnsurv.tables.cells import CellTable


def report(
    fit: SurvivalFit | Mapping[str, SurvivalFit],
    risk: RiskTable,
    path: str | os.PathLike[str],
    *,
    cells: CellTable | None = None,
    check: AsOfCheck | None = None,
    check_note: str = "",
    title: str | None = None,
    notes: Sequence[str] = (),
) -> Path:
    """Write the report: one HTML file without scripts, that opens offline and prints.

    The same input gives the same bytes. Text from the log is escaped, and a content security policy
    lets the page load nothing, from anywhere.

    Parameters
    ----------
    fit : SurvivalFit, or mapping of str to SurvivalFit
        The fit, or the fits of each cause, as :func:`churn_risk` was given them.
    risk : RiskTable
        Chances of the customers who are at risk: active at the window's end, under contract, or last seen as customers.
    path : path
        File to write; its folder must exist. An existing file is replaced, never half-written.
    cells : CellTable, optional
        What a hierarchical model was fitted on. Without it the cells are counted anew, which takes a moment; so are the
        rows of other models.
    check : AsOfCheck, optional
        The same analysis made earlier, against what happened since.
    check_note : str
        Why there is no check.
    title : str, optional
        Title of the report.
    notes : sequence of str
        Warnings that were given on the way.

    Returns
    -------
    Path
        Where the report is.

    Raises
    ------
    ArgumentError
        If the path's folder does not exist, the path is a folder, or the risk is not the fit's.
    """
    if not hasattr(risk, "totals") or hasattr(fit, "totals"):
        raise ArgumentError(
            f"report was given {type(fit).__name__} and {type(risk).__name__} for fit and risk.",
            hint='write report(fit, risk, "out/report.html"), the risk as churn_risk made it.',
        )
    target = Path(path)
    if target.is_dir() or not target.parent.is_dir():
        raise ArgumentError(
            f"{str(target)!r} cannot be written: "
            + ("it is a folder." if target.is_dir() else "its folder does not exist."),
            hint='write report(fit, risk, "out/report.html"), in a folder that exists.',
        )
    if not _told_by(risk, fit):
        raise ArgumentError(
            "the risk was told by another fit than the one given.",
            consequence="The report would explain numbers by effects that did not make them.",
            hint="write report(risk.fit, risk, path).",
        )
    counted = counted_of(risk, cells)
    data = content(risk, counted, check, check_note, title, notes)
    charts = draw_charts(data, risk, counted=counted, check=check)
    return write_text(render_html(data, charts), target)


def _told_by(risk: RiskTable, fit: SurvivalFit | Mapping[str, SurvivalFit]) -> bool:
    if not isinstance(fit, Mapping):
        return risk.fit is fit
    told = fits_of(risk.fit)
    return set(told) == set(fit) and all(told[cause] is one for cause, one in fit.items())


def render_html(data: dict[str, Any], charts: dict[str, dict[str, str]]) -> str:
    """Fill the page.

    Parameters
    ----------
    data : dict
        From :func:`churnsurv.report.report_data`.
    charts : dict
        From :func:`churnsurv.report.charts.draw_charts`: SVG that is safe to put in a page.

    Returns
    -------
    str
        HTML.
    """
    from markupsafe import Markup

    css = _template_text("report.css")
    drawn = {name: {size: Markup(svg) for size, svg in sizes.items()} for name, sizes in charts.items()}  # noqa: S704
    page = _environment().get_template("report.html.j2")
    return page.render(**data, charts=drawn, css=Markup(css), policy=content_policy(css))  # noqa: S704


def content_policy(css: str) -> str:
    """Content security policy of a page with one style sheet and nothing else.

    Parameters
    ----------
    css : str
        Text between the style tags, exactly.

    Returns
    -------
    str
        Directives.

    Examples
    --------
    >>> content_policy("")
    "default-src 'none'; style-src 'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='; base-uri 'none'; form-action 'none'"
    """
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def _template_text(name: str) -> str:
    return resources.files("churnsurv.report").joinpath("templates", name).read_text(encoding="utf-8")


def _finalize(value: object) -> object:
    from markupsafe import Markup

    # The last door: whatever text reaches the page has lost its control characters.
    return clean_text(value, longest=4000) if isinstance(value, str) and not isinstance(value, Markup) else value


def _environment() -> Environment:
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    return Environment(
        loader=FunctionLoader(_template_text),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
