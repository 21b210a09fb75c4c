"""What the command line reads, and what it says about itself."""

import subprocess
import sys

import pytest

from churnsurv.cli.console import for_terminal
from churnsurv.cli.options import SourceOptions
from churnsurv.cli.parse import Rule, days_list, name_list, origin_column, origin_of
from churnsurv.cli.sources import LogSource
from churnsurv.errors import ArgumentError, DataWarning
from churnsurv.tables.churn import Silence
from churnsurv.tables.contracts import Cancellation, Inactivity


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
                "--draws", "--quiet", "--table", "--delimiter", "--origin", "--reactivation", "--cause", "--model",
                "--duration", "--unit", "--event", "--churned", "--entry", "--follow-up", "churnsurv report orders.csv",
                "churnsurv report events.csv", "churnsurv report telco.csv", "inactivity:90",
            ],
        ),
        ("score", ["--customer", "--end", "--cause", "--duration", "Example:", "churnsurv score out/fit"]),
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


@pytest.mark.parametrize(("text", "days"), [("silence:90", 90.0), (" silence:30.5 ", 30.5), ("inactivity:7", 7.0)])
def test_rules_of_days(text, days):
    assert Rule.read(text).days == days


@pytest.mark.parametrize(
    "text", ["silence", "silence:", "silence:0", "silence:-1", "silence:inf", "cancel:", "cancel:,", "90"]
)
def test_other_rules_are_refused(text):
    with pytest.raises(ArgumentError, match="is not a churn definition"):
        Rule.read(text)


def test_definitions():
    order, again = ("order",), ("signup",)
    silence = Rule.read("silence:90").definition(activity=order, origin=None, reactivation=())
    assert silence == Silence(order, 90)
    contract = Rule.read("cancel:a, b").definition(activity=(), origin="column:since", reactivation=again)
    assert contract == Cancellation(("a", "b"), "column", again)
    rule = Rule.read("inactivity:30").definition(activity=(), origin="burn-in:60", reactivation=())
    assert rule == Inactivity(30, ("activity",), "burn-in:60")


def test_a_column_of_beginnings_is_named_for_the_file_only():
    assert (origin_of("column:since"), origin_column("column:since")) == ("column", "since")
    assert (origin_of("kind:signup"), origin_column("kind:signup")) == ("kind:signup", None)
    for text in ("column", "column:", "stated", "kind:", "burn-in:x", ""):
        with pytest.raises(ArgumentError, match="does not say where"):
            origin_of(text)


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
        ('origin="burn-in:60" leaves out', "--origin burn-in:60 leaves out"),
        ("use churn=Silence(kinds=('order',), days=90): its", "use --churn silence:90: its"),
        ("or fit on PeriodTable.from_landmarks(…, horizon=90).", "or make a new fit with --horizon 90."),
        ('say what they mean: churned={"Yes": 1, "No": 0}.', "name the value that means churn, such as --churned Yes."),
        ("nothing to change", "nothing to change"),
        ("a\x1b[31mred", "a\ufffd[31mred"),
    ],
)
def test_hints_speak_of_options(message, shown):
    assert for_terminal(message) == shown


def test_events_left_out_on_purpose_are_counted(orders):
    options = SourceOptions(
        file=orders, customer="Customer", time="When", timezone="Europe/Paris", time_format="%Y-%m-%d %H:%M",
        start="2024-01-01", end="2024-12-01", drop_after_end=True,
    )  # fmt: skip
    with pytest.warns(DataWarning, match=r"events at or after 2024-12-01 were left out on purpose"):
        LogSource(options).read(values=(), labels=())
