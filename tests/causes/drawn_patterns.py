"""Rows of customers with levels drawn at random, and the rules found on them, for several tests here."""

import numpy as np

from churnsurv.causes.patterns.candidates import PatternCandidates
from churnsurv.causes.patterns.rows import PatternRows
from churnsurv.causes.patterns.rules import rules_of
from churnsurv.tables.schema import PatternColumn


def rows_of(codes, exposure, events, customer=None, *, unit="day", n_levels=2):
    codes = np.asarray(codes, np.int64)
    columns = tuple(PatternColumn(f"x{k}", tuple("abcdef"[:n_levels])) for k in range(codes.shape[1]))
    customer = np.arange(len(codes)) if customer is None else np.asarray(customer)
    return PatternRows(columns, codes, customer, np.asarray(exposure, float), np.asarray(events, float), unit=unit)


def rules(rows, *, max_conditions=2, min_events=1, min_share=0.0, false_discovery=1.0, horizon=30.0):
    candidates = PatternCandidates.of(rows, max_conditions=max_conditions, min_events=min_events, min_share=min_share)
    return rules_of(rows, candidates, false_discovery=false_discovery, horizon=horizon, ci_prob=0.90)


def simulated(rng, *, planted=1.0, both=1.0, n_customers=250, n_rows=4, frailty=0.0):
    """Rows of customers with five columns of two levels; levels stay with a customer."""
    customer = np.repeat(np.arange(n_customers), n_rows)
    codes = rng.integers(0, 2, (n_customers, 5))[customer]
    rate = (
        0.04 * np.where(codes[:, 0] == 1, planted, 1.0) * np.where((codes[:, 1] == 1) & (codes[:, 2] == 1), both, 1.0)
    )
    rate = rate * (rng.gamma(1 / frailty, frailty, n_customers)[customer] if frailty else 1.0)
    exposure = rng.exponential(10, len(customer))
    return rows_of(codes, exposure, rng.poisson(rate * exposure), customer)
