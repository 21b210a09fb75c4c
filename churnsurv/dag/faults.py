"""Sets that must not be conditioned on or adjusted for, and why: refused with the path they close or open."""

from __future__ import annotations

from churnsurv.dag.effect import Effect
from churnsurv.dag.names import Names, listed
from churnsurv.dag.path import Path, directed_path
from churnsurv.errors import IdentificationError


def check_given(effect: Effect, given: frozenset[str]) -> None:
    """Refuse a segment that the causes themselves change.

    Parameters
    ----------
    effect : Effect
        The effect.
    given : frozenset of str
        Nodes the effect is conditioned on.

    Raises
    ------
    IdentificationError
        If one of them descends from a cause.
    """
    dag = effect.dag
    after = dag.in_order(given & dag.downstream(effect.cause))
    if not after:
        return
    what, consequence = _why_not(effect, after[0])
    if after[0] not in effect.forbidden:
        opened = effect.open_path(given)
        if opened is not None and effect.open_path(given - {after[0]}) is None:
            consequence += f" Conditioning on it opens {opened}."
    raise IdentificationError(
        f"{len(after)} of {len(given)} nodes of `given` {'comes' if len(after) == 1 else 'come'} after the cause: "
        f"{after[0]!r} is {what}.",
        column="given",
        count=len(after),
        total=len(given),
        consequence=consequence,
        hint=f"leave {after[0]!r} out of given: an effect is asked for among customers who are alike before the cause.",
    )


def check_adjustment(effect: Effect, given: frozenset[str], adjustment: Names) -> tuple[str, ...]:
    """Refuse a set that someone insists on and that does not give the effect.

    Parameters
    ----------
    effect : Effect
        The effect.
    given : frozenset of str
        Nodes the effect is conditioned on.
    adjustment : str or iterable of str
        The set.

    Returns
    -------
    tuple of str
        The set with ``given``, in the order of declaration.

    Raises
    ------
    GraphError
        If a name is unknown.
    IdentificationError
        If it holds a cause, the outcome, a latent node, a mediator or what follows from one, or a path that is not
        causal stays open or is opened.
    """
    dag = effect.dag
    wanted = dag.known(adjustment, "adjustment")
    _check_parts(effect, wanted)
    wrong = dag.in_order(wanted & effect.forbidden)
    if wrong:
        what, consequence = _why_not(effect, wrong[0])
        raise IdentificationError(
            f"{len(wrong)} of {len(wanted)} nodes of `adjustment` must not be adjusted for: {wrong[0]!r} is {what}.",
            column="adjustment",
            count=len(wrong),
            total=len(wanted),
            consequence=consequence,
            hint=_better(effect, given),
        )
    adjusted = wanted | given
    path = effect.open_path(adjusted)
    if path is not None:
        _refuse_open(effect, path, given, adjusted)
    return dag.in_order(adjusted)


def _check_parts(effect: Effect, wanted: frozenset[str]) -> None:
    dag = effect.dag
    own = dag.in_order(wanted & {*effect.cause, effect.outcome})
    if own:
        raise IdentificationError(
            f"{own[0]!r} is {'the outcome' if own[0] == effect.outcome else 'a cause'} and cannot be adjusted for.",
            hint="leave it out of adjustment=.",
        )
    hidden = dag.in_order(wanted & dag.latent)
    if hidden:
        raise IdentificationError(
            f"{hidden[0]!r} is latent: the data do not show it, and nobody can adjust for it.",
            hint="leave it out of adjustment=, or out of latent= if the data have it.",
        )


def _why_not(effect: Effect, node: str) -> tuple[str, str]:
    """Place of a descendant of a cause, and what conditioning on it does."""
    dag = effect.dag
    if node in effect.causal_nodes:
        lost = f"The part of the effect that goes through {node} would be taken away, and not counted."
        return f"a mediator, {_through(effect, node)}", lost
    start = next(cause for cause in effect.cause if node in dag.downstream([cause]))
    if node not in effect.forbidden:
        moved = "Who belongs to the group would depend on the cause that is set."
        return f"a consequence of the cause, {directed_path(dag, start, node)}", moved
    early = dag.without_edges_from(effect.outcome)
    mediators = dag.in_order(effect.causal_nodes - {effect.outcome})
    source = next((origin for origin in mediators if node in early.downstream([origin])), None)
    if source is None:
        way = directed_path(dag, effect.outcome, node)
        return f"a consequence of the outcome, {way}", "Who is compared would depend on what is to be explained."
    part = f"It tells of {source}, and a part of the effect that goes through {source} would be taken away."
    return f"a descendant of the mediator {source}, {directed_path(early, source, node)}", part


def _through(effect: Effect, node: str) -> Path:
    """Shortest proper causal path that passes a mediator."""
    dag, causes = effect.dag, frozenset(effect.cause)
    fixed = dag.without_edges_into(effect.cause)
    firsts = [directed_path(dag, c, node, avoiding=causes) for c in effect.cause if node in fixed.downstream([c])]
    first = min(firsts, key=lambda path: len(path.nodes))
    last = directed_path(dag, node, effect.outcome, avoiding=causes)
    return Path(first.nodes + last.nodes[1:], first.forward + last.forward)


def _refuse_open(effect: Effect, path: Path, given: frozenset[str], adjusted: frozenset[str]) -> None:
    dag = effect.dag
    chosen = listed(dag.in_order(adjusted)) if adjusted else "nothing"
    if path.colliders:
        collider = path.colliders[0]
        opening = dag.in_order(adjusted & effect.back_door_dag.downstream([collider]))[0]
        how = "opens" if opening == collider else f"tells of {collider!r} and opens"
        raise IdentificationError(
            f"with {chosen} adjusted for, {opening!r} {how} {path}.",
            consequence=f"Both arrows meet at {collider}: causes of one thing are associated once it is known.",
            hint=_better(effect, given),
        )
    raise IdentificationError(
        f"with {chosen} adjusted for, {path} stays open.",
        consequence="What customers have in common along this path would be counted as an effect.",
        hint=_better(effect, given),
    )


def _better(effect: Effect, given: frozenset[str]) -> str:
    smallest = effect.smallest_set(given)
    if smallest is None:
        return "no set of observed nodes will do; identify_effect without adjustment= tells why."
    return f"write adjustment={list(smallest)!r}, or leave it out: identify_effect finds the smallest set."
