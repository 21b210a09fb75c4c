"""Names of nodes: how they are given, which are refused, and what was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from churnsurv.errors import GraphError

Names = str | Iterable[str]
"""One name, or several."""

ARROW = "->"


def as_names(names: Names, argument: str) -> tuple[str, ...]:
    """Names as a tuple, each once, in the order given; a text alone is one name.

    Parameters
    ----------
    names : str or iterable of str
        What the caller gave.
    argument : str
        How errors call it.

    Returns
    -------
    tuple of str
        The names.

    Raises
    ------
    GraphError
        If it is neither a text nor an iterable of texts.

    Examples
    --------
    >>> as_names("late", "given"), as_names(["late", "wait", "late"], "given")
    (('late',), ('late', 'wait'))
    """
    several = [names] if isinstance(names, str) else list(names) if isinstance(names, Iterable) else None
    if several is None or not all(isinstance(name, str) for name in several):
        raise GraphError(
            f"`{argument}`={names!r} does not name nodes.",
            column=argument,
            hint=f'write {argument}="late" or {argument}=["late", "wait"].',
        )
    return tuple(dict.fromkeys(several))


def check_known(names: Iterable[str], nodes: Sequence[str]) -> None:
    """Refuse names that the graph does not have.

    Parameters
    ----------
    names : iterable of str
        Names asked for.
    nodes : sequence of str
        Names there are.

    Raises
    ------
    GraphError
        If one is unknown; the hint has the nearest known one.

    Examples
    --------
    >>> check_known(["lat"], ["late", "wait"])
    Traceback (most recent call last):
        ...
    churnsurv.errors.GraphError: 1 of 1 names is no node of the graph: 'lat'.
    Hint: did you mean 'late'? The nodes are late, wait.
    """
    asked = list(names)
    unknown = sorted(name for name in asked if name not in nodes)
    if unknown:
        folded = {node.casefold(): node for node in nodes}
        near = difflib.get_close_matches(unknown[0].casefold(), folded, n=1)
        meant = f"did you mean {folded[near[0]]!r}? " if near else ""
        raise GraphError(
            f"{len(unknown)} of {len(asked)} names {'is no node' if len(unknown) == 1 else 'are no nodes'} of the graph: "
            f"{', '.join(map(repr, unknown))}.",
            count=len(unknown),
            total=len(asked),
            hint=f"{meant}{'T' if meant else 't'}he nodes are {', '.join(nodes) or 'none'}.",
        )


def check_names(names: Sequence[str]) -> None:
    """Refuse names that cannot be told from each other, or cannot be printed in a path.

    Parameters
    ----------
    names : sequence of str
        All names of a graph.

    Raises
    ------
    GraphError
        If a name is no text, is empty, has outer space or an arrow in it, stands twice, or differs from another only in
        case or space.

    Examples
    --------
    >>> check_names(["Late", "late"])
    Traceback (most recent call last):
        ...
    churnsurv.errors.GraphError: 'Late' and 'late' differ only in case or space.
    One cause would be two nodes, each with half of its edges.
    Hint: write the name in one way.
    """
    for name in names:
        if not isinstance(name, str) or not name.strip():
            raise GraphError(f"{name!r} is no name of a node.", hint='a name is a text: "late".')
        if name != name.strip() or ARROW in name or "<-" in name:
            raise GraphError(
                f"{name!r} is no name of a node: it has space around it or an arrow in it.",
                hint='an edge is written ("late", "wait") or "late -> wait", arrows pointing right.',
            )
    seen: dict[str, str] = {}
    for name in names:
        key = "".join(name.split()).casefold()
        if seen.get(key) == name:
            raise GraphError(f"node {name!r} is there twice.", hint="name it once.")
        if key in seen:
            raise GraphError(
                f"{seen[key]!r} and {name!r} differ only in case or space.",
                consequence="One cause would be two nodes, each with half of its edges.",
                hint="write the name in one way.",
            )
        seen[key] = name


def listed(names: Iterable[str]) -> str:
    """Names as prose.

    Examples
    --------
    >>> listed(["late"]), listed(["late", "wait", "rating"])
    ('late', 'late, wait and rating')
    """
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
