"""A drawing of causes in a file: nodes, arrows, what is not in the data, and what is asked."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from churnsurv.causes.network import CauseNetwork
from churnsurv.causes.nodes import Node
from churnsurv.errors import ArgumentError, BreaksError, FileFormatError, IdentificationError, UnknownStateError
from churnsurv.tables.features import FEATURES, NONE_YET, NOT_YET, Arrival, Baseline, Feature, Value
from churnsurv.tables.histories import RESERVED

_LARGEST: Final = 1 << 20
_SHORTEST, _LONGEST = 0.001, 100_000.0
"""Days that a feature may look back: from a minute or two to centuries."""

_TOP: Final = ("edges", "latent", "cause", "nodes", "questions", "keep")
_SETTINGS: Final = ("kind", "column", "days", "recent", "before")
_NODE: Final = ("feature", *_SETTINGS, "cuts", "labels", "levels", "missing", "tier")
_QUESTION: Final = ("cause", "to", "versus", "by")
_EXAMPLE: Final = (
    'edges = ["late -> wait -> churn"], then [nodes.wait] with feature = "Maximum", kind = "ticket", column = "wait_hours",'
    " days = 90, cuts = [4, 24]"
)
_ASK: Final = 'write [[questions]] with cause = "wait", to = "<4h", versus = ">24h".'

State = str | Mapping[str, str]


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
    to: State
    versus: State | None = None
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

    Raises
    ------
    UnknownStateError
        If a question or ``keep`` names what is no node, or a state that its cuts, labels or levels do not make.
    IdentificationError
        If the segments of a question are an effect of its cause.
    BreaksError
        If a node is a number and has no cuts.
    ArgumentError
        If a name cannot be printed or is that of a column of the tables, or a column is a number to one node and a text
        to another.
    """

    network: CauseNetwork
    questions: tuple[Question, ...] = ()
    keep: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check everything that can be checked without data."""
        _check_names(self.network)
        for asked in self.questions:
            _check_question(self.network, asked)
        for name, states in self.keep.items():
            _check_states(_named(self.network, name, "keep"), states, "keep")
        uncut = [node.name for node in self.network.nodes if not (node.cuts or _is_text(node))]
        if uncut:
            raise BreaksError(
                f"node {uncut[0]!r} is a number, and it has no cuts.",
                column=uncut[0],
                hint="write cuts = [4, 24]: two cuts make three states.",
            )
        both = [column for column in self.values if column in self.labels]
        if both:
            users = [node for node in self.network.nodes if node.feature.value_column == both[0]]
            text = next(node.name for node in users if _is_text(node))
            raise ArgumentError(
                f"column {both[0]!r} is a text to the node {text!r}, and a number to another.",
                hint=f"give {text!r} cuts.",
            )

    @property
    def values(self) -> tuple[str, ...]:
        """Numeric columns that the nodes need."""
        return self._columns(text=False)

    @property
    def labels(self) -> tuple[str, ...]:
        """Text columns that the nodes need."""
        return self._columns(text=True)

    def _columns(self, *, text: bool) -> tuple[str, ...]:
        found = [node.feature.value_column for node in self.network.nodes if _is_text(node) is text]
        return tuple(dict.fromkeys(column for column in found if column is not None))


def read_drawing(path: Path, *, cause: str | None = None) -> Drawing:
    """Read a drawing from a TOML file.

    Parameters
    ----------
    path : Path
        A file with ``edges``, a table ``[nodes.NAME]`` for each node with ``feature`` (a declaration such as ``Count`` or
        ``Value``), its settings and ``cuts``, ``labels`` or ``levels``; perhaps ``latent``, ``cause``, ``[keep]`` and
        ``[[questions]]``.
    cause : str, optional
        The event of interest, in place of the one that the file names.

    Returns
    -------
    Drawing
        Checked, before any data are read.

    Raises
    ------
    FileFormatError
        If the file is no TOML, too large, or names what there is not.
    GraphError, ArgumentError, BreaksError, NetworkSizeError, UnknownStateError, IdentificationError
        If what it draws or asks cannot be.
    """
    data = _toml(path)
    _check_keys(data, _TOP, path.name)
    tables = _table(data.get("nodes", {}), f"{path.name}: nodes")
    if not tables or "edges" not in data:
        edges = "" if "edges" in data else " and no edges"
        raise FileFormatError(
            f"{path.name} draws {len(tables) or 'no'} node{'' if len(tables) == 1 else 's'}{edges}.",
            hint=f"write {_EXAMPLE}.",
        )
    nodes = [_node(name, _table(one, f"node {name!r}")) for name, one in tables.items()]
    network = CauseNetwork(
        nodes,
        _texts(data["edges"], "edges"),
        latent=_texts(data.get("latent", []), "latent"),
        cause=_text(data["cause"], "cause") if cause is None and "cause" in data else cause,
    )
    keep = {name: _texts(states, f"keep.{name}") for name, states in _table(data.get("keep", {}), "keep").items()}
    questions = data.get("questions", [])
    if not isinstance(questions, list):
        raise FileFormatError("questions is no list of tables.", hint=_ASK)
    return Drawing(network, tuple(map(_question, questions)), keep)


def _toml(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
    except OSError as error:
        raise FileFormatError(
            f"{path.name} cannot be read: {error.strerror or error}.", hint=f"name a file that says {_EXAMPLE}."
        ) from error
    if len(content) > _LARGEST:
        raise FileFormatError(f"{path.name} is larger than a drawing of twelve causes.", hint=f"write {_EXAMPLE}.")
    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        # Besides its own errors, of texts and dates, the parser passes on those of endless numbers and nested lists.
        raise FileFormatError(f"{path.name} is no TOML file: {error}.", hint=f"write {_EXAMPLE}.") from error


def _node(name: str, data: Mapping[str, Any]) -> Node:
    what = f"node {name!r}"
    _check_keys(data, _NODE, what)
    kind = data.get("feature")
    cls = FEATURES.get(str(kind))
    if cls is None:
        raise FileFormatError(
            f"{what} has no feature." if kind is None else f"{what}: feature = {kind!r} is no declaration.",
            hint=f"declarations are: {', '.join(FEATURES)}.",
        )
    cuts, tier = data.get("cuts", []), data.get("tier")
    if not isinstance(cuts, list):
        raise FileFormatError(f"{what}: cuts = {cuts!r} is no list of numbers.", hint="write cuts = [4, 24].")
    if tier is not None and (isinstance(tier, bool) or not isinstance(tier, int)):
        raise FileFormatError(f"{what}: tier = {tier!r} is no whole number.", hint="write tier = 0.")
    levels = _table(data.get("levels", {}), f"{what}: levels")
    return Node(
        name,
        _feature(cls, data, what),
        cuts=[_number(cut, f"{what}: cuts") for cut in cuts],
        labels=_texts(data.get("labels", []), f"{what}: labels"),
        levels={state: _texts(several, f"{what}: levels.{state}") for state, several in levels.items()},
        missing=_text(data.get("missing", ""), f"{what}: missing", may_be_empty=True),
        tier=tier,
    )


def _feature(cls: type[Feature], data: Mapping[str, Any], what: str) -> Feature:
    # Durations have no kinds of event: a Baseline is a column, and that is all.
    known = {one.name: one.default is MISSING for one in fields(cls) if one.name in _SETTINGS}
    known = {"column": True} if cls is Baseline else known
    given = {key: data[key] for key in _SETTINGS if key in data}
    stray = [key for key in given if key not in known]
    missing = [key for key in _SETTINGS if known.get(key) and key not in given]
    if stray or missing:
        wrong = f"{stray[0]} is no setting of {cls.__name__}" if stray else f"{cls.__name__} needs {missing[0]}"
        raise FileFormatError(f"{what}: {wrong}.", hint=f"its settings are: {', '.join(known)}.")
    first = [_text(given.pop(key), f"{what}: {key}") for key in ("kind", "column") if key in given]
    days: dict[str, Any] = {key: _number(value, f"{what}: {key}") for key, value in given.items()}
    far = [key for key, value in days.items() if not _SHORTEST <= value <= _LONGEST]
    if far:
        raise FileFormatError(
            f"{what}: {far[0]} = {days[far[0]]:g} lies outside {_SHORTEST:g} to {_LONGEST:g}.", hint="write days = 90."
        )
    return cls(*first, **days)


def _question(data: object) -> Question:
    told = _table(data, "a question")
    _check_keys(told, _QUESTION, "a question")
    if not ("cause" in told and "to" in told):
        raise FileFormatError(
            f"a question names {', '.join(told) or 'nothing'}; it needs cause and to.",
            hint=_ASK,
        )
    cause = _text(told["cause"], "a question: cause")
    versus = _state(told["versus"], cause) if "versus" in told else None
    by = _text(told["by"], f"the question about {cause!r}: by") if "by" in told else None
    return Question(cause, _state(told["to"], cause), versus, by)


def _state(data: object, cause: str) -> State:
    if isinstance(data, str):
        return data
    if isinstance(data, dict) and data and all(isinstance(one, str) for one in data.values()):
        return data
    raise FileFormatError(
        f"the question about {cause!r}: {data!r} is neither a state nor states that are replaced.",
        hint='write to = "<4h", or to = { ">24h" = "<4h" }.',
    )


def _check_names(network: CauseNetwork) -> None:
    """Refuse names that nobody could read, or that no table of a log could have as a column."""
    odd = [name for name in network.dag.nodes if not name.isprintable()]
    if odd:
        raise ArgumentError(
            f"the name {odd[0]!r} holds signs that cannot be printed.", hint="write letters and spaces."
        )
    taken = [node.name for node in network.nodes if not isinstance(node.feature, Baseline)]
    taken = [name for name in taken if name.lower() in RESERVED]
    if taken:
        raise ArgumentError(
            f"a node is called {taken[0]!r}, as the tables call a column of their own.",
            hint=f'call the cause otherwise, such as "{taken[0]} before".',
        )


def _check_question(network: CauseNetwork, asked: Question) -> None:
    what = f"the question about {asked.cause!r}"
    node = _named(network, asked.cause, what)
    for state in (asked.to, asked.versus):
        several = [] if state is None else [state] if isinstance(state, str) else [*state, *state.values()]
        _check_states(node, several, what)
    if asked.by is None:
        return
    segments = _named(network, asked.by, what)
    if asked.by == asked.cause or asked.by in network.dag.descendants(asked.cause):
        raise IdentificationError(
            f"{what}: its segments are those of {asked.by}, "
            f"{'the cause itself' if asked.by == asked.cause else 'which is an effect of it'}.",
            consequence="Who is in which segment would be changed by what is asked about.",
            hint="name a node in by that comes before the cause, or leave by out.",
        )
    if segments.moves:
        raise UnknownStateError(
            f"{what}: {asked.by} becomes known while the customer is at risk, and has no segments at the opening.",
            hint="name a node in by that is known at the opening, or leave by out.",
        )


def _named(network: CauseNetwork, name: str, what: str) -> Node:
    found = {node.name: node for node in network.nodes}
    if name not in found:
        hidden = " that the data show; it is latent" if name in network.dag.latent else ""
        raise UnknownStateError(f"{what}: {name!r} is no node{hidden}.", hint=f"nodes are: {', '.join(found)}.")
    return found[name]


def _check_states(node: Node, states: Sequence[str], what: str) -> None:
    """Refuse states that no data could have; of a node without cuts and levels only the data know."""
    if not (node.labels or node.levels):
        return
    blank = node.missing or (NOT_YET if node.moves else NONE_YET)
    known = dict.fromkeys([*(node.labels or (*node.levels, "other")), blank])
    unknown = [state for state in states if state not in known]
    if unknown:
        raise UnknownStateError(
            f"{what}: {node.name} has no state {unknown[0]!r}.", hint=f"its states are: {', '.join(map(repr, known))}."
        )


def _is_text(node: Node) -> bool:
    return isinstance(node.feature, Value | Arrival | Baseline) and not node.cuts


def _table(data: object, what: str) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise FileFormatError(f"{what}: {data!r} is no table.", hint=f"write {_EXAMPLE}.")
    return data


def _text(data: object, what: str, *, may_be_empty: bool = False) -> str:
    if isinstance(data, str) and (data or may_be_empty):
        return data
    raise FileFormatError(f"{what} = {data!r} is no text.", hint='write it in quotation marks, such as "order".')


def _texts(data: object, what: str) -> tuple[str, ...]:
    several = [data] if isinstance(data, str) else data
    if not isinstance(several, list) or not all(isinstance(one, str) for one in several):
        raise FileFormatError(f"{what} = {data!r} is no list of texts.", hint=f"write {_EXAMPLE}.")
    return tuple(several)


def _number(data: object, what: str) -> float:
    if isinstance(data, (int, float)) and not isinstance(data, bool) and math.isfinite(data := _float(data)):
        return data
    raise FileFormatError(f"{what}: {data!r} is no finite number.", hint="write a number, such as 90.")


def _float(number: float) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf


def _check_keys(data: Mapping[str, Any], known: Sequence[str], what: str) -> None:
    stray = [key for key in data if key not in known]
    if stray:
        raise FileFormatError(f"{what}: {stray[0]!r} is unknown.", hint=f"known are: {', '.join(known)}.")
