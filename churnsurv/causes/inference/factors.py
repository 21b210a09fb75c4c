"""Tables over discrete nodes, one per posterior draw, and the sums of their products.

Exact inference is a sum of products; in which order it is done decides whether it takes a millisecond or does not end.
The order is found first, from the shapes alone, and with it the size of the largest table on the way.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from churnsurv._typing import FloatArray
from churnsurv._validate import check_count
from churnsurv.errors import ArgumentError, NetworkSizeError

MAX_ELEMENTS = 2**25
"""Numbers in the largest table on the way, of all draws that are worked on at once: 256 MiB."""

_DRAW = -1
_NAMED = 12
"""Nodes of a table that is too large, named by the error."""

Operand = tuple[tuple[int, ...], FloatArray]
"""Axes by number, and the table."""

Step = tuple[tuple[int, ...], tuple[int, ...]]
"""Positions of the operands that are multiplied, and the axes that are left; the result goes to the end of the list."""


@dataclass(frozen=True, eq=False, repr=False)
class Factor:
    """Table over some nodes, for each posterior draw.

    Parameters
    ----------
    names : tuple of str
        Nodes of the axes, each once.
    table : array of shape (n_draws, *cards)
        Numbers >= 0; one draw if they are the same in all.
    """

    names: tuple[str, ...]
    table: FloatArray

    def __repr__(self) -> str:
        """Return one line."""
        cards = " x ".join(str(card) for card in self.table.shape[1:])
        return f"Factor({', '.join(self.names)}: {cards or 'one number'}; draws: {self.table.shape[0]:,})"


def _sliced(factor: Factor, evidence: Mapping[str, int]) -> Factor:
    seen = tuple(evidence.get(name, slice(None)) for name in factor.names)
    names = tuple(name for name in factor.names if name not in evidence)
    return Factor(names, factor.table[(slice(None), *seen)])


def _find_path(labels: Sequence[tuple[int, ...]], keep: tuple[int, ...], cards: Mapping[int, int]) -> list[Step]:
    if len(labels) == 1:
        return [((0,), keep)]
    from opt_einsum.paths import greedy

    left = [frozenset(label) for label in labels]
    path = greedy(list(left), frozenset(keep), dict(cards))
    steps: list[Step] = []
    for positions in path:
        chosen = tuple(sorted(positions, reverse=True))
        union = frozenset[int]().union(*(left.pop(i) for i in chosen))
        needed = frozenset(keep).union(*left)
        # The longest axis goes last, so that the innermost loop runs over it: eight times faster with many draws.
        axes = tuple(sorted(union & needed, key=lambda axis: (cards[axis], -axis)))
        left.append(frozenset(axes))
        steps.append((chosen, axes))
    return [*steps[:-1], (steps[-1][0], keep)]


def _size(axes: Sequence[int], cards: Mapping[int, int]) -> int:
    return math.prod(cards[axis] for axis in axes if axis != _DRAW)


def _multiply(operands: list[Operand], steps: Sequence[Step]) -> FloatArray:
    for positions, axes in steps:
        chosen = [operands.pop(i) for i in positions]
        # Only 52 labels are allowed at once; these are numbered anew in each step.
        local: dict[int, int] = {}
        arguments: list[object] = []
        for label, table in chosen:
            arguments += [table, [local.setdefault(axis, len(local)) for axis in label]]
        result = np.einsum(*arguments, [local[axis] for axis in axes])  # type: ignore[call-overload]
        operands.append((axes, result))
    return np.asarray(operands[0][1], dtype=np.float64)


def _refuse_size(size: int, axes: Sequence[str], max_elements: int, what: str) -> None:
    names = [name for name in axes if name]
    named = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
    raise NetworkSizeError(
        f"{what} needs a table of {size:,} numbers over {len(names)} nodes: {named}; "
        f"there is room for {max_elements:,}.",
        consequence=f"It would take {size * 8 / 2**30:,.1f} GiB, several times over.",
        hint="ask for fewer nodes at once, say the states of some of those nodes in `given`, give them fewer states "
        "or parents, or raise `max_elements` if there is memory.",
    )


def contract(
    factors: Sequence[Factor],
    keep: Sequence[str],
    evidence: Mapping[str, int] | None = None,
    *,
    max_elements: int = MAX_ELEMENTS,
) -> Factor:
    r"""Sum the product of factors over every node that is not kept, in each draw.

    .. math:: g(x_K) = \sum_{x_{\bar K}} \prod_k f_k(x_{S_k}), \quad x_E \text{ fixed}

    Factors are multiplied two by two, and a node is summed out as soon as no other factor knows it. The order comes
    from the greedy search of opt_einsum. Draws are worked on in blocks, so that the largest table of a block stays
    within ``max_elements``; the answer does not depend on the blocks.

    Parameters
    ----------
    factors : sequence of Factor
        At least one; all with the same number of draws, or with one.
    keep : sequence of str
        Nodes of the answer, in its order. Each stands in a factor and not in ``evidence``.
    evidence : mapping of str to int, optional
        Position of the state that a node is in.
    max_elements : int
        Room for the largest table, in numbers of eight bytes: of one block on the way, and of the answer with all
        its draws. Memory is two to three times that: 0.5 to 0.8 GiB for 2**25.

    Returns
    -------
    Factor
        Table over ``keep``, not normalised, with as many draws as the factors.

    Raises
    ------
    NetworkSizeError
        If one draw alone does not fit, or the answer does not; nothing has been computed by then.
    ArgumentError
        If there is no factor, or a node is kept that no factor has or that is fixed.

    Notes
    -----
    Time is a few nanoseconds for each draw and each configuration of the nodes that meet in a multiplication, and 20 to
    40 microseconds for each factor, with the search for the order. How many have to meet is the tree width of the network:
    time and memory are exponential in that, and not in the number of nodes.

    Products are not kept as logarithms. The probability of forty nodes' evidence is far above the smallest number
    of double precision, 1e-308, unless each has a probability below 1e-7.

    References
    ----------
    .. [1] Koller, D. and Friedman, N. (2009). *Probabilistic Graphical Models*, section 9.3. MIT Press.
    .. [2] Smith, D. G. A. and Gray, J. (2018). opt_einsum: a Python package for optimizing contraction order.
       *Journal of Open Source Software*, 3(26), 753.

    Examples
    --------
    P(b) = 0.8 · 0.1 + 0.2 · 0.7 for b in its second state:

    >>> a = Factor(("a",), np.array([[0.8, 0.2]]))
    >>> b = Factor(("a", "b"), np.array([[[0.9, 0.1], [0.3, 0.7]]]))
    >>> contract([a, b], ["b"]).table.round(3)
    array([[0.78, 0.22]])
    """
    fixed = dict(evidence or {})
    room = check_count(max_elements, "max_elements")
    operands = [_sliced(factor, fixed) for factor in factors]
    cards = {name: card for f in operands for name, card in zip(f.names, f.table.shape[1:], strict=True)}
    missing = [name for name in keep if name not in cards]
    if missing or not operands:
        raise ArgumentError(
            f"{len(missing)} of {len(keep)} kept nodes are in no factor, or are fixed: {', '.join(missing)}.",
            hint="keep nodes that a factor has, and leave them out of the evidence.",
        )
    n_draws = max(f.table.shape[0] for f in operands)
    answer = math.prod((n_draws, *(cards[name] for name in keep)))
    if answer > room:
        _refuse_size(answer, list(keep), room, "the answer")
    return Factor(tuple(keep), _in_blocks(operands, tuple(keep), cards, n_draws, room))


def _labelled(factors: Sequence[Factor], number: Mapping[str, int]) -> list[Operand]:
    """Tables with numbered axes and the draws last; axes of length 1 and single draws have no number and no axis."""
    found: list[Operand] = []
    for factor in factors:
        axes = tuple(number[name] for name in factor.names if name in number)
        n_draws, *cards = factor.table.shape
        table = factor.table.reshape(n_draws, *(card for card in cards if card > 1))
        found.append(((*axes, _DRAW), np.moveaxis(table, 0, -1)) if n_draws > 1 else (axes, table[0]))
    return found


def _block(
    operands: Sequence[Operand], steps: Sequence[Step], cards: Mapping[int, int], names: Sequence[str], room: int
) -> int:
    """Draws at once for which the largest table is within the room."""
    tables = [axes for axes, _ in operands] + [axes for _, axes in steps]
    largest = max(tables, key=lambda axes: _size(axes, cards))
    size = _size(largest, cards)
    if size > room:
        _refuse_size(size, [names[axis] for axis in largest if axis != _DRAW], room, "each draw")
    return room // size


def _in_blocks(
    factors: Sequence[Factor], keep: tuple[str, ...], cards: Mapping[str, int], n_draws: int, room: int
) -> FloatArray:
    # A table may have 64 axes at most; those of length 1 would count.
    names = [name for name, card in cards.items() if card > 1]
    number = {name: i for i, name in enumerate(names)}
    sizes = {number[name]: cards[name] for name in names} | {_DRAW: n_draws}
    operands = _labelled(factors, number)
    kept = tuple(number[name] for name in keep if name in number) + ((_DRAW,) if n_draws > 1 else ())
    steps = _find_path([axes for axes, _ in operands], kept, sizes)
    block = _block(operands, steps, sizes, names, room)
    result = np.empty((n_draws, *(cards[name] for name in keep)))
    for start in range(0, n_draws, block):
        span = slice(start, start + block)
        part = [(axes, np.ascontiguousarray(table[..., span]) if _DRAW in axes else table) for axes, table in operands]
        product = _multiply(part, steps)
        moved = np.moveaxis(product, -1, 0) if n_draws > 1 else product
        result[span] = moved.reshape(-1, *result.shape[1:])
    return result
