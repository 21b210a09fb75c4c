"""An effect as the adjustment criterion sees it: causal paths, and what must not be adjusted for."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from churnsurv.dag.graph import Dag
from churnsurv.dag.names import Names, listed
from churnsurv.dag.path import Path
from churnsurv.dag.separators import smallest_separator
from churnsurv.errors import IdentificationError


@dataclass(frozen=True)
class Effect:
    """Effect of causes on an outcome, as the adjustment criterion sees it.

    A path is causal if all its arrows point away from the cause, and proper if no other cause is on it: what is set by
    the intervention passes nothing on. Made by :func:`read_effect`.

    Parameters
    ----------
    dag : Dag
        The graph.
    cause : tuple of str
        Nodes set together, in the order of declaration.
    outcome : str
        Node whose distribution is asked for.

    References
    ----------
    .. [1] Shpitser, I., VanderWeele, T. and Robins, J. M. (2010). On the validity of covariate adjustment for
       estimating causal effects. *Proceedings of UAI 26*, 527–536.
    .. [2] Perković, E., Textor, J., Kalisch, M. and Maathuis, M. H. (2018). Complete graphical characterization and
       construction of adjustment sets in Markov equivalence classes of ancestral graphs. *JMLR*, 18(220), 1–62.
    """

    dag: Dag
    cause: tuple[str, ...]
    outcome: str

    @cached_property
    def causal_nodes(self) -> frozenset[str]:
        """Nodes on proper causal paths, the outcome among them, the causes not; empty without such a path."""
        # What any cause leads to, the last cause on the way leads to alone.
        after = self.dag.downstream(self.cause)
        before = self.dag.without_edges_from(self.cause).ancestral([self.outcome])
        return (after & before) - set(self.cause)

    @cached_property
    def forbidden(self) -> frozenset[str]:
        """Nodes that must not be adjusted for: those on proper causal paths and what follows from them."""
        return self.dag.downstream(self.causal_nodes) | set(self.cause) | {self.outcome}

    @cached_property
    def candidates(self) -> frozenset[str]:
        """Nodes that the data show and that may be adjusted for."""
        return frozenset(self.dag.observed) - self.forbidden

    @cached_property
    def back_door_dag(self) -> Dag:
        """The graph without the first edge of every proper causal path."""
        first = [edge for edge in self.dag.edges if edge[0] in self.cause and edge[1] in self.causal_nodes]
        return self.dag.without_edges(first)

    def open_path(self, adjusted: frozenset[str]) -> Path | None:
        """Path that is not causal and that stays open, or is opened, when some nodes are adjusted for."""
        return self.back_door_dag.open_path(self.cause, self.outcome, adjusted)

    def smallest_set(self, given: frozenset[str]) -> tuple[str, ...] | None:
        """Smallest set that identifies the effect, with ``given``; None if there is none."""
        found = smallest_separator(
            self.back_door_dag,
            frozenset(self.cause),
            frozenset([self.outcome]),
            candidates=self.candidates,
            included=given,
        )
        return None if found is None else self.dag.in_order({*found, *given})

    def causal_paths(self) -> Iterator[Path]:
        """Proper causal paths, short ones first; of equal length in the order of declaration."""
        todo: deque[tuple[str, ...]] = deque((node,) for node in self.cause)
        while todo:
            way = todo.popleft()
            for after in self.dag.children(way[-1]):
                if after == self.outcome:
                    yield Path((*way, after), (True,) * len(way))
                elif after in self.causal_nodes:
                    todo.append((*way, after))


def read_effect(dag: Dag, cause: Names, outcome: str, given: Names = ()) -> tuple[Effect, frozenset[str]]:
    """Check who is asked about.

    Parameters
    ----------
    dag : Dag
        The graph.
    cause : str or iterable of str
        Nodes set together.
    outcome : str
        One node.
    given : str or iterable of str
        Nodes conditioned on.

    Returns
    -------
    effect : Effect
        The effect.
    given : frozenset of str
        The nodes conditioned on.

    Raises
    ------
    GraphError
        If a name is unknown.
    IdentificationError
        If there is no cause or more than one outcome, a node has two parts, or is not in the data.
    """
    causes, outcomes, known = dag.known(cause, "cause"), dag.known(outcome, "outcome"), dag.known(given, "given")
    if not causes or len(outcomes) != 1:
        raise IdentificationError(
            f"an effect has at least one cause and one outcome; there are {len(causes)} and {len(outcomes)}.",
            hint='write identify_effect(dag, cause="wait", outcome="churn").',
        )
    shared = dag.in_order((causes & outcomes) | (causes & known) | (outcomes & known))
    if shared:
        raise IdentificationError(
            f"{listed(shared)} {'is' if len(shared) == 1 else 'are'} in two of `cause`, `outcome` and `given`.",
            hint="name each node in one of them.",
        )
    hidden = dag.in_order((causes | outcomes | known) & dag.latent)
    if hidden:
        raise IdentificationError(
            f"{listed(hidden)} {'is' if len(hidden) == 1 else 'are'} latent: the data do not show it.",
            consequence="What is not seen can be neither compared nor conditioned on.",
            hint="ask about nodes of dag.observed, or leave the name out of latent= if the data have it.",
        )
    return Effect(dag, dag.in_order(causes), next(iter(outcomes))), known
