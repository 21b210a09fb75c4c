"""What a Weibull model refuses, and what it says before it answers."""

from dataclasses import replace

import numpy as np
import pytest

from churnsurv.errors import (
    ArgumentError,
    BreaksError,
    CellMismatchError,
    ConvergenceWarning,
    DataWarning,
    EmptyDataError,
    FormulaError,
    MissingValueError,
    ModelSupportError,
    NoEventsError,
    SeparationError,
)
from churnsurv.models import weibull_maximum
from churnsurv.models.base import SUPPORT
from churnsurv.models.cox import CoxModel
from churnsurv.models.hierarchical.model import HierarchicalModel
from churnsurv.models.kaplan_meier import KaplanMeierModel
from churnsurv.models.weibull import WeibullModel
from tests.models.rows import episodes, open_rows
from tests.models.weibull_data import rows_of, simulated


def test_settings_are_checked():
    for settings in ({"penalizer": -1}, {"penalizer": True}, {"penalizer": np.nan}, {"rounded": 0}, {"rounded": "30"},
                     {"robust": "yes"}, {"on_bad": "clip"}):  # fmt: skip
        with pytest.raises(ArgumentError):
            WeibullModel("", **settings)
    with pytest.raises(BreaksError):
        WeibullModel("", bins={"a": [3, 2]})
    assert WeibullModel(bins={"a": [0, 1]}).bins == {"a": (0.0, 1.0)}


@pytest.mark.parametrize("model", [WeibullModel(), CoxModel(), HierarchicalModel(), KaplanMeierModel()])
def test_the_table_of_abilities_is_that_of_the_models(model):
    assert SUPPORT[type(model).__name__] == (model.fits_on, model.supports)


def test_several_causes_are_refused_with_the_call():
    table = episodes([1.0, 2, 3], [1, 2, 0])
    with pytest.raises(ModelSupportError, match=r'needed: causes[\s\S]*episodes\.with_cause\("return"\)'):
        WeibullModel().fit(table)
    with pytest.raises(ModelSupportError, match=r"fits on episodes, and was given object[\s\S]*PeriodTable"):
        WeibullModel().fit(object())


def test_rows_that_last_no_time_are_refused_with_an_offer():
    with pytest.raises(ArgumentError) as caught:
        WeibullModel().fit(episodes([5.0, 0, 0, 4], [1, 1, 0, 1]))
    text = str(caught.value)
    assert "2 of 4 rows last no time." in text
    assert "customer_id=c1, start=0.0, stop=0.0" in text
    assert "customer_id=c2" in text
    assert "add half a day" in text
    with pytest.raises(ArgumentError, match="1 of 3 rows last no time"):
        WeibullModel().fit(episodes([5.0, 3, 4], [1, 1, 0], start=[0, 3, 0]))


def test_wrong_times_and_weights_are_refused():
    with pytest.raises(ArgumentError, match="1 of 3 rows have no time, or one below 0"):
        WeibullModel().fit(episodes([5.0, 3, 4], [1, 1, 0], start=[0, -1, 0]))
    with pytest.raises(ArgumentError, match="1 of 3 rows do not end after they start"):
        WeibullModel().fit(episodes([5.0, 3, 4], [1, 1, 0], start=[0, 9, 0]))
    with pytest.raises(ArgumentError, match="weight that is not positive"):
        WeibullModel().fit(episodes([5.0, 3, 4], [1, 1, 0], weight=[1, 0, 1]))
    with pytest.raises(EmptyDataError):
        WeibullModel().fit(episodes([5.0], [1]).take(np.zeros(0, np.int64)))


def test_without_an_event_there_is_nothing_to_learn():
    with pytest.raises(NoEventsError, match="not one of 3 rows ends with the event"):
        WeibullModel().fit(episodes([5.0, 3, 4], [0, 0, 0]))


def test_fewer_events_than_terms_are_refused_unless_penalised():
    data = simulated(80, seed=1)
    table = rows_of(data | {"event": np.where(np.arange(80) == np.flatnonzero(data["event"])[3], 1, 0)})
    with pytest.raises(NoEventsError, match="1 events cannot tell 2 terms apart"):
        WeibullModel("a + plan").fit(table)
    with pytest.warns(DataWarning, match="there is one event"):
        fit = WeibullModel("a + plan", penalizer=0.5).fit(table)
    assert fit.info.messages == ("there is one event.",)


def test_few_events_per_term_are_named_and_unreliable():
    data = simulated(40, seed=1)
    event = np.where(np.cumsum(data["event"]) <= 9, data["event"], 0)
    with pytest.warns(DataWarning, match="9 events for 2 terms: 4.5 per term"):
        fit = WeibullModel("a + plan").fit(rows_of(data | {"event": event}))
    assert fit.info.status == "unreliable"
    assert np.isfinite(fit.summary()["upper"]).all()
    assert WeibullModel("a + plan", penalizer=0.1).fit(rows_of(data | {"event": event})).info.reliable


