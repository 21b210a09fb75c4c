"""Slopes of a number that vary by group: the unit of the number does not matter, nor where it is zero."""

import numpy as np
import pyarrow as pa
import pytest

from churnsurv.models.hierarchical.comparison import natural_of
from churnsurv.models.hierarchical.model import HierarchicalModel
from churnsurv.tables.episodes import Episodes
from churnsurv.tables.open_spells import OpenSpells
from churnsurv.tables.spells import SpellTable

MODEL = HierarchicalModel("age", groups={"shop": "1 + age"}, baseline="weibull")
YEARS_PER = {"years": 1.0, "days": 365.25, "centuries": 0.01}
N = 600


def spells_with_age_in(per_year, shift=0.0):
    rng = np.random.default_rng(0)
    age, shop = rng.normal(40, 10, N), np.arange(N) % 10
    slope = 0.02 + rng.normal(0, 0.03, 10)
    time = rng.exponential(np.exp(3.5 - (age - 40) * slope[shop]))
    table = pa.table(
        {
            "who": [f"{i:04}" for i in range(N)],
            "days": np.minimum(time, 60.0) + 1e-3,
            "event": (time < 60.0).astype(int),
            "shop": [f"s{k}" for k in shop],
            "age": (age + shift) * per_year,
        }
    )
    return SpellTable.from_durations(
        table, duration="days", event="event", unit="day", customer="who", labels=["shop"], values=["age"]
    )


def fitted(per_year, shift=0.0):
    return MODEL.fit(Episodes.from_spells(spells_with_age_in(per_year, shift)), method="laplace", draws=500, rng=1)


@pytest.fixture(scope="module")
def in_years():
    return fitted(1.0)


@pytest.fixture(scope="module")
def in_days():
    return fitted(365.25, shift=1000.0)


def test_units_and_zero_of_a_slope_do_not_matter(in_years, in_days):
    other, per_year = in_days, 365.25
    assert other.info.status == in_years.info.status == "ok"
    one, two = (fit.posterior["posterior"].to_dataset() for fit in (in_years, other))
    units = np.array([1.0, per_year])  # of the intercept and of the slope
    for name in ("shop_effect", "shop_effect_sd"):
        spread = one[name].std(("chain", "draw")).values
        apart = (two[name].mean(("chain", "draw")).values * units) - one[name].mean(("chain", "draw")).values
        # The same draws but for what rounding moves in the search: far below the Monte Carlo error of 1,000 draws.
        assert np.all(np.abs(apart) < 0.15 * spread)
    assert np.allclose(one["coef"].mean(), per_year * two["coef"].mean(), rtol=0.02)


def test_predictions_know_the_slopes_unit(in_years, in_days):
    survival = []
    for fit, spells in ((in_years, spells_with_age_in(1.0)), (in_days, spells_with_age_in(365.25, 1000.0))):
        (rows,) = OpenSpells.batches(spells, fit.schema)
        survival.append(fit.conditional_survival(rows, np.array([75.0, 120.0])).mean(axis=0))
    one, two = survival
    assert len(one) > 50
    assert one.std() > 0.05
    assert np.max(np.abs(one - two)) < 0.01


def test_named_and_back(in_years):
    natural = natural_of(in_years, np.arange(5))
    problem = MODEL.bind(Episodes.from_spells(spells_with_age_in(1.0)))
    named, _ = problem.structure.named(
        type(natural)(*(part[None] for part in (natural.fixed, natural.random, natural.sd)), np.zeros((1, 5, 1)))
    )
    for name in ("coef", "shop_effect", "shop_effect_sd"):
        np.testing.assert_allclose(named[name][1][0], in_years._flat[name][:5], rtol=1e-12)


def test_hazards_of_rows_are_those_of_the_effects_named(in_years):
    """By hand: what is reported multiplies the number less its mean."""
    spells = spells_with_age_in(1.0)
    rows = Episodes.from_spells(spells)
    problem = MODEL.bind(rows)
    draws = np.arange(3)
    natural = natural_of(in_years, draws)
    mean = problem.structure.terms.centre[0]
    age = rows.values[[c.name for c in rows.schema.columns].index("age")]
    shop = rows.codes[:, [c.name for c in rows.schema.columns].index("shop")]
    flat = in_years._flat
    for d in draws:
        effect = flat["shop_effect"][d]
        by_hand = (
            flat["intercept"][d] + flat["coef"][d, 0] * (age - mean) + effect[shop, 0] + effect[shop, 1] * (age - mean)
        )
        linear = problem.density.likelihood.rows.linear
        np.testing.assert_allclose(linear.eta(natural.fixed[d], natural.random[d]), by_hand, rtol=1e-9)
