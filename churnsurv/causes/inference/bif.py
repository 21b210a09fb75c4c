"""Bayesian networks in files: the interchange format BIF 0.15, read and written."""

from __future__ import annotations

import gzip
import itertools
import re
import zlib
from pathlib import Path

from churnsurv.causes.inference.bif_parser import parse_bif
from churnsurv.causes.inference.discrete_network import DiscreteNetwork
from churnsurv.errors import ArgumentError, FileFormatError

MAX_BYTES = 64 * 2**20
"""Size of a file, unpacked."""

_PLAIN = re.compile(r"[A-Za-z0-9_.-]++")
"""Names written without quotation marks; some programs read no others."""


def _bytes(path: Path) -> bytes:
    if not path.is_file():
        raise FileFormatError(f"there is no file {str(path)!r}.", hint="check the path; a text must hold a `{`.")
    try:
        with path.open("rb") as raw:
            zipped = raw.read(2) == b"\x1f\x8b"
        with gzip.open(path) if zipped else path.open("rb") as file:
            # One more than allowed: a small file may unpack to a very large one.
            return file.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise FileFormatError(f"{path.name!r} cannot be read: {error}.", hint="copy or download it again.") from error


def _text(source: str | Path) -> str:
    if isinstance(source, str) and "{" in source:
        size, text = len(source.encode("utf-8", "surrogatepass")), source
    else:
        content = _bytes(Path(source))
        size = len(content)
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            raise FileFormatError(
                f"line {line:,}: expected UTF-8, found the byte 0x{content[error.start]:02x}.",
                hint="save the file as UTF-8.",
            ) from error
    if size > MAX_BYTES:
        raise FileFormatError(
            f"the network has more than {MAX_BYTES // 2**20} MiB.",
            hint="a network of this size has no exact answers; read a part of it.",
        )
    return text


def read_bif(source: str | Path) -> DiscreteNetwork:
    """Read a network from a file or a text of the interchange format BIF 0.15.

    The file is treated as a stranger's: sizes are limited (64 MiB unpacked, 10,000 variables, 10,000,000
    probabilities), nothing in it is executed, and reading takes time in proportion to its length. Comments and
    properties are left out, names may be quoted, and letters keep their case.

    Rows printed with few digits do not sum to 1 exactly. A sum that is off by more than 1e-3 is refused; by more than
    1e-9, the row is divided by it; below, digits are kept as they are.

    Parameters
    ----------
    source : str or pathlib.Path
        Path of a file, which may be packed by gzip; or the text itself, which is known by its ``{``.

    Returns
    -------
    DiscreteNetwork
        With one draw.

    Raises
    ------
    FileFormatError
        If the file cannot be read; with the line, what was expected and what was found.
    GraphError
        If the graph has a cycle.

    References
    ----------
    .. [1] Cozman, F. G. (1998). *The Interchange Format for Bayesian Networks*, version 0.15.

    Examples
    --------
    >>> network = read_bif('''
    ... network parcels { }
    ... variable late { type discrete [2] { no, yes }; }
    ... variable wait { type discrete [2] { short, long }; }
    ... probability ( late ) { table 0.8, 0.2; }
    ... probability ( wait | late ) { (no) 0.9, 0.1; (yes) 0.3, 0.7; }
    ... ''')
    >>> network.query("wait")
    Answer(P(wait): short 0.78, long 0.22; draws: 1)
    """
    parsed = parse_bif(_text(source))
    return DiscreteNetwork(tuple(parsed.states), parsed.states, parsed.parents, parsed.tables)


def _quoted(name: str) -> str:
    if _PLAIN.fullmatch(name):
        return name
    if '"' in name or "\n" in name or "\r" in name:
        raise ArgumentError(
            f"the name {name!r} cannot be written: it holds a quotation mark or the end of a line.",
            hint="call the node or state by another name.",
        )
    return f'"{name}"'


def write_bif(network: DiscreteNetwork) -> str:
    """Write a network as a text of the interchange format BIF 0.15.

    Numbers are written with all their digits, so that :func:`read_bif` gives the same network back. Of a network with
    posterior draws the mean of each table is written, divided by its sum: its uncertainty is not in the file. Names
    with other signs than letters, digits, ``_``, ``-`` and ``.`` stand in quotation marks, which not every program reads.

    Parameters
    ----------
    network : DiscreteNetwork
        Network.

    Returns
    -------
    str
        Text of the file.

    Raises
    ------
    ArgumentError
        If a name holds a quotation mark or the end of a line.

    Examples
    --------
    >>> network = DiscreteNetwork(["late"], {"late": ("no", "yes")}, {}, {"late": [0.8, 0.2]})
    >>> print(write_bif(network))
    network churnsurv {
    }
    variable late {
      type discrete [ 2 ] { no, yes };
    }
    probability ( late ) {
      table 0.8, 0.2;
    }
    """
    point = network.mean()
    lines = ["network churnsurv {", "}"]
    for name in point.names:
        own = ", ".join(_quoted(state) for state in point.states[name])
        lines += [f"variable {_quoted(name)} {{", f"  type discrete [ {len(point.states[name])} ] {{ {own} }};", "}"]
    for name in point.names:
        above = point.parents[name]
        bar = f" | {', '.join(_quoted(parent) for parent in above)}" if above else ""
        lines.append(f"probability ( {_quoted(name)}{bar} ) {{")
        rows = point.cpts[name][0].reshape(-1, len(point.states[name])).tolist()
        for states, row in zip(itertools.product(*(point.states[parent] for parent in above)), rows, strict=True):
            where = f"({', '.join(_quoted(state) for state in states)})" if above else "table"
            lines.append(f"  {where} {', '.join(map(repr, row))};")
        lines.append("}")
    return "\n".join(lines) + "\n"
