"""Weibull estimates against R's survreg, lifelines, SciPy and closed forms; what must not change them."""

from dataclasses import replace

import numpy as np
import pytest
from lifelines import WeibullAFTFitter
from lifelines.datasets import load_lung
from scipy import optimize, stats

from churnsurv.errors import DataWarning
from churnsurv.hazards.weibull import log_likelihood
from churnsurv.models.weibull import WeibullModel
from churnsurv.models.weibull_maximum import maximise
from churnsurv.models.weibull_rows import Axes, WeibullRows
from tests.models.cox_data import BOOK_EVENT, BOOK_TIME, BOOK_X, ovarian
from tests.models.rows import episodes
from tests.models.weibull_data import lung, rows_of, simulated, split


def parameters(fit):
    return fit.estimate.parameters


def errors(fit):
    return np.sqrt(np.diag(fit.estimate.used))


def fit_of(formula, table, **settings):
    return WeibullModel(formula, **settings).fit(table, draws=2)


def assert_same(one, other, rtol=1e-7, atol=1e-9):
    np.testing.assert_allclose(parameters(one), parameters(other), rtol=rtol, atol=atol)
    np.testing.assert_allclose(one.estimate.used, other.estimate.used, rtol=1e-5, atol=1e-9)


# R package survival 3.8-11, tests/Examples/survival-Ex.Rout.save (?survreg), r_lung, r_strata and testreg.Rout.save.


def test_survreg_lung_with_a_scale_by_sex():
    """survreg(Surv(time, status) ~ ph.ecog + age + strata(sex), lung)."""
    fit = fit_of("ecog + age", lung("ecog", "age", "sex"), shape="sex")
    table = fit.parameters()["coef"]
    assert table["log_scale"].tolist() == pytest.approx([6.73234505, -0.32443043, -0.00580889], abs=1e-7)
    shape = table["log_shape"]
    assert np.exp(-shape["Intercept"]) == pytest.approx(0.7834211, abs=1e-6)
    assert np.exp(-shape.sum()) == pytest.approx(0.6547830, abs=1e-6)
    assert fit.estimate.log_likelihood == pytest.approx(-1137.3, abs=0.05)


def test_survreg_lung_with_three_columns():
    """survreg(Surv(time, status) ~ sex + age + ph.ecog, lung)."""
    fit = fit_of("sex_number + age + ecog", lung("sex_number", "age", "ecog"))
    expected = [6.273435252, 0.401090541, -0.007475439, -0.339638098]
    assert parameters(fit)[:4].tolist() == pytest.approx(expected, abs=2e-8)
    assert np.exp(-parameters(fit)[4]) == pytest.approx(0.731109, abs=1e-6)
    assert fit.estimate.log_likelihood == pytest.approx(-1132.4, abs=0.05)


def test_survreg_lung_alone():
    """survreg(Surv(time, status) ~ 1, lung)."""
    fit = fit_of("", lung(complete=("time",)))
    assert parameters(fit)[0] == pytest.approx(6.034904, abs=1e-6)
    assert np.exp(-parameters(fit)[1]) == pytest.approx(0.7593936, abs=1e-6)
    assert fit.estimate.log_likelihood == pytest.approx(-1153.9, abs=0.05)


def test_survreg_six_rows_with_errors():
    """testreg.R: survreg(Surv(time, status) ~ x, test1)."""
    with pytest.warns(DataWarning, match="4 events for 1 term: 4.0 per term"):
        fit = fit_of("x", episodes(BOOK_TIME, BOOK_EVENT, {"x": np.array(BOOK_X, float)}))
    assert parameters(fit)[:2].tolist() == pytest.approx([2.2373335, -0.7442249], abs=1e-6)
    assert np.exp(-parameters(fit)[2]) == pytest.approx(0.4563163, abs=1e-6)
    assert errors(fit).tolist() == pytest.approx([0.330, 0.486, 0.433], abs=5e-4)
    assert fit.estimate.log_likelihood == pytest.approx(-10.3, abs=0.05)


def test_survreg_ovarian():
    """testreg.R: survreg(Surv(futime, fustat) ~ age + ecog.ps, ovarian)."""
    fit = fit_of("age + ecog_ps", ovarian())
    assert parameters(fit)[:3].tolist() == pytest.approx([12.28496723, -0.09702669, 0.09977342], abs=1e-6)
    assert np.exp(-parameters(fit)[3]) == pytest.approx(0.6032744, abs=1e-6)


