"""Files: items 54, 65 and 66 of the catalogue of bad inputs, and the same log from every kind of source."""

from __future__ import annotations

import contextlib
import gzip
import json
import sqlite3

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from churnsurv.errors import (
    ArgumentError,
    ColumnError,
    DataTypeError,
    DataWarning,
    EmptyDataError,
    FileFormatError,
    MissingValueError,
)
from churnsurv.tables.events import EventLog

HEADER = "who,when,v,land\n"
ROWS = "001,2024-01-01,1.5,FR\n002,2024-01-02,,NA\n"


@pytest.fixture
def read(engine, tmp_path):
    """Write bytes or text to a file of that name and read it."""

    def build(name, content=None, **settings):
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        named = {"customer": "who", "time": "when", "values": ("v",), "labels": ("land",)}
        return EventLog.from_file(
            path, **{**named, "timezone": "UTC", "time_format": "iso", "engine": engine, **settings}
        )

    return build


def same(log: EventLog) -> bool:
    """Whether a log holds the two rows above."""
    frame = log.frame()
    return (
        list(frame["customer_id"]) == ["001", "002"]
        and list(frame["time"]) == [1_704_067_200_000_000, 1_704_153_600_000_000]
        and frame["v"][0] == 1.5
        and pd.isna(frame["v"][1])
        and list(frame["land"]) == ["FR", "NA"]
        and set(frame["kind"]) == {"activity"}
    )


# The same log from everything -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.csv", "a.CSV", "a.txt"])
def test_csv(read, name):
    assert same(read(name, HEADER + ROWS))


@pytest.mark.parametrize(
    "content",
    [
        (HEADER + ROWS)[:-1],
        HEADER + ROWS + "\n\n",
        HEADER + "\n" + ROWS,
        (HEADER + ROWS).replace("\n", "\r\n"),
        (HEADER + ROWS).replace("\n", "\r"),
        "\ufeff" + HEADER + ROWS,
        '\ufeff"who","when","v","land"\n' + ROWS,
        HEADER + '"001","2024-01-01","1.5","FR"\n"002",2024-01-02,"",NA\n',
        ",who,when,v,land\n" + "".join(f"{k},{line}\n" for k, line in enumerate(ROWS.splitlines())),
        "WHO,who,when,v,land\n" + "".join(f"x,{line}\n" for line in ROWS.splitlines()),
        "who,when,v,land,\n" + "".join(f"{line},\n" for line in ROWS.splitlines()),
    ],
    ids=["no last line end", "blank lines at the end", "blank line inside", "CRLF", "CR", "byte order mark",
         "byte order mark and quotes", "quotes", "nameless column", "columns that differ by case", "trailing delimiter"],
)  # fmt: skip
def test_csv_as_programs_write_it(read, content):
    assert same(read("a.csv", content))


def test_packed_csv(read):
    assert same(read("a.csv.gz", gzip.compress((HEADER + ROWS).encode())))


def test_tab_separated(read):
    assert same(read("a.tsv", (HEADER + ROWS).replace(",", "\t")))


def test_another_delimiter_and_a_comma_inside_quotes(read):
    assert same(read("a.csv", (HEADER + ROWS).replace(",", ";"), delimiter=";"))
    log = read("b.csv", HEADER + '1,2024-01-01,1,"Korea, Republic of\nand ""North"""\n')
    assert log.frame()["land"][0] == 'Korea, Republic of\nand "North"'


@pytest.mark.parametrize(
    "encoding", ["utf-8", "UTF8", "utf-8-sig", "latin-1", "ISO-8859-1", "cp1252", "utf-16", "utf-16-le"]
)
@pytest.mark.parametrize("packed", [False, True])
def test_every_encoding_that_is_stated(read, encoding, packed):
    content = (HEADER + "é1,2024-01-01,1,Österreich\n").encode(encoding)
    log = read(
        "a.csv.gz" if packed else "a.csv", gzip.compress(content, mtime=0) if packed else content, encoding=encoding
    )
    assert list(log.frame()[["customer_id", "land"]].iloc[0]) == ["é1", "Österreich"]


