"""Hazards of many configurations at once: each a gamma posterior, the thin ones held by a log-linear model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from churnsurv._typing import FloatArray, IntArray
from churnsurv._validate import check_count, check_rng
from churnsurv.errors import ArgumentError, NoEventsError

if TYPE_CHECKING:
    from scipy.sparse import csr_array

_GRID = np.geomspace(0.04, 4.0, 25)
"""Standard deviations of the cells' own factors that are weighed against each other, as multiples of their prior's scale."""

_FEW = 5
"""Clusters in a cell below which their weights say too little of its spread: they cancel where there is one."""

_STEPS = 60
_CLOSE = 1e-9
_LARGEST_STEP = 2.0
"""No linear predictor moves further in one Newton step: further out the quadratic says nothing of the density."""


@dataclass(frozen=True, kw_only=True)
class ConfigurationHazardModel:
    r"""Constant hazard in each cell, a gamma factor around a log-linear model, learnt from events and exposure.

    Cell *c* is one configuration of causes in one period of the clock, with *d* events in *E* days at risk:

    .. math:: d_c \sim \text{Poisson}(E_c \lambda_c), \quad \lambda_c = u_c \, e^{x_c^\top \theta}, \quad
              u_c \sim \text{Gamma}(\kappa, \kappa), \quad \theta_p \sim N(m_p, s_p^2), \quad
              \kappa^{-1/2} \sim \text{half-normal}(\tau)

    Given :math:`\theta` and :math:`\kappa` the posterior is :math:`\lambda_c \sim \text{Gamma}(\kappa + d_c, \kappa
    e^{-x_c^\top\theta} + E_c)`: a cell with many events speaks for itself, a cell seen twice says what the log-linear model
    says of its like.

    Customers with several spells are clusters. Each draw weighs every cluster by an exponential number, the Bayesian
    bootstrap [1]_: the weighted events of cells in which each customer had one event at most are then exactly
    :math:`\text{Gamma}(d_c, 1)`, the term of the posterior above, and the posterior is the hierarchical one to first order;
    where customers repeat themselves it is as wide as between-customer differences make it, in every cell and across cells.
    The effects are refitted in each draw to the weighted cells (the weighted-likelihood bootstrap [2]_, penalised by the
    prior), with the noise of the factors that keeps them from being surer than the hierarchical model is.

    Parameters
    ----------
    deviation_sd : float
        Scale :math:`\tau` of the half-normal prior on the standard deviation of the cells' factors, > 0.

    References
    ----------
    .. [1] Rubin, D. B. (1981). The Bayesian bootstrap. *Annals of Statistics*, 9, 130–134.
    .. [2] Newton, M. A. and Raftery, A. E. (1994). Approximate Bayesian inference with the weighted likelihood bootstrap.
       *Journal of the Royal Statistical Society B*, 56, 3–48.
    """

    deviation_sd: float = 0.5

    def __post_init__(self) -> None:
        """Check the settings once."""
        if not 0 < self.deviation_sd < np.inf:
            raise ArgumentError(
                f"deviation_sd={self.deviation_sd!r} is not a positive number.", hint="write deviation_sd=0.5."
            )

    def fit(
        self,
        events: csr_array[Any],
        exposure: csr_array[Any],
        design: FloatArray,
        *,
        mean: FloatArray,
        sd: FloatArray,
        weights: FloatArray,
        rng: int | np.random.Generator = 0,
    ) -> ConfigurationHazardFit:
        """Draw the hazards.

        Cost: one sparse product of draws × entries, and per Newton step one dense product of draws × cells × columns².

        Parameters
        ----------
        events, exposure : sparse array of shape (n_clusters, n_cells)
            Events and days at risk of each cluster of customers in each cell.
        design : array of shape (n_cells, n_columns)
            Log-linear model; cells without exposure are allowed and get what the model says of them.
        mean, sd : array of shape (n_columns,)
            Normal prior of each coefficient.
        weights : array of shape (n_draws, n_clusters)
            Weight of each cluster in each draw, exponential with mean 1.
        rng : int or numpy.random.Generator
            Source of the rest of the randomness.

        Returns
        -------
        ConfigurationHazardFit
            Draws of the hazards of all cells.

        Raises
        ------
        NoEventsError
            If there is no event.
        """
        generator, n_draws = check_rng(rng), check_count(len(weights), "n_draws")
        total, spent = np.asarray(events.sum(axis=0)).ravel(), np.asarray(exposure.sum(axis=0)).ravel()
        if total.sum() == 0:
            raise NoEventsError("there is no event in any cell.", hint="use a longer window or another cause.")
        prior = _Prior(np.asarray(mean, float), 1.0 / np.asarray(sd, float) ** 2)
        seen = np.flatnonzero(spent > 0)
        cells = _Cells(total[seen], spent[seen], np.ascontiguousarray(design[seen]))
        grid = _GRID * self.deviation_sd
        share, modes = _weigh_deviations(cells, prior, grid)
        deviation = _draw_deviation(share, grid, n_draws, generator)
        own = generator.standard_gamma(np.broadcast_to(deviation[:, None] ** -2, (n_draws, len(total))))
        weighed = _weighed(events, exposure, weights, generator)
        start = modes[np.argmin(np.abs(grid[None, :] - deviation[:, None]), axis=1)]
        inside = weighed[0][:, seen], weighed[1][:, seen]
        coefficients = _refit(cells, prior, inside, own[:, seen], deviation, start, generator)
        kappa = deviation[:, None] ** -2
        hazard = (weighed[0] + own) / (weighed[1] + kappa * np.exp(-coefficients @ design.T))
        return ConfigurationHazardFit(hazard, coefficients, deviation, total, spent)


@dataclass(frozen=True, eq=False)
class ConfigurationHazardFit:
    """Posterior draws of the hazards of cells.

    Parameters
    ----------
    hazard : array of shape (n_draws, n_cells)
        Events a day.
    coefficients : array of shape (n_draws, n_columns)
        Of the log-linear model.
    deviation : array of shape (n_draws,)
        Standard deviation of the cells' factors around it.
    n_events, exposure : array of shape (n_cells,)
        What was learnt from.
    """

    hazard: FloatArray
    coefficients: FloatArray
    deviation: FloatArray
    n_events: FloatArray
    exposure: FloatArray


def _weighed(
    events: csr_array[Any], exposure: csr_array[Any], weights: FloatArray, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Events and exposure of each draw; in cells of a few clusters each event has a weight of its own."""
    drawn, spent = np.array((events.T @ weights.T).T), np.array((exposure.T @ weights.T).T)
    few = np.flatnonzero(np.diff(exposure.tocsc().indptr) < _FEW)
    total = np.asarray(events.sum(axis=0)).ravel()[few]
    drawn[:, few] = rng.standard_gamma(np.broadcast_to(total, (len(weights), len(few))))
    spent[:, few] = np.asarray(exposure.sum(axis=0)).ravel()[few]
    return drawn, spent


