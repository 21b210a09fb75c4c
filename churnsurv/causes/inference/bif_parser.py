"""Reader of the grammar of BIF 0.15, by hand: tokens with their place, and one function a block.

A file comes from a stranger. Every length is checked before memory is taken, no pattern backtracks, and every
fault says the line, what was expected and what was found.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np

from churnsurv._typing import FloatArray
from churnsurv.errors import FileFormatError

MAX_VARIABLES = 10_000
MAX_STATES = 10_000
"""States of one variable."""
MAX_ENTRIES = 10_000_000
"""Probabilities of all tables together."""
MAX_FAMILY = 60
"""Variables of one table: an array has 64 axes at most."""

ROUNDING = 1e-3
"""A row whose sum is off by more was not rounded but is wrong. Published files print seven digits or fewer."""
EXACT = 1e-9
"""A row whose sum is off by less is kept digit by digit, so that writing and reading changes nothing."""

_LONGEST_NUMBER = 100
_SHOWN = 40
_HINT = "the file must be of the interchange format BIF 0.15: blocks `network`, `variable` and `probability`."

# Possessive quantifiers (++): whatever the text, time grows with its length.
_TOKEN = re.compile(
    r'\s*+(?:(?P<comment>//[^\n]*+)|(?P<block>/\*)|"(?P<quoted>[^"\n]*+)"|(?P<mark>[{}()\[\];,|])'
    r'|(?P<word>(?:[^\s{}()\[\];,|"/]++|/(?![/*]))++))'
)
_NUMBER = re.compile(r"[+-]?(?:\d++\.?\d*+|\.\d++)(?:[eE][+-]?\d++)?")

Token = tuple[str, str, int]
"""Kind (word, quoted, mark or end), text, and place in the file."""


@dataclass(frozen=True)
class ParsedNetwork:
    """What a file says, checked for grammar, names and sums.

    Parameters
    ----------
    states : mapping of str to tuple of str
        States of each variable, in the order of the file.
    parents : mapping of str to tuple of str
        Parents of each variable.
    tables : mapping of str to array of shape (*parent cards, own card)
        Probabilities; the last axis sums to 1 within 1e-9.
    """

    states: dict[str, tuple[str, ...]] = field(default_factory=dict)
    parents: dict[str, tuple[str, ...]] = field(default_factory=dict)
    tables: dict[str, FloatArray] = field(default_factory=dict)


def _tokens(text: str) -> Iterator[Token]:
    place = 0
    while (found := _TOKEN.match(text, place)) is not None:
        place, kind = found.end(), found.lastgroup
        if kind == "block":
            end = text.find("*/", place)
            if end < 0:
                _fail(text, found.start("block"), "`*/` after a comment was opened", "the end of the file")
            place = end + 2
        elif kind is not None and kind != "comment":
            yield kind, found[kind], found.start(kind)
    if (rest := text[place:].lstrip()) != "":
        _fail(text, len(text) - len(rest), 'a `"` that closes the name', "the end of the line")
    yield "end", "the end of the file", len(text)


def _fail(text: str, place: int, expected: str, found: str) -> NoReturn:
    line = text.count("\n", 0, place) + 1
    raise FileFormatError(f"line {line:,}: expected {expected}, found {found}.", hint=_HINT)


class _Reader:
    """Tokens of a text, one of them in view."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._tokens = _tokens(text)
        self.kind, self.value, self.place = next(self._tokens)

    def take(self) -> str:
        """Text of the token in view, and go on."""
        value = self.value
        self.kind, self.value, self.place = next(self._tokens)
        return value

    def fail(self, expected: str, *, found: str = "", place: int | None = None) -> NoReturn:
        """Refuse the token in view."""
        _fail(self.text, self.place if place is None else place, expected, found or self.shown())

    def shown(self) -> str:
        """Token in view as an error tells it."""
        if self.kind == "end":
            return self.value
        return f"`{self.value[:_SHOWN]}{'…' if len(self.value) > _SHOWN else ''}`"

    def sees(self, *values: str) -> bool:
        """Whether the token in view is one of these words or marks, not a quoted name."""
        return self.kind in ("word", "mark") and self.value in values

    def expect(self, value: str) -> None:
        """Take this word or mark, or refuse."""
        if not self.sees(value):
            self.fail(f"`{value}`")
        self.take()

    def name(self, what: str) -> str:
        """Take a name, quoted or not."""
        if self.kind not in ("word", "quoted") or not self.value:
            self.fail(what)
        return self.take()

    def names(self, what: str, *, closing: str, most: int) -> list[str]:
        """Take names up to a mark; commas and the bar before parents only part them."""
        found: list[str] = []
        while not self.sees(closing):
            if self.sees(",", "|"):
                self.take()
                continue
            if len(found) == most:
                self.fail(f"`{closing}` after {most:,} names")
            found.append(self.name(what))
        self.take()
        return found

    def number(self) -> float:
        """Take a probability."""
        written = self.value
        if self.kind != "word" or len(written) > _LONGEST_NUMBER or _NUMBER.fullmatch(written) is None:
            self.fail("a probability")
        value = float(written)
        if not 0 <= value <= 1 + ROUNDING:
            self.fail("a probability from 0 to 1")
        self.take()
        return value

    def numbers(self, count: int) -> list[float]:
        """Take exactly so many probabilities and the semicolon."""
        found: list[float] = []
        while not self.sees(";"):
            if self.sees(","):
                self.take()
                continue
            if len(found) == count:
                self.fail(f"`;` after {count:,} probabilities")
            found.append(self.number())
        if len(found) != count:
            self.fail(f"{count:,} probabilities", found=f"{len(found):,} before `;`")
        self.take()
        return found

    def skip_statement(self) -> None:
        """Leave out a property: everything up to its semicolon."""
        start = self.place
        while not self.sees(";"):
            if self.kind == "end":
                self.fail("`;` after the property", place=start, found="none")
            self.take()
        self.take()


