"""Edges as a person writes them: pairs, texts with arrows, and what cannot be an edge."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from churnsurv.dag.names import ARROW, check_known
from churnsurv.errors import GraphError

Edge = tuple[str, str]
"""Cause and effect."""

EdgeText = str | tuple[str, str] | Sequence[str]
"""``("late", "wait")``, ``"late -> wait"``, or a chain ``"late -> wait -> rating"``."""


def read_edges(edges: EdgeText | Iterable[EdgeText]) -> tuple[Edge, ...]:
    """Edges as pairs, in the order written.

    Parameters
    ----------
    edges : text, or iterable of pairs and texts
        A chain stands for its edges.

    Returns
    -------
    tuple of pairs of str
        Cause and effect of each edge.

    Raises
    ------
    GraphError
        If one is neither a pair nor a text with an arrow.

    Examples
    --------
    >>> read_edges([("late", "wait"), "wait -> rating -> churn"])
    (('late', 'wait'), ('wait', 'rating'), ('rating', 'churn'))
    """
    several = [edges] if isinstance(edges, str) or not isinstance(edges, Iterable) else edges
    return tuple(pair for edge in several for pair in _read_edge(edge))


def _read_edge(edge: object) -> list[Edge]:
    hint = 'write ("late", "wait"), "late -> wait" or "late -> wait -> rating"; a node without edges goes to nodes=.'
    if isinstance(edge, str):
        names = [name.strip() for name in edge.split(ARROW)]
        if len(names) < 2 or not all(names):
            raise GraphError(f"{edge!r} is no edge: an arrow has a name on both sides.", hint=hint)
        return list(pairwise(names))
    pair = edge if isinstance(edge, (tuple, list)) and len(edge) == 2 else ()
    if not pair or not all(isinstance(name, str) for name in pair):
        raise GraphError(f"{edge!r} is no edge: it is neither a pair of names nor a text with an arrow.", hint=hint)
    return [(pair[0], pair[1])]


def check_edges(edges: Sequence[Edge], nodes: Sequence[str]) -> None:
    """Refuse edges that cannot be.

    Parameters
    ----------
    edges : sequence of pairs of str
        Cause and effect of each edge.
    nodes : sequence of str
        All nodes.

    Raises
    ------
    GraphError
        If an edge joins unknown nodes or a node with itself, stands twice, or is part of a cycle.

    Examples
    --------
    >>> check_edges([("wait", "late"), ("late", "wait")], ["late", "wait"])
    Traceback (most recent call last):
        ...
    churnsurv.errors.GraphError: the edges go in a circle: late -> wait -> late.
    Nothing in it would be first, and nobody could say what is a cause of what.
    Hint: leave out one of these edges, or make two nodes of two moments: "rating before", "rating after".
    """
    check_known(dict.fromkeys(node for edge in edges for node in edge), nodes)
    loops = [cause for cause, effect in edges if cause == effect]
    if loops:
        raise GraphError(f"{loops[0]!r} points to itself: {loops[0]} -> {loops[0]}.", hint="leave this edge out.")
    twice = list(dict.fromkeys(edge for edge in edges if list(edges).count(edge) > 1))
    if twice:
        raise GraphError(
            f"{len(twice)} of {len(set(edges))} edges are there twice: {', '.join(' -> '.join(edge) for edge in twice)}.",
            count=len(twice),
            total=len(set(edges)),
            hint="write each edge once.",
        )
    _check_acyclic(edges, nodes)


def _check_acyclic(edges: Sequence[Edge], nodes: Sequence[str]) -> None:
    import networkx as nx

    graph = nx.DiGraph(edges)
    if nx.is_directed_acyclic_graph(graph):
        return
    circle = [cause for cause, _ in nx.find_cycle(graph)]
    first = min(range(len(circle)), key=lambda i: nodes.index(circle[i]))
    round_trip = [*circle[first:], *circle[:first], circle[first]]
    raise GraphError(
        f"the edges go in a circle: {' -> '.join(round_trip)}.",
        consequence="Nothing in it would be first, and nobody could say what is a cause of what.",
        hint='leave out one of these edges, or make two nodes of two moments: "rating before", "rating after".',
    )
