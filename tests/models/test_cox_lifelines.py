"""lifelines' fitter on the compiled kernel: the same calls and numbers, also where lifelines' own are wrong or slow."""

from __future__ import annotations

import lifelines
import numpy as np
import pytest
from lifelines import datasets

from churnsurv.models.cox import CoxModel
from churnsurv.models.cox_lifelines import KernelCoxPHFitter
from tests.models.cox_data import BOOK_EVENT, BOOK_TIME, BOOK_X, of_frame, rows_of, simulated
from tests.models.rows import open_rows

TIGHT = {"precision": 1e-12, "r_precision": 1e-14, "step_size": 1.0}


@pytest.fixture(scope="module")
def rossi():
    return datasets.load_rossi()


@pytest.mark.parametrize("settings", [{}, {"strata": ["wexp", "mar"]}, {"penalizer": 0.2, "l1_ratio": 0.3}])
def test_it_is_lifelines(rossi, settings):
    mine = KernelCoxPHFitter(**settings).fit(
        rossi, "week", "arrest", fit_options={} if "l1_ratio" in settings else TIGHT
    )
    plain = lifelines.CoxPHFitter(**settings).fit(
        rossi, "week", "arrest", fit_options={} if "l1_ratio" in settings else TIGHT
    )
    columns = [name for name in plain.summary if name != "-log2(p)"]
    np.testing.assert_allclose(mine.summary[columns], plain.summary[columns], rtol=1e-6, atol=1e-8)
    assert mine.log_likelihood_ == pytest.approx(plain.log_likelihood_, abs=1e-6)
    assert mine.concordance_index_ == pytest.approx(plain.concordance_index_)
    assert mine.log_likelihood_ratio_test().test_statistic == pytest.approx(
        plain.log_likelihood_ratio_test().test_statistic, abs=1e-6
    )
    assert isinstance(mine, lifelines.CoxPHFitter)


def test_its_baseline_takes_the_steps_of_ties():
    """Therneau and Grambsch (2000), appendix E.1: cumulative hazard at x = 0; lifelines has Breslow's."""
    import pandas as pd

    frame = pd.DataFrame({"t": BOOK_TIME, "e": BOOK_EVENT, "x": BOOK_X})
    mine = KernelCoxPHFitter().fit(frame, "t", "e", fit_options=TIGHT)
    plain = lifelines.CoxPHFitter().fit(frame, "t", "e", fit_options=TIGHT)
    r = np.exp(mine.params_["x"])
    truth = np.cumsum([1 / (3 * r + 3), 1 / (r + 3) + 2 / (r + 5), 0.0, 1.0])
    at_zero = pd.DataFrame({"x": [0]})
    np.testing.assert_allclose(mine.predict_cumulative_hazard(at_zero)[0], truth, rtol=1e-6)
    assert np.abs(plain.predict_cumulative_hazard(at_zero)[0] - truth).max() > 0.05
    assert mine.baseline_cumulative_hazard_.index.tolist() == [1.0, 6.0, 8.0, 9.0]


def test_its_residuals_are_those_of_plain_lifelines_where_those_are_right():
    frame = datasets.load_rossi()
    frame["week"] += np.random.default_rng(0).permutation(len(frame)) / 1000  # plain lifelines is wrong with ties
    mine, plain = (
        one.fit(frame, "week", "arrest", fit_options=TIGHT) for one in (KernelCoxPHFitter(), lifelines.CoxPHFitter())
    )
    for kind in ("martingale", "deviance", "schoenfeld", "scaled_schoenfeld"):
        ours, theirs = mine.compute_residuals(frame, kind), plain.compute_residuals(frame, kind)
        assert list(ours.columns) == list(theirs.columns)
        np.testing.assert_allclose(ours.astype(float), theirs.loc[ours.index].astype(float), rtol=1e-5, atol=1e-7)
    robust = [one.fit(frame, "week", "arrest", robust=True, fit_options=TIGHT) for one in (mine, plain)]
    np.testing.assert_allclose(*(one.standard_errors_ for one in robust), rtol=1e-6)


@pytest.mark.parametrize(
    "settings", [{}, {"strata": ("plan",)}, {"penalizer": 0.1}, {"penalizer": 0.1, "l1_ratio": 0.5}]
)
def test_a_fit_gives_its_lifelines(settings):
    data = simulated(300, seed=2, late=0.4)
    formula = "a + b" if "strata" in settings else "a + b + plan"
    customer = np.array([f"c{i // 2}" for i in range(300)], dtype=object)
    fit = CoxModel(formula, **settings).fit(rows_of(data, customer=customer, spell=np.arange(300) % 2), draws=1)
    fitter = fit.lifelines
    assert fitter is fit.lifelines
    np.testing.assert_allclose(fitter.params_, fit.coef, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(fitter.standard_errors_, fit.summary()["se"], rtol=1e-6)
    assert fitter.log_likelihood_ratio_test().test_statistic > 50
    assert set(fit.lifelines_frame()) >= {"a", "b", "stop", "event", "start", "customer"}
    baseline = fit.baseline
    for name, mine in baseline.groupby("stratum"):
        theirs = fitter.baseline_cumulative_hazard_[name or "baseline cumulative hazard"]
        # lifelines centres at the mean of the rows, which is the mean over spells here
        np.testing.assert_allclose(theirs.loc[mine["time"]], mine["cumulative_hazard"], rtol=1e-6)


def test_its_checks_can_be_used(capsys):
    """Also where rows enter late, which plain lifelines refuses; residuals in its own order."""
    data = simulated(400, seed=2, late=0.4)
    fit = CoxModel("a + b").fit(rows_of(data), draws=1)
    frame = fit.lifelines_frame()
    fit.lifelines.check_assumptions(frame)
    assert "looks okay" in capsys.readouterr().out
    fit.lifelines.print_summary()
    assert "Concordance" in capsys.readouterr().out
    theirs = fit.lifelines.compute_residuals(frame, "martingale").sort_index()["martingale"]
    np.testing.assert_allclose(theirs, fit.residuals("martingale")["martingale"], atol=1e-6)
    score = fit.lifelines.compute_residuals(frame, "delta_beta").sort_index()
    np.testing.assert_allclose(score, fit.residuals("dfbeta")[["a", "b"]], atol=1e-6)


def test_a_column_may_be_called_stop(rossi):
    frame = rossi.rename(columns={"prio": "stop", "age": "event"})
    fit = CoxModel("stop + event").fit(of_frame(frame, "week", "arrest", ("stop", "event")), draws=1)
    assert list(fit.lifelines_frame()) == ["stop", "event", "stop_", "event_"]
    np.testing.assert_allclose(fit.lifelines.params_, fit.coef, rtol=1e-6)


def test_predictions_agree_within_the_data(rossi):
    rows = of_frame(rossi, "week", "arrest", ("age", "prio"))
    fit = CoxModel("age + prio").fit(rows, draws=1)
    new = open_rows(rows, 10.0, [0, 1, 2])
    mine = fit.conditional_survival(new, np.full((3, 2), [20.0, 52.0]))[0]
    theirs = fit.lifelines.predict_survival_function(rossi.iloc[:3], times=[10, 42], conditional_after=[10] * 3)
    np.testing.assert_allclose(mine, theirs.T, rtol=1e-6)
