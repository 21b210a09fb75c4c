"""Small networks, by hand and at random, and every answer from the joint table, written out configuration by configuration."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from churnsurv.causes.inference.discrete_network import DiscreteNetwork


def parcels(n_draws: int = 0) -> DiscreteNetwork:
    """late -> wait -> leaves <- late; with draws, they differ in the first table."""
    late = [0.8, 0.2] if not n_draws else np.array([[1 - p, p] for p in np.linspace(0.1, 0.3, n_draws)])
    return DiscreteNetwork(
        names=["late", "wait", "leaves"],
        states={"late": ["no", "yes"], "wait": ["<4h", "4-24h", ">24h"], "leaves": ["no", "yes"]},
        parents={"wait": ["late"], "leaves": ["late", "wait"]},
        cpts={
            "late": late,
            "wait": [[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]],
            "leaves": [[[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]], [[0.85, 0.15], [0.6, 0.4], [0.5, 0.5]]],
        },
    )


def gate() -> DiscreteNetwork:
    """c = a and b, but in one draw of three c may be anything."""
    both = np.array([[[1.0, 0], [1, 0]], [[1, 0], [0, 1]]])
    return DiscreteNetwork(
        ["a", "b", "c", "d"], dict.fromkeys("abcd", ("no", "yes")), {"c": ["a", "b"], "d": ["c"]},
        {"a": [0.5, 0.5], "b": [0.5, 0.5], "c": np.stack([both, both, np.full((2, 2, 2), 0.5)]), "d": [[1.0, 0], [0.5, 0.5]]},
    )  # fmt: skip


def random_network(
    rng: np.random.Generator, *, n_nodes: int = 6, n_draws: int = 3, most_states: int = 4, zeros: float = 0.0
) -> DiscreteNetwork:
    """Nodes in a shuffled order, up to three parents, Dirichlet rows, some of their numbers 0, one table without draws."""
    order = [f"n{i}" for i in rng.permutation(n_nodes)]
    states = {name: tuple(f"{name}_{k}" for k in range(rng.integers(2, most_states + 1))) for name in order}
    parents: dict[str, tuple[str, ...]] = {}
    cpts: dict[str, Any] = {}
    for i, name in enumerate(order):
        above = rng.choice(order[:i], min(i, int(rng.integers(0, 4))), replace=False).tolist() if i else []
        parents[name] = tuple(above)
        draws = 1 if rng.random() < 0.2 else n_draws
        table = rng.dirichlet(np.ones(len(states[name])), size=(draws, *(len(states[p]) for p in above)))
        table[rng.random(table.shape) < zeros] = 0.0
        table[..., 0] += table.sum(axis=-1) == 0
        cpts[name] = table / table.sum(axis=-1, keepdims=True)
    return DiscreteNetwork(sorted(order), states, parents, cpts)


def joint_of(network: DiscreteNetwork, n_draws: int) -> np.ndarray:
    """Joint table (n_draws, *cards in the order of names), one product of numbers per configuration."""
    cards = [len(network.states[name]) for name in network.names]
    joint = np.empty((n_draws, *cards))
    for codes in itertools.product(*(range(card) for card in cards)):
        at = dict(zip(network.names, codes, strict=True))
        product = np.ones(n_draws)
        for name in network.names:
            product = product * network.cpts[name][(slice(None), *(at[p] for p in network.parents[name]), at[name])]
        joint[(slice(None), *codes)] = product
    return joint


def masked(network: DiscreteNetwork, joint: np.ndarray, given: Mapping[str, str | Collection[str]]) -> np.ndarray:
    """Joint table with 0 where it contradicts the evidence."""
    kept = joint.copy()
    for axis, name in enumerate(network.names, start=1):
        if name in given:
            value = given[name]
            allowed = {value} if isinstance(value, str) else set(value)
            for code, state in enumerate(network.states[name]):
                if state not in allowed:
                    kept[(slice(None),) * axis + (code,)] = 0.0
    return kept


def posterior(
    network: DiscreteNetwork,
    joint: np.ndarray,
    targets: Sequence[str],
    given: Mapping[str, str | Collection[str]],
) -> np.ndarray:
    """P(targets | given) per draw, axes in the order of the targets."""
    kept = masked(network, joint, given)
    away = tuple(axis for axis, name in enumerate(network.names, start=1) if name not in targets)
    table = kept.sum(axis=away)
    left = [name for name in network.names if name in targets]
    table = table.transpose(0, *(1 + left.index(name) for name in targets))
    return table / table.reshape(len(table), -1).sum(axis=1).reshape(-1, *(1 for _ in targets))


def random_given(
    rng: np.random.Generator, network: DiscreteNetwork, nodes: Sequence[str]
) -> dict[str, str | Collection[str]]:
    """A state, or several, of each of some nodes."""
    given: dict[str, str | Collection[str]] = {}
    for name in nodes:
        own = network.states[name]
        some = rng.choice(own, int(rng.integers(1, len(own) + 1)), replace=False).tolist()
        given[name] = some[0] if rng.random() < 0.5 else set(some)
    return given
