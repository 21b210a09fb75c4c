"""The hierarchical model written in PyMC: readable, sampled by anything PyMC knows, the same density."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from churnsurv._typing import FloatArray
from churnsurv.models.hierarchical.cells import IndependentCells, SeparableCells
from churnsurv.models.hierarchical.correlation import pairs
from churnsurv.models.hierarchical.fused import FusedRows
from churnsurv.models.hierarchical.linear import Linear
from churnsurv.models.hierarchical.pieces import Piece
from churnsurv.models.hierarchical.priors import LKJ, Exponential, HalfNormal, Normal, Prior, StudentT
from churnsurv.models.hierarchical.reference_likelihood import cells_part, rows_part, units_part
from churnsurv.models.hierarchical.units import UnitLikelihood

if TYPE_CHECKING:
    import pymc as pm

    from churnsurv.models.hierarchical.problem import Problem


def _soft_scale(knee: FloatArray) -> Any:
    """Build the transform of standard deviations: knee times log(1 + exp(x)) (eq. 5)."""
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


def _positive(name: str, prior: Prior, knee: FloatArray, dims: tuple[str, ...]) -> Any:
    import pymc as pm

    knee = knee if dims else knee[0]
    settings: dict[str, Any] = {"default_transform": None, "transform": _soft_scale(knee), "dims": dims or None}
    if isinstance(prior, HalfNormal):
        return pm.HalfNormal(name, sigma=prior.sd, **settings)
    if isinstance(prior, Exponential):
        return pm.Exponential(name, scale=prior.mean_sd, **settings)
    raise TypeError(f"{prior!r} is no prior of a standard deviation")


def _located(name: str, prior: Prior, shift: Any, dims: str | None) -> Any:
    """Prior of an effect, moved: x - shift has the prior, so x has it around its mean plus shift."""
    import pymc as pm

    if isinstance(prior, Normal):
        return pm.Normal(name, prior.mean + shift, prior.sd, dims=dims)
    if isinstance(prior, StudentT):
        return pm.StudentT(name, nu=prior.df, mu=prior.mean + shift, sigma=prior.sd, dims=dims)
    raise TypeError(f"{prior!r} is no prior of an effect")


def _correlations(name: str, prior: LKJ, labels: tuple[str, ...], dim: str) -> Any:
    r"""Cholesky factor of an LKJ correlation matrix: partial correlations are independent betas on (−1, 1).

    The sampler's coordinate x is :math:`\tanh^{-1}` of a partial correlation, so :math:`1 - \tanh^2 x` is its Jacobian.
    """
    import pymc as pm
    import pytensor.tensor as pt

    size = len(labels)
    rows, columns = pairs(size)
    free = pm.Flat(f"{name}_free", shape=len(rows))
    partial = pt.tanh(free)
    shape = prior.concentration + 0.5 * (size - 2 - columns)
    beta = pm.logp(pm.Beta.dist(shape, shape), 0.5 * (1.0 + partial))
    # log(1 - tanh(x)²) without cancellation.
    jacobian = 2.0 * (np.log(2.0) - pt.abs(free) - pt.softplus(-2.0 * pt.abs(free)))
    pm.Potential(f"{name}_lkj", pt.sum(beta - np.log(2.0) + jacobian))
    factor: list[list[Any]] = [[pt.as_tensor(0.0)] * size for _ in range(size)]
    left = [pt.as_tensor(1.0)] * size
    for k, (i, j) in enumerate(zip(rows, columns, strict=True)):
        factor[i][j] = partial[k] * pt.sqrt(left[i])
        left[i] = left[i] * (1.0 - partial[k] ** 2)
    for i in range(size):
        factor[i][i] = pt.sqrt(left[i])
    root = pt.stack([pt.stack(row) for row in factor])
    pm.Deterministic(f"{name}_correlation", pt.dot(root, root.T)[rows, columns], dims=dim)
    return root


@dataclass
class _Effects:
    """Random effects as they are built: one flat vector each, and the values that rows meet."""

    flat: list[Any] = field(default_factory=list)
    values: dict[int, Any] = field(default_factory=dict)

    def add(self, start: int, piece: Piece, effects: Any) -> None:
        """Take one piece's effects, of which the first is at ``start`` of all random effects."""
        import pymc as pm
        import pytensor.tensor as pt

        own = effects if piece.basis is None else pt.dot(pt.as_tensor(piece.basis), effects)
        self.flat.append(effects)
        self.values[start] = own.reshape((-1, piece.block.n_terms))
        pm.Deterministic(piece.name, own.reshape(piece.sizes), dims=piece.dims)


