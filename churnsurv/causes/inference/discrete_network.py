"""Discrete Bayesian networks: exact answers to what is seen and what is done, in every posterior draw."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NoReturn

import numpy as np

from churnsurv._typing import FloatArray, IntArray
from churnsurv._validate import check_count
from churnsurv.causes.inference.answers import Answer, BatchAnswer
from churnsurv.causes.inference.do_tables import Change, do_table, told_change
from churnsurv.causes.inference.evidence import (
    Evidence,
    Given,
    check_node,
    impossible_part,
    read_evidence,
    told_given,
    told_states,
)
from churnsurv.causes.inference.evidence_patterns import PatternEngine, check_codes, distinct_rows
from churnsurv.causes.inference.factors import MAX_ELEMENTS, Factor, contract
from churnsurv.causes.inference.probability_tables import check_parents, check_states, check_tables, ordered
from churnsurv.causes.inference.relevance import ancestral
from churnsurv.errors import ArgumentError, ImpossibleEvidenceError

__all__ = ["Answer", "BatchAnswer", "DiscreteNetwork"]


@dataclass(frozen=True, eq=False, repr=False)
class DiscreteNetwork:
    r"""Bayesian network whose nodes are in one of a few states.

    .. math:: P(x_1, …, x_n) = \prod_i P(x_i \mid x_{\text{parents}(i)})

    A table may hold posterior draws; every answer then has as many, each computed exactly from one draw of all
    tables. Nothing is averaged before it has been transformed.

    Parameters
    ----------
    names : sequence of str
        Nodes, in an order of your choice.
    states : mapping of str to sequence of str
        Names of the states of each node.
    parents : mapping of str to sequence of str
        Parents of each node; a node that is not named has none.
    cpts : mapping of str to array-like of shape (n_draws, *parent cards, own card)
        Conditional probability tables; axes in the order of ``parents``, the last one sums to 1 within 1e-9. One draw,
        or no axis of draws, where a table is known.
    interventions : mapping of str to str or mapping
        What has been done to nodes; filled by :meth:`do`.

    Raises
    ------
    ArgumentError
        If names of nodes or states are empty, not text, or there twice, or a node has no states.
    GraphError
        If a parent is unknown or the graph has a cycle, which is printed.
    ProbabilityTableError
        If a table is missing, has another shape, or a row of it is no distribution; it is named with its configuration.

    Notes
    -----
    The limit. Time and memory are exponential in the tree width of the network, not in its size (Koller and Friedman,
    section 9.4); a table on the way may hold 2**25 numbers, and what needs more is refused before it is computed. Of
    the 24 networks of Scutari's repository that pgmpy ships, all have every prior marginal within it, in 0.15 s at most,
    and posteriors given ten random nodes too (but for one in twenty of diabetes). Given all leaves, the 15 networks of up
    to 109 nodes (asia, alarm, hailfinder, hepar2, win95pts, water, mildew, barley, pathfinder …) take 0.1 s at most,
    and andes, pigs, diabetes and munin2 up to 0.7 s; link, munin, munin1, munin3 and munin4 are refused. With one thousand
    draws, alarm (37 nodes) takes 2 to 6 ms a question.

    References
    ----------
    .. [1] Koller, D. and Friedman, N. (2009). *Probabilistic Graphical Models*, chapters 3, 9 and 21. MIT Press.
    .. [2] Pearl, J. (2009). *Causality*, 2nd ed., chapters 1 and 3. Cambridge University Press.

    Examples
    --------
    One in five parcels is late; of late ones 70 % mean a long wait, of others 10 %:

    >>> network = DiscreteNetwork(
    ...     names=("late", "wait"),
    ...     states={"late": ("no", "yes"), "wait": ("short", "long")},
    ...     parents={"wait": ("late",)},
    ...     cpts={"late": [0.8, 0.2], "wait": [[0.9, 0.1], [0.3, 0.7]]},
    ... )
    >>> network.query("wait")
    Answer(P(wait): short 0.78, long 0.22; draws: 1)
    >>> network.query("late", given={"wait": "long"})
    Answer(P(late | wait=long): no 0.3636, yes 0.6364; draws: 1)
    >>> network.do({"wait": "long"}).query("late")
    Answer(P(late | do(wait=long)): no 0.8, yes 0.2; draws: 1)
    """

    names: tuple[str, ...]
    states: Mapping[str, tuple[str, ...]]
    parents: Mapping[str, tuple[str, ...]]
    cpts: Mapping[str, FloatArray]
    interventions: Mapping[str, Change] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check once; inside, nobody checks again."""
        states = check_states(self.names, self.states)
        names = tuple(states)
        parents = check_parents(names, self.parents)
        tables = check_tables(self.cpts, states, parents)
        for name, value in (("names", names), ("states", states), ("parents", parents), ("cpts", tables)):
            object.__setattr__(self, name, value)

    @cached_property
    def n_draws(self) -> int:
        """Number of posterior draws; 1 for a network of known probabilities."""
        return max((len(table) for table in self.cpts.values()), default=1)

    @cached_property
    def order(self) -> tuple[str, ...]:
        """Nodes, each after its parents."""
        return ordered(self.parents)

    @cached_property
    def _factors(self) -> dict[str, Factor]:
        return {name: Factor((*self.parents[name], name), self.cpts[name]) for name in self.names}

    def query(
        self, targets: str | Sequence[str], given: Given | None = None, *, max_elements: int = MAX_ELEMENTS
    ) -> Answer:
        """Probabilities of one node's states, or of several nodes jointly, given what was seen.

        Parameters
        ----------
        targets : str or sequence of str
            Nodes that are asked for.
        given : mapping of str to str or collection of str, optional
            State of each node that was seen; several states mean that it is in one of them.
        max_elements : int
            Room for the largest table, in numbers of eight bytes.

        Returns
        -------
        Answer
            One distribution per draw.

        Raises
        ------
        UnknownStateError
            If a node or a state is not there; the error lists those that are.
        ImpossibleEvidenceError
            If what was seen has probability 0 in a draw, or contradicts an intervention; the error names the smallest
            part that it can find. A probability below 1e-308 counts as 0.
        NetworkSizeError
            If the answer needs a table larger than the room, told before anything is computed.
        ArgumentError
            If a target is named twice, or there is none.
        """
        chosen = self._check_targets(targets)
        evidence = read_evidence(given, self.states)
        table = self._contract(chosen, evidence, max_elements)
        total = table.reshape(len(table), -1).sum(axis=1)
        if not (total > 0).all():
            self._refuse_impossible(given or {}, max_elements)
        draws = table / total.reshape(-1, *(1 for _ in chosen))
        asked = " | ".join(part for part in (", ".join(chosen), self._condition(given)) if part)
        return Answer(chosen, tuple(self.states[name] for name in chosen), self._spread(draws), f"P({asked})")

    def probability_of(self, given: Given, *, max_elements: int = MAX_ELEMENTS) -> FloatArray:
        """Probability of what was seen.

        Parameters
        ----------
        given : mapping of str to str or collection of str
            As in :meth:`query`.
        max_elements : int
            Room for the largest table, in numbers of eight bytes.

        Returns
        -------
        array of shape (n_draws,)
            Probabilities in [0, 1]; 0 if it cannot be.

        Raises
        ------
        UnknownStateError, NetworkSizeError, ArgumentError
            As :meth:`query`.
        """
        return self._spread(self._contract((), read_evidence(given, self.states), max_elements))

    def joint(self, *, max_elements: int = MAX_ELEMENTS) -> Answer:
        """Probability of every configuration of all nodes; for small networks.

        Parameters
        ----------
        max_elements : int
            Room for the whole table with all its draws, in numbers of eight bytes.

        Returns
        -------
        Answer
            Over all nodes.

        Raises
        ------
        NetworkSizeError
            If the table is larger than the room.
        """
        return self.query(self.names, max_elements=max_elements)

    def do(self, changes: Mapping[str, Change]) -> DiscreteNetwork:
        r"""Network after an intervention: the truncated factorisation.

        .. math:: P(x \mid do(x_j = s)) = 1[x_j = s] \prod_{i \ne j} P(x_i \mid x_{\text{parents}(i)})

        The node no longer listens to its parents; all other tables stay. What lies before it keeps its
        probabilities, which is the difference between doing and seeing.

        Parameters
        ----------
        changes : mapping of str to str or mapping
            For each node that is changed:

            - a state, to which the node is set for everyone;
            - probabilities of states, ``{"<4h": 0.9, ">24h": 0.1}``, from which it is drawn for everyone;
            - a state for a state, ``{">24h": "<4h"}``: whoever would have been in the first is put in the second, and
              everyone else stays. The node keeps its parents, and its table is pushed forward.

        Returns
        -------
        DiscreteNetwork
            A new network; this one stays as it is.

        Raises
        ------
        UnknownStateError
            If a node or a state is not there.
        ArgumentError
            If a change is none of these.

        References
        ----------
        .. [1] Pearl, J. (2009). *Causality*, 2nd ed., eq. 3.10 and section 4.2. Cambridge University Press.

        Examples
        --------
        >>> network = DiscreteNetwork(
        ...     ["late", "wait"], {"late": ("no", "yes"), "wait": ("short", "long")}, {"wait": ("late",)},
        ...     {"late": [0.8, 0.2], "wait": [[0.9, 0.1], [0.3, 0.7]]},
        ... )
        >>> network.do({"late": {"yes": 0.1, "no": 0.9}}).query("wait")
        Answer(P(wait | do(late=yes with 0.1, no with 0.9)): short 0.84, long 0.16; draws: 1)
        """
        if not isinstance(changes, Mapping):
            raise ArgumentError(f"do({changes!r}) is no mapping.", hint='write do({"wait": "<4h"}).')
        parents, tables = dict(self.parents), dict(self.cpts)
        for name, change in changes.items():
            node = check_node(name, self.names)
            parents[node], table = do_table(node, self.states[node], parents[node], tables[node], change)
            # As many draws as before, whatever is fixed: differences of two interventions are taken draw by draw.
            tables[node] = np.broadcast_to(table, (self.n_draws, *table.shape[1:]))
        return replace(self, parents=parents, cpts=tables, interventions={**self.interventions, **changes})

    def batch(
        self,
        target: str,
        evidence_codes: IntArray,
        evidence_nodes: Sequence[str],
        *,
        max_elements: int = MAX_ELEMENTS,
    ) -> BatchAnswer:
        """Probabilities of one node's states for many rows of evidence.

        Equal rows are answered once. Rows that need the same nodes are answered by one contraction, over the
        different states of the evidence that the target depends on; blocks keep it within the room. Time grows with the
        number of different sets of seen nodes (a millisecond each), with patterns times draws, and for the search of
        equal rows with the rows: a million rows of twelve nodes take about a second.

        Parameters
        ----------
        target : str
            Node that is asked for.
        evidence_codes : array of int of shape (n_rows, n_evidence)
            Positions of states; -1 where a node was not seen.
        evidence_nodes : sequence of str
            Nodes of the columns, the target not among them.
        max_elements : int
            Room for the largest table on the way, in numbers of eight bytes. The answer itself, draws times different
            rows times states, is not counted.

        Returns
        -------
        BatchAnswer
            Over different rows, with the way back to all rows.

        Raises
        ------
        UnknownStateError
            If a node is not there, or a number stands for no state.
        ImpossibleEvidenceError
            If a row has probability 0 in a draw.
        NetworkSizeError
            If one row alone needs a table larger than the room.
        ArgumentError, DataTypeError, EmptyDataError
            If the codes have another shape or type, there are none, or a node is named twice.
        """
        chosen = check_node(target, self.names)
        nodes = self._check_targets(evidence_nodes)
        if chosen in nodes:
            raise ArgumentError(f"`{chosen}` is asked for and in the evidence.", hint="leave it out of the evidence.")
        codes = check_codes(evidence_codes, nodes, self.states)
        patterns, inverse = distinct_rows(codes, [len(self.states[node]) for node in nodes])
        engine = PatternEngine(self.parents, self._factors, nodes, check_count(max_elements, "max_elements"))
        draws, impossible = engine.answers(chosen, patterns, self.n_draws)
        if len(impossible):
            first = {
                node: self.states[node][code]
                for node, code in zip(nodes, patterns[impossible[0]].tolist(), strict=True)
                if code >= 0
            }
            told = f"{len(impossible):,} of {len(patterns):,} different rows of evidence cannot be; in the first, "
            self._refuse_impossible(first, max_elements, told)
        states = tuple(self.states[node] for node in nodes)
        return BatchAnswer(chosen, self.states[chosen], draws, inverse, patterns, nodes, states)

    def mean(self) -> DiscreteNetwork:
        """Network of known probabilities: the mean of each table over its draws, divided by its sum.

        Its answers are no posterior means: a mean of products is not the product of means.

        Returns
        -------
        DiscreteNetwork
            With one draw; the same tables where there was one already.
        """
        tables = {}
        for name, table in self.cpts.items():
            centre = table.mean(axis=0)
            tables[name] = centre / centre.sum(axis=-1, keepdims=True) if len(table) > 1 else table
        return replace(self, cpts=tables)

    def _check_targets(self, targets: str | Sequence[str]) -> tuple[str, ...]:
        several = (targets,) if isinstance(targets, str) or not isinstance(targets, Iterable) else tuple(targets)
        names = tuple(check_node(name, self.names) for name in several)
        if not names or len(set(names)) < len(names):
            raise ArgumentError(
                f"nodes {list(several)!r}: {'one of them is named twice' if names else 'there is none'}.",
                hint=f"name each node once, of: {', '.join(self.names)}.",
            )
        return names

    def _contract(self, keep: tuple[str, ...], evidence: Evidence, max_elements: int) -> FloatArray:
        relevant = ancestral(self.parents, (*keep, *evidence.nodes))
        factors = [factor for name, factor in self._factors.items() if name in relevant]
        # A target that was seen stays an axis: its evidence is a factor of zeros and ones.
        asked = {name: np.eye(len(self.states[name]))[code] for name, code in evidence.fixed.items() if name in keep}
        factors += [Factor((name,), likely[None]) for name, likely in {**evidence.likely, **asked}.items()]
        fixed = {name: code for name, code in evidence.fixed.items() if name not in keep}
        if not factors:
            return np.ones(1)
        return contract(factors, keep, fixed, max_elements=max_elements).table

    def _spread(self, draws: FloatArray) -> FloatArray:
        return np.broadcast_to(draws, (self.n_draws, *draws.shape[1:]))

    def _condition(self, given: Given | None) -> str:
        done = [f"do({node}={told_change(change)})" for node, change in self.interventions.items()]
        return ", ".join([*done, *([told_given(given)] if given else [])])

    def _refuse_impossible(self, given: Given, max_elements: int, rows: str = "") -> NoReturn:
        for node, change in self.interventions.items():
            if node in given and not self._reachable(node, given[node]):
                raise ImpossibleEvidenceError(
                    f"{rows}`{node}` is changed by the intervention ({told_change(change)}), and is said to be seen as "
                    f"{told_states(given[node])}, which it cannot be any more.",
                    column=node,
                    consequence="`given` is what is seen after the intervention; what was seen before it, in another "
                    "world, asks for a counterfactual, which this is not.",
                    hint=f"leave `{node}` out of `given`.",
                )

        def probability(part: Given) -> FloatArray:
            return self.probability_of(part, max_elements=max_elements)

        part = impossible_part(given, lambda some: bool((probability(some) > 0).all()))
        n_zero = int(np.count_nonzero(~(probability(part) > 0)))
        raise ImpossibleEvidenceError(
            f"{rows}{told_given(part)} has probability 0 in {n_zero:,} of {self.n_draws:,} draws.",
            rows=[{node: told_states(value) for node, value in part.items()}],
            consequence="Nothing follows from what cannot be; any number would do.",
            hint="check these states, or learn the tables with a prior that leaves every state possible.",
        )

    def _reachable(self, node: str, seen: str | Collection[str]) -> bool:
        codes = [self.states[node].index(state) for state in ([seen] if isinstance(seen, str) else seen)]
        return bool((self.cpts[node][..., codes] > 0).any())

    def __repr__(self) -> str:
        """Return one line."""
        n_edges = sum(len(above) for above in self.parents.values())
        done = f", {self._condition(None)}" if self.interventions else ""
        return f"DiscreteNetwork(nodes: {len(self.names)}, edges: {n_edges}, draws: {self.n_draws:,}{done})"
