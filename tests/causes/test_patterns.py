"""Patterns before churn: every number by hand, against counting in pandas and against cells; refusals."""

import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy import stats

from churnsurv.causes.patterns.rows import PatternRows
from churnsurv.causes.patterns.rules import find_patterns
from churnsurv.datasets import load_pysurvival_churn, simulate_shop, simulate_subscription
from churnsurv.errors import ArgumentError, EmptyDataError, HorizonError, ModelSupportError, NoEventsError
from churnsurv.tables.bins import Quantiles
from churnsurv.tables.cells import CellTable
from churnsurv.tables.churn import Silence
from churnsurv.tables.contracts import Cancellation
from churnsurv.tables.features import Arrival, Count, Recency, Value
from churnsurv.tables.periods import PeriodTable
from churnsurv.tables.spells import SpellTable
from churnsurv.tables.window import ObservationWindow
from tests.causes.drawn_patterns import rows_of, rules

EVERYTHING = {"min_events": 1, "min_share": 0.0, "false_discovery": 1.0}
INF = math.inf


def durations(days, left, engine=None, **labels):
    """Periods of one customer a row."""
    frame = pa.table({"days": days, "left": left, **labels})
    spells = SpellTable.from_durations(
        frame, duration="days", event="left", unit="day", labels=list(labels), engine=engine
    )
    return PeriodTable.from_spells(spells)


@pytest.fixture
def plans(engine):
    """Two customers of plan a in 20 days, both gone; two of plan b in 40, one gone."""
    return durations([9.5, 10.5, 19.5, 20.5], [1, 1, 1, 0], engine, plan=["a", "a", "b", "b"])


def at(day):
    """Microseconds of a day of 2024, the first of January being 0."""
    return 1_704_067_200_000_000 + round(day * 86_400_000_000)


# By hand


def test_every_number_by_hand(plans):
    """3 events in 60 days: plan a has 2 in 20, plan b 1 in 40; z = ±√1.5, see the test of the ratios."""
    found = find_patterns(plans, **EVERYTHING, ci_prob=0.20)
    assert (found.n_events, found.exposure, found.n_customers, found.unit) == (3, 60.0, 4, "day")
    assert (found.rate, found.n_examined, found.n_candidates, found.status) == (5.0, 2, 2, "associational")
    a, b = found.rules
    assert (a.rule, a.conditions, a.n_events, a.n_customers, a.exposure) == ("plan a", (("plan", "a"),), 2, 2, 20.0)
    p = stats.norm.sf(math.sqrt(1.5))
    q = stats.norm.ppf(0.60)
    lower, upper = sorted(np.roots([1 / 1600, -0.005 - q**2 * 3 / 800, 0.01]).real)
    expected = {
        "support": 1 / 3, "share_of_events": 2 / 3, "rate": 10.0, "confidence": 1 - math.exp(-3), "lift": 2.0,
        "rate_ratio": 4.0, "lower": lower, "upper": upper, "p_value": p, "p_beyond": p, "p_adjusted": 2 * p,
    }  # fmt: skip
    assert {name: getattr(a, name) for name in expected} == pytest.approx(expected, abs=1e-9)
    assert (b.rate, b.lift, b.rate_ratio) == pytest.approx((2.5, 0.5, 0.25))
    assert (b.p_value, b.p_adjusted) == pytest.approx((1 - p, 1 - p))
    assert find_patterns(plans, **EVERYTHING, horizon=90).rules[0].confidence == pytest.approx(1 - math.exp(-9))


def test_words(plans):
    found = find_patterns(plans, **EVERYTHING, ci_prob=0.20)
    assert repr(found) == "Patterns(2 of 2 combinations come before churn: 3 events in 60 days; associational)"
    first, second = found.sentences()
    assert first == "plan a: 4.0 times the rate of churn elsewhere (2.9 to 5.4), 33% of the time at risk, 67% of churn"
    assert str(found) == f"2 patterns before churn (20% intervals; associational, no causes):\n  {first}\n  {second}"
    assert str(found.top(1)).splitlines()[1:] == [f"  {first}"]
    assert len(found.top(1)) == 1
    with pytest.raises(ArgumentError, match="`k`=0 is below 1"):
        found.top(0)
    assert (
        find_patterns(plans, **EVERYTHING)
        .sentences()[0]
        .startswith("plan a: 4.0 times the rate of churn elsewhere (anything)")
    )
    gone = rules(rows_of([[0], [0], [1]], [10, 10, 20], [1, 1, 0]), max_conditions=1)
    assert gone.sentences()[0].startswith("x0 a: churn here and nowhere else (")


