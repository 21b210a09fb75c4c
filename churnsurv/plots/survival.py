"""How long customers stay silent: the fitted curve with its band, and the data beside it."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

from churnsurv._typing import FloatArray, IntArray
from churnsurv.errors import ArgumentError
from churnsurv.hazards.nonparametric import kaplan_meier
from churnsurv.models.competing_rows import CauseRows
from churnsurv.models.hierarchical.checks import followed_by
from churnsurv.models.hierarchical.fit import HierarchicalFit
from churnsurv.models.hierarchical.in_turn import expected_events, thinned
from churnsurv.plots.style import BAND_OPACITY, BLUE, INK, MUTED, SMALL, VERMILION, WIDE, axis, finish, layered, n_ticks
from churnsurv.tables.cells import CellTable
from churnsurv.tables.churn import Silence
from churnsurv.tables.episodes import Episodes
from churnsurv.tables.features import Feature
from churnsurv.tables.histories import longest_lookback
from churnsurv.tables.spells import SpellTable
from churnsurv.tables.window import DAY_US

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

    from churnsurv.models.base import SurvivalFit

FITTED: Final = "Model"
OBSERVED: Final = "Data (Kaplan–Meier)"
_N_TIMES: Final = 60
_N_DRAWS: Final = 200
_BATCH: Final = 256
_MOST_ROWS: Final = 2000
_MOST_FOLLOWED: Final = 20_000
_N_FOLLOWED: Final = 100
_N_GRID: Final = 30


def _pattern_rows(fit: SurvivalFit, counted: CellTable | Episodes) -> tuple[CauseRows, FloatArray]:
    """Customers at the start of a gap, and the share of the gaps that each stands for."""
    patterns, weight = _patterns(fit, counted) if isinstance(counted, CellTable) else _starts(fit, counted)
    known = np.flatnonzero((weight > 0) & ~fit.unseen(patterns))
    return patterns.take(known), weight[known] / weight[known].sum()


def _patterns(fit: SurvivalFit, cells: CellTable) -> tuple[CauseRows, FloatArray]:
    """Every covariate pattern of the cells, and how many gaps start with it."""
    patterns, where = np.unique(cells.codes, axis=0, return_inverse=True)
    weight = np.bincount(where.ravel(), weights=cells.n_spells, minlength=len(patterns))
    found = [cells.schema.column(column.name) for column in fit.schema.columns]
    places = [cells.schema.columns.index(column) for column in found]
    levels = tuple(
        np.asarray(column.labels, dtype=object)[patterns[:, place]] for column, place in zip(found, places, strict=True)
    )
    codes = [column.code_levels(level) for column, level in zip(fit.schema.columns, levels, strict=True)]
    n = len(patterns)
    names = np.asarray([str(k) for k in range(n)], dtype=object)
    stacked = np.column_stack(codes) if codes else np.zeros((n, 0), np.int64)
    return CauseRows(fit.schema, names, np.zeros(n), stacked, levels, (None,) * len(levels)), weight


def _starts(fit: SurvivalFit, rows: Episodes) -> tuple[CauseRows, FloatArray]:
    """Gaps as they begin, some of them where they are many, evenly spaced."""
    first = np.flatnonzero(rows.start == 0)
    some = first[np.unique(np.linspace(0, len(first) - 1, min(len(first), _MOST_ROWS)).astype(np.int64))]
    return CauseRows.of(rows, fit.schema).take(some), np.ones(len(some))


def _thin(n_draws: int) -> IntArray:
    return np.unique(np.linspace(0, n_draws - 1, min(n_draws, _N_DRAWS)).astype(np.int64))


def mean_survival(
    fit: SurvivalFit, counted: CellTable | Episodes, times: FloatArray, spells: SpellTable | None = None
) -> FloatArray:
    """Survival of the gaps of a log.

    Averaged over what the gaps start with, within each draw, so that the band is one of the average, not an average of
    bands. Where the fit knows customers apart (a frailty, a cured share), those who come often have many gaps, and the
    average over customers would not be that of gaps: then the curve adds up the hazard of whoever was at risk at each
    time, from what she had done by then.

    Parameters
    ----------
    fit : SurvivalFit
        The fit.
    counted : CellTable or Episodes
        Cells with the columns of the fit, usually those it was fitted on: their patterns and how many gaps
        start in each. Or rows, of which at most 2,000 that begin a gap are used, evenly spaced. What has a level that
        the fit has never seen is left out.
    times : array of shape (n_times,)
        Days on the clock, >= 0.
    spells : SpellTable, optional
        The gaps; needed where the fit knows customers apart and ``counted`` are cells. At most 20,000 rows are used,
        those of customers evenly spaced.

    Returns
    -------
    array of shape (n_draws, n_times)
        Probabilities; at most 200 draws (100 where the fit knows customers apart), evenly spaced over the posterior.

    Raises
    ------
    ArgumentError
        If the fit knows customers apart and nothing says whose the gaps are.
    """
    if isinstance(fit, HierarchicalFit) and fit.uses_history:
        return _survival_in_turn(fit, spells if isinstance(counted, CellTable) else counted, times)
    rows, share = _pattern_rows(fit, counted)
    draws = _thin(fit.n_draws)
    total = np.zeros((len(draws), len(times)))
    for first in range(0, len(share), _BATCH):
        part = slice(first, first + _BATCH)
        batch = rows.take(np.arange(len(share))[part])
        until = np.broadcast_to(times, (len(batch.reached), len(times)))
        survival = fit.conditional_survival(batch, np.ascontiguousarray(until), draws=draws)
        total += (survival * share[part, None]).sum(axis=1)
    return total


def _survival_in_turn(fit: HierarchicalFit, gaps: SpellTable | Episodes | None, times: FloatArray) -> FloatArray:
    if gaps is None:
        raise ArgumentError(
            "this fit knows customers apart, and cells do not say whose the gaps are.",
            hint="survival_data(fit, cells, spells), or Episodes in place of the cells.",
        )
    grid, cumulative = _hazard_in_turn(fit, gaps)
    return np.exp(-np.stack([np.interp(times, grid, one, right=np.nan) for one in cumulative]))


@lru_cache(maxsize=2)
def _hazard_in_turn(fit: HierarchicalFit, gaps: SpellTable | Episodes) -> tuple[FloatArray, FloatArray]:
    """Cumulative hazard of whoever was at risk on a fine grid: a report asks for it several times."""
    followed = followed_by(fit, gaps)
    last = fit.schema.breaks[-1]
    grid = np.unique(np.concatenate([np.linspace(0.0, last, _N_GRID), fit.schema.breaks]))
    draws = np.unique(np.linspace(0, fit.n_draws - 1, min(fit.n_draws, _N_FOLLOWED)).astype(np.int64))
    return grid, expected_events(followed, thinned(followed, _MOST_FOLLOWED), grid, draws).cumulative()


def _times(fit: SurvivalFit) -> FloatArray:
    breaks = np.asarray(fit.schema.breaks)
    reached = breaks[1:][fit.n_at_risk(breaks[1:]) >= SMALL]
    last = float(reached[-1]) if len(reached) else float(breaks[1])
    return np.unique(np.concatenate([np.linspace(0.0, last, _N_TIMES), breaks[breaks <= last]]))


def survival_data(
    fit: SurvivalFit, counted: CellTable | Episodes, spells: SpellTable | None = None, *, ci_prob: float = 0.90
) -> pd.DataFrame:
    """Share of customers still silent after so many days: fitted, and as the data have it.

    Parameters
    ----------
    fit : SurvivalFit
        The fit.
    counted : CellTable or Episodes
        The cells or rows it was fitted on, or those of a newer log.
    spells : SpellTable, optional
        The gaps; with them the Kaplan–Meier estimate is added as a check. Like the model it leaves out
        gaps that open before the look-back of the features is covered. See :func:`mean_survival` for the model's curve.
    ci_prob : float
        Probability of the equal-tailed band.

    Returns
    -------
    DataFrame
        ``series`` ("Model" or "Data (Kaplan–Meier)"), ``days``, ``survival``, ``lower``, ``upper``,
        ``n_at_risk`` (NaN for the model; a model without draws has no bounds), ``ci_kind``, ``ci_prob``. Both end where fewer than
        10 gaps are at risk.
    """
    import pandas as pd

    times = _times(fit)
    draws = mean_survival(fit, counted, times, spells)
    lower, upper = np.quantile(draws, [(1 - ci_prob) / 2, (1 + ci_prob) / 2], axis=0)
    if len(draws) == 1:
        lower, upper = np.full_like(lower, np.nan), np.full_like(upper, np.nan)
    fitted = pd.DataFrame(
        {"series": FITTED, "days": times, "survival": draws.mean(axis=0), "lower": lower, "upper": upper}
    ).assign(n_at_risk=np.nan)
    parts = [fitted] if spells is None else [fitted, _observed(spells, fit.schema.features, float(times[-1]))]
    return pd.concat(parts, ignore_index=True).assign(ci_kind="eti", ci_prob=ci_prob)


def _observed(spells: SpellTable, features: tuple[Feature, ...], last: float) -> pd.DataFrame:
    import pandas as pd

    gaps = spells.frame()
    # The model leaves out gaps that open before the look-back is covered; early gaps are longer, and a curve
    # that held them would lie beside the model's for no fault of the model.
    covered = spells.start_us + longest_lookback(features) * DAY_US
    gaps = gaps[gaps["origin"] >= covered]
    curve = kaplan_meier(gaps["exit"].to_numpy(), (gaps["event"] > 0).to_numpy(), entry=gaps["entry"].to_numpy())
    shown = (curve.n_at_risk >= SMALL) & (curve.times <= last)
    # Whole days: a step at its exact time would tell one customer's date.
    steps = pd.DataFrame(
        {
            "days": np.ceil(curve.times[shown]),
            "survival": curve.survival[shown],
            "n_at_risk": curve.n_at_risk[shown].astype(float),
        }
    )
    steps = steps.groupby("days", as_index=False, sort=True).last()
    start = pd.DataFrame({"days": [0.0], "survival": [1.0], "n_at_risk": [float(len(gaps))]})
    observed = pd.concat([start, steps[steps["days"] > 0]], ignore_index=True)
    return observed.assign(series=OBSERVED, lower=np.nan, upper=np.nan)


def at_risk_data(fit: SurvivalFit, times: FloatArray) -> pd.DataFrame:
    """How many gaps the curve rests on at some times, hidden under 10.

    Parameters
    ----------
    fit : SurvivalFit
        The fit.
    times : array of shape (n_times,)
        Days on the clock.

    Returns
    -------
    DataFrame
        ``days``, ``label``: the number at risk at the end of that time's period as text.
    """
    import pandas as pd

    counts = fit.n_at_risk(times)
    return pd.DataFrame({"days": times, "label": [f"{n:,}" if n >= SMALL else f"<{SMALL}" for n in counts.tolist()]})


def plot_survival(
    fit: SurvivalFit,
    counted: CellTable | Episodes,
    spells: SpellTable | None = None,
    *,
    ci_prob: float = 0.90,
    width: int = WIDE,
) -> alt.VConcatChart:
    """Draw :func:`survival_data`, with the day that defines churn marked and the numbers at risk below.

    Parameters
    ----------
    fit, counted, spells, ci_prob
        See :func:`survival_data`.
    width : int
        Width of the plotting area in pixels.

    Returns
    -------
    VConcatChart
        An Altair chart.
    """
    import altair as alt

    data = survival_data(fit, counted, spells, ci_prob=ci_prob)
    last, silence = float(data["days"].max()), _silence(fit)
    x = alt.X("days:Q", title=f"{fit.schema.churn.clock[:1].upper()}{fit.schema.churn.clock[1:]}")
    x = x.scale(domain=[0, last], nice=False).axis(**axis(tickCount=n_ticks(width)))
    y = alt.Y("survival:Q", title="Still silent", scale=alt.Scale(domain=[0, 1])).axis(format="%", tickCount=5)
    kept = [FITTED] if spells is None else [FITTED, OBSERVED]
    colour = alt.Color("series:N", scale=alt.Scale(domain=kept, range=[BLUE, INK][: len(kept)]), sort=kept)
    dashes = alt.StrokeDash("series:N", scale=alt.Scale(domain=kept, range=[[1, 0], [5, 3]][: len(kept)]), sort=kept)
    base = alt.Chart(data).encode(x=x)
    band = base.transform_filter(alt.datum.series == FITTED)
    layers = [
        band.mark_area(color=BLUE, opacity=BAND_OPACITY).encode(y=alt.Y("lower:Q", title="Still silent"), y2="upper:Q"),
        band.mark_line(strokeWidth=2.5).encode(y=y, color=colour, strokeDash=dashes),
        base.transform_filter(alt.datum.series == OBSERVED)
        .mark_line(interpolate="step-after", strokeWidth=1.4)
        .encode(y=y, color=colour, strokeDash=dashes),
        *_churn_day(silence, last),
    ]
    curve = layered(layers, width=width, height=280)
    return finish(alt.vconcat(curve, _at_risk_row(fit, last, width), spacing=2))


def _silence(fit: SurvivalFit) -> float:
    churn = fit.schema.churn
    if not isinstance(churn, Silence):
        raise ArgumentError("there is no silence on this clock.", hint="plot_tenure draws how long customers stay.")
    return churn.days


def _churn_day(silence: float, last: float) -> list[alt.Chart]:
    import altair as alt
    import pandas as pd

    if silence > last:
        return []
    mark = alt.Chart(pd.DataFrame({"days": [silence], "label": [f"churned after {silence:g} days"]})).encode(x="days:Q")
    return [
        mark.mark_rule(color=VERMILION, strokeWidth=1.5, strokeDash=[6, 3]),
        mark.mark_text(align="left", dx=6, baseline="top", dy=4, color=VERMILION).encode(
            y=alt.value(0), text="label:N"
        ),
    ]


def _at_risk_row(fit: SurvivalFit, last: float, width: int) -> alt.LayerChart:
    import altair as alt
    import pandas as pd

    times = _spread(np.asarray(fit.schema.breaks), last, last / (n_ticks(width) + 2))
    scale = alt.Scale(domain=[0, last], nice=False)
    title = alt.Chart(pd.DataFrame({"days": [0.0], "label": ["At risk"]}))
    numbers = alt.Chart(at_risk_data(fit, times))
    x = alt.X("days:Q", title=None, scale=scale).axis(None)
    return layered(
        [
            title.mark_text(color=MUTED, fontSize=11, align="right", dx=-6).encode(x=x, text="label:N"),
            numbers.mark_text(color=MUTED, fontSize=11).encode(x=x, text="label:N"),
        ],
        width=width,
        height=14,
    )


def _spread(breaks: FloatArray, last: float, apart: float) -> FloatArray:
    """Breaks from the last one down, none closer together than a number needs to stand."""
    kept: list[float] = []
    for edge in breaks[(breaks >= apart) & (breaks <= last)][::-1]:
        if not kept or kept[-1] - edge >= apart:
            kept.append(float(edge))
    return np.asarray(kept[::-1])
