"""A Cox model from rows to a fit with a thousand draws, and lifelines' own fitter on the same kernel.

Run with ``pytest tests/benchmarks/test_cox_model_benchmark.py --benchmark-only -n 0 -s``. What the kernel alone takes is in
``test_cox_benchmark.py``; here is all that a user waits for: checks, formula, strata, maximum, baseline, draws.
"""

import numpy as np
import pytest

from churnsurv.models.cox import CoxModel
from tests.benchmarks.test_cox_benchmark import (
    N_ROWS,
    NAMES,
    counting_process,
    float_timed,
    lifelines_seconds,
)
from tests.models.rows import episodes, open_rows


def rows_of(start, stop, event, x, customer):
    """One spell a customer."""
    names = np.array([f"customer-{i}" for i in customer], dtype=object)
    return episodes(stop, event, dict(zip(NAMES, x.T, strict=True)), start=start, customer=names)


@pytest.mark.parametrize(
    ("make", "n_peer", "least"), [(float_timed, 20_000, 5), (counting_process, 5_000, 20)], ids=["float", "start-stop"]
)
def test_cox_model(benchmark, make, n_peer, least):
    rows, model = rows_of(*make(N_ROWS)), CoxModel(" + ".join(NAMES))
    model.fit(rows_of(*make(2_000)))
    fit = benchmark.pedantic(model.fit, args=(rows,), rounds=7)
    assert fit.info.reliable
    few = make(n_peer)
    seconds, coef = lifelines_seconds(*few)
    np.testing.assert_allclose(model.fit(rows_of(*few), draws=1).coef, coef, atol=1e-4)
    ours = benchmark.stats.stats.min
    ratio = (seconds / n_peer) / (ours / N_ROWS)
    benchmark.extra_info.update(ours=ours, lifelines=seconds, lifelines_rows=n_peer, ratio_per_row=ratio)
    print(
        f"\n{N_ROWS:,} rows × {len(NAMES)}, 1,000 draws: {ours:.3f} s; lifelines, without draws, {seconds:.2f} s for "
        f"{n_peer:,} rows; ratio per row {ratio:.0f}"
    )
    assert ratio > least


def test_lifelines_on_the_kernel(benchmark):
    """The same call as in lifelines; most of what is left are its own frames."""
    import pandas as pd

    from churnsurv.models.cox_lifelines import KernelCoxPHFitter

    _, stop, event, x, _ = float_timed(20_000)
    frame = pd.DataFrame(x, columns=NAMES).assign(stop=stop, event=event)
    fitter = benchmark.pedantic(lambda: KernelCoxPHFitter().fit(frame, "stop", "event"), rounds=5, warmup_rounds=1)
    seconds, coef = lifelines_seconds(*float_timed(20_000))
    np.testing.assert_allclose(fitter.params_, coef, atol=1e-4)
    assert seconds / benchmark.stats.stats.min > 3


def test_risk_of_ten_thousand_customers(benchmark):
    """Conditional survival in chunks of 1,024 customers, 1,000 draws, one horizon; the cost grows with customers."""
    rows = rows_of(*float_timed(N_ROWS))
    fit = CoxModel(" + ".join(NAMES)).fit(rows)
    last = float(np.quantile(rows.stop, 0.9))

    def score():
        for start in range(0, 10 * 1024, 1024):
            new = open_rows(rows, 0.2 * last, np.arange(start, start + 1024))
            fit.conditional_survival(new, np.full((1024, 1), 0.5 * last))

    score()
    benchmark.pedantic(score, rounds=3)
    assert benchmark.stats.stats.min < 10
