"""What is behind a customer counts as it counted for the fit: levels it saw, its bins, its time at risk; restricted means."""

import tracemalloc
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from churnsurv.errors import ArgumentError, HorizonError
from churnsurv.hazards.frailty_prediction import posterior
from churnsurv.models.competing_rows import CauseRows
from churnsurv.models.hierarchical.model import HierarchicalModel
from churnsurv.models.hierarchical.prospects import past_of
from churnsurv.tables.cells import CellTable
from churnsurv.tables.contracts import Cancellation
from churnsurv.tables.episodes import Episodes
from churnsurv.tables.open_spells import OpenSpells
from churnsurv.tables.past import History
from churnsurv.tables.periods import PeriodTable
from churnsurv.tables.schema import UNSEEN, CellSchema, PatternColumn
from churnsurv.tables.spells import SpellTable
from tests.models.hierarchical.known_fits import constant, fit_at, frail_gaps
from tests.models.hierarchical.stretches import Stretch, cells_of, schema_of
from tests.models.saved_data import made_up_fit, shop_spells

RATE, SD = 0.02, 0.9
STORY = [Stretch(k, 1, (k % 2,), 0.0, 30.0 + k, True) for k in range(4)]


@pytest.fixture(scope="module")
def fit():
    """Both plans have one hazard; nobody has seen another."""
    table = cells_of(STORY, schema_of({"plan": "AB"}, (0.0, 100.0, 400.0)))
    found = fit_at(
        HierarchicalModel("plan", frailty="gamma"), table, constant(1, [np.log(RATE), 0.0], [0.5, SD], n_random=1)
    )
    assert not found.unseen(SimpleNamespace(schema=found.schema, codes=np.array([[0], [1]]), values=(None,))).any()
    return found


def behind(rows, *, reached=None, **columns):
    """History of one customer: (code, start, stop, event, current) each, and what else there is."""
    code, start, stop, event, current = map(np.array, zip(*rows, strict=True))
    given = {"outside": np.zeros(len(rows), bool), "values": (None,), "entry": np.zeros(len(rows)), **columns}
    return History(
        place=np.zeros(len(rows), int), start=start.astype(float), stop=stop.astype(float), event=event,
        codes=code[:, None], current=current.astype(bool), **given,
    )  # fmt: skip


def asked(fit, history, reached=30.0, code=0):
    return SimpleNamespace(
        schema=fit.schema, codes=np.array([[code]]), reached=np.array([reached]), values=(None,), history=history,
        customer_id=np.array(["a"], dtype=object),
    )  # fmt: skip


def ahead(fit, history, reached=30.0, until=60.0):
    return fit.conditional_survival(asked(fit, history, reached), np.array([[until]]))[0, 0, 0]


NOW = (0, 0, 30, 0, 1)


@pytest.mark.parametrize("left_out", ["unseen", "outside"])
def test_rows_that_the_fit_says_nothing_of_are_left_out_with_their_events(fit, left_out):
    odd = UNSEEN if left_out == "unseen" else 0
    rows = [(odd, 0, 5, 1, 0)] * 6 + [(1, 0, 40, 1, 0), NOW]
    outside = np.array([left_out == "outside"] * 6 + [False] * 2)
    expected = ahead(fit, behind(rows[6:]))
    assert ahead(fit, behind(rows, outside=outside)) == pytest.approx(expected, rel=1e-14)
    assert ahead(fit, behind([(0, *row[1:]) for row in rows])) < 0.8 * expected
    a, past = SD**-2, RATE * (40 + 30)
    assert expected == pytest.approx(((a + past) / (a + past + RATE * 30)) ** (a + 1), rel=1e-12)


def test_of_the_open_spell_only_levels_never_seen_are_left_out(fit):
    """Its time ahead is told by the nearest bin, and so is its time so far."""
    whole = ahead(fit, behind([NOW]))
    assert ahead(fit, behind([NOW], outside=np.array([True]))) == whole
    part = behind([(UNSEEN, 0, 12, 0, 1), (0, 12, 30, 0, 1)])
    a = SD**-2
    assert ahead(fit, part) == pytest.approx(((a + RATE * 18) / (a + RATE * 48)) ** a, rel=1e-12)
    # Nothing of it is known: as if it had been so all along.
    assert ahead(fit, behind([(UNSEEN, 0, 30, 0, 1)])) == whole


def test_an_event_that_does_not_count_is_still_a_sign_of_mortality():
    """On the tenure clock a customer who has left once is not immune, whatever her plan was then."""
    table = cells_of(STORY, schema_of({"plan": "AB"}, (0.0, 100.0, 400.0), tenure=True))
    fit = fit_at(HierarchicalModel("plan", cure=True), table, constant(1, [np.log(RATE), 0.0, 0.3], [0.5], n_random=1))
    rows = asked(fit, behind([(UNSEEN, 0, 20, 1, 0), NOW]))
    assert fit.probability_gone(rows)[0, 0] == 0.0
    assert fit.probability_gone(asked(fit, behind([NOW])))[0, 0] > 0.5


