"""The interchange format BIF 0.15: what is read, what is written, and what a stranger's file cannot do."""

from __future__ import annotations

import gzip
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churnsurv.causes.inference import bif, bif_parser
from churnsurv.causes.inference.bif import read_bif, write_bif
from churnsurv.causes.inference.discrete_network import DiscreteNetwork
from churnsurv.errors import ArgumentError, FileFormatError, GraphError
from tests.causes.brute_force import random_network

PARCELS = Path(__file__).parent / "networks" / "parcels.bif"
relation = settings(max_examples=30, deadline=None)


def same(a: DiscreteNetwork, b: DiscreteNetwork) -> bool:
    """Equal to the last digit."""
    return (a.names, a.states, a.parents) == (b.names, b.states, b.parents) and all(
        np.array_equal(a.cpts[name], b.cpts[name]) for name in a.names
    )


def test_a_file_by_hand():
    network = read_bif(PARCELS)
    assert network.names == ("late", "support wait", "Late", "rating")
    assert network.states == {
        "late": ("no", "yes"), "support wait": ("<4h", "4-24h", ">24h"), "Late": ("always",), "rating": ("n/a", "1_to_5"),
    }  # fmt: skip
    assert network.parents == {
        "late": (), "support wait": ("late", "Late"), "Late": (), "rating": ("support wait", "late")
    }  # fmt: skip
    assert network.cpts["late"].tolist() == [[0.8, 0.2]]
    assert network.cpts["support wait"].tolist() == [[[[0.7, 0.2, 0.1]], [[0.1, 0.3, 0.6]]]]
    assert network.cpts["Late"].tolist() == [[1.0]]
    # The child changes slowest in a table, the last parent fastest.
    assert network.cpts["rating"][0, :, :, 0].tolist() == [[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]]


def test_text_path_and_packed_file_are_one(tmp_path):
    text = PARCELS.read_text(encoding="utf-8")
    packed, marked = tmp_path / "parcels.bif.gz", tmp_path / "parcels"
    packed.write_bytes(gzip.compress(text.encode()))
    marked.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    for source in (text, str(PARCELS), packed, marked):
        assert same(read_bif(source), read_bif(PARCELS))


@relation
@given(seed=st.integers(0, 10**6))
def test_written_and_read_is_the_same(seed):
    network = random_network(np.random.default_rng(seed), n_draws=1, zeros=0.1)
    assert same(read_bif(write_bif(network)), network)


names = st.text(st.characters(exclude_characters='"\n\r', exclude_categories=["Cs"]), min_size=1, max_size=8)


@relation
@given(own=st.lists(names, min_size=2, max_size=4, unique=True), node=names, top=st.floats(0, 1))
def test_any_name_and_any_number_comes_back(own, node, top):
    table = [top, 1 - top, *[0.0] * (len(own) - 2)]
    network = DiscreteNetwork([node], {node: own}, {}, {node: table})
    assert same(read_bif(write_bif(network)), network)


@pytest.mark.parametrize("name", ['a"b', "a\nb", "a\rb"])
def test_names_that_cannot_be_written(name):
    network = DiscreteNetwork(["x"], {"x": ["a", name]}, {}, {"x": [0.5, 0.5]})
    with pytest.raises(ArgumentError, match="cannot be written: it holds a quotation mark or the end of a line"):
        write_bif(network)


def test_of_draws_the_mean_is_written():
    network = DiscreteNetwork(["x"], {"x": ["a", "b"]}, {}, {"x": [[0.2, 0.8], [0.4, 0.6]]})
    assert read_bif(write_bif(network)).cpts["x"].tolist() == [pytest.approx([0.3, 0.7], abs=1e-15)]


