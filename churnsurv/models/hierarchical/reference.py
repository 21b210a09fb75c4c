"""The hierarchical model written in PyMC: readable, sampled by anything PyMC knows, the same density."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from churnsurv._typing import FloatArray
from churnsurv.models.hierarchical.priors import Exponential, HalfNormal, Normal, Prior, StudentT

if TYPE_CHECKING:
    import pymc as pm

    from churnsurv.models.hierarchical.problem import Problem


def _soft_scale(knee: float) -> Any:
    """Build the transform of a standard deviation: knee times log(1 + exp(x)) (eq. 5)."""
    import pytensor.tensor as pt
    from pymc.logprob.transforms import Transform

    class SoftScale(Transform):  # type: ignore[misc]
        name = "soft"
        ndim_supp = 0

        def forward(self, value: Any, *inputs: Any) -> Any:
            ratio = value / knee
            return ratio + pt.log(-pt.expm1(-ratio))

        def backward(self, value: Any, *inputs: Any) -> Any:
            return knee * pt.softplus(value)

        def log_jac_det(self, value: Any, *inputs: Any) -> Any:
            return np.log(knee) + value - pt.softplus(value)

    return SoftScale()


def _positive(name: str, prior: Prior, knee: float) -> Any:
    import pymc as pm

    transform = _soft_scale(knee)
    if isinstance(prior, HalfNormal):
        return pm.HalfNormal(name, sigma=prior.sd, default_transform=None, transform=transform)
    if isinstance(prior, Exponential):
        return pm.Exponential(name, scale=prior.mean_sd, default_transform=None, transform=transform)
    raise TypeError(f"{prior!r} is no prior of a standard deviation")


def _located(name: str, prior: Prior, shift: Any, dims: str | None) -> Any:
    """Prior of an effect, moved: x - shift has the prior, so x has it around its mean plus shift."""
    import pymc as pm

    if isinstance(prior, Normal):
        return pm.Normal(name, prior.mean + shift, prior.sd, dims=dims)
    if isinstance(prior, StudentT):
        return pm.StudentT(name, nu=prior.df, mu=prior.mean + shift, sigma=prior.sd, dims=dims)
    raise TypeError(f"{prior!r} is no prior of an effect")


def reference_model(problem: Problem) -> pm.Model:
    """Write a bound problem in PyMC.

    Parameters
    ----------
    problem : Problem
        Cells, names, priors and coordinates.

    Returns
    -------
    pymc.Model
        Free variables are the coordinates of the sampler; ``intercept``, ``coef``, ``walk``, ``log_baseline``,
        ``{group}_effect`` are deterministic. Its log density equals that of ``problem.density`` everywhere.
    """
    import pymc as pm
    import pytensor.tensor as pt

    density, design, centring = problem.density, problem.density.design, problem.density.centring
    steps = design.n_periods - 1
    coords: dict[str, Any] = {name: list(labels) for name, labels in problem.coords().items()}
    with pm.Model(coords=coords) as model:
        sds = {
            name: _positive(name, prior, float(knee))
            for name, prior, knee in zip(problem.sd_names, density.sd_priors, centring.knee, strict=True)
        }
        blocks: list[tuple[str, str, str | None]] = [("walk_step", "walk_sd", None)] if steps else []
        blocks += [(f"{group}_effect", f"{group}_effect_sd", group) for group in problem.groups]
        effects, at = {}, 0
        for (name, sd_name, dims), size in zip(blocks, design.blocks, strict=True):
            some = slice(at, at + size)
            spread = pt.sqrt(1.0 + centring.information[some] * sds[sd_name] ** 2)
            z = pm.Normal(f"{name}_z", 0.0, spread, shape=size)
            rotated = pt.dot(pt.as_tensor(centring.rotation[some, some]), sds[sd_name] / spread * z)
            effects[name] = pm.Deterministic(name, design.scale[some] * rotated, dims=dims)
            at += size
        random = pt.concatenate(list(effects.values())) if effects else pt.zeros(0)
        shift = pt.dot(pt.as_tensor(centring.shear), random)
        intercept = pm.Deterministic(
            "intercept", _located("intercept_level", density.intercept_prior, shift[0], None) - shift[0]
        )
        log_hazard = intercept + pt.zeros((len(design.x), design.n_periods))
        if density.coef_prior is not None:
            level = _located("coef_level", density.coef_prior, shift[1:], "term")
            coef = pm.Deterministic("coef", level - shift[1:], dims="term")
            log_hazard += pt.dot(pt.as_tensor(design.x), coef)[:, None]
        if steps:
            walk = pm.Deterministic(
                "walk", pt.dot(pt.as_tensor(design.walk_basis()), effects["walk_step"]), dims="period"
            )
            pm.Deterministic("log_baseline", intercept + walk, dims="period")
            log_hazard += walk[None, :]
        for group, index in zip(problem.groups, design.groups, strict=True):
            log_hazard += effects[f"{group}_effect"][index][:, None]
        where = np.nonzero(design.exposure > 0)
        expected = design.exposure[where] * pt.exp(log_hazard[where])
        pm.Poisson("n_events", expected, observed=design.events[where].astype(np.int64))
    return model


def reference_point(problem: Problem, position: FloatArray) -> dict[str, FloatArray]:
    """Name the parts of a position as :func:`reference_model` names its value variables.

    Parameters
    ----------
    problem : Problem
        The same problem.
    position : array of shape (n_positions,)
        A position of ``problem.density``.

    Returns
    -------
    dict of str to array
        For ``model.compile_logp()``.
    """
    level, soft, z = problem.density.split(position)
    point: dict[str, FloatArray] = {"intercept_level": np.asarray(level[0])}
    if problem.effects.terms:
        point["coef_level"] = level[1:]
    point |= {f"{name}_soft__": np.asarray(soft[k]) for k, name in enumerate(problem.sd_names)}
    names = ["walk_step"] if problem.density.design.n_periods > 1 else []
    names += [f"{group}_effect" for group in problem.groups]
    ends = np.cumsum(problem.density.design.blocks)
    point |= {f"{name}_z": part for name, part in zip(names, np.split(z, ends[:-1]), strict=True)}
    return point
