"""The adjustment criterion: which sets of nodes make an association an effect."""

from __future__ import annotations

from itertools import islice

from churnsurv.dag.effect import read_effect
from churnsurv.dag.faults import check_given
from churnsurv.dag.graph import Dag
from churnsurv.dag.names import Names, listed
from churnsurv.dag.path import Path
from churnsurv.dag.separators import minimal_separators
from churnsurv.errors import NetworkSizeError

_MOST_PATHS = 10_000
"""As :meth:`Dag.paths`."""


def proper_causal_paths(dag: Dag, cause: Names, outcome: str) -> tuple[Path, ...]:
    """All causal paths on which no other cause lies.

    Parameters
    ----------
    dag : Dag
        The graph.
    cause : str or iterable of str
        Nodes set together.
    outcome : str
        One node.

    Returns
    -------
    tuple of Path
        Short ones first; of equal length in the order of declaration.

    Raises
    ------
    GraphError, IdentificationError
        As :func:`identify_effect`.
    NetworkSizeError
        If there are more than 10,000.

    Examples
    --------
    >>> dag = Dag.from_edges(["late -> wait -> churn", "late -> churn"])
    >>> [str(path) for path in proper_causal_paths(dag, "late", "churn")]
    ['late -> churn', 'late -> wait -> churn']
    >>> [str(path) for path in proper_causal_paths(dag, ["late", "wait"], "churn")]
    ['late -> churn', 'wait -> churn']
    """
    effect, _ = read_effect(dag, cause, outcome)
    found = tuple(islice(effect.causal_paths(), _MOST_PATHS + 1))
    if len(found) > _MOST_PATHS:
        raise NetworkSizeError(
            f"there are more than {_MOST_PATHS:,} causal paths from {listed(effect.cause)} to {outcome}.",
            hint="identify_effect does not need them; its .causal_paths holds the shortest.",
        )
    return found


def adjustment_sets(dag: Dag, cause: Names, outcome: str, given: Names = ()) -> list[tuple[str, ...]]:
    r"""All minimal sets with which adjustment gives the effect.

    With the nodes Z of such a set, of which none can be spared,

    .. math:: P(y \mid do(x), s) = \sum_z P(y \mid x, z, s)\, P(z \mid s).

    Where no causal path leads to the outcome, this is P(y | s).

    Parameters
    ----------
    dag : Dag
        The graph.
    cause : str or iterable of str
        Nodes set together.
    outcome : str
        One node.
    given : str or iterable of str, optional
        Nodes the effect is conditioned on, in every set; none of them a descendant of a cause.

    Returns
    -------
    list of tuple of str
        Small ones first, then in the order of declaration. Empty if no set of observed nodes will do.

    Raises
    ------
    GraphError
        If a name is unknown.
    IdentificationError
        As :func:`identify_effect`.
    NetworkSizeError
        If there are more than 15 nodes to choose from.

    References
    ----------
    .. [1] Van der Zander, B., Liśkiewicz, M. and Textor, J. (2019). Separators and adjustment sets in causal graphs:
       complete criteria and an algorithmic framework. *Artificial Intelligence*, 270, 1–40.

    Examples
    --------
    >>> dag = Dag.from_edges(["plan -> late -> churn", "plan -> wait -> churn"])
    >>> adjustment_sets(dag, "late", "churn")
    [('plan',), ('wait',)]
    """
    effect, known = read_effect(dag, cause, outcome, given)
    check_given(effect, known)
    found = minimal_separators(
        effect.back_door_dag,
        frozenset(effect.cause),
        frozenset([outcome]),
        candidates=effect.candidates,
        included=known,
    )
    return [dag.in_order({*several, *known}) for several in found]
