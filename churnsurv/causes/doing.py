"""Interventions: what churn would be if causes were set, with the label that says whether the data can tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from churnsurv._typing import FloatArray
from churnsurv._validate import check_ci_prob, check_rng
from churnsurv.causes.fit import CauseFit, State
from churnsurv.causes.inference.discrete_network import DiscreteNetwork
from churnsurv.causes.nodes import OUTCOME
from churnsurv.causes.outlasting import Outlasting
from churnsurv.causes.positivity import Positivity, count_positivity
from churnsurv.causes.state_tables import learn_states
from churnsurv.dag.graph import Dag
from churnsurv.dag.identification import Identification, identify_effect
from churnsurv.errors import ArgumentError, IdentificationError, ModelSupportError

if TYPE_CHECKING:
    import pandas as pd

Given = Mapping[str, str]
"""States of nodes that say whom an effect is about."""


@dataclass(frozen=True, eq=False)
class CausalAnswer:
    """One number that follows from an intervention, as a posterior with its label.

    Parameters
    ----------
    quantity : str
        What it is, in words.
    draws : array of shape (n_draws,)
        Posterior; NaN throughout where the effect is not identified.
    identification : Identification
        Whether, and by which adjustment, the data can carry the answer.
    association : array of shape (n_draws,) or None
        The same among those who *happen* to be in the states, where it can be told: no effect.
    positivity : tuple of Positivity
        Spells behind it.
    later : bool
        Whether it starts at a landmark, among those who lasted until then, and not at the opening.
    """

    quantity: str
    draws: FloatArray
    identification: Identification
    association: FloatArray | None = None
    positivity: tuple[Positivity, ...] = ()
    later: bool = False

    @property
    def label(self) -> str:
        """``identified``, ``not identified``, ``associational``; from a landmark on ``counterfactual`` where identified."""
        status = self.identification.status
        return "counterfactual" if self.later and status == "identified" else status

    def mean(self) -> float:
        """Posterior mean."""
        return float(self.draws.mean())

    def interval(self, ci_prob: float = 0.90) -> tuple[float, float]:
        """Equal-tailed interval."""
        low, high = _interval(self.draws, ci_prob)
        return low, high

    def frame(self, ci_prob: float = 0.90) -> pd.DataFrame:
        """One row: ``quantity, mean, lower, upper, label, adjusted_for, reason, association``."""
        import pandas as pd

        low, high = self.interval(ci_prob)
        return pd.DataFrame(
            {
                "quantity": [self.quantity],
                "mean": [self.mean()],
                "lower": [low],
                "upper": [high],
                "label": [self.label],
                "adjusted_for": [", ".join(self.identification.adjustment_set or ())],
                "reason": [self.identification.reason],
                "association": [np.nan if self.association is None else float(self.association.mean())],
            }
        )

    def __repr__(self) -> str:
        """Quantity, number with its interval, and label."""
        low, high = self.interval()
        number = f"{self.quantity}: {self.mean():.3f} ({low:.3f} to {high:.3f}; {self.label}"
        if self.label == "associational":
            return f"{number})"
        if self.label != "not identified":
            adjusted = ", ".join(self.identification.adjustment_set or ()) or "nothing"
            thin = "".join(f" {part.sentence()}" for part in self.positivity if part.thin.any())
            return f"{number}, adjusted for {adjusted}).{thin}"
        seen = "" if self.association is None else f" The association, no effect, is {self.association.mean():.3f}."
        return f"{self.quantity}: {self.label}. {self.identification.reason}{seen}"


def _interval(draws: FloatArray, ci_prob: float) -> tuple[float, float]:
    tail = (1.0 - check_ci_prob(ci_prob)) / 2.0
    if not np.isfinite(draws).all():
        return float("nan"), float("nan")
    low, high = np.quantile(draws, [tail, 1.0 - tail])
    return float(low), float(high)


@dataclass(frozen=True, eq=False)
class Doing:
    """A network under an intervention; made by :meth:`CauseFit.do`.

    Parameters
    ----------
    fit : CauseFit
        The network as it was learnt.
    settings : mapping
        What is set, by name.
    """

    fit: CauseFit
    settings: Mapping[str, State]

    @classmethod
    def of(cls, fit: CauseFit, settings: Mapping[str, State]) -> Doing:
        """Check the settings."""
        for name, state in settings.items():
            if name == OUTCOME:
                raise ArgumentError(
                    f"{OUTCOME} is what is asked about, it is not set.", hint="set one of its causes instead."
                )
            if name not in fit.states:
                fit.check_names((name,))
            _check_arrives(fit, name, state)
            pairs = [*state.items()] if isinstance(state, Mapping) else [(state, state)]
            for old, new in pairs:
                fit.check_state(name, old)
                fit.check_state(name, new)
        return cls(fit, dict(settings))

    @property
    def dag(self) -> Dag:
        """The graph, latent causes and all."""
        return self.fit.network.dag

    def identify(self, given: Given | None = None) -> Identification:
        """Tell whether the effect of these settings can be told from the data.

        Parameters
        ----------
        given : mapping, optional
            Whom it is about.

        Raises
        ------
        IdentificationError
            If ``given`` names an effect of what is set: conditioning on it would take part of the effect away.
        """
        self.fit.check_names(tuple(given or {}))
        clash = [name for name in (given or {}) if name in self.settings and isinstance(self.settings[name], str)]
        if clash:
            raise IdentificationError(
                f"{clash[0]} is set and given at once.",
                consequence="Whoever is chosen by what would be set is chosen before, or after; the question must say which.",
                hint=f"leave {clash[0]!r} out of given, or replace states: do({{{clash[0]!r}: {{old: new}}}}).",
            )
        self.fit.check_possible(dict(given or {}))
        if not self.settings:
            return Identification.associational(OUTCOME, given=tuple(given or {}))
        found = identify_effect(self.dag, tuple(self.settings), OUTCOME, given=tuple(given or {}))
        hidden = confounded(self.dag, among=(OUTCOME,))
        replaced = [name for name, state in self.settings.items() if isinstance(state, Mapping)]
        if hidden and replaced and len(self.settings) > 1 and found.status == "identified":
            reason = (
                f"{replaced[0]} is replaced beside another setting: what it would have come to under that one is hidden by a"
                " latent cause."
            )
            return replace(found, status="not identified", adjustment_set=None, reason=reason)
        if found.status == "not identified" and not hidden:
            reason = "every common cause is observed, and the product of all tables gives the answer, without one set."
            return replace(found, status="identified", open_path=None, reason=reason)
        return found

    def churn(self, horizon: float | None = None, given: Given | None = None) -> CausalAnswer:
        """Probability of churn within the horizon, were the causes set at the opening.

        Parameters
        ----------
        horizon : float, optional
            Days from the opening; of a shop its silence unless said.
        given : mapping of str to str, optional
            Among whom: states of nodes that the intervention does not touch.

        Returns
        -------
        CausalAnswer
            In [0, 1], with its label.

        Raises
        ------
        IdentificationError
            See :meth:`identify`.
        """
        days = self.fit.horizon(horizon)
        identification = self.identify(given)
        quantity = f"P({self.fit.outcome.format(days)} | {self._told(given)})"
        return CausalAnswer(
            quantity,
            self.expected(days, given, identification)[0],
            identification,
            self.associated(days, given),
            self.counted(identification, given),
            self.fit.rows.at_landmarks,
        )

    def rmst(self, horizon: float | None = None, given: Given | None = None) -> CausalAnswer:
        """Expected days without the event within the horizon: of a subscription days kept, of a shop days until the return.

        Parameters
        ----------
        horizon : float, optional
            Days from the opening.
        given : mapping, optional
            Among whom.
        """
        days = self.fit.horizon(horizon)
        identification = self.identify(given)
        quantity = (
            f"E[days without {' or '.join(sorted(self.fit.leaf.interest))} within {days:g} | {self._told(given)}]"
        )
        return CausalAnswer(
            quantity,
            self.expected(days, given, identification)[1],
            identification,
            positivity=self.counted(identification, given),
            later=self.fit.rows.at_landmarks,
        )

    def counted(self, identification: Identification, given: Given | None) -> tuple[Positivity, ...]:
        """Spells behind the answer, by what is adjusted for and given."""
        if not self.settings or identification.status != "identified" or identification.no_effect:
            return ()
        adjust = tuple(dict.fromkeys([*(identification.adjustment_set or ()), *(given or {})]))
        return count_positivity(self.fit.rows, self.settings, adjust, self.words(), given=given)

    def words(self) -> str:
        """What is set, in words."""
        return ", ".join(
            f"{name}: {', '.join(f'{a} → {b}' for a, b in state.items())}"
            if isinstance(state, Mapping)
            else f"{name} = {state}"
            for name, state in self.settings.items()
        )

    def expected(
        self,
        horizon: float,
        given: Given | None,
        identification: Identification,
        *,
        causes: tuple[str, ...] | None = None,
    ) -> tuple[FloatArray, FloatArray]:
        """Churn and days without it, draw by draw; NaN where the effect is not identified.

        Parameters
        ----------
        horizon : float
            Days.
        given : mapping or None
            Among whom.
        identification : Identification
            Of these settings given that.
        causes : tuple of str, optional
            Causes of the model to answer with, where more of them are to be left as they come than are set.

        Returns
        -------
        churn, days : array of shape (n_draws,)
            Posterior draws.
        """
        if identification.status == "not identified":
            return np.full(self.fit.n_draws, np.nan), np.full(self.fit.n_draws, np.nan)
        return self._summed(
            self._model(identification, tuple(given or {}), causes or tuple(self.settings)), horizon, given
        )

    def as_if_observed(self, horizon: float, given: Given | None) -> FloatArray:
        """Churn by the network's own tables, as if no common cause were hidden, shape (n_draws,)."""
        return self._summed((self.fit.opening, replace(self.fit.leaf, fixed=self._fixed())), horizon, given)[0]

    def _summed(
        self, model: tuple[DiscreteNetwork, Outlasting], horizon: float, given: Given | None
    ) -> tuple[FloatArray, FloatArray]:
        network, leaf = model
        static = {name: state for name, state in self.settings.items() if name in network.names}
        outlast, spent = leaf.curve([horizon])
        weights = np.ones((self.fit.n_draws, 1))
        if leaf.static:
            weights = network.do(static).query(leaf.static, dict(given or {})).draws.reshape(-1, leaf.n_configurations)
        churn = self.fit.churned((weights * outlast[..., 0]).sum(axis=1))
        return churn, (weights * spent[..., 0]).sum(axis=1)

    def _model(
        self, identification: Identification, given: tuple[str, ...], causes: tuple[str, ...]
    ) -> tuple[DiscreteNetwork, Outlasting]:
        """States and leaf from which the answer follows: the network's own, or an adjustment where causes are hidden."""
        if not confounded(self.dag, among=(OUTCOME,)):
            return self.fit.opening, replace(self.fit.leaf, fixed=self._fixed())
        if identification.no_effect:
            # What has no path to churn does not move it; adjusting for nothing would let the hidden cause in.
            causes = ()
        adjust = tuple(dict.fromkeys([*(identification.adjustment_set or ()), *given]))
        return self.fit.adjusting(causes, adjust)

    def _fixed(self) -> dict[str, int | dict[int, int]]:
        """Settings of moving nodes by position."""
        moving = {node.name for node in self.fit.network.moving}
        states = self.fit.states
        return {
            name: {states[name].index(a): states[name].index(b) for a, b in state.items()}
            if isinstance(state, Mapping)
            else states[name].index(state)
            for name, state in self.settings.items()
            if name in moving
        }

    def associated(self, days: float, given: Given | None) -> FloatArray | None:
        """Churn among those who happen to be in the states."""
        moving = {node.name for node in self.fit.network.moving}
        if not self.settings or any(isinstance(s, Mapping) or n in moving for n, s in self.settings.items()):
            return None
        seen = {name: state for name, state in self.settings.items() if isinstance(state, str)}
        answer = self.fit.query(OUTCOME, {**(given or {}), **seen}, horizon=days)
        return np.asarray(answer.draws[:, 1])

    def _told(self, given: Given | None) -> str:
        done = self.words()
        among = "".join(f", {name} = {state}" for name, state in (given or {}).items())
        return f"do({done}){among}" if done else among.removeprefix(", ") or "as it is"


