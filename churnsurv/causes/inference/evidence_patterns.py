"""Many rows of evidence at once: each different row is answered once, rows alike in what was seen together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from churnsurv._typing import BoolArray, FloatArray, IntArray
from churnsurv._validate import plain_array
from churnsurv.causes.inference.factors import Factor, contract
from churnsurv.causes.inference.relevance import ancestral, requisite_evidence
from churnsurv.errors import ArgumentError, DataTypeError, EmptyDataError, NetworkSizeError, UnknownStateError

_PATTERN = ""
"""Name of the axis of patterns; no node has an empty name."""
_LARGEST_KEY = 2**62


def check_codes(codes: object, nodes: Sequence[str], states: Mapping[str, Sequence[str]]) -> IntArray:
    """Rows of evidence: whole numbers, -1 or a position of a state.

    Parameters
    ----------
    codes : array-like of int of shape (n_rows, n_evidence)
        Positions of states; -1 where a node was not seen.
    nodes : sequence of str
        Nodes of the columns.
    states : mapping of str to sequence of str
        States of all nodes.

    Returns
    -------
    array of int of shape (n_rows, n_evidence)
        The same.

    Raises
    ------
    DataTypeError
        If they are not whole numbers.
    ArgumentError
        If there is not one column per node.
    EmptyDataError
        If there are no rows.
    UnknownStateError
        If a number stands for no state.

    Examples
    --------
    >>> check_codes([[0], [-1]], ["late"], {"late": ("no", "yes")}).tolist()
    [[0], [-1]]
    """
    rows = plain_array(codes, "evidence_codes")
    if rows.dtype.kind not in "iu":
        raise DataTypeError(
            f"`evidence_codes` has type {rows.dtype}; it must hold whole numbers.",
            column="evidence_codes",
            hint="give the position of each state, and -1 where a node was not seen.",
        )
    if rows.ndim != 2 or rows.shape[1] != len(nodes):
        raise ArgumentError(
            f"`evidence_codes` has shape {rows.shape}; there are {len(nodes)} evidence nodes.",
            column="evidence_codes",
            hint="give one row per customer and one column per evidence node.",
        )
    if not len(rows):
        raise EmptyDataError(
            "`evidence_codes` has no rows.", count=0, total=0, hint="check the filter before this call."
        )
    for node, column in zip(nodes, rows.T, strict=True):
        bad = (column < -1) | (column >= len(states[node]))
        if bad.any():
            told = ", ".join(f"{i}={state}" for i, state in enumerate(states[node]))
            raise UnknownStateError(
                f"{np.count_nonzero(bad):,} of {len(rows):,} codes of `{node}` are no state: {column[bad][0]}.",
                column=node,
                count=int(np.count_nonzero(bad)),
                total=len(rows),
                hint=f"states are {told}; -1 is not seen.",
            )
    return rows.astype(np.int64, copy=False)


def distinct_rows(rows: IntArray, cards: Sequence[int]) -> tuple[IntArray, IntArray]:
    """Different rows, and which of them each row is.

    Parameters
    ----------
    rows : array of int of shape (n_rows, n_columns)
        Numbers from -1 to below the column's card.
    cards : sequence of int
        One per column.

    Returns
    -------
    patterns : array of int of shape (n_patterns, n_columns)
        Different rows, sorted.
    inverse : array of int of shape (n_rows,)
        Row of ``patterns`` that each row equals.

    Examples
    --------
    >>> patterns, inverse = distinct_rows(np.array([[1, -1], [0, 0], [1, -1]]), [2, 2])
    >>> patterns.tolist(), inverse.tolist()
    ([[0, 0], [1, -1]], [1, 0, 1])
    """
    key, size = np.zeros(len(rows), np.int64), 1
    for column, card in zip(rows.T, cards, strict=True):
        if size > _LARGEST_KEY // (card + 1):
            found, key = np.unique(key, return_inverse=True)
            size = len(found)
        key, size = key * (card + 1) + (column + 1), size * (card + 1)
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    return rows[first], inverse


def _gathered(factor: Factor, columns: Mapping[str, IntArray]) -> Factor:
    """Factor at the states of each pattern: the axes of what was seen become one axis of patterns."""
    seen = [name for name in factor.names if name in columns]
    if not seen:
        return factor
    rest = [name for name in factor.names if name not in columns]
    order = [1 + factor.names.index(name) for name in (*seen, *rest)]
    shape = [factor.table.shape[i] for i in order]
    place = np.ravel_multi_index([columns[name] for name in seen], shape[: len(seen)])
    table = factor.table.transpose(0, *order).reshape(len(factor.table), -1, *shape[len(seen) :])
    return Factor((_PATTERN, *rest), table[:, place])


def _fills(factors: Sequence[Factor], columns: Mapping[str, IntArray], room: int) -> int:
    """How many patterns at once leave every gathered factor, with all its draws, within the room."""
    per_pattern = [
        math.prod(
            (len(f.table), *(n for name, n in zip(f.names, f.table.shape[1:], strict=True) if name not in columns))
        )
        for f in factors
    ]
    return max(1, room // max(per_pattern))


def _contracted(
    factors: Sequence[Factor], columns: Mapping[str, IntArray], keep: Sequence[str], room: int
) -> FloatArray:
    """Unnormalised answers (n_draws, n_patterns, *cards) in blocks of patterns, halved until they fit."""
    n_patterns = len(next(iter(columns.values())))
    block, start, parts = min(n_patterns, _fills(factors, columns, room)), 0, []
    while start < n_patterns:
        part = {name: codes[start : start + block] for name, codes in columns.items()}
        try:
            found = contract([_gathered(f, part) for f in factors], [_PATTERN, *keep], max_elements=room)
        except NetworkSizeError:
            if block == 1:
                raise
            block = (block + 1) // 2
            continue
        parts.append(found.table)
        start += block
    return np.concatenate(parts, axis=1)


class PatternEngine:
    """Answers for patterns of evidence on one network.

    Parameters
    ----------
    parents : mapping of str to tuple of str
        Parents of every node.
    factors : mapping of str to Factor
        Table of every node.
    nodes : sequence of str
        Evidence nodes, the columns of the patterns.
    max_elements : int
        Room for the largest table on the way.
    """

    def __init__(
        self,
        parents: Mapping[str, tuple[str, ...]],
        factors: Mapping[str, Factor],
        nodes: Sequence[str],
        max_elements: int,
    ) -> None:
        self.parents, self.factors, self.nodes, self.room = parents, factors, tuple(nodes), max_elements

    def _on(self, patterns: IntArray, seen: Sequence[int], keep: Sequence[str]) -> tuple[FloatArray, IntArray]:
        """Answers for the different states of some columns, and which of them each pattern needs."""
        names = [self.nodes[i] for i in seen]
        relevant = ancestral(self.parents, (*keep, *names))
        factors = [factor for name, factor in self.factors.items() if name in relevant]
        if not names:
            table = contract(factors, list(keep), max_elements=self.room).table
            return table[:, None], np.zeros(len(patterns), np.int64)
        cards = [self.factors[name].table.shape[-1] for name in names]
        different, inverse = distinct_rows(patterns[:, seen], cards)
        columns = dict(zip(names, different.T, strict=True))
        return _contracted(factors, columns, keep, self.room), inverse

    def answers(self, target: str, patterns: IntArray, n_draws: int) -> tuple[FloatArray, IntArray]:
        """Probabilities of the target for every pattern.

        Patterns whose requisite evidence is on the same nodes are answered by one contraction, over the different
        states of these nodes only.

        Parameters
        ----------
        target : str
            Node that is asked for.
        patterns : array of int of shape (n_patterns, n_evidence)
            Positions of states, -1 where a node was not seen.
        n_draws : int
            Draws of the answer.

        Returns
        -------
        draws : array of shape (n_draws, n_patterns, n_states)
            Probabilities; NaN where the evidence is impossible.
        impossible : array of int
            Patterns of probability 0 in some draw.
        """
        result = np.empty((n_draws, len(patterns), self.factors[target].table.shape[-1]))
        possible = np.ones(len(patterns), np.bool_)
        for requisite, rows in self._groups(target, patterns).items():
            table, place = self._on(patterns[rows], requisite, [target])
            total = table.sum(axis=-1, keepdims=True)
            possible[rows] &= (total[..., 0] > 0).all(axis=0)[place]
            np.divide(table, total, out=table, where=total > 0)
            result[:, rows] = table[:, place]
        if any((factor.table == 0).any() for factor in self.factors.values()):
            possible &= self._possible(patterns)
        return result, np.flatnonzero(~possible)

    def _groups(self, target: str, patterns: IntArray) -> dict[tuple[int, ...], IntArray]:
        """Patterns by the columns of their requisite evidence."""
        found: dict[tuple[int, ...], list[IntArray]] = {}
        for seen, rows in self._by_seen(patterns).items():
            needed = requisite_evidence(self.parents, [target], [self.nodes[i] for i in seen])
            found.setdefault(tuple(i for i in seen if self.nodes[i] in needed), []).append(rows)
        return {requisite: np.concatenate(parts) for requisite, parts in found.items()}

    def _by_seen(self, patterns: IntArray) -> dict[tuple[int, ...], IntArray]:
        masks, inverse = distinct_rows((patterns >= 0).astype(np.int64), [2] * patterns.shape[1])
        order = np.argsort(inverse, kind="stable")
        parts = np.split(order, np.cumsum(np.bincount(inverse))[:-1])
        return {tuple(np.flatnonzero(mask).tolist()): rows for mask, rows in zip(masks, parts, strict=True)}

    def _possible(self, patterns: IntArray) -> BoolArray:
        # Evidence that is not requisite may still contradict the rest, but only where a table holds a 0.
        possible = np.ones(len(patterns), np.bool_)
        for seen, rows in self._by_seen(patterns).items():
            if seen:
                table, place = self._on(patterns[rows], seen, [])
                possible[rows] = (table > 0).all(axis=0)[place]
        return possible
