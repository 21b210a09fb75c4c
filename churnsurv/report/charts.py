"""The report's charts, each drawn twice: for a desk or paper, and for a phone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from churnsurv.plots.check import plot_as_of_check
from churnsurv.plots.effects import plot_effects
from churnsurv.plots.groups import plot_groups
from churnsurv.plots.months import plot_months
from churnsurv.plots.risk import plot_risk_distribution
from churnsurv.plots.style import NARROW, WIDE
from churnsurv.plots.survival import plot_survival
from churnsurv.plots.svg import to_svg
from churnsurv.plots.tenure_chart import plot_tenure, plot_tenure_groups
from churnsurv.plots.words import words_of, words_of_cause
from churnsurv.report.patterns import Counted

if TYPE_CHECKING:
    import pandas as pd

    from churnsurv.risk.checks import AsOfCheck
    from churnsurv.risk.table import RiskTable

Draw = Callable[[int], Any]
"""From a width in pixels to a chart."""


def draw_charts(
    data: dict[str, Any],
    risk: RiskTable,
    *,
    counted: Counted,
    check: AsOfCheck | None,
) -> dict[str, dict[str, str]]:
    """Draw every chart that the report's content asks for.

    Parameters
    ----------
    data : dict
        From :func:`churnsurv.report.report_data`.
    risk, check
        As there.
    counted : Counted
        What the model was fitted on.

    Returns
    -------
    dict
        By chart: ``wide`` and ``narrow`` SVG.
    """
    drawings: dict[str, Draw] = {
        "distribution": lambda width: plot_risk_distribution(risk, width=width),
        **_curves(data, risk, counted),
    }
    for part in data.get("effects", {"parts": []})["parts"]:
        drawings[part["chart"]] = _effects(risk, part["cause"] or None)
    for part in data.get("months", {"parts": []})["parts"]:
        drawings[part["chart"]] = _months(risk, part["cause"] or None)
    if check is not None and data["check"]["rows"]:
        drawings["check"] = lambda width: plot_as_of_check(check, width=width)
    for group in data["groups"]:
        drawings[group["chart"]] = _by_group(risk, group["column"], group["horizon"])
    return {
        name: {"wide": to_svg(draw(WIDE), name=f"{name}-wide"), "narrow": to_svg(draw(NARROW), name=f"{name}-narrow")}
        for name, draw in drawings.items()
    }


def _curves(data: dict[str, Any], risk: RiskTable, counted: Counted) -> dict[str, Draw]:
    rows, words = counted.rows, words_of(risk.spells)
    still, clock = words.still, words.reached
    if rows is None or not risk.spells.churn.on_tenure:
        return {
            "survival": lambda width: plot_survival(
                risk.fit, counted.table, risk.spells, ci_prob=risk.ci_prob, width=width
            )
        }
    whole = _frame(data["survival"]["curve"])
    drawings: dict[str, Draw] = {
        "survival": lambda width: plot_tenure(whole, rows, still=still, clock=clock, width=width)
    }
    groups = data["survival"]["groups"]
    if groups is not None:
        parts = _frame(groups["curve"])
        drawings["survival_groups"] = lambda width: plot_tenure_groups(parts, still=still, clock=clock, width=width)
    return drawings


def _frame(curve: list[dict[str, object]]) -> pd.DataFrame:
    import pandas as pd

    numbers = ["days", "share", "lower", "upper", "n_at_risk", "ci_prob"]
    return pd.DataFrame(curve).astype(dict.fromkeys(numbers, float))


def _effects(risk: RiskTable, cause: str | None) -> Draw:
    return lambda width: plot_effects(risk, cause, width=width)


def _months(risk: RiskTable, cause: str | None) -> Draw:
    paces = words_of_cause(risk.spells, cause).paces
    return lambda width: plot_months(risk.fit, cause, paces=paces, ci_prob=risk.ci_prob, width=width)


def _by_group(risk: RiskTable, column: str, horizon: float) -> Draw:
    return lambda width: plot_groups(risk, column, horizon, width=width)
