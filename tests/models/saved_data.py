"""A small shop whose customers differ, and fits of it that are saved in tests."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pyarrow as pa

from churnsurv.models.base import FitInfo
from churnsurv.models.competing import CompetingFits
from churnsurv.models.hierarchical.density import Natural
from churnsurv.models.hierarchical.fit import HierarchicalFit
from churnsurv.models.hierarchical.model import HierarchicalModel
from churnsurv.models.hierarchical.priors import LKJ, Exponential, Normal
from churnsurv.models.hierarchical.sampling import posterior_tree
from churnsurv.tables.cells import CellTable
from churnsurv.tables.churn import Silence
from churnsurv.tables.engines import Engine
from churnsurv.tables.episodes import Episodes
from churnsurv.tables.events import EventLog
from churnsurv.tables.features import Count, Value
from churnsurv.tables.periods import PeriodTable
from churnsurv.tables.spells import SpellTable
from churnsurv.tables.window import ObservationWindow

BREAKS = [0, 5, 15, 40, 90]
CHURN = Silence(("order",), 90)
FEATURES = [Value("order", "plan", name="plan"), Value("order", "country", name="country")]

COMPOSITIONS = {
    "frailty": HierarchicalModel(
        "plan", groups={"country": "1 + plan"}, frailty="gamma", priors={"country_effect_correlation": LKJ(3.0)}
    ),
    "cure": HierarchicalModel("plan", groups=("country", "country:plan"), cure=True),
    "frailty and cure": HierarchicalModel("1", groups={"plan": "1", "country": "1"}, cure=True, frailty="gamma"),
    "shapes": HierarchicalModel("1", groups=("plan",), shape_groups=("country",), priors={"walk_sd": Exponential(0.5)}),
    "calendar": HierarchicalModel("plan", calendar=True, priors={"intercept": Normal(-3, 1)}),
    "terms": HierarchicalModel("plan * country"),
    "weibull": HierarchicalModel("plan + orders", groups={"country": "1 + orders"}, baseline="weibull"),
    "lognormal": HierarchicalModel("orders", shape_groups=("country",), baseline="lognormal", frailty="gamma"),
}
"""Every part that a composition can have, in one of these at least."""


@cache
def shop_spells(n_customers: int, prefix: str = "c", *, closing: bool = False) -> SpellTable:
    """Orders of half a year, with gaps that are exponential around a rhythm of the customer's own; some close."""
    rng = np.random.default_rng(0)
    rows = []
    for k in range(n_customers):
        rhythm = rng.gamma(2.0, 0.5) * (0.05 + 0.04 * (k % 2) + 0.01 * (k % 5))
        at = rng.uniform(0, 60)
        while at < 180:
            rows.append((f"{prefix}{k:06d}", at, "order", ("basic", "plus")[k % 2], "ABCDE"[k % 5]))
            at += 1 + rng.exponential(1 / rhythm)
        if closing and k % 3 == 0:
            rows.append((f"{prefix}{k:06d}", 0.5 * (rows[-1][1] + 181), "close", "", ""))
    who, day, kind, plan, country = zip(*rows, strict=True)
    start = np.datetime64("2024-01-01", "us").astype(np.int64)
    when = (start + np.array(day) * 86_400e6).astype(np.int64)
    frame = pa.table({"who": who, "when": when, "kind": kind, "plan": plan, "country": country})
    log = EventLog.from_frame(
        frame, customer="who", time="when", epoch_unit="us", timezone="UTC", kind="kind", labels=("plan", "country"),
        engine=Engine(threads=1),
    )  # fmt: skip
    churn = Silence(("order",), 90, terminal=("close",)) if closing else CHURN
    return SpellTable.from_events(log, ObservationWindow("2024-01-01", "2024-07-01"), churn)


@cache
def shop_table(name: str, n_customers: int = 100, prefix: str = "c"):
    """What a composition is fitted on: cells with customers, cells by month, or rows with a number."""
    model, spells = COMPOSITIONS[name], shop_spells(n_customers, prefix)
    if model.fits_on == "episodes":
        periods = PeriodTable.from_spells(spells, features=[*FEATURES, Count("order", days=30, name="orders")])
        return Episodes.from_periods(periods)
    split = {"calendar": "month"} if model.calendar else {}
    # Who has left for good can be told from who comes back late only where the breaks reach both.
    breaks = [*BREAKS, 190] if model.cure else BREAKS
    periods = PeriodTable.from_spells(spells, features=FEATURES, breaks=breaks, **split)
    return CellTable.from_periods(periods, customers=not model.calendar)


def made_up_causes() -> CompetingFits:
    """Returns and closures, each with a frailty of its own."""
    spells = shop_spells(100, closing=True)
    cells = CellTable.from_periods(PeriodTable.from_spells(spells, features=FEATURES, breaks=BREAKS), customers=True)
    models = {"return": COMPOSITIONS["frailty"], "closure": HierarchicalModel("country", frailty="gamma")}
    return CompetingFits({cause: made_up(model, cells.with_cause(cause)) for cause, model in models.items()})


def made_up_fit(name: str, *, n_customers: int = 100, draws: int = 8, prefix: str = "c") -> HierarchicalFit:
    """A fit of one composition of the shop that no sampler has made."""
    return made_up(COMPOSITIONS[name], shop_table(name, n_customers, prefix), draws=draws)


def made_up(model: HierarchicalModel, table, *, draws: int = 8) -> HierarchicalFit:
    """A fit whose draws come from no sampler: what they say does not matter, only that they say it again."""
    problem, rng = model.bind(table), np.random.default_rng(1)
    layout, shape = problem.structure.layout, (2, draws)
    natural = Natural(
        problem.start + rng.normal(0, 0.2, (*shape, layout.n_fixed)),
        rng.normal(0, 0.2, (*shape, layout.n_random)),
        0.3 * np.exp(rng.normal(0, 0.2, (*shape, layout.n_sd))),
        rng.normal(0, 0.3, (*shape, layout.n_free)),
    )
    mean = Natural(*(getattr(natural, part).mean(axis=(0, 1)) for part in ("fixed", "random", "sd", "free")))
    stats = {"energy": rng.normal(size=shape), "diverging": np.zeros(shape, bool)}
    posterior = posterior_tree(*problem.structure.named(natural), stats)
    info = FitInfo("ok", 1.0, 400.0, 0, 0.9, 0.0, n_draws=2 * draws, independent_gaps=model.frailty is None)
    info = replace(info, cause=getattr(table, "cause", None) or "")
    at_stop = np.arange(table.schema.n_periods)[::-1] + 20
    return HierarchicalFit.from_problem(model, problem, table.schema, at_stop, posterior, info, mean=mean, seed=1)
