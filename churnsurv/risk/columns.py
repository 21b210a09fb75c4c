"""Risk as arrays: draws of one batch summed up to means, bounds and statuses, and batches put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from churnsurv._typing import BoolArray, FloatArray, IntArray, StrArray

if TYPE_CHECKING:
    from churnsurv.models.base import SurvivalFit
    from churnsurv.risk.questions import Question
    from churnsurv.tables.open_spells import OpenSpells

Status = Literal["supported", "extrapolated", "refused", "already_churned", "unreliable"]
STATUSES: tuple[Status, ...] = ("supported", "extrapolated", "refused", "already_churned", "unreliable")

_SUPPORT = 30
"""Training spells that must be at risk where the fit is needed."""


@dataclass(frozen=True, eq=False)
class Chance:
    """A probability with its bounds, arrays of one shape.

    Parameters
    ----------
    mean, lower, upper : array
        Mean over the draws, and equal-tailed bounds; NaN where there is no answer, bounds NaN for a fit without draws.
    """

    mean: FloatArray
    lower: FloatArray
    upper: FloatArray

    @classmethod
    def of_draws(cls, draws: FloatArray, open_: BoolArray, ci_prob: float) -> Chance:
        """Sum up draws over the first axis.

        Parameters
        ----------
        draws : array of shape (n_draws, ...)
            Probabilities; the same in every draw where ``open_`` is false.
        open_ : array of shape (...)
            Where the fit decides. Elsewhere the answer is known, and is its own bound.
        ci_prob : float
            Probability inside the bounds.
        """
        mean, lower, upper = (np.array(draws[0]) for _ in range(3))
        # The draws of one customer lie side by side, so that the order of summation knows no batch size.
        last = np.ascontiguousarray(np.moveaxis(draws, 0, -1)[open_])
        mean[open_] = last.mean(axis=-1)
        if len(draws) == 1:
            lower[open_], upper[open_] = np.nan, np.nan
        else:
            tail = (1 - ci_prob) / 2
            lower[open_], upper[open_] = np.quantile(last, [tail, 1 - tail], axis=-1)
        return cls(mean, lower, upper)

    def without(self, refused: BoolArray) -> Chance:
        """NaN where there is no answer."""
        return Chance(*(np.where(refused, np.nan, values) for values in (self.mean, self.lower, self.upper)))

    def part(self, k: int) -> Chance:
        """The k-th of the last axis."""
        return Chance(self.mean[..., k], self.lower[..., k], self.upper[..., k])

    @classmethod
    def joined(cls, parts: Sequence[Chance]) -> Chance:
        """One below the other."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("mean", "lower", "upper")))


