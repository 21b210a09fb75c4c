"""Cause-specific fits combined: what happens first, and which cause it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from churnsurv._typing import BoolArray, FloatArray, IntArray, StrArray
from churnsurv.errors import ArgumentError
from churnsurv.hazards.incidence import added
from churnsurv.models.base import (
    FitInfo,
    NamedRows,
    PatternRows,
    ReachedRows,
    SurvivalFit,
    carries_months,
    check_fitted,
    needs_history,
)
from churnsurv.models.competing_info import check_different, further_uniform, joined_info, paired_draws
from churnsurv.models.competing_rows import CauseRows
from churnsurv.models.competing_schema import common_schema
from churnsurv.models.competing_times import PartTimes, UnitTimes, common_unit, n_parts, points_within, units_ahead
from churnsurv.tables.open_spells import OpenSpells
from churnsurv.tables.schema import CellSchema

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

_FLOATS = 4_000_000
"""Numbers at a time in one array of draws, rows and times; more rows wait for their turn."""

_DRAWS = 32
"""Draws at a time whose incidences are made: they stay in the processor's cache."""

_Survive = Callable[[int, SurvivalFit, CauseRows, FloatArray, IntArray], FloatArray]
"""Survival of one cause alone: its place, fit and rows, times, and draws."""


@dataclass(frozen=True, eq=False)
class CompetingFits:
    r"""One fit per cause, each of which let the other causes censor, put together.

    The likelihood of competing causes falls apart into one factor per cause, so that each may be fitted alone, with a
    model of its own. A single fit knows how fast its cause takes customers, and not how many are left for it to take:
    one minus its survival is the chance of the cause if there were no other, and these chances may add up to more than
    one. Together they tell both:

    .. math:: S(t \mid r) = \prod_c S_c(t \mid r) , \qquad
              F_c(t \mid r) = \int_r^t h_c(u) \, S(u \mid r) \, du , \qquad S + \sum_c F_c = 1 .

    Parameters
    ----------
    fits : mapping of str to SurvivalFit
        A fit for each cause of the definition: hierarchical, Cox or Weibull, or some of each. Made of tables that count
        one cause: ``cells.with_cause(cause)``, ``episodes.with_cause(cause)``.

    Raises
    ------
    ArgumentError
        If a cause has no fit, or the fit of another one.
    DefinitionError, CellMismatchError
        If the fits follow different definitions, or their columns contradict each other.

    Notes
    -----
    The posteriors of the causes are independent, since their likelihoods share nothing. Draws are paired in a fixed order
    that is not that of their numbers: two fits made with one seed have used the same random numbers, and draw 7 of one
    would resemble draw 7 of the other. A fit with one draw goes with every draw of the others, and adds no uncertainty.

    Between the time reached and the time asked about the causes share the customers who leave in short stretches, by
    :func:`~churnsurv.hazards.incidence.incidence_of_causes`: between period breaks where hazards are constant, which is
    exact; and in parts of at most 15 days, 3 to 64 from one time asked about to the next, where they are not (Cox,
    Weibull, new groups, months). Against quadrature, with Weibull shapes of 0.6 and 2.5, that is off by less than 0.0004;
    with steps of one cause at a time, whose order within a part is not looked at, by less than 0.001. Under a frailty or a
    cured share a customer's hazard falls within a period too, since whoever is still there is likelier slow, or out of
    reach: each period is then cut into 6 to 64 parts of about 10 days, shorter ones first, whatever times are asked about.
    Against quadrature, with hazards of 0.02 and 0.005 a day for a year and a frailty of variance 2, that is off by 0.0001; with a
    cured share of 0.3 in its place, by 0.0002.

    Times in whole units are another matter: causes share their times of events, and each fit takes the other causes'
    leavers for exposed until the unit's end. Multiplied, of causes that take 0.4 and 0.2 in a unit, 0.48 stay, and not
    0.4. Where all fits were told so, by the same number of days (``rounded=``), incidences are therefore added up unit by
    unit, by :func:`~churnsurv.hazards.incidence.incidence_in_units`, units being counted from zero on the clock, and
    survival is what they leave. At the ends of units that is Aalen and Johansen's estimate, for Kaplan–Meier fits to the
    last digit, and what lies between rises evenly. Cox with Efron's ties (of 4,000 spells of two causes that take 0.1 to
    0.6 a month together, while 100 are at risk) is within 0.0006 of it, and Weibull within 0.008, the sampling error of
    two parameters. Left as they are: Breslow's ties, whose baseline takes 1 - exp(-q) in place of q (0.51 instead of
    0.60); and hazards in proportion, which chances per unit follow only nearly (0.005 of 0.60 with Cox).
    Without ``rounded=``, or with some fits of each kind, the product stands: in every unit it leaves too many by the
    product of what the causes take. Hierarchical fits need no unit, if events lie inside of it instead of at its end.

    Examples
    --------
    >>> from churnsurv import KaplanMeierModel, SpellTable
    >>> from churnsurv.datasets import simulate_subscription
    >>> from churnsurv.tables.contracts import Cancellation
    >>> business = simulate_subscription(200, rng=1)
    >>> churn = Cancellation(business.truth.causes, origin="kind:signup")
    >>> spells = SpellTable.from_events(business.log, business.window, churn)
    >>> fits = CompetingFits({cause: KaplanMeierModel().fit(spells.with_cause(cause)) for cause in churn.causes})
    >>> fits.causes
    ('cancelled', 'payment_failed')
    """

    fits: Mapping[str, SurvivalFit]

    def __post_init__(self) -> None:
        """Check once, and put the causes in the order of the definition."""
        if not isinstance(self.fits, Mapping) or not self.fits:
            raise ArgumentError("fits= names no cause.", hint='write CompetingFits({"cancelled": fit, …}).')
        for fit in self.fits.values():
            check_fitted(fit)
        causes = next(iter(self.fits.values())).schema.causes
        missing, extra = [c for c in causes if c not in self.fits], [c for c in self.fits if c not in causes]
        if missing or extra:
            raise ArgumentError(
                f"the definition has the causes {', '.join(causes)}; there are fits of {', '.join(map(str, self.fits))}.",
                consequence="A cause without a fit would take nobody, and all the others would seem to take more.",
                hint=f"give one fit for each: CompetingFits({{{', '.join(f'{c!r}: …' for c in causes)}}}).",
            )
        object.__setattr__(self, "fits", {cause: self.fits[cause] for cause in causes})
        check_different(self.fits)
        assert self.schema.causes == causes  # noqa: S101 - and whatever contradicts itself is refused here

    @property
    def causes(self) -> tuple[str, ...]:
        """Names of the causes, in the order of the definition."""
        return tuple(self.fits)

    @cached_property
    def schema(self) -> CellSchema:
        """Columns and breaks of all fits together."""
        return common_schema({cause: fit.schema for cause, fit in self.fits.items()})

    @property
    def model(self) -> dict[str, Any]:
        """Specification of each cause's fit."""
        return {cause: fit.model for cause, fit in self.fits.items()}

    @cached_property
    def info(self) -> FitInfo:
        """Worst of the fits' gates; sums and largest numbers of what they have seen. Messages name the cause."""
        return joined_info({cause: fit.info for cause, fit in self.fits.items()}, self.n_draws)

    @cached_property
    def posterior(self) -> xr.DataTree:
        """Draws of each fit as they are, in a group named after the cause (``/`` written as ``_``)."""
        import xarray as xr

        return xr.DataTree(children={cause.replace("/", "_"): fit.posterior.copy() for cause, fit in self.fits.items()})

    @cached_property
    def n_draws(self) -> int:
        """Pairs of draws: as many as the fit with the fewest has, fits with a single one apart."""
        return min((fit.n_draws for fit in self.fits.values() if fit.n_draws > 1), default=1)

    def __repr__(self) -> str:
        """One line per cause."""
        lines = [f"  {cause}: {fit!r}" for cause, fit in self.fits.items()]
        return "\n".join([f"CompetingFits({len(lines)} causes: {self.info.status}, {self.n_draws:,} draws)", *lines])

    def conditional_survival(
        self, rows: ReachedRows, until: FloatArray, *, draws: IntArray | None = None
    ) -> FloatArray:
        """Probability that no cause has happened at ``until``, given none until ``reached``.

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
            Product over the causes, or, with events in whole units, what the incidences leave; NaN where any cause is.
        """
        return self._survival(rows, until, draws, None)

    def joint_survival(
        self, rows: ReachedRows, until: FloatArray, quantile: FloatArray, *, draws: IntArray | None = None
    ) -> FloatArray:
        """:meth:`conditional_survival`, where a new group's effects are taken at a quantile its customers share.

        Parameters
        ----------
        rows, until, draws
            As in :meth:`conditional_survival`.
        quantile : array of shape (n_draws, n)
            In [0, 1). Each cause has an effect of its own: further uniform numbers are made of this one.
        """
        return self._survival(rows, until, draws, quantile)

    def cumulative_incidence(
        self, rows: ReachedRows, until: FloatArray, *, draws: IntArray | None = None
    ) -> FloatArray:
        """Probability of each cause by ``until``, given that none has happened by ``reached``.

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
        array of shape (n_draws, n, k, n_causes)
            In the order of :attr:`causes`. With :meth:`conditional_survival` they add up to 1. NaN where any cause's
            fit has no answer: whether one cause comes first depends on all of them.
        """
        return self._incidence(rows, until, draws, None)

    def joint_incidence(
        self, rows: ReachedRows, until: FloatArray, quantile: FloatArray, *, draws: IntArray | None = None
    ) -> FloatArray:
        """:meth:`cumulative_incidence` at a quantile of new groups' effects; see :meth:`joint_survival`."""
        return self._incidence(rows, until, draws, quantile)

    def predict_cumulative_incidence(self, rows: PatternRows, times: Sequence[float] | FloatArray) -> xr.DataArray:
        """Probability of each cause up to each time, from time zero on the clock.

        Parameters
        ----------
        rows : OpenSpells or Episodes
            n patterns.
        times : array of shape (k,)
            Days on the clock.

        Returns
        -------
        DataArray
            Dims ``(chain, draw, customer, time, cause)``, one chain.
        """
        import xarray as xr

        at = np.asarray(times, float)
        fresh = _fresh(CauseRows.of(rows, self.schema))
        values = self.cumulative_incidence(fresh, np.broadcast_to(at, (len(fresh), len(at))))
        coords = {
            "chain": [0],
            "draw": np.arange(len(values)),
            "customer": fresh.customer_id,
            "time": at,
            "cause": np.asarray(self.causes, dtype=object),
        }
        dims = ("chain", "draw", "customer", "time", "cause")
        return xr.DataArray(values[None], dims=dims, coords=coords, name="cumulative_incidence")

    def n_at_risk(self, times: FloatArray, rows: PatternRows | None = None) -> IntArray:
        """Training spells at risk at each time: the fewest that any of the fits has."""
        at = np.asarray(times, float)
        counts = [
            fit.n_at_risk(at) if rows is None else fit.n_at_risk(at, self._rows(fit, rows))
            for fit in self.fits.values()
        ]
        return np.min(counts, axis=0).astype(np.int64)

    @property
    def uses_history(self) -> bool:
        """Whether a customer's own past moves the risk of some cause."""
        return any(needs_history(fit) for fit in self.fits.values())

    @property
    def carries_months(self) -> bool:
        """Whether every fit says by itself what the months ahead may be."""
        return all(carries_months(fit) for fit in self.fits.values())

    def new_group(self, rows: PatternRows) -> BoolArray:
        """Rows whose group some fit has never seen."""
        return np.any([fit.new_group(self._rows(fit, rows)) for fit in self.fits.values()], axis=0)

    def new_group_name(self, rows: NamedRows) -> StrArray:
        """Name of the new group of each row, of several fits together; empty for a group that all know."""
        names = np.full(len(rows.codes), "", dtype=object)
        for fit in self.fits.values():
            found = fit.new_group_name(self._rows(fit, rows))
            again = np.fromiter((new in old for new, old in zip(found, names, strict=True)), bool, len(names))
            names = np.where(again, names, names + found)
        return names

    def unseen(self, rows: PatternRows) -> BoolArray:
        """Rows for which some fit has no prediction."""
        return np.any([fit.unseen(self._rows(fit, rows)) for fit in self.fits.values()], axis=0)

    def summary(self, ci_prob: float = 0.90) -> pd.DataFrame:
        """Effects of every fit with intervals.

        Parameters
        ----------
        ci_prob : float
            Probability of the intervals.

        Returns
        -------
        DataFrame
            The fits' own frames one below the other, with the index level ``cause`` in front. A ratio is that of the
            cause-specific hazard: how fast a cause takes those who are still there.
        """
        import pandas as pd

        frames = {cause: fit.summary(ci_prob) for cause, fit in self.fits.items()}
        told = {cause: frame for cause, frame in frames.items() if len(frame)} or frames
        return pd.concat(told, names=["cause"])

    def parameters(self, ci_prob: float = 0.90) -> pd.DataFrame:
        """Parameters that are no hazard ratios, of every hierarchical fit; empty where there is none.

        Parameters
        ----------
        ci_prob : float
            Probability of the equal-tailed intervals.

        Returns
        -------
        DataFrame
            As :meth:`HierarchicalFit.parameters`, with the column ``cause`` in front.
        """
        import pandas as pd

        told = {cause: fit.parameters(ci_prob) for cause, fit in self.fits.items() if hasattr(fit, "parameters")}
        frames = [pd.DataFrame({"cause": cause, **frame}) for cause, frame in told.items()]
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame({"cause": []})

    def save(self, path: str | Path) -> None:
        """Write the fits to one file, at once or not at all; see :func:`churnsurv.load`."""
        from churnsurv.models.saved import save

        save(self, path)

    def _rows(self, fit: SurvivalFit, rows: PatternRows) -> Any:
        """Rows in the cells of one fit: themselves, where these are the common ones."""
        return rows if rows.schema.columns == fit.schema.columns else CauseRows.of(rows, fit.schema)

    def _views(self, rows: ReachedRows) -> dict[str, CauseRows]:
        """Rows in the cells of each fit; refused where they should say what is behind them and do not."""
        if self.uses_history and isinstance(rows, OpenSpells) and rows.history is None:
            raise ArgumentError(
                f"a fit tells customers apart by what they did, and these {len(rows)} rows do not say what is behind them.",
                consequence="Every one of them would be taken for a new customer.",
                hint="OpenSpells.batches(spells, fits.schema, history=True)",
            )
        return {cause: CauseRows.of(rows, fit.schema) for cause, fit in self.fits.items()}

    def _positions(self, draws: IntArray | None) -> dict[str, IntArray]:
        """Draw of each fit that goes with each of the common draws."""
        picked = np.arange(self.n_draws) if draws is None else np.asarray(draws, np.int64)
        if picked.size and (picked.min() < 0 or picked.max() >= self.n_draws):
            raise ArgumentError(
                f"draws must lie between 0 and {self.n_draws - 1}.", hint="fits.n_draws tells how many."
            )
        return {
            cause: paired_draws(k, picked, self.n_draws, fit.n_draws)
            for k, (cause, fit) in enumerate(self.fits.items())
        }

    def _survivals(
        self, rows: Mapping[str, CauseRows], until: FloatArray, positions: Mapping[str, IntArray], survive: _Survive
    ) -> FloatArray:
        """What each cause alone leaves, shape (n_causes, n_draws, n, k)."""
        shape = (max(map(len, positions.values())), *until.shape)
        parts = [
            survive(k, fit, rows[cause], until, positions[cause]) for k, (cause, fit) in enumerate(self.fits.items())
        ]
        return np.stack([np.broadcast_to(part, shape) for part in parts])

    def _survival(
        self, rows: ReachedRows, until: FloatArray, draws: IntArray | None, quantile: FloatArray | None
    ) -> FloatArray:
        if self._unit is not None:
            gone = self._incidence(rows, until, draws, quantile)
            return np.maximum(1.0 - added(np.moveaxis(gone, -1, 0)), 0.0)
        views = self._views(rows)
        survive = _alone if quantile is None else _at_quantile(quantile)
        alone = self._survivals(views, np.asarray(until, float), self._positions(draws), survive)
        return np.asarray(np.prod(alone, axis=0))

    def _incidence(
        self, rows: ReachedRows, until: FloatArray, draws: IntArray | None, quantile: FloatArray | None
    ) -> FloatArray:
        positions = self._positions(draws)
        views = self._views(rows)
        reached = np.asarray(rows.reached, float)
        until = np.maximum(np.asarray(until, float), reached[:, None])
        parts, n_times = self._plan(views, reached, until)
        n_draws, (n, k) = max(map(len, positions.values())), until.shape
        incidence = np.empty((n_draws, n, k, len(self.causes)))
        size = max(1, _FLOATS // (max(n_draws, 1) * n_times * len(self.causes)))
        for start in range(0, n, size):
            some = slice(start, min(start + size, n))
            survive = _alone if quantile is None else _at_quantile(quantile[:, some])
            block = {cause: view.take(np.arange(some.start, some.stop)) for cause, view in views.items()}
            asked = self._asked(reached[some], until[some], parts[some])
            block = {cause: replace(view, reached=asked.start) for cause, view in block.items()}
            alone = self._survivals(block, asked.times, positions, survive)
            for low in range(0, n_draws, _DRAWS):
                few = slice(low, low + _DRAWS)
                incidence[few, some] = np.moveaxis(asked.incidence(alone[:, few]), 0, -1)
        return incidence

    @cached_property
    def _unit(self) -> float | None:
        """Days of the unit that the events of all causes are known to."""
        return common_unit(self.fits.values())

    def _plan(self, views: Mapping[str, CauseRows], reached: FloatArray, until: FloatArray) -> tuple[IntArray, int]:
        """Parts of each stretch, shape (n, k), and the most times that a row is asked about."""
        if self._unit is not None:
            ahead = units_ahead(reached, until, self._unit)
            return np.zeros(until.shape, np.int64), 2 + until.shape[1] + int(ahead.max(initial=0))
        parts = n_parts(reached, until) * self._changes_within(views)[:, None]
        return parts, 1 + until.shape[1] * max(int(parts.max(initial=0)), 1) + len(self._breaks)

    def _asked(self, reached: FloatArray, until: FloatArray, parts: IntArray) -> UnitTimes | PartTimes:
        """Times to ask each cause about."""
        if self._unit is not None:
            return UnitTimes.of(reached, until, self._unit)
        return PartTimes.of(reached, until, parts, self._breaks)

    def _changes_within(self, views: Mapping[str, CauseRows]) -> BoolArray:
        """Rows whose ratio of hazards may change between two of :attr:`_breaks`."""
        changes = np.zeros(len(next(iter(views.values()))), bool)
        for cause, fit in self.fits.items():
            constant = _constant_between_breaks(fit) and not carries_months(fit)
            changes |= fit.new_group(views[cause]) if constant else True
        return changes

    @cached_property
    def _breaks(self) -> FloatArray:
        """Every break at which a hazard jumps, and times between which it falls as the quick ones leave."""
        jumps = [np.asarray(fit.schema.breaks) for fit in self.fits.values() if _constant_between_breaks(fit)]
        falls = [points_within(fit.schema.breaks) for fit in self.fits.values() if needs_history(fit)]
        return np.unique(np.concatenate(jumps + falls)) if jumps + falls else np.zeros(0)


def _constant_between_breaks(fit: SurvivalFit) -> bool:
    """Whether a hazard is constant within each period at a known frailty: what can be learnt from cells."""
    return bool(fit.model.fits_on == "cells")


def _alone(k: int, fit: SurvivalFit, rows: CauseRows, until: FloatArray, draws: IntArray) -> FloatArray:
    return fit.conditional_survival(rows, until, draws=draws)


def _at_quantile(quantile: FloatArray) -> _Survive:
    """Survival of one cause at a quantile of its new groups' effects; known groups have none."""

    def survive(k: int, fit: SurvivalFit, rows: CauseRows, until: FloatArray, draws: IntArray) -> FloatArray:
        value = fit.conditional_survival(rows, until, draws=draws)
        new = np.flatnonzero(fit.new_group(rows))
        if len(new):
            own = further_uniform(quantile[:, new], k)
            value = np.broadcast_to(value, (len(own), *value.shape[1:])).copy()
            value[:, new] = fit.joint_survival(rows.take(new), until[new], own, draws=draws)
        return value

    return survive


def _fresh(rows: CauseRows) -> CauseRows:
    """The same rows at time zero."""
    zero = np.full(len(rows), float(rows.schema.breaks[0]))
    return CauseRows(rows.schema, rows.customer_id, zero, rows.codes, rows.levels, rows.values)
