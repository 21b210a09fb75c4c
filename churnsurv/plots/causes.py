"""The network of causes as a picture, with what each cause is worth."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from churnsurv.causes.nodes import OUTCOME
from churnsurv.errors import ArgumentError
from churnsurv.plots.cause_layout import Arrangement, Point, arrange
from churnsurv.plots.labels import clean_text
from churnsurv.plots.style import BLUE, GRID, INK, MUTED, NARROW, VERMILION, WIDE, finish, layered

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

    from churnsurv.causes.effects import Effect
    from churnsurv.causes.network import CauseNetwork

_NARROWEST: Final = 240
_LOW: Final = 46.0
_HIGH: Final = 60.0
_LINE: Final = 14.0
_BOLD: Final = 12.0
_SMALL: Final = 11.0
_MARGIN: Final = 5.0
_HEAD: Final = 7.0
_ELLIPSIS: Final = "…"
_MINUS: Final = "−"
_WIDTHS: Final = (
    ("ijlI.,/\\ |'", 0.28), ("!()[]:;ft-`", 0.34), ("r*{}", 0.39), ("EPSVXY", 0.67), ("ABCDHKNRU&", 0.73), ("wGOQ", 0.78),
    ("mM%", 0.89), ("W@…", 1.0),
)  # fmt: skip
"""Widths of the letters of Helvetica Bold in ems, rounded up; of the other letters of the alphabet at most 0.62."""


@dataclass(frozen=True, eq=False)
class CausePicture:
    """Boxes, words and arrows in pixels, from the upper left corner.

    Parameters
    ----------
    boxes : DataFrame
        ``node, x, y, name, told, kind, label``: middle of each box; the name as far as it fits, its lines separated by
        line breaks; what is told under it, empty for nothing; ``cause``, ``moves``, ``latent`` or ``churn``; and the label
        of its effect, empty without one.
    lines : DataFrame
        ``node, x, y, text, role, label``: each line of text, a ``name`` or what is ``told``.
    arrows : DataFrame
        ``arrow, order, x, y, hidden``: points of each arrow in order; ``hidden`` where it comes from a latent cause.
    heads : DataFrame
        ``x, y, angle, hidden``: heads of the arrows, degrees clockwise from up. Arrows that share an end share the head.
    box : (float, float)
        Width and height of a box.
    width, height : float
        Of the drawing.
    """

    boxes: pd.DataFrame
    lines: pd.DataFrame
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
        Width in pixels; on a phone, and where layers are too many, causes stand above their effects.

    Returns
    -------
    CausePicture
        Frames to draw.

    Raises
    ------
    ArgumentError
        If the drawing would be narrower than 240 pixels, where not two boxes stand beside each other.
    """
    import pandas as pd

    if width < _NARROWEST:
        raise ArgumentError(
            f"a drawing {width:g} pixels wide is too narrow to be read.", hint=f"write width={NARROW} or width={WIDE}."
        )
    dag, worth = network.dag, dict(effects or {})
    kinds = {name: _kind(name, network) for name in dag.order}

    def arranged(high: float) -> Arrangement:
        return arrange(dag.order, dag.edges, width=width, high=high, upright=width <= NARROW, apart=dag.latent)

    found = arranged(_LOW)
    room = found.box[0] - 2 * _MARGIN
    names = {name: _lines(name, room) for name in dag.order}
    told = {name: _told(worth.get(name), kinds[name], room) for name in dag.order}
    if any(len(several) + bool(told[name]) > 2 for name, several in names.items()):
        found = arranged(_HIGH)
    boxes = [
        {
            "node": name,
            "x": found.places[name][0],
            "y": found.places[name][1],
            "name": "\n".join(names[name]),
            "told": told[name],
            "kind": kinds[name],
            "label": worth[name].label if name in worth else "",
        }
        for name in dag.order
    ]
    return CausePicture(
        pd.DataFrame(boxes), pd.DataFrame(_texts(boxes)), *_arrows(found, dag.latent), found.box, float(width), found.height
    )  # fmt: skip


