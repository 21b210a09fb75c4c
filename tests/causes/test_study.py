"""The study of a drawing: what it tells, held against the truth, and what it leaves out with a reason."""

import numpy as np
import pyarrow as pa
import pytest

from churnsurv.analysis import causes as studies
from churnsurv.analysis.causes import CAUSE_STEPS, own_past, study_causes
from churnsurv.analysis.drawing import Drawing, Question
from churnsurv.causes import refutations
from churnsurv.causes.network import CauseNetwork
from churnsurv.causes.nodes import Node
from churnsurv.datasets import load_pysurvival_churn, simulate_shop
from churnsurv.errors import ArgumentError, DataTypeError, EmptyDataError, HorizonError, NetworkSizeError
from churnsurv.tables.churn import Silence
from churnsurv.tables.features import Arrival, Baseline, Count, Recency, Rhythm, Value
from churnsurv.tables.spells import SpellTable
from tests.causes.known_shop import BREAKS, SHORT, known_shop, nodes, spells_of, true_churn


@pytest.fixture(scope="module")
def known():
    return known_shop(2000, rng=7)


def drawn(**settings):
    """The known shop without ratings, which lie between waits and churn: the effect of waits is the same."""
    edges = ["country -> late -> wait -> churn", "late -> churn", "country -> churn"]
    return CauseNetwork(nodes()[:3], settings.pop("edges", edges), **settings)


@pytest.fixture(scope="module")
def study(known):
    told = []
    drawing = Drawing(
        drawn(), (Question("wait", SHORT, by="country"), Question("late", "on time", "late")), {"wait": ("no ticket",)}
    )
    found = study_causes(
        spells_of(known), drawing, breaks=BREAKS, n_draws=200, progress=lambda step, done: told.append((step, done))
    )
    return found, told


def test_what_a_cause_is_worth_includes_the_truth(study, known):
    """Waits under four hours for whoever has a ticket: the simulator knows how many more would have returned."""
    effect = study[0].worth["wait"]
    assert effect.settings == (SHORT, None)
    truth = 1000 * (true_churn(known, 60.0).mean() - true_churn(known, 60.0, SHORT).mean())
    low, high = np.quantile(effect.draws("avoided_per_thousand")[:, 0], [0.05, 0.95])
    assert low < truth < high
    assert high - low < truth, "an interval that says something"
    assert effect.label == "identified"


def test_causes_are_told_the_largest_first_and_kept_states_stay(study):
    kept = [effect.draws("avoided_per_thousand")[:, 0].mean() for effect in study[0].worth.values()]
    assert kept == sorted(kept, reverse=True)
    assert set(study[0].worth) == {"country", "late", "wait"}
    assert study[0].worth["country"].settings[0] == {"far": "near"}
    assert "no ticket" not in study[0].worth["wait"].settings[0]


def test_questions_are_answered_as_the_fit_answers_them(study):
    found = study[0]
    assert [effect.cause for effect in found.answers] == ["wait", "late"]
    direct = found.fit.effect("wait", SHORT, horizon=60.0, by="country")
    np.testing.assert_array_equal(found.answers[0].draws(), direct.draws())
    assert found.answers[0].segments == ("all", "far", "near")
    np.testing.assert_allclose(found.answers[0].draws()[:, 0], found.worth["wait"].draws()[:, 0], rtol=1e-12)
    assert found.answers[1].draws()[:, 0].mean() < 0
    assert found.horizon == 60.0


def test_the_largest_effect_is_attacked_and_holds(study):
    found = study[0]
    assert found.attacked == next(iter(found.worth)) == "country"
    assert [one.kind for one in found.attacks.attempts] == [
        "placebo cause",
        "random common cause",
        "half of the customers",
    ]
    ratio = found.worth["country"].draws("risk_ratio")[:, 0].mean()
    assert ratio < 1
    assert found.robust is not None
    assert found.attacks.attempts[0].passed
    assert found.claims.sentence() == "None of 1 independences that the drawing implies is contradicted by the data."
    assert set(found.proposal.drawn) == set(found.fit.network.dag.edges)
    assert found.proposal.gain >= 0