def test_frame_says_what_it_is(plans):
    frame = find_patterns(plans, **EVERYTHING).frame()
    assert frame["rule"].tolist() == ["plan a", "plan b"]
    assert frame["n_conditions"].tolist() == [1, 1]
    assert (frame["status"] == "associational").all()
    assert frame["rate_ratio"].tolist() == pytest.approx([4.0, 0.25])
    none = find_patterns(plans, min_events=1, false_discovery=1e-6)
    assert len(none) == 0
    assert list(none.frame().columns) == list(frame.columns)


def test_silences_by_hand(make_log, engine):
    """30 days of silence. Of seven orders that can be followed, four were followed by none in time.

    a: day 0 (back after 10), 10 (back after exactly 30: too late), 40 (back after 20), 60 (silent). b: day 0 (closed on
    day 5: churn), c: day 0 (silent). d: day 70 (opened 20 days before the end: not followed, though it came back), 72.
    e: day 59 (back on day 60), 60 (the last that can be followed: its 30 days end with the window).
    """

    orders = [("a", 0, "FR"), ("a", 10, "DE"), ("a", 40, "FR"), ("a", 60, "DE"), ("b", 0, "FR"), ("c", 0, "DE"),
              ("d", 70, "DE"), ("d", 72, "FR"), ("e", 59, "FR"), ("e", 60, "DE")]  # fmt: skip
    log = make_log([(who, at(day), "order", 1.0, label) for who, day, label in orders] + [("b", at(5), "close")])
    window = ObservationWindow("2024-01-01", "2024-03-31")  # day 90
    churn = Silence(("order",), 30, terminal=("close",))
    periods = PeriodTable.from_spells(SpellTable.from_events(log, window, churn), features=[Value("order", "label")])
    found = find_patterns(periods, **EVERYTHING)
    # FR: a0, a40, e59 came back, b closed. DE: a10, a60, c0, e60 fell silent.
    assert {r.rule: (r.n_events, r.exposure, r.confidence, r.rate) for r in found.rules} == {
        "value_order_label DE": (4, 4.0, 1.0, 100.0), "value_order_label FR": (1, 4.0, 0.25, 25.0),
    }  # fmt: skip
    assert (found.unit, found.n_events, found.exposure, found.horizon) == ("spell", 5, 8.0, None)
    assert [(part.exposure, part.n_events) for part in found.left_out] == [(2.0, 0)]
    assert "too late to be followed for 30 days" in found.left_out[0].reason
    assert "of the spells" in found.sentences()[0]
    silent = find_patterns(periods, cause="silence", **EVERYTHING)
    assert (silent.n_events, silent.event_name) == (4, "silence")
    assert find_patterns(periods, cause="closure", **EVERYTHING).rules[0].conditions == (("value_order_label", "FR"),)
    for days in (10, 12):  # a0, b and e59 are gone, a0 after ten days to the microsecond
        late = find_patterns(periods, after=days, **EVERYTHING)
        assert {r.rule: (r.n_events, r.exposure, r.support) for r in late.rules} == {
            "value_order_label DE": (4, 4.0, 0.8)
        }
    back = find_patterns(periods, outcome="return", **EVERYTHING)
    assert (back.n_events, back.unit, back.event_name) == (5, "day", "return")
    assert back.exposure == 10 + 30 + 20 + 30 + 5 + 90 + 2 + 18 + 1 + 30


def test_a_fact_counts_from_its_arrival_on(make_log):
    """A ticket on day 5 splits the time at risk of ten days in two; the event belongs to what was known then."""
    rows = [
        ("a", 0, "signup"),
        ("a", 5, "ticket"),
        ("a", 10.5, "quit"),
        ("b", 0, "signup"),
        ("c", 1, "signup"),
        ("c", 4, "quit"),
    ]
    log = make_log([(who, at(day), kind) for who, day, kind in rows])
    spells = SpellTable.from_events(
        log, ObservationWindow("2024-01-01", "2024-01-21"), Cancellation(("quit",), origin="kind:signup")
    )
    found = find_patterns(PeriodTable.from_spells(spells, features=[Arrival("ticket")]), **EVERYTHING)
    assert {r.conditions[0][1]: (r.n_events, r.exposure) for r in found.rules} == {
        "arrived": (1, 5.5), "not yet": (1, 5.0 + 20.0 + 3.0),
    }  # fmt: skip


