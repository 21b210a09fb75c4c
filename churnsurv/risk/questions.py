"""What is asked of a fit: until when, what is known without it, and what an answer would rest on.

Equation numbers refer to the page of quantities (docs/explanation/quantities.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from churnsurv._typing import BoolArray, FloatArray, IntArray
from churnsurv.errors import ArgumentError, DefinitionError
from churnsurv.models.competing import CompetingFits
from churnsurv.tables.churn import Silence

if TYPE_CHECKING:
    from churnsurv.models.base import SurvivalFit
    from churnsurv.tables.open_spells import OpenSpells
    from churnsurv.tables.spells import SpellTable

_SHARES = (0.25, 0.5, 0.75, 1.0)
"""Where, on the way to a horizon, the training spells at risk are counted, beside the period breaks."""


class Question(Protocol):
    """One churn definition, asked at k horizons."""

    @property
    def causes(self) -> tuple[str, ...]:
        """Names of the ways to churn, in the order of the last axis."""

    @property
    def clock(self) -> Literal["silence", "tenure"]:
        """Column that holds the days reached."""

    def churned(self, reached: FloatArray) -> BoolArray:
        """Customers who have churned already, shape (n,)."""

    def open(self, reached: FloatArray) -> BoolArray:
        """Where the fit decides, shape (n, k); elsewhere churn is impossible, or over."""

    def incidence(self, rows: OpenSpells, draws: IntArray) -> FloatArray:
        """Probability of churn by each cause within each horizon, shape (n_draws, n, k, n_causes)."""

    def joint_incidence(self, rows: OpenSpells, quantile: FloatArray, draws: IntArray) -> FloatArray:
        """The same for customers of new groups, at a quantile (n_draws, n) of the effect that a group shares."""

    def support(self, rows: OpenSpells) -> IntArray:
        """Training spells at risk where the fit is needed, shape (n, k)."""

    def no_return(self, rows: OpenSpells, draws: IntArray) -> FloatArray | None:
        """Probability of no activity within each horizon, shape (n_draws, n, k); ``None`` off the gap clock."""

    def no_return_support(self, rows: OpenSpells) -> IntArray:
        """Training spells at risk at the horizons themselves, shape (n, k)."""


@dataclass(frozen=True, eq=False)
class GapQuestion:
    """Who completes the silence that defines churn within each horizon (eq. 17 and 18).

    Parameters
    ----------
    fit : SurvivalFit
        Of the return.
    days : float
        Silence that defines churn.
    horizons : array of shape (k,)
        Days ahead.
    """

    fit: SurvivalFit
    days: float
    horizons: FloatArray
    causes: tuple[str, ...] = ("silence",)
    clock: Literal["silence", "tenure"] = "silence"

    def churned(self, reached: FloatArray) -> BoolArray:
        """Silent for the whole definition."""
        return reached >= self.days

    def decided(self, reached: FloatArray) -> BoolArray:
        """Horizons within which the silence would be complete, shape (n, k)."""
        return np.asarray(reached[:, None] + self.horizons >= self.days)

    def open(self, reached: FloatArray) -> BoolArray:
        """Within reach and not over: before that churn is impossible."""
        return self.decided(reached) & ~self.churned(reached)[:, None]

    def incidence(self, rows: OpenSpells, draws: IntArray) -> FloatArray:
        """S(days) / S(reached), 0 where out of reach, 1 where over."""
        return self._churn(rows, self.fit.conditional_survival(rows, self._churn_day(rows), draws=draws))

    def joint_incidence(self, rows: OpenSpells, quantile: FloatArray, draws: IntArray) -> FloatArray:
        """The same at a quantile of new groups' effects."""
        return self._churn(rows, self.fit.joint_survival(rows, self._churn_day(rows), quantile, draws=draws))

    def support(self, rows: OpenSpells) -> IntArray:
        """At the day that defines churn."""
        needed = np.where(self.decided(rows.reached), self.days, 0.0)
        return self.fit.n_at_risk(needed, rows)

    def no_return(self, rows: OpenSpells, draws: IntArray) -> FloatArray:
        """S(reached + horizon) / S(reached)."""
        return self.fit.conditional_survival(rows, rows.reached[:, None] + self.horizons, draws=draws)

    def no_return_support(self, rows: OpenSpells) -> IntArray:
        """At the horizon's end."""
        return self.fit.n_at_risk(rows.reached[:, None] + self.horizons, rows)

    def _churn_day(self, rows: OpenSpells) -> FloatArray:
        return np.asarray(np.maximum(rows.reached, self.days)[:, None])

    def _churn(self, rows: OpenSpells, silent: FloatArray) -> FloatArray:
        churn = np.where(self.decided(rows.reached), silent, 0.0)[..., None]
        churn[:, self.churned(rows.reached)] = 1.0
        return churn


