"""Folds of person-periods that go forward in time, and scorers of hazards, for scikit-learn's searches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from churnsurv._typing import FloatArray, IntArray
from churnsurv.models.person_period_classifier import PERIOD, event_probability, rows_of_index


class CustomerTimeSplit(BaseEstimator):  # type: ignore[misc]
    """Folds that go forward in time: learn from rows whose outcome was known, test on what began later.

    Parameters
    ----------
    n_splits : int
        Folds, >= 1: time is cut into one part more, with equally many rows.
    new_customers : bool
        Whether rows of the customers in the test part are left out of the training part: how well do *new* customers fare?

    Notes
    -----
    Reads ``begins``, ``ends`` and ``customer_id`` from the index of the frame that
    :class:`~churnsurv.models.discrete.DiscreteHazardModel` hands over. Durations have no dates: their folds are customers.
    """

    def __init__(self, n_splits: int = 5, *, new_customers: bool = False) -> None:
        self.n_splits = n_splits
        self.new_customers = new_customers

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:  # noqa: N803
        """Number of folds."""
        return int(self.n_splits)

    def split(self, X: pd.DataFrame, y: Any = None, groups: Any = None) -> Iterator[tuple[IntArray, IntArray]]:  # noqa: N803
        """Yield positions of training and test rows."""
        customer, begins, ends = rows_of_index(X)
        if not begins.any():
            yield from self._by_customer(customer)
            return
        order = np.argsort(begins, kind="stable")
        for part in np.array_split(order, self.n_splits + 1)[1:]:
            since = begins[part[0]]
            test = begins >= since
            test &= begins <= begins[part[-1]]
            train = ends <= since
            if self.new_customers:
                train &= ~np.isin(customer, customer[test])
            yield np.flatnonzero(train), np.flatnonzero(test)

    def _by_customer(self, customer: IntArray) -> Iterator[tuple[IntArray, IntArray]]:
        fold = np.random.default_rng(0).permutation(int(customer.max()) + 1)[customer] % (self.n_splits + 1)
        for k in range(1, self.n_splits + 1):
            yield np.flatnonzero(fold != k), np.flatnonzero(fold == k)


def log_score_skill(classifier: Any, frame: pd.DataFrame, y: IntArray) -> float:
    """Scorer: what share of the life table's log loss a classifier saves; the log-likelihood of whole spells, scaled.

    The log loss of person-periods adds up to minus the log-likelihood of the spells, so the scorer is proper for survival.

    Parameters
    ----------
    classifier : classifier
        Fitted.
    frame : DataFrame
        Rows with their ``period``.
    y : array of shape (n,)
        Whether the event fell in each.

    Returns
    -------
    float
        1 minus the ratio of the losses; 0 for the life table of the rows themselves, higher is better.
    """
    return 1.0 - _log_loss(event_probability(classifier, frame), y) / _log_loss(_life_table(frame, y), y)


def brier_score_skill(classifier: Any, frame: pd.DataFrame, y: IntArray) -> float:
    """Scorer: the same of the squared error of each period's hazard."""
    loss = np.mean((event_probability(classifier, frame) - y) ** 2)
    return float(1.0 - loss / np.mean((_life_table(frame, y) - y) ** 2))


def _life_table(frame: pd.DataFrame, y: IntArray) -> FloatArray:
    names = [str(name) for name in frame.columns if str(name).split("_")[0] == PERIOD]
    code = frame[PERIOD].cat.codes.to_numpy() if PERIOD in frame else np.asarray(frame[names]).argmax(axis=1)
    share = np.bincount(code, y) / np.maximum(np.bincount(code), 1)
    return share[code]


def _log_loss(chance: FloatArray, y: IntArray) -> float:
    kept = np.clip(chance, 1e-15, 1.0 - 1e-15)
    return float(-np.mean(np.where(y == 1, np.log(kept), np.log1p(-kept))))
