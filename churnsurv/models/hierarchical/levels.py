"""The level of each calendar month that a fit learnt, and of those to come."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from churnsurv._typing import FloatArray

if TYPE_CHECKING:
    from churnsurv.models.hierarchical.fit import HierarchicalFit


def month_ratios(fit: HierarchicalFit, ahead: int = 0) -> tuple[list[str], FloatArray]:
    """How many times as high the hazard is in each calendar month as in the average month of the data.

    Parameters
    ----------
    fit : HierarchicalFit
        With ``calendar=True``.
    ahead : int
        Months after the last of the data; each draw has one path.

    Returns
    -------
    months : list of str
        ``"2011-03"``, the months of the data first.
    ratios : array of shape (n_draws, n_months)
        Hazard ratios; none where the fit carries no months.
    """
    months, draws = fit._predictor.months, np.arange(fit.n_draws)
    if months is None:
        return [], np.zeros((fit.n_draws, 0))
    numbers = np.arange(months.first, months.last + 1 + ahead)
    ratios = np.broadcast_to(months.ratios(numbers, draws), (len(draws), len(numbers)))
    names = [f"{number // 12:04}-{number % 12 + 1:02}" for number in numbers.tolist()]
    return names, ratios / months.average(draws)[:, :, 0]
