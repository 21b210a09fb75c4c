"""Checks of what a simulator is told."""

from __future__ import annotations

import datetime as dt
import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from churnsurv._typing import FloatArray
from churnsurv.errors import ArgumentError, BreaksError


def check_number(value: float, name: str, *, low: float = -math.inf, high: float = math.inf, unit: str = "") -> None:
    """Refuse what is not a finite number within its range.

    Raises
    ------
    ArgumentError
        Naming the argument, its unit and its range.
    """
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not low <= value <= high:
        limits = " and ".join(
            [f"at least {low:g}"] * math.isfinite(low) + [f"at most {high:g}"] * math.isfinite(high) or ["finite"]
        )
        raise ArgumentError(f"{name}={value!r} must be a number, {limits}{f' ({unit})' if unit else ''}.")


def check_count(value: int, name: str) -> None:
    """Refuse what is not a whole number above zero.

    Raises
    ------
    ArgumentError
        Naming the argument.
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ArgumentError(f"{name}={value!r} is not a whole number above zero.", hint=f"write {name}=1_000.")


def check_hazards(breaks: Sequence[float], hazards: Sequence[float], name: str = "hazards") -> None:
    """Refuse edges that do not increase from zero, and hazards that do not fit them.

    Raises
    ------
    BreaksError
        If the edges are not finite, increasing and starting at 0.
    ArgumentError
        If there is not one non-negative hazard for each edge.
    """
    edges = [float(edge) for edge in breaks]
    increasing = all(low < high for low, high in itertools.pairwise(edges))
    if not edges or edges[0] != 0 or not increasing or not all(map(math.isfinite, edges)):
        raise BreaksError(
            f"breaks={tuple(breaks)!r} must increase from 0 (days on the clock).", hint="write breaks=(0, 30, 90)."
        )
    if len(hazards) != len(edges):
        raise ArgumentError(
            f"{name} has {len(hazards)} numbers for {len(edges)} breaks.",
            hint="give one hazard for each break: it holds from there to the next, the last one for ever.",
        )
    for hazard in hazards:
        check_number(hazard, name, low=0, unit="events a day")


def check_levels(levels: Mapping[str, float], name: str) -> None:
    """Refuse a mapping that is not names to finite numbers.

    Raises
    ------
    ArgumentError
        If it is empty, or a name or a number is none.
    """
    if not levels or not all(isinstance(level, str) and level for level in levels):
        raise ArgumentError(f"{name}={levels!r} must map at least one name to a number.")
    for level, value in levels.items():
        check_number(value, f"{name}[{level!r}]")


def check_date(value: str | dt.date, name: str) -> None:
    """Refuse a window edge that is not a whole local day.

    Raises
    ------
    ArgumentError
        If it carries a time of day.
    """
    if isinstance(value, dt.datetime) or (isinstance(value, str) and len(value) != len("2023-01-01")):
        raise ArgumentError(f"{name}={value!r} is not a date.", hint=f'write {name}="2023-01-01".')


def make_rng(rng: int | np.random.Generator) -> np.random.Generator:
    """Random generator from a seed, or the one given.

    Raises
    ------
    ArgumentError
        If it is neither.
    """
    if isinstance(rng, np.random.Generator):
        return rng
    if isinstance(rng, bool) or not isinstance(rng, (int, np.integer)) or rng < 0:
        raise ArgumentError(
            f"rng={rng!r} is neither a seed nor a numpy random generator.",
            hint="write rng=1, so that it can be repeated.",
        )
    return np.random.default_rng(rng)


def check_horizons(horizon: float | FloatArray, future_days: float) -> FloatArray:
    """Horizons as an array, refused where nothing was simulated.

    Raises
    ------
    ArgumentError
        If one lies outside ``[0, future_days]``.
    """
    horizons = np.atleast_1d(np.asarray(horizon, float))
    if horizons.ndim != 1 or not ((horizons >= 0) & (horizons <= future_days)).all():
        raise ArgumentError(
            f"horizon={horizon!r} lies outside [0, {future_days:g}] days.",
            hint="future_days=… simulates further ahead.",
        )
    return horizons


def check_frailty(frailty: str) -> None:
    """Refuse what is neither of the two kinds of knowledge.

    Raises
    ------
    ArgumentError
        Naming the two.
    """
    if frailty not in ("known", "posterior"):
        raise ArgumentError(f"frailty={frailty!r} is unknown.", hint='frailty is "posterior" or "known".')
