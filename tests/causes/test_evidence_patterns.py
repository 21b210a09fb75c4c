"""Many rows of evidence at once: the same answers as one by one, whatever was not seen and however little room there is.

Tolerance 1e-12: exact sums in another order.
"""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churnsurv.causes.inference import evidence_patterns
from churnsurv.causes.inference.discrete_network import DiscreteNetwork
from churnsurv.errors import (
    ArgumentError,
    DataTypeError,
    EmptyDataError,
    ImpossibleEvidenceError,
    NetworkSizeError,
    UnknownStateError,
)
from tests.causes.brute_force import gate, joint_of, parcels, posterior, random_network

relation = settings(max_examples=20, deadline=None)
seeds = st.integers(0, 10**6)
close = {"rtol": 1e-12, "atol": 1e-13}


@relation
@given(seed=seeds, zeros=st.sampled_from([0.0, 0.15]))
def test_rows_together_equal_rows_one_by_one(seed, zeros):
    rng = np.random.default_rng(seed)
    network = random_network(rng, zeros=zeros)
    target, *nodes = rng.permutation(network.names)[: int(rng.integers(2, 7))].tolist()
    # Rows that can be: drawn from the joint table of the first draw, then some of their entries hidden.
    joint = joint_of(network, network.n_draws)
    flat = rng.choice(joint[0].size, 40, p=joint[0].ravel() / joint[0].sum())
    full = np.stack(np.unravel_index(flat, joint.shape[1:]), axis=1)
    codes = full[:, [network.names.index(name) for name in nodes]]
    codes = np.where(rng.random(codes.shape) < 0.4, -1, codes)
    given_of = [
        {name: network.states[name][c] for name, c in zip(nodes, row, strict=True) if c >= 0} for row in codes.tolist()
    ]
    possible = [bool((network.probability_of(evidence) > 0).all()) for evidence in given_of]
    if not all(possible):
        with pytest.raises(ImpossibleEvidenceError, match="different rows of evidence cannot be; in the first, "):
            network.batch(target, codes, nodes)
        codes, given_of = codes[possible], [g for g, fine in zip(given_of, possible, strict=True) if fine]
    if not given_of:
        return
    room = int(rng.choice([2**25, 200 * network.n_draws]))
    answer = network.batch(target, codes, nodes, max_elements=room)
    assert (answer.target, answer.states, answer.evidence_nodes) == (target, network.states[target], tuple(nodes))
    np.testing.assert_array_equal(answer.patterns[answer.inverse], codes)
    assert len(np.unique(answer.patterns, axis=0)) == len(answer.patterns)
    for i, evidence in enumerate(given_of):
        np.testing.assert_allclose(
            answer.draws[:, answer.inverse[i]], posterior(network, joint, [target], evidence), **close
        )


def test_rows_by_hand():
    """Seen or not, equal rows once: P(late | wait) = 0.7, 0.2, 0.1 times 0.8 against 0.1, 0.3, 0.6 times 0.2."""
    answer = parcels().batch("late", np.array([[0], [2], [-1], [2]], dtype=np.int8), ["wait"])
    assert answer.patterns.tolist() == [[-1], [0], [2]]
    assert answer.inverse.tolist() == [1, 2, 0, 2]
    np.testing.assert_allclose(answer.mean()[:, 1], [0.2, 0.02 / 0.58, 0.6], rtol=1e-14)
    frame = answer.frame()
    assert list(frame.columns) == ["wait", "late", "n_rows", "probability", "lower", "upper"]
    assert frame["wait"].tolist() == [None, None, "<4h", "<4h", ">24h", ">24h"]
    assert frame["late"].tolist() == ["no", "yes"] * 3
    assert frame["n_rows"].tolist() == [1, 1, 1, 1, 2, 2]
    assert frame["lower"].isna().all()
    assert repr(answer) == "BatchAnswer(late given wait; rows: 4, patterns: 3, draws: 1)"


def test_bounds_of_rows():
    answer = parcels(9).batch("late", np.array([[0], [2]]), ["wait"])
    lower, upper = answer.interval(0.5)
    np.testing.assert_allclose([lower, upper], np.quantile(answer.draws, [0.25, 0.75], axis=0))
    assert answer.n_draws == 9
    assert (answer.frame(0.5)["lower"] == lower.ravel()).all()


def test_a_node_called_like_a_column_of_the_rows():
    network = DiscreteNetwork(
        ["n_rows", "b"], dict.fromkeys(["n_rows", "b"], ("x", "y")), {}, {"n_rows": [0.5, 0.5], "b": [1, 0]}
    )
    with pytest.raises(ArgumentError, match="a node is called 'n_rows', like a column of the frame"):
        network.batch("b", np.zeros((1, 1), int), ["n_rows"]).frame()


