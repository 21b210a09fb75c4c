"""The simulated subscription business against closed forms."""

import numpy as np
import pyarrow.compute as pc
import pytest

from churnsurv.datasets import simulate_subscription
from churnsurv.errors import ArgumentError
from churnsurv.hazards.nonparametric import kaplan_meier

ALIKE = {"countries": {"A": 0.0}, "plans": {"only": {"cancelled": 0.0, "payment_failed": 0.0}}}


@pytest.fixture(scope="module")
def business():
    return simulate_subscription(25_000, rng=3, season_amplitude=0.4, return_hazard=0.003, timezone="Europe/Berlin")


def z_scores(curve, times, expected):
    at = np.searchsorted(curve.times, times, side="right") - 1
    return (curve.survival[at] - expected) / curve.standard_error[at]


@pytest.mark.parametrize("theta", [0.0, 0.8])
def test_first_contracts_follow_the_marginal_survival(theta):
    business = simulate_subscription(20_000, rng=1, frailty_variance=theta, history_days=0, **ALIKE)
    first = business.spells.query("number == 1")
    times = np.array([10.0, 60.0, 120.0, 300.0, 600.0])
    # Both causes together: 0.0048, 0.0031, 0.0021, 0.0014 a day from day 0, 60, 180, 365.
    total = np.interp(times, [0, 60, 180, 365, 1365], np.cumsum([0, 0.288, 0.372, 0.3885, 1.4]))
    expected = np.exp(-total) if theta == 0 else (1 + theta * total) ** (-1 / theta)
    curve = kaplan_meier(first["observed_duration"], first["observed_event"] > 0)
    assert np.abs(z_scores(curve, times, expected)).max() < 4


def test_spent_hazard_is_standard_exponential(business):
    spells = business.spells
    curve = kaplan_meier(spells["frailty"] * spells["area"], spells["event"] > 0)
    x = np.array([0.05, 0.2, 0.5, 1.0, 2.0])
    assert np.abs(z_scores(curve, x, np.exp(-x))).max() < 4


def test_each_cause_has_its_share_by_plan():
    plans = {"monthly": {"cancelled": 0.0, "payment_failed": 0.0}, "annual": {"cancelled": -1.0, "payment_failed": 0.5}}
    hazards = {"cancelled": (0.004,), "payment_failed": (0.002,)}
    spells = simulate_subscription(
        20_000, rng=2, breaks=(0,), hazards=hazards, plans=plans, countries={"A": 0.0}
    ).spells
    for plan, effects in plans.items():
        rows = (spells["plan"] == plan) & (spells["event"] > 0)
        cancelled, failed = 0.004 * np.exp(effects["cancelled"]), 0.002 * np.exp(effects["payment_failed"])
        expected = cancelled / (cancelled + failed)
        observed = (spells.loc[rows, "event"] == 1).mean()
        assert observed == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / rows.sum()))


@pytest.mark.parametrize("frailty", ["known", "posterior"])
def test_true_survival_and_incidence_are_calibrated(business, frailty):
    future = business.future
    for h in (30.0, 180.0, 365.0):
        survival, incidence = business.true_survival(h, frailty=frailty), business.true_incidence(h, frailty=frailty)
        assert survival + incidence.sum(axis=1) == pytest.approx(np.ones(len(future)), abs=1e-9)
        for cause in (1, 2):
            happened = ((future["event"] == cause) & (future["days"] <= h)).to_numpy()
            order = np.argsort(incidence[:, cause - 1], kind="stable")
            for part in np.array_split(order, 4):
                p = incidence[part, cause - 1]
                assert happened[part].sum() == pytest.approx(p.sum(), abs=4 * np.sqrt((p * (1 - p)).sum()))


def test_several_horizons_at_once(business):
    both = business.true_survival(np.array([30.0, 90.0]))
    assert both.shape == (len(business.future), 2)
    assert both[:, 1] == pytest.approx(business.true_survival(90.0))
    assert (np.diff(both, axis=1) <= 0).all()


def test_left_truncation_misleads_unless_entry_is_used():
    business = simulate_subscription(30_000, rng=5, frailty_variance=0.0, return_hazard=0.0, **ALIKE)
    spells = business.spells.query("in_log")
    truth = np.exp(-(0.288 + 0.372 + 0.3885))
    naive = kaplan_meier(spells["observed_duration"], spells["observed_event"] > 0)
    entered = kaplan_meier(spells["observed_duration"], spells["observed_event"] > 0, entry=spells["entry"])
    assert z_scores(entered, np.array([365.0]), truth)[0] == pytest.approx(0.0, abs=4)
    assert naive.survival_at([365.0])[0] > truth + 0.15


