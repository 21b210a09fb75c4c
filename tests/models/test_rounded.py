"""Events known to the month only: curves that fall within the month, the same at its ends."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import churnsurv as cs
from churnsurv.errors import ArgumentError, HorizonError

MONTH = 30.4375


@pytest.fixture(scope="module")
def months():
    """Twelve customers in whole months, three and four of them leaving together."""
    frame = pd.DataFrame(
        {
            "months": [1, 1, 1, 2, 2, 2, 2, 4, 4, 3, 4, 4],
            "left": [1, 1, 1, 1, 1, 1, 0, 1, 0, 0, 1, 0],
            "plan": list("abaabbabbaab"),
        }
    )
    return cs.SpellTable.from_durations(frame, duration="months", unit="month", event="left", labels=("plan",))


def risk(fit, spells, *horizon):
    """Probability of leaving for a customer at the beginning of time, by horizon."""
    rows = next(iter(fit_rows(fit, spells)))
    return 1 - fit.conditional_survival(rows, np.broadcast_to(np.array(horizon), (len(rows.codes), len(horizon))))


def fit_rows(fit, spells):
    from churnsurv.tables.open_spells import OpenSpells

    for rows in OpenSpells.batches(spells, fit.schema):
        yield OpenSpells(
            rows.schema,
            rows.customer_id,
            np.zeros(len(rows)),
            rows.codes,
            rows.levels,
            rows.values,
            rows.outside,
            rows.unknown,
        )


def test_kaplan_meier_falls_evenly_within_the_month(months):
    steps, even = (cs.KaplanMeierModel(rounded).fit(months) for rounded in (None, MONTH))
    assert risk(steps, months, 15, MONTH, 1.5 * MONTH)[0, 0] == pytest.approx([0, 3 / 12, 3 / 12])
    # by hand: 3 of 12, then 3 of 9, nobody in the third month, then 2 of 4
    wanted = [0.125, 0.25, 0.25 + 0.125, 0.5, 0.5, 0.5 + 0.125]
    assert risk(even, months, *(np.array([0.5, 1, 1.5, 2, 3, 3.5]) * MONTH))[0, 0] == pytest.approx(wanted)


def test_cox_rises_evenly_within_the_month_and_draws_do_too(months):
    steps, even = (cs.CoxModel("plan", rounded=rounded).fit(months, draws=200) for rounded in (None, MONTH))
    assert even.coef.tolist() == steps.coef.tolist()
    ends = np.array([1, 2, 3, 4]) * MONTH
    assert risk(even, months, *ends) == pytest.approx(risk(steps, months, *ends), abs=1e-12)
    hazard = -np.log1p(-risk(even, months, *(np.array([0.25, 1.0, 1.75, 2.0, 2.9, 3.5, 4.0]) * MONTH)))
    assert hazard[..., 0] == pytest.approx(hazard[..., 1] / 4)
    assert hazard[..., 2] == pytest.approx(hazard[..., 1] + 0.75 * (hazard[..., 3] - hazard[..., 1]))
    assert hazard[..., 4] == pytest.approx(hazard[..., 3])
    assert hazard[..., 5] == pytest.approx((hazard[..., 4] + hazard[..., 6]) / 2)


def test_strata_have_their_own_coming_rise(months):
    even = cs.CoxModel(strata=("plan",), rounded=MONTH).fit(months, draws=1)
    half, whole = np.moveaxis(-np.log1p(-risk(even, months, 0.5 * MONTH, MONTH)), -1, 0)
    assert half == pytest.approx(whole / 2)
    assert len(np.unique(whole.round(9))) == 2


@pytest.mark.parametrize("model", [cs.KaplanMeierModel(MONTH), cs.CoxModel("plan", rounded=MONTH)])
def test_a_saved_fit_falls_the_same_way(months, tmp_path, model):
    fit = model.fit(months)
    fit.save(tmp_path / "fit")
    again = cs.load(tmp_path / "fit")
    assert again.model.rounded == MONTH
    assert risk(again, months, 10, 50) == pytest.approx(risk(fit, months, 10, 50))


def test_times_that_are_told_apart_are_known_better(months, refuses):
    for model in (cs.KaplanMeierModel(61.0), cs.CoxModel("plan", rounded=61.0)):
        with refuses(ArgumentError, "lie closer than rounded=61 days"):
            model.fit(months)
    with refuses(ArgumentError, "rounded=0 is not a number of days above 0"):
        cs.CoxModel(rounded=0)


def test_a_horizon_between_two_steps_is_refused_unless_the_curve_moves_there(months, refuses):
    for model in (cs.KaplanMeierModel(), cs.CoxModel("plan")):
        fit = model.fit(months)
        with refuses(
            HorizonError, "2 of 3 horizons lie between them: 30, 45 days", "rounded=30.4375", "horizon=[30.4375"
        ):
            cs.churn_risk(fit, months, horizon=[30, 45, 61])
        told = cs.churn_risk(fit, months, horizon=[MONTH])
        even = (
            type(model)(rounded=MONTH) if isinstance(model, cs.KaplanMeierModel) else cs.CoxModel("plan", rounded=MONTH)
        )
        again = cs.churn_risk(even.fit(months), months, horizon=[MONTH])
        assert told.columns.churn[2] == pytest.approx(again.columns.churn[2])  # the month in which somebody left


def test_cells_of_whole_months_have_edges_of_whole_months(months):
    cells = cs.CellTable.from_periods(cs.PeriodTable.from_spells(months))
    assert np.allclose(np.array(cells.schema.breaks) / MONTH, [0, 1, 2, 3, 4])
    frame = cells.frame().groupby("period")[["n_events", "exposure"]].sum()
    assert frame["n_events"].tolist() == [3, 3, 0, 2]
    # whoever leaves within a month is there for half of it: 12 - 3/2, 9 - 3/2, 5, 4 - 2/2
    assert (frame["exposure"] / MONTH).tolist() == pytest.approx([10.5, 7.5, 5, 3])
    (half,) = cells.unallocated
    assert half.exposure == pytest.approx(4 * MONTH)
    assert cells.total_exposure_us() == months.exposure_us
