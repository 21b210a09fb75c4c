"""d-separation and separators against every path walked by hand, two libraries, and relations that must hold."""

from __future__ import annotations

import warnings
from itertools import combinations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from churnsurv.dag import Dag
from churnsurv.dag.separators import minimal_separators, smallest_separator
from churnsurv.errors import NetworkSizeError
from tests.dag.oracles import every_dag, path_is_open, random_dag, separated, simple_paths, subsets

with warnings.catch_warnings():
    # Its bindings warn on import, and a warning that is an error there ends the process.
    warnings.simplefilter("ignore")
    import pyagrum as gum

relation = settings(max_examples=25, deadline=None)


def every_question(dag: Dag):
    for a, b in combinations(dag.nodes, 2):
        for given in subsets(node for node in dag.nodes if node not in (a, b)):
            yield a, b, given


# One pair -----------------------------------------------------------------------------------------------


def test_all_graphs_of_four_nodes() -> None:
    for dag in every_dag("abcd"):
        for a, b, given in every_question(dag):
            expected = separated(dag, a, b, given)
            assert dag.d_separated(a, b, given) is expected, (dag, a, b, given)
            assert (dag.open_path(b, a, given) is None) is expected, (dag, a, b, given)


def test_random_graphs_of_six_nodes_and_another_library() -> None:
    rng = np.random.default_rng(1)
    answers = []
    for _ in range(12):
        dag = random_dag(rng, 6)
        place = dag.position
        other = gum.DAG()
        for node in dag.nodes:
            other.addNodeWithId(place(node))
        for cause, effect in dag.edges:
            other.addArc(place(cause), place(effect))
        for a, b, given in every_question(dag):
            expected = separated(dag, a, b, given)
            assert other.dSeparation(place(a), place(b), [place(node) for node in given]) is expected
            assert dag.d_separated(a, b, given) is expected
            answers.append(expected)
    assert 0.1 < np.mean(answers) < 0.9


def test_sets_are_separated_if_all_their_members_are() -> None:
    rng = np.random.default_rng(2)
    answers = set()
    for _ in range(60):
        dag = random_dag(rng, 6, density=0.3)
        shuffled = rng.permutation(dag.nodes).tolist()
        a, b, given = shuffled[:2], shuffled[2:4], shuffled[4 : 4 + int(rng.integers(3))]
        expected = all(separated(dag, one, other, given) for one in a for other in b)
        assert dag.d_separated(a, b, given) is expected
        path = dag.open_path(a, b, given)
        assert (path is None) is expected
        if path is not None:
            assert not {*a, *b} & {*path.nodes[1:-1]}
        answers.add(expected)
    assert answers == {True, False}


def test_the_open_path_is_open_and_none_is_shorter() -> None:
    rng = np.random.default_rng(3)
    with_colliders = 0
    for _ in range(25):
        dag = random_dag(rng, 6)
        for a, b, given in every_question(dag):
            path = dag.open_path(a, b, given)
            if path is not None:
                assert path_is_open(dag, path.nodes, given)
                assert path.open
                shortest = min(len(way) for way in simple_paths(dag, a, b) if path_is_open(dag, way, given))
                assert len(path.nodes) == shortest
                with_colliders += bool(path.colliders)
    assert with_colliders > 50


def test_listed_paths_are_all_paths_and_each_says_whether_it_is_open() -> None:
    rng = np.random.default_rng(4)
    for _ in range(8):
        dag = random_dag(rng, 5)
        for a, b, given in every_question(dag):
            listed = dag.paths(a, b, given)
            assert {path.nodes for path in listed} == set(simple_paths(dag, a, b))
            assert [len(path.nodes) for path in listed] == sorted(len(path.nodes) for path in listed)
            assert all(path.open is path_is_open(dag, path.nodes, given) for path in listed)


# Separators ---------------------------------------------------------------------------------------------


def separating(dag: Dag, a: str, b: str, candidates, included) -> list[set[str]]:
    return [{*more} for more in subsets(dag.in_order(candidates)) if separated(dag, a, b, {*more, *included})]