def _random_effects(problem: Problem) -> tuple[_Effects, Any]:
    """Priors of all random effects in the sampler's coordinates (eq. 5 to 6b), and of the frailty's spread."""
    import pymc as pm
    import pytensor.tensor as pt

    structure, centring, layout = problem.structure, problem.density.centring, problem.structure.layout
    effects, vectors = _Effects(), iter(centring.vectors)
    for piece, some, sds in zip(structure.pieces, layout.random_places, layout.sd_places, strict=True):
        name, block = piece.name, piece.block
        several = block.n_terms > 1
        dims = (f"{piece.group}_term",) if several else ()
        sd = _positive(f"{name}_sd", problem.priors[f"{name}_sd"], centring.knee[sds], dims)
        if not several:
            spread = pt.sqrt(1.0 + centring.information[some] * sd**2)
            z = pm.Normal(f"{name}_z", 0.0, spread, shape=block.size)
            along = pt.dot(pt.as_tensor(centring.rotation[some, some]), sd / spread * z)
            effects.add(some.start, piece, block.scale * along)
            continue
        prior = problem.priors[f"{name}_correlation"]
        if not isinstance(prior, LKJ):
            raise TypeError(f"{prior!r} is no prior of correlations")
        covariance_root = sd[:, None] * _correlations(name, prior, block.terms, f"{piece.group}_pair")
        chosen = next(vectors)
        precision = pt.linalg.inv(pt.dot(covariance_root, covariance_root.T))
        # Effects along a direction are C^-T z with C C' = precision + information.
        root = pt.linalg.cholesky(precision[None] + chosen.information)
        z = pm.Flat(f"{name}_z", shape=(block.n_levels, block.n_terms))
        along = pt.linalg.solve_triangular(root, z, lower=True, trans=1, b_ndim=1)
        prior_of_effects = pm.MvNormal.dist(np.zeros(block.n_terms), chol=covariance_root)
        jacobian = pt.sum(pt.log(pt.diagonal(root, axis1=1, axis2=2)))
        pm.Potential(f"{name}_prior", pt.sum(pm.logp(prior_of_effects, along)) - jacobian)
        effects.add(some.start, piece, pt.dot(pt.as_tensor(chosen.rotation), along).ravel())
    frailty_sd = None
    if layout.frailty:
        frailty_sd = _positive("frailty_sd", problem.priors["frailty_sd"], centring.knee[-1:], ())
    return effects, frailty_sd


def _fixed_effects(problem: Problem, random: Any) -> Any:
    """Priors of fixed effects, measured from where they would lie given the random effects (eq. 7); all in one vector."""
    import pymc as pm
    import pytensor.tensor as pt

    structure = problem.structure
    shift = pt.dot(pt.as_tensor(problem.density.centring.shear), random)
    found = []
    for name in structure.layout.fixed:
        own, many = structure.layout.place(name), name == "coef"
        here = shift[own] if many else shift[own.start]
        level = _located(f"{name}_level", problem.priors[name], here, "term" if many else None)
        value = level - here
        pm.Deterministic(name, value / structure.terms.scale if many else value, dims="term" if many else None)
        found.append(pt.atleast_1d(value))
    return pt.concatenate(found)


def reference_model(problem: Problem) -> pm.Model:
    """Write a bound problem in PyMC.

    Parameters
    ----------
    problem : Problem
        Data, names, priors and coordinates.

    Returns
    -------
    pymc.Model
        Free variables are the coordinates of the sampler: ``{fixed effect}_level``, standard deviations, ``{block}_z``,
        and ``{block}_free`` of correlations. ``intercept``, ``coef``, ``walk``, ``log_baseline``, ``{group}_effect`` and
        whatever else the posterior holds are deterministic, with the posterior's dims. Its log density equals that of
        ``problem.density`` everywhere.
    """
    import pymc as pm
    import pytensor.tensor as pt

    coords: dict[str, Any] = {name: list(labels) for name, labels in problem.structure.coords().items()}
    with pm.Model(coords=coords) as model:
        effects, frailty_sd = _random_effects(problem)
        random = pt.concatenate(effects.flat) if effects.flat else pt.zeros(0)
        fixed = _fixed_effects(problem, random)
        if "walk" in model.named_vars and "intercept" in model.named_vars:
            pm.Deterministic("log_baseline", model["intercept"] + model["walk"], dims="period")

        def predictor(linear: Linear) -> Any:
            """Sum of fixed and random effects on each row."""
            total = pt.dot(pt.as_tensor(linear.x), fixed[linear.columns]) if len(linear.columns) else 0.0
            for part in linear.parts:
                own = effects.values[part.start][part.level]
                total = total + pt.sum(own if part.value is None else own * part.value, axis=1)
            return total + pt.zeros(linear.n_rows)

        likelihood = problem.density.likelihood
        if isinstance(likelihood, SeparableCells | IndependentCells):
            cells_part(likelihood, predictor)
        elif isinstance(likelihood, FusedRows):
            rows_part(likelihood, predictor)
        elif isinstance(likelihood, UnitLikelihood):
            units_part(likelihood, predictor, frailty_sd)
        else:
            raise TypeError(f"{type(likelihood).__name__} has no reference")
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
    layout = problem.structure.layout
    level, soft, free, z = problem.density.split(position)
    point = {}
    for name in layout.fixed:
        own = level[layout.place(name)]
        point[f"{name}_level"] = own if name == "coef" else own[0]
    places = zip(problem.structure.pieces, layout.random_places, layout.sd_places, layout.free_places, strict=True)
    for piece, some, sds, correlations in places:
        block = piece.block
        several = block.n_terms > 1
        point[f"{piece.name}_sd_soft__"] = soft[sds] if several else soft[sds.start]
        point[f"{piece.name}_z"] = z[some].reshape(block.n_levels, block.n_terms) if several else z[some]
        if several:
            point[f"{piece.name}_free"] = free[correlations]
    if layout.frailty:
        point["frailty_sd_soft__"] = soft[-1]
    return {name: np.asarray(value) for name, value in point.items()}
