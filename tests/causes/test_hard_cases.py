"""What a harsh reader tried: hidden causes, facts that come at once, single customers, ends of the data."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from churnsurv.causes.customers import UNKNOWN, CustomerStates
from churnsurv.causes.network import CauseNetwork
from churnsurv.causes.nodes import Node
from churnsurv.causes.refutations import refute_effect
from churnsurv.datasets import simulate_shop
from churnsurv.errors import (
    ArgumentError,
    BreaksError,
    HorizonError,
    ImpossibleEvidenceError,
    ModelSupportError,
    NoEventsError,
    UnknownStateError,
)
from churnsurv.hazards.nonparametric import kaplan_meier
from churnsurv.tables.churn import Silence
from churnsurv.tables.features import Arrival, Baseline, Value
from churnsurv.tables.spells import SpellTable
from tests.causes.known_shop import BREAKS, SHORT, network, nodes

EDGES = [0.0, 30.0, 60.0, 100.0]


def durations(n, columns, hazard, rng, *, events=("event",)):
    """Contracts with given columns and constant hazards, watched for 100 days."""
    time = rng.exponential(1 / np.sum(hazard, axis=0))
    cause = 1 + (rng.random(n) * np.sum(hazard, axis=0) > hazard[0]) if len(events) > 1 else np.ones(n, int)
    event = np.where(time < 100, cause, 0)
    table = pa.table({"time": np.maximum(np.minimum(time, 100.0), 1e-3), "event": event, **columns})
    settings = {"causes": events} if len(events) > 1 else {}
    return SpellTable.from_durations(
        table, duration="time", event="event", unit="day", labels=list(columns), **settings
    )  # fmt: skip


def numbers(who):
    """1, 2, 3 … within each customer."""
    seen: dict[str, int] = {}
    for_each = []
    for name in who:
        seen[name] = seen.get(name, 0) + 1
        for_each.append(seen[name])
    return for_each


@pytest.fixture(scope="module")
def moody():
    """A hidden mood makes parcels late and customers leave; the parcel itself does nothing, the wait follows the mood."""
    rng, n = np.random.default_rng(1), 12_000
    mood = rng.random(n) < 0.5
    late = np.where(rng.random(n) < np.where(mood, 0.7, 0.3), "late", "on time")
    wait = np.where(rng.random(n) < np.where(mood, 0.8, 0.3), "long", "short")
    spells = durations(n, {"late": late, "wait": wait}, np.exp(-5 + 1.2 * mood)[None], rng)
    return spells, late, wait


def drawn(*edges, names=("late", "wait"), latent=("mood",), **settings):
    return CauseNetwork([Node(name, Baseline(name)) for name in names], edges, latent=latent, **settings)


def test_a_cause_without_an_arrow_to_churn_has_no_effect_whatever_is_hidden(moody):
    spells, _, _ = moody
    fit = drawn("mood -> late", "mood -> wait", "mood -> churn").fit(spells, breaks=EDGES, n_draws=200)
    effect = fit.effect("late", "late", "on time", horizon=60)
    assert effect.label == "identified"
    np.testing.assert_allclose(effect.draws(), 0.0, atol=1e-12)
    seen = (
        fit.query("churn", {"late": "late"}, horizon=60).mean()
        - fit.query("churn", {"late": "on time"}, horizon=60).mean()
    )
    assert seen[1] > 0.05, "the association is another matter"


def test_associations_are_those_of_the_data_where_causes_are_hidden(moody):
    """No arrow joins late, wait and churn: multiplied, the drawing's tables would call them independent."""
    spells, late, wait = moody
    fit = drawn("mood -> late", "mood -> wait", "mood -> churn").fit(spells, breaks=EDGES, n_draws=300)
    long = fit.query("wait", {"late": "late"}).draws[:, fit.states["wait"].index("long")]
    assert abs(long.mean() - (wait[late == "late"] == "long").mean()) < 3 * long.std()
    for state in ("late", "on time"):
        rows = fit.rows.codes[:, 0] == fit.states["late"].index(state)
        curve = kaplan_meier(fit.rows.stop[rows], fit.rows.event[rows])
        churned = 1 - curve.survival[np.searchsorted(curve.times, 60.0, side="right") - 1]
        answer = fit.query("churn", {"late": state}, horizon=60).draws[:, 1]
        assert abs(answer.mean() - churned) < 3 * answer.std()
    np.testing.assert_allclose(fit.query("churn", horizon=60).draws[:, 1], fit.do({}).churn(60).draws, rtol=0.01)
    assert fit.do({"late": "late"}).churn(60).association is not None


