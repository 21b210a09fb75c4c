"""Weights that make up for customers lost to censoring, and what estimating them adds to a standard error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from churnsurv._typing import BoolArray, FloatArray, IntArray
from churnsurv._validate import as_floats, plain_array, refuse, same_length
from churnsurv.errors import ArgumentError, DataTypeError
from churnsurv.hazards.risk_sets import Spells, risk_sets
from churnsurv.hazards.scoring.outcomes import Outcomes

GivenCensoring = Callable[[FloatArray], object] | tuple[object, object]
"""Survival of censoring just before each moment, per customer, from a model of the caller's.

Either a function of moments (n, m) that returns G of each row's customer just before them, also (n, m), or the
two arrays themselves: G just before each customer's own time (n,), and just before the times asked about (n, k).
"""


class Weighting(Protocol):
    """How customers whose state is known stand for those whose state is not."""

    @property
    def supported(self) -> BoolArray:
        """Whether every customer's state at each time can be stood for."""

    def at(self, position: int) -> FloatArray:
        """Weights of the scored customers at one of the times; 0 for those censored before it."""

    def spread(self, position: int, amounts: FloatArray) -> FloatArray:
        """How the sum of weighted amounts changes, per customer added, because G changes."""


@dataclass(frozen=True, eq=False)
class ReverseFactors:
    """Reverse Kaplan–Meier: at each distinct time, events leave before censorings.

    ``before`` has one entry more than ``times``: G just before each of them, and after the last.
    """

    times: FloatArray
    at_risk: FloatArray
    n_censored: FloatArray
    before: FloatArray


def reverse_factors(
    entry: FloatArray | None, time: FloatArray, happened: BoolArray, weight: FloatArray
) -> ReverseFactors:
    """Distinct times, at risk of censoring at them, and G before each."""
    sets = risk_sets(Spells(entry=entry, exit=time, event=happened.astype(np.int64), weight=weight))
    at_risk = sets.n_at_risk - sets.n_events
    kept = np.divide(at_risk - sets.n_censored, at_risk, out=np.ones_like(at_risk), where=at_risk > 0)
    return ReverseFactors(sets.times, at_risk, sets.n_censored, np.concatenate([[1.0], np.cumprod(kept)]))


class MarginalWeighting:
    """Weights from the customers themselves: reverse Kaplan–Meier, in each group for itself.

    Parameters
    ----------
    outcomes : Outcomes
        Those scored; all of them at risk at the start.
    groups : array of shape (n_scored,), optional
        Number of each customer's group.
    """

    def __init__(self, outcomes: Outcomes, groups: IntArray | None = None) -> None:
        self._outcomes = outcomes
        if groups is None:
            rows = [np.arange(len(outcomes.time))]
        else:
            order = np.argsort(groups, kind="stable")
            rows = np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)
        self._parts = [_Part(outcomes.part(part), part) for part in rows]

    @property
    def supported(self) -> BoolArray:
        """Where G is positive in every group."""
        found: BoolArray = np.all([part.at_times > 0 for part in self._parts], axis=0)
        return found

    def at(self, position: int) -> FloatArray:
        """Weights at one of the times."""
        return self._gather(lambda part: part.weights(position))

    def spread(self, position: int, amounts: FloatArray) -> FloatArray:
        """Change of the weighted sum by the change of G, per customer added."""
        return self._gather(lambda part: part.spread(position, amounts[part.rows]))

    def _gather(self, answer: Callable[[_Part], FloatArray]) -> FloatArray:
        if len(self._parts) == 1:
            return answer(self._parts[0])
        found = np.empty(len(self._outcomes.time))
        for part in self._parts:
            found[part.rows] = answer(part)
        return found


class _Part:
    """One group: its factors, and where its customers and the times lie among them."""

    def __init__(self, outcomes: Outcomes, rows: IntArray) -> None:
        self.rows = rows
        self._outcomes = outcomes
        self._factors = reverse_factors(None, outcomes.time, outcomes.event > 0, outcomes.weight)
        self._exit = np.searchsorted(self._factors.times, outcomes.time)
        self._until = np.searchsorted(self._factors.times, outcomes.times)  # steps before each time, left limit
        self._at_exit = self._factors.before[self._exit]
        self.at_times = self._factors.before[self._until]

    def weights(self, position: int) -> FloatArray:
        """1/G just before the event, or just before the time for who is known to have reached it."""
        return inverse(self._outcomes, position, self._at_exit, self.at_times[position])

    def spread(self, position: int, amounts: FloatArray) -> FloatArray:
        """Infinitesimal jackknife of log 1/G, summed over those whose weight holds each factor."""
        factors, until = self._factors, int(self._until[position])
        n_times = len(factors.times)
        total = np.bincount(self._exit, weights=amounts, minlength=n_times)
        above = np.concatenate([np.cumsum(total[::-1])[::-1][1:], [0.0]])
        at_risk, lost = factors.at_risk, factors.n_censored
        whole = at_risk * (at_risk - lost)
        steps = np.divide(above * lost, whole, out=np.zeros(n_times), where=whole > 0)
        path = np.concatenate([[0.0], np.cumsum(steps)])
        change = -path[np.minimum(self._exit, until)]
        censored = (self._outcomes.event == 0) & (self._exit < until)
        own = np.divide(above, at_risk, out=np.zeros(n_times), where=at_risk > 0)
        change[censored] += own[self._exit[censored]]
        return change


