"""Who is at risk, and where: the spread of risk, the riskiest customers, groups."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from churnsurv.plots.groups import group_columns, group_data
from churnsurv.plots.labels import clean_text, column_label, level_label
from churnsurv.plots.risk import alive_rows, risk_distribution_data
from churnsurv.plots.rows import rows_of
from churnsurv.plots.style import SMALL
from churnsurv.report.sentences import count, count_range, number, percent, percent_range, quantity
from churnsurv.report.why import records

if TYPE_CHECKING:
    import pandas as pd

    from churnsurv.risk.table import RiskTable
    from churnsurv.tables.schema import CellSchema

_TOP: Final = 25
_HIGH: Final = 0.5
_DIGITS: Final = 2
_STATUS_WORDS: Final = {
    "supported": "",
    "extrapolated": "extrapolated",
    "unreliable": "unreliable fit",
}


def distribution_section(risk: RiskTable) -> dict[str, object]:
    """How risk is spread over active customers.

    Parameters
    ----------
    risk : RiskTable
        The risk.

    Returns
    -------
    dict
        ``texts``, ``caption``, ``bins`` (records of ``risk_distribution_data``).
    """
    alive = alive_rows(risk)
    texts = []
    for horizon, rows in alive.groupby("horizon", sort=True):
        chance = rows["churn_probability"].astype(float)
        zero = int((chance == 0).sum())
        text = f"Within {float(str(horizon)):g} days, {quantity(int((chance > _HIGH).sum()), 'customer')} of {count(len(rows))} "
        text += "are more likely than not to churn"
        if zero:
            text += (
                f"; for {count(zero)} it cannot happen yet, since they were active too recently to complete "
                f"{risk.spells.churn.days:g} days of silence by then (they are not drawn)"
            )
        texts.append(text + ".")
    return {
        "texts": texts,
        "caption": "How many active customers have which chance to churn",
        "bins": records(risk_distribution_data(risk)),
    }


def riskiest_section(risk: RiskTable) -> dict[str, object]:
    """List the customers who are active and most likely to be lost, with their intervals.

    Parameters
    ----------
    risk : RiskTable
        The risk.

    Returns
    -------
    dict
        ``texts``, ``caption``, ``note``, ``horizons``, ``columns``, ``rows``, ``show_status``.
    """
    alive = alive_rows(risk)
    horizons = sorted(float(h) for h in set(alive["horizon"]))
    columns = [column.name for column in risk.fit.schema.columns if column.name in alive.columns]
    rows = [_customer(risk.fit.schema, group, columns) for group in _riskiest(alive, horizons)]
    return {
        "texts": [
            "These customers are still active, and the closest to being lost. Those at the very top have been silent for "
            f"almost {risk.spells.churn.days:g} days already; the table of all customers beside this report can be sorted for "
            "those who can still be reached in time."
        ],
        "caption": f"The {len(rows)} active customers most likely to churn",
        "note": f"Below each chance: its {risk.ci_prob:.0%} interval. The chance is the customer's, given the silence so far.",
        "horizons": [f"{horizon:g}" for horizon in horizons],
        "columns": [_capital(column_label(risk.fit.schema, name)) for name in columns],
        "rows": rows,
        "show_status": any(row["status_words"] for row in rows),
    }


def _riskiest(alive: pd.DataFrame, horizons: list[float]) -> list[pd.DataFrame]:
    if alive.empty:
        return []
    first = alive[alive["horizon"] == horizons[0]]
    order = first.sort_values(["churn_probability", "silence", "customer_id"], ascending=[False, False, True])
    chosen = order["customer_id"].head(_TOP).tolist()
    rows = alive[alive["customer_id"].isin(chosen)].sort_values("horizon")
    by_customer = {str(name): group for name, group in rows.groupby("customer_id", sort=False)}
    return [by_customer[str(name)] for name in chosen]


def _customer(schema: CellSchema, rows: pd.DataFrame, columns: list[str]) -> dict[str, object]:
    first = rows.iloc[0]
    status = str(first["status"])
    new = "new group" if bool(first["new_group"]) else ""
    return {
        "customer_id": clean_text(str(first["customer_id"])),
        "silence": float(first["silence"]),
        "silence_words": count(math.floor(float(first["silence"]))),
        "chances": [_chance(row) for row in rows_of(rows)],
        "levels": [level_label(schema, name, str(first[name])) for name in columns],
        "status": status,
        "status_words": ", ".join(word for word in (_STATUS_WORDS.get(status, status), new) if word),
    }


def _chance(row: dict[str, float]) -> dict[str, object]:
    value, lower, upper = (float(row[name]) for name in ("churn_probability", "lower", "upper"))
    known = math.isfinite(lower) and math.isfinite(upper) and lower < upper
    digits = _digits(lower, upper) if known else 0
    return {
        "horizon": float(row["horizon"]),
        "probability": value,
        "lower": lower if known else None,
        "upper": upper if known else None,
        "value": percent(value, digits=digits),
        "range": _short(percent_range(lower, upper, digits=digits)) if known else "",
    }


def _digits(lower: float, upper: float) -> int:
    """Fewest digits that tell the ends apart: an interval narrower than its rounding would look like certainty."""
    for digits in range(_DIGITS):
        low, high = percent(lower, digits=digits), percent(upper, digits=digits)
        if low != high and low[0].isdigit() and high[0].isdigit():
            return digits
    return _DIGITS


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _short(words: str) -> str:
    return words.replace("% to ", "–") if words[:1].isdigit() and " to over" not in words else words


def group_sections(risk: RiskTable) -> list[dict[str, object]]:
    """Where risk is, for each grouping column.

    Parameters
    ----------
    risk : RiskTable
        The risk.

    Returns
    -------
    list of dict
        ``column``, ``chart``, ``title``, ``texts``, ``caption``, ``table_caption``, ``note``, ``rows``.
    """
    horizon = max(float(h) for h in risk.horizon)
    sections = []
    for place, column in enumerate(group_columns(risk)):
        table = group_data(risk, column, horizon)
        if table.empty:
            continue
        title = column_label(risk.fit.schema, column)
        sections.append(
            {
                "column": column,
                "chart": f"group{place + 1}",
                "horizon": horizon,
                "title": _capital(title),
                "texts": _group_texts(table, horizon),
                "caption": f"Share of active customers expected to churn within {horizon:g} days, by {title}",
                "table_caption": f"Active customers and expected churners within {horizon:g} days, by {title}",
                "note": f"Ranges are {risk.ci_prob:.0%} predictive intervals. Groups of fewer than {SMALL} active customers "
                "are put together, so that nobody is singled out.",
                "rows": [_group_row(row) for row in rows_of(table)],
            }
        )
    return sections


def _group_texts(table: pd.DataFrame, horizon: float) -> list[str]:
    named = table[~table["pooled"].astype(bool)]
    if len(named) < 2:
        return []
    ordered = named.sort_values(["share", "group"])
    low, high = ordered.iloc[0], ordered.iloc[-1]
    text = (
        f"Within {horizon:g} days, {high['group']} is expected to lose the largest share "
        f"({percent_range(high['share_lower'], high['share_upper'])} of {count(high['n_customers'])}), "
        f"{low['group']} the smallest ({percent_range(low['share_lower'], low['share_upper'])} of {count(low['n_customers'])})."
    )
    overlap = float(high["share_lower"]) <= float(low["share_upper"])
    return [text + (" The two ranges overlap, so the order may be chance." if overlap else "")]


def _group_row(row: dict[str, object]) -> dict[str, object]:
    n, lower, upper = (float(str(row[name])) for name in ("n_customers", "lower", "upper"))
    share, low, high = (float(str(row[name])) for name in ("share", "share_lower", "share_upper"))
    known = math.isfinite(lower)
    expected = float(str(row["expected"]))
    return {
        "group": row["group"],
        "n_customers": int(n),
        "expected": expected,
        "lower": lower if known else None,
        "upper": upper if known else None,
        "n_already_churned": int(str(row["n_already_churned"])),
        "pooled": bool(row["pooled"]),
        "n_customers_words": count(n),
        "expected_words": count_range(lower, upper, most=n) if known else f"about {number(expected, 2)}",
        "share_cell": {"value": percent(share), "range": percent_range(low, high) if known else ""},
        "already_words": count(float(str(row["n_already_churned"]))),
    }
