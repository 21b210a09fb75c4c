"""Text files before the engine reads them: packing, bytes, encoding, header, and what is wrong with a line."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path

from churnsurv.errors import ArgumentError, ColumnError, EmptyDataError, FileFormatError
from churnsurv.tables.engines import Engine

_DELIMITERS = (",", ";", "\t", "|")
_CHUNK = 1 << 20


def codec_of(encoding: str) -> str:
    """Canonical name of an encoding; a byte order mark at the front is skipped anyway.

    Raises
    ------
    ArgumentError
        If Python knows no such encoding.
    """
    try:
        name = codecs.lookup(encoding).name
    except LookupError as error:
        raise ArgumentError(
            f"there is no encoding {encoding!r}.", hint='write encoding="utf-8", "cp1252", "latin-1" or "utf-16".'
        ) from error
    return "utf-8" if name == "utf-8-sig" else name


def _open(path: Path) -> gzip.GzipFile | io.BufferedReader:
    return gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb")


def _chunks(path: Path) -> Iterator[bytes]:
    try:
        with _open(path) as file:
            while chunk := file.read(_CHUNK):
                yield chunk
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise FileFormatError(
            f"{path.name!r} cannot be unpacked: {error}.",
            consequence="The last events would be missing, and everyone would look more silent than they are.",
            hint="copy or download it again; a file that is not compressed must not be called .gz.",
        ) from error


def check_bytes(path: Path, codec: str) -> None:
    """Refuse bytes that are no text: read to the end once, so that a cut archive is found before anything is made."""
    passed = 0
    for chunk in _chunks(path):
        if not passed and chunk.startswith(b"\x1f\x8b"):
            raise FileFormatError(f"{path.name!r} is compressed by gzip.", hint=f"call it {path.name + '.gz'!r}.")
        offset = -1 if codec.startswith(("utf-16", "utf-32")) else chunk.find(b"\0")
        if offset >= 0:
            raise FileFormatError(
                f"{path.name!r} holds a NUL byte at byte {passed + offset:,}: it is not text, or it is damaged.",
                hint='state encoding="utf-16" if that is what it is, or export it again.',
            )
        passed += len(chunk)


def starts_with_mark(path: Path) -> bool:
    """Tell whether a file begins with the byte order mark of UTF-8."""
    with _open(path) as file:
        return file.read(3) == codecs.BOM_UTF8


def encoding_error(path: Path) -> FileFormatError | None:
    """Name the first byte that is not UTF-8, if there is one."""
    decoder, passed = codecs.getincrementaldecoder("utf-8")(), 0
    for chunk in _chunks(path):
        waiting = len(decoder.getstate()[0])
        try:
            decoder.decode(chunk)
        except UnicodeDecodeError as error:
            return FileFormatError(
                f"{path.name!r} is not UTF-8: byte {passed - waiting + error.start:,} (counted from 0) is impossible there.",
                rows=[
                    {
                        "text before it": error.object[max(0, error.start - 40) : error.start]
                        .decode("utf-8", "ignore")
                        .rsplit("\n", 1)[-1]
                    }
                ],
                consequence="Names would come out garbled, and the same customer under two ids.",
                hint='state encoding="cp1252" or "latin-1" (or what it is), or convert the file to UTF-8.',
            )
        passed += len(chunk)
    return None


def _not_encoded(path: Path, encoding: str, error: UnicodeError) -> FileFormatError:
    return FileFormatError(
        f"{path.name!r} is not {encoding}: {error}.", hint="state the encoding in which the file was written."
    )


def read_header(path: Path, delimiter: str, encoding: str) -> list[str]:
    """Column names of a delimited text file.

    Raises
    ------
    FileFormatError
        If the header is not text, has a name twice, or has only one column where another delimiter
        would give several.
    """
    with _open(path) as file:
        head = file.read(_CHUNK)
    try:
        text = head.decode(
            "utf-8-sig" if encoding == "utf-8" else encoding, errors="strict" if len(head) < _CHUNK else "ignore"
        )
    except UnicodeError as error:
        raise (encoding_error(path) if encoding == "utf-8" else None) or _not_encoded(path, encoding, error) from error
    names = next(csv.reader(io.StringIO(text, newline=None), delimiter=delimiter), [])
    if not any(names):
        raise EmptyDataError(f"{path.name!r} does not begin with a header.", hint="check the export that made it.")
    if len(names) == 1:
        better = max(_DELIMITERS, key=names[0].count)
        if better in names[0]:
            raise FileFormatError(
                f"{path.name!r} has a single column {names[0]!r} when split at {delimiter!r}.",
                hint=f"it looks delimited by {better!r}: delimiter={better!r} (on the command line --delimiter).",
            )
    twice = [name for name in dict.fromkeys(names) if name and names.count(name) > 1]
    if twice:
        raise ColumnError(
            f"{path.name!r} has the column {twice[0]!r} {names.count(twice[0])} times.",
            column=twice[0],
            hint="rename one of them; which one was meant cannot be known.",
        )
    return names


def as_utf8(engine: Engine, path: Path, codec: str) -> Path:
    """Copy a file as UTF-8 into the engine's folder: the engine itself knows few encodings."""
    copy = engine.folder / f"{engine.new_name('utf8')}.csv"
    decoder = codecs.getincrementaldecoder(codec)()
    try:
        with copy.open("wb") as file:
            for chunk in _chunks(path):
                file.write(decoder.decode(chunk).encode())
            file.write(decoder.decode(b"", final=True).encode())
    except UnicodeError as error:
        copy.unlink()
        raise _not_encoded(path, codec, error) from error
    return copy


def describe_broken(path: Path, name: str, error: Exception, n_columns: int) -> FileFormatError:
    """Say in one sentence what the engine found wrong with the lines of a file."""
    lines = str(error).splitlines()
    text = "\n".join(lines)
    shown = [{"line": line.removeprefix("Original Line: ")[:200]} for line in lines if line.startswith("Original Line")]
    where = next((f" in line {line.rsplit(' ', 1)[1]}" for line in lines if "CSV Error on Line" in line), "")
    crlf, lf = _line_ends(path)
    if "unterminated quote" in text:
        what = f"{name!r} has a quote that does not end, or text after one that ended,{where}"
        hint = "double a quote that belongs to the text, and quote the whole field."
    elif "Maximum line size" in text:
        what = f"{name!r} has a line longer than 2 MB{where}"
        hint = "look for a quote that does not end; it may swallow the rest of the file."
    elif "Expected Number of Columns" in text:
        what = f"{name!r} does not have {n_columns} fields{where}"
        hint = "quote fields that contain the delimiter or a line break, or state delimiter=…."
    elif crlf and lf:
        what = f"{name!r} mixes line ends: {crlf:,} lines end in CRLF, {lf:,} in LF alone"
        hint = "write all lines with the same end, for example with dos2unix."
    else:
        what, hint = f"{name!r} cannot be read: {lines[0]}", "check that the file is what its name says."
    return FileFormatError(f"{what}.", rows=shown, consequence="Fields would slip into the wrong column.", hint=hint)


def _line_ends(path: Path) -> tuple[int, int]:
    crlf = newline = 0
    last = b""
    for chunk in _chunks(path):
        crlf += chunk.count(b"\r\n") + (last == b"\r" and chunk.startswith(b"\n"))
        newline += chunk.count(b"\n")
        last = chunk[-1:]
    return crlf, newline - crlf
