"""What the drawing claims, held against the data: independences that must hold, and graphs the data would rather have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from churnsurv._typing import BoolArray, FloatArray, IntArray
from churnsurv._validate import check_choice
from churnsurv.causes.discovery_rate import adjusted_p_values
from churnsurv.causes.hazard_independence import hazard_independence_test
from churnsurv.causes.hazard_tables import split_by_period
from churnsurv.causes.independence_tests import Statistic, independence_test
from churnsurv.causes.nodes import OUTCOME
from churnsurv.causes.structure_scores import BdeuScore, hazard_score
from churnsurv.causes.structure_search import StructureProposal, best_structure
from churnsurv.dag.independences import Independence, implied_independences, not_testable
from churnsurv.errors import ArgumentError

if TYPE_CHECKING:
    import pandas as pd

    from churnsurv.causes.fit import CauseFit


_LEAF_SHAPE = 4.0
"""Gamma prior on the relative hazard of a configuration: mean 1, standard deviation 0.5."""


@dataclass(frozen=True)
class ClaimTest:
    """One independence that the drawing implies, and what the data say of it.

    Parameters
    ----------
    claim : Independence
        Of which nodes, given which.
    statistic : float
        Chi-square, corrected for customers with several rows.
    dof : float
        Degrees of freedom.
    p_value, p_adjusted : float
        Before and after the control of false discoveries; NaN where the rows cannot test it.
    strength : float
        Cramér's V between nodes; of the leaf the largest distance of a level's observed from its expected events, as a
        share. With many rows a small p-value may go with a strength that matters to nobody.
    note : str
        Why the p-value is rough or missing.
    """

    claim: Independence
    statistic: float
    dof: float
    p_value: float
    p_adjusted: float
    strength: float
    note: str


@dataclass(frozen=True)
class Falsification:
    """The claims of a drawing, tested.

    Parameters
    ----------
    tests : tuple of ClaimTest
        One for each pair of nodes without an arrow that observed nodes separate.
    discovery_rate : float
        Share of rejected claims that may be true.
    not_testable : tuple of (str, str)
        Pairs without an arrow about which no observed data can speak: they rest on knowledge alone.
    order : tuple of str
        Nodes in the order of the drawing, causes first.
    """

    tests: tuple[ClaimTest, ...]
    discovery_rate: float
    not_testable: tuple[tuple[str, str], ...]
    order: tuple[str, ...]

    @property
    def rejected(self) -> tuple[ClaimTest, ...]:
        """Claims the data contradict."""
        return tuple(test for test in self.tests if test.p_adjusted <= self.discovery_rate)

    @property
    def suggested_edges(self) -> tuple[tuple[str, str], ...]:
        """Arrows whose absence the data contradict, strongest first, in the direction of the drawing's order.

        An arrow is one way to mend a drawing; a common cause that is not drawn is another, which data cannot tell apart.
        """
        found = sorted(self.rejected, key=lambda test: (test.p_adjusted, -test.strength))
        return tuple(tuple(sorted((t.claim.a, t.claim.b), key=self.order.index)) for t in found)  # type: ignore[misc]

    def frame(self) -> pd.DataFrame:
        """One row per claim: ``claim, statistic, dof, p_value, p_adjusted, strength, rejected, note``."""
        import pandas as pd

        rows = [
            (str(t.claim), t.statistic, t.dof, t.p_value, t.p_adjusted, t.strength, t in self.rejected, t.note)
            for t in self.tests
        ]
        names = ["claim", "statistic", "dof", "p_value", "p_adjusted", "strength", "rejected", "note"]
        return pd.DataFrame(rows, columns=names)

    def sentence(self) -> str:
        """Tell what was contradicted, and what could not be."""
        if not self.tests:
            return "The drawing implies no independence that the data could contradict: every claim in it rests on knowledge alone."
        tried = [test for test in self.tests if np.isfinite(test.p_value)]
        mute = f" {len(self.not_testable)} more missing arrows cannot be tested." if self.not_testable else ""
        if not self.rejected:
            return f"None of {len(tried)} independences that the drawing implies is contradicted by the data.{mute}"
        told = "; ".join(f"{t.claim} (p = {t.p_adjusted:.2g}, strength {t.strength:.2f})" for t in self.rejected[:3])
        more = f"; {len(self.rejected) - 3} more" if len(self.rejected) > 3 else ""
        first = " -> ".join(self.suggested_edges[0])
        return (
            f"The data contradict {len(self.rejected)} of {len(tried)} independences that the drawing implies: {told}{more}."
            f" An arrow such as {first}, or a common cause that is not drawn, is missing.{mute}"
        )

    def __repr__(self) -> str:
        """The sentence."""
        return f"Falsification({self.sentence()})"


def falsify(fit: CauseFit, *, discovery_rate: float = 0.10, statistic: Statistic = "chi2") -> Falsification:
    """Test every independence that the drawing implies.

    Between nodes known at the opening: the chi-square or the likelihood ratio of a table of spells, corrected for customers
    with several of them. Between a node and the leaf: the stratified log-rank test in its Poisson form, with the
    customer-clustered covariance. False discoveries are controlled after Benjamini and Hochberg. Between nodes of which
    one moves while the customer is at risk, only the claim about the leaf is tested.

    A claim that holds proves nothing: other drawings imply the same. One that fails contradicts the drawing.

    Parameters
    ----------
    fit : CauseFit
        A learnt network.
    discovery_rate : float
        Expected share of true claims among the rejected, in (0, 1).
    statistic : {"chi2", "g2"}
        Pearson's statistic or the likelihood ratio.

    Returns
    -------
    Falsification
        Tests, and arrows that are suggested.
    """
    check_choice(statistic, "statistic", ("chi2", "g2"))
    if not 0 < discovery_rate < 1:
        raise ArgumentError(
            f"discovery_rate={discovery_rate!r} is not strictly between 0 and 1.", hint="write discovery_rate=0.10."
        )
    moving = {node.name for node in fit.network.moving}
    claims = [
        claim
        for claim in implied_independences(fit.network.dag)
        if OUTCOME in (claim.a, claim.b) or not moving & {claim.a, claim.b, *claim.given}
    ]
    results = [_test(fit, claim, statistic) for claim in claims]
    p_values = np.array([p for _, _, p, _, _ in results], float)
    adjusted = np.full(len(results), np.nan)
    known = np.isfinite(p_values)
    if known.any():
        adjusted[known] = adjusted_p_values(p_values[known])
    return Falsification(
        tests=tuple(
            ClaimTest(claim, value, dof, p, float(q), strength, note)
            for claim, (value, dof, p, strength, note), q in zip(claims, results, adjusted, strict=True)
        ),
        discovery_rate=discovery_rate,
        not_testable=tuple(not_testable(fit.network.dag)),
        order=fit.network.dag.order,
    )


def _test(fit: CauseFit, claim: Independence, statistic: Statistic) -> tuple[float, float, float, float, str]:
    rows = fit.rows
    if OUTCOME in (claim.a, claim.b):
        other = claim.a if claim.b == OUTCOME else claim.b
        piece, key, spent, ended = _pieces(fit, claim.given)
        found = hazard_independence_test(
            rows.codes[piece, rows.position(other)], key, ended.astype(float), spent,
            customer=rows.customer[piece], name=other, given=(*claim.given, "period"),
        )  # fmt: skip
        ratio = found.observed / np.maximum(found.expected, 1e-12)
        strength = float(np.abs(ratio - 1.0)[found.expected > 0].max(initial=0.0))
        return found.statistic, float(found.dof), found.p_value, strength, found.note
    opening = np.flatnonzero(rows.opens)
    z = rows.codes[opening][:, [rows.position(name) for name in claim.given]].astype(np.int64)
    result = independence_test(
        rows.codes[opening, rows.position(claim.a)],
        rows.codes[opening, rows.position(claim.b)],
        z if claim.given else None,
        customer=rows.customer[opening],
        statistic=statistic,
        names=(claim.a, claim.b),
        given=claim.given,
    )
    return result.statistic, float(result.dof), result.p_value, result.strength, result.note


def _pieces(fit: CauseFit, given: Sequence[str]) -> tuple[IntArray, IntArray, FloatArray, BoolArray]:
    """Pieces of rows by period, in strata of what is given and the period."""
    rows = fit.rows
    interest = [k + 1 for k, event in enumerate(rows.causes) if event in fit.leaf.interest]
    happened = np.isin(rows.event, interest)
    return split_by_period(rows, rows.configuration(given), np.ones(len(rows), bool), happened, fit.leaf.breaks)


def propose_structure(
    fit: CauseFit,
    *,
    tiers: Mapping[str, int] | None = None,
    max_parents: int = 4,
    equivalent_size: float = 1.0,
) -> StructureProposal:
    """Ask which drawing the data would rather have, among all that time order allows: a proposal, never a decision.

    Nodes known at the opening are scored by BDeu, the leaf by the marginal likelihood of a gamma factor on
    the hazard in each configuration; the search is exact. Customers with several spells count as several, so that gains look larger
    than they are. Latent nodes are not searched for: an arrow between two effects of a hidden cause is proposed.

    Parameters
    ----------
    fit : CauseFit
        A learnt network, at most eleven nodes known at the opening.
    tiers : mapping of str to int, optional
        Place in time of each node; by default that of its declaration.
    max_parents : int
        Most parents of a node.
    equivalent_size : float
        Rows the prior of a node is worth, > 0.

    Returns
    -------
    StructureProposal
        Compared with what was drawn.

    Raises
    ------
    NetworkSizeError
        If there are more than eleven nodes.
    """
    rows, names = fit.rows, [node.name for node in fit.network.static]
    columns = [rows.position(name) for name in names]
    bdeu = BdeuScore(
        rows.codes[rows.opens][:, columns].astype(np.int64),
        [int(rows.cards[k]) for k in columns],
        equivalent_size=equivalent_size,
    ).by_name(names)
    patterns, events, expected = _leaf_patterns(fit, columns)

    def score(child: str, parents: tuple[str, ...]) -> float:
        if child != OUTCOME:
            return bdeu(child, parents)
        key = np.zeros(len(patterns), np.int64)
        for parent in parents:
            k = names.index(parent)
            key = key * int(rows.cards[columns[k]]) + patterns[:, k]
        return hazard_score(events, expected, key, _LEAF_SHAPE, _LEAF_SHAPE)

    placed = {node.name: node.tier for node in fit.network.static if node.tier is not None}
    placed |= dict(tiers or {})
    last = max(placed.values(), default=0)
    drawn = [(a, b) for a, b in fit.network.dag.edges if {a, b} <= {*names, OUTCOME}]
    return best_structure(
        [*names, OUTCOME],
        score,
        drawn=drawn,
        tiers={**placed, OUTCOME: last + 1} if placed else None,
        max_parents=max(max_parents, *(sum(b == child for _, b in drawn) for child in [*names, OUTCOME])),
        leaf=OUTCOME,
    )


def _leaf_patterns(fit: CauseFit, columns: Sequence[int]) -> tuple[IntArray, FloatArray, FloatArray]:
    """Events by pattern of nodes, and what the hazard of everybody in each period would make of their exposure.

    Hazards in proportion over the periods: one factor for each configuration, or every further parent would be charged for
    as many as there are periods.
    """
    piece, key, spent, ended = _pieces(fit, ())
    n_periods = len(fit.leaf.breaks) - 1
    period = key % n_periods
    hazard = np.bincount(period, ended, n_periods) / np.maximum(np.bincount(period, spent, n_periods), 1e-12)
    patterns, where = np.unique(fit.rows.codes[piece][:, list(columns)].astype(np.int64), axis=0, return_inverse=True)
    events = np.bincount(where.ravel(), ended, len(patterns))
    return patterns, events, np.bincount(where.ravel(), spent * hazard[period], len(patterns))
