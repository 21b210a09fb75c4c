"""Independence of the hazard: by hand, the log-rank test, a Poisson regression's score test, levels held.

Tolerances: 1e-9 between two roads to one number; simulated levels within Monte Carlo error of 5 per cent.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from churnsurv.causes.hazard_independence import hazard_independence_test
from churnsurv.errors import ArgumentError, MissingValueError
from churnsurv.hazards import log_rank_test

quick = settings(max_examples=25, deadline=None)


def pieces(seed: int, n: int = 80, n_customers: int = 15) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "x": rng.integers(0, 3, n),
        "stratum": rng.integers(0, 4, n),
        "events": (rng.random(n) < 0.4).astype(int),
        "exposure": rng.uniform(1, 30, n),
        "customer": rng.integers(0, n_customers, n),
    }


def test_hazard_by_hand() -> None:
    """Stratum 1: 3 events, shares 1/3 and 2/3; stratum 2: 2 events, shares 1/2. Expected 1 + 1, variance 2/3 + 1/2."""
    found = hazard_independence_test(["a", "b", "a", "b"], [1, 1, 2, 2], events=[2, 1, 2, 0], exposure=[10, 20, 5, 5])
    np.testing.assert_allclose(found.expected, [2, 3], rtol=1e-12)
    np.testing.assert_allclose(found.covariance, np.array([[1, -1], [-1, 1]]) * 7 / 6, rtol=1e-9)
    assert found.statistic == pytest.approx(4 / (7 / 6), rel=1e-9)
    assert (found.dof, found.n_strata, found.levels) == (1, 2, ("a", "b"))
    assert found.p_value == pytest.approx(chi2.sf(24 / 7, 1), rel=1e-9)
    assert found.frame()["ratio"].tolist() == pytest.approx([2.0, 1 / 3])


@quick
@given(seed=st.integers(0, 10_000))
def test_the_log_rank_test_is_a_stratum_per_event(seed: int) -> None:
    """Without ties: everyone at risk at an event has exposure 1 in its stratum."""
    rng = np.random.default_rng(seed)
    times, group = rng.permutation(30) + 1.0, np.repeat([0, 1, 2], 10)
    event = rng.random(30) < 0.7
    event[:6] = True
    rows = [
        (group[i], moment, int(times[i] == moment), 1.0)
        for moment in times[event]
        for i in np.flatnonzero(times >= moment)
    ]
    found = hazard_independence_test(*np.array(rows).T)
    expected = log_rank_test(times, event, group)
    assert (found.statistic, found.dof) == (pytest.approx(expected.statistic, rel=1e-9), expected.df)
    np.testing.assert_allclose(found.covariance, expected.covariance, rtol=1e-8, atol=1e-10)


def efficient(rows: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Score of a Poisson regression on level and stratum where the level has no effect; its two covariances."""
    level = np.eye(3)[rows["x"]][:, 1:]
    nuisance = np.eye(4)[rows["stratum"]]
    total = nuisance.T @ rows["events"], nuisance.T @ rows["exposure"]
    mean = (nuisance @ (total[0] / total[1])) * rows["exposure"]
    information = {
        (i, j): a.T @ (mean[:, None] * b)
        for i, a in enumerate([level, nuisance])
        for j, b in enumerate([level, nuisance])
    }
    slope = information[0, 1] @ np.linalg.inv(information[1, 1])
    each = (level - nuisance @ slope.T) * (rows["events"] - mean)[:, None]
    return each.sum(axis=0), information[0, 0] - slope @ information[1, 0], each


@quick
@given(seed=st.integers(0, 10_000))
def test_the_score_test_of_a_poisson_regression(seed: int) -> None:
    rows = pieces(seed)
    score, spread, _ = efficient(rows)
    found = hazard_independence_test(*(rows[name] for name in ("x", "stratum", "events", "exposure")))
    np.testing.assert_allclose((found.observed - found.expected)[1:], score, rtol=1e-9, atol=1e-9)
    assert found.statistic == pytest.approx(score @ np.linalg.solve(spread, score), rel=1e-9)
    assert found.dof == 2


@quick
@given(seed=st.integers(0, 10_000))
def test_the_sandwich_of_a_poisson_regression(seed: int) -> None:
    """Ten copies of every row: all design effects are above 1, and the statistic is the sandwich's."""
    rows = pieces(seed, n=300, n_customers=20)
    copied = {name: np.repeat(values, 10) for name, values in rows.items()}
    score, _, each = efficient(copied)
    at_risk = np.bincount(copied["stratum"], copied["exposure"])
    own = np.zeros((20, 4))
    np.add.at(own, (copied["customer"], copied["stratum"]), copied["exposure"])
    factor = 1 / np.sqrt(1 - np.sum((own / at_risk) ** 2, axis=0))
    parts = np.zeros((20, 2))
    np.add.at(parts, copied["customer"], each * factor[copied["stratum"], None])
    sandwich = parts.T @ parts
    found = hazard_independence_test(
        *(copied[name] for name in ("x", "stratum", "events", "exposure")), customer=copied["customer"]
    )
    np.testing.assert_allclose(found.covariance[1:, 1:], sandwich, rtol=1e-8)
    assert found.statistic == pytest.approx(score @ np.linalg.solve(sandwich, score), rel=1e-8)
    assert found.design_effect > 3


