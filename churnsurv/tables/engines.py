"""Where the tables are computed: one SQL text, its dialect kept in this file.

The text runs on DuckDB, embedded. What differs elsewhere (the epoch function, integer division,
exact sums, ignoring nulls in a window) is a method of :class:`Dialect`, so that another engine is
another ten lines.
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
import threading
import weakref
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from churnsurv.tables.window import DAY_US

if TYPE_CHECKING:
    import duckdb
    import pandas as pd
    import pyarrow as pa

_EPOCH_SHIFT = 1_000_000
"""Days added before an integer division, so that it rounds down before 1970 too."""


def quote(name: str) -> str:
    """Quote an identifier; the only way a user's name gets into the SQL text.

    Examples
    --------
    >>> print(quote('a "b" c'))
    "a ""b"" c"
    """
    return '"' + name.replace('"', '""') + '"'


def literal(value: str) -> str:
    """Quote a text value; the only way a user's text gets into the SQL text.

    Examples
    --------
    >>> literal("it's")
    "'it''s'"
    """
    return "'" + value.replace("'", "''") + "'"


def sql_list(names: Sequence[str]) -> str:
    """Names as a list of SQL text literals.

    Examples
    --------
    >>> sql_list(["a", "b"])
    "('a', 'b')"
    """
    return "(" + ", ".join(literal(name) for name in names) + ")"


@dataclass(frozen=True)
class Dialect:
    """What differs between engines."""

    def epoch_us(self, expression: str) -> str:
        """Microseconds since 1970 of a timestamp."""
        return f"epoch_us({expression})"

    def idiv(self, numerator: str, denominator: str | int) -> str:
        """Integer division of numbers >= 0."""
        return f"(({numerator}) // ({denominator}))"

    def exact_sum(self, expression: str) -> str:
        """Sum of 64-bit integers that cannot overflow (128 bits here, DECIMAL(38, 0) elsewhere)."""
        return f"sum({expression})"

    def last_known(self, expression: str) -> str:
        """Last value of a window frame that is not null."""
        return f"last_value({expression} IGNORE NULLS)"

    def steady(self, expression: str) -> str:
        """Number to twelve digits: the digits after depend on which other rows the engine summed beside it."""
        size = f"CAST(floor(log10(abs(nullif({expression}, 0)))) AS INTEGER)"
        return f"round({expression}, 11 - coalesce({size}, 0))"

    def day_number(self, time: str, offset: str = "0") -> str:
        """Day since 1970 of a UTC time in microseconds shifted by a zone's offset."""
        shifted = f"{time} + {offset} + {_EPOCH_SHIFT * DAY_US}"
        return f"({self.idiv(shifted, DAY_US)} - {_EPOCH_SHIFT})"


@dataclass(frozen=True, eq=False)
class Relation:
    """A table inside an engine, dropped when nothing refers to it any more."""

    engine: Engine
    name: str

    def __post_init__(self) -> None:
        """Let the engine forget the table together with this object."""
        weakref.finalize(self, self.engine.drop, self.name)


@dataclass(eq=False)
class Engine:
    """An embedded DuckDB with bounded memory; larger work spills to a temporary folder.

    Parameters
    ----------
    memory_limit : str, optional
        For example ``"4GB"``; DuckDB's own default is 80 % of the machine's memory.
    threads : int, optional
        Number of threads; all cores by default.
    """

    memory_limit: str | None = None
    threads: int | None = None
    dialect: Dialect = field(default_factory=Dialect)

    def __post_init__(self) -> None:
        """Open the database."""
        import duckdb

        self.folder = Path(tempfile.mkdtemp(prefix="churnsurv-"))
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        settings: dict[str, Any] = {"temp_directory": str(self.folder / "spill"), "autoinstall_known_extensions": False}
        settings |= {"memory_limit": self.memory_limit} if self.memory_limit else {}
        settings |= {"threads": self.threads} if self.threads else {}
        self.connection: duckdb.DuckDBPyConnection = duckdb.connect(config=settings)
        self.connection.execute("SET TimeZone = 'UTC'")
        self.connection.execute("SET enable_progress_bar = false")
        self._numbers = itertools.count()
        self._lock = threading.RLock()
        self._unused: deque[tuple[bool, str]] = deque()

    def new_name(self, prefix: str) -> str:
        """Return a name that is not in use."""
        return f"{prefix}_{next(self._numbers)}"

    def create(self, prefix: str, sql: str) -> Relation:
        """Compute a query into a table of its own."""
        name = self.new_name(prefix)
        self.execute(f"CREATE TABLE {quote(name)} AS {sql}")
        return Relation(self, name)

    def execute(self, sql: str) -> None:
        """Run a statement."""
        with self._lock:
            self._sweep()
            self.connection.execute(sql)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Fetch all rows of a query as Python values."""
        return self._fetch(sql)[1]

    def records(self, sql: str) -> list[dict[str, Any]]:
        """Fetch all rows of a query as mappings."""
        names, rows = self._fetch(sql)
        return [dict(zip(names, row, strict=True)) for row in rows]

    def _fetch(self, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        with self._lock:
            self._sweep()
            result = self.connection.execute(sql)
            try:
                return [column[0] for column in result.description or ()], result.fetchall()
            except BaseException:
                self.connection.abort()  # rows that nobody fetches would block the connection for good
                raise

    def arrow(self, sql: str) -> pa.Table:
        """Fetch a query as an Arrow table."""
        with self._lock:
            self._sweep()
            return self.connection.sql(sql).to_arrow_table()

    def frame(self, sql: str) -> pd.DataFrame:
        """Fetch a query as a pandas frame."""
        frame: pd.DataFrame = self.arrow(sql).to_pandas()
        return frame

    def columns(self, sql: str) -> dict[str, str]:
        """Names and types of the columns of a query."""
        with self._lock:
            self._sweep()
            return {row[0]: row[1] for row in self.connection.execute(f"DESCRIBE {sql}").fetchall()}

    def register(self, table: pa.Table) -> str:
        """Make an Arrow table known under a new name, without copying it."""
        name = self.new_name("source")
        with self._lock:
            self.connection.register(name, table)
        return name

    def unregister(self, name: str) -> None:
        """Forget an Arrow table before the next statement."""
        self._unused.append((False, name))

    def drop(self, name: str) -> None:
        """Drop a table before the next statement."""
        self._unused.append((True, name))

    def _sweep(self) -> None:
        # Objects die at any moment, also between a query and the fetching of its rows: a statement run there
        # would replace the rows. So what is dropped waits here for the next statement.
        while self._unused:
            is_table, name = self._unused.popleft()
            if is_table:
                self.connection.execute(f"DROP TABLE IF EXISTS {quote(name)}")
            else:
                self.connection.unregister(name)


_default: list[Engine] = []


def default_engine() -> Engine:
    """Return the engine that is shared by all tables of a process unless another one is given.

    An engine that broke down is replaced: its tables are lost, new ones can be made.
    """
    import duckdb

    try:
        if _default:
            _default[0].rows("SELECT 1")
    except duckdb.FatalException:
        _default.clear()
    if not _default:
        _default.append(Engine())
    return _default[0]
