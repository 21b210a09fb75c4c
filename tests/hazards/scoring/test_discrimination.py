"""Time-dependent AUC: by hand, pair by pair, DeLong's variance, timeROC and scikit-survival, and simulated truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churnsurv.errors import ArgumentError, EmptyDataError, HorizonError
from churnsurv.hazards.scoring.binary_outcomes import outcomes_at
from churnsurv.hazards.scoring.discrimination import TimeDependentAuc, time_dependent_auc
from churnsurv.hazards.scoring.threshold_curves import roc_curve
from tests.hazards.scoring.pbc import patients


def rows(n: int, seed: int, causes: int = 1) -> dict[str, np.ndarray]:
    """Made-up customers with ties of everything with everything, and frequencies."""
    rng = np.random.default_rng(seed)
    return {
        "time": rng.integers(1, 12, n).astype(float),
        "event": rng.integers(0, causes + 1, n),
        "risk_score": rng.integers(0, 6, n).astype(float),
        "weight": rng.integers(1, 4, n).astype(float),
    }


def before(data: dict[str, np.ndarray], at: float) -> float:
    """G(at-), event before censoring at a shared time."""
    g = 1.0
    for u in np.unique(data["time"][data["time"] < at]):
        there = data["weight"] * ((data["time"] > u) | ((data["time"] == u) & (data["event"] == 0)))
        lost = data["weight"] * ((data["time"] == u) & (data["event"] == 0))
        g *= 1 - lost.sum() / there.sum() if there.any() else 1
    return g


def pair_by_pair(
    data: dict[str, np.ndarray],
    at: float,
    cause: int | None = None,
    controls: str = "all",
    lost: dict[str, np.ndarray] | None = None,
) -> float:
    """The definition, one pair after the other; G from other data if given."""
    lost = data if lost is None else lost
    time, event, score = data["time"], data["event"], data["risk_score"]
    mine = event > 0 if cause is None else event == cause
    credit = pairs = 0.0
    for i in range(len(time)):
        for j in range(len(time)):
            other = event[j] > 0 and time[j] <= at and not mine[j]
            reached = time[j] > at or (time[j] == at and event[j] == 0)
            if not (mine[i] and time[i] <= at) or not (reached or (other and controls == "all")):
                continue
            weigh = data["weight"][i] * data["weight"][j] / before(lost, time[i])
            weigh /= before(lost, time[j] if other else at)
            pairs += weigh
            credit += weigh * (0.5 if score[i] == score[j] else float(score[i] > score[j]))
    return credit / pairs if pairs else math.nan


def auc(data: dict[str, np.ndarray], times: object, **settings: object) -> TimeDependentAuc:
    return time_dependent_auc(**data, times=times, **settings)  # type: ignore[arg-type]


def test_by_hand_with_a_censoring_tied_with_an_event_and_with_the_time() -> None:
    """Events at 1 and 2, censored at 2 and at 3, last seen at 5, scores 4, 2, 3, 2, 1.

    At 2: who is censored at 2 has reached it. Cases 4 and 2, controls 3, 2, 1: 3 pairs in order, then 1 and one equal.
    At 3: of three left after the event at 2 one was lost, so that G(3-) is 2/3 for both controls, 2 and 1.
    """
    found = time_dependent_auc([1, 2, 2, 3, 5], [1, 1, 0, 0, 0], [4, 2, 3, 2, 1], [2, 3])
    assert found.auc == pytest.approx([4.5 / 6, 3.5 / 4], rel=1e-12)
    assert (found.n_cases.tolist(), found.n_controls.tolist()) == ([2, 2], [3, 2])


def test_everyone_followed_to_the_horizon_and_no_further() -> None:
    """All survivors are censored at the horizon itself: nothing is unknown, and it is the Mann–Whitney statistic."""
    found = time_dependent_auc([10, 20, 30, 30, 30], [1, 1, 0, 0, 1], [5, 1, 2, 1, 3], [30])
    assert found.supported.all()
    assert found.auc == pytest.approx([(2 + 0.5 + 2) / 6], rel=1e-12)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("controls", ["all", "event-free"])
@pytest.mark.parametrize(("causes", "cause"), [(1, None), (3, 2), (3, None)])
def test_pair_by_pair(seed: int, controls: str, causes: int, cause: int | None) -> None:
    data = rows(40, seed, causes)
    found = auc(data, [2, 5, 8], cause=cause, controls=controls)
    assert found.auc == pytest.approx(
        [pair_by_pair(data, at, cause, controls) for at in (2, 5, 8)], rel=1e-12, nan_ok=True
    )


def slopes(data: dict[str, np.ndarray], controls: str, *, fixed: bool) -> np.ndarray:
    """Central differences of the definition by each weight, with the weights for censoring held fixed or not."""
    found, step = [], 1e-5
    for k in range(len(data["time"])):
        sides = []
        for side in (step, -step):
            moved = {**data, "weight": data["weight"].copy()}
            moved["weight"][k] += side
            sides.append(pair_by_pair(moved, 6, 1, controls, lost=data if fixed else moved))
        found.append((sides[0] - sides[1]) / (2 * step))
    return np.array(found)


@pytest.mark.parametrize("controls", ["all", "event-free"])
def test_influence_is_the_derivative_by_the_weight(controls: str) -> None:
    """Of all that depends on the weight; the parts with the censoring weights fixed are enlarged in the standard error."""
    data = rows(25, 3, 2)
    found, whole, direct = (
        auc(data, [6], cause=1, controls=controls),
        *(slopes(data, controls, fixed=f) for f in (0, 1)),
    )
    assert found.influence[:, 0] == pytest.approx(whole, rel=1e-6, abs=1e-9)
    case = (data["time"] <= 6) & (data["event"] == 1)
    m, n = found.n_cases[0], found.n_controls[0]
    enlarged = direct * np.where(case, math.sqrt(m / (m - 1)), math.sqrt(n / (n - 1))) + whole - direct
    assert found.standard_error[0] == pytest.approx(math.sqrt(data["weight"] @ enlarged**2), rel=1e-6)


def delong(case: np.ndarray, control: np.ndarray) -> tuple[float, float]:
    """AUC and its variance by DeLong et al. (1988), eq. 4 and 5: S10 / m + S01 / n of the placements."""
    above = (case[:, None] > control[None, :]) + 0.5 * (case[:, None] == control[None, :])
    v10, v01 = above.mean(axis=1), above.mean(axis=0)
    return float(above.mean()), float(np.var(v10, ddof=1) / len(v10) + np.var(v01, ddof=1) / len(v01))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10_000))
def test_outcomes_at_give_mann_whitney_and_delong(seed: int) -> None:
    """Nobody censored before the time: exactly DeLong's variance, ties of scores included."""
    rng = np.random.default_rng(seed)
    time, score = rng.integers(1, 10, 40).astype(float), rng.integers(0, 8, 40).astype(float)
    event = np.where(time <= 5, 1, rng.integers(0, 2, 40))
    expected, variance = delong(score[time <= 5], score[time > 5])
    found = time_dependent_auc(time, event, score, [5])
    assert found.auc[0] == pytest.approx(expected, rel=1e-12)
    assert found.standard_error[0] ** 2 == pytest.approx(variance, rel=1e-10, abs=1e-25)