def test_rows_of_few_digits_are_divided_by_their_sum():
    def row(numbers: str) -> list[float]:
        return (
            read_bif(f"variable x {{ type discrete [3] {{ a, b, c }}; }} probability (x) {{ table {numbers}; }}")
            .cpts["x"][0]
            .tolist()
        )

    assert row("0.333, 0.333, 0.333") == pytest.approx([1 / 3] * 3, abs=1e-15)
    assert row("0.2, 0.3, 0.5000000001") == [0.2, 0.3, 0.5000000001]
    with pytest.raises(FileFormatError, match=r"line 1: expected probabilities that sum to 1, found the sum 0.99."):
        row("0.33, 0.33, 0.33")


HEAD = """network n { }
variable a { type discrete [ 2 ] { x, y }; }
variable b { type discrete [ 2 ] { u, v }; }
probability ( a ) { table 0.5, 0.5; }
"""
B = "probability ( b | a ) { (x) 0.1, 0.9; (y) 0.2, 0.8; }"


@pytest.mark.parametrize(
    ("text", "line", "expected", "found"),
    [
        ("{", 1, "`network`, `variable` or `probability`", "`{`"),
        ("network { }", 1, "a `variable`", "the end of the file"),
        ("network n\n\n[", 3, "`{`", "`[`"),
        ("network n { table }", 1, "`property` or `}`", "`table`"),
        ("network n {\nproperty x", 2, "`;` after the property", "none"),
        ("variable { }", 1, "the name of a variable", "`{`"),
        ('variable "" { }', 1, "the name of a variable", "``"),
        ("variable a { }", 1, "`type discrete` of `a`", "`}`"),
        ("variable a { colour red; }", 1, "`type discrete`", "`colour`"),
        ("variable a { type continuous; }", 1, "`discrete`; other types have no table", "`continuous`"),
        ("variable a { type discrete 2 { x, y }; }", 1, "`[`", "`2`"),
        ("variable a { type discrete [ two ] { x, y }; }", 1, "a number of states from 1 to 10,000", "`two`"),
        ("variable a { type discrete [ 0 ] { }; }", 1, "a number of states from 1 to 10,000", "`0`"),
        ("variable a { type discrete [ 99999 ] { x }; }", 1, "a number of states from 1 to 10,000", "`99999`"),
        ("variable a { type discrete [ ٣ ] { x, y, z }; }", 1, "a number of states from 1 to 10,000", "`٣`"),
        ("variable a {\n type discrete [ 3 ] { x, y }; }", 2, "3 states", "2"),
        ("variable a { type discrete [ 2 ] { x, x }; }", 1, "states that differ", "`x` twice"),
        ("variable a { type discrete [ 2 ] { x, y } }", 1, "`;`", "`}`"),
        ("variable a { type discrete [ 1 ] { x }; type discrete [ 1 ] { x }; }", 1, "`property` or `}`", "`type`"),
        ("variable a { type discrete [ 1 ] { x", 1, "the name of a state", "the end of the file"),
        (HEAD + "variable a { type discrete [ 1 ] { x }; }", 5, "variables that differ", "`a` twice"),
        (HEAD + "probability ( ) { }", 5, "the name of a variable", "none"),
        (HEAD + "probability a { }", 5, "`(`", "`a`"),
        (HEAD + "probability ( b | c ) { }", 5, "a variable that was declared above", "`c`"),
        (HEAD + "probability ( b | b ) { }", 5, "a child and its parents that differ", "one of them twice"),
        (HEAD + "probability ( a ) { table 1, 0; }", 5, "one table per variable", "a second one of `a`"),
        (HEAD, 5, "a `probability` of `b`", "the end of the file"),
        (HEAD + "probability ( b | a ) { (x) 0.1, 0.9; }", 5, "probabilities of `b` for every configuration", "none of (y)"),
        (HEAD + "probability ( b ) { }", 5, "probabilities of `b` for every configuration", "none"),
        (HEAD + "probability ( b | a ) { (x) 0.1, 0.9; (x) 0.1, 0.9; }", 5, "each configuration once", "(x) twice"),
        (HEAD + "probability ( b | a ) { (z) 0.1, 0.9; }", 5, "a state of `a` (x, y)", "`z`"),
        (HEAD + "probability ( b | a ) { () 0.1, 0.9; }", 5, "1 states, one per parent", "0"),
        (HEAD + "probability ( b | a ) { (x, y) 0.1, 0.9; }", 5, "`)` after 1 names", "`y`"),
        (HEAD + "probability ( b | a ) { (x) 0.1; }", 5, "2 probabilities", "1 before `;`"),
        (HEAD + "probability ( b | a ) { (x) 0.1, 0.2, 0.7; }", 5, "`;` after 2 probabilities", "`0.7`"),
        (HEAD + "probability ( b | a ) {\n(x) 0.1, 0.8; }", 6, "probabilities that sum to 1", "the sum 0.9"),
        (HEAD + "probability ( b | a ) { (x) -0.1, 1.1; }", 5, "a probability from 0 to 1", "`-0.1`"),
        (HEAD + "probability ( b | a ) { (x) 1e999, 0; }", 5, "a probability from 0 to 1", "`1e999`"),
        (HEAD + "probability ( b | a ) { (x) nan, 0; }", 5, "a probability", "`nan`"),
        (HEAD + "probability ( b | a ) { (x) 0_1, 0; }", 5, "a probability", "`0_1`"),
        (HEAD + 'probability ( b | a ) { (x) "0.1", 0.9; }', 5, "a probability", "`0.1`"),
        (HEAD + "probability ( b | a ) { (x) " + "0" * 101 + ", 1; }", 5, "a probability", f"`{'0' * 40}…`"),
        (HEAD + "probability ( b ) { (x) 1, 0; }", 5, "`table` once, or `}`", "`(`"),
        (HEAD + "probability ( b ) { table 1, 0; table 1, 0; }", 5, "`table` once, or `}`", "`table`"),
        (HEAD + "probability ( b | a ) { default 1, 0; default 1, 0; }", 5, "`(states)`, `default` or `}`", "`default`"),
        (HEAD + "probability ( b | a ) { (x) 1, 0", 5, "`;` after 2 probabilities", "the end of the file"),
        (HEAD + "probability ( b | a ) { table 0.1, 0.2, 0.8, 0.8; }", 5, "probabilities that sum to 1", "the sum 0.9"),
        (HEAD + B + "\nsurprise", 6, "`network`, `variable` or `probability`", "`surprise`"),
        (HEAD + B + '\n"network" n { }', 6, "`network`, `variable` or `probability`", "`network`"),
        (HEAD + "/* to be\n continued {", 5, "`*/` after a comment was opened", "the end of the file"),
        (HEAD + 'property "half a name {\n"', 5, '`network`, `variable` or `probability`', "`property`"),
        (HEAD + 'variable "half {\n', 5, 'a `"` that closes the name', "the end of the line"),
    ],
)  # fmt: skip
def test_faults_say_line_expected_and_found(text, line, expected, found):
    with pytest.raises(FileFormatError) as caught:
        bif_parser.parse_bif(text)
    assert caught.value.what == f"line {line}: expected {expected}, found {found}."
    assert "Hint: the file must be of the interchange format BIF 0.15" in str(caught.value)


