"""Risk of contracts against closed forms: one cause, several, the wrong questions, and whose log it was."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from churnsurv import (
    CellTable,
    EventLog,
    KaplanMeierModel,
    ObservationWindow,
    PeriodTable,
    Silence,
    SpellTable,
    Value,
    churn_risk,
)
from churnsurv.datasets import simulate_subscription
from churnsurv.errors import (
    ApproximationWarning,
    ArgumentError,
    DefinitionError,
    HorizonError,
    UnreachableHorizonError,
    UnreliableFitError,
)
from churnsurv.models.base import FitInfo
from churnsurv.models.competing import CompetingFits
from churnsurv.tables.contracts import Cancellation, Inactivity
from tests.risk.exact_fit import ExactFit

BREAKS = (0.0, 30.0, 90.0, 500.0)
OK = FitInfo(status="ok", independent_gaps=False)
TWO = Cancellation(("cancelled", "payment_failed"), origin="kind:signup")


def contracts(rows, churn=TWO, end="2024-07-01") -> SpellTable:
    """Rows ``(who, day, kind, plan)``."""
    who, at, kind, plan = zip(*rows, strict=True)
    table = pa.table({"who": who, "at": at, "kind": kind, "plan": pa.array(plan, pa.string())})
    log = EventLog.from_frame(
        table, customer="who", time="at", kind="kind", labels=("plan",), time_format="iso", timezone="UTC"
    )
    return SpellTable.from_events(log, ObservationWindow("2024-01-01", end), churn)


@pytest.fixture(scope="module")
def four():
    """Tenures of 10, 40 and 200 days on 1 July; one has left by each cause."""
    return contracts([
        ("new", "2024-06-21", "signup", "basic"),
        ("some", "2024-05-22", "signup", "pro"),
        ("old", "2023-12-14", "signup", "pro"),
        ("gone", "2024-02-01", "signup", "basic"),
        ("gone", "2024-03-01", "cancelled", None),
        ("failed", "2024-02-01", "signup", "pro"),
        ("failed", "2024-04-01", "payment_failed", None),
    ])  # fmt: skip


def fit_for(spells, hazard, factor=1.0, info=OK, features=(), **more) -> ExactFit:
    schema = CellTable.from_periods(PeriodTable.from_spells(spells, breaks=BREAKS, features=features)).schema
    hazard = np.atleast_2d(hazard).astype(float)
    factor = np.atleast_2d(factor).astype(float)
    return ExactFit(schema, hazard, np.broadcast_to(factor, (len(hazard), factor.shape[1])), info, **more)


def row(frame, customer, horizon, cause="any"):
    found = frame[(frame["customer_id"] == customer) & (frame["horizon"] == horizon) & (frame["cause"] == cause)]
    return found.iloc[0]


CONSTANT = [[0.002] * 3, [0.006] * 3]


def constant(spells, **more):
    return {cause: fit_for(spells, hazard, **more) for cause, hazard in zip(TWO.kinds, CONSTANT, strict=True)}


def test_two_constant_hazards(four):
    """Within h days 1 - exp(-0.008 h), a quarter of it cancelled: whatever the tenure."""
    risk = churn_risk(constant(four), four, [30, 90])
    frame = risk.frame()
    for customer in ("new", "some", "old"):
        for h in (30, 90):
            gone = -np.expm1(-0.008 * h)
            assert row(frame, customer, h)["churn_probability"] == pytest.approx(gone, abs=1e-14)
            assert row(frame, customer, h, "cancelled")["churn_probability"] == pytest.approx(gone / 4, abs=1e-14)
            assert row(frame, customer, h, "payment_failed")["churn_probability"] == pytest.approx(
                gone * 3 / 4, abs=1e-14
            )
    assert list(frame["cause"][:3]) == ["any", "cancelled", "payment_failed"]
    assert list(frame.columns) == [
        "customer_id", "horizon", "cause", "churn_probability", "lower", "upper", "status", "new_group", "tenure",
    ]  # fmt: skip
    assert frame.set_index("customer_id")["tenure"].to_dict() == {"new": 10.0, "some": 40.0, "old": 200.0}
    assert len(frame) == 3 * 2 * 3
    assert set(frame["status"]) == {"supported"}
    assert risk.n_already_churned == 0
    assert risk.causes == TWO.kinds
    assert isinstance(risk.fit, CompetingFits)


def test_one_cause_by_hand(four):
    """H(10) = 0.1, H(40) = 0.3 + 0.2 = 0.5, H(70) = 0.3 + 0.8 = 1.1."""
    churn = Cancellation(("cancelled",), origin="kind:signup")
    spells = SpellTable.from_events(four.log, four.window, churn)
    risk = churn_risk(fit_for(spells, [[0.01, 0.02, 0.03]]), spells, [30])
    frame = risk.frame()
    assert row(frame, "new", 30, "cancelled")["churn_probability"] == pytest.approx(-np.expm1(-(0.5 - 0.1)), abs=1e-14)
    assert row(frame, "some", 30, "cancelled")["churn_probability"] == pytest.approx(-np.expm1(-(1.1 - 0.5)), abs=1e-14)
    assert np.isnan(row(frame, "new", 30, "cancelled")["lower"])
    assert risk.frame("any").equals(frame)
    assert risk.totals(cause="cancelled").equals(risk.totals())
    assert risk.cause_sums == {}


def test_a_mapping_of_one_cause_is_that_cause(four):
    spells = SpellTable.from_events(four.log, four.window, Cancellation(("cancelled",), origin="kind:signup"))
    fit = fit_for(spells, [[0.01, 0.02, 0.03], [0.02, 0.02, 0.03]])
    frame, same = churn_risk({"cancelled": fit}, spells, [30]).frame(), churn_risk(fit, spells, [30]).frame()
    assert list(frame["cause"]) == list(same["cause"]) == ["cancelled"] * 3 + ["cancelled"]
    for name in ("churn_probability", "lower", "upper"):
        assert frame[name].to_numpy() == pytest.approx(same[name].to_numpy(), abs=1e-14)


def test_any_horizon_and_no_further_than_the_data(four):
    risk = churn_risk(constant(four), four, [365])
    frame = risk.frame("any")
    assert row(frame, "new", 365)["status"] == "supported"
    assert row(frame, "old", 365)["status"] == "refused"  # 200 + 365 days lie beyond the last break, 500
    assert np.isnan(row(frame, "old", 365)["churn_probability"])
    assert risk.totals()[["n_customers", "n_refused"]].to_numpy().tolist() == [[2, 1]]
    with pytest.raises(HorizonError, match="not ahead"):
        churn_risk(constant(four), four, [0])


def test_one_fit_of_several_causes_is_refused(four):
    with pytest.raises(
        DefinitionError, match=r"one of 2 causes \(cancelled, payment_failed\)(.|\n)*pass a fit of each"
    ):
        churn_risk(fit_for(four, CONSTANT[0]), four, [30])


def test_one_cause_alone_is_named_so(four):
    alone = churn_risk(fit_for(four, CONSTANT[1]), four.with_cause("payment_failed"), [90])
    frame = alone.frame()
    assert set(frame["cause"]) == {"payment_failed alone"}
    assert frame["churn_probability"].to_numpy() == pytest.approx(-np.expm1(-0.006 * 90))
    assert any("as if cancelled did not exist" in text for text in alone.caveats)
    together = churn_risk(constant(four), four, [90]).frame("payment_failed")
    assert (frame["churn_probability"] > together["churn_probability"]).all()
    with pytest.raises(ArgumentError, match="count the payment_failed alone"):
        churn_risk(constant(four), four.with_cause("payment_failed"), [90])


def test_chances_alone_add_up_to_more_than_one(four):
    """Where the naive sum is 1.65, the incidences are 0.95 together."""
    hazard = [[0.0175] * 3] * 2
    fits = {cause: fit_for(four, h) for cause, h in zip(TWO.kinds, hazard, strict=True)}
    naive = sum(
        churn_risk(fit, four.with_cause(cause), [100]).frame()["churn_probability"].iloc[0]
        for cause, fit in fits.items()
    )
    frame = churn_risk(fits, four, [100]).frame().groupby(["customer_id", "cause"])["churn_probability"].first()
    assert naive == pytest.approx(1.652, abs=1e-3)
    assert frame["new", "any"] == pytest.approx(0.970, abs=1e-3)
    assert frame["new", "cancelled"] + frame["new", "payment_failed"] == pytest.approx(frame["new", "any"], abs=1e-14)


def many_contracts(n=1500, seed=3):
    rng = np.random.default_rng(seed)
    start = np.datetime64("2023-06-01T00:00")
    rows = [
        (f"c{k:05d}", str(start + np.timedelta64(int(m), "m")), "signup", plan)
        for k, (m, plan) in enumerate(zip(rng.integers(0, 390 * 1440, n), rng.choice(["basic", "pro"], n), strict=True))
    ]
    return contracts(
        [*rows, ("c00000", "2024-06-30", "cancelled", None), ("c00001", "2024-06-30", "payment_failed", None)]
    )


@pytest.fixture(scope="module")
def many():
    return many_contracts()


@pytest.fixture(scope="module")
def many_fits(many):
    rng = np.random.default_rng(0)
    features = [Value("signup", "plan", name="plan")]
    return CompetingFits({
        cause: fit_for(many, rng.gamma(40, mean / 40, (100, 3)), rng.gamma(50, 1 / 50, (100, 2)), features=features)
        for cause, mean in zip(TWO.kinds, (0.002, 0.004), strict=True)
    })  # fmt: skip


@pytest.fixture(scope="module")
def many_risk(many, many_fits):
    return churn_risk(many_fits, many, [30, 90])


@pytest.mark.parametrize("chunk_size", [1, 100_000])
def test_the_same_bytes_for_any_chunk(many, many_fits, chunk_size):
    base, other = (churn_risk(many_fits, many, [30, 90], n_draws=20, chunk_size=size) for size in (1024, chunk_size))
    a, b = base.frame(), other.frame()
    for name in a:
        assert a[name].to_numpy().tobytes() == b[name].to_numpy().tobytes() or list(a[name]) == list(b[name])
    for cause in ("any", *TWO.kinds):
        assert base.totals("plan", cause=cause).equals(other.totals("plan", cause=cause))


def test_totals_by_cause_add_up_and_are_joint(many_risk):
    risk = many_risk
    anyone = risk.totals()
    parts = [risk.totals(cause=cause) for cause in TWO.kinds]
    assert sum(part["expected"] for part in parts).to_numpy() == pytest.approx(anyone["expected"].to_numpy(), abs=1e-9)
    counts = risk.sums[""].counts
    split = [risk.cause_sums[cause][""].counts for cause in TWO.kinds]
    assert (sum(split) == counts).all()  # future by future, each customer leaves once, by one cause
    assert (np.diff(counts, axis=2) >= 0).all()
    assert all((np.diff(part, axis=2) >= 0).all() for part in split)
    frame = risk.frame()
    for cause, part in zip(TWO.kinds, parts, strict=True):
        mine = frame[(frame["cause"] == cause) & (frame["horizon"] == 90)]["churn_probability"]
        assert part["expected"].iloc[1] == pytest.approx(mine.sum(), abs=1e-9)
        drawn = risk.draws(list(risk.columns.customer_id), cause=cause).sel(horizon=90).sum("customer").to_numpy()
        spread = np.hypot(drawn.std(), np.sqrt((mine * (1 - mine)).sum()))
        assert (part["upper"] - part["lower"]).iloc[1] / 3.29 == pytest.approx(spread, rel=0.25)
    by = risk.totals("plan", cause="cancelled")
    assert by.groupby("horizon")["expected"].sum().to_numpy() == pytest.approx(parts[0]["expected"].to_numpy())


def test_draws_of_causes_are_those_of_any(many_risk):
    risk = many_risk
    ids = list(risk.columns.customer_id[:5])
    parts = sum(risk.draws(ids, cause=cause) for cause in TWO.kinds)
    assert parts.to_numpy() == pytest.approx(risk.draws(ids).to_numpy(), abs=1e-14)
    quarter = risk.draws(ids).quantile([0.05, 0.95], dim="draw").to_numpy()
    frame = risk.frame("any").iloc[:10]
    assert frame["lower"].to_numpy() == pytest.approx(quarter[0].ravel(), abs=1e-12)
    assert frame["upper"].to_numpy() == pytest.approx(quarter[1].ravel(), abs=1e-12)


def test_a_cause_that_is_not_there(many_risk):
    risk = many_risk
    for ask in (risk.frame, lambda c: risk.totals(cause=c), lambda c: risk.draws(["c00002"], cause=c)):
        with pytest.raises(ArgumentError, match="no cause 'fraud'"):
            ask("fraud")


def test_thin_data_on_the_way(four):
    """300 at risk at 400 days because of late entries, and 10 in the first month: a newcomer's risk is thin."""

    class Thin(ExactFit):
        def n_at_risk(self, times, rows=None):
            return np.where(np.asarray(times) <= 30, 10, 300)

    fits = {}
    for cause, fit in constant(four).items():
        fits[cause] = Thin(fit.schema, fit.hazard, fit.factor, fit.info)
    frame = churn_risk(fits, four, [90]).frame("any")
    assert row(frame, "new", 90)["status"] == "extrapolated"
    assert row(frame, "some", 90)["status"] == "supported"


