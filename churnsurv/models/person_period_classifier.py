"""scikit-learn's side of discrete hazards: person-periods as a frame, and a classifier with the preparation of its columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.model_selection._search import BaseSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from churnsurv._typing import FloatArray, IntArray, StrArray
from churnsurv.errors import ArgumentError, ModelSupportError
from churnsurv.models.early_stopping import held_back, latest, stopping_on
from churnsurv.tables.schema import CellSchema

if TYPE_CHECKING:
    from churnsurv.tables.person_periods import PersonPeriods

PERIOD, TIME, REACHED, RECENCY = "period", "time", "reached", "reached_period"
"""Columns beside the features: which period, the day on which it begins; of landmarks the days reached, and their period."""

# Frames ------------------------------------------------------------------------------------------------------------


def person_period_frame(
    schema: CellSchema,
    steps: tuple[float, ...],
    period: IntArray,
    reached: FloatArray,
    levels: tuple[StrArray, ...],
    values: tuple[FloatArray | None, ...],
) -> pd.DataFrame:
    """What classifiers see: features by name, numbers as floats (NaN where nothing is known yet), text as categories.

    Parameters
    ----------
    schema : CellSchema
        Columns.
    steps : tuple of float
        Edges of the periods.
    period : array of shape (n,)
        Period of each row.
    reached : array of shape (n,)
        Days on the clock where it begins.
    levels : tuple of arrays of str
        Level of each column; only those of texts are used.
    values : tuple of (array or None)
        Numbers.

    Returns
    -------
    DataFrame
        The features, then ``period`` (category) and ``time`` (days at its beginning); of landmarks also ``reached`` (days
        on the clock) and ``reached_period`` (category).
    """
    data: dict[str, Any] = {}
    for column, level, value in zip(schema.columns, levels, values, strict=True):
        data[column.name] = pd.Categorical(level, column.labels) if value is None else value
    data[PERIOD] = _numbered(period, len(steps) - 1)
    data[TIME] = np.asarray(steps)[period]
    if schema.as_of == "landmark":
        data[REACHED] = reached
        data[RECENCY] = _numbered(schema.period_of(reached), schema.n_periods + 1)
    return pd.DataFrame(data)


def _numbered(codes: IntArray, n: int) -> pd.Categorical:
    names = np.array([str(k) for k in range(n)], dtype=object)
    return pd.Categorical(names[codes], names)


def training_frame(rows: PersonPeriods) -> tuple[pd.DataFrame, IntArray]:
    """Rows ordered by when they begin, with whose they are and when in the index; and whether the event fell in each.

    Returns
    -------
    DataFrame
        As :func:`person_period_frame`; index levels ``customer_id``, ``begins`` and ``ends`` (microseconds UTC, all zero
        for durations, which have no dates).
    array of shape (n,)
        0 or 1.
    """
    order = np.arange(len(rows)) if rows.begins is None else np.argsort(rows.begins, kind="stable")
    rows = rows.take(order)
    levels = tuple(
        np.asarray(c.labels, dtype=object)[code] for c, code in zip(rows.schema.columns, rows.codes.T, strict=True)
    )
    frame = person_period_frame(rows.schema, rows.steps, rows.period, rows.reached, levels, rows.values)
    begins = np.zeros(len(rows), np.int64) if rows.begins is None else rows.begins
    days = np.diff(rows.steps)[rows.period] if rows.begins is not None else np.zeros(len(rows))
    ends = begins + np.round(days * 86_400_000_000).astype(np.int64)
    frame.index = pd.MultiIndex.from_arrays([rows.customer_id, begins, ends], names=["customer_id", "begins", "ends"])
    return frame, (rows.event > 0).astype(np.int64)


def rows_of_index(frame: Any) -> tuple[IntArray, IntArray, IntArray]:
    """Customer (as a number), beginning and end of each row."""
    index = getattr(frame, "index", None)
    if not isinstance(index, pd.MultiIndex) or list(index.names) != ["customer_id", "begins", "ends"]:
        raise ArgumentError(
            f"{type(frame).__name__} does not say whose its rows are and when they begin.",
            consequence="Folds drawn at random would test on the customers and the time that were learnt from.",
            hint="pass the search as the estimator: DiscreteHazardModel(GridSearchCV(classifier, grid, cv=CustomerTimeSplit())).",
        )
    customer = pd.factorize(index.get_level_values("customer_id"))[0]
    begins, ends = (np.asarray(index.get_level_values(name), np.int64) for name in ("begins", "ends"))
    return customer.astype(np.int64), begins, ends


# The classifier ----------------------------------------------------------------------------------------------------


def default_preparation(frame: pd.DataFrame) -> ColumnTransformer:
    """Texts and periods as indicators, numbers with what is missing told and filled, and scaled.

    A level that was never seen has no indicator; what is not known yet has one of its own.
    """
    texts = [name for name in frame.columns if isinstance(frame[name].dtype, pd.CategoricalDtype)]
    numbers = [name for name in frame.columns if name not in texts]
    return ColumnTransformer(
        [
            ("texts", OneHotEncoder(handle_unknown="ignore", sparse_output=False), texts),
            (
                "numbers",
                make_pipeline(
                    SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True), StandardScaler()
                ),
                numbers,
            ),
        ],
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")


class HazardClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier on person-periods, together with the preparation of their columns.

    An estimator in every sense of scikit-learn: it can be cloned, tuned by ``GridSearchCV`` (settings of the classifier
    are ``estimator__…``) and scored. :class:`~churnsurv.models.discrete.DiscreteHazardModel` makes one for you.

    Parameters
    ----------
    estimator : classifier
        With ``predict_proba``.
    preparation : "auto", None or transformer
        What is done to the columns first: ``"auto"`` encodes texts and periods as indicators, fills and scales numbers;
        ``None`` hands the frame to the estimator as it is (pipelines of your own, boosting with categories).
    validation : float, optional
        Share of the latest rows on which boosting stops; 0 for none. By default a tenth, where the estimator would hold
        rows back at random: see :mod:`churnsurv.models.early_stopping`.
    """

    def __init__(self, estimator: Any, preparation: Any = "auto", validation: float | None = None) -> None:
        self.estimator = estimator
        self.preparation = preparation
        self.validation = validation

    def fit(self, X: pd.DataFrame, y: IntArray, sample_weight: FloatArray | None = None) -> HazardClassifier:  # noqa: N803
        """Prepare the columns and fit the classifier."""
        share = held_back(self.estimator, len(X), self.validation)
        learn, stop = latest(*rows_of_index(X), share) if share else (np.ones(len(X), bool), np.zeros(len(X), bool))
        self.preparation_ = None if self.preparation is None else self._new_preparation(X).fit(X, y)
        self.estimator_ = clone(self.estimator)
        weight = None if sample_weight is None else sample_weight[learn]
        settings = _weights(self.estimator, weight)
        if share:
            settings |= stopping_on(self.estimator_, self._prepared(X[stop]), y[stop])
        self.estimator_.fit(self._prepared(X[learn]), y[learn], **settings)
        self.classes_ = self.estimator_.classes_
        self.n_features_in_, self.feature_names_in_ = X.shape[1], np.asarray(X.columns, dtype=object)
        return self

    def predict_proba(self, X: pd.DataFrame) -> FloatArray:  # noqa: N803
        """Probabilities of no event and of the event, shape (n, 2)."""
        check_is_fitted(self, "estimator_")
        return np.asarray(self.estimator_.predict_proba(self._prepared(X[list(self.feature_names_in_)])), np.float64)

    def predict(self, X: pd.DataFrame) -> IntArray:  # noqa: N803
        """Whether the event is likelier than not, shape (n,)."""
        return np.asarray(self.classes_[np.argmax(self.predict_proba(X), axis=1)])

    def _new_preparation(self, frame: pd.DataFrame) -> Any:
        return default_preparation(frame) if isinstance(self.preparation, str) else clone(self.preparation)

    def _prepared(self, frame: pd.DataFrame) -> Any:
        return frame if self.preparation_ is None else self.preparation_.transform(frame)


def _weights(estimator: Any, weight: FloatArray | None) -> dict[str, FloatArray]:
    """Weights under the name by which an estimator takes them."""
    if weight is None:
        return {}
    if isinstance(estimator, Pipeline):
        name, last = estimator.steps[-1]
        return {f"{name}__{key}": value for key, value in _weights(last, weight).items()}
    inner = estimator.estimator if isinstance(estimator, BaseSearchCV) else estimator
    if has_fit_parameter(inner, "sample_weight"):
        return {"sample_weight": weight}
    raise ModelSupportError(
        f"{type(inner).__name__} takes no weights, and rows have some: frequencies, or parts of periods.",
        consequence="A part of a period would count as a whole one without the event, and every hazard come out too low.",
        hint="use a classifier whose fit takes sample_weight=, or breaks at the unit in which durations are recorded.",
    )


def event_probability(classifier: Any, frame: pd.DataFrame) -> FloatArray:
    """Probability of class 1, shape (n,)."""
    place = list(classifier.classes_).index(1)
    return np.asarray(classifier.predict_proba(frame), np.float64)[:, place]
