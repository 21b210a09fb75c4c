"""The commands run for real on a small shop: what they write, and that it can be scored later."""

import csv
import os
import subprocess
import sys

import pandas as pd
import pytest
from typer.testing import CliRunner

from churnsurv.cli import app
from tests.cli.conftest import READING

OPTIONS = [*READING, "--value", "Revenue", "--group", "Country", "--churn", "silence:90", "--horizon", "30,60,90"]


@pytest.fixture(scope="module")
def reported(orders, tmp_path_factory):
    out = tmp_path_factory.mktemp("reported") / "out"
    words = ["report", str(orders), *OPTIONS, "--start", "2024-01-01", "--end", "2025-01-01", "--out", str(out)]
    found = CliRunner().invoke(app, [*words, "--draws", "250", "--title", "A small shop"])
    assert found.exit_code == 0, found.output
    return out, found


@pytest.fixture(scope="module")
def scored(reported, orders, tmp_path_factory):
    """Two scorings in processes that differ in everything that must not matter."""
    outs = []
    for seed, zone, locale in (("0", "UTC", "C"), ("1", "Pacific/Apia", "tr_TR.UTF-8")):
        out = tmp_path_factory.mktemp("scored") / "out"
        words = [
            "score",
            reported[0] / "fit",
            orders,
            *OPTIONS,
            "--start",
            "2024-03-01",
            "--end",
            "2025-01-01",
            "--out",
            out,
        ]
        environment = {**os.environ, "PYTHONHASHSEED": seed, "TZ": zone, "LC_ALL": locale}
        done = subprocess.run(
            [sys.executable, "-m", "churnsurv.cli", *map(str, words), "--on-bad", "drop"],
            capture_output=True, text=True, env=environment, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        outs.append((out, done))
    return outs


def test_report_writes_its_five_files(reported):
    assert sorted(os.listdir(reported[0])) == ["cells.parquet", "fit", "report.html", "risk.csv", "risk.parquet"]


def test_report_tells_every_step_in_order(reported):
    lines = [line for line in reported[1].stderr.splitlines() if line.startswith("[")]
    assert lines == [
        "[1/8] Reading the log",
        "[2/8] Finding the gaps between activities",
        "[3/8] Looking up what was known when",
        "[4/8] Counting events and exposure",
        "[5/8] Sampling the posterior",
        "[6/8] Telling everyone's risk",
        "[7/8] Checking against the past",
        "[8/8] Writing the report",
    ]


def test_report_ends_with_a_summary(reported):
    text = reported[1].stdout
    for words in (
        "still active",
        "within 30 days: about",
        "within 90 days: about",
        "Already churned",
        "Read with care:",
    ):
        assert words in text
    for name in ("report.html", "risk.csv", "risk.parquet", "cells.parquet", "fit"):
        assert str(reported[0] / name) in text


def test_tables_agree(reported):
    frame = pd.read_parquet(reported[0] / "risk.parquet")
    with (reported[0] / "risk.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(frame)
    assert list(rows[0]) == list(frame.columns)
    assert [row["customer_id"] for row in rows] == frame["customer_id"].tolist()
    assert [float(row["churn_probability"]) for row in rows] == pytest.approx(
        frame["churn_probability"].tolist(), rel=1e-5, abs=1e-12
    )


def test_cells_hold_what_the_fit_has_seen(reported):
    import churnsurv

    cells = pd.read_parquet(reported[0] / "cells.parquet")
    info = churnsurv.load(reported[0] / "fit").info
    assert cells["n_events"].sum() == info.n_events
    assert cells["exposure"].sum() == pytest.approx(info.exposure)


def test_the_title_is_in_the_report(reported):
    assert "<title>A small shop</title>" in (reported[0] / "report.html").read_text(encoding="utf-8")


def test_the_report_holds_a_check(reported):
    html = (reported[0] / "report.html").read_text(encoding="utf-8")
    assert "The whole analysis was repeated as it could have been made on 3 October 2024" in html


def test_score_writes_the_risk_and_no_fit(scored):
    assert sorted(os.listdir(scored[0][0])) == ["report.html", "risk.csv", "risk.parquet"]


def test_same_bytes_whatever_hash_seed_zone_and_locale(scored):
    for name in ("report.html", "risk.csv", "risk.parquet"):
        assert (scored[0][0] / name).read_bytes() == (scored[1][0] / name).read_bytes()


def test_score_agrees_with_the_report_on_the_same_customers(reported, scored):
    first = pd.read_parquet(reported[0] / "risk.parquet").set_index(["customer_id", "horizon"])
    later = pd.read_parquet(scored[0][0] / "risk.parquet").set_index(["customer_id", "horizon"])
    # A gap that opened well after the later start has the same history in both windows.
    same = later[(later["silence"] < 90) & (later["status"] == "supported")].index
    assert len(same) > 100
    pd.testing.assert_series_equal(first.loc[same, "churn_probability"], later.loc[same, "churn_probability"])


def test_an_older_fit_is_said_to_be_unchecked(scored):
    html = (scored[0][0] / "report.html").read_text(encoding="utf-8")
    assert "An earlier fit was used as it is" in html


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"--churn": "silence:60"}, "--churn silence:60 contradicts the fit, which has silence:90"),
        ({"--timezone": "UTC"}, "--timezone UTC contradicts the fit, which has Europe/Paris"),
        ({"--value": "Cost"}, "--value Cost contradicts the fit, which has Revenue"),
        ({"--group": "City"}, "--group City contradicts the fit, which has Country"),
    ],
    ids=str,
)
def test_score_refuses_another_question(reported, orders, run, tmp_path, changes, words):
    given = dict(zip(OPTIONS[::2], OPTIONS[1::2], strict=True)) | changes
    given |= {"--start": "2024-03-01", "--end": "2025-01-01", "--out": tmp_path / "out"}
    found = run("score", reported[0] / "fit", orders, *[word for pair in given.items() for word in pair])
    assert found.exit_code == 2
    assert words in found.stderr
    assert not (tmp_path / "out").exists()


def test_score_of_a_folder_says_where_the_fit_is(reported, orders, run, tmp_path):
    given = [*OPTIONS, "--start", "2024-03-01", "--end", "2025-01-01", "--out", tmp_path / "out"]
    found = run("score", reported[0], orders, *given)
    assert found.exit_code == 2
    assert f"write '{reported[0] / 'fit'}'" in found.stderr
    assert not (tmp_path / "out").exists()


def test_score_of_no_fit_is_explained(orders, run, tmp_path):
    found = run(
        "score",
        tmp_path / "nofit",
        orders,
        *OPTIONS,
        "--start",
        "2024-03-01",
        "--end",
        "2025-01-01",
        "--out",
        tmp_path / "o",
    )
    assert found.exit_code == 2
    assert "nofit" in found.stderr


def test_several_kinds_can_be_activity_and_quiet_is_quiet(events, run, tmp_path):
    found = run(
        "report", events, *READING, "--kind", "What", "--activity", "order,review", "--start", "2024-01-01", "--end",
        "2024-12-01", "--drop-after-end", "--churn", "silence:60", "--look-back", "45", "--draws", "50", "--quiet", "--out",
        tmp_path / "out",
    )  # fmt: skip
    assert found.exit_code == 0, found.output
    assert found.output == ""
    frame = pd.read_parquet(tmp_path / "out" / "risk.parquet")
    assert sorted(frame["horizon"].unique()) == [20, 40, 60]
    assert {"count_order_45d", "count_review_45d", "rhythm_order_45d"} <= set(frame.columns)
