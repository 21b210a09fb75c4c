"""Frailty and cure in the likelihood: SciPy's quadrature, a hundred decimal digits, closed forms of the literature."""

import itertools
from decimal import Decimal, localcontext

import numpy as np
import pytest
from scipy import integrate, special, stats

from churnsurv.hazards.frailty import (
    log_decline,
    log_event_factor,
    log_event_factor_by_unit,
    log_laplace,
    unit_terms,
    units_with_more_events,
)

RNG = np.random.default_rng(20260410)
N = 100
CERTAIN, AMBIGUOUS, ENTRY = RNG.exponential([[3.0], [3.0], [0.5]], (3, N))
EVENTS = RNG.integers(0, 12, N)
ALIVE = RNG.integers(0, 5, N)
LOGIT = RNG.normal(-1.0, 1.5, N)
VARIANCE = np.exp(RNG.uniform(np.log(0.05), np.log(5.0), N))
KINDS = {"plain": 0, "open": 1, "within": 2}
CASES = [
    pytest.param(kind, cured, late, id=f"{kind}{' cure' * cured} {late}")
    for kind in KINDS
    for cured in (False, True)
    for late in ("", "late", "late immune")
    if cured or late != "late immune"
]
FIRST = {"by_certain": 0, "by_ambiguous": 1, "by_entry": 2, "by_logit": 3, "by_log_variance": 4}
SECOND = {
    "certain_certain": (0, 0),
    "certain_ambiguous": (0, 1),
    "ambiguous_ambiguous": (1, 1),
    "certain_logit": (0, 3),
    "ambiguous_logit": (1, 3),
    "logit_logit": (3, 3),
    "entry_entry": (2, 2),
    "entry_logit": (2, 3),
}


def given(kind, cured, late):
    return {
        "kind": np.full(N, KINDS[kind], np.int8),
        "logit_cured": LOGIT if cured else None,
        "alive": ALIVE if cured else None,
        "entry": ENTRY if late else None,
        "immune": late == "late immune",
    }


def one(i, variance, certain=CERTAIN, ambiguous=AMBIGUOUS, events=EVENTS, order=1, **others):
    """Terms of unit i alone."""
    picked = {name: v[i : i + 1] if isinstance(v, np.ndarray) else v for name, v in others.items()}
    at = slice(i, i + 1)
    return unit_terms(certain[at], ambiguous[at], events=events[at], variance=variance, order=order, **picked)


def over_frailty(g, variance, events, hazard):
    """Integral of z^d g(z) against the frailty's density; ``hazard`` says where g(z) falls like exp(-z hazard)."""
    a = 1 / variance
    shape, rate = a + events, a + hazard
    peak, spread = np.log(shape / rate), 9 / np.sqrt(shape)
    constant = a * np.log(a) - special.gammaln(a)

    def integrand(u):
        return np.exp(constant + shape * u - a * np.exp(u)) * g(np.exp(u))

    ends = (peak - 40 / shape - spread, peak, peak + 4 + spread)
    return sum(
        integrate.quad(integrand, *pair, epsabs=0, epsrel=1e-11, limit=200)[0] for pair in itertools.pairwise(ends)
    )


def by_quadrature(i, kind, cured, late):
    """Log-likelihood of unit i, factor included, as integrals over her frailty."""
    c, d, theta = CERTAIN[i], AMBIGUOUS[i], VARIANCE[i]
    share = special.expit(LOGIT[i]) if cured else 0.0
    g = {
        "plain": lambda z: np.exp(-z * c),
        "open": lambda z: share * np.exp(-z * c) + (1 - share) * np.exp(-z * (c + d)),
        "within": lambda z: -np.exp(-z * c) * np.expm1(-z * d),
    }[kind]
    where = c + d if kind == "open" and not cured else c
    value = np.log(over_frailty(g, theta, EVENTS[i], where))
    if cured:
        value += ALIVE[i] * np.log(1 - share)
    if late:
        immune = share if late == "late immune" else 0.0
        value -= np.log(over_frailty(lambda z: immune + (1 - immune) * np.exp(-z * ENTRY[i]), theta, 0, 0.0))
    return value


@pytest.mark.parametrize(("kind", "cured", "late"), CASES)
def test_value_is_that_of_quadrature_at_a_hundred_points(kind, cured, late):
    every = 1 if not late else 5
    for i in range(0, N, every):
        got = one(i, VARIANCE[i], **given(kind, cured, late)).value[0]
        got += log_event_factor_by_unit(EVENTS, VARIANCE[i])[i]
        assert got == pytest.approx(by_quadrature(i, kind, cured, late), rel=0, abs=1e-8)


