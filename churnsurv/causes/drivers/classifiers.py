"""Contributions of the features to the log odds of a linear classifier on person-periods: exact, and without bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from churnsurv._typing import FloatArray, StrArray
from churnsurv.causes.drivers.baselines import Baseline, DriverBaseline, read_baseline
from churnsurv.causes.drivers.columns import PERIOD_TERM, PeriodRows, SeenColumns, training_columns
from churnsurv.causes.drivers.terms import Told
from churnsurv.errors import ModelSupportError
from churnsurv.models.base import PatternRows

if TYPE_CHECKING:
    from churnsurv.models.discrete_fit import DiscreteHazardFit

LOG_ODDS = "log odds of the event in a period"
"""Scale of classifiers: for small hazards the log hazard of the period."""

_MEAN = "the mean of the training person-periods, at the same period"
_LOOKED_AT = 200
"""Training rows on which a classifier is held against its own coefficients."""

_CLOSE = 1e-6
_ROWS_AT_ONCE = 65_536


@dataclass(frozen=True, eq=False)
class ClassifierDrivers:
    """Features of a linear classifier; customers are compared within their period, as other fits compare at one time.

    Parameters
    ----------
    fit : DiscreteHazardFit
        The fit.
    seen : SeenColumns
        Columns that the estimator sees, by term.
    coef : array of shape (p,)
        Coefficients of those columns.
    reference : array of shape (p,)
        Columns at the baseline.
    baseline : str
        Whom customers are compared with, in words.
    """

    fit: DiscreteHazardFit
    seen: SeenColumns
    coef: FloatArray
    reference: FloatArray
    baseline: str

    scale = LOG_ODDS
    bounded = False
    caveats = ("a classifier has no uncertainty of its own: contributions have no bounds.",)

    @property
    def names(self) -> tuple[str, ...]:
        """Terms: the features, and of landmarks how far the clock was."""
        return tuple(name for name in self.seen.names if name != PERIOD_TERM)

    def texts(self, rows: PatternRows) -> StrArray:
        """Level or number of each row in each term, shape (n, n_terms)."""
        return PeriodRows.of(self.fit, rows).texts(self.names)

    def told(self, rows: PatternRows, ci_prob: float) -> Told:
        """Contributions of n rows; bounds are NaN."""
        parts = self.draws(rows)[0]
        value = np.column_stack([parts, parts.sum(axis=1)])
        return Told(value, np.full_like(value, np.nan), np.full_like(value, np.nan))

    def draws(self, rows: PatternRows) -> FloatArray:
        """Contributions, shape (1, n, n_terms)."""
        frame = PeriodRows.of(self.fit, rows).frame
        kept = [k for k, name in enumerate(self.seen.names) if name != PERIOD_TERM]
        found = []
        for start in range(0, len(frame), _ROWS_AT_ONCE):
            columns = np.asarray(self.seen.transform(frame.iloc[start : start + _ROWS_AT_ONCE]), np.float64)
            parts = (columns - self.reference) * self.coef
            found.append(self.seen.by_term(parts)[:, kept])
        return np.concatenate(found)[None]


def classifier_drivers(fit: DiscreteHazardFit, baseline: Baseline) -> ClassifierDrivers:
    """Features of a linear classifier.

    Raises
    ------
    ModelSupportError
        If the log odds are not linear in the columns, or a column is made of several features.
    """
    columns = fit.schema.columns
    numbers = [k for k, values in enumerate(fit.rows.values) if values is not None]
    known = {k: set(np.unique(codes).tolist()) for k, codes in enumerate(fit.rows.codes.T) if k not in numbers}
    named = read_baseline(baseline, fit.schema, numbers, known)
    _linear(fit.classifier.estimator_)
    seen = SeenColumns.of(fit)
    coef = _coefficients(fit, seen)
    reference = _reference(fit, seen, named)
    return ClassifierDrivers(fit, seen, coef, reference, named.describe(_MEAN, range(len(columns))))


def _linear(estimator: Any) -> None:
    """Refuse, before any work, what has no coefficients."""
    while hasattr(estimator, "best_estimator_") or hasattr(estimator, "steps"):
        estimator = estimator.best_estimator_ if hasattr(estimator, "best_estimator_") else estimator.steps[-1][1]
    if not hasattr(estimator, "coef_"):
        raise _not_linear(type(estimator).__name__)


def _not_linear(name: str) -> ModelSupportError:
    return ModelSupportError(
        f"{name} is not linear in the log odds, so that terms do not add up.",
        consequence="What one column adds depends on all the others.",
        hint="attributions(fit, customers) shares trees out among their columns; LogisticRegression is linear.",
    )


def _coefficients(fit: DiscreteHazardFit, seen: SeenColumns) -> FloatArray:
    """Coefficients of the columns, held against the probabilities that the classifier gives."""
    from churnsurv.models.person_period_classifier import event_probability

    coef = np.asarray(seen.estimator.coef_, np.float64)
    if coef.size != len(seen.term):
        raise _not_linear(type(seen.estimator).__name__)
    coef = coef.ravel()
    some = np.unique(np.linspace(0, len(fit.rows) - 1, _LOOKED_AT).astype(np.int64))
    frame = training_columns(fit, fit.rows.take(some))
    hazard = event_probability(fit.classifier, frame)
    with np.errstate(divide="ignore"):
        odds = np.log(hazard) - np.log1p(-hazard)
    score = np.asarray(seen.transform(frame), np.float64) @ coef
    apart = odds - score
    inside = (hazard > _CLOSE) & (hazard < 1.0 - _CLOSE)  # nearer to 0 or 1 the odds of a probability have lost digits
    if inside.any() and np.ptp(apart[inside]) > _CLOSE * (1.0 + np.abs(apart[inside]).max()):
        raise _not_linear(type(seen.estimator).__name__)
    return coef


def _reference(fit: DiscreteHazardFit, seen: SeenColumns, named: DriverBaseline) -> FloatArray:
    """Columns at the baseline: the mean over person-periods by weight, or what named levels and numbers make of them."""
    import pandas as pd

    total, weight = np.zeros(len(seen.term)), 0.0
    for start in range(0, len(fit.rows), _ROWS_AT_ONCE):
        some = fit.rows.take(np.arange(start, min(start + _ROWS_AT_ONCE, len(fit.rows))))
        share = np.ones(len(some)) if some.weight is None else some.weight
        total += share @ np.asarray(seen.transform(training_columns(fit, some)), np.float64)
        weight += float(share.sum())
    reference = total / weight
    if not named.named:
        return reference
    frame = training_columns(fit, fit.rows.take(np.zeros(1, np.int64)))
    columns = fit.schema.columns
    for k, number in named.numbers.items():
        frame[columns[k].name] = number
    for k, level in named.levels.items():
        frame[columns[k].name] = pd.Categorical([columns[k].labels[level]], columns[k].labels)
    here = np.asarray(seen.transform(frame), np.float64)[0]
    at = [seen.names.index(columns[k].name) for k in sorted(named.named)]
    return np.where(np.isin(seen.term, at), here, reference)
