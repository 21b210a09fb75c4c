"""A shop's log as a CSV file, as a person would have exported it."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from churnsurv.cli import app
from churnsurv.datasets import simulate_shop

READING = ["--customer", "Customer", "--time", "When", "--time-format", "%Y-%m-%d %H:%M", "--timezone", "Europe/Paris"]
WINDOW = ["--start", "2024-01-01", "--end", "2025-01-01"]


def write_log(path, rows):
    rows.to_csv(path, index=False, date_format="%Y-%m-%d %H:%M")
    return path


@pytest.fixture(scope="session")
def rows():
    shop = simulate_shop(500, rng=3, start="2024-01-01", end="2025-01-01", timezone="Europe/Paris")
    frame = shop.frame().to_pandas()
    frame["When"] = frame["time"].dt.tz_convert("Europe/Paris").dt.tz_localize(None)
    # The hour that clocks skip or repeat has no place in a log written without offsets.
    frame = frame[~frame["When"].dt.strftime("%m-%d").isin(["03-31", "10-27"])]
    names = {"customer_id": "Customer", "revenue": "Revenue", "country": "Country", "kind": "What"}
    return frame.rename(columns=names)[["Customer", "When", "What", "Revenue", "Country"]]


@pytest.fixture(scope="session")
def orders(rows, tmp_path_factory):
    path = tmp_path_factory.mktemp("log") / "orders.csv"
    return write_log(path, rows[rows["What"] == "order"].drop(columns="What"))


@pytest.fixture(scope="session")
def events(rows, tmp_path_factory):
    return write_log(tmp_path_factory.mktemp("log") / "events.csv", rows)


@pytest.fixture
def run():
    def invoke(*arguments):
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return invoke


@pytest.fixture
def ask(run, orders, tmp_path):
    """Run ``report`` with good options, some of them replaced; ``None`` leaves an option out."""

    def report(file=orders, *flags, **changes):
        given = dict(zip(READING[::2], READING[1::2], strict=True)) | dict(zip(WINDOW[::2], WINDOW[1::2], strict=True))
        given |= {"--churn": "silence:90", "--out": tmp_path / "out"}
        given |= {f"--{name.replace('_', '-')}": value for name, value in changes.items()}
        words = [word for name, value in given.items() if value is not None for word in (name, value)]
        return run("report", file, *words, *flags)

    return report
