"""Contracts in a log: two ways to leave, one of them alone, habits that move, and where tenure begins."""

import os

import numpy as np
import pandas as pd
import pytest

import churnsurv
from churnsurv.errors import ApproximationWarning
from churnsurv.models.competing import CompetingFits
from churnsurv.risk.predict import churn_risk
from churnsurv.tables.contracts import Cancellation
from churnsurv.tables.episodes import Episodes
from churnsurv.tables.events import EventLog
from churnsurv.tables.features import Value
from churnsurv.tables.periods import PeriodTable
from churnsurv.tables.spells import SpellTable
from churnsurv.tables.window import ObservationWindow
from tests.cli.conftest import told

READING = ["--customer", "customer_id", "--time", "time", "--kind", "kind", "--timezone", "UTC"]
WINDOW = ["--start", "2023-01-01", "--end", "2025-01-01"]
CSV = ["--time-format", "%Y-%m-%d %H:%M:%S.%f"]
BOTH = ["--churn", "cancel:cancelled,payment_failed"]
SIGNUP = ["--origin", "kind:signup"]
FAST = ["--draws", "50"]


@pytest.fixture(scope="module")
def both(subscriptions, tmp_path_factory):
    out = tmp_path_factory.mktemp("both") / "out"
    question = [*BOTH, *SIGNUP, "--group", "plan", "--value", "price", "--model", "cox", *FAST]
    return out, told("report", subscriptions, *READING, *CSV, *WINDOW, *question, "--out", out)


@pytest.fixture(scope="module")
def alone(subscriptions, tmp_path_factory):
    out = tmp_path_factory.mktemp("alone") / "out"
    question = [*BOTH, *SIGNUP, "--cause", "cancelled", "--activity", "login", "--model", "weibull", *FAST]
    return out, told(
        "report", subscriptions, *READING, *CSV, *WINDOW, *question, "--horizon", "30,60", "--out", out, draw=True
    )


def test_a_model_of_rows_leaves_a_fit_and_no_cells(both):
    assert sorted(os.listdir(both[0])) == ["fit", "report.html", "risk.csv", "risk.parquet"]


def test_steps_are_named_for_contracts_and_rows(both):
    lines = [line for line in both[1].stderr.splitlines() if line.startswith("[")]
    assert lines == [
        "[1/8] Reading the log",
        "[2/8] Finding the contracts",
        "[3/8] Looking up what was known when",
        "[4/8] Laying out the rows",
        "[5/8] Fitting the model",
        "[6/8] Telling everyone's risk",
        "[7/8] Checking against the past",
        "[8/8] Writing the report",
    ]


def test_causes_add_up_in_the_risk(both):
    frame = pd.read_parquet(both[0] / "risk.parquet")
    by_cause = frame.pivot(index=["customer_id", "horizon"], columns="cause", values="churn_probability").dropna()
    assert len(by_cause) > 300
    np.testing.assert_allclose(by_cause["cancelled"] + by_cause["payment_failed"], by_cause["any"], rtol=1e-9)


def test_the_command_tells_what_the_library_tells(both, subscriptions):
    log = EventLog.from_file(
        subscriptions, customer="customer_id", time="time", kind="kind", timezone="UTC", values=("price",),
        labels=("plan",), time_format=CSV[1],
    )  # fmt: skip
    churn = Cancellation(("cancelled", "payment_failed"), "kind:signup")
    spells = SpellTable.from_events(log, ObservationWindow("2023-01-01", "2025-01-01"), churn)
    features = [Value("signup", "price", name="price"), Value("signup", "plan", name="plan")]
    fits = churnsurv.load(both[0] / "fit")
    assert isinstance(fits, CompetingFits)
    rows = Episodes.from_periods(PeriodTable.from_spells(spells, features=features))
    assert {fit.info.n_spells for fit in fits.fits.values()} == {rows.n_spells}
    assert [fit.info.n_events for fit in fits.fits.values()] == list(spells.n_events)
    with pytest.warns(ApproximationWarning, match="repeated contracts"):
        direct = churn_risk(fits, spells, [30, 60, 90]).frame()
    written = pd.read_parquet(both[0] / "risk.parquet")
    pd.testing.assert_series_equal(written["churn_probability"], direct["churn_probability"])


