"""Published retention of two segments over twelve years: the data on which projections of retention are compared."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from churnsurv.errors import ArgumentError

if TYPE_CHECKING:
    import pandas as pd

    from churnsurv.tables.engines import Engine
    from churnsurv.tables.spells import SpellTable

SEGMENTS = ("Regular", "High End")
"""Segments of the published table."""

RETENTION_YEARS = 12
"""Years for which it was published."""

CUSTOMERS = 1000
"""Customers of a segment whom the percentages stand for, as in the paper's illustration."""


def retention_path() -> Path:
    """Path of the shipped table; its source lies beside it as ``retention.LICENSE.txt``.

    Examples
    --------
    >>> retention_path().name
    'retention.csv'
    """
    return Path(__file__).parent / "data" / "retention.csv"


def load_retention() -> pd.DataFrame:
    """Per cent of the customers of two segments who were still there after 0 to 12 years.

    Returns
    -------
    DataFrame
        26 rows: ``segment`` (``Regular`` or ``High End``), ``year`` since the beginning, ``percent`` still there, and
        ``customers``, the same of 1,000.

    References
    ----------
    .. [1] Fader, P. S. and Hardie, B. G. S. (2007). How to project customer retention. *Journal of Interactive
       Marketing* 21(1), 76–90.

    Examples
    --------
    >>> load_retention().query("year == 12")[["segment", "percent", "customers"]].to_dict("records")
    [{'segment': 'Regular', 'percent': 17.3, 'customers': 173}, {'segment': 'High End', 'percent': 39.4, 'customers': 394}]
    """
    import pandas as pd

    frame = pd.read_csv(retention_path())
    return frame.assign(customers=(frame["percent"] * (CUSTOMERS / 100)).round().astype("int64"))


def retention_spells(
    segment: str | None = None, *, years: int = 7, weighted: bool = False, engine: Engine | None = None
) -> SpellTable:
    """Spells of the customers behind :func:`load_retention`, as they were known after some years.

    Renewals are yearly, so a duration is a whole number of years: ``rounded=365.25`` tells a model that a customer left
    at any time within the last of them.

    Parameters
    ----------
    segment : {None, "Regular", "High End"}
        One of the two; by default both, with the label ``segment``.
    years : int
        Years that are known, 1 to 12: whoever is still there is censored then.
    weighted : bool
        One row for all who left in the same year, with their number as ``weight``: the same fit from eight rows.
    engine : Engine, optional
        Where to compute.

    Returns
    -------
    SpellTable
        1,000 spells of a segment, one of each customer; ``years + 1`` where weighted.

    Raises
    ------
    ArgumentError
        If there is no such segment, or the years are not among those published.

    Examples
    --------
    >>> retention_spells("Regular")
    SpellTable(1,000 spells of 1,000 customers: 759 churned, 241 open; 1,226,510 days at risk)
    """
    import pandas as pd

    from churnsurv.tables.spells import SpellTable

    if segment is not None and segment not in SEGMENTS:
        raise ArgumentError(f"segment={segment!r} is unknown.", hint=f"segment is one of {', '.join(SEGMENTS)}.")
    if isinstance(years, bool) or years not in range(1, RETENTION_YEARS + 1):
        raise ArgumentError(
            f"years={years!r} is not among the years published.", hint=f"years from 1 to {RETENTION_YEARS}."
        )
    frame = pd.concat([_groups(name, years) for name in (SEGMENTS if segment is None else (segment,))])
    if not weighted:
        frame = frame.loc[frame.index.repeat(frame["customers"])]
    return SpellTable.from_durations(
        frame,
        duration="years",
        event="left",
        unit="year",
        weight="customers" if weighted else None,
        labels=("segment",),
        engine=engine,
    )


def _groups(segment: str, years: int) -> pd.DataFrame:
    """Customers of a segment by the year in which they left, and those still there."""
    import pandas as pd

    published = load_retention()
    there = published.loc[published["segment"] == segment, "customers"].to_numpy()[: years + 1]
    left = there[:-1] - there[1:]
    return pd.DataFrame(
        {
            "segment": segment,
            "years": [*range(1, years + 1), years],
            "left": [1] * years + [0],
            "customers": [*left, there[-1]],
        }
    )