def test_cycles_are_told_as_everywhere():
    text = HEAD.replace("( a ) { table 0.5, 0.5; }", "( a | b ) { default 0.5, 0.5; }") + B
    with pytest.raises(GraphError, match=r"cycle: (a -> b -> a|b -> a -> b)"):
        read_bif(text)


def test_files_that_cannot_be_read(tmp_path):
    good = gzip.compress((HEAD + B).encode())
    cut, broken, bytes_ = tmp_path / "cut.bif.gz", tmp_path / "broken.gz", tmp_path / "latin.bif"
    cut.write_bytes(good[:-12])
    broken.write_bytes(good[:15] + b"\xff\xff\xff" + good[18:])
    bytes_.write_bytes((HEAD + "// café").encode("latin-1"))
    with pytest.raises(FileFormatError, match=r"'cut.bif.gz' cannot be read: .*\nHint: copy or download it again"):
        read_bif(cut)
    with pytest.raises(FileFormatError, match=r"'broken.gz' cannot be read"):
        read_bif(broken)
    with pytest.raises(FileFormatError, match="line 5: expected UTF-8, found the byte 0xe9"):
        read_bif(bytes_)
    with pytest.raises(FileFormatError, match=r"there is no file 'nowhere.bif'"):
        read_bif("nowhere.bif")
    with pytest.raises(FileFormatError, match="there is no file"):
        read_bif(tmp_path)


