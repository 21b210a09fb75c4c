"""Independence of columns: published tables, other libraries, formulas written out, levels held.

Tolerances: 1e-9 between two roads to one number; simulated levels within Monte Carlo error of 5 per cent.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2, chi2_contingency

from churnsurv.causes.independence_tests import independence_test
from churnsurv.errors import ArgumentError, DataTypeError, EmptyDataError, MissingValueError

quick = settings(max_examples=25, deadline=None)

BERKELEY = {
    "A": (512, 313, 89, 19), "B": (353, 207, 17, 8), "C": (120, 205, 202, 391),
    "D": (138, 279, 131, 244), "E": (53, 138, 94, 299), "F": (22, 351, 24, 317),
}  # fmt: skip
"""Admitted and rejected men, then women, by department: Bickel, Hammel and O'Connell (1975), R's UCBAdmissions."""


def berkeley() -> pd.DataFrame:
    rows = [
        (department, sex, outcome)
        for department, counts in BERKELEY.items()
        for (sex, outcome), n in zip(
            [("m", "yes"), ("m", "no"), ("w", "yes"), ("w", "no")], counts, strict=True
        )
        for _ in range(n)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["department", "sex", "outcome"])


def drawn(seed: int, n: int = 60, n_customers: int = 12) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "x": rng.integers(0, 3, n),
        "y": rng.integers(0, 2, n),
        "z": rng.integers(0, 2, (n, 2)),
        "customer": rng.integers(0, n_customers, n),
    }


# Two columns: the plain statistics ----------------------------------------------------------------------


def test_published_marginal_table() -> None:
    """SAS PROC FREQ on the Berkeley table of sex by admission: 92.2053 and 93.4494, Cramér's V 0.1427."""
    table = berkeley()
    pearson = independence_test(table["sex"], table["outcome"])
    likelihood = independence_test(table["sex"], table["outcome"], statistic="g2")
    assert (round(pearson.statistic, 4), round(likelihood.statistic, 4)) == (92.2053, 93.4494)
    assert (pearson.dof, round(pearson.strength, 4)) == (1, 0.1427)


def test_like_pyagrum_given_the_department() -> None:
    """Nothing but department A speaks against independence given the department (Bickel et al. 1975)."""
    gum = pytest.importorskip("pyagrum")
    table = berkeley()
    learner = gum.BNLearner(table)
    for kind, theirs in [("chi2", learner.chi2), ("g2", learner.G2)]:
        found = independence_test(table["sex"], table["outcome"], table["department"], statistic=kind)
        assert (found.statistic, found.p_value) == pytest.approx(theirs("sex", "outcome", ["department"]), rel=1e-9)
        assert (found.dof, found.n_strata, found.n_used) == (6, 6, 4526)
    rest = table[table["department"] != "A"]
    assert independence_test(rest["sex"], rest["outcome"], rest["department"]).p_value > 0.5


@quick
@given(seed=st.integers(0, 10_000), kind=st.sampled_from(["chi2", "g2"]))
def test_sum_over_strata_of_scipy(seed: int, kind: str) -> None:
    rows = drawn(seed)
    statistic, dof = 0.0, 0
    for z in np.unique(rows["z"], axis=0):
        here = (rows["z"] == z).all(axis=1)
        table = pd.crosstab(rows["x"][here], rows["y"][here]).to_numpy()
        if min(table.shape) > 1:
            found = chi2_contingency(table, correction=False, lambda_="log-likelihood" if kind == "g2" else "pearson")
            statistic, dof = statistic + found.statistic, dof + found.dof
    ours = independence_test(rows["x"], rows["y"], rows["z"], statistic=kind)
    assert (ours.statistic, ours.dof) == (pytest.approx(statistic, rel=1e-9, abs=1e-9), dof)
    assert ours.p_value == pytest.approx(chi2.sf(statistic, dof), rel=1e-9)
    assert (ours.design_effect, ours.raw_statistic, ours.n_customers) == (1.0, ours.statistic, 60)


