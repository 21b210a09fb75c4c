"""What a definition does to language: who is at risk, what they do, and what ends."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from churnsurv.plots.labels import clean_text
from churnsurv.tables.churn import Silence

if TYPE_CHECKING:
    from churnsurv.tables.spells import SpellTable


@dataclass(frozen=True)
class Words:
    """Words of one clock.

    Parameters
    ----------
    spell, event : str
        One time at risk, and what ends it, in the singular.
    customer : str
        Somebody who could still be lost.
    states : tuple of str
        What sets them apart from others: of one, and of several.
    nobody : str
        Sentence where there are none.
    churn : str
        What they may do, as an infinitive.
    ahead : str
        Until when, with the days in braces.
    still, reached : str
        Share that has not had the event, and the column of days on the clock.
    pace, paces : str
        What those do whom a ratio above 1 hurries, of several and of one.
    lasts : str
        What a ratio of times stretches.
    stay, sooner : str
        Titles of the sections on the curve and on the effects.
    moment : str
        When an effect holds.
    """

    spell: str
    event: str
    customer: str
    states: tuple[str, str]
    nobody: str
    churn: str
    ahead: str
    still: str
    reached: str
    pace: str
    paces: str
    lasts: str
    stay: str
    sooner: str
    moment: str


_GAPS: Final = Words(
    spell="gap",
    event="return",
    customer="active customer",
    states=("who is still active", "who are still active"),
    nobody="No customer is active at the end of the window:",
    churn="fall silent",
    ahead="within the next {} days",
    still="Still silent",
    reached="Days silent",
    pace="come back",
    paces="Comes back",
    lasts="stay silent",
    stay="How long customers stay silent",
    sooner="Who comes back sooner",
    moment="at any moment of a silence",
)
_CONTRACTS: Final = Words(
    spell="contract",
    event="end",
    customer="customer",
    states=("who is under contract", "who are under contract"),
    nobody="No customer is under contract at the end of the window:",
    churn="leave",
    ahead="within the next {} days",
    still="Still customers",
    reached="Days as a customer",
    pace="leave",
    paces="Leaves",
    lasts="stay",
    stay="How long customers stay",
    sooner="Who leaves sooner",
    moment="at any time since they began",
)
_DURATIONS: Final = replace(
    _CONTRACTS,
    spell="duration",
    states=("who was still there when last seen", "who were still there when last seen"),
    nobody="No customer was still there when last seen:",
    ahead="within {} days from then",
)


def words_of(spells: SpellTable) -> Words:
    """Words for the spells of a definition.

    Parameters
    ----------
    spells : SpellTable
        Gaps, contracts or durations.

    Returns
    -------
    Words
        Theirs.
    """
    churn = spells.churn
    if isinstance(churn, Silence):
        closed = " or close the account" if churn.terminal else ""
        return replace(_GAPS, churn=f"fall silent for {churn.days:g} days{closed}")
    words = _CONTRACTS if spells.window is not None else _DURATIONS
    if spells.cause is None or len(churn.causes) == 1:
        return words
    by = cause_label(spells.cause)
    return replace(
        words,
        still=f"Not lost to “{by}”",
        churn=f"be lost to “{by}”, if nothing else could take them,",
        stay=f"How “{by}” takes customers",
    )


def words_of_cause(spells: SpellTable, cause: str | None) -> Words:
    """Words for the hazard of one of several causes.

    Parameters
    ----------
    spells : SpellTable
        Whose definition names the causes.
    cause : str or None
        One of them; ``None`` where there is one only.

    Returns
    -------
    Words
        With the cause in ``pace`` and ``paces``.
    """
    words = words_of(spells)
    if cause is None or (cause == "return" and not spells.churn.on_tenure):
        return words
    if not spells.churn.on_tenure:
        return replace(words, pace="close the account", paces="Closes the account", lasts="keep it open")
    by = cause_label(cause)
    return replace(words, pace=f"are lost to “{by}”", paces=f"Lost to “{by}”")


def cause_label(cause: str) -> str:
    """Cause as a person reads it.

    Examples
    --------
    >>> cause_label("payment_failed")
    'payment failed'
    """
    return clean_text(cause.replace("_", " "))
