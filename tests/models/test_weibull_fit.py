"""Predictions of a Weibull fit in closed form, its draws, and its file."""

import numpy as np
import pytest
from scipy import integrate, stats

import churnsurv
from churnsurv.errors import ArgumentError, SavedFitError
from churnsurv.models import saved
from churnsurv.models.base import SurvivalFit
from churnsurv.models.saved import load
from churnsurv.models.support import Support
from churnsurv.models.weibull import WeibullModel
from tests.models.rows import episodes, open_rows
from tests.models.test_saved import _npy, _repacked
from tests.models.weibull_data import rows_of, simulated, split


@pytest.fixture(scope="module")
def table():
    return rows_of(simulated(400, seed=1, late=0.3))


@pytest.fixture(scope="module")
def fit(table):
    return WeibullModel("a + plan", shape="plan").fit(table, draws=300, rng=4)


def laws(fit, table, index):
    """SciPy's distribution of some rows, by draw."""
    x, z = (d.matrix(table.codes[index], tuple(None if v is None else v[index] for v in table.values))
            for d in (fit.design, fit.shape_design))  # fmt: skip
    cut = fit.estimate.n_scale
    scale = np.exp(fit.draws[:, [0]] + fit.draws[:, 1:cut] @ x.T)
    return stats.weibull_min(np.exp(fit.draws[:, [cut]] + fit.draws[:, cut + 1 :] @ z.T), scale=scale)


def test_conditional_survival_is_that_of_the_distribution(fit, table):
    index = np.arange(20)
    rows = open_rows(table, np.linspace(0, 120, 20), index)
    until = np.column_stack([rows.reached + 30, rows.reached + 365, rows.reached - 1, rows.reached])
    got = fit.conditional_survival(rows, until)
    law = laws(fit, table, index)
    for k in (0, 1):
        np.testing.assert_allclose(got[:, :, k], law.sf(until[:, k]) / law.sf(rows.reached), rtol=1e-9)
    assert np.all(got[:, :, 2:] == 1.0)
    assert np.array_equal(fit.joint_survival(rows, until, np.zeros((300, 20))), got)


def test_a_customer_has_the_same_bytes_in_any_company(fit, table):
    rows = open_rows(table, 10.0, np.arange(300))
    until = np.broadcast_to(np.array([40.0, 100.0]), (300, 2))
    whole = fit.conditional_survival(rows, until)
    for start in (0, 7, 113):
        some = open_rows(table, 10.0, np.arange(start, start + 31))
        assert fit.conditional_survival(some, until[:31]).tobytes() == whole[:, start : start + 31].tobytes()
    picked = np.array([5, 0, 299])
    assert fit.conditional_survival(rows, until, draws=picked).tobytes() == whole[picked].tobytes()
    with pytest.raises(ArgumentError, match="between 0 and 299"):
        fit.conditional_survival(rows, until, draws=np.array([300]))


def test_the_rest_of_the_family(fit, table):
    index, times = np.arange(5), np.array([10.0, 60.0, 200.0])
    rows, law = open_rows(table, 0.0, index), laws(fit, table, index)
    survival = fit.predict_survival_function(rows, times)
    assert survival.dims == ("chain", "draw", "customer", "time")
    np.testing.assert_allclose(survival[0].values, law.sf(times[:, None, None]).transpose(1, 2, 0), rtol=1e-9)
    np.testing.assert_allclose(fit.predict_cumulative_hazard(rows, times), -np.log(survival), rtol=1e-9)
    hazard = fit.predict_hazard(rows, times)[0].values
    np.testing.assert_allclose(
        hazard, (law.pdf(times[:, None, None]) / law.sf(times[:, None, None])).transpose(1, 2, 0)
    )
    rmst = fit.predict_restricted_mean_survival_time(rows, 90.0)
    assert rmst.dims == ("chain", "draw", "customer")
    one = stats.weibull_min(law.kwds.get("c", law.args[0])[7, 2], scale=law.kwds["scale"][7, 2])
    assert float(rmst[0, 7, 2]) == pytest.approx(integrate.quad(one.sf, 0, 90)[0], rel=1e-8)
    assert list(survival["customer"].values) == list(rows.customer_id)


def test_unseen_rows_have_no_prediction(fit, table):
    rows = open_rows(table, 5.0, np.arange(4))
    rows.codes[1, 1] = -1
    rows.values[0][2] = np.nan
    assert fit.unseen(rows).tolist() == [False, True, True, False]
    got = fit.conditional_survival(rows, np.full((4, 1), 50.0))
    assert np.isnan(got[:, [1, 2]]).all()
    assert np.isfinite(got[:, [0, 3]]).all()
    assert np.isnan(fit.predict_restricted_mean_survival_time(rows, 9.0)[0, :, 1]).all()
    assert not fit.new_group(rows).any()
    assert set(fit.new_group_name(rows)) == {""}


