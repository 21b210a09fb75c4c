"""A shop whose causal graph is known exactly: nobody returns before the experience with the last order is complete."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from churnsurv import Silence, SpellTable, Value, simulate_shop
from churnsurv.causes.network import CauseNetwork
from churnsurv.causes.nodes import Node
from churnsurv.datasets import Experience, ReturnEffects
from churnsurv.datasets.shop_simulation import ShopSimulation

BREAKS = (0.0, 10.0, 30.0, 60.0, 120.0)
EXPERIENCE = Experience(
    late=0.3, late_country={"near": -0.6, "far": 0.8}, late_season=0.0, review=0.7, longest_days=9.9,
    ticket=0.3, ticket_when_late=0.7,
)  # fmt: skip
EFFECTS = ReturnEffects(
    category={"gifts": 0.0}, high_value=0.0, previous_late=-0.25, previous_wait=(0.1, -0.3, -0.8), previous_rating=0.2
)
"""Everything about an order is known within 9.9 days, and the hazard of returning is 0 until day 10: what is known of the
previous order when the next one is placed does not depend on how soon that was."""

EDGES = [
    "country -> late -> wait -> rating -> churn",
    "late -> rating",
    "country -> churn",
    "late -> churn",
    "wait -> churn",
]
WAITS = ("under 4 h", "4 to 24 h", "over 24 h")
SHORT = {"over 24 h": "under 4 h", "4 to 24 h": "under 4 h"}
"""The intervention: whoever has a ticket is answered within four hours."""

COUNTRIES = {"near": 0.3, "far": -0.3}
POINTS = ("1", "2", "3", "4", "5")


def known_shop(n_customers: int, *, rng: int, **settings: Any) -> ShopSimulation:
    return simulate_shop(
        n_customers, rng=rng, start="2023-01-01", end="2024-01-01", history_days=300.0, future_days=0.0,
        breaks=BREAKS[:-1], hazards=(0.0, 0.02, 0.012, 0.006), season_amplitude=0.0, closure_hazard=0.0,
        **{"frailty_variance": 0.0, "countries": COUNTRIES, "effects": EFFECTS, "experience": EXPERIENCE} | settings,
    )  # fmt: skip


def nodes() -> list[Node]:
    return [
        Node("country", Value("order", "country")),
        Node(
            "late",
            Value("order", "previous_delivery"),
            levels={"on time": ["on time"], "late": ["late"], "first": ["none yet"]},
            missing="first",
        ),
        Node("wait", Value("order", "previous_wait"), levels={state: [state] for state in (*WAITS[::-1], "no ticket")}),
        Node(
            "rating", Value("order", "previous_rating"), levels={state: [state] for state in POINTS}, missing="none yet"
        ),
    ]


def network(**settings: Any) -> CauseNetwork:
    return CauseNetwork(nodes(), settings.pop("edges", EDGES), **settings)


def spells_of(shop: ShopSimulation) -> SpellTable:
    return SpellTable.from_events(shop.log, shop.window, Silence(kinds=("order",), days=60, merge=None))


def rating_shares(late: bool, wait: str | None, experience: Experience = EXPERIENCE) -> np.ndarray:
    """P(no review, 1, …, 5) after an order, given its delivery and its wait; ``None`` is no ticket."""
    latent = experience.rating_late * late
    latent += 0.0 if wait is None or wait == "no ticket" else experience.rating_wait[WAITS.index(wait)]
    below = 1 / (1 + np.exp(-(np.asarray(experience.rating_cuts) - latent)))
    shares = np.diff(np.concatenate([[0.0], below, [1.0]]))
    return np.concatenate([[1 - experience.review], experience.review * shares])


def log_rate(
    frame: pd.DataFrame, wait: pd.Series, rating: pd.Series | float, effects: ReturnEffects = EFFECTS
) -> np.ndarray:
    """Log hazard of the gaps, apart from the baseline and what is hidden."""
    country = frame["country"].astype(str).map(COUNTRIES).to_numpy()
    late = (frame["previous_delivery"] == "late").to_numpy() * effects.previous_late
    waited = wait.astype(str).map({"no ticket": 0.0, **dict(zip(WAITS, effects.previous_wait, strict=True))}).to_numpy()
    return country + late + waited + effects.previous_rating * np.asarray(rating)


def true_churn(
    shop: ShopSimulation, horizon: float, change: Mapping[str, str] | None = None, *, hidden: float = 0.0
) -> np.ndarray:
    """P(no return within the horizon) of every gap in the log, with waits replaced and ratings redrawn, in expectation."""
    gaps = shop.gaps[shop.gaps["in_log"]]
    level = shop.truth.cumulative_hazard(np.array(horizon)) * gaps["frailty"].to_numpy()
    wait = gaps["previous_wait"].astype(str)
    extra = (
        hidden * gaps["customer_id"].map(shop.customers.set_index("customer_id")["hidden"]).to_numpy()
        if hidden
        else 0.0
    )
    if change is None:
        points = (
            gaps["previous_rating"]
            .astype(str)
            .map({"none yet": 0.0, **{p: int(p) - 3.0 for p in POINTS}})
            .astype(float)
        )
        return np.exp(-level * np.exp(log_rate(gaps, wait, points.to_numpy()) + extra))
    new = wait.replace(dict(change))
    moved = (new != wait).to_numpy()
    total = np.zeros(len(gaps))
    first = (gaps["previous_delivery"] == "none yet").to_numpy()
    late = (gaps["previous_delivery"] == "late").to_numpy()
    for points in (None, 1, 2, 3, 4, 5):
        share = np.zeros(len(gaps))
        for lateness in (False, True):
            for state in (*WAITS, "no ticket"):
                here = (late == lateness) & (new == state).to_numpy()
                share[here] = rating_shares(lateness, state)[0 if points is None else points]
        share[first] = 1.0 if points is None else 0.0
        value = 0.0 if points is None else points - 3.0
        total += share * np.exp(-level * np.exp(log_rate(gaps, new, np.full(len(gaps), value)) + extra))
    # Who would not be touched keeps the rating she gave.
    return np.where(moved, total, true_churn(shop, horizon, hidden=hidden))
