"""Where risk is: groups of customers, small ones pooled so that nobody is singled out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from churnsurv.plots.labels import clean_text
from churnsurv.plots.style import BLUE, GRID, INK, MUTED, SMALL, WIDE, finish, layered
from churnsurv.plots.words import words_of

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

    from churnsurv.risk.table import RiskTable

_SHOWN: Final = 15


def group_columns(risk: RiskTable) -> tuple[str, ...]:
    """Columns by which customers can be grouped: those that hold text.

    Parameters
    ----------
    risk : RiskTable
        The risk.

    Returns
    -------
    tuple of str
        Column names.
    """
    return tuple(column.name for column in risk.fit.schema.columns if column.edges is None and column.name in risk.sums)


def group_sizes(risk: RiskTable, column: str) -> dict[str, int]:
    """Active customers of each group.

    Parameters
    ----------
    risk : RiskTable
        The risk.
    column : str
        A text column of the cells.

    Returns
    -------
    dict of str to int
        Customers by group, groups without any left out.
    """
    totals = risk.totals(by=column)
    first = totals[(totals["horizon"] == totals["horizon"].min()) & (totals["n_customers"] > 0)]
    return {str(name): int(n) for name, n in zip(first[column], first["n_customers"], strict=True)}


def named_groups(sizes: dict[str, int], *, shown: int = _SHOWN, least: int = SMALL) -> tuple[str, ...]:
    """Groups that may be shown by name, largest first.

    A group of fewer than ``least`` customers is not. Where those left out come to fewer than
    ``least`` together, the smallest named group joins them: their sum would single them out just the same.

    Parameters
    ----------
    sizes : dict of str to int
        Customers per group.
    shown : int
        Most groups to name.
    least : int
        Fewest customers of a named group.

    Returns
    -------
    tuple of str
        Names.

    Examples
    --------
    >>> named_groups({"UK": 900, "France": 40, "Malta": 2})
    ('UK',)
    >>> named_groups({"UK": 900, "France": 40, "Malta": 9, "Spain": 8})
    ('UK', 'France')
    """
    order = sorted(sizes, key=lambda name: (-sizes[name], name))
    named = [name for name in order if sizes[name] >= least][:shown]
    rest = sum(sizes[name] for name in order if name not in set(named))
    while named and 0 < rest < least:
        rest += sizes[named.pop()]
    return tuple(named)


def group_data(risk: RiskTable, column: str, horizon: float) -> pd.DataFrame:
    """Expected churners and their share by group, for one horizon.

    Parameters
    ----------
    risk : RiskTable
        The risk.
    column : str
        A text column of the cells.
    horizon : float
        One of the horizons of the risk.

    Returns
    -------
    DataFrame
        ``group``, ``n_customers`` (active), ``expected``, ``lower``, ``upper`` (churners, predictive
        interval), ``share``, ``share_lower``, ``share_upper`` (of the active), ``n_already_churned``, and
        ``pooled`` (True in the last row where groups of fewer than 10 active customers, or beyond the
        15 largest, are put together; their draws are added, so its interval is a joint one).
    """
    import pandas as pd

    totals = risk.totals(by=column)
    totals = totals[(totals["horizon"] == horizon) & (totals["n_customers"] > 0)]
    order = {name: place for place, name in enumerate(named_groups(group_sizes(risk, column)))}
    place = totals[column].astype(str).map(order)
    named = totals[place.notna()].assign(place=place).sort_values("place")
    rest = [str(name) for name in totals.loc[place.isna(), column]]
    columns = ["n_customers", "expected", "lower", "upper", "n_already_churned"]
    table = named[columns].assign(group=[clean_text(str(name)) for name in named[column]], pooled=False)
    if rest:
        table = pd.concat([table, _pooled(risk, column, horizon, rest, everything=named.empty)], ignore_index=True)
    for bound, share in (("expected", "share"), ("lower", "share_lower"), ("upper", "share_upper")):
        table[share] = table[bound].astype(float) / table["n_customers"].astype(float)
    return table.reset_index(drop=True)


def _pooled(risk: RiskTable, column: str, horizon: float, names: list[str], *, everything: bool) -> pd.DataFrame:
    import pandas as pd

    sums = risk.sums[column]
    kept = np.flatnonzero(np.isin(np.asarray(sums.levels, dtype=object).astype(str), names))
    counts = sums.counts[:, kept, risk.horizon.index(horizon)].sum(axis=1)
    tail = (1 - risk.ci_prob) / 2
    n = len(names)
    return pd.DataFrame(
        {
            "group": [f"{'all' if everything else 'other'}, {n} {'group' if n == 1 else 'groups'}"],
            "n_customers": [int(sums.n_customers[kept].sum())],
            "expected": [float(sums.expected[kept, risk.horizon.index(horizon)].sum())],
            "lower": [float(np.quantile(counts, tail, method="inverted_cdf"))],
            "upper": [float(np.quantile(counts, 1 - tail, method="inverted_cdf"))],
            "n_already_churned": [int(sums.n_already_churned[kept].sum())],
            "pooled": [True],
        }
    )


def plot_groups(risk: RiskTable, column: str, horizon: float, *, width: int = WIDE) -> alt.LayerChart:
    """Draw :func:`group_data` as points with predictive intervals.

    Parameters
    ----------
    risk, column, horizon
        See :func:`group_data`.
    width : int
        Width of the plotting area in pixels.

    Returns
    -------
    LayerChart
        An Altair chart.
    """
    import altair as alt

    data = group_data(risk, column, horizon)
    data["label"] = [f"{name} ({n:,})" for name, n in zip(data["group"], data["n_customers"], strict=True)]
    words = words_of(risk.spells)
    verb = "leave" if risk.spells.churn.on_tenure else "churn"
    title = f"Share of {words.customer}s expected to {verb} within {horizon:g} days"
    title = title if width >= WIDE else f"Expected to {verb} in {horizon:g} days"
    axis = alt.Axis(format="%", tickCount=5, gridColor=GRID)
    lower = alt.X("share_lower:Q", title=title, scale=alt.Scale(domainMin=0), axis=axis)
    base = alt.Chart(data).encode(
        y=alt.Y("label:N", sort=data["label"].tolist(), title=None).axis(
            labelColor=INK, ticks=False, domain=False, grid=True
        )
    )
    layers = [
        base.mark_rule(strokeWidth=3, color=BLUE, opacity=0.45).encode(x=lower, x2="share_upper:Q"),
        base.mark_point(filled=True, size=70, opacity=1).encode(
            x=alt.X("share:Q", title=title),
            color=alt.condition("datum.pooled", alt.value(MUTED), alt.value(BLUE)),
        ),
    ]
    return finish(layered(layers, width=width - 140 if width >= WIDE else width - 90, height=alt.Step(24)))
