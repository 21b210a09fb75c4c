"""The whole way, from Python: its settings, and what becomes of warnings."""

import warnings

import pytest

from churnsurv.analysis import Analysis, analyse, default_horizons, noting, steps
from churnsurv.errors import ApproximationWarning, ArgumentError, DataWarning, DefinitionError, HorizonError
from churnsurv.models.cox import CoxModel
from churnsurv.models.weibull import WeibullModel
from churnsurv.tables.churn import Silence
from churnsurv.tables.contracts import Cancellation, Inactivity
from churnsurv.tables.spells import SpellTable
from churnsurv.tables.window import ObservationWindow

WINDOW = ObservationWindow("2024-01-01", "2025-01-01")


def analysis(kinds=("order",), days=90, **settings):
    return Analysis(window=WINDOW, churn=Silence(kinds=kinds, days=days), **settings)


@pytest.mark.parametrize(
    ("days", "horizons"), [(90, (30.0, 60.0, 90.0)), (1, (1.0,)), (14, (5.0, 9.0, 14.0)), (45.5, (15.0, 30.0, 45.5))]
)
def test_default_horizons(days, horizons):
    assert default_horizons(days) == horizons
    assert analysis(days=days).horizons == horizons


def test_horizons_are_sorted_and_single():
    assert analysis(horizons=(60, 30, 60)).horizons == (30.0, 60.0)


def test_the_look_back_is_the_silence_unless_given():
    assert analysis().days_back == 90
    assert analysis(look_back=180).days_back == 180


@pytest.mark.parametrize("settings", [{"look_back": 0}, {"look_back": float("nan")}, {"draws": 0}])
def test_impossible_settings_are_refused(settings):
    with pytest.raises(ArgumentError):
        analysis(**settings)


def test_a_horizon_beyond_the_silence_is_refused():
    with pytest.raises(HorizonError):
        analysis(horizons=(91,))


def test_features_of_a_shop():
    """Every customer's own rhythm comes from her whole past; habits are counted where that is asked, or cannot be had."""
    columns = {"values": ("Revenue £",), "groups": ("Country",)}
    names = [[feature.name for feature in analysis(**columns, **one).features()] for one in _KINDS_OF_SHOP]
    counted = ["count_order_90d", "rhythm_order_90d", "revenue", "country"]
    assert names == [["revenue", "country"], counted, counted]


_KINDS_OF_SHOP = ({}, {"look_back": 90}, {"model": "cox"})


def test_with_several_kinds_values_are_read_within_the_look_back():
    features = {
        feature.name: feature
        for feature in analysis(kinds=("order", "login"), groups=("Country",), look_back=90).features()
    }
    assert set(features) == {"count_order_90d", "rhythm_order_90d", "count_login_90d", "rhythm_login_90d", "country"}
    assert (features["country"].kind, features["country"].lookback) == ("order", 90)


def test_groups_are_random_effects_and_the_rest_a_formula():
    model = analysis(values=("Revenue",), groups=("Country", "City")).specification()
    assert model.formula == "revenue"
    assert model.groups == ("country", "city")


def contract(**settings):
    return Analysis(window=WINDOW, churn=Cancellation(("cancelled", "unpaid"), "kind:signup"), **settings)


def test_a_contract_is_known_by_what_opened_it():
    asked = contract(values=("Price",), groups=("Plan", "Status"))
    assert [(f.kind, f.name, f.lookback) for f in asked.features()] == [
        ("signup", "price", None),
        ("signup", "plan", None),
        ("signup", "status_", None),  # the risk table has a column of that name
    ]
    assert asked.horizons == (30.0, 60.0, 90.0)
    assert not asked.moving


def test_habits_of_a_contract_move():
    asked = contract(activity=("login", "ticket"), groups=("Plan",))
    names = [feature.name for feature in asked.features()]
    assert names == ["count_login_90d", "recency_login_90d", "count_ticket_90d", "recency_ticket_90d", "plan"]
    assert asked.moving


def test_without_an_opening_event_columns_are_read_from_the_activity():
    churn = Cancellation(("cancelled",), "first")
    asked = Analysis(window=WINDOW, churn=churn, groups=("Plan",), activity=("login",), look_back=30)
    assert [(f.kind, f.lookback) for f in asked.features()] == [("login", 30)] * 3
    with pytest.raises(ArgumentError, match="no event opens a contract here"):
        Analysis(window=WINDOW, churn=churn, groups=("Plan",))


