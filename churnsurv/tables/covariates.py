"""What is known of a spell at a moment, whatever its covariates come from: the log, or the durations' own columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from churnsurv.errors import FeatureError
from churnsurv.tables.engines import Relation, quote
from churnsurv.tables.features import Arrival, Baseline, Feature
from churnsurv.tables.histories import check_features, features_at, is_text_feature
from churnsurv.tables.spells import SpellTable
from churnsurv.tables.tenures import birth_sql

if TYPE_CHECKING:
    from churnsurv.tables.contracts import Cancellation, Inactivity


def arrivals_of(features: Sequence[Feature]) -> tuple[Arrival, ...]:
    """Features that arrive while a spell is at risk."""
    return tuple(feature for feature in features if isinstance(feature, Arrival))


def frozen_of(features: Sequence[Feature]) -> tuple[Feature, ...]:
    """Features that are known at one moment."""
    return tuple(feature for feature in features if not isinstance(feature, Arrival))


def check_covariates(spells: SpellTable, features: Sequence[Feature]) -> None:
    """Refuse declarations that the spells cannot carry.

    Raises
    ------
    FeatureError, UnknownKindError
        If a column or kind is missing, two features share a name, or events are asked of durations.
    """
    if spells.log is None:
        _check_baseline(spells, features)
        return
    stray = [feature.name for feature in features if isinstance(feature, Baseline)]
    if stray:
        raise FeatureError(
            f"{stray[0]} is a column of durations, and these spells come from a log.",
            hint='declare what the log knows: Value("signup", "plan"), Count("order", days=90) …',
        )
    for feature in arrivals_of(features):
        if feature.kind in spells.churn.opening:
            raise FeatureError(
                f"{feature.name}: {feature.kind!r} opens spells, it does not arrive inside one.",
                hint=f'write Value("{feature.kind}", …) for what the opening event says.',
            )
    check_features(spells.log, features, spells.churn.opening)


def _check_baseline(spells: SpellTable, features: Sequence[Feature]) -> None:
    known = [feature.value_column for feature in spells.baseline]
    for feature in features:
        if not isinstance(feature, Baseline):
            raise FeatureError(
                f"{getattr(feature, 'name', feature)} is computed from events, and these spells are durations.",
                hint=f"columns that came with them: {', '.join(map(repr, known)) or 'none'}; Baseline(column) declares one.",
            )
        if feature.column not in known:
            raise FeatureError(
                f"the durations came without a column {feature.column!r}.",
                column=feature.column,
                hint=f"columns are: {', '.join(map(repr, known)) or 'none'}; name it in values= or labels=.",
            )
    names = [feature.name.lower() for feature in features]
    twice = [feature.name for feature in features if names.count(feature.name.lower()) > 1]
    if twice:
        raise FeatureError(f"two features are called {twice[0]!r}.", hint="give one of them another name=.")


def is_text(spells: SpellTable, feature: Feature) -> bool:
    """Tell whether a feature yields text."""
    if isinstance(feature, Baseline):
        return spells.engine.columns(f"SELECT {quote(feature.column)} FROM {spells.table}")[feature.column] == "VARCHAR"
    if spells.log is None:
        return False
    if isinstance(feature, Arrival):
        return feature.column is None or feature.column in spells.log.labels
    return is_text_feature(spells.log, feature)


def known_at(spells: SpellTable, features: Sequence[Feature], moments: str, *, at: str | None = None) -> Relation:
    """Compute the frozen features as of moments.

    Parameters
    ----------
    spells : SpellTable
        Whose moments they are.
    features : sequence of Feature
        Checked declarations; arrivals are left out.
    moments : str
        Query that yields ``key, id, customer_id, moment``: spells by id, moments in microseconds UTC. What happened
        at the moment itself is known.
    at : str, optional
        As in :func:`~churnsurv.tables.histories.features_at`.

    Returns
    -------
    Relation
        ``key``, ``known`` and one column per feature. On the tenure clock a look-back that reaches before the
        window is known all the same where the customer began inside it: there was nothing to look back on.
    """
    frozen = frozen_of(features)
    if spells.log is None:
        names = "".join(f", s.{quote(str(f.value_column))} AS {quote(f.name)}" for f in frozen)
        return spells.engine.create(
            "features", f"SELECT m.key, TRUE AS known{names} FROM ({moments}) m JOIN {spells.table} s ON s.id = m.id"
        )
    plain = f"SELECT key, customer_id, moment FROM ({moments})"
    start, tenure = spells.start_us, spells.churn.on_tenure
    found = features_at(spells.log, frozen, plain, start, at=at, earlier=tenure)
    if not tenure:
        return found
    origin = cast("Cancellation | Inactivity", spells.churn).begins  # contracts that ended before the window count too
    births = birth_sql(spells.log, origin, start, spells.end_us)
    since = f"SELECT customer_id, min(time) AS since FROM ({births}) GROUP BY customer_id"
    late = " AND s.entry_us = 0" if arrivals_of(features) else ""  # what had arrived before the window is not known
    return spells.engine.create(
        "features",
        f"SELECT f.* REPLACE ((f.known OR b.since >= {start}){late} AS known) FROM {quote(found.name)} f"
        f" JOIN ({moments}) m ON m.key = f.key JOIN {spells.table} s ON s.id = m.id"
        f" JOIN ({since}) b ON b.customer_id = m.customer_id",
    )
