"""Curves of a fit that knows customers apart: the hazard of whoever was at risk, from what she had done by then."""

import numpy as np
import pytest

from churnsurv.errors import ArgumentError
from churnsurv.models.hierarchical.checks import rows_of
from churnsurv.models.hierarchical.model import HierarchicalModel
from churnsurv.plots.survival import FITTED, OBSERVED, mean_survival, survival_data
from churnsurv.plots.tenure import model_draws, stretch_of
from churnsurv.tables.cells import CellTable
from churnsurv.tables.periods import PeriodTable
from tests.models.hierarchical.known_fits import constant, episodes_of, fit_at
from tests.models.hierarchical.stretches import Stretch, cells_of, schema_of

RATE, SD = 0.02, 0.9


@pytest.fixture(scope="module")
def cells(spells):
    return CellTable.from_periods(PeriodTable.from_spells(spells), customers=True)


def frail_fit(table, sd=SD):
    model = HierarchicalModel(frailty="gamma")
    n = model.bind(table).structure.layout.n_random
    return fit_at(model, table, constant(2, [np.log(RATE)], [0.5, sd], n_random=n))


def by_hand(spells, sd, times):
    """Survival of gaps by a walk through every customer's gaps in their order."""
    a, gaps = sd**-2, spells.frame().sort_values(["customer_id", "spell"])
    expected, at_risk = np.zeros(len(times) - 1), np.zeros(len(times) - 1)
    for _, own in gaps.groupby("customer_id"):
        past, events = 0.0, 0
        for length, event in zip(own["exit"], own["event"], strict=True):
            ends = np.minimum(times, length)
            hazard = (a + events) * np.diff(np.log(a + past + RATE * ends))
            expected += hazard
            at_risk += np.diff(ends)
            past, events = past + RATE * length, events + (event > 0)
    rate = np.divide(expected, at_risk, out=np.zeros_like(expected), where=at_risk > 0)
    return np.exp(-np.append(0.0, np.cumsum(rate * np.diff(times))))


def test_gaps_are_those_of_customers_as_known_by_then(spells, cells):
    fit = frail_fit(cells)
    last = fit.schema.breaks[-1]
    grid = np.unique(np.concatenate([np.linspace(0.0, last, 30), fit.schema.breaks]))
    found = mean_survival(fit, cells, grid, spells)
    assert spells.frame()["exit"].max() <= last
    np.testing.assert_allclose(found, [by_hand(spells, SD, grid)] * 2, rtol=1e-6)
    np.testing.assert_allclose(mean_survival(fit, rows_of(fit, spells), grid), found, rtol=1e-12)


def test_without_spread_it_is_the_curve_of_the_population(spells, cells):
    times = np.array([5.0, 30.0, 90.0])
    found = mean_survival(frail_fit(cells, 1e-4), cells, times, spells)
    np.testing.assert_allclose(found, [np.exp(-RATE * times)] * 2, rtol=1e-5)


def test_the_data_of_the_curve_need_the_gaps(spells, cells):
    fit = frail_fit(cells)
    data = survival_data(fit, cells, spells)
    assert set(data["series"]) == {FITTED, OBSERVED}
    fitted = data[data["series"] == FITTED]
    assert fitted["survival"].is_monotonic_decreasing
    assert fitted["survival"].iloc[0] == 1
    with pytest.raises(ArgumentError, match="cells do not say whose the gaps are"):
        survival_data(fit, cells)


def test_tenures_of_customers_who_came_again_know_their_first():
    """Second memberships carry what the first told; a single one is the population's curve."""
    schema = schema_of({}, (0, 400), tenure=True)
    story = []
    for owner in range(12):
        story += [Stretch(owner, 1, (), 0.0, 30.0, True), Stretch(owner, 2, (), 0.0, 50.0, False)]
    fit = fit_at(HierarchicalModel(frailty="gamma"), cells_of(story, schema), constant(1, [np.log(RATE)], [SD]))
    rows, times = episodes_of(story, schema), np.array([0.0, 10.0, 30.0, 50.0])
    found = model_draws(fit, rows, stretch_of(rows, np.ones(len(rows), bool)), times)[0, 0]
    a = SD**-2
    first = a * np.diff(np.log(a + RATE * times))
    second = (a + 1) * np.diff(np.log(a + 30 * RATE + RATE * times))
    rise = np.array([*(0.5 * (first + second))[:2], second[2]])
    np.testing.assert_allclose(found, np.exp(-np.append(0.0, np.cumsum(rise))), rtol=1e-10)
