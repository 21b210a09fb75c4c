"""Which causes stand behind a risk: of one customer, state by state, and of all who churned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from churnsurv._typing import FloatArray
from churnsurv._validate import check_ci_prob, check_count
from churnsurv.causes.counterfactuals import Counterfactual, counterfactual
from churnsurv.causes.customers import CustomerStates
from churnsurv.causes.nodes import OUTCOME
from churnsurv.errors import ArgumentError

if TYPE_CHECKING:
    import pandas as pd

    from churnsurv.causes.fit import CauseFit
    from churnsurv.tables.spells import SpellTable


@dataclass(frozen=True, eq=False)
class Explanation:
    """What of each customer's risk is due to each cause, if she keeps her rank.

    Parameters
    ----------
    customers : CustomerStates
        Who, by pattern.
    states : mapping of str to tuple of str
        States of each node.
    reference : mapping of str to str
        State that each cause is compared with.
    positions : mapping of str to int
        Column of each cause in the patterns.
    found : mapping of str to Counterfactual
        Risk had each cause been in its reference state.
    """

    customers: CustomerStates
    states: Mapping[str, tuple[str, ...]]
    reference: Mapping[str, str]
    positions: Mapping[str, int]
    found: Mapping[str, Counterfactual]

    def frame(self, ci_prob: float = 0.90) -> pd.DataFrame:
        """One row per customer who can be told and cause that is not in its reference state, the strongest first.

        ``customer_id, cause, state, instead, churn_probability, difference, lower, upper, share, label``: the difference is
        the risk as it is less what it would be, positive where the state makes churn likelier; ``share`` of the risk.
        """
        import pandas as pd

        tail = (1.0 - check_ci_prob(ci_prob)) / 2.0
        parts = []
        for cause, one in self.found.items():
            code = self.customers.codes[:, self.positions[cause]]
            differs = (one.status == "told") & (code != self.states[cause].index(self.reference[cause]))
            rows = np.flatnonzero(differs[self.customers.pattern])
            if not len(rows):
                continue
            pattern = self.customers.pattern[rows]
            gained = one.risk - one.changed
            low, high = np.quantile(gained, [tail, 1.0 - tail], axis=0)
            risk = one.risk.mean(axis=0)
            parts.append(
                pd.DataFrame(
                    {
                        "customer_id": self.customers.customer_id[rows],
                        "cause": cause,
                        "state": np.asarray(self.states[cause], object)[code[pattern]],
                        "instead": self.reference[cause],
                        "churn_probability": risk[pattern],
                        "difference": gained.mean(axis=0)[pattern],
                        "lower": low[pattern],
                        "upper": high[pattern],
                        "share": (gained.mean(axis=0) / risk)[pattern],
                        "label": one.label,
                    }
                )
            )
        names = ["customer_id", "cause", "state", "instead", "churn_probability"]
        names += ["difference", "lower", "upper", "share", "label"]
        if not parts:
            return pd.DataFrame(columns=names)
        whole = pd.concat(parts, ignore_index=True)
        strongest = whole["difference"].abs()
        order = np.lexsort((-strongest.to_numpy(), whole["customer_id"].to_numpy().astype(str)))
        return whole.iloc[order].reset_index(drop=True)

    def top(self, k: int = 1, ci_prob: float = 0.90) -> pd.DataFrame:
        """The k causes that raise each customer's risk most."""
        check_count(k, "k")
        frame = self.frame(ci_prob)
        return frame[frame["difference"] > 0].groupby("customer_id", sort=False).head(k).reset_index(drop=True)

    def __repr__(self) -> str:
        """One line: customers and causes."""
        told = ", ".join(f"{cause} (instead: {state})" for cause, state in self.reference.items())
        return f"Explanation({len(self.customers):,} customers; {told})"


