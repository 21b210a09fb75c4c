"""Observed over expected events: by a horizon, or by the cumulative hazard each customer ran."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from churnsurv._typing import FloatArray
from churnsurv._validate import as_floats, check_ci_prob, refuse, same_length
from churnsurv.errors import ArgumentError
from churnsurv.hazards.scoring.horizon_outcomes import HorizonOutcomes
from churnsurv.hazards.scoring.outcomes import check_cause, read_weight
from churnsurv.hazards.steps import normal_quantile


@dataclass(frozen=True, eq=False, repr=False)
class ObservedExpected:
    """Events observed against events expected.

    Parameters
    ----------
    observed : float
        Events, or under censoring their estimated number had nobody been censored.
    expected : float
        Sum of what was predicted.
    ratio : float
        Observed over expected: above 1 more happened than was predicted. NaN where nothing was expected.
    lower, upper : float
        Interval of the ratio.
    standard_error : float
        Of the ratio.
    n_impossible : float
        Events, with their frequencies, of customers of whom none was expected.
    ci_prob : float
        Probability that the interval covers.
    ci_kind : {"poisson", "log"}
        Exact Poisson interval, or symmetric in the logarithm of the ratio.
    """

    observed: float
    expected: float
    ratio: float
    lower: float
    upper: float
    standard_error: float
    n_impossible: float
    ci_prob: float
    ci_kind: str

    def __repr__(self) -> str:
        """Return one line."""
        return (
            f"ObservedExpected({self.observed:.4g} observed, {self.expected:.4g} expected, ratio {self.ratio:.3g} "
            f"[{self.lower:.3g}, {self.upper:.3g}])"
        )


def poisson_bounds(count: float, ci_prob: float) -> tuple[float, float]:
    """Exact bounds on the mean of a Poisson count.

    Parameters
    ----------
    count : float
        Observed number, >= 0.
    ci_prob : float
        Probability that the interval covers at least.

    Returns
    -------
    lower, upper : float
        The lower one is 0 where nothing was observed.

    References
    ----------
    .. [1] Garwood, F. (1936). Fiducial limits for the Poisson distribution. *Biometrika*, 28, 437–442.

    Examples
    --------
    >>> [round(bound, 3) for bound in poisson_bounds(10, 0.95)]
    [4.795, 18.39]
    """
    from scipy.special import gammaincinv

    tail = (1 - ci_prob) / 2
    lower = float(gammaincinv(count, tail)) if count > 0 else 0.0
    return lower, float(gammaincinv(count + 1, 1 - tail))


def observed_expected(probability: object, outcomes: HorizonOutcomes, *, ci_prob: float = 0.90) -> ObservedExpected:
    """Observed over expected events by a horizon: calibration in the large.

    With everybody's state known the interval is the exact Poisson one: too wide where risks are high, as zeros and
    ones vary less than counts. Under censoring the observed number is n times one minus Kaplan–Meier (or the
    Aalen–Johansen incidence), and the interval comes from the spread of pseudo-values less predictions.

    Parameters
    ----------
    probability : array-like of shape (n,)
        Predicted probability of the event by the horizon, one per row given to the outcomes.
    outcomes : HorizonOutcomes
        What happened.
    ci_prob : float
        Probability that the interval covers.

    Returns
    -------
    ObservedExpected
        Where nothing was expected the ratio and its bounds are NaN, and ``n_impossible`` says whether events
        happened all the same.

    Raises
    ------
    ArgumentError, MissingValueError, NonFiniteError, DataTypeError
        If a probability lies outside [0, 1], or an argument is wrong.

    References
    ----------
    .. [1] Debray, T. P. A. et al. (2017). A guide to systematic review and meta-analysis of prediction model
       performance. *BMJ*, 356, i6460.

    Examples
    --------
    >>> from churnsurv.hazards.scoring.horizon_outcomes import known_outcomes
    >>> observed_expected([0.25] * 8, known_outcomes([1, 1, 1, 0, 0, 0, 0, 0]))
    ObservedExpected(3 observed, 2 expected, ratio 1.5 [0.409, 3.88])
    """
    prob = check_ci_prob(ci_prob)
    risk = outcomes.predictions(probability)
    mass = outcomes.weight * outcomes.ipcw
    scale = outcomes.weight.sum() / mass.sum()
    observed, expected = scale * float(mass @ outcomes.value), scale * float(mass @ risk)
    happened = outcomes.value if outcomes.source is None else outcomes.source.happened(outcomes.horizon, outcomes.cause)
    impossible = float(outcomes.weight[(happened > 0) & (risk <= 0)].sum())
    if not expected > 0:
        nothing = np.nan
        return ObservedExpected(observed, 0.0, nothing, nothing, nothing, nothing, impossible, prob, "poisson")
    ratio = observed / expected
    residual = scale * outcomes.ipcw * (outcomes.value - ratio * risk)
    error = float(np.sqrt(np.sum(outcomes.weight * residual**2))) / expected
    if outcomes.known or observed <= 0 or error <= 0:
        # With no event at all only those whose state is known speak.
        lower, upper = poisson_bounds(max(observed, 0.0), prob)
        lower, upper, kind = lower / expected, upper / (expected * outcomes.known_share), "poisson"
    else:
        factor = float(np.exp(normal_quantile(prob) * error / ratio))
        lower, upper, kind = ratio / factor, ratio * factor, "log"
    return ObservedExpected(observed, expected, ratio, lower, upper, error, impossible, prob, kind)


def observed_expected_hazard(
    cumulative_hazard: object,
    event: object,
    *,
    cause: int | None = None,
    weight: object = None,
    ci_prob: float = 0.90,
) -> ObservedExpected:
    r"""Observed events over the cumulative hazard that each customer ran while observed.

    .. math:: \frac{\sum_i 1\{\text{event}_i\}}{\sum_i \hat H_i(\text{exit}_i) - \hat H_i(\text{entry}_i)}

    Events less that sum are a martingale under the true model, whatever the entries and the censoring were, as long
    as neither knew the future: no landmark, no weights, no horizon. Given the ratio the events count like a Poisson
    number, so the interval is the exact Poisson one.

    Parameters
    ----------
    cumulative_hazard : array-like of shape (n,)
        Predicted rise of the cumulative hazard from entry to exit, >= 0; of ``cause`` where that is given. With
        hazards of whole periods, the sum of the periods' probabilities.
    event : array-like of shape (n,)
        0 censored, 1…K the cause.
    cause : int, optional
        Cause counted; any event by default.
    weight : array-like of shape (n,), optional
        Frequencies > 0.
    ci_prob : float
        Probability that the interval covers.

    Returns
    -------
    ObservedExpected
        The standard error is that of a Poisson number.

    Raises
    ------
    ArgumentError, MissingValueError, NonFiniteError, DataTypeError, EmptyDataError
        If a hazard is negative or infinite, or an argument is wrong.

    References
    ----------
    .. [1] Andersen, P. K., Borgan, Ø., Gill, R. D. and Keiding, N. (1993). *Statistical Models Based on Counting
       Processes*, section VI.3. Springer.

    Examples
    --------
    >>> observed_expected_hazard([0.5, 1.0, 0.5], [1, 1, 0])
    ObservedExpected(2 observed, 2 expected, ratio 1 [0.178, 3.15])
    """
    prob, which = check_ci_prob(ci_prob), check_cause(cause)
    ran, codes = as_floats(cumulative_hazard, "cumulative_hazard", ndim=1), as_floats(event, "event", ndim=1)
    frequency = read_weight(weight, same_length({"cumulative_hazard": ran, "event": codes}))
    refuse(
        ArgumentError,
        ran < 0,
        "are negative.",
        columns={"cumulative_hazard": ran},
        consequence="A cumulative hazard does not fall.",
        hint="pass H(exit) - H(entry).",
    )
    refuse(
        ArgumentError,
        (codes < 0) | (codes != np.rint(codes)),
        "are no codes of causes.",
        columns={"event": codes},
        hint="0 is censored, 1…K the cause.",
    )
    counted = codes > 0 if which is None else codes == which
    return _of_counts(counted.astype(np.float64), ran, frequency, prob)


def _of_counts(counted: FloatArray, expected_each: FloatArray, weight: FloatArray, prob: float) -> ObservedExpected:
    observed, expected = float(weight @ counted), float(weight @ expected_each)
    impossible = float(weight[(counted > 0) & (expected_each <= 0)].sum())
    if not expected > 0:
        return ObservedExpected(observed, 0.0, np.nan, np.nan, np.nan, np.nan, impossible, prob, "poisson")
    lower, upper = poisson_bounds(observed, prob)
    error = float(np.sqrt(observed)) / expected
    return ObservedExpected(
        observed, expected, observed / expected, lower / expected, upper / expected, error, impossible, prob, "poisson"
    )
