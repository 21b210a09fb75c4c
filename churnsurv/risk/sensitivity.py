"""How much the answer depends on the number of days that defines churn: a table over several of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from churnsurv._typing import BoolArray, FloatArray, IntArray
from churnsurv._validate import check_ci_prob, check_horizons
from churnsurv.errors import DefinitionError
from churnsurv.hazards.nonparametric import kaplan_meier
from churnsurv.models.base import carries_months, needs_history
from churnsurv.tables.churn import Silence
from churnsurv.tables.open_spells import OpenSpells
from churnsurv.tables.spells import SpellTable

if TYPE_CHECKING:
    import pandas as pd

    from churnsurv.models.base import SurvivalFit
    from churnsurv.tables.events import EventLog
    from churnsurv.tables.window import ObservationWindow

_DRAWS = 200
"""Draws that a customer's probability is averaged over: the ranking is by a mean, not by a tail."""

_BATCH = 4096
"""Customers at a time: draws × customers × 2 numbers are held."""

_TOP = 0.1
"""Share of the customers of highest risk that two definitions are compared on."""


@dataclass(frozen=True)
class DefinitionRow:
    """One number of days as the definition.

    Parameters
    ----------
    days : float
        N: silence after which a customer counts as churned.
    n_customers, n_churned : int
        Customers judged at the window's end, and those silent for at least N days by then.
    share_churned : float
        Their share.
    n_at_risk : int
        Gaps that were seen to last longer than N days.
    survival, survival_lower, survival_upper : float
        S(N) by Kaplan–Meier: probability that a gap lasts longer than N days, with pointwise bounds; NaN where no gap
        was watched for so long.
    n_came_back : int
        Gaps among the ``n_at_risk`` that ended with a return inside the window: churned customers who had not left.
    share_came_back : float
        Their share; too low, as most gaps end with the window.
    return_probability, return_lower, return_upper : float
        Probability of a return within ``within`` more days after N days of silence, by Kaplan–Meier, with bounds.
    n_ranked : int
        Customers active under N and under the reference whose risk the fit tells; 0 without a fit.
    rank_correlation : float
        Spearman's, of their churn probabilities under N and under the reference.
    top_overlap : float
        Share of the tenth of highest risk under the reference that is in the tenth of highest risk under N.
    """

    days: float
    n_customers: int
    n_churned: int
    share_churned: float
    n_at_risk: int
    survival: float
    survival_lower: float
    survival_upper: float
    n_came_back: int
    share_came_back: float
    return_probability: float
    return_lower: float
    return_upper: float
    n_ranked: int
    rank_correlation: float
    top_overlap: float


@dataclass(frozen=True, eq=False)
class DefinitionSensitivity:
    """Answer of :func:`definition_sensitivity`: one row for each number of days.

    Parameters
    ----------
    rows : tuple of DefinitionRow
        By increasing days.
    kinds : tuple of str
        Kinds of event that count as activity.
    within : float
        Days after N within which a return is asked for.
    ci_prob : float
        Probability inside each pair of bounds.
    reference : float or None
        Days of the fit's definition, which rankings are compared with; ``None`` without a fit.
    notes : tuple of str
        What the numbers do not say.
    """

    rows: tuple[DefinitionRow, ...]
    kinds: tuple[str, ...]
    within: float
    ci_prob: float
    reference: float | None
    notes: tuple[str, ...]

    def frame(self) -> pd.DataFrame:
        """One row for each number of days, in the columns of :class:`DefinitionRow`."""
        import pandas as pd

        return pd.DataFrame([asdict(row) for row in self.rows])

    def __repr__(self) -> str:
        """Table for a person, and what it does not say."""
        header = f"after N days without {' or '.join(self.kinds)} of {self.rows[0].n_customers:,} customers"
        titles = ["N", "churned", "S(N)", "gaps beyond N", f"back within {self.within:g} days", "ranking", "top tenth"]
        lines = [titles] + [
            [
                f"{row.days:g}",
                _percent(row.share_churned),
                _interval(row.survival, row.survival_lower, row.survival_upper),
                f"{row.n_at_risk:,}",
                _interval(row.return_probability, row.return_lower, row.return_upper),
                "–" if math.isnan(row.rank_correlation) else f"{row.rank_correlation:.2f}",
                _percent(row.top_overlap),
            ]
            for row in self.rows
        ]
        widths = [max(len(line[k]) for line in lines) for k in range(len(titles))]
        table = ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
        return "\n".join([header, *table, *self.notes])


def _percent(share: float) -> str:
    return "–" if math.isnan(share) else f"{share:.1%}"


