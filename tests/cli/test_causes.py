"""``churnsurv causes``: what it writes and says, of a shop, of contracts and of durations, and what it refuses."""

import os
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from churnsurv.analysis import causes as studies
from churnsurv.causes import refutations
from churnsurv.causes.inference.bif import read_bif
from churnsurv.cli import app
from tests.cli.conftest import READING, WINDOW

SHOP = [*READING, *WINDOW, "--kind", "What", "--activity", "order", "--churn", "silence:60"]
CONTRACTS = [
    "--customer", "customer_id", "--time", "time", "--time-format", "%Y-%m-%d %H:%M:%S.%f", "--timezone", "UTC", "--kind",
    "kind", "--start", "2023-01-01", "--end", "2025-01-01", "--churn", "cancel:cancelled,payment_failed", "--origin",
    "kind:signup",
]  # fmt: skip
LENGTHS = ["--duration", "months", "--unit", "month", "--event", "left", "--churned", "yes", "--customer", "who"]
FILES = ["causes.svg", "claims.csv", "diagnosis.csv", "effects.csv", "explanations.csv", "network.bif"]
DRAWING = """
edges = ["country -> habit -> churn", "country -> basket -> churn", "country -> churn"]

[nodes.country]
feature = "Value"
kind = "order"
column = "Country"
levels = { UK = ["United Kingdom"] }

[nodes.habit]
feature = "Count"
kind = "order"
days = 90
cuts = [1]
labels = ["one", "more"]

[nodes.basket]
feature = "Value"
kind = "order"
column = "Revenue"
cuts = [40]

[[questions]]
cause = "habit"
to = "more"
versus = "one"
by = "country"
"""


