"""Drawings of :func:`churnsurv.plots.tenure.tenure_data`: everyone, and groups side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from churnsurv.plots.style import (
    BAND_OPACITY,
    BLUE,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    SMALL,
    VERMILION,
    WIDE,
    axis,
    finish,
    layered,
    n_ticks,
)
from churnsurv.plots.tenure import FITTED, OBSERVED, n_at_risk
from churnsurv.plots.words import cause_label
from churnsurv.tables.episodes import Episodes

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

_GONE: Final = 0.01
"""Share below which a curve of those who are left is over."""
_CAUSE_COLOURS: Final = (BLUE, VERMILION, GREEN, ORANGE, MUTED, INK)


def plot_tenure(
    data: pd.DataFrame,
    rows: Episodes,
    *,
    still: str = "Still customers",
    clock: str = "Days as a customer",
    width: int = WIDE,
) -> alt.VConcatChart:
    """Draw the curve of everyone, with the numbers at risk below.

    Parameters
    ----------
    data : DataFrame
        From :func:`~churnsurv.plots.tenure.tenure_data`, one group.
    rows : Episodes
        What it was made of.
    still : str
        What a survival is called.
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

    data, ends, top = _shown(data)
    curve = layered(
        _layers(data, ends, top, title=clock, still=still, ticks=n_ticks(width)),
        width=width,
        height=280,
    )
    return finish(alt.vconcat(curve, _at_risk_row(rows, ends, width), spacing=2))


def plot_tenure_groups(
    data: pd.DataFrame, *, still: str = "Still customers", clock: str = "Days as a customer", width: int = WIDE
) -> alt.VConcatChart:
    """Draw one small panel per group, all on one scale.

    Parameters
    ----------
    data : DataFrame
        From :func:`~churnsurv.plots.tenure.tenure_data`, several groups.
    still, clock
        See :func:`plot_tenure`.
    width : int
        Width of all panels of a row in pixels.

    Returns
    -------
    VConcatChart
        An Altair chart.
    """
    import altair as alt

    data, ends, top = _shown(data)
    names = list(dict.fromkeys(data["group"]))
    across = min(2, len(names)) if width >= WIDE else 1
    own = (width - 60 * (across - 1)) // across
    panels = []
    for k, name in enumerate(names):
        last_row = k >= len(names) - across
        own_rows = data[data["group"] == name]
        first = still if k % across == 0 else None
        layers = _layers(own_rows, ends, top, title=clock if last_row else None, still=first, ticks=4, legend=k == 0)
        panels.append(layered(layers, width=own, height=150, title=_titled(str(name), own_rows)))
    rows = [alt.hconcat(*panels[k : k + across], spacing=20) for k in range(0, len(panels), across)]
    return finish(alt.vconcat(*rows, spacing=12))


def _titled(name: str, rows: pd.DataFrame) -> str:
    start = float(rows["days"].min())
    return f"{name} (of those who reached day {start:,.0f})" if start > 0 else name


def _shown(data: pd.DataFrame) -> tuple[pd.DataFrame, tuple[float, float], float]:
    """Rows worth drawing, ends of the axis of days and top of that of shares: no room for where nobody is left."""
    start, last, top = float(data["days"].min()), float(data["days"].max()), 1.0
    if (data["quantity"] == "incidence").any():
        highest = float(np.nanmax(data[["share", "upper"]].to_numpy(dtype=float)))
        top = next((one for one in (0.05, 0.1, 0.2, 0.4, 0.6, 0.8) if highest <= one), 1.0)
    else:
        alive = data.loc[data["share"] >= _GONE, "days"]
        last = min(last, float(alive.max()) * 1.1 if len(alive) else last)
    return data[data["days"] <= last], (start, last), top


def _layers(
    data: pd.DataFrame,
    ends: tuple[float, float],
    top: float,
    *,
    title: str | None,
    still: str | None,
    ticks: int,
    legend: bool = True,
) -> list[alt.Chart]:
    import altair as alt

    incidence = bool((data["quantity"] == "incidence").any())
    data = data.assign(what=[cause_label(str(cause)) for cause in data["cause"]])
    data = data[["series", "what", "days", "share", "lower", "upper"]]
    x = alt.X("days:Q", title=title).scale(domain=list(ends), nice=False).axis(**axis(tickCount=ticks))
    name = ("Have left" if still else None) if incidence else still
    y = alt.Y("share:Q", title=name, scale=alt.Scale(domain=[0, top])).axis(format="%", tickCount=5)
    colour, dashes = _encodings(data, incidence, legend)
    base = alt.Chart(data).encode(x=x)
    model, observed = (base.transform_filter(alt.datum.series == name) for name in (FITTED, OBSERVED))
    # The data's own interval is drawn where the model has none: two bands would hide each other.
    banded = model if data.loc[data["series"] == FITTED, "lower"].notna().any() else observed
    shape: dict[str, Any] = {} if banded is model else {"interpolate": "step-after"}
    area = banded.transform_filter("isValid(datum.lower)").mark_area(opacity=BAND_OPACITY, **shape)
    return [
        area.encode(y=alt.Y("lower:Q", title=name), y2="upper:Q", color=colour, detail="what:N"),
        model.mark_line(strokeWidth=2.5).encode(y=y, color=colour, strokeDash=dashes, detail="what:N"),
        observed.mark_line(interpolate="step-after", strokeWidth=1.4).encode(
            y=y, color=colour, strokeDash=dashes, detail="what:N"
        ),
    ]


def _colours(data: pd.DataFrame) -> tuple[list[str], list[str]]:
    causes = list(dict.fromkeys(data["what"]))
    return causes, [_CAUSE_COLOURS[k % len(_CAUSE_COLOURS)] for k in range(len(causes))]


def _encodings(data: pd.DataFrame, incidence: bool, legend: bool) -> tuple[Any, Any]:
    """Colour and dashes: series by both where there is one cause, else causes by colour and series by dashes."""
    import altair as alt

    kept = [FITTED, OBSERVED]
    shown: dict[str, Any] = {"legend": alt.Legend(symbolType="stroke") if legend else None}
    dashes = alt.StrokeDash("series:N", scale=alt.Scale(domain=kept, range=[[1, 0], [5, 3]]), sort=kept, **shown)
    if not incidence:
        colour = alt.Color("series:N", scale=alt.Scale(domain=kept, range=[BLUE, INK]), sort=kept, **shown)
        return colour, dashes
    causes, colours = _colours(data)
    return alt.Color("what:N", scale=alt.Scale(domain=causes, range=colours), sort=causes, **shown), dashes


def _at_risk_row(rows: Episodes, ends: tuple[float, float], width: int) -> alt.LayerChart:
    import altair as alt
    import pandas as pd

    first, last = ends
    times = np.linspace(first, last, n_ticks(width) + 1)[1:]
    counts = n_at_risk(rows, times)
    labels = [f"{n:,}" if n >= SMALL else f"<{SMALL}" for n in counts.tolist()]
    scale = alt.Scale(domain=list(ends), nice=False)
    x = alt.X("days:Q", title=None, scale=scale).axis(None)
    title = alt.Chart(pd.DataFrame({"days": [first], "label": ["At risk"]}))
    numbers = alt.Chart(pd.DataFrame({"days": times, "label": labels}))
    return layered(
        [
            title.mark_text(color=MUTED, fontSize=11, align="right", dx=-6).encode(x=x, text="label:N"),
            numbers.mark_text(color=MUTED, fontSize=11).encode(x=x, text="label:N"),
        ],
        width=width,
        height=14,
    )