@dataclass(frozen=True, eq=False)
class ClosureQuestion:
    """Who falls silent for good or closes the account within each horizon: two ways to churn.

    Parameters
    ----------
    fits : CompetingFits
        Of the return and of the closure, in this order.
    days : float
        Silence that defines churn.
    horizons : array of shape (k,)
        Days ahead.
    """

    fits: CompetingFits
    days: float
    horizons: FloatArray
    causes: tuple[str, ...] = ("silence", "closure")
    clock: Literal["silence", "tenure"] = "silence"

    def churned(self, reached: FloatArray) -> BoolArray:
        """Silent for the whole definition."""
        return reached >= self.days

    def open(self, reached: FloatArray) -> BoolArray:
        """Everywhere before the definition is complete: an account can be closed on any day."""
        return np.repeat(~self.churned(reached)[:, None], len(self.horizons), axis=1)

    def incidence(self, rows: OpenSpells, draws: IntArray) -> FloatArray:
        """Neither returned nor closed by the day that defines churn; closed before that day and the horizon."""
        return self._churn(rows, self.fits.cumulative_incidence(rows, self._ends(rows), draws=draws))

    def joint_incidence(self, rows: OpenSpells, quantile: FloatArray, draws: IntArray) -> FloatArray:
        """The same at a quantile of new groups' effects."""
        return self._churn(rows, self.fits.joint_incidence(rows, self._ends(rows), quantile, draws=draws))

    def support(self, rows: OpenSpells) -> IntArray:
        """At the day that defines churn, or at the horizon where it comes first."""
        return self.fits.n_at_risk(np.minimum(rows.reached[:, None] + self.horizons, self.days), rows)

    def no_return(self, rows: OpenSpells, draws: IntArray) -> FloatArray:
        """One minus the incidence of the return: who has closed the account does not come back in this spell."""
        until = rows.reached[:, None] + self.horizons
        return 1.0 - self.fits.cumulative_incidence(rows, until, draws=draws)[..., 0]

    def no_return_support(self, rows: OpenSpells) -> IntArray:
        """At the horizon's end."""
        return self.fits.n_at_risk(rows.reached[:, None] + self.horizons, rows)

    def _ends(self, rows: OpenSpells) -> FloatArray:
        """Each horizon's end or the day that defines churn, whichever is first, and that day itself."""
        day = np.maximum(rows.reached, self.days)[:, None]
        return np.concatenate([np.minimum(rows.reached[:, None] + self.horizons, day), day], axis=1)

    def _churn(self, rows: OpenSpells, incidence: FloatArray) -> FloatArray:
        decided = rows.reached[:, None] + self.horizons >= self.days
        silent = 1.0 - incidence[:, :, -1].sum(axis=-1)
        churn = np.stack([np.where(decided, silent[:, :, None], 0.0), incidence[:, :, :-1, 1]], axis=-1)
        churn[:, self.churned(rows.reached)] = (1.0, 0.0)
        return churn


