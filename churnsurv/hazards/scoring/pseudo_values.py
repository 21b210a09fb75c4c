"""Pseudo-values: what each customer adds to the estimated probability of the event by a time.

With F the Aalen–Johansen incidence of all customers and F_i that of all but i, the pseudo-value is n F - (n - 1) F_i:
0 or 1 without censoring, and with it a number whose mean given the customer's features is the probability.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

import numpy as np

from churnsurv._typing import BoolArray, FloatArray
from churnsurv._validate import check_choice, refuse
from churnsurv.errors import ArgumentError
from churnsurv.hazards.scoring.customer_removal import find_places, find_steps, removal
from churnsurv.hazards.scoring.outcomes import Outcomes, check_cause, read_outcomes

PseudoKind = Literal["jackknife", "infinitesimal"]

SMALL_SHARE = 2.0**-30
"""Share of a customer that is taken away for the derivative: what is left of second order is a billionth."""


@dataclass(frozen=True, eq=False, repr=False)
class PseudoValues:
    """Pseudo-values of the probability of the event by each time.

    Made by :func:`pseudo_values`.

    Parameters
    ----------
    times : array of shape (n_times,)
        Moments.
    values : array of shape (n, n_times)
        One row per customer given. NaN for who had left by the start, and at times that are not supported.
    incidence : array of shape (n_times,)
        Estimate from all customers: one minus Kaplan–Meier, or Aalen–Johansen.
    standard_error : array of shape (n_times,)
        Of ``incidence``, by the (infinitesimal) jackknife.
    supported : array of bool, shape (n_times,)
        Whether the estimate reaches that far.
    """

    times: FloatArray
    values: FloatArray
    incidence: FloatArray
    standard_error: FloatArray
    supported: BoolArray

    def __repr__(self) -> str:
        """Return one line."""
        told = ", ".join(f"{t:g}: {f:.4g}" for t, f in zip(self.times[:4], self.incidence[:4], strict=True))
        return f"PseudoValues({len(self.values)} customers, {told}{', …' if len(self.times) > 4 else ''})"


def pseudo_columns(outcomes: Outcomes, cause: int | None, share: float = 1.0) -> PseudoValues:
    """Pseudo-values of checked outcomes, by taking a share of each customer away; arguments are trusted.

    Parameters
    ----------
    outcomes : Outcomes
        Customers at risk after the start.
    cause : int or None
        Cause, or any event.
    share : float
        1 for the jackknife; a tiny one for the derivative.

    Returns
    -------
    PseudoValues
        Rows are those of ``outcomes``.
    """
    steps = find_steps(outcomes, cause, share)
    places = find_places(outcomes, steps, cause, share)
    n_times, total = len(outcomes.times), outcomes.total
    values = np.full((len(outcomes.time), n_times), np.nan)
    incidence, error = np.full(n_times, np.nan), np.full(n_times, np.nan)
    gone = int(steps.emptied[0]) < len(steps.times)
    supported = (outcomes.times <= steps.times[-1]) | gone
    for j in np.flatnonzero(supported):
        until = int(np.searchsorted(steps.times, outcomes.times[j], side="right"))
        incidence[j] = steps.incidence[min(until, int(steps.emptied[0]) + 1)]
        influence = removal(steps, places, until, share) * ((total - share) / share)
        values[:, j] = incidence[j] + influence
        error[j] = np.sqrt(np.sum(outcomes.weight * influence**2)) / total
    return PseudoValues(outcomes.times, values, incidence, error, supported)


def pseudo_values(
    time: object,
    event: object,
    times: object,
    *,
    cause: int | None = None,
    entry: object = None,
    weight: object = None,
    start: float = 0.0,
    kind: PseudoKind = "jackknife",
) -> PseudoValues:
    r"""Pseudo-values of the probability of the event by each time, in O(n log n) and O(n) per time.

    .. math:: \hat\theta_i(t) = n \hat F(t) - (n - 1) \hat F^{(-i)}(t)

    They stand for the 0 or 1 that censoring hides: regressions, calibration curves and means of them are those of
    the outcomes themselves. They may lie outside [0, 1]. Pseudo-values of survival are one minus these.

    Censoring must not depend on what the regression is on. With late entry neither may the entry [3]_; passing only
    those with ``entry <= start`` avoids the question.

    Parameters
    ----------
    time, event, times, entry, weight, start
        As in :func:`~churnsurv.hazards.scoring.brier.brier_score`, but who enters late counts from the entry on.
    cause : int, optional
        Cause whose incidence is meant; any event by default.
    kind : {"jackknife", "infinitesimal"}
        Each customer (one of ``weight``) taken away, or the derivative by the weight, as in R's
        ``survival::pseudo``: n times the influence plus the estimate. They differ by O(1/n); fractional weights
        need the latter.

    Returns
    -------
    PseudoValues
        Values, and the estimate with its standard error.

    Raises
    ------
    ArgumentError
        Also if weights are not whole numbers with ``"jackknife"``.
    MissingValueError, NonFiniteError, DataTypeError, HorizonError, EmptyDataError
        As ``brier_score``.

    References
    ----------
    .. [1] Andersen, P. K., Klein, J. P. and Rosthøj, S. (2003). Generalised linear models for correlated
       pseudo-observations, with applications to multi-state models. *Biometrika*, 90, 15–27.
    .. [2] Graw, F., Gerds, T. A. and Schumacher, M. (2009). On pseudo-values for regression analysis in competing
       risks models. *Lifetime Data Analysis*, 15, 241–255.
    .. [3] Grand, M. K., Putter, H., Allignol, A. and Andersen, P. K. (2019). A note on pseudo-observations and
       left-truncation. *Biometrical Journal*, 61, 290–298.

    Examples
    --------
    Without the first, half of those at risk at 3 leave: 4 × 5/8 - 3 × 1/2.

    >>> pseudo_values([1, 2, 3, 4], [1, 0, 1, 0], [3]).values[:, 0]
    array([ 1. ,  0.5,  1.5, -0.5])
    """
    form = cast(PseudoKind, check_choice(kind, "kind", ("jackknife", "infinitesimal")))
    which = check_cause(cause)
    outcomes = read_outcomes(time, event, times, entry=entry, weight=weight, start=start, late=True)
    if form == "jackknife":
        refuse(
            ArgumentError,
            outcomes.weight != np.rint(outcomes.weight),
            "are not whole numbers, so that no single customer can be taken away.",
            columns={"weight": outcomes.weight},
            hint='write kind="infinitesimal".',
        )
    found = pseudo_columns(outcomes, which, 1.0 if form == "jackknife" else SMALL_SHARE)
    values = np.full((outcomes.n_given, len(outcomes.times)), np.nan)
    values[outcomes.kept] = found.values
    return PseudoValues(found.times, values, found.incidence, found.standard_error, found.supported)