def test_the_summary_tells_both_causes_and_the_check(both):
    text = both[1].stdout
    assert "under contract, expected to leave (cancelled or payment_failed):" in text
    assert "within 90 days: about" in text
    assert "payment_failed" in text.split("within 90 days")[1].splitlines()[0]
    assert "Check, made as of 2024-10-03" in text
    assert "Already churned" not in text


def test_score_repeats_the_risk_of_a_fit_of_causes(both, subscriptions, tmp_path):
    told("score", both[0] / "fit", subscriptions, *READING, *CSV, *WINDOW, *BOTH, *SIGNUP, "--out", tmp_path / "later")
    first, later = (pd.read_parquet(out / "risk.parquet") for out in (both[0], tmp_path / "later"))
    pd.testing.assert_frame_equal(first, later)


def test_one_cause_is_said_to_be_alone(alone):
    frame = pd.read_parquet(alone[0] / "risk.parquet")
    assert set(frame["cause"]) == {"cancelled alone"}
    assert "as if payment_failed did not exist" in alone[1].stdout
    assert "cannot check it" in alone[1].stdout
    assert "Checking against the past" not in alone[1].stderr


def test_habits_are_taken_at_landmarks_of_the_longest_horizon(alone):
    schema = churnsurv.load(alone[0] / "fit").schema
    assert (schema.as_of, schema.reach) == ("landmark", 60.0)
    assert [feature.name for feature in schema.features] == ["count_login_90d", "recency_login_90d"]


def test_score_knows_of_which_cause_a_fit_is(alone, subscriptions, run, tmp_path):
    words = ["score", alone[0] / "fit", subscriptions, *READING, *CSV, *WINDOW, "--out", tmp_path / "later"]
    refused = run(*words, "--cause", "moved")
    assert refused.exit_code == 2
    assert "the fit is of cancelled, and --cause says moved" in refused.stderr
    told(*words)
    frame = pd.read_parquet(tmp_path / "later" / "risk.parquet")
    assert sorted(frame["horizon"].unique()) == [20, 40, 60]  # as far as landmarks were followed
    first = pd.read_parquet(alone[0] / "risk.parquet").set_index(["customer_id", "horizon"])["churn_probability"]
    again = frame.set_index(["customer_id", "horizon"])["churn_probability"]
    pd.testing.assert_series_equal(again.xs(60.0, level=1), first.xs(60.0, level=1))


def test_score_beyond_the_landmarks_is_explained(alone, subscriptions, run, tmp_path):
    found = run(
        "score", alone[0] / "fit", subscriptions, *READING, *CSV, *WINDOW, "--cause", "cancelled", "--horizon", "90",
        "--out", tmp_path / "later",
    )  # fmt: skip
    assert found.exit_code == 2
    assert "make a new fit with --horizon 90" in found.stderr
    assert "PeriodTable" not in found.stderr


def test_a_column_of_beginnings_says_what_sign_ups_say(signed_up, subscriptions, tmp_path):
    question = [*BOTH, "--model", "weibull", "--cause", "payment_failed", *FAST]
    told("report", subscriptions, *READING, *CSV, *WINDOW, *question, *SIGNUP, "--out", tmp_path / "kind")
    column = ["--origin", "column:since"]
    told("report", signed_up, *READING, *WINDOW, *question, *column, "--out", tmp_path / "column")
    kind, other = (pd.read_parquet(tmp_path / name / "risk.parquet") for name in ("kind", "column"))
    assert kind["customer_id"].tolist() == other["customer_id"].tolist()
    np.testing.assert_allclose(other["churn_probability"], kind["churn_probability"], rtol=1e-5)


