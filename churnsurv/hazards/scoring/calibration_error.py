"""Distance of the calibration curve from the diagonal, and how far it is by chance alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from churnsurv._typing import FloatArray
from churnsurv._validate import check_ci_prob, check_count, check_rng
from churnsurv.hazards.scoring.calibration_curve import check_bandwidth, settled
from churnsurv.hazards.scoring.horizon_outcomes import HorizonOutcomes
from churnsurv.hazards.scoring.residual_smoother import Cells, gather, smoother


@dataclass(frozen=True, eq=False, repr=False)
class CalibrationError:
    """Absolute differences between observed and predicted probability, over the customers.

    Made by :func:`calibration_error`.

    Parameters
    ----------
    ici, e50, e90, emax : float
        Mean (integrated calibration index), median, 90 per cent quantile and largest of the differences.
    ici_lower, ici_upper, e50_lower, e50_upper, e90_lower, e90_upper, emax_lower, emax_upper : float
        Intervals.
    null_mean, null_quantile : float
        Mean and 95 per cent quantile of the ICI that predictions exactly right would show on as many customers.
    p_value : float
        Probability of an ICI as large as this one if the predictions are right.
    bandwidth : float
        Of the curve.
    n_scored : float
        Customers, with their frequencies.
    n_draws : int
        Simulated curves behind each number.
    ci_prob : float
        Probability of each interval.
    """

    ici: float
    e50: float
    e90: float
    emax: float
    ici_lower: float
    ici_upper: float
    e50_lower: float
    e50_upper: float
    e90_lower: float
    e90_upper: float
    emax_lower: float
    emax_upper: float
    null_mean: float
    null_quantile: float
    p_value: float
    bandwidth: float
    n_scored: float
    n_draws: int
    ci_prob: float

    def __repr__(self) -> str:
        """Return one line."""
        return (
            f"CalibrationError(ICI {self.ici:.4g} [{self.ici_lower:.4g}, {self.ici_upper:.4g}], "
            f"{self.null_mean:.4g} if exactly right, p={self.p_value:.3g})"
        )


@dataclass(frozen=True, eq=False, repr=False)
class IciNull:
    """Integrated calibration index of predictions that are exactly right.

    Made by :func:`ici_null`.

    Parameters
    ----------
    mean : float
        It is above 0: noise, too, is a difference.
    quantile : float
        95 per cent quantile; a larger ICI is more than noise.
    draws : array of shape (n_draws,)
        Simulated values, sorted.
    """

    mean: float
    quantile: float
    draws: FloatArray

    def __repr__(self) -> str:
        """Return one line."""
        return f"IciNull(mean {self.mean:.4g}, 95% quantile {self.quantile:.4g})"


def _differences(cells: Cells, curves: FloatArray) -> FloatArray:
    """Absolute difference of observed, kept within [0, 1], and predicted; cells on the first axis."""
    risk = cells.risk[:, None]
    found: FloatArray = np.abs(np.clip(risk + curves, 0.0, 1.0) - risk)
    return found


def _summaries(cells: Cells, curves: FloatArray) -> FloatArray:
    """ICI, E50, E90 and Emax of curves of shape (n_cells, n_curves); one row each."""
    gaps = _differences(cells, curves)
    share = cells.count / cells.count.sum()
    order = np.argsort(gaps, axis=0, kind="stable")
    ranked, held = np.take_along_axis(gaps, order, axis=0), np.cumsum(share[order], axis=0)
    places = (np.argmax(held >= level * (1 - 1e-12), axis=0)[None, :] for level in (0.5, 0.9))
    middle = [np.take_along_axis(ranked, place, axis=0)[0] for place in places]
    return np.stack([share @ gaps, *middle, ranked[-1]])


def _null_gaps(cells: Cells, known: bool, n_draws: int, rng: np.random.Generator) -> FloatArray:
    """Sums of outcome less prediction that right predictions would leave, of shape (n_cells, n_draws)."""
    if not known:
        return np.sqrt(cells.noise)[:, None] * rng.standard_normal((len(cells.x), n_draws))
    number = np.maximum(np.rint(cells.count), 1.0)
    events = rng.binomial(number.astype(np.int64)[:, None], cells.risk[:, None], (len(number), n_draws))
    # Frequencies that are not whole numbers carry the noise of the nearest one.
    return (events - (number * cells.risk)[:, None]) * (cells.count / number)[:, None]


def _null(cells: Cells, matrix: FloatArray, known: bool, n_draws: int, rng: np.random.Generator) -> FloatArray:
    draws = _summaries(cells, matrix @ _null_gaps(cells, known, n_draws, rng))[0]
    return np.sort(draws)


def ici_null(
    probability: object,
    outcomes: HorizonOutcomes,
    *,
    bandwidth: float | None = None,
    n_draws: int = 1000,
    rng: int | np.random.Generator = 0,
) -> IciNull:
    """ICI of these same predictions, had they been exactly right: how much of an ICI is noise.

    Outcomes are drawn with the predicted probabilities, and smoothed as the real ones are; under censoring noise
    of the observed variance takes their place.

    Parameters
    ----------
    probability, outcomes, bandwidth
        As in :func:`~churnsurv.hazards.scoring.calibration_curve.calibration_curve`.
    n_draws : int
        Simulated curves.
    rng : int or numpy.random.Generator
        Seed.

    Returns
    -------
    IciNull
        Mean, 95 per cent quantile, draws.

    Raises
    ------
    ArgumentError, MissingValueError, NonFiniteError, DataTypeError
        If an argument is wrong.

    Examples
    --------
    A hundred customers with 0.5: the mean difference is that of a binomial share, about 0.4 / sqrt(100).

    >>> from churnsurv.hazards.scoring.horizon_outcomes import known_outcomes
    >>> round(ici_null([0.5] * 100, known_outcomes([1, 0] * 50)).mean, 2)
    0.04
    """
    width, count = check_bandwidth(bandwidth), check_count(n_draws, "n_draws", minimum=20)
    cells = gather(outcomes.predictions(probability), outcomes, width)
    draws = _null(cells, smoother(cells, cells.x), outcomes.known, count, check_rng(rng))
    return IciNull(float(draws.mean()), float(np.quantile(draws, 0.95)), draws)


def calibration_error(
    probability: object,
    outcomes: HorizonOutcomes,
    *,
    bandwidth: float | None = None,
    ci_prob: float = 0.90,
    n_draws: int = 1000,
    rng: int | np.random.Generator = 0,
) -> CalibrationError:
    r"""Integrated calibration index and its kin: how far the calibration curve lies from the diagonal.

    .. math:: \mathrm{ICI} = \frac{1}{n} \sum_i | \hat o(\hat p_i) - \hat p_i |

    Being a mean of absolute values it is above 0 for a model that is right: about :math:`0.8 \sqrt{p (1 - p) k / n}`
    with a curve of k degrees of freedom. ``null_mean`` and ``null_quantile`` say how much, for these predictions and
    as many customers. The same bias is taken out of the intervals: they are reflected ("basic" bootstrap) from
    curves to which noise of the observed variance was added, and never reach below 0.

    Parameters
    ----------
    probability, outcomes, bandwidth
        As in :func:`~churnsurv.hazards.scoring.calibration_curve.calibration_curve`.
    ci_prob : float
        Probability of each interval.
    n_draws : int
        Simulated curves for intervals, and for predictions exactly right.
    rng : int or numpy.random.Generator
        Seed.

    Returns
    -------
    CalibrationError
        ICI, E50, E90, Emax, and what noise alone would give.

    Raises
    ------
    ArgumentError, MissingValueError, NonFiniteError, DataTypeError
        If an argument is wrong.

    References
    ----------
    .. [1] Austin, P. C., Harrell, F. E. and van Klaveren, D. (2020). Graphical calibration curves and the integrated
       calibration index (ICI) for survival models. *Statistics in Medicine*, 39, 2714–2742.
    .. [2] Davison, A. C. and Hinkley, D. V. (1997). *Bootstrap Methods and Their Application*, section 5.2.

    Examples
    --------
    >>> from churnsurv.hazards.scoring.horizon_outcomes import known_outcomes
    >>> found = calibration_error([0.2] * 10, known_outcomes([1] * 4 + [0] * 6))
    >>> round(found.ici, 3), round(found.emax, 3)
    (0.2, 0.2)
    """
    prob, width = check_ci_prob(ci_prob), check_bandwidth(bandwidth)
    count, draw = check_count(n_draws, "n_draws", minimum=20), check_rng(rng)
    cells = gather(outcomes.predictions(probability), outcomes, width)
    matrix = smoother(cells, cells.x)
    found = _summaries(cells, (matrix @ cells.gap)[:, None])[:, 0]
    null = _null(cells, matrix, outcomes.known, count, draw)
    noise = np.sqrt(settled(cells, outcomes.known).noise)[:, None] * draw.standard_normal((len(cells.x), count))
    shaken = _summaries(cells, matrix @ (cells.gap[:, None] + noise))
    ends = np.quantile(shaken, [(1 + prob) / 2, (1 - prob) / 2], axis=1)
    lower, upper = np.maximum(2 * found - ends, 0.0)
    return CalibrationError(
        ici=float(found[0]),
        e50=float(found[1]),
        e90=float(found[2]),
        emax=float(found[3]),
        ici_lower=float(lower[0]),
        ici_upper=float(upper[0]),
        e50_lower=float(lower[1]),
        e50_upper=float(upper[1]),
        e90_lower=float(lower[2]),
        e90_upper=float(upper[2]),
        emax_lower=float(lower[3]),
        emax_upper=float(upper[3]),
        null_mean=float(null.mean()),
        null_quantile=float(np.quantile(null, 0.95)),
        p_value=float((1 + np.sum(null >= found[0] * (1 - 1e-12))) / (1 + count)),
        bandwidth=cells.bandwidth,
        n_scored=float(outcomes.weight.sum()),
        n_draws=count,
        ci_prob=prob,
    )
