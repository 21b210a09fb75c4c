"""What a classifier sees of a customer's period, and which of the columns it sees belong to which feature."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from churnsurv._typing import BoolArray, FloatArray, IntArray, StrArray
from churnsurv.causes.drivers.rows import number_texts
from churnsurv.errors import ModelSupportError
from churnsurv.models.base import PatternRows
from churnsurv.models.competing_rows import CauseRows

if TYPE_CHECKING:
    import pandas as pd

    from churnsurv.models.discrete_fit import DiscreteHazardFit

PERIOD_TERM, REACHED_TERM = "period", "reached"
"""Terms beside the features: which period it is and, of landmarks, how far the clock was at the landmark."""

_BASES = 4
"""Training rows around which columns are varied, to see what they move."""

_MOST_LEVELS = 2_000
_LOOKED_AT = 20_000
"""Training rows that tell how a number is spread."""

_NOTHING = 1e-9
_QUARTERS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, eq=False)
class PeriodRows:
    """The period in which each customer is now, as the classifier is asked about it.

    Parameters
    ----------
    rows : CauseRows
        Customers in the columns of the fit.
    period : array of int, shape (n,)
        Period; the last one for those who are beyond it.
    frame : DataFrame
        Features and clock.
    beyond : array of bool, shape (n,)
        Customers beyond the last period that was learnt.
    steps : tuple of float
        Edges of the periods.
    """

    rows: CauseRows
    period: IntArray
    frame: pd.DataFrame
    beyond: BoolArray
    steps: tuple[float, ...]

    @classmethod
    def of(cls, fit: DiscreteHazardFit, rows: PatternRows) -> PeriodRows:
        """Put customers into the period they have reached; person-periods stay in their own.

        Parameters
        ----------
        fit : DiscreteHazardFit
            The fit.
        rows : OpenSpells, Episodes, PersonPeriods or anything with a pattern
            Of episodes the start counts as reached. Of landmarks the period is the first one from now on.
        """
        from churnsurv.models.person_period_classifier import person_period_frame

        view = CauseRows.of(rows, fit.schema)
        if not hasattr(rows, "reached") and hasattr(rows, "start"):
            view = replace(view, reached=np.asarray(rows.start, np.float64))
        n, own = len(fit.steps) - 1, getattr(rows, "period", None)
        period = np.zeros(len(view), np.int64)
        if own is not None:
            period = np.asarray(own, np.int64)
        elif not fit.from_landmarks:
            period = np.searchsorted(np.asarray(fit.steps[1:]), view.reached, side="right").astype(np.int64)
        beyond, period = period >= n, np.minimum(period, n - 1)
        reached = view.reached if fit.from_landmarks else np.asarray(fit.steps)[period]
        frame = person_period_frame(fit.schema, fit.rows.steps, period, reached, view.levels, view.values)
        return cls(view, period, frame, beyond, fit.steps)

    def texts(self, terms: Sequence[str]) -> StrArray:
        """Level or number of each customer in each term, shape (n, n_terms)."""
        names = [column.name for column in self.rows.schema.columns]
        found = np.empty((len(self.period), len(terms)), dtype=object)
        for place, term in enumerate(terms):
            if term in names:
                k = names.index(term)
                values = self.rows.values[k]
                found[:, place] = self.rows.levels[k] if values is None else number_texts(values)
            else:
                found[:, place] = number_texts(self.rows.reached) if term == REACHED_TERM else self._days()
        return found

    def _days(self) -> StrArray:
        """Days of each customer's period, as text."""
        names = [f"{low:g}–{high:g} days" for low, high in itertools.pairwise(self.steps)]
        found: StrArray = np.asarray(names, dtype=object)[self.period]
        return found


@dataclass(frozen=True, eq=False)
class SeenColumns:
    """Columns that the innermost estimator sees, each of one term.

    Parameters
    ----------
    names : tuple of str
        Terms: the features, then ``reached`` of landmarks, then ``period``.
    term : array of int, shape (p,)
        Term of each column that the estimator sees, -1 for one that nothing moves.
    steps : tuple
        What is done to a frame before the estimator sees it.
    estimator : object
        The innermost estimator.
    inputs : tuple of str
        Columns of the frame.
    """

    names: tuple[str, ...]
    term: IntArray
    steps: tuple[Any, ...]
    estimator: Any
    inputs: tuple[str, ...]

    @classmethod
    def of(cls, fit: DiscreteHazardFit) -> SeenColumns:
        """Find out what each column depends on, by varying the features around training rows.

        Raises
        ------
        ModelSupportError
            If a column that the estimator sees depends on several features.
        """
        classifier = fit.classifier
        inputs = tuple(str(name) for name in classifier.feature_names_in_)
        first = () if classifier.preparation_ is None else (classifier.preparation_,)
        more, estimator = _innermost(classifier.estimator_)
        names = tuple(dict.fromkeys(_term_of(fit, name) for name in inputs))
        found = cls(names, np.zeros(0, np.int64), (*first, *more), estimator, inputs)
        return replace(found, term=_terms_of_columns(fit, found))

    def transform(self, frame: pd.DataFrame) -> Any:
        """What the estimator sees of rows: a frame or a matrix."""
        seen: Any = frame[list(self.inputs)]
        for step in self.steps:
            seen = step.transform(seen)
        return seen.toarray() if hasattr(seen, "toarray") else seen

    def by_term(self, values: FloatArray) -> FloatArray:
        """Sum over the columns of each term, from (n, p) to (n, n_terms).

        Raises
        ------
        ModelSupportError
            If a column that no feature was found to move adds something.
        """
        lost = np.abs(values[:, self.term < 0]).max(initial=0.0)
        if lost > _NOTHING:
            raise ModelSupportError(
                f"{int(np.sum(self.term < 0)):,} of {len(self.term):,} columns that the classifier sees move with no feature"
                f" that was tried, and add up to {lost:.2g}.",
                consequence="Contributions would not add up.",
                hint='leave preparation="auto".',
            )
        return np.stack([values[:, self.term == k].sum(axis=1) for k in range(len(self.names))], axis=1)


