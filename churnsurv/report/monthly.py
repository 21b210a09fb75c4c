"""How the level of everybody's hazard moved from month to month."""

from __future__ import annotations

from typing import TYPE_CHECKING

from churnsurv.plots.counted import fits_of
from churnsurv.plots.months import KNOWN, months_data
from churnsurv.plots.rows import rows_of
from churnsurv.plots.words import Words, cause_label, words_of_cause
from churnsurv.report.sentences import month_name, ratio
from churnsurv.report.why import records

if TYPE_CHECKING:
    import pandas as pd

    from churnsurv.risk.table import RiskTable

_READING = (
    "Beside what customers are like, all of them together {pace} faster in some months than in others. 1.40 means 1.40 times"
    " as fast as in the average month of the data."
)
_AHEAD = (
    "Hollow points are months to come: the level is taken to move on as it has moved so far, and the risk above holds what is"
    " unknown of it."
)


def months_section(risk: RiskTable) -> dict[str, object]:
    """Levels of the months in words and numbers; one part for each cause that has them.

    Parameters
    ----------
    risk : RiskTable
        The risk.

    Returns
    -------
    dict
        ``parts``: ``cause``, ``chart``, ``title``, ``texts``, ``caption``, ``months`` (records of ``months_data``). Empty
        where the fit has no months.
    """
    parts = []
    for place, cause in enumerate(fits_of(risk.fit)):
        table = months_data(risk.fit, cause, ci_prob=risk.ci_prob)
        if len(table):
            words = words_of_cause(risk.spells, cause)
            parts.append(
                {
                    "cause": cause or "",
                    "chart": f"months{place + 1}",
                    "title": "" if cause is None else cause_label(cause)[:1].upper() + cause_label(cause)[1:],
                    "texts": [_READING.format(pace=words.pace), *_extremes(table, words), _AHEAD],
                    "caption": f"How fast customers {words.pace}, by month ({risk.ci_prob:.0%} intervals)",
                    "months": records(table),
                }
            )
    return {"parts": parts}


def _extremes(table: pd.DataFrame, words: Words) -> list[str]:
    """The fastest and the slowest month, where the data tell them from the average."""
    known = table[table["when"] == KNOWN]
    clear = known[(known["lower"] > 1) | (known["upper"] < 1)]
    if clear.empty:
        return ["No month is clearly different from the average: every interval includes 1."]
    rows = rows_of(clear.sort_values("hazard_ratio"))
    ends = (
        [rows[-1], rows[0]] if len(rows) > 1 and rows[0]["hazard_ratio"] < 1 < rows[-1]["hazard_ratio"] else rows[-1:]
    )
    told = [
        f"{ratio(row['hazard_ratio'])} times as fast in {month_name(row['month'])}"
        f" ({ratio(row['lower'])} to {ratio(row['upper'])})"
        for row in ends
    ]
    return [f"They {words.pace} {' and '.join(told)}."]
