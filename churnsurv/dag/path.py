"""Paths between two nodes of a graph, and which of them are open."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from churnsurv.dag.names import ARROW

if TYPE_CHECKING:
    from churnsurv.dag.graph import Dag

_Arrival = tuple[str, bool]
"""Node, and whether the arrow before it points to it."""


@dataclass(frozen=True, repr=False)
class Path:
    """Nodes one after the other, each joined with the next by an edge, whichever way it points.

    Made by :meth:`Dag.paths` and :meth:`Dag.open_path`; ``str(path)`` is ``"late <- hidden -> churn"``.

    Parameters
    ----------
    nodes : tuple of str
        From the start to the end, each once.
    forward : tuple of bool
        Whether each edge points away from the start; one less than there are nodes.
    blocked_by : tuple of str
        Nodes at which the path is blocked, in order: those conditioned on, and colliders of which no descendant is.

    References
    ----------
    .. [1] Pearl, J. (2009). *Causality*, 2nd ed., definition 1.2.3. Cambridge University Press.

    Examples
    --------
    >>> path = Path(("wait", "hidden", "churn"), (False, True))
    >>> str(path), path.open, path.back_door, path.causal
    ('wait <- hidden -> churn', True, True, False)
    """

    nodes: tuple[str, ...]
    forward: tuple[bool, ...]
    blocked_by: tuple[str, ...] = ()

    @property
    def open(self) -> bool:
        """Whether association passes."""
        return not self.blocked_by

    @property
    def causal(self) -> bool:
        """Whether all edges point away from the start."""
        return all(self.forward)

    @property
    def back_door(self) -> bool:
        """Whether the first edge points to the start."""
        return not self.forward[0]

    @property
    def colliders(self) -> tuple[str, ...]:
        """Nodes to which both neighbours on the path point, in order."""
        inner = zip(self.nodes[1:-1], self.forward[:-1], self.forward[1:], strict=True)
        return tuple(node for node, before, after in inner if before and not after)

    @property
    def between(self) -> tuple[str, ...]:
        """Nodes between start and end that are no colliders, in order."""
        colliders = self.colliders
        return tuple(node for node in self.nodes[1:-1] if node not in colliders)

    def __str__(self) -> str:
        """Return the names with arrows between them."""
        arrows = [f" {ARROW} " if away else " <- " for away in self.forward]
        return self.nodes[0] + "".join(arrow + node for arrow, node in zip(arrows, self.nodes[1:], strict=True))

    def __repr__(self) -> str:
        """Return the path and where it is blocked."""
        state = "open" if self.open else f"blocked by {', '.join(self.blocked_by)}"
        return f"Path({self}: {state})"


def trace(dag: Dag, nodes: Iterable[str], given: AbstractSet[str]) -> Path:
    """Path along given nodes, with the places at which it is blocked.

    Parameters
    ----------
    dag : Dag
        The graph; consecutive nodes are joined in it.
    nodes : iterable of str
        From the start to the end.
    given : set of str
        Nodes conditioned on.

    Returns
    -------
    Path
        The path.
    """
    way = tuple(nodes)
    path = Path(way, tuple(after in dag.children(node) for node, after in pairwise(way)))
    opened = dag.ancestral(given)
    colliders = path.colliders
    blocked = [node for node in way[1:-1] if (node not in opened if node in colliders else node in given)]
    return Path(path.nodes, path.forward, tuple(blocked))


def shortest_path(
    dag: Dag,
    starts: AbstractSet[str],
    ends: AbstractSet[str],
    *,
    closed: AbstractSet[str],
    opened: AbstractSet[str],
) -> Path | None:
    """Shortest path that no node blocks; the first in the order of declaration of several.

    A breadth-first search over nodes and the direction of arrival. The shortest open walk visits no node twice, as
    long as ``opened`` holds the ancestors of its members: leaving out what lies between two visits keeps it open.

    Parameters
    ----------
    dag : Dag
        The graph.
    starts, ends : set of str
        Where the path begins and ends; disjoint.
    closed : set of str
        Nodes that block unless they are colliders.
    opened : set of str
        Nodes that do not block when they are colliders, with all their ancestors.

    Returns
    -------
    Path or None
        None if every path is blocked.

    References
    ----------
    .. [1] Shachter, R. D. (1998). Bayes-ball: the rational pastime. *Proceedings of UAI 14*, 480–487.
    """
    before: dict[_Arrival, _Arrival | None] = {}
    todo: deque[tuple[_Arrival, bool]] = deque()
    for start in sorted(starts, key=dag.position):
        before[start, False] = None
        todo.append(((start, False), True))
    while todo:
        here, is_start = todo.popleft()
        for after, forward in dag.steps(here[0]):
            passes = here[0] in opened if here[1] and not forward else here[0] not in closed
            if not (is_start or passes) or (after, forward) in before or after in starts:
                continue
            before[after, forward] = here
            if after in ends:
                return _walked_back(before, (after, forward))
            todo.append(((after, forward), False))
    return None


def _walked_back(before: dict[_Arrival, _Arrival | None], last: _Arrival) -> Path:
    way = [last]
    while (previous := before[way[-1]]) is not None:
        way.append(previous)
    way.reverse()
    return Path(tuple(node for node, _ in way), tuple(forward for _, forward in way[1:]))


def directed_path(dag: Dag, start: str, end: str, *, avoiding: AbstractSet[str] = frozenset()) -> Path:
    """Shortest path of arrows from one node to another; there is one.

    Parameters
    ----------
    dag : Dag
        The graph.
    start, end : str
        A node and a descendant of it.
    avoiding : set of str
        Nodes the path does not pass.

    Returns
    -------
    Path
        Of several of equal length the first in the order of declaration.
    """
    before: dict[str, str] = {}
    todo = [start]
    for node in todo:
        for after in dag.children(node):
            if after not in before and after not in avoiding:
                before[after] = node
                todo.append(after)
    way = [end]
    while way[-1] != start:
        way.append(before[way[-1]])
    return Path(tuple(reversed(way)), (True,) * (len(way) - 1))
