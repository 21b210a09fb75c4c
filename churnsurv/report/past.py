"""Was it right last time: the same analysis made earlier, against what happened since."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from churnsurv.plots.check import as_of_check_data
from churnsurv.plots.labels import clean_text
from churnsurv.plots.rows import rows_of
from churnsurv.plots.words import cause_label
from churnsurv.report.sentences import count, date_words, number, quantity
from churnsurv.report.why import records

if TYPE_CHECKING:
    from churnsurv.risk.checks import AsOfCheck, CauseCheck


def check_section(check: AsOfCheck, *, on_tenure: bool = False) -> dict[str, object]:
    """Tell the as-of check in words and numbers.

    Parameters
    ----------
    check : AsOfCheck
        The check.
    on_tenure : bool
        Whether it is one of contracts.

    Returns
    -------
    dict
        ``texts``, ``caption``, ``note``, ``table_caption``, ``rows``, ``causes`` (expected against observed of each of
        several), and the numbers of the check.
    """
    table = as_of_check_data(check)
    day = date_words(dt.date.fromisoformat(str(check.cutoff)[:10]))
    there = "under contract" if on_tenure else "active"
    held = check.lower <= check.observed <= check.upper
    texts = [
        f"The whole analysis was repeated as it could have been made on {day}, from nothing but what was known by then, for "
        f"the {quantity(check.n_customers, 'customer')} {there} on that day and the {check.horizon:g} days that followed.",
        ("Yes. " if held else "No. ") + clean_text(check.verdict, longest=1000),
        *(
            []
            if check.reliable
            else ["The fit made for this check did not pass its own gate, so its verdict is worth little."]
        ),
        "One such check is one throw of the dice: it can find a gross error, it cannot prove that the next forecast holds.",
    ]
    return {
        "cutoff": str(check.cutoff),
        "horizon": float(check.horizon),
        "n_customers": check.n_customers,
        "expected": float(check.expected),
        "lower": float(check.lower),
        "upper": float(check.upper),
        "observed": check.observed,
        "held": held,
        "texts": texts,
        "caption": f"Expected on {day} and what happened in the {check.horizon:g} days after",
        "note": "Customers are put together by the chance stated beforehand; groups of fewer than 10 are not shown.",
        "table_caption": "The same in numbers of customers",
        "bins": records(table),
        "causes": [_cause(cause) for cause in check.causes],
        "rows": [
            {
                "bin": row["bin"],
                "n_customers_words": count(row["n_customers"]),
                "expected_words": count(row["expected"]),
                "observed_words": count(row["observed"]),
            }
            for row in rows_of(table)
        ],
    }


def _cause(cause: CauseCheck) -> dict[str, object]:
    return {
        "cause": cause_label(cause.cause),
        "expected": float(cause.expected),
        "lower": float(cause.lower),
        "upper": float(cause.upper),
        "observed": cause.observed,
        "expected_words": f"{number(cause.expected)} ({cause.lower:,.0f} to {cause.upper:,.0f})",
        "observed_words": count(cause.observed),
        "held": bool(cause.lower <= cause.observed <= cause.upper),
    }


def missing_check_section(note: str) -> dict[str, object]:
    """Say that there is no check, rather than leave it out.

    Parameters
    ----------
    note : str
        Why; may be empty.

    Returns
    -------
    dict
        ``texts`` and empty ``rows``.
    """
    return {
        "texts": [
            *([clean_text(note, longest=500)] if note else []),
            "No check was made, so the numbers of this report have not been held against what happened.",
        ],
        "rows": [],
        "causes": [],
    }
