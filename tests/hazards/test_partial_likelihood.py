"""The partial likelihood and its maximum: by hand, spelt out step by step, published, and against lifelines."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from churnsurv.errors import ArgumentError, NoEventsError
from churnsurv.hazards.cox_residuals import clustered_covariance, score_residuals
from churnsurv.hazards.partial_likelihood import arrange_covariates, log_partial_likelihood, maximise, order_rows
from churnsurv.hazards.risk_sets import TIE_TOLERANCE, tie_times
from tests.hazards.cox_by_hand import by_hand
from tests.hazards.cox_data import BOOK_1, BOOK_2, WEIGHTED, bladder, ovarian

TIES = ("efron", "breslow")


def ordered(data, **settings):
    settings.setdefault("weight", getattr(data, "weight", None))
    return order_rows(getattr(data, "start", None), data.stop, data.event, **settings)


def simulated(seed, n=40, p=2, *, entry=False, ties=True, n_strata=1, weighted=False):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, p)) + 5.0
    stop = rng.exponential(10 * np.exp(-0.5 * (x[:, 0] - 5.0)))
    stop = np.ceil(stop) if ties else stop
    start = np.floor(stop * rng.uniform(0, 0.99, n)) * rng.integers(0, 2, n) if entry else None
    event = rng.uniform(size=n) < 0.7
    event[0] = True
    return {
        "start": start, "stop": stop, "event": event, "x": x,
        "strata": rng.integers(0, n_strata, n) if n_strata > 1 else None,
        "weight": rng.uniform(0.2, 3.0, n) if weighted else None,
    }  # fmt: skip


def rows_of(data):
    return order_rows(data["start"], data["stop"], data["event"], strata=data["strata"], weight=data["weight"])


# By hand: Therneau and Grambsch (2000), appendix E ----------------------------------------------


def share(*terms):
    """x (1 - x) of each share: the variance of a 0/1 covariate in a risk set."""
    return sum(part * (1 - part) for part in terms)


def book_1(beta, ties):
    r = np.exp(beta)
    if ties == "breslow":
        return (
            2 * beta - np.log(3 * r + 3) - 2 * np.log(r + 3),
            (6 + 3 * r - r**2) / ((r + 1) * (r + 3)),
            r / (r + 1) ** 2 + 6 * r / (r + 3) ** 2,
        )
    return (
        2 * beta - np.log(3 * r + 3) - np.log((r + 5) / 2) - np.log(r + 3),
        (30 + 23 * r - r**3) / ((r + 1) * (r + 3) * (r + 5)),
        share(r / (r + 1), r / (r + 5), r / (r + 3)),
    )


def book_2(beta, ties):
    r = np.exp(beta)
    last = 3 * r + 2 if ties == "breslow" else 2 * r + 2
    loglik = 4 * beta - np.log(r + 1) - np.log(r + 2) - 2 * np.log(3 * r + 2) - 2 * np.log(3 * r + 1) - np.log(last)
    shares = (
        r / (r + 1),
        r / (r + 2),
        3 * r / (3 * r + 2),
        3 * r / (3 * r + 1),
        3 * r / (3 * r + 1),
        3 * r / (3 * r + 2),
    )
    shares += (3 * r / last,) if ties == "breslow" else (2 * r / last,)
    return loglik, 4 - sum(shares), share(*shares)


def weighted(beta, ties):
    r = np.exp(beta)
    first, last = r**2 + 11 * r + 7, 2 * r + 1
    a, b = 7 * r + 3, 4 * r + 2
    middle = [(a * part + b, 7 * r * part + 4 * r) for part in ((1, 2 / 3, 1 / 3) if ties == "efron" else (1, 1, 1))]
    loglik = 11 * beta - np.log(first) - sum(10 / 3 * np.log(total) for total, _ in middle) - 2 * np.log(last)
    mean = (2 * r**2 + 11 * r) / first
    shares = [above / total for total, above in middle]
    score = 11 - mean - sum(10 / 3 * part for part in shares) - 4 * r / last
    information = (4 * r**2 + 11 * r) / first - mean**2 + 10 / 3 * share(*shares) + 2 * share(2 * r / last)
    return loglik, score, information


BOOKS = [(BOOK_1, book_1), (BOOK_2, book_2), (WEIGHTED, weighted)]


@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize(("data", "formula"), BOOKS, ids=["book 1", "book 2", "weighted"])
@pytest.mark.parametrize("beta", [0.0, -0.7, 1.3])
def test_worked_examples(data, formula, ties, beta):
    loglik, score, information = log_partial_likelihood(ordered(data), data.x, np.array([beta]), ties=ties)
    assert (loglik, score[0], information[0, 0]) == pytest.approx(formula(beta, ties), abs=1e-13)


# The roots that the book states; Efron's second and the weighted one solve the score written above.
EFRON_1 = np.log(np.cos(np.arccos((45 / 23) * np.sqrt(3 / 23)) / 3) * 2 * np.sqrt(23 / 3))
ROOTS = [
    (BOOK_1, "breslow", np.log(1.5 + np.sqrt(33) / 2), 1e-12),
    (BOOK_1, "efron", EFRON_1, 1e-12),
    (BOOK_2, "breslow", -0.084526081, 5e-10),
    (BOOK_2, "efron", brentq(lambda b: book_2(b, "efron")[1], -3, 3, xtol=1e-14), 1e-12),
    (WEIGHTED, "breslow", 0.85955744, 5e-9),
    (WEIGHTED, "efron", brentq(lambda b: weighted(b, "efron")[1], -3, 3, xtol=1e-14), 1e-12),
]


@pytest.mark.parametrize(("data", "ties", "root", "tolerance"), ROOTS)
def test_worked_maxima(data, ties, root, tolerance):
    found = maximise(ordered(data), data.x, ties=ties)
    assert found.coef[0] == pytest.approx(root, abs=tolerance)
    assert found.converged
    assert not found.monotone.any()


def test_first_newton_steps_of_the_book():
    """Section E.1.1: from 0, Breslow's first step is 8/5 and the second arrives at 1.472724."""
    rows = ordered(BOOK_1)
    for n_steps, wanted in ((1, 8 / 5), (2, 1.472724)):
        found = maximise(rows, BOOK_1.x, ties="breslow", max_iterations=n_steps)
        assert found.coef[0] == pytest.approx(wanted, abs=5e-7)
        assert (found.iterations, found.converged) == (n_steps, False)


