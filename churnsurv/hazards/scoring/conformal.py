"""Lower bounds on the time of the event that hold for a stated share of customers, whatever the model."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np

from churnsurv._typing import FloatArray
from churnsurv._validate import as_floats, check_ci_prob, refuse, same_length
from churnsurv.errors import ArgumentError, DataWarning, HorizonError, compose_message
from churnsurv.hazards.scoring.censoring_weights import GivenCensoring, read_weighting
from churnsurv.hazards.scoring.outcomes import Outcomes, read_outcomes, read_probabilities
from churnsurv.hazards.scoring.predicted_curves import ROUNDING, first_reached, incidence_at, predicted_incidence


@dataclass(frozen=True, eq=False)
class ConformalBound:
    """Time before which at most one in so many customers has the event.

    Made by :func:`conformal_lower_bound`.

    Parameters
    ----------
    lower : array of shape (m,)
        Bound on the clock of ``time``, from ``start`` to ``cutoff``.
    level : float
        Predicted probability of an event before the bound, after calibration; without it, it would be
        ``1 - coverage``. 0 if there are too few customers to say anything: all bounds are ``start``.
    coverage : float
        Share of new customers whose event comes at or after their bound, at least.
    cutoff : float
        Bounds end here, because later events were not followed.
    n_calibration : float
        Customers calibrated on, with their frequencies.
    share_at_cutoff : float
        Share of the bounds that the cutoff holds down.
    method : {"known censoring times", "ipcw"}
        How censoring was made up for.
    """

    lower: FloatArray
    level: float
    coverage: float
    cutoff: float
    n_calibration: float
    share_at_cutoff: float
    method: Literal["known censoring times", "ipcw"]


def _calibrated(score: FloatArray, mass: FloatArray, total: float, extra: float, miss: float) -> float:
    """Highest level below which the events, and the new customer with ``extra``, hold no more than ``miss`` of all."""
    order = np.argsort(score, kind="stable")
    ordered = np.append(score[order], np.inf)
    before = np.concatenate([[0.0], np.cumsum(mass[order])])
    first = np.concatenate([[True], ordered[1:] != ordered[:-1]])
    # Rounding of a sum of weights must not cost a customer who is exactly at the limit.
    allowed = first & (before + extra <= miss * (total + extra) * (1 + ROUNDING))
    return min(float(ordered[np.flatnonzero(allowed)[-1]]), 1.0) if allowed.any() else 0.0


def _known_rows(outcomes: Outcomes, censoring_time: object, cutoff: float) -> FloatArray:
    """1 for customers who could be followed to the cutoff, whatever happened to them."""
    until = as_floats(censoring_time, "censoring_time", ndim=1)
    same_length({"time": np.empty(outcomes.n_given), "censoring_time": until})
    until = until[outcomes.kept]
    slack = ROUNDING * outcomes.time
    refuse(
        ArgumentError,
        (until < outcomes.time - slack) | ((outcomes.event == 0) & (until > outcomes.time + slack)),
        "contradict the time: earlier than it, or later though the customer was censored at it.",
        columns={"censoring_time": until, "time": outcomes.time, "event": outcomes.event},
        hint="censoring_time is when follow-up would have ended, also for those who left before.",
    )
    return (until >= cutoff - slack).astype(np.float64)


def _calibration_weights(
    outcomes: Outcomes, censoring_time: object, groups: object, censoring: GivenCensoring | None, cutoff: float
) -> tuple[FloatArray, float]:
    """What each customer's event before the cutoff counts, and what all customers count together."""
    if censoring_time is not None:
        if groups is not None or censoring is not None:
            raise ArgumentError(
                "`censoring_time` is given together with `groups` or `censoring`.",
                column="censoring_time",
                hint="leave censoring_time out where censoring depends on the customer.",
            )
        known = _known_rows(outcomes, censoring_time, cutoff)
        return known, float(outcomes.weight @ known)
    weighting = read_weighting(outcomes, groups, censoring)
    if not weighting.supported[0]:
        raise HorizonError(
            f"in some group everybody was censored before the cutoff, {cutoff:g}.",
            column="cutoff",
            consequence="Events after the last customer followed were not seen and cannot be made up for.",
            hint="write an earlier cutoff.",
        )
    return weighting.at(0), outcomes.total


