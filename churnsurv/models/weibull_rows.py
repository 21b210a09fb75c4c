"""Rows as the Weibull likelihood sees them, and the coordinates in which it is well behaved."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy import linalg

from churnsurv._typing import BoolArray, FloatArray, IntArray
from churnsurv.errors import ArgumentError, EmptyDataError, NoEventsError
from churnsurv.hazards.weibull import Terms, log_likelihood
from churnsurv.models.cox_rows import check_rows, customers, share_of_spell
from churnsurv.models.design import Design
from churnsurv.models.rank import triangle

if TYPE_CHECKING:
    from churnsurv.models.base import EpisodeRows
    from churnsurv.models.weibull import WeibullModel

_BLOCK = 32_768


@dataclass(frozen=True, eq=False)
class Axes:
    """Columns of one parameter, and coordinates in which they are of unit variance and uncorrelated.

    Parameters
    ----------
    x : array of shape (n, n_terms)
        Columns in their own units.
    mean, scale : array of shape (n_terms,)
        Mean and standard deviation over spells: the standardised columns that a penalty is about.
    rotation : array of shape (n_terms, n_terms)
        Coefficients of the columns are ``rotation @ coordinates``.
    """

    x: FloatArray
    mean: FloatArray
    scale: FloatArray
    rotation: FloatArray

    @classmethod
    def of(cls, x: FloatArray, share: FloatArray) -> Axes:
        """Choose the coordinates of columns that are not determined by one another."""
        total = float(np.sum(share))
        mean = np.array([float(np.sum(share * column)) for column in x.T]) / total
        square = np.array([float(np.sum(share * column)) for column in ((x - mean) ** 2).T])
        found = triangle(len(x), lambda rows: x[rows])
        edge = found.r * found.length / np.sqrt(len(x))
        rotation = linalg.solve_triangular(edge, np.eye(len(edge))) if len(edge) else np.zeros((0, 0))
        return cls(x, mean, np.sqrt(square / max(total - 1.0, 1.0)), rotation)

    def block(self, rows: slice) -> FloatArray:
        """One and the rotated columns, shape (n, 1 + n_terms)."""
        x = self.x[rows]
        return np.column_stack([np.ones(len(x)), (x - self.mean) @ self.rotation])

    @property
    def back(self) -> FloatArray:
        """Matrix from coordinates to intercept and coefficients in the columns' own units."""
        size = len(self.mean) + 1
        matrix = np.eye(size)
        matrix[1:, 1:] = self.rotation
        matrix[0, 1:] = -self.mean @ self.rotation
        return matrix


