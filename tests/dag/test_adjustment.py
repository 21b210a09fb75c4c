"""The criterion against numbers: an adjustment is right exactly if it gives the truncated factorisation.

For sets the criterion accepts both must agree to 1e-10 in every random network; for sets it rejects they must
differ in one of three.
"""

from __future__ import annotations

import warnings
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from churnsurv.dag import Dag, adjustment_sets, front_door_set, identify_effect, proper_causal_paths
from tests.dag.oracles import (
    EQUAL,
    Tables,
    accepts,
    descendants,
    differs,
    every_dag,
    path_is_open,
    random_dag,
    separated,
    simple_paths,
    subsets,
)

with warnings.catch_warnings():
    # Its bindings warn on import, and a warning that is an error there ends the process.
    warnings.simplefilter("ignore")
    import pyagrum as gum

relation = settings(max_examples=30, deadline=None)


def right_sets(dag: Dag, worlds: list[Tables], cause, outcome: str, given=()) -> list[tuple[str, ...]]:
    """Sets of observed nodes whose adjustment is the truth in every world; ``given`` comes on top."""
    truths = [world.truth(cause, outcome, given) for world in worlds]
    free = [node for node in dag.observed if node not in (*cause, outcome, *given)]
    return [
        several
        for several in subsets(free)
        if all(
            differs(world.adjusted(cause, outcome, several, given), truth) < EQUAL
            for world, truth in zip(worlds, truths, strict=True)
        )
    ]


def agree(dag: Dag, worlds: list[Tables], cause: tuple[str, ...], outcome: str, given: tuple[str, ...] = ()) -> str:
    """Everything the library says of one effect, against the numbers; returns what kind of effect it was."""
    right = right_sets(dag, worlds, cause, outcome, given)
    free = [node for node in dag.observed if node not in (*cause, outcome, *given)]
    accepted = [several for several in subsets(free) if accepts(dag, cause, outcome, several, given)]
    assert accepted == right, (dag, cause, outcome, given)
    minimal = [{*one, *given} for one in right if not any({*less} < {*one} for less in right)]
    listed = adjustment_sets(dag, cause, outcome, given)
    assert sorted(map(sorted, listed)) == sorted(map(sorted, minimal))
    found = identify_effect(dag, cause, outcome, given=given)
    assert found.no_effect is not any(outcome in descendants(dag, one) for one in cause)
    if found.no_effect:
        for world in worlds:
            plain = world.margin(world.joint, {*given, outcome}) / world.margin(world.joint, given)
            assert differs(world.truth(cause, outcome, given), plain) < EQUAL
        return "no effect"
    assert found.identified is bool(right)
    if not right:
        blame(dag, found, cause, outcome, given)
        return "not identified"
    assert found.adjustment_set == listed[0]
    assert len(found.adjustment_set) == min(len(one) + len(given) for one in right)
    return "identified"


def blame(dag: Dag, found, cause, outcome: str, given) -> None:
    """The path shown is no causal one, and open with every set, or at least with all that may be adjusted for."""
    path = found.open_path
    assert path.nodes[0] in cause
    assert path.nodes[-1] == outcome
    assert not {*path.nodes[1:-1]} & {*cause}
    assert not path.causal
    on_causal = {node for way in proper_causal_paths(dag, cause, outcome) for node in way.nodes[1:]}
    forbidden = {below for node in on_causal for below in descendants(dag, node)} | {*cause}
    allowed = [node for node in dag.observed if node not in forbidden and node not in given]
    if "stays open whatever is adjusted for" in found.reason:
        assert all(path_is_open(dag, path.nodes, {*several, *given}) for several in subsets(allowed))
    else:
        assert "no set of observed nodes blocks all paths at once" in found.reason
        above = [n for n in allowed if descendants(dag, n) & {*cause, outcome, *given}]
        assert path_is_open(dag, path.nodes, {*above, *given})


# Single causes ------------------------------------------------------------------------------------------


def test_all_graphs_of_four_nodes() -> None:
    """All 64 shapes, all pairs, all sets; two of three graphs with an early node latent."""
    rng = np.random.default_rng(0)
    kinds = {"identified": 0, "not identified": 0, "no effect": 0}
    for number, shape in enumerate(every_dag("abcd")):
        dag = Dag(shape.nodes, shape.edges, frozenset(("", "a", "b")[number % 3]))
        worlds = [Tables(dag, rng) for _ in range(3)]
        for cause in dag.observed:
            for outcome in dag.observed:
                if cause != outcome:
                    kinds[agree(dag, worlds, (cause,), outcome)] += 1
    assert min(kinds.values()) > 5, kinds