def test_log_holds_survivors_with_their_sign_up(business):
    start, end = business.window.resolve("Europe/Berlin")
    frame = business.frame()
    times, kind = pc.cast(frame["time"], "int64").to_numpy(), frame["kind"].to_numpy()
    assert (times[kind != "signup"] >= start).all()
    assert (times < end).all()
    assert (times[kind == "signup"] < start).any()
    spells = business.spells.query("in_log")
    assert (kind == "signup").sum() == len(spells)
    assert (kind == "cancelled").sum() == (spells["observed_event"] == 1).sum()
    assert (kind == "payment_failed").sum() == (spells["observed_event"] == 2).sum()
    whole, future = business.frame("all"), business.frame("future")
    gone = (business.spells["in_log"] == False).sum()  # noqa: E712
    assert whole.num_rows == frame.num_rows + future.num_rows + 2 * gone
    assert business.log.labels == ("country", "plan")


def test_customers_come_back_with_a_new_tenure(business):
    spells = business.spells
    again = spells[spells["number"] > 1]
    assert len(again) > 1_000
    previous = spells.shift(1).loc[again.index]
    assert (previous["customer_id"] == again["customer_id"]).all()
    assert (previous["event"] > 0).all()
    pause = (again["origin"] - previous["origin"]).dt.total_seconds() / 86_400 - previous["duration"]
    assert (pause > 0).all()
    assert simulate_subscription(500, rng=1, return_hazard=0.0).spells["number"].max() == 1


def test_three_causes_and_one():
    names = {"price": (0.002,), "moved": (0.001,), "died": (0.0005,)}
    three = simulate_subscription(4_000, rng=6, breaks=(0,), hazards=names)
    assert three.truth.causes == ("price", "moved", "died")
    counts = three.spells["event"].value_counts()
    assert counts[1] > counts[2] > counts[3] > 0
    one = simulate_subscription(200, rng=6, breaks=(0,), hazards={"cancelled": (0.002,)})
    assert one.true_incidence(30.0)[:, 0] == pytest.approx(1 - one.true_survival(30.0))


def test_same_seed_same_business():
    first, second, other = (simulate_subscription(400, rng=seed).frame("all") for seed in (1, 1, 2))
    assert first.equals(second)
    assert not first.equals(other)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"hazards": {}}, "at least one cause"),
        ({"hazards": {"signup": (0.1, 0.1, 0.1, 0.1)}}, "signup"),
        ({"hazards": {"cancelled": (0.1,)}}, "one hazard for each break"),
        ({"plans": {"basic": {"cancelled": 0.0}}}, "effect on each cause"),
        ({"plans": {}}, "effect on each cause"),
        ({"return_hazard": -0.1}, "sign-ups a day"),
        ({"future_days": float("inf")}, "future_days"),
    ],
)
def test_refuses_what_has_no_meaning(arguments, match):
    with pytest.raises(ArgumentError, match=match):
        simulate_subscription(10, rng=1, **arguments)


def test_horizons_beyond_the_simulated_future_are_refused(business):
    with pytest.raises(ArgumentError, match="future_days"):
        business.true_incidence(366.0)


@pytest.fixture(scope="module")
def small():
    return simulate_subscription(2_000, rng=4, return_hazard=0.003, timezone="Europe/Berlin")


def test_invoices_fall_due_every_so_many_days_of_a_running_contract(small):
    start, end = small.window.resolve("Europe/Berlin")
    frame = small.frame(invoice_days=30.0, signed_up=True).to_pandas()
    invoices = frame[frame["kind"] == "invoice"]
    due = (invoices["time"] - invoices["signed_up"]) / np.timedelta64(30, "D")
    assert due.to_numpy() == pytest.approx(np.rint(due))
    spells = small.spells.query("in_log")
    # One for each whole 30 days of observed tenure, less those before the window; none at the very end.
    due_by, due_before = (np.maximum(np.ceil(spells[name] / 30) - 1, 0) for name in ("observed_duration", "entry"))
    assert len(invoices) == (due_by - due_before).sum()
    when = invoices["time"].dt.as_unit("us").astype("int64")
    assert when.between(start, end, inclusive="left").all()


def test_a_log_that_begins_with_the_window_has_no_earlier_sign_ups(small):
    start, _ = small.window.resolve("Europe/Berlin")
    whole, short = small.frame().to_pandas(), small.frame(early_signups=False).to_pandas()
    late = whole["time"].dt.as_unit("us").astype("int64") >= start
    assert short.equals(whole[late].reset_index(drop=True))
    assert 0 < (~late).sum() < len(whole)


def test_each_row_may_say_when_its_contract_began(small):
    frame = small.frame(signed_up=True).to_pandas()
    assert (frame.loc[frame["kind"] == "signup", "signed_up"] == frame.loc[frame["kind"] == "signup", "time"]).all()
    ends = frame[frame["kind"] != "signup"]
    true = small.spells.query("observed_event > 0 and in_log")
    pairs = set(zip(true["customer_id"], true["origin"], strict=True))
    assert set(zip(ends["customer_id"].astype(str), ends["signed_up"], strict=True)) == pairs
    with pytest.raises(ArgumentError, match="invoice_days"):
        small.frame(invoice_days=0.0)
