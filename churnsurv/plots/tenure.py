"""How long customers stay: what the model says of those who were there at each age, and the data beside it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from churnsurv._typing import BoolArray, FloatArray, IntArray
from churnsurv.errors import DataWarning
from churnsurv.hazards.competing import aalen_johansen
from churnsurv.hazards.incidence import incidence_of_causes
from churnsurv.hazards.nonparametric import kaplan_meier
from churnsurv.models.competing_rows import CauseRows
from churnsurv.models.hierarchical.fit import HierarchicalFit
from churnsurv.models.hierarchical.in_turn import InTurn
from churnsurv.plots.counted import fits_of
from churnsurv.plots.style import SMALL
from churnsurv.tables.episodes import Episodes

if TYPE_CHECKING:
    import pandas as pd

    from churnsurv.models.base import SurvivalFit

FITTED: Final = "Model"
OBSERVED: Final = "Data"
EVERYONE: Final = "everyone"
_N_TIMES: Final = 40
_N_DRAWS: Final = 200
_MOST_ROWS: Final = 20_000
_BATCH: Final = 1024
_YEAR: Final = 365.0
_ALL: Final = 1.0 - 1e-12


@dataclass(frozen=True, eq=False)
class Stretch:
    """Rows of some customers, where at least ten of them are at risk; arrays of shape (n,).

    Parameters
    ----------
    index : array of int
        Positions among all rows.
    start, stop : array
        Days on the clock, cut to the stretch.
    event : array of int
        0 where the row goes on, is censored or ends beyond the stretch.
    first, last : float
        Ends of the stretch in days.
    """

    index: IntArray
    start: FloatArray
    stop: FloatArray
    event: IntArray
    first: float
    last: float


def stretch_of(rows: Episodes, chosen: BoolArray) -> Stretch | None:
    """Cut rows to the days around the fullest one on which at least ten are at risk.

    Where customers enter late the early days may be told by a handful of them, and a curve that begins there would
    never recover; so it begins where ten are at risk, and tells the share of those who reached that day.

    Parameters
    ----------
    rows : Episodes
        Rows.
    chosen : array of bool, shape (n,)
        Which of them.

    Returns
    -------
    Stretch or None
        ``None`` where there are never ten at risk.
    """
    start, stop = rows.start[chosen], rows.stop[chosen]
    times = np.unique(np.concatenate([start, stop]))
    # At risk just after each time: those who have entered, less those who have left.
    n = np.searchsorted(np.sort(start), times, "right") - np.searchsorted(np.sort(stop), times, "right")
    if not len(n) or n.max() < SMALL:
        return None
    peak = int(np.argmax(n))
    thin = np.flatnonzero(n < SMALL)
    before, after = thin[thin < peak], thin[thin > peak]
    first = float(times[before[-1] + 1]) if len(before) else float(times[0])
    last = float(times[after[0]])
    inside = chosen & (rows.start < last) & (rows.stop > first)
    index = np.flatnonzero(inside)
    cut = np.minimum(rows.stop[index], last)
    event = np.where(rows.stop[index] <= last, rows.event[index], 0)
    return Stretch(index, np.maximum(rows.start[index], first), cut, event, first, last)


def tenure_data(
    fit: SurvivalFit,
    rows: Episodes,
    groups: dict[str, BoolArray] | None = None,
    *,
    grain: float | None = None,
    ci_prob: float = 0.90,
) -> pd.DataFrame:
    r"""Share of customers who are left by time since their beginning; or who have left, by each of several causes.

    Model and data answer the same question. At each age, the hazard is that of the customers who were observed at that
    age: in the data :math:`d / Y`, in the model the mean of the hazards of those at risk (their expected events by
    their days at risk). Averaging the model's curves over all customers instead would, where they enter late, give
    those who stay long too much weight in the early days. Where ages are known in whole units, expected events by
    customers at risk are taken unit by unit.

    Parameters
    ----------
    fit : SurvivalFit
        One fit, or one of each cause.
    rows : Episodes
        With every cause; see :func:`~churnsurv.plots.counted.episodes_of`.
    groups : mapping of str to array of bool, optional
        Rows of each curve; everyone by default.
    grain : float, optional
        Days of the unit in which ages are known, ``spells.grain``.
    ci_prob : float
        Probability of the equal-tailed band of the model, and of the interval of the data.

    Returns
    -------
    DataFrame
        ``group``, ``cause`` (``"any"`` where there is one), ``series`` ("Model" or "Data"), ``days``, ``share`` (still
        customers; with several causes the share lost to that cause), ``lower``, ``upper`` (NaN for a model without
        draws), ``n_at_risk`` (NaN for the model), ``quantity`` (``"survival"`` or ``"incidence"``), ``ci_prob``. Curves
        span the days on which at least 10 are at risk; a group that never has as many has none. The data are
        Kaplan–Meier's or Aalen–Johansen's estimate with late entry, on whole days. A model of more than 20,000 rows is
        evaluated on that many, evenly spaced.

    References
    ----------
    .. [1] Kalbfleisch, J. D. and Prentice, R. L. (2002). *The Statistical Analysis of Failure Time Data*, 2nd ed.,
       sections 1.4 and 8.2. Wiley.
    """
    import pandas as pd

    parts = []
    for group, chosen in (groups or {EVERYONE: np.ones(len(rows), bool)}).items():
        found = stretch_of(rows, chosen)
        if found is not None:
            fitted = _fitted(fit, rows, found, grain, ci_prob)
            parts += [part.assign(group=group) for part in (fitted, _observed(rows, found, ci_prob))]
    columns = ["group", "cause", "series", "days", "share", "lower", "upper", "n_at_risk"]
    data = pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)
    return data.assign(quantity="incidence" if _is_competing(rows) else "survival", ci_prob=ci_prob)


def _is_competing(rows: Episodes) -> bool:
    return rows.cause is None and len(rows.schema.causes) > 1


def model_draws(
    fit: SurvivalFit, rows: Episodes, found: Stretch, times: FloatArray, *, whole: bool = False
) -> FloatArray:
    """Draws of what :func:`tenure_data` shows of the model.

    Parameters
    ----------
    fit : SurvivalFit
        One fit, or one of each cause.
    rows : Episodes
        Rows.
    found : Stretch
        Those that count.
    times : array of shape (n_times,)
        Increasing days, the first of them that of the stretch.
    whole : bool
        Whether the times are the units in which ages are known, so that everybody at risk was so for the whole unit.

    Returns
    -------
    array of shape (n_causes, n_draws, n_times)
        Survival for one cause, else incidences.
    """
    fits = list(fits_of(fit).values())
    hazards = [_mean_hazard(one, rows, found, times, whole) for one in fits]
    n_draws = max(len(one) for one in hazards)
    alone = np.exp(-np.stack([np.broadcast_to(one, (n_draws, len(times))) for one in hazards]))
    return alone if len(fits) == 1 else incidence_of_causes(alone)


def _mean_hazard(fit: SurvivalFit, rows: Episodes, found: Stretch, times: FloatArray, whole: bool) -> FloatArray:
    """Cumulative mean hazard of those at risk at each time, shape (n_draws, n_times)."""
    row, part = _pieces(found, times)
    start, stop = np.maximum(found.start[row], times[part]), np.minimum(found.stop[row], times[part + 1])
    here = CauseRows.of(rows, fit.schema).take(found.index[row])
    weight = np.ones(len(row)) if rows.weight is None else rows.weight[found.index[row]]
    weight = np.where(fit.unseen(here), 0.0, weight)
    draws, n = _thin(fit.n_draws), len(times) - 1
    followed = InTurn(fit, rows) if isinstance(fit, HierarchicalFit) and fit.uses_history else None
    expected = np.zeros((len(draws), n))
    for first in range(0, len(row), _BATCH):
        some = np.arange(first, min(first + _BATCH, len(row)))
        batch = replace(here.take(some), reached=start[some])
        if followed is None:
            left = fit.conditional_survival(batch, stop[some, None], draws=draws)[:, :, 0]
        else:
            left = followed.survival(found.index[row[some]], start[some], stop[some], draws)
        left = np.maximum(np.where(weight[some] > 0, left, 1.0), np.finfo(float).tiny)
        events = (1.0 - left if whole else -np.log(left)) * weight[some]
        for k in range(len(draws)):
            expected[k] += np.bincount(part[some], events[k], n)
    at_risk = np.bincount(part, weight if whole else (stop - start) * weight, n)
    rate = np.divide(expected, at_risk, out=np.zeros_like(expected), where=at_risk > 0)
    rise = -np.log1p(-np.minimum(rate, _ALL)) if whole else rate * np.diff(times)
    return np.concatenate([np.zeros((len(draws), 1)), np.cumsum(rise, axis=1)], axis=1)


def _thin(n_draws: int) -> IntArray:
    return np.unique(np.linspace(0, n_draws - 1, min(n_draws, _N_DRAWS)).astype(np.int64))


def _pieces(found: Stretch, times: FloatArray) -> tuple[IntArray, IntArray]:
    """Rows cut at the times: position of each piece's row, and the stretch between two times in which it lies."""
    kept = _evenly(len(found.index))
    first = np.searchsorted(times, found.start[kept], "right") - 1
    last = np.minimum(np.searchsorted(times, found.stop[kept], "left"), len(times) - 1) - 1
    n = np.maximum(last - first + 1, 0)
    within = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n)
    row, part = np.repeat(kept, n), np.repeat(first, n) + within
    some = _evenly(len(row))
    return row[some], part[some].astype(np.int64)