def _check_cutoff(cutoff: object, outcomes: Outcomes) -> float:
    last = float(min(outcomes.times[-1], outcomes.time.max()))
    if cutoff is None:
        return last
    found = float(as_floats(cutoff, "cutoff", ndim=0))
    if not outcomes.start < found <= last:
        raise HorizonError(
            f"`cutoff`={found:g} is not after the start {outcomes.start:g} and at most {last:g}.",
            column="cutoff",
            consequence="Beyond the last prediction, or the last customer followed, nothing can be calibrated.",
            hint=f"write cutoff={last:g}, or earlier.",
        )
    return found


def conformal_lower_bound(
    time: object,
    event: object,
    survival: object,
    new_survival: object,
    times: object,
    *,
    coverage: float = 0.90,
    cutoff: float | None = None,
    entry: object = None,
    weight: object = None,
    start: float = 0.0,
    censoring_time: object = None,
    groups: object = None,
    censoring: GivenCensoring | None = None,
) -> ConformalBound:
    r"""Lower bound L(x) on the time T of the event with :math:`\Pr\{T \ge L(x)\} \ge` ``coverage``.

    The model says :math:`\hat F(t \mid x)`. On calibration customers, whom the model has not seen, it is found below which
    level b of :math:`\hat F(T \mid x)` no more than ``1 - coverage`` of all events before ``cutoff`` fall; then

    .. math:: L(x) = \min \bigl\{ \text{cutoff}, \; \inf \{ t : \hat F(t \mid x) \ge b \} \bigr\} .

    A good model makes the bounds late, a bad one early; both hold, on average over customers, not for each kind.

    With ``censoring_time``, when follow-up would have ended for everyone (the end of the window, known also for those
    who left before), calibration uses those who could be followed to the cutoff [1]_. The bound is then exact in any
    number of customers: coverage lies between the nominal and 1 / (n + 1) above it as long as few bounds reach
    the cutoff.

    Without it, events weigh by the inverse probability of not being censored before them, so that each bound needs
    customers followed only up to itself, the idea of the adaptive cutoffs of [2]_. The guarantee holds up to the error
    of the weights. The new customer counts with the largest weight, which errs on the safe side.

    Parameters
    ----------
    time, event : array-like of shape (n,)
        Days to event or censoring, and 0 or 1…K, of calibration customers; any cause counts.
    survival : array-like of shape (n, k)
        Their predicted probabilities of no event by ``times[j]``, given none until ``start``; straight in between.
    new_survival : array-like of shape (m, k)
        The same of new customers.
    times : array-like of shape (k,)
        Moments on the clock, increasing, after ``start``.
    coverage : float
        Share of new customers for whom the bound must hold.
    cutoff : float, optional
        Latest bound. ``None``: the last of ``times``, or of the calibration customers' times if that is earlier.
    entry, weight, start
        As in :func:`~churnsurv.hazards.scoring.censoring.ipcw_weights`: those at risk at the start are calibrated on.
    censoring_time : array-like of shape (n,), optional
        When each customer's follow-up would have ended; equal to ``time`` for the censored.
    groups, censoring
        How censoring depends on the customer, as there, with ``cutoff`` the only time. Not with ``censoring_time``.

    Returns
    -------
    ConformalBound
        One bound per new customer.

    Raises
    ------
    ArgumentError, MissingValueError, NonFiniteError, DataTypeError, EmptyDataError
        Whatever is wrong with an argument.
    HorizonError
        If the cutoff lies beyond what was predicted or followed.

    Warns
    -----
    DataWarning
        If there are too few customers for the coverage asked: all bounds are then ``start``.

    Notes
    -----
    Assumed: calibration and new customers are exchangeable (drawn alike; not so if the market has moved), and
    censoring does not depend on the time of the event: at all with ``censoring_time`` and by default, given the
    customer with ``groups`` or ``censoring``. Several rows of one customer are not exchangeable; keep one.

    References
    ----------
    .. [1] Candès, E., Lei, L. and Ren, Z. (2023). Conformalized survival analysis. *JRSS B*, 85, 24–45, algorithm 1.
    .. [2] Gui, Y., Hore, R., Ren, Z. and Barber, R. F. (2024). Conformalized survival analysis with adaptive cut-offs.
       *Biometrika*, 111, 459–477.

    Examples
    --------
    Nine customers, all followed: of these and the new one, one in ten, a single one may be missed.

    >>> curve = np.exp(-np.arange(1, 13) / 4)
    >>> found = conformal_lower_bound(range(1, 10), [1] * 9, [curve] * 9, [curve], range(1, 13))
    >>> found.lower.round(6), round(found.level, 4)
    (array([1.]), 0.2212)
    """
    share = check_ci_prob(coverage)
    outcomes = read_outcomes(time, event, times, entry=entry, weight=weight, start=start)
    grid = np.concatenate([[outcomes.start], outcomes.times])
    if outcomes.times[0] <= outcomes.start:
        raise HorizonError(
            f"`times` begins at the start, {outcomes.start:g}.",
            column="times",
            hint="leave the start out: survival is 1 there.",
        )
    fitted = predicted_incidence(read_probabilities(survival, "survival", outcomes), "survival")
    fresh = predicted_incidence(_new_curves(new_survival, len(outcomes.times)), "new_survival")
    last = _check_cutoff(cutoff, outcomes)
    at_cutoff = read_outcomes(time, event, [last], entry=entry, weight=weight, start=start)
    ipcw, total = _calibration_weights(at_cutoff, censoring_time, groups, censoring, last)
    seen = (outcomes.event > 0) & (outcomes.time < last) & (ipcw > 0)
    score, mass = incidence_at(fitted, grid, outcomes.time)[seen], (outcomes.weight * ipcw)[seen]
    extra = float(np.max(ipcw[seen], initial=1.0))
    level = _calibrated(score, mass, total, extra, 1 - share)
    if extra > (1 - share) * (total + extra) * (1 + ROUNDING):
        _warn_too_few(total, share)
    free = first_reached(fresh, grid, level)
    # A customer exactly on the bound is covered, and must not be lost to rounding.
    lower = outcomes.start + (np.minimum(free, last) - outcomes.start) * (1 - ROUNDING)
    return ConformalBound(
        lower=lower,
        level=level,
        coverage=share,
        cutoff=last,
        n_calibration=total,
        share_at_cutoff=float(np.mean(free >= last)),
        method="ipcw" if censoring_time is None else "known censoring times",
    )


def _new_curves(values: object, n_times: int) -> FloatArray:
    found = as_floats(values, "new_survival")
    if found.ndim != 2 or found.shape[1] != n_times:
        raise ArgumentError(
            f"`new_survival` has shape {found.shape}; it needs (m, {n_times}): customers by times.",
            column="new_survival",
            hint="predict at the times of the calibration customers.",
        )
    return found


def _warn_too_few(n: float, coverage: float) -> None:
    warnings.warn(
        compose_message(
            f"{n:g} calibration customers are too few for a coverage of {coverage:g}: all bounds are the start.",
            rows=[],
            count=None,
            consequence="Not even the earliest event may be missed, so nothing later can be promised.",
            hint=f"use at least {math.ceil(1 / (1 - coverage) - 1 - ROUNDING)} customers, or a lower coverage.",
        ),
        DataWarning,
        stacklevel=3,
    )
