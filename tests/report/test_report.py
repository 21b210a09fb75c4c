import json
import re
from dataclasses import replace

import pytest

from churnsurv import report
from churnsurv.errors import ArgumentError
from churnsurv.plots.effects import effects_data
from churnsurv.plots.labels import level_label
from churnsurv.report.banners import banners_data, interval_note
from churnsurv.report.headline import headline_data
from churnsurv.report.patterns import cells_of
from churnsurv.report.sections import report_data
from churnsurv.report.sentences import count, count_range
from tests.report.conftest import PAYLOADS


@pytest.fixture(scope="module")
def data(risk, cells, check):
    return report_data(risk, cells=cells, check=check)


def test_same_input_same_bytes(fit, risk, cells, check, tmp_path):
    first = report(fit, risk, tmp_path / "a.html", cells=cells, check=check)
    second = report(fit, risk, tmp_path / "b.html", cells=cells, check=check)
    assert first.read_bytes() == second.read_bytes()


def test_cells_counted_anew_are_those_of_the_fit(fit, risk, cells, check, tmp_path):
    anew = cells_of(risk)
    assert anew.schema.columns == cells.schema.columns
    assert anew.total_exposure_us() == cells.total_exposure_us()
    given = report(fit, risk, tmp_path / "a.html", cells=cells, check=check).read_bytes()
    assert report(fit, risk, tmp_path / "b.html", check=check).read_bytes() == given


def test_a_model_from_an_earlier_log_is_said_at_the_top(risk, cells, check, data):
    titles = [banner["title"] for banner in data["banners"]]
    assert "The model is from an earlier log" not in titles
    info = replace(risk.fit.info, exposure=float(cells.exposure.sum()), n_spells=12)
    same = report_data(replace(risk, fit=replace(risk.fit, info=info)), cells=cells, check=check)
    assert [banner["title"] for banner in same["banners"]] == titles
    earlier = replace(risk, fit=replace(risk.fit, info=replace(info, exposure=info.exposure + 1)))
    content = report_data(earlier, cells=cells, check=check)
    assert any("fitted on 12 gaps of an earlier log" in str(banner["texts"]) for banner in content["banners"])
    assert any("not fitted on this log" in text for text in content["left_out"]["texts"])


def test_notes_are_told_in_words_and_without_hints(risk, cells, check):
    column = next(column for column in risk.fit.schema.columns if column.edges is not None)
    note = f"left out: {column.name}[{column.labels[-1]}].\nThe prior speaks.\nHint: fewer terms."
    (text,) = [
        t for t in report_data(risk, cells=cells, notes=[note])["left_out"]["texts"] if t.startswith("Left out: “")
    ]
    assert text.endswith("The prior speaks.")
    assert column.name not in text


def test_content_is_json(data):
    again = json.loads(json.dumps(data, allow_nan=False))
    assert again["headline"]["horizons"] == data["headline"]["horizons"]


def test_sections_stand_in_the_order_a_manager_asks(html):
    order = re.findall(r'<section id="([a-z-]+)"', html)
    assert order == [
        "headline", "definition", "left-out", "survival", "effects", "distribution", "riskiest", "groups", "health", "check",
        "made",
    ]  # fmt: skip


def test_headline_is_the_first_horizon_of_the_totals(risk, data):
    row = risk.totals().iloc[0]
    words = count_range(row["lower"], row["upper"], most=int(row["n_customers"]))
    assert data["headline"]["range"] == words
    assert data["headline"]["before"] == f"Of {count(row['n_customers'])} customers who are still active,"
    assert data["headline"]["after"] == "are expected to fall silent for 90 days within the next 30 days."


def test_already_churned_stand_apart(risk, data):
    card = data["headline"]["cards"][-1]
    assert card["apart"]
    assert card["figure"] == count(risk.n_already_churned)
    assert sum(risk.totals()["n_customers"].head(1)) + risk.n_already_churned + data_refused(risk) == risk.n_customers


def data_refused(risk):
    return int(risk.totals()["n_refused"].iloc[0])


def test_interval_note_stands_under_everything_with_an_interval(html, risk):
    assert interval_note(risk).startswith("† These intervals treat the repeated gaps of one customer as independent.")
    for section in ("survival", "effects", "riskiest", "groups", "check"):
        body = html.split(f'<section id="{section}">')[1].split("</section>")[0]
        assert interval_note(risk) in body
        assert "†" in body.split("<figure>" if "<figure>" in body else "<table")[1]


def test_no_mark_where_gaps_are_not_independent(risk, cells):
    info = replace(risk.fit.info, independent_gaps=False)
    honest = replace(risk, fit=replace(risk.fit, info=info))
    data = report_data(honest, cells=cells)
    assert data["dagger"] == ""
    assert "†" not in str(data["banners"])


def test_a_failed_gate_is_the_first_banner(risk, check):
    info = replace(risk.fit.info, status="unreliable", messages=("R-hat is 1.2.",))
    banners = banners_data(replace(risk, fit=replace(risk.fit, info=info)), check)
    assert banners[0]["serious"]
    assert banners[0]["texts"] == ["R-hat is 1.2."]


def test_a_missed_forecast_is_a_banner(risk, check):
    titles = [banner["title"] for banner in banners_data(risk, replace(check, observed=120))]
    assert "Last time the forecast was off" in titles
    assert "Last time the forecast was off" not in [banner["title"] for banner in banners_data(risk, check)]


