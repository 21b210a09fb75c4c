"""Why customers leave: a drawing learnt, asked, attacked, and told customer by customer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from churnsurv._validate import check_count
from churnsurv.analysis.drawing import Drawing
from churnsurv.analysis.notes import noting
from churnsurv.analysis.run import Progress, silent
from churnsurv.analysis.settings import check_seed
from churnsurv.causes.confounding import EValue, e_value_of_draws
from churnsurv.causes.effects import Effect, improvements
from churnsurv.causes.explanation import Diagnosis, Explanation
from churnsurv.causes.falsify import Falsification, falsify, propose_structure
from churnsurv.causes.nodes import OUTCOME
from churnsurv.causes.refutations import Refutations, refute_effect
from churnsurv.errors import ChurnsurvError, EmptyDataError, HorizonError, ModelSupportError, NetworkSizeError
from churnsurv.tables.features import Count, Recency, Rhythm
from churnsurv.tables.spells import SpellTable

if TYPE_CHECKING:
    from churnsurv.causes.fit import CauseFit
    from churnsurv.causes.rows import CauseRows
    from churnsurv.causes.structure_search import StructureProposal

CAUSE_STEPS: Final = ("causes", "effects", "attacks", "explaining")
"""Names of the steps of :func:`study_causes`, in order."""

_REPEATS: Final = 5
_MOST_STATES: Final = 50


@dataclass(frozen=True, eq=False)
class CauseStudy:
    """Everything that :func:`study_causes` found.

    Parameters
    ----------
    drawing : Drawing
        What was drawn and asked.
    fit : CauseFit
        What was learnt.
    horizon : float
        Days ahead.
    worth : dict of str to Effect
        What each cause is worth, the largest first.
    answers : tuple of Effect
        To the questions of the drawing, in order.
    robust : EValue or None
        How strong a hidden cause would have to be, for the largest identified effect.
    attacks : Refutations or None
        Attempts to break the largest identified effect of a node known at the opening; ``None`` where there is no such
        effect, or the data cannot carry an attempt.
    attacked : str
        Its cause.
    claims : Falsification
        What the drawing implies, tested.
    proposal : StructureProposal or None
        What the data would rather have; ``None`` where the nodes are too many to search.
    diagnosis : Diagnosis or None
        Causes of those who churned; ``None`` where no node is known at the opening.
    explanation : Explanation or None
        Of each customer at risk; ``None`` where a latent cause forbids it or nobody is.
    notes : tuple of str
        Warnings that were given on the way, and why something is missing.
    """

    drawing: Drawing
    fit: CauseFit
    horizon: float
    worth: dict[str, Effect]
    answers: tuple[Effect, ...]
    robust: EValue | None
    attacks: Refutations | None
    attacked: str
    claims: Falsification
    proposal: StructureProposal | None
    diagnosis: Diagnosis | None
    explanation: Explanation | None
    notes: tuple[str, ...]


def study_causes(
    spells: SpellTable,
    drawing: Drawing,
    *,
    horizon: float | None = None,
    breaks: Sequence[float] | None = None,
    n_draws: int = 1000,
    seed: int = 0,
    progress: Progress = silent,
) -> CauseStudy:
    """Learn a drawing of causes and ask it everything that a report needs.

    Parameters
    ----------
    spells : SpellTable
        Times at risk; whoever is at risk at the window's end is explained.
    drawing : Drawing
        Nodes, arrows and questions.
    horizon : float, optional
        Days from the opening; of a shop its silence unless said.
    breaks : sequence of float, optional
        Period edges.
    n_draws : int
        Posterior draws.
    seed : int
        Of everything random.
    progress : callable
        Called with the name of a step and the share done.

    Returns
    -------
    CauseStudy
        Effects with their labels, and what speaks against them.

    Raises
    ------
    ArgumentError
        If there is no draw, or the seed is negative.
    EmptyDataError
        If a node is always in the same state.
    NetworkSizeError
        If a node has more states than a person can read.
    HorizonError
        If the horizon lies beyond the data, or a contract has none.
    """
    check_count(n_draws, "n_draws")
    check_seed(seed)
    with noting() as notes:
        progress("causes", 0.0)
        rows = drawing.network.rows(spells, breaks=breaks)
        unseen = _unseen(rows)
        _check_states(rows, unseen)
        fit = drawing.network.fit(rows, n_draws=n_draws, rng=seed)
        days = fit.horizon(horizon)
        progress("effects", 0.0)
        keep = {name: (*drawing.keep.get(name, ()), *unseen.get(name, ())) for name in rows.names}
        worth = improvements(fit, horizon=days, keep=keep)
        answers = tuple(fit.effect(q.cause, q.to, q.versus, horizon=days, by=q.by) for q in drawing.questions)
        progress("attacks", 0.0)
        largest, attacks, too_few = _attack(fit, worth, seed, progress)
        claims = falsify(fit)
        proposal, too_many = _propose(fit)
        progress("explaining", 0.0)
        explanation, why_not = _explain(fit, spells, None if horizon is None else days)
    return CauseStudy(
        drawing=drawing,
        fit=fit,
        horizon=days,
        worth=worth,
        answers=answers,
        robust=e_value_of_draws(worth[largest].draws("risk_ratio")[:, 0]) if largest else None,
        attacks=attacks,
        attacked=largest,
        claims=claims,
        proposal=proposal,
        diagnosis=fit.diagnose(horizon=days) if fit.network.static else None,
        explanation=explanation,
        notes=(*notes, *own_past(fit), *too_few, *too_many, *why_not),
    )


def own_past(fit: CauseFit) -> tuple[str, ...]:
    """Nodes that count what the customer herself did, drawn as if nothing unseen stood behind both.

    Parameters
    ----------
    fit : CauseFit
        A learnt network.

    Returns
    -------
    tuple of str
        A caution, or nothing.
    """
    dag, opening = fit.network.dag, fit.rows.schema.churn.opening
    own = [
        node.name
        for node in fit.network.nodes
        if isinstance(node.feature, Count | Rhythm | Recency)
        and node.feature.kind in opening
        and node.name in dag.ancestors(OUTCOME)
    ]
    bare = [name for name in own if not any({name, OUTCOME} <= set(dag.descendants(hidden)) for hidden in dag.latent)]
    if not bare:
        return ()
    return (
        f"{' and '.join(bare)} {'counts' if len(bare) == 1 else 'count'} what customers did before: it says who they are as"
        " much as what was done to them. A trait that nobody sees, such as loyalty, moves it and churn alike; without it in the"
        f' drawing the label says identified, and is only as right as that. Draw it: latent = ["loyalty"], with'
        f' "loyalty -> {bare[0]}" and "loyalty -> churn" among the edges.',
    )


def _check_states(rows: CauseRows, unseen: Mapping[str, tuple[str, ...]]) -> None:
    for name, states in zip(rows.names, rows.states, strict=True):
        seen = [state for state in states if state not in unseen.get(name, ())]
        if len(seen) < 2:
            raise EmptyDataError(
                f"node {name!r} has a single state, {seen[0]!r}, in all {len(rows):,} rows.",
                consequence="What never differs explains nothing.",
                hint="leave the node out, or cut it elsewhere.",
            )
        if len(states) > _MOST_STATES:
            raise NetworkSizeError(
                f"node {name!r} has {len(states):,} states, such as {states[0]!r} and {states[1]!r}; the limit is"
                f" {_MOST_STATES}.",
                consequence="Nothing could be told of states that hold a handful of customers each.",
                hint="write cuts = [4, 24] for a number, or levels = { near = ["
                f'"{states[0]}"'
                "] } for a text: every other level is then one state.",
            )


def _unseen(rows: CauseRows) -> dict[str, tuple[str, ...]]:
    """States that cuts or levels make and nobody is ever in: no action could bring a customer there."""
    found = {}
    for k, (name, states) in enumerate(zip(rows.names, rows.states, strict=True)):
        n = np.bincount(rows.codes[:, k], minlength=len(states))
        if (n == 0).any():
            found[name] = tuple(state for state, count in zip(states, n, strict=True) if not count)
    return found


def _propose(fit: CauseFit) -> tuple[StructureProposal | None, tuple[str, ...]]:
    try:
        return propose_structure(fit), ()
    except NetworkSizeError as error:
        return None, (f"No other drawing was looked for: {error.what}",)


def _attack(
    fit: CauseFit, worth: dict[str, Effect], seed: int, progress: Progress
) -> tuple[str, Refutations | None, tuple[str, ...]]:
    """Attempts on the largest identified effect of a node that stands still."""
    moving = {node.name for node in fit.network.moving}
    able = [name for name, effect in worth.items() if effect.identification.identified and name not in moving]
    able = [name for name in able if np.isfinite(worth[name].draws()).all()]
    if not able:
        return "", None, ()
    try:
        found = refute_effect(
            fit, worth[able[0]], n_repeats=_REPEATS, rng=seed, progress=lambda done, _: progress("attacks", done)
        )
    except ChurnsurvError as error:
        # Half of the customers may be too few for what all of them can just carry.
        return able[0], None, (f"The effect of {able[0]} was not attacked: {error.what}",)
    return able[0], found, ()


def _explain(fit: CauseFit, spells: SpellTable, horizon: float | None) -> tuple[Explanation | None, tuple[str, ...]]:
    from churnsurv.causes.doing import confounded

    if confounded(fit.network.dag):
        hidden = ", ".join(sorted(fit.network.dag.latent))
        return None, (f"Customers are not explained one by one: what {hidden} is for each of them cannot be told.",)
    try:
        return fit.explain(spells, horizon=horizon), ()
    except (EmptyDataError, HorizonError, ModelSupportError) as error:
        return None, (f"Customers are not explained one by one: {error.what}",)
