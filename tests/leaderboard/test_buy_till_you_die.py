"""The reference models of purchases: against published numbers, closed forms and simulated customers."""

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import quad
from scipy.special import beta as beta_function
from scipy.special import gamma, gammaln, hyp2f1

import churnsurv as cs
from churnsurv.tables.open_spells import OpenSpells
from tests.leaderboard.buy_till_you_die import LIKELIHOODS, BuyTillYouDie, bg_nbd, maximum, pareto_nbd

CDNOW_BG = (0.243, 4.414, 0.793, 2.426)
"""Fader, Hardie and Lee (2005), Table 1, weeks."""
CDNOW_PARETO = (0.553, 10.578, 0.606, 11.669)
CUSTOMERS = [(0, 0.0, 38.86), (1, 2.0, 38.0), (2, 30.43, 38.86), (7, 30.0, 32.0), (29, 37.5, 38.86)]


def arrays(customers=CUSTOMERS):
    return (np.array(one, float) for one in zip(*customers, strict=True))


def simulate(name, n, parameters, rng):
    """Customers' purchase days; everyone is watched from a first purchase on for 20 to 60 units."""
    r, alpha, third, fourth = parameters
    T = rng.uniform(20, 60, n)
    rate = rng.gamma(r, 1 / alpha, n)
    if name == "BG/NBD":
        leave = rng.beta(third, fourth, n)
    else:
        death = rng.exponential(1 / rng.gamma(third, 1 / fourth, n))
    found = []
    for i in range(n):
        t, days, end = 0.0, [], T[i] + 30.0
        while True:
            t += rng.exponential(1 / rate[i])
            if t > end or (name == "Pareto/NBD" and t > death[i]):
                break
            days.append(t)
            if name == "BG/NBD" and rng.random() < leave[i]:
                break
        found.append(np.array(days))
    return found, T


def summary(found, T):
    before = [days[days <= end] for days, end in zip(found, T, strict=True)]
    return np.array([len(one) for one in before], float), np.array([one.max(initial=0.0) for one in before])


def test_bg_nbd_expects_the_published_number_of_purchases():
    """Fader, Hardie and Lee (2005): 1.226 purchases in 39 weeks of who bought twice, last at 30.43 of 38.86 weeks.

    The expectation is over the posterior of her rate and leaving probability, drawn from the prior and weighted by
    what she did; the weights' mean is the likelihood itself.
    """
    rng, n = np.random.default_rng(1), 400_000
    r, alpha, a, b = CDNOW_BG
    rate, leave = rng.gamma(r, 1 / alpha, n), rng.beta(a, b, n)
    x, t_x, T = 2, 30.43, 38.86
    alive = rate**x * (1 - leave) ** x * np.exp(-rate * T)
    gone = rate**x * leave * (1 - leave) ** (x - 1) * np.exp(-rate * t_x)
    likelihood = alive + gone
    np.testing.assert_allclose(
        np.log(likelihood.mean()), bg_nbd(CDNOW_BG, *map(np.atleast_1d, (2.0, t_x, T)))[0], atol=0.03
    )
    expected = alive * -np.expm1(-leave * rate * 39) / leave  # of one who is still there and leaves at rate lambda p
    assert expected.mean() / likelihood.mean() == pytest.approx(1.226, abs=0.03)


def _rate_moment(power, scale):
    return quad(lambda u: u ** (power - 1) * np.exp(-u * scale), 0, np.inf)[0]


def test_bg_nbd_is_its_double_integral():
    """Equation 6 against the integral over rate (by quadrature) and leaving probability (a Beta function)."""
    r, alpha, a, b = CDNOW_BG
    for x, t_x, T in CUSTOMERS[:4]:
        prior = alpha**r / gamma(r)
        moments = [_rate_moment(r + x, alpha + end) for end in (T, t_x)]
        value = prior * moments[0] * beta_function(a, b + x) / beta_function(a, b)
        if x:
            value += prior * moments[1] * beta_function(a + 1, b + x - 1) / beta_function(a, b)
        got = bg_nbd(CDNOW_BG, *(np.array([one], float) for one in (x, t_x, T)))[0]
        assert got == pytest.approx(np.log(value), rel=1e-6)