@dataclass(frozen=True, eq=False)
class RiskColumns:
    """Risk of n customers at k horizons as arrays; the table's inside.

    Parameters
    ----------
    customer_id : array of shape (n,)
        Ids in order.
    reached : array of shape (n,)
        Days on the clock so far: the silence on the gap clock, the tenure under contract.
    churn, lower, upper : arrays of shape (n, k)
        Churn probability, by whatever cause, and its bounds.
    status : array of shape (n, k)
        Texts of :data:`STATUSES`.
    new_group : array of shape (n,)
        Whether some group was never seen by the fit.
    levels : tuple of arrays of shape (n,)
        Level of each pattern column.
    by_cause : Chance or None
        Arrays of shape (n, k, n_causes), where there are several causes.
    no_return : Chance or None
        Probability of no activity within the horizon, shape (n, k); on the gap clock.
    no_return_status : array of shape (n, k) or None
        Its statuses.
    gone : Chance or None
        Probability of having left for good (or of being immune), shape (n,); where the fit has a cured share.
    gone_status : array of shape (n,) or None
        Its statuses.
    """

    customer_id: StrArray
    reached: FloatArray
    churn: FloatArray
    lower: FloatArray
    upper: FloatArray
    status: StrArray
    new_group: BoolArray
    levels: tuple[StrArray, ...]
    by_cause: Chance | None = None
    no_return: Chance | None = None
    no_return_status: StrArray | None = None
    gone: Chance | None = None
    gone_status: StrArray | None = None

    @property
    def silence(self) -> FloatArray:
        """Days since the last activity, on the gap clock: another name of ``reached``."""
        return self.reached

    @property
    def churned(self) -> BoolArray:
        """Customers who had churned before the prediction, shape (n,)."""
        return np.asarray((self.status == "already_churned").any(axis=1))

    @property
    def counted(self) -> BoolArray:
        """Customers whose churn is still to come and whose risk was told at every horizon, shape (n,)."""
        return np.asarray((self.status != "refused").all(axis=1)) & ~self.churned

    @classmethod
    def of_batch(
        cls, fit: SurvivalFit, question: Question, batch: OpenSpells, draws: IntArray, ci_prob: float
    ) -> tuple[RiskColumns, FloatArray]:
        """Answer a question for one batch.

        Returns
        -------
        columns : RiskColumns
            The numbers.
        incidence : array of shape (n_draws, n, k, n_causes)
            The draws they are made of, for the totals.
        """
        blank, reliable = batch.unknown | fit.unseen(batch), fit.info.reliable
        open_, incidence = question.open(batch.reached), question.incidence(batch, draws)
        total = incidence[..., 0] if incidence.shape[-1] == 1 else incidence.sum(axis=-1)
        churn = Chance.of_draws(total, open_, ci_prob)
        refused = open_ & (blank[:, None] | np.isnan(churn.mean))
        churn = churn.without(refused)
        status = _status(question.support(batch) < _SUPPORT, open_, refused, batch.outside, reliable)
        status[question.churned(batch.reached)] = "already_churned"
        by_cause = None
        if incidence.shape[-1] > 1:
            split = np.broadcast_to(open_[:, :, None], incidence.shape[1:])
            by_cause = Chance.of_draws(incidence, split, ci_prob).without(
                np.broadcast_to(refused[:, :, None], split.shape)
            )
        columns = cls(
            batch.customer_id, batch.reached, churn.mean, churn.lower, churn.upper, status, fit.new_group(batch),
            batch.levels[: len(fit.schema.covariates)], by_cause, *_no_return(question, batch, draws, ci_prob, blank, reliable),
            *_gone(fit, batch, draws, ci_prob, blank, reliable),
        )  # fmt: skip
        return columns, incidence

    @classmethod
    def joined(cls, parts: Sequence[RiskColumns]) -> RiskColumns:
        """Batches one below the other."""
        names = ("customer_id", "reached", "churn", "lower", "upper", "status", "new_group")
        arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
        levels = tuple(np.concatenate(column) for column in zip(*(part.levels for part in parts), strict=True))
        by_cause = [part.by_cause for part in parts if part.by_cause is not None]
        no_return = [part.no_return for part in parts if part.no_return is not None]
        statuses = [part.no_return_status for part in parts if part.no_return_status is not None]
        gone = [part.gone for part in parts if part.gone is not None]
        gone_statuses = [part.gone_status for part in parts if part.gone_status is not None]
        return cls(
            **arrays,
            levels=levels,
            by_cause=Chance.joined(by_cause) if by_cause else None,
            no_return=Chance.joined(no_return) if no_return else None,
            no_return_status=np.concatenate(statuses) if statuses else None,
            gone=Chance.joined(gone) if gone else None,
            gone_status=np.concatenate(gone_statuses) if gone_statuses else None,
        )


def _gone(
    fit: SurvivalFit, batch: OpenSpells, draws: IntArray, ci_prob: float, blank: BoolArray, reliable: bool
) -> tuple[Chance | None, StrArray | None]:
    """Who is out of reach for good already, told by a fit that has a cured share: it rests on those silent as long."""
    ask = getattr(fit, "probability_gone", None)
    if ask is None or not fit.model.cure:
        return None, None
    found = ask(batch, draws=draws)
    always = np.ones(found.shape[1:], bool)
    chance = Chance.of_draws(found, always, ci_prob)
    refused = blank | np.isnan(chance.mean)
    thin = fit.n_at_risk(batch.reached, batch) < _SUPPORT
    status = _status(thin[:, None], always[:, None], refused[:, None], batch.outside, reliable)
    return chance.without(refused), status[:, 0]


def _no_return(
    question: Question, batch: OpenSpells, draws: IntArray, ci_prob: float, blank: BoolArray, reliable: bool
) -> tuple[Chance | None, StrArray | None]:
    found = question.no_return(batch, draws)
    if found is None:
        return None, None
    always = np.ones(found.shape[1:], bool)
    chance = Chance.of_draws(found, always, ci_prob)
    refused = blank[:, None] | np.isnan(chance.mean)
    thin = question.no_return_support(batch) < _SUPPORT
    return chance.without(refused), _status(thin, always, refused, batch.outside, reliable)


def _status(thin: BoolArray, open_: BoolArray, refused: BoolArray, outside: BoolArray, reliable: bool) -> StrArray:
    """Status of each customer and horizon; where nothing is open the answer needs no data, and is supported."""
    status = np.where((thin | outside[:, None]) & open_, "extrapolated", "supported").astype(object)
    if not reliable:
        status[open_] = "unreliable"
    status[refused] = "refused"
    return status
