"""Why an effect is identified or not, in sentences."""

from __future__ import annotations

from typing import cast

from churnsurv.dag.effect import Effect
from churnsurv.dag.front_door import front_door_set, largest_front_door_set
from churnsurv.dag.names import listed
from churnsurv.dag.path import Path, shortest_path
from churnsurv.dag.separators import MOST_CANDIDATES


def why_no_effect(effect: Effect) -> str:
    """Reason where no causal path leads to the outcome.

    Parameters
    ----------
    effect : Effect
        The effect.

    Returns
    -------
    str
        One sentence.
    """
    return f"no arrows lead from {listed(effect.cause)} to {effect.outcome}, so nothing done to the former changes the latter."


def why_identified(effect: Effect, adjusted: tuple[str, ...]) -> str:
    """Reason where a set blocks every path that is not causal.

    Parameters
    ----------
    effect : Effect
        The effect.
    adjusted : tuple of str
        The set.

    Returns
    -------
    str
        One sentence.
    """
    way = f"from {listed(effect.cause)} to {effect.outcome}"
    if not adjusted:
        return f"only causal paths {way} are open; nothing need be adjusted for."
    return f"adjusting for {listed(adjusted)} blocks every path {way} that is not causal."


def why_not_identified(effect: Effect, given: frozenset[str]) -> tuple[Path, str, tuple[str, ...] | None]:
    """Path that cannot be kept blocked, why, and what else would help.

    Parameters
    ----------
    effect : Effect
        An effect for which no observed set will do.
    given : frozenset of str
        Nodes the effect is conditioned on.

    Returns
    -------
    open_path : Path
        Open whatever is adjusted for; if each can be blocked by itself, one that is open with everything adjusted for.
    reason : str
        Sentences.
    front_door : tuple of str or None
        A set that meets the front-door criterion.
    """
    path = _always_open(effect, given)
    sentences = [_told_always(effect, path, given)] if path is not None else []
    if path is None:
        path, sentence = _each_opens_another(effect, given)
        sentences.append(sentence)
    front_door = _front_door(effect) if len(effect.cause) == 1 and not given else None
    if front_door:
        sentences.append(
            f"Adjustment cannot give the effect; {listed(front_door)} would, by the front-door criterion, from which no "
            "estimate is made here."
        )
    elif not effect.dag.latent:
        sentences.append(
            "Adjustment cannot give the effect; nothing is latent, so the product of the tables of all nodes does."
        )
    sentences += _without_idle(effect, given)
    return path, " ".join(sentences), front_door


def _always_open(effect: Effect, given: frozenset[str]) -> Path | None:
    """Shortest path that no choice blocks: nothing on it can be adjusted for, and ``given`` opens its colliders."""
    dag = effect.back_door_dag
    return shortest_path(
        dag,
        frozenset(effect.cause),
        frozenset([effect.outcome]),
        closed=effect.candidates | given,
        opened=dag.ancestral(given),
    )


def _told_always(effect: Effect, path: Path, given: frozenset[str]) -> str:
    hidden = [node for node in path.between if node in effect.dag.latent]
    carrying = [node for node in path.between if node not in effect.dag.latent]
    told = [f"{listed(hidden)} {'is' if len(hidden) == 1 else 'are'} not in the data"] if hidden else []
    if carrying:
        verb = "comes" if len(carrying) == 1 else "come"
        told.append(f"{listed(carrying)} {verb} after a cause and must not be adjusted for")
    if path.colliders:
        told.append(f"with {listed(effect.dag.in_order(given))} given, it is open at {listed(path.colliders)}")
    why = f": {', and '.join(told)}" if told else ""
    return f"{path} stays open whatever is adjusted for{why}."


def _each_opens_another(effect: Effect, given: frozenset[str]) -> tuple[Path, str]:
    """Path open with everything adjusted for that separators are made of, beside one open with nothing."""
    dag = effect.back_door_dag
    useful = dag.ancestral({*effect.cause, effect.outcome, *given}) & effect.candidates
    # No set separates, so neither of these does.
    everything = cast(Path, effect.open_path(useful | given))
    nothing = cast(Path, effect.open_path(given))
    return everything, (
        f"no set of observed nodes blocks all paths at once: {everything} is open with "
        f"{listed(dag.in_order(useful | given))} adjusted for, {nothing} without."
    )


def _front_door(effect: Effect) -> tuple[str, ...] | None:
    largest = largest_front_door_set(effect)
    if largest is None or len(largest) > MOST_CANDIDATES:
        return largest
    return front_door_set(effect.dag, effect.cause[0], effect.outcome)


def _without_idle(effect: Effect, given: frozenset[str]) -> list[str]:
    """Advice to leave out causes that act only through others, if that helps."""
    firsts = {node for node in effect.cause if effect.causal_nodes.intersection(effect.dag.children(node))}
    idle = [node for node in effect.cause if node not in firsts]
    if not idle:
        return []
    rest = Effect(effect.dag, effect.dag.in_order(firsts), effect.outcome)
    if rest.smallest_set(given) is None:
        return []
    verb, them = ("acts", "it") if len(idle) == 1 else ("act", "them")
    return [
        f"{listed(idle)} {verb} on {effect.outcome} through the other causes only, if at all: leave {them} out of cause=, "
        "and the same effect is identified."
    ]
