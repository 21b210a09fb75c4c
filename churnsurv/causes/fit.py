"""A learnt network: what is likely, what follows from an intervention, and whether the data can carry the answer."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from churnsurv._typing import FloatArray
from churnsurv._validate import check_horizons
from churnsurv.causes.inference.discrete_network import Answer, DiscreteNetwork
from churnsurv.causes.nodes import AT_RISK, OUTCOME
from churnsurv.causes.positivity import THIN
from churnsurv.errors import HorizonError, ImpossibleEvidenceError, UnknownStateError
from churnsurv.tables.churn import Silence

if TYPE_CHECKING:
    from churnsurv.causes.clusters import Clusters
    from churnsurv.causes.counterfactuals import Counterfactual
    from churnsurv.causes.customers import CustomerStates
    from churnsurv.causes.doing import Doing
    from churnsurv.causes.effects import Effect
    from churnsurv.causes.explanation import Diagnosis, Explanation
    from churnsurv.causes.network import CauseNetwork
    from churnsurv.causes.outlasting import Fixed, Outlasting
    from churnsurv.causes.rows import CauseRows
    from churnsurv.causes.state_tables import StateTable
    from churnsurv.tables.spells import SpellTable

SUPPORT = 30
"""Spells at risk below which no horizon is told."""

CHURN_STATES = ("no", "yes")
"""States of the leaf at a horizon."""

State = str | Mapping[str, str]
"""A state that is set; or states that are replaced: ``{">24h": "<4h"}``."""


@dataclass(frozen=True, eq=False)
class CauseFit:
    """Posterior of a network of causes.

    Parameters
    ----------
    network : CauseNetwork
        What was drawn.
    rows : CauseRows
        What it was learnt from.
    clusters : Clusters
        Weights of the customers, the same in every table.
    tables : mapping of str to StateTable
        Probabilities of the nodes known at the opening.
    leaf : Outlasting
        Hazards, and nodes that move.
    """

    network: CauseNetwork
    rows: CauseRows
    clusters: Clusters
    tables: Mapping[str, StateTable]
    leaf: Outlasting
    _kept: dict[object, DiscreteNetwork] = field(default_factory=dict, repr=False)
    _adjusted: dict[object, tuple[DiscreteNetwork, Outlasting]] = field(default_factory=dict, repr=False)

    @cached_property
    def states(self) -> dict[str, tuple[str, ...]]:
        """States of each node, the leaf last."""
        return {**dict(zip(self.rows.names, self.rows.states, strict=True)), OUTCOME: CHURN_STATES}

    @property
    def n_draws(self) -> int:
        """Number of posterior draws."""
        return self.clusters.n_draws

    @property
    def alone(self) -> str:
        """The way to churn that is asked about, where a contract has others too; empty otherwise."""
        if isinstance(self.rows.schema.churn, Silence) or self.leaf.interest >= set(self.rows.causes):
            return ""
        return " or ".join(sorted(self.leaf.interest))

    @property
    def outcome(self) -> str:
        """What ``churn`` at a horizon means, in words, with ``{}`` for the days."""
        churn = self.rows.schema.churn
        since = "the landmark" if self.rows.at_landmarks else "the spell's opening"
        if isinstance(churn, Silence):
            return f"no {' or '.join(churn.kinds)} within {{:g}} days of {since}"
        return f"{' or '.join(sorted(self.leaf.interest))} within {{:g}} days of {since}"

    def horizon(self, horizon: float | None) -> float:
        """Days ahead, checked; of a shop the silence that defines churn unless said.

        Raises
        ------
        HorizonError
            If there is none, or it lies where the network knows no hazard.
        """
        churn = self.rows.schema.churn
        if horizon is None:
            if not isinstance(churn, Silence):
                raise HorizonError("no horizon is given.", hint="write horizon=60, in days.")
            horizon = churn.days
        (days,) = check_horizons(horizon)
        if days > self.supported_until:
            raise HorizonError(
                f"a horizon of {days:g} days lies beyond {self.supported_until:g}, up to where at least {SUPPORT} spells were"
                " at risk and the periods reach.",
                consequence="There the prior would answer, not the data.",
                hint="ask for a shorter one, or learn with breaks= (landmarks: horizon=) that reach further.",
            )
        return days

    @cached_property
    def supported_until(self) -> float:
        """Days on the clock up to where thirty spells were at risk, or half of them if they are fewer than sixty."""
        stops = np.sort(self.rows.stop[self.rows.ends])
        kept = float(stops[-min(SUPPORT, max(len(stops) // 2, 1))])
        # A whole unit, or the very end of landmarks' reach, may be missed by the last digits of a day.
        return min(kept * (1 + 1e-9), self.rows.schema.reach or np.inf, float(self.leaf.breaks[-1]))

    def at_horizon(
        self, horizon: float | None = None, *, at: float = 0.0, fixed: Fixed | None = None
    ) -> DiscreteNetwork:
        """Write the network as one of discrete nodes, whose leaf says whether churn came within the horizon.

        Nodes that move are summed over on the way there.

        Parameters
        ----------
        horizon : float, optional
            Days ahead.
        at : float
            Days on the clock that had been survived.
        fixed : mapping, optional
            Moving nodes that are held or replaced; see :data:`~churnsurv.causes.outlasting.Fixed`.
        """
        days = self.horizon(horizon)
        key = (days, at, _hashable(fixed or {}))
        if key not in self._kept:
            leaf = replace(self.leaf, fixed=dict(fixed or {}))
            outlast, _ = leaf.curve([days], at=at)
            self._kept[key] = _joined(self.opening, leaf, self.churned(outlast[..., 0]), _lasting(leaf, at))
        return self._kept[key]

    @cached_property
    def opening(self) -> DiscreteNetwork:
        """The nodes known at the opening, without the leaf."""
        static = tuple(node.name for node in self.network.static)
        return DiscreteNetwork(
            names=static,
            states={name: self.states[name] for name in static},
            parents={name: self.tables[name].parents for name in static},
            cpts={name: self.tables[name].cpt for name in static},
        )

    def adjusting(self, causes: tuple[str, ...], adjust: tuple[str, ...]) -> tuple[DiscreteNetwork, Outlasting]:
        """States and leaf of an adjustment, learnt when it is first asked for; see :mod:`~churnsurv.causes.doing`."""
        from churnsurv.causes.doing import adjusting

        key = (causes, adjust)
        if key not in self._adjusted:
            self._adjusted[key] = adjusting(self, causes, adjust)
        return self._adjusted[key]

    def churned(self, outlast: FloatArray) -> FloatArray:
        """Probability of churn, from that of no event of interest: of a shop they are the same."""
        return outlast if isinstance(self.rows.schema.churn, Silence) else 1.0 - outlast

    def query(
        self,
        target: str | Sequence[str],
        given: Mapping[str, str | Sequence[str]] | None = None,
        *,
        horizon: float | None = None,
        at: float = 0.0,
    ) -> Answer:
        """How likely something is among those of whom something is known: an association, not an effect.

        Parameters
        ----------
        target : str or sequence of str
            ``"churn"``, or a node known at the opening, or several for their joint probability.
        given : mapping of str to state, optional
            What is known; ``{"churn": "yes"}`` among those who churned within the horizon: a diagnosis.
        horizon : float, optional
            Days ahead; of a shop its silence unless said.
        at : float
            Days on the clock that had been survived; the nodes are then those of whoever survived them.

        Returns
        -------
        Answer
            Posterior of each state.

        Raises
        ------
        UnknownStateError
            If a node or state is unknown.
        ImpossibleEvidenceError
            If ``given`` cannot happen, or two of its states never meet in the log though they would by chance.
        """
        targets = (target,) if isinstance(target, str) else tuple(target)
        known = dict(given or {})
        self.check_names((*targets, *known))
        if OUTCOME not in (*targets, *known) and horizon is None and at == 0:
            # Nothing is asked of the future: any horizon gives the same answer.
            horizon = self.supported_until
        if not 0 <= at < np.inf:
            raise HorizonError(f"at={at!r} is no time on the clock.", hint="write at=20, in days survived so far.")
        self.check_possible(known)
        network = self._seen((*targets, *known), horizon, at)
        return network.query(targets, {**known, AT_RISK: "yes"} if at > 0 else known)

    def _seen(self, names: Sequence[str], horizon: float | None, at: float) -> DiscreteNetwork:
        """A network from which associations of some nodes follow.

        Where latent causes hide behind observed nodes, the drawing's tables multiplied are no joint distribution: then the
        nodes that are asked about get one of their own, and the leaf is learnt given all of them.
        """
        from churnsurv.causes.doing import confounded

        if not confounded(self.network.dag):
            return self.at_horizon(horizon, at=at)
        asked = tuple(node.name for node in self.network.static if node.name in names)
        opening, leaf = self.adjusting((), asked)
        probability = self.churned(leaf.curve([self.horizon(horizon)], at=at)[0][..., 0])
        return _joined(opening, leaf, probability, _lasting(leaf, at))

    def do(self, settings: Mapping[str, State]) -> Doing:
        """Intervene: set causes from the spell's opening on, whatever would have brought them about.

        Parameters
        ----------
        settings : mapping of str to state or mapping
            ``{"support_wait": "<4h"}`` sets a node for everybody; ``{"support_wait": {">24h": "<4h", "4-24h": "<4h"}}``
            replaces states and leaves the others as they would have come. Of a node that moves, a state is held from the
            opening on (a sustained intervention), and a replacement acts when the state would arrive.

        Returns
        -------
        Doing
            ``.churn(horizon=60)``, ``.rmst(horizon=60)``.

        Raises
        ------
        UnknownStateError
            If a node or state is unknown.
        """
        from churnsurv.causes.doing import Doing

        return Doing.of(self, settings)

    def effect(
        self,
        cause: str,
        to: State,
        versus: State | None = None,
        *,
        horizon: float | None = None,
        by: str | None = None,
        given: Mapping[str, str] | None = None,
    ) -> Effect:
        """Compare churn under two settings of a cause; see :func:`~churnsurv.causes.effects.estimate_effect`."""
        from churnsurv.causes.effects import estimate_effect

        return estimate_effect(self, cause, to, versus, horizon=horizon, by=by, given=given)

    def counterfactual(
        self,
        customers: SpellTable | CustomerStates,
        settings: Mapping[str, State],
        *,
        horizon: float | None = None,
    ) -> Counterfactual:
        """Compare risks as they are with what they would be; see :func:`~churnsurv.causes.counterfactuals.counterfactual`."""
        from churnsurv.causes.counterfactuals import counterfactual

        return counterfactual(self, customers, settings, horizon=horizon)

    def explain(
        self,
        customers: SpellTable | CustomerStates,
        *,
        horizon: float | None = None,
        reference: Mapping[str, str] | None = None,
    ) -> Explanation:
        """Tell what of each customer's risk is due to each cause; see :func:`~churnsurv.causes.explanation.explain`."""
        from churnsurv.causes.explanation import explain

        return explain(self, customers, horizon=horizon, reference=reference)

    def diagnose(
        self, given: Mapping[str, str] | None = None, *, horizon: float | None = None, at: float = 0.0
    ) -> Diagnosis:
        """Tell which causes are likely given churn; see :func:`~churnsurv.causes.explanation.diagnose`."""
        from churnsurv.causes.explanation import diagnose

        return diagnose(self, given, horizon=horizon, at=at)

    def check_names(self, names: Sequence[str]) -> None:
        """Refuse names that are no nodes.

        Raises
        ------
        UnknownStateError
            Naming the nodes there are; and nodes that move, which have no state at the opening.
        """
        for name in names:
            if name not in self.states:
                raise UnknownStateError(f"there is no node {name!r}.", hint=f"nodes are: {', '.join(self.states)}.")
            if name in {node.name for node in self.network.moving}:
                raise UnknownStateError(
                    f"{name} becomes known while the customer is at risk: at the opening it is always"
                    f" {self.states[name][-1]!r}.",
                    hint=f"ask what it would change: fit.do({{{name!r}: {self.states[name][0]!r}}}).churn(horizon=60).",
                )

    def check_state(self, name: str, state: str) -> int:
        """Position of a state.

        Raises
        ------
        UnknownStateError
            If the node has no such state.
        """
        if state not in self.states[name]:
            raise UnknownStateError(
                f"{name} has no state {state!r}.", hint=f"its states are: {', '.join(map(repr, self.states[name]))}."
            )
        return self.states[name].index(state)

    def check_possible(self, given: Mapping[str, str | Sequence[str]]) -> None:
        """Refuse states that exclude each other in the log: the prior alone would answer.

        Raises
        ------
        ImpossibleEvidenceError
            If two of them never meet at an opening, where ten spells or more would if they had nothing to do with each other.
        """
        opening = self.rows.codes[self.rows.opens]
        single = {
            name: (state,) if isinstance(state, str) else tuple(state)
            for name, state in given.items()
            if name != OUTCOME
        }
        where = {
            name: np.isin(opening[:, self.rows.position(name)], [self.check_state(name, state) for state in states])
            for name, states in single.items()
        }
        for (a, first), (b, second) in itertools.combinations(where.items(), 2):
            expected = first.sum() * second.sum() / len(opening)
            if expected >= THIN and not (first & second).any():
                raise ImpossibleEvidenceError(
                    f"{a} = {' or '.join(single[a])} and {b} = {' or '.join(single[b])} never meet in {len(opening):,} spells;"
                    f" {expected:,.0f} would if they had nothing to do with each other.",
                    consequence="The answer would be the prior's, about customers who cannot be.",
                    hint="leave one of them out of given.",
                )

    def __repr__(self) -> str:
        """One line: nodes, rows, draws."""
        return (
            f"CauseFit({len(self.rows.nodes)} causes of {OUTCOME}, {int(self.rows.opens.sum()):,} spells of "
            f"{self.rows.n_customers:,} customers, {self.n_draws:,} draws)"
        )


