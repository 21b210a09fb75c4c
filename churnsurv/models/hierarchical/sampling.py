"""PyMC's NUTS on a closed-form density, the gate on ArviZ's diagnostics, and the DataTree of draws."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from churnsurv._typing import FloatArray, StrArray
from churnsurv.models.hierarchical.density import LogPosterior
from churnsurv.models.hierarchical.mode import Mode

if TYPE_CHECKING:
    import pymc as pm
    import xarray as xr

Report = Callable[[float, str], None]

RHAT_LIMIT = 1.01
ESS_PER_CHAIN = 100
EBFMI_LIMIT = 0.3
TREE_DEPTH_LIMIT = 0.01
RETRY_TARGET_ACCEPT = 0.99
_FIRST_STEP = 0.1
_BLOCK = 25
"""Steps of one chain before the next chain's turn: chains advance together, so that a stop cuts them alike."""


@dataclass(frozen=True, eq=False)
class Draws:
    """What the sampler brought home.

    Parameters
    ----------
    position : array of shape (n_chains, n_draws, n_positions)
        Positions after warm-up.
    stats : mapping of str to array of shape (n_chains, n_draws)
        Sampler statistics.
    interrupted : bool
        Whether a person stopped it before the end.
    """

    position: FloatArray
    stats: Mapping[str, np.ndarray]
    interrupted: bool


@dataclass(frozen=True)
class Gate:
    """Diagnostics of a posterior, and the sentences for every limit that is broken."""

    rhat_max: float
    ess_min: float
    divergences: int
    ebfmi_min: float
    tree_depth_share: float
    messages: tuple[str, ...]


class _FusedDensity:
    """Stands where PyMC's step method expects its own compiled function of value and gradient.

    It has the four attributes that ``pymc.step_methods.hmc`` reads. Nothing is compiled, so the first fit in a
    fresh environment does not wait a minute for a compiler.
    """

    _raveled_inputs = True
    dtype = "float64"

    def __init__(self, density: LogPosterior) -> None:
        self._extra_vars_shared: dict[str, object] = {}
        self._pytensor_function = density.value_and_gradient


_STATS = ("diverging", "energy", "model_logp", "tree_size", "depth", "step_size", "mean_tree_accept")


class _Chain:
    """One chain of PyMC's NUTS with the dense metric."""

    def __init__(self, mode: Mode, model: pm.Model, seed: np.random.SeedSequence, target_accept: float) -> None:
        import pymc as pm
        from pymc.blocking import RaveledVars
        from pymc.step_methods.hmc.quadpotential import QuadPotentialFull

        rng = np.random.default_rng(seed)
        n = len(mode.position)
        start = mode.position + np.linalg.cholesky(mode.covariance) @ rng.normal(size=n)
        self._rng = rng
        self._step = pm.NUTS(
            model=model,
            logp_dlogp_func=_FusedDensity(mode.density),
            potential=QuadPotentialFull(mode.covariance, rng=rng.spawn(1)[0]),
            initial_point={"position": mode.position},
            target_accept=target_accept,
            step_scale=_FIRST_STEP * n**0.25,
            rng=rng.spawn(1)[0],
        )
        self._state = RaveledVars(start, (("position", (n,), n, np.dtype(np.float64)),))
        self.positions: list[FloatArray] = []
        self.stats: list[dict[str, Any]] = []

    def run(self, tune: int, draws: int) -> Iterator[None]:
        """Advance one block of steps at a time."""
        step = self._step
        step.setup_chain(self._rng, tune, draws)
        step.reset_tuning()
        for i in range(tune + draws):
            if i == tune:
                step.stop_tuning()
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                self._state, (stats,) = step.astep(self._state)
            if i >= tune:
                self.positions.append(self._state.data)
                self.stats.append({name: stats[name] for name in (*_STATS, "reached_max_treedepth")})
            if (i + 1) % _BLOCK == 0:
                yield


