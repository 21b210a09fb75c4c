"""Where the nodes of a graph stand and how its arrows run: in layers from causes to effects."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

_SWEEPS: Final = 12
_BEND: Final = "\0"
"""First letter of the name of a place where a long arrow passes a layer."""


@dataclass(frozen=True)
class Layout:
    """Who stands beside whom.

    Parameters
    ----------
    layers : tuple of tuple of str
        Nodes of each layer, and places where long arrows pass it, in order.
    arrows : mapping of (str, str) to tuple of str
        What each arrow passes, its two nodes included.
    """

    layers: tuple[tuple[str, ...], ...]
    arrows: Mapping[tuple[str, str], tuple[str, ...]]


def is_bend(name: str) -> bool:
    """Tell whether a name is that of a place where an arrow passes a layer."""
    return name.startswith(_BEND)


def lay_out(order: Sequence[str], edges: Sequence[tuple[str, str]]) -> Layout:
    """Place a directed acyclic graph in layers (Sugiyama, Tagawa and Toda 1981).

    A node stands as far right as its longest path from a root is long; a root next to its first effect. Arrows that pass
    layers get a place in each, and places within a layer are ordered by the average of their neighbours until fewer arrows
    cross in none of a dozen sweeps.

    Parameters
    ----------
    order : sequence of str
        Nodes, causes before effects.
    edges : sequence of (str, str)
        Arrows.

    Examples
    --------
    >>> drawn = lay_out(["late", "wait", "churn"], [("late", "wait"), ("wait", "churn"), ("late", "churn")])
    >>> [[name for name in layer if not is_bend(name)] for layer in drawn.layers], len(drawn.arrows["late", "churn"])
    ([['late'], ['wait'], ['churn']], 3)
    """
    layer = _layers(order, edges)
    chains = {edge: _chain(edge, layer) for edge in edges}
    for chain in chains.values():
        for k, bend in enumerate(chain[1:-1]):
            layer[bend] = layer[chain[0]] + k + 1
    rows: list[list[str]] = [[] for _ in range(max(layer.values(), default=0) + 1)]
    for name in [*order, *(bend for chain in chains.values() for bend in chain[1:-1])]:
        rows[layer[name]].append(name)
    links = [pair for chain in chains.values() for pair in itertools.pairwise(chain)]
    ordered = _ordered(rows, links)
    return Layout(tuple(tuple(row) for row in ordered), {edge: tuple(chain) for edge, chain in chains.items()})


def _layers(order: Sequence[str], edges: Sequence[tuple[str, str]]) -> dict[str, int]:
    layer = dict.fromkeys(order, 0)
    for name in order:
        layer[name] = max((layer[a] + 1 for a, b in edges if b == name), default=0)
    for name in reversed(order):
        effects = [layer[b] for a, b in edges if a == name]
        if effects and not any(b == name for _, b in edges):
            layer[name] = min(effects) - 1
    return layer


def _chain(edge: tuple[str, str], layer: Mapping[str, int]) -> list[str]:
    start, end = edge
    return [start, *(f"{_BEND}{start}{_BEND}{end}{_BEND}{k}" for k in range(layer[start] + 1, layer[end])), end]


def _ordered(rows: list[list[str]], links: Sequence[tuple[str, str]]) -> list[list[str]]:
    best, fewest = rows, _crossings(rows, links)
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
        n = _crossings(rows, links)
        if n < fewest:
            best, fewest = rows, n
    return best


def _crossings(rows: Sequence[Sequence[str]], links: Sequence[tuple[str, str]]) -> int:
    where = {name: (k, i) for k, row in enumerate(rows) for i, name in enumerate(row)}
    ends = [(where[a], where[b]) for a, b in links]
    return sum(
        p[0] == q[0] and (p[1] - q[1]) * (r[1] - s[1]) < 0
        for i, (p, r) in enumerate(ends)
        for q, s in ends[i + 1 :]
    )  # fmt: skip
