"""What the command line reads, and what it says about itself."""

import subprocess
import sys

import pytest

from churnsurv.cli.console import for_terminal
from churnsurv.cli.parse import LogOptions, days_list, name_list, silence_days
from churnsurv.errors import DataWarning


def test_help_names_the_commands(run):
    found = run("--help")
    assert found.exit_code == 0
    for word in ("demo", "report", "score", "churnsurv demo"):
        assert word in found.stdout


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("demo", ["--out", "--seed", "Online Retail"]),
        (
            "report",
            [
                "--customer", "--time", "--time-format", "--timezone", "--value", "--group", "--start", "--end", "--churn",
                "--horizon", "--out", "--kind", "--activity", "--on-bad", "--drop-after-end", "--seed", "--look-back",
                "--draws", "--quiet", "--table", "--delimiter", "Example:", "churnsurv report orders.csv",
            ],
        ),
        ("score", ["--customer", "--end", "Example:", "churnsurv score out/fit"]),
    ],
)  # fmt: skip
def test_help_of_a_command_names_its_options(run, command, words):
    found = run(command, "--help")
    assert found.exit_code == 0
    for word in words:
        assert word in found.stdout


def test_nothing_given_shows_the_help(run):
    assert "Usage:" in run().output


def test_version(run):
    found = run("--version")
    assert found.exit_code == 0
    assert found.stdout.startswith("churnsurv ")


def test_help_is_quick_to_load():
    code = "import sys, churnsurv.cli; print([m for m in ('pymc', 'pandas', 'altair', 'vl_convert', 'duckdb') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize(("text", "days"), [("silence:90", 90.0), (" silence:30.5 ", 30.5)])
def test_silence(text, days):
    assert silence_days(text) == days


def test_lists():
    assert days_list("30, 60,90") == (30.0, 60.0, 90.0)
    assert days_list(None) == ()
    assert name_list(" order, login ,") == ("order", "login")


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ('state time_format="%Y-%m-%d %H:%M"', 'state --time-format "%Y-%m-%d %H:%M"'),
        ("delimiter=';'", '--delimiter ";"'),
        ('delimiter="\\t"', "--delimiter tab"),
        (
            'Hint: check time_format or epoch_unit; on_bad="drop".',
            "Hint: check --time-format or --epoch-unit; --on-bad drop.",
        ),
        ("features that look back less far.", "a shorter --look-back."),
        ('write timezone="UTC".\nline two', "write --timezone UTC.\nline two"),
        ("nothing to change", "nothing to change"),
        ("a\x1b[31mred", "a\ufffd[31mred"),
    ],
)
def test_hints_speak_of_options(message, shown):
    assert for_terminal(message) == shown


def test_events_left_out_on_purpose_are_counted(orders):
    options = LogOptions(
        path=orders, customer="Customer", time="When", kind=None, timezone="Europe/Paris", time_format="%Y-%m-%d %H:%M",
        epoch_unit=None, on_ambiguous="raise", on_bad="raise", delimiter=",", encoding="utf-8", table=None,
        end="2024-12-01", drop_after_end=True,
    )  # fmt: skip
    with pytest.warns(DataWarning, match=r"events at or after 2024-12-01 were left out on purpose"):
        options.read(values=(), labels=())