# Against other counts


@pytest.fixture(scope="module")
def shop_periods():
    shop = simulate_shop(150, rng=3, start="2024-01-01", end="2025-01-01")
    spells = SpellTable.from_events(shop.log, shop.window, Silence(("order",), 60))
    features = [Count("order", days=60), Arrival("delivery"), Value("order", "country")]
    return {
        "spell": PeriodTable.from_spells(spells, features=features),
        "months": PeriodTable.from_spells(spells, features=features, calendar="month", breaks=[0, 30, 400]),
        "period": PeriodTable.from_spells(spells, features=[Recency("order", days=90), features[2]], as_of="period"),
        "landmark": PeriodTable.from_landmarks(spells, horizon=60, features=[features[0], features[2]]),
    }


BINS = {"count_order_60d": [0, 1, 2, INF], "recency_order_90d": [0, 14, 45, 90]}


def counted_in_pandas(frame, found):
    """Exposure, events and customers of each rule from rows as they are shown."""
    for rule in found.rules:
        here = pd.Series(True, index=frame.index)
        for name, level in rule.conditions:
            here &= frame[name] == level
        yield rule, frame[here]


def levels_of(periods, columns):
    """Rows whose numbers are bins and whose blanks have names; rows that are not known are left out."""
    frame = periods.frame()
    for name, column in columns.items():
        if column.edges is None:
            frame[name] = frame[name].where(frame[name].notna(), column.blank)
            continue
        edges = [*column.edges]
        bins = pd.cut(frame[name], edges, labels=column.labels[: len(edges) - 1], include_lowest=True).astype(object)
        frame[name] = bins.where(frame[name].notna(), column.blank)
    return frame


@pytest.mark.parametrize(
    ("case", "more"), [("spell", ["period"]), ("months", []), ("period", ["period"]), ("landmark", [])]
)
def test_returns_are_those_counted_in_pandas(shop_periods, case, more):
    periods = shop_periods[case]
    names = [feature.name for feature in periods.features] + (["calendar_month"] if periods.calendar else []) + more
    bins = {name: edges for name, edges in BINS.items() if name in names}
    rows = PatternRows.read(periods, by=names, bins=bins, outcome="return", cause="any", after=0.0)
    found = find_patterns(
        periods,
        by=names,
        bins=bins,
        outcome="return",
        max_conditions=2,
        min_events=5,
        min_share=0.0,
        false_discovery=1.0,
    )
    frame = levels_of(periods, {column.name: column for column in rows.columns if column.name != "period"})
    if "period" in more:
        labels = {column.name: column.labels for column in rows.columns}["period"]
        frame["period"] = [labels[k] for k in frame["period"]]
    known = periods.spells.engine.frame(f"SELECT known FROM ({periods.sql}) ORDER BY customer_id, spell, start_us")[
        "known"
    ]
    frame = frame[known.to_numpy()]
    assert len(found) > 10
    for rule, part in counted_in_pandas(frame, found):
        assert rule.n_events == (part["event"] == 1).sum()
        assert rule.exposure == pytest.approx(part["exposure"].sum(), rel=1e-9)
        assert rule.n_customers == part["customer_id"].nunique()
    left = sum(part.exposure for part in found.left_out), sum(part.n_events for part in found.left_out)
    assert found.exposure + left[0] == pytest.approx(periods.spells.exposure_us / 86_400_000_000, rel=1e-12)
    assert found.n_events + left[1] == periods.spells.n_events[0]


