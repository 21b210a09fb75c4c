"""Log-rank family: by hand, against textbook tables and R's printed output, and relations that must hold.

Tolerances: half a unit of the last printed digit against tables; 1e-9 between two roads to one number.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from churnsurv.errors import ArgumentError, DataTypeError, EmptyDataError, MissingValueError
from churnsurv.hazards import LogRankTest, log_rank_test
from churnsurv.hazards.log_rank import WEIGHTINGS
from tests.hazards.published import AML, CATHETER, TRANSPLANT, grouped

relation = settings(max_examples=30, deadline=None)
EVERY = [{"weighting": kind} for kind in WEIGHTINGS[:-1]] + [
    {"weighting": "fleming-harrington", "rho": rho, "gamma": gamma} for rho, gamma in [(0, 1), (1, 0), (0.5, 2)]
]


def written_out(
    sample: dict[str, Any], weight_of: Callable[[float, float, float], float]
) -> tuple[np.ndarray, np.ndarray]:
    """Score and covariance by a loop over times within strata; the weight sees Y, S(t-) and Prentice's S(t)."""
    exit_, event, entry = (np.asarray(sample[name]) for name in ("exit", "event", "entry"))
    weight, group, strata = (np.asarray(sample[name]) for name in ("weight", "group", "strata"))
    labels = np.unique(group)
    score, covariance = np.zeros(len(labels)), np.zeros((len(labels), len(labels)))
    for stratum in np.unique(strata):
        kaplan_meier, prentice = 1.0, 1.0
        for time in np.unique(exit_[(event == 1) & (strata == stratum)]):
            here = (strata == stratum) & (entry < time) & (exit_ >= time)
            now = here & (exit_ == time) & (event == 1)
            y = np.array([weight[here & (group == g)].sum() for g in labels])
            d = np.array([weight[now & (group == g)].sum() for g in labels])
            prentice *= 1 - d.sum() / (y.sum() + 1)
            w = weight_of(y.sum(), kaplan_meier, prentice)
            kaplan_meier *= 1 - d.sum() / y.sum()
            share = y / y.sum()
            score += w * (d - share * d.sum())
            if y.sum() > 1:
                spread = d.sum() * (y.sum() - d.sum()) / (y.sum() - 1)
                covariance += w**2 * spread * (np.diag(share) - np.outer(share, share))
    return score, covariance


WEIGHT_OF: dict[str, Callable[[float, float, float], float]] = {
    "log-rank": lambda y, s, p: 1.0,
    "gehan": lambda y, s, p: y,
    "tarone-ware": lambda y, s, p: y**0.5,
    "peto": lambda y, s, p: p,
}


def same(first: LogRankTest, second: LogRankTest, rel: float = 1e-9) -> None:
    assert first.df == second.df
    assert first.statistic == pytest.approx(second.statistic, rel=rel, abs=1e-9)
    for name in ("n_spells", "observed", "expected"):
        np.testing.assert_allclose(getattr(first, name), getattr(second, name), rtol=rel, err_msg=name)


# By hand and published ----------------------------------------------------------------------------------


def test_by_hand() -> None:
    """Events at 1 in a (2 of a, 2 of b at risk) and at 2 in b (1 and 2): variances 1/4 and 2/9."""
    found = log_rank_test([1, 2, 3, 3], [1, 1, 0, 0], ["a", "b", "a", "b"])
    np.testing.assert_allclose(found.expected, [1 / 2 + 1 / 3, 1 / 2 + 2 / 3], rtol=1e-12)
    np.testing.assert_allclose(found.score, [1 / 6, -1 / 6], rtol=1e-12)
    np.testing.assert_allclose(found.covariance[0, 0], 1 / 4 + 2 / 9, rtol=1e-12)
    assert found.statistic == pytest.approx((1 / 36) / (17 / 36), rel=1e-12)
    assert (found.df, found.n_spells.tolist(), found.groups) == (1, [2, 2], ("a", "b"))


def test_delayed_entry_by_hand() -> None:
    """(0, 2] a, (1, 3] b, (2, 4] a, (0, 4+] b: at 2 one a and two b; at 3 one a and two b; at 4 one and one."""
    found = log_rank_test([2, 3, 4, 4], [1, 1, 1, 0], ["a", "b", "a", "b"], entry=[0, 1, 2, 0])
    assert found.expected[0] == pytest.approx(1 / 3 + 1 / 3 + 1 / 2, rel=1e-12)
    assert found.covariance[0, 0] == pytest.approx(2 / 9 + 2 / 9 + 1 / 4, rel=1e-12)


