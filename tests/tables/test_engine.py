"""The engine: nothing is lost, nothing is left, nothing of a user's text becomes SQL."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from churnsurv.tables.churn import Silence
from churnsurv.tables.engines import Engine, literal, quote
from churnsurv.tables.features import Count
from churnsurv.tables.leaks import leak_audit
from churnsurv.tables.spells import SpellTable
from churnsurv.tables.window import DAY_US, ObservationWindow


@pytest.fixture
def own() -> Engine:
    """An engine of the test's own."""
    return Engine(threads=1)


def tables(engine: Engine) -> set[str]:
    """Names of what the engine holds."""
    return {row[0] for row in engine.rows("SELECT table_name FROM information_schema.tables")}


def test_a_table_is_dropped_with_the_object_that_stands_for_it(own):
    relation = own.create("x", "SELECT 1 AS a")
    assert tables(own) == {relation.name}
    del relation
    assert tables(own) == set()


def test_an_object_that_dies_between_a_query_and_its_rows_does_not_take_the_rows(own):
    """The garbage collector may run at any moment; a statement run then would replace the rows that wait."""

    class Careless:
        """A connection after whose every query some object dies."""

        def __init__(self, real: Any) -> None:
            self.real = real

        def execute(self, sql: str) -> Any:
            result = self.real.execute(sql)
            gc.collect()
            return result

        def __getattr__(self, name: str) -> Any:
            return getattr(self.real, name)

    relation = own.create("x", "SELECT 1 AS a")
    circle: list[Any] = [relation]
    circle.append(circle)
    own.connection = Careless(own.connection)
    del relation, circle
    assert own.rows("SELECT 42") == [(42,)]
    assert own.records("SELECT 42 AS a") == [{"a": 42}]
    assert tables(own) == set()


def test_rows_that_python_cannot_hold_do_not_block_the_engine(own):
    """The year -290308 is a moment to the engine and none to Python; the unfinished result must not stay in the way."""
    name = own.register(pa.table({"t": pa.array([-(2**63) + 5], pa.timestamp("us"))}))
    for fetch in (own.rows, own.records):
        with pytest.raises(duckdb.Error, match="out of range"):
            fetch(f"SELECT t FROM {quote(name)}")
    own.unregister(name)
    assert own.rows("SELECT 1") == [(1,)]


def test_a_default_engine_that_broke_down_is_replaced(monkeypatch):
    from churnsurv.tables import engines

    class Broken:
        """What is left of an engine after an internal error."""

        def rows(self, sql: str) -> list[Any]:
            raise duckdb.FatalException("database has been invalidated")

    monkeypatch.setattr(engines, "_default", [Broken()])
    fresh = engines.default_engine()
    assert fresh.rows("SELECT 1") == [(1,)]
    assert engines.default_engine() is fresh


def test_threads_share_an_engine(own):
    found: list[int] = []

    def work(k: int) -> None:
        for _ in range(20):
            relation = own.create("x", f"SELECT {k} AS a")
            found.append(own.rows(f"SELECT a FROM {quote(relation.name)}")[0][0] - k)

    workers = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert found == [0] * 80


def test_an_engine_leaves_no_folder_and_no_warning_behind():
    code = (
        "import gc, warnings; warnings.simplefilter('error')\n"
        "from churnsurv.tables.engines import Engine, default_engine\n"
        "a = Engine(); print(a.folder); del a; gc.collect(); print(default_engine().folder)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    import pathlib

    assert not [path for path in done.stdout.split() if pathlib.Path(path).exists()]


def test_no_extension_is_fetched_from_the_network(own):
    assert own.rows("SELECT current_setting('autoinstall_known_extensions')") == [(False,)]


def test_memory_and_threads_are_bounded_as_asked():
    engine = Engine(memory_limit="300MiB", threads=1)
    assert engine.rows("SELECT current_setting('memory_limit'), current_setting('threads')") == [("300.0 MiB", 1)]


@pytest.mark.parametrize("text", ["it's", '"', "'; DROP TABLE x; --", "a\nb", "€", ""])
def test_text_of_a_user_never_becomes_sql(own, text):
    assert own.rows(f"SELECT {literal(text)}") == [(text,)]
    if text:
        assert list(own.columns(f"SELECT 1 AS {quote(text)}")) == [text]


@pytest.mark.parametrize("kind", ["it's", "'; DROP TABLE x; --", 'a "b"', "%", "€uro"])
def test_kinds_of_any_text_are_kinds(make_log, kind):
    log = make_log([("a", "2024-01-02", kind), ("a", "2024-01-05", kind), ("a", "2024-01-07", f"{kind}!")])
    churn = Silence((kind,), 9, terminal=(f"{kind}!",))
    spells = SpellTable.from_events(log, ObservationWindow("2024-01-01", "2024-02-01"), churn)
    assert spells.n_events == (1, 1)
    assert leak_audit(spells, [Count(kind, days=1, name=f"n of {kind}")]).passed


def test_days_before_1970_are_numbered_downwards(own):
    day = own.dialect.day_number("t")
    rows = own.rows(f"SELECT {day} FROM (VALUES ({-DAY_US - 1}), ({-DAY_US}), (-1), (0), ({DAY_US})) v(t)")
    assert [row[0] for row in rows] == [-2, -1, -1, 0, 1]


@pytest.mark.parametrize(
    ("number", "wanted"),
    [
        ("0.1::DOUBLE + 0.2", 0.3),
        ("0.0", 0.0),
        ("0.0::DOUBLE", 0.0),
        ("-123456.123456789::DOUBLE", -123456.123457),
        ("1e-300::DOUBLE / 3", 3.33333333333e-301),
        ("5e-324::DOUBLE", 5e-324),
        ("1e20::DOUBLE / 3", 33333333333300000000.0),
        ("NULL::DOUBLE", None),
    ],
)
def test_a_steady_number_has_twelve_digits(own, number, wanted):
    ((found,),) = own.rows(f"SELECT {own.dialect.steady(f'({number})')}")
    assert found == pytest.approx(wanted, rel=1e-15) if wanted is not None else found is None


def test_a_mean_does_not_depend_on_which_other_customers_are_in_the_log(make_log):
    """The engine adds in blocks that cut across customers: the last digits of a sum would depend on the neighbours."""
    import numpy as np

    from churnsurv.tables.features import Drop, Mean, Value
    from churnsurv.tables.periods import PeriodTable

    rng = np.random.default_rng(0)
    rows = [
        (f"c{rng.integers(40):02d}", 1_704_067_200_000_000 + int(rng.integers(20 * 86400)) * 10**6, "order",
         float(np.round(rng.normal(50, 30), 2)))
        for _ in range(4000)
    ]  # fmt: skip
    features = [Mean("order", "value", days=9), Value("order", "value"), Drop("order", "value", recent=3, before=6)]
    frames = []
    for kept in (rows, [row for row in rows if row[0] >= "c13"]):
        spells = SpellTable.from_events(
            make_log(kept), ObservationWindow("2024-01-01", "2024-01-21"), Silence(("order",), 9)
        )
        frame = PeriodTable.from_spells(spells, features=features, breaks=[0, 100]).frame()
        frames.append(frame[frame["customer_id"] >= "c13"].reset_index(drop=True))
    assert len(frames[0]) > 100
    for feature in features:
        np.testing.assert_array_equal(frames[0][feature.name], frames[1][feature.name])
