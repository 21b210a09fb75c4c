"""The prediction verb: who churns within the horizon, given all that is known now."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np

from churnsurv.errors import (
    ArgumentError,
    EmptyDataError,
    HorizonError,
    UnreachableHorizonError,
    UnreliableFitError,
)
from churnsurv.models.base import carries_months, check_fitted, needs_history
from churnsurv.models.competing import CompetingFits
from churnsurv.risk.caveats import caveats_of, warn_of_independence, way_out
from churnsurv.risk.columns import RiskColumns
from churnsurv.risk.futures import ANY, BLOCK, Futures
from churnsurv.risk.questions import question_of
from churnsurv.risk.table import RiskTable
from churnsurv.risk.unseen import Unseen
from churnsurv.tables.churn import Silence
from churnsurv.tables.open_spells import OpenSpells, check_same_definition
from churnsurv.tables.spells import SpellTable

if TYPE_CHECKING:
    from churnsurv.models.base import SurvivalFit

Progress = Callable[[float, str], None]

_ON_A_STEP = 0.05
"""Part of a unit by which a horizon may go beyond the unit's end; one that falls short of it misses the step."""


def churn_risk(
    fit: SurvivalFit | Mapping[str, SurvivalFit],
    spells: SpellTable,
    horizon: Sequence[float] | float = (30, 60, 90),
    *,
    ci_prob: float = 0.90,
    n_draws: int = 1000,
    rng: int = 0,
    chunk_size: int = 1024,
    allow_unreliable: bool = False,
    progress: Progress | None = None,
) -> RiskTable:
    r"""Churn probability of every customer at risk at the window's end, with its uncertainty.

    Under :class:`Silence` with :math:`N` days, a customer who has been silent for :math:`r < N` days is
    declared churned within :math:`h \le N` days with probability

    .. math:: P = S(N) / S(r) \text{ if } r + h \ge N, \text{ else exactly } 0.

    ``no_return_probability`` is :math:`S(r + h) / S(r)`. Under :class:`Cancellation` a customer whose contract has
    lasted :math:`r` days cancels within any :math:`h` days with probability

    .. math:: P = 1 - S(r + h) / S(r) , \qquad
              P_c = \int_r^{r + h} h_c(u) \, S(u) / S(r) \, du \text{ by cause } c, \qquad P = \sum_c P_c .

    Several causes need a fit of each (a mapping, or :class:`~churnsurv.models.competing.CompetingFits`): one minus the
    survival of one of them would be the chance of that cause if there were no other. Where accounts can be closed
    (``Silence(…, terminal=…)``), fits of the return and of the closure give the chance of either way to churn: closed
    within :math:`\min(h, N - r)` days, or neither back nor closed by day :math:`N`.

    All are taken draw by draw and then averaged; where a group was never seen, its effect is integrated out of numerator
    and denominator within each draw.

    Cost: one pass over the customers at risk, ``n_draws`` exponentials each and, with several causes, for each cause and
    part of the way. Memory: about seven arrays of ``n_draws × chunk_size × (len(horizon) + 1)`` floats (0.2 GB by
    default; for each cause and one more with several) beside the table itself, whatever the number of customers. The
    result is the same to the last byte for any ``chunk_size``.

    Parameters
    ----------
    fit : SurvivalFit, or mapping of str to SurvivalFit
        A fit of the same definition, or one for each cause.
    spells : SpellTable
        The customers' spells; a customer's history matters, which is why a list of ids is not enough. Durations without
        a log are at risk from the end of each on. ``spells.with_cause(cause)`` asks about one of several causes as if
        there were no other, and says so in every row.
    horizon : sequence of float
        Days ahead, each > 0; under ``Silence`` at most N.
    ci_prob : float
        Probability inside the equal-tailed bounds, in (0, 1).
    n_draws : int
        Posterior draws to use, evenly spaced among those of the fit.
    rng : int
        Seed of the chance in :meth:`RiskTable.totals`.
    chunk_size : int
        Customers at a time.
    allow_unreliable : bool
        Answer although the fit failed its gate; every number that the fit decides is then ``unreliable``.
    progress : callable, optional
        Told the share done and what is being done.

    Returns
    -------
    RiskTable
        One row per customer and horizon, and per cause where there are several.

    Raises
    ------
    HorizonError
        If a horizon exceeds the silence that defines churn, or the days that landmarks were followed.
    UnreliableFitError
        If the fit failed its gate and that was not acknowledged.
    DefinitionError
        If the spells follow another definition than the fit, the definition has no risk (``Inactivity``), or one fit
        is asked about one of several causes.
    EmptyDataError
        If nobody is at risk.
    """
    if not isinstance(spells, SpellTable):
        raise ArgumentError(
            f"churn_risk was given {type(spells).__name__} for the spells.",
            consequence="A customer's whole history matters to what they will do.",
            hint="write churn_risk(fit, spells): the table that SpellTable.from_events or from_durations made.",
        )
    fit = CompetingFits(fit) if isinstance(fit, Mapping) else fit
    check_fitted(fit)
    horizons = read_horizons(spells, horizon)
    _check_numbers(ci_prob=ci_prob, n_draws=n_draws, chunk_size=chunk_size)
    months = carries_months(fit)
    check_same_definition(spells, fit.schema, months=months)
    question = question_of(fit, spells, horizons)
    _check_answerable(fit, spells, horizons)
    if not fit.info.reliable and not allow_unreliable:
        raise UnreliableFitError(
            f"the fit did not pass its gate: {' '.join(fit.info.messages)}",
            consequence="Its intervals may be far too narrow, and its averages off.",
            hint=f"{way_out(fit)}, or acknowledge it: churn_risk(fit, spells, allow_unreliable=True).",
        )
    index = np.unique(np.linspace(0, fit.n_draws - 1, min(n_draws, fit.n_draws)).round().astype(np.int64))
    size = -(-chunk_size // BLOCK) * BLOCK
    parts, futures, unseen = [], Futures(fit, question, index, rng), Unseen(fit)
    for batch in OpenSpells.batches(spells, fit.schema, size=size, history=needs_history(fit), months=months):
        part, incidence = RiskColumns.of_batch(fit, question, batch, index, ci_prob)
        futures.add(batch, part, incidence)
        unseen.add(batch, ~part.churned)
        parts.append(part)
        if progress:
            done = sum(len(p.customer_id) for p in parts)
            progress(done / spells.n_open, f"{done:,} of {spells.n_open:,} customers")
    columns = RiskColumns.joined(parts)
    _check_told(columns, horizons)
    totals = futures.totals(columns)
    sums, caveats = totals.pop(ANY), (*caveats_of(fit, spells, horizons), *unseen.sentences(len(columns.customer_id)))
    table = RiskTable(fit, spells, horizons, ci_prob, rng, index, columns, sums, caveats, question, totals)
    if fit.n_draws > 1:
        warn_of_independence(fit, spells)
    return table


def read_horizons(spells: SpellTable, horizon: object) -> tuple[float, ...]:
    """Days ahead in order, each one that the definition can answer.

    Raises
    ------
    ArgumentError
        If one is no number, there is none, or one is named twice.
    HorizonError
        If one is not ahead, or beyond the definition.
    """
    churn = spells.churn
    usual = [day for day in (30.0, 60.0, 90.0) if not isinstance(churn, Silence) or day <= churn.days]
    write = f"write horizon={_plain(usual) if usual else '7'}."
    raw = np.atleast_1d(np.asarray(horizon, dtype=object))
    bad = [h for h in raw.ravel().tolist() if isinstance(h, bool) or not isinstance(h, (Real, np.integer, np.floating))]
    if bad or raw.ndim > 1:
        raise ArgumentError(
            f"horizon={horizon!r} is not a number of days: {len(bad)} of {raw.size} are none.",
            column="horizon",
            hint=write,
        )
    horizons = [float(h) for h in raw]
    if not horizons or len(set(horizons)) != len(horizons):
        raise ArgumentError(f"horizon={horizon!r} is empty or names a day twice.", column="horizon", hint=write)
    behind = [h for h in horizons if not 0 < h < np.inf]
    if behind:
        kept = [h for h in horizons if 0 < h < np.inf]
        raise HorizonError(
            f"{len(behind)} of {len(horizons)} horizons are not ahead: {behind[0]:g} days.",
            column="horizon",
            count=len(behind),
            total=len(horizons),
            consequence="A risk is told from the window's end on, for a number of days that can be waited for.",
            hint=f"write horizon={_plain(kept)}." if kept else write,
        )
    for h in horizons:
        churn.check_horizon(h)
    return tuple(sorted(horizons))


def _plain(days: Sequence[float]) -> str:
    return f"[{', '.join(f'{day:g}' for day in days)}]"


def _check_answerable(fit: SurvivalFit, spells: SpellTable, horizons: tuple[float, ...]) -> None:
    """Refuse what no customer could be told."""
    churn, last, reach = spells.churn, fit.schema.breaks[-1], fit.schema.reach
    if isinstance(churn, Silence) and last < churn.days:
        raise HorizonError(
            f"the fit reaches {last:g} days of silence, and churn is defined at {churn.days:g}.",
            consequence="The data say nothing about the day on which a customer is declared churned.",
            hint="use a longer window, breaks that reach it, or define Silence with fewer days.",
        )
    if reach is not None and horizons[-1] > reach:
        raise HorizonError(
            f"a horizon of {horizons[-1]:g} days lies beyond the {reach:g} days that landmarks were followed.",
            consequence="What features of today say of later days was never looked at.",
            hint=f"ask for at most {reach:g} days, or fit on PeriodTable.from_landmarks(…, horizon={horizons[-1]:g}).",
        )
    _check_steps(fit, spells, horizons)
    if spells.n_open == 0:
        raise EmptyDataError("nobody is at risk at the window's end.", hint="check the window and the definition.")


def _check_steps(fit: SurvivalFit, spells: SpellTable, horizons: tuple[float, ...]) -> None:
    """Refuse horizons between the steps of a curve whose steps are coarser than the question."""
    models = list(fit.model.values()) if isinstance(fit, CompetingFits) else [fit.model]
    stepping = [type(model).__name__ for model in models if getattr(model, "moves_in_steps", False)]
    grain = spells.grain or 0.0
    between = [h for h in horizons if grain and (h / grain + 1e-9) % 1 > _ON_A_STEP]
    if stepping and between:
        whole = ", ".join(f"{max(1, round(h / grain)) * grain:g}" for h in between)
        raise HorizonError(
            f"durations are known in whole units of {grain:g} days, and {len(between)} of {len(horizons)} horizons lie "
            f"between them: {', '.join(f'{h:g}' for h in between)} days.",
            consequence="The curve moves at the units' ends only: within 30 days of a month's end nobody would ever leave.",
            hint=f"{stepping[0]}(…, rounded={grain:g}) lets it move evenly within the unit; or ask for horizon=[{whole}].",
        )


def _check_told(columns: RiskColumns, horizons: tuple[float, ...]) -> None:
    """Refuse horizons that nobody could be told, where others could: they would leave no customer to add up."""
    told = (columns.status != "refused").any(axis=0)
    lost = [f"{h:g}" for h, one in zip(horizons, told, strict=True) if not one]
    if lost and told.any():
        kept = ", ".join(f"{h:g}" for h, one in zip(horizons, told, strict=True) if one)
        raise UnreachableHorizonError(
            f"nobody's risk can be told within {' or '.join(lost)} days: it lies beyond all that the fit has seen.",
            consequence="Totals count the customers who could be told at every horizon, and there would be none.",
            hint=f"ask for horizon=[{kept}], or fit a WeibullModel, which goes on beyond the data and says so.",
            within=tuple(h for h, one in zip(horizons, told, strict=True) if one),
        )


def _check_numbers(*, ci_prob: float, n_draws: int, chunk_size: int) -> None:
    if not 0 < ci_prob < 1:
        raise ArgumentError(f"ci_prob={ci_prob!r} lies outside (0, 1).", hint="write ci_prob=0.90.")
    for name, value in (("n_draws", n_draws), ("chunk_size", chunk_size)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ArgumentError(f"{name}={value!r} is not a whole number of at least 1.", hint=f"write {name}=1000.")
