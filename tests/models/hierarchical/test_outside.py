"""Likelihoods against other software, other people's formulas and printed results: nothing here is our own arithmetic.

At the estimates of lifelines, whose optimiser and derivatives (autograd) are its own, our log-likelihood must be theirs
and a step to our maximum no step at all. R's parfm and BUGS examples are compared with what their documents print.
"""

import warnings
from dataclasses import replace

import lifelines
import numpy as np
import pandas as pd
import pytest
from lifelines.fitters import ParametricRegressionFitter
from scipy import optimize, special, stats

from churnsurv.models.hierarchical.mode import find_mode
from churnsurv.models.hierarchical.model import HierarchicalModel
from churnsurv.models.hierarchical.priors import Normal
from churnsurv.tables.episodes import Episodes
from churnsurv.tables.schema import CellSchema, PatternColumn
from tests.models.hierarchical.known_fits import episodes_of, frail_gaps
from tests.models.hierarchical.published import KIDNEY, KIDNEY_AIC, KIDNEY_BIC, PUMPS, PUMPS_POSTERIOR
from tests.models.hierarchical.stretches import GAPS, TENURE, Stretch, cells_of, exact, schema_of

BREAKS = (0.0, 10.0, 30.0, 250.0)
NOTHING = np.zeros(0)


# The same rows for both ----------------------------------------------------------------------------------------------


def simulated(n=160, cured=0.0, seed=1):
    """Customers with a number and a text, a third of them entered late, weights, perhaps some who never churn."""
    rng = np.random.default_rng(seed)
    found = []
    while len(found) < n:
        x, plan, entry = rng.normal(2.0, 1.5), int(rng.random() < 0.4), rng.uniform(0, 15) * (rng.random() < 0.35)
        time = np.inf if rng.random() < cured else 25.0 * rng.weibull(1.3) * np.exp(0.2 * x - 0.4 * plan) + 0.3
        seen = entry + rng.uniform(20, 120)
        if time > entry:
            found.append((entry, min(time, seen), int(time <= seen), x, plan, float(rng.integers(1, 4))))
    return pd.DataFrame(found, columns=["entry", "T", "E", "x", "plan", "weight"])


def episodes(frame, *, tenure=True, weighted=True, breaks=BREAKS):
    """One row each, or as many as ``customer`` and ``spell`` say."""
    n = len(frame)
    who = frame["customer"] if "customer" in frame else np.arange(n)
    columns = (PatternColumn("plan", ("basic", "plus")), PatternColumn("x", ("any",), (-1e9, 1e9)))
    return Episodes(
        schema=CellSchema(TENURE if tenure else GAPS, breaks, columns),
        customer_id=np.array([f"c{k:04}" for k in who], dtype=object),
        spell=frame["spell"].to_numpy() if "spell" in frame else np.ones(n, np.int64),
        start=frame["entry"].to_numpy(float),
        stop=frame["T"].to_numpy(float),
        event=frame["E"].to_numpy(np.int64),
        codes=np.column_stack([frame["plan"], np.zeros(n, int)]).astype(np.int64),
        values=(None, frame["x"].to_numpy(float)),
        weight=frame["weight"].to_numpy(float) if weighted else None,
        n_spells=len(frame.groupby(["customer", "spell"])) if "spell" in frame else n,
    )


def fixed_of(problem, coef=None, **named):
    """Fixed effects by name, ``coef`` by label in the columns' own units, levels at zero of all columns."""
    layout, terms = problem.structure.layout, problem.structure.terms
    fixed = np.zeros(layout.n_fixed)
    for name, value in named.items():
        fixed[layout.place(name)] = value
    if coef:
        own = np.array([coef[label] for label in terms.labels])
        fixed[layout.place("coef")] = own * terms.scale
        fixed[layout.place("intercept")] += own @ terms.centre
    return fixed


def agree(problem, fixed, log_likelihood, *, random=NOTHING, sd=None, within=0.01):
    """The value is theirs, and our maximum is theirs to a hundredth of a standard error."""
    likelihood = problem.density.likelihood
    value, slope, _, by_log_sd = likelihood.value_and_slope(fixed, random, sd)
    assert value + likelihood.constant == pytest.approx(log_likelihood, rel=1e-6)
    information = likelihood.information(fixed, random, sd)[: len(fixed), : len(fixed)]
    assert np.all(np.linalg.eigvalsh(information) > 0)
    step = np.linalg.solve(information, slope)
    assert np.sqrt(step @ slope) < within
    assert abs(by_log_sd) < within * np.sqrt(len(problem.totals.events))


