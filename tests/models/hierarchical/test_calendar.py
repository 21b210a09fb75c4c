"""Months in prediction: by hand, hour by hour, on simulated truth; one future for all customers of a draw."""

from __future__ import annotations

from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from scipy import stats

from churnsurv.datasets import ReturnEffects, simulate_shop
from churnsurv.errors import FeatureError
from churnsurv.models.competing import CompetingFits
from churnsurv.models.hierarchical.model import HierarchicalModel
from churnsurv.models.hierarchical.prospects import past_of
from churnsurv.models.saved import load
from churnsurv.risk.caveats import caveats_of
from churnsurv.risk.checks import as_of_check
from churnsurv.risk.predict import churn_risk
from churnsurv.tables.cells import CellTable
from churnsurv.tables.churn import Silence
from churnsurv.tables.contracts import Cancellation
from churnsurv.tables.open_spells import OpenSpells
from churnsurv.tables.past import History
from churnsurv.tables.periods import PeriodTable
from churnsurv.tables.spells import SpellTable
from churnsurv.tables.window import DAY_US, moment_of
from tests.models.hierarchical.calendar_data import (
    Rows,
    at,
    counted,
    fit_at_mode,
    fit_of,
    schema_of,
)

JANUARY = 12 * 2024
BREAKS = (0.0, 30.0, 1000.0)
RATES = np.array([0.02, 0.01])
LEVELS = np.array([0.2, -0.3, 0.1])
ORDERS = Silence(("order",), 60, merge=None)


def hand_fit(n_draws=1, *, sd=0.0, seed=7, timezone="UTC", season=None, **parts):
    """January to March 2024, the same in every draw but for the path ahead."""
    draws = {
        "intercept": np.zeros(n_draws),
        "log_baseline": np.tile(np.log(RATES), (n_draws, 1)),
        "month": np.tile(LEVELS, (n_draws, 1)),
        "month_sd": np.full(n_draws, sd),
        "frailty_sd": np.ones(n_draws),
    }
    return fit_of(schema_of(JANUARY, 3, timezone=timezone), JANUARY, 3, draws, seed=seed, **parts)


def hourly(level, rate, origin, start, stop, timezone):
    """Cumulative hazard added up hour by hour, months read off a local clock."""
    total, hours = 0.0, round((stop - start) * 24)
    for k in range(hours):
        t = start + k / 24
        local = moment_of(origin + round(t * DAY_US)).astimezone(ZoneInfo(timezone))
        total += rate(t) * np.exp(level(12 * local.year + local.month - 1)) / 24
    return total


# By hand -------------------------------------------------------------------------------------------------------


def test_the_months_ahead_by_hand():
    """A gap since 20 January, asked about on 1 February (day 12): 18 days at the early rate, then the later one."""
    fit = hand_fit()
    rows = Rows(fit.schema, np.array([12.0]), np.array([at("2024-01-20")]))
    survival = fit.conditional_survival(rows, np.array([[41.0, 72.0, 102.0]]))[0, 0]
    february = np.exp(-0.3) * (18 * 0.02 + 11 * 0.01)
    march, april = np.exp(0.1) * 31 * 0.01, np.exp(0.1) * 30 * 0.01  # without steps April is like March
    assert -np.log(survival) == pytest.approx([february, february + march, february + march + april], rel=1e-12)


@pytest.mark.parametrize("timezone", ["UTC", "Europe/Paris", "America/New_York"])
def test_months_begin_by_the_local_clock(timezone):
    """Hour by hour through a night in which an hour is skipped, and beyond the last month of the data."""
    fit = hand_fit(timezone=timezone)
    origin = at("2024-01-20T07:00", timezone)
    rows = Rows(fit.schema, np.array([5.5]), np.array([origin]))
    found = -np.log(fit.conditional_survival(rows, np.array([[100.0]])))[0, 0, 0]
    expected = hourly(
        lambda month: LEVELS[min(month - JANUARY, 2)], lambda t: RATES[int(t >= 30)], origin, 5.5, 100.0, timezone
    )
    assert found == pytest.approx(expected, rel=1e-9)


