"""Sums of products: against sums written out, whatever the blocks, the number of nodes and the order of axes.

Tolerance 1e-12: the same products and sums, in another order.
"""

from __future__ import annotations

import functools
import itertools
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churnsurv.causes.inference import factors as module
from churnsurv.causes.inference.factors import MAX_ELEMENTS, Factor, contract
from churnsurv.causes.inference.relevance import ancestral, requisite_evidence
from churnsurv.errors import ArgumentError, DataTypeError, NetworkSizeError
from tests.causes.brute_force import joint_of, posterior, random_network

relation = settings(max_examples=40, deadline=None)


def random_factors(rng: np.random.Generator, n_draws: int) -> tuple[list[Factor], dict[str, int]]:
    cards = {f"x{i}": int(rng.integers(1, 4)) for i in range(6)}
    factors = []
    for _ in range(int(rng.integers(1, 7))):
        names = tuple(rng.choice(list(cards), int(rng.integers(0, 4)), replace=False).tolist())
        draws = 1 if rng.random() < 0.3 else n_draws
        factors.append(Factor(names, rng.random((draws, *(cards[name] for name in names)))))
    used = {name for factor in factors for name in factor.names}
    return factors, {name: card for name, card in cards.items() if name in used}


def written_out(factors: list[Factor], cards: dict[str, int], keep: list[str], fixed: dict[str, int]) -> np.ndarray:
    n_draws = max(len(factor.table) for factor in factors)
    result = np.zeros((n_draws, *(cards[name] for name in keep)))
    for codes in itertools.product(*(range(card) for card in cards.values())):
        at = dict(zip(cards, codes, strict=True))
        if all(at[name] == code for name, code in fixed.items()):
            product = np.ones(n_draws)
            for factor in factors:
                product = product * factor.table[(slice(None), *(at[name] for name in factor.names))]
            result[(slice(None), *(at[name] for name in keep))] += product
    return result


@relation
@given(seed=st.integers(0, 10**6), n_draws=st.sampled_from([1, 5]))
def test_sum_of_products_is_what_it_says(seed, n_draws):
    rng = np.random.default_rng(seed)
    factors, cards = random_factors(rng, n_draws)
    names = rng.permutation(list(cards)).tolist()
    cut = int(rng.integers(0, len(names) + 1))
    keep, rest = names[:cut], names[cut:]
    fixed = {name: int(rng.integers(0, cards[name])) for name in rest if rng.random() < 0.4}
    found = contract(factors, keep, fixed)
    assert found.names == tuple(keep)
    np.testing.assert_allclose(found.table, written_out(factors, cards, keep, fixed), rtol=1e-12)


def ring(n_nodes: int, n_draws: int, card: int = 3) -> list[Factor]:
    rng = np.random.default_rng(4)
    return [Factor((f"x{i}", f"x{(i + 1) % n_nodes}"), rng.random((n_draws, card, card))) for i in range(n_nodes)]


def test_blocks_change_nothing(monkeypatch):
    """Largest table of a ring is 9 numbers a draw: room for 50 draws, for 7, and for all."""
    calls = []
    multiply = module._multiply
    monkeypatch.setattr(module, "_multiply", lambda *args: calls.append(1) or multiply(*args))
    factors, answers, blocks = ring(6, 100), [], []
    for room in (MAX_ELEMENTS, 450, 300):
        calls.clear()
        answers.append(contract(factors, ["x0"], max_elements=room).table)
        blocks.append(len(calls))
    assert blocks == [1, 2, 4]  # 300 // 9 = 33 draws at once
    np.testing.assert_allclose(answers[1], answers[0], rtol=1e-14)
    np.testing.assert_allclose(answers[2], answers[0], rtol=1e-14)


@pytest.mark.parametrize("n_nodes", [60, 300])
def test_more_than_52_nodes(n_nodes):
    """A chain is a product of matrices."""
    rng = np.random.default_rng(1)
    links = rng.dirichlet(np.ones(2), size=(n_nodes - 1, 4, 2))
    factors = [Factor(("x0",), np.array([[0.3, 0.7]]))]
    factors += [Factor((f"x{i}", f"x{i + 1}"), link) for i, link in enumerate(links)]
    expected = functools.reduce(np.matmul, [link[2] for link in links], np.array([0.3, 0.7]))
    np.testing.assert_allclose(contract(factors, [f"x{n_nodes - 1}"]).table[2], expected, rtol=1e-12)


def test_axes_of_length_one_do_not_count():
    """A table of numpy has 64 axes at most."""
    many = [f"one{i}" for i in range(60)]
    factors = [
        Factor((*many[:40], "x"), np.ones((1,) * 41 + (2,))),
        Factor((*many[20:], "x"), np.ones((1,) * 41 + (2,))),
    ]
    found = contract(factors, ["one3", "x", "one50"])
    assert found.table.tolist() == [[[[1.0], [1.0]]]]


def test_products_far_below_single_precision_are_exact():
    """Forty pieces of evidence, each of probability 1e-7: 1e-280 in all."""
    factors = [Factor((f"x{i}",), np.array([[1e-7, 1 - 1e-7]])) for i in range(40)]
    found = contract(factors, [], {f"x{i}": 0 for i in range(40)}).table
    np.testing.assert_allclose(found, [1e-280], rtol=1e-12)


