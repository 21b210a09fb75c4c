"""Bounds on a probability, symmetric on a stated scale; shared by curves, bands and incidences.

Equation numbers refer to the page of quantities (docs/explanation/quantities.md).
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from churnsurv._typing import FloatArray

SurvivalInterval = Literal["log-log", "log", "plain"]
BandTransform = Literal["log-log", "arcsine", "log", "plain"]


def greenwood_terms(n_events: FloatArray, n_at_risk: FloatArray) -> FloatArray:
    """Terms d / (Y (Y - d)) of eq. 11; infinite where all at risk had the event.

    Parameters
    ----------
    n_events, n_at_risk : array of shape (n_times,)
        Events at each time and spells at risk just before it.

    Returns
    -------
    array of shape (n_times,)
        Terms, >= 0.

    Examples
    --------
    >>> greenwood_terms(np.array([1.0, 0.0, 2.0]), np.array([4.0, 3.0, 2.0]))
    array([0.08333333, 0.        , inf])
    """
    whole = n_at_risk * (n_at_risk - n_events)
    terms = np.where(n_events > 0, np.inf, 0.0)
    return np.divide(n_events, whole, out=terms, where=(whole > 0) & (n_events > 0))


def survival_bounds(
    survival: FloatArray, width: FloatArray, kind: SurvivalInterval | BandTransform
) -> tuple[FloatArray, FloatArray]:
    """Lower and upper bounds on survival, eq. 12 and 30.

    Parameters
    ----------
    survival : array of shape (n_times,)
        Probabilities in [0, 1].
    width : array of shape (n_times,)
        Critical value times the standard error of log survival, >= 0.
    kind : {"log-log", "arcsine", "log", "plain"}
        Scale on which the bounds are symmetric.

    Returns
    -------
    lower, upper : array of shape (n_times,)
        Within [0, 1]; NaN where survival is 0 or 1, where nothing is known about its spread.
    """
    known = (survival > 0) & (survival < 1)
    inner = np.where(known, survival, 0.5)
    width = np.where(known, width, 0.0)
    if kind == "log-log":
        theta = np.exp(width / np.log(inner))
        lower, upper = inner ** (1 / theta), inner**theta
    elif kind == "arcsine":
        centre, half = np.arcsin(np.sqrt(inner)), 0.5 * width * np.sqrt(inner / (1 - inner))
        lower = np.sin(np.maximum(centre - half, 0.0)) ** 2
        upper = np.sin(np.minimum(centre + half, np.pi / 2)) ** 2
    elif kind == "log":
        lower, upper = inner * np.exp(-width), np.minimum(inner * np.exp(width), 1.0)
    else:
        lower, upper = np.maximum(inner * (1 - width), 0.0), np.minimum(inner * (1 + width), 1.0)
    return np.where(known, lower, np.nan), np.where(known, upper, np.nan)
