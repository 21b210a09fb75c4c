"""What has been seen: states of nodes by name, as the positions and likelihoods that arithmetic needs."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np

from churnsurv._typing import FloatArray
from churnsurv.errors import ArgumentError, UnknownStateError

Given = Mapping[str, str | Collection[str]]
"""State of each node that was seen, or the states of which it has one."""

_SHOWN = 20
_PAIRED = 40


@dataclass(frozen=True, eq=False)
class Evidence:
    """Evidence in numbers.

    Parameters
    ----------
    fixed : mapping of str to int
        Position of the state of each node of which one is known.
    likely : mapping of str to array of shape (n_states,)
        1 for the states that are possible and 0 for the others, where there are several.
    """

    fixed: Mapping[str, int]
    likely: Mapping[str, FloatArray]

    @property
    def nodes(self) -> tuple[str, ...]:
        """Nodes that something is known of."""
        return (*self.fixed, *self.likely)


def _meant(name: object, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(str(name), known, n=1, cutoff=0.6)
    listed = ", ".join(known[:_SHOWN]) + (f" and {len(known) - _SHOWN:,} more" if len(known) > _SHOWN else "")
    return f"did you mean {close[0]!r}? known are: {listed}." if close else f"known are: {listed}."


def check_node(name: object, known: Sequence[str]) -> str:
    """Name of a node that is there.

    Raises
    ------
    UnknownStateError
        If there is none, with the closest name and the nodes.

    Examples
    --------
    >>> check_node("late", ["late", "wait"])
    'late'
    """
    if not isinstance(name, str) or name not in known:
        raise UnknownStateError(f"there is no node {name!r}.", hint=_meant(name, known))
    return name


def state_code(node: str, state: object, states: Sequence[str]) -> int:
    """Position of a state among the states of a node.

    Raises
    ------
    UnknownStateError
        If the node has no such state, with the closest one and its states.

    Examples
    --------
    >>> state_code("late", "yes", ["no", "yes"])
    1
    """
    if not isinstance(state, str) or state not in states:
        raise UnknownStateError(f"`{node}` has no state {state!r}.", column=node, hint=_meant(state, states))
    return list(states).index(state)


def read_evidence(given: Given | None, states: Mapping[str, Sequence[str]]) -> Evidence:
    """Evidence in numbers, checked.

    Parameters
    ----------
    given : mapping of str to str or collection of str, or None
        State of each node that was seen; several states mean "one of these".
    states : mapping of str to sequence of str
        States of all nodes.

    Returns
    -------
    Evidence
        Nodes of which all states are possible are left out.

    Raises
    ------
    UnknownStateError
        If a node or a state is not there.
    ArgumentError
        If a node is in no state at all, or ``given`` is no mapping.

    Examples
    --------
    >>> read_evidence({"late": "yes", "wait": {"<4h", "4-24h"}},
    ...               {"late": ("no", "yes"), "wait": ("<4h", "4-24h", ">24h")})
    Evidence(fixed={'late': 1}, likely={'wait': array([1., 1., 0.])})
    """
    if given is not None and not isinstance(given, Mapping):
        raise ArgumentError(f"`given`={given!r} is no mapping.", column="given", hint='write given={"late": "yes"}.')
    fixed: dict[str, int] = {}
    likely: dict[str, FloatArray] = {}
    for name, value in (given or {}).items():
        node = check_node(name, list(states))
        several = [value] if isinstance(value, str) or not isinstance(value, Collection) else list(value)
        codes = sorted({state_code(node, state, states[node]) for state in several})
        if not codes:
            raise ArgumentError(
                f"`given` names no state of `{node}`.", column=node, hint=f"leave `{node}` out if it was not seen."
            )
        if len(codes) == 1:
            fixed[node] = codes[0]
        elif len(codes) < len(states[node]):
            likely[node] = np.isin(np.arange(len(states[node])), codes).astype(np.float64)
    return Evidence(fixed, likely)


def told_given(given: Given) -> str:
    """Evidence in words.

    Examples
    --------
    >>> told_given({"late": "yes", "wait": ("<4h", "4-24h")})
    'late=yes, wait=<4h or 4-24h'
    """
    return ", ".join(f"{node}={told_states(value)}" for node, value in given.items())


def told_states(value: str | Collection[str]) -> str:
    """State, or states of which it is one, in words.

    Examples
    --------
    >>> told_states("yes"), told_states({"yes", "no"})
    ('yes', 'no or yes')
    """
    if isinstance(value, str):
        return value
    # The order of a set changes from one run to the next.
    return " or ".join(sorted(value) if isinstance(value, Set) else value)


def impossible_part(given: Given, possible: Callable[[Given], bool]) -> Given:
    """Smallest part of impossible evidence that single pieces and pairs show; all of it if none of them is impossible.

    Pairs are tried of up to forty pieces: 780 questions.

    Parameters
    ----------
    given : mapping
        Evidence of probability 0.
    possible : callable
        Whether a part has a probability above 0.

    Returns
    -------
    mapping
        Part of ``given``.

    Examples
    --------
    >>> impossible_part({"a": "x", "b": "y", "c": "z"}, lambda part: not {"a", "c"} <= set(part))
    {'a': 'x', 'c': 'z'}
    """
    for size in (1, 2) if len(given) <= _PAIRED else (1,):
        for names in itertools.combinations(given, size):
            part = {name: given[name] for name in names}
            if not possible(part):
                return part
    return given
