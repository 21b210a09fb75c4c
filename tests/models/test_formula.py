"""Nothing outside the grammar reaches an evaluator; columns are what R would make of them."""

import numpy as np
import pytest

from churnsurv.errors import FormulaError
from churnsurv.models.formula import bind_formula, positions_of
from churnsurv.models.grammar import check_formula, tokens
from churnsurv.tables.schema import CellSchema, PatternColumn
from tests.models.conftest import CHURN

SCHEMA = CellSchema(
    CHURN,
    (0.0, 30.0),
    (
        PatternColumn("plan", ("basic", "plus", "pro")),
        PatternColumn("price band", ("low", "high")),
        PatternColumn("étage", ("1", "2")),
    ),
)
GRID = np.stack([axis.ravel() for axis in np.indices((3, 2, 2))], axis=1)
EXPOSURE = np.where(GRID[:, 0] == 1, 5.0, 2.0)

ATTACKS = [
    "__import__('os').system('x')",
    "I(plan)",
    "plan + I(__import__('os'))",
    "np.exp(plan)",
    "lambda: 0",
    "(lambda plan: plan)(plan)",
    "plan[0]",
    "plan.__class__",
    "{plan}",
    "plan ** 2",
    "plan - 1",
    "0 + plan",
    "plan | country",
    "plan ~ plan",
    "plan; plan",
    "plan\n__import__",
    "C(plan)",
    "plan (plan)",
    "plan `price band`",
    "'plan'",
    '"plan"',
    "plan + 2",
    "plan + 11",
    "plan @ plan",
    "plan %in% plan",
    "eval(plan)",
    "`__import__('os').system('x')`",
    "(" * 60 + "plan" + ")" * 60,
    "plan +",
    "+ plan",
    "(plan",
    "plan)",
    ":plan",
    "()",
    "plan + + plan",
    "plan" + " + plan" * 20_000,
    "plan\x00",
]


@pytest.mark.parametrize("formula", ATTACKS)
def test_refused_before_anything_is_evaluated(formula, monkeypatch):
    import formulaic

    monkeypatch.setattr(formulaic, "model_matrix", lambda *a, **k: pytest.fail("reached the evaluator"))
    with pytest.raises(FormulaError):
        bind_formula(formula, SCHEMA, GRID, EXPOSURE)


def test_the_evaluator_sees_no_word_of_the_user(monkeypatch):
    import formulaic

    seen = []
    whole = formulaic.model_matrix
    monkeypatch.setattr(formulaic, "model_matrix", lambda text, frame: seen.append(text) or whole(text, frame))
    bind_formula("plan * `price band` + étage", SCHEMA, GRID, EXPOSURE)
    assert seen == ["1 + c0 * c1 + c2"]


def test_names_and_unknown_names():
    assert check_formula("plan * `price band` + plan", SCHEMA) == ("plan", "price band")
    assert check_formula("1", SCHEMA) == ()
    with pytest.raises(FormulaError, match=r"1 of 2 names are no column[\s\S]*columns are: plan, price band"):
        check_formula("plan + colour", SCHEMA)


def test_reference_is_the_level_with_most_exposure():
    effects = bind_formula("plan", SCHEMA, GRID, EXPOSURE)
    assert effects.references == {0: 1}
    assert [term.label for term in effects.terms] == ["plan[basic]", "plan[pro]"]
    assert effects.matrix(np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0]])).tolist() == [[1, 0], [0, 0], [0, 1]]


def test_interactions_have_full_rank():
    for formula, n_terms in [("plan * `price band`", 5), ("plan:`price band`", 5), ("(plan + étage):`price band`", 7)]:
        effects = bind_formula(formula, SCHEMA, GRID, EXPOSURE)
        x = np.column_stack([np.ones(len(GRID)), effects.matrix(GRID)])
        assert np.linalg.matrix_rank(x) == x.shape[1] == n_terms + 1


def test_a_combination_without_exposure_is_named():
    some = ~((GRID[:, 0] == 2) & (GRID[:, 1] == 1))
    with pytest.raises(FormulaError, match=r"plan\[pro\]:price band\[high\] has no exposure"):
        bind_formula("plan * `price band`", SCHEMA, GRID, np.where(some, EXPOSURE, 0.0))


def test_levels_without_exposure_are_unseen():
    effects = bind_formula("plan", SCHEMA, GRID, np.where(GRID[:, 0] == 2, 0.0, 1.0))
    assert [term.label for term in effects.terms] == ["plan[plus]"]
    assert effects.unseen(np.array([[0, 0, 0], [2, 0, 0], [-1, 0, 0]])).tolist() == [False, True, True]


def test_positions_of_levels():
    assert positions_of(np.array([1, 4]), np.array([0, 1, 2, 4, 5, -1])).tolist() == [-1, 0, -1, 1, -1, -1]


def test_a_formula_is_text():
    with pytest.raises(FormulaError, match="is not text"):
        tokens(["plan"])
