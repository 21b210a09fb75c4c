"""A normal approximation of the posterior, corrected by importance weights, and what tells whether that is enough."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from churnsurv._typing import FloatArray
from churnsurv.models.hierarchical.mode import Mode

K_LIMIT = 0.7
"""Pareto-k̂ above which importance weights cannot be relied upon (Vehtari et al. 2024)."""
_NOTHING = -700.0
"""Log weight of a draw that does not count."""
_AT_ONCE = 64
"""Draws weighed together: a customer's cells are read once for all of them."""
_DF = 30.0
"""Degrees of freedom of the proposal: tails a little heavier than a normal's keep the weights bounded."""


@dataclass(frozen=True, eq=False)
class Approximation:
    """Draws of an approximation after importance resampling.

    Parameters
    ----------
    position : array of shape (1, n_draws, n_positions)
        Draws; some stand there several times.
    pareto_k : float
        Shape of the tail of the importance weights: below 0.5 good, above 0.7 not to be used.
    ess : float
        Effective number of independent draws that the weights leave.
    """

    position: FloatArray
    pareto_k: float
    ess: float

    def messages(self, ess_limit: float) -> tuple[str, ...]:
        """Sentences for every limit that is broken.

        Parameters
        ----------
        ess_limit : float
            Effective draws that there should be.
        """
        limits = [
            (
                not self.pareto_k <= K_LIMIT,
                f"Pareto-k̂ of the normal approximation is {self.pareto_k:.3f} (limit {K_LIMIT}): the posterior is not near"
                " a normal.",
            ),
            (
                not self.ess >= ess_limit,
                f"the importance weights leave {self.ess:.0f} effective draws (limit {ess_limit:.0f}).",
            ),
        ]
        return tuple(sentence for broken, sentence in limits if broken)


def approximate(mode: Mode, *, seed: int, n_draws: int, report: Callable[[float, str], None]) -> Approximation:
    """Draw from a Student t around the mode, weigh by the density, smooth the weights, and resample.

    Parameters
    ----------
    mode : Mode
        Density, position and metric.
    seed : int
        The same seed gives the same draws.
    n_draws : int
        Draws.
    report : callable
        Told the share done and a sentence.

    References
    ----------
    .. [1] Vehtari, A., Simpson, D., Gelman, A., Yao, Y. and Gabry, J. (2024). Pareto smoothed importance sampling.
       *Journal of Machine Learning Research* 25, 1–58.
    .. [2] Kitagawa, G. (1996). Monte Carlo filter and smoother for non-Gaussian nonlinear state space models.
       *Journal of Computational and Graphical Statistics* 5, 1–25. Systematic resampling.
    """
    from arviz_stats.base import array_stats

    rng, n = np.random.default_rng(seed), len(mode.position)
    noise = rng.normal(size=(n_draws, n))
    stretch = np.sqrt(_DF / rng.chisquare(_DF, n_draws))
    proposals = mode.position + (noise * stretch[:, None]) @ np.linalg.cholesky(mode.covariance).T
    log_proposal = -0.5 * (_DF + n) * np.log1p((stretch**2 * np.sum(noise**2, axis=1)) / _DF)
    values = np.empty(n_draws)
    for start in range(0, n_draws, _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            values[some] = mode.density.log_densities(proposals[some])
        report(min(some.stop, n_draws) / n_draws, "weighing draws of the approximation")
    log_ratio = values - log_proposal
    log_ratio = np.maximum(np.nan_to_num(log_ratio - np.nanmax(log_ratio), nan=_NOTHING), _NOTHING)
    # ArviZ takes log-likelihoods that are to be left out: minus the log weights.
    log_weight, pareto_k = array_stats.psislw(-log_ratio)
    weight = np.exp(log_weight - np.logaddexp.reduce(log_weight))
    place = (np.arange(n_draws) + rng.random()) / n_draws
    chosen = np.minimum(np.searchsorted(np.cumsum(weight), place), n_draws - 1)
    shape = float(pareto_k) if math.isfinite(float(pareto_k)) else math.inf
    return Approximation(proposals[rng.permutation(chosen)][None], shape, 1.0 / float(np.sum(weight**2)))