def test_a_replacement_beside_another_setting_is_not_identified_where_its_natural_state_is_hidden(moody):
    spells, _, _ = moody
    fit = drawn("mood -> late", "mood -> wait", "late -> wait", "late -> churn", "wait -> churn").fit(
        spells, breaks=EDGES, n_draws=50
    )
    answer = fit.do({"late": "on time", "wait": {"long": "short"}}).churn(60)
    assert answer.label == "not identified"
    assert "hidden by a latent cause" in answer.identification.reason


def test_a_latent_cause_away_from_churn_forbids_nothing(moody):
    spells, _, _ = moody
    fit = drawn("mood -> late", "mood -> wait", "wait -> churn").fit(spells, breaks=EDGES, n_draws=50)
    assert fit.effect("wait", "short", "long", horizon=60).label == "identified"
    aside = drawn("wait -> churn", "mood -> late").fit(spells, breaks=EDGES, n_draws=50)
    who = CustomerStates.of(aside, spells)
    who = CustomerStates(who.customer_id, who.reached, who.pattern, who.codes, 0 * who.days)
    assert np.isfinite(aside.counterfactual(who, {"wait": "short"}, horizon=30).kept()).all()


@pytest.fixture(scope="module")
def instant():
    """A fact that is known at the opening for most: half of the spells begin with it."""
    rng, n = np.random.default_rng(2), 6000
    late = rng.random(n) < 0.3
    rows = []
    base = 1_600_000_000_000_000
    for k in range(n):
        opened = base + int(rng.integers(0, 100 * 86_400_000_000))
        rows.append((f"c{k}", opened, "order", None))
        comes = opened if rng.random() < 0.6 else opened + int(rng.exponential(5.0) * 86_400_000_000) + 1
        if comes < base + 199 * 86_400_000_000:
            rows.append((f"c{k}", comes, "delivery", float(late[k])))
        again = opened + 1 + int(rng.exponential(80.0 if late[k] else 25.0) * 86_400_000_000)
        if again < base + 199 * 86_400_000_000:
            rows.append((f"c{k}", again, "order", None))
    who, when, kind, value = zip(*rows, strict=True)
    table = pa.table(
        {"who": who, "when": pa.array(when, pa.int64()), "kind": kind, "delay": pa.array(value, pa.float64())}
    )
    from churnsurv.tables.events import EventLog
    from churnsurv.tables.window import ObservationWindow

    log = EventLog.from_frame(
        table, customer="who", time="when", kind="kind", values=("delay",), epoch_unit="us", timezone="UTC"
    )
    window = ObservationWindow("2020-09-13", "2021-04-01")
    return SpellTable.from_events(log, window, Silence(("order",), 60, merge=None))


def test_facts_that_come_at_the_opening_are_there_from_the_opening(instant):
    fit = CauseNetwork(
        [Node("delivery", Arrival("delivery", "delay"), cuts=[0.5], labels=["on time", "late"])], ["delivery -> churn"]
    ).fit(instant, breaks=[0, 5, 15, 30, 60, 120], n_draws=200)
    opening = np.bincount(fit.rows.codes[fit.rows.opens, 0], minlength=3)
    assert (opening > 100).all()
    stretches = fit.rows.ends
    curve = kaplan_meier(fit.rows.stop[stretches], fit.rows.event[stretches])
    km = curve.survival[np.searchsorted(curve.times, 60.0, side="right") - 1]
    draws = fit.do({}).churn(60).draws
    assert abs(draws.mean() - km) < 3 * draws.std() + 0.01
    kept = fit.effect("delivery", {"late": "on time"}).draws("avoided_per_thousand")
    assert kept.mean() > 50


