"""A drawing of causes in a file: nodes, arrows, what is not in the data, and what is asked."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, cast

from churnsurv.causes.network import CauseNetwork
from churnsurv.causes.nodes import Node
from churnsurv.errors import ArgumentError, FileFormatError
from churnsurv.tables.features import FEATURES, Arrival, Baseline, Feature, Recency, Rhythm, Value

_LARGEST: Final = 1 << 20
_TOP: Final = ("edges", "latent", "cause", "nodes", "questions", "keep")
_NODE: Final = ("feature", "kind", "column", "days", "recent", "before", "cuts", "labels", "levels", "missing", "tier")
_QUESTION: Final = ("cause", "to", "versus", "by")
_EXAMPLE: Final = (
    'edges = ["late -> wait -> churn"], then [nodes.wait] with feature = "Maximum", kind = "ticket", column = "wait_hours",'
    " days = 90, cuts = [4, 24]"
)


@dataclass(frozen=True)
class Question:
    """What is asked of one cause.

    Parameters
    ----------
    cause : str
        Node.
    to, versus : str or mapping, optional
        States, or states that are replaced; see :meth:`~churnsurv.causes.fit.CauseFit.do`.
    by : str, optional
        Node whose states are segments.
    """

    cause: str
    to: str | Mapping[str, str]
    versus: str | Mapping[str, str] | None = None
    by: str | None = None


@dataclass(frozen=True, eq=False)
class Drawing:
    """A network and its questions.

    Parameters
    ----------
    network : CauseNetwork
        What was drawn.
    questions : tuple of Question
        Beside what each cause is worth.
    keep : mapping of str to tuple of str
        States that no action changes.
    """

    network: CauseNetwork
    questions: tuple[Question, ...] = ()
    keep: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def values(self) -> tuple[str, ...]:
        """Numeric columns that the nodes need."""
        return self._columns(numeric=True)

    @property
    def labels(self) -> tuple[str, ...]:
        """Text columns that the nodes need."""
        return self._columns(numeric=False)

    def _columns(self, *, numeric: bool) -> tuple[str, ...]:
        found = []
        for node in self.network.nodes:
            column = node.feature.value_column
            text = isinstance(node.feature, Value | Arrival | Baseline) and not node.cuts
            if column is not None and text != numeric:
                found.append(column)
        return tuple(dict.fromkeys(found))


def read_drawing(path: Path) -> Drawing:
    """Read a drawing from a TOML file.

    Parameters
    ----------
    path : Path
        A file with ``edges``, a table ``[nodes.NAME]`` for each node with ``feature`` (a declaration such as ``Count`` or
        ``Value``), its settings and ``cuts``, ``labels`` or ``levels``; perhaps ``latent``, ``cause``, ``[keep]`` and
        ``[[questions]]``.

    Returns
    -------
    Drawing
        Checked, before any data are read.

    Raises
    ------
    FileFormatError
        If the file is no TOML, too large, or names what there is not.
    GraphError, ArgumentError, BreaksError, NetworkSizeError
        If what it draws cannot be.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise FileFormatError(f"{path.name} is larger than a drawing of twelve causes.", hint=f"write {_EXAMPLE}.")
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FileFormatError(f"{path.name} cannot be read: {error.strerror or error}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FileFormatError(f"{path.name} is no TOML file: {error}.", hint=f"write {_EXAMPLE}.") from error
    _check_keys(data, _TOP, path.name)
    tables = _table(data.get("nodes", {}), f"{path.name}: nodes")
    if not tables or "edges" not in data:
        raise FileFormatError(
            f"{path.name} draws {len(tables)} nodes and {'no ' if 'edges' not in data else ''}edges.",
            hint=f"write {_EXAMPLE}.",
        )
    nodes = [_node(name, _table(one, f"node {name!r}")) for name, one in tables.items()]
    network = CauseNetwork(
        nodes,
        _texts(data["edges"], "edges"),
        latent=_texts(data.get("latent", []), "latent"),
        cause=cast("str | None", data.get("cause")),
    )
    keep = {name: _texts(states, f"keep.{name}") for name, states in _table(data.get("keep", {}), "keep").items()}
    return Drawing(network, tuple(_question(one) for one in data.get("questions", [])), keep)


def _node(name: str, data: Mapping[str, Any]) -> Node:
    _check_keys(data, _NODE, f"node {name!r}")
    kind = data.get("feature")
    cls = FEATURES.get(str(kind))
    if cls is None:
        raise FileFormatError(
            f"node {name!r}: feature = {kind!r} is no declaration.", hint=f"declarations are: {', '.join(FEATURES)}."
        )
    shape = {one: tuple(data[one]) for one in ("cuts", "labels") if one in data}
    levels = {state: _texts(several, f"levels.{state}") for state, several in data.get("levels", {}).items()}
    try:
        return Node(
            name, _feature(cls, data, name), **shape, levels=levels or None,
            missing=str(data.get("missing", "")), tier=data.get("tier"),
        )  # fmt: skip
    except TypeError as error:
        raise FileFormatError(f"node {name!r}: {error}.", hint=f"write {_EXAMPLE}.") from error


def _feature(cls: type[Feature], data: Mapping[str, Any], name: str) -> Feature:
    known = {one.name for one in fields(cls)} - {"name"}
    given = {key: data[key] for key in ("kind", "column", "days", "recent", "before") if key in data}
    stray = [key for key in given if key not in known]
    needed = [key for key in known if key not in given and not _optional(cls, key)]
    if stray or needed:
        what = f"{stray[0]} is no setting of {cls.__name__}" if stray else f"{cls.__name__} needs {sorted(needed)[0]}"
        raise FileFormatError(f"node {name!r}: {what}.", hint=f"its settings are: {', '.join(sorted(known))}.")
    first = [given.pop(key) for key in ("kind", "column") if key in given and not (cls is Baseline and key == "kind")]
    return cls(*first, **{key: value for key, value in given.items() if key != "kind"})


def _optional(cls: type[Feature], key: str) -> bool:
    if cls is Baseline:
        return key == "kind"
    return (key == "days" and cls is Value) or (key == "column" and cls in (Arrival, Recency, Rhythm))


def _question(data: object) -> Question:
    told = _table(data, "questions")
    _check_keys(told, _QUESTION, "a question")
    if not isinstance(told.get("cause"), str) or "to" not in told:
        raise FileFormatError(
            f"a question names {', '.join(told) or 'nothing'}; it needs cause and to.",
            hint='write [[questions]] with cause = "wait", to = "<4h", versus = ">24h".',
        )
    return Question(told["cause"], told["to"], told.get("versus"), told.get("by"))


def _table(data: object, what: str) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise FileFormatError(f"{what}: a table was expected.", hint=f"write {_EXAMPLE}.")
    return data


def _texts(data: object, what: str) -> tuple[str, ...]:
    several = [data] if isinstance(data, str) else data
    if not isinstance(several, Sequence) or not all(isinstance(one, str) for one in several):
        raise ArgumentError(f"{what} must be a list of texts.", hint=f"write {_EXAMPLE}.")
    return tuple(several)


def _check_keys(data: Mapping[str, Any], known: Sequence[str], what: str) -> None:
    stray = [key for key in data if key not in known]
    if stray:
        raise FileFormatError(f"{what}: {stray[0]!r} is unknown.", hint=f"known are: {', '.join(known)}.")
