"""Cox estimates against printed output of R's survival, textbooks worked by hand, and plain lifelines."""

from __future__ import annotations

import warnings

import lifelines
import numpy as np
import pytest
from lifelines import datasets

from churnsurv.errors import DataWarning
from churnsurv.models.cox import CoxModel
from tests.models import cox_data as data
from tests.models.rows import episodes, open_rows

TIGHT = {"precision": 1e-12, "r_precision": 1e-14, "step_size": 1.0}
ROSSI = ("fin", "age", "race", "wexp", "mar", "paro", "prio")


@pytest.fixture(scope="module")
def rossi():
    frame = datasets.load_rossi()
    return frame, data.of_frame(frame, "week", "arrest", ROSSI)


@pytest.fixture(scope="module")
def ovarian_fit():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # 12 events for four terms, as in R's tests
        return CoxModel("age + resid_ds + rx + ecog_ps").fit(data.ovarian(), draws=1)


def test_recidivism_has_the_coefficients_of_the_textbook(rossi):
    """Fox and Weisberg (2019), An R Companion to Applied Regression, appendix on Cox regression, table of mod.allison."""
    fit = CoxModel(" + ".join(ROSSI)).fit(rossi[1], draws=1)
    np.testing.assert_allclose(
        fit.coef, [-0.37942, -0.05744, 0.31390, -0.14980, -0.43370, -0.08487, 0.09150], atol=0.5e-5
    )
    np.testing.assert_allclose(
        fit.summary()["se"], [0.19138, 0.02200, 0.30799, 0.21222, 0.38187, 0.19576, 0.02865], atol=0.5e-5
    )
    assert fit.info.status == "ok"
    assert (fit.info.n_events, fit.info.n_spells) == (114, 432)


def test_lung_cancer_has_the_coefficients_that_r_prints():
    """R survival 3.8, tests/Examples/survival-Ex.Rout.save: fit0 of predict.coxph's neighbours, and summary.coxph."""
    lung = datasets.load_lung()
    known = lung.dropna(subset=["ph.ecog"])
    fit = CoxModel("`ph.ecog` + age").fit(data.of_frame(known, "time", "status", ("ph.ecog", "age")), draws=1)
    np.testing.assert_allclose(fit.coef, [0.443485, 0.011281], atol=0.5e-6)
    np.testing.assert_allclose(fit.summary()["se"], [0.115831, 0.009319], atol=0.5e-6)
    assert 2 * (fit.estimate.log_likelihood - fit.estimate.null_log_likelihood) == pytest.approx(19.06, abs=0.005)
    fit = CoxModel("age + sex").fit(data.of_frame(lung, "time", "status", ("age", "sex")), draws=1)
    np.testing.assert_allclose(fit.coef, [0.017045, -0.513219], atol=0.5e-6)
    np.testing.assert_allclose(fit.summary()["se"], [0.009223, 0.167458], atol=0.5e-6)
    np.testing.assert_allclose(fit.summary(0.95)["upper"], [1.0357, 0.8311], atol=0.5e-4)


def test_ovarian_cancer_has_the_residuals_that_r_prints(ovarian_fit):
    """R survival 3.8, tests/ovarian.Rout.save: martingale, deviance, score and Schoenfeld residuals."""
    martingale = ovarian_fit.residuals("martingale")["martingale"]
    np.testing.assert_allclose(
        martingale[[0, 1, 2, 8, 12, 22, 25]],
        [0.84103277, 0.54424388, 0.59670824, -2.15325805, -1.22562781, 0.95866131, -0.09154014],
        atol=1e-8,
    )
    deviance = ovarian_fit.residuals("deviance")["deviance"]
    np.testing.assert_allclose(
        deviance[[0, 8, 12, 22, 25]], [1.41281595, -2.07521471, -1.56564862, 2.11059000, -0.42787881], atol=1e-8
    )
    score = ovarian_fit.residuals("score")[["age", "resid_ds", "rx[1]", "ecog_ps"]].to_numpy()
    # R counts rx as 1 and 2; here it is the level 1 against 2, which turns its sign
    np.testing.assert_allclose(
        score[[0, 8, 22]] * [1, 1, -1, 1],
        [
            [2.26503249, 0.05686357, -0.10565379, -0.42661688],
            [-8.20092595, -0.51356176, 0.95647608, 1.11337112],
            [-14.86623758, 0.28137017, -0.52279208, -0.43881151],
        ],
        atol=1e-7,
    )
    schoenfeld = ovarian_fit.residuals("schoenfeld")
    assert schoenfeld["time"].tolist() == [59, 115, 156, 268, 329, 353, 365, 431, 464, 475, 563, 638]
    np.testing.assert_allclose(schoenfeld["age"][[0, 4, 11]], [2.69315603, -15.73656605, 1.64752655], atol=1e-7)
    np.testing.assert_allclose(-schoenfeld["rx[1]"][[0, 4, 11]], [-0.1256239, -0.5367805, -0.6446947], atol=1e-6)


