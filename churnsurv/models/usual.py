"""What most shops do today, to be compared with: a rule on the days of silence, and a classifier that ignores censoring."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from churnsurv._typing import FloatArray, IntArray
from churnsurv.errors import ArgumentError, DefinitionError, NoEventsError
from churnsurv.models.base import FitInfo, FitsOn, PatternRows, Progress, ReachedRows, check_support
from churnsurv.models.competing_rows import CauseRows
from churnsurv.models.point import PointFit
from churnsurv.models.progress import reporter
from churnsurv.tables.churn import Silence
from churnsurv.tables.episodes import Episodes
from churnsurv.tables.periods import PeriodTable
from churnsurv.tables.schema import CellSchema
from churnsurv.tables.spells import SpellTable

_MANY = 1_000_000
"""Training spells that a rule pretends to have: it asks none."""


def _check_days(days: object, name: str) -> None:
    if isinstance(days, bool) or not isinstance(days, (int, float)) or not 0 < days < np.inf:
        raise ArgumentError(f"days={days!r} is no positive number of days.", column="days", hint=f"{name}(days=30)")


@dataclass(frozen=True)
class SilenceRule:
    """The rule of thumb: who has not ordered for so many days is gone, everybody else will be back.

    It gives no probabilities but 0 and 1, and learns nothing. Compared with a model it shows what the rule costs.

    Parameters
    ----------
    days : float
        Days of silence.

    Notes
    -----
    Fits on: spells on the gap clock.

    Examples
    --------
    >>> SilenceRule(45).days
    45
    """

    days: float

    supports: ClassVar[frozenset[str]] = frozenset({"entry"})
    fits_on: ClassVar[FitsOn] = "spells"

    def __post_init__(self) -> None:
        """Check once."""
        _check_days(self.days, "SilenceRule")

    def fit(self, spells: SpellTable, /, *, rng: int = 0, progress: Progress = False) -> SilenceRuleFit:
        """Take note of the definition; nothing is learnt.

        Raises
        ------
        DefinitionError
            If the clock is not that of silence.
        """
        check_support(self, spells)
        if not isinstance(spells.churn, Silence):
            raise DefinitionError(
                f"a rule on silence was asked about {type(spells.churn).__name__}.",
                consequence="Under contract nobody is silent: she cancels.",
                hint="compare with KaplanMeierModel(), or define churn by Silence.",
            )
        schema = CellSchema(spells.churn, (0.0, max(spells.longest(), spells.churn.days)), (), timezone=spells.timezone)
        info = FitInfo(status="ok", n_events=int(sum(spells.n_events)), fingerprint=f"silent for {self.days:g} days")
        return SilenceRuleFit(self, schema, info)


@dataclass(frozen=True, eq=False)
class SilenceRuleFit(PointFit):
    """A rule as a fit.

    Parameters
    ----------
    model : SilenceRule
        The rule.
    schema : CellSchema
        Definition and clock, without columns.
    info : FitInfo
        Next to nothing.
    """

    caveat: ClassVar[str] = (
        "These are no probabilities: a rule says that whoever has been silent for long enough is gone, and everybody else not."
    )

    model: SilenceRule
    schema: CellSchema
    info: FitInfo

    def _stays(self, rows: ReachedRows, until: FloatArray) -> FloatArray:
        silent = np.asarray(rows.reached, float)[:, None] >= self.model.days
        return np.where(silent, 1.0, 0.0) * np.ones_like(until)

    def n_at_risk(self, times: FloatArray, rows: PatternRows | None = None) -> IntArray:
        """A rule needs nobody at risk."""
        return np.full(np.shape(times), _MANY, np.int64)


@dataclass(frozen=True)
class FixedHorizonModel:
    """A plain classifier of "the event within so many days", which ignores how long a spell was watched.

    One row per spell, with what was known at its start (or per landmark); 1 if the event was seen within ``days``, 0 if not,
    *also where the window ended before*: those are no customers who stayed, and the classifier learns that they are. What it
    says is used as most do, as a rate that does not change with the time reached. It is here to be compared with;
    :class:`~churnsurv.models.discrete.DiscreteHazardModel` is the same classifier without the two mistakes.

    Parameters
    ----------
    estimator : classifier
        With ``fit`` and ``predict_proba``.
    days : float
        Horizon.
    preparation : "auto", None or transformer
        See :class:`~churnsurv.models.person_period_classifier.HazardClassifier`.

    Notes
    -----
    Fits on: episodes, or the periods and spells that they are made of.
    """

    estimator: Any
    days: float
    preparation: Any = "auto"

    supports: ClassVar[frozenset[str]] = frozenset({"entry"})
    fits_on: ClassVar[FitsOn] = "episodes"

    def __post_init__(self) -> None:
        """Check once."""
        _check_days(self.days, "FixedHorizonModel")
        if not hasattr(self.estimator, "predict_proba") or isinstance(self.estimator, type):
            raise ArgumentError(
                f"estimator={self.estimator!r} is no classifier.",
                column="estimator",
                hint="FixedHorizonModel(LogisticRegression(), days=30)",
            )

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Settings by name, with those of the estimator as ``estimator__…``."""
        found: dict[str, Any] = {"estimator": self.estimator, "days": self.days, "preparation": self.preparation}
        inner = self.estimator.get_params(deep=True) if deep else {}
        return found | {f"estimator__{name}": value for name, value in inner.items()}

    def fit(
        self, table: Episodes | PeriodTable | SpellTable, /, *, rng: int = 0, progress: Progress = False
    ) -> FixedHorizonFit:
        """Learn the classifier.

        Raises
        ------
        NoEventsError
            If no event, or nothing else, was seen within the days.
        """
        from churnsurv.models.discrete import seeded
        from churnsurv.models.person_period_classifier import HazardClassifier, person_period_frame

        began = time.perf_counter()
        check_support(self, table)
        rows = table
        if isinstance(table, PeriodTable):
            rows = Episodes.from_periods(table)
        elif isinstance(table, SpellTable):
            rows = Episodes.from_spells(table)
        assert isinstance(rows, Episodes)  # noqa: S101 - check_support has refused everything else
        # From landmarks each row is asked anew; otherwise a spell that was not seen from its beginning answers nothing.
        first = np.ones(len(rows.start), bool) if rows.schema.as_of == "landmark" else rows.start == 0
        y = ((rows.event > 0) & (rows.stop - rows.start <= self.days))[first].astype(np.int64)
        if not y.any() or y.all():
            raise NoEventsError(
                f"{int(y.sum()):,} of {len(y):,} spells have the event within {self.days:g} days.",
                consequence="A classifier needs both to tell them apart.",
                hint="other days, or a longer window.",
            )
        frame = person_period_frame(
            rows.schema, (0.0, self.days), np.zeros(len(y), np.int64), np.zeros(len(y)), _levels(rows, first),
            tuple(None if value is None else value[first] for value in rows.values),
        )  # fmt: skip
        with reporter(progress) as report:
            report(0.0, f"learning from {len(y):,} spells")
            classifier = HazardClassifier(seeded(self.estimator, rng), self.preparation, 0.0).fit(frame, y)
        digest = hashlib.sha256(np.ascontiguousarray(np.column_stack([rows.start, rows.stop, rows.event])).tobytes())
        info = FitInfo(
            status="ok",
            seconds=time.perf_counter() - began,
            n_spells=rows.n_spells,
            n_events=int(y.sum()),
            fingerprint=digest.hexdigest(),
            cause=rows.cause or "",
        )
        return FixedHorizonFit(self, rows.schema, info, classifier, np.sort(rows.stop))


