"""Effects of any fit in one form: a ratio of hazards, and of times where the model has one, by column and level."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from churnsurv.models.cox_fit import CoxFit
from churnsurv.models.formula import NUMBER, Term
from churnsurv.models.weibull_fit import WeibullFit
from churnsurv.plots.rows import rows_of
from churnsurv.plots.sizes import short_number

if TYPE_CHECKING:
    import pandas as pd

    from churnsurv.models.base import SurvivalFit
    from churnsurv.tables.schema import PatternColumn

COLUMNS: Final = (
    "column", "level", "reference", "measure", "ratio", "lower", "upper", "time_ratio", "time_lower", "time_upper",
    "is_number",
)  # fmt: skip


def ratios_of(fit: SurvivalFit, ci_prob: float) -> pd.DataFrame:
    """Effects of one fit.

    Parameters
    ----------
    fit : SurvivalFit
        Of one cause.
    ci_prob : float
        Probability of the intervals.

    Returns
    -------
    DataFrame
        ``column, level, reference, measure, ratio, lower, upper, time_ratio, time_lower, time_upper, is_number``. The
        measure is ``"hazard_ratio"``, or ``"time_ratio"`` where the shape of a Weibull has terms: then no number is the
        ratio of hazards. Times are NaN for models that have no time ratio. Groups have the reference ``""``. A number
        that enters as a number is compared between the quarters of its values: at the upper against the lower one.

    References
    ----------
    .. [1] Harrell, F. E. (2015). *Regression Modeling Strategies*, 2nd ed., section 5.1.1: effects from the lower to
       the upper quartile. Springer.
    """
    import pandas as pd

    if isinstance(fit, CoxFit | WeibullFit):
        summary = fit.summary(ci_prob)
        terms = fit.design.effects.terms
        rows = [_of_term(fit, term, row) for term, row in zip(terms, rows_of(summary), strict=True)]
        return pd.DataFrame(rows, columns=list(COLUMNS))
    summary = fit.summary(ci_prob)
    data = summary.rename(columns={"hazard_ratio": "ratio"}).assign(measure="hazard_ratio", is_number=False)
    return data.assign(time_ratio=np.nan, time_lower=np.nan, time_upper=np.nan)[list(COLUMNS)]


def _of_term(fit: CoxFit | WeibullFit, term: Term, row: dict[str, Any]) -> dict[str, object]:
    columns, references = fit.schema.columns, fit.design.effects.references
    numbers = [columns[k] for k, level in term.factors if level == NUMBER]
    step = float(np.prod([_step(column) for column in numbers]))
    names, levels, against = [], [], []
    for k, level in term.factors:
        column = columns[k]
        names.append(column.name)
        levels.append(_upper(column) if level == NUMBER else column.labels[level])
        against.append(_lower(column) if level == NUMBER else column.labels[references[k]])
    return {
        "column": ":".join(names),
        "level": ":".join(levels),
        "reference": ":".join(against),
        "is_number": bool(numbers),
        **_measured(row, step),
    }


def _measured(row: dict[str, Any], step: float) -> dict[str, object]:
    hazard = ("hazard_ratio", "lower", "upper")
    none = {"time_ratio": np.nan, "time_lower": np.nan, "time_upper": np.nan}
    if "time_ratio" not in row:
        return {"measure": "hazard_ratio", **_powers(row, hazard, ("ratio", "lower", "upper"), step), **none}
    times = ("time_ratio", "lower", "upper")
    if not np.isfinite(row["hazard_ratio"]):
        return {"measure": "time_ratio", **_powers(row, times, ("ratio", "lower", "upper"), step), **none}
    return {
        "measure": "hazard_ratio",
        **_powers(row, ("hazard_ratio", "hazard_ratio_lower", "hazard_ratio_upper"), ("ratio", "lower", "upper"), step),
        **_powers(row, times, ("time_ratio", "time_lower", "time_upper"), step),
    }


def _powers(row: dict[str, Any], names: tuple[str, ...], new: tuple[str, ...], step: float) -> dict[str, float]:
    """Ratio per unit made one per step: exp(step × coefficient); a step is never negative, so bounds keep their order."""
    return {after: float(row[before]) ** step for before, after in zip(names, new, strict=True)}


def _quarters(column: PatternColumn) -> tuple[float, float] | None:
    edges = column.edges or ()
    inner = edges[1:-1]
    return (inner[0], inner[-1]) if len(inner) > 1 and inner[-1] > inner[0] else None


def _step(column: PatternColumn) -> float:
    quarters = _quarters(column)
    return 1.0 if quarters is None else quarters[1] - quarters[0]


def _upper(column: PatternColumn) -> str:
    quarters = _quarters(column)
    return "one more" if quarters is None else short_number(quarters[1])


def _lower(column: PatternColumn) -> str:
    quarters = _quarters(column)
    return "any value" if quarters is None else short_number(quarters[0])