@pytest.mark.parametrize(
    ("choice", "score", "variance", "statistic", "p_value"),
    [
        ({"weighting": "log-rank"}, 3.96, 6.21, 2.53, 0.112),
        ({"weighting": "gehan"}, -9.0, 38862.0, 0.002, 0.964),
        ({"weighting": "tarone-ware"}, 13.20, 432.83, 0.40, 0.526),
        ({"weighting": "peto"}, 2.47, 4.36, 1.40, 0.237),
        ({"weighting": "fleming-harrington", "rho": 0, "gamma": 1}, 1.41, 0.21, 9.67, 0.002),
        ({"weighting": "fleming-harrington", "rho": 1, "gamma": 0}, 2.55, 4.69, 1.39, 0.239),
        ({"weighting": "fleming-harrington", "rho": 1, "gamma": 1}, 1.02, 0.11, 9.83, 0.002),
        ({"weighting": "fleming-harrington", "rho": 0.5, "gamma": 0.5}, 2.47, 0.66, 9.28, 0.002),
        ({"weighting": "fleming-harrington", "rho": 0.5, "gamma": 2}, 0.32, 0.01, 8.18, 0.004),
    ],
)
def test_catheters_as_in_klein_and_moeschberger(
    choice: dict[str, Any], score: float, variance: float, statistic: float, p_value: float
) -> None:
    """Second edition, example 7.2 and table 7.3."""
    found = log_rank_test(*grouped(CATHETER), **choice)
    place = found.groups.index("surgical")
    assert found.score[place] == pytest.approx(score, abs=0.0051)
    assert found.covariance[place, place] == pytest.approx(variance, abs=0.5 if variance > 1000 else 0.0051)
    assert found.statistic == pytest.approx(statistic, abs=0.0051)
    assert found.p_value == pytest.approx(p_value, abs=0.00051)


@pytest.mark.parametrize(("weighting", "statistic"), [("log-rank", 13.8037), ("gehan", 16.2407)])
def test_three_groups_as_in_klein_and_moeschberger(weighting: Any, statistic: float) -> None:
    """Second edition, example 7.4: 13.8037 with weights 1, 16.2407 with weights Y."""
    found = log_rank_test(*grouped(TRANSPLANT), weighting=weighting)
    assert found.statistic == pytest.approx(statistic, abs=0.00005)
    assert found.df == 2


def test_larynx_trend_as_in_klein_and_moeschberger() -> None:
    """Second edition, example 7.6: 22.76 on 3 degrees of freedom, and a trend of 3.72 over stages I to IV."""
    datasets = pytest.importorskip("lifelines.datasets")
    data = datasets.load_larynx()
    stage = 1 + data["Stage_II"] + 2 * data["Stage_III"] + 3 * data["Stage_IV"]
    found = log_rank_test(data["time"], data["death"], stage)
    assert found.statistic == pytest.approx(22.76, abs=0.005)
    assert found.df == 3
    assert found.trend().statistic == pytest.approx(3.72, abs=0.005)
    assert found.trend([4, 3, 2, 1]).statistic == pytest.approx(-3.72, abs=0.005)
    assert found.trend([10, 20, 30, 40]).p_value == pytest.approx(found.trend().p_value, rel=1e-9)


def test_aml_as_in_r_survival() -> None:
    """`survdiff(Surv(time, status) ~ x, aml)` in tests/difftest.Rout.save, also with a group censored before."""
    exit_, event, group = grouped(AML)
    found = log_rank_test(exit_, event, group)
    np.testing.assert_allclose(found.observed, [7, 11])
    np.testing.assert_allclose(found.expected, [10.69, 7.31], atol=0.005)
    assert found.statistic == pytest.approx(3.4, abs=0.05)
    third = log_rank_test([*exit_, 1, 2, 2, 3, 3, 3, 4], event + [False] * 7, group + ["dummy"] * 7)
    assert (third.df, third.expected[0]) == (1, 0)
    assert third.statistic == pytest.approx(found.statistic, rel=1e-12)


@pytest.fixture(scope="module")
def lung() -> pd.DataFrame:
    return pytest.importorskip("lifelines.datasets").load_lung()