def test_strata_have_the_coefficients_and_curves_that_r_prints():
    """R survival 3.8, tests/ovarian.Rout.save: age + ecog.ps + strata(rx), summary(survfit(fit, newdata))."""
    rows = data.ovarian()
    fit = CoxModel("age + ecog_ps", strata=("rx",)).fit(rows, draws=1)
    np.testing.assert_allclose(fit.coef, [0.13853, -0.09670], atol=0.5e-5)
    np.testing.assert_allclose(fit.summary()["se"], [0.04801, 0.62994], atol=0.5e-5)
    assert list(fit.baseline["stratum"].unique()) == ["rx=1", "rx=2"]
    codes = np.array([[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 1, 0]])
    ages, statuses = np.array([30.0, 70.0, 30.0, 70.0]), np.array([2.0, 3.0, 2.0, 3.0])
    new = open_rows(rows, 0.0, [0, 0, 0, 0])
    new = type(new)(rows.schema, codes, (ages, np.ones(4), None, statuses), np.zeros(4))
    survival = fit.predict_survival_function(new, [59, 156, 268, 431, 563, 638]).values[0, 0]
    np.testing.assert_allclose(survival[0, [0, 2, 3, 5]], [0.999, 0.996, 0.988, 0.973], atol=0.5e-3)
    np.testing.assert_allclose(survival[1, [0, 1, 2, 3, 5]], [0.87905, 0.57398, 0.41764, 0.06489, 0.00161], atol=0.5e-5)
    np.testing.assert_allclose(survival[3, [0, 1, 3, 4]], [1.0, 1.0, 0.4738, 0.0489], atol=0.5e-4)


def test_proportional_hazards_test_is_the_one_that_r_prints():
    """R survival 3.8, cox.zph example: age and ecog.ps on ovarian, transform km."""
    test = CoxModel("age + ecog_ps").fit(data.ovarian(), draws=1).proportional_hazards_test()
    assert list(test.index) == ["age", "ecog_ps", "GLOBAL"]
    np.testing.assert_allclose(test["statistic"], [0.698, 2.371, 3.633], atol=0.5e-3)
    np.testing.assert_allclose(test["p"], [0.40, 0.12, 0.16], atol=0.5e-2)
    assert test["degrees_of_freedom"].tolist() == [1, 1, 2]


def test_ties_by_hand():
    """Therneau and Grambsch (2000), appendix E.1: Efron on data set 1, all of it in closed form."""
    rows = episodes(data.BOOK_TIME, data.BOOK_EVENT, {"x": data.BOOK_X})
    with pytest.warns(DataWarning, match="4.0 events per term"):
        fit = CoxModel("x").fit(rows, draws=1)
    r = 2 * np.sqrt(23 / 3) * np.cos(np.arccos((45 / 23) * np.sqrt(3 / 23)) / 3)
    information = sum(m - m**2 for m in (r / (r + 1), r / (r + 3), r / (r + 5)))
    assert fit.coef["x"] == pytest.approx(np.log(r), abs=1e-10)
    assert fit.covariance.loc["x", "x"] == pytest.approx(1 / information, rel=1e-9)
    hazard = np.array([1 / (3 * r + 3), 1 / (r + 3) + 2 / (r + 5), 1.0])
    at_zero = open_rows(rows, 0.0, [0])
    survival = fit.predict_survival_function(at_zero, [1, 6, 8, 9]).values[0, 0, 0]
    np.testing.assert_allclose(survival, np.exp(-np.cumsum([hazard[0], hazard[1], 0.0, hazard[2]])), rtol=1e-9)
    reached = open_rows(rows, [0.0, 1.0, 5.0, 6.0], [0, 0, 0, 0])
    told = fit.conditional_survival(reached, np.full((4, 1), 6.0))[0, :, 0]
    np.testing.assert_allclose(told, np.exp([-hazard[:2].sum(), -hazard[1], -hazard[1], 0.0]), rtol=1e-9)