def test_a_level_without_an_event_has_no_estimate():
    data = simulated(300, seed=2)
    event = np.where(data["plan"] == "annual", 0, data["event"])
    with pytest.raises(SeparationError) as caught:
        WeibullModel("a + plan").fit(rows_of(data | {"event": event}))
    assert caught.value.rows[0]["term"].startswith("plan[")
    assert "penalizer=0.01" in str(caught.value)
    fit = WeibullModel("a + plan", penalizer=0.01).fit(rows_of(data | {"event": event}))
    assert np.isfinite(fit.estimate.used).all()


def test_a_column_that_orders_the_events_has_no_estimate():
    """Every event has x = 1, one censored row of many too: the coefficient runs away with its reference level."""
    data = simulated(200, seed=3)
    x = data["event"].astype(float)
    with pytest.raises(SeparationError, match="x"):
        WeibullModel("x").fit(rows_of(data | {"x": x}, ("x",)))


def test_events_at_one_time_have_no_shape():
    with pytest.raises(SeparationError, match=r"log_shape[\s\S]*a jump"):
        WeibullModel().fit(episodes([5.0] * 10, [1] * 10))
    with pytest.raises(SeparationError, match="log_shape"):
        WeibullModel().fit(episodes([5.0], [1]))


def test_rare_levels_and_late_entries_are_no_separation():
    data = simulated(2000, seed=4)
    rare = np.where(np.arange(2000) < 6, "rare", "usual").astype(object)
    event = np.where(np.arange(2000) == 0, 1, data["event"])
    event[1:6] = 0
    fit = WeibullModel("x").fit(rows_of(data | {"x": rare, "event": event}, ("x",)))
    assert np.isfinite(fit.coef).all()
    late = data | {"entry": data["entry"] + 3000, "stop": data["stop"] + 3000}
    assert WeibullModel("a").fit(rows_of(late, ("a",))).info.reliable


def test_everybody_churned_is_fine():
    data = simulated(200, seed=5, last=1e9)
    assert data["event"].all()
    assert WeibullModel("a").fit(rows_of(data, ("a",))).info.reliable


def test_a_maximum_that_is_not_reached_is_unreliable(monkeypatch):
    monkeypatch.setattr(weibull_maximum, "_MOST_STEPS", 2)
    with pytest.warns(ConvergenceWarning, match="not reached in 2 Newton steps"):
        fit = WeibullModel("a + plan").fit(rows_of(simulated(100, seed=6)))
    assert fit.info.status == "unreliable"
    assert not fit.estimate.converged


def test_formula_faults_come_through():
    table = rows_of(simulated(50, seed=7))
    with pytest.raises(FormulaError):
        WeibullModel("a - 1").fit(table)
    with pytest.raises(FormulaError, match="no column of the rows: colour"):
        WeibullModel("a", shape="colour").fit(table)
    with pytest.raises(FormulaError, match="determined by the others"):
        WeibullModel("a + b").fit(rows_of(simulated(50, seed=7) | {"b": 2 * simulated(50, seed=7)["a"]}, ("a", "b")))


def test_unknown_numbers_are_refused_or_left_out_and_counted():
    data = simulated(200, seed=8)
    data["a"][:7] = np.nan
    table = rows_of(data)
    with pytest.raises(MissingValueError, match="a is not known on 7 of 200 rows"):
        WeibullModel("plan", shape="a").fit(table)
    with pytest.warns(DataWarning, match="left out 7 of 200 rows"):
        fit = WeibullModel("plan", shape="a", on_bad="drop").fit(table)
    assert fit.info.n_spells == 193
    assert fit.info.messages == ("left out 7 of 200 rows without a number that the formula needs.",)


def test_rows_of_other_cells_are_refused():
    fit = WeibullModel("a").fit(rows_of(simulated(50, seed=9)))
    other = open_rows(rows_of(simulated(60, seed=10)), 1.0)
    with pytest.raises(CellMismatchError):
        fit.conditional_survival(other, np.ones((60, 1)))


def test_hazard_ratios_are_refused_where_the_shape_differs():
    fit = WeibullModel("a", shape="plan").fit(rows_of(simulated(200, seed=9)))
    with pytest.raises(ModelSupportError, match=r"not proportional[\s\S]*time ratios"):
        fit.hazard_ratios()
    assert fit.summary()[["hazard_ratio", "hazard_ratio_lower", "hazard_ratio_upper"]].isna().all(axis=None)


def test_rows_of_one_spell_must_not_overlap():
    table = episodes([5.0, 6, 4], [0, 1, 1], start=[0, 3, 0], customer=["x", "x", "y"], spell=[0, 0, 0])
    with pytest.raises(ArgumentError, match="begin before the row ahead of them has ended"):
        WeibullModel().fit(table)
    twice = replace(table, start=np.array([0.0, 5, 0]), event=np.array([1, 1, 1]))
    with pytest.raises(ArgumentError, match="follow an event of their own spell"):
        WeibullModel().fit(twice)
