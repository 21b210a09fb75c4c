"""The Cox model as a model: settings, guards, predictions and what a file keeps of it."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest

import churnsurv
from churnsurv.errors import (
    ArgumentError,
    CellMismatchError,
    DataWarning,
    EmptyDataError,
    FormulaError,
    MissingValueError,
    ModelSupportError,
    NoEventsError,
    SavedFitError,
    SeparationError,
)
from churnsurv.models.base import SurvivalFit
from churnsurv.models.cox import CoxModel
from churnsurv.models.cox_baseline import Blocks
from churnsurv.tables.contracts import Cancellation
from churnsurv.tables.schema import UNSEEN
from tests.models.cox_data import rows_of, simulated
from tests.models.rows import Episodes, episodes, open_rows


@pytest.fixture(scope="module")
def data():
    return simulated(600, seed=3, late=0.3)


@pytest.fixture(scope="module")
def rows(data):
    return rows_of(data)


@pytest.fixture(scope="module")
def fit(rows):
    return CoxModel("a + b + plan").fit(rows, draws=64)


@pytest.fixture(scope="module")
def stratified(rows):
    return CoxModel("a + b", strata=("plan",)).fit(rows, draws=64)


def split(table: Episodes, at: float) -> Episodes:
    """Cut every row that is under way at a time into two."""
    cut = (table.start < at) & (table.stop > at)
    index = np.concatenate([np.arange(len(table.stop)), np.flatnonzero(cut)])
    second = np.arange(len(index)) >= len(table.stop)
    made = table.take(index)
    return replace(
        made,
        start=np.where(second, at, made.start),
        stop=np.where(~second & cut[index], at, made.stop),
        event=np.where(~second & cut[index], 0, made.event),
    )


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"strata": "plan"}, "strata='plan' is one text"),
        ({"penalizer": -1.0}, "penalizer=-1.0"),
        ({"penalizer": True}, "penalizer=True"),
        ({"l1_ratio": 2.0}, "from 0 to 1"),
        ({"ties": "exact"}, "exact"),
        ({"on_bad": "clip"}, "clip"),
        ({"robust": "yes"}, "robust='yes'"),
        ({"penalizer": 0.1, "l1_ratio": 0.5, "ties": "breslow"}, "Efron's ties only"),
    ],
)
def test_settings_without_a_meaning_are_refused(settings, words):
    with pytest.raises(ArgumentError, match=words):
        CoxModel("plan", **settings)


def test_a_fit_is_a_survival_fit(fit):
    assert isinstance(fit, SurvivalFit)
    assert fit.n_draws == 64
    assert fit.posterior["posterior"]["coef"].dims == ("chain", "draw", "term")
    assert repr(fit).startswith("CoxFit('a + b + plan': ok, ")


def test_the_truth_is_found():
    fit = CoxModel("a + b + plan").fit(rows_of(simulated(20_000, seed=1, late=0.3)), draws=1)
    truth = np.array([0.7, -0.4, -0.2])  # monthly against annual or the other way round, by exposure
    coef = fit.coef.to_numpy() * [1, 1, 1 if fit.design.terms[2] == "plan[monthly]" else -1]
    assert np.all(np.abs(coef - truth) < 3 * fit.summary()["se"])


@pytest.mark.parametrize("model", [CoxModel("a + b + plan"), CoxModel("a + b", strata=("plan",)),
                                   CoxModel("a + b + plan", penalizer=0.1), CoxModel("a", penalizer=0.1, l1_ratio=0.5),
                                   CoxModel("a + b + plan", robust=True)])  # fmt: skip
def test_cutting_spells_changes_no_fit(rows, model):
    whole, cut = model.fit(rows, draws=1), model.fit(split(split(rows, 120.0), 33.3), draws=1)
    np.testing.assert_allclose(cut.coef, whole.coef, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(cut.summary()["se"], whole.summary()["se"], rtol=1e-7)
    np.testing.assert_allclose(cut.baseline["survival"], whole.baseline["survival"], rtol=1e-8)
    times = np.linspace(0, 450, 40)
    np.testing.assert_allclose(cut.n_at_risk(times), whole.n_at_risk(times), atol=3)  # kept on a grid of times


def test_rows_in_any_order_are_one_fit(rows, fit):
    order = np.random.default_rng(5).permutation(len(rows.stop))
    other = CoxModel("a + b + plan").fit(rows.take(order), draws=1)
    np.testing.assert_allclose(other.coef, fit.coef, rtol=1e-9)
    np.testing.assert_allclose(other.baseline["survival"], fit.baseline["survival"], rtol=1e-9)


def test_a_constant_stratum_is_no_stratum(rows, data):
    one = rows_of({**data, "shop": np.full(len(data["a"]), "x", dtype=object)}, columns=("a", "b", "shop"))
    np.testing.assert_allclose(
        CoxModel("a + b", strata=("shop",)).fit(one, draws=1).coef, CoxModel("a + b").fit(one, draws=1).coef, rtol=1e-10
    )


def test_weights_of_whole_numbers_are_repetitions(data):
    few = {name: values[:150] for name, values in data.items()}
    few["stop"] = few["stop"] + np.linspace(0, 1e-3, 150)  # Efron's ties are not repetitions: keep events apart
    weight = np.where(few["event"] == 1, 1.0, 1 + np.arange(150) % 3)
    index = np.repeat(np.arange(150), weight.astype(int))
    weighted = CoxModel("a + b").fit(rows_of(few, weight=weight), draws=1)
    repeated = CoxModel("a + b").fit(rows_of({k: v[index] for k, v in few.items()}), draws=1)
    np.testing.assert_allclose(weighted.coef, repeated.coef, rtol=1e-9)
    np.testing.assert_allclose(weighted.covariance, repeated.covariance, rtol=1e-9)
    assert weighted.robust_covariance is None
    assert CoxModel("a").fit(rows_of(few, weight=weight + 0.5), draws=1).robust_covariance is not None


def test_customers_with_several_spells_get_robust_errors(data):
    """The sandwich is the sum over customers of what leaving one out does (Lin and Wei 1989)."""
    n = len(data["a"])
    customer = np.array([f"c{i // 3}" for i in range(n)], dtype=object)
    several = rows_of(data, customer=customer, spell=np.arange(n) % 3)
    fit = CoxModel("a + b + plan").fit(several, draws=1)
    change = fit.residuals("dfbeta", collapse=True)
    assert len(change) == n // 3
    np.testing.assert_allclose(fit.robust_covariance, change.T @ change, rtol=1e-10)
    np.testing.assert_allclose(fit.summary()["se"], np.sqrt(np.diag(fit.robust_covariance)))
    plain = CoxModel("a + b + plan", robust=False).fit(several, draws=1)
    assert plain.robust_covariance is None
    np.testing.assert_allclose(plain.covariance, fit.covariance)


def test_leaving_a_customer_out_does_what_dfbeta_says(rows, fit):
    change = fit.residuals("dfbeta")
    for i in (0, 17, 203):
        without = CoxModel("a + b + plan").fit(rows.take(np.delete(np.arange(len(rows.stop)), i)), draws=1)
        told = change.loc[i, list(fit.design.terms)].to_numpy(float)
        np.testing.assert_allclose(fit.coef - without.coef, told, atol=0.15 * np.abs(told).max() + 1e-4)


def test_expected_events_are_those_that_happened(rows, stratified):
    martingale = stratified.residuals("martingale")
    assert abs(martingale["martingale"].sum()) < 1e-8
    assert martingale["customer_id"].tolist() == rows.customer_id.tolist()
    collapsed = stratified.residuals("deviance", collapse=True)["deviance"]
    np.testing.assert_allclose(collapsed, stratified.residuals("deviance")["deviance"])  # one row a customer
    scaled = stratified.residuals("scaled_schoenfeld")
    np.testing.assert_allclose(scaled[["a", "b"]].mean(), stratified.coef, atol=1e-7)
    with pytest.raises(ArgumentError, match="belong to events"):
        stratified.residuals("schoenfeld", collapse=True)
    with pytest.raises(ArgumentError):
        stratified.residuals("cox-snell")


def test_a_model_without_columns_is_the_nelson_aalen_curve(rows):
    from churnsurv.hazards.nonparametric import nelson_aalen

    fit = CoxModel().fit(rows, draws=50)
    curve = nelson_aalen(entry=rows.start, exit=rows.stop, event=rows.event)
    times = fit.baseline["time"].to_numpy()
    told = fit.predict_cumulative_hazard(open_rows(rows, 0.0, [0]), times).values[0]
    np.testing.assert_allclose(
        fit.baseline["cumulative_hazard"], np.interp(times, curve.times, curve.cumulative_hazard)
    )
    assert told.shape == (50, 1, len(times))
    assert fit.summary().empty
    with pytest.raises(ArgumentError, match="no terms"):
        fit.proportional_hazards_test()
    with pytest.raises(ArgumentError, match="models without columns"):
        _ = fit.lifelines


def test_events_at_time_zero_count(data):
    """As in lifelines: where nobody enters late, everybody is at risk at time 0."""
    early = {**data, "stop": spoil(data["stop"], range(5), 0.0), "event": spoil(data["event"], range(5), 1)}
    with pytest.raises(ArgumentError, match="5 of 600 rows do not end after they start"):
        CoxModel().fit(rows_of({**early, "entry": spoil(data["entry"], range(5), 0.0)}, columns=("a",)))
    rows = rows_of({**early, "entry": np.zeros(600)}, columns=("a",))
    fit = CoxModel().fit(rows, draws=1)
    first = fit.baseline.iloc[0]
    assert (first["time"], first["n_at_risk"]) == (0.0, 600)
    assert first["hazard"] == pytest.approx(np.sum(1 / (600 - np.arange(5))))
    new = open_rows(rows, 0.0, [10])
    assert fit.predict_survival_function(new, [0.0]).item() == pytest.approx(np.exp(-first["hazard"]))
    assert fit.conditional_survival(new, np.zeros((1, 1))).item() == 1.0


@pytest.mark.parametrize("unit", [1 / 365.25, 24.0, 86_400e6])
def test_a_unit_of_time_changes_no_coefficient(data, fit, unit):
    other = CoxModel("a + b + plan").fit(rows_of({**data, "stop": data["stop"] * unit, "entry": data["entry"] * unit}))
    np.testing.assert_allclose(other.coef, fit.coef, rtol=1e-10)
    np.testing.assert_allclose(other.baseline["time"], fit.baseline["time"] * unit)


@pytest.mark.parametrize(("by", "shift"), [(1e9, 0.0), (1e-9, 0.0), (1.0, 2026.0), (12.0, -1e6)])
def test_a_unit_of_a_column_changes_its_coefficient_alone(data, rows, fit, by, shift):
    other = CoxModel("a + b + plan").fit(rows_of({**data, "a": by * data["a"] + shift}), draws=64)
    np.testing.assert_allclose(other.coef * [by, 1, 1], fit.coef, rtol=1e-8)
    np.testing.assert_allclose(other.summary()["se"] * [by, 1, 1], fit.summary()["se"], rtol=1e-8)
    one = open_rows(rows, 10.0, [3])
    two = type(one)(other.schema, one.codes, (by * one.values[0] + shift, *one.values[1:]), one.reached)
    until = np.full((1, 1), 100.0)
    np.testing.assert_allclose(other.conditional_survival(two, until), fit.conditional_survival(one, until), rtol=1e-6)


def test_nothing_is_told_beyond_the_last_time(rows, fit):
    last = float(rows.stop.max())
    new = open_rows(rows, [0.0, last - 1, last], [0, 1, 2])
    until = np.column_stack([new.reached, np.full(3, last), np.full(3, last + 1e-6)])
    told = fit.conditional_survival(new, until)
    assert told.shape == (64, 3, 3)
    np.testing.assert_array_equal(told[:, :, 0], 1.0)
    assert np.all(np.isfinite(told[:, :, 1]))
    assert np.all(np.isnan(told[:, :, 2]))
    assert fit.n_at_risk(np.array([last + 1.0]))[0] == 0


def test_each_stratum_ends_by_itself(data):
    annual = data["plan"] == "annual"
    keep = ~annual | (data["entry"] < 250)
    late = annual & (data["stop"] > 250)
    ended = {**data, "stop": np.where(late, 250.0, data["stop"]), "event": np.where(late, 0, data["event"])}
    rows = rows_of({name: values[keep] for name, values in ended.items()})
    fit = CoxModel("a + b", strata=("plan",)).fit(rows, draws=4)
    code = rows.schema.columns[2].labels.index("annual")
    both = open_rows(rows, [250.0, 250.0], [int(np.argmax(rows.codes[:, 2] == c)) for c in (code, 1 - code)])
    told = fit.conditional_survival(both, np.full((2, 2), [250.0, 251.0]))
    np.testing.assert_array_equal(told[:, :, 0], 1.0)
    assert np.all(np.isnan(told[:, 0, 1]))
    assert np.all(np.isfinite(told[:, 1, 1]))
    assert fit.n_at_risk(np.full((2, 1), 251.0), both)[0, 0] == 0


def test_conditional_survival_is_a_ratio_of_survivals(rows, stratified):
    new = open_rows(rows, np.linspace(0, 300, 20), np.arange(20))
    until = new.reached[:, None] + np.array([[0.0, 10.0, 60.0]])
    told = stratified.conditional_survival(new, until)
    curve = stratified.predict_survival_function(new, np.unique(np.append(until, new.reached)))
    for i in range(20):
        own = curve.isel(chain=0, customer=i)
        for k in range(3):
            ratio = own.sel(time=until[i, k]) / own.sel(time=new.reached[i])
            np.testing.assert_allclose(told[:, i, k], ratio, rtol=1e-9)
    assert np.all(np.diff(told, axis=2) <= 0)


def test_a_chunk_has_the_bytes_of_the_whole(rows, fit):
    new = open_rows(rows, 50.0)
    until = np.broadcast_to([80.0, 200.0], (len(rows.stop), 2))
    whole = fit.conditional_survival(new, until)
    parts = [fit.conditional_survival(open_rows(rows, 50.0, some), until[some])
             for some in np.array_split(np.arange(len(rows.stop)), 7)]  # fmt: skip
    assert whole.tobytes() == np.concatenate(parts, axis=1).tobytes()
    some = fit.conditional_survival(new, until, draws=np.array([3, 60]))
    assert some.tobytes() == whole[[3, 60]].tobytes()
    with pytest.raises(ArgumentError, match="between 0 and 63"):
        fit.conditional_survival(new, until, draws=np.array([64]))


def test_an_unseen_level_stratum_or_number_has_no_prediction(rows, fit, stratified):
    new = open_rows(rows, 10.0, [0, 1, 2])
    new.codes[0, 2] = UNSEEN
    new.values[0][1] = np.nan
    for one in (fit, stratified):
        assert one.unseen(new).tolist() == [True, True, False]
        told = one.conditional_survival(new, np.full((3, 2), [10.0, 40.0]))
        assert np.isnan(told[:, :2]).all()
        assert np.isfinite(told[:, 2]).all()
    assert stratified.n_at_risk(np.full((3, 1), 5.0), new)[0, 0] == 0
    with pytest.raises(CellMismatchError):
        fit.unseen(replace(new, schema=replace(rows.schema, columns=rows.schema.columns[:2])))


def test_numbers_at_risk_count_rows_of_the_stratum(rows, stratified):
    times = np.linspace(1.0, 420.0, 50)
    plan = rows.codes[:, 2]
    new = open_rows(rows, 0.0, [int(np.argmax(plan == 0)), int(np.argmax(plan == 1))])
    told = stratified.n_at_risk(np.broadcast_to(times, (2, 50)), new)
    for s in (0, 1):
        here = plan == s
        truth = ((rows.start[here] < times[:, None]) & (times[:, None] <= rows.stop[here])).sum(axis=1)
        assert np.all(told[s] <= truth)
        assert np.all(told[s] >= truth - 6)
    exact = stratified.baseline.query("stratum == 'plan=annual'")
    here = plan == rows.schema.columns[2].labels.index("annual")
    at = exact["time"].to_numpy()
    truth = ((rows.start[here] < at[:, None]) & (at[:, None] <= rows.stop[here])).sum(axis=1)
    np.testing.assert_array_equal(exact["n_at_risk"], truth)


def test_a_stratum_without_events_is_not_promised_to_stay(data):
    plan = np.where(data["event"] == 1, "monthly", "annual").astype(object)
    plan[np.flatnonzero(data["event"] == 0)[:50]] = "monthly"
    with pytest.warns(DataWarning, match="strata without an event"):
        fit = CoxModel("a", strata=("plan",)).fit(rows_of({**data, "plan": plan}, columns=("a", "plan")), draws=2)
    rows = rows_of({**data, "plan": plan}, columns=("a", "plan"))
    assert "plan=annual" in fit.info.messages[0]
    new = open_rows(rows, 1.0, [int(np.argmax(plan == "annual"))])
    assert fit.unseen(new).all()
    assert np.isnan(fit.conditional_survival(new, np.full((1, 1), 5.0))).all()


def test_blocks_of_noise_are_bounded():
    fit = CoxModel("a").fit(rows_of(simulated(3000, seed=9)), draws=8)
    assert len(fit.draws.blocks) == len(fit.steps.times)
    blocks = Blocks.of(fit.steps, fit.draws.blocks.mean, most=500)
    assert 400 < len(blocks) <= 500 < len(fit.steps.times) / 2
    assert blocks.hazard.sum() == pytest.approx(fit.steps.cumulative_hazard[-1])
    assert blocks.variance.sum() == pytest.approx(fit.steps.variance[-1])


def test_one_draw_is_the_estimate(rows, fit):
    point = fit.with_draws(1)
    assert point.n_draws == point.info.n_draws == 1
    new = open_rows(rows, 0.0, [4])
    x = fit.design.matrix(new.codes, new.values)[0] - fit.centre
    step = fit.baseline.iloc[40]
    told = point.predict_survival_function(new, [step["time"]]).item()
    assert told == pytest.approx(np.exp(-step["cumulative_hazard"] * np.exp(x @ fit.estimate.coef)), rel=1e-12)
    again = fit.with_draws(64)
    assert again.draws.multiplier.tobytes() == fit.draws.multiplier.tobytes()
    assert fit.with_draws(64, rng=1).draws.coef.tobytes() != fit.draws.coef.tobytes()


def test_bins_make_levels_of_numbers(data):
    rows = rows_of(data, bins={"a": [-10, 0, 10]})
    fit = CoxModel("a + b").fit(rows, draws=2)
    assert [term.partition("[")[0] for term in fit.design.terms] == ["a", "b"]
    assert CoxModel("b", strata=("a",)).fit(rows, draws=2).steps.n_strata == 2
    with pytest.raises(ModelSupportError, match="without bins: b"):
        CoxModel("a", strata=("b",)).fit(rows)
    with pytest.raises(ModelSupportError, match="strata names 'c'"):
        CoxModel("a", strata=("c",)).fit(rows)
    with pytest.raises(ArgumentError, match="made without them"):
        CoxModel("a", bins={"b": [-1, 0, 1]}).fit(rows)


def change(rows, **values):
    return replace(rows, **values)


def spoil(values, index, value):
    changed = np.array(values)
    changed[index] = value
    return changed


FAULTS = {
    "several causes": (lambda r: change(r, event=spoil(r.event, 0, 2)), ModelSupportError, "with_cause"),
    "no rows": (lambda r: r.take(np.zeros(0, int)), EmptyDataError, "not one row"),
    "no events": (lambda r: change(r, event=np.zeros_like(r.event)), NoEventsError, "not one of 600"),
    "NaN time": (lambda r: change(r, stop=spoil(r.stop, 3, np.nan)), ArgumentError, "1 of 600 rows have no time"),
    "negative time": (lambda r: change(r, start=spoil(r.start, 3, -1.0)), ArgumentError, "one below 0"),
    "no length": (lambda r: change(r, stop=spoil(r.stop, 3, r.start[3])), ArgumentError, "do not end after"),
    "weight 0": (lambda r: change(r, weight=spoil(np.ones(600), [3, 4], [0, np.nan])), ArgumentError, "2 of 600"),
    "overlap": (
        lambda r: change(
            r, customer_id=spoil(r.customer_id, 1, "c0"), start=spoil(r.start, [0, 1], 0.0),
            event=spoil(r.event, [0, 1], 0), n_spells=599,
        ),
        ArgumentError, "begin before the row ahead",
    ),
    "two events": (
        lambda r: change(
            r, customer_id=spoil(r.customer_id, 1, "c0"), start=spoil(r.start, [0, 1], [0, 500.0]),
            stop=spoil(r.stop, 1, 600.0), event=spoil(r.event, [0, 1], 1), n_spells=599,
        ),
        ArgumentError, "follow an event of their own spell",
    ),
    "number not known": (
        lambda r: change(r, values=(spoil(r.values[0], 5, np.nan), *r.values[1:])), MissingValueError, "a is not known"
    ),
    "constant": (
        lambda r: change(r, values=(np.ones(600), *r.values[1:])), FormulaError, "constant"
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_refused_by_name(rows, fault):
    make, error, words = FAULTS[fault]
    with pytest.raises(error, match=words) as caught:
        CoxModel("a + b + plan").fit(make(rows))
    assert "Hint: " in str(caught.value)


def test_rows_without_a_number_are_left_out_where_asked(rows):
    holed = change(rows, values=(spoil(rows.values[0], [5, 6, 7], np.nan), *rows.values[1:]))
    with pytest.warns(DataWarning, match="left out 3 of 600 rows"):
        fit = CoxModel("a + b", on_bad="drop").fit(holed, draws=1)
    without = CoxModel("a + b").fit(rows.take(np.delete(np.arange(600), [5, 6, 7])), draws=1)
    np.testing.assert_allclose(fit.coef, without.coef, rtol=1e-12)
    assert fit.info.messages == ("left out 3 of 600 rows without a number that the formula needs.",)
    assert fit.info.n_spells == 597


def test_an_infinite_coefficient_is_refused_and_can_be_penalised(data):
    """Nobody with the trial plan churns (R survival, tests/infcox.R, has one like it)."""
    plan = np.where(data["event"] == 1, "paid", "trial").astype(object)
    plan[::5] = "paid"
    rows = rows_of({**data, "plan": plan})
    with pytest.raises(SeparationError, match=r"1 of 3 coefficients have no finite estimate: plan\[trial\]") as caught:
        CoxModel("a + b + plan").fit(rows)
    assert "penalizer=" in caught.value.hint
    drawn = CoxModel("a + b + plan", penalizer=0.01).fit(rows, draws=1)
    assert drawn.info.status == "ok"
    assert -10 < drawn.coef["plan[trial]"] < -1


def test_two_infinite_coefficients():
    """R survival 3.8, tests/infcox.R: both coefficients go to minus infinity."""
    rows = episodes(range(1, 13), [1, 0, 1, 0, 1, *[0] * 7], {"x1": [0, 1] * 6, "x2": [0] * 6 + [1] * 6})
    with pytest.raises(SeparationError, match="2 of 2 coefficients have no finite estimate: x1, x2"):
        CoxModel("x1 + x2").fit(rows)


def test_a_term_that_is_constant_within_strata_is_named(data):
    shop = np.where(data["plan"] == "annual", "x", "y").astype(object)
    rows = rows_of({**data, "shop": shop}, columns=("a", "shop", "plan"))
    with pytest.raises(FormulaError, match=r"cannot be told apart among those at risk together: plan\[annual\]"):
        CoxModel("a + plan", strata=("shop",)).fit(rows)


def test_few_events_are_said(data):
    few = {name: values[:40] for name, values in data.items()}
    at = np.flatnonzero(few["event"] == 1)
    few["event"] = spoil(few["event"], at[4:], 0)
    with pytest.warns(DataWarning, match=r"4.0 events per term \(4 for 1\)"):
        fit = CoxModel("a").fit(rows_of(few), draws=2)
    assert fit.info.status == "unreliable"
    assert "events per term" in fit.info.messages[0]
    few["event"] = spoil(few["event"], at[1:], 0)
    with pytest.warns(DataWarning) as caught:
        CoxModel("a").fit(rows_of(few), draws=2)
    assert any("there is one event" in str(one.message) for one in caught)
    with pytest.raises(NoEventsError, match="1 events cannot tell 3 terms apart"):
        CoxModel("a + b + plan").fit(rows_of(few))


def test_the_clock_of_gaps_is_said(fit):
    assert fit.info.independent_gaps
    assert len(fit.info.fingerprint) == 64
    assert fit.info.exposure == pytest.approx(float(np.sum(fit.rows.stop - fit.rows.start)))


def test_repeated_contracts_are_said(data):
    """The noise of the baseline knows no customers: also on the clock of tenure, where somebody has several."""
    tenure = Cancellation(("cancelled",), origin="kind:signup")
    assert not CoxModel("a").fit(rows_of(data, churn=tenure), draws=1).info.independent_gaps
    customer = np.array([f"c{i // 2}" for i in range(600)], dtype=object)
    several = CoxModel("a").fit(rows_of(data, churn=tenure, customer=customer, spell=np.arange(600) % 2), draws=1)
    assert several.info.independent_gaps


@pytest.mark.parametrize("l1_ratio", [0.0, 0.3])
def test_a_penalty_takes_whole_weights_for_repetitions(data, l1_ratio):
    """Times without ties among rows of weight above 1 with an event: there Efron's ties tell the two apart."""
    stream = np.random.default_rng(3)
    weight = np.where(data["event"] == 1, 1, stream.integers(1, 6, 600))
    model = CoxModel("a + b + plan", penalizer=0.1, l1_ratio=l1_ratio)
    weighted = model.fit(rows_of(data, weight=weight), draws=1)
    again = np.repeat(np.arange(600), weight)
    repeated = model.fit(rows_of({name: values[again] for name, values in data.items()}), draws=1)
    np.testing.assert_allclose(weighted.coef, repeated.coef, rtol=1e-5)
    np.testing.assert_allclose(weighted.centre, repeated.centre, rtol=1e-10)
    np.testing.assert_allclose(weighted.rows.scale, repeated.rows.scale, rtol=1e-10)
    np.testing.assert_allclose(weighted.baseline["hazard"], repeated.baseline["hazard"], rtol=1e-5)
    if not l1_ratio:
        np.testing.assert_allclose(weighted.lifelines.params_, weighted.coef, rtol=1e-5)


