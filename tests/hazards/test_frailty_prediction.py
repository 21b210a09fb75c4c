"""What the past tells of the future under frailty and cure: quadrature, published numbers, monotonicity."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special, stats

from churnsurv.hazards.cure import (
    conditional_survival_with_cure,
    population_survival_with_cure,
    probability_gone,
)
from churnsurv.hazards.frailty import unit_terms
from churnsurv.hazards.frailty_prediction import (
    conditional_survival,
    log_laplace_of_new_group,
    population_survival,
    posterior,
)

RNG = np.random.default_rng(20260411)
N = 100
CERTAIN, AMBIGUOUS, FURTHER = RNG.exponential([[2.0], [1.5], [1.0]], (3, N))
EVENTS = RNG.integers(0, 8, N)
LOGIT = RNG.normal(-1.0, 1.5, N)
VARIANCE = np.exp(RNG.uniform(np.log(0.05), np.log(3.0), N))
SD = RNG.uniform(0.1, 1.5, N)


def over_frailty(g, variance, events, hazard):
    """Integral of z^d g(z) against the frailty's density, in pieces around where it lies."""
    a = 1 / variance
    shape, constant = a + events, a * np.log(a) - special.gammaln(a)
    peak, spread = np.log(shape / (a + hazard)), 9 / np.sqrt(shape)

    def integrand(u):
        z = np.exp(u)
        return np.exp(constant + shape * u - a * z) * g(z)

    ends = (peak - 40 / shape - spread, peak, peak + 4 + spread)
    return sum(integrate.quad(integrand, *pair, epsabs=0, epsrel=1e-11, limit=200)[0] for pair in pairwise(ends))


def test_posterior_frailty_is_bayes_rule():
    law = posterior(CERTAIN, events=EVENTS, variance=VARIANCE)
    for i in range(0, N, 4):
        whole, first = (
            over_frailty(lambda z, i=i, k=k: z**k * np.exp(-z * CERTAIN[i]), VARIANCE[i], EVENTS[i], CERTAIN[i])
            for k in (0, 1)
        )
        assert law.mean[i] == pytest.approx(first / whole, rel=1e-9)
        z = 0.7
        prior = stats.gamma(1 / VARIANCE[i], scale=VARIANCE[i]).pdf(z)
        density = prior * z ** EVENTS[i] * np.exp(-z * CERTAIN[i]) / whole
        assert stats.gamma(law.shape[i], scale=1 / law.rate[i]).pdf(z) == pytest.approx(density, rel=1e-8)


def test_without_frailty_the_posterior_is_one():
    for variance in (None, 0.0):
        law = posterior(np.array([3.0]), events=np.array([7]), variance=variance)
        assert law.mean.tolist() == [1.0]
        assert np.isinf(law.shape)
        assert np.isinf(law.rate)


def test_conditional_survival_is_a_ratio_of_integrals_at_a_hundred_points():
    until = CERTAIN + FURTHER
    got = conditional_survival(CERTAIN, until, events=EVENTS, variance=VARIANCE)
    for i in range(N):
        above, below = (
            over_frailty(lambda z, h=h: np.exp(-z * h), VARIANCE[i], EVENTS[i], h) for h in (until[i], CERTAIN[i])
        )
        assert got[i] == pytest.approx(above / below, abs=1e-9)


def test_cure_is_a_ratio_of_integrals_at_a_hundred_points():
    """Every term of the mixture by brute force."""
    gone = probability_gone(CERTAIN, AMBIGUOUS, events=EVENTS, variance=VARIANCE, logit_cured=LOGIT)
    until = CERTAIN + AMBIGUOUS + FURTHER
    survival = conditional_survival_with_cure(
        CERTAIN, AMBIGUOUS, until, events=EVENTS, variance=VARIANCE, logit_cured=LOGIT
    )
    for i in range(N):
        share = special.expit(LOGIT[i])
        left, now, later = (
            over_frailty(lambda z, h=h: np.exp(-z * h), VARIANCE[i], EVENTS[i], h)
            for h in (CERTAIN[i], CERTAIN[i] + AMBIGUOUS[i], until[i])
        )
        both = share * left + (1 - share) * now
        assert gone[i] == pytest.approx(share * left / both, abs=1e-9)
        assert survival[i] == pytest.approx((share * left + (1 - share) * later) / both, abs=1e-9)


