"""Small businesses under contract, and fits of them that are made in a moment: what reports are made of here."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from churnsurv import (
    Cancellation,
    CoxModel,
    EventLog,
    KaplanMeierModel,
    ObservationWindow,
    PeriodTable,
    SpellTable,
    Value,
    WeibullModel,
)
from churnsurv.models.competing import CompetingFits
from churnsurv.tables.episodes import Episodes
from churnsurv.tables.features import Baseline

HOSTILE_PLAN = "</text></svg><script>alert(1)</script>"
HOSTILE_CAUSE = "failed</td><script>alert(2)</script>"
HAZARDS = {"cancelled": 0.004, HOSTILE_CAUSE: 0.002}
FASTER = {HOSTILE_PLAN: 2.0, "annual": 1.0}


def contract_log(n: int = 600, seed: int = 5) -> EventLog:
    """Sign-ups from 400 days before the window to its end, and two ways to leave at constant hazards."""
    rng = np.random.default_rng(seed)
    start = np.datetime64("2023-01-01", "s")
    born = rng.uniform(-400, 730, n)
    plan = np.where(rng.random(n) < 0.5, HOSTILE_PLAN, "annual")
    speed = np.array([FASTER[name] for name in plan])
    waits = np.column_stack([rng.exponential(1 / (rate * speed)) for rate in HAZARDS.values()])
    gone, cause = born + waits.min(axis=1), np.array(list(HAZARDS))[waits.argmin(axis=1)]
    rows = [
        (f"c{k:03d}", day, kind, plan[k])
        for k in range(n)
        for day, kind in ((born[k], "signup"), (gone[k], str(cause[k])))
        if gone[k] > 0 and day < 730
    ]
    again = rng.choice(np.flatnonzero((gone > 0) & (gone < 500)), 30, replace=False)
    rows += [(f"c{k:03d}", gone[k] + 20.0, "signup", plan[k]) for k in again]
    frame = pa.table(
        {
            "customer_id": [row[0] for row in rows],
            "time": pa.array([start + np.timedelta64(round(row[1] * 86_400), "s") for row in rows]),
            "kind": [row[2] for row in rows],
            "plan": [row[3] for row in rows],
        }
    )
    return EventLog.from_frame(
        frame, customer="customer_id", time="time", kind="kind", labels=("plan",), timezone="UTC"
    )


def contracts() -> SpellTable:
    """Contracts of two causes, a third of them entering late, thirty of them second ones."""
    window = ObservationWindow("2023-01-01", "2024-12-31")
    return SpellTable.from_events(contract_log(), window, Cancellation(tuple(HAZARDS), origin="kind:signup"))


def contract_rows(spells: SpellTable) -> Episodes:
    """Rows with the plan of the sign-up."""
    periods = PeriodTable.from_spells(spells, features=(Value("signup", "plan", name="plan"),))
    return Episodes.from_periods(periods)


def fit_both(spells: SpellTable) -> CompetingFits:
    """A Cox model of the one cause, a Weibull of the other."""
    rows = contract_rows(spells)
    models = (CoxModel("plan"), WeibullModel("plan"))
    return CompetingFits(
        {
            cause: model.fit(rows.with_cause(cause), rng=1, draws=200)
            for cause, model in zip(HAZARDS, models, strict=True)
        }
    )


def durations(n: int = 500, seed: int = 3) -> SpellTable:
    """Durations in days of two plans and a price, no dates."""
    rng = np.random.default_rng(seed)
    plan = rng.choice(["annual", "monthly"], n)
    price = rng.uniform(10, 50, n)
    days = rng.exponential(200 / np.where(plan == "monthly", 2.0, 1.0))
    seen = rng.uniform(50, 700, n)
    frame = pa.table(
        {
            "days": np.minimum(days, seen), "left": (days < seen).astype(int), "plan": plan, "price": price,
        }
    )  # fmt: skip
    return SpellTable.from_durations(
        frame, duration="days", event="left", unit="day", values=("price",), labels=("plan",)
    )


def fit_durations(spells: SpellTable, name: str):
    """Fit one of the models to durations."""
    if name == "km":
        return KaplanMeierModel().fit(spells)
    rows = Episodes.from_periods(PeriodTable.from_spells(spells, features=(Baseline("plan"), Baseline("price"))))
    models = {
        "cox": CoxModel("plan + price"),
        "weibull": WeibullModel("plan + price"),
        "shape": WeibullModel("plan + price", shape="plan"),
    }
    return models[name].fit(rows, rng=1, draws=200)
