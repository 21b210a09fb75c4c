"""The front door: mediators that carry the whole effect and that nothing hidden disturbs."""

from __future__ import annotations

from itertools import combinations

from churnsurv.dag.effect import Effect, read_effect
from churnsurv.dag.graph import Dag
from churnsurv.dag.separators import MOST_CANDIDATES
from churnsurv.errors import NetworkSizeError


def front_door_set(dag: Dag, cause: str, outcome: str) -> tuple[str, ...] | None:
    """Smallest set that meets the front-door criterion.

    It intercepts all causal paths from the cause to the outcome; no path into the cause is open between the cause and
    the set; and the cause blocks every path into the set between the set and the outcome. The set is read as a whole:
    a path with an arrow out of any of its nodes is none into it. The library tells that there is such a set; it makes
    no estimate from it.

    Parameters
    ----------
    dag : Dag
        The graph.
    cause, outcome : str
        Two observed nodes.

    Returns
    -------
    tuple of str or None
        Of several smallest ones the one declared first. None if there is none, or no causal path to intercept.

    Raises
    ------
    GraphError
        If a name is unknown.
    IdentificationError
        As :func:`identify_effect`.
    NetworkSizeError
        If there are more than 15 nodes to choose from.

    References
    ----------
    .. [1] Pearl, J. (2009). *Causality*, 2nd ed., definition 3.3.3. Cambridge University Press.

    Examples
    --------
    >>> dag = Dag.from_edges(["smoking -> tar -> cancer", "gene -> smoking", "gene -> cancer"], latent="gene")
    >>> front_door_set(dag, "smoking", "cancer")
    ('tar',)
    """
    effect, _ = read_effect(dag, cause, outcome)
    largest = largest_front_door_set(effect)
    if largest is None or len(largest) <= 1:
        return largest
    if len(largest) > MOST_CANDIDATES:
        raise NetworkSizeError(
            f"{len(largest)} nodes could be in a front-door set; all their sets are {2 ** len(largest):,}.",
            count=len(largest),
            hint=f"keep at most {MOST_CANDIDATES} nodes between the cause and the outcome and around them.",
        )
    sizes = range(1, len(largest) + 1)
    return next(
        several
        for size in sizes
        for several in combinations(largest, size)
        if _intercepts(effect, frozenset(several)) and not _confounded(effect, frozenset(several))
    )


def largest_front_door_set(effect: Effect) -> tuple[str, ...] | None:
    """Union of all sets that meet the front-door criterion, itself one of them; None if there is none.

    A node that a path into it joins with the outcome in spite of the cause is in no such set: leaving out others
    gives back their edges, which only opens more paths. So nodes are taken away until none is left to take.

    Parameters
    ----------
    effect : Effect
        Of one cause.

    Returns
    -------
    tuple of str or None
        In the order of declaration.
    """
    dag, (cause,) = effect.dag, effect.cause
    if not effect.causal_nodes:
        return None
    closed = dag.without_edges_from(cause)
    nodes = frozenset(
        node for node in dag.observed if node not in (cause, effect.outcome) and closed.d_separated(cause, node)
    )
    while confounded := _confounded(effect, nodes):
        nodes -= confounded
    return dag.in_order(nodes) if nodes and _intercepts(effect, nodes) else None


def _confounded(effect: Effect, nodes: frozenset[str]) -> frozenset[str]:
    """Nodes joined with the outcome by a path into them that the cause does not block."""
    closed = effect.dag.without_edges_from(nodes)
    return frozenset(node for node in nodes if not closed.d_separated(node, effect.outcome, effect.cause))


def _intercepts(effect: Effect, nodes: frozenset[str]) -> bool:
    """Whether every causal path passes one of the nodes."""
    rest = effect.dag.without_edges_into(nodes)
    return effect.outcome not in rest.downstream(effect.cause)
