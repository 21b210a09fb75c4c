"""Which covariates a business has, and the model that they stand in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from churnsurv.errors import ArgumentError
from churnsurv.tables.bins import Quantiles
from churnsurv.tables.churn import ChurnDefinition, Silence
from churnsurv.tables.features import Count, Feature, Recency, Rhythm, Value
from churnsurv.tables.histories import RESERVED

if TYPE_CHECKING:
    from churnsurv.models.cox import CoxModel
    from churnsurv.models.hierarchical.model import HierarchicalModel
    from churnsurv.models.weibull import WeibullModel

_BINS: Final = Quantiles(4)

RIDGE: Final = 0.01
"""Penalty where some effect has no finite estimate: by about one hundredth of what the data say."""


def declare(
    churn: ChurnDefinition,
    values: Sequence[str],
    groups: Sequence[str],
    activity: Sequence[str],
    look_back: float,
    *,
    habits: bool = True,
) -> tuple[Feature, ...]:
    """Declare what a log knows of its customers; columns of groups come last.

    A shop has how often, how regularly, how much and where: counts and rhythms of every kind of activity, and columns of
    the latest event of the first kind. A contract has what its opening event says; with kinds of activity, how many of
    each and how long ago the last one was, within the look-back. Where no event opens a contract, its columns are
    those of the latest event of the first kind of activity.

    Parameters
    ----------
    churn : Silence or Cancellation
        The definition.
    values, groups, activity : sequence of str
        Number columns, text columns, and kinds of event.
    look_back : float
        Days.
    habits : bool
        Whether a shop's counts and rhythms are wanted: a model that knows each customer's own rhythm does without.

    Returns
    -------
    tuple of Feature
        Declarations.

    Raises
    ------
    ArgumentError
        If columns are asked of contracts that no event opens, and no activity is named.
    """
    columns = [*values, *groups]
    if isinstance(churn, Silence):
        kinds: Sequence[str] = churn.kinds
        counted: list[Feature] = [
            f for kind in kinds if habits for f in (Count(kind, days=look_back), Rhythm(kind, days=look_back))
        ]
        source, days = kinds[0], None if len(kinds) == 1 else look_back
    else:
        counted = [f for kind in activity for f in (Count(kind, days=look_back), Recency(kind, days=look_back))]
        source, days = _source(churn, columns, activity, look_back)
    return (*counted, *(Value(source, column, days=days, name=name_of(column)) for column in columns))


def _source(
    churn: ChurnDefinition, columns: Sequence[str], activity: Sequence[str], look_back: float
) -> tuple[str, float | None]:
    """Kind of event that carries the columns, and how far back it is looked for."""
    if len(churn.opening) == 1:
        return churn.opening[0], None
    if columns and not activity:
        raise ArgumentError(
            f"no event opens a contract here, so {columns[0]!r} is not read from one.",
            consequence="What a customer is like would be taken from events of any kind, cancellations among them.",
            hint='name the kinds of event that carry it: activity=("login",).',
        )
    return (activity[0] if activity else ""), look_back


def is_moving(features: Sequence[Feature]) -> bool:
    """Whether some covariate changes while a contract runs."""
    return any(feature.lookback for feature in features)


def specify(
    model: str, features: Sequence[Feature], *, n_groups: int, repeats: bool, rounded: float | None = None
) -> HierarchicalModel | CoxModel | WeibullModel:
    """Specify a model of declared covariates, of which the last ``n_groups`` are groups.

    Every model takes a column of numbers by its quarters. Held against what happened next, on a shop's log and on Telco
    contracts, Cox and Weibull predict better so than by a straight line in revenue, counts or price; and "none yet" is a
    level like any other. What the data cannot tell apart is left out, and said: a shop with one country is no reason to
    refuse.

    Parameters
    ----------
    model : {"hierarchical", "cox", "weibull"}
        Which one.
    features : sequence of Feature
        Declarations.
    n_groups : int
        How many of them are groups.
    repeats : bool
        Whether a customer has many spells, as of a shop's gaps: ``hierarchical`` then learns how far each customer has a
        rhythm of her own, and how the level moves from month to month, which moves all totals at once.
    rounded : float, optional
        Days by which recorded times of events may be late, for ``cox`` and ``weibull``.
    """
    numbers, groups = features[: len(features) - n_groups], features[len(features) - n_groups :]
    if model == "hierarchical":
        from churnsurv.models.hierarchical.model import HierarchicalModel

        return HierarchicalModel(
            formula=_sum(numbers),
            groups=tuple(feature.name for feature in groups),
            frailty="gamma" if repeats else None,
            calendar=repeats,
            on_bad="drop",
        )
    bins = {feature.name: _BINS for feature in numbers}
    if model == "cox":
        from churnsurv.models.cox import CoxModel

        return CoxModel(_sum(features), bins=bins, rounded=rounded, on_bad="drop")
    from churnsurv.models.weibull import WeibullModel

    return WeibullModel(_sum(features), bins=bins, rounded=rounded, on_bad="drop")


def _sum(features: Sequence[Feature]) -> str:
    names = (feature.name for feature in features)
    return " + ".join(name if name.isidentifier() else f"`{name}`" for name in names)


def name_of(column: str) -> str:
    """Name of a covariate, made of a column's, that a formula can hold and no table uses.

    Examples
    --------
    >>> name_of("Revenue £"), name_of("Status")
    ('revenue', 'status_')
    """
    plain = "".join(letter if letter.isalnum() else "_" for letter in column).strip("_").lower() or "x"
    return f"{plain}_" if plain in RESERVED else plain
