"""What a manager asks first: how many will be lost, and how sure that is."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from churnsurv.plots.risk import NOT_COUNTED
from churnsurv.plots.rows import rows_of
from churnsurv.plots.words import cause_label, words_of
from churnsurv.report.sentences import (
    count,
    count_range,
    headline_parts,
    listing,
    number,
    percent,
    percent_range,
    quantity,
)

if TYPE_CHECKING:
    from churnsurv.risk.table import RiskTable


def headline_data(risk: RiskTable) -> dict[str, object]:
    """Tell the expected churners per horizon with their predictive intervals, and those already churned apart.

    Parameters
    ----------
    risk : RiskTable
        The risk.

    Returns
    -------
    dict
        ``before``, ``range``, ``after`` (the sentence in three parts), ``horizons`` (numbers), ``cards``, ``note``,
        ``texts`` (how many chances rest on little, or could not be told) and ``by_cause`` (``None`` for one cause).
    """
    totals = risk.totals().sort_values("horizon")
    horizons = [_horizon(row) for row in rows_of(totals)]
    before, shown, after = _sentence(risk, horizons[0])
    gone = int(risk.n_already_churned)
    cards = [_card(risk, row) for row in horizons]
    if not risk.spells.churn.on_tenure:
        cards.append(_churned_card(risk, gone))
    unknown = n_refused(risk)
    if unknown:
        cards.append(_refused_card(risk, unknown))
    return {
        "before": before,
        "range": shown,
        "after": after,
        "horizons": horizons,
        "n_already_churned": gone,
        "cards": cards,
        "note": _note(risk),
        "texts": support_texts(risk),
        "by_cause": _by_cause(risk),
    }


def _sentence(risk: RiskTable, row: dict[str, float]) -> tuple[str, str, str]:
    words, unknown = words_of(risk.spells), n_refused(risk)
    n = int(row["n_customers"])
    if n == 0 and unknown:
        return (
            f"Of {quantity(n + unknown, 'customer')} {words.states[n + unknown > 1]},",
            "nobody knows",
            f"how many will {words.churn}: the data and the model do not reach that far.",
        )
    if unknown and risk.spells.churn.on_tenure:
        states = tuple(f"{state} and whose chance is known" for state in words.states)
        words = replace(words, states=(states[0], states[1]))
    return headline_parts(n, row["lower"], row["upper"], words=words, horizon=row["horizon"])


def _horizon(row: dict[str, float]) -> dict[str, float]:
    names = ("horizon", "n_customers", "expected", "lower", "upper")
    return {name: float(row[name]) for name in names}


def _card(risk: RiskTable, row: dict[str, float]) -> dict[str, object]:
    n = int(row["n_customers"])
    words = count_range(row["lower"], row["upper"], most=n).removeprefix("about ").replace(" to ", "–")
    share = percent_range(row["lower"] / n, row["upper"] / n) if n else "nobody"
    who = quantity(n, words_of(risk.spells).customer)
    return {
        "label": f"within {row['horizon']:g} days",
        "figure": words,
        "detail": f"of {who} ({share})",
        "apart": False,
    }


def _churned_card(risk: RiskTable, gone: int) -> dict[str, object]:
    silence = getattr(risk.spells.churn, "days", math.nan)
    return {
        "label": "already churned",
        "figure": count(gone),
        "detail": f"silent for {silence:g} days or more; not counted above: a list to win back",
        "apart": True,
    }


def _refused_card(risk: RiskTable, unknown: int) -> dict[str, object]:
    detail = (
        "no chance can be told for them; not counted above"
        if risk.spells.churn.on_tenure
        else "active, but the log tells too little about them; not counted above"
    )
    return {"label": "risk not known", "figure": count(unknown), "detail": detail, "apart": True}


def _note(risk: RiskTable) -> str:
    if risk.fit.n_draws == 1:
        return (
            f"Ranges are {risk.ci_prob:.0%} predictive intervals of chance alone, in what each customer does: this fit "
            "tells no uncertainty of its estimates, so less is known than the ranges say."
        )
    return (
        f"Ranges are {risk.ci_prob:.0%} predictive intervals: they hold the uncertainty of the estimates and the "
        "chance in what each customer does."
    )


def support_texts(risk: RiskTable) -> list[str]:
    """How many of the chances rest on too little, or could not be told, as shares of those at risk.

    Parameters
    ----------
    risk : RiskTable
        The risk.

    Returns
    -------
    list of str
        Sentences; none where every chance is supported.
    """
    unknown, n = n_refused(risk), int(risk.n_alive)
    texts = []
    frame = risk.frame("any")
    extrapolated = frame[frame["status"] == "extrapolated"].groupby("horizon").size()
    if len(extrapolated):
        parts = [f"{count(k)} ({percent(k / n)}) within {h:g} days" for h, k in extrapolated.items()]
        texts.append(
            f"Of these {count(n)}, the chance is an extrapolation for {listing(parts)}: too few like them were seen."
        )
    if unknown:
        texts.append(
            f"For {quantity(unknown, 'customer')} ({percent(unknown / n)} of {count(n)}) no chance is told at one horizon "
            "or more; they are in none of the numbers above."
        )
    return texts


def _by_cause(risk: RiskTable) -> dict[str, object] | None:
    if len(risk.causes) < 2:
        return None
    rows = [_cause_row(risk, cause) for cause in risk.causes]
    return {
        "caption": f"How they are expected to {words_of(risk.spells).churn}",
        "horizons": [f"{h:g} days" for h in risk.horizon],
        "rows": [*rows, _cause_row(risk, "any")],
        "note": "Each customer counts once, by what comes first. Expected numbers add up to those of any cause; the ends "
        "of the ranges do not.",
    }


def _cause_row(risk: RiskTable, cause: str) -> dict[str, object]:
    totals = rows_of(risk.totals(cause=cause))
    return {
        "cause": "any cause" if cause == "any" else cause_label(cause),
        "is_any": cause == "any",
        "cells": [
            {
                "expected": float(row["expected"]),
                "lower": float(row["lower"]),
                "upper": float(row["upper"]),
                "value": number(row["expected"]),
                "range": count_range(row["lower"], row["upper"], most=row["n_customers"])
                .removeprefix("about ")
                .replace(" to ", "–"),
            }
            for row in sorted(totals, key=lambda row: row["horizon"])
        ],
    }


def n_refused(risk: RiskTable) -> int:
    """Count customers at risk whose chance could not be told at every horizon.

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


def n_with_status(risk: RiskTable, status: str) -> int:
    """Count customers who have a status at some horizon.

    Parameters
    ----------
    risk : RiskTable
        The risk.
    status : str
        One of :data:`churnsurv.risk.columns.STATUSES`.
    """
    frame = risk.frame("any")
    return int(frame.loc[frame["status"] == status, "customer_id"].nunique())


def n_of_new_groups(risk: RiskTable) -> int:
    """Count customers at risk whose group the fit has never seen.

    Parameters
    ----------
    risk : RiskTable
        The risk.
    """
    frame = risk.frame("any")
    frame = frame[~frame["status"].isin(NOT_COUNTED)]
    return int(frame.loc[frame["new_group"].astype(bool), "customer_id"].nunique())