@contextmanager
def quiet() -> Iterator[None]:
    """Let PyMC, PyTensor and ArviZ speak only of errors, and BLAS use one thread: sums keep their order."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    loggers = [logging.getLogger(name) for name in ("pymc", "pytensor", "arviz_base", "arviz_stats")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with threadpool_limits(1):
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def sample_nuts(
    mode: Mode, *, seed: int, chains: int, draws: int, tune: int, target_accept: float, report: Report
) -> Draws:
    """Draw from a density with PyMC's NUTS, started around its mode in its dense metric.

    Parameters
    ----------
    mode : Mode
        Density, position and metric.
    seed : int
        The same seed gives the same draws, bit for bit.
    chains, draws, tune : int
        Chains, draws of each, and warm-up steps of each (they tune the step size only).
    target_accept : float
        Acceptance that the step size aims at.
    report : callable
        Told the share done and a sentence.

    Returns
    -------
    Draws
        ``interrupted`` when a person pressed Ctrl-C; then every chain has equally many draws.

    Raises
    ------
    KeyboardInterrupt
        If it was pressed before there was a draw of every chain.
    """
    import pymc as pm

    with quiet():
        with pm.Model() as model:
            pm.Flat("position", shape=len(mode.position))
        seeds = np.random.SeedSequence(seed).spawn(chains)
        runners = [_Chain(mode, model, one, target_accept) for one in seeds]
        interrupted = False
        try:
            _advance([runner.run(tune, draws) for runner in runners], tune + draws, report)
        except KeyboardInterrupt:
            interrupted = True
    kept = min(len(runner.stats) for runner in runners)  # the last that a step leaves: a stop may come in between
    if kept == 0:
        raise KeyboardInterrupt
    names = runners[0].stats[0]
    stats = {name: np.array([[s[name] for s in runner.stats[:kept]] for runner in runners]) for name in names}
    return Draws(np.array([runner.positions[:kept] for runner in runners]), stats, interrupted)


def _advance(chains: list[Iterator[None]], n_steps: int, report: Report) -> None:
    done = 0
    while chains:
        chains = [chain for chain in chains if next(chain, chain) is not chain]
        done = min(done + _BLOCK, n_steps)
        report(done / n_steps, "drawing from the posterior")


def check(posterior: xr.DataTree, stats: Mapping[str, np.ndarray]) -> Gate:
    """Hold a posterior against the limits of the gate.

    Parameters
    ----------
    posterior : DataTree
        Draws by name.
    stats : mapping
        Sampler statistics, shape (n_chains, n_draws) each.

    Returns
    -------
    Gate
        Numbers, and one sentence per broken limit that names the parameter.

    References
    ----------
    .. [1] Vehtari, A. et al. (2021). Rank-normalization, folding, and localization: an improved R-hat.
       *Bayesian Analysis* 16, 667–718.
    .. [2] Betancourt, M. (2016). Diagnosing suboptimal cotangent disintegrations in Hamiltonian Monte Carlo.
       arXiv:1604.00695.
    """
    import arviz_stats

    n_chains, n_draws = stats["energy"].shape
    with quiet():
        rhat, rhat_at = _worst(arviz_stats.rhat(posterior), largest=True)
        worst = [_worst(arviz_stats.ess(posterior, method=method), largest=False) for method in ("bulk", "tail")]
    ess, ess_at = min(worst)
    changes = np.diff(stats["energy"], axis=1)
    spread = stats["energy"].var(axis=1)
    ebfmi = float(np.min(np.mean(changes**2, axis=1) / np.where(spread > 0, spread, np.nan))) if n_draws > 1 else 0.0
    divergences, deep = int(stats["diverging"].sum()), float(np.mean(stats["reached_max_treedepth"]))
    limits = [
        (not rhat <= RHAT_LIMIT, _disagreement(rhat, rhat_at, n_chains, n_draws)),
        (
            not ess >= ESS_PER_CHAIN * n_chains,
            f"there are only {ess:.0f} effective draws of {ess_at} (limit {ESS_PER_CHAIN * n_chains}).",
        ),
        (divergences > 0, f"{divergences} of {n_chains * n_draws:,} transitions diverged (limit 0)."),
        (not ebfmi >= EBFMI_LIMIT, f"E-BFMI is {ebfmi:.2f} (limit {EBFMI_LIMIT}): the energy is explored too slowly."),
        (
            deep > TREE_DEPTH_LIMIT,
            f"{deep:.1%} of transitions reached the deepest tree (limit {TREE_DEPTH_LIMIT:.0%}).",
        ),
    ]
    return Gate(rhat, ess, divergences, ebfmi, deep, tuple(sentence for broken, sentence in limits if broken))


def _disagreement(rhat: float, where: str, n_chains: int, n_draws: int) -> str:
    """What a broken limit of R-hat means: that chains disagree, or that there is nothing to compare."""
    if n_chains == 1:
        return "R-hat cannot be told: there is one chain, and nothing to compare it with."
    if np.isnan(rhat):
        return f"R-hat of {where} cannot be told from {n_draws} draws of each of {n_chains} chains."
    return f"R-hat is {rhat:.4f} for {where} (limit {RHAT_LIMIT}): the chains disagree."


def _worst(diagnostic: xr.DataTree, *, largest: bool) -> tuple[float, str]:
    """Worst value of a diagnostic and the parameter that has it; an undefined one is worst of all."""
    found = []
    for name, values in diagnostic.to_dataset().data_vars.items():
        flat = values.values.ravel()
        badness = np.where(np.isnan(flat), math.inf, flat if largest else -flat)
        at = int(np.argmax(badness))
        labels = [
            str(values.coords[d].values[i])
            for d, i in zip(values.dims, np.unravel_index(at, values.shape), strict=True)
        ]
        found.append((float(badness[at]), float(flat[at]), f"{name}[{', '.join(labels)}]" if labels else str(name)))
    _, value, place = max(found)
    return value, place


def posterior_tree(
    variables: Mapping[str, tuple[tuple[str, ...], np.ndarray]],
    coords: Mapping[str, StrArray | np.ndarray],
    stats: Mapping[str, np.ndarray],
) -> xr.DataTree:
    """Put draws on named dims.

    Parameters
    ----------
    variables : mapping of str to (dims, array)
        Dims after ``chain`` and ``draw``, and the array.
    coords : mapping
        Labels of each dim.
    stats : mapping
        Sampler statistics, may be empty.

    Returns
    -------
    DataTree
        With groups ``posterior`` and, where there are statistics, ``sample_stats``.
    """
    import xarray as xr

    chains, draws = next(iter(variables.values()))[1].shape[:2]
    sample = {"chain": np.arange(chains), "draw": np.arange(draws)}
    data = {name: (("chain", "draw", *dims), values) for name, (dims, values) in variables.items()}
    used = {dim for dims, _ in variables.values() for dim in dims}
    groups = {"posterior": xr.Dataset(data, coords=sample | {k: v for k, v in coords.items() if k in used})}
    if stats:
        sampled = {name: (("chain", "draw"), values) for name, values in stats.items()}
        groups["sample_stats"] = xr.Dataset(sampled, coords=sample)
    return xr.DataTree.from_dict(cast(Any, groups))
