"""One visual language: colours that survive colour blindness and a black-and-white printer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import altair as alt

# Okabe and Ito's palette: told apart under every common colour vision deficiency, and the four used
# here differ in lightness too, so that a photocopy keeps them apart.
BLUE = "#0072B2"
ORANGE = "#E69F00"
VERMILION = "#D55E00"
GREEN = "#009E73"
INK = "#1f2933"
MUTED = "#52606d"
GRID = "#e4e7eb"

WIDE = 640
"""Chart width in pixels on a desk and on paper."""
NARROW = 320
"""Chart width in pixels on a phone: drawn anew, since a shrunken chart cannot be read."""

SMALL = 10
"""Counts of customers below this are not shown on their own."""

BAND_OPACITY = 0.22


def axis(**settings: Any) -> dict[str, Any]:
    """Arguments of an axis without grid lines, for the direction that needs no reading off."""
    return {"grid": False, "ticks": True, **settings}


def n_ticks(width: int) -> int:
    """Return how many axis ticks fit a chart of a width in pixels."""
    return 8 if width > (WIDE + NARROW) // 2 else 4


def layered(layers: Sequence[alt.Chart], *, width: int, height: Any, **settings: Any) -> alt.LayerChart:
    """Lay charts over each other.

    Parameters
    ----------
    layers : sequence of Chart
        From back to front.
    width : int
        Width of the plotting area in pixels.
    height : int or Step
        Its height.
    **settings
        Further properties, such as ``data``.

    Returns
    -------
    LayerChart
        Not yet finished.
    """
    import altair as alt

    return cast("alt.LayerChart", alt.layer(*layers, **settings).properties(width=width, height=height))


def finish[ChartT: (alt.Chart, alt.LayerChart, alt.VConcatChart, alt.HConcatChart)](chart: ChartT) -> ChartT:
    """Apply the visual language to a finished top-level chart.

    Parameters
    ----------
    chart : Altair chart
        Any top-level chart.

    Returns
    -------
    Altair chart
        The same chart with fonts, axes and background set.
    """
    import altair as alt

    # One call and not one for each part: every call copies the chart with its data.
    styled: ChartT = chart.configure(
        background="white",
        padding=4,
        aria=False,
        font="Helvetica, Arial, sans-serif",
        view=alt.ViewConfig(stroke=None),
        axis=alt.AxisConfig(
            labelFontSize=12,
            titleFontSize=12,
            labelColor=MUTED,
            titleColor=INK,
            titleFontWeight="normal",
            titlePadding=8,
            gridColor=GRID,
            domainColor=MUTED,
            tickColor=MUTED,
            labelLimit=260,
        ),
        legend=alt.LegendConfig(
            orient="top",
            title=None,
            labelFontSize=12,
            labelColor=INK,
            symbolStrokeWidth=3,
            symbolOpacity=1,
            labelLimit=300,
        ),
        header=alt.HeaderConfig(
            title=None, labelFontSize=12, labelColor=INK, labelFontWeight="bold", labelAnchor="start"
        ),
        title=alt.TitleConfig(fontSize=13, fontWeight="bold", anchor="start", color=INK, offset=8),
        text=alt.MarkConfig(font="Helvetica, Arial, sans-serif", fontSize=12, color=INK),
    )
    return styled