def _check_arrives(fit: CauseFit, name: str, state: State) -> None:
    """Refuse to replace the state in which a node waits: it does not arrive."""
    node = next((node for node in fit.leaf.moving if node.name == name), None)
    if node is None or not isinstance(state, Mapping):
        return
    idle = [old for old in state if old in fit.states[name] and fit.states[name].index(old) not in node.arrivals]
    if idle:
        raise ArgumentError(
            f"{name} = {idle[0]} never arrives, so that nothing would be replaced.",
            hint=f"hold a state from the opening on: do({{{name!r}: {next(iter(state.values()))!r}}}).",
        )


def confounded(dag: Dag, *, among: tuple[str, ...] | None = None) -> bool:
    """Whether some latent cause moves two observed nodes, directly or through other latent ones.

    Parameters
    ----------
    dag : Dag
        The graph.
    among : tuple of str, optional
        Count these nodes and what leads to them; all by default.

    Examples
    --------
    >>> confounded(Dag.from_edges(["mood -> late", "mood -> churn"], latent=["mood"]))
    True
    >>> confounded(Dag.from_edges(["late -> mood -> churn"], latent=["mood"]))
    False
    """
    matters = set(dag.nodes) if among is None else set(dag.ancestral(among))
    for hidden in dag.latent:
        found, todo = set(), list(dag.children(hidden))
        while todo:
            child = todo.pop()
            if child in dag.latent:
                todo += dag.children(child)
            elif child in matters:
                found.add(child)
        if len(found) > 1:
            return True
    return False


