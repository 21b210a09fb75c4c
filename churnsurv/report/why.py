"""How silence ends, and what goes with coming back, or leaving, sooner."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from churnsurv.plots.counted import fits_of
from churnsurv.plots.effects import effects_data
from churnsurv.plots.rows import rows_of
from churnsurv.plots.survival import OBSERVED, mean_survival, survival_data
from churnsurv.plots.words import Words, cause_label, words_of_cause
from churnsurv.report.sentences import listing, number, pace, percent_range, ratio

if TYPE_CHECKING:
    import pandas as pd

    from churnsurv.models.base import SurvivalFit
    from churnsurv.risk.table import RiskTable
    from churnsurv.tables.cells import CellTable
    from churnsurv.tables.episodes import Episodes


_READING: Final = (
    "Each number compares how fast two kinds of customers {pace} {moment}, all else in this list being "
    "equal: 1.40 means 1.40 times as fast. These are associations in the data, not what would happen if somebody changed "
    "them."
)
_BY_TIME: Final = (
    "Each number compares how long two kinds of customers {lasts}, all else in this list being equal: 1.40 means 1.40 times "
    "as long until the same share has gone. These are associations in the data, not what would happen if somebody changed "
    "them."
)
_TIMES: Final = (
    "In this model whoever is faster lives through the same in less time; how long it takes stands beside it."
)
_BY_CAUSE: Final = (
    "Speed is that among customers who are still there. A cause can take a larger share of some customers only because "
    "other causes take fewer of them."
)
_NUMBERS: Final = (
    "Numbers are compared at two values: a quarter of all lie below the lower, a quarter above the upper one."
)
_MOVING: Final = (
    "Not all of these effects are the same early and late (see the checks of the computation): read each as an average over "
    "the time observed."
)


def survival_section(risk: RiskTable, counted: CellTable | Episodes) -> dict[str, object]:
    """Survival of silence: the curve in words and numbers.

    Parameters
    ----------
    risk : RiskTable
        The risk.
    counted : CellTable or Episodes
        What the model was fitted on.

    Returns
    -------
    dict
        ``texts``, ``caption``, ``note``, ``curve`` (records of ``survival_data``), ``groups`` (``None``: there are none).
    """
    curve = survival_data(risk.fit, counted, risk.spells, ci_prob=risk.ci_prob)
    band = f"Band: {risk.ci_prob:.0%} interval of the average curve. " if risk.fit.n_draws > 1 else ""
    note = f"{band}Dashed: {OBSERVED}, from the same gaps. Both end where fewer than 10 gaps are left."
    silence = getattr(risk.spells.churn, "days", 0.0)
    closed = " and has not closed the account" if len(risk.causes) > 1 else ""
    texts = (
        _half(curve, " or a closed account" if closed else ""),
        _at_silence(risk, counted, silence),
        _afterwards(risk, counted, silence),
    )
    return {
        "texts": [text for text in texts if text],
        "groups": None,
        "caption": f"Share of gaps in which the customer has not yet come back{closed}",
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


def _half(curve: pd.DataFrame, closed: str = "") -> str:
    fitted = curve[curve["series"] != OBSERVED]
    below = fitted[fitted["survival"] <= 0.5]
    if below.empty:
        return "Fewer than half of the gaps end within the time the log can show."
    return f"Half of all gaps end with a return{closed} within about {number(float(below['days'].iloc[0]), 2)} days."


def _interval(draws: np.ndarray, ci_prob: float) -> tuple[float, float]:
    lower, upper = np.quantile(draws, [(1 - ci_prob) / 2, (1 + ci_prob) / 2])
    return float(lower), float(upper)


def _at_silence(risk: RiskTable, counted: CellTable | Episodes, days: float) -> str:
    if days > risk.fit.schema.breaks[-1]:
        return ""
    draws = mean_survival(risk.fit, counted, np.array([days]), risk.spells)[:, 0]
    return f"After {days:g} days {percent_range(*_interval(draws, risk.ci_prob))} of them are still silent; they count as churned."


def _afterwards(risk: RiskTable, counted: CellTable | Episodes, days: float) -> str:
    """Tell how many of those declared churned come back all the same: what the definition costs."""
    if len(risk.causes) > 1 or _supported_until(risk.fit, 2 * days) < 2 * days:
        return ""
    draws = mean_survival(risk.fit, counted, np.array([days, 2 * days]), risk.spells)
    if not np.all(draws[:, 0] > 0):
        return ""  # a rule has nobody stay silent for so long
    back = 1 - draws[:, 1] / draws[:, 0]
    return (
        f"The definition is a line drawn by people: of those who have been silent for {days:g} days, "
        f"{percent_range(*_interval(back, risk.ci_prob))} still return within the next {days:g}."
    )


def _supported_until(fit: SurvivalFit, time: float) -> float:
    return time if time <= fit.schema.breaks[-1] and int(fit.n_at_risk(np.array([time]))[0]) >= 10 else 0.0


def effects_section(risk: RiskTable, moving: set[str | None] | None = None) -> dict[str, object]:
    """Effects with intervals, in words; one part per cause.

    Parameters
    ----------
    risk : RiskTable
        The risk.
    moving : set of (str or None), optional
        Causes whose effects were found to change with time.

    Returns
    -------
    dict
        ``texts``, ``effects`` (records of ``effects_data``, with their ``cause``) and ``parts``: ``cause``, ``chart``,
        ``title``, ``texts``, ``caption`` and ``blocks`` (one per covariate).
    """
    causes = list(fits_of(risk.fit))
    parts, records_ = [], []
    for place, cause in enumerate(causes):
        table = effects_data(risk, cause)
        if len(table):
            parts.append(_part(risk, cause, table, f"effects{place + 1}", cause in (moving or set())))
            records_ += records(table.assign(cause=cause or ""))
    several = len(parts) > 1 and risk.spells.churn.on_tenure
    return {"texts": [_BY_CAUSE] if several else [], "parts": parts, "effects": records_}


def _part(risk: RiskTable, cause: str | None, table: pd.DataFrame, chart: str, moving: bool) -> dict[str, object]:
    words = words_of_cause(risk.spells, cause)
    clear = table[~table["is_reference"] & ((table["lower"] > 1) | (table["upper"] < 1))]
    in_times = bool((table["measure"] == "time_ratio").any())
    reading = (_BY_TIME if in_times else _READING).format(pace=words.pace, moment=words.moment, lasts=words.lasts)
    texts = [reading, *([_TIMES] if table["time_ratio"].notna().any() else []), *_strongest(clear, words)]
    texts += [_NUMBERS] if table["is_number"].any() else []
    texts += [_MOVING] if moving else []
    caption = f"How long customers {words.lasts}" if in_times else f"How fast customers {words.pace}"
    return {
        "cause": cause or "",
        "chart": chart,
        "title": "" if cause is None else cause_label(cause)[:1].upper() + cause_label(cause)[1:],
        "texts": texts,
        "caption": f"{caption}, against the reference ({risk.ci_prob:.0%} intervals)",
        "blocks": [_block(rows, words) for _, rows in table.groupby("column", sort=False)],
    }


def _strongest(clear: pd.DataFrame, words: Words) -> list[str]:
    if clear.empty:
        return ["None of the differences is clear: every interval includes 1."]
    # Distance on the log scale: half as fast is as strong as twice as fast.
    row = max(rows_of(clear), key=lambda row: abs(math.log(row["ratio"])))
    against = row["reference"] if row["is_group"] else f"{'at' if row['is_number'] else 'with'} {row['reference']}"
    does, much = (words.lasts, "long") if row["measure"] == "time_ratio" else (words.pace, "fast")
    return [
        f"The largest clear difference is in “{row['title']}”: customers {'at' if row['is_number'] else 'with'} "
        f"{row['level']} {does} {ratio(row['ratio'])} times as {much} as {against}."
    ]


def _block(rows: pd.DataFrame, words: Words) -> dict[str, object]:
    title = str(rows["title"].iloc[0])
    kept = rows[~rows["is_reference"]]
    clear = (kept["lower"] > 1) | (kept["upper"] < 1)
    return {
        "title": title[:1].upper() + title[1:],
        "reference": str(rows["reference"].iloc[0]),
        "rows": [{"level": _level(row), "words": _words(row, words)} for row in rows_of(kept[clear])],
        "unclear": listing([_level(row) for row in rows_of(kept[~clear])]) if (~clear).any() else "",
    }


def _level(row: dict[str, Any]) -> str:
    return f"at {row['level']}" if row["is_number"] else str(row["level"])


def _words(row: dict[str, Any], words: Words) -> str:
    text = pace(row["ratio"], row["lower"], row["upper"], longer=row["measure"] == "time_ratio")
    if not math.isfinite(row["time_ratio"]):
        return text
    long = pace(row["time_ratio"], row["time_lower"], row["time_upper"], longer=True)
    return f"{text}; {words.lasts} {long}"