def test_too_large_a_table_is_refused_before_work(monkeypatch):
    """Every pair of thirty nodes is in a factor: no order avoids a table over almost all of them."""
    monkeypatch.setattr(module.np, "einsum", lambda *_: pytest.fail("it has begun to compute"))
    names = [f"x{i}" for i in range(30)]
    factors = [Factor(pair, np.ones((1, 2, 2))) for pair in itertools.combinations(names, 2)]
    with pytest.raises(NetworkSizeError) as caught:
        contract(factors, ["x0"])
    text = str(caught.value)
    found = re.search(r"each draw needs a table of ([\d,]+) numbers over (\d+) nodes: (x.*) and (\d+) more;", text)
    assert found is not None
    size, n_nodes = int(found[1].replace(",", "")), int(found[2])
    assert size == 2**n_nodes > MAX_ELEMENTS
    assert len(found[3].split(", ")) + int(found[4]) == n_nodes
    assert "there is room for 33,554,432." in text
    assert f"It would take {size / 2**27:.1f} GiB" in text
    assert "Hint: ask for fewer nodes at once" in text


def test_too_large_an_answer_is_refused():
    factors = [Factor((f"x{i}",), np.full((10, 2), 0.5)) for i in range(5)]
    keep = [factor.names[0] for factor in factors]
    assert contract(factors, keep, max_elements=320).table.shape == (10, 2, 2, 2, 2, 2)
    with pytest.raises(NetworkSizeError, match="the answer needs a table of 320 numbers over 5 nodes"):
        contract(factors, keep, max_elements=319)


def test_one_draw_that_just_fits_is_computed():
    factors = ring(6, 4)
    np.testing.assert_allclose(
        contract(factors, ["x0"], max_elements=12).table, contract(factors, ["x0"]).table, rtol=1e-14
    )
    with pytest.raises(NetworkSizeError, match=r"9 numbers over 2 nodes: .*; there is room for 8"):
        contract([Factor(f.names, f.table[:1]) for f in factors], ["x0"], max_elements=8)


@pytest.mark.parametrize(
    ("factors", "keep", "fixed", "told"),
    [
        ([], ["a"], {}, "1 of 1 kept nodes are in no factor, or are fixed: a."),
        ([], [], {}, "0 of 0 kept nodes"),
        ([Factor(("a",), np.ones((1, 2)))], ["a", "b"], {}, "1 of 2 kept nodes are in no factor, or are fixed: b."),
        ([Factor(("a",), np.ones((1, 2)))], ["a"], {"a": 1}, "1 of 1 kept nodes are in no factor, or are fixed: a."),
    ],
)
def test_nodes_that_cannot_be_kept(factors, keep, fixed, told):
    with pytest.raises(ArgumentError, match=told):
        contract(factors, keep, fixed)


def test_room_is_a_count():
    with pytest.raises(DataTypeError, match=r"`max_elements`=10.0 is not a whole number"):
        contract(ring(3, 1), ["x0"], max_elements=10.0)


def test_repr():
    assert repr(Factor(("a", "b"), np.ones((7, 2, 3)))) == "Factor(a, b: 2 x 3; draws: 7)"
    assert repr(Factor((), np.ones(1))) == "Factor(: one number; draws: 1)"


PARENTS = {
    "root": [], "other": [], "collider": ["root", "other"], "below": ["collider"], "leaf": ["root"], "apart": [],
}  # fmt: skip


def test_ancestral_by_hand():
    assert ancestral(PARENTS, ["below"]) == {"root", "other", "collider", "below"}
    assert ancestral(PARENTS, ["leaf", "apart"]) == {"leaf", "root", "apart"}
    assert ancestral(PARENTS, []) == frozenset()


@pytest.mark.parametrize(
    ("target", "seen", "requisite"),
    [
        ("root", ["other"], set()),
        ("root", ["other", "collider"], {"other", "collider"}),
        ("root", ["other", "below"], {"other", "below"}),
        ("root", ["collider", "below"], {"collider"}),
        ("leaf", ["root", "collider"], {"root"}),
        ("leaf", ["other", "below", "apart"], {"other", "below"}),
        ("apart", ["root", "leaf"], set()),
    ],
)
def test_requisite_evidence_by_hand(target, seen, requisite):
    assert requisite_evidence(PARENTS, [target], seen) == requisite


def test_requisite_evidence_is_what_the_answer_depends_on():
    """Tables are random: what is d-separated changes nothing, everything else changes something."""
    needed, spared = 0, 0
    for seed in range(25):
        rng = np.random.default_rng(seed)
        network = random_network(rng, n_draws=1, most_states=2)
        joint = joint_of(network, 1)
        target, *seen = rng.permutation(network.names)[: int(rng.integers(2, 6))].tolist()
        at = {name: network.states[name][0] for name in seen}
        requisite = requisite_evidence(network.parents, [target], seen)
        answer = posterior(network, joint, [target], at)
        core = posterior(network, joint, [target], {name: at[name] for name in requisite})
        np.testing.assert_allclose(core, answer, atol=1e-12)
        for name in requisite:
            changed = posterior(network, joint, [target], at | {name: network.states[name][1]})
            assert np.abs(changed - answer).max() > 1e-9
        needed, spared = needed + len(requisite), spared + len(seen) - len(requisite)
    assert needed > 15
    assert spared > 15
