"""Curves of configurations: closed forms, the chain, competing events and what was survived already."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from churnsurv.causes.hazard_tables import HazardTable
from churnsurv.causes.outlasting import MovingNode, Outlasting
from churnsurv.causes.state_tables import StateTable
from churnsurv.errors import HorizonError
from churnsurv.hazards.incidence import incidence_of_causes

BREAKS = np.array([0.0, 10.0, 30.0, 80.0])


def table(event, parents, cards, rng, *, n_draws=5, scale=0.02):
    n = int(np.prod(cards, dtype=int))
    zeros = np.zeros((n, 3))
    return HazardTable(
        event, parents, cards, BREAKS, rng.gamma(2.0, scale, (n_draws, n, 3)), zeros, zeros, np.ones(n_draws)
    )


def unknown(node, n_states, *, n_draws=5):
    """Every spell opens without the fact."""
    cpt = np.broadcast_to(np.arange(n_states) == 0, (n_draws, n_states)) * 1.0
    return StateTable(node, (), cpt, np.zeros(n_states))


@pytest.fixture
def rng():
    return np.random.default_rng(11)


@pytest.fixture
def standing(rng):
    hazards = (table("return", ("a", "b"), (2, 3), rng), table("closure", ("b",), (3,), rng, scale=0.004))
    return Outlasting(("a", "b"), (2, 3), hazards, frozenset({"return"}))


def test_one_event_is_the_exponential_of_the_cumulative_hazard(rng):
    leaf = Outlasting(("a",), (2,), (table("return", ("a",), (2,), rng),), frozenset({"return"}))
    hazard = leaf.hazards[0].hazard
    outlast, days = leaf.curve([5.0, 40.0])
    np.testing.assert_allclose(outlast[..., 0], np.exp(-5 * hazard[..., 0]), rtol=1e-12)
    np.testing.assert_allclose(outlast[..., 1], np.exp(-hazard @ [10.0, 20.0, 10.0]), rtol=1e-12)
    grid = np.linspace(0, 40, 4001)[1:]
    mean = np.trapezoid(np.concatenate([np.ones((5, 2, 1)), leaf.curve(list(grid))[0]], axis=2), dx=0.01, axis=2)
    np.testing.assert_allclose(days[..., 1], mean, rtol=1e-6)


def test_whoever_meets_another_event_stays_without_the_one_of_interest(standing):
    outlast, _ = standing.curve([5.0, 25.0, 70.0])
    returns, closes = (t.hazard[:, t.places(("a", "b"), (2, 3))] for t in standing.hazards)
    grid = np.array([0.0, 5.0, 10.0, 25.0, 30.0, 70.0])
    spent = np.clip(grid[:, None] - BREAKS[:-1], 0, np.diff(BREAKS))
    survival = np.stack([np.exp(-hazard @ spent.T) for hazard in (returns, closes)])
    incidence = incidence_of_causes(survival)[0]
    np.testing.assert_allclose(outlast, 1 - incidence[..., [1, 3, 5]], rtol=1e-12)


def test_a_node_that_moves_nothing_gives_the_same_two_roads(standing, rng):
    """The chain with a node whose arrival changes no hazard, against the closed form."""
    arrivals = {1: table("m = 1", ("m", "a"), (2, 2), rng, scale=0.1)}
    moving = replace(standing, moving=(MovingNode("m", 2, unknown("m", 2), arrivals),))
    for at in (0.0, 17.0):
        for name, found, expected in zip(
            ("outlast", "days"), moving.curve([5.0, 50.0], at=at), standing.curve([5.0, 50.0], at=at), strict=True
        ):
            np.testing.assert_allclose(found, expected, rtol=1e-10, err_msg=name)


def test_what_was_survived_is_conditioned_on(standing):
    """S(t + h) / S(t), by hand, where nothing of interest competes."""
    alone = replace(standing, hazards=standing.hazards[:1])
    later, _ = alone.curve([20.0], at=25.0)
    whole, _ = alone.curve([25.0, 45.0])
    np.testing.assert_allclose(later[..., 0], whole[..., 1] / whole[..., 0], rtol=1e-12)


@pytest.fixture
def moving(rng):
    """Two nodes that move, the second waiting for the first; the hazard depends on both."""
    first = MovingNode(
        "m", 3, unknown("m", 3), {k: table(f"m = {k}", ("m", "a"), (3, 2), rng, scale=0.05) for k in (1, 2)}
    )
    second = MovingNode("n", 2, unknown("n", 2), {1: table("n = 1", ("n", "m"), (2, 3), rng, scale=0.1)})
    hazards = (table("return", ("a", "m", "n"), (2, 3, 2), rng), table("closure", ("a",), (2,), rng, scale=0.004))
    return Outlasting(("a",), (2,), hazards, frozenset({"return"}), moving=(first, second))


def generator(leaf, draw, configuration, period):
    """Rates written out state by state: the other road."""
    states = [(m, n) for m in range(3) for n in range(2)]
    rates = np.zeros((7, 7))
    ret, close = leaf.hazards
    for i, (m, n) in enumerate(states):
        out = ret.hazard[draw, (configuration * 3 + m) * 2 + n, period]
        closing = close.hazard[draw, configuration, period]
        rates[i, 6] = closing
        out += closing
        for k, arrival in leaf.moving[0].arrivals.items():
            if k != m:
                rate = arrival.hazard[draw, m * 2 + configuration, period]
                rates[i, states.index((k, n))] += rate
                out += rate
        if n == 0:
            rate = leaf.moving[1].arrivals[1].hazard[draw, n * 3 + m, period]
            rates[i, states.index((m, 1))] += rate
            out += rate
        rates[i, i] = -out
    return rates


def test_two_nodes_that_move_equal_the_matrix_exponential(moving):
    from scipy.linalg import expm

    outlast, _ = moving.curve([50.0])
    for draw in range(2):
        for configuration in range(2):
            here = np.zeros(7)
            here[0] = 1.0
            for period, days in enumerate((10.0, 20.0, 20.0)):
                here = here @ expm(days * generator(moving, draw, configuration, period))
            np.testing.assert_allclose(outlast[draw, configuration, 0], here.sum(), rtol=1e-10)


def test_a_state_that_is_held_is_the_hazard_of_that_state(moving):
    held = replace(moving, fixed={"m": 2, "n": 1})
    outlast, _ = held.curve([30.0])
    ret, close = (t.hazard for t in moving.hazards)
    for configuration in range(2):
        a, b = ret[:, (configuration * 3 + 2) * 2 + 1], close[:, configuration]
        survival = np.stack([np.exp(-h @ np.array([[0.0, 10, 10], [0, 0, 20], [0, 0, 0]])) for h in (a, b)])
        np.testing.assert_allclose(outlast[:, configuration, 0], 1 - incidence_of_causes(survival)[0, :, 2], rtol=1e-12)


def test_a_replaced_state_is_entered_by_nobody(moving):
    """Replacing state 1 by 2: the same as a chain in which arrivals at 1 go to 2 from everywhere but 2."""
    replaced = replace(moving, fixed={"m": {1: 2}})
    rates = replaced._rates(np.arange(2), 0)
    into = [i for i, (m, _) in enumerate((m, n) for m in range(3) for n in range(2)) if m == 1]
    assert (rates[:, :, [0, 1]][..., into] == 0).all()
    natural = moving._rates(np.arange(2), 0)
    np.testing.assert_allclose(rates[..., 0, 4], natural[..., 0, 4] + natural[..., 0, 2], rtol=1e-12)


def test_a_state_that_was_seen_is_where_the_chain_goes_on(moving):
    later, _ = moving.curve([20.0], at=15.0, state={"m": 1, "n": 0})
    here = np.zeros(7)
    here[2] = 1.0
    from scipy.linalg import expm

    end = here @ expm(15.0 * generator(moving, 0, 1, 1)) @ expm(5.0 * generator(moving, 0, 1, 2))
    np.testing.assert_allclose(later[0, 1, 0], end.sum(), rtol=1e-10)
    partly, _ = moving.curve([20.0], at=15.0, state={"m": 1})
    others = [moving.curve([20.0], at=15.0, state={"m": 1, "n": n})[0] for n in (0, 1)]
    assert (np.minimum(*others) - 1e-12 <= partly).all()
    assert (partly <= np.maximum(*others) + 1e-12).all()


def test_facts_that_come_at_the_opening_start_the_chain_elsewhere(moving):
    """By what is known then; a held state overrules it, a replaced one is passed on."""
    from scipy.linalg import expm

    cpt = np.broadcast_to(np.array([[0.7, 0.1, 0.2], [0.2, 0.5, 0.3]]), (5, 2, 3))
    first = replace(moving.moving[0], initial=StateTable("m", ("a",), cpt, np.zeros((2, 3))))
    leaf = replace(moving, moving=(first, moving.moving[1]))
    outlast, _ = leaf.curve([8.0])
    for configuration in range(2):
        here = np.zeros(7)
        here[[0, 2, 4]] = cpt[0, configuration]
        np.testing.assert_allclose(
            outlast[0, configuration, 0], (here @ expm(8.0 * generator(moving, 0, configuration, 0))).sum(), rtol=1e-10
        )
    held = replace(leaf, fixed={"m": 1})._opening(np.arange(2))
    np.testing.assert_array_equal(held[0, :, [0, 2, 4]].T, [[0, 1, 0], [0, 1, 0]])
    moved = replace(leaf, fixed={"m": {1: 2}})._opening(np.arange(2))
    np.testing.assert_allclose(moved[0, :, [0, 2, 4]].T, [[0.7, 0, 0.3], [0.2, 0, 0.8]])


def test_only_the_configurations_that_are_asked_for(standing, moving):
    for leaf in (standing, moving):
        whole, days = leaf.curve([20.0])
        part, few = leaf.curve([20.0], configurations=np.array([1, 0, 1]))
        np.testing.assert_allclose(part, whole[:, [1, 0, 1]], rtol=1e-12)
        np.testing.assert_allclose(few, days[:, [1, 0, 1]], rtol=1e-12)


def test_beyond_the_last_period_is_refused(standing):
    with pytest.raises(HorizonError, match="beyond the last period, which ends at 80"):
        standing.curve([70.0], at=20.0)