def _read_network(reader: _Reader) -> None:
    if not reader.sees("{"):
        reader.name("a name of the network")
    reader.expect("{")
    while not reader.sees("}"):
        if not reader.sees("property"):
            reader.fail("`property` or `}`")
        reader.skip_statement()
    reader.take()


def _read_states(reader: _Reader) -> tuple[str, ...]:
    reader.take()
    if not reader.sees("discrete"):
        reader.fail("`discrete`; other types have no table")
    reader.take()
    reader.expect("[")
    place, count = reader.place, reader.value
    if reader.kind != "word" or re.fullmatch(r"[0-9]{1,9}", count) is None or not 1 <= int(count) <= MAX_STATES:
        reader.fail(f"a number of states from 1 to {MAX_STATES:,}")
    reader.take()
    reader.expect("]")
    reader.expect("{")
    states = reader.names("the name of a state", closing="}", most=MAX_STATES)
    if len(states) != int(count):
        reader.fail(f"{int(count):,} states", place=place, found=f"{len(states):,}")
    if len(set(states)) < len(states):
        twice = next(name for i, name in enumerate(states) if name in states[:i])
        reader.fail("states that differ", place=place, found=f"`{twice}` twice")
    reader.expect(";")
    return tuple(states)


def _read_variable(reader: _Reader, parsed: ParsedNetwork) -> None:
    place = reader.place
    name = reader.name("the name of a variable")
    if name in parsed.states:
        reader.fail("variables that differ", place=place, found=f"`{name}` twice")
    if len(parsed.states) == MAX_VARIABLES:
        reader.fail(f"at most {MAX_VARIABLES:,} variables", place=place, found="one more")
    reader.expect("{")
    states: tuple[str, ...] | None = None
    while not reader.sees("}"):
        if reader.sees("property"):
            reader.skip_statement()
        elif reader.sees("type") and states is None:
            states = _read_states(reader)
        else:
            reader.fail("`property` or `}`" if states else "`type discrete`")
    if states is None:
        reader.fail(f"`type discrete` of `{name}`")
    reader.take()
    parsed.states[name] = states


def _known(reader: _Reader, parsed: ParsedNetwork, names: list[str], place: int) -> None:
    unknown = [name for name in names if name not in parsed.states]
    if unknown:
        reader.fail("a variable that was declared above", place=place, found=f"`{unknown[0][:_SHOWN]}`")
    if len(set(names)) < len(names):
        reader.fail("a child and its parents that differ", place=place, found="one of them twice")


def _normalised(reader: _Reader, rows: FloatArray, place: int) -> FloatArray:
    """Rows (n, card) that sum to 1: divided by their sums where digits were cut off."""
    sums = rows.sum(axis=1)
    off = np.abs(sums - 1)
    if (worst := int(off.argmax())) >= 0 and off[worst] > ROUNDING:
        reader.fail("probabilities that sum to 1", place=place, found=f"the sum {sums[worst]:.6g}")
    return np.where((off > EXACT)[:, None], rows / sums[:, None], rows)


def _read_whole_table(reader: _Reader, table: FloatArray) -> None:
    # The child is the first of the names and its states change slowest, as in the format's own examples.
    place = reader.place
    reader.take()
    numbers = np.array(reader.numbers(table.size)).reshape(table.shape[-1], -1)
    flat = table.reshape(-1, table.shape[-1])
    flat[:] = _normalised(reader, numbers.T, place)


