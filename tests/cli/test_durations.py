"""Durations that exist already, and curves of lifetimes where there is no risk."""

import numpy as np
import pandas as pd
import pytest

import churnsurv
from churnsurv import CellTable
from churnsurv.analysis import Analysis, analyse
from churnsurv.analysis.run import periods_of
from churnsurv.hazards.nonparametric import kaplan_meier
from churnsurv.tables.contracts import Inactivity
from churnsurv.tables.events import EventLog
from churnsurv.tables.spells import SpellTable
from churnsurv.tables.window import ObservationWindow
from tests.cli.conftest import READING, WINDOW, told

MONTH = 30.4375
COLUMNS = ["--duration", "months", "--unit", "month", "--event", "left", "--churned", "yes", "--customer", "who"]
COVARIATES = ["--group", "Plan", "--value", "Monthly price"]


def read(path, **settings):
    return SpellTable.from_durations(
        path, duration="months", unit="month", event="left", churned="yes", customer="who", values=("Monthly price",),
        labels=("Plan",), **settings,
    )  # fmt: skip


@pytest.fixture(scope="module")
def reported(durations, tmp_path_factory):
    out = tmp_path_factory.mktemp("durations") / "out"
    words = ["report", durations, *COLUMNS, *COVARIATES, "--model", "weibull", "--draws", "50", "--out", out]
    return out, told(*words, draw=True)


def test_durations_are_told_as_the_library_tells_them(reported, durations):
    frame = pd.read_parquet(reported[0] / "risk.parquet")
    assert sorted(frame["horizon"].unique()) == [30, 60, 90]
    analysis = Analysis(model="weibull", values=("Monthly price",), groups=("Plan",), rounded=MONTH, draws=50)
    direct = analyse(read(durations), analysis).risk.frame()
    pd.testing.assert_series_equal(frame["churn_probability"], direct["churn_probability"])


def test_steps_and_words_are_those_of_durations(reported):
    lines = [line for line in reported[1].stderr.splitlines() if line.startswith("[")]
    assert lines[0] == "[1/6] Reading the durations"
    assert lines[-1] == "[6/6] Writing the report"
    assert "still there, expected to leave (churned):" in reported[1].stdout
    assert "carry no dates" in reported[1].stdout
    assert (
        "All durations are whole months: whoever left is taken to have left at some time of the last one."
        in reported[1].stdout
    )


def test_a_cox_model_moves_within_the_month(durations):
    risk = analyse(read(durations), Analysis(model="cox", groups=("Plan",), rounded=MONTH, horizons=(15, MONTH))).risk
    half, whole = risk.frame().groupby("horizon")["churn_probability"].mean()
    assert 0.4 * whole < half < 0.7 * whole


def test_a_weibull_model_knows_of_whole_months(reported):
    assert churnsurv.load(reported[0] / "fit").model.rounded == MONTH


def test_durations_can_be_scored(reported, durations, tmp_path):
    told("score", reported[0] / "fit", durations, *COLUMNS, "--out", tmp_path / "later")
    first, later = (pd.read_parquet(out / "risk.parquet") for out in (reported[0], tmp_path / "later"))
    pd.testing.assert_frame_equal(first, later)


def test_a_log_does_not_go_with_a_fit_of_durations(reported, orders, run, tmp_path):
    found = run("score", reported[0] / "fit", orders, *READING, *WINDOW, "--out", tmp_path / "later")
    assert found.exit_code == 2
    assert "the fit was made of durations, and the file is read as a log" in found.stderr


def test_events_lie_in_the_middle_of_their_month_for_a_hazard_by_periods(durations):
    spells = read(durations)
    periods = periods_of(spells, Analysis(rounded=MONTH))
    assert np.allclose(np.asarray(periods.breaks) / MONTH, np.round(np.asarray(periods.breaks) / MONTH))
    cells, frame = CellTable.from_periods(periods).frame(), spells.frame()
    lived = (frame["exit"] - frame["entry"]).sum() - (frame["event"] > 0).sum() * MONTH / 2
    assert cells["exposure"].sum() == pytest.approx(lived)
    assert cells["n_events"].sum() == (frame["event"] > 0).sum()


