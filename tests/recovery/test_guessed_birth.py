"""Where tenure is taken to begin: the first event in a log is a birth only for whoever came after the log began."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from churnsurv.datasets import simulate_subscription
from churnsurv.errors import DataWarning
from churnsurv.hazards.nonparametric import kaplan_meier
from churnsurv.tables.contracts import Cancellation
from churnsurv.tables.events import EventLog
from churnsurv.tables.spells import SpellTable

CAUSES = ("cancelled", "payment_failed")
AT = np.array([60.0, 365.0])
TRUTH = np.exp(-np.array([60 * 0.0048, 60 * 0.0048 + 120 * 0.0031 + 185 * 0.0021]))
"""Survival to 60 and 365 days of tenure in closed form: 0.750 and 0.350."""


@pytest.fixture(scope="module")
def business():
    alike = {"countries": {"A": 0.0}, "plans": {"only": dict.fromkeys(CAUSES, 0.0)}, "frailty_variance": 0.0}
    return simulate_subscription(25_000, rng=8, return_hazard=0.0, **alike)


@pytest.fixture(scope="module")
def tenures(business, engine):
    """Survival and its standard error at 60 and 365 days by origin; the log begins with the window, invoices come monthly."""

    def build(origin, **options):
        table = business.frame(invoice_days=30.0, **{"early_signups": False, **options})
        named = {"origin": "signed_up"} if "signed_up" in options else {}
        log = EventLog.from_frame(
            table, customer="customer_id", time="time", kind="kind", timezone="UTC", engine=engine, **named
        )
        arrays = SpellTable.from_events(log, business.window, Cancellation(CAUSES, origin=origin)).arrays()
        curve = kaplan_meier(arrays["exit"], arrays["event"] > 0, entry=arrays["entry"])
        return curve.survival_at(AT), curve.standard_error[np.searchsorted(curve.times, AT, "right") - 1]

    return build


def test_the_first_event_taken_for_the_beginning(tenures):
    """Whoever had been there for years starts at tenure 0, with the hazard of years."""
    with (
        pytest.warns(DataWarning, match="have their first event in the first 30 days of the window"),
        pytest.warns(
            DataWarning, match="contracts end at the very moment they begin"
        ),  # known by nothing but their end
    ):
        naive, _ = tenures("first")
    assert naive == pytest.approx([0.795, 0.428], abs=0.005)
    assert (naive - TRUTH > (0.04, 0.07)).all()


def test_a_burn_in_leaves_out_who_was_there_before(tenures):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        right, error = tenures("burn-in:60")
    assert (np.abs(right - TRUTH) < 3 * error).all()
    assert (error < 0.008).all()


@pytest.mark.parametrize(
    ("origin", "options"), [("kind:signup", {"early_signups": True}), ("column", {"signed_up": True})]
)
def test_a_sign_up_that_is_known_needs_no_guess(tenures, origin, options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        right, error = tenures(origin, **options)
    assert (np.abs(right - TRUTH) < 3 * error).all()
    assert (error < 0.006).all()