def _texts(boxes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Place the lines of each box, centred together."""
    found = []
    for box in boxes:
        several = [(text, "name") for text in box["name"].split("\n")] + [(box["told"], "told")] * bool(box["told"])
        for i, (text, role) in enumerate(several):
            down = (i - (len(several) - 1) / 2) * _LINE + (role == "told") * 2.0
            found.append(
                {
                    "node": box["node"], "x": box["x"], "y": box["y"] + down, "text": text, "role": role,
                    "label": box["label"],
                }
            )  # fmt: skip
    return found


def _arrows(found: Arrangement, latent: frozenset[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    import pandas as pd

    lines = [
        {"arrow": k, "order": i, "x": x, "y": y, "hidden": edge[0] in latent}
        for k, (edge, points) in enumerate(found.arrows.items())
        for i, (x, y) in enumerate(points)
    ]
    heads = [
        {"x": points[-1][0], "y": points[-1][1], "angle": 180.0 if found.upright else 90.0, "hidden": edge[0] in latent}
        for edge, points in found.arrows.items()
    ]
    return (
        pd.DataFrame(lines, columns=["arrow", "order", "x", "y", "hidden"]),
        pd.DataFrame(heads, columns=["x", "y", "angle", "hidden"]).drop_duplicates(ignore_index=True),
    )


def _kind(name: str, network: CauseNetwork) -> str:
    if name == OUTCOME:
        return "churn"
    if name in network.dag.latent:
        return "latent"
    return "moves" if name in {node.name for node in network.moving} else "cause"


def _told(effect: Effect | None, kind: str, room: float) -> str:
    """Customers kept per thousand, or why not; of a cause without an effect what is special about it."""
    if effect is None:
        return {"latent": "not in the data", "moves": "known later"}.get(kind, "")
    if not effect.identification.identified:
        return "not identified"
    import numpy as np

    draws = effect.draws("avoided_per_thousand")[:, 0]
    if not np.isfinite(draws).all():
        return "not told"
    low, high = (round(float(edge)) for edge in np.quantile(draws, [0.05, 0.95]))
    worse = high < 0
    bounds = f"{-high} to {-low}" if worse else f"{low} to {high}".replace("-", _MINUS)
    if effect.alone:
        return f"{bounds} {'more' if worse else 'fewer'}"
    whole = f"{'loses' if worse else 'keeps'} {bounds}"
    return whole if worse or _wide(whole, _SMALL) <= room else bounds


def _wide(text: str, size: float) -> float:
    """Width of a text in pixels, at most."""

    def ems(letter: str) -> float:
        if letter.isascii() or letter == _ELLIPSIS:
            return next((width for letters, width in _WIDTHS if letter in letters), 0.62)
        return 1.0 if unicodedata.east_asian_width(letter) in "WF" else 0.75

    return size * sum(map(ems, text))


def _lines(name: str, room: float) -> tuple[str, ...]:
    """Write a name on one line or two, and cut it where that is not enough."""
    text = clean_text(" ".join(name.split()))
    if _wide(text, _BOLD) <= room:
        return (text,)
    # A name may break behind a space, a hyphen or an underscore.
    parts = re.findall(r"[^ _-]*[ _-]|[^ _-]+$", text)
    n = max((k for k in range(len(parts)) if _wide("".join(parts[:k]).rstrip(), _BOLD) <= room), default=0)
    first = "".join(parts[:n]).strip()
    return (first, _cut("".join(parts[n:]), room)) if first else (_cut(text, room),)


def _cut(text: str, room: float) -> str:
    if _wide(text, _BOLD) <= room:
        return text
    n = max(k for k in range(len(text)) if k == 1 or _wide(text[:k] + _ELLIPSIS, _BOLD) <= room)
    return text[:n].rstrip() + _ELLIPSIS


def plot_causes(
    network: CauseNetwork, effects: Mapping[str, Effect] | None = None, *, width: int = WIDE
) -> alt.LayerChart:
    """Draw :func:`causes_data`: boxes from causes to churn; a latent cause and its arrows are orange, the arrows dashed.

    Arrows that end at the same box run together; those of a latent cause stay apart.

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
    down = alt.Scale(domain=[picture.height, 0], nice=False, zero=False)
    x, y = alt.X("x:Q", scale=across, axis=None), alt.Y("y:Q", scale=down, axis=None)
    dash = alt.condition(alt.datum.hidden, alt.value([4, 3]), alt.value([1, 0]))
    ink = alt.condition(alt.datum.hidden, alt.value(VERMILION), alt.value(MUTED))
    lines = (
        alt.Chart(picture.arrows)
        .mark_line(strokeWidth=1.5, strokeJoin="round")
        .encode(x=x, y=y, detail="arrow:N", order="order:Q", strokeDash=dash, color=ink)
    )
    heads = (
        alt.Chart(picture.heads)
        .mark_point(shape="triangle", filled=True, size=_HEAD**2, opacity=1)
        .encode(x=x, y=y, angle=alt.Angle("angle:Q", scale=None), color=ink)
    )
    layers = [lines, heads, _boxes(picture, across, down), *_words(picture, x, y)]
    heading: dict[str, Any] = {}
    if effects:
        alone = next(iter(effects.values())).alone
        heading["title"] = alt.TitleParams(
            "What each cause is worth", subtitle=_subtitle(picture, alone), color=INK, subtitleColor=MUTED
        )
    return finish(layered(layers, width=int(picture.width), height=math.ceil(picture.height), **heading))


def _boxes(picture: CausePicture, across: alt.Scale, down: alt.Scale) -> alt.Chart:
    import altair as alt

    half = (picture.box[0] / 2, picture.box[1] / 2)
    framed = picture.boxes.assign(
        left=picture.boxes["x"] - half[0], right=picture.boxes["x"] + half[0],
        top=picture.boxes["y"] - half[1], bottom=picture.boxes["y"] + half[1],
    )  # fmt: skip
    kinds = ["cause", "moves", "latent", "churn"]
    fill = alt.Scale(domain=kinds, range=["white", "#dcebf7", "#fbf1ea", GRID])
    edge = alt.Scale(domain=kinds, range=[BLUE, BLUE, VERMILION, INK])
    chart: alt.Chart = (
        alt.Chart(framed[["left", "right", "top", "bottom", "kind"]])
        .mark_rect(strokeWidth=1.5, cornerRadius=5)
        .encode(
            x=alt.X("left:Q", scale=across, axis=None), x2="right:Q",
            y=alt.Y("top:Q", scale=down, axis=None), y2="bottom:Q",
            fill=alt.Fill("kind:N", scale=fill, legend=None), stroke=alt.Stroke("kind:N", scale=edge, legend=None),
        )
    )  # fmt: skip
    return chart


def _words(picture: CausePicture, x: alt.X, y: alt.Y) -> tuple[alt.Chart, alt.Chart]:
    import altair as alt

    base = alt.Chart(picture.lines[["x", "y", "text", "role", "label"]]).encode(x=x, y=y, text="text:N")
    color = alt.condition(alt.datum.label == "not identified", alt.value(VERMILION), alt.value(INK))
    return (
        base.transform_filter(alt.datum.role == "name").mark_text(fontWeight="bold", fontSize=_BOLD),
        base.transform_filter(alt.datum.role == "told").mark_text(fontSize=_SMALL).encode(color=color),
    )


def _subtitle(picture: CausePicture, alone: str) -> list[str]:
    what = f"who leave by {clean_text(alone, longest=20)} fewer" if alone else "kept"
    said = [f"customers {what} of 1,000,", "if this cause alone were as good as it can be (90 % interval)"]
    if picture.width > NARROW:
        said = [" ".join(said)]
    elif not alone:
        said = ["customers kept of 1,000, if this cause alone", "were as good as it can be (90 % interval)"]
    if (picture.boxes["kind"] == "moves").any():
        said.append("shaded blue: known later, while at risk")
    return said
