"""A log that starts later than its customers shows survivors: without entry they make everyone look loyal.

Two truths known in closed form; the sizes are those of docs/explanation/prevalent.md.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from churnsurv.datasets import simulate_subscription
from churnsurv.hazards.nonparametric import kaplan_meier
from churnsurv.tables.contracts import Cancellation
from churnsurv.tables.spells import SpellTable

ALIKE = {"countries": {"A": 0.0}, "plans": {"only": {"cancelled": 0.0, "payment_failed": 0.0}}, "frailty_variance": 0.0}
CONTRACT = Cancellation(("cancelled", "payment_failed"), origin="kind:signup")


def survival(spells: SpellTable, t: float) -> tuple[float, float]:
    """Kaplan-Meier at a moment, all causes together, and its standard error."""
    arrays = spells.arrays()
    curve = kaplan_meier(arrays["exit"], arrays["event"] > 0, entry=arrays["entry"])
    return float(curve.survival_at([t])[0]), float(curve.standard_error[np.searchsorted(curve.times, t, "right") - 1])


@pytest.fixture(scope="module")
def prevalent():
    """Sign-ups over four years, Weibull tenures of shape 0.6 with S(365) = 1/4; the log covers the last year."""
    rng = np.random.default_rng(20)
    scale = 365 / np.log(4) ** (1 / 0.6)
    signed = rng.uniform(-3 * 365, 365, 40_000)
    tenure = np.maximum(scale * rng.weibull(0.6, len(signed)), 1e-6)
    seen = signed + tenure > 0
    duration = np.minimum(tenure, 365 - signed)
    columns = {"duration": duration, "left": signed + tenure < 365, "since": np.maximum(-signed, 0)}
    return pd.DataFrame(columns)[seen]


def test_weibull_tenures_seen_from_the_second_year_on(prevalent, engine):
    """Truth: S(365) = 0.25 in closed form."""
    named = {"duration": "duration", "event": "left", "unit": "day", "engine": engine}
    right, error = survival(SpellTable.from_durations(prevalent, entry="since", **named), 365.0)
    naive, _ = survival(SpellTable.from_durations(prevalent, **named), 365.0)
    assert abs(right - 0.25) < 3 * error
    assert error < 0.006
    assert naive == pytest.approx(0.493, abs=0.005)
    assert naive > right + 0.23


@pytest.fixture(scope="module")
def business():
    return simulate_subscription(25_000, rng=7, return_hazard=0.0, **ALIKE)


def test_a_log_of_survivors(business, engine):
    """Truth: S(365) = exp(-(60·0.0048 + 120·0.0031 + 185·0.0021)) = 0.3505. The log holds their sign-ups, and spells enter."""
    truth = np.exp(-(60 * 0.0048 + 120 * 0.0031 + 185 * 0.0021))
    spells = SpellTable.from_events(business.log, business.window, CONTRACT)
    right, error = survival(spells, 365.0)
    assert abs(right - truth) < 3 * error
    assert error < 0.006
    frame = spells.frame().assign(left=lambda f: f["event"] > 0)[["exit", "left"]].rename(columns={"exit": "duration"})
    naive, _ = survival(
        SpellTable.from_durations(frame, duration="duration", event="left", unit="day", engine=engine), 365.0
    )
    assert naive == pytest.approx(0.519, abs=0.005)
    assert naive > right + 0.16


def test_durations_with_entry_are_the_spells_of_the_log(business, engine):
    """Two roads: the log, and the true contracts handed over as durations with their entry."""
    spells = SpellTable.from_events(business.log, business.window, CONTRACT)
    true = business.spells.query("in_log")[["customer_id", "entry", "observed_duration", "observed_event"]]
    durations = SpellTable.from_durations(
        true.rename(columns={"entry": "since"}), duration="observed_duration", event="observed_event", entry="since",
        customer="customer_id", causes=CONTRACT.causes, unit="day", engine=engine,
    )  # fmt: skip
    assert durations.n_events == spells.n_events
    assert durations.exposure_us == spells.exposure_us
    names = ["customer_id", "entry", "exit", "event", "open"]
    assert durations.frame()[names].equals(spells.frame()[names])
