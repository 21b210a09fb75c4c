"""Over which time and by which definition, and what was left out on the way."""

from __future__ import annotations

import datetime as dt
import math
from typing import TYPE_CHECKING, Final

from churnsurv.plots.labels import clean_text, note_words
from churnsurv.plots.risk import alive_rows
from churnsurv.report.headline import n_refused
from churnsurv.report.sentences import count, period_words, quantity
from churnsurv.tables.faults import Fault
from churnsurv.tables.window import DAY_US, moment_of, read_zone

if TYPE_CHECKING:
    from churnsurv.risk.table import RiskTable
    from churnsurv.tables.cells import CellTable

_REFUSED: Final = (
    "For {n} no chance is told, and they are not counted among those at risk: the log does not reach back far enough to "
    "know their history, or the model has never seen their like."
)
_NEW_GROUP: Final = (
    "For {n} the group was not in the data that the model learnt from; its effect is averaged over what groups "
    "are like."
)
_EXTRAPOLATED: Final = (
    "For {n} the chance is marked as an extrapolation: a number lies outside the range the model has seen, or too few "
    "others were ever silent for as long."
)


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
        ``start``, ``end`` (ISO, local), ``timezone``, ``days``, ``dateline``, ``definition``, ``texts``.
    """
    zone = risk.fit.schema.timezone
    start, end = (_local(time, zone) for time in risk.spells.window.resolve(zone))
    span = period_words(start, end)
    spells, silence, lookback = (
        risk.spells,
        risk.spells.churn.days,
        [f.lookback for f in risk.fit.schema.features if f.lookback],
    )
    texts = [
        f"The log is taken to be complete from {span} ({zone}). Everything is told as of the end of that "
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
    return {
        "start": start.isoformat(),
        "end": end.isoformat(),
        "timezone": zone,
        "days": risk.spells.window.days(zone),
        "dateline": f"{span}, {zone}",
        "definition": clean_text(risk.spells.churn.describe(), longest=500),
        "texts": texts,
    }


def left_out_data(risk: RiskTable, cells: CellTable, notes: tuple[str, ...]) -> dict[str, object]:
    """Faults of the data, time at risk in no cell, and customers without a plain probability.

    Parameters
    ----------
    risk : RiskTable
        The risk.
    cells : CellTable
        What the model was fitted on.
    notes : tuple of str
        Warnings that were given on the way.

    Returns
    -------
    dict
        ``texts``, ``faults``, ``unallocated``.
    """
    faults = [_fault(fault) for fault in risk.spells.faults]
    parts = [part for part in cells.unallocated if part.exposure_us or part.n_spells]
    texts = [note_words(risk.fit.schema, note) for note in notes]
    numbers = (n_refused(risk), _n_extrapolated(risk), _n_new_group(risk))
    for n, text in zip(numbers, (_REFUSED, _EXTRAPOLATED, _NEW_GROUP), strict=True):
        texts += [text.format(n=quantity(n, "customer"))] if n else []
    if not faults:
        texts.insert(0, "No fault was found in the log.")
    left_out = sum(part.exposure_us for part in parts)
    texts.append(_share_left_out(cells, left_out) if fitted_on(risk, cells) else _share_outside(cells, left_out))
    return {
        "texts": texts,
        "faults": faults,
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


def _n_extrapolated(risk: RiskTable) -> int:
    frame = risk.frame()
    return int(frame.loc[frame["status"] == "extrapolated", "customer_id"].nunique())


def _n_new_group(risk: RiskTable) -> int:
    rows = alive_rows(risk)
    return int(rows.loc[rows["new_group"].astype(bool), "customer_id"].nunique())


def fitted_on(risk: RiskTable, cells: CellTable) -> bool:
    """Tell whether the model learnt from these cells, or from an earlier log.

    Parameters
    ----------
    risk : RiskTable
        The risk.
    cells : CellTable
        Cells of the log that the risk was told from.

    Returns
    -------
    bool
        Whether the time at risk is that of the fit, with or without what is in no cell; also where the
        fit does not tell.
    """
    known = risk.fit.info.exposure
    totals = (float(cells.exposure.sum()), cells.total_exposure_us() / DAY_US)
    return not known or any(math.isclose(known, total, rel_tol=1e-9) for total in totals)


def _share_outside(cells: CellTable, left_out: int) -> str:
    share = left_out / cells.total_exposure_us()
    return (
        "The model was not fitted on this log but on an earlier one. Where this report compares the two, it uses "
        + (
            f"all but {share:.0%} of this log's time at risk, for the reasons below."
            if left_out
            else "all of this log."
        )
    )


def _share_left_out(cells: CellTable, left_out: int) -> str:
    if not left_out:
        return "All time at risk was used by the model."
    share = left_out / cells.total_exposure_us()
    return (
        f"{share:.0%} of the time at risk was left out of the model, for the reasons below. Nothing was lost silently: "
        "used and left out add up to the whole."
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
