"""What is drawn and what is taken from the log: nodes, rows, and refusals."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from churnsurv.causes.network import CauseNetwork
from churnsurv.causes.nodes import Node
from churnsurv.causes.rows import CauseRows
from churnsurv.datasets import load_pysurvival_churn, load_telco
from churnsurv.errors import (
    ArgumentError,
    BreaksError,
    CellMismatchError,
    EmptyDataError,
    GraphError,
    ModelSupportError,
    NetworkSizeError,
    NoEventsError,
)
from churnsurv.tables.features import Arrival, Baseline, Count, Maximum, Recency, Value
from churnsurv.tables.periods import PeriodTable
from churnsurv.tables.schema import PatternColumn
from churnsurv.tables.spells import SpellTable
from tests.causes.known_shop import BREAKS, EDGES, network, nodes

WAIT = Maximum("ticket", "wait_hours", days=90)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"name": "churn"}, ArgumentError, "the name of the leaf"),
        ({"name": " "}, ArgumentError, "no name of a node"),
        ({"feature": "wait"}, ArgumentError, "no declared feature"),
        ({"cuts": [24, 4]}, BreaksError, "not increasing"),
        ({"cuts": [4, 4]}, BreaksError, "not increasing"),
        ({"cuts": [float("nan")]}, BreaksError, "not increasing"),
        ({"cuts": [4, 24], "labels": ["short", "long"]}, BreaksError, "2 cuts make 3 states"),
        ({"cuts": [4], "labels": ["same", "same"]}, BreaksError, "2 different labels"),
        ({"labels": ["a", "b"]}, BreaksError, "2 labels, and no cuts"),
        ({"cuts": [4], "levels": {"a": ["b"]}}, ArgumentError, "both are given"),
        ({"levels": {"a": ["x"], "b": ["x"]}}, ArgumentError, "stands for two states"),
    ],
)
def test_a_node_that_cannot_be_is_refused(settings, error, message):
    with pytest.raises(error, match=message):
        Node(**{"name": "wait", "feature": WAIT} | settings)


def test_states_follow_cuts_levels_or_the_alphabet():
    blank = "none yet"
    numbers = PatternColumn("wait", ("up to 4", "4–24", "over 24", blank), (-np.inf, 4, 24, np.inf), blank)
    assert Node("wait", WAIT, cuts=[4, 24], labels=["<4h", "4-24h", ">24h"], missing="no ticket").states_of(
        numbers
    ) == (
        ("<4h", "4-24h", ">24h", "no ticket"),
        (0, 1, 2, 3),
    )
    text = PatternColumn("country", ("Austria", "France", "Spain", blank), None, blank)
    feature = Value("order", "country")
    assert Node("country", feature).states_of(text) == (("Austria", "France", "Spain", blank), (0, 1, 2, 3))
    grouped = Node("country", feature, levels={"south": ["Spain", "France"]}, missing="south")
    assert grouped.states_of(text) == (("south", "other"), (1, 0, 0, 0))


def test_default_labels_say_the_cuts():
    assert Node("orders", Count("order", days=90), cuts=[1, 3]).labels == ("up to 1", "2–3", "4 or more")


@pytest.mark.parametrize(
    ("edges", "latent", "error", "message"),
    [
        (["late -> wait -> late"], (), GraphError, "late -> wait -> late"),
        (["churn -> late"], (), GraphError, "out of the leaf"),
        (["late -> mood -> churn"], (), GraphError, "mood"),
        (["late -> churn"], ["late"], GraphError, "is a node and latent"),
        (["delivery -> late", "late -> churn"], (), GraphError, "An effect before its cause"),
    ],
)
def test_a_drawing_that_cannot_be_is_refused(edges, latent, error, message):
    drawn = [*nodes(), Node("delivery", Arrival("delivery"))]
    with pytest.raises(error, match=message):
        CauseNetwork(drawn, edges, latent=latent)


def test_no_more_than_twelve_causes():
    many = [Node(f"cause {k}", Count("order", days=float(k + 1)), cuts=[1]) for k in range(13)]
    with pytest.raises(NetworkSizeError, match="13 nodes; the limit is 12"):
        CauseNetwork(many, ["cause 0 -> churn"])
    with pytest.raises(GraphError, match="two nodes are called"):
        CauseNetwork([many[0], many[0]], ["cause 0 -> churn"])
    with pytest.raises(ArgumentError, match="concentration"):
        CauseNetwork(many[:2], ["cause 0 -> churn"], concentration=0)


def test_a_latent_node_on_the_way_is_replaced_by_its_causes():
    drawn = CauseNetwork(nodes(), ["late -> mood -> churn", "wait -> trust -> mood"], latent=["mood", "trust"])
    assert drawn.parents("churn") == ("late", "wait")


def test_rows_are_the_spells_with_their_states(shop, spells):
    rows = CauseRows.from_spells(spells, nodes(), breaks=BREAKS)
    gaps = shop.gaps[shop.gaps["in_log"]].reset_index(drop=True)
    assert len(rows) == len(gaps) == int(rows.opens.sum())
    frame = rows.frame()
    np.testing.assert_array_equal(frame["wait"], gaps["previous_wait"].astype(str))
    np.testing.assert_array_equal(frame["rating"], gaps["previous_rating"].astype(str))
    np.testing.assert_array_equal(frame["late"].replace("first", "none yet"), gaps["previous_delivery"].astype(str))
    np.testing.assert_allclose(rows.stop, gaps["observed_duration"], atol=1e-9)
    np.testing.assert_array_equal(rows.event, gaps["observed_event"])
    assert rows.n_customers == gaps["customer_id"].nunique()


def test_rows_of_two_shops_add_up(spells):
    rows = CauseRows.from_spells(spells, nodes(), breaks=BREAKS)
    both = rows.take(rows.customer < 100) + rows.take(rows.customer >= 100)
    np.testing.assert_array_equal(both.codes, rows.codes)
    np.testing.assert_array_equal(both.customer, rows.customer)
    assert both.n_customers == rows.n_customers
    with pytest.raises(CellMismatchError, match="different breaks"):
        rows + CauseRows.from_spells(spells, nodes(), breaks=[0, 30, 60])
    with pytest.raises(CellMismatchError, match="different nodes"):
        rows + CauseRows.from_spells(spells, nodes()[:2], breaks=BREAKS)


def test_states_that_only_one_shop_knows_are_kept_apart(spells):
    some = CauseRows.from_spells(spells, [Node("wait", Value("order", "previous_wait"))], breaks=BREAKS)
    k = some.states[0].index("no ticket")
    without = some.take(some.codes[:, 0] != k)
    fewer = CauseRows(
        without.schema, without.nodes, (tuple(s for s in some.states[0] if s != "no ticket"),),
        (without.codes - (without.codes > k)).astype(np.int16), without.customer, without.opens, without.start,
        without.stop, without.event,
    )  # fmt: skip
    both = fewer + some
    assert both.states == some.states
    np.testing.assert_array_equal(both.codes[: len(fewer)], without.codes)


def test_a_spell_that_came_under_observation_late_does_not_count_for_the_states():
    """Everybody in Telco was there when the month began: nobody but newcomers was seen from the opening."""
    telco = load_telco()
    rows = CauseRows.from_spells(telco, [Node("contract", Baseline("Contract"))])
    assert 0 < rows.opens.sum() < 0.15 * len(rows)
    late = rows.take(rows.start > 0)
    assert not late.opens.any()


def test_nobody_seen_from_the_opening_is_refused():
    spells = SpellTable.from_durations(
        pa.table({"duration": [5.0, 7.0, 9.0], "event": [1, 0, 1], "entry": [1.0, 2.0, 3.0], "plan": ["a", "b", "a"]}),
        duration="duration", event="event", entry="entry", unit="day", labels=["plan"],
    )  # fmt: skip
    with pytest.raises(EmptyDataError, match="none of 3 spells was seen from its opening"):
        CauseRows.from_spells(spells, [Node("plan", Baseline("plan"))])


def test_tables_that_a_network_cannot_carry_are_refused(spells):
    with pytest.raises(ModelSupportError, match="g-formula"):
        network().fit(PeriodTable.from_spells(spells, features=[n.feature for n in nodes()], as_of="period"))
    with pytest.raises(ModelSupportError, match="calendar months"):
        network().fit(PeriodTable.from_spells(spells, features=[n.feature for n in nodes()], calendar="month"))
    with pytest.raises(ModelSupportError, match="4 of 4 nodes are no feature"):
        network().fit(PeriodTable.from_spells(spells))
    with pytest.raises(ArgumentError, match="the rows have the nodes"):
        network().fit(CauseRows.from_spells(spells, nodes()[:2]))


def test_a_node_of_one_state_is_refused(spells):
    with pytest.raises(EmptyDataError, match="a single state, 'all'"):
        CauseNetwork(
            [Node("country", Value("order", "country"), levels={"all": ["near", "far"]})], ["country -> churn"]
        ).fit(spells)


def test_an_unknown_event_is_refused(spells):
    with pytest.raises(ArgumentError, match="no event 'closure'"):
        network(cause="closure").fit(spells, breaks=BREAKS)


def test_no_event_is_refused():
    spells = SpellTable.from_durations(
        pa.table({"duration": [5.0, 7.0, 9.0], "event": [0, 0, 0], "plan": ["a", "b", "a"]}),
        duration="duration", event="event", unit="day", labels=["plan"],
    )  # fmt: skip
    with pytest.raises(NoEventsError):
        CauseNetwork([Node("plan", Baseline("plan"))], ["plan -> churn"]).fit(spells)


def test_landmarks_start_their_own_clock(shop, spells):
    drawn = CauseNetwork(
        [Node("quiet", Recency("order", days=120), cuts=[15, 40]), Node("country", Value("order", "country"))],
        ["country -> quiet -> churn", "country -> churn"],
    )
    table = PeriodTable.from_landmarks(
        spells, horizon=30, breaks=[0, 10, 20, 30], features=[n.feature for n in drawn.nodes]
    )
    fit = drawn.fit(table, n_draws=100)
    assert fit.rows.at_landmarks
    assert fit.rows.opens.all()
    assert fit.rows.start.max() == 0
    assert fit.rows.stop.max() <= 30 + 1e-9
    longer = fit.do({"quiet": fit.states["quiet"][2]}).churn(30).mean()
    assert longer > fit.do({"quiet": fit.states["quiet"][0]}).churn(30).mean()


def test_a_subscription_asks_about_the_cancellation():
    spells = load_pysurvival_churn()
    drawn = CauseNetwork(
        [
            Node("satisfaction", Baseline("csat_score"), cuts=[8]),
            Node("support", Baseline("minutes_customer_support"), cuts=[2]),
        ],
        ["support -> satisfaction -> churn", "support -> churn"],
    )
    fit = drawn.fit(spells, n_draws=200)
    answer = fit.do({}).churn(90)
    assert answer.quantity.startswith("P(churned within 90 days")
    assert 0 < answer.mean() < 1
    low, high = (fit.do({}).churn(t).mean() for t in (60, 120))
    assert low < answer.mean() < high


def test_the_repr_shows_the_arrows():
    assert repr(network()).startswith("CauseNetwork(country -> late, country -> churn, late -> wait")
    assert "latent: mood" in repr(network(edges=[*EDGES, "mood -> late", "mood -> churn"], latent=["mood"]))
