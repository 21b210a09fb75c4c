"""What an intervention makes of a node's table."""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence

import numpy as np

from churnsurv._typing import FloatArray
from churnsurv.causes.inference.evidence import state_code
from churnsurv.causes.inference.probability_tables import TOLERANCE
from churnsurv.errors import ArgumentError

Change = str | Mapping[str, str] | Mapping[str, float]
"""What is done to a node: a state, a state for each state, or a probability for each state."""

_HINT = 'write do({"wait": "<4h"}), do({"wait": {">24h": "<4h"}}) or do({"wait": {"<4h": 0.9, ">24h": 0.1}}).'


def _drawn(node: str, states: Sequence[str], change: Mapping[str, float]) -> FloatArray:
    table = np.zeros((1, len(states)))
    for state, probability in change.items():
        table[0, state_code(node, state, states)] = float(probability)
    if not (table >= 0).all() or not abs(table.sum() - 1) <= TOLERANCE:
        raise ArgumentError(
            f"the probabilities to which `{node}` is set are {dict(change)!r}; they sum to {table.sum():.10g}.",
            column=node,
            consequence="Every answer would be off by it.",
            hint="give probabilities from 0 to 1 that sum to 1; states not named have probability 0.",
        )
    return table


def _pushed(node: str, states: Sequence[str], table: FloatArray, change: Mapping[str, str]) -> FloatArray:
    push = np.eye(len(states))
    for before, after in change.items():
        push[state_code(node, before, states)] = np.eye(len(states))[state_code(node, after, states)]
    return np.asarray(table @ push, dtype=np.float64)


def do_table(
    node: str, states: Sequence[str], parents: Sequence[str], table: FloatArray, change: Change
) -> tuple[tuple[str, ...], FloatArray]:
    """Parents and table of a node after an intervention.

    Parameters
    ----------
    node : str
        Name.
    states : sequence of str
        Its states.
    parents : sequence of str
        Its parents before.
    table : array of shape (n_draws, *parent cards, own card)
        Its table before.
    change : str, mapping of str to str, or mapping of str to float
        A state: the node is set to it. Probabilities of states: it is drawn from them. Both cut it from its parents.
        A state for a state: whoever would have been in the first is put in the second, everyone else stays; the node
        keeps its parents, and its table is pushed forward. All moves happen at once: ``{"a": "b", "b": "a"}`` swaps.

    Returns
    -------
    parents : tuple of str
        Parents after.
    table : array of shape (n_draws or 1, *parent cards, own card)
        Table after.

    Raises
    ------
    ArgumentError
        If ``change`` is none of these, or probabilities do not sum to 1.
    UnknownStateError
        If a state is named that the node does not have.

    References
    ----------
    .. [1] Pearl, J. (2009). *Causality*, 2nd ed., section 3.2 (truncated factorisation) and 4.2 (conditional and
       stochastic policies). Cambridge University Press.

    Examples
    --------
    Of the 30 % in the last state, everyone is put in the first one:

    >>> do_table("wait", ["short", "long"], [], np.array([[0.7, 0.3]]), {"long": "short"})
    ((), array([[1., 0.]]))
    """
    if isinstance(change, str):
        return (), np.eye(len(states))[[state_code(node, change, states)]]
    if not isinstance(change, Mapping) or not change:
        raise ArgumentError(f"`{node}` cannot be set to {change!r}.", column=node, hint=_HINT)
    values = list(change.values())
    if all(isinstance(value, str) for value in values):
        return tuple(parents), _pushed(node, states, table, {key: str(value) for key, value in change.items()})
    if not all(isinstance(value, numbers.Real) and not isinstance(value, bool) for value in values):
        raise ArgumentError(f"`{node}` cannot be set to {dict(change)!r}.", column=node, hint=_HINT)
    return (), _drawn(node, states, {key: float(value) for key, value in change.items()})


def told_change(change: Change) -> str:
    """Intervention in words.

    Examples
    --------
    >>> told_change("<4h"), told_change({">24h": "<4h"}), told_change({"<4h": 0.9, ">24h": 0.1})
    ('<4h', '>24h to <4h', '<4h with 0.9, >24h with 0.1')
    """
    if isinstance(change, str):
        return change
    return ", ".join(f"{a} to {b}" if isinstance(b, str) else f"{a} with {b:g}" for a, b in change.items())
