"""A formula on rows: numbers, levels, their products; what cannot be told apart is named."""

import tracemalloc

import numpy as np
import pytest

from churnsurv.errors import (
    DataWarning,
    FormulaError,
    MissingValueError,
    ModelSupportError,
    NonFiniteError,
    SavedFitError,
)
from churnsurv.models.design import Design
from churnsurv.tables.schema import CellSchema, PatternColumn
from tests.models.rows import CHURN, episodes

PLAN = ["basic", "annual", "annual", "basic", "annual", "team"]
REVENUE = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]
WAIT = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0]


def table(**settings):
    columns = {"plan": PLAN, "revenue": REVENUE, "wait hours": WAIT}
    return episodes(
        [10.0, 10, 10, 10, 10, 10], [1, 0, 1, 0, 1, 1], {**columns, **settings.pop("columns", {})}, **settings
    )


def matrix(formula, rows, **settings):
    design = Design.bind(formula, rows, **settings)
    return design.terms, design.matrix(rows.codes, rows.values)


def test_numbers_enter_as_numbers_and_texts_against_the_level_with_most_exposure():
    terms, x = matrix("plan + revenue", table())
    assert terms == ("plan[basic]", "plan[team]", "revenue")
    assert x.tolist() == [[1, 0, 1], [0, 0, 2], [0, 0, 4], [1, 0, 8], [0, 0, 16], [0, 1, 32]]
    assert x.flags.c_contiguous
    assert x.dtype == np.float64


def test_weights_and_time_at_risk_choose_the_reference():
    assert matrix("plan", table(weight=[9, 1, 1, 9, 1, 1]))[0] == ("plan[annual]", "plan[team]")
    assert matrix("plan", table(start=[0, 9, 9, 0, 9, 0]))[0] == ("plan[annual]", "plan[team]")


def test_products_by_hand():
    revenue, wait = np.array(REVENUE), np.array(WAIT)
    basic, team = np.array(PLAN) == "basic", np.array(PLAN) == "team"
    rows = table(columns={"plan": ["a", "a", "b", "b", "a", "b"]})
    b = np.array([0, 0, 1, 1, 0, 1])
    terms, x = matrix("plan * revenue", rows)
    assert terms == ("plan[b]", "revenue", "plan[b]:revenue")
    assert np.array_equal(x, np.column_stack([b, revenue, b * revenue]))
    terms, x = matrix("revenue * `wait hours`", rows)
    assert terms == ("revenue", "wait hours", "revenue:wait hours")
    assert np.array_equal(x, np.column_stack([revenue, wait, revenue * wait]))
    terms, x = matrix("revenue:plan", rows)
    assert terms == ("revenue:plan[a]", "revenue:plan[b]")
    assert np.array_equal(x, np.column_stack([revenue * (1 - b), revenue * b]))
    terms, x = matrix("(plan + 1) + `wait hours`", table())
    assert np.array_equal(x, np.column_stack([basic, team, wait]))


def test_bins_turn_a_number_into_levels():
    rows = table(bins={"revenue": (0.0, 3.0, 50.0)})
    terms, x = matrix("revenue", rows)
    assert terms == ("revenue[bin0]",)
    assert x[:, 0].tolist() == [1, 1, 0, 0, 0, 0]


def test_no_terms():
    for formula in ("", "1", "  "):
        terms, x = matrix(formula, table())
        assert terms == ()
        assert x.shape == (6, 0)


def test_a_missing_number_is_refused_with_two_customers_and_a_way_out():
    rows = table(columns={"revenue": [1.0, np.nan, 3.0, np.nan, np.nan, 6.0]})
    with pytest.raises(MissingValueError) as caught:
        Design.bind("plan + revenue", rows)
    text = str(caught.value)
    assert "revenue is not known on 3 of 6 rows." in text
    assert "customer_id=c1, start=0.0, stop=10.0, revenue=nan" in text
    assert "customer_id=c3" in text
    assert "bins={'revenue': [...]}" in text
    assert caught.value.count == 3
    assert Design.bind("plan", rows).terms == ("plan[basic]", "plan[team]")
    binned = table(columns={"revenue": [1.0, np.nan, 3.0, np.nan, np.nan, 6.0]}, bins={"revenue": (0, 2, 9)})
    assert Design.bind("revenue", binned).terms == ("revenue[bin0]", "revenue[bin1]")
    rows = table()
    rows.values[2][3] = np.inf
    with pytest.raises(NonFiniteError, match="wait hours is infinite on 1 of 6 rows"):
        Design.bind("`wait hours`", rows)


def test_outside_the_grammar_and_unknown_names():
    for formula in ("np.exp(plan)", "I(revenue)", "plan - 1", "revenue ** 2", "colour"):
        with pytest.raises(FormulaError):
            Design.bind(formula, table())