def test_lung_by_institution_as_in_r_survival(lung: pd.DataFrame) -> None:
    """`survdiff(Surv(time, status) ~ inst, lung, rho = .5)` in tests/cancer.Rout.save, six digits."""
    rows = lung["inst"].notna()
    found = log_rank_test(
        lung["time"][rows],
        lung["status"][rows],
        lung["inst"][rows].astype(int),
        weighting="fleming-harrington",
        rho=0.5,
    )
    observed = "21.190058 3.173330 10.663476 2.245347 5.010883 8.862602 4.445647 2.901923 7.807867 14.009656 9.140983 "
    observed += "3.170744 8.870360 9.263733 8.278566 1.627074 1.792468 0.929177"
    expected = "17.455181 1.964395 11.958755 3.559344 4.500982 7.078516 4.416133 2.223283 9.525163 12.216768 11.863298 "
    expected += "3.558447 9.992612 4.460746 11.971473 3.542694 2.679904 0.416202"
    ratio = (
        "1.171232977 0.860140808 0.200472362 0.677874608 0.077128402 0.582743947 0.000253632 0.249077097 0.422142221 "
    )
    ratio += (
        "0.365712493 0.874238212 0.057938955 0.175170113 6.149354145 1.645863937 1.286365543 0.343966668 0.676682390"
    )
    printed = np.array(observed.split(), float) - np.array(expected.split(), float)
    np.testing.assert_allclose(found.score, printed, atol=1.1e-6)
    np.testing.assert_allclose(found.score**2 / np.diag(found.covariance), np.array(ratio.split(), float), atol=0.6e-9)
    assert found.statistic == pytest.approx(15.1, abs=0.05)
    assert (found.df, round(found.p_value, 4)) == (17, 0.5904)


def test_lung_in_strata_as_in_r_survival(lung: pd.DataFrame) -> None:
    """`survdiff(Surv(time, status) ~ pat.karno + strata(inst), lung)` in tests/Examples/survival-Ex.Rout.save."""
    rows = lung["inst"].notna() & lung["pat.karno"].notna()
    data = lung[rows]
    found = log_rank_test(data["time"], data["status"], data["pat.karno"].astype(int), strata=data["inst"].astype(int))
    assert found.n_spells.tolist() == [2, 2, 4, 30, 41, 50, 60, 35]
    assert found.observed.tolist() == [1, 1, 4, 27, 31, 38, 38, 21]
    np.testing.assert_allclose(
        found.expected, [0.692, 1.099, 1.166, 16.298, 26.358, 41.938, 47.242, 26.207], atol=0.0005
    )
    ratio = [0.15752, 0.00973, 7.45359, 9.57333, 1.14774, 0.60032, 3.23078, 1.44067]
    np.testing.assert_allclose(found.score**2 / np.diag(found.covariance), ratio, atol=0.5e-5)
    assert found.statistic == pytest.approx(21.368, abs=0.0005)
    assert (found.df, found.n_strata) == (7, 18)


def test_p_values_are_uniform_when_nothing_differs() -> None:
    """500 samples of three equal groups: one in ten below 0.1, within 4 standard errors, whatever the weights."""
    rng = np.random.default_rng(12)
    below = np.zeros(len(EVERY))
    group = np.repeat([0, 1, 2], 40)
    for _ in range(500):
        time, limit = rng.exponential(1.0, 120), rng.uniform(0.3, 3.0, 120)
        for k, choice in enumerate(EVERY[:: len(EVERY) - 1]):
            below[k] += log_rank_test(np.minimum(time, limit), time <= limit, group, **choice).p_value < 0.1
    np.testing.assert_allclose(below[:2] / 500, 0.1, atol=4 * (0.09 / 500) ** 0.5)


# Relations -----------------------------------------------------------------------------------------------


@st.composite
def samples(draw: st.DrawFn, *, delayed: bool = True, most_groups: int = 3) -> dict[str, Any]:
    row = st.tuples(
        st.integers(0, 5 if delayed else 0),
        st.integers(1, 10),
        st.booleans(),
        st.integers(1, 3),
        st.integers(0, most_groups - 1),
        st.integers(0, 1),
    )
    rows = np.array(draw(st.lists(row, min_size=8, max_size=25)))
    sample = dict(zip(("entry", "exit", "event", "weight", "group", "strata"), rows.T, strict=True))
    sample["exit"] = sample["exit"] + sample["entry"]
    assume(len(set(sample["group"].tolist())) > 1)
    try:
        log_rank_test(**sample)
    except EmptyDataError:
        assume(False)
    return sample