def test_time_before_the_data_counts_to_the_first_month():
    fit = hand_fit()
    predictor, draws = fit._predictor, np.array([0])
    origin = np.array([at("2023-11-01")])
    found = predictor.between(np.zeros((1, 1), int), np.zeros((1, 1)), np.full((1, 1), 80.0), draws, origin)[0, 0, 0]
    assert found == pytest.approx(np.exp(0.2) * (30 * 0.02 + 50 * 0.01), rel=1e-12)


def test_a_season_comes_again():
    """Two years of months at level 0: December ahead has December's effect, on a Weibull clock too."""
    season = np.linspace(-0.5, 0.6, 12)
    draws = {"intercept": [np.log(0.5)], "month_sd": [0.0], "season": [season], "log_shape": [np.log(1.3)]}
    fit = fit_of(schema_of(JANUARY, 24), JANUARY, 24, draws, baseline="weibull")
    rows = Rows(fit.schema, np.array([10.0]), np.array([at("2025-12-22")]))
    found = -np.log(fit.conditional_survival(rows, np.array([[41.0]])))[0, 0, 0]
    assert found == pytest.approx(np.exp(season[0]) * 0.5 * (41.0**1.3 - 10.0**1.3), rel=1e-9)
    unknown = replace(rows, origin=None)
    found = -np.log(fit.conditional_survival(unknown, np.array([[41.0]])))[0, 0, 0]
    assert found == pytest.approx(np.exp(season.mean()) * 0.5 * (41.0**1.3 - 10.0**1.3), rel=1e-9)
    hazard = fit.predict_hazard(rows, np.array([5.0])).values.item()
    assert hazard == pytest.approx(np.exp(season.mean()) * 0.5 * 1.3 * 5.0**0.3, rel=1e-9)


def test_one_month_has_no_drift():
    fit = fit_of(schema_of(JANUARY, 1), JANUARY, 1, {"log_baseline": [np.log(RATES)]})
    rows = Rows(fit.schema, np.array([0.0]), np.array([at("2024-01-31")]))
    assert -np.log(fit.conditional_survival(rows, np.array([[40.0]]))).item() == pytest.approx(0.6 + 0.1)
    assert (fit.n_months, fit.month_drift) == (1, 0.0)


def test_beyond_the_last_break_nothing_is_said():
    fit = hand_fit()
    rows = Rows(fit.schema, np.array([10.0, 990.0]), np.full(2, at("2024-03-01")))
    survival = fit.conditional_survival(rows, np.array([[1000.0, 1000.5], [1000.0, 1001.0]]))[0]
    assert np.isnan(survival).tolist() == [[False, True], [False, True]]


# The path ahead ------------------------------------------------------------------------------------------------


def test_steps_ahead_are_standard_normal_and_independent():
    fit = hand_fit(4000, sd=0.5)
    months = np.arange(JANUARY + 3, JANUARY + 15)
    paths = np.log(fit._predictor.months.ratios(months, np.arange(4000)))
    steps = np.diff(paths, axis=1, prepend=LEVELS[-1]) / 0.5
    assert stats.kstest(steps.ravel(), "norm").pvalue > 0.01
    correlation = np.corrcoef(steps.T) - np.eye(12)
    assert np.abs(correlation).max() < 4.5 / np.sqrt(4000)
    assert abs(np.corrcoef(steps[:-1].ravel(), steps[1:].ravel())[0, 1]) < 4.5 / np.sqrt(48_000)
    assert paths.var(axis=0)[[0, 11]] == pytest.approx([0.25, 12 * 0.25], rel=0.1)
    other = np.log(hand_fit(4000, sd=0.5, seed=8)._predictor.months.ratios(months, np.arange(4000)))
    assert abs(np.corrcoef(other[:, 0], paths[:, 0])[0, 1]) < 4.5 / np.sqrt(4000)


def test_the_path_of_a_draw_knows_nothing_of_what_else_is_asked():
    """The same bytes for any rows, draws, order of draws and horizons asked about together."""
    rng = np.random.default_rng(0)
    fit = hand_fit(50, sd=0.3)
    reached = rng.uniform(0, 90, 40)
    now = at("2024-03-18T06:00")  # in the middle of the last month
    rows = Rows(fit.schema, reached, now - np.round(reached * DAY_US).astype(np.int64))
    until = reached[:, None] + np.array([10.0, 45.0, 200.0])
    whole = fit.conditional_survival(rows, until)
    again = hand_fit(50, sd=0.3)
    assert (
        again.conditional_survival(rows.take(np.arange(7, 8)), until[7:8, :1]).tobytes() == whole[:, 7:8, :1].tobytes()
    )
    some = np.array([31, 2, 2, 49])
    assert again.conditional_survival(rows, until, draws=some).tobytes() == whole[some].tobytes()
    assert fit.conditional_survival(rows, until[:, ::2]).tobytes() == whole[:, :, ::2].tobytes()


