"""Concordance against R's survival, scikit-survival and lifelines, and against simulated truth."""

from __future__ import annotations

import math

import numpy as np
import pytest

from churnsurv.hazards.scoring.concordance import concordance_index
from tests.hazards.published import AML, spells

# The eleven maintained patients of R's `aml` with scores and weights of tests/concordance.R of R's survival; R
# compares in the sense of "longer survival, larger x", hence the minus signs below.
R_SCORE = [1, 6, 2, 7, 3, 7, 3, 8, 4, 4, 5]
R_WEIGHT = [1, 2, 3, 2, 1, 2, 3, 4, 3, 2, 1]


def test_counts_of_r_survival() -> None:
    """`fit$count` in tests/concordance.R of R's survival 3.8: 24, 14, 2; with weights 91, 70, 7, "checked by hand"."""
    time, event = spells(AML["maintained"])
    score = -np.array(R_SCORE)
    found = concordance_index(time, event, score)
    assert (found.n_concordant, found.n_discordant, found.n_tied) == (24, 14, 2)
    weighted = concordance_index(time, event, score, weight=R_WEIGHT)
    assert (weighted.n_concordant, weighted.n_discordant, weighted.n_tied) == (91, 70, 7)


def test_lung_as_in_r_survival() -> None:
    """Counts of ph.ecog in tests/concordance.R; `coxph(Surv(time, status) ~ age + sex, lung)` prints 0.603, se 0.025."""
    lung = pytest.importorskip("lifelines.datasets").load_lung()
    event = lung["status"] - lung["status"].min()
    score = 0.017045 * lung["age"] - 0.513219 * lung["sex"]
    cox = concordance_index(lung["time"], event, score)
    assert cox.estimate == pytest.approx(0.603, abs=0.0005)
    assert cox.standard_error == pytest.approx(0.025, abs=0.0005)
    known = lung["ph.ecog"].notna()
    ecog = concordance_index(lung["time"][known], event[known], lung["ph.ecog"][known])
    assert (ecog.n_concordant, ecog.n_discordant, ecog.n_tied) == (8392, 4258, 7137)


# tests/doweight.R of R's survival: `testw1`, and `testw3` with rows split in two or three at risk.
TESTW1 = ([1, 1, 2, 2, 2, 2, 3, 4, 5], [1, 0, 1, 1, 1, 0, 0, 1, 0], [2, 0, 1, 1, 0, 1, 0, 1, 0])
TESTW1_WEIGHT = np.array([1, 2, 3, 4, 3, 2, 1, 2, 1])
TESTW3_ENTRY = [0, 5, 0, 0, 10, 15, 0, 0, 14, 0, 0, 0, 23, 0]
TESTW3 = (
    [5, 10, 10, 10, 15, 20, 20, 14, 20, 20, 30, 23, 40, 50],
    [0, 1, 0, 0, 0, 1, 1, 0, 1, 0, 0, 0, 1, 0],
    [2, 2, 0, 1, 1, 1, 1, 0, 0, 1, 0, 1, 1, 0],
)
TESTW3_WEIGHT = np.array([1, 1, 2, 3, 3, 3, 4, 3, 3, 2, 1, 2, 2, 1])


def test_weights_and_split_rows_as_in_r_survival() -> None:
    """tests/doweight.Rout.save prints 0.637, se 0.161, and 0.637, se 0.172 for the rows that are split.

    R counts a weight as one customer who weighs more; here it is that many customers. The influences are the same.
    """
    whole = concordance_index(*TESTW1, weight=TESTW1_WEIGHT)
    split = concordance_index(*TESTW3, entry=TESTW3_ENTRY, weight=TESTW3_WEIGHT)
    assert whole.estimate == split.estimate == pytest.approx(0.637, abs=0.0005)
    for found, weight, error in ((whole, TESTW1_WEIGHT, 0.161), (split, TESTW3_WEIGHT, 0.172)):
        assert np.sqrt(np.sum((weight * found.influence) ** 2)) == pytest.approx(error, abs=0.0005)
    repeated = [np.repeat(column, TESTW1_WEIGHT) for column in TESTW1]
    assert concordance_index(*repeated).standard_error == pytest.approx(whole.standard_error, rel=1e-12)


# `ovarian` of R's survival: futime (+ where censored), age to four digits, ecog.ps, by rx.
OVARIAN = {
    1: "59 72.3315 1, 115 74.4932 1, 156 66.4658 2, 431 50.3397 1, 448+ 56.4301 2, 477+ 64.1753 1, 638 56.7562 1, "
    "803+ 39.2712 1, 855+ 43.1233 2, 1040+ 38.8932 2, 1106+ 44.6 1, 268 74.5041 2, 329 43.137 1",
    2: "421+ 53.3644 1, 464 56.937 2, 475 59.8548 2, 563 55.1781 2, 744+ 50.1096 1, 769+ 59.6301 2, 770+ 57.0521 1, "
    "1129+ 53.9068 1, 1206+ 44.2055 1, 1227+ 59.589 2, 353 63.2192 2, 365 64.4247 1, 377+ 58.3096 1",
}


