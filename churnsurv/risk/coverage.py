"""How often predictive intervals held what happened: numbers of churners, in total and by column."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from churnsurv._typing import BoolArray
from churnsurv.hazards.scoring.share_intervals import wilson_interval
from churnsurv.risk.backtest import Backtest, Cutoff
from churnsurv.risk.forecasts import Forecast
from churnsurv.risk.outcomes import UNKNOWN
from churnsurv.risk.scored import as_frame

if TYPE_CHECKING:
    import pandas as pd


def predicted_totals(result: Backtest) -> pd.DataFrame:
    """Predicted and actual numbers of churners of every model at every cutoff: everyone, and by each column it knows.

    Parameters
    ----------
    result : Backtest
        Forecasts and outcomes.

    Returns
    -------
    DataFrame
        ``model, cutoff, column`` (empty for everyone), ``level, horizon, n, expected, lower, upper, observed, held``: whether
        the number lay inside the predictive interval, missing for models without uncertainty. Horizons that the log does
        not reach are left out.
    """
    rows: list[dict[str, object]] = []
    for cutoff in result.cutoffs:
        for name in result.models:
            forecast = result.forecasts[name, cutoff.date]
            if not forecast.failure:
                rows += [{"model": name, "cutoff": cutoff.date, **row} for row in _totals(cutoff, forecast)]
    return as_frame(rows)


def interval_coverage(result: Backtest) -> pd.DataFrame:
    """Share of predictive intervals that held the number, by model and horizon.

    Parameters
    ----------
    result : Backtest
        Forecasts and outcomes.

    Returns
    -------
    DataFrame
        ``model, horizon, column, n_intervals, covered`` with 90 % Wilson bounds ``covered_lower, covered_upper``, and
        ``width``, the average width of an interval as a share of the customers. Levels of one cutoff share what is unknown of
        the future's level, and the bounds do not know that: with few cutoffs they are too narrow.
    """
    table = predicted_totals(result)
    rows: list[dict[str, object]] = []
    if not len(table):
        return as_frame(rows)
    told = table[table["lower"].notna()]
    for key, part in told.groupby(["model", "horizon", "column"], sort=False):
        held = int(part["held"].sum())
        lower, upper = wilson_interval(held / len(part), len(part), 0.90)
        width = float(((part["upper"] - part["lower"]) / part["n"]).mean())
        names = dict(zip(("model", "horizon", "column"), key, strict=True))
        rows.append({**names, "n_intervals": len(part), "covered": held / len(part),
                     "covered_lower": lower, "covered_upper": upper, "width": width})  # fmt: skip
    return as_frame(rows)


def _totals(cutoff: Cutoff, forecast: Forecast) -> list[dict[str, object]]:
    """Of one model at one cutoff; the customers that its totals count."""
    happened = cutoff.outcomes.churn(np.asarray(forecast.horizons))
    counted = ~cutoff.outcomes.churned_before & (forecast.status != "refused").all(axis=1)
    found: list[dict[str, object]] = []
    codes = [np.zeros(len(counted), np.int64), *forecast.level_codes]
    for total, code in zip(forecast.totals, codes if forecast.totals else [], strict=True):
        for k, horizon in enumerate(forecast.horizons):
            if np.any(happened[counted, k] == UNKNOWN):
                continue
            for g, level in enumerate(total.levels):
                here = counted & (code == g)
                if here.any():
                    found.append(
                        {
                            "column": total.column,
                            "level": level,
                            "horizon": horizon,
                            **_row(total, g, k, here, happened),
                        }
                    )
    return found


def _row(total: object, g: int, k: int, here: BoolArray, happened: np.ndarray) -> dict[str, object]:
    observed = int(np.sum(happened[here, k] > 0))
    expected, lower, upper = (float(getattr(total, name)[g, k]) for name in ("expected", "lower", "upper"))
    held = None if np.isnan(lower) else bool(lower <= observed <= upper)
    return {
        "n": int(here.sum()),
        "expected": expected,
        "lower": lower,
        "upper": upper,
        "observed": observed,
        "held": held,
    }
