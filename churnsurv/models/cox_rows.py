"""Rows as the partial likelihood sees them, and the faults that are refused before it does."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from churnsurv._typing import BoolArray, FloatArray, IntArray, StrArray
from churnsurv.errors import ArgumentError, DataWarning, EmptyDataError, ModelSupportError, NoEventsError
from churnsurv.hazards.cox_rows import CoxRows, order_rows
from churnsurv.models.design import Design
from churnsurv.models.grammar import check_formula

if TYPE_CHECKING:
    from churnsurv.models.base import EpisodeRows
    from churnsurv.models.cox import CoxModel
    from churnsurv.models.weibull import WeibullModel
    from churnsurv.tables.bins import Bins
    from churnsurv.tables.schema import CellSchema


BEFORE = -1.0
"""A time ahead of every event, those at time 0 included."""


@dataclass(frozen=True, eq=False)
class TrainingRows:
    """Training rows, in the order of the table; arrays of shape (n,) unless said.

    Parameters
    ----------
    customer_id, spell : array
        Whose rows they are.
    start, stop : array
        Days on the clock, ``(start, stop]``.
    event : array of bool
        Whether the event ended the row.
    weight : array or None
        Frequencies, > 0.
    x : array of shape (n, n_terms)
        Columns of the formula, from their mean over spells by weight.
    scale : array of shape (n_terms,)
        Their standard deviation over spells by weight.
    stratum : array of int
        Position in ``strata``.
    cluster : array of int
        Number of the customer.
    n_spells : int
        Spells behind the rows.
    spell_weight : float
        Their weights, summed: their number where there are none.
    strata : tuple of str
        Names of the strata, those without an event included.
    """

    customer_id: StrArray
    spell: IntArray
    start: FloatArray
    stop: FloatArray
    event: BoolArray
    weight: FloatArray | None
    x: FloatArray
    scale: FloatArray
    stratum: IntArray
    cluster: IntArray
    n_spells: int
    spell_weight: float
    strata: tuple[str, ...]

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.stop)

    def ordered(self) -> CoxRows:
        """Sort as the partial likelihood reads."""
        start = self.start if self.start.any() else None
        return order_rows(start, self.stop, self.event, strata=self.stratum, weight=self.weight)

    @property
    def repeated(self) -> bool:
        """Whether some customer has several spells."""
        return self.n_spells > int(self.cluster.max()) + 1

    @property
    def whole_weights(self) -> bool:
        """Whether every weight is a whole number, so that it can be a frequency."""
        return self.weight is None or bool(np.all(self.weight == np.round(self.weight)))


@dataclass(frozen=True)
class Strata:
    """Combinations of levels that have a baseline of their own.

    Parameters
    ----------
    columns : tuple of int
        Columns of the schema.
    levels : tuple of tuple of int
        Codes of each stratum in those columns; ``((),)`` where nothing is stratified.
    """

    columns: tuple[int, ...]
    levels: tuple[tuple[int, ...], ...]

    @classmethod
    def bind(cls, names: Sequence[str], episodes: EpisodeRows) -> tuple[Strata, IntArray]:
        """Find the strata of the rows, and the stratum of each.

        Raises
        ------
        ModelSupportError
            If a column of numbers without bins is named.
        """
        columns = tuple(_column(name, episodes.schema) for name in names)
        bare = [k for k in columns if episodes.schema.columns[k].edges is not None and not _binned(episodes, k)]
        if bare:
            name = episodes.schema.columns[bare[0]].name
            raise ModelSupportError(
                f"{len(bare)} of {len(columns)} strata are columns of numbers without bins: {name}.",
                consequence="Every number would be a stratum of its own.",
                hint=f"give it bins: CoxModel(..., bins={{{name!r}: [...]}}).",
            )
        if not columns:
            return cls((), ((),)), np.zeros(len(episodes.codes), np.int64)
        found, where = np.unique(episodes.codes[:, columns], axis=0, return_inverse=True)
        return cls(columns, tuple(tuple(map(int, row)) for row in found)), where.ravel().astype(np.int64)

    def keep(self, wanted: BoolArray) -> Strata:
        """Keep some of the strata."""
        return Strata(self.columns, tuple(one for one, keep in zip(self.levels, wanted, strict=True) if keep))

    def of(self, codes: IntArray) -> IntArray:
        """Stratum of each row, -1 for one that is none of these."""
        found = np.full(len(codes), -1, np.int64)
        for s, levels in enumerate(self.levels):
            found[np.all(codes[:, self.columns] == np.asarray(levels, np.int64), axis=1)] = s
        return found

    def labels(self, schema: CellSchema) -> tuple[str, ...]:
        """Names of the strata: ``plan=annual, country=FR``."""
        columns = [schema.columns[k] for k in self.columns]
        return tuple(
            ", ".join(f"{column.name}={column.labels[code]}" for column, code in zip(columns, levels, strict=True))
            for levels in self.levels
        )


def _column(name: str, schema: CellSchema) -> int:
    names = [column.name for column in schema.columns]
    if name not in names:
        raise ModelSupportError(
            f"strata names {name!r}, which is no column of the rows.",
            hint=f"columns are: {', '.join(names) or 'none'}.",
        )
    return names.index(name)


def _binned(episodes: EpisodeRows, k: int) -> bool:
    return episodes.schema.columns[k].name in episodes.binned


def as_episodes(table: Any, bins: Bins) -> EpisodeRows:
    """Make rows of a table of spells or periods.

    Parameters
    ----------
    table : PeriodTable, SpellTable or Episodes
        Episodes are taken as they are.
    bins : mapping of str to edges or Quantiles
        For columns of numbers that should enter as levels.

    Raises
    ------
    ArgumentError
        If bins are given for rows that were made without them.
    """
    from churnsurv.tables.episodes import Episodes

    kind = type(table).__name__
    if kind == "PeriodTable":
        return cast("EpisodeRows", Episodes.from_periods(table, bins=bins or None))
    if kind == "SpellTable":
        return cast("EpisodeRows", Episodes.from_spells(table, bins=bins or None))
    other = [name for name in bins if name not in table.binned]
    if other:
        raise ArgumentError(
            f"bins are given for {', '.join(other)}, and the rows have been made without them.",
            hint="Episodes.from_periods(periods, bins={...}), or fit on the periods themselves.",
        )
    return cast("EpisodeRows", table)


def known_rows(model: CoxModel | WeibullModel, episodes: EpisodeRows) -> tuple[EpisodeRows, tuple[str, ...]]:
    """Leave out rows without a number that a formula needs, where the model says so; tell how many."""
    if model.on_bad != "drop":
        return episodes, ()
    formulas = (model.formula, getattr(model, "shape", ""))
    names = [name for formula in formulas for name in check_formula(formula, episodes.schema, table="rows")]
    bad = np.zeros(len(episodes.stop), bool)
    for column, values in zip(episodes.schema.columns, episodes.values, strict=True):
        if values is not None and column.name in names and column.name not in episodes.binned:
            bad |= ~np.isfinite(values)
    if not bad.any():
        return episodes, ()
    text = f"left out {int(bad.sum()):,} of {len(bad):,} rows without a number that the formula needs."
    warnings.warn(text, DataWarning, stacklevel=5)
    return _take(episodes, np.flatnonzero(~bad)), (text,)


def _take(episodes: EpisodeRows, index: IntArray) -> EpisodeRows:
    whole = cast(Any, episodes)
    customer_id, spell = whole.customer_id[index], whole.spell[index]
    kept = replace(
        whole,
        customer_id=customer_id,
        spell=spell,
        start=whole.start[index],
        stop=whole.stop[index],
        event=whole.event[index],
        codes=whole.codes[index],
        values=tuple(None if value is None else value[index] for value in whole.values),
        weight=None if whole.weight is None else whole.weight[index],
        n_spells=len(np.unique(_spell_keys(spell, customers(customer_id)))),
    )
    return cast("EpisodeRows", kept)


def read_rows(model: CoxModel, episodes: EpisodeRows) -> tuple[TrainingRows, Design, Strata, FloatArray]:
    """Check the rows, bind formula and strata, and centre the columns.

    Parameters
    ----------
    model : CoxModel
        The specification.
    episodes : Episodes
        One cause.

    Returns
    -------
    rows : TrainingRows
        Covariates from their mean.
    design : Design
        The formula's columns.
    strata : Strata
        All that the rows hold, with events or without.
    centre : array of shape (n_terms,)
        The mean that was taken off.

    Raises
    ------
    EmptyDataError, NoEventsError, ArgumentError, FormulaError, MissingValueError, ModelSupportError
        By the fault found.
    """
    cluster = customers(episodes.customer_id)
    check_rows(episodes, cluster)
    design = Design.bind(model.formula, cast(Any, episodes), drop=model.on_bad == "drop")
    strata, stratum = Strata.bind(model.strata, episodes)
    _check_enough_events(episodes, len(design.terms), penalised=model.penalizer > 0)
    x = design.matrix(episodes.codes, episodes.values)
    weight = None if episodes.weight is None else episodes.weight.astype(np.float64)
    share = share_of_spell(episodes, cluster) * (1.0 if weight is None else weight)
    centre = np.einsum("i,ij->j", share, x) / share.sum()
    x -= centre
    rows = TrainingRows(
        customer_id=episodes.customer_id,
        spell=episodes.spell,
        start=episodes.start.astype(np.float64),
        stop=episodes.stop.astype(np.float64),
        event=episodes.event > 0,
        weight=weight,
        x=x,
        scale=np.sqrt(np.einsum("i,ij,ij->j", share, x, x) / max(share.sum() - 1.0, 1.0)),
        stratum=stratum,
        cluster=cluster,
        n_spells=episodes.n_spells,
        spell_weight=float(share.sum()),
        strata=strata.labels(episodes.schema),
    )
    return rows, design, strata, centre


def share_of_spell(episodes: EpisodeRows, cluster: IntArray) -> FloatArray:
    """One over the number of rows of the spell: cutting a spell into rows moves no mean."""
    n = len(episodes.stop)
    if episodes.n_spells == n:
        return np.ones(n)
    _, where, counts = np.unique(_spell_keys(episodes.spell, cluster), return_inverse=True, return_counts=True)
    return 1.0 / counts[where.ravel()]


def _spell_keys(spell: IntArray, cluster: IntArray) -> IntArray:
    """One number a spell."""
    first = spell.min()
    return np.asarray(cluster * (spell.max() - first + 1) + (spell - first), np.int64)


def customers(customer_id: StrArray) -> IntArray:
    """Number of the customer of each row, in order of appearance."""
    import pandas as pd

    return np.asarray(pd.factorize(customer_id)[0], np.int64)


def check_rows(episodes: EpisodeRows, cluster: IntArray) -> None:
    """Refuse rows that no risk set can hold.

    Raises
    ------
    EmptyDataError
        If there is not one row.
    NoEventsError
        If there is not one event.
    ArgumentError
        If a time is not a number or negative, a row does not end after it starts, a weight is not positive, rows of
        one spell overlap, or a spell goes on after its event.
    """
    if not len(episodes.stop):
        raise EmptyDataError("there is not one row.", hint="look at the window and the definition of churn.")
    if not np.any(episodes.event > 0):
        raise NoEventsError(
            f"not one of {len(episodes.stop):,} rows ends with the event.",
            consequence="A partial likelihood compares who has the event with who has not: there is nothing to compare.",
            hint="use a longer window, or another definition of churn.",
        )
    start, stop = episodes.start, episodes.stop
    with np.errstate(invalid="ignore"):
        _refuse(episodes, ~(np.isfinite(start) & np.isfinite(stop) & (start >= 0)), "have no time, or one below 0")
        # where nobody enters late, everybody is at risk at time 0 (as in lifelines); "(0, 0]" beside late entries is nothing
        never = (stop < start) | ((stop == start) & bool(np.any(start > 0)))
        _refuse(episodes, never, "do not end after they start", "Nobody is at risk in such a row.")
        if episodes.weight is not None:
            bad = ~((episodes.weight > 0) & np.isfinite(episodes.weight))
            _refuse(episodes, bad, "have a weight that is not positive", "They would count against the others.")
    if episodes.n_spells < len(stop):
        _check_histories(episodes, cluster)


def _check_histories(episodes: EpisodeRows, cluster: IntArray) -> None:
    """Rows of one spell follow each other, and nothing follows the event."""
    key = _spell_keys(episodes.spell, cluster)
    order = np.lexsort((episodes.start, key))
    same = np.diff(key[order]) == 0
    bad = np.zeros(len(order), bool)
    bad[order[1:]] = same & (episodes.start[order][1:] < episodes.stop[order][:-1])
    _refuse(episodes, bad, "begin before the row ahead of them has ended", "Its customer would be at risk twice.")
    bad[order[1:]] = same & (episodes.event[order][:-1] > 0)
    _refuse(episodes, bad, "follow an event of their own spell", "Churn ends a spell; a new one has a new number.")


def _refuse(episodes: EpisodeRows, bad: BoolArray, what: str, consequence: str = "") -> None:
    at = np.flatnonzero(bad)
    if len(at):
        raise ArgumentError(
            f"{len(at):,} of {len(bad):,} rows {what}.",
            rows=[_shown(episodes, int(i)) for i in at[:5]],
            consequence=consequence,
            hint="SpellTable.from_events and PeriodTable.from_spells make rows that are right; mend those made by hand.",
            count=len(at),
            total=len(bad),
        )


def _shown(episodes: EpisodeRows, i: int) -> dict[str, object]:
    shown: dict[str, object] = {"customer_id": episodes.customer_id[i], "spell": int(episodes.spell[i])}
    shown |= {"start": float(episodes.start[i]), "stop": float(episodes.stop[i]), "event": int(episodes.event[i])}
    return shown if episodes.weight is None else {**shown, "weight": float(episodes.weight[i])}


def _check_enough_events(episodes: EpisodeRows, n_terms: int, *, penalised: bool) -> None:
    n_events = int(np.sum(episodes.event > 0))
    if n_events < n_terms and not penalised:
        raise NoEventsError(
            f"{n_events:,} events cannot tell {n_terms:,} terms apart.",
            consequence="Some combination of them would explain every event by chance.",
            hint="use fewer columns, or a penalty: CoxModel(..., penalizer=0.1).",
        )