@dataclass(frozen=True, eq=False)
class _Prior:
    mean: FloatArray
    precision: FloatArray


@dataclass(frozen=True, eq=False)
class _Cells:
    """Cells with exposure."""

    events: FloatArray
    exposure: FloatArray
    design: FloatArray

    def score(self, theta: FloatArray, kappa: float) -> tuple[FloatArray, FloatArray]:
        """Derivative of the negative binomial log density by the linear predictor, and its expected curvature."""
        expected = self.exposure * np.exp(self.design @ theta)
        shrunk = kappa / (kappa + expected)
        return shrunk * (self.events - expected), shrunk * expected

    def log_density(self, theta: FloatArray, kappa: float) -> float:
        """Log density of the events, the cells' factors integrated out."""
        from scipy.special import gammaln

        eta = self.design @ theta
        expected = self.exposure * np.exp(eta)
        d = self.events
        terms = (
            gammaln(kappa + d) - gammaln(kappa) + d * eta - d * np.log(kappa) - (kappa + d) * np.log1p(expected / kappa)
        )
        return float(terms.sum())


def _mode(cells: _Cells, prior: _Prior, kappa: float, start: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mode of the coefficients given the spread of the cells, and the curvature there; Fisher scoring."""
    theta = start.copy()
    for _ in range(_STEPS):
        score, weight = cells.score(theta, kappa)
        gradient = cells.design.T @ score - prior.precision * (theta - prior.mean)
        curvature = (cells.design.T * weight) @ cells.design + np.diag(prior.precision)
        step = np.linalg.solve(curvature, gradient)
        step *= min(1.0, _LARGEST_STEP / max(float(np.abs(cells.design @ step).max()), 1e-12))
        theta += step
        if np.abs(step).max() < _CLOSE:
            break
    return theta, curvature


def _weigh_deviations(cells: _Cells, prior: _Prior, grid: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Posterior weight of each standard deviation on the grid, by Laplace's method in the rest, and the modes."""
    theta = prior.mean.copy()
    found, modes = np.zeros(len(grid)), np.zeros((len(grid), len(theta)))
    for k, deviation in enumerate(grid):
        theta, curvature = _mode(cells, prior, deviation**-2.0, theta)
        modes[k] = theta
        found[k] = (
            cells.log_density(theta, deviation**-2.0)
            - 0.5 * float(prior.precision @ (theta - prior.mean) ** 2)
            - 0.5 * float(np.linalg.slogdet(curvature)[1])
            - 0.5 * _GRID[k] ** 2
        )
    return np.exp(found - found.max()), modes


def _draw_deviation(density: FloatArray, grid: FloatArray, n_draws: int, rng: np.random.Generator) -> FloatArray:
    """Draws by the inverse of the distribution function of a density that is linear between the points of the grid."""
    area = np.concatenate([[0.0], np.cumsum(np.diff(grid) * (density[1:] + density[:-1]) / 2)])
    return np.asarray(np.interp(rng.random(n_draws) * area[-1], area, grid))


def _refit(
    cells: _Cells,
    prior: _Prior,
    weighed: tuple[FloatArray, FloatArray],
    own: FloatArray,
    deviation: FloatArray,
    start: FloatArray,
    rng: np.random.Generator,
) -> FloatArray:
    r"""Coefficients of each draw, shape (n_draws, n_columns), from its weighted cells.

    Solves, for each draw, with :math:`k_c = \kappa / (\kappa + E_c\hat\mu_c)`, the weight of a cell in the negative
    binomial likelihood, and :math:`g_c` the gamma number of the cell's own factor,

    .. math:: X^\top k \{d^{(b)} - E^{(b)}\mu \, g / \kappa\} = \Lambda(\theta - m - z)

    The factor :math:`g / \kappa` has the variance that the cells' own factors add to their events. It is what the
    hierarchical posterior says: of cells with many events and one common level it gives :math:`\mu = \kappa \sum_c
    \lambda_c / \text{Gamma}(J\kappa)`, the conditional distribution of the level given the hazards. The same number
    stands in the cell's hazard, where more of it means less of the level, as there.
    """
    design, kappa = cells.design, deviation[:, None] ** -2
    fitted = cells.exposure * np.exp(start @ design.T)
    shrunk = kappa / (kappa + fitted)
    target = shrunk * weighed[0]
    centre = prior.mean + rng.standard_normal(start.shape) / np.sqrt(prior.precision)
    slope = shrunk * weighed[1] * own / kappa
    pairs = (design[:, :, None] * design[:, None, :]).reshape(len(design), -1)
    theta, p = start.copy(), start.shape[1]
    for _ in range(_STEPS):
        expected = slope * np.exp(theta @ design.T)
        gradient = (target - expected) @ design - prior.precision * (theta - centre)
        curvature = (expected @ pairs).reshape(-1, p, p) + np.diag(prior.precision)
        step = np.linalg.solve(curvature, gradient[..., None])[..., 0]
        largest = np.abs(step @ design.T).max(axis=1, keepdims=True)
        step *= np.minimum(1.0, _LARGEST_STEP / np.maximum(largest, 1e-12))
        theta += step
        if np.abs(step).max() < 1e-6:
            break
    return np.asarray(theta)


def log_linear_design(codes: IntArray, n_levels: IntArray) -> FloatArray:
    """One column for all, and one for each level of each column: exchangeable around it under a normal prior.

    Parameters
    ----------
    codes : array of shape (n_cells, n_columns)
        Levels.
    n_levels : array of shape (n_columns,)
        How many each column has.

    Returns
    -------
    array of shape (n_cells, 1 + n_levels.sum())
        Zeros and ones.

    Examples
    --------
    >>> log_linear_design(np.array([[0, 1], [1, 0]]), np.array([2, 2]))
    array([[1., 1., 0., 0., 1.],
           [1., 0., 1., 1., 0.]])
    """
    parts = [np.ones((len(codes), 1))]
    parts += [np.eye(int(n))[codes[:, k]] for k, n in enumerate(n_levels)]
    return np.concatenate(parts, axis=1)
