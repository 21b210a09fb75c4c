"""From one scale to another without losing digits: S ↔ H, H → h, h ↔ probability per period.

Equation numbers refer to the page of quantities (docs/explanation/quantities.md).
"""

from __future__ import annotations

import numpy as np

from churnsurv._typing import FloatArray
from churnsurv._validate import as_floats, check_breaks, refuse
from churnsurv.errors import ArgumentError


def _non_negative(values: object, name: str, *, infinite: bool = False) -> FloatArray:
    array = as_floats(values, name, infinite=infinite)
    refuse(
        ArgumentError,
        np.atleast_1d(array < 0),
        "are negative.",
        columns={name: np.atleast_1d(array)},
        hint=f"{name} is >= 0.",
    )
    return array


def _probability(values: object, name: str) -> FloatArray:
    array = as_floats(values, name)
    refuse(
        ArgumentError,
        np.atleast_1d((array < 0) | (array > 1)),
        "lie outside [0, 1].",
        columns={name: np.atleast_1d(array)},
        consequence="It is a probability; clipping it would hide what went wrong before.",
        hint=f"{name} lies between 0 and 1; per cent are divided by 100.",
    )
    return array


def _lengths(breaks: object, n_periods: int, name: str) -> FloatArray:
    edges = check_breaks(breaks)
    if len(edges) - 1 != n_periods:
        raise ArgumentError(
            f"`{name}` has {n_periods} periods on its last axis; {len(edges)} breaks make {len(edges) - 1}.",
            column=name,
            hint="breaks has one edge more than there are periods.",
        )
    return np.diff(edges)


def survival_to_cumulative_hazard(survival: object) -> FloatArray:
    """H = -log S, eq. 2.

    Parameters
    ----------
    survival : array-like
        Probabilities in [0, 1].

    Returns
    -------
    array of the same shape
        No unit, >= 0; infinite where survival is 0.

    Examples
    --------
    >>> survival_to_cumulative_hazard([1.0, 0.5, 0.0]).round(4)
    array([0.    , 0.6931,    inf])
    """
    probability = _probability(survival, "survival")
    with np.errstate(divide="ignore"):  # a survival of 0 is a legitimate end: H is infinite there
        return 0.0 - np.log(probability)


def cumulative_hazard_to_survival(cumulative_hazard: object) -> FloatArray:
    """S = exp(-H), eq. 2.

    Parameters
    ----------
    cumulative_hazard : array-like
        No unit, >= 0; infinity allowed.

    Returns
    -------
    array of the same shape
        Probabilities in [0, 1].

    Examples
    --------
    >>> cumulative_hazard_to_survival([0.0, 0.1]).round(4)
    array([1.    , 0.9048])
    """
    return np.exp(-_non_negative(cumulative_hazard, "cumulative_hazard", infinite=True))


def cumulative_hazard_to_hazard(cumulative_hazard: object, *, breaks: object) -> FloatArray:
    """Constant hazard of each period that has the given H at the breaks, eq. 2 solved for h.

    Parameters
    ----------
    cumulative_hazard : array-like of shape (..., n_periods + 1)
        H at every break, never decreasing.
    breaks : array-like of shape (n_periods + 1,)
        Period edges, increasing, >= 0.

    Returns
    -------
    array of shape (..., n_periods)
        Events per unit of time, >= 0.

    Raises
    ------
    ArgumentError
        If H decreases somewhere or does not fit the breaks.

    Examples
    --------
    >>> cumulative_hazard_to_hazard([0.0, 0.6, 0.9], breaks=[0, 6, 12]).round(12)
    array([0.1 , 0.05])
    """
    total = _non_negative(cumulative_hazard, "cumulative_hazard")
    lengths = _lengths(breaks, np.atleast_1d(total).shape[-1] - 1, "cumulative_hazard")
    rise = np.diff(total, axis=-1)
    refuse(
        ArgumentError,
        rise < 0,
        "are followed by a smaller one.",
        columns={"cumulative_hazard": total[..., :-1], "next": total[..., 1:]},
        consequence="A falling cumulative hazard is a negative hazard: survival would rise.",
        hint="pass H at increasing breaks.",
    )
    return rise / lengths


def hazard_to_period_hazard(hazard: object, *, breaks: object) -> FloatArray:
    """Probability of the event within each period for who enters it, 1 - exp(-h Δ), eq. 9.

    Parameters
    ----------
    hazard : array-like of shape (..., n_periods)
        Events per unit of time, >= 0.
    breaks : array-like of shape (n_periods + 1,)
        Period edges, increasing, >= 0.

    Returns
    -------
    array of shape (..., n_periods)
        Probabilities in [0, 1].

    Examples
    --------
    >>> hazard_to_period_hazard([0.10, 0.05], breaks=[0, 6, 12]).round(4)
    array([0.4512, 0.2592])
    """
    rates = _non_negative(hazard, "hazard")
    return -np.expm1(-rates * _lengths(breaks, np.atleast_1d(rates).shape[-1], "hazard"))


def period_hazard_to_hazard(period_hazard: object, *, breaks: object) -> FloatArray:
    """Constant hazard that gives each period's probability, -log(1 - p) / Δ, eq. 9 solved for h.

    Parameters
    ----------
    period_hazard : array-like of shape (..., n_periods)
        Probabilities in [0, 1).
    breaks : array-like of shape (n_periods + 1,)
        Period edges, increasing, >= 0.

    Returns
    -------
    array of shape (..., n_periods)
        Events per unit of time, >= 0.

    Raises
    ------
    ArgumentError
        If a probability is 1, which needs an infinite hazard, or lies outside [0, 1].

    Examples
    --------
    >>> period_hazard_to_hazard([0.45118836], breaks=[0, 6]).round(6)
    array([0.1])
    """
    probability = _probability(period_hazard, "period_hazard")
    refuse(
        ArgumentError,
        np.atleast_1d(probability == 1),
        "are 1, which needs an infinite hazard.",
        columns={"period_hazard": np.atleast_1d(probability)},
        hint="use more data or wider periods where everybody had the event.",
    )
    lengths = _lengths(breaks, np.atleast_1d(probability).shape[-1], "period_hazard")
    return (0.0 - np.log1p(-probability)) / lengths
