"""Sets of nodes that separate others: the smallest one, and all minimal ones.

Within the ancestors of what is to be separated, a set separates in the directed graph exactly if it separates in the
moral graph, in which parents of one child are joined and arrows are lines; and every minimal separator lies there.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from itertools import combinations
from typing import Any

from churnsurv.dag.graph import Dag
from churnsurv.errors import NetworkSizeError

MOST_CANDIDATES = 15
"""All sets of fifteen nodes are 32,768."""


def _moral_graph(dag: Dag, ends: AbstractSet[str], included: AbstractSet[str]) -> Any:
    """Lines between ancestors of everything named, without the nodes that are conditioned on anyway."""
    import networkx as nx

    graph = nx.Graph(nx.moral_graph(dag.digraph.subgraph(dag.ancestral(ends | included))))
    graph.remove_nodes_from(included)
    return graph


def _cut_size(graph: Any, a: AbstractSet[str], b: AbstractSet[str], candidates: AbstractSet[str]) -> int | None:
    """How many candidates must be taken out to part ``a`` from ``b``; None if all are not enough (Menger 1927)."""
    import networkx as nx

    rest = graph.subgraph(set(graph) - candidates)
    if any(not b.isdisjoint(nx.node_connected_component(rest, node)) for node in a):
        return None
    flow = nx.DiGraph()
    for node in graph:
        flow.add_edge((node, "in"), (node, "out"), **({"capacity": 1} if node in candidates else {}))
    for one, other in graph.edges:
        flow.add_edge((one, "out"), (other, "in"))
        flow.add_edge((other, "out"), (one, "in"))
    flow.add_edges_from(("start", (node, "in")) for node in a)
    flow.add_edges_from(((node, "out"), "end") for node in b)
    return int(nx.maximum_flow_value(flow, "start", "end"))


def smallest_separator(
    dag: Dag,
    a: AbstractSet[str],
    b: AbstractSet[str],
    *,
    candidates: AbstractSet[str],
    included: AbstractSet[str] = frozenset(),
) -> tuple[str, ...] | None:
    """Smallest set of candidates that d-separates ``a`` from ``b`` together with ``included``.

    Parameters
    ----------
    dag : Dag
        The graph.
    a, b : set of str
        What is to be separated; disjoint.
    candidates : set of str
        Nodes that may be taken; none of ``a`` or ``b``.
    included : set of str
        Nodes conditioned on anyway.

    Returns
    -------
    tuple of str or None
        Of several smallest ones the one whose nodes are declared first, without ``included``; None if there is none.

    References
    ----------
    .. [1] Van der Zander, B., Liśkiewicz, M. and Textor, J. (2019). Separators and adjustment sets in causal graphs:
       complete criteria and an algorithmic framework. *Artificial Intelligence*, 270, 1–40; section 4.

    Examples
    --------
    >>> dag = Dag.from_edges(["late -> wait -> churn", "late -> rating -> churn"])
    >>> smallest_separator(dag, {"late"}, {"churn"}, candidates={"wait", "rating"})
    ('wait', 'rating')
    """
    graph = _moral_graph(dag, a | b, included)
    able = (candidates - included) & set(graph)
    missing = _cut_size(graph, a, b, able)
    if missing is None:
        return None
    chosen: list[str] = []
    for node in dag.in_order(able):
        if missing == 0:
            break
        rest = graph.subgraph(set(graph) - {node})
        if _cut_size(rest, a, b, able - {node}) == missing - 1:
            chosen.append(node)
            graph, missing = rest, missing - 1
    return tuple(chosen)


def minimal_separators(
    dag: Dag,
    a: AbstractSet[str],
    b: AbstractSet[str],
    *,
    candidates: AbstractSet[str],
    included: AbstractSet[str] = frozenset(),
) -> list[tuple[str, ...]]:
    """All sets of candidates that d-separate ``a`` from ``b`` together with ``included`` and of which none can be spared.

    Parameters
    ----------
    dag, a, b, candidates, included
        As :func:`smallest_separator`.

    Returns
    -------
    list of tuple of str
        Small ones first, then in the order of declaration; without ``included``. Empty if there is none.

    Raises
    ------
    NetworkSizeError
        If there are more than 15 candidates among the ancestors.

    Examples
    --------
    >>> dag = Dag.from_edges("late -> wait -> rating -> churn")
    >>> minimal_separators(dag, {"late"}, {"churn"}, candidates={"wait", "rating"})
    [('wait',), ('rating',)]
    """
    graph = _moral_graph(dag, a | b, included)
    able = dag.in_order((candidates - included) & set(graph))
    if len(able) > MOST_CANDIDATES:
        raise NetworkSizeError(
            f"{len(able)} nodes could be adjusted for; all their sets are {2 ** len(able):,}.",
            count=len(able),
            hint=f"identify_effect finds the smallest of them in a graph of any size; all are listed up to "
            f"{MOST_CANDIDATES} nodes.",
        )
    bit = {node: 1 << i for i, node in enumerate([*able, *sorted(set(graph) - set(able))])}
    lines = [sum(bit[other] for other in graph[node]) for node in bit]
    start, end = sum(bit[node] for node in a), sum(bit[node] for node in b)
    found: list[int] = []
    for size in range(len(able) + 1):
        for several in combinations(able, size):
            taken = sum(bit[node] for node in several)
            if all(less & ~taken for less in found) and not _flood(start, taken, lines) & end:
                found.append(taken)
    return [_named(taken, able) for taken in found]


def _flood(start: int, taken: int, lines: Sequence[int]) -> int:
    """Nodes within reach of ``start``, as bits, with some taken out."""
    reached, todo = start, start
    while todo:
        lowest = todo & -todo
        todo ^= lowest
        new = lines[lowest.bit_length() - 1] & ~taken & ~reached
        reached |= new
        todo |= new
    return reached


def _named(taken: int, able: Sequence[str]) -> tuple[str, ...]:
    return tuple(node for i, node in enumerate(able) if taken >> i & 1)
