"""From draws to hazards of rows: multipliers by pattern, and the baseline between two times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np

from churnsurv._typing import FloatArray, IntArray
from churnsurv.hazards.algebra import cumulative_hazard_between, hazard_at
from churnsurv.models.hierarchical import prediction
from churnsurv.models.hierarchical.baselines import BASELINES
from churnsurv.models.hierarchical.correlation import pairs
from churnsurv.models.hierarchical.months import Months
from churnsurv.models.hierarchical.problem import Structure
from churnsurv.tables.schema import UNSEEN, CellSchema

_LARGEST = 600.0
"""Log hazard ratio beyond which nobody stays a moment: of numbers far from all that were learnt from."""


class Predictor:
    """Draws of a posterior, with what they multiply.

    Everything is elementwise over rows, so a row's numbers have the same bytes whatever it is computed with.

    Parameters
    ----------
    structure : Structure
        What the parameters are.
    schema : CellSchema
        Columns and breaks.
    baseline : str
        Name of the baseline.
    flat : mapping of str to array of shape (n_draws, ...)
        Draws by parameter, chains one after another.
    seed : int
        Of the fit: what months ahead are drawn from.
    """

    def __init__(
        self, structure: Structure, schema: CellSchema, baseline: str, flat: Mapping[str, FloatArray], seed: int = 0
    ) -> None:
        self.structure, self.schema, self.baseline, self.flat, self.seed = structure, schema, baseline, flat, seed

    @cached_property
    def months(self) -> Months | None:
        """Levels of the months; ``None`` without a calendar."""
        if not self.structure.months:
            return None
        return Months(self.structure, self.schema.timezone, self.flat, self.seed)

    def multipliers(
        self, codes: IntArray, values: Sequence[FloatArray | None], draws: IntArray
    ) -> tuple[FloatArray, FloatArray]:
        """Hazard ratio of each row in each draw, and the standard deviation of its new groups' effects.

        Parameters
        ----------
        codes : array of shape (n, n_columns)
            Levels.
        values : sequence of (array of shape (n,) or None)
            Numbers, where the model has numbers.
        draws : array of int
            Positions of draws.

        Returns
        -------
        ratio, sd : array of shape (n_draws, n)
            The ratio takes new groups' effects for 0.
        """
        if self.structure.terms.numbers:
            return self._multipliers(codes, values, draws)
        patterns, where = np.unique(codes, axis=0, return_inverse=True)
        ratio, sd = self._multipliers(patterns, (), draws)
        return ratio[:, where.ravel()], sd[:, where.ravel()]

    def _multipliers(
        self, codes: IntArray, values: Sequence[FloatArray | None], draws: IntArray
    ) -> tuple[FloatArray, FloatArray]:
        terms = self.structure.terms
        coef = self.flat["coef"][draws] if len(terms) else np.zeros((len(draws), 0))
        total = prediction.log_multiplier(coef, terms.effects.matrix(codes, values) - terms.centre)
        variance = np.zeros_like(total)
        for piece in self.structure.pieces:
            if piece.name != f"{piece.group}_effect":
                continue
            group = self.structure.groups[piece.group]
            position = group.positions(codes)
            value = self.structure.group_values(group.name, codes, values, standard=False)
            effect, sd = self.flat[piece.name][draws], self.flat[f"{piece.name}_sd"][draws]
            new = position == UNSEEN
            if value is None:
                total += prediction.group_part(effect, position)
                variance += (sd**2)[:, None] * new
            else:
                for k in range(value.shape[1]):
                    total += prediction.group_part(effect[..., k], position) * value[:, k]
                if new.any():
                    variance[:, new] += self._new_variance(piece.name, value[new], sd, draws)
        return np.exp(np.minimum(total, _LARGEST)), np.sqrt(variance)

    def _new_variance(self, name: str, value: FloatArray, sd: FloatArray, draws: IntArray) -> FloatArray:
        """Variance of a new level's whole effect on rows: slopes and correlations included."""
        spread = value[None] * sd[:, None, :]
        total = np.zeros(spread.shape[:2])
        for k in range(value.shape[1]):
            total += spread[..., k] ** 2
        correlation = self.flat[f"{name}_correlation"][draws]
        for place, (i, j) in enumerate(zip(*pairs(value.shape[1]), strict=True)):
            total += 2.0 * correlation[:, place, None] * spread[..., i] * spread[..., j]
        return np.maximum(total, 0.0)

    def between(
        self,
        codes: IntArray,
        start: FloatArray,
        stop: FloatArray,
        draws: IntArray,
        origin: IntArray | None = None,
        since: FloatArray | None = None,
    ) -> FloatArray:
        """Cumulative hazard of the reference from start to stop, through the months that lie between.

        Parameters
        ----------
        codes : array of shape (n, n_columns)
            Levels; they matter where groups have a baseline of their own.
        start, stop : array of shape (n, k)
            Days on the clock.
        draws : array of int
            Positions of draws.
        origin : array of shape (n,), optional
            Zero of each clock, microseconds UTC; without, the average month of the data stands for all. Not looked at
            without a calendar.
        since : array of shape (n,), optional
            See :meth:`Months.pieces`.

        Returns
        -------
        array of shape (n_draws, n, k)
            NaN beyond the last break of a piecewise baseline.
        """
        start, stop = np.broadcast_arrays(start, stop)
        if self.months is None:
            return self._between(codes, start, stop, draws)
        if origin is None:
            return self.months.average(draws) * self._between(codes, start, stop, draws)
        n, k = start.shape
        row = np.repeat(np.arange(n), k)
        pieces = self.months.pieces(start.ravel(), stop.ravel(), origin[row], None if since is None else since[row])
        total = np.zeros((len(draws), n * k))
        for turn in range(int(pieces.turn.max(initial=-1)) + 1):
            some = np.flatnonzero(pieces.turn == turn)
            of, month = pieces.of[some], pieces.month[some]
            own = self._between(codes[row[of]], pieces.start[some, None], pieces.stop[some, None], draws)[..., 0]
            total[:, of] += self.months.ratios(month, draws) * own
        return total.reshape(len(draws), n, k)

    def _between(self, codes: IntArray, start: FloatArray, stop: FloatArray, draws: IntArray) -> FloatArray:
        """The same in a month of level 0."""
        total = np.empty((len(draws), *start.shape))
        for rows, own in self._forms(codes):
            total[:, rows] = self._piecewise(own, start[rows], stop[rows], draws)
        return total

    def rate(self, codes: IntArray, times: FloatArray, draws: IntArray, month: IntArray | None = None) -> FloatArray:
        """Hazard of the reference at times (n, k), shape (n_draws, n, k); by default in the average month.

        Parameters
        ----------
        codes : array of shape (n, n_columns)
            Levels.
        times : array of shape (n, k)
            Days on the clock.
        draws : array of int
            Positions of draws.
        month : array of shape (n,), optional
            Months since the year 0; not looked at without a calendar.
        """
        total = np.empty((len(draws), *times.shape))
        for rows, own in self._forms(codes):
            total[:, rows] = self._rate(own, times[rows], draws)
        if self.months is None:
            return total
        level = self.months.average(draws) if month is None else self.months.ratios(month, draws)[:, :, None]
        return np.asarray(total * level)

    def _forms(self, codes: IntArray) -> list[tuple[IntArray, list[tuple[str, int]]]]:
        """Rows that share a form of the baseline, and the levels that give it to them; a new level has the average's."""
        shaped = [p for p in self.structure.pieces if p.group and p.name != f"{p.group}_effect"]
        if not shaped:
            return [(np.arange(len(codes)), [])]
        levels = np.column_stack([self.structure.groups[piece.group].positions(codes) for piece in shaped])
        forms, where = np.unique(levels, axis=0, return_inverse=True)
        return [
            (
                np.flatnonzero(where.ravel() == k),
                [(piece.name, int(level)) for piece, level in zip(shaped, form, strict=True) if level != UNSEEN],
            )
            for k, form in enumerate(forms)
        ]

    def _shape(self, own: Sequence[tuple[str, int]], draws: IntArray) -> FloatArray:
        """Shape parameters of a baseline in continuous time, shape (q, n_draws)."""
        names = BASELINES[self.baseline].shapes
        found = np.stack([self.flat[name][draws] for name in names])
        for name, level in own:
            found[-1] += self.flat[name][draws, level]
        return found

    def _log_baseline(self, own: Sequence[tuple[str, int]], draws: IntArray) -> FloatArray:
        found = self.flat["log_baseline"][draws] if "log_baseline" in self.flat else self.flat["intercept"][draws, None]
        for name, level in own:
            found = found + self.flat[name][draws, level]
        return found

    def _piecewise(
        self, own: Sequence[tuple[str, int]], start: FloatArray, stop: FloatArray, draws: IntArray
    ) -> FloatArray:
        if self.baseline != "piecewise":
            return self._continuous(own, start, stop, draws)
        last = self.schema.breaks[-1]
        low = np.minimum(start, last)
        value = cumulative_hazard_between(
            np.exp(self._log_baseline(own, draws)),
            breaks=self.schema.breaks,
            start=low,
            stop=np.maximum(np.minimum(stop, last), low),
        )
        return np.where((start > last) | (stop > last), np.nan, value)

    def _continuous(
        self, own: Sequence[tuple[str, int]], start: FloatArray, stop: FloatArray, draws: IntArray
    ) -> FloatArray:
        baseline, scale = BASELINES[self.baseline], self.structure.time_scale
        level = np.exp(self.flat["intercept"][draws]) if baseline.has_intercept else np.ones(len(draws))
        shape = self._shape(own, draws)
        low, high = start.ravel() / scale, np.maximum(stop, start).ravel() / scale
        total = np.empty((len(draws), start.size))
        for d in range(len(draws)):
            total[d] = level[d] * baseline.cumulative(low, high, shape[:, d, None]).value
        return total.reshape(len(draws), *start.shape)

    def _rate(self, own: Sequence[tuple[str, int]], times: FloatArray, draws: IntArray) -> FloatArray:
        if self.baseline == "piecewise":
            last = self.schema.breaks[-1]
            rates = np.exp(self._log_baseline(own, draws))
            value = hazard_at(rates, breaks=self.schema.breaks, times=np.minimum(times, last))
            return np.where(times > last, np.nan, value)
        baseline, scale = BASELINES[self.baseline], self.structure.time_scale
        level = self.flat["intercept"][draws] if baseline.has_intercept else np.zeros(len(draws))
        shape = self._shape(own, draws)
        rows = [
            np.exp(level[d] + baseline.log_hazard(times.ravel() / scale, shape[:, d, None]).value) / scale
            for d in range(len(draws))
        ]
        return np.array(rows).reshape(len(draws), *times.shape)