def quietly(fit, *arguments, **named):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lifelines warns of NumPy's own deprecations
        return fit(*arguments, **named)


def window(frame, days):
    """Bounds between which events lie that are known to a unit of time."""
    lower = np.where(frame["E"] == 1, np.maximum(frame["entry"], frame["T"] - days), frame["T"])
    return lower, np.where(frame["E"] == 1, frame["T"], np.inf)


# lifelines -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def frame():
    return simulated()


@pytest.fixture(scope="module")
def some_cured():
    return simulated(250, cured=0.35, seed=2)


def weibull_of(problem, fit):
    """Accelerated times as proportional hazards: the effects are those of the log scale times minus the shape."""
    scale, shape = fit.params_["lambda_"], np.exp(fit.params_["rho_"]["Intercept"])
    coef = {"x": -shape * scale["x"], "plan[plus]": -shape * scale["plan"], "plan[basic]": shape * scale["plan"]}
    level = scale["Intercept"] + ("plan[basic]" in problem.structure.terms.labels) * scale["plan"]
    level = shape * (np.log(problem.structure.time_scale) - level)
    return fixed_of(problem, coef, intercept=level, log_shape=np.log(shape))


COLUMNS = ["T", "E", "entry", "x", "plan", "weight"]


def test_weibull_with_late_entry_and_weights_is_lifelines(frame):
    problem = HierarchicalModel("x + plan", baseline="weibull").bind(episodes(frame))
    fitter = lifelines.WeibullAFTFitter()
    fit = quietly(fitter.fit, frame[COLUMNS], "T", "E", entry_col="entry", weights_col="weight")
    agree(problem, weibull_of(problem, fit), fit.log_likelihood_)


def test_weibull_known_to_a_week_is_lifelines(frame):
    problem = HierarchicalModel("x + plan", baseline="weibull", rounded=7.0).bind(episodes(frame))
    lower, upper = window(frame, 7.0)
    data = frame.assign(lower=lower, upper=upper)[["lower", "upper", "entry", "x", "plan", "weight"]]
    fitter = lifelines.WeibullAFTFitter()
    fit = quietly(fitter.fit_interval_censoring, data, "lower", "upper", entry_col="entry", weights_col="weight")
    agree(problem, weibull_of(problem, fit), fit.log_likelihood_)


@pytest.mark.parametrize("days", [None, 7.0])
def test_lognormal_is_lifelines(frame, days):
    problem = HierarchicalModel(baseline="lognormal", rounded=days).bind(episodes(frame))
    fit = lifelines.LogNormalFitter()
    own = {"entry": frame["entry"], "weights": frame["weight"]}
    if days is None:
        quietly(fit.fit, frame["T"], frame["E"], **own)
    else:
        quietly(fit.fit_interval_censoring, *window(frame, days), **own)
    location = fit.mu_ - np.log(problem.structure.time_scale)
    agree(problem, fixed_of(problem, location=location, log_spread=np.log(fit.sigma_)), fit.log_likelihood_)


def test_immune_weibull_with_late_entry_is_lifelines_mixture_cure(some_cured):
    frame = some_cured
    problem = HierarchicalModel(baseline="weibull", cure=True).bind(episodes(frame))
    fit = lifelines.MixtureCureFitter(base_fitter=lifelines.WeibullFitter())
    quietly(fit.fit, frame["T"], frame["E"], entry=frame["entry"], weights=frame["weight"])
    assert 0.15 < fit.cured_fraction_ < 0.6
    level = fit.rho_ * np.log(problem.structure.time_scale / fit.lambda_)
    fixed = fixed_of(
        problem, intercept=level, log_shape=np.log(fit.rho_), cure_logit=special.logit(fit.cured_fraction_)
    )
    agree(problem, fixed, fit.log_likelihood_)


@pytest.mark.parametrize("base", ["lognormal", "piecewise"])
def test_other_immune_baselines_are_lifelines_mixture_cure(some_cured, base):
    frame = some_cured.assign(entry=0.0)
    problem = HierarchicalModel(baseline=base, cure=True).bind(episodes(frame, breaks=(0.0, 250.0)))
    fitter = lifelines.LogNormalFitter() if base == "lognormal" else lifelines.ExponentialFitter()
    fit = lifelines.MixtureCureFitter(base_fitter=fitter)
    quietly(fit.fit, frame["T"], frame["E"], weights=frame["weight"])
    if base == "lognormal":
        location = fit.mu_ - np.log(problem.structure.time_scale)
        named = {"location": location, "log_spread": np.log(fit.sigma_)}
    else:
        named = {"intercept": -np.log(fit.lambda_)}
    fixed = fixed_of(problem, cure_logit=special.logit(fit.cured_fraction_), **named)
    agree(problem, fixed, fit.log_likelihood_)


