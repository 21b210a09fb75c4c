"""The committed leaderboard is that of the code: the cheap models are run again, and the page is that of the numbers."""

import json

import numpy as np
import pytest

from tests.leaderboard.contestants import CUTOFFS, contestants
from tests.leaderboard.online_retail import REPORTS, measure, numbers
from tests.leaderboard.page import write_page

COMMITTED = json.loads((REPORTS / "leaderboard.json").read_text())
CHEAP = ("rule: silent for 45 days", "Cox", "Pareto/NBD")
ASKED = (
    "rule: silent for 45 days", "plain classifier", "BG/NBD", "Pareto/NBD", "logistic", "forest", "boosting", "Cox", "Weibull",
    "hierarchical piecewise, habits", "hierarchical piecewise, frailty", "hierarchical Weibull, frailty, cure",
)  # fmt: skip


@pytest.fixture(scope="module")
def again():
    return numbers(measure(CHEAP, cutoffs=CUTOFFS[-1:]))


def test_everyone_took_part_at_four_dates():
    assert [date for date, _ in COMMITTED["cutoffs"]] == list(CUTOFFS)
    told = {(row["model"], row["cutoff"]) for row in COMMITTED["scores"] if row["brier"] is not None}
    assert {(name, date) for name in (*ASKED, "Kaplan–Meier") for date in CUTOFFS} <= told
    assert {row["model"] for row in COMMITTED["churn"]} == {*contestants(), "Kaplan–Meier"}


@pytest.mark.parametrize("column", ["brier", "brier_skill", "log_score", "auc", "lift", "expected", "n", "n_events"])
def test_cheap_models_are_as_committed(again, column):
    """Same customers, so that nothing but the code can have moved the numbers."""
    committed = {(row["model"], row["cutoff"], row["horizon"]): row for row in COMMITTED["scores"]}
    for row in again["scores"]:
        old = committed[row["model"], row["cutoff"], row["horizon"]]
        assert old["n"] == row["n"], "customers differ: some model refuses others than when the leaderboard was made"
        new, known = row[column], old[column]
        if isinstance(known, float):
            assert new == pytest.approx(known, rel=1e-4, abs=1e-6)
        else:
            assert new == known


def test_the_page_is_that_of_the_numbers(tmp_path):
    write_page(COMMITTED, tmp_path / "page.md")
    assert (tmp_path / "page.md").read_text() == (REPORTS / "leaderboard.md").read_text()


def test_averages_are_those_of_the_dates():
    """Two roads: the table against the scores of single dates."""
    for row in COMMITTED["churn"]:
        dates = [
            one for one in COMMITTED["scores"]
            if (one["model"], one["horizon"]) == (row["model"], row["horizon"]) and one["brier"] is not None
        ]  # fmt: skip
        assert row["n"] == sum(one["n"] for one in dates)
        np.testing.assert_allclose(row["brier"], np.mean([one["brier"] for one in dates]), rtol=1e-4)
        ratio = sum(one["n_events"] for one in dates) / sum(one["expected"] for one in dates)
        np.testing.assert_allclose(row["observed_expected"], ratio, rtol=1e-4)


def test_no_committed_interval_is_from_a_model_without_one():
    bayesian = {row["model"] for row in COMMITTED["coverage"]}
    assert not bayesian & {"rule: silent for 45 days", "BG/NBD", "Pareto/NBD", "logistic", "forest", "boosting"}
