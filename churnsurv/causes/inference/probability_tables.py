"""Conditional probability tables, checked once when a network is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

import numpy as np

from churnsurv._typing import BoolArray, FloatArray, Row
from churnsurv._validate import ROWS_KEPT, plain_array
from churnsurv.errors import ArgumentError, GraphError, ProbabilityTableError

TOLERANCE = 1e-9
"""By how much the probabilities of one configuration may miss 1."""


def check_states(names: Sequence[str], states: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """Names of nodes and their states: text, not empty, each once.

    Parameters
    ----------
    names : sequence of str
        Nodes.
    states : mapping of str to sequence of str
        States of each node.

    Returns
    -------
    dict of str to tuple of str
        States in the order of ``names``.

    Raises
    ------
    ArgumentError
        If names of nodes or states are empty, not text, or there twice, or a node has no states.

    Examples
    --------
    >>> check_states(["late"], {"late": ["no", "yes"]})
    {'late': ('no', 'yes')}
    """
    hint = 'write names=["late"], states={"late": ("no", "yes")}.'
    if isinstance(names, str):
        raise ArgumentError(f"`names`={names!r} is one text, no sequence.", column="names", hint=hint)
    _check_names(names, "a node", "names", hint)
    missing, extra = [name for name in names if name not in states], [name for name in states if name not in names]
    if missing or extra:
        told = f"{len(missing)} of {len(names)} nodes have no states" if missing else "states are of no node"
        raise ArgumentError(f"{told}: {(missing or extra)[0]!r}.", column="states", hint=hint)
    for node in names:
        own = states[node]
        if isinstance(own, str) or not len(own):
            raise ArgumentError(f"the states of `{node}` are {own!r}.", column="states", hint=hint)
        _check_names(own, f"a state of `{node}`", "states", hint)
    return {node: tuple(states[node]) for node in names}


def _check_names(names: Sequence[str], what: str, column: str, hint: str) -> None:
    bad = [name for name in names if not isinstance(name, str) or not name]
    if bad:
        raise ArgumentError(
            f"{len(bad)} of {len(names)} names of {what} are no text or empty: {bad[0]!r}.", column=column, hint=hint
        )
    if len(set(names)) < len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise ArgumentError(f"{what} is named twice: {twice!r}.", column=column, hint=hint)


def check_parents(names: Sequence[str], parents: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """Parents of every node; a node that is not named has none.

    Parameters
    ----------
    names : sequence of str
        All nodes.
    parents : mapping of str to sequence of str
        Parents of some of them.

    Returns
    -------
    dict of str to tuple of str
        Parents of every node, in the order of ``names``.

    Raises
    ------
    GraphError
        If a node is unknown, a parent is named twice, or there is a cycle, which is printed.

    Examples
    --------
    >>> check_parents(["late", "wait"], {"wait": ["late"]})
    {'late': (), 'wait': ('late',)}
    """
    known = set(names)
    for node, above in parents.items():
        unknown = [name for name in (node, *above) if name not in known]
        if unknown or isinstance(above, str):
            raise GraphError(
                f"`{unknown[0] if unknown else node}` in the parents of `{node}` is no node.",
                hint=f"nodes are: {', '.join(names)}; write parents={{'wait': ('late',)}}.",
            )
        if len(set(above)) < len(above):
            raise GraphError(f"`{node}` has a parent twice: {', '.join(above)}.", hint="name each parent once.")
    found = {name: tuple(parents.get(name, ())) for name in names}
    ordered(found)
    return found


def ordered(parents: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Nodes, each after its parents.

    Parameters
    ----------
    parents : mapping of str to sequence of str
        Parents of every node.

    Returns
    -------
    tuple of str
        Every node once; the same for the same mapping.

    Raises
    ------
    GraphError
        If there is a cycle, which is printed.

    Examples
    --------
    >>> ordered({"wait": ["late"], "late": []})
    ('late', 'wait')
    """
    try:
        return tuple(TopologicalSorter(parents).static_order())
    except CycleError as error:
        cycle = " -> ".join(error.args[1])
        raise GraphError(
            f"the graph has a cycle: {cycle}.",
            consequence="A cause would be its own effect; there is no joint probability.",
            hint="leave out one of these edges.",
        ) from None