def _levels(rows: Episodes, some: np.ndarray) -> tuple[Any, ...]:
    return tuple(
        np.asarray(column.labels, dtype=object)[code[some]]
        for column, code in zip(rows.schema.columns, rows.codes.T, strict=True)
    )


@dataclass(frozen=True, eq=False)
class FixedHorizonFit(PointFit):
    """A plain classifier as a fit: a constant rate for each customer.

    Parameters
    ----------
    model : FixedHorizonModel
        The specification.
    schema : CellSchema
        Definition, clock and columns.
    info : FitInfo
        Data report.
    classifier : HazardClassifier
        Fitted.
    stops : array of shape (n_rows,)
        Ends of the training rows, sorted.
    """

    caveat: ClassVar[str] = (
        "A plain classifier made these: it takes customers who were not watched for long enough for ones without the event,"
        " and does not look at how long each has been there."
    )

    model: FixedHorizonModel
    schema: CellSchema
    info: FitInfo
    classifier: Any
    stops: FloatArray

    def _stays(self, rows: ReachedRows, until: FloatArray) -> FloatArray:
        from churnsurv.models.person_period_classifier import event_probability, person_period_frame

        view, n = CauseRows.of(rows, self.schema), len(until)
        frame = person_period_frame(
            self.schema, (0.0, self.model.days), np.zeros(n, np.int64), np.zeros(n), view.levels, view.values
        )
        kept = np.log1p(-np.minimum(event_probability(self.classifier, frame), 1.0 - 1e-12))
        return np.asarray(np.exp(kept[:, None] * (until - np.asarray(rows.reached, float)[:, None]) / self.model.days))

    def n_at_risk(self, times: FloatArray, rows: PatternRows | None = None) -> IntArray:
        """Training rows that reached each time."""
        return np.asarray(len(self.stops) - np.searchsorted(self.stops, np.asarray(times, float)), np.int64)
