"""Brier score of predictions against that of the curve that ignores covariates."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from churnsurv._typing import FloatArray
from churnsurv._validate import as_floats
from churnsurv.hazards.scoring.censoring_weights import GivenCensoring, mean_with_influence
from churnsurv.hazards.scoring.integrated_scores import trapezoid_weights
from churnsurv.hazards.scoring.outcomes import read_probabilities
from churnsurv.hazards.scoring.predictions import (
    Predictions,
    observed_risk,
    read_predictions,
    spread_of,
    squared_error,
)


@dataclass(frozen=True, eq=False, repr=False)
class BrierSkill:
    """Share of the reference's Brier score that the predictions save.

    Made by :func:`brier_skill`. Arrays have shape (n_times,).

    Parameters
    ----------
    times : array
        Moments.
    skill : array
        1 - score / reference: 1 perfect, 0 as good as the reference, negative worse. NaN where not supported
        or where the reference makes no error.
    standard_error : array
        Of ``skill``.
    score, reference_score : array
        The two Brier scores.
    reference_risk : array
        Observed probability of the event by each time, which the reference predicts for everybody; NaN where
        the caller brought a reference.
    integrated, integrated_standard_error : float
        Skill of the integrated scores, all times weighted equally; NaN with fewer than two supported times.
    """

    times: FloatArray
    skill: FloatArray
    standard_error: FloatArray
    score: FloatArray
    reference_score: FloatArray
    reference_risk: FloatArray
    integrated: float
    integrated_standard_error: float

    def __repr__(self) -> str:
        """Return one line."""
        told = ", ".join(f"{t:g}: {s:.3f}" for t, s in zip(self.times[:4], self.skill[:4], strict=True))
        return f"BrierSkill({told}{', …' if len(self.times) > 4 else ''}; integrated {self.integrated:.3f})"


def _reference(given: Predictions, reference: object) -> tuple[Predictions, FloatArray]:
    n_times = len(given.outcomes.times)
    if reference is None:
        observed = observed_risk(given)
        filled = np.where(np.isnan(observed), 0.0, observed)
        return replace(given, risk=np.broadcast_to(filled, given.risk.shape)), observed
    values = as_floats(reference, "reference")
    if values.shape == (n_times,):
        values = np.broadcast_to(values, (given.outcomes.n_given, n_times))
    found = read_probabilities(values, "reference", given.outcomes)
    return replace(given, risk=1.0 - found if given.cause is None else found), np.full(n_times, np.nan)


def _pair(given: Predictions, other: Predictions, position: int) -> tuple[float, float, FloatArray, FloatArray]:
    """Both scores at one time and their influences."""
    outcomes = given.outcomes
    happened = outcomes.happened(outcomes.times[position], given.cause)
    own, change = mean_with_influence(
        outcomes, given.weighting, position, squared_error(happened, given.risk[:, position])
    )
    base, base_change = mean_with_influence(
        outcomes, given.weighting, position, squared_error(happened, other.risk[:, position])
    )
    return own, base, change, base_change


def _ratio(
    given: Predictions, own: float, base: float, change: FloatArray, base_change: FloatArray
) -> tuple[float, float]:
    """Skill and its standard error by the delta method; NaN where the reference makes no error."""
    if not base > 0:
        return np.nan, np.nan
    return 1.0 - own / base, spread_of(given.outcomes, change / base - own * base_change / base**2)


def brier_skill(
    time: object,
    event: object,
    times: object,
    *,
    survival: object = None,
    incidence: object = None,
    cause: int | None = None,
    reference: object = None,
    entry: object = None,
    weight: object = None,
    start: float = 0.0,
    groups: object = None,
    censoring: GivenCensoring | None = None,
) -> BrierSkill:
    r"""Share of the reference's Brier score that the predictions save, also known as scaled Brier score or IPA.

    .. math:: 1 - \frac{\hat B(t)}{\hat B_0(t)}

    The reference predicts for everybody what was observed of these same customers from ``start``: one minus
    Kaplan–Meier, or the Aalen–Johansen incidence of the cause. It was never available in advance, so a skill of
    0 is not nothing. That the reference is estimated adds nothing to the standard error: it is where its score
    is smallest, and the derivative is 0.

    Parameters
    ----------
    time, event, times, survival, incidence, cause, entry, weight, start, groups, censoring
        As in :func:`~churnsurv.hazards.scoring.brier.brier_score`.
    reference : array-like of shape (n_times,) or (n, n_times), optional
        Predictions to compare with instead, of the same kind as those given: survival, or incidence.

    Returns
    -------
    BrierSkill
        Per time, and integrated.

    Raises
    ------
    ArgumentError, MissingValueError, NonFiniteError, DataTypeError, HorizonError, EmptyDataError
        As ``brier_score``.

    References
    ----------
    .. [1] Kattan, M. W. and Gerds, T. A. (2018). The index of prediction accuracy: an intuitive measure useful
       for evaluating risk prediction models. *Diagnostic and Prognostic Research*, 2:7.

    Examples
    --------
    A half for everybody, where of four three quarters of a half and a half are seen:

    >>> found = brier_skill([1, 2, 3, 4], [1, 0, 1, 0], [2], survival=[0.25, 0.75, 0.75, 0.75])
    >>> found.reference_risk, found.skill.round(4)
    (array([0.25]), array([0.6667]))
    """
    given = read_predictions(
        time, event, times, survival=survival, incidence=incidence, cause=cause,
        entry=entry, weight=weight, start=start, groups=groups, censoring=censoring,
    )  # fmt: skip
    other, observed = _reference(given, reference)
    supported = given.weighting.supported
    steps = trapezoid_weights(given.outcomes.times, supported)
    told = np.full((4, len(supported)), np.nan)
    total, base_total = 0.0, 0.0
    change, base_change = np.zeros(len(given.outcomes.time)), np.zeros(len(given.outcomes.time))
    for j in np.flatnonzero(supported):
        own, base, own_part, base_part = _pair(given, other, int(j))
        told[:, j] = own, base, *_ratio(given, own, base, own_part, base_part)
        total, base_total = total + steps[j] * own, base_total + steps[j] * base
        change += steps[j] * own_part
        base_change += steps[j] * base_part
    whole = _ratio(given, total, base_total, change, base_change)
    return BrierSkill(given.outcomes.times, told[2], told[3], told[0], told[1], observed, *whole)
