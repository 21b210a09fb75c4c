"""Traps of customers who were there before the log: each is wrong by X when entry or membership is taken naively."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from churnsurv import Cancellation, EventLog, Inactivity, KaplanMeierModel, ObservationWindow, SpellTable, as_of_check
from churnsurv.hazards.nonparametric import kaplan_meier
from churnsurv.tables.window import DAY_US, moment_of

START = 18_262 * DAY_US  # 2020-01-01


def visits(rng, begin, length, rate):
    """Customer and day of Poisson visits during each life."""
    count = rng.poisson(rate * length)
    who = np.repeat(np.arange(len(begin)), count)
    return who, begin[who] + rng.random(len(who)) * length[who]


def log_of(who, days, origin, kind="order"):
    kinds = [kind] * len(who) if isinstance(kind, str) else kind
    moments = {
        "t": START + np.rint(days * DAY_US).astype(np.int64),
        "o": START + np.rint(origin[who] * DAY_US).astype(np.int64),
    }
    rows = pa.table({"c": [f"c{k}" for k in who], "k": kinds, **moments})
    named = {"customer": "c", "time": "t", "kind": "k", "origin": "o"}
    return EventLog.from_frame(rows, **named, epoch_unit="us", timezone="UTC")


def between(first, last):
    return ObservationWindow(*(moment_of(START + round(day * DAY_US)) for day in (first, last)))


def test_inactivity_enters_when_the_log_knows_who_is_alive():
    """S(500): 0.20 on the whole history; entering at the first activity of the last year would give 0.28."""
    rng = np.random.default_rng(5)
    end, n = 2190.0, 9_000
    origin = rng.uniform(0, end, n)
    who, days = visits(rng, origin, rng.exponential(400, n), 1 / 25)
    who, days = np.concatenate([np.arange(n), who]), np.concatenate([origin, days])
    seen = days < end
    who, days = who[seen], days[seen]
    churn = Inactivity(90, ("order",), origin="column")

    def curve(first):
        kept = days >= first
        spells = SpellTable.from_events(log_of(who[kept], days[kept], origin), between(first, end), churn)
        frame = spells.frame().query("spell == 1")
        born = START + np.rint(origin[frame["customer_id"].str[1:].astype(int)] * DAY_US)
        frame = frame[np.abs(frame["origin"] - born) < 2]  # the first life of each customer
        return frame, kaplan_meier(frame["exit"], frame["event"], entry=frame["entry"])

    times = np.array([365.0, 500.0, 730.0])
    _, whole = curve(0.0)
    last_year, late = curve(end - 365)
    told = late.survival_at(times)
    error = np.interp(times, late.times, late.standard_error)
    assert np.all(np.abs(told - whole.survival_at(times)) < 3 * error)
    naive = np.maximum(0.0, np.where(last_year["entry"] > 0, last_year["entry"] - 89.0, 0.0))  # a day into the window
    wrong = kaplan_meier(last_year["exit"], last_year["event"], entry=naive).survival_at(times)
    assert np.all(wrong - whole.survival_at(times) > 0.03)


def test_a_check_remembers_contracts_that_later_rows_name():
    """True risk 0.259. Of 1,500 customers of the cutoff two thirds have no earlier row; the others have chosen themselves."""
    rng = np.random.default_rng(6)
    end, n = 730.0, 4_000
    origin, life = rng.uniform(0, end, n), rng.exponential(300, n)
    seen = np.minimum(life, end - origin)
    who, days = visits(rng, origin, seen, 1 / 400)
    left = origin + life < end
    everyone = np.arange(n)
    who = np.concatenate([who, everyone])
    days = np.concatenate([days, np.where(left, origin + life, end - 1e-4)])
    kind = np.concatenate([np.full(len(who) - n, "login"), np.where(left, "cancelled", "snapshot")])
    log = log_of(who, days, origin, kind.tolist())
    spells = SpellTable.from_events(log, between(0, end), Cancellation(("cancelled",), origin="column"))
    check = as_of_check(spells, KaplanMeierModel(), horizon=90)
    there = (origin < end - 90) & (origin + life > end - 90)
    told = there & (end - 90 - origin < end - 180 - origin[there].min())  # beyond the oldest nothing can be told
    assert check.n_customers == told.sum() > 0.9 * there.sum()
    assert check.expected / check.n_customers == pytest.approx(-np.expm1(-90 / 300), abs=0.015)
    assert check.lower <= check.observed <= check.upper
