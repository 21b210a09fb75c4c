"""The network of causes as a picture, with what each cause is worth."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from churnsurv.plots.cause_layout import Layout, is_bend, lay_out
from churnsurv.plots.labels import clean_text
from churnsurv.plots.style import BLUE, GRID, INK, MUTED, NARROW, VERMILION, WIDE, finish, layered

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

    from churnsurv.causes.effects import Effect
    from churnsurv.causes.network import CauseNetwork

Point = tuple[float, float]

_BOX: Final = (128.0, 46.0)
_ROW: Final = 68.0
_GAP: Final = 34.0
_PASS: Final = 22.0
_SIDE: Final = 10.0
_NARROWEST: Final = 72.0
_HEAD: Final = 7.0
_LONGEST: Final = 20
LEAF: Final = "churn"


@dataclass(frozen=True, eq=False)
class CausePicture:
    """Boxes and arrows in pixels.

    Parameters
    ----------
    boxes : DataFrame
        ``node, x, y, name, told, kind`` (``cause``, ``moves``, ``latent``, ``churn``), ``label`` of the effect.
    arrows : DataFrame
        ``arrow, order, x, y, hidden``: points of each arrow in order; ``hidden`` where it comes from a latent cause.
    heads : DataFrame
        ``x, y, angle, hidden``: tips of the arrows, degrees clockwise from up.
    box : (float, float)
        Width and height of a box.
    width, height : float
        Of the drawing.
    """

    boxes: pd.DataFrame
    arrows: pd.DataFrame
    heads: pd.DataFrame
    box: Point
    width: float
    height: float


def causes_data(
    network: CauseNetwork, effects: Mapping[str, Effect] | None = None, *, width: int = WIDE
) -> CausePicture:
    """Lay out a network, and write under each cause what its effect is.

    Parameters
    ----------
    network : CauseNetwork
        What was drawn.
    effects : mapping of str to Effect, optional
        By cause; see :func:`~churnsurv.causes.effects.improvements`.
    width : int
        Width in pixels; on a phone causes stand above their effects.

    Returns
    -------
    CausePicture
        Frames to draw.
    """
    import pandas as pd

    dag, told = network.dag, dict(effects or {})
    drawn = lay_out(dag.order, dag.edges)
    upright = width <= NARROW
    places, box, high = _upright(drawn, width) if upright else _sideways(drawn, width)
    moving = {node.name for node in network.moving}
    boxes = [
        {
            "node": name,
            "x": places[name][0],
            "y": places[name][1],
            "name": clean_text(name, longest=_LONGEST),
            "told": _told(told.get(name)),
            "kind": _kind(name, dag.latent, moving),
            "label": told[name].label if name in told else "",
        }
        for name in dag.order
    ]
    lines, heads = [], []
    for k, (edge, chain) in enumerate(drawn.arrows.items()):
        inner = [point for bend in chain[1:-1] for point in _through(places[bend], box, upright)]
        start = _border(places[edge[0]], (inner or [places[edge[1]]])[0], box, 0.0)
        tip = _border(places[edge[1]], (inner or [places[edge[0]]])[-1], box, 3.0)
        points = [start, *inner, tip]
        hidden = edge[0] in dag.latent
        lines += [{"arrow": k, "order": i, "x": x, "y": y, "hidden": hidden} for i, (x, y) in enumerate(points)]
        angle = math.degrees(math.atan2(tip[0] - points[-2][0], points[-2][1] - tip[1]))
        heads.append({"x": tip[0], "y": tip[1], "angle": angle, "hidden": hidden})
    return CausePicture(
        pd.DataFrame(boxes),
        pd.DataFrame(lines, columns=["arrow", "order", "x", "y", "hidden"]),
        pd.DataFrame(heads, columns=["x", "y", "angle", "hidden"]),
        box,
        float(width),
        high,
    )


def _sideways(drawn: Layout, width: int) -> tuple[dict[str, Point], Point, float]:
    """Causes left of their effects: middle of each place, size of a box, height of the drawing."""
    n = len(drawn.layers)
    wide = min(_BOX[0], (width - (n - 1) * _GAP) / n)
    step = (width - wide) / max(n - 1, 1)
    tall = [sum(_PASS if is_bend(name) else _ROW for name in layer) for layer in drawn.layers]
    places = {}
    for k, layer in enumerate(drawn.layers):
        at = (max(tall) - tall[k]) / 2
        for name in layer:
            size = _PASS if is_bend(name) else _ROW
            places[name] = (wide / 2 + k * step, at + size / 2)
            at += size
    return places, (wide, _BOX[1]), float(max(tall))


def _upright(drawn: Layout, width: int) -> tuple[dict[str, Point], Point, float]:
    """Causes above their effects."""
    wide = min(
        (width - _PASS * sum(map(is_bend, layer))) / max(sum(not is_bend(name) for name in layer), 1) - _SIDE
        for layer in drawn.layers
    )
    wide = max(min(wide, _BOX[0]), _NARROWEST)
    places, step = {}, _BOX[1] + _GAP
    for k, layer in enumerate(drawn.layers):
        total = sum(_PASS if is_bend(name) else wide + _SIDE for name in layer)
        at = (width - total) / 2
        for name in layer:
            size = _PASS if is_bend(name) else wide + _SIDE
            places[name] = (at + size / 2, _BOX[1] / 2 + k * step)
            at += size
    return places, (wide, _BOX[1]), _BOX[1] + (len(drawn.layers) - 1) * step


def _through(place: Point, box: Point, upright: bool) -> tuple[Point, Point]:
    """A long arrow runs past the boxes of a layer before it turns."""
    x, y = place
    if upright:
        return (x, y - box[1] / 2), (x, y + box[1] / 2)
    return (x - box[0] / 2, y), (x + box[0] / 2, y)


def _kind(name: str, latent: frozenset[str], moving: set[str]) -> str:
    if name == LEAF:
        return "churn"
    return "latent" if name in latent else "moves" if name in moving else "cause"


def _told(effect: Effect | None) -> str:
    """Customers kept per thousand, or why not."""
    if effect is None:
        return ""
    if effect.label != "identified":
        return "not identified"
    import numpy as np

    low, high = np.quantile(effect.draws("avoided_per_thousand")[:, 0], [0.05, 0.95])
    return f"keeps {low:.0f} to {high:.0f}"


def _border(middle: Point, toward: Point, box: Point, extra: float) -> Point:
    """Point on the edge of a box on the way to another place."""
    dx, dy = toward[0] - middle[0], toward[1] - middle[1]
    half = (box[0] / 2 + extra, box[1] / 2 + extra)
    share = min(half[0] / abs(dx) if dx else math.inf, half[1] / abs(dy) if dy else math.inf)
    return middle[0] + dx * share, middle[1] + dy * share


def plot_causes(
    network: CauseNetwork, effects: Mapping[str, Effect] | None = None, *, width: int = WIDE
) -> alt.LayerChart:
    """Draw :func:`causes_data`: boxes from causes to churn; a latent cause and its arrows are orange, the arrows dashed.

    Parameters
    ----------
    network : CauseNetwork
        What was drawn.
    effects : mapping of str to Effect, optional
        By cause: how many of a thousand customers would be kept (90 % interval), written in its box.
    width : int
        Width in pixels.

    Returns
    -------
    LayerChart
        An Altair chart.
    """
    import altair as alt

    picture = causes_data(network, effects, width=width)
    across = alt.Scale(domain=[0, picture.width], nice=False, zero=False)
    down = alt.Scale(domain=[picture.height + 2, -2], nice=False, zero=False)
    x, y = alt.X("x:Q", scale=across, axis=None), alt.Y("y:Q", scale=down, axis=None)
    dash = alt.condition(alt.datum.hidden, alt.value([4, 3]), alt.value([1, 0]))
    ink = alt.condition(alt.datum.hidden, alt.value(VERMILION), alt.value(MUTED))
    lines = (
        alt.Chart(picture.arrows)
        .mark_line(interpolate="monotone", strokeWidth=1.5)
        .encode(x=x, y=y, detail="arrow:N", order="order:Q", strokeDash=dash, color=ink)
    )
    heads = (
        alt.Chart(picture.heads)
        .mark_point(shape="triangle", filled=True, size=_HEAD**2, opacity=1)
        .encode(x=x, y=y, angle=alt.Angle("angle:Q", scale=None), color=ink)
    )
    half = (picture.box[0] / 2, picture.box[1] / 2)
    framed = picture.boxes.assign(
        left=picture.boxes["x"] - half[0], right=picture.boxes["x"] + half[0],
        top=picture.boxes["y"] - half[1], bottom=picture.boxes["y"] + half[1],
    )  # fmt: skip
    kinds = ["cause", "moves", "latent", "churn"]
    fill = alt.Scale(domain=kinds, range=["white", "#eef4fa", "#fbf1ea", GRID])
    edge = alt.Scale(domain=kinds, range=[BLUE, BLUE, VERMILION, INK])
    boxes = (
        alt.Chart(framed)
        .mark_rect(strokeWidth=1.5, cornerRadius=5)
        .encode(
            x=alt.X("left:Q", scale=across, axis=None), x2="right:Q",
            y=alt.Y("top:Q", scale=down, axis=None), y2="bottom:Q",
            fill=alt.Fill("kind:N", scale=fill, legend=None), stroke=alt.Stroke("kind:N", scale=edge, legend=None),
        )
    )  # fmt: skip
    both = alt.Chart(framed)
    names = both.transform_filter(alt.datum.told == "").mark_text(fontWeight="bold").encode(x=x, y=y, text="name:N")
    upper = both.transform_filter(alt.datum.told != "").mark_text(fontWeight="bold", dy=-8)
    lower = both.transform_filter(alt.datum.told != "").mark_text(fontSize=11, dy=9)
    worth = alt.condition(alt.datum.label == "identified", alt.value(INK), alt.value(VERMILION))
    layers = [
        lines,
        heads,
        boxes,
        names,
        upper.encode(x=x, y=y, text="name:N"),
        lower.encode(x=x, y=y, text="told:N", color=worth),
    ]
    heading: dict[str, object] = {}
    if effects:
        worth_of = ["of 1,000 customers, if this cause alone were as good as it can be (90 % interval)"]
        if width <= NARROW:
            worth_of = ["of 1,000 customers, if this cause alone were", "as good as it can be (90 % interval)"]
        heading = {
            "title": alt.TitleParams("What each cause is worth", subtitle=worth_of, color=INK, subtitleColor=MUTED)
        }
    return finish(layered(layers, width=int(picture.width), height=math.ceil(picture.height), **heading))
