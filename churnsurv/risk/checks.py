"""One as-of check: what the model would have said some time ago, against what has happened since."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from churnsurv._typing import IntArray
from churnsurv.errors import ApproximationWarning, ArgumentError
from churnsurv.risk.outcomes import CutoffOutcomes
from churnsurv.risk.predict import Progress, churn_risk, read_horizons
from churnsurv.risk.recipes import Recipe
from churnsurv.tables.bins import Bins
from churnsurv.tables.churn import Silence
from churnsurv.tables.features import Feature
from churnsurv.tables.schema import AsOf
from churnsurv.tables.spells import SpellTable
from churnsurv.tables.window import DAY_US, moment_of, read_zone

if TYPE_CHECKING:
    from churnsurv.models.base import SurvivalModel
    from churnsurv.risk.table import RiskTable

_CONTRACT_DAYS = 90.0
"""Horizon of a check of contracts, unless another is asked for."""


@dataclass(frozen=True)
class RiskBin:
    """Customers of similar predicted risk.

    Parameters
    ----------
    lower, upper : float
        Lowest and highest prediction among them.
    n : int
        How many.
    expected, observed : float
        Predicted and actual number who churned.
    """

    lower: float
    upper: float
    n: int
    expected: float
    observed: int


@dataclass(frozen=True)
class CauseCheck:
    """One of several causes: predicted against actual number.

    Parameters
    ----------
    cause : str
        Name.
    expected, lower, upper : float
        Predicted number who churned by it, and its predictive interval.
    observed : int
        Number who did.
    """

    cause: str
    expected: float
    lower: float
    upper: float
    observed: int


@dataclass(frozen=True)
class AsOfCheck:
    """Prediction as of a past date against what followed.

    Parameters
    ----------
    cutoff : str
        Date of the prediction; nothing later was known to the fit.
    horizon : float
        Days ahead.
    n_customers : int
        Customers active (or under contract) at the cutoff whose risk was told.
    expected, lower, upper : float
        Predicted number of churners and its predictive interval.
    observed : int
        Number who did churn.
    ci_prob : float
        Probability inside the interval.
    bins : tuple of RiskBin
        By predicted risk, lowest first.
    reliable : bool
        Whether the fit at the cutoff passed its gate.
    causes : tuple of CauseCheck
        Where there are several.
    """

    cutoff: str
    horizon: float
    n_customers: int
    expected: float
    lower: float
    upper: float
    observed: int
    ci_prob: float
    bins: tuple[RiskBin, ...]
    reliable: bool
    causes: tuple[CauseCheck, ...] = ()

    @property
    def verdict(self) -> str:
        """One sentence: whether the total held, and by how much it missed."""
        inside = self.lower <= self.observed <= self.upper
        miss = (self.expected - self.observed) / self.n_customers
        if inside:
            return f"The {self.observed:,} who churned lie inside the predicted {self.lower:,.0f} to {self.upper:,.0f}."
        word = "too many" if miss > 0 else "too few"
        return (
            f"The model expected {word}: {self.lower:,.0f} to {self.upper:,.0f} of {self.n_customers:,} were predicted, "
            f"{self.observed:,} churned, a miss of {abs(miss) * 100:.0f} in every 100 customers."
        )


def as_of_check(
    spells: SpellTable,
    model: SurvivalModel | Mapping[str, SurvivalModel],
    *,
    features: Sequence[Feature] = (),
    bins: Bins | None = None,
    breaks: Sequence[float] | None = None,
    horizon: float | None = None,
    as_of: AsOf = "spell",
    ci_prob: float = 0.90,
    n_bins: int = 5,
    rng: int = 0,
    settings: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> AsOfCheck:
    """Fit on what was known ``horizon`` days before the window's end and compare with what followed.

    Everyone at risk at that date is decided by the end: churned within the horizon, or not. Definition, features and bins
    are applied anew to the truncated log; nothing is learnt from later. Where there are several causes, each gets a
    fit of its own, and the prediction is made of all of them.

    Parameters
    ----------
    spells : SpellTable
        Spells on the whole log, with all causes.
    model : SurvivalModel, or mapping of str to SurvivalModel
        Settings to fit, for all causes alike or one for each. Rows are split on calendar months where a model asks for
        them (``calendar=True``).
    features, bins, breaks
        As for :class:`PeriodTable`, :class:`CellTable` and :class:`Episodes`.
    horizon : float, optional
        Days ahead: the silence that defines churn, or 90 under contract, unless said.
    as_of : {"spell", "landmark"}
        Features as of the spell's start, or frozen at landmarks that are followed for ``horizon`` days.
    ci_prob : float
        Probability inside the predictive interval.
    n_bins : int
        Bins of predicted risk with about equally many customers, >= 1.
    rng : int
        Seed.
    settings : mapping, optional
        Passed on to the fit of each model: ``{"method": "laplace"}``, ``{"draws": 500}``.
    progress : callable, optional
        Told the share done and what is being done.

    Returns
    -------
    AsOfCheck
        Expected against observed, in total, by predicted risk and by cause.

    Raises
    ------
    ArgumentError
        If the spells are durations, which have no calendar; if the window is too short to learn and to check; if
        one cause was chosen; or if nobody was at risk at the cutoff.
    """
    if spells.log is None or spells.window is None:
        raise ArgumentError(
            "these spells are durations: there is no date at which to look back.",
            consequence="An as-of check needs to know what was known when.",
            hint="make the spells from a log: SpellTable.from_events(log, window, churn).",
        )
    if spells.cause is not None and len(spells.churn.causes) > 1:
        raise ArgumentError(
            f"these spells count the {spells.cause} alone; what happened is decided by every cause.",
            hint="pass the whole table of spells.",
        )
    recipe = Recipe(
        model, tuple(features), bins, None if breaks is None else tuple(breaks), as_of, dict(settings or {})
    )
    days = _horizon(spells, horizon)
    cutoff = _cutoff(spells, days)
    moment = moment_of(cutoff)
    then = SpellTable.from_events(spells.log.before(moment), spells.window.ending(moment), spells.churn)
    fit = recipe.fit(then, horizon=days, rng=rng, progress=progress)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ApproximationWarning)  # said once for the main fit
        risk = churn_risk(fit, then, [days], ci_prob=ci_prob, rng=rng, allow_unreliable=True)
    return _compare(risk, CutoffOutcomes.between(then, spells), n_bins)


def _horizon(spells: SpellTable, horizon: float | None) -> float:
    if horizon is None:
        return spells.churn.days if isinstance(spells.churn, Silence) else _CONTRACT_DAYS
    horizons = read_horizons(spells, horizon)
    if len(horizons) > 1:
        raise ArgumentError(
            f"horizon={horizon!r} names {len(horizons)} horizons, and a check looks back by one.",
            column="horizon",
            hint=f"as_of_check(spells, model, horizon={horizons[-1]:g})",
        )
    return horizons[0]


def _cutoff(spells: SpellTable, days: float) -> int:
    _, window = spells.observed()
    silence = isinstance(spells.churn, Silence)
    needed = spells.churn.days if isinstance(spells.churn, Silence) else days
    cutoff = spells.end_us - round(days * DAY_US)
    if cutoff - spells.start_us < needed * DAY_US:
        raise ArgumentError(
            f"a window of {window.days(spells.timezone):g} days leaves less than {needed:g} days to learn from "
            f"before a check of {days:g} days.",
            hint="use a longer window, or define Silence with fewer days."
            if silence
            else "use a longer window, or check a shorter horizon.",
        )
    return cutoff


def _compare(risk: RiskTable, outcomes: CutoffOutcomes, n_bins: int) -> AsOfCheck:
    columns = risk.columns
    told = ~columns.churned & ~np.isnan(columns.churn[:, -1])
    predicted = columns.churn[told, -1]
    if not len(predicted):
        raise ArgumentError("nobody was active at the cutoff.", hint="use a longer window.")
    happened = outcomes.churn(np.array(risk.horizon[-1:]))[told, 0]  # both are in the order of the ids
    observed = happened > 0
    order = np.argsort(predicted, kind="stable")
    bins = tuple(
        RiskBin(float(predicted[k].min()), float(predicted[k].max()), len(k), float(predicted[k].sum()), int(observed[k].sum()))
        for k in np.array_split(order, max(1, min(n_bins, len(order))))
    )  # fmt: skip
    total = risk.totals().iloc[-1]
    return AsOfCheck(
        cutoff=_local_date(risk.spells.end_us, risk.spells.timezone),
        horizon=risk.horizon[-1],
        n_customers=len(predicted),
        expected=float(predicted.sum()),
        lower=float(total["lower"]),
        upper=float(total["upper"]),
        observed=int(observed.sum()),
        ci_prob=risk.ci_prob,
        bins=bins,
        reliable=risk.fit.info.reliable,
        causes=_by_cause(risk, happened),
    )


def _by_cause(risk: RiskTable, happened: IntArray) -> tuple[CauseCheck, ...]:
    totals = [(cause, risk.totals(cause=cause).iloc[-1]) for cause in risk.cause_sums]
    return tuple(
        CauseCheck(
            cause,
            expected=float(total["expected"]),
            lower=float(total["lower"]),
            upper=float(total["upper"]),
            observed=int((happened == k).sum()),
        )
        for k, (cause, total) in enumerate(totals, 1)
    )


def _local_date(time: int, timezone: str) -> str:
    return f"{moment_of(time).astimezone(read_zone(timezone)):%Y-%m-%d}"
