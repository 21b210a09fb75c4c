"""One as-of check: what the model would have said some time ago, against what has happened since."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from churnsurv.errors import ApproximationWarning, ArgumentError
from churnsurv.risk.predict import Progress, churn_risk
from churnsurv.tables.bins import Bins
from churnsurv.tables.cells import CellTable
from churnsurv.tables.engines import quote
from churnsurv.tables.features import Feature
from churnsurv.tables.periods import PeriodTable
from churnsurv.tables.spells import SpellTable
from churnsurv.tables.window import DAY_US, moment_of

if TYPE_CHECKING:
    from churnsurv.models.hierarchical import HierarchicalModel
    from churnsurv.risk.table import RiskTable


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
        Predicted and actual number who fell silent.
    """

    lower: float
    upper: float
    n: int
    expected: float
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
        Customers active at the cutoff whose risk was told.
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
    model: HierarchicalModel,
    *,
    features: Sequence[Feature] = (),
    bins: Bins | None = None,
    breaks: Sequence[float] | None = None,
    ci_prob: float = 0.90,
    n_bins: int = 5,
    rng: int = 0,
    progress: Progress | None = None,
) -> AsOfCheck:
    """Fit on what was known ``churn.days`` before the window's end and compare with what followed.

    Everyone active at that date is decided by the end: silent for the whole definition, or not.
    Definition, features and bins are applied anew to the truncated log; nothing is learnt from later.

    Parameters
    ----------
    spells : SpellTable
        Spells on the whole log.
    model : HierarchicalModel
        Settings to fit.
    features, bins, breaks
        As for :class:`PeriodTable` and :class:`CellTable`.
    ci_prob : float
        Probability inside the predictive interval.
    n_bins : int
        Bins of predicted risk with about equally many customers, >= 1.
    rng : int
        Seed.
    progress : callable, optional
        Told the share done and what is being done.

    Returns
    -------
    AsOfCheck
        Expected against observed, in total and by predicted risk.

    Raises
    ------
    ArgumentError
        If the window is shorter than twice the definition, or nobody was active at the cutoff.
    """
    days = spells.churn.days
    cutoff = spells.end_us - round(days * DAY_US)
    if cutoff - spells.start_us < days * DAY_US:
        raise ArgumentError(
            f"a window of {spells.window.days(spells.log.timezone):g} days leaves less than {days:g} days to learn from "
            f"before a check of {days:g} days.",
            hint="use a longer window, or define Silence with fewer days.",
        )
    moment = moment_of(cutoff)
    then = SpellTable.from_events(spells.log.before(moment), spells.window.ending(moment), spells.churn)
    kept = None if breaks is None else tuple(breaks)
    cells = CellTable.from_periods(PeriodTable.from_spells(then, breaks=kept, features=features), bins=bins)
    fit = model.fit(cells, rng=rng, progress=progress or False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ApproximationWarning)  # said once for the main fit
        risk = churn_risk(fit, then, [days], ci_prob=ci_prob, rng=rng, allow_unreliable=True)
    return _compare(risk, _outcomes(spells, then), n_bins)


def _outcomes(spells: SpellTable, then: SpellTable) -> dict[str, bool]:
    """Whether each gap that was open at the cutoff went on to be called churn."""
    limit = round(spells.churn.days * DAY_US)
    rows = spells.log.engine.rows(
        f"SELECT a.customer_id, b.exit_us >= {limit} OR b.event = 2 FROM {quote(then.relation.name)} a"
        f" JOIN {spells.table} b USING (customer_id, spell) WHERE a.open"
    )
    return {customer: bool(churned) for customer, churned in rows}


def _compare(risk: RiskTable, outcomes: dict[str, bool], n_bins: int) -> AsOfCheck:
    columns = risk.columns
    told = (columns.silence < risk.spells.churn.days) & ~np.isnan(columns.churn[:, -1])
    predicted = columns.churn[told, -1]
    if not len(predicted):
        raise ArgumentError("nobody was active at the cutoff.", hint="use a longer window.")
    observed = np.array([outcomes[customer] for customer in columns.customer_id[told]])
    order = np.argsort(predicted, kind="stable")
    bins = tuple(
        RiskBin(float(predicted[k].min()), float(predicted[k].max()), len(k), float(predicted[k].sum()), int(observed[k].sum()))
        for k in np.array_split(order, max(1, min(n_bins, len(order))))
    )  # fmt: skip
    total = risk.totals().iloc[-1]
    zone = risk.spells.log.timezone
    return AsOfCheck(
        cutoff=f"{_local_date(risk.spells.end_us, zone)}",
        horizon=risk.horizon[-1],
        n_customers=len(predicted),
        expected=float(predicted.sum()),
        lower=float(total["lower"]),
        upper=float(total["upper"]),
        observed=int(observed.sum()),
        ci_prob=risk.ci_prob,
        bins=bins,
        reliable=risk.fit.info.reliable,
    )


def _local_date(time: int, timezone: str) -> str:
    from churnsurv.tables.window import read_zone

    return f"{moment_of(time).astimezone(read_zone(timezone)):%Y-%m-%d}"
