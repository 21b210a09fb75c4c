"""The shipped churn sample of PySurvival: the very bytes of the original."""

import hashlib
import re

import numpy as np
import pytest

from churnsurv.datasets import load_pysurvival_churn, pysurvival_churn_customers, pysurvival_churn_path
from churnsurv.datasets.pysurvival_churn import LABELS, VALUES
from churnsurv.hazards.nonparametric import kaplan_meier

ORIGINAL = "e24e4fbd37ab8e7505f346ee8a7dd696da425f697666c42d3fb56edd65c1e50e"
"""sha256 of pysurvival/datasets/churn.csv in square/pysurvival at 841b9bc6ce700ba8898d2a1488aa9cd25ee7a8e6."""


@pytest.fixture(scope="module")
def spells(engine):
    return load_pysurvival_churn(engine=engine)


def test_the_original_can_be_written_from_it_byte_for_byte():
    table = pysurvival_churn_customers()
    columns = [map(str, table[name].to_pylist()) for name in table.column_names]
    lines = [",".join(row) for row in (table.column_names, *zip(*columns, strict=True))]
    assert hashlib.sha256(("\n".join(lines) + "\n").encode()).hexdigest() == ORIGINAL


def test_the_licence_names_this_very_file_and_its_source():
    path = pysurvival_churn_path()
    text = path.with_name("pysurvival_churn.LICENSE.txt").read_text(encoding="utf-8")
    assert "Copyright 2019 Square Inc." in text
    assert "Apache License" in text
    assert {ORIGINAL, hashlib.sha256(path.read_bytes()).hexdigest()} == set(re.findall(r"[0-9a-f]{64}", text))


def test_published_counts(spells):
    # The tutorial that comes with the data: 2,000 rows, 14 columns, 932 of them churned.
    table = pysurvival_churn_customers()
    assert (table.num_rows, table.num_columns) == (2_000, 14)
    assert set(table.column_names) == {"months_active", "churned", *VALUES, *LABELS}
    assert (spells.n_spells, spells.n_events, spells.n_open) == (1_958, (932,), 1_026)
    assert [(fault.name, fault.count) for fault in spells.faults] == [("no duration", 42)]
    assert spells.frame()["customer_id"].str.len().eq(4).all()


def test_survival_by_hand(spells):
    """Product over months, counted apart from the tables."""
    frame = pysurvival_churn_customers().to_pandas().query("months_active > 0")
    kept = [
        1 - ((frame["months_active"] == m) & (frame["churned"] == 1)).sum() / (frame["months_active"] >= m).sum()
        for m in range(1, 13)
    ]
    arrays = spells.arrays()
    curve = kaplan_meier(arrays["exit"], arrays["event"])
    assert curve.survival == pytest.approx(np.cumprod(kept), abs=1e-12)
    assert curve.survival[[0, 2, 11]] == pytest.approx([0.9285, 0.6133, 0.2436], abs=5e-5)


def test_two_months_in_which_everybody_left(spells):
    """Why the data are taken for made up."""
    months = (spells.frame()["exit"] / 30.4375).round()
    for month, n in ((6, 18), (10, 2)):
        assert spells.frame()["event"][months == month].tolist() == [1] * n