def decimal_value(args, kind, events, alive, cured, late, frailty):
    """The formulas as they stand in the docstring, with no care for rounding, in many digits."""
    c, d, h0, logit, log_variance = args
    theta = log_variance.exp()

    def a(h, n):
        return (-(1 / theta + n) * (1 + theta * h).ln()).exp() if frailty else (-h).exp()

    share = 1 / (1 + (-logit).exp()) if cured else Decimal(0)
    likelihood = {
        "plain": lambda: a(c, events),
        "open": lambda: share * a(c, events) + (1 - share) * a(c + d, events),
        "within": lambda: a(c, events) - a(c + d, events),
    }[kind]()
    value = likelihood.ln() + (alive * (1 - share).ln() if cured else 0)
    if late:
        immune = share if late == "late immune" else Decimal(0)
        value -= (immune + (1 - immune) * a(h0, 0)).ln()
    return value


def slope(f, args, k, step):
    """Central difference of f in argument k, error about step squared."""
    up, down = list(args), list(args)
    up[k], down[k] = args[k] + step[k], args[k] - step[k]
    return (f(up) - f(down)) / (2 * step[k])


def check_against_decimals(numbers, variance, kind, events, alive, cured, late, rtol=1e-9):
    """Value, first and second derivatives of one unit: relative to their size, and to what surrounds them."""
    c, d, h0, logit = numbers
    got = unit_terms(
        np.array([c]),
        np.array([d]),
        events=np.array([events]),
        kind=np.array([KINDS[kind]], np.int8),
        variance=variance,
        logit_cured=np.array([logit]) if cured else None,
        alive=np.array([alive]) if cured else None,
        entry=np.array([h0]) if late else None,
        immune=late == "late immune",
        order=2,
    )
    with localcontext() as context:
        context.prec = 120
        args = [Decimal(float(x)) for x in numbers] + [Decimal(variance or 1.0).ln()]
        # Relative steps: an argument of 1e-12 may not be stepped over.
        step = [Decimal("1e-15") * (abs(x) if x and k < 3 else 1) for k, x in enumerate(args)]

        def f(x):
            return decimal_value(x, kind, events, alive, cured, late, variance is not None)

        expected = {"value": f(args)}
        for name, k in FIRST.items():
            expected[name] = Decimal(0) if k == 4 and variance is None else slope(f, args, k, step)
        for name, (j, k) in SECOND.items():
            expected[name] = slope(lambda x, k=k: slope(f, x, k, step), args, j, step)
    for name, number in expected.items():
        # What a sum of terms can keep: the rounding of its largest one.
        around = max(abs(float(expected["value"])), 1.0) if name == "value" or "log" in name else 0.0
        assert getattr(got, name)[0] == pytest.approx(float(number), rel=rtol, abs=1e-14 * around + 1e-15), name


@pytest.mark.parametrize(("kind", "cured", "late"), CASES)
@pytest.mark.parametrize("frailty", [True, False])
def test_derivatives_are_those_of_a_hundred_digits(kind, cured, late, frailty):
    for i in range(0, N, 20 if frailty else 50):
        numbers = (CERTAIN[i], AMBIGUOUS[i], ENTRY[i], LOGIT[i])
        variance = VARIANCE[i] if frailty else None
        check_against_decimals(numbers, variance, kind, int(EVENTS[i]), int(ALIVE[i]), cured, late)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("variance", [None, 1e-12, 1e-5, 1e3])
def test_nothing_is_lost_at_the_edges(kind, variance):
    """Hazards of 0 to 10,000, windows of 1e-12, hundreds of events, shares from one in a million million."""
    for c in (0.0, 1e-9, 1e4):
        for d in (1e-12, 1e-3, 1e4):
            for events, logit in ((0, -30.0), (300, 20.0)):
                late = "late immune" if kind == "open" else "late" if kind == "within" else ""
                cured = kind == "open"
                check_against_decimals((c, d, 1e-9, logit), variance, kind, events, 2, cured, late, rtol=1e-8)


def test_a_share_of_nobody_and_of_everybody_has_finite_terms():
    hazard = np.array([1e4])
    for logit in (-2000.0, 2000.0):
        for variance in (None, 0.5):
            terms = unit_terms(
                hazard,
                hazard,
                events=np.zeros(1),
                kind=np.ones(1, np.int8),
                variance=variance,
                logit_cured=logit,
                order=2,
            )
            assert all(np.isfinite(term).all() for term in vars(terms).values())
            whole = hazard + hazard if logit < 0 else hazard
            expected = log_laplace(whole, events=np.zeros(1), variance=variance)
            # Mixed by hand: whichever of the two terms is larger.
            other = log_laplace(hazard, events=np.zeros(1), variance=variance) + min(logit, 0.0)
            assert terms.value[0] == pytest.approx(max(expected[0], other[0]), rel=1e-12)