def mean_with_influence(
    outcomes: Outcomes, weighting: Weighting, position: int, residual: FloatArray
) -> tuple[float, FloatArray]:
    r"""Weighted mean of what is known of each customer at one time, and each customer's influence on it.

    The influence is the derivative by the customer's frequency, of the weights too; the standard error is
    :math:`\sqrt{\sum_i w_i U_i^2}` (infinitesimal jackknife).

    Parameters
    ----------
    outcomes : Outcomes
        Those scored.
    weighting : Weighting
        Their weights.
    position : int
        Which of the times.
    residual : array of shape (n_scored,)
        Score of each customer; what stands where the state is unknown does not matter.

    Returns
    -------
    mean : float
        Sum of weighted residuals over the sum of frequencies.
    influence : array of shape (n_scored,)
        Its derivatives.
    """
    total = outcomes.total
    own = weighting.at(position) * residual
    amounts = outcomes.weight * own
    mean = float(amounts.sum() / total)
    return mean, (own - mean + weighting.spread(position, amounts)) / total


class GivenWeighting:
    """Weights from a model of the censoring that the caller brings; taken as known.

    Parameters
    ----------
    outcomes : Outcomes
        Those scored.
    at_exit : array of shape (n_scored,)
        G just before each customer's own time, in (0, 1] where the customer has an event.
    at_times : array of shape (n_scored, n_times)
        G just before the times.
    """

    def __init__(self, outcomes: Outcomes, at_exit: FloatArray, at_times: FloatArray) -> None:
        self._outcomes, self._at_exit, self._at_times = outcomes, at_exit, at_times

    @property
    def supported(self) -> BoolArray:
        """Where every G is positive, and somebody is left to stand for those who were lost."""
        times, outcomes = self._outcomes.times, self._outcomes
        lost = np.array([not outcomes.known(at).all() for at in times])
        found: BoolArray = (self._at_times > 0).all(axis=0) & ((times <= outcomes.time.max()) | ~lost)
        return found

    def at(self, position: int) -> FloatArray:
        """Weights at one of the times."""
        return inverse(self._outcomes, position, self._at_exit, self._at_times[:, position])

    def spread(self, position: int, amounts: FloatArray) -> FloatArray:
        """Nothing: the weights are taken as known."""
        return np.zeros_like(amounts)


def inverse(outcomes: Outcomes, position: int, at_exit: FloatArray, at_time: FloatArray | float) -> FloatArray:
    """Weights 1/G just before the event or the time, 0 for who was censored before it."""
    at = outcomes.times[position]
    ended = (outcomes.time <= at) & (outcomes.event > 0)
    chance = np.where(ended, at_exit, at_time)
    there = (ended | (outcomes.time >= at)) & (chance > 0)
    return np.divide(1.0, chance, out=np.zeros_like(chance), where=there)


def _probabilities(values: object, name: str, shape: tuple[int, ...]) -> FloatArray:
    found = as_floats(values, name)
    if found.shape != shape:
        raise ArgumentError(
            f"`{name}` has shape {found.shape}; it needs {shape}.",
            column=name,
            hint="censoring=(before_exit, before_times): one row per customer given, one column per time.",
        )
    refuse(
        ArgumentError,
        (found < 0) | (found > 1),
        "lie outside [0, 1].",
        columns={name: found},
        consequence="They are probabilities of not being censored yet.",
        hint="pass the survival function of censoring, not its hazard.",
    )
    return found


def _given(outcomes: Outcomes, censoring: GivenCensoring) -> GivenWeighting:
    n, n_times, rows = outcomes.n_given, len(outcomes.times), outcomes.kept
    if callable(censoring):
        moments = np.broadcast_to(outcomes.times, (n, n_times)).copy()
        own = np.full((n, 1), outcomes.start)
        own[rows, 0] = outcomes.time
        at_exit, at_times = censoring(own), censoring(moments)
        at_exit = _probabilities(at_exit, "censoring", (n, 1))[:, 0]
    elif isinstance(censoring, tuple) and len(censoring) == 2:
        at_exit, at_times = _probabilities(censoring[0], "censoring[0]", (n,)), censoring[1]
    else:
        raise DataTypeError(
            f"`censoring`={type(censoring).__name__} is neither a function of moments nor two arrays.",
            column="censoring",
            hint="censoring=(before_exit, before_times), both just before these moments.",
        )
    found = GivenWeighting(outcomes, at_exit[rows], _probabilities(at_times, "censoring", (n, n_times))[rows])
    refuse(
        ArgumentError,
        (at_exit[rows] <= 0) & (outcomes.event > 0),
        "are 0 just before an event that was seen.",
        columns={"censoring": at_exit[rows], "time": outcomes.time},
        consequence="Who cannot be uncensored cannot have been seen; the weight would be infinite.",
        hint="give the left limit, just before each time.",
    )
    return found


def read_weighting(outcomes: Outcomes, groups: object, censoring: GivenCensoring | None) -> Weighting:
    """Weighting that the caller asks for.

    Parameters
    ----------
    outcomes : Outcomes
        Those scored.
    groups : array-like of shape (n_given,) or None
        Numbers or labels of groups, each with its own censoring.
    censoring : GivenCensoring or None
        A model of the caller's instead.

    Returns
    -------
    Weighting
        Ready to be asked, time by time.

    Raises
    ------
    ArgumentError
        If both are given, shapes do not match, or a G is none.
    """
    if groups is not None and censoring is not None:
        raise ArgumentError(
            "`groups` and `censoring` are both given.",
            column="groups",
            consequence="Each is a whole model of the censoring.",
            hint="let the model given by censoring= know the groups.",
        )
    if censoring is not None:
        return _given(outcomes, censoring)
    if groups is None:
        return MarginalWeighting(outcomes)
    labels: Any = plain_array(groups, "groups")
    same_length({"time": np.empty(outcomes.n_given), "groups": labels})
    return MarginalWeighting(outcomes, np.unique(labels[outcomes.kept], return_inverse=True)[1])
