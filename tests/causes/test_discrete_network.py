"""Answers of discrete networks: against the joint table written out, in every draw; seeing and doing.

Tolerance 1e-12: exact sums in another order.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churnsurv.causes.inference.answers import Answer
from churnsurv.causes.inference.discrete_network import DiscreteNetwork
from churnsurv.errors import (
    ArgumentError,
    GraphError,
    ImpossibleEvidenceError,
    NetworkSizeError,
    ProbabilityTableError,
    UnknownStateError,
)
from tests.causes.brute_force import gate, joint_of, masked, parcels, posterior, random_given, random_network

relation = settings(max_examples=20, deadline=None)
seeds = st.integers(0, 10**6)
close = {"rtol": 1e-12, "atol": 1e-13}


def test_by_hand():
    network = parcels()
    assert network.query("wait").mean() == pytest.approx([0.58, 0.22, 0.20], abs=1e-15)
    # P(late, wait > 24h) = 0.2 * 0.6 of 0.2 in all
    assert network.query("late", {"wait": ">24h"}).mean() == pytest.approx([0.4, 0.6], abs=1e-15)
    # of those late and waiting: 0.6 * 0.4 + 0.4 * 0.0 ... (0.3 * 0.4 + 0.6 * 0.5) / 0.9
    answer = network.query("leaves", {"late": "yes", "wait": {"4-24h", ">24h"}})
    assert answer.mean() == pytest.approx([0.48 / 0.9, 0.42 / 0.9], abs=1e-15)
    assert network.probability_of({"late": "yes", "wait": ["4-24h", ">24h"]}) == pytest.approx([0.18])
    assert network.joint().draws[0, 1, 2, 1] == pytest.approx(0.2 * 0.6 * 0.5)


def test_doing_by_hand():
    """Truncated factorisation: 0.8 * 0.1 + 0.2 * 0.15 of those for whom the wait is short by decree."""
    network = parcels()
    done = network.do({"wait": "<4h"})
    assert done.query("leaves").mean() == pytest.approx([0.89, 0.11], abs=1e-15)
    assert network.query("leaves", {"wait": "<4h"}).mean()[1] == pytest.approx((0.56 * 0.1 + 0.02 * 0.15) / 0.58)
    assert done.query("late", {"wait": "<4h"}).mean() == pytest.approx([0.8, 0.2], abs=1e-15)
    mixed = network.do({"wait": {"<4h": 0.25, ">24h": 0.75}}).query("leaves")
    assert mixed.mean()[1] == pytest.approx(0.25 * 0.11 + 0.75 * (0.8 * 0.3 + 0.2 * 0.5), abs=1e-15)
    pushed = network.do({"wait": {">24h": "<4h"}})
    assert pushed.query("leaves").mean()[1] == pytest.approx(
        0.8 * (0.8 * 0.1 + 0.2 * 0.2) + 0.2 * (0.7 * 0.15 + 0.3 * 0.4), abs=1e-15
    )
    assert network.interventions == {}
    assert pushed.interventions == {"wait": {">24h": "<4h"}}
    assert repr(pushed.do({"late": "no"})) == (
        "DiscreteNetwork(nodes: 3, edges: 3, draws: 1, do(wait=>24h to <4h), do(late=no))"
    )


@relation
@given(seed=seeds)
def test_queries_equal_the_joint_table(seed):
    rng = np.random.default_rng(seed)
    network = random_network(rng, n_nodes=int(rng.integers(1, 7)), zeros=0.1)
    joint = joint_of(network, network.n_draws)
    np.testing.assert_allclose(network.joint().draws, joint, **close)
    for _ in range(4):
        shuffled = rng.permutation(network.names).tolist()
        targets = shuffled[: int(rng.integers(1, 1 + min(3, len(shuffled))))]
        # Some of the targets may be seen themselves.
        seen = rng.permutation(network.names)[: int(rng.integers(0, len(shuffled) + 1))].tolist()
        evidence = random_given(rng, network, seen)
        total = masked(network, joint, evidence).reshape(network.n_draws, -1).sum(axis=1)
        np.testing.assert_allclose(network.probability_of(evidence), total, **close)
        if (total > 0).all():
            answer = network.query(targets, evidence)
            assert answer.targets == tuple(targets)
            assert answer.states == tuple(network.states[name] for name in targets)
            np.testing.assert_allclose(answer.draws, posterior(network, joint, targets, evidence), **close)
        else:
            with pytest.raises(ImpossibleEvidenceError):
                network.query(targets, evidence)


@relation
@given(seed=seeds)
def test_doing_equals_the_joint_table_of_the_truncated_product(seed):
    rng = np.random.default_rng(seed)
    network = random_network(rng)
    names = rng.permutation(network.names)[:3].tolist()
    state_of, weights_of, moves_of = names
    state = rng.choice(network.states[state_of])
    weights = rng.dirichlet(np.ones(len(network.states[weights_of])))
    own = network.states[moves_of]
    moves = {a: b for a, b in zip(own, rng.choice(own, len(own)).tolist(), strict=True) if rng.random() < 0.7}
    changes: dict[str, Any] = {
        state_of: str(state),
        weights_of: dict(zip(network.states[weights_of], weights.tolist(), strict=True)),
    }
    changes |= {moves_of: moves} if moves else {}
    done = network.do(changes)
    expected = np.zeros_like(joint_of(network, network.n_draws))
    for codes in itertools.product(*(range(n) for n in expected.shape[1:])):
        at = dict(zip(network.names, codes, strict=True))
        product = np.ones(network.n_draws)
        for name in network.names:
            row = network.cpts[name][(slice(None), *(at[p] for p in network.parents[name]))]
            if name == state_of:
                product = product * float(network.states[name][at[name]] == state)
            elif name == weights_of:
                product = product * weights[at[name]]
            elif name == moves_of:
                here = [k for k, before in enumerate(own) if moves.get(before, before) == own[at[name]]]
                product = product * row[:, here].sum(axis=1)
            else:
                product = product * row[:, at[name]]
        expected[(slice(None), *codes)] = product
    np.testing.assert_allclose(joint_of(done, network.n_draws), expected, **close)
    target = next(name for name in network.names if name not in names)
    np.testing.assert_allclose(done.query(target).draws, posterior(done, expected, [target], {}), **close)


@relation
@given(seed=seeds)
def test_doing_leaves_what_lies_before_alone(seed):
    rng = np.random.default_rng(seed)
    network = random_network(rng)
    joint = joint_of(network, network.n_draws)
    for node in network.names:
        change = rng.choice(network.states[node])
        done = network.do({node: str(change)})
        before, waiting = set(), list(network.parents[node])
        while waiting:
            above = waiting.pop()
            before.add(above)
            waiting += network.parents[above]
        for name in before:
            np.testing.assert_allclose(done.query(name).draws, posterior(network, joint, [name], {}), **close)


def test_doing_to_a_root_is_seeing_it():
    network = random_network(np.random.default_rng(3))
    roots = [name for name in network.names if not network.parents[name]]
    for root, target in itertools.product(roots, network.names):
        state = network.states[root][0]
        np.testing.assert_allclose(
            network.do({root: state}).query(target).draws, network.query(target, {root: state}).draws, **close
        )


def test_swapping_states_happens_at_once():
    network = parcels().do({"late": {"no": "yes", "yes": "no"}})
    assert network.query("late").mean() == pytest.approx([0.2, 0.8])
    assert network.do({"late": "no"}).query("late").mean().tolist() == [1.0, 0.0]


def test_draws_stay_apart():
    """P(yes) of each draw by hand; the mean of the answers is no answer of the mean."""
    network, prior = parcels(5), np.linspace(0.1, 0.3, 5)
    expected = prior * 0.6 / (prior * 0.6 + (1 - prior) * 0.1)
    answer = network.query("late", {"wait": ">24h"})
    np.testing.assert_allclose(answer.draws[:, 1], expected, rtol=1e-14)
    assert answer.mean()[1] == pytest.approx(expected.mean())
    lower, upper = answer.interval(ci_prob=0.5)
    assert (lower[1], upper[1]) == pytest.approx(tuple(np.quantile(expected, [0.25, 0.75])))
    point = network.mean()
    assert point.n_draws == 1
    assert point.query("late", {"wait": ">24h"}).mean()[1] == pytest.approx(0.6)
    assert expected.mean() != pytest.approx(0.6, abs=1e-3)


def test_what_is_known_in_every_draw_has_as_many_draws():
    network = parcels(5).do({"late": "yes"})
    assert network.n_draws == 5
    assert network.query("wait").draws.shape == (5, 3)
    assert network.probability_of({"wait": "<4h"}).tolist() == [0.1] * 5
    assert network.probability_of({}).tolist() == [1.0] * 5


def test_frame_of_one_node_and_of_two():
    frame = parcels(5).query("wait").frame(ci_prob=0.5)
    assert list(frame.columns) == ["wait", "probability", "lower", "upper"]
    assert frame["wait"].tolist() == ["<4h", "4-24h", ">24h"]
    assert frame["probability"].tolist() == pytest.approx([0.58, 0.22, 0.20])
    assert (frame["lower"] < frame["probability"]).all()
    assert (frame["probability"] < frame["upper"]).all()
    two = parcels().query(["leaves", "late"], {"wait": "<4h"}).frame()
    assert two[["leaves", "late"]].values.tolist() == [["no", "no"], ["no", "yes"], ["yes", "no"], ["yes", "yes"]]
    assert two["probability"].sum() == pytest.approx(1)


def test_a_point_has_no_bounds():
    lower, upper = parcels().query("wait").interval()
    assert np.isnan(lower).all()
    assert np.isnan(upper).all()
    assert parcels().query("wait").frame()[["lower", "upper"]].isna().all(axis=None)


def test_repr_tells_question_and_numbers():
    assert repr(parcels().do({"late": "yes"}).query("wait", {"leaves": {"yes", "no"}})) == (
        "Answer(P(wait | do(late=yes), leaves=no or yes): <4h 0.1, 4-24h 0.3, >24h 0.6; draws: 1)"
    )
    assert repr(parcels(3).joint()).startswith("Answer(P(late, wait, leaves): no and <4h and no 0.504, ")
    assert repr(parcels(3).joint()).endswith(", …; draws: 3)")
    assert repr(parcels(3)) == "DiscreteNetwork(nodes: 3, edges: 3, draws: 3)"


def test_a_node_called_like_a_column():
    network = DiscreteNetwork(["lower"], {"lower": ["a", "b"]}, {}, {"lower": [0.5, 0.5]})
    with pytest.raises(ArgumentError, match="a node is called 'lower', like a column of the frame"):
        network.query("lower").frame()


def test_interval_needs_a_probability():
    with pytest.raises(ArgumentError, match="`ci_prob`=90 is not strictly between 0 and 1"):
        parcels(3).query("wait").interval(90)


# What is refused when a network is made


@pytest.mark.parametrize(
    ("change", "error", "told"),
    [
        ({"names": "late"}, ArgumentError, "`names`='late' is one text"),
        ({"names": ["late", "late"]}, ArgumentError, "a node is named twice: 'late'"),
        ({"names": ["late", 3]}, ArgumentError, "1 of 2 names of a node are no text or empty: 3"),
        ({"names": ["late", ""]}, ArgumentError, "1 of 2 names of a node are no text or empty: ''"),
        ({"states": {"late": ["no", "yes"]}}, ArgumentError, "1 of 2 nodes have no states: 'wait'"),
        ({"names": ["wait"]}, ArgumentError, "states are of no node: 'late'"),
        ({"states": {"late": "no", "wait": ["a", "b"]}}, ArgumentError, "the states of `late` are 'no'"),
        ({"states": {"late": [], "wait": ["a", "b"]}}, ArgumentError, r"the states of `late` are \[\]"),
        ({"states": {"late": ["a", "a"], "wait": ["a", "b"]}}, ArgumentError, "a state of `late` is named twice: 'a'"),
        ({"states": {"late": ["a", 1], "wait": ["a", "b"]}}, ArgumentError, "1 of 2 names of a state of `late`"),
        ({"parents": {"wait": ["lat"]}}, GraphError, "`lat` in the parents of `wait` is no node"),
        ({"parents": {"weight": ["late"]}}, GraphError, "`weight` in the parents of `weight` is no node"),
        ({"parents": {"wait": "late"}}, GraphError, "`wait` in the parents of `wait`|`l` in the parents of `wait`"),
        ({"parents": {"wait": ["late", "late"]}}, GraphError, "`wait` has a parent twice: late, late"),
        ({"parents": {"wait": ["late"], "late": ["wait"]}}, GraphError, "cycle: (late -> wait -> late|wait -> late -> wait)"),
        ({"parents": {"wait": ["wait"]}}, GraphError, "cycle: wait -> wait"),
        ({"cpts": {"late": [0.5, 0.5]}}, ProbabilityTableError, "1 of 2 nodes have no table: 'wait'"),
    ],
)  # fmt: skip
def test_networks_that_are_none(change, error, told):
    whole: dict[str, Any] = {
        "names": ["late", "wait"], "states": {"late": ["no", "yes"], "wait": ["a", "b"]}, "parents": {"wait": ["late"]},
        "cpts": {"late": [0.8, 0.2], "wait": [[0.9, 0.1], [0.3, 0.7]]},
    }  # fmt: skip
    assert DiscreteNetwork(**whole).n_draws == 1
    with pytest.raises(error, match=told) as caught:
        DiscreteNetwork(**(whole | change))
    assert "Hint: " in str(caught.value)


def test_a_table_too_many():
    with pytest.raises(ProbabilityTableError, match="a table is of no node: 'wait'"):
        DiscreteNetwork(["late"], {"late": ["no", "yes"]}, {}, {"late": [0.8, 0.2], "wait": [1.0]})


@pytest.mark.parametrize(
    ("wait", "told", "row"),
    [
        (
            [[0.9, 0.1], [0.3, 0.6]],
            "1 of 2 rows of the table of `wait` do not sum to 1; the first is that of late=yes: 0.9.",
            {"draw": 0, "late": "yes", "sum": 0.9},
        ),
        (
            [[[0.9, 0.1], [0.3, 0.7]], [[0.9, 0.1 + 2e-9], [0.3, 0.71]]],
            "2 of 4 rows of the table of `wait` do not sum to 1; the first is that of late=no: 1.000000002.",
            {"draw": 1, "late": "no", "sum": 1.000000002},
        ),
        (
            [[1.1, -0.1], [0.3, 0.7]],
            "1 of 2 rows of the table of `wait` hold a negative number or NaN; the first is that of late=no: -0.1.",
            {"draw": 0, "late": "no", "smallest": -0.1},
        ),
        (
            [[0.9, 0.1], [0.3, np.nan]],
            "1 of 2 rows of the table of `wait` hold a negative number or NaN; the first is that of late=yes: nan.",
            {"draw": 0, "late": "yes"},
        ),
        (
            [[0.9, 0.1], [0.3, np.inf]],
            "1 of 2 rows of the table of `wait` do not sum to 1; the first is that of late=yes: inf.",
            {"draw": 0, "late": "yes", "sum": np.inf},
        ),
    ],
)
def test_rows_that_are_no_distribution(wait, told, row):
    with pytest.raises(ProbabilityTableError) as caught:
        DiscreteNetwork(
            ["late", "wait"], {"late": ["no", "yes"], "wait": ["a", "b"]}, {"wait": ["late"]},
            {"late": [0.8, 0.2], "wait": wait},
        )  # fmt: skip
    assert caught.value.what == told
    assert {key: caught.value.rows[0][key] for key in row} == pytest.approx(row)
    assert caught.value.column == "wait"
    assert "Hint: the last axis of the table" in str(caught.value)


def test_a_row_may_miss_one_by_rounding():
    network = DiscreteNetwork(["late"], {"late": ["no", "yes"]}, {}, {"late": [0.8, 0.2 + 5e-10]})
    assert network.query("late").mean().sum() == pytest.approx(1, abs=1e-15)
    with pytest.raises(ProbabilityTableError, match=r"the table of `late` do not sum to 1: 1.0000000"):
        DiscreteNetwork(["late"], {"late": ["no", "yes"]}, {}, {"late": [0.8, 0.2 + 5e-9]})


@pytest.mark.parametrize(
    ("wait", "told"),
    [
        ([0.5, 0.5], r"has shape \(2,\) and type float64; its axes are late \(2\), wait \(3\)"),
        ([[0.5, 0.5], [0.5, 0.5]], r"has shape \(2, 2\)"),
        (np.ones((3, 2)) / 3, r"has shape \(3, 2\)"),
        (np.ones((1, 1, 2, 3)) / 3, r"has shape \(1, 1, 2, 3\)"),
        ([["a", "b", "c"], ["a", "b", "c"]], "type <U1"),
        (np.ones((0, 2, 3)), "has no draws"),
    ],
)
def test_tables_of_another_shape(wait, told):
    with pytest.raises(ProbabilityTableError, match=told):
        DiscreteNetwork(
            ["late", "wait"], {"late": ["no", "yes"], "wait": ["a", "b", "c"]}, {"wait": ["late"]},
            {"late": [0.8, 0.2], "wait": wait},
        )  # fmt: skip


def test_numbers_of_draws_that_differ():
    with pytest.raises(ProbabilityTableError, match="different numbers of draws: `a` has 3, `c` has 4"):
        DiscreteNetwork(
            ["a", "b", "c"], dict.fromkeys("abc", ("x", "y")), {},
            {"a": np.full((3, 2), 0.5), "b": [0.5, 0.5], "c": np.full((4, 2), 0.5)},
        )  # fmt: skip


def test_tables_are_read_only():
    with pytest.raises(ValueError, match="read-only"):
        parcels().cpts["wait"][0, 0, 0] = 1.0


def test_a_network_without_nodes_has_nothing_to_say():
    """Its joint table is one number; it is what remains when every cause is left out."""
    network = DiscreteNetwork([], {}, {}, {})
    assert network.n_draws == 1
    assert network.probability_of({}).tolist() == [1.0]


# What is refused when a network is asked


@pytest.mark.parametrize(
    ("targets", "evidence", "error", "told"),
    [
        ("wiat", {}, UnknownStateError, "there is no node 'wiat'.\nHint: did you mean 'wait'\\? known are: late, wait, leaves."),
        (["late", "xyz"], {}, UnknownStateError, "there is no node 'xyz'.\nHint: known are: late, wait, leaves."),
        (3, {}, UnknownStateError, "there is no node 3"),
        ("late", {"wait": "24h"}, UnknownStateError,
         "`wait` has no state '24h'.\nHint: did you mean '>24h'\\? known are: <4h, 4-24h, >24h."),
        ("late", {"wait": {"<4h", "never"}}, UnknownStateError, "`wait` has no state 'never'"),
        ("late", {"wait": 2}, UnknownStateError, "`wait` has no state 2"),
        ("late", {"wai": "<4h"}, UnknownStateError, "there is no node 'wai'"),
        ("late", {"wait": []}, ArgumentError, "`given` names no state of `wait`.\nHint: leave `wait` out"),
        ("late", "wait", ArgumentError, "`given`='wait' is no mapping"),
        ([], {}, ArgumentError, "there is none"),
        (["late", "late"], {}, ArgumentError, "one of them is named twice"),
    ],
)  # fmt: skip
def test_questions_that_are_none(targets, evidence, error, told):
    with pytest.raises(error, match=told):
        parcels().query(targets, evidence)


@pytest.mark.parametrize(
    ("changes", "error", "told"),
    [
        ({"wait": "5h"}, UnknownStateError, "`wait` has no state '5h'"),
        ({"wiat": "<4h"}, UnknownStateError, "did you mean 'wait'"),
        ({"wait": {"<4h": 0.5, ">24h": 0.4}}, ArgumentError, "they sum to 0.9"),
        ({"wait": {"<4h": 1.5, ">24h": -0.5}}, ArgumentError, "they sum to 1"),
        ({"wait": {"<4h": "5h"}}, UnknownStateError, "`wait` has no state '5h'"),
        ({"wait": {"5h": "<4h"}}, UnknownStateError, "`wait` has no state '5h'"),
        ({"wait": {"5h": 1.0}}, UnknownStateError, "`wait` has no state '5h'"),
        ({"wait": {"<4h": 1.0, ">24h": "<4h"}}, ArgumentError, "`wait` cannot be set to"),
        ({"wait": {"<4h": True}}, ArgumentError, "`wait` cannot be set to"),
        ({"wait": {}}, ArgumentError, "`wait` cannot be set to {}"),
        ({"wait": 2}, ArgumentError, "`wait` cannot be set to 2"),
        ("wait", ArgumentError, "do\\('wait'\\) is no mapping"),
    ],
)
def test_changes_that_are_none(changes, error, told):
    with pytest.raises(error, match=told):
        parcels().do(changes)


def test_impossible_evidence_is_traced_to_its_smallest_part():
    with pytest.raises(ImpossibleEvidenceError) as caught:
        gate().query("d", {"b": "yes", "a": "no", "c": "yes"})
    assert caught.value.what == "a=no, c=yes has probability 0 in 2 of 3 draws."
    assert caught.value.rows == ({"a": "no", "c": "yes"},)
    assert "Nothing follows from what cannot be" in str(caught.value)
    assert "Hint: check these states" in str(caught.value)
    with pytest.raises(ImpossibleEvidenceError, match="d=yes, b=no has probability 0 in 2 of 3 draws"):
        gate().query("a", {"d": "yes", "b": "no"})
    certain = gate().do({"c": "no"})
    with pytest.raises(ImpossibleEvidenceError, match=r"^d=yes has probability 0 in 3 of 3 draws"):
        certain.query("a", {"a": "yes", "d": "yes"})
    assert gate().probability_of({"a": "no", "c": "yes"}).tolist() == [0.0, 0.0, 0.25]


def test_evidence_that_only_three_pieces_make_impossible_is_told_whole():
    odd = np.zeros((2, 2, 2, 2))
    for a, b, c in itertools.product(range(2), repeat=3):
        odd[a, b, c, (a + b + c) % 2] = 1.0
    network = DiscreteNetwork(
        list("abcd"), dict.fromkeys("abcd", ("0", "1")), {"d": ["a", "b", "c"]},
        {"a": [0.5, 0.5], "b": [0.5, 0.5], "c": [0.5, 0.5], "d": odd},
    )  # fmt: skip
    with pytest.raises(ImpossibleEvidenceError, match="a=1, b=1, c=1, d=0 has probability 0 in 1 of 1 draws"):
        network.query("a", {"a": "1", "b": "1", "c": "1", "d": "0"})


@pytest.mark.parametrize(
    ("change", "told"),
    [("<4h", "<4h"), ({">24h": "<4h"}, ">24h to <4h"), ({"<4h": 0.5, "4-24h": 0.5}, "<4h with 0.5, 4-24h with 0.5")],
)
def test_what_was_seen_before_an_intervention_is_no_evidence_after_it(change, told):
    done = parcels().do({"wait": change})
    assert done.query("leaves", {"wait": "<4h"}).mean().sum() == pytest.approx(1)
    with pytest.raises(ImpossibleEvidenceError) as caught:
        done.query("leaves", {"late": "yes", "wait": ">24h"})
    assert caught.value.what == (
        f"`wait` is changed by the intervention ({told}), and is said to be seen as >24h, which it cannot be any more."
    )
    assert "asks for a counterfactual" in str(caught.value)
    assert "Hint: leave `wait` out of `given`." in str(caught.value)
    # What is possible in part stays possible.
    assert done.query("leaves", {"wait": {"<4h", ">24h"}}).draws == pytest.approx(
        done.query("leaves", {"wait": "<4h"}).draws
    )


def test_too_large_a_question_is_refused():
    with pytest.raises(
        NetworkSizeError, match="the answer needs a table of 36 numbers over 3 nodes: late, wait, leaves"
    ):
        parcels(3).joint(max_elements=35)
    with pytest.raises(NetworkSizeError, match=r"12 numbers over 3 nodes: .*; there is room for 11"):
        parcels(3).query("leaves", max_elements=11)
    with pytest.raises(NetworkSizeError, match="there is room for 5"):
        parcels(3).probability_of({"leaves": "no"}, max_elements=5)


def test_answers_are_made_of_plain_parts():
    answer = Answer(("a",), (("x", "y"),), np.array([[0.25, 0.75], [0.75, 0.25]]), "P(a)")
    assert answer.n_draws == 2
    assert answer.mean().tolist() == [0.5, 0.5]
    assert repr(answer) == "Answer(P(a): x 0.5, y 0.5; draws: 2)"