def test_a_state_that_does_not_arrive_is_not_replaced(spells):
    fit = CauseNetwork([Node("delivery", Arrival("delivery", "delay_days"), cuts=[0])], ["delivery -> churn"]).fit(
        spells, breaks=BREAKS, n_draws=20
    )
    with pytest.raises(ArgumentError, match="delivery = not yet never arrives"):
        fit.do({"delivery": {"not yet": fit.states["delivery"][0]}})


def test_positivity_of_a_node_that_moves_is_told_by_what_is_adjusted_for(spells):
    """In one country no parcel is ever on time."""
    from dataclasses import replace

    drawn = CauseNetwork(
        [
            Node("country", Value("order", "country")),
            Node("delivery", Arrival("delivery", "delay_days"), cuts=[0], labels=["on time", "late"]),
        ],
        ["country -> delivery -> churn", "country -> churn"],
    )  # fmt: skip
    rows = drawn.rows(spells, breaks=BREAKS)
    codes = rows.codes.copy()
    far = codes[:, 0] == rows.states[0].index("far")
    codes[far & (codes[:, 1] == rows.states[1].index("on time")), 1] = rows.states[1].index("late")
    fit = drawn.fit(replace(rows, codes=codes), n_draws=20)
    for setting in ({"late": "on time"}, "on time"):
        (part, *_) = fit.effect("delivery", setting, by="country").positivity
        thin = [text for text, bad in zip(part.configurations, part.thin, strict=True) if bad]
        assert any("country = far" in text for text in thin)
    assert not any("country = near" in text and "days 30" in text for text in thin)


def test_answers_carry_the_spells_behind_them(fit):
    answer = fit.do({"wait": "under 4 h"}).churn(60)
    assert "late = first: 0 of" in repr(answer)
    assert not fit.do({"wait": SHORT}).churn(60).positivity[0].thin.any()
    assert repr(fit.do({}).churn(60)).endswith("associational)")
    assert "0." in repr(fit.do({}).churn(60))


def test_whom_an_effect_is_about_must_be_possible(fit):
    with pytest.raises(ImpossibleEvidenceError, match="never meet"):
        fit.do({"rating": "5"}).churn(60, {"late": "first", "wait": "over 24 h"})
    with pytest.raises(ImpossibleEvidenceError, match="over 24 h or 4 to 24 h never meet"):
        fit.query("rating", {"late": "first", "wait": ["over 24 h", "4 to 24 h"]})


def test_one_customer_alone_in_a_configuration_leaves_uncertainty():
    """Sixty spells of one customer: as wide as their number, not as the prior."""
    rng = np.random.default_rng(4)
    n = 400
    who = np.concatenate([np.full(60, "malta"), np.array([f"c{k}" for k in range(n)])])
    country = np.where(who == "malta", "Malta", "UK")
    wait = np.where(rng.random(len(who)) < 0.3, "long", "short")
    table = pa.table({"who": who, "spell": numbers(who), "time": rng.exponential(30.0, len(who)) + 0.1,
                      "event": np.ones(len(who), int), "country": country, "wait": wait})  # fmt: skip
    spells = SpellTable.from_durations(
        table, duration="time", event="event", unit="day", customer="who", spell="spell", labels=["country", "wait"]
    )
    fit = drawn("country -> wait -> churn", "country -> churn", names=("country", "wait"), latent=()).fit(
        spells, breaks=EDGES, n_draws=4000
    )
    draws = fit.tables["wait"].cpt[:, fit.states["country"].index("Malta"), 0]
    share = draws.mean()
    assert abs(draws.std() / np.sqrt(share * (1 - share) / 62) - 1) < 0.1
    hazard = fit.leaf.hazards[0].hazard[:, :, 0].reshape(4000, 2, 2)[:, fit.states["country"].index("Malta")]
    assert np.log(hazard).std(axis=0).min() > 0.1