@pytest.fixture(scope="module", autouse=True)
def hasty():
    """Two attacks in place of five, and small ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(studies, "_REPEATS", 2)
        patch.setattr(refutations, "_DRAWS", 40)
        yield


def asked(file, drawing, out, *words):
    path = out.parent / f"{out.name}.toml"
    path.write_bytes(drawing if isinstance(drawing, bytes) else drawing.encode())
    given = ["causes", file, "--network", path, "--draws", "60", "--out", out, *words]
    return CliRunner().invoke(app, [str(word) for word in given])


@pytest.fixture(scope="module")
def told(events, tmp_path_factory):
    out = tmp_path_factory.mktemp("causes") / "out"
    found = asked(events, DRAWING, out, *SHOP)
    assert found.exit_code == 0, found.output
    return out, found


def test_it_writes_a_picture_tables_and_the_network(told):
    out = told[0]
    assert sorted(os.listdir(out)) == FILES
    effects = pd.read_csv(out / "effects.csv")
    assert list(effects.columns) == [
        "what", "cause", "to", "versus", "horizon", "segment", "measure", "mean", "lower", "upper", "probability_positive",
        "label", "adjusted_for", "reason",
    ]  # fmt: skip
    assert set(effects["cause"]) == {"country", "habit", "basket"}
    question = effects[effects["what"] == "question"]
    assert question["segment"].unique().tolist() == ["all", "UK", "other"]
    assert set(question["measure"]) == {"risk_difference", "risk_ratio", "rmst_difference", "avoided_per_thousand"}
    assert (effects["lower"] <= effects["upper"]).all()
    assert set(effects["horizon"]) == {60}
    assert set(effects.loc[effects["cause"] == "habit", "adjusted_for"]) == {"country"}
    network = read_bif(out / "network.bif")
    assert set(network.names) == {"country", "habit", "basket", "churn"}
    svg = (out / "causes.svg").read_text(encoding="utf-8")
    assert svg.startswith('<svg font-family="Helvetica, Arial, sans-serif"')
    shown = {element.text for element in ET.fromstring(svg).iter() if element.text}  # noqa: S314
    assert {"country", "habit", "basket", "churn", "What each cause is worth"} <= shown


def test_tables_tell_of_customers_and_of_those_who_churned(told):
    shares = pd.read_csv(told[0] / "diagnosis.csv")
    np.testing.assert_allclose(shares.groupby("cause")[["among_all", "among_churned"]].sum(), 1.0, atol=1e-5)
    frame = pd.read_csv(told[0] / "explanations.csv")
    assert frame["churn_probability"].between(0, 1).all()
    assert set(frame["cause"]) <= {"country", "habit", "basket"}
    claims = pd.read_csv(told[0] / "claims.csv")
    assert len(claims) == 1


def test_it_says_what_each_cause_is_worth_and_what_speaks_against_it(told, events):
    text = told[1].stdout
    kept = pd.read_csv(told[0] / "effects.csv").query("measure == 'avoided_per_thousand' and what == 'worth'")
    for row in kept.itertuples():
        (line,) = (line for line in text.splitlines() if line.startswith(f"{row.cause} "))
        low, high = (int(word) for word in (line.split(" to ")[0].split()[-1], line.split(" to ")[1].split()[0]))
        assert (low, high) == (pytest.approx(row.lower, abs=0.51), pytest.approx(row.upper, abs=0.51))
    for words in (
        "Learnt from ", " of their spells were seen from the opening.", "Churn is here: no order within 60 days",
        "What was asked:\n  habit more rather than one: ", "Can it be believed?", "placebo cause", "To explain a risk ratio",
        "Read with care:\n", "Habit counts what customers did before",
    ):  # fmt: skip
        assert words in text
    assert "-0" not in text
    for name in FILES:
        assert str(told[0] / name) in text
    steps = [line.split("] ")[1] for line in told[1].stderr.splitlines() if line.startswith("[")]
    assert steps == [
        "Reading the log", "Learning the network of causes", "Asking what interventions would change",
        "Trying to break the answers", "Explaining customers one by one", "Writing the report",
    ]  # fmt: skip


def test_the_same_seed_gives_the_same_bytes_and_quiet_is_quiet(told, events, tmp_path):
    found = asked(events, DRAWING, tmp_path / "out", *SHOP, "--quiet")
    assert found.exit_code == 0, found.output
    assert found.output == ""
    for name in FILES:
        assert (tmp_path / "out" / name).read_bytes() == (told[0] / name).read_bytes(), name


def test_a_hidden_cause_is_drawn_and_what_it_forbids_is_left_out(events, tmp_path):
    """And taken away, if an earlier run left it: it would be an answer to another drawing."""
    out = tmp_path / "out"
    out.mkdir()
    for name in ("explanations.csv", "network.bif"):
        (out / name).write_text("of an earlier drawing", encoding="utf-8")
    (out / "mine.txt").write_text("mine", encoding="utf-8")
    text = DRAWING.replace("edges = [", 'latent = ["loyalty"]\nedges = ["loyalty -> habit", "loyalty -> churn", ')
    found = asked(events, text, out, *SHOP, "--horizon", "40")
    assert found.exit_code == 0, found.output
    assert sorted(os.listdir(out)) == ["causes.svg", "claims.csv", "diagnosis.csv", "effects.csv", "mine.txt"]
    (line,) = (line for line in found.stdout.splitlines() if line.startswith("habit "))
    assert line.split()[:5] == ["habit", "more", "–", "not", "identified"]
    assert "habit more rather than one: not identified." in found.stdout
    assert "what loyalty is for each of them cannot be told" in found.stdout
    assert "counts what customers did before" not in found.stdout
    effects = pd.read_csv(out / "effects.csv")
    habit = effects[effects["cause"] == "habit"]
    assert set(habit["label"]) == {"not identified"}
    assert habit["mean"].isna().all()
    assert set(effects["horizon"]) == {40}
    assert "habit <- loyalty -> churn" in habit["reason"].iloc[0]
    assert "not in the data" in (out / "causes.svg").read_text(encoding="utf-8")


def test_names_that_would_run_are_text(events, tmp_path):
    """In a spreadsheet, in a browser, on a terminal, and in the network's file, which has no place for quotation marks."""
    text = DRAWING.replace("habit", '"=cmd()[red]<b>\\""', 1).replace("[nodes.habit]", "[nodes.'=cmd()[red]<b>\"']")
    text = text.replace('cause = "habit"', "cause = '=cmd()[red]<b>\"'").replace(
        '"country -> "=cmd', '"country -> =cmd'
    )
    text = text.replace('<b>\\"" ->', '<b>\\" ->').replace('["one", "more"]', '["-1", "+2"]')
    text = text.replace('"more"', '"+2"').replace('"one"', '"-1"')
    found = asked(events, text, tmp_path / "out", *SHOP)
    assert found.exit_code == 0, found.output
    assert '=cmd()[red]<b>"  +2' in found.stdout
    assert sorted(os.listdir(tmp_path / "out")) == [name for name in FILES if name != "network.bif"]
    assert "Network.bif is not written: a name holds a quotation mark" in found.stdout
    for name in ("effects.csv", "diagnosis.csv", "explanations.csv", "claims.csv"):
        frame = pd.read_csv(tmp_path / "out" / name, dtype=str)
        cells = pd.concat([frame[column] for column in frame.columns if column not in frame.select_dtypes("number")])
        words = cells[cells.notna() & cells.str.contains("[a-z]|^'|^[+-][12]$", regex=True)]
        assert not words.str.match(r"[=+@]").any()
    effects = pd.read_csv(tmp_path / "out" / "effects.csv", dtype=str)
    assert "'=cmd()[red]<b>\"" in set(effects["cause"])
    assert {"'+2", "'-1"} <= set(effects["to"]) | set(effects["versus"])
    assert "<b>" not in (tmp_path / "out" / "causes.svg").read_text(encoding="utf-8")