@pytest.mark.parametrize("kind", ["rows", "cells"])
def test_piecewise_with_late_entry_is_lifelines(frame, kind):
    """On cells up to what no parameter moves: counts have a constant of their own."""
    fit = lifelines.PiecewiseExponentialFitter(BREAKS[1:-1])
    quietly(fit.fit, frame["T"], frame["E"], entry=frame["entry"])
    log_hazard = -np.log(fit.params_.to_numpy())
    if kind == "rows":
        table = episodes(frame, weighted=False)
    else:
        rows = zip(frame["entry"], frame["T"], frame["E"], strict=True)
        stretches = [Stretch(k, 1, (0,), exact(a), exact(b), bool(d)) for k, (a, b, d) in enumerate(rows)]
        table = cells_of(stretches, schema_of({"one": "a"}, BREAKS, tenure=True))
    problem = HierarchicalModel().bind(table)
    steps = np.diff(log_hazard)
    fixed = fixed_of(problem, intercept=log_hazard.mean())
    constant = problem.density.likelihood.constant if kind == "cells" else 0.0
    agree(problem, fixed, fit.log_likelihood_ + constant, random=steps)
    by_steps = problem.density.likelihood.value_and_slope(fixed, steps, None)[2]
    assert np.abs(by_steps).max() < 0.01


class Proportional(ParametricRegressionFitter):
    """Proportional hazards on a lognormal baseline, with a gamma frailty of one spell each or without."""

    _fitted_parameter_names = ("mu_", "sigma_", "beta_")
    _KNOWN_MODEL = False

    def _cumulative_hazard(self, params, times, columns):
        import autograd.numpy as anp
        from autograd.scipy.stats import norm

        mu, sigma, beta = (anp.dot(columns[name], params[name]) for name in ("mu_", "sigma_", "beta_"))
        hazard = -anp.exp(beta) * norm.logsf((anp.log(anp.clip(times, 1e-9, 1e9)) - mu) / anp.exp(sigma))
        if "theta_" not in self._fitted_parameter_names:
            return hazard
        theta = anp.exp(anp.dot(columns["theta_"], params["theta_"]))
        return anp.log1p(theta * hazard) / theta


class Frail(Proportional):
    """The same with a frailty."""

    _fitted_parameter_names = ("mu_", "sigma_", "beta_", "theta_")


@pytest.mark.parametrize("frailty", [None, "gamma"])
def test_lognormal_with_numbers_late_entry_and_weights_is_lifelines_from_its_hazard(frailty):
    """Who entered late has waited with a frailty of the same law: lifelines divides by survival to entry."""
    frame = simulated(300, seed=3)
    if frailty:
        rare = np.random.default_rng(4).gamma(1.0, 1.0, 300) ** -0.7
        frame["T"] = frame["entry"] + (frame["T"] - frame["entry"]) * np.where(frame["E"] == 1, rare, 1.0)
    problem = HierarchicalModel("x + plan", baseline="lognormal", frailty=frailty).bind(episodes(frame))
    agree_with_hazard(problem, frame, Frail() if frailty else Proportional())


def agree_with_hazard(problem, frame, fitter):
    """Numbers from their mean over customers: a lognormal survival to a power is none, so the mean is not free."""
    labels = problem.structure.terms.labels
    columns = {
        "x": frame["x"] - np.average(frame["x"], weights=frame["weight"]),
        "plan[plus]": frame["plan"],
        "plan[basic]": 1 - frame["plan"],
    }
    data = frame[["T", "E", "entry", "weight"]].assign(**{f"c{k}": columns[label] for k, label in enumerate(labels)})
    regressors = dict.fromkeys(fitter._fitted_parameter_names, "1") | {"beta_": "c0 + c1 - 1"}
    fit = quietly(fitter.fit, data, "T", "E", regressors=regressors, entry_col="entry", weights_col="weight")
    found = {name: fit.params_[name]["Intercept"] for name in fitter._fitted_parameter_names if name != "beta_"}
    coef = {label: fit.params_["beta_"][f"c{k}"] for k, label in enumerate(labels)}
    location = found["mu_"] - np.log(problem.structure.time_scale)
    fixed = fixed_of(problem, None, location=location, log_spread=found["sigma_"])
    own = np.array([coef[label] for label in labels])
    fixed[problem.structure.layout.place("coef")] = own * problem.structure.terms.scale
    agree(problem, fixed, fit.log_likelihood_, sd=np.exp(0.5 * found["theta_"]) if "theta_" in found else None)


