"""Raw rows as the engine sees them: frames and files, before anything is interpreted."""

from __future__ import annotations

import datetime as dt
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from churnsurv.errors import (
    ArgumentError,
    ColumnError,
    DataTypeError,
    EmptyDataError,
    FileFormatError,
    TimeFormatError,
    TimeZoneError,
)
from churnsurv.tables.engines import Engine, Relation, literal, quote
from churnsurv.tables.text_files import (
    as_utf8,
    check_bytes,
    codec_of,
    describe_broken,
    encoding_error,
    read_header,
    starts_with_mark,
)

if TYPE_CHECKING:
    import pyarrow as pa

_GLOB = str.maketrans({"[": "[[]", "*": "[*]", "?": "[?]"})
_PARQUET, _NDJSON, _DUCKDB, _TEXT = "parquet", "ndjson", "duckdb", "text"
_SUFFIXES = {
    ".parquet": _PARQUET,
    ".pq": _PARQUET,
    ".ndjson": _NDJSON,
    ".jsonl": _NDJSON,
    ".duckdb": _DUCKDB,
    ".db": _DUCKDB,
    ".csv": _TEXT,
    ".tsv": _TEXT,
    ".txt": _TEXT,
}


@dataclass(frozen=True)
class Source:
    """A query that yields the asked-for columns under their own names.

    Parameters
    ----------
    engine : Engine
        Where it runs.
    name : str
        Table or view.
    types : dict of str to str
        Column types as the engine names them.
    where : str
        What an error calls it: a path or "the frame".
    holder : object
        Keeps the table alive.
    """

    engine: Engine
    name: str
    types: dict[str, str]
    where: str
    holder: object = None


def check_columns(wanted: Sequence[str], present: Sequence[str], where: str) -> None:
    """Refuse columns that are not there.

    Raises
    ------
    ColumnError
        Naming what is missing and, where one is close, what may have been meant.
    """
    import difflib

    missing = [column for column in dict.fromkeys(wanted) if column not in present]
    if not missing:
        return
    close = difflib.get_close_matches(missing[0].lower(), [name.lower() for name in present], n=1, cutoff=0.5)
    meant = next((name for name in present if close and name.lower() == close[0]), None)
    raise ColumnError(
        f"{where} has no column {', '.join(repr(column) for column in missing)}.",
        column=missing[0],
        hint=(f"did you mean {meant!r}? " if meant else "") + f"Columns are: {', '.join(map(repr, present))}.",
    )


def _release(engine: Engine, name: str) -> None:
    engine.unregister(name)


def frame_source(engine: Engine, frame: Any, columns: Sequence[str]) -> Source:
    """Register a pandas, polars, Arrow or other frame that narwhals knows.

    Only the asked-for columns are handed over.

    Raises
    ------
    DataTypeError
        If it is no frame, or a column mixes types.
    ColumnError
        If a column is missing, or there twice.
    EmptyDataError
        If it has no rows.
    """
    import narwhals as nw

    try:
        wrapped = nw.from_native(frame)
    except (TypeError, ValueError) as error:
        if "duplicate" in str(error).lower() or "unique" in str(error).lower():
            raise ColumnError(f"the frame has a column name twice: {error}", hint="rename one of them.") from error
        raise DataTypeError(
            f"{type(frame).__name__} is not a data frame.",
            hint="hand over a pandas, polars or Arrow frame, or use EventLog.from_file for a path.",
        ) from error
    check_columns(columns, wrapped.collect_schema().names(), "the frame")
    table = _to_arrow(wrapped, list(dict.fromkeys(columns)))
    if table.num_rows == 0:
        raise EmptyDataError("the frame has no rows.", hint="check the query or file that it came from.")
    name = _register(engine, table)
    source = Source(engine, name, engine.columns(f"SELECT * FROM {quote(name)}"), "the frame", table)
    weakref.finalize(source, _release, engine, name)
    return source


def _register(engine: Engine, table: pa.Table) -> str:
    import duckdb

    try:
        return engine.register(table)
    except duckdb.NotImplementedException as error:
        if table.num_columns == 1:
            column = table.column_names[0]
            raise DataTypeError(
                f"column {column!r} ({table.schema.field(column).type}) has a type that the engine cannot read.",
                column=column,
                hint="convert it first, for example to float64 or to text.",
            ) from error
    for column in table.column_names:
        engine.unregister(_register(engine, table.select([column])))
    raise AssertionError("each column can be read alone")


def _to_arrow(wrapped: Any, columns: list[str]) -> pa.Table:
    import narwhals as nw
    import pyarrow as pa

    chosen = wrapped.select(columns)
    if isinstance(chosen, nw.LazyFrame):
        chosen = chosen.collect()
    arrays = {}
    for column in columns:
        try:
            array = chosen.select(column).to_arrow().column(0)
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            raise DataTypeError(
                f"column {column!r} ({_type_of(chosen, column)}) mixes values of several types, or holds objects that are"
                " neither number, text nor time.",
                column=column,
                consequence="Each value would be guessed for itself.",
                hint=f"give {column!r} one plain type first: ids as text, numbers as float64, times as timestamps.",
            ) from error
        if pa.types.is_timestamp(array.type) and chosen[column].dtype == nw.Object:
            _refuse_mixed_zones(column, chosen[column].to_list())
        arrays[column] = _plain(column, array)
    return pa.table(arrays)


