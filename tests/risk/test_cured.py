"""What a risk table says of customers who may have left for good, and of draws that no sampler made."""

import numpy as np
import pytest

from churnsurv.models.hierarchical.model import HierarchicalModel
from churnsurv.risk.checks import as_of_check
from churnsurv.risk.predict import churn_risk
from churnsurv.tables.cells import CellTable
from churnsurv.tables.periods import PeriodTable
from tests.models.saved_data import BREAKS, shop_spells


@pytest.fixture(scope="module")
def spells():
    return shop_spells(150)


@pytest.fixture(scope="module")
def fit(spells):
    cells = CellTable.from_periods(PeriodTable.from_spells(spells, breaks=[*BREAKS, 190]), customers=True)
    return HierarchicalModel(frailty="gamma", cure=True).fit(cells, method="laplace", draws=400, rng=1)


@pytest.mark.filterwarnings("ignore::churnsurv.errors.ConvergenceWarning")
def test_who_has_left_for_good_is_told_with_bounds(fit, spells):
    frame = churn_risk(fit, spells, [30], allow_unreliable=True).frame()
    assert set(frame["p_gone_status"]) == {"supported", "extrapolated"}
    gone = frame["p_gone"].to_numpy(float)
    assert np.all((gone >= 0) & (gone <= 1))
    assert (frame["p_gone_lower"] <= frame["p_gone"]).all()
    assert (frame["p_gone"] <= frame["p_gone_upper"]).all()
    # Nobody comes back from there: the chance of no return is never below it.
    told = frame["no_return_probability"].notna()
    assert (frame.loc[told, "no_return_probability"] >= frame.loc[told, "p_gone"] - 1e-12).all()
    # Of two customers alike but for their silence, the longer silent one is likelier gone.
    late = frame["silence"] > np.quantile(frame["silence"], 0.75)
    assert gone[late].mean() > gone[~late].mean()


def test_p_gone_is_the_fit_s_own_answer_and_absent_without_cure(fit, spells):
    from churnsurv.tables.open_spells import OpenSpells

    risk = churn_risk(fit, spells, [30], n_draws=50, allow_unreliable=True)
    (batch,) = OpenSpells.batches(spells, fit.schema, history=True)
    own = fit.probability_gone(batch, draws=risk.draw_index).mean(axis=0)
    np.testing.assert_allclose(risk.frame()["p_gone"], own, rtol=1e-12)
    cells = CellTable.from_periods(PeriodTable.from_spells(spells, breaks=BREAKS), customers=True)
    plain = HierarchicalModel(frailty="gamma").fit(cells, method="laplace", draws=300, rng=1)
    assert "p_gone" not in churn_risk(plain, spells, [30], allow_unreliable=True).frame()


def test_an_approximation_says_so_beside_every_number(fit, spells):
    caveats = churn_risk(fit, spells, [30], allow_unreliable=True).frame().attrs["caveats"]
    assert any("approximate" in line and f"{fit.info.pareto_k:.2f}" in line for line in caveats)


def test_a_check_passes_settings_on_to_the_fit(spells):
    model = HierarchicalModel(frailty="gamma")
    check = as_of_check(spells, model, breaks=BREAKS, settings={"method": "laplace", "draws": 300})
    assert check.n_customers > 0


def test_the_report_does_not_claim_a_sampler_where_there_was_none(spells):
    from churnsurv.report.health import health_data
    from churnsurv.report.made import made_data

    cells = CellTable.from_periods(PeriodTable.from_spells(spells, breaks=BREAKS), customers=True)
    fit = HierarchicalModel(frailty="gamma").fit(cells, method="laplace", draws=250, rng=1)
    risk = churn_risk(fit, spells, [30], allow_unreliable=True)
    (part,) = health_data(risk)["parts"]
    assert "sampler has confirmed" in part["verdict"]
    assert "approximation" in part["verdict"]
    assert "independent runs" not in part["verdict"]
    assert [row["measure"] for row in part["rows"]][:1] == ["Pareto-k̂ of its weights"]
    made = {entry["name"]: entry["text"] for entry in made_data(risk)["entries"]}
    assert made["Of each customer's own"] == "a rhythm (gamma frailty)"
    assert made["Baseline"] == "piecewise"