def test_one_bad_gate_is_enough(four):
    fits = constant(four)
    bad = FitInfo(status="unreliable", messages=("R-hat is 1.2.",))
    fits["payment_failed"] = replace(fits["payment_failed"], info=bad)
    with pytest.raises(UnreliableFitError, match=r"payment_failed: R-hat is 1\.2"):
        churn_risk(fits, four, [30])
    frame = churn_risk(fits, four, [30], allow_unreliable=True).frame()
    assert set(frame["status"]) == {"unreliable"}


def test_a_fit_without_draws_beside_one_with(four):
    fits = {"cancelled": fit_for(four, [[0.002] * 3, [0.004] * 3]), "payment_failed": fit_for(four, CONSTANT[1])}
    risk = churn_risk(fits, four, [30])
    assert any("fit of payment_failed has no draws" in text for text in risk.caveats)
    assert risk.frame()["lower"].notna().all()


def test_caveats_of_contracts(four):
    info = replace(OK, independent_gaps=True)
    fits = constant(four, info=info)
    risk = churn_risk(fits, four, [30])
    assert any("renewals" in text for text in risk.caveats)
    assert not any("holidays" in text or "independent" in text for text in risk.caveats)  # nobody has two contracts
    assert not risk.independent_spells
    assert repr(risk).startswith("RiskTable(3 customers as of 2024-07-01: under contract)")
    assert "cancelled" in repr(risk)
    again = contracts([
        ("a", "2024-02-01", "signup", "basic"), ("a", "2024-03-01", "cancelled", None),
        ("a", "2024-05-01", "signup", "basic"), ("b", "2024-02-01", "signup", "basic"),
        ("b", "2024-03-01", "payment_failed", None),
    ])  # fmt: skip
    fits = {
        cause: fit_for(again, [h[0], h[0]], info=info)
        for cause, h in zip(TWO.kinds, ([[0.002] * 3], [[0.006] * 3]), strict=True)
    }
    with pytest.warns(ApproximationWarning, match="repeated contracts"):
        risk = churn_risk(fits, again, [30])
    assert risk.independent_spells
    assert any("repeated contracts" in text for text in risk.caveats)


