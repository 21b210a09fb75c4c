"""The same models as others sample them: written in PyMC, and in bambi's formulas as far as these go."""

from __future__ import annotations

import itertools
import math
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from tests.benchmarks.inference_data import BREAKS, N_COVARIATES, N_GROUPS, NAMES, SHAPE, Observed

CHAINS = CORES = 2
"""What ``pm.sample()`` takes by itself on two cores."""
RIVALS = ("pymc", "nutpie", "numpyro", "bambi")


def walk_basis() -> tuple[np.ndarray, np.ndarray]:
    """Sums of independent steps, shifted to sum to zero; and how far each step goes on the log-time axis."""
    n = len(BREAKS) - 1
    basis = np.tril(np.ones((n, n)), -1)[:, : n - 1]
    middle = 0.5 * (np.array(BREAKS[1:]) + np.array(BREAKS[:-1]))
    return basis - basis.mean(axis=0), np.diff(np.log(middle))


def pymc_model(observed: Observed) -> Any:
    """The posterior as one would write it in PyMC; effects are centred, the kinder choice with hundreds of events each.

    Rows get the closed form of a censored Weibull, which costs less than ``pm.Censored``.
    """
    import pymc as pm
    import pytensor.tensor as pt

    prior, basis, x = observed.priors, walk_basis(), observed.x
    with pm.Model() as model:
        intercept = pm.Normal("intercept", prior["intercept"]["mean"], prior["intercept"]["sd"])
        coef = pm.Normal("coef", prior["coef"]["mean"], prior["coef"]["sd"], shape=N_COVARIATES)
        group_sd = pm.HalfNormal("group_effect_sd", prior["group_effect_sd"]["sd"])
        effect = pm.Normal("group_effect", 0.0, group_sd, shape=N_GROUPS)
        linear = pt.dot(pt.as_tensor(x), coef) + effect[observed.group]
        if observed.kind == "rows":
            log_shape = pm.Normal("log_shape", prior["log_shape"]["mean"], prior["log_shape"]["sd"])
            log_time = np.log(observed.days / observed.t0)
            log_hazard = intercept + linear + pt.exp(log_shape) * log_time
            pm.Potential("likelihood", pt.sum(observed.event * (log_shape + log_hazard) - pt.exp(log_hazard)))
        else:
            walk_sd = pm.HalfNormal("walk_sd", prior["walk_sd"]["sd"])
            step = pm.Normal("walk_step", 0.0, walk_sd * np.sqrt(basis[1]))
            baseline = pm.Deterministic("log_baseline", intercept + pt.dot(basis[0], step))
            rate = observed.days * pt.exp(baseline[observed.period] + linear)
            pm.Poisson("n_events", rate, observed=observed.event.astype(np.int64))
    return model


def bambi_model(observed: Observed) -> Any:
    """The nearest that formulas say.

    A Weibull regression of times in place of hazards, whose effects are those on the log hazard divided by minus the
    shape; and each period its own level, since there is no term for a walk.
    """
    import bambi as bmb
    import pandas as pd

    prior, slopes = observed.priors, " + ".join(NAMES)
    rows, scale = observed.kind == "rows", SHAPE if observed.kind == "rows" else 1.0
    frame = pd.DataFrame(observed.x, columns=list(NAMES))
    frame["grp"] = np.char.add("g", observed.group.astype(str))
    spread = bmb.Prior("HalfNormal", sigma=prior["group_effect_sd"]["sd"] / scale)
    centre = -prior["intercept"]["mean"] / scale if rows else prior["intercept"]["mean"]
    priors: dict[str, Any] = dict.fromkeys(NAMES, bmb.Prior("Normal", mu=0.0, sigma=prior["coef"]["sd"] / scale))
    priors["Intercept"] = bmb.Prior("Normal", mu=centre, sigma=prior["intercept"]["sd"] / scale)
    priors["1|grp"] = bmb.Prior("Normal", mu=0.0, sigma=spread)
    if rows:
        frame["time"], frame["status"] = observed.days / observed.t0, np.where(observed.event > 0, "none", "right")
        priors["alpha"] = bmb.Prior("LogNormal", mu=prior["log_shape"]["mean"], sigma=prior["log_shape"]["sd"])
        formula, family = f"censored(time, status) ~ {slopes} + (1|grp)", "weibull"
    else:
        frame["n"], frame["days"] = observed.event.astype(np.int64), observed.days
        frame["period"] = np.char.add("p", observed.period.astype(str))
        priors["period"] = bmb.Prior("Normal", mu=0.0, sigma=2.0)
        formula, family = f"n ~ offset(log(days)) + period + {slopes} + (1|grp)", "poisson"
    model = bmb.Model(formula, frame, family=family, priors=priors, noncentered=False)
    model.build()
    return model


def sample(name: str, observed: Observed, settings: dict[str, int]) -> tuple[Any, dict[str, float]]:
    """Draw as the sampler does by itself; draws by the names of :data:`PARAMETERS`, and what it took.

    Parameters
    ----------
    name : str
        One of :data:`RIVALS`.
    observed : Observed
        Rows.
    settings : dict
        ``draws`` and ``tune`` where they shall not be the sampler's own.
    """
    import pymc as pm

    began = time.perf_counter()
    given: dict[str, Any] = {"chains": CHAINS, "cores": CORES, "random_seed": 1, "progressbar": False, **settings}
    keep = {} if name == "numpyro" else {"discard_tuned_samples": False}
    if name == "bambi":
        tree = bambi_model(observed).fit(**given, **keep)
        draws = _from_bambi(observed, tree["posterior"].to_dataset())
    else:
        with pymc_model(observed):
            tree = pm.sample(nuts_sampler=name, **given, **keep)
        draws = tree["posterior"].to_dataset()
    seconds = time.perf_counter() - began
    return draws, {"seconds": seconds, **_effort(tree, seconds)}


