"""Observed against predicted probability: exactly calibrated forecasts lie on the diagonal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from churnsurv.plots.style import BAND_OPACITY, BLUE, MUTED, VERMILION, WIDE, finish, layered

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

    from churnsurv.risk.backtest import Backtest

_BINS: Final = 10


def calibration_data(
    result: Backtest, model: str | Sequence[str], *, horizon: float | None = None, ci_prob: float = 0.90
) -> pd.DataFrame:
    """Smooth calibration curve with its band, and ten bins with intervals, over all dates together.

    Parameters
    ----------
    result : Backtest
        Forecasts and outcomes.
    model : str or sequence of str
        Which.
    horizon : float, optional
        The longest by default.
    ci_prob : float
        Probability of bands and intervals.

    Returns
    -------
    DataFrame
        ``model, what`` (``"curve"``, ``"bin"``), ``predicted, observed, lower, upper, n`` (of a bin).
    """
    import pandas as pd

    from churnsurv.risk.calibration import calibration_curve, calibration_table

    names = [model] if isinstance(model, str) else list(model)
    at = result.horizons[-1] if horizon is None else float(horizon)
    curve = calibration_curve(result, models=names, ci_prob=ci_prob).assign(what="curve")
    bins = calibration_table(result, models=names, n_bins=_BINS, ci_prob=ci_prob).assign(what="bin")
    both = pd.concat([curve, bins], ignore_index=True)
    both = both[both["horizon"] == at]
    return both[["model", "what", "predicted", "observed", "lower", "upper", "n"]].reset_index(drop=True)


def plot_calibration(
    result: Backtest,
    model: str | Sequence[str],
    *,
    horizon: float | None = None,
    ci_prob: float = 0.90,
    width: int = WIDE,
) -> alt.HConcatChart:
    """Draw :func:`calibration_data`: the curve in its band, the bins as points, the diagonal dashed.

    Parameters
    ----------
    result, model, horizon, ci_prob
        See :func:`calibration_data`.
    width : int
        Width of all panels together in pixels.

    Returns
    -------
    HConcatChart
        An Altair chart, one square for each model.
    """
    import altair as alt

    data = calibration_data(result, model, horizon=horizon, ci_prob=ci_prob)
    names = data["model"].drop_duplicates().tolist()
    side = max(180, min(340, (width - 60 * len(names)) // max(len(names), 1)))
    return finish(alt.hconcat(*[_square(data[data["model"] == name], name, side) for name in names]))


def _square(data: pd.DataFrame, name: str, side: int) -> alt.LayerChart:
    import altair as alt
    import pandas as pd

    scale = alt.Scale(domain=[0, 1])
    x = alt.X("predicted:Q", title="Predicted", scale=scale).axis(format="%")
    y = alt.Y("observed:Q", title="Observed", scale=scale).axis(format="%")
    curve, bins = data[data["what"] == "curve"], data[data["what"] == "bin"]
    ends = pd.DataFrame({"predicted": [0.0, 1.0], "observed": [0.0, 1.0]})
    low = alt.Y("lower:Q", title="Observed", scale=scale)
    layers = [
        alt.Chart(ends).mark_line(color=MUTED, strokeDash=[4, 3], strokeWidth=1).encode(x=x, y=y),
        alt.Chart(curve).mark_area(color=BLUE, opacity=BAND_OPACITY).encode(x=x, y=low, y2="upper:Q"),
        alt.Chart(curve).mark_line(color=BLUE).encode(x=x, y=y),
        alt.Chart(bins).mark_rule(color=VERMILION, strokeWidth=1.5).encode(x=x, y=low, y2="upper:Q"),
        alt.Chart(bins).mark_point(color=VERMILION, filled=True, size=40, opacity=1).encode(x=x, y=y),
    ]
    return layered(layers, width=side, height=side, title=name)
