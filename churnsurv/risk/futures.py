"""Possible futures of everybody together: draws of the parameters, and chance on top."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from churnsurv._typing import BoolArray, FloatArray, IntArray, StrArray
from churnsurv.risk.columns import RiskColumns

if TYPE_CHECKING:
    from churnsurv.models.base import SurvivalFit
    from churnsurv.risk.questions import Question
    from churnsurv.tables.open_spells import OpenSpells

BLOCK = 1024
"""Customers that share one stream of random numbers; a batch is a whole number of blocks."""

ANY = "any"
"""Churn by whatever cause."""

_MOST_LEVELS = 1000
"""Columns with more levels get no predictive totals: one count per draw, level and horizon is kept."""

_NEW_AT_ONCE = 64
"""Customers of new groups at a time: each costs an array of draws and quadrature nodes."""

_POINT_FUTURES = 1000
"""Possible futures drawn from a fit without draws."""


@dataclass(frozen=True, eq=False)
class Totals:
    """Predictive counts per level of one column, from joint draws plus chance.

    Parameters
    ----------
    levels : tuple of str
        Levels in the order of the rows; one level ``"all"`` without a column.
    counts : array of shape (n_draws, n_levels, n_horizons)
        Customers who churn within the horizon, one possible future per draw.
    expected : array of shape (n_levels, n_horizons)
        Sum of the customers' churn probabilities (eq. 21).
    n_customers, n_already_churned, n_refused : arrays of shape (n_levels,)
        How many were counted, left out as churned already, or could not be told at every horizon.
    """

    levels: tuple[str, ...]
    counts: np.ndarray
    expected: np.ndarray
    n_customers: np.ndarray
    n_already_churned: np.ndarray
    n_refused: np.ndarray


class Futures:
    """Adds up possible futures: per draw, chance decides each customer once; a new group's effect is shared.

    Parameters
    ----------
    fit : SurvivalFit
        The fit.
    question : Question
        What is asked of it.
    draws : array of int
        Posterior draws.
    rng : int
        Seed of chance.
    """

    def __init__(self, fit: SurvivalFit, question: Question, draws: IntArray, rng: int) -> None:
        self.fit, self.question, self.draws, self.rng, self.blocks = fit, question, draws, rng, 0
        self.n_futures = len(draws) if len(draws) > 1 else _POINT_FUTURES
        self.names = ("", *(column.name for column in fit.schema.covariates))
        self.causes = question.causes if len(question.causes) > 1 else ()
        self.counts: dict[str, dict[str, np.ndarray]] = {name: {} for name in self.names}

    def add(self, batch: OpenSpells, part: RiskColumns, incidence: FloatArray) -> None:
        """Draw the futures of one batch and add them to every column's levels."""
        incidence = self._joint(batch, incidence)
        for start in range(0, len(batch), BLOCK):
            stream = np.random.Generator(np.random.Philox(np.random.SeedSequence(self.rng, spawn_key=(self.blocks,))))
            some = slice(start, start + BLOCK)
            chance = stream.random((self.n_futures, BLOCK))[:, : len(batch) - start]
            happens = _happens(incidence[:, some], chance, split=bool(self.causes))
            for name, levels in zip(self.names, (None, *batch.levels[: len(self.names) - 1]), strict=True):
                if name in self.counts:
                    self._add_column(name, None if levels is None else levels[some], happens, part.counted[some])
            self.blocks += 1

    def _joint(self, batch: OpenSpells, incidence: FloatArray) -> FloatArray:
        """One effect for all customers of a new group: what is unknown of it is unknown of them all."""
        told = ~batch.unknown & ~self.fit.unseen(batch) & ~self.question.churned(batch.reached)
        new = np.flatnonzero(self.fit.new_group(batch) & told)
        if not len(new):
            return incidence
        rows = batch.take(new)
        names = self.fit.new_group_name(rows)
        quantile = np.empty((len(self.draws), len(new)))
        for name in sorted(set(names)):
            key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
            stream = np.random.default_rng(np.random.SeedSequence(self.rng, spawn_key=(key,)))
            quantile[:, names == name] = stream.random((len(self.draws), 1))
        joint = incidence.copy()
        for start in range(0, len(new), _NEW_AT_ONCE):
            some = np.arange(start, min(start + _NEW_AT_ONCE, len(new)))
            joint[:, new[some]] = self.question.joint_incidence(rows.take(some), quantile[:, some], self.draws)
        return joint

    def _add_column(self, name: str, levels: StrArray | None, happens: BoolArray, counted: BoolArray) -> None:
        labels = np.full(len(counted), "all", dtype=object) if levels is None else levels
        for level in sorted(set(labels)):
            counts = happens[:, (labels == level) & counted].sum(axis=1)
            self.counts[name][level] = self.counts[name].get(level, 0) + counts
        if len(self.counts[name]) > _MOST_LEVELS:
            del self.counts[name]

    def totals(self, columns: RiskColumns) -> dict[str, dict[str, Totals]]:
        """Totals by cause (``"any"`` first, then each of several causes) and column; levels in alphabetical order."""
        expected: dict[str, FloatArray] = {ANY: columns.churn}
        if columns.by_cause is not None:
            expected |= {cause: columns.by_cause.mean[..., c] for c, cause in enumerate(self.causes)}
        labels = dict(zip(self.names, (np.full(len(columns.churn), "all", object), *columns.levels), strict=True))
        return {
            cause: {name: self._total(self.counts[name], c, labels[name], columns, mean) for name in self.counts}
            for c, (cause, mean) in enumerate(expected.items())
        }

    def _total(
        self, counts: Mapping[str, np.ndarray], c: int, labels: StrArray, columns: RiskColumns, mean: FloatArray
    ) -> Totals:
        churned, counted = columns.churned, columns.counted
        names = tuple(sorted(counts))
        here = [labels == level for level in names]
        return Totals(
            names,
            np.stack([counts[level][..., c] for level in names], axis=1),
            np.stack([mean[mask & counted].sum(axis=0) for mask in here]),
            np.array([(mask & counted).sum() for mask in here]),
            np.array([(mask & churned).sum() for mask in here]),
            np.array([(mask & ~counted & ~churned).sum() for mask in here]),
        )


def _happens(incidence: FloatArray, chance: FloatArray, *, split: bool) -> BoolArray:
    """Whether each customer churns within each horizon, shape (n_futures, n, k, 1 + n_causes or 1).

    The unit interval is laid out in order of time: first what happens by the first horizon, cause after cause, then
    what is added by the second, and so on. One uniform number picks the time and the cause together, so that who has
    churned by one horizon has churned by all later ones, of the same cause.
    """
    if not split:
        return np.asarray(chance[:, :, None, None] < incidence)
    n_draws, n, k, n_causes = incidence.shape
    edges = np.cumsum(np.maximum(np.diff(incidence, axis=2, prepend=0.0), 0.0).reshape(n_draws, n, -1), axis=-1)
    below = chance[:, :, None] < edges
    picked = below & ~np.concatenate([np.zeros_like(below[..., :1]), below[..., :-1]], axis=-1)
    by_cause = np.logical_or.accumulate(picked.reshape(len(chance), n, k, n_causes), axis=2)
    return np.concatenate([below[..., n_causes - 1 :: n_causes, None], by_cause], axis=-1)