@dataclass(frozen=True, eq=False)
class TenureQuestion:
    """Whose contract ends within each horizon, and by which cause.

    Parameters
    ----------
    fit : SurvivalFit
        Of the one cause, or :class:`~churnsurv.models.competing.CompetingFits` of all of them.
    horizons : array of shape (k,)
        Days ahead.
    causes : tuple of str
        Their names.
    """

    fit: SurvivalFit
    horizons: FloatArray
    causes: tuple[str, ...]
    clock: Literal["silence", "tenure"] = "tenure"

    def churned(self, reached: FloatArray) -> BoolArray:
        """Nobody: a contract that has ended is not open."""
        return np.zeros(len(reached), bool)

    def open(self, reached: FloatArray) -> BoolArray:
        """Everywhere."""
        return np.ones((len(reached), len(self.horizons)), bool)

    def incidence(self, rows: OpenSpells, draws: IntArray) -> FloatArray:
        """1 - S(reached + horizon) / S(reached), or the share of each cause in it."""
        if isinstance(self.fit, CompetingFits):
            return self.fit.cumulative_incidence(rows, self._ends(rows), draws=draws)
        return (1.0 - self.fit.conditional_survival(rows, self._ends(rows), draws=draws))[..., None]

    def joint_incidence(self, rows: OpenSpells, quantile: FloatArray, draws: IntArray) -> FloatArray:
        """The same at a quantile of new groups' effects."""
        if isinstance(self.fit, CompetingFits):
            return self.fit.joint_incidence(rows, self._ends(rows), quantile, draws=draws)
        return (1.0 - self.fit.joint_survival(rows, self._ends(rows), quantile, draws=draws))[..., None]

    def support(self, rows: OpenSpells) -> IntArray:
        """The fewest on the way to the horizon: where spells enter late, the early days may be the thin ones."""
        start, ahead = rows.reached[:, None], self.horizons
        fewest = np.min([self.fit.n_at_risk(start + share * ahead, rows) for share in _SHARES], axis=0)
        for edge in self.fit.schema.breaks:
            between = (start < edge) & (edge < start + ahead)
            if between.any():
                there = self.fit.n_at_risk(np.full_like(between, edge, dtype=float), rows)
                fewest = np.where(between, np.minimum(fewest, there), fewest)
        return np.asarray(fewest, np.int64)

    def no_return(self, rows: OpenSpells, draws: IntArray) -> None:
        """Nothing: there is no return to wait for."""

    def no_return_support(self, rows: OpenSpells) -> IntArray:
        """At the horizon's end."""
        return self.fit.n_at_risk(self._ends(rows), rows)

    def _ends(self, rows: OpenSpells) -> FloatArray:
        return rows.reached[:, None] + self.horizons


def question_of(fit: SurvivalFit, spells: SpellTable, horizons: tuple[float, ...]) -> Question:
    """Choose the question that a definition asks of a fit.

    Parameters
    ----------
    fit : SurvivalFit
        One fit, or one per cause.
    spells : SpellTable
        Whose risk it is; with a cause chosen, that cause alone is asked about.
    horizons : tuple of float
        Days ahead.

    Raises
    ------
    DefinitionError
        If one fit is asked about one of several causes without saying that the others do not count.
    ArgumentError
        If one cause is chosen, and there are fits of all.
    """
    ahead, churn = np.asarray(horizons, float), spells.churn
    if isinstance(churn, Silence):
        if not churn.terminal:
            return GapQuestion(fit, churn.days, ahead)
        if isinstance(fit, CompetingFits):
            return ClosureQuestion(fit, churn.days, ahead)
        raise DefinitionError(
            f"closures ({', '.join(churn.terminal)}) compete with the return, and one fit knows one of the two.",
            consequence="Whoever closes the account would count as still able to return, or as never leaving.",
            hint='fit both and pass them together, churn_risk({"return": …, "closure": …}, spells), or leave terminal= out: '
            "whoever closes the account then falls silent, and is counted on the day that shows.",
        )
    if isinstance(fit, CompetingFits):
        if spells.cause is not None:
            raise ArgumentError(
                f"these spells count the {spells.cause} alone, and there are fits of every cause.",
                hint="pass the whole table of spells, or the one fit of that cause.",
            )
        return TenureQuestion(fit, ahead, fit.causes)
    if len(churn.causes) == 1:
        return TenureQuestion(fit, ahead, churn.causes)
    if spells.cause is None:
        raise DefinitionError(
            f"a contract ends by one of {len(churn.causes)} causes ({', '.join(churn.causes)}), and one fit knows one of them.",
            consequence="One minus its survival is the chance of that cause if there were no other: too much, and such"
            " chances may add up to more than one.",
            hint=f"pass a fit of each cause, churn_risk({{{', '.join(f'{c!r}: …' for c in churn.causes)}}}, spells), or say that"
            f" the others do not exist: churn_risk(fit, spells.with_cause({churn.causes[0]!r})).",
        )
    if fit.info.cause and fit.info.cause != spells.cause:
        raise DefinitionError(
            f"the fit has learnt from {fit.info.cause!r}, and these spells count {spells.cause!r} alone.",
            consequence="One cause would be told with the hazard of another.",
            hint=f"churn_risk(fit, spells.with_cause({fit.info.cause!r})).",
        )
    return TenureQuestion(fit, ahead, (f"{spells.cause} alone",))