def test_score_asks_for_the_column_of_beginnings(signed_up, run, tmp_path):
    out, words = tmp_path / "out", [signed_up, *READING, *WINDOW]
    told(
        "report",
        *words,
        "--churn",
        "cancel:cancelled",
        "--origin",
        "column:since",
        "--model",
        "weibull",
        *FAST,
        "--out",
        out,
    )
    found = run("score", out / "fit", *words, "--out", tmp_path / "later")
    assert found.exit_code == 2
    assert "--origin column:COLUMN" in found.stderr
    told("score", out / "fit", *words, "--origin", "column:since", "--out", tmp_path / "later")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"--origin": None}, ["--origin is missing", "--origin kind:signup", "--origin column:signed_up"]),
        ({"--origin": "since"}, ["--origin 'since' does not say", "burn-in:90"]),
        ({"--origin": "kind:sign-up"}, ["no event of kind 'sign-up'", "'signup'"]),
        ({"--origin": "column:since"}, ["no column 'since'"]),
        ({"--origin": "first", "--group": "plan"}, ["no event opens a contract", "--activity login"]),
        ({"--churn": "cancel:canceled"}, ["no event of kind 'canceled'", "'cancelled'"]),
        ({"--churn": "cancel:"}, ["--churn 'cancel:'", "cancel:KINDS"]),
        ({"--kind": None}, ["--churn cancel names kinds", "add --kind COLUMN"]),
        ({"--cause": "moved"}, ["there is no cause 'moved'", "cancelled, payment_failed"]),
        ({"--activity": "signup"}, ["'signup' begins or ends contracts"]),
        ({"--activity": "visit"}, ["no event of kind 'visit'", "'login'"]),
        ({"--activity": "login", "--horizon": "900"}, ["900 days does not fit into a window of 731 days"]),
        ({"--model": "forest"}, ["--model 'forest'", "hierarchical, cox, weibull"]),
        (
            {"--group": "price", "--value": "price"},
            ["'price' is a number and a group at once", "--value or with --group"],
        ),
        ({"--churn": "silence:90", "--activity": "login"}, ["--origin says where tenure begins", "leave --origin out"]),
        (
            {"--churn": "silence:90", "--activity": "login", "--origin": None, "--reactivation": "signup"},
            ["--reactivation is for contracts"],
        ),
        (
            {"--churn": "silence:90", "--activity": "login", "--origin": None, "--cause": "return"},
            ["--cause return is for contracts", "leave --cause out"],
        ),
        (
            {"--churn": "inactivity:90", "--activity": "login", "--horizon": "30"},
            ["--horizon is about risk", "silence:90"],
        ),
        ({"--duration": "time"}, ["--duration and --time do not go together", "leave out"]),
    ],
    ids=str,
)
def test_a_wrong_question_is_explained(subscriptions, run, tmp_path, changes, words):
    good = [*READING, *CSV, *WINDOW, *BOTH, *SIGNUP]
    given = dict(zip(good[::2], good[1::2], strict=True))
    given |= {"--out": tmp_path / "out"} | changes
    found = run("report", subscriptions, *[word for pair in given.items() if pair[1] is not None for word in pair])
    assert found.exit_code == 2, found.output
    for word in words:
        assert word in found.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (
            ["--churn", "cancel:cancelled"],
            "--churn cancel:cancelled contradicts the fit, which has cancel:cancelled,pay",
        ),
        (["--origin", "first"], "--origin first contradicts the fit, which has kind:signup"),
        (["--reactivation", "login"], "--reactivation login contradicts the fit, which has none"),
        (["--activity", "login"], "--activity login contradicts the fit, which has none"),
        (["--cause", "cancelled"], "--cause cancelled chooses among fits"),
    ],
    ids=str,
)
def test_score_refuses_another_question(both, subscriptions, run, tmp_path, extra, words):
    found = run("score", both[0] / "fit", subscriptions, *READING, *CSV, *WINDOW, *extra, "--out", tmp_path / "later")
    assert found.exit_code == 2
    assert words in found.stderr


def test_the_report_says_that_one_cause_stands_alone(alone):
    html = (alone[0] / "report.html").read_text(encoding="utf-8")
    assert "as if payment_failed did not exist" in html


@pytest.mark.slow
def test_the_default_model_tells_contracts_too(subscriptions, tmp_path):
    words = [*READING, *CSV, *WINDOW, *BOTH, *SIGNUP, "--group", "country", "--value", "price", "--draws", "300"]
    told("report", subscriptions, *words, "--out", tmp_path / "out", draw=True)
    cells = pd.read_parquet(tmp_path / "out" / "cells.parquet")
    fits = churnsurv.load(tmp_path / "out" / "fit").fits
    for cause, fit in fits.items():
        assert fit.info.n_events == cells[f"n_events_{cause}"].sum()
    frame = pd.read_parquet(tmp_path / "out" / "risk.parquet")
    assert set(frame["cause"]) == {"any", "cancelled", "payment_failed"}
