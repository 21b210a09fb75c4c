"""Curves of several groups with bands and a test: each part is what its own function gives."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pandas as pd
import pytest

from churnsurv.errors import ArgumentError, DataWarning, EmptyDataError, HorizonError
from churnsurv.hazards import compare_survival, kaplan_meier, log_rank_test
from tests.hazards.published import AML, TRANSPLANT, grouped, spells


def equal(first: Any, second: Any) -> None:
    for field in fields(first):
        a, b = getattr(first, field.name), getattr(second, field.name)
        if isinstance(a, (np.ndarray, float)):
            assert np.array_equal(a, b, equal_nan=True), field.name
        else:
            assert a == b, field.name


def test_each_part_is_what_its_own_function_gives() -> None:
    exit_, event, group = grouped(TRANSPLANT)
    found = compare_survival(exit_, event, group, ci_prob=0.95, band="hall-wellner", time_range=(100, 600))
    assert found.groups == ("ALL", "AML high risk", "AML low risk")
    for label, band in zip(found.groups, found.bands, strict=True):
        alone = kaplan_meier(*spells(TRANSPLANT[label]), ci_prob=0.95)
        equal(found[label], alone)
        equal(band, alone.band("hall-wellner", time_range=(100, 600)))
    equal(found.test, log_rank_test(exit_, event, group))


def test_medians_of_aml_as_in_r_survival() -> None:
    """`survfit(Surv(time, status) ~ x, aml)`: 31 weeks maintained, 23 not."""
    found = compare_survival(*grouped(AML), weighting="fleming-harrington", rho=1)
    assert (found["maintained"].median(), found["nonmaintained"].median()) == (31, 23)
    assert found.test.rho == 1
    assert repr(found) == (
        "SurvivalComparison(medians maintained=31, nonmaintained=23; "
        "LogRankTest(fleming-harrington, 2 groups, chi-square=2.779 on 1 df, p=0.0955))"
    )


def test_joint_bands_share_the_probability() -> None:
    found = compare_survival(*grouped(TRANSPLANT), ci_prob=0.9, joint=True)
    assert [band.ci_prob for band in found.bands] == [0.9 ** (1 / 3)] * 3
    apart = compare_survival(*grouped(TRANSPLANT), ci_prob=0.9)
    for wide, narrow in zip(found.bands, apart.bands, strict=True):
        assert wide.critical_value > narrow.critical_value
    assert found["ALL"].ci_prob == 0.9


def test_entry_weights_and_strata_are_passed_on() -> None:
    rng = np.random.default_rng(3)
    entry, group, strata = rng.integers(0, 5, 80), rng.integers(0, 2, 80), rng.integers(0, 2, 80)
    exit_, event, weight = entry + rng.integers(4, 20, 80), rng.random(80) < 0.6, rng.integers(1, 4, 80)
    entry[:20] = 0
    found = compare_survival(exit_, event, group, entry=entry, weight=weight, strata=strata, transform="arcsine")
    rows = group == 1
    equal(found[1], kaplan_meier(exit_[rows], event[rows], entry=entry[rows], weight=weight[rows]))
    equal(found.test, log_rank_test(exit_, event, group, entry=entry, weight=weight, strata=strata))
    assert {band.transform for band in found.bands} == {"arcsine"}


def test_becomes_a_frame() -> None:
    frame = pd.DataFrame(compare_survival(*grouped(AML)).columns())
    assert frame.columns.tolist() == ["group", "time", "survival", "lower", "upper"]
    assert frame.groupby("group")["time"].min().to_dict() == {"maintained": 9, "nonmaintained": 5}
    assert (frame["lower"] < frame["survival"]).all()


def test_a_group_without_events_has_a_curve_and_no_band() -> None:
    found = compare_survival([1, 2, 3, 1, 2, 3], [1, 1, 0, 0, 0, 0], list("aaabbb"))
    assert found["b"].survival.tolist() == [1, 1, 1]
    assert np.isnan(found.bands[1].lower).all()


def test_refusals() -> None:
    with pytest.raises(EmptyDataError, match="1 of 2 groups have 1 spell only") as caught:
        compare_survival([1, 2, 3], [1, 1, 0], ["a", "a", "b"])
    assert caught.value.rows == ({"group": "b"},)
    with pytest.raises(ArgumentError, match="one label only"):
        compare_survival([1, 2, 3], [1, 1, 0], ["a", "a", "a"])
    with pytest.raises(HorizonError, match="leaves"):
        compare_survival(*grouped(AML), time_range=(10, 100))
    with pytest.raises(ArgumentError, match="there is no group 'dummy'") as missing:
        compare_survival(*grouped(AML))["dummy"]
    assert "the groups are 'maintained', 'nonmaintained'" in str(missing.value)


def test_an_early_risk_set_that_dies_out_warns() -> None:
    exit_, entry = [1, 4, 6, 7, 2, 5, 6], [0, 1, 1, 2, 0, 0, 0]
    with pytest.warns(DataWarning, match=r"at time 1 everybody at risk \(1\)") as caught:
        found = compare_survival(exit_, [1, 1, 0, 0, 1, 0, 0], list("aaaabbb"), entry=entry)
    assert np.isnan(found.bands[0].upper).all()
    assert caught[0].filename == __file__
