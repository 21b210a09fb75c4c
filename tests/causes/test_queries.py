"""Questions to a learnt network: by hand from its tables, against its spells, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from churnsurv.causes.clusters import MAX_CLUSTERS, Clusters
from churnsurv.causes.network import CauseNetwork
from churnsurv.causes.state_tables import learn_states
from churnsurv.errors import (
    ArgumentError,
    HorizonError,
    IdentificationError,
    ImpossibleEvidenceError,
    UnknownStateError,
)
from tests.causes.known_shop import BREAKS, SHORT, known_shop, network, nodes, spells_of


def test_tables_are_dirichlet_where_customers_have_one_spell_each():
    """Mean and variance of a Dirichlet, exactly, up to the chance of 40,000 draws."""
    rows = network().rows(spells_of(known_shop(900, rng=2)), breaks=BREAKS)
    first = rows.take(np.concatenate([[True], rows.customer[1:] != rows.customer[:-1]]))
    rng = np.random.default_rng(0)
    clusters = Clusters.of(first.customer, n_draws=40_000, rng=rng)
    table = learn_states(first, clusters, "late", ("country",), concentration=0.5, rng=rng)
    alpha = table.count + 0.5
    total = alpha.sum(axis=-1, keepdims=True)
    mean = alpha / total
    np.testing.assert_allclose(table.cpt.mean(axis=0), mean, atol=4e-4)
    np.testing.assert_allclose(table.cpt.var(axis=0), mean * (1 - mean) / (total + 1), rtol=0.04)


def test_customers_with_many_spells_make_a_table_as_wide_as_their_number_allows():
    """A trait of the customer that is counted at every spell: the spread is that of customers, not of spells."""
    rows = network().rows(spells_of(known_shop(900, rng=2)), breaks=BREAKS)
    rng = np.random.default_rng(0)
    clusters = Clusters.of(rows.customer, n_draws=4000, rng=rng)
    table = learn_states(rows, clusters, "country", (), concentration=0.5, rng=rng)
    n = np.bincount(rows.customer)
    near = np.bincount(rows.customer, rows.codes[:, 0] == rows.states[0].index("near"))
    share = near.sum() / n.sum()
    sandwich = ((near - share * n) ** 2).sum() / n.sum() ** 2
    drawn = table.cpt[:, rows.states[0].index("near")].var()
    assert abs(drawn / sandwich - 1) < 0.1
    assert drawn > 1.5 * share * (1 - share) / n.sum()


def test_many_customers_are_put_together_without_narrowing():
    rng = np.random.default_rng(1)
    customer = np.repeat(np.arange(3 * MAX_CLUSTERS), 2)
    clusters = Clusters.of(customer, n_draws=2000, rng=1)
    assert clusters.weights.shape == (2000, MAX_CLUSTERS)
    key = np.repeat((rng.random(3 * MAX_CLUSTERS) < 0.3).astype(np.int64), 2)
    drawn = clusters.weighted(np.arange(len(key)), key, 2)
    share = drawn[:, 1] / drawn.sum(axis=1)
    assert abs(share.std() / np.sqrt(0.3 * 0.7 / (3 * MAX_CLUSTERS)) - 1) < 0.1


def test_churn_is_the_sum_over_configurations_by_hand(fit):
    weights = fit.opening.query(fit.leaf.static).draws.reshape(fit.n_draws, -1)
    outlast, _ = fit.leaf.curve([60.0])
    by_hand = (weights * outlast[..., 0]).sum(axis=1)
    np.testing.assert_allclose(fit.query("churn", horizon=60).draws[:, 1], by_hand, rtol=1e-10)
    np.testing.assert_allclose(fit.do({}).churn(60).draws, by_hand, rtol=1e-10)


def test_a_do_query_is_the_truncated_factorisation_by_hand(fit):
    """Σ P(country) P(late | country) P(rating | late, wait = short) F(country, late, short, rating), summed in loops."""
    tables, states = fit.tables, fit.states
    outlast = fit.leaf.curve([60.0])[0][..., 0].reshape(fit.n_draws, *fit.leaf.cards)
    assert fit.leaf.static == ("country", "late", "wait", "rating")
    w = states["wait"].index("under 4 h")
    total = np.zeros(fit.n_draws)
    for c in range(2):
        for late in range(3):
            for r in range(len(states["rating"])):
                p = tables["country"].cpt[:, c] * tables["late"].cpt[:, c, late] * tables["rating"].cpt[:, late, w, r]
                total += p * outlast[:, c, late, w, r]
    np.testing.assert_allclose(fit.do({"wait": "under 4 h"}).churn(60).draws, total, rtol=1e-10)


def test_two_networks_of_discrete_nodes_say_the_same(fit):
    """The leaf summed outside the network, and the leaf as a node in it."""
    inside = fit.at_horizon(60.0).do({"wait": "under 4 h"}).query("churn", {"late": "late"}).draws[:, 1]
    np.testing.assert_allclose(fit.do({"wait": "under 4 h"}).churn(60, {"late": "late"}).draws, inside, rtol=1e-10)


def test_an_effect_of_what_comes_first_is_an_observation_where_nothing_confounds(fit):
    """do() on a root is observing it; P(ancestor | do(descendant)) is its marginal."""
    seen = fit.query("churn", {"country": "far"}, horizon=60).draws[:, 1]
    np.testing.assert_allclose(fit.do({"country": "far"}).churn(60).draws, seen, rtol=1e-10)
    np.testing.assert_allclose(
        fit.opening.do({"rating": "5"}).query("late").draws, fit.opening.query("late").draws, rtol=1e-12
    )


def test_the_adjustment_formula_and_the_network_agree(spells, fit):
    """Two roads to one effect: all tables multiplied, or one set adjusted for (drawn in by a latent cause elsewhere)."""
    hidden = network(edges=["mood -> country", "mood -> late", "country -> late -> wait -> rating -> churn", "late -> rating",
                            "country -> churn", "late -> churn", "wait -> churn"], latent=["mood"])  # fmt: skip
    other = hidden.fit(spells, breaks=BREAKS, n_draws=400)
    here, there = fit.effect("wait", SHORT), other.effect("wait", SHORT)
    assert there.label == "identified"
    a, b = here.draws()[:, 0], there.draws()[:, 0]
    assert abs(a.mean() - b.mean()) < 0.5 * a.std()
    assert abs(a.std() / b.std() - 1) < 0.3


def test_a_diagnosis_follows_from_bayes(fit):
    prior = fit.query("wait").draws
    given = fit.query("wait", {"churn": "yes"}, horizon=60).draws
    likely = np.stack([fit.query("churn", {"wait": s}, horizon=60).draws[:, 1] for s in fit.states["wait"]], axis=1)
    by_hand = prior * likely
    np.testing.assert_allclose(given, by_hand / by_hand.sum(axis=1, keepdims=True), rtol=1e-9)


def test_survivors_are_other_people(fit):
    """Who has been silent for 20 days is likelier to have waited long; and has less far to go."""
    now = fit.query("wait").mean()[fit.states["wait"].index("over 24 h")]
    later = fit.query("wait", at=20.0).mean()[fit.states["wait"].index("over 24 h")]
    assert later > now
    silent = fit.query("churn", horizon=40, at=20.0).draws[:, 1]
    alive = fit.query("churn", horizon=20).draws[:, 1]
    np.testing.assert_allclose(silent * alive, fit.query("churn", horizon=60).draws[:, 1], rtol=1e-9)


def test_the_same_seed_gives_the_same_posterior(spells):
    first, second = (network().fit(spells, breaks=BREAKS, n_draws=50, rng=3) for _ in range(2))
    np.testing.assert_array_equal(first.do({"wait": SHORT}).churn(60).draws, second.do({"wait": SHORT}).churn(60).draws)


def test_an_isolated_node_changes_nothing(spells, fit):
    """Metamorphic: a node without edges is in no answer."""
    lonely = CauseNetwork(nodes(), ["late -> churn"]).fit(spells, breaks=BREAKS, n_draws=300)
    fewer = CauseNetwork(nodes()[1:2], ["late -> churn"]).fit(spells, breaks=BREAKS, n_draws=300)
    a, b = (one.do({"late": "late"}).churn(60).draws for one in (lonely, fewer))
    assert abs(a.mean() - b.mean()) < 0.3 * a.std()


def test_rmst_is_the_area_under_the_curve(fit):
    """Expected days until the return under an intervention, and its difference."""
    grid = np.linspace(0, 60, 241)[1:]
    curve = np.array([fit.do({"wait": "under 4 h"}).churn(float(t)).mean() for t in grid[::12]])
    fine = np.interp(grid, np.concatenate([[0.0], grid[::12]]), np.concatenate([[1.0], curve]))
    area = np.trapezoid(np.concatenate([[1.0], fine]), dx=0.25)
    assert abs(fit.do({"wait": "under 4 h"}).rmst(60).mean() - area) < 0.15


@pytest.mark.parametrize(
    ("ask", "error", "message"),
    [
        (lambda f: f.query("weight"), UnknownStateError, "no node 'weight'"),
        (lambda f: f.query("wait", {"late": "soon"}), UnknownStateError, "soon"),
        (lambda f: f.do({"wait": "2 h"}), UnknownStateError, "wait has no state '2 h'"),
        (lambda f: f.do({"wait": {"2 h": "under 4 h"}}), UnknownStateError, "no state '2 h'"),
        (lambda f: f.do({"churn": "yes"}), ArgumentError, "is what is asked about"),
        (lambda f: f.do({"weight": "x"}), UnknownStateError, "no node 'weight'"),
        (lambda f: f.do({"wait": "under 4 h"}).churn(60, {"wait": "no ticket"}), IdentificationError, "set and given at once"),
        (lambda f: f.do({"wait": "under 4 h"}).churn(500), HorizonError, "at least 30 spells"),
        (lambda f: f.do({"wait": "under 4 h"}).churn(0), HorizonError, "not positive"),
        (lambda f: f.effect("wait", SHORT).draws("odds"), ArgumentError, "measure='odds'"),
    ],
)  # fmt: skip
def test_questions_without_an_answer_are_refused(fit, ask, error, message):
    with pytest.raises(error, match=message):
        ask(fit)


def test_impossible_evidence_is_named(fit):
    with pytest.raises(ImpossibleEvidenceError, match="late = first and wait = over 24 h never meet in 10,636 spells"):
        fit.query("rating", {"late": "first", "wait": "over 24 h"})


def test_words_say_what_is_asked(fit):
    answer = fit.do({"wait": SHORT}).churn(60, {"country": "far"})
    assert answer.quantity == (
        "P(no order within 60 days of the spell's opening | do(wait: over 24 h → under 4 h, 4 to 24 h → under 4 h), country = far)"
    )
    assert "identified, adjusted for" in repr(answer)
    frame = answer.frame()
    assert frame["label"].tolist() == ["identified"]
    assert frame["lower"][0] < frame["mean"][0] < frame["upper"][0]
    assert repr(fit).startswith("CauseFit(4 causes of churn, ")