@pytest.mark.parametrize(("kind", "cured", "late"), CASES)
def test_without_variance_nobody_differs(kind, cured, late):
    """The limit is continuous, and reached exactly."""
    same = [
        unit_terms(CERTAIN, AMBIGUOUS, events=EVENTS, variance=v, order=2, **given(kind, cured, late))
        for v in (None, 0.0, 1e-200, 1e-11)
    ]
    for name in vars(same[0]):
        none, zero, tiny, small = (getattr(terms, name) for terms in same)
        np.testing.assert_array_equal(none, zero)
        np.testing.assert_array_equal(none, tiny)
        np.testing.assert_allclose(small, none, rtol=1e-8, atol=1e-8)


def test_all_kinds_in_one_call_are_each_unit_alone():
    """Also across the blocks in which many units are done, and with a share of each unit or of all."""
    rng = np.random.default_rng(1)
    n = 20_000
    certain, ambiguous, entry = rng.exponential(2.0, (3, n))
    events, alive, kind = rng.integers(0, 4, n), rng.integers(0, 4, n), rng.integers(0, 3, n).astype(np.int8)
    kind[:9000] = 0  # a first block without anything ambiguous
    settings = {"events": events, "kind": kind, "alive": alive, "entry": entry, "logit_cured": rng.normal(size=n)}
    for immune in (False, True):
        whole = unit_terms(certain, ambiguous, variance=0.7, immune=immune, order=2, **settings)
        for i in [0, 8191, 8192, *rng.integers(9000, n, 30)]:
            picked = {name: v[i : i + 1] for name, v in settings.items()}
            alone = unit_terms(certain[i : i + 1], ambiguous[i : i + 1], variance=0.7, immune=immune, order=2, **picked)
            for name in vars(whole):
                assert getattr(whole, name)[i] == pytest.approx(getattr(alone, name)[0], rel=1e-13, abs=1e-15)
    settings["logit_cured"] = -0.3
    scalar = unit_terms(certain, ambiguous, variance=0.7, **settings)
    settings["logit_cured"] = np.full(n, -0.3)
    vector = unit_terms(certain, ambiguous, variance=0.7, **settings)
    for name in vars(scalar):
        np.testing.assert_allclose(getattr(scalar, name), getattr(vector, name), rtol=1e-14)


def test_first_derivatives_are_the_same_at_both_orders_and_arguments_are_left_alone():
    before = [x.copy() for x in (CERTAIN, AMBIGUOUS, ENTRY)]
    for kind, cured, late in (case.values for case in CASES):
        first, second = (
            unit_terms(CERTAIN, AMBIGUOUS, events=EVENTS, variance=0.7, order=order, **given(kind, cured, late))
            for order in (1, 2)
        )
        for name in vars(first):
            np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    for kept, now in zip(before, (CERTAIN, AMBIGUOUS, ENTRY), strict=True):
        np.testing.assert_array_equal(kept, now)


def test_an_open_spell_without_cure_is_survived():
    kind = np.ones(N, np.int8)
    opened = unit_terms(CERTAIN, AMBIGUOUS, events=EVENTS, kind=kind, variance=0.7)
    never = unit_terms(CERTAIN, AMBIGUOUS, events=EVENTS, kind=kind, variance=0.7, logit_cured=-800.0)
    plain = unit_terms(CERTAIN + AMBIGUOUS, None, events=EVENTS, kind=0 * kind, variance=0.7)
    np.testing.assert_allclose(opened.value, plain.value, rtol=1e-14)
    # The logit enters and leaves the sum, whose digits are those of 800.
    np.testing.assert_allclose(never.value, plain.value, rtol=0, atol=2 * np.spacing(800.0))
    np.testing.assert_allclose(opened.by_ambiguous, plain.by_certain, rtol=1e-14)


@pytest.mark.parametrize("variance", [None, 1e-9, 0.8, 40.0])
def test_the_windows_of_a_partition_add_up_to_one(variance):
    """An event falls into one of them or comes after the last; with cure it may never come."""
    edges = np.concatenate([[0.0], np.cumsum(RNG.exponential(0.5, 12))])
    events = np.zeros(12, np.int64)
    within = unit_terms(edges[:-1], np.diff(edges), events=events, kind=np.full(12, 2, np.int8), variance=variance)
    after = unit_terms(edges[-1:], None, events=events[:1], kind=np.zeros(1, np.int8), variance=variance)
    assert np.exp(within.value).sum() + np.exp(after.value).sum() == pytest.approx(1.0, abs=1e-13)
    cure = {"variance": variance, "logit_cured": 0.4}
    event = unit_terms(
        edges[:-1], np.diff(edges), events=events, kind=np.full(12, 2, np.int8), alive=np.ones(12), **cure
    )
    never = unit_terms(np.zeros(1), edges[-1:], events=events[:1], kind=np.ones(1, np.int8), **cure)
    assert np.exp(event.value).sum() + np.exp(never.value).sum() == pytest.approx(1.0, abs=1e-13)


