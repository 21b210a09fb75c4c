"""Where the nodes of a graph stand and how its arrows run: in layers from causes to effects."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

Point = tuple[float, float]

WIDEST: Final = 128.0
"""Width of a box where there is room, in pixels."""

_READABLE: Final = 88.0
_GAP: Final = 40.0
_PASS: Final = 22.0
_NARROWEST_PASS: Final = 12.0
_SIDE: Final = 10.0
_PORT: Final = 10.0
_HEAD: Final = 8.0
_TIP: Final = 3.0
_STEP: Final = 5.0
_SWEEPS: Final = 12
_BEND: Final = "\0"
"""First letter of the name of a place where long arrows pass a layer."""


@dataclass(frozen=True)
class Layout:
    """Who stands beside whom.

    Parameters
    ----------
    layers : tuple of tuple of str
        Nodes of each layer, and places where long arrows pass it, in order.
    arrows : mapping of (str, str) to tuple of str
        What each arrow passes, its two nodes included. Arrows to the same node share their places.
    """

    layers: tuple[tuple[str, ...], ...]
    arrows: Mapping[tuple[str, str], tuple[str, ...]]


@dataclass(frozen=True, eq=False)
class Arrangement:
    """Boxes and arrows in pixels, from the upper left corner.

    Parameters
    ----------
    places : mapping of str to (float, float)
        Middle of each node's box.
    box : (float, float)
        Width and height of a box.
    arrows : mapping of (str, str) to tuple of (float, float)
        Points of each arrow in order; the last one is its head.
    height : float
        Of the drawing.
    upright : bool
        Whether causes stand above their effects, and not left of them.
    """

    places: Mapping[str, Point]
    box: Point
    arrows: Mapping[tuple[str, str], tuple[Point, ...]]
    height: float
    upright: bool


def is_bend(name: str) -> bool:
    """Tell whether a name is that of a place where arrows pass a layer."""
    return name.startswith(_BEND)


def lay_out(
    order: Sequence[str], edges: Sequence[tuple[str, str]], *, apart: Collection[str] = (), most: int | None = None
) -> Layout:
    """Place a directed acyclic graph in layers (Sugiyama, Tagawa and Toda 1981).

    A node stands as far right as its longest path from a root is long; a root next to its first effect. Arrows that pass
    layers get a place in each, the same one for all that end at the same node, and places within a layer are ordered by
    the average of their neighbours: of a dozen sweeps the order with the fewest crossings is kept.

    Parameters
    ----------
    order : sequence of str
        Nodes, causes before effects.
    edges : sequence of (str, str)
        Arrows.
    apart : collection of str
        Nodes whose arrows share no place with others.
    most : int, optional
        Nodes that a layer may hold, >= 1; a larger one becomes several.

    Returns
    -------
    Layout
        Layers, and what each arrow passes.

    References
    ----------
    .. [1] Sugiyama, K., Tagawa, S. and Toda, M. (1981). Methods for visual understanding of hierarchical system
       structures. *IEEE Transactions on Systems, Man, and Cybernetics* 11(2), 109–125.

    Examples
    --------
    >>> drawn = lay_out(["late", "wait", "churn"], [("late", "wait"), ("wait", "churn"), ("late", "churn")])
    >>> [[name for name in layer if not is_bend(name)] for layer in drawn.layers], len(drawn.arrows["late", "churn"])
    ([['late'], ['wait'], ['churn']], 3)
    """
    layer = _layers(order, edges)
    if most is not None:
        layer = _split(layer, most)
    chains = {edge: _chain(edge, layer, edge[0] in apart) for edge in edges}
    for (start, _), chain in chains.items():
        layer |= {bend: layer[start] + k + 1 for k, bend in enumerate(chain[1:-1])}
    rows: list[list[str]] = [[] for _ in range(max(layer.values(), default=0) + 1)]
    for name, k in layer.items():
        rows[k].append(name)
    links = list(dict.fromkeys(pair for chain in chains.values() for pair in itertools.pairwise(chain)))
    return Layout(tuple(tuple(row) for row in _ordered(rows, links)), chains)


def _layers(order: Sequence[str], edges: Sequence[tuple[str, str]]) -> dict[str, int]:
    layer = dict.fromkeys(order, 0)
    for name in order:
        layer[name] = max((layer[a] + 1 for a, b in edges if b == name), default=0)
    for name in reversed(order):
        effects = [layer[b] for a, b in edges if a == name]
        if effects and not any(b == name for _, b in edges):
            layer[name] = min(effects) - 1
    return layer


def _split(layer: Mapping[str, int], most: int) -> dict[str, int]:
    """Make several layers of one that is too full; between its nodes there is no arrow that could turn back."""
    found: dict[str, int] = {}
    first = 0
    for k in sorted(set(layer.values())):
        names = [name for name in layer if layer[name] == k]
        n = -(-len(names) // most)
        found |= {name: first + i * n // len(names) for i, name in enumerate(names)}
        first += n
    return {name: found[name] for name in layer}


def _chain(edge: tuple[str, str], layer: Mapping[str, int], apart: bool) -> tuple[str, ...]:
    start, end = edge
    shared = f"{_BEND}{start if apart else ''}{_BEND}{end}{_BEND}"
    return start, *(f"{shared}{k}" for k in range(layer[start] + 1, layer[end])), end


def _ordered(rows: list[list[str]], links: Sequence[tuple[str, str]]) -> list[list[str]]:
    best, fewest = rows, crossings(rows, links)
    for sweep in range(_SWEEPS):
        forward = sweep % 2 == 0
        rows = [list(row) for row in rows]
        for k in range(1, len(rows)) if forward else range(len(rows) - 2, -1, -1):
            fixed = rows[k - 1] if forward else rows[k + 1]
            where = {name: (i + 0.5) / len(fixed) for i, name in enumerate(fixed)}
            here = {name: (i + 0.5) / len(rows[k]) for i, name in enumerate(rows[k])}

            def centre(name: str, where: Mapping[str, float] = where, here: Mapping[str, float] = here) -> float:
                near = [where[a] for a, b in links if b == name and a in where]
                near += [where[b] for a, b in links if a == name and b in where]
                return sum(near) / len(near) if near else here[name]

            rows[k].sort(key=centre)
        n = crossings(rows, links)
        if n < fewest:
            best, fewest = rows, n
    return best


def crossings(rows: Sequence[Sequence[str]], links: Iterable[tuple[str, str]]) -> int:
    """Count pairs of links between two neighbouring layers that cross.

    Parameters
    ----------
    rows : sequence of sequence of str
        Layers.
    links : iterable of (str, str)
        From one layer to the next.

    Examples
    --------
    >>> crossings([["a", "b"], ["c", "d"]], [("a", "d"), ("b", "c")])
    1
    """
    where = {name: (k, i) for k, row in enumerate(rows) for i, name in enumerate(row)}
    ends = [(where[a], where[b]) for a, b in links]
    return sum(
        p[0] == q[0] and (p[1] - q[1]) * (r[1] - s[1]) < 0
        for i, (p, r) in enumerate(ends)
        for q, s in ends[i + 1 :]
    )  # fmt: skip


def arrange(
    order: Sequence[str],
    edges: Sequence[tuple[str, str]],
    *,
    width: float,
    high: float,
    upright: bool,
    apart: Collection[str] = (),
) -> Arrangement:
    """Place boxes and arrows so that no box is too narrow to be read and no arrow passes over one.

    Arrows leave a box where causes flow to and enter it where they come from, bend only between layers, and run straight
    through those they pass.

    Parameters
    ----------
    order : sequence of str
        Nodes, causes before effects.
    edges : sequence of (str, str)
        Arrows.
    width : float
        Of the drawing in pixels.
    high : float
        Of a box.
    upright : bool
        Whether causes must stand above their effects; if not, they do where layers are too many to stand side by side.
    apart : collection of str
        Nodes whose arrows share no place with others.

    Returns
    -------
    Arrangement
        In pixels.

    Examples
    --------
    >>> found = arrange(["late", "churn"], [("late", "churn")], width=640, high=46, upright=False)
    >>> found.places, found.height
    ({'late': (64.0, 34.0), 'churn': (576.0, 34.0)}, 68.0)
    """
    drawn = lay_out(order, edges, apart=apart)
    n = len(drawn.layers)
    wide = min(WIDEST, (width - (n - 1) * _GAP) / n)
    if upright or wide < _READABLE:
        return _upright(order, edges, width, high, apart)
    flow = [wide / 2 + k * (width - wide) / max(n - 1, 1) for k in range(n)]
    slots = [[_PASS if is_bend(name) else high + _PASS for name in layer] for layer in drawn.layers]
    tall = max(sum(layer) for layer in slots)
    places = _spread(drawn, flow, slots, tall)
    arrows = _routes(drawn, places, (wide, high))
    return Arrangement({name: places[name] for name in order}, (wide, high), arrows, tall, upright=False)


def _upright(
    order: Sequence[str], edges: Sequence[tuple[str, str]], width: float, high: float, apart: Collection[str]
) -> Arrangement:
    """Causes above their effects, with as many beside each other as can be read."""
    for most in range(len(order), 0, -1):
        drawn = lay_out(order, edges, apart=apart, most=most)
        if _room(drawn, width, _NARROWEST_PASS) >= _READABLE:
            break
    wide = max(min(WIDEST, _room(drawn, width, _PASS)), _READABLE)
    slots = []
    for layer in drawn.layers:
        n_bends = sum(map(is_bend, layer))
        left = width - (len(layer) - n_bends) * (wide + _SIDE)
        slots.append([min(_PASS, left / n_bends) if is_bend(name) else wide + _SIDE for name in layer])
    flow = [high / 2 + k * (high + _GAP) for k in range(len(slots))]
    turned = _spread(drawn, flow, slots, width)
    arrows = {edge: _turned(points) for edge, points in _routes(drawn, turned, (high, wide)).items()}
    tall = high + (len(slots) - 1) * (high + _GAP)
    return Arrangement({name: turned[name][::-1] for name in order}, (wide, high), arrows, tall, upright=True)


def _turned(points: Iterable[Point]) -> tuple[Point, ...]:
    return tuple((x, y) for y, x in points)


def _room(drawn: Layout, width: float, bend: float) -> float:
    """Width of a box in the fullest layer."""
    counts = [(sum(map(is_bend, layer)), len(layer)) for layer in drawn.layers]
    return min((width - n_bends * bend) / (n - n_bends) - _SIDE for n_bends, n in counts)


def _spread(drawn: Layout, flow: Sequence[float], slots: Sequence[Sequence[float]], total: float) -> dict[str, Point]:
    """Middle of each place, along and across the flow, every layer centred."""
    places = {}
    for layer, along, sizes in zip(drawn.layers, flow, slots, strict=True):
        at = (total - sum(sizes)) / 2
        for name, size in zip(layer, sizes, strict=True):
            places[name] = (along, at + size / 2)
            at += size
    return places


def _routes(drawn: Layout, places: Mapping[str, Point], box: Point) -> dict[tuple[str, str], tuple[Point, ...]]:
    """Points of each arrow, along and across the flow."""
    half = box[0] / 2
    out, into = _ports(drawn, places, box[1], 0), _ports(drawn, places, box[1], -1)
    found = {}
    for edge, chain in drawn.arrows.items():
        start, end = places[edge[0]], places[edge[1]]
        points = [(start[0] + half, start[1] + out[edge[0], chain[1]])]
        for bend in chain[1:-1]:
            along, across = places[bend]
            points += [*_curve(points[-1], (along - half, across)), (along + half, across)]
        tip = (end[0] - half - _TIP, end[1] + into[edge[1], chain[-2]])
        # The last pixels are straight, so that every head points with the flow.
        found[edge] = (*points, *_curve(points[-1], (tip[0] - _HEAD, tip[1])), tip)
    return found


def _ports(drawn: Layout, places: Mapping[str, Point], side: float, end: int) -> dict[tuple[str, str], float]:
    """Where on the side of its box each arrow begins (``end=0``) or ends (``end=-1``), from the middle."""
    beside = 1 if end == 0 else -2
    near: dict[str, dict[str, float]] = {}
    for chain in drawn.arrows.values():
        near.setdefault(chain[end], {})[chain[beside]] = places[chain[beside]][1]
    found = {}
    for name, across in near.items():
        step = min(_PORT, (side - _PORT) / len(across))
        for i, other in enumerate(sorted(across, key=across.__getitem__)):
            found[name, other] = (i - (len(across) - 1) / 2) * step
    return found


def _curve(start: Point, end: Point) -> list[Point]:
    """From one place to another, straight with the flow at both, without the start."""
    if start[1] == end[1]:
        return [end]
    n = math.ceil(math.dist(start, end) / _STEP)
    return [
        (start[0] + k / n * (end[0] - start[0]), start[1] + (3 - 2 * k / n) * (k / n) ** 2 * (end[1] - start[1]))
        for k in range(1, n)
    ] + [end]