def _read_row(reader: _Reader, table: FloatArray, codes: list[Mapping[str, int]], parents: list[str]) -> None:
    place = reader.place
    reader.take()
    states = reader.names("the name of a state", closing=")", most=len(parents))
    if len(states) < len(parents):
        reader.fail(f"{len(parents)} states, one per parent", place=place, found=f"{len(states)}")
    for state, known, parent in zip(states, codes, parents, strict=True):
        if state not in known:
            told = ", ".join(itertools.islice(known, 10))
            reader.fail(f"a state of `{parent}` ({told})", place=place, found=f"`{state[:_SHOWN]}`")
    row = table[tuple(known[state] for state, known in zip(states, codes, strict=True))]
    if not math.isnan(row[0]):
        reader.fail("each configuration once", place=place, found=f"({', '.join(states)}) twice")
    row[:] = _normalised(reader, np.array([reader.numbers(len(row))]), place)[0]


def _read_tables(
    reader: _Reader, table: FloatArray, codes: list[Mapping[str, int]], parents: list[str]
) -> FloatArray | None:
    """Fill a table from its statements; returns the row for configurations that are not named."""
    rest: FloatArray | None = None
    while not reader.sees("}"):
        if reader.sees("property"):
            reader.skip_statement()
        elif reader.sees("table") and np.isnan(table).all():
            _read_whole_table(reader, table)
        elif reader.sees("default") and rest is None:
            place = reader.place
            reader.take()
            rest = _normalised(reader, np.array([reader.numbers(table.shape[-1])]), place)[0]
        elif reader.sees("(") and parents:
            _read_row(reader, table, codes, parents)
        else:
            reader.fail("`(states)`, `default` or `}`" if parents else "`table` once, or `}`")
    return rest


def _read_probability(reader: _Reader, parsed: ParsedNetwork, entries: int) -> int:
    """Read one table; returns how many entries all tables so far have."""
    place = reader.place
    reader.expect("(")
    names = reader.names("the name of a variable", closing=")", most=MAX_FAMILY)
    if not names:
        reader.fail("the name of a variable", place=place, found="none")
    _known(reader, parsed, names, place)
    child, *parents = names
    if child in parsed.tables:
        reader.fail("one table per variable", place=place, found=f"a second one of `{child}`")
    shape = tuple(len(parsed.states[name]) for name in (*parents, child))
    entries += math.prod(shape)
    if entries > MAX_ENTRIES:
        reader.fail(f"at most {MAX_ENTRIES:,} probabilities in all", place=place, found=f"{entries:,}")
    table = np.full(shape, np.nan)
    codes: list[Mapping[str, int]] = [{state: i for i, state in enumerate(parsed.states[parent])} for parent in parents]
    reader.expect("{")
    rest = _read_tables(reader, table, codes, parents)
    left = np.isnan(table[..., 0])
    if rest is not None:
        table[left] = rest
    elif left.any():
        at = np.argwhere(left)[0].tolist() if parents else []
        states = ", ".join(parsed.states[parent][i] for parent, i in zip(parents, at, strict=True))
        told = f"none of ({states})" if parents else "none"
        reader.fail(f"probabilities of `{child}` for every configuration", place=place, found=told)
    reader.take()
    parsed.parents[child], parsed.tables[child] = tuple(parents), table
    return entries


def parse_bif(text: str) -> ParsedNetwork:
    """Read a text of the interchange format BIF 0.15.

    Parameters
    ----------
    text : str
        Whole file.

    Returns
    -------
    ParsedNetwork
        Variables, parents and tables in the order of the file. Cycles are not looked for here.

    Raises
    ------
    FileFormatError
        Naming the line, what was expected and what was found.

    References
    ----------
    .. [1] Cozman, F. G. (1998). *The Interchange Format for Bayesian Networks*, version 0.15.

    Examples
    --------
    >>> parsed = parse_bif("network n { } variable late { type discrete [2] { no, yes }; } "
    ...                    "probability ( late ) { table 0.8, 0.2; }")
    >>> parsed.states, parsed.tables["late"]
    ({'late': ('no', 'yes')}, array([0.8, 0.2]))
    """
    reader, parsed, entries = _Reader(text), ParsedNetwork(), 0
    while reader.kind != "end":
        place = reader.place
        if reader.sees("network"):
            reader.take()
            _read_network(reader)
        elif reader.sees("variable"):
            reader.take()
            _read_variable(reader, parsed)
        elif reader.sees("probability"):
            reader.take()
            entries = _read_probability(reader, parsed, entries)
        else:
            reader.fail("`network`, `variable` or `probability`", place=place)
    if not parsed.states:
        reader.fail("a `variable`")
    bare = [name for name in parsed.states if name not in parsed.tables]
    if bare:
        reader.fail(f"a `probability` of `{bare[0][:_SHOWN]}`")
    return parsed