def test_landmarks_reach_no_further_than_they_were_followed(four):
    fits = {
        cause: replace(fit, schema=replace(fit.schema, as_of="landmark", reach=60.0))
        for cause, fit in constant(four).items()
    }
    assert len(churn_risk(fits, four, [30, 60]).frame("any")) == 6
    with pytest.raises(HorizonError, match=r"90 days lies beyond the 60 days(.|\n)*horizon=90"):
        churn_risk(fits, four, [30, 90])


def test_inactivity_has_no_risk():
    churn = Inactivity(60, ("order",), origin="first")
    log = EventLog.from_frame(
        pa.table({"who": ["a", "b"], "at": ["2024-06-01", "2024-05-20"], "kind": ["order"] * 2}),
        customer="who", time="at", kind="kind", time_format="iso", timezone="UTC",
    )  # fmt: skip
    spells = SpellTable.from_events(log, ObservationWindow("2024-01-01", "2024-07-01"), churn)
    with pytest.raises(DefinitionError, match="its clock is the tenure"):
        churn_risk(fit_for(spells, [[0.01] * 3]), spells, [30])


def test_durations_are_at_risk_from_their_own_end():
    frame = pd.DataFrame({"months": [2.0, 3.0, 12.0], "left": [1, 0, 0], "who": ["a", "b", "c"]})
    spells = SpellTable.from_durations(frame, duration="months", event="left", unit="month", customer="who")
    assert spells.log is None
    risk = churn_risk(fit_for(spells, [[0.002] * 3]), spells, [30, 365])
    out = risk.frame()
    assert list(out["customer_id"].unique()) == ["b", "c"]
    near = out[out["horizon"] == 30]["churn_probability"]
    assert near.to_numpy() == pytest.approx(-np.expm1(-0.06))
    assert "the end of each duration" in repr(risk)
    assert any("no dates" in text for text in risk.caveats)
    with pytest.raises(ArgumentError, match="not at risk at the end of each duration"):
        risk.draws(["a"])
    weighted = SpellTable.from_durations(
        frame.assign(copies=2.0), duration="months", event="left", unit="month", customer="who", weight="copies"
    )
    rows = replace(risk.fit, schema=replace(risk.fit.schema, churn=weighted.churn))
    assert any("count every row as one customer" in text for text in churn_risk(rows, weighted, [30]).caveats)


