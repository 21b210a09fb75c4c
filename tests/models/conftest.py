"""Small cell tables, made by hand or simulated from a known hazard."""

from __future__ import annotations

import numpy as np
import pytest

from churnsurv.tables.cells import CellTable
from churnsurv.tables.churn import Silence
from churnsurv.tables.schema import CellSchema, PatternColumn

CHURN = Silence(kinds=("order",), days=90)
PLAN = PatternColumn("plan", ("basic", "plus", "pro"))


def make_cells(events, exposure, codes, period, *, columns, breaks, at_stop=None, spells=None):
    """Build a cell table from arrays; exposure in whole or fractional days."""
    exposure = np.asarray(exposure, float)
    days = np.floor(exposure).astype(np.int64)
    rest = np.round((exposure - days) * 86_400_000_000).astype(np.int64)
    n = len(days)
    count = np.asarray(events, np.int64).reshape(n, -1)
    return CellTable(
        schema=CellSchema(CHURN, tuple(float(edge) for edge in breaks), tuple(columns)),
        codes=np.asarray(codes, np.int64).reshape(n, len(columns)),
        period=np.asarray(period, np.int64),
        n_spells=np.ones(n, np.int64) if spells is None else np.asarray(spells, np.int64),
        n_at_stop=np.full(n, 40, np.int64) if at_stop is None else np.asarray(at_stop, np.int64),
        n_events=count,
        exposure_days=days,
        exposure_rest=rest,
    )


def grid_cells(log_hazard, exposure, rng, *, columns, breaks):
    """Poisson counts on the full grid of patterns x periods; ``log_hazard(codes, period)`` is the truth."""
    sizes = [len(column.labels) for column in columns] + [len(breaks) - 1]
    grid = np.stack([axis.ravel() for axis in np.indices(sizes)], axis=1)
    codes, period = grid[:, :-1], grid[:, -1]
    days = np.broadcast_to(exposure(codes, period), period.shape).round()
    counts = rng.poisson(days * np.exp(log_hazard(codes, period)))
    return make_cells(counts, days, codes, period, columns=columns, breaks=breaks)


@pytest.fixture
def plan_column():
    return PLAN


def shop_table():
    """Three plans, two price bands, five countries, four periods."""
    price = PatternColumn("price", ("0–10", "10–50"), (0.0, 10.0, 50.0))
    country = PatternColumn("country", tuple("ABCDE"))
    effect = np.array([0.4, -0.2, 0.1, 0.0, -0.3])

    def log_hazard(codes, period):
        return -3.5 - 0.3 * period + 0.3 * (codes[:, 0] == 1) - 0.2 * codes[:, 1] + effect[codes[:, 2]]

    return grid_cells(
        log_hazard,
        lambda codes, period: 400.0 / (1 + period) * (1 + (codes[:, 0] == 0)),
        np.random.default_rng(3),
        columns=(PLAN, price, country),
        breaks=(0.0, 7.0, 14.0, 30.0, 90.0),
    )


@pytest.fixture
def shop_cells():
    return shop_table()