def test_ndjson(read):
    rows = [
        {"who": "001", "when": "2024-01-01", "v": 1.5, "land": "FR"},
        {"land": "NA", "when": "2024-01-02", "who": "002"},
    ]
    content = "\n".join(map(json.dumps, rows))
    assert same(read("a.ndjson", content))
    assert same(read("b.jsonl", content + "\n\n"))
    assert same(read("c.ndjson.gz", gzip.compress(content.encode())))
    assert same(read("d.ndjson", "\ufeff" + content))
    assert same(read("e.ndjson", content.encode("utf-16"), encoding="utf-16"))


def test_parquet_and_duckdb(read, tmp_path):
    frame = pl.read_csv((HEADER + ROWS).encode(), schema_overrides={"who": pl.String}, try_parse_dates=True)
    frame.write_parquet(tmp_path / "a.parquet")
    assert same(read("a.parquet"))
    with duckdb.connect(str(tmp_path / "a.duckdb")) as connection:
        connection.register("frame", frame.to_arrow())
        connection.execute("CREATE TABLE log AS SELECT * FROM frame")
    assert same(read("a.duckdb", table="log"))


def frames():
    """The two rows in every kind of frame."""
    polars = pl.read_csv((HEADER + ROWS).encode(), schema_overrides={"who": pl.String})
    table = polars.to_arrow()
    pandas = polars.to_pandas()
    return {
        "polars": polars,
        "polars lazy": polars.lazy(),
        "arrow": table,
        "pandas": pandas,
        "pandas arrow types": table.to_pandas(types_mapper=pd.ArrowDtype),
        "pandas nullable": pandas.convert_dtypes(),
        "pandas category": pandas.astype({"who": "category", "land": "category"}),
        "duckdb": duckdb.from_arrow(table),
    }


@pytest.mark.parametrize("name", list(frames()))
def test_every_kind_of_frame(engine, name):
    log = EventLog.from_frame(
        frames()[name], customer="who", time="when", values=("v",), labels=("land",), timezone="UTC",
        time_format="iso", engine=engine,
    )  # fmt: skip
    assert same(log)


# Item 65: what is no log ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "a.ndjson", "a.duckdb"])
def test_an_empty_file_is_refused(read, refuses, name):
    with refuses(EmptyDataError, f"{name!r} is empty.", "export"):
        read(name, b"")


@pytest.mark.parametrize("content", [HEADER, HEADER.strip()])
def test_a_header_without_rows_is_refused(read, refuses, content):
    with refuses(EmptyDataError, "'a.csv' has a header and no rows."):
        read("a.csv", content)


@pytest.mark.parametrize(
    ("name", "content"), [("a.csv", "\n\n"), ("a.csv.gz", gzip.compress(b"", mtime=0)), ("a.csv", ",,\n")]
)
def test_a_file_without_a_header_is_refused(read, refuses, name, content):
    with refuses(EmptyDataError, f"{name!r} does not begin with a header."):
        read(name, content)


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_a_wrong_delimiter_is_refused_with_the_right_one(read, refuses, delimiter):
    with refuses(
        FileFormatError, f"has a single column {HEADER.strip().replace(',', delimiter)!r} when split at ','",
        f"it looks delimited by {delimiter!r}: delimiter={delimiter!r}", "--delimiter",
    ):  # fmt: skip
        read("a.csv", (HEADER + ROWS).replace(",", delimiter))


@pytest.mark.parametrize("delimiter", ["", ";;"])
def test_a_delimiter_is_one_character(read, refuses, delimiter):
    with refuses(ArgumentError, f"delimiter={delimiter!r} is not one character."):
        read("a.csv", HEADER + ROWS, delimiter=delimiter)


@pytest.mark.parametrize("line", ["003,2024-01-03,1,FR,9", "003,2024-01-03,1"])
def test_ragged_rows_are_refused_with_their_line(read, refuses, line):
    with refuses(
        FileFormatError, "'a.csv' does not have 4 fields in line 4.", f"  line={line}\n", "slip into the wrong column"
    ):
        read("a.csv", f"{HEADER}{ROWS}{line}\n")


@pytest.mark.parametrize("field", ['"Fr', '"F"R'])
def test_a_quote_that_does_not_end_is_refused(read, refuses, field):
    with refuses(FileFormatError, "'a.csv' has a quote that does not end, or text after one that ended, in line 2."):
        read("a.csv", f"{HEADER}1,2024-01-01,1,{field}\n{ROWS}")