@relation
@given(sample=samples(), choice=st.sampled_from(list(WEIGHT_OF)))
def test_family_is_the_loop_written_out(sample: dict[str, Any], choice: Any) -> None:
    found = log_rank_test(**sample, weighting=choice)
    score, covariance = written_out(sample, WEIGHT_OF[choice])
    np.testing.assert_allclose(found.score, score, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.covariance, covariance, rtol=1e-9, atol=1e-12)
    expected = score @ np.linalg.pinv(covariance, rcond=1e-9, hermitian=True) @ score
    assert found.statistic == pytest.approx(expected, rel=1e-7, abs=1e-9)
    assert found.df == np.linalg.matrix_rank(covariance, tol=1e-9 * covariance.max())


@relation
@given(sample=samples(), rho=st.floats(0, 2), gamma=st.floats(0, 2))
def test_fleming_harrington_is_the_loop_written_out(sample: dict[str, Any], rho: float, gamma: float) -> None:
    def weight_of(y: float, survival: float, prentice: float) -> float:
        return float(survival**rho * max(1 - survival, 0.0) ** gamma)

    score, covariance = written_out(sample, weight_of)
    if covariance.max() == 0:
        with pytest.raises(EmptyDataError):
            log_rank_test(**sample, weighting="fleming-harrington", rho=rho, gamma=gamma)
        return
    found = log_rank_test(**sample, weighting="fleming-harrington", rho=rho, gamma=gamma)
    np.testing.assert_allclose(found.score, score, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.covariance, covariance, rtol=1e-9, atol=1e-12)


@relation
@given(sample=samples(), choice=st.sampled_from(EVERY[:4]), order=st.randoms(use_true_random=False))
def test_rows_weights_and_labels(sample: dict[str, Any], choice: dict[str, Any], order: Any) -> None:
    """Row order, replication in place of weights, other names for groups and strata: one answer."""
    whole = log_rank_test(**sample, **choice)
    rows = list(range(len(sample["exit"])))
    order.shuffle(rows)
    same(whole, log_rank_test(**{name: values[rows] for name, values in sample.items()}, **choice))
    repeated = {name: np.repeat(values, sample["weight"]) for name, values in sample.items() if name != "weight"}
    same(whole, log_rank_test(**repeated, **choice))
    named = {**sample, "group": np.array(["x", "y", "z"])[sample["group"]], "strata": sample["strata"] + 0.5}
    same(whole, log_rank_test(**named, **choice))
    turned = log_rank_test(**{**sample, "group": -sample["group"]}, **choice)
    assert turned.statistic == pytest.approx(whole.statistic, rel=1e-9, abs=1e-9)
    np.testing.assert_allclose(turned.expected[::-1], whole.expected, rtol=1e-9)


@relation
@given(sample=samples(delayed=False), choice=st.sampled_from(EVERY[:4]), factor=st.floats(1e-6, 1e6))
def test_entry_at_zero_one_stratum_and_the_unit_of_time(
    sample: dict[str, Any], choice: dict[str, Any], factor: float
) -> None:
    sample["strata"] = np.zeros(len(sample["exit"]), int)
    try:
        whole = log_rank_test(**sample, **choice)
    except EmptyDataError:
        assume(False)
    same(whole, log_rank_test(**{**sample, "entry": None, "strata": None}, **choice))
    same(whole, log_rank_test(**{**sample, "exit": sample["exit"] * factor}, **choice))


@relation
@given(sample=samples(delayed=False))
def test_exponents_of_zero_are_the_log_rank_test(sample: dict[str, Any]) -> None:
    same(log_rank_test(**sample), log_rank_test(**sample, weighting="fleming-harrington", rho=0, gamma=0))


@relation
@given(sample=samples(), choice=st.sampled_from(EVERY[:4]))
def test_scores_add_up_to_nothing_and_events_are_conserved(sample: dict[str, Any], choice: dict[str, Any]) -> None:
    found = log_rank_test(**sample, **choice)
    assert found.score.sum() == pytest.approx(0, abs=1e-9)
    assert found.observed.sum() == (sample["weight"] * sample["event"]).sum()
    assert found.expected.sum() == pytest.approx(found.observed.sum(), rel=1e-12)
    assert found.n_spells.sum() == sample["weight"].sum()
    np.testing.assert_allclose(found.covariance.sum(axis=1), 0, atol=1e-9)


@relation
@given(sample=samples(most_groups=2))
def test_a_trend_over_two_groups_is_the_test(sample: dict[str, Any]) -> None:
    found = log_rank_test(**sample)
    assert found.trend().statistic ** 2 == pytest.approx(found.statistic, rel=1e-9, abs=1e-12)