def test_strata_as_in_r_survival() -> None:
    """`coxph(Surv(futime, fustat) ~ age + ecog.ps + strata(rx), ovarian)`: tests/ovarian.Rout.save, 0.819, se 0.058."""
    columns = [[rx, *row.split()] for rx, text in OVARIAN.items() for row in text.split(",")]
    strata, words, age, status = zip(*columns, strict=True)
    time, event = spells(" ".join(words))
    score = 0.13853 * np.array(age, dtype=float) - 0.09670 * np.array(status, dtype=float)
    found = concordance_index(time, event, score, strata=strata)
    assert found.estimate == pytest.approx(0.819, abs=0.0005)
    assert found.standard_error == pytest.approx(0.058, abs=0.0005)


def oracle_rows() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sixty customers by arithmetic: no two times are equal, scores are."""
    i = np.arange(60)
    time = (37 * i % 101 + 1).astype(float)
    return time, ((5 * i % 11) > 4).astype(int), ((29 * i) % 83 - 0.3 * time) // 10


def test_other_packages() -> None:
    """scikit-survival 0.28.0 `concordance_index_censored`, `concordance_index_ipcw(y, y, score, tau)`; lifelines 0.30.3."""
    time, event, score = oracle_rows()
    harrell = concordance_index(time, event, score)
    assert harrell.estimate == pytest.approx(0.5728915662650602, rel=1e-12)
    assert (harrell.n_concordant, harrell.n_discordant, harrell.n_tied) == (433, 312, 85)
    uno = concordance_index(time, event, score, weighting="uno")
    assert uno.estimate == pytest.approx(0.582665357303271, rel=1e-12)
    cut = concordance_index(time, event, score, weighting="uno", horizon=80.5)
    assert cut.estimate == pytest.approx(0.5794582552789458, rel=1e-12)
    lifelines = pytest.importorskip("lifelines.utils")
    assert lifelines.concordance_index(time, -score, event) == pytest.approx(harrell.estimate, rel=1e-12)


def true_concordance(slope: float, horizon: float) -> float:
    """Share in order of pairs with an event by the horizon, times exponential with log rate ``slope`` times a normal.

    Given both rates, i comes first and by the horizon with probability r_i / (r_i + r_j) (1 - exp(-(r_i + r_j) τ)).
    """
    node, weight = np.polynomial.hermite_e.hermegauss(60)
    half = (np.arange(2000) + 0.5) / 250
    mean, difference = node[:, None] / math.sqrt(2), half[None, :] * math.sqrt(2)
    mass = weight[:, None] * np.exp(-(half[None, :] ** 2) / 2)
    high, low = np.exp(slope * (mean + difference / 2)), np.exp(slope * (mean - difference / 2))
    first = mass * -np.expm1(-(high + low) * horizon) / (high + low)
    return float((first * high).sum() / (first * (high + low)).sum())


@pytest.mark.parametrize("late", [False, True])
def test_uno_covers_the_truth_where_harrell_is_biased(late: bool) -> None:
    """200 samples of 400, half of them censored by heavy early losses, times in whole days; 90 per cent intervals.

    The nominal rate holds within 3 standard errors (0.064). A score in days loses a little to ties, hence many days.
    """
    truth, horizon, rng = true_concordance(1.0, 1.0), 1000.0, np.random.default_rng(8)
    covered, estimates, plain = 0, [], []
    for _ in range(200):
        x = rng.normal(size=400 if not late else 1000)
        time = np.ceil(rng.exponential(1000 * np.exp(-x)))
        lost = np.ceil(rng.exponential(700, len(x)))
        entry = np.floor(rng.exponential(300, len(x))) * (rng.random(len(x)) < 0.5) * late
        seen = (np.minimum(time, lost) > entry) & (lost > entry)
        row = {"time": np.minimum(time, lost)[seen], "event": (time <= lost)[seen].astype(int), "entry": entry[seen]}
        found = concordance_index(**row, risk_score=x[seen], horizon=horizon, weighting="uno")
        covered += found.lower <= truth <= found.upper
        estimates.append(found.estimate)
        plain.append(concordance_index(**row, risk_score=x[seen], horizon=horizon).estimate)
    assert 0.836 <= covered / 200 <= 0.964
    assert np.mean(estimates) == pytest.approx(truth, abs=3 * np.std(estimates) / math.sqrt(200))
    assert abs(np.mean(plain) - truth) > 3 * np.std(plain) / math.sqrt(200)


@pytest.mark.slow
def test_a_million_customers() -> None:
    """Seconds, not hours, and within 4 standard errors of the truth; with late entries and censoring."""
    rng = np.random.default_rng(12)
    x = rng.normal(size=1_000_000)
    time, lost = rng.exponential(np.exp(-x)), rng.uniform(0.2, 4, len(x))
    entry = np.where(rng.random(len(x)) < 0.3, rng.uniform(0, 0.5, len(x)), 0.0)
    seen = np.minimum(time, lost) > entry
    found = concordance_index(
        np.minimum(time, lost)[seen], time[seen] <= lost[seen], x[seen], entry=entry[seen], horizon=1.0, weighting="uno"
    )
    assert found.standard_error < 0.001
    assert found.estimate == pytest.approx(true_concordance(1.0, 1.0), abs=4 * found.standard_error)
