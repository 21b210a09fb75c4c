"""Independences a graph implies: published lists, all separating sets walked by hand, and random tables."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from churnsurv.dag import Dag, Independence, implied_independences, not_testable
from tests.dag.oracles import EQUAL, Tables, random_dag, separated, subsets


def test_mediator_as_in_dagitty() -> None:
    """Z -> X -> I -> Y with Z -> I: Y is independent of Z given I and X."""
    dag = Dag.from_edges(["Z -> X -> I -> Y", "Z -> I", "X -> Y"])
    assert implied_independences(dag) == [Independence("Z", "Y", ("X", "I"))]
    assert not_testable(dag) == []


def test_latent_nodes_as_in_dagitty() -> None:
    """The graph called commentator1: eight pairs, the others no observed set separates."""
    dag = Dag.from_edges(
        [
            "A -> W2", "A -> W1", "B -> W1", "B -> X", "C -> Y", "C -> W2", "V -> Z1", "V -> Z2", "W1 -> Z1", "W2 -> Z2",
            "X -> Y", "Z1 -> X", "Z2 -> Y",
        ],
        nodes=["X", "Y", "V", "W1", "W2", "Z1", "Z2"],
        latent=["A", "B", "C"],
    )  # fmt: skip
    assert [str(claim) for claim in implied_independences(dag)] == [
        "X ⊥ V | W1, Z1",
        "X ⊥ Z2 | V, W2",
        "Y ⊥ V | W1, W2, Z1, Z2",
        "V ⊥ W1",
        "V ⊥ W2",
        "W1 ⊥ Z2 | W2",
        "W2 ⊥ Z1 | W1",
        "Z1 ⊥ Z2 | V, W1",
    ]
    assert not_testable(dag) == [("X", "W1"), ("X", "W2"), ("Y", "W1"), ("Y", "W2"), ("Y", "Z1"), ("W1", "W2")]


def test_extended_triangle_with_a_latent_node_as_in_dagitty() -> None:
    dag = Dag.from_edges(["A -> E", "A -> Z", "B -> D", "B -> Z", "E -> D", "Z -> D", "Z -> E"], latent="A")
    assert implied_independences(dag) == []
    assert not_testable(dag) == [("E", "B")]


def test_words() -> None:
    assert str(Independence("late", "plan")) == "late ⊥ plan"
    assert repr(Independence("late", "churn", ("wait", "plan"))) == "Independence(late ⊥ churn | wait, plan)"


def test_random_graphs() -> None:
    """The smallest observed set that separates, the first declared of several, or none."""
    rng = np.random.default_rng(0)
    n_claims = n_open = 0
    for _ in range(50):
        dag = random_dag(rng, 6)
        claims, rest = [], []
        for a, b in combinations(dag.observed, 2):
            if not dag.adjacent(a, b):
                others = [node for node in dag.observed if node not in (a, b)]
                given = next((s for s in subsets(others) if separated(dag, a, b, s)), None)
                if given is None:
                    rest.append((a, b))
                else:
                    claims.append(Independence(a, b, given))
        assert implied_independences(dag) == claims
        assert not_testable(dag) == rest
        n_claims, n_open = n_claims + len(claims), n_open + len(rest)
    assert min(n_claims, n_open) > 20


def test_claims_hold_in_every_table_and_missing_ones_fail() -> None:
    rng = np.random.default_rng(1)
    for _ in range(25):
        dag = random_dag(rng, 5)
        world = Tables(dag, rng)

        def dependence(a: str, b: str, given: tuple[str, ...], world: Tables = world) -> float:
            both = world.margin(world.joint, {a, b, *given}) * world.margin(world.joint, given)
            apart = world.margin(world.joint, {a, *given}) * world.margin(world.joint, {b, *given})
            return float(np.abs(both - apart).max())

        for claim in implied_independences(dag):
            assert dependence(claim.a, claim.b, claim.given) < EQUAL
        for a, b in not_testable(dag):
            others = [node for node in dag.observed if node not in (a, b)]
            assert min(dependence(a, b, given) for given in subsets(others)) > EQUAL