def test_a_line_without_end_is_refused(read, refuses):
    with refuses(FileFormatError, "'a.csv' has a line longer than 2 MB in line 4.", "look for a quote") as caught:
        read("a.csv", HEADER + ROWS + "x" * 3_000_000 + ",2024-01-01,1,FR\n")
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("content", [HEADER + ROWS.replace("\n", "\r\n"), HEADER.replace("\n", "\r\n") + ROWS])
def test_mixed_line_ends_are_refused(read, refuses, content):
    crlf = content.count("\r\n")
    with refuses(FileFormatError, f"mixes line ends: {crlf} lines end in CRLF, {3 - crlf} in LF alone.", "dos2unix"):
        read("a.csv", content)


def test_a_header_with_a_name_twice_is_refused(read, refuses):
    with refuses(ColumnError, "'a.csv' has the column 'v' 2 times.", "which one was meant", column="v"):
        read("a.csv", "who,when,v,land,v\n1,2024-01-01,1,FR,2\n")


@pytest.mark.parametrize("name", ["a.csv", "a.ndjson", "a.parquet", "a.duckdb"])
def test_a_missing_column_is_refused_in_the_same_words_for_every_file(read, refuses, tmp_path, name):
    content = None
    if name.endswith("csv"):
        content = "who,When\n1,2024-01-01\n"
    elif name.endswith("ndjson"):
        content = '{"who": "1", "When": "2024-01-01"}'
    elif name.endswith("parquet"):
        pl.DataFrame({"who": ["1"], "When": ["2024-01-01"]}).write_parquet(tmp_path / name)
    else:
        with duckdb.connect(str(tmp_path / name)) as connection:
            connection.execute("CREATE TABLE log AS SELECT '1' AS who, '2024-01-01' AS \"When\"")
    with refuses(ColumnError, f"{name!r} has no column 'when'.", "did you mean 'When'?", column="when"):
        read(name, content, values=(), labels=(), table="log")


@pytest.mark.parametrize("packed", [False, True])
def test_a_nul_byte_is_refused_with_its_place(read, refuses, packed):
    content = (HEADER + ROWS + "0\x003,2024-01-03,1,FR\n").encode()
    name = "a.csv.gz" if packed else "a.csv"
    with refuses(FileFormatError, f"{name!r} holds a NUL byte at byte {content.index(0)}", "damaged", "utf-16"):
        read(name, gzip.compress(content, mtime=0) if packed else content)


def test_a_nul_byte_is_found_beyond_the_first_megabyte(read, refuses):
    content = (HEADER + ROWS * 60_000).encode() + b"\0\n"
    with refuses(FileFormatError, f"holds a NUL byte at byte {content.index(0):,}:"):
        read("a.csv", content)


def test_a_decimal_comma_is_refused(read, refuses):
    with refuses(
        DataTypeError, "2 of 2 values in 'v' are not numbers.", "v=1,5", "comma for the decimal point", count=2
    ):
        read("a.csv", "who;when;v;land\n1;2024-01-01;1,5;FR\n2;2024-01-01;2,5;FR\n", delimiter=";")


def test_what_is_not_packed_is_refused(read, refuses):
    with refuses(FileFormatError, "'a.csv.gz' cannot be unpacked", "must not be called .gz"):
        read("a.csv.gz", HEADER + ROWS)


def test_a_packed_file_without_the_ending_is_refused(read, refuses):
    with refuses(FileFormatError, "'a.csv' is compressed by gzip.", "call it 'a.csv.gz'"):
        read("a.csv", gzip.compress((HEADER + ROWS).encode()))


@pytest.mark.parametrize("kept", [0.3, 0.9, 0.999])
def test_a_packed_file_that_was_cut_is_refused(read, refuses, kept):
    content = gzip.compress((HEADER + "".join(f"{k},2024-01-01,{k * k},FR\n" for k in range(5000))).encode())
    with refuses(FileFormatError, "'a.csv.gz' cannot be unpacked", "last events would be missing"):
        read("a.csv.gz", content[: int(len(content) * kept)])


