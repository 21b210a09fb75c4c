"""The posterior of a hierarchical model, and every question it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from churnsurv._typing import BoolArray, FloatArray, IntArray, StrArray
from churnsurv.errors import ArgumentError, CellMismatchError, UnseenLevelError
from churnsurv.hazards.algebra import cumulative_hazard_between, hazard_at
from churnsurv.models.base import FitInfo, NamedRows, PatternRows, ReachedRows
from churnsurv.models.formula import Effects, positions_of
from churnsurv.models.hierarchical import prediction
from churnsurv.models.hierarchical.priors import Prior
from churnsurv.tables.schema import UNSEEN, CellSchema

if TYPE_CHECKING:
    import pandas as pd
    import pymc as pm
    import xarray as xr

    from churnsurv.models.hierarchical.model import HierarchicalModel
    from churnsurv.models.hierarchical.problem import Problem
    from churnsurv.tables.cells import CellTable


@dataclass(frozen=True, eq=False)
class Counts:
    """What the training cells held, by period, term and group level: totals only, no rows.

    Parameters
    ----------
    at_stop : array of shape (n_periods,)
        Spells at risk at each period's end.
    term_events, term_exposure : array of shape (n_terms,)
        Where the term's indicator is 1.
    level_events, level_exposure, level_expected : mapping of str to array
        By group column; expected is what the posterior mean without the group's own effect foresees.
    """

    at_stop: IntArray
    term_events: FloatArray
    term_exposure: FloatArray
    level_events: Mapping[str, FloatArray]
    level_exposure: Mapping[str, FloatArray]
    level_expected: Mapping[str, FloatArray]


@dataclass(frozen=True, eq=False)
class HierarchicalFit:
    """Posterior of a :class:`~churnsurv.models.hierarchical.model.HierarchicalModel`.

    Parameters
    ----------
    model : HierarchicalModel
        The specification.
    schema : CellSchema
        Of the cells it was fitted on.
    posterior : DataTree
        Draws by name: ``intercept``, ``walk``, ``log_baseline``, ``coef``, ``walk_sd``, ``{group}_effect``,
        ``{group}_effect_sd``.
    info : FitInfo
        Gate and data report; look at ``status`` first.
    effects : Effects
        Terms of the formula.
    levels : tuple of array
        Codes of the levels with exposure, of each group column.
    priors : mapping of str to Prior
        As used.
    counts : Counts
        Totals of the training cells.
    seed : int
        Of the sampler.
    problem : Problem or None
        The bound cells; ``None`` for a fit that was loaded.
    """

    model: HierarchicalModel
    schema: CellSchema
    posterior: xr.DataTree
    info: FitInfo
    effects: Effects
    levels: tuple[IntArray, ...]
    priors: Mapping[str, Prior]
    counts: Counts
    seed: int = 0
    problem: Problem | None = field(default=None, repr=False)

    @classmethod
    def from_problem(
        cls,
        model: HierarchicalModel,
        problem: Problem,
        cells: CellTable,
        posterior: xr.DataTree,
        info: FitInfo,
        *,
        seed: int,
    ) -> HierarchicalFit:
        """Put together what sampling has made."""
        return cls(
            model=model,
            schema=cells.schema,
            posterior=posterior,
            info=info,
            effects=problem.effects,
            levels=problem.levels,
            priors=problem.priors,
            counts=_counts(problem, cells, posterior),
            seed=seed,
            problem=problem,
        )

    def __repr__(self) -> str:
        """One line."""
        return (
            f"HierarchicalFit({self.model.formula!r}, groups={self.model.groups}: {self.info.status}, "
            f"{self.n_draws:,} draws, R-hat {self.info.rhat_max:.3f}, {self.info.ess_min:,.0f} effective)"
        )

    @property
    def n_draws(self) -> int:
        """Draws of all chains together."""
        return len(self._flat["intercept"])

    @cached_property
    def _flat(self) -> dict[str, FloatArray]:
        """Draws of every variable with chain and draw in one axis."""
        dataset = self.posterior["posterior"].to_dataset()
        return {
            str(name): np.ascontiguousarray(values.values.reshape(-1, *values.shape[2:]))
            for name, values in dataset.data_vars.items()
        }

    @cached_property
    def _group_columns(self) -> tuple[int, ...]:
        names = [column.name for column in self.schema.columns]
        return tuple(names.index(group) for group in self.model.groups)

    def _coef(self, draws: IntArray) -> FloatArray:
        coef = self._flat.get("coef")
        return np.zeros((len(draws), 0)) if coef is None else coef[draws]

    def _group_positions(self, codes: IntArray) -> list[IntArray]:
        return [positions_of(known, codes[:, k]) for k, known in zip(self._group_columns, self.levels, strict=True)]

    def _check_rows(self, rows: PatternRows) -> IntArray:
        if rows.schema is not self.schema and rows.schema.columns != self.schema.columns:
            raise CellMismatchError(
                "the rows were put into other cells than the fit's.",
                consequence="The same code would mean another level.",
                hint="OpenSpells.batches(spells, fit.schema)",
            )
        return rows.codes

    def new_group(self, rows: PatternRows) -> BoolArray:
        """Rows with a group level that had no exposure when the fit was made, shape (n,)."""
        codes = self._check_rows(rows)
        new = np.zeros(len(codes), bool)
        for position in self._group_positions(codes):
            new |= position == UNSEEN
        return new

    def new_group_name(self, rows: NamedRows) -> StrArray:
        """Level that makes the group of each row new, of several columns together; empty for a known group."""
        names = np.full(len(rows.codes), "", dtype=object)
        for k, position in zip(self._group_columns, self._group_positions(self._check_rows(rows)), strict=True):
            names = names + np.where(position == UNSEEN, rows.levels[k] + "\n", "")
        return names

    def unseen(self, rows: PatternRows) -> BoolArray:
        """Rows with a level of a fixed effect that had no exposure, shape (n,): they have no prediction."""
        return self.effects.unseen(self._check_rows(rows))

    def refuse_unseen(self, rows: PatternRows) -> None:
        """Raise where :meth:`unseen` is true of any row.

        Raises
        ------
        UnseenLevelError
            With the first five rows.
        """
        bad = np.flatnonzero(self.unseen(rows))
        if len(bad):
            raise UnseenLevelError(
                f"{len(bad):,} of {len(rows.codes):,} rows have a level that the fit has never seen.",
                rows=[{"row": int(i), "codes": rows.codes[i].tolist()} for i in bad[:5]],
                count=len(bad),
                total=len(rows.codes),
                consequence="A fixed effect cannot be guessed.",
                hint="make the column a group, or leave these rows out.",
            )

    def n_at_risk(self, times: FloatArray, rows: PatternRows | None = None) -> IntArray:
        """Training spells at risk at the end of the period that holds each time, 0 beyond the last.

        Parameters
        ----------
        times : array of any shape
            Days on the clock.
        rows : OpenSpells, optional
            Not used: counts are of all training spells, whatever their pattern.
        """
        return np.append(self.counts.at_stop, 0)[self.schema.period_of(np.asarray(times, float))]

    def _multipliers(self, codes: IntArray, draws: IntArray) -> tuple[FloatArray, FloatArray]:
        """Hazard ratio of each row in each draw, and the standard deviation of its new groups' effects."""
        patterns, where = np.unique(codes, axis=0, return_inverse=True)
        where = where.ravel()
        total = prediction.log_multiplier(self._coef(draws), self.effects.matrix(patterns))
        variance = np.zeros_like(total)
        for group, position in zip(self.model.groups, self._group_positions(patterns), strict=True):
            total += prediction.group_part(self._flat[f"{group}_effect"][draws], position)
            variance += (self._flat[f"{group}_effect_sd"][draws] ** 2)[:, None] * (position == UNSEEN)
        return np.exp(total)[:, where], np.sqrt(variance)[:, where]

    def _draws(self, draws: IntArray | None) -> IntArray:
        picked = np.arange(self.n_draws) if draws is None else np.asarray(draws, np.int64)
        if picked.size and (picked.min() < 0 or picked.max() >= self.n_draws):
            raise ArgumentError(f"draws must lie between 0 and {self.n_draws - 1}.", hint="fit.n_draws tells how many.")
        return picked

    def _hazard(self, draws: IntArray) -> FloatArray:
        return np.exp(self._flat["log_baseline"][draws])

    def _baseline_between(self, draws: IntArray, start: FloatArray, stop: FloatArray) -> FloatArray:
        """Cumulative hazard of the reference from start to stop, NaN beyond the last break."""
        last = self.schema.breaks[-1]
        low = np.minimum(start, last)
        value = cumulative_hazard_between(
            self._hazard(draws), breaks=self.schema.breaks, start=low, stop=np.maximum(np.minimum(stop, last), low)
        )
        return np.where((start > last) | (stop > last), np.nan, value)

    def conditional_survival(
        self, rows: ReachedRows, until: FloatArray, *, draws: IntArray | None = None
    ) -> FloatArray:
        """Probability of still having no event at ``until``, given none until ``reached`` (eq. 10 and 11).

        Parameters
        ----------
        rows : OpenSpells
            n customers, put into the cells of :attr:`schema`.
        until : array of shape (n, k)
            Days on the clock.
        draws : array of int, optional
            Positions of draws, chains one after another; all by default.

        Returns
        -------
        array of shape (n_draws, n, k)
            One where ``until <= reached``. NaN beyond the last break, where the data say nothing, and for rows
            with an unseen level of a fixed effect (see :meth:`unseen`). For a group never seen the effect is
            integrated over its distribution, as a ratio of integrals within each draw.
        """
        codes, picked = self._check_rows(rows), self._draws(draws)
        reached = np.asarray(rows.reached, float)[:, None]
        until = np.maximum(np.asarray(until, float), reached)
        multiplier, new_sd = self._multipliers(codes, picked)
        survival = np.exp(-multiplier[:, :, None] * self._baseline_between(picked, reached, until))
        new = np.flatnonzero(self.new_group(rows))
        if len(new):
            survival[:, new] = self._survival_of_new(
                picked, reached[new], until[new], multiplier[:, new, None], new_sd[:, new, None]
            )
        survival[np.broadcast_to(until <= reached, survival.shape)] = 1.0
        survival[:, self.unseen(rows)] = np.nan
        return survival

    def _survival_of_new(
        self, draws: IntArray, reached: FloatArray, until: FloatArray, multiplier: FloatArray, sd: FloatArray
    ) -> FloatArray:
        start = np.full_like(reached, self.schema.breaks[0])
        before = multiplier * self._baseline_between(draws, start, np.maximum(reached, start))
        between = multiplier * self._baseline_between(draws, reached, until)
        return prediction.conditional_survival_of_new_group(before, before + between, sd)

    def joint_survival(
        self, rows: ReachedRows, until: FloatArray, quantile: FloatArray, *, draws: IntArray | None = None
    ) -> FloatArray:
        """:meth:`conditional_survival` of customers of new groups, at a quantile of the effect that a group shares.

        Parameters
        ----------
        rows : OpenSpells
            n customers, all of them of groups never seen.
        until : array of shape (n, k)
            Days on the clock.
        quantile : array of shape (n_draws, n)
            In [0, 1); equal for customers of one group.
        draws : array of int, optional
            As in :meth:`conditional_survival`.

        Returns
        -------
        array of shape (n_draws, n, k)
            Probabilities whose mean over uniform quantiles is that of :meth:`conditional_survival`.
        """
        codes, picked = self._check_rows(rows), self._draws(draws)
        reached = np.asarray(rows.reached, float)[:, None]
        until = np.maximum(np.asarray(until, float), reached)
        multiplier, sd = (part[:, :, None] for part in self._multipliers(codes, picked))
        start = np.full_like(reached, self.schema.breaks[0])
        before = multiplier * self._baseline_between(picked, start, np.maximum(reached, start))
        between = multiplier * self._baseline_between(picked, reached, until)
        return prediction.survival_at_quantile(before, before + between, sd, quantile[:, :, None])

    def _predicted(self, values: FloatArray, rows: PatternRows, times: FloatArray, name: str) -> xr.DataArray:
        import xarray as xr

        sample = self.posterior["posterior"].to_dataset().sizes
        shape = (sample["chain"], sample["draw"], *values.shape[1:])
        customers = getattr(rows, "customer_id", np.arange(len(rows.codes)))
        coords = {"chain": np.arange(shape[0]), "draw": np.arange(shape[1]), "customer": customers, "time": times}
        return xr.DataArray(values.reshape(shape), dims=("chain", "draw", "customer", "time"), coords=coords, name=name)

    def predict_survival_function(self, rows: PatternRows, times: FloatArray) -> xr.DataArray:
        """Probability of no event up to each time, from time zero on the clock.

        Parameters
        ----------
        rows : OpenSpells or CellTable
            n patterns.
        times : array of shape (k,)
            Days on the clock.

        Returns
        -------
        DataArray
            Dims ``(chain, draw, customer, time)``. NaN as in :meth:`conditional_survival`; for a new group the
            effect is integrated over its distribution.
        """
        at = np.asarray(times, float)
        fresh = _Fresh(rows.schema, self._check_rows(rows), np.full(len(rows.codes), self.schema.breaks[0]))
        until = np.broadcast_to(at, (len(rows.codes), len(at)))
        return self._predicted(self.conditional_survival(fresh, until), rows, at, "survival")

    def predict_cumulative_hazard(self, rows: PatternRows, times: FloatArray) -> xr.DataArray:
        """Minus the log of :meth:`predict_survival_function`, same dims."""
        return cast("xr.DataArray", -np.log(self.predict_survival_function(rows, times))).rename("cumulative_hazard")

    def predict_hazard(self, rows: PatternRows, times: FloatArray) -> xr.DataArray:
        """Events a day at each time among those without one so far, same dims.

        For a new group this is a ratio of integrals, density by survival: levels that come back fast leave early.
        """
        at, codes = np.asarray(times, float), self._check_rows(rows)
        draws = self._draws(None)
        last = self.schema.breaks[-1]
        multiplier, sd = self._multipliers(codes, draws)
        baseline = hazard_at(self._hazard(draws), breaks=self.schema.breaks, times=np.minimum(at, last))
        baseline = np.where(at > last, np.nan, baseline)[:, None, :]
        start = np.full_like(at, self.schema.breaks[0])
        risk = multiplier[:, :, None] * self._baseline_between(draws, start, at)[:, None, :]
        hazard = multiplier[:, :, None] * baseline * prediction.mean_ratio_of_survivors(risk, sd[:, :, None])
        hazard[:, self.unseen(rows)] = np.nan
        return self._predicted(hazard, rows, at, "hazard")

    def predict_restricted_mean_survival_time(self, rows: PatternRows, horizon: float) -> xr.DataArray:
        """Days without the event to be expected up to ``horizon``, dims ``(chain, draw, customer)``.

        Parameters
        ----------
        rows : OpenSpells or CellTable
            n patterns.
        horizon : float
            Days on the clock, at most the last break.

        Notes
        -----
        In a period the survival of a known group is an exponential, whose integral is closed; for a new group
        the integral is taken by 8 Gauss–Legendre nodes in each period.
        """
        edges = np.asarray(self.schema.breaks)
        edges = np.append(edges[edges < horizon], horizon)
        nodes, weights = np.polynomial.legendre.leggauss(8)
        width = np.diff(edges)
        times = (edges[:-1, None] + 0.5 * width[:, None] * (nodes + 1.0)).ravel()
        share = (0.5 * width[:, None] * weights).ravel()
        survival = self.predict_survival_function(rows, times)
        return (survival * share).sum("time", skipna=False).rename("rmst")

    def summary(self, ci_prob: float = 0.90) -> pd.DataFrame:
        """Hazard ratios of terms and group levels with equal-tailed intervals.

        Parameters
        ----------
        ci_prob : float
            Probability of the intervals.

        Returns
        -------
        DataFrame
            ``column``, ``level``, ``reference`` (empty for groups: against the average level), ``hazard_ratio``
            (posterior median), ``lower``, ``upper``, ``n_events``, ``exposure``, ``unpooled`` (groups only:
            observed by expected events), ``ci_kind``, ``ci_prob``. On the gap clock the event is the return: above 1
            a customer comes back sooner.
        """
        from churnsurv.models.hierarchical.summaries import effects_frame

        return effects_frame(self, ci_prob)

    def baseline(self, ci_prob: float = 0.90) -> pd.DataFrame:
        """Hazard of the reference pattern by period: ``period``, ``start``, ``stop``, ``hazard``, ``lower``, ``upper``.

        In events a day; groups at their average. Period intervals are (start, stop].
        """
        from churnsurv.models.hierarchical.summaries import baseline_frame

        return baseline_frame(self, ci_prob)

    def pymc_model(self) -> pm.Model:
        """Build the model in PyMC: the same density, on the same cells, in the same coordinates.

        Raises
        ------
        ArgumentError
            For a fit that was loaded: it holds no cells.
        """
        from churnsurv.models.hierarchical.reference import reference_model

        if self.problem is None:
            raise ArgumentError("a loaded fit holds no cells.", hint="fit.model.pymc_model(cells)")
        return reference_model(self.problem)

    def save(self, path: str | Path) -> None:
        """Write the fit to one file, at once or not at all; see :func:`churnsurv.load`."""
        from churnsurv.models.saved import save

        save(self, path)


