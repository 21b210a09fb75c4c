"""What has to be said before any number is believed, most serious first."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Final

from churnsurv.plots.counted import fits_of
from churnsurv.plots.labels import note_words
from churnsurv.plots.words import words_of
from churnsurv.report.sentences import date_words, quantity

if TYPE_CHECKING:
    from churnsurv.risk.checks import AsOfCheck
    from churnsurv.risk.table import RiskTable

INTERVAL_NOTE: Final = (
    "† These intervals treat the repeated {spells} of one customer as independent. They are not, so the true "
    "uncertainty is larger: read the intervals as too narrow."
)
_MARKED: Final = "Every table and chart with an interval that is too narrow for this reason carries the mark †."
_GATE: Final = "The fit did not pass its gate:"


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
    return INTERVAL_NOTE.format(spells=f"{words_of(risk.spells).spell}s") if risk.independent_spells else ""


def banners_data(risk: RiskTable, check: AsOfCheck | None, *, earlier: bool = False) -> list[dict[str, object]]:
    """Collect what limits every number of the report, most serious first.

    Parameters
    ----------
    risk : RiskTable
        The risk; its caveats are told as they are.
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
                "texts": [note_words(risk.fit.schema, message) for message in info.messages]
                or ["See the section on the computation for what went wrong."],
            }
        )
    if check is not None and not check.lower <= check.observed <= check.upper:
        banners.append(_missed(check))
    if earlier:
        banners.append(_earlier(risk))
    texts = [*_coarse(risk), *(text for text in risk.caveats if not text.startswith(_GATE))]
    if texts:
        marked = [_MARKED] if risk.independent_spells else []
        banners.append({"serious": False, "title": "What these numbers do not hold", "texts": [*texts, *marked]})
    return banners


def _coarse(risk: RiskTable) -> list[str]:
    """Say what ages in whole units do to a model that takes them for exact."""
    grain = risk.spells.grain
    models = [one.model for one in fits_of(risk.fit).values() if one.model.fits_on != "cells"]  # cells count halves
    exact = [m for m in models if getattr(m, "rounded", None) is None and not getattr(m, "moves_in_steps", False)]
    if grain is None or not exact:
        return []
    return [
        f"Ages are known in whole units of {grain:.3g} days, and the model takes them for exact. Where many leave within one "
        "unit, as new customers may, it expects fewer to leave than did."
    ]


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


def _earlier(risk: RiskTable) -> dict[str, object]:
    words = words_of(risk.spells)
    source = "data" if risk.spells.window is None else "log"
    return {
        "serious": False,
        "title": f"The model is from {'earlier data' if source == 'data' else 'an earlier log'}",
        "texts": [
            f"It was fitted on {quantity(risk.fit.info.n_spells, words.spell)} of "
            f"{'earlier data' if source == 'data' else 'an earlier log'} and is used here as it is. Whatever has changed "
            f"since in how fast customers {words.pace} is not in these numbers."
        ],
    }