def _interval(value: float, lower: float, upper: float) -> str:
    if math.isnan(value):
        return "–"
    return f"{value:.1%}" if math.isnan(lower) else f"{value:.1%} ({lower:.1%} to {upper:.1%})"


def definition_sensitivity(
    log: EventLog,
    window: ObservationWindow,
    *,
    days: Sequence[float] = (30, 60, 90, 180),
    kinds: Sequence[str] = ("order",),
    merge: Literal["day"] | None = "day",
    fit: SurvivalFit | None = None,
    within: float = 180.0,
    ci_prob: float = 0.90,
) -> DefinitionSensitivity:
    r"""What changes with the number of days that :class:`Silence` takes for churn.

    No number is right: a small N calls customers churned who come back, a large one finds out late. The table says how
    many, for each N: who counts as churned at the window's end, and how probable a return still is after N days,

    .. math:: P(T \le N + w \mid T > N) = 1 - S(N + w) / S(N),

    estimated from the gaps that lasted longer than N days, those cut off by the window's end censored. With a fit it
    also says how the customers' ranking moves: their probability of being declared churned is
    :math:`S_i(N) / S_i(r_i)` under every N, of one and the same return hazard.

    Parameters
    ----------
    log : EventLog
        What happened.
    window : ObservationWindow
        Where the log is complete.
    days : sequence of float
        Numbers of days to compare, > 0.
    kinds : sequence of str
        Kinds of event that count as activity.
    merge : {"day", None}
        As in :class:`Silence`.
    fit : SurvivalFit, optional
        Fit of the gaps of the same kinds; its definition's days are the reference of the rankings.
    within : float
        Days after N within which a return is asked for, > 0.
    ci_prob : float
        Probability inside each pair of pointwise bounds, in (0, 1).

    Returns
    -------
    DefinitionSensitivity
        One row for each N.

    Raises
    ------
    HorizonError
        If a number of days is not positive, or named twice.
    DefinitionError
        If the fit's gaps are not those of ``kinds`` and ``merge``, or closures end them.
    UnknownKindError, EmptyDataError, WindowError
        As in :meth:`SpellTable.from_events`.

    Notes
    -----
    Cost: one sort of the gaps for each N, and with a fit one pass over the customers.
    """
    limits = sorted(check_horizons(list(days), "days"))
    reach = check_horizons(within, "within")[0]
    prob = check_ci_prob(ci_prob)
    churn = Silence(tuple([kinds] if isinstance(kinds, str) else kinds), limits[0], merge=merge)
    if fit is not None:
        churn = _of_fit(fit, churn)
    spells = SpellTable.from_events(log, window, churn)
    arrays = spells.arrays()
    gaps = _Gaps(np.asarray(arrays["exit"], float), np.asarray(arrays["event"]) > 0, spells.n_customers, prob)
    ranks = [_NO_RANKING] * len(limits) if fit is None else _rankings(fit, spells, churn.days, limits)
    rows = tuple(gaps.row(limit, reach, ranking) for limit, ranking in zip(limits, ranks, strict=True))
    return DefinitionSensitivity(rows, churn.kinds, reach, prob, churn.days if fit else None, _notes(fit, churn))


@dataclass(frozen=True, eq=False)
class _Gaps:
    """Days of each gap, whether a return ended it, and how many customers they are of."""

    days: FloatArray
    returned: BoolArray
    n_customers: int
    ci_prob: float

    def row(self, limit: float, within: float, ranking: tuple[int, float, float]) -> DefinitionRow:
        """What N = ``limit`` means."""
        beyond = self.days > limit
        n_beyond, n_back = int(beyond.sum()), int(self.returned[beyond].sum())
        n_churned = int(((self.days >= limit) & ~self.returned).sum())
        survival, lower, upper = self._survival(np.ones(len(self.days), bool), 0.0, limit)
        stays, stays_lower, stays_upper = self._survival(beyond, limit, within)
        return DefinitionRow(
            days=limit,
            n_customers=self.n_customers,
            n_churned=n_churned,
            share_churned=n_churned / self.n_customers,
            n_at_risk=n_beyond,
            survival=survival,
            survival_lower=lower,
            survival_upper=upper,
            n_came_back=n_back,
            share_came_back=n_back / n_beyond if n_beyond else math.nan,
            return_probability=1 - stays,
            return_lower=1 - stays_upper,
            return_upper=1 - stays_lower,
            n_ranked=ranking[0],
            rank_correlation=ranking[1],
            top_overlap=ranking[2],
        )

    def _survival(self, chosen: BoolArray, since: float, t: float) -> tuple[float, float, float]:
        """Kaplan–Meier of some gaps ``t`` days after ``since``, with bounds; NaN beyond the last of them, or of one alone."""
        days, returned = self.days[chosen] - since, self.returned[chosen]
        if len(days) < 2 or (days.max() < t and not returned[days == days.max()].all()):
            return math.nan, math.nan, math.nan
        if not returned.any():
            return 1.0, math.nan, math.nan
        curve = kaplan_meier(days, returned, ci_prob=self.ci_prob)
        value, k = float(curve.survival_at([t])[0]), int(np.searchsorted(curve.times, t, side="right")) - 1
        bounds = (math.nan, math.nan) if k < 0 else (float(curve.lower[k]), float(curve.upper[k]))
        return value, *bounds


