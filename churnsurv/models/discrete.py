"""Any classifier of scikit-learn's kind as a hazard model on person-periods."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from churnsurv.errors import ArgumentError, NoEventsError
from churnsurv.models.base import FitInfo, FitsOn, Progress, check_support
from churnsurv.models.discrete_fit import DiscreteHazardFit
from churnsurv.models.progress import reporter
from churnsurv.tables.periods import PeriodTable
from churnsurv.tables.person_periods import PersonPeriods

if TYPE_CHECKING:
    from churnsurv.tables.spells import SpellTable


@dataclass(frozen=True)
class DiscreteHazardModel:
    r"""A classifier that learns in which period the event falls, and so the hazard of each.

    With :math:`h_j(x)` the probability that the event falls in period j, given that the period was reached,

    .. math:: S(\tau_j \mid x) = \prod_{i \le j} (1 - h_i(x)) ,

    and within a period survival falls as under a constant hazard. The log loss of the rows is minus the log-likelihood of
    the spells [1]_, so every classifier that is good at probabilities is a survival model; censored spells count for the
    periods that they were seen in. Rows that the window's end cuts off are left out, see :class:`PersonPeriods`.

    Parameters
    ----------
    estimator : classifier
        With ``fit`` and ``predict_proba``: logistic regression, trees, forests, boosting (XGBoost and LightGBM too), networks,
        a pipeline, or a search over settings (``GridSearchCV``). It is cloned, never changed.
    preparation : "auto", None or transformer
        What is done to the columns first; see
        :class:`~churnsurv.models.person_period_classifier.HazardClassifier`.
    steps : sequence of float, optional
        Edges of the periods in days, where they are not to be the table's; see :meth:`PersonPeriods.from_periods`.
    validation : float, optional
        Share of the latest rows on which boosting stops early.

    Notes
    -----
    Fits on: periods (or spells, without features). Supports: delayed entry; weights, if the classifier takes them. A point
    estimate: it has no uncertainty of its own, and risks have no bounds. On periods from landmarks a period is counted from
    the landmark on, and how far the clock was then (``reached``) is one more column.

    References
    ----------
    .. [1] Allison, P. D. (1982). Discrete-time methods for the analysis of event histories. *Sociological Methodology* 13,
       61–98.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> DiscreteHazardModel(LogisticRegression(C=10.0)).get_params()["estimator__C"]
    10.0
    """

    estimator: Any
    preparation: Any = "auto"
    steps: Any = None
    validation: float | None = None

    supports: ClassVar[frozenset[str]] = frozenset({"entry", "weights"})
    fits_on: ClassVar[FitsOn] = "periods"

    def __post_init__(self) -> None:
        """Refuse what is no classifier before any data are made."""
        lacking = [name for name in ("fit", "get_params", "predict_proba") if not hasattr(self.estimator, name)]
        if lacking or isinstance(self.estimator, type):
            raise ArgumentError(
                f"estimator={self.estimator!r} is no classifier of scikit-learn's kind"
                + (": it is a class." if isinstance(self.estimator, type) else f": it has no {lacking[0]}."),
                column="estimator",
                hint="DiscreteHazardModel(LogisticRegression())",
            )
        if isinstance(self.preparation, str) and self.preparation != "auto":
            raise ArgumentError(
                f"preparation={self.preparation!r} is none.", hint='preparation="auto", None, or a transformer.'
            )

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Settings by name, with those of the estimator as ``estimator__…``: scikit-learn's ``clone`` asks for them."""
        found = {one.name: getattr(self, one.name) for one in fields(self)}
        if deep:
            found |= {f"estimator__{name}": value for name, value in self.estimator.get_params(deep=True).items()}
        return found

    def fit(
        self, table: PeriodTable | PersonPeriods | SpellTable, /, *, rng: int = 0, progress: Progress = False
    ) -> DiscreteHazardFit:
        """Learn the hazard of each period.

        Cost: one row per spell and whole period, in memory.

        Parameters
        ----------
        table : PeriodTable, PersonPeriods or SpellTable
            One cause; ``PersonPeriods.from_periods(periods).with_cause(cause)`` chooses one of several.
        rng : int
            Seed: given to every ``random_state`` of the estimator that is not set.
        progress : bool or callable
            Show a bar, or a function of the share done and a sentence.

        Returns
        -------
        DiscreteHazardFit
            With one chain of one draw.

        Raises
        ------
        ModelSupportError, EmptyDataError, NoEventsError, ArgumentError
            Before any learning.
        """
        from churnsurv.models.person_period_classifier import HazardClassifier, training_frame

        began = time.perf_counter()
        check_support(self, table)
        rows = table if isinstance(table, PersonPeriods) else self._rows(table)
        frame, y = training_frame(rows)
        if not y.any() or y.all():
            raise NoEventsError(
                f"{'not one' if not y.any() else 'every one'} of {len(y):,} whole periods has an event.",
                consequence="A classifier needs both to tell them apart.",
                hint="a longer window, other periods (breaks=…), or KaplanMeierModel for a flat curve.",
            )
        with reporter(progress) as report:
            report(0.0, f"learning from {len(frame):,} person-periods")
            classifier = HazardClassifier(seeded(self.estimator, rng), self.preparation, self.validation)
            classifier.fit(frame, y, None if rows.weight is None else _in_order(rows))
        info = _info(rows, time.perf_counter() - began)
        return DiscreteHazardFit.from_rows(self, rows, classifier, info)

    def _rows(self, table: PeriodTable | SpellTable) -> PersonPeriods:
        periods = table if isinstance(table, PeriodTable) else PeriodTable.from_spells(table)
        return PersonPeriods.from_periods(periods, steps=self.steps)


def _in_order(rows: PersonPeriods) -> Any:
    """Weights in the order of the training frame."""
    assert rows.weight is not None  # noqa: S101 - asked for where there are some
    return rows.weight if rows.begins is None else rows.weight[np.argsort(rows.begins, kind="stable")]


def seeded(estimator: Any, rng: int) -> Any:
    """A clone of an estimator with a seed wherever it would draw at random."""
    from sklearn.base import clone

    copy = clone(estimator)
    states = {
        name: rng
        for name, value in copy.get_params(deep=True).items()
        if value is None and name.split("__")[-1] == "random_state"
    }
    return copy.set_params(**states) if states else copy


def _info(rows: PersonPeriods, seconds: float) -> FitInfo:
    digest = hashlib.sha256()
    for part in (rows.period, rows.reached, rows.event, rows.codes, *(v for v in rows.values if v is not None)):
        digest.update(np.ascontiguousarray(part).tobytes())
    days = np.diff(rows.steps)[rows.period]
    return FitInfo(
        status="ok",
        seconds=seconds,
        n_spells=rows.n_spells,
        n_events=int(np.sum(rows.event > 0)),
        exposure=float(np.sum(days if rows.weight is None else days * rows.weight)),
        fingerprint=digest.hexdigest(),
        cause=rows.cause or "",
    )
