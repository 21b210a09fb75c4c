"""The graph that data prefer, found exactly, and how it differs from the graph that was drawn.

What comes out is a proposal. A score tells which independences the data show; it does not tell causes from effects,
knows nothing of what was not measured, and cannot turn an edge that its equivalents turn the other way.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from churnsurv._typing import BoolArray, FloatArray, IntArray
from churnsurv._validate import check_count
from churnsurv.errors import ArgumentError, EmptyDataError, GraphError, NetworkSizeError, NonFiniteError

if TYPE_CHECKING:
    import pandas as pd

Edge = tuple[str, str]
"""Parent and child."""

FamilyScore = Callable[[str, tuple[str, ...]], float]
"""Score of a child with its parents, in nats; parents come in the order of the nodes."""

Change = Literal["kept", "added", "missing", "reversed"]

MAX_NODES = 12
_NOTHING = 1e-6
"""A loss below this many nats is rounding."""
_TIE = 1e-12
"""Relative to the scores: graphs closer than this per edge are one graph to floating-point numbers."""


@dataclass(frozen=True)
class EdgeProposal:
    """One pair of nodes that the proposed graph or the drawn one joins.

    Parameters
    ----------
    parent, child : str
        As in the proposed graph; as drawn where the proposed graph does not join them.
    change : {"kept", "added", "missing", "reversed"}
        What became of the drawn graph here: "missing" was drawn and is not proposed, "reversed" was drawn the other
        way round. Without a drawn graph every edge is "added".
    gain : float
        What the score of the drawn graph gains from this change alone, in nats; 0 if kept, NaN if alone it would
        close a cycle. Not bounded by the constraints.
    direction_loss : float
        What the best score loses if the edge may not point this way, in nats, >= 0; for a missing edge, what it
        loses if the edge must be there. Infinite if the constraints leave no other graph.
    adjacency_loss : float
        What the best score loses if the two may not be joined at all; NaN for a missing edge.
    """

    parent: str
    child: str
    change: Change
    gain: float
    direction_loss: float
    adjacency_loss: float

    @property
    def turnable(self) -> bool:
        """Whether another graph of the same score has the edge the other way round, so that data do not tell which."""
        return self.direction_loss < _NOTHING < self.adjacency_loss

    def __str__(self) -> str:
        """Return the edge and what it alone changes."""
        either = ", or the other way round" if self.turnable else ""
        return f"{self.parent} → {self.child} ({self.gain:+.1f} alone{either})"


@dataclass(frozen=True)
class StructureProposal:
    """Graph of the highest score within constraints, compared with the drawn one.

    Made by :func:`best_structure`.

    Parameters
    ----------
    nodes : tuple of str
        Nodes, in the order given.
    edges : tuple of (str, str)
        Parent and child of each edge proposed, in the order of the nodes.
    score : float
        Its score, in nats. Of several graphs with this score the one nearest to the drawn graph is proposed.
    drawn : tuple of (str, str)
        Edges of the graph it was compared with; empty if there was none.
    drawn_score : float
        Score of that graph; of the graph without edges if there was none.
    changes : tuple of EdgeProposal
        Every pair that one of the two graphs joins.
    """

    nodes: tuple[str, ...]
    edges: tuple[Edge, ...]
    score: float
    drawn: tuple[Edge, ...]
    drawn_score: float
    changes: tuple[EdgeProposal, ...]

    @property
    def gain(self) -> float:
        """Score less the score of the drawn graph, in nats; negative only if the drawn one breaks the constraints."""
        return self.score - self.drawn_score

    def of_kind(self, change: Change) -> tuple[EdgeProposal, ...]:
        """Changes of one kind."""
        return tuple(found for found in self.changes if found.change == change)

    def __str__(self) -> str:
        """Return the proposal in words, with what it does not say."""
        kinds: tuple[Change, ...] = ("added", "missing", "reversed")
        parts = [f"{kind}: {', '.join(map(str, self.of_kind(kind)))}" for kind in kinds if self.of_kind(kind)]
        if not parts:
            return "Within the constraints the data prefer no other graph to the drawn one."
        told = f"The data prefer another graph by {self.gain:.1f} nats"
        if self.gain < 0:
            told = f"The drawn graph breaks the constraints; the best one within them is {-self.gain:.1f} nats worse"
        not_said = "They do not say that an edge is a cause, nor that a missing edge is none."
        return f"{told}; {'; '.join(parts)}. {not_said}"

    def frame(self) -> pd.DataFrame:
        """One row per pair of nodes joined in either graph, columns as in :class:`EdgeProposal`."""
        import pandas as pd

        names = list(EdgeProposal.__dataclass_fields__)
        return pd.DataFrame([[getattr(edge, name) for name in names] for edge in self.changes], columns=names)


@dataclass(frozen=True, eq=False)
class _Search:
    """Local scores and what constrains them; sets of nodes are bits of a number."""

    nodes: tuple[str, ...]
    score: FamilyScore
    max_parents: int
    allowed: tuple[int, ...]
    required: tuple[int, ...]
    known: dict[tuple[int, int], float] = field(default_factory=dict)

    def local(self, child: int, parents: int) -> float:
        """Score of one family, asked for once."""
        if (child, parents) not in self.known:
            names = tuple(name for i, name in enumerate(self.nodes) if parents >> i & 1)
            value = float(self.score(self.nodes[child], names))
            if not math.isfinite(value):
                raise NonFiniteError(
                    f"the score of {self.nodes[child]!r} with parents {names} is {value}.",
                    consequence="Scores are added up and compared; one that is no number hides all others.",
                    hint="return a log probability; forbidden=[(parent, child)] keeps an edge out.",
                )
            self.known[child, parents] = value
        return self.known[child, parents]

    def total(self, parents: Sequence[int]) -> float:
        """Score of the graph with these parents of each node."""
        return math.fsum(self.local(child, above) for child, above in enumerate(parents))


def _bits(nodes: tuple[str, ...], edges: Iterable[Edge], name: str) -> tuple[int, ...]:
    """Parents of each node as bits."""
    place = {node: i for i, node in enumerate(nodes)}
    parents = [0] * len(nodes)
    for edge in edges:
        if not isinstance(edge, tuple) or len(edge) != 2 or edge[0] == edge[1] or not set(edge) <= set(nodes):
            raise GraphError(
                f"`{name}` holds {edge!r}, which is no edge between two of the {len(nodes)} nodes.",
                column=name,
                hint=f"write {name}=[(parent, child)] with two of: {', '.join(nodes)}.",
            )
        parents[place[edge[1]]] |= 1 << place[edge[0]]
    return tuple(parents)


def _edges(nodes: tuple[str, ...], parents: Sequence[int]) -> tuple[Edge, ...]:
    return tuple((nodes[u], nodes[v]) for v in range(len(nodes)) for u in range(len(nodes)) if parents[v] >> u & 1)


def _acyclic(parents: Sequence[int]) -> bool:
    """Whether nodes can be taken away one by one, each with all its parents gone."""
    left = set(range(len(parents)))
    while left:
        free = {v for v in left if not any(parents[v] >> u & 1 for u in left)}
        if not free:
            return False
        left -= free
    return True


def _check_nodes(nodes: Sequence[str]) -> tuple[str, ...]:
    names = tuple(nodes)
    hint = 'write nodes=["delay", "rating", "churn"], each name once.'
    if not names:
        raise EmptyDataError("`nodes` is empty.", column="nodes", hint=hint)
    if len(set(names)) < len(names) or not all(isinstance(name, str) for name in names):
        raise GraphError(f"`nodes` are not different names: {names}.", column="nodes", hint=hint)
    if len(names) > MAX_NODES:
        raise NetworkSizeError(
            f"{len(names)} nodes are more than the {MAX_NODES} that are searched exactly.",
            count=len(names),
            total=MAX_NODES,
            consequence=f"It would take {len(names) * 2 ** (len(names) - 1):,} family scores and a table of "
            f"{len(names) * 2 ** len(names):,} numbers; each further node more than doubles both.",
            hint="leave out nodes that no question is about, or join columns that say the same.",
        )
    return names


def _allowed(
    names: tuple[str, ...], tiers: Mapping[str, int] | None, forbidden: Iterable[Edge], leaf: str | None
) -> tuple[int, ...]:
    """Parents each node may have."""
    unknown = [name for name in [*(tiers or {}), *([leaf] if leaf is not None else [])] if name not in names]
    if unknown:
        raise GraphError(
            f"{unknown[0]!r} of `tiers` or `leaf` is none of the {len(names)} nodes.",
            hint=f"the nodes are: {', '.join(names)}.",
        )
    if tiers is not None and len(tiers) < len(names):
        missing = [name for name in names if name not in tiers]
        raise GraphError(
            f"{len(missing)} of {len(names)} nodes have no tier: {', '.join(missing)}.",
            column="tiers",
            hint=f'write tiers={{"{names[0]}": 0, …}} with every node; equal tiers may go either way.',
        )
    out = _bits(names, forbidden, "forbidden")
    return tuple(
        sum(
            1 << u
            for u, above in enumerate(names)
            if u != v and above != leaf and (tiers is None or tiers[above] <= tiers[node]) and not out[v] >> u & 1
        )
        for v, node in enumerate(names)
    )


def _check_required(names: tuple[str, ...], required: tuple[int, ...], allowed: tuple[int, ...], most: int) -> None:
    clash = [wanted & ~may for wanted, may in zip(required, allowed, strict=True)]
    if any(clash):
        raise GraphError(
            f"{_edges(names, clash)[0]!r} is required, and `tiers`, `forbidden` or `leaf` rule it out.",
            column="required",
            hint="leave it out of required, or move the tiers.",
        )
    if not _acyclic(required):
        raise GraphError("the required edges form a cycle.", column="required", hint="leave one of them out.")
    crowded = [name for name, wanted in zip(names, required, strict=True) if wanted.bit_count() > most]
    if crowded:
        raise ArgumentError(
            f"`max_parents`={most}, and more are required of {', '.join(crowded)}.",
            column="max_parents",
            hint="raise max_parents.",
        )


def _best_parents(
    search: _Search, child: int, drawn: int, tie: float, *, barred: int = 0, forced: int = 0
) -> tuple[FloatArray, IntArray]:
    """Best score and best parents of a child out of every set of candidates: arrays of shape (2 ** n_nodes,)."""
    n = len(search.nodes)
    best, chosen = np.full(1 << n, -np.inf), np.arange(1 << n)
    may, must = search.allowed[child] & ~barred, search.required[child] | forced
    parents = may
    while True:
        if parents & must == must and parents.bit_count() <= search.max_parents:
            best[parents] = search.local(child, parents) - tie * (parents ^ drawn).bit_count()
        if not parents:
            break
        parents = (parents - 1) & may
    for u in range(n):
        wider = np.flatnonzero(_holding(u, n))
        better = best[wider ^ (1 << u)] >= best[wider]
        best[wider[better]] = best[wider[better] ^ (1 << u)]
        chosen[wider[better]] = chosen[wider[better] ^ (1 << u)]
    return best, chosen


def _holding(node: int, n_nodes: int) -> BoolArray:
    """Which of all sets of nodes, as bits, hold one node."""
    return (np.arange(1 << n_nodes) >> node & 1).astype(np.bool_)


def _best_graph(families: Sequence[tuple[FloatArray, IntArray]]) -> tuple[int, ...] | None:
    """Parents of each node of the best graph: the last node of every set has its parents within the rest.

    ``None`` if no graph is allowed.
    """
    n = len(families)
    sets = np.arange(1 << n)
    size = np.bitwise_count(sets)
    best, last = np.full(1 << n, -np.inf), np.full(1 << n, -1)
    best[0] = 0.0
    for count in range(1, n + 1):
        now = sets[size == count]
        for v in range(n):
            mine = now[now >> v & 1 == 1]
            value = best[mine ^ (1 << v)] + families[v][0][mine ^ (1 << v)]
            better = value > best[mine]
            best[mine[better]], last[mine[better]] = value[better], v
    left, parents = (1 << n) - 1, [0] * n
    while left:
        v = int(last[left])
        if v < 0:
            return None
        left ^= 1 << v
        parents[v] = int(families[v][1][left])
    return tuple(parents)


@dataclass(frozen=True, eq=False)
class _Best:
    """The best graph, and what is kept to find the best one with one pair constrained."""

    search: _Search
    drawn: tuple[int, ...]
    tie: float
    families: tuple[tuple[FloatArray, IntArray], ...]
    parents: tuple[int, ...]

    def loss(self, barred: Sequence[Edge], forced: Sequence[Edge] = ()) -> float:
        """What the best score loses if some edges may not, and others must, be there."""
        out, must = _bits(self.search.nodes, barred, "barred"), _bits(self.search.nodes, forced, "forced")
        families = list(self.families)
        for v in range(len(families)):
            if out[v] or must[v]:
                families[v] = _best_parents(self.search, v, self.drawn[v], self.tie, barred=out[v], forced=must[v])
        parents = _best_graph(families)
        if parents is None:
            return math.inf
        return max(0.0, self.search.total(self.parents) - self.search.total(parents))


def _search_all(search: _Search, drawn: tuple[int, ...]) -> _Best:
    n = len(search.nodes)
    tie = _TIE * max(1.0, sum(abs(search.local(v, search.required[v])) for v in range(n)))
    families = tuple(_best_parents(search, v, drawn[v], tie) for v in range(n))
    parents = _best_graph(families)
    if parents is None:  # required edges are acyclic and allowed, so that they alone are a graph
        raise GraphError("no graph meets the constraints.", hint="leave out some of required.")
    return _Best(search, drawn, tie, families, parents)


def _changed_alone(best: _Best, remove: Edge | None, add: Edge | None) -> float:
    """What the drawn graph gains if one edge goes and one comes; NaN if that closes a cycle."""
    parents = list(best.drawn)
    for edge in (remove, add):
        if edge is not None:
            bits = _bits(best.search.nodes, [edge], "edge")
            parents = [p ^ b for p, b in zip(parents, bits, strict=True)]
    return best.search.total(parents) - best.search.total(best.drawn) if _acyclic(parents) else math.nan


def _compare(best: _Best) -> tuple[EdgeProposal, ...]:
    """Every pair joined in one of the two graphs."""
    nodes = best.search.nodes
    proposed, drawn = _edges(nodes, best.parents), _edges(nodes, best.drawn)
    changes = []
    for edge in proposed:
        back = (edge[1], edge[0])
        change: Change = "kept" if edge in drawn else "reversed" if back in drawn else "added"
        remove = back if change == "reversed" else None
        gain = 0.0 if change == "kept" else _changed_alone(best, remove, edge)
        changes.append(EdgeProposal(*edge, change, gain, best.loss([edge]), best.loss([edge, back])))
    for edge in drawn:
        if edge not in proposed and (edge[1], edge[0]) not in proposed:
            gain = _changed_alone(best, edge, None)
            changes.append(EdgeProposal(*edge, "missing", gain, best.loss([], [edge]), math.nan))
    return tuple(changes)


def best_structure(
    nodes: Sequence[str],
    score: FamilyScore,
    *,
    drawn: Iterable[Edge] | None = None,
    tiers: Mapping[str, int] | None = None,
    forbidden: Iterable[Edge] = (),
    required: Iterable[Edge] = (),
    max_parents: int | None = None,
    leaf: str | None = None,
) -> StructureProposal:
    r"""Find the directed acyclic graph of the highest score, exactly, and compare it with the drawn one.

    The score of a graph is the sum of the scores of its nodes with their parents. The best graph on a set of nodes W
    has a last node v, all of whose parents lie in the rest:

    .. math:: R(W) = \max_{v \in W} \bigl[ R(W \setminus v) + \max_{P \subseteq W \setminus v} s(v, P) \bigr]

    which takes :math:`n 2^{n-1}` family scores, each asked for once, and as many steps. Fewer parents or tiers make
    it fewer scores. What an edge is worth is found the same way with the edge forbidden.

    Parameters
    ----------
    nodes : sequence of str
        At most 12.
    score : callable
        ``score(child, parents)``, finite, in nats; parents are a tuple of names in the order of ``nodes``.
    drawn : iterable of (str, str), optional
        Parent and child of each edge of the graph to compare with; acyclic.
    tiers : mapping of str to int, optional
        When each node is fixed; no edge goes from a later tier to an earlier one.
    forbidden, required : iterable of (str, str)
        Edges that may not, and that must, be there.
    max_parents : int, optional
        Most parents a node may have, >= 0.
    leaf : str, optional
        A node that may have no children, as the hazard.

    Returns
    -------
    StructureProposal
        The graph, its score, and each difference from the drawn graph with what it is worth.

    Raises
    ------
    NetworkSizeError
        If there are more than 12 nodes.
    GraphError
        If an edge, tier or leaf names an unknown node, a graph has a cycle, or constraints contradict each other.
    NonFiniteError
        If a score is not finite.
    ArgumentError, EmptyDataError
        If ``max_parents`` is negative or below what is required; if there are no nodes.

    References
    ----------
    .. [1] Silander, T. and Myllymäki, P. (2006). A simple approach for finding the globally optimal Bayesian network
       structure. *UAI*, 445–452.
    .. [2] Singh, A. P. and Moore, A. W. (2005). Finding optimal Bayesian networks by dynamic programming. Technical
       report CMU-CALD-05-106, Carnegie Mellon University.

    Examples
    --------
    >>> worth = {("b", ("a",)): 2.0, ("a", ("b",)): 1.5}
    >>> found = best_structure(["a", "b"], lambda child, parents: worth.get((child, parents), 0.0))
    >>> found.edges, found.score, found.changes[0].direction_loss, found.changes[0].adjacency_loss
    ((('a', 'b'),), 2.0, 0.5, 2.0)
    """
    names = _check_nodes(nodes)
    compared = _bits(names, drawn or (), "drawn")
    if not _acyclic(compared):
        raise GraphError("the drawn graph has a cycle.", column="drawn", hint="leave out an edge of the cycle.")
    most = len(names) - 1 if max_parents is None else check_count(max_parents, "max_parents", minimum=0)
    allowed, must = _allowed(names, tiers, forbidden, leaf), _bits(names, required, "required")
    _check_required(names, must, allowed, most)
    best = _search_all(_Search(names, score, most, allowed, must), compared)
    return StructureProposal(
        nodes=names,
        edges=_edges(names, best.parents),
        score=best.search.total(best.parents),
        drawn=_edges(names, compared),
        drawn_score=best.search.total(compared),
        changes=_compare(best),
    )
