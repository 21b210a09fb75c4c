"""Data of the benchmark of inference: simulated spells, as rows and as cells, and the priors that every sampler gets."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

import numpy as np

from churnsurv.models.hierarchical.model import HierarchicalModel
from churnsurv.models.hierarchical.rows import centring_time
from churnsurv.tables.cells import CellTable
from churnsurv.tables.churn import Silence
from churnsurv.tables.episodes import Episodes
from churnsurv.tables.schema import CellSchema, PatternColumn

Kind = Literal["rows", "cells"]
SIZES = {"20k": 20_000, "1m": 1_000_000}
N_COVARIATES, N_GROUPS = 8, 20
NAMES = tuple(f"x{k}" for k in range(N_COVARIATES))
GROUPS = tuple(f"g{k:02d}" for k in range(N_GROUPS))
BREAKS = (0.0, 7.0, 14.0, 30.0, 60.0, 90.0, 180.0, 365.0, 730.0)
SHAPE = 1.3
"""Of the simulated Weibull hazard."""
COEF = np.array([0.3, -0.2, 0.15, 0.0, 0.4, -0.1, 0.05, 0.25])
SHARE = np.array([0.4, 0.4, 0.3, 0.3, 0.2, 0.2, 0.1, 0.1])
"""Share of customers with each of the binary covariates."""
MODELS = {
    "rows": HierarchicalModel(" + ".join(NAMES), groups=("group",), baseline="weibull"),
    "cells": HierarchicalModel(" + ".join(NAMES), groups=("group",)),
}
PARAMETERS = {
    "rows": ("intercept", "coef", "log_shape", "group_effect", "group_effect_sd"),
    "cells": ("intercept", "coef", "log_baseline", "walk_sd", "group_effect", "group_effect_sd"),
}
"""What every sampler must report, under these names: the effective draws are the fewest among all of them."""
CHURN = Silence(("order",), 90)


@dataclass(frozen=True, eq=False)
class Observed:
    """Rows of the likelihood, n of them: spells in continuous time, or counts of events in days at risk.

    Parameters
    ----------
    kind : {"rows", "cells"}
        Weibull in continuous time, or constant in each period.
    x : array of shape (n, 8)
        Covariates.
    group, period : array of int, shape (n,)
        Group, and period; 0 in continuous time.
    event : array of shape (n,)
        Events: 0 or 1 of a spell, a count in a cell.
    days : array of shape (n,)
        Days at risk.
    t0 : float
        Days that a Weibull hazard measures time in.
    priors : dict
        As :class:`HierarchicalModel` uses them, by name.
    """

    kind: Kind
    x: np.ndarray
    group: np.ndarray
    period: np.ndarray
    event: np.ndarray
    days: np.ndarray
    t0: float
    priors: dict[str, dict[str, float]]

    def save(self, path: Path) -> None:
        arrays = {f.name: np.asarray(getattr(self, f.name)) for f in fields(self) if f.name != "priors"}
        np.savez(path, **arrays, priors=np.array(json.dumps(self.priors)))

    @classmethod
    def load(cls, path: Path) -> Observed:
        with np.load(path) as found:
            data = {name: found[name] for name in found.files}
        return cls(**{
            **data, "kind": str(data["kind"]), "t0": float(data["t0"]), "priors": json.loads(str(data["priors"]))
        })  # fmt: skip

    @property
    def model(self) -> HierarchicalModel:
        return MODELS[self.kind]

    def table(self) -> Episodes | CellTable:
        """The same rows as churnsurv reads them."""
        return _episodes(self) if self.kind == "rows" else _cells(self)


def simulate(kind: Kind, n: int, *, split: bool = False, seed: int = 20261122) -> Observed:
    """Simulate n spells with 8 covariates and 20 groups of unequal size, about a third of them censored.

    Parameters
    ----------
    kind : {"rows", "cells"}
        Continuous covariates and a Weibull hazard; or binary ones and a hazard that falls from period to period.
    n : int
        Spells.
    split : bool
        Of ``cells``: one row per spell and period, as one has them before anything is counted.
    seed : int
        Of the simulation.
    """
    rng = np.random.default_rng([seed, n])
    group = rng.choice(N_GROUPS, n, p=(w := rng.uniform(0.5, 1.5, N_GROUPS)) / w.sum())
    effect = rng.normal(0.0, 0.3, N_GROUPS)[group]
    if kind == "rows":
        return _with_priors(_weibull_spells(rng, group, effect))
    x = (rng.random((n, N_COVARIATES)) < SHARE).astype(np.float64)
    stop, event = _piecewise_times(rng, x @ COEF + effect)
    inner = np.array(BREAKS)
    days = np.clip(stop[:, None] - inner[:-1], 0.0, np.diff(inner))
    spell, period = np.nonzero(days)
    last = period == np.searchsorted(inner[1:], stop)[spell]
    rows = Observed(
        "cells", x[spell], group[spell], period, (event[spell] & last).astype(np.float64), days[spell, period], 1.0, {}
    )
    counted = _with_priors(_counted(rows))
    return Observed(**{**vars(rows), "priors": counted.priors}) if split else counted


def _weibull_spells(rng: np.random.Generator, group: np.ndarray, effect: np.ndarray) -> Observed:
    n = len(group)
    x = rng.normal(size=(n, N_COVARIATES)) + 0.5 * rng.normal(size=(n, 1))
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    time = 100.0 * (rng.exponential(size=n) * np.exp(-x @ COEF - effect)) ** (1.0 / SHAPE)
    until = rng.uniform(20.0, 300.0, n)
    event = time <= until
    stop = np.maximum(np.minimum(time, until), 1e-3)
    t0 = centring_time(stop, event.astype(np.float64))
    return Observed("rows", x, group, np.zeros(n, np.int64), event.astype(np.float64), stop, t0, {})


def _piecewise_times(rng: np.random.Generator, log_ratio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Times in whole seconds, by inverting the cumulative hazard; who is still there at the last break is censored."""
    edges = np.array(BREAKS)
    hazard = 0.02 * np.exp(-0.35 * np.arange(len(edges) - 1))
    cumulative = np.concatenate([[0.0], np.cumsum(hazard * np.diff(edges))])
    time = np.interp(rng.exponential(size=len(log_ratio)) * np.exp(-log_ratio), cumulative, edges, right=np.inf)
    until = np.minimum(rng.uniform(10.0, 1000.0, len(time)), edges[-1])
    return np.maximum(np.round(np.minimum(time, until) * 86_400) / 86_400, 1 / 86_400), time <= until