def test_random_graphs_with_latent_nodes() -> None:
    rng = np.random.default_rng(1)
    kinds = {"identified": 0, "not identified": 0, "no effect": 0}
    for _ in range(120):
        dag = random_dag(rng, 6, density=0.55, hidden=0.4)
        if len(dag.observed) < 3:
            continue
        worlds = [Tables(dag, rng) for _ in range(3)]
        cause, outcome = rng.permutation(dag.observed).tolist()[:2]
        if dag.order.index(cause) > dag.order.index(outcome) and rng.random() < 0.7:
            cause, outcome = outcome, cause
        kinds[agree(dag, worlds, (cause,), outcome)] += 1
    assert min(kinds.values()) > 5, kinds


# Several causes, segments -------------------------------------------------------------------------------


def test_joint_interventions() -> None:
    rng = np.random.default_rng(2)
    kinds = {"identified": 0, "not identified": 0, "no effect": 0}
    for _ in range(110):
        dag = random_dag(rng, 6, density=0.45, hidden=0.15)
        if len(dag.observed) < 4:
            continue
        outcome, *causes = rng.permutation(dag.observed).tolist()[:3]
        kinds[agree(dag, [Tables(dag, rng) for _ in range(3)], dag.in_order(causes), outcome)] += 1
    assert min(kinds.values()) > 8, kinds


def test_effects_within_a_segment() -> None:
    """Conditional on nodes that no cause changes, the same criterion holds for P(y | do(x), s)."""
    rng = np.random.default_rng(3)
    kinds = {"identified": 0, "not identified": 0, "no effect": 0}
    while sum(kinds.values()) < 100:
        dag = random_dag(rng, 6, density=0.5, hidden=0.15)
        if len(dag.observed) < 4:
            continue
        several = rng.permutation(dag.observed).tolist()
        n_causes = int(rng.integers(1, 3))
        causes, outcome, rest = dag.in_order(several[:n_causes]), several[n_causes], several[n_causes + 1 :]
        before = [node for node in rest if not any(node in descendants(dag, cause) for cause in causes)]
        if before:
            segment = dag.in_order(before[: int(rng.integers(1, 3))])
            kinds[agree(dag, [Tables(dag, rng) for _ in range(3)], causes, outcome, segment)] += 1
    assert min(kinds.values()) > 8, kinds


def test_a_cause_that_acts_only_through_others_may_be_left_out() -> None:
    """Where the answer says so, both interventions are one, and the smaller is identified."""
    rng = np.random.default_rng(4)
    told = 0
    for _ in range(400):
        dag = random_dag(rng, 6, hidden=0.3)
        if len(dag.observed) < 3:
            continue
        outcome, *causes = rng.permutation(dag.observed).tolist()[:3]
        found = identify_effect(dag, causes, outcome)
        if "through the other causes only" in found.reason:
            told += 1
            idle = {cause for cause in causes if cause not in {path.nodes[0] for path in found.causal_paths}}
            (rest,) = {*causes} - idle
            world = Tables(dag, rng)
            assert differs(world.truth(causes, outcome), world.truth([rest], outcome)) < EQUAL
            assert identify_effect(dag, rest, outcome).identified
    assert told > 10


# Another library, and the front door --------------------------------------------------------------------


def as_other(dag: Dag) -> tuple[object, set[int]]:
    other = gum.DAG()
    for node in dag.nodes:
        other.addNodeWithId(dag.position(node))
    for cause, effect in dag.edges:
        other.addArc(dag.position(cause), dag.position(effect))
    return other, {dag.position(node) for node in dag.latent}


@pytest.mark.filterwarnings("ignore")  # its bindings warn again; turned into an error that ends the interpreter
def test_back_and_front_doors_of_another_library() -> None:
    """Its front doors are blocked for each node by itself, ours for the set: ours are no larger, and may be more."""
    rng = np.random.default_rng(5)
    back, front, more = 0, 0, 0
    for _ in range(120):
        dag = random_dag(rng, 6)
        other, hidden = as_other(dag)
        for cause, outcome in combinations(dag.observed, 2):
            ends = dag.position(cause), dag.position(outcome)
            theirs = gum.DoorCriteria.enumerateBackdoorSets(other, *ends, excluded_nodes=hidden)
            ours = adjustment_sets(dag, cause, outcome)
            assert sorted(map(sorted, ours)) == sorted(sorted(dag.nodes[i] for i in one) for one in theirs)
            back += len(ours) > 1
            if outcome in dag.descendants(cause):
                theirs = gum.DoorCriteria.enumerateFrontdoorSets(other, *ends, excluded_nodes=hidden)
                mine = front_door_set(dag, cause, outcome)
                assert not theirs or (mine is not None and len(mine) <= min(map(len, theirs)))
                front += bool(theirs)
                more += mine is not None and not theirs
    assert min(back, front, more) > 3, (back, front, more)


