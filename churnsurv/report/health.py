"""Did the computation work: what each kind of model has to answer for, in plain words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

from churnsurv.models.cox_fit import CoxFit
from churnsurv.models.kaplan_meier import KaplanMeierFit
from churnsurv.models.weibull_fit import WeibullFit
from churnsurv.plots.counted import fits_of
from churnsurv.plots.labels import note_words
from churnsurv.plots.words import cause_label, words_of
from churnsurv.report.proportional import proportional_hazards
from churnsurv.report.sentences import count, number, quantity

if TYPE_CHECKING:
    from churnsurv.models.base import FitInfo, SurvivalFit
    from churnsurv.risk.table import RiskTable


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

APPROXIMATION: Final = Gate("Is the approximation close enough?", "Pareto-k̂ of its weights", "pareto_k", 0.7, True)
"""The one question to a fit that was approximated and not sampled."""

_FEW: Final = 5.0
"""Events per term below which a fit is unreliable."""


def health_data(risk: RiskTable) -> dict[str, object]:
    """Fit health as the report tells it, one part per cause.

    Parameters
    ----------
    risk : RiskTable
        The risk, which knows its fit.

    Returns
    -------
    dict
        ``reliable`` and ``parts``: ``cause``, ``title``, ``reliable``, ``verdict`` (a sentence), ``texts``, ``messages``
        (why not), ``rows`` (one per question) and ``proportional`` (``None``, or the test of proportional hazards).
    """
    parts = [_part(risk, cause, fit) for cause, fit in fits_of(risk.fit).items()]
    return {"reliable": bool(risk.fit.info.reliable), "parts": parts}


def moving_effects(health: dict[str, object]) -> set[str | None]:
    """Causes whose effects were found to change with time.

    Parameters
    ----------
    health : dict
        From :func:`health_data`.
    """
    found = set()
    for part in health["parts"]:  # type: ignore[attr-defined]  # a list, as made above
        tested = part["proportional"]
        if tested and tested["rejected"]:
            found.add(part["cause"] or None)
    return found


def _part(risk: RiskTable, cause: str | None, fit: SurvivalFit) -> dict[str, object]:
    label = "" if cause is None else cause_label(cause)
    return {
        "cause": cause or "",
        "title": label[:1].upper() + label[1:],
        "reliable": bool(fit.info.reliable),
        "verdict": _verdict(fit),
        "texts": _texts(risk, fit),
        "messages": [note_words(fit.schema, message) for message in fit.info.messages],
        "rows": [*_sampler_rows(fit.info), *_event_rows(fit)],
        "proportional": proportional_hazards(fit, risk.spells) if isinstance(fit, CoxFit) else None,
    }


def _sampler_rows(info: FitInfo) -> list[dict[str, object]]:
    if info.method == "laplace":
        row = _gate_row(info, APPROXIMATION)
        return [] if row is None else [row]
    if not math.isfinite(info.rhat_max):
        return []
    return [row for gate in GATES if (row := _gate_row(info, gate)) is not None]


def _gate_row(info: FitInfo, gate: Gate) -> dict[str, object] | None:
    value = getattr(info, gate.field)
    if value is None or not math.isfinite(float(value)):
        return None
    good = float(value) <= gate.limit if gate.at_most else float(value) >= gate.limit
    shown = {"rhat_max": f"{float(value):.3f}", "tree_depth_share": f"{float(value):.1%}", "ebfmi_min": f"{value:.2f}"}
    shown["pareto_k"] = f"{value:.2f}"
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


def n_terms(fit: SurvivalFit) -> int:
    """Count the terms that a fit has estimated beside its baseline.

    Parameters
    ----------
    fit : SurvivalFit
        Of one cause.
    """
    designs = (getattr(fit, "design", None), getattr(fit, "shape_design", None))
    return sum(len(design.terms) for design in designs if design is not None)


def _event_rows(fit: SurvivalFit) -> list[dict[str, object]]:
    terms = n_terms(fit)
    if not terms or not isinstance(fit, CoxFit | WeibullFit):
        return []
    value = fit.info.n_events / terms
    good = value >= _FEW or fit.model.penalizer > 0
    return [
        {
            "question": "Are there enough events for what is asked of them?",
            "measure": f"events per term ({count(fit.info.n_events)} for {count(terms)})",
            "value": value,
            "found": number(value),
            "needed": f"at least {_FEW:g}; 10 or more is usual"
            if not fit.model.penalizer
            else "none: effects are shrunk",
            "good": good,
            "answer": "Yes" if good else "No",
        }
    ]


def _verdict(fit: SurvivalFit) -> str:
    if isinstance(fit, KaplanMeierFit):
        return (
            f"Yes: nothing was searched for. The curve is the share of {quantity(fit.info.n_spells, 'observed spell')} "
            "without the event, with late entry where there is any."
        )
    if isinstance(fit, CoxFit | WeibullFit):
        return _verdict_of_maximum(fit)
    return _verdict_of_draws(fit.info)


def _verdict_of_maximum(fit: CoxFit | WeibullFit) -> str:
    what = "partial likelihood (Cox)" if isinstance(fit, CoxFit) else "likelihood (Weibull)"
    if not fit.info.reliable:
        return (
            f"No. The estimates come from a search for the maximum of the {what}, and did not pass the checks. The numbers in "
            "this report may be wrong by more than their intervals say; do not act on them before the fit has been repaired."
        )
    drawn = (
        f"Intervals rest on {count(fit.n_draws)} draws from the normal distribution around it that the data imply."
        if fit.n_draws > 1
        else "It was not drawn from, so single customers have no intervals."
    )
    return f"Yes. The estimates are the maximum of the {what} of {quantity(fit.info.n_events, 'event')}. {drawn}"


def _verdict_of_draws(info: FitInfo) -> str:
    if info.method == "laplace":
        return _verdict_of_approximation(info)
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


def _verdict_of_approximation(info: FitInfo) -> str:
    draws = f"{count(info.n_draws)} draws of a normal approximation around the likeliest values, weighed by how likely each is"
    if info.reliable:
        return (
            f"Approximately. The estimates rest on {draws}. The weights say that the approximation is close; no sampler has "
            "confirmed it."
        )
    return (
        f"No. The estimates rest on {draws}, and the weights say that the approximation is not close. The numbers in this "
        "report may be wrong by more than their intervals say; do not act on them before the fit has been sampled."
    )


def _texts(risk: RiskTable, fit: SurvivalFit) -> list[str]:
    if isinstance(fit, KaplanMeierFit):
        return [
            "Customers differ in nothing but their age here: everyone who is as old gets the same chance, without interval."
        ]
    if isinstance(fit, WeibullFit):
        return [_errors(risk, fit.estimate.robust is not None), *_shape(risk, fit)]
    return [_errors(risk, fit.estimate.robust is not None)] if isinstance(fit, CoxFit) else []


def _errors(risk: RiskTable, robust: bool) -> str:
    spell = words_of(risk.spells).spell
    if robust:
        return f"Errors of the effects are robust: summed within customers, so that a customer's {spell}s may resemble each other."
    return f"Errors of the effects are the model's own, which take {spell}s as independent of each other."


def _shape(risk: RiskTable, fit: WeibullFit) -> list[str]:
    words = words_of(risk.spells)
    if fit.shape_design.terms:
        return [
            "The shape of the Weibull curve differs between kinds of customers, so hazards are not proportional: effects are "
            "ratios of times.",
            _REACH,
        ]
    table = fit.parameters(risk.ci_prob)
    at = list(table.index).index(("log_shape", "Intercept"))
    value, lower, upper = (math.exp(float(table[name].iloc[at])) for name in ("coef", "lower", "upper"))
    trend = (
        f"the more time has passed, the slower customers {words.pace}"
        if upper < 1
        else f"the more time has passed, the faster customers {words.pace}"
        if lower > 1
        else f"customers {words.pace} about as fast early as late"
    )
    return [
        f"The shape of the Weibull curve is {number(value)} ({number(lower)} to {number(upper)}): {trend}. That the speed rises "
        "or falls by one power of time is assumed, not found: where the curve and the data part in the figure above, the "
        "chances are off.",
        _REACH,
    ]


_REACH: Final = "Beyond the ages that were observed the curve goes on as assumed; such chances are marked extrapolated."