def _counted(rows: Observed) -> Observed:
    """Rows of one pattern, group and period, added up."""
    pattern = rows.x.astype(np.int64) @ (2 ** np.arange(N_COVARIATES))
    key = (pattern * N_GROUPS + rows.group) * len(BREAKS) + rows.period
    _, first, cell = np.unique(key, return_index=True, return_inverse=True)
    return Observed(
        "cells", rows.x[first], rows.group[first], rows.period[first],
        np.bincount(cell, rows.event), np.bincount(cell, rows.days), 1.0, {},
    )  # fmt: skip


def _with_priors(observed: Observed) -> Observed:
    priors = observed.model.bind(observed.table()).priors
    return Observed(**{**vars(observed), "priors": {name: prior.to_json() for name, prior in priors.items()}})


def _episodes(rows: Observed) -> Episodes:
    n = len(rows.days)
    edges = [(float(column.min()), float(column.max())) for column in rows.x.T]
    columns = [PatternColumn(name, ("all",), pair) for name, pair in zip(NAMES, edges, strict=True)]
    return Episodes(
        schema=CellSchema(CHURN, (0.0, float(rows.days.max())), (*columns, PatternColumn("group", GROUPS))),
        customer_id=np.array([f"c{i}" for i in range(n)], dtype=object),
        spell=np.ones(n, np.int64),
        start=np.zeros(n),
        stop=rows.days,
        event=rows.event.astype(np.int64),
        codes=np.column_stack([np.zeros((n, N_COVARIATES), np.int64), rows.group]),
        values=(*np.ascontiguousarray(rows.x.T), None),
        weight=None,
        n_spells=n,
    )


def _cells(rows: Observed) -> CellTable:
    whole = np.floor(rows.days)
    n = len(whole)
    columns = tuple(PatternColumn(name, ("no", "yes")) for name in NAMES)
    return CellTable(
        schema=CellSchema(CHURN, BREAKS, (*columns, PatternColumn("group", GROUPS))),
        codes=np.column_stack([rows.x, rows.group]).astype(np.int64),
        period=rows.period.astype(np.int64),
        n_spells=np.ones(n, np.int64),
        n_at_stop=np.ones(n, np.int64),
        n_events=rows.event.astype(np.int64)[:, None],
        exposure_days=whole.astype(np.int64),
        exposure_rest=np.round((rows.days - whole) * 86_400_000_000).astype(np.int64),
    )
