"""Every wrong option is a sentence, exit code 2, and nothing written."""

import duckdb
import pytest


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"customer": "Custmer"}, ["no column 'Custmer'", "did you mean 'Customer'?"]),
        ({"time": "InvoiceDate"}, ["no column 'InvoiceDate'", "Columns are: 'Customer', 'When', 'Revenue', 'Country'"]),
        ({"value": "revenue"}, ["no column 'revenue'", "did you mean 'Revenue'?"]),
        ({"group": "Land"}, ["no column 'Land'"]),
        ({"value": "Country"}, ["Country"]),
        ({"time_format": "%d.%m.%Y"}, ["times in 'When' cannot be read", "--on-bad drop"]),
        ({"time_format": None}, ["time", "--time-format"]),
        ({"timezone": "Europe/Pari"}, ["there is no time zone 'Europe/Pari'", "Europe/London"]),
        ({"epoch_unit": "minutes"}, ["--epoch-unit 'minutes'", "s, ms, us, ns"]),
        ({"on_bad": "ignore"}, ["--on-bad 'ignore'", "raise, drop"]),
        ({"on_ambiguous": "first"}, ["--on-ambiguous 'first'", "earlier, later"]),
        ({"churn": "leave:7"}, ["--churn 'leave:7'", "silence:DAYS"]),
        ({"churn": "cancel:7"}, ["--churn cancel names kinds", "--kind COLUMN"]),
        ({"timezone": None}, ["--timezone is missing"]),
        ({"churn": "silence:0"}, ["--churn 'silence:0'"]),
        ({"churn": "silence:"}, ["--churn 'silence:'"]),
        ({"horizon": "30,sixty"}, ["--horizon '30,sixty'", "--horizon 30,60,90"]),
        ({"horizon": "0"}, ["--horizon '0'"]),
        ({"horizon": "30,30"}, ["--horizon '30,30'"]),
        ({"horizon": "120"}, ["120", "90"]),
        ({"churn": "silence:400"}, ["a silence of 400 days does not fit into a window of 366 days"]),
        ({"end": "2023-12-31"}, ["--end 2023-12-31 is not after --start 2024-01-01"]),
        ({"end": "next week"}, ["next week", "--end 2011-12-10"]),
        ({"start": "2024-13-01"}, ["2024-13-01"]),
        ({"end": "2024-06-01"}, ["events lie at or after", "--drop-after-end"]),
        ({"start": "2030-01-01", "end": "2031-01-01"}, ["2030"]),
        ({"activity": "order"}, ["--activity", "--kind COLUMN"]),
        ({"delimiter": ";"}, ["single column", "--delimiter"]),
        ({"delimiter": "::"}, ["--delimiter '::'"]),
        ({"encoding": "utf-99"}, ["utf-99"]),
        ({"look_back": "-5"}, ["look-back of -5 days"]),
        ({"draws": "0"}, ["--draws 0 is less than 1"]),
        ({"seed": "-1"}, ["--seed -1 is negative"]),
    ],
    ids=str,
)
def test_a_wrong_option_is_explained(ask, tmp_path, changes, words):
    found = ask(**changes)
    assert found.exit_code == 2, found.output
    assert "Error: " in found.stderr
    assert "Traceback" not in found.output
    for word in words:
        assert word in found.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", ["is empty"]),
        ("Customer,When\n", ["no rows"]),
        ("Customer,When\na,2024-01-05 10:00\nb\n", ["2"]),
        ("Customer,When\n,2024-01-05 10:00\nb,2024-01-05 10:00\n", ["customer", "--on-bad drop"]),
        ("Customer,When,When\na,2024-01-05 10:00,x\n", ["'When' 2 times"]),
    ],
    ids=["empty", "header only", "ragged", "missing customer", "column twice"],
)
def test_a_bad_file_is_explained(ask, tmp_path, content, words):
    path = tmp_path / "bad.csv"
    path.write_text(content, encoding="utf-8")
    found = ask(path)
    assert found.exit_code == 2, found.output
    for word in words:
        assert word in found.stderr


def test_a_missing_file_is_explained(ask, tmp_path):
    found = ask(tmp_path / "nowhere.csv")
    assert found.exit_code == 2
    assert "there is no file" in found.stderr


def test_an_unknown_ending_is_explained(ask, tmp_path):
    path = tmp_path / "orders.xlsx"
    path.write_bytes(b"PK")
    found = ask(path)
    assert found.exit_code == 2
    assert ".csv" in found.stderr


def test_a_database_needs_the_name_of_its_table(ask, tmp_path):
    path = tmp_path / "shop.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE orders AS SELECT 'a' AS Customer, '2024-01-05 10:00' AS \"When\"")
    found = ask(path)
    assert found.exit_code == 2
    assert "--table" in found.stderr
    assert "orders" in found.stderr


def test_kinds_are_listed_when_none_is_said_to_be_activity(ask, events):
    found = ask(events, kind="What")
    assert found.exit_code == 2
    assert "which kinds of event count as activity?" in found.stderr
    for kind in ("order", "delivery", "review", "ticket"):
        assert kind in found.stderr
    assert "--activity order" in found.stderr


def test_an_unknown_kind_is_explained(ask, events):
    found = ask(events, kind="What", activity="orders")
    assert found.exit_code == 2
    assert "'orders'" in found.stderr
    assert "'order'" in found.stderr


def test_out_that_is_a_file_is_refused_before_any_work(ask, tmp_path):
    (tmp_path / "out").write_text("mine", encoding="utf-8")
    found = ask()
    assert found.exit_code == 2
    assert "is a file" in found.stderr
    assert (tmp_path / "out").read_text(encoding="utf-8") == "mine"


def test_out_below_a_file_is_refused(ask, tmp_path):
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    found = ask(out=tmp_path / "file" / "out")
    assert found.exit_code == 2
    assert "is a file" in found.stderr


@pytest.mark.parametrize(
    "words",
    [("report",), ("report", "orders.csv"), ("reprot",), ("report", "orders.csv", "--churm", "silence:90"), ("score",)],
    ids=str,
)
def test_usage_errors_exit_with_2(run, words):
    found = run(*words)
    assert found.exit_code == 2
    assert "Usage:" in found.stderr


def test_what_a_terminal_would_obey_is_not_printed(ask, tmp_path):
    path = tmp_path / "evil.csv"
    path.write_text("Customer\x1b[2J,When[red]\na,2024-01-05 10:00\n", encoding="utf-8")
    found = ask(path)
    assert found.exit_code == 2
    assert "\x1b" not in found.output
    assert "[red]" in found.stderr


def test_a_defect_keeps_its_traceback(ask, monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr("churnsurv.cli.commands.analyse", broken)
    found = ask()
    assert isinstance(found.exception, ZeroDivisionError)


def test_ctrl_c_is_one_line_and_130(ask, tmp_path, monkeypatch):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("churnsurv.cli.commands.analyse", stopped)
    found = ask()
    assert found.exit_code == 130
    assert found.stderr.splitlines()[-1] == "Stopped. No file was left half-written."
    assert not (tmp_path / "out").exists()
