"""The shipped log against what is published about it, and against itself read by three libraries."""

import hashlib
import re
from decimal import Decimal

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from churnsurv import EventLog
from churnsurv.datasets import load_online_retail, online_retail_path
from churnsurv.datasets.online_retail import online_retail_lines


@pytest.fixture(scope="module")
def file():
    return pq.read_table(online_retail_path())


@pytest.fixture(scope="module")
def log():
    return load_online_retail()


def test_published_counts(file):
    # UCI Machine Learning Repository, "Online Retail": 541,909 instances, 1 Dec 2010 to 9 Dec 2011.
    # The other counts are those that every published walk through these data starts with.
    assert file.num_rows == 541_909
    assert file.column_names == [
        "InvoiceNo",
        "StockCode",
        "Description",
        "Quantity",
        "InvoiceDate",
        "UnitPrice",
        "CustomerID",
        "Country",
    ]
    distinct = {
        name: pc.count_distinct(file[name]).as_py() for name in ("InvoiceNo", "StockCode", "CustomerID", "Country")
    }
    assert distinct == {"InvoiceNo": 25_900, "StockCode": 4_070, "CustomerID": 4_372, "Country": 38}
    assert file["CustomerID"].null_count == 135_080
    assert file["Description"].null_count == 1_454
    times = pc.min_max(file["InvoiceDate"]).as_py()
    assert str(times["min"]) == "2010-12-01 08:26:00"
    assert str(times["max"]) == "2011-12-09 12:50:00"


def test_published_totals(file):
    assert pc.sum(file["Quantity"]).as_py() == 5_176_450
    assert pc.min_max(file["Quantity"]).as_py() == {"min": -80_995, "max": 80_995}
    assert pc.min_max(file["UnitPrice"]).as_py() == {"min": -11_062.06, "max": 38_970.0}
    assert pc.sum(online_retail_lines()["revenue"]).as_py() == pytest.approx(9_747_747.934, abs=1e-6)


def test_the_licence_names_this_very_file():
    path = online_retail_path()
    text = path.with_name("online_retail.LICENSE.txt").read_text(encoding="utf-8")
    assert "CC0" in text
    assert "10.1057/dbm.2012.17" in text
    assert hashlib.sha256(path.read_bytes()).hexdigest() in re.findall(r"[0-9a-f]{64}", text)
    assert path.stat().st_size < 2_100_000


def test_polars_and_duckdb_read_the_same(file):
    import duckdb
    import polars as pl

    expected = (541_909, 4_372, 5_176_450, pc.sum(file["UnitPrice"]).as_py())
    frame = pl.read_parquet(online_retail_path())
    assert frame.height == expected[0]
    assert frame["CustomerID"].drop_nulls().n_unique() == expected[1]
    assert frame["Quantity"].sum() == expected[2]
    assert frame["UnitPrice"].sum() == pytest.approx(expected[3], rel=1e-12)
    query = "SELECT count(*), count(DISTINCT CustomerID), sum(Quantity), sum(UnitPrice) FROM read_parquet(?)"
    row = duckdb.execute(query, [str(online_retail_path())]).fetchall()[0]
    assert row == pytest.approx(expected, rel=1e-9)


def test_kinds_and_customers(log):
    assert log.kinds() == {"order": 397_884, "cancellation": 8_905, "adjustment": 40}
    rows = log.engine.rows(f"SELECT kind, count(DISTINCT customer_id) FROM {log.table} GROUP BY kind ORDER BY kind")
    assert rows == [("adjustment", 31), ("cancellation", 1_589), ("order", 4_338)]
    assert log.n_customers() == 4_372
    assert log.timezone == "Europe/London"


def test_lines_without_customer_are_a_counted_fault(log):
    fault = {fault.name: fault for fault in log.faults}["missing customer"]
    assert (fault.count, fault.total) == (135_080, 541_909)


def test_free_goods_are_no_order():
    lines = online_retail_lines()
    price, quantity = lines["unit_price"].to_numpy(), lines["quantity"].to_numpy()
    kind = lines["kind"].to_numpy()
    invoice = lines["invoice"].to_numpy().astype(str)
    cancelled = [number.startswith("C") for number in invoice]
    assert (kind[cancelled] == "cancellation").all()
    assert (quantity[cancelled] < 0).all()
    orders = kind == "order"
    assert (price[orders] > 0).all()
    assert (quantity[orders] > 0).all()
    assert set(kind[[number.startswith("A") for number in invoice]]) == {"adjustment"}
    known = lines["customer_id"].is_valid().to_numpy()
    assert len(set(lines["customer_id"].to_numpy()[known & (quantity > 0)])) == 4_339


def test_revenue_is_exact():
    lines = online_retail_lines().slice(0, 40_000)
    exact = [
        float(int(quantity) * Decimal(str(price)))
        for quantity, price in zip(lines["quantity"].to_pylist(), lines["unit_price"].to_pylist(), strict=True)
    ]
    assert lines["revenue"].to_pylist() == exact


def test_eight_customers_have_two_countries(log):
    rows = log.engine.rows(
        f"SELECT customer_id FROM {log.table} GROUP BY customer_id HAVING count(DISTINCT country) > 1 ORDER BY 1"
    )
    assert [row[0] for row in rows] == ["12370", "12394", "12417", "12422", "12429", "12431", "12455", "12457"]


def _gaps(log, where, by_day):
    activity = (
        "make_timestamp(time)::date" if by_day else "time"
    )  # London is on UTC or one hour ahead: no order at night
    return log.engine.rows(
        f"WITH a AS (SELECT customer_id, min(time) AS first, max(time) AS last FROM {log.table} WHERE {where} "
        f"GROUP BY customer_id, {activity}), g AS (SELECT (lead(first) OVER (PARTITION BY customer_id ORDER BY first) "
        f"- last) / 86400e6 AS gap FROM a) SELECT count(*), count(gap), median(gap) FROM g"
    )[0]


def test_what_counts_as_activity_doubles_the_median_gap(log):
    n, returns, median = _gaps(log, "kind = 'order'", by_day=True)
    assert (n, returns) == (16_763, 12_425)
    assert median == pytest.approx(27.977, abs=1e-3)
    raw = load_online_retail(raw=True)
    assert raw.kinds() == {"activity": 406_829}
    assert _gaps(raw, "true", by_day=False)[2] == pytest.approx(14.2, abs=0.1)


def test_the_path_serves_from_file():
    log = EventLog.from_file(
        online_retail_path(),
        customer="CustomerID",
        time="InvoiceDate",
        values=("Quantity",),
        labels=("Country",),
        timezone="Europe/London",
        on_bad="drop",
    )
    assert log.n_events == 406_829
