"""Whether data can answer what a change would do, and by which adjustment."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Literal

from churnsurv.dag.effect import Effect, read_effect
from churnsurv.dag.faults import check_adjustment, check_given
from churnsurv.dag.graph import Dag
from churnsurv.dag.names import Names, as_names, listed
from churnsurv.dag.path import Path
from churnsurv.dag.reasons import why_identified, why_no_effect, why_not_identified

Status = Literal["identified", "not identified", "associational"]

_PATHS_KEPT = 100
"""Causal paths an answer carries; a person reads the first few."""


@dataclass(frozen=True, repr=False)
class Identification:
    """What observed data can say of an effect, if the graph is right.

    Made by :func:`identify_effect`, and by :meth:`associational` where nothing is set.

    Parameters
    ----------
    cause : tuple of str
        Nodes set together; empty where nothing is set.
    outcome : str
        Node whose distribution is asked for.
    given : tuple of str
        Nodes conditioned on.
    status : {"identified", "not identified", "associational"}
        Whether the number is an effect.
    adjustment_set : tuple of str or None
        Nodes to adjust for, ``given`` among them; empty if none need be, None unless identified.
    open_path : Path or None
        Path that is not causal and cannot be kept blocked; None if identified.
    reason : str
        The same in sentences.
    causal_paths : tuple of Path
        Paths by which the causes act, short ones first, at most 100.
    no_effect : bool
        Whether there is none: then P(outcome | do(cause), given) = P(outcome | given), and nothing is adjusted for.
    front_door : tuple of str or None
        Set that meets the front-door criterion where adjustment fails; no estimate is made from it.
    """

    cause: tuple[str, ...]
    outcome: str
    given: tuple[str, ...]
    status: Status
    adjustment_set: tuple[str, ...] | None
    open_path: Path | None
    reason: str
    causal_paths: tuple[Path, ...] = ()
    no_effect: bool = False
    front_door: tuple[str, ...] | None = None

    @classmethod
    def associational(cls, outcome: str, *, given: Names = ()) -> Identification:
        """Answer to a question in which nothing is set: P(outcome | given).

        Examples
        --------
        >>> print(Identification.associational("churn", given="late"))
        P(churn | late) is associational: nothing is set. Customers who differ in late may differ in much else.
        """
        known = as_names(given, "given")
        differ = f" Customers who differ in {listed(known)} may differ in much else." if known else ""
        return cls((), outcome, known, "associational", None, None, f"nothing is set.{differ}")

    @property
    def identified(self) -> bool:
        """Whether the number is an effect."""
        return self.status == "identified"

    @property
    def estimand(self) -> str:
        """What is asked for: ``P(churn | do(wait), plan)``."""
        conditions = [f"do({', '.join(self.cause)})"] if self.cause else []
        conditions += self.given
        return f"P({self.outcome} | {', '.join(conditions)})" if conditions else f"P({self.outcome})"

    @property
    def formula(self) -> str:
        """What it is equal to in observed data; empty if not identified.

        Examples
        --------
        >>> dag = Dag.from_edges(["plan -> late -> churn", "plan -> churn"])
        >>> identify_effect(dag, "late", "churn").formula
        'P(churn | do(late)) = Σ_{plan} P(churn | late, plan) P(plan)'
        """
        if self.adjustment_set is None:
            return ""
        summed = [node for node in self.adjustment_set if node not in self.given]
        seen = ", ".join([*self.cause, *summed, *self.given])
        if self.no_effect:
            right = str(Identification.associational(self.outcome, given=self.given).estimand)
        elif summed:
            condition = f" | {', '.join(self.given)}" if self.given else ""
            right = f"Σ_{{{', '.join(summed)}}} P({self.outcome} | {seen}) P({', '.join(summed)}{condition})"
        else:
            right = f"P({self.outcome} | {seen})"
        return f"{self.estimand} = {right}"

    def __str__(self) -> str:
        """Return what is asked for, its status and why."""
        return f"{self.estimand} is {self.status}: {self.reason}"

    def __repr__(self) -> str:
        """Return one line."""
        told: str = self.status
        if self.no_effect:
            told += ", no effect"
        elif self.adjustment_set is not None:
            told += f", adjustment_set={self.adjustment_set!r}"
        if self.open_path is not None:
            told += f", open_path={self.open_path}"
        return f"Identification({self.estimand}: {told})"


def identify_effect(
    dag: Dag, cause: Names, outcome: str, *, given: Names = (), adjustment: Names | None = None
) -> Identification:
    r"""Whether adjustment makes an association an effect, and for what to adjust.

    A set Z of observed nodes, with the nodes S of ``given`` in it, makes

    .. math:: P(y \mid do(x), s) = \sum_z P(y \mid x, z, s)\, P(z \mid s)

    in every distribution that the graph allows, exactly if none of it lies on a proper causal path or follows from a
    node that does, and if it blocks every proper path that is not causal. The answer is the smallest such set; of
    several the one declared first. The criterion is complete for adjustment, not for identification: an effect that
    is "not identified" here may follow from a front door, which is looked for and named in ``reason``, or from the
    product of all tables where nothing is latent.

    Parameters
    ----------
    dag : Dag
        The graph.
    cause : str or iterable of str
        Node to set, or several to set together.
    outcome : str
        Node whose distribution is asked for.
    given : str or iterable of str, optional
        Nodes the effect is conditioned on, the effect within a segment; none of them a descendant of a cause.
    adjustment : str or iterable of str, optional
        Set to use instead of the smallest; refused where it does not give the effect.

    Returns
    -------
    Identification
        Status, adjustment set or open path, and the reason.

    Raises
    ------
    GraphError
        If a name is unknown.
    IdentificationError
        If a node has two parts or is latent; if ``given`` holds a descendant of a cause; if ``adjustment`` holds a
        latent node, a mediator or what follows from one, or leaves or makes a path open that is not causal.

    References
    ----------
    .. [1] Shpitser, I., VanderWeele, T. and Robins, J. M. (2010). On the validity of covariate adjustment for
       estimating causal effects. *Proceedings of UAI 26*, 527–536.
    .. [2] Perković, E., Textor, J., Kalisch, M. and Maathuis, M. H. (2018). Complete graphical characterization and
       construction of adjustment sets in Markov equivalence classes of ancestral graphs. *JMLR*, 18(220), 1–62.
    .. [3] Van der Zander, B., Liśkiewicz, M. and Textor, J. (2019). Separators and adjustment sets in causal graphs:
       complete criteria and an algorithmic framework. *Artificial Intelligence*, 270, 1–40.
    .. [4] LaPlante, S. and Perković, E. (2024). Conditional adjustment in a Markov equivalence class. *Proceedings of
       AISTATS 27*.

    Examples
    --------
    >>> dag = Dag.from_edges(["plan -> late -> wait -> churn", "plan -> churn", "hidden -> wait", "hidden -> churn"],
    ...                      latent="hidden")
    >>> identify_effect(dag, "late", "churn")
    Identification(P(churn | do(late)): identified, adjustment_set=('plan',))
    >>> print(identify_effect(dag, "wait", "churn").open_path)
    wait <- hidden -> churn
    """
    effect, known = read_effect(dag, cause, outcome, given)
    check_given(effect, known)
    chosen = check_adjustment(effect, known, adjustment) if adjustment is not None else None
    paths = tuple(islice(effect.causal_paths(), _PATHS_KEPT))
    segment = dag.in_order(known)
    if not effect.causal_nodes:
        adjusted = segment if chosen is None else chosen
        reason = why_no_effect(effect)
        return Identification(effect.cause, outcome, segment, "identified", adjusted, None, reason, (), True)
    found = effect.smallest_set(known) if chosen is None else chosen
    if found is not None:
        reason = why_identified(effect, found)
        return Identification(effect.cause, outcome, segment, "identified", found, None, reason, paths)
    return _not_identified(effect, known, paths)


def _not_identified(effect: Effect, given: frozenset[str], paths: tuple[Path, ...]) -> Identification:
    path, reason, front_door = why_not_identified(effect, given)
    return Identification(
        cause=effect.cause,
        outcome=effect.outcome,
        given=effect.dag.in_order(given),
        status="not identified",
        adjustment_set=None,
        open_path=path,
        reason=reason,
        causal_paths=paths,
        front_door=front_door,
    )