@pytest.mark.parametrize("parameters", [CDNOW_PARETO, (2.0, 5.0, 0.4, 30.0), (0.8, 40.0, 60.0, 900.0)])
def test_pareto_nbd_is_the_hypergeometric_form(parameters):
    """Fader and Hardie (2005), A Note on Deriving the Pareto/NBD Model, equation 15 with both cases of A0."""
    r, alpha, s, beta = parameters
    x, t_x, T = arrays()
    top, larger = abs(alpha - beta), max(alpha, beta)
    other = s + 1 if alpha >= beta else r + x

    def part(t):
        return hyp2f1(r + s + x, other, r + s + x + 1, top / (larger + t)) / (larger + t) ** (r + s + x)

    inside = 1 / ((alpha + T) ** (r + x) * (beta + T) ** s) + s / (r + s + x) * (part(t_x) - part(T))
    expected = gammaln(r + x) - gammaln(r) + r * np.log(alpha) + s * np.log(beta) + np.log(inside)
    np.testing.assert_allclose(pareto_nbd(parameters, x, t_x, T), expected, rtol=1e-7)


WIDE = [
    CDNOW_PARETO,
    (1.0, 100.0, 0.2, 0.01),
    (2.0, 50.0, 20.0, 0.5),
    (0.9, 60.0, 0.0005, 134_604.0),
    (0.3, 0.05, 2.0, 40.0),
]


@pytest.mark.parametrize("parameters", WIDE)
@pytest.mark.parametrize("x", [0, 1, 6, 40, 300])
def test_pareto_nbd_by_adaptive_quadrature(x, parameters):
    r, alpha, s, beta = parameters
    t_x, T = (0.0, 38.0) if x == 0 else (30.0, 38.0)
    scale = -(r + x) * np.log(alpha + t_x)
    integral = quad(
        lambda t: np.exp(-(r + x) * np.log(alpha + t) - scale) * (beta + t) ** -(s + 1),
        t_x,
        T,
        epsabs=0,
        epsrel=1e-12,
        points=[t_x + 10.0**k * min(alpha, beta) for k in range(-2, 4) if 10.0**k * min(alpha, beta) < T - t_x],
        limit=500,
    )[0]
    alive = -(r + x) * np.log(alpha + T) - s * np.log(beta + T)
    expected = gammaln(r + x) - gammaln(r) + r * np.log(alpha) + s * np.log(beta)
    expected += np.logaddexp(alive, np.log(s * integral) + scale)
    got = pareto_nbd(parameters, *(np.array([one], float) for one in (x, t_x, T)))[0]
    assert got == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(
    ("name", "parameters"), [("BG/NBD", (0.9, 5.0, 0.8, 2.4)), ("Pareto/NBD", (0.9, 5.0, 0.6, 12.0))]
)
def test_simulated_customers(name, parameters):
    """Parameters come back, and so does the share without a purchase in the next 10 and 30 units, by purchases so far."""
    found, T = simulate(name, 6_000, parameters, np.random.default_rng(3))
    x, t_x = summary(found, T)
    fitted = maximum(LIKELIHOODS[name], x, t_x, T)
    np.testing.assert_allclose(np.log(fitted[:2]), np.log(parameters[:2]), atol=0.2)
    now = LIKELIHOODS[name](fitted, x, t_x, T)
    for ahead in (10.0, 30.0):
        stays = np.exp(LIKELIHOODS[name](fitted, x, t_x, T + ahead) - now)
        came = np.array([np.any((days > end) & (days <= end + ahead)) for days, end in zip(found, T, strict=True)])
        for group in (x == 0, (x > 0) & (x <= 3), x > 3):
            error = np.sqrt(np.mean(stays[group] * (1 - stays[group])) / group.sum())
            assert abs((~came[group]).mean() - stays[group].mean()) < 4 * error


def test_as_a_model_it_reads_each_customers_own_past():
    log = cs.EventLog.from_frame(
        pd.DataFrame(
            [("a", f"2024-01-0{k}") for k in range(1, 9)] + [("b", "2024-01-01"), ("c", "2024-01-02"), ("c", "2024-02-01")],
            columns=["who", "at"],
        ),
        customer="who", time="at", time_format="iso", timezone="UTC",
    )  # fmt: skip
    spells = cs.SpellTable.from_events(
        log, cs.ObservationWindow("2024-01-01", "2024-03-01"), cs.Silence(("activity",), 30)
    )
    fit = BuyTillYouDie("Pareto/NBD").fit(spells)
    (batch,) = OpenSpells.batches(spells, fit.schema, history=True)
    until = batch.reached[:, None] + np.array([[0.0, 10.0]])
    survival = fit.conditional_survival(batch, until)[0]
    assert batch.customer_id.tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(survival[:, 0], 1.0)
    x, t_x, T = np.array([7.0, 0, 1]), np.array([7.0, 0, 30]), np.array([60.0, 60, 59])
    expected = np.exp(pareto_nbd(fit.parameters, x, t_x, T + 10) - pareto_nbd(fit.parameters, x, t_x, T))
    np.testing.assert_allclose(survival[:, 1], expected, rtol=1e-12)
