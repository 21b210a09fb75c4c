"""How durations and the numbers beside them look when something is wrong with them that no single row shows."""

from __future__ import annotations

import warnings

from churnsurv.errors import DataWarning
from churnsurv.tables.duration_columns import UNIT_US
from churnsurv.tables.engines import Relation, quote

_MIXED = 1000
"""Times the median from which on the longest duration looks like another unit."""

_LEAST = 30
"""Rows below which nothing is said about how columns look together."""

_SUM_CORRELATION = 0.8
"""Rank correlation with the duration from which on a number looks added up over it (Telco's total charges: 0.89)."""


def warn_of_units(rows: Relation, unit: str) -> None:
    """Warn when the longest duration looks like one in another unit."""
    n, longest, middle = rows.engine.rows(f"SELECT count(*), max(exit_us), median(exit_us) FROM {quote(rows.name)}")[0]
    if n >= _LEAST and longest > _MIXED * middle:
        shown = longest / UNIT_US[unit], middle / UNIT_US[unit]
        warnings.warn(
            f"the longest duration is {shown[0]:,.6g} {unit}s, the median {shown[1]:,.6g}: part of them is probably in another"
            " unit. Hint: bring all to one unit first.",
            DataWarning, stacklevel=4,
        )  # fmt: skip


def warn_of_placeholder(rows: Relation, column: str) -> None:
    """Warn of nines that lie far beyond everything else: they usually mean that nothing is known."""
    name = quote(column)
    n, low, high, *extremes = rows.engine.rows(
        f"SELECT count({name}), quantile_cont({name}, 0.25), quantile_cont({name}, 0.75), min({name}), max({name})"
        f" FROM {quote(rows.name)}"
    )[0]
    for value in extremes:
        nines = n >= _LEAST and abs(value) >= 99 and set(f"{abs(value):.0f}") == {"9"} and value == int(value)
        if nines and (value > high + 5 * (high - low) or value < low - 5 * (high - low)):
            count = int(rows.engine.rows(f"SELECT count(*) FROM {quote(rows.name)} WHERE {name} = {value!r}")[0][0])
            warnings.warn(
                f"{count:,} of {n:,} values in {column!r} are {value:g}, far from all others: probably a placeholder."
                " It would move every mean and slope. Hint: leave such rows out, or give them a level of their own.",
                DataWarning, stacklevel=4,
            )  # fmt: skip


def warn_of_sum(rows: Relation, column: str) -> None:
    """Warn of a number that is probably added up while the customer stays."""
    n, rank = rows.engine.rows(
        f"SELECT count(*), corr(x, t) FROM (SELECT rank() OVER (ORDER BY {quote(column)}) AS x,"
        f" rank() OVER (ORDER BY exit_us) AS t FROM {quote(rows.name)})"
    )[0]
    if n >= _LEAST and rank is not None and rank >= _SUM_CORRELATION:
        warnings.warn(
            f"{column!r} rises with the duration (rank correlation {rank:.2f}): it is probably added up while the customer"
            " stays. Whoever stays has more of it; that is not why they stay. Hint: use what was known when the spell was"
            " entered, or a rate, such as the sum divided by the duration.",
            DataWarning, stacklevel=4,
        )  # fmt: skip
