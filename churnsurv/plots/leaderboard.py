"""Which model to trust: skill of every model at every date, best first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from churnsurv.plots.style import BLUE, INK, MUTED, NARROW, VERMILION, WIDE, axis, finish, layered

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

    from churnsurv.risk.leaderboard import Leaderboard

AVERAGE: Final = "average"
ONE_DATE: Final = "one date"
_ROW: Final = 26
_SUBTITLE: Final = "a dot for each date, a bar for their average; orange: worse than the best by more than chance"
_LEAST: Final = 0.05
"""Skill up to which the axis reaches at least."""


def leaderboard_data(board: Leaderboard) -> pd.DataFrame:
    """Brier skill against Kaplan and Meier's curve, of each model at each date and on average.

    Parameters
    ----------
    board : Leaderboard
        Models in order.

    Returns
    -------
    DataFrame
        ``model`` (best first within each horizon), ``horizon`` ("within 30 days"), ``what`` (``"average"``, ``"one date"``),
        ``cutoff`` (empty for the average), ``brier_skill``, ``verdict`` (of the model against the best). Models without a
        forecast are left out.
    """
    import pandas as pd

    told = board.table[board.table["brier"].notna()]
    means = told.assign(what=AVERAGE, cutoff="")
    verdict = told[["model", "horizon", "verdict"]]
    dates = (
        board.scores[board.scores["brier_skill"].notna()].merge(verdict, on=["model", "horizon"]).assign(what=ONE_DATE)
    )
    columns = ["model", "horizon", "what", "cutoff", "brier_skill", "verdict"]
    both = pd.concat([means[columns], dates[columns]], ignore_index=True)
    return both.assign(horizon=[f"within {days:g} days" for days in both["horizon"]])


def plot_leaderboard(board: Leaderboard, *, width: int = WIDE) -> alt.VConcatChart:
    """Draw :func:`leaderboard_data`: a dot for each date, a bar for the average.

    Who is told apart from the best is orange. Who lies further below zero than half of what the best is above it is told in words.

    Parameters
    ----------
    board : Leaderboard
        See :func:`leaderboard_data`.
    width : int
        Width of the plotting area in pixels.

    Returns
    -------
    VConcatChart
        An Altair chart, one panel for each horizon.
    """
    import altair as alt

    data = leaderboard_data(board)
    low, high = _domain(data)
    scale = alt.Scale(domain=[low, high], nice=False, clamp=False)
    panels = [
        _panel(data[data["horizon"] == horizon], horizon, scale, low, width)
        for horizon in data["horizon"].drop_duplicates()
    ]
    return finish(alt.vconcat(*panels))


def _domain(data: pd.DataFrame) -> tuple[float, float]:
    """Half as far below zero as above at most, so that one hopeless model does not hide all differences."""
    high = max(float(data["brier_skill"].max()), _LEAST)
    return max(min(0.0, float(data["brier_skill"].min())), -high / 2) * 1.05, high * 1.05


def _panel(data: pd.DataFrame, title: str, scale: alt.Scale, low: float, width: int) -> alt.LayerChart:
    import altair as alt

    order = data.loc[data["what"] == AVERAGE, "model"].tolist()
    label = "Share of the Kaplan–Meier curve's error that is saved" if width > NARROW else "Error saved, as a share"
    x = alt.X("brier_skill:Q", title=label, scale=scale).axis(format="%")
    y = alt.Y("model:N", title=None, sort=order).axis(**axis(labelLimit=200))
    worse = alt.condition(alt.datum.verdict == "worse", alt.value(VERMILION), alt.value(BLUE))
    base = alt.Chart(data).encode(x=x, y=y)
    dates = (
        base.transform_filter(alt.datum.what == ONE_DATE)
        .mark_circle(size=36, opacity=0.55, clip=True)
        .encode(color=worse, tooltip=["model:N", "cutoff:N", alt.Tooltip("brier_skill:Q", format=".3f")])
    )
    means = (
        base.transform_filter(alt.datum.what == AVERAGE)
        .mark_tick(thickness=3, size=18, opacity=1, clip=True)
        .encode(color=worse)
    )
    beyond = data[(data["what"] == AVERAGE) & (data["brier_skill"] < low)]
    told = (
        alt.Chart(beyond.assign(words=[f"◀ {skill:.0%}" for skill in beyond["brier_skill"]]))
        .mark_text(align="left", dx=4, color=VERMILION)
        .encode(x=alt.datum(low), y=y, text="words:N")
    )
    zero = alt.Chart(data).mark_rule(color=MUTED, strokeDash=[4, 3]).encode(x=alt.datum(0.0))
    height = _ROW * max(len(order), 2)
    heading = alt.TitleParams(title, subtitle=_SUBTITLE, color=INK, subtitleColor=MUTED)
    return layered([zero, dates, means, told], width=width - 150, height=height, title=heading)