def _lasting(leaf: Outlasting, at: float) -> FloatArray | None:
    """Probability that nothing at all has happened by ``at``, shape (n_draws, n_configurations)."""
    if at == 0:
        return None
    return replace(leaf, interest=frozenset(table.event for table in leaf.hazards)).curve([at])[0][..., 0]


def _joined(
    opening: DiscreteNetwork, leaf: Outlasting, probability: FloatArray, at_risk: FloatArray | None
) -> DiscreteNetwork:
    """Put the leaf's probabilities, shape (n_draws, n_configurations), under the nodes' tables."""
    leaves = {OUTCOME: probability} if at_risk is None else {OUTCOME: probability, AT_RISK: at_risk}
    tables = {name: table.reshape(-1, *leaf.cards) for name, table in leaves.items()}
    return DiscreteNetwork(
        names=(*opening.names, *leaves),
        states={**opening.states, **dict.fromkeys(leaves, CHURN_STATES)},
        parents={**opening.parents, **dict.fromkeys(leaves, leaf.static)},
        cpts={**opening.cpts, **{name: np.stack([1 - yes, yes], axis=-1) for name, yes in tables.items()}},
    )


def _hashable(value: object) -> object:
    return tuple(sorted((k, _hashable(v)) for k, v in value.items())) if isinstance(value, Mapping) else value