@pytest.mark.parametrize("name", ["a.parquet", "a.duckdb"])
@pytest.mark.parametrize("content", [b"hello, this is text", b"PAR1" + bytes(100) + b"PAR1"])
def test_a_file_that_is_not_what_it_is_called_is_refused(read, refuses, name, content):
    with refuses(FileFormatError, f"{name!r} cannot be "):
        read(name, content, table="log")


def test_another_database_is_refused_without_asking_the_network(read, refuses, tmp_path):
    with contextlib.closing(sqlite3.connect(tmp_path / "a.db")) as connection, connection:
        connection.execute("CREATE TABLE log (who TEXT)")
    with refuses(FileFormatError, "'a.db' cannot be opened as a DuckDB database") as caught:
        read("a.db", table="log")
    assert "xtension" not in str(caught.value)


@pytest.mark.parametrize("name", ["a.xlsx", "a.json", "a", "a.csv.zip"])
def test_an_unknown_ending_is_refused(read, refuses, name):
    with refuses(FileFormatError, f"{name!r} has an unknown ending.", ".parquet"):
        read(name, HEADER + ROWS)


def test_a_missing_file_and_a_folder_are_refused(read, refuses, tmp_path):
    with refuses(FileFormatError, "there is no file", "none.csv"):
        read("none.csv")
    (tmp_path / "d.csv").mkdir()
    with refuses(FileFormatError, "is a folder, not a file", "d.csv"):
        read("d.csv")


@pytest.mark.parametrize(
    ("content", "words"),
    [('[{"who": "1"}]', "is not one JSON object a line"), ('{"who": "1"}\n{bad', "is not one JSON object a line"),
     ("3\n4\n", "is not one JSON object a line")],
)  # fmt: skip
def test_json_that_is_not_one_object_a_line_is_refused(read, refuses, content, words):
    with refuses(FileFormatError, "'a.ndjson'", words):
        read("a.ndjson", content)


def test_a_key_may_occur_first_in_a_late_row(read):
    rows = [{"who": "1", "when": "2024-01-01", "land": "FR"}] * 2500 + [{"who": "1", "when": "2024-01-01", "v": 7}]
    log = read("a.ndjson", "\n".join(map(json.dumps, rows)))
    assert log.engine.rows(f"SELECT sum(v), count(v) FROM {log.table}") == [(7.0, 1)]


def test_ids_in_json_keep_every_digit(read):
    log = read(
        "a.ndjson", '{"who": 9007199254740993, "when": "2024-01-01"}\n{"v": 1}', on_bad="drop", values=(), labels=()
    )
    assert list(log.frame()["customer_id"]) == ["9007199254740993"]


def test_a_table_of_a_database_must_be_named(read, refuses, tmp_path):
    with duckdb.connect(str(tmp_path / "a.duckdb")) as connection:
        connection.execute("CREATE TABLE log (who TEXT); CREATE TABLE other (who TEXT)")
    with refuses(ArgumentError, "state which table of 'a.duckdb' holds the log.", "one of: log, other"):
        read("a.duckdb")
    with refuses(ArgumentError, "'a.duckdb' has no table 'orders'.", "one of: log, other"):
        read("a.duckdb", table="orders")


@pytest.mark.parametrize("name", ["a.parquet", "a.duckdb"])
def test_a_table_without_rows_is_refused(read, refuses, tmp_path, name):
    frame = pl.DataFrame({"who": ["1"], "when": ["2024-01-01"]}).clear()
    if name.endswith("parquet"):
        frame.write_parquet(tmp_path / name)
    else:
        with duckdb.connect(str(tmp_path / name)) as connection:
            connection.execute('CREATE TABLE log (who TEXT, "when" TEXT)')
    with refuses(EmptyDataError, f"{name!r} has no rows."):
        read(name, table="log", values=(), labels=())


@pytest.mark.parametrize("name", ["or[1].csv", "or*.csv", "or?.csv", "or'1.csv", "or {1}.csv"])
def test_a_name_is_a_name_and_never_a_pattern(read, name):
    read("or1.csv", HEADER + "wrong,2024-01-01,1,FR\n")
    assert same(read(name, HEADER + ROWS))