@pytest.mark.parametrize("which", ["fit", "stratified"])
def test_a_saved_fit_predicts_the_same(which, request, rows, tmp_path):
    fit = request.getfixturevalue(which)
    fit.save(tmp_path / "fit")
    loaded = churnsurv.load(tmp_path / "fit")
    assert loaded.rows is None
    new = open_rows(rows, 40.0, np.arange(30))
    until = np.full((30, 2), [90.0, 300.0])
    assert loaded.conditional_survival(new, until).tobytes() == fit.conditional_survival(new, until).tobytes()
    assert loaded.summary().equals(fit.summary())
    assert loaded.baseline.equals(fit.baseline)
    assert loaded.info.to_json() == fit.info.to_json()
    assert loaded.model == fit.model
    assert loaded.with_draws(9).draws.coef.tobytes() == fit.with_draws(9).draws.coef.tobytes()
    np.testing.assert_array_equal(loaded.n_at_risk(until, new), fit.n_at_risk(until, new))
    for ask in (lambda: loaded.lifelines, loaded.residuals, loaded.proportional_hazards_test, loaded.lifelines_frame):
        with pytest.raises(ArgumentError, match="a loaded fit holds no training rows"):
            ask()
    fit.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "fit").read_bytes()


def test_a_saved_fit_remembers_its_settings(data, tmp_path):
    bins = {"a": (-np.inf, 0.0, 1.0, np.inf)}
    rows = rows_of(data, bins=bins)
    model = CoxModel("b + plan", strata=("a",), bins=bins, penalizer=0.1, robust=True, ties="breslow", on_bad="drop")
    fit = model.fit(rows, draws=4, rng=3)
    fit.save(tmp_path / "fit")
    loaded = churnsurv.load(tmp_path / "fit")
    assert loaded.model == model
    assert loaded.seed == 3
    assert loaded.robust_covariance.equals(fit.robust_covariance)
    assert loaded.baseline.equals(fit.baseline)
    with pytest.raises(ArgumentError, match="ties other than Efron's"):
        _ = fit.lifelines