def test_customers_share_the_months_of_a_draw():
    """Log hazards of two customers over the same April differ by the same amount in every draw."""
    fit = hand_fit(200, sd=0.4)
    rows = Rows(fit.schema, np.array([40.0, 400.0]), at("2024-04-01") - np.array([40, 400]) * DAY_US)
    hazard = -np.log(fit.conditional_survival(rows, rows.reached[:, None] + 30.0))[:, :, 0]
    assert hazard[:, 0] == pytest.approx(hazard[:, 1], rel=1e-9)
    assert np.log(hazard[:, 0] / 0.3).std() == pytest.approx(0.4, rel=0.15)


def test_now_may_lie_months_after_the_data():
    fit = hand_fit(4000, sd=0.2)
    rows = Rows(fit.schema, np.array([100.0]), np.array([at("2024-08-01") - 100 * DAY_US]))
    hazard = -np.log(fit.conditional_survival(rows, np.array([[131.0]])))[:, 0, 0]
    assert np.log(hazard / 0.31).std() == pytest.approx(0.2 * np.sqrt(5), rel=0.05)  # April … August
    assert np.log(hazard / 0.31).mean() == pytest.approx(0.1, abs=4 * 0.2 * np.sqrt(5 / 4000))


# What is behind a customer -------------------------------------------------------------------------------------


@pytest.mark.parametrize("baseline", ["piecewise", "weibull"])
def test_what_is_behind_a_customer_has_its_own_months(baseline):
    """Hour by hour: an earlier gap, the open one, and a spell that entered late with the month of its entry."""
    fit = hand_fit(baseline=baseline, frailty="gamma")
    if baseline == "weibull":
        draws = {"month": [LEVELS], "month_sd": [0.0], "frailty_sd": [1.0], "intercept": [-4.0], "log_shape": [0.0]}
        fit = fit_of(fit.schema, JANUARY, 3, draws, baseline=baseline, frailty="gamma")
    now = at("2024-03-11")
    origin = np.array([at("2024-01-11"), at("2024-02-20"), at("2023-12-01")])
    history = History(
        place=np.array([0, 0, 1]), start=np.array([0.0, 0.0, 76.0]), stop=np.array([40.0, 20.0, 101.0]),
        event=np.array([1, 0, 0]), codes=np.zeros((3, 1), np.int64), values=(None,), outside=np.zeros(3, bool),
        current=np.array([False, True, True]), entry=np.array([0.0, 0.0, 76.0]), origin=origin,
    )  # fmt: skip
    assert (now - origin[1:]).tolist() == [20 * DAY_US, 101 * DAY_US]
    rows = Rows(fit.schema, np.array([20.0, 101.0]), origin[1:], history)

    def rate(t):
        return RATES[int(t >= 30)] if baseline == "piecewise" else np.exp(-4.0)

    def hazard(k, start, stop, since=0.0):
        entry = moment_of(int(origin[k] + since * DAY_US)).month - 1 if since else 0
        return hourly(lambda m: LEVELS[max(m - JANUARY, entry)], rate, int(origin[k]), start, stop, "UTC")

    past = past_of(fit._predictor, rows, np.array([0]), "", use=True)
    assert past.events.ravel().tolist() == [1, 0]
    expected = [hazard(0, 0, 40) + hazard(1, 0, 20), hazard(2, 0, 76, 76) + hazard(2, 76, 101)]
    assert past.whole.ravel() == pytest.approx(expected, rel=1e-9)
    ahead = fit.conditional_survival(rows, rows.reached[:, None] + 10.0)[0, :, 0]
    further = np.array([hazard(1, 20, 30), hazard(2, 101, 111)])
    a = 1.0 + past.whole.ravel()
    assert ahead == pytest.approx((a / (a + further)) ** (1.0 + np.array([1, 0])), rel=1e-9)


