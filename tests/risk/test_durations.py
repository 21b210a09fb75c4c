"""A fit held against spells that it has not seen: late entry, censoring, and the true model as perfectly calibrated."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from churnsurv.datasets import load_telco, telco_customers
from churnsurv.errors import ArgumentError, DefinitionError, HorizonError, ModelSupportError
from churnsurv.hazards.nonparametric import kaplan_meier
from churnsurv.hazards.scoring.brier import brier_score
from churnsurv.models.competing import CompetingFits
from churnsurv.models.cox import CoxModel
from churnsurv.models.hierarchical.model import HierarchicalModel
from churnsurv.models.kaplan_meier import KaplanMeierModel
from churnsurv.models.weibull import WeibullModel
from churnsurv.risk.durations import score_durations
from churnsurv.risk.held_out import held_out_curves
from churnsurv.tables.cells import CellTable
from churnsurv.tables.churn import Silence
from churnsurv.tables.episodes import Episodes
from churnsurv.tables.features import Baseline
from churnsurv.tables.periods import PeriodTable
from churnsurv.tables.spells import SpellTable
from churnsurv.tables.window import ObservationWindow

FEATURES = (Baseline("plan"),)


def customers(n, seed, *, late=False):
    """Weibull tenure (shape 0.8), plan b leaves at twice the hazard; watched until a random day; half of them late."""
    rng = np.random.default_rng(seed)
    plan = rng.integers(0, 2, n)
    tenure = 200 * (rng.exponential(1 / 2.0**plan)) ** (1 / 0.8)
    entry = np.where(rng.random(n) < 0.5, rng.integers(1, 120, n), 0.0) if late else np.zeros(n)
    end = entry + rng.uniform(30, 400, n)
    frame = pd.DataFrame(
        {
            "who": [f"c{k:05}" for k in range(n)],
            "entry": entry,
            "days": np.minimum(tenure, end),
            "gone": tenure <= end,
            "plan": np.array(["a", "b"])[plan],
        }
    )
    return frame[frame["days"] > frame["entry"]]


def spells_of(frame, *, late=False):
    return SpellTable.from_durations(
        frame,
        duration="days",
        unit="day",
        event="gone",
        customer="who",
        labels=("plan",),
        entry="entry" if late else None,
    )


def rows_of(spells):
    return Episodes.from_periods(PeriodTable.from_spells(spells, features=FEATURES))


@pytest.fixture(scope="module")
def test_spells():
    return spells_of(customers(1500, 5, late=True), late=True)


@pytest.fixture(scope="module")
def weibull():
    return WeibullModel("plan").fit(rows_of(spells_of(customers(6000, 1))), draws=50)


def true_survival(plan, entry, times):
    cumulative = (np.asarray(times)[None, :] / 200) ** 0.8
    late = (np.asarray(entry) / 200) ** 0.8
    return np.exp(-((1 + (np.asarray(plan) == "b")) * np.ones(1))[:, None] * (cumulative - late[:, None]))


def test_curves_are_conditional_on_having_reached_the_entry(weibull, test_spells):
    """Of a fit to six thousand the curves are nearly the true ones, S(entry + t) / S(entry)."""
    times = [30.0, 90.0, 180.0]
    curves = held_out_curves(weibull, test_spells, times)
    frame = test_spells.frame()
    order = dict(zip(frame["customer_id"], zip(frame["entry"], frame["exit"], strict=True), strict=True))
    entry, exit_ = (np.array([order[who][k] for who in curves.customer_id]) for k in (0, 1))
    np.testing.assert_allclose(curves.time, exit_ - entry, atol=1e-6)
    plan = curves.levels["plan"]
    clock = entry[:, None] + np.array(times)
    expected = np.exp(-(1 + (plan == "b"))[:, None] * ((clock / 200) ** 0.8 - (entry[:, None] / 200) ** 0.8))
    np.testing.assert_allclose(curves.survival, expected, atol=0.03)
    assert curves.n_refused == 0


def test_scores_are_those_of_the_arrays(weibull, test_spells):
    found = score_durations(weibull, test_spells, [30, 90], n_draws=50)
    curves = found.curves
    k = int(np.flatnonzero(curves.times == 30.0)[0])
    direct = brier_score(curves.time, curves.event, [30.0], survival=curves.survival[:, k])
    assert found.table["brier"].iloc[0] == pytest.approx(direct.score[0], rel=1e-12)
    known = (curves.event > 0) | (curves.time >= 30)
    assert found.table["n_censored"].iloc[0] == np.sum(~known)
    happened = 1 - float(kaplan_meier(curves.time, curves.event).survival_at([30.0])[0])
    assert found.table["observed_expected"].iloc[0] == pytest.approx(
        happened * len(known) / np.sum(1 - curves.survival[:, k]), rel=1e-6
    )
    assert "concordance" in repr(found)


def test_the_true_model_is_perfectly_calibrated_and_a_wrong_one_is_not(weibull):
    """Slope near 1, D-calibration not rejected at one in a thousand; the crossed-over plan fails both."""
    frame = customers(4000, 9, late=True)
    good = score_durations(weibull, spells_of(frame, late=True), [60, 180], n_draws=50)
    assert good.table["slope"].between(0.75, 1.25).all()
    assert good.table["observed_expected"].between(0.93, 1.07).all()
    assert good.d_calibration.p_value > 0.001
    swapped = frame.assign(plan=frame["plan"].map({"a": "b", "b": "a"}))
    bad = score_durations(weibull, spells_of(swapped, late=True), [60, 180], n_draws=50)
    assert (bad.table["slope"] < 0).all()
    assert bad.harrell.estimate < 0.5 < good.harrell.estimate
    assert bad.likelihood.score > good.likelihood.score
    assert bad.integrated_brier.score > good.integrated_brier.score


@pytest.mark.parametrize("kind", ["Kaplan–Meier", "Cox", "hierarchical", "frailty"])
def test_every_kind_of_fit_can_be_scored(kind):
    spells = spells_of(customers(800, 3))
    rows = rows_of(spells)
    fit = {
        "Kaplan–Meier": lambda: KaplanMeierModel().fit(spells),
        "Cox": lambda: CoxModel("plan").fit(rows, draws=20),
        "hierarchical": lambda: HierarchicalModel("plan").fit(
            CellTable.from_periods(PeriodTable.from_spells(spells, features=FEATURES)),
            rng=1,
            draws=2000,
            method="laplace",
        ),
        "frailty": lambda: HierarchicalModel("plan", frailty="gamma", baseline="weibull").fit(
            rows, rng=1, draws=600, method="laplace"
        ),
    }[kind]()
    found = score_durations(fit, spells_of(customers(700, 4, late=True), late=True), [30, 60], n_draws=20)
    assert found.table["observed_expected"].between(0.75, 1.3).all()
    assert (found.integrated_skill > 0.03) == (kind != "Kaplan–Meier")


def test_weights_by_level_mend_censoring_that_differs_by_level(weibull):
    """Plan b is watched a sixth as long: weights of all together are wrong, those of each level are right."""
    rng = np.random.default_rng(12)
    frame = customers(8_000, 12).assign(end=rng.uniform(10, 60, 8_000))
    short = (frame["plan"] == "b") & (frame["days"] > frame["end"])
    frame = frame.assign(days=np.where(short, frame["end"], frame["days"]), gone=frame["gone"] & ~short)
    spells = spells_of(frame)
    plain, by_plan = (score_durations(weibull, spells, [50], censoring_by=by, n_draws=20) for by in (None, "plan"))
    expected = score_durations(weibull, spells_of(customers(8_000, 12)), [50], n_draws=20).table["observed_expected"][0]
    assert by_plan.table["observed_expected"][0] == pytest.approx(expected, abs=0.03)
    assert abs(plain.table["observed_expected"][0] - expected) > 0.05


def test_times_known_to_a_month_are_scored_by_the_month():
    """Telco, half against half: everybody was watched for one month of her tenure."""
    customers, month = telco_customers().to_pandas(), 365.25 / 12
    held_out = np.random.default_rng(1).random(len(customers)) < 0.5

    def contracts(rows):
        return SpellTable.from_durations(
            rows, duration="tenure", unit="month", event="Churn", churned="Yes", customer="customerID", follow_up=1,
            labels=("Contract",), on_bad="drop",
        )  # fmt: skip

    learnt = PeriodTable.from_spells(contracts(customers[~held_out]), features=[Baseline("Contract")])
    fit = WeibullModel("Contract", rounded=month).fit(learnt, draws=50)
    found = score_durations(fit, contracts(customers[held_out]), [month], n_draws=50)
    assert found.curves.times.tolist() == [month]
    assert found.table["brier_skill"][0] > 0.15
    assert found.table["observed_expected"][0] == pytest.approx(1, abs=0.1)
    assert found.table["ici_p"][0] > 0.01
    assert found.d_calibration.p_value > 0.001
    assert np.isnan(found.integrated_brier.score)


def test_horizons_within_a_unit_are_refused(weibull):
    """Thirty days of a month of 30.4375: all its events would be missing."""
    with pytest.raises(HorizonError, match=r"no whole units of 30\.4375 days"):
        score_durations(weibull, load_telco(), [30, 60.875])


def two_causes(n, seed):
    rng = np.random.default_rng(seed)
    plan = rng.integers(0, 2, n)
    a, b, c = rng.exponential(100 / (1 + plan)), rng.exponential(150, n), rng.uniform(10, 300, n)
    time = np.minimum.reduce([a, b, c])
    event = np.where(time == c, 0, np.where(time == a, 1, 2))
    frame = pd.DataFrame(
        {"who": np.arange(n).astype(str), "days": time, "event": event, "plan": np.array(["x", "y"])[plan]}
    )
    return SpellTable.from_durations(
        frame, duration="days", unit="day", event="event", customer="who", labels=("plan",), causes=("price", "moved")
    )


def test_a_fit_of_one_cause_is_held_against_that_cause():
    rows, fresh = rows_of(two_causes(3000, 1)), two_causes(3000, 2)
    fits = {cause: WeibullModel("plan").fit(rows.with_cause(cause), draws=20) for cause in ("price", "moved")}
    for fit in (*fits.values(), CompetingFits(fits)):
        found = score_durations(fit, fresh, [30, 60], n_draws=20)
        assert found.table["observed_expected"].between(0.9, 1.1).all()
    assert score_durations(fits["price"], fresh, 30, n_draws=20).table["n_events"][0] < found.table["n_events"][0]


def test_horizons_that_nobody_was_watched_for_are_blank(weibull, test_spells):
    found = score_durations(weibull, test_spells, [30, 5000], n_draws=20)
    assert np.isnan(found.table["brier"][1])
    assert "5000" in repr(found)


def test_the_integral_begins_at_the_entry(weibull, test_spells):
    found = score_durations(weibull, test_spells, [30, 90], n_draws=20)
    assert found.integrated_brier.score == pytest.approx(found.crps.score / 90, rel=1e-6)


def test_what_cannot_be_scored_is_refused(weibull, test_spells, make_log):
    with pytest.raises(ArgumentError, match="no column 'price'"):
        score_durations(weibull, test_spells, [30], censoring_by="price")
    shop = SpellTable.from_events(
        make_log([("a", 1_704_067_200_000_000, "order", 1.0, "s"), ("b", 1_704_167_200_000_000, "order", 1.0, "s")]),
        ObservationWindow("2024-01-01", "2024-06-01"),
        Silence(("order",), 30),
    )
    with pytest.raises(DefinitionError, match="churn definition"):
        held_out_curves(weibull, shop, [30])
    with pytest.raises(ModelSupportError, match="counts from landmarks"):
        held_out_curves(replace(weibull, schema=replace(weibull.schema, as_of="landmark")), test_spells, [30])