def _evenly(n: int) -> IntArray:
    return np.unique(np.linspace(0, n - 1, min(n, _MOST_ROWS)).astype(np.int64))


def _times(fit: SurvivalFit, found: Stretch, grain: float | None) -> FloatArray:
    if grain is not None:
        return np.unique([found.first, *np.arange(np.ceil(found.first / grain), found.last / grain + 1e-6) * grain])
    breaks = np.array([*fit.schema.breaks, found.first + _YEAR])
    inner = breaks[(breaks > found.first) & (breaks < found.last)]
    return np.unique(np.concatenate([np.linspace(found.first, found.last, _N_TIMES), inner]))


def _fitted(fit: SurvivalFit, rows: Episodes, found: Stretch, grain: float | None, ci_prob: float) -> pd.DataFrame:
    import pandas as pd

    times = _times(fit, found, grain)
    draws = model_draws(fit, rows, found, times, whole=grain is not None)
    tail = (1 - ci_prob) / 2
    lower, upper = np.quantile(draws, [tail, 1 - tail], axis=1)
    if draws.shape[1] == 1:
        lower, upper = np.full_like(lower, np.nan), np.full_like(upper, np.nan)
    causes = rows.schema.causes if _is_competing(rows) else ("any",)
    frames = [
        pd.DataFrame({"days": times, "share": draws[k].mean(axis=0), "lower": lower[k], "upper": upper[k]}).assign(
            cause=cause
        )
        for k, cause in enumerate(causes)
    ]
    return pd.concat(frames).assign(series=FITTED, n_at_risk=np.nan)