def test_contracts_are_asked_about_one_way_to_leave(subscriptions, tmp_path):
    text = """
    edges = ["country -> plan -> churn", "country -> churn"]
    [nodes.country]
    feature = "Value"
    kind = "signup"
    column = "country"
    [nodes.plan]
    feature = "Value"
    kind = "signup"
    column = "plan"
    """
    found = asked(subscriptions, text, tmp_path / "out", *CONTRACTS, "--horizon", "90", "--cause", "cancelled")
    assert found.exit_code == 0, found.output
    assert "Churn is here: cancelled within 90 days of the spell's opening." in found.stdout
    assert "fewer leave by cancelled, of 1,000" in found.stdout
    svg = (tmp_path / "out" / "causes.svg").read_text(encoding="utf-8")
    assert "customers who leave by cancelled fewer of 1,000" in svg
    assert " fewer</text>" in svg


def test_durations_are_asked_about(durations, tmp_path):
    text = """
    edges = ["plan -> price -> churn", "plan -> churn"]
    [nodes.plan]
    feature = "Baseline"
    column = "Plan"
    [nodes.price]
    feature = "Baseline"
    column = "Monthly price"
    cuts = [10, 20]
    labels = ["low", "middle", "high"]
    """
    found = asked(durations, text, tmp_path / "out", *LENGTHS, "--horizon", "91.3125")
    assert found.exit_code == 0, found.output
    assert "[1/6] Reading the durations" in found.stderr
    assert sorted(os.listdir(tmp_path / "out")) == FILES
    effects = pd.read_csv(tmp_path / "out" / "effects.csv")
    assert set(effects["cause"]) == {"plan", "price"}
    assert set(effects["horizon"]) == {91.3125}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--horizon", "30,60"], ["--horizon 30,60 names 2 horizons", "write one: --horizon 90"]),
        (["--horizon", "61"], ["61", "60"]),
        (["--horizon", "soon"], ["--horizon 'soon'"]),
        (["--churn", "inactivity:60", "--origin", "first"], ["no hazard to explain", "write --churn silence:60"]),
        (["--churn", "cancel:closed", "--origin", "kind:order"],
         ["--activity names kinds whose habits count", 'feature = "Count"']),
        (["--cause", "closed"], ["closed", "leave --cause out"]),
        (["--draws", "0"], ["--draws 0 is less than 1"]),
        (["--seed", "-1"], ["--seed -1 is negative"]),
        (["--activity", "ordre"], ["'ordre'", "'order'"]),
        (["--customer", "Who"], ["no column 'Who'"]),
        (["--network", "nowhere.toml"], ["nowhere.toml cannot be read: No such file"]),
        (["--duration", "days"], ["do not go together"]),
    ],
    ids=str,
)  # fmt: skip
def test_a_wrong_option_is_explained(events, tmp_path, words, said):
    found = asked(events, DRAWING, tmp_path / "out", *SHOP, *words)
    assert found.exit_code == 2, found.output
    assert "Traceback" not in found.output
    for text in said:
        assert text in found.stderr
    assert not (tmp_path / "out").exists()