def test_silences_are_those_counted_in_pandas(shop_periods):
    """Deliveries that had arrived after five days of silence."""
    periods = shop_periods["spell"]
    found = find_patterns(periods, by=["arrival_delivery"], after=5.0, **EVERYTHING)
    frame, spells = periods.frame(), periods.spells.frame()
    known = periods.spells.engine.frame(f"SELECT known FROM ({periods.sql}) ORDER BY customer_id, spell, start_us")[
        "known"
    ]
    frame = frame[known.to_numpy() & (frame["start"] <= 5) & (frame["stop"] > 5)]
    end = periods.spells.end_us
    rows = frame.merge(spells[["customer_id", "spell", "origin", "exit"]], on=["customer_id", "spell"])
    rows = rows[rows["origin"] + 60 * 86_400_000_000 <= end]
    for rule in found.rules:
        part = rows[rows["arrival_delivery"].isna() == (rule.conditions[0][1] == "not yet")]
        assert (rule.exposure, rule.n_events) == (len(part), (part["exit"] >= 60).sum())
    assert len(found) == 2
    assert found.exposure == len(rows)


def test_levels_of_a_column_add_up():
    periods = PeriodTable.from_spells(load_pysurvival_churn())
    found = find_patterns(periods, bins=Quantiles(3), max_conditions=1, **EVERYTHING)
    sums = {}
    for rule in found.rules:
        total = sums.setdefault(rule.conditions[0][0], [0, 0.0, 0.0, 0.0])
        sums[rule.conditions[0][0]] = [a + b for a, b in zip(
            total, (rule.n_events, rule.exposure, rule.support, rule.share_of_events), strict=True)]  # fmt: skip
    assert len(sums) == 12
    for total in sums.values():
        assert total == pytest.approx([found.n_events, found.exposure, 1.0, 1.0])
    assert found.exposure + sum(part.exposure for part in found.left_out) == pytest.approx(236_165, abs=0.5)


def test_rates_are_those_of_the_cells():
    """Also where half of the month of an event is not lived, and where causes compete."""
    periods = PeriodTable.from_spells(load_pysurvival_churn(), breaks=[0, 400])
    cells = CellTable.from_periods(periods, by=["product_payroll"]).frame().set_index("product_payroll")
    for rule in find_patterns(periods, by=["product_payroll"], **EVERYTHING).rules:
        cell = cells.loc[rule.conditions[0][1]]
        assert (rule.n_events, rule.exposure) == pytest.approx((cell["n_events"], cell["exposure"]), rel=1e-12)
    business = simulate_subscription(400, rng=2)
    churn = Cancellation(business.truth.causes, origin="kind:signup")
    periods = PeriodTable.from_spells(
        SpellTable.from_events(business.log, business.window, churn),
        breaks=[0, 5000],
        features=[Value("signup", "plan")],
    )
    cells = CellTable.from_periods(periods).frame().set_index("value_signup_plan")
    for cause in churn.causes:
        found = find_patterns(periods, cause=cause, **EVERYTHING)
        assert found.event_name == cause
        assert {r.conditions[0][1]: r.n_events for r in found.rules} == {
            level: n for level, n in cells[f"n_events_{cause}"].items() if n
        }
    both = find_patterns(periods, cause=churn.causes, **EVERYTHING)
    assert both.rules == find_patterns(periods, **EVERYTHING).rules
    assert both.event_name == " or ".join(churn.causes)


def test_the_order_of_rows_does_not_matter(engine):
    rng = np.random.default_rng(9)
    days, left = rng.exponential(50, 200) + 1, rng.integers(0, 2, 200)
    plan, place = rng.choice(["a", "b", "c"], 200), rng.choice(["x", "y"], 200)
    order = rng.permutation(200)
    one = find_patterns(durations(days, left, engine, plan=plan, shop=place), **EVERYTHING)
    other = find_patterns(
        durations(days[order], left[order], engine, plan=plan[order], shop=place[order]), **EVERYTHING
    )
    pd.testing.assert_frame_equal(one.frame(), other.frame(), rtol=1e-9)


# Refusals


def refused(error, call, *parts):
    with pytest.raises(error) as caught:
        call()
    for part in parts:
        assert part in str(caught.value)


def test_columns_and_bins_are_refused(shop_periods, plans):
    def ask(periods=shop_periods["spell"], **settings):
        return lambda: find_patterns(periods, **settings)

    refused(
        ArgumentError, ask(by=["plan"]), "there is no column 'plan'", "count_order_60d, arrival_delivery", '"period"'
    )
    refused(ArgumentError, ask(by=["period", "period"]), "named twice")
    refused(ArgumentError, ask(by=[]), "no column to make conditions of")
    refused(
        ArgumentError,
        ask(),
        "1 of 3 columns are numbers without bins: 'count_order_60d'",
        "Quantiles(4)",
        "where it begins",
    )
    refused(ArgumentError, ask(bins={"arrival_delivery": [0, 1]}), "is text, and has no bins")
    refused(ArgumentError, ask(bins={"nothing": [0, 1]}), "is no feature")
    refused(ArgumentError, lambda: find_patterns(plans.spells), "SpellTable was given", "PeriodTable.from_spells")


