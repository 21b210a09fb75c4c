"""Maximum of the Weibull likelihood by Newton's steps, its covariances, and the guards around them.

Columns are centred and rotated to be uncorrelated, and time is taken in units of the events' mean: so neither a column
of millions nor one that nearly repeats another stops the steps, and the estimate is carried back exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import linalg

from churnsurv._typing import FloatArray
from churnsurv.errors import ChurnsurvError, SeparationError
from churnsurv.models.weibull_rows import Axes, WeibullRows

_MOST_STEPS = 100
_LONGEST_STEP = 2.0
_SMALLEST_DECREMENT = 1e-10
"""Half the rise of the log-likelihood that a next step would promise: an error of 1e-5 standard errors before it."""

_WIDE = 3.0
"""Standard error, in units of a standardised column, above which a direction is looked at: one event gives about 1."""

_LEAST_FALL = 0.05
"""One standard error from a maximum the log-likelihood is 0.5 lower; where it hardly falls, there is no maximum."""

_EXTREME_SHAPE = 10.0
_ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class Estimate:
    """Maximum of the (penalised) likelihood, in days and in the columns' own units.

    The order of parameters is: intercept and coefficients of the log scale, then those of the log shape.

    Parameters
    ----------
    parameters : array of shape (n_parameters,)
        Estimates.
    covariance : array of shape (n_parameters, n_parameters)
        Inverse of the (penalised) information.
    robust : array of the same shape or None
        Sandwich, summed within customers; ``None`` where customers have one spell each.
    log_likelihood : float
        Log-likelihood of the rows in days, without the penalty.
    n_scale : int
        Parameters of the log scale.
    converged : bool
        Whether the steps came to an end.
    steps : int
        Newton's steps.
    """

    parameters: FloatArray
    covariance: FloatArray
    robust: FloatArray | None
    log_likelihood: float
    n_scale: int
    converged: bool = True
    steps: int = 0

    @property
    def used(self) -> FloatArray:
        """The covariance that intervals are made of: the robust one where there is one."""
        return self.covariance if self.robust is None else self.robust


@dataclass(frozen=True, eq=False)
class _Point:
    """Penalised log-likelihood at a position, with its derivatives."""

    position: FloatArray
    value: float
    score: FloatArray
    information: FloatArray


def maximise(rows: WeibullRows, penalizer: float, names: Sequence[str], *, robust: bool | None) -> Estimate:
    """Find the maximum, and refuse where there is none.

    Parameters
    ----------
    rows : WeibullRows
        Training rows.
    penalizer : float
        Half of it times the number of spells times each squared coefficient of a standardised column is taken off.
    names : sequence of str
        Of the parameters, for messages.
    robust : bool or None
        Whether to make the sandwich; ``None`` where customers have several spells, or weights are no whole numbers.

    Raises
    ------
    SeparationError
        If the likelihood rises for ever in some direction.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    penalty = _penalty(rows, penalizer)
    several = rows.n_spells > int(rows.cluster.max()) + 1 or not rows.whole_weights
    with threadpool_limits(1):  # products of narrow blocks: threads would wait for each other, and move the last digits
        point, steps, converged = _climb(rows, penalty)
        _check_maximum(rows, penalty, point, names)
        meat = _meat(rows, point.position) if (several if robust is None else robust) else None
    covariance = _inverse(point.information)
    back, shift = _back(rows)
    exact = rows.event & (rows.lower == rows.stop)
    in_units = point.value + 0.5 * point.position @ penalty @ point.position
    return Estimate(
        parameters=back @ point.position + shift,
        covariance=back @ covariance @ back.T,
        robust=None if meat is None else back @ (covariance @ meat @ covariance) @ back.T,
        log_likelihood=float(in_units - np.log(rows.unit) * np.sum(rows.weights()[exact])),
        n_scale=rows.n_scale,
        converged=converged,
        steps=steps,
    )


def _climb(rows: WeibullRows, penalty: FloatArray) -> tuple[_Point, int, bool]:
    """Newton's steps from the exponential of everybody together, halved until the log-likelihood rises."""
    start = np.zeros(rows.n_parameters)
    weight = rows.weights()
    start[0] = np.log(np.sum(weight * (rows.stop - rows.start)) / np.sum(weight[rows.event]) / rows.unit)
    point = _look(rows, penalty, start)
    for taken in range(1, _MOST_STEPS + 1):
        step = _step(point)
        decrement = 0.5 * float(point.score @ step)
        found = _along(rows, penalty, point, step)
        if found is None:
            return point, taken, decrement < 1e-6  # rounding, not the slope, decides from here on
        point = found
        if decrement < _SMALLEST_DECREMENT:
            return point, taken, True
    return point, _MOST_STEPS, False


def _step(point: _Point) -> FloatArray:
    """Newton's step where the likelihood bends down, its mirror where it bends up, and never too long."""
    size, axes = np.linalg.eigh(point.information)
    size = np.maximum(np.abs(size), 1e-12 * np.abs(size).max())
    step: FloatArray = axes @ ((axes.T @ point.score) / size)
    return step * min(1.0, _LONGEST_STEP / float(np.abs(step).max(initial=1e-300)))