def test_a_contract_needs_a_horizon_and_a_cause_of_its_own(subscriptions, durations, tmp_path):
    text = 'edges = ["plan -> churn"]\n[nodes.plan]\nfeature = "Value"\nkind = "signup"\ncolumn = "plan"\n'
    for file, words in ((subscriptions, CONTRACTS), (durations, LENGTHS)):
        found = asked(file, text, tmp_path / "out", *words)
        assert found.exit_code == 2
        assert "--horizon is missing: within how many days is churn asked about?" in found.stderr
        assert "[1/6]" not in found.stderr, "before the file is read"
    found = asked(subscriptions, 'cause = "moved"\n' + text, tmp_path / "out", *CONTRACTS, "--horizon", "90")
    assert found.exit_code == 2
    assert "there is no cause 'moved'" in found.stderr
    assert "cancelled, payment_failed" in found.stderr
    assert "[1/6]" not in found.stderr


def test_the_drawing_must_be_named(run, events, tmp_path):
    found = run("causes", events, *SHOP, "--out", tmp_path / "out")
    assert found.exit_code == 2
    assert "--network" in found.stderr


def test_kinds_are_listed_when_none_is_said_to_be_activity(events, tmp_path):
    words = [word for word in SHOP if word not in ("--activity", "order")]
    found = asked(events, DRAWING, tmp_path / "out", *words)
    assert found.exit_code == 2
    assert "which kinds of event count as activity?" in found.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"\xff", "is no TOML file"),
        ("edges = " + "[" * 9999, "is no TOML file"),
        (DRAWING.replace("cuts = [1]", "cuts = '4'"), "cuts = '4' is no list of numbers"),
        (DRAWING.replace("days = 90", "days = 1e300"), "days = 1e+300 lies outside"),
        (DRAWING.replace('to = "more"', "to = 5"), "5 is neither a state"),
        (DRAWING.replace('by = "country"', 'by = "town"'), "'town' is no node"),
        (DRAWING + '[keep]\nwait = ["long"]', "keep: 'wait' is no node"),
        (DRAWING.replace("country -> basket -> churn", "churn -> basket"),
         "an edge leads out of the leaf: churn -> basket"),
    ],
    ids=range(8),
)  # fmt: skip
def test_a_bad_drawing_is_a_sentence_before_the_file_is_read(events, tmp_path, text, said):
    found = asked(events, text, tmp_path / "out", *SHOP)
    assert found.exit_code == 2, found.output
    assert said in found.stderr
    assert "[1/6]" not in found.stderr
    assert "Traceback" not in found.output


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('column = "Country"', 'column = "Land"', "no column 'Land'"),
        ('column = "Revenue"\ncuts = [40]', 'column = "Revenue"', "node 'basket' has "),
        ('column = "Revenue"\ncuts = [40]', 'column = "Revenue"\ncuts = [1e9]', "node 'basket' has a single state"),
        ('kind = "order"\ndays', 'kind = "ordre"\ndays', "the log has no event of kind 'ordre'"),
        ('feature = "Value"\nkind = "order"\ncolumn = "Country"', 'feature = "Baseline"\ncolumn = "Country"',
         "a column of durations, and these spells come from a log"),
        ('versus = "one"', 'versus = "none yet"', "habit has no state 'none yet'"),
    ],
    ids=range(6),
)  # fmt: skip
def test_what_only_the_data_can_contradict_is_a_sentence_too(events, tmp_path, old, new, said):
    assert old in DRAWING
    found = asked(events, DRAWING.replace(old, new, 1), tmp_path / "out", *SHOP)
    assert found.exit_code == 2, found.output
    assert said in found.stderr
    assert "Traceback" not in found.output
    assert not (tmp_path / "out").exists()


def test_a_disk_that_is_full_is_a_sentence(events, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("churnsurv.cli.commands.study_causes", lambda *_, **__: None)
    monkeypatch.setattr("churnsurv.cli.commands.write_causes", full)
    found = asked(events, DRAWING, tmp_path / "out", *SHOP)
    assert found.exit_code == 2
    assert "the results cannot be written to" in found.stderr
    assert "No space left on device" in found.stderr


def test_a_drawing_without_an_answer_is_told(events, tmp_path):
    text = DRAWING[: DRAWING.index("[[questions]]")].replace(DRAWING.splitlines()[1], 'edges = ["country -> habit"]')
    found = asked(events, text, tmp_path / "out", *SHOP)
    assert found.exit_code == 0, found.output
    assert "No cause that leads to churn has two states that an action could choose between." in found.stdout
    assert pd.read_csv(tmp_path / "out" / "effects.csv").empty
    assert len(pd.read_csv(tmp_path / "out" / "effects.csv").columns) == 14
