import csv
import os

import pandas as pd
import pytest

from churnsurv.report.exports import neutralise, neutralised, write_csv, write_parquet, write_text, write_whole


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("=1+1", "'=1+1"), ("+1", "'+1"), ("-1", "'-1"), ("@SUM(A1)", "'@SUM(A1)"), ("\tx", "'\tx"), ("\rx", "'\rx"),
        ("\nx", "'\nx"), ("\uff1d1", "'\uff1d1"), ("\uff0b1", "'\uff0b1"), ("\uff0d1", "'\uff0d1"), ("\uff20x", "'\uff20x"),
        (" =1", "' =1"), ('"=1', "'\"=1"), ("'=1", "''=1"),
        ("France", "France"), ("", ""), ("a=b", "a=b"), ("12-14", "12-14"), ("1-2", "1-2"), ("x@y.example", "x@y.example"),
        ("over 99%", "over 99%"), ("–5", "–5"),
    ],
)  # fmt: skip
def test_formulas_get_an_apostrophe_and_nothing_else_does(text, safe):
    assert neutralise(text) == safe


def test_numbers_stay_numbers(tmp_path):
    frame = pd.DataFrame({"id": ["-7", "8"], "x": [-1.5, 2.0], "n": [-3, 4], "flag": [True, False], "=cmd": ["a", "b"]})
    path = write_csv(frame, tmp_path / "risk.csv")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["id", "x", "n", "flag", "'=cmd"],
        ["'-7", "-1.5", "-3", "True", "a"],
        ["8", "2", "4", "False", "b"],
    ]


def test_missing_text_stays_missing():
    frame = neutralised(pd.DataFrame({"a": ["=1", None]}))
    assert frame["a"].tolist() == ["'=1", None]


def test_categories_are_neutralised_too():
    frame = neutralised(pd.DataFrame({"a": pd.Categorical(["=1", "b"])}))
    assert frame["a"].tolist() == ["'=1", "b"]


def test_the_frame_given_is_not_changed():
    frame = pd.DataFrame({"=a": ["=1"]})
    neutralised(frame)
    assert frame["=a"].tolist() == ["=1"]


def test_separators_and_line_breaks_inside_a_cell_survive(tmp_path):
    texts = ['a,"b"\nc', "=x,y", "\r\n=z"]
    path = write_csv(pd.DataFrame({"t": texts}), tmp_path / "t.csv")
    with path.open(encoding="utf-8", newline="") as file:
        assert [row[0] for row in csv.reader(file)][1:] == ['a,"b"\nc', "'=x,y", "'\r\n=z"]


def test_parquet_is_exact_and_untouched(tmp_path):
    frame = pd.DataFrame({"id": ["=1"], "p": [0.12345678901234567]})
    pd.testing.assert_frame_equal(pd.read_parquet(write_parquet(frame, tmp_path / "p.parquet")), frame)


def test_a_failed_write_leaves_the_old_file_and_no_draft(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old", encoding="utf-8")

    def half(draft):
        draft.write_text("half", encoding="utf-8")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_whole(path, half)
    assert path.read_text(encoding="utf-8") == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_written_file_can_be_passed_on(tmp_path):
    mask = os.umask(0o022)
    try:
        path = write_text("x", tmp_path / "a.txt")
    finally:
        os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o644


def test_line_ends_are_kept(tmp_path):
    assert write_text("a\nb\n", tmp_path / "a.txt").read_bytes() == b"a\nb\n"