def test_beyond_the_data_the_curve_goes_on_and_nobody_stands_behind_it(fit, table):
    last = table.stop.max()
    assert fit.n_at_risk(np.array([last * 1.01, 1e9])).tolist() == [0, 0]
    assert 0 < fit.conditional_survival(open_rows(table, last, [0]), np.array([[last + 100]])).mean() < 1


def test_spells_at_risk_are_counted(table, fit):
    times = np.concatenate([np.sort(table.stop)[-40:], np.linspace(0.1, 200, 300)])
    exact = np.sum((table.start < times[:, None]) & (times[:, None] <= table.stop), axis=1)
    got = fit.n_at_risk(times)
    assert np.all(np.abs(got - exact) <= 3)  # on the grid between two spells the smaller count
    assert np.array_equal(got[:40], exact[:40])
    assert fit.n_at_risk(times.reshape(2, -1), None).shape == (2, 170)
    late = Support.of(np.array([100.0, 120.0]), np.array([150.0, 160.0]))
    assert late.at(np.array([50.0, 100.0, 120.0, 150.0, 155.0, 161.0])).tolist() == [0, 0, 1, 2, 1, 0]


def test_a_long_table_is_counted_on_a_grid():
    stream = np.random.default_rng(0)
    start, length = stream.uniform(0, 100, 20_000), stream.exponential(50, 20_000)
    support = Support.of(np.where(start < 50, 0.0, start), start + length)
    assert len(support.times) < 1300
    times = np.linspace(1, 400, 200)
    exact = np.sum((np.where(start < 50, 0.0, start) < times[:, None]) & (times[:, None] <= start + length), axis=1)
    assert np.all(np.abs(support.at(times) - exact) <= 45)
    assert np.array_equal(support.at(times)[exact < 45], exact[exact < 45])


def test_draws_have_the_estimate_and_its_covariance(table):
    fit = WeibullModel("a + plan").fit(table, draws=20_000, rng=1)
    error = np.sqrt(np.diag(fit.estimate.used))
    assert np.all(np.abs(fit.draws.mean(axis=0) - fit.estimate.parameters) < 4 * error / np.sqrt(20_000))
    np.testing.assert_allclose(np.cov(fit.draws.T) / np.outer(error, error), fit.estimate.used / np.outer(error, error),
                               atol=0.04)  # fmt: skip
    again = WeibullModel("a + plan").fit(table, draws=20_000, rng=1)
    assert again.draws.tobytes() == fit.draws.tobytes()
    log_ratio = -fit.draws[:, 1] * np.exp(fit.draws[:, 3])
    assert fit.hazard_ratios().loc["a", "se"] == pytest.approx(log_ratio.std(), rel=0.03)
    one = fit.with_draws(1)
    assert np.array_equal(one.draws[0], fit.estimate.parameters)
    assert (one.n_draws, one.info.n_draws) == (1, 1)


def test_posterior_by_name(fit):
    tree = fit.posterior["posterior"]
    assert dict(tree.sizes) == {"chain": 1, "draw": 300, "term": 2, "shape_term": 1}
    assert np.array_equal(tree["coef"].values[0], fit.draws[:, 1:3])
    assert np.array_equal(tree["log_shape"].values[0], fit.draws[:, 3])
    assert np.array_equal(tree["shape_coef"].values[0, :, 0], fit.draws[:, 4])
    assert list(tree["term"].values) == list(fit.design.terms)


def test_summary_in_words_of_the_protocol(fit):
    frame = fit.summary(0.8)
    assert list(frame.columns[:5]) == ["coef", "se", "time_ratio", "lower", "upper"]
    assert frame.attrs == {"ci_kind": "wald", "ci_prob": 0.8}
    row = frame.loc["a"]
    assert row["time_ratio"] == pytest.approx(np.exp(row["coef"]))
    assert row["upper"] == pytest.approx(np.exp(row["coef"] + 1.2815516 * row["se"]))
    assert row["p"] == pytest.approx(2 * stats.norm.sf(abs(row["z"])))
    assert fit.parameters().loc[("log_shape", "Intercept"), "coef"] == fit.estimate.parameters[3]
    assert isinstance(fit, SurvivalFit)
    assert "400" not in repr(fit)
    assert "shape='plan'" in repr(fit)


@pytest.mark.parametrize(
    ("n", "least", "most"), [(60, 0.78, 0.99), pytest.param(500, 0.86, 0.94, marks=pytest.mark.slow)]
)
def test_intervals_of_survival_cover(n, least, most):
    """90% intervals of S(60) for one customer, in small samples."""
    truth, inside = stats.weibull_min(1.4, scale=100 * np.exp(0.5)).sf(60.0), 0
    for seed in range(n):
        rows = rows_of(simulated(150, seed=1000 + seed, coef=(0.5, 0.0)), ("a",))
        made = WeibullModel("a").fit(rows, draws=200)
        one = type(open_rows(rows, 0.0))(rows.schema, np.zeros((1, 1), np.int64), (np.ones(1),), np.zeros(1))
        low, high = np.quantile(made.conditional_survival(one, np.array([[60.0]]))[:, 0, 0], [0.05, 0.95])
        inside += low <= truth <= high
    assert least <= inside / n <= most


