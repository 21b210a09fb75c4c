"""How long nothing happens, by configuration of the causes: hazards, and states that change on the way, made into curves."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from churnsurv._typing import FloatArray, IntArray
from churnsurv.causes.hazard_tables import HazardTable
from churnsurv.causes.state_tables import StateTable
from churnsurv.errors import HorizonError
from churnsurv.hazards.markov import occupancy

_ELEMENTS = 1 << 24
"""Entries of the matrices of rates that are held at a time; 128 MB."""

Fixed = Mapping[str, int | Mapping[int, int]]
"""A moving node held in a state from the beginning, or states that are replaced by others as they arrive."""


@dataclass(frozen=True, eq=False)
class MovingNode:
    """A node that becomes known while the customer is at risk.

    Parameters
    ----------
    name : str
        Name.
    n_states : int
        Number of states.
    initial : StateTable
        States in which spells open, by what is known then: not yet known, but for facts that come at once.
    arrivals : dict of int to HazardTable
        Rate at which each state is entered; the node itself is the first parent. States that are never entered are absent.
    """

    name: str
    n_states: int
    initial: StateTable
    arrivals: Mapping[int, HazardTable]


@dataclass(frozen=True, eq=False)
class Outlasting:
    """Probability that the event of interest has not happened yet, by configuration of what is known at the opening.

    Parameters
    ----------
    static : tuple of str
        Nodes known at the opening that matter, the last one fastest in a configuration.
    cards : tuple of int
        Number of states of each.
    hazards : tuple of HazardTable
        One for each event that ends a spell.
    interest : frozenset of str
        Events of interest; whoever meets another one stays without it.
    moving : tuple of MovingNode
        Nodes that become known on the way.
    """

    static: tuple[str, ...]
    cards: tuple[int, ...]
    hazards: tuple[HazardTable, ...]
    interest: frozenset[str]
    moving: tuple[MovingNode, ...] = ()
    fixed: Fixed = field(default_factory=dict)

    @property
    def breaks(self) -> FloatArray:
        """Period edges in days."""
        return self.hazards[0].breaks

    @property
    def n_configurations(self) -> int:
        """Number of configurations at the opening."""
        return int(np.prod(self.cards, dtype=np.int64))

    @property
    def n_draws(self) -> int:
        """Number of posterior draws."""
        return len(self.hazards[0].hazard)

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of states of each moving node."""
        return tuple(node.n_states for node in self.moving)

    def curve(
        self,
        times: Sequence[float],
        *,
        at: float = 0.0,
        state: Mapping[str, int] | None = None,
        configurations: IntArray | None = None,
    ) -> tuple[FloatArray, FloatArray]:
        """Probability of no event of interest for so many days more, and the expected days without it.

        Parameters
        ----------
        times : sequence of float
            Days after ``at``, increasing.
        at : float
            Days on the clock that were survived without any event.
        state : mapping of str to int, optional
            States of moving nodes at ``at``; by default what the way there makes of them.
        configurations : array of int, optional
            Positions of the configurations that are asked for; all by default.

        Returns
        -------
        outlast, days : array of shape (n_draws, n_configurations, n_times)
            In [0, 1], and in [0, time]: the area under the first.

        Raises
        ------
        HorizonError
            If a time lies beyond the last period.
        """
        if at + times[-1] > self.breaks[-1] * (1 + 1e-12):
            raise HorizonError(
                f"{at + times[-1]:g} days on the clock lie beyond the last period, which ends at {self.breaks[-1]:g}.",
                consequence="There is no hazard to continue with.",
                hint="ask for a shorter horizon, or learn with breaks= that reach further.",
            )
        wanted = np.arange(self.n_configurations) if configurations is None else configurations
        if not self.moving:
            return self._standing(wanted, times, at)
        size = self.n_draws * (int(np.prod(self.shape)) + 1) ** 2
        step = max(1, _ELEMENTS // size)
        parts = [self._curve(wanted[low : low + step], times, at, state or {}) for low in range(0, len(wanted), step)]
        return np.concatenate([part[0] for part in parts], axis=1), np.concatenate([part[1] for part in parts], axis=1)

    def _standing(self, rows: IntArray, times: Sequence[float], at: float) -> tuple[FloatArray, FloatArray]:
        """The same where nothing moves: closed forms in each stretch, no chain."""
        shape = (self.n_draws, len(rows))
        here, ended, spent = np.ones(shape), np.zeros(shape), np.zeros(shape)
        outlast, days_without = np.empty((*shape, len(times))), np.empty((*shape, len(times)))
        for k, j, days in _stretches(self.breaks, at, times):
            hazards = [(table.event, self._by_state(table, rows, j)[..., 0]) for table in self.hazards]
            total = np.maximum(sum(hazard for _, hazard in hazards), np.finfo(np.float64).tiny)
            other = sum((hazard for event, hazard in hazards if event not in self.interest), np.zeros(shape))
            stays = -np.expm1(-total * days) / total
            spent += here * stays + ended * days + here * other * (days - stays) / total
            ended += here * other * stays
            here = here * np.exp(-total * days)
            outlast[..., k], days_without[..., k] = here + ended, spent
        return outlast, days_without

    def _curve(
        self, rows: IntArray, times: Sequence[float], at: float, state: Mapping[str, int]
    ) -> tuple[FloatArray, FloatArray]:
        here = self._opening(rows)
        if at > 0:
            for _, j, days in _stretches(self.breaks, 0.0, [at]):
                here, _ = occupancy(here, self._rates(rows, j), days)
            here[..., -1] = 0.0
            here /= here.sum(axis=-1, keepdims=True)
        if state:
            here = self._seen(here, state)
        outlast = np.empty((self.n_draws, len(rows), len(times)))
        spent = np.zeros((self.n_draws, len(rows)))
        days_without = np.empty_like(outlast)
        for k, j, days in _stretches(self.breaks, at, times):
            here, time = occupancy(here, self._rates(rows, j), days)
            spent = spent + time.sum(axis=-1)
            outlast[..., k], days_without[..., k] = here.sum(axis=-1), spent
        return outlast, days_without

    def _opening(self, rows: IntArray) -> FloatArray:
        """Where spells open, or the state that is held; last comes: ended otherwise."""
        joint = np.ones((self.n_draws, len(rows), 1))
        for node in self.moving:
            joint = (joint[..., :, None] * self._start(node, rows)[..., None, :]).reshape(self.n_draws, len(rows), -1)
        return np.concatenate([joint, np.zeros((self.n_draws, len(rows), 1))], axis=-1)

    def _start(self, node: MovingNode, rows: IntArray) -> FloatArray:
        """Probability of each state of one node at the opening, shape (n_draws, n_rows, n_states)."""
        held = self.fixed.get(node.name, {})
        if not isinstance(held, Mapping):
            return np.broadcast_to(np.arange(node.n_states) == held, (self.n_draws, len(rows), node.n_states)) * 1.0
        states = np.unravel_index(rows, self.cards) if self.cards else ()
        where: tuple[Any, ...] = tuple(states[self.static.index(name)] for name in node.initial.parents)
        index: tuple[Any, ...] = (slice(None), *where)
        found = np.asarray(node.initial.cpt[index])
        natural = np.broadcast_to(found if where else found[:, None, :], (self.n_draws, len(rows), node.n_states))
        moved = np.zeros_like(natural)
        for state in range(node.n_states):
            moved[..., held.get(state, state)] += natural[..., state]
        return moved

    def _seen(self, here: FloatArray, state: Mapping[str, int]) -> FloatArray:
        keep = np.ones(self.shape, bool)
        for axis, node in enumerate(self.moving):
            if node.name in state:
                shape = [1] * len(self.shape)
                shape[axis] = node.n_states
                keep = keep & (np.arange(node.n_states) == state[node.name]).reshape(shape)
        alive = np.append(keep.ravel(), False)
        if alive.sum() == 1:
            return np.broadcast_to(alive.astype(np.float64), here.shape).copy()
        kept = here * alive
        return np.asarray(kept / np.maximum(kept.sum(axis=-1, keepdims=True), np.finfo(np.float64).tiny))

    def _rates(self, rows: IntArray, period: int) -> FloatArray:
        """Rates between the joint states of the moving nodes, shape (n_draws, n_rows, n_joint + 1, n_joint + 1)."""
        joint = int(np.prod(self.shape))
        rates = np.zeros((self.n_draws, len(rows), joint + 1, joint + 1))
        leaving = np.zeros((self.n_draws, len(rows), joint))
        for table in self.hazards:
            hazard = self._by_state(table, rows, period)
            leaving += hazard
            if table.event not in self.interest:
                rates[..., :joint, joint] += hazard
        for axis, node in enumerate(self.moving):
            if self.fixed.get(node.name) is None or isinstance(self.fixed[node.name], Mapping):
                leaving += self._arrive(rates, node, axis, rows, period)
        place = np.arange(joint)
        rates[..., place, place] = -leaving
        return rates

    def _arrive(self, rates: FloatArray, node: MovingNode, axis: int, rows: IntArray, period: int) -> FloatArray:
        """Add the arrivals of one node; how fast each joint state is left by them."""
        joint = int(np.prod(self.shape))
        states = np.stack(np.unravel_index(np.arange(joint), self.shape))
        replaced = self.fixed.get(node.name, {})
        left = np.zeros((self.n_draws, len(rows), joint))
        for target, table in node.arrivals.items():
            into = replaced.get(target, target) if isinstance(replaced, Mapping) else target
            hazard = self._by_state(table, rows, period)
            moved = states.copy()
            moved[axis] = into
            to, source = np.ravel_multi_index(tuple(moved), self.shape), np.flatnonzero(states[axis] != into)
            rates[..., source, to[source]] += hazard[..., source]
            left[..., source] += hazard[..., source]
        return left

    def _by_state(self, table: HazardTable, rows: IntArray, period: int) -> FloatArray:
        """Hazard by configuration and joint state, shape (n_draws, n_rows, n_joint)."""
        names = (*self.static, *(node.name for node in self.moving))
        joint = int(np.prod(self.shape))
        cards = (*self.cards, *self.shape)
        place = table.places(names, cards).reshape(self.n_configurations, joint)[rows]
        return table.hazard[:, place.ravel(), period].reshape(self.n_draws, len(rows), joint)


def _stretches(breaks: FloatArray, start: float, times: Sequence[float]) -> list[tuple[int, int, float]]:
    """Stretches between edges and times: position of the next time, period, length in days."""
    marks = [start + time for time in times]
    edges = sorted({start, *marks, *(float(edge) for edge in breaks if start < edge < marks[-1])})
    found = []
    for low, high in itertools.pairwise(edges):
        k = int(np.searchsorted(marks, high, side="left"))
        j = int(np.clip(np.searchsorted(breaks, low, side="right") - 1, 0, len(breaks) - 2))
        found.append((k, j, high - low))
    return found