@dataclass(frozen=True, eq=False)
class WeibullRows:
    """Training rows; arrays of shape (n,) unless said.

    Parameters
    ----------
    start, stop : array
        Days on the clock, ``(start, stop]``.
    lower : array
        The event lies in ``(lower, stop]``: equal to ``stop`` where its day is known.
    event : array of bool
        Whether the event ended the row.
    weight : array or None
        Frequencies, > 0.
    cluster : array of int
        Number of the customer.
    n_spells : int
        Spells.
    spell_weight : float
        Sum of the spells' weights.
    scale, shape : Axes
        Columns of the two parameters.
    """

    start: FloatArray
    stop: FloatArray
    lower: FloatArray
    event: BoolArray
    weight: FloatArray | None
    cluster: IntArray
    n_spells: int
    spell_weight: float
    scale: Axes
    shape: Axes

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.stop)

    @property
    def n_scale(self) -> int:
        """Parameters of the log scale."""
        return len(self.scale.mean) + 1

    @property
    def n_parameters(self) -> int:
        """Parameters in all."""
        return self.n_scale + len(self.shape.mean) + 1

    @property
    def whole_weights(self) -> bool:
        """Whether every weight is a whole number, so that it can be a frequency."""
        return self.weight is None or bool(np.all(self.weight == np.round(self.weight)))

    def known(self, rows: slice = slice(None)) -> tuple[FloatArray, FloatArray]:
        """Where the event's time lies, ``(lower, upper]``, in days; from the stop to infinity where there was none."""
        event, stop = self.event[rows], self.stop[rows]
        return np.where(event, self.lower[rows], stop), np.where(event, stop, np.inf)

    def weights(self, rows: slice = slice(None)) -> FloatArray:
        """Weights of some rows."""
        return np.ones(len(self.stop[rows])) if self.weight is None else self.weight[rows]

    @cached_property
    def unit(self) -> float:
        """Days that the likelihood takes as one: the geometric mean of the events' times."""
        weight = self.weights() * self.event
        return float(np.exp(np.sum(weight * np.log(self.stop)) / np.sum(weight)))

    def blocks(self) -> Iterator[slice]:
        """Rows, some at a time: memory of the likelihood does not grow with their number."""
        return (slice(start, start + _BLOCK) for start in range(0, len(self), _BLOCK))

    def terms(self, position: FloatArray, rows: slice) -> tuple[Terms, FloatArray, FloatArray]:
        """Log-likelihood of some rows at a position in the coordinates, and their columns."""
        x, z = self.scale.block(rows), self.shape.block(rows)
        lower, upper = self.known(rows)
        found = log_likelihood(
            x @ position[: self.n_scale],
            z @ position[self.n_scale :],
            lower=lower / self.unit,
            upper=upper / self.unit,
            entry=self.start[rows] / self.unit,
        )
        return found, x, z

    def fingerprint(self) -> str:
        """SHA-256 of what the likelihood depends on."""
        digest = hashlib.sha256()
        for array in (self.start, self.stop, self.lower, self.event, self.weight, self.scale.x, self.shape.x):
            digest.update(b"" if array is None else np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def read_rows(model: WeibullModel, episodes: EpisodeRows) -> tuple[WeibullRows, Design, Design]:
    """Check the rows and bind both formulas.

    Parameters
    ----------
    model : WeibullModel
        The specification.
    episodes : Episodes
        One cause.

    Returns
    -------
    rows : WeibullRows
        What the likelihood needs.
    scale, shape : Design
        Columns of the two formulas.

    Raises
    ------
    EmptyDataError, NoEventsError, ArgumentError, FormulaError, MissingValueError, ModelSupportError
        By the fault found.
    """
    check_times(episodes)
    cluster = customers(episodes.customer_id)
    check_rows(episodes, cluster)
    drop = model.on_bad == "drop"
    scale, shape = (Design.bind(formula, episodes, drop=drop) for formula in (model.formula, model.shape))
    event = episodes.event > 0
    _check_enough(int(event.sum()), len(scale.terms) + len(shape.terms), model.penalizer > 0)
    weight = None if episodes.weight is None else np.asarray(episodes.weight, np.float64)
    share = share_of_spell(episodes, cluster) * (1.0 if weight is None else weight)
    start, stop = (np.asarray(times, np.float64) for times in (episodes.start, episodes.stop))
    rows = WeibullRows(
        start=start,
        stop=stop,
        lower=stop if model.rounded is None else np.maximum(start, stop - model.rounded),
        event=event,
        weight=weight,
        cluster=cluster,
        n_spells=episodes.n_spells,
        spell_weight=float(np.sum(share)),
        scale=Axes.of(scale.matrix(episodes.codes, episodes.values), share),
        shape=Axes.of(shape.matrix(episodes.codes, episodes.values), share),
    )
    return rows, scale, shape


def check_times(episodes: EpisodeRows) -> None:
    """Refuse rows that last no time, and rows without one event.

    Raises
    ------
    EmptyDataError, ArgumentError, NoEventsError
        By the fault found.
    """
    n = len(episodes.stop)
    if not n:
        raise EmptyDataError("there is not one row.", hint="look at the window and the definition of churn.")
    nothing = np.flatnonzero((episodes.stop == episodes.start) | (episodes.stop == 0))
    if len(nothing):
        raise ArgumentError(
            f"{len(nothing):,} of {n:,} rows last no time.",
            rows=[
                {
                    "customer_id": episodes.customer_id[i],
                    "start": float(episodes.start[i]),
                    "stop": float(episodes.stop[i]),
                }
                for i in nothing[:5].tolist()
            ],
            consequence="A Weibull time is above zero; a zero put a little above it would decide the shape alone.",
            hint="say what a zero means: if days were rounded down, add half a day to all of them before "
            "SpellTable.from_durations(...); KaplanMeierModel takes zeros as they are.",
            count=len(nothing),
            total=n,
        )
    if not np.any(episodes.event > 0):
        raise NoEventsError(
            f"not one of {n:,} rows ends with the event.",
            consequence="Every time scale beyond the longest row fits equally well.",
            hint="use a longer window, or KaplanMeierModel for a flat curve.",
        )


def _check_enough(n_events: int, n_terms: int, penalised: bool) -> None:
    if n_events < n_terms and not penalised:
        raise NoEventsError(
            f"{n_events:,} events cannot tell {n_terms:,} terms apart.",
            consequence="Some combination of them would explain every event by chance.",
            hint="use fewer columns, or a penalty: WeibullModel(..., penalizer=0.1).",
        )
