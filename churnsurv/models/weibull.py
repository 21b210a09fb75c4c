"""Weibull times: effects that stretch or shrink time, a hazard that rises or falls by a power of it."""

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
    from churnsurv.models.weibull_fit import WeibullFit


@dataclass(frozen=True)
class WeibullModel:
    r"""Weibull accelerated failure times by maximum likelihood.

    A row with columns x (of ``formula``) and z (of ``shape``) has the survival function

    .. math::

        S(t \mid x, z) = \exp\{-(t / \lambda)^{\rho}\}, \qquad
        \log \lambda = \beta_0 + x \beta, \qquad \log \rho = \gamma_0 + z \gamma

    so that :math:`e^{\beta}` stretches time and, where the shape is one for all, :math:`e^{-\beta \rho}` multiplies the
    hazard. R's ``survreg`` has the same :math:`\beta` and the scale :math:`1 / \rho`.

    Parameters
    ----------
    formula : str, default ""
        Right-hand side on columns of the rows: names, ``+``, ``:``, ``*``, parentheses. A column of numbers enters as
        a number, one with ``bins`` and a text as levels against the one with most exposure.
    shape : str, default ""
        The same for the shape; then hazards are not proportional.
    bins : mapping of str to edges or Quantiles, optional
        For columns of numbers that should enter as levels.
    penalizer : float, default 0
        Ridge on the coefficients of standardised columns, on lifelines' scale: take
        ``n_spells * penalizer / 2 * b²`` off. Spells (by weight) are counted and not rows, so that cutting a spell into
        rows changes nothing; intercepts are free, while lifelines penalises one that stands alone.
    rounded : float or None, default None
        Days by which the recorded time of an event may be late: it lies in ``(stop - rounded, stop]``, and not before
        the row's start. ``None``: on its day exactly.
    robust : bool or None, default None
        Sandwich errors, summed within customers. ``None``: where customers have several spells, or weights are no
        whole numbers.
    on_bad : {"raise", "drop"}, default "raise"
        ``"drop"`` leaves out, and counts, rows without a number that a formula needs, and terms that the data cannot
        tell apart.

    Raises
    ------
    ArgumentError, BreaksError
        If a setting has no meaning.

    Notes
    -----
    Fits on: episodes, or the periods or spells that they are made of. Supports: delayed entry, time-varying rows (the
    hazard at a time is that of the columns at the time), weights, interval censoring; one cause at a time. Predicts
    beyond the data: such answers are ``extrapolated``.

    The maximum is found by Newton's steps on the closed-form likelihood of :mod:`churnsurv.hazards.weibull`.
    lifelines' ``WeibullAFTFitter`` finds the same one, to about 1e-6, where its optimiser arrives; it does not with
    columns far from zero or with entries much later than follow-up. :attr:`WeibullFit.lifelines
    <churnsurv.models.weibull_fit.WeibullFit.lifelines>` gives that fitter back.

    References
    ----------
    .. [1] Kalbfleisch, J. D. and Prentice, R. L. (2002). *The Statistical Analysis of Failure Time Data*, 2nd ed.,
       chapter 3. Wiley.

    Examples
    --------
    >>> sorted(WeibullModel("plan", shape="plan").supports)
    ['entry', 'interval', 'time_varying', 'weights']
    """

    formula: str = ""
    shape: str = field(default="", kw_only=True)
    bins: Bins = field(default_factory=dict, kw_only=True)
    penalizer: float = field(default=0.0, kw_only=True)
    rounded: float | None = field(default=None, kw_only=True)
    robust: bool | None = field(default=None, kw_only=True)
    on_bad: Literal["raise", "drop"] = field(default="raise", kw_only=True)

    supports: ClassVar[frozenset[str]] = frozenset({"entry", "time_varying", "weights", "interval"})
    fits_on: ClassVar[FitsOn] = "episodes"

    def __post_init__(self) -> None:
        """Check the settings once."""
        check_choice(self.on_bad, "on_bad", ("raise", "drop"))
        if not _is_number(self.penalizer) or self.penalizer < 0:
            raise ArgumentError(
                f"penalizer={self.penalizer!r} is not a number of 0 or more.",
                hint="WeibullModel(..., penalizer=0.1) draws coefficients of standardised columns towards zero.",
            )
        check_rounded(self.rounded, "WeibullModel")
        if self.robust not in (None, True, False):
            raise ArgumentError(f"robust={self.robust!r} is unknown.", hint="robust is True, False or None.")
        edges = {
            name: some if isinstance(some, Quantiles) else check_edges(name, some) for name, some in self.bins.items()
        }
        object.__setattr__(self, "bins", edges)
        object.__setattr__(self, "penalizer", float(self.penalizer))

    def fit(self, table: Any, /, *, rng: int = 0, draws: int = 1000, progress: Progress = False) -> WeibullFit:
        """Estimate scale and shape, and draw from their distribution.

        Parameters
        ----------
        table : PeriodTable, SpellTable or Episodes
            One cause; ``episodes.with_cause("cancelled")`` keeps one of several.
        rng : int
            Seed of the draws. The estimate itself knows no chance.
        draws : int
            Draws of the parameters, for intervals; 1 is the estimate alone, without intervals.
        progress : bool or callable
            As in :meth:`HierarchicalModel.fit`.

        Returns
        -------
        WeibullFit
            One chain of ``draws`` draws. Status ``unreliable`` where the maximum was not reached, or there are fewer
            than five events per term.

        Raises
        ------
        ModelSupportError, EmptyDataError, NoEventsError, ArgumentError, FormulaError, MissingValueError
            Before any work, by the fault found.
        SeparationError
            If some parameter has no finite estimate.

        Warns
        -----
        DataWarning
            With fewer than five events per term, or where rows or terms were left out.
        ConvergenceWarning
            If the maximum was not reached.
        """
        from churnsurv.models.weibull_estimate import fit_weibull

        began = time.perf_counter()
        check_count(draws, "draws")
        check_support(self, table)
        with reporter(progress) as report:
            fit = fit_weibull(self, table, rng=rng, draws=draws, report=report)
        return replace(fit, info=replace(fit.info, seconds=time.perf_counter() - began))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
