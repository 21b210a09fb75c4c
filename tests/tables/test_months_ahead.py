"""Where customers at risk stand in the calendar: zeros of their clocks, the month of now, local months."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from churnsurv.errors import DefinitionError, FeatureError
from churnsurv.tables.cells import CellTable
from churnsurv.tables.churn import Silence
from churnsurv.tables.contracts import Cancellation
from churnsurv.tables.features import Count, Value
from churnsurv.tables.open_spells import OpenSpells, check_same_definition
from churnsurv.tables.parts import month_moments, month_name, month_number, month_starts
from churnsurv.tables.periods import PeriodTable
from churnsurv.tables.schema import UNSEEN
from churnsurv.tables.spells import SpellTable
from churnsurv.tables.window import DAY_US, ObservationWindow, resolve_moment

ORDERS = Silence(("order",), 40)
ROWS = [
    ("a", "2024-01-11", "order", 10.0, "FR"), ("a", "2024-02-05", "order", 20.0, "DE"), ("b", "2024-01-21", "order", 50.0, "DE"),
]  # fmt: skip


@pytest.fixture
def spells(make_log):
    def build(rows=ROWS, churn=ORDERS, *, end="2024-02-20", timezone="UTC"):
        return SpellTable.from_events(make_log(rows, timezone=timezone), ObservationWindow("2024-01-01", end), churn)

    return build


def schema_of(table, *features, calendar="month", **settings):
    periods = PeriodTable.from_spells(table, features=features, breaks=(0, 100), calendar=calendar)
    return CellTable.from_periods(periods, **settings).schema


def test_zeros_of_the_clocks_and_the_month_of_now(spells):
    table = spells()
    schema = schema_of(table, Value("order", "label"), Count("order", days=5), bins={"count_order_5d": [0, 1, 9]})
    (batch,) = OpenSpells.batches(table, schema, months=True, history=True)
    moments = [resolve_moment(day, "UTC") for day in ("2024-01-11", "2024-02-05", "2024-01-21")]
    assert batch.origin.tolist() == moments[1:]
    assert (batch.reached * DAY_US + batch.origin).tolist() == [table.end_us] * 2
    assert batch.levels[-1].tolist() == ["2024-02"] * 2
    assert batch.codes[:, -1].tolist() == [1, 1]
    assert batch.history.origin.tolist() == moments
    assert batch.history.codes[:, -1].tolist() == [1, 1, 1]  # not cut at months: the zero of the clock tells them
    other = batch.take(np.array([1]))
    assert (other.origin.tolist(), other.history.origin.tolist()) == (moments[2:], moments[2:])


def test_without_a_calendar_nothing_is_told(spells):
    table = spells()
    (batch,) = OpenSpells.batches(table, schema_of(table, calendar=None), months=True, history=True)
    assert batch.origin is None
    assert batch.history.origin is None


@pytest.mark.parametrize(
    ("end", "timezone", "label", "code"),
    [
        ("2024-03-01", "UTC", "2024-03", UNSEEN),  # the month that begins now was never seen
        ("2024-02-29T23:59:59", "UTC", "2024-02", 1),
        ("2024-02-29T23:30:00+00:00", "Europe/Paris", "2024-03", 2),  # half past midnight in Paris
    ],
)
def test_now_lies_in_a_month_of_the_zone(spells, end, timezone, label, code):
    table = spells(end=end, timezone=timezone)
    (batch,) = OpenSpells.batches(table, schema_of(table), months=True)
    assert batch.levels[0].tolist() == [label] * 2
    assert batch.codes[:, 0].tolist() == [code] * 2


def test_a_contract_has_the_zero_of_its_tenure(spells):
    churn = Cancellation(("quit",), origin="kind:signup")
    rows = [("a", "2023-11-02", "signup"), ("b", "2024-01-02", "signup"), ("b", "2024-01-05", "quit")]
    table = spells(rows, churn)
    (batch,) = OpenSpells.batches(table, schema_of(table), months=True, history=True)
    assert batch.origin.tolist() == batch.history.origin.tolist() == [resolve_moment("2023-11-02", "UTC")]
    assert batch.history.entry.tolist() == [60.0]


@pytest.mark.parametrize("timezone", ["UTC", "Europe/Paris", "America/Sao_Paulo", "Asia/Kolkata"])
def test_months_are_those_of_the_zone(timezone):
    first = 12 * 2017 + 0
    moments = month_moments(first, first + 35, timezone)
    for k, moment in enumerate(moments.tolist()):
        assert month_number(moment, timezone) == first + k
        assert month_number(moment - 1, timezone) == first + k - 1
        local = dt.datetime.fromtimestamp(moment / 1e6, ZoneInfo(timezone))
        assert month_name(first + k) == f"{local:%Y-%m}"
        assert (local.day, local.hour) == (1, 0)


def test_months_that_a_window_touches(spells):
    table = spells(end="2024-03-01")
    assert [name for name, _, _ in month_starts(table)] == ["2024-01", "2024-02"]
    assert month_starts(table)[-1][2] == table.end_us


def test_months_ahead_need_a_fit_that_carries_them_and_dates(spells, refuses, make_log):
    table = spells()
    schema = schema_of(table)
    with refuses(FeatureError, "the months ahead are not among them", "HierarchicalModel(…, calendar=True)"):
        check_same_definition(table, schema)
    check_same_definition(table, schema, months=True)
    undated = SpellTable.of_relation(table.relation, table.churn)
    with refuses(DefinitionError, "there is no log, and no calendar"):
        check_same_definition(undated, schema_of(spells()), months=True)
