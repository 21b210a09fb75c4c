"""What is asked, checked before anything is read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from churnsurv._validate import check_choice
from churnsurv.analysis.covariates import declare, is_moving, specify
from churnsurv.errors import ArgumentError, DefinitionError
from churnsurv.tables.churn import ChurnDefinition, Silence
from churnsurv.tables.contracts import Cancellation
from churnsurv.tables.features import Baseline, Feature
from churnsurv.tables.window import ObservationWindow

if TYPE_CHECKING:
    from churnsurv.models.cox import CoxModel
    from churnsurv.models.hierarchical.model import HierarchicalModel
    from churnsurv.models.weibull import WeibullModel

ModelName = Literal["hierarchical", "cox", "weibull"]

MODELS: Final[tuple[ModelName, ...]] = ("hierarchical", "cox", "weibull")
"""Names of the models that an analysis can use."""

_LOOK_BACK: Final = 90.0
_HORIZONS: Final = (30.0, 60.0, 90.0)


def default_horizons(days: float) -> tuple[float, ...]:
    """Horizons worth asking for: a third, two thirds and the whole of a stretch of days, in whole days.

    Parameters
    ----------
    days : float
        Longest horizon in days, > 0: the silence that defines churn, or how long landmarks were followed.

    Returns
    -------
    tuple of float
        Increasing days.

    Examples
    --------
    >>> default_horizons(90), default_horizons(2)
    ((30.0, 60.0, 90.0), (1.0, 2.0))
    """
    return tuple(sorted({float(max(1, round(days * k / 3))) if k < 3 else float(days) for k in (1, 2, 3)}))


def check_seed(seed: int) -> None:
    """Refuse a negative seed.

    Raises
    ------
    ArgumentError
        If it is.
    """
    if seed < 0:
        raise ArgumentError(f"seed={seed} is negative.", hint="any whole number from 0 on will do, such as seed=1.")


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """What is asked: churn, window, covariates, model and horizons.

    Parameters
    ----------
    churn : Silence or Cancellation, optional
        What counts as churned. Left out for durations, which have their own definition.
    window : ObservationWindow, optional
        Time in which the log is complete. Left out for durations, which carry no dates.
    model : {"hierarchical", "cox", "weibull"}
        ``hierarchical`` gives groups effects that lean on each other; in the other two every group stands on its own.
    cause : str, optional
        One of several causes, as if the others did not exist. By default all causes together: a fit of each.
    values : tuple of str
        Numeric columns, such as the revenue of an order or the price of a contract.
    groups : tuple of str
        Text columns, such as the country.
    activity : tuple of str
        Contracts only: kinds of event whose habits count, such as logins. They move while a contract runs, so
        that rows begin at landmarks.
    look_back : float, optional
        Days over which activity is counted; by default the silence, or 90 for contracts. A shop's hierarchical model knows
        every customer's own rhythm from her whole past, and counts nothing unless a look-back is given: gaps that open
        earlier than it after the window's start are lost to whatever counts.
    horizons : tuple of float, optional
        Days ahead; see :func:`default_horizons`, or 30, 60 and 90 for contracts.
    rounded : float, optional
        Days by which the recorded times of events may be late: the unit of durations that are all whole numbers of it,
        such as 30.4375 for months. Periods then end on whole units, and an event is taken to lie somewhere in its last
        unit (``cox``, ``weibull``), on average in its middle (``hierarchical``).
    draws : int
        Posterior draws per chain, or draws of the coefficients, > 0.
    seed : int
        Seed of everything random.

    Raises
    ------
    ArgumentError
        If a setting has no meaning, or two contradict each other.
    DefinitionError
        If the definition has no risk (``Inactivity``).
    HorizonError
        If a horizon exceeds the silence.
    """

    churn: ChurnDefinition | None = None
    window: ObservationWindow | None = None
    model: ModelName = "hierarchical"
    cause: str | None = None
    values: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    activity: tuple[str, ...] = ()
    look_back: float | None = None
    horizons: tuple[float, ...] = ()
    rounded: float | None = None
    draws: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        """Fill in what was left open, and check once."""
        check_choice(self.model, "model", MODELS)
        self._fill()
        for horizon in self.horizons:
            self._definition().check_horizon(horizon)
        if self.draws < 1:
            raise ArgumentError(f"draws={self.draws} is less than 1.", hint="a thousand draws is usual.")
        check_seed(self.seed)
        self._check_columns()
        self._check_cause()
        self._check_activity()
        self._check_window()
        if not 0 < self.days_back < math.inf:
            raise ArgumentError(
                f"a look-back of {self.days_back:g} days is not positive.",
                hint="count a customer's habits over the same time as the silence, or longer.",
            )

    def _fill(self) -> None:
        for name in ("values", "groups", "activity"):
            given: object = getattr(self, name)
            if isinstance(given, str):
                raise ArgumentError(f"{name} is a tuple of names, not one text.", hint=f'write {name}=("{given}",).')
            object.__setattr__(self, name, tuple(getattr(self, name)))
        silence = self.churn.days if isinstance(self.churn, Silence) else None
        usual = _HORIZONS if silence is None else default_horizons(silence)
        object.__setattr__(self, "horizons", tuple(sorted({float(h) for h in self.horizons or usual})))

    @property
    def days_back(self) -> float:
        """Days over which activity is counted, where any is."""
        if self.look_back is not None:
            return float(self.look_back)
        return self.churn.days if isinstance(self.churn, Silence) else _LOOK_BACK

    @property
    def counting(self) -> bool:
        """Whether a customer's habits are counted: not where the model has them from her whole past."""
        shop = isinstance(self.churn, Silence)
        return not (shop and self.model == "hierarchical" and self.look_back is None)

    @property
    def on_durations(self) -> bool:
        """Whether durations are expected in place of a log."""
        return self.window is None

    @property
    def moving(self) -> bool:
        """Whether covariates move while a customer is at risk, so that rows begin at landmarks."""
        return self.churn is not None and self.churn.on_tenure and is_moving(self.features())

    def features(self) -> tuple[Feature, ...]:
        """Declare the covariates; see :mod:`churnsurv.analysis.covariates`."""
        if self.on_durations or self.churn is None:
            return tuple(Baseline(column) for column in (*self.values, *self.groups))
        return declare(self.churn, self.values, self.groups, self.activity, self.days_back, habits=self.counting)

    def specification(self) -> HierarchicalModel | CoxModel | WeibullModel:
        """Specify the model of these covariates."""
        return specify(
            self.model,
            self.features(),
            n_groups=len(self.groups),
            repeats=isinstance(self.churn, Silence),
            rounded=self.rounded,
        )

    def _definition(self) -> ChurnDefinition:
        return self.churn or Cancellation(("churned",), "stated")

    def _check_columns(self) -> None:
        both = [name for name in self.values if name in self.groups]
        if both:
            raise ArgumentError(
                f"column {both[0]!r} is a number and a group at once.", hint="name it in values= or in labels=, once."
            )

    def _check_cause(self) -> None:
        if self.cause is None:
            return
        if isinstance(self.churn, Silence):
            raise ArgumentError(
                f"cause={self.cause!r} is for contracts: a silence has one way to churn.", hint="leave cause= out."
            )
        if self.churn is not None and self.cause not in self.churn.causes:
            raise ArgumentError(
                f"there is no cause {self.cause!r}.", hint=f"causes are: {', '.join(self.churn.causes)}."
            )

    def _check_activity(self) -> None:
        if not self.activity:
            return
        if isinstance(self.churn, Silence) or self.on_durations:
            raise ArgumentError(
                "activity= is for contracts in a log: under Silence the kinds of the definition are the activity, and"
                " durations know of no events.",
                hint="leave activity= out.",
            )
        named = (*self._definition().causes, *self._definition().opening)
        both = [kind for kind in self.activity if kind in named]
        if both:
            raise ArgumentError(
                f"{both[0]!r} begins or ends contracts, it is no habit of a customer.",
                hint="name kinds such as logins or tickets.",
            )

    def _check_window(self) -> None:
        if self.window is None:
            if self.churn is not None and getattr(self.churn, "origin", None) != "stated":
                raise DefinitionError(
                    "there is no window, and the definition is one for a log.",
                    hint='write window=ObservationWindow("2024-01-01", "2025-01-01").',
                )
            return
        if self.churn is None:
            raise DefinitionError("there is a window, and no definition of churn.", hint="write churn=Silence(…).")
        covered = self.window.days("UTC")
        if isinstance(self.churn, Silence) and self.churn.days >= covered:
            raise ArgumentError(
                f"a silence of {self.churn.days:g} days does not fit into a window of {covered:.0f} days.",
                consequence="Nobody can be seen to complete it, so no chance of churn could be told.",
                hint="a shorter silence, or a longer log.",
            )
        if self.moving and self.horizons[-1] >= covered:
            raise ArgumentError(
                f"a horizon of {self.horizons[-1]:g} days does not fit into a window of {covered:.0f} days.",
                consequence="Habits are looked at on dates from which everyone is followed for the whole horizon.",
                hint="shorter horizons, or a longer log.",
            )