def _innermost(estimator: Any) -> tuple[tuple[Any, ...], Any]:
    """Steps before the estimator that learns, and that estimator, out of searches and pipelines."""
    steps: tuple[Any, ...] = ()
    while True:
        if hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif hasattr(estimator, "steps"):
            steps += tuple(step for _, step in estimator.steps[:-1] if step not in ("passthrough", None))
            estimator = estimator.steps[-1][1]
        else:
            return steps, estimator


def _term_of(fit: DiscreteHazardFit, name: str) -> str:
    """Term of a column of the frame."""
    from churnsurv.models.person_period_classifier import PERIOD, REACHED, RECENCY, TIME

    if name in [column.name for column in fit.schema.columns]:
        return name
    return {PERIOD: PERIOD_TERM, TIME: PERIOD_TERM, REACHED: REACHED_TERM, RECENCY: REACHED_TERM}.get(name, name)


def training_columns(fit: DiscreteHazardFit, rows: Any = None) -> pd.DataFrame:
    """Features and clock of training rows, in their order.

    Parameters
    ----------
    fit : DiscreteHazardFit
        The fit.
    rows : PersonPeriods, optional
        Some of the rows; all by default.
    """
    from churnsurv.models.person_period_classifier import person_period_frame

    rows = fit.rows if rows is None else rows
    levels = tuple(
        np.asarray(column.labels, dtype=object)[code]
        for column, code in zip(rows.schema.columns, rows.codes.T, strict=True)
    )
    return person_period_frame(rows.schema, rows.steps, rows.period, rows.reached, levels, rows.values)


def _terms_of_columns(fit: DiscreteHazardFit, seen: SeenColumns) -> IntArray:
    """Term of each column that the estimator sees, -1 for one that nothing moves."""
    import pandas as pd

    some = np.unique(np.linspace(0, len(fit.rows) - 1, _LOOKED_AT).astype(np.int64))
    frame = training_columns(fit, fit.rows.take(some))[list(seen.inputs)]
    places = np.unique(np.linspace(0, len(frame) - 1, _BASES).astype(np.int64))
    gaps = {
        column.name
        for column, values in zip(fit.schema.columns, fit.rows.values, strict=True)
        if values is not None and np.isnan(values).any()
    }
    moved = np.zeros((len(seen.names), _width(seen.transform(frame.iloc[:1]))), bool)
    for name in seen.inputs:
        other = _alternatives(frame[name], missing=name in gaps)
        at = np.repeat(places, len(other))
        varied = frame.iloc[at].reset_index(drop=True)
        varied[name] = pd.concat([other] * len(places), ignore_index=True)
        found = _block(seen.transform(varied), len(places))
        moved[seen.names.index(_term_of(fit, name))] |= np.any(found != found[:, :1], axis=(0, 1))
    mixed = np.flatnonzero(moved.sum(axis=0) > 1)
    if len(mixed):
        which = [seen.names[k] for k in np.flatnonzero(moved[:, mixed[0]])]
        raise ModelSupportError(
            f"{len(mixed):,} of {moved.shape[1]:,} columns that the classifier sees are made of several features: "
            f"{' and '.join(which)}.",
            consequence="What such a column adds belongs to none of them alone.",
            hint='leave preparation="auto", or prepare each column on its own.',
        )
    return np.where(moved.any(axis=0), np.argmax(moved, axis=0), -1).astype(np.int64)


def _alternatives(column: pd.Series[Any], *, missing: bool) -> pd.Series[Any]:
    """Values of a column that differ in all that a preparation could take notice of."""
    import pandas as pd

    if isinstance(column.dtype, pd.CategoricalDtype):
        levels = column.cat.categories[:_MOST_LEVELS]
        return pd.Series(pd.Categorical(levels, column.cat.categories))
    known = column.dropna().to_numpy(np.float64)
    cuts = np.quantile(known, _QUARTERS) if len(known) else np.zeros(1)
    return pd.Series([*cuts, cuts[0] - 1.0, cuts[-1] + 1.0, *([np.nan] if missing else [])])


def _width(matrix: Any) -> int:
    return int(matrix.shape[1])


def _block(matrix: Any, n: int) -> np.ndarray[Any, np.dtype[Any]]:
    """Columns as codes that can be compared, shape (n, n_alternatives, p); what is missing equals itself."""
    import pandas as pd

    columns = [matrix.iloc[:, k] if hasattr(matrix, "iloc") else matrix[:, k] for k in range(_width(matrix))]
    codes = [pd.factorize(np.asarray(column), use_na_sentinel=False)[0] for column in columns]
    return np.stack(codes, axis=1).reshape(n, -1, len(columns))
