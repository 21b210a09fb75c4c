"""What a classifier on person-periods says of customers: hazards of periods, and survival along them."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import numpy as np

from churnsurv._typing import BoolArray, FloatArray, IntArray, StrArray
from churnsurv.errors import ArgumentError, ModelSupportError
from churnsurv.models.base import FitInfo, NamedRows, PatternRows, ReachedRows
from churnsurv.models.competing_rows import CauseRows
from churnsurv.tables.person_periods import PersonPeriods
from churnsurv.tables.schema import UNSEEN, CellSchema

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from churnsurv.models.discrete import DiscreteHazardModel

_ROWS_AT_ONCE = 200_000
"""Person-periods that a classifier is asked about together."""
_ROUNDED = 1e-7
"""Days by which a time may lie beyond the last edge through rounding: a hundredth of a second."""
_CERTAIN = 1e-12
"""How close to 1 the hazard of a period may come: a tree that saw nobody stay would leave nobody, and 0 / 0 after that."""


@dataclass(frozen=True, eq=False)
class DiscreteHazardFit:
    """A fitted classifier as a survival fit: one chain, one draw.

    Parameters
    ----------
    model : DiscreteHazardModel
        The specification.
    schema : CellSchema
        Definition, clock and columns.
    steps : tuple of float
        Edges of the periods that were learnt: on the clock, or since the landmark. Nothing is told beyond the last.
    classifier : HazardClassifier
        Fitted; the estimator itself is ``classifier.estimator_``.
    info : FitInfo
        Data report; nothing was sampled.
    rows : PersonPeriods
        What it learnt from; effects are averages over some of them.
    """

    whole_periods: ClassVar[bool] = True
    """Time at risk in periods that the window's end cuts off is in no count of the fit."""

    model: DiscreteHazardModel
    schema: CellSchema
    steps: tuple[float, ...]
    classifier: Any
    info: FitInfo
    rows: PersonPeriods = field(repr=False)
    _told: weakref.WeakKeyDictionary[Any, FloatArray] = field(default_factory=weakref.WeakKeyDictionary, repr=False)

    @classmethod
    def from_rows(
        cls, model: DiscreteHazardModel, rows: PersonPeriods, classifier: Any, info: FitInfo
    ) -> DiscreteHazardFit:
        """Put together what was learnt; periods of which there is no row are not among it."""
        return cls(model, rows.schema, rows.steps[: int(rows.period.max()) + 2], classifier, info, rows)

    def __repr__(self) -> str:
        """One line."""
        name = type(self.model.estimator).__name__
        return f"DiscreteHazardFit({name}: {len(self.rows):,} person-periods, {self.info.n_events:,} events)"

    @property
    def n_draws(self) -> int:
        """One: a point estimate."""
        return 1

    @property
    def from_landmarks(self) -> bool:
        """Whether periods are counted from now on, not on the clock."""
        return self.schema.as_of == "landmark"

    @property
    def posterior(self) -> xr.DataTree:
        """Average hazard of each period among the training rows, with size-1 ``chain`` and ``draw``."""
        from churnsurv.models.hierarchical.sampling import posterior_tree

        n = np.bincount(self.rows.period, minlength=len(self.steps) - 1)
        events = np.bincount(self.rows.period, self.rows.event > 0, len(self.steps) - 1)
        coords = {"period": np.arange(len(n))}
        return posterior_tree({"period_hazard": (("period",), (events / np.maximum(n, 1))[None, None])}, coords, {})

    def period_hazards(self, rows: PatternRows) -> FloatArray:
        """Probability of the event in each period, given that it was reached, shape (n, n_periods).

        Parameters
        ----------
        rows : OpenSpells or anything with a pattern
            n customers. Of a fit on the clock, periods that lie behind a customer are told as 0.
        """
        view = CauseRows.of(rows, self.schema)
        return -np.expm1(-np.diff(self._cumulative_of(view), axis=1))

    def conditional_survival(
        self, rows: ReachedRows, until: FloatArray, *, draws: IntArray | None = None
    ) -> FloatArray:
        """S(until) / S(reached), shape (1, n, k) or (len(draws), n, k).

        Parameters
        ----------
        rows : OpenSpells
            n customers, put into the cells of :attr:`schema`.
        until : array of shape (n, k)
            Days on the clock.
        draws : array of int, optional
            Zeros: there is one draw.

        Returns
        -------
        array
            One where ``until <= reached``; NaN beyond the last period that was learnt.
        """
        if draws is not None and np.any(np.asarray(draws) != 0):
            raise ArgumentError("a classifier's fit has one draw, number 0.")
        reached = np.asarray(rows.reached, float)[:, None]
        until = np.maximum(np.asarray(until, float), reached)
        cumulative = self._told.get(rows)
        if cumulative is None:
            cumulative = self._told[rows] = self._cumulative_of(CauseRows.of(rows, self.schema))
        start, stop = (np.zeros_like(reached), until - reached) if self.from_landmarks else (reached, until)
        with np.errstate(invalid="ignore"):
            survival = np.exp(self._at(cumulative, start) - self._at(cumulative, stop))
        survival[until <= reached] = 1.0
        return np.broadcast_to(survival, (1 if draws is None else len(draws), *survival.shape)).copy()

    def predict_survival_function(self, rows: PatternRows, times: FloatArray) -> xr.DataArray:
        """Curve of every row from time zero (of landmarks, from now on), dims ``(chain, draw, customer, time)``."""
        import xarray as xr

        at, view = np.asarray(times, float), CauseRows.of(rows, self.schema)
        view = view if self.from_landmarks else replace(view, reached=np.zeros(len(view)))
        values = np.exp(-self._at(self._cumulative_of(view), np.broadcast_to(at, (len(view), len(at)))))[None, None]
        coords = {"chain": [0], "draw": [0], "customer": view.customer_id, "time": at}
        return xr.DataArray(values, dims=("chain", "draw", "customer", "time"), coords=coords, name="survival")

    def _cumulative_of(self, rows: CauseRows) -> FloatArray:
        """Cumulative hazard at the edges of the periods from the one that each row has reached on, (n, n_periods + 1)."""
        n_periods = len(self.steps) - 1
        first = np.zeros(len(rows), np.int64)
        if not self.from_landmarks:
            first = np.minimum(np.searchsorted(np.asarray(self.steps[1:]), rows.reached, side="right"), n_periods)
        n = n_periods - first
        of = np.repeat(np.arange(len(rows)), n)
        period = first[of] + np.arange(len(of)) - np.repeat(np.cumsum(n) - n, n)
        hazard = np.zeros((len(rows), n_periods))
        for start in range(0, len(of), _ROWS_AT_ONCE):
            some = slice(start, start + _ROWS_AT_ONCE)
            hazard[of[some], period[some]] = self._hazard(rows, of[some], period[some])
        total = np.zeros((len(rows), n_periods + 1))
        np.cumsum(-np.log1p(-np.minimum(hazard, 1.0 - _CERTAIN)), axis=1, out=total[:, 1:])
        return total

    def _hazard(self, rows: CauseRows, of: IntArray, period: IntArray) -> FloatArray:
        from churnsurv.models.person_period_classifier import event_probability, person_period_frame

        reached = rows.reached[of] if self.from_landmarks else np.asarray(self.steps)[period]
        levels = tuple(level[of] for level in rows.levels)
        values = tuple(None if value is None else value[of] for value in rows.values)
        frame = person_period_frame(self.schema, self.rows.steps, period, reached, levels, values)
        return event_probability(self.classifier, frame)

    def _at(self, cumulative: FloatArray, times: FloatArray) -> FloatArray:
        """Cumulative hazard at times, rising evenly within each period; NaN beyond the last."""
        edges = np.asarray(self.steps)
        period = np.clip(np.searchsorted(edges, times, side="left") - 1, 0, len(edges) - 2)
        share = np.minimum((times - edges[period]) / np.diff(edges)[period], 1.0)
        low, high = (np.take_along_axis(cumulative, period + k, axis=1) for k in (0, 1))
        return np.where(times > edges[-1] + _ROUNDED, np.nan, low + share * (high - low))

    def n_at_risk(self, times: FloatArray, rows: PatternRows | None = None) -> IntArray:
        """Training spells at risk at each time on the clock."""
        at = np.asarray(times, float)
        entered, left = (np.searchsorted(np.sort(one), at, side="left") for one in (self.rows.entries, self.rows.exits))
        return np.asarray(entered - left, np.int64)

    def new_group(self, rows: PatternRows) -> BoolArray:
        """Rows with a level that was never seen: the classifier knows nothing of it, and goes by the other columns."""
        return np.any(self._new(CauseRows.of(rows, self.schema)), axis=1)

    def new_group_name(self, rows: NamedRows) -> StrArray:
        """The level that was never seen, of several columns together; empty where all are known."""
        view = CauseRows.of(rows, self.schema)
        names = np.full(len(view), "", dtype=object)
        for k, new in enumerate(self._new(view).T):
            names = names + np.where(new, view.levels[k] + "\n", "")
        return names

    def _new(self, rows: CauseRows) -> BoolArray:
        texts = [column.edges is None for column in self.schema.columns]
        return np.asarray((rows.codes == UNSEEN) & np.array(texts, bool))

    def joint_survival(
        self, rows: ReachedRows, until: FloatArray, quantile: FloatArray, *, draws: IntArray | None = None
    ) -> FloatArray:
        """``conditional_survival``: there are no groups whose effect customers could share."""
        return self.conditional_survival(rows, until, draws=draws)

    def unseen(self, rows: PatternRows) -> BoolArray:
        """No row: what was never seen is left to the classifier's preparation."""
        return np.zeros(len(rows.codes), bool)

    def summary(self, ci_prob: float = 0.90) -> pd.DataFrame:
        """Hazard ratios by standardisation, without intervals; see :func:`~churnsurv.models.discrete_effects.effects_frame`."""
        from churnsurv.models.discrete_effects import effects_frame

        return effects_frame(self, ci_prob)

    def save(self, path: str | Path) -> NoReturn:
        """Refuse: the estimator could only be written as a pickle, which is code.

        Raises
        ------
        ModelSupportError
            Always.
        """
        raise ModelSupportError(
            f"a {type(self.model.estimator).__name__} of scikit-learn can be saved only as a pickle.",
            consequence="Whoever loads a pickle runs whatever is in it.",
            hint="fit again where it is needed: model.fit(table, rng=…) gives the same fit; or save a hierarchical, Cox or"
            " Weibull fit.",
        )
