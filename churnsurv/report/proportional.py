"""Are the effects of a Cox model the same early and late? The test, and what it means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from churnsurv.models.cox_fit import CoxFit
from churnsurv.models.formula import NUMBER
from churnsurv.plots.labels import column_label, level_label
from churnsurv.plots.rows import rows_of
from churnsurv.report.sentences import count, number, p_value

if TYPE_CHECKING:
    from churnsurv.models.formula import Term
    from churnsurv.tables.spells import SpellTable

REJECTED: Final = 0.01
"""P value of the test of all effects together below which they are said to move."""

_SHOWN: Final = 12


def proportional_hazards(fit: CoxFit, spells: SpellTable) -> dict[str, object] | None:
    """Score test of effects that move with time.

    Parameters
    ----------
    fit : CoxFit
        Of one cause.
    spells : SpellTable
        For the words.

    Returns
    -------
    dict or None
        ``rejected``, ``texts``, ``caption`` and ``rows`` (``term``, ``statistic``, ``degrees_of_freedom``, ``p`` and
        their words; all together first, then the terms with the smallest p); ``None`` for a fit without terms. Without
        rows for a fit that was loaded.
    """
    if not fit.design.terms:
        return None
    caption = "Are the effects the same early and late?"
    if fit.rows is None:
        text = "Whether the effects are the same early and late was not tested: a fit from a file holds no rows to test it on."
        return {"rejected": False, "texts": [text], "caption": caption, "rows": []}
    table = fit.proportional_hazards_test().reset_index()
    labels = [*(_label(fit, term) for term in fit.design.effects.terms), "All together"]
    rows = [_row(row, label) for row, label in zip(rows_of(table), labels, strict=True)]
    whole, terms = rows[-1], sorted(rows[:-1], key=lambda row: float(str(row["p"])))
    rejected = float(str(whole["p"])) < REJECTED
    return {
        "rejected": rejected,
        "texts": _texts(rejected, len(terms)),
        "caption": caption,
        "rows": [whole, *terms[:_SHOWN]],
    }


def _texts(rejected: bool, n_terms: int) -> list[str]:
    found = (
        "A Cox model takes every effect as the same at all ages. The data contradict that: taken together, the effects move. "
        "A number in this report is then an average over the ages observed, and chances of very new and very old customers may "
        "be off. Giving the columns with the smallest p a baseline of their own (strata) mends it."
        if rejected
        else "A Cox model takes every effect as the same at all ages. The data do not contradict that clearly, which is no proof "
        "that it is so."
    )
    what = "p: how often a test statistic this large would come by chance if effects did not move."
    many = (
        f" If none of the {count(n_terms)} terms moved, one in twenty would still have p below 0.05."
        if n_terms > 1
        else ""
    )
    shown = f" The {_SHOWN} smallest are shown." if n_terms > _SHOWN else ""
    return [found, what + many + shown]


def _row(row: dict[str, float], label: str) -> dict[str, object]:
    return {
        "term": label,
        "statistic": float(row["statistic"]),
        "degrees_of_freedom": int(row["degrees_of_freedom"]),
        "p": float(row["p"]),
        "statistic_words": number(float(row["statistic"])),
        "degrees_words": count(row["degrees_of_freedom"]),
        "p_words": p_value(float(row["p"])),
    }


def _label(fit: CoxFit, term: Term) -> str:
    parts = []
    for k, level in term.factors:
        column = fit.schema.columns[k]
        title = column_label(fit.schema, column.name)
        parts.append(
            title if level == NUMBER else f"{title}: {level_label(fit.schema, column.name, column.labels[level])}"
        )
    return " × ".join(parts)
