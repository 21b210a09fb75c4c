"""Competing causes of which one sorts customers out: against quadrature, and whatever times are asked about."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import integrate
from scipy.special import expit

from churnsurv.errors import ArgumentError
from churnsurv.models.competing import CompetingFits
from churnsurv.models.competing_rows import CauseRows
from churnsurv.models.competing_times import points_within
from churnsurv.models.hierarchical.model import HierarchicalModel
from churnsurv.tables.contracts import Cancellation
from churnsurv.tables.past import History
from tests.models.hierarchical.known_fits import constant, episodes_of, fit_at
from tests.models.hierarchical.stretches import Stretch, cells_of, schema_of
from tests.models.test_competing import rows

CHURN = Cancellation(("quit", "unpaid"), origin="stated")
FAST, SLOW, VARIANCE, LOGIT = 0.02, 0.005, 2.0, -0.8
STORY = [Stretch(k, 1, (), 0.0, 30.0 + 10 * k, True) for k in range(6)]


def of_cause(cause, model, draws, breaks=(0.0, 365.0)):
    """A fit of one cause on cells, at given draws."""
    schema = replace(schema_of({}, breaks, tenure=True), churn=CHURN)
    table = cells_of(STORY, schema)
    fit = fit_at(model, table, draws)
    return replace(fit, info=replace(fit.info, cause=cause, fingerprint=cause))


def competing(kind="frailty"):
    """One cause that sorts customers out, and one that does not."""
    if kind == "frailty":
        first = of_cause("quit", HierarchicalModel(frailty="gamma"), constant(1, [np.log(FAST)], [np.sqrt(VARIANCE)]))
    else:
        first = of_cause("quit", HierarchicalModel(cure=True), constant(1, [np.log(FAST), LOGIT]))
    return CompetingFits(
        {"quit": first, "unpaid": of_cause("unpaid", HierarchicalModel(), constant(1, [np.log(SLOW)]))}
    )


def patterns(reached, schema):
    """Rows of which nothing is known but how long they have lasted: no customers, so none whose past is missing."""
    return CauseRows.of(rows(reached, schema), schema)


def survival(kind, t):
    """Of the first cause alone, from zero on."""
    if kind == "frailty":
        return (1 + VARIANCE * FAST * t) ** (-1 / VARIANCE)
    return expit(LOGIT) + expit(-LOGIT) * np.exp(-FAST * t)


def hazard(kind, t):
    """Of the first cause among those still there."""
    if kind == "frailty":
        return FAST / (1 + VARIANCE * FAST * t)
    return FAST * expit(-LOGIT) * np.exp(-FAST * t) / survival(kind, t)


def by_quadrature(kind, reached, until):
    left = survival(kind, reached) * np.exp(-SLOW * reached)

    def flow(t, cause):
        rate = SLOW if cause else hazard(kind, t)
        return rate * survival(kind, t) * np.exp(-SLOW * t) / left

    return [integrate.quad(flow, reached, until, args=(cause,))[0] for cause in (0, 1)]


@pytest.mark.parametrize("kind", ["frailty", "cure"])
@pytest.mark.parametrize("reached", [0.0, 40.0])
def test_incidences_are_the_integral(kind, reached):
    """Sharing a whole period by one ratio would be 0.1 and more off."""
    fits = competing(kind)
    for until in (60.0, 200.0, 360.0):
        found = fits.cumulative_incidence(patterns([reached], fits.schema), np.array([[until]]))[0, 0, 0]
        assert found == pytest.approx(by_quadrature(kind, reached, until), abs=2.5e-4)
        left = fits.conditional_survival(patterns([reached], fits.schema), np.array([[until]]))[0, 0, 0]
        assert found.sum() + left == pytest.approx(1.0, abs=1e-14)


@pytest.mark.parametrize("kind", ["frailty", "cure"])
def test_an_answer_does_not_depend_on_what_else_is_asked(kind):
    fits = competing(kind)
    alone = fits.cumulative_incidence(patterns([0.0], fits.schema), np.array([[200.0]]))[0, 0, 0]
    every = fits.cumulative_incidence(patterns([0.0], fits.schema), np.arange(1.0, 361.0)[None])[0, 0]
    farther = fits.cumulative_incidence(patterns([0.0], fits.schema), np.array([[200.0, 365.0]]))[0, 0, 0]
    assert every[199] == pytest.approx(alone, abs=2e-4)
    assert farther == pytest.approx(alone, abs=1e-14)
    assert (np.diff(every, axis=0) >= 0).all()


def test_a_customer_with_a_past_is_told_by_it():
    """Two contracts that she quit after 20 and 30 days: her frailty is gamma again, with another shape and rate."""
    fits = competing()
    history = History(
        place=np.zeros(3, int), start=np.zeros(3), stop=np.array([20.0, 30.0, 40.0]), event=np.array([1, 1, 0]),
        codes=np.zeros((3, 0), int), values=(), outside=np.zeros(3, bool), current=np.array([False, False, True]),
        entry=np.zeros(3),
    )  # fmt: skip
    asked = replace(rows([40.0], fits.schema), history=history)
    found = fits.cumulative_incidence(asked, np.array([[300.0]]))[0, 0, 0]
    shape, rate = 1 / VARIANCE + 2, 1 / VARIANCE + FAST * 90

    def flow(u, cause):
        return (
            (SLOW if cause else FAST * shape / (rate + FAST * u)) * (1 + FAST * u / rate) ** -shape * np.exp(-SLOW * u)
        )

    truth = [integrate.quad(flow, 0, 260, args=(cause,))[0] for cause in (0, 1)]
    assert found == pytest.approx(truth, abs=2e-4)


def test_points_lie_closer_at_the_beginning_of_each_period():
    points = points_within((0.0, 365.0, 370.0))
    assert {0.0, 365.0, 370.0} <= set(points)
    assert len(points) == 37 + 6 + 1
    assert np.all(np.diff(points) > 0)
    assert np.diff(points)[0] < 0.3
    assert len(points_within((0.0, 10_000.0))) == 65


# Events in units ------------------------------------------------------------------------------------------------------


def in_units(variance):
    """Weibull fits of both causes that were told of months of 30 days; the first with a frailty."""
    model, fits = HierarchicalModel(baseline="weibull", rounded=30.0), {}
    schema = replace(schema_of({}, (0.0, 360.0), tenure=True), churn=CHURN)
    for cause, sd in (("quit", [np.sqrt(variance)]), ("unpaid", [])):
        own = replace(model, frailty="gamma" if sd else None)
        fit = fit_at(own, episodes_of(STORY, schema), constant(1, [0.0, 0.2], sd))
        fits[cause] = replace(fit, info=replace(fit.info, cause=cause, fingerprint=cause))
    return CompetingFits(fits)


@pytest.mark.parametrize("reached", [55.0, 30.0])
def test_in_units_the_hazard_of_the_unit_counts_once(reached):
    """Of a customer without earlier contracts a history says nothing that the time reached does not: two roads."""
    fits = in_units(1.5)
    plain, known = patterns([reached], fits.schema), rows([reached], fits.schema)
    history = History(
        place=np.zeros(1, int), start=np.zeros(1), stop=np.array([reached]), event=np.zeros(1, int),
        codes=np.zeros((1, 0), int), values=(), outside=np.zeros(1, bool), current=np.ones(1, bool), entry=np.zeros(1),
    )  # fmt: skip
    until = reached + np.array([[1.0, 20.0, 100.0]])
    for ask in (fits.cumulative_incidence, fits.conditional_survival):
        np.testing.assert_allclose(ask(replace(known, history=history), until), ask(plain, until), rtol=1e-12)


def test_customers_without_their_past_are_refused():
    fits = competing("frailty")
    for ask in (fits.conditional_survival, fits.cumulative_incidence):
        with pytest.raises(ArgumentError, match="these 2 rows do not say what is behind them") as caught:
            ask(rows([0.0, 40.0], fits.schema), np.full((2, 1), 100.0))
        assert "history=True" in caught.value.hint


def test_parameters_of_all_causes_stand_below_each_other():
    fits = competing("frailty")
    told = fits.parameters()
    assert set(told["cause"]) <= {"quit", "unpaid"}
    frailty = told[told["parameter"] == "frailty_sd"]
    assert frailty["cause"].tolist() == ["quit"]
    assert frailty["median"].item() == pytest.approx(np.sqrt(VARIANCE))
    assert told.columns[0] == "cause"