def test_gone_is_the_slope_of_the_likelihood_in_the_logit():
    """Two roads: the derivative of the unit's log-likelihood is posterior minus prior."""
    terms = unit_terms(
        CERTAIN, AMBIGUOUS, events=EVENTS, kind=np.ones(N, np.int8), variance=0.8, logit_cured=LOGIT, alive=0 * EVENTS
    )
    gone = probability_gone(CERTAIN, AMBIGUOUS, events=EVENTS, variance=0.8, logit_cured=LOGIT)
    np.testing.assert_allclose(terms.by_logit + special.expit(LOGIT), gone, rtol=1e-11)


def test_likelihoods_of_a_shorter_and_a_longer_silence_are_in_the_ratio_of_survival():
    kind = np.ones(N, np.int8)
    shared = {"events": EVENTS, "variance": 0.8, "logit_cured": LOGIT}
    now = unit_terms(CERTAIN, AMBIGUOUS, kind=kind, **shared).value
    later = unit_terms(CERTAIN, AMBIGUOUS + FURTHER, kind=kind, **shared).value
    survival = conditional_survival_with_cure(CERTAIN, AMBIGUOUS, CERTAIN + AMBIGUOUS + FURTHER, **shared)
    np.testing.assert_allclose(np.exp(later - now), survival, rtol=1e-12)


def over_group(hazard, events, variance, sd):
    """Integral over a new group's effect; over the frailty it is closed."""

    def log_integrand(u):
        risk = np.exp(u) * hazard
        kept = -risk if variance == 0 else -(1 / variance + events) * np.log1p(variance * risk)
        return events * u + kept - 0.5 * (u / sd) ** 2

    grid = np.linspace(-12 * sd - 12, 12 * sd + 12, 4001)
    peak = grid[np.argmax(log_integrand(grid))]
    top = log_integrand(peak)
    points = [peak + k * sd for k in (-12, -3, -1, -0.3, 0, 0.3, 1, 3, 12)]
    total = sum(
        integrate.quad(lambda u: np.exp(log_integrand(u) - top), points[k], points[k + 1], epsabs=0, epsrel=1e-11)[0]
        for k in range(len(points) - 1)
    )
    return top + np.log(total / (sd * np.sqrt(2 * np.pi)))


def test_new_group_is_integrated_at_a_hundred_points():
    """Few events and many, with frailty and without, silences long and short."""
    events = np.where(np.arange(N) % 3 == 0, EVENTS * 30, EVENTS)
    variance = np.where(np.arange(N) % 4 == 0, 0.0, VARIANCE)
    hazard = CERTAIN * np.where(np.arange(N) % 5 == 0, 100.0, 1.0)
    got = log_laplace_of_new_group(hazard, events=events, variance=variance, sd=SD)
    for i in range(N):
        assert got[i] == pytest.approx(over_group(hazard[i], events[i], variance[i], SD[i]), rel=1e-10, abs=1e-9)


def test_survival_in_a_new_group_is_a_ratio_of_integrals():
    shared = {"events": EVENTS, "variance": VARIANCE, "sd": SD}
    reached, until = CERTAIN + AMBIGUOUS, CERTAIN + AMBIGUOUS + FURTHER
    plain = conditional_survival(reached, until, **shared)
    gone = probability_gone(CERTAIN, AMBIGUOUS, logit_cured=LOGIT, **shared)
    cured = conditional_survival_with_cure(CERTAIN, AMBIGUOUS, until, logit_cured=LOGIT, **shared)
    for i in range(0, N, 2):
        left, now, later = (np.exp(over_group(h[i], EVENTS[i], VARIANCE[i], SD[i])) for h in (CERTAIN, reached, until))
        share = special.expit(LOGIT[i])
        both = share * left + (1 - share) * now
        assert plain[i] == pytest.approx(later / now, abs=1e-9)
        assert gone[i] == pytest.approx(share * left / both, abs=1e-9)
        assert cured[i] == pytest.approx((share * left + (1 - share) * later) / both, abs=1e-9)


