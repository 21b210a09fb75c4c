"""Was it right last time: what was expected on an earlier day against what then happened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from churnsurv.hazards.scoring.share_intervals import wilson_interval
from churnsurv.plots.style import BLUE, INK, MUTED, SMALL, VERMILION, WIDE, finish, layered

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

    from churnsurv.risk.checks import AsOfCheck, RiskBin

_MOST_DIGITS: Final = 2
_HALF: Final = 0.5


def as_of_check_data(check: AsOfCheck) -> pd.DataFrame:
    """Compare expected and observed shares of churners by the risk that was stated beforehand.

    Parameters
    ----------
    check : AsOfCheck
        The check.

    Returns
    -------
    DataFrame
        ``bin`` (label), ``n_customers``, ``expected``, ``observed`` (churners), ``expected_share``,
        ``observed_share``, ``lower``, ``upper`` (Wilson interval of the observed share, as if customers
        were independent). Bins of fewer than 10 customers are left out.
    """
    import pandas as pd

    rows = []
    parts = [part for part in check.bins if part.n >= SMALL]
    for part, label in zip(parts, _labels(parts), strict=True):
        lower, upper = wilson_interval(part.observed / part.n, part.n, check.ci_prob)
        rows.append(
            {
                "bin": label,
                "n_customers": part.n,
                "expected": part.expected,
                "observed": part.observed,
                "expected_share": part.expected / part.n,
                "observed_share": part.observed / part.n,
                "lower": lower,
                "upper": upper,
            }
        )
    columns = ["bin", "n_customers", "expected", "observed", "expected_share", "observed_share", "lower", "upper"]
    return pd.DataFrame(rows, columns=columns)


def _labels(parts: Sequence[RiskBin]) -> list[str]:
    """Ranges in per cent with the fewest digits that tell them apart; equal ones are numbered."""
    for digits in range(_MOST_DIGITS + 1):
        ends = [(f"{part.lower * 100:.{digits}f}", f"{part.upper * 100:.{digits}f}") for part in parts]
        labels = [f"{low}–{high}%" if low != high else f"{low}%" for low, high in ends]
        if len(set(labels)) == len(labels):
            return labels
    return [f"{label} ({k})" for k, label in enumerate(labels, 1)]


def plot_as_of_check(check: AsOfCheck, *, width: int = WIDE) -> alt.LayerChart:
    """Draw :func:`as_of_check_data`: a bar for what was expected, a point with interval for what happened.

    Parameters
    ----------
    check : AsOfCheck
        See :func:`as_of_check_data`.
    width : int
        Width of the plotting area in pixels.

    Returns
    -------
    LayerChart
        An Altair chart.
    """
    import altair as alt

    data = as_of_check_data(check)
    expected, observed = "Expected beforehand", f"Happened ({check.ci_prob:.0%} interval)"
    names = alt.Scale(domain=[expected, observed], range=[BLUE, VERMILION])
    x = alt.X("bin:N", sort=data["bin"].tolist(), title="Chance to churn stated beforehand")
    base = alt.Chart(data).encode(x=x.axis(labelAngle=0, labelColor=INK))
    most = float(data[["expected_share", "upper"]].max().max())
    scale = alt.Scale(domain=[0, 1]) if most > _HALF else alt.Scale(domain=[0, most], nice=True)
    y = alt.Y("expected_share:Q", title="Share churned", scale=scale).axis(format="%", tickCount=5)
    colour = alt.Color("what:N", scale=names, sort=[expected, observed])
    layers = [
        base.transform_calculate(what=f"'{expected}'")
        .mark_bar(opacity=0.55, width=alt.RelativeBandSize(0.6))
        .encode(y=y, color=colour),
        base.mark_rule(strokeWidth=2, color=VERMILION).encode(y=alt.Y("lower:Q", title="Share churned"), y2="upper:Q"),
        base.transform_calculate(what=f"'{observed}'")
        .mark_point(filled=True, size=75, opacity=1, stroke="white", strokeWidth=1)
        .encode(y=alt.Y("observed_share:Q"), color=colour),
        base.transform_calculate(size="'n ' + format(datum.n_customers, ',')")
        .mark_text(baseline="bottom", color=MUTED, fontSize=11)
        .encode(y=alt.value(-4), text="size:N"),
    ]
    return finish(layered(layers, width=width, height=240))