@pytest.mark.parametrize(("name", "model"), [("cox", CoxModel), ("weibull", WeibullModel)])
def test_models_of_rows_take_numbers_by_their_quarters(name, model):
    found = contract(values=("Price",), groups=("Plan",), model=name).specification()
    assert isinstance(found, model)
    assert found.formula == "price + plan"
    assert set(found.bins) == {"price"}
    assert found.on_bad == "drop"


def test_steps_follow_definition_and_model():
    assert steps(analysis()) == ("gaps", "features", "cells", "sampling", "risk", "check")
    assert steps(contract(model="cox")) == ("contracts", "features", "rows", "fitting", "risk", "check")
    assert steps(contract(model="cox", cause="unpaid")) == ("contracts", "features", "rows", "fitting", "risk")
    assert steps(Analysis(model="weibull")) == ("features", "rows", "fitting", "risk")


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"cause": "moved"}, ArgumentError),
        ({"activity": ("cancelled",)}, ArgumentError),
        ({"activity": ("signup",)}, ArgumentError),
        ({"values": "price"}, ArgumentError),
        ({"values": ("price",), "groups": ("price",)}, ArgumentError),
        ({"model": "forest"}, ArgumentError),
        ({"activity": ("login",), "horizons": (400,)}, ArgumentError),
        ({"horizons": (-1,)}, HorizonError),
        ({"churn": Inactivity(90, ("order",), "first")}, DefinitionError),
        ({"churn": Silence(("order",), 90), "cause": "return"}, ArgumentError),
        ({"churn": Silence(("order",), 90), "activity": ("login",)}, ArgumentError),
        ({"churn": None}, DefinitionError),
        ({"window": None}, DefinitionError),
        ({"churn": None, "window": None, "activity": ("login",)}, ArgumentError),
    ],
    ids=str,
)
def test_settings_that_contradict_each_other_are_refused(settings, error):
    given = {"window": WINDOW, "churn": Cancellation(("cancelled", "unpaid"), "kind:signup")} | settings
    with pytest.raises(error):
        Analysis(**given)


@pytest.fixture(scope="module")
def separated():
    """Durations of two plans; nobody on the third one left."""
    rows = {
        "days": [float(10 + 7 * k % 90) for k in range(60)] + [50.0, 60.0],
        "left": [int(k % 3 > 0) for k in range(60)] + [0, 0],
        "plan": ["a" if k % 2 else "b" for k in range(60)] + ["c", "c"],
    }
    import pandas as pd

    return SpellTable.from_durations(pd.DataFrame(rows), duration="days", event="left", unit="day", labels=("plan",))


@pytest.mark.parametrize("model", ["cox", "weibull"])
def test_effects_without_a_finite_estimate_are_drawn_towards_zero_and_said(separated, model):
    result = analyse(separated, Analysis(model=model, groups=("plan",), draws=20))
    assert result.fit.model.penalizer > 0
    assert "no finite estimate" in result.notes[0]
    assert "plan[c]" in result.notes[0]
    chance = result.risk.frame().groupby("plan")["churn_probability"].max()
    assert 0 < chance["c"] < chance["a"]


def test_durations_go_with_an_analysis_of_durations(separated):
    with pytest.raises(DefinitionError):
        analyse(separated, analysis())
    with pytest.raises(ArgumentError, match="there is no cause 'moved'"):
        analyse(separated, Analysis(cause="moved"))
    result = analyse(separated, Analysis(churn=separated.churn, model="weibull", draws=20))
    assert result.check is None
    assert "no dates" in result.check_note
    assert result.cells is None
    assert result.is_new


def test_warnings_about_the_data_become_notes_once():
    with noting() as notes:
        for _ in range(2):
            warnings.warn("odd rows", DataWarning, stacklevel=1)
        warnings.warn("too narrow", ApproximationWarning, stacklevel=1)
    assert notes == ["odd rows"]


def test_warnings_of_others_pass_through():
    def inside():
        with noting():
            warnings.warn("from elsewhere", UserWarning, stacklevel=1)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        inside()
    assert [str(one.message) for one in caught] == ["from elsewhere"]
