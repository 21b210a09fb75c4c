"""Parameters drawn from their priors, of any composition, in the model's own terms."""

from __future__ import annotations

import numpy as np

from churnsurv._typing import FloatArray
from churnsurv.models.hierarchical.correlation import cholesky_factor, draw_lkj
from churnsurv.models.hierarchical.density import LogPosterior, Natural


def draw_from_priors(density: LogPosterior, n_draws: int, rng: np.random.Generator) -> Natural:
    """Draw every parameter of a model from its prior; the data are not looked at.

    Parameters
    ----------
    density : LogPosterior
        Layout and priors.
    n_draws : int
        Number of draws.
    rng : Generator
        Randomness.

    Returns
    -------
    Natural
        Fixed effects, random effects given their standard deviations and correlations, and these; the leading axis is
        that of the draws.
    """
    layout = density.layout
    fixed = np.empty((n_draws, layout.n_fixed))
    for name, prior in density.fixed_priors.items():
        some = layout.place(name)
        fixed[:, some] = prior.draw(rng, n_draws * (some.stop - some.start)).reshape(n_draws, -1)
    sd = np.column_stack([np.empty((n_draws, 0)), *(prior.draw(rng, n_draws) for prior in density.sd_priors)])
    free = np.empty((n_draws, layout.n_free))
    for block, (_, _, own), concentration in zip(
        layout.vector_blocks, layout.vector_places, density.concentrations, strict=True
    ):
        free[:, own] = draw_lkj(rng, block.n_terms, concentration, n_draws)
    return Natural(fixed, _random_effects(density, sd, free, rng), sd, free)


def _random_effects(density: LogPosterior, sd: FloatArray, free: FloatArray, rng: np.random.Generator) -> FloatArray:
    layout = density.layout
    random = rng.normal(size=(len(sd), layout.n_random))
    random[:, : layout.n_scalar] *= sd[:, layout.sd_index] * layout.scale
    for block, (some, sds, own) in zip(layout.vector_blocks, layout.vector_places, strict=True):
        factor = cholesky_factor(free[:, own], block.n_terms) * sd[:, sds, None]
        z = random[:, some].reshape(len(sd), block.n_levels, block.n_terms)
        random[:, some] = np.einsum("dab,dgb->dga", factor, z).reshape(len(sd), -1)
    return random