def test_no_customer_is_in_a_file(data, tmp_path):
    names = np.array([f"canary-{i}" for i in range(600)], dtype=object)
    CoxModel("a").fit(rows_of(data, customer=names), draws=4).save(tmp_path / "fit")
    assert b"canary-" not in (tmp_path / "fit").read_bytes()


@pytest.mark.parametrize(
    ("name", "spoiled"),
    [
        ("coef", lambda a: a[:-1]),
        ("covariance", lambda a: a * np.nan),
        ("times", lambda a: a[::-1]),
        ("cumulative_hazard", lambda a: -a),
        ("support_times", lambda a: a - 1000.0),
        ("support_times", lambda a: a[::-1]),
        ("support_n", lambda a: a[1:]),
        ("offsets", lambda a: a[::-1]),
        ("block_offsets", lambda a: np.append(a[:-2], a[-1])),
        ("block_variance", lambda a: a * 0),
        ("block_mean", lambda a: a[:, :1]),
        ("draws_coef", lambda a: a[1:]),
        ("draws_coef", lambda a: a * np.nan),
        ("stratum_levels", lambda a: a + 5),
    ],
)
def test_files_that_contradict_themselves_are_refused(stratified, name, spoiled):
    from churnsurv.models import cox_saved

    body, arrays = cox_saved.describe(stratified)
    cox_saved.build(body, arrays, stratified.schema, stratified.info)
    with pytest.raises(SavedFitError):
        cox_saved.build(body, {**arrays, name: spoiled(arrays[name])}, stratified.schema, stratified.info)


def test_nothing_is_said_where_nothing_is_wrong(rows):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        CoxModel("a + b + plan").fit(rows, draws=8).residuals("score")