def _type_of(frame: Any, column: str) -> str:
    native = frame[column].to_native()
    return str(getattr(native, "dtype", getattr(native, "type", type(native).__name__)))


def _plain(column: str, array: pa.ChunkedArray) -> pa.ChunkedArray:
    """Widen half floats, and refuse extension types: only their storage would arrive, a period as a day number."""
    import pyarrow as pa

    if pa.types.is_float16(array.type):
        return array.cast(pa.float32())
    if pa.types.is_timestamp(array.type) and array.type.unit in ("s", "ms"):
        try:
            return array.cast(pa.timestamp("us", array.type.tz))
        except pa.ArrowInvalid as error:  # the engine itself would not refuse them, it would break down
            raise TimeFormatError(
                f"column {column!r} holds moments that no calendar reaches.",
                column=column,
                hint="leave such rows out, or read the column in its right unit.",
            ) from error
    if isinstance(array.type, pa.BaseExtensionType) and array.type.extension_name != "arrow.uuid":
        raise DataTypeError(
            f"column {column!r} has the type {array.type}, which is neither number, text nor time.",
            column=column,
            hint="convert it first, for example a pandas period with .dt.to_timestamp().",
        )
    return array


def _refuse_mixed_zones(column: str, values: Sequence[object]) -> None:
    moments = [value for value in values if isinstance(value, dt.date)]
    aware = [value for value in moments if getattr(value, "tzinfo", None) is not None]
    if not 0 < len(aware) < len(moments):
        return
    local = next(value for value in moments if getattr(value, "tzinfo", None) is None)
    raise TimeZoneError(
        f"{len(aware):,} of {len(moments):,} times in {column!r} carry a time zone, the others do not.",
        column=column,
        rows=[{column: aware[0]}, {column: local}],
        consequence="Part of the log would be shifted against the rest.",
        hint="give all of them a zone, or none.",
    )


def file_source(
    engine: Engine,
    path: Path,
    columns: Sequence[str],
    *,
    delimiter: str = ",",
    encoding: str = "utf-8",
    table: str | None = None,
) -> Source:
    """Read CSV, Parquet, NDJSON or a DuckDB table by the engine.

    CSV and NDJSON are read as text, so that ``001`` stays ``001`` and ``NA`` stays ``NA``.

    Raises
    ------
    FileFormatError
        If the file is missing, of unknown kind, or damaged; with line or byte where known.
    ColumnError
        If a column is missing.
    EmptyDataError
        If it has no rows.
    """
    if path.is_dir():
        raise FileFormatError(f"{str(path)!r} is a folder, not a file.", hint="name one file of events.")
    if not path.is_file():
        raise FileFormatError(f"there is no file {str(path)!r}.", hint="check the path.")
    suffix = Path(path.stem).suffix.lower() if path.suffix.lower() == ".gz" else path.suffix.lower()
    form = _SUFFIXES.get(suffix)
    if form is None:
        raise FileFormatError(
            f"{path.name!r} has an unknown ending.", hint="known are .csv, .tsv, .txt, .parquet, .ndjson, .duckdb."
        )
    if path.stat().st_size == 0:
        raise EmptyDataError(f"{path.name!r} is empty.", hint="check the export that made it.")
    if form == _PARQUET:
        return _query_source(engine, path, f"SELECT * FROM read_parquet({_pattern(path)})", columns)
    if form == _DUCKDB:
        return _database_source(engine, path, columns, table)
    codec = codec_of(encoding)
    check_bytes(path, codec)
    if form == _NDJSON:
        return _ndjson_source(engine, path, columns, codec)
    return _text_source(engine, path, columns, "\t" if suffix == ".tsv" else delimiter, codec)


def _pattern(path: Path) -> str:
    """SQL text of one path: the engine would read ``a[1].csv`` as a pattern that means ``a1.csv``."""
    return literal(str(path).translate(_GLOB))


def _query_source(engine: Engine, path: Path, sql: str, columns: Sequence[str]) -> Source:
    import duckdb

    try:
        types = engine.columns(sql)
        check_columns(columns, list(types), repr(path.name))
        kept = ", ".join(quote(column) for column in dict.fromkeys(columns))
        relation = engine.create("source", f"SELECT {kept} FROM ({sql})")
        empty = not engine.rows(f"SELECT 1 FROM {quote(relation.name)} LIMIT 1")
    except duckdb.Error as error:
        raise FileFormatError(
            f"{path.name!r} cannot be read: {str(error).splitlines()[0]}",
            hint="check that the file is what its name says.",
        ) from error
    if empty:
        raise EmptyDataError(f"{path.name!r} has no rows.", hint="check the export that made it.")
    return Source(engine, relation.name, {column: types[column] for column in columns}, path.name, relation)


