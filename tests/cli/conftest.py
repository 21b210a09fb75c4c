"""Logs and durations as files, as a person would have exported them."""

from __future__ import annotations

import importlib
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from churnsurv.cli import app
from churnsurv.datasets import simulate_shop, simulate_subscription

READING = ["--customer", "Customer", "--time", "When", "--time-format", "%Y-%m-%d %H:%M", "--timezone", "Europe/Paris"]
WINDOW = ["--start", "2024-01-01", "--end", "2025-01-01"]


@contextmanager
def undrawn():
    """Leave the drawing out of reports: it takes longer than everything else together, and is tested on its own."""

    def write(_fit, _risk, path, **_content):
        return Path(path).write_text("not drawn", encoding="utf-8")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importlib.import_module("churnsurv.report.outputs"), "report", write)
        yield


def told(*words, draw=False):
    """Run the command line to its good end."""
    if not draw:
        with undrawn():
            return told(*words, draw=True)
    found = CliRunner().invoke(app, [str(word) for word in words])
    assert found.exit_code == 0, found.output
    return found


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


@pytest.fixture(scope="session")
def contracts():
    """Two years of contracts, their true spells with a login at each start that can be seen, and later ones."""
    business = simulate_subscription(350, rng=4)
    start, end = pd.Timestamp("2023-01-01", tz="UTC"), pd.Timestamp("2025-01-01", tz="UTC")
    spells = business.spells[business.spells["in_log"]].assign(first=lambda s: s["origin"].clip(lower=start))
    rng = np.random.default_rng(4)
    logins = [spells.assign(time=spells["first"])]
    for _ in range(6):
        ahead = pd.to_timedelta(rng.uniform(0, 1, len(spells)) * spells["observed_duration"], unit="D")
        logins.append(spells.assign(time=spells["origin"] + ahead))
    seen = pd.concat(logins).assign(kind="login")
    seen = seen[(seen["time"] >= start) & (seen["time"] < end)]
    events = pd.concat([business.frame().to_pandas(), seen[["customer_id", "time", "kind"]]])
    events["time"] = pd.to_datetime(events["time"], utc=True)
    ends = spells[spells["observed_event"] > 0]
    ends = ends.assign(time=ends["origin"] + pd.to_timedelta(ends["duration"], unit="D"))
    ends = ends.assign(kind=np.array(business.truth.causes)[ends["observed_event"] - 1])
    columns = ["customer_id", "time", "kind", "origin"]
    return business, events.sort_values("time"), pd.concat([seen[columns], ends[columns]])


@pytest.fixture(scope="session")
def subscriptions(contracts, tmp_path_factory):
    """Sign-ups, logins and two ways to leave, as CSV; every sign-up has a country, a plan and a price."""
    rows = contracts[1].assign(time=lambda e: e["time"].dt.tz_localize(None))
    rows["price"] = np.where(rows["kind"] == "signup", np.arange(len(rows)) % 30 + 5.0, np.nan)
    path = tmp_path_factory.mktemp("log") / "subscriptions.csv"
    rows.to_csv(path, index=False, date_format="%Y-%m-%d %H:%M:%S.%f")
    return path


@pytest.fixture(scope="session")
def signed_up(contracts, tmp_path_factory):
    """The same without sign-ups: each row says when its contract began."""
    path = tmp_path_factory.mktemp("log") / "signed_up.parquet"
    contracts[2].rename(columns={"origin": "since"}).to_parquet(path)
    return path


@pytest.fixture(scope="session")
def durations(contracts, tmp_path_factory):
    """One row per customer: whole months, whether the contract has ended, plan and price."""
    spells = contracts[0].spells.drop_duplicates("customer_id")
    rows = pd.DataFrame(
        {
            "who": spells["customer_id"],
            "months": np.ceil(spells["observed_duration"] / 30.4375).astype(int),
            "left": np.where(spells["observed_event"] > 0, "yes", "no"),
            "Plan": spells["plan"].astype(str),
            "Monthly price": np.arange(len(spells)) % 30 + 5.0,
        }
    )
    path = tmp_path_factory.mktemp("durations") / "durations.csv"
    rows.to_csv(path, index=False)
    return path


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
