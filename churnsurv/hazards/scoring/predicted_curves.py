"""Predicted curves as piecewise linear functions: checked, read off at a time, and inverted."""

from __future__ import annotations

import numpy as np

from churnsurv._typing import FloatArray
from churnsurv._validate import refuse
from churnsurv.errors import ArgumentError

ROUNDING = 1e-9
"""Shares and times that differ by less, relatively, are equal; a curve may rise by this much."""


def predicted_incidence(survival: FloatArray, name: str) -> FloatArray:
    """Probability of the event by each time, from the start on."""
    refuse(
        ArgumentError,
        (survival < 0) | (survival > 1),
        "lie outside [0, 1].",
        columns={name: survival},
        hint=f"pass probabilities of no event: {name} = {name} / 100 for percentages.",
    )
    refuse(
        ArgumentError,
        np.diff(survival, axis=1) > ROUNDING,
        "are followed by a larger one.",
        columns={name: survival[:, :-1], "next": survival[:, 1:]},
        consequence="Survival cannot rise; a bound would not be unique.",
        hint="columns are times, increasing; sort them, or take the running minimum along each row.",
    )
    fallen = 1 - np.minimum.accumulate(survival, axis=1)
    return np.concatenate([np.zeros((len(fallen), 1)), fallen], axis=1)


def incidence_at(incidence: FloatArray, grid: FloatArray, time: FloatArray) -> FloatArray:
    """Predicted probability of an event by each customer's own time, straight between the grid's times."""
    right = np.clip(np.searchsorted(grid, time, side="left"), 1, len(grid) - 1)
    row = np.arange(len(time))
    part = np.clip((time - grid[right - 1]) / (grid[right] - grid[right - 1]), 0.0, 1.0)
    return incidence[row, right - 1] * (1 - part) + incidence[row, right] * part


def first_reached(incidence: FloatArray, grid: FloatArray, level: float) -> FloatArray:
    """Earliest time at which each curve reaches the level; infinite if it never does."""
    if level <= 0:
        return np.full(len(incidence), grid[0])
    reached = incidence >= level
    right = np.maximum(np.argmax(reached, axis=1), 1)
    row = np.arange(len(incidence))
    low, high = incidence[row, right - 1], incidence[row, right]
    part = np.divide(level - low, high - low, out=np.zeros_like(low), where=high > low)
    found = grid[right - 1] + part * (grid[right] - grid[right - 1])
    return np.where(reached[:, -1], found, np.inf)
