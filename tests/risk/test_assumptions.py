"""Other definitions, clocks and hazards of the unwatched: two roads to the rows, and what cannot move does not."""

import math

import numpy as np
import pytest

from churnsurv.errors import ArgumentError, DefinitionError, WindowError
from churnsurv.hazards.nonparametric import kaplan_meier
from churnsurv.models.cox import CoxModel
from churnsurv.models.kaplan_meier import KaplanMeierModel
from churnsurv.risk.assumptions import assumption_sensitivity
from churnsurv.risk.backtest import backtest
from churnsurv.risk.leaderboard import leaderboard
from churnsurv.risk.predict import churn_risk
from churnsurv.risk.recipes import Recipe
from churnsurv.tables.churn import Silence
from churnsurv.tables.contracts import Cancellation
from churnsurv.tables.spells import SpellTable
from tests.risk.test_backtest import CHURN, FEATURES, MODELS, WINDOW, shop_rows

pytestmark = pytest.mark.filterwarnings("ignore::churnsurv.errors.ApproximationWarning")
COMPARED = {"Cox": MODELS["Cox"], "logistic": MODELS["logistic"], "curve": KaplanMeierModel()}
CUTOFFS = ("2024-07-01",)


@pytest.fixture(scope="module")
def log(make_log):
    return make_log(shop_rows())


@pytest.fixture(scope="module")
def found(log):
    return assumption_sensitivity(
        log, WINDOW, CHURN, COMPARED, days=[45, 75], deltas=[0.5, 2.0], cutoffs=CUTOFFS, features=FEATURES, n_draws=100
    )


def row(found, value):
    (one,) = (one for one in found.rows if one.value == value)
    return one


def test_every_assumption_has_a_row(found):
    assert [(one.assumption, one.value) for one in found.rows] == [
        ("none", "silent 60 days"),
        ("definition", "silent 45 days"),
        ("definition", "silent 75 days"),
        ("clock", "from landmarks"),
        ("censoring", "hazard × 0.5"),
        ("censoring", "hazard × 2"),
    ]
    assert len(found.frame()) == 6
    assert "silent 45 days" in repr(found)


def test_the_first_row_is_the_risk_table_and_the_leaderboard(log, found):
    base = found.rows[0]
    spells = SpellTable.from_events(log, WINDOW, CHURN)
    fit = Recipe(MODELS["Cox"], FEATURES).fit(spells, horizon=60.0)
    total = churn_risk(fit, spells, 60, n_draws=100).totals().iloc[0]
    assert (base.expected, base.lower, base.upper) == tuple(total[["expected", "lower", "upper"]])
    assert base.n_active + base.n_churned == spells.n_open
    board = leaderboard(backtest(log, WINDOW, CHURN, COMPARED, CUTOFFS, 60, features=FEATURES, n_draws=100)).table
    assert base.best == board["model"].iloc[0]
    assert base.skill == pytest.approx(board.set_index("model").loc["Cox", "brier_skill"])
    assert (base.rank_correlation, base.top_overlap, base.order_correlation) == pytest.approx((1, 1, 1))
    arrays = spells.arrays()
    curve = kaplan_meier(arrays["exit"], np.asarray(arrays["event"]) > 0)
    assert base.survival == pytest.approx(float(curve.survival_at([60.0])[0]))


def test_another_definition_is_asked_anew(log, found):
    other = row(found, "silent 45 days")
    spells = SpellTable.from_events(log, WINDOW, Silence(("order",), 45))
    fit = Recipe(MODELS["Cox"], FEATURES).fit(spells, horizon=45.0)
    assert other.expected == pytest.approx(churn_risk(fit, spells, 45, n_draws=100).totals()["expected"].iloc[0])
    assert other.horizon == 45
    assert other.n_churned > found.rows[0].n_churned
    assert 0.3 < other.rank_correlation < 1


def test_a_hazard_ratio_moves_totals_and_no_order(found):
    """Returns twice as fast: fewer churners; who is likelier than whom does not change at one horizon."""
    half, base, double = row(found, "hazard × 0.5"), found.rows[0], row(found, "hazard × 2")
    assert half.expected > base.expected > double.expected
    assert half.survival > base.survival > double.survival
    for one in (half, double):
        assert one.rank_correlation == pytest.approx(1, abs=0.01)
        assert one.observed_expected != base.observed_expected
    assert max(half.skill, double.skill) < base.skill  # the shop does not change: what was learnt is right


def test_models_that_know_no_landmarks_are_told(log):
    from churnsurv.models.hierarchical.model import HierarchicalModel

    models = {"frailty": HierarchicalModel(frailty="gamma"), "Cox": MODELS["Cox"]}
    recipes = {
        "frailty": Recipe(models["frailty"], settings={"method": "laplace", "draws": 300}),
        "Cox": Recipe(models["Cox"], FEATURES),
    }
    found = assumption_sensitivity(log, WINDOW, CHURN, recipes, deltas=(), cutoffs=CUTOFFS, n_draws=50)
    clock = row(found, "from landmarks")
    assert math.isnan(clock.expected)
    assert any("has no answer" in note for note in found.notes)
    assert found.rows[0].expected > 0


def test_customers_are_counted_also_where_the_model_fails(log, found):
    models = {"broken": CoxModel("price"), "Cox": MODELS["Cox"]}
    other = assumption_sensitivity(
        log, WINDOW, CHURN, models, deltas=(), landmarks=False, cutoffs=CUTOFFS, features=FEATURES, n_draws=50
    )
    base, known = other.rows[0], found.rows[0]
    assert (base.n_active, base.n_churned) == (known.n_active, known.n_churned)
    assert math.isnan(base.expected)
    assert base.best in ("Cox", "Kaplan–Meier")


@pytest.mark.parametrize("settings", [{"cutoffs": ("2030-01-01",)}, {"cutoffs": 0}, {"days": [400]}])
def test_dates_that_cannot_be_are_refused_before_any_fit(log, settings, monkeypatch):
    monkeypatch.setattr(CoxModel, "fit", lambda *_, **__: pytest.fail("nothing is to be fitted"))
    with pytest.raises((ArgumentError, WindowError)):
        assumption_sensitivity(log, WINDOW, CHURN, {"Cox": CoxModel()}, **{"cutoffs": CUTOFFS, **settings})


def test_what_cannot_be_asked_is_refused(log):
    with pytest.raises(ArgumentError, match="own horizon"):
        assumption_sensitivity(log, WINDOW, CHURN, COMPARED, horizon=30)
    with pytest.raises(ArgumentError, match="no hazard ratio"):
        assumption_sensitivity(log, WINDOW, CHURN, COMPARED, deltas=[1.0])
    with pytest.raises(DefinitionError, match="silence were asked of contracts"):
        assumption_sensitivity(log, WINDOW, Cancellation(("order",), "first"), {"Cox": CoxModel()}, days=[30])
