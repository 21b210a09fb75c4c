"""Which nodes and which pieces of evidence an answer can depend on."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping


def ancestral(parents: Mapping[str, Collection[str]], nodes: Iterable[str]) -> frozenset[str]:
    """Nodes with all their ancestors; everything else is barren and sums to 1.

    Parameters
    ----------
    parents : mapping of str to collection of str
        Parents of every node.
    nodes : iterable of str
        Nodes that are asked for or seen.

    Returns
    -------
    frozenset of str
        They and their ancestors.

    References
    ----------
    .. [1] Shachter, R. D. (1986). Evaluating influence diagrams. *Operations Research*, 34, 871–882.

    Examples
    --------
    >>> sorted(ancestral({"a": [], "b": ["a"], "c": ["b"]}, ["b"]))
    ['a', 'b']
    """
    found: set[str] = set()
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting.extend(parents[node])
    return frozenset(found)


def requisite_evidence(
    parents: Mapping[str, Collection[str]], targets: Iterable[str], seen: Collection[str]
) -> frozenset[str]:
    """Seen nodes that the answer can depend on; the others are d-separated from it by these.

    A ball is thrown from the targets. A node that was not seen passes it through and, hit by a child, also on to its
    children; a seen node stops what comes from a child and throws back what comes from a parent. The seen
    nodes it has touched are requisite.

    Parameters
    ----------
    parents : mapping of str to collection of str
        Parents of every node.
    targets : iterable of str
        Nodes that are asked for, not among ``seen``.
    seen : collection of str
        Nodes whose state is known.

    Returns
    -------
    frozenset of str
        Part of ``seen``.

    References
    ----------
    .. [1] Shachter, R. D. (1998). Bayes-ball: the rational pastime. *UAI*, 480–487, figure 4.

    Examples
    --------
    In a → b → c, once b is seen, a says nothing more of c:

    >>> sorted(requisite_evidence({"a": [], "b": ["a"], "c": ["b"]}, ["c"], ["a", "b"]))
    ['b']
    """
    children: dict[str, list[str]] = {node: [] for node in parents}
    for node, above in parents.items():
        for parent in above:
            children[parent].append(node)
    known = frozenset(seen)
    visited: set[tuple[str, bool]] = set()
    waiting = [(node, True) for node in targets]
    while waiting:
        visit = waiting.pop()
        if visit in visited:
            continue
        visited.add(visit)
        node, from_child = visit
        if from_child != (node in known):
            waiting.extend((parent, True) for parent in parents[node])
        if node not in known:
            waiting.extend((child, False) for child in children[node])
    return frozenset(node for node, _ in visited) & known
