"""The estimate of a Cox model, with its draws, and every question it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from churnsurv._typing import BoolArray, FloatArray, IntArray
from churnsurv._validate import check_ci_prob, check_count
from churnsurv.errors import ArgumentError, CellMismatchError
from churnsurv.hazards.steps import normal_quantile
from churnsurv.models.base import FitInfo, Groupless, PatternRows, ReachedRows, ValuedRows
from churnsurv.models.cox_baseline import NO_STRATUM, Baseline, Draws, hazard_between
from churnsurv.models.cox_rows import BEFORE, Strata, TrainingRows
from churnsurv.models.design import Design
from churnsurv.models.hierarchical.prediction import log_multiplier
from churnsurv.tables.schema import CellSchema

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from lifelines import CoxPHFitter

    from churnsurv.models.cox import CoxModel


@dataclass(frozen=True, eq=False)
class Estimate:
    """Maximum of the (penalised) partial likelihood.

    Parameters
    ----------
    coef : array of shape (n_terms,)
        Log hazard ratios, one unit of each term.
    covariance : array of shape (n_terms, n_terms)
        Inverse of the information.
    robust : array of shape (n_terms, n_terms) or None
        Lin and Wei's sandwich, summed within customers; ``None`` where rows of one customer need no mending.
    log_likelihood, null_log_likelihood : float
        Log partial likelihood at the estimate and at zero, without a penalty.
    """

    coef: FloatArray
    covariance: FloatArray
    robust: FloatArray | None
    log_likelihood: float
    null_log_likelihood: float

    @property
    def used(self) -> FloatArray:
        """The covariance that intervals are made of: the robust one where there is one."""
        return self.covariance if self.robust is None else self.robust


@dataclass(frozen=True, eq=False)
class CoxFit(Groupless):
    """Estimate of a :class:`~churnsurv.models.cox.CoxModel`.

    Parameters
    ----------
    model : CoxModel
        The specification.
    schema : CellSchema
        Of the rows it was fitted on.
    info : FitInfo
        Gate and data report; look at ``status`` first.
    design : Design
        Columns of the formula.
    strata : Strata
        Combinations of levels with a baseline of their own.
    centre : array of shape (n_terms,)
        Mean of the training rows; the baseline is the hazard there.
    estimate : Estimate
        Coefficients and their covariances.
    steps : Baseline
        Efron's step functions.
    draws : Draws
        Coefficients and baselines, drawn together.
    seed : int
        Of the draws.
    rows : TrainingRows or None
        Training rows, as long as the fit lives in memory; ``None`` for a fit that was loaded.
    """

    model: CoxModel
    schema: CellSchema
    info: FitInfo
    design: Design
    strata: Strata
    centre: FloatArray
    estimate: Estimate
    steps: Baseline
    draws: Draws
    seed: int = 0
    rows: TrainingRows | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        """One line."""
        strata = f", {self.steps.n_strata} strata" if self.strata.columns else ""
        return (
            f"CoxFit({self.design.formula!r}{strata}: {self.info.status}, {self.info.n_events:,} events, "
            f"log partial likelihood {self.estimate.log_likelihood:.2f}, {self.n_draws:,} draws)"
        )

    @property
    def coef(self) -> pd.Series:
        """Log hazard ratio of one unit of each term."""
        import pandas as pd

        return pd.Series(self.estimate.coef, index=self._terms, name="coef")

    @property
    def covariance(self) -> pd.DataFrame:
        """Inverse of the information at the estimate, by term."""
        return self._square(self.estimate.covariance)

    @property
    def robust_covariance(self) -> pd.DataFrame | None:
        """Sandwich summed within customers, by term; ``None`` where each customer has one spell and it was not asked for.

        The intervals of :meth:`summary` and the draws use it where it is there.
        """
        return None if self.estimate.robust is None else self._square(self.estimate.robust)

    @property
    def _terms(self) -> pd.Index[str]:
        import pandas as pd

        return pd.Index(self.design.terms, dtype=object, name="term")

    def _square(self, values: FloatArray) -> pd.DataFrame:
        import pandas as pd

        return pd.DataFrame(values, index=self._terms, columns=self._terms.rename(None))

    def summary(self, ci_prob: float = 0.90) -> pd.DataFrame:
        """Effects of the terms.

        Parameters
        ----------
        ci_prob : float
            Probability of the intervals.

        Returns
        -------
        DataFrame
            By term: ``coef`` and its ``se`` (robust where the fit is), ``hazard_ratio`` with ``lower`` and ``upper``,
            ``z``, ``p``. On the gap clock the event is the return: above 1 a customer comes back sooner. ``attrs`` has
            ``ci_kind`` (``"wald"``) and ``ci_prob``.
        """
        import pandas as pd
        from scipy import stats

        width = normal_quantile(check_ci_prob(ci_prob))
        coef, se = self.estimate.coef, np.sqrt(np.diag(self.estimate.used))
        with np.errstate(over="ignore"):  # a ratio per unit of a very small unit may be beyond any number
            ratio, lower, upper = np.exp(coef), np.exp(coef - width * se), np.exp(coef + width * se)
        columns = {"coef": coef, "se": se, "hazard_ratio": ratio, "lower": lower, "upper": upper, "z": coef / se}
        frame = pd.DataFrame({**columns, "p": 2.0 * stats.norm.sf(np.abs(coef / se))}, index=self._terms)
        frame.attrs |= {"ci_kind": "wald", "ci_prob": ci_prob}
        return frame

    @property
    def baseline(self) -> pd.DataFrame:
        """Efron's step function of each stratum for a customer at the mean of the training rows.

        ``stratum``, ``time``, ``n_at_risk``, ``hazard`` (rise at that time), ``cumulative_hazard``, ``survival``.
        """
        return self.steps.frame()

    @property
    def n_draws(self) -> int:
        """Draws in all."""
        return len(self.draws.coef)

    def with_draws(self, draws: int, rng: int = 0) -> CoxFit:
        """Draw again, without fitting again.

        Parameters
        ----------
        draws : int
            How many; 1 is the estimate itself, which has no interval.
        rng : int
            Seed.

        Returns
        -------
        CoxFit
            The same estimate with other draws.
        """
        n_draws = check_count(draws, "draws")
        made = Draws.simulate(self.estimate.coef, self.estimate.used, self.draws.blocks, n_draws, rng)
        return replace(self, draws=made, seed=rng, info=replace(self.info, n_draws=n_draws))

    @cached_property
    def posterior(self) -> xr.DataTree:
        """Draws by name with dims ``chain`` (one) and ``draw``: ``coef`` by term, ``baseline_multiplier`` by block."""
        from churnsurv.models.hierarchical.sampling import posterior_tree

        variables: dict[str, tuple[tuple[str, ...], np.ndarray]] = {
            "baseline_multiplier": (("block",), self.draws.multiplier[None])
        }
        if self.design.terms:
            variables["coef"] = (("term",), self.draws.coef[None])
        coords = {"term": np.asarray(self.design.terms, dtype=object), "block": np.arange(len(self.draws.blocks))}
        return posterior_tree(variables, coords, {})

    def _check_rows(self, rows: PatternRows) -> ValuedRows:
        if rows.schema is not self.schema and rows.schema.columns != self.schema.columns:
            raise CellMismatchError(
                "the rows were put into other cells than the fit's.",
                consequence="The same code would mean another level.",
                hint="OpenSpells.batches(spells, fit.schema)",
            )
        return cast(ValuedRows, rows)

    def stratum(self, rows: PatternRows) -> IntArray:
        """Stratum of each row, shape (n,): position among the strata with an event, -1 for none of them."""
        return self.strata.of(self._check_rows(rows).codes)

    def unseen(self, rows: PatternRows) -> BoolArray:
        """Rows with a level or a stratum never seen, or without a number that is needed: they have no prediction."""
        valued = self._check_rows(rows)
        bad: BoolArray = self.design.unseen(valued.codes, valued.values) | (self.strata.of(valued.codes) == NO_STRATUM)
        return bad

    def n_at_risk(self, times: FloatArray, rows: PatternRows | None = None) -> IntArray:
        """Training spells at risk just before each time, 0 beyond the last.

        Parameters
        ----------
        times : array of any shape
            Days on the clock. With ``rows``, the first axis goes with them.
        rows : OpenSpells, optional
            Count within the stratum of each row; all strata together without.

        Returns
        -------
        array of the shape of ``times``
            At most the number there was: between two times that are kept, the smaller of theirs.
        """
        at = np.asarray(times, float)
        if rows is None:
            return cast(IntArray, sum(one.at(at) for one in self.steps.support))
        stratum, found = self.stratum(rows), np.zeros(at.shape, np.int64)
        for s, one in enumerate(self.steps.support):
            found[stratum == s] = one.at(at[stratum == s])
        return found

    def _picked(self, draws: IntArray | None) -> IntArray:
        if draws is None:
            return np.arange(self.n_draws)
        picked = np.asarray(draws, np.int64)
        if picked.size and (picked.min() < 0 or picked.max() >= self.n_draws):
            raise ArgumentError(f"draws must lie between 0 and {self.n_draws - 1}.", hint="fit.n_draws tells how many.")
        return picked

    def _cumulative_hazard(
        self,
        rows: PatternRows,
        start: FloatArray,
        stop: FloatArray,
        *,
        draws: IntArray | None = None,
        without_events: bool = False,
    ) -> FloatArray:
        """Own cumulative hazard of each row from start to stop, shape (n_draws, n, k); NaN where there is none."""
        valued, unseen, picked = self._check_rows(rows), self.unseen(rows), self._picked(draws)
        x = np.where(unseen[:, None], 0.0, self.design.matrix(valued.codes, valued.values) - self.centre)
        stratum = self.strata.of(valued.codes)
        value = hazard_between(
            self.steps, self.draws, stratum, start, stop, picked=picked, without_events=without_events
        )
        value *= np.exp(log_multiplier(self.draws.coef[picked], x))[:, :, None]
        value[:, unseen] = np.nan
        return value

    def conditional_survival(
        self, rows: ReachedRows, until: FloatArray, *, draws: IntArray | None = None
    ) -> FloatArray:
        """Probability of still having no event at ``until``, given none until ``reached``.

        Parameters
        ----------
        rows : OpenSpells
            n customers, put into the cells of :attr:`schema`.
        until : array of shape (n, k)
            Days on the clock.
        draws : array of int, optional
            Positions of draws; all by default.

        Returns
        -------
        array of shape (n_draws, n, k)
            One where ``until <= reached``. NaN beyond the last time at which anybody of the row's stratum was under
            observation (the baseline does not go on, and it is not flat there), and for rows without a prediction
            (see :meth:`unseen`). A difference of cumulative hazards, so that events at one time count whole. Between
            two neighbouring events the step function would promise that nobody leaves, without an error: there the
            hazard is drawn around that of one event in the whole gap, with a 95 % end of 4.5 of them.
            Curves of :meth:`predict_survival_function` are Efron's steps.
        """
        reached = np.asarray(rows.reached, float)[:, None]
        until = np.asarray(until, float)
        value = self._cumulative_hazard(rows, reached, np.maximum(until, reached), draws=draws, without_events=True)
        np.exp(np.negative(value, out=value), out=value)
        told = (until <= reached) & ~self.unseen(rows)[:, None]
        value[:, told] = 1.0
        return value

    def predict_cumulative_hazard(self, rows: PatternRows, times: Sequence[float] | FloatArray) -> xr.DataArray:
        """Cumulative hazard of each row from time zero up to each time.

        Parameters
        ----------
        rows : OpenSpells or Episodes
            n customers.
        times : array of shape (k,)
            Days on the clock.

        Returns
        -------
        DataArray
            Dims ``(chain, draw, customer, time)``; NaN as in :meth:`conditional_survival`.
        """
        at = np.asarray(times, float)
        n = len(rows.codes)
        value = self._cumulative_hazard(rows, np.full((n, 1), BEFORE), np.broadcast_to(at, (n, len(at))))
        return self._predicted(value, rows, at, "cumulative_hazard")

    def predict_survival_function(self, rows: PatternRows, times: Sequence[float] | FloatArray) -> xr.DataArray:
        """Probability of no event up to each time, from time zero; as :meth:`predict_cumulative_hazard`."""
        return cast("xr.DataArray", np.exp(-self.predict_cumulative_hazard(rows, times))).rename("survival")

    def _predicted(self, values: FloatArray, rows: PatternRows, times: FloatArray, name: str) -> xr.DataArray:
        import xarray as xr

        customers = getattr(rows, "customer_id", np.arange(len(rows.codes)))
        coords = {"chain": [0], "draw": np.arange(len(values)), "customer": customers, "time": times}
        return xr.DataArray(values[None], dims=("chain", "draw", "customer", "time"), coords=coords, name=name)

    @property
    def training(self) -> TrainingRows:
        """Rows the fit was made on.

        Raises
        ------
        ArgumentError
            For a fit that was loaded: it holds none.
        """
        if self.rows is None:
            raise ArgumentError("a loaded fit holds no training rows.", hint="fit again: CoxModel(...).fit(table).")
        return self.rows

    @cached_property
    def lifelines(self) -> CoxPHFitter:
        """The same fit as an object of lifelines, for its summaries, plots and checks.

        A :class:`~churnsurv.models.cox_lifelines.KernelCoxPHFitter`, made when first asked for: lifelines' own frames,
        started at the estimate. ``fit.lifelines_frame()`` is the frame it was given, which
        ``fit.lifelines.check_assumptions(frame)`` needs.

        Raises
        ------
        ArgumentError
            For a fit that was loaded, one with Breslow's ties, or one without terms.
        """
        from churnsurv.models.cox_lifelines import as_lifelines

        return as_lifelines(self)

    def lifelines_frame(self) -> pd.DataFrame:
        """Training rows as :attr:`lifelines` was given them: a column a term, ``stop``, ``event`` and what else is used."""
        from churnsurv.models.cox_lifelines import training_frame

        return training_frame(self)

    def residuals(self, kind: str = "martingale", *, collapse: bool = False) -> pd.DataFrame:
        """Residuals of the training rows; see :func:`churnsurv.models.cox_diagnostics.residuals`."""
        from churnsurv.models import cox_diagnostics

        return cox_diagnostics.residuals(self, kind, collapse=collapse)

    def proportional_hazards_test(self, transform: str = "km") -> pd.DataFrame:
        """Test whether effects change with time; see :func:`churnsurv.models.cox_diagnostics.proportional_hazards_test`."""
        from churnsurv.models import cox_diagnostics

        return cox_diagnostics.proportional_hazards_test(self, transform)

    def save(self, path: str | Path) -> None:
        """Write the fit to one file, at once or not at all, without training rows; see :func:`churnsurv.load`."""
        from churnsurv.models.saved import save

        save(cast(Any, self), path)