def explain(
    fit: CauseFit,
    customers: SpellTable | CustomerStates,
    *,
    horizon: float | None = None,
    reference: Mapping[str, str] | None = None,
) -> Explanation:
    """Compare each customer with herself had each cause, one at a time, been as it is for most.

    Differences of several causes do not add up: where one works through another they share what they do.

    Parameters
    ----------
    fit : CauseFit
        A learnt network.
    customers : SpellTable or CustomerStates
        Who is at risk now.
    horizon : float, optional
        Days from now. By default, of a shop, until the silence that defines churn.
    reference : mapping of str to str, optional
        State that a cause is compared with; by default the one that most spells open with.

    Returns
    -------
    Explanation
        By pattern; labelled counterfactual.

    Raises
    ------
    IdentificationError
        If a latent cause is drawn.
    UnknownStateError
        If ``reference`` names an unknown state.
    """
    who = customers if isinstance(customers, CustomerStates) else CustomerStates.of(fit, customers)
    causes = [node.name for node in fit.network.static if node.name in fit.network.dag.ancestors(OUTCOME)]
    opening = fit.rows.codes[fit.rows.opens]
    usual = {name: fit.states[name][int(np.bincount(opening[:, fit.rows.position(name)]).argmax())] for name in causes}
    for name, state in (reference or {}).items():
        fit.check_names((name,))
        fit.check_state(name, state)
    usual |= dict(reference or {})
    found = {name: counterfactual(fit, who, {name: usual[name]}, horizon=horizon) for name in usual}
    return Explanation(who, fit.states, usual, {name: fit.rows.position(name) for name in usual}, found)


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """How the states of the causes differ between those who churn and all: a diagnosis, not an effect.

    Parameters
    ----------
    question : str
        Among whom, within which horizon.
    nodes : tuple of str
        Node of each row.
    states : tuple of str
        State of each row.
    among_all, among_churned : array of shape (n_draws, n_rows)
        Posterior draws of the share of each state.
    """

    question: str
    nodes: tuple[str, ...]
    states: tuple[str, ...]
    among_all: FloatArray
    among_churned: FloatArray

    def frame(self, ci_prob: float = 0.90) -> pd.DataFrame:
        """One row per node and state: ``cause, state, among_all, among_churned, ratio, lower, upper, label``."""
        import pandas as pd

        tail = (1.0 - check_ci_prob(ci_prob)) / 2.0
        ratio = self.among_churned / self.among_all
        low, high = np.quantile(ratio, [tail, 1.0 - tail], axis=0)
        return pd.DataFrame(
            {
                "cause": self.nodes,
                "state": self.states,
                "among_all": self.among_all.mean(axis=0),
                "among_churned": self.among_churned.mean(axis=0),
                "ratio": ratio.mean(axis=0),
                "lower": low,
                "upper": high,
                "label": "associational",
            }
        )

    def __repr__(self) -> str:
        """The state that is most over-represented."""
        ratio = (self.among_churned / self.among_all).mean(axis=0)
        k = int(ratio.argmax())
        return f"Diagnosis({self.question}: {self.nodes[k]} = {self.states[k]} is {ratio[k]:.2f} times as common among who churned)"


def diagnose(
    fit: CauseFit, given: Mapping[str, str] | None = None, *, horizon: float | None = None, at: float = 0.0
) -> Diagnosis:
    """Ask which causes are likely, given that a customer churned within the horizon.

    Parameters
    ----------
    fit : CauseFit
        A learnt network.
    given : mapping of str to str, optional
        What else is known of her.
    horizon : float, optional
        Days ahead; of a shop its silence unless said.
    at : float
        Days on the clock that had been survived.

    Returns
    -------
    Diagnosis
        Shares among all and among those who churned, by Bayes' rule in each draw.
    """
    known, days = dict(given or {}), fit.horizon(horizon)
    nodes = [node.name for node in fit.network.static if node.name not in known]
    if not nodes:
        raise ArgumentError(
            "every node is given: nothing is left to be diagnosed.", hint="leave some of them out of given."
        )
    before = [fit.query(name, known, horizon=days, at=at).draws for name in nodes]
    after = [fit.query(name, {**known, OUTCOME: "yes"}, horizon=days, at=at).draws for name in nodes]
    among = "".join(f", {name} = {state}" for name, state in known.items())
    return Diagnosis(
        question=f"{fit.outcome.format(days)}{among}",
        nodes=tuple(name for name in nodes for _ in fit.states[name]),
        states=tuple(state for name in nodes for state in fit.states[name]),
        among_all=np.concatenate(before, axis=1),
        among_churned=np.concatenate(after, axis=1),
    )
