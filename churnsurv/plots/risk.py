"""How risk is spread over the customers who are still active."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from churnsurv._typing import FloatArray
from churnsurv.plots.style import BLUE, NARROW, WIDE, finish

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

    from churnsurv.risk.table import RiskTable

_N_BINS: Final = 20
_WIDTHS: Final = (0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
_FEWEST: Final = 10
_FINE: Final = 0.04
"""Chances below which whole per cents are too coarse for an axis."""
NOT_COUNTED: Final = ("already_churned", "refused")
"""Statuses without a chance to churn that could be counted: it has happened, or is not known."""


def alive_rows(risk: RiskTable) -> pd.DataFrame:
    """Rows of the risk table, whatever the cause, of customers who have not churned and have a probability.

    Parameters
    ----------
    risk : RiskTable
        The risk.

    Returns
    -------
    DataFrame
        A part of ``risk.frame("any")``.
    """
    frame = risk.frame("any")
    return frame[~frame["status"].isin(NOT_COUNTED)].reset_index(drop=True)


def risk_distribution_data(risk: RiskTable) -> pd.DataFrame:
    """Count active customers by their probability of churning, for each horizon.

    Parameters
    ----------
    risk : RiskTable
        The risk.

    Returns
    -------
    DataFrame
        ``horizon`` (days), ``start``, ``stop`` (probability, bins ``(start, stop]`` of 0.05 over all of [0, 1]; on the
        tenure clock, where most chances are small, narrower ones as far as the largest), ``n_customers``. Customers
        whose probability is exactly 0, because they were active too lately to complete the silence within the horizon,
        stand in rows of their own with ``start`` = ``stop`` = 0.
    """
    import pandas as pd

    alive = alive_rows(risk)
    edges = _edges(risk, alive)
    n_bins = len(edges) - 1
    parts = []
    for horizon, rows in alive.groupby("horizon", sort=True):
        chance = rows["churn_probability"].to_numpy(dtype=float)
        positive = chance[chance > 0]
        # Rounding before the search keeps 0.15 in the bin that ends there, whatever its last bit.
        where = np.clip(np.searchsorted(edges, np.round(positive, 12), side="left") - 1, 0, n_bins - 1)
        counts = [int((chance == 0).sum()), *np.bincount(where, minlength=n_bins).tolist()]
        parts.append(
            pd.DataFrame(
                {
                    "horizon": float(str(horizon)),
                    "start": [0.0, *edges[:-1].round(4)],
                    "stop": [0.0, *edges[1:].round(4)],
                    "n_customers": counts,
                }
            )
        )
    columns = ["horizon", "start", "stop", "n_customers"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def _edges(risk: RiskTable, alive: pd.DataFrame) -> FloatArray:
    if not risk.spells.churn.on_tenure or alive.empty:
        return np.linspace(0.0, 1.0, _N_BINS + 1)
    top = float(alive["churn_probability"].max())
    width = next((width for width in _WIDTHS if width * _FEWEST <= top), _WIDTHS[-1])
    return np.asarray(width * np.arange(int(np.ceil(round(max(top, width) / width, 9))) + 1))


def plot_risk_distribution(risk: RiskTable, *, width: int = WIDE) -> alt.VConcatChart:
    """Draw :func:`risk_distribution_data`, one histogram per horizon, on one scale.

    Customers whose probability is exactly 0 are left to the text: their bar would dwarf the rest.

    Parameters
    ----------
    risk : RiskTable
        The risk.
    width : int
        Width of the plotting area in pixels.

    Returns
    -------
    VConcatChart
        An Altair chart.
    """
    import altair as alt

    data = risk_distribution_data(risk)
    data = data[data["stop"] > 0]
    highest = int(data["n_customers"].max()) if len(data) else 1
    horizons = sorted(set(data["horizon"]))
    last = float(data["stop"].max()) if risk.spells.churn.on_tenure and len(data) else 1.0
    title = "Chance to leave" if risk.spells.churn.on_tenure else "Chance to churn"
    across = 1 if width <= NARROW else max(1, min(3, len(horizons)))
    panels = [
        _histogram(
            data[data["horizon"] == horizon],
            f"Within {horizon:g} days",
            max(highest, 1),
            (width - 60 * (across - 1)) // across,
            (last, title, "Customers" if first else None),
        )
        for horizon, first in ((h, k % across == 0) for k, h in enumerate(horizons))
    ]
    rows = [alt.hconcat(*panels[k : k + across], spacing=22) for k in range(0, len(panels), across)]
    return finish(alt.vconcat(*rows, spacing=14))


def _histogram(rows: pd.DataFrame, name: str, highest: int, width: int, axes: tuple[float, str, str | None]) -> Any:
    import altair as alt

    last, across, up = axes
    x = alt.X("start:Q", bin="binned", title=across, scale=alt.Scale(domain=[0, last], nice=False))
    y = alt.Y("n_customers:Q", title=up, scale=alt.Scale(domain=[0, highest], nice=True))
    bars = alt.Chart(rows, title=name).mark_bar(color=BLUE, stroke="white", strokeWidth=0.6)
    ticks: dict[str, Any] = {"values": [0, 0.5, 1.0]} if last == 1 else {"tickCount": 3}
    drawn = bars.encode(
        x=x.axis(format="%" if last >= _FINE else ".1%", grid=False, **ticks),
        x2="stop:Q",
        y=y.axis(tickCount=4, format=",d", tickMinStep=1),
    )
    return drawn.properties(width=width, height=150)