def test_constants_are_named_or_dropped():
    rows = table(columns={"plan": ["a"] * 6, "revenue": [2.5] * 6})
    with pytest.raises(FormulaError, match=r"2 of 3 columns are constant: plan is always a; revenue is always 2\.5"):
        Design.bind("plan + revenue + `wait hours`", rows)
    with pytest.warns(DataWarning, match=r"plan \(always the same\), revenue \(always the same\)\."):
        design = Design.bind("plan + revenue + `wait hours`", rows, drop=True)
    assert design.terms == ("wait hours",)
    assert design.left_out == ("plan (always the same)", "revenue (always the same)")


@pytest.mark.parametrize("scale", [1e12, 1.0, 1e-9])
def test_exact_collinearity_is_named_whatever_the_scale(scale):
    mixed = [scale * (3 * r - 6 * w + 7) for r, w in zip(REVENUE, WAIT, strict=True)]
    rows = table(columns={"mixed": mixed})
    with pytest.raises(FormulaError, match=r"1 of 3 terms are determined.*mixed from 1, revenue, wait hours") as caught:
        Design.bind("revenue + `wait hours` + mixed", rows)
    assert caught.value.rows[0]["term"] == "mixed"
    with pytest.warns(DataWarning, match=r"mixed \(determined by other terms\)"):
        assert Design.bind("revenue + `wait hours` + mixed", rows, drop=True).terms == ("revenue", "wait hours")


def test_more_terms_than_rows_is_a_collinearity():
    with pytest.raises(FormulaError, match="determined by the others"):
        Design.bind("plan * revenue * `wait hours`", table())


def test_near_collinearity_is_warned_of():
    rng = np.random.default_rng(0)
    x = rng.normal(size=300)
    rows = episodes(
        np.ones(300), np.ones(300), {"x": x, "y": x + 1e-5 * rng.normal(size=300), "z": rng.normal(size=300)}
    )
    with pytest.warns(DataWarning, match=r"2 of 3 terms can hardly be told apart: [xy], [xy] "):
        assert Design.bind("x + y + z", rows).terms == ("x", "y", "z")
    assert Design.bind("x + z", rows).terms == ("x", "z")


def test_unseen_levels_and_unknown_numbers():
    design = Design.bind("plan + revenue", table())
    codes = np.array([[0, 0, 0], [-1, 0, 0], [1, 0, 0], [2, 0, 0]])
    values = (None, np.array([1.0, 2.0, np.nan, 1e9]), np.full(4, np.nan))
    assert design.unseen(codes, values).tolist() == [False, True, True, False]


def test_json_round_trip_and_what_it_refuses():
    rows = table()
    design = Design.bind("plan * revenue", table(columns={"plan": ["a", "a", "b", "b", "a", "b"]}))
    schema = rows.schema
    assert Design.from_json(design.to_json(), schema) == design
    for change in (
        {"numbers": [0]}, {"numbers": [9]}, {"numbers": "x"}, {"formula": "colour"}, {"numbers": []},
        {"terms": [{"label": "x", "factors": [[1, -2], [7, 0]]}]}, {"terms": [{"label": "x", "factors": [[0, -2]]}]},
        {"known": {"0": [5]}}, {"references": None},
    ):  # fmt: skip
        with pytest.raises(SavedFitError):
            Design.from_json({**design.to_json(), **change}, schema)
    with pytest.raises(SavedFitError):
        Design.from_json({}, schema)


def test_a_column_of_ids_is_refused_before_it_is_spread_out():
    ids = np.array([f"u{i}" for i in range(1500)], dtype=object)
    with pytest.raises(ModelSupportError, match=r"1,500 terms; at most 1,000"):
        Design.bind("id", episodes(np.ones(1500), np.ones(1500), {"id": ids}))


def test_many_rows_cost_little_more_than_their_matrix():
    n = 400_000
    rng = np.random.default_rng(1)
    levels = PatternColumn("plan", ("a", "b", "c"))
    number = PatternColumn("x", ("low", "high"), (-9.0, 0.0, 9.0))
    small = episodes(np.ones(3), np.ones(3))
    rows = type(small)(
        CellSchema(CHURN, (0.0, 1.0), (levels, number)), np.full(n, "c", object), np.zeros(n, np.int64), np.zeros(n),
        np.ones(n), np.ones(n, np.int64), np.column_stack([rng.integers(0, 3, n), np.zeros(n, np.int64)]),
        (None, rng.normal(size=n)),
    )  # fmt: skip
    tracemalloc.start()
    design = Design.bind("plan * x", rows)
    bound = tracemalloc.get_traced_memory()[1]
    x = design.matrix(rows.codes, rows.values)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert x.shape == (n, 5)
    assert bound < x.nbytes + 40e6
    assert peak < x.nbytes + 40e6