def test_sizes_are_limited(tmp_path, monkeypatch):
    bomb = tmp_path / "bomb.bif.gz"
    monkeypatch.setattr(bif, "MAX_BYTES", 2**20)
    bomb.write_bytes(gzip.compress(b"// " + b" " * 2**21))
    for source in (bomb, "{" + " " * 2**20):
        with pytest.raises(FileFormatError, match="the network has more than 1 MiB"):
            read_bif(source)
    monkeypatch.setattr(bif_parser, "MAX_VARIABLES", 1)
    with pytest.raises(FileFormatError, match="line 3: expected at most 1 variables, found one more"):
        read_bif(HEAD + B)


def test_memory_is_asked_for_after_the_check():
    """Forty parents of two states: 2**41 numbers in forty-two lines."""
    many = [f"v{i}" for i in range(41)]
    text = "".join(f"variable {name} {{ type discrete [2] {{ x, y }}; }}\n" for name in many)
    with pytest.raises(
        FileFormatError, match="line 42: expected at most 10,000,000 probabilities in all, found 2,199,023,255,552"
    ):
        read_bif(text + f"probability ( {' '.join(many)} ) {{ default 0.5, 0.5; }}")


def test_an_array_has_so_many_axes_only():
    """Sixty variables of one state are read and asked; one more is refused before numpy would fail."""
    many = [f"v{i}" for i in range(60)]
    text = "".join(f"variable {name} {{ type discrete [1] {{ x }}; }}\n" for name in [*many, "more"])
    text += "".join(f"probability ( {name} ) {{ table 1; }}\n" for name in [*many[1:], "more"])
    network = read_bif(text + f"probability ( {' '.join(many)} ) {{ default 1; }}")
    assert network.query(["v0", "v7"]).mean().tolist() == [[1.0]]
    with pytest.raises(FileFormatError, match="line 122: expected `\\)` after 60 names, found `more`"):
        read_bif(text + f"probability ( {' '.join(many)} more ) {{ default 1; }}")


@pytest.mark.parametrize(
    "text",
    [
        "{" + "/" * 300_000, "{" + "/ " * 150_000, "{" + '"' * 300_001, "{" + "a/" * 150_000, "{" + "\n" * 300_000,
        "{" + "*/" * 150_000, "network n { property " + "x " * 150_000, "network n { property " + '"x" ' * 75_000,
        "variable a { type discrete [1] { " + "x" * 300_000, "variable a { type discrete [1] { " + "1" * 300_000 + " }; }",
    ],
)  # fmt: skip
def test_time_grows_with_length_only(text):
    """Three hundred thousand characters of nonsense are refused at once; what backtracks would take minutes."""
    start = time.perf_counter()
    with pytest.raises(FileFormatError):
        read_bif(text)
    assert time.perf_counter() - start < 5


@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_damaged_files_are_refused_or_read_but_nothing_else(data):
    text = PARCELS.read_text(encoding="utf-8")
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(text) - 1))
        width = data.draw(st.integers(0, 6))
        put = data.draw(
            st.sampled_from(["", "{", "}", "(", ")", ";", '"', "|", "/*", "//", "9", "-", "late", "\n", "\x00", "é"])
        )
        text = text[:place] + put + text[place + width :]
    if "{" in text:
        try:
            network = read_bif(text)
        except (FileFormatError, GraphError):
            return
        assert same(read_bif(write_bif(network)), network)