def _observed(rows: Episodes, found: Stretch, ci_prob: float) -> pd.DataFrame:
    import pandas as pd

    curves = _incidences(rows, found, ci_prob) if _is_competing(rows) else _survival(rows, found, ci_prob)
    frames = []
    for cause, start, columns in curves:
        # Whole days: a step at its exact time would tell one customer's date.
        steps = pd.DataFrame(columns)
        steps["days"] = np.minimum(np.ceil(steps["days"]), np.ceil(found.last))
        steps = steps.groupby("days", as_index=False, sort=True).last()
        begin = pd.DataFrame({"days": [found.first], "share": [start], "n_at_risk": [float(columns["n_at_risk"][0])]})
        frames.append(pd.concat([begin, steps[steps["days"] > found.first]], ignore_index=True).assign(cause=cause))
    return pd.concat(frames, ignore_index=True).assign(series=OBSERVED)


def _survival(rows: Episodes, found: Stretch, ci_prob: float) -> list[tuple[str, float, dict[str, FloatArray]]]:
    with warnings.catch_warnings():
        # A group without an event, or an early day on which all left, is a curve like any other here.
        warnings.simplefilter("ignore", DataWarning)
        curve = kaplan_meier(
            found.stop, found.event > 0, entry=found.start, weight=_weight(rows, found), ci_prob=ci_prob
        )
    columns = {"share": curve.survival, "lower": curve.lower, "upper": curve.upper}
    return [("any", 1.0, {"days": curve.times, "n_at_risk": curve.n_at_risk, **columns})]


def _incidences(rows: Episodes, found: Stretch, ci_prob: float) -> list[tuple[str, float, dict[str, FloatArray]]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        curve = aalen_johansen(
            found.stop,
            found.event,
            entry=found.start,
            weight=_weight(rows, found),
            causes=rows.schema.causes,
            ci_prob=ci_prob,
        )
    parts = []
    for k, cause in enumerate(curve.causes):
        columns = {"share": curve.cumulative_incidence[k], "lower": curve.lower[k], "upper": curve.upper[k]}
        parts.append((cause, 0.0, {"days": curve.times, "n_at_risk": curve.n_at_risk, **columns}))
    return parts


def _weight(rows: Episodes, found: Stretch) -> FloatArray | None:
    return None if rows.weight is None else rows.weight[found.index]


def n_at_risk(rows: Episodes, times: FloatArray) -> IntArray:
    """Rows at risk just before each time.

    Parameters
    ----------
    rows : Episodes
        Rows.
    times : array of shape (n_times,)
        Days on the clock.
    """
    began = np.searchsorted(np.sort(rows.start), times, "left")
    return np.asarray(began - np.searchsorted(np.sort(rows.stop), times, "left"), np.int64)