def test_pbc_as_in_timeroc() -> None:
    """`timeROC(T = pbc$time, delta = pbc$status == 2, marker = pbc$bili, cause = 1, iid = TRUE)` of timeROC 0.4.

    With all 418 patients it prints 82.30 (3.64) at 365 days and 86.23 (2.15) at 1825, in per cent. timeROC divides the
    squared influences by n (n - 1).
    """
    days, cause, bilirubin = patients()
    whole = time_dependent_auc(days, cause == 2, bilirubin, [365, 1825])
    assert np.round(100 * whole.auc, 2).tolist() == [82.30, 86.23]
    assert (whole.n_cases.tolist(), whole.n_controls.tolist()) == ([30, 115], [388, 197])
    errors = np.sqrt(np.sum(whole.influence**2, axis=0) * 418 / 417)
    assert np.round(100 * errors, 2).tolist() == [3.64, 2.15]


def test_scikit_survival() -> None:
    """`cumulative_dynamic_auc(y, y, score, [20.5, 50.5, 80.5])` of 0.28.0, on times without ties."""
    i = np.arange(60)
    time = (37 * i % 101 + 1).astype(float)
    event, score = ((5 * i % 11) > 4).astype(int), ((29 * i) % 83 - 0.3 * time) // 10
    found = time_dependent_auc(time, event, score, [20.5, 50.5, 80.5])
    assert found.auc == pytest.approx([0.46829710144927533, 0.6168241979960913, 0.6545982501514596], rel=1e-12)


def test_area_of_the_roc_curve_of_outcomes_at() -> None:
    """Two roads to one number, also for competing causes and both kinds of controls."""
    data = rows(80, 4, 2)
    for controls in ("all", "event-free"):
        known = outcomes_at(
            data["time"],
            data["event"],
            6,
            weight=data["weight"],
            cause=1,
            controls=controls,  # type: ignore[arg-type]
        )
        curve = roc_curve(known.outcome, data["risk_score"][known.kept], weight=known.weight, ipcw=known.ipcw)
        assert curve.auc == pytest.approx(float(auc(data, [6], cause=1, controls=controls).auc[0]), rel=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000))
