"""Concordance: by hand, all pairs one by one, R's own test data, other packages, and simulated truth."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churnsurv.errors import ArgumentError, DataWarning, EmptyDataError, HorizonError, MissingValueError
from churnsurv.hazards.nonparametric import kaplan_meier
from churnsurv.hazards.scoring.concordance import Concordance, concordance_index


def rows(n: int, seed: int, *, late: bool, causes: int = 1, ties: bool = True) -> dict[str, np.ndarray]:
    """Made-up customers with many ties, if wished with late entries, causes and frequencies."""
    rng = np.random.default_rng(seed)
    time = rng.integers(2, 12, n).astype(float) if ties else rng.exponential(5, n) + 1
    event = rng.integers(0, causes + 1, n)
    score = rng.integers(0, 5, n).astype(float) if ties else rng.normal(size=n)
    found = {"time": time, "event": event, "risk_score": score, "weight": rng.integers(1, 4, n).astype(float)}
    if late:
        found["entry"] = np.where(rng.random(n) < 0.5, 0.0, np.floor(rng.random(n) * time))
        found["entry"][0], found["time"][0] = 0.0, 12.0  # somebody is at risk throughout
        found["event"][0] = 0
    return found


def share_observed(data: dict[str, np.ndarray]) -> dict[float, float]:
    """G(t-) at each time of the data, as n S(t-) / Y(t) upside down."""
    entry, weight = data.get("entry", np.zeros(len(data["time"]))), data["weight"]
    survival, share = 1.0, {}
    for t in np.unique(data["time"]):
        at_risk = weight[(entry < t) & (data["time"] >= t)].sum()
        share[float(t)] = at_risk / (weight.sum() * survival)
        survival *= 1 - weight[(data["time"] == t) & (data["event"] > 0)].sum() / at_risk
    return share


def all_pairs(
    data: dict[str, np.ndarray], *, cause: int | None = None, uno: bool = False, horizon: float = math.inf
) -> tuple[float, float]:
    """Credit and number of pairs, one pair after the other."""
    n, share = len(data["time"]), share_observed(data)
    entry, time, event = data.get("entry", np.zeros(n)), data["time"], data["event"]
    mine = event > 0 if cause is None else event == cause
    other = (event > 0) & ~mine
    credit = pairs = 0.0
    for i in range(n):
        for j in range(n):
            if not mine[i] or time[i] > horizon or entry[j] >= time[i]:
                continue
            outlives = time[j] > time[i] or (time[j] == time[i] and not mine[j]) or other[j]
            if not outlives:
                continue
            weigh = data["weight"][i] * data["weight"][j]
            if uno:
                weigh /= share[float(time[i])] * share[float(min(time[i], time[j]))]
            difference = data["risk_score"][i] - data["risk_score"][j]
            pairs += weigh
            credit += weigh * (0.5 if difference == 0 else float(difference > 0))
    return credit, pairs


def index(data: dict[str, np.ndarray], **settings: object) -> Concordance:
    return concordance_index(**data, **settings)  # type: ignore[arg-type]


def test_by_hand_with_ties_in_time_and_score() -> None:
    """Events at 1 and 2, two at 3, of which one comes with a censoring, and one customer seen until 5.

    From 1 (0.9): four lower. From 2 (0.2): 0.5 and 0.3 higher, 0.2 equal, 0.1 lower. From 3 (0.5) and 3 (0.3): each
    outlived by the one censored at 3 (0.2) and by the last (0.1), and not compared with each other.
    """
    found = concordance_index([1, 2, 3, 3, 3, 5], [1, 1, 1, 1, 0, 0], [0.9, 0.2, 0.5, 0.3, 0.2, 0.1])
    assert (found.n_pairs, found.n_concordant, found.n_discordant, found.n_tied) == (13, 10, 2, 1)
    assert found.estimate == 10.5 / 13


def test_influence_by_hand() -> None:
    """Times 1, 2, 3+ with scores 1, 2, 0: two of three pairs in order; weights a, b, c give (ac + bc) / (ab + ac + bc)."""
    found = concordance_index([1, 2, 3], [1, 1, 0], [1, 2, 0])
    by_hand = [
        Fraction(1, 3) - Fraction(2, 9) * 2,
        Fraction(1, 3) - Fraction(2, 9) * 2,
        Fraction(2, 3) - Fraction(4, 9),
    ]
    assert found.influence == pytest.approx([float(share) for share in by_hand], rel=1e-12)
    assert found.standard_error == pytest.approx(math.sqrt(sum(share**2 for share in by_hand)), rel=1e-12)


def test_late_entry_is_compared_only_after_it() -> None:
    """Who enters at 2 was not at risk of the events at 1 and at 2; equal times of entry and event do not compare."""
    found = concordance_index([1, 2, 4, 6], [1, 1, 1, 0], [3, 1, 2, 4], entry=[0, 0, 0, 2])
    assert (found.n_pairs, found.n_concordant, found.n_discordant) == (4, 2, 2)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(("causes", "cause"), [(1, None), (3, None), (3, 2)])
@pytest.mark.parametrize("weighting", ["harrell", "uno"])
def test_all_pairs_one_by_one(seed: int, late: bool, causes: int, cause: int | None, weighting: str) -> None:
    data = rows(40, seed, late=late, causes=causes)
    horizon = 9.0 if seed % 2 else math.inf
    credit, pairs = all_pairs(data, cause=cause, uno=weighting == "uno", horizon=horizon)
    found = index(data, cause=cause, weighting=weighting, horizon=horizon if seed % 2 else None)
    assert found.estimate == pytest.approx(credit / pairs, rel=1e-12)
    assert found.n_pairs == all_pairs(data, cause=cause, horizon=horizon)[1]
    assert found.n_concordant + found.n_discordant + found.n_tied == found.n_pairs


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(("causes", "cause"), [(1, None), (2, 1)])
@pytest.mark.parametrize("weighting", ["harrell", "uno"])
def test_influence_is_the_derivative_by_the_weight(late: bool, causes: int, cause: int | None, weighting: str) -> None:
    """Against central differences of the brute force; the error of the difference is of the order of the step squared."""
    data, step = rows(25, 3, late=late, causes=causes), 1e-5
    found = index(data, cause=cause, weighting=weighting)
    slopes = []
    for k in range(25):
        sides = []
        for side in (step, -step):
            weight = data["weight"].copy()
            weight[k] += side
            credit, pairs = all_pairs({**data, "weight": weight}, cause=cause, uno=weighting == "uno")
            sides.append(credit / pairs)
        slopes.append((sides[0] - sides[1]) / (2 * step))
    assert found.influence == pytest.approx(slopes, rel=1e-6, abs=1e-9)
    assert found.standard_error == pytest.approx(math.sqrt(data["weight"] @ np.square(slopes)), rel=1e-6)


def test_uno_weights_are_one_over_the_kaplan_meier_of_censoring() -> None:
    """With ties, by hand: G(t-) is 1 up to 2, where one of three left is censored after the event, then 2/3."""
    found = concordance_index([1, 2, 2, 3, 4], [1, 1, 0, 1, 0], [1, 3, 2, 1, 5], weighting="uno")
    # From 1 (score 1): four pairs, one equal. From 2 (3): 2 and 1 lower, 5 higher. From 3 (1): 5 higher, (3/2)² each.
    assert found.estimate == pytest.approx((0.5 + 2) / (4 + 3 + 9 / 4), rel=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.booleans(), st.sampled_from(["harrell", "uno"]))
def test_order_unit_and_replication_change_nothing(seed: int, late: bool, weighting: str) -> None:
    data = rows(30, seed, late=late, causes=2)
    found = index(data, weighting=weighting, cause=1)
    rng = np.random.default_rng(seed)
    order = rng.permutation(30)
    shuffled = index({name: column[order] for name, column in data.items()}, weighting=weighting, cause=1)
    days = {**data, **{name: data[name] * 30.4 for name in ("time", "entry") if name in data}}
    in_days = index({**days, "risk_score": np.exp(data["risk_score"])}, weighting=weighting, cause=1)
    many = {name: np.repeat(column, data["weight"].astype(int)) for name, column in data.items()}
    repeated = index({**many, "weight": np.ones(len(many["time"]))}, weighting=weighting, cause=1)
    for other in (shuffled, in_days, repeated):
        assert other.estimate == pytest.approx(found.estimate, rel=1e-10, nan_ok=True)
        assert other.standard_error == pytest.approx(found.standard_error, rel=1e-8, nan_ok=True)
        assert (other.n_pairs, other.n_tied) == (found.n_pairs, found.n_tied)


def test_entry_of_zero_is_no_entry() -> None:
    data = rows(30, 1, late=False)
    for weighting in ("harrell", "uno"):
        with_zero = index({**data, "entry": np.zeros(30)}, weighting=weighting)
        assert with_zero.estimate == index(data, weighting=weighting).estimate


def test_reversed_scores_and_constant_scores() -> None:
    data = rows(40, 2, late=True, causes=2)
    found, reversed_ = index(data), index({**data, "risk_score": -data["risk_score"]})
    assert found.estimate + reversed_.estimate == pytest.approx(1, rel=1e-12)
    assert found.standard_error == pytest.approx(reversed_.standard_error, rel=1e-10)
    constant = index({**data, "risk_score": np.ones(40)})
    assert (constant.estimate, constant.standard_error, constant.n_tied) == (0.5, 0.0, constant.n_pairs)
    assert math.isnan(constant.lower)
    perfect = concordance_index([1, 2, 3, 4], [1, 1, 1, 1], [4, 3, 2, 1])
    assert (perfect.estimate, perfect.n_pairs) == (1.0, 6.0)


@pytest.mark.parametrize(
    ("time", "event", "entry"),
    [([1, 2, 3], [0, 0, 0], None), ([3, 3, 3], [1, 1, 1], None), ([1, 2], [0, 1], None), ([2, 4], [1, 1], [0, 2])],
    ids=["no events", "one time", "only the last has the event", "never at risk together"],
)
@pytest.mark.parametrize("weighting", ["harrell", "uno"])
def test_no_comparable_pair_is_nan_and_never_one_half(
    time: list[float], event: list[int], entry: list[float] | None, weighting: str
) -> None:
    settings: dict[str, object] = {"entry": entry, "weighting": weighting}
    if entry and weighting == "uno":
        with pytest.warns(DataWarning, match="at time 2 everybody at risk") as caught:
            found = concordance_index(time, event, np.arange(len(time)), **settings)  # type: ignore[arg-type]
        assert caught[0].filename == __file__
    else:
        found = concordance_index(time, event, np.arange(len(time)), **settings)  # type: ignore[arg-type]
    assert found.n_pairs == 0
    assert math.isnan(found.estimate)
    assert math.isnan(found.standard_error)


def test_a_score_per_time_is_the_score_of_split_rows() -> None:
    """Columns in force until 4, 7 and 12, against rows cut there, as R's `Surv(start, stop, event)` has them."""
    data, ends = rows(40, 5, late=True), np.array([4.0, 7.0, 12.0])
    scores = np.random.default_rng(5).integers(0, 4, (40, 3)).astype(float)
    found = index({**data, "risk_score": scores}, times=ends)
    cut: dict[str, list[float]] = {name: [] for name in ("time", "event", "risk_score", "weight", "entry")}
    for i in range(40):
        for j, (begin, end) in enumerate(zip([0.0, *ends[:-1]], ends, strict=True)):
            enters, leaves = max(begin, data["entry"][i]), min(end, data["time"][i])
            if enters < leaves:
                last = data["event"][i] if data["time"][i] <= end else 0
                for name, value in zip(cut, (leaves, last, scores[i, j], data["weight"][i], enters), strict=True):
                    cut[name].append(value)
    split = concordance_index(**cut)
    assert (found.n_pairs, found.n_concordant) == (split.n_pairs, split.n_concordant)
    assert found.estimate == pytest.approx(split.estimate, rel=1e-12)
    same = index({**data, "risk_score": np.tile(data["risk_score"][:, None], 3)}, times=ends, weighting="uno")
    assert same.estimate == pytest.approx(index(data, weighting="uno").estimate, rel=1e-12)
    assert same.standard_error == pytest.approx(index(data, weighting="uno").standard_error, rel=1e-10)


