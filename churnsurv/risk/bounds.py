"""For how many days a customer is sure to stay, as often as promised: bounds calibrated on what followed an earlier date."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from churnsurv.errors import ArgumentError, DefinitionError, EmptyDataError
from churnsurv.hazards.scoring.conformal import conformal_lower_bound
from churnsurv.risk.backtest import Backtest
from churnsurv.risk.scored import scored

if TYPE_CHECKING:
    import pandas as pd

    from churnsurv.risk.table import RiskTable


def conformal_bounds(result: Backtest, model: str, risk: RiskTable, *, coverage: float = 0.90) -> pd.DataFrame:
    r"""Days for which each customer of a risk table will not churn, right for at least ``coverage`` of them.

    The level is read off the latest date of the backtest that is followed for the longest horizon: at which of the
    model's probabilities 10 % of the churners of then fall. If customers of then and of now are alike and the model says of
    both what one and the same fit says, coverage is at least the nominal [1]_, however wrong its level is. Today's fit has
    learnt a little more than the one of then, so for a refit of the same model the promise is approximate (of 2,621 bounds
    in 24 simulated shops 0.899 held, for 0.90), and for the fit of *another* model there is none: give the backtest's own.
    A season between the two dates is not known to it, and for single kinds of customers nothing is promised.

    Parameters
    ----------
    result : Backtest
        With the model, at horizons among which its curve is taken as straight.
    model : str
        Name of the risk table's model in it: the same settings, fitted on the log up to today.
    risk : RiskTable
        Customers of today, at the same horizons.
    coverage : float
        Share of customers for whom the bound must hold.

    Returns
    -------
    DataFrame
        One row per customer who has not churned and of whom the model says something: ``customer_id, reached, lower`` (days
        from now), ``at_longest`` (the bound is the longest horizon: she may be sure for longer).

    Raises
    ------
    ArgumentError
        If there is no such model, or horizons differ.
    DefinitionError
        If definitions differ.
    EmptyDataError
        If no date is followed for the longest horizon.

    References
    ----------
    .. [1] Candès, E., Lei, L. and Ren, Z. (2023). Conformalized survival analysis. *JRSS B*, 85, 24–45.
    """
    import pandas as pd

    if tuple(risk.horizon) != tuple(result.horizons):
        raise ArgumentError(
            f"the risk table has horizons of {_days(risk.horizon)} days, the backtest of {_days(result.horizons)}.",
            hint=f"churn_risk(fit, spells, {list(result.horizons)}).",
        )
    if risk.spells.churn != result.churn:
        raise DefinitionError(
            "the risk table and the backtest define churn differently.", hint="use one definition for both."
        )
    parts = [one for one in scored(result, "churn", [model]) if one.known(len(one.horizons) - 1)]
    if not parts:
        raise EmptyDataError(
            f"{model!r} has no date that is followed for {result.horizons[-1]:g} days.",
            hint="backtest earlier dates, or shorter horizons.",
        )
    last = parts[-1]
    (followed,) = (cutoff.followed for cutoff in result.cutoffs if cutoff.date == last.cutoff)
    columns = risk.columns
    told = ~columns.churned & ~np.isnan(columns.churn).any(axis=1)
    found = conformal_lower_bound(
        last.time,
        last.event,
        np.minimum.accumulate(1.0 - last.probability, axis=1),
        np.minimum.accumulate(1.0 - columns.churn[told], axis=1),
        last.horizons,
        coverage=coverage,
        cutoff=float(last.horizons[-1]),
        censoring_time=np.where(last.event > 0, np.maximum(followed, last.time), last.time),
    )
    return pd.DataFrame(
        {
            "customer_id": columns.customer_id[told],
            "reached": columns.reached[told],
            "lower": found.lower,
            "at_longest": found.lower >= found.cutoff * (1 - 1e-6),
        }
    )


def _days(horizons: tuple[float, ...]) -> str:
    return ", ".join(f"{one:g}" for one in horizons)
