"""A Cox regression on 100 thousand rows, sorting included, against lifelines in the same run.

Run with ``pytest tests/benchmarks/test_cox_benchmark.py --benchmark-only -n 0 -s``. Compilation happens before the clock
starts (seconds, once per machine: compiled code is kept on disk). lifelines gets fewer rows, since it takes many seconds
for 100 thousand; its time per row is what is compared, which flatters it where its cost grows faster than the rows.
"""

import time
import warnings

import numpy as np
import pytest

from churnsurv.hazards.cox_residuals import clustered_covariance, score_residuals
from churnsurv.hazards.partial_likelihood import arrange_covariates, maximise, order_rows
from churnsurv.hazards.proportional_hazards import proportional_hazards_score_test

N_ROWS, N_COVARIATES = 100_000, 8
COEF = np.linspace(-0.4, 0.4, N_COVARIATES)
NAMES = [f"x{k}" for k in range(N_COVARIATES)]


def float_timed(n):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, N_COVARIATES))
    stop, censored = rng.exponential(np.exp(-x @ COEF)), rng.exponential(1.5, n)
    return None, np.minimum(stop, censored), stop <= censored, x, np.arange(n)


def counting_process(n):
    """Customers of up to five rows each; half of the covariates change from row to row."""
    _, stop, event, x, _ = float_timed(n * 2 // 3)
    rng = np.random.default_rng(1)
    width = np.quantile(stop, 0.95) / 4
    n_parts = np.minimum(np.floor(stop / width).astype(int) + 1, 5)
    customer = np.repeat(np.arange(len(stop)), n_parts)
    part = np.arange(len(customer)) - np.repeat(np.cumsum(n_parts) - n_parts, n_parts)
    last = part == n_parts[customer] - 1
    moving = x[customer] + np.where(np.arange(N_COVARIATES) % 2, rng.normal(size=(len(customer), N_COVARIATES)), 0.0)
    columns = part * width, np.where(last, stop[customer], (part + 1) * width), last & event[customer], moving, customer
    return tuple(column[:n] for column in columns)


def fit(start, stop, event, x, _):
    rows = order_rows(start, stop, event)
    return maximise(rows, x)


def lifelines_seconds(start, stop, event, x, customer):
    import lifelines
    import pandas as pd

    frame = pd.DataFrame(x, columns=NAMES).assign(stop=stop, event=event)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas, of lifelines' use of it
        if start is None:
            began = time.perf_counter()
            peer = lifelines.CoxPHFitter().fit(frame, "stop", "event")
        else:
            frame = frame.assign(start=start, customer=customer)
            began = time.perf_counter()
            peer = lifelines.CoxTimeVaryingFitter().fit(frame, id_col="customer", event_col="event")
    return time.perf_counter() - began, peer.params_.to_numpy()


@pytest.mark.parametrize(
    ("make", "n_peer", "least"), [(float_timed, 20_000, 10), (counting_process, 5_000, 50)], ids=["float", "start-stop"]
)
def test_cox_fit(benchmark, make, n_peer, least):
    data = make(N_ROWS)
    assert len(data[1]) == N_ROWS
    fit(*make(n_peer))
    found = benchmark.pedantic(fit, args=data, rounds=7)
    assert found.converged
    few = make(n_peer)
    seconds, coef = lifelines_seconds(*few)
    np.testing.assert_allclose(fit(*few).coef, coef, atol=1e-4)
    ours = benchmark.stats.stats.min
    ratio = (seconds / n_peer) / (ours / N_ROWS)
    benchmark.extra_info.update(ours=ours, lifelines=seconds, lifelines_rows=n_peer, ratio_per_row=ratio)
    print(
        f"\n{N_ROWS:,} rows × {N_COVARIATES}: {ours:.3f} s, {found.iterations} steps; "
        f"lifelines {seconds:.2f} s for {n_peer:,} rows; ratio per row {ratio:.0f}"
    )
    assert ratio > least


def test_cox_diagnostics(benchmark):
    """Robust errors clustered by customer and the test of proportional hazards, after a fit on (start, stop] rows."""
    start, stop, event, x, customer = counting_process(N_ROWS)
    rows = order_rows(start, stop, event)
    arranged = arrange_covariates(rows, x)
    found = maximise(rows, arranged)

    def diagnose():
        score = score_residuals(rows, arranged, found.coef, weighted=True)
        robust = clustered_covariance(score, found.covariance, customer)
        return robust, proportional_hazards_score_test(rows, arranged, found.coef)

    diagnose()
    robust, _ = benchmark.pedantic(diagnose, rounds=5)
    assert np.sqrt(np.diag(robust) / np.diag(found.covariance)) == pytest.approx(1.0, abs=0.3)