def test_smallest_and_minimal_separators_of_random_graphs() -> None:
    """All subsets of the candidates; the first of the smallest, and those of which none can be spared."""
    rng = np.random.default_rng(5)
    seen = {"none": 0, "several": 0, "more than one node": 0, "included": 0}
    for _ in range(300):
        dag = random_dag(rng, 7, density=0.4)
        a, b, *rest = rng.permutation(dag.nodes).tolist()
        if dag.adjacent(a, b) and rng.random() < 0.8:
            continue
        included = frozenset(rest[: int(rng.integers(2))])
        candidates = frozenset(node for node in rest if node not in included and rng.random() < 0.9)
        good = separating(dag, a, b, candidates, included)
        minimal = [s for s in good if not any(t < s for t in good)]
        found = minimal_separators(dag, {a}, {b}, candidates=candidates, included=included)
        assert sorted(map(sorted, found)) == sorted(map(sorted, minimal))
        assert found == sorted(found, key=lambda s: (len(s), [dag.position(v) for v in s]))
        smallest = smallest_separator(dag, {a}, {b}, candidates=candidates, included=included)
        assert smallest == (found[0] if found else None)
        if smallest is not None and not included:
            assert nx.is_minimal_d_separator(dag.digraph, a, b, set(smallest))
        seen["none"] += smallest is None
        seen["several"] += len(found) > 1
        seen["more than one node"] += smallest is not None and len(smallest) > 1
        seen["included"] += bool(found) and bool(included)
    assert min(seen.values()) > 10, seen


def test_the_first_declared_wins() -> None:
    diamond = ["a -> x -> b", "a -> y -> b", "x2 -> x", "a -> x2"]
    for nodes, expected in [(("x", "y", "x2"), ("x", "y")), (("y", "x2", "x"), ("y", "x"))]:
        dag = Dag.from_edges(diamond, nodes=nodes)
        assert smallest_separator(dag, {"a"}, {"b"}, candidates=set(nodes)) == expected


def test_too_many_candidates_are_not_listed(refuses) -> None:
    wide = Dag.from_edges([f"a -> m{i} -> b" for i in range(16)])
    middle = frozenset(wide.nodes) - {"a", "b"}
    with refuses(NetworkSizeError, "16 nodes could be adjusted for; all their sets are 65,536.", count=16):
        minimal_separators(wide, {"a"}, {"b"}, candidates=middle)
    assert len(smallest_separator(wide, {"a"}, {"b"}, candidates=middle) or ()) == 16
    one_less = middle - {"m0"}
    assert minimal_separators(wide, {"a"}, {"b"}, candidates=one_less, included=frozenset(["m0"])) == [
        tuple(f"m{i}" for i in range(1, 16))
    ]
    side = Dag.from_edges([*(f"a -> s{i}" for i in range(40)), "a -> m -> b"])
    assert minimal_separators(side, {"a"}, {"b"}, candidates=frozenset(side.nodes) - {"a", "b"}) == [("m",)]


# Nothing else matters -----------------------------------------------------------------------------------


@relation
@for_all(st.integers(0, 10**6))
def test_names_order_and_bystanders_do_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    dag = random_dag(rng, 5)
    names = dict(zip(dag.nodes, rng.permutation(["late", "wait", "plan", "price", "hidden"]).tolist(), strict=True))
    renamed = Dag.from_edges([(names[a], names[b]) for a, b in dag.edges], nodes=[names[node] for node in dag.nodes])
    turned = Dag.from_edges(rng.permutation(dag.edges).tolist(), nodes=dag.nodes, latent=dag.latent)
    alone = Dag.from_edges(dag.edges, nodes=[*dag.nodes, "alone"])
    leaf = Dag.from_edges([*dag.edges, (dag.nodes[0], "leaf"), (dag.nodes[1], "leaf")], nodes=dag.nodes, latent="leaf")
    assert turned == dag
    assert (turned.nodes, turned.edges, turned.order) == (dag.nodes, dag.edges, dag.order)
    for a, b, given in every_question(dag):
        path = dag.open_path(a, b, given)
        assert [graph.open_path(a, b, given) for graph in (turned, alone, leaf)] == [path] * 3
        translated = renamed.open_path(names[a], names[b], [names[node] for node in given])
        assert (None if translated is None else translated.nodes) == (
            None if path is None else tuple(names[node] for node in path.nodes)
        )
        assert dag.d_separated(a, b, given) is dag.d_separated(b, a, given)


@pytest.mark.parametrize("given", ["m", "d"])
def test_m_graph(given: str) -> None:
    """Two causes of one thing become associated once it, or what follows from it, is known."""
    dag = Dag.from_edges(["u -> x", "u -> m", "w -> m", "w -> y", "m -> d"])
    assert dag.d_separated("x", "y")
    assert not dag.d_separated("x", "y", given)
    assert str(dag.open_path("x", "y", given)) == "x <- u -> m <- w -> y"
    assert dag.d_separated("x", "y", [given, "u"])
