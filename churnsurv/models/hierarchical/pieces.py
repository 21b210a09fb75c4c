"""What a model is made of, piece by piece: blocks of random effects, what they are called, and which rows they meet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from churnsurv._typing import FloatArray, IntArray
from churnsurv.models.hierarchical.grouping import Grouping
from churnsurv.models.hierarchical.layout import Block, walk_basis
from churnsurv.tables.schema import CellSchema

HAZARD = "hazard"
MONTHS_OF_A_SEASON = 24
"""Months of data from which on a season is told from a trend."""


@dataclass(frozen=True, eq=False)
class Piece:
    """A block of random effects and how it is presented.

    Parameters
    ----------
    block : Block
        Effects and their prior; its name is that of the parameter.
    dims : tuple of str
        Dims of the parameter.
    sizes : tuple of int
        Length of each dim.
    basis : array of shape (n_values, block.size) or None
        From the effects to the parameter's values; ``None`` where they are the same.
    predictor : str
        What it is added to: ``hazard``, or the name of a shape parameter.
    group : str
        The group whose levels it goes by; empty for none.
    """

    block: Block
    dims: tuple[str, ...]
    sizes: tuple[int, ...]
    basis: FloatArray | None = None
    predictor: str = HAZARD
    group: str = ""

    @property
    def name(self) -> str:
        """Of the parameter."""
        return self.block.name

    def values(self, effects: FloatArray) -> FloatArray:
        """The parameter's values, leading axes passed through."""
        own = effects if self.basis is None else effects @ self.basis.T
        return own.reshape(*effects.shape[:-1], *self.sizes)


def log_spacing(breaks: tuple[float, ...]) -> FloatArray:
    """Distance between the middles of neighbouring periods on the log-time axis.

    The hazard of a return changes fast in the first days and slowly after months; on this axis periods of
    unequal width are compared as what they are.

    Examples
    --------
    >>> log_spacing((0.0, 2.0, 4.0, 8.0)).round(3)
    array([1.099, 0.693])
    """
    edges = np.asarray(breaks)
    return np.diff(np.log(0.5 * (edges[1:] + edges[:-1])))


def walk_piece(schema: CellSchema) -> Piece:
    """Log hazard of the periods around its average (eq. 3)."""
    n = schema.n_periods
    return Piece(Block("walk", np.sqrt(log_spacing(schema.breaks))), ("period",), (n,), walk_basis(n))


def effect_piece(group: Grouping) -> Piece:
    """Effects of a group's levels on the log hazard."""
    block = Block(f"{group.name}_effect", np.ones(group.n_levels), group.terms)
    if len(group.terms) == 1:
        return Piece(block, (group.name,), (group.n_levels,), group=group.name)
    return Piece(block, (group.name, f"{group.name}_term"), (group.n_levels, len(group.terms)), group=group.name)


def group_walk_piece(group: Grouping, schema: CellSchema) -> Piece:
    """Departure of each level's baseline from the common one, a walk of its own."""
    n, levels = schema.n_periods, group.n_levels
    block = Block(f"{group.name}_walk", np.tile(np.sqrt(log_spacing(schema.breaks)), levels))
    basis = np.asarray(np.kron(np.eye(levels), walk_basis(n)), np.float64)
    return Piece(block, (group.name, "period"), (levels, n), basis, group=group.name)


def shape_piece(group: Grouping, shape: str) -> Piece:
    """Departure of each level's shape parameter from the common one."""
    block = Block(f"{group.name}_shape", np.ones(group.n_levels))
    return Piece(block, (group.name,), (group.n_levels,), predictor=shape, group=group.name)


def month_pieces(n_months: int) -> list[Piece]:
    """Level of each month as a random walk, and from two years on a season that repeats."""
    found = []
    if n_months > 1:
        found.append(
            Piece(Block("month", np.ones(n_months - 1)), ("calendar_month",), (n_months,), walk_basis(n_months))
        )
    if n_months >= MONTHS_OF_A_SEASON:
        found.append(Piece(Block("season", np.ones(12)), ("month_of_year",), (12,)))
    return found


def months_of(labels: tuple[str, ...]) -> IntArray:
    """Number of each month since the year 0: ``2011-03`` is 12 · 2011 + 2.

    Examples
    --------
    >>> months_of(("2010-12", "2011-03")) - 12 * 2010
    array([11, 14])
    """
    return np.array([12 * int(label[:4]) + int(label[5:7]) - 1 for label in labels], np.int64)


def levels_of(
    piece: Piece, groups: Mapping[str, Grouping], codes: IntArray, period: IntArray, month: IntArray, first_month: int
) -> IntArray:
    """Which of a piece's values each row meets.

    Parameters
    ----------
    piece : Piece
        The piece.
    groups : mapping of str to Grouping
        Groups by name.
    codes : array of shape (n, n_columns)
        Levels of the columns.
    period : array of shape (n,)
        Periods; not looked at by pieces that do not go by period.
    month : array of shape (n,)
        Months since the year 0; not looked at by pieces that do not go by month.
    first_month : int
        The first of the data.
    """
    if piece.group:
        level = groups[piece.group].positions(codes)
        return level * piece.sizes[1] + period if piece.dims[-1] == "period" else level
    if piece.name == "season":
        return month % 12
    return month - first_month if piece.name == "month" else period
