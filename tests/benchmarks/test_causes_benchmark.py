"""What a network of causes costs, against pgmpy on the same rows and the same network.

Run with ``pytest tests/benchmarks/test_causes_benchmark.py --benchmark-only -n 0 -s``. Pgmpy learns point tables of the same nodes
with churn as one more of them, and answers one point query; churnsurv learns 1,000 draws with the hazard as leaf, and answers in
all of them.
"""

import importlib
import time
import warnings

import numpy as np
import pandas as pd
import pytest

from churnsurv.causes.inference.discrete_network import DiscreteNetwork
from tests.causes.known_shop import BREAKS, SHORT, known_shop, network, spells_of
from tests.causes.test_published_networks import shipped, shipped_text

N_DRAWS = 1_000


def quiet(name):
    """Import of a library that warns when it is imported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(name)


def seconds(run):
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


@pytest.mark.parametrize("n_customers", [20_000, 200_000])
def test_learning(benchmark, n_customers):
    models = quiet("pgmpy.models")
    drawn = network()
    rows = drawn.rows(spells_of(known_shop(n_customers, rng=1)), breaks=BREAKS)
    fit = benchmark.pedantic(lambda: drawn.fit(rows, n_draws=N_DRAWS), rounds=3, warmup_rounds=1)
    frame = rows.frame()[list(rows.names)].assign(churn=np.where(rows.event == 0, "yes", "no"))
    frame = frame.astype("category")

    def theirs():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            models.DiscreteBayesianNetwork(list(drawn.dag.edges)).fit(frame)

    peer = min(seconds(theirs) for _ in range(2))
    ours = benchmark.stats["min"]
    print(f"\n{len(rows):,} spells: churnsurv {ours:.2f} s for {N_DRAWS:,} draws, pgmpy {peer:.2f} s for a point")
    asked = seconds(lambda: fit.effect("wait", SHORT, by="country"))
    print(f"an effect by country in all draws {1000 * asked:.0f} ms")
    assert np.isfinite(fit.effect("wait", SHORT).draws()).all()


def test_asking(benchmark):
    """One posterior query to the alarm network, 37 nodes, in 1,000 draws of its tables."""
    inference = quiet("pgmpy.inference")
    point = shipped("alarm")
    theirs = quiet("pgmpy.readwrite").BIFReader(string=shipped_text("alarm")).get_model()
    rng = np.random.default_rng(0)
    cpts = {name: _draws(table, rng) for name, table in point.cpts.items()}
    drawn = DiscreteNetwork(names=point.names, states=point.states, parents=point.parents, cpts=cpts)
    given = {"HRBP": "HIGH", "CO": "LOW"}
    benchmark.pedantic(lambda: drawn.query("HYPOVOLEMIA", given), rounds=5, warmup_rounds=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        machine = inference.VariableElimination(theirs)
        peer = min(seconds(lambda: machine.query(["HYPOVOLEMIA"], given, show_progress=False)) for _ in range(3))
    ours = benchmark.stats["min"]
    print(f"\nalarm: churnsurv {1000 * ours:.1f} ms for {N_DRAWS:,} draws, pgmpy {1000 * peer:.1f} ms for one")
    assert drawn.query("HYPOVOLEMIA", given).draws.shape == (N_DRAWS, 2)


def _draws(table, rng):
    """Tables around the published ones."""
    noise = rng.gamma(np.broadcast_to(200 * table + 1e-3, (N_DRAWS, *table.shape[1:])))
    return noise / noise.sum(axis=-1, keepdims=True)


def test_customers(benchmark):
    """Everybody at risk, one by one, is a few thousand patterns."""
    spells = spells_of(known_shop(200_000, rng=1))
    fit = network().fit(spells, breaks=BREAKS, n_draws=N_DRAWS)
    found = benchmark.pedantic(lambda: fit.counterfactual(spells, {"wait": SHORT}), rounds=1)
    print(
        f"\n{len(found.customers):,} customers in {found.customers.n_patterns:,} patterns: {benchmark.stats['min']:.1f} s"
    )
    assert isinstance(found.frame(), pd.DataFrame)