def test_everybody_at_risk_is_explained_and_the_churned_are_diagnosed(study, known):
    found = study[0]
    frame = found.explanation.frame()
    assert set(frame["cause"]) <= {"country", "late", "wait"}
    assert frame["churn_probability"].between(0, 1).all()
    assert len(found.explanation.customers) > 100
    shares = found.diagnosis.frame()
    assert set(shares["cause"]) == {"country", "late", "wait"}
    np.testing.assert_allclose(shares.groupby("cause")["among_churned"].sum(), 1.0, atol=1e-9)
    assert found.notes == ()


def test_steps_are_told_in_order(study):
    steps = [step for step, _ in study[1]]
    assert tuple(dict.fromkeys(steps)) == CAUSE_STEPS
    assert steps == sorted(steps, key=CAUSE_STEPS.index)
    assert all(0 <= done <= 1 for _, done in study[1])


@pytest.fixture
def hasty(monkeypatch):
    """Two attacks in place of five, and small ones."""
    monkeypatch.setattr(studies, "_REPEATS", 2)
    monkeypatch.setattr(refutations, "_DRAWS", 40)


@pytest.fixture(scope="module")
def shop():
    return simulate_shop(400, rng=3, start="2023-01-01", end="2024-01-01")


@pytest.fixture(scope="module")
def gaps(shop):
    return SpellTable.from_events(shop.log, shop.window, Silence(kinds=("order",), days=90))


COARSE = (0.0, 30.0, 90.0)
HABIT = Node("habit", Count("order", days=90), cuts=[1])
COUNTRY = Node("country", Value("order", "country"))


def test_what_customers_did_before_is_cautioned_until_loyalty_is_drawn(gaps, hasty):
    edges = ["country -> habit -> churn", "country -> churn"]
    bare = CauseNetwork([COUNTRY, HABIT], edges).fit(gaps, breaks=COARSE, n_draws=20)
    (caution,) = own_past(bare)
    assert caution.startswith("habit counts what customers did before")
    assert '"loyalty -> habit" and "loyalty -> churn"' in caution
    assert bare.effect("habit", "2 or more").label == "identified"

    hidden = CauseNetwork([COUNTRY, HABIT], [*edges, "loyalty -> habit", "loyalty -> churn"], latent=["loyalty"])
    found = study_causes(gaps, Drawing(hidden), breaks=COARSE, n_draws=20)
    assert found.worth["habit"].label == "not identified"
    assert list(found.worth)[-1] == "habit"
    assert found.explanation is None
    assert found.notes == ("Customers are not explained one by one: what loyalty is for each of them cannot be told.",)
    assert found.attacked == "country"


def test_several_habits_are_cautioned_together_and_those_that_lead_nowhere_are_not(gaps):
    rhythm = Node("rhythm", Rhythm("order", days=90), cuts=[20])
    kept = Node("kept", Recency("review", days=90), cuts=[20])
    drawn_all = CauseNetwork([HABIT, rhythm, kept], ["habit -> churn", "rhythm -> churn", "kept -> churn"])
    (caution,) = own_past(drawn_all.fit(gaps, breaks=COARSE, n_draws=2))
    assert caution.startswith("habit and rhythm count what customers did before")
    nowhere = CauseNetwork([COUNTRY, HABIT], ["country -> churn", "country -> habit"])
    assert own_past(nowhere.fit(gaps, breaks=COARSE, n_draws=2)) == ()


def test_without_a_cause_nothing_is_worth_anything(gaps):
    found = study_causes(gaps, Drawing(CauseNetwork([COUNTRY, HABIT], [])), breaks=COARSE, n_draws=20)
    assert found.worth == {}
    assert (found.attacks, found.attacked, found.robust) == (None, "", None)


def test_a_drawing_of_what_becomes_known_later(gaps):
    """Nothing is known at the opening: nothing to diagnose, and the rest is told."""
    found = study_causes(
        gaps, Drawing(CauseNetwork([Node("parcel", Arrival("delivery"))], ["parcel -> churn"])), n_draws=40
    )
    assert found.diagnosis is None
    assert found.attacks is None
    assert found.horizon == 90


def test_twelve_nodes_are_studied_without_looking_for_another_drawing(gaps, hasty):
    many = [Node(f"c{k}", Count("order", days=30.0 + 15 * k), cuts=[1]) for k in range(12)]
    found = study_causes(
        gaps, Drawing(CauseNetwork(many, ["c0 -> c1 -> churn"])), horizon=60, breaks=COARSE, n_draws=20
    )
    assert found.proposal is None
    assert found.attacks is not None
    assert any(note.startswith("No other drawing was looked for: ") for note in found.notes)
    assert set(found.worth) == {"c0", "c1"}