def test_a_new_group_without_spread_is_a_known_one():
    for variance in (None, 0.8):
        shared = {"events": EVENTS, "variance": variance}
        for sd in (0.0, 1e-9):
            new = conditional_survival(CERTAIN, CERTAIN + FURTHER, sd=sd, **shared)
            np.testing.assert_allclose(new, conditional_survival(CERTAIN, CERTAIN + FURTHER, **shared), rtol=1e-8)


def test_draws_and_times_broadcast():
    past, until = CERTAIN[:3, None], CERTAIN[:3, None] + np.arange(4.0)
    events, variance, sd = EVENTS[:3, None], np.array([0.0, 0.4])[:, None, None], np.array([0.5, 1.0])[:, None, None]
    for spread in (None, sd):
        together = conditional_survival(past, until, events=events, variance=variance, sd=spread)
        assert together.shape == (2, 3, 4)
        alone = conditional_survival(
            past[2], until[2, 3:], events=events[2], variance=0.4, sd=None if spread is None else 1.0
        )
        assert together[1, 2, 3] == pytest.approx(alone[0], rel=1e-14)
        assert (together[..., 0] == 1.0).all()


def test_population_survival_is_the_mean_over_customers():
    hazard = np.array([0.0, 0.1, 1.0, 20.0])
    for variance in (0.2, 2.0):
        expected = [over_frailty(lambda z, h=h: np.exp(-z * h), variance, 0, h) for h in hazard]
        got = population_survival(hazard, variance=variance)
        np.testing.assert_allclose(got, expected, rtol=1e-9)
        with_cure = population_survival_with_cure(hazard, variance=variance, logit_cured=np.log(0.25 / 0.75))
        np.testing.assert_allclose(with_cure, 0.25 + 0.75 * got, rtol=1e-14)
    np.testing.assert_allclose(population_survival(hazard, variance=None), np.exp(-hazard))


def test_hazard_ratio_of_populations_falls_as_the_docstring_says():
    hazard, variance, ratio, step = np.array([0.1, 1.0, 10.0]), 0.7, 3.0, 1e-6

    def slope(times):
        up, down = (-np.log(population_survival(times * (hazard + s), variance=variance)) for s in (step, -step))
        return (up - down) / (2 * step)

    expected = ratio * (1 + variance * hazard) / (1 + variance * ratio * hazard)
    np.testing.assert_allclose(slope(ratio) / slope(1.0), expected, rtol=1e-7)


# BG/NBD: constant rates that differ by a gamma, and a chance to leave after each purchase that differs by a beta.
# Estimates for the CDNOW customers and customer 0001: Fader, Hardie and Lee (2005), Marketing Science 24, 275–284,
# and their note "Implementing the BG/NBD model for customer base analysis in Excel".
R, ALPHA, A, B = 0.243, 4.414, 0.793, 2.426
PURCHASES, LAST, END = 2, 30.43, 38.86


def over_leaving(g):
    """Mean of g(p) over the beta distribution by Gauss and Jacobi's rule."""
    nodes, weights = special.roots_jacobi(40, B - 1, A - 1)
    return sum(w * g((1 + x) / 2) for x, w in zip(nodes, weights, strict=True)) / weights.sum()


def likelihood(p):
    """Of the customer's purchases, by units: hazard in multiples of the mean rate, known alive but for the last."""
    terms = unit_terms(
        np.array([R / ALPHA * LAST]),
        np.array([R / ALPHA * (END - LAST)]),
        events=np.array([PURCHASES]),
        kind=np.ones(1, np.int8),
        variance=1 / R,
        logit_cured=special.logit(p),
        alive=np.array([PURCHASES - 1]),
    )
    # The factor of A and the rates at the events are (r)_x alpha^-x.
    return np.exp(terms.value[0]) * special.poch(R, PURCHASES) * ALPHA**-PURCHASES