def _refuse_rows(
    bad: BoolArray, shown: FloatArray, node: str, axes: Mapping[str, Sequence[str]], problem: str, value: str
) -> None:
    places = np.argwhere(bad)
    if not len(places):
        return
    rows: list[Row] = [
        {"draw": int(draw)}
        | {parent: own[int(k)] for k, (parent, own) in zip(at, axes.items(), strict=True)}
        | {value: shown[(draw, *at)].item()}
        for draw, *at in places[:ROWS_KEPT]
    ]
    told = ", ".join(f"{key}={text}" for key, text in rows[0].items() if key not in ("draw", value))
    raise ProbabilityTableError(
        f"{len(places):,} of {bad.size:,} rows of the table of `{node}` {problem}"
        f"{f'; the first is that of {told}' if told else ''}: {rows[0][value]:.10g}.",
        rows=rows,
        column=node,
        count=len(places),
        total=int(bad.size),
        consequence="Every answer would be off by it, without any sign.",
        hint="the last axis of the table holds the states of the node; divide it by its sum: "
        "cpt / cpt.sum(axis=-1, keepdims=True).",
    )


def check_table(node: str, table: object, states: Mapping[str, Sequence[str]], parents: Sequence[str]) -> FloatArray:
    """One table with its axis of draws.

    Parameters
    ----------
    node : str
        Name.
    table : array-like of shape (n_draws, *parent cards, own card), or without the axis of draws
        Probabilities; the last axis sums to 1 within 1e-9.
    states : mapping of str to sequence of str
        States of the node and its parents.
    parents : sequence of str
        Parents in the order of the axes.

    Returns
    -------
    array of shape (n_draws, *parent cards, own card)
        The same numbers, read-only; one draw if there was no axis of draws.

    Raises
    ------
    ProbabilityTableError
        If the shape is another one, or a number is negative, not finite or no number, or a row does not sum to 1.

    Examples
    --------
    >>> check_table("late", [0.8, 0.2], {"late": ("no", "yes")}, ()).shape
    (1, 2)
    """
    numbers = plain_array(table, f"the table of {node}")
    shape = tuple(len(states[name]) for name in (*parents, node))
    if numbers.dtype.kind not in "biuf" or numbers.shape[-len(shape) :] != shape or numbers.ndim > len(shape) + 1:
        axes = ", ".join(f"{name} ({len(states[name])})" for name in (*parents, node))
        raise ProbabilityTableError(
            f"the table of `{node}` has shape {numbers.shape} and type {numbers.dtype}; its axes are {axes}.",
            column=node,
            hint=f"give numbers of shape {shape}, or {('n_draws', *shape)} for draws".replace("'", "") + ".",
        )
    draws = np.asarray(numbers, dtype=np.float64).reshape(-1, *shape)
    if not len(draws):
        raise ProbabilityTableError(f"the table of `{node}` has no draws.", column=node, hint="give at least one.")
    above = {parent: states[parent] for parent in parents}
    worst = draws.min(axis=-1)
    _refuse_rows(~(worst >= 0), worst, node, above, "hold a negative number or NaN", "smallest")
    sums = draws.sum(axis=-1)
    _refuse_rows(~(np.abs(sums - 1) <= TOLERANCE), sums, node, above, "do not sum to 1", "sum")
    view = draws.view()
    view.flags.writeable = False
    return view


def check_tables(
    cpts: Mapping[str, object], states: Mapping[str, tuple[str, ...]], parents: Mapping[str, tuple[str, ...]]
) -> dict[str, FloatArray]:
    """Tables of every node, all with the same number of draws or with one.

    Parameters
    ----------
    cpts : mapping of str to array-like
        Table of every node, as :func:`check_table` takes it.
    states : mapping of str to tuple of str
        States of every node.
    parents : mapping of str to tuple of str
        Parents of every node.

    Returns
    -------
    dict of str to array
        Tables in the order of ``states``.

    Raises
    ------
    ProbabilityTableError
        If a table is missing, too many or wrong, or numbers of draws differ.

    Examples
    --------
    >>> check_tables({"late": [0.8, 0.2]}, {"late": ("no", "yes")}, {"late": ()})["late"]
    array([[0.8, 0.2]])
    """
    missing, extra = [name for name in states if name not in cpts], [name for name in cpts if name not in states]
    if missing or extra:
        told = f"{len(missing)} of {len(states)} nodes have no table" if missing else "a table is of no node"
        raise ProbabilityTableError(
            f"{told}: {(missing or extra)[0]!r}.", hint=f"give one table for each of: {', '.join(states)}."
        )
    tables = {name: check_table(name, cpts[name], states, parents[name]) for name in states}
    counts = {name: len(table) for name, table in tables.items() if len(table) > 1}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"`{name}` has {n:,}" for name, n in counts.items())
        raise ProbabilityTableError(
            f"the tables have different numbers of draws: {told}.",
            consequence="A draw is one possible world; its parts must belong together.",
            hint="draw all tables from one posterior, or give one draw where a table is known.",
        )
    return tables
