"""How long customers last: Kaplan–Meier curves of everyone and of groups, side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from churnsurv.plots.labels import clean_text
from churnsurv.plots.style import BAND_OPACITY, BLUE, WIDE, axis, finish, layered, n_ticks

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd


def plot_lifetimes(data: pd.DataFrame, *, clock: str, width: int = WIDE) -> alt.VConcatChart:
    """Draw curves as small panels, one below the other on one scale.

    Parameters
    ----------
    data : DataFrame
        ``by, group, days, survival, lower, upper``: one curve per ``by`` and ``group``.
    clock : str
        What the days count.
    width : int
        Width of the plotting area in pixels.

    Returns
    -------
    VConcatChart
        An Altair chart.
    """
    import altair as alt

    last = float(data["days"].max())
    x = alt.X("days:Q", title=f"{clock[:1].upper()}{clock[1:]}", scale=alt.Scale(domain=[0, last], nice=False))
    x = x.axis(**axis(tickCount=n_ticks(width)))
    y = alt.Y("survival:Q", title="Still there", scale=alt.Scale(domain=[0, 1])).axis(format="%", tickCount=5)
    panels = []
    for (by, group), rows in data.groupby(["by", "group"], sort=False):
        base = alt.Chart(rows).encode(x=x)
        band = base.mark_area(color=BLUE, opacity=BAND_OPACITY, interpolate="step-after").encode(
            y=alt.Y("lower:Q", title="Still there"), y2="upper:Q"
        )
        line = base.mark_line(color=BLUE, strokeWidth=2, interpolate="step-after").encode(y=y)
        title = clean_text(f"{by}: {group}" if by else str(group))
        panels.append(layered([band, line], width=width, height=170 if by else 260, title=title))
    return finish(alt.vconcat(*panels, spacing=18))