def test_columns_that_change_within_a_spell_are_rows_that_enter_late(frame):
    """Each stretch with its own columns is, to lifelines, someone who entered late."""
    rng = np.random.default_rng(5)
    middle = frame["entry"] + rng.uniform(0.2, 0.8, len(frame)) * (frame["T"] - frame["entry"])
    early = frame.assign(T=middle, E=0)
    late = frame.assign(entry=middle, x=rng.normal(2.0, 1.5, len(frame)), plan=rng.integers(0, 2, len(frame)))
    rows = pd.concat([one.assign(customer=np.arange(len(frame)), spell=1) for one in (early, late)])
    rows = rows.sort_values(["customer", "entry"], ignore_index=True)
    agree_with_hazard(HierarchicalModel("x + plan", baseline="lognormal").bind(episodes(rows)), rows, Proportional())


def test_the_mode_under_flat_priors_is_lifelines_estimate(frame):
    """Through the whole of fit's search: priors so wide that they say nothing."""
    wide = {name: Normal(0.0, 1e4) for name in ("intercept", "coef", "log_shape")}
    problem = HierarchicalModel("x + plan", baseline="weibull", priors=wide).bind(episodes(frame))
    fitter = lifelines.WeibullAFTFitter()
    fit = quietly(fitter.fit, frame[COLUMNS], "T", "E", entry_col="entry", weights_col="weight")
    mode = find_mode(problem.density, problem.start)
    found = mode.density.natural(mode.position).fixed
    np.testing.assert_allclose(found, weibull_of(problem, fit), atol=2e-4)


# SciPy's distributions of frail customers ------------------------------------------------------------------------------


@pytest.mark.parametrize("days", [None, 7.0])
def test_a_frail_weibull_is_scipys_burr_at_a_hundred_points(frame, days):
    """Burr (1942), type XII; with the shape at one Lomax (1954). Exact, censored, within a week, late."""
    problem = HierarchicalModel(baseline="weibull", frailty="gamma", rounded=days).bind(episodes(frame, weighted=False))
    rng, scale = np.random.default_rng(6), problem.structure.time_scale
    lower, upper = window(frame, days or 0.0)
    for _ in range(100):
        level, log_shape, sd = rng.normal(0, 0.7), rng.normal(0, 0.4), np.exp(rng.normal(-0.5, 0.6))
        law = stats.burr12(np.exp(log_shape), sd**-2, scale=scale * (sd**2 * np.exp(level)) ** -np.exp(-log_shape))
        inside = law.logpdf(frame["T"]) if days is None else np.log(law.sf(lower) - law.sf(upper))
        expected = np.where(frame["E"] == 1, inside, law.logsf(frame["T"])) - law.logsf(frame["entry"])
        fixed = fixed_of(problem, intercept=level, log_shape=log_shape)
        found = problem.density.likelihood.pointwise(fixed, NOTHING, sd)
        np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-8)


def test_immune_customers_known_to_a_week_are_scipys_geometric(some_cured):
    """Weeks survived at a constant hazard. lifelines cannot tell: it takes whoever is open for someone to leave yet."""
    frame = some_cured.assign(entry=0.0, T=7.0 * np.ceil(some_cured["T"] / 7.0))
    table = episodes(frame, weighted=False, breaks=(0.0, 35.0, 350.0))
    problem = HierarchicalModel(cure=True, rounded=7.0).bind(table)
    weeks, rng = np.round(frame["T"] / 7.0), np.random.default_rng(10)
    for _ in range(100):
        rate, logit = np.exp(rng.normal(-3.5, 0.7)), rng.normal(-0.5, 1.0)
        share, law = special.expit(logit), stats.geom(-np.expm1(-7.0 * rate))
        chance = np.where(frame["E"] == 1, (1 - share) * law.pmf(weeks), share + (1 - share) * law.sf(weeks))
        fixed = fixed_of(problem, intercept=np.log(rate), cure_logit=logit)
        found = problem.density.likelihood.pointwise(fixed, np.zeros(1), None)
        np.testing.assert_allclose(found, np.log(chance), rtol=1e-8, atol=1e-8)


