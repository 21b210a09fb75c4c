"""A small causal Bayesian network whose leaf is the hazard: what is drawn, before any data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from churnsurv._validate import check_rng
from churnsurv.causes.clusters import Clusters
from churnsurv.causes.hazard_tables import HazardTable, learn_hazard
from churnsurv.causes.nodes import COIN, OUTCOME, Node
from churnsurv.causes.outlasting import MovingNode, Outlasting
from churnsurv.causes.rows import CauseRows
from churnsurv.causes.state_tables import learn_states
from churnsurv.dag.graph import Dag
from churnsurv.errors import ArgumentError, EmptyDataError, GraphError, NetworkSizeError, NoEventsError
from churnsurv.models.configuration_hazard import ConfigurationHazardModel
from churnsurv.tables.periods import PeriodTable
from churnsurv.tables.spells import SpellTable

if TYPE_CHECKING:
    from churnsurv.causes.fit import CauseFit

MAX_NODES = 12
"""Observed causes a network may have."""

_AT_OPENING = 1e-3
"""Prior count of the states of a node that moves at the opening: where all are not known yet, they stay so."""


@dataclass(frozen=True, init=False, eq=False)
class CauseNetwork:
    """Causes of churn as a graph over discrete nodes; the leaf ``churn`` is a hazard.

    For a shop the leaf is the hazard of the *return* on the days since the last activity, for a subscription that of the
    cancellation. A node is what was known when the time at risk began: of a shop, the opening order and what became of
    the order *before*. What becomes known later (this order's delivery) is a node of an
    :class:`~churnsurv.tables.features.Arrival`: it is ``not yet`` at first and moves when it is known.

    Parameters
    ----------
    nodes : sequence of Node
        Up to twelve.
    edges : sequence of str or (str, str)
        Arrows from cause to effect: ``"late -> support_wait -> rating -> churn"``.
    latent : sequence of str
        Causes in ``edges`` that the data do not show, such as ``"mood"`` in ``"mood -> rating"`` and ``"mood -> churn"``.
    cause : str, optional
        The event of interest where several can end a spell; by default the return of a shop, and any cancellation of a
        subscription.
    concentration : float
        Prior count of each state of a node in each configuration of its parents, > 0; 0.5 is Jeffreys'.
    deviation_sd : float
        Scale of the half-normal prior on how far a configuration's hazard may lie from what the log-linear model of its
        parents says; see :class:`~churnsurv.models.configuration_hazard.ConfigurationHazardModel`.

    Raises
    ------
    GraphError
        If there is a cycle, an unknown name, an arrow out of ``churn``, or one from what is known later to what was
        known before.
    NetworkSizeError
        If there are more than twelve nodes.

    References
    ----------
    .. [1] Pearl, J. (2009). *Causality*, 2nd ed., ch. 1 and 3. Cambridge University Press.
    .. [2] Koller, D. and Friedman, N. (2009). *Probabilistic Graphical Models*, ch. 17. MIT Press.

    Examples
    --------
    >>> from churnsurv import Value
    >>> CauseNetwork(
    ...     [Node("late", Value("order", "previous_delivery")), Node("rating", Value("order", "previous_rating"))],
    ...     ["late -> rating -> churn", "late -> churn"],
    ... )
    CauseNetwork(late -> rating, late -> churn, rating -> churn)
    """

    nodes: tuple[Node, ...]
    dag: Dag
    cause: str | None
    concentration: float
    model: ConfigurationHazardModel

    def __init__(
        self,
        nodes: Sequence[Node],
        edges: Sequence[str | tuple[str, str]],
        *,
        latent: Iterable[str] = (),
        cause: str | None = None,
        concentration: float = 0.5,
        deviation_sd: float = 0.5,
    ) -> None:
        kept = tuple(nodes)
        if not (isinstance(concentration, (int, float)) and 0 < concentration < np.inf):
            raise ArgumentError(
                f"concentration={concentration!r} is not a positive number.", hint="write concentration=0.5."
            )
        hidden = (latent,) if isinstance(latent, str) else tuple(latent)
        dag = Dag.from_edges(edges, nodes=(*(node.name for node in kept), OUTCOME), latent=hidden)
        _check_drawing(kept, dag)
        for name, value in (
            ("nodes", kept),
            ("dag", dag),
            ("cause", cause),
            ("concentration", float(concentration)),
            ("model", ConfigurationHazardModel(deviation_sd=deviation_sd)),
        ):
            object.__setattr__(self, name, value)

    @property
    def static(self) -> tuple[Node, ...]:
        """Nodes known at the opening."""
        return tuple(node for node in self.nodes if not node.moves)

    @property
    def moving(self) -> tuple[Node, ...]:
        """Nodes that become known while the customer is at risk."""
        return tuple(node for node in self.nodes if node.moves)

    def parents(self, name: str) -> tuple[str, ...]:
        """Observed causes of a node, in the order of declaration; a latent node is replaced by its own causes."""
        found, todo, seen = set(), list(self.dag.parents(name)), set()
        while todo:
            parent = todo.pop()
            if parent in self.dag.latent and parent not in seen:
                seen.add(parent)
                todo += self.dag.parents(parent)
            elif parent not in self.dag.latent:
                found.add(parent)
        return tuple(node.name for node in self.nodes if node.name in found)

    def redrawn(self, nodes: Sequence[Node], edges: Sequence[str | tuple[str, str]]) -> CauseNetwork:
        """Another drawing with the same settings."""
        return CauseNetwork(
            nodes, edges, latent=self.dag.latent, cause=self.cause, concentration=self.concentration,
            deviation_sd=self.model.deviation_sd,
        )  # fmt: skip

    def rows(self, table: SpellTable | PeriodTable | CauseRows, *, breaks: Sequence[float] | None = None) -> CauseRows:
        """Take the rows the network learns from; rows of several shops add up with ``+``.

        Parameters
        ----------
        table : SpellTable, PeriodTable or CauseRows
            Spells, of which the nodes' features are computed as of their opening; or a table with them.
        breaks : sequence of float, optional
            Period edges in days, of spells; by default those of their definition.
        """
        if isinstance(table, CauseRows):
            return table
        if isinstance(table, PeriodTable):
            return CauseRows.from_periods(table, self.nodes)
        return CauseRows.from_spells(table, self.nodes, breaks=breaks)

    def fit(
        self,
        table: SpellTable | PeriodTable | CauseRows,
        *,
        breaks: Sequence[float] | None = None,
        n_draws: int = 1000,
        rng: int | np.random.Generator = 0,
    ) -> CauseFit:
        """Learn every table of the network as a posterior.

        A node's probabilities come from one count per spell at its opening, the hazard of the leaf from events and exposure
        by configuration of its parents and period; all are weighted by the same draws of customers, see
        :class:`~churnsurv.causes.clusters.Clusters`. Cost: a pass over the rows for each node and each period; a million
        customers take seconds. Memory: the rows, and draws × configurations × periods.

        Parameters
        ----------
        table : SpellTable, PeriodTable or CauseRows
            See :meth:`rows`.
        breaks : sequence of float, optional
            Period edges in days.
        n_draws : int
            Posterior draws.
        rng : int or numpy.random.Generator
            The same seed gives the same posterior.

        Returns
        -------
        CauseFit
            What can be asked.

        Raises
        ------
        NoEventsError
            If the event of interest never happens.
        EmptyDataError
            If a node has a single state.
        """
        from churnsurv.causes.fit import CauseFit

        rows = self.rows(table, breaks=breaks)
        if rows.nodes != self.nodes:
            raise ArgumentError(
                f"the rows have the nodes {', '.join(rows.names)}, the network {', '.join(n.name for n in self.nodes)}.",
                hint="make the rows with network.rows(spells).",
            )
        _check_states(rows)
        generator = check_rng(rng)
        clusters = Clusters.of(rows.customer, n_draws=n_draws, rng=generator)
        tables = {
            node.name: learn_states(
                rows, clusters, node.name, self.parents(node.name), concentration=self.concentration, rng=generator
            )
            for node in self.static
        }
        return CauseFit(self, rows, clusters, tables, self.learn_leaf(rows, clusters, self.parents(OUTCOME), generator))

    def learn_leaf(
        self, rows: CauseRows, clusters: Clusters, parents: Sequence[str], rng: np.random.Generator
    ) -> Outlasting:
        """Learn how long nothing happens, given some nodes."""
        moving = self._moving(rows, clusters, parents, rng)
        inside = {node.name for node in moving}
        known = {name for name in parents if name not in inside}
        for node in moving:
            known |= set(node.initial.parents)
            for table in node.arrivals.values():
                known |= set(table.parents) - inside
        static = tuple(node.name for node in self.nodes if node.name in known)
        return Outlasting(
            static=static,
            cards=tuple(int(rows.cards[rows.position(name)]) for name in static),
            hazards=tuple(self._hazards(rows, clusters, parents, rng)),
            interest=self.interest(rows),
            moving=moving,
        )

    def interest(self, rows: CauseRows) -> frozenset[str]:
        """Events that the leaf is about."""
        if self.cause is not None:
            if rows.causes[0] == "return" and self.cause in rows.causes[1:]:
                raise ArgumentError(
                    f"cause={self.cause!r}: churn of a shop is that nobody returns; a {self.cause} is one way to it.",
                    hint="leave cause= out: closures compete with the return, and count as no return.",
                )
            if self.cause not in rows.causes:
                raise ArgumentError(f"there is no event {self.cause!r}.", hint=f"events are: {', '.join(rows.causes)}.")
            return frozenset({self.cause})
        return frozenset({"return"}) if rows.causes[0] == "return" else frozenset(rows.causes)

    def _hazards(
        self, rows: CauseRows, clusters: Clusters, parents: Sequence[str], rng: np.random.Generator
    ) -> Iterable[HazardTable]:
        interest = self.interest(rows)
        seen = np.isin(rows.event, [k + 1 for k, event in enumerate(rows.causes) if event in interest])
        if not (seen & (rows.stop <= rows.schema.breaks[-1])).any():
            raise NoEventsError(
                f"there is not one {' or '.join(sorted(interest))} within {rows.schema.breaks[-1]:g} days.",
                hint="use a longer window, or breaks that reach further.",
            )
        for k, event in enumerate(rows.causes):
            happened = (rows.event == k + 1) & (rows.stop <= rows.schema.breaks[-1])
            if happened.any():
                yield learn_hazard(rows, clusters, parents, event, happened, model=self.model, rng=rng)

    def _moving(
        self, rows: CauseRows, clusters: Clusters, parents: Sequence[str], rng: np.random.Generator
    ) -> tuple[MovingNode, ...]:
        """Nodes that move and matter: parents of the leaf, and what moves them in turn."""
        wanted, todo = set(), list(parents)
        while todo:
            name = todo.pop()
            if name in {node.name for node in self.moving} and name not in wanted:
                wanted.add(name)
                todo += self.parents(name)
        return tuple(self._learn_arrivals(rows, clusters, node, rng) for node in self.moving if node.name in wanted)

    def _learn_arrivals(self, rows: CauseRows, clusters: Clusters, node: Node, rng: np.random.Generator) -> MovingNode:
        """States of a node at the opening, and rates at which they become known, by what has become known before."""
        k, parents = rows.position(node.name), self.parents(node.name)
        code = rows.codes[:, k].astype(np.int64)
        same = (rows.customer[1:] == rows.customer[:-1]) & ~rows.opens[1:] & (rows.start[1:] == rows.stop[:-1])
        goes_on = np.append(same, False) & (rows.event == 0) & (rows.stop <= rows.schema.breaks[-1])
        following = np.append(code[1:], -1)
        arrivals = {}
        for state in range(len(rows.states[k])):
            happened = goes_on & (following == state) & (code != state)
            if happened.any():
                arrivals[state] = learn_hazard(
                    rows, clusters, (node.name, *parents), f"{node.name} = {rows.states[k][state]}", happened,
                    model=self.model, rng=rng, at_risk=code != state,
                )  # fmt: skip
        known = tuple(name for name in parents if name not in {one.name for one in self.moving})
        initial = learn_states(rows, clusters, node.name, known, concentration=_AT_OPENING, rng=rng)
        return MovingNode(node.name, len(rows.states[k]), initial, arrivals)

    def __repr__(self) -> str:
        """Print the arrows."""
        hidden = f"; latent: {', '.join(sorted(self.dag.latent))}" if self.dag.latent else ""
        return f"CauseNetwork({', '.join(f'{a} -> {b}' for a, b in self.dag.edges)}{hidden})"


def _check_drawing(nodes: tuple[Node, ...], dag: Dag) -> None:
    names = [node.name for node in nodes]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise GraphError(f"two nodes are called {twice[0]!r}.", hint="give one of them another name.")
    if len(nodes) > MAX_NODES + (COIN in names):
        raise NetworkSizeError(
            f"the network has {len(nodes)} nodes; the limit is {MAX_NODES}.",
            consequence="Exact answers and an honest look at positivity need tables that a person can read.",
            hint="keep the causes that an action could change, and what confounds them.",
        )
    unknown = [name for name in dag.nodes if name not in (*names, OUTCOME) and name not in dag.latent]
    if unknown:
        raise GraphError(
            f"the edges name {unknown[0]!r}, which is no node.",
            hint=f"nodes are: {', '.join(names)}; causes that the data do not show go to latent=[{unknown[0]!r}].",
        )
    clash = [name for name in dag.latent if name in (*names, OUTCOME)]
    if clash:
        raise GraphError(
            f"{clash[0]!r} is a node and latent.", hint="a latent cause has no feature; leave the node out."
        )
    if dag.children(OUTCOME):
        raise GraphError(
            f"an edge leads out of the leaf: {OUTCOME} -> {dag.children(OUTCOME)[0]}.",
            consequence="Churn is the end of the story: nothing that explains it comes after it.",
            hint="turn the edge round, or leave it out.",
        )
    later = {node.name for node in nodes if node.moves}
    for child in (node.name for node in nodes if not node.moves):
        wrong = [parent for parent in dag.parents(child) if parent in later]
        if wrong:
            raise GraphError(
                f"{wrong[0]} -> {child}: {wrong[0]} becomes known while the customer is at risk,"
                f" {child} was known before.",
                consequence="An effect before its cause.",
                hint=f"turn the edge round, or make {child} an Arrival too.",
            )


def _check_states(rows: CauseRows) -> None:
    for name, states in zip(rows.names, rows.states, strict=True):
        if len(states) < 2:
            raise EmptyDataError(
                f"node {name!r} has a single state, {states[0]!r}, in all {len(rows):,} rows.",
                consequence="What never differs explains nothing.",
                hint="leave the node out, or cut it elsewhere.",
            )
