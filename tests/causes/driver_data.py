"""Fits of linear models whose drivers tests ask for: real ones of a few simulated rows, and ones with given draws."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
from sklearn.linear_model import LogisticRegression

from churnsurv.models.cox import CoxModel
from churnsurv.models.discrete import DiscreteHazardModel
from churnsurv.models.hierarchical.density import Natural
from churnsurv.models.weibull import WeibullModel
from churnsurv.tables.features import Count
from churnsurv.tables.periods import PeriodTable
from tests.models.cox_data import rows_of, simulated
from tests.models.hierarchical.known_fits import fit_at
from tests.models.saved_data import BREAKS, FEATURES, shop_spells

DATA = simulated(400, seed=4)
ROWS = rows_of(DATA)
FREE = LogisticRegression(C=np.inf, max_iter=5000, tol=1e-10)


@cache
def cox_fit():
    """A number, and another one whose effect differs by plan."""
    return CoxModel("a + b * plan").fit(ROWS, draws=60)


@cache
def weibull_fit():
    """The same."""
    return WeibullModel("a + b * plan").fit(ROWS, draws=60)


@cache
def shop_periods():
    """Two texts and a number."""
    features = [*FEATURES, Count("order", days=30, name="orders")]
    return PeriodTable.from_spells(shop_spells(100), breaks=BREAKS, features=features)


@cache
def logistic_fit():
    """A logistic regression without a penalty."""
    return DiscreteHazardModel(FREE).fit(shop_periods())


def made_known(model, table, n_draws=40, seed=0):
    """A fit with given draws."""
    layout, rng = model.bind(table).structure.layout, np.random.default_rng(seed)
    natural = Natural(
        rng.normal(-3, 0.3, (n_draws, layout.n_fixed)),
        rng.normal(0, 0.3, (n_draws, layout.n_random)),
        0.3 * np.exp(rng.normal(0, 0.2, (n_draws, layout.n_sd))),
        rng.normal(0, 0.3, (n_draws, layout.n_free)),
    )
    fit = fit_at(model, table, natural)
    return replace(fit, info=replace(fit.info, n_draws=n_draws))