@pytest.mark.parametrize("reached", [30.0, 17.0])
def test_a_history_ends_where_the_customer_is_said_to_be(fit, reached):
    """Asked from an earlier time on, as fits of events in units are: what came after it is not behind her."""
    rows = [(1, 0, 40, 1, 0), (0, 0, 20, 0, 1), (0, 20, 55, 0, 1)]
    cut = [(1, 0, 40, 1, 0), *([(0, 0, 20, 0, 1), (0, 20, 30, 0, 1)] if reached == 30 else [(0, 0, 17, 0, 1)])]
    expected = ahead(fit, behind(cut), reached)
    assert ahead(fit, behind(rows), reached) == pytest.approx(expected, rel=1e-14)
    late = behind([(0, 25, 55, 0, 1)], entry=np.array([25.0]))  # entered within the unit that she is asked from
    assert ahead(fit, late, reached) == pytest.approx(ahead(fit, behind([(0, 0, reached, 0, 1)]), reached), rel=1e-14)


def test_bins_are_those_of_each_cause_s_fit():
    """The bins of all fits together are narrower than one fit's own."""
    own = PatternColumn("price", ("0–10", "10–50"), (0.0, 10.0, 50.0))
    narrow = replace(own, labels=("5–20",), edges=(5.0, 20.0))
    churn = Cancellation(("quit", "unpaid"), origin="stated")
    common, schema = (CellSchema(churn, (0.0, 90.0), (column,)) for column in (narrow, own))
    price = np.array([3.0, 7.0, 60.0])
    past = replace(behind([NOW] * 3), values=(price,), outside=narrow.outside(price))
    rows = SimpleNamespace(
        schema=common, codes=np.zeros((1, 1), int), reached=np.array([30.0]), values=(np.array([7.0]),), history=past
    )
    assert past.outside.tolist() == [True, False, True]
    assert CauseRows.of(rows, schema).history.outside.tolist() == [False, False, True]
    assert CauseRows.of(rows, schema).history.codes.ravel().tolist() == [0, 0, 1]


def whole_days(n=60, seed=3):
    """Spells of customers in whole days, the last of each open."""
    rng, rows = np.random.default_rng(seed), []
    for who in range(n):
        speed, count = rng.gamma(2.0, 0.5), rng.integers(1, 5)
        for k in range(count):
            days = int(np.ceil(rng.exponential(6.0 / speed)))
            rows.append((f"{who:03}", k + 1, days, int(k < count - 1)))
    who, life, days, event = zip(*rows, strict=True)
    frame = pa.table({"who": who, "life": life, "days": days, "event": event})
    return SpellTable.from_durations(frame, duration="days", event="event", unit="day", customer="who", spell="life")


@pytest.mark.parametrize("kind", ["weibull on rows", "piecewise on rows", "piecewise on cells"])
def test_the_frailty_of_the_history_is_the_one_that_the_fit_has_learnt(kind):
    """Rows were trained on up to their stop, cells but for half a day at events: whoever predicts counts the same."""
    spells = whole_days()
    assert spells.grain == 1.0
    periods = PeriodTable.from_spells(spells, breaks=[0, 7, 30, 200])
    on_cells = kind == "piecewise on cells"
    table = CellTable.from_periods(periods, customers=True) if on_cells else Episodes.from_periods(periods)
    weibull = kind.startswith("weibull")
    model = HierarchicalModel(frailty="gamma", baseline="weibull" if weibull else "piecewise")
    draws = constant(
        1, [-0.3, -0.4] if weibull else [-2.0], [SD] if weibull else [0.5, SD], n_random=0 if weibull else 2
    )
    fit = fit_at(model, table, draws)
    likelihood = fit.problem.density.likelihood
    cumulative = likelihood.rows.forward(draws.fixed[0], draws.random[0]).cumulative
    hazard, events = likelihood.units.certain @ cumulative, likelihood.units.events
    (batch,) = OpenSpells.batches(spells, fit.schema, history=True)
    past = fit._past(batch, np.array([0]))
    np.testing.assert_array_equal(past.events.ravel(), events)
    told, learnt = (posterior(h, events=events, variance=SD**2).mean for h in (past.whole[0, :, 0], hazard))
    np.testing.assert_allclose(told, learnt, rtol=1e-9)
    other = past_of(fit._predictor, batch, np.array([0]), "", use=True, on_cells=not on_cells)
    assert np.abs(other.whole / past.whole - 1)[0, events > 0].max() > 0.02  # the halves are seen here


