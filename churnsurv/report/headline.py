"""What a manager asks first, and what has to be said before anything else is believed."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Final

from churnsurv.plots.rows import rows_of
from churnsurv.report.sentences import count, count_range, date_words, headline_parts, percent_range, quantity

if TYPE_CHECKING:
    from churnsurv.risk.checks import AsOfCheck
    from churnsurv.risk.table import RiskTable

_TWO_YEARS: Final = 730.0
INTERVAL_NOTE: Final = (
    "† These intervals treat the repeated gaps of one customer as independent. They are not, so the true "
    "uncertainty is larger: read the intervals as too narrow."
)


def interval_note(risk: RiskTable) -> str:
    """Sentence that stands wherever an interval is shown, empty where the fit does not need it.

    Parameters
    ----------
    risk : RiskTable
        The risk.

    Returns
    -------
    str
        A note, or nothing.
    """
    return INTERVAL_NOTE if risk.fit.info.independent_gaps else ""


def headline_data(risk: RiskTable) -> dict[str, object]:
    """Tell the expected churners per horizon with their predictive intervals, and those already churned apart.

    Parameters
    ----------
    risk : RiskTable
        The risk.

    Returns
    -------
    dict
        ``before``, ``range``, ``after`` (the sentence in three parts), ``horizons`` (numbers), ``cards``, ``note``.
    """
    totals = risk.totals().sort_values("horizon")
    silence = risk.spells.churn.days
    horizons = [_horizon(row) for row in rows_of(totals)]
    first = horizons[0]
    before, shown, after = headline_parts(
        int(first["n_customers"]), first["lower"], first["upper"], silence=silence, horizon=first["horizon"]
    )
    gone = int(risk.n_already_churned)
    cards = [_card(row) for row in horizons]
    cards.append(
        {
            "label": "already churned",
            "figure": count(gone),
            "detail": f"silent for {silence:g} days or more; not counted above: a list to win back",
            "apart": True,
        }
    )
    unknown = n_refused(risk)
    if unknown:
        cards.append(
            {
                "label": "risk not known",
                "figure": count(unknown),
                "detail": "active, but the log tells too little about them; not counted above",
                "apart": True,
            }
        )
    return {
        "before": before,
        "range": shown,
        "after": after,
        "horizons": horizons,
        "n_already_churned": gone,
        "cards": cards,
        "note": (
            f"Ranges are {risk.ci_prob:.0%} predictive intervals: they hold the uncertainty of the estimates and the "
            "chance in what each customer does."
        ),
    }


def _horizon(row: dict[str, float]) -> dict[str, float]:
    names = ("horizon", "n_customers", "expected", "lower", "upper")
    return {name: float(row[name]) for name in names}


def _card(row: dict[str, float]) -> dict[str, object]:
    n = int(row["n_customers"])
    words = count_range(row["lower"], row["upper"], most=n).removeprefix("about ").replace(" to ", "–")
    share = percent_range(row["lower"] / n, row["upper"] / n) if n else "nobody"
    return {
        "label": f"within {row['horizon']:g} days",
        "figure": words,
        "detail": f"of {quantity(n, 'active customer')} ({share})",
        "apart": False,
    }


def banners_data(risk: RiskTable, check: AsOfCheck | None, *, earlier: bool = False) -> list[dict[str, object]]:
    """Collect what limits every number of the report, most serious first.

    Parameters
    ----------
    risk : RiskTable
        The risk.
    check : AsOfCheck or None
        Its check against the past.
    earlier : bool
        Whether the model was fitted on an earlier log than this one.

    Returns
    -------
    list of dict
        ``serious``, ``title``, ``texts``.
    """
    info = risk.fit.info
    banners = []
    if not info.reliable:
        banners.append(
            {
                "serious": True,
                "title": "The computation failed its checks: do not act on these numbers",
                "texts": [str(message) for message in info.messages]
                or ["See the section on the computation for what went wrong."],
            }
        )
    if check is not None and not check.lower <= check.observed <= check.upper:
        banners.append(_missed(check))
    if earlier:
        banners.append(_earlier(info.n_spells))
    days = risk.spells.window.days(risk.fit.schema.timezone)
    if days < _TWO_YEARS:
        banners.append(_season(days))
    if info.independent_gaps:
        banners.append(
            {
                "serious": False,
                "title": "The intervals are too narrow",
                "texts": [
                    "The model treats the repeated gaps of one customer as independent. Customers have habits, so they "
                    "are not, and the true uncertainty is larger than shown. Every table and chart with an interval "
                    "carries the mark †."
                ],
            }
        )
    return banners


def _missed(check: AsOfCheck) -> dict[str, object]:
    return {
        "serious": False,
        "title": "Last time the forecast was off",
        "texts": [
            f"Made as of {date_words(dt.date.fromisoformat(check.cutoff))} from what was known then, it did not hold. "
            f"{check.verdict} "
            "Read the ranges of this report as at least that uncertain."
        ],
    }


def _earlier(n_spells: int) -> dict[str, object]:
    return {
        "serious": False,
        "title": "The model is from an earlier log",
        "texts": [
            f"It was fitted on {quantity(n_spells, 'gap')} of an earlier log and is used here as it is. Whatever has changed "
            "since in how fast customers come back is not in these numbers."
        ],
    }


def _season(days: float) -> dict[str, object]:
    return {
        "serious": False,
        "title": "The season is not in these numbers",
        "texts": [
            f"The log covers {count(days)} days. It takes two years to tell a season from a trend; with less, nobody can "
            "know whether customers return later at this time of the year. Around holidays the true number can lie "
            "well outside the ranges given here."
        ],
    }


def n_refused(risk: RiskTable) -> int:
    """Count active customers whose risk could not be told.

    Parameters
    ----------
    risk : RiskTable
        The risk.

    Returns
    -------
    int
        Customers, counted at no horizon.
    """
    return int(risk.sums[""].n_refused.sum())
