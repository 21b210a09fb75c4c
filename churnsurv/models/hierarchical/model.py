"""One composition: a baseline hazard, effects by formula and by group, and what differs from customer to customer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

import numpy as np

from churnsurv._validate import check_count
from churnsurv.errors import ArgumentError, EmptyDataError, NoEventsError
from churnsurv.models.base import FitsOn, Progress, check_rounded, check_support
from churnsurv.models.cox_rows import as_episodes
from churnsurv.models.grammar import nearest, tokens
from churnsurv.models.hierarchical.arguments import check_progress, read_formula, read_groups, read_priors
from churnsurv.models.hierarchical.baselines import BASELINES
from churnsurv.models.hierarchical.cell_problem import build_cell_problem
from churnsurv.models.hierarchical.fit import HierarchicalFit
from churnsurv.models.hierarchical.mode import find_mode
from churnsurv.models.hierarchical.priors import Prior, meaning
from churnsurv.models.hierarchical.problem import Problem
from churnsurv.models.hierarchical.refusals import (
    check_composition,
    check_drawing,
    check_names,
    check_seed,
    check_structure,
)
from churnsurv.models.hierarchical.row_problem import build_row_problem
from churnsurv.models.hierarchical.unsuited import check_bins, check_kind, check_known, varying
from churnsurv.models.progress import reporter
from churnsurv.tables.episodes import Episodes

if TYPE_CHECKING:
    import pandas as pd
    import pymc as pm

    from churnsurv.models.hierarchical.prior_predictive import PriorPredictive
    from churnsurv.tables.cells import CellTable
    from churnsurv.tables.periods import PeriodTable
    from churnsurv.tables.spells import SpellTable

_FEW_EVENTS = 5
"""Events per term below which a warning names the number (TRUST)."""


@dataclass(frozen=True)
class HierarchicalModel:
    """Baseline hazard × effects × what differs from customer to customer, in one posterior by NUTS.

    The hazard of customer c at time t is ``z[c] * baseline(t) * exp(x @ coef + group effects + month)``: the equations
    are in ``docs/explanation/hierarchical.md``. A piecewise baseline is fitted on cells, which are sufficient: ten
    million spells in two thousand cells cost two thousand terms. A frailty adds one row of a sparse matrix per customer.

    Parameters
    ----------
    formula : str, default "1"
        Right-hand side on columns of the table: names, ``+``, ``:``, ``*``, parentheses. A column of cells enters as
        levels against its reference, the level with most exposure.
    groups : sequence of str, or mapping of str to str
        Columns that get a random effect on the log hazard, each a column or several joined by a colon (nested:
        ``("region", "region:shop")``); as a mapping, what varies by level: ``{"country": "1 + recency"}`` gives each
        country its own level and its own effect of recency, correlated.
    baseline : {"piecewise", "weibull", "lognormal"}
        Hazard of the reference over time: constant in each period, a random walk over them (on cells), or a curve in
        continuous time (on spells).
    shape_groups : sequence of str
        Columns whose levels have a baseline of their own form: a walk beside the common one (piecewise), or their own
        shape (in continuous time).
    frailty : {None, "gamma"}
        Whether customers differ by a rhythm of their own, shared by all spells of a customer; needs
        ``CellTable.from_periods(…, customers=True)``.
    cure : bool
        Whether a share is out of reach for good: on the gap clock, has left for good after an activity; on the tenure
        clock, will never churn.
    calendar : bool
        Whether the level moves from month to month (needs ``PeriodTable.from_spells(…, calendar="month")``), with a
        season from two years of data on.
    rounded : float, optional
        Days by which recorded times of events may be late: an event at t happened in ``(t - rounded, t]``. On episodes
        only; cells count half of the unit.
    priors : mapping of str to Prior, optional
        In place of the defaults that :meth:`priors_for` shows, by name.
    on_bad : {"raise", "drop"}
        What to do with constant columns and with terms that others determine.

    Notes
    -----
    Fits on: cells (piecewise), or episodes and the periods or spells that they are made of (any baseline; columns of
    numbers then enter as numbers). Supports: delayed entry, covariates that change between periods, groups; on episodes
    weights and events known to a unit of time. One cause at a time. Without a frailty a customer's repeated gaps are
    treated as independent, which makes intervals too narrow where customers differ in ways that the columns do not say.

    Examples
    --------
    >>> HierarchicalModel("plan + rhythm", groups=("country",), frailty="gamma").groups
    ('country',)
    >>> HierarchicalModel("plan", groups={"country": "1 + plan"}).slopes
    {'country': '1 + plan'}
    """

    formula: str = "1"
    groups: tuple[str, ...] | Mapping[str, str] = ()
    baseline: Literal["piecewise", "weibull", "lognormal"] = "piecewise"
    shape_groups: tuple[str, ...] = ()
    frailty: Literal["gamma"] | None = None
    cure: bool = False
    calendar: bool = False
    rounded: float | None = None
    priors: Mapping[str, Prior] = field(default_factory=dict)
    on_bad: Literal["raise", "drop"] = "raise"

    supports: ClassVar[frozenset[str]] = frozenset({"entry", "time_varying", "groups", "weights", "interval"})

    def __post_init__(self) -> None:
        _check_choice("baseline", self.baseline, ("piecewise", *BASELINES))
        _check_choice("frailty", self.frailty, (None, "gamma"))
        _check_choice("cure", self.cure, (False, True))
        _check_choice("calendar", self.calendar, (False, True))
        _check_choice("on_bad", self.on_bad, ("raise", "drop"))
        check_rounded(self.rounded, "HierarchicalModel")
        groups: Any = read_groups(self.groups, "groups")
        if isinstance(groups, Mapping):
            groups = {name: _plain_slope(slope) for name, slope in groups.items()}
            groups = groups if set(groups.values()) - {"1"} else tuple(groups)
        object.__setattr__(self, "groups", groups)
        object.__setattr__(self, "shape_groups", read_groups(self.shape_groups, "shape_groups"))
        object.__setattr__(self, "priors", read_priors(self.priors))
        object.__setattr__(self, "formula", read_formula(self.formula))

    @property
    def slopes(self) -> dict[str, str]:
        """What varies by the levels of each group."""
        return dict(self.groups) if isinstance(self.groups, Mapping) else dict.fromkeys(self.groups, "1")

    def parts(self) -> str:
        """What the model is made of, in a few words."""
        found = [self.baseline, *(f"{name}: {slope}" if slope != "1" else name for name, slope in self.slopes.items())]
        found += [f"{name} shapes" for name in self.shape_groups]
        found += ["gamma frailty"] if self.frailty else []
        return ", ".join(found + ["cure"] * self.cure + ["months"] * self.calendar)

    @property
    def fits_on(self) -> FitsOn:
        """Table that the model learns from."""
        return "cells" if self.baseline == "piecewise" else "episodes"

    @property
    def needs_customers(self) -> bool:
        """Whether the model must know which time at risk is whose."""
        return self.frailty is not None or self.cure

    def check(self, table: CellTable | Episodes) -> None:
        """Refuse, before any work, a table that the model cannot use.

        Raises
        ------
        ModelSupportError, EmptyDataError, NoEventsError, FormulaError
            Naming what is missing or too much.
        """
        name = "rows" if isinstance(table, Episodes) else "cells"
        check_known(self, table.schema, name)
        check_names(self, table.schema, name)
        check_composition(self, table)
        if isinstance(table, Episodes):
            check_bins(self, table)
            return
        if table.n_cells == 0 or not np.any(table.exposure > 0):
            raise EmptyDataError("the cells hold no time at risk.", hint="look at cells.unallocated for where it went.")
        if int(table.n_events.sum()) == 0:
            raise NoEventsError(
                f"there is not one event in {table.exposure.sum():,.0f} days at risk.",
                consequence="Any hazard below one per that time fits equally well; only the prior would speak.",
                hint="a longer window, or KaplanMeierModel for a flat curve.",
            )

    def priors_for(self, table: CellTable | Episodes | PeriodTable | SpellTable) -> pd.DataFrame:
        """Priors as a fit on this table would use them: ``parameter``, ``prior``, ``default``, ``meaning``."""
        import pandas as pd

        problem = self.bind(table)
        rows = [
            {
                "parameter": name,
                "prior": repr(prior),
                "default": name not in self.priors,
                "meaning": meaning(name, prior, problem.structure.time_scale),
            }
            for name, prior in problem.priors.items()
        ]
        return pd.DataFrame(rows)

    def prior_predictive(
        self,
        table: CellTable | Episodes | PeriodTable | SpellTable,
        *,
        n_draws: int = 500,
        rng: int = 0,
        times: Sequence[float] | None = None,
    ) -> PriorPredictive:
        """What the priors say in per cent of customers, before the data speak.

        Parameters
        ----------
        table : CellTable, or Episodes, PeriodTable or SpellTable
            The table that a fit would be made on: the priors' scale and the columns are its, events are not looked at.
        n_draws : int
            Draws of all parameters from their priors.
        rng : int
            Seed.
        times : sequence of float, optional
            Days on the clock of the curves; evenly over the periods by default.

        Returns
        -------
        PriorPredictive
            ``print`` it for a summary in words; ``.frame()`` for survival, and the share with the event within 30, 90
            and 365 days.

        Raises
        ------
        ModelSupportError, EmptyDataError, NoEventsError, FormulaError, PriorError, ArgumentError, DataTypeError
            As :meth:`fit` would; or if times lie beyond the last break of a piecewise baseline.
        HorizonError
            If times lie before zero.
        """
        from churnsurv.models.hierarchical.prior_predictive import prior_predictive

        check_count(n_draws, "n_draws")
        check_seed(rng)
        data = self._read(table)
        model = varying(self, data)
        return prior_predictive(model, model._bind(data), data.schema, n_draws, rng, times)

    def bind(self, table: Any) -> Problem:
        """Check a table and bind the model to it: density, names, priors.

        Parameters
        ----------
        table : CellTable, or Episodes, PeriodTable or SpellTable
            One cause.

        Raises
        ------
        ModelSupportError, EmptyDataError, NoEventsError, FormulaError, PriorError
            Before any work.
        """
        data = self._read(table)
        return varying(self, data)._bind(data)

    def _read(self, table: Any) -> CellTable | Episodes:
        """Refuse other tables; make episodes of periods and spells where rows are asked for."""
        check_kind(self, table)
        on_rows = isinstance(table, Episodes)
        check_support(cast(Any, replace(self, baseline="weibull") if on_rows else self), table)
        read: CellTable | Episodes = table
        if self.fits_on == "episodes" and not on_rows:
            read = cast(Episodes, as_episodes(table, {}))
        self.check(read)
        return read

    def _bind(self, table: CellTable | Episodes) -> Problem:
        problem = build_row_problem(self, table) if isinstance(table, Episodes) else build_cell_problem(self, table)
        check_structure(problem.structure, table.schema)
        return problem

    def pymc_model(self, table: CellTable | Episodes | PeriodTable | SpellTable) -> pm.Model:
        """Build the model on this table in PyMC: the same density as the one that is sampled.

        Coordinates are those that :meth:`fit` would choose. Sampling it with ``pm.sample`` gives the same
        posterior, slower.
        """
        from churnsurv.models.hierarchical.reference import reference_model

        problem = self.bind(table)
        return reference_model(replace(problem, density=find_mode(problem.density, problem.start).density))

    def fit(
        self,
        table: CellTable | Episodes | PeriodTable | SpellTable,
        /,
        *,
        rng: int = 0,
        progress: Progress = False,
        draws: int = 1000,
        tune: int = 250,
        chains: int = 4,
        target_accept: float = 0.8,
        method: Literal["nuts", "laplace"] = "nuts",
    ) -> HierarchicalFit:
        """Fit by NUTS, started around the mode of the Laplace-marginal with a dense metric.

        Parameters
        ----------
        table : CellTable, or Episodes, PeriodTable or SpellTable
            One cause. Cells for a piecewise baseline, with ``customers=True`` for a frailty or cure.
        rng : int
            Seed: the same table, seed and library versions give the same draws, bit for bit.
        progress : bool or callable
            Show a bar, or a function of the share done and a sentence.
        draws, tune, chains : int
            Draws of each chain, warm-up steps before them (for the step size; the metric is known), chains.
        target_accept : float
            Acceptance the step size aims at; one retry at 0.99 follows where transitions diverge.
        method : {"nuts", "laplace"}
            ``laplace`` takes the normal approximation around the mode, corrected by importance weights: an answer in
            seconds where there are very many customers, labelled approximate wherever it is shown. Its Pareto-k̂ is in
            ``info.pareto_k``; above 0.7 the fit is ``unreliable``. Then ``chains * draws`` are drawn at once.

        Returns
        -------
        HierarchicalFit
            Look at ``.info.status`` first.

        Raises
        ------
        ModelSupportError, EmptyDataError, NoEventsError, FormulaError, PriorError, ArgumentError, DataTypeError
            Before any work.

        Warns
        -----
        ConvergenceWarning
            If a limit of the gate is broken; the fit is then ``unreliable``.
        DataWarning
            If there are fewer than five events per term, or something was left out.
        """
        _check_choice("method", method, ("nuts", "laplace"))
        check_drawing(rng, draws, tune, chains, target_accept, method)
        check_progress(progress)
        from churnsurv.models.hierarchical.fitting import Drawing, fit_problem

        data = self._read(table)
        model = varying(self, data)
        drawing = Drawing(method, int(rng), chains, draws, tune, target_accept)
        with reporter(progress) as report:
            return fit_problem(model, data, model._bind(data), drawing, report)


def _plain_slope(slope: str) -> str:
    """What varies by level; ``"1"`` however an intercept alone is written.

    Examples
    --------
    >>> _plain_slope("1 + 1"), _plain_slope("1 + recency")
    ('1', '1 + recency')
    """
    return slope if any(kind == "name" for kind, _ in tokens(slope)) else "1"


def _check_choice(name: str, value: object, choices: tuple[object, ...]) -> None:
    if (isinstance(value, (str, bool)) or value is None) and value in choices:
        return
    words = [choice for choice in choices if isinstance(choice, str)]
    close = nearest(value, words) if isinstance(value, str) else None
    call = "model.fit(table, {}={!r})" if name == "method" else "HierarchicalModel({}={!r})"
    likely = f"{call.format(name, close)}; " if close else ""
    raise ArgumentError(
        f"{name}={value!r} is unknown.",
        column=name,
        hint=f"{likely}{name} is {' or '.join(map(repr, choices))}.",
    )