def test_an_exponential_time_becomes_lomax():
    """Density and survival of Pareto's second law: SciPy's, with shape 1/variance."""
    times, rate, variance = np.linspace(0.01, 40.0, N), 0.3, 0.6
    law = stats.lomax(1 / variance, scale=1 / (variance * rate))
    terms = unit_terms(rate * times, None, events=np.ones(N), kind=np.zeros(N, np.int8), variance=variance)
    np.testing.assert_allclose(terms.value + np.log(rate), law.logpdf(times), rtol=1e-12)
    survival = log_laplace(rate * times, events=np.zeros(N), variance=variance)
    np.testing.assert_allclose(survival, law.logsf(times), rtol=1e-12)


def test_counts_become_negative_binomial():
    """A Poisson number of events over a fixed time, mixed over a gamma frailty."""
    hazard, variance, counts = 2.5, 0.7, np.arange(400)
    log_chance = log_laplace(np.full(400, hazard), events=counts, variance=variance)
    log_chance += log_event_factor_by_unit(counts, variance) + counts * np.log(hazard) - special.gammaln(counts + 1)
    law = stats.nbinom(1 / variance, 1 / (1 + variance * hazard))
    np.testing.assert_allclose(log_chance, law.logpmf(counts), rtol=1e-11)
    assert np.exp(log_chance).sum() == pytest.approx(1.0, abs=1e-12)


def test_two_spells_of_a_customer_have_kendalls_tau_of_gamma_frailty():
    """It is variance / (variance + 2): Klein and Moeschberger (2003), section 13.3, for Clayton's model."""
    for variance in (0.5, 1.0, 3.0):
        factor = np.exp(log_event_factor(units_with_more_events(np.array([2])), variance)[0])

        def agreement(total, variance=variance):
            """Joint survival times joint density where both hazards add up to a total."""
            logs = [log_laplace(np.array(total), events=np.array(d), variance=variance) for d in (0, 2)]
            return total * np.exp(sum(logs))

        tau = 4 * factor * integrate.quad(agreement, 0, np.inf, epsabs=1e-12)[0] - 1
        assert tau == pytest.approx(variance / (variance + 2), abs=1e-9)


def test_event_factor_is_a_ratio_of_gamma_functions():
    events = np.array([0, 5, 1, 1, 0, 9])
    for variance in (1e-12, 0.3, 50.0):
        with_more = units_with_more_events(events)
        value, by_log_variance = log_event_factor(with_more, variance)
        each = log_event_factor_by_unit(events, variance)
        assert each.sum() == pytest.approx(value, rel=1e-12)
        up, down = (log_event_factor(with_more, variance * np.exp(s))[0] for s in (1e-5, -1e-5))
        assert by_log_variance == pytest.approx((up - down) / 2e-5, rel=1e-8)
        if variance > 0.1:
            a = 1 / variance
            expected = special.gammaln(a + events) - special.gammaln(a) - events * np.log(a)
            np.testing.assert_allclose(each, expected, rtol=1e-11, atol=1e-12)
    twice = log_event_factor(units_with_more_events(events, np.full(6, 2.0)), 0.3)
    np.testing.assert_allclose(twice, 2 * np.array(log_event_factor(units_with_more_events(events), 0.3)))
    assert log_event_factor(units_with_more_events(events), None) == (0.0, 0.0)
    assert log_event_factor(units_with_more_events(np.zeros(3, int)), 0.3) == (0.0, 0.0)
    assert not log_event_factor_by_unit(events, None).any()


def test_decline_is_a_difference_that_keeps_its_digits():
    variances = np.array([0.0, 1e-12, 0.4, 1e3])[:, None]
    past, further = np.array([0.0, 2.0, 1e4]), np.array([1.0, 1e-3, 1e4])
    got = log_decline(past, further, events=np.array([0, 3, 50]), variance=variances)
    both = [log_laplace(h, events=np.array([0, 3, 50]), variance=variances) for h in (past, past + further)]
    np.testing.assert_allclose(got, both[0] - both[1], rtol=1e-9)
    tiny = log_decline(np.array([1e4]), np.array([1e-12]), events=np.array([2]), variance=0.5)
    assert tiny[0] == pytest.approx(1e-12 * (1 + 0.5 * 2) / (1 + 0.5 * 1e4), rel=1e-12)
