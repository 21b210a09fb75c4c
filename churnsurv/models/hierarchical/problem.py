"""A model bound to data: what is sampled, and how its parameters are called."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from churnsurv._typing import FloatArray, IntArray
from churnsurv.models.formula import Effects
from churnsurv.models.hierarchical.correlation import cholesky_factor, pairs
from churnsurv.models.hierarchical.density import LogPosterior, Natural
from churnsurv.models.hierarchical.grouping import Grouping
from churnsurv.models.hierarchical.layout import Layout
from churnsurv.models.hierarchical.likelihood import Likelihood
from churnsurv.models.hierarchical.pieces import Piece
from churnsurv.models.hierarchical.priors import Prior

Named = dict[str, tuple[tuple[str, ...], FloatArray]]
"""Dims and values by parameter."""


@dataclass(frozen=True, eq=False)
class Terms:
    """Fixed effects of a formula, and the standard units in which they are sampled.

    Parameters
    ----------
    effects : Effects
        Terms.
    numbers : tuple of int
        Columns of the schema that enter as numbers.
    centre, scale : array of shape (n_terms,)
        What is taken off a term's column, and what it is divided by: 0 and 1 of indicators; mean and standard deviation
        of a number, so that a prior says the same in days as in seconds.

    Examples
    --------
    >>> Terms.plain(Effects((), {}, {})).labels
    ()
    """

    effects: Effects
    numbers: tuple[int, ...]
    centre: FloatArray
    scale: FloatArray

    @classmethod
    def plain(cls, effects: Effects) -> Terms:
        """Terms that are all indicators."""
        n = len(effects.terms)
        return cls(effects, (), np.zeros(n), np.ones(n))

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the terms."""
        return tuple(term.label for term in self.effects.terms)

    def __len__(self) -> int:
        """Number of terms."""
        return len(self.effects.terms)


