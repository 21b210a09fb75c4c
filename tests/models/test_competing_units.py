"""Competing fits of times in whole units against Aalen and Johansen's estimate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from churnsurv.hazards.competing import aalen_johansen
from churnsurv.hazards.incidence import incidence_in_units
from churnsurv.models.competing import CompetingFits
from churnsurv.models.cox import CoxModel
from churnsurv.models.kaplan_meier import KaplanMeierModel, Steps
from churnsurv.models.weibull import WeibullModel
from churnsurv.tables.episodes import Episodes
from churnsurv.tables.spells import SpellTable
from tests.models.test_competing import CHURN, both, rows

UNIT = 30.4375
"""Days of a month that durations are counted in."""


def whole_months(total: float, n: int = 4_000, *, groups: bool = False) -> tuple[SpellTable, np.ndarray, np.ndarray]:
    """Spells in whole months of two causes, the first of them twice as frequent, censored within a year."""
    rng = np.random.default_rng(11)
    big = rng.random(n) < 0.5 if groups else np.zeros(n, bool)
    month = np.ceil(rng.exponential(-1 / np.log1p(-total), n) / np.where(big, 0.4, 1.0)).astype(int)
    cause, last = np.where(rng.random(n) < 2 / 3, 1, 2), rng.integers(1, 13, n)
    months, event = np.minimum(month, last), np.where(month <= last, cause, 0)
    frame = pd.DataFrame({"months": months, "event": event, "size": np.where(big, "big", "small")})
    size = ("size",) if groups else ()
    spells = SpellTable.from_durations(
        frame, duration="months", event="event", unit="month", causes=CHURN.kinds, labels=size
    )
    return spells, months, event


def of_months(model, spells) -> CompetingFits:
    rows = spells if isinstance(model, KaplanMeierModel) else Episodes.from_spells(spells)
    return CompetingFits({cause: model.fit(rows.with_cause(cause)) for cause in spells.churn.causes})


def at_months(fits, times, level=0, reached=0.0) -> np.ndarray:
    """Mean incidences over the draws, shape (n_times, n_causes)."""
    customer = rows([reached], fits.schema, np.full((1, len(fits.schema.columns)), level))
    found = fits.cumulative_incidence(customer, np.asarray(times, float)[None])
    left = fits.conditional_survival(customer, np.asarray(times, float)[None])
    assert found.sum(axis=-1) + left == pytest.approx(1.0, abs=4e-15)
    return found.mean(axis=0)[0]


@pytest.fixture(scope="module", params=[0.1, 0.2, 0.6])
def months(request):
    spells, time, event = whole_months(request.param)
    return spells, aalen_johansen(time, event), request.param


def test_whole_months_of_kaplan_meier_are_aalen_johansen(months):
    """Both causes at one time: multiplying their curves would leave q1 q2 too many, 0.08 of 0.6 in the first month."""
    spells, right, total = months
    fits = of_months(KaplanMeierModel(rounded=UNIT), spells)
    found = at_months(fits, right.times * UNIT)
    assert found == pytest.approx(right.cumulative_incidence.T, abs=1e-12)
    assert found[0].sum() == pytest.approx(total, abs=0.025)
    alone = np.prod([fit.conditional_survival(rows([0.0]), np.array([[UNIT]])) for fit in fits.fits.values()])
    assert 1 - alone < found[0].sum() - 0.1 * total**2


def test_within_a_month_incidences_rise_evenly(months):
    """From any day: (F(until) - F(reached)) / S(reached) of Aalen and Johansen's curves drawn as straight lines."""
    spells, right, _ = months
    fits = of_months(KaplanMeierModel(rounded=UNIT), spells)
    known = np.concatenate([[0.0], right.times * UNIT])
    curves = np.column_stack([np.interp(days := np.array([7.0, 12.0, 25.0, 30.4375, 50.0, 77.0]), known, [0.0, *one])
                              for one in right.cumulative_incidence])  # fmt: skip
    assert at_months(fits, days) == pytest.approx(curves, abs=1e-12)
    for k in range(len(days) - 1):
        later = (curves[k + 1 :] - curves[k]) / (1 - curves[k].sum())
        assert at_months(fits, days[k + 1 :], reached=days[k]) == pytest.approx(later, abs=1e-12)


@pytest.mark.parametrize(
    ("model", "bound"), [(CoxModel(rounded=UNIT), 0.0015), (WeibullModel(rounded=UNIT), 0.012)], ids=["cox", "weibull"]
)
def test_whole_months_of_other_fits(months, model, bound):
    """Against Aalen and Johansen's estimate of the same spells, while 100 of them are at risk."""
    spells, right, total = months
    fits = of_months(model, spells)
    seen = right.n_at_risk >= 100
    found = at_months(fits, right.times[seen] * UNIT)
    assert np.abs(found - right.cumulative_incidence.T[seen]).max() < bound
    assert found[0].sum() == pytest.approx(total, abs=0.025)