def test_questions_are_refused(shop_periods, plans):
    shop = {"by": ["value_order_country"]}

    def ask(periods=plans, **settings):
        return lambda: find_patterns(periods, **settings)

    refused(ArgumentError, ask(outcome="win"), "`outcome`='win' is unknown", '"return"')
    refused(ArgumentError, ask(outcome="return"), "Cancellation models the end of a contract, not a return")
    refused(ArgumentError, ask(cause="price"), "there is no cause 'price'", "causes are: churned")
    refused(ArgumentError, ask(cause=()), "`cause` is empty")
    refused(ArgumentError, ask(after=5), "the outcome is no silence")
    refused(ArgumentError, ask(shop_periods["spell"], after=60, **shop), "no day of silence from 0 to before 60")
    refused(ArgumentError, ask(shop_periods["spell"], after="x", **shop), "no day of silence")
    refused(
        ArgumentError,
        ask(shop_periods["spell"], horizon=30, **shop),
        "a silence takes its 60 days",
        "leave horizon out",
    )
    refused(
        ModelSupportError,
        ask(shop_periods["landmark"], **shop),
        "rows at landmarks meet a silence in the middle",
        "return",
    )
    refused(ArgumentError, ask(horizon=[30, 60]), "names 2 horizons")
    refused(HorizonError, ask(horizon=-1), "not positive")
    refused(ArgumentError, ask(max_conditions=0), "`max_conditions`=0")
    refused(ArgumentError, ask(min_events=0), "`min_events`=0")
    refused(ArgumentError, ask(min_share=1.0), "[0, 1)", "min_share=0.01")
    refused(ArgumentError, ask(false_discovery=0.0), "(0, 1]", "false_discovery=0.10")
    refused(ArgumentError, ask(ci_prob=1.0), "ci_prob")


def test_data_are_refused(engine):
    refused(NoEventsError, lambda: find_patterns(durations([1.5, 2.5], [0, 0], engine, plan=["a", "b"])),
            "there is not one churn in 4 days", "Nothing precedes")  # fmt: skip
    frame = pa.table({"days": [1.5, 2.0], "left": [1, 0], "plan": ["a", "b"], "w": [1.0, 2.0]})
    weighted = SpellTable.from_durations(
        frame, duration="days", event="left", unit="day", weight="w", labels=["plan"], engine=engine
    )
    refused(ModelSupportError, lambda: find_patterns(PeriodTable.from_spells(weighted)), "carry weights")
    frame = frame.drop_columns("w").append_column("n", pa.array([1.0, 2.0]))
    numbers = PeriodTable.from_spells(
        SpellTable.from_durations(frame, duration="days", event="left", unit="day", values=["n"], engine=engine)
    )
    outside = find_patterns(numbers, bins={"n": [0, 1]}, **EVERYTHING)
    assert [(p.reason, p.exposure) for p in outside.left_out] == [("outside the bin edges of n", 2.0)]
    refused(
        EmptyDataError,
        lambda: find_patterns(numbers, bins={"n": [5, 9]}),
        "no day is left",
        "outside the bin edges of n",
    )


def test_a_missing_extra_is_named(monkeypatch, plans):
    monkeypatch.setitem(sys.modules, "mlxtend.frequent_patterns", None)
    refused(
        ModelSupportError,
        lambda: find_patterns(plans),
        "mlxtend, which is not installed",
        "pip install 'churnsurv[patterns]'",
    )


def test_warnings_stay_as_they_were():
    """Importing mlxtend turns deprecation warnings on for the whole process; asking for patterns does not."""
    code = (
        "import pandas, warnings, churnsurv.causes.patterns.rules as p, churnsurv.causes.patterns.candidates as c, sys;"
        "assert 'mlxtend' not in sys.modules; before = list(warnings.filters); c._fpgrowth();"
        "assert 'mlxtend' in sys.modules; assert list(warnings.filters) == before"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