def test_round_trip_through_a_file(fit, table, tmp_path):
    fit.save(tmp_path / "fit")
    again = churnsurv.load(tmp_path / "fit")
    rows, until = open_rows(table, 5.0), np.full((400, 2), 80.0)
    assert again.conditional_survival(rows, until).tobytes() == fit.conditional_survival(rows, until).tobytes()
    assert again.summary().equals(fit.summary())
    assert again.parameters().equals(fit.parameters())
    assert (again.model, again.schema, again.design, again.info) == (fit.model, fit.schema, fit.design, again.info)
    assert again.info.to_json() == fit.info.to_json()
    assert again.n_at_risk(table.stop).tolist() == fit.n_at_risk(table.stop).tolist()
    again.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "fit").read_bytes()
    for ask in (lambda: again.lifelines, lambda: again.training):
        with pytest.raises(ArgumentError, match="holds no training rows"):
            ask()


def test_a_file_holds_settings_and_no_rows(tmp_path):
    data = simulated(400, seed=1)
    table = rows_of(data, bins={"a": (-9.0, 0.0, 9.0)}, customer=np.repeat([f"c{k}" for k in range(100)], 4),
                    spell=np.tile(np.arange(4), 100))  # fmt: skip
    model = WeibullModel("a", bins={"a": (-9.0, 0.0, 9.0)}, penalizer=0.1, rounded=7, on_bad="drop")
    fit = model.fit(table, draws=20)
    fit.save(tmp_path / "fit")
    again = load(tmp_path / "fit")
    assert again.model == model
    assert np.array_equal(again.estimate.robust, fit.estimate.robust)
    assert (tmp_path / "fit").stat().st_size < 60_000
    assert b"c17" not in (tmp_path / "fit").read_bytes()


CHANGES = {
    "other draws": lambda m, a: a.update({"draws.npy": _npy(np.zeros((300, 5)))}),
    "fewer draws": lambda m, a: a.update({"draws.npy": _npy(np.zeros((299, 5)))}),
    "not a number": lambda m, a: a.update({"parameters.npy": _npy(np.full(5, np.nan))}),
    "no covariance": lambda m, a: a.pop("covariance.npy"),
    "support falls": lambda m, a: a.update(
        {"support_times.npy": _npy(np.zeros(3)), "support_count.npy": _npy(np.ones(3))}
    ),
    "terms elsewhere": lambda m, a: m["fit"]["design"]["terms"][0].update(factors=[[9, 0]]),
    "numbers of text": lambda m, a: m["fit"]["design"].update(numbers=[1]),
    "formula attack": lambda m, a: m["fit"]["design"].update(formula="__import__('os')"),
    "wrong setting": lambda m, a: m["fit"].update(rounded=-1),
    "kind of another": lambda m, a: m.update(kind="cox"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_rightly_sealed_but_wrong(name, fit, tmp_path):
    fit.save(tmp_path / "fit")
    (tmp_path / "bad").write_bytes(_repacked((tmp_path / "fit").read_bytes(), CHANGES[name]))
    with pytest.raises(SavedFitError):
        load(tmp_path / "bad")


def test_kinds_are_named_after_classes(fit):
    assert saved.kind_of(fit) == "weibull"


def test_episodes_of_one_spell_predict_as_one(table):
    whole, cut = (WeibullModel("a").fit(t, draws=5) for t in (table, split(table)))
    rows, until = open_rows(table, 5.0, [0, 1]), np.full((2, 1), 50.0)
    np.testing.assert_allclose(
        cut.conditional_survival(rows, until), whole.conditional_survival(rows, until), rtol=1e-6
    )


def test_spells_of_durations_go_all_the_way():
    """The real tables: durations in months, a covariate of text and one of numbers."""
    import pandas as pd

    from churnsurv.tables.spells import SpellTable

    data = simulated(300, seed=12)
    frame = pd.DataFrame(
        {"months": data["stop"] / 30.4375, "left": data["event"], "a": data["a"], "plan": data["plan"]}
    )
    spells = SpellTable.from_durations(
        frame, duration="months", event="left", unit="month", values=["a"], labels=["plan"]
    )
    fit = WeibullModel("a + plan").fit(spells, draws=5)
    by_hand = WeibullModel("a + plan").fit(rows_of(data), draws=5)
    np.testing.assert_allclose(fit.estimate.parameters, by_hand.estimate.parameters, rtol=1e-7)
    assert not fit.info.independent_gaps
    assert by_hand.info.independent_gaps


def test_a_curve_without_columns():
    data = simulated(100, seed=13)
    fit = WeibullModel().fit(episodes(data["stop"], data["event"]), draws=3)
    assert fit.summary().empty
    assert fit.posterior["posterior"].sizes == {"chain": 1, "draw": 3}
    assert fit.conditional_survival(open_rows(episodes(data["stop"], data["event"]), 0.0), np.ones((100, 1))).shape == (
        3,
        100,
        1,
    )