def test_an_attack_that_the_data_cannot_carry_is_told(gaps, hasty):
    """Only whoever was there for 195 days: half of these customers are too few for 90 days, all of them just enough."""
    many = [Node(f"c{k}", Count("order", days=30.0 + 15 * k), cuts=[1]) for k in range(12)]
    found = study_causes(gaps, Drawing(CauseNetwork(many, ["c0 -> c1 -> churn"])), breaks=COARSE, n_draws=20)
    assert found.attacks is None
    (told,) = (note for note in found.notes if "was not attacked" in note)
    assert told.startswith(f"The effect of {found.attacked} was not attacked: a horizon of 90 days lies beyond")
    assert found.robust is not None


def test_states_that_nobody_is_in_are_no_improvement(gaps, hasty):
    often = Node("habit", Count("order", days=90), cuts=[1, 1000], labels=["one", "more", "too many"])
    found = study_causes(gaps, Drawing(CauseNetwork([often], ["habit -> churn"])), breaks=COARSE, n_draws=20)
    assert found.worth["habit"].settings[0] == {"one": "more"}
    never = Node("habit", Count("order", days=90), cuts=[1000])
    with pytest.raises(EmptyDataError, match="node 'habit' has a single state, 'up to 1,000'"):
        study_causes(gaps, Drawing(CauseNetwork([never], ["habit -> churn"])), breaks=COARSE, n_draws=20)


def test_more_states_than_can_be_read_are_refused():
    rows = [(f"c{k}", f"plan {k % 60:02}", k % 7 + 1, k % 2) for k in range(600)]
    table = pa.table(dict(zip(("who", "plan", "days", "left"), map(list, zip(*rows, strict=True)), strict=True)))
    spells = SpellTable.from_durations(
        table, duration="days", unit="day", event="left", customer="who", labels=("plan",)
    )
    with pytest.raises(NetworkSizeError) as caught:
        study_causes(spells, Drawing(CauseNetwork([Node("plan", Baseline("plan"))], ["plan -> churn"])), horizon=5)
    assert "node 'plan' has 60 states, such as 'plan 00' and 'plan 01'; the limit is 50." in str(caught.value)
    assert 'levels = { near = ["plan 00"] }' in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"n_draws": 0}, ArgumentError, "`n_draws`=0 is below 1"),
        ({"n_draws": 1.5}, DataTypeError, "is not a whole number"),
        ({"seed": -1}, ArgumentError, "seed=-1 is negative"),
        ({"horizon": 9999}, HorizonError, "9999 days lies beyond"),
        ({"horizon": 0}, HorizonError, "not positive"),
    ],
)
def test_a_study_that_cannot_be_is_refused(gaps, settings, error, message):
    with pytest.raises(error, match=message):
        study_causes(gaps, Drawing(CauseNetwork([COUNTRY], ["country -> churn"])), **{"n_draws": 20} | settings)


def test_durations_are_studied(hasty):
    """Columns that came with the durations; who pays for accounting stays longer in the shares themselves."""
    spells = load_pysurvival_churn()
    drawing = Drawing(
        CauseNetwork(
            [
                Node("size", Baseline("company_size")),
                Node("accounting", Baseline("product_accounting")),
                Node("csat", Baseline("csat_score"), cuts=[5, 7]),
            ],
            ["size -> accounting -> churn", "size -> csat -> churn", "size -> churn"],
        ),
        (Question("accounting", "Active", "No"),),
    )
    with pytest.raises(HorizonError, match="no horizon is given"):
        study_causes(spells, drawing, breaks=COARSE, n_draws=20)
    found = study_causes(spells, drawing, horizon=91.3125, n_draws=60)
    frame = spells.frame()
    gone = frame["event"].gt(0) & frame["exit"].lt(92)
    crude = gone.groupby(frame["product_accounting"]).mean()
    effect = found.answers[0]
    assert effect.draws().mean() == pytest.approx(crude["Active"] - crude["No"], abs=0.05)
    assert effect.identification.adjustment_set == ("size",)
    assert found.fit.outcome.format(91) == "churned within 91 days of the spell's opening"
    assert len(found.explanation.customers) == int((frame["event"] == 0).sum())
    assert found.notes == ()
