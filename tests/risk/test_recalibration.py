"""Recalibration walks forward: a cutoff learns from earlier ones that were over by then, and fits are moved alike."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from churnsurv.errors import ArgumentError, EmptyDataError, ModelSupportError
from churnsurv.hazards.scoring.horizon_outcomes import known_outcomes
from churnsurv.hazards.scoring.recalibration import learn_recalibration
from churnsurv.models.base import SurvivalFit
from churnsurv.models.kaplan_meier import KaplanMeierModel
from churnsurv.risk.backtest import REFERENCE, backtest
from churnsurv.risk.calibration import pooled_at
from churnsurv.risk.columns import Chance
from churnsurv.risk.leaderboard import leaderboard
from churnsurv.risk.predict import churn_risk
from churnsurv.risk.recalibration import SUFFIX, RecalibratedFit, recalibrate, with_recalibrated
from churnsurv.risk.scored import scored
from churnsurv.tables.spells import SpellTable
from tests.risk.test_backtest import CHURN, HORIZONS, WINDOW, shop_rows

NAME = "too sure"
CUTOFFS = ("2024-05-30", "2024-06-29", "2024-08-28")  # the first is over 60 days later, by the third


@pytest.fixture(scope="module")
def spells(make_log):
    return SpellTable.from_events(make_log(shop_rows(400)), WINDOW, CHURN)


@pytest.fixture(scope="module")
def result(spells):
    """Kaplan and Meier's curve, and the same as if customers came back twice as fast."""
    log, _ = spells.observed()
    found = backtest(log, WINDOW, CHURN, {NAME: KaplanMeierModel()}, CUTOFFS, HORIZONS)
    forecasts = dict(found.forecasts)
    for date in CUTOFFS:
        one = forecasts[NAME, date]
        churn, stays = (
            Chance(*(getattr(old, part) ** 2 for part in ("mean", "lower", "upper")))
            for old in (one.churn, one.no_return)
        )
        forecasts[NAME, date] = replace(one, churn=churn, no_return=stays)
    return replace(found, forecasts=forecasts)


def test_a_cutoff_learns_from_those_that_were_over(result):
    found = with_recalibrated(result)
    assert found.models == (NAME, NAME + SUFFIX, REFERENCE)
    for date in CUTOFFS[:2]:
        assert found.forecasts[NAME + SUFFIX, date].failure == "no earlier forecast was over by then"
    first, second = (one for one in scored(result, "churn", [NAME]) if one.cutoff in CUTOFFS[:2])
    risk, time, event = pooled_at([first, second], 1)  # both were over by 28 August: 60 days after 29 June
    learnt = learn_recalibration(1 - risk, known_outcomes((event == 0) | (time > 60)))  # who came back
    new, old = (found.forecasts[name, CUTOFFS[2]] for name in (NAME + SUFFIX, NAME))
    np.testing.assert_allclose(new.churn.mean, learnt.survival(old.churn.mean))
    np.testing.assert_allclose(new.no_return.mean, learnt.survival(old.no_return.mean))
    assert learnt.intercept == pytest.approx(-np.log(2), abs=0.3)


def test_after_is_better_than_before(result):
    board = leaderboard(with_recalibrated(result), n_resamples=100)
    last = board.scores.query("horizon == 60 and cutoff == @CUTOFFS[2]").set_index("model")
    assert last.loc[NAME + SUFFIX, "brier"] < last.loc[NAME, "brier"]
    assert abs(last.loc[NAME + SUFFIX, "in_the_large"]) < abs(last.loc[NAME, "in_the_large"])
    assert last.loc[NAME + SUFFIX, "auc"] == pytest.approx(last.loc[NAME, "auc"], rel=1e-12)


@pytest.mark.parametrize("kind", ["line", "monotone"])
def test_a_fit_is_moved_like_its_forecasts(spells, result, kind):
    fit = KaplanMeierModel().fit(spells)
    moved = recalibrate(fit, result, NAME, kind=kind)
    assert isinstance(moved, SurvivalFit)
    before, after = (churn_risk(one, spells, HORIZONS) for one in (fit, moved))
    np.testing.assert_allclose(
        after.columns.churn, moved.recalibration.survival(before.columns.churn), rtol=1e-10, atol=1e-12
    )
    assert after.columns.status.tolist() == before.columns.status.tolist()
    assert moved.info is fit.info


def test_what_cannot_be_recalibrated_is_refused(spells, result, refuses, tmp_path):
    fit = KaplanMeierModel().fit(spells)
    with refuses(ArgumentError, "'Cox' is no model of this backtest", NAME):
        recalibrate(fit, result, "Cox")
    with refuses(ModelSupportError, "is not saved", "recalibrate(churnsurv.load(path)"):
        RecalibratedFit(fit, recalibrate(fit, result, NAME).recalibration).save(tmp_path / "fit")
    late = replace(result, cutoffs=tuple(replace(one, outcomes=replace(
        one.outcomes, event=0 * one.outcomes.event, ahead_us=0 * one.outcomes.ahead_us)) for one in result.cutoffs))  # fmt: skip
    with refuses(EmptyDataError, "no forecast whose longest horizon, 60 days, the log reaches"):
        recalibrate(fit, late, NAME)
    several = replace(result, churn=replace(CHURN, terminal=("closed",)))
    with refuses(ModelSupportError, "of several causes, and the fit of one"):
        recalibrate(fit, several, NAME)
