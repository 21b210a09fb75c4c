"""How long customers stay, and what takes them: the curves on the tenure clock in words and numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from churnsurv._typing import BoolArray
from churnsurv.plots.counted import fits_of
from churnsurv.plots.groups import group_columns, group_data, group_sizes, named_groups
from churnsurv.plots.labels import column_label, level_label
from churnsurv.plots.rows import rows_of
from churnsurv.plots.tenure import FITTED, tenure_data
from churnsurv.plots.words import cause_label
from churnsurv.report.sentences import listing, number, percent, percent_range
from churnsurv.report.why import records
from churnsurv.tables.episodes import Episodes

if TYPE_CHECKING:
    import pandas as pd

    from churnsurv.risk.table import RiskTable

_A_YEAR: Final = 366.0
_MOST_GROUPS: Final = 6


def staying_section(risk: RiskTable, rows: Episodes) -> dict[str, object]:
    """Tell how long customers stay, or how many leave by which cause.

    Parameters
    ----------
    risk : RiskTable
        The risk.
    rows : Episodes
        With every cause.

    Returns
    -------
    dict
        ``texts``, ``caption``, ``note``, ``curve`` (records of ``tenure_data``), and ``groups``: ``None`` or a dict of
        ``column``, ``title``, ``texts``, ``caption`` and ``curve``.
    """
    data = tenure_data(risk.fit, rows, grain=risk.spells.grain, ci_prob=risk.ci_prob)
    competing = bool((data["quantity"] == "incidence").any())
    texts = _texts(risk, data, competing) if len(data) else []
    caption = "Share of customers lost to each cause" if competing else "Share of customers who are still there"
    return {
        "texts": texts,
        "caption": f"{caption}, by days since they began",
        "note": _note(risk, competing),
        "curve": records(data),
        "groups": _groups(risk, rows, competing),
    }


def _texts(risk: RiskTable, data: pd.DataFrame, competing: bool) -> list[str]:
    model = data[data["series"] == FITTED]
    first = float(model["days"].min())
    times = model.loc[model["days"] <= first + _A_YEAR, "days"]
    until = float(times.max())
    there = {str(row["cause"]): _share(row) for row in rows_of(model[model["days"] == until])}
    days = f"day {until:,.0f}" if first else f"{until:,.0f} days"
    texts = []
    if first:
        texts.append(
            f"Fewer than 10 customers were observed before day {number(first)}: shares are of those who reached it."
        )
    if competing:
        parts = [f"{words} are lost to “{cause_label(cause)}”" for cause, words in there.items()]
        return [*texts, f"After {days}, {listing(parts)}."]
    half = model[model["share"] <= 0.5]
    texts.append(
        f"Half of all customers have left after about {number(float(half['days'].iloc[0]), 2)} days."
        if len(half)
        else "Fewer than half of the customers leave within the time the data can show."
    )
    texts.append(f"After {days}, {there['any']} are still customers.")
    if risk.spells.cause is not None and len(risk.spells.churn.causes) > 1:
        cause = cause_label(risk.spells.cause)
        texts.append(
            f"This is a world in which customers are lost to “{cause}” only: whoever left otherwise counts as not known from "
            "then on."
        )
    return texts


def _share(row: dict[str, Any]) -> str:
    lower, upper, share = (float(row[name]) for name in ("lower", "upper", "share"))
    return percent_range(lower, upper) if math.isfinite(lower) else percent(share)


def _note(risk: RiskTable, competing: bool) -> str:
    name = "Aalen–Johansen" if competing else "Kaplan–Meier"
    drawn = any(one.n_draws > 1 for one in fits_of(risk.fit).values())
    return (
        f"{'Band' if drawn else 'Band around the data'}: {risk.ci_prob:.0%} interval. Dashed: the data ({name}). Each age "
        "is told by those who were observed at that age, in the data and in the model alike. "
        f"{'Curves end' if not competing else 'The shares of all causes and of those left add up to 100%. Curves end'} "
        "where fewer than 10 are observed."
    )


def group_masks(risk: RiskTable, rows: Episodes, column: str) -> dict[str, BoolArray]:
    """Rows of each group that may be shown by name.

    Parameters
    ----------
    risk : RiskTable
        The risk.
    rows : Episodes
        Rows.
    column : str
        A column of text.

    Returns
    -------
    dict of str to array of bool
        At most six of the largest groups, in words.
    """
    place = [one.name for one in rows.schema.columns].index(column)
    labels = rows.schema.columns[place].labels
    names = named_groups(group_sizes(risk, column), shown=_MOST_GROUPS)
    shown = [name for name in names if name in labels]
    return {level_label(rows.schema, column, name): rows.codes[:, place] == labels.index(name) for name in shown}


def columns_by_spread(risk: RiskTable) -> list[tuple[str, float]]:
    """Columns of text, those whose groups differ most in their share of expected churners first.

    Parameters
    ----------
    risk : RiskTable
        The risk.

    Returns
    -------
    list of (str, float)
        Column, and the largest difference between two of its named groups at the longest horizon; 0 where there are
        fewer than two.
    """
    spreads = []
    for column in group_columns(risk):
        table = group_data(risk, column, max(risk.horizon))
        named = table[~table["pooled"].astype(bool)] if len(table) else table
        spread = float(named["share"].max() - named["share"].min()) if len(named) > 1 else 0.0
        spreads.append((column, spread))
    return sorted(spreads, key=lambda pair: -pair[1])


def _groups(risk: RiskTable, rows: Episodes, competing: bool) -> dict[str, object] | None:
    spreads = [column for column, spread in columns_by_spread(risk) if spread > 0]
    if not spreads:
        return None
    column = spreads[0]
    masks = group_masks(risk, rows, column)
    data = tenure_data(risk.fit, rows, masks, grain=risk.spells.grain, ci_prob=risk.ci_prob)
    if data["group"].nunique() < 2:
        return None
    title = column_label(rows.schema, column)
    alone = len(spreads) == 1
    text = "" if alone else f"Of all columns, “{title}” tells customers apart the most."
    return {
        "column": column,
        "title": f"By {title}",
        "texts": [text] if text else [],
        "caption": f"The same, by {title}",
        "curve": records(data),
    }
