"""The hierarchical model: refusals before work, seeds, interruption, prediction, frames."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy import integrate

from churnsurv.errors import (
    ArgumentError,
    CellMismatchError,
    ConvergenceWarning,
    DataWarning,
    EmptyDataError,
    FormulaError,
    ModelSupportError,
    NoEventsError,
    PriorError,
    UnseenLevelError,
)
from churnsurv.hazards.frailty_prediction import conditional_survival
from churnsurv.models.hierarchical import sampling
from churnsurv.models.hierarchical.mixing import mean_ratio_of_survivors
from churnsurv.models.hierarchical.model import HierarchicalModel
from churnsurv.models.hierarchical.pieces import log_spacing
from churnsurv.models.hierarchical.priors import HalfNormal, Normal
from churnsurv.tables.schema import CellSchema, PatternColumn
from tests.models.conftest import make_cells

MODEL = HierarchicalModel("plan + price", groups=("country",))


@dataclass(frozen=True, eq=False)
class Rows:
    schema: CellSchema
    codes: np.ndarray
    reached: np.ndarray

    @property
    def customer_id(self):
        return np.array([f"c{i}" for i in range(len(self.codes))], dtype=object)


@pytest.fixture(scope="module")
def cells():
    rng = np.random.default_rng(3)
    columns = (
        PatternColumn("plan", ("basic", "plus", "pro")),
        PatternColumn("price", ("0–10", "10–50"), (0.0, 10.0, 50.0)),
        PatternColumn("country", ("A", "B", "C", "D", "E", "never")),
    )
    effect = np.array([0.4, -0.2, 0.1, 0.0, -0.3, 0.0])
    grid = np.stack([axis.ravel() for axis in np.indices((3, 2, 6, 4))], axis=1)
    codes, period = grid[:, :3], grid[:, 3]
    days = np.where(codes[:, 2] == 5, 0.0, 400.0 // (1 + period) * (1 + (codes[:, 0] == 0)))
    log_hazard = -3.5 - 0.3 * period + 0.3 * (codes[:, 0] == 1) - 0.2 * codes[:, 1] + effect[codes[:, 2]]
    counts = rng.poisson(days * np.exp(log_hazard))
    return make_cells(counts, days, codes, period, columns=columns, breaks=(0.0, 7.0, 14.0, 30.0, 90.0))


@pytest.fixture(scope="module")
def fit(cells):
    return MODEL.fit(cells, rng=1, draws=500, tune=200)


@pytest.fixture
def rows(cells):
    codes = np.array([[0, 0, 0], [1, 1, 2], [2, 0, 5], [0, 1, -1], [0, 0, 1]])
    return Rows(cells.schema, codes, np.array([0.0, 20.0, 10.0, 60.0, 89.0]))


def test_posterior_has_named_dims_and_passes_its_gate(fit):
    posterior = fit.posterior["posterior"].to_dataset()
    assert fit.info.status == "ok"
    assert fit.info.reliable
    assert fit.info.messages == ()
    assert posterior["log_baseline"].dims == ("chain", "draw", "period")
    assert posterior["coef"].dims == ("chain", "draw", "term")
    assert list(posterior["coef"].coords["term"].values) == ["plan[plus]", "plan[pro]", "price[10–50]"]
    assert list(posterior["country_effect"].coords["country"].values) == list("ABCDE")
    np.testing.assert_allclose(posterior["walk"].sum("period"), 0, atol=1e-9)
    np.testing.assert_allclose(posterior["log_baseline"], posterior["intercept"] + posterior["walk"])


def test_same_seed_same_bytes_other_seed_other_draws(cells, fit):
    again = MODEL.fit(cells, rng=1, draws=500, tune=200)
    other = MODEL.fit(cells, rng=2, draws=500, tune=200)
    for name, values in fit.posterior["posterior"].to_dataset().data_vars.items():
        assert values.values.tobytes() == again.posterior["posterior"][name].values.tobytes()
    assert not np.array_equal(fit.posterior["posterior"]["coef"], other.posterior["posterior"]["coef"])


def test_conditional_survival_is_the_closed_form(fit, rows):
    until = np.array([[5.0, 30.0], [45.0, 90.0]])
    two = Rows(rows.schema, rows.codes[:2], rows.reached[:2])
    found = fit.conditional_survival(two, until)
    d = 17
    flat = {n: v.values.reshape(-1, *v.shape[2:]) for n, v in fit.posterior["posterior"].to_dataset().data_vars.items()}
    h = np.exp(flat["log_baseline"][d])
    m = (
        np.exp(flat["country_effect"][d, 0]),
        np.exp(flat["coef"][d, 0] + flat["coef"][d, 2] + flat["country_effect"][d, 2]),
    )
    assert found[d, 0, 0] == pytest.approx(np.exp(-m[0] * h[0] * 5))
    assert found[d, 0, 1] == pytest.approx(np.exp(-m[0] * (7 * h[0] + 7 * h[1] + 16 * h[2])))
    assert found[d, 1, 0] == pytest.approx(np.exp(-m[1] * (10 * h[2] + 15 * h[3])))


def test_any_chunk_gives_the_same_bytes(fit, cells):
    rng = np.random.default_rng(0)
    codes = np.column_stack([rng.integers(0, 3, 203), rng.integers(0, 2, 203), rng.integers(-1, 6, 203)])
    rows = Rows(cells.schema, codes, rng.uniform(0, 80, 203))
    until = rows.reached[:, None] + np.array([0.5, 3.0, 9.0])
    whole = fit.conditional_survival(rows, until)
    for size in (1, 7, 64):
        parts = [
            fit.conditional_survival(
                Rows(cells.schema, codes[i : i + size], rows.reached[i : i + size]), until[i : i + size]
            )
            for i in range(0, 203, size)
        ]
        assert np.concatenate(parts, axis=1).tobytes() == whole.tobytes()


def test_one_before_reached_and_nan_beyond_the_breaks(fit, rows):
    until = np.column_stack([rows.reached - 1, rows.reached, np.full(5, 90.0), np.full(5, 90.1)])
    found = fit.conditional_survival(rows, until)
    assert np.all(found[:, :, :2] == 1)
    assert np.all((found[:, :, 2] > 0) & (found[:, :, 2] < 1))
    assert np.all(np.isnan(found[:, :, 3]))


def test_flags_of_new_groups_and_unseen_levels(fit, rows, cells):
    assert fit.new_group(rows).tolist() == [False, False, True, True, False]
    assert not fit.unseen(rows).any()
    odd = Rows(cells.schema, np.array([[-1, 0, 0], [0, 0, 0]]), np.zeros(2))
    assert fit.unseen(odd).tolist() == [True, False]
    found = fit.conditional_survival(odd, np.full((2, 1), 10.0))
    assert np.isnan(found[:, 0]).all()
    assert np.isfinite(found[:, 1]).all()
    with pytest.raises(UnseenLevelError, match="1 of 2 rows") as caught:
        fit.refuse_unseen(odd)
    name = cells.schema.columns[0].name
    assert caught.value.column == name
    assert caught.value.rows == ({"customer_id": "c0", name: "a level not in the fit's data"},)
    assert f"groups=({name!r},)" in caught.value.hint


def integral(risk, sd):
    """Survival of a group drawn anew, by adaptive quadrature."""

    def integrand(z):
        return np.exp(-risk * np.exp(sd * z) - z * z / 2) / np.sqrt(2 * np.pi)

    return integrate.quad(integrand, -12, 12, epsabs=1e-13, epsrel=1e-12, limit=400)[0]


def test_new_group_is_a_ratio_of_integrals(fit, rows):
    """Against adaptive quadrature; neither effect zero nor the average of ratios gives the same."""
    two = Rows(rows.schema, rows.codes[3:4], rows.reached[3:4])
    draws = np.array([3, 500, 1999])
    found = fit.conditional_survival(two, np.array([[90.0]]), draws=draws)[:, 0, 0]
    flat = {n: v.values.reshape(-1, *v.shape[2:]) for n, v in fit.posterior["posterior"].to_dataset().data_vars.items()}
    for value, d in zip(found, draws, strict=True):
        h, m = np.exp(flat["log_baseline"][d]), np.exp(flat["coef"][d, 2])
        low = m * (7 * h[0] + 7 * h[1] + 16 * h[2] + 30 * h[3])
        high = low + m * 30 * h[3]
        sd = flat["country_effect_sd"][d]

        top, bottom = integral(high, sd), integral(low, sd)
        assert value == pytest.approx(top / bottom, abs=1e-9)
        assert abs(value - np.exp(low - high)) > 1e-4
        assert abs(value - integral(high - low, sd)) > 1e-4


@pytest.mark.parametrize("sd", [0.05, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("risk", [0.01, 1.0, 5.0, 40.0])
def test_quadrature_for_new_groups_is_accurate(sd, risk):
    z = np.linspace(-14, 14, 400_001)
    weight = np.exp(-z * z / 2)
    survive = [weight * np.exp(-r * np.exp(sd * z)) for r in (risk, 1.5 * risk)]
    truth = survive[1].sum() / survive[0].sum()
    shape = (1, 1, 1)
    risks = np.full(shape, risk)
    found = conditional_survival(risks, 1.5 * risks, events=np.zeros(shape), variance=None, sd=np.full(shape, sd))
    assert found.item() == pytest.approx(truth, abs=1e-3 if sd == 2.0 else 1e-6)
    ratio = (survive[0] * np.exp(sd * z)).sum() / survive[0].sum()
    assert mean_ratio_of_survivors(risks, None, None, np.full(shape, sd)).item() == pytest.approx(
        ratio, rel=5e-3 if sd == 2.0 else 1e-5
    )


def test_predictions_agree_with_each_other(fit, rows):
    times = np.array([0.0, 3.0, 7.0, 20.0, 60.0, 90.0])
    survival = fit.predict_survival_function(rows, times)
    assert survival.dims == ("chain", "draw", "customer", "time")
    assert survival.shape == (4, 500, 5, 6)
    assert np.all(survival.values[..., 0] == 1)
    assert np.all(np.diff(survival.values, axis=-1) <= 0)
    np.testing.assert_allclose(fit.predict_cumulative_hazard(rows, times), -np.log(survival), atol=1e-12)
    small = 1e-4
    steps = fit.predict_survival_function(rows, np.array([25.0 - small, 25.0 + small])).values
    slope = -np.diff(np.log(steps), axis=-1)[..., 0] / (2 * small)
    np.testing.assert_allclose(fit.predict_hazard(rows, np.array([25.0])).values[..., 0], slope, rtol=1e-5)
    three = Rows(rows.schema, rows.codes[:3], rows.reached[:3])
    fine = np.linspace(0, 60, 301)
    area = np.trapezoid(fit.predict_survival_function(three, fine).values, fine, axis=-1)
    np.testing.assert_allclose(fit.predict_restricted_mean_survival_time(three, 60.0), area, rtol=1e-4)


def test_n_at_risk_counts_the_period_end(fit):
    found = fit.n_at_risk(np.array([0.0, 7.0, 7.1, 90.0, 91.0]))
    per_period = 3 * 2 * 6 * 40
    assert found.tolist() == [per_period] * 4 + [0]


def test_frames_for_people(fit):
    effects = fit.summary()
    assert effects["column"].tolist() == ["plan", "plan", "price"] + ["country"] * 5
    assert effects["level"].tolist() == ["plus", "pro", "10–50", "A", "B", "C", "D", "E"]
    assert effects["reference"].tolist() == ["basic", "basic", "0–10"] + [""] * 5
    assert ((effects["lower"] < effects["hazard_ratio"]) & (effects["hazard_ratio"] < effects["upper"])).all()
    assert set(effects["ci_kind"]) == {"eti"}
    assert set(effects["ci_prob"]) == {0.9}
    groups = effects[effects["column"] == "country"]
    # A pooled ratio lies between the unpooled one and no difference.
    pulled = np.log(groups["hazard_ratio"]) / np.log(groups["unpooled"])
    assert (pulled[np.abs(np.log(groups["unpooled"])) > 0.1] < 1.2).all()
    baseline = fit.baseline()
    assert baseline["stop"].tolist() == [7, 14, 30, 90]
    assert (baseline["lower"] < baseline["upper"]).all()


def test_interrupted_is_said_and_cut_alike(cells, monkeypatch):
    calls = []

    def stop(share, sentence):
        calls.append(share)
        if share > 0.8:
            raise KeyboardInterrupt

    with pytest.warns(ConvergenceWarning, match="is not whole"):
        fit = MODEL.fit(cells, rng=1, draws=200, tune=100, progress=stop)
    assert fit.info.status == "interrupted"
    assert not fit.info.reliable
    assert "stopped by hand after" in fit.info.messages[0]
    assert fit.info.n_draws == fit.n_draws < 800
    assert fit.posterior["posterior"].sizes["chain"] == 4


def test_a_stop_between_a_step_and_its_statistics_keeps_the_draws(cells, monkeypatch):
    """Ctrl-C may come after the position is kept and before its statistics are."""
    stats, calls = sampling._STATS, []

    class Interrupting(tuple):
        def __iter__(self):
            calls.append(1)
            if len(calls) == 130:  # every chain had one turn
                raise KeyboardInterrupt
            return super().__iter__()

    monkeypatch.setattr(sampling, "_STATS", Interrupting(stats))
    with pytest.warns(ConvergenceWarning, match="is not whole"):
        fit = MODEL.fit(cells, rng=1, draws=200, tune=100)
    assert fit.info.status == "interrupted"
    assert fit.info.n_draws == 4 * fit.posterior["sample_stats"].sizes["draw"] > 0


def diverging_once(monkeypatch):
    """A gate that finds a divergence the first time it is asked."""
    check, asked = sampling.check, []

    def told(posterior, stats):
        gate = check(posterior, stats)
        asked.append(1)
        return replace(gate, divergences=1, messages=("1 transition diverged.",)) if len(asked) == 1 else gate

    monkeypatch.setattr(sampling, "check", told)


def test_a_divergence_sets_off_a_second_try_with_smaller_steps(cells, monkeypatch):
    diverging_once(monkeypatch)
    sentences = []
    fit = MODEL.fit(cells, rng=1, draws=500, tune=100, progress=lambda share, sentence: sentences.append(sentence))
    assert "trying again with smaller steps" in sentences
    assert fit.posterior["sample_stats"]["mean_tree_accept"].mean() > 0.95
    assert fit.info.status == "ok"


def test_too_few_draws_do_not(cells):
    sentences = []
    with pytest.warns(ConvergenceWarning, match="effective draws of"):
        MODEL.fit(cells, rng=1, draws=20, tune=100, progress=lambda share, sentence: sentences.append(sentence))
    assert "trying again with smaller steps" not in sentences


def test_a_stop_during_the_second_try_keeps_the_first(cells, monkeypatch):
    def stop(share, sentence):
        if "again" in sentence:
            seen.append(share)
        if seen and share > 0:
            raise KeyboardInterrupt

    seen = []
    diverging_once(monkeypatch)
    with pytest.warns(ConvergenceWarning, match="the posterior is not whole"):
        fit = MODEL.fit(cells, rng=1, draws=20, tune=100, progress=stop)
    assert seen
    assert fit.info.status == "interrupted"
    assert fit.info.n_draws == 80


def test_interrupt_before_any_draw_leaves_no_fit(cells):
    def stop(share, sentence):
        if share > 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        MODEL.fit(cells, rng=1, draws=200, tune=100, progress=stop)


def test_a_broken_gate_is_unreliable_and_warns(cells):
    with pytest.warns(ConvergenceWarning, match="effective draws of"):
        fit = MODEL.fit(cells, rng=1, draws=20, tune=100)
    assert fit.info.status == "unreliable"
    assert any("limit 400" in message for message in fit.info.messages)


def test_gate_names_divergences_and_deep_trees(fit):
    stats = {
        name: fit.posterior["sample_stats"][name].values.copy() for name in fit.posterior["sample_stats"].data_vars
    }
    stats["diverging"][0, 0] = True
    stats["reached_max_treedepth"][:, :20] = True
    stats["energy"][:] = np.linspace(0, 100, stats["energy"].shape[1])
    gate = sampling.check(fit.posterior, stats)
    text = " ".join(gate.messages)
    assert "1 of 2,000 transitions diverged" in text
    assert "deepest tree" in text
    assert "E-BFMI" in text


def test_refusals_come_before_work(cells, monkeypatch):
    monkeypatch.setattr(sampling, "sample_nuts", lambda *a, **k: pytest.fail("worked"))
    with pytest.raises(FormulaError, match="no column of the cells: colour"):
        HierarchicalModel("colour").fit(cells)
    with pytest.raises(FormulaError, match="no column of the cells: region"):
        HierarchicalModel(groups=("region",)).fit(cells)
    with pytest.raises(FormulaError, match="stand twice"):
        HierarchicalModel("country", groups=("country",)).fit(cells)
    with pytest.raises(PriorError, match=r"slope[\s\S]*parameters are: intercept, coef, walk_sd, country_effect_sd"):
        HierarchicalModel("plan", groups=("country",), priors={"slope": Normal(0, 1)}).fit(cells)
    with pytest.raises(PriorError, match="cannot be the prior of walk_sd"):
        HierarchicalModel(priors={"walk_sd": Normal(0, 1)}).fit(cells)
    with pytest.raises(PriorError, match="sd=-1"):
        HalfNormal(-1)
    with pytest.raises(FormulaError, match=r"price varies by country and is not in the formula"):
        HierarchicalModel("plan", groups={"country": "1 + price"}).fit(cells)
    with pytest.raises(ArgumentError, match="one text"):
        HierarchicalModel(groups="country")


def test_no_events_no_exposure_two_causes(plan_column):
    def table(events, exposure, causes=1):
        return make_cells(
            np.tile(events, (causes, 1)).T, exposure, [0, 1], [0, 0], columns=(plan_column,), breaks=(0.0, 30.0)
        )

    with pytest.raises(NoEventsError, match="not one event in 100 days"):
        HierarchicalModel().fit(table([0, 0], [50.0, 50.0]))
    with pytest.raises(EmptyDataError, match="no time at risk"):
        HierarchicalModel().fit(table([0, 0], [0.0, 0.0]))
    with pytest.raises(ModelSupportError, match=r"needed: causes[\s\S]*with_cause"):
        HierarchicalModel().fit(table([3, 2], [50.0, 50.0], causes=2))
    with pytest.raises(ModelSupportError, match=r"fits on cells[\s\S]*CellTable.from_periods"):
        HierarchicalModel().fit(object())


def test_constant_and_collinear_columns(plan_column):
    other = PatternColumn("tier", ("x", "y", "z"))
    codes = np.array([[0, 0], [1, 1], [2, 2], [0, 0], [1, 1], [2, 2]])
    table = make_cells(
        [5, 7, 9, 3, 4, 5], [90.0] * 6, codes, [0, 0, 0, 1, 1, 1], columns=(plan_column, other), breaks=(0, 7, 30)
    )
    with pytest.raises(FormulaError, match=r"2 of 4 terms are determined[\s\S]*tier\[y\] from plan\[plus\]") as caught:
        HierarchicalModel("plan + tier").fit(table)
    assert caught.value.rows[0]["term"] == "tier[y]"
    same = np.column_stack([codes[:, 0], np.zeros(6, int)])
    with pytest.raises(FormulaError, match=r"tier is always x"):
        HierarchicalModel("plan + tier").fit(
            make_cells([5] * 6, [90.0] * 6, same, [0, 0, 0, 1, 1, 1], columns=(plan_column, other), breaks=(0, 7, 30))
        )
    with pytest.warns(DataWarning, match=r"tier\[y\] \(determined"):
        fit = HierarchicalModel("plan + tier", on_bad="drop").fit(table, draws=500, tune=150, chains=2)
    assert [term.label for term in fit.effects.terms] == ["plan[plus]", "plan[pro]"]


def test_few_events_are_named(plan_column):
    table = make_cells([1, 1, 0], [90.0] * 3, [0, 1, 2], [0, 0, 0], columns=(plan_column,), breaks=(0, 30))
    with pytest.warns(DataWarning, match=r"1\.0 events per term"):
        HierarchicalModel("plan").fit(table, draws=500, tune=150, chains=2)


def test_rows_of_other_cells_are_refused(fit, plan_column):
    schema = CellSchema(fit.schema.churn, fit.schema.breaks, (plan_column,))
    with pytest.raises(CellMismatchError, match="other cells"):
        fit.conditional_survival(Rows(schema, np.zeros((1, 1), int), np.zeros(1)), np.ones((1, 1)))


def test_log_spacing_compares_unequal_periods():
    np.testing.assert_allclose(log_spacing((0.0, 2.0, 4.0, 8.0)), np.log([3.0, 2.0]))


def test_the_pymc_model_is_reachable(fit, cells):
    model = fit.pymc_model()
    assert {rv.name for rv in model.free_RVs} >= {"walk_sd", "country_effect_sd", "intercept_level", "coef_level"}
    again = fit.model.pymc_model(cells)
    assert [rv.name for rv in again.free_RVs] == [rv.name for rv in model.free_RVs]


def test_progress_tells_share_and_sentence(cells):
    told = []
    MODEL.fit(cells, rng=1, draws=500, tune=150, progress=lambda share, sentence: told.append((share, sentence)))
    assert told[0] == (0.0, "finding the mode")
    assert told[-1] == (1.0, "drawing from the posterior")
