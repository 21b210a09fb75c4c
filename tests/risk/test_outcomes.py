"""What became of customers at a cutoff, by hand: silence, returns, closures, contracts, and logs that end too early."""

from __future__ import annotations

import numpy as np
import pytest

from churnsurv.risk.outcomes import UNKNOWN, CutoffOutcomes
from churnsurv.tables.churn import Silence
from churnsurv.tables.contracts import Cancellation
from churnsurv.tables.spells import SpellTable
from churnsurv.tables.window import ObservationWindow

CUTOFF, DAYS = "2024-02-01", (10.0, 20.0, 30.0)
UNTIL = ("2024-01-01", "2024-03-02")  # the log goes on for 30 days


def outcomes_of(make_log, rows, churn, until=UNTIL):
    window, log = ObservationWindow(*until), make_log(rows)
    full = SpellTable.from_events(log, window, churn)
    then = SpellTable.from_events(log.before(CUTOFF), window.ending(CUTOFF), churn)
    return CutoffOutcomes.between(then, full)


SHOP = [
    ("back", "2024-01-27"), ("back", "2024-02-10"),  # silent for 5 days, back after 14
    ("edge", "2024-01-27"), ("edge", "2024-02-16"),  # back on the very day on which 20 days are complete: too late
    ("gone", "2024-01-22"),  # silent for 10 days: churns 10 days after the cutoff
    ("late", "2024-01-31"),  # 1 day silent: churns after 19 days
    ("lost", "2024-01-05"),  # 27 days silent: churned before
    ("soon", "2024-01-13"),  # 19 days silent: churns tomorrow
]  # fmt: skip


def test_silence(make_log):
    found = outcomes_of(make_log, [(who, f"{day}T00:00:00") for who, day in SHOP], Silence(("order",), 20))
    assert found.customer_id.tolist() == ["back", "edge", "gone", "late", "lost", "soon"]
    assert found.reached.tolist() == [5, 5, 10, 1, 27, 19]
    assert found.churned_before.tolist() == [False, False, False, False, True, False]
    churn = dict(zip(found.customer_id, found.churn(np.array(DAYS)).tolist(), strict=True))
    assert churn == {
        "back": [0, 0, 0], "edge": [0, 1, 1], "gone": [1, 1, 1], "late": [0, 1, 1], "lost": [1, 1, 1], "soon": [1, 1, 1],
    }  # fmt: skip
    time, cause = found.times()
    assert time[[0, 1, 2, 3, 5]].tolist() == [np.inf, 15, 10, 19, 1]
    assert cause[[0, 1, 2, 3, 5]].tolist() == [0, 1, 1, 1, 1]
    quiet = dict(zip(found.customer_id, found.no_return(np.array([8.0, 9.0, 15.0, 30.0])).tolist(), strict=True))
    assert quiet["back"] == [1, 0, 0, 0]
    assert quiet["edge"] == [1, 1, 0, 0]
    assert quiet["gone"] == [1, 1, 1, 1]


def test_a_log_that_ends_too_early_knows_what_it_knows(make_log):
    """Ten days of log: who churns on day 15 is not known yet, nor who is back by then; what cannot be by day 12 is."""
    rows = [(who, f"{day}T00:00:00") for who, day in SHOP if day < "2024-02-11"]
    found = outcomes_of(make_log, rows, Silence(("order",), 20), ("2024-01-01", "2024-02-11"))
    churn = dict(zip(found.customer_id, found.churn(np.array([10.0, 12.0, 15.0, 20.0])).tolist(), strict=True))
    assert churn["back"] == [0, 0, 0, 0]
    assert churn["edge"] == [0, 0, UNKNOWN, UNKNOWN]
    assert churn["gone"] == [1, 1, 1, 1]
    assert churn["late"] == [0, 0, 0, UNKNOWN]
    time, cause = found.times()
    assert time.tolist()[1] == pytest.approx(15.0, abs=1e-9)
    assert cause.tolist()[1] == 0
    assert found.no_return(np.array([10.0, 11.0]))[1].tolist() == [1, UNKNOWN]


def test_a_closure_is_churn_by_another_way(make_log):
    rows = [("a", "2024-01-27T00:00:00"), ("a", "2024-02-04T00:00:00", "closed"), ("b", "2024-01-22T00:00:00"),
            ("c", "2024-01-29T00:00:00"), ("c", "2024-02-04T00:00:00")]  # fmt: skip
    found = outcomes_of(make_log, rows, Silence(("order",), 20, terminal=("closed",)))
    assert found.churn(np.array([2.0, 3.0, 10.0, 30.0])).tolist() == [[0, 2, 2, 2], [0, 0, 1, 1], [0, 0, 0, 0]]


def test_contracts(make_log):
    rows = [("a", "2024-01-10T00:00:00", "signup"), ("a", "2024-02-11T00:00:00", "quit"),
            ("b", "2024-01-10T00:00:00", "signup"), ("b", "2024-02-05T00:00:00", "unpaid"),
            ("c", "2024-01-20T00:00:00", "signup"), ("d", "2024-02-03T00:00:00", "signup")]  # fmt: skip
    found = outcomes_of(make_log, rows, Cancellation(("quit", "unpaid"), origin="kind:signup"))
    assert found.customer_id.tolist() == ["a", "b", "c"]
    assert found.churn(np.array([*DAYS, 31.0])).tolist() == [[1, 1, 1, 1], [2, 2, 2, 2], [0, 0, 0, UNKNOWN]]
    time, cause = found.times()
    assert (time.tolist(), cause.tolist()) == ([10, 4, 30], [1, 2, 0])