def test_rows_of_two_shops_score_the_levels_of_both():
    rng = np.random.default_rng(5)
    shops = [
        durations(400, {"plan": np.where(rng.random(400) < 0.5, "A", b)}, np.full((1, 400), 0.005), rng) for b in "BC"
    ]
    drawing = drawn("plan -> churn", names=("plan",), latent=())
    first, second = (drawing.rows(shop, breaks=EDGES) for shop in shops)
    for rows in (first + second, second + first):
        fit = drawing.fit(rows, n_draws=20)
        for shop in shops:
            codes = CustomerStates.of(fit, shop).codes
            assert (codes != UNKNOWN).all()


def test_a_state_that_matters_to_nothing_may_be_unknown():
    rng = np.random.default_rng(6)
    columns = {"plan": np.where(rng.random(800) < 0.5, "A", "B"), "aside": np.where(rng.random(800) < 0.5, "x", "y")}
    spells = durations(800, columns, np.full((1, 800), 0.005), rng)
    fit = drawn("plan -> churn", names=("plan", "aside"), latent=()).fit(spells, breaks=EDGES, n_draws=20)
    who = CustomerStates.of(fit, spells)
    codes = who.codes.copy()
    codes[:, 1] = UNKNOWN
    blind = CustomerStates(who.customer_id, who.reached, who.pattern, codes, who.days * 0)
    assert (fit.counterfactual(blind, {"plan": "A"}, horizon=30).status == "told").all()


def test_ranks_are_kept_without_losing_anybody(spells):
    """A prior too small to be anything: states that nobody was in have no rank, and nobody vanishes."""
    fit = network(concentration=1e-4).fit(spells, breaks=BREAKS, n_draws=50)
    states = fit.states
    codes = np.array(
        [[0, states["late"].index("first"), states["wait"].index("over 24 h"), states["rating"].index("2")]]
    )
    who = CustomerStates(np.array(["x"], object), np.zeros(1), np.zeros(1, int), codes, np.zeros(1))
    found = fit.counterfactual(who, {"wait": "under 4 h"}, horizon=60)
    assert (found.changed > 0.05).all()


def test_a_replacement_that_another_setting_would_have_moved_is_refused(fit, spells):
    with pytest.raises(ModelSupportError, match="wait is replaced, and would itself have come out otherwise"):
        fit.counterfactual(spells, {"late": "on time", "wait": SHORT}, horizon=30)


def test_no_horizon_beyond_the_data():
    rng = np.random.default_rng(7)
    spells = durations(600, {"plan": np.where(rng.random(600) < 0.5, "A", "B")}, np.full((1, 600), 0.01), rng)
    fit = drawn("plan -> churn", names=("plan",), latent=()).fit(spells, breaks=[0, 50, 400], n_draws=20)
    assert 0 < fit.do({}).churn(100).mean() < 1
    with pytest.raises(HorizonError, match="at least 30 spells were at risk"):
        fit.do({}).churn(300)
    with pytest.raises(HorizonError, match="no time on the clock"):
        fit.query("churn", horizon=10, at=-20)
    with pytest.raises(Exception, match="not a number"):
        fit.do({}).churn("60")
    with pytest.raises(ArgumentError, match="every node is given"):
        fit.diagnose({"plan": "A"}, horizon=30)


def test_an_effect_that_hangs_on_one_customer_is_as_wide_as_that_and_its_halves_fall_short():
    rng = np.random.default_rng(8)
    n = 300
    who = np.array([f"c{k}" for k in range(n)] + ["whale"] * 200)
    cause = np.where(np.arange(len(who)) < n, np.where(rng.random(len(who)) < 0.5, "a", "b"), "a")
    time = np.where(who == "whale", 1.0 + 0.01 * rng.random(len(who)), rng.exponential(50.0, len(who))) + 0.01
    table = pa.table({"who": who, "spell": numbers(who), "time": time, "event": np.ones(len(who), int), "sort": cause})
    spells = SpellTable.from_durations(
        table, duration="time", event="event", unit="day", customer="who", spell="spell", labels=["sort"]
    )
    fit = CauseNetwork([Node("kind", Baseline("sort"))], ["kind -> churn"]).fit(spells, breaks=[0, 20, 60], n_draws=300)
    effect = fit.effect("kind", "b", "a", horizon=20)
    low, high = np.quantile(effect.draws("avoided_per_thousand"), [0.05, 0.95])
    assert high - low > 400, "two hundred spells, and one customer"
    assert refute_effect(fit, effect, kinds=["half of the customers"], n_repeats=8).attempts[0].z < -2