def test_an_event_in_a_window_counts_in_its_middle():
    """With one event in its window, the mean of the frailty is that of quadrature within 2 %, and 6 % off at its end."""
    spells = SpellTable.from_durations(
        pa.table({"who": ["a", "a", "b"], "life": [1, 2, 1], "days": [60.0, 25.0, 30.0], "event": [1, 0, 1]}),
        duration="days", event="event", unit="day", customer="who", spell="life",
    )  # fmt: skip
    rows = Episodes.from_spells(spells)
    model = HierarchicalModel(baseline="weibull", frailty="gamma", rounded=30.0)
    fit = fit_at(model, rows, constant(1, [0.0, 0.0], [SD]))
    (batch,) = OpenSpells.batches(spells, fit.schema, history=True)
    past = fit._past(batch, np.array([0]))
    rate, a = 1.0 / fit.structure.time_scale, SD**-2
    told = posterior(past.whole, events=past.events, variance=SD**2).mean.item()
    low, high = a + rate * (30 + 25), a + rate * (60 + 25)
    truth = a * (low ** (-a - 1) - high ** (-a - 1)) / (low**-a - high**-a)
    at_stop = posterior(past.whole + rate * 15, events=past.events, variance=SD**2).mean.item()
    assert rate * 30 > 0.5
    assert told == pytest.approx(truth, rel=0.02)
    assert abs(at_stop - truth) > 3 * abs(told - truth)
    assert past.whole.item() == pytest.approx(rate * (45 + 25), rel=1e-12)


def test_numbers_outside_their_quarters_are_no_reason_to_leave_rows_out():
    """A number that enters as a number may lie anywhere; one that enters by bins may not."""
    price = PatternColumn("price", ("0–10", "10–50"), (0.0, 10.0, 50.0))
    rng = np.random.default_rng(1)
    values = rng.uniform(0, 50, 12)
    schema = replace(schema_of({}, (0.0, 400.0)), columns=(price,))
    rows = Episodes(
        schema=schema, customer_id=np.array([f"c{k}" for k in range(12)], dtype=object), spell=np.ones(12, int),
        start=np.zeros(12), stop=20.0 + np.arange(12), event=np.ones(12, int), codes=price.code_values(values)[:, None],
        values=(values,), weight=None, n_spells=12,
    )  # fmt: skip
    history = behind([(1, 0, 40, 1, 0), NOW], values=(np.array([70.0, 20.0]),), outside=np.array([True, False]))
    for binned in (frozenset(), frozenset({"price"})):
        fit = fit_at(
            HierarchicalModel("price", baseline="weibull", frailty="gamma"),
            replace(rows, binned=binned),
            constant(1, [0.0, 0.0, 0.0], [SD]),
        )
        batch = replace_values(asked(fit, history, code=1), (np.array([20.0]),))
        assert fit._past(batch, np.array([0])).events.item() == (0 if binned else 1)


def replace_values(rows, values):
    return SimpleNamespace(**{**vars(rows), "values": values})


# Restricted means ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("horizon", [-5.0, 0.0, np.nan, np.inf, "a year", True, None])
def test_a_horizon_that_is_none_is_refused(fit, horizon):
    rows = asked(fit, None)
    for ask in (fit.predict_restricted_mean_survival_time, fit.expected_remaining_lifetime):
        with pytest.raises(HorizonError, match="is no number of days ahead"):
            ask(rows, horizon)


def test_a_restricted_mean_is_the_integral_of_its_curve(fit):
    rows = SimpleNamespace(schema=fit.schema, codes=np.array([[0], [1]]), values=(None,))
    found = fit.predict_restricted_mean_survival_time(rows, 300.0)
    assert found.dims == ("chain", "draw", "customer")
    assert found.name == "rmst"
    a = SD**-2
    truth = a / RATE / (a - 1) * (1 - (1 + RATE * 300 / a) ** (1 - a))  # Lomax
    np.testing.assert_allclose(found.values, truth, rtol=1e-6)
    assert np.isnan(fit.predict_restricted_mean_survival_time(rows, 401.0)).all()


def test_restricted_means_of_many_patterns_take_no_more_memory(monkeypatch):
    """600 patterns, 100 draws and 88 nodes would be 42 MB in one array."""
    table = cells_of(frail_gaps(8, RATE, 0.5, 150.0, seed=1), schema_of({"kind": "AB"}, np.linspace(0, 400, 10)))
    model = HierarchicalModel(frailty="gamma")
    fit = fit_at(model, table, constant(100, [np.log(RATE)], [0.5, SD], n_random=8))
    rows = SimpleNamespace(schema=fit.schema, codes=np.zeros((600, 1), int), values=(None,))
    monkeypatch.setattr("churnsurv.models.hierarchical.lifetimes._AT_ONCE", 50_000)
    fit.predict_restricted_mean_survival_time(SimpleNamespace(**{**vars(rows), "codes": rows.codes[:2]}), 300.0)
    tracemalloc.start()
    found = fit.predict_restricted_mean_survival_time(rows, 300.0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.nbytes == 480_000
    assert peak < 8_000_000


def test_rows_read_without_their_past_are_refused():
    spells = shop_spells(40)
    fit = made_up_fit("frailty")
    (rows,) = OpenSpells.batches(spells, fit.schema)
    with pytest.raises(ArgumentError, match="these 40 rows do not say what is behind them") as caught:
        fit.conditional_survival(rows, np.full((40, 1), 90.0))
    assert "history=True" in caught.value.hint
    (rows,) = OpenSpells.batches(spells, fit.schema, history=True)
    assert fit.conditional_survival(rows, np.full((40, 1), 90.0)).shape == (fit.n_draws, 40, 1)