def gone(p):
    past = np.array([R / ALPHA * LAST])
    silent = np.array([R / ALPHA * (END - LAST)])
    return probability_gone(past, silent, events=np.array([PURCHASES]), variance=1 / R, logit_cured=special.logit(p))[0]


def test_bg_nbd_likelihood():
    x = PURCHASES
    stay = special.beta(A, B + x) / special.beta(A, B) / (ALPHA + END) ** (R + x)
    leave = special.beta(A + 1, B + x - 1) / special.beta(A, B) / (ALPHA + LAST) ** (R + x)
    expected = special.poch(R, x) * ALPHA**R * (stay + leave)
    assert over_leaving(likelihood) == pytest.approx(expected, rel=1e-9)


def test_bg_nbd_probability_alive():
    """Fader, Hardie and Lee (2008), "Computing P(alive) using the BG/NBD model"."""
    expected = 1 / (1 + A / (B + PURCHASES - 1) * ((ALPHA + END) / (ALPHA + LAST)) ** (R + PURCHASES))
    alive = over_leaving(lambda p: likelihood(p) * (1 - gone(p))) / over_leaving(likelihood)
    assert alive == pytest.approx(expected, rel=1e-9)


def test_bg_nbd_expected_purchases_of_the_published_customer():
    """1.226 purchases in the next 39 weeks: of someone alive they come until she leaves, a chance p after each."""

    def expected(p):
        past = np.array([R / ALPHA * END])
        kept = conditional_survival(past, past + R / ALPHA * 39 * p, events=np.array([PURCHASES]), variance=1 / R)
        return likelihood(p) * (1 - gone(p)) * (1 - kept[0]) / p

    assert over_leaving(expected) / over_leaving(likelihood) == pytest.approx(1.226, abs=5e-4)


hazards = st.floats(0.0, 1e4)
variances = st.sampled_from([None, 0.0, 1e-12, 0.01, 1.0, 1e3])
spreads = st.sampled_from([None, 0.0, 0.5, 2.0])
logits = st.floats(-30.0, 30.0)


@settings(max_examples=60, deadline=None)
@given(hazards, hazards, st.integers(0, 300), variances, spreads, logits)
def test_probabilities_are_probabilities_and_move_one_way(past, silence, events, variance, sd, logit):
    shared = {"events": np.array([events]), "variance": variance, "sd": sd}
    silences = silence * np.array([0.0, 0.3, 1.0, 1.0 + 1e-9, 2.0])
    survival = conditional_survival(np.array([past]), past + silences, **shared)
    gone = probability_gone(np.array([past]), silences, logit_cured=logit, **shared)
    cured = conditional_survival_with_cure(
        np.array([past]), np.array([0.0]), past + silences, logit_cured=logit, **shared
    )
    for falling in (survival, cured):
        assert ((falling >= 0) & (falling <= 1)).all()
        assert (np.diff(falling) <= 1e-15).all()
        assert falling[0] == pytest.approx(1.0, abs=1e-15)
    assert ((gone >= 0) & (gone <= 1)).all()
    assert (np.diff(gone) >= -1e-10).all()
    assert gone[0] == pytest.approx(special.expit(logit), rel=1e-9)
    assert (cured >= survival - 1e-15).all()
    assert (cured >= special.expit(logit) - 1e-9).all()


@settings(max_examples=60, deadline=None)
@given(hazards, st.floats(1e-3, 1e4), st.integers(0, 50), st.sampled_from([1e-6, 0.1, 1.0, 30.0]))
def test_more_events_mean_a_faster_customer_and_more_silence_a_slower_one(past, further, events, variance):
    counts = np.array([events, events + 1])
    law = posterior(np.array([past]), events=counts, variance=variance)
    assert law.mean[1] > law.mean[0]
    slower = posterior(np.array([past, past + further]), events=events, variance=variance)
    assert slower.mean[1] <= slower.mean[0]
    survival = conditional_survival(np.array([past]), np.array([past + further]), events=counts, variance=variance)
    assert survival[1] <= survival[0]
