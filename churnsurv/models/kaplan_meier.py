"""Kaplan–Meier as a model: one curve for everybody, no covariates, no uncertainty by draws."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from churnsurv._typing import BoolArray, FloatArray, IntArray
from churnsurv.errors import ArgumentError, EmptyDataError
from churnsurv.hazards.nonparametric import kaplan_meier
from churnsurv.hazards.steps import value_at
from churnsurv.models.base import (
    FitInfo,
    FitsOn,
    Groupless,
    PatternRows,
    Progress,
    ReachedRows,
    check_rounded,
    check_spacing,
    check_support,
)
from churnsurv.models.progress import reporter
from churnsurv.tables.schema import CellSchema

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from churnsurv.tables.spells import SpellTable


@dataclass(frozen=True)
class KaplanMeierModel:
    """Share without the event by time on the clock, for all spells together.

    Parameters
    ----------
    rounded : float or None, default None
        Days by which the recorded time of an event may be late: it lies in ``(stop - rounded, stop]``. The curve then
        falls evenly over those days (as in an actuary's life table) instead of at their end.

    Notes
    -----
    Fits on: spells. Supports: delayed entry. The baseline to beat: it knows nothing of customers but the time
    they have reached.

    Examples
    --------
    >>> sorted(KaplanMeierModel().supports)
    ['entry']
    """

    rounded: float | None = None

    supports: ClassVar[frozenset[str]] = frozenset({"entry"})
    fits_on: ClassVar[FitsOn] = "spells"

    def __post_init__(self) -> None:
        """Check the setting once."""
        check_rounded(self.rounded, "KaplanMeierModel")

    @property
    def moves_in_steps(self) -> bool:
        """Whether the curve moves only at times at which events were seen."""
        return self.rounded is None

    def fit(self, spells: SpellTable, *, rng: int = 0, progress: Progress = False) -> KaplanMeierFit:
        """Estimate the curve.

        Parameters
        ----------
        spells : SpellTable
            One cause.
        rng : int
            Not used: there is nothing random.
        progress : bool or callable
            As in :meth:`HierarchicalModel.fit`.

        Returns
        -------
        KaplanMeierFit
            With one chain of one draw.

        Raises
        ------
        ModelSupportError, EmptyDataError
            Before any work.
        """
        began = time.perf_counter()
        check_support(self, spells)
        arrays = spells.arrays()
        entry, exit_, event = (np.asarray(arrays[name]) for name in ("entry", "exit", "event"))
        if len(exit_) == 0:
            raise EmptyDataError("there is not one spell.", hint="look at the window and the definition of activity.")
        with reporter(progress) as report:
            report(0.0, "estimating the curve")
            curve = kaplan_meier(entry=entry, exit=exit_, event=event)
        check_spacing(curve.times[curve.n_events > 0], self.rounded, "KaplanMeierModel")
        digest = hashlib.sha256(np.ascontiguousarray(np.column_stack([entry, exit_, event])).tobytes())
        info = FitInfo(
            status="ok",
            n_spells=len(exit_),
            n_events=int(np.sum(event > 0)),
            exposure=float(np.sum(exit_ - entry)),
            fingerprint=digest.hexdigest(),
            cause=spells.cause or "",
        )
        schema = CellSchema(
            spells.churn, (0.0, max(float(np.max(exit_)), 1.0)), (), timezone=getattr(spells.log, "timezone", "UTC")
        )
        steps = Steps(
            curve.times.astype(np.float64),
            curve.survival.astype(np.float64),
            np.round(curve.n_at_risk).astype(np.int64),
        )
        return KaplanMeierFit(self, schema, replace(info, seconds=time.perf_counter() - began), steps)


@dataclass(frozen=True, eq=False)
class Steps:
    """The curve: right-continuous, arrays of shape (n_times,).

    Parameters
    ----------
    times : array
        Distinct times, increasing.
    survival : array
        Share without the event up to and including each time.
    n_at_risk : array
        Spells at risk just before each time.
    """

    times: FloatArray
    survival: FloatArray
    n_at_risk: IntArray


@dataclass(frozen=True, eq=False)
class KaplanMeierFit(Groupless):
    """The curve as a fit: one chain, one draw.

    Parameters
    ----------
    model : KaplanMeierModel
        The specification.
    schema : CellSchema
        Definition and clock, without columns.
    info : FitInfo
        Data report; nothing was sampled.
    steps : Steps
        The curve.
    """

    model: KaplanMeierModel
    schema: CellSchema
    info: FitInfo
    steps: Steps

    @property
    def n_draws(self) -> int:
        """One: a point estimate."""
        return 1

    @property
    def posterior(self) -> xr.DataTree:
        """The curve with size-1 ``chain`` and ``draw``, and its times on dim ``time``."""
        from churnsurv.models.hierarchical.sampling import posterior_tree

        values = self.steps.survival[None, None]
        return posterior_tree({"survival": (("time",), values)}, {"time": self.steps.times}, {})

    def _survival(self, times: FloatArray) -> FloatArray:
        values = value_at(self.steps.times, self.steps.survival, times, before=1.0)
        if self.model.rounded is not None:
            falls = np.flatnonzero(np.diff(self.steps.survival, prepend=1.0) < 0)
            coming = np.searchsorted(self.steps.times[falls], times, side="right")
            after = np.append(self.steps.times[falls], np.inf)[coming]
            low = np.append(self.steps.survival[falls], 1.0)[coming]
            share = np.clip((times - after) / self.model.rounded + 1.0, 0.0, 1.0)
            values = values + np.where(np.isfinite(after), share, 0.0) * np.where(np.isfinite(after), low - values, 0.0)
        return np.where(times > self.steps.times[-1], np.nan, values)

    def conditional_survival(
        self, rows: ReachedRows, until: FloatArray, *, draws: IntArray | None = None
    ) -> FloatArray:
        """S(until) / S(reached), shape (1, n, k) or (len(draws), n, k); NaN beyond the last time seen.

        Parameters
        ----------
        rows : OpenSpells
            Only ``reached`` is used.
        until : array of shape (n, k)
            Days on the clock.
        draws : array of int, optional
            Zeros: there is one draw.
        """
        if draws is not None and np.any(np.asarray(draws) != 0):
            raise ArgumentError("a Kaplan–Meier fit has one draw, number 0.")
        reached = np.asarray(rows.reached, float)[:, None]
        until = np.asarray(until, float)
        start = self._survival(reached)
        ratio = self._survival(until) / np.where(start > 0, start, np.nan)
        ratio = np.where(until <= reached, 1.0, ratio)
        return np.broadcast_to(ratio, (1 if draws is None else len(draws), *ratio.shape)).copy()

    def n_at_risk(self, times: FloatArray, rows: PatternRows | None = None) -> IntArray:
        """Training spells still at risk just before each time, 0 beyond the last; of all spells, whatever the rows."""
        at = np.searchsorted(self.steps.times, np.asarray(times, float), side="left")
        return np.append(self.steps.n_at_risk, 0)[at]

    def unseen(self, rows: PatternRows) -> BoolArray:
        """No row: there are no fixed effects."""
        return np.zeros(len(rows.codes), bool)

    def predict_survival_function(self, rows: PatternRows, times: FloatArray) -> xr.DataArray:
        """Curve of every row, dims ``(chain, draw, customer, time)``; NaN beyond the last time seen."""
        import xarray as xr

        at = np.asarray(times, float)
        values = np.broadcast_to(self._survival(at), (1, 1, len(rows.codes), len(at)))
        customers = getattr(rows, "customer_id", np.arange(len(rows.codes)))
        coords = {"chain": [0], "draw": [0], "customer": customers, "time": at}
        return xr.DataArray(values, dims=("chain", "draw", "customer", "time"), coords=coords, name="survival")

    def summary(self, ci_prob: float = 0.90) -> pd.DataFrame:
        """Return an empty frame: there are no effects; columns as those of the hierarchical fit."""
        import pandas as pd

        names = ["column", "level", "reference", "hazard_ratio", "lower", "upper", "n_events", "exposure", "unpooled"]
        return pd.DataFrame(columns=names).assign(ci_kind="eti", ci_prob=ci_prob)

    def save(self, path: str | Path) -> None:
        """Write the fit to one file, at once or not at all; see :func:`churnsurv.load`."""
        from churnsurv.models.saved import save

        save(self, path)
