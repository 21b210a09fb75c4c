"""Raw rows as the engine sees them: frames and files, before anything is interpreted."""

from __future__ import annotations

import csv
import gzip
import io
import mmap
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from churnsurv.errors import ArgumentError, ColumnError, DataTypeError, EmptyDataError, FileFormatError
from churnsurv.tables.engines import Engine, Relation, literal, quote

if TYPE_CHECKING:
    import pyarrow as pa

_DELIMITERS = (",", ";", "\t", "|")
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
    name = engine.register(table)
    source = Source(engine, name, engine.columns(f"SELECT * FROM {quote(name)}"), "the frame", table)
    weakref.finalize(source, _release, engine, name)
    return source


def _to_arrow(wrapped: Any, columns: list[str]) -> pa.Table:
    import narwhals as nw
    import pyarrow as pa

    chosen = wrapped.select(columns)
    if isinstance(chosen, nw.LazyFrame):
        chosen = chosen.collect()
    arrays = {}
    for column in columns:
        try:
            arrays[column] = chosen.select(column).to_arrow().column(0)
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, TypeError, ValueError) as error:
            raise DataTypeError(
                f"column {column!r} mixes values of several types, or holds objects that are no values.",
                column=column,
                consequence="Each value would be guessed for itself, and 2 January could become 1 February.",
                hint=f"give {column!r} one type first, for example frame[{column!r}].astype(str).",
            ) from error
    return pa.table(arrays)


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
        return _query_source(engine, path, f"SELECT * FROM read_parquet({literal(str(path))})", columns)
    if form == _DUCKDB:
        return _database_source(engine, path, columns, table)
    _check_bytes(path, encoding)
    if form == _NDJSON:
        return _ndjson_source(engine, path, columns)
    return _text_source(engine, path, columns, "\t" if suffix == ".tsv" else delimiter, encoding)


def _query_source(engine: Engine, path: Path, sql: str, columns: Sequence[str]) -> Source:
    import duckdb

    try:
        types = engine.columns(sql)
        check_columns(columns, list(types), path.name)
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
        engine.execute(f"ATTACH {literal(str(path))} AS {quote(alias)} (READ_ONLY)")
    except duckdb.Error as error:
        raise FileFormatError(
            f"{path.name!r} is not a DuckDB database: {str(error).splitlines()[0]}",
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


def _check_bytes(path: Path, encoding: str) -> None:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if content[:2] == b"\x1f\x8b":
            return
        offset = content.find(b"\0")
    if offset >= 0 and not encoding.lower().startswith("utf-16"):
        raise FileFormatError(
            f"{path.name!r} holds a NUL byte at byte {offset:,}: it is not text, or it is damaged.",
            hint='state encoding="utf-16" if that is what it is, or export it again.',
        )


def _bad_byte(path: Path) -> tuple[int, int] | None:
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                return number, error.start
    return None


def _encoding_error(path: Path) -> FileFormatError | None:
    found = _bad_byte(path)
    if found is None:
        return None
    return FileFormatError(
        f"{path.name!r} is not UTF-8: line {found[0]:,} has an impossible byte at position {found[1]:,}.",
        consequence="Names would come out garbled, and the same customer under two ids.",
        hint='state encoding="latin-1" (or what it is) or convert the file to UTF-8.',
    )


def read_header(path: Path, delimiter: str, encoding: str) -> list[str]:
    """Column names of a delimited text file.

    Raises
    ------
    FileFormatError
        If the header is not text, has a name twice, or has only one column where another delimiter
        would give several.
    """
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        head = file.read(1 << 16)
    try:
        text = head.decode(
            "utf-8-sig" if encoding == "utf-8" else encoding, errors="strict" if len(head) < 1 << 16 else "ignore"
        )
    except (UnicodeDecodeError, LookupError) as error:
        raise _encoding_error(path) or FileFormatError(f"{path.name!r} is not {encoding}: {error}.") from error
    names = next(csv.reader(io.StringIO(text), delimiter=delimiter), [])
    if len(names) == 1:
        better = max(_DELIMITERS, key=names[0].count)
        if better in names[0]:
            raise FileFormatError(
                f"{path.name!r} has a single column {names[0]!r} when split at {delimiter!r}.",
                hint=f"it looks delimited by {better!r}: delimiter={better!r} (on the command line --delimiter).",
            )
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise ColumnError(
            f"{path.name!r} has the column {twice[0]!r} {names.count(twice[0])} times.",
            column=twice[0],
            hint="rename one of them; which one was meant cannot be known.",
        )
    return names


def _text_source(engine: Engine, path: Path, columns: Sequence[str], delimiter: str, encoding: str) -> Source:
    import duckdb

    names = read_header(path, delimiter, encoding)
    check_columns(columns, names, path.name)
    kept = ", ".join(quote(column) for column in dict.fromkeys(columns))
    declared = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in names)
    scan = (
        f"read_csv({literal(str(path))}, auto_detect=false, header=true, columns={{{declared}}}, quote='\"', escape='\"',"
        f" delim={literal(delimiter)}, nullstr='', encoding={literal(encoding)}, strict_mode=true, null_padding=false)"
    )
    try:
        relation = engine.create("source", f"SELECT {kept} FROM {scan}")
    except duckdb.Error as error:
        raise (_encoding_error(path) if encoding == "utf-8" else None) or _ragged(path, error, len(names)) from error
    if not engine.rows(f"SELECT 1 FROM {quote(relation.name)} LIMIT 1"):
        raise EmptyDataError(f"{path.name!r} has a header and no rows.", hint="check the export that made it.")
    return Source(engine, relation.name, dict.fromkeys(columns, "VARCHAR"), path.name, relation)


def _ragged(path: Path, error: Exception, n_columns: int) -> FileFormatError:
    lines = str(error).splitlines()
    return FileFormatError(
        f"{path.name!r} does not have {n_columns} fields in every line: {lines[0]}",
        rows=[
            {"line": line.removeprefix("Original Line: ")[:200]} for line in lines if line.startswith("Original Line")
        ],
        consequence="Fields would slip into the wrong column.",
        hint="quote fields that contain the delimiter or a line break, or state delimiter=….",
    )


def _ndjson_source(engine: Engine, path: Path, columns: Sequence[str]) -> Source:
    import duckdb

    unique = list(dict.fromkeys(columns))
    declared = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in unique)
    scan = f"read_json({literal(str(path))}, format='newline_delimited', columns={{{declared}}})"
    try:
        keys = engine.rows(
            f"SELECT DISTINCT unnest(json_keys(json)) FROM (SELECT json FROM read_ndjson_objects({literal(str(path))}) LIMIT 1000)"
        )
        check_columns(unique, sorted(row[0] for row in keys), path.name)
        relation = engine.create("source", f"SELECT * FROM {scan}")
    except duckdb.Error as error:
        raise _encoding_error(path) or FileFormatError(
            f"{path.name!r} is not one JSON object a line: {str(error).splitlines()[0]}",
            hint="write one object a line (NDJSON), not one array.",
        ) from error
    if not engine.rows(f"SELECT 1 FROM {quote(relation.name)} LIMIT 1"):
        raise EmptyDataError(f"{path.name!r} has no rows.", hint="check the export that made it.")
    return Source(engine, relation.name, dict.fromkeys(unique, "VARCHAR"), path.name, relation)


__all__ = ["Relation", "Source", "check_columns", "file_source", "frame_source", "read_header"]