def test_a_level_without_events_keeps_the_variance_of_chance() -> None:
    """Two events expected, none seen: p is that of chance, not of a sandwich without any variance there."""
    x = np.repeat([0, 1], [980, 20])
    events = np.zeros(1000, int)
    events[:100] = 1
    args = (x, np.zeros(1000, int), events, np.ones(1000))
    plain, clustered = hazard_independence_test(*args), hazard_independence_test(*args, customer=np.arange(1000))
    assert plain.expected[1] == pytest.approx(2.0)
    assert clustered.statistic == pytest.approx(plain.statistic, rel=1e-9)
    assert clustered.design_effect == 1.0
    assert clustered.note == "1 of 2 levels expect fewer than 5 events: the p-value is rough"


def returning(rng: np.random.Generator, frailty: float) -> dict[str, np.ndarray]:
    """Gaps of 200 customers who share a gamma frailty, in two periods; the level is the customer's and has no effect."""
    n_gaps = rng.poisson(5, 200) + 1
    who = np.repeat(np.arange(200), n_gaps)
    level, kind = rng.choice(3, 200, p=[0.5, 0.3, 0.2])[who], rng.integers(0, 2, 200)[who]
    hazard = np.array([0.3, 0.6])[kind] * rng.gamma(1 / frailty, frailty, 200)[who]
    time = rng.exponential(1 / np.maximum(hazard, 1e-12))
    stop = np.minimum(time, 2.0)
    parts = [
        {"x": level, "stratum": 2 * kind, "events": time <= 0.7, "exposure": np.minimum(stop, 0.7), "customer": who},
        {
            "x": level,
            "stratum": 2 * kind + 1,
            "events": (time > 0.7) & (time < 2.0),
            "exposure": np.maximum(stop - 0.7, 0),
            "customer": who,
        },
    ]
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return {name: values[whole["exposure"] > 0] for name, values in whole.items()}


def test_level_with_frail_customers() -> None:
    rng = np.random.default_rng(8)
    p = []
    for _ in range(300):
        rows = returning(rng, frailty=1.0)
        args = [rows[name] for name in ("x", "stratum", "events", "exposure")]
        clustered = hazard_independence_test(*args, customer=rows["customer"])
        p.append([hazard_independence_test(*args).p_value, clustered.p_value])
    plain, held = np.mean(np.array(p) < 0.05, axis=0)
    assert plain > 0.2
    assert 0.03 <= held <= 0.08


def test_an_effect_on_the_hazard_is_found() -> None:
    rows = returning(np.random.default_rng(9), frailty=0.3)
    faster = rows["exposure"] / np.where(rows["x"] == 2, 5.0, 1.0)
    args = (rows["x"], rows["stratum"], rows["events"], faster)
    found = hazard_independence_test(*args, customer=rows["customer"], name="delay", given=["plan", "period"])
    assert found.p_value < 1e-3
    assert found.frame()["ratio"].iloc[2] > 1.5
    assert found.claim == "the hazard is independent of delay given plan, period"
    assert repr(found).startswith("the hazard is independent of delay given plan, period: chi2=")


@quick
@given(seed=st.integers(0, 10_000))
def test_observed_and_expected_add_up(seed: int) -> None:
    rows = pieces(seed)
    args = [rows[name] for name in ("x", "stratum", "events", "exposure")]
    found = hazard_independence_test(*args, customer=rows["customer"])
    assert found.expected.sum() == pytest.approx(found.observed.sum())
    assert found.exposure.sum() == pytest.approx(rows["exposure"].sum())
    np.testing.assert_allclose(found.covariance.sum(axis=0), 0, atol=1e-9)
    # The unit of time is the caller's.
    other = hazard_independence_test(*args[:3], args[3] * 24, customer=rows["customer"])
    assert other.statistic == pytest.approx(found.statistic, rel=1e-9)


def test_a_hazard_that_cannot_be_compared() -> None:
    for events in ([0, 0, 0, 0], [1, 1, 0, 0]):
        found = hazard_independence_test([0, 0, 1, 1], [0, 1, 2, 3], events, [1, 1, 1, 1], customer=[1, 2, 3, 4])
        assert found.dof == 0
        assert np.isnan(found.p_value)
        assert found.note == "no event happened while two levels were at risk: the claim was not tested"
    assert found.frame()["ratio"].tolist() == pytest.approx([1.0, np.nan], nan_ok=True)


def test_hazard_refusals() -> None:
    with pytest.raises(ArgumentError, match="1 of 2 values of `events` are not whole numbers >= 0"):
        hazard_independence_test([0, 1], [0, 0], [0.5, 1], [1, 1])
    with pytest.raises(ArgumentError, match="1 of 2 values of `exposure` are negative"):
        hazard_independence_test([0, 1], [0, 0], [0, 1], [-1, 1])
    with pytest.raises(ArgumentError, match="1 of 2 values of `events` happened in no time at risk"):
        hazard_independence_test([0, 1], [0, 0], [0, 1], [1, 0])
    with pytest.raises(ArgumentError, match="x has 2, stratum has 2, events has 2, exposure has 1"):
        hazard_independence_test([0, 1], [0, 0], [0, 1], [1])
    with pytest.raises(ArgumentError, match="x has 2, customer has 3"):
        hazard_independence_test([0, 1], [0, 0], [0, 1], [1, 1], customer=[1, 2, 3])
    with pytest.raises(MissingValueError):
        hazard_independence_test([0, 1], [0, 0], [0, 1], [1, np.nan])