@dataclass(frozen=True, eq=False)
class Structure:
    """All that a fit must know of a model bound to data, and none of the data.

    Parameters
    ----------
    layout : Layout
        Where each parameter lies.
    terms : Terms
        Fixed effects.
    groups : mapping of str to Grouping
        Groups.
    pieces : tuple of Piece
        Random effects, in the order of the layout's blocks.
    months : tuple of int
        First and last month of the data since the year 0; empty without a calendar.
    cured : bool
        Whether a share is out of reach for good.
    time_scale : float
        Time, in days, that a baseline in continuous time is measured in.
    """

    layout: Layout
    terms: Terms
    groups: Mapping[str, Grouping]
    pieces: tuple[Piece, ...]
    months: tuple[int, ...] = ()
    cured: bool = False
    time_scale: float = 1.0

    @property
    def sd_names(self) -> tuple[str, ...]:
        """Names of the standard deviations, one of each block, in the order of the layout."""
        return (*(f"{piece.name}_sd" for piece in self.pieces), *(("frailty_sd",) if self.layout.frailty else ()))

    def variables(self) -> dict[str, tuple[str, ...]]:
        """Dims of every variable of the posterior, after ``chain`` and ``draw``, in order.

        Examples
        --------
        >>> Structure(Layout({"intercept": 1}, (), True), Terms.plain(Effects((), {}, {})), {}, ()).variables()
        {'intercept': (), 'frailty_sd': ()}
        """
        found: dict[str, tuple[str, ...]] = {name: ("term",) if name == "coef" else () for name in self.layout.fixed}
        for piece in self.pieces:
            several = piece.block.n_terms > 1
            found[piece.name] = piece.dims
            found[f"{piece.name}_sd"] = (f"{piece.group}_term",) if several else ()
            found |= {f"{piece.name}_correlation": (f"{piece.group}_pair",)} if several else {}
        found |= {"frailty_sd": ()} if self.layout.frailty else {}
        return found | ({"log_baseline": ("period",)} if {"walk", "intercept"} <= set(found) else {})

    def units_of(self, group: str) -> tuple[FloatArray, FloatArray]:
        """What is taken off each term that varies by a group's levels, and what it is divided by: as of the same fixed terms.

        Parameters
        ----------
        group : str
            Name of the group.

        Returns
        -------
        centre, scale : array of shape (n_terms,)
            0 and 1 of the intercept.
        """
        centre = dict(zip(self.terms.labels, self.terms.centre, strict=True))
        scale = dict(zip(self.terms.labels, self.terms.scale, strict=True))
        names = self.groups[group].terms
        return np.array([centre.get(name, 0.0) for name in names]), np.array([scale.get(name, 1.0) for name in names])

    def group_values(
        self, group: str, codes: IntArray, numbers: Sequence[FloatArray | None], *, standard: bool
    ) -> FloatArray | None:
        """What a level's effects are multiplied with on each row, shape (n, n_terms); ``None`` for an intercept alone.

        Parameters
        ----------
        group : str
            Name of the group.
        codes : array of shape (n, n_columns)
            Levels.
        numbers : sequence of (array of shape (n,) or None)
            Numbers of the columns.
        standard : bool
            In standard units, as effects are sampled; else in the columns' own, as they are named.
        """
        values = self.groups[group].values(codes, numbers)
        if values is None:
            return None
        centre, scale = self.units_of(group)
        return (values - centre) / scale if standard else values - centre

    def coords(self) -> dict[str, np.ndarray]:
        """Labels of every dim."""
        labels: dict[str, np.ndarray] = {}
        for piece in self.pieces:
            for dim, size in zip(piece.dims, piece.sizes, strict=True):
                labels[dim] = np.arange(size)
        if "calendar_month" in labels:
            labels["calendar_month"] = np.array([f"{m // 12:04}-{m % 12 + 1:02}" for m in range(*self._month_range())])
        if "month_of_year" in labels:
            labels["month_of_year"] = np.arange(1, 13)
        for name, group in self.groups.items():
            labels[name] = np.array(group.labels)
            labels[f"{name}_term"] = np.array(group.terms)
            rows, columns = pairs(len(group.terms))
            names = [f"{group.terms[i]} ~ {group.terms[j]}" for i, j in zip(rows, columns, strict=True)]
            labels[f"{name}_pair"] = np.array(names, dtype=str)
        labels["term"] = np.array(self.terms.labels, dtype=str)
        return labels

    def _month_range(self) -> tuple[int, int]:
        return self.months[0], self.months[1] + 1

    def named(self, natural: Natural) -> tuple[Named, dict[str, np.ndarray]]:
        """Give parameters their names and dims.

        Parameters
        ----------
        natural : Natural
            With leading axes ``(chain, draw)``.

        Returns
        -------
        variables : dict of str to (dims, array)
            ``intercept``, ``coef`` and slopes by group (in the columns' own units), every piece and its ``{name}_sd``,
            correlations, shape parameters; ``log_baseline`` for a piecewise baseline.
        coords : dict of str to array
            Labels of each dim.
        """
        found: dict[str, FloatArray] = {}
        for name in self.layout.fixed:
            values = natural.fixed[..., self.layout.place(name)]
            found[name] = values / self.terms.scale if name == "coef" else values[..., 0]
        rows = zip(self.pieces, self.layout.random_places, self.layout.sd_places, self.layout.free_places, strict=True)
        for piece, random, sds, free in rows:
            found[piece.name] = piece.values(natural.random[..., random])
            sd, size = natural.sd[..., sds], piece.block.n_terms
            if size > 1:
                _, scale = self.units_of(piece.group)
                found[piece.name], sd = found[piece.name] / scale, sd / scale
            found[f"{piece.name}_sd"] = sd if size > 1 else sd[..., 0]
            if size > 1:
                found[f"{piece.name}_correlation"] = _correlations(natural.free[..., free], size)
        if self.layout.frailty:
            found["frailty_sd"] = natural.sd[..., -1]
        if "walk" in found and "intercept" in found:
            found["log_baseline"] = found["intercept"][..., None] + found["walk"]
        named = {name: (dims, found[name]) for name, dims in self.variables().items()}
        return named, self.coords()


def _correlations(free: FloatArray, size: int) -> FloatArray:
    factor = cholesky_factor(free, size)
    whole = factor @ np.swapaxes(factor, -1, -2)
    rows, columns = pairs(size)
    return whole[..., rows, columns]


@dataclass(frozen=True, eq=False)
class Problem:
    """A density with names.

    Parameters
    ----------
    density : LogPosterior
        What is sampled.
    structure : Structure
        What its parameters are.
    priors : mapping of str to Prior
        All of them, by parameter.
    start : array of shape (n_fixed,)
        Fixed effects from which the mode is looked for.
    totals : Totals
        What the data held, by term and level.
    by_customer : callable or None
        Makes the same likelihood with customers as units, where ``density`` adds up cells and these tell whose they are.
    """

    density: LogPosterior
    structure: Structure
    priors: Mapping[str, Prior]
    start: FloatArray
    totals: Totals
    by_customer: Callable[[], Likelihood] | None = None


@dataclass(frozen=True, eq=False)
class Totals:
    """Rows that differ in their covariates, with what was seen of each: enough for frames of effects.

    Parameters
    ----------
    codes : array of shape (n, n_columns)
        Levels of the columns.
    values : tuple of (array of shape (n,) or None)
        Numbers of the columns, empty where there are none.
    events, exposure : array of shape (n,)
        Events and days at risk.
    """

    codes: IntArray
    values: tuple[FloatArray | None, ...]
    events: FloatArray
    exposure: FloatArray
