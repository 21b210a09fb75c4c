"""What a graph claims that data can contradict: independences between nodes that no arrow joins."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

from churnsurv.dag.graph import Dag
from churnsurv.dag.separators import smallest_separator


@dataclass(frozen=True, repr=False)
class Independence:
    """Two nodes that the graph says are independent given others.

    Parameters
    ----------
    a, b : str
        Two observed nodes, in the order of declaration.
    given : tuple of str
        Observed nodes that separate them, none of which can be spared; may be empty.

    Examples
    --------
    >>> print(Independence("late", "churn", ("wait",)))
    late ⊥ churn | wait
    """

    a: str
    b: str
    given: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return the statement."""
        condition = f" | {', '.join(self.given)}" if self.given else ""
        return f"{self.a} ⊥ {self.b}{condition}"

    def __repr__(self) -> str:
        """Return the statement."""
        return f"Independence({self})"


def implied_independences(dag: Dag) -> list[Independence]:
    """One testable statement for each pair of observed nodes that some observed set separates.

    They are what :func:`not_testable` leaves of the missing arrows. A table in which one of them fails contradicts the
    graph; one in which all hold proves nothing, other graphs imply the same.

    Parameters
    ----------
    dag : Dag
        The graph; its latent nodes are never conditioned on.

    Returns
    -------
    list of Independence
        Pairs in the order of declaration, each with the smallest separating set, of several the one declared first.

    References
    ----------
    .. [1] Pearl, J. (2009). *Causality*, 2nd ed., theorem 1.2.4. Cambridge University Press.

    Examples
    --------
    >>> implied_independences(Dag.from_edges(["late -> wait -> churn", "hidden -> wait"], latent="hidden"))
    [Independence(late ⊥ churn | wait)]
    """
    found = [(a, b, _separator(dag, a, b)) for a, b in _missing_edges(dag)]
    return [Independence(a, b, given) for a, b, given in found if given is not None]


def not_testable(dag: Dag) -> list[tuple[str, str]]:
    """Pairs of observed nodes that no arrow joins and no observed set separates: claims that rest on knowledge alone.

    Parameters
    ----------
    dag : Dag
        The graph.

    Returns
    -------
    list of pairs of str
        In the order of declaration.

    Examples
    --------
    >>> not_testable(Dag.from_edges(["hidden -> late", "hidden -> churn"], latent="hidden"))
    [('late', 'churn')]
    """
    return [(a, b) for a, b in _missing_edges(dag) if _separator(dag, a, b) is None]


def _missing_edges(dag: Dag) -> list[tuple[str, str]]:
    return [(a, b) for a, b in combinations(dag.observed, 2) if not dag.adjacent(a, b)]


def _separator(dag: Dag, a: str, b: str) -> tuple[str, ...] | None:
    others = frozenset(dag.observed) - {a, b}
    return smallest_separator(dag, frozenset([a]), frozenset([b]), candidates=others)