def test_without_a_history_the_open_spell_is_behind_her_month_by_month():
    """A gap since 11 January with a frailty of variance 1: only the open spell's own months count."""
    fit = hand_fit(frailty="gamma")
    rows = Rows(fit.schema, np.array([60.0]), np.array([at("2024-01-11")]))
    behind = 0.02 * (21 * np.exp(0.2) + 9 * np.exp(-0.3)) + 0.01 * (20 * np.exp(-0.3) + 10 * np.exp(0.1))
    further = 0.01 * 15 * np.exp(0.1)
    survival = fit.conditional_survival(rows, np.array([[75.0]])).item()
    assert survival == pytest.approx((1 + behind) / (1 + behind + further), rel=1e-12)


# A shop with a season ------------------------------------------------------------------------------------------


def shop_of(start, end, *, n=1500, amplitude=0.6, frailty=0.0, timezone="Europe/Paris"):
    return simulate_shop(
        n, rng=5, effects=ReturnEffects.none(), frailty_variance=frailty, countries={"here": 0.0},
        season_amplitude=amplitude, season_peak=12, closure_hazard=0.0, start=start, end=end, timezone=timezone,
    )  # fmt: skip


def cells_of(spells, *, calendar="month", customers=False):
    periods = PeriodTable.from_spells(spells, breaks=[0, 7, 14, 30, 60, 90, 180, 1200], calendar=calendar)
    return CellTable.from_periods(periods, customers=customers)


@pytest.fixture(scope="module")
def december():
    """Three years that end on 1 December, before the peak of the season."""
    shop = shop_of("2021-12-01", "2024-12-01")
    spells = SpellTable.from_events(shop.log, shop.window, ORDERS)
    return shop, spells, fit_at_mode(HierarchicalModel(calendar=True), cells_of(spells))


@pytest.mark.filterwarnings("ignore:a customer's repeated gaps")
def test_december_is_near_the_truth_where_the_season_is_known(december):
    """Who orders within 30 days: 55 of 100 in truth; 38 without the months, which miss by 17."""
    shop, spells, fit = december
    plain = fit_at_mode(HierarchicalModel(), cells_of(spells, calendar=None))
    truth = 1.0 - shop.true_survival(30.0)
    told = {}
    for name, one in (("months", fit), ("plain", plain)):
        frame = churn_risk(one, spells, [30]).frame()
        assert frame["customer_id"].tolist() == list(shop.open_customers)
        active = (frame["silence"] < 60).to_numpy()
        told[name] = 1.0 - frame["no_return_probability"].to_numpy()[active].mean()
        width = (frame["no_return_upper"] - frame["no_return_lower"])[active].mean()
        told[name + " width"] = width
    assert truth[active].mean() == pytest.approx(0.55, abs=0.01)
    assert told["months"] == pytest.approx(truth[active].mean(), abs=0.04)
    assert told["plain"] < truth[active].mean() - 0.15
    assert told["months width"] > 1.5 * told["plain width"]


@pytest.mark.filterwarnings("ignore:a customer's repeated gaps")
def test_a_table_of_risks_is_the_same_for_any_chunk_and_after_saving(december, tmp_path):
    _, spells, fit = december
    one, two = (churn_risk(fit, spells, [30], chunk_size=size) for size in (1024, 4096))
    assert one.columns.churn.tobytes() == two.columns.churn.tobytes()
    assert one.sums[""].counts.tobytes() == two.sums[""].counts.tobytes()
    fit.save(tmp_path / "fit")
    again = churn_risk(load(tmp_path / "fit"), spells, [30])
    assert again.columns.churn.tobytes() == one.columns.churn.tobytes()
    assert "the season was learnt from 36 months" in one.caveats[0]


