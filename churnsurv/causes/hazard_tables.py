"""Hazards by configuration of causes and period of the clock, learnt from events and exposure."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from churnsurv._typing import FloatArray, IntArray
from churnsurv.causes.clusters import Clusters
from churnsurv.causes.rows import CauseRows
from churnsurv.errors import NetworkSizeError, NoEventsError
from churnsurv.models.configuration_hazard import ConfigurationHazardModel, log_linear_design

MAX_HAZARDS = 1 << 24
"""Hazards in all draws together: 128 MB, of which learning holds about ten arrays at a time."""

_LEVEL_SD, _PERIOD_SD, _EFFECT_SD = 5.0, 1.5, 1.0


@dataclass(frozen=True, eq=False)
class HazardTable:
    """Posterior of the hazard of one event in each configuration of its parents and each period.

    Parameters
    ----------
    event : str
        Name of the event.
    parents : tuple of str
        Nodes, the last one fastest in a configuration.
    cards : tuple of int
        Number of states of each.
    breaks : array of shape (n_periods + 1,)
        Period edges in days.
    hazard : array of shape (n_draws, n_configurations, n_periods)
        Events a day.
    n_events, exposure : array of shape (n_configurations, n_periods)
        Events, and days at risk.
    deviation : array of shape (n_draws,)
        Standard deviation of the factors by which configurations differ from the log-linear model.
    """

    event: str
    parents: tuple[str, ...]
    cards: tuple[int, ...]
    breaks: FloatArray
    hazard: FloatArray
    n_events: FloatArray
    exposure: FloatArray
    deviation: FloatArray

    @property
    def n_configurations(self) -> int:
        """Number of configurations of the parents."""
        return int(np.prod(self.cards, dtype=np.int64))

    def places(self, names: Sequence[str], cards: Sequence[int]) -> IntArray:
        """Configuration of the parents in each configuration of more nodes, the last one fastest.

        Parameters
        ----------
        names : sequence of str
            Nodes, the parents among them.
        cards : sequence of int
            Number of states of each.

        Returns
        -------
        array of shape (product of cards,)
            Positions on the second axis of ``hazard``.
        """
        states = np.unravel_index(np.arange(int(np.prod(cards, dtype=np.int64))), tuple(cards)) if names else ()
        place = np.zeros(int(np.prod(cards, dtype=np.int64)), np.int64)
        for parent, card in zip(self.parents, self.cards, strict=True):
            place = place * card + states[list(names).index(parent)]
        return place


def learn_hazard(
    rows: CauseRows,
    clusters: Clusters,
    parents: Sequence[str],
    event: str,
    happened: np.ndarray[tuple[int], np.dtype[np.bool_]],
    *,
    model: ConfigurationHazardModel,
    rng: np.random.Generator,
    at_risk: np.ndarray[tuple[int], np.dtype[np.bool_]] | None = None,
) -> HazardTable:
    """Learn the hazard of an event that ends rows.

    Cost: one pass over the rows for each period, then the model's.

    Parameters
    ----------
    rows : CauseRows
        Stretches at risk.
    clusters : Clusters
        Weights of their customers.
    parents : sequence of str
        Nodes on which the hazard depends.
    event : str
        Its name.
    happened : array of shape (n,)
        Whether each row ends with the event.
    model : ConfigurationHazardModel
        How thin configurations are held.
    rng : numpy.random.Generator
        Source of randomness.
    at_risk : array of shape (n,), optional
        Rows that can show the event; all by default.

    Raises
    ------
    NetworkSizeError
        If there are too many configurations.
    NoEventsError
        If the event never happens.
    """
    breaks = np.asarray(rows.schema.breaks)
    cards = [int(rows.cards[rows.position(name)]) for name in parents]
    n_configurations, n_periods = int(np.prod(cards, dtype=np.int64)), len(breaks) - 1
    _check_size(event, parents, cards, n_periods, clusters.n_draws)
    keep = np.ones(len(rows), bool) if at_risk is None else at_risk
    where, key, spent, ended = split_by_period(rows, rows.configuration(parents), keep, happened, breaks)
    n_cells = n_configurations * n_periods
    events = clusters.table(where[ended], key[ended], np.ones(int(ended.sum())), n_cells)
    exposure = clusters.table(where, key, spent, n_cells)
    if not ended.any():
        raise NoEventsError(
            f"there is not one {event} within {breaks[-1]:g} days.", hint="use a longer window, or longer breaks."
        )
    codes = np.stack(np.unravel_index(np.arange(n_cells), (*cards, n_periods)), axis=1).astype(np.int64)
    design = log_linear_design(codes, np.array([*cards, n_periods]))
    mean = np.zeros(design.shape[1])
    mean[0] = np.log(ended.sum() / spent.sum())
    sd = np.concatenate([[_LEVEL_SD], np.full(sum(cards), _EFFECT_SD), np.full(n_periods, _PERIOD_SD)])
    fit = model.fit(events, exposure, design, mean=mean, sd=sd, weights=clusters.weights, rng=rng)
    shape = (n_configurations, n_periods)
    return HazardTable(
        event, tuple(parents), tuple(cards), breaks, fit.hazard.reshape(-1, *shape),
        fit.n_events.reshape(shape), fit.exposure.reshape(shape), fit.deviation,
    )  # fmt: skip


def split_by_period(
    rows: CauseRows,
    configuration: IntArray,
    keep: np.ndarray[tuple[int], np.dtype[np.bool_]],
    happened: np.ndarray[tuple[int], np.dtype[np.bool_]],
    breaks: FloatArray,
) -> tuple[IntArray, IntArray, FloatArray, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """Pieces of rows by period: row, cell, days at risk, and whether the event ends the piece."""
    pieces = []
    for j, (low, high) in enumerate(itertools.pairwise(breaks)):
        inside = np.flatnonzero(keep & (rows.start < high) & (rows.stop > low))
        spent = np.minimum(rows.stop[inside], high) - np.maximum(rows.start[inside], low)
        ended = happened[inside] & (rows.stop[inside] <= high)
        pieces.append((inside, configuration[inside] * (len(breaks) - 1) + j, spent, ended))
    where, key, spent, ended = (np.concatenate(part) for part in zip(*pieces, strict=True))
    return where, key, spent, ended


def _check_size(event: str, parents: Sequence[str], cards: Sequence[int], n_periods: int, n_draws: int) -> None:
    n_hazards = int(np.prod([float(card) for card in cards])) * n_periods * n_draws
    if n_hazards > MAX_HAZARDS:
        told = " x ".join(f"{name} {card}" for name, card in zip(parents, cards, strict=True))
        raise NetworkSizeError(
            f"{event} has {len(parents)} parents with {n_hazards // (n_periods * n_draws):,} configurations ({told}),"
            f" {n_hazards:,} hazards in {n_draws:,} draws and {n_periods} periods; there is room for {MAX_HAZARDS:,}.",
            hint="draw fewer edges into it, merge states, or ask for fewer draws.",
        )
