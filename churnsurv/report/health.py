"""Did the computation work: the sampler's diagnostics in plain words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

from churnsurv.report.sentences import count, number

if TYPE_CHECKING:
    from churnsurv.models.base import FitInfo


class Gate(NamedTuple):
    """One question put to the sampler.

    Parameters
    ----------
    question, measure : str
        In plain words, and what it is called.
    field : str
        Where :class:`~churnsurv.models.base.FitInfo` has it.
    limit : float
        Value that must not be passed.
    at_most : bool
        Whether the limit is from above.
    """

    question: str
    measure: str
    field: str
    limit: float
    at_most: bool


GATES: Final = (
    Gate("Do independent runs agree?", "R-hat, the largest", "rhat_max", 1.01, True),
    Gate("Is there enough independent information?", "effective sample size, the smallest", "ess_min", 400, False),
    Gate("Did the sampler stay on course?", "divergences", "divergences", 0, True),
    Gate("Did it explore the tails?", "E-BFMI, the smallest", "ebfmi_min", 0.3, False),
    Gate("Could it finish its steps?", "share of steps at the depth limit", "tree_depth_share", 0.01, True),
)
"""Questions and limits; the fit's own status decides, these explain it."""


def health_data(info: FitInfo) -> dict[str, object]:
    """Fit health as the report tells it.

    Parameters
    ----------
    info : FitInfo
        Diagnostics of the fit.

    Returns
    -------
    dict
        ``reliable``, ``verdict`` (a sentence), ``messages`` (why not), ``rows`` (one per question).
    """
    rows = [row for gate in GATES if (row := _row(info, gate)) is not None]
    return {
        "reliable": bool(info.reliable),
        "verdict": _verdict(info),
        "messages": [str(message) for message in info.messages],
        "rows": rows,
    }


def _row(info: FitInfo, gate: Gate) -> dict[str, object] | None:
    value = getattr(info, gate.field)
    if value is None or not math.isfinite(float(value)):
        return None
    good = float(value) <= gate.limit if gate.at_most else float(value) >= gate.limit
    shown = {"rhat_max": f"{float(value):.3f}", "tree_depth_share": f"{float(value):.1%}", "ebfmi_min": f"{value:.2f}"}
    limit = "1%" if gate.field == "tree_depth_share" else number(gate.limit)
    return {
        "question": gate.question,
        "measure": gate.measure,
        "value": float(value),
        "found": shown.get(gate.field, count(float(value))),
        "needed": f"at most {limit}" if gate.at_most else f"at least {limit}",
        "good": good,
        "answer": "Yes" if good else "No",
    }


def _verdict(info: FitInfo) -> str:
    draws = f"{count(info.n_draws)} draws from the posterior distribution"
    if info.reliable:
        return (
            f"Yes. The estimates rest on {draws}, made by independent runs of a sampler. Every check below was "
            "passed, so the intervals show what the data leave open and not the noise of the computation."
        )
    if info.status == "interrupted":
        return (
            f"No: the computation was interrupted. What there is rests on {draws}. "
            "Treat every number here as provisional."
        )
    return (
        f"No. The estimates rest on {draws}, but the sampler did not pass its checks. The numbers in this report "
        "may be wrong by more than their intervals say; do not act on them before the fit has been repaired."
    )