@pytest.mark.parametrize("name", ["or[1].ndjson", "or*.ndjson", "or[1].parquet", "or*.parquet"])
def test_a_name_of_another_kind_is_no_pattern_either(read, tmp_path, name):
    for other, who in (("or1" + name[name.index(".") :], "wrong"), (name, "right")):
        if name.endswith("parquet"):
            pl.DataFrame({"who": [who], "when": ["2024-01-01"]}).write_parquet(tmp_path / other)
        else:
            (tmp_path / other).write_text(json.dumps({"who": who, "when": "2024-01-01"}))
    assert list(read(name, values=(), labels=()).frame()["customer_id"]) == ["right"]


# Items 54 and 66: text ------------------------------------------------------------------------------------------------


def test_words_for_missing_stay_text(read):
    log = read("a.csv", HEADER + "NA,2024-01-01,1,NA\nN/A,2024-01-02,1,null\n-,2024-01-03,1,\n")
    assert sorted(log.frame()["customer_id"]) == ["-", "N/A", "NA"]
    assert set(log.frame()["land"]) == {"NA", "null", None}


@pytest.mark.parametrize("field", ["", '""'])
def test_an_empty_id_is_missing(read, refuses, field):
    with refuses(MissingValueError, "1 of 1 rows have no customer in 'who'.", column="who"):
        read("a.csv", f"{HEADER}{field},2024-01-01,1,FR\n")


@pytest.mark.parametrize("packed", [False, True])
def test_bytes_that_are_not_utf8_are_refused_with_their_place(read, refuses, packed):
    content = (HEADER + ROWS + "3,2024-01-01,1,Österreich\n").encode("latin-1")
    name = "a.csv.gz" if packed else "a.csv"
    place = content.index("Ö".encode("latin-1"))
    with refuses(
        FileFormatError, f"{name!r} is not UTF-8: byte {place} (counted from 0) is impossible there.",
        "text before it=3,2024-01-01,1,\n", "under two ids", 'encoding="cp1252" or "latin-1"',
    ):  # fmt: skip
        read(name, gzip.compress(content, mtime=0) if packed else content)


def test_a_header_that_is_not_utf8_is_refused(read, refuses):
    with refuses(FileFormatError, "is not UTF-8: byte 12 (counted from 0)", "text before it=who,when,v,l\n"):
        read("a.csv", "who,when,v,länd\n1,2024-01-01,1,FR\n".encode("latin-1"))


def test_a_bad_byte_is_found_where_a_character_lies_across_two_megabytes(read, refuses):
    content = HEADER.encode() + b"1,2024-01-01,1,FR\n" * 60_000
    content = content[: (1 << 20) - 1] + "é".encode() + b"\n" + b"\xff\n"
    with refuses(FileFormatError, f"byte {content.index(0xFF):,} (counted from 0)"):
        read("a.csv", content)


@pytest.mark.parametrize("encoding", ["utf-16", "ascii"])
def test_a_wrong_encoding_is_refused(read, refuses, encoding):
    with refuses(FileFormatError, "'a.csv' is not "):
        read("a.csv", HEADER + "é,2024-01-01,1,FR\n", encoding=encoding)


def test_an_unknown_encoding_is_refused(read, refuses):
    with refuses(ArgumentError, "there is no encoding 'klingon'.", 'encoding="utf-8"'):
        read("a.csv", HEADER + ROWS, encoding="klingon")


@pytest.mark.parametrize("garbled", ["cafÃ©", "Ã–sterreich", "donâ€™t"])
def test_garbled_text_is_pointed_out(read, garbled):
    with pytest.warns(DataWarning, match="1 texts look like UTF-8 that was read in another encoding"):
        read("a.csv", f"{HEADER}1,2024-01-01,1,{garbled}\n2,2024-01-01,1,São Paulo\n")


def test_text_of_many_languages_is_not_called_garbled(read):
    read("a.csv", HEADER + "".join(f"1,2024-01-01,1,{word}\n" for word in ("ÃO", "Ã", "café", "日本", "Ελλάδα", "â")))


def test_tests_of_arrow_and_engine_agree_on_a_plain_file(read, tmp_path):
    log = read("a.csv", HEADER + "".join(f"{k % 7},2024-01-{k % 28 + 1:02d},{k / 7},L{k % 3}\n" for k in range(500)))
    table = pa.csv.read_csv(tmp_path / "a.csv")
    assert log.n_events == table.num_rows
    assert log.frame()["v"].sum() == pytest.approx(sum(table["v"].to_pylist()), rel=1e-12)