def test_the_past_is_what_the_cells_of_each_customer_say():
    """Cumulative hazard behind each customer: by the histories of open spells, and by the cells that a fit would see."""
    shop = shop_of("2024-01-15", "2024-07-10", n=60, frailty=0.5)
    spells = SpellTable.from_events(shop.log, shop.window, ORDERS)
    cells = cells_of(spells, customers=True)
    n = len(cells.schema.columns[-1].labels)
    rng = np.random.default_rng(1)
    draws = {
        "log_baseline": rng.normal(-4, 0.5, (3, 7)), "month": rng.normal(0, 0.5, (3, n)), "month_sd": np.full(3, 0.2),
        "frailty_sd": np.ones(3),
    }  # fmt: skip
    fit = fit_of(cells.schema, JANUARY, n, draws, frailty="gamma")
    (batch,) = OpenSpells.batches(spells, cells.schema, history=True, months=True)
    past = past_of(fit._predictor, batch, np.arange(3), "", use=True)
    own = cells.customers
    hazard = np.exp(draws["log_baseline"][:, cells.period] + draws["month"][:, cells.codes[:, 0]])
    expected = np.add.reduceat(hazard[:, own.cell] * own.exposure, own.indptr[:-1], axis=1)
    assert own.n_customers == len(batch) == past.whole.shape[1]
    np.testing.assert_allclose(past.whole[..., 0], expected, rtol=1e-9)
    for index in ([5, 2], [0]):
        few = past_of(fit._predictor, batch.take(np.array(index)), np.arange(3), "", use=True)
        np.testing.assert_allclose(few.whole, past.whole[:, index], rtol=1e-12)


@dataclass(frozen=True)
class AtMode:
    """A model that is fitted without a sampler."""

    model: HierarchicalModel
    fits_on: str = "cells"
    needs_customers: bool = False

    @property
    def calendar(self):
        return self.model.calendar

    def fit(self, table, *, rng=0, progress=False):
        return fit_at_mode(self.model, table, seed=rng)


@pytest.mark.filterwarnings("ignore:a customer's repeated gaps")
def test_a_model_with_months_is_backtested(december):
    """As of 2 October, before the orders of the season: who knows it finds the number, who does not expects too many."""
    _, spells, _ = december
    breaks = (0, 14, 30, 60, 1200)
    known = as_of_check(spells, AtMode(HierarchicalModel(calendar=True)), breaks=breaks)
    plain = as_of_check(spells, AtMode(HierarchicalModel()), breaks=breaks)
    assert known.cutoff == plain.cutoff == "2024-10-02"
    assert known.observed == plain.observed
    assert plain.observed < plain.lower
    assert known.lower <= known.observed <= known.upper


# Short logs ----------------------------------------------------------------------------------------------------


def caveat_of(fit, spells):
    (text,) = [text for text in caveats_of(fit, spells) if "season" in text]
    return text


def test_a_short_log_says_what_it_cannot_know(december):
    _, spells, _ = december
    months = hand_fit(4, sd=np.log(1.1))
    text = caveat_of(months, spells)
    assert "moves by about 10% from month to month" in text
    assert "no season: it cannot be known from 3 months" in text
    assert "around holidays" in text
    one = fit_of(schema_of(JANUARY, 1), JANUARY, 1, {"log_baseline": [np.log(RATES)]})
    assert "one calendar month" in caveat_of(one, spells)
    both = CompetingFits(two_causes())
    assert "from 3 months" in caveat_of(both, spells)


# Several causes ------------------------------------------------------------------------------------------------


def two_causes(n_draws=30, sd=0.3):
    """Two fits of one calendar, whose paths ahead are their own."""
    churn = Cancellation(("quit", "unpaid"), origin="kind:signup")
    schema = replace(schema_of(JANUARY, 3, timezone="Europe/Paris"), churn=churn)
    fits = {}
    for k, cause in enumerate(churn.causes):
        draws = {
            "log_baseline": np.log(RATES / (1 + k)) + np.zeros((n_draws, 1)),
            "month": np.tile(LEVELS[::-1] if k else LEVELS, (n_draws, 1)),
            "month_sd": np.full(n_draws, sd),
        }
        fit = fit_of(schema, JANUARY, 3, draws)
        fits[cause] = replace(fit, info=replace(fit.info, cause=cause))
    return fits