def test_rates_by_month_agree_with_the_life_table(durations):
    """Of those who begin a month the share that leaves in it: 1 - exp(-rate) against events over those at risk."""
    periods = periods_of(read(durations), Analysis(rounded=MONTH))
    first = CellTable.from_periods(periods).frame().query("period == 0")
    rate = first["n_events"].sum() / first["exposure"].sum()
    share = first["n_events"].sum() / first["n_spells"].sum()
    assert 1 - np.exp(-rate * MONTH) == pytest.approx(share, rel=share**2 / 6)
    whole = 1 - np.exp(-share)
    assert abs(whole - share) > 10 * abs(1 - np.exp(-rate * MONTH) - share)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"--unit": None}, ["--unit is missing, and durations cannot be read without"]),
        ({"--event": None, "--churned": None}, ["--event is missing"]),
        ({"--event": None}, ["--event is missing"]),
        ({"--unit": "months"}, ["--unit 'months'", "hour, day, week, month, year"]),
        ({"--churned": None}, ["events in 'left' are words", "such as --churned Yes"]),
        ({"--churned": "ja"}, ["--churned ja is not one of two values in 'left'", "'no'", "'yes'"]),
        ({"--duration": "tenure"}, ["no column 'tenure'", "'months'"]),
        ({"--value": "Plan"}, ["values in 'Plan' are not numbers"]),
        ({"--follow-up": "0"}, ["--follow-up 0 is not positive"]),
        ({"--follow-up": "1", "--entry": "months"}, ["--follow-up and --entry are both given"]),
        ({"--entry": "months"}, ["'months' is named twice"]),
        ({"--churn": "silence:90"}, ["--churn silence:90 is for a log", "leave --churn out"]),
        ({"--cause": "moved"}, ["there is no cause 'moved'", "churned"]),
        ({"--activity": "login"}, ["--duration and --activity do not go together", "leave out --activity"]),
        ({"--time": "months"}, ["--duration and --time do not go together"]),
        ({"--look-back": "30"}, ["--duration and --look-back do not go together"]),
    ],
    ids=str,
)
def test_a_wrong_option_is_explained(durations, run, tmp_path, changes, words):
    given = dict(zip(COLUMNS[::2], COLUMNS[1::2], strict=True)) | {"--out": tmp_path / "out"} | changes
    found = run("report", durations, *[word for pair in given.items() if pair[1] is not None for word in pair])
    assert found.exit_code == 2, found.output
    for word in words:
        assert word in found.stderr
    assert not (tmp_path / "out").exists()


def test_what_is_missing_is_named_at_once(run, durations, tmp_path):
    found = run("report", durations, "--out", tmp_path / "out")
    assert found.exit_code == 2
    assert "--customer, --time, --timezone, --start, --end and --churn are missing" in found.stderr
    assert "--duration COLUMN --unit month" in found.stderr


def test_codes_of_causes_are_named_by_churn(contracts, tmp_path):
    spells = contracts[0].spells.drop_duplicates("customer_id")
    rows = pd.DataFrame({"days": spells["observed_duration"], "code": spells["observed_event"]})
    rows.to_csv(tmp_path / "rows.csv", index=False)
    words = ["--duration", "days", "--unit", "day", "--event", "code", "--churn", "cancel:left,unpaid"]
    told("report", tmp_path / "rows.csv", *words, "--model", "weibull", "--draws", "20", "--out", tmp_path / "out")
    frame = pd.read_parquet(tmp_path / "out" / "risk.parquet")
    assert set(frame["cause"]) == {"any", "left", "unpaid"}
    assert sorted(frame["horizon"].unique()) == [30, 60, 90]


@pytest.fixture
def curves(orders, run, tmp_path):
    words = [*READING, *WINDOW, "--churn", "inactivity:60", "--origin", "first", "--group", "Country"]
    found = run("report", orders, *words, "--out", tmp_path / "out")
    assert found.exit_code == 0, found.output
    return found, tmp_path / "out"


def test_inactivity_gives_curves_and_says_why_there_is_no_risk(curves, orders):
    found, out = curves
    assert sorted(path.name for path in out.iterdir()) == ["survival.csv", "survival.svg"]
    assert "No risk is told" in found.stdout
    assert "write --churn silence:60" in found.stdout
    frame = pd.read_csv(out / "survival.csv")
    log = EventLog.from_file(
        orders, customer="Customer", time="When", timezone="Europe/Paris", time_format="%Y-%m-%d %H:%M"
    )
    churn = Inactivity(60, ("activity",), origin="first")
    arrays = SpellTable.from_events(log, ObservationWindow("2024-01-01", "2025-01-01"), churn).arrays()
    curve = kaplan_meier(arrays["exit"], arrays["event"] > 0, entry=arrays["entry"], ci_prob=0.9)
    everyone = frame[frame["group"] == "everyone"]
    np.testing.assert_allclose(everyone["survival"], curve.survival_at(everyone["days"]), rtol=1e-5)
    assert everyone["n_at_risk"].min() >= 10
    ended, total = int((arrays["event"] > 0).sum()), len(arrays["event"])
    line = next(line for line in found.stdout.splitlines() if line.startswith("everyone"))
    assert line.split()[1:3] == [str(total), str(ended)]


def test_inactivity_has_a_curve_for_each_group(curves):
    found, out = curves
    frame = pd.read_csv(out / "survival.csv")
    groups = set(frame.loc[frame["by"] == "Country", "group"])
    assert groups == {"France", "Germany", "Spain", "United Kingdom"}
    svg = (out / "survival.svg").read_text(encoding="utf-8")
    for group in groups:
        assert f"Country: {group}" in found.stdout
        assert f"Country: {group}" in svg


def test_inactivity_asks_what_counts_as_activity(events, run, tmp_path):
    words = [*READING, *WINDOW, "--kind", "What", "--churn", "inactivity:60", "--origin", "first"]
    found = run("report", events, *words, "--out", tmp_path / "out")
    assert found.exit_code == 2
    assert "which kinds of event count as activity?" in found.stderr
