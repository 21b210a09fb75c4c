"""Who is at risk, and where: the spread of risk, the riskiest customers, groups."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Final

from churnsurv.plots.groups import group_columns, group_data
from churnsurv.plots.labels import clean_text, column_label, level_label
from churnsurv.plots.risk import alive_rows, risk_distribution_data
from churnsurv.plots.rows import rows_of
from churnsurv.plots.style import SMALL
from churnsurv.plots.words import cause_label, words_of
from churnsurv.report.sentences import count, count_range, listing, number, percent, percent_range, quantity
from churnsurv.report.staying import columns_by_spread
from churnsurv.report.why import records

if TYPE_CHECKING:
    import pandas as pd

    from churnsurv.risk.table import RiskTable

_TOP: Final = 25
_HIGH: Final = 0.5
_DIGITS: Final = 2
_TENTH: Final = 0.1
_MOST_COLUMNS: Final = 6
_TOLD: Final = 4
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
    say = _tenure_text if risk.spells.churn.on_tenure else partial(_gap_text, getattr(risk.spells.churn, "days", 0.0))
    words = words_of(risk.spells)
    return {
        "texts": [say(float(str(horizon)), rows) for horizon, rows in alive.groupby("horizon", sort=True)],
        "caption": f"How many {words.customer}s have which chance to {_verb(risk)}",
        "bins": records(risk_distribution_data(risk)),
    }


def _verb(risk: RiskTable) -> str:
    return "leave" if risk.spells.churn.on_tenure else "churn"


def _gap_text(silence: float, horizon: float, rows: pd.DataFrame) -> str:
    chance = rows["churn_probability"].astype(float)
    zero = int((chance == 0).sum())
    text = f"Within {horizon:g} days, {quantity(int((chance > _HIGH).sum()), 'customer')} of {count(len(rows))} "
    text += "are more likely than not to churn"
    if zero:
        text += (
            f"; for {count(zero)} it cannot happen yet, since they were active too recently to complete "
            f"{silence:g} days of silence by then (they are not drawn)"
        )
    return f"{text}."


def _tenure_text(horizon: float, rows: pd.DataFrame) -> str:
    middle, high = rows["churn_probability"].astype(float).quantile([0.5, 0.9]).tolist()
    n = int((rows["churn_probability"].astype(float) > _HIGH).sum())
    likely = f"{count(n)} of {count(len(rows))} {'is' if n == 1 else 'are'}" if n else "nobody is"
    return (
        f"Within {horizon:g} days, half of the customers have a chance to leave below {_chance_words(middle)}, and the tenth "
        f"most at risk one above {_chance_words(high)}; {likely} more likely than not to leave."
    )


def _chance_words(chance: float) -> str:
    return percent(chance, digits=0 if chance >= _TENTH else 1)


def riskiest_section(risk: RiskTable) -> dict[str, object]:
    """List the customers who are active and most likely to be lost, with their intervals.

    Parameters
    ----------
    risk : RiskTable
        The risk.

    Returns
    -------
    dict
        ``texts``, ``caption``, ``note``, ``reached`` (column head), ``cause_head`` (empty for one cause), ``verb``,
        ``horizons``, ``columns``, ``rows``, ``show_status``.
    """
    alive = alive_rows(risk)
    horizons = sorted(float(h) for h in set(alive["horizon"]))
    columns = [name for name in _told_columns(risk) if name in alive.columns]
    chosen = _riskiest(risk, alive, horizons)
    likely = _likely_causes(risk, [str(group["customer_id"].iloc[0]) for group in chosen])
    rows = [_customer(risk, group, columns, likely) for group in chosen]
    words = words_of(risk.spells)
    return {
        "texts": _riskiest_texts(risk, alive, horizons, len(rows)),
        "caption": f"The {len(rows)} {words.customer}s most likely to {_verb(risk)}",
        "note": _riskiest_note(risk),
        "reached": words.reached,
        "cause_head": f"Most likely cause ({max(horizons, default=0):g} days)" if likely else "",
        "verb": _verb(risk),
        "horizons": [f"{horizon:g}" for horizon in horizons],
        "columns": [_capital(column_label(risk.fit.schema, name)) for name in columns],
        "rows": rows,
        "show_status": any(row["status_words"] for row in rows),
    }


def _told_columns(risk: RiskTable) -> list[str]:
    """Columns of the list of customers: all of them, or where they are many those that tell most."""
    names = [column.name for column in risk.fit.schema.covariates]
    if len(names) <= _MOST_COLUMNS or not risk.spells.churn.on_tenure:
        return names
    order = [column for column, _ in columns_by_spread(risk)]
    numbers = [name for name in names if name not in order]
    kept = {*order[: _TOLD - min(1, len(numbers))], *numbers[: max(1, _TOLD - len(order))]}
    return [name for name in names if name in kept]


def _riskiest_texts(risk: RiskTable, alive: pd.DataFrame, horizons: list[float], n: int) -> list[str]:
    if not risk.spells.churn.on_tenure:
        return [
            "These customers are still active, and the closest to being lost. Those at the very top have been silent for "
            f"almost {getattr(risk.spells.churn, 'days', 0.0):g} days already; the table of all customers beside this report can "
            "be sorted for those who can still be reached in time."
        ]
    if not horizons:
        return []
    last = horizons[-1]
    text = f"These customers have the highest chance to leave within {last:g} days. The table beside this report has everybody"
    text += "." if len(_told_columns(risk)) == len(risk.fit.schema.covariates) else ", with all columns."
    chance = alive.loc[alive["horizon"] == last, "churn_probability"].astype(float).sort_values(ascending=False)
    same = int((chance == chance.iloc[n - 1]).sum() - (chance.head(n) == chance.iloc[n - 1]).sum()) if n else 0
    return [text + (f" {count(same)} more have the same chance as the last of them." if same else "")]


def _riskiest_note(risk: RiskTable) -> str:
    given = "time as a customer so far" if risk.spells.churn.on_tenure else "silence so far"
    interval = f"Below each chance: its {risk.ci_prob:.0%} interval. " if risk.fit.n_draws > 1 else ""
    return f"{interval}The chance is the customer's, given the {given}."


def _riskiest(risk: RiskTable, alive: pd.DataFrame, horizons: list[float]) -> list[pd.DataFrame]:
    """Rows of each of the riskiest: at the first horizon on the gap clock, where time runs out, else at the last."""
    if alive.empty:
        return []
    first = alive[alive["horizon"] == horizons[-1 if risk.spells.churn.on_tenure else 0]]
    keys = ["churn_probability", risk.question.clock, "customer_id"]
    order = first.sort_values(keys, ascending=[False, False, True])
    chosen = order["customer_id"].head(_TOP).tolist()
    rows = alive[alive["customer_id"].isin(chosen)].sort_values("horizon")
    by_customer = {str(name): group for name, group in rows.groupby("customer_id", sort=False)}
    return [by_customer[str(name)] for name in chosen]


def _likely_causes(risk: RiskTable, customers: list[str]) -> dict[str, dict[str, object]]:
    """Each customer's most likely cause at the last horizon, where there are several."""
    if len(risk.causes) < 2 or not customers:
        return {}
    frame = risk.frame()
    frame = frame[(frame["cause"] != "any") & (frame["horizon"] == max(risk.horizon))]
    frame = frame[frame["customer_id"].isin(customers)]
    likely = {}
    for name, rows in frame.groupby("customer_id", sort=False):
        row = max(rows_of(rows), key=lambda row: float(row["churn_probability"]))
        chance = _chance(row)
        likely[str(name)] = {
            "cause": cause_label(str(row["cause"])),
            "probability": chance["probability"],
            "value": cause_label(str(row["cause"])),
            "range": f"{chance['value']} ({chance['range']})" if chance["range"] else chance["value"],
        }
    return likely