def test_survreg_interval_censoring_of_cracks():
    """r_sas.R, from Nelson (1982), *Applied Life Data Analysis*, p. 415: parts found cracked at eight inspections.

    R's times are whole days, so that the intercept agrees to 1e-4 and the scale to 5e-4.
    """
    months = np.array([6.12, 19.92, 29.64, 35.40, 39.72, 45.24, 52.32, 63.48])
    counts = np.array([5, 16, 12, 18, 18, 2, 6, 17, 73], float)
    none = Axes.of(np.zeros((9, 0)), np.ones(9))
    rows = WeibullRows(
        start=np.zeros(9), stop=np.append(months, 63.48), lower=np.concatenate([[0], months[:-1], [63.48]]),
        event=np.arange(9) < 8, weight=counts, cluster=np.arange(9), n_spells=9, spell_weight=167.0,
        scale=none, shape=none,
    )  # fmt: skip
    found = maximise(rows, 0.0, ("log_scale", "log_shape"), robust=None)
    assert found.parameters[0] + np.log(365.25 / 12) == pytest.approx(7.6880, abs=1e-4)
    assert -found.parameters[1] == pytest.approx(-0.3953, abs=5e-4)
    assert np.sqrt(np.diag(found.covariance)).tolist() == pytest.approx([0.0744, 0.0987], abs=1e-4)
    assert found.log_likelihood == pytest.approx(-309.6, abs=0.1)


def test_shape_one_is_the_exponential():
    """survreg(..., dist="exponential"), ovarian: at R's coefficients the score is zero where the shape is one."""
    table = ovarian()
    ecog, rx = table.values[3], np.array([float(table.schema.columns[2].labels[code]) for code in table.codes[:, 2]])
    x = np.column_stack([np.ones(26), ecog, rx])
    terms = log_likelihood(
        x @ np.array([6.9618376, -0.4331347, 0.5815027]), np.zeros(26), lower=table.stop,
        upper=np.where(table.event > 0, table.stop, np.inf), entry=np.zeros(26),
    )  # fmt: skip
    assert (x.T @ terms.d_scale).tolist() == pytest.approx([0, 0, 0], abs=1e-5)
    assert terms.value.sum() == pytest.approx(-97.2, abs=0.05)
    alone = log_likelihood(
        np.full(26, np.log(table.stop.sum() / table.event.sum())), np.zeros(26), lower=table.stop,
        upper=np.where(table.event > 0, table.stop, np.inf), entry=np.zeros(26),
    )  # fmt: skip
    assert alone.d_scale.sum() == pytest.approx(0, abs=1e-10)
    assert alone.value.sum() == pytest.approx(-98, abs=0.05)


