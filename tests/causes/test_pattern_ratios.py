"""Ratios of rates whose customers count: against statsmodels, closed forms, and the definition written out."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import brentq

from churnsurv.causes.patterns.ratios import Customers, RateRatios


def ratio_of(customer, exposure, events, inside, *, trials=False):
    rows = Customers.of(np.asarray(customer), np.asarray(exposure, float), np.asarray(events, float))
    return RateRatios.stack([rows.compare(np.asarray(inside, bool))], trials=trials)


def score(customer, exposure, events, inside, theta, trials=False, customers_only=False):
    """The definition, customer by customer; without the variance of independent events if asked for."""
    e1, e0 = exposure[inside].sum(), exposure[~inside].sum()
    d1, d0 = events[inside].sum(), events[~inside].sum()
    pooled = (d1 + d0) / (theta * e1 + e0)
    w = []
    for who in np.unique(customer):
        mine = customer == who
        a, b = events[mine & inside].sum() / e1, events[mine & ~inside].sum() / e0
        c = exposure[mine & inside].sum() / e1 - exposure[mine & ~inside].sum() / e0
        w.append(a - theta * b - theta * pooled * c)
    kappa = 1.0 if trials else 0.0
    v = theta * pooled * max(1 - kappa * theta * pooled, 0) / e1 + theta**2 * pooled * max(1 - kappa * pooled, 0) / e0
    spread = sum(x * x for x in w)
    return sum(w) / math.sqrt(spread if customers_only else max(spread, v)) if spread > 0 else 0.0


@pytest.fixture(scope="module")
def clustered():
    """Eighty customers with five rows each, of very different rates."""
    rng = np.random.default_rng(3)
    customer = np.repeat(np.arange(80), 5)
    exposure, inside = rng.exponential(10, 400), rng.random(400) < 0.4
    rate = 0.08 * rng.gamma(0.5, 2, 80)[customer] * np.where(inside, 1.5, 1)
    return customer, exposure, rng.poisson(rate * exposure).astype(float), inside


def test_score_is_that_of_generalised_estimating_equations(clustered):
    """Statsmodels: Poisson, independence working correlation, robust score test (Boos 1992)."""
    gee = pytest.importorskip("statsmodels.genmod.generalized_estimating_equations")
    customer, exposure, events, inside = clustered
    design = np.column_stack([np.ones(400), inside])

    def model(columns):
        return gee.GEE(events, columns, groups=customer, family=gee.families.Poisson(), exposure=exposure)

    found = model(design).compare_score_test(model(design[:, :1]).fit())
    ratio = ratio_of(*clustered)
    assert ratio.p_value[0] * 2 == pytest.approx(float(found["p-value"]), abs=1e-9)
    wald = np.exp(model(design).fit().conf_int(0.10)[1])  # the same question to the first order
    np.testing.assert_allclose(np.ravel(ratio.interval(0.90)), wald, rtol=0.06)


@pytest.mark.parametrize("trials", [False, True])
def test_bounds_are_where_a_test_just_does_not_reject(clustered, trials):
    customer, exposure, events, inside = clustered
    if trials:
        exposure, events = np.ones(400), np.minimum(events, 1)
    rows = (customer, exposure, events, inside)
    ratio, quantile = ratio_of(*rows, trials=trials), stats.norm.ppf(0.95)
    (lower,), (upper,) = ratio.interval(0.90)
    assert 0 < lower < ratio.estimate[0] < upper < math.inf
    assert score(*rows, lower, trials) == pytest.approx(quantile, abs=1e-9)
    assert score(*rows, upper, trials) == pytest.approx(-quantile, abs=1e-9)
    assert ratio.p_value[0] == pytest.approx(stats.norm.sf(score(*rows, 1.0, trials)), abs=1e-12)


def test_few_rows_by_hand():
    """Events 2 in 20 days inside, 1 in 40 outside, four customers.

    Pooled rate 1/20; score 2/20 − 1/40 = 0.075; squares 2 · 0.025² + 0.025² = 0.001875 are less than
    0.05/20 + 0.05/40 = 0.00375, so z = 0.075 / √0.00375 = √1.5.
    """
    ratio = ratio_of([0, 1, 2, 3], [10, 10, 20, 20], [1, 1, 1, 0], [1, 1, 0, 0])
    assert ratio.estimate[0] == pytest.approx(4.0, abs=1e-12)
    assert ratio.p_value[0] == pytest.approx(stats.norm.sf(math.sqrt(1.5)), abs=1e-12)
    # (0.1 − θ/40)² = q² · 3θ/800 while events are taken for independent: a quadratic equation.
    q = stats.norm.ppf(0.60)
    low, high = sorted(np.roots([1 / 1600, -0.005 - q**2 * 3 / 800, 0.01]).real)
    (lower,), (upper,) = ratio.interval(0.20)
    assert (lower, upper) == pytest.approx((low, high), rel=1e-9)
    # Two customers with an event inside: no score above √2, so no lower bound at 90 %; one outside: no upper one.
    assert (np.ravel(ratio.interval(0.90)) == [0.0, math.inf]).all()


def test_rare_events_outside_are_not_taken_for_certainty():
    """20 of 90 against 0 of 10: the classical pooled z of two shares, since none outside has no spread of its own."""
    events = [1] * 20 + [0] * 80
    ratio = ratio_of(range(100), np.ones(100), events, [1] * 90 + [0] * 10, trials=True)
    z = (20 / 90) / math.sqrt(0.2 * 0.8 * (1 / 90 + 1 / 10))
    assert ratio.p_value[0] == pytest.approx(stats.norm.sf(z), abs=1e-12)
    assert ratio.p_value[0] > 0.04
    assert math.isinf(ratio.estimate[0])
    (lower,), (upper,) = ratio.interval(0.90)
    assert math.isinf(upper)
    found = brentq(lambda t: score(np.arange(100), np.ones(100), np.array(events, float), np.arange(100) < 90, t, True)
                   - stats.norm.ppf(0.95), 0.1, 5)  # fmt: skip
    assert lower == pytest.approx(found, rel=1e-9)


def test_without_an_outside_nothing_is_told():
    ratio = ratio_of([0, 1], [1.0, 2.0], [1, 0], [1, 1])
    assert ratio.p_value[0] == 1.0
    assert np.isnan(ratio.estimate[0])
    assert np.isnan(np.ravel(ratio.interval(0.90))).all()


def test_without_an_event_inside_there_is_an_upper_bound():
    ratio = ratio_of(range(60), np.ones(60), [0] * 30 + [1] * 15 + [0] * 15, [1] * 30 + [0] * 30)
    (lower,), (upper,) = ratio.interval(0.90)
    assert (ratio.estimate[0], lower) == (0.0, 0.0)
    assert 0 < upper < 1
    assert ratio.p_value[0] > 0.99


ROWS = st.lists(
    st.tuples(st.integers(0, 8), st.floats(0.1, 50), st.integers(0, 3), st.booleans()), min_size=4, max_size=40
)


@settings(max_examples=60, deadline=None)
@given(ROWS, st.floats(0.05, 0.95))
def test_what_a_row_is_does_not_matter(rows, share):
    """Cutting every row in two changes nothing."""
    customer, exposure, events, inside = (np.array(column) for column in zip(*sorted(rows), strict=True))
    if inside.all() or not inside.any() or not events.any():
        return
    whole = ratio_of(customer, exposure, events, inside)
    twice = [np.repeat(one, 2) for one in (customer, inside)]
    parts = np.column_stack([share * exposure, (1 - share) * exposure]).ravel()
    cut = ratio_of(twice[0], parts, np.column_stack([0 * events, events]).ravel(), twice[1])
    assert cut.p_value[0] == pytest.approx(whole.p_value[0], rel=1e-6, abs=1e-9)
    np.testing.assert_allclose(cut.estimate, whole.estimate, rtol=1e-9)


@settings(max_examples=60, deadline=None)
@given(ROWS, st.integers(2, 50))
def test_repeating_customers_rows_makes_nothing_surer(rows, times):
    """However often the rows of the same customers are repeated: the customers alone say how sure one can be."""
    customer, exposure, events, inside = (np.array(column) for column in zip(*sorted(rows), strict=True))
    if inside.all() or not inside.any() or not events.any():
        return
    again = ratio_of(*[np.repeat(one, times) for one in (customer, exposure, events, inside)])
    alone = score(customer, exposure, events, inside, 1.0, customers_only=True)
    n_customers = len(np.unique(customer))
    assert again.p_value[0] >= stats.norm.sf(min(max(alone, 0.0), math.sqrt(n_customers))) * (1 - 1e-6)


def test_two_customers_are_never_enough():
    """A thousand events each, and none elsewhere, in a condition that holds for two customers alone.

    Inside, each contributes 1/2 − 0.04/2, outside 0.04/48: z² = 1 / (2 · 0.48² + 48 · (0.04/48)²).
    """
    customer = np.repeat(np.arange(50), 1000)
    ratio = ratio_of(customer, np.ones(50_000), customer < 2, customer < 2)
    assert ratio.p_value[0] == pytest.approx(stats.norm.sf((2 * 0.48**2 + 48 * (0.04 / 48) ** 2) ** -0.5), abs=1e-12)
    assert ratio.p_value[0] > 0.05
    as_rows = ratio_of(np.arange(50_000), np.ones(50_000), customer < 2, customer < 2)
    assert as_rows.p_value[0] < 1e-12


def test_size_and_coverage():
    """One-sided tests at 5 % and 1 % of rows that only their customers tell apart; bounds of a true ratio of 2."""
    rng, many = np.random.default_rng(5), 1_500
    customer = np.repeat(np.arange(60), 4)
    null, twice = [], []
    for _ in range(many):
        rate = 0.02 * rng.gamma(1.0, 1.0, 60)[customer]
        inside = (rng.random(60) < 0.4)[customer]  # a customer is in the condition for good: the hardest case
        exposure = rng.exponential(10, 240)
        for found, effect in ((null, 1.0), (twice, 2.0)):
            events = rng.poisson(rate * exposure * np.where(inside, effect, 1.0)).astype(float)
            found.append(Customers.of(customer, exposure, events).compare(inside))
    p_values = RateRatios.stack(null, trials=False).p_value
    assert 0.025 < np.mean(p_values < 0.05) < 0.05 + 3 * math.sqrt(0.05 * 0.95 / many)
    assert np.mean(p_values < 0.01) < 0.01 + 3 * math.sqrt(0.01 * 0.99 / many)
    lower, upper = RateRatios.stack(twice, trials=False).interval(0.90)
    assert 0.87 < np.mean((lower < 2) & (upper > 2)) < 0.94
    assert np.mean(lower > 2) < 0.07
    assert np.mean(upper < 2) < 0.07