def test_start_leaves_out_what_came_before() -> None:
    data = rows(60, 6, late=True)
    found = index(data, start=5.0, weighting="uno")
    stays = data["time"] > 5
    rest = {name: column[stays] for name, column in data.items()}
    alone = index({**rest, "entry": np.maximum(rest["entry"], 5.0)}, weighting="uno")
    assert (found.n_pairs, found.n_tied) == (alone.n_pairs, alone.n_tied)
    assert found.estimate == pytest.approx(alone.estimate, rel=1e-12)
    assert found.influence is not None
    assert not found.influence[~stays].any()
    assert found.influence[stays] == pytest.approx(alone.influence, rel=1e-9, abs=1e-14)


def test_refusals() -> None:
    with pytest.raises(HorizonError, match="leave no time"):
        concordance_index([1, 2], [1, 0], [1, 2], start=3, horizon=2)
    with pytest.raises(EmptyDataError, match="none of 2 customers is still at risk after start=9"):
        concordance_index([1, 2], [1, 0], [1, 2], start=9)
    with pytest.raises(ArgumentError, match="no code of a cause"):
        concordance_index([1, 2], [1, 0], [1, 2], cause=0)
    with pytest.raises(ArgumentError, match="different numbers of rows"):
        concordance_index([1, 2], [1, 0], [1, 2, 3])
    with pytest.raises(ArgumentError, match=r"shape \(2, 1\) and `times` is not given"):
        concordance_index([1, 2], [1, 0], [[1], [2]])
    with pytest.raises(MissingValueError, match="`strata`"):
        concordance_index([1, 2], [1, 0], [1, 2], strata=["a", None])
    with pytest.raises(ArgumentError, match="does not increase"):
        concordance_index([1, 2], [1, 0], [[1, 2], [2, 1]], times=[3, 3])


def test_kaplan_meier_identity_behind_the_weights() -> None:
    """Y(t) = n S(t-) G(t-): the weights of Uno's index are 1/G(t-), with ties, to the last digits."""
    data = rows(50, 9, late=False)
    share = share_observed(data)
    censored = kaplan_meier(data["time"] + 0.5 * (data["event"] == 0), data["event"] == 0, weight=data["weight"])
    for t, g in share.items():
        assert g == pytest.approx(float(censored.survival_at(t)), rel=1e-12)