_NO_RANKING = (0, math.nan, math.nan)


def _of_fit(fit: SurvivalFit, asked: Silence) -> Silence:
    churn = fit.schema.churn
    same = isinstance(churn, Silence) and (churn.kinds, churn.merge) == (asked.kinds, asked.merge)
    if not isinstance(churn, Silence) or not same or churn.terminal:
        raise DefinitionError(
            f"the fit learnt from {churn}, and gaps of {asked.kinds} with merge={asked.merge!r} are asked for.",
            consequence="Its hazard would be that of other gaps.",
            hint="give kinds= and merge= of the fit, fit.schema.churn, without terminal=; or leave fit= out.",
        )
    return churn


def _notes(fit: SurvivalFit | None, churn: Silence) -> tuple[str, ...]:
    bounds = "Bounds take a customer's gaps for independent of each other: they are too narrow."
    if fit is None:
        return (bounds, "How the ranking of customers moves needs a fit: definition_sensitivity(…, fit=fit).")
    return (bounds, f"Rankings are compared with N = {churn.days:g}, among customers active under both.")


def _rankings(
    fit: SurvivalFit, spells: SpellTable, reference: float, limits: Sequence[float]
) -> list[tuple[int, float, float]]:
    """How many customers could be compared under each N, rank correlation and overlap of the top tenth."""
    index = np.unique(np.linspace(0, fit.n_draws - 1, min(_DRAWS, fit.n_draws)).round().astype(np.int64))
    parts = [
        _probabilities(fit, batch, [reference, *limits], index)
        for batch in OpenSpells.batches(
            spells, fit.schema, size=_BATCH, history=needs_history(fit), months=carries_months(fit)
        )
    ]
    probability = np.concatenate(parts)
    return [compare_rankings(probability[:, 0], probability[:, 1 + k]) for k in range(len(limits))]


def _probabilities(fit: SurvivalFit, batch: OpenSpells, days: Sequence[float], index: IntArray) -> FloatArray:
    """Probability of being declared churned under each N, shape (n, k); NaN where churned already or not told."""
    limits = np.asarray(days)
    until = np.maximum(batch.reached[:, None], limits)
    mean: FloatArray = fit.conditional_survival(batch, until, draws=index).mean(axis=0)
    blank = (batch.unknown | fit.unseen(batch))[:, None] | (batch.reached[:, None] >= limits)
    return np.where(blank, np.nan, mean)


def compare_rankings(old: FloatArray, new: FloatArray) -> tuple[int, float, float]:
    """How alike two rankings of the same customers are.

    Parameters
    ----------
    old, new : arrays of shape (n,)
        Probabilities, NaN where not told.

    Returns
    -------
    int, float, float
        Customers told in both, Spearman's correlation, and the share of the old top tenth that is in the new one; NaN where
        there is no order.

    Examples
    --------
    >>> n, rank, top = compare_rankings(np.array([0.1, 0.2, 0.3]), np.array([0.2, 0.3, np.nan]))
    >>> n, round(rank, 6), top
    (2, 1.0, 1.0)
    """
    both = ~np.isnan(old) & ~np.isnan(new)
    n = int(both.sum())
    first, second = _ranks(old[both]), _ranks(new[both])
    if n < 2 or first.min() == first.max() or second.min() == second.max():
        return n, math.nan, math.nan
    n_top = max(round(_TOP * n), 1)
    top = [set(np.argsort(-rank, kind="stable")[:n_top].tolist()) for rank in (first, second)]
    return n, float(np.corrcoef(first, second)[0, 1]), len(top[0] & top[1]) / n_top


def _ranks(values: FloatArray) -> FloatArray:
    """Ranks from 1, equal values sharing their mean rank."""
    _, where, n = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(n) - (n - 1) / 2)[where])
