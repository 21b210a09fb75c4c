"""How the level of everybody's hazard moved from month to month, and where it may go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from churnsurv.plots.counted import fits_of
from churnsurv.plots.style import BLUE, INK, MUTED, WIDE, axis, finish, layered

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

    from churnsurv.models.base import SurvivalFit

AHEAD: Final = 3
"""Months to come that are shown."""
KNOWN: Final = "in the data"
TO_COME: Final = "to come"
_FEWEST: Final = 2


def months_data(
    fit: SurvivalFit, cause: str | None = None, *, ahead: int = AHEAD, ci_prob: float = 0.90
) -> pd.DataFrame:
    """Hazard ratio of each calendar month against the average month of the data.

    Parameters
    ----------
    fit : SurvivalFit
        A fit, or fits of several causes.
    cause : str, optional
        Which of several.
    ahead : int
        Months after the last of the data: the walk goes on in each draw as it went so far.
    ci_prob : float
        Probability of the equal-tailed intervals.

    Returns
    -------
    DataFrame
        ``month`` (``"2011-03"``), ``when`` (``"in the data"``, ``"to come"``), ``hazard_ratio`` (median), ``lower``,
        ``upper``, ``ci_prob``. No rows where the fit has no months, or one only.

    References
    ----------
    .. [1] docs/explanation/calendar.md
    """
    import pandas as pd

    one: Any = fits_of(fit)[cause]
    columns = ["month", "when", "hazard_ratio", "lower", "upper", "ci_prob"]
    if not getattr(one, "carries_months", False) or one.n_months < _FEWEST:
        return pd.DataFrame(columns=columns)
    from churnsurv.models.hierarchical.levels import month_ratios

    months, ratios = month_ratios(one, ahead)
    lower, middle, upper = np.quantile(ratios, [0.5 - ci_prob / 2, 0.5, 0.5 + ci_prob / 2], axis=0)
    when = [KNOWN if k < one.n_months else TO_COME for k in range(len(months))]
    values = (months, when, middle, lower, upper, [ci_prob] * len(months))
    return pd.DataFrame(dict(zip(columns, values, strict=True)))


def plot_months(
    fit: SurvivalFit, cause: str | None = None, *, paces: str = "Speed", ci_prob: float = 0.90, width: int = WIDE
) -> alt.LayerChart:
    """Draw :func:`months_data`: a point with its interval for each month, those to come hollow.

    Parameters
    ----------
    fit, cause, ci_prob
        See :func:`months_data`.
    paces : str
        What a ratio above 1 hurries: ``"Comes back"``, ``"Leaves"``.
    width : int
        Width of the plotting area in pixels.

    Returns
    -------
    LayerChart
        An Altair chart.
    """
    import altair as alt

    data = months_data(fit, cause, ci_prob=ci_prob)
    every = 1 + len(data) // (width // 40)
    shown = data["month"].tolist()[::every]
    x = alt.X("month:O", title=None, sort=data["month"].tolist())
    x = x.axis(**axis(labelAngle=-45, values=shown))
    ends = [min(0.5, float(data["lower"].min())), max(2.0, float(data["upper"].max()))]
    scale = alt.Scale(type="log", domain=ends, nice=False)
    title = f"{paces}, times the average month"
    y = alt.Y("hazard_ratio:Q", title=title, scale=scale).axis(
        values=[0.1, 0.2, 0.5, 0.7, 1, 1.4, 2, 5, 10], format="~g"
    )
    base = alt.Chart(data).encode(x=x)
    sort = [KNOWN, TO_COME]
    fill = alt.Fill("when:N", scale=alt.Scale(domain=sort, range=[BLUE, "white"]), sort=sort, title="Month")
    layers = [
        alt.Chart(data).mark_rule(color=MUTED, strokeDash=[4, 3]).encode(y=alt.datum(1)),
        base.mark_rule(strokeWidth=2, color=BLUE).encode(y=alt.Y("lower:Q", title=title, scale=scale), y2="upper:Q"),
        base.mark_point(size=60, opacity=1, stroke=INK, strokeWidth=1, filled=True).encode(y=y, fill=fill),
    ]
    return finish(layered(layers, width=width, height=240))
