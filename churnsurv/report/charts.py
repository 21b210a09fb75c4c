"""The report's charts, each drawn twice: for a desk or paper, and for a phone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from churnsurv.plots.check import plot_as_of_check
from churnsurv.plots.effects import plot_effects
from churnsurv.plots.groups import plot_groups
from churnsurv.plots.risk import plot_risk_distribution
from churnsurv.plots.style import NARROW, WIDE
from churnsurv.plots.survival import plot_survival
from churnsurv.plots.svg import to_svg

if TYPE_CHECKING:
    from churnsurv.risk.checks import AsOfCheck
    from churnsurv.risk.table import RiskTable
    from churnsurv.tables.cells import CellTable

Draw = Callable[[int], Any]
"""From a width in pixels to a chart."""


def draw_charts(
    data: dict[str, Any],
    risk: RiskTable,
    *,
    cells: CellTable,
    check: AsOfCheck | None,
) -> dict[str, dict[str, str]]:
    """Draw every chart that the report's content asks for.

    Parameters
    ----------
    data : dict
        From :func:`churnsurv.report.report_data`.
    risk, cells, check
        As there.

    Returns
    -------
    dict
        By chart: ``wide`` and ``narrow`` SVG.
    """
    drawings: dict[str, Draw] = {
        "distribution": lambda width: plot_risk_distribution(risk, width=width),
        "survival": lambda width: plot_survival(risk.fit, cells, risk.spells, ci_prob=risk.ci_prob, width=width),
    }
    if "effects" in data:
        drawings["effects"] = lambda width: plot_effects(risk, width=width)
    if check is not None and data["check"]["rows"]:
        drawings["check"] = lambda width: plot_as_of_check(check, width=width)
    for group in data["groups"]:
        drawings[group["chart"]] = _by_group(risk, group["column"], group["horizon"])
    return {
        name: {"wide": to_svg(draw(WIDE), name=f"{name}-wide"), "narrow": to_svg(draw(NARROW), name=f"{name}-narrow")}
        for name, draw in drawings.items()
    }


def _by_group(risk: RiskTable, column: str, horizon: float) -> Draw:
    return lambda width: plot_groups(risk, column, horizon, width=width)
