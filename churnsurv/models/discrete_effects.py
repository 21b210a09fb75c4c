"""Effects of a classifier's columns as hazard ratios: everybody's hazard with the column set to one level or another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from churnsurv._typing import FloatArray
from churnsurv.tables.person_periods import PersonPeriods
from churnsurv.tables.schema import PatternColumn

if TYPE_CHECKING:
    import pandas as pd

    from churnsurv.models.discrete_fit import DiscreteHazardFit

_ROWS = 2_000
"""Person-periods over which a ratio is averaged, evenly spaced among those that were learnt from."""


def effects_frame(fit: DiscreteHazardFit, ci_prob: float) -> pd.DataFrame:
    """Hazard ratio of each level against the one with most time at risk, all other columns as they are (standardised).

    A number has the levels of its quarters, each set to the median of the rows in it. A ratio is that of the average
    cumulative hazard of a period; it says what the classifier believes, and is no effect of changing the column.

    Parameters
    ----------
    fit : DiscreteHazardFit
        A fit.
    ci_prob : float
        Written into the frame; bounds are NaN, since a classifier has no uncertainty.

    Returns
    -------
    DataFrame
        Columns as those of the other fits: ``column, level, reference, hazard_ratio, lower, upper, n_events, exposure,
        unpooled, ci_kind, ci_prob``.

    References
    ----------
    .. [1] Friedman, J. H. (2001). Greedy function approximation: a gradient boosting machine. *Annals of Statistics* 29,
       section 8.2 (partial dependence).
    """
    import pandas as pd

    names = ["column", "level", "reference", "hazard_ratio", "lower", "upper", "n_events", "exposure", "unpooled"]
    some = fit.rows.take(np.unique(np.linspace(0, len(fit.rows) - 1, min(_ROWS, len(fit.rows))).astype(np.int64)))
    found = []
    for k, column in enumerate(fit.schema.columns):
        exposure, events = _seen(fit.rows, k, column)
        reference = int(np.argmax(exposure))
        hazards = {code: _hazard(fit, some, k, code) for code in np.flatnonzero(exposure > 0).tolist()}
        found += [
            (column.name, column.labels[code], column.labels[reference], hazard / hazards[reference], np.nan, np.nan,
             int(events[code]), float(exposure[code]), np.nan)
            for code, hazard in hazards.items() if code != reference
        ]  # fmt: skip
    return pd.DataFrame(found, columns=names).assign(ci_kind="eti", ci_prob=ci_prob)


def _seen(rows: PersonPeriods, k: int, column: PatternColumn) -> tuple[FloatArray, FloatArray]:
    """Days at risk and events of each level."""
    days = np.diff(rows.steps)[rows.period] * (1.0 if rows.weight is None else rows.weight)
    code, n = rows.codes[:, k], len(column.labels)
    return np.bincount(code, days, n), np.bincount(code, rows.event > 0, n)


def _hazard(fit: DiscreteHazardFit, rows: PersonPeriods, k: int, code: int) -> float:
    """Average cumulative hazard of a period with one column set to a level."""
    from churnsurv.models.person_period_classifier import event_probability, person_period_frame

    n = len(rows)
    levels = [np.asarray(c.labels, dtype=object)[one] for c, one in zip(rows.schema.columns, rows.codes.T, strict=True)]
    values = list(rows.values)
    own = fit.rows.values[k]
    if own is None:
        levels[k] = np.full(n, rows.schema.columns[k].labels[code], dtype=object)
    else:
        values[k] = np.full(n, np.median(own[fit.rows.codes[:, k] == code]))
    frame = person_period_frame(rows.schema, rows.steps, rows.period, rows.reached, tuple(levels), tuple(values))
    return float(np.mean(-np.log1p(-np.minimum(event_probability(fit.classifier, frame), 1.0 - 1e-12))))