def test_degrees_of_freedom_count_what_is_there() -> None:
    """Levels 0, 1 of x in the first stratum, one level in the second: 1 · 1 + 0, on 4 rows of 6."""
    found = independence_test([0, 0, 1, 1, 2, 2], [0, 1, 0, 1, 0, 1], [0, 0, 0, 0, 1, 1])
    assert (found.statistic, found.dof, found.n_used, found.n_rows) == (0.0, 1, 4, 6)


@quick
@given(seed=st.integers(0, 10_000))
def test_names_and_order_do_not_matter(seed: int) -> None:
    rows = drawn(seed)
    order = np.random.default_rng(seed).permutation(60)
    plain = independence_test(rows["x"], rows["y"], rows["z"], customer=rows["customer"])
    other = independence_test(
        rows["y"][order],
        np.array(["c", "a", "b"])[rows["x"][order]],
        [f"{a}{b}" for a, b in rows["z"][order]],
        customer=[f"id {c}" for c in rows["customer"][order]],
    )
    for name in ("statistic", "dof", "design_effect", "strength", "share_sparse"):
        assert getattr(other, name) == pytest.approx(getattr(plain, name), rel=1e-9), name


# Two columns: customers with several rows -----------------------------------------------------------------


def written_out(rows: dict[str, Any], *, second: bool) -> tuple[float, float, float]:
    """Design effect, divisor and degrees of freedom from loops over rows, customers and cells, and dense matrices."""
    x, y, customer = rows["x"], rows["y"], rows["customer"]
    stratum = rows["z"] @ [2, 1]
    cells, blocks, dof = [], [], 0
    for s in np.unique(stratum):
        here = stratum == s
        p_x = np.array([np.mean(x[here] == k) for k in np.unique(x[here])])
        p_y = np.array([np.mean(y[here] == k) for k in np.unique(y[here])])
        dof += (len(p_x) - 1) * (len(p_y) - 1)
        m = len(np.unique(customer[here]))
        # The covariance that independent rows would have; its generalised inverse defines the design effects.
        spread = np.kron(np.diag(p_x) - np.outer(p_x, p_x), np.diag(p_y) - np.outer(p_y, p_y)) * here.sum()
        blocks.append(np.linalg.pinv(spread, rcond=1e-12))
        for i, k in enumerate(np.unique(x[here])):
            for j, level in enumerate(np.unique(y[here])):
                each = here * ((x == k) - p_x[i]) * ((y == level) - p_y[j])
                own = np.array([each[customer == c].sum() for c in np.unique(customer)])
                cells.append(own * np.sqrt(m / max(m - 1, 1)))
    parts = np.array(cells)
    inverse = np.zeros((len(parts), len(parts)))
    at = 0
    for block in blocks:
        inverse[at : at + len(block), at : at + len(block)] = block
        at += len(block)
    products = parts.T @ inverse @ parts  # customer by customer
    effect = np.trace(products) / dof
    squares = (products**2).sum() - (np.diag(products) ** 2).sum()
    spread_ = max(1.0, dof * squares / np.trace(products) ** 2) if second else 1.0
    return effect, effect * spread_, dof / spread_


@quick
@given(seed=st.integers(0, 10_000), second=st.booleans())
def test_design_effects_written_out(seed: int, second: bool) -> None:
    rows = drawn(seed)
    rows["x"] = (rows["customer"] + (rows["x"] == 0)) % 3  # alike within a customer
    effect, divisor, dof = written_out(rows, second=second)
    found = independence_test(
        rows["x"],
        rows["y"],
        rows["z"],
        customer=rows["customer"],
        correction="second-order" if second else "first-order",
    )
    assert found.design_effect == pytest.approx(effect, rel=1e-9)
    assert found.dof == pytest.approx(dof, rel=1e-9)
    assert found.statistic == pytest.approx(found.raw_statistic / divisor, rel=1e-9)
    assert found.p_value == pytest.approx(chi2.sf(found.raw_statistic / divisor, dof), rel=1e-9)