def test_several_ways_to_leave():
    rng, n = np.random.default_rng(9), 4000
    plan = np.where(rng.random(n) < 0.5, "A", "B")
    hazard = np.stack([np.where(plan == "A", 0.01, 0.004), np.full(n, 0.006)])
    spells = durations(n, {"plan": plan}, hazard, rng, events=("price", "service"))
    both = drawn("plan -> churn", names=("plan",), latent=()).fit(spells, breaks=EDGES, n_draws=200)
    one = drawn("plan -> churn", names=("plan",), latent=(), cause="price").fit(spells, breaks=EDGES, n_draws=200)
    for fit, truth in ((both, 1 - np.exp(-0.016 * 60)), (one, 0.01 / 0.016 * (1 - np.exp(-0.016 * 60)))):
        draws = fit.do({"plan": "A"}).churn(60).draws
        assert abs(draws.mean() - truth) < 3 * draws.std()
    assert "of 1,000 customers kept" in both.effect("plan", "B", "A", horizon=60).sentence()
    assert "of 1,000 fewer leave by price" in one.effect("plan", "B", "A", horizon=60).sentence()
    with pytest.raises(ArgumentError, match="no event 'weather'"):
        drawn("plan -> churn", names=("plan",), latent=(), cause="weather").fit(spells, breaks=EDGES)


def test_closures_of_a_shop_are_no_churn_of_their_own():
    shop = simulate_shop(300, rng=1, closure_hazard=0.005)
    spells = SpellTable.from_events(shop.log, shop.window, Silence(("order",), 60, merge=None, terminal=("closed",)))
    drawing = CauseNetwork([Node("country", Value("order", "country"))], ["country -> churn"], cause="closure")
    with pytest.raises(ArgumentError, match="churn of a shop is that nobody returns"):
        drawing.fit(spells)


def test_what_cannot_be_learnt_is_refused(spells):
    with pytest.raises(BreaksError, match="breaks begin at 10 days"):
        network().fit(spells, breaks=[10, 30, 60])
    with pytest.raises(ArgumentError, match="the name of the leaf"):
        Node("at risk", Baseline("plan"))
    with pytest.raises(BreaksError, match="'worth' is a number, and it has no cuts"):
        CauseNetwork([Node("worth", Value("order", "revenue"))], ["worth -> churn"]).fit(spells)
    quiet = pa.table({"time": [5.0, 7.0, 9.0], "event": [0, 0, 0], "plan": ["a", "b", "a"]})
    never = SpellTable.from_durations(
        quiet, duration="time", event="event", unit="day", labels=["plan"], causes=("price", "service")
    )
    with pytest.raises(NoEventsError, match="not one price or service"):
        CauseNetwork([Node("plan", Baseline("plan"))], ["plan -> churn"]).fit(never)
    with pytest.raises(UnknownStateError):
        network().fit(spells, breaks=BREAKS, n_draws=5).query("rating", {"late": "soon"})


def test_from_a_landmark_on_it_is_a_counterfactual(spells):
    from churnsurv.tables.periods import PeriodTable

    drawing = CauseNetwork(nodes()[:1], ["country -> churn"])
    table = PeriodTable.from_landmarks(
        spells, horizon=30, breaks=[0, 15, 30], features=[n.feature for n in drawing.nodes]
    )
    fit = drawing.fit(table, n_draws=50)
    assert fit.do({"country": "near"}).churn(30).label == "counterfactual"
    effect = fit.effect("country", "near", "far", horizon=30)
    assert effect.label == "counterfactual"
    assert "Counterfactual, among those who lasted until the landmark" in effect.sentence()