CASES = {
    "plain": {},
    "shape by plan": {"shape": "plan"},
    "late entry": {"late": 0.6},
    "weights": {"weights": True},
    "ridge": {"penalizer": 0.05},
    "ridge on both": {"penalizer": 0.05, "shape": "plan"},
    "late entry, weights, shape": {"late": 0.6, "weights": True, "shape": "plan"},
    "rounded": {"rounded": 10.0},
    "rounded, late entry": {"rounded": 10.0, "late": 0.6},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.filterwarnings("ignore:It's important to know if the naive variance estimates")
def test_lifelines_finds_the_same_on_its_own(case):
    settings = dict(CASES[case])
    data = simulated(400, seed=5, late=settings.pop("late", 0.0))
    weight = np.random.default_rng(1).integers(1, 4, 400) if settings.pop("weights", False) else None
    fit = fit_of("a + plan", rows_of(data, weight=weight), **settings)
    level = fit.design.terms[1]
    frame = load_lung().iloc[:0].reindex(range(400))[[]].assign(
        a=data["a"], plan=(data["plan"] == level[5:-1]).astype(float), stop=data["stop"], start=data["entry"],
        event=data["event"], weight=1 if weight is None else weight,
    )  # fmt: skip
    ridge = settings.get("penalizer", 0.0)  # alone, the intercept of the shape would be penalised by lifelines
    fitter = WeibullAFTFitter(penalizer=ridge if "shape" in settings else np.array([ridge, ridge, 0.0]))
    call = {
        "formula": "a + plan", "ancillary": "plan" if "shape" in settings else None, "weights_col": "weight",
        "entry_col": "start", "fit_options": {"ftol": 1e-13, "maxiter": 500},
    }  # fmt: skip
    if "rounded" in settings:
        event = frame["event"] == 1
        frame["lower"] = np.where(event, np.maximum(frame["start"], frame["stop"] - 10.0), frame["stop"])
        frame["upper"] = np.where(event, frame["stop"], np.inf)
        frame["event"] = False
        fitter.fit_interval_censoring(frame.drop(columns="stop"), "lower", "upper", "event", **call)
    else:
        fitter.fit(frame, "stop", "event", **call)
    names = [("lambda_", "Intercept"), ("lambda_", "a"), ("lambda_", "plan"), ("rho_", "Intercept")]
    names += [("rho_", "plan")] if "shape" in settings else []
    np.testing.assert_allclose(parameters(fit), fitter.params_[names], atol=1e-5)
    np.testing.assert_allclose(errors(fit), fitter.standard_errors_[names], rtol=1e-4)
    if "penalizer" not in settings:
        assert fit.estimate.log_likelihood == pytest.approx(fitter.log_likelihood_, abs=1e-6)
    ours = fit.lifelines
    assert type(ours) is WeibullAFTFitter
    order = [("lambda_", "Intercept"), ("lambda_", "a"), ("lambda_", level), ("rho_", "Intercept")]
    order += [("rho_", level)] if "shape" in settings else []
    np.testing.assert_allclose(ours.params_[order], parameters(fit), atol=1e-5)


def test_lifelines_loses_a_column_far_from_zero():
    """Why the estimate is found here: lifelines scales columns, and does not centre them."""
    data = simulated(1000, seed=2)
    near = fit_of("a + plan", rows_of(data))
    far = fit_of("a + plan", rows_of(data | {"a": data["a"] + 1e6}))
    np.testing.assert_allclose(parameters(far)[1:], parameters(near)[1:], rtol=1e-6)
    frame = load_lung().iloc[:0].reindex(range(1000))[[]].assign(a=data["a"] + 1e6, T=data["stop"], E=data["event"])
    fitter = WeibullAFTFitter().fit(frame, "T", "E")
    assert abs(fitter.params_["lambda_", "a"] - parameters(near)[1]) > 0.3


def test_scipy_finds_the_same_with_intervals():
    data = simulated(300, seed=8)
    fit = fit_of("a", rows_of(data, ("a",)), rounded=20.0)
    event, stop = data["event"] == 1, data["stop"]
    low = np.where(event, np.maximum(stop - 20.0, 0.0), stop)

    def minus_log_likelihood(theta):
        law = stats.weibull_min(np.exp(theta[2]), scale=np.exp(theta[0] + theta[1] * data["a"]))
        chance = law.sf(low) - np.where(event, law.sf(stop), 0.0)
        return -np.sum(np.log(np.maximum(chance, 1e-300)))

    found = optimize.minimize(minus_log_likelihood, [4.0, 0.0, 0.0], method="BFGS", options={"gtol": 1e-5})
    np.testing.assert_allclose(parameters(fit), found.x, atol=1e-5)
    assert fit.estimate.log_likelihood == pytest.approx(-found.fun, abs=1e-8)


def test_proportional_hazards_reading_is_the_fit_in_that_form():
    """exp(-coef * shape) with its delta-method error, against hazard ratios fitted as parameters of their own."""
    data = simulated(300, seed=4)
    fit = fit_of("a", rows_of(data, ("a",)))

    def minus_log_likelihood(theta):
        hazard = np.exp(theta[0] + theta[1] * data["a"])
        shape, stop, event = np.exp(theta[2]), data["stop"], data["event"]
        return -np.sum(event * (np.log(hazard * shape) + (shape - 1) * np.log(stop)) - hazard * stop**shape)

    start = [-parameters(fit)[0] * np.exp(parameters(fit)[2]), 0.0, parameters(fit)[2]]
    found = optimize.minimize(minus_log_likelihood, start, method="BFGS", options={"gtol": 1e-7})
    row = fit.hazard_ratios(0.95).loc["a"]
    assert row["log_hazard_ratio"] == pytest.approx(found.x[1], abs=1e-6)
    step, around = 1e-3, np.eye(3) * 1e-3
    hessian = np.array([
        [sum(s * t * minus_log_likelihood(found.x + s * u + t * v) for s in (1, -1) for t in (1, -1)) / (4 * step**2)
         for v in around] for u in around
    ])  # fmt: skip
    assert row["se"] == pytest.approx(np.sqrt(np.linalg.inv(hessian)[1, 1]), rel=1e-4)
    assert row["upper"] == pytest.approx(np.exp(row["log_hazard_ratio"] + 1.959964 * row["se"]), rel=1e-6)
    summary = fit.summary(0.95).loc["a"]
    assert summary[["hazard_ratio", "hazard_ratio_lower", "hazard_ratio_upper"]].tolist() == row.iloc[2:].tolist()


def test_left_truncation_is_told_from_truth_and_the_naive_fit_is_not():
    """Customers who had gone before the watching began are not there: without entry the rest seem to live longer."""
    data = simulated(4000, seed=7, late=0.8, shape=0.7)
    fit = fit_of("a + plan", rows_of(data))
    coef = -0.3 if fit.design.terms[1] == "plan[annual]" else 0.3
    truth = np.array([np.log(100.0) + (0.0 if coef < 0 else -0.3), 0.5, coef, np.log(0.7)])
    assert np.all(np.abs(parameters(fit) - truth) < 4 * errors(fit))
    naive = fit_of("a + plan", rows_of(data | {"entry": np.zeros(4000)}))
    assert (parameters(naive)[0] - truth[0]) / errors(naive)[0] > 10
    assert np.exp(parameters(naive)[0] - truth[0]) > 1.5


def test_rounding_up_to_the_month_is_undone():
    """Exits are recorded at the month's end: half a month late on average."""
    data = simulated(4000, seed=9, scale=60.0, shape=0.8, coef=(0.0, 0.0))
    late = np.where(data["event"] == 1, np.ceil(data["stop"] / 30.0) * 30.0, data["stop"])
    rows = rows_of(data | {"stop": late}, ())
    told, naive = fit_of("", rows, rounded=30.0), fit_of("", rows)
    truth = np.array([np.log(60.0), np.log(0.8)])
    assert np.all(np.abs(parameters(told) - truth) < 4 * errors(told))
    assert np.abs(parameters(naive)[1] - truth[1]) > 10 * errors(naive)[1]


@pytest.mark.parametrize("settings", [{}, {"shape": "plan"}, {"penalizer": 0.1}])
def test_cutting_spells_into_rows_changes_no_fit(settings):
    table = rows_of(simulated(300, seed=3, late=0.3))
    whole, cut = fit_of("a + plan", table, **settings), fit_of("a + plan", split(table), **settings)
    assert_same(whole, cut)
    assert cut.estimate.robust is None
    assert cut.estimate.log_likelihood == pytest.approx(whole.estimate.log_likelihood, abs=1e-8)
    assert cut.info.n_spells == whole.info.n_spells == 300
    assert cut.info.exposure == pytest.approx(whole.info.exposure)


def test_cutting_spells_changes_no_robust_error_either():
    table = replace(
        rows_of(simulated(300, seed=3)), customer_id=np.repeat(np.arange(100), 3).astype(str).astype(object)
    )
    table = replace(table, spell=np.tile(np.arange(3), 100))
    whole, cut = fit_of("a + plan", table), fit_of("a + plan", split(table))
    assert whole.estimate.robust is not None
    assert_same(whole, cut)


def test_the_order_of_rows_changes_nothing():
    table = rows_of(simulated(300, seed=3, late=0.3))
    assert_same(fit_of("a + plan", table), fit_of("a + plan", table.take(np.random.default_rng(0).permutation(300))))


def test_weights_are_repetitions():
    table = rows_of(simulated(200, seed=3, late=0.3))
    weight = np.random.default_rng(0).integers(1, 4, 200)
    repeated = table.take(np.repeat(np.arange(200), weight))
    n = len(repeated.stop)
    repeated = replace(repeated, customer_id=np.arange(n).astype(str).astype(object), n_spells=n)
    weighted = fit_of("a + plan", replace(table, weight=weight.astype(float)), shape="a", penalizer=0.02)
    again = fit_of("a + plan", repeated, shape="a", penalizer=0.02)
    assert_same(weighted, again)
    assert weighted.estimate.robust is None
    times = np.linspace(0, 300, 40)
    assert np.all(np.abs(weighted.n_at_risk(times) - again.n_at_risk(times)) <= 0.1 * again.n_at_risk(times) + 3)


def test_the_unit_of_time_moves_the_intercept_alone():
    data = simulated(300, seed=3, late=0.3)
    seconds = 86_400.0
    days = fit_of("a + plan", rows_of(data), shape="plan")
    other = fit_of(
        "a + plan", rows_of(data | {"stop": data["stop"] * seconds, "entry": data["entry"] * seconds}), shape="plan"
    )
    shift = np.array([np.log(seconds), 0, 0, 0, 0])
    np.testing.assert_allclose(parameters(other), parameters(days) + shift, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(other.estimate.covariance, days.estimate.covariance, rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize(("scale", "shift"), [(1e12, 0.0), (1e-9, 0.0), (1.0, 1e5), (250.0, -1e4)])
def test_the_unit_of_a_column_moves_its_coefficient_alone(scale, shift):
    data = simulated(300, seed=3)
    base = fit_of("a + plan", rows_of(data))
    moved = fit_of("a + plan", rows_of(data | {"a": data["a"] * scale + shift}))
    assert moved.coef["a"] * scale == pytest.approx(base.coef["a"], rel=1e-9)
    assert errors(moved)[1] * scale == pytest.approx(errors(base)[1], rel=1e-7)
    assert parameters(moved)[0] + moved.coef["a"] * shift == pytest.approx(parameters(base)[0], rel=1e-9)


def test_two_columns_that_are_almost_one():
    """Condition number about 1e12: the sum of the two effects is as well known as ever."""
    data = simulated(500, seed=3)
    twin = data["a"] + 1e-6 * np.random.default_rng(0).normal(size=500)
    with pytest.warns(UserWarning, match="can hardly be told apart"):
        fit = fit_of("a + b", rows_of(data | {"b": twin}, ("a", "b")))
    alone = fit_of("a", rows_of(data, ("a",)))
    assert fit.info.reliable
    assert fit.coef.sum() == pytest.approx(alone.coef["a"], abs=2 * errors(alone)[1])
    far = np.array([0, 1.0, 1.0, 0])
    assert np.sqrt(far @ fit.estimate.covariance @ far) == pytest.approx(errors(alone)[1], rel=0.05)


def test_the_sandwich_is_the_infinitesimal_jackknife():
    """As survreg2.R checks R's: the sum over customers of what a little less weight on them does."""
    data = simulated(60, seed=6)
    customer = np.repeat(np.arange(20), 3)
    table = rows_of(data, ("a",), customer=customer.astype(str).astype(object), spell=np.tile(np.arange(3), 20))
    fit = fit_of("a", table)
    change = []
    for k in range(20):
        ends = [
            parameters(fit_of("a", replace(table, weight=np.where(customer == k, 1 + step, 1.0)), robust=False))
            for step in (-1e-4, 1e-4)
        ]
        change.append((ends[1] - ends[0]) / 2e-4)
    np.testing.assert_allclose(fit.estimate.robust, np.transpose(change) @ np.array(change), rtol=1e-5, atol=1e-8)
    assert fit_of("a", table, robust=False).estimate.robust is None


def test_other_weights_than_whole_ones_get_the_sandwich():
    table = replace(rows_of(simulated(100, seed=6)), weight=np.random.default_rng(0).uniform(0.5, 2, 100))
    assert fit_of("a", table).estimate.robust is not None


def test_shuffled_outcomes_have_no_effect():
    data = simulated(200, seed=11)
    stream, outside = np.random.default_rng(0), 0
    for _ in range(40):
        row = fit_of("a", rows_of(data | {"a": stream.permutation(data["a"])}, ("a",))).summary(0.9).loc["a"]
        outside += not row["lower"] < 1 < row["upper"]
    assert stats.binom(40, 0.1).cdf(outside) > 0.002
    assert stats.binom(40, 0.1).sf(outside - 1) > 0.002