def _along(rows: WeibullRows, penalty: FloatArray, point: _Point, step: FloatArray) -> _Point | None:
    floor = point.value - _ROUNDING * abs(point.value)
    for share in 0.5 ** np.arange(30.0):
        found = _look(rows, penalty, point.position + share * step)
        if np.isfinite(found.value) and found.value >= floor:
            return found
    return None


def _look(rows: WeibullRows, penalty: FloatArray, position: FloatArray) -> _Point:
    """Add up value, score and information over blocks of rows."""
    cut = rows.n_scale
    value, score, information = 0.0, np.zeros(len(position)), np.zeros((len(position),) * 2)
    for block in rows.blocks():
        terms, x, z = rows.terms(position, block)
        weight = rows.weights(block)
        value += float(np.sum(weight * terms.value))
        score[:cut] += (weight * terms.d_scale) @ x
        score[cut:] += (weight * terms.d_shape) @ z
        information[:cut, :cut] -= (x * (weight * terms.d_scale_scale)[:, None]).T @ x
        information[:cut, cut:] -= (x * (weight * terms.d_scale_shape)[:, None]).T @ z
        information[cut:, cut:] -= (z * (weight * terms.d_shape_shape)[:, None]).T @ z
    information[cut:, :cut] = information[:cut, cut:].T
    pull = penalty @ position
    return _Point(position, value - 0.5 * float(position @ pull), score - pull, information + penalty)


def _penalty(rows: WeibullRows, penalizer: float) -> FloatArray:
    """Matrix of the penalty in the coordinates: on standardised columns, not on intercepts."""
    parts = []
    for axes in (rows.scale, rows.shape):
        part = np.zeros((len(axes.mean) + 1,) * 2)
        standardised = axes.scale[:, None] * axes.rotation
        part[1:, 1:] = penalizer * rows.spell_weight * standardised.T @ standardised
        parts.append(part)
    return np.asarray(linalg.block_diag(*parts))


def _back(rows: WeibullRows) -> tuple[FloatArray, FloatArray]:
    """Matrix and shift from the coordinates to days and the columns' own units."""
    shift = np.zeros(rows.n_parameters)
    shift[0] = np.log(rows.unit)
    return np.asarray(linalg.block_diag(rows.scale.back, rows.shape.back)), shift


def _inverse(information: FloatArray) -> FloatArray:
    size, axes = np.linalg.eigh(information)
    return np.asarray((axes / np.maximum(size, 1e-14 * np.abs(size).max())) @ axes.T)


def _meat(rows: WeibullRows, position: FloatArray) -> FloatArray:
    """Sum over customers of the outer products of their scores (Lin and Wei)."""
    cut, n_clusters = rows.n_scale, int(rows.cluster.max()) + 1
    total = np.zeros((n_clusters, len(position)))
    for block in rows.blocks():
        terms, x, z = rows.terms(position, block)
        weight, cluster = rows.weights(block), rows.cluster[block]
        for k in range(len(position)):
            column = x[:, k] * terms.d_scale if k < cut else z[:, k - cut] * terms.d_shape
            total[:, k] += np.bincount(cluster, weight * column, n_clusters)
    return np.asarray(total.T @ total)


def _check_maximum(rows: WeibullRows, penalty: FloatArray, point: _Point, names: Sequence[str]) -> None:
    """Refuse a likelihood that rises for ever: along a column, or towards a jump of the survival curve."""
    log_shape = np.concatenate([rows.shape.block(block) @ point.position[rows.n_scale :] for block in rows.blocks()])
    if not np.all(np.abs(log_shape) < _EXTREME_SHAPE):
        raise _no_maximum(["log_shape"], len(names), "The survival curve becomes a jump.")
    size, axes = np.linalg.eigh(point.information)
    for k in np.flatnonzero(size < 1.0 / _WIDE**2):
        move = axes[:, k] / np.sqrt(max(size[k], 1e-12))
        move *= min(1.0, 5.0 / np.abs(move).max())
        falls = [point.value - _look(rows, penalty, point.position + sign * move).value for sign in (1.0, -1.0)]
        if min(falls) < _LEAST_FALL:
            own = np.abs(_standardised(rows, axes[:, k]))
            worst = [names[j] for j in np.argsort(-own, kind="stable") if own[j] > 0.3 * own.max()]
            raise _no_maximum(worst, len(names), "Whoever has the event is always on the same side of them.")


def _standardised(rows: WeibullRows, direction: FloatArray) -> FloatArray:
    """A direction in the coordinates as coefficients of standardised columns; intercepts as they are."""

    def part(axes: Axes, own: FloatArray) -> FloatArray:
        return np.append(own[:1], axes.scale * (axes.rotation @ own[1:]))

    return np.concatenate([part(rows.scale, direction[: rows.n_scale]), part(rows.shape, direction[rows.n_scale :])])


def _no_maximum(worst: Sequence[str], n_parameters: int, why: str) -> ChurnsurvError:
    return SeparationError(
        f"{len(worst)} of {n_parameters} parameters have no finite estimate: {', '.join(worst[:5])}.",
        rows=[{"term": name} for name in worst[:5]],
        count=len(worst),
        consequence=f"The likelihood rises for ever along them. {why}",
        hint="join the level with another, leave the column out, or draw it towards zero: "
        "WeibullModel(..., penalizer=0.01).",
    )