def _customer(
    risk: RiskTable, rows: pd.DataFrame, columns: list[str], likely: dict[str, dict[str, object]]
) -> dict[str, object]:
    first, schema, clock = rows.iloc[0], risk.fit.schema, risk.question.clock
    statuses = [str(status) for status in rows["status"]]
    status = next((one for one in statuses if one != "supported"), statuses[0])
    new = "new group" if bool(first["new_group"]) else ""
    return {
        "customer_id": clean_text(str(first["customer_id"])),
        clock: float(first[clock]),
        "reached_words": count(math.floor(float(first[clock]))),
        "chances": [_chance(row) for row in rows_of(rows)],
        "cause": likely.get(str(first["customer_id"])),
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
        ``column``, ``chart``, ``title``, ``texts``, ``caption``, ``table_caption``, ``note``, ``heads``,
        ``show_churned``, ``rows``; the last one with ``left``: columns that are not shown.
    """
    horizon = max(float(h) for h in risk.horizon)
    who, verb = words_of(risk.spells).customer, _verb(risk)
    sections = []
    for place, column in enumerate(_shown_columns(risk)):
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
                "caption": f"Share of {who}s expected to {verb} within {horizon:g} days, by {title}",
                "table_caption": f"{_capital(who)}s and expected {'leavers' if verb == 'leave' else 'churners'} within "
                f"{horizon:g} days, by {title}",
                "note": f"Ranges are {risk.ci_prob:.0%} predictive intervals. Groups of fewer than {SMALL} {who}s "
                "are put together, so that nobody is singled out.",
                "heads": [f"{_capital(who)}s", f"Expected to {verb}"],
                "show_churned": not risk.spells.churn.on_tenure,
                "rows": [_group_row(row) for row in rows_of(table)],
            }
        )
    left = _columns_left(risk, horizon)
    return [*sections[:-1], {**sections[-1], "left": left}] if sections and left else sections


def _shown_columns(risk: RiskTable) -> list[str]:
    """Columns of groups in their own order; where they are many, those whose groups differ most."""
    columns = list(group_columns(risk))
    if len(columns) <= _MOST_COLUMNS:
        return columns
    return [column for column, _ in columns_by_spread(risk)[:_MOST_COLUMNS]]


def _columns_left(risk: RiskTable, horizon: float) -> str:
    if len(group_columns(risk)) <= _MOST_COLUMNS:
        return ""
    rest = columns_by_spread(risk)[_MOST_COLUMNS:]
    names = [f"{column_label(risk.fit.schema, column)} ({percent(spread)})" for column, spread in rest]
    return (
        f"Not shown, since their groups differ less in the share expected within {horizon:g} days (largest difference): "
        f"{listing(names)}."
    )


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