def test_every_caveat_of_the_risk_is_told_as_it_is(risk, check):
    (banner,) = [b for b in banners_data(risk, check) if b["title"] == "What these numbers do not hold"]
    assert banner["texts"][:-1] == [text for text in risk.caveats if not text.startswith("The fit did not pass")]
    assert any("366 days" in text for text in banner["texts"])
    assert "†" in banner["texts"][-1]


def test_riskiest_are_alive_and_in_order(risk, data):
    rows = data["riskiest"]["rows"]
    assert len(rows) == 25
    assert all(row["silence"] < 90 for row in rows)
    first = [row["chances"][0]["probability"] for row in rows]
    assert first == sorted(first, reverse=True)
    frame = risk.frame()
    alive = frame[(frame["horizon"] == 30) & (frame["status"] != "already_churned")]
    assert first[0] == alive["churn_probability"].max()


def test_every_chance_has_its_interval(data):
    for row in data["riskiest"]["rows"]:
        for cell in row["chances"]:
            assert cell["lower"] <= cell["probability"] <= cell["upper"]
            assert cell["range"]


def test_small_groups_are_not_named(risk, data):
    totals = risk.totals(by="land")
    sizes = dict(zip(totals["land"], totals["n_customers"], strict=True))
    named = [row["group"] for row in data["groups"][0]["rows"] if not row["pooled"]]
    assert named
    assert all(sizes[name] >= 10 for name in sizes if name in named)
    assert (
        sum(row["n_customers"] for row in data["groups"][0]["rows"])
        == totals.drop_duplicates("land")["n_customers"].sum()
    )


def test_effects_name_their_reference(fit, data):
    summary = fit.summary(0.90)
    orders = [row for row in data["effects"]["effects"] if row["column"] == "orders"]
    assert [row["is_reference"] for row in orders].count(True) == 1
    ratios = {row["ratio"] for row in orders if not row["is_reference"]}
    exact = summary.loc[summary["column"] == "orders", "hazard_ratio"]
    assert ratios == {float(f"{value:.6g}") for value in exact}


def test_levels_stand_in_the_order_of_their_bins(risk):
    table = effects_data(risk)
    column = risk.fit.schema.column("revenue")
    shown = table.loc[table["column"] == "revenue", "level"].tolist()
    assert shown == [level_label(risk.fit.schema, "revenue", label) for label in column.labels]


def test_groups_are_compared_with_their_average_and_small_ones_left_out(risk):
    table = effects_data(risk)
    land = table[table["column"] == "land"]
    assert land["is_group"].all()
    assert not land["is_reference"].any()
    assert set(land["reference"]) == {"the average group"}
    totals = risk.totals(by="land")
    small = set(totals.loc[totals["n_customers"] < 10, "land"])
    assert not set(land["level"]) & small


def test_what_was_left_out_adds_up(cells, data):
    shown = sum(part["exposure"] for part in data["left_out"]["unallocated"])
    assert shown == pytest.approx(sum(part.exposure for part in cells.unallocated))


def test_the_check_is_told(data, check):
    assert data["check"]["held"]
    assert data["check"]["texts"][1] == "Yes. " + check.verdict
    assert [row["bin"] for row in data["check"]["rows"]] == ["5–40%", "40–95%"]


def test_a_missing_check_is_said(risk, cells):
    data = report_data(risk, cells=cells, check_note="The window is too short.")
    assert data["check"]["texts"][0] == "The window is too short."
    assert data["check"]["rows"] == []


def test_how_it_was_made_holds_what_is_needed_to_make_it_again(fit, risk, data):
    entries = {entry["name"]: entry["text"] for entry in data["made"]["entries"]}
    assert entries["Formula"] == "orders + revenue"
    assert entries["Random effects by"] == "land"
    assert entries["Data fingerprint (SHA-256)"] == fit.info.fingerprint
    assert "coef ~ Normal" in entries["Priors"]
    assert "pymc" in entries["Versions"]
    assert entries["Seeds"].startswith("1 for the estimates")
    assert entries["Definition"] == risk.spells.churn.describe()[:500]
    assert "ci_kind='eti'" in entries["Intervals"]


def test_nothing_about_the_run_itself_is_in_it(html):
    assert not re.search(r"\b(seconds|elapsed)\b", html)
    assert str(__import__("datetime").date.today().year) not in re.findall(r"Made [^<]*", html)[0]


def test_a_path_without_folder_is_refused(fit, risk, tmp_path):
    with pytest.raises(ArgumentError, match="its folder does not exist"):
        report(fit, risk, tmp_path / "nowhere" / "report.html")


def test_a_folder_is_refused(fit, risk, tmp_path):
    with pytest.raises(ArgumentError, match="it is a folder"):
        report(fit, risk, tmp_path)


def test_another_fit_is_refused(fit, risk, tmp_path):
    with pytest.raises(ArgumentError, match="another fit"):
        report(replace(fit), risk, tmp_path / "report.html")


def test_the_report_is_small(html):
    assert len(html.encode()) < 500_000


def test_headline_of_one_horizon(risk):
    assert [row["horizon"] for row in headline_data(risk)["horizons"]] == [30.0, 60.0, 90.0]


def test_payloads_are_many():
    assert len(set(PAYLOADS)) >= 20


def test_fit_and_risk_in_the_wrong_order_are_told_apart(tmp_path):
    class Risk:
        totals = None

    with pytest.raises(ArgumentError, match="report was given Risk and object for fit and risk"):
        report(Risk(), object(), tmp_path / "report.html")