def test_strata_are_tests_of_their_own_added_up() -> None:
    rng = np.random.default_rng(1)
    exit_, event = rng.integers(1, 20, 200), rng.random(200) < 0.7
    group, strata = rng.integers(0, 3, 200), rng.integers(0, 4, 200)
    whole = log_rank_test(exit_, event, group, strata=strata, weighting="peto")
    parts = [log_rank_test(*(x[strata == s] for x in (exit_, event, group)), weighting="peto") for s in range(4)]
    np.testing.assert_allclose(whole.score, sum(part.score for part in parts), rtol=1e-9)
    np.testing.assert_allclose(whole.covariance, sum(part.covariance for part in parts), rtol=1e-9)


# Refusals ---------------------------------------------------------------------------------------------------

GOOD: dict[str, Any] = {"exit": [2, 3, 5, 7], "event": [1, 1, 1, 0], "group": ["a", "b", "a", "b"]}


def refused(error: type[Exception], **changed: Any) -> str:
    with pytest.raises(error) as caught:
        log_rank_test(**{**GOOD, **changed})
    assert type(caught.value) is error
    return str(caught.value)


def test_labels_that_are_none() -> None:
    assert "1 of 4 values of `group` are missing" in refused(MissingValueError, group=["a", None, "a", "b"])
    assert "2 of 4 values of `strata` are NaN" in refused(MissingValueError, strata=np.array([1, np.nan, np.nan, 2]))
    assert 'group.fillna("unknown")' in refused(MissingValueError, group=["a", float("nan"), "a", "b"])
    assert "labels of the types int, str" in refused(DataTypeError, group=[1, "1", 1, "1"])
    assert "`group` has type datetime64" in refused(DataTypeError, group=np.array(["2024-01-01"] * 4, "M8[D]"))
    assert "`group` has 2 axes" in refused(ArgumentError, group=np.ones((4, 1)))


def test_groups_that_cannot_be_compared() -> None:
    assert "`group` holds one label only, 'a'" in refused(ArgumentError, group=["a"] * 4)
    assert "exit has 4, group has 3" in refused(ArgumentError, group=["a", "b", "a"])
    assert "exit has 4, strata has 2" in refused(ArgumentError, strata=["a", "b"])
    assert "not one event of positive weight at which two groups were at risk" in refused(EmptyDataError, event=[0] * 4)
    assert "not one event of positive weight" in refused(EmptyDataError, strata=["a", "b", "a", "b"])


def test_groups_never_at_risk_together_lose_a_degree_of_freedom() -> None:
    """a and b early, c and d late: two comparisons, not three."""
    exit_, entry = [1, 2, 3, 3, 8, 9, 10, 10], [0, 0, 0, 0, 5, 5, 5, 5]
    found = log_rank_test(exit_, [1, 1, 1, 0] * 2, list("abab") + list("cdcd"), entry=entry)
    early = log_rank_test(exit_[:4], [1, 1, 1, 0], list("abab"))
    assert found.df == 2
    assert found.statistic == pytest.approx(2 * early.statistic, rel=1e-9)


def test_settings_that_have_no_meaning() -> None:
    assert 'weighting is one of "log-rank"' in refused(ArgumentError, weighting="wilcoxon")
    assert '`rho` and `gamma` mean nothing to weighting="gehan"' in refused(ArgumentError, weighting="gehan", rho=1)
    assert "are not exponents >= 0" in refused(ArgumentError, weighting="fleming-harrington")
    assert "are not exponents >= 0" in refused(ArgumentError, weighting="fleming-harrington", rho=-1)
    assert "1 of 4 values of `weight` are not whole numbers" in refused(ArgumentError, weight=[1, 2, 1.5, 1])
    with pytest.raises(ArgumentError, match="write one number for each of"):
        log_rank_test(**GOOD).trend([1, 2, 3])
    with pytest.raises(ArgumentError, match="not all the same"):
        log_rank_test(**GOOD).trend([1, 1])


def test_prints_on_one_line_and_becomes_a_frame() -> None:
    found = log_rank_test(*grouped(CATHETER))
    assert repr(found) == "LogRankTest(log-rank, 2 groups, chi-square=2.53 on 1 df, p=0.112)"
    frame = pd.DataFrame(found.columns()).set_index("group")
    assert frame.loc["surgical", "observed"] == 15
    assert frame["n_spells"].tolist() == [76, 43]