def test_breslow_by_hand():
    """Appendix E.1: Breslow on data set 1, beta = log((3 + sqrt 33) / 2)."""
    with pytest.warns(DataWarning):
        fit = CoxModel("x", ties="breslow").fit(episodes(data.BOOK_TIME, data.BOOK_EVENT, {"x": data.BOOK_X}), draws=1)
    r = 1.5 + np.sqrt(33) / 2
    assert fit.coef["x"] == pytest.approx(np.log(r), abs=1e-10)
    np.testing.assert_allclose(
        fit.baseline["hazard"] * np.exp(-fit.centre[0] * np.log(r)), [1 / (3 * r + 3), 2 / (r + 3), 1.0], rtol=1e-9
    )


def test_counting_process_rows_are_those_that_r_prints():
    """R survival 3.8, example of coxph, data set 2 of Therneau and Grambsch: (start, stop] rows."""
    rows = episodes(data.BOOK2_STOP, data.BOOK2_EVENT, {"x": data.BOOK2_X}, start=data.BOOK2_START)
    fit = CoxModel("x").fit(rows, draws=1)
    assert fit.coef["x"] == pytest.approx(-0.02111, abs=0.5e-5)
    assert fit.summary().loc["x", "se"] == pytest.approx(0.79518, abs=0.5e-5)
    # likelihood by hand: 7 events, risk sets of Therneau and Grambsch, appendix E.2
    r = np.exp(fit.coef["x"])
    denominators = [r + 1, r + 2, 3 * r + 2, 3 * r + 1, 3 * r + 1, 3 * r + 2, 2 * r + 2]
    assert fit.estimate.log_likelihood == pytest.approx(
        4 * np.log(r) - np.sum(np.log(denominators)), abs=1e-9
    )  # fmt: skip


CASES = {
    "plain": {},
    "strata": {"strata": ("race",)},
    "ridge": {"penalizer": 0.1},
    "elastic net": {"penalizer": 0.05, "l1_ratio": 0.5},
    "weights": {"weights": "w"},
    "entry": {"entry": "late"},
    "entry, strata and weights": {"strata": ("race",), "weights": "w", "entry": "late"},
}


@pytest.mark.parametrize("case", CASES)
def test_equal_to_lifelines(rossi, case):
    """Coefficients and errors to 1e-6, on weeks that are no whole numbers."""
    settings = dict(CASES[case])
    entry, weights, strata = settings.pop("entry", None), settings.pop("weights", None), settings.pop("strata", ())
    stream = np.random.default_rng(7)
    frame = rossi[0].assign(w=rossi[0]["paro"] + 1, week=lambda f: f["week"] + stream.uniform(0, 0.01, len(f)).round(4))
    frame = frame.assign(late=stream.uniform(0, 0.9, len(frame)) * frame["week"])
    names = [name for name in ROSSI if name not in strata]
    mine = frame.assign(**{name: frame[name].map({0: "no", 1: "yes"}) for name in strata})
    rows = data.of_frame(mine, "week", "arrest", (*names, *strata), entry=entry, weights=weights)
    fit = CoxModel(" + ".join(names), strata=strata, **settings).fit(rows, draws=1)
    used = [*names, *strata, "week", "arrest", *filter(None, (entry, weights))]
    fitter = lifelines.CoxPHFitter(**settings)
    plain = fitter.fit(
        frame[used], "week", "arrest", strata=list(strata) or None, entry_col=entry, weights_col=weights,
        fit_options={} if "l1_ratio" in settings else TIGHT,
    )  # fmt: skip
    np.testing.assert_allclose(fit.coef[names], plain.params_[names], rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(fit.summary().loc[names, "se"], plain.standard_errors_[names], rtol=1e-6)


def test_equal_to_time_varying_lifelines():
    """Stanford heart transplants (Crowley and Hu 1977): rows (start, stop] whose covariate changes."""
    frame = datasets.load_stanford_heart_transplants().astype({"transplant": int})
    names = ("age", "year", "surgery", "transplant")
    rows = data.of_frame(
        frame, "stop", "event", names, entry="start", customer=frame["id"].astype(str).to_numpy(object)
    )  # fmt: skip
    fit = CoxModel(" + ".join(names)).fit(rows, draws=1)
    plain = lifelines.CoxTimeVaryingFitter().fit(
        frame, id_col="id", event_col="event", start_col="start", stop_col="stop", fit_options={"precision": 1e-12}
    )
    np.testing.assert_allclose(fit.coef[list(names)], plain.params_[list(names)], atol=1e-6)
    np.testing.assert_allclose(fit.summary()["se"], plain.standard_errors_[list(names)], rtol=1e-6)
    assert fit.robust_covariance is None
    assert fit.info.n_spells == 103