def meets_front_door(dag: Dag, cause: str, outcome: str, through: tuple[str, ...]) -> bool:
    """Pearl (2009), definition 3.3.3, path by path."""
    intercepted = all(
        {*way[1:-1]} & {*through}
        for way in simple_paths(dag, cause, outcome)
        if all(pair in dag.edges for pair in pairwise(way))
    )
    out_of_cause = Dag(dag.nodes, tuple(edge for edge in dag.edges if edge[0] != cause))
    out_of_set = Dag(dag.nodes, tuple(edge for edge in dag.edges if edge[0] not in through))
    return (
        intercepted
        and all(separated(out_of_cause, cause, node, ()) for node in through)
        and all(separated(out_of_set, node, outcome, {cause}) for node in through)
    )


def test_front_doors_are_found_and_give_the_effect() -> None:
    rng = np.random.default_rng(6)
    sizes = []
    for _ in range(150):
        dag = random_dag(rng, 6, density=0.4)
        for cause, outcome in combinations(dag.in_order(dag.observed), 2):
            if outcome not in dag.descendants(cause):
                continue
            found = front_door_set(dag, cause, outcome)
            free = [node for node in dag.observed if node not in (cause, outcome)]
            expected = next((s for s in subsets(free) if meets_front_door(dag, cause, outcome, s)), None)
            assert found == expected, (dag, cause, outcome)
            if found is not None:
                world = Tables(dag, rng)
                assert differs(world.front_door(cause, outcome, found), world.truth([cause], outcome)) < EQUAL
                sizes.append(len(found))
    assert {1, 2} <= set(sizes)


# Nothing else matters -----------------------------------------------------------------------------------


@relation
@for_all(st.integers(0, 10**6))
def test_names_order_and_bystanders_do_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    dag = random_dag(rng, 6)
    if len(dag.observed) < 2:
        return
    cause, outcome = rng.permutation(dag.observed).tolist()[:2]
    names = dict(zip(dag.nodes, rng.permutation(list("uvwxyz")).tolist(), strict=True))
    renamed = Dag.from_edges(
        [(names[a], names[b]) for a, b in dag.edges], nodes=names.values(), latent=[names[node] for node in dag.latent]
    )
    turned = Dag.from_edges(rng.permutation(dag.edges).tolist(), nodes=dag.nodes, latent=dag.latent)
    alone = Dag.from_edges(dag.edges, nodes=[*dag.nodes, "alone"], latent=dag.latent)
    leaf = Dag.from_edges(
        [*dag.edges, (cause, "leaf"), (outcome, "leaf")], nodes=dag.nodes, latent=[*dag.latent, "leaf"]
    )
    found = identify_effect(dag, cause, outcome)
    for graph in (turned, alone, leaf):
        assert identify_effect(graph, cause, outcome) == found
        assert adjustment_sets(graph, cause, outcome) == adjustment_sets(dag, cause, outcome)
    translated = identify_effect(renamed, names[cause], names[outcome])
    assert (translated.status, translated.no_effect) == (found.status, found.no_effect)
    if found.adjustment_set is not None:
        assert translated.adjustment_set == tuple(names[node] for node in found.adjustment_set)
    else:
        assert translated.open_path.nodes == tuple(names[node] for node in found.open_path.nodes)


@relation
@for_all(st.integers(0, 10**6))
def test_another_latent_node_never_identifies_more(seed: int) -> None:
    rng = np.random.default_rng(seed)
    dag = random_dag(rng, 6, hidden=0.1)
    if len(dag.observed) < 3:
        return
    cause, outcome, third = rng.permutation(dag.observed).tolist()[:3]
    fewer = Dag(dag.nodes, dag.edges, dag.latent | {third})
    every, rest = adjustment_sets(dag, cause, outcome), adjustment_sets(fewer, cause, outcome)
    assert rest == [one for one in every if third not in one]