@dataclass(frozen=True, eq=False)
class _Fresh:
    """Patterns at time zero."""

    schema: CellSchema
    codes: IntArray
    reached: FloatArray

    @property
    def customer_id(self) -> np.ndarray:
        """Positions stand for customers."""
        return np.arange(len(self.codes)).astype(object)


def _counts(problem: Problem, cells: CellTable, posterior: xr.DataTree) -> Counts:
    design, dataset = problem.density.design, posterior["posterior"].to_dataset()
    events, exposure = design.events.sum(axis=1), design.exposure.sum(axis=1)
    mean = dataset.mean(("chain", "draw"))
    coef = mean["coef"].values if "coef" in mean else np.zeros(0)
    own = (design.exposure @ np.exp(mean["log_baseline"].values)) * np.exp(design.x @ coef)
    parts = dict(zip(problem.groups, zip(design.groups, design.n_levels, strict=True), strict=True))
    effects = {group: mean[f"{group}_effect"].values[index] for group, (index, _) in parts.items()}

    def by_level(group: str, values: FloatArray) -> FloatArray:
        index, n = parts[group]
        return np.bincount(index, values, n)

    others = {group: own * np.exp(sum(e for other, e in effects.items() if other != group)) for group in effects}
    return Counts(
        at_stop=np.bincount(cells.period, cells.n_at_stop, cells.schema.n_periods).astype(np.int64),
        term_events=design.x.T @ events,
        term_exposure=design.x.T @ exposure,
        level_events={group: by_level(group, events) for group in parts},
        level_exposure={group: by_level(group, exposure) for group in parts},
        level_expected={group: by_level(group, others[group]) for group in parts},
    )
