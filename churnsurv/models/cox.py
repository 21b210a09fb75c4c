"""Cox's proportional hazards: any baseline, effects by formula, one step function per stratum."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from churnsurv._validate import check_choice, check_count
from churnsurv.errors import ArgumentError
from churnsurv.models.base import FitsOn, Progress, check_rounded, check_support
from churnsurv.models.progress import reporter
from churnsurv.tables.bins import Bins, Quantiles, check_edges

if TYPE_CHECKING:
    from churnsurv.models.cox_fit import CoxFit


@dataclass(frozen=True)
class CoxModel:
    r"""Cox's proportional hazards by maximum partial likelihood.

    A row x of stratum s has the hazard

    .. math:: h(t \mid x) = h_{0s}(t) \, e^{x \beta}

    of which the :math:`\beta` are learnt without saying anything of :math:`h_{0s}`. Spells enter late where the table
    says so, and covariates may change along ``(start, stop]`` rows: both only change who is at risk when.

    Parameters
    ----------
    formula : str, default ""
        Right-hand side on columns of the rows: names, ``+``, ``:``, ``*``, parentheses. A column of numbers enters as a
        number, one with ``bins`` and a text as levels against the one with most exposure.
    strata : tuple of str, default ()
        Columns whose combinations have baselines of their own: the way out where effects are not proportional.
    bins : mapping of str to edges or Quantiles, optional
        For columns of numbers that should enter as levels, or be strata.
    penalizer, l1_ratio : float, default 0
        Elastic net on the coefficients of standardised columns, on lifelines' scale: subtract
        ``n_spells * penalizer * (l1_ratio * |b| + (1 - l1_ratio) / 2 * b²)``. Spells are counted, by weight, and not rows,
        so that cutting a spell into rows changes nothing, and a weight of 2 is as good as a repetition.
    robust : bool or None, default None
        Sandwich errors, summed within customers. ``None``: where customers have several spells, or weights are no
        whole numbers. Several rows of one spell need no mending: at most one of them is at risk at a time.
    ties : {"efron", "breslow"}, default "efron"
        Events at one time.
    rounded : float or None, default None
        Days by which the recorded time of an event may be late: it lies in ``(stop - rounded, stop]``. The baseline then
        rises evenly over those days instead of at their end. The coefficients do not change. For tenures in whole months,
        ``rounded=spells.grain``: without it next to nobody leaves within the 30 days after a month's end.
    on_bad : {"raise", "drop"}, default "raise"
        ``"drop"`` leaves out, and counts, rows without a number that the formula needs, and terms that the data cannot
        tell apart.

    Raises
    ------
    ArgumentError, BreaksError
        If a setting has no meaning.

    Notes
    -----
    Fits on: episodes, or the periods or spells that they are made of. Supports: delayed entry, time-varying rows,
    weights, strata; one cause at a time. Robust errors are those of the
    coefficients: the noise of the baseline takes every spell for one of somebody else, which ``fit.info.independent_gaps``
    says where customers have several, and is made with weights as frequencies where all are whole numbers, else with
    each row as one. The partial likelihood is a compiled kernel; the same kernel drives a subclass
    of lifelines' ``CoxPHFitter``, which :attr:`CoxFit.lifelines <churnsurv.models.cox_fit.CoxFit.lifelines>` gives
    back, and which finds the estimate where there is an ``l1_ratio``.

    Examples
    --------
    >>> sorted(CoxModel("plan").supports)
    ['entry', 'strata', 'time_varying', 'weights']
    """

    formula: str = ""
    strata: tuple[str, ...] = field(default=(), kw_only=True)
    bins: Bins = field(default_factory=dict, kw_only=True)
    penalizer: float = field(default=0.0, kw_only=True)
    l1_ratio: float = field(default=0.0, kw_only=True)
    robust: bool | None = field(default=None, kw_only=True)
    ties: Literal["efron", "breslow"] = field(default="efron", kw_only=True)
    rounded: float | None = field(default=None, kw_only=True)
    on_bad: Literal["raise", "drop"] = field(default="raise", kw_only=True)

    supports: ClassVar[frozenset[str]] = frozenset({"entry", "time_varying", "weights", "strata"})
    fits_on: ClassVar[FitsOn] = "episodes"

    def __post_init__(self) -> None:
        """Check the settings once."""
        strata: object = self.strata
        if isinstance(strata, str):
            raise ArgumentError(f"strata={strata!r} is one text.", hint=f"strata=({strata!r},)")
        check_choice(self.ties, "ties", ("efron", "breslow"))
        check_choice(self.on_bad, "on_bad", ("raise", "drop"))
        for name, largest in (("penalizer", math.inf), ("l1_ratio", 1.0)):
            value = getattr(self, name)
            number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
            if not number or not 0.0 <= value <= largest:
                raise ArgumentError(
                    f"{name}={value!r} is not a number {'from 0 to 1' if largest == 1.0 else 'of 0 or more'}.",
                    hint="CoxModel(..., penalizer=0.1) draws coefficients of standardised columns towards zero.",
                )
            object.__setattr__(self, name, float(value))
        if self.l1_ratio > 0 and self.ties != "efron":
            raise ArgumentError("an l1_ratio goes with Efron's ties only.", hint='leave ties="efron", or l1_ratio out.')
        check_rounded(self.rounded, "CoxModel")
        if self.robust not in (None, True, False):
            raise ArgumentError(f"robust={self.robust!r} is unknown.", hint="robust is True, False or None.")
        object.__setattr__(self, "strata", tuple(self.strata))
        object.__setattr__(self, "bins", _checked_bins(self.bins))

    @property
    def moves_in_steps(self) -> bool:
        """Whether the curve moves only at times at which events were seen."""
        return self.rounded is None

    def fit(self, table: Any, /, *, rng: int = 0, draws: int = 1000, progress: Progress = False) -> CoxFit:
        """Estimate coefficients and baselines, and draw from their distribution.

        Parameters
        ----------
        table : PeriodTable, SpellTable or Episodes
            One cause; ``episodes.with_cause("cancelled")`` keeps one of several.
        rng : int
            Seed of the draws. The estimate itself knows no chance.
        draws : int
            Draws of coefficients and baselines, for intervals; 1 is the estimate alone, without intervals.
        progress : bool or callable
            As in :meth:`HierarchicalModel.fit`.

        Returns
        -------
        CoxFit
            One chain of ``draws`` draws. Status ``unreliable`` where the maximum was not reached, or an event has less
            than a fifth of a term to tell.

        Raises
        ------
        ModelSupportError, EmptyDataError, NoEventsError, ArgumentError, FormulaError, MissingValueError
            Before any work, by the fault found.
        SeparationError
            If some coefficient has no finite estimate.

        Warns
        -----
        DataWarning
            With fewer than five events per term, strata without an event, or rows and terms left out.
        ConvergenceWarning
            If the maximum was not reached.
        """
        from churnsurv.models.cox_estimate import estimate_fit

        began = time.perf_counter()
        check_count(draws, "draws")
        check_support(self, table)
        with reporter(progress) as report:
            fit = estimate_fit(self, table, rng=rng, draws=draws, report=report)
        return replace(fit, info=replace(fit.info, seconds=time.perf_counter() - began))


def _checked_bins(bins: Bins) -> Bins:
    return {name: edges if isinstance(edges, Quantiles) else check_edges(name, edges) for name, edges in bins.items()}