@pytest.mark.parametrize(
    "model", [CoxModel("size", rounded=UNIT), WeibullModel("size", rounded=UNIT)], ids=["cox", "weibull"]
)
def test_whole_months_of_two_sizes(model):
    """True chances of 0.6 and 0.31 in each month, hazards in proportion: what each size loses in one month."""
    spells, *_ = whole_months(0.6, groups=True)
    fits = of_months(model, spells)
    for level, name in enumerate(fits.schema.columns[0].labels):
        gone = -np.expm1(np.log1p(-0.6) * (0.4 if name == "big" else 1.0))
        found = at_months(fits, [UNIT], level)[0]
        assert found == pytest.approx(np.array([2, 1]) / 3 * gone, abs=0.035)


def test_units_only_where_all_fits_have_the_same():
    spells, *_ = whole_months(0.6)
    whole = KaplanMeierModel(rounded=UNIT)
    some = {"cancelled": whole.fit(spells.with_cause("cancelled"))}
    other = spells.with_cause("payment_failed")
    for second in (KaplanMeierModel(), KaplanMeierModel(rounded=UNIT / 2)):
        fits = CompetingFits({**some, "payment_failed": second.fit(other)})
        found = at_months(fits, [UNIT])[0].sum()
        alone = np.prod([fit.conditional_survival(rows([0.0]), np.array([[UNIT]])) for fit in fits.fits.values()])
        assert found == pytest.approx(1 - alone, abs=1e-14)


def test_units_in_any_company(monkeypatch):
    """The same bytes alone, in company, beside other horizons, and in blocks."""
    spells, *_ = whole_months(0.2, 600, groups=True)
    fits = of_months(CoxModel("size", rounded=UNIT), spells)
    rng = np.random.default_rng(1)
    customers = rows(rng.uniform(0, 200, 30), fits.schema, rng.integers(0, 2, (30, 1)))
    until = customers.reached[:, None] + np.array([5.0, UNIT, 100.0])
    some = np.arange(0, fits.n_draws, 25)
    asked = (fits.cumulative_incidence, fits.conditional_survival)
    whole = [ask(customers, until, draws=some) for ask in asked]
    for index in (np.array([7]), np.arange(9, 22)):
        for ask, values in zip(asked, whole, strict=True):
            part = ask(customers.take(index), until[index], draws=some)
            assert part.tobytes() == np.ascontiguousarray(values[:, index]).tobytes()
    alone = fits.conditional_survival(customers, until[:, 1:2], draws=some)
    assert (alone == whole[1][:, :, 1:2]).all()
    monkeypatch.setattr("churnsurv.models.competing._FLOATS", 1_000)
    for ask, values in zip(asked, whole, strict=True):
        assert ask(customers, until, draws=some).tobytes() == values.tobytes()


def test_units_unknown_from_the_end_on():
    """The first cause is last seen in month 1: nobody knows which comes first after that, and before it all is known."""
    spells, *_ = whole_months(0.6)
    first = KaplanMeierModel(rounded=UNIT).fit(spells.with_cause("cancelled"))
    short = replace(first, steps=Steps(np.array([UNIT]), np.array([0.7]), np.array([100])))
    fits = both(short, KaplanMeierModel(rounded=UNIT).fit(spells.with_cause("payment_failed")))
    until = np.array([[UNIT / 2, UNIT, UNIT * 1.1, UNIT * 2]])
    found = fits.cumulative_incidence(rows([0.0]), until)[0, 0]
    assert np.isnan(found).tolist() == [[False] * 2] * 2 + [[True] * 2] * 2
    assert np.isnan(fits.conditional_survival(rows([0.0]), until)[0, 0]).tolist() == [False, False, True, True]


chance = st.floats(0, 1)


@given(a=st.lists(chance, min_size=4, max_size=4), b=st.lists(chance, min_size=4, max_size=4), by=chance)
def test_units_share_what_there_is(a, b, by):
    """Chances of a unit that add up to more than one are shared; the first unit may have begun."""
    edges = np.cumprod(np.column_stack([[1.0, 1.0], [a, b]]), axis=1)
    reached = edges[:, :1] + by * 0.9 * (edges[:, 1:2] - edges[:, :1])
    found = incidence_in_units(edges, reached, edges[:, 1:], np.arange(4))
    assert (found >= 0).all()
    assert (found.sum(axis=0) <= 1 + 1e-12).all()
    assert (np.diff(found, axis=1) >= -1e-15).all()


def test_units_by_hand():
    """0.7 and 0.6 leave nobody, shared 7 : 6; halfway through 0.3 + 0.2, 0.15 + 0.1 of the 0.75 left go."""
    sure = incidence_in_units(np.array([[1.0, 0.3, 0.1], [1.0, 0.4, 0.2]]), np.ones((2, 1)),
                              np.array([[0.3, 0.1], [0.4, 0.2]]), np.array([0, 1]))  # fmt: skip
    assert sure == pytest.approx(np.array([[7 / 13, 7 / 13], [6 / 13, 6 / 13]]), abs=1e-15)
    half = incidence_in_units(np.array([[1.0, 0.7], [1.0, 0.8]]), np.array([[0.85], [0.9]]),
                              np.array([[0.7], [0.8]]), np.array([0]))  # fmt: skip
    assert half[:, 0] == pytest.approx([0.15 / 0.75, 0.1 / 0.75], abs=1e-15)