def test_cells_held_in_memory_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = drawn(11, n=300)
    rows["x"], rows["y"] = rows["customer"] % 3, rows["customer"] // 3 % 2
    whole = independence_test(rows["x"], rows["y"], rows["z"], customer=rows["customer"])
    assert whole.dof < whole.raw_dof
    monkeypatch.setattr("churnsurv.causes.independence_tests._CELLS_AT_ONCE", 5)
    parts = independence_test(rows["x"], rows["y"], rows["z"], customer=rows["customer"])
    assert (parts.statistic, parts.dof) == pytest.approx((whole.statistic, whole.dof), rel=1e-12)


@quick
@given(seed=st.integers(0, 10_000), copies=st.integers(2, 8))
def test_copies_of_rows_say_nothing_new(seed: int, copies: int) -> None:
    """Every customer with the same row ten times: the test of one row each, whatever ten is."""
    rows = drawn(seed, n=40)
    one = np.arange(40)
    plain = independence_test(rows["x"], rows["y"], rows["z"], customer=one)
    index = np.repeat(one, copies)
    copied = independence_test(rows["x"][index], rows["y"][index], rows["z"][index], customer=index)
    assert copied.raw_statistic == pytest.approx(copies * plain.raw_statistic, rel=1e-9, abs=1e-9)
    assert copied.design_effect == pytest.approx(copies * plain.design_effect, rel=1e-9)
    assert copied.p_value == pytest.approx(plain.p_value, rel=1e-9)


def test_one_row_per_customer_changes_little() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.integers(0, 3, 2000), rng.integers(0, 4, 2000)
    plain, found = independence_test(x, y), independence_test(x, y, customer=np.arange(2000))
    assert found.design_effect == pytest.approx(1.0, abs=0.02)
    assert found.statistic == pytest.approx(plain.statistic, rel=0.02)
    assert found.p_value == pytest.approx(plain.p_value, abs=0.01)


def rejections(seed: int, *, n_strata: int, noise: float) -> np.ndarray:
    """Share of 300 true claims that are rejected at 5 per cent: plain, first order, second order."""
    rng = np.random.default_rng(seed)
    customer = np.repeat(np.arange(150), 10)
    p = []
    for _ in range(300):
        x, y = rng.integers(0, 2, 150)[customer], rng.integers(0, 3, 150)[customer]
        x = np.where(rng.random(1500) < noise, rng.integers(0, 2, 1500), x)
        z = rng.integers(0, n_strata, 1500)
        p.append(
            [
                independence_test(x, y, z).p_value,
                independence_test(x, y, z, customer=customer, correction="first-order").p_value,
                independence_test(x, y, z, customer=customer).p_value,
            ]
        )
    return np.mean(np.array(p) < 0.05, axis=0)


@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_level_with_ten_rows_per_customer(noise: float) -> None:
    plain, first, second = rejections(1, n_strata=1, noise=noise)
    assert plain > 0.5
    assert 0.03 <= first <= 0.08
    assert 0.03 <= second <= 0.08


def test_level_where_customers_have_rows_in_several_strata() -> None:
    """Design effects then differ between directions, which the first order does not see."""
    plain, first, second = rejections(2, n_strata=5, noise=0.0)
    assert plain > 0.4
    assert first > 0.08
    assert 0.02 <= second <= 0.08


def test_a_dependence_between_customers_is_still_found() -> None:
    rng = np.random.default_rng(4)
    customer = np.repeat(np.arange(200), 10)
    x = rng.integers(0, 2, 200)
    y = np.where(rng.random(200) < 0.35, x, rng.integers(0, 2, 200))
    assert independence_test(x[customer], y[customer], customer=customer).p_value < 0.001