def test_the_book_s_strata():
    """Data 2 three times over, each a stratum and shifted in time: everything triples, the root stays."""
    group = np.repeat([1, 2, 3], 10)
    start, stop = np.tile(BOOK_2.start, 3) + group, np.tile(BOOK_2.stop, 3) + group
    rows = order_rows(start, stop, np.tile(BOOK_2.event, 3), strata=group)
    x = np.tile(BOOK_2.x, (3, 1))
    loglik, score, information = log_partial_likelihood(rows, x, np.array([0.4]))
    assert (loglik, score[0], information[0, 0]) == pytest.approx([3 * v for v in book_2(0.4, "efron")], abs=1e-12)
    assert maximise(rows, x).coef == pytest.approx(maximise(ordered(BOOK_2), BOOK_2.x).coef, abs=1e-12)


# Spelt out ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("seed", range(40))
def test_one_pass_equals_the_sum_over_steps(seed, ties):
    rng = np.random.default_rng(1000 + seed)
    data = simulated(
        seed, n=int(rng.integers(2, 60)), p=int(rng.integers(1, 6)), entry=seed % 2 == 0, ties=seed % 3 > 0,
        n_strata=1 + seed % 4, weighted=seed % 5 < 2,
    )  # fmt: skip
    x = data["x"]
    # Some of the coefficients are absurd: risks then span a hundred powers of ten.
    coef = rng.normal(size=x.shape[1]) * (0.3, 2.0, 40.0)[seed % 3]
    wanted = by_hand(data["start"], data["stop"], data["event"], x - 5, coef, weight=data["weight"],
                     strata=data["strata"], ties=ties)  # fmt: skip
    loglik, score, information = log_partial_likelihood(rows_of(data), x, coef, ties=ties)
    assert loglik == pytest.approx(wanted.loglik, rel=1e-12, abs=1e-12)
    np.testing.assert_allclose(score, wanted.score, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(information, wanted.information, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("seed", range(4))
def test_derivatives_are_those_of_the_value(seed, ties):
    data = simulated(seed, n=80, p=3, entry=True, n_strata=2, weighted=True)
    rows, x = rows_of(data), data["x"]
    coef, h = np.array([0.3, -0.2, 0.5]), 1e-5
    _, score, information = log_partial_likelihood(rows, x, coef, ties=ties)

    def around(order):
        pairs = [
            [log_partial_likelihood(rows, x, coef + s * h * e, ties=ties)[order] for s in (1, -1)] for e in np.eye(3)
        ]
        return np.array([(up - down) / (2 * h) for up, down in pairs])

    np.testing.assert_allclose(score, around(0), rtol=1e-6, atol=1e-6 * np.abs(score).max())
    np.testing.assert_allclose(information, -around(1), rtol=1e-6, atol=1e-6 * np.abs(information).max())


def test_lower_orders_give_the_same():
    data = simulated(3, entry=True)
    rows, coef = rows_of(data), np.array([0.2, 0.4])
    full = log_partial_likelihood(rows, data["x"], coef)
    first, none = (log_partial_likelihood(rows, data["x"], coef, order=k) for k in (1, 0))
    assert first[0] == none[0] == full[0]
    np.testing.assert_array_equal(first[1], full[1])
    assert not first[2].any()
    assert not none[1].any()


def test_time_weights_multiply_each_time_s_share():
    data = simulated(5, n=30)
    rows, coef = rows_of(data), np.array([0.2, 0.4])
    parts = [log_partial_likelihood(rows, data["x"], coef, time_weight=one) for one in np.eye(rows.n_times)]
    factor = np.linspace(-1, 2, rows.n_times)
    whole = log_partial_likelihood(rows, data["x"], coef, time_weight=factor)
    np.testing.assert_allclose(whole[1], sum(f * part[1] for f, part in zip(factor, parts, strict=True)), atol=1e-12)
    np.testing.assert_allclose(whole[2], sum(f * part[2] for f, part in zip(factor, parts, strict=True)), atol=1e-12)


def test_large_sums_do_not_lose_digits():
    """Risk sets that shrink from thousands of rows to a few, again and again, risks over forty powers of ten."""
    rng = np.random.default_rng(8)
    n = 1500
    start = rng.integers(0, 40, n) * 25.0
    stop = start + rng.exponential(20, n) + 1e-3
    x = rng.normal(size=(n, 1)) * 8
    event = rng.uniform(size=n) < 0.2
    for beta in (0.0, 1.0, -4.0):
        wanted = by_hand(start, stop, event, x, np.array([beta]))
        loglik, score, information = log_partial_likelihood(order_rows(start, stop, event), x, np.array([beta]))
        assert loglik == pytest.approx(wanted.loglik, rel=1e-13)
        assert score == pytest.approx(wanted.score, rel=1e-11)
        assert information == pytest.approx(wanted.information, rel=1e-9)


# Published ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "coef", "se", "chi2"),
    [
        ([0], [0.16162], [0.04974], 14.29),
        ([1, 2, 3], [1.3466, -0.7493, 0.4528], [0.6803, 0.5949, 0.5903], 6.03),
        ([0, 2, 3], [0.1470, -0.8146, 0.1032], [0.0463, 0.6342, 0.6064], 15.92),
        ([0, 1, 2], [0.1285, 0.6964, -0.8489], [0.0473, 0.7585, 0.6392], 16.77),
    ],
)
def test_ovarian_as_r_prints_it(columns, coef, se, chi2):
    """R survival 3.8, tests/ovarian.Rout.save."""
    data = ovarian()
    found = maximise(ordered(data), data.x[:, columns])
    assert found.coef == pytest.approx(coef, abs=6e-5)
    assert np.sqrt(np.diag(found.covariance)) == pytest.approx(se, abs=6e-5)
    assert 2 * (found.loglik - found.loglik_null) == pytest.approx(chi2, abs=6e-3)


def test_ovarian_stratified_as_r_prints_it():
    """R survival 3.8, tests/ovarian.Rout.save: age + ecog.ps + strata(rx)."""
    data = ovarian()
    found = maximise(ordered(data, strata=data.x[:, 2].astype(int)), data.x[:, [0, 3]])
    assert found.coef == pytest.approx([0.13853, -0.09670], abs=6e-6)
    assert np.sqrt(np.diag(found.covariance)) == pytest.approx([0.04801, 0.62994], abs=6e-6)
    assert 2 * (found.loglik - found.loglik_null) == pytest.approx(12.71, abs=6e-3)


def test_bladder_as_r_prints_it():
    """Andersen–Gill fit with errors clustered by patient: R survival 3.8, tests/bladder.Rout.save."""
    data = bladder()
    rows = ordered(data)
    found = maximise(rows, data.x, ties="breslow")
    assert found.coef == pytest.approx([-0.45979, -0.04256, 0.17164], abs=6e-6)
    assert np.sqrt(np.diag(found.covariance)) == pytest.approx([0.19996, 0.06903, 0.04733], abs=6e-6)
    assert 2 * (found.loglik - found.loglik_null) == pytest.approx(16.77, abs=6e-3)
    score = score_residuals(rows, data.x, found.coef, ties="breslow", weighted=True)
    robust = clustered_covariance(score, found.covariance, data.cluster)
    assert np.sqrt(np.diag(robust)) == pytest.approx([0.25801, 0.07555, 0.06131], abs=6e-6)


@pytest.fixture(scope="module")
def datasets():
    return pytest.importorskip("lifelines.datasets")


def test_rossi_as_r_prints_it(datasets):
    """Fox, J. and Weisberg, S. (2011), *Cox Proportional-Hazards Regression*, appendix to An R Companion, section 3.2."""
    frame = datasets.load_rossi()
    names = ["fin", "age", "race", "wexp", "mar", "paro", "prio"]
    rows = order_rows(None, frame["week"].to_numpy(float), frame["arrest"].to_numpy())
    found = maximise(rows, frame[names].to_numpy(float))
    coef = [-0.37942, -0.05744, 0.31390, -0.14980, -0.43370, -0.08487, 0.09150]
    assert found.coef == pytest.approx(coef, abs=6e-6)
    se = [0.19138, 0.02200, 0.30799, 0.21222, 0.38187, 0.19576, 0.02865]
    assert np.sqrt(np.diag(found.covariance)) == pytest.approx(se, abs=6e-6)
    assert 2 * (found.loglik - found.loglik_null) == pytest.approx(33.27, abs=6e-3)


def test_stanford_hearts_as_published(datasets):
    """Kalbfleisch and Prentice (1980), p. 139, model 1: time-dependent transplant, Breslow, Stanford data.

    R survival 3.8 prints the model for days counted from 0 (``jasa1``, tests/jasa.Rout.save) as 0.01386, -0.54652,
    0.11572, 0.03473, -0.29037; the book's data count the day of acceptance as 1 (``heart``), which breaks ties with
    the transplant and moves the third digit. Errors and the likelihood ratio agree to the digits below.
    """
    frame = datasets.load_stanford_heart_transplants()
    age, surgery, transplant = (frame[name].to_numpy(float) for name in ("age", "surgery", "transplant"))
    rows = order_rows(frame["start"].to_numpy(float), frame["stop"].to_numpy(float), frame["event"].to_numpy())
    x = np.column_stack([age, surgery, transplant, age * transplant, surgery * transplant])
    found = maximise(rows, x, ties="breslow")
    assert found.coef == pytest.approx([0.01386, -0.54652, 0.11572, 0.03473, -0.29037], abs=3e-3)
    assert np.sqrt(np.diag(found.covariance)) == pytest.approx([0.01813, 0.61091, 0.32729, 0.02725, 0.75819], abs=5e-4)
    assert 2 * (found.loglik - found.loglik_null) == pytest.approx(12.45, abs=6e-3)


# Against lifelines -------------------------------------------------------------------------------


@pytest.mark.parametrize("setting", ["plain", "entry", "strata", "weights", "all"])
def test_as_lifelines(setting):
    """Efron's coefficients and errors to 1e-6 on tied, truncated, weighted, stratified rows."""
    lifelines = pytest.importorskip("lifelines")
    pandas = pytest.importorskip("pandas")
    everything = setting == "all"
    data = simulated(11, n=400, p=3, entry=everything or setting == "entry", weighted=everything or setting == "weights",
                     n_strata=3 if everything or setting == "strata" else 1)  # fmt: skip
    frame = pandas.DataFrame(data["x"], columns=["a", "b", "c"]).assign(stop=data["stop"], event=data["event"])
    names = {"duration_col": "stop", "event_col": "event", "fit_options": {"precision": 1e-11}}
    for column, argument in (("start", "entry_col"), ("weight", "weights_col"), ("strata", "strata")):
        if data[column] is not None:
            frame, names = frame.assign(**{column: data[column]}), names | {argument: column}
    with warnings.catch_warnings():
        # It warns of weights that are not whole, and pandas of its own use of pandas.
        warnings.simplefilter("ignore")
        peer = lifelines.CoxPHFitter().fit(frame, **names)
    found = maximise(rows_of(data), data["x"])
    np.testing.assert_allclose(found.coef, peer.params_.to_numpy(), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(found.covariance, peer.variance_matrix_.to_numpy(), rtol=1e-6, atol=1e-9)
    assert found.loglik == pytest.approx(peer.log_likelihood_, rel=1e-9)


# What must not matter ----------------------------------------------------------------------------

seeds = st.integers(0, 10_000)


def same_likelihood(one, other, x_one, x_other, coef, tolerance=1e-9):
    for a, b in zip(
        log_partial_likelihood(one, x_one, coef), log_partial_likelihood(other, x_other, coef), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


@settings(max_examples=40, deadline=None)
@given(seeds)
def test_splitting_into_episodes_changes_nothing(seed):
    data = simulated(seed, entry=seed % 2 == 0, n_strata=2, weighted=True)
    begin = np.zeros(len(data["stop"])) if data["start"] is None else data["start"]
    cut = begin + (data["stop"] - begin) * np.random.default_rng(seed).uniform(0.1, 0.9, len(begin))
    twice = order_rows(
        np.r_[begin, cut], np.r_[cut, data["stop"]], np.r_[np.zeros(len(cut)), data["event"]],
        strata=np.tile(data["strata"], 2), weight=np.tile(data["weight"], 2),
    )  # fmt: skip
    same_likelihood(rows_of(data), twice, data["x"], np.tile(data["x"], (2, 1)), np.array([0.7, -0.3]))


@settings(max_examples=40, deadline=None)
@given(seeds)
def test_neither_row_order_nor_the_clock_s_scale_matters(seed):
    data = simulated(seed, entry=True, n_strata=3)
    order = np.random.default_rng(seed).permutation(len(data["stop"]))
    moved = {key: None if values is None else values[order] for key, values in data.items()}
    moved["start"], moved["stop"] = np.sqrt(moved["start"]) * 1e4, np.sqrt(moved["stop"]) * 1e4
    same_likelihood(rows_of(data), rows_of(moved), data["x"], moved["x"], np.array([0.7, -0.3]))


@settings(max_examples=40, deadline=None)
@given(seeds)
def test_weights_are_replications_under_breslow(seed):
    data = simulated(seed, entry=True)
    times = np.random.default_rng(seed).integers(1, 4, len(data["stop"]))
    again = {key: None if values is None else np.repeat(values, times, axis=0) for key, values in data.items()}
    coef = np.array([0.7, -0.3])
    weighted_rows = order_rows(data["start"], data["stop"], data["event"], weight=times.astype(float))
    for a, b in zip(
        log_partial_likelihood(weighted_rows, data["x"], coef, ties="breslow"),
        log_partial_likelihood(rows_of(again), again["x"], coef, ties="breslow"),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)


@settings(max_examples=40, deadline=None)
@given(seeds)
def test_covariates_may_be_shifted_and_scaled(seed):
    data = simulated(seed, n=60, ties=False)
    rows, x = rows_of(data), data["x"]
    scale, shift = np.array([1e12, 1e-9]), np.array([3e12, -7e-9])
    plain, moved = maximise(rows, x), maximise(rows, x * scale + shift)
    np.testing.assert_allclose(moved.coef * scale, plain.coef, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(moved.covariance * np.outer(scale, scale), plain.covariance, rtol=1e-6)


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_what_says_nothing_changes_nothing(seed):
    """Constant strata, entry at 0, a stratum of one, rows censored before the first event or begun after the last."""
    data = simulated(seed)
    rows, coef = rows_of(data), np.array([0.7, -0.3])
    n = len(data["stop"])
    constant = order_rows(np.zeros(n), data["stop"], data["event"], strata=np.full(n, "all"))
    same_likelihood(rows, constant, data["x"], data["x"], coef, 1e-12)
    idle = np.array([0.0, 1e6]), np.array([0.5, 2e6]), np.zeros(2)
    more = order_rows(*(np.r_[a, b] for a, b in zip((np.zeros(n), data["stop"], data["event"]), idle, strict=True)))
    same_likelihood(rows, more, data["x"], np.r_[data["x"], [[9e3, 1], [1, 9e3]]], coef)
    alone = order_rows(None, np.r_[data["stop"], 3.0], np.r_[data["event"], 1], strata=np.r_[np.zeros(n), 1])
    same_likelihood(rows, alone, data["x"], np.r_[data["x"], [[1, 2]]], coef)


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_a_shift_within_each_stratum_changes_nothing(seed):
    data = simulated(seed, n=60, n_strata=3)
    moved = data["x"] + np.array([[0.0, 0], [40, -3], [1, 1e4]])[data["strata"]]
    same_likelihood(rows_of(data), rows_of(data), data["x"], moved, np.array([0.7, -0.3]), 1e-8)


def test_results_are_the_same_to_the_bit():
    data = simulated(2, n=500, entry=True)
    one, two = (maximise(rows_of(data), data["x"]) for _ in range(2))
    assert one.coef.tobytes() == two.coef.tobytes()
    assert one.information.tobytes() == two.information.tobytes()


# Ties by rounding, rows that are refused ---------------------------------------------------------


def test_times_that_differ_by_rounding_are_tied():
    rows = order_rows(np.array([0.0, 0.0, 1 - 0.9]), np.array([0.1, 1 - 0.9, 0.3]), [1, 1, 1])
    assert rows.times.tolist() == [0.3, 1 - 0.9]
    assert rows.n_deaths.tolist() == [1, 2]
    # The third row starts at the tied time: it is not at risk there.
    assert rows.leave.tolist() == [1, 2, 2]


def test_the_rule_of_ties_is_that_of_the_curves():
    rng = np.random.default_rng(0)
    times = np.concatenate([[0.0, 0.0], rng.exponential(size=300)])
    times = np.concatenate([times, times * (1 + TIE_TOLERANCE * rng.uniform(0, 2, len(times))), times * (1 + 1e-8)])
    rows = order_rows(None, times, np.ones(len(times)))
    np.testing.assert_array_equal(rows.stop, tie_times(times))
    assert rows.n_times < 700


@pytest.mark.parametrize("start", [2.0, 3.0, 2.0 * (1 - 1e-12)])
def test_rows_that_are_never_at_risk_are_refused(start, refuses):
    with refuses(ArgumentError, "1 of 2 values of `start`", "row=1", column="start", count=1):
        order_rows(np.array([0.0, start]), np.array([5.0, 2.0]), [1, 1])


def test_no_event_is_refused(refuses):
    with refuses(NoEventsError, "none of the 3 rows", count=0, total=3):
        order_rows(None, np.array([1.0, 2, 3]), [0, 0, 0])


def test_rows_keep_their_place():
    data = simulated(4, n_strata=3)
    rows = rows_of(data)
    assert rows.strata.tolist() == [0, 1, 2]
    assert rows.n_events == data["event"].sum()
    for s in range(3):
        part = slice(rows.time_bounds[s], rows.time_bounds[s + 1])
        wanted = np.unique(data["stop"][data["event"] & (data["strata"] == s)])[::-1]
        np.testing.assert_array_equal(rows.times[part], wanted)
    np.testing.assert_array_equal(rows.scatter(data["stop"][rows.position])[rows.position], data["stop"][rows.position])


def test_arranged_covariates_are_taken_as_they_are():
    data = simulated(4, n_strata=2)
    rows = rows_of(data)
    arranged = arrange_covariates(rows, data["x"])
    assert arrange_covariates(rows, arranged) is arranged
    np.testing.assert_allclose(arranged.x + arranged.centre[data["strata"][rows.position]], data["x"][rows.position])
    np.testing.assert_allclose(arranged.variance, np.mean(arranged.x**2, axis=0))


def test_any_kind_of_array_runs_the_code_that_is_compiled():
    """pandas hands out columns first and read-only; each kind would otherwise be compiled for, seconds each."""
    from churnsurv.hazards import cox_kernels

    loops = [loop for loop in vars(cox_kernels).values() if hasattr(loop, "signatures")]
    data = simulated(4, entry=True, weighted=True, n_strata=2)
    maximise(rows_of(data), data["x"])
    before = [len(loop.signatures) for loop in loops]
    frozen = {key: np.asfortranarray(values) for key, values in data.items()}
    for values in frozen.values():
        values.setflags(write=False)
    found = maximise(rows_of(frozen), frozen["x"])
    found.coef.setflags(write=False)
    log_partial_likelihood(rows_of(frozen), frozen["x"], found.coef)
    assert [len(loop.signatures) for loop in loops] == before


# The maximum -------------------------------------------------------------------------------------


def test_score_is_zero_at_the_maximum():
    data = simulated(6, n=300, p=5, entry=True, n_strata=2)
    found = maximise(rows_of(data), data["x"])
    loglik, score, information = log_partial_likelihood(rows_of(data), data["x"], found.coef)
    assert float(score @ found.covariance @ score) < 1e-20
    assert loglik == found.loglik
    np.testing.assert_array_equal(information, found.information)
    assert found.loglik_null == log_partial_likelihood(rows_of(data), data["x"], np.zeros(5))[0]


def test_where_it_begins_does_not_matter():
    data = simulated(6, n=300, ties=False)
    rows = rows_of(data)
    plain, far = maximise(rows, data["x"]), maximise(rows, data["x"], initial=np.array([-6.0, 9.0]))
    np.testing.assert_allclose(far.coef, plain.coef, atol=1e-10)
    assert far.loglik_null == pytest.approx(plain.loglik_null, rel=1e-13)
    assert far.converged


def test_halved_steps_climb_where_plain_newton_falls():
    """One covariate of many powers of ten: the first Newton step from 0 overshoots."""
    rng = np.random.default_rng(3)
    x = np.exp(2.0 * rng.normal(size=400))[:, None]
    stop = rng.exponential(np.exp(-0.5 * x[:, 0]))
    found = maximise(order_rows(None, stop, np.ones(400)), x)
    assert found.converged
    assert found.coef[0] == pytest.approx(0.5, abs=4 * float(np.sqrt(found.covariance[0, 0])))


def test_penalty_is_what_it_says():
    data = simulated(6, n=100)
    rows, ridge = rows_of(data), np.array([3.0, 50.0])
    found = maximise(rows, data["x"], penalizer=ridge)
    _, score, information = log_partial_likelihood(rows, data["x"], found.coef)
    np.testing.assert_allclose(score, ridge * found.coef, atol=1e-9)
    np.testing.assert_allclose(found.covariance, np.linalg.inv(information + np.diag(ridge)), rtol=1e-10)
    heavy = maximise(rows, data["x"], penalizer=1e9)
    assert np.abs(heavy.coef).max() < 1e-6


def test_both_coefficients_of_the_infinite_example():
    """R survival 3.8, tests/infcox.R: both coefficients are minus infinity, the log-likelihood tends to -1.7918."""
    x = np.column_stack([np.tile([0.0, 1], 6), np.repeat([0.0, 1], 6)])
    found = maximise(order_rows(None, np.arange(1.0, 13), np.isin(np.arange(12), [0, 2, 4])), x)
    assert found.monotone.tolist() == [True, True]
    assert not found.converged
    assert (found.loglik_null, found.loglik) == pytest.approx((-6.8669, -1.7918), abs=6e-5)
    # Seen while the coefficients are still moderate, not only once their information has vanished.
    assert np.all((found.coef > -20) & (found.coef < -10))


@pytest.mark.parametrize("n", [60, 3000])
@pytest.mark.parametrize("unit", [1.0, 1e6, 1e-6])
def test_a_level_without_events_is_found_and_only_it(n, unit):
    rng = np.random.default_rng(n)
    x = rng.normal(size=n)
    level = np.arange(n) < 0.1 * n
    stop = rng.exponential(np.exp(-0.5 * x))
    found = maximise(order_rows(None, stop, (stop < 2) & ~level), np.column_stack([x, level]) * unit)
    assert found.monotone.tolist() == [False, True]
    assert found.coef[1] < 0
    assert maximise(order_rows(None, stop, (stop < 2) & ~level), np.column_stack([x, level]), penalizer=0.1).converged


@pytest.mark.parametrize("power", [1, 9])
def test_perfect_order_is_found(power):
    """Who has the event is always the largest at risk: the hand-worked case of an infinite coefficient."""
    x = (np.arange(30)[::-1, None] / 30.0) ** power
    found = maximise(order_rows(None, np.arange(1.0, 31), np.ones(30)), x)
    assert found.monotone.all()
    assert not found.converged


@pytest.mark.parametrize("seed", range(8))
def test_finite_maxima_are_not_called_infinite(seed):
    rng = np.random.default_rng(seed)
    x = np.column_stack([rng.standard_t(2, 200), rng.uniform(size=200) < 0.04, rng.normal(size=200) * 1e4])
    stop = np.ceil(5 * rng.exponential(np.exp(-0.8 * np.clip(x[:, 0], -4, 4))))
    event = rng.uniform(size=200) < 0.6
    event[np.flatnonzero(x[:, 1])[:1]] = True
    found = maximise(order_rows(None, stop, event), x)
    assert found.converged
    assert not found.monotone.any()


def test_one_far_row_is_not_called_infinite():
    """Its linear predictor still moves when nothing is left to gain, but ever less: that is convergence."""
    rng = np.random.default_rng(1)
    x = np.append(rng.normal(size=300), -1e4)
    stop = np.append(rng.exponential(np.exp(-0.8 * x[:-1])), 1e9)
    found = maximise(order_rows(None, stop, np.arange(301) < 300), x[:, None])
    assert found.converged
    assert not found.monotone.any()


@pytest.mark.parametrize("other", [lambda x: 2 * x + 3, lambda x: np.full_like(x, 0.1)])
def test_columns_that_cannot_be_told_apart_have_no_covariance(other):
    data = simulated(6, n=200, p=1)
    x = data["x"][:, 0]
    found = maximise(rows_of(data), np.column_stack([x, other(x)]))
    assert np.isnan(found.covariance).all()
    alone = maximise(rows_of(data), x[:, None])
    assert found.loglik == pytest.approx(alone.loglik, rel=1e-10)