def test_causes_go_through_the_same_months():
    fits = two_causes()
    both = CompetingFits(fits)
    assert both.carries_months
    now = at("2024-03-20", "Europe/Paris")
    rows = Rows(both.schema, np.array([15.0, 200.0]), now - np.array([15, 200]) * DAY_US)
    until = rows.reached[:, None] + np.array([20.0, 60.0])
    incidence = both.cumulative_incidence(rows, until)
    stays = both.conditional_survival(rows, until)
    assert stays + incidence.sum(axis=-1) == pytest.approx(np.ones_like(stays), abs=1e-12)
    positions = both._positions(None)
    product = np.prod([fit.conditional_survival(rows, until, draws=positions[c]) for c, fit in fits.items()], axis=0)
    assert stays == pytest.approx(product, rel=1e-12)
    paths = [np.log(fits[c]._predictor.months.ratios(np.array([JANUARY + 3]), positions[c])[:, 0]) for c in fits]
    assert abs(np.corrcoef(paths)[0, 1]) < 0.6  # the same seed, and not the same future


# Learning ------------------------------------------------------------------------------------------------------


def test_levels_and_season_are_recovered():
    """Four years of 60 events a day at most; one month without days at risk, one without an event."""
    rng = np.random.default_rng(3)
    season = 0.5 * np.cos(2 * np.pi * (np.arange(12) - 11) / 12)
    walk = np.cumsum(rng.normal(0, 0.1, 48))
    levels = -3.0 + walk - walk.mean() + season[np.arange(48) % 12]
    exposure = np.full(48, 20_000.0)
    exposure[[20, 30]] = 0.0, 2.0
    cells = counted(levels, JANUARY, exposure, rng)
    assert cells.n_events[30, 0] == 0
    fit = fit_at_mode(HierarchicalModel(calendar=True), cells, n_draws=1000)
    found = np.log(fit._predictor.months.ratios(JANUARY + np.arange(48), np.arange(1000)))
    found += fit._flat["intercept"][:, None]
    miss = np.abs(found.mean(axis=0) - levels)
    known = np.delete(np.arange(48), [20, 30])
    assert miss[known].max() < 4 * 1 / np.sqrt(20_000 * np.exp(levels.min()))
    assert np.all(miss < 4 * found.std(axis=0))
    assert found.std(axis=0)[[20, 30]].min() > 2 * np.median(found.std(axis=0))
    low, high = np.quantile(fit._flat["month_sd"], [0.01, 0.99])
    assert low < 0.1 < high
    spread = fit._flat["season"] - fit._flat["season"].mean(axis=1, keepdims=True)
    assert np.abs(spread.mean(axis=0) - (season - season.mean())).max() < 0.12


def future(seed, *, n=18, people=400, horizon=60.0):
    """A walk of 18 months and its next 60 days: whether 90% intervals of the count with and without months hold it."""
    rng, first = np.random.default_rng(seed), JANUARY + 3
    level = np.cumsum(rng.normal(0, 0.25, n + 2))
    level = level - level[:n].mean() - 4.0
    cells = counted(level[:n], first, 6000.0, rng)
    now = at("2025-10-01")
    days = np.array([31.0, horizon - 31.0])
    happened = rng.binomial(people, 1 - np.exp(-np.exp(level[n:]) @ days))
    row = Rows(cells.schema, np.array([100.0]), np.array([now - 100 * DAY_US]))
    found = []
    for model in (HierarchicalModel(calendar=True), HierarchicalModel()):
        fit = fit_at_mode(model, cells, n_draws=500, seed=seed)
        chance = 1 - fit.conditional_survival(row, np.array([[100.0 + horizon]]))[:, 0, 0]
        low, high = np.quantile(rng.binomial(people, chance), [0.05, 0.95])
        found.append((low <= happened <= high, high - low))
    return found


@pytest.mark.slow
def test_totals_ahead_are_covered():
    """Forty futures: nine of ten intervals hold theirs with months, one of three without."""
    found = np.array([future(seed) for seed in range(40)], float)
    held, width = found[:, :, 0].mean(axis=0), found[:, :, 1].mean(axis=0)
    assert held[0] >= 0.80  # 36 of 40 expected
    assert held[1] < 0.6
    assert width[0] > 2 * width[1]


# Refusals ------------------------------------------------------------------------------------------------------


def test_rows_on_months_without_a_path_ahead_are_refused(december, refuses):
    _, spells, fit = december
    with refuses(FeatureError, "the months ahead are not among them", "HierarchicalModel(…, calendar=True)"):
        next(OpenSpells.batches(spells, fit.schema))
    plain = replace(fit, model=HierarchicalModel())
    with refuses(FeatureError, "the months ahead are not among them"):
        churn_risk(plain, spells, [30])
