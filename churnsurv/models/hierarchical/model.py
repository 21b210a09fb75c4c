"""Piecewise-exponential hazard with a random-walk baseline, effects by formula and random effects by group."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from churnsurv.errors import (
    ArgumentError,
    ConvergenceWarning,
    DataWarning,
    EmptyDataError,
    FormulaError,
    NoEventsError,
    compose_message,
)
from churnsurv.models.base import FitsOn, Progress, check_support
from churnsurv.models.grammar import check_formula
from churnsurv.models.hierarchical import sampling
from churnsurv.models.hierarchical.fit import HierarchicalFit
from churnsurv.models.hierarchical.mode import Mode, find_mode
from churnsurv.models.hierarchical.priors import Prior, default_priors, meaning, resolve_priors
from churnsurv.models.hierarchical.problem import Problem, build_problem, table_info
from churnsurv.models.progress import reporter

if TYPE_CHECKING:
    import pandas as pd
    import pymc as pm
    import xarray as xr

    from churnsurv.tables.cells import CellTable

_RESERVED = frozenset({"chain", "draw", "period", "term", "customer", "time", "walk"})
_FEW_EVENTS = 5
"""Events per term below which a warning names the number (TRUST)."""


@dataclass(frozen=True)
class HierarchicalModel:
    """Piecewise-exponential hazard with effects by formula and random intercepts by group, fitted by NUTS.

    In a cell of pattern p and period j the number of events is Poisson with mean ``exposure`` times
    ``exp(intercept + walk[j] + x[p] @ coef + group_effect[p])``: equations 1 to 5 of
    ``docs/explanation/hierarchical.md``. Cells are sufficient: ten million spells in two thousand cells cost
    two thousand terms.

    Parameters
    ----------
    formula : str, default "1"
        Right-hand side on columns of the cells: names, ``+``, ``:``, ``*``, parentheses. Each column enters as
        levels against its reference, the level with most exposure.
    groups : tuple of str, default ()
        Columns that get a random effect on the log hazard.
    priors : mapping of str to Prior, optional
        In place of the defaults that :meth:`priors_for` shows, by name.
    on_bad : {"raise", "drop"}
        What to do with constant columns and with terms that others determine.

    Notes
    -----
    Fits on: cells. Supports: delayed entry, covariates that change between periods, groups. One cause at a time.
    A customer's repeated gaps are treated as independent, which makes intervals too narrow where customers
    differ in ways that the columns do not say.

    Examples
    --------
    >>> HierarchicalModel("plan + rhythm", groups=("country",)).groups
    ('country',)
    """

    formula: str = "1"
    groups: tuple[str, ...] = ()
    priors: Mapping[str, Prior] = field(default_factory=dict)
    on_bad: Literal["raise", "drop"] = "raise"

    supports: ClassVar[frozenset[str]] = frozenset({"entry", "time_varying", "groups"})
    fits_on: ClassVar[FitsOn] = "cells"

    def __post_init__(self) -> None:
        groups: object = self.groups
        if isinstance(groups, Mapping):
            raise ArgumentError(
                "groups with slopes are not supported yet: groups is a mapping.",
                hint=f"groups={tuple(groups)!r} gives each group its own level.",
            )
        if isinstance(groups, str):
            raise ArgumentError(f"groups={groups!r} is one text.", hint=f"groups=({groups!r},)")
        if self.on_bad not in ("raise", "drop"):
            raise ArgumentError(f"on_bad={self.on_bad!r} is unknown.", hint='on_bad="raise" or on_bad="drop".')
        object.__setattr__(self, "groups", tuple(self.groups))
        object.__setattr__(self, "priors", dict(self.priors or {}))
        if not self.formula.strip():
            object.__setattr__(self, "formula", "1")

    def check(self, cells: CellTable) -> None:
        """Refuse, before any work, cells that the model cannot use.

        Raises
        ------
        ModelSupportError, EmptyDataError, NoEventsError, FormulaError
            Naming what is missing or too much.
        """
        check_support(self, cells)
        columns = check_formula(self.formula, cells.schema)
        names = [column.name for column in cells.schema.columns]
        unknown = [name for name in self.groups if name not in names]
        twice = [name for name in self.groups if name in columns or self.groups.count(name) > 1]
        reserved = [name for name in self.groups if name in _RESERVED]
        if unknown or twice or reserved:
            what = f"are no column of the cells: {', '.join(unknown)}" if unknown else ""
            what = what or (f"stand twice, in formula or groups: {', '.join(twice)}" if twice else "")
            what = what or f"have a name the posterior uses itself: {', '.join(reserved)}"
            count = len(unknown or twice or reserved)
            raise FormulaError(
                f"{count} of {len(self.groups)} groups {what}.", hint=f"columns are: {', '.join(names) or 'none'}."
            )
        if cells.n_cells == 0 or not np.any(cells.exposure > 0):
            raise EmptyDataError("the cells hold no time at risk.", hint="look at cells.unallocated for where it went.")
        if int(cells.n_events.sum()) == 0:
            raise NoEventsError(
                f"there is not one event in {cells.exposure.sum():,.0f} days at risk.",
                consequence="Any hazard below one per that time fits equally well; only the prior would speak.",
                hint="a longer window, or KaplanMeierModel for a flat curve.",
            )

    def priors_for(self, cells: CellTable) -> pd.DataFrame:
        """Priors as a fit on these cells would use them: ``parameter``, ``prior``, ``default``, ``meaning``."""
        import pandas as pd

        rows = [
            {
                "parameter": name,
                "prior": repr(prior),
                "default": name not in self.priors,
                "meaning": meaning(name, prior),
            }
            for name, prior in self.resolved_priors(cells).items()
        ]
        return pd.DataFrame(rows)

    def resolved_priors(self, cells: CellTable) -> dict[str, Prior]:
        """Defaults for these cells with the overrides in their place, by parameter.

        Raises
        ------
        PriorError
            If an override names no parameter or does not fit it.
        """
        self.check(cells)
        rate = float(np.log(cells.n_events.sum() / cells.exposure.sum()))
        has_terms = bool(check_formula(self.formula, cells.schema))
        defaults = default_priors(round(rate, 6), self.groups, walk=cells.schema.n_periods > 1, effects=has_terms)
        return resolve_priors(defaults, self.priors)

    def pymc_model(self, cells: CellTable) -> pm.Model:
        """Build the model on these cells in PyMC: the same density as the one that is sampled.

        Coordinates are those that :meth:`fit` would choose. Sampling it with ``pm.sample`` gives the same
        posterior, slower.
        """
        problem = build_problem(self, cells, self.resolved_priors(cells))
        from churnsurv.models.hierarchical.reference import reference_model

        return reference_model(replace(problem, density=find_mode(problem.density).density))

    def fit(
        self,
        cells: CellTable,
        *,
        rng: int = 0,
        progress: Progress = False,
        draws: int = 1000,
        tune: int = 250,
        chains: int = 4,
        target_accept: float = 0.8,
    ) -> HierarchicalFit:
        """Fit to cells by NUTS, started around the mode of the Laplace-marginal with a dense metric.

        Parameters
        ----------
        cells : CellTable
            One cause.
        rng : int
            Seed: the same cells, seed and library versions give the same draws, bit for bit.
        progress : bool or callable
            Show a bar, or a function of the share done and a sentence.
        draws, tune, chains : int
            Draws of each chain, warm-up steps before them (for the step size; the metric is known), chains.
        target_accept : float
            Acceptance the step size aims at; one retry at 0.99 follows where transitions diverge.

        Returns
        -------
        HierarchicalFit
            Look at ``.info.status`` first.

        Raises
        ------
        ModelSupportError, EmptyDataError, NoEventsError, FormulaError, PriorError
            Before any work.

        Warns
        -----
        ConvergenceWarning
            If a limit of the gate is broken; the fit is then ``unreliable``.
        DataWarning
            If there are fewer than five events per term, or something was left out.
        """
        began = time.perf_counter()
        problem = build_problem(self, cells, self.resolved_priors(cells))
        _warn_about(problem, cells)
        with reporter(progress) as report:
            report(0.0, "finding the mode")
            mode = find_mode(problem.density)
            problem = replace(problem, density=mode.density)
            drawn, gate, posterior = _sample(problem, mode, rng, chains, draws, tune, target_accept, report)
        status, messages = _verdict(drawn, gate, draws)
        if status == "unreliable":
            _warn_unreliable(messages)
        info = replace(
            table_info(cells),
            status=status,
            messages=messages,
            rhat_max=gate.rhat_max,
            ess_min=gate.ess_min,
            divergences=gate.divergences,
            ebfmi_min=gate.ebfmi_min,
            tree_depth_share=gate.tree_depth_share,
            seconds=time.perf_counter() - began,
            n_draws=drawn.position.shape[0] * drawn.position.shape[1],
        )
        return HierarchicalFit.from_problem(self, problem, cells, posterior, info, seed=rng)


def _verdict(
    drawn: sampling.Draws, gate: sampling.Gate, draws: int
) -> tuple[Literal["ok", "unreliable", "interrupted"], tuple[str, ...]]:
    if drawn.interrupted:
        kept = drawn.position.shape[1]
        stopped = f"sampling was stopped by hand after {kept} of {draws} draws of each chain."
        return "interrupted", (stopped, *gate.messages)
    return ("unreliable" if gate.messages else "ok"), gate.messages


def _sample(
    problem: Problem,
    mode: Mode,
    rng: int,
    chains: int,
    draws: int,
    tune: int,
    target_accept: float,
    report: Callable[[float, str], None],
) -> tuple[sampling.Draws, sampling.Gate, xr.DataTree]:
    """Draw, hold against the gate, and where it fails try once more with small steps and twice the warm-up."""
    drawn = sampling.sample_nuts(
        mode, seed=rng, chains=chains, draws=draws, tune=tune, target_accept=target_accept, report=report
    )
    posterior, gate = _checked(problem, mode, drawn)
    if drawn.interrupted or not gate.messages or target_accept >= sampling.RETRY_TARGET_ACCEPT:
        return drawn, gate, posterior
    report(0.0, "trying again with smaller steps")
    drawn = sampling.sample_nuts(
        mode,
        seed=rng,
        chains=chains,
        draws=draws,
        tune=2 * tune,
        target_accept=sampling.RETRY_TARGET_ACCEPT,
        report=report,
    )
    posterior, gate = _checked(problem, mode, drawn)
    return drawn, gate, posterior


def _checked(problem: Problem, mode: Mode, drawn: sampling.Draws) -> tuple[xr.DataTree, sampling.Gate]:
    variables, coords = problem.named(mode.density.natural(drawn.position))
    posterior = sampling.posterior_tree(variables, coords, drawn.stats)
    return posterior, sampling.check(posterior, drawn.stats)


def _warn_about(problem: Problem, cells: CellTable) -> None:
    events, terms = int(cells.n_events.sum()), len(problem.effects.terms)
    if terms and events < _FEW_EVENTS * terms:
        text = compose_message(
            f"{events} events for {terms} terms: {events / terms:.1f} events per term.",
            rows=[],
            count=None,
            consequence="The prior has much to say; look at priors_for(cells).",
            hint="fewer terms, or wider bins.",
        )
        warnings.warn(text, DataWarning, stacklevel=3)
    if problem.effects.left_out:
        text = f"left out because the data cannot tell them apart: {', '.join(problem.effects.left_out)}."
        warnings.warn(text, DataWarning, stacklevel=3)


def _warn_unreliable(messages: tuple[str, ...]) -> None:
    text = compose_message(
        "the posterior failed its gate: " + " ".join(messages),
        rows=[],
        count=None,
        consequence="Intervals may be too narrow and means off; every number made from this fit says so.",
        hint="fit(draws=4000), tighter priors, or fewer terms and groups.",
    )
    warnings.warn(text, ConvergenceWarning, stacklevel=3)