def closures(rows, days=90):
    table = pa.table({"who": [r[0] for r in rows], "at": [r[1] for r in rows], "kind": [r[2] for r in rows]})
    log = EventLog.from_frame(table, customer="who", time="at", kind="kind", time_format="iso", timezone="UTC")
    churn = Silence(("order",), days, terminal=("closed",))
    return SpellTable.from_events(log, ObservationWindow("2024-01-01", "2024-07-01"), churn)


@pytest.fixture(scope="module")
def shop():
    """Silent for 5, 50 and 100 days; one account closed."""
    return closures([
        ("new", "2024-06-26", "order"), ("quiet", "2024-05-12", "order"), ("gone", "2024-03-23", "order"),
        ("closed", "2024-05-01", "order"), ("closed", "2024-05-20", "closed"),
        ("old", "2024-01-02", "order"), ("old", "2024-05-01", "order"),
    ])  # fmt: skip


def test_silence_or_closure(shop):
    """Return 0.01 and closure 0.002 a day. Silent for r days, N = 90: closed within min(h, 90 - r) with a sixth of
    1 - exp(-0.012 min(h, 90 - r)); silent with exp(-0.012 (90 - r)) if r + h reaches 90."""
    fits = {"return": fit_for(shop, [[0.01] * 3]), "closure": fit_for(shop, [[0.002] * 3])}
    risk = churn_risk(fits, shop, [30, 60, 90])
    frame = risk.frame()
    assert risk.causes == ("silence", "closure")
    for customer, r in (("new", 5), ("quiet", 50), ("old", 61)):
        for h in (30, 60, 90):
            closed = -np.expm1(-0.012 * min(h, 90 - r)) / 6
            silent = np.exp(-0.012 * (90 - r)) if r + h >= 90 else 0.0
            assert row(frame, customer, h, "closure")["churn_probability"] == pytest.approx(closed, abs=1e-14)
            assert row(frame, customer, h, "silence")["churn_probability"] == pytest.approx(silent, abs=1e-14)
            assert row(frame, customer, h)["churn_probability"] == pytest.approx(closed + silent, abs=1e-14)
            returned = -np.expm1(-0.012 * h) * 5 / 6
            assert row(frame, customer, h)["no_return_probability"] == pytest.approx(1 - returned, abs=1e-14)
    gone = frame[frame["customer_id"] == "gone"]
    assert set(gone["status"]) == {"already_churned"}
    assert gone.groupby("cause")["churn_probability"].first().to_dict() == {"any": 1.0, "closure": 0.0, "silence": 1.0}
    assert "closed" not in set(frame["customer_id"])
    assert risk.totals()["n_already_churned"].tolist() == [1, 1, 1]


