"""Competing exits treated as censoring: the naive way is off by X, incidences are not.

The sizes are those of docs/explanation/mistakes.md. Truth: two constant hazards, for which the probability of leaving by
cause c within t days is the share of its hazard times 1 - exp(-total t) (Kalbfleisch and Prentice, 2002, section 8.2).
"""

from __future__ import annotations

import numpy as np
import pytest

from churnsurv import KaplanMeierModel, SpellTable, Value, churn_risk
from churnsurv.datasets import simulate_subscription
from churnsurv.hazards.competing import aalen_johansen
from churnsurv.hazards.nonparametric import kaplan_meier
from churnsurv.models.competing import CompetingFits
from churnsurv.models.cox import CoxModel
from churnsurv.tables.contracts import Cancellation
from churnsurv.tables.episodes import Episodes
from churnsurv.tables.open_spells import OpenSpells
from churnsurv.tables.periods import PeriodTable

pytestmark = pytest.mark.filterwarnings("ignore:a customer's repeated contracts:churnsurv.errors.ApproximationWarning")

RATES = {"cancelled": 0.002, "payment_failed": 0.003}
TOTAL = sum(RATES.values())


def truth(cause: str, days: float) -> float:
    return RATES[cause] / TOTAL * -np.expm1(-TOTAL * days)


@pytest.fixture(scope="module")
def business():
    """Constant hazards, everybody alike; contracts that began up to three years before the window enter late."""
    return simulate_subscription(
        6_000, rng=3, breaks=(0.0,), hazards={cause: (rate,) for cause, rate in RATES.items()}, frailty_variance=0.0,
        countries={"here": 0.0}, plans={"one": dict.fromkeys(RATES, 0.0)}, return_hazard=0.0,
    )  # fmt: skip


@pytest.fixture(scope="module")
def spells(business):
    return SpellTable.from_events(business.log, business.window, Cancellation(tuple(RATES), origin="kind:signup"))


def at(curve, values, days):
    return values[np.searchsorted(curve.times, days, side="right") - 1]


def test_one_minus_kaplan_meier_of_each_cause(spells):
    """After a year: 0.52 and 0.66 instead of 0.34 and 0.50; after two years the two chances add up to 1.68."""
    data = spells.arrays()
    naive, error = {}, {}
    for k, cause in enumerate(RATES, 1):
        curve = kaplan_meier(data["exit"], data["event"] == k, entry=data["entry"])
        naive[cause] = [1 - at(curve, curve.survival, days) for days in (365.0, 730.0)]
        error[cause] = at(curve, curve.standard_error, 365.0)
    for cause, rate in RATES.items():
        assert naive[cause][0] == pytest.approx(-np.expm1(-rate * 365), abs=4 * error[cause])  # of another question
        assert naive[cause][0] > truth(cause, 365) + 0.14
    assert naive["cancelled"][0] == pytest.approx(0.52, abs=0.03)
    assert truth("cancelled", 365) == pytest.approx(0.335, abs=1e-3)
    assert sum(one[1] for one in naive.values()) > 1.6

    right = aalen_johansen(data["exit"], data["event"], entry=data["entry"])
    for k, cause in enumerate(RATES):
        found, spread = (at(right, values[k], 365.0) for values in (right.cumulative_incidence, right.standard_error))
        assert found == pytest.approx(truth(cause, 365), abs=4 * spread)
        assert spread < 0.012
    total = right.cumulative_incidence.sum(axis=0)
    assert (total <= 1 + 1e-12).all()


@pytest.fixture(scope="module")
def curves(spells):
    return CompetingFits({cause: KaplanMeierModel().fit(spells.with_cause(cause)) for cause in RATES})


def test_fits_of_causes_against_aalen_johansen(spells, curves):
    """Two roads to one number: curves of each cause put together, and the product over all event times."""
    data = spells.arrays()
    right = aalen_johansen(data["exit"], data["event"], entry=data["entry"])
    some = next(OpenSpells.batches(spells, curves.schema)).take(np.arange(1))
    days = np.array([30.0, 90.0, 365.0, 730.0])
    found = curves.predict_cumulative_incidence(some, days)[0, 0, 0].to_numpy()
    expected = np.stack([at(right, right.cumulative_incidence.T, d) for d in days])
    assert found == pytest.approx(expected, abs=2e-3)
    assert (found.sum(axis=1) <= 1).all()


def test_what_is_told_to_customers(business, spells, curves):
    """Within a year, for those who are there now: 0.34 cancel. Fits alone would say 0.52, and 1.19 in all."""
    frame = churn_risk(curves, spells, [365]).frame()
    supported = frame[frame["status"] == "supported"]
    told = supported.groupby("cause")["churn_probability"].mean()
    for cause in RATES:
        assert told[cause] == pytest.approx(truth(cause, 365), abs=0.03)
    assert told["any"] == pytest.approx(told["cancelled"] + told["payment_failed"], abs=1e-12)
    naive = {
        cause: churn_risk(fit, spells.with_cause(cause), [365]).frame().query("status == 'supported'")["churn_probability"].mean()
        for cause, fit in curves.fits.items()
    }  # fmt: skip
    assert naive["cancelled"] > told["cancelled"] + 0.14
    assert sum(naive.values()) > 1.1
    future = business.future
    within = (future["days"] <= 365) & (future["event"] == 1)
    assert within.mean() == pytest.approx(told["cancelled"], abs=0.05)


def test_incidences_of_a_fitted_model_against_the_truth():
    """Plans act on the causes in different ways; each customer's true incidences, by cause, are recovered."""
    plans = {"annual": {"cancelled": -0.8, "payment_failed": 0.4}, "monthly": {"cancelled": 0.0, "payment_failed": 0.0}}
    business = simulate_subscription(4_000, rng=5, frailty_variance=0.0, countries={"here": 0.0}, plans=plans)
    churn = Cancellation(business.truth.causes, origin="kind:signup")
    spells = SpellTable.from_events(business.log, business.window, churn)
    rows = Episodes.from_periods(PeriodTable.from_spells(spells, features=[Value("signup", "plan", name="plan")]))
    fits = {cause: CoxModel("plan").fit(rows.with_cause(cause), rng=1) for cause in churn.causes}
    risk = churn_risk(fits, spells, [90], n_draws=200)
    frame = risk.frame().query("status == 'supported'")
    true = business.true_incidence(90.0)
    place = {name: k for k, name in enumerate(business.open_customers)}
    ratio = [np.exp(fits[cause].coef["plan[monthly]"]) for cause in churn.causes]
    assert ratio == pytest.approx(np.exp([0.8, -0.4]), rel=0.15)
    for k, cause in enumerate(churn.causes):
        mine = frame[frame["cause"] == cause]
        wanted = true[[place[name] for name in mine["customer_id"]], k]
        error = mine["churn_probability"].to_numpy() - wanted
        assert abs(error.mean()) < 0.1 * wanted.mean()
        assert error.std() < 0.015  # a step baseline, over 90 days of it
        inside = (mine["lower"].to_numpy() <= wanted) & (wanted <= mine["upper"].to_numpy())
        assert inside.mean() > 0.7