def test_rows_that_need_the_same_nodes_share_a_contraction(monkeypatch):
    """What is seen besides the parents of a leaf says nothing: three sets of seen nodes, one contraction each at most."""
    calls = []
    contract = evidence_patterns.contract
    monkeypatch.setattr(
        evidence_patterns, "contract", lambda *args, **more: calls.append(args[1]) or contract(*args, **more)
    )
    network = DiscreteNetwork(
        list("abcd"), dict.fromkeys("abcd", ("0", "1")), {"b": ["a"], "c": ["b"], "d": ["c"]},
        {"a": [0.3, 0.7], **dict.fromkeys("bcd", ((0.6, 0.4), (0.2, 0.8)))},
    )  # fmt: skip
    codes = np.array(list(itertools.product([-1, 0, 1], [-1, 0, 1], [0, 1])))
    answer = network.batch("d", codes, ["a", "b", "c"])
    assert len(answer.patterns) == 18
    assert len(calls) == 1
    np.testing.assert_allclose(answer.mean()[answer.inverse][:, 1], np.where(codes[:, 2] == 1, 0.8, 0.4))


def test_rows_in_blocks_of_patterns():
    """With little room the patterns are split, with less the answer is refused."""
    rng = np.random.default_rng(7)
    network = random_network(rng, n_nodes=6, n_draws=4, most_states=3)
    target, *nodes = network.names
    codes = np.array(list(itertools.product(*(range(-1, len(network.states[name])) for name in nodes[:4]))))
    whole = network.batch(target, codes, nodes[:4])
    for room in (4000, 400, 120):
        parts = network.batch(target, codes, nodes[:4], max_elements=room)
        np.testing.assert_allclose(parts.draws, whole.draws, rtol=1e-12)
    with pytest.raises(NetworkSizeError, match=r"over [1-9] nodes: n\d.*; there is room for 3"):
        network.batch(target, codes, nodes[:4], max_elements=3)


def test_a_million_rows_of_twelve_nodes():
    """A second on one core; ten here, for a busy machine. With each node unseen in a tenth, 200,000 patterns."""
    rng = np.random.default_rng(0)
    network = random_network(rng, n_nodes=13, n_draws=1, most_states=2)
    codes = rng.integers(0, 2, (1_000_000, 12))
    codes[rng.random(codes.shape) < 0.1] = -1
    target, *nodes = network.names
    start = time.perf_counter()
    answer = network.batch(target, codes, nodes)
    assert time.perf_counter() - start < 10
    assert answer.draws.shape == (1, len(answer.patterns), 2)
    for i in (0, 123_456, 999_999):
        evidence = {n: network.states[n][c] for n, c in zip(nodes, codes[i].tolist(), strict=True) if c >= 0}
        np.testing.assert_allclose(
            answer.draws[:, answer.inverse[i]], network.query(target, evidence).draws, rtol=1e-12
        )


def test_many_states_do_not_overflow_the_key():
    """Twenty columns of thirty states: 31**20 keys are more than 64 bits hold."""
    rng = np.random.default_rng(2)
    base = rng.integers(-1, 30, (50, 20))
    rows = base[rng.integers(0, 50, 500)]
    patterns, inverse = evidence_patterns.distinct_rows(rows, [30] * 20)
    np.testing.assert_array_equal(patterns[inverse], rows)
    np.testing.assert_array_equal(patterns, np.unique(rows, axis=0))


@pytest.mark.parametrize(
    ("target", "codes", "nodes", "error", "told"),
    [
        ("late", [[0.0]], ["wait"], DataTypeError, "`evidence_codes` has type float64"),
        ("late", [0], ["wait"], ArgumentError, r"`evidence_codes` has shape \(1,\); there are 1 evidence nodes"),
        ("late", [[0, 1]], ["wait"], ArgumentError, r"has shape \(1, 2\); there are 1"),
        ("late", np.zeros((0, 1), int), ["wait"], EmptyDataError, "`evidence_codes` has no rows"),
        ("late", [[3], [0], [-2]], ["wait"], UnknownStateError,
         "2 of 3 codes of `wait` are no state: 3.\nHint: states are 0=<4h, 1=4-24h, 2=>24h; -1 is not seen."),
        ("late", [[0]], ["late"], ArgumentError, "`late` is asked for and in the evidence"),
        ("late", [[0]], ["wat"], UnknownStateError, "there is no node 'wat'"),
        ("lat", [[0]], ["wait"], UnknownStateError, "there is no node 'lat'"),
        ("late", [[0, 0]], ["wait", "wait"], ArgumentError, "one of them is named twice"),
    ],
)  # fmt: skip
def test_rows_that_are_none(target, codes, nodes, error, told):
    with pytest.raises(error, match=told):
        parcels().batch(target, np.asarray(codes), nodes)


def test_impossible_rows():
    """Also where what cannot be is not requisite: given c, d does not depend on a and b, which contradict c."""
    codes = np.array([[1, 1, 1], [0, 1, 1], [0, 0, 1], [0, 1, 1]])
    with pytest.raises(ImpossibleEvidenceError) as caught:
        gate().batch("d", codes, ["a", "b", "c"])
    assert caught.value.what == (
        "2 of 3 different rows of evidence cannot be; in the first, a=no, c=yes has probability 0 in 2 of 3 draws."
    )
    with pytest.raises(ImpossibleEvidenceError, match=r"1 of 1 different rows .* in the first, d=yes has"):
        gate().do({"c": "no"}).batch("a", np.array([[1]]), ["d"])
