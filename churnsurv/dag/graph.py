"""Directed acyclic graphs of causes: who points to whom, in which order, and what is separated from what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any, cast

from churnsurv.dag.declaration import Edge, EdgeText, check_edges, read_edges
from churnsurv.dag.names import ARROW, Names, as_names, check_known, check_names
from churnsurv.dag.path import Path, directed_path, shortest_path, trace
from churnsurv.errors import DataTypeError, GraphError, NetworkSizeError

_MOST_PATHS = 10_000
"""Nobody reads more; a graph of twenty nodes can have a billion."""


@dataclass(frozen=True, eq=False, repr=False)
class Dag:
    """Directed acyclic graph: an arrow from each cause to what it acts on directly.

    An arrow that is not drawn is the stronger claim: it says that nothing acts there. Two graphs are equal if they have
    the same nodes, edges and latent nodes, whatever the order of declaration; the order only decides between answers
    that are equally good.

    Parameters
    ----------
    nodes : tuple of str
        Names, in the order of declaration.
    edges : tuple of pairs of str
        Cause and effect; kept in the order of the nodes.
    latent : frozenset of str
        Nodes that the data do not show.

    Raises
    ------
    GraphError
        If a name is empty or resembles another, an edge is a loop, stands twice or is part of a cycle, or a latent node
        is not in the graph.

    References
    ----------
    .. [1] Pearl, J. (2009). *Causality*, 2nd ed., ch. 1. Cambridge University Press.

    Examples
    --------
    >>> dag = Dag.from_edges(["late -> wait -> churn", "plan -> churn"])
    >>> dag.parents("churn"), dag.order
    (('wait', 'plan'), ('late', 'wait', 'plan', 'churn'))
    """

    nodes: tuple[str, ...]
    edges: tuple[Edge, ...] = ()
    latent: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        named = cast(Names, self.nodes)
        nodes = (named,) if isinstance(named, str) else tuple(named)
        check_names(nodes)
        edges = read_edges(self.edges)
        check_edges(edges, nodes)
        latent = as_names(self.latent, "latent")
        check_known(latent, nodes)
        place = {node: i for i, node in enumerate(nodes)}
        object.__setattr__(self, "nodes", nodes)
        object.__setattr__(self, "edges", tuple(sorted(edges, key=lambda edge: (place[edge[0]], place[edge[1]]))))
        object.__setattr__(self, "latent", frozenset(latent))

    @classmethod
    def from_edges(cls, edges: EdgeText | Iterable[EdgeText], *, nodes: Names = (), latent: Names = ()) -> Dag:
        """Make a graph from its edges.

        Parameters
        ----------
        edges : text, or iterable of pairs and texts
            ``("late", "wait")``, ``"late -> wait"``, or a chain ``"late -> wait -> rating"``.
        nodes : str or iterable of str, optional
            Nodes declared before those of the edges: nodes without edges, or an order.
        latent : str or iterable of str, optional
            Nodes that the data do not show.

        Returns
        -------
        Dag
            The graph; nodes that are not declared stand in the order of their first edge.

        Raises
        ------
        GraphError
            As :class:`Dag`.

        Examples
        --------
        >>> Dag.from_edges(["late -> wait -> churn", ("hidden", "churn")], nodes=["plan"], latent="hidden")
        Dag(late -> wait, wait -> churn, hidden -> churn, plan; latent: hidden)
        """
        pairs = read_edges(edges)
        declared = as_names(nodes, "nodes")
        named = [node for edge in pairs for node in edge]
        check_names(list(dict.fromkeys([*declared, *named])))
        return cls(tuple(dict.fromkeys([*declared, *named])), pairs, frozenset(as_names(latent, "latent")))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dag) and self._content == other._content

    def __hash__(self) -> int:
        return hash(self._content)

    def __repr__(self) -> str:
        """Return edges, nodes without edges, and latent nodes."""
        joined = {node for edge in self.edges for node in edge}
        parts = [f" {ARROW} ".join(edge) for edge in self.edges] + [n for n in self.nodes if n not in joined]
        hidden = f"; latent: {', '.join(self.in_order(self.latent))}" if self.latent else ""
        return f"Dag({', '.join(parts)}{hidden})"

    @cached_property
    def _content(self) -> tuple[frozenset[str], frozenset[Edge], frozenset[str]]:
        return frozenset(self.nodes), frozenset(self.edges), self.latent

    @cached_property
    def _places(self) -> dict[str, int]:
        return {node: i for i, node in enumerate(self.nodes)}

    @cached_property
    def digraph(self) -> Any:
        """The graph as a ``networkx.DiGraph``; not to be changed."""
        import networkx as nx

        graph = nx.DiGraph()
        graph.add_nodes_from(self.nodes)
        graph.add_edges_from(self.edges)
        return nx.freeze(graph)

    @property
    def observed(self) -> tuple[str, ...]:
        """Nodes that the data show, in the order of declaration."""
        return tuple(node for node in self.nodes if node not in self.latent)

    @cached_property
    def order(self) -> tuple[str, ...]:
        """Nodes with every cause before what it acts on; the first declared first where there is a choice."""
        import networkx as nx

        return tuple(nx.lexicographical_topological_sort(self.digraph, key=self.position))

    def position(self, node: str) -> int:
        """Place of a node in the order of declaration, from 0."""
        self._know(node)
        return self._places[node]

    def in_order(self, nodes: Iterable[str]) -> tuple[str, ...]:
        """Nodes in the order of declaration."""
        return tuple(sorted(nodes, key=self.position))

    def parents(self, node: str) -> tuple[str, ...]:
        """Nodes that point to ``node``."""
        self._know(node)
        return self.in_order(self.digraph.predecessors(node))

    def children(self, node: str) -> tuple[str, ...]:
        """Nodes that ``node`` points to."""
        self._know(node)
        return self.in_order(self.digraph.successors(node))

    def ancestors(self, node: str) -> tuple[str, ...]:
        """Nodes from which arrows lead to ``node``, without itself."""
        return self.in_order(self.ancestral([node]) - {node})

    def descendants(self, node: str) -> tuple[str, ...]:
        """Nodes to which arrows lead from ``node``, without itself."""
        return self.in_order(self.downstream([node]) - {node})

    def ancestral(self, nodes: Iterable[str]) -> frozenset[str]:
        """Some nodes with all their ancestors."""
        return self._reached(nodes, self.digraph.pred)

    def downstream(self, nodes: Iterable[str]) -> frozenset[str]:
        """Some nodes with all their descendants."""
        return self._reached(nodes, self.digraph.succ)

    def steps(self, node: str) -> list[tuple[str, bool]]:
        """Neighbours in the order of declaration, and whether the edge points to them."""
        neighbours = [(other, False) for other in self.digraph.pred[node]]
        neighbours += [(other, True) for other in self.digraph.succ[node]]
        return sorted(neighbours, key=lambda step: self._places[step[0]])

    def adjacent(self, a: str, b: str) -> bool:
        """Whether an edge joins two nodes, in either direction."""
        self._know(a, b)
        return bool(self.digraph.has_edge(a, b) or self.digraph.has_edge(b, a))

    def d_separated(self, a: Names, b: Names, given: Names = ()) -> bool:
        """Whether conditioning on ``given`` blocks every path between ``a`` and ``b``.

        Then they are independent given these nodes in every distribution that the graph allows.

        Parameters
        ----------
        a, b : str or iterable of str
            Nodes; disjoint.
        given : str or iterable of str, optional
            Nodes conditioned on; latent ones too, this being a question about the graph.

        Returns
        -------
        bool
            True if every path is blocked.

        Raises
        ------
        GraphError
            If a name is unknown, ``a`` or ``b`` is empty, or a node stands in two of the three.

        References
        ----------
        .. [1] Pearl, J. (2009). *Causality*, 2nd ed., definition 1.2.3. Cambridge University Press.

        Examples
        --------
        >>> dag = Dag.from_edges(["late -> rating", "wait -> rating"])
        >>> dag.d_separated("late", "wait"), dag.d_separated("late", "wait", given="rating")
        (True, False)
        """
        import networkx as nx

        starts, ends, known = self._disjoint(a, b, given)
        return bool(nx.is_d_separator(self.digraph, set(starts), set(ends), set(known)))

    def open_path(self, a: Names, b: Names, given: Names = ()) -> Path | None:
        """Shortest path between ``a`` and ``b`` that conditioning on ``given`` leaves open or opens.

        Parameters
        ----------
        a, b : str or iterable of str
            Nodes; disjoint.
        given : str or iterable of str, optional
            Nodes conditioned on.

        Returns
        -------
        Path or None
            None if ``a`` and ``b`` are d-separated.

        Raises
        ------
        GraphError
            As :meth:`d_separated`.

        Examples
        --------
        >>> dag = Dag.from_edges(["hidden -> late", "hidden -> churn", "late -> wait -> churn"])
        >>> print(dag.open_path("late", "churn", given="wait"))
        late <- hidden -> churn
        """
        starts, ends, known = self._disjoint(a, b, given)
        return shortest_path(self, starts, ends, closed=known, opened=self.ancestral(known))

    def paths(self, a: str, b: str, given: Names = ()) -> tuple[Path, ...]:
        """All paths between two nodes, and where conditioning on ``given`` blocks them.

        Parameters
        ----------
        a, b : str
            Two nodes.
        given : str or iterable of str, optional
            Nodes conditioned on.

        Returns
        -------
        tuple of Path
            Short ones first; of equal length in the order of declaration.

        Raises
        ------
        GraphError
            As :meth:`d_separated`.
        NetworkSizeError
            If there are more than 10,000.

        Examples
        --------
        >>> dag = Dag.from_edges(["hidden -> late", "hidden -> churn", "late -> wait -> churn"])
        >>> dag.paths("late", "churn", given="wait")
        (Path(late <- hidden -> churn: open), Path(late -> wait -> churn: blocked by wait))
        """
        import networkx as nx

        starts, ends, known = self._disjoint(a, b, given)
        if len(starts) + len(ends) > 2:
            raise GraphError(
                "`a` or `b` names several nodes.", hint="paths are listed between two; open_path takes sets."
            )
        every = nx.all_simple_paths(self.digraph.to_undirected(as_view=True), *starts, *ends)
        found = list(islice(every, _MOST_PATHS + 1))
        if len(found) > _MOST_PATHS:
            raise NetworkSizeError(
                f"there are more than {_MOST_PATHS:,} paths between {a} and {b}.",
                hint=f'dag.open_path("{a}", "{b}", given=…) finds the shortest open one without listing them.',
            )
        found.sort(key=lambda way: (len(way), [self._places[node] for node in way]))
        return tuple(trace(self, way, known) for way in found)

    def without_edges(self, edges: EdgeText | Iterable[EdgeText]) -> Dag:
        """The same nodes without some edges.

        Raises
        ------
        GraphError
            If one of them is not in the graph.

        Examples
        --------
        >>> Dag.from_edges("late -> wait -> churn").without_edges("late -> wait")
        Dag(wait -> churn, late)
        """
        gone = set(read_edges(edges))
        missing = sorted(gone - set(self.edges))
        if missing:
            raise GraphError(
                f"{len(missing)} of {len(gone)} edges are not in the graph: "
                f"{', '.join(f' {ARROW} '.join(edge) for edge in missing)}.",
                count=len(missing),
                total=len(gone),
                hint="dag.edges lists them.",
            )
        return Dag(self.nodes, tuple(edge for edge in self.edges if edge not in gone), self.latent)

    def without_edges_into(self, nodes: Names) -> Dag:
        """The graph after an intervention: what is set has no other cause."""
        fixed = self.known(nodes, "nodes")
        return self.without_edges([edge for edge in self.edges if edge[1] in fixed])

    def without_edges_from(self, nodes: Names) -> Dag:
        """The graph in which some nodes act on nothing."""
        idle = self.known(nodes, "nodes")
        return self.without_edges([edge for edge in self.edges if edge[0] in idle])

    def check_tiers(self, tiers: Mapping[str, int | None]) -> None:
        """Refuse arrows that point back in time.

        Parameters
        ----------
        tiers : mapping of str to int
            Place in time of nodes, small is early. Nodes that are left out, or None, have none; an arrow into the past
            through them is found all the same.

        Raises
        ------
        GraphError
            If arrows lead from a later tier to an earlier one.
        DataTypeError
            If a tier is not a whole number.

        Examples
        --------
        >>> Dag.from_edges("late -> churn").check_tiers({"late": 0, "churn": 3})
        """
        check_known(tiers, self.nodes)
        placed = {node: tier for node, tier in tiers.items() if tier is not None}
        for node, tier in placed.items():
            if isinstance(tier, bool) or not isinstance(tier, int):
                raise DataTypeError(f"tier {tier!r} of {node!r} is not a whole number.", hint='write {"late": 0}.')
        for node in self.in_order(placed):
            for later in self.in_order((self.downstream([node]) - {node}) & placed.keys()):
                if placed[later] < placed[node]:
                    raise GraphError(
                        f"{directed_path(self, node, later)} points from tier {placed[node]} to tier {placed[later]}.",
                        consequence="An effect would come before its cause.",
                        hint="turn the edge round, leave it out, or change the tiers.",
                    )

    def known(self, names: Names, argument: str) -> frozenset[str]:
        """Set of nodes from one name or several, refused if one is unknown."""
        found = as_names(names, argument)
        check_known(found, self.nodes)
        return frozenset(found)

    def _know(self, *names: str) -> None:
        for name in names:
            # Asked in every loop; the words are made only when they are needed.
            if not isinstance(name, str) or name not in self._places:
                check_known(as_names([name], "node"), self.nodes)

    def _reached(self, nodes: Iterable[str], neighbours: Any) -> frozenset[str]:
        found: set[str] = set()
        todo = list(self.known(nodes, "nodes"))
        while todo:
            node = todo.pop()
            if node not in found:
                found.add(node)
                todo.extend(neighbours[node])
        return frozenset(found)

    def _disjoint(
        self, a: Names, b: Names, given: Names
    ) -> tuple[AbstractSet[str], AbstractSet[str], AbstractSet[str]]:
        sets = self.known(a, "a"), self.known(b, "b"), self.known(given, "given")
        if not sets[0] or not sets[1]:
            raise GraphError("`a` or `b` names no node.", hint='write dag.d_separated("late", "churn").')
        shared = self.in_order((sets[0] & sets[1]) | (sets[0] & sets[2]) | (sets[1] & sets[2]))
        if shared:
            raise GraphError(
                f"{shared[0]!r} is in two of `a`, `b` and `given`.",
                consequence="Separation is a matter between different nodes.",
                hint="name each node in one of them.",
            )
        return sets