def _database_source(engine: Engine, path: Path, columns: Sequence[str], table: str | None) -> Source:
    import duckdb

    alias = engine.new_name("file")
    try:
        engine.execute(f"ATTACH {literal(str(path))} AS {quote(alias)} (TYPE duckdb, READ_ONLY)")
    except duckdb.Error as error:
        raise FileFormatError(
            f"{path.name!r} cannot be opened as a DuckDB database: {str(error).splitlines()[0]}",
            hint="hand over CSV or Parquet if it is another kind of database.",
        ) from error
    try:
        tables = [
            row[0]
            for row in engine.rows(
                f"SELECT table_name FROM information_schema.tables WHERE table_catalog = {literal(alias)} ORDER BY 1"
            )
        ]
        if table is None or table not in tables:
            raise ArgumentError(
                f"{path.name!r} has no table {table!r}."
                if table
                else f"state which table of {path.name!r} holds the log.",
                hint=f'table="…", one of: {", ".join(tables) or "(none)"}.',
            )
        return _query_source(engine, path, f"SELECT * FROM {quote(alias)}.{quote(table)}", columns)
    finally:
        engine.execute(f"DETACH {quote(alias)}")


def _text_source(engine: Engine, path: Path, columns: Sequence[str], delimiter: str, codec: str) -> Source:
    import duckdb

    if len(delimiter) != 1:
        raise ArgumentError(f"delimiter={delimiter!r} is not one character.", hint='write delimiter=";".')
    names = read_header(path, delimiter, codec)
    check_columns(columns, names, repr(path.name))
    kept = ", ".join(f"{quote(f'c{names.index(name)}')} AS {quote(name)}" for name in dict.fromkeys(columns))
    declared = ", ".join(f"'c{place}': 'VARCHAR'" for place in range(len(names)))
    copy = None if codec == "utf-8" else as_utf8(engine, path, codec)
    scan = (
        f"read_csv({_pattern(copy or path)}, auto_detect=false, header=true, columns={{{declared}}}, quote='\"', escape='\"',"
        f" delim={literal(delimiter)}, nullstr='', strict_mode=true, null_padding=false)"
    )
    try:
        relation = engine.create("source", f"SELECT {kept} FROM {scan}")
    except duckdb.Error as error:
        raise (None if copy else encoding_error(path)) or describe_broken(
            copy or path, path.name, error, len(names)
        ) from error
    finally:
        if copy:
            copy.unlink()
    if not engine.rows(f"SELECT 1 FROM {quote(relation.name)} LIMIT 1"):
        raise EmptyDataError(f"{path.name!r} has a header and no rows.", hint="check the export that made it.")
    return Source(engine, relation.name, dict.fromkeys(columns, "VARCHAR"), path.name, relation)


def _ndjson_source(engine: Engine, path: Path, columns: Sequence[str], codec: str) -> Source:
    import duckdb

    unique = list(dict.fromkeys(columns))
    declared = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in unique)
    if codec == "utf-8" and starts_with_mark(path):
        codec = "utf-8-sig"
    copy = None if codec == "utf-8" else as_utf8(engine, path, codec)
    file = _pattern(copy or path)
    try:
        keys = _ndjson_keys(engine, file, "LIMIT 1000")
        if not set(unique) <= keys:  # a key may occur first in a late row
            keys = _ndjson_keys(engine, file, "")
        if keys:
            check_columns(unique, sorted(keys), repr(path.name))
        relation = engine.create(
            "source", f"SELECT * FROM read_json({file}, format='newline_delimited', columns={{{declared}}})"
        )
    except duckdb.Error as error:
        raise encoding_error(path) or FileFormatError(
            f"{path.name!r} is not one JSON object a line: {str(error).splitlines()[0]}",
            hint="write one object a line (NDJSON), not one array.",
        ) from error
    finally:
        if copy:
            copy.unlink()
    if not keys and engine.rows(f"SELECT 1 FROM {quote(relation.name)} LIMIT 1"):
        raise FileFormatError(
            f"{path.name!r} is not one JSON object a line.", hint="write one object a line (NDJSON), not one array."
        )
    if not engine.rows(f"SELECT 1 FROM {quote(relation.name)} LIMIT 1"):
        raise EmptyDataError(f"{path.name!r} has no rows.", hint="check the export that made it.")
    return Source(engine, relation.name, dict.fromkeys(unique, "VARCHAR"), path.name, relation)


def _ndjson_keys(engine: Engine, file: str, limit: str) -> set[str]:
    rows = engine.rows(
        f"SELECT DISTINCT unnest(json_keys(json)) FROM (SELECT json FROM read_ndjson_objects({file}) {limit})"
    )
    return {row[0] for row in rows}


__all__ = ["Relation", "Source", "check_columns", "file_source", "frame_source"]
