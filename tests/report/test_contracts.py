"""Reports of contracts and durations: what is said is what was computed, whatever the model."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from churnsurv import churn_risk, report
from churnsurv.errors import ArgumentError
from churnsurv.report.banners import banners_data
from churnsurv.report.health import health_data, moving_effects
from churnsurv.report.html import render_html
from churnsurv.report.patterns import counted_of, fitted_on
from churnsurv.report.sections import report_data
from churnsurv.report.why import effects_section
from churnsurv.risk.checks import AsOfCheck, CauseCheck, RiskBin
from tests.report.contracts import (
    HAZARDS,
    HOSTILE_CAUSE,
    HOSTILE_PLAN,
    contract_rows,
    contracts,
    durations,
    fit_both,
    fit_durations,
)

pytestmark = pytest.mark.filterwarnings("ignore:a customer's repeated contracts:churnsurv.errors.ApproximationWarning")

CHECK = AsOfCheck(
    cutoff="2024-10-02", horizon=90.0, n_customers=200, expected=40.2, lower=30.0, upper=51.0, observed=43, ci_prob=0.90,
    bins=(RiskBin(0.011, 0.012, 100, 1.1, 2), RiskBin(0.013, 0.014, 100, 1.4, 1)), reliable=True,
    causes=(CauseCheck("cancelled", 25.0, 18.0, 33.0, 20), CauseCheck(HOSTILE_CAUSE, 15.2, 9.0, 22.0, 23)),
)  # fmt: skip


@pytest.fixture(scope="module")
def spells():
    return contracts()


@pytest.fixture(scope="module")
def risk(spells):
    return churn_risk(fit_both(spells), spells, [30, 90], n_draws=200, rng=2)


@pytest.fixture(scope="module")
def data(risk):
    return report_data(risk, check=CHECK)


@pytest.fixture(scope="module")
def page(risk, tmp_path_factory):
    path = tmp_path_factory.mktemp("contracts") / "report.html"
    fits = {cause: risk.fit.fits[cause] for cause in risk.causes}
    return report(fits, risk, path, check=CHECK).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def told():
    """Report data of durations, by model."""
    table = durations()
    found = {}
    for name in ("cox", "weibull", "shape", "km"):
        fit = fit_durations(table, name)
        risk = churn_risk(fit, table, [30, 90], n_draws=200, rng=2)
        found[name] = (risk, report_data(risk))
    return found


def section(page, name):
    return page.split(f'<section id="{name}"')[1].split("</section>")[0]


def test_nobody_under_contract_has_churned_already(data, page):
    labels = [card["label"] for card in data["headline"]["cards"]]
    assert "already churned" not in labels
    assert "Already churned" not in page
    assert "silent" not in re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    assert data["headline"]["after"] == "are expected to leave within the next 30 days."


def test_expected_leavers_by_cause_add_up_to_those_of_any(risk, data):
    table = data["headline"]["by_cause"]
    *causes, whole = table["rows"]
    assert [row["cause"] for row in causes] == [cause.replace("_", " ") for cause in HAZARDS]
    assert whole["is_any"]
    for k in range(2):
        assert sum(row["cells"][k]["expected"] for row in causes) == pytest.approx(whole["cells"][k]["expected"])
    first = risk.totals(cause="cancelled").iloc[0]
    assert (causes[0]["cells"][0]["lower"], causes[0]["cells"][0]["upper"]) == (first["lower"], first["upper"])


def test_each_of_the_riskiest_has_the_most_likely_cause_beside_any(risk, data):
    rows = data["riskiest"]["rows"]
    assert data["riskiest"]["cause_head"] == "Most likely cause (90 days)"
    frame = risk.frame()
    last = frame[frame["horizon"] == 90].set_index(["customer_id", "cause"])["churn_probability"]
    for row in rows:
        parts = {cause: last[row["customer_id"], cause] for cause in HAZARDS}
        best = max(parts, key=parts.get)
        assert row["cause"]["cause"] == best.replace("_", " ")
        assert row["cause"]["probability"] == pytest.approx(parts[best])
        assert row["chances"][1]["probability"] == pytest.approx(sum(parts.values()))
    chances = [row["chances"][1]["probability"] for row in rows]
    assert chances == sorted(chances, reverse=True)


def test_late_entry_and_second_contracts_are_told(spells, data):
    late = spells.engine.rows(f"SELECT count(*) FILTER (WHERE entry_us > 0) FROM {spells.table}")[0][0]
    again = spells.engine.rows(f"SELECT count(*) FILTER (WHERE spell > 1) FROM {spells.table}")[0][0]
    assert late > 50
    assert again == 30
    texts = " ".join(data["window"]["texts"])
    assert f"{late} of {spells.n_spells} had begun before they came under observation (late entry)" in texts
    assert "30 are a customer's second or a later one" in texts
    entries = {entry["name"]: entry["text"] for entry in data["made"]["entries"]}
    assert entries["Entry"].startswith(f"{late} of {spells.n_spells} enter late")
    assert entries["Time counts from"] == "the 'signup' that opened it"


def test_the_curve_of_several_causes_is_an_incidence_and_adds_up(data):
    curve = data["survival"]["curve"]
    assert {row["quantity"] for row in curve} == {"incidence"}
    last = [row["share"] for row in curve if row["series"] == "Model" and row["days"] == 365]
    assert len(last) == 2
    assert 0 < sum(last) < 1
    assert all(f"lost to “{cause}”" in data["survival"]["texts"][0] for cause in ("cancelled",))


def test_a_card_of_the_model_for_each_cause(spells, data):
    entries = {entry["name"]: entry["text"] for entry in data["made"]["entries"]}
    assert entries["Model (cancelled)"] == "CoxModel"
    assert entries[f"Model ({HOSTILE_CAUSE.replace('_', ' ')})"] == "WeibullModel"
    assert entries["Formula (cancelled)"] == "plan"
    n = spells.n_events[0]
    assert entries["Events (cancelled)"] == f"{n} for 1 terms: {n} per term"
    assert f"{n} cancelled" in entries["Fitted on"]
    assert "ci_kind='wald'" in entries["Intervals"]
    assert "pymc" not in entries["Versions"]


def test_health_has_one_part_per_cause(risk, data):
    cox, weibull = data["health"]["parts"]
    assert cox["verdict"].startswith("Yes. The estimates are the maximum of the partial likelihood (Cox)")
    assert "robust" in cox["texts"][0]
    assert cox["proportional"]["rows"][0]["term"] == "All together"
    assert weibull["proportional"] is None
    assert any("The shape of the Weibull curve is" in text for text in weibull["texts"])
    test = risk.fit.fits["cancelled"].proportional_hazards_test()
    assert cox["proportional"]["rows"][0]["p"] == pytest.approx(test.loc["GLOBAL", "p"])


def test_effects_are_told_by_cause(risk, data):
    cox, weibull = data["effects"]["parts"]
    assert (cox["cause"], weibull["cause"]) == tuple(HAZARDS)
    rows = {(row["cause"], row["level"]): row for row in data["effects"]["effects"] if not row["is_reference"]}
    summary = risk.fit.fits["cancelled"].summary(0.9)
    (row,) = [row for (cause, _), row in rows.items() if cause == "cancelled"]
    assert row["ratio"] == pytest.approx(summary["hazard_ratio"].iloc[0], rel=1e-5)
    assert row["time_ratio"] is None
    (row,) = [row for (cause, _), row in rows.items() if cause == HOSTILE_CAUSE]
    assert row["time_ratio"] == pytest.approx(risk.fit.fits[HOSTILE_CAUSE].summary(0.9)["time_ratio"].iloc[0], rel=1e-5)
    assert "times as long" in weibull["blocks"][0]["rows"][0]["words"]


def test_the_check_of_each_cause_is_told(data, page):
    assert [row["held"] for row in data["check"]["causes"]] == [True, False]
    assert "under contract on that day" in data["check"]["texts"][0]
    assert [row["bin"] for row in data["check"]["rows"]] == ["1.1–1.2%", "1.3–1.4%"]
    assert "Expected and observed by cause" in section(page, "check")


def test_content_is_json_and_hostile_names_are_text(data, page):
    json.dumps(data, allow_nan=False)
    assert "<script" not in page
    assert "alert(1)" in page
    assert "alert(2)" in page
    assert HOSTILE_PLAN not in page
    assert HOSTILE_CAUSE not in page


def test_other_fits_than_those_of_the_risk_are_refused(risk, tmp_path):
    others = dict(risk.fit.fits)
    others["cancelled"] = replace(others["cancelled"])
    with pytest.raises(ArgumentError, match="another fit"):
        report(others, risk, tmp_path / "report.html")


def test_refused_and_extrapolated_shares_stand_at_the_top(risk, data):
    frame = risk.frame("any")
    n, last = risk.n_alive, frame[(frame["horizon"] == 90) & (frame["status"] == "extrapolated")]
    refused = int(risk.totals()["n_refused"].iloc[0])
    assert len(last)
    assert refused
    head = data["headline"]
    assert f"{len(last)} ({len(last) / n:.0%}) within 90 days" in head["texts"][0]
    assert head["texts"][1].startswith(f"For {refused} customers ({refused / n:.0%} of {n}) no chance is told")
    assert head["before"] == f"Of {n - refused} customers who are under contract and whose chance is known,"
    assert head["cards"][-1] == {
        "label": "risk not known", "figure": str(refused), "apart": True,
        "detail": "no chance can be told for them; not counted above",
    }  # fmt: skip


def test_rows_counted_anew_are_those_of_the_fit(risk):
    counted = counted_of(risk)
    assert fitted_on(risk, counted)
    assert counted.used == pytest.approx(risk.fit.info.exposure)
    other = replace(risk.fit.fits["cancelled"].info, exposure=risk.fit.info.exposure * 2)
    fits = {**risk.fit.fits, "cancelled": replace(risk.fit.fits["cancelled"], info=other)}
    earlier = replace(risk, fit=replace(risk.fit, fits=fits))
    assert not fitted_on(earlier, counted)
    titles = [banner["title"] for banner in report_data(earlier)["banners"]]
    assert "The model is from an earlier log" in titles


def test_one_cause_alone_says_so(spells):
    fit = fit_both(spells).fits["cancelled"]
    risk = churn_risk(fit, spells.with_cause("cancelled"), [30], rng=1)
    data = report_data(risk)
    assert any("cancelled alone" in text for text in data["banners"][-1]["texts"])
    assert "lost to “cancelled”, if nothing else could take them" in data["headline"]["after"]
    assert {row["quantity"] for row in data["survival"]["curve"]} == {"survival"}
    assert "lost to “cancelled” only" in data["survival"]["texts"][-1]
    assert data["headline"]["by_cause"] is None


def test_a_failed_gate_of_one_cause_is_a_banner(risk):
    info = replace(risk.fit.fits["cancelled"].info, status="unreliable", messages=("3 events for 1 term.",))
    fits = {**risk.fit.fits, "cancelled": replace(risk.fit.fits["cancelled"], info=info)}
    broken = replace(risk, fit=replace(risk.fit, fits=fits))
    first = banners_data(broken, None)[0]
    assert first["serious"]
    assert first["texts"] == ["Cancelled: 3 events for 1 term."]
    parts = health_data(broken)["parts"]
    assert [part["reliable"] for part in parts] == [False, True]
    assert parts[0]["verdict"].startswith("No.")


def test_durations_have_no_dates(told):
    _, data = told["cox"]
    assert data["window"]["start"] is None
    assert data["window"]["dateline"] == "500 customers, by the time since each one's own beginning"
    assert "within 30 days from then." in data["headline"]["after"]
    assert "still there when last seen" in data["headline"]["before"]
    assert data["left_out"]["texts"][0] == "No fault was found in the data."
    entries = {entry["name"]: entry["text"] for entry in data["made"]["entries"]}
    assert entries["Time zone"] == "none: the data carry no dates"
    json.dumps(data, allow_nan=False)


def test_a_number_is_compared_between_its_quarters(told):
    risk, data = told["cox"]
    (row,) = [row for row in data["effects"]["effects"] if row["column"] == "price"]
    low, high = risk.fit.schema.column("price").edges[1], risk.fit.schema.column("price").edges[3]
    coef = risk.fit.coef["price"]
    assert row["ratio"] == pytest.approx(np.exp(coef * (high - low)), rel=1e-5)
    assert row["lower"] < row["ratio"] < row["upper"]
    assert float(row["reference"]) == pytest.approx(low, rel=0.01)


def test_weibull_tells_its_shape_and_both_ratios(told):
    risk, data = told["weibull"]
    (part,) = data["health"]["parts"]
    value = np.exp(risk.fit.parameters().loc[("log_shape", "Intercept"), "coef"])
    assert f"The shape of the Weibull curve is {value:.3g}" in part["texts"][1]
    assert part["rows"][0]["found"] == f"{risk.fit.info.n_events / 2:.3g}"
    rows = [row for row in data["effects"]["effects"] if row["column"] == "plan" and not row["is_reference"]]
    summary = risk.fit.summary(0.9)
    assert rows[0]["ratio"] == pytest.approx(summary["hazard_ratio"].iloc[0], rel=1e-5)
    assert rows[0]["time_upper"] == pytest.approx(summary["upper"].iloc[0], rel=1e-5)


def test_where_the_shape_differs_there_is_no_ratio_of_hazards(told):
    risk, data = told["shape"]
    rows = data["effects"]["effects"]
    assert {row["measure"] for row in rows} == {"time_ratio"}
    (part,) = data["effects"]["parts"]
    assert part["caption"].startswith("How long customers stay")
    assert "compares how long" in part["texts"][0]
    (plan,) = [row for row in rows if row["column"] == "plan" and not row["is_reference"]]
    assert plan["ratio"] == pytest.approx(risk.fit.summary(0.9)["time_ratio"].iloc[0], rel=1e-5)


def test_kaplan_meier_has_no_intervals_and_no_effects(told):
    _, data = told["km"]
    assert "effects" not in data
    assert "tells no uncertainty" in data["headline"]["note"]
    assert all(chance["range"] == "" for row in data["riskiest"]["rows"] for chance in row["chances"])
    model = [row for row in data["survival"]["curve"] if row["series"] == "Model"]
    assert {row["lower"] for row in model} == {None}
    assert data["survival"]["groups"] is None
    assert len(data["riskiest"]["rows"]) == 25


def test_moving_effects_are_said_where_the_effects_are(told):
    risk, _ = told["cox"]
    health = health_data(risk)
    tested = health["parts"][0]["proportional"]
    assert tested["rejected"] == (tested["rows"][0]["p"] < 0.01)
    tested["rejected"] = True
    assert moving_effects(health) == {None}
    (part,) = effects_section(risk, {None})["parts"]
    assert "the same early and late" in part["texts"][-1]


def test_a_loaded_fit_says_what_it_cannot_test(told):
    risk, _ = told["cox"]
    loaded = replace(risk, fit=replace(risk.fit, rows=None))
    (part,) = health_data(loaded)["parts"]
    assert part["proportional"]["rows"] == []
    assert "was not tested" in part["proportional"]["texts"][0]


def test_pages_of_durations_are_drawn(told):
    from churnsurv.report.charts import draw_charts

    risk, data = told["km"]
    charts = draw_charts(data, risk, counted=counted_of(risk), check=None)
    assert set(charts) == {"survival", "distribution"}
    assert "How long customers stay" in render_html(data, charts)


def test_the_rows_of_one_cause_are_those_of_the_whole(spells):
    rows = contract_rows(spells)
    alone = counted_of(churn_risk(fit_both(spells).fits["cancelled"], spells.with_cause("cancelled"), [30])).rows
    assert len(alone) == len(rows)
    assert (alone.event == (rows.event == 1)).all()
