"""Small logs whose customers and pasts are told by hand, and logs at random, for several tests here."""

from __future__ import annotations

import warnings
from typing import Any

from hypothesis import strategies as st

from churnsurv.errors import DataWarning
from churnsurv.tables.churn import Silence
from churnsurv.tables.contracts import Cancellation
from churnsurv.tables.features import Arrival, Count, Recency, Value
from churnsurv.tables.spells import SpellTable
from churnsurv.tables.window import DAY_US, ObservationWindow

WINDOW = ObservationWindow("2024-01-01", "2024-03-01")
ORDERS = Silence(("order",), 20)
ENDING = Silence(("order",), 20, terminal=("close",))
QUIT = Cancellation(("quit", "unpaid"), origin="kind:signup")
ROWS = [
    ("a", "2024-01-11", "order", 10.0, "FR"), ("a", "2024-01-16", "order", 30.0, "FR"), ("a", "2024-02-05", "order", 20.0, "DE"),
    ("b", "2024-01-21", "order", 50.0, "DE"), ("b", "2024-01-31", "close"), ("c", "2024-01-03", "order", 5.0, "FR"),
]  # fmt: skip
CONTRACTS = [
    ("a", "2023-12-12", "signup"), ("a", "2024-01-21", "quit"), ("a", "2024-02-01", "signup"),
    ("b", "2024-01-11", "signup"), ("b", "2024-01-31", "unpaid"), ("c", "2023-11-02", "signup"),
]  # fmt: skip

KINDS = ("order", "signup", "close", "quit", "unpaid", "ticket")
EVENTS = st.lists(
    st.tuples(
        st.sampled_from("abcd"), st.integers(-20 * 86400, 60 * 86400 - 1), st.integers(0, 5), st.sampled_from([1.0, 2.5, 7.0])
    ), min_size=3, max_size=30,
)  # fmt: skip
"""Who, seconds after the window's start, kind, value."""
CASES: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {
    "gaps": (ENDING, {"features": [Value("order", "value"), Count("order", days=9)]}, {"value_order_value": [0, 2, 5]}),
    "arrivals": (ORDERS, {"features": [Arrival("ticket", "value"), Recency("order", days=3)]}, {"arrival_ticket_value": [0, 2, 5]}),
    "contracts": (QUIT, {"features": [Value("signup", "value", days=2)]}, {"value_signup_value_2d": [0, 2, 8]}),
    "plain contracts": (QUIT, {}, {}),
}  # fmt: skip
"""What churn is, how spells are split, and bins."""


def log_of(events):
    """Rows of drawn events, and one customer of whom every kind is known."""
    start = 1_704_067_200_000_000
    rows = [(who, start + second * 10**6, KINDS[kind], value, "x") for who, second, kind, value in events]
    return rows + [("e", start + (3 + k) * DAY_US, kind, 1.0, "x") for k, kind in enumerate(KINDS)]


def drawn_spells(make_log, events, churn):
    """Spells of drawn events; what is odd about them is no news."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        return SpellTable.from_events(make_log(log_of(events)), WINDOW, churn)
