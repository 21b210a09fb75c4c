"""Customers one by one: ranks that are kept, by hand and on average, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from churnsurv.causes.counterfactuals import counterfactual
from churnsurv.causes.customers import UNKNOWN, CustomerStates
from churnsurv.errors import (
    DataWarning,
    EmptyDataError,
    HorizonError,
    IdentificationError,
    ModelSupportError,
    UnknownStateError,
)
from churnsurv.tables.churn import Silence
from churnsurv.tables.spells import SpellTable
from tests.causes.known_shop import BREAKS, EDGES, SHORT, network

STATES = ("country", "late", "wait", "rating")


@pytest.fixture(scope="module")
def customers(fit, spells):
    return CustomerStates.of(fit, spells)


def at_opening(fit, n=None):
    """Every spell of the log as a customer who opens one now."""
    codes = fit.rows.codes[fit.rows.opens].astype(np.int64)[:n]
    patterns, pattern = np.unique(codes, axis=0, return_inverse=True)
    ids = np.array([str(k) for k in range(len(codes))], object)
    return CustomerStates(ids, np.zeros(len(codes)), pattern.ravel(), patterns, np.zeros(len(patterns)))


def test_customers_are_those_at_risk(fit, shop, spells, customers):
    future = shop.future
    alive = future[future["silence"] < 60]
    assert len(customers) == len(alive)
    np.testing.assert_array_equal(customers.customer_id, alive["customer_id"])
    np.testing.assert_allclose(customers.reached, alive["silence"], atol=1e-9)
    last = shop.gaps[shop.gaps["in_log"]].groupby("customer_id").tail(1).set_index("customer_id")
    found = np.asarray(fit.states["wait"], object)[customers.codes[customers.pattern, 2]]
    np.testing.assert_array_equal(found, last.loc[customers.customer_id, "previous_wait"].astype(str))
    assert customers.n_patterns < len(customers)
    assert customers.counts.sum() == len(customers)


def test_nothing_changed_changes_nothing(fit, customers):
    same = counterfactual(fit, customers, {"wait": {"over 24 h": "over 24 h"}}, horizon=30)
    np.testing.assert_allclose(same.changed, same.risk, rtol=1e-12)


def test_customers_whom_nothing_touches_keep_their_risk(fit, customers):
    found = counterfactual(fit, customers, {"wait": SHORT}, horizon=30)
    untouched = customers.codes[:, 2] >= 2
    assert 0 < untouched.sum() < len(untouched)
    np.testing.assert_array_equal(found.changed[:, untouched], found.risk[:, untouched])
    assert (found.changed[:, ~untouched].mean(axis=0) < found.risk[:, ~untouched].mean(axis=0)).all()


def test_risk_is_that_of_the_configuration_by_hand(fit, customers):
    found = counterfactual(fit, customers, {"wait": SHORT}, horizon=30)
    for pattern in range(0, customers.n_patterns, 97):
        codes, at = customers.codes[pattern], customers.days[pattern]
        configuration = np.ravel_multi_index(tuple(codes), fit.leaf.cards)
        now, then = (fit.leaf.curve([t])[0][:, configuration, 0] if t else 1.0 for t in (at, at + 30))
        np.testing.assert_allclose(found.risk[:, pattern], then / now, rtol=1e-10)


def test_until_the_silence_that_defines_churn(fit, customers):
    found = counterfactual(fit, customers, {"wait": SHORT})
    pattern = int(np.argmax(customers.days))
    configuration = np.ravel_multi_index(tuple(customers.codes[pattern]), fit.leaf.cards)
    ahead = 60.0 - customers.days[pattern]
    outlast, _ = fit.leaf.curve([ahead], at=float(customers.days[pattern]), configurations=np.array([configuration]))
    np.testing.assert_allclose(found.risk[:, pattern], outlast[:, 0, 0], rtol=1e-12)
    assert found.horizon is None


def test_kept_ranks_by_hand(fit):
    """One customer, one mediator: the uniform rank within her rating, carried to the rating after a short wait."""
    states = fit.states
    late, long, short = (
        states["late"].index("late"),
        states["wait"].index("over 24 h"),
        states["wait"].index("under 4 h"),
    )
    rating = states["rating"].index("2")
    who = CustomerStates(
        np.array(["x"], object), np.zeros(1), np.zeros(1, int), np.array([[0, late, long, rating]]), np.zeros(1)
    )
    found = counterfactual(fit, who, {"wait": "under 4 h"}, horizon=60)
    before, after = fit.tables["rating"].cpt[:, late, long], fit.tables["rating"].cpt[:, late, short]
    outlast = fit.leaf.curve([60.0])[0][..., 0].reshape(-1, *fit.leaf.cards)[:, 0, late, short]
    expected = np.zeros(fit.n_draws)
    for d in range(fit.n_draws):
        low, high = before[d, :rating].sum(), before[d, : rating + 1].sum()
        edges = np.concatenate([[0.0], np.cumsum(after[d])])
        inside = np.clip(np.minimum(edges[1:], high) - np.maximum(edges[:-1], low), 0, None)
        expected[d] = inside @ outlast[d] / (high - low)
    np.testing.assert_allclose(found.changed[:, 0], expected, rtol=1e-9)
    assert found.label == "counterfactual"


def test_averaged_over_those_who_open_a_spell_it_is_the_effect(fit):
    """Two roads: ranks are an assumption about individuals; their average is what do() gives, whatever they are."""
    who = at_opening(fit)
    found = counterfactual(fit, who, {"wait": SHORT}, horizon=60)
    share = who.counts / who.counts.sum()
    average = (found.changed - found.risk) @ share
    effect = fit.effect("wait", SHORT, horizon=60).draws()[:, 0]
    assert abs(average.mean() - effect.mean()) < 0.35 * effect.std()


def test_what_is_not_known_is_not_told(fit, customers):
    codes = customers.codes.copy()
    codes[0, 1] = UNKNOWN
    who = CustomerStates(customers.customer_id, customers.reached, customers.pattern, codes, customers.days)
    found = counterfactual(fit, who, {"wait": SHORT}, horizon=30)
    assert np.isnan(found.risk[:, 0]).all()
    assert np.isnan(found.changed[:, 0]).all()
    assert np.isfinite(found.changed[:, 1:]).all()
    assert np.isfinite(found.kept()).all()
    frame = found.frame()
    assert frame["difference"].isna().sum() == customers.counts[0]
    assert (frame["status"] == "unknown").sum() == customers.counts[0]


def test_beyond_the_last_period_nothing_is_told(fit, customers):
    """The hazards end at 120 days: who has been silent for 40 already is told nothing about 90 more."""
    found = counterfactual(fit, customers, {"wait": SHORT}, horizon=90)
    late = customers.days + 90 > 120
    assert 0 < late.sum() < len(late)
    np.testing.assert_array_equal(found.status == "beyond", late)
    np.testing.assert_array_equal(np.isnan(found.changed).all(axis=0), late)
    old = CustomerStates(
        customers.customer_id, customers.reached, customers.pattern, customers.codes, customers.days + 60
    )
    with pytest.raises(HorizonError, match="can be told: of 1,506 the horizon reaches beyond 120 days"):
        counterfactual(fit, old, {"wait": SHORT}, horizon=90)


def test_the_frame_has_a_row_for_everyone(fit, spells, customers):
    frame = fit.counterfactual(spells, {"wait": SHORT}, horizon=30).frame()
    assert frame["customer_id"].tolist() == list(customers.customer_id)
    assert (frame["lower"] <= frame["difference"] + 1e-12).all()
    assert (frame["difference"] <= frame["upper"] + 1e-12).all()
    assert set(frame["label"]) == {"counterfactual"}


def test_a_million_customers_are_their_patterns(fit, customers):
    """The cost is that of the patterns: a thousand times the customers, the same answer."""
    many = np.tile(np.arange(len(customers)), 250)
    who = CustomerStates(
        customers.customer_id[many], customers.reached[many], customers.pattern[many], customers.codes, customers.days
    )
    found = counterfactual(fit, who, {"wait": SHORT}, horizon=30)
    assert found.risk.shape == (fit.n_draws, customers.n_patterns)
    once = counterfactual(fit, customers, {"wait": SHORT}, horizon=30)
    np.testing.assert_allclose(found.kept(), 250 * once.kept(), rtol=1e-12)


def test_hidden_causes_have_no_counterfactual(spells):
    hidden = network(edges=[*EDGES, "mood -> wait", "mood -> churn"], latent=["mood"])
    with pytest.raises(IdentificationError, match="a latent cause is drawn"):
        hidden.fit(spells, breaks=BREAKS, n_draws=20).counterfactual(spells, {"wait": SHORT})


def test_unknown_states_and_other_definitions_are_refused(fit, shop, spells):
    with pytest.raises(UnknownStateError, match="no state"):
        fit.counterfactual(spells, {"wait": "2 h"})
    from churnsurv.errors import DefinitionError

    other = SpellTable.from_events(shop.log, shop.window, Silence(kinds=("order",), days=40, merge=None))
    with pytest.raises(DefinitionError):
        fit.counterfactual(other, {"wait": SHORT})


def test_nobody_at_risk_is_refused(fit, shop):
    from churnsurv.tables.window import ObservationWindow

    late = ObservationWindow("2023-01-01", "2024-04-01")
    with pytest.warns(DataWarning, match="hold no event"):
        spells = SpellTable.from_events(shop.log, late, Silence(kinds=("order",), days=60, merge=None))
    with pytest.raises(EmptyDataError, match="still at risk"):
        CustomerStates.of(fit, spells)


def test_a_node_that_moves_is_asked_about_at_the_opening(spells):
    from churnsurv.causes.network import CauseNetwork
    from churnsurv.causes.nodes import Node
    from churnsurv.tables.features import Arrival, Value

    nodes = [Node("country", Value("order", "country")), Node("delivery", Arrival("delivery", "delay_days"), cuts=[0])]
    fit = CauseNetwork(nodes, ["country -> delivery -> churn", "country -> churn"]).fit(
        spells, breaks=BREAKS, n_draws=20
    )
    with pytest.raises(ModelSupportError, match="delivery moves"):
        fit.counterfactual(spells, {"delivery": fit.states["delivery"][0]})
    kept = fit.counterfactual(spells, {"country": "near"}, horizon=30)
    assert np.isfinite(kept.changed).all()
