"""How silence ends, and what goes with coming back sooner."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from churnsurv.plots.effects import effects_data
from churnsurv.plots.rows import rows_of
from churnsurv.plots.survival import OBSERVED, mean_survival, survival_data
from churnsurv.report.sentences import listing, number, pace, percent_range, ratio

if TYPE_CHECKING:
    import pandas as pd

    from churnsurv.models.base import SurvivalFit
    from churnsurv.risk.table import RiskTable
    from churnsurv.tables.cells import CellTable


_READING: Final = (
    "Each number compares how fast two kinds of customers come back at any moment of a silence, all else in this list being "
    "equal: 1.40 means 1.40 times as fast. These are associations in the data, not what would happen if somebody changed "
    "them."
)


def survival_section(risk: RiskTable, cells: CellTable) -> dict[str, object]:
    """Survival of silence: the curve in words and numbers.

    Parameters
    ----------
    risk : RiskTable
        The risk.
    cells : CellTable
        What the model was fitted on.

    Returns
    -------
    dict
        ``texts``, ``caption``, ``note``, ``curve`` (records of ``survival_data``).
    """
    curve = survival_data(risk.fit, cells, risk.spells, ci_prob=risk.ci_prob)
    note = (
        f"Band: {risk.ci_prob:.0%} interval of the average curve. Dashed: {OBSERVED}, from the same gaps. "
        "Both end where fewer than 10 gaps are left."
    )
    return {
        "texts": [text for text in (_half(curve), _at_silence(risk, cells), _afterwards(risk, cells)) if text],
        "caption": "Share of gaps in which the customer has not yet come back",
        "note": note,
        "curve": records(curve),
    }


def records(frame: pd.DataFrame) -> list[dict[str, object]]:
    """Rows of a frame as JSON can hold them: NaN as null, numbers of six digits.

    Parameters
    ----------
    frame : DataFrame
        Rows.

    Returns
    -------
    list of dict
        One per row.
    """
    return [{name: _plain(value) for name, value in row.items()} for row in rows_of(frame.astype(object))]


def _plain(value: object) -> object:
    if isinstance(value, float):
        return float(f"{value:.6g}") if np.isfinite(value) else None
    return value


def _half(curve: pd.DataFrame) -> str:
    fitted = curve[curve["series"] != OBSERVED]
    below = fitted[fitted["survival"] <= 0.5]
    if below.empty:
        return "Fewer than half of the gaps end within the time the log can show."
    return f"Half of all gaps end with a return within about {number(float(below['days'].iloc[0]), 2)} days."


def _interval(draws: np.ndarray, ci_prob: float) -> tuple[float, float]:
    lower, upper = np.quantile(draws, [(1 - ci_prob) / 2, (1 + ci_prob) / 2])
    return float(lower), float(upper)


def _at_silence(risk: RiskTable, cells: CellTable) -> str:
    days = risk.spells.churn.days
    if days > risk.fit.schema.breaks[-1]:
        return ""
    draws = mean_survival(risk.fit, cells, np.array([days]))[:, 0]
    return f"After {days:g} days {percent_range(*_interval(draws, risk.ci_prob))} of them are still silent; they count as churned."


def _afterwards(risk: RiskTable, cells: CellTable) -> str:
    """Tell how many of those declared churned come back all the same: what the definition costs."""
    days = risk.spells.churn.days
    if _supported_until(risk.fit, 2 * days) < 2 * days:
        return ""
    draws = mean_survival(risk.fit, cells, np.array([days, 2 * days]))
    back = 1 - draws[:, 1] / draws[:, 0]
    return (
        f"The definition is a line drawn by people: of those who have been silent for {days:g} days, "
        f"{percent_range(*_interval(back, risk.ci_prob))} still return within the next {days:g}."
    )


def _supported_until(fit: SurvivalFit, time: float) -> float:
    return time if time <= fit.schema.breaks[-1] and int(fit.n_at_risk(np.array([time]))[0]) >= 10 else 0.0


def effects_section(risk: RiskTable) -> dict[str, object]:
    """Effects with intervals, in words.

    Parameters
    ----------
    risk : RiskTable
        The risk.

    Returns
    -------
    dict
        ``texts``, ``caption``, ``blocks`` (one per covariate), ``effects`` (records of ``effects_data``).
    """
    table = effects_data(risk)
    clear = table[~table["is_reference"] & ((table["lower"] > 1) | (table["upper"] < 1))]
    return {
        "texts": [_READING, *_strongest(clear)],
        "caption": f"How fast customers come back, against the reference ({risk.ci_prob:.0%} intervals)",
        "blocks": [_block(rows) for _, rows in table.groupby("column", sort=False)],
        "effects": records(table),
    }


def _strongest(clear: pd.DataFrame) -> list[str]:
    if clear.empty:
        return ["None of the differences is clear: every interval includes 1."]
    # Distance on the log scale: half as fast is as strong as twice as fast.
    row = max(rows_of(clear), key=lambda row: abs(math.log(row["hazard_ratio"])))
    against = row["reference"] if row["is_group"] else f"with {row['reference']}"
    return [
        f"The largest clear difference is in “{row['title']}”: customers with {row['level']} come back "
        f"{ratio(row['hazard_ratio'])} times as fast as {against}."
    ]


def _block(rows: pd.DataFrame) -> dict[str, object]:
    title = str(rows["title"].iloc[0])
    kept = rows[~rows["is_reference"]]
    clear = (kept["lower"] > 1) | (kept["upper"] < 1)
    return {
        "title": title[:1].upper() + title[1:],
        "reference": str(rows["reference"].iloc[0]),
        "rows": [
            {"level": row["level"], "words": pace(row["hazard_ratio"], row["lower"], row["upper"])}
            for row in rows_of(kept[clear])
        ],
        "unclear": listing(kept.loc[~clear, "level"].tolist()) if (~clear).any() else "",
    }
