"""Every test here must leave the engine as it found it, also when a refusal stopped it half-way; spells of a small log."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from churnsurv.tables.engines import Engine
from churnsurv.tables.spells import SpellTable
from tests.tables.few_customers import ORDERS, ROWS, WINDOW


def held(engine: Engine) -> set[str]:
    """Tables, registered frames and attached files."""
    tables = engine.rows("SELECT table_name FROM information_schema.tables")
    files = engine.rows("SELECT database_name FROM duckdb_databases()")
    return {row[0] for row in (*tables, *files)} | {str(path) for path in engine.folder.iterdir()}


@pytest.fixture(autouse=True)
def nothing_left_behind(engine: Engine) -> Iterator[None]:
    """Compare what the engine holds before and after."""
    before = held(engine)
    yield
    if held(engine) - before:
        gc.collect()  # a refusal's traceback may hold a table in a cycle; collecting after every test would be slow
    left = held(engine) - before
    assert not left, left


@pytest.fixture
def spells(make_log):
    """Spells of rows."""

    def build(rows=ROWS, churn=ORDERS, **named):
        return SpellTable.from_events(make_log(rows, **named), WINDOW, churn)

    return build