def _effort(tree: Any, seconds: float) -> dict[str, float]:
    """Seconds of sampling alone, warm-up included, and gradients of each chain."""
    stats = tree["sample_stats"]
    steps = float(stats["n_steps"].sum("draw").mean())
    n_draws = stats.sizes["draw"]
    if "warmup_sample_stats" in tree.children:
        warm_up = float(tree["warmup_sample_stats"]["n_steps"].sum("draw").mean())
        n_tune = tree["warmup_sample_stats"].sizes["draw"]
    else:
        n_tune = int(stats.attrs.get("tuning_steps", n_draws))
        warm_up = steps / n_draws * n_tune
    sampling = float(stats.attrs.get("sampling_time", tree["posterior"].attrs.get("sampling_time", math.nan)))
    return {"sampling": sampling, "gradients": steps + warm_up, "n_draws": n_draws, "n_tune": n_tune}


def _from_bambi(observed: Observed, draws: Any) -> Any:
    """Bambi's draws under the names and on the scale of a log hazard."""
    import xarray as xr
    from scipy.special import gammaln

    dims = ("chain", "draw")
    coef = np.stack([draws[name].values for name in NAMES], axis=-1)
    effect = draws["1|grp"].transpose(*dims, ...).sel(grp__factor_dim=[f"g{k}" for k in range(N_GROUPS)]).values
    spread, level = draws["1|grp_sigma"].values, draws["Intercept"].values
    if observed.kind == "rows":
        shape = draws["alpha"].values
        level = -shape * (level - gammaln(1.0 + 1.0 / shape))
        coef, effect, spread = -shape[..., None] * coef, -shape[..., None] * effect, shape * spread
        own: dict[str, Any] = {"log_shape": (dims, np.log(shape))}
    else:
        later = draws["period"].transpose(*dims, ...).values
        baseline = level[..., None] + np.concatenate([np.zeros((*level.shape, 1)), later], axis=-1)
        level, own = baseline.mean(axis=-1), {"log_baseline": ((*dims, "period"), baseline)}
    return xr.Dataset({
        "intercept": (dims, level), "coef": ((*dims, "term"), coef), **own,
        "group_effect": ((*dims, "group"), effect), "group_effect_sd": (dims, spread),
    })  # fmt: skip


def gradient_seconds(name: str, observed: Observed, budget: float = 15.0) -> dict[str, float]:
    """Seconds to get ready, and seconds of one value with gradient by the sampler's own compiled function.

    Two chains run at once where their function would share the cores; PyMC's chains are processes, timed alone.
    """
    began = time.perf_counter()
    model = bambi_model(observed).backend.model if name == "bambi" else pymc_model(observed)
    run = {"nutpie": _nutpie_gradient, "numpyro": _jax_gradient}.get(name, _pymc_gradient)(model)
    ready = time.perf_counter() - began
    return {"ready": ready, "gradient": run(budget)}


def _pymc_gradient(model: Any) -> Any:
    function = model.logp_dlogp_function(ravel_inputs=True)
    function.set_extra_values({})
    start = np.concatenate([np.ravel(value) for value in model.initial_point().values()])
    function._pytensor_function(start)

    return lambda budget: _timed(lambda: function._pytensor_function(start), budget)


def _jax_gradient(model: Any) -> Any:
    import jax
    from pymc.sampling.jax import get_jaxified_logp

    function = jax.jit(jax.value_and_grad(get_jaxified_logp(model)))
    start = [jax.numpy.asarray(value) for value in model.initial_point().values()]
    jax.block_until_ready(function(start))

    def both(budget: float) -> float:
        with ThreadPoolExecutor(CHAINS) as pool:
            work = [pool.submit(_timed, lambda: jax.block_until_ready(function(start)), budget) for _ in range(CHAINS)]
        return float(np.mean([one.result() for one in work]))

    return both


def _nutpie_gradient(model: Any) -> Any:
    import nutpie

    compiled = nutpie.compile_pymc_model(model)

    def per_step(tune: int) -> float:
        began = time.perf_counter()
        tree = nutpie.sample(
            compiled, draws=1, tune=tune, chains=CHAINS, cores=CORES, seed=1, maxdepth=3, progress_bar=False
        )
        seconds = time.perf_counter() - began
        parts = (tree["warmup_sample_stats"], tree["sample_stats"])
        return seconds / sum(float(part["n_steps"].sum("draw").mean()) for part in parts)

    # Its compiled function cannot be called by itself: short trees of two chains at once.
    return lambda budget: per_step(int(np.clip(budget / (7.0 * per_step(5)), 5, 500)))


def _timed(call: Any, budget: float) -> float:
    """Seconds of one call: the median of as many as the budget allows, three at least."""
    times: list[float] = []
    for k in itertools.count():
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
        if k >= 2 and (sum(times) > budget or k >= 999):
            return float(np.median(times))
    raise AssertionError
