"""A fit whose every number is known in closed form, on real tables: what a plot must show can be computed by hand."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest

from churnsurv.datasets import simulate_shop
from churnsurv.errors import ApproximationWarning
from churnsurv.models.base import FitInfo
from churnsurv.risk.predict import churn_risk
from churnsurv.tables.cells import CellTable
from churnsurv.tables.churn import Silence
from churnsurv.tables.features import Count, Value
from churnsurv.tables.periods import PeriodTable
from churnsurv.tables.schema import CellSchema
from churnsurv.tables.spells import SpellTable

RATE = 0.015
SPREAD = np.array([0.8, 1.0, 1.25])
"""The three posterior draws: a constant hazard RATE, times one of these, times what the country does."""

COUNTRIES = {"United Kingdom": 0.0, "France": 0.0, "Malta": 0.0, "Chad": 0.0}
FASTER = {"United Kingdom": 1.0, "France": 1.5, "Malta": 0.5, "Chad": 1.0}


@dataclass(frozen=True)
class ExponentialFit:
    """Three draws of a constant hazard, proportional between countries."""

    schema: CellSchema
    n_spells_at_stop: np.ndarray
    info: FitInfo = field(default_factory=lambda: FitInfo(status="ok", n_draws=3))
    n_draws: int = 3
    model: None = None

    def rate(self, rows):
        where = [column.name for column in self.schema.columns].index("country")
        labels = np.asarray(self.schema.columns[where].labels, dtype=object)
        return RATE * np.array([FASTER[name] for name in labels[rows.codes[:, where]]])

    def conditional_survival(self, rows, until, *, draws=None):
        chosen = np.arange(3) if draws is None else draws
        waited = np.maximum(until - rows.reached[:, None], 0.0)
        return np.exp(-SPREAD[chosen][:, None, None] * self.rate(rows)[:, None] * waited)

    def n_at_risk(self, times, rows=None):
        return np.append(self.n_spells_at_stop, 0)[self.schema.period_of(np.asarray(times))]

    def new_group(self, rows):
        return np.zeros(len(rows.codes), bool)

    def unseen(self, rows):
        return np.zeros(len(rows.codes), bool)


@pytest.fixture(scope="session")
def spells():
    shop = simulate_shop(700, rng=4, start="2024-01-01", end="2025-01-01", countries=COUNTRIES)
    frame = shop.frame().to_pandas()
    rng = np.random.default_rng(8)
    customers = frame["customer_id"].unique()
    country = dict(zip(customers, rng.choice(list(COUNTRIES), len(customers), p=[0.7, 0.27, 0.02, 0.01]), strict=True))
    frame["country"] = frame["customer_id"].map(country)
    from churnsurv.tables.events import EventLog

    log = EventLog.from_frame(
        frame[frame["kind"] == "order"], customer="customer_id", time="time", kind="kind", labels=("country",),
        values=("revenue",), timezone="UTC",
    )  # fmt: skip
    return SpellTable.from_events(log, shop.window, Silence(kinds=("order",), days=90))


@pytest.fixture(scope="session")
def cells(spells):
    features = (Count("order", days=90), Value("order", "country", name="country"))
    return CellTable.from_periods(PeriodTable.from_spells(spells, features=features))


@pytest.fixture(scope="session")
def fit(cells):
    at_stop = np.zeros(cells.schema.n_periods, np.int64)
    np.add.at(at_stop, cells.period, cells.n_at_stop)
    return ExponentialFit(cells.schema, at_stop)


@pytest.fixture(scope="session")
def risk(fit, spells):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ApproximationWarning)
        return churn_risk(fit, spells, [30, 60, 90], rng=1)


@pytest.fixture(scope="session")
def frame(risk) -> pd.DataFrame:
    return risk.frame()
