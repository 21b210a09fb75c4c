"""Nodes of a network: features as of a moment, cut into named states."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from churnsurv.errors import ArgumentError, BreaksError
from churnsurv.tables.features import Arrival, Feature
from churnsurv.tables.schema import PatternColumn, bin_labels

OUTCOME = "churn"
"""Name of the leaf."""

AT_RISK = "at risk"
"""Name of the leaf that says whether nothing had happened by a later moment."""

COIN = "random common cause"
"""Name of the node that a refutation adds; it does not count against the limit."""


@dataclass(frozen=True, init=False)
class Node:
    """A discrete cause: a declared feature and the states that its values mean.

    Parameters
    ----------
    name : str
        Name of the node.
    feature : Feature
        What is known at the moment the time at risk begins. An :class:`~churnsurv.tables.features.Arrival` becomes
        known later and is a node that moves while the customer is at risk.
    cuts : sequence of float, optional
        Where a number is cut: k increasing cuts make k + 1 states, each closed on the right: ``cuts=[4, 24]`` makes up
        to 4, over 4 up to 24, and over 24.
    labels : sequence of str, optional
        Names of these states, in order; made from the cuts otherwise.
    levels : mapping of str to sequence of str, optional
        For a text: state to the levels it stands for. Levels that are named nowhere are ``other``. Without it each level
        is a state.
    missing : str, optional
        Name of the state in which nothing is known: ``none yet``, of an arrival ``not yet``, unless given.
    tier : int, optional
        Place in time: proposals of a structure never point from a later tier to an earlier one.

    Raises
    ------
    ArgumentError
        If names are empty, used twice, or in the way of the leaf.
    BreaksError
        If cuts do not increase or labels do not fit them.

    Examples
    --------
    >>> from churnsurv import Maximum
    >>> Node("support_wait", Maximum("ticket", "wait_hours", days=90), cuts=[4, 24], labels=["<4h", "4-24h", ">24h"])
    Node('support_wait': <4h, 4-24h, >24h)
    """

    name: str
    feature: Feature
    cuts: tuple[float, ...] = ()
    labels: tuple[str, ...] = ()
    levels: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    missing: str = ""
    tier: int | None = None

    def __init__(
        self,
        name: str,
        feature: Feature,
        *,
        cuts: Sequence[float] = (),
        labels: Sequence[str] = (),
        levels: Mapping[str, Sequence[str]] | None = None,
        missing: str = "",
        tier: int | None = None,
    ) -> None:
        _check_name(name)
        if not isinstance(feature, Feature):
            raise ArgumentError(
                f"node {name!r}: {feature!r} is no declared feature.",
                hint='write Node("support_wait", Maximum("ticket", "wait_hours", days=90), cuts=[4, 24]).',
            )
        grouped = {state: (one,) if isinstance(one, str) else tuple(one) for state, one in (levels or {}).items()}
        edges = _check_cuts(name, cuts, labels, grouped)
        _check_levels(name, grouped)
        for attribute, value in (
            ("name", name),
            ("feature", replace(feature, name=name)),
            ("cuts", edges),
            ("labels", tuple(labels) or _default_labels(feature, edges)),
            ("levels", grouped),
            ("missing", missing),
            ("tier", tier),
        ):
            object.__setattr__(self, attribute, value)

    @property
    def moves(self) -> bool:
        """Whether its state changes while the customer is at risk."""
        return isinstance(self.feature, Arrival)

    @property
    def edges(self) -> tuple[float, ...]:
        """Edges of the bins of a number, the outer two infinite; empty for a text."""
        return (-math.inf, *self.cuts, math.inf) if self.cuts else ()

    def states_of(self, column: PatternColumn) -> tuple[tuple[str, ...], tuple[int, ...]]:
        """States of the node in a table, and the state of each of the column's levels.

        Parameters
        ----------
        column : PatternColumn
            How the table coded the feature.

        Returns
        -------
        states : tuple of str
            In the order of the cuts, of ``levels`` or of the alphabet; what is not known yet comes last, if it occurs.
        position : tuple of int
            State of each level of the column.
        """
        if column.edges is not None and not self.cuts:
            raise BreaksError(
                f"node {self.name!r} is a number, and it has no cuts.",
                column=self.name,
                hint=f"write Node({self.name!r}, …, cuts=[…]): k cuts make k + 1 states.",
            )
        missing = self.missing or column.blank
        known = [label for label in column.labels if label != column.blank]
        if self.labels:
            places = dict(zip(known, self.labels, strict=True))
            states = list(self.labels)
        else:
            home = {level: state for state, several in self.levels.items() for level in several}
            places = {level: home.get(level, "other") if self.levels else level for level in known}
            states = [*self.levels] if self.levels else known
            states += ["other"] if "other" in places.values() and "other" not in states else []
        if column.blank in column.labels:
            places[column.blank] = missing
            states += [missing] if missing not in states else []
        return tuple(states), tuple(states.index(places[label]) for label in column.labels)

    def __repr__(self) -> str:
        """Name and states as far as they are stated."""
        told = ", ".join(self.labels or self.levels) or "levels of " + str(
            self.feature.value_column or self.feature.kind
        )
        return f"Node({self.name!r}: {told})"


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not name.strip() or name != name.strip():
        raise ArgumentError(f"{name!r} is no name of a node.", hint='write Node("support_wait", …).')
    if name.casefold() in (OUTCOME, AT_RISK):
        raise ArgumentError(
            f"a node is called {name!r}, the name of the leaf.", hint="the leaf is there already; name the cause."
        )


def _check_cuts(
    name: str, cuts: Sequence[float], labels: Sequence[str], levels: Mapping[str, tuple[str, ...]]
) -> tuple[float, ...]:
    edges = tuple(float(cut) for cut in cuts)
    if any(not math.isfinite(cut) for cut in edges) or list(edges) != sorted(set(edges)):
        raise BreaksError(
            f"node {name!r}: cuts={list(cuts)!r} are not increasing finite numbers.",
            column=name,
            hint="write cuts=[4, 24] for three states.",
        )
    if levels and (edges or labels):
        raise ArgumentError(
            f"node {name!r}: cuts and labels are for numbers, levels for text; both are given.",
            hint="give one of them.",
        )
    if labels and not edges:
        raise BreaksError(
            f"node {name!r}: {len(labels)} labels, and no cuts.",
            column=name,
            hint="write cuts=[4, 24] for three labels, or levels={'state': ['level']} for a text.",
        )
    if labels and (len(labels) != len(edges) + 1 or len(set(labels)) != len(labels)):
        raise BreaksError(
            f"node {name!r}: {len(edges)} cuts make {len(edges) + 1} states, and the labels are {list(labels)!r}.",
            column=name,
            hint=f"give {len(edges) + 1} different labels.",
        )
    return edges


def _check_levels(name: str, levels: Mapping[str, tuple[str, ...]]) -> None:
    named = [level for several in levels.values() for level in several]
    twice = sorted({level for level in named if named.count(level) > 1})
    if twice:
        raise ArgumentError(f"node {name!r}: level {twice[0]!r} stands for two states.", hint="name it once.")


def _default_labels(feature: Feature, cuts: tuple[float, ...]) -> tuple[str, ...]:
    return bin_labels((-math.inf, *cuts, math.inf), integer=feature.integer) if cuts else ()
