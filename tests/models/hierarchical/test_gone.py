"""Who has left for good: the limit of no return, new groups integrated out, and nothing told where nothing is known."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import expit

from churnsurv.hazards.cure import probability_gone
from churnsurv.models.hierarchical.density import Natural
from churnsurv.models.hierarchical.model import HierarchicalModel
from churnsurv.risk.columns import RiskColumns
from churnsurv.tables.past import History
from churnsurv.tables.schema import UNSEEN
from tests.models.hierarchical.compositions import COUNTRY, PLAN, gaps
from tests.models.hierarchical.known_fits import fit_at
from tests.models.hierarchical.stretches import cells_of, schema_of

SLOW, LOGIT, SD, FRAILTY = 0.03, -1.4, 0.9, 0.8
N_PERIODS = 3


@pytest.fixture(scope="module")
def table():
    """Periods of which the last has a hazard that nobody survives."""
    return cells_of(gaps(), schema_of({"plan": PLAN, "country": COUNTRY}, (0.0, 60.0, 180.0, 200.0)))


def fit_of(table, model, *, frailty=True):
    """Hazard 0.03 a day for half a year; an effect of 0.7 of each country but the first, spread 0.9."""
    problem = model.bind(table)
    fixed = np.zeros(problem.structure.layout.n_fixed)
    layout = problem.structure.layout
    natural = {"walk_sd": 1.0, "country_effect_sd": SD, "frailty_sd": FRAILTY}
    order = [f"{piece.name}_sd" for piece in problem.structure.pieces] + ["frailty_sd"] * frailty
    fixed[0], fixed[-1] = np.log(SLOW), LOGIT
    sd = np.array([natural[name] for name in order])
    fit = fit_at(model, table, Natural(fixed[None], np.zeros((1, layout.n_random)), sd[None], np.zeros((1, 0))))
    draws = fit.posterior["posterior"].to_dataset()
    draws["log_baseline"][:] = np.log(SLOW)
    draws["log_baseline"][..., -1] = np.log(SLOW * 1e9)
    draws["country_effect"][:] = np.array([0.0, 0.7, 0.7])
    posterior = fit.posterior.copy()
    posterior["posterior"] = draws
    return replace(fit, posterior=posterior)


MODELS = {
    "frailty": HierarchicalModel("plan", groups=("country",), frailty="gamma", cure=True),
    "none": HierarchicalModel("plan", groups=("country",), cure=True),
}


@pytest.fixture(scope="module", params=MODELS)
def fit(request, table):
    return fit_of(table, MODELS[request.param], frailty=request.param == "frailty")


def asked(fit, codes, reached, history=None):
    codes = np.asarray(codes)
    return SimpleNamespace(
        schema=fit.schema, codes=codes, reached=np.asarray(reached, float), values=(None, None), history=history, origin=None
    )  # fmt: skip


def earlier(codes, days, reached, now):
    """Gaps that ended after some days, and the one that is open now, of one customer."""
    n = len(days)
    last = np.arange(n + 1) == n
    return History(
        place=np.zeros(n + 1, int), start=np.zeros(n + 1), stop=np.append(days, reached).astype(float),
        event=np.append(np.ones(n, int), 0), codes=np.array([*codes, now]), values=(None, None),
        outside=np.zeros(n + 1, bool), current=last, entry=np.zeros(n + 1),
    )  # fmt: skip


@pytest.mark.parametrize("now", [(0, 1), (0, UNSEEN)], ids=["known", "new"])
@pytest.mark.parametrize("before", [(0, 1), (0, UNSEEN)], ids=["from known", "from new"])
def test_gone_is_the_limit_of_no_return(fit, now, before):
    """Two roads: the formula, and the chance of no return in a period that nobody within reach would survive."""
    for days in ((), (20.0, 5.0, 12.0)):
        past = earlier([before] * len(days), days, 90.0, now)
        rows = asked(fit, [now], [90.0], past)
        limit = fit.conditional_survival(rows, np.array([[200.0]]))[0, 0, 0]
        gone = fit.probability_gone(rows)[0, 0]
        assert gone == pytest.approx(limit, rel=1e-6)
        assert expit(LOGIT) < gone < 1


def test_of_a_new_group_gone_is_what_chance_makes_it(table):
    """Half a million customers of groups that are drawn: among those who are silent for 70 days, how many are gone."""
    rng, n = np.random.default_rng(1), 500_000
    gone = rng.random(n) < expit(LOGIT)
    rate = SLOW * np.exp(SD * rng.normal(size=n)) * rng.gamma(FRAILTY**-2, FRAILTY**2, n)
    silent = gone | (rng.exponential(1.0, n) > rate * 70.0)
    fit = fit_of(table, MODELS["frailty"])
    told = fit.probability_gone(asked(fit, [(0, UNSEEN), (0, 0)], [70.0, 70.0]))[0]
    error = np.sqrt(told[0] * (1 - told[0]) / silent.sum())
    assert told[0] == pytest.approx(gone[silent].mean(), abs=4 * error)
    assert abs(told[1] - told[0]) > 20 * error  # the median group is another one


def test_a_new_group_s_past_elsewhere_speaks_of_the_customer_and_not_of_the_group(table):
    """Frailty and effect drawn and weighed by what was seen, in a known group, in the new one and in the open spell."""
    fit = fit_of(table, MODELS["frailty"])
    rng, n = np.random.default_rng(2), 400_000
    z, effect = rng.gamma(FRAILTY**-2, FRAILTY**2, n), np.exp(SD * rng.normal(size=n))
    known = np.exp(0.7)
    elsewhere, here, silent, ahead = SLOW * 37.0 * known, SLOW * 9.0, SLOW * 50.0, SLOW * 30.0
    seen = z**4 * effect * np.exp(-z * (elsewhere + effect * here))  # three events elsewhere, one in the new group
    still = np.exp(-z * effect * silent)
    pi = expit(LOGIT)
    gone = pi * seen.sum() / (pi * seen + (1 - pi) * seen * still).sum()
    later = (pi * seen + (1 - pi) * seen * still * np.exp(-z * effect * ahead)).sum()
    survival = later / (pi * seen + (1 - pi) * seen * still).sum()
    past = earlier([(0, 1)] * 3 + [(0, UNSEEN)], (20.0, 5.0, 12.0, 9.0), 50.0, (0, UNSEEN))
    rows = asked(fit, [(0, UNSEEN)], [50.0], past)
    assert fit.probability_gone(rows)[0, 0] == pytest.approx(gone, rel=0.01)
    assert fit.conditional_survival(rows, np.array([[80.0]]))[0, 0, 0] == pytest.approx(survival, rel=0.005)
    quantiles = (np.arange(2000) + 0.5) / 2000
    joint = [fit.joint_survival(rows, np.array([[80.0]]), np.array([[q]]))[0, 0, 0] for q in quantiles[::40]]
    assert np.mean(joint) == pytest.approx(survival, rel=0.02)


def test_an_open_spell_that_began_in_a_known_group(table):
    """Ten days of the open silence were spent in a known group: they count for who is there, and not for who is gone."""
    fit = fit_of(table, MODELS["frailty"])
    rng, n = np.random.default_rng(3), 400_000
    z, effect = rng.gamma(FRAILTY**-2, FRAILTY**2, n), np.exp(SD * rng.normal(size=n))
    seen = z**2 * effect * np.exp(-z * SLOW * (20.0 * np.exp(0.7) + effect * 9.0))
    still = np.exp(-z * SLOW * (10.0 * np.exp(0.7) + effect * 40.0))
    pi = expit(LOGIT)
    whole = (pi * seen + (1 - pi) * seen * still).sum()
    further = (pi * seen + (1 - pi) * seen * still * np.exp(-z * effect * SLOW * 30.0)).sum()
    past = History(
        place=np.zeros(4, int), start=np.array([0.0, 0, 0, 10]), stop=np.array([20.0, 9, 10, 50]),
        event=np.array([1, 1, 0, 0]), codes=np.array([(0, 1), (0, UNSEEN), (0, 1), (0, UNSEEN)]), values=(None, None),
        outside=np.zeros(4, bool), current=np.array([False, False, True, True]), entry=np.zeros(4),
    )  # fmt: skip
    rows = asked(fit, [(0, UNSEEN)], [50.0], past)
    assert fit.probability_gone(rows)[0, 0] == pytest.approx(pi * seen.sum() / whole, rel=0.01)
    assert fit.conditional_survival(rows, np.array([[80.0]]))[0, 0, 0] == pytest.approx(further / whole, rel=0.005)


def test_nothing_is_told_where_nothing_is_known(fit):
    """An unseen plan, and a silence beyond the last break: NaN, as survival is."""
    rows = asked(fit, [(0, 0), (UNSEEN, 0), (0, 0), (0, 0)], [90.0, 90.0, 200.0, 200.5])
    gone = fit.probability_gone(rows)[0]
    assert np.isnan(gone).tolist() == [False, True, False, True]
    survival = fit.conditional_survival(rows, rows.reached[:, None] + 1.0)[0, :, 0]
    assert np.isnan(survival).tolist() == [False, True, True, True]
    assert gone[2] > gone[0]


def test_a_risk_table_leaves_blank_who_cannot_be_told(table):
    """The column of p_gone has a status of its own, as that of no return has."""
    fit = fit_of(table, MODELS["frailty"])
    reached, n = np.array([10.0, 190.0, 201.0]), 3
    batch = SimpleNamespace(
        **vars(asked(fit, np.zeros((n, 2), int), reached)), customer_id=np.array(["a", "b", "c"], dtype=object),
        unknown=np.zeros(n, bool), outside=np.array([False, True, False]),
        levels=(np.array(["basic"] * n, dtype=object), np.array(["A"] * n, dtype=object)),
    )  # fmt: skip
    question = SimpleNamespace(
        open=lambda reached: np.ones((n, 1), bool), churned=lambda reached: np.zeros(n, bool),
        incidence=lambda rows, draws: fit.conditional_survival(rows, np.full((n, 1), 200.0), draws=draws)[..., None],
        support=lambda rows: fit.n_at_risk(np.full((n, 1), 200.0), rows), no_return=lambda rows, draws: None,
    )  # fmt: skip
    columns, _ = RiskColumns.of_batch(fit, question, batch, np.array([0]), 0.9)
    assert columns.gone_status.tolist() == ["supported", "extrapolated", "refused"]
    assert np.isnan(columns.gone.mean).tolist() == [False, False, True]
    joined = RiskColumns.joined([columns, columns])
    assert joined.gone_status.tolist() == columns.gone_status.tolist() * 2


def test_the_integral_of_the_hazards_module_is_the_one_of_the_fit(table):
    fit = fit_of(table, MODELS["frailty"])
    told = fit.probability_gone(asked(fit, [(0, UNSEEN)], [70.0]))[0, 0]
    by_hand = probability_gone(
        np.zeros(1), np.array([70 * SLOW]), events=np.zeros(1), variance=FRAILTY**2, logit_cured=LOGIT, sd=SD
    )
    assert told == pytest.approx(by_hand[0], rel=1e-9)
