"""Lift and cumulative gain: how many of those who leave are reached by contacting the highest scores first."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from churnsurv._typing import FloatArray
from churnsurv.hazards.scoring.binary_outcomes import flag_top, levels, ratio, read_scored
from churnsurv.hazards.scoring.threshold_curves import roc_curve


@dataclass(frozen=True)
class Lift:
    """What contacting the top reaches. Made by :func:`lift_at`.

    Parameters
    ----------
    n_flagged : float
        Customers contacted, with their frequencies.
    share : float
        The same as a share of all customers, in (0, 1].
    gain : float
        Share of all leavers that are among them, in [0, 1]; NaN if nobody leaves.
    lift : float
        ``gain / share``: how many times better than picking at random; 1 is no better.
    rate, base_rate : float
        Leavers among those contacted, and among all.
    """

    n_flagged: float
    share: float
    gain: float
    lift: float
    rate: float
    base_rate: float


@dataclass(frozen=True, eq=False)
class GainsCurve:
    """Share of leavers reached against share of customers contacted, highest scores first.

    Made by :func:`gains_curve`. Arrays have shape (n_levels + 1,) and start with nobody contacted.

    Parameters
    ----------
    cutoff : array
        Lowest score contacted, falling from infinity.
    share : array
        Share of all customers contacted, from 0 to 1.
    gain : array
        Share of all leavers reached, from 0 to 1; NaN if nobody leaves.
    gini : float
        2 AUC - 1: 0 is no better than random, 1 perfect. With known outcomes it is the area between the curve and
        the diagonal over the same area for a perfect order.
    base_rate : float
        Share of leavers among all.
    """

    cutoff: FloatArray
    share: FloatArray
    gain: FloatArray
    gini: float
    base_rate: float

    def gain_at(self, share: float) -> float:
        """Share of leavers reached by a share of customers; straight where scores are equal, as if by lot.

        Examples
        --------
        >>> gains_curve([1, 1, 0, 0], [0.9, 0.5, 0.5, 0.1]).gain_at(0.5)
        0.75
        """
        return float(np.interp(share, self.share, self.gain))

    def lift(self) -> FloatArray:
        """Gain over share at each cutoff; NaN where nobody is contacted."""
        return np.divide(self.gain, self.share, out=np.full_like(self.gain, math.nan), where=self.share > 0)


def lift_at(
    outcome: object, risk_score: object, top: float = 0.1, *, weight: object = None, ipcw: object = None
) -> Lift:
    """Lift and cumulative gain of contacting the top customers; the top decile unless said otherwise.

    The top is counted in customers, whether their outcome is known or not; what they are worth is estimated from the
    known ones. Customers with equal scores at the border are contacted in part, the expectation over drawing lots:
    the order of the rows does not matter, and a constant score has a lift of exactly 1.

    Parameters
    ----------
    outcome : array-like of shape (n,)
        1 where the event happened by the horizon, else 0; anything of both where it is unknown.
    risk_score : array-like of shape (n,)
        Higher means contacted earlier.
    top : int or float
        An int is a number of customers, a float a share of them in (0, 1].
    weight : array-like of shape (n,), optional
        Frequencies > 0.
    ipcw : array-like of shape (n,), optional
        1 / G where the outcome is known, 0 where it is not
        (:func:`~churnsurv.hazards.scoring.binary_outcomes.outcomes_at`). ``None``: all are known.

    Returns
    -------
    Lift
        At this top.

    Raises
    ------
    ArgumentError, DataTypeError, MissingValueError, NonFiniteError, EmptyDataError
        Whatever is wrong with an argument.

    Examples
    --------
    Of ten customers two leave; the highest two scores hold one of them:

    >>> lift_at([0, 1, 0, 1, 0, 0, 0, 0, 0, 0], [9, 8, 7, 6, 5, 4, 3, 2, 1, 0], top=2).lift
    2.5
    """
    scored = read_scored(outcome, risk_score, "risk_score", weight=weight, ipcw=ipcw)
    flags = flag_top(scored.score, scored.weight, top)
    n_flagged = float(scored.weight @ flags)
    share = n_flagged / float(scored.weight.sum())
    left = scored.mass * scored.outcome
    gain = ratio(float(left @ flags), float(left.sum()))
    return Lift(
        n_flagged=n_flagged,
        share=share,
        gain=gain,
        lift=gain / share,
        rate=ratio(float(left @ flags), float(scored.mass @ flags)),
        base_rate=ratio(float(left.sum()), float(scored.mass.sum())),
    )


def gains_curve(outcome: object, risk_score: object, *, weight: object = None, ipcw: object = None) -> GainsCurve:
    """Cumulative gains at every distinct score, with Gini's coefficient, in O(n log n).

    Parameters
    ----------
    outcome, risk_score, weight, ipcw
        As in :func:`lift_at`.

    Returns
    -------
    GainsCurve
        From nobody contacted to everyone.

    Raises
    ------
    ArgumentError, DataTypeError, MissingValueError, NonFiniteError, EmptyDataError
        Whatever is wrong with an argument.

    Examples
    --------
    >>> curve = gains_curve([1, 1, 0, 0], [0.9, 0.5, 0.5, 0.1])
    >>> curve.share, curve.gain, curve.gini
    (array([0.  , 0.25, 0.75, 1.  ]), array([0. , 0.5, 1. , 1. ]), 0.75)
    """
    scored = read_scored(outcome, risk_score, "risk_score", weight=weight, ipcw=ipcw)
    left = scored.mass * scored.outcome
    cutoff, (contacted, reached) = levels(scored, scored.weight, left)
    gain = reached / reached[-1] if reached[-1] > 0 else np.full_like(reached, math.nan)
    area = roc_curve(scored.outcome, scored.score, weight=scored.weight, ipcw=scored.ipcw).auc
    return GainsCurve(
        cutoff=np.concatenate([[math.inf], cutoff]),
        share=np.concatenate([[0.0], contacted / contacted[-1]]),
        gain=np.concatenate([[0.0], gain]),
        gini=2 * area - 1,
        base_rate=ratio(float(left.sum()), float(scored.mass.sum())),
    )
