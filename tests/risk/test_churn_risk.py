"""Risk against hand-worked numbers, and its promises: same bytes for any batch, joint totals, honest statuses."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from churnsurv import CellTable, Count, EventLog, ObservationWindow, PeriodTable, Silence, SpellTable, churn_risk
from churnsurv.errors import (
    ApproximationWarning,
    ArgumentError,
    DefinitionError,
    FeatureError,
    HorizonError,
    UnreliableFitError,
)
from churnsurv.models.base import FitInfo
from tests.risk.exact_fit import ExactFit

BREAKS = (0.0, 30.0, 90.0, 200.0)
OK = FitInfo(status="ok", n_draws=2, independent_gaps=False)


def shop(customers: dict[str, list[str]], end: str = "2024-07-01", **silence) -> SpellTable:
    rows = [(name, day) for name, days in customers.items() for day in days]
    table = pa.table({"who": [name for name, _ in rows], "at": [day for _, day in rows]})
    log = EventLog.from_frame(table, customer="who", time="at", time_format="iso", timezone="UTC")
    return SpellTable.from_events(
        log, ObservationWindow("2024-01-01", end), Silence(("activity",), **{"days": 90, **silence})
    )


def fit_for(
    spells: SpellTable, hazard, factor=((1.0,),), info: FitInfo = OK, features=(), bins=None, **kwargs
) -> ExactFit:
    cells = CellTable.from_periods(PeriodTable.from_spells(spells, breaks=BREAKS, features=features), bins=bins or {})
    hazard, factor = np.atleast_2d(hazard).astype(float), np.atleast_2d(factor).astype(float)
    return ExactFit(
        cells.schema, hazard, np.repeat(factor, len(hazard), 0) if len(factor) == 1 else factor, info, **kwargs
    )


@pytest.fixture(scope="module")
def three():
    """Silent for 5, 50 and 100 days on 1 July."""
    return shop({"new": ["2024-06-26"], "quiet": ["2024-05-12"], "gone": ["2024-03-23"], "old": ["2024-01-02"]})


def row(frame, customer, horizon):
    return frame[(frame["customer_id"] == customer) & (frame["horizon"] == horizon)].iloc[0]


def test_by_hand(three):
    """Hazard 0.01 a day to day 30, 0.02 after: H(5) = 0.05, H(50) = 0.7, H(80) = 1.3, H(90) = 1.5, H(110) = 1.9."""
    fit = fit_for(three, [[0.01, 0.02, 0.02]])
    frame = churn_risk(fit, three, [30, 60, 90]).frame()
    assert row(frame, "quiet", 30)["churn_probability"] == 0.0  # 50 + 30 < 90: impossible, not merely unlikely
    assert row(frame, "quiet", 60)["churn_probability"] == pytest.approx(np.exp(-(1.5 - 0.7)), abs=1e-12)
    assert row(frame, "new", 90)["churn_probability"] == pytest.approx(np.exp(-(1.5 - 0.05)), abs=1e-12)
    assert row(frame, "quiet", 30)["no_return_probability"] == pytest.approx(np.exp(-(1.3 - 0.7)), abs=1e-12)
    assert row(frame, "quiet", 60)["no_return_probability"] == pytest.approx(np.exp(-(1.9 - 0.7)), abs=1e-12)
    assert row(frame, "gone", 30)["churn_probability"] == 1.0
    assert row(frame, "gone", 30)["status"] == "already_churned"
    assert row(frame, "new", 30)["status"] == "supported"
    assert list(frame["silence"].unique()) == [100.0, 5.0, 181.0, 50.0]


def test_the_day_itself(three):
    """Silent for exactly 90 days is churned; with r + h equal to 90 churn is possible."""
    spells = shop({"edge": ["2024-04-02"], "turn": ["2024-06-01"]})
    frame = churn_risk(fit_for(spells, [[0.01, 0.01, 0.01]]), spells, [60, 90]).frame()
    assert row(frame, "edge", 60)["status"] == "already_churned"
    assert row(frame, "turn", 60)["silence"] == 30.0
    assert row(frame, "turn", 60)["churn_probability"] == pytest.approx(np.exp(-0.6), abs=1e-12)


def test_draws_are_transformed_first_and_averaged_then(three):
    hazards = np.array([[0.01, 0.01, 0.01], [0.03, 0.03, 0.03]])
    risk = churn_risk(fit_for(three, hazards), three, [60], ci_prob=0.5)
    expected = np.exp(-40 * hazards[:, 0])
    quiet = row(risk.frame(), "quiet", 60)
    assert quiet["churn_probability"] == pytest.approx(expected.mean(), abs=1e-12)
    assert quiet["lower"] == pytest.approx(np.quantile(expected, 0.25), abs=1e-12)
    assert quiet["upper"] == pytest.approx(np.quantile(expected, 0.75), abs=1e-12)
    drawn = risk.draws(["quiet", "gone"])
    assert drawn.dims == ("draw", "customer", "horizon")
    assert drawn.sel(customer="quiet", horizon=60).to_numpy() == pytest.approx(expected, abs=1e-12)
    assert (drawn.sel(customer="gone") == 1).all()


def test_a_model_without_uncertainty_has_no_bounds(three):
    frame = churn_risk(fit_for(three, [[0.01, 0.02, 0.02]]), three, [60]).frame()
    assert np.isnan(row(frame, "quiet", 60)["lower"])
    assert row(frame, "gone", 60)["lower"] == 1.0  # known, not modelled


def random_shop(n=2500, seed=3) -> SpellTable:
    rng = np.random.default_rng(seed)
    start = np.datetime64("2024-01-01T00:00")
    return shop({
        f"c{k:05d}": [str(start + np.timedelta64(int(m), "m")) for m in rng.integers(0, 181 * 1440, rng.integers(1, 6))]
        for k in range(n)
    })  # fmt: skip


@pytest.fixture(scope="module")
def many():
    return random_shop()


@pytest.fixture(scope="module")
def many_fit(many):
    rng = np.random.default_rng(0)
    bins = {"count_activity_60d": [0, 1, 2, np.inf]}
    factor = rng.gamma(50, 1 / 50, (200, 4))
    return fit_for(many, rng.gamma(100, 1 / 10_000, (200, 3)), factor, features=[Count("activity", days=60)], bins=bins)


@pytest.mark.parametrize("chunk_size", [1, 1000, 1024, 2048, 100_000])
def test_the_same_bytes_for_any_chunk(many, many_fit, chunk_size):
    base, other = (churn_risk(many_fit, many, [30, 90], chunk_size=size) for size in (4096, chunk_size))
    a, b = base.frame(), other.frame()
    for name in a:
        assert a[name].to_numpy().tobytes() == b[name].to_numpy().tobytes() or list(a[name]) == list(b[name])
    assert (base.totals().to_numpy() == other.totals().to_numpy()).all()
    by = "count_activity_60d"
    assert base.totals(by).equals(other.totals(by))


def test_totals_add_up_and_are_joint(many, many_fit):
    risk = churn_risk(many_fit, many, [30, 90])
    everyone, by = risk.totals(), risk.totals("count_activity_60d")
    assert (by.groupby("horizon")["n_customers"].sum().to_numpy() == everyone["n_customers"].to_numpy()).all()
    assert by.groupby("horizon")["expected"].sum().to_numpy() == pytest.approx(everyone["expected"].to_numpy())
    frame = risk.frame()
    alive = frame[(frame["status"] == "supported") & (frame["horizon"] == 90)]
    assert everyone["n_customers"].iloc[1] == len(alive) == risk.n_alive
    assert (
        everyone["n_already_churned"].iloc[0]
        == risk.n_already_churned
        == (frame["status"] == "already_churned").sum() / 2
    )
    total, n_draws = everyone["expected"].iloc[1], 200
    spread = (everyone["upper"].iloc[1] - everyone["lower"].iloc[1]) / (2 * 1.645)
    drawn = risk.draws(list(alive["customer_id"])).sel(horizon=90).sum("customer").to_numpy()
    chance = np.sqrt((alive["churn_probability"] * (1 - alive["churn_probability"])).sum())
    assert total == pytest.approx(drawn.mean(), abs=4 * spread / np.sqrt(n_draws))
    assert spread == pytest.approx(np.hypot(drawn.std(), chance), rel=0.2)  # joint draws and chance together
    assert spread > 1.3 * chance  # chance alone would be too narrow


def test_a_seed_decides_the_future(many, many_fit):
    one, same, other = (churn_risk(many_fit, many, [90], rng=seed).totals() for seed in (1, 1, 2))
    assert one.equals(same)
    assert not one.equals(other)


def test_statuses(three):
    fit = fit_for(three, [[0.01, 0.02, 0.02]], at_risk=29)
    frame = churn_risk(fit, three, [60]).frame()
    assert row(frame, "quiet", 60)["status"] == "extrapolated"
    assert row(frame, "new", 60)["status"] == "supported"  # exactly 0: no data are needed to know that
    assert row(frame, "new", 60)["churn_probability"] == 0.0
    assert row(frame, "gone", 60)["status"] == "already_churned"
    far = churn_risk(fit_for(three, [[0.01, 0.02, 0.02]]), three, [90]).frame()
    assert row(far, "old", 90)["no_return_status"] == "refused"  # 181 + 90 days: beyond the last break
    assert np.isnan(row(far, "old", 90)["no_return_probability"])
    assert row(far, "old", 90)["churn_probability"] == 1.0  # known, not modelled


def test_a_failed_gate_is_refused_or_labelled(three):
    bad = FitInfo(status="unreliable", messages=("R-hat 1.2 for walk.",), independent_gaps=False)
    fit = fit_for(three, [[0.01, 0.02, 0.02]], info=bad)
    with pytest.raises(UnreliableFitError, match=r"R-hat 1\.2(.|\n)*allow_unreliable=True"):
        churn_risk(fit, three, [60])
    risk = churn_risk(fit, three, [60], allow_unreliable=True)
    assert row(risk.frame(), "quiet", 60)["status"] == "unreliable"
    assert "R-hat 1.2" in risk.caveats[0]


def test_unknown_history_is_refused_not_guessed():
    """Silence(150) in a window of 181 days: a gap that opened on day 40 has no look-back of 60 days."""
    spells = shop({"early": ["2024-02-10"], "late": ["2024-06-01"]}, days=150)
    fit = fit_for(spells, [[0.01, 0.02, 0.02]], [[1.0, 1.0, 1.0]], features=[Count("activity", days=60)])
    risk = churn_risk(fit, spells, [10, 150])
    early = row(risk.frame(), "early", 10)
    assert early["status"] == "refused"
    assert np.isnan(early["churn_probability"])
    assert np.isnan(early["no_return_probability"])
    assert risk.totals()["n_refused"].iloc[0] == 1
    assert row(risk.frame(), "late", 10)["status"] == "supported"


def test_caveats_are_said(three):
    fit = fit_for(three, [[0.01, 0.02, 0.02], [0.01, 0.02, 0.03]], info=replace(OK, independent_gaps=True))
    with pytest.warns(ApproximationWarning, match="treated as independent: intervals are too narrow"):
        risk = churn_risk(fit, three, [60])
    assert any("season cannot be known" in text for text in risk.caveats)
    assert any("too narrow" in text for text in risk.caveats)
    assert "too narrow" in repr(risk)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        churn_risk(fit_for(three, [[0.01, 0.02, 0.02]]), three, [60])


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"horizon": [120]}, HorizonError, "120 days lies outside"),
        ({"horizon": [0]}, HorizonError, "not ahead: 0 days"),
        ({"horizon": []}, ArgumentError, "empty"),
        ({"horizon": [30, 30]}, ArgumentError, "twice"),
        ({"horizon": "soon"}, ArgumentError, "not a number of days"),
        ({"horizon": [float("nan")]}, HorizonError, "nan"),
        ({"ci_prob": 1.0}, ArgumentError, "ci_prob"),
        ({"n_draws": 0}, ArgumentError, "n_draws"),
        ({"chunk_size": 1.5}, ArgumentError, "chunk_size"),
    ],
)
def test_arguments_without_meaning(three, arguments, error, text):
    with pytest.raises(error, match=text):
        churn_risk(fit_for(three, [[0.01, 0.02, 0.02]]), three, **{"horizon": [60], **arguments})


def test_another_definition_is_refused(three):
    fit = fit_for(three, [[0.01, 0.02, 0.02]])
    other = shop({"new": ["2024-06-26"]}, days=60)
    with pytest.raises(DefinitionError, match="churn definition"):
        churn_risk(fit, other, [30])


def test_moving_features_explain_and_do_not_predict(three):
    periods = PeriodTable.from_spells(three, breaks=BREAKS, features=[Count("activity", days=30)], as_of="period")
    fit = ExactFit(CellTable.from_periods(periods).schema, np.full((1, 3), 0.01), np.ones((1, 4)), OK)
    with pytest.raises(FeatureError, match='as_of="spell"'):
        churn_risk(fit, three, [60])


def test_draws_of_a_stranger(three):
    risk = churn_risk(fit_for(three, [[0.01, 0.02, 0.02]]), three, [60])
    with pytest.raises(ArgumentError, match="1 of 2 customers are not at risk"):
        risk.draws(["quiet", "nobody"])
    with pytest.raises(ArgumentError, match="no totals by 'country'"):
        risk.totals("country")


def test_what_the_fit_cannot_reach_is_refused_before_work():
    spells = shop({"new": ["2024-06-26"], "quiet": ["2024-05-12"]}, days=150)
    cells = CellTable.from_periods(PeriodTable.from_spells(spells, breaks=(0.0, 30.0, 90.0)))
    fit = ExactFit(cells.schema, np.full((1, 2), 0.01), np.ones((1, 1)), OK)
    with pytest.raises(HorizonError, match="reaches 90 days of silence, and churn is defined at 150"):
        churn_risk(fit, spells, [30])


def test_closures_are_refused_not_taken_for_silence():
    spells = shop_with_closures()
    fit = fit_for(spells, [[0.01, 0.02, 0.02]])
    with pytest.raises(DefinitionError, match=r"closures \(closed\) compete"):
        churn_risk(fit, spells, [30])


def shop_with_closures() -> SpellTable:
    rows = pa.table({
        "who": ["a", "a", "b"], "at": ["2024-05-01", "2024-05-20", "2024-06-01"], "kind": ["order", "closed", "order"],
    })  # fmt: skip
    log = EventLog.from_frame(rows, customer="who", time="at", kind="kind", time_format="iso", timezone="UTC")
    churn = Silence(("order",), 90, terminal=("closed",))
    return SpellTable.from_events(log, ObservationWindow("2024-01-01", "2024-07-01"), churn)


def test_expected_is_the_sum_of_the_probabilities(many, many_fit):
    """Not the mean of simulated counts, which is the same number with noise."""
    risk = churn_risk(many_fit, many, [30, 90])
    frame = risk.frame()
    alive = frame[frame["status"] != "already_churned"].groupby("horizon")["churn_probability"].sum()
    assert risk.totals()["expected"].to_numpy() == pytest.approx(alive.to_numpy(), abs=1e-9)
    assert (risk.totals()[["lower", "upper"]] % 1 == 0).all().all()  # customers are whole


def test_one_draw_gives_no_bounds(many, many_fit):
    frame = churn_risk(many_fit, many, [90], n_draws=1).frame()
    alive = frame[frame["status"] == "supported"]
    assert alive["lower"].isna().all()
    assert alive["churn_probability"].notna().all()


def test_every_frame_carries_its_caveats(three):
    fit = fit_for(three, [[0.01, 0.02, 0.02]])
    risk = churn_risk(fit, three, [60])
    for frame in (risk.frame(), risk.totals()):
        assert frame.attrs["caveats"] == list(risk.caveats)
        assert frame.attrs["ci_kind"] == "eti"