def adjusting(fit: CauseFit, causes: tuple[str, ...], adjust: tuple[str, ...]) -> tuple[DiscreteNetwork, Outlasting]:
    """The adjustment formula as a network: what is adjusted for jointly, the causes given it, the leaf given both."""
    moving = {node.name for node in fit.network.moving}
    if causes and (moving & {*causes, *adjust} or moving & set(fit.network.dag.ancestors(OUTCOME))):
        raise ModelSupportError(
            f"a latent cause is drawn, and {sorted(moving)[0]} moves while the customer is at risk.",
            consequence="Adjusting for what moves needs the hazards of the network, and a hidden cause makes them no effects.",
            hint="leave the moving node or the latent cause out.",
        )
    rng = check_rng(0)
    order = [node.name for node in fit.network.static if node.name in adjust]
    parents = {name: tuple(order[:k]) for k, name in enumerate(order)}
    chosen = [node.name for node in fit.network.static if node.name in causes]
    for k, name in enumerate(chosen):
        parents[name] = (*order, *chosen[:k])
    names = (*order, *chosen)
    tables = {
        name: learn_states(
            fit.rows, fit.clusters, name, parents[name], concentration=fit.network.concentration, rng=rng
        )
        for name in names
    }
    network = DiscreteNetwork(
        names=names,
        states={name: fit.states[name] for name in names},
        parents=parents,
        cpts={name: tables[name].cpt for name in names},
    )
    return network, fit.network.learn_leaf(fit.rows, fit.clusters, names, rng)
