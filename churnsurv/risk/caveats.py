"""What must be read beside every number, in the words of the clock it stands on."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from churnsurv.errors import ApproximationWarning
from churnsurv.models.base import carries_months
from churnsurv.models.competing import CompetingFits
from churnsurv.models.hierarchical.pieces import MONTHS_OF_A_SEASON
from churnsurv.models.point import PointFit
from churnsurv.tables.churn import Silence

if TYPE_CHECKING:
    from churnsurv.models.base import SurvivalFit
    from churnsurv.tables.spells import SpellTable

_SEASON_DAYS = 730.0


def takes_spells_as_independent(fit: SurvivalFit, spells: SpellTable) -> bool:
    """Whether somebody has several spells and the fit takes them for those of several people."""
    repeated = not spells.churn.on_tenure or spells.n_spells > spells.n_customers
    return fit.info.independent_gaps and repeated


def warn_of_independence(fit: SurvivalFit, spells: SpellTable) -> None:
    """Warn once for a table of risks; for the caller of the caller.

    Warns
    -----
    ApproximationWarning
        If :func:`takes_spells_as_independent`.
    """
    if takes_spells_as_independent(fit, spells):
        what = "contracts" if spells.churn.on_tenure else "gaps"
        warnings.warn(
            f"a customer's repeated {what} are treated as independent: intervals are too narrow."
            " Hint: read them as a lower bound of the uncertainty.",
            ApproximationWarning,
            stacklevel=3,
        )


def caveats_of(fit: SurvivalFit, spells: SpellTable, horizons: tuple[float, ...] = ()) -> tuple[str, ...]:
    """Sentences for a table of risks.

    Parameters
    ----------
    fit : SurvivalFit
        The fit that answered.
    spells : SpellTable
        Whose risk it is.
    horizons : tuple of float
        Days ahead.
    """
    texts = []
    if not fit.info.reliable:
        texts.append("The fit did not pass its gate: " + " ".join(fit.info.messages))
    texts += [fit.caveat] if isinstance(fit, PointFit) and fit.caveat else []
    texts += _approximate(fit)
    texts += [*_alone(fit, spells), _season(fit, spells), *_edge(fit, spells), *_without_draws(fit), *_weights(spells)]
    texts += _nearer(fit, horizons)
    if takes_spells_as_independent(fit, spells):
        texts.append(
            "A customer's repeated contracts are treated as independent: the intervals are too narrow where customers"
            " differ in ways the columns do not say."
            if spells.churn.on_tenure
            else "A customer's repeated gaps are treated as independent: the intervals are too narrow. In simulated shops"
            " whose customers differ, 90% intervals of single customers held the truth in 10% to 30% of cases."
        )
    return tuple(texts)


def way_out(fit: SurvivalFit) -> str:
    """Call that would make a fit that passes its gate, of one that did not.

    Parameters
    ----------
    fit : SurvivalFit
        The fit, or one for each cause.
    """
    fits = list(fit.fits.values()) if isinstance(fit, CompetingFits) else [fit]
    infos = [one.info for one in fits if not one.info.reliable]
    if any(info.status == "interrupted" for info in infos):
        return "fit again, to the end: fit = model.fit(table)"
    if any(info.method == "laplace" for info in infos):
        return 'fit = model.fit(table, method="nuts")'
    if not any(np.isfinite(info.ess_min) for info in infos):
        return "look at fit.info.messages for what to change"
    if any("one chain" in text for info in infos for text in info.messages):
        return "fit = model.fit(table, chains=4)"
    return "fit = model.fit(table, draws=4000), or a tighter prior"


def _approximate(fit: SurvivalFit) -> list[str]:
    """Draws that no sampler made."""
    fits = fit.fits.values() if isinstance(fit, CompetingFits) else (fit,)
    worst = [one.info.pareto_k for one in fits if one.info.method == "laplace"]
    if not worst:
        return []
    return [
        "The draws are approximate: a normal around the mode, corrected by importance weights"
        f" (Pareto-k̂ {max(worst):.2f}; up to 0.7 can be relied upon)."
    ]


def _alone(fit: SurvivalFit, spells: SpellTable) -> list[str]:
    others = [cause for cause in spells.churn.causes if cause != spells.cause]
    if spells.cause is None or not others or isinstance(fit, CompetingFits):
        return []
    return [
        f"The chances are those of {spells.cause} alone, as if {' and '.join(others)} did not exist: larger than what will"
        " be seen, and not to be added to those of other causes."
    ]


def _nearer(fit: SurvivalFit, horizons: tuple[float, ...]) -> list[str]:
    """Horizons short of the days that landmarks were followed: there, effects are an average over more than was asked."""
    reach = fit.schema.reach
    nearer = [h for h in horizons if reach is not None and h < 0.999 * reach]
    if reach is None or not nearer:
        return []
    days = ", ".join(f"{h:g}" for h in nearer)
    return [
        f"Effects are averages over the {reach:g} days after a landmark. What matters for a short time only, such as a recent"
        f" complaint, weighs too little within {days} days: fit on landmarks of {nearer[0]:g} days to ask for {nearer[0]:g}."
    ]


def _season(fit: SurvivalFit, spells: SpellTable) -> str:
    if spells.window is None:
        return (
            "The durations carry no dates: season and trend are not known, and the future is taken to be like the past."
        )
    days = spells.window.days(spells.timezone)
    when = "when renewals or price changes crowd" if spells.churn.on_tenure else "around holidays"
    if carries_months(fit):
        return _months(fit, when)
    known = (
        f"The log covers {days:.0f} days. The season cannot be known from less than two years"
        if days < _SEASON_DAYS
        else "The model has no season"
    )
    return f"{known}: {when} the risk may be far off."


def _months(fit: SurvivalFit, when: str) -> str:
    """What a fit on months knows of the year, and what of the level ahead its intervals hold."""
    fits: list[Any] = list(fit.fits.values()) if isinstance(fit, CompetingFits) else [fit]
    n, drift = min(one.n_months for one in fits), max(one.month_drift for one in fits)
    if n < 2:
        return (
            "The fit has seen one calendar month: neither the drift of the level nor the season can be known from it, and"
            f" the intervals hold neither: {when} the risk may be far off."
        )
    level = (
        f"The level moves by about {np.expm1(drift):.0%} from month to month, and the intervals hold this drift ahead"
    )
    if n < MONTHS_OF_A_SEASON:
        return f"{level}, but no season: it cannot be known from {n} months, and {when} the risk may be far off."
    return f"{level}; the season was learnt from {n} months, and is taken to come again."


def _edge(fit: SurvivalFit, spells: SpellTable) -> list[str]:
    churn = spells.churn
    if not isinstance(churn, Silence) or churn.days in fit.schema.breaks:
        return []
    return [
        f"The {churn.days:g} days that define churn are no period edge: how many gaps reach them is judged at"
        " the end of their period."
    ]


def _without_draws(fit: SurvivalFit) -> list[str]:
    if not isinstance(fit, CompetingFits) or fit.n_draws == 1:
        return []
    points = [cause for cause, one in fit.fits.items() if one.n_draws == 1]
    if not points:
        return []
    return [
        f"The fit of {' and '.join(points)} has no draws: the intervals hold the uncertainty of the other causes only."
    ]


def _weights(spells: SpellTable) -> list[str]:
    return ["The rows carry weights, and the totals count every row as one customer."] if spells.weighted else []
