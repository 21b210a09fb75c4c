"""What would become of a customer from now on, had a cause been otherwise: a counterfactual, and labelled so."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from churnsurv._typing import BoolArray, FloatArray, IntArray, StrArray
from churnsurv._validate import check_ci_prob
from churnsurv.causes.customers import UNKNOWN, CustomerStates
from churnsurv.causes.nodes import OUTCOME
from churnsurv.errors import HorizonError, IdentificationError, ModelSupportError
from churnsurv.tables.churn import Silence

if TYPE_CHECKING:
    import pandas as pd

    from churnsurv.causes.fit import CauseFit, State
    from churnsurv.causes.outlasting import Outlasting
    from churnsurv.dag.identification import Identification
    from churnsurv.tables.spells import SpellTable

_ELEMENTS = 1 << 23
"""Numbers that are held at a time; 64 MB."""


@dataclass(frozen=True, eq=False)
class Counterfactual:
    """Risk of each customer as things are, and had causes been otherwise.

    Parameters
    ----------
    customers : CustomerStates
        Who, by pattern.
    settings : mapping
        What is otherwise.
    horizon : float or None
        Days from now; ``None``: until the silence that defines churn.
    identification : Identification
        Of the effect behind it.
    risk, changed : array of shape (n_draws, n_patterns)
        Posterior draws of the probability of churn; NaN where a state is not known, ``changed`` also where the effect is
        not identified.
    status : array of str, shape (n_patterns,)
        ``told``, ``unknown`` where a state is not known, ``beyond`` where the horizon reaches beyond the data.
    """

    customers: CustomerStates
    settings: Mapping[str, State]
    horizon: float | None
    identification: Identification
    risk: FloatArray
    changed: FloatArray
    status: StrArray

    @property
    def label(self) -> str:
        """``counterfactual``, or ``not identified``."""
        return "counterfactual" if self.identification.status == "identified" else self.identification.status

    def frame(self, ci_prob: float = 0.90) -> pd.DataFrame:
        """One row per customer.

        ``customer_id, churn_probability, counterfactual, difference, lower, upper, status, label``: the difference is
        counterfactual minus actual, with its interval; negative is a customer kept.
        """
        import pandas as pd

        tail = (1.0 - check_ci_prob(ci_prob)) / 2.0
        difference = self.changed - self.risk
        low, high = np.quantile(difference, [tail, 1.0 - tail], axis=0)
        told = {
            "churn_probability": self.risk.mean(axis=0),
            "counterfactual": self.changed.mean(axis=0),
            "difference": difference.mean(axis=0),
            "lower": low,
            "upper": high,
        }
        data = {name: values[self.customers.pattern] for name, values in told.items()}
        status = self.status[self.customers.pattern]
        return pd.DataFrame({"customer_id": self.customers.customer_id, **data, "status": status, "label": self.label})

    def kept(self) -> FloatArray:
        """Customers kept in all, in expectation, shape (n_draws,); patterns that are not known are left out."""
        known = np.isfinite(self.changed).all(axis=0)
        return np.asarray((self.risk - self.changed)[:, known] @ self.customers.counts[known])

    def __repr__(self) -> str:
        """One line: customers, and how many would be kept."""
        low, high = np.quantile(self.kept(), [0.05, 0.95])
        return f"Counterfactual({len(self.customers):,} customers, {low:.0f} to {high:.0f} kept; {self.label})"


def counterfactual(
    fit: CauseFit,
    customers: SpellTable | CustomerStates,
    settings: Mapping[str, State],
    *,
    horizon: float | None = None,
) -> Counterfactual:
    r"""Compare each customer's risk from now on with what it would be, had causes been otherwise.

    She has lasted until now with the causes as they were; from now on the hazard is that of the changed configuration. Nodes
    that the changed ones move would have been otherwise too: each keeps its *rank*. A node at the *u*-quantile of its
    states, given its causes as they were, is taken at the *u*-quantile given its causes as they would have been; within the
    observed state *u* is uniform (abduction, action, prediction; [1]_ section 7.1). That an individual keeps her rank is an
    assumption about individuals that no data can check [1]_; averages over customers at the opening do not need it, and are
    what :meth:`CauseFit.do` gives. Order the states of such nodes from bad to good.

    Cost: patterns × draws × configurations of the nodes that are moved; in parts of 64 MB.

    Parameters
    ----------
    fit : CauseFit
        A learnt network.
    customers : SpellTable or CustomerStates
        Who is at risk now.
    settings : mapping
        As in :meth:`CauseFit.do`.
    horizon : float, optional
        Days from now. By default, of a shop, until the silence that defines churn.

    Returns
    -------
    Counterfactual
        By pattern.

    Raises
    ------
    HorizonError
        If nobody can be told: each state is unknown or the horizon beyond the data.
    ModelSupportError
        If a node that moves is set, or latent causes confound the network.
    UnknownStateError
        If a node or state is unknown.

    References
    ----------
    .. [1] Pearl, J. (2009). *Causality*, 2nd ed., ch. 7. Cambridge University Press.
    """
    from churnsurv.causes.doing import Doing, confounded

    doing = Doing.of(fit, settings)
    moving = [name for name in settings if name in {node.name for node in fit.network.moving}]
    if moving:
        raise ModelSupportError(
            f"{moving[0]} moves while the customer is at risk; what it would have been by now depends on when.",
            hint=f"ask about the opening: fit.do({{{moving[0]!r}: …}}).churn(horizon=60).",
        )
    after = [
        name
        for name, state in settings.items()
        if isinstance(state, Mapping) and any(name in fit.network.dag.descendants(other) for other in settings)
    ]
    if after:
        raise ModelSupportError(
            f"{after[0]} is replaced, and would itself have come out otherwise under the other setting.",
            hint=f"set {after[0]} to one state, or ask one cause at a time.",
        )
    if confounded(fit.network.dag, among=(OUTCOME,)):
        raise IdentificationError(
            "a latent cause is drawn: what it is for a customer cannot be told from what is seen of her.",
            consequence="Her counterfactual would need it.",
            hint="ask about averages: fit.do({…}).churn(horizon=60), which adjusts where it can.",
        )
    who = customers if isinstance(customers, CustomerStates) else CustomerStates.of(fit, customers)
    churn = fit.rows.schema.churn
    days = None if horizon is None and isinstance(churn, Silence) else fit.horizon(horizon)
    ahead = churn.days - who.days if days is None and isinstance(churn, Silence) else np.full(who.n_patterns, days)
    needed = [fit.rows.position(name) for name in _needed(fit, settings)]
    status = np.where((who.codes[:, needed] != UNKNOWN).all(axis=1), "told", "unknown").astype(object)
    status[(who.days + ahead > fit.supported_until) & (status == "told")] = "beyond"
    known = status == "told"
    _check_told(status, who, fit.supported_until)
    identification = doing.identify()
    risk = np.full((fit.n_draws, who.n_patterns), np.nan)
    changed = risk.copy()
    states = _Patterns(fit, who.codes[known], who.days[known], ahead[known])
    risk[:, known] = states.risk()
    changed[:, known] = states.risk_under(settings)
    return Counterfactual(who, dict(settings), days, identification, risk, changed, status)


def _needed(fit: CauseFit, settings: Mapping[str, State]) -> list[str]:
    """Nodes whose states an answer needs: what the leaf depends on, what is moved, and the causes of that."""
    leaf = {*fit.leaf.static, *(node.name for node in fit.leaf.moving)}
    moved = {name for cause in settings for name in fit.network.dag.descendants(cause)} & leaf & set(fit.tables)
    on_the_way = {
        name
        for cause in settings
        for name in fit.network.dag.descendants(cause)
        if name in fit.tables and leaf & set(fit.network.dag.descendants(name))
    }
    parents = {parent for name in moved | on_the_way for parent in fit.tables[name].parents}
    return [node.name for node in fit.network.nodes if node.name in leaf | on_the_way | parents | set(settings)]


def _check_told(status: StrArray, who: CustomerStates, last: float) -> None:
    """Refuse if nobody is left."""
    if (status == "told").any():
        return
    beyond = int(who.counts[status == "beyond"].sum())
    raise HorizonError(
        f"none of {len(who):,} customers can be told: of {beyond:,} the horizon reaches beyond {last:g} days on the clock,"
        f" up to where the data reach, of {len(who) - beyond:,} some state is not known.",
        hint="ask for a shorter horizon, or learn with breaks= that reach further.",
    )


@dataclass(frozen=True, eq=False)
class _Patterns:
    """Patterns with every state known."""

    fit: CauseFit
    codes: IntArray
    days: FloatArray
    ahead: FloatArray

    @property
    def leaf(self) -> Outlasting:
        return self.fit.leaf

    def column(self, name: str) -> IntArray:
        return self.codes[:, self.fit.rows.position(name)]

    def risk(self) -> FloatArray:
        """Probability of churn as things are, shape (n_draws, n_patterns)."""
        configuration = np.zeros(len(self.codes), np.int64)
        for name, card in zip(self.leaf.static, self.leaf.cards, strict=True):
            configuration = configuration * card + self.column(name)
        return self.churned(configuration, np.arange(len(self.codes)))

    def churned(self, configuration: IntArray, pattern: IntArray) -> FloatArray:
        """Probability of churn of configurations at the clocks of patterns, shape (n_draws, n)."""
        moving = [self.fit.rows.position(node.name) for node in self.leaf.moving]
        states = self.codes[pattern][:, moving]
        key = np.column_stack([self.days[pattern], self.ahead[pattern], states])
        groups, where = np.unique(key, axis=0, return_inverse=True)
        found = np.empty((self.fit.n_draws, len(configuration)))
        for g, (at, ahead, *seen) in enumerate(groups):
            rows = np.flatnonzero(where.ravel() == g)
            each, back = np.unique(configuration[rows], return_inverse=True)
            state = {node.name: int(code) for node, code in zip(self.leaf.moving, seen, strict=True)}
            outlast, _ = self.leaf.curve([float(ahead)], at=float(at), state=state, configurations=each)
            found[:, rows] = self.fit.churned(outlast[..., 0])[:, back]
        return found

    def risk_under(self, settings: Mapping[str, State]) -> FloatArray:
        """Probability of churn with causes set and what they move following by rank, shape (n_draws, n_patterns)."""
        dag = self.fit.network.dag
        moved = {name for cause in settings for name in dag.descendants(cause)} - {OUTCOME, *settings}
        matters = set(self.leaf.static) | {name for node in self.leaf.static for name in dag.ancestors(node)}
        order = [name for name in dag.order if name in moved & matters and name in self.fit.tables]
        cards = [len(self.fit.states[name]) for name in order]
        combos = np.array(list(itertools.product(*map(range, cards))), np.int64).reshape(
            int(np.prod(cards, dtype=int)), len(order)
        )
        result = np.empty((self.fit.n_draws, len(self.codes)))
        step = max(1, _ELEMENTS // (self.fit.n_draws * len(combos)))
        for low in range(0, len(self.codes), step):
            part = replace(
                self, codes=self.codes[low : low + step], days=self.days[low : low + step], ahead=self.ahead[low : low + step]
            )  # fmt: skip
            result[:, low : low + step] = part.averaged(settings, order, combos)
        return result

    def averaged(self, settings: Mapping[str, State], order: list[str], combos: IntArray) -> FloatArray:
        """Average over the states that nodes would be in, shape (n_draws, n_patterns)."""
        n, m = len(self.codes), len(combos)
        changed = {name: np.repeat(self.column(name)[:, None], m, axis=1) for name in self.fit.opening.names}
        for name, state in settings.items():
            changed[name] = np.repeat(self.set_state(name, state)[:, None], m, axis=1)
        for k, name in enumerate(order):
            changed[name] = np.repeat(combos[None, :, k], n, axis=0)
        weight = np.ones((self.fit.n_draws, n, m))
        for name in order:
            weight *= self.kept_rank(name, changed)
        configuration = np.zeros((n, m), np.int64)
        for name, card in zip(self.leaf.static, self.leaf.cards, strict=True):
            configuration = configuration * card + changed[name]
        pattern = np.repeat(np.arange(n), m)
        used = weight.max(axis=0).ravel() > 0
        churned = np.zeros((self.fit.n_draws, n * m))
        churned[:, used] = self.churned(configuration.ravel()[used], pattern[used])
        return np.asarray((weight * churned.reshape(weight.shape)).sum(axis=2))

    def set_state(self, name: str, state: State) -> IntArray:
        states, codes = self.fit.states[name], self.column(name)
        if isinstance(state, str):
            return np.full(len(codes), states.index(state))
        place = np.arange(len(states))
        for old, new in state.items():
            place[states.index(old)] = states.index(new)
        return place[codes]

    def kept_rank(self, name: str, changed: Mapping[str, IntArray]) -> FloatArray:
        """Probability that a node would be in its changed state given the one it is in, shape (n_draws, n, n_combos)."""
        table = self.fit.tables[name]
        n, m = changed[name].shape
        was = tuple(self.column(parent)[:, None] for parent in table.parents)
        would = tuple(changed[parent] for parent in table.parents)
        edges = np.concatenate([np.zeros((*table.cpt.shape[:-1], 1)), np.cumsum(table.cpt, axis=-1)], axis=-1)
        now, then = self.column(name)[:, None], changed[name]

        def at(values: FloatArray, parents: tuple[IntArray, ...], state: IntArray) -> FloatArray:
            where: tuple[Any, ...] = (slice(None), *parents, state)
            return np.asarray(values[where])

        low = np.maximum(at(edges, was, now), at(edges, would, then))
        high = np.minimum(at(edges, was, now + 1), at(edges, would, then + 1))
        share = at(edges, was, now + 1) - at(edges, was, now)
        drawn = at(table.cpt, would, then)  # a state without any room has no rank to keep
        kept = np.divide(np.maximum(high - low, 0.0), share, out=np.zeros_like(high), where=share > 0)
        found = np.broadcast_to(np.where(share > 0, kept, drawn), (self.fit.n_draws, n, m))
        return _whole(found, was, would)


def _whole(found: FloatArray, was: tuple[IntArray, ...], would: tuple[IntArray, ...]) -> FloatArray:
    """Nothing moves a node whose causes are as they were: it keeps its state exactly, rounding aside."""
    same: BoolArray | bool = True
    for a, b in zip(was, would, strict=True):
        same = same & (a == b)
    return np.where(same, np.round(found), found)
