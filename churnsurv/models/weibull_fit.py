"""The estimate of a Weibull model, with its draws, and every question it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from churnsurv._typing import BoolArray, FloatArray, IntArray
from churnsurv._validate import check_count
from churnsurv.errors import ArgumentError, CellMismatchError
from churnsurv.hazards.weibull import cumulative_hazard_between, restricted_mean
from churnsurv.models.base import FitInfo, Groupless, PatternRows, ReachedRows, ValuedRows
from churnsurv.models.design import Design
from churnsurv.models.hierarchical.prediction import log_multiplier
from churnsurv.models.support import Support
from churnsurv.models.weibull_maximum import Estimate
from churnsurv.models.weibull_rows import WeibullRows
from churnsurv.tables.schema import CellSchema

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from lifelines import WeibullAFTFitter

    from churnsurv.models.weibull import WeibullModel


@dataclass(frozen=True, eq=False)
class WeibullFit(Groupless):
    """Estimate of a :class:`~churnsurv.models.weibull.WeibullModel`.

    Parameters
    ----------
    model : WeibullModel
        The specification.
    schema : CellSchema
        Of the rows it was fitted on.
    info : FitInfo
        Gate and data report; look at ``status`` first.
    design, shape_design : Design
        Columns of the two formulas.
    estimate : Estimate
        Parameters and their covariances.
    support : Support
        Training spells at risk.
    draws : array of shape (n_draws, n_parameters)
        Parameters, in the order of the estimate.
    seed : int
        Of the draws.
    rows : WeibullRows or None
        Training rows, as long as the fit lives in memory; ``None`` for a fit that was loaded.
    """

    model: WeibullModel
    schema: CellSchema
    info: FitInfo
    design: Design
    shape_design: Design
    estimate: Estimate
    support: Support
    draws: FloatArray
    seed: int = 0
    rows: WeibullRows | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        """One line."""
        shape = f", shape={self.shape_design.formula!r}" if self.shape_design.terms else ""
        return (
            f"WeibullFit({self.design.formula!r}{shape}: {self.info.status}, {self.info.n_events:,} events, "
            f"log likelihood {self.estimate.log_likelihood:.2f}, {self.n_draws:,} draws)"
        )

    @property
    def n_draws(self) -> int:
        """Draws in all."""
        return len(self.draws)

    @property
    def coef(self) -> pd.Series:
        """Log time ratio of one unit of each term."""
        import pandas as pd

        index = pd.Index(self.design.terms, dtype=object, name="term")
        return pd.Series(self.estimate.parameters[1 : self.estimate.n_scale], index=index, name="coef")

    @cached_property
    def posterior(self) -> xr.DataTree:
        """Draws by name, dims ``chain`` (one) and ``draw``.

        ``log_scale`` and ``log_shape`` are the intercepts: of a row with every number 0 and every level the reference.
        ``coef`` is by ``term``, ``shape_coef`` by ``shape_term``.
        """
        from churnsurv.models.hierarchical.sampling import posterior_tree

        cut, values = self.estimate.n_scale, self.draws[None]
        variables: dict[str, tuple[tuple[str, ...], np.ndarray]] = {
            "log_scale": ((), values[..., 0]),
            "log_shape": ((), values[..., cut]),
        }
        coords = {}
        for name, dim, design, at in (
            ("coef", "term", self.design, values[..., 1:cut]),
            ("shape_coef", "shape_term", self.shape_design, values[..., cut + 1 :]),
        ):
            if design.terms:
                variables[name] = ((dim,), at)
                coords[dim] = np.asarray(design.terms, dtype=object)
        return posterior_tree(variables, coords, {})

    def with_draws(self, draws: int, rng: int = 0) -> WeibullFit:
        """Draw again, without fitting again.

        Parameters
        ----------
        draws : int
            How many; 1 is the estimate itself, which has no interval.
        rng : int
            Seed.

        Returns
        -------
        WeibullFit
            The same estimate with other draws.
        """
        made = draw(self.estimate, check_count(draws, "draws"), rng)
        return replace(self, draws=made, seed=rng, info=replace(self.info, n_draws=len(made)))

    def summary(self, ci_prob: float = 0.90) -> pd.DataFrame:
        """Effects of the terms, read as time ratios and, where that has a meaning, as hazard ratios.

        Parameters
        ----------
        ci_prob : float
            Probability of the intervals.

        Returns
        -------
        DataFrame
            By term: ``coef`` and its ``se`` (robust where the fit is), ``time_ratio`` with ``lower`` and ``upper``,
            ``hazard_ratio`` with ``hazard_ratio_lower`` and ``hazard_ratio_upper``, ``z``, ``p``. A time ratio of 2
            doubles every time; on the gap clock the event is the return: above 1 a customer comes back later. Hazard
            ratios are NaN where the shape has terms (see :meth:`hazard_ratios`). ``attrs`` has ``ci_kind``
            (``"wald"``) and ``ci_prob``.
        """
        from churnsurv.models.weibull_summary import effects_frame

        return effects_frame(self, ci_prob)

    def hazard_ratios(self, ci_prob: float = 0.90) -> pd.DataFrame:
        """Effects read as hazard ratios: exp(-coef * shape), with intervals by the delta method.

        Parameters
        ----------
        ci_prob : float
            Probability of the intervals.

        Returns
        -------
        DataFrame
            By term: ``log_hazard_ratio``, ``se``, ``hazard_ratio``, ``lower``, ``upper``.

        Raises
        ------
        ModelSupportError
            If the shape has terms: then the ratio of two hazards changes with time.
        """
        from churnsurv.models.weibull_summary import hazard_ratio_frame

        return hazard_ratio_frame(self, ci_prob)

    def parameters(self, ci_prob: float = 0.90) -> pd.DataFrame:
        """All parameters with intervals, by ``parameter`` (``log_scale``, ``log_shape``) and ``term``.

        ``coef``, ``se``, ``lower``, ``upper``. R's ``survreg`` has the intercept and coefficients of ``log_scale``, and
        minus those of ``log_shape`` as the log of its scale.
        """
        from churnsurv.models.weibull_summary import parameter_frame

        return parameter_frame(self, ci_prob)

    def _check_rows(self, rows: PatternRows) -> ValuedRows:
        if rows.schema is not self.schema and rows.schema.columns != self.schema.columns:
            raise CellMismatchError(
                "the rows were put into other cells than the fit's.",
                consequence="The same code would mean another level.",
                hint="OpenSpells.batches(spells, fit.schema)",
            )
        return cast(ValuedRows, rows)

    def unseen(self, rows: PatternRows) -> BoolArray:
        """Rows with a level never seen, or without a number that is needed: they have no prediction, shape (n,)."""
        known = self._check_rows(rows)
        return self.design.unseen(known.codes, known.values) | self.shape_design.unseen(known.codes, known.values)

    def n_at_risk(self, times: FloatArray, rows: PatternRows | None = None) -> IntArray:
        """Training spells at risk just before each time, 0 beyond the last: where they are few, answers extrapolate.

        Parameters
        ----------
        times : array of any shape
            Days on the clock.
        rows : OpenSpells, optional
            Not used: counts are of all training spells.

        Returns
        -------
        array of the shape of ``times``
            Counted on a grid of about 500 quantiles of the spells' ends; in between, the smaller of its neighbours.
        """
        return self.support.at(np.asarray(times, float))

    def _parameters_of(self, rows: ValuedRows, draws: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Log scale and log shape of each row in each draw, shape (n_draws, n)."""
        cut = self.estimate.n_scale
        x, z = (design.matrix(rows.codes, rows.values) for design in (self.design, self.shape_design))
        log_scale = draws[:, :1] + log_multiplier(draws[:, 1:cut], x)
        return log_scale, draws[:, cut : cut + 1] + log_multiplier(draws[:, cut + 1 :], z)

    def _hazard_between(self, rows: PatternRows, start: FloatArray, stop: FloatArray, draws: FloatArray) -> FloatArray:
        """Own cumulative hazard of each row from start to stop, shape (n_draws, n, k); NaN where there is none."""
        log_scale, log_shape = self._parameters_of(self._check_rows(rows), draws)
        value = cumulative_hazard_between(start, stop, log_scale=log_scale[:, :, None], log_shape=log_shape[:, :, None])
        value[:, self.unseen(rows)] = np.nan
        return value

    def conditional_survival(
        self, rows: ReachedRows, until: FloatArray, *, draws: IntArray | None = None
    ) -> FloatArray:
        r"""Probability of still having no event at ``until``, given none until ``reached``.

        .. math:: S(u \mid r) = \exp[-\{(u / \lambda)^{\rho} - (r / \lambda)^{\rho}\}]

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
            One where ``until <= reached``. NaN for rows without a prediction (see :meth:`unseen`). Beyond the data
            the curve goes on as the distribution says: :meth:`n_at_risk` tells how many spells stand behind it.
        """
        reached = np.asarray(rows.reached, float)[:, None]
        until = np.maximum(np.asarray(until, float), reached)
        return np.exp(-self._hazard_between(rows, reached, until, self._picked(draws)))

    def _picked(self, draws: IntArray | None) -> FloatArray:
        if draws is None:
            return self.draws
        picked = np.asarray(draws, np.int64)
        if picked.size and (picked.min() < 0 or picked.max() >= self.n_draws):
            raise ArgumentError(f"draws must lie between 0 and {self.n_draws - 1}.", hint="fit.n_draws tells how many.")
        return self.draws[picked]

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
        at, n = np.asarray(times, float), len(rows.codes)
        value = self._hazard_between(rows, np.zeros((n, 1)), np.broadcast_to(at, (n, len(at))), self.draws)
        return self._predicted(value, rows, "cumulative_hazard", time=at)

    def predict_survival_function(self, rows: PatternRows, times: Sequence[float] | FloatArray) -> xr.DataArray:
        """Probability of no event up to each time, from time zero; as :meth:`predict_cumulative_hazard`."""
        return cast("xr.DataArray", np.exp(-self.predict_cumulative_hazard(rows, times))).rename("survival")

    def predict_hazard(self, rows: PatternRows, times: Sequence[float] | FloatArray) -> xr.DataArray:
        """Events a day at each time (> 0) among those without one so far; as :meth:`predict_cumulative_hazard`."""
        shape = np.exp(self._parameters_of(self._check_rows(rows), self.draws)[1])
        whole = self.predict_cumulative_hazard(rows, times)
        return (whole * shape[None, :, :, None] / whole["time"]).rename("hazard")

    def predict_restricted_mean_survival_time(self, rows: PatternRows, horizon: float) -> xr.DataArray:
        """Days without the event to be expected up to ``horizon``, dims ``(chain, draw, customer)``.

        Parameters
        ----------
        rows : OpenSpells or Episodes
            n customers.
        horizon : float
            Days on the clock.
        """
        log_scale, log_shape = self._parameters_of(self._check_rows(rows), self.draws)
        value = restricted_mean(np.asarray(float(horizon)), log_scale=log_scale, log_shape=log_shape)
        value[:, self.unseen(rows)] = np.nan
        return self._predicted(value, rows, "rmst")

    def _predicted(self, values: FloatArray, rows: PatternRows, name: str, **more: FloatArray) -> xr.DataArray:
        import xarray as xr

        customers = getattr(rows, "customer_id", np.arange(len(rows.codes)))
        coords = {"chain": [0], "draw": np.arange(len(values)), "customer": customers, **more}
        return xr.DataArray(values[None], dims=tuple(coords), coords=coords, name=name)

    @cached_property
    def lifelines(self) -> WeibullAFTFitter:
        """The same fit as an object of lifelines, for its summaries and plots; made when first asked for.

        Raises
        ------
        ArgumentError
            For a fit that was loaded.
        ModelSupportError
            If lifelines' optimiser does not arrive on these rows.
        """
        from churnsurv.models.weibull_lifelines import as_lifelines

        return as_lifelines(self)

    @property
    def training(self) -> WeibullRows:
        """Rows the fit was made on.

        Raises
        ------
        ArgumentError
            For a fit that was loaded: it holds none.
        """
        if self.rows is None:
            raise ArgumentError("a loaded fit holds no training rows.", hint="fit again: WeibullModel(...).fit(table).")
        return self.rows

    def save(self, path: str | Path) -> None:
        """Write the fit to one file, at once or not at all, without training rows; see :func:`churnsurv.load`."""
        from churnsurv.models.saved import save

        save(cast(Any, self), path)


def draw(estimate: Estimate, n_draws: int, rng: int) -> FloatArray:
    """Draw parameters from the normal distribution of the estimate; one draw is the estimate itself.

    Returns
    -------
    array of shape (n_draws, n_parameters)
    """
    if n_draws == 1:
        return estimate.parameters[None].copy()
    sd = np.sqrt(np.maximum(np.diag(estimate.used), np.finfo(float).tiny))
    size, axes = np.linalg.eigh(estimate.used / np.outer(sd, sd))
    noise = np.random.default_rng(rng).standard_normal((n_draws, len(sd)))
    return np.asarray(estimate.parameters + sd * (noise * np.sqrt(np.maximum(size, 0.0)) @ axes.T))