def test_counts_of_a_frail_customer_are_scipys_negative_binomial():
    """Greenwood and Yule (1920); the days at which the events lie are uniform given how many there are."""
    stretches = frail_gaps(40, 0.05, 0.7, 120.0, seed=7)
    cells = cells_of(stretches, schema_of({"one": "a"}, (0.0, 200.0)))
    problem = HierarchicalModel(frailty="gamma").bind(cells)
    events = np.bincount([s.owner for s in stretches], [s.event for s in stretches])
    rng = np.random.default_rng(8)
    for _ in range(100):
        rate, sd = np.exp(rng.normal(-3, 0.7)), np.exp(rng.normal(-0.3, 0.5))
        a = sd**-2
        expected = stats.nbinom.logpmf(events, a, a / (a + 120.0 * rate))
        expected += special.gammaln(events + 1) - events * np.log(120.0)
        found = problem.density.likelihood.pointwise(np.array([np.log(rate)]), NOTHING, sd)
        np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("kind", ["cells", "rows"])
def test_frailty_and_cure_between_activities_are_the_mbg_nbd(kind):
    """Batislam, Denizel and Filiztekin (2007), International Journal of Research in Marketing 24, 201–209.

    Theirs leave with a chance that differs by a beta distribution: ours, integrated over it by Gauss and Jacobi's rule.
    """
    r, alpha, a, b = 0.525, 6.183, 0.891, 1.614
    stretches = frail_gaps(30, 0.06, 0.5, 90.0, seed=9)
    schema = schema_of({"one": "a"}, (0.0, 100.0))
    table = cells_of(stretches, schema) if kind == "cells" else episodes_of(stretches, schema)
    problem = HierarchicalModel(frailty="gamma", cure=True).bind(table)
    owner, length, event = (np.array([getattr(s, name) for s in stretches]) for name in ("owner", "stop", "event"))
    x, last, end = np.bincount(owner, event), np.bincount(owner, length * event), np.bincount(owner, length)
    nodes, weights = special.roots_jacobi(60, b - 1, a - 1)
    found = 0.0
    for share, weight in zip((1 + nodes) / 2, weights / weights.sum(), strict=True):
        fixed = fixed_of(problem, intercept=np.log(r / alpha), cure_logit=special.logit(share))
        found = found + weight * np.exp(problem.density.likelihood.pointwise(fixed, NOTHING, r**-0.5))
    gone = special.beta(a + 1, b + x) / (alpha + last) ** (r + x)
    there = special.beta(a, b + x + 1) / (alpha + end) ** (r + x)
    expected = special.poch(r, x) * alpha**r * (gone + there) / special.beta(a, b)
    assert x.max() > 5
    np.testing.assert_allclose(found, expected, rtol=1e-6)


# Printed results -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kidney():
    """Two spells of each patient."""
    rows = np.array([[float(word) for word in line.split(",")] for line in KIDNEY.split()])
    patient, time, status, age, sex = rows.T
    frame = pd.DataFrame({"customer": patient, "T": time, "E": status, "x": age, "plan": (sex == 2).astype(int)})
    return frame.assign(entry=0.0, spell=frame.groupby("customer").cumcount() + 1)


def largest(likelihood, n):
    """Maximum of the likelihood in fixed effects and the log of the frailty's sd, and the information there."""

    def minus(at):
        value, slope, _, by_sd = likelihood.value_and_slope(at[:-1], NOTHING, np.exp(at[-1]))
        return -(value + likelihood.constant), -np.append(slope, by_sd)

    found = optimize.minimize(minus, np.append(np.zeros(n), -0.5), jac=True, method="BFGS", options={"gtol": 1e-7})
    steps = 1e-4 * np.eye(n + 1)
    information = np.array([(minus(found.x + step)[1] - minus(found.x - step)[1]) / 2e-4 for step in steps])
    return found.x, -found.fun, information


def kidney_fit(kidney, **settings):
    table = episodes(kidney, tenure=False, weighted=False, breaks=(0.0, 600.0))
    problem = HierarchicalModel("plan + x", frailty="gamma", **settings).bind(table)
    likelihood, terms = problem.density.likelihood, problem.structure.terms
    if "intercept" not in problem.structure.layout.fixed:
        # Without a level the model is another one for every zero of the columns: here parfm's, women counted as 1.
        linear = likelihood.rows.linear
        x = (linear.x * terms.scale + terms.centre - [1.0, 0.0]) * [-1.0, 1.0] / terms.scale
        likelihood = replace(likelihood, rows=replace(likelihood.rows, linear=replace(linear, x=x)))
    return problem, *largest(likelihood, problem.structure.layout.n_fixed)


