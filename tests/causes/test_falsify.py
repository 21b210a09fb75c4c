"""Drawings held against shops whose graph is known: true ones stand, false ones fall, searches find the way back."""

from __future__ import annotations

import numpy as np
import pytest

from churnsurv.causes.falsify import falsify, propose_structure
from churnsurv.causes.network import CauseNetwork
from churnsurv.errors import ArgumentError
from tests.causes.known_shop import BREAKS, known_shop, network, nodes, spells_of

TIERS = {"country": 0, "late": 1, "wait": 2, "rating": 3}
WRONG = ["country -> late -> rating -> churn", "wait -> rating", "country -> churn"]


@pytest.fixture(scope="module")
def rows():
    return network().rows(spells_of(known_shop(6000, rng=1)), breaks=BREAKS)


@pytest.fixture(scope="module")
def wrong(rows):
    return network(edges=WRONG).fit(rows, n_draws=20)


def test_the_true_drawing_stands(rows):
    found = falsify(network().fit(rows, n_draws=20))
    assert [str(test.claim) for test in found.tests] == ["country ⊥ wait | late", "country ⊥ rating | late"]
    assert not found.rejected
    assert found.suggested_edges == ()
    assert found.sentence() == "None of 2 independences that the drawing implies is contradicted by the data."


def test_a_wrong_drawing_falls_and_the_missing_arrows_are_suggested(wrong):
    found = falsify(wrong)
    assert {("late", "wait"), ("wait", "churn"), ("late", "churn")} <= set(found.suggested_edges)
    frame = found.frame().set_index("claim")
    assert not frame.loc["country ⊥ rating | late", "rejected"]
    assert frame.loc["wait ⊥ churn | country, rating", "strength"] > 0.2
    assert "The data contradict 4 of 5 independences" in found.sentence()


def test_the_likelihood_ratio_says_the_same(wrong):
    a, b = (falsify(wrong, statistic=kind).frame()["rejected"].tolist() for kind in ("chi2", "g2"))
    assert a == b


def test_true_claims_are_rejected_at_the_stated_rate():
    """Thirty shops and the true drawing: with no false claim every rejection is a false discovery."""
    rejected = 0
    for seed in range(30):
        fit = network().fit(network().rows(spells_of(known_shop(500, rng=seed)), breaks=BREAKS), n_draws=2)
        rejected += bool(falsify(fit, discovery_rate=0.10).rejected)
    assert rejected <= 7, "a binomial's 99 %"


def test_nothing_to_test_is_said(rows):
    full = network(edges=["country -> late -> wait -> rating -> churn", "country -> wait", "country -> rating", "late -> rating",
                          "country -> churn", "late -> churn", "wait -> churn"])  # fmt: skip
    found = falsify(full.fit(rows, n_draws=2))
    assert found.tests == ()
    assert "every claim in it rests on knowledge alone" in found.sentence()


def test_claims_behind_a_latent_cause_cannot_be_tested(rows):
    hidden = network(
        edges=["mood -> late", "mood -> churn", "late -> wait -> rating", "country -> late"], latent=["mood"]
    )
    found = falsify(hidden.fit(rows, n_draws=2))
    assert ("late", "churn") in found.not_testable
    assert "more missing arrows cannot be tested" in found.sentence()


def test_a_node_that_moves_is_tested_at_the_leaf(spells):
    from churnsurv.causes.nodes import Node
    from churnsurv.tables.features import Arrival, Value

    drawn = CauseNetwork(
        [Node("country", Value("order", "country")), Node("delivery", Arrival("delivery", "delay_days"), cuts=[0])],
        ["country -> churn"],
    )
    found = falsify(drawn.fit(spells, breaks=BREAKS, n_draws=2))
    assert [str(test.claim) for test in found.tests] == ["delivery ⊥ churn"]
    assert np.isfinite(found.tests[0].p_value)


def test_a_rate_that_is_none_is_refused(wrong):
    with pytest.raises(ArgumentError, match="discovery_rate"):
        falsify(wrong, discovery_rate=1.0)


def test_the_search_finds_the_true_drawing_where_time_order_is_known(wrong):
    """What each arrow is worth in nats; of the arrows into the leaf the strong ones at least."""
    found = propose_structure(wrong, tiers=TIERS)
    true = {
        ("country", "late"),
        ("late", "wait"),
        ("late", "rating"),
        ("wait", "rating"),
        ("country", "churn"),
        ("wait", "churn"),
    }
    assert true <= set(found.edges)
    assert set(found.edges) <= true | {("rating", "churn"), ("late", "churn")}
    assert {(c.parent, c.child) for c in found.of_kind("added")} >= {("late", "wait"), ("wait", "churn")}
    assert found.gain > 100
    assert "They do not say that an edge is a cause" in str(found)


def test_tiers_come_from_the_nodes(rows):
    from dataclasses import replace

    placed = []
    for node in nodes():
        again = type(node)(
            node.name, node.feature, levels=dict(node.levels) or None, missing=node.missing, tier=TIERS[node.name]
        )
        placed.append(again)
    fit = CauseNetwork(placed, WRONG).fit(replace(rows, nodes=tuple(placed)), n_draws=2)
    assert propose_structure(fit).edges == propose_structure(fit, tiers=TIERS).edges