def test_customers_who_have_all_combinations_alike() -> None:
    """Every customer has each pair once: nobody deviates, the design effect is 0, and so is the statistic."""
    customer = np.repeat(np.arange(50), 4)
    found = independence_test(np.tile([0, 0, 1, 1], 50), np.tile([0, 1, 0, 1], 50), customer=customer)
    assert (found.statistic, found.design_effect, found.p_value) == (0.0, 0.0, 1.0)


# Two columns: what it says -------------------------------------------------------------------------------


def test_sparse_cells_are_told() -> None:
    rng = np.random.default_rng(5)
    x, y, z = rng.integers(0, 3, 90), rng.integers(0, 3, 90), rng.integers(0, 6, 90)
    found = independence_test(x, y, z)
    assert (found.share_sparse, found.note) == (1.0, "100% of the cells expect fewer than 5 rows: the p-value is rough")
    assert independence_test(x, y).note == ""
    # Ten copies of each row are no more rows, and only the customers tell.
    index = np.repeat(np.arange(90), 10)
    assert independence_test(x[index], y[index], z[index], customer=index).share_sparse == 1.0
    assert independence_test(x[index], y[index], z[index]).share_sparse < 0.2


def test_few_customers_are_told() -> None:
    customer = np.repeat(np.arange(20), 100)
    rng = np.random.default_rng(6)
    found = independence_test(rng.integers(0, 2, 2000), rng.integers(0, 2, 2000), customer=customer)
    assert found.note == "only 20 customers: the design effect, and so the p-value, is rough"


def test_an_untested_claim_is_no_passed_test() -> None:
    found = independence_test([0, 0, 1], [0, 1, 0], [0, 0, 1], customer=[1, 2, 3])
    assert (found.dof, found.n_used) == (0, 0)
    assert np.isnan([found.p_value, found.strength, found.share_sparse]).all()
    assert found.note == "the two columns do not both vary within any stratum: the claim was not tested"


def test_words() -> None:
    found = independence_test(
        [0, 0, 0, 0, 1, 1, 1, 1],
        [0, 0, 0, 1, 0, 1, 1, 1],
        np.zeros((8, 2), int),
        names=("delay", "plan"),
        given=("age", "region"),
    )
    assert found.claim == "delay is independent of plan given age, region"
    assert str(found) == (
        "delay is independent of plan given age, region: chi2=2 on 1 df, p=0.157 "
        "(100% of the cells expect fewer than 5 rows: the p-value is rough)"
    )
    assert found.strength == pytest.approx(0.5)


def test_refusals() -> None:
    with pytest.raises(ArgumentError, match="x has 2, y has 1"):
        independence_test([0, 1], [0])
    with pytest.raises(ArgumentError, match="x has 2, customer has 1"):
        independence_test([0, 1], [0, 1], customer=[0])
    with pytest.raises(ArgumentError, match="x has 2, z has 3"):
        independence_test([0, 1], [0, 1], [0, 1, 2])
    with pytest.raises(ArgumentError, match="`z` has 3 axes"):
        independence_test([0, 1], [0, 1], np.zeros((2, 1, 1)))
    with pytest.raises(ArgumentError, match="`given` names 1 columns, and `z` has 2"):
        independence_test([0, 1], [0, 1], np.zeros((2, 2)), given=["a"])
    with pytest.raises(ArgumentError, match="`statistic`='fisher' is unknown"):
        independence_test([0, 1], [0, 1], statistic="fisher")  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="`correction`='none' is unknown"):
        independence_test([0, 1], [0, 1], correction="none")  # type: ignore[arg-type]
    with pytest.raises(EmptyDataError, match="x, y are empty"):
        independence_test([], [])
    with pytest.raises(MissingValueError, match="1 of 2 values of `y` are NaN"):
        independence_test([0, 1], np.array([np.nan, 1.0]))
    with pytest.raises(DataTypeError, match="types int, str"):
        independence_test([0, "a"], [0, 1])


def test_no_given_columns_is_no_condition() -> None:
    rows = drawn(7)
    assert independence_test(rows["x"], rows["y"], np.empty((60, 0))) == independence_test(rows["x"], rows["y"])
