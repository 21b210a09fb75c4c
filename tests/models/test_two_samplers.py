"""Two samplers agree: this library's NUTS on its closed form, and nutpie on the same model written in PyMC."""

import numpy as np
import pytest

from churnsurv.models.hierarchical.model import HierarchicalModel
from churnsurv.tables.churn import Silence
from churnsurv.tables.episodes import Episodes
from churnsurv.tables.schema import CellSchema, PatternColumn
from tests.models.conftest import shop_table

pytest.importorskip("nutpie", reason="nutpie is not installed: it is in the extra nuts")
WITHIN = 4.0
"""Monte Carlo standard errors."""


def gaps():
    """Sixty customers with four gaps each, at a rhythm of their own: the last one is still open."""
    rng, n_customers, n_gaps = np.random.default_rng(5), 60, 4
    n = n_customers * n_gaps
    rhythm = rng.gamma(2.0, 0.5, n_customers).repeat(n_gaps)
    number = rng.normal(size=n)
    length = 30.0 * (rng.exponential(size=n) / (rhythm * np.exp(0.4 * number))) ** (1 / 1.2) + 0.1
    column = PatternColumn("x", ("all",), (float(number.min()), float(number.max())))
    event = np.tile([1, 1, 1, 0], n_customers)
    return Episodes(
        schema=CellSchema(Silence(("order",), 90), (0.0, float(length.max())), (column,)),
        customer_id=np.array([f"c{i:02}" for i in range(n_customers)], dtype=object).repeat(n_gaps),
        spell=np.tile(np.arange(1, n_gaps + 1), n_customers),
        start=np.zeros(n),
        stop=np.where(event == 1, length, 0.6 * length),
        event=event,
        codes=np.zeros((n, 1), np.int64),
        values=(number,),
        weight=None,
        n_spells=n,
    )


CASES = {
    "piecewise, groups": (HierarchicalModel("plan + price", groups=("country",)), shop_table),
    "weibull, frailty": (HierarchicalModel("x", baseline="weibull", frailty="gamma"), gaps),
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", CASES)
def test_two_samplers_agree(case):
    import arviz_stats
    import pymc as pm

    model, build = CASES[case]
    table = build()
    fit = model.fit(table, rng=1)
    assert fit.info.status == "ok"
    with model.pymc_model(table):
        other = pm.sample(
            nuts_sampler="nutpie", draws=2000, tune=1000, chains=4, cores=2, random_seed=2, progressbar=False
        )
    names = list(fit.posterior["posterior"].data_vars)
    ours, theirs = (tree["posterior"].to_dataset()[names] for tree in (fit.posterior, other))
    compared = 0
    for method in ("mean", "sd"):
        errors = [arviz_stats.mcse(draws, method=method) for draws in (ours, theirs)]
        for name in names:
            values = [
                draws[name].mean(("chain", "draw")) if method == "mean" else draws[name].std(("chain", "draw"))
                for draws in (ours, theirs)
            ]
            error = np.hypot(errors[0][name].values, errors[1][name].values)
            apart = np.abs(values[0].values - values[1].values) / error
            assert np.all(apart < WITHIN), f"{method} of {name}: {np.max(apart):.1f} standard errors apart"
            compared += error.size
    assert compared >= 2 * len(names)
    assert max(float(value.values.max()) for value in arviz_stats.rhat(theirs).data_vars.values()) < 1.01
