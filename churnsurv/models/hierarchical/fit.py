"""The posterior of a hierarchical model, and every question it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from churnsurv._typing import BoolArray, FloatArray, IntArray, StrArray
from churnsurv.errors import ArgumentError, CellMismatchError
from churnsurv.models.base import FitInfo, NamedRows, PatternRows, ReachedRows
from churnsurv.models.formula import Effects
from churnsurv.models.hierarchical import curves, known, lifetimes
from churnsurv.models.hierarchical.arguments import check_rows
from churnsurv.models.hierarchical.counts import Counts, counts_of
from churnsurv.models.hierarchical.mixing import (
    gone_given,
    survival_at_quantile,
    survival_given,
)
from churnsurv.models.hierarchical.predictor import Predictor
from churnsurv.models.hierarchical.priors import Prior
from churnsurv.models.hierarchical.prospects import Past, no_past, origin_of, past_of, unseen_in, values_of
from churnsurv.tables.schema import CellSchema

if TYPE_CHECKING:
    import pandas as pd
    import pymc as pm
    import xarray as xr

    from churnsurv.models.hierarchical.density import Natural
    from churnsurv.models.hierarchical.model import HierarchicalModel
    from churnsurv.models.hierarchical.problem import Problem, Structure
    from churnsurv.tables.episodes import Episodes
    from churnsurv.tables.open_spells import OpenSpells
    from churnsurv.tables.spells import SpellTable


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
        ``{group}_effect_sd``, ``frailty_sd``, …
    info : FitInfo
        Gate and data report; look at ``status`` first.
    structure : Structure
        What its parameters are.
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
    structure: Structure
    priors: Mapping[str, Prior]
    counts: Counts
    seed: int = 0
    problem: Problem | None = field(default=None, repr=False)

    @classmethod
    def from_problem(
        cls,
        model: HierarchicalModel,
        problem: Problem,
        schema: CellSchema,
        at_stop: IntArray,
        posterior: xr.DataTree,
        info: FitInfo,
        *,
        mean: Natural,
        seed: int,
    ) -> HierarchicalFit:
        """Put together what sampling has made."""
        return cls(
            model=model,
            schema=schema,
            posterior=posterior,
            info=info,
            structure=problem.structure,
            priors=problem.priors,
            counts=counts_of(problem, at_stop, mean),
            seed=seed,
            problem=problem,
        )

    def __repr__(self) -> str:
        """One line."""
        how = (
            f"approximate, Pareto-k̂ {self.info.pareto_k:.2f}"
            if self.info.method == "laplace"
            else f"R-hat {self.info.rhat_max:.3f}"
        )
        return (
            f"HierarchicalFit({self.model.formula!r}, {self.model.parts()}: {self.info.status}, "
            f"{self.n_draws:,} draws, {how}, {self.info.ess_min:,.0f} effective)"
        )

    @property
    def n_draws(self) -> int:
        """Draws of all chains together."""
        sizes = self.posterior["posterior"].to_dataset().sizes
        return int(sizes["chain"] * sizes["draw"])

    @cached_property
    def _flat(self) -> dict[str, FloatArray]:
        """Draws of every variable with chain and draw in one axis."""
        dataset = self.posterior["posterior"].to_dataset()
        return {
            str(name): np.ascontiguousarray(values.values.reshape(-1, *values.shape[2:]))
            for name, values in dataset.data_vars.items()
        }

    @property
    def effects(self) -> Effects:
        """Terms of the formula."""
        return self.structure.terms.effects

    @property
    def uses_history(self) -> bool:
        """Whether a customer's own past moves her risk: then rows need their ``history``."""
        return self.model.needs_customers

    @property
    def carries_months(self) -> bool:
        """Whether the level of calendar months goes on beyond the data."""
        return self.model.calendar

    @property
    def n_months(self) -> int:
        """Calendar months that the level was learnt from, from the first to the last of the data; 0 without a calendar."""
        return self.structure.months[1] - self.structure.months[0] + 1 if self.structure.months else 0

    @property
    def month_drift(self) -> float:
        """Posterior median of the standard deviation of the log level's step from month to month; 0 where none is known."""
        return float(np.median(self._flat["month_sd"])) if "month_sd" in self._flat else 0.0

    @cached_property
    def _predictor(self) -> Predictor:
        return Predictor(self.structure, self.schema, self.model.baseline, self._flat, self.seed)

    def _check_rows(self, rows: PatternRows) -> IntArray:
        check_rows(self, rows, "unseen(rows)")
        if rows.schema is not self.schema and rows.schema.columns != self.schema.columns:
            raise CellMismatchError(
                "the rows were put into other cells than the fit's.",
                consequence="The same code would mean another level.",
                hint="OpenSpells.batches(spells, fit.schema)",
            )
        return rows.codes

    def new_group(self, rows: PatternRows) -> BoolArray:
        """Rows with a group level that had no exposure when the fit was made, shape (n,)."""
        return known.new_group(self.structure, self._check_rows(rows))

    def new_group_name(self, rows: NamedRows) -> StrArray:
        """Level that makes the group of each row new, of several columns together; empty for a known group."""
        return known.new_group_name(self.structure, self._check_rows(rows), rows.levels)

    def unseen(self, rows: PatternRows) -> BoolArray:
        """Rows with a level of a fixed effect that had no exposure, shape (n,): they have no prediction."""
        return unseen_in(self.structure, self._check_rows(rows), values_of(rows))

    def refuse_unseen(self, rows: PatternRows) -> None:
        """Raise where :meth:`unseen` is true of any row.

        Raises
        ------
        UnseenLevelError
            With the first five rows.
        """
        known.refuse_unseen(self.structure, rows, self.unseen(rows))

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

    def _draws(self, draws: IntArray | None) -> IntArray:
        picked = np.arange(self.n_draws) if draws is None else np.asarray(draws, np.int64)
        if picked.size and (picked.min() < 0 or picked.max() >= self.n_draws):
            raise ArgumentError(f"draws must lie between 0 and {self.n_draws - 1}.", hint="fit.n_draws tells how many.")
        return picked

    def _past(self, rows: ReachedRows, draws: IntArray) -> Past:
        if not self.uses_history and not self.new_group(rows).any():
            return no_past(len(rows.codes))
        how = {"use": self.uses_history, "on_cells": self.info.n_cells > 0}
        return past_of(self._predictor, rows, draws, self.info.cause, rounded=self.model.rounded, **how)

    def _mixing(self, draws: IntArray) -> tuple[FloatArray | None, FloatArray | None]:
        """Variance of the frailty and logit of the cured share by draw, shape (n_draws, 1, 1)."""
        variance = self._flat["frailty_sd"][draws, None, None] ** 2 if self.model.frailty else None
        return variance, self._flat["cure_logit"][draws, None, None] if self.model.cure else None

    def conditional_survival(
        self, rows: ReachedRows, until: FloatArray, *, draws: IntArray | None = None
    ) -> FloatArray:
        """Probability of still having no event at ``until``, given none until ``reached`` and all that went before.

        Equations 10, 11 and 35 of ``docs/explanation/hierarchical.md``.

        Parameters
        ----------
        rows : OpenSpells
            n customers, put into the cells of :attr:`schema`; with their ``history`` where :attr:`uses_history`
            (without, nothing is known of them but that ``reached`` was reached). Where the level moves by month, the
            months that lie between are those of the rows' ``origin``, and beyond the data a path in each draw that all
            rows share; for rows without an ``origin`` (patterns, curves of a population) every month is the average
            one of the data: walk at 0, mean season.
        until : array of shape (n, k)
            Days on the clock.
        draws : array of int, optional
            Positions of draws, chains one after another; all by default.

        Returns
        -------
        array of shape (n_draws, n, k)
            One where ``until <= reached``. NaN beyond the last break, where the data say nothing, and for rows
            with an unseen level of a fixed effect (see :meth:`unseen`). A frailty, a cured share and the effect of a
            group never seen are integrated out, as ratios of integrals within each draw.
        """
        check_rows(self, rows, "conditional_survival(rows, until)", reached=True)
        codes, picked = self._check_rows(rows), self._draws(draws)
        reached = np.asarray(rows.reached, float)[:, None]
        until = np.maximum(np.asarray(until, float), reached)
        ratio, sd = self._predictor.multipliers(codes, values_of(rows), picked)
        further = ratio[:, :, None] * self._predictor.between(codes, reached, until, picked, origin_of(rows))
        past = self._past(rows, picked)
        variance, logit = self._mixing(picked)
        survival = survival_given(past, further, variance, logit, None)
        new = np.flatnonzero(self.new_group(rows))
        if len(new):
            survival[:, new] = survival_given(past.take(new), further[:, new], variance, logit, sd[:, new, None])
        survival[np.broadcast_to(until <= reached, survival.shape)] = 1.0
        survival[:, self.unseen(rows)] = np.nan
        return survival

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
        ratio, sd = (part[:, :, None] for part in self._predictor.multipliers(codes, values_of(rows), picked))
        further = ratio * self._predictor.between(codes, reached, until, picked, origin_of(rows))
        return survival_at_quantile(self._past(rows, picked), further, *self._mixing(picked), sd, quantile[:, :, None])

    def probability_gone(self, rows: ReachedRows, *, draws: IntArray | None = None) -> FloatArray:
        """Probability that each customer has left for good (or is immune), given all that is known of her (eq. 36).

        It is what is left of :meth:`conditional_survival` as time goes on.

        Parameters
        ----------
        rows, draws
            As in :meth:`conditional_survival`.

        Returns
        -------
        array of shape (n_draws, n)
            The effect of a group never seen is integrated out. NaN where ``reached`` lies beyond the last break of a
            piecewise baseline, and for rows with an unseen level of a fixed effect.

        Raises
        ------
        ArgumentError
            If the model has no cured share.
        """
        if not self.model.cure:
            raise ArgumentError("the model has no cured share.", hint="HierarchicalModel(…, cure=True)")
        check_rows(self, rows, "probability_gone(rows)", reached=True)
        picked = self._draws(draws)
        past, variance = self._past(rows, picked), self._mixing(picked)[0]
        logit = cast(FloatArray, self._mixing(picked)[1])
        gone, new = gone_given(past, variance, logit, None), np.flatnonzero(self.new_group(rows))
        if len(new):
            _, sd = self._predictor.multipliers(rows.codes, values_of(rows), picked)
            gone[:, new] = gone_given(past.take(new), variance, logit, sd[:, new, None])
        last = self.schema.breaks[-1] if self.model.baseline == "piecewise" else np.inf
        gone[:, self.unseen(rows) | (np.asarray(rows.reached, float) > last)] = np.nan
        return gone

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
            effect is integrated over its distribution, and every calendar month is the average one.
        """
        return curves.survival_curves(self, rows, times)

    def predict_cumulative_hazard(self, rows: PatternRows, times: FloatArray) -> xr.DataArray:
        """Minus the log of :meth:`predict_survival_function`, same dims."""
        return cast("xr.DataArray", -np.log(self.predict_survival_function(rows, times))).rename("cumulative_hazard")

    def predict_hazard(self, rows: PatternRows, times: FloatArray) -> xr.DataArray:
        """Events a day at each time among those without one so far, same dims.

        With a frailty, a cured share or a new group this is a ratio of integrals, density by survival: those with a
        high hazard leave early.
        """
        return curves.hazard_curves(self, rows, times)

    def predict_restricted_mean_survival_time(self, rows: PatternRows, horizon: float) -> xr.DataArray:
        """Days without the event to be expected up to ``horizon``, dims ``(chain, draw, customer)``.

        Memory is that of the answer and about 300 MB: curves are made and summed up a part at a time.

        Parameters
        ----------
        rows : OpenSpells or CellTable
            n patterns.
        horizon : float
            Days on the clock, > 0; else a ``HorizonError``. NaN beyond the last break of a piecewise baseline.
        """
        return lifetimes.restricted_mean(self, rows, horizon)

    def expected_remaining_lifetime(self, rows: OpenSpells, horizon: float) -> xr.DataArray:
        """Days without the event to be expected within the next ``horizon`` days, given all that is known of a customer.

        A restricted mean of the further time, dims ``(chain, draw, customer)``: on the tenure clock how long she will
        still be a customer, on the gap clock how long she will still be silent.

        Parameters
        ----------
        rows : OpenSpells
            n customers; with their ``history`` where :attr:`uses_history`.
        horizon : float
            Days ahead, > 0; else a ``HorizonError``. NaN beyond the last break of a piecewise baseline.
        """
        return lifetimes.remaining(self, rows, horizon)

    def check_survival(
        self,
        spells: SpellTable | Episodes,
        by: str | None = None,
        *,
        times: Sequence[float] | None = None,
        ci_prob: float = 0.90,
        rng: int = 0,
    ) -> pd.DataFrame:
        """Kaplan–Meier of spells beside what the fit expects of them: a posterior predictive check.

        What is expected is told for those who were observed at each time, from what each customer had done by then
        (see :mod:`churnsurv.models.hierarchical.in_turn`); bounds hold the randomness of as many events too.

        Parameters
        ----------
        spells : SpellTable or Episodes
            Spells of the fit's definition, or rows with its columns. Of more than 50,000 rows, those of as many customers
            are taken, evenly spaced.
        by : str, optional
            A column of the rows, whether the model uses it or not, or ``"earlier events"``: how often the customer had
            come back before. Everyone together by default.
        times : sequence of float, optional
            Days on the clock; the breaks by default. A curve ends where fewer than 10 are at risk.
        ci_prob : float
            Probability of the equal-tailed bounds.
        rng : int
            Seed.

        Returns
        -------
        DataFrame
            ``group``, ``time``, ``n_at_risk``, ``observed`` (Kaplan–Meier), ``lower``, ``median``, ``upper``
            (expected), ``outside`` (of a good model, in one of ten places at ``ci_prob=0.9``), ``ci_kind``, ``ci_prob``.
        """
        from churnsurv.models.hierarchical.checks import check_survival

        return check_survival(self, spells, by, times=times, ci_prob=ci_prob, rng=rng)

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

        See Also
        --------
        parameters : What is no hazard ratio: frailty, cured share, shapes, spreads, correlations.
        baseline : Hazard of the reference.
        """
        from churnsurv.models.hierarchical.summaries import effects_frame

        return effects_frame(self, ci_prob)

    def parameters(self, ci_prob: float = 0.90) -> pd.DataFrame:
        """Parameters that are no hazard ratios: how far customers, groups and months scatter, cured share, shape.

        Parameters
        ----------
        ci_prob : float
            Probability of the equal-tailed intervals.

        Returns
        -------
        DataFrame
            ``parameter``; ``of`` (group and term; empty for the whole model); ``median``, ``lower``, ``upper``; ``unit``;
            ``meaning`` (what the median says, in words); ``variable`` (in :attr:`posterior`); ``ci_kind``, ``ci_prob``. A
            cured share is in per cent, a Weibull ``shape`` 1 for a hazard that does not change, ``median_time`` in days.
        """
        from churnsurv.models.hierarchical.parameters import parameters_frame

        return parameters_frame(self, ci_prob)

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
