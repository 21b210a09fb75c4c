"""Over which time and by which definition, and what was left out on the way."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Final

from churnsurv.plots.labels import clean_text, note_words
from churnsurv.plots.words import cause_label, words_of
from churnsurv.report.headline import n_of_new_groups, n_refused, n_with_status
from churnsurv.report.patterns import Counted, fitted_on
from churnsurv.report.sentences import count, listing, number, percent, period_words, quantity
from churnsurv.tables.churn import Silence
from churnsurv.tables.faults import Fault
from churnsurv.tables.window import DAY_US, moment_of, read_zone

if TYPE_CHECKING:
    from churnsurv.risk.table import RiskTable
    from churnsurv.tables.spells import SpellTable

_REFUSED: Final = (
    "For {n} no chance is told, and they are not counted among those at risk: the log does not reach back far enough to "
    "know their history, or the model has never seen their like."
)
_NEW_GROUP: Final = (
    "For {n} the group was not in the data that the model learnt from; its effect is averaged over what groups "
    "are like."
)
_REFUSED_ON_TENURE: Final = (
    "For {n} no chance is told at one horizon or more, and they are not counted among those at risk: nobody was observed "
    "for as long as the answer would need, something about them is not known, or the model has never seen their like."
)
_EXTRAPOLATED: Final = (
    "For {n} the chance is marked as an extrapolation: a number lies outside the range the model has seen, or too few "
    "others {long}."
)
_LONG: Final = {False: "were ever silent for as long", True: "were observed at the ages it needs"}


def _local(time: int, timezone: str) -> dt.datetime:
    return moment_of(time).astimezone(read_zone(timezone)).replace(tzinfo=None)


def window_data(risk: RiskTable) -> dict[str, object]:
    """Window and definition in words.

    Parameters
    ----------
    risk : RiskTable
        The risk, which knows window and definition.

    Returns
    -------
    dict
        ``start``, ``end`` (ISO, local), ``timezone``, ``days`` (all ``None`` where there is no calendar), ``dateline``,
        ``definition``, ``texts``.
    """
    spells = risk.spells
    definition = clean_text(spells.churn.describe(), longest=500)
    if spells.window is None:
        dateline = f"{quantity(spells.n_customers, 'customer')}, by the time since each one's own beginning"
        none = dict.fromkeys(("start", "end", "timezone", "days"))
        return {**none, "dateline": dateline, "definition": definition, "texts": _duration_texts(risk)}
    zone = risk.fit.schema.timezone
    start, end = (_local(time, zone) for time in spells.window.resolve(zone))
    span = period_words(start, end)
    texts = _contract_texts(risk, span) if spells.churn.on_tenure else _gap_texts(risk, span)
    return {
        "start": start.isoformat(),
        "end": end.isoformat(),
        "timezone": zone,
        "days": spells.window.days(zone),
        "dateline": f"{span}, {zone}",
        "definition": definition,
        "texts": texts,
    }


def _gap_texts(risk: RiskTable, span: str) -> list[str]:
    spells, churn = risk.spells, risk.spells.churn
    silence = churn.days if isinstance(churn, Silence) else 0.0
    lookback = [f.lookback for f in risk.fit.schema.features if f.lookback]
    texts = [
        f"The log is taken to be complete from {span} ({risk.fit.schema.timezone}). Everything is told as of the end of that "
        f"time: a customer is still active if fewer than {silence:g} days had passed since the last activity.",
        f"It holds {quantity(spells.n_customers, 'customer')} and {quantity(spells.n_spells, 'gap')}: the times of silence "
        f"after each activity. {count(spells.n_spells - spells.n_open)} gaps ended within that time, "
        f"{count(spells.n_open)} were still open at its end.",
    ]
    if lookback:
        texts.append(
            f"What is known about a customer is taken from the last {max(lookback):g} days before a gap opens, "
            "and from nothing later."
        )
    return texts


def _contract_texts(risk: RiskTable, span: str) -> list[str]:
    spells, schema = risk.spells, risk.fit.schema
    texts = [
        f"The log is taken to be complete from {span} ({schema.timezone}). Everything is told as of the end of that time.",
        f"It holds {quantity(spells.n_customers, 'customer')} and {quantity(spells.n_spells, 'contract')} that were "
        f"running at some time in it. {_ends(spells)} {count(spells.n_open)} were still running at its end.",
        *_entry_texts(spells),
    ]
    lookback = [f.lookback for f in schema.features if f.lookback]
    if schema.as_of == "landmark" and schema.reach is not None:
        texts.append(
            f"What customers are like changes while they stay. So it was looked at on set dates, and each time what followed "
            f"in the next {schema.reach:g} days was learnt from; what is known of a customer now is as of the end of the time."
        )
    elif schema.columns:
        texts.append(
            "What is known about a customer is as of the beginning of the contract, or of the first day under observation, "
            "and from nothing later."
        )
    if lookback:
        texts.append(f"Habits are counted over the last {max(lookback):g} days before.")
    return texts


def _duration_texts(risk: RiskTable) -> list[str]:
    spells = risk.spells
    last = "Everything is told as of the moment at which each customer was last seen."
    return [
        f"The data are durations, without dates: for each customer a time since the beginning, and whether it ended. {last}",
        f"They hold {quantity(spells.n_customers, 'customer')}"
        + ("." if spells.n_spells == spells.n_customers else f" and {quantity(spells.n_spells, 'duration')}.")
        + f" {_ends(spells)} {count(spells.n_open)} had not left when last seen.",
        *_entry_texts(spells),
    ]


def _ends(spells: SpellTable) -> str:
    causes = spells.churn.causes if spells.cause is None else (spells.cause,)
    if len(causes) == 1:
        return f"{count(spells.n_events[0])} ended."
    parts = [f"{count(n)} “{cause_label(cause)}”" for cause, n in zip(causes, spells.n_events, strict=True)]
    return f"{count(sum(spells.n_events))} ended: {listing(parts)}."


def _entry_texts(spells: SpellTable) -> list[str]:
    late, again, watched = entries_of(spells)
    texts = []
    if late:
        texts.append(
            f"{count(late)} of {count(spells.n_spells)} had begun before they came under observation (late entry): they count "
            f"from then on only, and half of all were watched for at most {number(watched)} days. Whoever left earlier is "
            "not in the data, so counting their early days would make everybody look loyal."
        )
    if again:
        texts.append(
            f"{count(again)} are a customer's second or a later one: who comes back begins anew, and the days count from then."
        )
    return texts


def entries_of(spells: SpellTable) -> tuple[int, int, float]:
    """How many spells enter late, how many are a customer's second or later one, and the median of days watched.

    Parameters
    ----------
    spells : SpellTable
        Spells.

    Returns
    -------
    tuple of (int, int, float)
        The three numbers.
    """
    late, again, watched = spells.engine.rows(
        "SELECT count(DISTINCT (customer_id, spell)) FILTER (WHERE entry > 0),"
        " count(DISTINCT (customer_id, spell)) FILTER (WHERE spell > 1), median(watched)"
        " FROM (SELECT customer_id, spell, min(entry_us) AS entry, sum(exit_us - entry_us) AS watched"
        f" FROM {spells.table} GROUP BY customer_id, spell)"
    )[0]
    return int(late), int(again), float(watched) / DAY_US


def left_out_data(risk: RiskTable, counted: Counted, notes: tuple[str, ...]) -> dict[str, object]:
    """Faults of the data, time at risk in no cell, and customers without a plain probability.

    Parameters
    ----------
    risk : RiskTable
        The risk.
    counted : Counted
        What the model was fitted on.
    notes : tuple of str
        Warnings that were given on the way.

    Returns
    -------
    dict
        ``texts``, ``faults``, ``unallocated``.
    """
    words = words_of(risk.spells)
    faults = [_fault(fault) for fault in risk.spells.faults]
    parts = counted.unallocated
    texts = [note_words(risk.fit.schema, note) for note in notes]
    extrapolated = _EXTRAPOLATED.format(n="{n}", long=_LONG[risk.spells.churn.on_tenure])
    refused = _REFUSED_ON_TENURE if risk.spells.churn.on_tenure else _REFUSED
    numbers = (n_refused(risk), n_with_status(risk, "extrapolated"), n_of_new_groups(risk))
    for n, text in zip(numbers, (refused, extrapolated, _NEW_GROUP), strict=True):
        texts += [text.format(n=quantity(n, "customer"))] if n else []
    if not faults:
        texts.insert(0, f"No fault was found in the {'log' if risk.spells.window else 'data'}.")
    log = risk.spells.window is not None
    texts.append(_share_left_out(counted) if fitted_on(risk, counted) else _share_outside(counted, log=log))
    return {
        "texts": texts,
        "faults": faults,
        "heads": [f"{words.spell[:1].upper()}{words.spell[1:]}s", f"{words.event[:1].upper()}{words.event[1:]}s"],
        "unallocated": [
            {
                "reason": clean_text(part.reason),
                "n_spells": part.n_spells,
                "n_events": list(part.n_events),
                "exposure": part.exposure,
                "n_spells_words": count(part.n_spells),
                "n_events_words": count(sum(part.n_events)),
                "exposure_words": count(part.exposure),
            }
            for part in parts
        ],
    }


def _share_outside(counted: Counted, *, log: bool) -> str:
    this, one = ("this log", "an earlier one") if log else ("these data", "earlier ones")
    return f"The model was not fitted on {this} but on {one}. Where this report compares the two, it uses " + (
        f"all but {percent(counted.share_left_out)} of {this}'s time at risk, for the reasons below."
        if counted.unallocated
        else f"all of {this}."
    )


def _share_left_out(counted: Counted) -> str:
    if not counted.unallocated:
        return "All time at risk was used by the model."
    return (
        f"{percent(counted.share_left_out)} of the time at risk was left out of the model, for the reasons below. Nothing was "
        "lost silently: used and left out add up to the whole."
    )


def _fault(fault: Fault) -> dict[str, object]:
    example = ", ".join(f"{key} {value}" for key, value in fault.rows[0].items()) if fault.rows else ""
    return {
        "name": clean_text(fault.name),
        "count": fault.count,
        "total": fault.total,
        "count_words": count(fault.count),
        "total_words": count(fault.total),
        "action": clean_text(fault.action),
        "example": clean_text(example),
    }