def test_order_unit_and_replication_change_nothing(seed: int) -> None:
    data = rows(30, seed, 2)
    found, order = auc(data, [4, 8], cause=1), np.random.default_rng(seed).permutation(30)
    shuffled = auc({name: column[order] for name, column in data.items()}, [4, 8], cause=1)
    scaled = {**data, "time": data["time"] * 30.4, "risk_score": np.exp(data["risk_score"])}
    in_days = auc(scaled, [4 * 30.4, 8 * 30.4], cause=1)
    many = {name: np.repeat(column, data["weight"].astype(int)) for name, column in data.items()}
    repeated = auc({**many, "weight": np.ones(len(many["time"]))}, [4, 8], cause=1)
    for other in (shuffled, in_days, repeated):
        assert other.auc == pytest.approx(found.auc, rel=1e-10, nan_ok=True)
        assert other.standard_error == pytest.approx(found.standard_error, rel=1e-8, nan_ok=True)


def test_a_column_per_time_and_a_start() -> None:
    """Column j at times[j]; with a start only those at risk then are scored, as if the others were not there."""
    data, rng = rows(60, 5), np.random.default_rng(5)
    columns = rng.normal(size=(60, 2))
    both = auc({**data, "risk_score": columns}, [5, 8])
    for j, at in enumerate((5, 8)):
        assert both.auc[j] == auc({**data, "risk_score": columns[:, j]}, [at]).auc[0]
    entry = np.where(rng.random(60) < 0.3, data["time"] * 0.7, 0.0)
    there = (entry <= 3) & (data["time"] > 3)
    found = auc(data, [6], entry=entry, start=3)
    alone = auc({name: column[there] for name, column in data.items()}, [6])
    assert found.auc == pytest.approx(alone.auc, rel=1e-12)
    assert found.standard_error == pytest.approx(alone.standard_error, rel=1e-12)
    assert not found.influence[~there].any()


def test_nothing_known_is_nan_never_one_half() -> None:
    found = time_dependent_auc([2, 3, 4, 5], [0, 1, 0, 0], [1, 2, 3, 4], [1, 3, 5, 6])
    assert found.supported.tolist() == [True, True, True, False]
    assert np.isnan(found.auc).tolist() == [True, False, False, True]
    assert found.n_cases.tolist() == [0, 1, 1, 1]
    assert np.isnan(found.standard_error).all()  # one case has no spread
    everyone = time_dependent_auc([1, 2, 3], [1, 1, 1], [1, 2, 3], [2, 3])
    assert everyone.supported.all()
    assert everyone.auc[0] == 0.0
    assert math.isnan(everyone.auc[1])
    constant = time_dependent_auc([1, 2, 3, 4], [1, 1, 0, 0], [7, 7, 7, 7], [2.5])
    assert (constant.auc[0], constant.standard_error[0]) == (0.5, 0.0)
    assert math.isnan(constant.lower[0])


def test_refusals() -> None:
    with pytest.raises(ArgumentError, match=r"shape \(2,\); it needs \(3,\) or \(3, 1\)"):
        time_dependent_auc([1, 2, 3], [1, 0, 1], [1, 2], [2])
    with pytest.raises(ArgumentError, match="`controls`='none' is unknown"):
        time_dependent_auc([1, 2, 3], [1, 0, 1], [1, 2, 3], [2], controls="none")  # type: ignore[arg-type]
    with pytest.raises(HorizonError, match="do not increase"):
        time_dependent_auc([1, 2, 3], [1, 0, 1], [1, 2, 3], [2, 1])
    with pytest.raises(EmptyDataError, match="at risk at the start"):
        time_dependent_auc([1, 2, 3], [1, 0, 1], [1, 2, 3], [9], start=8)


def test_intervals_cover_the_true_auc() -> None:
    """200 samples of 400 in whole days, a third lost before the time; 90 per cent intervals, 3 standard errors (0.064).

    With log rate x the chance of an event by t is 1 - exp(-t e^x); the truth is an integral over two normals.
    """
    node = np.linspace(-6, 6, 2401)
    density = np.exp(-(node**2) / 2)
    case = density * -np.expm1(-np.exp(node))
    control = density - case
    truth = float(case @ (np.cumsum(control) - control / 2) / (case.sum() * control.sum()))
    rng, covered, estimates = np.random.default_rng(6), 0, []
    for _ in range(200):
        x = rng.normal(size=400)
        time, lost = np.ceil(rng.exponential(365 * np.exp(-x))), np.ceil(rng.exponential(600, 400))
        found = time_dependent_auc(np.minimum(time, lost), time <= lost, x, [365])
        covered += bool(found.lower[0] <= truth <= found.upper[0])
        estimates.append(float(found.auc[0]))
    assert 0.836 <= covered / 200 <= 0.964
    assert np.mean(estimates) == pytest.approx(truth, abs=3 * np.std(estimates) / math.sqrt(200))