def test_exponential_gamma_is_what_parfm_prints(kidney):
    """R's parfm 2.7.6, vignette (Munda, Rotolo and Legrand, Journal of Statistical Software 51(11), 2012), section 3.

    parfm(Surv(time, status) ~ sex + age, cluster = "id", data = kidney, dist = "exponential", frailty = "gamma").
    """
    problem, at, value, information = kidney_fit(kidney)
    terms, layout = problem.structure.terms, problem.structure.layout
    assert terms.labels == ("plan[basic]", "x")  # most time at risk is women's, who are the reference
    coef = at[layout.place("coef")] / terms.scale
    level, theta = at[0] - coef @ terms.centre, np.exp(2 * at[-1])
    assert value == pytest.approx(-333.248, abs=5e-4)
    assert theta == pytest.approx(0.301, abs=5e-4)
    assert theta / (theta + 2) == pytest.approx(0.131, abs=5e-4)
    assert coef == pytest.approx([1.485, 0.005], abs=5e-4)
    assert np.exp(level + coef[0]) == pytest.approx(0.025, abs=5e-4)
    # Standard errors of theta, sex and age, and of lambda: from the information in what we fit.
    change = np.zeros((4, 4))
    change[0, 3] = 2 * theta
    change[1, 1], change[2, 2] = 1 / terms.scale
    change[3, [0, 1, 2]] = np.array([1.0, 1.0, -terms.centre[1] / terms.scale[1]]) * np.exp(level + coef[0])
    errors = np.sqrt(np.diag(change @ np.linalg.inv(information) @ change.T))
    assert errors == pytest.approx([0.157, 0.398, 0.011, 0.015], abs=1.1e-3)


@pytest.mark.parametrize("baseline", ["piecewise", "weibull", "lognormal"])
def test_baselines_with_a_frailty_have_the_criteria_that_parfm_prints(kidney, baseline):
    """The table of ``select.parfm`` in the same vignette, in whole numbers."""
    _, at, value, _ = kidney_fit(kidney, baseline=baseline)
    assert round(2 * len(at) - 2 * value) == KIDNEY_AIC[baseline]
    assert round(len(at) * np.log(len(kidney)) - 2 * value) == KIDNEY_BIC[baseline]


def test_pumps_of_the_bugs_book():
    """Each pump is a customer with a frailty; posterior means by a grid over our likelihood, priors as BUGS has them.

    George, Makov and Smith (1993), Scandinavian Journal of Statistics 20, 147–156; results as Mamba.jl's documents print.
    """
    failures, hours = np.array(PUMPS).T
    stretches = []
    for owner, (n, time) in enumerate(zip(failures, hours, strict=True)):
        gaps = np.append(np.full(int(n), exact(time / (n + 1))), 0.0)
        gaps[-1] = exact(time - gaps.sum())
        stretches += [Stretch(owner, k + 1, (0,), 0.0, gap, k < n) for k, gap in enumerate(gaps)]
    cells = cells_of(stretches, schema_of({"one": "a"}, (0.0, 200.0)))
    likelihood = HierarchicalModel(frailty="gamma").bind(cells).density.likelihood
    log_alpha, log_beta = np.meshgrid(np.linspace(-4.5, 2.5, 90), np.linspace(-7, 3.5, 130), indexing="ij")
    log_alpha, log_beta = log_alpha.ravel(), log_beta.ravel()
    alpha, beta = np.exp(log_alpha), np.exp(log_beta)
    values = likelihood.values((log_alpha - log_beta)[:, None], np.zeros((len(alpha), 0)), alpha**-0.5)
    log_density = values + stats.expon.logpdf(alpha) + stats.gamma.logpdf(beta, 0.1) + log_alpha + log_beta
    weight = np.exp(log_density - log_density.max())
    weight /= weight.sum()
    rates = (alpha[:, None] + failures) / (beta[:, None] + hours)
    found = weight @ np.column_stack([rates, alpha, beta])
    mean, error = np.array(PUMPS_POSTERIOR).T
    assert np.all(np.abs(found - mean) < 4 * error)
