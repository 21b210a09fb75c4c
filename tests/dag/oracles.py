"""Independent answers: separation by walking every path, effects by summing every state of a random network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, combinations

import numpy as np

from churnsurv.dag import Dag, identify_effect
from churnsurv.errors import IdentificationError

EQUAL = 1e-10


def subsets(nodes: Iterable[str]) -> Iterator[tuple[str, ...]]:
    several = list(nodes)
    return chain.from_iterable(combinations(several, size) for size in range(len(several) + 1))


def random_dag(rng: np.random.Generator, n: int, *, density: float = 0.45, hidden: float = 0.25) -> Dag:
    """Shuffled names, so that the order of declaration is not the order of time."""
    time = rng.permutation([f"n{i}" for i in range(n)]).tolist()
    edges = [(a, b) for a, b in combinations(time, 2) if rng.random() < density]
    return Dag.from_edges(edges, nodes=sorted(time), latent=[v for v in time if rng.random() < hidden])


def every_dag(names: str) -> Iterator[Dag]:
    """All graphs whose edges follow the alphabet: one of each shape at least, the order of declaration turned round."""
    pairs = list(combinations(names, 2))
    for bits in range(2 ** len(pairs)):
        yield Dag.from_edges([pair for i, pair in enumerate(pairs) if bits >> i & 1], nodes=list(reversed(names)))


def descendants(dag: Dag, node: str) -> set[str]:
    found: set[str] = set()
    todo = [node]
    while todo:
        here = todo.pop()
        if here not in found:
            found.add(here)
            todo += [b for a, b in dag.edges if a == here]
    return found


def simple_paths(dag: Dag, a: str, b: str) -> Iterator[tuple[str, ...]]:
    lines = {frozenset(edge) for edge in dag.edges}

    def extend(way: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        if way[-1] == b:
            yield way
            return
        for node in dag.nodes:
            if node not in way and frozenset((way[-1], node)) in lines:
                yield from extend((*way, node))

    return extend((a,))


def path_is_open(dag: Dag, way: tuple[str, ...], given: Iterable[str]) -> bool:
    """Pearl (2009), definition 1.2.3, word for word."""
    known = set(given)
    for before, node, after in zip(way[:-2], way[1:-1], way[2:], strict=True):
        if (before, node) in dag.edges and (after, node) in dag.edges:
            if not descendants(dag, node) & known:
                return False
        elif node in known:
            return False
    return True


def separated(dag: Dag, a: str, b: str, given: Iterable[str]) -> bool:
    return not any(path_is_open(dag, way, given) for way in simple_paths(dag, a, b))


class Tables:
    """A random network of coins on a graph; arrays have one axis of length 2 per node."""

    def __init__(self, dag: Dag, rng: np.random.Generator) -> None:
        self.axis = {node: i for i, node in enumerate(dag.nodes)}
        self.factors = {}
        for node in dag.nodes:
            own = {*(a for a, b in dag.edges if b == node), node}
            chance = rng.uniform(0.05, 0.95, [2 if v in own and v != node else 1 for v in dag.nodes])
            self.factors[node] = np.concatenate([1 - chance, chance], axis=self.axis[node])
        self.joint = self.product(())

    def product(self, fixed: Iterable[str]) -> np.ndarray:
        result = np.ones((2,) * len(self.axis))
        for node, factor in self.factors.items():
            if node not in fixed:
                result = result * factor
        return result

    def margin(self, joint: np.ndarray, keep: Iterable[str]) -> np.ndarray:
        drop = tuple(axis for node, axis in self.axis.items() if node not in set(keep))
        return joint.sum(axis=drop, keepdims=True)

    def truth(self, cause: Iterable[str], outcome: str, given: Iterable[str] = ()) -> np.ndarray:
        """P(outcome | do(cause), given) by truncated factorisation, Pearl (2009), eq. 3.10."""
        cut = self.product(cause)
        return self.margin(cut, {*cause, *given, outcome}) / self.margin(cut, {*cause, *given})

    def adjusted(
        self, cause: Iterable[str], outcome: str, adjusted: Iterable[str], given: Iterable[str] = ()
    ) -> np.ndarray:
        seen = {*cause, *adjusted, *given}
        conditional = self.margin(self.joint, {*seen, outcome}) / self.margin(self.joint, seen)
        weight = self.margin(self.joint, {*adjusted, *given}) / self.margin(self.joint, given)
        return self.margin(conditional * weight, {*cause, *given, outcome})

    def front_door(self, cause: str, outcome: str, through: Iterable[str]) -> np.ndarray:
        """Pearl (2009), theorem 3.3.4."""
        z = set(through)
        first = self.margin(self.joint, {cause, *z}) / self.margin(self.joint, {cause})
        second = self.margin(self.joint, {cause, outcome, *z}) / self.margin(self.joint, {cause, *z})
        second = (second * self.margin(self.joint, {cause})).sum(axis=self.axis[cause], keepdims=True)
        return self.margin(first * second, {cause, outcome})


def differs(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one - other).max())


def accepts(dag: Dag, cause: Iterable[str], outcome: str, adjustment: Iterable[str], given: Iterable[str] = ()) -> bool:
    try:
        identify_effect(dag, cause, outcome, given=given, adjustment=adjustment)
    except IdentificationError:
        return False
    return True