def test_closures_with_draws_add_up(shop):
    rng = np.random.default_rng(1)
    fits = {
        "return": fit_for(shop, rng.gamma(9, 0.001, (50, 3))),
        "closure": fit_for(shop, rng.gamma(9, 0.0003, (50, 3))),
    }
    risk = churn_risk(fits, shop, [30, 90])
    wide = risk.frame().pivot_table(index=["customer_id", "horizon"], columns="cause", values="churn_probability")
    assert (wide["silence"] + wide["closure"]).to_numpy() == pytest.approx(wide["any"].to_numpy(), abs=1e-14)
    drawn = sum(risk.draws(["quiet", "new"], cause=cause) for cause in risk.causes)
    assert drawn.to_numpy() == pytest.approx(risk.draws(["quiet", "new"]).to_numpy(), abs=1e-14)


def test_closures_ask_for_both_fits(shop):
    with pytest.raises(DefinitionError, match=r'"return": …, "closure": …'):
        churn_risk(fit_for(shop, [[0.01] * 3]), shop, [30])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        churn_risk({"return": fit_for(shop, [[0.01] * 3]), "closure": fit_for(shop, [[0.002] * 3])}, shop, [30])


def test_a_fit_of_one_cause_does_not_tell_of_another(refuses):
    business = simulate_subscription(300, rng=1)
    churn = Cancellation(business.truth.causes, origin="kind:signup")
    spells = SpellTable.from_events(business.log, business.window, churn)
    fit = KaplanMeierModel().fit(spells.with_cause("cancelled"))
    with refuses(DefinitionError, "has learnt from 'cancelled', and these spells count 'payment_failed' alone"):
        churn_risk(fit, spells.with_cause("payment_failed"), 30)
    with refuses(ArgumentError, "the fit given for 'cancelled' has learnt from 'payment_failed'"):
        CompetingFits({"payment_failed": fit, "cancelled": KaplanMeierModel().fit(spells.with_cause("payment_failed"))})


def test_a_horizon_nobody_can_be_told_is_refused_and_the_others_named():
    business = simulate_subscription(300, rng=1)
    spells = SpellTable.from_events(
        business.log, business.window, Cancellation(business.truth.causes, origin="kind:signup")
    ).with_cause("cancelled")
    with pytest.raises(UnreachableHorizonError, match="nobody's risk can be told within 9000 days") as refused:
        churn_risk(KaplanMeierModel().fit(spells), spells, [30, 9000])
    assert refused.value.within == (30.0,)
    assert "horizon=[30]" in str(refused.value)
    text = repr(churn_risk(KaplanMeierModel().fit(spells), spells, [30, 700]))
    assert "customers whose risk could not be told at some horizon (refused)" in text
