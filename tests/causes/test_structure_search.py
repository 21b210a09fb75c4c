"""Scores of families and the search for the best graph: other libraries, quadrature, and every graph there is.

Tolerances: 1e-9 between two roads to one number.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from churnsurv.causes.structure_scores import BdeuScore, bdeu_score, hazard_score
from churnsurv.causes.structure_search import Edge, StructureProposal, best_structure
from churnsurv.errors import (
    ArgumentError,
    DataTypeError,
    EmptyDataError,
    GraphError,
    NetworkSizeError,
    NonFiniteError,
    UnknownStateError,
)

quick = settings(max_examples=20, deadline=None)
FOUR = ("a", "b", "c", "d")
Graph = frozenset[Edge]


def every_graph(nodes: Sequence[str]) -> list[Graph]:
    """All directed acyclic graphs: for every order of the nodes, every set of edges that follow it."""
    found = set()
    for order in itertools.permutations(nodes):
        pairs = list(itertools.combinations(order, 2))
        for chosen in itertools.product([False, True], repeat=len(pairs)):
            found.add(frozenset(itertools.compress(pairs, chosen)))
    return list(found)


ALL_FOUR = every_graph(FOUR)


class RandomScore:
    """A random number for every family; remembers how often it was asked."""

    def __init__(self, seed: int, penalty: float = 1.0) -> None:
        self.rng, self.penalty, self.asked = np.random.default_rng(seed), penalty, 0
        self.known: dict[tuple[str, tuple[str, ...]], float] = {}

    def __call__(self, child: str, parents: tuple[str, ...]) -> float:
        self.asked += 1
        key = child, parents
        if key not in self.known:
            self.known[key] = float(self.rng.normal(scale=3)) - self.penalty * len(parents)
        return self.known[key]

    def total(self, graph: Graph, nodes: Sequence[str]) -> float:
        return sum(self(v, tuple(u for u in nodes if (u, v) in graph)) for v in nodes)


def parents_of(edges: Sequence[Edge], node: str) -> set[str]:
    return {u for u, v in edges if v == node}


def pattern(edges: Sequence[Edge]) -> tuple[set[frozenset[str]], set[tuple[frozenset[str], str]]]:
    """Skeleton and unshielded colliders: equal exactly for graphs of one class (Verma and Pearl 1990)."""
    skeleton = {frozenset(edge) for edge in edges}
    colliders = {
        (frozenset((u, w)), v)
        for (u, v), (w, x) in itertools.combinations(edges, 2)
        if v == x and frozenset((u, w)) not in skeleton
    }
    return skeleton, colliders


# Scores --------------------------------------------------------------------------------------------------


def columns(seed: int, n: int = 80) -> tuple[np.ndarray, list[int]]:
    rng = np.random.default_rng(seed)
    n_levels = [2, 3, 4, 2]
    return rng.integers(0, n_levels, (n, 4)), n_levels


@quick
@given(seed=st.integers(0, 10_000), size=st.floats(0.1, 50), child=st.integers(0, 3), data=st.data())
def test_bdeu_written_out(seed: int, size: float, child: int, data: st.DataObject) -> None:
    codes, n_levels = columns(seed)
    parents = data.draw(st.lists(st.integers(0, 3).filter(lambda v: v != child), unique=True))
    q, r = math.prod(n_levels[p] for p in parents), n_levels[child]
    expected = 0.0
    for states in itertools.product(*(range(n_levels[p]) for p in parents)):
        here = (codes[:, parents] == states).all(axis=1)
        expected += math.lgamma(size / q) - math.lgamma(size / q + here.sum())
        for k in range(r):
            expected += math.lgamma(size / (q * r) + (codes[here, child] == k).sum()) - math.lgamma(size / (q * r))
    assert bdeu_score(child, parents, codes, n_levels, equivalent_size=size) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("child", "parents"), [(0, []), (0, [1, 2]), (2, [0, 1, 3]), (3, [2])])
def test_bdeu_like_pgmpy(child: int, parents: list[int]) -> None:
    codes, n_levels = columns(1)
    frame = pd.DataFrame(codes, columns=list(FOUR))
    names = [FOUR[p] for p in parents]
    theirs = pytest.importorskip("pgmpy.structure_score").BDeu(
        frame, equivalent_sample_size=7, state_names={c: list(range(k)) for c, k in zip(FOUR, n_levels, strict=True)}
    )
    ours = bdeu_score(child, parents, codes, n_levels, equivalent_size=7)
    assert ours == pytest.approx(theirs.local_score(FOUR[child], tuple(names)), abs=1e-8)


def test_bdeu_like_pyagrum() -> None:
    """In bits, of equivalent size 1; its logarithm of the gamma function is an approximation."""
    codes = np.random.default_rng(6).integers(0, 2, (50, 2))
    learner = pytest.importorskip("pyagrum").BNLearner(pd.DataFrame(codes.astype(str), columns=["a", "b"]))
    learner.useScoreBDeu()
    assert bdeu_score(0, [1], codes, [2, 2]) / math.log(2) == pytest.approx(learner.score("a", ["b"]), abs=1e-5)


def test_bdeu_is_the_probability_of_the_rows() -> None:
    """One row after the other, each with its probability given those before: 1/2 · 3/4 · 1/6 for 1, 1, 0."""
    assert bdeu_score(0, [], [[1], [1], [0]], [2]) == pytest.approx(math.log(1 / 2 * 3 / 4 * 1 / 6), rel=1e-12)


@quick
@given(seed=st.integers(0, 10_000), edges=st.sampled_from(ALL_FOUR))
def test_graphs_of_one_class_score_alike(seed: int, edges: Graph) -> None:
    codes, n_levels = columns(seed)
    score = BdeuScore(codes, n_levels, equivalent_size=3.0).by_name(FOUR)

    def total(graph: Graph) -> float:
        return sum(score(v, tuple(u for u in FOUR if (u, v) in graph)) for v in FOUR)

    alike = [graph for graph in ALL_FOUR if pattern(sorted(graph)) == pattern(sorted(edges))]
    assert [total(graph) for graph in alike] == pytest.approx([total(edges)] * len(alike), abs=1e-9)


@quick
@given(seed=st.integers(0, 10_000))
def test_weights_count_rows(seed: int) -> None:
    codes, n_levels = columns(seed)
    copies = np.random.default_rng(seed).integers(1, 4, len(codes))
    repeated = bdeu_score(0, [1, 2], np.repeat(codes, copies, axis=0), n_levels)
    assert bdeu_score(0, [1, 2], codes, n_levels, weight=copies) == pytest.approx(repeated, abs=1e-9)


def test_many_configurations_are_numbered() -> None:
    """4 ** 11 configurations, at most 60 of them seen: those without rows add 0."""
    rng = np.random.default_rng(2)
    codes, n_levels = rng.integers(0, 4, (60, 12))[rng.integers(0, 60, 300)], [4] * 12
    codes[:, 0] = rng.integers(0, 4, 300)
    q = 4.0**11
    counts = pd.DataFrame(codes).groupby(list(range(1, 12)))[0].value_counts().unstack(fill_value=0).to_numpy()
    lgamma = np.vectorize(math.lgamma)
    expected = (math.lgamma(1 / q) - lgamma(1 / q + counts.sum(axis=1))).sum()
    expected += (lgamma(counts + 1 / (4 * q)) - math.lgamma(1 / (4 * q))).sum()
    assert bdeu_score(0, range(1, 12), codes, n_levels) == pytest.approx(expected, abs=1e-9)
    assert bdeu_score(0, [1], np.zeros((0, 2), int), [2, 2]) == 0.0


def test_the_hazard_score_is_an_integral() -> None:
    events, exposure, stratum = [2, 1, 0, 4], [3.0, 1.5, 2.0, 6.0], ["p", "p", "q", "r"]
    shape, rate = 1.7, 2.3
    log_integral = 0.0
    for d, time in [(3, 4.5), (0, 2.0), (4, 6.0)]:
        density = rate**shape / math.gamma(shape)

        def integrand(h: float, d: int = d, time: float = time, density: float = density) -> float:
            return density * h ** (shape - 1 + d) * math.exp(-(rate + time) * h)

        log_integral += math.log(quad(integrand, 0, np.inf, epsabs=0, epsrel=1e-11)[0])
    assert hazard_score(events, exposure, stratum, shape, rate) == pytest.approx(log_integral, abs=1e-9)
    per_row = hazard_score(events, exposure, stratum, np.full(4, shape), np.full(4, rate))
    assert per_row == pytest.approx(log_integral, abs=1e-9)


def test_the_unit_of_time_shifts_the_hazard_score_of_all_parents_alike() -> None:
    rng = np.random.default_rng(3)
    d, time, fine = rng.integers(0, 2, 50), rng.uniform(1, 9, 50), rng.integers(0, 6, 50)
    for shift in (
        hazard_score(d, 24 * time, s, 1.0, 24.0) - hazard_score(d, time, s, 1.0, 1.0) for s in (fine, fine // 3)
    ):
        assert shift == pytest.approx(-d.sum() * math.log(24), abs=1e-9)


# Search --------------------------------------------------------------------------------------------------


def test_there_are_as_many_graphs_as_robinson_counted() -> None:
    assert [len(every_graph(FOUR[:n])) for n in (1, 2, 3, 4)] == [1, 3, 25, 543]


@quick
@given(seed=st.integers(0, 10_000), data=st.data())
def test_the_best_of_every_graph_of_four(seed: int, data: st.DataObject) -> None:
    """Under every kind of constraint, and what each edge of the best graph is worth."""
    score = RandomScore(seed)
    tiers = data.draw(st.none() | st.fixed_dictionaries({v: st.integers(0, 2) for v in FOUR}))
    pairs = list(itertools.permutations(FOUR, 2))
    forbidden = data.draw(st.lists(st.sampled_from(pairs), max_size=3))
    leaf = data.draw(st.none() | st.sampled_from(FOUR))
    most = data.draw(st.none() | st.integers(1, 3))
    may = [
        (u, v) for u, v in pairs if u != leaf and (u, v) not in forbidden and (tiers is None or tiers[u] <= tiers[v])
    ]
    required = data.draw(st.lists(st.sampled_from(may), max_size=1)) if may else []
    drawn = data.draw(st.sampled_from(ALL_FOUR))
    graphs = [
        graph
        for graph in ALL_FOUR
        if graph <= set(may)
        and set(required) <= graph
        and all(len(parents_of(sorted(graph), v)) <= (3 if most is None else most) for v in FOUR)
    ]
    totals = {graph: score.total(graph, FOUR) for graph in graphs}
    best = max(totals.values())

    found = best_structure(
        FOUR, score, drawn=drawn, tiers=tiers, forbidden=forbidden, required=required, max_parents=most, leaf=leaf
    )
    assert found.score == pytest.approx(best, abs=1e-9)
    assert totals[frozenset(found.edges)] == pytest.approx(best, abs=1e-9)
    assert found.drawn_score == pytest.approx(score.total(drawn, FOUR), abs=1e-9)
    for change in found.changes:
        edge, back = (change.parent, change.child), (change.child, change.parent)
        if change.change == "missing":
            left = [total for graph, total in totals.items() if edge in graph]
            assert math.isnan(change.adjacency_loss)
        else:
            left = [total for graph, total in totals.items() if edge not in graph]
            apart = [total for graph, total in totals.items() if edge not in graph and back not in graph]
            assert change.adjacency_loss == pytest.approx(best - max(apart, default=-math.inf), abs=1e-9)
        assert change.direction_loss == pytest.approx(best - max(left, default=-math.inf), abs=1e-9)


@quick
@given(seed=st.integers(0, 10_000), drawn=st.sampled_from(ALL_FOUR))
def test_what_changed_and_what_it_is_worth_alone(seed: int, drawn: Graph) -> None:
    score = RandomScore(seed, penalty=2.0)
    found = best_structure(FOUR, score, drawn=drawn)
    proposed = set(found.edges)
    expected = {}
    for u, v in proposed:
        expected[u, v] = "kept" if (u, v) in drawn else "reversed" if (v, u) in drawn else "added"
    expected |= {e: "missing" for e in drawn if e not in proposed and (e[1], e[0]) not in proposed}
    assert {(c.parent, c.child): c.change for c in found.changes} == expected
    before = score.total(drawn, FOUR)
    for change in found.changes:
        edge = (change.parent, change.child)
        back = edge[::-1]
        alone = {
            "kept": drawn,
            "added": drawn | {edge},
            "missing": drawn - {edge},
            "reversed": (drawn - {back}) | {edge},
        }
        graph = alone[change.change]
        if graph in ALL_FOUR:
            assert change.gain == pytest.approx(score.total(graph, FOUR) - before, abs=1e-9)
        else:
            assert math.isnan(change.gain)
    assert found.gain == pytest.approx(found.score - before, abs=1e-9)


def test_the_best_of_every_graph_of_five() -> None:
    nodes = (*FOUR, "e")
    graphs = every_graph(nodes)
    assert len(graphs) == 29_281
    for seed in range(3):
        score = RandomScore(seed)
        found = best_structure(nodes, score)
        assert found.score == pytest.approx(max(score.total(graph, nodes) for graph in graphs), abs=1e-9)


def test_each_family_is_scored_once() -> None:
    score = RandomScore(0)
    best_structure(FOUR, score, drawn=[("a", "b"), ("b", "c")])
    assert score.asked == len(score.known) == 4 * 2**3
    few = RandomScore(0)
    best_structure(FOUR, few, max_parents=1)
    assert few.asked == 4 * (1 + 3)


def simulated(n: int, seed: int) -> tuple[np.ndarray, list[int], list[Edge]]:
    """Rows of a → c ← b, c → d, c → e with strong effects."""
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 2, n), rng.integers(0, 3, n)
    c = (rng.random(n) < 0.1 + 0.35 * a + 0.25 * b).astype(int)
    d = np.where(rng.random(n) < 0.6, c, rng.integers(0, 3, n))
    e = np.where(rng.random(n) < 0.5, c, rng.integers(0, 2, n))
    return np.stack([a, b, c, d, e], axis=1), [2, 3, 2, 3, 2], [("a", "c"), ("b", "c"), ("c", "d"), ("c", "e")]


NODES = ("a", "b", "c", "d", "e")


def test_the_class_of_the_truth_is_found() -> None:
    codes, n_levels, truth = simulated(20_000, seed=1)
    found = best_structure(NODES, BdeuScore(codes, n_levels).by_name(NODES), drawn=truth)
    assert pattern(found.edges) == pattern(truth)
    assert str(found) == "Within the constraints the data prefer no other graph to the drawn one."


def test_tiers_turn_what_the_data_cannot() -> None:
    """b → c → a and c → d is in the class of its reverse; with tiers only one graph is left."""
    rng = np.random.default_rng(2)
    n = 5000
    first = rng.integers(0, 2, n)
    second = np.where(rng.random(n) < 0.6, first, rng.integers(0, 2, n))
    third = np.where(rng.random(n) < 0.6, second, rng.integers(0, 2, n))
    score = BdeuScore(np.stack([third, first, second], axis=1), [2, 2, 2]).by_name("abc")
    truth = {("b", "c"), ("c", "a")}
    found = best_structure("abc", score, tiers={"b": 0, "c": 1, "a": 2})
    assert set(found.edges) == truth
    free = best_structure("abc", score, drawn=[("a", "c"), ("c", "b")])
    assert free.score == pytest.approx(found.score, abs=1e-9)
    assert pattern(free.edges) == pattern(sorted(truth))
    assert all(change.turnable for change in free.changes)
    assert not any(change.turnable for change in found.changes)


@quick
@given(seed=st.integers(0, 10_000))
def test_of_graphs_that_score_alike_the_drawn_one_is_kept(seed: int) -> None:
    codes, n_levels = columns(seed, n=400)
    codes[:, 1] = (codes[:, 0] + (codes[:, 1] == 0)) % 3
    codes[:, 2] = (codes[:, 1] + (codes[:, 2] == 0)) % 4
    score = BdeuScore(codes, n_levels).by_name(FOUR)
    best = best_structure(FOUR, score)
    alike = [graph for graph in ALL_FOUR if pattern(sorted(graph)) == pattern(best.edges)]
    assert len(alike) >= 3
    for graph in alike:
        again = best_structure(FOUR, score, drawn=graph)
        assert set(again.edges) == graph
        assert again.gain == pytest.approx(0.0, abs=1e-9)


def test_a_leaf_brings_its_own_score() -> None:
    """The hazard doubles with a; b goes with a but does not matter to the leaf, which takes a alone."""
    rng = np.random.default_rng(4)
    n = 3000
    a = rng.integers(0, 2, n)
    b = np.where(rng.random(n) < 0.5, a, rng.integers(0, 2, n))
    time = rng.exponential(1 / (0.5 * 2.0**a))
    events, exposure = time < 1, np.minimum(time, 1.0)
    codes = {"a": a, "b": b}
    family = BdeuScore(np.stack([a, b], axis=1), [2, 2]).by_name("ab")

    def score(child: str, parents: tuple[str, ...]) -> float:
        if child != "churn":
            return family(child, parents) if "churn" not in parents else math.nan
        stratum = sum((codes[p] * 2**i for i, p in enumerate(parents)), np.zeros(n, int))
        return hazard_score(events, exposure, stratum, shape=1.0, rate=2.0)

    found = best_structure(["a", "b", "churn"], score, leaf="churn", tiers={"a": 0, "b": 1, "churn": 2})
    assert set(found.edges) == {("a", "b"), ("a", "churn")}


def test_twelve_nodes() -> None:
    """An independent bound: without constraints on order no family can do better than its best parents."""
    nodes = [f"n{i}" for i in range(12)]
    score = RandomScore(5, penalty=3.0)
    found = best_structure(nodes, score, tiers={name: i for i, name in enumerate(nodes)})
    bound = sum(
        max(score(v, parents) for k in range(i + 1) for parents in itertools.combinations(nodes[:i], k))
        for i, v in enumerate(nodes)
    )
    assert found.score == pytest.approx(bound, rel=1e-9)


# What it says --------------------------------------------------------------------------------------------


def told(edges: dict[tuple[str, tuple[str, ...]], float], **more: object) -> StructureProposal:
    return best_structure(["a", "b", "c"], lambda v, p: edges.get((v, p), -9.0 * len(p)), **more)  # type: ignore[arg-type]


def test_words_and_table() -> None:
    found = told({("b", ("a",)): 2.0, ("a", ("b",)): 2.0}, drawn=[("b", "c")])
    assert str(found) == (
        "The data prefer another graph by 11.0 nats; added: b → a (+2.0 alone, or the other way round); "
        "missing: b → c (+9.0 alone). They do not say that an edge is a cause, nor that a missing edge is none."
    )
    frame = found.frame()
    assert frame["change"].tolist() == ["added", "missing"]
    assert frame["direction_loss"].tolist() == pytest.approx([0.0, 9.0], abs=1e-9)
    assert [change.parent for change in found.of_kind("missing")] == ["b"]


def test_words_where_the_drawn_graph_breaks_the_constraints() -> None:
    found = told({("b", ("a",)): 5.0}, drawn=[("a", "b")], forbidden=[("a", "b")])
    assert found.gain == pytest.approx(-5.0)
    assert str(found).startswith(
        "The drawn graph breaks the constraints; the best one within them is 5.0 nats worse; missing: a → b (-5.0 alone)"
    )
    assert found.changes[0].direction_loss == math.inf


def test_a_required_edge_has_no_alternative() -> None:
    found = told({}, required=[("a", "b")])
    assert found.edges == (("a", "b"),)
    assert (found.changes[0].direction_loss, found.changes[0].adjacency_loss) == (math.inf, math.inf)


def test_search_refusals() -> None:
    flat = {("a", ()): 0.0}
    with pytest.raises(NetworkSizeError, match=r"13 nodes are more than the 12") as caught:
        best_structure([f"n{i}" for i in range(13)], lambda v, p: 0.0)
    assert "53,248 family scores and a table of 106,496 numbers" in str(caught.value)
    with pytest.raises(EmptyDataError, match="`nodes` is empty"):
        best_structure([], lambda v, p: 0.0)
    with pytest.raises(GraphError, match="not different names"):
        best_structure(["a", "a"], lambda v, p: 0.0)
    with pytest.raises(GraphError, match="the drawn graph has a cycle"):
        told(flat, drawn=[("a", "b"), ("b", "c"), ("c", "a")])
    with pytest.raises(GraphError, match=r"`drawn` holds \('a', 'x'\), which is no edge between two of the 3 nodes"):
        told(flat, drawn=[("a", "x")])
    with pytest.raises(GraphError, match=r"`forbidden` holds 'ab'"):
        told(flat, forbidden=["ab"])
    with pytest.raises(GraphError, match=r"`required` holds \('a', 'a'\)"):
        told(flat, required=[("a", "a")])
    with pytest.raises(GraphError, match=r"\('b', 'a'\) is required, and `tiers`, `forbidden` or `leaf` rule it out"):
        told(flat, required=[("b", "a")], leaf="b")
    with pytest.raises(GraphError, match="required edges form a cycle"):
        told(flat, required=[("b", "a"), ("a", "b")])
    with pytest.raises(ArgumentError, match="`max_parents`=1, and more are required of c"):
        told(flat, required=[("a", "c"), ("b", "c")], max_parents=1)
    with pytest.raises(ArgumentError, match="`max_parents`=-1 is below 0"):
        told(flat, max_parents=-1)
    with pytest.raises(GraphError, match="'x' of `tiers` or `leaf` is none of the 3 nodes"):
        told(flat, leaf="x")
    with pytest.raises(GraphError, match="2 of 3 nodes have no tier: b, c"):
        told(flat, tiers={"a": 0})
    with pytest.raises(NonFiniteError, match=r"the score of 'a' with parents \(\) is nan"):
        told({("a", ()): math.nan})


def test_score_refusals() -> None:
    codes = [[0, 1], [1, 0]]
    with pytest.raises(UnknownStateError, match="1 of 4 values of `codes` are no states of their node"):
        bdeu_score(0, [1], [[0, 2], [1, 0]], [2, 2])
    with pytest.raises(ArgumentError, match=r"`codes` has shape \(2, 2\), and `n_levels` names 3 nodes"):
        bdeu_score(0, [1], codes, [2, 2, 2])
    with pytest.raises(DataTypeError, match="states are whole numbers"):
        bdeu_score(0, [1], np.array(codes) / 2, [2, 2])
    with pytest.raises(ArgumentError, match="`child`=2 is no column of 2"):
        bdeu_score(2, [1], codes, [2, 2])
    with pytest.raises(ArgumentError, match="name a column twice, or the child itself"):
        bdeu_score(0, [1, 1], codes, [2, 2])
    with pytest.raises(ArgumentError, match="name a column twice, or the child itself"):
        bdeu_score(0, [0], codes, [2, 2])
    with pytest.raises(ArgumentError, match="`equivalent_size`=0 is not above 0"):
        bdeu_score(0, [1], codes, [2, 2], equivalent_size=0.0)
    with pytest.raises(ArgumentError, match="1 of 2 values of `weight` are not above 0"):
        bdeu_score(0, [1], codes, [2, 2], weight=[1, 0])
    with pytest.raises(ArgumentError, match="codes has 2, weight has 3"):
        bdeu_score(0, [1], codes, [2, 2], weight=[1, 1, 1])
    with pytest.raises(ArgumentError, match="2 names, 1 of them different, for 2 columns"):
        BdeuScore(codes, [2, 2]).by_name(["a", "a"])
    assert repr(BdeuScore(codes, [2, 2])) == "BdeuScore(2 rows, 2 nodes, equivalent_size=1)"
    with pytest.raises(ArgumentError, match="1 of 1 values of `exposure` are negative"):
        hazard_score([0], [-1.0], [0], 1.0, 1.0)
    with pytest.raises(ArgumentError, match="values of `rate` are not above 0"):
        hazard_score([0], [1.0], [0], 1.0, 0.0)
    with pytest.raises(ArgumentError, match="1 of 2 values of `shape` differ within a stratum"):
        hazard_score([0, 0], [1.0, 1.0], [0, 0], [1.0, 2.0], 1.0)
    with pytest.raises(ArgumentError, match="stratum has 2, shape has 3"):
        hazard_score([0, 0], [1.0, 1.0], [0, 0], [1.0, 2.0, 3.0], 1.0)
